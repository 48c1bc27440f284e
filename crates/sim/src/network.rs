//! The network between the nodes: datagrams in, datagrams out later, or not at all.
//!
//! A datagram passes, in this order: partitions, scripted rules, the source NAT, the link (size, rate, loss, delay,
//! duplication, reordering), and on arrival the destination NAT. Datagrams already under way when a partition begins
//! still arrive, as on a real path.

mod controls;

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::link::Link;
use crate::nat::Nat;
use crate::random::Random;
use crate::script::{Action, Datagram, Rule, RuleId};
use crate::trace::{Fate, Trace};

/// Datagrams under way at most; beyond this, new ones are dropped and counted. A protocol that reaches this in a
/// simulation of a few nodes is flooding.
const MAX_IN_FLIGHT: usize = 65_536;
/// Datagrams put aside at most by [`Network::hold`]; the oldest is dropped beyond this.
const MAX_HELD: usize = 4096;
/// Trace entries kept unless [`Network::keep_trace`] says otherwise.
const TRACE: usize = 256;

/// A datagram at the end of its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery<M> {
    /// The source the receiver sees (behind a NAT: the public one).
    pub from: SocketAddr,
    /// The receiver's own address (behind a NAT: the private one).
    pub to: SocketAddr,
    /// The payload.
    pub payload: M,
}

/// What became of all datagrams so far. Every datagram and every copy ends in exactly one of these, or is still under
/// way or held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Datagrams handed to [`Network::send`].
    pub sent: u64,
    /// Copies the link added.
    pub duplicated: u64,
    /// Datagrams which left the order they were sent in.
    pub reordered: u64,
    /// Datagrams handed to their receiver.
    pub delivered: u64,
    /// Lost by the link.
    pub lost: u64,
    /// Dropped by a partition.
    pub cut: u64,
    /// Dropped for their size.
    pub too_big: u64,
    /// Dropped because the rate, the queue or a NAT's table was exhausted.
    pub overflow: u64,
    /// Dropped by a script.
    pub dropped: u64,
    /// Filtered by a NAT on arrival.
    pub filtered: u64,
}

/// An entry of the queue, ordered by time and then by the order of sending.
#[derive(Debug)]
struct InFlight<M> {
    due: Instant,
    sequence: u64,
    datagram: Datagram<M>,
}

impl<M> Ord for InFlight<M> {
    /// Earliest first out of a max-heap.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.due, other.sequence).cmp(&(self.due, self.sequence))
    }
}
impl<M> PartialOrd for InFlight<M> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl<M> PartialEq for InFlight<M> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl<M> Eq for InFlight<M> {}

/// What one direction remembers.
#[derive(Debug, Clone, Copy)]
struct Direction {
    /// The last arrival in order; later datagrams do not arrive before it.
    last_due: Instant,
    /// When the rate-limited link is free again.
    free_at: Instant,
}

/// A network of datagrams `M` (bytes) between socket addresses. One seed decides everything it does by chance.
#[derive(Debug)]
pub struct Network<M = Vec<u8>> {
    default_link: Link,
    links: BTreeMap<(SocketAddr, SocketAddr), Link>,
    cuts: BTreeSet<(SocketAddr, SocketAddr)>,
    isolated: BTreeSet<SocketAddr>,
    nats: Vec<Nat>,
    random: Random,
    queue: BinaryHeap<InFlight<M>>,
    sequence: u64,
    directions: BTreeMap<(SocketAddr, SocketAddr), Direction>,
    rules: Vec<Rule<M>>,
    next_rule: u64,
    held: VecDeque<(RuleId, Datagram<M>)>,
    counters: Counters,
    trace: Trace,
}

impl<M: AsRef<[u8]> + Clone> Network<M> {
    /// An empty network on which every path behaves as `link`; trace times are relative to `start`.
    #[must_use]
    pub fn new(seed: u64, link: Link, start: Instant) -> Self {
        Self {
            default_link: link,
            links: BTreeMap::new(),
            cuts: BTreeSet::new(),
            isolated: BTreeSet::new(),
            nats: Vec::new(),
            random: Random::seeded(seed),
            queue: BinaryHeap::new(),
            sequence: 0,
            directions: BTreeMap::new(),
            rules: Vec::new(),
            next_rule: 0,
            held: VecDeque::new(),
            counters: Counters::default(),
            trace: Trace::new(start, TRACE),
        }
    }

