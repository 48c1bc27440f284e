//! What an engine observes, as `underpass status --json` prints it (schema version 1). A configured tunnel that is down is
//! always listed, with its reason.

use crate::Engine;
use crate::children::Child;
use crate::desired::Connection;
use crate::failover::TunnelView;
use crate::traffic::{Observation, Totals};
use ike::SaView;
use ike::config::{ChildConfig, PeerName};
use ike::event::{ChildId, DownReason, Role};
use ipsec::{DropCounters, DropReason, Encapsulation};
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The whole status.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// Counts up when a field changes its meaning.
    pub schema_version: u32,
    /// When it was taken, RFC 3339.
    pub time: String,
    /// The gateway itself.
    pub gateway: GatewayStatus,
    /// Every configured connection, by name.
    pub connections: Vec<ConnectionStatus>,
    /// Every group of tunnels, by name; its tunnels are connections, too.
    pub groups: Vec<GroupStatus>,
    /// Dropped packets by reason.
    pub drops: BTreeMap<&'static str, u64>,
}

/// The gateway itself.
#[derive(Clone, Debug, Serialize)]
pub struct GatewayStatus {
    /// Version of the program.
    pub version: String,
    /// When it started, RFC 3339.
    pub started: String,
    /// Process ID.
    pub pid: u32,
    /// Half-open IKE SAs.
    pub half_open: usize,
}

/// Why something is not up.
#[derive(Clone, Debug, Serialize)]
pub struct ReasonStatus {
    /// A stable word.
    pub code: &'static str,
    /// A sentence.
    pub message: String,
    /// The values in it by their names; see [`crate::reason`].
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub details: BTreeMap<&'static str, String>,
}

/// One connection.
#[derive(Clone, Debug, Serialize)]
pub struct ConnectionStatus {
    /// Its name.
    pub name: String,
    /// `up`, `negotiating`, `down` or `disabled`.
    pub state: &'static str,
    /// Why it is not up, or why a child of it is not.
    pub reason: Option<ReasonStatus>,
    /// Since when, RFC 3339, when known.
    pub since: Option<String>,
    /// Our address and port.
    pub local: Option<String>,
    /// The peer's address and port, or the configured addresses.
    pub remote: Option<String>,
    /// Our identity.
    pub local_id: String,
    /// The peer's identity, proved or expected.
    pub remote_id: Option<String>,
    /// `none`, `local`, `remote` or `both`.
    pub nat: Option<&'static str>,
    /// Versions of IKE that are spoken with it: `ikev1`, `ikev2` or `both`.
    pub ike_versions: &'static str,
    /// The IKE SA.
    pub ike: Option<IkeStatus>,
    /// Every configured child.
    pub children: Vec<ChildStatus>,
    /// Whether the peer is asked whether it lives.
    pub dpd_enabled: bool,
    /// What passed since it was configured, over all its SAs.
    pub traffic: TrafficStatus,
    /// Smoothed round-trip time of exchanges of IKE in the last minute and a half, in milliseconds.
    pub rtt_milliseconds: Option<f64>,
    /// What is normal for it at this hour; filled in by whoever keeps that over weeks.
    pub baseline: Option<BaselineStatus>,
}

/// What passed through a connection since it was configured.
#[derive(Clone, Debug, Serialize)]
pub struct TrafficStatus {
    /// Bytes of inner packets received.
    pub bytes_in: u64,
    /// Packets received.
    pub packets_in: u64,
    /// Bytes of inner packets sent.
    pub bytes_out: u64,
    /// Packets sent.
    pub packets_out: u64,
    /// Packets that the peer sent, by its sequence numbers: what `packets_in` has less of was lost or refused.
    pub expected_in: u64,
}

/// What is normal for a connection at this hour of the week.
#[derive(Clone, Debug, Serialize)]
pub struct BaselineStatus {
    /// What it is compared with: `hour_of_week`, or until that is known `hour_of_day` or `any_hour`.
    pub basis: &'static str,
    /// Hours that it comes from.
    pub hours: usize,
    /// Each quantity that is known.
    pub quantities: Vec<QuantityStatus>,
}

