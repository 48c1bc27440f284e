//! What operators and the data plane ask of an endpoint, and the configuration it is given.

use super::Endpoint;
use super::peers::PeerState;
use crate::config::{ChildConfig, ChildName, Path, PeerConfig, PeerName};
use crate::event::{ChildId, DownReason, Event};
use crate::v2::Task;
use crate::wire::IkeSpi;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

/// Why a command was not carried out.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CommandError {
    /// No such peer.
    #[error("there is no connection named {0}")]
    UnknownPeer(PeerName),
    /// No such child.
    #[error("connection {0} has no child named {1}")]
    UnknownChild(PeerName, ChildName),
    /// It is not up.
    #[error("connection {0} is not up")]
    NotUp(PeerName),
    /// We do not know where the peer is.
    #[error("connection {0} has no remote address: only the peer can start it")]
    NoAddress(PeerName),
}

impl Endpoint {
    /// Takes over a complete configuration. What did not change is not touched; a change that the peer must agree to
    /// ends the SAs it concerns.
    pub fn apply(&mut self, peers: Vec<PeerConfig>, now: Instant) {
        let wanted: BTreeMap<PeerName, PeerConfig> = peers.into_iter().map(|peer| (peer.name.clone(), peer)).collect();
        let gone: Vec<PeerName> = self.peers.keys().filter(|name| !wanted.contains_key(*name)).cloned().collect();
        for name in gone {
            self.peers.remove(&name);
            self.disabled.remove(&name);
            self.delete_sas(&name, &DownReason::Reconfigured, now);
            self.timers.set_peer(&name, None);
            if let Some(state) = self.states.get_mut(&name) {
                // What follows from the old configuration; the SAs say good-bye on their own.
                *state =
                    PeerState { sas: std::mem::take(&mut state.sas), source: state.source, ..PeerState::default() };
            }
        }
        for (name, config) in wanted {
            match self.peers.get(&name).cloned() {
                Some(old) if *old == config => {}
                Some(old) => self.change(&old, config, now),
                None => {
                    self.states.entry(name.clone()).or_default();
                    self.peers.insert(name.clone(), Arc::new(config));
                }
            }
            self.reconcile(&name, now);
        }
        self.carry_out(now);
    }

    fn change(&mut self, old: &PeerConfig, config: PeerConfig, now: Instant) {
        let name = config.name.clone();
        let renegotiate = needs_new_ike_sa(old, &config);
        let config = Arc::new(config);
        self.peers.insert(name.clone(), Arc::clone(&config));
        if let Some(state) = self.states.get_mut(&name) {
            // The change may be the remedy.
            state.exhausted = false;
            state.retry_at = None;
        }
        if renegotiate {
            return self.delete_sas(&name, &DownReason::Reconfigured, now);
        }
        let doomed = |child: &ChildName| match (old.child(child), config.child(child)) {
            (Some(old), Some(new)) => needs_new_child(old, new),
            (_, None) => true,
            (None, Some(_)) => false,
        };
        self.v1_reconfigure(&config, doomed, now);
        let spis: Vec<IkeSpi> =
            self.states.get(&name).map(|state| state.sas.iter().copied().collect()).unwrap_or_default();
        for spi in spis {
            self.with_sa(spi, now, |sa, cx| {
                sa.peer = Arc::clone(&config);
                let changed: Vec<ChildId> =
                    sa.children.values().filter(|child| doomed(&child.name)).map(|child| child.id).collect();
                for child in changed {
                    sa.enqueue(Task::DeleteChild(child), now);
                }
                sa.start_next(cx);
            });
        }
    }

    /// Our address towards a peer whose configuration does not name one; `None` when there is none now. An address that
    /// comes back, or is another one, starts what waited for it.
    pub fn set_source(&mut self, peer: &PeerName, source: Option<IpAddr>, now: Instant) {
        let Some(state) = self.states.get_mut(peer) else { return };
        let before = std::mem::replace(&mut state.source, source);
        if before == source {
            return;
        }
        state.retry_at = None;
        if let (Some(before), Some(_)) = (before, source) {
            // SAs from the old address cannot be reached any more.
            self.v1_source_moved(peer, before, now);
            let Some(state) = self.states.get_mut(peer) else { return };
            let moved: Vec<IkeSpi> = state.sas.iter().copied().collect();
            for spi in moved {
                if self.sas.get(&spi).is_some_and(|sa| sa.path.local.ip() == before) {
                    self.with_sa(spi, now, |sa, cx| sa.close(DownReason::NoRoute, cx));
                }
            }
        }
        self.reconcile(peer, now);
        self.carry_out(now);
    }

