//! The IKEv1 side of an endpoint: all ISAKMP SAs, the IPsec SAs of each peer, and from a datagram to the SA it belongs to.
//!
//! Invariant: what a stranger can make grow is bounded: first messages hold [`HALF_OPEN_OCTETS`] and as many SAs as IKEv2
//! may have half open, the oldest goes first; nothing is computed for them before message 3 shows a true address.

mod commands;
mod established;
mod first_message;
mod upkeep;

use super::Endpoint;
use crate::child::ChildSa;
use crate::config::{Path, PeerName, Version};
use crate::context::Context;
use crate::event::{DownReason, IgnoredReason, Role};
use crate::id::Id;
use crate::v1::IsakmpSa;
use crate::v1::message::{Received, Seen};
use crate::v1::phase2::{IpsecSa, Phase2};
use crate::v1::wire::{ExchangeType, Header, PayloadType};
use crate::wire::IkeSpi;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Instant;

/// Octets of SA payloads kept for first messages without a proved sender: a common offer has 200 to 800.
const HALF_OPEN_OCTETS: usize = 8 << 20;

/// Everything of IKEv1.
#[derive(Debug, Default)]
pub(super) struct V1 {
    /// By our cookie.
    pub(super) sas: BTreeMap<IkeSpi, IsakmpSa>,
    pub(super) phase2: BTreeMap<PeerName, Phase2>,
    half_open: HalfOpen,
    /// The others: a flood of first messages must not make finding them slow.
    by_peer: BTreeMap<PeerName, BTreeSet<IkeSpi>>,
}

/// First messages that were answered and whose senders proved nothing yet, oldest first.
#[derive(Debug, Default)]
pub(super) struct HalfOpen {
    next: u64,
    order: BTreeMap<u64, IkeSpi>,
    entries: BTreeMap<IkeSpi, Entry>,
    /// A repeated first message must not make a second SA.
    by_sender: BTreeMap<(SocketAddr, IkeSpi), IkeSpi>,
    octets: usize,
}

#[derive(Debug)]
struct Entry {
    number: u64,
    sender: (SocketAddr, IkeSpi),
    octets: usize,
}

impl HalfOpen {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    fn add(&mut self, cookie: IkeSpi, sender: (SocketAddr, IkeSpi), octets: usize) {
        let number = self.next;
        self.next += 1;
        self.order.insert(number, cookie);
        self.by_sender.insert(sender, cookie);
        self.entries.insert(cookie, Entry { number, sender, octets });
        self.octets += octets;
    }

    fn remove(&mut self, cookie: IkeSpi) {
        if let Some(entry) = self.entries.remove(&cookie) {
            self.order.remove(&entry.number);
            self.by_sender.remove(&entry.sender);
            self.octets -= entry.octets;
        }
    }

    /// The oldest, if there is no room for `octets` more beside `limit` others.
    fn in_the_way(&self, octets: usize, limit: usize) -> Option<IkeSpi> {
        let full = self.len() >= limit || self.octets + octets > HALF_OPEN_OCTETS;
        self.order.values().next().copied().filter(|_| full)
    }
}

impl V1 {
    /// First messages without a proved sender.
    pub(super) fn half_open(&self) -> usize {
        self.half_open.len()
    }

    /// The ISAKMP SAs of a peer.
    pub(super) fn of<'a>(&'a self, peer: &'a PeerName) -> impl Iterator<Item = &'a IsakmpSa> {
        self.by_peer.get(peer).into_iter().flatten().filter_map(|cookie| self.sas.get(cookie))
    }

    /// The newest established one, of those with this identity if one is given.
    fn live<'a>(&'a self, peer: &'a PeerName, id: Option<&Id>) -> Option<&'a IsakmpSa> {
        let fits = |sa: &&IsakmpSa| match (id, &sa.remote_id) {
            (Some(wanted), Some(id)) => wanted.same_as(id),
            (wanted, _) => wanted.is_none(),
        };
        self.of(peer).filter(|sa| sa.is_established()).filter(fits).max_by_key(|sa| (sa.established, sa.local_cookie))
    }

    /// The IPsec SAs of a peer.
    pub(super) fn children<'a>(&'a self, peer: &PeerName) -> impl Iterator<Item = &'a IpsecSa> {
        self.phase2.get(peer).into_iter().flat_map(|phase2| phase2.children.values())
    }
}

