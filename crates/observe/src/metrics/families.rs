//! Each metric: its name, its help, and where its values come from.

use super::{Family, Kind};
use crate::Tally;
use crate::tally::Phase;
use engine::status::{ConnectionStatus, Status};
use ike::config::PeerName;
use std::collections::{BTreeMap, BTreeSet};

use Kind::{Counter, Gauge};

type Labels = Vec<(&'static str, String)>;

/// `up`, `negotiating`, …: every word that a connection's state may have.
const STATES: [&str; 4] = ["up", "negotiating", "down", "disabled"];
/// Every word that a tunnel's role in its group may have.
const ROLES: [&str; 5] = ["active", "standby", "held", "suspect", "down"];

/// A status and the counts beside it.
pub(super) struct View<'a> {
    status: &'a Status,
    tally: &'a Tally,
    /// The group of every tunnel that is in one.
    groups: BTreeMap<&'a str, &'a str>,
}

impl<'a> View<'a> {
    pub(super) fn new(status: &'a Status, tally: &'a Tally) -> View<'a> {
        let members = status
            .groups
            .iter()
            .flat_map(|group| group.tunnels.iter().map(|tunnel| (tunnel.connection.as_str(), group.name.as_str())));
        View { status, tally, groups: members.collect() }
    }

    /// The connection that people call it, and the tunnel: where there is but one, they are called the same.
    fn labels(&self, tunnel: &str) -> Labels {
        let connection = self.groups.get(tunnel).copied().unwrap_or(tunnel);
        vec![("vpn_connection_id", connection.to_owned()), ("tunnel", tunnel.to_owned())]
    }
}

fn and(mut labels: Labels, name: &'static str, value: impl ToString) -> Labels {
    labels.push((name, value.to_string()));
    labels
}

fn flag(is: bool) -> f64 {
    f64::from(u8::from(is))
}

/// Seconds since 1970 as the status has them here.
fn time(text: Option<&String>) -> Option<f64> {
    text?.parse().ok()
}

pub(super) fn of_gateway(view: &View<'_>) -> Vec<Family> {
    let build = Family::new("vpn_build_info", Gauge, "The program: always 1, its version as a label.")
        .with(vec![("version", view.status.gateway.version.clone())], 1.0);
    let mut started = Family::new("vpn_start_timestamp_seconds", Gauge, "When the gateway started.");
    if let Some(at) = time(Some(&view.status.gateway.started)) {
        started = started.with(Vec::new(), at);
    }
    let half_open = Family::new("vpn_ike_half_open", Gauge, "IKE SAs that are not authenticated yet.")
        .with(Vec::new(), view.status.gateway.half_open as f64);
    let mut drops = Family::new("vpn_esp_drops", Counter, "Packets that went no further, by reason.");
    for (reason, count) in &view.status.drops {
        drops = drops.with(vec![("reason", (*reason).to_owned())], *count as f64);
    }
    let mut strangers = Family::new(
        "vpn_ike_ignored",
        Counter,
        "IKE messages that nobody could be made responsible for and that were ignored, by reason.",
    );
    for (reason, count) in &view.tally.strangers {
        strangers = strangers.with(vec![("reason", (*reason).to_owned())], *count as f64);
    }
    vec![build, started, half_open, drops, strangers]
}

/// One family with a value of every tunnel that has one.
fn each(
    view: &View<'_>,
    (name, kind, help): (&'static str, Kind, &'static str),
    value: impl Fn(&ConnectionStatus) -> Option<f64>,
) -> Family {
    let mut family = Family::new(name, kind, help);
    for connection in &view.status.connections {
        if let Some(value) = value(connection) {
            family = family.with(view.labels(&connection.name), value);
        }
    }
    family
}

pub(super) fn of_tunnels(view: &View<'_>) -> Vec<Family> {
    let up = |connection: &ConnectionStatus| Some(flag(connection.state == "up"));
    let mut families = vec![
        each(view, ("vpn_tunnel_up", Gauge, "Whether all of a tunnel is up: its IKE SA and every child."), up),
        states(view),
        reasons(view),
        info(view),
        each(view, ("vpn_tunnel_established_timestamp_seconds", Gauge, "Since when a tunnel is up."), |connection| {
            time(connection.since.as_ref()).filter(|_| connection.state == "up")
        }),
        each(view, ("vpn_tunnel_rtt_seconds", Gauge, "Round-trip time of exchanges of IKE, smoothed."), |connection| {
            connection.rtt_milliseconds.map(|time| time / 1000.0)
        }),
        each(view, ("vpn_tunnel_weak_algorithms", Gauge, "Weak algorithms in use."), |connection| {
            let ike = connection.ike.iter().map(|ike| ike.weak.len());
            let children = connection.children.iter().map(|child| child.weak.len());
            Some(ike.chain(children).sum::<usize>() as f64)
        }),
    ];
    families.extend(traffic(view));
    families.extend(children(view));
    families
}

