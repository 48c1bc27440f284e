//! What is wrong only between tables: routes that lead a tunnel into itself, traffic or peers claimed twice.

use super::connection::Draft;
use crate::diagnostic::{Report, code};
use crate::source::Place;
use engine::desired::{Policy, PolicyAction};
use ike::config::{KEYS_TRIED, Version};
use ipsec::TrafficSelector;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// Comparisons of selectors at most. A file that needs more is told about what was found until then.
const MOST_COMPARISONS: usize = 200_000;

pub(crate) fn check(drafts: &[Draft], policies: &[Policy], report: &mut Report) {
    route_loops(drafts, policies, report);
    same_traffic(drafts, report);
    same_peers(drafts, report);
    keys_by_address(drafts, report);
}

/// A route that covers a peer's own address leads the packets of the tunnel into the tunnel: nothing ever leaves. A bypass
/// policy for that address takes it out again.
fn route_loops(drafts: &[Draft], policies: &[Policy], report: &mut Report) {
    let bypassed = |address: IpAddr| {
        let covers = |selector: &TrafficSelector| selector.protocol == 0 && selector.contains_address(address);
        policies.iter().any(|policy| policy.action == PolicyAction::Bypass && policy.remote.iter().any(covers))
    };
    let peers: BTreeMap<IpAddr, &str> = drafts
        .iter()
        .flat_map(|draft| draft.connection.peer.remote_addresses.iter().map(move |address| (*address, draft)))
        .filter(|(address, _)| !bypassed(*address))
        .map(|(address, draft)| (address, &*draft.connection.peer.name.0))
        .collect();
    for route in drafts.iter().flat_map(|draft| &draft.children).flat_map(|child| &child.routes) {
        if report.is_full() {
            return;
        }
        let (network, length) = route.value;
        let covered = TrafficSelector::from_prefix(network, length);
        if let Some((peer, name)) = peers.range(covered.start..=covered.end).next() {
            let message = format!("the route {network}/{length} covers {peer}, the address of the peer of `{name}`");
            let help = format!(
                "the tunnel's own packets to {peer} would be routed into the tunnel and never leave; list narrower prefixes \
                 in `routes`, or take the address out with a policy: `action = \"bypass\"`, `remote = [\"{peer}\"]`"
            );
            report.error(code::ROUTE_LOOP, route.place, message, Some(help));
        }
    }
}

/// One remote selector of one child.
struct Claim<'d> {
    remote: &'d TrafficSelector,
    local: &'d [TrafficSelector],
    connection: usize,
    child: usize,
    place: Place,
}

/// Children of two connections that claim the same packets: the first match gets them (RFC 4301 §4.4.1), the other none.
fn same_traffic(drafts: &[Draft], report: &mut Report) {
    let mut claims: Vec<Claim> = Vec::new();
    for (connection, draft) in drafts.iter().enumerate() {
        for (child, at) in draft.children.iter().enumerate() {
            let (local, place) = (at.child.local.as_slice(), at.remote_place);
            claims.extend(at.child.remote.iter().map(|remote| Claim { remote, local, connection, child, place }));
        }
    }
    claims.sort_by_key(|claim| (claim.remote.start, claim.place));
    let (mut told, mut comparisons) = (BTreeSet::new(), 0);
    for (index, one) in claims.iter().enumerate() {
        for other in claims.iter().skip(index + 1).take_while(|other| other.remote.start <= one.remote.end) {
            comparisons += 1;
            if comparisons > MOST_COMPARISONS || report.is_full() {
                return;
            }
            let meet = |a: &TrafficSelector, b: &TrafficSelector| a.intersection(b).is_some();
            let locals_meet = || one.local.iter().any(|a| other.local.iter().any(|b| meet(a, b)));
            if (one.connection, one.child) == (other.connection, other.child)
                || same_group(drafts, one.connection, other.connection)
                || !meet(one.remote, other.remote)
                || !locals_meet()
            {
                continue;
            }
            let (first, second) = if one.place < other.place { (one, other) } else { (other, one) };
            if told.insert((first.connection, first.child, second.connection, second.child)) {
                tell_overlap(drafts, first, second, report);
            }
        }
    }
}

/// Tunnels of one connection are there to carry the same traffic.
fn same_group(drafts: &[Draft], one: usize, other: usize) -> bool {
    let group = |index: usize| drafts.get(index).and_then(|draft| draft.group.as_ref());
    one != other && group(one).is_some() && group(one) == group(other)
}

