//! Nothing leaves in clear, whatever happens: the gateways of these tests look at every datagram they send (see
//! `Gateway::transmit` and `Gateway::check_esp`), and here at whether they send any.

use crate::support::*;
use engine::desired::{Policy, PolicyAction};
use ike::config::{EncapsulationPolicy, Lifetime, StartPolicy};
use ipsec::DropReason;
use sim::{Link, NodeId, Random};
use std::net::SocketAddr;

/// Sends what a host may, whole and as super-packets, and returns how many ESP packets it became.
fn esp_of_everything(pair: &mut Pair, node: NodeId) -> u64 {
    let before = pair.gateway(node).totals.esp;
    for v6 in [false, true] {
        pair.send(node, &udp(node, v6, 100));
        pair.send(node, &tcp(node, v6, 0x02, &[2, 4, 5, 180], 0));
        pair.send_super(node, &super_header(v6, true, 500), &udp(node, v6, 3000));
    }
    pair.gateway(node).totals.esp - before
}

fn assert_sends_nothing(pair: &mut Pair, node: NodeId) {
    assert_eq!(esp_of_everything(pair, node), 0, "{}", pair.dump());
}

#[test]
fn nothing_leaves_before_a_tunnel_is_up() {
    let mut pair = Pair::new(1, Link::PERFECT, false, |_, _| {});
    for node in [A, B] {
        assert_sends_nothing(&mut pair, node);
        assert_eq!(pair.gateway(node).drops.get(DropReason::Policy), 6, "what nobody configured has no policy");
        pair.apply(node);
        assert_sends_nothing(&mut pair, node);
        assert_eq!(pair.gateway(node).drops.get(DropReason::NoTunnel), 6);
    }
    // Every millisecond of the negotiation: at one of them each end begins to send, and not before.
    while !pair.is_up(A) {
        assert_sends_nothing(&mut pair, A);
        pair.run(millis(1));
    }
    assert!(esp_of_everything(&mut pair, A) > 0);
}

#[test]
fn nothing_leaves_after_an_operator_took_the_tunnel_down() {
    for node in [A, B] {
        let mut pair = Pair::connected(|_, _| {});
        pair.take_down(node);
        assert_sends_nothing(&mut pair, node);
        pair.run(seconds(1));
        for end in [A, B] {
            assert_sends_nothing(&mut pair, end);
        }
        pair.run(seconds(100));
        for end in [A, B] {
            assert_sends_nothing(&mut pair, end);
        }
        pair.bring_up(node);
        pair.run(seconds(100));
        pair.assert_works_again();
    }
}

#[test]
fn taken_down_means_at_once_even_while_the_delete_waits_for_its_turn() {
    for whole in [true, false] {
        for ike_rekey in [true, false] {
            let mut pair = Pair::connected(|_, _| {});
            let ends = [A, B].map(|node| SocketAddr::new(outer(node, false), IKE_PORT));
            pair.lab.network.cut_both(ends[0], ends[1]);
            // This request has no answer yet, and only one may be under way.
            if ike_rekey {
                pair.rekey_ike(A)
            } else {
                pair.rekey_child(A)
            }
            let name = child();
            let child = (!whole).then_some(&name);
            pair.command(A, |engine, now| engine.down(&other(A), child, now)).unwrap();
            assert_sends_nothing(&mut pair, A);
            pair.run(seconds(3));
            assert_sends_nothing(&mut pair, A);
            pair.lab.network.heal_all();
            pair.run(seconds(30));
            assert_sends_nothing(&mut pair, A);
            pair.command(A, |engine, now| engine.up(&other(A), child, now)).unwrap();
            pair.run(seconds(30));
            pair.assert_works_again();
        }
    }
}

