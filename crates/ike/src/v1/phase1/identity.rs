//! Who the other end of phase 1 is: which key its message is encrypted with, whether its HASH is right, and which connection
//! expects that identity (RFC 2409 §5, RFC 2407 §4.6.2).

use super::super::message::{Outcome, Received};
use super::super::wire::{IdPayload, NotifyType, Payload};
use super::super::{IsakmpSa, Session};
use super::{Exchanged, hash, notified, only};
use crate::config::{KEYS_TRIED, PeerConfig, Version};
use crate::context::Context;
use crate::event::{DownReason, Event, IgnoredReason, Role};
use crate::id::Id;
use crate::v1::MESSAGE_5;
use crate::v2::select_peer::{Peers, by_address, listed};
use std::sync::Arc;

/// An initiator that proved who it is.
pub(crate) struct Identified {
    pub(crate) peer: Arc<PeerConfig>,
    pub(crate) session: Session,
    pub(crate) payloads: Vec<Payload>,
    pub(crate) id: Id,
}

pub(crate) fn identification(payloads: &[Payload]) -> Option<&IdPayload> {
    only(payloads, |payload| match payload {
        Payload::Identification(id) => Some(id),
        _ => None,
    })
}

/// The one of these connections that expects this identity; one that names it before one that takes any.
pub(crate) fn expecting<'a>(peers: &'a [Arc<PeerConfig>], id: &Id) -> Option<&'a Arc<PeerConfig>> {
    let named = |peer: &&Arc<PeerConfig>| peer.remote_id.as_ref().is_some_and(|expected| expected.same_as(id));
    peers.iter().find(named).or_else(|| peers.iter().find(|peer| peer.remote_id.is_none()))
}

/// That nobody expects this identity.
pub(crate) fn unexpected(peers: &[Arc<PeerConfig>], received: Id) -> DownReason {
    let expected = listed(peers.iter().filter_map(|peer| peer.remote_id.as_ref()));
    DownReason::IdentityMismatch { expected, received }
}

impl IsakmpSa {
    /// The connections that may be the other end's, by its address, the suite agreed on and the version.
    pub(crate) fn candidates(&self, exchanged: &Exchanged, cx: &Context<'_>) -> Vec<Arc<PeerConfig>> {
        let peers = Peers { all: cx.peers, disabled: cx.disabled };
        let suite = &exchanged.choice.suite;
        let fits =
            |peer: &&Arc<PeerConfig>| peer.versions.allow(Version::V1) && crate::v2::select_peer::allows(peer, suite);
        let found = by_address(peers, self.path.local.ip(), self.path.remote.ip());
        found.into_iter().filter(fits).take(KEYS_TRIED).cloned().collect()
    }

    /// Message 5 of main mode: finds the key that decrypts it and the connection that expects who sent it.
    pub(crate) fn identify_initiator(
        &mut self,
        received: &Received<'_>,
        exchanged: &Exchanged,
        cx: &mut Context<'_>,
    ) -> Result<Identified, Outcome> {
        if !received.header.flags.encrypted {
            return Err(Err(IgnoredReason::Unexpected));
        }
        let candidates = self.candidates(exchanged, cx);
        for tried in &candidates {
            let Ok(session) = Session::new(exchanged, &tried.psk, self.cookies()) else { continue };
            let Ok(opened) = received.open(&session, &session.iv) else { continue };
            let payloads = opened.parsed.payloads;
            let (Some(id), Some(proof)) = (identification(&payloads), hash(&payloads)) else { continue };
            if !self.verify(&session, exchanged, Role::Initiator, &id.octets, proof) {
                continue;
            }
            let session = Session { iv: opened.next, ..session };
            let Some(identity) = id.identity() else { return Err(Err(IgnoredReason::Malformed)) };
            let same_key: Vec<Arc<PeerConfig>> =
                candidates.iter().filter(|peer| peer.psk.ct_eq(tried.psk.expose())).cloned().collect();
            return match expecting(&same_key, &identity) {
                Some(peer) => Ok(Identified { peer: Arc::clone(peer), session, payloads, id: identity }),
                None => {
                    self.refuse_identity(session, unexpected(&same_key, identity), received, cx);
                    Err(Ok(()))
                }
            };
        }
        let first = !self.complained;
        self.complain(cx);
        if first {
            let mut names: Vec<String> = candidates.iter().map(|peer| peer.name.to_string()).collect();
            names.truncate(4);
            let reason = DownReason::Undecryptable {
                message: MESSAGE_5,
                key: names.join(" or "),
                remote: received.path.remote.ip(),
            };
            cx.event(Event::Rejected { path: received.path, peer: Some(self.peer.name.clone()), reason });
        }
        Err(Err(IgnoredReason::Integrity))
    }

    /// Who it is was proved, and is not whom the configuration expects: the peer is told under the keys both have.
    pub(crate) fn refuse_identity(
        &mut self,
        session: Session,
        reason: DownReason,
        received: &Received<'_>,
        cx: &mut Context<'_>,
    ) {
        if std::mem::replace(&mut self.complained, true) {
            return;
        }
        let before = self.session.replace(session);
        self.send_notify(NotifyType::INVALID_ID_INFORMATION, None, cx);
        self.session = before;
        cx.event(Event::Rejected { path: received.path, peer: Some(self.peer.name.clone()), reason });
    }

    /// Message 6 of main mode: whether the responder is whom we called.
    pub(crate) fn identify_responder(
        &mut self,
        received: &Received<'_>,
        exchanged: &Exchanged,
        cx: &mut Context<'_>,
    ) -> Outcome {
        let session = self.session.as_ref().ok_or(IgnoredReason::Unexpected)?;
        let opened = received.open(session, &session.iv)?;
        let payloads = &opened.parsed.payloads;
        let (Some(id), Some(proof)) = (identification(payloads), hash(payloads)) else {
            return Err(IgnoredReason::Integrity);
        };
        if !self.verify(session, exchanged, Role::Responder, &id.octets, proof) {
            return Err(IgnoredReason::Integrity);
        }
        let identity = id.identity().ok_or(IgnoredReason::Malformed)?;
        if let Some(session) = &mut self.session {
            session.iv = opened.next;
        }
        if let Some(expected) = &self.peer.remote_id
            && !expected.same_as(&identity)
        {
            let reason = DownReason::IdentityMismatch { expected: expected.to_string(), received: identity };
            self.send_notify(NotifyType::INVALID_ID_INFORMATION, None, cx);
            self.fail(reason, cx);
            return Ok(());
        }
        self.outstanding = None;
        self.answered = Some(super::super::Answered { received: received.digest(), sent: Vec::new() });
        let lifetime = responder_lifetime(payloads).or(exchanged.choice.lifetime);
        let initial_contact = notified(payloads, NotifyType::INITIAL_CONTACT);
        self.establish(identity, lifetime, initial_contact, cx);
        Ok(())
    }
}

/// The lifetime a RESPONDER-LIFETIME notification names, in seconds (RFC 2407 §4.6.3.1).
pub(crate) fn responder_lifetime(payloads: &[Payload]) -> Option<std::time::Duration> {
    payloads.iter().find_map(|payload| match payload {
        Payload::Notification(notify) if notify.ty == NotifyType::RESPONDER_LIFETIME => {
            super::super::proposal::lifetimes_in(&notify.data).0
        }
        _ => None,
    })
}
