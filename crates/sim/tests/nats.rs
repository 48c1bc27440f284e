//! NATs: translation, filtering, timeout and rebinding, alone and in the path.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::panic)]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sim::{Filtering, Link, Nat, Network};

const DELAY: Duration = Duration::from_millis(10);

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn nat() -> Nat {
    Nat::new("203.0.113.9".parse().unwrap()).covering("10.0.0.2".parse().unwrap())
}

#[test]
fn a_nat_shows_its_public_address_and_brings_answers_back_inside() {
    let now = Instant::now();
    let (inside, peer) = (addr("10.0.0.2:500"), addr("192.0.2.1:500"));
    let mut network = Network::new(1, Link::PERFECT, now);
    network.add_nat(nat());
    network.send(now, inside, peer, b"out".to_vec());
    let seen = network.pop_due(now + DELAY).unwrap();
    assert_eq!(seen.to, peer);
    assert_eq!(seen.from.ip(), addr("203.0.113.9:0").ip());
    assert_ne!(seen.from.port(), 500, "ports are not preserved");
    network.send(now + DELAY, peer, seen.from, b"back".to_vec());
    let back = network.pop_due(now + 2 * DELAY).unwrap();
    assert_eq!((back.from, back.to), (peer, inside));
}

#[test]
fn unsolicited_inbound_is_filtered_as_the_nat_is_told_to() {
    let now = Instant::now();
    let (inside, peer) = (addr("10.0.0.2:500"), addr("192.0.2.1:500"));
    let (other_port, stranger) = (addr("192.0.2.1:4500"), addr("198.51.100.7:500"));
    for (filtering, from_other_port, from_stranger) in [
        (Filtering::AddressAndPortDependent, false, false),
        (Filtering::AddressDependent, true, false),
        (Filtering::EndpointIndependent, true, true),
    ] {
        let mut nat = nat().with_filtering(filtering);
        let port = nat.outbound(inside, peer, now).unwrap().port();
        assert_eq!(nat.inbound(peer, port, now), Some(inside), "{filtering:?}");
        assert_eq!(nat.inbound(other_port, port, now).is_some(), from_other_port, "{filtering:?}");
        assert_eq!(nat.inbound(stranger, port, now).is_some(), from_stranger, "{filtering:?}");
        assert_eq!(nat.inbound(peer, 9, now), None, "a port nobody has");
    }
}

#[test]
fn a_mapping_lives_as_long_as_outbound_traffic_refreshes_it_and_inbound_does_not() {
    let start = Instant::now();
    let (inside, peer) = (addr("10.0.0.2:4500"), addr("192.0.2.1:4500"));
    let seconds = Duration::from_secs;
    let mut nat = nat().with_timeout(seconds(30));
    let first = nat.outbound(inside, peer, start).unwrap();
    assert_eq!(nat.outbound(inside, peer, start + seconds(29)).unwrap(), first, "refreshed");
    assert!(nat.inbound(peer, first.port(), start + seconds(58)).is_some());
    assert!(nat.inbound(peer, first.port(), start + seconds(59)).is_none(), "30 s after the last outbound");
    let second = nat.outbound(inside, peer, start + seconds(60)).unwrap();
    assert_ne!(first.port(), second.port(), "a new mapping has a new port");
    assert_eq!(nat.counters().expired, 1);
}

#[test]
fn after_a_rebinding_the_old_port_is_dead_and_the_next_packet_shows_a_new_one() {
    let now = Instant::now();
    let (inside, peer) = (addr("10.0.0.2:4500"), addr("192.0.2.1:4500"));
    let mut network: Network = Network::new(1, Link::PERFECT, now);
    let index = network.add_nat(nat());
    network.send(now, inside, peer, b"before".to_vec());
    let old = network.pop_due(now + DELAY).unwrap().from;
    network.nat_mut(index).unwrap().rebind();
    network.send(now, peer, old, b"to the old port".to_vec());
    assert_eq!(network.pop_due(now + DELAY), None);
    assert_eq!(network.counters().filtered, 1);
    network.send(now, inside, peer, b"after".to_vec());
    let new = network.pop_due(now + DELAY).unwrap().from;
    assert_eq!(new.ip(), old.ip());
    assert_ne!(new.port(), old.port());
    network.nat_mut(index).unwrap().rebind_to("203.0.113.77".parse().unwrap());
    network.send(now, inside, peer, b"elsewhere".to_vec());
    assert_eq!(network.pop_due(now + DELAY).unwrap().from.ip(), addr("203.0.113.77:0").ip());
}

#[test]
fn a_private_address_cannot_be_reached_from_outside_but_a_forwarded_port_can() {
    let now = Instant::now();
    let (inside, peer) = (addr("10.0.0.2:500"), addr("192.0.2.1:500"));
    let mut network = Network::new(1, Link::PERFECT, now);
    network.add_nat(nat().with_forward(500, inside));
    network.send(now, peer, inside, b"direct".to_vec());
    assert_eq!(network.pop_due(now + DELAY), None);
    network.send(now, peer, addr("203.0.113.9:500"), b"forwarded".to_vec());
    assert_eq!(network.pop_due(now + DELAY).unwrap().to, inside);
    network.send(now, inside, peer, b"answer".to_vec());
    assert_eq!(network.pop_due(now + DELAY).unwrap().from, addr("203.0.113.9:500"), "the forward's own port");
}

#[test]
fn a_full_table_drops_new_flows_and_recovers_when_old_ones_expire() {
    let now = Instant::now();
    let peer = addr("192.0.2.1:500");
    let mut nat = nat();
    let flow = |port: u16| SocketAddr::new("10.0.0.2".parse().unwrap(), port);
    for port in 1..=4096 {
        assert!(nat.outbound(flow(port), peer, now).is_some());
    }
    assert_eq!(nat.outbound(flow(5000), peer, now), None);
    assert_eq!(nat.counters().table_full, 1);
    assert!(nat.outbound(flow(5000), peer, now + Duration::from_secs(121)).is_some());
}
