//! The Internet checksum (RFC 1071), its incremental update (RFC 1624) and the pseudo headers (RFC 768, RFC 9293 §3.1,
//! RFC 8200 §8.1).
//!
//! A *sum* is the one's complement sum of big-endian 16-bit words, not yet complemented, as a `u32` of at most 0xffff
//! per piece: sums of pieces of even length may be added with `+` (up to 65,537 of them), and only the last piece may be odd. [`fold`]
//! brings the result back to 16 bits; a *checksum* is the complement of that.

use core::net::IpAddr;

use crate::octets::{put, u16_at};
use crate::{IpVersion, IpView, protocol};

/// One's complement sum of `data`; an odd last byte counts as the upper half of a word.
#[must_use]
pub fn sum(data: &[u8]) -> u32 {
    let (words, rest) = data.as_chunks::<4>();
    let mut total = 0_u64;
    for word in words {
        // Cannot overflow below 2^32 words; wrapping lets the loop become vector instructions.
        total = total.wrapping_add(u64::from(u32::from_ne_bytes(*word)));
    }
    finish_native(total, rest)
}

/// Copies `source` over the start of `destination` and returns its [`sum`]: one pass over the memory instead of two.
/// Copies no more than `destination` holds; the sum is of what was copied.
pub fn copy_and_sum(source: &[u8], destination: &mut [u8]) -> u32 {
    let length = source.len().min(destination.len());
    let source = source.get(..length).unwrap_or_default();
    let destination = destination.get_mut(..length).unwrap_or_default();
    let (from, from_rest) = source.as_chunks::<4>();
    let (to, to_rest) = destination.as_chunks_mut::<4>();
    let mut total = 0_u64;
    for (to, from) in to.iter_mut().zip(from) {
        total = total.wrapping_add(u64::from(u32::from_ne_bytes(*from)));
        *to = *from;
    }
    to_rest.copy_from_slice(from_rest);
    finish_native(total, from_rest)
}

/// Ends a sum kept in the machine's byte order: the sum is the same in either order but for a final swap (RFC 1071 §2B).
fn finish_native(mut total: u64, rest: &[u8]) -> u32 {
    let mut last = [0_u8; 4];
    for (to, from) in last.iter_mut().zip(rest) {
        *to = *from;
    }
    total = total.wrapping_add(u64::from(u32::from_ne_bytes(last)));
    total = (total & 0xffff_ffff) + (total >> 32);
    total = (total & 0xffff_ffff) + (total >> 32);
    let folded = fold(u32::try_from(total & 0xffff_ffff).unwrap_or_default());
    u32::from(u16::from_be(folded))
}

/// Brings a sum to 16 bits, carries added in.
#[must_use]
pub fn fold(sum: u32) -> u16 {
    let once = (sum & 0xffff) + (sum >> 16);
    let twice = (once & 0xffff) + (once >> 16);
    // `once` is at most 0x1fffe, so `twice` is at most 0xffff.
    u16::try_from(twice).unwrap_or(u16::MAX)
}

/// The checksum of `data`: the complement of its folded sum. Zero when `data` contains a correct checksum.
#[must_use]
pub fn checksum(data: &[u8]) -> u16 {
    !fold(sum(data))
}

/// Checksum of an IPv4 header with options, the checksum field itself counted as zero (RFC 791 §3.1).
#[must_use]
pub fn ipv4_header(header: &[u8]) -> u16 {
    let before = header.get(..10).unwrap_or(header);
    let after = header.get(12..).unwrap_or_default();
    !fold(sum(before) + sum(after))
}

/// Computes and stores the header checksum of the IPv4 packet; anything else is left alone.
pub fn refresh_ipv4_header(packet: &mut [u8]) {
    if IpVersion::of(packet) != Some(IpVersion::V4) {
        return;
    }
    let length = packet.first().map_or(0, |first| usize::from(first & 0x0f) * 4);
    let checksum = packet.get(..length).map(ipv4_header);
    if let Some(checksum) = checksum {
        let _ = put(packet, 10, &checksum.to_be_bytes());
    }
}

/// Whether an IPv4 header with options carries its right checksum.
#[must_use]
pub fn verify_ipv4_header(header: &[u8]) -> bool {
    fold(sum(header)) == 0xffff
}

/// Sum of the pseudo header: addresses, protocol, and `length` of the upper layer in bytes.
#[must_use]
pub fn pseudo_header(source: IpAddr, destination: IpAddr, protocol: u8, length: u32) -> u32 {
    addresses(source) + addresses(destination) + u32::from(protocol) + (length >> 16) + (length & 0xffff)
}

