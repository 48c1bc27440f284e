//! NAT between the ends (RFC 7296 §2.23, RFC 3948), fragmentation (RFC 7383), and addresses that change.

use crate::support::soak::PRIVATE;
use crate::support::*;
use ike::config::EncapsulationPolicy;
use ike::event::{DownReason, Event};
use ike::wire::PayloadType;
use ipsec::Encapsulation;
use sim::{Filtering, Link, Nat};
use std::net::SocketAddr;
use std::time::Duration;

/// A behind a NAT with the public address that A has elsewhere.
fn behind_nat(filtering: Filtering) -> Pair {
    let setup = Setup { addresses: [PRIVATE, address(B)], ..Setup::default() };
    let setup = setup.at(A, |peer| peer.local_address = Some(PRIVATE)).at(B, |peer| peer.remote_addresses = Vec::new());
    let mut pair = setup.build();
    pair.lab.network.add_nat(Nat::new(address(A)).covering(PRIVATE).with_filtering(filtering));
    pair.start();
    pair.run(seconds(2));
    pair
}

#[test]
fn a_nat_is_found_by_both_and_everything_moves_to_port_4500() {
    let pair = behind_nat(Filtering::AddressAndPortDependent);
    let (a, b) = (pair.sa(A).nat(), pair.sa(B).nat());
    assert!(a.local && !a.remote && b.remote && !b.local, "{}", pair.dump());
    assert_eq!(pair.sa(A).path().remote, SocketAddr::new(address(B), 4500));
    assert_eq!(pair.sa(B).path().local.port(), 4500);
    assert_eq!(pair.sa(B).path().remote.ip(), address(A), "the NAT's public address");
    for node in [A, B] {
        let child = pair.end(node).plane.children.values().next().unwrap();
        let path = pair.sa(node).path();
        assert_eq!(child.encapsulation, Encapsulation::Udp { local: path.local, remote: path.remote });
    }
}

#[test]
fn only_the_end_behind_the_nat_keeps_the_mapping_alive_and_it_lives() {
    let mut pair = behind_nat(Filtering::AddressAndPortDependent);
    pair.run(minutes(30));
    let keepalives = pair.end(A).totals.keepalives;
    assert!((85..=91).contains(&keepalives), "{keepalives} in half an hour");
    assert_eq!(pair.end(B).totals.keepalives, 0);
    let now = pair.now();
    for node in [A, B] {
        pair.lab.node_mut(node).send_every(Some(seconds(1)), now);
    }
    pair.run(minutes(1));
    for node in [A, B] {
        pair.lab.node_mut(node).traffic = None;
    }
    pair.run(seconds(1));
    assert_eq!(pair.end(A).totals.heard, pair.end(B).totals.packets, "{}", pair.dump());
    pair.settle_and_converge();
}

#[test]
fn a_new_mapping_is_followed_by_an_ike_message_and_by_a_packet() {
    for by_packet in [false, true] {
        let mut pair = behind_nat(Filtering::EndpointIndependent);
        let before = pair.sa(B).path();
        pair.lab.network.nat_mut(0).unwrap().rebind();
        if by_packet {
            let now = pair.now();
            pair.lab.node_mut(A).send_packets(now);
            pair.run(seconds(1));
        } else {
            pair.rekey_child(A);
            pair.run(seconds(10));
        }
        assert_ne!(pair.sa(B).path().remote, before.remote, "by packet: {by_packet}\n{}", pair.dump());
        assert!(pair.end(B).has_said(|event| matches!(event, Event::PeerMoved { .. })));
        let remote = pair.sa(B).path().remote;
        for child in pair.end(B).plane.children.values() {
            assert_eq!(child.encapsulation, Encapsulation::Udp { local: before.local, remote });
        }
        pair.settle_and_converge();
    }
}

#[test]
fn an_old_packet_from_the_old_mapping_does_not_move_the_peer_back() {
    let mut pair = behind_nat(Filtering::EndpointIndependent);
    pair.lab.network.delay_next(1, seconds(3), |datagram| datagram.payload.len() == 20);
    let now = pair.now();
    pair.lab.node_mut(A).send_packets(now);
    pair.run(Duration::from_millis(100));
    pair.lab.network.nat_mut(0).unwrap().rebind();
    let now = pair.now();
    pair.lab.node_mut(A).send_packets(now);
    pair.run(seconds(1));
    let moved = pair.sa(B).path().remote;
    pair.run(seconds(5));
    assert_eq!(pair.end(B).totals.heard, 2, "{}", pair.dump());
    assert_eq!(pair.sa(B).path().remote, moved, "the late packet is older than what moved it");
}

