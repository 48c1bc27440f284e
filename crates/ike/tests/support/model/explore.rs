//! The product of two ends, the clock, and what the attacker holds, breadth first.

use super::local::{Act, Local, Message, Messages};
use super::oracle;
use super::scenario::Scenario;
use super::subject::Subject;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Clocks run by themselves in what happens before, for at most so many steps.
const PRELUDE: usize = 400;

/// A state of everything.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct World {
    ends: [u32; 3],
    now: Duration,
    /// What the attacker holds: a number of a set.
    known: u32,
    commands: u8,
    timers: u8,
    transplants: u8,
}

/// What was explored.
#[derive(Clone, Copy, Debug, Default)]
pub struct Explored {
    /// States of everything.
    pub states: usize,
    /// Steps, those that change nothing included.
    pub transitions: u64,
    /// The longest path; what can be reached in as many steps was reached.
    pub depth: usize,
    /// Nothing new can be reached however many steps are taken.
    pub complete: bool,
    /// States of each end.
    pub local: [usize; 2],
    /// Inputs given to endpoints.
    pub inputs: u64,
    /// Messages that were ever sent.
    pub messages: usize,
    /// States in which an end has, or had, an IKE SA that came up.
    pub up: usize,
    /// States in which both ends have, or had, one and a child.
    pub both: usize,
}

/// How something was reached that must not be.
#[derive(Debug)]
pub struct Counterexample {
    /// What.
    pub what: String,
    /// By which steps.
    pub steps: Vec<String>,
}

/// Sets of messages, each with a number.
#[derive(Default)]
struct Sets {
    all: Vec<BTreeSet<u16>>,
    index: BTreeMap<BTreeSet<u16>, u32>,
}

impl Sets {
    fn number(&mut self, set: BTreeSet<u16>) -> u32 {
        if let Some(number) = self.index.get(&set) {
            return *number;
        }
        let number = self.all.len() as u32;
        self.all.push(set.clone());
        self.index.insert(set, number);
        number
    }

    fn with(&mut self, number: u32, more: &[u16]) -> u32 {
        let set = &self.all[number as usize];
        if more.iter().all(|message| set.contains(message)) {
            return number;
        }
        let mut set = set.clone();
        set.extend(more);
        self.number(set)
    }
}

struct Explorer<'a, S> {
    scenario: &'a Scenario,
    messages: Messages,
    sets: Sets,
    ends: Vec<Local<S>>,
    worlds: Vec<World>,
    /// How each was reached.
    from: Vec<(u32, usize, Act)>,
    index: BTreeSet<World>,
    judged: BTreeSet<(u32, u32)>,
    found: Explored,
}

/// Explores a scenario with these subjects at its ends.
pub fn explore<S: Subject>(scenario: &Scenario) -> Result<Explored, Box<Counterexample>> {
    let start = super::super::epoch();
    let nodes = if scenario.stolen_key { 3 } else { 2 };
    let mut explorer: Explorer<'_, S> = Explorer {
        scenario,
        messages: Messages::default(),
        sets: Sets::default(),
        ends: (0..nodes).map(|node| Local::new(node, scenario, start)).collect(),
        worlds: Vec::new(),
        from: Vec::new(),
        index: BTreeSet::new(),
        judged: BTreeSet::new(),
        found: Explored::default(),
    };
    explorer.run()
}

