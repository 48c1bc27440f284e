//! What the outer IP header says of the inner one (RFC 4301 §5.1.2, RFC 6040, RFC 2983).

use packet::ecn::{self, DscpPolicy};
use packet::{IpVersion, PacketError};

use crate::drop_reason::DropReason;

/// The outer header's DF bit (RFC 4301 §8.1); for outer IPv4 only.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum DfPolicy {
    /// As the inner packet has it; an IPv6 packet counts as having it set.
    #[default]
    Copy,
    /// Always set: the path MTU gets discovered.
    Set,
    /// Always clear: routers may fragment ESP packets.
    Clear,
}

/// How a tunnel treats DSCP, DF and ECN.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TunnelPolicy {
    /// The outer DSCP.
    pub dscp: DscpPolicy,
    /// The outer DF bit.
    pub df: DfPolicy,
    /// RFC 6040 normal mode. Off: nothing of ECN goes out (compatibility mode) and none is taken in.
    pub ecn: bool,
}

impl Default for TunnelPolicy {
    fn default() -> Self {
        Self { dscp: DscpPolicy::Copy, df: DfPolicy::Copy, ecn: true }
    }
}

impl TunnelPolicy {
    /// The outer TOS or traffic class of the packet that carries `inner`.
    #[must_use]
    pub fn outer_tos(&self, inner: &[u8]) -> u8 {
        let outer = ecn::encapsulate_tos(tos(inner), self.dscp);
        if self.ecn { outer } else { outer & 0b1111_1100 }
    }

    /// The DF bit of the outer IPv4 header of the packet that carries `inner`.
    #[must_use]
    pub fn outer_df(&self, inner: &[u8]) -> bool {
        match self.df {
            DfPolicy::Set => true,
            DfPolicy::Clear => false,
            DfPolicy::Copy => match IpVersion::of(inner) {
                Some(IpVersion::V4) => inner.get(6).is_some_and(|flags| flags & 0x40 != 0),
                _ => true,
            },
        }
    }

    /// Takes the outer header's congestion mark over into the decrypted packet (RFC 6040 §4.2). Its DSCP stays.
    ///
    /// # Errors
    /// [`DropReason::Congestion`] where only a drop can tell the sender; [`DropReason::Malformed`] for no IP packet.
    pub fn decapsulate(&self, inner: &mut [u8], outer_tos: u8) -> Result<(), DropReason> {
        if !self.ecn {
            return Ok(());
        }
        ecn::apply_decap(inner, outer_tos).map_err(|error| match error {
            PacketError::EcnDrop => DropReason::Congestion,
            _ => DropReason::Malformed,
        })
    }
}

/// TOS or traffic class of a packet; 0 for what is no IP packet.
fn tos(packet: &[u8]) -> u8 {
    match (IpVersion::of(packet), packet.first_chunk::<2>()) {
        (Some(IpVersion::V4), Some([_, tos])) => *tos,
        (Some(IpVersion::V6), Some([high, low])) => (high << 4) | (low >> 4),
        _ => 0,
    }
}
