//! Outer packets as a capture shows them: IKE and ESP with the IP and UDP headers that the sockets keep to themselves, made again
//! from addresses, ports, TOS and DF; and in words what a packet is and what became of it.
//!
//! What a socket does not tell is not invented: identification is 0, the TTL 64, and there are no options or fragments.

use ike::config::Path;
use ipsec::{DropReason, Spi};
use packet::build::{IpHeader, udp_with};
use packet::protocol;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// Octets of the non-ESP marker (RFC 3948 §2.2).
const MARKER: [u8; 4] = [0; 4];

/// Where an outer packet went, and how it was marked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Way {
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
    /// In UDP; else protocol 50, and the ports mean nothing.
    pub(super) udp: bool,
    pub(super) tos: u8,
    pub(super) dont_fragment: bool,
}

impl Way {
    /// In UDP, from the peer to us.
    pub(super) fn inbound(path: &Path, tos: u8) -> Way {
        Way { source: path.remote, destination: path.local, udp: true, tos, dont_fragment: true }
    }

    /// In UDP, from us to the peer.
    pub(super) fn outbound(path: &Path) -> Way {
        Way { source: path.local, destination: path.remote, udp: true, tos: 0, dont_fragment: true }
    }

    /// The whole packet; `None` where there is none of that length, or both ends are of different versions of IP.
    pub(super) fn packet(&self, payload: &[u8]) -> Option<Vec<u8>> {
        let number = if self.udp { protocol::UDP } else { protocol::ESP };
        // An end that the kernel did not tell is the unspecified address of the other's version.
        let mut header = IpHeader::new(self.source.ip(), self.destination.ip(), number);
        header.tos = self.tos;
        header.dont_fragment = self.dont_fragment;
        let mut packet = Vec::with_capacity(payload.len() + 48);
        if self.udp {
            udp_with(&header, self.source.port(), self.destination.port(), payload, &mut packet).ok()?;
        } else {
            header.append(payload.len(), &mut packet).ok()?;
            packet.extend_from_slice(payload);
        }
        Some(packet)
    }
}

/// An IKE message as it is on the wire: with the marker on the NAT-T port.
pub(super) fn ike_payload(nat_port: bool, message: &[u8]) -> Vec<u8> {
    if nat_port { [&MARKER, message].concat() } else { message.to_vec() }
}

/// What a packet is and what became of it; put in words only when it is written.
#[derive(Debug, Clone)]
pub(super) enum Note {
    /// ESP from the peer.
    EspIn { start: [u8; 8], verdict: Result<(), DropReason> },
    /// ESP to the peer.
    EspOut { start: [u8; 8], verdict: Sent },
    /// An IKE message: its header, and what came of it.
    Ike { header: IkeHeader, inbound: bool, outcome: String },
    /// One octet that keeps a NAT's mapping (RFC 3948 §2.3).
    Keepalive,
    /// What a tunnel brought.
    InnerIn { spi: Option<Spi> },
    /// What is to enter a tunnel.
    InnerOut { spi: Option<Spi>, verdict: Result<(), DropReason> },
}

/// What became of a packet that was sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    /// The kernel has it.
    Yes,
    /// The kernel did not take it.
    No(DropReason),
    /// The kernel refused so many of the packets that were sent at once, and which is not known.
    Some { refused: usize, of: usize, reason: DropReason },
}

impl Note {
    /// A datagram on the ESP path, by its first octets; zeros where it is shorter.
    pub(super) fn start(datagram: &[u8]) -> [u8; 8] {
        let mut start = [0; 8];
        start.iter_mut().zip(datagram).for_each(|(to, from)| *to = *from);
        start
    }
}

struct Esp([u8; 8]);

impl fmt::Display for Esp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g, h, i] = self.0;
        let (spi, sequence) = (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, g, h, i]));
        write!(f, "ESP SPI 0x{spi:08x} sequence {sequence}")
    }
}

/// Empty, or ` SPI 0x…` with a word before it.
struct With<'a>(&'a str, Option<Spi>);