/// A quantity of a connection and what is normal for it.
#[derive(Clone, Debug, Serialize)]
pub struct QuantityStatus {
    /// Its name; the unit is part of it.
    pub quantity: &'static str,
    /// In the last minute.
    pub now: Option<f64>,
    /// Half of the time it is less.
    pub median: f64,
    /// As a standard deviation, but robust.
    pub spread: f64,
    /// How many spreads it is above the median, below where negative.
    pub deviation: Option<f64>,
    /// Somebody should look.
    pub unusual: bool,
}

/// An IKE SA.
#[derive(Clone, Debug, Serialize)]
pub struct IkeStatus {
    /// `ikev1` or `ikev2`.
    pub version: &'static str,
    /// SPI of the initiator.
    pub spi_i: String,
    /// SPI of the responder.
    pub spi_r: String,
    /// `initiator` or `responder`.
    pub role: &'static str,
    /// Algorithms.
    pub suite: String,
    /// When it was authenticated, RFC 3339.
    pub established: Option<String>,
    /// When a rekey starts, RFC 3339.
    pub rekey_at: Option<String>,
    /// Weak algorithms in use, each with the reason: `sha1: SHA-1 is being phased out`.
    pub weak: Vec<&'static str>,
}

/// One configured child, with the SA that carries its traffic.
#[derive(Clone, Debug, Serialize)]
pub struct ChildStatus {
    /// Its name.
    pub name: String,
    /// `up` or `down`.
    pub state: &'static str,
    /// Why it is not up.
    pub reason: Option<ReasonStatus>,
    /// Algorithms.
    pub suite: Option<String>,
    /// Weak algorithms in use, each with the reason.
    pub weak: Vec<&'static str>,
    /// Our selectors, negotiated or configured.
    pub local: Vec<String>,
    /// The peer's selectors, negotiated or configured.
    pub remote: Vec<String>,
    /// Inbound SPI.
    pub spi_in: Option<String>,
    /// Outbound SPI.
    pub spi_out: Option<String>,
    /// `udp` or `esp`.
    pub encapsulation: Option<&'static str>,
    /// Largest inner packet, bytes.
    pub mtu: Option<u16>,
    /// Bytes of inner packets received on the present SA.
    pub bytes_in: u64,
    /// Packets received on the present SA.
    pub packets_in: u64,
    /// Bytes of inner packets sent on the present SA.
    pub bytes_out: u64,
    /// Packets sent on the present SA.
    pub packets_out: u64,
    /// When a packet was last received, RFC 3339 (to half a second).
    pub last_in: Option<String>,
    /// When a rekey starts, RFC 3339.
    pub rekey_at: Option<String>,
    /// When it was installed, RFC 3339.
    pub installed_at: Option<String>,
    /// SAs there are for it, rekeyed ones included.
    pub sas: usize,
}

/// Tunnels to the same place.
#[derive(Clone, Debug, Serialize)]
pub struct GroupStatus {
    /// Its name: what the configuration calls the connection.
    pub name: String,
    /// `active-standby` or `active-active`.
    pub mode: &'static str,
    /// `up` when every tunnel is and none is suspect, `degraded` when one at least carries, else `down`.
    pub state: &'static str,
    /// The tunnels, in the order of the configuration.
    pub tunnels: Vec<TunnelStatus>,
    /// How often traffic moved from one tunnel to another.
    pub moves: u64,
    /// When it last did, RFC 3339.
    pub moved: Option<String>,
}