fn addresses(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(address) => sum(&address.octets()),
        IpAddr::V6(address) => sum(&address.octets()),
    }
}

/// Checksum of a TCP, UDP or ICMPv6 `segment` whose checksum field is zero. A UDP result of zero becomes 0xffff, since
/// zero means "none" there (RFC 768).
#[must_use]
pub fn transport(source: IpAddr, destination: IpAddr, protocol: u8, segment: &[u8]) -> u16 {
    let length = u32::try_from(segment.len()).unwrap_or(u32::MAX);
    let checksum = !fold(pseudo_header(source, destination, protocol, length) + sum(segment));
    if protocol == protocol::UDP && checksum == 0 {
        return 0xffff;
    }
    checksum
}

/// What a look at an upper-layer checksum found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Present and right.
    Valid,
    /// Present and wrong, or the upper layer is shorter than its header.
    Invalid,
    /// UDP without a checksum, legal in IPv4 (RFC 768) and for some tunnels in IPv6 (RFC 6935).
    Absent,
    /// Not decidable: a fragment, or a protocol whose checksum this crate does not know.
    Unknown,
}

/// Verifies the TCP, UDP, ICMP or ICMPv6 checksum of a whole packet.
#[must_use]
pub fn verify_transport(view: &IpView<'_>) -> Verdict {
    if view.is_fragment() {
        return Verdict::Unknown;
    }
    let payload = view.payload();
    let (segment, minimum, pseudo) = match view.protocol() {
        protocol::TCP => (Some(payload), 20, true),
        protocol::ICMPV6 => (Some(payload), 4, true),
        protocol::ICMP => (Some(payload), 4, false),
        protocol::UDP => {
            if u16_at(payload, 6) == Some(0) {
                return Verdict::Absent;
            }
            let length = u16_at(payload, 4).map_or(0, usize::from);
            (payload.get(..length), 8, true)
        }
        _ => return Verdict::Unknown,
    };
    let Some(segment) = segment.filter(|segment| segment.len() >= minimum) else {
        return Verdict::Invalid;
    };
    let mut total = sum(segment);
    if pseudo {
        let length = u32::try_from(segment.len()).unwrap_or(u32::MAX);
        total += pseudo_header(view.source(), view.destination(), view.protocol(), length);
    }
    if fold(total) == 0xffff { Verdict::Valid } else { Verdict::Invalid }
}

/// The checksum after one 16-bit word changed from `old` to `new` (RFC 1624 §3, equation 3; unchanged words change
/// nothing, erratum 4782).
#[must_use]
pub fn update(checksum: u16, old: u16, new: u16) -> u16 {
    if old == new {
        return checksum;
    }
    !fold(u32::from(!checksum) + u32::from(!old) + u32::from(new))
}

/// [`update`] for a field of several words, given the [`sum`] of its old and new contents. The field must start at an
/// even offset. A UDP checksum that becomes zero is the caller's to turn into 0xffff.
#[must_use]
pub fn update_sum(checksum: u16, old: u32, new: u32) -> u16 {
    update(checksum, fold(old), fold(new))
}

#[cfg(test)]
mod tests {
    use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    use super::*;
    use crate::build;

    /// The sum as RFC 1071 §1 defines it, word by word.
    fn by_definition(data: &[u8]) -> u16 {
        let mut total = 0_u64;
        for pair in data.chunks(2) {
            total += u64::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
        }
        while total > 0xffff {
            total = (total & 0xffff) + (total >> 16);
        }
        u16::try_from(total).unwrap()
    }

    #[test]
    fn the_example_of_rfc_1071_section_3_sums_to_ddf2() {
        let data = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(fold(sum(&data)), 0xddf2);
        assert_eq!(checksum(&data), 0x220d);
    }

    #[test]
    fn sum_and_copy_agree_with_the_definition_at_every_length_and_alignment() {
        let data: Vec<u8> = (0..400_u32).map(|i| u8::try_from(i * 151 % 256).unwrap()).collect();
        for start in 0..9 {
            for end in start..data.len() {
                let piece = &data[start..end];
                assert_eq!(fold(sum(piece)), by_definition(piece), "{start}..{end}");
                let mut copy = vec![0xee; piece.len() + 3];
                assert_eq!(fold(copy_and_sum(piece, &mut copy)), by_definition(piece), "{start}..{end}");
                assert_eq!(&copy[..piece.len()], piece);
                assert_eq!(&copy[piece.len()..], [0xee; 3]);
            }
        }
        let ones = vec![0xff; 65_535];
        assert_eq!(fold(sum(&ones)), by_definition(&ones));
    }