/// A counter: its name, its help, and where it is.
type Total = (&'static str, &'static str, fn(&ConnectionStatus) -> u64);

fn traffic(view: &View<'_>) -> Vec<Family> {
    let all: [Total; 5] = [
        ("vpn_tunnel_receive_bytes", "Bytes of inner packets received.", |it| it.traffic.bytes_in),
        ("vpn_tunnel_transmit_bytes", "Bytes of inner packets sent.", |it| it.traffic.bytes_out),
        ("vpn_tunnel_receive_packets", "Packets received.", |it| it.traffic.packets_in),
        ("vpn_tunnel_transmit_packets", "Packets sent.", |it| it.traffic.packets_out),
        (
            "vpn_tunnel_peer_transmit_packets",
            "Packets that the peer sent, by its sequence numbers: more than were received were lost or refused.",
            |it| it.traffic.expected_in,
        ),
    ];
    all.into_iter().map(|(name, help, value)| each(view, (name, Counter, help), |it| Some(value(it) as f64))).collect()
}

fn states(view: &View<'_>) -> Family {
    let mut family = Family::new("vpn_tunnel_state", Gauge, "A tunnel's state: 1 for the one it is in, 0 for others.");
    for connection in &view.status.connections {
        for state in STATES {
            let labels = and(view.labels(&connection.name), "state", state);
            family = family.with(labels, flag(connection.state == state));
        }
    }
    family
}

fn reasons(view: &View<'_>) -> Family {
    let mut family =
        Family::new("vpn_tunnel_down_reason", Gauge, "Why a tunnel is not up: always 1, the reason as a label.");
    for connection in view.status.connections.iter().filter(|connection| connection.state != "up") {
        let code = connection.reason.as_ref().map_or("unknown", |reason| reason.code);
        family = family.with(and(view.labels(&connection.name), "code", code), 1.0);
    }
    family
}

fn info(view: &View<'_>) -> Family {
    let mut family = Family::new(
        "vpn_tunnel_info",
        Gauge,
        "A tunnel's ends, IKE version and algorithms: always 1, they are the labels.",
    );
    for connection in &view.status.connections {
        let text = |text: Option<&String>| text.cloned().unwrap_or_default();
        let suites = connection.children.iter().filter_map(|child| child.suite.clone());
        let esp: BTreeSet<String> = suites.collect();
        let labels = and(view.labels(&connection.name), "local", text(connection.local.as_ref()));
        let labels = and(labels, "peer", text(connection.remote.as_ref()));
        let labels = and(labels, "ike_version", connection.ike.as_ref().map_or("", |ike| ike.version));
        let labels = and(labels, "ike_suite", text(connection.ike.as_ref().map(|ike| &ike.suite)));
        let labels = and(labels, "esp_suite", esp.into_iter().collect::<Vec<_>>().join(", "));
        family = family.with(labels, 1.0);
    }
    family
}

fn children(view: &View<'_>) -> Vec<Family> {
    let mut up = Family::new("vpn_child_up", Gauge, "Whether a child SA carries traffic.");
    let mut received = Family::new(
        "vpn_child_last_receive_timestamp_seconds",
        Gauge,
        "When a packet was last received on the present SA of a child, to half a second.",
    );
    let mut rekey =
        Family::new("vpn_child_next_rekey_timestamp_seconds", Gauge, "When the next rekey of a child starts.");
    let mut mtu = Family::new("vpn_child_mtu_bytes", Gauge, "The largest inner packet.");
    for connection in &view.status.connections {
        for child in &connection.children {
            let labels = || and(view.labels(&connection.name), "child", &child.name);
            up = up.with(labels(), flag(child.state == "up"));
            let values = [
                (&mut received, time(child.last_in.as_ref())),
                (&mut rekey, time(child.rekey_at.as_ref())),
                (&mut mtu, child.mtu.map(f64::from)),
            ];
            for (family, value) in values {
                family.samples.extend(value.map(|value| super::Sample { labels: labels(), value }));
            }
        }
    }
    vec![up, received, rekey, mtu]
}

