//! Keeping up what is wanted: when to connect, to ask for a child, and to try again.

use super::Endpoint;
use crate::config::{ChildName, Path, PeerConfig, PeerName, StartPolicy, Version, Versions};
use crate::context::Action;
use crate::event::{DownReason, Event, Output, Role};
use crate::retransmit::jittered;
use crate::v2::{IkeSa, State, Task};
use crate::wire::IkeSpi;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A child that went away is asked for again after this long, plus jitter: the peer may be restarting.
const CHILD_PAUSE: Duration = Duration::from_secs(1);
/// The responder of a new IKE SA leaves the children to its initiator for this long.
pub(super) const RESPONDER_PATIENCE: Duration = Duration::from_secs(3);

/// What an endpoint knows of a peer beside its configuration.
#[derive(Debug)]
pub(super) struct PeerState {
    /// SAs of the peer: connecting, established, replaced, closed. Half-open ones belong to nobody yet.
    pub(super) sas: BTreeSet<IkeSpi>,
    /// Children asked for by a packet or an operator, until they are up.
    pub(super) asked: BTreeSet<ChildName>,
    /// Children that an operator took down: not ours to start.
    pub(super) stopped: BTreeSet<ChildName>,
    /// All tries failed: nothing is tried until somebody asks.
    pub(super) exhausted: bool,
    /// Negotiations that failed since it was last up.
    pub(super) attempts: u32,
    pub(super) retry_at: Option<Instant>,
    /// Children are not asked for before.
    pub(super) hold: BTreeMap<ChildName, Instant>,
    /// Which of the peer's addresses is next.
    pub(super) address: usize,
    /// Our address towards the peer, as the host found it.
    pub(super) source: Option<IpAddr>,
    /// Why it is not up.
    pub(super) reason: DownReason,
    /// With a peer that may speak either version: what to begin with. Kept once it succeeded.
    pub(super) version: Option<Version>,
}

impl Default for PeerState {
    fn default() -> Self {
        PeerState {
            sas: BTreeSet::new(),
            asked: BTreeSet::new(),
            stopped: BTreeSet::new(),
            exhausted: false,
            attempts: 0,
            retry_at: None,
            hold: BTreeMap::new(),
            address: 0,
            source: None,
            reason: DownReason::Idle,
            version: None,
        }
    }
}

impl Endpoint {
    /// Compares what a peer should have with what it has, and starts what is missing.
    pub(super) fn reconcile(&mut self, peer: &PeerName, now: Instant) {
        let Some(config) = self.peers.get(peer).cloned() else { return };
        let missing = self.missing_children(&config);
        let orphaned = self.v1_orphaned(&config);
        let Some(state) = self.states.get_mut(peer) else { return };
        if self.disabled.contains(peer) || state.exhausted || (missing.is_empty() && !orphaned) {
            return self.timers.set_peer(peer, None);
        }
        let spis: Vec<IkeSpi> = state.sas.iter().copied().collect();
        let usable = |sa: &&IkeSa| sa.is_established() && !sa.is_closing() && sa.limbo.is_none();
        let live = spis.iter().filter_map(|spi| self.sas.get(spi)).filter(usable).max_by_key(|sa| sa.established);
        if let Some(live) = live {
            let spi = live.local_spi;
            return self.ask_for_children(spi, &config, &missing, now);
        }
        if let Some(cookie) = self.v1_live(peer) {
            let holds = self.holds(peer, &missing, now);
            return self.v1_ask(cookie, &holds, now);
        }
        let connecting =
            spis.iter().filter_map(|spi| self.sas.get(spi)).any(|sa| sa.is_connecting()) || self.v1_connecting(peer);
        if connecting || config.remote_addresses.is_empty() {
            return;
        }
        if let Some(at) = self.states.get(peer).and_then(|state| state.retry_at)
            && at > now
        {
            return self.timers.set_peer(peer, Some(at));
        }
        self.connect(&config, missing.into_iter().next(), now);
    }

    /// Children that should be up and are neither up nor on their way.
    fn missing_children(&mut self, config: &PeerConfig) -> Vec<ChildName> {
        let v1: BTreeSet<ChildName> = config
            .children
            .iter()
            .map(|child| &child.name)
            .filter(|name| self.v1_has(&config.name, name))
            .cloned()
            .collect();
        let Some(state) = self.states.get_mut(&config.name) else { return Vec::new() };
        let sas: Vec<&IkeSa> =
            state.sas.iter().filter_map(|spi| self.sas.get(spi)).filter(|sa| !sa.is_closed()).collect();
        state.asked.retain(|name| !v1.contains(name) && !sas.iter().any(|sa| sa.has_child(name)));
        let wanted = config
            .children
            .iter()
            .filter(|child| child.start == StartPolicy::OnLoad || state.asked.contains(&child.name))
            .filter(|child| !state.stopped.contains(&child.name));
        let there =
            |name: &ChildName| v1.contains(name) || sas.iter().any(|sa| sa.has_child(name) || sa.is_creating(name));
        wanted.map(|child| child.name.clone()).filter(|name| !there(name)).collect()
    }

    /// Children, and when they may be asked for.
    fn holds(&self, peer: &PeerName, children: &[ChildName], now: Instant) -> Vec<(ChildName, Instant)> {
        let hold = |name: &ChildName| self.states.get(peer).and_then(|state| state.hold.get(name).copied());
        children.iter().map(|name| (name.clone(), hold(name).unwrap_or(now))).collect()
    }