#[test]
fn nothing_leaves_once_the_gateway_says_goodbye() {
    let mut pair = Pair::connected(|_, _| {});
    pair.command(A, |engine, now| engine.shutdown(now));
    assert_sends_nothing(&mut pair, A);
    pair.run(seconds(1));
    assert_sends_nothing(&mut pair, A);
    assert_sends_nothing(&mut pair, B);
    assert!(pair.gateway(A).engine.is_idle());
}

#[test]
fn nothing_leaves_after_the_peer_is_found_dead() {
    let mut pair = Pair::connected(|_, _| {});
    let (a, b) = (outer(A, false), outer(B, false));
    for port in [IKE_PORT, NAT_PORT, ESP_PORT] {
        pair.lab.network.cut_both(SocketAddr::new(a, port), SocketAddr::new(b, port));
    }
    pair.run(seconds(200));
    for node in [A, B] {
        assert_sends_nothing(&mut pair, node);
    }
    pair.lab.network.heal_all();
    pair.run(seconds(100));
    pair.assert_works_again();
}

#[test]
fn nothing_leaves_after_the_lifetime_ended_without_a_rekey() {
    let time = Some(seconds(60));
    let mut pair = Pair::connected(|_, desired| {
        child_of(desired).lifetime =
            Lifetime { time, margin: seconds(10), fuzz_percent: 0, bytes: None, packets: None };
        connection(desired).peer.dpd.interval = None;
        connection(desired).peer.retransmit.give_up = seconds(100_000);
    });
    let ends = [A, B].map(|node| SocketAddr::new(outer(node, false), IKE_PORT));
    pair.lab.network.cut_both(ends[0], ends[1]);
    pair.run(seconds(55));
    assert!(esp_of_everything(&mut pair, A) > 0, "the old SA serves to the end");
    pair.run(seconds(10));
    for node in [A, B] {
        assert_sends_nothing(&mut pair, node);
    }
}

#[test]
fn a_changed_configuration_holds_at_once() {
    type Change = fn(&mut Pair, NodeId);
    let discard: Change = |pair, node| {
        pair.desired[node.0].policies.push(Policy {
            name: "not this".to_owned(),
            action: PolicyAction::Discard,
            local: networks(node),
            remote: networks(NodeId(1 - node.0)),
        });
    };
    let narrow: Change = |pair, node| {
        let child = child_of(&mut pair.desired[node.0]);
        child.remote = selectors(&["10.200.0.0/24", "fd00:200::/64"]);
    };
    let remove: Change = |pair, node| pair.desired[node.0].connections.clear();
    let other_key: Change = |pair, node| {
        connection(&mut pair.desired[node.0]).peer.psk = b"another".to_vec().into();
    };
    let changes: [(&str, Change); 4] =
        [("discard", discard), ("narrow", narrow), ("remove", remove), ("key", other_key)];
    for (what, change) in changes {
        for node in [A, B] {
            let mut pair = Pair::connected(|_, _| {});
            change(&mut pair, node);
            pair.apply(node);
            assert_eq!(esp_of_everything(&mut pair, node), 0, "{what} at {node:?}\n{}", pair.dump());
            pair.run(seconds(30));
            assert_eq!(esp_of_everything(&mut pair, node), 0, "{what} at {node:?}\n{}", pair.dump());
        }
    }
}

#[test]
fn an_unchanged_configuration_touches_nothing() {
    let mut pair = Pair::connected(|_, _| {});
    let before = pair.gateway(A).table.slots[0].members[0].outbound[0].sa.spi();
    let events = pair.gateway(A).events.len();
    for node in [A, B] {
        pair.apply(node);
    }
    pair.run(seconds(60));
    assert_eq!(pair.gateway(A).table.slots[0].members[0].outbound[0].sa.spi(), before);
    assert_eq!(pair.gateway(A).events.len(), events);
    pair.assert_works();
}

