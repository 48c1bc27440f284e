//! Informational exchanges (RFC 2409 §5.7): one message, nobody answers. Under an ISAKMP SA they carry a HASH, and only then
//! are they believed; in clear they are a hint at most (RFC 2408 §4.8). XAUTH and mode config are refused here too.
//!
//! ```text
//!  HDR*, HASH(1), N/D   -->       HASH(1) = prf(SKEYID_a, M-ID | N/D)
//! ```

use super::cipher::Iv;
use super::message::{Outcome, Received};
use super::phase2::Phase2;
use super::wire::{Delete, ExchangeType, Notification, NotifyType, Payload, ProtocolId, encode_payloads};
use super::{IsakmpSa, State, keys};
use crate::config::Version;
use crate::context::Action;
use crate::context::{Context, V1Action};
use crate::event::{DownReason, Event, IgnoredReason, Role};
use crate::id::Id;
use ipsec::Spi;

/// Attribute types of XAUTH in a mode config payload.
const XAUTH: std::ops::RangeInclusive<u16> = 16_520..=16_529;

impl IsakmpSa {
    pub(crate) fn handle_informational(
        &mut self,
        received: &Received<'_>,
        phase2: &mut Phase2,
        cx: &mut Context<'_>,
    ) -> Outcome {
        if !received.header.flags.encrypted {
            return self.handle_plain_informational(received, cx);
        }
        if !self.is_usable() {
            self.repeat_aggressive_2(cx);
            return self.handle_early_informational(received, cx);
        }
        let payloads = self.open_hashed(received, None)?;
        if !self.ids.came(received.header.message_id) {
            // Nothing is news twice; but a question about liveness may come again because its answer was lost.
            return self.answer_again_alive(received.header.message_id, cx);
        }
        for payload in &payloads {
            match payload {
                Payload::Delete(delete) => self.handle_delete(delete, phase2, cx),
                Payload::Notification(notify) => self.handle_notify(notify, received, phase2, cx),
                _ => {}
            }
            if !self.is_usable() {
                break;
            }
        }
        Ok(())
    }

    /// The payloads of a message outside phase 1, its HASH(1) verified. What we said ourselves has a right one too.
    pub(crate) fn open_hashed(&self, received: &Received<'_>, iv: Option<&Iv>) -> Result<Vec<Payload>, IgnoredReason> {
        let session = self.session.as_ref().ok_or(IgnoredReason::Unexpected)?;
        let message_id = received.header.message_id;
        if message_id == 0 {
            return Err(IgnoredReason::Unexpected);
        }
        if self.ids.is_ours(message_id) {
            return Err(IgnoredReason::Window);
        }
        let fresh = session.cipher.exchange_iv(&session.iv, message_id);
        let opened = received.open(session, iv.unwrap_or(&fresh))?;
        let expected = keys::hash1(session.suite.prf, &session.keys.a, message_id, opened.covered());
        if !opened.hash().is_some_and(|hash| expected.ct_eq(hash)) {
            return Err(IgnoredReason::Integrity);
        }
        Ok(opened.parsed.payloads)
    }

    /// The datagrams of a message outside phase 1 with HASH(1) before its payloads, and the next value of its chain.
    pub(crate) fn seal_hashed(
        &mut self,
        exchange: ExchangeType,
        message_id: u32,
        iv: Option<&Iv>,
        covered: &[Payload],
    ) -> Option<(Vec<Vec<u8>>, Iv)> {
        let session = self.session.as_ref()?;
        let (_, octets) = encode_payloads(covered);
        let hash = keys::hash1(session.suite.prf, &session.keys.a, message_id, &octets);
        let fresh = session.cipher.exchange_iv(&session.iv, message_id);
        let iv = iv.copied().unwrap_or(fresh);
        let mut payloads = vec![Payload::Hash(hash.expose().to_vec())];
        payloads.extend_from_slice(covered);
        self.seal(exchange, message_id, &iv, &payloads)
    }

    /// Sends an informational message; returns it.
    pub(crate) fn send_informational(&mut self, payload: Payload, cx: &mut Context<'_>) -> Vec<Vec<u8>> {
        let message_id = self.new_message_id(cx);
        let sealed = self.seal_hashed(ExchangeType::Informational, message_id, None, &[payload]);
        let datagrams = sealed.map(|(datagrams, _)| datagrams).unwrap_or_default();
        self.send(&datagrams, cx);
        datagrams
    }

