//! CHILD_SA rekey, both roles (RFC 7296 §1.3.3, collisions §2.8.1, refusals §2.25.1).
//!
//! ```text
//!  HDR, SK {N(REKEY_SA), SA, Ni, [KEi,] TSi, TSr} -->
//!                                              <--  HDR, SK {SA, Nr, [KEr,] TSi, TSr}
//!  HDR, SK {D(old)} -->
//!                                              <--  HDR, SK {D(old)}
//! ```
//! Invariant: traffic moves to the new SA before the old one is deleted. The initiator sends on the new SA as soon as it
//! has it; the responder when it hears on it, or when the old one is deleted.
//!
//! Both ends may rekey the same child at once. Then there are two new children; of the four nonces the lowest decides:
//! the child made with it is deleted by whoever asked for it, and the other one's initiator deletes the old child.

use super::create_child::{ChildOffer, Conclusion};
use super::{Exchange, Reply};
use crate::config::ChildName;
use crate::context::Context;
use crate::event::{ChildId, DownReason};
use crate::v2::child::{ChildSa, ChildState, NewChild};
use crate::v2::payloads::Payloads;
use crate::v2::{IkeSa, Task};
use crate::wire::{ExchangeType, Notify, NotifyType};
use std::time::Duration;

/// Wait before a refused rekey is tried again.
const REFUSED_RETRY: Duration = Duration::from_secs(10);

/// A rekey of ours under way.
#[derive(Debug)]
pub(crate) struct ChildRekey {
    pub(crate) old: ChildId,
    pub(crate) offer: ChildOffer,
    /// The peer's rekey of the same child.
    pub(crate) collision: Option<Collision>,
}

/// A peer's rekey that crosses ours.
#[derive(Debug)]
pub(crate) struct Collision {
    theirs: ChildId,
    nonce: Vec<u8>,
}

impl IkeSa {
    /// Asks for a child that takes over from `old`, unless somebody else saw to that already.
    pub(crate) fn start_rekey_child(&mut self, old: ChildId, cx: &mut Context<'_>) {
        let peer = std::sync::Arc::clone(&self.peer);
        let Some(child) = self.children.get(&old).filter(|child| child.state == ChildState::Installed) else { return };
        let Some(config) = peer.child(&child.name) else {
            return self.enqueue(Task::DeleteChild(old), cx.now);
        };
        let (child, name) = (child.clone(), child.name.clone());
        let mut offer = ChildOffer::new(config, Some(&child), cx);
        let group = child.choice.group.or(offer.first_group());
        if let Err(reason) = offer.share(group, cx) {
            cx.spis.release_child(offer.spi, cx.now);
            return self.child_failed(Some(name), reason, true, cx);
        }
        self.send_rekey_child(ChildRekey { old, offer, collision: None }, cx);
    }

    fn send_rekey_child(&mut self, rekey: ChildRekey, cx: &mut Context<'_>) {
        let Some(old) = self.children.get(&rekey.old) else { return };
        let payloads = rekey.offer.payloads(true, Some(old.spis.inbound));
        self.request(ExchangeType::CreateChildSa, &payloads, Exchange::RekeyChild(Box::new(rekey)), cx);
    }

    /// The peer's answer to our rekey.
    pub(crate) fn finish_rekey_child(&mut self, rekey: ChildRekey, payloads: &Payloads, cx: &mut Context<'_>) {
        let ChildRekey { old, offer, collision } = rekey;
        let name = offer.name.clone();
        match self.conclude(offer, payloads, None, cx) {
            Conclusion::Agreed(new) => self.settle_rekey(old, *new, collision, cx),
            Conclusion::OtherGroup(retry) => {
                let (mut offer, group) = *retry;
                if !self.children.contains_key(&old) {
                    return cx.spis.release_child(offer.spi, cx.now);
                }
                match offer.share(Some(group), cx) {
                    Ok(()) => self.send_rekey_child(ChildRekey { old, offer, collision }, cx),
                    Err(reason) => {
                        cx.spis.release_child(offer.spi, cx.now);
                        self.child_failed(Some(name), reason, true, cx);
                    }
                }
            }
            Conclusion::Refused { notify, reason } => self.rekey_refused(old, name, collision, notify, reason, cx),
            Conclusion::Broken(rule) => self.enqueue(Task::DeleteIke(DownReason::Misbehaved(rule)), cx.now),
        }
    }

