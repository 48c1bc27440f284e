//! Packets through a tunnel: every pair of IP versions, both encapsulations, super-packets, sizes, DSCP and ECN.

use crate::support::*;
use ike::config::EncapsulationPolicy;
use ike::proposal::EspProposal;
use ipsec::{DfPolicy, DropReason, DscpPolicy, Encapsulation};
use packet::build::IpHeader;
use packet::checksum::{Verdict, verify_transport};
use packet::icmp::parse_too_big;
use packet::offload::{Segments, VnetHeader};
use packet::{IpView, fragment_v4};
use sim::{Link, NodeId};

fn tunnel(v6: bool, udp: bool) -> Pair {
    let pair = Pair::new(7, Link::PERFECT, v6, |_, desired| {
        if udp {
            connection(desired).peer.encapsulation = EncapsulationPolicy::Force;
        }
    });
    pair.up()
}

fn entry(pair: &Pair, node: NodeId) -> std::sync::Arc<engine::table::OutboundEntry> {
    std::sync::Arc::clone(&pair.gateway(node).table.slots[0].members[0].outbound[0])
}

/// The 32 bits of each packet's sequence number.
fn sequences(wire: &Wire) -> Vec<u32> {
    wire.iter().map(|(_, esp)| u32::from_be_bytes([esp[4], esp[5], esp[6], esp[7]])).collect()
}

#[test]
fn each_ip_version_passes_through_each_in_both_encapsulations() {
    for (outer_v6, udp_encapsulated) in [(false, false), (false, true), (true, false), (true, true)] {
        let mut pair = tunnel(outer_v6, udp_encapsulated);
        pair.assert_works();
        for node in [A, B] {
            let encapsulation = entry(&pair, node).encapsulation;
            assert_eq!(encapsulation.is_udp(), udp_encapsulated);
            assert_eq!(encapsulation.local_address(), outer(node, outer_v6));
            assert_eq!(pair.gateway(node).drops.nonzero().count(), 0);
        }
    }
}

#[test]
fn every_suite_carries_packets() {
    let suites = [
        "aes128gcm16",
        "aes256gcm16",
        "chacha20poly1305",
        "aes128-sha1",
        "aes192-sha384",
        "aes256-sha256",
        "aes256-sha512",
        "aes128gcm16-esn",
        "aes256-sha256-esn",
    ];
    for suite in suites {
        let mut pair = Pair::connected(|_, desired| {
            child_of(desired).proposals = vec![EspProposal::parse(suite, false).unwrap()];
        });
        pair.assert_works();
        assert_eq!(entry(&pair, A).sa.suite().to_string(), suite);
    }
}

#[test]
fn a_super_packet_is_split_and_sealed_under_contiguous_sequence_numbers() {
    let mut pair = tunnel(false, true);
    for (v6, is_udp) in [(false, false), (true, false), (false, true), (true, true)] {
        let packet = if is_udp { udp(A, v6, 20_000) } else { tcp(A, v6, 0x18, &[], 20_000) };
        let header = super_header(v6, is_udp, 1300);
        let before = entry(&pair, A).sa.next_sequence();
        let (delivered, wire) = pair.pass_watched(A, &header, &packet);
        let expected: Vec<Vec<u8>> = {
            let segments = Segments::new(&header, &packet).unwrap();
            let write = |index| {
                let mut bytes = vec![0; segments.segment_len(index)];
                segments.write(index, &mut bytes);
                bytes
            };
            (0..segments.count()).map(write).collect()
        };
        assert_eq!(expected.len(), 16);
        assert_eq!(delivered, expected);
        let first = u32::try_from(before).unwrap();
        assert_eq!(sequences(&wire), (first..first + 16).collect::<Vec<_>>());
        assert!(delivered.iter().all(|packet| checksum_is_right(packet)));
    }
}

fn checksum_is_right(packet: &[u8]) -> bool {
    IpView::parse(packet).is_ok_and(|view| verify_transport(&view) == Verdict::Valid)
}

#[test]
fn the_mss_of_a_connection_is_clamped_in_both_directions_and_never_raised() {
    // MSS 1460, between two no-operations, so that it lies at an odd place too.
    let syn = |from, v6, mss: u16| {
        let [high, low] = mss.to_be_bytes();
        tcp(from, v6, 0x02, &[1, 2, 4, high, low, 1, 1, 1], 0)
    };
    let mss_of = |packet: &[u8]| {
        let view = IpView::parse(packet).unwrap();
        u16::from_be_bytes([view.payload()[23], view.payload()[24]])
    };
    // The clamp of the receiving gateway is what counts where the sending one does not clamp.
    for (clamps_at_a, clamps_at_b) in [(true, true), (true, false), (false, true), (false, false)] {
        let mut pair = Pair::connected(|node, desired| {
            desired.gateway.clamp_mss = if node == A { clamps_at_a } else { clamps_at_b };
        });
        let mtu = entry(&pair, A).inner_mtu;
        assert!((1400..1450).contains(&mtu), "{mtu}");
        for (from, v6) in [(A, false), (B, false), (A, true), (B, true)] {
            let headers = if v6 { 60 } else { 40 };
            let limit = if clamps_at_a || clamps_at_b { mtu - headers } else { u16::MAX };
            for mss in [1460, 9000, 500] {
                let delivered = pair.pass(from, &VnetHeader::NONE, &syn(from, v6, mss));
                assert_eq!(delivered.len(), 1);
                assert_eq!(mss_of(&delivered[0]), mss.min(limit));
                assert!(checksum_is_right(&delivered[0]));
            }
        }
    }
}

