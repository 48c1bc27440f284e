//! Which flow an ICMP error is about (RFC 4301 §6, RFC 792, RFC 4443 §2.4): the packet it quotes, cut short as that is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use packet::{FlowKey, IpVersion, IpView, protocol};

use crate::selector::has_ports;

/// ICMP header in front of the quoted packet.
const ICMP_HEADER_LEN: usize = 8;

/// The flow of the packet quoted in an ICMP or ICMPv6 error; `None` for any other packet and for fragments.
pub(crate) fn offending_flow(packet: &[u8]) -> Option<FlowKey> {
    let view = IpView::parse(packet).ok()?;
    let (header, quoted) = view.payload().split_at_checked(ICMP_HEADER_LEN)?;
    if view.is_fragment() {
        return None;
    }
    match (view.version(), view.protocol(), *header.first()?) {
        // Destination unreachable, source quench, time exceeded, parameter problem.
        (IpVersion::V4, protocol::ICMP, 3 | 4 | 11 | 12) => quoted_v4(quoted),
        // Destination unreachable, packet too big, time exceeded, parameter problem.
        (IpVersion::V6, protocol::ICMPV6, 1..=4) => quoted_v6(quoted),
        _ => None,
    }
}

fn quoted_v4(quoted: &[u8]) -> Option<FlowKey> {
    let fixed = quoted.first_chunk::<20>()?;
    let header_len = usize::from(fixed[0] & 0x0f) * 4;
    let is_v4 = IpVersion::of(quoted) == Some(IpVersion::V4);
    let is_first = u16::from_be_bytes([fixed[6], fixed[7]]) & 0x1fff == 0;
    let address = |at: usize| {
        let octets = fixed.get(at..)?.first_chunk::<4>()?;
        Some(IpAddr::V4(Ipv4Addr::from(*octets)))
    };
    let transport = quoted.get(header_len..).filter(|_| is_first);
    (is_v4 && header_len >= 20).then(|| Some(flow(address(12)?, address(16)?, fixed[9], transport))).flatten()
}

/// A quoted packet with extension headers has no ports: only selectors for all ports match it.
fn quoted_v6(quoted: &[u8]) -> Option<FlowKey> {
    let fixed = quoted.first_chunk::<40>()?;
    let is_v6 = IpVersion::of(quoted) == Some(IpVersion::V6);
    let address = |at: usize| {
        let octets = fixed.get(at..)?.first_chunk::<16>()?;
        Some(IpAddr::V6(Ipv6Addr::from(*octets)))
    };
    is_v6.then(|| Some(flow(address(8)?, address(24)?, fixed[6], quoted.get(40..)))).flatten()
}

fn flow(source: IpAddr, destination: IpAddr, protocol: u8, transport: Option<&[u8]>) -> FlowKey {
    let ports = transport
        .filter(|_| has_ports(protocol))
        .and_then(|transport| transport.first_chunk::<4>())
        .map(|[a, b, c, d]| (u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d])));
    let (source_port, destination_port) = ports.unwrap_or_default();
    FlowKey { source, destination, protocol, source_port, destination_port, ports_known: ports.is_some() }
}
