//! ICMP and ICMPv6 messages the gateway sends itself (RFC 792, RFC 1191, RFC 4443), and when it must stay silent.
//!
//! No error answers an ICMP error, a fragment after the first, a packet to a multicast or broadcast address, or one
//! whose source names no single host (RFC 1122 §3.2.2, RFC 1812 §4.3.2.7, RFC 4443 §2.4 (e)). One exception: an IPv6
//! Packet Too Big may answer a multicast packet, so that path MTU discovery works there.

use core::net::{IpAddr, Ipv4Addr};

use crate::build::{IpHeader, assemble};
use crate::octets::u16_at;
use crate::{IpVersion, IpView, PacketError, checksum, protocol};

/// Longest ICMP error over IPv4 (RFC 1812 §4.3.2.3), in bytes.
const MAX_V4: usize = 576;
/// Longest ICMPv6 error: the minimum IPv6 MTU (RFC 4443 §2.4 (c)), in bytes.
const MAX_V6: usize = 1280;
/// Internetwork control, the precedence of ICMP errors (RFC 1812 §4.3.2.5).
const ERROR_TOS: u8 = 0xc0;

const ECHO_REPLY: u8 = 0;
const ECHO_REQUEST: u8 = 8;
const ECHO_REQUEST_V6: u8 = 128;
const ECHO_REPLY_V6: u8 = 129;
/// ICMPv6 redirect (RFC 4861): not below 128, but no error may answer it either.
const REDIRECT_V6: u8 = 137;

/// Why no message was built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Silence {
    /// The original cannot be parsed.
    #[error("the original is malformed: {0}")]
    Malformed(#[from] PacketError),
    /// The original is an ICMP error itself, or cut so short that this cannot be told.
    #[error("the original is an ICMP error")]
    IcmpError,
    /// The original is a fragment with an offset above zero.
    #[error("the original is a later fragment")]
    LaterFragment,
    /// The original goes to many hosts.
    #[error("the original goes to a multicast or broadcast address")]
    ManyDestinations,
    /// The original's source names no single host.
    #[error("the original's source names no single host")]
    SourceNotUnicast,
    /// Our address is of the other IP version.
    #[error("no address of the original's IP version")]
    OtherVersion,
}

/// Why a destination cannot be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unreachable {
    /// No route: code 0 in both versions.
    Net,
    /// A route, but the host behind it does not answer: code 1 in ICMP, 3 in ICMPv6.
    Host,
    /// Policy forbids it: code 13 in ICMP (RFC 1812 §5.2.7.1), 1 in ICMPv6.
    AdminProhibited,
}

/// Replaces `out` with "fragmentation needed" (type 3 code 4 with the MTU of RFC 1191 §4) or Packet Too Big (RFC 4443
/// §3.2) for `original`; `mtu` in bytes.
///
/// # Errors
/// [`Silence`] where the original must not be answered; `out` is unspecified then.
pub fn too_big(original: &[u8], mtu: u16, our_address: IpAddr, out: &mut Vec<u8>) -> Result<(), Silence> {
    let [high, low] = mtu.to_be_bytes();
    let message = Message { v4: [3, 4], v6: [2, 0], rest: [0, 0, high, low], answers_multicast_v6: true };
    message.answer(original, our_address, out)
}

/// Replaces `out` with Destination Unreachable for `original`.
///
/// # Errors
/// As [`too_big`].
pub fn unreachable(
    original: &[u8],
    reason: Unreachable,
    our_address: IpAddr,
    out: &mut Vec<u8>,
) -> Result<(), Silence> {
    let (v4, v6) = match reason {
        Unreachable::Net => (0, 0),
        Unreachable::Host => (1, 3),
        Unreachable::AdminProhibited => (13, 1),
    };
    let message = Message { v4: [3, v4], v6: [1, v6], rest: [0; 4], answers_multicast_v6: false };
    message.answer(original, our_address, out)
}

/// Replaces `out` with Time Exceeded in transit for `original`.
///
/// # Errors
/// As [`too_big`].
pub fn time_exceeded(original: &[u8], our_address: IpAddr, out: &mut Vec<u8>) -> Result<(), Silence> {
    let message = Message { v4: [11, 0], v6: [3, 0], rest: [0; 4], answers_multicast_v6: false };
    message.answer(original, our_address, out)
}

