//! The packet path against a reference: whatever is split, sealed, opened and merged again, each flow's packets are the
//! ones that its super-packets stand for, each built from nothing.

use crate::support::*;
use engine::path::{Egress, Ingress};
use ike::config::Path;
use ipsec::{DropCounters, Encapsulation};
use packet::build::{self, IpHeader, TcpHeader};
use packet::checksum::refresh_ipv4_header;
use packet::offload::{Coalescer, Merging, Segments, VnetHeader};
use packet::{FlowKey, flow_key};
use sim::Random;
use std::collections::BTreeMap;
use std::ops::Range;

const ACK: u8 = 0x10;
const PSH: u8 = 0x08;

/// A flow between the hosts, at the place where its next packet begins.
#[derive(Clone)]
struct Flow {
    v6: bool,
    udp: bool,
    port: u16,
    tos: u8,
    ttl: u8,
    sequence: u32,
}

impl Flow {
    fn packet(&self, flags: u8, payload: &[u8]) -> Vec<u8> {
        let header = IpHeader { tos: self.tos, ttl: self.ttl, ..header(A, self.v6) };
        let mut packet = Vec::new();
        if self.udp {
            build::udp_with(&header, self.port, 443, payload, &mut packet).expect("fits");
            return packet;
        }
        let fields = TcpHeader {
            source_port: self.port,
            destination_port: 443,
            sequence: self.sequence,
            acknowledgement: 9,
            flags,
            window: 700,
            options: &[1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8],
        };
        build::tcp(&header, &fields, payload, &mut packet).expect("fits");
        packet
    }

    /// A super-packet with its offload header, and the packets it stands for.
    fn burst(&mut self, random: &mut Random) -> (VnetHeader, Vec<u8>, Vec<Vec<u8>>) {
        let size = 1 + random.below(1300) as u16;
        let segments = 1 + random.below(40);
        let mut payload = vec![0; (u64::from(size) * segments - random.below(u64::from(size))) as usize];
        random.fill(&mut payload);
        let pieces: Vec<&[u8]> = payload.chunks(usize::from(size)).collect();
        let flags = if random.below(3) == 0 { ACK | PSH } else { ACK };
        let mut whole = self.packet(flags, &payload);
        let header = if pieces.len() == 1 {
            VnetHeader::NONE
        } else {
            let mut header = super_header(self.v6, self.udp, size);
            header.hdr_len += if self.udp { 0 } else { 12 };
            unfinish_checksum(&header, &mut whole);
            header
        };
        let mut single = Vec::new();
        for (index, piece) in pieces.iter().enumerate() {
            let last = index + 1 == pieces.len();
            single.push(self.packet(if last { flags } else { flags & !PSH }, piece));
            self.sequence = self.sequence.wrapping_add(piece.len() as u32);
        }
        (header, whole, single)
    }
}

/// What the kernel leaves in a checksum field that is still to be computed does not matter.
fn unfinish_checksum(header: &VnetHeader, packet: &mut [u8]) {
    let at = usize::from(header.csum_start + header.csum_offset);
    packet[at..at + 2].fill(0x5a);
}

/// The identification of a packet with DF means nothing (RFC 6864 §4.1).
fn normal(mut packet: Vec<u8>) -> Vec<u8> {
    if packet[0] >> 4 == 4 {
        packet[4..6].fill(0);
        refresh_ipv4_header(&mut packet);
    }
    packet
}

type ByFlow = BTreeMap<FlowKey, Vec<Vec<u8>>>;

fn sort_into(flows: &mut ByFlow, packet: Vec<u8>) {
    flows.entry(flow_key(&packet).expect("a packet")).or_default().push(normal(packet));
}

/// Opens all that was sealed as one batch, merges it, and splits what was merged; returns how many packets it took.
fn receive(pair: &Pair, sealed: Sealed, merging: Merging, flows: &mut ByFlow) -> usize {
    let (mut arena, mut datagrams, mut inner): (Vec<u8>, Vec<Range<usize>>, Vec<Range<usize>>) = Default::default();
    let mut path = None;
    for (departure, esp) in sealed.0 {
        if let Encapsulation::Udp { local, remote } = departure.encapsulation {
            path = Some(Path { local: remote, remote: local });
        }
        datagrams.push(arena.len()..arena.len() + esp.len());
        arena.extend(esp);
    }
    let (drops, mut feedback) = (DropCounters::new(), Vec::new());
    let table = &pair.gateway(B).table;
    for range in datagrams {
        let mut ingress = Ingress { table, drops: &drops, feedback: &mut feedback };
        let opened = ingress.handle(&mut arena[range.clone()], path, 0);
        inner.extend(opened.map(|opened| range.start + opened.start..range.start + opened.end));
    }
    assert_eq!(drops.nonzero().count(), 0);
    let mut merged = 0;
    Coalescer::new(merging).coalesce(&mut arena, &inner, |arena, header, slices| {
        let whole: Vec<u8> = slices.iter().flat_map(|slice| arena[slice.clone()].iter().copied()).collect();
        let segments = Segments::new(header, &whole).expect("what was merged can be split");
        merged += 1;
        for index in 0..segments.count() {
            let mut packet = vec![0; segments.segment_len(index)];
            segments.write(index, &mut packet);
            sort_into(flows, packet);
        }
    });
    merged
}

#[test]
fn what_comes_out_merged_is_what_went_in_one_by_one() {
    let (mut packets, mut writes) = (0, 0);
    for seed in 0..40 {
        let mut random = Random::seeded(seed);
        let encapsulation = random.below(2) == 1;
        let pair = Pair::new(seed, sim::Link::PERFECT, random.below(2) == 1, |_, desired| {
            if encapsulation {
                connection(desired).peer.encapsulation = ike::config::EncapsulationPolicy::Force;
            }
        })
        .up();
        let mut flows: Vec<Flow> = (0..4)
            .map(|index| Flow {
                v6: random.below(2) == 1,
                udp: random.below(3) == 0,
                port: 1000 + index,
                tos: (random.below(64) << 2) as u8,
                ttl: 2 + random.below(200) as u8,
                sequence: u32::MAX - random.below(50_000) as u32,
            })
            .collect();
        for _ in 0..20 {
            let (mut expected, mut found) = (ByFlow::new(), ByFlow::new());
            let mut sealed = Sealed::default();
            let (drops, mut feedback, mut replies) = (DropCounters::new(), Vec::new(), Vec::new());
            for _ in 0..random.below(8) {
                let flow = random.below(4) as usize;
                let (header, mut whole, single) = flows[flow].burst(&mut random);
                packets += single.len();
                single.into_iter().for_each(|packet| sort_into(&mut expected, packet));
                let table = &pair.gateway(A).table;
                let (feedback, replies) = (&mut feedback, &mut replies);
                let mut egress = Egress { table, drops: &drops, feedback, replies, icmp_source: None };
                egress.handle(&header, &mut whole, &mut sealed);
            }
            assert!(replies.is_empty() && feedback.is_empty() && drops.nonzero().count() == 0);
            let merging = Merging { tcp: random.below(4) != 0, udp: random.below(4) != 0 };
            writes += receive(&pair, sealed, merging, &mut found);
            assert!(found == expected, "seed {seed}: a flow came out changed");
        }
    }
    assert!(packets > 20_000 && writes * 3 < packets, "{packets} packets in {writes} writes");
}
