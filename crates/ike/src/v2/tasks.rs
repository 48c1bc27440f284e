//! Work that waits for its turn: one request at a time (RFC 7296 §2.3), in order, some not before a time.

use super::exchange::Exchange;
use super::{IkeSa, State};
use crate::config::ChildName;
use crate::context::Context;
use crate::event::{ChildId, DownReason, Output};
use std::time::{Duration, Instant};

/// A request that we mean to send.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Task {
    /// A new child.
    CreateChild(ChildName),
    /// A child takes over from this one.
    RekeyChild(ChildId),
    /// An IKE SA takes over from this one.
    RekeyIke,
    /// Delete children.
    DeleteChild(ChildId),
    /// Delete this IKE SA and all its children.
    DeleteIke(DownReason),
    /// Is the peer there?
    Liveness,
}

/// A task and the time before which it does not start.
#[derive(Debug)]
pub(crate) struct Queued {
    pub(crate) task: Task,
    pub(crate) not_before: Instant,
}

impl IkeSa {
    /// Queues a task unless it is queued or under way already.
    pub(crate) fn enqueue(&mut self, task: Task, not_before: Instant) {
        if self.queue.iter().any(|queued| queued.task == task) || self.is_under_way(&task) {
            return;
        }
        self.queue.push_back(Queued { task, not_before });
    }

    fn is_under_way(&self, task: &Task) -> bool {
        let Some(outstanding) = &self.window.outstanding else { return false };
        match (&outstanding.exchange, task) {
            (Exchange::CreateChild(offer), Task::CreateChild(name)) => &offer.name == name,
            (Exchange::RekeyChild(rekey), Task::RekeyChild(child)) => rekey.old == *child,
            (Exchange::DeleteChildren(children), Task::DeleteChild(child)) => children.contains(child),
            (Exchange::RekeyIke(_), Task::RekeyIke)
            | (Exchange::DeleteIke(_), Task::DeleteIke(_))
            | (Exchange::Liveness, Task::Liveness) => true,
            _ => false,
        }
    }

    /// Whether a child with this configuration is on its way over this SA.
    pub(crate) fn is_creating(&self, name: &ChildName) -> bool {
        let task = Task::CreateChild(name.clone());
        let in_auth = match self.window.outstanding.as_ref().map(|outstanding| &outstanding.exchange) {
            Some(Exchange::Auth(auth)) => auth.child.as_ref().is_some_and(|offer| &offer.name == name),
            Some(Exchange::Init(init)) => init.child.as_ref() == Some(name),
            Some(Exchange::RekeyChild(rekey)) => &rekey.offer.name == name,
            _ => false,
        };
        in_auth || self.is_under_way(&task) || self.queue.iter().any(|queued| queued.task == task)
    }

    /// Whether we mean to delete this child (RFC 7296 §2.25.1: "currently trying to close").
    pub(crate) fn is_deleting(&self, child: ChildId) -> bool {
        let task = Task::DeleteChild(child);
        self.is_under_way(&task) || self.queue.iter().any(|queued| queued.task == task)
    }

    /// Whether we mean to delete this whole SA. One whose lifetime ended while its rekey is under way may still be saved.
    pub(crate) fn is_closing(&self) -> bool {
        let queued = |queued: &Queued| match queued.task {
            Task::DeleteIke(DownReason::Expired) => !self.is_rekeying(),
            Task::DeleteIke(_) => true,
            _ => false,
        };
        self.queue.iter().any(queued)
            || matches!(self.window.outstanding.as_ref().map(|o| &o.exchange), Some(Exchange::DeleteIke(_)))
    }

    /// Starts the next task that may start, if nothing is outstanding.
    pub(crate) fn start_next(&mut self, cx: &mut Context<'_>) {
        while self.window.outstanding.is_none() && matches!(self.state, State::Established | State::Replaced) {
            // A DELETE of the whole SA overtakes everything else.
            let ready = |queued: &Queued| queued.not_before <= cx.now && self.may_start(&queued.task);
            let closing =
                self.queue.iter().position(|queued| ready(queued) && matches!(queued.task, Task::DeleteIke(_)));
            let Some(index) = closing.or_else(|| self.queue.iter().position(ready)) else { return };
            let Some(queued) = self.queue.remove(index) else { return };
            self.start(queued.task, cx);
        }
    }

    /// Whether a task belongs to this SA as it stands: a replaced one passes its work on to its successor, and one that
    /// may be redundant says nothing that would make the peer believe in it.
    pub(crate) fn may_start(&self, task: &Task) -> bool {
        match task {
            // Not before its children are with its successor.
            Task::DeleteIke(_) => self.heir.is_some() || !matches!(self.state, State::Replaced),
            Task::Liveness => self.limbo.is_none(),
            Task::CreateChild(_) | Task::RekeyChild(_) | Task::RekeyIke | Task::DeleteChild(_) => {
                self.limbo.is_none() && !matches!(self.state, State::Replaced)
            }
        }
    }

    fn start(&mut self, task: Task, cx: &mut Context<'_>) {
        if let Task::RekeyChild(child) | Task::DeleteChild(child) = task
            && let Some(until) = self.children.get(&child).and_then(|child| child.unconfirmed)
            && until > cx.now
        {
            return self.enqueue(task, until);
        }
        match task {
            Task::CreateChild(name) => self.start_create_child(&name, cx),
            Task::RekeyChild(child) => self.start_rekey_child(child, cx),
            Task::RekeyIke => self.start_rekey_ike(cx),
            Task::DeleteChild(child) => self.start_delete_children(child, cx),
            Task::DeleteIke(reason) => self.start_delete_ike(reason, cx),
            Task::Liveness => self.start_liveness(cx),
        }
    }

    /// Puts a refused task back with a random delay, so that two ends that refuse each other do not do so for ever
    /// (RFC 7296 §2.25).
    pub(crate) fn try_again_later(&mut self, task: Task, cx: &mut Context<'_>) {
        let delay = Duration::from_millis(300 + cx.rng.below(1700));
        self.enqueue(task, cx.now + delay);
    }

    /// Gives back what an unanswered request had reserved.
    pub(crate) fn abandon_outstanding(&mut self, cx: &mut Context<'_>) {
        let Some(outstanding) = self.window.outstanding.take() else { return };
        match outstanding.exchange {
            Exchange::CreateChild(offer) => cx.spis.release_child(offer.spi, cx.now),
            Exchange::RekeyChild(rekey) => cx.spis.release_child(rekey.offer.spi, cx.now),
            Exchange::Auth(auth) => {
                if let Some(offer) = auth.child {
                    cx.spis.release_child(offer.spi, cx.now);
                }
            }
            Exchange::RekeyIke(offer) => cx.spis.release_ike(offer.spi),
            Exchange::Init(_)
            | Exchange::DeleteChildren(_)
            | Exchange::DeleteIke(_)
            | Exchange::Liveness
            | Exchange::Failure(_) => {}
        }
    }

    /// An authentic packet came from the peer; a NAT keepalive or DPD is not needed for a while.
    pub(crate) fn heard(&mut self, now: Instant) {
        self.last_heard = self.last_heard.max(now);
    }

    /// Tells the data plane where the children's packets go after the path changed.
    pub(crate) fn announce_path(&self, cx: &mut Context<'_>) {
        let encapsulation = self.encapsulation();
        for child in self.children.keys() {
            cx.outputs.push_back(Output::MoveChild { child: *child, encapsulation });
        }
    }
}
