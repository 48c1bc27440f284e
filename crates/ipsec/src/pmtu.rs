//! Whether a packet fits the tunnel, and what to do when it does not (RFC 4301 §8.2, RFC 791, RFC 8200 §5).
//!
//! Fragmentation comes before encryption: whole ESP packets survive paths that lose fragments, and the peer reassembles
//! nothing.

use packet::IpVersion;

/// The smallest MTU of an IPv6 link (RFC 8200 §5); a sender told of less would not go below it.
const IPV6_MIN_MTU: usize = 1280;

/// What becomes of a packet on its way into a tunnel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fit {
    /// It fits.
    Ok,
    /// Drop it and tell its sender this MTU: ICMP fragmentation needed, or ICMPv6 packet too big.
    TooBigDf(u16),
    /// Split it, then seal every fragment (IPv4 without DF).
    FragmentFirst,
    /// Seal it and let the outer packet be fragmented: an IPv6 packet of at most 1280 bytes on a narrower tunnel.
    FragmentOuter,
}

/// Holds a packet against the tunnel's [`inner_mtu`](crate::EspSuite::inner_mtu), in bytes.
#[must_use]
pub fn fit(inner: &[u8], inner_mtu: usize) -> Fit {
    if inner.len() <= inner_mtu {
        return Fit::Ok;
    }
    let dont_fragment = inner.get(6).is_none_or(|flags| flags & 0x40 != 0);
    match IpVersion::of(inner) {
        Some(IpVersion::V4) if !dont_fragment => Fit::FragmentFirst,
        Some(IpVersion::V6) if inner.len() <= IPV6_MIN_MTU => Fit::FragmentOuter,
        Some(IpVersion::V6) => too_big(inner_mtu.max(IPV6_MIN_MTU)),
        Some(IpVersion::V4) | None => too_big(inner_mtu),
    }
}

fn too_big(mtu: usize) -> Fit {
    Fit::TooBigDf(u16::try_from(mtu).unwrap_or(u16::MAX))
}
