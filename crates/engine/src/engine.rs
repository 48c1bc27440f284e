//! The engine itself: feeds the IKE endpoint, installs what it negotiates, publishes tables, remembers packets that wait.
//!
//! Order matters: a table with a new inbound SA is published before the message that lets the peer use it is sent.

use crate::children::Children;
use crate::desired::{Connection, DesiredState, TunnelGroup, TunnelOptions};
use crate::failover::{self, Failover};
use crate::path::Feedback;
use crate::path_mtu::PathMtus;
use crate::table::ForwardingTable;
use crate::trace::Traces;
use crate::traffic::Observed;
use crypto::{Provider, Rng};
use ike::config::{ChildName, Path, PeerConfig, PeerName};
use ike::event::{ChildId, ChildInstall, DownReason, Event, Output as IkeOutput, Sign, Transmit};
use ike::{CommandError, Endpoint};
use ipsec::{DropCounters, DropReason, Spi, TunnelPolicy};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Packets that wait for one child at most.
const WAITING_PER_CHILD: usize = 64;
/// Children that packets may wait for at once.
const WAITING_CHILDREN: usize = 1024;
/// A packet waits no longer than this: by then its sender has given up or sent it again.
const WAITING_TIME: Duration = Duration::from_secs(15);
/// How long packets are taken on the SAs of a tunnel that ended while a sibling carries on: a DELETE that is lost once and the
/// packets under way have their time.
const SIBLING_LINGER: Duration = Duration::from_secs(3);
/// How often the engine looks at which SAs packets were heard on.
const HEARD_INTERVAL: Duration = Duration::from_millis(500);

/// What the host must do, in order.
#[derive(Debug)]
pub enum Output {
    /// Send an IKE message; with the non-ESP marker if it leaves from the NAT-T port.
    Ike(Transmit),
    /// Send a NAT keepalive.
    Keepalive(Path),
    /// Give the workers a new table.
    Publish(Arc<ForwardingTable>),
    /// Send packets that waited for a tunnel as if they had just arrived from the protected network.
    Inject(Vec<Vec<u8>>),
    /// Something happened.
    Event(Event),
    /// Something happened to a group of tunnels.
    Failover(failover::Event),
}

struct Waiting {
    since: Instant,
    packets: Vec<Vec<u8>>,
}

/// The engine of one gateway.
pub struct Engine {
    pub(crate) desired: DesiredState,
    pub(crate) endpoint: Endpoint,
    pub(crate) children: Children,
    pub(crate) paths: PathMtus,
    pub(crate) failover: Failover,
    pub(crate) observed: Observed,
    pub(crate) traces: Traces,
    rng: Box<dyn Rng>,
    /// Connections that an operator took down: nothing is sent on them, whatever is still under way.
    taken_down: BTreeSet<PeerName>,
    waiting: BTreeMap<(PeerName, ChildName), Waiting>,
    /// Packets that waited in vain.
    pub(crate) drops: DropCounters,
    generation: u64,
    dirty: bool,
    next_heard: Instant,
    pub(crate) outputs: VecDeque<Output>,
    /// The last reason for which each connection or child went or stayed down.
    pub(crate) reasons: BTreeMap<(PeerName, Option<ChildName>), (DownReason, Instant)>,
    pub(crate) started: Instant,
}

impl Engine {
    /// An engine that wants nothing yet. `fork` makes a second random source from the first.
    pub fn new(
        desired: &DesiredState,
        provider: Arc<dyn Provider>,
        endpoint_rng: Box<dyn Rng>,
        rng: Box<dyn Rng>,
        now: Instant,
    ) -> Engine {
        let endpoint = Endpoint::new(desired.gateway.endpoint.clone(), provider, endpoint_rng, now);
        Engine {
            desired: DesiredState { gateway: desired.gateway.clone(), ..DesiredState::default() },
            endpoint,
            children: Children::default(),
            paths: PathMtus::default(),
            failover: Failover::default(),
            observed: Observed::default(),
            traces: Traces::default(),
            rng,
            taken_down: BTreeSet::new(),
            waiting: BTreeMap::new(),
            drops: DropCounters::new(),
            generation: 0,
            dirty: true,
            next_heard: now + HEARD_INTERVAL,
            outputs: VecDeque::new(),
            reasons: BTreeMap::new(),
            started: now,
        }
    }

