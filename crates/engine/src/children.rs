//! The CHILD_SAs that the endpoint asked for, as SAs of the data plane, and the table made of them.

use crate::desired::DesiredState;
use crate::failover::{Failover, Traffic};
use crate::path_mtu::PathMtus;
use crate::table::{ForwardingTable, InboundEntry, OutboundEntry};
use crate::traffic::Observed;
use crypto::{CbcIv, Rng};
use ike::config::{ChildName, Lifetime, PeerName};
use ike::event::{ChildId, ChildInstall};
use ipsec::{
    Encapsulation, EspSuite, InboundSa, OutboundSa, SaError, SaLimits, SelectorPair, Spd, SpiPair, TunnelPolicy,
};
use packet::IpVersion;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

/// A CHILD_SA pair in the data plane.
#[derive(Debug)]
pub(crate) struct Child {
    pub(crate) peer: PeerName,
    pub(crate) name: ChildName,
    pub(crate) suite: EspSuite,
    pub(crate) spis: SpiPair,
    pub(crate) selectors: SelectorPair,
    pub(crate) encapsulation: Encapsulation,
    pub(crate) installed: Instant,
    pub(crate) outbound: Arc<OutboundSa>,
    pub(crate) inbound: Arc<InboundSa>,
    tunnel: TunnelPolicy,
    soft_reported: Arc<AtomicBool>,
    /// Whether the next packet is worth telling.
    armed: Arc<AtomicBool>,
    /// Packets sent and received when its traffic was looked at last.
    sampled: (u64, u64),
    heard: Arc<AtomicU64>,
    looks: Arc<AtomicU32>,
    heard_seen: u64,
    pub(crate) last_heard: Option<Instant>,
    /// Order of preference among the children of a slot; `None` while we must not send on it.
    rank: Option<u64>,
    born: u64,
    /// Why nothing is sent on it although the endpoint still has it.
    silence: Option<Silence>,
    /// When its lifetime is over.
    expires: Option<Instant>,
    /// Removed, but packets may still be under way to it until then.
    pub(crate) lingers_until: Option<Instant>,
}

/// Why nothing is sent on a child any more: its DELETE may have to wait for its turn (RFC 7296 §2.3), its packets do not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Silence {
    /// An operator took it down.
    TakenDown,
    /// Its lifetime is over.
    Expired,
}

/// All CHILD_SAs of the data plane.
#[derive(Debug, Default)]
pub(crate) struct Children {
    pub(crate) by_id: BTreeMap<ChildId, Child>,
    next_rank: u64,
}

/// 90 % of a hard limit: where a rekey starts.
fn soft(limit: Option<u64>) -> Option<u64> {
    limit.map(|limit| limit - limit / 10)
}

fn limits(lifetime: &Lifetime) -> SaLimits {
    SaLimits {
        soft_packets: soft(lifetime.packets),
        hard_packets: lifetime.packets,
        soft_bytes: soft(lifetime.bytes),
        hard_bytes: lifetime.bytes,
    }
}

impl Children {
    /// Makes the SAs of a child; `taken_down` says that its connection was meanwhile.
    pub(crate) fn install(
        &mut self,
        install: ChildInstall,
        tunnel: TunnelPolicy,
        taken_down: bool,
        rng: &mut dyn Rng,
        now: Instant,
    ) -> Result<(), SaError> {
        let selectors = SelectorPair { local: install.local, remote: install.remote };
        let outbound = OutboundSa::new(
            install.spis.outbound,
            install.suite,
            &install.outbound_keys,
            CbcIv::new(rng),
            limits(&install.lifetime),
            tunnel,
        )?;
        let inbound = InboundSa::new(
            install.spis.inbound,
            install.suite,
            &install.inbound_keys,
            install.replay_window,
            selectors.clone(),
        )?;
        let born = self.rank();
        // The successor of a child that was taken down while its rekey was under way goes down with it.
        let old = install.replaces.and_then(|old| self.by_id.get(&old));
        let taken_down = taken_down || old.is_some_and(|old| old.silence == Some(Silence::TakenDown));
        let child = Child {
            peer: install.peer,
            name: install.name,
            suite: install.suite,
            spis: install.spis,
            selectors,
            encapsulation: install.encapsulation,
            installed: now,
            outbound: Arc::new(outbound),
            inbound: Arc::new(inbound),
            tunnel,
            soft_reported: Arc::default(),
            armed: Arc::default(),
            sampled: (0, 0),
            heard: Arc::default(),
            looks: Arc::default(),
            heard_seen: 0,
            last_heard: None,
            rank: (install.outbound_active && !taken_down).then_some(born),
            born,
            silence: taken_down.then_some(Silence::TakenDown),
            expires: install.lifetime.time.map(|time| now + time),
            lingers_until: None,
        };
        self.by_id.insert(install.child, child);
        Ok(())
    }

