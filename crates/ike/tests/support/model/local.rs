//! One end as an automaton: its states, and its steps, each computed once.

use super::oracle::{self, Facts};
use super::scenario::Scenario;
use super::subject::{Input, SaSeen, Seen, Subject};
use ike::config::Path;
use ike::wire::IkeSpi;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Endpoints kept alive at a time, so that a path is not replayed from its beginning for each step.
const ALIVE: usize = 1500;

/// A datagram that somebody sent, or that the attacker made.
#[derive(Clone, Debug)]
pub struct Message {
    /// Who sent it; none is the attacker.
    pub sender: Option<usize>,
    /// As its sender sees it.
    pub path: Path,
    /// The IKE message.
    pub octets: Vec<u8>,
}

impl Message {
    /// SPIi and SPIr of its header.
    pub fn spis(&self) -> (IkeSpi, IkeSpi) {
        let spi = |at: usize| self.octets.get(at..).and_then(<[u8]>::first_chunk).copied().unwrap_or_default();
        (IkeSpi(spi(0)), IkeSpi(spi(8)))
    }

    fn octet(&self, at: usize) -> u8 {
        self.octets.get(at).copied().unwrap_or_default()
    }

    /// Major version of IKE.
    pub fn major(&self) -> u8 {
        self.octet(17) >> 4
    }

    /// Exchange type.
    pub fn exchange(&self) -> u8 {
        self.octet(18)
    }

    /// Flags.
    pub fn flags(&self) -> u8 {
        self.octet(19)
    }

    /// Message ID.
    pub fn id(&self) -> u32 {
        self.octets.get(20..).and_then(<[u8]>::first_chunk).map_or(0, |id| u32::from_be_bytes(*id))
    }

    /// What it is, for people.
    pub fn words(&self) -> String {
        let (i, r) = self.spis();
        let sender = self.sender.map_or("the attacker".to_owned(), |node| ["A", "B", "C"][node].to_owned());
        let (major, exchange, flags, id) = (self.major(), self.exchange(), self.flags(), self.id());
        format!("v{major} exchange {exchange} flags {flags:#04x} id {id:#x} {i} {r} of {sender}")
    }
}

/// Every message of an exploration, by number.
#[derive(Default)]
pub struct Messages {
    all: Vec<Message>,
    index: BTreeMap<(Option<usize>, Endpoints, Vec<u8>), u16>,
}

/// A path that can be compared.
type Endpoints = (std::net::SocketAddr, std::net::SocketAddr);

impl Messages {
    /// The number of a message.
    pub fn number(&mut self, message: Message) -> u16 {
        let path = (message.path.local, message.path.remote);
        let key = (message.sender, path, message.octets.clone());
        if let Some(number) = self.index.get(&key) {
            return *number;
        }
        let number = u16::try_from(self.all.len()).expect("fewer messages");
        self.all.push(message);
        self.index.insert(key, number);
        number
    }

    /// The message of a number.
    pub fn get(&self, number: u16) -> &Message {
        &self.all[usize::from(number)]
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.all.len()
    }
}

/// What happens to one end.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Act {
    /// It is configured.
    Start,
    /// A message comes, from where it was sent, or from where it was sent to.
    Deliver {
        /// Which.
        message: u16,
        /// Thrown back.
        reflected: bool,
    },
    /// Its clock is due.
    Timer,
    /// An operator: a number in the scenario's list.
    Command(u8),
}

/// A step of one end.
#[derive(Clone, Debug)]
pub struct Step {
    /// Where it leads.
    pub to: u32,
    /// Messages sent.
    pub sent: Vec<u16>,
    /// What must not be.
    pub fault: Option<String>,
}

/// A state of one end.
pub struct LocalState {
    before: Option<(u32, Act, Duration)>,
    /// When its clock is due.
    pub due: Option<Duration>,
    /// What it did so far.
    pub facts: Facts,
    /// Its IKE SAs now.
    pub sas: Vec<SaSeen>,
}

