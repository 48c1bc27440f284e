//! Traffic selectors (RFC 4301 §4.4.1.1, RFC 7296 §2.9 and §3.13.1): which packets an SA may carry.
//!
//! A selector is a box of three dimensions: protocol, port, address. "Any port" also covers packets whose ports cannot be
//! seen (later fragments); OPAQUE covers only those. ICMP and ICMPv6 put type and code in the port field, type in the upper
//! eight bits, and the same value is held against the selectors of both sides.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// IP protocol number of ICMP.
const ICMP: u8 = 1;
/// IP protocol number of ICMPv6.
const ICMPV6: u8 = 58;
/// IP protocol number of the IPv6 mobility header, whose type stands in the upper half of the port field.
const MOBILITY: u8 = 135;
/// Where OPAQUE lies on the port axis: just behind the last port, so that "any" is `0..=OPAQUE_PORT`.
const OPAQUE_PORT: u32 = 65536;

/// One side of a flow: an address and the port that belongs to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FlowSide {
    /// Source address for the sending side, destination address for the receiving side.
    pub address: IpAddr,
    /// IP protocol number of the packet.
    pub protocol: u8,
    /// The port, or type and code of ICMP; `None` where the packet does not show it (a later fragment).
    pub port: Option<u16>,
}

/// A protocol, a range of ports and a range of addresses (RFC 7296 §3.13.1). A range whose start is above its end matches
/// nothing, except the ports 65535–0, which are OPAQUE.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TrafficSelector {
    /// IP protocol number; 0 is any.
    pub protocol: u8,
    /// First port; `0..=65535` is any.
    pub start_port: u16,
    /// Last port; start 65535 with end 0 is OPAQUE.
    pub end_port: u16,
    /// First address.
    pub start: IpAddr,
    /// Last address, of the same family.
    pub end: IpAddr,
}

impl TrafficSelector {
    /// Everything of IPv4.
    #[must_use]
    pub const fn any_v4() -> Self {
        Self::range(IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V4(Ipv4Addr::BROADCAST))
    }

    /// Everything of IPv6.
    #[must_use]
    pub const fn any_v6() -> Self {
        Self::range(IpAddr::V6(Ipv6Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::from_bits(u128::MAX)))
    }

    /// Any protocol and port of the addresses `start..=end`.
    #[must_use]
    pub const fn range(start: IpAddr, end: IpAddr) -> Self {
        Self { protocol: 0, start_port: 0, end_port: u16::MAX, start, end }
    }

    /// Any protocol and port of one address.
    #[must_use]
    pub const fn single(address: IpAddr) -> Self {
        Self::range(address, address)
    }

    /// Any protocol and port of a prefix. Host bits of `address` are ignored, and a `length` beyond the family's is taken
    /// as the longest.
    #[must_use]
    pub fn from_prefix(address: IpAddr, length: u8) -> Self {
        let width = width(address);
        let host = low_bits(width - u32::from(length).min(width));
        let start = bits(address) & !host;
        Self::range(from_bits(start, address), from_bits(start | host, address))
    }

    /// The same addresses for one protocol only (0 is any).
    #[must_use]
    pub const fn with_protocol(mut self, protocol: u8) -> Self {
        self.protocol = protocol;
        self
    }

    /// The same addresses for the ports `start..=end` only.
    #[must_use]
    pub const fn with_ports(mut self, start: u16, end: u16) -> Self {
        self.start_port = start;
        self.end_port = end;
        self
    }

    /// The selector of exactly this side of a flow, as the first one of a list names the packet that asked for the SA
    /// (RFC 7296 §2.9).
    #[must_use]
    pub fn of_flow(side: &FlowSide) -> Self {
        let selector = Self::single(side.address).with_protocol(side.protocol);
        match side.port {
            Some(port) if has_ports(side.protocol) => selector.with_ports(port, port),
            _ => selector,
        }
    }

