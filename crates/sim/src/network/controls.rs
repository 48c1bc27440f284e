//! What a scenario does to a network: links, NATs, partitions and scripted rules.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::Network;
use crate::link::Link;
use crate::nat::Nat;
use crate::script::{Action, Datagram, Predicate, Rule, RuleId};
use crate::trace::{Fate, Trace};

impl<M: AsRef<[u8]> + Clone> Network<M> {
    /// Keeps the last `entries` events in the trace instead of 256; forgets those recorded so far.
    pub fn keep_trace(&mut self, entries: usize, start: Instant) {
        self.trace = Trace::new(start, entries);
    }

    /// Changes the link of every path without one of its own.
    pub fn set_link(&mut self, link: Link) {
        self.default_link = link;
    }

    /// Gives the direction `from` → `to` (the sender's own address, the destination it writes) a link of its own.
    pub fn set_link_between(&mut self, from: SocketAddr, to: SocketAddr, link: Link) {
        self.links.insert((from, to), link);
    }

    /// Puts a NAT into the path of every address it covers; returns its index for [`Network::nat_mut`].
    pub fn add_nat(&mut self, nat: Nat) -> usize {
        self.nats.push(nat);
        self.nats.len() - 1
    }

    /// The NAT with this index.
    pub fn nat_mut(&mut self, index: usize) -> Option<&mut Nat> {
        self.nats.get_mut(index)
    }

    /// Cuts one direction: what `from` sends to `to` (as `from` writes it) is dropped until [`Network::heal`].
    pub fn cut(&mut self, from: SocketAddr, to: SocketAddr) {
        self.cuts.insert((from, to));
    }

    /// Cuts both directions between two addresses.
    pub fn cut_both(&mut self, a: SocketAddr, b: SocketAddr) {
        self.cut(a, b);
        self.cut(b, a);
    }

    /// Cuts an address off from everybody, in both directions.
    pub fn isolate(&mut self, address: SocketAddr) {
        self.isolated.insert(address);
    }

    /// Undoes [`Network::cut`] in both directions and [`Network::isolate`] of both ends.
    pub fn heal(&mut self, a: SocketAddr, b: SocketAddr) {
        self.cuts.remove(&(a, b));
        self.cuts.remove(&(b, a));
        self.isolated.remove(&a);
        self.isolated.remove(&b);
    }

    /// Undoes every cut and isolation.
    pub fn heal_all(&mut self) {
        self.cuts.clear();
        self.isolated.clear();
    }

    /// Drops the next `count` datagrams which `predicate` matches.
    pub fn drop_next(&mut self, count: u64, predicate: impl FnMut(&Datagram<M>) -> bool + Send + 'static) -> RuleId {
        self.add_rule(Action::Drop, count, Box::new(predicate))
    }

    /// Delays the next `count` datagrams which `predicate` matches by `extra` beyond their ordinary delay, out of order.
    pub fn delay_next(
        &mut self,
        count: u64,
        extra: Duration,
        predicate: impl FnMut(&Datagram<M>) -> bool + Send + 'static,
    ) -> RuleId {
        self.add_rule(Action::Delay(extra), count, Box::new(predicate))
    }

    /// Puts every datagram aside which `predicate` matches, until [`Network::release`] or [`Network::discard`].
    pub fn hold(&mut self, predicate: impl FnMut(&Datagram<M>) -> bool + Send + 'static) -> RuleId {
        self.add_rule(Action::Hold, u64::MAX, Box::new(predicate))
    }

    /// Puts the next datagram aside which `predicate` matches; those after it pass.
    pub fn hold_next(&mut self, predicate: impl FnMut(&Datagram<M>) -> bool + Send + 'static) -> RuleId {
        self.add_rule(Action::Hold, 1, Box::new(predicate))
    }

    /// Ends the rule and sends what it held, in order, with the link's delay but without its losses. Returns how many.
    pub fn release(&mut self, now: Instant, rule: RuleId) -> usize {
        let released = self.take_held(rule);
        let count = released.len();
        for datagram in released {
            self.trace.record(now, datagram.from, datagram.to, datagram.payload.as_ref(), Fate::Released);
            self.depart(now, datagram, None);
        }
        count
    }

    /// Ends the rule and drops what it held. Returns how many.
    pub fn discard(&mut self, now: Instant, rule: RuleId) -> usize {
        let discarded = self.take_held(rule);
        for datagram in &discarded {
            self.trace.record(now, datagram.from, datagram.to, datagram.payload.as_ref(), Fate::Dropped);
        }
        self.counters.dropped += discarded.len() as u64;
        discarded.len()
    }

    /// The datagrams put aside by `rule`, oldest first.
    pub fn held(&self, rule: RuleId) -> impl Iterator<Item = &Datagram<M>> {
        self.held.iter().filter(move |(id, _)| *id == rule).map(|(_, datagram)| datagram)
    }

    fn add_rule(&mut self, action: Action, left: u64, predicate: Predicate<M>) -> RuleId {
        let id = RuleId(self.next_rule);
        self.next_rule += 1;
        self.rules.push(Rule { id, action, left, predicate });
        id
    }

    fn take_held(&mut self, rule: RuleId) -> Vec<Datagram<M>> {
        self.rules.retain(|known| known.id != rule);
        let (taken, kept) =
            std::mem::take(&mut self.held).into_iter().partition::<VecDeque<_>, _>(|(id, _)| *id == rule);
        self.held = kept;
        taken.into_iter().map(|(_, datagram)| datagram).collect()
    }
}
