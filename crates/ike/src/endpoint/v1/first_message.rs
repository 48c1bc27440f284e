//! Message 1 of main or aggressive mode, the responder's side (RFC 2409 §5).
//!
//! Order: repeated message → a peer that fits, in version and mode → proposal → a small entry, and the answer, which says
//! nothing that the question did not and is never longer. Who we are, a stranger does not learn.

use super::Endpoint;
use crate::config::{PeerConfig, Version};
use crate::event::{DownReason, Event, IgnoredReason, Output, Role, Transmit};
use crate::id::Id;
use crate::v1::message::{Received, traced};
use crate::v1::phase1::identity::{expecting, identification, unexpected};
use crate::v1::phase1::{SaChoice, mode_of, sa};
use crate::v1::proposal::{Phase1Choice, Phase1Error, authentication_words, select_phase1};
use crate::v1::wire::{
    ExchangeType, Header, Notification, NotifyType, Payload, PayloadType, ProtocolId, SaPayload, plain_message,
};
use crate::v1::{IsakmpSa, State, vendor};
use crate::v2::select_peer::{Peers, by_address};
use crate::wire::IkeSpi;
use std::sync::Arc;
use std::time::Instant;

/// Octets of an SA payload that is looked at: an offer of every algorithm there is has fewer.
const MAX_OFFER: usize = 4096;

impl Endpoint {
    pub(super) fn answer_first(&mut self, received: &Received<'_>, now: Instant) {
        let sender = (received.path.remote, received.header.initiator_cookie);
        if let Some(cookie) = self.v1.half_open.by_sender.get(&sender).copied() {
            // The same octets get the same answer; anything else with this cookie is none of ours.
            self.with_v1(cookie, now, |sa, _, cx| sa.answer_again(received, cx));
            return;
        }
        if self.v1.sas.contains_key(&received.header.initiator_cookie) {
            // Our own message, thrown back.
            return self.ignore(received.path, IgnoredReason::Unexpected);
        }
        let Ok(parsed) = received.plain() else { return self.ignore(received.path, IgnoredReason::Malformed) };
        let Some(offer) = sa(&parsed.payloads).filter(|offer| offer.octets.len() <= MAX_OFFER) else {
            return self.ignore(received.path, IgnoredReason::Malformed);
        };
        let peers = Peers { all: &self.peers, disabled: &self.disabled };
        let (local, remote) = (received.path.local.ip(), received.path.remote.ip());
        let here: Vec<Arc<PeerConfig>> = by_address(peers, local, remote).into_iter().cloned().collect();
        let v1: Vec<Arc<PeerConfig>> = here.iter().filter(|peer| peer.versions.allow(Version::V1)).cloned().collect();
        match (v1.is_empty(), here.first()) {
            (true, None) => self.ignore(received.path, IgnoredReason::NoPeer),
            (true, Some(nearest)) => self.refuse_v1(received, &Arc::clone(nearest)),
            (false, _) if received.header.exchange == ExchangeType::MainMode => {
                self.answer_main_mode(received, offer, &parsed.payloads, v1, now);
            }
            (false, _) => self.answer_aggressive(received, offer, &parsed.payloads, v1, now),
        }
    }

    /// All that fit speak IKEv2 only. A peer whose address the configuration names is told.
    fn refuse_v1(&mut self, received: &Received<'_>, nearest: &PeerConfig) {
        let reason = DownReason::VersionMismatch { ours: nearest.versions, theirs: Version::V1 };
        self.reject_first(received, nearest, reason);
        if !nearest.remote_addresses.is_empty() {
            self.refuse_first(received, NotifyType::INVALID_MAJOR_VERSION);
        }
    }

    fn reject_first(&mut self, received: &Received<'_>, peer: &PeerConfig, reason: DownReason) {
        let said = received.seen.take();
        let traced = traced(peer.name.clone(), received.header, received.path, false, said);
        self.outputs.push_back(Output::Trace(Box::new(traced)));
        let peer = Some(peer.name.clone());
        self.outputs.push_back(Output::Event(Event::Rejected { path: received.path, peer, reason }));
    }

    /// An error in clear; nothing is remembered.
    fn refuse_first(&mut self, received: &Received<'_>, ty: NotifyType) {
        let notify = Notification { protocol: ProtocolId::Isakmp, spi: Vec::new(), ty, data: Vec::new() };
        let header = Header {
            next_payload: PayloadType::None,
            exchange: ExchangeType::Informational,
            length: 0,
            ..*received.header
        };
        let message = plain_message(header, &[Payload::Notification(notify)]);
        self.outputs.push_back(Output::Transmit(Transmit { path: received.path, message }));
    }