    /// Whether every port matches, seen or unseen.
    #[must_use]
    pub const fn is_any_port(&self) -> bool {
        self.start_port == 0 && self.end_port == u16::MAX
    }

    /// Whether this is the OPAQUE port range: only packets whose ports cannot be seen match.
    #[must_use]
    pub const fn is_opaque_port(&self) -> bool {
        self.start_port == u16::MAX && self.end_port == 0
    }

    /// Whether the selector is of IPv4. (One with ends of two families is of neither and matches nothing.)
    #[must_use]
    pub const fn is_v4(&self) -> bool {
        self.start.is_ipv4() && self.end.is_ipv4()
    }

    /// Whether nothing at all can match: an upside-down range or ends of two families.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.to_box().is_none()
    }

    /// Whether this side of a flow lies within. Unseen ports match "any" and OPAQUE only (RFC 4301 §7).
    #[must_use]
    pub fn contains_flow(&self, side: &FlowSide) -> bool {
        let port_fits = self.is_any_port()
            || match side.port {
                Some(port) => (self.start_port..=self.end_port).contains(&port),
                None => self.is_opaque_port(),
            };
        port_fits && (self.protocol == 0 || self.protocol == side.protocol) && self.contains_address(side.address)
    }

    /// [`Self::contains_flow`] for a packet whose port is seen.
    #[must_use]
    pub fn contains(&self, address: IpAddr, protocol: u8, port: u16) -> bool {
        self.contains_flow(&FlowSide { address, protocol, port: Some(port) })
    }

    /// Whether the address lies within, whatever protocol and port.
    #[must_use]
    pub fn contains_address(&self, address: IpAddr) -> bool {
        match (self.start, self.end, address) {
            (IpAddr::V4(start), IpAddr::V4(end), IpAddr::V4(address)) => (start..=end).contains(&address),
            (IpAddr::V6(start), IpAddr::V6(end), IpAddr::V6(address)) => (start..=end).contains(&address),
            _ => false,
        }
    }

    /// What both selectors match, if anything.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Option<Self> {
        let (mine, theirs) = (self.to_box()?, other.to_box()?);
        if self.is_v4() != other.is_v4() {
            return None;
        }
        Some(Self::from_box(mine.intersection(&theirs)?, self.start))
    }

    /// Whether everything this selector matches is matched by `other` too.
    #[must_use]
    pub fn is_subset_of(&self, other: &Self) -> bool {
        match (self.to_box(), other.to_box()) {
            (None, _) => true,
            (Some(mine), Some(theirs)) => self.is_v4() == other.is_v4() && mine.is_subset_of(&theirs),
            (Some(_), None) => false,
        }
    }

    /// The fewest prefixes that cover exactly the addresses of the selector, in order: what a route table can hold. At most
    /// 62 for IPv4 and 254 for IPv6.
    #[must_use]
    pub fn prefixes(&self) -> Vec<(IpAddr, u8)> {
        let mut prefixes = Vec::new();
        if self.is_empty() {
            return prefixes;
        }
        let (mut next, last) = (bits(self.start), bits(self.end));
        let width = width(self.start);
        loop {
            let aligned = next.trailing_zeros().min(width);
            let mut host = aligned;
            while low_bits(host) > last - next {
                host -= 1;
            }
            let length = u8::try_from(width - host).expect("an address has at most 128 bits");
            prefixes.push((from_bits(next, self.start), length));
            match next.checked_add(low_bits(host)).and_then(|n| n.checked_add(1)) {
                Some(following) if following <= last => next = following,
                _ => return prefixes,
            }
        }
    }

    /// The prefix that is exactly this range of addresses, if one is.
    #[must_use]
    pub fn as_prefix(&self) -> Option<(IpAddr, u8)> {
        if self.is_empty() {
            return None;
        }
        let (start, end) = (bits(self.start), bits(self.end));
        let host = start ^ end;
        let is_prefix = host & host.wrapping_add(1) == 0 && start & host == 0;
        let length = width(self.start) - host.count_ones();
        is_prefix.then(|| {
            let length = u8::try_from(length).expect("an address has at most 128 bits");
            (self.start, length)
        })
    }

    fn to_box(&self) -> Option<Box3> {
        let port = match (self.start_port, self.end_port) {
            (0, u16::MAX) => (0, OPAQUE_PORT.into()),
            (u16::MAX, 0) => (OPAQUE_PORT.into(), OPAQUE_PORT.into()),
            (start, end) => (start.into(), end.into()),
        };
        let protocol = match self.protocol {
            0 => (0, u8::MAX.into()),
            protocol => (protocol.into(), protocol.into()),
        };
        let address = (bits(self.start), bits(self.end));
        let same_family = self.start.is_ipv4() == self.end.is_ipv4();
        let upright = port.0 <= port.1 && address.0 <= address.1;
        (same_family && upright).then_some(Box3([protocol, port, address]))
    }

    /// Only for intersections of boxes made by [`Self::to_box`]: their ranges are representable again.
    fn from_box(Box3([protocol, port, address]): Box3, family: IpAddr) -> Self {
        let opaque = u128::from(OPAQUE_PORT);
        let (start_port, end_port) = match port {
            (start, end) if start == opaque && end == opaque => (u16::MAX, 0),
            (start, end) => (saturate_port(start), saturate_port(end)),
        };
        Self {
            protocol: if protocol.0 == protocol.1 { u8::try_from(protocol.0).unwrap_or(u8::MAX) } else { 0 },
            start_port,
            end_port,
            start: from_bits(address.0, family),
            end: from_bits(address.1, family),
        }
    }
}

