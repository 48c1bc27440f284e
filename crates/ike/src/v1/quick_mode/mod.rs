//! Quick mode (RFC 2409 §5.5): a pair of IPsec SAs under an ISAKMP SA, with or without a key exchange of its own (PFS).
//!
//! ```text
//!  initiator                                              responder
//!  HDR*, HASH(1), SA, Ni [, KE] [, IDci, IDcr]   -->
//!                                                <--  HDR*, HASH(2), SA, Nr [, KE] [, IDci, IDcr]
//!  HDR*, HASH(3)                                 -->
//! ```
//! Both ends repeat what is not answered: the initiator its request, the responder its answer until the third message or a
//! packet on the new SA shows that it arrived. Quick modes run side by side, each with a message ID and a chain of its own.
//! The commit bit is ignored: what it would wait for, [`super::phase2`] waits for anyway.

pub(crate) mod initiator;
pub(crate) mod responder;

use super::IsakmpSa;
use super::cipher::Iv;
use super::message::{Outcome, Received};
use super::phase2::{Phase2, Task};
use crate::config::{ChildName, Lifetime};
use crate::context::{Action, Context};
use crate::event::{ChildId, DownReason, Event, IgnoredReason, Role, Transmit};
use crate::proposal::EspChoice;
use crate::retransmit::Schedule;
use crate::v1::QUICK_MESSAGE_2;
use crate::v1::phase2::NewSa;
use crate::v2::child::lower_nonce;
use crypto::SecretBytes;
use initiator::Asked;
use ipsec::{SpiPair, TrafficSelector};
use std::time::{Duration, Instant};

/// Quick modes of ours at a time on one ISAKMP SA: more wait. Common peers keep the chains of three exchanges only, those
/// of ended ones and of informationals among them.
pub(crate) const MAX_OURS: usize = 1;
/// Quick modes of the peer at a time.
pub(crate) const MAX_THEIRS: usize = 32;
/// How long an ended quick mode answers what comes again.
const REMEMBERED: Duration = Duration::from_secs(120);
/// And how many of them.
const MAX_FINISHED: usize = 64;
/// A quick mode under way.
#[derive(Debug)]
pub(crate) struct Quick {
    pub(crate) role: Role,
    pub(crate) name: ChildName,
    pub(crate) replaces: Option<ChildId>,
    pub(crate) begun: Instant,
    /// The last block of ciphertext of this exchange.
    pub(crate) iv: Iv,
    /// What was sent last, and the digest of what it answers.
    pub(crate) received: Option<[u8; 32]>,
    pub(crate) sent: Vec<Vec<u8>>,
    pub(crate) schedule: Schedule,
    pub(crate) step: Step,
}

/// Where a quick mode stands.
#[derive(Debug)]
pub(crate) enum Step {
    /// Initiator: message 1 sent.
    Asked(Box<Asked>),
    /// Responder: message 2 sent.
    Answered {
        /// The SAs it made.
        child: ChildId,
        ni: Vec<u8>,
        nr: Vec<u8>,
    },
}

/// A quick mode that ended: the answer to what may come again.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) message_id: u32,
    pub(crate) received: [u8; 32],
    pub(crate) sent: Vec<Vec<u8>>,
    pub(crate) until: Instant,
}

/// What both ends know once the answer is there.
pub(crate) struct Agreed {
    pub(crate) name: ChildName,
    pub(crate) replaces: Option<ChildId>,
    pub(crate) begun: Instant,
    pub(crate) role: Role,
    pub(crate) spis: SpiPair,
    pub(crate) choice: EspChoice,
    pub(crate) local: TrafficSelector,
    pub(crate) remote: TrafficSelector,
    pub(crate) ni: Vec<u8>,
    pub(crate) nr: Vec<u8>,
    pub(crate) shared: Option<SecretBytes>,
    pub(crate) lifetime: Lifetime,
    pub(crate) udp: bool,
}

impl IsakmpSa {
    pub(crate) fn handle_quick(
        &mut self,
        received: &Received<'_>,
        phase2: &mut Phase2,
        cx: &mut Context<'_>,
    ) -> Outcome {
        if !self.is_usable() {
            self.repeat_aggressive_2(cx);
            return Err(IgnoredReason::Unexpected);
        }
        let message_id = received.header.message_id;
        let digest = received.digest();
        let again = self.finished.iter().find(|ended| ended.message_id == message_id);
        if let Some(ended) = again {
            if ended.received != digest {
                return Err(IgnoredReason::Window);
            }
            for message in &ended.sent {
                cx.transmit(Transmit { path: received.path, message: message.clone() });
            }
            return Ok(());
        }
        let Some(quick) = self.quick.get(&message_id) else {
            return self.quick_mode_1(received, phase2, cx);
        };
        if quick.received == Some(digest) {
            for message in &quick.sent {
                cx.transmit(Transmit { path: received.path, message: message.clone() });
            }
            return Ok(());
        }
        match quick.step {
            Step::Asked(_) => self.quick_mode_2(received, phase2, cx),
            Step::Answered { .. } => self.quick_mode_3(received, phase2, cx),
        }
    }

    /// Whether a quick mode of ours for this child is under way.
    pub(crate) fn is_creating(&self, name: &ChildName) -> bool {
        self.quick.values().any(|quick| quick.role == Role::Initiator && &quick.name == name)
    }

