//! What can be wrong with a packet, in words an operator can read.

use crate::offload::OffloadError;

/// Why a packet was refused. Nothing here carries packet contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    /// Fewer bytes than a header or a length field promises.
    #[error("{what} needs {needed} bytes and has {available}")]
    Truncated {
        /// The header that did not fit.
        what: &'static str,
        /// Bytes it needs.
        needed: usize,
        /// Bytes there are.
        available: usize,
    },
    /// The version nibble is neither 4 nor 6.
    #[error("IP version {0} is neither 4 nor 6")]
    Version(u8),
    /// The IPv4 header length field is below five words (RFC 791 §3.1).
    #[error("IPv4 header length of {0} bytes is below 20")]
    HeaderLength(usize),
    /// The IPv4 total length is shorter than the header it includes.
    #[error("IPv4 total length {total} is shorter than its header of {header}")]
    TotalLength {
        /// Total length field, bytes.
        total: usize,
        /// Header length, bytes.
        header: usize,
    },
    /// The IPv6 extension header chain is longer than [`crate::MAX_EXTENSION_HEADERS`].
    #[error("too many IPv6 extension headers")]
    ExtensionHeaders,
    /// The packet does not fit and its sender forbids fragments (RFC 791 §2.3, RFC 8200 §5).
    #[error("{length} bytes do not fit an MTU of {mtu} and may not be fragmented")]
    DontFragment {
        /// Packet length, bytes.
        length: usize,
        /// The link's MTU, bytes.
        mtu: usize,
    },
    /// No fragment of eight data bytes fits this MTU.
    #[error("an MTU of {0} carries no fragment")]
    MtuTooSmall(usize),
    /// The time to live or hop limit is used up (RFC 1812 §5.3.1, RFC 8200 §3).
    #[error("time to live exceeded")]
    TtlExpired,
    /// The tunnel marked congestion on a packet whose sender does not understand it (RFC 6040 §4.2).
    #[error("congestion experienced outside, not ECN-capable inside")]
    EcnDrop,
    /// Source and destination are of different IP versions.
    #[error("source and destination are of different IP versions")]
    AddressFamilies,
    /// The packet would be longer than IP can express.
    #[error("{0} bytes are more than an IP packet holds")]
    TooLong(usize),
    /// The offload header and the packet contradict each other.
    #[error("offload header: {0}")]
    Offload(#[from] OffloadError),
}
