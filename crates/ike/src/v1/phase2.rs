//! The IPsec SAs of a peer (RFC 2409 §5.5): how one takes over from another without a gap, and which of two goes.
//!
//! IKEv1 does not say that an SA replaces another; it follows from name and selectors. Rules here:
//! - Inbound is installed before the peer can know the SA. Outbound changes over when the peer is heard on the new SA or has
//!   confirmed it, at the latest after [`SWITCH`]: a peer may install its own half later than it answers.
//! - Who began the exchange that made the newer SA deletes the older one, once the newer is proven and the peer sends on the
//!   older one no longer; the other end does so if nobody did. Until then it accepts.
//! - Exchanges of both ends that crossed make two SAs: the one with the lowest nonce goes, as in RFC 7296 §2.8.1. The end
//!   that saw no crossing may think otherwise for a while: both accept both.

use super::IsakmpSa;
use crate::child::{ChildSa, ChildState, LINGER, as_meant, lifetime_ends};
use crate::config::{ChildName, Lifetime, Path, PeerName};
use crate::context::{Action, Context};
use crate::event::{ChildId, ChildInstall, DownReason, Event, Output, Role};
use crate::id::Id;
use crate::proposal::EspChoice;
use ipsec::{Encapsulation, EspKeys, Spi, SpiPair, TrafficSelector};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// IPsec SAs with one peer: a few per child are usual while they are replaced, the rest is a fault or an attack.
pub(crate) const MAX_CHILDREN: usize = 256;
/// Sending changes over to a new SA after this long, if the peer is not heard on it before.
const SWITCH: Duration = Duration::from_secs(2);
/// The same for a first SA, which replaces nothing: time for the peer to install its half after our last message.
const FIRST_SWITCH: Duration = Duration::from_millis(60);
/// A replaced SA that is ours to delete is deleted this long after its successor came.
const DELETE_AFTER: Duration = Duration::from_secs(10);
/// One that the peer should delete, and does not.
const OVERDUE_DELETE: Duration = Duration::from_secs(60);
/// And looked at again this much later if it is too early.
const DELETE_RETRY: Duration = Duration::from_secs(5);
/// The peer still sends on an SA if it was heard on it this lately.
const LATELY: Duration = Duration::from_secs(3);
/// An unproven SA is given up after this long if the peer goes on sending on the one before: it may not have its half.
const SPURNED_AFTER: Duration = Duration::from_secs(30);
/// So many times; after that the peer means it, and its SA is used to its end.
const MAX_SPURNED: u8 = 2;
/// A peer that had not got our third message would have repeated its second one within this time.
const PROVEN_AFTER: Duration = Duration::from_secs(90);

/// Work that waits for an ISAKMP SA.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Task {
    /// A quick mode for a configured child.
    Create(ChildName),
    /// A quick mode for the successor of this one.
    Rekey(ChildId),
    /// Tell the peer that our inbound SA is gone.
    Delete(Id, Spi),
}

/// A task and the time before which it does not start.
#[derive(Debug)]
pub(crate) struct Queued {
    pub(crate) task: Task,
    pub(crate) not_before: Instant,
}

/// A pair of IPsec SAs.
#[derive(Debug)]
pub(crate) struct IpsecSa {
    pub(crate) sa: ChildSa,
    /// With whom: connections that take any address can have several peers.
    pub(crate) remote_id: Id,
    /// UDP-encapsulated tunnel mode (RFC 3947 §5.1).
    pub(crate) udp: bool,
    /// When our request for it left, or the peer's came.
    begun: Instant,
    /// When we send on it whatever happens.
    activate_at: Option<Instant>,
    /// When we delete it, if its successor is proven.
    delete_at: Option<Instant>,
    /// The peer has its half: it sends on it, or confirmed it.
    pub(crate) proven: bool,
    /// We send on it.
    active: bool,
    /// Its rekey, put aside while another one replaces it.
    resting_rekey: Option<Instant>,
    /// The peer was last heard on it.
    pub(crate) last_heard: Option<Instant>,
    /// Successors that were given up because the peer did not turn to them.
    spurned: u8,
}

