//! Partitions and scripted interception.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::panic)]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sim::{Fate, Link, Network};

const DELAY: Duration = Duration::from_millis(10);

struct Bench {
    network: Network,
    now: Instant,
    a: SocketAddr,
    b: SocketAddr,
}

fn bench() -> Bench {
    let now = Instant::now();
    let network = Network::new(1, Link::PERFECT, now);
    Bench { network, now, a: "192.0.2.1:500".parse().unwrap(), b: "[2001:db8::2]:500".parse().unwrap() }
}

impl Bench {
    fn a_sends(&mut self, payload: &str) {
        self.network.send(self.now, self.a, self.b, payload.into());
    }

    fn b_sends(&mut self, payload: &str) {
        self.network.send(self.now, self.b, self.a, payload.into());
    }

    /// What arrives within the link's delay, the clock moved there.
    fn arrivals(&mut self) -> Vec<String> {
        self.now += DELAY;
        std::iter::from_fn(|| self.network.pop_due(self.now))
            .map(|delivery| String::from_utf8(delivery.payload).unwrap())
            .collect()
    }
}

#[test]
fn a_cut_stops_one_direction_only_and_healing_restores_it() {
    let mut bench = bench();
    bench.a_sends("under way before the cut");
    bench.network.cut(bench.a, bench.b);
    bench.a_sends("lost");
    bench.b_sends("back");
    assert_eq!(bench.arrivals(), ["under way before the cut", "back"]);
    assert_eq!(bench.network.counters().cut, 1);
    bench.network.heal(bench.a, bench.b);
    bench.a_sends("healed");
    assert_eq!(bench.arrivals(), ["healed"]);
}

#[test]
fn an_isolated_address_neither_sends_nor_receives() {
    let mut bench = bench();
    bench.network.isolate(bench.b);
    bench.a_sends("in");
    bench.b_sends("out");
    assert!(bench.arrivals().is_empty());
    bench.network.heal_all();
    bench.b_sends("again");
    assert_eq!(bench.arrivals(), ["again"]);
}

#[test]
fn held_datagrams_arrive_after_their_release_in_order_and_once() {
    let mut bench = bench();
    let rule = bench.network.hold(|datagram| datagram.payload.starts_with(b"rekey"));
    bench.a_sends("rekey 1");
    bench.a_sends("data 1");
    bench.a_sends("rekey 2");
    assert_eq!(bench.arrivals(), ["data 1"]);
    assert_eq!(bench.network.held(rule).count(), 2);
    assert_eq!(bench.network.release(bench.now, rule), 2);
    bench.a_sends("rekey 3");
    assert_eq!(bench.arrivals(), ["rekey 1", "rekey 2", "rekey 3"], "the rule ended with its release");
    assert_eq!(bench.network.release(bench.now, rule), 0);
}

#[test]
fn held_datagrams_arrive_even_on_a_link_that_loses_everything() {
    let mut bench = bench();
    bench.network.set_link(Link::PERFECT.with_loss(1.0));
    let rule = bench.network.hold_next(|_| true);
    bench.a_sends("held");
    bench.a_sends("lost");
    bench.network.release(bench.now, rule);
    assert_eq!(bench.arrivals(), ["held"]);
}

#[test]
fn discarded_datagrams_never_arrive() {
    let mut bench = bench();
    let rule = bench.network.hold_next(|_| true);
    bench.a_sends("one");
    bench.a_sends("two");
    assert_eq!(bench.network.discard(bench.now, rule), 1);
    assert_eq!(bench.arrivals(), ["two"]);
    assert_eq!(bench.network.counters().dropped, 1);
}

#[test]
fn drop_next_drops_as_many_matches_as_it_was_told() {
    let mut bench = bench();
    let from = bench.a;
    bench.network.drop_next(2, move |datagram| datagram.from == from);
    for payload in ["1", "2", "3"] {
        bench.a_sends(payload);
        bench.b_sends("back");
    }
    assert_eq!(bench.arrivals(), ["back", "back", "3", "back"]);
}

#[test]
fn a_delayed_datagram_is_overtaken() {
    let mut bench = bench();
    bench.network.delay_next(1, Duration::from_millis(15), |_| true);
    bench.a_sends("slow");
    bench.a_sends("fast");
    assert_eq!(bench.arrivals(), ["fast"]);
    assert!(bench.arrivals().is_empty());
    assert_eq!(bench.arrivals(), ["slow"]);
}

#[test]
fn held_datagrams_are_bounded() {
    let mut bench = bench();
    let rule = bench.network.hold(|_| true);
    for _ in 0..5000 {
        bench.a_sends("flood");
    }
    assert_eq!(bench.network.held(rule).count(), 4096);
    assert_eq!(bench.network.counters().overflow, 5000 - 4096);
}

#[test]
fn the_trace_shows_what_became_of_each_datagram_and_names_it_from_its_first_bytes() {
    let mut bench = bench();
    bench.network.drop_next(1, |_| true);
    bench.a_sends("SA_INIT");
    bench.b_sends("DELETE");
    bench.arrivals();
    let fates: Vec<_> = bench.network.trace().entries().map(|entry| entry.fate).collect();
    assert_eq!(fates, [Fate::Dropped, Fate::Delivered]);
    let text = bench.network.trace().render(|prefix| String::from_utf8_lossy(prefix).into_owned());
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert!(lines[1].contains("192.0.2.1:500 --> [2001:db8::2]:500"), "{text}");
    assert!(lines[1].ends_with("DROPPED by the script  SA_INIT"), "{text}");
    assert!(lines[2].contains("0.010000s") && lines[2].contains("<--"), "{text}");
}

#[test]
fn the_trace_keeps_the_last_events_only_and_says_how_many_are_missing() {
    let mut bench = bench();
    bench.network.keep_trace(3, bench.now);
    for _ in 0..10 {
        bench.a_sends("x");
    }
    assert_eq!(bench.arrivals().len(), 10);
    assert_eq!(bench.network.trace().entries().count(), 3);
    assert!(bench.network.dump().starts_with("10 datagram events, 7 earlier ones not kept"));
}
