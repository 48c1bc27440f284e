//! Merges the packets of one receive batch into super-packets for a TUN write, without copying payload.
//!
//! Two packets merge when the kernel, cutting the result again, would restore both: same flow, next sequence number,
//! same acknowledgement, window and options, same TOS, TTL and DF, no flag but ACK and PSH, no IP options or extension
//! headers. All segments but the last are of one size. PSH or a shorter segment ends a super-packet.
//!
//! Invariants: a checksum, of IPv4 header or upper layer, is verified *before* its packet is merged, because the merged
//! packet gets new ones and would otherwise repair what arrived damaged. The order within a flow is kept: before any
//! packet of a flow is passed alone, what is pending of the flow is emitted.

use core::ops::Range;

use super::header::{GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4, NEEDS_CSUM, VnetHeader};
use super::split::{TCP_CHECKSUM, UDP_CHECKSUM};
use crate::ip::{IPV4_HEADER, IPV6_HEADER};
use crate::octets::{put, u16_at, u32_at};
use crate::{FlowKey, IpVersion, IpView, checksum, protocol};

/// Segments in one super-packet: what the kernel takes for UDP in one piece (`UDP_MAX_SEGMENTS`).
pub const MAX_SEGMENTS: usize = 64;
/// Bytes in one super-packet, the most its IP length field holds.
pub const MAX_SUPER_PACKET: usize = 65_535;
/// Flows open at a time. A batch rarely carries more, and each packet is compared with all of them.
pub const MAX_OPEN_FLOWS: usize = 16;

const ACK: u8 = 0x10;
const PSH: u8 = 0x08;

/// Which super-packets the TUN device accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Merging {
    /// TCP, where `TUN_F_TSO4` and `TUN_F_TSO6` were accepted.
    pub tcp: bool,
    /// UDP, where `TUN_F_USO4` and `TUN_F_USO6` were accepted.
    pub udp: bool,
}

/// The merger of one worker. It keeps its buffers between batches and nothing else.
#[derive(Debug, Default)]
pub struct Coalescer {
    merging: Merging,
    /// In the order their first packets arrived.
    open: Vec<Pending>,
    spare: Vec<Vec<Range<usize>>>,
}

#[derive(Debug)]
struct Pending {
    first: Candidate,
    /// The whole first packet, then the payloads of the others, as ranges of the arena.
    slices: Vec<Range<usize>>,
    /// IP length of the result so far, bytes.
    total: usize,
    next_sequence: u32,
    next_identification: u16,
    /// Whether the first packet's checksums were verified: only needed once a second one comes.
    verified: bool,
    pushed: bool,
}

/// A packet that may be merged.
#[derive(Debug, Clone)]
struct Candidate {
    flow: FlowKey,
    version: IpVersion,
    /// In the arena, padding cut off.
    range: Range<usize>,
    transport_offset: usize,
    /// All headers, bytes.
    header_len: usize,
    payload_len: usize,
    /// Zero for UDP.
    sequence: u32,
    /// Zero for IPv6.
    identification: u16,
    dont_fragment: bool,
    push: bool,
}

enum Class {
    Mergeable(Candidate),
    /// Goes alone.
    Alone {
        flow: FlowKey,
        range: Range<usize>,
    },
    /// Goes alone, and nothing is known of it.
    Opaque,
}

impl Coalescer {
    /// A merger for a TUN that accepts what `merging` says; with nothing allowed every packet goes alone.
    #[must_use]
    pub fn new(merging: Merging) -> Self {
        Self { merging, open: Vec::with_capacity(MAX_OPEN_FLOWS), spare: Vec::with_capacity(MAX_OPEN_FLOWS) }
    }

    /// Merges the `packets` of one batch, disjoint ranges of `arena` in order of arrival, and hands everything to `emit`.
    ///
    /// `emit` gets the arena, the offload header, and the ranges which, one after the other, are the packet: a
    /// gathering write (`writev`) of the encoded header and those ranges. Headers of merged packets are rewritten in
    /// place. Trailing padding is cut off. Nothing is held back after this returns. Packets of different flows may
    /// change places; those of one flow do not. A range outside the arena is skipped.
    pub fn coalesce<E>(&mut self, arena: &mut [u8], packets: &[Range<usize>], mut emit: E)
    where
        E: FnMut(&[u8], &VnetHeader, &[Range<usize>]),
    {
        for range in packets {
            let Some(packet) = arena.get(range.clone()) else {
                continue;
            };
            match classify(packet, range.start, self.merging) {
                Class::Opaque => {
                    self.flush_where(arena, &mut emit, |_| true);
                    emit(arena, &VnetHeader::NONE, core::slice::from_ref(range));
                }
                Class::Alone { flow, range } => {
                    self.flush_where(arena, &mut emit, |open| overlap(open, &flow));
                    emit(arena, &VnetHeader::NONE, core::slice::from_ref(&range));
                }
                Class::Mergeable(candidate) => self.offer(arena, candidate, &mut emit),
            }
        }
        self.flush_where(arena, &mut emit, |_| true);
    }

