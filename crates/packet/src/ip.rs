//! A borrowed, checked view of one IPv4 or IPv6 packet (RFC 791 §3.1, RFC 8200 §3 and §4).
//!
//! Invariant: after [`IpView::parse`] every length and offset lies inside the packet, so no accessor can fail.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::PacketError;
use crate::octets::{array_at, u16_at, u32_at};
use crate::protocol;

/// Extension headers walked before a packet is refused. Real traffic has at most three or four; the bound keeps a
/// packet of 64 KiB of empty options from costing eight thousand steps.
pub const MAX_EXTENSION_HEADERS: usize = 8;

/// Length of an IPv6 header without extensions, in bytes.
pub(crate) const IPV6_HEADER: usize = 40;
/// Length of an IPv4 header without options, in bytes.
pub(crate) const IPV4_HEADER: usize = 20;

/// The version nibble.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IpVersion {
    /// IPv4 (RFC 791).
    V4,
    /// IPv6 (RFC 8200).
    V6,
}

impl IpVersion {
    /// The version of a packet by its first nibble alone; `None` for an empty packet and any other version.
    #[must_use]
    pub fn of(packet: &[u8]) -> Option<Self> {
        match packet.first()? >> 4 {
            4 => Some(Self::V4),
            6 => Some(Self::V6),
            _ => None,
        }
    }
}

/// Where a fragment belongs in its datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Fragment {
    /// Bytes, a multiple of eight.
    offset: usize,
    more: bool,
}

/// One IP packet. Bytes after its total length (ESP TFC padding, link padding) are not part of the view.
#[derive(Debug, Clone, Copy)]
pub struct IpView<'a> {
    bytes: &'a [u8],
    version: IpVersion,
    source: IpAddr,
    destination: IpAddr,
    tos: u8,
    ttl: u8,
    protocol: u8,
    header_len: usize,
    transport_offset: usize,
    dont_fragment: bool,
    identification: Option<u32>,
    fragment: Fragment,
}

impl<'a> IpView<'a> {
    /// Checks `packet` and finds its upper layer.
    ///
    /// IPv6 extension headers 0, 43, 44 and 60 are skipped, the list of RFC 4301 §4.4.1.1; AH and ESP count as the
    /// next layer protocol. The IPv4 header checksum is not looked at: the kernel did, or the ESP ICV covers it.
    ///
    /// # Errors
    /// [`PacketError`] for any field that contradicts the bytes present.
    pub fn parse(packet: &'a [u8]) -> Result<Self, PacketError> {
        match packet.first().map(|first| first >> 4) {
            Some(4) => Self::parse_v4(packet),
            Some(6) => Self::parse_v6(packet),
            Some(other) => Err(PacketError::Version(other)),
            None => Err(truncated("IP header", IPV4_HEADER, 0)),
        }
    }

    fn parse_v4(packet: &'a [u8]) -> Result<Self, PacketError> {
        let Some(fixed) = packet.first_chunk::<IPV4_HEADER>() else {
            return Err(truncated("IPv4 header", IPV4_HEADER, packet.len()));
        };
        let header_len = usize::from(fixed[0] & 0x0f) * 4;
        if header_len < IPV4_HEADER {
            return Err(PacketError::HeaderLength(header_len));
        }
        let total = usize::from(u16::from_be_bytes([fixed[2], fixed[3]]));
        if total < header_len {
            return Err(PacketError::TotalLength { total, header: header_len });
        }
        let Some(bytes) = packet.get(..total) else {
            return Err(truncated("IPv4 packet", total, packet.len()));
        };
        let flags = u16::from_be_bytes([fixed[6], fixed[7]]);
        Ok(Self {
            bytes,
            version: IpVersion::V4,
            source: Ipv4Addr::new(fixed[12], fixed[13], fixed[14], fixed[15]).into(),
            destination: Ipv4Addr::new(fixed[16], fixed[17], fixed[18], fixed[19]).into(),
            tos: fixed[1],
            ttl: fixed[8],
            protocol: fixed[9],
            header_len,
            transport_offset: header_len,
            dont_fragment: flags & 0x4000 != 0,
            identification: Some(u32::from(u16::from_be_bytes([fixed[4], fixed[5]]))),
            fragment: Fragment { offset: usize::from(flags & 0x1fff) * 8, more: flags & 0x2000 != 0 },
        })
    }