impl fmt::Display for With<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.1.map_or(Ok(()), |spi| write!(f, " {} SPI {spi}", self.0))
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Note::EspIn { start, verdict: Ok(()) } => write!(f, "{} in: decrypted", Esp(*start)),
            Note::EspIn { start, verdict: Err(reason) } => write!(f, "{} in: dropped: {}", Esp(*start), reason.name()),
            Note::EspOut { start, verdict: Sent::Yes } => write!(f, "{} out: sent", Esp(*start)),
            Note::EspOut { start, verdict: Sent::No(reason) } => {
                write!(f, "{} out: dropped: {}", Esp(*start), reason.name())
            }
            Note::EspOut { start, verdict: Sent::Some { refused, of, reason } } => {
                let start = Esp(*start);
                write!(f, "{start} out: sent, or one of {refused} in {of} dropped: {}", reason.name())
            }
            Note::Ike { header, inbound, outcome } => {
                write!(f, "{header} {}: {outcome}", if *inbound { "in" } else { "out" })
            }
            Note::Keepalive => f.write_str("NAT keepalive"),
            Note::InnerIn { spi } => write!(f, "inner in{}", With("from", *spi)),
            Note::InnerOut { spi: None, verdict: Ok(()) } => f.write_str("inner out: waits until its tunnel is up"),
            Note::InnerOut { spi, verdict: Ok(()) } => write!(f, "inner out{}", With("into", *spi)),
            Note::InnerOut { spi, verdict: Err(reason) } => {
                write!(f, "inner out{}: dropped: {}", With("for", *spi), reason.name())
            }
        }
    }
}

/// The fixed header of an IKE message, versions 1 and 2 (RFC 2408 §3.1, RFC 7296 §3.1), as far as a comment tells of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct IkeHeader {
    pub(super) initiator_spi: u64,
    pub(super) responder_spi: u64,
    major: u8,
    exchange: u8,
    flags: u8,
    message_id: u32,
}

impl IkeHeader {
    /// Of a message from its initiator SPI on; `None` where it is too short to be one.
    pub(super) fn of(message: &[u8]) -> Option<IkeHeader> {
        let (initiator_spi, rest) = message.split_first_chunk::<8>()?;
        let (responder_spi, rest) = rest.split_first_chunk::<8>()?;
        let ([_next, version, exchange, flags], rest) = rest.split_first_chunk::<4>()?;
        let message_id = rest.first_chunk::<4>()?;
        Some(IkeHeader {
            initiator_spi: u64::from_be_bytes(*initiator_spi),
            responder_spi: u64::from_be_bytes(*responder_spi),
            major: version >> 4,
            exchange: *exchange,
            flags: *flags,
            message_id: u32::from_be_bytes(*message_id),
        })
    }

    /// A header that is none, for what is too short.
    pub(super) const NONE: IkeHeader =
        IkeHeader { initiator_spi: 0, responder_spi: 0, major: 0, exchange: 0, flags: 0, message_id: 0 };

    fn exchange(&self) -> &'static str {
        match (self.major, self.exchange) {
            (2, 34) => "IKE_SA_INIT",
            (2, 35) => "IKE_AUTH",
            (2, 36) => "CREATE_CHILD_SA",
            (2, 37) => "INFORMATIONAL",
            (1, 2) => "main mode",
            (1, 4) => "aggressive mode",
            (1, 5) => "informational",
            (1, 32) => "quick mode",
            _ => "unknown exchange",
        }
    }

    fn kind(&self) -> &'static str {
        match (self.major, self.flags & 0x20 != 0, self.flags & 1 != 0) {
            (1, _, true) => "encrypted",
            (1, _, false) => "in clear",
            (_, true, _) => "response",
            (_, false, _) => "request",
        }
    }
}

impl fmt::Display for IkeHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == IkeHeader::NONE {
            return f.write_str("too short for IKE");
        }
        let (i, r) = (self.initiator_spi, self.responder_spi);
        let id = self.message_id;
        write!(f, "IKEv{} {} {}, message ID {id}, SPIs {i:016x} {r:016x}", self.major, self.exchange(), self.kind())
    }
}