/// Type and code in either version, and the four bytes after the checksum.
struct Message {
    v4: [u8; 2],
    v6: [u8; 2],
    rest: [u8; 4],
    answers_multicast_v6: bool,
}

impl Message {
    fn answer(&self, original: &[u8], ours: IpAddr, out: &mut Vec<u8>) -> Result<(), Silence> {
        let view = IpView::parse(original)?;
        may_answer(&view, self.answers_multicast_v6)?;
        let ([kind, code], number, most) = match (view.version(), ours) {
            (IpVersion::V4, IpAddr::V4(_)) => (self.v4, protocol::ICMP, MAX_V4 - 28),
            (IpVersion::V6, IpAddr::V6(_)) => (self.v6, protocol::ICMPV6, MAX_V6 - 48),
            (IpVersion::V4, IpAddr::V6(_)) | (IpVersion::V6, IpAddr::V4(_)) => {
                return Err(Silence::OtherVersion);
            }
        };
        let [a, b, c, d] = self.rest;
        let quoted = view.bytes().get(..most).unwrap_or(view.bytes());
        let header = IpHeader { tos: ERROR_TOS, ..IpHeader::new(ours, view.source(), number) };
        Ok(assemble(&header, &[kind, code, 0, 0, a, b, c, d], 2, quoted, out)?)
    }
}

fn may_answer(view: &IpView<'_>, answers_multicast_v6: bool) -> Result<(), Silence> {
    if view.fragment_offset() != 0 {
        return Err(Silence::LaterFragment);
    }
    match (view.source(), view.destination()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            if !is_single_host_v4(source) {
                return Err(Silence::SourceNotUnicast);
            }
            if destination.is_multicast() || destination.is_broadcast() {
                return Err(Silence::ManyDestinations);
            }
        }
        (source, destination) => {
            if source.is_unspecified() || source.is_multicast() || source.is_loopback() {
                return Err(Silence::SourceNotUnicast);
            }
            if destination.is_multicast() && !answers_multicast_v6 {
                return Err(Silence::ManyDestinations);
            }
        }
    }
    if is_error(view) {
        return Err(Silence::IcmpError);
    }
    Ok(())
}

fn is_single_host_v4(address: Ipv4Addr) -> bool {
    let [first, ..] = address.octets();
    // 0/8 is "this network", 127/8 loopback, 224/4 multicast and 240/4 reserved, broadcast included (RFC 1122 §3.2.1.3).
    first != 0 && first != 127 && first < 224
}

/// Whether the packet is an ICMP message that no error may answer. Unknown ICMP types count as errors.
fn is_error(view: &IpView<'_>) -> bool {
    match view.protocol() {
        // Echo, router discovery, timestamp, information and address mask are the queries (RFC 1122 §3.2.2).
        protocol::ICMP => !matches!(view.payload().first(), Some(0 | 8 | 9 | 10 | 13..=18)),
        // Errors are the types below 128 (RFC 4443 §2.1).
        protocol::ICMPV6 => !matches!(view.payload().first(), Some(&kind) if kind >= 128 && kind != REDIRECT_V6),
        _ => false,
    }
}

/// An echo request or reply (RFC 792, RFC 4443 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Echo<'a> {
    /// Who sent it.
    pub source: IpAddr,
    /// Who should get it.
    pub destination: IpAddr,
    /// A reply rather than a request.
    pub is_reply: bool,
    /// Tells one pinger from another.
    pub identifier: u16,
    /// Counts a pinger's requests.
    pub sequence: u16,
    /// What a reply repeats.
    pub payload: &'a [u8],
}

/// Replaces `out` with an echo request.
///
/// # Errors
/// [`PacketError::AddressFamilies`] for mixed versions, [`PacketError::TooLong`] for too large a payload.
pub fn echo_request(
    source: IpAddr,
    destination: IpAddr,
    identifier: u16,
    sequence: u16,
    payload: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), PacketError> {
    let echo = Echo { source, destination, is_reply: false, identifier, sequence, payload };
    build_echo(&echo, out)
}

/// Replaces `out` with the reply to `request`: addresses swapped, everything else repeated.
///
/// # Errors
/// As [`echo_request`].
pub fn echo_reply(request: &Echo<'_>, out: &mut Vec<u8>) -> Result<(), PacketError> {
    let reply = Echo { source: request.destination, destination: request.source, is_reply: true, ..*request };
    build_echo(&reply, out)
}