/// Whether the port field of a selector says something for this protocol (RFC 4301 §4.4.1.1).
#[must_use]
pub const fn has_ports(protocol: u8) -> bool {
    matches!(protocol, 6 | 17 | 33 | 132 | MOBILITY | 136) || is_icmp(protocol)
}

/// Whether the port field holds one value that belongs to the packet, not to a side of it: ICMP's type and code, the
/// mobility header's type.
#[must_use]
pub const fn has_single_port(protocol: u8) -> bool {
    is_icmp(protocol) || protocol == MOBILITY
}

/// Whether type and code stand in the port field.
#[must_use]
pub const fn is_icmp(protocol: u8) -> bool {
    matches!(protocol, ICMP | ICMPV6)
}

fn saturate_port(port: u128) -> u16 {
    u16::try_from(port).unwrap_or(u16::MAX)
}

/// Inclusive ranges of protocol, port and address.
#[derive(Clone, Copy)]
pub(crate) struct Box3([(u128, u128); 3]);

impl Box3 {
    fn intersection(&self, other: &Self) -> Option<Self> {
        let mut both = self.0;
        for (mine, theirs) in both.iter_mut().zip(other.0) {
            *mine = (mine.0.max(theirs.0), mine.1.min(theirs.1));
            if mine.0 > mine.1 {
                return None;
            }
        }
        Some(Self(both))
    }

    fn is_subset_of(&self, other: &Self) -> bool {
        self.0.iter().zip(other.0).all(|(mine, theirs)| theirs.0 <= mine.0 && mine.1 <= theirs.1)
    }

    /// Appends what remains of this box without `other`: at most six boxes.
    fn without(self, other: &Self, rest: &mut Vec<Self>) {
        if self.intersection(other).is_none() {
            rest.push(self);
            return;
        }
        let mut inside = self;
        for axis in 0..3 {
            let (mine, theirs) = (inside.0[axis], other.0[axis]);
            if mine.0 < theirs.0 {
                let mut below = inside;
                below.0[axis] = (mine.0, theirs.0 - 1);
                rest.push(below);
            }
            if mine.1 > theirs.1 {
                let mut above = inside;
                above.0[axis] = (theirs.1 + 1, mine.1);
                rest.push(above);
            }
            inside.0[axis] = (mine.0.max(theirs.0), mine.1.min(theirs.1));
        }
    }
}

