//! What one IKE SA asks of the endpoint: successors, inheritance, and what follows from an SA that came up or went.

use super::Endpoint;
use crate::config::PeerName;
use crate::context::Action;
use crate::event::{DownReason, Event, Output, Role};
use crate::v2::{IkeSa, State, Task};
use crate::wire::IkeSpi;
use std::time::{Duration, Instant};

/// A duplicate that the other end should delete is deleted by us after this long.
const DUPLICATE_GRACE: Duration = Duration::from_secs(15);
/// A redundant SA that the peer should delete is deleted by us after this long.
const OVERDUE_DELETE: Duration = Duration::from_secs(120);

impl Endpoint {
    /// Carries out what SAs asked for, and what follows from that.
    pub(super) fn carry_out(&mut self, now: Instant) {
        while let Some(action) = self.actions.pop_front() {
            match action {
                Action::Add(sa) => self.add(*sa, now),
                Action::Inherit { from, to, delete } => self.inherit(from, to, delete, now),
                Action::MakeRedundant { loser, winner } => self.make_redundant(loser, winner, now),
                Action::Established { spi, initial_contact } => self.established(spi, initial_contact, now),
                Action::ConnectFailed { peer, reason } => self.connect_failed(&peer, reason, now),
                Action::Down { peer, reason } => self.gone(&peer, &reason, true, now),
                Action::ChildGone { peer, reason } => self.gone(&peer, &reason, false, now),
                Action::Reconcile(peer) => self.reconcile(&peer, now),
                Action::V1(action) => self.carry_out_v1(action, now),
            }
        }
    }

    fn add(&mut self, sa: IkeSa, now: Instant) {
        let spi = sa.local_spi;
        if let Some(state) = self.states.get_mut(&sa.peer.name) {
            state.sas.insert(spi);
        }
        self.sas.insert(spi, sa);
        self.with_sa(spi, now, |sa, cx| sa.start_next(cx));
    }

    /// Children and waiting tasks go from one SA to the one that takes over; then the old one may be deleted.
    fn inherit(&mut self, from: IkeSpi, to: IkeSpi, delete: bool, now: Instant) {
        let Some(heir) = self.sas.get_mut(&to).filter(|sa| !sa.is_closed()) else {
            return self.disinherit(from, now);
        };
        heir.limbo = None;
        let role = heir.role;
        let Some(old) = self.sas.get_mut(&from) else { return };
        let children = std::mem::take(&mut old.children);
        if old.heir.replace(to) != Some(to) {
            let event = Event::IkeSaRekeyed { peer: old.peer.name.clone(), old: from, new: to, role };
            self.outputs.push_back(Output::Event(event));
        }
        if old.is_established() {
            old.state = State::Replaced;
        }
        old.rekey_at = None;
        old.expires_at = Some(old.expires_at.map_or(now + OVERDUE_DELETE, |at| at.min(now + OVERDUE_DELETE)));
        let mut passed_on = Vec::new();
        old.queue.retain(|queued| match &queued.task {
            // What the rekey was to prevent, or has done.
            Task::RekeyIke | Task::DeleteIke(DownReason::Expired | DownReason::Superseded) => false,
            Task::Liveness => true,
            Task::CreateChild(_) | Task::RekeyChild(_) | Task::DeleteChild(_) | Task::DeleteIke(_) => {
                passed_on.push((queued.task.clone(), queued.not_before));
                false
            }
        });
        self.with_sa(to, now, |sa, cx| {
            sa.children.extend(children);
            for (task, not_before) in passed_on {
                sa.enqueue(task, not_before);
            }
            sa.announce_path(cx);
            sa.start_next(cx);
        });
        self.with_sa(from, now, |sa, cx| {
            if delete {
                sa.enqueue(Task::DeleteIke(DownReason::Superseded), now);
            }
            sa.start_next(cx);
        });
    }

    /// The heir is gone before it inherited: the old SA goes on, or its children go with it.
    fn disinherit(&mut self, from: IkeSpi, now: Instant) {
        self.with_sa(from, now, |sa, cx| {
            if matches!(sa.state, State::Replaced) {
                sa.state = State::Established;
                return sa.try_again_later(Task::RekeyIke, cx);
            }
            let children: Vec<_> = sa.children.keys().copied().collect();
            for child in children {
                sa.remove_child(child, DownReason::PeerDeleted, cx);
            }
            let (peer, local_spi, reason) = (sa.peer.name.clone(), sa.local_spi, DownReason::PeerDeleted);
            cx.actions.push_back(Action::Down { peer: peer.clone(), reason: reason.clone() });
            cx.event(Event::IkeSaDown { peer, local_spi, reason });
        });
    }

