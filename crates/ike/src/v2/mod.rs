//! One IKE SA of IKEv2 (RFC 7296), from the first message to the last.
//!
//! ```text
//!  initiator   Connecting ──INIT──► Authenticating ──AUTH──► Established ──rekey──► Replaced ─┐
//!  responder        HalfOpen ─────────────AUTH────────────►       │                         ├─► Closed
//!                                                                 └────────── delete ────────┘
//! ```
//! Invariants: `Established` is reached only by [`exchange::auth`], after the peer's AUTH was verified, or by a rekey
//! of an established SA. Nothing that fails its integrity check changes anything here. At most one request of ours is
//! outstanding; further work waits in `queue`.

pub(crate) mod child;
pub(crate) mod exchange;
pub(crate) mod message;
pub(crate) mod payloads;
pub(crate) mod select_peer;
mod tasks;
mod timers;
mod window;

use crate::config::{Path, PeerConfig};
use crate::context::{Action, Context};
use crate::event::{ChildId, DownReason, Event, Role};
use crate::id::Id;
use crate::keys::IkeKeys;
use crate::nat::Nat;
use crate::proposal::IkeSuite;
use crate::sk::SkCipher;
use crate::wire::IkeSpi;
use child::ChildSa;
use crypto::{CryptoError, Rng, SecretBytes};
use exchange::auth::HalfOpen;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};
pub(crate) use tasks::{Queued, Task};
use window::Window;

/// How long a closed IKE SA still answers a repeated request, so that the peer need not wait for its own time-out.
const TOMBSTONE: Duration = Duration::from_secs(60);

/// Where an IKE SA stands.
#[derive(Debug)]
pub(crate) enum State {
    /// Initiator: IKE_SA_INIT sent.
    Connecting,
    /// Responder: IKE_SA_INIT answered, IKE_AUTH expected.
    HalfOpen(Box<HalfOpen>),
    /// Initiator: IKE_AUTH sent.
    Authenticating,
    /// Both ends proved who they are.
    Established,
    /// A rekey made a successor; a DELETE ends this one.
    Replaced,
    /// Over. Kept until then only to answer repeated requests.
    Closed { until: Instant },
}

/// Keys and ciphers, from the end of IKE_SA_INIT on.
pub(crate) struct Session {
    pub(crate) suite: IkeSuite,
    /// SK_d.
    pub(crate) derive: SecretBytes,
    /// SK_pi and SK_pr.
    pub(crate) auth_initiator: SecretBytes,
    pub(crate) auth_responder: SecretBytes,
    pub(crate) cipher: SkCipher,
}

impl Session {
    pub(crate) fn new(suite: IkeSuite, keys: IkeKeys, role: Role, rng: &mut dyn Rng) -> Result<Session, CryptoError> {
        let cipher = SkCipher::new(&suite, &keys, role == Role::Initiator, rng)?;
        Ok(Session { suite, derive: keys.d, auth_initiator: keys.pi, auth_responder: keys.pr, cipher })
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("suite", &self.suite).finish_non_exhaustive()
    }
}

/// What the peer said it can do.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Features {
    /// IKE fragmentation (RFC 7383).
    pub(crate) fragmentation: bool,
    /// An IKE SA without a child (RFC 6023).
    pub(crate) childless: bool,
}

/// One IKE SA.
#[derive(Debug)]
pub struct IkeSa {
    pub(crate) local_spi: IkeSpi,
    pub(crate) remote_spi: IkeSpi,
    /// Who began *this* SA: after a rekey, who began the rekey.
    pub(crate) role: Role,
    pub(crate) peer: Arc<PeerConfig>,
    pub(crate) path: Path,
    pub(crate) nat: Nat,
    pub(crate) features: Features,
    pub(crate) state: State,
    pub(crate) session: Option<Session>,
    pub(crate) window: Window,
    pub(crate) queue: VecDeque<Queued>,
    pub(crate) children: BTreeMap<ChildId, ChildSa>,
    pub(crate) remote_id: Option<Id>,
    /// Lower nonce of the exchange that made this SA.
    pub(crate) nonce: Vec<u8>,
    pub(crate) created: Instant,
    pub(crate) established: Option<Instant>,
    pub(crate) rekey_at: Option<Instant>,
    pub(crate) expires_at: Option<Instant>,
    /// Last authenticated message or ESP packet from the peer.
    pub(crate) last_heard: Instant,
    /// Last message to the peer (for NAT keepalives).
    pub(crate) last_sent: Instant,
    /// The successor that a peer's rekey made while ours was under way.
    pub(crate) rekey_collision: Option<RekeyCollision>,
    /// This SA was made by a peer's rekey that crosses one of ours on that SA, and who wins is not known here yet.
    pub(crate) limbo: Option<IkeSpi>,
    /// The SA that took over from this one.
    pub(crate) heir: Option<IkeSpi>,
    /// We know of no other IKE SA with the peer, and may say so in IKE_AUTH.
    pub(crate) initial_contact: bool,
}

