//! A new child, both roles: in CREATE_CHILD_SA (RFC 7296 §1.3.1), and the part of IKE_AUTH that makes one (§1.2).
//!
//! ```text
//!  HDR, SK {SA, Ni, [KEi,] TSi, TSr} -->
//!                                    <--  HDR, SK {SA, Nr, [KEr,] TSi, TSr}
//! ```
//! A child rekey (`rekey_child`) is the same with N(REKEY_SA); it shares the offer and both conclusions.

use super::init::words;
use super::{Exchange, Reply};
use crate::config::{ChildConfig, ChildName};
use crate::context::Context;
use crate::event::{DownReason, Event, Role};
use crate::keys::derive_child;
use crate::proposal::{EspProposal, accept_esp, esp_to_wire, select_esp};
use crate::v2::child::{ChildSa, ChildState, NewChild, lower_nonce};
use crate::v2::payloads::Payloads;
use crate::v2::{IkeSa, State, Task};
use crate::wire::{ExchangeType, Notify, NotifyType, Payload, Proposal, ProtocolId};
use crypto::{CryptoError, Group, KeyExchange, SecretBytes};
use ipsec::{Spi, SpiPair, TrafficSelector, selectors};
use std::time::Duration;

/// Attempts with another group after INVALID_KE_PAYLOAD.
const GROUP_ATTEMPTS: u8 = 3;
/// Children of one IKE SA that the peer may ask for: a few per configured one is usual, the rest is a fault or an attack.
const MAX_CHILDREN: usize = 256;
/// Where very many are configured, so many for each: all of them may be in the middle of a rekey that collides.
const MAX_PER_CONFIGURED: usize = 4;
/// Wait before a child that was refused for good reasons is asked for again.
const REFUSED_RETRY: Duration = Duration::from_secs(10);

/// The nonces of an exchange.
#[derive(Clone, Debug)]
pub(crate) struct Nonces {
    pub(crate) initiator: Vec<u8>,
    pub(crate) responder: Vec<u8>,
}

/// What we asked for.
#[derive(Debug)]
pub(crate) struct ChildOffer {
    pub(crate) name: ChildName,
    pub(crate) spi: Spi,
    pub(crate) nonce: Vec<u8>,
    pub(crate) share: Option<Box<dyn KeyExchange>>,
    pub(crate) proposals: Vec<EspProposal>,
    pub(crate) local: Vec<TrafficSelector>,
    pub(crate) remote: Vec<TrafficSelector>,
    pub(crate) attempts: u8,
    /// SPIs that the peer deleted meanwhile and that are of no child here: its DELETE may have overtaken its answer.
    pub(crate) taken_back: Vec<u32>,
}

/// What a response means for an offer.
pub(crate) enum Conclusion {
    /// A child.
    Agreed(Box<NewChild>),
    /// Ask again with this group.
    OtherGroup(Box<(ChildOffer, Group)>),
    /// The peer said no.
    Refused { notify: NotifyType, reason: DownReason },
    /// The peer's answer is not one to our offer.
    Broken(&'static str),
}

/// Why we do not make a child, and what we answer.
pub(crate) struct Refusal {
    pub(crate) notify: Notify,
    pub(crate) name: Option<ChildName>,
    pub(crate) reason: DownReason,
}

impl ChildOffer {
    /// An offer for a configured child, or for the one that is rekeyed: then with the selectors it has (§2.9.2).
    pub(crate) fn new(config: &ChildConfig, rekeyed: Option<&ChildSa>, cx: &mut Context<'_>) -> ChildOffer {
        ChildOffer {
            name: config.name.clone(),
            spi: cx.spis.allocate_child(cx.rng, cx.now),
            nonce: cx.nonce(),
            share: None,
            proposals: config.proposals.clone(),
            local: rekeyed.map_or(&config.local, |child| &child.local).clone(),
            remote: rekeyed.map_or(&config.remote, |child| &child.remote).clone(),
            attempts: 0,
            taken_back: Vec::new(),
        }
    }

    /// SA, [Ni, KEi,] TSi, TSr; outside IKE_AUTH also the notify that names the child to rekey, first.
    pub(crate) fn payloads(&self, own_exchange: bool, rekeyed: Option<Spi>) -> Vec<Payload> {
        let mut payloads = Vec::new();
        if let Some(spi) = rekeyed {
            payloads.push(Payload::Notify(Notify::for_child(NotifyType::REKEY_SA, spi)));
        }
        payloads.push(Payload::SecurityAssociation(esp_to_wire(&self.proposals, self.spi, own_exchange)));
        if own_exchange {
            payloads.push(Payload::Nonce(self.nonce.clone()));
        }
        if let Some(share) = &self.share {
            payloads.push(Payload::KeyExchange { group: share.group().number(), data: share.public().to_vec() });
        }
        payloads.push(Payload::TsInitiator(self.local.clone()));
        payloads.push(Payload::TsResponder(self.remote.clone()));
        payloads
    }

