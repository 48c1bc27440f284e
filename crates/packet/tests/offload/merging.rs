//! What merges, what stays apart, and where a super-packet ends.

use packet::offload::{Coalescer, GSO_NONE, Merging};

use crate::packets::{ACK, ALL, FIN, PSH, Spec, merge, merge_with, normal, split};

#[test]
fn a_full_tso_burst_becomes_one_packet_of_slices_without_a_copy() {
    let mut specs = vec![Spec::plain(false, false, 1386)];
    for _ in 1..44 {
        let next = specs[specs.len() - 1].next(1386, 3);
        specs.push(next);
    }
    let packets: Vec<Vec<u8>> = specs.iter().map(Spec::bytes).collect();
    let emitted = merge(ALL, &packets);
    assert_eq!(emitted.len(), 1);
    let (header, bytes, slices) = &emitted[0];
    assert_eq!(*header, specs[0].vnet(1386));
    assert_eq!(*slices, 44);
    assert_eq!(bytes.len(), 52 + 44 * 1386);
}

#[test]
fn interleaved_flows_merge_side_by_side() {
    let mut packets = Vec::new();
    let mut flows: Vec<Spec> =
        (0..8).map(|flow| Spec { port: 2000 + flow, ..Spec::plain(flow % 2 == 1, flow % 3 == 0, 500) }).collect();
    for _ in 0..6 {
        for flow in &mut flows {
            packets.push(flow.bytes());
            *flow = flow.next(500, 9);
        }
    }
    let emitted = merge(ALL, &packets);
    assert_eq!(emitted.len(), 8);
    assert!(emitted.iter().all(|(_, _, slices)| *slices == 6));
}

#[test]
fn super_packets_end_at_64_segments_and_at_65535_bytes() {
    for (length, count, expected) in [(10, 150, vec![64, 64, 22]), (1448, 90, vec![45, 45])] {
        let mut spec = Spec::plain(true, false, length);
        let mut packets = Vec::new();
        for _ in 0..count {
            packets.push(spec.bytes());
            spec = spec.next(length, 5);
        }
        let emitted = merge(ALL, &packets);
        let slices: Vec<usize> = emitted.iter().map(|(_, _, slices)| *slices).collect();
        assert_eq!(slices, expected);
        assert!(emitted.iter().all(|(_, bytes, _)| bytes.len() <= 65_535));
    }
}

#[test]
fn push_and_a_short_segment_end_a_super_packet() {
    for udp in [false, true] {
        let first = Spec::plain(false, udp, 100);
        let short = first.next(40, 2);
        let third = short.next(40, 3);
        let packets = [&first, &short, &third].map(Spec::bytes);
        let slices: Vec<usize> = merge(ALL, &packets).iter().map(|(_, _, slices)| *slices).collect();
        assert_eq!(slices, [2, 1]);
    }
    let first = Spec::plain(false, false, 100);
    let push = Spec { flags: ACK | PSH, ..first.next(100, 2) };
    let third = Spec { flags: ACK, ..push.next(100, 3) };
    let emitted = merge(ALL, &[&first, &push, &third].map(Spec::bytes));
    assert_eq!(emitted.len(), 2);
    assert_eq!(emitted[0].1[33], ACK | PSH, "the pushed flag survives");
    assert_eq!(emitted[1].1, third.bytes());
}

#[test]
fn packets_that_differ_in_anything_a_split_would_repeat_stay_apart() {
    type Change = fn(&mut Spec);
    let table: [(&str, Change); 13] = [
        ("sequence gap", |spec| spec.sequence += 1),
        ("acknowledgement", |spec| spec.acknowledgement += 1),
        ("window", |spec| spec.window += 1),
        ("options", |spec| spec.options[4] ^= 1),
        ("fewer options", |spec| spec.options.clear()),
        ("TTL", |spec| spec.ttl -= 1),
        ("TOS", |spec| spec.tos = 1),
        ("SYN", |spec| spec.flags |= 0x02),
        ("FIN", |spec| spec.flags |= FIN),
        ("RST", |spec| spec.flags |= 0x04),
        ("URG", |spec| spec.flags |= 0x20),
        ("ECE", |spec| spec.flags |= 0x40),
        ("CWR", |spec| spec.flags |= 0x80),
    ];
    for v6 in [false, true] {
        for (name, change) in table {
            let first = Spec::plain(v6, false, 100);
            let mut second = first.next(100, 2);
            change(&mut second);
            for packets in [[first.bytes(), second.bytes()], [second.bytes(), first.bytes()]] {
                let emitted = merge(ALL, &packets);
                let bytes: Vec<&Vec<u8>> = emitted.iter().map(|(_, bytes, _)| bytes).collect();
                assert_eq!(bytes, [&packets[0], &packets[1]], "{name}");
            }
        }
    }
}

