//! Routes into the tunnel and back, as the host has them.

use super::{TunnelRule, any_up, host, interface};
use crate::catalogue::*;
use crate::evidence::{Evidence, LiveConnection};
use crate::finding::{Confidence, Finding};
use crate::tunnel::Tunnel;
use ipsec::TrafficSelector;
use std::net::IpAddr;

pub(super) const TUNNEL: &[TunnelRule] = &[overlap, elsewhere, asymmetric];

/// Inside networks that a managed service keeps for itself.
const RESERVED: [&str; 7] = [
    "169.254.0.0/30",
    "169.254.1.0/30",
    "169.254.2.0/30",
    "169.254.3.0/30",
    "169.254.4.0/30",
    "169.254.5.0/30",
    "169.254.169.252/30",
];

/// A prefix, its host bits cut off.
fn prefix(text: &str) -> Option<TrafficSelector> {
    let (address, length) = text.split_once('/').unwrap_or((text, ""));
    let address: IpAddr = address.parse().ok()?;
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let length = if length.is_empty() { longest } else { length.parse().ok()? };
    (length <= longest).then(|| TrafficSelector::from_prefix(address, length))
}

/// The networks behind the peer; everything is none.
fn remote_networks(tunnel: &Tunnel<'_>) -> Vec<(String, TrafficSelector)> {
    let children = tunnel.config.map(|config| config.children.as_slice()).unwrap_or_default();
    let texts = children.iter().flat_map(|child| &child.remote);
    let parsed = texts.filter_map(|text| {
        let network = text.split_once('[').map_or(text.as_str(), |(network, _)| network);
        Some((network.to_owned(), prefix(network)?))
    });
    parsed.filter(|(text, _)| !text.ends_with("/0")).collect()
}

/// The first network of this host that lies inside one behind the peer, or holds it: (interface, own, remote, inside).
fn overlapping(tunnel: &Tunnel<'_>) -> Option<(String, String, String, bool)> {
    let ours = interface(tunnel.evidence);
    let remotes = remote_networks(tunnel);
    let interfaces = host(tunnel)?.interfaces.iter().filter(|one| one.name != ours && one.name != "lo");
    let mut covering = None;
    for (own, name) in interfaces.flat_map(|one| one.networks.iter().map(move |network| (network, &one.name))) {
        let Some(own_network) = prefix(own) else { continue };
        for (remote, network) in &remotes {
            if own_network.is_subset_of(network) {
                return Some((name.clone(), own.clone(), remote.clone(), true));
            }
            if network.is_subset_of(&own_network) {
                covering.get_or_insert((name.clone(), own.clone(), remote.clone(), false));
            }
        }
    }
    covering
}

fn overlap(tunnel: &Tunnel<'_>) -> Option<Finding> {
    let (name, own, remote, inside) = overlapping(tunnel)?;
    let finding = Finding::new(RTE_02).of(tunnel.name);
    Some(if inside {
        finding
            .shown_by(format!("{name} has {own}, which is in {remote} behind the peer: the kernel delivers it there"))
    } else {
        finding.advice().shown_by(format!("{name} has {own}, which holds {remote} behind the peer"))
    })
}

fn elsewhere(tunnel: &Tunnel<'_>) -> Option<Finding> {
    let ours = interface(tunnel.evidence);
    let config = tunnel
        .config
        .filter(|_| tunnel.evidence.running == Some(true) && overlapping(tunnel).is_none_or(|found| !found.3))?;
    let wanted: Vec<TrafficSelector> = config.routes.iter().filter_map(|route| prefix(route)).collect();
    let astray = host(tunnel)?.routes.iter().find(|route| {
        let concerns = prefix(&route.prefix).is_some_and(|one| wanted.iter().any(|wanted| one.is_subset_of(wanted)));
        concerns && route.interface.as_deref() != Some(ours)
    })?;
    let to = astray.interface.as_deref().unwrap_or("nowhere");
    Some(
        Finding::new(RTE_01)
            .of(tunnel.name)
            .shown_by(format!("packets for {} go to {to}, not to {ours}", astray.prefix))
            .shown_by_all(astray.route.as_ref().map(|route| format!("route: {route}")))
            .fix(match (&astray.interface, &astray.route) {
                (Some(_), Some(route)) => format!("ip route del {route}"),
                (_, _) => RTE_01.entry().fix.to_owned(),
            }),
    )
}

