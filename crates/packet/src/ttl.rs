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
