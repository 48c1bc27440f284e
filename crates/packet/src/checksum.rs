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
    let length = packet
        .first()
        .map_or(0, |first| usize::from(first & 0x0f) * 4);
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
    addresses(source)
        + addresses(destination)
        + u32::from(protocol)
        + (length >> 16)
        + (length & 0xffff)
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
    if fold(total) == 0xffff {
        Verdict::Valid
    } else {
        Verdict::Invalid
    }
}

/// The checksum after one 16-bit word changed from `old` to `new` (RFC 1624 §3, equation 3).
#[must_use]
pub fn update(checksum: u16, old: u16, new: u16) -> u16 {
    !fold(u32::from(!checksum) + u32::from(!old) + u32::from(new))
}

/// [`update`] for a field of several words, given the [`sum`] of its old and new contents. The field must start at an
/// even offset. A UDP checksum that becomes zero is the caller's to turn into 0xffff.
#[must_use]
pub fn update_sum(checksum: u16, old: u32, new: u32) -> u16 {
    !fold(u32::from(!checksum) + u32::from(!fold(old)) + u32::from(fold(new)))
}
