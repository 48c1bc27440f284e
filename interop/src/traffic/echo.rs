//! ICMP echo (RFC 792, RFC 4443): our own ping.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use crate::error::LabError;
use crate::sys;
use crate::world::NetNs;

/// Octets of the ICMP header.
const HEADER: usize = 8;
/// Octets of payload after the ICMP header, unless asked for another size.
const PAYLOAD: usize = 48;
/// Octets of the IPv4 and IPv6 headers in front of it.
const IP_HEADER: [usize; 2] = [20, 40];

/// What became of a series of echoes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EchoReport {
    /// Requests sent.
    pub sent: u32,
    /// Different replies received.
    pub received: u32,
}

impl std::fmt::Display for EchoReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{} echoes", self.received, self.sent)
    }
}

/// What became of one echo of a size of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SizedEcho {
    /// The reply came, whole.
    Answered,
    /// The stack knows that it is too big for the path, and sent nothing.
    TooBig,
    /// Nothing came.
    Silence,
}

/// The messages of one address family.
#[derive(Debug, Clone, Copy)]
struct Family {
    ipv6: bool,
    request: u8,
    reply: u8,
}

impl Family {
    fn of(address: IpAddr) -> Self {
        if address.is_ipv6() {
            Self { ipv6: true, request: 128, reply: 129 }
        } else {
            Self { ipv6: false, request: 8, reply: 0 }
        }
    }

    /// An echo request. The kernel computes the checksum of ICMPv6, for it covers addresses.
    fn request(self, identifier: u16, sequence: u16, payload: usize) -> Vec<u8> {
        let mut packet = vec![0; HEADER + payload];
        packet[0] = self.request;
        packet[4..6].copy_from_slice(&identifier.to_be_bytes());
        packet[6..8].copy_from_slice(&sequence.to_be_bytes());
        for (index, byte) in packet[HEADER..].iter_mut().enumerate() {
            *byte = index as u8;
        }
        if !self.ipv6 {
            let checksum = checksum(&packet);
            packet[2..4].copy_from_slice(&checksum.to_be_bytes());
        }
        packet
    }

    /// Whether what a raw socket received is the intact reply to `request`.
    fn is_reply(self, packet: &[u8], request: &[u8]) -> bool {
        let header = match packet.first() {
            Some(first) if !self.ipv6 => usize::from(first & 0x0f) * 4,
            Some(_) | None => 0,
        };
        let Some(icmp) = packet.get(header..).filter(|icmp| icmp.len() == request.len()) else {
            return false;
        };
        icmp[0] == self.reply && icmp[4..] == request[4..] && (self.ipv6 || checksum(icmp) == 0)
    }
}

/// Sends `count` echo requests from `from` to `to`, `patience` for each reply.
pub fn echo(from: &NetNs, to: impl Into<IpAddr>, count: u16, patience: Duration) -> Result<EchoReport, LabError> {
    let to = to.into();
    from.enter(|| {
        let family = Family::of(to);
        let socket = sys::raw_icmp_socket(family.ipv6).map_err(|error| LabError::harness("raw ICMP socket", error))?;
        let mut received = 0;
        for sequence in 0..count {
            let request = family.request(identifier(), sequence, PAYLOAD);
            // A refusal (no route, unreachable) is an echo without a reply.
            if socket.send_to(&request, SocketAddr::from((to, 0))).is_ok()
                && await_reply(&socket, to, &request, patience)
            {
                received += 1;
            }
        }
        Ok(EchoReport { sent: u32::from(count), received })
    })
}

/// Sends one echo request in an IP packet of `size` octets, header included, which may be fragmented or may not.
pub fn echo_sized(
    from: &NetNs,
    to: impl Into<IpAddr>,
    size: usize,
    dont_fragment: bool,
    patience: Duration,
) -> Result<SizedEcho, LabError> {
    let to = to.into();
    from.enter(|| {
        let family = Family::of(to);
        let harness = |error| LabError::harness("raw ICMP socket", error);
        let socket = sys::raw_icmp_socket(family.ipv6).map_err(harness)?;
        sys::dont_fragment(&socket, family.ipv6, dont_fragment).map_err(harness)?;
        let payload = size.saturating_sub(IP_HEADER[usize::from(family.ipv6)] + HEADER);
        let request = family.request(identifier(), (size & 0xffff) as u16, payload);
        match socket.send_to(&request, SocketAddr::from((to, 0))) {
            Ok(_) if await_reply(&socket, to, &request, patience) => Ok(SizedEcho::Answered),
            Err(error) if error.raw_os_error() == Some(libc::EMSGSIZE) => Ok(SizedEcho::TooBig),
            Ok(_) | Err(_) => Ok(SizedEcho::Silence),
        }
    })
}

fn identifier() -> u16 {
    (std::process::id() & 0xffff) as u16
}

fn await_reply(socket: &UdpSocket, from: IpAddr, request: &[u8], patience: Duration) -> bool {
    let end = Instant::now() + patience;
    let mut packet = vec![0u8; 65_536];
    while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        if socket.set_read_timeout(Some(left)).is_err() {
            return false;
        }
        let Ok((len, source)) = socket.recv_from(&mut packet) else {
            continue;
        };
        if source.ip() == from && Family::of(from).is_reply(&packet[..len], request) {
            return true;
        }
    }
    false
}

/// The Internet checksum (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let mut sum: u32 = pairs.iter().map(|pair| u32::from(u16::from_be_bytes(*pair))).sum();
    sum += rest.first().map_or(0, |last| u32::from(*last) << 8);
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded & 0xffff) + (folded >> 16)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    const V4: Family = Family { ipv6: false, request: 8, reply: 0 };

    #[test]
    fn a_reply_is_recognised_and_a_damaged_or_foreign_one_is_not() {
        for payload in [PAYLOAD, PAYLOAD + 1] {
            let request = V4.request(7, 9, payload);
            let mut icmp = request.clone();
            assert_eq!(checksum(&icmp), 0);
            icmp[0] = V4.reply;
            icmp[2..4].fill(0);
            let sum = checksum(&icmp).to_be_bytes();
            icmp[2..4].copy_from_slice(&sum);
            let mut packet = vec![0; 20];
            packet[0] = 0x45;
            packet.extend(icmp);
            assert!(V4.is_reply(&packet, &request));
            assert!(!V4.is_reply(&packet, &V4.request(7, 10, payload)));
            assert!(!V4.is_reply(&packet, &V4.request(8, 9, payload)));
            assert!(!V4.is_reply(&packet, &V4.request(7, 9, payload + 2)));
            assert!(!V4.is_reply(&packet[..40], &request));
            assert!(!V4.is_reply(&[], &request));
            packet[40] ^= 1;
            assert!(!V4.is_reply(&packet, &request));
        }
    }
}
