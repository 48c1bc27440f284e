//! Dead peer detection (RFC 3706): R-U-THERE when the peer was silent, R-U-THERE-ACK in answer, each with a sequence number
//! that must rise. Asked only of a peer that announced it.

use super::IsakmpSa;
use super::message::{Outcome, Received};
use super::phase2::Phase2;
use super::wire::{Notification, NotifyType, Payload, ProtocolId};
use crate::context::{Action, Context, V1Action};
use crate::event::{IgnoredReason, Output, Sign, Transmit};
use crate::retransmit::Schedule;
use crypto::Rng;
use std::time::Instant;

/// Questions and answers about who is alive.
#[derive(Debug, Default)]
pub(crate) struct Dpd {
    /// The next sequence number of ours.
    next: u32,
    /// A question of ours without an answer, or another sign of life since.
    asked: Option<Asked>,
    /// Our last question, until its own answer comes.
    open: Option<Open>,
    /// The last sequence number of the peer.
    theirs: Option<u32>,
    /// The message ID of its last question, and our answer.
    answered: Option<(u32, Vec<Vec<u8>>)>,
}

#[derive(Debug)]
struct Open {
    sequence: u32,
    since: Instant,
    /// It was asked more than once.
    repeated: bool,
}

#[derive(Debug)]
struct Asked {
    sequence: u32,
    schedule: Schedule,
}

impl Dpd {
    /// Numbers start at random, with room to rise (RFC 3706 §6.2).
    pub(crate) fn start(&mut self, rng: &mut dyn Rng) {
        self.next = rng.next_u32() >> 1;
    }

    /// The peer gave a sign of life.
    pub(crate) fn answered(&mut self) {
        self.asked = None;
    }
}

fn sequence_of(notify: &Notification) -> Option<u32> {
    Some(u32::from_be_bytes(notify.data.as_slice().try_into().ok()?))
}

impl IsakmpSa {
    /// When the peer's silence becomes a question, or the question is repeated or given up.
    pub(crate) fn next_dpd(&self) -> Option<Instant> {
        if !self.is_established() {
            return None;
        }
        let interval = self.peer.dpd.interval.filter(|_| self.features.dpd)?;
        Some(self.dpd.asked.as_ref().map_or(self.last_heard + interval, |asked| asked.schedule.due()))
    }

    /// Asks, asks again, or finds the peer dead.
    pub(crate) fn age_dpd(&mut self, cx: &mut Context<'_>) {
        if self.next_dpd().is_none_or(|at| at > cx.now) {
            return;
        }
        match &mut self.dpd.asked {
            None => self.ask_alive(cx),
            Some(asked) if asked.schedule.deadline <= cx.now => {
                let after = cx.now.saturating_duration_since(asked.schedule.started);
                self.dpd.asked = None;
                cx.actions.push_back(Action::V1(V1Action::Dead { cookie: self.local_cookie, after }));
            }
            Some(asked) => {
                asked.schedule.sent_again(&self.peer.retransmit, cx.now, cx.rng);
                self.ask_again(cx);
            }
        }
    }

    fn ask_again(&mut self, cx: &mut Context<'_>) {
        let Some(sequence) = self.dpd.asked.as_ref().map(|asked| asked.sequence) else { return };
        if let Some(open) = &mut self.dpd.open {
            open.repeated = true;
        }
        self.send_dpd(NotifyType::R_U_THERE, sequence, cx);
    }

    fn ask_alive(&mut self, cx: &mut Context<'_>) {
        let sequence = self.dpd.next;
        self.dpd.next = sequence.wrapping_add(1);
        let schedule = Schedule::start(&self.peer.retransmit, self.peer.dpd.timeout, cx.now, cx.rng);
        self.dpd.asked = Some(Asked { sequence, schedule });
        self.dpd.open = Some(Open { sequence, since: cx.now, repeated: false });
        self.send_dpd(NotifyType::R_U_THERE, sequence, cx);
    }

    /// Asks the peer now, or asks again ahead of schedule. `false`: it never said that it knows the question.
    pub(crate) fn probe(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.is_established() || !self.features.dpd {
            return false;
        }
        match &self.dpd.asked {
            Some(_) => self.ask_again(cx),
            None => self.ask_alive(cx),
        }
        true
    }

    fn send_dpd(&mut self, ty: NotifyType, sequence: u32, cx: &mut Context<'_>) -> Vec<Vec<u8>> {
        let notify = Notification {
            protocol: ProtocolId::Isakmp,
            spi: self.cookie_octets(),
            ty,
            data: sequence.to_be_bytes().to_vec(),
        };
        self.send_informational(Payload::Notification(notify), cx)
    }

    /// The peer asks. One that repeats its question is answered again; an older one is a replay (RFC 3706 §6.2).
    pub(crate) fn answer_r_u_there(
        &mut self,
        notify: &Notification,
        received: &Received<'_>,
        phase2: &Phase2,
        cx: &mut Context<'_>,
    ) {
        let Some(sequence) = sequence_of(notify) else { return };
        if self.dpd.theirs.is_some_and(|last| sequence < last) {
            return;
        }
        if self.dpd.theirs != Some(sequence) {
            self.dpd.theirs = Some(sequence);
            self.heard(cx.now);
            self.follow(received.path, phase2, cx);
        } else {
            self.asked_again(cx);
        }
        let answer = self.send_dpd(NotifyType::R_U_THERE_ACK, sequence, cx);
        self.dpd.answered = Some((received.header.message_id, answer));
    }

    fn asked_again(&self, cx: &mut Context<'_>) {
        if self.is_established() {
            cx.outputs.push_back(Output::Sign(self.peer.name.clone(), Sign::AskedAgain));
        }
    }

    /// The peer's last question came once more, octet for octet: so does its answer.
    pub(crate) fn answer_again_alive(&mut self, message_id: u32, cx: &mut Context<'_>) -> Outcome {
        let last = self.dpd.answered.as_ref().filter(|(id, _)| *id == message_id);
        let (_, answer) = last.ok_or(IgnoredReason::Window)?;
        for message in answer {
            cx.transmit(Transmit { path: self.path, message: message.clone() });
        }
        self.asked_again(cx);
        Ok(())
    }

    /// The peer answers: only the question that is open counts.
    pub(crate) fn handle_r_u_there_ack(
        &mut self,
        notify: &Notification,
        received: &Received<'_>,
        phase2: &Phase2,
        cx: &mut Context<'_>,
    ) {
        let sequence = sequence_of(notify);
        if let Some(open) = self.dpd.open.take_if(|open| Some(open.sequence) == sequence) {
            let after = (!open.repeated).then(|| cx.now.saturating_duration_since(open.since));
            cx.outputs.push_back(Output::Sign(self.peer.name.clone(), Sign::Answered { after }));
            self.heard(cx.now);
            self.follow(received.path, phase2, cx);
        }
    }
}