/// A gateway for its own addresses alone need not forward.
fn forwards(evidence: &Evidence) -> bool {
    let own = evidence.host.as_ref().and_then(|host| host.addresses.clone()).unwrap_or_default();
    let connections = evidence.configuration.iter().flat_map(|configuration| &configuration.connections);
    let mut locals = connections.flat_map(|one| &one.children).flat_map(|child| &child.local);
    locals.any(|local| {
        let address = local.split_once('/').map_or(local.as_str(), |(address, _)| address);
        let single = !local.contains('/') || local.ends_with("/32") || local.ends_with("/128");
        !(single && address.parse().is_ok_and(|address: IpAddr| own.contains(&address)))
    })
}

pub(super) fn forwarding(evidence: &Evidence) -> Option<Finding> {
    let host = evidence.host.as_ref().filter(|_| forwards(evidence))?;
    if host.ip_forward == Some(false) {
        let line = "net.ipv4.ip_forward = 0: packets from and to other hosts are dropped";
        return Some(Finding::new(RTE_03).shown_by(line).fix("sysctl -w net.ipv4.ip_forward=1"));
    }
    let strict = host.interfaces.iter().find(|one| one.name == interface(evidence) && one.rp_filter == Some(1))?;
    let all = evidence.configuration.iter().flat_map(|configuration| &configuration.connections);
    let everything = all.flat_map(|one| &one.children).any(|child| child.remote.iter().any(|net| net.ends_with("/0")));
    let finding = Finding::new(RTE_03)
        .confidence(Confidence::Possible)
        .shown_by(format!(
            "rp_filter is strict (1) on {}: packets whose way back is another one are dropped",
            strict.name
        ))
        .fix(format!("sysctl -w net.ipv4.conf.all.rp_filter=2 net.ipv4.conf.{}.rp_filter=2", strict.name));
    // With every network behind the peer routed into the tunnel, the way back is the tunnel.
    Some(if everything { finding } else { finding.advice() })
}

pub(super) fn inside_addresses(evidence: &Evidence) -> Option<Finding> {
    let host = evidence.host.as_ref()?;
    let all = host.interfaces.iter().flat_map(|one| one.networks.iter().map(move |network| (&one.name, network)));
    let inside: Vec<(&String, &String, TrafficSelector)> = all
        .filter(|(_, network)| network.starts_with("169.254."))
        .filter_map(|(name, network)| Some((name, network, prefix(network)?)))
        .collect();
    for (index, (name, text, network)) in inside.iter().enumerate() {
        let reserved = RESERVED.iter().find(|one| prefix(one).is_some_and(|one| network.is_subset_of(&one)));
        if let Some(reserved) = reserved {
            return Some(Finding::new(RTE_06).shown_by(format!("{name} has {text}, in the reserved {reserved}")));
        }
        let twin = inside.iter().skip(index + 1).find(|(_, _, other)| network.intersection(other).is_some());
        if let Some((other, other_text, _)) = twin.filter(|(_, other_text, _)| *other_text != *text || any_up(evidence))
        {
            let line = format!("{name} has {text} and {other} has {other_text}");
            return Some(Finding::new(RTE_06).shown_by(line));
        }
    }
    None
}

/// Packets of all children: in, out.
fn traffic(connection: &LiveConnection) -> (u64, u64) {
    let sum = |of: fn(&crate::evidence::LiveChild) -> Option<u64>| connection.children.iter().filter_map(of).sum();
    (sum(|child| child.packets_in), sum(|child| child.packets_out))
}

pub(super) fn asymmetric(tunnel: &Tunnel<'_>) -> Option<Finding> {
    let live = tunnel.live.filter(|live| live.state == "up")?;
    let (inbound, outbound) = traffic(live);
    let ours = remote_networks(tunnel);
    let others = Tunnel::all(tunnel.evidence).into_iter().filter(|other| other.name != tunnel.name);
    let other = others.into_iter().find(|other| {
        let same =
            remote_networks(other).iter().any(|(_, net)| ours.iter().any(|(_, own)| own.intersection(net).is_some()));
        let (other_in, other_out) = other.live.map(traffic).unwrap_or_default();
        same && inbound == 0 && outbound >= 5 && other_out == 0 && other_in >= 5
    })?;
    let (other_in, _) = other.live.map(traffic).unwrap_or_default();
    Some(
        Finding::new(RTE_04)
            .of(tunnel.name)
            .advice()
            .shown_by(format!("out by {}: {outbound} packets, none in", tunnel.name))
            .shown_by(format!("in by {}: {other_in} packets, none out", other.name)),
    )
}
