//! `[connection.NAME.tunnel.NAME]`: a connection of several tunnels to the same place, of which each becomes a connection of
//! its own, `NAME-1` and `NAME-2`, with what is written for all of them and, before that, what is written for it.

use super::connection::Draft;
use super::document::{Name, Named, named};
use super::keys::SectionKind;
use super::section::{Entry, Section, entries, shown, type_name};
use crate::diagnostic::{Report, code};
use crate::source::{At, Place};
use engine::desired::{GroupMode, InsideAddresses, Tunnel, TunnelGroup};
use ike::config::PeerName;
use ipsec::TrafficSelector;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;
use toml::de::DeValue;

/// Tunnels of a connection at most.
const MOST_TUNNELS: usize = 8;
const PREFERENCE: u16 = 100;
/// What only the connection as a whole has.
const OF_THE_WHOLE: [&str; 4] = ["child", "tunnel", "mode", "keepalive_seconds"];

/// A connection to be read as one: itself, or one tunnel of it.
pub(crate) struct Single<'t> {
    pub(crate) named: Named<'t>,
    /// Keys of children that hold for this tunnel, whatever the children say.
    pub(crate) of_children: Vec<Entry<'t>>,
    /// The connection that it is a tunnel of.
    pub(crate) group: Option<&'t str>,
}

/// A connection of several tunnels, as far as one of them alone does not tell.
pub(crate) struct Group<'t> {
    name: &'t str,
    mode: GroupMode,
    keepalive: Option<Duration>,
    tunnels: Vec<Member>,
}

struct Member {
    peer: String,
    preference: u16,
    inside: Option<At<InsideAddresses>>,
}

/// Takes connections apart where they have tunnels.
pub(crate) fn expand<'t>(connections: Vec<Named<'t>>, report: &mut Report) -> (Vec<Single<'t>>, Vec<Group<'t>>) {
    let (mut singles, mut groups): (Vec<Single>, Vec<Group>) = (Vec::new(), Vec::new());
    for mut named in connections {
        match named.section.take("tunnel") {
            None => {
                whole_only(&mut named.section, report);
                singles.push(Single { named, of_children: Vec::new(), group: None });
            }
            Some((_, tunnel)) => groups.extend(apart(named, &tunnel, &mut singles, report)),
        }
    }
    (singles, groups)
}

/// `mode` and the like say nothing where there is one tunnel.
fn whole_only(section: &mut Section, report: &mut Report) {
    for name in ["mode", "keepalive_seconds"] {
        if let Some((_, entry)) = section.take(name) {
            let place = entry.key_place;
            let message = format!("`{name}` needs several tunnels");
            let help = "write `[connection.NAME.tunnel.1]` and `.2`, each with its `remote_address`, or leave it out";
            report.error(code::CONFLICT, place, message, Some(help.to_owned()));
        }
    }
}

fn apart<'t>(
    connection: Named<'t>,
    tunnel: &Entry<'t>,
    singles: &mut Vec<Single<'t>>,
    report: &mut Report,
) -> Option<Group<'t>> {
    let Named { name, section, .. } = connection;
    let name = name.in_the_file()?;
    let title = format!("connection.{}.tunnel", shown(name));
    let DeValue::Table(table) = tunnel.value else {
        let message = format!("`tunnel` must be a table, found {}", type_name(tunnel.value));
        report.error(code::INVALID, tunnel.key_place, message, Some(format!("write `[{title}.1]`")));
        return None;
    };
    let found = named(SectionKind::Tunnel, &title, entries(tunnel.place.file, table), report);
    if found.is_empty() || found.len() > MOST_TUNNELS {
        let message = format!("`{title}` has {} tunnels; 1 to {MOST_TUNNELS} are possible", found.len());
        report.error(
            code::INVALID,
            tunnel.key_place,
            message,
            Some(format!("write `[{title}.1]` and its keys below it")),
        );
        return None;
    }
    let mut whole = section;
    whole.drop_unknown(report);
    let mode = match whole.word("mode", report).map(|word| word.value) {
        Some("active-active") => GroupMode::ActiveActive,
        _ => GroupMode::ActiveStandby,
    };
    let keepalive = whole.integer("keepalive_seconds", report).map(|at| at.value).filter(|seconds| *seconds > 0);
    let mut group = Group { name, mode, keepalive: keepalive.map(Duration::from_secs), tunnels: Vec::new() };
    for Named { name: number, place: at, section: own } in found {
        let peer = format!("{name}-{number}");
        let ((section, of_children), member) = one(&whole, own, peer.clone(), report);
        group.tunnels.push(member);
        singles.push(Single {
            named: Named { name: Name::Made(peer), place: at, section },
            of_children,
            group: Some(name),
        });
    }
    Some(group)
}

