//! A CHILD_SA as its IKE SA sees it: SPIs, selectors, age, and what is to become of it.

use super::{IkeSa, Task};
pub(crate) use crate::child::{ChildSa, ChildState, lifetime_ends};
use crate::child::{LINGER, as_meant};
use crate::config::{ChildName, Lifetime};
use crate::context::{Action, Context};
use crate::event::{ChildId, ChildInstall, DownReason, Event, Output, Role};
use crate::keys::ChildKeys;
use crate::proposal::EspChoice;
use ipsec::{Encapsulation, SpiPair, TrafficSelector};
use std::time::{Duration, Instant};

/// A child that the peer asked for counts as known to it this long after our last answer, if nothing proves it earlier.
/// A peer that did not get the answer repeats its request within this time.
const CONFIRMED_AFTER: Duration = Duration::from_secs(60);
/// A child that the peer should delete, and does not, is deleted by us after this long.
const OVERDUE_DELETE: Duration = Duration::from_secs(120);

/// What an exchange settled about a new child.
pub(crate) struct NewChild {
    pub(crate) name: ChildName,
    pub(crate) spis: SpiPair,
    pub(crate) choice: EspChoice,
    pub(crate) local: Vec<TrafficSelector>,
    pub(crate) remote: Vec<TrafficSelector>,
    pub(crate) keys: ChildKeys,
    pub(crate) role: Role,
    pub(crate) nonce: Vec<u8>,
    pub(crate) replaces: Option<ChildId>,
    pub(crate) outbound_active: bool,
}

/// The lower of two nonces as byte strings; a prefix is smaller (RFC 7296 §2.8.1).
pub(crate) fn lower_nonce(a: &[u8], b: &[u8]) -> Vec<u8> {
    a.min(b).to_vec()
}

impl IkeSa {
    /// Where ESP goes on the present path.
    pub(crate) fn encapsulation(&self) -> Encapsulation {
        if self.nat.found() {
            Encapsulation::Udp { local: self.path.local, remote: self.path.remote }
        } else {
            Encapsulation::Plain { local: self.path.local.ip(), remote: self.path.remote.ip() }
        }
    }

    /// Installs a child in both directions and remembers it.
    pub(crate) fn install_child(&mut self, new: NewChild, cx: &mut Context<'_>) -> ChildId {
        let child = cx.new_child_id();
        let peer = std::sync::Arc::clone(&self.peer);
        let config = peer.child(&new.name);
        let choice = as_meant(new.choice, config);
        let lifetime = config.map_or(Lifetime::of(Duration::from_secs(3600)), |config| config.lifetime);
        let (rekey_at, expires_at) = lifetime_ends(&lifetime, cx.now, cx.rng);
        let (outbound_keys, inbound_keys) = match new.role {
            Role::Initiator => (new.keys.initiator, new.keys.responder),
            Role::Responder => (new.keys.responder, new.keys.initiator),
        };
        cx.outputs.push_back(Output::InstallChild(Box::new(ChildInstall {
            child,
            peer: peer.name.clone(),
            name: new.name.clone(),
            suite: choice.suite,
            spis: new.spis,
            outbound_keys,
            inbound_keys,
            local: new.local.clone(),
            remote: new.remote.clone(),
            encapsulation: self.encapsulation(),
            replay_window: config.map_or(1024, |config| config.replay_window),
            lifetime,
            replaces: new.replaces,
            outbound_active: new.outbound_active,
        })));
        cx.event(Event::ChildSaUp {
            peer: peer.name.clone(),
            name: new.name.clone(),
            child,
            spis: new.spis,
            choice,
            replaces: new.replaces,
            role: new.role,
        });
        let sa = ChildSa {
            id: child,
            name: new.name,
            spis: new.spis,
            choice,
            local: new.local,
            remote: new.remote,
            state: ChildState::Installed,
            installed: cx.now,
            rekey_at,
            expires_at,
            role: new.role,
            nonce: new.nonce,
            unconfirmed: None,
        };
        self.children.insert(child, sa);
        cx.actions.push_back(Action::Reconcile(peer.name.clone()));
        child
    }

    /// The peer was (again) sent the answer that tells it of these children. Until it shows that it has it, a rekey or a
    /// DELETE of ours would speak of a child that the peer does not know.
    pub(crate) fn await_confirmation(&mut self, now: Instant, which: impl Fn(&ChildSa) -> bool) {
        for child in self.children.values_mut().filter(|child| which(child)) {
            child.unconfirmed = Some(now + CONFIRMED_AFTER);
        }
    }

