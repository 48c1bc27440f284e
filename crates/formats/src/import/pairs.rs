//! What several sections of a file say about one peer, or about two ways to the same networks, is one connection here.

use super::finding::Findings;
use super::model::{ImportedChild, ImportedConnection, usable_name};
use super::to_toml::rows::{self, Row};

/// Joins connections where that is evident, and says so.
pub(crate) fn join(connections: Vec<ImportedConnection>, findings: &mut Findings) -> Vec<ImportedConnection> {
    tunnels(children(connections, findings), findings)
}

/// Sections with the same peer, identities and settings are the children of one connection: they share an IKE SA.
fn children(connections: Vec<ImportedConnection>, findings: &mut Findings) -> Vec<ImportedConnection> {
    let mut joined: Vec<ImportedConnection> = Vec::new();
    for connection in connections {
        let same = |known: &&mut ImportedConnection| match (known.tunnels.as_slice(), connection.tunnels.as_slice()) {
            ([one], [other]) => {
                let key = |psk: &Option<super::Sourced<crypto::SecretBytes>>| psk.as_ref().map(|psk| psk.value.clone());
                rows::same(&rows::tunnel(one), &rows::tunnel(other))
                    && rows::tunnel_only(one).is_empty()
                    && rows::tunnel_only(other).is_empty()
                    && key(&one.psk) == key(&other.psk)
                    && one.remote_addresses.iter().all(|remote| remote.value != "any")
            }
            _ => false,
        };
        let Some(known) = joined.iter_mut().find(same) else {
            joined.push(connection);
            continue;
        };
        let message = format!(
            "{} and {} have the same ends and settings: children of one connection, {}",
            known.name.value, connection.name.value, known.name.value
        );
        findings.note(&connection.name.at, message, "");
        if let [first] = known.children.as_mut_slice() {
            first.name.clone_from(&known.name.value);
        }
        for child in connection.children {
            let name = distinct(&known.children, &connection.name.value);
            known.children.push(ImportedChild { name, ..child });
        }
    }
    joined
}

fn distinct(children: &[ImportedChild], wanted: &str) -> String {
    let taken = |name: &str| children.iter().any(|child| child.name == name);
    if !taken(wanted) {
        return wanted.to_owned();
    }
    let short: String = wanted.chars().take(58).collect();
    (2..).map(|number| format!("{short}-{number}")).find(|name| !taken(name)).unwrap_or_default()
}

/// Two sections from the same end to the same networks by two gateways are two tunnels of one connection.
fn tunnels(connections: Vec<ImportedConnection>, findings: &mut Findings) -> Vec<ImportedConnection> {
    let mut rest: Vec<Option<ImportedConnection>> = connections.into_iter().map(Some).collect();
    let mut joined = Vec::new();
    for index in 0..rest.len() {
        let Some(first) = rest.get_mut(index).and_then(Option::take) else { continue };
        let others: Vec<usize> = (index + 1..rest.len())
            .filter(|other| rest.get(*other).and_then(Option::as_ref).is_some_and(|other| are_tunnels(&first, other)))
            .collect();
        match others.as_slice() {
            [other] => match rest.get_mut(*other).and_then(Option::take) {
                Some(second) => joined.push(pair(first, second, findings)),
                None => joined.push(first),
            },
            _ => joined.push(first),
        }
    }
    joined
}

/// Whether two connections are evidently one: everything of our end and of the traffic is the same, and where the traffic is
/// everything, which says nothing, they have one name with two numbers.
fn are_tunnels(one: &ImportedConnection, other: &ImportedConnection) -> bool {
    let ([first], [second]) = (one.tunnels.as_slice(), other.tunnels.as_slice()) else { return false };
    let ([child], [sibling]) = (one.children.as_slice(), other.children.as_slice()) else { return false };
    let ours = |rows: Vec<Row>| -> Vec<Row> {
        rows.into_iter().filter(|row| matches!(row.key, "local_address" | "local_id")).collect()
    };
    let traffic = |child: &ImportedChild| -> Vec<Row> {
        let own = |row: &Row| !matches!(row.key, "esp_proposals" | "lifetime_seconds");
        rows::child(child).into_iter().filter(own).collect()
    };
    let remote = |tunnel: &super::model::ImportedTunnel| -> Option<String> {
        match tunnel.remote_addresses.as_slice() {
            [only] if only.value != "any" => Some(only.value.clone()),
            _ => None,
        }
    };
    let gateways = remote(first).zip(remote(second)).is_some_and(|(one, other)| one != other);
    let everything = child.remote_subnets.iter().any(|text| text.value == "0.0.0.0/0" || text.value == "::/0");
    let alike = stem(&one.name.value).is_some() && stem(&one.name.value) == stem(&other.name.value);
    // Inside addresses of the managed service's range are what its two tunnels have.
    let inside = |tunnel: &super::model::ImportedTunnel| {
        tunnel.inside.as_ref().is_some_and(|inside| inside.value.address.is_link_local())
    };
    let alike = alike || (inside(first) && inside(second));
    gateways
        && rows::same(&ours(rows::tunnel(first)), &ours(rows::tunnel(second)))
        && rows::same(&traffic(child), &traffic(sibling))
        && (alike || !everything)
}

/// A name without the number at its end.
fn stem(name: &str) -> Option<&str> {
    let bare = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let stem = bare.trim_end_matches(['-', '_', '.']);
    (bare.len() < name.len() && !stem.is_empty()).then_some(stem)
}

fn pair(first: ImportedConnection, second: ImportedConnection, findings: &mut Findings) -> ImportedConnection {
    let alike = stem(&first.name.value).filter(|stem| Some(*stem) == self::stem(&second.name.value));
    let name = usable_name(alike.unwrap_or(&first.name.value));
    let message = format!(
        "{} and {} lead from the same end to the same networks: the two tunnels of one connection, {name}",
        first.name.value, second.name.value
    );
    findings.note(&second.name.at, message, "if they are not, give one of them other networks");
    let (mut joined, mut second) = (first, second);
    joined.name.value = name;
    if let ([child], [sibling]) = (joined.children.as_mut_slice(), second.children.as_mut_slice()) {
        let words =
            |child: &ImportedChild| child.esp_proposals.iter().map(|text| text.value.clone()).collect::<Vec<_>>();
        let own = |tunnels: &mut [super::model::ImportedTunnel], change: &dyn Fn(&mut super::model::ImportedTunnel)| {
            tunnels.iter_mut().for_each(change);
        };
        if words(child) != words(sibling) {
            let (ours, theirs) = (std::mem::take(&mut child.esp_proposals), sibling.esp_proposals.clone());
            own(&mut joined.tunnels, &|tunnel| tunnel.esp_proposals.clone_from(&ours));
            own(&mut second.tunnels, &|tunnel| tunnel.esp_proposals.clone_from(&theirs));
        }
        if child.lifetime.as_ref().map(|at| at.value) != sibling.lifetime.as_ref().map(|at| at.value) {
            let (ours, theirs) = (child.lifetime.take(), sibling.lifetime.clone());
            own(&mut joined.tunnels, &|tunnel| tunnel.child_lifetime.clone_from(&ours));
            own(&mut second.tunnels, &|tunnel| tunnel.child_lifetime.clone_from(&theirs));
        }
    }
    joined.tunnels.append(&mut second.tunnels);
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_at_the_end_is_no_part_of_the_stem() {
        for (name, expected) in
            [("Tunnel1", Some("Tunnel")), ("se1_2", Some("se1")), ("wan219", Some("wan")), ("net", None), ("42", None)]
        {
            assert_eq!(stem(name), expected, "{name}");
        }
    }
}
