//! Two tunnels to the same place: the choice between them, how soon it changes, and what it costs.

use crate::support::config::{A, B, PSK, connection, ip, outer, seconds};
use crate::support::gateway::{ESP_PORT, IKE_PORT, NAT_PORT};
use crate::support::packets::{NOTHING, host, udp};
use crate::support::pair::Pair;
use engine::desired::{DesiredState, GroupMode, InsideAddresses, Tunnel, TunnelGroup};
use engine::failover::{Event, MoveReason};
use ike::config::{PeerName, StartPolicy, Versions};
use packet::icmp;
use packet::offload::VnetHeader;
use sim::{Link, NodeId};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// The tunnels, by the name that both ends call them.
const TUNNELS: [&str; 2] = ["vpn-1", "vpn-2"];

/// The far outside address of a tunnel as A sees it: B has two.
fn far(tunnel: usize) -> IpAddr {
    if tunnel == 0 { outer(B, false) } else { ip("192.0.2.12") }
}

fn inside(tunnel: usize, node: NodeId) -> InsideAddresses {
    let address = |host: u8| IpAddr::from([169, 254, 10, 4 * tunnel as u8 + host]);
    let (local, remote) = if node == A { (address(2), address(1)) } else { (address(1), address(2)) };
    InsideAddresses { local, remote, prefix_length: 30 }
}

/// Makes the only connection of a desired state two tunnels of one group, the first of them preferred.
fn two_tunnels(node: NodeId, desired: &mut DesiredState) {
    let one = connection(desired).clone();
    desired.connections.clear();
    let mut tunnels = Vec::new();
    for (index, name) in TUNNELS.into_iter().enumerate() {
        let mut tunnel = one.clone();
        tunnel.peer.name = name.into();
        if node == A {
            tunnel.peer.remote_addresses = vec![far(index)];
        } else {
            tunnel.peer.local_address = Some(far(index));
        }
        tunnel.peer.psk = PSK.to_vec().into();
        desired.connections.insert(name.into(), tunnel);
        let preference = if index == 0 { 200 } else { 100 };
        tunnels.push(Tunnel { peer: name.into(), preference, inside: None });
    }
    let group = TunnelGroup { mode: GroupMode::ActiveStandby, tunnels, keepalive: None };
    desired.groups = [(PeerName::from("vpn"), group)].into();
}

/// Everything is protected, and the tunnels have inside addresses.
fn with_insides(node: NodeId, desired: &mut DesiredState) {
    for connection in desired.connections.values_mut() {
        for child in &mut connection.peer.children {
            child.local = vec!["0.0.0.0/0".parse().unwrap()];
            child.remote = vec!["0.0.0.0/0".parse().unwrap()];
        }
    }
    for group in desired.groups.values_mut() {
        for (index, tunnel) in group.tunnels.iter_mut().enumerate() {
            tunnel.inside = Some(inside(index, node));
        }
    }
}

/// Two gateways with two tunnels between them, both up.
fn pair(seed: u64, link: Link, change: impl Fn(NodeId, &mut DesiredState)) -> Pair {
    let mut pair = Pair::new(seed, link, false, |node, desired| {
        two_tunnels(node, desired);
        change(node, desired);
    });
    for port in [IKE_PORT, NAT_PORT, ESP_PORT] {
        pair.lab.bind(B, SocketAddr::new(far(1), port));
    }
    let mut pair = pair.up();
    let all_up = |pair: &Pair, node: NodeId| {
        pair.gateway(node).table.slots.iter().all(|slot| slot.members.iter().all(|member| !member.outbound.is_empty()))
    };
    for _ in 0..300 {
        if all_up(&pair, A) && all_up(&pair, B) {
            return pair;
        }
        pair.run(Duration::from_millis(100));
    }
    panic!("one tunnel of two\n{}", pair.dump());
}

/// Every datagram between the two outside addresses of a tunnel is dropped from now on, in both directions or in one.
fn cut(pair: &mut Pair, tunnel: usize) {
    for port in [IKE_PORT, NAT_PORT, ESP_PORT] {
        pair.lab.network.cut_both(SocketAddr::new(outer(A, false), port), SocketAddr::new(far(tunnel), port));
    }
}