/// One tunnel's section as a connection's, the keys of children that it overrides, and what the group knows of it.
fn one<'t>(
    whole: &Section<'t>,
    mut own: Section<'t>,
    peer: String,
    report: &mut Report,
) -> ((Section<'t>, Vec<Entry<'t>>), Member) {
    let preference =
        own.integer("preference", report).and_then(|at| u16::try_from(at.value).ok()).unwrap_or(PREFERENCE);
    let inside = own.text("inside_address", report).and_then(|text| inside(text, report));
    let place = own.place;
    let title = own.title().to_owned();
    let of_connection =
        |entry: &Entry| SectionKind::Connection.key(entry.key).is_some() && !OF_THE_WHOLE.contains(&entry.key);
    let overrides = own.take_all(of_connection);
    let of_children = own.take_all(|entry| SectionKind::Tunnel.key(entry.key).is_some());
    own.finish(report);
    ((whole.overridden(title, place, overrides), of_children), Member { peer, preference, inside })
}

/// `169.254.10.2/30`: ours, and by it the peer's.
fn inside(text: At<&str>, report: &mut Report) -> Option<At<InsideAddresses>> {
    match inside_addresses(text.value) {
        Ok(value) => Some(At { value, place: text.place }),
        Err((message, help)) => {
            report.error(code::INVALID, text.place, format!("`inside_address`: {message}"), Some(help));
            None
        }
    }
}

fn inside_addresses(text: &str) -> Result<InsideAddresses, (String, String)> {
    let example = || "write our address and the length, as in `169.254.10.2/30`".to_owned();
    let parsed = text
        .trim()
        .split_once('/')
        .and_then(|(address, length)| Some((address.parse::<IpAddr>().ok()?, length.parse::<u8>().ok()?)));
    let Some((local, prefix_length)) = parsed else {
        return Err((format!("`{}` is not an address with a prefix length", shown(text)), example()));
    };
    let bits = if local.is_ipv4() { 32 } else { 128 };
    let host_bits = u32::from(bits) - u32::from(prefix_length.min(bits));
    if prefix_length > bits || !(1..=2).contains(&host_bits) {
        let message = format!("a prefix of {prefix_length} bits does not name the peer's address by ours");
        return Err((message, format!("a tunnel's inside is a /{} or a /{}: two hosts", bits - 2, bits - 1)));
    }
    let number = match local {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    };
    // A /31 and a /127 have two hosts and nothing else (RFC 3021, RFC 6164).
    let remote = if host_bits == 1 { number ^ 1 } else { number ^ 3 };
    if host_bits == 2 && matches!(number & 3, 0 | 3) {
        let which = if number & 3 == 0 { "network" } else { "broadcast" };
        let base = number & !3;
        let host = |last: u128| address_of(local, base | last);
        let message = format!("{local} is the {which} address of its /{prefix_length}");
        return Err((message, format!("its hosts are {} and {}", host(1), host(2))));
    }
    Ok(InsideAddresses { local, remote: address_of(local, remote), prefix_length })
}

/// A number as an address of the family of `like`.
fn address_of(like: IpAddr, number: u128) -> IpAddr {
    match like {
        IpAddr::V4(_) => std::net::Ipv4Addr::from_bits(number as u32).into(),
        IpAddr::V6(_) => std::net::Ipv6Addr::from_bits(number).into(),
    }
}

/// Checks what only several tunnels can get wrong, and makes the groups.
pub(crate) fn finish(groups: Vec<Group>, drafts: &[Draft], report: &mut Report) -> BTreeMap<PeerName, TunnelGroup> {
    names(&groups, drafts, report);
    inside_twice(&groups, report);
    for group in &groups {
        let drafts: Vec<&Draft> = drafts.iter().filter(|draft| draft.group.as_deref() == Some(group.name)).collect();
        same_ends(&drafts, report);
        inside_unprotected(group, &drafts, report);
    }
    let made = groups.into_iter().map(|group| {
        let tunnel = |member: Member| Tunnel {
            peer: PeerName::from(member.peer.as_str()),
            preference: member.preference,
            inside: member.inside.map(|at| at.value),
        };
        let tunnels = group.tunnels.into_iter().map(tunnel).collect();
        (PeerName::from(group.name), TunnelGroup { mode: group.mode, tunnels, keepalive: group.keepalive })
    });
    made.collect()
}

/// A tunnel's name may be that of another connection.
fn names(groups: &[Group], drafts: &[Draft], report: &mut Report) {
    let mut known: BTreeMap<&PeerName, &Draft> = BTreeMap::new();
    for draft in drafts {
        let name = &draft.connection.peer.name;
        let Some(first) = known.insert(name, draft) else { continue };
        let message =
            format!("two connections are called `{name}`: a tunnel is called by its connection and its own name");
        let help = format!("give one of them another name; the other is at {}", report.name_of(first.place));
        report.error(code::CONFLICT, draft.place, message, Some(help));
    }
    for group in groups {
        if let Some(draft) = known.get(&PeerName::from(group.name)) {
            let message =
                format!("`{}` is a connection of several tunnels and the name of another connection", group.name);
            report.error(code::CONFLICT, draft.place, message, Some("give one of them another name".to_owned()));
        }
    }
}

