//! What an engine observes, typed: for those who speak of SAs in other words than [`crate::status`] does.

use crate::Engine;
use crate::children::Child;
use ike::SaView;
use ike::config::{ChildName, Path, PeerName, Version};
use ike::event::{ChildId, Role};
use ike::id::Id;
use ike::nat::Nat;
use ike::proposal::{EspChoice, IkeSuite};
use ike::wire::IkeSpi;
use ike::{ChildSa, ChildState};
use ipsec::{Encapsulation, InboundSa, OutboundSa, SpiPair, TrafficSelector};
use std::sync::Arc;
use std::time::Instant;

/// An IKE SA with its children.
#[derive(Clone, Debug)]
pub struct IkeView {
    /// Whose.
    pub peer: PeerName,
    /// Which version of IKE made it.
    pub version: Version,
    /// How far it is.
    pub state: IkeState,
    /// From and to.
    pub path: Path,
    /// Who we are to the peer.
    pub local_id: Id,
    /// Who the peer proved to be.
    pub remote_id: Option<Id>,
    /// Who began it.
    pub role: Role,
    /// Our SPI.
    pub local_spi: IkeSpi,
    /// The peer's SPI.
    pub remote_spi: IkeSpi,
    /// What NAT detection found.
    pub nat: Nat,
    /// Algorithms, once negotiated.
    pub suite: Option<IkeSuite>,
    /// When it was authenticated.
    pub established: Option<Instant>,
    /// When a rekey starts.
    pub rekey_at: Option<Instant>,
    /// Its children; in IKEv1 all of the peer's, at its newest SA.
    pub children: Vec<ChildView>,
}

/// How far an IKE SA is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IkeState {
    /// Begun and not authenticated.
    Connecting,
    /// Both ends proved who they are.
    Established,
    /// A successor took over.
    Rekeyed,
    /// A DELETE of ours is under way.
    Deleting,
}

/// A child SA.
#[derive(Clone, Debug)]
pub struct ChildView {
    /// Its configuration.
    pub name: ChildName,
    /// Which; never given to another one.
    pub id: ChildId,
    /// What is to become of it.
    pub state: ChildState,
    /// Algorithms.
    pub choice: EspChoice,
    /// SPIs.
    pub spis: SpiPair,
    /// Our selectors, as negotiated.
    pub local: Vec<TrafficSelector>,
    /// The peer's selectors, as negotiated.
    pub remote: Vec<TrafficSelector>,
    /// When it was installed.
    pub installed: Instant,
    /// When a rekey starts.
    pub rekey_at: Option<Instant>,
    /// When it is deleted whatever happens.
    pub expires_at: Option<Instant>,
    /// When a packet was last received, to half a second.
    pub last_heard: Option<Instant>,
    /// Whether ESP is in UDP.
    pub in_udp: bool,
    counters: Option<(Arc<InboundSa>, Arc<OutboundSa>)>,
}

/// What went through a child SA in one direction.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Traffic {
    /// Bytes of inner packets.
    pub bytes: u64,
    /// Packets.
    pub packets: u64,
}

impl IkeView {
    /// SPIs of initiator and responder.
    pub fn spis(&self) -> (IkeSpi, IkeSpi) {
        match self.role {
            Role::Initiator => (self.local_spi, self.remote_spi),
            Role::Responder => (self.remote_spi, self.local_spi),
        }
    }
}

impl ChildView {
    /// Received and sent by now, also after the SA is gone.
    pub fn traffic(&self) -> (Traffic, Traffic) {
        let Some((inbound, outbound)) = &self.counters else { return <_>::default() };
        let received = Traffic { bytes: inbound.bytes(), packets: inbound.packets() };
        (received, Traffic { bytes: outbound.bytes(), packets: outbound.packets() })
    }
}

impl Engine {
    /// The IKE SAs of the connections, by connection, those of strangers excepted.
    pub fn ike_views(&self) -> Vec<IkeView> {
        let known = self.endpoint.sas().filter(|sa| sa.is_established() || sa.is_connecting() || !sa.is_half_open());
        let mut views: Vec<IkeView> = known.map(|sa| self.ike_view(&sa)).collect();
        views.sort_by(|a, b| a.peer.cmp(&b.peer).then(a.established.cmp(&b.established)));
        views
    }

    fn ike_view(&self, sa: &SaView<'_>) -> IkeView {
        let state = match (sa.is_closing(), sa.is_established(), sa.established()) {
            (true, ..) => IkeState::Deleting,
            (false, true, _) => IkeState::Established,
            (false, false, Some(_)) => IkeState::Rekeyed,
            (false, false, None) => IkeState::Connecting,
        };
        IkeView {
            peer: sa.peer().name.clone(),
            version: sa.version(),
            state,
            path: sa.path(),
            local_id: sa.peer().local_id.clone(),
            remote_id: sa.remote_id().cloned(),
            role: sa.role(),
            local_spi: sa.local_spi(),
            remote_spi: sa.remote_spi(),
            nat: sa.nat(),
            suite: sa.suite(),
            established: sa.established(),
            rekey_at: sa.rekey_at(),
            children: sa.children().map(|child| self.child_view(child)).collect(),
        }
    }

    fn child_view(&self, sa: &ChildSa) -> ChildView {
        let data: Option<&Child> = self.children.by_id.get(&sa.id);
        ChildView {
            name: sa.name.clone(),
            id: sa.id,
            state: sa.state,
            choice: sa.choice,
            spis: sa.spis,
            local: sa.local.clone(),
            remote: sa.remote.clone(),
            installed: sa.installed,
            rekey_at: sa.rekey_at,
            expires_at: sa.expires_at,
            last_heard: data.and_then(|child| child.last_heard),
            in_udp: data.is_some_and(|child| matches!(child.encapsulation, Encapsulation::Udp { .. })),
            counters: data.map(|child| (Arc::clone(&child.inbound), Arc::clone(&child.outbound))),
        }
    }

    /// When the engine was made.
    pub fn started(&self) -> Instant {
        self.started
    }
}