    fn peer(&self, peer: &PeerName) -> Result<Arc<PeerConfig>, CommandError> {
        self.peers.get(peer).cloned().ok_or_else(|| CommandError::UnknownPeer(peer.clone()))
    }

    fn children_named(config: &PeerConfig, child: Option<&ChildName>) -> Result<Vec<ChildName>, CommandError> {
        match child {
            None => Ok(config.children.iter().map(|child| child.name.clone()).collect()),
            Some(name) if config.child(name).is_some() => Ok(vec![name.clone()]),
            Some(name) => Err(CommandError::UnknownChild(config.name.clone(), name.clone())),
        }
    }

    /// Brings a connection, or one child of it, up: an operator's `up`, or the first packet for it.
    pub fn up(&mut self, peer: &PeerName, child: Option<&ChildName>, now: Instant) -> Result<(), CommandError> {
        let config = self.peer(peer)?;
        let children = Self::children_named(&config, child)?;
        let known = self.sas_of(peer).any(|sa| sa.is_established());
        if config.remote_addresses.is_empty() && !known {
            return Err(CommandError::NoAddress(peer.clone()));
        }
        let state = self.states.entry(peer.clone()).or_default();
        if self.disabled.remove(peer) || std::mem::replace(&mut state.exhausted, false) {
            state.attempts = 0;
        }
        state.retry_at = None;
        state.hold.clear();
        state.stopped.retain(|name| !children.contains(name));
        state.asked.extend(children);
        self.reconcile(peer, now);
        self.carry_out(now);
        Ok(())
    }

    /// The first packet for a child that is on demand. Unlike [`Self::up`] it neither overrules an operator nor hurries:
    /// after the last of a limited number of tries it starts them over, each after its pause.
    pub fn trigger(&mut self, peer: &PeerName, child: &ChildName, now: Instant) {
        let Some(state) = self.states.get_mut(peer) else { return };
        if self.disabled.contains(peer) || state.stopped.contains(child) || !state.asked.insert(child.clone()) {
            return;
        }
        if std::mem::replace(&mut state.exhausted, false) {
            state.attempts = 0;
        }
        self.reconcile(peer, now);
        self.carry_out(now);
    }

    /// Takes a connection down until `up`: the peer cannot bring it up either. Or one child, until `up` or until the peer
    /// asks for it.
    pub fn down(&mut self, peer: &PeerName, child: Option<&ChildName>, now: Instant) -> Result<(), CommandError> {
        let config = self.peer(peer)?;
        let children = Self::children_named(&config, child)?;
        let state = self.states.entry(peer.clone()).or_default();
        state.asked.retain(|name| !children.contains(name));
        if child.is_none() {
            self.disabled.insert(peer.clone());
            state.reason = DownReason::Administrative;
            self.delete_sas(peer, &DownReason::Administrative, now);
            return Ok(());
        }
        state.stopped.extend(children.iter().cloned());
        self.v1_remove_children(peer, &DownReason::Administrative, now, |child| children.contains(&child.sa.name));
        self.each_child(peer, now, |sa_child| children.contains(&sa_child.name), Task::DeleteChild);
        Ok(())
    }

    fn each_child(
        &mut self,
        peer: &PeerName,
        now: Instant,
        wanted: impl Fn(&crate::v2::child::ChildSa) -> bool,
        task: impl Fn(ChildId) -> Task,
    ) -> usize {
        let spis: Vec<IkeSpi> =
            self.states.get(peer).map(|state| state.sas.iter().copied().collect()).unwrap_or_default();
        let mut count = 0;
        for spi in spis {
            self.with_sa(spi, now, |sa, cx| {
                let live = |child: &&crate::v2::child::ChildSa| {
                    child.state == crate::v2::child::ChildState::Installed && wanted(child)
                };
                let found: Vec<ChildId> = sa.children.values().filter(live).map(|child| child.id).collect();
                count += found.len();
                for child in found {
                    sa.enqueue(task(child), now);
                }
                sa.start_next(cx);
            });
        }
        count
    }

