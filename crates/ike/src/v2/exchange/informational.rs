//! INFORMATIONAL, both roles: delete (RFC 7296 §1.4.1), liveness (§2.4), notifies (§1.4).
//!
//! ```text
//!  HDR, SK {[D,] [N]} -->
//!                     <--  HDR, SK {[D]}
//! ```
//! Crossing deletes (§2.25): a child that both ends delete is left out of the answer; an IKE SA that both ends delete is
//! gone when either request arrives.

use super::{Exchange, Reply};
use crate::context::Context;
use crate::event::{ChildId, DownReason, Event};
use crate::v2::payloads::Payloads;
use crate::v2::{IkeSa, State, Task};
use crate::wire::{Delete, ExchangeType, NotifyType, Payload, ProtocolId};
use ipsec::Spi;

/// SPIs remembered of DELETEs that name no child: the answer to one request names one SPI, and a peer deletes a few at a time.
const MOST_TAKEN_BACK: usize = 16;

impl IkeSa {
    /// Deletes a child, and with it all others that wait to be deleted.
    pub(crate) fn start_delete_children(&mut self, child: ChildId, cx: &mut Context<'_>) {
        let children = &self.children;
        let known = |id| children.get(&id).is_none_or(|sa| sa.unconfirmed.is_none_or(|at| at <= cx.now));
        let mut doomed = vec![child];
        self.queue.retain(|queued| match queued.task {
            Task::DeleteChild(child) if queued.not_before <= cx.now && known(child) => {
                doomed.push(child);
                false
            }
            _ => true,
        });
        doomed.retain(|child| self.children.contains_key(child));
        let spis: Vec<Spi> = doomed.iter().filter_map(|child| Some(self.children.get(child)?.spis.inbound)).collect();
        if spis.is_empty() {
            return;
        }
        let payloads = [Payload::Delete(Delete::esp(spis))];
        self.request(ExchangeType::Informational, &payloads, Exchange::DeleteChildren(doomed), cx);
    }

    pub(crate) fn finish_delete_children(&mut self, children: &[ChildId], cx: &mut Context<'_>) {
        for child in children {
            let reason = if self.has_expired(*child) { DownReason::Expired } else { DownReason::Administrative };
            self.remove_child(*child, reason, cx);
        }
    }

    /// Whether a child is being deleted because its time is over: that takes its expiry away (see `timers`).
    fn has_expired(&self, child: ChildId) -> bool {
        let Some(child) = self.children.get(&child) else { return false };
        let mortal = self.peer.child(&child.name).is_some_and(|config| config.lifetime.time.is_some());
        mortal && child.expires_at.is_none()
    }

    /// Deletes this IKE SA. Its children stop carrying traffic at once.
    pub(crate) fn start_delete_ike(&mut self, reason: DownReason, cx: &mut Context<'_>) {
        let children: Vec<ChildId> = self.children.keys().copied().collect();
        for child in children {
            self.remove_child(child, reason.clone(), cx);
        }
        self.queue.clear();
        let payloads = [Payload::Delete(Delete::Ike)];
        self.request(ExchangeType::Informational, &payloads, Exchange::DeleteIke(reason), cx);
    }

    /// Asks whether the peer is there: an empty message.
    pub(crate) fn start_liveness(&mut self, cx: &mut Context<'_>) {
        self.request(ExchangeType::Informational, &[], Exchange::Liveness, cx);
    }

    pub(crate) fn answer_informational(&mut self, payloads: &Payloads, cx: &mut Context<'_>) -> Reply {
        for notify in payloads.notifies().filter(|notify| notify.ty.is_error()) {
            cx.event(Event::PeerNotified { peer: self.peer.name.clone(), notify: notify.ty.name() });
        }
        if payloads.notify(NotifyType::AUTHENTICATION_FAILED).is_some() {
            let notify = NotifyType::AUTHENTICATION_FAILED;
            let reason = DownReason::Refused { notify, exchange: "IKE_AUTH", offered: None };
            return Reply { payloads: Vec::new(), close: Some(reason) };
        }
        if payloads.deletes().any(|delete| matches!(delete, Delete::Ike)) {
            let reason = match self.window.outstanding.as_ref().map(|outstanding| &outstanding.exchange) {
                // Both ends delete it: each for its own reason.
                Some(Exchange::DeleteIke(reason)) => reason.clone(),
                _ if matches!(self.state, State::Replaced) => DownReason::Superseded,
                _ => DownReason::PeerDeleted,
            };
            return Reply { payloads: Vec::new(), close: Some(reason) };
        }
        let mut answered = Vec::new();
        for delete in payloads.deletes() {
            if let Delete::Child { protocol: ProtocolId::Esp, spis } = delete {
                answered.extend(spis.iter().filter_map(|spi| self.delete_from_peer(*spi, cx)));
            }
        }
        if answered.is_empty() { Reply::empty() } else { Reply::with(vec![Payload::Delete(Delete::esp(answered))]) }
    }

    /// Removes the child that the peer means; returns our SPI for the answer unless our own DELETE is under way.
    fn delete_from_peer(&mut self, spi: u32, cx: &mut Context<'_>) -> Option<Spi> {
        let Some(child) = self.child_by_peer_spi(spi) else {
            self.note_taken_back(spi);
            return None;
        };
        let crossing = matches!(
            self.window.outstanding.as_ref().map(|outstanding| &outstanding.exchange),
            Some(Exchange::DeleteChildren(children)) if children.contains(&child)
        );
        let removed = self.remove_child(child, DownReason::PeerDeleted, cx)?;
        (!crossing).then_some(removed.spis.inbound)
    }

    /// The child may be one that the peer made for a request of ours whose answer is still under way: some peers delete it
    /// at once, and their DELETE can be faster. The answer must not bring it back to life.
    fn note_taken_back(&mut self, spi: u32) {
        let Some(outstanding) = &mut self.window.outstanding else { return };
        let offer = match &mut outstanding.exchange {
            Exchange::CreateChild(offer) => offer.as_mut(),
            Exchange::RekeyChild(rekey) => &mut rekey.offer,
            Exchange::Init(_)
            | Exchange::Auth(_)
            | Exchange::RekeyIke(_)
            | Exchange::DeleteChildren(_)
            | Exchange::DeleteIke(_)
            | Exchange::Liveness
            | Exchange::Failure(_) => return,
        };
        if offer.taken_back.len() < MOST_TAKEN_BACK {
            offer.taken_back.push(spi);
        }
    }
}