    fn rank(&mut self) -> u64 {
        self.next_rank += 1;
        self.next_rank
    }

    /// From now on send on this child rather than on any other of its slot.
    pub(crate) fn activate(&mut self, child: ChildId) {
        let rank = self.rank();
        if let Some(child) = self.by_id.get_mut(&child).filter(|child| child.silence.is_none()) {
            child.rank = Some(rank);
        }
    }

    /// The peer sends on it, so we may: in the order of birth, so that a late packet on an old SA prefers nothing.
    /// Returns whether anything changed.
    pub(crate) fn first_heard(&mut self, child: ChildId) -> bool {
        match self.by_id.get_mut(&child) {
            Some(child) if child.rank.is_none() && child.lingers_until.is_none() && child.silence.is_none() => {
                child.rank = Some(child.born);
                true
            }
            _ => false,
        }
    }

    /// Whether we may send on it.
    pub(crate) fn is_active(&self, child: ChildId) -> bool {
        self.by_id.get(&child).is_some_and(|child| child.rank.is_some() && child.lingers_until.is_none())
    }

    /// Stops sending on the children of a peer, or on those of one name.
    pub(crate) fn take_down(&mut self, peer: &PeerName, name: Option<&ChildName>) {
        for child in self.named(peer, name) {
            child.silence = Some(Silence::TakenDown);
            child.rank = None;
        }
    }

    /// Undoes [`Self::take_down`] for what the endpoint still has.
    pub(crate) fn bring_up(&mut self, peer: &PeerName, name: Option<&ChildName>) {
        for child in self.named(peer, name) {
            if child.silence == Some(Silence::TakenDown) && child.lingers_until.is_none() {
                child.silence = None;
                child.rank = Some(child.born);
            }
        }
    }

    fn named<'a>(&'a mut self, peer: &'a PeerName, name: Option<&'a ChildName>) -> impl Iterator<Item = &'a mut Child> {
        let named = move |child: &&mut Child| &child.peer == peer && name.is_none_or(|name| &child.name == name);
        self.by_id.values_mut().filter(named)
    }

    /// Stops sending on the children whose lifetime is over, and names those that were still sent on.
    pub(crate) fn silence_expired(&mut self, now: Instant) -> Vec<(PeerName, ChildName)> {
        let over = |child: &&mut Child| child.expires.is_some_and(|at| at <= now);
        let mut silenced = Vec::new();
        for child in self.by_id.values_mut().filter(over) {
            child.expires = None;
            child.silence.get_or_insert(Silence::Expired);
            if child.rank.take().is_some() {
                silenced.push((child.peer.clone(), child.name.clone()));
            }
        }
        silenced
    }

    pub(crate) fn relocate(&mut self, child: ChildId, encapsulation: Encapsulation) {
        if let Some(child) = self.by_id.get_mut(&child) {
            child.encapsulation = encapsulation;
        }
    }

    /// Stops sending on a child at once; it is forgotten when its inbound SA has lingered.
    pub(crate) fn retire(&mut self, child: ChildId, until: Instant, now: Instant, observed: &mut Observed) {
        if until <= now {
            self.by_id.remove(&child).iter().for_each(|child| observed.gone(child));
        } else if let Some(child) = self.by_id.get_mut(&child) {
            child.rank = None;
            child.lingers_until = Some(until);
        }
    }

    /// Forgets what has lingered long enough; returns whether there was any.
    pub(crate) fn expire(&mut self, now: Instant, observed: &mut Observed) -> bool {
        let over = |_: &ChildId, child: &mut Child| child.lingers_until.is_some_and(|until| until <= now);
        let gone = self.by_id.extract_if(.., over).map(|(_, child)| observed.gone(&child));
        gone.count() > 0
    }

    /// When the next one has lingered long enough, or its lifetime is over.
    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        self.by_id.values().flat_map(|child| [child.lingers_until, child.expires]).flatten().min()
    }

    /// Children on which packets were received since the last call.
    pub(crate) fn heard_since(&mut self, now: Instant) -> Vec<(PeerName, ChildId)> {
        let mut heard = Vec::new();
        for (id, child) in &mut self.by_id {
            let count = child.heard.load(Ordering::Relaxed);
            if std::mem::replace(&mut child.heard_seen, count) != count {
                child.last_heard = Some(now);
                heard.push((child.peer.clone(), *id));
            }
        }
        heard
    }

    /// What passed since the last call, by peer, on the children of those that are `watched`.
    pub(crate) fn sample(&mut self, watched: impl Fn(&PeerName) -> bool) -> BTreeMap<PeerName, Traffic> {
        let mut traffic: BTreeMap<PeerName, Traffic> = BTreeMap::new();
        for child in self.by_id.values_mut().filter(|child| watched(&child.peer)) {
            let counted = (child.outbound.packets(), child.heard.load(Ordering::Relaxed));
            let (sent, received) = std::mem::replace(&mut child.sampled, counted);
            let (sent, received) = (sent != counted.0, received != counted.1);
            if sent || received {
                let of_peer = traffic.entry(child.peer.clone()).or_default();
                of_peer.sent |= sent;
                of_peer.received |= received;
            }
        }
        traffic
    }

    /// Has the next packet to any of these peers told.
    pub(crate) fn arm(&self, peers: &BTreeSet<PeerName>) {
        for child in self.by_id.values().filter(|child| peers.contains(&child.peer)) {
            child.armed.store(true, Ordering::Relaxed);
        }
    }

    /// The peers that can be sent to.
    pub(crate) fn reachable(&self) -> BTreeSet<&PeerName> {
        self.by_id.values().filter(|child| child.rank.is_some()).map(|child| &child.peer).collect()
    }

    /// The children of a slot, the preferred one first.
    pub(crate) fn of<'a>(&'a self, peer: &PeerName, name: &ChildName) -> Vec<(ChildId, &'a Child)> {
        let mut found: Vec<(ChildId, &Child)> = self
            .by_id
            .iter()
            .filter(|(_, child)| &child.peer == peer && &child.name == name)
            .map(|(id, child)| (*id, child))
            .collect();
        found.sort_by_key(|(_, child)| std::cmp::Reverse(child.rank));
        found
    }

    /// When the oldest child of a peer was installed.
    pub(crate) fn oldest(&self, peer: &PeerName) -> Option<Instant> {
        self.by_id.values().filter(|child| &child.peer == peer).map(|child| child.installed).min()
    }

    /// The table that these children and the desired state make.
    pub(crate) fn table(
        &self,
        desired: &DesiredState,
        paths: &PathMtus,
        failover: &Failover,
        generation: u64,
    ) -> ForwardingTable {
        let path_mtu = |child: &Child| paths.towards(child.remote(), desired.gateway.path_mtu);
        let (slots, policies) = self.slots(desired, failover, &path_mtu);
        let inbound = self
            .by_id
            .iter()
            .map(|(id, child)| (child.spis.inbound, Arc::new(child.inbound_entry(*id, path_mtu(child)))));
        ForwardingTable {
            generation,
            spd: Spd::new(policies),
            slots,
            inbound: inbound.collect(),
            clamp_mss: desired.gateway.clamp_mss,
        }
    }
}