/// The address of an end, if the kernel told it.
pub(super) fn told(address: Option<IpAddr>, other: IpAddr) -> IpAddr {
    let unspecified = if other.is_ipv4() { IpAddr::from([0; 4]) } else { IpAddr::from([0; 16]) };
    address.filter(|address| address.is_ipv4() == other.is_ipv4()).unwrap_or(unspecified)
}

#[cfg(test)]
mod tests {
    use super::*;
    use packet::checksum::{Verdict, verify_ipv4_header, verify_transport};
    use packet::{IpVersion, IpView};

    fn way(source: &str, destination: &str, udp: bool) -> Way {
        let (source, destination) = (source.parse().unwrap(), destination.parse().unwrap());
        Way { source, destination, udp, tos: 0x2e, dont_fragment: true }
    }

    #[test]
    fn headers_that_no_socket_gave_have_right_lengths_and_checksums() {
        let payload = [7; 61];
        let udp = way("192.0.2.1:4500", "198.51.100.2:62001", true).packet(&payload).unwrap();
        assert_eq!((udp.len(), udp[1], udp[9]), (20 + 8 + 61, 0x2e, 17));
        assert!(verify_ipv4_header(&udp[..20]));
        assert_eq!(verify_transport(&IpView::parse(&udp).unwrap()), Verdict::Valid);
        let v6 = way("[2001:db8::1]:500", "[2001:db8::2]:500", true).packet(&payload).unwrap();
        assert_eq!(IpView::parse(&v6).unwrap().version(), IpVersion::V6);
        assert_eq!(verify_transport(&IpView::parse(&v6).unwrap()), Verdict::Valid);
        let esp = way("192.0.2.1:0", "198.51.100.2:0", false).packet(&payload).unwrap();
        assert_eq!((esp.len(), esp[9]), (20 + 61, 50));
        assert!(verify_ipv4_header(&esp[..20]));
        assert_eq!(esp[20..], payload);
        assert!(way("192.0.2.1:1", "[2001:db8::2]:2", true).packet(&payload).is_none());
    }

    #[test]
    fn comments_say_what_a_packet_is_and_what_became_of_it() {
        let start = [0, 0, 0xc0, 0xde, 0, 0, 0, 9];
        let dropped = Note::EspIn { start, verdict: Err(DropReason::Replay) };
        assert_eq!(dropped.to_string(), "ESP SPI 0x0000c0de sequence 9 in: dropped: replay");
        let sent = Note::EspOut { start, verdict: Sent::Yes };
        assert_eq!(sent.to_string(), "ESP SPI 0x0000c0de sequence 9 out: sent");
        let spi = Spi::new(0xc0de);
        assert_eq!(Note::InnerIn { spi }.to_string(), "inner in from SPI 0x0000c0de");
        let waits = Note::InnerOut { spi: None, verdict: Ok(()) };
        assert_eq!(waits.to_string(), "inner out: waits until its tunnel is up");
        let no_tunnel = Note::InnerOut { spi: None, verdict: Err(DropReason::NoTunnel) };
        assert_eq!(no_tunnel.to_string(), "inner out: dropped: no_tunnel");
        let mut message = [[0x11; 8], [0x22; 8]].concat();
        message.extend([46, 0x20, 35, 0x20, 0, 0, 0, 1]);
        let header = IkeHeader::of(&message).unwrap();
        let ike = Note::Ike { header, inbound: true, outcome: "taken".into() };
        let expected = "IKEv2 IKE_AUTH response, message ID 1, SPIs 1111111111111111 2222222222222222 in: taken";
        assert_eq!(ike.to_string(), expected);
        message.splice(17..20, [0x10, 2, 1]);
        let main = IkeHeader::of(&message).unwrap().to_string();
        assert!(main.starts_with("IKEv1 main mode encrypted, message ID 1"), "{main}");
        assert_eq!(IkeHeader::of(&message[..23]), None);
    }
}