#[test]
fn the_largest_packet_passes_and_one_octet_more_is_answered_with_the_mtu() {
    for (outer_v6, encapsulated, v6) in
        [(false, false, false), (false, true, false), (true, true, false), (false, true, true), (true, false, true)]
    {
        let mut pair = tunnel(outer_v6, encapsulated);
        let mtu = entry(&pair, A).inner_mtu;
        let around = usize::from(mtu) - if v6 { 48 } else { 28 };
        let fits = udp(A, v6, around);
        let (delivered, wire) = pair.pass_watched(A, &VnetHeader::NONE, &fits);
        assert_eq!(delivered, [fits]);
        let outer_headers = if outer_v6 { 40 } else { 20 } + if encapsulated { 8 } else { 0 };
        let length = wire[0].1.len() + outer_headers;
        assert!((1497..=1500).contains(&length), "{length} octets of 1500 used");

        let too_long = udp(A, v6, around + 1);
        assert!(pair.pass(A, &VnetHeader::NONE, &too_long).is_empty());
        let replies = std::mem::take(&mut pair.gateway_mut(A).replies);
        assert_eq!(replies.len(), 1);
        let told = parse_too_big(&replies[0]).expect("an ICMP error");
        assert_eq!(told.mtu, u32::from(mtu));
        assert_eq!(IpView::parse(&replies[0]).unwrap().destination(), host(A, v6));
        assert_eq!(pair.gateway(A).drops.get(DropReason::TooBig), 1);
    }
}

#[test]
fn a_long_packet_without_df_is_fragmented_before_encryption() {
    let mut pair = tunnel(false, true);
    let mtu = usize::from(entry(&pair, A).inner_mtu);
    let header = IpHeader { dont_fragment: false, identification: 77, ..header(A, false) };
    let packet = udp_with(&header, 4000);
    let mut expected = Vec::new();
    fragment_v4(&packet, mtu, |fragment| expected.push(fragment.to_vec())).unwrap();
    let (delivered, wire) = pair.pass_watched(A, &VnetHeader::NONE, &packet);
    assert_eq!(delivered, expected);
    assert_eq!(delivered.len(), 3);
    assert!(wire.iter().all(|(_, esp)| esp.len() + 28 <= 1500));
    let first = sequences(&wire)[0];
    assert_eq!(sequences(&wire), [first, first + 1, first + 2]);
    assert!(pair.gateway(A).replies.is_empty());
}

#[test]
fn ipv6_packets_up_to_1280_octets_pass_a_narrower_tunnel_whole_super_packets_of_them_too() {
    let mut pair = Pair::connected(|_, desired| desired.gateway.path_mtu = 1200);
    assert!(entry(&pair, A).inner_mtu < 1200);
    let packet = udp(A, true, 1232);
    let (delivered, wire) = pair.pass_watched(A, &VnetHeader::NONE, &packet);
    assert_eq!(delivered, [packet]);
    assert!(!wire[0].0.dont_fragment, "the outer packet is the one to fragment");
    let header = super_header(true, true, 1232);
    let delivered = pair.pass(A, &header, &udp(A, true, 3 * 1232));
    assert_eq!(delivered.iter().map(Vec::len).collect::<Vec<_>>(), [1280; 3]);
    assert!(pair.pass(A, &VnetHeader::NONE, &udp(A, true, 1233)).is_empty());
    let replies = std::mem::take(&mut pair.gateway_mut(A).replies);
    assert_eq!(parse_too_big(&replies[0]).expect("an ICMP error").mtu, 1280, "RFC 8200 §5");
}

#[test]
fn dscp_is_copied_or_set_as_configured() {
    let with_tos = |tos| udp_with(&IpHeader { tos, ..header(A, false) }, 10);
    for (policy, expected) in [(DscpPolicy::Copy, 0xb8), (DscpPolicy::Fixed(8), 0x20)] {
        let mut pair = Pair::connected(|_, desired| connection(desired).tunnel.dscp = policy);
        let (delivered, wire) = pair.pass_watched(A, &VnetHeader::NONE, &with_tos(0xb8));
        assert_eq!(wire[0].0.tos, expected);
        assert_eq!(delivered, [with_tos(0xb8)], "what is inside keeps its own");
    }
}