    /// Sends an error notification about the ISAKMP SA or about the SA with this SPI; returns it.
    pub(crate) fn send_notify(&mut self, ty: NotifyType, spi: Option<Spi>, cx: &mut Context<'_>) -> Vec<Vec<u8>> {
        let notify = match spi {
            Some(spi) => {
                let spi = spi.to_be_bytes().to_vec();
                Notification { protocol: ProtocolId::Esp, spi, ty, data: Vec::new() }
            }
            None => Notification { protocol: ProtocolId::Isakmp, spi: self.cookie_octets(), ty, data: Vec::new() },
        };
        self.send_informational(Payload::Notification(notify), cx)
    }

    pub(crate) fn cookie_octets(&self) -> Vec<u8> {
        let (i, r) = self.cookies();
        [i.0, r.0].concat()
    }

    /// Tells the peer that our inbound SA is gone (RFC 2408 §3.15).
    pub(crate) fn send_delete_child(&mut self, spi: Spi, cx: &mut Context<'_>) {
        let delete = Delete { protocol: ProtocolId::Esp, spis: vec![spi.to_be_bytes().to_vec()] };
        self.send_informational(Payload::Delete(delete), cx);
    }

    /// Tells the peer that this ISAKMP SA is gone.
    pub(crate) fn send_delete_isakmp(&mut self, cx: &mut Context<'_>) {
        let delete = Delete { protocol: ProtocolId::Isakmp, spis: vec![self.cookie_octets()] };
        self.send_informational(Payload::Delete(delete), cx);
    }

    /// An error in clear while phase 1 is under way: it may be forged, so it only shortens the wait.
    fn handle_plain_informational(&mut self, received: &Received<'_>, cx: &mut Context<'_>) -> Outcome {
        let parsed = received.plain()?;
        let error = parsed.payloads.iter().find_map(|payload| match payload {
            Payload::Notification(notify) if notify.ty.is_error() => Some(notify.ty),
            _ => None,
        });
        let Some(ty) = error.filter(|_| self.is_connecting()) else { return Err(IgnoredReason::Unexpected) };
        let offered = matches!(self.state, State::SaOffered(_) | State::AggressiveOffered(_))
            .then(|| crate::v2::exchange::init::words(&self.peer.proposals));
        let reason = match (&self.state, ty) {
            (State::IdOffered(_), NotifyType::PAYLOAD_MALFORMED) => self.key_differs(received),
            (_, NotifyType::INVALID_MAJOR_VERSION) => {
                DownReason::VersionMismatch { ours: self.peer.versions, theirs: Version::V2 }
            }
            _ => DownReason::RefusedByV1 { notify: ty.name(), exchange: self.exchange(), offered },
        };
        self.take_hint(reason, cx);
        Ok(())
    }

    /// Something encrypted while we wait for message 6: the peer speaks under keys that we may not share.
    fn handle_early_informational(&mut self, received: &Received<'_>, cx: &mut Context<'_>) -> Outcome {
        if !matches!(self.state, State::IdOffered(_)) {
            return Err(IgnoredReason::Unexpected);
        }
        let reason = match self.open_hashed(received, None) {
            // Under the keys of both: the peer knows our key and refuses us for another reason.
            Ok(payloads) => payloads.iter().find_map(|payload| match payload {
                Payload::Notification(notify) if notify.ty.is_error() => Some(DownReason::RefusedByV1 {
                    notify: notify.ty.name(),
                    exchange: self.exchange(),
                    offered: Some(format!("the identity {}", self.peer.local_id)),
                }),
                _ => None,
            }),
            Err(_) => Some(self.key_differs(received)),
        };
        if let Some(reason) = reason {
            self.take_hint(reason, cx);
        }
        Err(IgnoredReason::Integrity)
    }

    /// The peer could not read our message 5, or we not its answer.
    fn key_differs(&self, received: &Received<'_>) -> DownReason {
        DownReason::Undecryptable {
            message: "the answer to message 5 of main mode",
            key: self.peer.name.to_string(),
            remote: received.path.remote.ip(),
        }
    }

