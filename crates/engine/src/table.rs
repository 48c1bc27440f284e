//! The forwarding table: what decisions publish and packet workers read. Immutable; a change makes a new one.

use ike::config::{ChildName, PeerName};
use ike::event::ChildId;
use ipsec::{Encapsulation, InboundSa, OutboundSa, SelectorPair, Spd, Spi, TunnelPolicy};
use packet::FlowKey;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};

/// Everything a worker needs to handle a packet.
#[derive(Debug, Default)]
pub struct ForwardingTable {
    /// Counts up with every publication.
    pub generation: u64,
    /// Policies in order; `Protect` names a slot.
    pub spd: Spd<usize>,
    /// One per configured child.
    pub slots: Vec<Slot>,
    /// Inbound SAs by SPI, those that only linger included.
    pub inbound: BTreeMap<Spi, Arc<InboundEntry>>,
    /// Whether to lower the MSS of TCP connections to what fits.
    pub clamp_mss: bool,
}

/// A configured child and the SAs that serve it, the one to use first.
#[derive(Debug)]
pub struct Slot {
    /// Whose.
    pub peer: PeerName,
    /// Which.
    pub child: ChildName,
    /// Packets ask for it while it is down.
    pub on_demand: bool,
    /// SAs to send on; empty while it is down. A peer that narrows may need several.
    pub outbound: Vec<Arc<OutboundEntry>>,
}

/// An outbound SA with all that a packet on it needs.
#[derive(Debug)]
pub struct OutboundEntry {
    /// The child.
    pub child: ChildId,
    /// Whose.
    pub peer: PeerName,
    /// Sequence numbers and keys.
    pub sa: Arc<OutboundSa>,
    /// What may be sent on it.
    pub selectors: SelectorPair,
    /// Where it goes.
    pub encapsulation: Encapsulation,
    /// Largest inner packet in bytes.
    pub inner_mtu: u16,
    /// Largest TCP segment for IPv4 and IPv6 inside, in bytes.
    pub mss: (u16, u16),
    /// The soft lifetime was reported.
    pub soft_reported: Arc<AtomicBool>,
}

/// An inbound SA with what the engine learns from packets on it.
#[derive(Debug)]
pub struct InboundEntry {
    /// The child.
    pub child: ChildId,
    /// Whose.
    pub peer: PeerName,
    /// Replay window and keys.
    pub sa: Arc<InboundSa>,
    /// Treatment of the outer header.
    pub tunnel: TunnelPolicy,
    /// Where it comes from.
    pub encapsulation: Encapsulation,
    /// MSS limits for TCP connections from the peer, as for what we send.
    pub mss: (u16, u16),
    /// Packets received on it; the engine compares with what it saw last.
    pub heard: Arc<AtomicU64>,
    /// Packets on it that did not open and were held against another truncation of the MAC.
    pub looks: Arc<AtomicU32>,
}

impl Slot {
    /// The SA that may carry a flow, the preferred one first.
    pub fn entry_for(&self, flow: &FlowKey) -> Option<&Arc<OutboundEntry>> {
        self.outbound.iter().find(|entry| entry.selectors.allows_outbound(flow))
    }
}
