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
pub fn fragment_v4(packet: &[u8], mtu: usize, mut out: impl FnMut(&[u8])) -> Result<usize, PacketError> {
    let view = IpView::parse(packet)?;
    if view.version() != IpVersion::V4 {
        return Err(PacketError::Version(6));
    }
    if view.total_len() <= mtu {
        out(view.bytes());
        return Ok(1);
    }
    if view.dont_fragment() {
        return Err(PacketError::DontFragment { length: view.total_len(), mtu });
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
        let take = if rest.len() <= room { rest.len() } else { room & !7 };
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
    let (fixed, mut options) = header.split_at_checked(IPV4_HEADER).unwrap_or((header, &[]));
    let mut length = fixed.len();
    let _ = put(later, 0, fixed);
    while let Some(&kind) = options.first() {
        let size = match kind {
            END => break,
            NO_OPERATION => 1,
            _ => options.get(1).map_or(0, |&size| usize::from(size)),
        };
        // A size of zero, one or beyond the header makes the rest unreadable: what was read so far is kept.
        let Some((option, rest)) = options.split_at_checked(size).filter(|(option, _)| !option.is_empty()) else {
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

#[cfg(test)]
mod tests {
    use core::net::{IpAddr, Ipv4Addr};

    use super::*;
    use crate::build::IpHeader;
    use crate::checksum::verify_ipv4_header;

    fn packet(payload_len: usize, options: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let header = IpHeader {
            dont_fragment: false,
            identification: 0x77,
            ..IpHeader::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)), 17)
        };
        header.append(options.len() + payload_len, &mut bytes).unwrap();
        bytes[0] = 0x45 + u8::try_from(options.len() / 4).unwrap();
        bytes.extend_from_slice(options);
        bytes.extend((0..payload_len).map(|i| u8::try_from(i % 251).unwrap()));
        checksum::refresh_ipv4_header(&mut bytes);
        bytes
    }

    fn fragments(packet: &[u8], mtu: usize) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        let count = fragment_v4(packet, mtu, |fragment| all.push(fragment.to_vec())).unwrap();
        assert_eq!(count, all.len());
        all
    }

    /// Puts fragments together by offset, asserting that none overlaps, is missing, or is damaged.
    fn reassemble(fragments: &[Vec<u8>]) -> Vec<u8> {
        let mut data = Vec::new();
        for (index, fragment) in fragments.iter().enumerate() {
            let view = IpView::parse(fragment).unwrap();
            assert_eq!(view.total_len(), fragment.len());
            assert!(verify_ipv4_header(&fragment[..view.header_len()]));
            assert_eq!(view.identification(), Some(0x77));
            assert_eq!(view.fragment_offset(), data.len());
            assert_eq!(view.more_fragments(), index + 1 != fragments.len());
            data.extend_from_slice(view.payload());
        }
        data
    }

    #[test]
    fn fragments_fit_the_mtu_and_reassemble_to_the_original() {
        for payload_len in [9, 100, 1473, 4000, 65_515] {
            for mtu in [28, 29, 68, 576, 1400, 1499, 1500] {
                let original = packet(payload_len, &[]);
                let parts = fragments(&original, mtu);
                assert!(parts.iter().all(|part| part.len() <= mtu));
                assert_eq!(reassemble(&parts), original[20..], "{payload_len} at {mtu}");
            }
        }
    }

    #[test]
    fn a_fragment_is_cut_again_and_still_reassembles() {
        let original = packet(4000, &[]);
        let again: Vec<Vec<u8>> = fragments(&original, 1500).iter().flat_map(|part| fragments(part, 600)).collect();
        assert_eq!(reassemble(&again), original[20..]);
    }

    #[test]
    fn only_options_marked_as_copied_reach_later_fragments() {
        // NOP, record route (not copied), router alert (copied), end.
        let options = [1, 7, 3, 4, 0x94, 4, 0, 0, 0, 0, 0, 0];
        let parts = fragments(&packet(200, &options), 100);
        assert_eq!(parts[0][20..32], options);
        for part in &parts[1..] {
            assert_eq!(part[0], 0x46);
            assert_eq!(part[20..24], [0x94, 4, 0, 0]);
        }
        assert_eq!(reassemble(&parts), packet(200, &options)[32..]);
    }

    #[test]
    fn malformed_options_are_not_copied() {
        for options in [[0x94, 0, 0x94, 4], [0x94, 1, 0x94, 4], [0x94, 9, 0, 0], [1, 1, 1, 0x94]] {
            let parts = fragments(&packet(200, &options), 100);
            assert_eq!(parts[1][0], 0x45, "{options:?}");
        }
    }

    #[test]
    fn what_fits_passes_and_what_may_not_be_cut_is_refused() {
        let original = packet(80, &[]);
        assert_eq!(fragments(&original, 100), core::slice::from_ref(&original));

        let mut forbidden = original.clone();
        forbidden[6] |= 0x40;
        let refused = fragment_v4(&forbidden, 99, |_| panic!("handed out"));
        assert_eq!(refused, Err(PacketError::DontFragment { length: 100, mtu: 99 }));

        let refused = fragment_v4(&original, 27, |_| panic!("handed out"));
        assert_eq!(refused, Err(PacketError::MtuTooSmall(27)));

        let mut beyond = packet(1000, &[]);
        beyond[6..8].copy_from_slice(&[0x1f, 0xff]);
        let refused = fragment_v4(&beyond, 576, |_| panic!("handed out"));
        assert_eq!(refused, Err(PacketError::TooLong(65_528 + 1000)));
    }
}
