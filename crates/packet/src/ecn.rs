//! The DS field and explicit congestion notification across a tunnel (RFC 2983, RFC 6040 normal mode).
//!
//! ```text
//!     encapsulation   outer ECN = inner ECN, always (§4.1)
//!     decapsulation   the table of §4.2 (figure 4), rows inner, columns outer:
//!
//!                  Not-ECT  ECT(0)   ECT(1)   CE
//!       Not-ECT    Not-ECT  Not-ECT  Not-ECT  drop
//!       ECT(0)     ECT(0)   ECT(0)   ECT(1)   CE
//!       ECT(1)     ECT(1)   ECT(1)   ECT(1)   CE
//!       CE         CE       CE       CE       CE
//! ```

use crate::octets::{put, u16_at};
use crate::{IpVersion, IpView, PacketError, checksum};

/// The two ECN bits (RFC 3168 §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ecn {
    /// 00: the sender does not understand ECN.
    NotEct,
    /// 01: ECN-capable, the experimental codepoint (L4S, RFC 9331).
    Ect1,
    /// 10: ECN-capable.
    Ect0,
    /// 11: congestion experienced.
    Ce,
}

impl Ecn {
    /// The ECN bits of a TOS or traffic class byte.
    #[must_use]
    pub fn of_tos(tos: u8) -> Self {
        match tos & 0b11 {
            0b00 => Self::NotEct,
            0b01 => Self::Ect1,
            0b10 => Self::Ect0,
            _ => Self::Ce,
        }
    }

    /// The two bits.
    #[must_use]
    pub fn bits(self) -> u8 {
        match self {
            Self::NotEct => 0b00,
            Self::Ect1 => 0b01,
            Self::Ect0 => 0b10,
            Self::Ce => 0b11,
        }
    }
}

/// Where the outer header's DSCP comes from (RFC 4301 §5.1.2.1, RFC 2983 §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DscpPolicy {
    /// The inner packet's: the network between sees the same classes.
    #[default]
    Copy,
    /// Always this one (0–63; higher bits are ignored): the network between learns nothing of the classes inside.
    Fixed(u8),
}

/// The outer TOS or traffic class for a packet with `inner_tos`.
#[must_use]
pub fn encapsulate_tos(inner_tos: u8, copy_dscp: DscpPolicy) -> u8 {
    let dscp = match copy_dscp {
        DscpPolicy::Copy => inner_tos & 0b1111_1100,
        DscpPolicy::Fixed(dscp) => dscp << 2,
    };
    dscp | (inner_tos & 0b11)
}

/// What leaves the tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decap {
    /// The inner header as it is.
    Keep,
    /// The inner header with these ECN bits.
    Set(Ecn),
    /// Nothing: only a drop can tell this sender of congestion.
    Drop,
}

/// RFC 6040 §4.2 for one packet.
#[must_use]
pub fn decapsulate(inner_ecn: Ecn, outer_ecn: Ecn) -> Decap {
    match (inner_ecn, outer_ecn) {
        (Ecn::NotEct, Ecn::Ce) => Decap::Drop,
        (Ecn::NotEct, Ecn::NotEct | Ecn::Ect0 | Ecn::Ect1) | (Ecn::Ce, _) => Decap::Keep,
        (Ecn::Ect0 | Ecn::Ect1, Ecn::Ce) => Decap::Set(Ecn::Ce),
        (Ecn::Ect0, Ecn::Ect1) => Decap::Set(Ecn::Ect1),
        (Ecn::Ect0, Ecn::NotEct | Ecn::Ect0) => Decap::Keep,
        (Ecn::Ect1, Ecn::NotEct | Ecn::Ect0 | Ecn::Ect1) => Decap::Keep,
    }
}

/// Applies [`decapsulate`] to the inner `packet`; its DSCP stays (RFC 4301 §5.1.2.1).
///
/// # Errors
/// [`PacketError::EcnDrop`] where the packet must not be forwarded; otherwise what [`IpView::parse`] says.
pub fn apply_decap(packet: &mut [u8], outer_tos: u8) -> Result<(), PacketError> {
    let tos = IpView::parse(packet)?.tos();
    match decapsulate(Ecn::of_tos(tos), Ecn::of_tos(outer_tos)) {
        Decap::Keep => Ok(()),
        Decap::Drop => Err(PacketError::EcnDrop),
        Decap::Set(ecn) => {
            set_tos(packet, (tos & 0b1111_1100) | ecn.bits());
            Ok(())
        }
    }
}