#[test]
fn ipv4_identifications_must_follow_each_other_unless_df_makes_them_meaningless() {
    for udp in [false, true] {
        for (dont_fragment, step, merged) in
            [(false, 1_u16, true), (false, 0, false), (false, 2, false), (true, 1, true), (true, 0, true)]
        {
            let first = Spec { dont_fragment, identification: u16::MAX, ..Spec::plain(false, udp, 100) };
            let second = Spec { identification: u16::MAX.wrapping_add(step), ..first.next(100, 2) };
            let emitted = merge(ALL, &[first.bytes(), second.bytes()]);
            assert_eq!(emitted.len() == 1, merged, "DF {dont_fragment}, step {step}");
        }
    }
    let first = Spec::plain(false, true, 100);
    let other = Spec { dont_fragment: false, ..first.next(100, 2) };
    assert_eq!(merge(ALL, &[first.bytes(), other.bytes()]).len(), 2, "DF differs");
}

#[test]
fn no_damaged_packet_is_repaired_by_merging_wherever_the_damage_is() {
    for (v6, udp) in [(false, false), (false, true), (true, false), (true, true)] {
        let mut spec = Spec::plain(v6, udp, 24);
        let mut packets = Vec::new();
        for _ in 0..4 {
            packets.push(spec.bytes());
            spec = spec.next(24, 7);
        }
        for victim in 0..packets.len() {
            for bit in 0..packets[victim].len() * 8 {
                let mut damaged = packets.clone();
                damaged[victim][bit / 8] ^= 1 << (bit % 8);
                let mut out = Vec::new();
                for (header, bytes, _) in merge(ALL, &damaged) {
                    if header.gso_type == GSO_NONE {
                        out.push(bytes);
                    } else {
                        out.extend(split(&header, &bytes));
                    }
                }
                // Padding is cut off where the damage shortened the packet; `normal` does the same to the original. A
                // flipped bit that no checksum covers (TTL, TOS and flow label of IPv6) must survive too.
                let mut expected: Vec<Vec<u8>> = damaged.iter().map(|packet| normal(packet)).collect();
                let mut seen: Vec<Vec<u8>> = out.iter().map(|packet| normal(packet)).collect();
                expected.sort();
                seen.sort();
                assert_eq!(seen, expected, "v6 {v6} udp {udp} packet {victim} bit {bit}");
            }
        }
    }
}

#[test]
fn a_datagram_without_checksum_passes_alone_and_in_its_place() {
    let first = Spec::plain(false, true, 100);
    let mut second = first.next(100, 2).bytes();
    second[26..28].fill(0);
    let third = first.next(100, 2).next(100, 3);
    let packets = [first.bytes(), second.clone(), third.bytes()];
    let bytes: Vec<Vec<u8>> = merge(ALL, &packets).into_iter().map(|(_, bytes, _)| bytes).collect();
    assert_eq!(bytes, packets);
}

#[test]
fn a_pure_acknowledgement_does_not_overtake_its_flow() {
    let first = Spec::plain(false, false, 100);
    let second = first.next(100, 2);
    let acknowledgement = Spec { acknowledgement: 99, ..second.next(0, 3) };
    let emitted = merge(ALL, &[&first, &second, &acknowledgement].map(Spec::bytes));
    assert_eq!(emitted.len(), 2);
    assert_eq!(emitted[0].2, 2);
    assert_eq!(emitted[1].1, acknowledgement.bytes());
}

