//! Main mode with pre-shared keys, both roles (RFC 2409 §5.4, RFC 3947 §3).
//!
//! ```text
//!  initiator                                         responder
//!  1  HDR, SA, VID…                          -->
//!                                            <--  2  HDR, SA, VID…
//!  3  HDR, KE, Ni, NAT-D, NAT-D              -->
//!                                            <--  4  HDR, KE, Nr, NAT-D, NAT-D
//!  5  HDR*, IDii, HASH_I, [N(INITIAL-CONTACT)] -->       (* encrypted; from UDP 4500 if a NAT was found)
//!                                            <--  6  HDR*, IDir, HASH_R
//! ```
//! The responder computes nothing before message 3, which shows that the initiator's address is its own. Which key
//! encrypts message 5 depends on the pre-shared key, so the responder has to find it by address: it tries those of all
//! connections that fit.

use super::super::message::{Outcome, Received};
use super::super::vendor;
use super::super::wire::{ExchangeType, IdPayload, Notification, NotifyType, Payload, ProtocolId};
use super::super::{IsakmpSa, Session, State};
use super::{Exchanged, Keying, Offered, SaChoice, key_exchange, make_share, nonce, notified, sa};
use crate::context::Context;
use crate::event::{DownReason, Event, IgnoredReason, Role};
use crate::v1::MESSAGE_5;
use crate::v1::proposal::{accept_phase1, phase1_offer};
use crate::v2::child::lower_nonce;
use std::sync::Arc;

impl IsakmpSa {
    /// Message 1.
    pub(crate) fn start_main_mode(&mut self, cx: &mut Context<'_>) {
        let Some(offer) = phase1_offer(&self.peer.proposals, &self.peer.lifetime, None) else {
            let what = "none of ike_proposals can be said in IKEv1: it needs AES-CBC with HMAC".to_owned();
            return self.fail(DownReason::Crypto(what), cx);
        };
        let mut payloads = vec![Payload::SecurityAssociation(offer.clone())];
        payloads.extend(vendor::offered(&cx.config.vendor_id, self.peer.fragment_size.is_some()));
        self.state = State::SaOffered(Offered { sa: offer });
        let datagrams = self.seal_plain(ExchangeType::MainMode, &payloads);
        self.ask("message 1 of main mode", datagrams, cx);
    }

    /// Message 2, at the initiator: the responder's choice; message 3 follows.
    pub(crate) fn main_mode_2(&mut self, received: &Received<'_>, cx: &mut Context<'_>) -> Outcome {
        let parsed = received.plain()?;
        let State::SaOffered(offered) = &self.state else { return Err(IgnoredReason::Unexpected) };
        if received.header.responder_cookie.is_zero() {
            return Err(IgnoredReason::Malformed);
        }
        let answer = sa(&parsed.payloads).ok_or(IgnoredReason::Malformed)?;
        let choice = match accept_phase1(&offered.sa, &self.peer.proposals, answer) {
            Ok(choice) => choice,
            Err(diff) => {
                self.take_hint(DownReason::NoProposalChosen(Box::new(diff)), cx);
                return Err(IgnoredReason::Unexpected);
            }
        };
        let choice = SaChoice::new(&choice, &offered.sa.octets);
        let suite = choice.suite;
        let (keying, share) = match make_share(choice, suite.group, cx) {
            Ok(made) => made,
            Err(reason) => {
                self.fail(reason, cx);
                return Ok(());
            }
        };
        self.remote_cookie = received.header.responder_cookie;
        self.features = vendor::recognise(&parsed.payloads);
        let mut payloads = vec![share, Payload::Nonce(keying.nonce.clone())];
        payloads.extend(self.nat_payloads(suite.prf, cx.rng));
        self.state = State::KeOffered(Box::new(keying));
        let datagrams = self.seal_plain(ExchangeType::MainMode, &payloads);
        self.answered = Some(super::super::Answered { received: received.digest(), sent: Vec::new() });
        self.ask("message 3 of main mode", datagrams, cx);
        Ok(())
    }