/// What a quick mode settled.
pub(crate) struct NewSa {
    pub(crate) name: ChildName,
    pub(crate) spis: SpiPair,
    pub(crate) choice: EspChoice,
    pub(crate) local: TrafficSelector,
    pub(crate) remote: TrafficSelector,
    pub(crate) outbound_keys: EspKeys,
    pub(crate) inbound_keys: EspKeys,
    pub(crate) role: Role,
    pub(crate) nonce: Vec<u8>,
    pub(crate) replaces: Option<ChildId>,
    pub(crate) begun: Instant,
    pub(crate) lifetime: Lifetime,
    pub(crate) udp: bool,
}

/// All IPsec SAs of a peer, and what waits for an ISAKMP SA.
#[derive(Debug, Default)]
pub(crate) struct Phase2 {
    pub(crate) children: BTreeMap<ChildId, IpsecSa>,
    pub(crate) queue: Vec<Queued>,
}

/// Where ESP goes.
pub(crate) fn encapsulation(path: Path, udp: bool) -> Encapsulation {
    if udp {
        Encapsulation::Udp { local: path.local, remote: path.remote }
    } else {
        Encapsulation::Plain { local: path.local.ip(), remote: path.remote.ip() }
    }
}

impl Phase2 {
    /// The SAs with this identity.
    pub(crate) fn of<'a>(&'a self, id: &'a Id) -> impl Iterator<Item = &'a IpsecSa> {
        self.children.values().filter(move |child| child.remote_id.same_as(id))
    }

    /// Whether a live SA has this configuration.
    pub(crate) fn has_child(&self, name: &ChildName) -> bool {
        self.children.values().any(|child| &child.sa.name == name && child.sa.state == ChildState::Installed)
    }

    /// Queues a task unless it is queued already.
    pub(crate) fn enqueue(&mut self, task: Task, not_before: Instant) {
        if !self.queue.iter().any(|queued| queued.task == task) {
            self.queue.push(Queued { task, not_before });
        }
    }

    /// Installs a pair of SAs, inbound at once. What it replaces is settled once both ends have it.
    pub(crate) fn install(&mut self, new: NewSa, isakmp: &IsakmpSa, cx: &mut Context<'_>) -> Option<ChildId> {
        let remote_id = isakmp.remote_id.clone()?;
        let child = cx.new_child_id();
        let peer = &isakmp.peer;
        let config = peer.child(&new.name);
        let (rekey_at, expires_at) = lifetime_ends(&new.lifetime, cx.now, cx.rng);
        let choice = as_meant(new.choice, config);
        cx.outputs.push_back(Output::InstallChild(Box::new(ChildInstall {
            child,
            peer: peer.name.clone(),
            name: new.name.clone(),
            suite: choice.suite,
            spis: new.spis,
            outbound_keys: new.outbound_keys,
            inbound_keys: new.inbound_keys,
            local: vec![new.local.clone()],
            remote: vec![new.remote.clone()],
            encapsulation: encapsulation(isakmp.path, new.udp),
            replay_window: config.map_or(1024, |config| config.replay_window),
            lifetime: new.lifetime,
            replaces: new.replaces,
            outbound_active: false,
        })));
        let first = !self.has_child(&new.name);
        let wait = if first { FIRST_SWITCH } else { SWITCH };
        let sa = ChildSa {
            id: child,
            name: new.name,
            spis: new.spis,
            choice,
            local: vec![new.local],
            remote: vec![new.remote],
            state: ChildState::Installed,
            installed: cx.now,
            rekey_at,
            expires_at,
            role: new.role,
            nonce: new.nonce,
            unconfirmed: None,
        };
        self.children.insert(
            child,
            IpsecSa {
                sa,
                remote_id,
                udp: new.udp,
                begun: new.begun,
                activate_at: (new.role == Role::Initiator).then(|| cx.now + wait),
                delete_at: None,
                proven: false,
                active: false,
                resting_rekey: None,
                last_heard: None,
                spurned: 0,
            },
        );
        if new.role == Role::Initiator {
            self.settle(child, &peer.name, cx);
        }
        cx.actions.push_back(Action::Reconcile(peer.name.clone()));
        Some(child)
    }

