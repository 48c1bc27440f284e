//! Quick mode, the responder's side.

use super::super::message::{Outcome, Received};
use super::super::phase1::{key_exchange, nonce, sa};
use super::super::phase2::{MAX_CHILDREN, Phase2};
use super::super::proposal::{Phase2Error, mode_remedy, mode_words, select_phase2};
use super::super::wire::{ExchangeType, Notification, NotifyType, Payload, ProtocolId};
use super::super::{IsakmpSa, MAX_SEEN, keys};
use super::initiator::TUNNEL;
use super::{Agreed, Finished, MAX_THEIRS, Quick, Step};
use crate::config::ChildConfig;
use crate::context::Context;
use crate::event::{DownReason, IgnoredReason, Role};
use crate::retransmit::Schedule;
use ipsec::{Spi, SpiPair, TrafficSelector};
use std::sync::Arc;

/// Why we do not make an SA, and what we answer.
struct Refusal {
    notify: NotifyType,
    /// The child it would have been.
    name: Option<crate::config::ChildName>,
    reason: DownReason,
}

impl Refusal {
    fn broken(rule: &'static str) -> Refusal {
        Refusal { notify: NotifyType::PAYLOAD_MALFORMED, name: None, reason: DownReason::Misbehaved(rule) }
    }
}

/// Why none of the peer's proposals was chosen, and what to do about it.
fn nothing_chosen(error: Phase2Error) -> DownReason {
    match error {
        Phase2Error::Diff(diff) => DownReason::NoProposalChosen(Box::new(diff)),
        Phase2Error::Mode { theirs } => {
            DownReason::Unsupported { what: mode_words(theirs), remedy: mode_remedy(theirs) }
        }
        Phase2Error::Bundle => {
            DownReason::Unsupported { what: "AH or IPComp beside ESP", remedy: "configure ESP alone at the peer" }
        }
    }
}

/// The selectors of a request, local first. Without identities it is about the two gateways themselves (RFC 2409 §5.5).
fn selectors(sa: &IsakmpSa, payloads: &[Payload]) -> Result<(TrafficSelector, TrafficSelector), &'static str> {
    let mut ids = payloads.iter().filter_map(|payload| match payload {
        Payload::Identification(id) => Some(id.selector()),
        _ => None,
    });
    let host =
        |address: std::net::IpAddr| TrafficSelector::from_prefix(address, if address.is_ipv4() { 32 } else { 128 });
    match (ids.next(), ids.next(), ids.next()) {
        (None, _, _) => Ok((host(sa.path.local.ip()), host(sa.path.remote.ip()))),
        (Some(Some(remote)), Some(Some(local)), None) => Ok((local, remote)),
        _ => Err("quick mode with identities that are no pair of subnets"),
    }
}

/// The configured child that a request is for: the one with exactly these selectors, else the first that contains them.
fn select_child(
    children: &[ChildConfig],
    local: &TrafficSelector,
    remote: &TrafficSelector,
) -> Result<ChildConfig, Box<Refusal>> {
    let exact = |config: &&ChildConfig| config.local.contains(local) && config.remote.contains(remote);
    let within = |config: &&ChildConfig| {
        config.local.iter().any(|ours| local.is_subset_of(ours))
            && config.remote.iter().any(|ours| remote.is_subset_of(ours))
    };
    let found = children.iter().find(exact).or_else(|| children.iter().find(within));
    found.cloned().ok_or_else(|| {
        let pair = |config: &ChildConfig| {
            let words = crate::v2::exchange::init::words;
            format!("{} to {}", words(&config.local), words(&config.remote))
        };
        let ours: Vec<String> = children.iter().map(pair).take(8).collect();
        let reason = DownReason::TrafficSelectors { ours: ours.join("; "), theirs: format!("{local} to {remote}") };
        Box::new(Refusal { notify: NotifyType::INVALID_ID_INFORMATION, name: None, reason })
    })
}