/// The tunnel that carries what a gateway sends.
fn carrier(pair: &Pair, node: NodeId) -> String {
    let packet = udp(node, false, 10);
    let slot = &pair.gateway(node).table.slots[0];
    slot.entry_for(&packet::flow_key(&packet).unwrap()).unwrap().peer.to_string()
}

fn moves(pair: &Pair, node: NodeId) -> Vec<(String, String, MoveReason)> {
    let moved = |event: &Event| match event {
        Event::Moved { from: Some(from), to: Some(to), why, .. } => Some((from.to_string(), to.to_string(), *why)),
        Event::Moved { .. } | Event::Suspected { .. } | Event::Recovered { .. } => None,
    };
    pair.gateway(node).failover.iter().filter_map(|(_, event)| moved(event)).collect()
}

/// The longest run of consecutive numbers.
fn longest_gap(missing: &[u64]) -> usize {
    let runs = missing.chunk_by(|a, b| a + 1 == *b);
    runs.map(<[u64]>::len).max().unwrap_or(0)
}

#[test]
fn the_preferred_tunnel_carries_and_the_other_stands_by() {
    let mut pair = pair(1, Link::PERFECT, |_, _| {});
    for node in [A, B] {
        assert_eq!(carrier(&pair, node), "vpn-1", "{}", pair.dump());
    }
    pair.assert_works();
    pair.start_streams(100);
    pair.run(seconds(30));
    assert_eq!(pair.finish_streams(), NOTHING, "{}", pair.dump());
    assert_eq!((moves(&pair, A), moves(&pair, B)), (vec![], vec![]), "nothing happened\n{}", pair.dump());
}

/// Streams of 1,000 packets a second in both directions; the path of the tunnel that carries them becomes a black hole at
/// some instant. Returns the longest gap of each direction, in milliseconds.
fn black_hole(seed: u64, versions: Versions) -> [usize; 2] {
    let change = |_: NodeId, desired: &mut DesiredState| {
        for connection in desired.connections.values_mut() {
            connection.peer.versions = versions;
            for child in &mut connection.peer.children {
                // In IKEv1, one subnet pair is all that a child has.
                child.local.truncate(1);
                child.remote.truncate(1);
            }
        }
    };
    let mut pair = pair(seed, Link::PERFECT, change);
    pair.gateway_mut(A).stream.only_v4 = true;
    pair.gateway_mut(B).stream.only_v4 = true;
    pair.start_streams(1000);
    pair.run(seconds(2) + Duration::from_micros(seed * 7919 % 1_000_000));
    cut(&mut pair, 0);
    pair.run(seconds(5));
    for node in [A, B] {
        assert_eq!(carrier(&pair, node), "vpn-2", "seed {seed}\n{}", pair.dump());
        let there = ("vpn-1".to_owned(), "vpn-2".to_owned(), MoveReason::Suspect);
        assert_eq!(moves(&pair, node), [there], "seed {seed}\n{}", pair.dump());
        let sas = pair.gateway(node).engine.endpoint().sas_of(&"vpn-1".into()).filter(|sa| sa.is_established()).count();
        assert_eq!(sas, 1, "suspect is not dead\n{}", pair.dump());
    }
    pair.finish_streams().map(|missing| longest_gap(&missing))
}

#[test]
fn a_black_hole_costs_no_more_than_half_a_second_in_either_direction() {
    for versions in [Versions::V2, Versions::V1] {
        let mut worst = [0; 2];
        for seed in 0..100 {
            let gaps = black_hole(seed, versions);
            worst = [worst[0].max(gaps[0]), worst[1].max(gaps[1])];
        }
        println!("{versions:?}: longest gap of 100 runs: {} ms there, {} ms back", worst[0], worst[1]);
        assert!(worst.iter().all(|gap| (200..=500).contains(gap)), "{worst:?}");
    }
}