    fn parse_v6(packet: &'a [u8]) -> Result<Self, PacketError> {
        let Some(fixed) = packet.first_chunk::<IPV6_HEADER>() else {
            return Err(truncated("IPv6 header", IPV6_HEADER, packet.len()));
        };
        let total = IPV6_HEADER + usize::from(u16::from_be_bytes([fixed[4], fixed[5]]));
        let Some(bytes) = packet.get(..total) else {
            return Err(truncated("IPv6 packet", total, packet.len()));
        };
        let chain = walk_extensions(bytes, fixed[6])?;
        let source: [u8; 16] = array_at(bytes, 8).unwrap_or_default();
        let destination: [u8; 16] = array_at(bytes, 24).unwrap_or_default();
        Ok(Self {
            bytes,
            version: IpVersion::V6,
            source: Ipv6Addr::from(source).into(),
            destination: Ipv6Addr::from(destination).into(),
            tos: (fixed[0] << 4) | (fixed[1] >> 4),
            ttl: fixed[7],
            protocol: chain.protocol,
            header_len: IPV6_HEADER,
            transport_offset: chain.offset,
            dont_fragment: true,
            identification: chain.identification,
            fragment: chain.fragment,
        })
    }

    /// IPv4 or IPv6.
    #[must_use]
    pub fn version(&self) -> IpVersion {
        self.version
    }

    /// Source address.
    #[must_use]
    pub fn source(&self) -> IpAddr {
        self.source
    }

    /// Destination address as the header has it (a routing header's final destination is not looked up).
    #[must_use]
    pub fn destination(&self) -> IpAddr {
        self.destination
    }

    /// The upper-layer protocol. In an IPv6 fragment with an offset above zero it is what the fragment header names,
    /// which may itself be an extension header.
    #[must_use]
    pub fn protocol(&self) -> u8 {
        self.protocol
    }

    /// Offset of the upper layer from the start of the packet, in bytes.
    #[must_use]
    pub fn transport_offset(&self) -> usize {
        self.transport_offset
    }

    /// IPv4 header with options, or the 40 bytes of IPv6's fixed header, in bytes.
    #[must_use]
    pub fn header_len(&self) -> usize {
        self.header_len
    }

    /// Length of the whole packet by its own header, in bytes (20–65,575).
    #[must_use]
    pub fn total_len(&self) -> usize {
        self.bytes.len()
    }

    /// The whole packet without trailing padding.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Type of service or traffic class: DSCP in the upper six bits, ECN in the lower two.
    #[must_use]
    pub fn tos(&self) -> u8 {
        self.tos
    }

    /// Time to live or hop limit.
    #[must_use]
    pub fn ttl(&self) -> u8 {
        self.ttl
    }

    /// Whether the DF flag is set. Always true of IPv6, which no router may fragment (RFC 8200 §5).
    #[must_use]
    pub fn dont_fragment(&self) -> bool {
        self.dont_fragment
    }

    /// The fragment identification: 16 bits in IPv4; in IPv6 32 bits, only where there is a fragment header.
    #[must_use]
    pub fn identification(&self) -> Option<u32> {
        self.identification
    }

    /// Whether this is a part of a datagram. An atomic IPv6 fragment (RFC 6946) is whole, so it is not.
    #[must_use]
    pub fn is_fragment(&self) -> bool {
        self.fragment.more || self.fragment.offset != 0
    }

    /// Whether more fragments follow.
    #[must_use]
    pub fn more_fragments(&self) -> bool {
        self.fragment.more
    }

    /// Offset of this fragment's data in the datagram, in bytes; zero in a whole packet.
    #[must_use]
    pub fn fragment_offset(&self) -> usize {
        self.fragment.offset
    }