/// One end.
pub struct Local<S> {
    node: usize,
    start: Instant,
    /// All states found.
    pub states: Vec<LocalState>,
    index: BTreeMap<[u8; 32], u32>,
    memo: BTreeMap<(u32, Act, Duration), Step>,
    alive: BTreeMap<u32, S>,
    /// Inputs handed to endpoints, replays included.
    pub inputs: u64,
}

impl<S: Subject> Local<S> {
    /// An end before its configuration.
    pub fn new(node: usize, scenario: &Scenario, start: Instant) -> Local<S> {
        let subject = S::begin(node, scenario, start);
        let first = LocalState { before: None, due: None, facts: Facts::default(), sas: Vec::new() };
        let alive = BTreeMap::from([(0, subject)]);
        let index = BTreeMap::from([([0; 32], 0)]);
        Local { node, start, states: vec![first], index, memo: BTreeMap::new(), alive, inputs: 0 }
    }

    /// What `act` does in `state` at `now`.
    pub fn step(&mut self, state: u32, act: Act, now: Duration, scenario: &Scenario, messages: &mut Messages) -> Step {
        let key = (state, act, now);
        if let Some(step) = self.memo.get(&key) {
            return step.clone();
        }
        let mut subject = self.revive(state, scenario, messages);
        let seen = self.feed(&mut subject, act, now, scenario, messages);
        let mut facts = self.states[state as usize].facts.clone();
        let sas = subject.sas();
        let input = match act {
            Act::Deliver { message, .. } => Some(messages.get(message).clone()),
            Act::Start | Act::Timer | Act::Command(_) => None,
        };
        let before = &self.states[state as usize];
        let judged =
            oracle::Moment { node: self.node, scenario, input: input.as_ref(), before: &before.sas, after: &sas };
        let fault = facts.note(&judged, &seen).err();
        let mut sent = Vec::new();
        for seen in seen {
            if let Seen::Sent(path, octets) = seen {
                sent.push(messages.number(Message { sender: Some(self.node), path, octets }));
            }
        }
        let due = subject.due().map(|at| at.saturating_duration_since(self.start));
        let text = format!("{facts:?}");
        let name = crypto::sha256(&[subject.fingerprint().as_bytes(), b"|", text.as_bytes()]);
        let next = u32::try_from(self.states.len()).expect("fewer states");
        let to = *self.index.entry(name).or_insert(next);
        if to == next {
            self.states.push(LocalState { before: Some(key), due, facts, sas });
        }
        self.keep(to, subject);
        let step = Step { to, sent, fault };
        self.memo.insert(key, step.clone());
        step
    }

    /// An endpoint in this state.
    fn revive(&mut self, state: u32, scenario: &Scenario, messages: &Messages) -> S {
        let mut path = Vec::new();
        let mut at = state;
        let mut subject = loop {
            if let Some(alive) = self.alive.remove(&at) {
                break alive;
            }
            match self.states[at as usize].before {
                Some((before, act, now)) => {
                    path.push((act, now));
                    at = before;
                }
                None => break S::begin(self.node, scenario, self.start),
            }
        };
        for (act, now) in path.into_iter().rev() {
            self.feed(&mut subject, act, now, scenario, messages);
        }
        subject
    }

    fn feed(
        &mut self,
        subject: &mut S,
        act: Act,
        now: Duration,
        scenario: &Scenario,
        messages: &Messages,
    ) -> Vec<Seen> {
        self.inputs += 1;
        let input = match act {
            Act::Start => Input::Start,
            Act::Timer => Input::Timer,
            Act::Command(number) => Input::Command(scenario.commands[usize::from(number)]),
            Act::Deliver { message, reflected } => {
                let message = messages.get(message);
                let sent = message.path;
                let path = if reflected { sent } else { Path { local: sent.remote, remote: sent.local } };
                Input::Datagram(path, message.octets.clone())
            }
        };
        subject.take(&input, self.start + now)
    }

    fn keep(&mut self, state: u32, subject: S) {
        if self.alive.len() >= ALIVE {
            self.alive.pop_first();
        }
        self.alive.insert(state, subject);
    }

    /// A state.
    pub fn get(&self, state: u32) -> &LocalState {
        &self.states[state as usize]
    }
}
