//! Asking peers whether they live, out of turn: where there is another way to the same place, and to measure the way.

use crate::Engine;
use crate::engine::Output;
use ike::config::PeerName;
use std::time::{Duration, Instant};

impl Engine {
    /// Looks at what passes on tunnels that there is another way for, and asks after those that are silent.
    pub(crate) fn watch_tunnels(&mut self, now: Instant) {
        if self.failover.sample_is_due(now) {
            let traffic = self.children.sample(|peer| self.failover.watches(peer));
            let (events, idle) = self.failover.sampled(&traffic, now);
            self.children.arm(&idle);
            self.tell(events);
        }
        let (ask, events) = self.failover.act(now);
        for peer in ask {
            self.ask(&peer, now);
        }
        self.tell(events);
        let pings = self.failover.keepalives(now);
        if !pings.is_empty() {
            self.outputs.push_back(Output::Inject(pings));
        }
    }

    /// It answered.
    pub(crate) fn answered(&mut self, peer: &PeerName, after: Option<Duration>, now: Instant) {
        if let Some(after) = after {
            self.observed.answered(peer, after, now);
        }
        let recovered = self.failover.answered(peer, now);
        self.tell(recovered);
    }

    /// A peer may not be getting our answers: where there is another way to it, we want to know whether we get its.
    pub(crate) fn asked_again(&mut self, peer: &PeerName, now: Instant) {
        if self.failover.doubt(peer, now) {
            self.ask(peer, now);
        }
    }

    /// Asks a peer at once whether it lives.
    pub(crate) fn ask(&mut self, peer: &PeerName, now: Instant) {
        if !self.endpoint.probe(peer, now) {
            self.failover.cannot_ask(peer);
        }
    }
}