impl Endpoint {
    /// The child SAs of a peer, whichever version of IKE made them. IKEv1's may outlive the IKE SA.
    pub fn children_of<'a>(&'a self, peer: &PeerName) -> impl Iterator<Item = &'a ChildSa> {
        let spis = self.states.get(peer).map(|state| &state.sas);
        let v2 = spis.into_iter().flatten().filter_map(|spi| self.sas.get(spi));
        let v2 = v2.filter(|sa| !sa.is_closed()).flat_map(|sa| sa.children.values());
        v2.chain(self.v1.children(peer).map(|child| &child.sa))
    }

    /// Handles an ISAKMP message of version 1, its non-ESP marker removed.
    pub(super) fn handle_v1(&mut self, path: Path, message: &[u8], now: Instant) {
        let Ok(header) = Header::parse(message) else { return self.ignore(path, IgnoredReason::Malformed) };
        let seen = Seen::default();
        let received = Received { header: &header, message, path, seen: &seen };
        if self.is_first_message(&header) {
            return self.answer_first(&received, now);
        }
        let Some(cookie) = self.v1_owner(&header) else { return self.handle_stray(&received, now) };
        self.with_v1(cookie, now, |sa, phase2, cx| sa.handle_message(&received, phase2, cx));
    }

    fn is_first_message(&self, header: &Header) -> bool {
        header.responder_cookie.is_zero()
            && header.message_id == 0
            && !header.flags.encrypted
            && header.next_payload != PayloadType::Fragment
            && matches!(header.exchange, ExchangeType::MainMode | ExchangeType::Aggressive)
    }

    /// Our cookie of the SA that a message belongs to.
    fn v1_owner(&self, header: &Header) -> Option<IkeSpi> {
        let (i, r) = (header.initiator_cookie, header.responder_cookie);
        let begun_here = |sa: &&IsakmpSa| {
            // Before its answer the responder has no cookie; an error may come without one later too.
            let error = r.is_zero() && header.exchange == ExchangeType::Informational;
            sa.role == Role::Initiator && (sa.remote_cookie == r || sa.remote_cookie.is_zero() || error)
        };
        let answered_here = |sa: &&IsakmpSa| sa.role == Role::Responder && sa.remote_cookie == i;
        let ours = self.v1.sas.get(&i).filter(begun_here).or_else(|| self.v1.sas.get(&r).filter(answered_here));
        ours.map(|sa| sa.local_cookie)
    }

    /// A message of version 1 that no SA of version 1 has. It may answer an IKE_SA_INIT of ours: the peer does not know
    /// version 2 (RFC 7296 §2.5 has no other way to say so). A hint: nothing protects it.
    fn handle_stray(&mut self, received: &Received<'_>, now: Instant) {
        let spi = received.header.initiator_cookie;
        let asked = self.sas.get(&spi).is_some_and(|sa| sa.is_connecting() && sa.remote_spi.is_zero());
        if asked && received.header.exchange == ExchangeType::Informational {
            self.with_sa(spi, now, |sa, cx| {
                let reason = DownReason::VersionMismatch { ours: sa.peer.versions, theirs: Version::V1 };
                sa.hint(reason, cx);
            });
            return;
        }
        self.ignore(received.path, IgnoredReason::UnknownSpi);
    }

    /// Runs `work` on an ISAKMP SA with everything it may use, carries out what it asked for, and starts what waits.
    pub(super) fn with_v1<R>(
        &mut self,
        cookie: IkeSpi,
        now: Instant,
        work: impl FnOnce(&mut IsakmpSa, &mut Phase2, &mut Context<'_>) -> R,
    ) -> Option<R> {
        let peer = self.v1.sas.get(&cookie)?.peer.name.clone();
        let result = self.work_on_v1(cookie, now, work);
        self.carry_out(now);
        self.pump(&peer, now);
        result
    }

    fn work_on_v1<R>(
        &mut self,
        cookie: IkeSpi,
        now: Instant,
        work: impl FnOnce(&mut IsakmpSa, &mut Phase2, &mut Context<'_>) -> R,
    ) -> Option<R> {
        let sa = self.v1.sas.get(&cookie)?;
        // What was shared when it began may be gone by the time it says so.
        let initial_contact = if sa.is_usable() { sa.initial_contact } else { !self.v1_in_touch(&sa.peer.name) };
        let sa = self.v1.sas.get_mut(&cookie)?;
        sa.initial_contact = initial_contact;
        let phase2 = self.v1.phase2.entry(sa.peer.name.clone()).or_default();
        let mut cx = Context {
            now,
            rng: self.rng.as_mut(),
            provider: self.provider.as_ref(),
            config: &self.config,
            peers: &self.peers,
            disabled: &self.disabled,
            spis: &mut self.spis,
            next_child: &mut self.next_child,
            outputs: &mut self.outputs,
            actions: &mut self.actions,
        };
        let result = work(sa, phase2, &mut cx);
        sa.tell_sent(&mut cx);
        self.after_v1(cookie);
        Some(result)
    }

    /// Runs `work` on the IPsec SAs of a peer.
    pub(super) fn with_phase2<R>(
        &mut self,
        peer: &PeerName,
        now: Instant,
        work: impl FnOnce(&mut Phase2, &mut Context<'_>) -> R,
    ) -> Option<R> {
        let phase2 = self.v1.phase2.get_mut(peer)?;
        let mut cx = Context {
            now,
            rng: self.rng.as_mut(),
            provider: self.provider.as_ref(),
            config: &self.config,
            peers: &self.peers,
            disabled: &self.disabled,
            spis: &mut self.spis,
            next_child: &mut self.next_child,
            outputs: &mut self.outputs,
            actions: &mut self.actions,
        };
        let result = work(phase2, &mut cx);
        self.carry_out(now);
        self.pump(peer, now);
        Some(result)
    }

    /// Brings the indexes in line with what became of an SA.
    fn after_v1(&mut self, cookie: IkeSpi) {
        let Some(sa) = self.v1.sas.get(&cookie) else { return };
        if sa.is_closed() {
            return self.forget_v1(cookie);
        }
        if !sa.is_half_open() {
            self.v1.half_open.remove(cookie);
            self.v1.by_peer.entry(sa.peer.name.clone()).or_default().insert(cookie);
        }
        let due = sa.poll_timeout(self.config.half_open_timeout);
        self.timers.set_sa(cookie, due);
    }

    fn forget_v1(&mut self, cookie: IkeSpi) {
        let Some(sa) = self.v1.sas.remove(&cookie) else { return };
        self.v1.half_open.remove(cookie);
        self.timers.set_sa(cookie, None);
        self.spis.release_ike(cookie);
        if let Some(cookies) = self.v1.by_peer.get_mut(&sa.peer.name) {
            cookies.remove(&cookie);
            if cookies.is_empty() {
                self.v1.by_peer.remove(&sa.peer.name);
            }
        }
        if let Some(state) = self.states.get_mut(&sa.peer.name) {
            state.sas.remove(&cookie);
        }
    }
}