#[test]
fn df_is_copied_set_or_cleared_as_configured() {
    // Policy, DF inside, DF outside (RFC 4301 §8.1).
    let rows = [
        (DfPolicy::Copy, true, true),
        (DfPolicy::Copy, false, false),
        (DfPolicy::Set, false, true),
        (DfPolicy::Clear, true, false),
    ];
    for (policy, inner, outer) in rows {
        let mut pair = Pair::connected(|_, desired| connection(desired).tunnel.df = policy);
        let packet = udp_with(&IpHeader { dont_fragment: inner, ..header(A, false) }, 10);
        let (delivered, wire) = pair.pass_watched(A, &VnetHeader::NONE, &packet);
        assert_eq!(wire[0].0.dont_fragment, outer, "{policy:?}, {inner} inside");
        assert_eq!(delivered, [packet], "what is inside keeps its own");
    }
}

#[test]
fn congestion_marks_cross_the_tunnel_as_rfc_6040_says() {
    // Rows of RFC 6040 figure 4: inner, outer on arrival, inner on delivery; None is a drop.
    let rows: [(u8, u8, Option<u8>); 12] = [
        (0, 0, Some(0)),
        (0, 1, Some(0)),
        (0, 2, Some(0)),
        (0, 3, None),
        (2, 0, Some(2)),
        (2, 1, Some(1)),
        (2, 2, Some(2)),
        (2, 3, Some(3)),
        (1, 2, Some(1)),
        (1, 3, Some(3)),
        (3, 0, Some(3)),
        (3, 3, Some(3)),
    ];
    let mut pair = tunnel(false, false);
    for v6 in [false, true] {
        let with_tos = |tos| udp_with(&IpHeader { tos, ..header(A, v6) }, 10);
        for (inner, arriving, expected) in rows {
            pair.gateway_mut(B).marked_on_the_way = Some(arriving);
            let (delivered, wire) = pair.pass_watched(A, &VnetHeader::NONE, &with_tos(0xb8 | inner));
            assert_eq!(wire[0].0.tos, 0xb8 | inner, "normal mode copies on the way in");
            let expected: Vec<_> = expected.map(|ecn| with_tos(0xb8 | ecn)).into_iter().collect();
            assert_eq!(delivered, expected, "inner {inner}, outer {arriving}");
        }
    }
    assert_eq!(pair.gateway(B).drops.get(DropReason::Congestion), 2);
}

#[test]
fn an_authentic_packet_outside_the_selectors_goes_no_further() {
    let mut pair = tunnel(false, false);
    // A believes to have been granted more than B granted it.
    let table = {
        let gateway = pair.gateway(A);
        let slot = &gateway.table.slots[0];
        let theirs = &slot.members[0].outbound[0];
        let mut wide = engine::table::OutboundEntry {
            child: theirs.child,
            peer: theirs.peer.clone(),
            sa: std::sync::Arc::clone(&theirs.sa),
            selectors: ipsec::SelectorPair::any(),
            encapsulation: theirs.encapsulation,
            inner_mtu: theirs.inner_mtu,
            mss: theirs.mss,
            soft_reported: std::sync::Arc::clone(&theirs.soft_reported),
            armed: std::sync::Arc::clone(&theirs.armed),
        };
        wide.mss = (0, 0);
        engine::ForwardingTable {
            generation: gateway.table.generation,
            spd: ipsec::Spd::new(vec![ipsec::Policy {
                name: "all".to_owned(),
                action: ipsec::Action::Protect(0),
                local: ipsec::SelectorPair::any().local,
                remote: ipsec::SelectorPair::any().remote,
            }]),
            slots: vec![engine::table::Slot::alone(engine::table::Member::new(
                &slot.members[0].peer,
                &slot.members[0].child,
                false,
                vec![std::sync::Arc::new(wide)],
            ))],
            inbound: Default::default(),
            clamp_mss: false,
        }
    };
    for (from, to) in [("10.9.0.1:1", "10.2.0.9:2"), ("10.1.0.5:1", "10.3.0.1:2"), ("[fd00:9::1]:1", "[fd00:2::9]:2")] {
        let packet = udp_between(from, to, 10);
        pair.lab.act(A, |gateway, now| gateway.offer_by(&table, &VnetHeader::NONE, &packet, now));
    }
    pair.run(seconds(1));
    assert_eq!(pair.gateway(A).totals.esp, 3);
    assert!(pair.gateway(B).delivered.is_empty());
    assert_eq!(pair.gateway(B).drops.get(DropReason::Selector), 3);
    assert!(matches!(entry(&pair, A).encapsulation, Encapsulation::Plain { .. }));
}