    /// The peer has shown that it knows these children: what waited for that may start.
    pub(crate) fn confirm(&mut self, now: Instant, which: impl Fn(&ChildSa) -> bool) {
        for child in self.children.values_mut().filter(|child| which(child)) {
            if child.unconfirmed.take().is_none() {
                continue;
            }
            let tasks = [Task::RekeyChild(child.id), Task::DeleteChild(child.id)];
            for queued in self.queue.iter_mut().filter(|queued| tasks.contains(&queued.task)) {
                queued.not_before = queued.not_before.min(now);
            }
        }
    }

    /// Marks `old` as taken over by `new`; whoever must delete it does so, at the latest after [`OVERDUE_DELETE`].
    pub(crate) fn replace_child(&mut self, old: ChildId, new: ChildId, now: Instant) {
        if let Some(old) = self.children.get_mut(&old) {
            old.state = ChildState::Replaced(new);
            old.rekey_at = None;
            old.expires_at = Some(old.expires_at.map_or(now + OVERDUE_DELETE, |at| at.min(now + OVERDUE_DELETE)));
        }
    }

    /// Marks a child that lost a collision.
    pub(crate) fn make_redundant(&mut self, child: ChildId, now: Instant) {
        if let Some(child) = self.children.get_mut(&child) {
            child.state = ChildState::Redundant;
            child.rekey_at = None;
            child.expires_at = Some(now + OVERDUE_DELETE);
        }
    }

    /// Removes a child here. The one that replaces it, if any, takes over what we send.
    pub(crate) fn remove_child(&mut self, child: ChildId, reason: DownReason, cx: &mut Context<'_>) -> Option<ChildSa> {
        let removed = self.children.remove(&child)?;
        let successor = match removed.state {
            ChildState::Replaced(by) if self.children.contains_key(&by) => Some(by),
            ChildState::Replaced(_) | ChildState::Installed | ChildState::Redundant => None,
        };
        if let Some(successor) = successor {
            cx.outputs.push_back(Output::ActivateOutbound(successor));
        }
        self.inherit_predecessors(child, successor, &reason, cx);
        let other = self.has_child(&removed.name);
        let replaced = removed.state != ChildState::Installed || other;
        let superseded = matches!(reason, DownReason::Redundant | DownReason::Superseded);
        let linger = if replaced || superseded { LINGER } else { Duration::ZERO };
        cx.outputs.push_back(Output::RemoveChild { child, linger });
        cx.spis.release_child(removed.spis.inbound, cx.now + linger);
        if removed.state == ChildState::Installed {
            let (peer, name) = (self.peer.name.clone(), removed.name.clone());
            let reason = if other { DownReason::Redundant } else { reason };
            cx.actions.push_back(Action::ChildGone { peer: peer.clone(), reason: reason.clone() });
            cx.event(Event::ChildSaDown { peer, name, child, reason });
        }
        cx.actions.push_back(Action::Reconcile(self.peer.name.clone()));
        Some(removed)
    }

    /// What `gone` had replaced is now replaced by its successor; without one it carries the traffic again, unless it
    /// is being deleted: the peer made `gone` and took it back, or it lost a collision that only the peer could see. What
    /// an operator takes down takes its predecessors with it.
    fn inherit_predecessors(
        &mut self,
        gone: ChildId,
        successor: Option<ChildId>,
        reason: &DownReason,
        cx: &mut Context<'_>,
    ) {
        let replaced = |child: &&ChildSa| child.state == ChildState::Replaced(gone);
        let old: Vec<ChildId> = self.children.values().filter(replaced).map(|child| child.id).collect();
        for id in old {
            let deleting = self.is_deleting(id);
            let Some(child) = self.children.get_mut(&id) else { continue };
            match successor {
                Some(successor) => child.state = ChildState::Replaced(successor),
                None if deleting => {}
                None if *reason == DownReason::Administrative => self.enqueue(Task::DeleteChild(id), cx.now),
                None => {
                    child.state = ChildState::Installed;
                    self.try_again_later(Task::RekeyChild(id), cx);
                }
            }
        }
    }

    /// The child that the peer means by an SPI of its inbound direction, our outbound one (RFC 7296 §1.3.3, §1.4.1).
    pub(crate) fn child_by_peer_spi(&self, spi: u32) -> Option<ChildId> {
        self.children.values().find(|child| child.spis.outbound.get() == spi).map(|child| child.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn nonces_compare_as_byte_strings_and_a_prefix_is_lower() {
        assert_eq!(lower_nonce(&[1, 2], &[1, 2, 0]), vec![1, 2]);
        assert_eq!(lower_nonce(&[2], &[1, 255]), vec![1, 255]);
    }
}