    /// The group of our first proposal that has one.
    pub(crate) fn first_group(&self) -> Option<Group> {
        self.proposals.iter().find_map(|proposal| proposal.groups.first().copied())
    }

    /// Makes the key share for a group.
    pub(crate) fn share(&mut self, group: Option<Group>, cx: &mut Context<'_>) -> Result<(), DownReason> {
        self.share = match group {
            Some(group) => {
                let share = cx.provider.key_exchange(group, cx.rng);
                Some(share.map_err(|error| DownReason::Crypto(error.to_string()))?)
            }
            None => None,
        };
        Ok(())
    }
}

impl IkeSa {
    /// Asks for a child with this configuration, unless there is one already.
    pub(crate) fn start_create_child(&mut self, name: &ChildName, cx: &mut Context<'_>) {
        let peer = std::sync::Arc::clone(&self.peer);
        let Some(config) = peer.child(name) else { return };
        if self.has_child(name) {
            return;
        }
        let mut offer = ChildOffer::new(config, None, cx);
        if let Err(reason) = offer.share(offer.first_group(), cx) {
            cx.spis.release_child(offer.spi, cx.now);
            return self.child_failed(Some(name.clone()), reason, false, cx);
        }
        self.send_create_child(offer, cx);
    }

    fn send_create_child(&mut self, offer: ChildOffer, cx: &mut Context<'_>) {
        let payloads = offer.payloads(true, None);
        self.request(ExchangeType::CreateChildSa, &payloads, Exchange::CreateChild(Box::new(offer)), cx);
    }

    /// Whether a live child has this configuration.
    pub(crate) fn has_child(&self, name: &ChildName) -> bool {
        self.children.values().any(|child| &child.name == name && child.state == ChildState::Installed)
    }

    /// The peer's answer to our request for a child.
    pub(crate) fn finish_create_child(&mut self, offer: ChildOffer, payloads: &Payloads, cx: &mut Context<'_>) {
        let name = offer.name.clone();
        match self.conclude(offer, payloads, None, cx) {
            Conclusion::Agreed(new) => {
                let child = self.install_child(*new, cx);
                self.drop_duplicate(child, cx);
            }
            Conclusion::OtherGroup(retry) => {
                let (mut offer, group) = *retry;
                match offer.share(Some(group), cx) {
                    Ok(()) => self.send_create_child(offer, cx),
                    Err(reason) => {
                        cx.spis.release_child(offer.spi, cx.now);
                        self.child_failed(Some(name), reason, false, cx);
                    }
                }
            }
            Conclusion::Refused { notify: NotifyType::TEMPORARY_FAILURE, .. } => {
                self.try_again_later(Task::CreateChild(name), cx);
            }
            Conclusion::Refused { reason, .. } => {
                self.enqueue(Task::CreateChild(name.clone()), cx.now + REFUSED_RETRY);
                self.child_failed(Some(name), reason, false, cx);
            }
            Conclusion::Broken(rule) => self.enqueue(Task::DeleteIke(DownReason::Misbehaved(rule)), cx.now),
        }
    }

    /// Both ends asked for the same child at the same time: the one made with the lowest nonce goes, deleted by who asked
    /// for it, as after simultaneous rekeys.
    fn drop_duplicate(&mut self, new: crate::event::ChildId, cx: &mut Context<'_>) {
        let Some(made) = self.children.get(&new) else { return };
        let same = |other: &&ChildSa| {
            other.id != made.id
                && other.name == made.name
                && other.state == ChildState::Installed
                && other.local == made.local
                && other.remote == made.remote
        };
        let Some(other) = self.children.values().find(same) else { return };
        if other.role == made.role {
            // Asked for twice by the same end: it means the newer one, whether or not it deletes the older.
            let old = other.id;
            return self.replace_child(old, new, cx.now);
        }
        let loser = if made.nonce < other.nonce { made } else { other };
        let (id, role) = (loser.id, loser.role);
        self.make_redundant(id, cx.now);
        if role == Role::Initiator {
            self.enqueue(Task::DeleteChild(id), cx.now);
        }
    }