impl IsakmpSa {
    /// Message 1: somebody who has the keys asks for SAs.
    pub(crate) fn quick_mode_1(
        &mut self,
        received: &Received<'_>,
        phase2: &mut Phase2,
        cx: &mut Context<'_>,
    ) -> Outcome {
        let message_id = received.header.message_id;
        let known = self.seen.contains(&message_id) || self.ids.is_ours(message_id) || self.ids.is_theirs(message_id);
        if message_id == 0 || known {
            return Err(IgnoredReason::Window);
        }
        let theirs = self.quick.values().filter(|quick| quick.role == Role::Responder).count();
        if theirs >= MAX_THEIRS || self.seen.len() >= MAX_SEEN {
            return Err(IgnoredReason::HalfOpenLimit);
        }
        let session = self.session.as_ref().ok_or(IgnoredReason::Unexpected)?;
        let opened = received.open(session, &session.cipher.exchange_iv(&session.iv, message_id))?;
        let expected = keys::hash1(session.suite.prf, &session.keys.a, message_id, opened.covered());
        if !opened.hash().is_some_and(|hash| expected.ct_eq(hash)) {
            return Err(IgnoredReason::Integrity);
        }
        // From here on it is the peer's own, and new: it will not be taken again.
        self.seen.insert(message_id);
        self.heard(cx.now);
        self.follow(received.path, phase2, cx);
        let (next, payloads) = (opened.next, opened.parsed.payloads);
        match self.answer_quick(&payloads, phase2, cx) {
            Ok((agreed, reply)) => self.send_quick_2(received, next, agreed, &reply, phase2, cx),
            Err(refusal) => self.refuse_quick(received, &payloads, *refusal, cx),
        }
        Ok(())
    }

    /// What we make of a request: SAs, and the payloads of the answer.
    fn answer_quick(
        &mut self,
        payloads: &[Payload],
        phase2: &Phase2,
        cx: &mut Context<'_>,
    ) -> Result<(Agreed, Vec<Payload>), Box<Refusal>> {
        let (Some(offer), Some(ni)) = (sa(payloads), nonce(payloads)) else {
            return Err(Box::new(Refusal::broken("quick mode without SA or nonce")));
        };
        let (local, remote) = selectors(self, payloads).map_err(|rule| Box::new(Refusal::broken(rule)))?;
        let peer = Arc::clone(&self.peer);
        let config = select_child(&peer.children, &local, &remote)?;
        let refuse = |notify, reason| Box::new(Refusal { notify, name: Some(config.name.clone()), reason });
        if phase2.children.len() >= MAX_CHILDREN {
            return Err(refuse(
                NotifyType::NO_PROPOSAL_CHOSEN,
                DownReason::Misbehaved("too many IPsec SAs of one peer"),
            ));
        }
        let mode = self.mode();
        let share = key_exchange(payloads);
        let choice = select_phase2(&config.proposals, offer, share.is_some(), &[mode])
            .map_err(|error| refuse(NotifyType::NO_PROPOSAL_CHOSEN, nothing_chosen(error)))?;
        let crypto = |error: crypto::CryptoError| {
            refuse(NotifyType::INVALID_KEY_INFORMATION, DownReason::Crypto(error.to_string()))
        };
        let (own_share, shared) = match (choice.choice.group, share) {
            (Some(group), Some(theirs)) => {
                let share = cx.provider.key_exchange(group, cx.rng).map_err(crypto)?;
                let own = Payload::KeyExchange(share.public().to_vec());
                (Some(own), Some(share.agree(theirs).map_err(crypto)?))
            }
            (_, _) => (None, None),
        };
        let inbound = cx.spis.allocate_child(cx.rng, cx.now);
        let nr = cx.nonce();
        let lifetime = self.child_lifetime(&config.name, choice.lifetime, choice.kilobytes, cx);
        let mut reply = vec![Payload::SecurityAssociation(choice.answer_with(inbound)), Payload::Nonce(nr.clone())];
        reply.extend(own_share);
        reply.extend(payloads.iter().filter(|payload| matches!(payload, Payload::Identification(_))).cloned());
        if let Some(ours) = lifetime.time.filter(|ours| choice.lifetime.is_some_and(|theirs| theirs > *ours)) {
            reply.push(responder_lifetime(inbound, ours.as_secs()));
        }
        let agreed = Agreed {
            name: config.name.clone(),
            replaces: None,
            begun: cx.now,
            role: Role::Responder,
            spis: SpiPair { inbound, outbound: choice.spi },
            choice: choice.choice,
            local,
            remote,
            ni: ni.to_vec(),
            nr,
            shared,
            lifetime,
            udp: mode != TUNNEL,
        };
        Ok((agreed, reply))
    }