/// Two tunnels between the same two addresses are one: what breaks one breaks the other.
fn same_ends(drafts: &[&Draft], report: &mut Report) {
    for (index, draft) in drafts.iter().enumerate() {
        let ends = |draft: &Draft| {
            let peer = &draft.connection.peer;
            (peer.local_address, peer.remote_addresses.clone(), draft.connection.remote_names.clone(), peer.remote_port)
        };
        let same = |other: &&&Draft| ends(other) == ends(draft);
        if let Some(first) = drafts.iter().take(index).find(same) {
            let message = format!(
                "tunnels `{}` and `{}` are between the same outside addresses",
                first.connection.peer.name, draft.connection.peer.name
            );
            let help = format!(
                "each tunnel has a `remote_address` of its own, or a `local_address`; the other is at {}",
                report.name_of(first.remote_place)
            );
            report.error(code::CONFLICT, draft.remote_place, message, Some(help));
        }
    }
}

/// Inside prefixes are of one tunnel each.
fn inside_twice(groups: &[Group], report: &mut Report) {
    let mut known: Vec<(TrafficSelector, &str, Place)> = Vec::new();
    for member in groups.iter().flat_map(|group| &group.tunnels) {
        let Some(at) = &member.inside else { continue };
        let prefix = inside_prefix(&at.value);
        if let Some((first, name, place)) = known.iter().find(|(known, ..)| known.intersection(&prefix).is_some()) {
            let message = format!("the inside of `{}` overlaps with that of `{name}` ({first})", member.peer);
            let help = format!("give each tunnel a prefix of its own; the other is at {}", report.name_of(*place));
            report.error(code::CONFLICT, at.place, message, Some(help));
        }
        known.push((prefix, &member.peer, at.place));
        if report.is_full() {
            return;
        }
    }
}

fn inside_prefix(inside: &InsideAddresses) -> TrafficSelector {
    let host_bits = if inside.local.is_ipv4() { 32 } else { 128 } - u32::from(inside.prefix_length);
    let number = match inside.local {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    };
    TrafficSelector::from_prefix(address_of(inside.local, number >> host_bits << host_bits), inside.prefix_length)
}

/// Inside addresses that no child protects are reached by nobody.
fn inside_unprotected(group: &Group, drafts: &[&Draft], report: &mut Report) {
    for (member, draft) in group.tunnels.iter().zip(drafts) {
        let Some(at) = &member.inside else { continue };
        let inside = at.value;
        let covers = |selectors: &[TrafficSelector], address: IpAddr| {
            selectors.iter().any(|selector| selector.protocol == 0 && selector.contains_address(address))
        };
        let holds = |child: &super::child::Draft| {
            covers(&child.child.local, inside.local) && covers(&child.child.remote, inside.remote)
        };
        if !draft.children.iter().any(holds) {
            let message = format!("no child protects traffic between {} and {}", inside.local, inside.remote);
            let help =
                "the far inside address cannot be reached; use `0.0.0.0/0` on both sides and `routes`, or add a child";
            report.warning(code::CONFLICT, at.place, message, Some(help.to_owned()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_inside_address_names_the_peers() {
        for (text, remote) in [
            ("169.254.10.2/30", "169.254.10.1"),
            ("169.254.10.1/30", "169.254.10.2"),
            ("169.254.10.6/31", "169.254.10.7"),
            ("fd00::1/126", "fd00::2"),
            ("fd00::3/127", "fd00::2"),
        ] {
            let inside = inside_addresses(text).unwrap();
            assert_eq!(inside.remote, remote.parse::<IpAddr>().unwrap(), "{text}");
        }
    }

    #[test]
    fn an_inside_address_that_is_no_host_or_names_no_peer_is_refused_with_what_to_write() {
        for (text, help) in [
            ("169.254.10.0/30", "its hosts are 169.254.10.1 and 169.254.10.2"),
            ("169.254.10.3/30", "its hosts are 169.254.10.1 and 169.254.10.2"),
            ("169.254.10.2/29", "a tunnel's inside is a /30 or a /31: two hosts"),
            ("169.254.10.2/32", "a tunnel's inside is a /30 or a /31: two hosts"),
            ("169.254.10.2/64", "a tunnel's inside is a /30 or a /31: two hosts"),
            ("fd00::1/64", "a tunnel's inside is a /126 or a /127: two hosts"),
            ("169.254.10.2", "write our address and the length, as in `169.254.10.2/30`"),
            ("", "write our address and the length, as in `169.254.10.2/30`"),
        ] {
            assert_eq!(inside_addresses(text).unwrap_err().1, help, "{text}");
        }
    }
}