    fn offer<E>(&mut self, arena: &mut [u8], candidate: Candidate, emit: &mut E)
    where
        E: FnMut(&[u8], &VnetHeader, &[Range<usize>]),
    {
        let mut open = self.open.iter_mut().enumerate();
        if let Some((index, pending)) = open.find(|(_, pending)| pending.first.flow == candidate.flow) {
            let appended = pending.append(arena, &candidate);
            if !appended || pending.is_closed() {
                self.flush(index, arena, emit);
            }
            if appended {
                return;
            }
        }
        if candidate.push {
            emit(arena, &VnetHeader::NONE, core::slice::from_ref(&candidate.range));
            return;
        }
        if self.open.len() >= MAX_OPEN_FLOWS {
            self.flush(0, arena, emit);
        }
        let mut slices = self.spare.pop().unwrap_or_default();
        slices.clear();
        slices.push(candidate.range.clone());
        self.open.push(Pending::new(candidate, slices));
    }

    fn flush_where<E>(&mut self, arena: &mut [u8], emit: &mut E, chosen: impl Fn(&FlowKey) -> bool)
    where
        E: FnMut(&[u8], &VnetHeader, &[Range<usize>]),
    {
        let mut index = 0;
        while let Some(pending) = self.open.get(index) {
            if chosen(&pending.first.flow) {
                self.flush(index, arena, emit);
            } else {
                index += 1;
            }
        }
    }

    fn flush<E>(&mut self, index: usize, arena: &mut [u8], emit: &mut E)
    where
        E: FnMut(&[u8], &VnetHeader, &[Range<usize>]),
    {
        if index >= self.open.len() {
            return;
        }
        let pending = self.open.remove(index);
        let header = pending.seal_header(arena);
        emit(arena, &header, &pending.slices);
        self.spare.push(pending.slices);
    }
}

/// Whether a packet with the key `other` may belong to the flow `open`. One without ports may be a later fragment of it.
fn overlap(open: &FlowKey, other: &FlowKey) -> bool {
    let same_hosts = open.source == other.source && open.destination == other.destination;
    same_hosts && (!other.ports_known || open == other)
}

impl Pending {
    fn new(first: Candidate, slices: Vec<Range<usize>>) -> Self {
        Self {
            total: first.range.len(),
            next_sequence: advance(first.sequence, first.payload_len),
            next_identification: first.identification.wrapping_add(1),
            verified: false,
            pushed: false,
            slices,
            first,
        }
    }

    /// Takes `candidate` in if it continues this super-packet. The cheap questions come first.
    fn append(&mut self, arena: &[u8], candidate: &Candidate) -> bool {
        let continues = self.slices.len() < MAX_SEGMENTS
            && self.total + candidate.payload_len <= MAX_SUPER_PACKET
            && candidate.payload_len <= self.first.payload_len
            && (candidate.flow.protocol == protocol::UDP || candidate.sequence == self.next_sequence)
            // Identifications of packets with DF mean nothing (RFC 6864 §4.1); others must be what the split restores.
            && (candidate.version == IpVersion::V6
                || candidate.dont_fragment
                || candidate.identification == self.next_identification);
        let (Some(ours), Some(theirs)) = (arena.get(self.first.range.clone()), arena.get(candidate.range.clone()))
        else {
            return false;
        };
        if !continues || same_headers(&self.first, ours, candidate, theirs) != Some(true) {
            return false;
        }
        if !self.verified {
            if !is_intact(ours) {
                return false;
            }
            self.verified = true;
        }
        if !is_intact(theirs) {
            return false;
        }
        self.slices.push(candidate.range.start + candidate.header_len..candidate.range.end);
        self.total += candidate.payload_len;
        self.next_sequence = advance(candidate.sequence, candidate.payload_len);
        self.next_identification = candidate.identification.wrapping_add(1);
        self.pushed = candidate.push;
        true
    }

    fn is_closed(&self) -> bool {
        let full = self.first.range.len() + (self.slices.len() - 1) * self.first.payload_len;
        self.pushed || self.total < full || self.slices.len() >= MAX_SEGMENTS
    }

    /// Rewrites the first packet's headers for the whole and returns the offload header. A single packet stays as it is.
    fn seal_header(&self, arena: &mut [u8]) -> VnetHeader {
        if self.slices.len() < 2 {
            return VnetHeader::NONE;
        }
        let packet = arena.get_mut(self.first.range.clone());
        packet.and_then(|packet| self.rewrite(packet)).unwrap_or(VnetHeader::NONE)
    }

