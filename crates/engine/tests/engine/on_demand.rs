//! On demand: the first packet asks for its child and is delivered when it is up.

use crate::status::status;
use crate::support::*;
use engine::path::Feedback;
use ike::config::StartPolicy;
use ipsec::DropReason;
use packet::offload::VnetHeader;
use sim::{Link, NodeId};

fn on_demand(link: Link) -> Pair {
    let mut pair = Pair::new(3, link, false, |node, desired| {
        let start = if node == A { StartPolicy::OnDemand } else { StartPolicy::Passive };
        child_of(desired).start = start;
    });
    pair.apply(B);
    pair.apply(A);
    pair.run(seconds(5));
    assert_eq!(pair.gateway(A).events.len(), 0, "nothing happens before somebody asks");
    pair
}

fn numbered(count: usize) -> Vec<Vec<u8>> {
    (0..count).map(|index| udp(A, index % 2 == 1, 100 + index)).collect()
}

#[test]
fn the_first_packets_bring_the_tunnel_up_and_are_delivered_once_and_in_order() {
    let mut pair = on_demand(Link::PERFECT);
    let packets = numbered(20);
    for packet in &packets {
        pair.send(A, packet);
        pair.run(millis(1));
    }
    assert_eq!(pair.gateway(A).totals.esp, 0);
    pair.run(seconds(2));
    assert_eq!(pair.gateway(B).delivered, packets);
    assert_eq!(pair.gateway(A).totals.esp, 20);
    let attempts = pair.gateway(A).events.iter();
    let attempts = attempts.filter(|(_, event)| matches!(event, ike::Event::Connecting { .. })).count();
    assert_eq!(attempts, 1, "twenty packets ask once");
}

#[test]
fn a_super_packet_that_waited_arrives_as_its_segments_with_checksums() {
    let mut pair = on_demand(Link::PERFECT);
    let packet = tcp(A, false, 0x10, &[], 5000);
    pair.send_super(A, &super_header(false, false, 1200), &packet);
    pair.run(seconds(2));
    let delivered = &pair.gateway(B).delivered;
    assert_eq!(delivered.len(), 5);
    for segment in delivered {
        let view = packet::IpView::parse(segment).unwrap();
        assert_eq!(packet::checksum::verify_transport(&view), packet::checksum::Verdict::Valid);
    }
}

#[test]
fn no_more_than_64_packets_wait_and_the_first_ones_do() {
    let mut pair = on_demand(Link::PERFECT);
    let packets = numbered(200);
    packets.iter().for_each(|packet| pair.send(A, packet));
    pair.run(seconds(2));
    assert_eq!(pair.gateway(B).delivered, packets[..64]);
    assert_eq!(status(&pair, A).drops["queue_full"], 136);
}

#[test]
fn a_packet_that_waited_too_long_is_not_delivered_any_more() {
    let mut pair = on_demand(Link::PERFECT);
    let ends = [A, B].map(|node| std::net::SocketAddr::new(outer(node, false), IKE_PORT));
    pair.lab.network.cut_both(ends[0], ends[1]);
    pair.send(A, &udp(A, false, 10));
    pair.run(seconds(20));
    assert_eq!(status(&pair, A).drops["no_tunnel"], 1);
    let late = udp(A, false, 11);
    pair.send(A, &late);
    pair.lab.network.heal_all();
    pair.run(seconds(60));
    assert!(pair.is_up(A), "{}", pair.dump());
    let delivered = &pair.gateway(B).delivered;
    assert!(delivered.is_empty() || delivered == &[late], "the first has expired: {delivered:?}");
    pair.assert_works_again();
}

#[test]
fn a_packet_whose_report_is_overtaken_by_its_tunnel_is_delivered_at_once() {
    let mut pair = on_demand(Link::PERFECT);
    let before = std::sync::Arc::clone(&pair.gateway(A).table);
    pair.send(A, &udp(A, false, 10));
    pair.run(seconds(2));
    // A worker still holds the table of before, in which the tunnel is down.
    let packet = udp(A, false, 20);
    pair.gateway_mut(B).delivered.clear();
    pair.lab.act(A, |gateway, now| gateway.offer_by(&before, &VnetHeader::NONE, &packet, now));
    pair.run(millis(100));
    assert!(matches!(pair.gateway(A).feedback.last(), Some(Feedback::Wanted { .. })));
    assert_eq!(pair.gateway(B).delivered, [packet]);
}

#[test]
fn packets_do_not_ask_for_a_tunnel_that_the_peer_or_an_operator_has_to_start() {
    let mut pair = on_demand(Link::PERFECT);
    pair.send(B, &udp(B, false, 10));
    assert_eq!(pair.gateway(B).drops.get(DropReason::NoTunnel), 1);
    pair.take_down(A);
    pair.send(A, &udp(A, false, 10));
    pair.run(seconds(30));
    assert!(!pair.is_up(A));
    assert_eq!(pair.gateway(A).totals.esp + pair.gateway(B).totals.esp, 0);
}

#[test]
fn a_hostile_link_delays_the_first_packets_and_never_doubles_them() {
    for seed in 0..50 {
        let mut pair = Pair::new(seed, Link::HOSTILE, false, |node, desired| {
            let start = if node == A { StartPolicy::OnDemand } else { StartPolicy::Passive };
            child_of(desired).start = start;
        });
        pair.apply(B);
        pair.apply(A);
        let packets = numbered(5);
        packets.iter().for_each(|packet| pair.send(A, packet));
        pair.run(seconds(90));
        let mut delivered = pair.gateway(NodeId(1)).delivered.clone();
        assert!(delivered.iter().all(|packet| packets.contains(packet)));
        delivered.sort();
        let count = delivered.len();
        delivered.dedup();
        assert_eq!(delivered.len(), count, "seed {seed}: one was delivered twice");
    }
}