    /// Says that a child did not come up.
    pub(crate) fn child_failed(
        &mut self,
        name: Option<ChildName>,
        reason: DownReason,
        rekey: bool,
        cx: &mut Context<'_>,
    ) {
        cx.event(Event::ChildFailed { peer: self.peer.name.clone(), name, reason, rekey });
        cx.actions.push_back(crate::context::Action::Reconcile(self.peer.name.clone()));
    }

    /// What the peer's answer means. `auth` has the nonces when the child rides in IKE_AUTH. Gives the offer's SPI back
    /// unless a child has it.
    pub(crate) fn conclude(
        &mut self,
        mut offer: ChildOffer,
        payloads: &Payloads,
        auth: Option<&Nonces>,
        cx: &mut Context<'_>,
    ) -> Conclusion {
        if let Some(group) = self.other_group(&offer, payloads) {
            offer.attempts += 1;
            offer.nonce = cx.nonce();
            return Conclusion::OtherGroup(Box::new((offer, group)));
        }
        let (spi, local, remote) = (offer.spi, offer.local.clone(), offer.remote.clone());
        let conclusion = self.conclude_offer(offer, payloads, auth);
        match &conclusion {
            Conclusion::Agreed(new) => self.tell_narrowed(&local, &remote, new, cx),
            Conclusion::OtherGroup(_) | Conclusion::Refused { .. } | Conclusion::Broken(_) => {
                cx.spis.release_child(spi, cx.now);
            }
        }
        conclusion
    }

    /// A responder may grant less than it is asked for (RFC 7296 §2.9): what is left out has no SA, and is dropped here.
    fn tell_narrowed(
        &self,
        local: &[TrafficSelector],
        remote: &[TrafficSelector],
        new: &NewChild,
        cx: &mut Context<'_>,
    ) {
        if selectors::is_subset(local, &new.local) && selectors::is_subset(remote, &new.remote) {
            return;
        }
        cx.event(Event::Narrowed {
            peer: self.peer.name.clone(),
            name: new.name.clone(),
            asked: format!("{} to {}", words(local), words(remote)),
            granted: format!("{} to {}", words(&new.local), words(&new.remote)),
        });
    }

    fn other_group(&self, offer: &ChildOffer, payloads: &Payloads) -> Option<Group> {
        let notify = payloads.notify(NotifyType::INVALID_KE_PAYLOAD)?;
        let number = u16::from_be_bytes(notify.data.as_slice().try_into().ok()?);
        let group = Group::from_number(number)?;
        let offered = offer.proposals.iter().any(|proposal| proposal.groups.contains(&group));
        let different = offer.share.as_ref().map(|share| share.group()) != Some(group);
        (offered && different && offer.attempts < GROUP_ATTEMPTS).then_some(group)
    }

    fn conclude_offer(&self, offer: ChildOffer, payloads: &Payloads, auth: Option<&Nonces>) -> Conclusion {
        let exchange = if auth.is_some() { "IKE_AUTH" } else { "CREATE_CHILD_SA" };
        let (Some(answer), Some(ts_i), Some(ts_r)) = (payloads.sa(), payloads.ts_initiator(), payloads.ts_responder())
        else {
            let Some(error) = payloads.error() else {
                return Conclusion::Broken("a child answered without SA, TSi or TSr");
            };
            let offered = match error.ty {
                NotifyType::NO_PROPOSAL_CHOSEN => Some(words(&offer.proposals)),
                NotifyType::TS_UNACCEPTABLE => Some(format!("{} to {}", words(&offer.local), words(&offer.remote))),
                _ => None,
            };
            let reason = DownReason::Refused { notify: error.ty, exchange, offered };
            return Conclusion::Refused { notify: error.ty, reason };
        };
        let Ok((choice, outbound)) = accept_esp(&offer.proposals, answer, auth.is_none()) else {
            return Conclusion::Broken("a child's answer is not what was offered");
        };
        if offer.taken_back.contains(&outbound.get()) {
            return Conclusion::Refused { notify: NotifyType::TEMPORARY_FAILURE, reason: DownReason::PeerDeleted };
        }
        let narrowed = |inner: &[TrafficSelector], outer| !inner.is_empty() && selectors::is_subset(inner, outer);
        if !narrowed(ts_i, &offer.local) || !narrowed(ts_r, &offer.remote) {
            return Conclusion::Broken("a child's traffic selectors are not within what was offered");
        }
        let nonces = match (auth, payloads.nonce()) {
            (Some(nonces), _) => nonces.clone(),
            (None, Some(nonce)) => Nonces { initiator: offer.nonce, responder: nonce.to_vec() },
            (None, None) => return Conclusion::Broken("CREATE_CHILD_SA answered without a nonce"),
        };
        let shared = match (choice.group, offer.share, payloads.ke()) {
            (None, _, _) => None,
            (Some(group), Some(share), Some((number, data))) if number == group.number() && share.group() == group => {
                match share.agree(data) {
                    Ok(shared) => Some(shared),
                    Err(_) => return Conclusion::Broken("a key share that is no member of its group"),
                }
            }
            (Some(_), _, _) => return Conclusion::Broken("a key share of another group than the chosen one"),
        };
        let Some(session) = &self.session else { return Conclusion::Broken("no keys") };
        let keys = derive_child(
            session.suite.prf,
            &session.derive,
            &choice.suite,
            shared.as_ref(),
            &nonces.initiator,
            &nonces.responder,
        );
        let Ok(keys) = keys else { return Conclusion::Broken("keys cannot be derived") };
        Conclusion::Agreed(Box::new(NewChild {
            name: offer.name,
            spis: SpiPair { inbound: offer.spi, outbound },
            choice,
            local: ts_i.to_vec(),
            remote: ts_r.to_vec(),
            keys,
            role: Role::Initiator,
            nonce: lower_nonce(&nonces.initiator, &nonces.responder),
            replaces: None,
            outbound_active: true,
        }))
    }

