//! The forwarding table: what decisions publish and packet workers read. Immutable; a change makes a new one.

use crate::choice::{Choice, MOST_MEMBERS, affinity, flow_hash, member_hash};
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
    /// One per configured child, or per child of a group.
    pub slots: Vec<Slot>,
    /// Inbound SAs by SPI, those that only linger included.
    pub inbound: BTreeMap<Spi, Arc<InboundEntry>>,
    /// Whether to lower the MSS of TCP connections to what fits.
    pub clamp_mss: bool,
}

/// A configured child, or one that the tunnels of a group have in common, and who can carry its traffic.
#[derive(Debug)]
pub struct Slot {
    /// The tunnels, most preferred first where the choice says nothing; one where there is no group.
    pub members: Vec<Member>,
    /// Which of several carries.
    pub choice: Arc<Choice>,
}

/// A tunnel that can carry a slot's traffic and the SAs that serve it, the one to use first.
#[derive(Debug)]
pub struct Member {
    /// Whose.
    pub peer: PeerName,
    /// Which.
    pub child: ChildName,
    /// Packets ask for it while it is down.
    pub on_demand: bool,
    /// SAs to send on; empty while it is down. A peer that narrows may need several.
    pub outbound: Vec<Arc<OutboundEntry>>,
    /// Stands for it where flows are shared out.
    hash: u64,
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
    /// The engine wants to know of the next packet: the first after a pause.
    pub armed: Arc<AtomicBool>,
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
    /// The slot of a connection that has no siblings.
    pub fn alone(member: Member) -> Slot {
        Slot { members: vec![member], choice: Arc::default() }
    }

    /// The SA that may carry a flow, of the tunnel that is chosen for it.
    pub fn entry_for(&self, flow: &FlowKey) -> Option<&Arc<OutboundEntry>> {
        match self.members.as_slice() {
            [only] => only.entry_for(flow),
            members => self.choice.order().into_iter().find_map(|tier| share(members, tier, flow)),
        }
    }

    /// Whether anything can be sent.
    pub fn is_up(&self) -> bool {
        self.members.iter().any(|member| !member.outbound.is_empty())
    }

    /// Every SA to send on, of all its tunnels.
    pub fn outbound(&self) -> impl Iterator<Item = &Arc<OutboundEntry>> {
        self.members.iter().flat_map(|member| &member.outbound)
    }
}

/// The SA for a flow among the members of a tier: the flow belongs to one of those that can carry it.
fn share<'a>(members: &'a [Member], tier: u32, flow: &FlowKey) -> Option<&'a Arc<OutboundEntry>> {
    let of_tier = members.iter().enumerate().filter(|(index, _)| *index < MOST_MEMBERS && tier >> index & 1 == 1);
    let able = of_tier.filter_map(|(_, member)| Some((member.hash, member.entry_for(flow)?)));
    if tier.is_power_of_two() {
        return able.map(|(_, entry)| entry).next();
    }
    let flow = flow_hash(flow);
    able.max_by_key(|(member, _)| affinity(flow, *member)).map(|(_, entry)| entry)
}

impl Member {
    /// A tunnel with the SAs that serve it now.
    pub fn new(peer: &PeerName, child: &ChildName, on_demand: bool, outbound: Vec<Arc<OutboundEntry>>) -> Member {
        Member { peer: peer.clone(), child: child.clone(), on_demand, outbound, hash: member_hash(&peer.0) }
    }

    fn entry_for(&self, flow: &FlowKey) -> Option<&Arc<OutboundEntry>> {
        self.outbound.iter().find(|entry| entry.selectors.allows_outbound(flow))
    }
}