    fn make_redundant(&mut self, loser: IkeSpi, winner: IkeSpi, now: Instant) {
        self.with_sa(loser, now, |sa, _| {
            if sa.is_established() {
                sa.state = State::Replaced;
                sa.heir = Some(winner);
                sa.limbo = None;
                sa.rekey_at = None;
                sa.queue.clear();
                sa.expires_at = Some(now + OVERDUE_DELETE);
            }
        });
    }

    /// An SA is authenticated: it belongs to a peer now, and the peer's other SAs are looked at.
    fn established(&mut self, spi: IkeSpi, initial_contact: bool, now: Instant) {
        let Some(sa) = self.sas.get(&spi) else { return };
        let peer = sa.peer.name.clone();
        let Some(state) = self.states.get_mut(&peer) else { return };
        state.sas.insert(spi);
        state.attempts = 0;
        state.exhausted = false;
        state.retry_at = None;
        state.hold.clear();
        state.version = Some(crate::config::Version::V2);
        let others: Vec<IkeSpi> = state.sas.iter().copied().filter(|other| *other != spi).collect();
        for other in others {
            self.weigh(spi, other, initial_contact, now);
        }
        self.reconcile(&peer, now);
    }

    /// What becomes of another SA of the peer now that `new` is up.
    fn weigh(&mut self, new: IkeSpi, other: IkeSpi, initial_contact: bool, now: Instant) {
        let (Some(made), Some(found)) = (self.sas.get(&new), self.sas.get(&other)) else { return };
        let same_peer = found.remote_id.is_none()
            || matches!((&made.remote_id, &found.remote_id), (Some(a), Some(b)) if a.same_as(b));
        if !same_peer || found.is_closed() {
            return;
        }
        // Begun by both ends at once: each was under way here when the other came up.
        let before = |at: Option<Instant>, other: &IkeSa| at.is_none_or(|at| other.created <= at);
        let simultaneous =
            found.role != made.role && before(found.established, made) && before(made.established, found);
        if initial_contact && !found.is_connecting() && !simultaneous {
            // RFC 7296 §2.4: the peer has no other SA with us. Nobody is there to tell.
            self.with_sa(other, now, |sa, cx| sa.close(DownReason::Superseded, cx));
            return;
        }
        if matches!(found.state, State::Connecting) {
            // Our own attempt, unanswered: the peer was faster.
            self.with_sa(other, now, |sa, cx| sa.close(DownReason::Superseded, cx));
            return;
        }
        if !found.is_established() || found.is_closing() {
            return;
        }
        let (loser, we_delete) = if simultaneous {
            let loser = if made.nonce < found.nonce { made } else { found };
            (loser.local_spi, loser.role == Role::Initiator)
        } else {
            (other, false)
        };
        self.with_sa(loser, now, |sa, cx| {
            sa.rekey_at = None;
            if we_delete {
                sa.enqueue(Task::DeleteIke(DownReason::Redundant), now);
                sa.start_next(cx);
            } else {
                sa.expires_at = Some(now + DUPLICATE_GRACE);
            }
        });
    }

    /// Closes all SAs of a peer; those that are authenticated tell it so.
    pub(super) fn delete_sas(&mut self, peer: &PeerName, reason: &DownReason, now: Instant) {
        self.v1_delete_all(peer, reason, now);
        let spis: Vec<IkeSpi> =
            self.states.get(peer).map(|state| state.sas.iter().copied().collect()).unwrap_or_default();
        for spi in spis {
            self.with_sa(spi, now, |sa, cx| match sa.state {
                State::Established | State::Replaced => {
                    // Traffic stops now, even if the DELETE must wait for an answer that never comes.
                    let children: Vec<_> = sa.children.keys().copied().collect();
                    for child in children {
                        sa.remove_child(child, reason.clone(), cx);
                    }
                    sa.enqueue(Task::DeleteIke(reason.clone()), now);
                    sa.start_next(cx);
                }
                State::Connecting | State::Authenticating | State::HalfOpen(_) => sa.close(reason.clone(), cx),
                State::Closed { .. } => {}
            });
        }
    }

    /// Says something about a peer.
    pub(super) fn say(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }
}
