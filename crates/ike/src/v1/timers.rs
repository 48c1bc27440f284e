//! What time does to an ISAKMP SA: repetition, liveness, rekey, expiry, NAT keepalives.

use super::phase2::Phase2;
use super::phase2::Task;
use super::{IsakmpSa, State};
use crate::context::{Action, Context, V1Action};
use crate::event::{DownReason, Output};
use crate::retransmit::jittered;
use std::time::{Duration, Instant};

/// Interval of NAT keepalives from behind a NAT (RFC 3948 §4: 20 s).
const NAT_KEEPALIVE: Duration = Duration::from_secs(20);
/// A rekey of phase 1 that did not succeed is tried again after this long.
const REKEY_AGAIN: Duration = Duration::from_secs(20);

impl IsakmpSa {
    /// The next time at which [`Self::handle_timeout`] has something to do.
    pub(crate) fn poll_timeout(&self, half_open_timeout: Duration) -> Option<Instant> {
        if self.is_half_open() {
            return Some(self.created + half_open_timeout);
        }
        let outstanding = self.outstanding.as_ref().map(|outstanding| outstanding.schedule.due());
        if !self.is_usable() {
            return outstanding;
        }
        let keepalive = self.nat.local.then(|| self.last_sent + NAT_KEEPALIVE);
        let all = [outstanding, self.rekey_at, self.expires_at, keepalive, self.next_dpd(), self.next_quick()];
        all.into_iter().flatten().min()
    }

    /// Does what is due at `now`.
    pub(crate) fn handle_timeout(&mut self, phase2: &mut Phase2, cx: &mut Context<'_>) {
        if self.is_half_open() && self.created + cx.config.half_open_timeout <= cx.now {
            self.state = State::Closed;
            return;
        }
        self.repeat(cx);
        if !self.is_usable() {
            return;
        }
        self.age(phase2, cx);
        if !self.is_usable() {
            return;
        }
        self.age_quick(phase2, cx);
        self.age_dpd(cx);
        if self.nat.local && self.last_sent + NAT_KEEPALIVE <= cx.now {
            self.last_sent = cx.now;
            cx.outputs.push_back(Output::Keepalive(self.path));
        }
    }

    /// Does what waited for an ISAKMP SA.
    pub(crate) fn start(&mut self, task: Task, phase2: &mut Phase2, cx: &mut Context<'_>) {
        match task {
            Task::Create(name) => self.start_create(&name, phase2, cx),
            Task::Rekey(child) => self.start_rekey(child, phase2, cx),
            Task::Delete(_, spi) => self.send_delete_child(spi, cx),
        }
    }

    /// Sends an unanswered message of phase 1 again, or gives up.
    fn repeat(&mut self, cx: &mut Context<'_>) {
        let policy = self.peer.retransmit;
        let Some(outstanding) = &mut self.outstanding else { return };
        if outstanding.schedule.deadline <= cx.now {
            let after = cx.now.saturating_duration_since(outstanding.schedule.started);
            let unanswered = DownReason::NoAnswer { exchange: outstanding.message, after };
            let reason = outstanding.hint.take().unwrap_or(unanswered);
            return self.fail(reason, cx);
        }
        if outstanding.schedule.next <= cx.now {
            outstanding.schedule.sent_again(&policy, cx.now, cx.rng);
            let datagrams = outstanding.datagrams.clone();
            self.send(&datagrams, cx);
        }
    }

    fn age(&mut self, phase2: &mut Phase2, cx: &mut Context<'_>) {
        if self.expires_at.is_some_and(|at| at <= cx.now) {
            self.send_delete_isakmp(cx);
            return self.close(DownReason::Expired, phase2, cx);
        }
        if self.rekey_at.is_some_and(|at| at <= cx.now) {
            // Until a successor is there, this is due again.
            self.rekey_at = Some(cx.now + jittered(REKEY_AGAIN, 50, cx.rng));
            if self.is_established() {
                cx.actions.push_back(Action::V1(V1Action::Rekey { cookie: self.local_cookie }));
            }
        }
    }
}
