//! A tunnel that works and is not as it was for weeks.

use crate::bench::*;
use crate::support::*;
use doctor::Evidence;
use doctor::catalogue::*;
use doctor::evidence::Live;
use observe::Baselines;
use sim::Link;

/// A Monday, 00:00 UTC, in seconds since 1970.
const MONDAY: f64 = 1_764_547_200.0;

/// Packets of 1,400 bytes from the peer in three minutes: 11.7 kB/s.
const PACKETS: usize = 1500;

/// Three minutes of a tunnel with so many packets from the peer, and a look at it.
fn look(pair: &mut Pair, baselines: &mut Baselines, wall: &mut f64, packets: usize) {
    let packet = udp(B, false, 1400);
    for _ in 0..packets {
        pair.send(B, &packet);
    }
    pair.run(seconds(180));
    *wall += 180.0;
    baselines.observe(&pair.gateway(A).engine.observations(pair.now()), *wall);
}

/// What is seen of a tunnel with a way of 20 ms that had the same traffic for four hours, and then, on this link, so much.
fn looked_at(later: Link, packets: usize) -> Evidence {
    let slow = Link { delay_min: millis(10), delay_max: millis(10), ..Link::PERFECT };
    let mut pair =
        Pair::new(5, slow, false, |_, desired| connection(desired).peer.dpd.interval = Some(seconds(10))).up();
    let (mut baselines, mut wall) = (Baselines::default(), MONDAY);
    for _ in 0..4 * 20 {
        look(&mut pair, &mut baselines, &mut wall, PACKETS);
    }
    pair.lab.network.set_link(later);
    for _ in 0..3 {
        look(&mut pair, &mut baselines, &mut wall, packets);
    }
    let mut status = status(&pair, A);
    let normal = baselines.normal(&other(A), wall).expect("four hours are known");
    let normal = engine::status::BaselineStatus::from(normal);
    status["connections"][0]["baseline"] = serde_json::to_value(normal).unwrap();
    let evidence = evidence(&pair, A);
    Evidence { live: Live::from_status(&status), ..evidence }
}

fn quiet_pair() -> Pair {
    Pair::connected(|_, _| {})
}

#[test]
fn a_way_that_becomes_longer_than_it_was_is_perf_02() {
    let evidence = looked_at(Link { delay_min: millis(60), delay_max: millis(60), ..Link::PERFECT }, PACKETS);
    let report = expect(&quiet_pair(), &evidence, PERF_02);
    assert!(words(&report).contains("rtt_seconds is 0.1"), "{}", words(&report));
}

#[test]
fn traffic_that_stops_at_an_hour_that_had_much_is_perf_03() {
    let usual = Link { delay_min: millis(10), delay_max: millis(10), ..Link::PERFECT };
    let evidence = looked_at(usual, 0);
    let report = expect(&quiet_pair(), &evidence, PERF_03);
    assert!(words(&report).contains("receive_bytes_per_second is 0.0000"), "{}", words(&report));
    let evidence = looked_at(usual, PACKETS);
    assert_eq!(doctor::diagnose(&evidence, None).first(), None, "as it always was");
}
