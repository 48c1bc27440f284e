//! The path is broken: blocked ports, one direction, fragments, NATs that forget, peers that move.

use crate::bench::*;
use crate::support::*;
use doctor::catalogue::*;
use ike::config::EncapsulationPolicy;
use sim::{Datagram, Link, Nat, NodeId};
use std::net::SocketAddr;

fn socket(node: NodeId, port: u16) -> SocketAddr {
    SocketAddr::new(outer(node, false), port)
}

#[test]
fn nothing_passes_is_net_01_while_it_still_tries_and_when_it_has_failed() {
    let mut pair = begun(|_, _| {});
    pair.lab.network.cut_both(socket(A, IKE_PORT), socket(B, IKE_PORT));
    // What was under way when the path was cut still arrives.
    let mut pair = {
        pair.restart(A);
        pair
    };
    pair.run(seconds(20));
    expect_at(&pair, A, NET_01);
    pair.run(seconds(300));
    let report = expect_at(&pair, A, NET_01);
    assert!(words(&report).contains("IKE_SA_INIT"), "{}", words(&report));
    assert!(report.tunnels[0].not_checked.contains(&doctor::Layer::Ike));
}

#[test]
fn only_the_way_back_is_blocked_is_net_02_with_the_far_ends_evidence() {
    let mut pair = Pair::new(1, Link::PERFECT, false, |_, _| {});
    pair.lab.network.cut(socket(B, IKE_PORT), socket(A, IKE_PORT));
    pair.apply(B);
    pair.apply(A);
    pair.run(seconds(100));
    let report = expect(&pair, &with_far(&pair, A), NET_02);
    assert!(words(&report).contains("there:"), "{}", words(&report));
    // From here alone it cannot be told from a path that is blocked both ways.
    expect_at(&pair, A, NET_01);
}

#[test]
fn both_call_and_only_one_is_heard_is_net_02_from_here_alone() {
    let mut pair = Pair::new(1, Link::PERFECT, false, |_, desired| {
        child_of(desired).start = ike::config::StartPolicy::OnLoad;
    });
    pair.lab.network.cut(socket(A, IKE_PORT), socket(B, IKE_PORT));
    pair.apply(B);
    pair.apply(A);
    pair.run(seconds(200));
    expect_at(&pair, A, NET_02);
}

#[test]
fn port_4500_blocked_is_net_03() {
    let mut pair = Pair::new(1, Link::PERFECT, false, |_, desired| {
        connection(desired).peer.encapsulation = EncapsulationPolicy::Force;
    });
    pair.lab.network.cut_both(socket(A, NAT_PORT), socket(B, NAT_PORT));
    pair.apply(B);
    pair.apply(A);
    pair.run(seconds(100));
    let report = expect_at(&pair, A, NET_03);
    assert!(words(&report).contains("4500"), "{}", words(&report));
}

#[test]
fn large_messages_vanish_is_net_04() {
    let mut pair = Pair::new(1, Link::PERFECT, false, |_, desired| {
        let peer = &mut connection(desired).peer;
        peer.fragment_size = None;
        peer.proposals = vec!["aes128gcm16-prfsha256-x25519".parse().unwrap()];
        // Many proposals of ESP make IKE_AUTH larger than IKE_SA_INIT.
        let child = child_of(desired);
        child.proposals =
            ["aes128gcm16", "aes256gcm16", "aes128-sha256", "aes256-sha256", "aes256-sha384", "aes256-sha512"]
                .map(|text| text.parse().unwrap())
                .to_vec();
    });
    let large = |datagram: &Datagram<Vec<u8>>| datagram.payload.len() > 400;
    pair.lab.network.drop_next(u64::MAX, large);
    pair.apply(B);
    pair.apply(A);
    pair.run(seconds(100));
    let report = expect_at(&pair, A, NET_04);
    assert!(words(&report).contains("fragmentation_bytes = 0"), "{}", words(&report));
}

/// A is behind a NAT; B does not know where.
fn behind_nat() -> (Pair, usize) {
    let mut pair = Pair::new(2, Link::PERFECT, false, |node, desired| {
        let peer = &mut connection(desired).peer;
        if node == B {
            peer.remote_addresses.clear();
        }
        peer.dpd.interval = None;
    });
    let nat = Nat::new(ip("203.0.113.7")).covering(outer(A, false)).with_timeout(seconds(3600));
    let nat = pair.lab.network.add_nat(nat);
    (pair.up(), nat)
}

#[test]
fn a_nat_that_forgets_its_mappings_is_net_06() {
    let (mut pair, nat) = behind_nat();
    for _ in 0..3 {
        pair.lab.network.nat_mut(nat).unwrap().rebind();
        pair.send(A, &udp(A, false, 10));
        pair.run(seconds(30));
    }
    let report = expect_at(&pair, B, NET_06);
    assert!(words(&report).contains("203.0.113.7:"), "{}", words(&report));
}

#[test]
fn a_peer_that_moved_is_net_07() {
    let (mut pair, nat) = behind_nat();
    pair.lab.network.nat_mut(nat).unwrap().rebind_to(ip("203.0.113.8"));
    pair.send(A, &udp(A, false, 10));
    pair.run(seconds(5));
    let report = expect_at(&pair, B, NET_07);
    assert!(words(&report).contains("203.0.113.8"), "{}", words(&report));
}

#[test]
fn no_address_towards_the_peer_is_net_09() {
    let pair = after(10, |node, desired| {
        if node == A {
            connection(desired).peer.local_address = None;
        }
    });
    expect_at(&pair, A, NET_09);
}