/// Replaces the TOS or traffic class; the IPv4 checksum follows (RFC 1624). A packet too short to have one is left alone.
pub fn set_tos(packet: &mut [u8], tos: u8) {
    let Some(old) = u16_at(packet, 0) else {
        return;
    };
    match IpVersion::of(packet) {
        Some(IpVersion::V4) => {
            let new = (old & 0xff00) | u16::from(tos);
            if let Some(sum) = u16_at(packet, 10) {
                let _ = put(packet, 0, &new.to_be_bytes());
                let _ = put(packet, 10, &checksum::update(sum, old, new).to_be_bytes());
            }
        }
        Some(IpVersion::V6) => {
            let new = (old & 0xf00f) | (u16::from(tos) << 4);
            let _ = put(packet, 0, &new.to_be_bytes());
        }
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    use super::*;
    use crate::build::IpHeader;
    use crate::protocol;

    const NOT_ECT: u8 = 0b00;
    const ECT_1: u8 = 0b01;
    const ECT_0: u8 = 0b10;
    const CE: u8 = 0b11;

    /// RFC 6040 §4.2 figure 4, (inner, outer, leaving); `None` is a drop.
    const FIGURE_4: [(u8, u8, Option<u8>); 16] = [
        (NOT_ECT, NOT_ECT, Some(NOT_ECT)),
        (NOT_ECT, ECT_0, Some(NOT_ECT)),
        (NOT_ECT, ECT_1, Some(NOT_ECT)),
        (NOT_ECT, CE, None),
        (ECT_0, NOT_ECT, Some(ECT_0)),
        (ECT_0, ECT_0, Some(ECT_0)),
        (ECT_0, ECT_1, Some(ECT_1)),
        (ECT_0, CE, Some(CE)),
        (ECT_1, NOT_ECT, Some(ECT_1)),
        (ECT_1, ECT_0, Some(ECT_1)),
        (ECT_1, ECT_1, Some(ECT_1)),
        (ECT_1, CE, Some(CE)),
        (CE, NOT_ECT, Some(CE)),
        (CE, ECT_0, Some(CE)),
        (CE, ECT_1, Some(CE)),
        (CE, CE, Some(CE)),
    ];

    fn packets(tos: u8) -> [Vec<u8>; 2] {
        let v4 = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let v6 = IpAddr::V6(Ipv6Addr::LOCALHOST);
        [v4, v6].map(|address| {
            let mut packet = Vec::new();
            let header = IpHeader { tos, ..IpHeader::new(address, address, protocol::TCP) };
            header.append(0, &mut packet).unwrap();
            packet
        })
    }

    #[test]
    fn decapsulation_is_figure_4_of_rfc_6040_in_both_versions() {
        for (inner, outer, leaving) in FIGURE_4 {
            // The DSCP inside stays, whatever the one outside.
            let (inner_tos, outer_tos) = (0xb8 | inner, 0x28 | outer);
            for mut packet in packets(inner_tos) {
                let before = packet.clone();
                let result = apply_decap(&mut packet, outer_tos);
                match leaving {
                    None => {
                        assert_eq!(result, Err(PacketError::EcnDrop));
                        assert_eq!(packet, before);
                    }
                    Some(ecn) => {
                        assert_eq!(result, Ok(()), "{inner:02b} in {outer:02b}");
                        assert_eq!(packet, packets(0xb8 | ecn)[usize::from(packet[0] >> 4 == 6)]);
                    }
                }
            }
        }
    }

    #[test]
    fn encapsulation_copies_ecn_always_and_dscp_by_policy() {
        for tos in 0..=u8::MAX {
            assert_eq!(encapsulate_tos(tos, DscpPolicy::Copy), tos);
            assert_eq!(encapsulate_tos(tos, DscpPolicy::Fixed(46)), 0xb8 | (tos & 3));
            assert_eq!(encapsulate_tos(tos, DscpPolicy::Fixed(0)), tos & 3);
            assert_eq!(Ecn::of_tos(tos).bits(), tos & 3);
        }
    }

    #[test]
    fn a_tos_is_replaced_with_a_right_checksum_and_nothing_else_touched() {
        for (old, new) in [(0, 0xff), (0xff, 0), (0x03, 0xb8), (0x42, 0x42)] {
            let [mut v4, mut v6] = packets(old);
            v6[1] |= 0x0a;
            v6[2] = 0xbc;
            let mut expected_v6 = packets(new)[1].clone();
            expected_v6[1] |= 0x0a;
            expected_v6[2] = 0xbc;
            set_tos(&mut v4, new);
            set_tos(&mut v6, new);
            assert_eq!(v4, packets(new)[0]);
            assert_eq!(v6, expected_v6, "the flow label stays");
        }
    }
}
