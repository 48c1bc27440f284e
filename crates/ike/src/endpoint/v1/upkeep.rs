//! Keeping up what is wanted in IKEv1: phase 1, quick modes for what is missing, and what waits for an ISAKMP SA.

use super::super::peers::RESPONDER_PATIENCE;
use super::super::timers::Waiter;
use super::Endpoint;
use crate::config::{ChildName, Path, PeerConfig, PeerName};
use crate::event::{DownReason, Event, Output, Role};
use crate::v1::phase1::Offered;
use crate::v1::phase2::{IpsecSa, Task};
use crate::v1::quick_mode::MAX_OURS;
use crate::v1::wire::SaPayload;
use crate::v1::{IsakmpSa, State};
use crate::wire::IkeSpi;
use std::sync::Arc;
use std::time::Instant;

impl Endpoint {
    /// Whether IKEv1 shares anything with a peer: an ISAKMP SA or IPsec SAs.
    pub(super) fn v1_in_touch(&self, peer: &PeerName) -> bool {
        self.v1.of(peer).any(IsakmpSa::is_usable) || self.v1.children(peer).next().is_some()
    }

    /// Whether a phase 1 of ours is under way.
    pub(in super::super) fn v1_connecting(&self, peer: &PeerName) -> bool {
        self.v1.of(peer).any(IsakmpSa::is_connecting)
    }

    /// Whether IPsec SAs live on without an ISAKMP SA to watch over them.
    pub(in super::super) fn v1_orphaned(&self, peer: &PeerConfig) -> bool {
        peer.dpd.interval.is_some()
            && self.v1.children(&peer.name).next().is_some()
            && self.v1.live(&peer.name, None).is_none()
    }

    /// Phase 1 did not succeed, and IPsec SAs are without an ISAKMP SA: those on which the peer was silent for as long as it
    /// takes to find it dead go. Nobody else would find it.
    pub(in super::super) fn v1_give_up_orphans(&mut self, config: &PeerConfig, reason: &DownReason, now: Instant) {
        let (true, Some(interval)) = (self.v1_orphaned(config), config.dpd.interval) else { return };
        let patience = interval + config.dpd.timeout;
        let silent = |child: &IpsecSa| child.last_heard.unwrap_or(child.sa.installed) + patience <= now;
        self.v1_remove_children(&config.name, reason, now, silent);
    }

    /// Whether a child is there, or a quick mode of ours for it under way.
    pub(in super::super) fn v1_has(&self, peer: &PeerName, name: &ChildName) -> bool {
        self.v1.phase2.get(peer).is_some_and(|phase2| phase2.has_child(name))
            || self.v1.of(peer).any(|sa| sa.is_creating(name))
    }

    /// The ISAKMP SA on which children can be asked for.
    pub(in super::super) fn v1_live(&self, peer: &PeerName) -> Option<IkeSpi> {
        self.v1.live(peer, None).map(|sa| sa.local_cookie)
    }

    /// Asks for children. The responder of phase 1 leaves them to its initiator for a while.
    pub(in super::super) fn v1_ask(&mut self, cookie: IkeSpi, missing: &[(ChildName, Instant)], now: Instant) {
        let Some(sa) = self.v1.sas.get(&cookie) else { return };
        let patience = match (sa.role, sa.established) {
            (Role::Responder, Some(established)) => established + RESPONDER_PATIENCE,
            (Role::Responder | Role::Initiator, _) => now,
        };
        let peer = sa.peer.name.clone();
        let phase2 = self.v1.phase2.entry(peer.clone()).or_default();
        for (name, hold) in missing {
            phase2.enqueue(Task::Create(name.clone()), (*hold).max(patience));
        }
        self.pump(&peer, now);
    }

    /// Begins phase 1.
    pub(in super::super) fn v1_connect(&mut self, config: &Arc<PeerConfig>, path: Path, now: Instant) {
        let cookie = self.spis.allocate_ike(self.rng.as_mut());
        let state = State::SaOffered(Offered { sa: SaPayload::new(Vec::new()) });
        let sa = IsakmpSa::new(cookie, Role::Initiator, Arc::clone(config), path, state, now);
        let state = self.states.entry(config.name.clone()).or_default();
        state.sas.insert(cookie);
        self.v1.sas.insert(cookie, sa);
        self.with_v1(cookie, now, |sa, _, cx| {
            if sa.peer.aggressive {
                sa.start_aggressive(cx);
            } else {
                sa.start_main_mode(cx);
            }
        });
    }