    /// The peer has its half of an SA: it may be sent on.
    pub(crate) fn confirm(&mut self, id: ChildId, peer: &PeerName, cx: &mut Context<'_>) {
        let Some(child) = self.children.get_mut(&id) else { return };
        if std::mem::replace(&mut child.proven, true) {
            return;
        }
        let made_by_peer = child.sa.role == Role::Responder;
        self.activate(id, cx);
        if made_by_peer {
            self.settle(id, peer, cx);
        }
    }

    fn activate(&mut self, id: ChildId, cx: &mut Context<'_>) {
        let Some(child) = self.children.get_mut(&id) else { return };
        child.activate_at = None;
        let wanted = child.sa.state == ChildState::Installed;
        if wanted && !std::mem::replace(&mut child.active, true) {
            cx.outputs.push_back(Output::ActivateOutbound(id));
        }
    }

    /// A packet was heard on an SA.
    pub(crate) fn heard(&mut self, id: ChildId, peer: &PeerName, cx: &mut Context<'_>) {
        if let Some(child) = self.children.get_mut(&id) {
            child.last_heard = Some(cx.now);
            // The data plane sends on what it hears from (RFC 4301 has no say in it): so do the books.
            child.active = true;
            child.activate_at = None;
        }
        self.confirm(id, peer, cx);
    }

    /// A new SA stands: what it replaces, and what it competes with.
    fn settle(&mut self, new: ChildId, peer: &PeerName, cx: &mut Context<'_>) {
        let Some(made) = self.children.get(&new) else { return };
        let rivals: Vec<ChildId> = self.children.values().filter(|other| made.rivals(other)).map(|c| c.sa.id).collect();
        let replaces = rivals.first().copied();
        let (name, spis, choice, role) = (made.sa.name.clone(), made.sa.spis, made.sa.choice, made.sa.role);
        cx.event(Event::ChildSaUp { peer: peer.clone(), name, child: new, spis, choice, replaces, role });
        for rival in rivals {
            let (Some(made), Some(other)) = (self.children.get(&new), self.children.get(&rival)) else { continue };
            let newer_wins = !made.crossed(other) || made.sa.nonce > other.sa.nonce;
            let (winner, loser) = if newer_wins { (new, rival) } else { (rival, new) };
            self.replace(loser, winner, cx);
        }
    }

    /// `loser` is no longer sent on or rekeyed. We delete it if it is ours to do.
    fn replace(&mut self, loser: ChildId, winner: ChildId, cx: &mut Context<'_>) {
        let crossed = match (self.children.get(&loser), self.children.get(&winner)) {
            (Some(a), Some(b)) => a.crossed(b),
            _ => return,
        };
        let winner_is_ours = self.children.get(&winner).is_some_and(|child| child.sa.role == Role::Initiator);
        let Some(old) = self.children.get_mut(&loser) else { return };
        old.sa.state = ChildState::Replaced(winner);
        old.resting_rekey = old.sa.rekey_at.take();
        old.activate_at = None;
        let ours = if crossed { old.sa.role == Role::Initiator } else { winner_is_ours };
        old.delete_at = Some(cx.now + if ours { DELETE_AFTER } else { OVERDUE_DELETE });
        // What waited to replace it has nothing to do any more.
        self.queue.retain(|queued| queued.task != Task::Rekey(loser));
    }

