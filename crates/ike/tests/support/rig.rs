//! Two endpoints without a network: every datagram waits until a test delivers it, so that both ends can be looked at, and
//! attacked, in every state on the way.

use super::end::{A, B};
use super::model::Scenario;
use crypto::{SeededRng, SimProvider};
use ike::Endpoint;
use ike::config::{EndpointConfig, Path, PeerName, Versions};
use ike::event::{Event, Output};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Version and mode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ike {
    /// IKEv2.
    V2,
    /// IKEv1, main mode.
    Main,
    /// IKEv1, aggressive mode.
    Aggressive,
}

/// All of them.
pub const ALL: [Ike; 3] = [Ike::V2, Ike::Main, Ike::Aggressive];
/// Those of IKEv1.
pub const V1: [Ike; 2] = [Ike::Main, Ike::Aggressive];

/// A begins, B waits, one suite, in this version and mode.
pub fn scenario(ike: Ike) -> Scenario {
    match ike {
        Ike::V2 => Scenario::new(Versions::V2),
        Ike::Main => Scenario::new(Versions::V1),
        Ike::Aggressive => Scenario::new(Versions::V1).all(|peer| peer.aggressive = true),
    }
}

/// A datagram under way.
#[derive(Clone, Debug)]
pub struct Wire {
    /// Index of the end it is for.
    pub to: usize,
    /// As the receiver sees it.
    pub path: Path,
    /// The message.
    pub message: Vec<u8>,
}

/// What came out of an end.
#[derive(Default, Debug)]
pub struct Said {
    /// Messages.
    pub messages: Vec<Vec<u8>>,
    /// Events, except those about ignored datagrams.
    pub events: Vec<Event>,
    /// Children installed.
    pub installed: usize,
    /// Datagrams ignored.
    pub ignored: usize,
}

impl Said {
    /// Whether an end said that both proved who they are.
    pub fn up(&self) -> bool {
        self.events.iter().any(|event| matches!(event, Event::IkeSaUp { .. }))
    }
}

/// The two ends.
pub struct Rig {
    /// A and B.
    pub ends: [Endpoint; 2],
    /// The present.
    pub now: Instant,
    /// What is under way, oldest first.
    pub wire: VecDeque<Wire>,
    /// Everything that was ever under way.
    pub history: Vec<Wire>,
    /// What either end said while messages were delivered.
    pub said: [Vec<Event>; 2],
    /// Children that either installed.
    pub installed: [usize; 2],
}

/// What an end sent and said.
pub fn drain(endpoint: &mut Endpoint) -> Said {
    let mut said = Said::default();
    while let Some(output) = endpoint.poll_output() {
        match output {
            Output::Transmit(transmit) => said.messages.push(transmit.message),
            Output::Event(Event::Ignored { .. }) => said.ignored += 1,
            Output::Event(event) => said.events.push(event),
            Output::InstallChild(_) => said.installed += 1,
            Output::Sign(..)
            | Output::Trace(_)
            | Output::Keepalive(_)
            | Output::ActivateOutbound(_)
            | Output::RemoveChild { .. }
            | Output::MoveChild { .. } => {}
        }
    }
    said
}

/// An endpoint for one end of a scenario, not configured yet.
pub fn endpoint(scenario: &Scenario, node: usize, config: EndpointConfig, now: Instant) -> Endpoint {
    let rng = SeededRng::new(scenario.seed * 1000 + node as u64);
    Endpoint::new(config, Arc::new(SimProvider), Box::new(rng), now)
}

impl Rig {
    /// Two ends, not configured.
    pub fn new(scenario: &Scenario) -> Rig {
        let now = super::epoch();
        let ends = [A, B].map(|node| endpoint(scenario, node.0, scenario.endpoint.clone(), now));
        let said = [Vec::new(), Vec::new()];
        Rig { ends, now, wire: VecDeque::new(), history: Vec::new(), said, installed: [0; 2] }
    }

    /// Two ends, configured: the first message is under way.
    pub fn started(scenario: &Scenario) -> Rig {
        let mut rig = Rig::new(scenario);
        for node in [1, 0] {
            let now = rig.now;
            rig.ends[node].apply(vec![scenario.peers[node].clone()], now);
            rig.collect(node);
        }
        rig
    }

    /// Two ends that are connected, and quiet.
    pub fn connected(scenario: &Scenario) -> Rig {
        let mut rig = Rig::started(scenario);
        rig.settle();
        assert!((0..2).all(|node| rig.is_up(node)), "{:?}", rig.ends);
        rig
    }

    /// Takes what an end has to send and to say.
    pub fn collect(&mut self, node: usize) {
        while let Some(output) = self.ends[node].poll_output() {
            match output {
                Output::Transmit(transmit) => {
                    let path = Path { local: transmit.path.remote, remote: transmit.path.local };
                    let wire = Wire { to: 1 - node, path, message: transmit.message };
                    self.history.push(wire.clone());
                    self.wire.push_back(wire);
                }
                Output::Event(event) => self.said[node].push(event),
                Output::InstallChild(_) => self.installed[node] += 1,
                Output::Sign(..)
                | Output::Trace(_)
                | Output::Keepalive(_)
                | Output::ActivateOutbound(_)
                | Output::RemoveChild { .. }
                | Output::MoveChild { .. } => {}
            }
        }
    }

    /// Delivers the oldest datagram. Says whether there was one.
    pub fn deliver(&mut self) -> bool {
        let Some(wire) = self.wire.pop_front() else { return false };
        self.ends[wire.to].handle_datagram(wire.path, &wire.message, self.now);
        self.collect(wire.to);
        true
    }

    /// Lets the earliest clock run, if it is due within `patience`.
    pub fn tick(&mut self, patience: Duration) -> bool {
        let due = (0..2).filter_map(|node| Some((self.ends[node].poll_timeout()?, node))).min();
        let Some((at, node)) = due.filter(|(at, _)| *at <= self.now + patience) else { return false };
        self.now = self.now.max(at);
        self.ends[node].handle_timeout(self.now);
        self.collect(node);
        true
    }

    /// Delivers everything, and lets clocks run that are due soon.
    pub fn settle(&mut self) {
        for _ in 0..500 {
            if !self.deliver() && !self.tick(Duration::from_secs(4)) {
                return;
            }
        }
        unreachable!("it never comes to rest");
    }

    /// What an end calls the other.
    pub fn peer(&self, node: usize) -> PeerName {
        if node == 0 { "b.example".into() } else { "a.example".into() }
    }

    /// Whether an end has an established IKE SA.
    pub fn is_up(&self, node: usize) -> bool {
        self.ends[node].sas().any(|sa| sa.is_established())
    }

    /// Live children of an end.
    pub fn children(&self, node: usize) -> usize {
        self.ends[node].children_of(&self.peer(node)).count()
    }

    /// From A to B, as B sees it (or the reverse).
    pub fn path_to(&self, node: usize) -> Path {
        let (here, there) = if node == 0 { (A, B) } else { (B, A) };
        let at = |node| std::net::SocketAddr::new(super::address(node), super::IKE_PORT);
        Path { local: at(here), remote: at(there) }
    }
}
