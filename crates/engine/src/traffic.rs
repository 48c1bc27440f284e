//! What passed through each connection since it was configured, over all its SAs, and how long the way to its peer is: what
//! metrics count and a baseline is made of.

use crate::Engine;
use crate::children::{Child, Children};
use ike::config::PeerName;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How old a measured round-trip time may be to be told.
const FRESH: Duration = Duration::from_secs(90);
/// From which age on the peer is asked again: who looks once a minute always finds one.
const ASK_AFTER: Duration = Duration::from_secs(30);

/// Everything that passed through a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Totals {
    /// Bytes of inner packets received.
    pub bytes_in: u64,
    /// Packets received.
    pub packets_in: u64,
    /// Bytes of inner packets sent.
    pub bytes_out: u64,
    /// Packets sent.
    pub packets_out: u64,
    /// Packets that the peer sent, by its sequence numbers: what is missing from `packets_in` was lost or refused.
    pub expected_in: u64,
}

impl Totals {
    fn of(child: &Child) -> Totals {
        Totals {
            bytes_in: child.inbound.bytes(),
            packets_in: child.inbound.packets(),
            bytes_out: child.outbound.bytes(),
            packets_out: child.outbound.packets(),
            expected_in: child.inbound.highest_sequence(),
        }
    }

    fn add(&mut self, other: Totals) {
        self.bytes_in += other.bytes_in;
        self.packets_in += other.packets_in;
        self.bytes_out += other.bytes_out;
        self.packets_out += other.packets_out;
        self.expected_in += other.expected_in;
    }
}

/// A connection's traffic and its way, at one moment.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Observation {
    /// Since it was configured.
    pub totals: Totals,
    /// The round-trip time of an exchange of IKE in the last minute and a half, smoothed (RFC 6298 §2).
    pub rtt: Option<Duration>,
    /// An SA is there that carries.
    pub up: bool,
}

/// The way to a peer as its answers measured it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    smoothed: Duration,
    at: Instant,
}

/// What is remembered of SAs that are gone, and of the ways.
#[derive(Debug, Default)]
pub(crate) struct Observed {
    past: BTreeMap<PeerName, Totals>,
    ways: BTreeMap<PeerName, Way>,
}

impl Observed {
    /// An SA goes.
    pub(crate) fn gone(&mut self, child: &Child) {
        self.past.entry(child.peer.clone()).or_default().add(Totals::of(child));
    }

    /// A peer answered.
    pub(crate) fn answered(&mut self, peer: &PeerName, after: Duration, now: Instant) {
        let smoothed = match self.ways.get(peer) {
            Some(way) => way.smoothed * 7 / 8 + after / 8,
            None => after,
        };
        self.ways.insert(peer.clone(), Way { smoothed, at: now });
    }

    /// Forgets connections that are not wanted any more.
    pub(crate) fn retain(&mut self, wanted: impl Fn(&PeerName) -> bool) {
        self.past.retain(|peer, _| wanted(peer));
        self.ways.retain(|peer, _| wanted(peer));
    }

    fn rtt(&self, peer: &PeerName, now: Instant) -> Option<Duration> {
        self.measured_within(FRESH, peer, now)
    }

    fn measured_within(&self, age: Duration, peer: &PeerName, now: Instant) -> Option<Duration> {
        let way = self.ways.get(peer)?;
        (now.saturating_duration_since(way.at) <= age).then_some(way.smoothed)
    }
}

impl Children {
    /// Traffic of all SAs there are, by connection.
    fn traffic(&self) -> BTreeMap<PeerName, Observation> {
        let mut found: BTreeMap<PeerName, Observation> = BTreeMap::new();
        for child in self.by_id.values() {
            let of_peer = found.entry(child.peer.clone()).or_default();
            of_peer.totals.add(Totals::of(child));
            of_peer.up |= child.is_sent_on();
        }
        found
    }
}

impl Engine {
    /// What passed through every configured connection, and how long its way is.
    pub fn observations(&self, now: Instant) -> BTreeMap<PeerName, Observation> {
        let mut present = self.children.traffic();
        let observed = self.desired.connections.keys().map(|peer| {
            let mut of_peer = present.remove(peer).unwrap_or_default();
            of_peer.totals.add(self.observed.past.get(peer).copied().unwrap_or_default());
            of_peer.rtt = self.observed.rtt(peer, now);
            (peer.clone(), of_peer)
        });
        observed.collect()
    }

    /// Asks the peers whose round-trip time was not measured lately; a peer without liveness checks is not asked,
    /// for a question that stays unanswered ends an SA.
    pub fn measure(&mut self, now: Instant) {
        let reachable = self.children.reachable();
        let asked = self.desired.connections.iter().filter(|(peer, connection)| {
            connection.peer.dpd.interval.is_some()
                && reachable.contains(peer)
                && self.observed.measured_within(ASK_AFTER, peer, now).is_none()
        });
        let asked: Vec<PeerName> = asked.map(|(peer, _)| peer.clone()).collect();
        for peer in asked {
            self.ask(&peer, now);
        }
    }
}