#[test]
fn policies_decide_before_connections_do() {
    let mut pair = Pair::connected(|node, desired| {
        let remote = NodeId(1 - node.0);
        for (name, action, ports) in
            [("pass", PolicyAction::Bypass, "5000-5000"), ("block", PolicyAction::Discard, "6000-6000")]
        {
            let networks = if remote == A { ["10.1.0.0/24", "fd00:1::/64"] } else { ["10.2.0.0/24", "fd00:2::/64"] };
            let texts = networks.map(|network| format!("{network}[udp/{ports}]"));
            let remote = selectors(&texts.each_ref().map(String::as_str));
            desired.policies.push(Policy { name: name.to_owned(), action, local: any(), remote });
        }
    });
    for (port, esp) in [(5000, 0), (6000, 0), (7000, 1)] {
        let before = pair.gateway(A).totals.esp;
        pair.send(A, &udp_between("10.1.0.5:4000", &format!("10.2.0.9:{port}"), 10));
        assert_eq!(pair.gateway(A).totals.esp - before, esp, "port {port}");
    }
    assert_eq!(pair.gateway(A).drops.get(DropReason::Policy), 2);
}

fn any() -> Vec<ipsec::TrafficSelector> {
    ipsec::SelectorPair::any().local
}

#[test]
fn a_packet_outside_the_selectors_never_leaves() {
    let mut pair = Pair::connected(|_, _| {});
    let outside = [
        ("10.1.1.5:1", "10.2.0.9:2"),
        ("10.1.0.5:1", "10.2.1.9:2"),
        ("10.2.0.9:1", "10.1.0.5:2"),
        ("192.0.2.1:500", "192.0.2.2:500"),
        ("[fd00:1:0:1::5]:1", "[fd00:2::9]:2"),
        ("[fd00:1::5]:1", "[ff02::1]:2"),
        ("10.1.0.5:1", "255.255.255.255:67"),
    ];
    for (from, to) in outside {
        pair.send(A, &udp_between(from, to, 10));
    }
    assert_eq!(pair.gateway(A).totals.esp, 0);
    assert_eq!(pair.gateway(A).drops.get(DropReason::Policy), outside.len() as u64);
    pair.assert_works();
}

#[test]
fn what_is_no_packet_goes_no_further() {
    let mut pair = Pair::connected(|_, _| {});
    let whole = udp(A, false, 100);
    let mut random = Random::seeded(9);
    for length in 0..whole.len() {
        pair.send(A, &whole[..length]);
    }
    assert_eq!(pair.gateway(A).totals.esp, 0);
    for _ in 0..20_000 {
        let mut packet = udp(A, random.below(2) == 1, random.below(300) as usize);
        let mut header = super_header(random.below(2) == 1, random.below(2) == 1, random.below(200) as u16);
        for _ in 0..random.below(4) {
            let at = random.below(packet.len().min(60) as u64) as usize;
            packet[at] = random.next_u64() as u8;
        }
        header.csum_start = random.below(80) as u16;
        pair.send_super(A, &header, &packet);
    }
    pair.run(seconds(1));
    pair.assert_works_again();
}