/// Lists of selectors, as a TS payload carries them.
pub mod selectors {
    use super::{FlowSide, TrafficSelector};

    /// Selectors of a narrowed list. A TS payload holds 255; nobody needs as many, and each costs every packet a look.
    pub const MAX_NARROWED: usize = 64;
    /// Pieces looked at when a list is held against a list; a list in more pieces counts as no subset.
    const MAX_PIECES: usize = 1024;

    /// What a responder allows of an offer (RFC 7296 §2.9): every intersection, those of the offer's first selector (the
    /// packet that asked for the SA) first, without selectors another one already covers. Empty: TS_UNACCEPTABLE. At most
    /// [`MAX_NARROWED`]; what is beyond is left out, as narrowing may.
    #[must_use]
    pub fn narrow(ours: &[TrafficSelector], theirs: &[TrafficSelector]) -> Vec<TrafficSelector> {
        let mut narrowed: Vec<TrafficSelector> = Vec::new();
        for offered in theirs {
            for allowed in ours {
                let Some(both) = offered.intersection(allowed) else {
                    continue;
                };
                insert(&mut narrowed, both);
            }
        }
        narrowed
    }

    /// Puts a selector where the first of those it covers stood, else at the end.
    fn insert(narrowed: &mut Vec<TrafficSelector>, selector: TrafficSelector) {
        if narrowed.iter().any(|held| selector.is_subset_of(held)) {
            return;
        }
        match narrowed.iter().position(|held| held.is_subset_of(&selector)) {
            Some(place) => {
                let mut index = 0;
                narrowed.retain(|held| {
                    let keep = index <= place || !held.is_subset_of(&selector);
                    index += 1;
                    keep
                });
                narrowed[place] = selector;
            }
            None if narrowed.len() < MAX_NARROWED => narrowed.push(selector),
            None => {}
        }
    }

    /// Whether whatever `inner` matches, `outer` matches too, be it by several selectors together (RFC 7296 §2.9.2: a rekey
    /// must not narrow the SA it replaces). An exact answer, but `false` for lists that fall into very many pieces.
    #[must_use]
    pub fn is_subset(inner: &[TrafficSelector], outer: &[TrafficSelector]) -> bool {
        inner.iter().all(|selector| is_covered(selector, outer))
    }

    fn is_covered(selector: &TrafficSelector, outer: &[TrafficSelector]) -> bool {
        let Some(whole) = selector.to_box() else {
            return true;
        };
        let mut pieces = vec![whole];
        for other in outer {
            let Some(cover) = other.to_box() else {
                continue;
            };
            if other.is_v4() != selector.is_v4() {
                continue;
            }
            let mut rest = Vec::with_capacity(pieces.len());
            for piece in pieces {
                piece.without(&cover, &mut rest);
            }
            if rest.is_empty() {
                return true;
            }
            if rest.len() > MAX_PIECES {
                return false;
            }
            pieces = rest;
        }
        false
    }

    /// Whether any selector of the list matches this side of a flow.
    #[must_use]
    pub fn contain(list: &[TrafficSelector], side: &FlowSide) -> bool {
        list.iter().any(|selector| selector.contains_flow(side))
    }
}

/// Bits of an address of this family.
fn width(address: IpAddr) -> u32 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// The address of `family`'s family with these bits.
fn from_bits(bits: u128, family: IpAddr) -> IpAddr {
    match family {
        IpAddr::V4(_) => {
            let low = u32::try_from(bits & u128::from(u32::MAX)).expect("masked to 32 bits");
            IpAddr::V4(Ipv4Addr::from_bits(low))
        }
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from_bits(bits)),
    }
}

/// A number whose lowest `count` bits are set.
fn low_bits(count: u32) -> u128 {
    u128::MAX.checked_shr(128 - count.min(128)).unwrap_or(0)
}