    /// Takes over a complete desired state. Tunnels it does not change are not touched.
    pub fn apply(&mut self, desired: DesiredState, now: Instant) {
        let peers = desired.connections.values().map(|connection| connection.peer.clone()).collect();
        self.reasons.retain(|(peer, _), _| desired.connections.contains_key(peer));
        self.taken_down.retain(|peer| desired.connections.contains_key(peer));
        self.observed.retain(|peer| desired.connections.contains_key(peer));
        self.traces.retain(|peer| desired.connections.contains_key(peer));
        self.failover.apply(&desired.groups, now);
        self.children.arm(&desired.groups.values().flat_map(TunnelGroup::peers).cloned().collect());
        self.desired = desired;
        self.dirty = true;
        self.endpoint.apply(peers, now);
        self.collect(now);
    }

    /// What it was asked for last.
    pub fn desired(&self) -> &DesiredState {
        &self.desired
    }

    /// Our address towards a peer, as the host's routing table has it now.
    pub fn set_source(&mut self, peer: &PeerName, source: Option<IpAddr>, now: Instant) {
        self.endpoint.set_source(peer, source, now);
        self.collect(now);
    }

    /// An IKE message came in, its marker removed.
    pub fn handle_ike(&mut self, path: Path, message: &[u8], now: Instant) {
        self.endpoint.handle_datagram(path, message, now);
        let events = self.failover.look_for_life(|peer| self.endpoint.last_heard(peer), now);
        self.tell(events);
        self.collect(now);
    }

    /// A worker learned something.
    pub fn handle_feedback(&mut self, feedback: Feedback, now: Instant) {
        match feedback {
            Feedback::FirstHeard(child) => {
                if self.children.first_heard(child) {
                    self.dirty = true;
                }
            }
            Feedback::Moved { peer, child, path } => self.endpoint.esp_heard(&peer, child, Some(path), now),
            Feedback::Limit { peer, child, hard } => self.endpoint.child_limit(&peer, child, hard, now),
            Feedback::Truncation { peer, child, theirs } => {
                if let Some(name) = self.children.by_id.get(&child).map(|child| child.name.clone()) {
                    self.note(Event::TruncationDiffers { peer, name, theirs }, now);
                }
            }
            Feedback::Sending(peer) => self.failover.began(&peer, now),
            Feedback::Wanted { peer, child, packet } => self.keep(peer, child, packet, now),
        }
        self.collect(now);
    }

    /// A router (or this machine) said by ICMP that a packet to `remote` was too big for a link of `mtu` bytes; `spi` is the
    /// outbound SPI of that packet where the message told it. Believed within limits (RFC 4301 §8.2.1): only for an SA we
    /// have, never below the smallest MTU of the IP version, for ten minutes. Returns the MTU when it is news.
    pub fn handle_path_mtu(&mut self, remote: IpAddr, spi: Option<Spi>, mtu: u32, now: Instant) -> Option<u16> {
        let fits = |child: &crate::children::Child| {
            child.remote() == remote && spi.is_none_or(|spi| child.spis.outbound == spi)
        };
        if !self.children.by_id.values().any(fits) {
            return None;
        }
        let news = self.paths.learn(remote, mtu, self.desired.gateway.path_mtu, now)?;
        self.dirty = true;
        self.collect(now);
        Some(news)
    }

    /// The MTU of the path to a remote gateway as it is known now, bytes of IP packet.
    pub fn path_mtu(&self, remote: IpAddr) -> u16 {
        self.paths.towards(remote, self.desired.gateway.path_mtu)
    }