    /// Sends `payload` from a node's own address `from` to `to`.
    pub fn send(&mut self, now: Instant, from: SocketAddr, to: SocketAddr, payload: M) {
        self.counters.sent += 1;
        let datagram = Datagram { from, to, payload };
        if self.is_cut(from, to) {
            return self.lose(now, &datagram, Fate::Cut);
        }
        match self.scripted(&datagram) {
            None => self.depart(now, datagram, Some(Duration::ZERO)),
            Some((_, Action::Drop)) => self.lose(now, &datagram, Fate::Dropped),
            Some((_, Action::Delay(extra))) => self.depart(now, datagram, Some(extra)),
            Some((rule, Action::Hold)) => self.put_aside(now, rule, datagram),
        }
    }

    /// When the next datagram arrives, if any is under way.
    #[must_use]
    pub fn next_delivery(&self) -> Option<Instant> {
        self.queue.peek().map(|next| next.due)
    }

    /// The next datagram which has arrived by `now`, filtered ones skipped.
    pub fn pop_due(&mut self, now: Instant) -> Option<Delivery<M>> {
        while self.queue.peek().is_some_and(|next| next.due <= now) {
            let InFlight { due, datagram, .. } = self.queue.pop()?;
            let Some(to) = self.arrive(&datagram, due) else {
                self.counters.filtered += 1;
                self.trace.record(due, datagram.from, datagram.to, datagram.payload.as_ref(), Fate::Filtered);
                continue;
            };
            self.counters.delivered += 1;
            self.trace.record(due, datagram.from, to, datagram.payload.as_ref(), Fate::Delivered);
            return Some(Delivery { from: datagram.from, to, payload: datagram.payload });
        }
        None
    }