    /// Rekeys a child now.
    pub fn rekey_child(
        &mut self,
        peer: &PeerName,
        child: Option<&ChildName>,
        now: Instant,
    ) -> Result<(), CommandError> {
        let config = self.peer(peer)?;
        let children = Self::children_named(&config, child)?;
        let count = self.each_child(peer, now, |child| children.contains(&child.name), Task::RekeyChild)
            + self.v1_rekey_children(peer, now, |child| children.contains(&child.sa.name));
        self.reconcile(peer, now);
        self.carry_out(now);
        if count == 0 { Err(CommandError::NotUp(peer.clone())) } else { Ok(()) }
    }

    /// Rekeys the IKE SA now.
    pub fn rekey_ike(&mut self, peer: &PeerName, now: Instant) -> Result<(), CommandError> {
        self.peer(peer)?;
        let v1 = self.v1_is_up(peer);
        if v1 {
            self.v1_rekey_ike(peer, now);
        }
        let live: Vec<IkeSpi> =
            self.sas_of_v2(peer).filter(|sa| sa.is_established() && !sa.is_closing()).map(|sa| sa.local_spi).collect();
        for spi in &live {
            self.with_sa(*spi, now, |sa, cx| {
                if sa.limbo.is_none() {
                    sa.enqueue(Task::RekeyIke, now);
                    sa.start_next(cx);
                }
            });
        }
        if live.is_empty() && !v1 { Err(CommandError::NotUp(peer.clone())) } else { Ok(()) }
    }

    /// Tells the peers that we go: a DELETE for every IKE SA.
    pub fn shutdown(&mut self, now: Instant) {
        let peers: Vec<PeerName> = self.peers.keys().cloned().collect();
        for peer in peers {
            self.disabled.insert(peer.clone());
            self.delete_sas(&peer, &DownReason::Administrative, now);
        }
    }

    /// An authentic ESP packet came in: proof of life, and of the address if it is newer than all before it.
    pub fn esp_heard(&mut self, peer: &PeerName, child: ChildId, newest_path: Option<Path>, now: Instant) {
        if self.v1_esp_heard(peer, child, newest_path, now).is_some() {
            return;
        }
        let Some(state) = self.states.get(peer) else { return };
        let owner =
            state.sas.iter().copied().find(|spi| self.sas.get(spi).is_some_and(|sa| sa.children.contains_key(&child)));
        let Some(owner) = owner else { return };
        self.with_sa(owner, now, |sa, cx| {
            sa.heard(now);
            sa.confirm(now, |heard| heard.id == child);
            if let Some(path) = newest_path
                && sa.nat.found()
            {
                sa.follow(path, false, cx);
            }
            sa.start_next(cx);
        });
    }

    /// A child reached its soft (`hard` false) or hard limit of bytes, packets or sequence numbers.
    pub fn child_limit(&mut self, peer: &PeerName, child: ChildId, hard: bool, now: Instant) {
        if hard {
            self.v1_remove_children(peer, &DownReason::Expired, now, |sa_child| sa_child.sa.id == child);
        } else {
            self.v1_rekey_children(peer, now, |sa_child| sa_child.sa.id == child);
        }
        let task = if hard { Task::DeleteChild } else { Task::RekeyChild };
        self.each_child(peer, now, |sa_child| sa_child.id == child, task);
    }

    /// Whether nothing will be tried until somebody asks: taken down, or all tries failed.
    pub fn is_disabled(&self, peer: &PeerName) -> bool {
        self.disabled.contains(peer) || self.states.get(peer).is_some_and(|state| state.exhausted)
    }

    /// Says that an operator's command reached the endpoint; for the log.
    pub fn note(&mut self, event: Event) {
        self.say(event);
    }
}

/// Whether a change concerns what was agreed in IKE_SA_INIT or IKE_AUTH.
fn needs_new_ike_sa(old: &PeerConfig, new: &PeerConfig) -> bool {
    old.local_address != new.local_address
        || old.remote_addresses != new.remote_addresses
        || old.local_id != new.local_id
        || old.remote_id != new.remote_id
        || !old.psk.ct_eq(new.psk.expose())
        || old.proposals != new.proposals
        || old.versions != new.versions
        || old.aggressive != new.aggressive
        || old.encapsulation != new.encapsulation
        || old.remote_port != new.remote_port
        || old.fragment_size.is_some() != new.fragment_size.is_some()
}

/// Whether a change concerns what was agreed for a child.
fn needs_new_child(old: &ChildConfig, new: &ChildConfig) -> bool {
    old.local != new.local
        || old.remote != new.remote
        || old.proposals != new.proposals
        || old.replay_window != new.replay_window
        || old.sha256_96 != new.sha256_96
}