    /// Keeps a packet for a child that is on its way up, and asks for the child.
    fn keep(&mut self, peer: PeerName, child: ChildName, packet: Vec<u8>, now: Instant) {
        if self.children.of(&peer, &child).iter().any(|(id, _)| self.children.is_active(*id)) {
            // It came up while the packet was on its way here.
            self.publish();
            return self.outputs.push_back(Output::Inject(vec![packet]));
        }
        self.endpoint.trigger(&peer, &child, now);
        // Whichever of its siblings is up first will do.
        let siblings = self.failover.group_of(&peer).map(|(group, _)| group.tunnels.clone()).unwrap_or_default();
        for sibling in siblings.iter().filter(|sibling| sibling.peer != peer) {
            self.endpoint.trigger(&sibling.peer, &child, now);
        }
        let key = (peer, child);
        if !self.waiting.contains_key(&key) && self.waiting.len() >= WAITING_CHILDREN {
            return self.drops.count(DropReason::QueueFull);
        }
        let waiting = self.waiting.entry(key).or_insert(Waiting { since: now, packets: Vec::new() });
        if waiting.packets.len() < WAITING_PER_CHILD {
            waiting.packets.push(packet);
        } else {
            self.drops.count(DropReason::QueueFull);
        }
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.next_heard <= now {
            self.next_heard = now + HEARD_INTERVAL;
            for (peer, child) in self.children.heard_since(now) {
                self.endpoint.esp_heard(&peer, child, None, now);
                let recovered = self.failover.received(&peer, now);
                self.tell(recovered);
            }
        }
        self.watch_tunnels(now);
        self.dirty |= self.children.expire(now, &mut self.observed);
        for (peer, child) in self.children.silence_expired(now) {
            self.reasons.insert((peer, Some(child)), (DownReason::Expired, now));
            self.dirty = true;
        }
        let children = &self.children.by_id;
        if self.paths.expire(now, |remote| children.values().any(|child| child.remote() == remote)) {
            self.dirty = true;
        }
        for (_, expired) in self.waiting.extract_if(.., |_, waiting| waiting.since + WAITING_TIME <= now) {
            self.drops.add(DropReason::NoTunnel, expired.packets.len() as u64);
        }
        self.endpoint.handle_timeout(now);
        self.collect(now);
    }

    pub(crate) fn tell(&mut self, events: impl IntoIterator<Item = failover::Event>) {
        self.outputs.extend(events.into_iter().map(Output::Failover));
    }

    /// When [`Self::handle_timeout`] has something to do.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let heard = (!self.children.by_id.is_empty()).then_some(self.next_heard);
        let waiting = self.waiting.values().map(|waiting| waiting.since + WAITING_TIME).min();
        let failover = self.failover.due();
        let due = [
            self.endpoint.poll_timeout(),
            self.children.next_expiry(),
            self.paths.next_expiry(),
            heard,
            waiting,
            failover,
        ];
        due.into_iter().flatten().min()
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Brings a connection or one of its children up.
    pub fn up(&mut self, peer: &PeerName, child: Option<&ChildName>, now: Instant) -> Result<(), CommandError> {
        let result = self.endpoint.up(peer, child, now);
        if result.is_ok() {
            self.taken_down.remove(peer);
            self.children.bring_up(peer, child);
            let asked = |(of, name): &(PeerName, Option<ChildName>)| {
                of == peer && (child.is_none() || name.is_none() || name.as_ref() == child)
            };
            self.reasons.retain(|key, (reason, _)| !asked(key) || *reason != DownReason::Administrative);
            self.dirty = true;
        }
        self.collect(now);
        result
    }

    /// Takes a connection or one of its children down.
    pub fn down(&mut self, peer: &PeerName, child: Option<&ChildName>, now: Instant) -> Result<(), CommandError> {
        let result = self.endpoint.down(peer, child, now);
        if result.is_ok() {
            if child.is_none() {
                self.taken_down.insert(peer.clone());
            }
            self.children.take_down(peer, child);
            self.reasons.insert((peer.clone(), child.cloned()), (DownReason::Administrative, now));
            self.dirty = true;
        }
        self.collect(now);
        result
    }