    /// The exchange of phase 1 that is under way, in words.
    pub(crate) fn exchange(&self) -> &'static str {
        if matches!(self.state, State::AggressiveOffered(_) | State::AggressiveAnswered(_)) {
            "aggressive mode"
        } else {
            "main mode"
        }
    }

    fn handle_delete(&mut self, delete: &Delete, phase2: &mut Phase2, cx: &mut Context<'_>) {
        match delete.protocol {
            ProtocolId::Isakmp => {
                let own = self.cookie_octets();
                if delete.spis.contains(&own) {
                    self.close(DownReason::PeerDeleted, phase2, cx);
                }
            }
            ProtocolId::Esp => {
                let Some(id) = self.remote_id.clone() else { return };
                for spi in &delete.spis {
                    if let Some(child) = phase2.by_peer_spi(&id, spi) {
                        // It can be deleted once: this is no replay.
                        self.heard(cx.now);
                        // Our half is of no use without the peer's: it is told, as it told us.
                        let peer = self.peer.name.clone();
                        phase2.remove(child, DownReason::PeerDeleted, true, &peer, cx);
                    }
                }
            }
            ProtocolId::Ah | ProtocolId::IpComp | ProtocolId::Unknown(_) => {}
        }
    }

    fn handle_notify(
        &mut self,
        notify: &Notification,
        received: &Received<'_>,
        phase2: &mut Phase2,
        cx: &mut Context<'_>,
    ) {
        match notify.ty {
            NotifyType::R_U_THERE => self.answer_r_u_there(notify, received, phase2, cx),
            NotifyType::R_U_THERE_ACK => self.handle_r_u_there_ack(notify, received, phase2, cx),
            NotifyType::INITIAL_CONTACT => {
                // Some peers say it beside message 5 rather than in it. Later it would wipe out what stands.
                let early = self.established.is_some_and(|at| cx.now < at + std::time::Duration::from_secs(5));
                if early && self.role == Role::Responder && self.seen.is_empty() {
                    cx.actions.push_back(Action::V1(V1Action::InitialContact { cookie: self.local_cookie }));
                }
            }
            NotifyType::RESPONDER_LIFETIME if notify.protocol == ProtocolId::Isakmp => {
                if let Some(time) = super::proposal::lifetimes_in(&notify.data).0 {
                    self.shorten(time, cx);
                }
            }
            ty if ty.is_error() && !self.quick_refused(notify, phase2, cx) => {
                cx.event(Event::PeerNotified { peer: self.peer.name.clone(), notify: ty.name() });
            }
            _ => {}
        }
    }

    /// The responder means to keep the ISAKMP SA for less time than it was offered.
    fn shorten(&mut self, time: std::time::Duration, cx: &mut Context<'_>) {
        let Some(established) = self.established else { return };
        let lifetime = super::phase1::agreed_lifetime(&self.peer.lifetime, Some(time));
        let (rekey, expiry) = crate::child::lifetime_ends(&lifetime, established, cx.rng);
        self.rekey_at = self.rekey_at.and(rekey).or(rekey);
        self.expires_at = expiry;
        cx.event(Event::LifetimeDiffers {
            peer: self.peer.name.clone(),
            name: None,
            ours: self.peer.lifetime.time,
            theirs: time,
        });
    }

    /// XAUTH and mode config (exchange type 6) are not spoken here: XAUTH ends the SA, for the peer will not go on without
    /// it; mode config alone is passed over.
    pub(crate) fn handle_transaction(
        &mut self,
        received: &Received<'_>,
        phase2: &mut Phase2,
        cx: &mut Context<'_>,
    ) -> Outcome {
        if !self.is_usable() {
            return Err(IgnoredReason::Unexpected);
        }
        let payloads = self.open_hashed(received, None)?;
        let attributes = payloads.iter().find_map(|payload| match payload {
            Payload::Opaque { ty: super::wire::PayloadType::Attributes, body } => Some(body.as_slice()),
            _ => None,
        });
        let wants_xauth =
            attributes.is_some_and(|body| super::proposal::attribute_types(body).any(|ty| XAUTH.contains(&ty)));
        let what = if wants_xauth { "XAUTH" } else { "mode config" };
        let remedy =
            "switch it off at the peer for this connection: gateways prove themselves by the pre-shared key alone";
        let reason = DownReason::Unsupported { what, remedy };
        let peer = Some(self.peer.name.clone());
        cx.event(Event::Rejected { path: received.path, peer, reason: reason.clone() });
        if wants_xauth {
            self.send_delete_isakmp(cx);
            self.close(reason, phase2, cx);
        }
        Ok(())
    }

    /// The identity of the peer, once it is proved.
    pub(crate) fn proved_id(&self) -> Option<&Id> {
        self.remote_id.as_ref()
    }
}