    /// Removes an SA here; `tell`: the peer is told.
    pub(crate) fn remove(
        &mut self,
        id: ChildId,
        reason: DownReason,
        tell: bool,
        peer: &PeerName,
        cx: &mut Context<'_>,
    ) {
        let Some(removed) = self.children.remove(&id) else { return };
        self.queue.retain(|queued| queued.task != Task::Rekey(id));
        let successor = match removed.sa.state {
            ChildState::Replaced(by) if self.children.contains_key(&by) => Some(by),
            ChildState::Replaced(_) | ChildState::Installed | ChildState::Redundant => None,
        };
        if let Some(successor) = successor {
            self.activate(successor, cx);
        }
        self.pass_on(id, successor, &reason, cx);
        let other = self.has_child(&removed.sa.name);
        let superseded = matches!(reason, DownReason::Redundant | DownReason::Superseded);
        // What an operator takes down is down.
        let wanted =
            reason != DownReason::Administrative && (removed.sa.state != ChildState::Installed || other || superseded);
        let linger = if wanted { LINGER } else { Duration::ZERO };
        cx.outputs.push_back(Output::RemoveChild { child: id, linger });
        cx.spis.release_child(removed.sa.spis.inbound, cx.now + linger);
        if tell {
            self.enqueue(Task::Delete(removed.remote_id.clone(), removed.sa.spis.inbound), cx.now);
        }
        let said = removed.sa.role == Role::Initiator || removed.proven;
        if removed.sa.state == ChildState::Installed && said {
            let reason = if other { DownReason::Redundant } else { reason };
            let (peer, name) = (peer.clone(), removed.sa.name.clone());
            cx.actions.push_back(Action::ChildGone { peer: peer.clone(), reason: reason.clone() });
            cx.event(Event::ChildSaDown { peer, name, child: id, reason });
        }
        cx.actions.push_back(Action::Reconcile(peer.clone()));
    }

    /// What `gone` had replaced is replaced by its successor now, or carries the traffic again.
    fn pass_on(&mut self, gone: ChildId, successor: Option<ChildId>, reason: &DownReason, cx: &mut Context<'_>) {
        let administrative = *reason == DownReason::Administrative;
        let replaced = |child: &&mut IpsecSa| child.sa.state == ChildState::Replaced(gone);
        let mut back: Vec<(bool, Instant, ChildId)> = Vec::new();
        for child in self.children.values_mut().filter(replaced) {
            match successor {
                Some(successor) => child.sa.state = ChildState::Replaced(successor),
                None => back.push((child.proven, child.sa.installed, child.sa.id)),
            }
        }
        // The newest of them that the peer is known to have.
        back.sort();
        let Some((_, _, heir)) = back.pop().filter(|_| !administrative) else { return };
        for (_, _, other) in back {
            if let Some(child) = self.children.get_mut(&other) {
                child.sa.state = ChildState::Replaced(heir);
            }
        }
        if let Some(child) = self.children.get_mut(&heir) {
            child.sa.state = ChildState::Installed;
            child.delete_at = None;
            child.active = false;
            child.sa.rekey_at = child.resting_rekey.take().map(|at| at.max(cx.now + Duration::from_millis(500)));
        }
        self.activate(heir, cx);
    }

    /// The next time at which [`Self::age`] has something to do.
    pub(crate) fn next_age(&self) -> Option<Instant> {
        let of = |child: &IpsecSa| [child.activate_at, child.delete_at, child.sa.rekey_at, child.sa.expires_at];
        self.children.values().flat_map(of).flatten().min()
    }

    /// What time does to SAs: they are sent on, rekeyed, deleted, and expire.
    pub(crate) fn age(&mut self, peer: &PeerName, cx: &mut Context<'_>) {
        let now = cx.now;
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        let ids: Vec<ChildId> = self.children.keys().copied().collect();
        for id in ids {
            let Some(child) = self.children.get_mut(&id) else { continue };
            if due(child.sa.expires_at) {
                self.remove(id, DownReason::Expired, true, peer, cx);
                continue;
            }
            if due(child.sa.rekey_at) {
                child.sa.rekey_at = None;
                if child.sa.state == ChildState::Installed {
                    self.enqueue(Task::Rekey(id), now);
                }
            }
            let Some(child) = self.children.get(&id) else { continue };
            let (switch, delete) = (due(child.activate_at), due(child.delete_at));
            if switch {
                self.switch_to(id, peer, cx);
            }
            if delete {
                self.delete_if_succeeded(id, peer, cx);
            }
        }
    }