    /// Datagrams under way.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.queue.len()
    }

    /// Datagrams put aside by scripts.
    #[must_use]
    pub fn held_count(&self) -> usize {
        self.held.len()
    }

    /// What became of all datagrams so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// The recent past.
    #[must_use]
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// The trace as text, payloads unnamed. See [`Trace::render`].
    #[must_use]
    pub fn dump(&self) -> String {
        self.trace.render(|_| String::new())
    }

    pub(crate) fn note_unreachable(&mut self, now: Instant, delivery: &Delivery<M>) {
        self.trace.record(now, delivery.from, delivery.to, delivery.payload.as_ref(), Fate::Unreachable);
    }

    fn is_cut(&self, from: SocketAddr, to: SocketAddr) -> bool {
        if self.cuts.is_empty() && self.isolated.is_empty() {
            return false;
        }
        self.cuts.contains(&(from, to)) || self.isolated.contains(&from) || self.isolated.contains(&to)
    }

    /// The first rule that matches, with one match fewer left in it.
    fn scripted(&mut self, datagram: &Datagram<M>) -> Option<(RuleId, Action)> {
        let index = self.rules.iter_mut().position(|rule| rule.left > 0 && (rule.predicate)(datagram))?;
        let rule = self.rules.get_mut(index)?;
        rule.left -= 1;
        let matched = (rule.id, rule.action);
        if rule.left == 0 {
            self.rules.remove(index);
        }
        Some(matched)
    }

    fn put_aside(&mut self, now: Instant, rule: RuleId, datagram: Datagram<M>) {
        self.trace.record(now, datagram.from, datagram.to, datagram.payload.as_ref(), Fate::Held);
        self.held.push_back((rule, datagram));
        if self.held.len() > MAX_HELD
            && let Some((_, oldest)) = self.held.pop_front()
        {
            self.lose(now, &oldest, Fate::Overflow);
        }
    }

    fn lose(&mut self, now: Instant, datagram: &Datagram<M>, fate: Fate) {
        match fate {
            Fate::Lost => self.counters.lost += 1,
            Fate::Cut => self.counters.cut += 1,
            Fate::TooBig => self.counters.too_big += 1,
            Fate::Dropped => self.counters.dropped += 1,
            Fate::Filtered => self.counters.filtered += 1,
            Fate::Overflow => self.counters.overflow += 1,
            Fate::Delivered | Fate::Duplicated | Fate::Held | Fate::Released | Fate::Unreachable => {}
        }
        self.trace.record(now, datagram.from, datagram.to, datagram.payload.as_ref(), fate);
    }

    /// Puts a datagram on the link. `extra` is a scripted delay; `None` means that chance has no say (a released one).
    fn depart(&mut self, now: Instant, mut datagram: Datagram<M>, extra: Option<Duration>) {
        let key = (datagram.from, datagram.to);
        let link = if self.links.is_empty() {
            self.default_link
        } else {
            self.links.get(&key).copied().unwrap_or(self.default_link)
        };
        if let Some(nat) = self.nats.iter_mut().find(|nat| nat.covers(key.0.ip()) && !nat.covers(key.1.ip())) {
            match nat.outbound(key.0, key.1, now) {
                Some(public) => datagram.from = public,
                None => return self.lose(now, &datagram, Fate::Overflow),
            }
        }
        let len = datagram.payload.as_ref().len();
        if len > link.mtu {
            return self.lose(now, &datagram, Fate::TooBig);
        }
        let Some(waiting) = self.wait_for_rate(now, key, &link, len) else {
            return self.lose(now, &datagram, Fate::Overflow);
        };
        let sent_out = now + waiting;
        let Some(extra) = extra else {
            let due = self.in_order(key, sent_out + link.delay_min);
            return self.enqueue(now, due, datagram);
        };
        if self.random.chance(link.loss) {
            return self.lose(now, &datagram, Fate::Lost);
        }
        if self.random.chance(link.duplication) {
            self.counters.duplicated += 1;
            self.trace.record(now, datagram.from, datagram.to, datagram.payload.as_ref(), Fate::Duplicated);
            let due = self.arrival(key, &link, sent_out) + extra;
            self.enqueue(now, due, datagram.clone());
        }
        let due = self.arrival(key, &link, sent_out) + extra;
        self.enqueue(now, due, datagram);
    }

    /// How long a datagram of `len` bytes waits until it has left; `None` if that is too long.
    fn wait_for_rate(
        &mut self,
        now: Instant,
        key: (SocketAddr, SocketAddr),
        link: &Link,
        len: usize,
    ) -> Option<Duration> {
        let Some(rate) = link.rate.filter(|rate| *rate > 0) else {
            return Some(Duration::ZERO);
        };
        let bits = (len as u64).saturating_mul(8);
        let serialization = Duration::from_nanos(bits.saturating_mul(1_000_000_000) / rate);
        let direction = self.directions.entry(key).or_insert(Direction { last_due: now, free_at: now });
        let free_at = direction.free_at.max(now);
        if free_at.saturating_duration_since(now) > Link::RATE_QUEUE {
            return None;
        }
        direction.free_at = free_at + serialization;
        Some(direction.free_at.saturating_duration_since(now))
    }

    /// When a datagram that leaves at `sent_out` arrives: in order, unless chance takes it out of the order.
    fn arrival(&mut self, key: (SocketAddr, SocketAddr), link: &Link, sent_out: Instant) -> Instant {
        let due = sent_out + self.random.between(link.delay_min, link.delay_max);
        if self.random.chance(link.reorder) {
            self.counters.reordered += 1;
            return due + self.random.between(Duration::ZERO, link.reorder_delay);
        }
        self.in_order(key, due)
    }

    fn in_order(&mut self, key: (SocketAddr, SocketAddr), due: Instant) -> Instant {
        let direction = self.directions.entry(key).or_insert(Direction { last_due: due, free_at: due });
        direction.last_due = direction.last_due.max(due);
        direction.last_due
    }

    fn enqueue(&mut self, now: Instant, due: Instant, datagram: Datagram<M>) {
        if self.queue.len() >= MAX_IN_FLIGHT {
            return self.lose(now, &datagram, Fate::Overflow);
        }
        self.sequence += 1;
        self.queue.push(InFlight { due, sequence: self.sequence, datagram });
    }

    /// The receiver's own address, or `None` if a NAT filters the datagram or the private address cannot be reached
    /// from outside.
    fn arrive(&mut self, datagram: &Datagram<M>, now: Instant) -> Option<SocketAddr> {
        if self.nats.is_empty() {
            return Some(datagram.to);
        }
        if let Some(nat) = self.nats.iter_mut().find(|nat| nat.public() == datagram.to.ip()) {
            return nat.inbound(datagram.from, datagram.to.port(), now);
        }
        let behind = self.nats.iter().find(|nat| nat.covers(datagram.to.ip()));
        let reachable = behind.is_none_or(|nat| nat.covers(datagram.from.ip()));
        reachable.then_some(datagram.to)
    }
}