fn tell_overlap(drafts: &[Draft], first: &Claim, second: &Claim, report: &mut Report) {
    let name = |claim: &Claim| {
        drafts.get(claim.connection).map_or_else(String::new, |draft| {
            let child = draft.children.get(claim.child).map_or("", |at| &*at.child.name.0);
            format!("{}/{child}", draft.connection.peer.name)
        })
    };
    let (one, two) = (name(first), name(second));
    let where_first = report.name_of(first.place);
    let same = first.remote == second.remote && first.local == second.local;
    // Children of one connection may overlap on purpose, and so do tunnels that leave the choice to routes.
    let on_purpose =
        first.connection == second.connection || first.remote.prefixes().iter().all(|(_, length)| *length == 0);
    let help = format!("narrow one of the two; `{one}` is at {where_first}");
    if same && !on_purpose {
        let message =
            format!("`{two}` claims the same traffic as `{one}` ({}), and would get none of it", second.remote);
        report.error(code::OVERLAP, second.place, message, Some(help));
    } else if same || first.connection != second.connection {
        let message = format!(
            "`{two}` ({}) overlaps with `{one}` ({}); what both match goes to one of them",
            second.remote, first.remote
        );
        report.warning(code::OVERLAP, second.place, message, Some(help));
    }
}

/// Two connections with the same peer and identities: a message from the peer fits both.
fn same_peers(drafts: &[Draft], report: &mut Report) {
    let mut known: BTreeMap<String, &Draft> = BTreeMap::new();
    for draft in drafts {
        let peer = &draft.connection.peer;
        let mut addresses = peer.remote_addresses.clone();
        addresses.sort_unstable();
        let remote_id = peer.remote_id.as_ref().map(ToString::to_string);
        let names = &draft.connection.remote_names;
        let key = format!("{:?} {addresses:?} {names:?} {} {remote_id:?}", peer.local_address, peer.local_id);
        match known.get(&key) {
            // Told as tunnels with the same ends.
            Some(first) if first.group.is_some() && first.group == draft.group => {}
            Some(first) => {
                let name = &first.connection.peer.name;
                let message = format!("`{}` has the same peer and identities as `{name}`", peer.name);
                let help = format!("make it a second child of `{name}`, or give one of them another identity");
                report.warning(code::OVERLAP, draft.remote_place, message, Some(help));
            }
            None => {
                known.insert(key, draft);
            }
        }
        if report.is_full() {
            return;
        }
    }
}

/// Where a peer of IKEv1 may be; `Any` is anywhere.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Whereabouts<'d> {
    Address(IpAddr),
    Name(&'d str),
    Any,
}

fn whereabouts(draft: &Draft) -> Vec<Whereabouts<'_>> {
    let addresses = draft.connection.peer.remote_addresses.iter().copied().map(Whereabouts::Address);
    let names = draft.connection.remote_names.iter().map(|name| Whereabouts::Name(name));
    let mut found: Vec<_> = addresses.chain(names).collect();
    if found.is_empty() {
        found.push(Whereabouts::Any);
    }
    found
}

/// In IKEv1's main mode a peer's identity comes encrypted with a key made of the pre-shared one, so a responder tries the
/// keys of all connections that fit the peer's address, up to a bound: those behind it cannot be reached by their peers.
fn keys_by_address(drafts: &[Draft], report: &mut Report) {
    let main_mode =
        |draft: &&Draft| draft.connection.peer.versions.allow(Version::V1) && !draft.connection.peer.aggressive;
    let mut ranked: Vec<&Draft> = drafts.iter().filter(main_mode).collect();
    // The order in which a responder tries them: one that names our address before one that takes any, then by name.
    ranked.sort_by_key(|draft| (draft.connection.peer.local_address.is_none(), &draft.connection.peer.name));
    let mut before: BTreeMap<(Whereabouts, Option<IpAddr>), usize> = BTreeMap::new();
    for draft in ranked {
        let local = draft.connection.peer.local_address;
        for place in whereabouts(draft) {
            let count = before.entry((place, local)).or_insert(0);
            *count += 1;
            if *count > KEYS_TRIED {
                tell_untried(draft, *count, report);
            }
        }
        if report.is_full() {
            return;
        }
    }
}

fn tell_untried(draft: &Draft, count: usize, report: &mut Report) {
    let peer = &draft.connection.peer;
    let message = format!(
        "`{}` is number {count} of the connections with its peer's address; in IKEv1's main mode the keys of {KEYS_TRIED} are \
         tried on a peer that calls",
        peer.name
    );
    let help = "give some of them the peer's own address or another `local_address`, or use IKEv2".to_owned();
    report.warning(code::OVERLAP, draft.remote_place, message, Some(help));
}
