//! The driver: a small request-and-response protocol with retransmission, run through hostile links.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::panic)]

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sim::{Event, Lab, Link, Node, Stop, Transmit};

const RETRANSMIT: Duration = Duration::from_millis(500);

/// Counts to a goal: sends n, waits for the echo of n, retransmits until it comes. A peer echoes.
struct Counter {
    own: SocketAddr,
    peer: SocketAddr,
    goal: u32,
    confirmed: u32,
    retransmit_at: Option<Instant>,
    outbox: VecDeque<Transmit>,
    stuck: bool,
}

impl Counter {
    fn new(own: SocketAddr, peer: SocketAddr) -> Self {
        Self { own, peer, goal: 0, confirmed: 0, retransmit_at: None, outbox: VecDeque::new(), stuck: false }
    }

    fn count_to(&mut self, goal: u32, now: Instant) {
        self.goal = goal;
        self.ask(now);
    }

    fn ask(&mut self, now: Instant) {
        self.retransmit_at = None;
        if self.confirmed < self.goal {
            self.transmit(b'?', self.confirmed + 1);
            self.retransmit_at = Some(now + RETRANSMIT);
        }
    }

    fn transmit(&mut self, kind: u8, number: u32) {
        let mut payload = vec![kind];
        payload.extend(number.to_be_bytes());
        self.outbox.push_back(Transmit { from: self.own, to: self.peer, payload });
    }
}

impl Node for Counter {
    fn handle_datagram(&mut self, from: SocketAddr, to: SocketAddr, payload: &[u8], now: Instant) {
        assert_eq!((from, to), (self.peer, self.own));
        let number = u32::from_be_bytes(payload[1..5].try_into().unwrap());
        if payload[0] == b'?' {
            self.transmit(b'!', number);
        } else if number == self.confirmed + 1 {
            self.confirmed = number;
            self.ask(now);
        }
    }
    fn handle_timeout(&mut self, now: Instant) {
        if !self.stuck {
            self.ask(now);
        }
    }
    fn poll_transmit(&mut self) -> Option<Transmit> {
        self.outbox.pop_front()
    }
    fn poll_timeout(&mut self) -> Option<Instant> {
        self.retransmit_at
    }
    fn is_idle(&self) -> bool {
        self.confirmed == self.goal
    }
}

fn pair(seed: u64, link: Link) -> (Lab<Counter>, sim::NodeId) {
    let (a, b) = ("192.0.2.1:500".parse().unwrap(), "192.0.2.2:500".parse().unwrap());
    let mut lab = Lab::new(seed, link, Instant::now());
    let first = lab.add(Counter::new(a, b), &[a]);
    lab.add(Counter::new(b, a), &[b]);
    (lab, first)
}

#[test]
fn a_retransmitting_protocol_reaches_its_goal_over_a_hostile_link_whatever_the_seed() {
    for seed in 0..200 {
        let (mut lab, first) = pair(seed, Link::HOSTILE);
        lab.act(first, |node, now| node.count_to(50, now));
        assert_eq!(lab.run_until_quiet(Duration::from_secs(600)), Stop::Quiet, "seed {seed}\n{}", lab.dump());
        assert_eq!(lab.node(first).confirmed, 50, "seed {seed}");
    }
}

#[test]
fn a_run_is_a_function_of_its_seed() {
    let digest = |seed| {
        let (mut lab, first) = pair(seed, Link::HOSTILE);
        lab.act(first, |node, now| node.count_to(100, now));
        lab.run_for(Duration::from_secs(100));
        (lab.network.trace().digest(), lab.events(), lab.network.counters())
    };
    assert_eq!(digest(1), digest(1));
    assert_ne!(digest(1).0, digest(2).0);
}

#[test]
fn the_clock_ends_at_the_deadline_and_jumps_from_event_to_event() {
    let (mut lab, first) = pair(1, Link::PERFECT);
    let hour = Duration::from_secs(3600);
    assert_eq!(lab.run_for(hour), Stop::Deadline);
    assert_eq!((lab.elapsed(), lab.events()), (hour, 0));
    lab.act(first, |node, now| node.count_to(1, now));
    assert!(lab.step(), "the request arrives");
    assert_eq!(lab.elapsed(), hour + Duration::from_millis(10));
    assert!(lab.step(), "the response arrives");
    assert!(!lab.step(), "nothing is left");
}

#[test]
fn the_checker_sees_every_event_and_ends_the_run_with_its_finding() {
    let (mut lab, first) = pair(1, Link::PERFECT);
    lab.act(first, |node, now| node.count_to(10, now));
    let mut seen = 0;
    let stop = lab.run_until_with(lab.now() + Duration::from_secs(60), |lab, event| {
        assert!(matches!(event, Event::Delivered(_)));
        seen += 1;
        if lab.node(first).confirmed == 3 { Err("three".into()) } else { Ok(()) }
    });
    assert_eq!(stop, Stop::Violation("three".into()));
    assert_eq!(seen, 6);
}

#[test]
fn a_node_that_wants_to_be_woken_in_the_present_for_ever_is_called_a_livelock() {
    let (mut lab, first) = pair(1, Link::PERFECT.with_loss(1.0));
    lab.node_mut(first).stuck = true;
    lab.act(first, |node, now| node.count_to(1, now));
    assert_eq!(lab.run_for(Duration::from_secs(60)), Stop::Livelock(first));
}

#[test]
fn a_partition_shorter_than_the_protocols_patience_delays_and_breaks_nothing() {
    let (mut lab, first) = pair(3, Link::PERFECT);
    let (a, b) = (lab.node(first).own, lab.node(first).peer);
    lab.network.cut_both(a, b);
    lab.act(first, |node, now| node.count_to(5, now));
    lab.run_for(Duration::from_secs(30));
    assert_eq!(lab.node(first).confirmed, 0);
    lab.network.heal(a, b);
    assert_eq!(lab.run_until_quiet(Duration::from_secs(5)), Stop::Quiet);
    assert_eq!(lab.node(first).confirmed, 5);
}

#[test]
fn a_datagram_to_an_address_nobody_has_is_noted_and_harmless() {
    let (mut lab, first) = pair(1, Link::PERFECT);
    let peer = lab.node(first).peer;
    lab.unbind(peer);
    lab.act(first, |node, now| node.count_to(1, now));
    assert!(lab.step());
    assert!(lab.dump().contains("UNREACHABLE"), "{}", lab.dump());
}