#[test]
fn a_device_without_offloads_gets_every_packet_alone() {
    for (merging, tcp_alone, udp_alone) in [
        (Merging::default(), true, true),
        (Merging { tcp: true, udp: false }, false, true),
        (Merging { tcp: false, udp: true }, true, false),
    ] {
        for (udp, alone) in [(false, tcp_alone), (true, udp_alone)] {
            let first = Spec::plain(true, udp, 100);
            let packets = [first.bytes(), first.next(100, 2).bytes()];
            assert_eq!(merge(merging, &packets).len(), if alone { 2 } else { 1 });
        }
    }
}

#[test]
fn more_flows_than_are_kept_open_lose_nothing_and_nothing_stays_behind() {
    let mut coalescer = Coalescer::new(ALL);
    for round in 0..3_u8 {
        let mut packets = Vec::new();
        for repeat in 0..2 {
            for port in 0..40 {
                let spec = Spec { port, ..Spec::plain(false, false, 30) };
                packets.push(if repeat == 0 { spec.bytes() } else { spec.next(30, round).bytes() });
            }
        }
        let emitted = merge_with(&mut coalescer, &packets);
        let slices: usize = emitted.iter().map(|(_, _, slices)| *slices).sum();
        assert_eq!(slices, packets.len());
    }
}

#[test]
fn ranges_outside_the_arena_are_skipped() {
    let packet = Spec::plain(false, false, 30).bytes();
    let mut arena = packet.clone();
    let length = arena.len();
    #[expect(clippy::reversed_empty_ranges, reason = "a hostile range")]
    let ranges = [0..length + 1, 9..3, 0..length, usize::MAX - 1..usize::MAX];
    let mut emitted = 0;
    Coalescer::new(ALL).coalesce(&mut arena, &ranges, |arena, _, slices| {
        assert_eq!(arena[slices[0].clone()], packet);
        emitted += 1;
    });
    assert_eq!(emitted, 1);
}

#[test]
fn unusual_headers_pass_alone_even_when_the_next_packet_has_the_same() {
    type Twist = fn(Vec<u8>) -> Vec<u8>;
    let options: Twist = |mut packet| {
        packet.splice(20..20, [0x94, 4, 0, 0]);
        packet[0] = 0x46;
        packet[3] += 4;
        packet::checksum::refresh_ipv4_header(&mut packet);
        packet
    };
    let reserved: Twist = |mut packet| {
        packet[32] |= 1;
        with_checksum(packet, 36)
    };
    let short_length: Twist = |mut packet| {
        packet[25] -= 10;
        // Sum only what the length covers.
        let tail = packet.split_off(packet.len() - 10);
        packet[3] -= 10;
        let mut packet = with_checksum(packet, 26);
        packet[3] += 10;
        packet::checksum::refresh_ipv4_header(&mut packet);
        packet.extend_from_slice(&tail);
        packet
    };
    let extension: Twist = |mut packet| {
        packet.splice(40..40, [packet[6], 0, 1, 4, 0, 0, 0, 0]);
        packet[6] = 60;
        packet[5] += 8;
        packet
    };
    for (name, v6, udp, twist) in [
        ("IPv4 options", false, false, options),
        ("IPv4 options", false, true, options),
        ("reserved bits", false, false, reserved),
        ("UDP length", false, true, short_length),
        ("destination options", true, false, extension),
    ] {
        let first = Spec::plain(v6, udp, 100);
        let packets = [twist(first.bytes()), twist(first.next(100, 2).bytes())];
        for packet in &packets {
            let view = packet::IpView::parse(packet).unwrap();
            let verdict = packet::checksum::verify_transport(&view);
            assert_eq!(verdict, packet::checksum::Verdict::Valid, "{name}");
        }
        let emitted = merge(ALL, &packets);
        let bytes: Vec<&Vec<u8>> = emitted.iter().map(|(_, bytes, _)| bytes).collect();
        assert_eq!(bytes, [&packets[0], &packets[1]], "{name}");
    }
}

/// Computes both checksums of an IPv4 packet anew; the upper one is stored at `at`.
fn with_checksum(mut packet: Vec<u8>, at: usize) -> Vec<u8> {
    packet[at..at + 2].fill(0);
    let view = packet::IpView::parse(&packet).expect("a whole packet");
    let (source, destination) = (view.source(), view.destination());
    let sum = packet::checksum::transport(source, destination, view.protocol(), view.payload());
    packet[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    packet::checksum::refresh_ipv4_header(&mut packet);
    packet
}
