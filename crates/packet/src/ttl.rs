//! One hop forward (RFC 1812 §5.3.1, RFC 8200 §3).

use crate::octets::{put, u16_at};
use crate::{IpVersion, IpView, PacketError, checksum};

/// Takes one from the time to live or hop limit and returns what is left; the IPv4 checksum follows (RFC 1624).
///
/// # Errors
/// [`PacketError::TtlExpired`], the packet unchanged, where nothing would be left: answer with
/// [`crate::icmp::time_exceeded`]. Otherwise what [`IpView::parse`] says.
pub fn decrement_ttl(packet: &mut [u8]) -> Result<u8, PacketError> {
    let view = IpView::parse(packet)?;
    let left = match view.ttl() {
        0 | 1 => return Err(PacketError::TtlExpired),
        ttl => ttl - 1,
    };
    match view.version() {
        IpVersion::V6 => {
            let _ = put(packet, 7, &[left]);
        }
        IpVersion::V4 => {
            if let (Some(old), Some(sum)) = (u16_at(packet, 8), u16_at(packet, 10)) {
                let new = (u16::from(left) << 8) | (old & 0x00ff);
                let _ = put(packet, 8, &new.to_be_bytes());
                let _ = put(packet, 10, &checksum::update(sum, old, new).to_be_bytes());
            }
        }
    }
    Ok(left)
}

#[cfg(test)]
mod tests {
    use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    use super::*;
    use crate::build::IpHeader;
    use crate::protocol;

    fn packet(address: IpAddr, ttl: u8) -> Vec<u8> {
        let mut packet = Vec::new();
        let header = IpHeader { ttl, ..IpHeader::new(address, address, protocol::UDP) };
        header.append(0, &mut packet).unwrap();
        packet
    }

    #[test]
    fn every_ttl_goes_down_by_one_and_the_last_is_refused() {
        for address in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
            for ttl in 0..=u8::MAX {
                let mut bytes = packet(address, ttl);
                let result = decrement_ttl(&mut bytes);
                if ttl > 1 {
                    assert_eq!(result, Ok(ttl - 1));
                    assert_eq!(bytes, packet(address, ttl - 1));
                } else {
                    assert_eq!(result, Err(PacketError::TtlExpired));
                    assert_eq!(bytes, packet(address, ttl));
                }
            }
        }
    }
}
