//! What links do to datagrams: chance near its nominal value, order, delay, size and rate.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::panic)]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sim::{Counters, Fate, Link, Network};

const MS: Duration = Duration::from_millis(1);

fn ends() -> (SocketAddr, SocketAddr) {
    ("192.0.2.1:500".parse().unwrap(), "192.0.2.2:500".parse().unwrap())
}

/// Sends `count` numbered datagrams one millisecond apart, then returns (number, arrival) in order of arrival.
fn run(seed: u64, link: Link, count: u64) -> (Vec<(u64, Duration)>, Network) {
    let start = Instant::now();
    let (a, b) = ends();
    let mut network = Network::new(seed, link, start);
    let mut arrivals = Vec::new();
    let mut collect = |network: &mut Network, now: Instant| {
        while let Some(due) = network.next_delivery().filter(|due| *due <= now) {
            let delivery = network.pop_due(due).unwrap();
            let number = u64::from_be_bytes(delivery.payload[..8].try_into().unwrap());
            arrivals.push((number, due - start));
        }
    };
    for number in 0..count {
        let now = start + MS * u32::try_from(number).unwrap();
        collect(&mut network, now);
        network.send(now, a, b, number.to_be_bytes().to_vec());
    }
    collect(&mut network, start + Duration::from_secs(1_000_000));
    (arrivals, network)
}

#[test]
fn a_perfect_link_delivers_everything_once_in_order_after_its_delay() {
    let (arrivals, network) = run(1, Link::PERFECT, 1000);
    let expected: Vec<_> = (0..1000).map(|n| (n, MS * u32::try_from(n).unwrap() + 10 * MS)).collect();
    assert_eq!(arrivals, expected);
    assert_eq!(network.counters(), Counters { sent: 1000, delivered: 1000, ..Counters::default() });
}

#[test]
fn a_hostile_link_loses_duplicates_and_reorders_near_its_nominal_rates() {
    let (arrivals, network) = run(2, Link::HOSTILE, 50_000);
    let counters = network.counters();
    assert!((9_600..10_400).contains(&counters.lost), "{counters:?}");
    assert!((7_600..8_400).contains(&counters.duplicated), "20 % of the 80 % that are not lost: {counters:?}");
    let overtaken = arrivals.windows(2).filter(|pair| pair[0].0 > pair[1].0).count();
    assert!(overtaken > 3000, "{overtaken} inversions");
    assert_eq!(counters.delivered, counters.sent + counters.duplicated - counters.lost, "nothing else vanishes");
    assert_eq!(counters.delivered, arrivals.len() as u64);
}

#[test]
fn no_datagram_is_later_than_the_delay_and_the_reordering_allow() {
    let (arrivals, _) = run(3, Link::HOSTILE, 20_000);
    let bound = Link::HOSTILE.delay_max + Link::HOSTILE.reorder_delay;
    for (number, arrival) in arrivals {
        let took = arrival - MS * u32::try_from(number).unwrap();
        assert!(took >= Link::HOSTILE.delay_min && took <= bound, "datagram {number} took {took:?}");
    }
}

#[test]
fn jitter_alone_never_reorders() {
    let link = Link { delay_min: MS, delay_max: 100 * MS, ..Link::PERFECT };
    let (arrivals, _) = run(4, link, 5000);
    assert!(arrivals.is_sorted_by_key(|(number, _)| *number));
    assert_eq!(arrivals.len(), 5000);
}

#[test]
fn the_same_seed_gives_the_same_run_and_another_seed_another() {
    let (first, one) = run(5, Link::HOSTILE, 3000);
    let (second, two) = run(5, Link::HOSTILE, 3000);
    let (third, three) = run(6, Link::HOSTILE, 3000);
    assert_eq!(first, second);
    assert_eq!(one.trace().digest(), two.trace().digest());
    assert_eq!(one.dump(), two.dump());
    assert_ne!(first, third);
    assert_ne!(one.trace().digest(), three.trace().digest());
}

#[test]
fn a_datagram_longer_than_the_link_carries_is_dropped_and_counted() {
    let (a, b) = ends();
    let start = Instant::now();
    let mut network = Network::new(1, Link::PERFECT.with_mtu(1200), start);
    network.send(start, a, b, vec![0; 1200]);
    network.send(start, a, b, vec![0; 1201]);
    assert_eq!(network.pop_due(start + 10 * MS).unwrap().payload.len(), 1200);
    assert_eq!(network.pop_due(start + 10 * MS), None);
    assert_eq!(network.counters().too_big, 1);
    assert!(network.trace().entries().any(|entry| entry.fate == Fate::TooBig && entry.len == 1201));
}

#[test]
fn a_rate_spaces_datagrams_out_and_drops_what_would_wait_too_long() {
    let (a, b) = ends();
    let start = Instant::now();
    // 1,000 bytes take 8 ms at 1 Mbit/s.
    let mut network = Network::new(1, Link::PERFECT.with_rate(1_000_000), start);
    for _ in 0..100 {
        network.send(start, a, b, vec![0; 1000]);
    }
    let mut arrivals = Vec::new();
    while let Some(due) = network.next_delivery() {
        network.pop_due(due).unwrap();
        arrivals.push(due - start);
    }
    assert_eq!(arrivals[0], 18 * MS);
    assert!(arrivals.windows(2).all(|pair| pair[1] - pair[0] == 8 * MS), "{arrivals:?}");
    assert_eq!(arrivals.len(), 26, "what fits into 200 ms of waiting, and the one on the line");
    assert_eq!(network.counters().overflow, 74);
}

#[test]
fn the_queue_is_bounded() {
    let (a, b) = ends();
    let start = Instant::now();
    let mut network = Network::new(1, Link::PERFECT, start);
    for _ in 0..70_000 {
        network.send(start, a, b, Vec::new());
    }
    assert_eq!(network.in_flight(), 65_536);
    assert_eq!(network.counters().overflow, 70_000 - 65_536);
}
