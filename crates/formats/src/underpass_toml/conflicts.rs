//! What is wrong only between tables: routes that lead a tunnel into itself, traffic or peers claimed twice.

use super::connection::Draft;
use crate::diagnostic::{Report, code};
use crate::source::Place;
use engine::desired::{Policy, PolicyAction};
use ike::config::{PeerConfig, Version, Versions};
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

impl std::fmt::Display for Whereabouts<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Whereabouts::Address(address) => address.fmt(f),
            Whereabouts::Name(name) => f.write_str(name),
            Whereabouts::Any => f.write_str("any"),
        }
    }
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

/// In IKEv1's main mode a peer's identity comes encrypted with a key made of the pre-shared one, so that is chosen by the
/// peer's address (RFC 2409 §5.4): of several connections with one address, a peer that calls is held against one.
fn keys_by_address(drafts: &[Draft], report: &mut Report) {
    let main_mode =
        |draft: &&Draft| draft.connection.peer.versions.allow(Version::V1) && !draft.connection.peer.aggressive;
    // The connection that a responder chooses first: one that names our address before one that takes any, then by name.
    let rank = |draft: &Draft| (draft.connection.peer.local_address.is_none(), draft.connection.peer.name.clone());
    let mut ranked: Vec<&Draft> = drafts.iter().filter(main_mode).collect();
    ranked.sort_by_key(|draft| rank(draft));
    let mut first: BTreeMap<(Whereabouts, Option<IpAddr>), &Draft> = BTreeMap::new();
    let mut first_of_all: BTreeMap<Whereabouts, &Draft> = BTreeMap::new();
    for draft in ranked {
        let local = draft.connection.peer.local_address;
        for place in whereabouts(draft) {
            let chosen = match local {
                Some(_) => first.get(&(place, local)).copied(),
                None => first_of_all.get(&place).copied(),
            };
            if let Some(chosen) = chosen {
                tell_other_key(chosen, draft, report);
            }
        }
        for (place, again) in whereabouts(draft).into_iter().zip(whereabouts(draft)) {
            first.entry((place, local)).or_insert(draft);
            first_of_all.entry(again).or_insert(draft);
        }
        if report.is_full() {
            return;
        }
    }
}

fn tell_other_key(chosen: &Draft, other: &Draft, report: &mut Report) {
    let (one, two): (&PeerConfig, &PeerConfig) = (&chosen.connection.peer, &other.connection.peer);
    if one.psk.ct_eq(two.psk.expose()) || one.psk.expose().is_empty() || two.psk.expose().is_empty() {
        return;
    }
    let place = whereabouts(other).into_iter().find(|place| whereabouts(chosen).contains(place));
    let place = place.map_or_else(String::new, |place| place.to_string());
    let message = format!(
        "`{}` and `{}` have the same peer address ({place}) and different pre-shared keys: in IKEv1's main mode the address \
         chooses the key, so a peer that calls is held against the key of `{}`",
        two.name, one.name, one.name
    );
    let help = format!(
        "give them different `local_address`es or the same key, or use IKEv2; `{}` is at {}",
        one.name,
        report.name_of(chosen.remote_place)
    );
    // Nothing else tells a peer from anywhere that speaks nothing else which connection is meant.
    let hopeless = [one, two].iter().all(|peer| peer.versions == Versions::V1 && peer.remote_addresses.is_empty())
        && one.local_address == two.local_address
        && one.proposals == two.proposals
        && chosen.connection.remote_names.is_empty()
        && other.connection.remote_names.is_empty();
    if hopeless {
        report.error(code::OVERLAP, other.remote_place, message, Some(help));
    } else {
        report.warning(code::OVERLAP, other.remote_place, message, Some(help));
    }
}
