//! What is wrong only between tunnels: an outside address twice, an inside network twice or reserved.

use super::finding::Findings;
use super::model::{ImportedConnection, ImportedTunnel};
use super::place::{Sourced, Spot};
use super::to_toml::rows::{self, Row};
use crate::underpass_toml::keys::{Kind, SectionKind};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// Networks that the managed service keeps for itself (EC2 API, `TunnelInsideCidr`).
const RESERVED: [Ipv4Addr; 7] = [
    Ipv4Addr::new(169, 254, 0, 0),
    Ipv4Addr::new(169, 254, 1, 0),
    Ipv4Addr::new(169, 254, 2, 0),
    Ipv4Addr::new(169, 254, 3, 0),
    Ipv4Addr::new(169, 254, 4, 0),
    Ipv4Addr::new(169, 254, 5, 0),
    Ipv4Addr::new(169, 254, 169, 252),
];

/// Keeps the connections that can stand beside each other; the names of the others are returned.
pub(crate) fn check(connections: &mut Vec<ImportedConnection>, findings: &mut Findings) -> Vec<Sourced<String>> {
    let mut inside: BTreeMap<(Ipv4Addr, u8), Spot> = BTreeMap::new();
    let mut refused = Vec::new();
    connections.retain(|connection| {
        let before = findings.errors();
        same_outside(connection, findings);
        sayable(connection, findings);
        for tunnel in &connection.tunnels {
            inside_network(tunnel, &mut inside, findings);
        }
        let sound = findings.errors() == before;
        if sound {
            unrouted(connection, findings);
        } else {
            refused.push(connection.name.clone());
        }
        sound
    });
    refused
}

/// Whether `underpass.toml` can say it: numbers within the bounds of its keys, and an identity for each end.
fn sayable(connection: &ImportedConnection, findings: &mut Findings) {
    let bounded = |kind: SectionKind, rows: Vec<Row>, findings: &mut Findings| {
        for row in rows {
            let Some(Kind::Integer(bounds) | Kind::IntegerOr(_, bounds)) = kind.key(row.key).map(|key| key.kind) else {
                continue;
            };
            if row.value.parse::<u64>().is_ok_and(|value| !bounds.allow(value)) {
                let message = format!("{} would be `{}`, which is {bounds} here", row.value, row.key);
                findings.error(&row.at, message, "write a value within these bounds there");
            }
        }
    };
    for tunnel in &connection.tunnels {
        bounded(SectionKind::Connection, rows::tunnel(tunnel), findings);
        bounded(SectionKind::Tunnel, rows::tunnel_only(tunnel), findings);
        if tunnel.local_address.is_none() && tunnel.local_id.is_none() {
            findings.error(
                &tunnel.name.at,
                "neither our address nor our identity is known",
                "say it with `--local ADDRESS`",
            );
        }
        if tunnel.remote_id.is_none() && tunnel.remote_addresses.len() != 1 {
            let message = "the peer has several addresses or none, and no identity";
            findings.error(&tunnel.name.at, message, "write its identity into the file");
        }
        if tunnel.remote_addresses.len() > 1 && tunnel.remote_addresses.iter().any(|at| at.value == "any") {
            findings.error(
                &tunnel.name.at,
                "a peer is anywhere, and at certain addresses too",
                "write one or the other",
            );
        }
    }
    for child in &connection.children {
        bounded(SectionKind::Child, rows::child(child), findings);
        if child.local_subnets.is_empty() || child.remote_subnets.is_empty() {
            let message = format!("{} names no network at one of its ends", child.name);
            findings.error(&connection.name.at, message, "write the networks behind both ends");
        }
    }
}

/// Traffic to everywhere goes nowhere until somebody says what is there.
fn unrouted(connection: &ImportedConnection, findings: &mut Findings) {
    let everything = |text: &Sourced<String>| text.value == "0.0.0.0/0" || text.value == "::/0";
    let asn = connection.tunnels.iter().find_map(|tunnel| tunnel.bgp.remote_asn.as_ref());
    for child in &connection.children {
        if !child.routes.is_empty() || !child.remote_subnets.iter().all(everything) {
            continue;
        }
        let Some(at) = asn.map(|asn| &asn.at).or(child.remote_subnets.first().map(|text| &text.at)) else { continue };
        let why = match asn {
            Some(_) => {
                "the file leaves the routes to BGP, which Underpass does not speak yet; its values stand as comments"
            }
            None => "the file does not name the networks behind the other end",
        };
        let help = format!(
            "list them in [connection.{}.child.{}]: `routes = [\"10.0.0.0/16\"]`",
            connection.name.value, child.name
        );
        findings.warning(at, format!("nothing is routed into the tunnel yet: {why}"), help);
    }
}

/// Two tunnels to one address are one tunnel: the second would fight the first.
fn same_outside(connection: &ImportedConnection, findings: &mut Findings) {
    let mut known: BTreeMap<&str, &Spot> = BTreeMap::new();
    for tunnel in &connection.tunnels {
        for remote in &tunnel.remote_addresses {
            if let Some(first) = known.insert(&remote.value, &remote.at) {
                let message = format!(
                    "two tunnels of {} have the same outside address {}; the first is at {first}",
                    connection.name.value, remote.value
                );
                findings.error(&remote.at, message, "each tunnel has an address of its own: write the right one there");
            }
        }
    }
}

fn inside_network(tunnel: &ImportedTunnel, known: &mut BTreeMap<(Ipv4Addr, u8), Spot>, findings: &mut Findings) {
    let Some(inside) = &tunnel.inside else { return };
    let (network, prefix) = (inside.value.network(), inside.value.prefix);
    if RESERVED.contains(&network) && prefix == 30 {
        let message = format!("the inside network {network}/{prefix} is reserved by the managed service");
        let help =
            "choose another /30 of 169.254.0.0/16 for the tunnel; not 169.254.0.0 to .5.0 and not 169.254.169.252";
        findings.error(&inside.at, message, help);
    }
    let host = u32::from(inside.value.address) & 3;
    if prefix == 30 && (host == 0 || host == 3) {
        let message = format!("{} is not a host of its own network {network}/30", inside.value);
        findings.error(&inside.at, message, "a /30 has two hosts: the second and third of its four addresses");
    }
    if let Some(first) = known.insert((network, prefix), inside.at.clone()) {
        let message = format!("the inside network {network}/{prefix} is in use twice; the first is at {first}");
        findings.error(&inside.at, message, "each tunnel has an inside network of its own");
    }
}
