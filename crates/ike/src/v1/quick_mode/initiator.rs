//! Quick mode, the initiator's side.

use super::super::message::{Outcome, Received};
use super::super::phase1::{key_exchange, nonce, sa};
use super::super::phase2::{Phase2, Task};
use super::super::proposal::{accept_phase2, phase2_offer};
use super::super::wire::{ExchangeType, IdPayload, Notification, NotifyType, Payload, SaPayload};
use super::super::{IsakmpSa, keys};
use super::{Agreed, Finished, Quick, Step};
use crate::config::{ChildConfig, ChildName};
use crate::context::Context;
use crate::event::{ChildId, DownReason, Event, IgnoredReason, Role};
use crate::proposal::EspProposal;
use crate::retransmit::Schedule;
use crypto::{Group, KeyExchange};
use ipsec::{Spi, SpiPair, TrafficSelector};
use std::sync::Arc;
use std::time::Duration;

/// Encapsulation mode "tunnel" (RFC 2407 §4.5).
pub(crate) const TUNNEL: u16 = 1;
/// Wait before a child that was refused is asked for again.
const REFUSED_RETRY: Duration = Duration::from_secs(10);

/// What we asked for.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) spi: Spi,
    pub(crate) offer: SaPayload,
    pub(crate) nonce: Vec<u8>,
    pub(crate) share: Option<Box<dyn KeyExchange>>,
    pub(crate) proposals: Vec<EspProposal>,
    pub(crate) local: TrafficSelector,
    pub(crate) remote: TrafficSelector,
    pub(crate) udp: bool,
    /// Which of the groups of our proposals this is: a quick mode can offer one only.
    pub(crate) attempt: usize,
}

/// The groups of our proposals, none among them, in order of preference: one quick mode can offer one of them.
pub(crate) fn groups(proposals: &[EspProposal]) -> Vec<Option<Group>> {
    let mut found: Vec<Option<Group>> = Vec::new();
    for proposal in proposals.iter().filter_map(|proposal| proposal.in_v1().ok()) {
        let groups = proposal.groups.iter().copied().map(Some);
        let none = proposal.groups.is_empty().then_some(None);
        for group in groups.chain(none) {
            if !found.contains(&group) {
                found.push(group);
            }
        }
    }
    found.truncate(8);
    found
}

impl IsakmpSa {
    /// The encapsulation mode that this path needs.
    pub(crate) fn mode(&self) -> u16 {
        match self.features.nat.filter(|_| self.nat.found()) {
            Some(version) => version.tunnel_mode(),
            None => TUNNEL,
        }
    }

    /// Asks for a configured child.
    pub(crate) fn start_create(&mut self, name: &ChildName, phase2: &mut Phase2, cx: &mut Context<'_>) {
        let peer = Arc::clone(&self.peer);
        let Some(config) = peer.child(name) else { return };
        if phase2.has_child(name) || self.is_creating(name) {
            return;
        }
        let (Some(local), Some(remote)) = (config.local.first(), config.remote.first()) else { return };
        self.ask_for_child(config, (local.clone(), remote.clone()), None, 0, cx);
    }

    /// Asks for the successor of an SA, with the same selectors.
    pub(crate) fn start_rekey(&mut self, old: ChildId, phase2: &mut Phase2, cx: &mut Context<'_>) {
        let peer = Arc::clone(&self.peer);
        let Some(child) = phase2.children.get(&old) else { return };
        let Some(config) = peer.child(&child.sa.name) else { return };
        if self.is_creating(&child.sa.name) {
            return;
        }
        let (Some(local), Some(remote)) = (child.sa.local.first(), child.sa.remote.first()) else { return };
        self.ask_for_child(config, (local.clone(), remote.clone()), Some(old), 0, cx);
    }