    /// Our rekey succeeded. Without a collision, or as its winner, the new child takes over and the old one is deleted.
    fn settle_rekey(&mut self, old: ChildId, new: NewChild, collision: Option<Collision>, cx: &mut Context<'_>) {
        let collision = collision.filter(|collision| self.children.contains_key(&collision.theirs));
        let wins = collision.as_ref().is_none_or(|collision| new.nonce > collision.nonce);
        let replaces = self.children.contains_key(&old).then_some(old);
        let ours = self.install_child(NewChild { replaces, outbound_active: wins, ..new }, cx);
        if !wins {
            self.make_redundant(ours, cx.now);
            return self.enqueue(Task::DeleteChild(ours), cx.now);
        }
        if let Some(collision) = collision {
            self.make_redundant(collision.theirs, cx.now);
        }
        self.replace_child(old, ours, cx.now);
        self.enqueue(Task::DeleteChild(old), cx.now);
    }

    /// RFC 7296 §2.25.1: what a refusal means depends on what the peer was doing.
    fn rekey_refused(
        &mut self,
        old: ChildId,
        name: ChildName,
        collision: Option<Collision>,
        notify: NotifyType,
        reason: DownReason,
        cx: &mut Context<'_>,
    ) {
        let still_there = self.children.get(&old).is_some_and(|child| child.state == ChildState::Installed);
        if collision.is_some() || !still_there {
            // The peer's own rekey, or its DELETE, decides.
            return;
        }
        match notify {
            NotifyType::TEMPORARY_FAILURE => self.try_again_later(Task::RekeyChild(old), cx),
            NotifyType::CHILD_SA_NOT_FOUND => {
                // "this request … to delete the Child SA" the peer lost (§2.25.1); what it carried needs a new one.
                self.child_failed(Some(name.clone()), reason.clone(), true, cx);
                self.enqueue(Task::CreateChild(name), cx.now);
                self.remove_child(old, reason, cx);
            }
            _ => {
                self.enqueue(Task::RekeyChild(old), cx.now + REFUSED_RETRY);
                self.child_failed(Some(name), reason, true, cx);
            }
        }
    }

    /// A rekey from the peer.
    pub(crate) fn answer_rekey_child(&mut self, rekeyed: &Notify, payloads: &Payloads, cx: &mut Context<'_>) -> Reply {
        let not_found = || Notify { ty: NotifyType::CHILD_SA_NOT_FOUND, data: Vec::new(), ..rekeyed.clone() };
        let child = rekeyed.child_spi().and_then(|spi| self.child_by_peer_spi(spi.get()));
        let Some(old) = child.and_then(|child| self.children.get(&child)).cloned() else {
            return Reply::only(not_found());
        };
        // Being deleted, being replaced, or the whole SA being rekeyed: not now.
        if self.is_deleting(old.id) || old.state != ChildState::Installed || self.is_rekeying() {
            return Reply::notify(NotifyType::TEMPORARY_FAILURE);
        }
        let (new, answer) = match self.accept_child(payloads, Some(&old), None, cx) {
            Ok(accepted) => accepted,
            Err(refusal) => return self.refuse_child(*refusal, true, cx),
        };
        let nonce = new.nonce.clone();
        let theirs = self.install_child(new, cx);
        self.await_confirmation(cx.now, |new| new.id == theirs);
        self.replace_child(old.id, theirs, cx.now);
        self.queue.retain(|queued| queued.task != Task::RekeyChild(old.id));
        if let Some(ours) = self.own_rekey_of(&old) {
            ours.collision = Some(Collision { theirs, nonce });
        }
        Reply::with(answer)
    }

    fn own_rekey_of(&mut self, old: &ChildSa) -> Option<&mut ChildRekey> {
        match &mut self.window.outstanding.as_mut()?.exchange {
            Exchange::RekeyChild(rekey) if rekey.old == old.id => Some(rekey),
            _ => None,
        }
    }
}
