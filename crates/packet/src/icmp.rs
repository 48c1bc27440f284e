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
pub fn too_big(
    original: &[u8],
    mtu: u16,
    our_address: IpAddr,
    out: &mut Vec<u8>,
) -> Result<(), Silence> {
    let [high, low] = mtu.to_be_bytes();
    let message = Message {
        v4: [3, 4],
        v6: [2, 0],
        rest: [0, 0, high, low],
        answers_multicast_v6: true,
    };
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
    let message = Message {
        v4: [3, v4],
        v6: [1, v6],
        rest: [0; 4],
        answers_multicast_v6: false,
    };
    message.answer(original, our_address, out)
}

/// Replaces `out` with Time Exceeded in transit for `original`.
///
/// # Errors
/// As [`too_big`].
pub fn time_exceeded(
    original: &[u8],
    our_address: IpAddr,
    out: &mut Vec<u8>,
) -> Result<(), Silence> {
    let message = Message {
        v4: [11, 0],
        v6: [3, 0],
        rest: [0; 4],
        answers_multicast_v6: false,
    };
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
        let header = IpHeader {
            tos: ERROR_TOS,
            ..IpHeader::new(ours, view.source(), number)
        };
        Ok(assemble(
            &header,
            &[kind, code, 0, 0, a, b, c, d],
            2,
            quoted,
            out,
        )?)
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
        protocol::ICMPV6 => {
            !matches!(view.payload().first(), Some(&kind) if kind >= 128 && kind != REDIRECT_V6)
        }
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
    let echo = Echo {
        source,
        destination,
        is_reply: false,
        identifier,
        sequence,
        payload,
    };
    build_echo(&echo, out)
}

/// Replaces `out` with the reply to `request`: addresses swapped, everything else repeated.
///
/// # Errors
/// As [`echo_request`].
pub fn echo_reply(request: &Echo<'_>, out: &mut Vec<u8>) -> Result<(), PacketError> {
    let reply = Echo {
        source: request.destination,
        destination: request.source,
        is_reply: true,
        ..*request
    };
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