    /// CREATE_CHILD_SA from the peer: which of its three uses it is (RFC 7296 §1.3), and whether now is the time (§2.25).
    pub(crate) fn answer_create_child_sa(&mut self, payloads: &Payloads, cx: &mut Context<'_>) -> Reply {
        if matches!(self.state, State::Replaced) || self.is_closing() {
            return Reply::notify(NotifyType::TEMPORARY_FAILURE);
        }
        if self.children.len() >= MAX_CHILDREN.max(self.peer.children.len() * MAX_PER_CONFIGURED) {
            return Reply::notify(NotifyType::NO_ADDITIONAL_SAS);
        }
        if let Some(rekeyed) = payloads.notify(NotifyType::REKEY_SA) {
            return self.answer_rekey_child(rekeyed, payloads, cx);
        }
        let of_ike =
            |proposals: &[Proposal]| proposals.first().is_some_and(|proposal| proposal.protocol == ProtocolId::Ike);
        if payloads.sa().is_some_and(of_ike) {
            return self.answer_rekey_ike(payloads, cx);
        }
        if self.is_rekeying() {
            return Reply::notify(NotifyType::TEMPORARY_FAILURE);
        }
        match self.accept_child(payloads, None, None, cx) {
            Ok((new, answer)) => {
                let child = self.install_child(new, cx);
                self.await_confirmation(cx.now, |new| new.id == child);
                self.drop_duplicate(child, cx);
                Reply::with(answer)
            }
            Err(refusal) => self.refuse_child(*refusal, false, cx),
        }
    }

    /// Answers no. Asking for another group is part of the negotiation and no failure.
    pub(crate) fn refuse_child(&mut self, refusal: Refusal, rekey: bool, cx: &mut Context<'_>) -> Reply {
        if refusal.notify.ty != NotifyType::INVALID_KE_PAYLOAD {
            self.child_failed(refusal.name, refusal.reason, rekey, cx);
        }
        Reply::only(refusal.notify)
    }

