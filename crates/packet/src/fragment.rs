//! IPv4 fragmentation (RFC 791 §2.3 and §3.2, procedure of §3.2 "An Example Fragmentation Procedure").

use crate::ip::IPV4_HEADER;
use crate::octets::put;
use crate::{IpVersion, IpView, PacketError, checksum};

const END: u8 = 0;
const NO_OPERATION: u8 = 1;
/// Option type bit: the option goes into every fragment (RFC 791 §3.1).
const COPIED: u8 = 0x80;
const MORE_FRAGMENTS: u16 = 0x2000;

/// Cuts an IPv4 packet into fragments of at most `mtu` bytes, hands each to `out` in order, and returns how many. A
/// packet that fits is handed on as it is; a fragment may be cut again. This is the slow path: it allocates one buffer.
///
/// # Errors
/// [`PacketError::DontFragment`] for a packet with DF that does not fit, [`PacketError::MtuTooSmall`] where no eight
/// bytes fit beside the header, [`PacketError::TooLong`] for a fragment that reaches beyond 65,535 bytes,
/// [`PacketError::Version`] for IPv6, and what [`IpView::parse`] says. Nothing was handed out then.
pub fn fragment_v4(
    packet: &[u8],
    mtu: usize,
    mut out: impl FnMut(&[u8]),
) -> Result<usize, PacketError> {
    let view = IpView::parse(packet)?;
    if view.version() != IpVersion::V4 {
        return Err(PacketError::Version(6));
    }
    if view.total_len() <= mtu {
        out(view.bytes());
        return Ok(1);
    }
    if view.dont_fragment() {
        return Err(PacketError::DontFragment {
            length: view.total_len(),
            mtu,
        });
    }
    let header = view.bytes().get(..view.header_len()).unwrap_or_default();
    if mtu < header.len() + 8 {
        return Err(PacketError::MtuTooSmall(mtu));
    }
    let end = view.fragment_offset() + view.payload().len();
    if end > usize::from(u16::MAX) {
        return Err(PacketError::TooLong(end));
    }
    let mut later = [0_u8; 60];
    let later_len = header_of_later_fragments(header, &mut later);
    let later = later.get(..later_len).unwrap_or_default();

    let mut buffer = Vec::with_capacity(mtu.min(view.total_len()));
    let mut rest = view.payload();
    let mut offset = view.fragment_offset();
    let mut count = 0;
    while !rest.is_empty() {
        let header = if count == 0 { header } else { later };
        let room = mtu.saturating_sub(header.len());
        let take = if rest.len() <= room {
            rest.len()
        } else {
            room & !7
        };
        let (data, left) = rest.split_at_checked(take).unwrap_or((rest, &[]));
        rest = left;
        buffer.clear();
        buffer.extend_from_slice(header);
        buffer.extend_from_slice(data);
        let more = !rest.is_empty() || view.more_fragments();
        stamp(&mut buffer, offset, more);
        out(&buffer);
        offset += data.len();
        count += 1;
    }
    Ok(count)
}

/// Sets total length, fragment fields and checksum.
fn stamp(fragment: &mut [u8], offset: usize, more: bool) {
    let total = u16::try_from(fragment.len()).unwrap_or(u16::MAX);
    let units = u16::try_from(offset / 8).unwrap_or(0x1fff);
    let field = units | if more { MORE_FRAGMENTS } else { 0 };
    let _ = put(fragment, 2, &total.to_be_bytes());
    let _ = put(fragment, 6, &field.to_be_bytes());
    checksum::refresh_ipv4_header(fragment);
}

/// Writes the header of fragments after the first, with the options that ask to be copied, and returns its length.
fn header_of_later_fragments(header: &[u8], later: &mut [u8; 60]) -> usize {
    let (fixed, mut options) = header
        .split_at_checked(IPV4_HEADER)
        .unwrap_or((header, &[]));
    let mut length = fixed.len();
    let _ = put(later, 0, fixed);
    while let Some(&kind) = options.first() {
        let size = match kind {
            END => break,
            NO_OPERATION => 1,
            _ => options.get(1).map_or(0, |&size| usize::from(size)),
        };
        // A size of zero, one or beyond the header makes the rest unreadable: what was read so far is kept.
        let Some((option, rest)) = options
            .split_at_checked(size)
            .filter(|(option, _)| !option.is_empty())
        else {
            break;
        };
        if kind != NO_OPERATION && size < 2 {
            break;
        }
        if kind & COPIED != 0 && put(later, length, option).is_some() {
            length += option.len();
        }
        options = rest;
    }
    // Padding is the zeros already there (end of option list).
    let length = length.next_multiple_of(4);
    let words = u8::try_from(length / 4).unwrap_or(15);
    let _ = put(later, 0, &[0x40 | words]);
    length
}