    fn ask_for_children(&mut self, spi: IkeSpi, config: &PeerConfig, missing: &[ChildName], now: Instant) {
        let holds = self.holds(&config.name, missing, now);
        self.with_sa(spi, now, |sa, cx| {
            let patience = match (sa.role, sa.established) {
                (Role::Responder, Some(established)) => established + RESPONDER_PATIENCE,
                (Role::Responder | Role::Initiator, _) => now,
            };
            for (name, hold) in holds {
                sa.enqueue(Task::CreateChild(name), hold.max(patience));
            }
            sa.start_next(cx);
        });
    }

    fn connect(&mut self, config: &Arc<PeerConfig>, child: Option<ChildName>, now: Instant) {
        let Some(state) = self.states.get_mut(&config.name) else { return };
        let remote = config.remote_addresses.get(state.address % config.remote_addresses.len().max(1)).copied();
        let Some(remote) = remote else { return };
        let Some(local) = config.local_address.or(state.source) else {
            if !matches!(state.reason, DownReason::NoRoute) {
                state.reason = DownReason::NoRoute;
                let event =
                    Event::ConnectFailed { peer: config.name.clone(), reason: DownReason::NoRoute, retry_in: None };
                self.outputs.push_back(Output::Event(event));
            }
            return;
        };
        let other = state.sas.iter().filter_map(|spi| self.sas.get(spi)).any(|sa| sa.is_established());
        let from_nat_port = config.remote_port != 500;
        let local_port = if from_nat_port { self.config.nat_port } else { self.config.ike_port };
        let path =
            Path { local: SocketAddr::new(local, local_port), remote: SocketAddr::new(remote, config.remote_port) };
        let attempt = state.attempts + 1;
        let version = match config.versions {
            Versions::V1 => Version::V1,
            Versions::V2 => Version::V2,
            Versions::Both => state.version.unwrap_or(Version::V2),
        };
        if version == Version::V1 {
            let event = Event::Connecting { peer: config.name.clone(), path, attempt };
            self.outputs.push_back(Output::Event(event));
            return self.v1_connect(config, path, now);
        }
        let spi = self.spis.allocate_ike(self.rng.as_mut());
        let mut sa = IkeSa::new(spi, Role::Initiator, Arc::clone(config), path, State::Connecting, now);
        sa.initial_contact = !other;
        state.sas.insert(spi);
        self.sas.insert(spi, sa);
        let event = Event::Connecting { peer: config.name.clone(), path, attempt };
        self.outputs.push_back(Output::Event(event));
        self.with_sa(spi, now, |sa, cx| sa.connect(child, cx));
    }

    /// A negotiation of ours failed: the next address, after a pause that grows.
    pub(super) fn connect_failed(&mut self, peer: &PeerName, reason: DownReason, now: Instant) {
        let Some(config) = self.peers.get(peer).cloned() else { return };
        self.v1_give_up_orphans(&config, &reason, now);
        let Some(state) = self.states.get_mut(peer) else { return };
        let superseded =
            matches!(reason, DownReason::Superseded | DownReason::Administrative | DownReason::Reconfigured);
        state.address = state.address.wrapping_add(1);
        if superseded {
            return;
        }
        state.attempts = state.attempts.saturating_add(1);
        state.reason = reason.clone();
        if config.versions == Versions::Both && unanswered(&reason) {
            let (from, to) = match state.version.unwrap_or(Version::V2) {
                Version::V1 => (Version::V1, Version::V2),
                Version::V2 => (Version::V2, Version::V1),
            };
            state.version = Some(to);
            let event = Event::FellBack { peer: peer.clone(), from, to, reason: reason.clone() };
            self.outputs.push_back(Output::Event(event));
        }
        let exhausted = config.retry.tries.is_some_and(|tries| state.attempts >= tries);
        let doubled = config.retry.first.saturating_mul(1 << state.attempts.saturating_sub(1).min(16));
        let pause = jittered(doubled.min(config.retry.cap), 25, self.rng.as_mut());
        let retry_in = (!exhausted).then_some(pause);
        state.retry_at = retry_in.map(|pause| now + pause);
        if exhausted {
            state.asked.clear();
            state.exhausted = true;
        }
        let event = Event::ConnectFailed { peer: peer.clone(), reason, retry_in };
        self.outputs.push_back(Output::Event(event));
        self.actions.push_back(Action::Reconcile(peer.clone()));
    }

    /// An SA of the peer, or a child, went away: its successor is not asked for at once.
    pub(super) fn gone(&mut self, peer: &PeerName, reason: &DownReason, whole_sa: bool, now: Instant) {
        let Some(config) = self.peers.get(peer) else { return };
        let Some(state) = self.states.get_mut(peer) else { return };
        if matches!(reason, DownReason::Superseded | DownReason::Redundant | DownReason::Reconfigured) {
            return;
        }
        state.reason = reason.clone();
        let pause = jittered(CHILD_PAUSE, 100, self.rng.as_mut());
        if whole_sa {
            state.retry_at = Some(now + pause);
        }
        state.hold.retain(|_, at| *at > now);
        for child in &config.children {
            state.hold.entry(child.name.clone()).or_insert(now + pause);
        }
    }
}

/// Whether a negotiation failed before the peer said anything under its keys, so that another version of IKE may do better.
fn unanswered(reason: &DownReason) -> bool {
    const FIRST: [&str; 4] =
        ["IKE_SA_INIT", "message 1 of main mode", "message 1 of aggressive mode", "message 3 of main mode"];
    match reason {
        DownReason::NoAnswer { exchange, .. } | DownReason::Refused { exchange, .. } => FIRST.contains(exchange),
        DownReason::RefusedByV1 { exchange, .. } => matches!(*exchange, "main mode" | "aggressive mode"),
        DownReason::VersionMismatch { .. } | DownReason::NoProposalChosen(_) => true,
        _ => false,
    }
}
