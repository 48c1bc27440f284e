//! The end of an ISAKMP SA. IPsec SAs stay: whoever ends the peer as a whole ends them himself.

use super::phase2::{Phase2, Task};
use super::quick_mode::Step;
use super::{IsakmpSa, State};
use crate::context::{Action, Context};
use crate::event::{DownReason, Event};
use std::time::Duration;

/// A rekey that lost its ISAKMP SA starts again after this long.
const REKEY_AGAIN: Duration = Duration::from_secs(1);

impl IsakmpSa {
    /// Ends a phase 1 that we began and that did not succeed.
    pub(crate) fn fail(&mut self, reason: DownReason, cx: &mut Context<'_>) {
        self.state = State::Closed;
        self.outstanding = None;
        cx.actions.push_back(Action::ConnectFailed { peer: self.peer.name.clone(), reason });
        self.reconcile(cx);
    }

    /// Ends this SA here and now; the peer is not told.
    pub(crate) fn close(&mut self, reason: DownReason, phase2: &mut Phase2, cx: &mut Context<'_>) {
        let was_connecting = self.is_connecting();
        if was_connecting {
            return self.fail(reason, cx);
        }
        let was = std::mem::replace(&mut self.state, State::Closed);
        self.abandon_quick(phase2, cx);
        // The end of one that was replaced is no news.
        if matches!(was, State::Established) {
            let (peer, local_spi) = (self.peer.name.clone(), self.local_cookie);
            cx.actions.push_back(Action::Down { peer: peer.clone(), reason: reason.clone() });
            cx.event(Event::IkeSaDown { peer, local_spi, reason });
        }
        self.reconcile(cx);
    }

    /// Gives back what quick modes under way had reserved, and puts their work back.
    fn abandon_quick(&mut self, phase2: &mut Phase2, cx: &mut Context<'_>) {
        let peer = self.peer.name.clone();
        for quick in std::mem::take(&mut self.quick).into_values() {
            match quick.step {
                Step::Asked(asked) => {
                    cx.spis.release_child(asked.spi, cx.now);
                    if let Some(old) = quick.replaces.filter(|old| phase2.children.contains_key(old)) {
                        phase2.enqueue(Task::Rekey(old), cx.now + REKEY_AGAIN);
                    }
                }
                Step::Answered { child, .. } => {
                    let unproven = phase2.children.get(&child).is_some_and(|child| !child.proven);
                    if unproven {
                        // Its third message may be lost, and the peer send on it: it is told under the next ISAKMP SA.
                        phase2.remove(child, DownReason::PeerDeleted, true, &peer, cx);
                    }
                }
            }
        }
    }
}