/// What may happen at any time.
fn anything(pair: &mut Pair, random: &mut Random) {
    let node = NodeId(random.below(2) as usize);
    match random.below(15) {
        0 => pair.take_down(node),
        1 | 2 => {
            let _ = pair.command(node, |engine, now| engine.up(&other(node), None, now));
        }
        3 | 4 => {
            let _ = pair.command(node, |engine, now| engine.rekey_child(&other(node), None, now));
        }
        5 => {
            let _ = pair.command(node, |engine, now| engine.rekey_ike(&other(node), now));
        }
        6 => {
            let child = child_of(&mut pair.desired[node.0]);
            child.replay_window = if child.replay_window == 64 { 1024 } else { 64 };
            pair.apply(node);
        }
        7 => {
            let policies = &mut pair.desired[node.0].policies;
            if policies.pop().is_none() {
                let (name, action) = ("block".to_owned(), PolicyAction::Discard);
                policies.push(Policy { name, action, local: any(), remote: selectors(&["10.2.0.128/25"]) });
            }
            pair.apply(node);
        }
        8 => pair.restart(node),
        9 => {
            let port = [IKE_PORT, NAT_PORT, ESP_PORT][random.below(3) as usize];
            let [a, b] = [A, B].map(|node| SocketAddr::new(pair.address(node), port));
            pair.lab.network.cut_both(a, b);
        }
        10 | 11 => pair.lab.network.heal_all(),
        12 => {
            let junk: Vec<u8> = (0..random.below(200)).map(|_| random.next_u64() as u8).collect();
            let port = [IKE_PORT, NAT_PORT, ESP_PORT][random.below(3) as usize];
            let from = SocketAddr::new(pair.address(NodeId(1 - node.0)), port);
            let (now, to) = (pair.now(), SocketAddr::new(pair.address(node), port));
            pair.lab.network.send(now, from, to, [&[0], &junk[..]].concat());
        }
        _ => {
            esp_of_everything(pair, node);
            pair.send(node, &udp_between("10.1.0.5:1", "10.3.0.9:2", 10));
        }
    }
}

/// How many; `UNDERPASS_HISTORIES` asks for more.
pub fn histories() -> u64 {
    std::env::var("UNDERPASS_HISTORIES").ok().and_then(|count| count.parse().ok()).unwrap_or(2000)
}

/// One random history over a hostile link, which shows no plaintext (the gateways look) and ends with a tunnel; `change`
/// has the last word on the configurations.
pub fn history(seed: u64, change: impl Fn(&mut engine::desired::DesiredState)) {
    let mut random = Random::seeded(seed);
    let [on_demand, in_udp, outer_v6, lifetimes] = [(); 4].map(|()| random.below(2) == 1);
    let mut pair = Pair::new(seed, Link::HOSTILE, outer_v6, |node, desired| {
        if on_demand || node == B {
            child_of(desired).start = StartPolicy::OnDemand;
        }
        if in_udp {
            connection(desired).peer.encapsulation = EncapsulationPolicy::Force;
        }
        if lifetimes {
            let short = Lifetime { fuzz_percent: 100, margin: seconds(5), ..FOREVER };
            child_of(desired).lifetime =
                Lifetime { time: Some(seconds(20)), packets: Some(50), bytes: Some(50_000), ..short };
            connection(desired).peer.lifetime = Lifetime { time: Some(seconds(30)), ..short };
        }
        change(desired);
    });
    pair.apply(A);
    pair.apply(B);
    for _ in 0..40 {
        anything(&mut pair, &mut random);
        pair.run(millis(random.below(3000)));
    }
    // Whatever was done, this undoes it.
    pair.lab.network.heal_all();
    pair.lab.network.set_link(Link::PERFECT);
    for node in [A, B] {
        pair.desired[node.0].policies.clear();
        for child in &mut connection(&mut pair.desired[node.0]).peer.children {
            child.start = StartPolicy::OnLoad;
            child.lifetime = FOREVER;
        }
        connection(&mut pair.desired[node.0]).peer.lifetime = FOREVER;
        pair.apply(node);
        let _ = pair.command(node, |engine, now| engine.up(&other(node), None, now));
    }
    pair.run(seconds(300));
    assert!(pair.is_up(A) && pair.is_up(B), "seed {seed}\n{}", pair.dump());
    for node in [A, B] {
        let gateway = pair.gateway_mut(node);
        gateway.delivered.clear();
        let most = 2 * gateway.table.slots.len();
        assert!(gateway.table.inbound.len() <= most, "seed {seed}: inbound SAs are left over\n{}", pair.dump());
    }
    pair.assert_works();
}

#[test]
fn thousands_of_random_histories_over_a_hostile_link_show_no_plaintext_and_end_with_a_tunnel() {
    for seed in 0..histories() {
        history(seed, |_| {});
    }
}
