//! What follows when an ISAKMP SA comes up, is due for a successor, or its peer is dead.

use super::Endpoint;
use crate::config::Version;
use crate::context::V1Action;
use crate::event::{DownReason, Event, Output, Role};
use crate::id::Id;
use crate::v1::phase2::Task;
use crate::v1::{IsakmpSa, State};
use crate::wire::IkeSpi;
use std::time::{Duration, Instant};

/// The one who began the newer ISAKMP SA deletes the older one after this long: exchanges under way end on it.
const OURS_TO_DELETE: Duration = Duration::from_secs(10);
/// The other one does it if nobody did.
const OVERDUE_DELETE: Duration = Duration::from_secs(60);
/// IPsec SAs that were without an ISAKMP SA are replaced, unless the peer was heard on them this lately.
const LATELY: Duration = Duration::from_secs(5);

impl Endpoint {
    pub(in super::super) fn carry_out_v1(&mut self, action: V1Action, now: Instant) {
        match action {
            V1Action::Established { cookie, initial_contact } => self.v1_established(cookie, initial_contact, now),
            V1Action::InitialContact { cookie } => self.first_contact(cookie, now),
            V1Action::Rekey { cookie } => self.v1_rekey(cookie, now),
            V1Action::Dead { cookie, after } => self.v1_dead(cookie, after, now),
        }
    }

    fn v1_established(&mut self, cookie: IkeSpi, initial_contact: bool, now: Instant) {
        let Some(sa) = self.v1.sas.get(&cookie) else { return };
        let (peer, role) = (sa.peer.name.clone(), sa.role);
        let Some(id) = sa.remote_id.clone() else { return };
        self.v1.half_open.remove(cookie);
        self.load_changed();
        let Some(state) = self.states.get_mut(&peer) else { return };
        state.sas.insert(cookie);
        state.attempts = 0;
        state.exhausted = false;
        state.retry_at = None;
        state.hold.clear();
        state.version = Some(Version::V1);
        if initial_contact {
            self.first_contact(cookie, now);
        }
        let others = self.v1_others(cookie, &id);
        let orphaned = !others.iter().any(|other| self.v1.sas.get(other).is_some_and(IsakmpSa::is_usable));
        for other in others {
            self.v1_weigh(cookie, other, now);
        }
        if orphaned && role == Role::Initiator {
            self.replace_orphans(cookie, &id, now);
        }
        self.reconcile(&peer, now);
        self.pump(&peer, now);
    }

    /// The other ISAKMP SAs with the same peer and identity, those under way included.
    fn v1_others(&self, cookie: IkeSpi, id: &Id) -> Vec<IkeSpi> {
        let Some(peer) = self.v1.sas.get(&cookie).map(|sa| &sa.peer.name) else { return Vec::new() };
        let same =
            |sa: &&IsakmpSa| sa.local_cookie != cookie && sa.remote_id.as_ref().is_none_or(|other| other.same_as(id));
        self.v1.of(peer).filter(same).map(|sa| sa.local_cookie).collect()
    }

    /// What becomes of another ISAKMP SA of the peer now that `new` is up.
    fn v1_weigh(&mut self, new: IkeSpi, other: IkeSpi, now: Instant) {
        let (Some(made), Some(found)) = (self.v1.sas.get(&new), self.v1.sas.get(&other)) else { return };
        if matches!(found.state, State::SaOffered(_) | State::AggressiveOffered(_)) {
            // Our own attempt, unanswered: the peer was faster.
            self.with_v1(other, now, |sa, phase2, cx| sa.close(DownReason::Superseded, phase2, cx));
            return;
        }
        if !found.is_established() {
            return;
        }
        let newer_wins = !simultaneous(made, found) || made.nonce > found.nonce;
        let (winner, loser) = if newer_wins { (made, found) } else { (found, made) };
        let we_delete = if simultaneous(made, found) { loser.role } else { winner.role } == Role::Initiator;
        let (old, new, role) = (loser.local_cookie, winner.local_cookie, winner.role);
        let peer = winner.peer.name.clone();
        self.outputs.push_back(Output::Event(Event::IkeSaRekeyed { peer, old, new, role }));
        let deadline = now + if we_delete { OURS_TO_DELETE } else { OVERDUE_DELETE };
        self.with_v1(old, now, |sa, _, _| {
            sa.state = State::Replaced;
            sa.rekey_at = None;
            sa.expires_at = Some(sa.expires_at.map_or(deadline, |at| at.min(deadline)));
        });
    }