impl<S: Subject> Explorer<'_, S> {
    fn run(&mut self) -> Result<Explored, Box<Counterexample>> {
        let first = self.prelude()?;
        self.add(first, (u32::MAX, 0, Act::Start))?;
        let mut layer = 0..1;
        for depth in 1..=self.scenario.depth {
            for at in layer.clone() {
                self.expand(at)?;
            }
            layer = layer.end..self.worlds.len();
            if layer.is_empty() {
                self.found.complete = true;
                break;
            }
            self.found.depth = depth;
            assert!(self.worlds.len() < self.scenario.limit, "more than {} states", self.worlds.len());
        }
        self.found.states = self.worlds.len();
        self.found.messages = self.messages.count();
        self.found.inputs = self.ends.iter().map(|end| end.inputs).sum();
        for (count, end) in self.found.local.iter_mut().zip(&self.ends) {
            *count = end.states.len();
        }
        Ok(self.found)
    }

    /// Everything that happens before the attacker begins: he listens.
    fn prelude(&mut self) -> Result<World, Box<Counterexample>> {
        let mut world = World {
            ends: [0; 3],
            now: Duration::ZERO,
            known: self.sets.number(BTreeSet::new()),
            commands: 0,
            timers: 0,
            transplants: 0,
        };
        // The one who waits first, as in life.
        for node in (0..self.ends.len()).rev() {
            (world, _) = self.act(&world, node, Act::Start).map_err(|what| self.plain(what))?;
        }
        if !self.scenario.connected {
            return Ok(world);
        }
        let mut delivered = 0;
        for _ in 0..PRELUDE {
            let numbers: Vec<u16> = (delivered..self.messages.count() as u16).collect();
            delivered = self.messages.count() as u16;
            for message in numbers {
                let node = 1 - self.messages.get(message).sender.expect("no attacker yet");
                let act = Act::Deliver { message, reflected: false };
                (world, _) = self.act(&world, node, act).map_err(|what| self.plain(what))?;
            }
            let due = (0..2).filter_map(|node| Some((self.ends[node].get(world.ends[node]).due?, node))).min();
            let Some((at, node)) = due.filter(|(at, _)| *at < Duration::from_secs(20)) else { break };
            world.now = world.now.max(at);
            (world, _) = self.act(&world, node, Act::Timer).map_err(|what| self.plain(what))?;
        }
        Ok(World { timers: 0, ..world })
    }

    fn plain(&self, what: String) -> Box<Counterexample> {
        Box::new(Counterexample { what, steps: vec!["before the attacker began".to_owned()] })
    }

    /// One step of one end. Also says whether anything changed.
    fn act(&mut self, world: &World, node: usize, act: Act) -> Result<(World, bool), String> {
        let step = self.ends[node].step(world.ends[node], act, world.now, self.scenario, &mut self.messages);
        if let Some(fault) = step.fault {
            return Err(format!("end {}: {fault}", ["A", "B", "C"][node]));
        }
        let mut next = *world;
        next.ends[node] = step.to;
        next.known = self.sets.with(world.known, &step.sent);
        let changed = next != *world;
        Ok((next, changed))
    }

    fn add(&mut self, world: World, from: (u32, usize, Act)) -> Result<(), Box<Counterexample>> {
        if !self.index.insert(world) {
            return Ok(());
        }
        self.worlds.push(world);
        self.from.push(from);
        let [a, b] = [0, 1].map(|node| &self.ends[node].get(world.ends[node]).facts);
        self.found.up += usize::from(a.was_up() || b.was_up());
        self.found.both += usize::from([a, b].iter().all(|facts| facts.was_up() && facts.had_child()));
        if self.judged.insert((world.ends[0], world.ends[1]))
            && let Err(what) = oracle::agree([a, b])
        {
            return Err(self.counterexample(what, self.worlds.len() - 1, None));
        }
        Ok(())
    }

    fn expand(&mut self, at: usize) -> Result<(), Box<Counterexample>> {
        let world = self.worlds[at];
        for message in self.held(&world) {
            self.deliver(at, &world, message)?;
            if world.transplants < self.scenario.transplant_budget {
                for forged in self.transplants(&world, message) {
                    let world = World { transplants: world.transplants + 1, ..world };
                    self.deliver(at, &world, forged)?;
                }
            }
        }
        for node in 0..self.ends.len() {
            let due = self.ends[node].get(world.ends[node]).due;
            if let Some(due) = due
                && world.timers < self.scenario.timer_budget
                && due.saturating_sub(world.now) <= self.scenario.patience
            {
                let world = World { now: world.now.max(due), timers: world.timers + 1, ..world };
                self.take(at, &world, node, Act::Timer)?;
            }
            if world.commands < self.scenario.command_budget && node < 2 {
                let world = World { commands: world.commands + 1, ..world };
                for number in 0..self.scenario.commands.len() {
                    self.take(at, &world, node, Act::Command(number as u8))?;
                }
            }
        }
        Ok(())
    }

    /// What the attacker holds.
    fn held(&self, world: &World) -> Vec<u16> {
        self.sets.all[world.known as usize].iter().copied().collect()
    }

    /// The same message with the SPIs of other messages he holds: both, or one of them.
    fn transplants(&mut self, world: &World, message: u16) -> Vec<u16> {
        let original = self.messages.get(message).clone();
        let (i, r) = original.spis();
        let others: BTreeSet<_> = self.held(world).into_iter().map(|other| self.messages.get(other).spis()).collect();
        let pairs: BTreeSet<_> =
            others.iter().flat_map(|(oi, or)| [(*oi, *or), (*oi, r), (i, *or), (*or, *oi)]).collect();
        let mut made = Vec::new();
        for (oi, or) in pairs.into_iter().filter(|pair| *pair != (i, r)) {
            let mut octets = original.octets.clone();
            octets[..8].copy_from_slice(&oi.0);
            octets[8..16].copy_from_slice(&or.0);
            made.push(self.messages.number(Message { sender: None, octets, ..original.clone() }));
        }
        made
    }

    /// To where it was sent, and back to where it came from.
    fn deliver(&mut self, at: usize, world: &World, message: u16) -> Result<(), Box<Counterexample>> {
        let to = self.messages.get(message).path.remote.ip();
        for node in 0..self.ends.len() {
            let here = super::super::address(sim::NodeId(node % 2));
            let reflected = here != to;
            if !(reflected && node > 1) {
                self.take(at, world, node, Act::Deliver { message, reflected })?;
            }
        }
        Ok(())
    }

    fn take(&mut self, at: usize, world: &World, node: usize, act: Act) -> Result<(), Box<Counterexample>> {
        self.found.transitions += 1;
        let origin = (at as u32, node, act);
        match self.act(world, node, act) {
            Err(what) => Err(self.counterexample(what, at, Some((node, act)))),
            Ok((next, true)) => self.add(next, origin),
            Ok((_, false)) => Ok(()),
        }
    }

    fn counterexample(&self, what: String, at: usize, last: Option<(usize, Act)>) -> Box<Counterexample> {
        let words = |node: usize, act: Act| {
            let name = ["A", "B", "C"][node];
            match act {
                Act::Deliver { message, reflected } => {
                    let how = if reflected { "back to" } else { "to" };
                    format!("{how} {name}: {}", self.messages.get(message).words())
                }
                Act::Start => "the start".to_owned(),
                Act::Timer => format!("the clock of {name}"),
                Act::Command(number) => format!("{name}: {:?}", self.scenario.commands[usize::from(number)]),
            }
        };
        let mut steps: Vec<String> = last.map(|(node, act)| words(node, act)).into_iter().collect();
        let mut at = at as u32;
        while let Some((before, node, act)) = self.from.get(at as usize).copied() {
            steps.push(words(node, act));
            at = before;
        }
        steps.reverse();
        Box::new(Counterexample { what, steps })
    }
}