#[test]
fn a_tunnel_deleted_in_good_order_loses_nothing_whichever_end_deletes_it() {
    for (seed, node) in [(1, A), (2, B)] {
        let mut pair = pair(seed, Link::PERFECT, |_, _| {});
        pair.start_streams(1000);
        pair.run(seconds(2));
        let done = pair.command(node, |engine, now| engine.down(&"vpn-1".into(), None, now));
        assert_eq!(done, Ok(()));
        pair.run(seconds(2));
        for end in [A, B] {
            assert_eq!(carrier(&pair, end), "vpn-2", "{}", pair.dump());
        }
        let done = pair.command(node, |engine, now| engine.up(&"vpn-1".into(), None, now));
        assert_eq!(done, Ok(()));
        pair.run(seconds(60));
        assert_eq!(pair.finish_streams(), NOTHING, "{}", pair.dump());
        for end in [A, B] {
            assert_eq!(carrier(&pair, end), "vpn-1", "back to the preferred one\n{}", pair.dump());
        }
    }
}

#[test]
fn traffic_comes_back_after_a_hold_down_that_grows_while_the_path_flaps() {
    let mut pair = pair(1, Link::PERFECT, |_, _| {});
    pair.start_streams(100);
    let mut held = Vec::new();
    for _ in 0..3 {
        pair.run(seconds(2));
        cut(&mut pair, 0);
        pair.run(seconds(3));
        pair.lab.network.heal_all();
        let healed = pair.now();
        assert_eq!(carrier(&pair, A), "vpn-2");
        while carrier(&pair, A) != "vpn-1" {
            pair.run(Duration::from_millis(100));
            assert!(pair.now() - healed < seconds(120), "{}", pair.dump());
        }
        held.push((pair.now() - healed).as_secs());
    }
    assert!((10..=13).contains(&held[0]) && (20..=23).contains(&held[1]) && (40..=43).contains(&held[2]), "{held:?}");
}

#[test]
fn where_the_whole_uplink_is_gone_nothing_is_gained_by_moving() {
    let mut pair = pair(1, Link::PERFECT, |_, _| {});
    pair.start_streams(100);
    pair.run(seconds(2));
    cut(&mut pair, 0);
    cut(&mut pair, 1);
    pair.run(seconds(5));
    pair.lab.network.heal_all();
    pair.run(seconds(10));
    assert_eq!((moves(&pair, A), moves(&pair, B)), (vec![], vec![]), "{}", pair.dump());
    pair.finish_streams();
    pair.assert_works_again();
}

#[test]
fn loss_and_jitter_move_traffic_at_most_once_a_minute() {
    let bad = Link {
        loss: 0.3,
        delay_min: Duration::from_millis(1),
        delay_max: Duration::from_millis(200),
        ..Link::PERFECT
    };
    for (seed, rate) in [(1, 1), (2, 1), (3, 5), (4, 5), (5, 50), (6, 1000)] {
        let mut pair = pair(seed, Link::PERFECT, |_, _| {});
        pair.lab.network.set_link(bad);
        pair.start_streams(rate);
        let minutes = if rate > 100 { 2 } else { 20 };
        pair.run(seconds(60 * minutes));
        for node in [A, B] {
            let count = moves(&pair, node).len() as u64;
            println!("{rate} packets a second: {count} moves in {minutes} minutes");
            assert!(count <= minutes, "{count} moves in {minutes} minutes at {rate} a second\n{}", pair.dump());
        }
    }
}

#[test]
fn flows_are_shared_out_and_only_those_of_the_tunnel_that_fails_move() {
    let mut pair = pair(1, Link::PERFECT, |_, desired| {
        desired.groups.values_mut().for_each(|group| group.mode = GroupMode::ActiveActive);
    });
    let carriers = |pair: &Pair| -> Vec<String> {
        let slot = &pair.gateway(A).table.slots[0];
        let flow = |port: u16| {
            let packet = crate::support::packets::udp_between(&format!("10.1.0.5:{port}"), "10.2.0.9:80", 10);
            slot.entry_for(&packet::flow_key(&packet).unwrap()).unwrap().peer.to_string()
        };
        (1000..2000).map(flow).collect()
    };
    let before = carriers(&pair);
    let first = before.iter().filter(|name| *name == "vpn-1").count();
    assert!((450..550).contains(&first), "{first} of 1,000 flows on the first");
    pair.start_streams(1000);
    pair.run(seconds(1));
    cut(&mut pair, 0);
    pair.run(seconds(2));
    assert!(carriers(&pair).iter().all(|name| name == "vpn-2"), "{}", pair.dump());
    pair.lab.network.heal_all();
    pair.run(seconds(30));
    assert_eq!(carriers(&pair), before, "every flow is back where it was\n{}", pair.dump());
}

