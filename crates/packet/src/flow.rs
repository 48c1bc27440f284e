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
        let ports = if view.fragment_offset() == 0 {
            ports(view.protocol(), view.payload())
        } else {
            None
        };
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