    fn send_quick_2(
        &mut self,
        received: &Received<'_>,
        iv: super::super::cipher::Iv,
        agreed: Agreed,
        reply: &[Payload],
        phase2: &mut Phase2,
        cx: &mut Context<'_>,
    ) {
        let message_id = received.header.message_id;
        let (name, ni, nr, spi) = (agreed.name.clone(), agreed.ni.clone(), agreed.nr.clone(), agreed.spis.inbound);
        // The peer may send on it as soon as it has the answer.
        let Some(child) = self.install(agreed, phase2, cx) else { return cx.spis.release_child(spi, cx.now) };
        let Some((sent, iv)) = self.seal_answer(message_id, &iv, &ni, reply) else { return };
        self.send(&sent, cx);
        let schedule = Schedule::start(&self.peer.retransmit, self.peer.retransmit.give_up, cx.now, cx.rng);
        let quick = Quick {
            role: Role::Responder,
            name,
            replaces: None,
            begun: cx.now,
            iv,
            received: Some(received.digest()),
            sent,
            schedule,
            step: Step::Answered { child, ni, nr },
        };
        self.quick.insert(message_id, quick);
    }

    fn refuse_quick(&mut self, received: &Received<'_>, payloads: &[Payload], refusal: Refusal, cx: &mut Context<'_>) {
        self.child_failed(refusal.name, refusal.reason, false, cx);
        let spi = sa(payloads).and_then(|sa| sa.proposals.first()).map(|proposal| proposal.spi.as_slice());
        let spi = spi.and_then(|spi| Some(u32::from_be_bytes(spi.try_into().ok()?))).and_then(Spi::new);
        let sent = self.send_notify(refusal.notify, spi, cx);
        let (message_id, until) = (received.header.message_id, Self::remembered(cx.now));
        self.finish(Finished { message_id, received: received.digest(), sent, until }, cx.now);
    }

    /// Message 3: the initiator is alive and has our answer.
    pub(crate) fn quick_mode_3(
        &mut self,
        received: &Received<'_>,
        phase2: &mut Phase2,
        cx: &mut Context<'_>,
    ) -> Outcome {
        let message_id = received.header.message_id;
        let session = self.session.as_ref().ok_or(IgnoredReason::Unexpected)?;
        let quick = self.quick.get(&message_id).ok_or(IgnoredReason::Unexpected)?;
        let Step::Answered { child, ni, nr } = &quick.step else { return Err(IgnoredReason::Unexpected) };
        let opened = received.open(session, &quick.iv)?;
        let expected = keys::hash3(session.suite.prf, &session.keys.a, message_id, ni, nr);
        if !opened.hash().is_some_and(|hash| expected.ct_eq(hash)) {
            return Err(IgnoredReason::Integrity);
        }
        let child = *child;
        self.quick.remove(&message_id);
        self.heard(cx.now);
        self.follow(received.path, phase2, cx);
        phase2.confirm(child, &self.peer.name, cx);
        let until = Self::remembered(cx.now);
        let ended = Finished { message_id, received: received.digest(), sent: Vec::new(), until };
        self.finish(ended, cx.now);
        Ok(())
    }

    /// A packet came on an SA: its quick mode need not be answered again.
    pub(crate) fn stop_answering(&mut self, heard: crate::event::ChildId, now: std::time::Instant) {
        let of = |quick: &Quick| matches!(quick.step, Step::Answered { child, .. } if child == heard);
        let Some(id) = self.quick.iter().find(|(_, quick)| of(quick)).map(|(id, _)| *id) else { return };
        let Some(quick) = self.quick.remove(&id) else { return };
        let received = quick.received.unwrap_or_default();
        let until = Self::remembered(now);
        self.finish(Finished { message_id: id, received, sent: quick.sent, until }, now);
    }

    /// Message 2 under HASH(2).
    fn seal_answer(
        &mut self,
        message_id: u32,
        iv: &super::super::cipher::Iv,
        ni: &[u8],
        covered: &[Payload],
    ) -> Option<(Vec<Vec<u8>>, super::super::cipher::Iv)> {
        let session = self.session.as_ref()?;
        let (_, octets) = super::super::wire::encode_payloads(covered);
        let hash = keys::hash2(session.suite.prf, &session.keys.a, message_id, ni, &octets);
        let mut payloads = vec![Payload::Hash(hash.expose().to_vec())];
        payloads.extend_from_slice(covered);
        self.seal(ExchangeType::QuickMode, message_id, iv, &payloads)
    }
}

/// RESPONDER-LIFETIME: our lifetime is shorter than the one that was offered (RFC 2407 §4.6.3.1).
fn responder_lifetime(spi: Spi, seconds: u64) -> Payload {
    let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
    // Life type 1 is seconds, in the basic form; the duration follows in four octets.
    let mut data = vec![0x80, 1, 0, 1, 0, 2, 0, 4];
    data.extend_from_slice(&seconds.to_be_bytes());
    Payload::Notification(Notification {
        protocol: ProtocolId::Esp,
        spi: spi.to_be_bytes().to_vec(),
        ty: NotifyType::RESPONDER_LIFETIME,
        data,
    })
}
