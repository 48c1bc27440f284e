//! IKE_AUTH with pre-shared keys, both roles (RFC 7296 §1.2, §2.15, §2.21.2).
//!
//! ```text
//!  initiator                                  responder
//!  HDR, SK {IDi, [N(INITIAL_CONTACT),] [IDr,] AUTH, SA, TSi, TSr} -->
//!                                        <--  HDR, SK {IDr, AUTH, SA, TSr, TSr | N(child error)}
//!                                        <--  HDR, SK {N(AUTHENTICATION_FAILED)}
//! ```
//! Invariant: this file alone leads from an unauthenticated SA to `Established`, and only through [`verify`].

use super::create_child::{ChildOffer, Conclusion, Nonces};
use super::{Exchange, Reply};
use crate::config::{ChildName, PeerConfig, StartPolicy};
use crate::context::{Action, Context};
use crate::event::{DownReason, Event, Role};
use crate::id::Id;
use crate::keys::psk_auth;
use crate::v2::payloads::Payloads;
use crate::v2::select_peer::{PeerChoice, Peers, select_by_identity};
use crate::v2::{IkeSa, State};
use crate::wire::{ExchangeType, IdPayload, Notify, NotifyType, Payload};
use crypto::SecretBytes;
use std::sync::Arc;

/// AUTH method "Shared Key Message Integrity Code" (RFC 7296 §3.8).
const SHARED_KEY: u8 = 2;

/// What IKE_AUTH was sent with.
#[derive(Debug)]
pub(crate) struct AuthRequest {
    pub(crate) child: Option<ChildOffer>,
    init_response: Vec<u8>,
    nonces: Nonces,
}

/// What a responder keeps between IKE_SA_INIT and IKE_AUTH.
#[derive(Debug)]
pub(crate) struct HalfOpen {
    pub(crate) init_request: Vec<u8>,
    pub(crate) init_response: Vec<u8>,
    pub(crate) nonces: Nonces,
}

/// What one end signs: its first message, the other's nonce, its identity (RFC 7296 §2.15).
struct Signed<'a> {
    first_message: &'a [u8],
    other_nonce: &'a [u8],
    id: &'a IdPayload,
}

impl IkeSa {
    fn psk_auth(&self, signer: Role, psk: &SecretBytes, signed: &Signed<'_>) -> Option<SecretBytes> {
        let session = self.session.as_ref()?;
        let key = match signer {
            Role::Initiator => &session.auth_initiator,
            Role::Responder => &session.auth_responder,
        };
        Some(psk_auth(session.suite.prf, psk, signed.first_message, signed.other_nonce, key, &signed.id.octets))
    }

    /// Whether the peer's AUTH payload proves that it knows the key.
    fn verify(&self, signer: Role, psk: &SecretBytes, signed: &Signed<'_>, received: &[u8]) -> bool {
        self.psk_auth(signer, psk, signed).is_some_and(|expected| expected.ct_eq(received))
    }

    /// Sends IKE_AUTH.
    pub(crate) fn start_auth(
        &mut self,
        init_request: Vec<u8>,
        init_response: Vec<u8>,
        ni: Vec<u8>,
        nr: Vec<u8>,
        child: Option<ChildName>,
        cx: &mut Context<'_>,
    ) {
        let peer = Arc::clone(&self.peer);
        let id = IdPayload::from(peer.local_id.clone());
        let signed = Signed { first_message: &init_request, other_nonce: &nr, id: &id };
        let Some(auth) = self.psk_auth(Role::Initiator, &peer.psk, &signed) else { return };
        let mut payloads = vec![Payload::IdInitiator(id)];
        if peer.initial_contact && self.initial_contact {
            payloads.push(Payload::Notify(Notify::new(NotifyType::INITIAL_CONTACT)));
        }
        if let Some(id) = &peer.remote_id {
            payloads.push(Payload::IdResponder(IdPayload::from(id.clone())));
        }
        payloads.push(Payload::Authentication { method: SHARED_KEY, data: auth.expose().to_vec() });
        let child = self.first_child(child, cx);
        if let Some(offer) = &child {
            payloads.extend(offer.payloads(false, None));
        }
        let request = AuthRequest { child, init_response, nonces: Nonces { initiator: ni, responder: nr } };
        self.request(ExchangeType::IkeAuth, &payloads, Exchange::Auth(Box::new(request)), cx);
    }

