//! One ordered set of everything that waits for a time, and the passing of time.

use super::Endpoint;
use crate::config::PeerName;
use crate::v2::State;
use crate::wire::IkeSpi;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Waiter {
    Sa(IkeSpi),
    Peer(PeerName),
    /// The IPsec SAs of a peer of IKEv1, and what waits for an ISAKMP SA.
    Phase2(PeerName),
}

/// Who waits for what time.
#[derive(Debug, Default)]
pub(super) struct Timers {
    order: BTreeSet<(Instant, Waiter)>,
    due: BTreeMap<Waiter, Instant>,
}

impl Timers {
    pub(super) fn next(&self) -> Option<Instant> {
        self.order.first().map(|(at, _)| *at)
    }

    pub(super) fn set(&mut self, waiter: Waiter, at: Option<Instant>) {
        if let Some(old) = self.due.remove(&waiter) {
            self.order.remove(&(old, waiter.clone()));
        }
        if let Some(at) = at {
            self.order.insert((at, waiter.clone()));
            self.due.insert(waiter, at);
        }
    }

    pub(super) fn set_sa(&mut self, spi: IkeSpi, at: Option<Instant>) {
        self.set(Waiter::Sa(spi), at);
    }

    pub(super) fn set_peer(&mut self, peer: &PeerName, at: Option<Instant>) {
        self.set(Waiter::Peer(peer.clone()), at);
    }

    fn pop_due(&mut self, now: Instant) -> Option<Waiter> {
        let (at, waiter) = self.order.first().cloned()?;
        if at > now {
            return None;
        }
        self.set(waiter.clone(), None);
        Some(waiter)
    }
}

impl Endpoint {
    /// Does everything that is due at `now`. A clock that jumps ahead only makes more of it due at once.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(waiter) = self.timers.pop_due(now) {
            match waiter {
                Waiter::Peer(peer) => self.reconcile(&peer, now),
                Waiter::Phase2(peer) => self.phase2_timeout(&peer, now),
                Waiter::Sa(spi) if self.v1.sas.contains_key(&spi) => self.v1_timeout(spi, now),
                Waiter::Sa(spi) => self.sa_timeout(spi, now),
            }
        }
    }

    fn sa_timeout(&mut self, spi: IkeSpi, now: Instant) {
        let over = |state: &State| matches!(state, State::Closed { until } if *until <= now);
        if self.sas.get(&spi).is_some_and(|sa| over(&sa.state)) {
            return self.forget(spi, now);
        }
        self.with_sa(spi, now, |sa, cx| sa.handle_timeout(cx));
    }

    /// Removes what is left of a closed SA.
    fn forget(&mut self, spi: IkeSpi, now: Instant) {
        self.with_sa(spi, now, |sa, cx| sa.release(cx));
        let Some(sa) = self.sas.remove(&spi) else { return };
        self.timers.set_sa(spi, None);
        self.half_open.remove(&spi);
        if let Some(key) = self.answered.remove(&spi) {
            self.initiators.remove(&key);
        }
        if let Some(state) = self.states.get_mut(&sa.peer.name) {
            state.sas.remove(&spi);
        }
        if self.demanding_cookies {
            self.load_changed();
        }
    }
}
