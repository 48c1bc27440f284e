//! Phase 1: an authenticated ISAKMP SA (RFC 2409 §5), by main mode (§5.4) or aggressive mode.
//!
//! Invariant: this module alone leads to `Established`, and only through [`IsakmpSa::verify`].

pub(crate) mod aggressive;
pub(crate) mod identity;
pub(crate) mod main_mode;

use super::keys::{self, Proof};
use super::message::{Outcome, Received};
use super::proposal::Phase1Choice;
use super::wire::{ExchangeType, NotifyType, Payload, SaPayload};
use super::{IsakmpSa, Outstanding, Session, State};
use crate::child::lifetime_ends;
use crate::config::{Lifetime, PeerConfig, Version};
use crate::context::{Action, Context, V1Action};
use crate::event::{DownReason, Event, IgnoredReason, Role};
use crate::id::Id;
use crate::proposal::IkeSuite;
use crate::retransmit::Schedule;
use crypto::{Group, KeyExchange, SecretBytes};
use std::time::Duration;

/// What we offered in message 1.
#[derive(Debug)]
pub(crate) struct Offered {
    pub(crate) sa: SaPayload,
}

/// What was chosen of an offer.
#[derive(Clone, Debug)]
pub(crate) struct SaChoice {
    pub(crate) suite: IkeSuite,
    /// The lifetime both ends named, if they did.
    pub(crate) lifetime: Option<Duration>,
    /// SAi_b: the body of the initiator's SA payload.
    pub(crate) sa: Vec<u8>,
}

/// Our half of the Diffie-Hellman exchange, and what stands before the other half comes: in main mode the responder's
/// choice, in aggressive mode what we offered.
#[derive(Debug)]
pub(crate) struct Keying<Basis> {
    pub(crate) basis: Basis,
    pub(crate) share: Box<dyn KeyExchange>,
    pub(crate) nonce: Vec<u8>,
}

/// Both halves.
#[derive(Debug)]
pub(crate) struct Exchanged {
    pub(crate) choice: SaChoice,
    pub(crate) g_xi: Vec<u8>,
    pub(crate) g_xr: Vec<u8>,
    pub(crate) ni: Vec<u8>,
    pub(crate) nr: Vec<u8>,
    pub(crate) shared: SecretBytes,
}

impl SaChoice {
    pub(crate) fn new(choice: &Phase1Choice, sa: &[u8]) -> SaChoice {
        SaChoice { suite: choice.suite, lifetime: choice.lifetime, sa: sa.to_vec() }
    }
}

/// The payload of one kind of a message; none or several are a fault.
pub(crate) fn only<'a, T: ?Sized>(
    payloads: &'a [Payload],
    pick: impl Fn(&'a Payload) -> Option<&'a T>,
) -> Option<&'a T> {
    let mut found = payloads.iter().filter_map(pick);
    match (found.next(), found.next()) {
        (Some(only), None) => Some(only),
        _ => None,
    }
}

pub(crate) fn key_exchange(payloads: &[Payload]) -> Option<&[u8]> {
    only(payloads, |payload| match payload {
        Payload::KeyExchange(data) => Some(data.as_slice()),
        _ => None,
    })
}

pub(crate) fn nonce(payloads: &[Payload]) -> Option<&[u8]> {
    only(payloads, |payload| match payload {
        Payload::Nonce(data) => Some(data.as_slice()),
        _ => None,
    })
}

pub(crate) fn sa(payloads: &[Payload]) -> Option<&SaPayload> {
    only(payloads, |payload| match payload {
        Payload::SecurityAssociation(sa) => Some(sa),
        _ => None,
    })
}

pub(crate) fn hash(payloads: &[Payload]) -> Option<&[u8]> {
    only(payloads, |payload| match payload {
        Payload::Hash(data) => Some(data.as_slice()),
        _ => None,
    })
}

/// Whether a message carries this notification.
pub(crate) fn notified(payloads: &[Payload], ty: NotifyType) -> bool {
    payloads.iter().any(|payload| matches!(payload, Payload::Notification(notify) if notify.ty == ty))
}

impl IsakmpSa {
    pub(crate) fn handle_phase1(&mut self, received: &Received<'_>, cx: &mut Context<'_>) -> Outcome {
        if self.answer_again(received, cx) {
            return Ok(());
        }
        if received.header.message_id != 0 {
            return Err(IgnoredReason::Unexpected);
        }
        match (&self.state, received.header.exchange) {
            (State::SaOffered(_), ExchangeType::MainMode) => self.main_mode_2(received, cx),
            (State::SaChosen(_), ExchangeType::MainMode) => self.main_mode_3(received, cx),
            (State::KeOffered(_), ExchangeType::MainMode) => self.main_mode_4(received, cx),
            (State::KeAnswered(_), ExchangeType::MainMode) => self.main_mode_5(received, cx),
            (State::IdOffered(_), ExchangeType::MainMode) => self.main_mode_6(received, cx),
            (State::AggressiveOffered(_), ExchangeType::Aggressive) => self.aggressive_2(received, cx),
            (State::AggressiveAnswered(_), ExchangeType::Aggressive) => self.aggressive_3(received, cx),
            _ => Err(IgnoredReason::Unexpected),
        }
    }

    /// Sends a message of ours and repeats it until it is answered.
    pub(crate) fn ask(&mut self, message: &'static str, datagrams: Vec<Vec<u8>>, cx: &mut Context<'_>) {
        let schedule = Schedule::start(&self.peer.retransmit, self.peer.retransmit.give_up, cx.now, cx.rng);
        self.send(&datagrams, cx);
        self.outstanding = Some(Outstanding { message, datagrams, schedule, hint: None });
    }