    /// The child that rides in IKE_AUTH: the one asked for, else the first that is not passive; none when childless.
    fn first_child(&self, asked: Option<ChildName>, cx: &mut Context<'_>) -> Option<ChildOffer> {
        if self.peer.childless && self.features.childless {
            return None;
        }
        let asked = asked.and_then(|name| self.peer.child(&name));
        let config = asked
            .or_else(|| self.peer.children.iter().find(|child| child.start != StartPolicy::Passive))
            .or_else(|| self.peer.children.first())?;
        Some(ChildOffer::new(config, None, cx))
    }

    /// The responder's answer, at the initiator.
    pub(crate) fn finish_auth(&mut self, sent: AuthRequest, payloads: &Payloads, cx: &mut Context<'_>) {
        let mut offer = sent.child;
        if let Err((reason, tell)) = self.authenticate_responder(&sent.init_response, &sent.nonces, payloads) {
            if let Some(offer) = offer {
                cx.spis.release_child(offer.spi, cx.now);
            }
            if tell {
                let notify = [Payload::Notify(Notify::new(NotifyType::AUTHENTICATION_FAILED))];
                return self.request(ExchangeType::Informational, &notify, Exchange::Failure(reason), cx);
            }
            return self.close(reason, cx);
        }
        self.mark_established(cx);
        self.announce_up(payloads.notify(NotifyType::INITIAL_CONTACT).is_some(), cx);
        let Some(offer) = offer.take() else { return };
        let name = offer.name.clone();
        match self.conclude(offer, payloads, Some(&sent.nonces), cx) {
            Conclusion::Agreed(new) => {
                self.install_child(*new, cx);
            }
            Conclusion::OtherGroup(_) => {
                self.child_failed(Some(name), DownReason::Misbehaved("INVALID_KE_PAYLOAD in IKE_AUTH"), false, cx);
            }
            Conclusion::Refused { reason, .. } => self.child_failed(Some(name), reason, false, cx),
            Conclusion::Broken(rule) => {
                self.enqueue(super::super::Task::DeleteIke(DownReason::Misbehaved(rule)), cx.now)
            }
        }
    }

    /// Who the responder says it is, and whether it proves it. The error says whether the peer must be told.
    fn authenticate_responder(
        &mut self,
        init_response: &[u8],
        nonces: &Nonces,
        payloads: &Payloads,
    ) -> Result<(), (DownReason, bool)> {
        let (Some(id), Some((method, auth))) = (payloads.id_responder(), payloads.auth()) else {
            let reason = match payloads.error() {
                Some(error) => DownReason::Refused { notify: error.ty, exchange: "IKE_AUTH", offered: None },
                None => DownReason::Misbehaved("IKE_AUTH answered without IDr or AUTH"),
            };
            return Err((reason, false));
        };
        if let Some(expected) = &self.peer.remote_id
            && !expected.same_as(&id.id)
        {
            let expected = expected.to_string();
            return Err((DownReason::IdentityMismatch { expected, received: id.id.clone() }, true));
        }
        let signed = Signed { first_message: init_response, other_nonce: &nonces.initiator, id };
        if method != SHARED_KEY || !self.verify(Role::Responder, &self.peer.psk, &signed, auth) {
            return Err((DownReason::PskMismatch { id: id.id.clone() }, true));
        }
        self.remote_id = Some(id.id.clone());
        Ok(())
    }