    fn rewrite(&self, packet: &mut [u8]) -> Option<VnetHeader> {
        let first = &self.first;
        match first.version {
            IpVersion::V4 => {
                put(packet, 2, &u16::try_from(self.total).ok()?.to_be_bytes())?;
                checksum::refresh_ipv4_header(packet);
            }
            IpVersion::V6 => {
                let length = u16::try_from(self.total.checked_sub(IPV6_HEADER)?).ok()?;
                put(packet, 4, &length.to_be_bytes())?;
            }
        }
        let upper_len = u16::try_from(self.total.checked_sub(first.transport_offset)?).ok()?;
        let flow = &first.flow;
        let pseudo = checksum::pseudo_header(flow.source, flow.destination, flow.protocol, u32::from(upper_len));
        let transport = packet.get_mut(first.transport_offset..)?;
        let (gso_type, checksum_at) = if flow.protocol == protocol::TCP {
            if self.pushed {
                *transport.get_mut(13)? |= PSH;
            }
            match first.version {
                IpVersion::V4 => (GSO_TCPV4, TCP_CHECKSUM),
                IpVersion::V6 => (GSO_TCPV6, TCP_CHECKSUM),
            }
        } else {
            put(transport, 4, &upper_len.to_be_bytes())?;
            (GSO_UDP_L4, UDP_CHECKSUM)
        };
        put(transport, checksum_at, &checksum::fold(pseudo).to_be_bytes())?;
        Some(VnetHeader {
            flags: NEEDS_CSUM,
            gso_type,
            hdr_len: u16::try_from(first.header_len).ok()?,
            gso_size: u16::try_from(first.payload_len).ok()?,
            csum_start: u16::try_from(first.transport_offset).ok()?,
            csum_offset: u16::try_from(checksum_at).ok()?,
        })
    }
}

fn advance(sequence: u32, length: usize) -> u32 {
    sequence.wrapping_add(u32::try_from(length).unwrap_or_default())
}

fn classify(packet: &[u8], start: usize, merging: Merging) -> Class {
    let Ok(view) = IpView::parse(packet) else {
        return Class::Opaque;
    };
    let flow = FlowKey::of(&view);
    let range = start..start + view.total_len();
    match candidate(&view, &flow, &range, merging) {
        Some(candidate) => Class::Mergeable(candidate),
        None => Class::Alone { flow, range },
    }
}

fn candidate(view: &IpView<'_>, flow: &FlowKey, range: &Range<usize>, merging: Merging) -> Option<Candidate> {
    let plain_header = match view.version() {
        IpVersion::V4 => view.transport_offset() == IPV4_HEADER,
        IpVersion::V6 => view.transport_offset() == IPV6_HEADER,
    };
    if !plain_header || view.is_fragment() {
        return None;
    }
    let transport = view.payload();
    let (transport_len, sequence, push) = match view.protocol() {
        protocol::TCP if merging.tcp => {
            let &[words_and_reserved, flags] = transport.get(12..14)?.first_chunk::<2>()?;
            if flags & !PSH != ACK || words_and_reserved & 0x0f != 0 {
                return None;
            }
            let length = usize::from(words_and_reserved >> 4) * 4;
            if length < 20 {
                return None;
            }
            (length, u32_at(transport, 4)?, flags & PSH != 0)
        }
        protocol::UDP if merging.udp => {
            let length = usize::from(u16_at(transport, 4)?);
            if length != transport.len() || u16_at(transport, 6)? == 0 {
                return None;
            }
            (8, 0, false)
        }
        _ => return None,
    };
    let payload_len = transport.len().checked_sub(transport_len).filter(|&length| length > 0)?;
    Some(Candidate {
        flow: *flow,
        version: view.version(),
        range: range.clone(),
        transport_offset: view.transport_offset(),
        header_len: view.transport_offset() + transport_len,
        payload_len,
        sequence,
        identification: match view.version() {
            IpVersion::V4 => u16_at(view.bytes(), 4)?,
            IpVersion::V6 => 0,
        },
        dont_fragment: view.dont_fragment(),
        push,
    })
}

/// Whether everything is equal that a split would repeat. Addresses and ports are known to be, by the flow key.
fn same_headers(first: &Candidate, ours: &[u8], other: &Candidate, theirs: &[u8]) -> Option<bool> {
    if first.header_len != other.header_len || first.version != other.version {
        return Some(false);
    }
    let same = |range: Range<usize>| Some(ours.get(range.clone())? == theirs.get(range)?);
    let same_ip = match first.version {
        // Version, header length, TOS; then flags, fragment offset, TTL, protocol.
        IpVersion::V4 => same(0..2)? && same(6..10)?,
        // Version, traffic class, flow label; then next header, hop limit.
        IpVersion::V6 => same(0..4)? && same(6..8)?,
    };
    if !same_ip || first.flow.protocol != protocol::TCP {
        return Some(same_ip);
    }
    let tcp = first.transport_offset;
    // Acknowledgement, header length; then window; then urgent pointer and options.
    Some(same(tcp + 8..tcp + 13)? && same(tcp + 14..tcp + 16)? && same(tcp + 18..first.header_len)?)
}

/// Whether every checksum the merge would replace is present and right.
fn is_intact(packet: &[u8]) -> bool {
    let Ok(view) = IpView::parse(packet) else {
        return false;
    };
    let header_intact = match view.version() {
        IpVersion::V4 => packet.get(..view.header_len()).is_some_and(checksum::verify_ipv4_header),
        IpVersion::V6 => true,
    };
    header_intact && checksum::verify_transport(&view) == checksum::Verdict::Valid
}
