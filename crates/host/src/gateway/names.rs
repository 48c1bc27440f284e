//! Peers whose address is a DNS name: asked for in a thread of its own, because the resolver may take its time.
//!
//! A connection is asked for when the configuration is loaded, after it failed to connect, and every five minutes while it is
//! down. An answer changes a connection only when it is another one, and a tunnel that is up stays with its address for as long
//! as the name has it.

use crate::poll::Waker;
use engine::desired::{Connection, DesiredState};
use ike::config::PeerName;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

/// How often names of connections that are down are asked for.
const WHILE_DOWN: Duration = Duration::from_secs(300);
/// A name is not asked for more often than this, however often its connection fails.
const LEAST_PAUSE: Duration = Duration::from_secs(5);
/// Names that may wait for the resolver.
const QUEUE: usize = 256;

/// Asks the system's resolver for a name's addresses.
pub(super) type Lookup = fn(&str) -> io::Result<Vec<IpAddr>>;

/// What the resolver said about a name.
pub(super) struct Answer {
    pub(super) name: String,
    pub(super) found: io::Result<Vec<IpAddr>>,
}

/// The names of all connections, and what is known of them.
pub(super) struct Names {
    questions: SyncSender<String>,
    pub(super) answers: Receiver<Answer>,
    known: BTreeMap<String, BTreeSet<IpAddr>>,
    /// Asked, and not answered yet.
    asked: BTreeSet<String>,
    /// When each was asked for last.
    last: BTreeMap<String, Instant>,
    /// Names that did not resolve, so that this is logged once.
    failed: BTreeSet<String>,
    next: Instant,
}

/// What the system says now, in a stable order.
pub(super) fn system_lookup(name: &str) -> io::Result<Vec<IpAddr>> {
    Ok((name, 0).to_socket_addrs()?.map(|address| address.ip()).collect())
}

impl Names {
    /// Starts the resolver's thread. It ends when this is dropped and its present question has been answered.
    pub(super) fn start(lookup: Lookup, waker: Waker, now: Instant) -> io::Result<Names> {
        let (questions, to_ask) = sync_channel::<String>(QUEUE);
        let (sender, answers) = sync_channel(QUEUE);
        std::thread::Builder::new().name("resolver".to_owned()).spawn(move || {
            for name in to_ask {
                let found = lookup(&name);
                if sender.send(Answer { name, found }).is_err() {
                    break;
                }
                waker.wake();
            }
        })?;
        Ok(Names {
            questions,
            answers,
            known: BTreeMap::new(),
            asked: BTreeSet::new(),
            last: BTreeMap::new(),
            failed: BTreeSet::new(),
            next: now + WHILE_DOWN,
        })
    }

    /// Adds what is known of a connection's names to its addresses, those that were written there first.
    pub(super) fn fill(&self, connection: &mut Connection) {
        let found = connection.remote_names.iter().filter_map(|name| self.known.get(name)).flatten();
        for address in found {
            if !connection.peer.remote_addresses.contains(address) {
                connection.peer.remote_addresses.push(*address);
            }
        }
    }

    /// Asks for the names of a connection, unless it just did.
    pub(super) fn ask(&mut self, connection: &Connection, now: Instant) {
        for name in &connection.remote_names {
            let recent = self.last.get(name).is_some_and(|last| *last + LEAST_PAUSE > now);
            if recent || self.asked.contains(name) {
                continue;
            }
            match self.questions.try_send(name.clone()) {
                Ok(()) => {
                    self.asked.insert(name.clone());
                    self.last.insert(name.clone(), now);
                }
                // It is asked again when its connection fails again.
                Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
            }
        }
    }

    /// When names of connections that are down are asked for next.
    pub(super) fn due(&mut self, desired: &DesiredState, now: Instant) -> bool {
        let due = self.next <= now;
        if due {
            self.next = now + WHILE_DOWN;
        }
        due && desired.connections.values().any(|connection| !connection.remote_names.is_empty())
    }

    /// Forgets names that no connection has.
    pub(super) fn keep_only(&mut self, desired: &DesiredState) {
        let connections = desired.connections.values();
        let names: BTreeSet<&String> = connections.flat_map(|connection| &connection.remote_names).collect();
        self.known.retain(|name, _| names.contains(name));
        self.last.retain(|name, _| names.contains(name));
        self.failed.retain(|name| names.contains(name));
    }

    /// Takes an answer in; `Ok(true)` when it says something new, `Err` what to tell the operator, once.
    pub(super) fn learn(&mut self, answer: Answer) -> Result<bool, String> {
        self.asked.remove(&answer.name);
        let found = match answer.found {
            Ok(found) if !found.is_empty() => found.into_iter().collect::<BTreeSet<IpAddr>>(),
            // The old addresses may still be right: a resolver that fails says nothing about them.
            Ok(_) => return self.fail(answer.name, "it has no address"),
            Err(error) => return self.fail(answer.name, &error.to_string()),
        };
        self.failed.remove(&answer.name);
        let news = self.known.get(&answer.name) != Some(&found);
        self.known.insert(answer.name, found);
        Ok(news)
    }

    fn fail(&mut self, name: String, why: &str) -> Result<bool, String> {
        let text = format!("{name} does not resolve: {why}");
        if self.failed.insert(name) { Err(text) } else { Ok(false) }
    }
}

