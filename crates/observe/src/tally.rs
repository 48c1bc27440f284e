//! Counts of what happened: negotiations and their ends, rekeys, failovers, strangers.

use engine::failover;
use ike::config::PeerName;
use ike::event::Event;
use std::collections::BTreeMap;

/// What an IKE exchange sets up.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Phase {
    /// The IKE SA, phase 1.
    Ike,
    /// A child SA, phase 2.
    Child,
}

impl Phase {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Phase::Ike => "ike",
            Phase::Child => "child",
        }
    }
}

/// The end of a negotiation: with whom, of what, and the stable word for why it failed, `ok` where it did not.
type Negotiation = (PeerName, Phase, &'static str);

/// Counters that only rise, by connection; of connections that are configured and of nobody else, so they are bounded.
#[derive(Debug, Default)]
pub struct Tally {
    pub(crate) negotiations: BTreeMap<Negotiation, u64>,
    /// How many rekeys, and when the last one was, in seconds since 1970.
    pub(crate) rekeys: BTreeMap<(PeerName, Phase), (u64, f64)>,
    pub(crate) moves: BTreeMap<PeerName, u64>,
    pub(crate) suspicions: BTreeMap<PeerName, u64>,
    /// Datagrams that were ignored and strangers refused, by the word for why.
    pub(crate) strangers: BTreeMap<&'static str, u64>,
}

impl Tally {
    /// Counts an event at `wall`, in seconds since 1970.
    pub fn event(&mut self, event: &Event, wall: f64) {
        match event {
            Event::IkeSaUp { peer, .. } => self.ended(peer, Phase::Ike, "ok"),
            Event::ConnectFailed { peer, reason, .. } => self.ended(peer, Phase::Ike, reason.code()),
            Event::IkeSaRekeyed { peer, .. } => self.rekeyed(peer, Phase::Ike, wall),
            Event::ChildSaUp { peer, replaces: None, .. } => self.ended(peer, Phase::Child, "ok"),
            Event::ChildSaUp { peer, replaces: Some(_), .. } => self.rekeyed(peer, Phase::Child, wall),
            Event::ChildFailed { peer, reason, .. } => self.ended(peer, Phase::Child, reason.code()),
            Event::Rejected { peer: Some(peer), reason, .. } => self.ended(peer, Phase::Ike, reason.code()),
            Event::Rejected { peer: None, reason, .. } => *self.strangers.entry(reason.code()).or_default() += 1,
            Event::Ignored { reason, .. } => *self.strangers.entry(reason.name()).or_default() += 1,
            Event::Connecting { .. }
            | Event::FellBack { .. }
            | Event::AggressiveMode { .. }
            | Event::LifetimeDiffers { .. }
            | Event::Narrowed { .. }
            | Event::TruncationDiffers { .. }
            | Event::IkeSaDown { .. }
            | Event::ChildSaDown { .. }
            | Event::PeerMoved { .. }
            | Event::PeerNotified { .. }
            | Event::CookiesDemanded(_) => {}
        }
    }

    /// Counts what happened to a group of tunnels.
    pub fn failover(&mut self, event: &failover::Event) {
        match event {
            failover::Event::Suspected { tunnel, .. } => *self.suspicions.entry(tunnel.clone()).or_default() += 1,
            // The first tunnel of a group to come up moves nothing.
            failover::Event::Moved { group, from: Some(_), .. } => *self.moves.entry(group.clone()).or_default() += 1,
            failover::Event::Moved { .. } | failover::Event::Recovered { .. } => {}
        }
    }

    /// Forgets connections that are not configured any more.
    pub fn retain(&mut self, wanted: impl Fn(&PeerName) -> bool) {
        self.negotiations.retain(|(peer, ..), _| wanted(peer));
        self.rekeys.retain(|(peer, _), _| wanted(peer));
        self.moves.retain(|group, _| wanted(group));
        self.suspicions.retain(|peer, _| wanted(peer));
    }

    fn ended(&mut self, peer: &PeerName, phase: Phase, result: &'static str) {
        *self.negotiations.entry((peer.clone(), phase, result)).or_default() += 1;
    }

    fn rekeyed(&mut self, peer: &PeerName, phase: Phase, wall: f64) {
        let (count, at) = self.rekeys.entry((peer.clone(), phase)).or_default();
        *count += 1;
        *at = wall;
    }
}