    /// Rekeys the IKE SA of a connection.
    pub fn rekey_ike(&mut self, peer: &PeerName, now: Instant) -> Result<(), CommandError> {
        let result = self.endpoint.rekey_ike(peer, now);
        self.collect(now);
        result
    }

    /// Rekeys the children of a connection, or one of them.
    pub fn rekey_child(
        &mut self,
        peer: &PeerName,
        child: Option<&ChildName>,
        now: Instant,
    ) -> Result<(), CommandError> {
        let result = self.endpoint.rekey_child(peer, child, now);
        self.collect(now);
        result
    }

    /// The machine slept, or its clock was set ahead: asks every peer now whether it lives, and tries again at once where a
    /// connection waits to be tried again. A peer without liveness checks is not asked (RFC 7296 §2.4).
    pub fn suspect_all(&mut self, now: Instant) {
        let peers = |connection: &Connection| connection.peer.clone();
        let configured: Vec<PeerConfig> = self.desired.connections.values().map(peers).collect();
        let mut impatient = configured.clone();
        for peer in &mut impatient {
            peer.dpd.interval = peer.dpd.interval.map(|_| Duration::ZERO);
        }
        // A check begins when the peer was silent for the interval: for this moment, that is none.
        self.endpoint.apply(impatient, now);
        self.endpoint.handle_timeout(now);
        self.endpoint.apply(configured, now);
        self.collect(now);
    }

    /// Tells all peers that we go.
    pub fn shutdown(&mut self, now: Instant) {
        self.endpoint.shutdown(now);
        for peer in self.desired.connections.keys() {
            self.taken_down.insert(peer.clone());
            self.children.take_down(peer, None);
        }
        self.dirty = true;
        self.collect(now);
    }

    /// Whether any peer still has to answer our farewell.
    pub fn is_idle(&self) -> bool {
        self.endpoint.sas().next().is_none()
    }

    /// The endpoint, to look at.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Carries out what the endpoint says, in its order.
    fn collect(&mut self, now: Instant) {
        while let Some(output) = self.endpoint.poll_output() {
            match output {
                IkeOutput::Transmit(transmit) => {
                    self.publish();
                    self.outputs.push_back(Output::Ike(transmit));
                }
                IkeOutput::Sign(peer, Sign::AskedAgain) => self.asked_again(&peer, now),
                IkeOutput::Sign(peer, Sign::Answered { after }) => self.answered(&peer, after, now),
                IkeOutput::Keepalive(path) => self.outputs.push_back(Output::Keepalive(path)),
                IkeOutput::InstallChild(install) => self.install(*install, now),
                IkeOutput::ActivateOutbound(child) => {
                    self.children.activate(child);
                    self.dirty = true;
                }
                IkeOutput::RemoveChild { child, linger } => {
                    let linger = linger.max(self.lingers_for_its_siblings(child));
                    self.children.retire(child, now + linger, now, &mut self.observed);
                    self.dirty = true;
                }
                IkeOutput::MoveChild { child, encapsulation } => {
                    self.children.relocate(child, encapsulation);
                    self.dirty = true;
                }
                IkeOutput::Trace(traced) => self.traces.message(traced, self.desired.connections.len(), now),
                IkeOutput::Event(event) => self.note(event, now),
            }
        }
        self.publish();
        self.choose(now);
    }

    /// Traffic of a tunnel that ends goes on in its siblings, so what its peer sent before it knew is still wanted.
    fn lingers_for_its_siblings(&self, child: ChildId) -> Duration {
        let Some(peer) = self.children.by_id.get(&child).map(|child| &child.peer) else { return Duration::ZERO };
        if self.failover.has_sibling_up(peer) { SIBLING_LINGER } else { Duration::ZERO }
    }

