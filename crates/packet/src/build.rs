//! Builders of whole IPv4 and IPv6 packets (RFC 791 §3.1, RFC 8200 §3, RFC 768, RFC 9293 §3.1): for what the gateway
//! itself sends, and for tests.

use core::net::{IpAddr, SocketAddr};

use crate::ip::{IPV4_HEADER, IPV6_HEADER};
use crate::octets::put;
use crate::{PacketError, checksum, protocol};

/// The fields of an IP header without options that a sender chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IpHeader {
    /// Source address.
    pub source: IpAddr,
    /// Destination address, of the same version.
    pub destination: IpAddr,
    /// Upper-layer protocol.
    pub protocol: u8,
    /// TOS or traffic class.
    pub tos: u8,
    /// Time to live or hop limit.
    pub ttl: u8,
    /// IPv4 identification; IPv6 has none.
    pub identification: u16,
    /// IPv4 DF flag; IPv6 has none.
    pub dont_fragment: bool,
}

impl IpHeader {
    /// A header with a TTL of 64, no TOS, DF set and the identification zero that DF allows (RFC 6864 §4.1).
    #[must_use]
    pub fn new(source: IpAddr, destination: IpAddr, protocol: u8) -> Self {
        Self { source, destination, protocol, tos: 0, ttl: 64, identification: 0, dont_fragment: true }
    }

    /// Appends the header for an upper layer of `payload_len` bytes.
    ///
    /// # Errors
    /// [`PacketError::AddressFamilies`] for mixed versions, [`PacketError::TooLong`] above what the length field holds.
    pub fn append(&self, payload_len: usize, out: &mut Vec<u8>) -> Result<(), PacketError> {
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let total = payload_len.saturating_add(IPV4_HEADER);
                let total = u16::try_from(total).map_err(|_| PacketError::TooLong(total))?;
                let mut header = [0_u8; IPV4_HEADER];
                header[0] = 0x45;
                header[1] = self.tos;
                header[2..4].copy_from_slice(&total.to_be_bytes());
                header[4..6].copy_from_slice(&self.identification.to_be_bytes());
                header[6] = if self.dont_fragment { 0x40 } else { 0 };
                header[8] = self.ttl;
                header[9] = self.protocol;
                header[12..16].copy_from_slice(&source.octets());
                header[16..20].copy_from_slice(&destination.octets());
                let sum = checksum::ipv4_header(&header);
                header[10..12].copy_from_slice(&sum.to_be_bytes());
                out.extend_from_slice(&header);
                Ok(())
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let length = u16::try_from(payload_len)
                    .map_err(|_| PacketError::TooLong(payload_len.saturating_add(IPV6_HEADER)))?;
                let mut header = [0_u8; IPV6_HEADER];
                header[0] = 0x60 | (self.tos >> 4);
                header[1] = self.tos << 4;
                header[4..6].copy_from_slice(&length.to_be_bytes());
                header[6] = self.protocol;
                header[7] = self.ttl;
                header[8..24].copy_from_slice(&source.octets());
                header[24..40].copy_from_slice(&destination.octets());
                out.extend_from_slice(&header);
                Ok(())
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => Err(PacketError::AddressFamilies),
        }
    }
}

/// Replaces `out` with `header` and `upper` (a transport header whose checksum field, at `checksum_at`, is zero),
/// then `payload`, checksum filled in.
pub(crate) fn assemble(
    header: &IpHeader,
    upper: &[u8],
    checksum_at: usize,
    payload: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), PacketError> {
    out.clear();
    header.append(upper.len().saturating_add(payload.len()), out)?;
    let start = out.len();
    out.extend_from_slice(upper);
    out.extend_from_slice(payload);
    let segment = out.get(start..).unwrap_or_default();
    let value = match header.protocol {
        protocol::ICMP => checksum::checksum(segment),
        _ => checksum::transport(header.source, header.destination, header.protocol, segment),
    };
    let _ = put(out, start + checksum_at, &value.to_be_bytes());
    Ok(())
}

/// Replaces `out` with a UDP packet. `header.protocol`, `source` and `destination` are taken from the socket addresses.
///
/// # Errors
/// As [`IpHeader::append`].
pub fn udp(source: SocketAddr, destination: SocketAddr, payload: &[u8], out: &mut Vec<u8>) -> Result<(), PacketError> {
    let header = IpHeader::new(source.ip(), destination.ip(), protocol::UDP);
    udp_with(&header, source.port(), destination.port(), payload, out)
}

/// [`udp`] with every IP field chosen by the caller.
///
/// # Errors
/// As [`IpHeader::append`].
pub fn udp_with(
    header: &IpHeader,
    source_port: u16,
    destination_port: u16,
    payload: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), PacketError> {
    let length = payload.len().saturating_add(8);
    let length = u16::try_from(length).map_err(|_| PacketError::TooLong(length))?;
    let mut upper = [0_u8; 8];
    upper[0..2].copy_from_slice(&source_port.to_be_bytes());
    upper[2..4].copy_from_slice(&destination_port.to_be_bytes());
    upper[4..6].copy_from_slice(&length.to_be_bytes());
    let header = IpHeader { protocol: protocol::UDP, ..*header };
    assemble(&header, &upper, 6, payload, out)
}

/// The fields of a TCP header that a sender chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpHeader<'a> {
    /// Source port.
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
    /// Sequence number.
    pub sequence: u32,
    /// Acknowledgement number.
    pub acknowledgement: u32,
    /// CWR, ECE, URG, ACK, PSH, RST, SYN, FIN from the highest bit down.
    pub flags: u8,
    /// Window, unscaled.
    pub window: u16,
    /// Options, padded here to four bytes with zeros (end of list); at most 40 bytes.
    pub options: &'a [u8],
}

