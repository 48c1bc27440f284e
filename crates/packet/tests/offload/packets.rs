//! Generated packets, and the reference: each packet built from nothing, by the RFCs.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use packet::IpView;
use packet::build::{self, IpHeader, TcpHeader};
use packet::checksum::verify_ipv4_header;
use packet::offload::{Coalescer, GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4, Merging, NEEDS_CSUM, Segments, VnetHeader};

pub const ACK: u8 = 0x10;
pub const PSH: u8 = 0x08;
pub const FIN: u8 = 0x01;
pub const ALL: Merging = Merging { tcp: true, udp: true };

pub fn address(v6: bool, host: u8) -> IpAddr {
    if v6 {
        Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, u16::from(host)).into()
    } else {
        Ipv4Addr::new(10, 0, 0, host).into()
    }
}

pub fn noise(length: usize, seed: u8) -> Vec<u8> {
    let mut state = u32::from(seed) + 1;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}

/// What a generated packet is made of.
#[derive(Debug, Clone)]
pub struct Spec {
    pub v6: bool,
    pub udp: bool,
    pub host: u8,
    pub port: u16,
    pub tos: u8,
    pub ttl: u8,
    pub identification: u16,
    pub dont_fragment: bool,
    pub sequence: u32,
    pub acknowledgement: u32,
    pub flags: u8,
    pub window: u16,
    pub options: Vec<u8>,
    pub payload: Vec<u8>,
}

impl Spec {
    pub fn plain(v6: bool, udp: bool, length: usize) -> Self {
        Self {
            v6,
            udp,
            host: 1,
            port: 1000,
            tos: 0,
            ttl: 64,
            identification: 100,
            dont_fragment: true,
            sequence: 5000,
            acknowledgement: 77,
            flags: ACK,
            window: 512,
            options: vec![1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8],
            payload: noise(length, 1),
        }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let header = IpHeader {
            source: address(self.v6, self.host),
            destination: address(self.v6, 200),
            protocol: 0,
            tos: self.tos,
            ttl: self.ttl,
            identification: self.identification,
            dont_fragment: self.dont_fragment,
        };
        let mut out = Vec::new();
        let built = if self.udp {
            build::udp_with(&header, self.port, 443, &self.payload, &mut out)
        } else {
            let fields = TcpHeader {
                source_port: self.port,
                destination_port: 443,
                sequence: self.sequence,
                acknowledgement: self.acknowledgement,
                flags: self.flags,
                window: self.window,
                options: &self.options,
            };
            build::tcp(&header, &fields, &self.payload, &mut out)
        };
        built.expect("generated packets fit");
        out
    }

    /// The packet that follows this one in its flow.
    pub fn next(&self, length: usize, seed: u8) -> Self {
        let step = u32::try_from(self.payload.len()).expect("short");
        Self {
            sequence: self.sequence.wrapping_add(step),
            identification: self.identification.wrapping_add(1),
            payload: noise(length, seed),
            ..self.clone()
        }
    }

    pub fn headers(&self) -> usize {
        let ip = if self.v6 { 40 } else { 20 };
        ip + if self.udp { 8 } else { 20 + self.options.len() }
    }

    /// The super-packet header the kernel would give for this packet.
    pub fn vnet(&self, size: u16) -> VnetHeader {
        let (gso_type, csum_offset) = match (self.udp, self.v6) {
            (true, _) => (GSO_UDP_L4, 6),
            (false, false) => (GSO_TCPV4, 16),
            (false, true) => (GSO_TCPV6, 16),
        };
        VnetHeader {
            flags: NEEDS_CSUM,
            gso_type,
            hdr_len: u16::try_from(self.headers()).expect("short"),
            gso_size: size,
            csum_start: if self.v6 { 40 } else { 20 },
            csum_offset,
        }
    }

    /// The packets a super-packet stands for, each built from nothing.
    pub fn reference_split(&self, size: usize) -> Vec<Vec<u8>> {
        let pieces: Vec<&[u8]> = if self.payload.is_empty() { vec![&[]] } else { self.payload.chunks(size).collect() };
        let last = pieces.len() - 1;
        let mut sequence = self.sequence;
        let mut all = Vec::new();
        for (index, piece) in pieces.into_iter().enumerate() {
            let mut flags = self.flags;
            if index != 0 {
                flags &= !0x80;
            }
            if index != last {
                flags &= !(FIN | PSH);
            }
            let segment = Self {
                identification: self.identification.wrapping_add(u16::try_from(index).expect("few")),
                sequence,
                flags,
                payload: piece.to_vec(),
                ..self.clone()
            };
            all.push(segment.bytes());
            sequence = sequence.wrapping_add(u32::try_from(piece.len()).expect("short"));
        }
        all
    }
}

pub fn split(header: &VnetHeader, bytes: &[u8]) -> Vec<Vec<u8>> {
    let segments = Segments::new(header, bytes).expect("a valid super-packet");
    let mut all = Vec::new();
    for index in 0..segments.count() {
        let mut buffer = vec![0xee; segments.segment_len(index) + 4];
        let length = segments.write(index, &mut buffer);
        assert_eq!(length, segments.segment_len(index));
        assert_eq!(buffer[length..], [0xee; 4], "nothing beyond the packet is written");
        buffer.truncate(length);
        all.push(buffer);
    }
    assert_eq!(segments.segment_len(segments.count()), 0);
    assert_eq!(segments.write(segments.count(), &mut [0; 2048]), 0);
    all
}

/// Merges a batch; returns each emitted packet with its header and how many slices it had.
pub fn merge(merging: Merging, packets: &[Vec<u8>]) -> Vec<(VnetHeader, Vec<u8>, usize)> {
    let mut coalescer = Coalescer::new(merging);
    merge_with(&mut coalescer, packets)
}

pub fn merge_with(coalescer: &mut Coalescer, packets: &[Vec<u8>]) -> Vec<(VnetHeader, Vec<u8>, usize)> {
    let mut arena = Vec::new();
    let mut ranges: Vec<Range<usize>> = Vec::new();
    for packet in packets {
        arena.extend_from_slice(&[0xcc; 3]);
        ranges.push(arena.len()..arena.len() + packet.len());
        arena.extend_from_slice(packet);
    }
    let mut all = Vec::new();
    coalescer.coalesce(&mut arena, &ranges, |arena, header, slices| {
        let mut bytes = Vec::new();
        for slice in slices {
            bytes.extend_from_slice(&arena[slice.clone()]);
        }
        all.push((*header, bytes, slices.len()));
    });
    all
}

/// Everything but what RFC 6864 says means nothing: the identification of IPv4 packets with DF.
pub fn normal(packet: &[u8]) -> Vec<u8> {
    let mut bytes = packet.to_vec();
    if let Ok(view) = IpView::parse(packet) {
        bytes.truncate(view.total_len());
        let intact = verify_ipv4_header(&bytes[..view.header_len()]);
        if view.header_len() != 40 && view.dont_fragment() && intact {
            bytes[4..6].fill(0);
            packet::checksum::refresh_ipv4_header(&mut bytes);
        }
    }
    bytes
}