    /// Lets groups choose again where SAs came or went, or a tunnel's health changed.
    fn choose(&mut self, now: Instant) {
        let reachable = self.children.reachable();
        let is_up = |peer: &PeerName| reachable.contains(peer);
        let events = self.failover.choose(is_up, |peer| self.taken_down.contains(peer), now);
        self.tell(events);
    }

    fn install(&mut self, install: ChildInstall, now: Instant) {
        let options = self.desired.connections.get(&install.peer).map(|connection: &Connection| connection.tunnel);
        let tunnel = tunnel_policy(options);
        let taken_down = self.taken_down.contains(&install.peer);
        // The endpoint negotiated the suite from our own proposals and cut the keys to it: this cannot fail, and if it
        // does the child simply carries nothing, which its peer's liveness check finds.
        let peer = install.peer.clone();
        if self.children.install(install, tunnel, taken_down, self.rng.as_mut(), now).is_ok() {
            self.dirty = true;
            if self.failover.watches(&peer) {
                self.children.arm(&[peer].into());
            }
        }
    }

    /// Publishes a table if anything changed, then lets packets go that waited for it.
    fn publish(&mut self) {
        if !std::mem::take(&mut self.dirty) {
            return;
        }
        self.generation += 1;
        self.failover.reconsider();
        let table = Arc::new(self.children.table(&self.desired, &self.paths, &self.failover, self.generation));
        self.outputs.push_back(Output::Publish(Arc::clone(&table)));
        for member in table.slots.iter().filter(|slot| slot.is_up()).flat_map(|slot| &slot.members) {
            if let Some(waiting) = self.waiting.remove(&(member.peer.clone(), member.child.clone())) {
                self.outputs.push_back(Output::Inject(waiting.packets));
            }
        }
    }

    /// Remembers why something is down, and passes the event on.
    fn note(&mut self, event: Event, now: Instant) {
        match &event {
            Event::IkeSaDown { peer, .. } if self.endpoint.sas_of(peer).any(|sa| sa.is_established()) => {}
            Event::ConnectFailed { peer, reason, .. } | Event::IkeSaDown { peer, reason, .. } => {
                self.reasons.insert((peer.clone(), None), (reason.clone(), now));
            }
            Event::ChildSaDown { peer, name, reason, .. } => {
                let key = (peer.clone(), Some(name.clone()));
                // Why it ends stays what the operator wanted, however its end came about.
                if !matches!(self.reasons.get(&key), Some((DownReason::Administrative, _))) {
                    self.reasons.insert(key, (reason.clone(), now));
                }
            }
            Event::ChildFailed { peer, name, reason, .. } => {
                self.reasons.insert((peer.clone(), name.clone()), (reason.clone(), now));
            }
            Event::Rejected { peer: Some(peer), reason, .. } => {
                self.reasons.insert((peer.clone(), None), (reason.clone(), now));
            }
            Event::IkeSaUp { peer, .. } => {
                self.reasons.remove(&(peer.clone(), None));
            }
            Event::ChildSaUp { peer, name, .. } => {
                self.reasons.remove(&(peer.clone(), Some(name.clone())));
            }
            Event::Connecting { .. }
            | Event::FellBack { .. }
            | Event::AggressiveMode { .. }
            | Event::LifetimeDiffers { .. }
            | Event::Narrowed { .. }
            | Event::TruncationDiffers { .. }
            | Event::IkeSaRekeyed { .. }
            | Event::Rejected { .. }
            | Event::PeerMoved { .. }
            | Event::PeerNotified { .. }
            | Event::CookiesDemanded(_)
            | Event::Ignored { .. } => {}
        }
        self.traces.event(&event, self.desired.connections.len(), now);
        self.outputs.push_back(Output::Event(event));
    }
}

fn tunnel_policy(options: Option<TunnelOptions>) -> TunnelPolicy {
    let default = TunnelPolicy::default();
    options.map_or(default, |options| TunnelPolicy { dscp: options.dscp, df: options.df, ..default })
}
