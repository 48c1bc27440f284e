//! Aggressive mode with pre-shared keys, both roles (RFC 2409 §5, §5.4): three messages, no protection of identities, and
//! a hash of the pre-shared key for whoever asks the responder. Off unless configured; said aloud when it is used.
//!
//! ```text
//!  initiator                                          responder
//!  1  HDR, SA, KE, Ni, IDii, VID…             -->
//!                                             <--  2  HDR, SA, KE, Nr, IDir, HASH_R, VID…, NAT-D, NAT-D
//!  3  HDR*, HASH_I, NAT-D, NAT-D              -->
//! ```
//! The third message may come in clear as well (RFC 2409 §5.4 leaves it open).

use super::super::message::{Outcome, Received};
use super::super::vendor;
use super::super::wire::{ExchangeType, IdPayload, NotifyType, Payload};
use super::super::{Answered, IsakmpSa, Session, State};
use super::identity::{expecting, identification, unexpected};
use super::{Exchanged, Keying, SaChoice, hash, key_exchange, make_share, nonce, notified, sa};
use crate::context::Context;
use crate::event::{DownReason, Event, IgnoredReason, Role};
use crate::proposal::IkeProposal;
use crate::v1::proposal::{accept_phase1, phase1_offer};
use crate::v2::child::lower_nonce;
use crypto::Group;

/// The group of all our offers: aggressive mode sends its half before anything is agreed on.
fn first_group(proposals: &[IkeProposal]) -> Option<Group> {
    proposals.iter().find_map(|proposal| {
        let alone = std::slice::from_ref(proposal);
        proposal.groups.iter().copied().find(|group| {
            let lifetime = crate::config::Lifetime::of(std::time::Duration::from_secs(3600));
            phase1_offer(alone, &lifetime, Some(*group)).is_some()
        })
    })
}

impl IsakmpSa {
    /// Message 1.
    pub(crate) fn start_aggressive(&mut self, cx: &mut Context<'_>) {
        let group = first_group(&self.peer.proposals);
        let offer = group.and_then(|group| phase1_offer(&self.peer.proposals, &self.peer.lifetime, Some(group)));
        let (Some(group), Some(offer)) = (group, offer) else {
            let what = "none of ike_proposals can be said in IKEv1: it needs AES-CBC with HMAC".to_owned();
            return self.fail(DownReason::Crypto(what), cx);
        };
        let (keying, share) = match make_share(offer.clone(), group, cx) {
            Ok(made) => made,
            Err(reason) => return self.fail(reason, cx),
        };
        let mut payloads = vec![
            Payload::SecurityAssociation(offer),
            share,
            Payload::Nonce(keying.nonce.clone()),
            Payload::Identification(IdPayload::from_identity(&self.peer.local_id)),
        ];
        payloads.extend(vendor::offered(&cx.config.vendor_id, self.peer.fragment_size.is_some()));
        cx.event(Event::AggressiveMode { peer: self.peer.name.clone() });
        self.state = State::AggressiveOffered(Box::new(keying));
        let datagrams = self.seal_plain(ExchangeType::Aggressive, &payloads);
        self.ask("message 1 of aggressive mode", datagrams, cx);
    }