    /// Message 3, at the responder: the initiator's half; message 4 follows.
    pub(crate) fn main_mode_3(&mut self, received: &Received<'_>, cx: &mut Context<'_>) -> Outcome {
        let parsed = received.plain()?;
        let State::SaChosen(choice) = &self.state else { return Err(IgnoredReason::Unexpected) };
        let choice = choice.clone();
        let (Some(theirs), Some(ni)) = (key_exchange(&parsed.payloads), nonce(&parsed.payloads)) else {
            return Err(IgnoredReason::Malformed);
        };
        let suite = choice.suite;
        let made = make_share(choice, suite.group, cx).and_then(|(Keying { basis: choice, share, nonce }, payload)| {
            let g_xr = share.public().to_vec();
            let shared = share.agree(theirs).map_err(|error| DownReason::Crypto(error.to_string()))?;
            let (g_xi, ni) = (theirs.to_vec(), ni.to_vec());
            Ok((Exchanged { choice, g_xi, g_xr, ni, nr: nonce, shared }, payload))
        });
        let (exchanged, payload) = match made {
            Ok(made) => made,
            Err(reason) => {
                // A value that is no member of the group (RFC 6989): nobody honest sends it, and the honest one is still
                // to come.
                cx.event(Event::Rejected { path: received.path, peer: Some(self.peer.name.clone()), reason });
                return Ok(());
            }
        };
        self.nat = self.detect_nat(suite.prf, received.path, &parsed.payloads);
        self.nonce = lower_nonce(&exchanged.ni, &exchanged.nr);
        self.features = self.features.merged(&vendor::recognise(&parsed.payloads));
        let mut payloads = vec![payload, Payload::Nonce(exchanged.nr.clone())];
        if self.nat.supported {
            payloads.extend(self.nat_payloads(suite.prf, cx.rng));
        }
        self.state = State::KeAnswered(Box::new(exchanged));
        let datagrams = self.seal_plain(ExchangeType::MainMode, &payloads);
        self.answer(received.digest(), datagrams, cx);
        Ok(())
    }

    /// Message 4, at the initiator: the responder's half; message 5 follows.
    pub(crate) fn main_mode_4(&mut self, received: &Received<'_>, cx: &mut Context<'_>) -> Outcome {
        let parsed = received.plain()?;
        let (Some(theirs), Some(nr)) = (key_exchange(&parsed.payloads), nonce(&parsed.payloads)) else {
            return Err(IgnoredReason::Malformed);
        };
        let State::KeOffered(keying) = std::mem::replace(&mut self.state, State::Closed) else {
            return Err(IgnoredReason::Unexpected);
        };
        let Keying { basis: choice, share, nonce } = *keying;
        let g_xi = share.public().to_vec();
        let shared = match share.agree(theirs) {
            Ok(shared) => shared,
            Err(error) => {
                self.fail(DownReason::Crypto(error.to_string()), cx);
                return Ok(());
            }
        };
        let exchanged = Exchanged { choice, g_xi, g_xr: theirs.to_vec(), ni: nonce, nr: nr.to_vec(), shared };
        self.nat = self.detect_nat(exchanged.choice.suite.prf, received.path, &parsed.payloads);
        self.nonce = lower_nonce(&exchanged.ni, &exchanged.nr);
        self.state = State::IdOffered(Box::new(exchanged));
        self.answered = Some(super::super::Answered { received: received.digest(), sent: Vec::new() });
        self.float(cx);
        self.send_main_mode_5(cx);
        Ok(())
    }

    /// From UDP 500 to 4500 once a NAT is found (RFC 3947 §4).
    pub(crate) fn float(&mut self, cx: &Context<'_>) {
        if !self.nat.found() || self.path.local.port() != cx.config.ike_port {
            return;
        }
        self.path.local.set_port(cx.config.nat_port);
        if self.path.remote.port() == 500 {
            self.path.remote.set_port(4500);
        }
    }