fn build_echo(echo: &Echo<'_>, out: &mut Vec<u8>) -> Result<(), PacketError> {
    let (number, kind) = match (echo.source, echo.is_reply) {
        (IpAddr::V4(_), false) => (protocol::ICMP, ECHO_REQUEST),
        (IpAddr::V4(_), true) => (protocol::ICMP, ECHO_REPLY),
        (IpAddr::V6(_), false) => (protocol::ICMPV6, ECHO_REQUEST_V6),
        (IpAddr::V6(_), true) => (protocol::ICMPV6, ECHO_REPLY_V6),
    };
    let [id_high, id_low] = echo.identifier.to_be_bytes();
    let [seq_high, seq_low] = echo.sequence.to_be_bytes();
    let upper = [kind, 0, 0, 0, id_high, id_low, seq_high, seq_low];
    let header = IpHeader::new(echo.source, echo.destination, number);
    assemble(&header, &upper, 2, echo.payload, out)
}

/// The echo message in `packet`; `None` for anything else, a fragment, or a wrong checksum.
#[must_use]
pub fn parse_echo(packet: &[u8]) -> Option<Echo<'_>> {
    let view = IpView::parse(packet).ok()?;
    let (header, payload) = view.payload().split_at_checked(8)?;
    let is_reply = match (view.version(), view.protocol(), *header.first()?) {
        (IpVersion::V4, protocol::ICMP, ECHO_REQUEST) => false,
        (IpVersion::V4, protocol::ICMP, ECHO_REPLY) => true,
        (IpVersion::V6, protocol::ICMPV6, ECHO_REQUEST_V6) => false,
        (IpVersion::V6, protocol::ICMPV6, ECHO_REPLY_V6) => true,
        _ => return None,
    };
    if *header.get(1)? != 0 || checksum::verify_transport(&view) != checksum::Verdict::Valid {
        return None;
    }
    Some(Echo {
        source: view.source(),
        destination: view.destination(),
        is_reply,
        identifier: u16_at(header, 4)?,
        sequence: u16_at(header, 6)?,
        payload,
    })
}

/// A received "fragmentation needed" or Packet Too Big.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooBig<'a> {
    /// MTU of the next hop, in bytes; zero from a router older than RFC 1191.
    pub mtu: u32,
    /// The start of the packet that did not fit, usually cut short.
    pub quoted: &'a [u8],
}

/// The too-big message in `packet`; `None` for anything else or a wrong checksum. Whether the quoted packet is one we
/// sent is the caller's to check before believing it (RFC 5927 §7).
#[must_use]
pub fn parse_too_big(packet: &[u8]) -> Option<TooBig<'_>> {
    let view = IpView::parse(packet).ok()?;
    let (header, quoted) = view.payload().split_at_checked(8)?;
    let [kind, code, _, _, a, b, c, d] = *header.first_chunk::<8>()?;
    let mtu = match (view.version(), view.protocol(), kind, code) {
        (IpVersion::V4, protocol::ICMP, 3, 4) => u32::from(u16::from_be_bytes([c, d])),
        (IpVersion::V6, protocol::ICMPV6, 2, _) => u32::from_be_bytes([a, b, c, d]),
        _ => return None,
    };
    if checksum::verify_transport(&view) != checksum::Verdict::Valid {
        return None;
    }
    Some(TooBig { mtu, quoted })
}

#[cfg(test)]
mod tests {
    use core::net::{Ipv6Addr, SocketAddr};

    use super::*;
    use crate::build;
    use crate::checksum::{Verdict, verify_ipv4_header, verify_transport};

