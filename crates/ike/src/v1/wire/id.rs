//! The body of an identification payload (RFC 2407 §4.6.2), kept as received because HASH_I, HASH_R and HASH(1) cover it.
//!
//! In phase 1 it names a party, in phase 2 (IDci, IDcr) the traffic of an SA.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipsec::TrafficSelector;

use super::{Cursor, WireError};
use crate::id::Id;

const ID_IPV4_ADDR: u8 = 1;
const ID_IPV4_ADDR_SUBNET: u8 = 4;
const ID_IPV6_ADDR: u8 = 5;
const ID_IPV6_ADDR_SUBNET: u8 = 6;
const ID_IPV4_ADDR_RANGE: u8 = 7;
const ID_IPV6_ADDR_RANGE: u8 = 8;

/// IP protocol number of UDP.
const UDP: u8 = 17;

/// An identification payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdPayload {
    /// ID Type.
    pub ty: u8,
    /// IP protocol number; 0 is any.
    pub protocol: u8,
    /// Port; 0 is any.
    pub port: u16,
    /// Identification data, by type.
    pub data: Vec<u8>,
    /// The body as on the wire: IDii_b, IDir_b and so on of RFC 2409 §5.
    pub octets: Vec<u8>,
}

impl IdPayload {
    /// A payload of these fields.
    #[must_use]
    pub fn new(ty: u8, protocol: u8, port: u16, data: Vec<u8>) -> IdPayload {
        let mut octets = vec![ty, protocol];
        octets.extend_from_slice(&port.to_be_bytes());
        octets.extend_from_slice(&data);
        IdPayload { ty, protocol, port, data, octets }
    }

    pub(super) fn parse(body: &[u8]) -> Result<IdPayload, WireError> {
        let mut cursor = Cursor::new(body, "ID payload");
        let ty = cursor.u8()?;
        let protocol = cursor.u8()?;
        let port = cursor.u16()?;
        Ok(IdPayload { ty, protocol, port, data: cursor.remaining().to_vec(), octets: body.to_vec() })
    }

    /// Whether protocol and port are such as phase 1 allows: nothing, or UDP and 500 (RFC 2407 §4.6.2). UDP with 4500 or
    /// without a port is sent as well, and does no harm.
    #[must_use]
    pub fn is_for_phase1(&self) -> bool {
        matches!((self.protocol, self.port), (0, 0) | (UDP, 0 | 500 | 4500))
    }

    /// Who is meant, in phase 1; `None` for an address of the wrong length. Subnets and ranges are nobody: they are
    /// [`Id::Unknown`].
    #[must_use]
    pub fn identity(&self) -> Option<Id> {
        Id::from_wire(self.ty, &self.data)
    }

    /// A party's name for phase 1, without protocol and port.
    #[must_use]
    pub fn from_identity(id: &Id) -> IdPayload {
        IdPayload::new(id.wire_type(), 0, 0, id.wire_data())
    }

    /// The traffic that is meant, in phase 2: an address, a subnet or a range, with protocol and port. `None` for any
    /// other type, data of the wrong length, a mask with holes, or a range that runs backwards.
    #[must_use]
    pub fn selector(&self) -> Option<TrafficSelector> {
        let data = self.data.as_slice();
        let addresses = match self.ty {
            ID_IPV4_ADDR => TrafficSelector::single(v4(data)?),
            ID_IPV6_ADDR => TrafficSelector::single(v6(data)?),
            ID_IPV4_ADDR_SUBNET => {
                let (address, mask) = data.split_first_chunk::<4>()?;
                let mask = u32::from_be_bytes(mask.try_into().ok()?);
                TrafficSelector::from_prefix(v4(address)?, contiguous(mask.leading_ones(), mask.count_ones())?)
            }
            ID_IPV6_ADDR_SUBNET => {
                let (address, mask) = data.split_first_chunk::<16>()?;
                let mask = u128::from_be_bytes(mask.try_into().ok()?);
                TrafficSelector::from_prefix(v6(address)?, contiguous(mask.leading_ones(), mask.count_ones())?)
            }
            ID_IPV4_ADDR_RANGE => {
                let (start, end) = data.split_first_chunk::<4>()?;
                TrafficSelector::range(v4(start)?, v4(end)?)
            }
            ID_IPV6_ADDR_RANGE => {
                let (start, end) = data.split_first_chunk::<16>()?;
                TrafficSelector::range(v6(start)?, v6(end)?)
            }
            _ => return None,
        };
        let selector = addresses.with_protocol(self.protocol);
        let selector = if self.port == 0 { selector } else { selector.with_ports(self.port, self.port) };
        (!selector.is_empty()).then_some(selector)
    }

    /// The payload that says this traffic: as an address if it is one, as a subnet if it is a prefix, else as a range.
    /// `None` for ports that are neither one port (which cannot be 0) nor all, and for a selector that matches nothing.
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
        let (address, subnet, range) = match selector.start {
            IpAddr::V4(_) => (ID_IPV4_ADDR, ID_IPV4_ADDR_SUBNET, ID_IPV4_ADDR_RANGE),
            IpAddr::V6(_) => (ID_IPV6_ADDR, ID_IPV6_ADDR_SUBNET, ID_IPV6_ADDR_RANGE),
        };
        let start = octets(selector.start);
        let (ty, data) = if selector.start == selector.end {
            (address, start)
        } else if let Some((_, length)) = selector.as_prefix() {
            (subnet, [start, mask(selector.start, length)].concat())
        } else {
            (range, [start, octets(selector.end)].concat())
        };
        Some(IdPayload::new(ty, selector.protocol, port, data))
    }
}

fn v4(data: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(data).ok().map(|octets| Ipv4Addr::from(octets).into())
}

fn v6(data: &[u8]) -> Option<IpAddr> {
    <[u8; 16]>::try_from(data).ok().map(|octets| Ipv6Addr::from(octets).into())
}

/// The length of a prefix by its mask: ones, then zeros only.
fn contiguous(leading: u32, ones: u32) -> Option<u8> {
    u8::try_from(leading).ok().filter(|_| leading == ones)
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn mask(family: IpAddr, length: u8) -> Vec<u8> {
    let length = u32::from(length);
    match family {
        IpAddr::V4(_) => {
            let host = u32::MAX.checked_shr(length).unwrap_or_default();
            (!host).to_be_bytes().to_vec()
        }
        IpAddr::V6(_) => {
            let host = u128::MAX.checked_shr(length).unwrap_or_default();
            (!host).to_be_bytes().to_vec()
        }
    }
}
