//! IKEv1 under real packets: rekeys of both phases lose nothing, nothing leaves in clear, the first packet is not lost.

use crate::fails_closed::{histories, history};
use crate::support::*;
use engine::desired::DesiredState;
use ike::config::{Lifetime, StartPolicy, Versions};
use ike::proposal::{EspProposal, IkeProposal};
use ipsec::DropReason;
use sim::Link;

/// Late by up to 20 ms and out of order, but nothing is lost.
const JITTERY: Link =
    Link { reorder: 0.2, reorder_delay: millis(15), delay_min: millis(1), delay_max: millis(5), ..Link::PERFECT };

fn legacy(desired: &mut DesiredState) {
    let peer = &mut connection(desired).peer;
    peer.versions = Versions::V1;
    peer.proposals = IkeProposal::parse_list("aes128-sha1-modp1024").expect("proposals");
    let child = child_of(desired);
    child.proposals = EspProposal::parse_list("aes128-sha1-modp1024", false).expect("proposals");
    // A quick mode is for one pair of networks: one child for each version of IP.
    let mut second = child.clone();
    second.name = "net-v6".into();
    for child in [&mut *child, &mut second] {
        let v4 = child.name.0.as_ref() == "net";
        child.local.retain(|selector| selector.is_v4() == v4);
        child.remote.retain(|selector| selector.is_v4() == v4);
    }
    connection(desired).peer.children.push(second);
}

#[test]
fn rekeys_of_both_phases_by_both_ends_lose_no_packet() {
    for seed in 0..10 {
        let mut pair = Pair::new(seed, JITTERY, false, |_, desired| legacy(desired)).up();
        pair.start_streams(1000);
        for round in 0..10 {
            pair.run(millis(700));
            match round % 5 {
                0 => pair.rekey_child(A),
                1 => pair.rekey_child(B),
                2 => pair.rekey_ike(A),
                3 => pair.rekey_ike(B),
                _ => {
                    pair.rekey_child(A);
                    pair.rekey_child(B);
                    pair.rekey_ike(A);
                    pair.rekey_ike(B);
                }
            }
        }
        pair.run(seconds(2));
        let missing = pair.finish_streams();
        assert_eq!(missing, NOTHING, "seed {seed}\n{}", pair.dump());
        for node in [A, B] {
            let gateway = pair.gateway(node);
            assert!(gateway.stream.sent > 8000 && gateway.stream.twice == 0);
            assert_eq!(gateway.drops.nonzero().collect::<Vec<_>>(), [], "seed {seed}");
            let totals = gateway.totals;
            assert!(totals.child_rekeys >= 2 && totals.ike_rekeys >= 2, "{totals:?}");
        }
    }
}

#[test]
fn rekeys_by_time_lose_no_packet() {
    let lifetime =
        Lifetime { time: Some(seconds(12)), margin: seconds(3), fuzz_percent: 50, bytes: None, packets: None };
    let mut pair = Pair::new(5, JITTERY, false, |_, desired| {
        legacy(desired);
        connection(desired).peer.lifetime = Lifetime { time: Some(seconds(20)), ..lifetime };
        connection(desired).peer.children.iter_mut().for_each(|child| child.lifetime = lifetime);
    })
    .up();
    pair.start_streams(1000);
    pair.run(seconds(60));
    let missing = pair.finish_streams();
    assert_eq!(missing, NOTHING, "{}", pair.dump());
    let totals = pair.gateway(A).totals;
    assert!(totals.child_rekeys + pair.gateway(B).totals.child_rekeys >= 5, "{totals:?}");
}

#[test]
fn limits_in_packets_and_octets_replace_a_child_without_loss() {
    let mut pair = Pair::new(6, JITTERY, false, |_, desired| {
        legacy(desired);
        let limit = Lifetime { time: None, margin: seconds(1), fuzz_percent: 0, bytes: None, packets: Some(10_000) };
        connection(desired).peer.children.iter_mut().for_each(|child| child.lifetime = limit);
    })
    .up();
    pair.start_streams(1000);
    pair.run(seconds(60));
    let missing = pair.finish_streams();
    assert_eq!(missing, NOTHING, "{}", pair.dump());
    assert!(pair.gateway(A).totals.child_rekeys + pair.gateway(B).totals.child_rekeys >= 2);
}

#[test]
fn with_a_fifth_of_all_packets_lost_only_what_the_link_lost_is_missing() {
    for seed in 0..6 {
        let mut pair = Pair::new(seed, JITTERY, false, |_, desired| legacy(desired)).up();
        pair.lab.network.set_link(Link { duplication: 0.2, ..JITTERY.with_loss(0.2) });
        pair.start_streams(500);
        let before = pair.lab.network.counters();
        for round in 0..10 {
            pair.run(seconds(6));
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
        let lost = usize::try_from(after.lost - before.lost).unwrap();
        assert!(missing <= lost, "seed {seed}: {missing} packets missing, {lost} lost\n{}", pair.dump());
        for node in [A, B] {
            let dropped: Vec<_> = pair.gateway(node).drops.nonzero().map(|(reason, _)| reason).collect();
            assert_eq!(dropped, [DropReason::Replay], "seed {seed}: duplicates and nothing else\n{}", pair.dump());
        }
    }
}

#[test]
fn the_first_packets_bring_the_tunnel_up_and_are_delivered_once_and_in_order() {
    let mut pair = Pair::new(3, Link::PERFECT, false, |node, desired| {
        legacy(desired);
        let start = if node == A { StartPolicy::OnDemand } else { StartPolicy::Passive };
        connection(desired).peer.children.iter_mut().for_each(|child| child.start = start);
    });
    pair.apply(B);
    pair.apply(A);
    pair.run(seconds(1));
    let packets: Vec<Vec<u8>> = (0..20).map(|index| udp(A, false, 100 + index)).collect();
    for packet in &packets {
        pair.send(A, packet);
        pair.run(millis(1));
    }
    pair.run(seconds(2));
    assert_eq!(pair.gateway(B).delivered, packets);
}

#[test]
fn random_histories_over_a_hostile_link_show_no_plaintext_and_end_with_a_tunnel() {
    for seed in 0..histories() / 4 {
        history(seed, legacy);
    }
}