/// A peer's IKE rekey that crosses ours (RFC 7296 §2.8.1).
#[derive(Debug)]
pub(crate) struct RekeyCollision {
    pub(crate) theirs: IkeSpi,
    pub(crate) nonce: Vec<u8>,
}

impl IkeSa {
    pub(crate) fn new(
        local_spi: IkeSpi,
        role: Role,
        peer: Arc<PeerConfig>,
        path: Path,
        state: State,
        now: Instant,
    ) -> IkeSa {
        IkeSa {
            local_spi,
            remote_spi: IkeSpi::ZERO,
            role,
            peer,
            path,
            nat: Nat::default(),
            features: Features::default(),
            state,
            session: None,
            window: Window::default(),
            queue: VecDeque::new(),
            children: BTreeMap::new(),
            remote_id: None,
            nonce: Vec::new(),
            created: now,
            established: None,
            rekey_at: None,
            expires_at: None,
            last_heard: now,
            last_sent: now,
            rekey_collision: None,
            limbo: None,
            heir: None,
            initial_contact: false,
        }
    }

    /// SPIi of this SA.
    pub(crate) fn initiator_spi(&self) -> IkeSpi {
        match self.role {
            Role::Initiator => self.local_spi,
            Role::Responder => self.remote_spi,
        }
    }

    /// SPIr of this SA.
    pub(crate) fn responder_spi(&self) -> IkeSpi {
        match self.role {
            Role::Initiator => self.remote_spi,
            Role::Responder => self.local_spi,
        }
    }

    /// Authenticated, and neither replaced nor over.
    pub(crate) fn is_established(&self) -> bool {
        matches!(self.state, State::Established)
    }

    /// Answered IKE_SA_INIT, but nobody proved anything yet.
    pub(crate) fn is_half_open(&self) -> bool {
        matches!(self.state, State::HalfOpen(_))
    }

    /// We began it and it is not authenticated yet.
    pub(crate) fn is_connecting(&self) -> bool {
        matches!(self.state, State::Connecting | State::Authenticating)
    }

    pub(crate) fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed { .. })
    }

    /// Ends this SA here and now; the peer is not told. Children go with it.
    pub(crate) fn close(&mut self, reason: DownReason, cx: &mut Context<'_>) {
        let was = std::mem::replace(&mut self.state, State::Closed { until: cx.now + TOMBSTONE });
        if matches!(was, State::Closed { .. }) {
            self.state = was;
            return;
        }
        self.abandon_outstanding(cx);
        self.queue.clear();
        let collision = self.rekey_collision.take();
        if let Some(collision) = &collision {
            // Our own rekey is forgotten; the peer's stands and inherits (RFC 7296 §2.25.2).
            cx.actions.push_back(Action::Inherit { from: self.local_spi, to: collision.theirs, delete: false });
        } else {
            let children: Vec<ChildId> = self.children.keys().copied().collect();
            for child in children {
                self.remove_child(child, reason.clone(), cx);
            }
        }
        match was {
            // Replaced by the peer's rekey, or that rekey itself before anybody used it: the peer is still up.
            State::Established if collision.is_some() || self.limbo.is_some() => {}
            State::Established => {
                let (peer, local_spi) = (self.peer.name.clone(), self.local_spi);
                cx.actions.push_back(Action::Down { peer: peer.clone(), reason: reason.clone() });
                cx.event(Event::IkeSaDown { peer, local_spi, reason });
            }
            State::Connecting | State::Authenticating => {
                cx.actions.push_back(Action::ConnectFailed { peer: self.peer.name.clone(), reason });
            }
            State::HalfOpen(_) | State::Replaced | State::Closed { .. } => {}
        }
        self.session = None;
        cx.actions.push_back(Action::Reconcile(self.peer.name.clone()));
    }

    /// Starts the clocks of an SA that is now authenticated.
    pub(crate) fn mark_established(&mut self, cx: &mut Context<'_>) {
        self.state = State::Established;
        self.established = Some(cx.now);
        self.last_heard = cx.now;
        let (rekey, expiry) = child::lifetime_ends(&self.peer.lifetime, cx.now, cx.rng);
        self.rekey_at = rekey;
        self.expires_at = expiry;
    }

    /// The largest IKE message that goes unfragmented: the configured packet size less IP, UDP and marker.
    pub(crate) fn message_limit(&self) -> Option<usize> {
        let size = usize::from(self.peer.fragment_size?);
        if !self.features.fragmentation {
            return None;
        }
        let headers = if self.path.remote.is_ipv6() { 40 + 8 + 4 } else { 20 + 8 + 4 };
        Some(size.saturating_sub(headers).max(256))
    }

    /// What the DELETE, the retransmission and the rekey of this SA must not outlive: nothing of it remains in use.
    pub(crate) fn release(&mut self, cx: &mut Context<'_>) {
        self.abandon_outstanding(cx);
        cx.spis.release_ike(self.local_spi);
    }
}