/// Connections that an answer changes: those whose addresses are others now, unless they are up with one of the new ones.
/// `current` is the address a connection is up with.
pub(super) fn changed<'a>(
    old: &'a DesiredState,
    new: &'a DesiredState,
    current: impl Fn(&PeerName) -> Option<IpAddr>,
) -> Vec<&'a Connection> {
    let differs = |connection: &&Connection| {
        let name = &connection.peer.name;
        let addresses = |state: &DesiredState| -> Option<BTreeSet<IpAddr>> {
            Some(state.connections.get(name)?.peer.remote_addresses.iter().copied().collect())
        };
        let stays = current(name).is_some_and(|address| connection.peer.remote_addresses.contains(&address));
        addresses(old) != addresses(new) && !stays
    };
    new.connections.values().filter(differs).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    fn answer(name: &str, last: &[u8]) -> Answer {
        Answer { name: name.to_owned(), found: Ok(last.iter().map(|last| ip(*last)).collect()) }
    }

    /// A state with connections `x` and `y` to b.example; `fill` puts addresses to them.
    fn state(fill: impl Fn(&mut Connection)) -> DesiredState {
        let text = |name: &str| {
            format!(
                "[connection.{name}]\nremote_address = [\"192.0.2.9\", \"b.example\"]\nremote_id = \"b{name}\"\n\
                 local_id = \"a{name}\"\npsk = \"x\"\n[connection.{name}.child.net]\n\
                 local_subnets = [\"10.1.0.0/16\"]\nremote_subnets = [\"10.{}.0.0/16\"]\n",
                name.len() + usize::from(name == "y") + 1
            )
        };
        let config = formats::SourceFile::new("c.toml", text("x") + &text("y"));
        let secrets = formats::SourceFile::new("s.toml", "[psk]\nx = \"0123456789abcdef0123456789abcdef\"\n");
        let mut state = formats::underpass_toml::parse(&[config], &[secrets]).unwrap().state;
        state.connections.values_mut().for_each(fill);
        state
    }

    fn names(lookup: Lookup) -> (Names, Waker, Instant) {
        let (waker, now) = (Waker::new().unwrap(), Instant::now());
        (Names::start(lookup, waker.clone(), now).unwrap(), waker, now)
    }

    #[test]
    fn a_name_is_asked_in_its_own_thread_and_not_more_often_than_it_may() {
        let (mut names, _waker, now) =
            names(|name| if name == "b.example" { Ok(vec![ip(2), ip(1)]) } else { Ok(vec![]) });
        let configured = state(|_| {});
        let connection = configured.connections.values().next().unwrap();
        names.ask(connection, now);
        names.ask(connection, now);
        let answer = names.answers.recv().unwrap();
        assert_eq!(names.learn(answer), Ok(true));
        names.ask(connection, now + LEAST_PAUSE / 2);
        names.ask(connection, now + LEAST_PAUSE);
        let answer = names.answers.recv().unwrap();
        assert_eq!(names.learn(answer), Ok(false), "the same as before, and the only other answer");
        assert!(names.answers.try_recv().is_err());
        let mut filled = connection.clone();
        names.fill(&mut filled);
        assert_eq!(filled.peer.remote_addresses, [ip(9), ip(1), ip(2)], "what is written first, then in order");
    }

    #[test]
    fn a_resolver_that_fails_is_told_of_once_and_takes_nothing_away() {
        let (mut names, _waker, _) = names(|_| Ok(Vec::new()));
        assert_eq!(names.learn(answer("b.example", &[1])), Ok(true));
        assert!(names.learn(answer("b.example", &[])).is_err());
        assert_eq!(names.learn(answer("b.example", &[])), Ok(false));
        let filled = state(|connection| names.fill(connection));
        assert!(filled.connections.values().all(|connection| connection.peer.remote_addresses == [ip(9), ip(1)]));
        assert_eq!(names.learn(answer("b.example", &[1])), Ok(false), "as before");
        assert!(names.learn(answer("b.example", &[])).is_err(), "a new failure");
    }

    #[test]
    fn a_tunnel_stays_with_its_address_for_as_long_as_the_name_has_it() {
        let with = |last: u8| state(move |connection| connection.peer.remote_addresses.push(ip(last)));
        let (old, new) = (with(1), with(2));
        let changed = |current: &dyn Fn(&PeerName) -> Option<IpAddr>| -> Vec<String> {
            changed(&old, &new, current).iter().map(|connection| connection.peer.name.to_string()).collect()
        };
        assert_eq!(changed(&|_| None), ["x", "y"], "both are down");
        assert_eq!(
            changed(&|peer| (*peer == PeerName::from("x")).then_some(ip(9))),
            ["y"],
            "x is up at 9, which it keeps"
        );
        assert_eq!(changed(&|_| Some(ip(1))), ["x", "y"], "both are up where nobody is any more");
    }

    #[test]
    fn names_are_asked_again_every_five_minutes_where_there_are_any() {
        let (mut names, _waker, now) = names(|_| Ok(Vec::new()));
        let configured = state(|_| {});
        assert!(!names.due(&configured, now));
        assert!(names.due(&configured, now + WHILE_DOWN));
        assert!(!names.due(&configured, now + WHILE_DOWN));
        assert!(!names.due(&DesiredState::default(), now + WHILE_DOWN * 2));
    }
}
