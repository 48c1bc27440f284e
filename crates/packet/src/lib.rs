//! IPv4 and IPv6 packets in place: views, builders, checksums, and the offloads of a TUN device.
//!
//! Everything here is pure and allocates nothing per packet, except builders that write into a caller's `Vec`. Whatever
//! a packet or an offload header claims is checked against the bytes present; nothing here can panic on input.

#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

pub mod build;
pub mod checksum;
pub mod ecn;
mod error;
mod flow;
mod fragment;
pub mod icmp;
mod ip;
mod mss;
mod octets;
pub mod offload;
pub mod protocol;
mod ttl;

pub use error::PacketError;
pub use flow::{FlowKey, flow_key};
pub use fragment::fragment_v4;
pub use ip::{IpVersion, IpView, MAX_EXTENSION_HEADERS};
pub use mss::clamp_mss;
pub use ttl::decrement_ttl;
