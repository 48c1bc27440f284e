//! Traffic selectors on the wire (RFC 7296 §3.13).

use std::net::IpAddr;

use ipsec::TrafficSelector;

use super::{Cursor, WireError, length16};

const TS_IPV4_ADDR_RANGE: u8 = 7;
const TS_IPV6_ADDR_RANGE: u8 = 8;

/// Selectors of unknown types (Fibre Channel, security labels) are left out; none left is for the caller to refuse.
pub(super) fn parse(body: &[u8]) -> Result<Vec<TrafficSelector>, WireError> {
    let mut cursor = Cursor::new(body, "TS payload");
    let count = cursor.u8()?;
    cursor.array::<3>()?;
    if count == 0 {
        return Err(cursor.malformed("no selector in it"));
    }
    let mut selectors = Vec::with_capacity(usize::from(count).min(16));
    for _ in 0..count {
        let ty = cursor.u8()?;
        let protocol = cursor.u8()?;
        let length = cursor.u16()?;
        let mut inner = cursor.nested(length, 4, "traffic selector")?;
        let addresses = match ty {
            TS_IPV4_ADDR_RANGE => ports(&mut inner)?.addresses(inner.array::<4>()?, inner.array::<4>()?),
            TS_IPV6_ADDR_RANGE => ports(&mut inner)?.addresses(inner.array::<16>()?, inner.array::<16>()?),
            _ => continue,
        };
        inner.finish()?;
        selectors.push(addresses.selector(protocol, &inner)?);
    }
    cursor.finish()?;
    Ok(selectors)
}

struct Ports {
    start: u16,
    end: u16,
}

struct Range {
    ports: Ports,
    start: IpAddr,
    end: IpAddr,
}

fn ports(cursor: &mut Cursor<'_>) -> Result<Ports, WireError> {
    Ok(Ports { start: cursor.u16()?, end: cursor.u16()? })
}

impl Ports {
    fn addresses<A: Into<IpAddr>>(self, start: A, end: A) -> Range {
        Range { ports: self, start: start.into(), end: end.into() }
    }
}

impl Range {
    /// A range must not run backwards; ports 65535–0 are OPAQUE (RFC 7296 §3.13.1).
    fn selector(self, protocol: u8, cursor: &Cursor<'_>) -> Result<TrafficSelector, WireError> {
        let Range { ports, start, end } = self;
        if start > end {
            return Err(cursor.malformed("its addresses run backwards"));
        }
        let opaque = (ports.start, ports.end) == (u16::MAX, 0);
        if ports.start > ports.end && !opaque {
            return Err(cursor.malformed("its ports run backwards"));
        }
        Ok(TrafficSelector { protocol, start_port: ports.start, end_port: ports.end, start, end })
    }
}

/// At most 255 selectors fit; more are cut, and a selector that mixes families is left out.
pub(super) fn encode(selectors: &[TrafficSelector], out: &mut Vec<u8>) {
    let mut body = Vec::new();
    let mut count: u8 = 0;
    for selector in selectors.iter().take(255) {
        let (ty, length, start, end) = match (selector.start, selector.end) {
            (IpAddr::V4(start), IpAddr::V4(end)) => {
                (TS_IPV4_ADDR_RANGE, 16, start.octets().to_vec(), end.octets().to_vec())
            }
            (IpAddr::V6(start), IpAddr::V6(end)) => {
                (TS_IPV6_ADDR_RANGE, 40, start.octets().to_vec(), end.octets().to_vec())
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => continue,
        };
        count = count.saturating_add(1);
        body.extend_from_slice(&[ty, selector.protocol]);
        body.extend_from_slice(&length16(length).to_be_bytes());
        body.extend_from_slice(&selector.start_port.to_be_bytes());
        body.extend_from_slice(&selector.end_port.to_be_bytes());
        body.extend_from_slice(&start);
        body.extend_from_slice(&end);
    }
    out.extend_from_slice(&[count, 0, 0, 0]);
    out.append(&mut body);
}
