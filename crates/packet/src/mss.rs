//! TCP maximum segment size clamping (RFC 9293 §3.7.1): a SYN that crosses the tunnel announces no more than fits it.

use crate::octets::{put, u16_at};
use crate::{IpVersion, IpView, checksum, protocol};

const SYN: u8 = 0x02;
const END: u8 = 0;
const NO_OPERATION: u8 = 1;
const MAXIMUM_SEGMENT_SIZE: u8 = 2;

struct MssOption {
    version: IpVersion,
    value: u16,
    /// Offset of the value in the packet.
    at: usize,
    /// Offset of the TCP checksum in the packet.
    checksum_at: usize,
    /// The value straddles two checksum words.
    odd: bool,
}

/// Lowers the MSS option of a TCP SYN or SYN-ACK to `max_mss_v4` or `max_mss_v6` bytes and says whether it did.
///
/// Never raises it, never adds the option, leaves every other packet alone. A limit of zero means no limit. The TCP
/// checksum is updated incrementally, so a wrong one stays wrong; with `checksum_partial` (the packet came with
/// `NEEDS_CSUM`) the field holds only the pseudo header's sum and is left as it is.
pub fn clamp_mss(
    packet: &mut [u8],
    max_mss_v4: u16,
    max_mss_v6: u16,
    checksum_partial: bool,
) -> bool {
    let Some(option) = find(packet) else {
        return false;
    };
    let limit = match option.version {
        IpVersion::V4 => max_mss_v4,
        IpVersion::V6 => max_mss_v6,
    };
    if limit == 0 || option.value <= limit {
        return false;
    }
    if put(packet, option.at, &limit.to_be_bytes()).is_none() {
        return false;
    }
    if !checksum_partial && let Some(old) = u16_at(packet, option.checksum_at) {
        let new = if option.odd {
            checksum::update(old, option.value.swap_bytes(), limit.swap_bytes())
        } else {
            checksum::update(old, option.value, limit)
        };
        let _ = put(packet, option.checksum_at, &new.to_be_bytes());
    }
    true
}

fn find(packet: &[u8]) -> Option<MssOption> {
    let view = IpView::parse(packet).ok()?;
    if view.protocol() != protocol::TCP || view.fragment_offset() != 0 {
        return None;
    }
    let tcp = view.payload();
    let fixed = tcp.first_chunk::<20>()?;
    if fixed[13] & SYN == 0 {
        return None;
    }
    let header_len = usize::from(fixed[12] >> 4) * 4;
    let mut at = 20;
    // At most 40 steps: a header is at most 60 bytes.
    while at < header_len {
        let length = match *tcp.get(at)? {
            END => return None,
            NO_OPERATION => 1,
            kind => {
                let length = usize::from(*tcp.get(at + 1)?);
                if length < 2 || at + length > header_len {
                    return None;
                }
                if kind == MAXIMUM_SEGMENT_SIZE && length == 4 {
                    return Some(MssOption {
                        version: view.version(),
                        value: u16_at(tcp, at + 2)?,
                        at: view.transport_offset() + at + 2,
                        checksum_at: view.transport_offset() + 16,
                        odd: at % 2 == 1,
                    });
                }
                length
            }
        };
        at += length;
    }
    None
}