impl Child {
    /// The peer's address.
    pub(crate) fn remote(&self) -> IpAddr {
        match self.encapsulation {
            Encapsulation::Udp { remote, .. } => remote.ip(),
            Encapsulation::Plain { remote, .. } => remote,
        }
    }

    /// Largest inner packet, in bytes.
    pub(crate) fn inner_mtu(&self, path_mtu: u16) -> u16 {
        let udp = matches!(self.encapsulation, Encapsulation::Udp { .. });
        let outer = match self.remote() {
            IpAddr::V4(_) => IpVersion::V4,
            IpAddr::V6(_) => IpVersion::V6,
        };
        u16::try_from(self.suite.inner_mtu(usize::from(path_mtu), outer, udp)).unwrap_or(u16::MAX)
    }

    fn mss(&self, path_mtu: u16) -> (u16, u16) {
        let mtu = usize::from(self.inner_mtu(path_mtu));
        let mss = |version| u16::try_from(EspSuite::inner_mss(mtu, version)).unwrap_or(u16::MAX);
        (mss(IpVersion::V4), mss(IpVersion::V6))
    }

    /// Whether packets may take it.
    pub(crate) fn is_sent_on(&self) -> bool {
        self.rank.is_some()
    }

    pub(crate) fn outbound_entry(&self, id: ChildId, path_mtu: u16) -> OutboundEntry {
        OutboundEntry {
            child: id,
            peer: self.peer.clone(),
            sa: Arc::clone(&self.outbound),
            selectors: self.selectors.clone(),
            encapsulation: self.encapsulation,
            inner_mtu: self.inner_mtu(path_mtu),
            mss: self.mss(path_mtu),
            soft_reported: Arc::clone(&self.soft_reported),
            armed: Arc::clone(&self.armed),
        }
    }

    fn inbound_entry(&self, id: ChildId, path_mtu: u16) -> InboundEntry {
        InboundEntry {
            child: id,
            peer: self.peer.clone(),
            sa: Arc::clone(&self.inbound),
            tunnel: self.tunnel,
            encapsulation: self.encapsulation,
            mss: self.mss(path_mtu),
            heard: Arc::clone(&self.heard),
            looks: Arc::clone(&self.looks),
        }
    }
}
