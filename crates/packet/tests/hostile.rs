//! Every function that reads a packet, given every truncation and many mutations of real ones: nothing panics.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use packet::build::{self, IpHeader, TcpHeader};
use packet::offload::{
    Coalescer, GSO_NONE, GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4, Merging, NEEDS_CSUM, Segments, VnetHeader,
};
use packet::{IpView, checksum, clamp_mss, decrement_ttl, ecn, flow_key, fragment_v4, icmp};
use proptest::prelude::*;

fn samples() -> Vec<Vec<u8>> {
    let v4 = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
    let v6 = IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1));
    let mut all = Vec::new();
    for address in [v4, v6] {
        let header = IpHeader::new(address, address, 0);
        for (flags, options) in [(0x02, &[2, 4, 5, 0xb4, 1, 3, 3, 7, 4, 2][..]), (0x10, &[])] {
            let fields = TcpHeader {
                source_port: 1,
                destination_port: 2,
                sequence: u32::MAX,
                acknowledgement: 0,
                flags,
                window: 9,
                options,
            };
            let mut out = Vec::new();
            build::tcp(&header, &fields, &[7; 50], &mut out).expect("fits");
            all.push(out);
        }
        let mut out = Vec::new();
        build::udp_with(&header, 4500, 4500, &[9; 40], &mut out).expect("fits");
        all.push(out);
        let mut out = Vec::new();
        icmp::echo_request(address, address, 1, 2, b"ping", &mut out).expect("fits");
        all.push(out);
    }
    // IPv4 with options, and IPv6 with hop-by-hop, routing and fragment headers.
    let mut options = Vec::new();
    IpHeader { dont_fragment: false, ..IpHeader::new(v4, v4, 17) }.append(8 + 30, &mut options).expect("fits");
    options[0] = 0x47;
    options.extend_from_slice(&[0x94, 4, 0, 0, 7, 3, 4, 0]);
    options.extend_from_slice(&[3; 30]);
    all.push(options);
    let mut chain = Vec::new();
    IpHeader::new(v6, v6, 0).append(32, &mut chain).expect("fits");
    chain.extend_from_slice(&[43, 0, 1, 4, 0, 0, 0, 0]);
    chain.extend_from_slice(&[44, 0, 4, 0, 0, 0, 0, 0]);
    chain.extend_from_slice(&[6, 0, 0, 1, 0, 0, 0, 5]);
    chain.extend_from_slice(&[1; 8]);
    all.push(chain);
    all
}

/// Runs everything on `bytes`.
fn exercise(bytes: &[u8]) {
    if let Ok(view) = IpView::parse(bytes) {
        assert!(view.transport_offset() <= view.total_len() && view.total_len() <= bytes.len());
        assert_eq!(view.transport_offset() + view.payload().len(), view.total_len());
        let _ = checksum::verify_transport(&view);
    }
    let _ = flow_key(bytes);
    let change = |function: &dyn Fn(&mut [u8])| {
        let mut copy = bytes.to_vec();
        function(&mut copy);
    };
    for partial in [false, true] {
        change(&|copy| {
            clamp_mss(copy, 100, 100, partial);
        });
    }
    change(&|copy| {
        let _ = decrement_ttl(copy);
    });
    change(&|copy| ecn::set_tos(copy, 0xff));
    change(&checksum::refresh_ipv4_header);
    for outer in 0..4 {
        change(&|copy| {
            let _ = ecn::apply_decap(copy, outer);
        });
    }
    let mut out = Vec::new();
    for ours in [IpAddr::V4(Ipv4Addr::new(10, 0, 0, 9)), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
        let _ = icmp::too_big(bytes, 1280, ours, &mut out);
        let _ = icmp::time_exceeded(bytes, ours, &mut out);
        let _ = icmp::unreachable(bytes, icmp::Unreachable::Host, ours, &mut out);
    }
    if let Some(echo) = icmp::parse_echo(bytes) {
        let _ = icmp::echo_reply(&echo, &mut out);
    }
    let _ = icmp::parse_too_big(bytes);
    for mtu in [0, 20, 28, 36, 68, usize::MAX] {
        let _ = fragment_v4(bytes, mtu, |fragment| assert!(fragment.len() <= mtu));
    }
    for gso_type in [GSO_NONE, GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4] {
        for (csum_start, csum_offset) in [(20, 16), (20, 6), (40, 16), (40, 6), (0xffff, 0xffff)] {
            for gso_size in [1, 7, 0xffff] {
                let header =
                    VnetHeader { flags: NEEDS_CSUM, gso_type, hdr_len: 0xffff, gso_size, csum_start, csum_offset };
                write_all(&header, bytes);
            }
        }
    }
}

fn write_all(header: &VnetHeader, bytes: &[u8]) {
    let Ok(segments) = Segments::new(header, bytes) else {
        return;
    };
    let mut buffer = [0; 256];
    let mut short = [0; 30];
    for index in 0..=segments.count() {
        let length = segments.write(index, &mut buffer);
        assert!(length == segments.segment_len(index) || segments.segment_len(index) > buffer.len());
        assert!(segments.write(index, &mut short) <= short.len());
    }
}

#[test]
fn every_truncation_of_every_packet_is_survived() {
    for sample in samples() {
        for length in 0..=sample.len() {
            exercise(&sample[..length]);
        }
    }
}

#[test]
fn every_byte_at_its_extremes_is_survived() {
    for sample in samples() {
        for at in 0..sample.len() {
            for value in [0, 1, 0x0f, 0x40, 0x4f, 0x60, 0x7f, 0x80, 0xf0, 0xff] {
                let mut bytes = sample.clone();
                bytes[at] = value;
                exercise(&bytes);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_are_survived(first in 0..4_u8, mut bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Some(byte) = bytes.first_mut() {
            *byte = [0x45, 0x4f, 0x60, *byte][usize::from(first)];
        }
        exercise(&bytes);
    }

    #[test]
    fn random_offload_headers_are_survived(which in 0..10_usize, flags in any::<u8>(), gso_type in any::<u8>(), fields in any::<[u16; 4]>()) {
        let all = samples();
        let header = VnetHeader {
            flags,
            gso_type: if gso_type > 200 { gso_type } else { gso_type % 6 },
            hdr_len: fields[0],
            gso_size: fields[1] % 64,
            csum_start: fields[2] % 64,
            csum_offset: fields[3] % 64,
        };
        write_all(&header, &all[which % all.len()]);
    }

    #[test]
    fn random_batches_are_survived(
        cuts in proptest::collection::vec((0..10_usize, 0..120_usize, any::<u8>()), 0..40),
        wild in proptest::collection::vec((0..5000_usize, 0..5000_usize), 0..4),
    ) {
        let all = samples();
        let mut arena = Vec::new();
        let mut ranges = Vec::new();
        for (which, at, value) in cuts {
            let mut bytes = all[which % all.len()].clone();
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
            ranges.push(arena.len()..arena.len() + bytes.len());
            arena.extend_from_slice(&bytes);
        }
        ranges.extend(wild.into_iter().map(|(from, to)| from..to));
        let mut merger = Coalescer::new(Merging { tcp: true, udp: true });
        merger.coalesce(&mut arena, &ranges, |arena, _, slices| {
            for slice in slices {
                assert!(arena.get(slice.clone()).is_some());
            }
        });
    }
}
