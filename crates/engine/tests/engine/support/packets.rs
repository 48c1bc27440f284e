//! Packets of the hosts behind the gateways, and streams of them.

use super::config::ip;
use packet::build::{self, IpHeader, TcpHeader};
use packet::offload::{GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4, NEEDS_CSUM, VnetHeader};
use packet::{IpView, protocol};
use sim::NodeId;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// In every payload, so that it is found where it must not be.
pub const MARKER: &[u8] = b"THIS MUST NEVER BE SEEN";
/// The port of streams.
const STREAM_PORT: u16 = 7777;

/// No packet of either stream.
pub const NOTHING: [Vec<u64>; 2] = [Vec::new(), Vec::new()];

/// The host behind an end.
pub fn host(node: NodeId, v6: bool) -> IpAddr {
    ip(match (node.0, v6) {
        (0, false) => "10.1.0.5",
        (_, false) => "10.2.0.9",
        (0, true) => "fd00:1::5",
        (_, true) => "fd00:2::9",
    })
}

/// A payload of so many octets, the marker again and again.
pub fn payload(length: usize) -> Vec<u8> {
    MARKER.iter().copied().cycle().take(length).collect()
}

/// A header from the host behind `from` to the other one.
pub fn header(from: NodeId, v6: bool) -> IpHeader {
    IpHeader::new(host(from, v6), host(NodeId(1 - from.0), v6), protocol::UDP)
}

/// A UDP packet from the host behind `from` with this header and so many octets of payload.
pub fn udp_with(header: &IpHeader, length: usize) -> Vec<u8> {
    let mut packet = Vec::new();
    build::udp_with(header, 4000, 5000, &payload(length), &mut packet).expect("fits");
    packet
}

/// A UDP packet from the host behind `from`.
pub fn udp(from: NodeId, v6: bool, length: usize) -> Vec<u8> {
    udp_with(&header(from, v6), length)
}

/// A UDP packet between any two sockets.
pub fn udp_between(from: &str, to: &str, length: usize) -> Vec<u8> {
    let socket = |text: &str| -> SocketAddr { text.parse().expect("address and port") };
    let mut packet = Vec::new();
    build::udp(socket(from), socket(to), &payload(length), &mut packet).expect("fits");
    packet
}

/// A TCP segment with these flags and options.
pub fn tcp(from: NodeId, v6: bool, flags: u8, options: &[u8], length: usize) -> Vec<u8> {
    let fields = TcpHeader {
        source_port: 4000,
        destination_port: 443,
        sequence: 1000,
        acknowledgement: 1,
        flags,
        window: 500,
        options,
    };
    let mut packet = Vec::new();
    build::tcp(&header(from, v6), &fields, &payload(length), &mut packet).expect("fits");
    packet
}

/// The offload header of a super-packet of this protocol and segment size.
pub fn super_header(v6: bool, udp: bool, size: u16) -> VnetHeader {
    let (gso_type, csum_offset) = match (udp, v6) {
        (true, _) => (GSO_UDP_L4, 6),
        (false, false) => (GSO_TCPV4, 16),
        (false, true) => (GSO_TCPV6, 16),
    };
    let ip = if v6 { 40 } else { 20 };
    let hdr_len = ip + if udp { 8 } else { 20 };
    VnetHeader { flags: NEEDS_CSUM, gso_type, hdr_len, gso_size: size, csum_start: ip, csum_offset }
}

/// The number a packet of a stream carries.
pub fn counter_of(packet: &[u8]) -> Option<u64> {
    let view = IpView::parse(packet).ok()?;
    let (udp, payload) = view.payload().split_at_checked(8)?;
    let ports = udp.first_chunk::<4>()?;
    let stream = u16::from_be_bytes([ports[2], ports[3]]) == STREAM_PORT;
    if view.protocol() != protocol::UDP || !stream || view.is_fragment() {
        return None;
    }
    let (counter, marker) = payload.split_first_chunk::<8>()?;
    (marker == MARKER).then(|| u64::from_be_bytes(*counter))
}

/// Packets sent at a rate, and what arrived of the other end's.
#[derive(Default)]
pub struct Stream {
    from: Option<NodeId>,
    interval: Duration,
    next: Option<Instant>,
    /// Packets sent.
    pub sent: u64,
    /// Packets of the other end's stream that arrived.
    pub received: u64,
    /// Packets that arrived a second time.
    pub twice: u64,
    /// Send no IPv6.
    pub only_v4: bool,
    seen: Vec<bool>,
}

impl Stream {
    /// Starts sending from the host behind `from`, every `interval`.
    pub fn start(&mut self, from: NodeId, interval: Duration, now: Instant) {
        self.from = Some(from);
        self.interval = interval;
        self.next = Some(now);
    }

    /// Stops sending.
    pub fn stop(&mut self) {
        self.next = None;
    }

    /// When the next packet is due.
    pub fn next(&self) -> Option<Instant> {
        self.next
    }

    /// The packet that is due; both IP versions in turn.
    pub fn due(&mut self, now: Instant) -> Option<Vec<u8>> {
        let (from, next) = (self.from?, self.next?);
        if next > now {
            return None;
        }
        self.next = Some(next + self.interval);
        let header = header(from, self.sent % 2 == 1 && !self.only_v4);
        let body = [&self.sent.to_be_bytes(), MARKER].concat();
        let mut packet = Vec::new();
        build::udp_with(&header, 4000, STREAM_PORT, &body, &mut packet).expect("fits");
        self.sent += 1;
        Some(packet)
    }

    /// A packet of the other end's stream arrived.
    pub fn count(&mut self, counter: u64) {
        let index = usize::try_from(counter).unwrap_or(usize::MAX).min(10_000_000);
        if self.seen.len() <= index {
            self.seen.resize(index + 1, false);
        }
        if std::mem::replace(&mut self.seen[index], true) {
            self.twice += 1;
        } else {
            self.received += 1;
        }
    }

    /// The numbers below `sent` that did not arrive.
    pub fn missing(&self, sent: u64) -> Vec<u64> {
        (0..sent).filter(|index| !self.seen.get(*index as usize).copied().unwrap_or(false)).collect()
    }
}