/// Replaces `out` with a TCP packet.
///
/// # Errors
/// As [`IpHeader::append`]; [`PacketError::TooLong`] for more than 40 bytes of options.
pub fn tcp(header: &IpHeader, fields: &TcpHeader<'_>, payload: &[u8], out: &mut Vec<u8>) -> Result<(), PacketError> {
    let mut upper = [0_u8; 60];
    let length = fields.options.len().next_multiple_of(4).saturating_add(20);
    let Some(upper) = upper.get_mut(..length) else {
        return Err(PacketError::TooLong(length));
    };
    let words = u8::try_from(length / 4).unwrap_or(15);
    let _ = put(upper, 0, &fields.source_port.to_be_bytes());
    let _ = put(upper, 2, &fields.destination_port.to_be_bytes());
    let _ = put(upper, 4, &fields.sequence.to_be_bytes());
    let _ = put(upper, 8, &fields.acknowledgement.to_be_bytes());
    let _ = put(upper, 12, &[words << 4, fields.flags]);
    let _ = put(upper, 14, &fields.window.to_be_bytes());
    let _ = put(upper, 20, fields.options);
    let header = IpHeader { protocol: protocol::TCP, ..*header };
    assemble(&header, upper, 16, payload, out)
}

#[cfg(test)]
mod tests {
    use core::net::{Ipv4Addr, Ipv6Addr};

    use super::*;
    use crate::IpView;
    use crate::checksum::{Verdict, verify_ipv4_header, verify_transport};

    #[test]
    fn an_ipv4_header_is_laid_out_as_rfc_791_draws_it() {
        let header = IpHeader {
            source: Ipv4Addr::new(192, 168, 0, 1).into(),
            destination: Ipv4Addr::new(192, 168, 0, 199).into(),
            protocol: 17,
            tos: 0,
            ttl: 64,
            identification: 0,
            dont_fragment: true,
        };
        let mut out = Vec::new();
        header.append(0x73 - 20, &mut out).unwrap();
        let expected = [
            0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11, 0xb8, 0x61, 0xc0, 0xa8, 0x00, 0x01, 0xc0, 0xa8,
            0x00, 0xc7,
        ];
        assert_eq!(out, expected);
    }

    #[test]
    fn an_ipv6_header_is_laid_out_as_rfc_8200_draws_it() {
        let header = IpHeader {
            tos: 0xb9,
            ttl: 3,
            ..IpHeader::new(Ipv6Addr::LOCALHOST.into(), Ipv6Addr::UNSPECIFIED.into(), 58)
        };
        let mut out = Vec::new();
        header.append(0x1234, &mut out).unwrap();
        assert_eq!(out[..8], [0x6b, 0x90, 0, 0, 0x12, 0x34, 58, 3]);
        assert_eq!(out[8..24], Ipv6Addr::LOCALHOST.octets());
        assert_eq!(out[24..], [0; 16]);
    }

    #[test]
    fn lengths_beyond_the_field_are_refused_and_the_longest_is_built() {
        let v4 = IpHeader::new(Ipv4Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into(), 1);
        let v6 = IpHeader::new(Ipv6Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into(), 1);
        let mixed = IpHeader { source: v4.source, ..v6 };
        let mut out = Vec::new();
        assert_eq!(v4.append(65_515, &mut out), Ok(()));
        assert_eq!(v4.append(65_516, &mut out), Err(PacketError::TooLong(65_536)));
        assert_eq!(v6.append(65_535, &mut out), Ok(()));
        assert_eq!(v6.append(65_536, &mut out), Err(PacketError::TooLong(65_576)));
        assert_eq!(v6.append(usize::MAX, &mut out), Err(PacketError::TooLong(usize::MAX)));
        assert_eq!(mixed.append(0, &mut out), Err(PacketError::AddressFamilies));
    }

    #[test]
    fn udp_and_tcp_come_with_right_checksums_and_padded_options() {
        for (source, destination) in [("10.0.0.1:1000", "10.0.0.2:2000"), ("[fd00::1]:1000", "[fd00::2]:2000")] {
            let (source, destination): (SocketAddr, SocketAddr) =
                (source.parse().unwrap(), destination.parse().unwrap());
            let mut out = Vec::new();
            udp(source, destination, b"hello", &mut out).unwrap();
            let view = IpView::parse(&out).unwrap();
            assert_eq!(view.payload()[..6], [0x03, 0xe8, 0x07, 0xd0, 0, 13]);
            assert_eq!(&view.payload()[8..], b"hello");
            assert_eq!(verify_transport(&view), Verdict::Valid);
            assert!(view.header_len() == 40 || verify_ipv4_header(&out[..20]));

            let header = IpHeader::new(source.ip(), destination.ip(), 6);
            let fields = TcpHeader {
                source_port: 1000,
                destination_port: 2000,
                sequence: 0x0102_0304,
                acknowledgement: 0x0506_0708,
                flags: 0x12,
                window: 0x0a0b,
                options: &[2, 4, 5, 0xb4, 1],
            };
            tcp(&header, &fields, b"x", &mut out).unwrap();
            let view = IpView::parse(&out).unwrap();
            let upper = view.payload();
            assert_eq!(upper[..16], [3, 0xe8, 7, 0xd0, 1, 2, 3, 4, 5, 6, 7, 8, 0x70, 0x12, 0x0a, 0x0b]);
            assert_eq!(upper[20..], [2, 4, 5, 0xb4, 1, 0, 0, 0, b'x']);
            assert_eq!(verify_transport(&view), Verdict::Valid);
            let too_many = TcpHeader { options: &[1; 41], ..fields };
            assert_eq!(tcp(&header, &too_many, b"", &mut out), Err(PacketError::TooLong(64)));
        }
    }
}
