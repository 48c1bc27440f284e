//! The driver: nodes, a network and a clock, one event at a time.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::clock::Clock;
use crate::link::Link;
use crate::network::Network;

/// Timeouts one node may fire at one instant before the lab calls it a livelock: its `poll_timeout` keeps naming a time
/// which has come.
const MAX_TIMEOUTS_AT_ONE_INSTANT: u32 = 1000;

/// A datagram a node wants sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transmit {
    /// The node's own address it leaves from.
    pub from: SocketAddr,
    /// Where to.
    pub to: SocketAddr,
    /// The bytes.
    pub payload: Vec<u8>,
}

/// A state machine that speaks datagrams and knows no clock.
pub trait Node {
    /// A datagram from `from` arrived at this node's address `to`.
    fn handle_datagram(&mut self, from: SocketAddr, to: SocketAddr, payload: &[u8], now: Instant);
    /// The instant [`Node::poll_timeout`] named has come.
    fn handle_timeout(&mut self, now: Instant);
    /// The next datagram to send, until `None`. Called after every input.
    fn poll_transmit(&mut self) -> Option<Transmit>;
    /// When this node wants [`Node::handle_timeout`]. Called after every input.
    fn poll_timeout(&mut self) -> Option<Instant>;
    /// Whether this node waits for nothing but time: no request of its own is unanswered.
    fn is_idle(&self) -> bool {
        true
    }
}

/// Names a node of a lab.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeId(pub usize);

/// Why a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// The deadline was reached; the clock shows it.
    Deadline,
    /// Nothing is under way, and every node is idle.
    Quiet,
    /// This node named a timeout in the present again and again.
    Livelock(NodeId),
    /// The checker found this.
    Violation(String),
}

/// What one step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A datagram was handed to this node.
    Delivered(NodeId),
    /// A datagram arrived where no node has the address.
    Unreachable,
    /// This node's timeout was handled.
    TimedOut(NodeId),
}

/// Nodes on a network, driven in virtual time.
#[derive(Debug)]
pub struct Lab<N> {
    nodes: Vec<N>,
    timeouts: Vec<Option<Instant>>,
    changed: Vec<bool>,
    any_changed: bool,
    at_this_instant: u32,
    addresses: BTreeMap<SocketAddr, NodeId>,
    /// The network between the nodes, open to scripts.
    pub network: Network<Vec<u8>>,
    clock: Clock,
    events: u64,
}

impl<N: Node> Lab<N> {
    /// A lab without nodes, whose network's chance is decided by `seed`.
    #[must_use]
    pub fn new(seed: u64, link: Link, start: Instant) -> Self {
        Self {
            nodes: Vec::new(),
            timeouts: Vec::new(),
            changed: Vec::new(),
            any_changed: false,
            at_this_instant: 0,
            addresses: BTreeMap::new(),
            network: Network::new(seed, link, start),
            clock: Clock::starting_at(start),
            events: 0,
        }
    }

    /// Adds a node which receives what is sent to `addresses`.
    pub fn add(&mut self, node: N, addresses: &[SocketAddr]) -> NodeId {
        let id = NodeId(self.nodes.len());
        self.nodes.push(node);
        self.timeouts.push(None);
        self.changed.push(true);
        self.any_changed = true;
        for address in addresses {
            self.bind(id, *address);
        }
        id
    }

    /// Gives `address` to the node, taking it from whoever had it.
    pub fn bind(&mut self, id: NodeId, address: SocketAddr) {
        self.addresses.insert(address, id);
    }

    /// Takes `address` away: what is sent there is unreachable.
    pub fn unbind(&mut self, address: SocketAddr) {
        self.addresses.remove(&address);
    }