    /// The first of these peers whose proposals meet the offer.
    fn choose(
        &mut self,
        received: &Received<'_>,
        offer: &SaPayload,
        peers: &[Arc<PeerConfig>],
    ) -> Option<(Arc<PeerConfig>, Phase1Choice)> {
        let mut first_error = None;
        for peer in peers {
            match select_phase1(&peer.proposals, offer) {
                Ok(choice) => return Some((Arc::clone(peer), choice)),
                Err(error) => first_error = first_error.or(Some((Arc::clone(peer), error))),
            }
        }
        let (nearest, error) = first_error?;
        let reason = match error {
            Phase1Error::Diff(diff) => DownReason::NoProposalChosen(Box::new(diff)),
            Phase1Error::Xauth => DownReason::Unsupported {
                what: "XAUTH",
                remedy: "configure the peer to prove itself by the pre-shared key alone",
            },
            Phase1Error::Authentication(method) => DownReason::Unsupported {
                what: authentication_words(method),
                remedy: "configure pre-shared keys at the peer; certificates are not spoken in IKEv1 here",
            },
        };
        self.reject_first(received, &nearest, reason);
        self.refuse_first(received, NotifyType::NO_PROPOSAL_CHOSEN);
        None
    }

    fn answer_main_mode(
        &mut self,
        received: &Received<'_>,
        offer: &SaPayload,
        payloads: &[Payload],
        peers: Vec<Arc<PeerConfig>>,
        now: Instant,
    ) {
        let Some((peer, choice)) = self.choose(received, offer, &peers) else { return };
        let mut reply = vec![Payload::SecurityAssociation(choice.answer.clone())];
        reply.extend(vendor::answered(payloads, peer.fragment_size.is_some()));
        let state = State::SaChosen(SaChoice::new(&choice, &offer.octets));
        let cookie = self.add_half_open(received, peer, state, offer.octets.len(), payloads, now);
        self.with_v1(cookie, now, |sa, _, cx| {
            let datagrams = sa.seal_plain(ExchangeType::MainMode, &reply);
            sa.tell_received(received, true, cx);
            sa.answer(received.digest(), datagrams, cx);
        });
    }

    /// A half-open SA; the oldest ones make room.
    fn add_half_open(
        &mut self,
        received: &Received<'_>,
        peer: Arc<PeerConfig>,
        state: State,
        octets: usize,
        payloads: &[Payload],
        now: Instant,
    ) -> IkeSpi {
        while let Some(oldest) = self.v1.half_open.in_the_way(octets, self.config.half_open_limit) {
            self.forget_v1(oldest);
        }
        let cookie = self.spis.allocate_ike(self.rng.as_mut());
        let mut sa = IsakmpSa::new(cookie, Role::Responder, peer, received.path, state, now);
        sa.remote_cookie = received.header.initiator_cookie;
        sa.features = vendor::recognise(payloads);
        sa.features.fragmentation &= sa.peer.fragment_size.is_some();
        self.v1.sas.insert(cookie, sa);
        self.v1.half_open.add(cookie, (received.path.remote, received.header.initiator_cookie), octets);
        self.load_changed();
        cookie
    }

    fn answer_aggressive(
        &mut self,
        received: &Received<'_>,
        offer: &SaPayload,
        payloads: &[Payload],
        peers: Vec<Arc<PeerConfig>>,
        now: Instant,
    ) {
        let aggressive: Vec<Arc<PeerConfig>> = peers.iter().filter(|peer| peer.aggressive).cloned().collect();
        if let (true, Some(nearest)) = (aggressive.is_empty(), peers.first()) {
            let reason = DownReason::ModeMismatch { ours: mode_of(nearest), theirs: "aggressive mode" };
            // Silence: the answer would hold a hash of the key, and a refusal would say that there is somebody.
            return self.reject_first(received, &Arc::clone(nearest), reason);
        }
        if self.under_load() {
            // Its answer takes a key exchange and is longer than the question.
            return self.ignore(received.path, IgnoredReason::HalfOpenLimit);
        }
        let Some(claimed) = identification(payloads) else {
            return self.ignore(received.path, IgnoredReason::Malformed);
        };
        let Some(id) = claimed.identity() else { return self.ignore(received.path, IgnoredReason::Malformed) };
        let Some(expected) = expecting(&aggressive, &id).cloned() else {
            let Some(nearest) = aggressive.first() else { return };
            return self.reject_first(received, &Arc::clone(nearest), unexpected(&aggressive, id));
        };
        let octets = claimed.octets.clone();
        let Some((peer, choice)) = self.choose(received, offer, &[expected]) else { return };
        self.add_aggressive(received, (peer, choice), (id, octets), offer, payloads, now);
    }

    fn add_aggressive(
        &mut self,
        received: &Received<'_>,
        (peer, choice): (Arc<PeerConfig>, Phase1Choice),
        claimed: (Id, Vec<u8>),
        offer: &SaPayload,
        payloads: &[Payload],
        now: Instant,
    ) {
        let sa_choice = SaChoice::new(&choice, &offer.octets);
        let state = State::SaChosen(sa_choice.clone());
        let name = peer.name.clone();
        let cookie = self.add_half_open(received, peer, state, offer.octets.len(), payloads, now);
        let answer = Payload::SecurityAssociation(choice.answer);
        let answered = self.with_v1(cookie, now, |sa, _, cx| {
            sa.claimed = Some(claimed);
            let outcome = sa.answer_aggressive_1(received, answer, sa_choice, payloads, cx);
            sa.tell_received(received, outcome.is_ok(), cx);
            outcome
        });
        if let Some(Err(reason)) = answered {
            self.forget_v1(cookie);
            let peer = Some(name);
            self.outputs.push_back(Output::Event(Event::Rejected { path: received.path, peer, reason }));
        }
    }
}
