//! Protected packets: blocked, altered, late, for SAs that are gone, outside what was agreed on.

use crate::bench::*;
use crate::support::*;
use doctor::catalogue::*;
use packet::offload::VnetHeader;
use sim::{Link, NodeId};
use std::net::SocketAddr;

fn esp(node: NodeId) -> SocketAddr {
    SocketAddr::new(outer(node, false), ESP_PORT)
}

fn send(pair: &mut Pair, from: NodeId, packets: usize) {
    for _ in 0..packets {
        pair.send(from, &udp(from, false, 100));
        pair.run(millis(100));
    }
}

#[test]
fn protocol_50_blocked_is_esp_01() {
    let mut pair = Pair::connected(|_, _| {});
    pair.lab.network.cut_both(esp(A), esp(B));
    send(&mut pair, A, 10);
    let report = expect_at(&pair, A, ESP_01);
    assert!(
        words(&report).contains("10 packets out, 0 in") && words(&report).contains("protocol 50"),
        "{}",
        words(&report)
    );
    let report = expect(&pair, &with_far(&pair, A), ESP_01);
    assert_eq!(report.findings[0].confidence, doctor::Confidence::Certain);
}

#[test]
fn a_peer_that_receives_and_sends_nothing_is_esp_02() {
    let mut pair = Pair::connected(|_, _| {});
    send(&mut pair, A, 10);
    let report = expect(&pair, &with_far(&pair, A), ESP_02);
    assert!(words(&report).contains("there, net: 0 packets out, 10 in"), "{}", words(&report));
}

#[test]
fn a_truncation_that_differs_is_esp_03_with_what_to_set() {
    let mut pair = Pair::connected(|node, desired| {
        connection(desired).peer.proposals = vec!["aes256-sha256-modp2048".parse().unwrap()];
        let child = child_of(desired);
        child.proposals = vec!["aes128-sha256".parse().unwrap()];
        child.sha256_96 = node == A;
    });
    for node in [A, B] {
        send(&mut pair, node, 50);
    }
    for (node, fix) in [(B, "set sha256_96 = true"), (A, "take sha256_96 = true out")] {
        let report = expect_at(&pair, node, ESP_03);
        assert!(report.findings[0].fix.contains(fix), "{}", report.findings[0].fix);
    }
}

#[test]
fn packets_altered_on_the_way_are_esp_03() {
    let mut pair = Pair::connected(|_, _| {});
    for _ in 0..10 {
        let (_, wire) = pair.pass_watched(A, &VnetHeader::NONE, &udp(A, false, 100));
        let mut altered = wire[0].1.clone();
        // The next sequence number, so that it is no replay, and another content.
        altered[7] = altered[7].wrapping_add(1);
        let now = pair.now();
        pair.lab.network.send(now, esp(A), esp(B), [&[0], altered.as_slice()].concat());
        pair.run(millis(50));
    }
    let report = expect_at(&pair, B, ESP_03);
    assert!(words(&report).contains("10 packets"), "{}", words(&report));
}

#[test]
fn packets_reordered_beyond_the_window_are_esp_04() {
    let mut pair = Pair::connected(|_, desired| {
        let child = child_of(desired);
        child.replay_window = 64;
        child.proposals = vec!["aes128gcm16-noesn".parse().unwrap()];
    });
    let held = pair.lab.network.hold(|datagram| datagram.to.port() == ESP_PORT);
    send(&mut pair, A, 20);
    let late: Vec<Vec<u8>> = pair.lab.network.held(held).map(|datagram| datagram.payload.clone()).collect();
    let now = pair.now();
    pair.lab.network.discard(now, held);
    send(&mut pair, A, 100);
    for payload in late {
        let now = pair.now();
        pair.lab.network.send(now, esp(A), esp(B), payload);
    }
    pair.run(seconds(1));
    let report = expect_at(&pair, B, ESP_04);
    assert!(words(&report).contains("20 packets") && words(&report).contains("64"), "{}", words(&report));
}

#[test]
fn late_packets_of_extended_sequence_numbers_look_like_damage_and_that_is_said() {
    let mut pair = Pair::connected(|_, desired| child_of(desired).replay_window = 64);
    let held = pair.lab.network.hold(|datagram| datagram.to.port() == ESP_PORT);
    send(&mut pair, A, 20);
    let late: Vec<Vec<u8>> = pair.lab.network.held(held).map(|datagram| datagram.payload.clone()).collect();
    let now = pair.now();
    pair.lab.network.discard(now, held);
    send(&mut pair, A, 100);
    for payload in late {
        let now = pair.now();
        pair.lab.network.send(now, esp(A), esp(B), payload);
    }
    pair.run(seconds(1));
    let report = expect_at(&pair, B, ESP_03);
    assert!(words(&report).contains("ESP-04"), "{}", words(&report));
}

#[test]
fn a_peer_that_uses_the_keys_of_before_a_restart_is_esp_05() {
    let mut pair = Pair::connected(|_, desired| connection(desired).peer.dpd.interval = None);
    send(&mut pair, A, 3);
    pair.restart(B);
    send(&mut pair, A, 10);
    let report = expect_at(&pair, B, ESP_05);
    assert!(words(&report).contains("10 packets"), "{}", words(&report));
}

#[test]
fn traffic_outside_the_selectors_is_esp_06() {
    let mut pair = Pair::connected(|_, _| {});
    for _ in 0..6 {
        pair.send(A, &udp_between("172.16.0.1:1", "10.2.0.9:2", 10));
    }
    let report = expect_at(&pair, A, ESP_06);
    assert!(words(&report).contains("6 packets to be sent"), "{}", words(&report));
}

#[test]
fn a_tunnel_that_works_has_no_finding() {
    let mut pair = Pair::connected(|_, _| {});
    pair.assert_works();
    pair.rekey_child(A);
    pair.run(seconds(10));
    pair.rekey_ike(B);
    pair.run(seconds(100));
    pair.assert_works_again();
    for node in [A, B] {
        for evidence in [evidence(&pair, node), with_far(&pair, node)] {
            let report = doctor::diagnose(&evidence, None);
            assert_eq!(report.findings, [], "{}", pair.dump());
            assert_eq!(report.tunnels[0].fault, None);
        }
    }
}

#[test]
fn a_tunnel_that_survived_a_hostile_link_has_no_fault() {
    for seed in 0..30 {
        let mut pair = Pair::new(seed, Link::HOSTILE, false, |_, _| {}).up();
        pair.lab.network.set_link(Link::PERFECT);
        pair.run(seconds(60));
        for node in [A, B] {
            let report = doctor::diagnose(&evidence(&pair, node), None);
            let faults: Vec<_> = report.findings.iter().filter(|f| f.weight == doctor::Weight::Fault).collect();
            assert!(faults.is_empty(), "seed {seed}: {faults:?}\n{}", pair.dump());
        }
    }
}
