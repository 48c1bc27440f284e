//! What operators, the data plane and a new configuration ask of IKEv1.

use super::Endpoint;
use crate::child::ChildState;
use crate::config::{ChildName, Path, PeerConfig, PeerName};
use crate::event::{ChildId, DownReason};
use crate::v1::IsakmpSa;
use crate::v1::phase2::{IpsecSa, Task};
use crate::wire::IkeSpi;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

impl Endpoint {
    fn v1_cookies(&self, peer: &PeerName) -> Vec<IkeSpi> {
        self.v1.of(peer).map(|sa| sa.local_cookie).collect()
    }

    /// The live children that `wanted` picks.
    fn v1_children(&self, peer: &PeerName, wanted: impl Fn(&IpsecSa) -> bool) -> Vec<ChildId> {
        self.v1.children(peer).filter(|child| wanted(child)).map(|child| child.sa.id).collect()
    }

    /// Removes children of a peer, and tells it.
    pub(in super::super) fn v1_remove_children(
        &mut self,
        peer: &PeerName,
        reason: &DownReason,
        now: Instant,
        wanted: impl Fn(&IpsecSa) -> bool,
    ) -> usize {
        let found = self.v1_children(peer, wanted);
        let count = found.len();
        self.with_phase2(peer, now, |phase2, cx| {
            for child in found {
                phase2.remove(child, reason.clone(), true, peer, cx);
            }
        });
        count
    }

    /// Ends everything with a peer, and tells it.
    pub(in super::super) fn v1_delete_all(&mut self, peer: &PeerName, reason: &DownReason, now: Instant) {
        if let Some(phase2) = self.v1.phase2.get_mut(peer) {
            phase2.queue.clear();
        }
        self.v1_remove_children(peer, reason, now, |_| true);
        for cookie in self.v1_cookies(peer) {
            self.with_v1(cookie, now, |sa, phase2, cx| {
                if sa.is_usable() {
                    sa.send_delete_isakmp(cx);
                }
                sa.close(reason.clone(), phase2, cx);
            });
        }
        if !self.peers.contains_key(peer) {
            self.v1.phase2.remove(peer);
            self.timers.set(super::super::timers::Waiter::Phase2(peer.clone()), None);
        }
    }

    /// A child reached a limit, or an operator wants it replaced. Says how many there were.
    pub(in super::super) fn v1_rekey_children(
        &mut self,
        peer: &PeerName,
        now: Instant,
        wanted: impl Fn(&IpsecSa) -> bool,
    ) -> usize {
        let live = |child: &IpsecSa| child.sa.state == ChildState::Installed && wanted(child);
        let found = self.v1_children(peer, live);
        let count = found.len();
        self.with_phase2(peer, now, |phase2, _| {
            for child in found {
                phase2.enqueue(Task::Rekey(child), now);
            }
        });
        count
    }

    /// An operator wants phase 1 anew.
    pub(in super::super) fn v1_rekey_ike(&mut self, peer: &PeerName, now: Instant) {
        if let Some(cookie) = self.v1_live(peer) {
            self.v1_rekey(cookie, now);
        }
    }

    /// An authentic ESP packet came in. `None`: the child is none of IKEv1's.
    pub(in super::super) fn v1_esp_heard(
        &mut self,
        peer: &PeerName,
        child: ChildId,
        newest_path: Option<Path>,
        now: Instant,
    ) -> Option<()> {
        let id = self.v1.phase2.get(peer)?.children.get(&child)?.remote_id.clone();
        self.with_phase2(peer, now, |phase2, cx| phase2.heard(child, peer, cx));
        for cookie in self.v1_cookies(peer) {
            self.with_v1(cookie, now, |sa, phase2, cx| {
                if !sa.is_usable() || !sa.proved_id().is_some_and(|other| other.same_as(&id)) {
                    return;
                }
                sa.heard(now);
                sa.stop_answering(child, now);
                if let Some(path) = newest_path.filter(|_| sa.nat.found()) {
                    sa.follow(path, phase2, cx);
                }
            });
        }
        Some(())
    }

    /// Our address is another one: what was made from the old one cannot be reached any more.
    pub(in super::super) fn v1_source_moved(&mut self, peer: &PeerName, before: IpAddr, now: Instant) {
        let moved: Vec<IkeSpi> =
            self.v1.of(peer).filter(|sa| sa.path.local.ip() == before).map(|sa| sa.local_cookie).collect();
        if moved.is_empty() {
            return;
        }
        self.v1_remove_children(peer, &DownReason::NoRoute, now, |_| true);
        for cookie in moved {
            self.with_v1(cookie, now, |sa, phase2, cx| sa.close(DownReason::NoRoute, phase2, cx));
        }
    }

    /// A new configuration that leaves the ISAKMP SA as it is.
    pub(in super::super) fn v1_reconfigure(
        &mut self,
        config: &Arc<PeerConfig>,
        doomed: impl Fn(&ChildName) -> bool,
        now: Instant,
    ) {
        let peer = &config.name;
        for cookie in self.v1_cookies(peer) {
            self.with_v1(cookie, now, |sa, _, _| sa.peer = Arc::clone(config));
        }
        self.v1_remove_children(peer, &DownReason::Reconfigured, now, |child| doomed(&child.sa.name));
    }

    /// Whether IKEv1 has an established SA with a peer.
    pub(in super::super) fn v1_is_up(&self, peer: &PeerName) -> bool {
        self.v1.of(peer).any(IsakmpSa::is_established)
    }
}