    /// An answer that nothing protects says that it will not work. It may be forged: it only shortens the wait.
    pub(crate) fn take_hint(&mut self, reason: DownReason, cx: &mut Context<'_>) {
        let soon = cx.now + self.peer.retransmit.initial * 2;
        let Some(outstanding) = &mut self.outstanding else { return };
        outstanding.schedule.deadline = outstanding.schedule.deadline.min(soon);
        outstanding.hint.get_or_insert(reason);
    }

    /// What an end proves with its HASH, and whether `received` is that proof.
    pub(crate) fn proof_of(&self, session: &Session, exchanged: &Exchanged, prover: Role, id: &[u8]) -> SecretBytes {
        let (cky_i, cky_r) = self.cookies();
        let (i, r) = ((&exchanged.g_xi, cky_i), (&exchanged.g_xr, cky_r));
        let (own, other) = if prover == Role::Initiator { (i, r) } else { (r, i) };
        let proof = Proof {
            own_public: own.0,
            other_public: other.0,
            own_cookie: own.1,
            other_cookie: other.1,
            sa: &exchanged.choice.sa,
            id,
        };
        keys::proof(session.suite.prf, &session.keys.skeyid, &proof)
    }

    /// Whether the peer's HASH proves that it knows the key (RFC 2409 §5).
    pub(crate) fn verify(
        &self,
        session: &Session,
        exchanged: &Exchanged,
        prover: Role,
        id: &[u8],
        received: &[u8],
    ) -> bool {
        self.proof_of(session, exchanged, prover, id).ct_eq(received)
    }

    /// The peer proved who it is: the ISAKMP SA stands, and its clocks start.
    pub(crate) fn establish(
        &mut self,
        remote_id: Id,
        negotiated: Option<Duration>,
        initial_contact: bool,
        cx: &mut Context<'_>,
    ) {
        let Some(suite) = self.session.as_ref().map(|session| session.suite) else { return };
        self.state = State::Established;
        self.established = Some(cx.now);
        self.last_heard = cx.now;
        self.remote_id = Some(remote_id.clone());
        let lifetime = agreed_lifetime(&self.peer.lifetime, negotiated);
        (self.rekey_at, self.expires_at) = lifetime_ends(&lifetime, cx.now, cx.rng);
        self.dpd.start(cx.rng);
        let peer = self.peer.name.clone();
        cx.event(Event::IkeSaUp {
            peer: peer.clone(),
            version: Version::V1,
            path: self.path,
            local_spi: self.local_cookie,
            remote_spi: self.remote_cookie,
            suite,
            role: self.role,
            remote_id,
            nat: (self.nat.local, self.nat.remote),
        });
        self.say_lifetime(negotiated, cx);
        cx.actions.push_back(Action::V1(V1Action::Established { cookie: self.local_cookie, initial_contact }));
    }

    fn say_lifetime(&self, negotiated: Option<Duration>, cx: &mut Context<'_>) {
        let ours = self.peer.lifetime.time;
        if let Some(theirs) = negotiated.filter(|theirs| Some(*theirs) != ours) {
            cx.event(Event::LifetimeDiffers { peer: self.peer.name.clone(), name: None, ours, theirs });
        }
    }

    /// The notification that tells the peer of a first contact, if it is one.
    pub(crate) fn initial_contact(&self) -> Option<Payload> {
        let (i, r) = self.cookies();
        (self.initial_contact && self.peer.initial_contact).then(|| {
            Payload::Notification(super::wire::Notification {
                protocol: super::wire::ProtocolId::Isakmp,
                spi: [i.0, r.0].concat(),
                ty: NotifyType::INITIAL_CONTACT,
                data: Vec::new(),
            })
        })
    }
}

/// The shorter of our lifetime and the one named on the wire.
pub(crate) fn agreed_lifetime(ours: &Lifetime, negotiated: Option<Duration>) -> Lifetime {
    let time = match (ours.time, negotiated) {
        (Some(ours), Some(theirs)) => Some(ours.min(theirs)),
        (ours, theirs) => ours.or(theirs),
    };
    // A margin made for a longer lifetime would have a shorter one replaced at once.
    let margin = match time {
        Some(time) if Some(time) != ours.time => ours.margin.min(time / 4),
        _ => ours.margin,
    };
    Lifetime { time, margin, ..*ours }
}

/// Our half for a group, as a payload too.
pub(crate) fn make_share<Basis>(
    basis: Basis,
    group: Group,
    cx: &mut Context<'_>,
) -> Result<(Keying<Basis>, Payload), DownReason> {
    let share = cx.provider.key_exchange(group, cx.rng);
    let share = share.map_err(|error| DownReason::Crypto(error.to_string()))?;
    let payload = Payload::KeyExchange(share.public().to_vec());
    let nonce = cx.nonce();
    Ok((Keying { basis, share, nonce }, payload))
}

/// A child lifetime in octets for one in kilobytes.
pub(crate) fn octets_of(kilobytes: u64) -> u64 {
    kilobytes.saturating_mul(1024)
}

/// What we say of ourselves that makes a peer's mode another than ours.
pub(crate) fn mode_of(peer: &PeerConfig) -> &'static str {
    if peer.aggressive { "aggressive mode" } else { "main mode" }
}