#[test]
fn without_a_nat_nothing_is_encapsulated_and_nobody_follows() {
    let mut pair = Setup::default().connected();
    assert_eq!(pair.sa(A).path().local.port(), 500);
    assert!(pair.end(A).plane.children.values().all(|child| !child.encapsulation.is_udp()));
    pair.run(minutes(10));
    assert_eq!(pair.end(A).totals.keepalives, 0);
}

#[test]
fn encapsulation_can_be_forced_by_either_end() {
    for node in [A, B] {
        let mut pair = Setup::default().at(node, |peer| peer.encapsulation = EncapsulationPolicy::Force).connected();
        for end in [A, B] {
            let udp = pair.end(end).plane.children.values().all(|child| child.encapsulation.is_udp());
            assert!(udp, "forced by {}, end {}\n{}", node.0, end.0, pair.dump());
        }
        let now = pair.now();
        for node in [A, B] {
            pair.lab.node_mut(node).send_packets(now);
        }
        pair.run(seconds(1));
        assert_eq!([A, B].map(|node| pair.end(node).totals.heard), [1, 1], "{}", pair.dump());
        pair.rekey_ike(node);
        pair.settle_and_converge();
    }
}

#[test]
fn a_peer_that_wants_port_4500_from_the_start_gets_it() {
    let mut pair = Setup::default().at(A, |peer| peer.remote_port = 4500).build();
    pair.start();
    pair.run(seconds(1));
    assert_eq!(pair.sa(A).path().local.port(), 4500, "{}", pair.dump());
    assert_eq!(pair.sa(A).path().remote.port(), 4500);
    pair.settle_and_converge();
}

#[test]
fn messages_too_large_for_the_path_are_cut_and_put_together_whatever_is_lost() {
    // IKE_SA_INIT cannot be cut; a request of IKE_AUTH (about 330 octets) can.
    for seed in 0..60 {
        let mut link = Link::HOSTILE.with_mtu(500);
        if seed == 0 {
            link = Link::PERFECT.with_mtu(500);
        }
        let mut pair = Setup { link, ..Setup::seeded(seed) }.both(|peer| peer.fragment_size = Some(288)).build();
        pair.disturbed = true;
        pair.start();
        pair.run(minutes(3));
        if seed == 0 {
            assert!(pair.end(A).totals.messages > 2, "in fragments\n{}", pair.dump());
        }
        pair.rekey_child(A);
        pair.rekey_ike(B);
        pair.run(minutes(3));
        pair.lab.network.set_link(Link::PERFECT);
        pair.run(minutes(1));
        pair.disturbed = false;
        pair.settle_and_converge();
    }
}

#[test]
fn an_end_that_does_not_cut_is_not_sent_fragments() {
    for node in [A, B] {
        let mut pair = Setup::default().both(|peer| peer.fragment_size = Some(288)).build();
        pair.setup = pair.setup.clone().at(node, |peer| peer.fragment_size = None);
        let fragment = |payload: &[u8]| {
            header_of(500, payload).is_some_and(|header| header.next_payload == PayloadType::EncryptedFragment)
        };
        let rule = pair.lab.network.hold(move |datagram| fragment(&datagram.payload));
        pair.start();
        pair.run(seconds(2));
        assert_eq!(pair.lab.network.held(rule).count(), 0);
        pair.settle_and_converge();
    }
}

#[test]
fn an_end_whose_own_address_changes_starts_again_from_the_new_one() {
    let mut pair = Setup::default()
        .at(A, |peer| peer.local_address = None)
        .at(B, |peer| peer.remote_addresses = Vec::new())
        .build();
    let peer = pair.peer_of(A);
    pair.start();
    pair.command(A, |endpoint, now| endpoint.set_source(&peer, Some(address(A)), now));
    pair.run(seconds(2));
    let other = std::net::IpAddr::from([192, 0, 2, 77]);
    for port in [IKE_PORT, NAT_PORT, ESP_PORT] {
        pair.lab.bind(A, SocketAddr::new(other, port));
    }
    pair.disturbed = true;
    pair.command(A, |endpoint, now| endpoint.set_source(&peer, Some(other), now));
    pair.run(seconds(10));
    assert_eq!(pair.sa(A).path().local.ip(), other, "{}", pair.dump());
    let closed = |event: &Event| matches!(event, Event::IkeSaDown { reason: DownReason::NoRoute, .. });
    assert!(pair.end(A).has_said(closed));
    pair.disturbed = false;
    pair.settle_and_converge();
}
