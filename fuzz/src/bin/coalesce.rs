//! A receive batch merged and cut again: the same packets come back, in the same order within each flow, and a damaged
//! packet comes back damaged in the same way.
#![no_main]

use libfuzzer_sys::fuzz_target;
use packet::build::{IpHeader, TcpHeader, tcp, udp_with};
use packet::offload::{Coalescer, Merging, Segments, VnetHeader};
use packet::{FlowKey, IpView, checksum, flow_key, protocol};
use std::collections::BTreeMap;
use std::ops::Range;
use underpass_fuzz::Bytes;

type PerFlow = BTreeMap<Option<FlowKey>, Vec<Vec<u8>>>;

fuzz_target!(|data: &[u8]| {
    let mut bytes = Bytes(data);
    let allowed = bytes.u8();
    let mut arena = Vec::new();
    let mut ranges = Vec::new();
    let mut before = PerFlow::new();
    let mut flows = [Flow::default(); 4];
    while !bytes.is_empty() && ranges.len() < 96 {
        let raw = next_packet(&mut bytes, &mut flows);
        let start = arena.len();
        arena.extend_from_slice(&raw);
        ranges.push(start..arena.len());
        remember(&mut before, &raw);
    }
    let merging = Merging { tcp: allowed & 1 != 0, udp: allowed & 2 != 0 };
    let mut after = PerFlow::new();
    Coalescer::new(merging).coalesce(&mut arena, &ranges, |arena, header, slices| {
        cut(arena, header, slices, &mut after);
    });
    assert_eq!(before, after);
});

#[derive(Clone, Copy, Default)]
struct Flow {
    sequence: u32,
    identification: u16,
}

/// A packet that continues one of four flows, perhaps with a byte damaged; sometimes plain noise.
fn next_packet(bytes: &mut Bytes<'_>, flows: &mut [Flow; 4]) -> Vec<u8> {
    let kind = bytes.u8();
    if kind == 0xff {
        return bytes.chunk().to_vec();
    }
    let v6 = kind & 4 != 0;
    let flow = &mut flows[usize::from(kind & 3)];
    let number = if kind & 8 != 0 { protocol::UDP } else { protocol::TCP };
    let (source, destination) = (Bytes(&[kind & 3]).address(v6), Bytes(&[2]).address(v6));
    let mut header = IpHeader::new(source, destination, number);
    let (flags, twist) = (bytes.u8(), bytes.u8());
    header.identification = flow.identification;
    header.dont_fragment = twist & 1 == 0;
    header.tos = if twist & 2 != 0 { 1 } else { 0 };
    let length = usize::from(bytes.u16() % 1460);
    let payload: Vec<u8> = (0..length).map(|at| at as u8).collect();
    let mut out = Vec::new();
    let built = if number == protocol::UDP {
        udp_with(&header, 4000, 5000, &payload, &mut out)
    } else {
        let fields = TcpHeader {
            source_port: 4000,
            destination_port: 5000,
            sequence: flow.sequence,
            acknowledgement: 7,
            flags: if flags & 0xc0 == 0 { 0x10 | flags & 0x08 } else { flags },
            window: 500,
            options: if twist & 4 != 0 { &[1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2] } else { &[] },
        };
        tcp(&header, &fields, &payload, &mut out)
    };
    built.expect("it is not too long");
    if twist & 8 == 0 {
        flow.sequence = flow.sequence.wrapping_add(length as u32);
        flow.identification = flow.identification.wrapping_add(1);
    }
    if twist & 16 != 0 {
        let at = usize::from(bytes.u16()) % out.len();
        out[at] ^= bytes.u8();
    }
    if twist & 32 != 0 {
        out.resize(out.len() + usize::from(bytes.u8()), 0);
    }
    out
}

/// Files a packet under its flow. Padding after the IP length may be cut off, the two zeros of one's complement
/// (RFC 1624 §3) are one value, and an identification beside DF has no meaning (RFC 6864 §4.1).
fn remember(per_flow: &mut PerFlow, raw: &[u8]) {
    let Ok(view) = IpView::parse(raw) else {
        per_flow.entry(None).or_default().push(raw.to_vec());
        return;
    };
    let mut packet = view.bytes().to_vec();
    let tcp_checksum = view.transport_offset() + 16;
    if view.protocol() == protocol::TCP && !view.is_fragment() {
        one_zero(&mut packet, tcp_checksum);
    }
    if packet[0] >> 4 == 4 {
        if view.dont_fragment() && checksum::verify_ipv4_header(&packet[..view.header_len()]) {
            packet[4..6].fill(0);
            checksum::refresh_ipv4_header(&mut packet);
        }
        one_zero(&mut packet, 10);
    }
    per_flow.entry(flow_key(raw).ok()).or_default().push(packet);
}

fn one_zero(packet: &mut [u8], at: usize) {
    if let Some(field) = packet.get_mut(at..at + 2)
        && field == [0xff, 0xff]
    {
        field.fill(0);
    }
}

fn cut(arena: &[u8], header: &VnetHeader, slices: &[Range<usize>], after: &mut PerFlow) {
    let whole: Vec<u8> = slices.iter().flat_map(|range| &arena[range.clone()]).copied().collect();
    assert!(whole.len() <= 65_535);
    if *header == VnetHeader::NONE {
        remember(after, &whole);
        return;
    }
    let segments = Segments::new(header, &whole).expect("what we merged can be cut");
    assert!(segments.count() > 1 && segments.count() <= 64);
    let mut out = vec![0; 65_535];
    for index in 0..segments.count() {
        let length = segments.write(index, &mut out);
        assert!(length > 0);
        remember(after, &out[..length]);
    }
}