/// One tunnel of a group.
#[derive(Clone, Debug, Serialize)]
pub struct TunnelStatus {
    /// The connection it is.
    pub connection: String,
    /// `active` carries our traffic; `standby` would; `held` would, but was suspect lately; `suspect` does not answer; `down`.
    /// What the peer sends may come through any of them.
    pub role: &'static str,
    /// Higher is preferred.
    pub preference: u16,
    /// Our inside address.
    pub inside_local: Option<String>,
    /// The peer's inside address.
    pub inside_remote: Option<String>,
    /// Smoothed round-trip time of liveness checks, in milliseconds; known once it had to be asked.
    pub rtt_milliseconds: Option<f64>,
    /// Until when another tunnel is preferred although this one is well again, RFC 3339.
    pub held_until: Option<String>,
}

/// What a status needs from the host: the wall clock and the process.
pub struct StatusContext<'a> {
    /// RFC 3339 of a moment.
    pub stamp: &'a dyn Fn(Instant) -> String,
    /// Version of the program.
    pub version: &'a str,
    /// Process ID.
    pub pid: u32,
    /// Counters of the workers.
    pub drops: &'a DropCounters,
}

impl ReasonStatus {
    /// Nothing has failed; it is only not finished.
    fn negotiating() -> Self {
        let message = "its negotiation is under way".to_owned();
        ReasonStatus { code: "negotiating", message, details: BTreeMap::new() }
    }
}

impl From<Totals> for TrafficStatus {
    fn from(totals: Totals) -> Self {
        let Totals { bytes_in, packets_in, bytes_out, packets_out, expected_in } = totals;
        TrafficStatus { bytes_in, packets_in, bytes_out, packets_out, expected_in }
    }
}

/// To the microsecond.
fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

impl From<&DownReason> for ReasonStatus {
    fn from(reason: &DownReason) -> Self {
        let details = crate::reason::details(reason).into_iter().collect();
        ReasonStatus { code: reason.code(), message: reason.to_string(), details }
    }
}

impl Engine {
    /// Everything observed now.
    pub fn status(&self, now: Instant, cx: &StatusContext<'_>) -> Status {
        let observations = self.observations(now);
        let connections = self.desired.connections.values().map(|connection| {
            let observation = observations.get(&connection.peer.name).copied().unwrap_or_default();
            self.connection(connection, &observation, cx)
        });
        Status {
            schema_version: 1,
            time: (cx.stamp)(now),
            gateway: GatewayStatus {
                version: cx.version.to_owned(),
                started: (cx.stamp)(self.started),
                pid: cx.pid,
                half_open: self.endpoint.half_open(),
            },
            connections: connections.collect(),
            groups: self.desired.groups.keys().filter_map(|name| self.group(name, cx)).collect(),
            drops: DropReason::ALL.iter().map(|reason| (reason.name(), self.dropped(*reason, cx))).collect(),
        }
    }

    fn group(&self, name: &PeerName, cx: &StatusContext<'_>) -> Option<GroupStatus> {
        let (views, group) = self.failover.view(name)?;
        let well = |view: &TunnelView| matches!(view.role, "active" | "standby" | "held");
        let state = match (views.iter().all(well), views.iter().any(well)) {
            (true, true) => "up",
            (false, true) => "degraded",
            (_, false) => "down",
        };
        let tunnels = views.into_iter().zip(&group.config.tunnels).map(|(view, config)| TunnelStatus {
            connection: config.peer.to_string(),
            role: view.role,
            preference: config.preference,
            inside_local: config.inside.map(|inside| inside.local.to_string()),
            inside_remote: config.inside.map(|inside| inside.remote.to_string()),
            rtt_milliseconds: view.rtt.map(milliseconds),
            held_until: view.held_until.map(cx.stamp),
        });
        Some(GroupStatus {
            name: name.to_string(),
            mode: group.config.mode.name(),
            state,
            tunnels: tunnels.collect(),
            moves: group.moves,
            moved: group.moved.map(cx.stamp),
        })
    }

    fn dropped(&self, reason: DropReason, cx: &StatusContext<'_>) -> u64 {
        cx.drops.get(reason) + self.drops.get(reason)
    }

