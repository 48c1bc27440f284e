//! Cuts a super-packet read from a TUN into the packets that go on the wire, checksums complete.
//!
//! What changes from segment to segment: IP length, IPv4 identification (+1 each), TCP sequence number, FIN and PSH (on
//! the last only), CWR (on the first only, RFC 3168 §6.1.2), UDP length, checksums. All else is repeated.

use super::header::{GSO_ECN, GSO_NONE, GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4, OffloadError, VnetHeader};
use crate::octets::{put, u16_at, u32_at};
use crate::{IpVersion, IpView, PacketError, checksum, protocol};

const FIN: u8 = 0x01;
const PSH: u8 = 0x08;
const CWR: u8 = 0x80;

/// Offset of the checksum in a TCP header.
pub(super) const TCP_CHECKSUM: usize = 16;
/// Offset of the checksum in a UDP header.
pub(super) const UDP_CHECKSUM: usize = 6;

/// One TUN read, ready to be written out packet by packet.
#[derive(Debug, Clone, Copy)]
pub struct Segments<'a> {
    packet: &'a [u8],
    shape: Shape,
}

#[derive(Debug, Clone, Copy)]
enum Shape {
    /// As it is.
    Complete,
    /// One packet that wants its checksum: sum from `start`, store at `at`.
    Checksum {
        start: usize,
        at: usize,
    },
    Super(Super),
}

#[derive(Debug, Clone, Copy)]
struct Super {
    version: IpVersion,
    /// IPv4 header length; unused for IPv6.
    ip_header_len: usize,
    transport: Transport,
    transport_offset: usize,
    /// All headers, bytes.
    header_len: usize,
    /// Payload bytes per segment, at least one.
    size: usize,
    count: usize,
    /// Sum of addresses and protocol, without the length.
    pseudo: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transport {
    Tcp,
    Udp,
}

impl<'a> Segments<'a> {
    /// Checks `header` against `packet` (which follows it in a TUN read).
    ///
    /// # Errors
    /// [`PacketError::Offload`] where the two contradict each other; what [`IpView::parse`] says of the packet.
    pub fn new(header: &VnetHeader, packet: &'a [u8]) -> Result<Self, PacketError> {
        let view = IpView::parse(packet)?;
        let shape = match (header.gso_type & !GSO_ECN, view.version()) {
            (GSO_NONE, _) => plain(header, &view)?,
            (GSO_TCPV4, IpVersion::V4) | (GSO_TCPV6, IpVersion::V6) => tcp(header, &view)?,
            (GSO_UDP_L4, _) => udp(header, &view)?,
            (GSO_TCPV4 | GSO_TCPV6, _) => return Err(OffloadError::Protocol.into()),
            (other, _) => return Err(OffloadError::GsoType(other).into()),
        };
        Ok(Self { packet: view.bytes(), shape })
    }

    /// How many packets there are: at least one.
    #[must_use]
    pub fn count(&self) -> usize {
        match self.shape {
            Shape::Complete | Shape::Checksum { .. } => 1,
            Shape::Super(gso) => gso.count,
        }
    }

    /// Length of packet `index` in bytes; zero from [`Self::count`] on. The first is the longest.
    #[must_use]
    pub fn segment_len(&self, index: usize) -> usize {
        match self.shape {
            Shape::Complete | Shape::Checksum { .. } if index == 0 => self.packet.len(),
            Shape::Complete | Shape::Checksum { .. } => 0,
            Shape::Super(gso) => self.payload(&gso, index).map_or(0, |payload| gso.header_len + payload.len()),
        }
    }

    /// The packet itself where [`Self::write`] would only copy it.
    #[must_use]
    pub fn unchanged(&self) -> Option<&'a [u8]> {
        match self.shape {
            Shape::Complete => Some(self.packet),
            Shape::Checksum { .. } | Shape::Super(_) => None,
        }
    }

    /// Writes packet `index`, whole, to the start of `dst` and returns its length: [`Self::segment_len`], or zero,
    /// with `dst` unspecified, where there is no such packet or `dst` is too short for it.
    pub fn write(&self, index: usize, dst: &mut [u8]) -> usize {
        let length = self.segment_len(index);
        let Some(dst) = dst.get_mut(..length).filter(|dst| !dst.is_empty()) else {
            return 0;
        };
        let written = match self.shape {
            Shape::Complete => {
                dst.copy_from_slice(self.packet);
                Some(())
            }
            Shape::Checksum { start, at } => self.write_with_checksum(start, at, dst),
            Shape::Super(gso) => self.write_segment(&gso, index, dst),
        };
        if written.is_some() { length } else { 0 }
    }

