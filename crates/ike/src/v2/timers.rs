//! What time does to an IKE SA: retransmission, liveness, rekey, expiry, NAT keepalives, and waiting tasks.

use super::child::ChildState;
use super::exchange::Exchange;
use super::{IkeSa, State, Task};
use crate::context::Context;
use crate::event::{ChildId, DownReason, Event, Output};
use std::time::{Duration, Instant};

/// Interval of NAT keepalives from behind a NAT (RFC 3948 §4: 20 s).
const NAT_KEEPALIVE: Duration = Duration::from_secs(20);

impl IkeSa {
    /// The next time at which [`Self::handle_timeout`] has something to do.
    pub(crate) fn poll_timeout(&self, half_open_timeout: Duration) -> Option<Instant> {
        let mut next: Option<Instant> = None;
        let mut at = |time: Option<Instant>| {
            next = match (next, time) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
        };
        match &self.state {
            State::Closed { until } => return Some(*until),
            State::HalfOpen(_) => return Some(self.created + half_open_timeout),
            State::Connecting | State::Authenticating => {}
            State::Established | State::Replaced => {
                at(self.rekey_at);
                at(self.expires_at);
                if self.window.outstanding.is_none() {
                    at(self.liveness_due());
                    let may_start = self.queue.iter().filter(|queued| self.may_start(&queued.task));
                    at(may_start.map(|queued| queued.not_before).min());
                }
                if self.nat.local {
                    at(Some(self.last_sent + NAT_KEEPALIVE));
                }
                for child in self.children.values() {
                    at(child.rekey_at);
                    at(child.expires_at);
                }
            }
        }
        at(self.window.outstanding.as_ref().map(|outstanding| outstanding.schedule.due()));
        next
    }

    /// Does what is due at `now`.
    pub(crate) fn handle_timeout(&mut self, cx: &mut Context<'_>) {
        if self.is_half_open() && self.created + cx.config.half_open_timeout <= cx.now {
            let after = cx.config.half_open_timeout;
            let reason = DownReason::NoAnswer { exchange: "IKE_AUTH", after };
            // Nobody has proved who it is: no configured peer's state may depend on it.
            cx.event(Event::Rejected { path: self.path, peer: None, reason: reason.clone() });
            return self.close(reason, cx);
        }
        self.retransmit(cx);
        if !matches!(self.state, State::Established | State::Replaced) {
            return;
        }
        self.age_children(cx);
        self.age(cx);
        if self.is_closed() {
            return;
        }
        if self.nat.local && self.last_sent + NAT_KEEPALIVE <= cx.now {
            self.last_sent = cx.now;
            cx.outputs.push_back(Output::Keepalive(self.path));
        }
        if self.window.outstanding.is_none() && self.liveness_due().is_some_and(|due| due <= cx.now) {
            self.enqueue(Task::Liveness, cx.now);
        }
        self.start_next(cx);
    }

    /// When the silence of the peer becomes a question. An SA that may be redundant asks nothing.
    fn liveness_due(&self) -> Option<Instant> {
        let interval = self.peer.dpd.interval.filter(|_| self.limbo.is_none())?;
        Some(self.last_heard + interval)
    }

    /// Asks the peer now: what waits for an answer is sent again, ahead of its schedule, which goes on.
    pub(crate) fn probe(&mut self, cx: &mut Context<'_>) -> bool {
        match &mut self.window.outstanding {
            Some(outstanding) => {
                outstanding.schedule.sent_besides();
                let datagrams = outstanding.datagrams.clone();
                self.send_datagrams(datagrams, cx);
            }
            None => self.start_liveness(cx),
        }
        self.window.outstanding.is_some()
    }

    /// Sends the outstanding request again, or gives up.
    fn retransmit(&mut self, cx: &mut Context<'_>) {
        let policy = self.peer.retransmit;
        let Some(outstanding) = &mut self.window.outstanding else { return };
        if outstanding.schedule.deadline <= cx.now {
            let after = cx.now.saturating_duration_since(outstanding.schedule.started);
            let reason = match &outstanding.exchange {
                Exchange::Init(init) if init.hint.is_some() => init.hint.clone(),
                Exchange::DeleteIke(reason) => Some(reason.clone()),
                _ => None,
            };
            let exchange = outstanding.exchange.name();
            return self.close(reason.unwrap_or(DownReason::NoAnswer { exchange, after }), cx);
        }
        if outstanding.schedule.next <= cx.now {
            outstanding.schedule.sent_again(&policy, cx.now, cx.rng);
            let datagrams = outstanding.datagrams.clone();
            self.send_datagrams(datagrams, cx);
        }
    }

    fn age_children(&mut self, cx: &mut Context<'_>) {
        let now = cx.now;
        let expired = |child: &super::ChildSa| child.expires_at.is_some_and(|at| at <= now);
        let expired: Vec<ChildId> =
            self.children.values().filter(|child| expired(child)).map(|child| child.id).collect();
        for child in expired {
            if let Some(sa) = self.children.get_mut(&child) {
                sa.expires_at = None;
                sa.rekey_at = None;
            }
            self.enqueue(Task::DeleteChild(child), now);
        }
        let due =
            |child: &super::ChildSa| child.state == ChildState::Installed && child.rekey_at.is_some_and(|at| at <= now);
        let due: Vec<ChildId> = self.children.values().filter(|child| due(child)).map(|child| child.id).collect();
        for child in due {
            if let Some(sa) = self.children.get_mut(&child) {
                sa.rekey_at = None;
            }
            self.enqueue(Task::RekeyChild(child), now);
        }
    }

    fn age(&mut self, cx: &mut Context<'_>) {
        if self.expires_at.is_some_and(|at| at <= cx.now) {
            self.expires_at = None;
            self.rekey_at = None;
            let reason =
                if matches!(self.state, State::Replaced) { DownReason::Superseded } else { DownReason::Expired };
            self.enqueue(Task::DeleteIke(reason), cx.now);
        }
        if self.rekey_at.is_some_and(|at| at <= cx.now) {
            self.rekey_at = None;
            self.enqueue(Task::RekeyIke, cx.now);
        }
    }
}