    /// Remembers what ended, as long as it may be asked for again.
    pub(crate) fn finish(&mut self, ended: Finished, now: Instant) {
        self.finished.retain(|other| other.until > now);
        while self.finished.len() >= MAX_FINISHED {
            self.finished.pop_front();
        }
        self.finished.push_back(ended);
    }

    /// Installs what was agreed on.
    pub(crate) fn install(&self, agreed: Agreed, phase2: &mut Phase2, cx: &mut Context<'_>) -> Option<ChildId> {
        let session = self.session.as_ref()?;
        let keys = |spi| {
            let (prf, suite) = (session.suite.prf, &agreed.choice.suite);
            super::keys::esp_keys(prf, &session.keys.d, suite, agreed.shared.as_ref(), spi, &agreed.ni, &agreed.nr)
        };
        let new = NewSa {
            outbound_keys: keys(agreed.spis.outbound),
            inbound_keys: keys(agreed.spis.inbound),
            name: agreed.name,
            spis: agreed.spis,
            choice: agreed.choice,
            local: agreed.local,
            remote: agreed.remote,
            role: agreed.role,
            nonce: lower_nonce(&agreed.ni, &agreed.nr),
            replaces: agreed.replaces,
            begun: agreed.begun,
            lifetime: agreed.lifetime,
            udp: agreed.udp,
        };
        phase2.install(new, self, cx)
    }

    /// The lifetime of a child: the shorter of ours and the one named on the wire, which is said where they differ.
    pub(crate) fn child_lifetime(
        &self,
        name: &ChildName,
        time: Option<Duration>,
        kilobytes: Option<u64>,
        cx: &mut Context<'_>,
    ) -> Lifetime {
        let config = self.peer.child(name);
        let ours = config.map_or(Lifetime::of(Duration::from_secs(28_800)), |config| config.lifetime);
        if let Some(theirs) = time.filter(|theirs| Some(*theirs) != ours.time) {
            let (peer, name) = (self.peer.name.clone(), Some(name.clone()));
            cx.event(Event::LifetimeDiffers { peer, name, ours: ours.time, theirs });
        }
        let agreed = super::phase1::agreed_lifetime(&ours, time);
        let bytes = match (ours.bytes, kilobytes.map(super::phase1::octets_of)) {
            (Some(ours), Some(theirs)) => Some(ours.min(theirs)),
            (ours, theirs) => ours.or(theirs),
        };
        Lifetime { bytes, ..agreed }
    }

    /// A child did not come up.
    pub(crate) fn child_failed(&self, name: Option<ChildName>, reason: DownReason, rekey: bool, cx: &mut Context<'_>) {
        cx.event(Event::ChildFailed { peer: self.peer.name.clone(), name, reason, rekey });
        cx.actions.push_back(Action::Reconcile(self.peer.name.clone()));
    }

    /// The next time at which quick modes need something.
    pub(crate) fn next_quick(&self) -> Option<Instant> {
        self.quick.values().map(|quick| quick.schedule.due()).min()
    }

    /// Repeats what is not answered, and gives up what was not answered for too long.
    pub(crate) fn age_quick(&mut self, phase2: &mut Phase2, cx: &mut Context<'_>) {
        let policy = self.peer.retransmit;
        let due: Vec<u32> =
            self.quick.iter().filter(|(_, quick)| quick.schedule.due() <= cx.now).map(|(id, _)| *id).collect();
        for id in due {
            let Some(quick) = self.quick.get_mut(&id) else { continue };
            if quick.schedule.deadline <= cx.now {
                self.give_up_quick(id, phase2, cx);
                continue;
            }
            quick.schedule.sent_again(&policy, cx.now, cx.rng);
            let datagrams = quick.sent.clone();
            self.send(&datagrams, cx);
        }
    }

    /// Nobody answers: an unproven SA goes, and so does an ISAKMP SA on which the peer is silent.
    fn give_up_quick(&mut self, id: u32, phase2: &mut Phase2, cx: &mut Context<'_>) {
        let Some(quick) = self.quick.remove(&id) else { return };
        let after = cx.now.saturating_duration_since(quick.schedule.started);
        let reason = DownReason::NoAnswer { exchange: "quick mode", after };
        let peer = self.peer.name.clone();
        match quick.step {
            Step::Asked(asked) => {
                cx.spis.release_child(asked.spi, cx.now);
                if let Some(old) = quick.replaces.filter(|old| phase2.children.contains_key(old)) {
                    phase2.enqueue(Task::Rekey(old), cx.now + Duration::from_secs(1));
                }
                self.child_failed(Some(quick.name), reason.clone(), quick.replaces.is_some(), cx);
                self.close(reason, phase2, cx);
            }
            Step::Answered { child, .. } => {
                let unproven = phase2.children.get(&child).is_some_and(|child| !child.proven);
                if unproven {
                    // A peer that asks and then has no use for the answer has failed at its end, and does not say so.
                    let reason = DownReason::NoAnswer { exchange: QUICK_MESSAGE_2, after };
                    self.child_failed(Some(quick.name), reason.clone(), quick.replaces.is_some(), cx);
                    phase2.remove(child, reason, true, &peer, cx);
                }
            }
        }
    }

    pub(crate) fn remembered(now: Instant) -> Instant {
        now + REMEMBERED
    }
}