    /// Accepts a child that the peer asks for: `rekeyed` is the one it replaces, `auth` has the nonces in IKE_AUTH.
    /// Returns what to install, and the payloads of the answer.
    pub(crate) fn accept_child(
        &mut self,
        payloads: &Payloads,
        rekeyed: Option<&ChildSa>,
        auth: Option<Nonces>,
        cx: &mut Context<'_>,
    ) -> Result<(NewChild, Vec<Payload>), Box<Refusal>> {
        let (Some(offer), Some(ts_i), Some(ts_r)) = (payloads.sa(), payloads.ts_initiator(), payloads.ts_responder())
        else {
            return Err(broken("a child asked for without SA, TSi or TSr"));
        };
        let peer = std::sync::Arc::clone(&self.peer);
        let (config, local, remote) = select_child(&peer.children, rekeyed, ts_r, ts_i)?;
        let refuse = |notify, reason| Box::new(Refusal { notify, name: Some(config.name.clone()), reason });
        let own_exchange = auth.is_none();
        let offered_group = payloads.ke().and_then(|(number, _)| Group::from_number(number));
        let selected = select_esp(&config.proposals, offer, own_exchange, offered_group).map_err(|diff| {
            refuse(Notify::new(NotifyType::NO_PROPOSAL_CHOSEN), DownReason::NoProposalChosen(Box::new(diff)))
        })?;
        let mut answer = Vec::new();
        let (nonces, own_nonce) = match (auth, payloads.nonce()) {
            (Some(nonces), _) => (nonces, None),
            (None, Some(initiator)) => {
                let responder = cx.nonce();
                (Nonces { initiator: initiator.to_vec(), responder: responder.clone() }, Some(responder))
            }
            (None, None) => return Err(broken("CREATE_CHILD_SA without a nonce")),
        };
        let crypto = |error: crypto::CryptoError| {
            refuse(Notify::new(NotifyType::INVALID_SYNTAX), DownReason::Crypto(error.to_string()))
        };
        let (own_share, shared) = match selected.choice.group.map(|group| (group, payloads.ke())) {
            None => (None, None),
            Some((group, Some((number, data)))) if number == group.number() => {
                let (own, shared) = answer_share(group, data, cx).map_err(crypto)?;
                (Some(own), Some(shared))
            }
            Some((group, _)) => {
                let wanted = group.number().to_be_bytes().to_vec();
                let notify = Notify::with_data(NotifyType::INVALID_KE_PAYLOAD, wanted);
                let reason = DownReason::Misbehaved("the key share is of another group than ours: asked for ours");
                return Err(refuse(notify, reason));
            }
        };
        let Some(session) = &self.session else { return Err(broken("no keys")) };
        let (prf, suite) = (session.suite.prf, &selected.choice.suite);
        let keys = derive_child(prf, &session.derive, suite, shared.as_ref(), &nonces.initiator, &nonces.responder)
            .map_err(crypto)?;
        let inbound = cx.spis.allocate_child(cx.rng, cx.now);
        let proposal = Proposal { spi: inbound.to_be_bytes().to_vec(), ..selected.wire };
        answer.push(Payload::SecurityAssociation(vec![proposal]));
        answer.extend(own_nonce.map(Payload::Nonce));
        answer.extend(own_share);
        answer.push(Payload::TsInitiator(remote.clone()));
        answer.push(Payload::TsResponder(local.clone()));
        let new = NewChild {
            name: config.name.clone(),
            spis: SpiPair { inbound, outbound: selected.spi },
            choice: selected.choice,
            local,
            remote,
            keys,
            role: Role::Responder,
            nonce: lower_nonce(&nonces.initiator, &nonces.responder),
            replaces: rekeyed.map(|child| child.id),
            outbound_active: rekeyed.is_none(),
        };
        Ok((new, answer))
    }
}

/// The peer's request breaks a rule.
fn broken(rule: &'static str) -> Box<Refusal> {
    let (notify, reason) = (Notify::new(NotifyType::INVALID_SYNTAX), DownReason::Misbehaved(rule));
    Box::new(Refusal { notify, name: None, reason })
}

/// Our key share for the peer's, as a payload, and the secret that both make.
fn answer_share(group: Group, theirs: &[u8], cx: &mut Context<'_>) -> Result<(Payload, SecretBytes), CryptoError> {
    let share = cx.provider.key_exchange(group, cx.rng)?;
    let own = Payload::KeyExchange { group: group.number(), data: share.public().to_vec() };
    Ok((own, share.agree(theirs)?))
}

/// A configured child and the selectors (local, remote) it narrows a request to.
type Narrowed<'a> = (&'a ChildConfig, Vec<TrafficSelector>, Vec<TrafficSelector>);

/// The configured child whose selectors meet the request (RFC 7296 §2.9); in a rekey, the one that is rekeyed.
fn select_child<'a>(
    children: &'a [ChildConfig],
    rekeyed: Option<&ChildSa>,
    local: &[TrafficSelector],
    remote: &[TrafficSelector],
) -> Result<Narrowed<'a>, Box<Refusal>> {
    let candidates = children.iter().filter(|config| rekeyed.is_none_or(|child| child.name == config.name));
    for config in candidates.clone() {
        let local = selectors::narrow(&config.local, local);
        let remote = selectors::narrow(&config.remote, remote);
        if !local.is_empty() && !remote.is_empty() {
            return Ok((config, local, remote));
        }
    }
    let ours: Vec<String> =
        candidates.map(|config| format!("{} to {}", words(&config.local), words(&config.remote))).take(8).collect();
    Err(Box::new(Refusal {
        notify: Notify::new(NotifyType::TS_UNACCEPTABLE),
        name: rekeyed.map(|child| child.name.clone()),
        reason: DownReason::TrafficSelectors {
            ours: ours.join("; "),
            theirs: format!("{} to {}", words(local), words(remote)),
        },
    }))
}