    /// The upper layer: everything from [`Self::transport_offset`] on.
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        self.bytes.get(self.transport_offset..).unwrap_or_default()
    }
}

struct Chain {
    protocol: u8,
    offset: usize,
    identification: Option<u32>,
    fragment: Fragment,
}

/// Follows the next-header chain from the fixed header (RFC 8200 §4).
fn walk_extensions(bytes: &[u8], first: u8) -> Result<Chain, PacketError> {
    let mut chain = Chain { protocol: first, offset: IPV6_HEADER, identification: None, fragment: Fragment::default() };
    for _ in 0..=MAX_EXTENSION_HEADERS {
        let length = match chain.protocol {
            protocol::HOP_BY_HOP | protocol::ROUTING | protocol::DESTINATION_OPTIONS => {
                let words = bytes.get(chain.offset.saturating_add(1)).copied();
                words.map(|words| (usize::from(words) + 1) * 8)
            }
            protocol::FRAGMENT => Some(8),
            _ => return Ok(chain),
        };
        let available = bytes.len().saturating_sub(chain.offset);
        let length = length.unwrap_or(8);
        if length > available {
            return Err(truncated("IPv6 extension header", length, available));
        }
        if chain.protocol == protocol::FRAGMENT {
            let field = u16_at(bytes, chain.offset + 2).unwrap_or_default();
            chain.identification = u32_at(bytes, chain.offset + 4);
            chain.fragment = Fragment { offset: usize::from(field & 0xfff8), more: field & 1 != 0 };
        }
        chain.protocol = bytes.get(chain.offset).copied().unwrap_or_default();
        chain.offset += length;
        if chain.fragment.offset != 0 {
            // What follows is the middle of a datagram, not a header.
            return Ok(chain);
        }
    }
    Err(PacketError::ExtensionHeaders)
}

