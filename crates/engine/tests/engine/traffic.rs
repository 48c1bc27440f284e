//! What passed through a connection, over all its SAs, and how long its way is.

use crate::support::*;
use ike::config::Versions;
use sim::{Link, NodeId};
use std::time::Duration;

fn observation(pair: &Pair, node: NodeId) -> engine::traffic::Observation {
    let observations = pair.gateway(node).engine.observations(pair.now());
    *observations.values().next().expect("a connection")
}

#[test]
fn totals_count_on_over_rekeys_and_deletes_of_both_kinds() {
    let mut pair = Pair::new(1, Link::PERFECT, false, |_, _| {}).up();
    pair.start_streams(100);
    for round in 0..6 {
        pair.run(millis(500));
        if round % 2 == 0 { pair.rekey_child(A) } else { pair.rekey_ike(B) }
    }
    pair.run(seconds(1));
    assert_eq!(pair.finish_streams(), NOTHING);
    pair.run(seconds(60));
    for (node, far) in [(A, B), (B, A)] {
        let (here, there) = (observation(&pair, node).totals, observation(&pair, far).totals);
        assert_eq!(here.packets_out, pair.gateway(node).stream.sent, "everything that was sent, once");
        assert_eq!(here.packets_in, pair.gateway(far).stream.sent);
        assert_eq!(here.expected_in, here.packets_in, "nothing was lost");
        assert_eq!((here.bytes_out, here.bytes_in), (there.bytes_in, there.bytes_out));
        let status = crate::status::status(&pair, node);
        assert_eq!(status.connections[0].traffic.packets_in, here.packets_in);
        assert!(status.connections[0].children[0].packets_in < here.packets_in, "the present SA is younger");
    }
}

#[test]
fn what_is_lost_on_the_way_is_seen_by_its_sequence_numbers() {
    let lossy = Link { loss: 0.1, ..Link::PERFECT };
    let mut pair = Pair::new(2, lossy, false, |_, _| {}).up();
    pair.start_streams(1000);
    pair.run(seconds(10));
    let missing = pair.finish_streams();
    for (node, missing) in [(B, &missing[0]), (A, &missing[1])] {
        let totals = observation(&pair, node).totals;
        let lost = totals.expected_in - totals.packets_in;
        // The last packets may be missing without a later one that shows it.
        assert!(missing.len() as u64 - lost < 5 && lost > 500, "{lost} of {} lost", missing.len());
    }
}

const SLOW: Link = Link { delay_min: millis(30), delay_max: millis(30), ..Link::PERFECT };

fn with_questions(version: Versions, every: Duration) -> Pair {
    Pair::new(3, SLOW, false, |_, desired| {
        connection(desired).peer.versions = version;
        connection(desired).peer.dpd.interval = Some(every);
    })
    .up()
}

#[test]
fn the_way_is_measured_by_the_answers_to_liveness_checks() {
    for version in [Versions::V1, Versions::V2] {
        let mut pair = with_questions(version, seconds(10));
        pair.run(seconds(60));
        assert_eq!(observation(&pair, A).rtt, Some(millis(60)), "{version:?}");
        let status = crate::status::status(&pair, A);
        assert_eq!(status.connections[0].rtt_milliseconds, Some(60.0));
    }
}

#[test]
fn a_way_that_was_not_measured_lately_is_asked_for_once() {
    for version in [Versions::V1, Versions::V2] {
        let mut pair = with_questions(version, seconds(3600));
        pair.run(seconds(120));
        assert_eq!(observation(&pair, A).rtt, None, "{version:?}: nothing was asked for two minutes");
        pair.command(A, |engine, now| engine.measure(now));
        pair.run(seconds(1));
        assert!(observation(&pair, A).rtt.is_some(), "{version:?}");
        let asked = pair.gateway(A).totals.ike;
        pair.command(A, |engine, now| engine.measure(now));
        pair.run(seconds(1));
        assert_eq!(pair.gateway(A).totals.ike, asked, "{version:?}: it is known well enough");
        pair.run(seconds(90));
        assert_eq!(observation(&pair, A).rtt, None, "{version:?}: old");
    }
}

#[test]
fn who_looks_once_a_minute_always_finds_a_round_trip_time() {
    let mut pair = with_questions(Versions::V2, seconds(3600));
    pair.command(A, |engine, now| engine.measure(now));
    for minute in 1..=10 {
        pair.run(seconds(60));
        assert!(observation(&pair, A).rtt.is_some(), "minute {minute}");
        pair.command(A, |engine, now| engine.measure(now));
    }
}

#[test]
fn a_peer_without_liveness_checks_is_not_asked_how_far_it_is() {
    let mut pair = Pair::new(4, Link::PERFECT, false, |_, desired| connection(desired).peer.dpd.interval = None).up();
    let sent = pair.gateway(A).totals.ike;
    pair.command(A, |engine, now| engine.measure(now));
    pair.run(seconds(1));
    assert_eq!(pair.gateway(A).totals.ike, sent);
}
