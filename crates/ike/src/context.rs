//! What an IKE SA may use and cause while it handles an input. SAs do not know each other: what concerns another SA or
//! the peer as a whole is an [`Action`] that the endpoint carries out afterwards.

use crate::config::{EndpointConfig, PeerConfig, PeerName};
use crate::event::{ChildId, DownReason, Event, Output, Transmit};
use crate::spi::SpiAllocator;
use crate::trace::Traced;
use crate::v2::IkeSa;
use crate::wire::IkeSpi;
use crypto::{Provider, Rng};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The surroundings of an IKE SA during one call.
pub(crate) struct Context<'a> {
    pub(crate) now: Instant,
    pub(crate) rng: &'a mut dyn Rng,
    pub(crate) provider: &'a dyn Provider,
    pub(crate) config: &'a EndpointConfig,
    pub(crate) peers: &'a BTreeMap<PeerName, Arc<PeerConfig>>,
    /// Peers that an operator took down: nobody may come up as one of them.
    pub(crate) disabled: &'a BTreeSet<PeerName>,
    pub(crate) spis: &'a mut SpiAllocator,
    pub(crate) next_child: &'a mut u64,
    pub(crate) outputs: &'a mut VecDeque<Output>,
    pub(crate) actions: &'a mut VecDeque<Action>,
}

/// What an IKE SA asks the endpoint to do.
#[derive(Debug)]
pub(crate) enum Action {
    /// A rekey made a new IKE SA.
    Add(Box<IkeSa>),
    /// A rekey is decided: the children and waiting tasks go to the new SA. `delete`: it is ours to delete the old one,
    /// but not before its children are safe.
    Inherit { from: IkeSpi, to: IkeSpi, delete: bool },
    /// A rekey lost a collision: its initiator deletes it.
    MakeRedundant { loser: IkeSpi, winner: IkeSpi },
    /// An IKE SA was authenticated in both directions. `initial_contact`: the peer says it has no other.
    Established { spi: IkeSpi, initial_contact: bool },
    /// A negotiation that we began failed.
    ConnectFailed { peer: PeerName, reason: DownReason },
    /// An authenticated IKE SA is over.
    Down { peer: PeerName, reason: DownReason },
    /// A child that carried traffic is gone, and no other took over.
    ChildGone { peer: PeerName, reason: DownReason },
    /// Something about the peer's children or SAs changed: see whether all that is wanted is there.
    Reconcile(PeerName),
    /// What an ISAKMP SA of IKEv1 asks.
    V1(V1Action),
}

/// What an ISAKMP SA of IKEv1 asks the endpoint to do. SAs are named by our cookie.
#[derive(Debug)]
pub(crate) enum V1Action {
    /// An ISAKMP SA was authenticated in both directions. `initial_contact`: the peer says it has nothing else with us.
    Established { cookie: IkeSpi, initial_contact: bool },
    /// The peer says so in a message of its own.
    InitialContact { cookie: IkeSpi },
    /// Its successor is due.
    Rekey { cookie: IkeSpi },
    /// The peer does not answer R-U-THERE: all that is shared with it is gone.
    Dead { cookie: IkeSpi, after: Duration },
}

impl Context<'_> {
    pub(crate) fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    pub(crate) fn trace(&mut self, traced: Traced) {
        self.outputs.push_back(Output::Trace(Box::new(traced)));
    }

    pub(crate) fn transmit(&mut self, transmit: Transmit) {
        self.outputs.push_back(Output::Transmit(transmit));
    }

    pub(crate) fn new_child_id(&mut self) -> ChildId {
        *self.next_child += 1;
        ChildId(*self.next_child)
    }

    /// 32 bytes: at least half the key size of any PRF here (RFC 7296 §2.10).
    pub(crate) fn nonce(&mut self) -> Vec<u8> {
        let mut nonce = vec![0; 32];
        self.rng.fill(&mut nonce);
        nonce
    }
}