    /// The initiator's IKE_AUTH, at the responder.
    pub(crate) fn answer_auth(&mut self, payloads: &Payloads, cx: &mut Context<'_>) -> Reply {
        let half_open = match std::mem::replace(&mut self.state, State::Authenticating) {
            State::HalfOpen(half_open) => half_open,
            other => {
                self.state = other;
                return Reply::notify(NotifyType::INVALID_SYNTAX);
            }
        };
        let config = match self.authenticate_initiator(&half_open, payloads, cx) {
            Ok(config) => config,
            Err(reason) => {
                cx.event(Event::Rejected {
                    path: self.path,
                    peer: Some(self.peer.name.clone()),
                    reason: reason.clone(),
                });
                self.state = State::HalfOpen(half_open);
                return Reply::fatal(NotifyType::AUTHENTICATION_FAILED, reason);
            }
        };
        self.peer = config;
        let id = IdPayload::from(self.peer.local_id.clone());
        let signed =
            Signed { first_message: &half_open.init_response, other_nonce: &half_open.nonces.initiator, id: &id };
        let Some(auth) = self.psk_auth(Role::Responder, &self.peer.psk, &signed) else {
            return Reply::fatal(NotifyType::INVALID_SYNTAX, DownReason::Misbehaved("IKE_AUTH without keys"));
        };
        let mut reply = vec![
            Payload::IdResponder(id),
            Payload::Authentication { method: SHARED_KEY, data: auth.expose().to_vec() },
        ];
        self.mark_established(cx);
        self.announce_up(payloads.notify(NotifyType::INITIAL_CONTACT).is_some(), cx);
        let childless = payloads.sa().is_none() && payloads.ts_initiator().is_none();
        if !childless {
            match self.accept_child(payloads, None, Some(half_open.nonces), cx) {
                Ok((new, answer)) => {
                    reply.extend(answer);
                    self.install_child(new, cx);
                }
                Err(refusal) => {
                    self.child_failed(refusal.name, refusal.reason, false, cx);
                    reply.push(Payload::Notify(refusal.notify));
                }
            }
        }
        Reply::with(reply)
    }

    /// Finds the peer that the initiator claims to be, and verifies its proof with that peer's key.
    fn authenticate_initiator(
        &mut self,
        half_open: &HalfOpen,
        payloads: &Payloads,
        cx: &Context<'_>,
    ) -> Result<Arc<PeerConfig>, DownReason> {
        let (Some(id), Some((method, auth))) = (payloads.id_initiator(), payloads.auth()) else {
            return Err(DownReason::Misbehaved("IKE_AUTH without IDi or AUTH"));
        };
        let suite = self.session.as_ref().map(|session| session.suite);
        let choice = PeerChoice {
            local: self.path.local.ip(),
            remote: self.path.remote.ip(),
            suite: suite.as_ref(),
            initiator: &id.id,
            responder: payloads.id_responder().map(|id| &id.id),
        };
        let peers = Peers { all: cx.peers, disabled: cx.disabled };
        let config = select_by_identity(peers, &choice)?;
        let signed = Signed { first_message: &half_open.init_request, other_nonce: &half_open.nonces.responder, id };
        if method != SHARED_KEY || !self.verify(Role::Initiator, &config.psk, &signed, auth) {
            return Err(DownReason::PskMismatch { id: id.id.clone() });
        }
        self.remote_id = Some(id.id.clone());
        Ok(config)
    }

    fn announce_up(&mut self, initial_contact: bool, cx: &mut Context<'_>) {
        let Some(suite) = self.session.as_ref().map(|session| session.suite) else { return };
        cx.event(Event::IkeSaUp {
            peer: self.peer.name.clone(),
            version: crate::config::Version::V2,
            path: self.path,
            local_spi: self.local_spi,
            remote_spi: self.remote_spi,
            suite,
            role: self.role,
            remote_id: self.remote_id.clone().unwrap_or(Id::KeyId(Vec::new())),
            nat: (self.nat.local, self.nat.remote),
        });
        cx.actions.push_back(Action::Established { spi: self.local_spi, initial_contact });
    }
}