#[test]
fn a_silent_tunnel_is_deleted_by_dpd_and_made_again_when_the_path_is_back() {
    let mut pair = pair(1, Link::PERFECT, |_, _| {});
    pair.start_streams(100);
    pair.run(seconds(2));
    cut(&mut pair, 0);
    pair.run(seconds(50));
    for node in [A, B] {
        let count = pair.gateway(node).engine.endpoint().sas_of(&"vpn-1".into()).filter(|sa| sa.is_established()).count();
        assert_eq!(count, 0, "dead after the configured 30 s\n{}", pair.dump());
    }
    pair.lab.network.heal_all();
    pair.run(seconds(120));
    for node in [A, B] {
        assert_eq!(carrier(&pair, node), "vpn-1", "{}", pair.dump());
    }
}

#[test]
fn the_far_inside_address_of_each_tunnel_is_reached_through_that_tunnel() {
    let mut pair = pair(1, Link::PERFECT, with_insides);
    for (index, name) in TUNNELS.into_iter().enumerate() {
        let (ours, wanted) = (inside(index, A), name.to_owned());
        let mut ping = Vec::new();
        icmp::echo_request(ours.local, ours.remote, 1, 1, b"inside", &mut ping).unwrap();
        let table = &pair.gateway(A).table;
        let flow = packet::flow_key(&ping).unwrap();
        let ipsec::Action::Protect(slot) = table.spd.lookup_outbound(&flow) else { panic!("protected") };
        assert_eq!(table.slots[*slot].entry_for(&flow).unwrap().peer.to_string(), wanted);
        assert_eq!(pair.pass(A, &VnetHeader::NONE, &ping), [ping], "{}", pair.dump());
    }
    assert_ne!(host(A, false), inside(0, A).local);
}

#[test]
fn an_idle_tunnel_is_pinged_inside_and_a_busy_one_is_not() {
    let mut pair = pair(1, Link::PERFECT, |node, desired| {
        with_insides(node, desired);
        desired.groups.values_mut().for_each(|group| group.keepalive = (node == A).then_some(seconds(5)));
    });
    let pings = |pair: &mut Pair| -> Vec<IpAddr> {
        let delivered = std::mem::take(&mut pair.gateway_mut(B).delivered);
        delivered.iter().filter_map(|packet| icmp::parse_echo(packet)).map(|echo| echo.destination).collect()
    };
    pair.run(seconds(26));
    let found = pings(&mut pair);
    for tunnel in 0..2 {
        let count = found.iter().filter(|address| **address == inside(tunnel, A).remote).count();
        assert!((4..=6).contains(&count), "{count} of tunnel {tunnel}\n{}", pair.dump());
    }
    pair.start_streams(10);
    pair.run(seconds(26));
    let found = pings(&mut pair);
    assert!(found.iter().all(|address| *address == inside(1, A).remote), "the first tunnel carries: {found:?}");
    assert!((4..=6).contains(&found.len()), "{found:?}");
}

#[test]
fn the_first_packet_for_tunnels_on_demand_goes_through_whichever_is_up_first() {
    let mut pair = Pair::new(1, Link::PERFECT, false, |node, desired| {
        two_tunnels(node, desired);
        for connection in desired.connections.values_mut() {
            for child in &mut connection.peer.children {
                child.start = if node == A { StartPolicy::OnDemand } else { StartPolicy::Passive };
            }
        }
    });
    for port in [IKE_PORT, NAT_PORT, ESP_PORT] {
        pair.lab.bind(B, SocketAddr::new(far(1), port));
    }
    for node in [B, A] {
        pair.apply(node);
    }
    cut(&mut pair, 0);
    let packet = udp(A, false, 100);
    pair.send(A, &packet);
    pair.run(seconds(2));
    let delivered = &pair.gateway(B).delivered;
    assert_eq!(delivered, &[packet], "the first tunnel is cut, the second brings it\n{}", pair.dump());
}