    /// Message 1, with the `attempt`th group of our proposals.
    fn ask_for_child(
        &mut self,
        config: &ChildConfig,
        (local, remote): (TrafficSelector, TrafficSelector),
        replaces: Option<ChildId>,
        attempt: usize,
        cx: &mut Context<'_>,
    ) {
        let rekey = replaces.is_some();
        let ids = (IdPayload::from_selector(&local), IdPayload::from_selector(&remote));
        let (Some(id_local), Some(id_remote)) = ids else {
            let what = format!("{local} to {remote} cannot be said in IKEv1: split it into subnets and single ports");
            return self.child_failed(Some(config.name.clone()), DownReason::Crypto(what), rekey, cx);
        };
        let spi = cx.spis.allocate_child(cx.rng, cx.now);
        let group = groups(&config.proposals).get(attempt).copied().flatten();
        let mode = self.mode();
        let offer = phase2_offer(&config.proposals, group, &config.lifetime, spi, mode);
        let share = group.map(|group| cx.provider.key_exchange(group, cx.rng)).transpose();
        let (Some(offer), Ok(share)) = (offer, share) else {
            cx.spis.release_child(spi, cx.now);
            let what = "none of esp_proposals can be said in IKEv1".to_owned();
            return self.child_failed(Some(config.name.clone()), DownReason::Crypto(what), rekey, cx);
        };
        let nonce = cx.nonce();
        let mut covered = vec![Payload::SecurityAssociation(offer.clone()), Payload::Nonce(nonce.clone())];
        covered.extend(share.as_ref().map(|share| Payload::KeyExchange(share.public().to_vec())));
        covered.extend([Payload::Identification(id_local), Payload::Identification(id_remote)]);
        let message_id = self.new_message_id(cx);
        let Some((sent, iv)) = self.seal_hashed(ExchangeType::QuickMode, message_id, None, &covered) else {
            return cx.spis.release_child(spi, cx.now);
        };
        let asked = Asked {
            spi,
            offer,
            nonce,
            share,
            proposals: config.proposals.clone(),
            local,
            remote,
            udp: mode != TUNNEL,
            attempt,
        };
        let schedule = Schedule::start(&self.peer.retransmit, self.peer.retransmit.give_up, cx.now, cx.rng);
        self.send(&sent, cx);
        let quick = Quick {
            role: Role::Initiator,
            name: config.name.clone(),
            replaces,
            begun: cx.now,
            iv,
            received: None,
            sent,
            schedule,
            step: Step::Asked(Box::new(asked)),
        };
        self.quick.insert(message_id, quick);
    }

    /// Message 2: the responder's choice; message 3 follows.
    pub(crate) fn quick_mode_2(
        &mut self,
        received: &Received<'_>,
        phase2: &mut Phase2,
        cx: &mut Context<'_>,
    ) -> Outcome {
        let message_id = received.header.message_id;
        let session = self.session.as_ref().ok_or(IgnoredReason::Unexpected)?;
        let quick = self.quick.get(&message_id).ok_or(IgnoredReason::Unexpected)?;
        let Step::Asked(asked) = &quick.step else { return Err(IgnoredReason::Unexpected) };
        let opened = received.open(session, &quick.iv)?;
        let expected = keys::hash2(session.suite.prf, &session.keys.a, message_id, &asked.nonce, opened.covered());
        if !opened.hash().is_some_and(|hash| expected.ct_eq(hash)) {
            return Err(IgnoredReason::Integrity);
        }
        let next = opened.next;
        let payloads = opened.parsed.payloads;
        let Some(quick) = self.quick.remove(&message_id) else { return Err(IgnoredReason::Unexpected) };
        self.heard(cx.now);
        self.follow(received.path, phase2, cx);
        let (name, rekey) = (quick.name.clone(), quick.replaces.is_some());
        let Quick { name: child, replaces, begun, step: Step::Asked(asked), .. } = quick else { return Ok(()) };
        let spi = asked.spi;
        let agreed = match self.conclude(*asked, (child, replaces, begun), &payloads, cx) {
            Ok(agreed) => agreed,
            Err(reason) => {
                cx.spis.release_child(spi, cx.now);
                self.child_failed(Some(name), reason, rekey, cx);
                self.send_notify(NotifyType::NO_PROPOSAL_CHOSEN, Some(spi), cx);
                return Ok(());
            }
        };
        let Some(session) = &self.session else { return Err(IgnoredReason::Unexpected) };
        let hash = keys::hash3(session.suite.prf, &session.keys.a, message_id, &agreed.ni, &agreed.nr);
        let third = [Payload::Hash(hash.expose().to_vec())];
        self.install(agreed, phase2, cx);
        let Some((sent, _)) = self.seal(ExchangeType::QuickMode, message_id, &next, &third) else { return Ok(()) };
        self.send(&sent, cx);
        let until = Self::remembered(cx.now);
        self.finish(Finished { message_id, received: received.digest(), sent, until }, cx.now);
        Ok(())
    }