    fn payload(&self, gso: &Super, index: usize) -> Option<&'a [u8]> {
        if index >= gso.count {
            return None;
        }
        let rest = self.packet.get(gso.header_len + index * gso.size..)?;
        Some(rest.get(..gso.size).unwrap_or(rest))
    }

    fn write_with_checksum(&self, start: usize, at: usize, dst: &mut [u8]) -> Option<()> {
        let (head, tail) = self.packet.split_at_checked(start)?;
        let (head_to, tail_to) = dst.split_at_mut_checked(start)?;
        head_to.copy_from_slice(head);
        // The field takes part: it holds the sum of the pseudo header.
        let sum = checksum::copy_and_sum(tail, tail_to);
        let is_udp = at - start == UDP_CHECKSUM;
        put(dst, at, &stored(sum, is_udp).to_be_bytes())
    }

    fn write_segment(&self, gso: &Super, index: usize, dst: &mut [u8]) -> Option<()> {
        let payload = self.payload(gso, index)?;
        let total = dst.len();
        let (headers, body) = dst.split_at_mut_checked(gso.header_len)?;
        headers.copy_from_slice(self.packet.get(..gso.header_len)?);
        let body_sum = checksum::copy_and_sum(payload, body);

        let (ip, transport) = headers.split_at_mut_checked(gso.transport_offset)?;
        match gso.version {
            IpVersion::V4 => {
                let step = u16::try_from(index).ok()?;
                let identification = u16_at(ip, 4)?.wrapping_add(step);
                put(ip, 2, &u16::try_from(total).ok()?.to_be_bytes())?;
                put(ip, 4, &identification.to_be_bytes())?;
                let sum = checksum::ipv4_header(ip.get(..gso.ip_header_len)?);
                put(ip, 10, &sum.to_be_bytes())?;
            }
            IpVersion::V6 => put(ip, 4, &u16::try_from(total.checked_sub(40)?).ok()?.to_be_bytes())?,
        }
        let upper_len = u32::try_from(transport.len() + body.len()).ok()?;
        let checksum_at = match gso.transport {
            Transport::Tcp => {
                let advance = u32::try_from(index * gso.size).ok()?;
                let sequence = u32_at(transport, 4)?.wrapping_add(advance);
                put(transport, 4, &sequence.to_be_bytes())?;
                let flags = transport.get_mut(13)?;
                if index != 0 {
                    *flags &= !CWR;
                }
                if index + 1 != gso.count {
                    *flags &= !(FIN | PSH);
                }
                TCP_CHECKSUM
            }
            Transport::Udp => {
                put(transport, 4, &u16::try_from(upper_len).ok()?.to_be_bytes())?;
                UDP_CHECKSUM
            }
        };
        put(transport, checksum_at, &[0, 0])?;
        let sum = gso.pseudo + upper_len + checksum::sum(transport) + body_sum;
        let is_udp = gso.transport == Transport::Udp;
        put(transport, checksum_at, &stored(sum, is_udp).to_be_bytes())
    }
}

/// The checksum for `sum` as it is stored: zero would say "no checksum" in UDP, so it becomes its equal 0xffff (RFC 768).
fn stored(sum: u32, is_udp: bool) -> u16 {
    let checksum = !checksum::fold(sum);
    if is_udp && checksum == 0 { 0xffff } else { checksum }
}

fn plain(header: &VnetHeader, view: &IpView<'_>) -> Result<Shape, OffloadError> {
    if !header.checksum_partial() {
        return Ok(Shape::Complete);
    }
    let start = usize::from(header.csum_start);
    let at = start + usize::from(header.csum_offset);
    // Behind all extension headers: a sum written into one of them would make another packet of it.
    if start < view.transport_offset() || at + 2 > view.total_len() {
        return Err(bad_position(header));
    }
    Ok(Shape::Checksum { start, at })
}

fn bad_position(header: &VnetHeader) -> OffloadError {
    OffloadError::ChecksumPosition { start: header.csum_start, offset: header.csum_offset }
}

fn tcp(header: &VnetHeader, view: &IpView<'_>) -> Result<Shape, OffloadError> {
    if view.protocol() != protocol::TCP {
        return Err(OffloadError::Protocol);
    }
    let words = view.payload().get(12).map_or(0, |byte| byte >> 4);
    let length = usize::from(words) * 4;
    if length < 20 {
        return Err(OffloadError::TransportHeader);
    }
    super_packet(header, view, Transport::Tcp, length)
}

fn udp(header: &VnetHeader, view: &IpView<'_>) -> Result<Shape, OffloadError> {
    if view.protocol() != protocol::UDP {
        return Err(OffloadError::Protocol);
    }
    super_packet(header, view, Transport::Udp, 8)
}

fn super_packet(
    header: &VnetHeader,
    view: &IpView<'_>,
    transport: Transport,
    transport_len: usize,
) -> Result<Shape, OffloadError> {
    if view.is_fragment() {
        return Err(OffloadError::Fragment);
    }
    if header.gso_size == 0 {
        return Err(OffloadError::SegmentSize);
    }
    let Some(payload_len) = view.payload().len().checked_sub(transport_len) else {
        return Err(OffloadError::TransportHeader);
    };
    let checksum_at = match transport {
        Transport::Tcp => TCP_CHECKSUM,
        Transport::Udp => UDP_CHECKSUM,
    };
    let position = (usize::from(header.csum_start), usize::from(header.csum_offset));
    if header.checksum_partial() && position != (view.transport_offset(), checksum_at) {
        return Err(bad_position(header));
    }
    let size = usize::from(header.gso_size);
    Ok(Shape::Super(Super {
        version: view.version(),
        ip_header_len: view.header_len(),
        transport,
        transport_offset: view.transport_offset(),
        header_len: view.transport_offset() + transport_len,
        size,
        count: payload_len.div_ceil(size).max(1),
        pseudo: checksum::pseudo_header(view.source(), view.destination(), view.protocol(), 0),
    }))
}