    #[test]
    fn a_copy_into_too_short_a_place_is_cut() {
        let mut short = [0; 3];
        assert_eq!(fold(copy_and_sum(&[1, 2, 3, 4, 5], &mut short)), by_definition(&[1, 2, 3]));
        assert_eq!(short, [1, 2, 3]);
    }

    #[test]
    fn sums_of_even_pieces_add_up() {
        let data: Vec<u8> = (0..=255).collect();
        let (head, tail) = data.split_at(102);
        assert_eq!(fold(sum(head) + sum(tail)), fold(sum(&data)));
    }

    #[test]
    fn the_example_of_rfc_1624_section_4_gives_plus_zero() {
        assert_eq!(update(0xdd2f, 0x5555, 0x3285), 0x0000);
    }

    #[test]
    fn an_unchanged_word_leaves_the_checksum_alone() {
        assert_eq!(update(0x0000, 0x5555, 0x5555), 0x0000);
    }

    #[test]
    fn an_incremental_update_equals_a_computation_from_scratch() {
        let mut header: [u8; 20] = [0x45, 0, 0, 60, 0x12, 0x34, 0x40, 0, 64, 6, 0, 0, 192, 0, 2, 1, 198, 51, 100, 7];
        let mut stored = ipv4_header(&header);
        for step in 0..=u16::MAX {
            let old = u16::from_be_bytes([header[4], header[5]]);
            let new = step.wrapping_mul(40_503);
            header[4..6].copy_from_slice(&new.to_be_bytes());
            stored = update(stored, old, new);
            assert_eq!(stored, ipv4_header(&header), "{old:04x} -> {new:04x}");
        }
    }

    #[test]
    fn an_address_is_replaced_by_its_sums() {
        let before = [10, 0, 0, 1];
        let after = [203, 0, 113, 9];
        let rest = [0x11, 0x22, 0x33];
        let whole = |address: [u8; 4]| checksum(&[&address[..], &rest[..]].concat());
        assert_eq!(update_sum(whole(before), sum(&before), sum(&after)), whole(after));
    }

    #[test]
    fn a_known_ipv4_header_verifies_and_refreshes() {
        let mut header = [
            0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11, 0xb8, 0x61, 0xc0, 0xa8, 0x00, 0x01, 0xc0, 0xa8,
            0x00, 0xc7,
        ];
        assert_eq!(ipv4_header(&header), 0xb861);
        assert!(verify_ipv4_header(&header));
        header[10] = 0;
        assert!(!verify_ipv4_header(&header));
        refresh_ipv4_header(&mut header);
        assert_eq!(header[10..12], [0xb8, 0x61]);
    }

    #[test]
    fn udp_never_announces_the_checksum_zero() {
        let (source, destination) = (IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)));
        let mut datagram = [0, 1, 0, 2, 0, 10, 0, 0, 0, 0];
        let base = transport(source, destination, protocol::UDP, &datagram);
        datagram[8..10].copy_from_slice(&base.to_be_bytes());
        assert_eq!(transport(source, destination, protocol::UDP, &datagram), 0xffff);
        assert_eq!(transport(source, destination, protocol::TCP, &datagram[..0]), {
            !fold(pseudo_header(source, destination, protocol::TCP, 0))
        });
    }

    #[test]
    fn every_flipped_bit_of_a_transport_segment_is_noticed() {
        let v4 = |last| IpAddr::V4(Ipv4Addr::new(10, 0, 0, last));
        let v6 = |last| IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last));
        for (source, destination) in [(v4(1), v4(2)), (v6(1), v6(2))] {
            let mut packet = Vec::new();
            let at = |ip| core::net::SocketAddr::new(ip, 4500);
            build::udp(at(source), at(destination), b"payload", &mut packet).unwrap();
            let view = IpView::parse(&packet).unwrap();
            assert_eq!(verify_transport(&view), Verdict::Valid);
            let start = view.transport_offset();
            for bit in 0..(packet.len() - start) * 8 {
                let mut damaged = packet.clone();
                damaged[start + bit / 8] ^= 1 << (bit % 8);
                let verdict = verify_transport(&IpView::parse(&damaged).unwrap());
                assert_eq!(verdict, Verdict::Invalid, "bit {bit}");
            }
            packet[start + 6..start + 8].fill(0);
            assert_eq!(verify_transport(&IpView::parse(&packet).unwrap()), Verdict::Absent);
        }
    }
}