    /// What the responder's answer means for what we asked.
    fn conclude(
        &self,
        asked: Asked,
        (name, replaces, begun): (ChildName, Option<ChildId>, std::time::Instant),
        payloads: &[Payload],
        cx: &mut Context<'_>,
    ) -> Result<Agreed, DownReason> {
        let (Some(answer), Some(nr)) = (sa(payloads), nonce(payloads)) else {
            return Err(DownReason::Misbehaved("quick mode answered without SA or nonce"));
        };
        let choice = accept_phase2(&asked.offer, &asked.proposals, answer)
            .map_err(|diff| DownReason::NoProposalChosen(Box::new(diff)))?;
        let shared = match (asked.share, key_exchange(payloads)) {
            (None, None) => None,
            (Some(share), Some(theirs)) => {
                Some(share.agree(theirs).map_err(|error| DownReason::Crypto(error.to_string()))?)
            }
            (Some(_), None) => return Err(DownReason::Misbehaved("quick mode with PFS answered without a key share")),
            (None, Some(_)) => return Err(DownReason::Misbehaved("a key share in quick mode without PFS")),
        };
        let (local, remote) = self.granted(&name, (asked.local, asked.remote), payloads, cx)?;
        let said = super::super::phase1::identity::responder_lifetime(payloads);
        let lifetime = self.child_lifetime(&name, said.or(choice.lifetime), choice.kilobytes, cx);
        Ok(Agreed {
            name,
            replaces,
            begun,
            role: Role::Initiator,
            spis: SpiPair { inbound: asked.spi, outbound: choice.spi },
            choice: choice.choice,
            local,
            remote,
            ni: asked.nonce,
            nr: nr.to_vec(),
            shared,
            lifetime,
            udp: asked.udp,
        })
    }

    /// The selectors of the answer: what we asked for, or a part of it, which is said.
    fn granted(
        &self,
        name: &ChildName,
        (local, remote): (TrafficSelector, TrafficSelector),
        payloads: &[Payload],
        cx: &mut Context<'_>,
    ) -> Result<(TrafficSelector, TrafficSelector), DownReason> {
        let mut ids = payloads.iter().filter_map(|payload| match payload {
            Payload::Identification(id) => Some(id.selector()),
            _ => None,
        });
        let (granted_local, granted_remote) = match (ids.next(), ids.next()) {
            (None, _) => return Ok((local, remote)),
            (Some(Some(first)), Some(Some(second))) => (first, second),
            _ => return Err(DownReason::Misbehaved("quick mode answered with selectors of no form")),
        };
        if granted_local == local && granted_remote == remote {
            return Ok((local, remote));
        }
        if !granted_local.is_subset_of(&local) || !granted_remote.is_subset_of(&remote) {
            return Err(DownReason::TrafficSelectors {
                ours: format!("{local} to {remote}"),
                theirs: format!("{granted_local} to {granted_remote}"),
            });
        }
        cx.event(Event::Narrowed {
            peer: self.peer.name.clone(),
            name: name.clone(),
            asked: format!("{local} to {remote}"),
            granted: format!("{granted_local} to {granted_remote}"),
        });
        Ok((granted_local, granted_remote))
    }

    /// The peer refused a quick mode of ours by a notification (authenticated): the one it names by SPI, else the only one.
    pub(crate) fn quick_refused(&mut self, notify: &Notification, phase2: &mut Phase2, cx: &mut Context<'_>) -> bool {
        let ours = |quick: &&Quick| matches!(quick.step, Step::Asked(_));
        let named = |quick: &Quick| match &quick.step {
            Step::Asked(asked) => asked.spi.to_be_bytes() == notify.spi.as_slice(),
            Step::Answered { .. } => false,
        };
        let by_spi = self.quick.iter().find(|(_, quick)| named(quick)).map(|(id, _)| *id);
        let mut all = self.quick.iter().filter(|(_, quick)| ours(quick)).map(|(id, _)| *id);
        let alone = all.next().filter(|_| all.next().is_none());
        let Some(quick) = by_spi.or(alone).and_then(|id| self.quick.remove(&id)) else { return false };
        let Step::Asked(asked) = quick.step else { return false };
        cx.spis.release_child(asked.spi, cx.now);
        let peer = Arc::clone(&self.peer);
        let next = asked.attempt + 1;
        if notify.ty == NotifyType::NO_PROPOSAL_CHOSEN
            && next < groups(&asked.proposals).len()
            && let Some(config) = peer.child(&quick.name)
        {
            self.ask_for_child(config, (asked.local, asked.remote), quick.replaces, next, cx);
            return true;
        }
        let offered = match notify.ty {
            NotifyType::NO_PROPOSAL_CHOSEN => Some(crate::v2::exchange::init::words(&asked.proposals)),
            NotifyType::INVALID_ID_INFORMATION => Some(format!("{} to {}", asked.local, asked.remote)),
            _ => None,
        };
        let reason = DownReason::RefusedByV1 { notify: notify.ty.name(), exchange: "quick mode", offered };
        let rekey = quick.replaces.is_some();
        let task = match quick.replaces.filter(|old| phase2.children.contains_key(old)) {
            Some(old) => Task::Rekey(old),
            None => Task::Create(quick.name.clone()),
        };
        phase2.enqueue(task, cx.now + REFUSED_RETRY);
        self.child_failed(Some(quick.name), reason, rekey, cx);
        true
    }
}
