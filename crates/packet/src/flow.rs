//! The selector fields of a packet: addresses, protocol and ports (RFC 4301 §4.4.1.1, RFC 7296 §3.13.1).

use core::net::IpAddr;

use crate::octets::u16_at;
use crate::{IpView, PacketError, protocol};

/// What traffic selectors and flow tables compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowKey {
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// Upper-layer protocol, see [`IpView::protocol`].
    pub protocol: u8,
    /// Source port of TCP, UDP, UDP-Lite, SCTP and DCCP. For ICMP and ICMPv6 the type in the upper and the code in the
    /// lower eight bits; for the mobility header its type in the upper eight (RFC 7296 §3.13.1).
    pub source_port: u16,
    /// Destination port. Zero for ICMP and the mobility header, whose single number is in `source_port`.
    pub destination_port: u16,
    /// False where the packet shows no ports: fragments after the first, protocols without ports, a transport header
    /// cut short. Both port fields are zero then, and only a selector for all ports (or OPAQUE) may match.
    pub ports_known: bool,
}

impl FlowKey {
    /// The key of a packet already parsed.
    #[must_use]
    pub fn of(view: &IpView<'_>) -> Self {
        let ports = if view.fragment_offset() == 0 { ports(view.protocol(), view.payload()) } else { None };
        let (source_port, destination_port) = ports.unwrap_or_default();
        Self {
            source: view.source(),
            destination: view.destination(),
            protocol: view.protocol(),
            source_port,
            destination_port,
            ports_known: ports.is_some(),
        }
    }
}

/// The key of `packet`.
///
/// # Errors
/// [`PacketError`] where [`IpView::parse`] fails.
pub fn flow_key(packet: &[u8]) -> Result<FlowKey, PacketError> {
    IpView::parse(packet).map(|view| FlowKey::of(&view))
}

fn ports(number: u8, transport: &[u8]) -> Option<(u16, u16)> {
    match number {
        protocol::TCP | protocol::UDP | protocol::UDP_LITE | protocol::SCTP | protocol::DCCP => {
            Some((u16_at(transport, 0)?, u16_at(transport, 2)?))
        }
        protocol::ICMP | protocol::ICMPV6 => Some((u16_at(transport, 0)?, 0)),
        protocol::MOBILITY => Some((u16::from(*transport.get(2)?) << 8, 0)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;

    use super::*;
    use crate::build::IpHeader;

    fn packet(number: u8, upper: &[u8]) -> Vec<u8> {
        let source = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
        let destination = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));
        let mut bytes = Vec::new();
        IpHeader::new(source, destination, number).append(upper.len(), &mut bytes).unwrap();
        bytes.extend_from_slice(upper);
        bytes
    }

    #[test]
    fn each_protocol_shows_its_selector_fields() {
        type Row = (&'static str, u8, &'static [u8], Option<(u16, u16)>);
        let table: [Row; 12] = [
            ("TCP", 6, &[0x01, 0xbb, 0x9c, 0x40], Some((443, 40_000))),
            ("UDP", 17, &[0x11, 0x94, 0x01, 0xf4, 0, 8, 0, 0], Some((4500, 500))),
            ("UDP-Lite", 136, &[0, 1, 0, 2], Some((1, 2))),
            ("SCTP", 132, &[0, 3, 0, 4], Some((3, 4))),
            ("DCCP", 33, &[0, 5, 0, 6], Some((5, 6))),
            ("ICMP admin prohibited", 1, &[3, 13, 0, 0], Some((0x030d, 0))),
            ("ICMPv6 echo", 58, &[128, 0, 0, 0], Some((0x8000, 0))),
            ("mobility", 135, &[59, 0, 5, 0], Some((0x0500, 0))),
            ("GRE has none", 47, &[0, 0, 8, 0], None),
            ("ESP has none", 50, &[1, 2, 3, 4], None),
            ("TCP cut short", 6, &[0x01, 0xbb, 0x9c], None),
            ("empty ICMP", 1, &[], None),
        ];
        for (name, number, upper, ports) in table {
            let key = flow_key(&packet(number, upper)).unwrap();
            assert_eq!(key.protocol, number, "{name}");
            assert_eq!(key.ports_known, ports.is_some(), "{name}");
            assert_eq!((key.source_port, key.destination_port), ports.unwrap_or((0, 0)), "{name}");
        }
    }

    #[test]
    fn only_the_first_fragment_shows_its_ports() {
        let mut bytes = packet(17, &[0x11, 0x94, 0x01, 0xf4, 0, 8, 0, 0]);
        bytes[6] = 0x20;
        assert!(flow_key(&bytes).unwrap().ports_known);
        bytes[7] = 1;
        let key = flow_key(&bytes).unwrap();
        assert!(!key.ports_known);
        assert_eq!((key.source_port, key.destination_port), (0, 0));
    }
}