    /// Sends on a new SA of ours, unless the peer is still heard on the one before and was never heard on this one: it may
    /// have missed our third message, and not say so. Then it is tried anew, a few times.
    fn switch_to(&mut self, id: ChildId, peer: &PeerName, cx: &mut Context<'_>) {
        let Some(made) = self.children.get(&id) else { return };
        let preferred = |other: &&IpsecSa| {
            let heard = other.last_heard.is_some_and(|at| at > made.sa.installed && cx.now < at + LATELY);
            made.same_traffic(other) && heard
        };
        let Some(before) = self.children.values().find(preferred).map(|other| other.sa.id) else {
            return self.activate(id, cx);
        };
        let since = made.sa.installed;
        let Some(used) = self.children.get_mut(&before) else { return };
        if since + SPURNED_AFTER <= cx.now && used.spurned < MAX_SPURNED {
            used.spurned += 1;
            used.resting_rekey = Some(cx.now);
            return self.remove(id, DownReason::Superseded, true, peer, cx);
        }
        if let Some(made) = self.children.get_mut(&id) {
            made.activate_at = Some(cx.now + SWITCH);
        }
    }

    /// Deletes a replaced SA once its successor is proven and the peer has turned to it.
    fn delete_if_succeeded(&mut self, id: ChildId, peer: &PeerName, cx: &mut Context<'_>) {
        let Some(child) = self.children.get(&id) else { return };
        let proven = |by: &IpsecSa| by.proven || by.sa.installed + PROVEN_AFTER <= cx.now;
        let succeeded = match child.sa.state {
            ChildState::Replaced(by) => self.children.get(&by).is_some_and(proven),
            ChildState::Installed | ChildState::Redundant => false,
        };
        let in_use = child.last_heard.is_some_and(|at| cx.now < at + LATELY);
        if succeeded && !in_use {
            return self.remove(id, DownReason::Superseded, true, peer, cx);
        }
        if let Some(child) = self.children.get_mut(&id) {
            child.delete_at = Some(cx.now + DELETE_RETRY);
        }
    }

    /// The SAs that the peer means by an SPI of its inbound direction, our outbound one (RFC 2408 §3.15).
    pub(crate) fn by_peer_spi(&self, id: &Id, spi: &[u8]) -> Option<ChildId> {
        self.of(id).find(|child| child.sa.spis.outbound.to_be_bytes() == spi).map(|child| child.sa.id)
    }
}

impl IpsecSa {
    /// Whether both cannot go on side by side: the same traffic with the same peer, and the other one not replaced yet.
    fn rivals(&self, other: &IpsecSa) -> bool {
        self.same_traffic(other) && other.sa.state == ChildState::Installed
    }

    fn same_traffic(&self, other: &IpsecSa) -> bool {
        other.sa.id != self.sa.id
            && other.sa.name == self.sa.name
            && other.sa.local == self.sa.local
            && other.sa.remote == self.sa.remote
            && other.remote_id.same_as(&self.remote_id)
    }

    /// Whether the peer's request for one came while ours for the other was under way.
    fn crossed(&self, other: &IpsecSa) -> bool {
        let (ours, theirs) = match (self.sa.role, other.sa.role) {
            (Role::Initiator, Role::Responder) => (self, other),
            (Role::Responder, Role::Initiator) => (other, self),
            _ => return false,
        };
        (ours.begun..=ours.sa.installed).contains(&theirs.begun)
    }
}
