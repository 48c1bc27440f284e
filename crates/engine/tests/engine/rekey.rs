//! Rekeys under traffic: nothing is lost that the network did not lose (RFC 7296 §2.8).

use crate::support::*;
use ike::config::Lifetime;
use ipsec::DropReason;
use sim::{Link, NodeId};

/// Late by up to 20 ms and out of order, but nothing is lost.
const JITTERY: Link =
    Link { reorder: 0.2, reorder_delay: millis(15), delay_min: millis(1), delay_max: millis(5), ..Link::PERFECT };

/// Streams of 1,000 packets a second both ways while `act` is done every half second, ten times.
fn under_traffic(seed: u64, link: Link, rounds: u64, act: impl Fn(&mut Pair, u64)) -> (Pair, [Vec<u64>; 2]) {
    let mut pair = Pair::new(seed, link, false, |_, _| {}).up();
    pair.start_streams(1000);
    for round in 0..rounds {
        pair.run(millis(500));
        act(&mut pair, round);
    }
    pair.run(millis(500));
    let missing = pair.finish_streams();
    (pair, missing)
}

fn assert_nothing_lost(what: &str, seed: u64, act: impl Fn(&mut Pair, u64)) {
    let (pair, missing) = under_traffic(seed, JITTERY, 10, act);
    assert_eq!(missing, NOTHING, "{what}, seed {seed}\n{}", pair.dump());
    for node in [A, B] {
        let gateway = pair.gateway(node);
        let rekeys = gateway.totals.child_rekeys + gateway.totals.ike_rekeys;
        assert!(rekeys >= 10, "{what}: {rekeys} rekeys");
        assert!(gateway.stream.sent > 5000 && gateway.stream.twice == 0);
        assert_eq!(gateway.drops.nonzero().collect::<Vec<_>>(), [], "{what}, seed {seed}");
    }
}

#[test]
fn a_child_rekey_from_either_side_loses_no_packet() {
    for seed in 0..10 {
        assert_nothing_lost("child from A", seed, |pair, _| pair.rekey_child(A));
        assert_nothing_lost("child from B", seed, |pair, _| pair.rekey_child(B));
    }
}

#[test]
fn an_ike_rekey_from_either_side_loses_no_packet() {
    for seed in 0..10 {
        assert_nothing_lost("IKE from A", seed, |pair, _| pair.rekey_ike(A));
        assert_nothing_lost("IKE from B", seed, |pair, _| pair.rekey_ike(B));
    }
}

#[test]
fn rekeys_of_all_kinds_that_collide_lose_no_packet() {
    for seed in 0..20 {
        assert_nothing_lost("both children", seed, |pair, _| {
            pair.rekey_child(A);
            pair.rekey_child(B);
        });
        assert_nothing_lost("mixed", seed, |pair, round| {
            let (first, second) = if round % 2 == 0 { (A, B) } else { (B, A) };
            pair.rekey_child(first);
            pair.run(millis(round));
            pair.rekey_ike(second);
        });
    }
}

#[test]
fn rekeys_by_time_lose_no_packet_and_leave_one_sa() {
    let lifetime =
        Lifetime { time: Some(seconds(6)), margin: seconds(2), fuzz_percent: 50, bytes: None, packets: None };
    let mut pair = Pair::new(5, JITTERY, false, |_, desired| {
        connection(desired).peer.lifetime = Lifetime { time: Some(seconds(10)), ..lifetime };
        child_of(desired).lifetime = lifetime;
    })
    .up();
    pair.start_streams(1000);
    pair.run(seconds(60));
    let missing = pair.finish_streams();
    assert_eq!(missing, NOTHING, "{}", pair.dump());
    let totals = pair.gateway(A).totals;
    assert!(totals.child_rekeys >= 12 && totals.ike_rekeys >= 6, "{totals:?}");
}

#[test]
fn with_a_fifth_of_all_packets_lost_only_what_the_link_lost_is_missing() {
    for seed in 0..10 {
        let mut pair = Pair::new(seed, JITTERY, false, |_, _| {}).up();
        pair.lab.network.set_link(Link { duplication: 0.2, ..JITTERY.with_loss(0.2) });
        pair.start_streams(1000);
        let before = pair.lab.network.counters();
        for round in 0..10 {
            pair.run(seconds(5));
            match round % 4 {
                0 => pair.rekey_child(A),
                1 => pair.rekey_child(B),
                2 => pair.rekey_ike(A),
                _ => pair.rekey_ike(B),
            }
        }
        let missing = pair.finish_streams();
        let missing: usize = missing.iter().map(Vec::len).sum();
        let after = pair.lab.network.counters();
        // The link loses IKE messages too, so it lost at least as many.
        let lost = usize::try_from(after.lost - before.lost).unwrap();
        assert!(missing <= lost, "seed {seed}: {missing} packets missing, {lost} lost\n{}", pair.dump());
        for node in [A, B] {
            let gateway = pair.gateway(node);
            assert_eq!(gateway.stream.twice, 0, "seed {seed}: delivered twice");
            let dropped: Vec<_> = gateway.drops.nonzero().map(|(reason, _)| reason).collect();
            assert_eq!(dropped, [DropReason::Replay], "seed {seed}: duplicates and nothing else\n{}", pair.dump());
        }
        let totals = pair.gateway(NodeId(0)).totals;
        assert!(totals.child_rekeys >= 2 && totals.ike_rekeys >= 2, "{totals:?}");
    }
}