    fn connection(
        &self,
        connection: &Connection,
        observation: &Observation,
        cx: &StatusContext<'_>,
    ) -> ConnectionStatus {
        let peer = &connection.peer;
        let sas: Vec<SaView<'_>> = self.endpoint.sas_of(&peer.name).collect();
        let live = sas.iter().filter(|sa| sa.is_established()).max_by_key(|sa| sa.established());
        let shown = live.or(sas.first());
        let children: Vec<ChildStatus> =
            peer.children.iter().map(|child| self.child(connection, child, &sas, cx)).collect();
        let state = state(&Observed {
            established: live.is_some(),
            connecting: sas.iter().any(SaView::is_connecting),
            disabled: self.endpoint.is_disabled(&peer.name),
            children: children.len(),
            children_up: children.iter().filter(|child| child.state == "up").count(),
        });
        let stored = self.reasons.get(&(peer.name.clone(), None));
        let reason = match (state, stored) {
            ("up", _) => None,
            (_, Some((reason, _))) => Some(ReasonStatus::from(reason)),
            (_, None) => children.iter().find_map(|child| child.reason.clone()).or_else(|| {
                let (reason, _) = self.endpoint.peer_reason(&peer.name)?;
                Some(ReasonStatus::from(&reason))
            }),
        };
        let since = match live {
            Some(live) => live.established().map(cx.stamp),
            None if state == "up" => self.children.oldest(&peer.name).map(cx.stamp),
            None => stored.map(|(_, at)| (cx.stamp)(*at)),
        };
        let expected = (!peer.remote_addresses.is_empty())
            .then(|| peer.remote_addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "));
        ConnectionStatus {
            name: peer.name.to_string(),
            state,
            reason,
            since,
            local: shown
                .map(|sa| sa.path().local.to_string())
                .or(peer.local_address.map(|address| address.to_string())),
            remote: shown.map(|sa| sa.path().remote.to_string()).or(expected),
            local_id: peer.local_id.to_string(),
            remote_id: live.and_then(|sa| sa.remote_id()).or(peer.remote_id.as_ref()).map(ToString::to_string),
            nat: live.map(nat),
            ike_versions: peer.versions.name(),
            ike: live.map(|sa| ike_status(sa, cx)),
            children,
            dpd_enabled: peer.dpd.interval.is_some(),
            traffic: TrafficStatus::from(observation.totals),
            rtt_milliseconds: observation.rtt.map(milliseconds),
            baseline: None,
        }
    }

    fn child(
        &self,
        connection: &Connection,
        config: &ChildConfig,
        sas: &[SaView<'_>],
        cx: &StatusContext<'_>,
    ) -> ChildStatus {
        let peer = &connection.peer.name;
        let all = self.children.of(peer, &config.name);
        let shown: Option<&(ChildId, &Child)> = all.iter().find(|(id, _)| self.children.is_active(*id));
        let reason = || {
            // What concerns the whole connection explains its children too, and is newer than what they said before.
            let whole = self.reasons.get(&(peer.clone(), None));
            let stored = whole.or_else(|| self.reasons.get(&(peer.clone(), Some(config.name.clone()))));
            match stored {
                Some((reason, _)) => ReasonStatus::from(reason),
                None if sas.iter().any(SaView::is_connecting) => ReasonStatus::negotiating(),
                None => ReasonStatus::from(&DownReason::Idle),
            }
        };
        let words = |selectors: &[ipsec::TrafficSelector]| selectors.iter().map(ToString::to_string).collect();
        let (local, remote) = match shown {
            Some((_, child)) => (words(&child.selectors.local), words(&child.selectors.remote)),
            None => (words(&config.local), words(&config.remote)),
        };
        let negotiated = shown.and_then(|(id, _)| self.endpoint.children_of(peer).find(|child| child.id == *id));
        let data = shown.map(|(_, child)| *child);
        ChildStatus {
            name: config.name.to_string(),
            state: if shown.is_some() { "up" } else { "down" },
            reason: shown.is_none().then(reason),
            suite: negotiated.map(|child| child.choice.to_string()),
            weak: negotiated.map(|child| child.choice.is_weak()).unwrap_or_default(),
            local,
            remote,
            spi_in: data.map(|child| child.spis.inbound.to_string()),
            spi_out: data.map(|child| child.spis.outbound.to_string()),
            encapsulation: data.map(|child| match child.encapsulation {
                Encapsulation::Udp { .. } => "udp",
                Encapsulation::Plain { .. } => "esp",
            }),
            mtu: data.map(|child| child.inner_mtu(self.path_mtu(child.remote()))),
            bytes_in: data.map_or(0, |child| child.inbound.bytes()),
            packets_in: data.map_or(0, |child| child.inbound.packets()),
            bytes_out: data.map_or(0, |child| child.outbound.bytes()),
            packets_out: data.map_or(0, |child| child.outbound.packets()),
            last_in: data.and_then(|child| child.last_heard).map(cx.stamp),
            rekey_at: negotiated.and_then(|child| child.rekey_at).map(cx.stamp),
            installed_at: data.map(|child| (cx.stamp)(child.installed)),
            sas: all.len(),
        }
    }
}

/// What the state of a connection follows from.
struct Observed {
    established: bool,
    connecting: bool,
    disabled: bool,
    children: usize,
    children_up: usize,
}

fn state(seen: &Observed) -> &'static str {
    let all_up = seen.children_up == seen.children;
    // Children of IKEv1 carry traffic for as long as they live, with or without the SA that made them (RFC 2409 §5.5).
    let orphans = all_up && seen.children > 0;
    match (seen.established, all_up) {
        (true, true) => "up",
        (false, _) if orphans => "up",
        _ if seen.disabled => "disabled",
        (true, false) => "down",
        (false, _) if seen.connecting => "negotiating",
        (false, _) => "down",
    }
}

fn nat(sa: &SaView<'_>) -> &'static str {
    match (sa.nat().local, sa.nat().remote) {
        (false, false) => "none",
        (true, false) => "local",
        (false, true) => "remote",
        (true, true) => "both",
    }
}

fn ike_status(sa: &SaView<'_>, cx: &StatusContext<'_>) -> IkeStatus {
    let (initiator, responder, role) = match sa.role() {
        Role::Initiator => (sa.local_spi(), sa.remote_spi(), "initiator"),
        Role::Responder => (sa.remote_spi(), sa.local_spi(), "responder"),
    };
    IkeStatus {
        version: sa.version().name(),
        spi_i: initiator.to_string(),
        spi_r: responder.to_string(),
        role,
        suite: sa.suite().map(|suite| suite.to_string()).unwrap_or_default(),
        established: sa.established().map(cx.stamp),
        rekey_at: sa.rekey_at().map(cx.stamp),
        weak: sa.suite().map(|suite| suite.is_weak()).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_that_outlive_their_ike_sa_keep_the_connection_up_as_long_as_all_of_them_do() {
        // (established, connecting, disabled, children, of them up, state)
        let table = [
            (true, false, false, 2, 2, "up"),
            (true, false, false, 2, 1, "down"),
            (true, true, true, 2, 1, "disabled"),
            (true, false, false, 0, 0, "up"),
            (false, false, false, 2, 2, "up"),
            (false, true, false, 2, 2, "up"),
            (false, false, true, 2, 2, "up"),
            (false, true, false, 2, 1, "negotiating"),
            (false, false, false, 2, 1, "down"),
            (false, false, true, 2, 0, "disabled"),
            (false, false, false, 0, 0, "down"),
        ];
        for (established, connecting, disabled, children, children_up, expected) in table {
            let seen = Observed { established, connecting, disabled, children, children_up };
            assert_eq!(state(&seen), expected, "{established} {connecting} {disabled} {children} {children_up}");
        }
    }
}