    /// The peer has nothing else with us (RFC 2407 §4.6.3.3): what we still have is gone there. Nobody is there to tell.
    fn first_contact(&mut self, cookie: IkeSpi, now: Instant) {
        let Some(sa) = self.v1.sas.get(&cookie) else { return };
        let (peer, created) = (sa.peer.name.clone(), sa.created);
        let Some(id) = sa.remote_id.clone() else { return };
        // The IPsec SAs first: nothing may be sent on them while the rest is cleared up.
        self.with_phase2(&peer, now, |phase2, cx| {
            let old = phase2.of(&id).filter(|child| child.sa.installed < created).map(|child| child.sa.id);
            for child in old.collect::<Vec<_>>() {
                phase2.remove(child, DownReason::Superseded, false, &peer, cx);
            }
        });
        for other in self.v1_others(cookie, &id) {
            let gone = match (self.v1.sas.get(&cookie), self.v1.sas.get(&other)) {
                (Some(made), Some(found)) => found.is_usable() && !simultaneous(made, found),
                _ => false,
            };
            if gone {
                self.with_v1(other, now, |sa, phase2, cx| sa.close(DownReason::Superseded, phase2, cx));
            }
        }
        let v2: Vec<IkeSpi> =
            self.sas_of_v2(&peer).filter(|sa| sa.established.is_some()).map(|sa| sa.local_spi).collect();
        for spi in v2 {
            self.with_sa(spi, now, |sa, cx| sa.close(DownReason::Superseded, cx));
        }
    }

    /// IPsec SAs found their ISAKMP SA again. Whether the peer still has them nobody knows: new ones take over.
    fn replace_orphans(&mut self, cookie: IkeSpi, id: &Id, now: Instant) {
        let Some(sa) = self.v1.sas.get(&cookie) else { return };
        let peer = sa.peer.name.clone();
        self.with_phase2(&peer, now, |phase2, _| {
            let quiet = |heard: Option<Instant>| heard.is_none_or(|at| at + LATELY < now);
            let orphans = phase2.of(id).filter(|child| quiet(child.last_heard)).map(|child| child.sa.id);
            for child in orphans.collect::<Vec<_>>() {
                phase2.enqueue(Task::Rekey(child), now);
            }
        });
    }

    /// The peer does not answer: nothing that is shared with it is worth anything.
    fn v1_dead(&mut self, cookie: IkeSpi, after: Duration, now: Instant) {
        let Some(sa) = self.v1.sas.get(&cookie) else { return };
        let peer = sa.peer.name.clone();
        let Some(id) = sa.remote_id.clone() else { return };
        let reason = DownReason::NoAnswer { exchange: "R-U-THERE", after };
        self.drop_children(&peer, &id, &reason, now);
        let mut all = self.v1_others(cookie, &id);
        all.push(cookie);
        for other in all {
            // One under way whose message 5 said nothing of a first contact begins again.
            let said = |sa: &IsakmpSa| matches!(sa.state, State::IdOffered(_)) && !sa.initial_contact;
            if self.v1.sas.get(&other).is_some_and(|sa| sa.is_usable() || said(sa)) {
                self.with_v1(other, now, |sa, phase2, cx| sa.close(reason.clone(), phase2, cx));
            }
        }
    }

    /// Removes the IPsec SAs with an identity; nobody is told.
    fn drop_children(&mut self, peer: &crate::config::PeerName, id: &Id, reason: &DownReason, now: Instant) {
        self.with_phase2(peer, now, |phase2, cx| {
            let all: Vec<_> = phase2.of(id).map(|child| child.sa.id).collect();
            for child in all {
                phase2.remove(child, reason.clone(), false, peer, cx);
            }
        });
    }
}

/// Begun by both ends at once: each was under way here when the other came up.
fn simultaneous(made: &IsakmpSa, found: &IsakmpSa) -> bool {
    let before = |at: Option<Instant>, other: &IsakmpSa| at.is_none_or(|at| other.created <= at);
    found.role != made.role && before(found.established, made) && before(made.established, found)
}
