//! An IKE SA as others may see it, whichever version of IKE made it.

use super::Endpoint;
use crate::child::ChildSa;
use crate::config::{Path, PeerConfig, PeerName, Version};
use crate::event::Role;
use crate::id::Id;
use crate::nat::Nat;
use crate::proposal::IkeSuite;
use crate::v1::IsakmpSa;
use crate::v1::phase2::Phase2;
use crate::v2::IkeSa;
use crate::wire::IkeSpi;
use std::time::Instant;

/// An IKE SA as others may see it.
#[derive(Clone, Debug)]
pub struct SaView<'a> {
    of: Of<'a>,
}

#[derive(Clone, Debug)]
enum Of<'a> {
    V1 {
        sa: &'a IsakmpSa,
        /// The peer's IPsec SAs, shown at its newest ISAKMP SA.
        phase2: Option<&'a Phase2>,
    },
    V2(&'a IkeSa),
}

impl Endpoint {
    /// The IKE SAs, those that are over but still answer repeated requests excepted, and strangers' first messages in IKEv1.
    pub fn sas(&self) -> impl Iterator<Item = SaView<'_>> {
        let v2 = self.sas.values().filter(|sa| !sa.is_closed()).map(|sa| SaView { of: Of::V2(sa) });
        v2.chain(self.v1.sas.values().filter(|sa| !sa.is_half_open()).map(|sa| self.view_v1(sa)))
    }

    /// The IKE SAs of one peer.
    pub fn sas_of<'a>(&'a self, peer: &PeerName) -> impl Iterator<Item = SaView<'a>> {
        let spis = self.states.get(peer).map(|state| &state.sas);
        spis.into_iter().flatten().filter_map(|spi| {
            let v2 = self.sas.get(spi).filter(|sa| !sa.is_closed()).map(|sa| SaView { of: Of::V2(sa) });
            v2.or_else(|| self.v1.sas.get(spi).map(|sa| self.view_v1(sa)))
        })
    }

    fn view_v1<'a>(&'a self, sa: &'a IsakmpSa) -> SaView<'a> {
        let newest = self.v1_live(&sa.peer.name) == Some(sa.local_cookie);
        SaView { of: Of::V1 { sa, phase2: self.v1.phase2.get(&sa.peer.name).filter(|_| newest) } }
    }
}

impl<'a> SaView<'a> {
    /// Which version of IKE it is of.
    pub fn version(&self) -> Version {
        match self.of {
            Of::V1 { .. } => Version::V1,
            Of::V2(_) => Version::V2,
        }
    }

    /// Our SPI; in IKEv1 our cookie.
    pub fn local_spi(&self) -> IkeSpi {
        match self.of {
            Of::V1 { sa, .. } => sa.local_cookie,
            Of::V2(sa) => sa.local_spi,
        }
    }

    /// The peer's SPI.
    pub fn remote_spi(&self) -> IkeSpi {
        match self.of {
            Of::V1 { sa, .. } => sa.remote_cookie,
            Of::V2(sa) => sa.remote_spi,
        }
    }

    /// Both ends proved who they are, and no successor took over.
    pub fn is_established(&self) -> bool {
        match self.of {
            Of::V1 { sa, .. } => sa.is_established(),
            Of::V2(sa) => sa.is_established(),
        }
    }

    /// Negotiated but not authenticated by anybody yet.
    pub fn is_half_open(&self) -> bool {
        match self.of {
            Of::V1 { sa, .. } => sa.is_half_open(),
            Of::V2(sa) => sa.is_half_open(),
        }
    }

    /// Begun by us and not authenticated yet.
    pub fn is_connecting(&self) -> bool {
        match self.of {
            Of::V1 { sa, .. } => sa.is_connecting(),
            Of::V2(sa) => sa.is_connecting(),
        }
    }

    /// A DELETE of ours for it is under way or waiting. In IKEv1 it never waits.
    pub fn is_closing(&self) -> bool {
        match self.of {
            Of::V1 { .. } => false,
            Of::V2(sa) => sa.is_closing(),
        }
    }

    /// Whose it is, by configuration.
    pub fn peer(&self) -> &'a PeerConfig {
        match self.of {
            Of::V1 { sa, .. } => &sa.peer,
            Of::V2(sa) => &sa.peer,
        }
    }

    /// Who the peer proved to be.
    pub fn remote_id(&self) -> Option<&'a Id> {
        match self.of {
            Of::V1 { sa, .. } => sa.remote_id.as_ref(),
            Of::V2(sa) => sa.remote_id.as_ref(),
        }
    }

    /// From and to.
    pub fn path(&self) -> Path {
        match self.of {
            Of::V1 { sa, .. } => sa.path,
            Of::V2(sa) => sa.path,
        }
    }

    /// What NAT detection found.
    pub fn nat(&self) -> Nat {
        match self.of {
            Of::V1 { sa, .. } => sa.nat,
            Of::V2(sa) => sa.nat,
        }
    }

    /// Who began it.
    pub fn role(&self) -> Role {
        match self.of {
            Of::V1 { sa, .. } => sa.role,
            Of::V2(sa) => sa.role,
        }
    }

    /// Its algorithms, once negotiated.
    pub fn suite(&self) -> Option<IkeSuite> {
        match self.of {
            Of::V1 { sa, .. } => sa.session.as_ref().map(|session| session.suite),
            Of::V2(sa) => sa.session.as_ref().map(|session| session.suite),
        }
    }

    /// When it was authenticated.
    pub fn established(&self) -> Option<Instant> {
        match self.of {
            Of::V1 { sa, .. } => sa.established,
            Of::V2(sa) => sa.established,
        }
    }

    /// When a rekey starts.
    pub fn rekey_at(&self) -> Option<Instant> {
        match self.of {
            Of::V1 { sa, .. } => sa.rekey_at,
            Of::V2(sa) => sa.rekey_at,
        }
    }

    /// A request of ours waits for its answer; in IKEv1 an exchange of either end is not finished.
    pub fn is_waiting(&self) -> bool {
        match self.of {
            Of::V1 { sa, .. } => sa.outstanding.is_some() || !sa.quick.is_empty(),
            Of::V2(sa) => sa.window.outstanding.is_some(),
        }
    }

    /// Requests of ours that wait for their turn.
    pub fn waiting(&self) -> usize {
        match self.of {
            Of::V1 { phase2, .. } => phase2.map_or(0, |phase2| phase2.queue.len()),
            Of::V2(sa) => sa.queue.len(),
        }
    }

    /// Nothing is under way and nothing waits, here or for the peer's own exchange.
    pub fn is_quiet(&self) -> bool {
        !self.is_waiting() && self.waiting() == 0
    }

    /// Its children. In IKEv1 they belong to the peer, and are shown at its newest established SA; see also
    /// [`Endpoint::children_of`].
    pub fn children(&self) -> impl Iterator<Item = &'a ChildSa> {
        let (v1, v2) = match self.of {
            Of::V1 { phase2, .. } => (phase2, None),
            Of::V2(sa) => (None, Some(sa)),
        };
        let v1 = v1.into_iter().flat_map(|phase2| phase2.children.values()).map(|child| &child.sa);
        v1.chain(v2.into_iter().flat_map(|sa| sa.children.values()))
    }
}