    /// Message 2, at the initiator: choice, half, identity and proof of the responder; message 3 follows.
    pub(crate) fn aggressive_2(&mut self, received: &Received<'_>, cx: &mut Context<'_>) -> Outcome {
        let parsed = received.plain()?;
        let payloads = &parsed.payloads;
        let parts = (sa(payloads), key_exchange(payloads), nonce(payloads), identification(payloads), hash(payloads));
        let (Some(answer), Some(theirs), Some(nr), Some(id), Some(proof)) = parts else {
            return Err(IgnoredReason::Malformed);
        };
        let State::AggressiveOffered(keying) = &self.state else { return Err(IgnoredReason::Unexpected) };
        if received.header.responder_cookie.is_zero() {
            return Err(IgnoredReason::Malformed);
        }
        let choice = match accept_phase1(&keying.basis, &self.peer.proposals, answer) {
            Ok(choice) => SaChoice::new(&choice, &keying.basis.octets),
            Err(diff) => {
                self.take_hint(DownReason::NoProposalChosen(Box::new(diff)), cx);
                return Err(IgnoredReason::Unexpected);
            }
        };
        let State::AggressiveOffered(keying) = std::mem::replace(&mut self.state, State::Closed) else {
            return Err(IgnoredReason::Unexpected);
        };
        let Keying { share, nonce, .. } = *keying;
        let g_xi = share.public().to_vec();
        let shared = match share.agree(theirs) {
            Ok(shared) => shared,
            Err(error) => {
                self.fail(DownReason::Crypto(error.to_string()), cx);
                return Ok(());
            }
        };
        let exchanged = Exchanged { choice, g_xi, g_xr: theirs.to_vec(), ni: nonce, nr: nr.to_vec(), shared };
        self.remote_cookie = received.header.responder_cookie;
        self.features = vendor::recognise(payloads);
        let session = match Session::new(&exchanged, &self.peer.psk, self.cookies()) {
            Ok(session) => session,
            Err(error) => {
                self.fail(DownReason::Crypto(error.to_string()), cx);
                return Ok(());
            }
        };
        let Some(identity) = id.identity() else {
            return self.failed(DownReason::Misbehaved("an identity of no form"), cx);
        };
        if !self.verify(&session, &exchanged, Role::Responder, &id.octets, proof) {
            return self.failed(DownReason::PskMismatch { id: identity }, cx);
        }
        if let Some(expected) = &self.peer.remote_id
            && !expected.same_as(&identity)
        {
            let expected = expected.to_string();
            return self.failed(DownReason::IdentityMismatch { expected, received: identity }, cx);
        }
        self.nat = self.detect_nat(exchanged.choice.suite.prf, received.path, payloads);
        self.nonce = lower_nonce(&exchanged.ni, &exchanged.nr);
        self.float(cx);
        self.send_aggressive_3(session, &exchanged, received, cx);
        let initial_contact = notified(payloads, NotifyType::INITIAL_CONTACT);
        self.establish(identity, exchanged.choice.lifetime, initial_contact, cx);
        Ok(())
    }

    fn failed(&mut self, reason: DownReason, cx: &mut Context<'_>) -> Outcome {
        self.fail(reason, cx);
        Ok(())
    }

    fn send_aggressive_3(
        &mut self,
        session: Session,
        exchanged: &Exchanged,
        received: &Received<'_>,
        cx: &mut Context<'_>,
    ) {
        let id = IdPayload::from_identity(&self.peer.local_id);
        let proof = self.proof_of(&session, exchanged, Role::Initiator, &id.octets);
        let mut payloads = vec![Payload::Hash(proof.expose().to_vec())];
        if self.nat.supported {
            payloads.extend(self.nat_payloads(session.suite.prf, cx.rng));
        }
        payloads.extend(self.initial_contact());
        let iv = session.iv;
        self.session = Some(session);
        let Some((datagrams, next)) = self.seal(ExchangeType::Aggressive, 0, &iv, &payloads) else { return };
        if let Some(session) = &mut self.session {
            session.iv = next;
        }
        self.outstanding = None;
        self.answer(received.digest(), datagrams, cx);
    }

