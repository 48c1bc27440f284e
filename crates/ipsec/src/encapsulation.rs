//! What stands around an ESP packet on the wire: an IP header alone (RFC 4303) or UDP (RFC 3948).

use std::net::{IpAddr, SocketAddr};

use packet::IpVersion;

/// The outer addresses of an SA pair, as seen from here.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Encapsulation {
    /// ESP in UDP, normally port 4500 at both ends before any NAT (RFC 3948).
    Udp {
        /// Our address and port.
        local: SocketAddr,
        /// The peer's address and port as we see them; a NAT may change them.
        remote: SocketAddr,
    },
    /// ESP as IP protocol 50.
    Plain {
        /// Our address.
        local: IpAddr,
        /// The peer's address.
        remote: IpAddr,
    },
}

impl Encapsulation {
    /// Our outer address.
    #[must_use]
    pub const fn local_address(&self) -> IpAddr {
        match self {
            Self::Udp { local, .. } => local.ip(),
            Self::Plain { local, .. } => *local,
        }
    }

    /// The peer's outer address.
    #[must_use]
    pub const fn remote_address(&self) -> IpAddr {
        match self {
            Self::Udp { remote, .. } => remote.ip(),
            Self::Plain { remote, .. } => *remote,
        }
    }

    /// Whether a UDP header stands in front of ESP.
    #[must_use]
    pub const fn is_udp(&self) -> bool {
        matches!(self, Self::Udp { .. })
    }

    /// The version of the outer IP header.
    #[must_use]
    pub const fn outer_version(&self) -> IpVersion {
        match self.remote_address() {
            IpAddr::V4(_) => IpVersion::V4,
            IpAddr::V6(_) => IpVersion::V6,
        }
    }
}
