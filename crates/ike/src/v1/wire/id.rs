//! Identification: who somebody is in phase 1, one side of the traffic in phase 2 (RFC 2407 §4.6.2).

use super::{Cursor, WireError};
use crate::id::Id;
use ipsec::TrafficSelector;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const ID_IPV4_ADDR: u8 = 1;
const ID_IPV4_ADDR_SUBNET: u8 = 4;
const ID_IPV6_ADDR: u8 = 5;
const ID_IPV6_ADDR_SUBNET: u8 = 6;
const ID_IPV4_ADDR_RANGE: u8 = 7;
const ID_IPV6_ADDR_RANGE: u8 = 8;

/// An identification payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdPayload {
    /// ID Type.
    pub ty: u8,
    /// IP protocol; 0 is any.
    pub protocol: u8,
    /// Port; 0 is any.
    pub port: u16,
    /// Identification data.
    pub data: Vec<u8>,
    /// The body as on the wire: IDii_b of RFC 2409 §5.
    pub octets: Vec<u8>,
}

impl IdPayload {
    fn new(ty: u8, protocol: u8, port: u16, data: Vec<u8>) -> IdPayload {
        let mut octets = vec![ty, protocol];
        octets.extend_from_slice(&port.to_be_bytes());
        octets.extend_from_slice(&data);
        IdPayload { ty, protocol, port, data, octets }
    }

    pub(super) fn parse(body: &[u8]) -> Result<Self, WireError> {
        let mut cursor = Cursor::new(body, "ID payload");
        let (ty, protocol, port) = (cursor.u8()?, cursor.u8()?, cursor.u16()?);
        Ok(IdPayload { ty, protocol, port, data: cursor.remaining().to_vec(), octets: body.to_vec() })
    }

    /// Phase 1: who is meant. None for an address of the wrong length. Protocol and port say nothing about it.
    #[must_use]
    pub fn identity(&self) -> Option<Id> {
        Id::from_wire(self.ty, &self.data)
    }

    /// One side of the traffic, or who is meant, for people.
    pub(crate) fn in_words(&self) -> String {
        let subnet = self.selector().filter(|_| self.ty != ID_IPV4_ADDR && self.ty != ID_IPV6_ADDR);
        match (subnet, self.identity()) {
            (Some(selector), _) => selector.to_string(),
            (None, Some(id)) => id.to_string(),
            (None, None) => format!("type {}, {} octets", self.ty, self.data.len()),
        }
    }

    /// Phase 1: an identity of ours.
    #[must_use]
    pub fn from_identity(id: &Id) -> IdPayload {
        IdPayload::new(id.wire_type(), 0, 0, id.wire_data())
    }

    /// Phase 2: one side of the traffic. None for another type, a length that does not fit, or a mask with holes.
    #[must_use]
    pub fn selector(&self) -> Option<TrafficSelector> {
        let v4 = |octets: &[u8; 4]| IpAddr::V4(Ipv4Addr::from(*octets));
        let v6 = |octets: &[u8; 16]| IpAddr::V6(Ipv6Addr::from(*octets));
        let data = self.data.as_slice();
        let (start, end) = match self.ty {
            ID_IPV4_ADDR => {
                let address = v4(data.try_into().ok()?);
                (address, address)
            }
            ID_IPV6_ADDR => {
                let address = v6(data.try_into().ok()?);
                (address, address)
            }
            ID_IPV4_ADDR_SUBNET => {
                let (address, mask) = halves::<4>(data)?;
                let length = prefix_length(u128::from(u32::from_be_bytes(mask)) << 96)?;
                return self.with_ports(TrafficSelector::from_prefix(v4(&address), length));
            }
            ID_IPV6_ADDR_SUBNET => {
                let (address, mask) = halves::<16>(data)?;
                let length = prefix_length(u128::from_be_bytes(mask))?;
                return self.with_ports(TrafficSelector::from_prefix(v6(&address), length));
            }
            ID_IPV4_ADDR_RANGE => {
                let (start, end) = halves::<4>(data)?;
                (v4(&start), v4(&end))
            }
            ID_IPV6_ADDR_RANGE => {
                let (start, end) = halves::<16>(data)?;
                (v6(&start), v6(&end))
            }
            _ => return None,
        };
        if start > end {
            return None;
        }
        let whole = TrafficSelector::from_prefix(start, if start.is_ipv4() { 32 } else { 128 });
        self.with_ports(TrafficSelector { start, end, ..whole })
    }

    fn with_ports(&self, selector: TrafficSelector) -> Option<TrafficSelector> {
        let (start_port, end_port) = if self.port == 0 { (0, u16::MAX) } else { (self.port, self.port) };
        Some(TrafficSelector { protocol: self.protocol, start_port, end_port, ..selector })
    }

    /// Phase 2: as address, subnet or range. None for a port range that is neither one port nor all of them, and for a
    /// selector that matches nothing.
    #[must_use]
    pub fn from_selector(selector: &TrafficSelector) -> Option<IdPayload> {
        if selector.is_empty() {
            return None;
        }
        let port = match (selector.start_port, selector.end_port) {
            (0, u16::MAX) => 0,
            (start, end) if start == end && start != 0 => start,
            _ => return None,
        };
        let octets = |address: IpAddr| match address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        let v4 = selector.start.is_ipv4();
        let width: u8 = if v4 { 32 } else { 128 };
        let (ty, data) = match selector.as_prefix() {
            Some((address, length)) if length == width => {
                (if v4 { ID_IPV4_ADDR } else { ID_IPV6_ADDR }, octets(address))
            }
            Some((address, length)) => {
                let mask = u128::MAX.checked_shl(128u32.saturating_sub(u32::from(length))).unwrap_or(0);
                let mask = if v4 {
                    let short = u32::MAX.checked_shl(32u32.saturating_sub(u32::from(length))).unwrap_or(0);
                    short.to_be_bytes().to_vec()
                } else {
                    mask.to_be_bytes().to_vec()
                };
                (if v4 { ID_IPV4_ADDR_SUBNET } else { ID_IPV6_ADDR_SUBNET }, [octets(address), mask].concat())
            }
            None => (
                if v4 { ID_IPV4_ADDR_RANGE } else { ID_IPV6_ADDR_RANGE },
                [octets(selector.start), octets(selector.end)].concat(),
            ),
        };
        Some(IdPayload::new(ty, selector.protocol, port, data))
    }
}

/// Two addresses, or an address and a mask.
fn halves<const N: usize>(data: &[u8]) -> Option<([u8; N], [u8; N])> {
    let (first, rest) = data.split_first_chunk::<N>()?;
    Some((*first, rest.try_into().ok()?))
}

/// How many ones a mask begins with, if only zeros follow.
fn prefix_length(mask: u128) -> Option<u8> {
    let ones = mask.leading_ones();
    (mask.count_ones() == ones).then(|| u8::try_from(ones).ok()).flatten()
}
