//! A NAT that forgets: authentic packets from a new port move the tunnel, anything else does not (RFC 7296 §2.23).

use crate::support::*;
use engine::path::Feedback;
use ike::event::Event;
use ipsec::{DropReason, Encapsulation};
use packet::offload::VnetHeader;
use sim::{Datagram, Link, Nat, NodeId};
use std::net::SocketAddr;

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
    let mut pair = pair.up();
    pair.assert_works();
    (pair, nat)
}

fn towards_a(pair: &Pair) -> SocketAddr {
    match pair.gateway(B).table.slots[0].members[0].outbound[0].encapsulation {
        Encapsulation::Udp { remote, .. } => remote,
        Encapsulation::Plain { .. } => unreachable!("behind NAT without UDP"),
    }
}

fn moves(pair: &Pair, node: NodeId) -> usize {
    pair.gateway(node).events.iter().filter(|(_, event)| matches!(event, Event::PeerMoved { .. })).count()
}

#[test]
fn a_packet_from_a_new_port_moves_the_tunnel_at_once() {
    let (mut pair, nat) = behind_nat();
    let before = towards_a(&pair);
    for round in 1..=5 {
        pair.lab.network.nat_mut(nat).unwrap().rebind();
        let packet = udp(A, false, 10);
        assert_eq!(pair.pass(A, &VnetHeader::NONE, &packet), [packet], "what comes in is accepted from anywhere");
        assert_ne!(towards_a(&pair), before);
        assert_eq!(towards_a(&pair).ip(), ip("203.0.113.7"));
        pair.assert_works();
        assert_eq!(moves(&pair, B), round, "once each time\n{}", pair.dump());
    }
    pair.lab.network.nat_mut(nat).unwrap().rebind_to(ip("203.0.113.8"));
    let packet = udp(A, false, 10);
    assert_eq!(pair.pass(A, &VnetHeader::NONE, &packet), [packet]);
    assert_eq!(towards_a(&pair).ip(), ip("203.0.113.8"));
    pair.assert_works();
    pair.rekey_child(B);
    pair.run(seconds(1));
    pair.rekey_ike(A);
    pair.run(seconds(1));
    assert_eq!(towards_a(&pair).ip(), ip("203.0.113.8"), "rekeys follow");
    pair.assert_works();
}

#[test]
fn packets_replayed_or_forged_from_elsewhere_move_nothing() {
    let (mut pair, _) = behind_nat();
    let before = towards_a(&pair);
    let (_, wire) = pair.pass_watched(A, &VnetHeader::NONE, &udp(A, false, 10));
    let esp = wire[0].1.clone();
    let attacker = SocketAddr::new(ip("198.51.100.66"), 4500);
    let target = SocketAddr::new(outer(B, false), NAT_PORT);
    let replays = 10;
    for _ in 0..replays {
        let now = pair.now();
        pair.lab.network.send(now, attacker, target, [&[0], esp.as_slice()].concat());
        pair.run(millis(100));
    }
    assert_eq!(pair.gateway(B).drops.get(DropReason::Replay), replays);
    for at in 0..esp.len() {
        let mut forged = esp.clone();
        // As new as can be, and one bit is wrong.
        forged[7] = forged[7].wrapping_add(1);
        forged[at] ^= 0x40;
        let now = pair.now();
        pair.lab.network.send(now, attacker, target, [&[0], forged.as_slice()].concat());
    }
    pair.run(seconds(1));
    assert_eq!((towards_a(&pair), moves(&pair, B)), (before, 0));
    assert!(!pair.gateway(B).feedback.iter().any(|feedback| matches!(feedback, Feedback::Moved { .. })));
    assert!(pair.gateway(B).delivered.is_empty());
    pair.assert_works();
}

#[test]
fn a_packet_that_comes_late_by_the_old_port_does_not_move_the_tunnel_back() {
    let (mut pair, nat) = behind_nat();
    // One packet takes so long that the NAT has forgotten its port when it arrives.
    let from = outer(A, false);
    let slow = move |datagram: &Datagram<Vec<u8>>| datagram.from.ip() == from;
    pair.lab.network.delay_next(1, seconds(2), slow);
    pair.send(A, &udp(A, false, 10));
    pair.run(millis(50));
    pair.lab.network.nat_mut(nat).unwrap().rebind();
    let packet = udp(A, false, 20);
    assert_eq!(pair.pass(A, &VnetHeader::NONE, &packet), [packet]);
    let moved = towards_a(&pair);
    assert_eq!(moves(&pair, B), 1);
    pair.run(seconds(3));
    assert_eq!(pair.gateway(B).delivered, [udp(A, false, 10)], "late, authentic, inside the window: delivered");
    assert_eq!((towards_a(&pair), moves(&pair, B)), (moved, 1));
    pair.gateway_mut(B).delivered.clear();
    pair.assert_works();
}

#[test]
fn without_nat_a_packet_from_another_port_is_accepted_and_moves_nothing() {
    let mut pair = Pair::new(4, Link::PERFECT, false, |_, _| {}).up();
    let esp = {
        let (_, wire) = pair.pass_watched(A, &VnetHeader::NONE, &udp(A, false, 10));
        wire[0].1.clone()
    };
    let before = pair.gateway(B).table.slots[0].members[0].outbound[0].encapsulation;
    let now = pair.now();
    let from = SocketAddr::new(ip("198.51.100.66"), 4500);
    pair.lab.network.send(now, from, SocketAddr::new(outer(B, false), NAT_PORT), [&[0], esp.as_slice()].concat());
    pair.run(seconds(1));
    assert_eq!(pair.gateway(B).table.slots[0].members[0].outbound[0].encapsulation, before);
    assert_eq!(pair.gateway(B).drops.get(DropReason::Replay), 1);
}