    fn send_main_mode_5(&mut self, cx: &mut Context<'_>) {
        let State::IdOffered(exchanged) = &self.state else { return };
        let session = match Session::new(exchanged, &self.peer.psk, self.cookies()) {
            Ok(session) => session,
            Err(error) => return self.fail(DownReason::Crypto(error.to_string()), cx),
        };
        let id = IdPayload::from_identity(&self.peer.local_id);
        let proof = self.proof_of(&session, exchanged, Role::Initiator, &id.octets);
        let mut payloads = vec![Payload::Identification(id), Payload::Hash(proof.expose().to_vec())];
        payloads.extend(self.initial_contact());
        let iv = session.iv;
        self.session = Some(session);
        let Some((datagrams, next)) = self.seal(ExchangeType::MainMode, 0, &iv, &payloads) else { return };
        if let Some(session) = &mut self.session {
            session.iv = next;
        }
        self.ask(MESSAGE_5, datagrams, cx);
    }

    /// Message 5, at the responder: who the initiator is, proved; message 6 follows.
    pub(crate) fn main_mode_5(&mut self, received: &Received<'_>, cx: &mut Context<'_>) -> Outcome {
        let State::KeAnswered(exchanged) = std::mem::replace(&mut self.state, State::Closed) else {
            return Err(IgnoredReason::Unexpected);
        };
        let identified = self.identify_initiator(received, &exchanged, cx);
        let found = match identified {
            Ok(found) => found,
            Err(outcome) => {
                self.state = State::KeAnswered(exchanged);
                return outcome;
            }
        };
        self.peer = Arc::clone(&found.peer);
        self.session = Some(found.session);
        let initial_contact = notified(&found.payloads, NotifyType::INITIAL_CONTACT);
        self.path = received.path;
        let lifetime = exchanged.choice.lifetime;
        let Some(session) = &self.session else { return Err(IgnoredReason::Unexpected) };
        let id = IdPayload::from_identity(&self.peer.local_id);
        let proof = self.proof_of(session, &exchanged, Role::Responder, &id.octets);
        let mut payloads = vec![Payload::Identification(id), Payload::Hash(proof.expose().to_vec())];
        payloads.extend(self.initial_contact());
        let iv = session.iv;
        let Some((datagrams, next)) = self.seal(ExchangeType::MainMode, 0, &iv, &payloads) else {
            return Err(IgnoredReason::Unexpected);
        };
        if let Some(session) = &mut self.session {
            session.iv = next;
        }
        self.answer(received.digest(), datagrams, cx);
        self.establish(found.id, lifetime, initial_contact, cx);
        Ok(())
    }

    /// Tells the initiator once, unprotected since no key is common, that its message 5 does not decrypt.
    pub(crate) fn complain(&mut self, cx: &mut Context<'_>) {
        if std::mem::replace(&mut self.complained, true) {
            return;
        }
        let notify = Notification {
            protocol: ProtocolId::Isakmp,
            spi: Vec::new(),
            ty: NotifyType::PAYLOAD_MALFORMED,
            data: Vec::new(),
        };
        let datagrams = self.seal_plain(ExchangeType::Informational, &[Payload::Notification(notify)]);
        self.send(&datagrams, cx);
    }

    /// Message 6, at the initiator: who the responder is, proved.
    pub(crate) fn main_mode_6(&mut self, received: &Received<'_>, cx: &mut Context<'_>) -> Outcome {
        let State::IdOffered(exchanged) = std::mem::replace(&mut self.state, State::Closed) else {
            return Err(IgnoredReason::Unexpected);
        };
        let outcome = self.identify_responder(received, &exchanged, cx);
        if matches!(self.state, State::Closed) && outcome.is_err() {
            self.state = State::IdOffered(exchanged);
        }
        outcome
    }
}
