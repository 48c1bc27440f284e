//! The slots of a forwarding table and the policies that lead to them.
//!
//! A connection of its own has a slot for each child. The tunnels of a group share one for each child they have in common, so
//! that which of them carries is the slot's choice. The inside address of a tunnel's far end is that tunnel's alone.

use crate::children::{Child, Children};
use crate::desired::{DesiredState, PolicyAction};
use crate::failover::Failover;
use crate::table::{Member, Slot};
use ike::config::{ChildConfig, ChildName, PeerName, StartPolicy};
use ipsec::{Action, Policy, TrafficSelector};
use std::collections::BTreeSet;
use std::sync::Arc;

/// MTU of the path that a child's packets take.
type PathMtuOf<'a> = &'a dyn Fn(&Child) -> u16;

impl Children {
    pub(crate) fn slots(
        &self,
        desired: &DesiredState,
        failover: &Failover,
        path_mtu: PathMtuOf<'_>,
    ) -> (Vec<Slot>, Vec<Policy<usize>>) {
        let mut policies: Vec<Policy<usize>> = desired.policies.iter().map(exception).collect();
        let mut slots = Vec::new();
        self.inside(desired, path_mtu, &mut slots, &mut policies);
        let mut shared: BTreeSet<(&PeerName, &ChildName)> = BTreeSet::new();
        for connection in desired.connections.values() {
            let group = failover.group_of(&connection.peer.name);
            for config in &connection.peer.children {
                let name = &config.name;
                let (members, choice) = match group {
                    // The first of its tunnels speaks for all.
                    Some((group, _)) if group.tunnels.first().is_none_or(|first| shared.contains(&(&first.peer, name))) => {
                        continue;
                    }
                    Some((group, choice)) => {
                        shared.extend(group.tunnels.first().map(|first| (&first.peer, name)));
                        // A bit of the choice stands for a place among the tunnels: all of them have one here.
                        let start = |peer| desired.connections.get(peer)?.peer.child(name).map(|child| child.start);
                        let peers = group.tunnels.iter().map(|tunnel| &tunnel.peer);
                        let members = peers.map(|peer| self.member(peer, name, start(peer), path_mtu));
                        (members.collect(), Arc::clone(choice))
                    }
                    None => (vec![self.member(&connection.peer.name, name, Some(config.start), path_mtu)], Arc::default()),
                };
                policies.push(protect(format!("{}/{name}", connection.peer.name), slots.len(), config));
                slots.push(Slot { members, choice });
            }
        }
        (slots, policies)
    }

    /// What goes to the far inside address of a tunnel goes through that tunnel, whichever carries the rest.
    fn inside(
        &self,
        desired: &DesiredState,
        path_mtu: PathMtuOf<'_>,
        slots: &mut Vec<Slot>,
        policies: &mut Vec<Policy<usize>>,
    ) {
        for tunnel in desired.groups.values().flat_map(|group| &group.tunnels) {
            let (Some(inside), Some(connection)) = (tunnel.inside, desired.connections.get(&tunnel.peer)) else {
                continue;
            };
            let far = TrafficSelector::from_prefix(inside.remote, if inside.remote.is_ipv4() { 32 } else { 128 });
            let holds = |config: &&ChildConfig| config.remote.iter().any(|remote| far.is_subset_of(remote));
            let Some(config) = connection.peer.children.iter().find(holds) else { continue };
            policies.push(Policy {
                remote: vec![far],
                ..protect(format!("{}/inside", connection.peer.name), slots.len(), config)
            });
            let member = self.member(&tunnel.peer, &config.name, Some(config.start), path_mtu);
            slots.push(Slot::alone(member));
        }
    }

    fn member(&self, peer: &PeerName, child: &ChildName, start: Option<StartPolicy>, path_mtu: PathMtuOf<'_>) -> Member {
        let active = self.of(peer, child).into_iter().filter(|(_, child)| child.is_sent_on());
        let outbound = active.map(|(id, child)| Arc::new(child.outbound_entry(id, path_mtu(child)))).collect();
        Member::new(peer, child, start == Some(StartPolicy::OnDemand), outbound)
    }
}

fn exception(policy: &crate::desired::Policy) -> Policy<usize> {
    Policy {
        name: policy.name.clone(),
        action: match policy.action {
            PolicyAction::Bypass => Action::Bypass,
            PolicyAction::Discard => Action::Discard,
        },
        local: policy.local.clone(),
        remote: policy.remote.clone(),
    }
}

fn protect(name: String, slot: usize, config: &ChildConfig) -> Policy<usize> {
    Policy { name, action: Action::Protect(slot), local: config.local.clone(), remote: config.remote.clone() }
}
