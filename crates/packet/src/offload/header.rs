//! The ten bytes before each packet of a TUN device opened with `IFF_VNET_HDR` (Virtio 1.2 §5.1.6).

use crate::PacketError;

/// Bytes of the header without the `num_buffers` extension, which a TUN does not use by default.
pub const VNET_HEADER_LEN: usize = 10;

/// Flag: the checksum field holds the pseudo header's sum; sum from `csum_start`, store at `csum_start + csum_offset`.
pub const NEEDS_CSUM: u8 = 1;
/// Flag: the checksum was verified already. Nothing to do.
pub const CSUM_DATA_VALID: u8 = 2;
/// A plain packet.
pub const GSO_NONE: u8 = 0;
/// TCP over IPv4 to be cut into segments (TSO).
pub const GSO_TCPV4: u8 = 1;
/// UDP to be cut into IP fragments (UFO): obsolete, refused.
pub const GSO_UDP: u8 = 3;
/// TCP over IPv6 to be cut into segments (TSO).
pub const GSO_TCPV6: u8 = 4;
/// UDP to be cut into datagrams (USO).
pub const GSO_UDP_L4: u8 = 5;
/// Bit of `gso_type`: the first segment carries CWR.
pub const GSO_ECN: u8 = 0x80;

/// How an offload header and its packet disagree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OffloadError {
    /// A `gso_type` that was not asked for.
    #[error("unknown GSO type {0}")]
    GsoType(u8),
    /// The GSO type names another IP version or protocol than the packet has.
    #[error("the GSO type does not fit the packet's protocol")]
    Protocol,
    /// A super-packet that is also an IP fragment.
    #[error("a super-packet may not be a fragment")]
    Fragment,
    /// A segment size of zero.
    #[error("segment size of zero")]
    SegmentSize,
    /// The transport header is cut short or has an impossible length.
    #[error("bad transport header")]
    TransportHeader,
    /// `csum_start` and `csum_offset` point outside the packet or into its IP header.
    #[error("checksum position {start}+{offset} is outside the upper layer")]
    ChecksumPosition {
        /// `csum_start`, bytes.
        start: u16,
        /// `csum_offset`, bytes.
        offset: u16,
    },
}

/// `struct virtio_net_hdr`. Multi-byte fields travel in the machine's byte order, a TUN's default (`TUNSETVNETLE` and
/// `TUNSETVNETBE` choose another).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VnetHeader {
    /// [`NEEDS_CSUM`], [`CSUM_DATA_VALID`].
    pub flags: u8,
    /// One of the `GSO_` constants, perhaps with [`GSO_ECN`].
    pub gso_type: u8,
    /// Bytes of all headers together; a hint, not to be trusted.
    pub hdr_len: u16,
    /// Payload bytes of each segment but the last.
    pub gso_size: u16,
    /// Where summing starts, bytes from the start of the packet.
    pub csum_start: u16,
    /// Where the checksum goes, bytes from `csum_start`.
    pub csum_offset: u16,
}

impl VnetHeader {
    /// A packet that needs nothing.
    pub const NONE: Self =
        Self { flags: 0, gso_type: GSO_NONE, hdr_len: 0, gso_size: 0, csum_start: 0, csum_offset: 0 };

    /// Splits what a TUN read returned into header and packet.
    ///
    /// # Errors
    /// [`PacketError::Truncated`] below ten bytes.
    pub fn parse(bytes: &[u8]) -> Result<(Self, &[u8]), PacketError> {
        let Some((fixed, packet)) = bytes.split_first_chunk::<VNET_HEADER_LEN>() else {
            return Err(PacketError::Truncated {
                what: "offload header",
                needed: VNET_HEADER_LEN,
                available: bytes.len(),
            });
        };
        let header = Self {
            flags: fixed[0],
            gso_type: fixed[1],
            hdr_len: u16::from_ne_bytes([fixed[2], fixed[3]]),
            gso_size: u16::from_ne_bytes([fixed[4], fixed[5]]),
            csum_start: u16::from_ne_bytes([fixed[6], fixed[7]]),
            csum_offset: u16::from_ne_bytes([fixed[8], fixed[9]]),
        };
        Ok((header, packet))
    }

    /// The ten bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; VNET_HEADER_LEN] {
        let mut bytes = [0; VNET_HEADER_LEN];
        bytes[0] = self.flags;
        bytes[1] = self.gso_type;
        bytes[2..4].copy_from_slice(&self.hdr_len.to_ne_bytes());
        bytes[4..6].copy_from_slice(&self.gso_size.to_ne_bytes());
        bytes[6..8].copy_from_slice(&self.csum_start.to_ne_bytes());
        bytes[8..10].copy_from_slice(&self.csum_offset.to_ne_bytes());
        bytes
    }

    /// Whether the upper-layer checksum is still to be computed: what [`crate::clamp_mss`] wants to know.
    #[must_use]
    pub fn checksum_partial(&self) -> bool {
        self.flags & NEEDS_CSUM != 0
    }
}