    /// Message 2, at the responder, whose SA was just made for message 1.
    pub(crate) fn answer_aggressive_1(
        &mut self,
        received: &Received<'_>,
        answer: Payload,
        choice: SaChoice,
        payloads: &[Payload],
        cx: &mut Context<'_>,
    ) -> Result<(), DownReason> {
        let missing = DownReason::Misbehaved("aggressive mode without KE, nonce or identity");
        let (Some(theirs), Some(ni)) = (key_exchange(payloads), nonce(payloads)) else { return Err(missing) };
        let group = choice.suite.group;
        let (Keying { basis: choice, share, nonce: nr }, own) = make_share(choice, group, cx)?;
        let g_xr = share.public().to_vec();
        let shared = share.agree(theirs).map_err(|error| DownReason::Crypto(error.to_string()))?;
        let exchanged = Exchanged { choice, g_xi: theirs.to_vec(), g_xr, ni: ni.to_vec(), nr, shared };
        let session = Session::new(&exchanged, &self.peer.psk, self.cookies());
        let session = session.map_err(|error| DownReason::Crypto(error.to_string()))?;
        let id = IdPayload::from_identity(&self.peer.local_id);
        let proof = self.proof_of(&session, &exchanged, Role::Responder, &id.octets);
        let mut reply = vec![
            answer,
            own,
            Payload::Nonce(exchanged.nr.clone()),
            Payload::Identification(id),
            Payload::Hash(proof.expose().to_vec()),
        ];
        reply.extend(vendor::answered(payloads, self.peer.fragment_size.is_some()));
        reply.extend(self.nat_payloads(session.suite.prf, cx.rng));
        self.nonce = lower_nonce(&exchanged.ni, &exchanged.nr);
        self.session = Some(session);
        self.state = State::AggressiveAnswered(Box::new(exchanged));
        let datagrams = self.seal_plain(ExchangeType::Aggressive, &reply);
        self.answer(received.digest(), datagrams, cx);
        Ok(())
    }

    /// Message 3, at the responder: the initiator's proof.
    pub(crate) fn aggressive_3(&mut self, received: &Received<'_>, cx: &mut Context<'_>) -> Outcome {
        let (session, State::AggressiveAnswered(exchanged)) = (self.session.as_ref(), &self.state) else {
            return Err(IgnoredReason::Unexpected);
        };
        let session = session.ok_or(IgnoredReason::Unexpected)?;
        let (payloads, next) = if received.header.flags.encrypted {
            let opened = received.open(session, &session.iv)?;
            (opened.parsed.payloads, opened.next)
        } else {
            (received.plain()?.payloads, session.iv)
        };
        let (Some(proof), Some((id, octets))) = (hash(&payloads), self.claimed.as_ref()) else {
            return Err(IgnoredReason::Integrity);
        };
        if !self.verify(session, exchanged, Role::Initiator, octets, proof) {
            return Err(IgnoredReason::Integrity);
        }
        let (id, lifetime) = (id.clone(), exchanged.choice.lifetime);
        let peers = [std::sync::Arc::clone(&self.peer)];
        if expecting(&peers, &id).is_none() {
            let reason = unexpected(&peers, id);
            cx.event(Event::Rejected { path: received.path, peer: Some(self.peer.name.clone()), reason });
            return Ok(());
        }
        self.nat = self.detect_nat(session.suite.prf, received.path, &payloads);
        self.path = received.path;
        if let Some(session) = &mut self.session {
            session.iv = next;
        }
        self.answered = Some(Answered { received: received.digest(), sent: Vec::new() });
        cx.event(Event::AggressiveMode { peer: self.peer.name.clone() });
        self.establish(id, lifetime, notified(&payloads, NotifyType::INITIAL_CONTACT), cx);
        Ok(())
    }

    /// Something came under an ISAKMP SA whose message 3 is missing: the initiator may lack message 2, or its message 3 was
    /// lost. Message 2 again makes it repeat message 3.
    pub(crate) fn repeat_aggressive_2(&mut self, cx: &mut Context<'_>) {
        if !matches!(self.state, State::AggressiveAnswered(_)) {
            return;
        }
        let again = self.answered.as_ref().map(|answered| answered.sent.clone());
        if let Some(datagrams) = again {
            self.send(&datagrams, cx);
        }
    }
}