    /// A successor for an ISAKMP SA: phase 1 anew, on the path in use (RFC 2409 knows no other rekey).
    pub(super) fn v1_rekey(&mut self, cookie: IkeSpi, now: Instant) {
        let Some(sa) = self.v1.sas.get(&cookie) else { return };
        let (config, path) = (Arc::clone(&sa.peer), sa.path);
        if self.disabled.contains(&config.name) || self.v1_connecting(&config.name) {
            return;
        }
        self.v1_connect(&config, path, now);
    }

    /// The ISAKMP SA that can carry a task.
    fn carrier(&self, peer: &PeerName, task: &Task) -> Option<IkeSpi> {
        let phase2 = self.v1.phase2.get(peer)?;
        let id = match task {
            Task::Create(_) => None,
            Task::Rekey(child) => Some(&phase2.children.get(child)?.remote_id),
            Task::Delete(id, _) => Some(id),
        };
        let live = self.v1.live(peer, id);
        if let Task::Delete(id, _) = task {
            // Better on one that is about to go than not at all.
            let same = |sa: &&IsakmpSa| sa.is_usable() && sa.proved_id().is_some_and(|other| other.same_as(id));
            return live.or_else(|| self.v1.of(peer).find(same)).map(|sa| sa.local_cookie);
        }
        let room = |sa: &&IsakmpSa| sa.quick.values().filter(|quick| quick.role == Role::Initiator).count() < MAX_OURS;
        live.filter(room).map(|sa| sa.local_cookie)
    }

    /// Starts what waits and may start, and sets the clock for the rest.
    pub(super) fn pump(&mut self, peer: &PeerName, now: Instant) {
        while let Some((index, carrier)) = self.next_task(peer, now) {
            let Some(phase2) = self.v1.phase2.get_mut(peer) else { return };
            let queued = phase2.queue.remove(index);
            if let Some(cookie) = carrier {
                self.work_on_v1(cookie, now, |sa, phase2, cx| sa.start(queued.task, phase2, cx));
            }
        }
        self.carry_out(now);
        let due = self.v1.phase2.get(peer).and_then(|phase2| {
            let waiting = phase2.queue.iter().filter(|queued| self.carrier(peer, &queued.task).is_some());
            phase2.next_age().into_iter().chain(waiting.map(|queued| queued.not_before)).min()
        });
        self.timers.set(Waiter::Phase2(peer.clone()), due);
    }

    /// The first task that may start, with the SA that carries it. A farewell that nobody can carry is dropped.
    fn next_task(&self, peer: &PeerName, now: Instant) -> Option<(usize, Option<IkeSpi>)> {
        let phase2 = self.v1.phase2.get(peer)?;
        phase2.queue.iter().enumerate().filter(|(_, queued)| queued.not_before <= now).find_map(|(index, queued)| {
            let carrier = self.carrier(peer, &queued.task);
            let pointless = match &queued.task {
                Task::Delete(..) => true,
                Task::Rekey(child) => !phase2.children.contains_key(child),
                Task::Create(_) => false,
            };
            (carrier.is_some() || pointless).then_some((index, carrier))
        })
    }

    /// What time does to a peer's IPsec SAs.
    pub(in super::super) fn phase2_timeout(&mut self, peer: &PeerName, now: Instant) {
        self.with_phase2(peer, now, |phase2, cx| phase2.age(peer, cx));
    }

    /// What time does to an ISAKMP SA.
    pub(in super::super) fn v1_timeout(&mut self, cookie: IkeSpi, now: Instant) {
        self.with_v1(cookie, now, |sa, phase2, cx| sa.handle_timeout(phase2, cx));
        self.load_changed();
    }

    /// Whether so much is half open that strangers get only what costs nothing.
    pub(in super::super) fn under_load(&self) -> bool {
        self.half_open() >= self.config.half_open_before_cookie
    }

    /// Says when that begins and ends; IKEv2 demands cookies at the same point.
    pub(in super::super) fn load_changed(&mut self) {
        let load = self.under_load();
        if std::mem::replace(&mut self.demanding_cookies, load) != load {
            self.outputs.push_back(Output::Event(Event::CookiesDemanded(load)));
        }
    }
}