pub(super) fn of_groups(view: &View<'_>) -> Vec<Family> {
    let mut configured = Family::new("vpn_connection_tunnels", Gauge, "Tunnels of a connection.");
    let mut well = Family::new("vpn_connection_tunnels_up", Gauge, "Tunnels of a connection that work.");
    let mut roles = Family::new("vpn_tunnel_role", Gauge, "A tunnel's role: 1 for the one it has, 0 for others.");
    let mut moves =
        Family::new("vpn_failovers", Counter, "How often traffic of a connection moved from one tunnel to another.");
    let mut suspected = Family::new("vpn_tunnel_suspected", Counter, "How often a tunnel did not answer and was left.");
    for group in &view.status.groups {
        let id = || vec![("vpn_connection_id", group.name.clone())];
        let works = group.tunnels.iter().filter(|tunnel| !matches!(tunnel.role, "suspect" | "down")).count();
        configured = configured.with(id(), group.tunnels.len() as f64);
        well = well.with(id(), works as f64);
        for tunnel in &group.tunnels {
            for role in ROLES {
                let labels = and(and(id(), "tunnel", &tunnel.connection), "role", role);
                roles = roles.with(labels, flag(tunnel.role == role));
            }
            let key = PeerName::from(tunnel.connection.as_str());
            let suspicions = view.tally.suspicions.get(&key).copied().unwrap_or(0);
            suspected = suspected.with(and(id(), "tunnel", &tunnel.connection), suspicions as f64);
        }
        let moved = view.tally.moves.get(&PeerName::from(group.name.as_str())).copied().unwrap_or(0);
        moves = moves.with(id(), moved as f64);
    }
    let alone = |name: &str| !view.groups.contains_key(name);
    for connection in view.status.connections.iter().filter(|connection| alone(&connection.name)) {
        let id = || vec![("vpn_connection_id", connection.name.clone())];
        configured = configured.with(id(), 1.0);
        well = well.with(id(), flag(connection.state == "up"));
    }
    vec![configured, well, roles, moves, suspected]
}

pub(super) fn of_negotiations(view: &View<'_>) -> Vec<Family> {
    let mut ended = Family::new(
        "vpn_ike_negotiations",
        Counter,
        "Negotiations that ended, by what they were for and their result: ok, or why not.",
    );
    for ((peer, phase, result), count) in &view.tally.negotiations {
        let labels = and(and(view.labels(&peer.0), "phase", phase.name()), "result", result);
        ended = ended.with(labels, *count as f64);
    }
    let mut rekeys = Family::new("vpn_ike_rekeys", Counter, "Rekeys that succeeded, of the IKE SA or of children.");
    let mut last = Family::new("vpn_ike_rekey_timestamp_seconds", Gauge, "When the last rekey succeeded.");
    for connection in &view.status.connections {
        for phase in [Phase::Ike, Phase::Child] {
            let labels = || and(view.labels(&connection.name), "phase", phase.name());
            let known = view.tally.rekeys.get(&(PeerName::from(connection.name.as_str()), phase));
            rekeys = rekeys.with(labels(), known.map_or(0.0, |(count, _)| *count as f64));
            if let Some((_, at)) = known {
                last = last.with(labels(), *at);
            }
        }
    }
    vec![ended, rekeys, last]
}

pub(super) fn of_baselines(view: &View<'_>) -> Vec<Family> {
    let mut median = Family::new(
        "vpn_tunnel_baseline_median",
        Gauge,
        "What is normal at this hour of the week: half of the time less.",
    );
    let mut spread = Family::new("vpn_tunnel_baseline_spread", Gauge, "How far from the median is still normal.");
    let mut deviation = Family::new(
        "vpn_tunnel_baseline_deviation",
        Gauge,
        "How many spreads the last minute was above the median, below where negative.",
    );
    let mut unusual = Family::new("vpn_tunnel_unusual", Gauge, "Whether the last minute was far from what is normal.");
    for connection in &view.status.connections {
        for quantity in connection.baseline.iter().flat_map(|baseline| &baseline.quantities) {
            let labels = || and(view.labels(&connection.name), "quantity", quantity.quantity);
            median = median.with(labels(), quantity.median);
            spread = spread.with(labels(), quantity.spread);
            if let Some(value) = quantity.deviation {
                deviation = deviation.with(labels(), value);
            }
            unusual = unusual.with(labels(), flag(quantity.unusual));
        }
    }
    vec![median, spread, deviation, unusual]
}