    fn v4(last: u8) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(10, 0, 0, last))
    }

    fn v6(last: u16) -> IpAddr {
        IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last))
    }

    fn datagram(source: IpAddr, destination: IpAddr, length: usize) -> Vec<u8> {
        let mut packet = Vec::new();
        let at = |ip| SocketAddr::new(ip, 9);
        build::udp(at(source), at(destination), &vec![0x5a; length], &mut packet).unwrap();
        packet
    }

    type Builder = fn(&[u8], IpAddr, &mut Vec<u8>) -> Result<(), Silence>;

    fn net(original: &[u8], ours: IpAddr, out: &mut Vec<u8>) -> Result<(), Silence> {
        unreachable(original, Unreachable::Net, ours, out)
    }

    fn host(original: &[u8], ours: IpAddr, out: &mut Vec<u8>) -> Result<(), Silence> {
        unreachable(original, Unreachable::Host, ours, out)
    }

    fn prohibited(original: &[u8], ours: IpAddr, out: &mut Vec<u8>) -> Result<(), Silence> {
        unreachable(original, Unreachable::AdminProhibited, ours, out)
    }

    fn big(original: &[u8], ours: IpAddr, out: &mut Vec<u8>) -> Result<(), Silence> {
        too_big(original, 1438, ours, out)
    }

    #[test]
    fn each_error_has_its_type_code_and_quotation_in_both_versions() {
        type Row = (&'static str, Builder, [u8; 2], [u8; 2], [u8; 4]);
        let table: [Row; 5] = [
            ("too big", big, [3, 4], [2, 0], [0, 0, 0x05, 0x9e]),
            ("net", net, [3, 0], [1, 0], [0; 4]),
            ("host", host, [3, 1], [1, 3], [0; 4]),
            ("prohibited", prohibited, [3, 13], [1, 1], [0; 4]),
            ("time", time_exceeded, [11, 0], [3, 0], [0; 4]),
        ];
        for (name, builder, kind_v4, kind_v6, rest) in table {
            for length in [0, 100, 1500] {
                for (from, to, ours, kind, most) in
                    [(v4(1), v4(2), v4(254), kind_v4, 576), (v6(1), v6(2), v6(254), kind_v6, 1280)]
                {
                    let original = datagram(from, to, length);
                    let mut out = vec![0xff; 9];
                    builder(&original, ours, &mut out).unwrap();
                    let view = IpView::parse(&out).unwrap();
                    assert_eq!((view.source(), view.destination()), (ours, from), "{name}");
                    assert_eq!(view.total_len(), out.len());
                    assert_eq!(verify_transport(&view), Verdict::Valid, "{name}");
                    if view.version() == IpVersion::V4 {
                        assert!(verify_ipv4_header(&out[..20]));
                    }
                    let (header, quoted) = view.payload().split_at(8);
                    assert_eq!(header[..2], kind, "{name}");
                    assert_eq!(header[4..], rest, "{name}");
                    let expected = original.len().min(most - view.transport_offset() - 8);
                    assert_eq!(quoted, &original[..expected], "{name} {length}");
                }
            }
        }
    }

    #[test]
    fn what_must_not_be_answered_is_not() {
        let fragment = |mut packet: Vec<u8>| {
            packet[7] = 1;
            packet
        };
        let from = |a, b, c, d| datagram(IpAddr::V4(Ipv4Addr::new(a, b, c, d)), v4(2), 8);
        let to = |a, b, c, d| datagram(v4(1), IpAddr::V4(Ipv4Addr::new(a, b, c, d)), 8);
        let mut error = Vec::new();
        net(&datagram(v4(1), v4(2), 8), v4(2), &mut error).unwrap();
        let mut error_v6 = Vec::new();
        net(&datagram(v6(1), v6(2), 8), v6(2), &mut error_v6).unwrap();
        let v6_multicast = IpAddr::V6(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1));
        let table = [
            ("later fragment", fragment(datagram(v4(1), v4(2), 8)), Silence::LaterFragment),
            ("unspecified source", from(0, 0, 0, 0), Silence::SourceNotUnicast),
            ("loopback source", from(127, 0, 0, 1), Silence::SourceNotUnicast),
            ("multicast source", from(224, 0, 0, 1), Silence::SourceNotUnicast),
            ("broadcast source", from(255, 255, 255, 255), Silence::SourceNotUnicast),
            ("reserved source", from(240, 0, 0, 1), Silence::SourceNotUnicast),
            ("multicast", to(239, 1, 1, 1), Silence::ManyDestinations),
            ("broadcast", to(255, 255, 255, 255), Silence::ManyDestinations),
            ("ICMP error", error, Silence::IcmpError),
            ("ICMPv6 error", error_v6, Silence::IcmpError),
            ("unspecified v6", datagram(IpAddr::V6(Ipv6Addr::UNSPECIFIED), v6(1), 8), Silence::SourceNotUnicast),
            ("multicast v6", datagram(v6(1), v6_multicast, 8), Silence::ManyDestinations),
        ];
        for (name, original, silence) in table {
            let ours = if original[0] >> 4 == 4 { v4(254) } else { v6(254) };
            let mut out = Vec::new();
            assert_eq!(net(&original, ours, &mut out), Err(silence), "{name}");
            assert_eq!(time_exceeded(&original, ours, &mut out), Err(silence), "{name}");
        }
        let mut out = Vec::new();
        assert_eq!(big(&datagram(v6(1), v6_multicast, 8), v6(254), &mut out), Ok(()));
        assert_eq!(net(&datagram(v4(1), v4(2), 8), v6(254), &mut out), Err(Silence::OtherVersion));
        assert!(matches!(net(&[0x45, 0], v4(254), &mut out), Err(Silence::Malformed(_))));
    }

    #[test]
    fn icmp_queries_are_answered_and_unknown_or_cut_types_are_not() {
        for (kind, answered) in [(8_u8, true), (0, true), (13, true), (3, false), (5, false), (11, false), (200, false)]
        {
            let mut packet = Vec::new();
            echo_request(v4(1), v4(2), 1, 1, b"", &mut packet).unwrap();
            packet[20] = kind;
            assert_eq!(net(&packet, v4(254), &mut Vec::new()).is_ok(), answered, "type {kind}");
        }
        for (kind, answered) in [(128_u8, true), (135, true), (1, false), (127, false), (137, false)] {
            let mut packet = Vec::new();
            echo_request(v6(1), v6(2), 1, 1, b"", &mut packet).unwrap();
            packet[40] = kind;
            assert_eq!(net(&packet, v6(254), &mut Vec::new()).is_ok(), answered, "type {kind}");
        }
        let mut cut = Vec::new();
        IpHeader::new(v4(1), v4(2), protocol::ICMP).append(0, &mut cut).unwrap();
        assert_eq!(net(&cut, v4(254), &mut Vec::new()), Err(Silence::IcmpError));
    }

    #[test]
    fn an_echo_is_parsed_and_its_reply_swaps_only_the_addresses() {
        for (here, there) in [(v4(1), v4(2)), (v6(1), v6(2))] {
            let mut request = Vec::new();
            echo_request(here, there, 0xbeef, 0xfffe, b"abc", &mut request).unwrap();
            let echo = parse_echo(&request).unwrap();
            assert_eq!((echo.source, echo.destination, echo.is_reply), (here, there, false));
            assert_eq!((echo.identifier, echo.sequence, echo.payload), (0xbeef, 0xfffe, &b"abc"[..]));
            let mut reply = Vec::new();
            echo_reply(&echo, &mut reply).unwrap();
            let answer = parse_echo(&reply).unwrap();
            let expected = Echo { source: there, destination: here, is_reply: true, ..echo };
            assert_eq!(answer, expected);
            let last = request.len() - 1;
            request[last] ^= 1;
            assert_eq!(parse_echo(&request), None, "a damaged echo is none");
            request[last] ^= 1;
            let start = IpView::parse(&request).unwrap().transport_offset();
            request[start + 1] = 1;
            let sum = u16::from_be_bytes([request[start + 2], request[start + 3]]);
            let sum = checksum::update(sum, 0, 1);
            request[start + 2..start + 4].copy_from_slice(&sum.to_be_bytes());
            let verdict = verify_transport(&IpView::parse(&request).unwrap());
            assert_eq!(verdict, Verdict::Valid);
            assert_eq!(parse_echo(&request), None, "an echo has the code zero");
        }
        assert_eq!(echo_request(v4(1), v6(1), 0, 0, b"", &mut Vec::new()), Err(PacketError::AddressFamilies));
        let huge = vec![0; 65_600];
        assert!(matches!(echo_request(v4(1), v4(2), 0, 0, &huge, &mut Vec::new()), Err(PacketError::TooLong(_))));
    }

    #[test]
    fn a_too_big_message_is_read_back() {
        for (from, to, ours) in [(v4(1), v4(2), v4(254)), (v6(1), v6(2), v6(254))] {
            let original = datagram(from, to, 60);
            let mut out = Vec::new();
            too_big(&original, 1280, ours, &mut out).unwrap();
            let message = parse_too_big(&out).unwrap();
            assert_eq!((message.mtu, message.quoted), (1280, &original[..]));
            time_exceeded(&original, ours, &mut out).unwrap();
            assert_eq!(parse_too_big(&out), None);
        }
    }
}