    /// The simulated present.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Simulated time since the start.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.clock.elapsed()
    }

    /// Events handled so far.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.events
    }

    /// All nodes, in the order they were added.
    #[must_use]
    pub fn nodes(&self) -> &[N] {
        &self.nodes
    }

    /// A node.
    #[must_use]
    pub fn node(&self, id: NodeId) -> &N {
        &self.nodes[id.0]
    }

    /// A node to act on; what it wants to send and when it wants to be woken is asked before the next step.
    pub fn node_mut(&mut self, id: NodeId) -> &mut N {
        self.changed[id.0] = true;
        self.any_changed = true;
        &mut self.nodes[id.0]
    }

    /// Acts on a node at the present instant and sends at once what that made it want to send.
    pub fn act<R>(&mut self, id: NodeId, action: impl FnOnce(&mut N, Instant) -> R) -> R {
        let now = self.now();
        let result = action(self.node_mut(id), now);
        self.settle();
        result
    }

    /// The instant of the next event, if there will be one.
    pub fn next_event(&mut self) -> Option<Instant> {
        self.settle();
        let timeout = self.timeouts.iter().flatten().min().copied();
        [self.network.next_delivery(), timeout].into_iter().flatten().min()
    }

    /// Handles the next event, if it is due by `deadline`.
    pub fn step_by(&mut self, deadline: Instant) -> Option<Event> {
        let at = self.next_event().filter(|at| *at <= deadline)?;
        if at > self.clock.now() {
            self.clock.advance_to(at);
            self.at_this_instant = 0;
        }
        self.events += 1;
        let now = self.clock.now();
        if self.network.next_delivery().is_some_and(|due| due <= now)
            && let Some(delivery) = self.network.pop_due(now)
        {
            let Some(id) = self.addresses.get(&delivery.to).copied() else {
                self.network.note_unreachable(now, &delivery);
                return Some(Event::Unreachable);
            };
            self.node_mut(id).handle_datagram(delivery.from, delivery.to, &delivery.payload, now);
            self.settle();
            return Some(Event::Delivered(id));
        }
        let index = self.timeouts.iter().position(|timeout| timeout.is_some_and(|due| due <= now));
        let Some(index) = index else {
            return Some(Event::Unreachable);
        };
        self.at_this_instant += 1;
        self.node_mut(NodeId(index)).handle_timeout(now);
        self.settle();
        Some(Event::TimedOut(NodeId(index)))
    }

    /// Handles the next event, whenever it is; false if there is none.
    pub fn step(&mut self) -> bool {
        match self.next_event() {
            Some(at) => self.step_by(at).is_some(),
            None => false,
        }
    }

    /// Runs until `deadline`, and leaves the clock there.
    pub fn run_until(&mut self, deadline: Instant) -> Stop {
        self.run_until_with(deadline, |_, _| Ok(()))
    }

    /// Runs for `duration`, and leaves the clock at its end.
    pub fn run_for(&mut self, duration: Duration) -> Stop {
        self.run_until(self.now() + duration)
    }

    /// As [`Lab::run_until`], calling `check` after every event; its error ends the run.
    pub fn run_until_with(
        &mut self,
        deadline: Instant,
        mut check: impl FnMut(&mut Self, Event) -> Result<(), String>,
    ) -> Stop {
        loop {
            let Some(event) = self.step_by(deadline) else {
                self.clock.advance_to(deadline);
                self.at_this_instant = 0;
                return Stop::Deadline;
            };
            if let Err(violation) = check(self, event) {
                return Stop::Violation(violation);
            }
            if let Some(livelock) = self.livelock(event) {
                return livelock;
            }
        }
    }

    /// Runs until nothing is under way and every node is idle, or for `most`.
    pub fn run_until_quiet(&mut self, most: Duration) -> Stop {
        self.run_until_quiet_with(most, |_, _| Ok(()))
    }

    /// As [`Lab::run_until_quiet`], calling `check` after every event; its error ends the run.
    pub fn run_until_quiet_with(
        &mut self,
        most: Duration,
        mut check: impl FnMut(&mut Self, Event) -> Result<(), String>,
    ) -> Stop {
        let deadline = self.now() + most;
        loop {
            self.settle();
            let due_now = self.next_event().is_some_and(|at| at <= self.now());
            if !due_now && self.network.in_flight() == 0 && self.nodes.iter().all(Node::is_idle) {
                return Stop::Quiet;
            }
            let Some(event) = self.step_by(deadline) else {
                self.clock.advance_to(deadline);
                return Stop::Deadline;
            };
            if let Err(violation) = check(self, event) {
                return Stop::Violation(violation);
            }
            if let Some(livelock) = self.livelock(event) {
                return livelock;
            }
        }
    }

    /// The trace as text. See [`Network::dump`].
    #[must_use]
    pub fn dump(&self) -> String {
        self.network.dump()
    }

    fn livelock(&self, event: Event) -> Option<Stop> {
        match event {
            Event::TimedOut(id) if self.at_this_instant > MAX_TIMEOUTS_AT_ONE_INSTANT => Some(Stop::Livelock(id)),
            Event::TimedOut(_) | Event::Delivered(_) | Event::Unreachable => None,
        }
    }

    /// Asks every node acted upon what it wants to send and when it wants to be woken.
    fn settle(&mut self) {
        if !self.any_changed {
            return;
        }
        self.any_changed = false;
        let now = self.clock.now();
        for (index, node) in self.nodes.iter_mut().enumerate() {
            if !std::mem::take(&mut self.changed[index]) {
                continue;
            }
            while let Some(Transmit { from, to, payload }) = node.poll_transmit() {
                self.network.send(now, from, to, payload);
            }
            self.timeouts[index] = node.poll_timeout();
        }
    }
}
