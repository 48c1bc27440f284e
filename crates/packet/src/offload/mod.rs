//! Segmentation and checksum offload as a TUN device speaks it: `virtio_net_hdr` (Virtio 1.2 §5.1.6), splitting what the
//! kernel hands over as one super-packet, merging what it takes back as one.

mod coalesce;
mod header;
mod split;

pub use coalesce::{Coalescer, MAX_OPEN_FLOWS, MAX_SEGMENTS, MAX_SUPER_PACKET, Merging};
pub use header::{
    CSUM_DATA_VALID, GSO_ECN, GSO_NONE, GSO_TCPV4, GSO_TCPV6, GSO_UDP, GSO_UDP_L4, NEEDS_CSUM, OffloadError,
    VNET_HEADER_LEN, VnetHeader,
};
pub use split::Segments;