fn truncated(what: &'static str, needed: usize, available: usize) -> PacketError {
    PacketError::Truncated { what, needed, available }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::IpHeader;

    fn v6(first: u8, rest: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let address = IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1));
        IpHeader::new(address, address, first).append(rest.len(), &mut bytes).unwrap();
        bytes.extend_from_slice(rest);
        bytes
    }

    fn v4() -> Vec<u8> {
        let mut bytes = Vec::new();
        let header = IpHeader {
            source: Ipv4Addr::new(192, 0, 2, 1).into(),
            destination: Ipv4Addr::new(198, 51, 100, 2).into(),
            protocol: 17,
            tos: 0xb9,
            ttl: 63,
            identification: 0xbeef,
            dont_fragment: false,
        };
        header.append(8, &mut bytes).unwrap();
        bytes.extend_from_slice(&[1, 2, 3, 4, 5, 6, 7, 8]);
        bytes
    }

    #[test]
    fn an_ipv4_packet_shows_every_field_and_no_padding() {
        let mut bytes = v4();
        bytes.extend_from_slice(&[0xaa; 5]);
        let view = IpView::parse(&bytes).unwrap();
        assert_eq!(view.version(), IpVersion::V4);
        assert_eq!(view.source(), IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)));
        assert_eq!(view.destination(), IpAddr::V4(Ipv4Addr::new(198, 51, 100, 2)));
        assert_eq!((view.tos(), view.ttl(), view.protocol()), (0xb9, 63, 17));
        assert_eq!((view.header_len(), view.transport_offset(), view.total_len()), (20, 20, 28));
        assert_eq!(view.identification(), Some(0xbeef));
        assert!(!view.dont_fragment() && !view.is_fragment());
        assert_eq!(view.payload(), [1, 2, 3, 4, 5, 6, 7, 8]);
    }

    #[test]
    fn an_ipv4_header_with_options_moves_the_upper_layer() {
        let mut bytes = v4();
        bytes[0] = 0x46;
        let view = IpView::parse(&bytes).unwrap();
        assert_eq!((view.header_len(), view.transport_offset()), (24, 24));
        assert_eq!(view.payload(), [5, 6, 7, 8]);
    }

    #[test]
    fn ipv4_fragment_fields_are_read_in_bytes() {
        let mut bytes = v4();
        bytes[6..8].copy_from_slice(&[0x20, 0xb9]);
        let view = IpView::parse(&bytes).unwrap();
        assert!(view.is_fragment() && view.more_fragments());
        assert_eq!(view.fragment_offset(), 0xb9 * 8);
    }

    #[test]
    fn contradictions_are_refused() {
        let change = |at: usize, value: u8| {
            let mut bytes = v4();
            bytes[at] = value;
            IpView::parse(&bytes).map(|view| view.total_len())
        };
        assert_eq!(change(0, 0x55), Err(PacketError::Version(5)));
        assert_eq!(change(0, 0x44), Err(PacketError::HeaderLength(16)));
        assert_eq!(change(3, 19), Err(PacketError::TotalLength { total: 19, header: 20 }));
        assert!(matches!(change(3, 29), Err(PacketError::Truncated { needed: 29, available: 28, .. })));
        assert!(matches!(IpView::parse(&[]), Err(PacketError::Truncated { .. })));
    }

    #[test]
    fn the_ipv6_chain_is_followed_to_the_upper_layer() {
        // Hop-by-hop (8 bytes), destination options (16), routing (8), fragment (8, atomic), UDP.
        let mut rest = vec![60, 0, 1, 4, 0, 0, 0, 0];
        rest.extend_from_slice(&[43, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        rest.extend_from_slice(&[44, 0, 4, 0, 0, 0, 0, 0]);
        rest.extend_from_slice(&[17, 0, 0, 0, 0xde, 0xad, 0xbe, 0xef]);
        rest.extend_from_slice(b"datagram");
        let bytes = v6(0, &rest);
        let view = IpView::parse(&bytes).unwrap();
        assert_eq!((view.protocol(), view.header_len(), view.transport_offset()), (17, 40, 80));
        assert_eq!(view.identification(), Some(0xdead_beef));
        assert!(!view.is_fragment(), "an atomic fragment is whole");
        assert!(view.dont_fragment());
        assert_eq!(view.payload(), b"datagram");
    }

    #[test]
    fn ah_and_esp_are_next_layer_protocols() {
        for number in [50, 51] {
            let bytes = v6(number, &[6, 4, 0, 0, 0, 0, 0, 0]);
            assert_eq!(IpView::parse(&bytes).unwrap().protocol(), number);
        }
    }

    #[test]
    fn a_later_ipv6_fragment_is_not_looked_into() {
        let bytes = v6(44, &[60, 0, 0x05, 0xa9, 0, 0, 0, 7, 6, 255, 1, 2]);
        let view = IpView::parse(&bytes).unwrap();
        assert_eq!((view.protocol(), view.transport_offset()), (60, 48));
        assert_eq!((view.fragment_offset(), view.more_fragments()), (0x05a8, true));
    }

    #[test]
    fn the_walk_ends_after_eight_extension_headers() {
        let chain = |count: usize| {
            let mut rest: Vec<u8> = [60, 0, 1, 4, 0, 0, 0, 0].repeat(count);
            rest[(count - 1) * 8] = 59;
            let bytes = v6(60, &rest);
            IpView::parse(&bytes).map(|view| view.transport_offset())
        };
        assert_eq!(chain(MAX_EXTENSION_HEADERS), Ok(40 + 64));
        assert_eq!(chain(MAX_EXTENSION_HEADERS + 1), Err(PacketError::ExtensionHeaders));
    }

    #[test]
    fn an_extension_header_that_leaves_the_packet_is_refused() {
        for rest in [&[][..], &[17], &[17, 0, 0, 0, 0, 0, 0], &[17, 1, 0, 0, 0, 0, 0, 0]] {
            let result = IpView::parse(&v6(0, rest)).map(|view| view.protocol());
            assert!(matches!(result, Err(PacketError::Truncated { .. })), "{rest:?}: {result:?}");
        }
    }
}
