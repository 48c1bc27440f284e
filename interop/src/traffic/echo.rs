//! ICMP echo (RFC 792): our own ping.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use crate::error::LabError;
use crate::sys;
use crate::world::NetNs;

const ECHO_REQUEST: u8 = 8;
const ECHO_REPLY: u8 = 0;
/// Octets of payload after the ICMP header.
const PAYLOAD: usize = 48;

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

/// Sends `count` echo requests from `from` to `to`, `patience` for each reply.
pub fn echo(from: &NetNs, to: Ipv4Addr, count: u16, patience: Duration) -> Result<EchoReport, LabError> {
    from.enter(|| {
        let socket = sys::raw_icmp_socket().map_err(|error| LabError::harness("raw ICMP socket", error))?;
        let identifier = (std::process::id() & 0xffff) as u16;
        let mut received = 0;
        for sequence in 0..count {
            let request = request(identifier, sequence);
            // A refusal (no route, unreachable) is an echo without a reply.
            if socket.send_to(&request, SocketAddr::from((to, 0))).is_ok()
                && await_reply(&socket, to, identifier, sequence, patience)
            {
                received += 1;
            }
        }
        Ok(EchoReport { sent: u32::from(count), received })
    })
}

fn await_reply(socket: &UdpSocket, from: Ipv4Addr, identifier: u16, sequence: u16, patience: Duration) -> bool {
    let end = Instant::now() + patience;
    let mut packet = [0u8; 2048];
    while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        if socket.set_read_timeout(Some(left)).is_err() {
            return false;
        }
        let Ok((len, source)) = socket.recv_from(&mut packet) else {
            continue;
        };
        if source.ip() == from && is_reply(&packet[..len], identifier, sequence) {
            return true;
        }
    }
    false
}

/// An echo request with its checksum.
fn request(identifier: u16, sequence: u16) -> Vec<u8> {
    let mut packet = vec![0; 8 + PAYLOAD];
    packet[0] = ECHO_REQUEST;
    packet[4..6].copy_from_slice(&identifier.to_be_bytes());
    packet[6..8].copy_from_slice(&sequence.to_be_bytes());
    for (index, byte) in packet[8..].iter_mut().enumerate() {
        *byte = index as u8;
    }
    let checksum = checksum(&packet);
    packet[2..4].copy_from_slice(&checksum.to_be_bytes());
    packet
}

/// Whether an IPv4 packet is the intact reply to [`request`].
fn is_reply(packet: &[u8], identifier: u16, sequence: u16) -> bool {
    let header = packet.first().map_or(0, |first| usize::from(first & 0x0f) * 4);
    let Some(icmp) = packet.get(header..).filter(|icmp| icmp.len() == 8 + PAYLOAD) else {
        return false;
    };
    icmp[0] == ECHO_REPLY
        && checksum(icmp) == 0
        && icmp[4..6] == identifier.to_be_bytes()
        && icmp[6..8] == sequence.to_be_bytes()
        && icmp[8..] == request(identifier, sequence)[8..]
}

/// The Internet checksum (RFC 1071) of an even number of octets.
fn checksum(bytes: &[u8]) -> u16 {
    let sum: u32 = bytes.as_chunks::<2>().0.iter().map(|pair| u32::from(u16::from_be_bytes(*pair))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded & 0xffff) + (folded >> 16)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_recognised_and_a_damaged_or_foreign_one_is_not() {
        let mut icmp = request(7, 9);
        assert_eq!(checksum(&icmp), 0);
        icmp[0] = ECHO_REPLY;
        icmp[2..4].fill(0);
        let sum = checksum(&icmp).to_be_bytes();
        icmp[2..4].copy_from_slice(&sum);
        let mut packet = vec![0; 20];
        packet[0] = 0x45;
        packet.extend(icmp);
        assert!(is_reply(&packet, 7, 9));
        assert!(!is_reply(&packet, 7, 10));
        assert!(!is_reply(&packet, 8, 9));
        assert!(!is_reply(&packet[..40], 7, 9));
        assert!(!is_reply(&[], 7, 9));
        packet[40] ^= 1;
        assert!(!is_reply(&packet, 7, 9));
    }
}
