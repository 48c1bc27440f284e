//! Which routes the host must keep for a desired state. Pure: the host compares with what the kernel has.
//!
//! Every protected prefix gets two: into our interface, and, of worse metric, `unreachable`. The interface goes with the
//! process; the second stays, so that nothing leaves in clear after a crash.
//!
//! A route goes by destination alone, a policy by more. So a bypass becomes a route only where it speaks of whole addresses, for
//! everybody who may send there; any other would let protected traffic out in clear. Such a policy drops what it matches,
//! and its name is in [`Routes::not_routable`].

use crate::desired::{DesiredState, Policy, PolicyAction};
use ipsec::{TrafficSelector, selectors};
use std::collections::BTreeSet;
use std::net::IpAddr;

/// One prefix to route.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Prefix {
    /// Its first address.
    pub address: IpAddr,
    /// Its length in bits.
    pub length: u8,
}

impl Prefix {
    /// Whether it contains the whole of `other`.
    pub fn covers(&self, other: &Prefix) -> bool {
        let bits = |address: IpAddr| match address {
            IpAddr::V4(v4) => u128::from(v4.to_bits()) << 96,
            IpAddr::V6(v6) => v6.to_bits(),
        };
        let mask = u128::MAX.checked_shl(128 - u32::from(self.length)).unwrap_or(0);
        self.address.is_ipv4() == other.address.is_ipv4()
            && self.length <= other.length
            && (bits(self.address) ^ bits(other.address)) & mask == 0
    }

    /// What both contain: the longer of two that overlap.
    fn common(&self, other: &Prefix) -> Option<Prefix> {
        if self.covers(other) {
            return Some(*other);
        }
        other.covers(self).then_some(*self)
    }

    fn selector(&self) -> TrafficSelector {
        TrafficSelector::from_prefix(self.address, self.length)
    }
}

/// What the host must route, without duplicates, in order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Routes {
    /// Into the gateway's interface, and unreachable behind it.
    pub protected: Vec<Prefix>,
    /// Parts of protected prefixes left to the kernel's other routes: traffic to pass in clear.
    pub bypassed: Vec<Prefix>,
    /// Addresses of the interface, each with the length of the prefix that leads through it.
    pub inside: Vec<Prefix>,
    /// Bypass policies that routes cannot express in full: what they match is dropped where it meets a protected prefix.
    pub not_routable: Vec<String>,
}

impl Routes {
    /// The routes of a desired state.
    pub fn of(desired: &DesiredState) -> Routes {
        let protected: BTreeSet<Prefix> = desired
            .connections
            .values()
            .flat_map(|connection| connection.routes.iter())
            .map(|&(address, length)| Prefix { address, length })
            .collect();
        let (mut bypassed, mut not_routable) = (BTreeSet::new(), Vec::new());
        for (index, policy) in desired.policies.iter().enumerate() {
            if policy.action != PolicyAction::Bypass {
                continue;
            }
            let mut expressed = true;
            for remote in &policy.remote {
                for prefix in parts(remote, &protected) {
                    if concerns_everybody(desired, index, remote, &prefix) {
                        bypassed.insert(prefix);
                    } else {
                        expressed = false;
                    }
                }
            }
            if !expressed {
                not_routable.push(policy.name.clone());
            }
        }
        let tunnels = desired.groups.values().flat_map(|group| &group.tunnels);
        let inside = tunnels.filter_map(|tunnel| tunnel.inside);
        let inside = inside.map(|inside| Prefix { address: inside.local, length: inside.prefix_length });
        Routes {
            protected: protected.into_iter().collect(),
            bypassed: bypassed.into_iter().collect(),
            inside: inside.collect(),
            not_routable,
        }
    }
}

/// Where a bypass meets protected prefixes.
fn parts(remote: &TrafficSelector, protected: &BTreeSet<Prefix>) -> Vec<Prefix> {
    let prefixes = remote.prefixes();
    let bypassed = prefixes.iter().map(|&(address, length)| Prefix { address, length });
    bypassed.flat_map(|bypassed| protected.iter().filter_map(move |prefix| bypassed.common(prefix))).collect()
}

/// Whether the bypass decides for all traffic to `prefix`: by address alone, whoever of a child's local side sends, and
/// before any policy that discards some of it.
fn concerns_everybody(desired: &DesiredState, index: usize, remote: &TrafficSelector, prefix: &Prefix) -> bool {
    let Some(policy) = desired.policies.get(index) else { return false };
    let wanted = prefix.selector();
    let meets = |selectors: &[TrafficSelector]| selectors.iter().any(|one| one.intersection(&wanted).is_some());
    let discarded_before = |earlier: &Policy| earlier.action == PolicyAction::Discard && meets(&earlier.remote);
    if !wanted.is_subset_of(remote) || desired.policies.iter().take(index).any(discarded_before) {
        return false;
    }
    let children = desired.connections.values().flat_map(|connection| &connection.peer.children);
    children
        .filter(|child| meets(&child.remote))
        .all(|child| selectors::is_subset(&addresses_of(&child.local), &policy.local))
}

/// The addresses of selectors, whatever their protocols and ports: a route does not look at these.
fn addresses_of(selectors: &[TrafficSelector]) -> Vec<TrafficSelector> {
    selectors.iter().map(|selector| TrafficSelector::range(selector.start, selector.end)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{connection, selector};

    fn prefix(text: &str) -> Prefix {
        let (address, length) = text.split_once('/').unwrap();
        Prefix { address: address.parse().unwrap(), length: length.parse().unwrap() }
    }

    fn policy(action: PolicyAction, local: &str, remote: TrafficSelector) -> Policy {
        Policy { name: format!("{action:?} {remote}"), action, local: vec![selector(local)], remote: vec![remote] }
    }

    fn routes(policies: Vec<Policy>) -> Routes {
        let mut desired = DesiredState::default();
        let connection = connection("site-b", "10.91.0.0/16", "10.93.0.0/16");
        desired.connections.insert(connection.peer.name.clone(), connection);
        desired.policies = policies;
        Routes::of(&desired)
    }

    #[test]
    fn a_bypass_of_whole_addresses_for_everybody_becomes_a_route_where_it_meets_a_protected_prefix() {
        use PolicyAction::Bypass;
        for (remote, expected) in [
            ("10.93.1.9/32", Some("10.93.1.9/32")),
            ("10.93.0.0/16", Some("10.93.0.0/16")),
            ("10.0.0.0/8", Some("10.93.0.0/16")),
            ("10.94.0.0/16", None),
            ("2001:db8::/32", None),
        ] {
            let routes = routes(vec![policy(Bypass, "10.91.0.0/16", selector(remote))]);
            assert_eq!(routes.protected, [prefix("10.93.0.0/16")]);
            assert_eq!(routes.bypassed, expected.map(prefix).into_iter().collect::<Vec<_>>(), "{remote}");
            assert!(routes.not_routable.is_empty(), "{remote}");
        }
    }

    #[test]
    fn a_bypass_that_a_route_cannot_express_lets_nothing_out_and_is_named() {
        use PolicyAction::{Bypass, Discard};
        let printer = selector("10.93.1.9/32");
        for policies in [
            vec![policy(Bypass, "10.91.0.0/16", printer.clone().with_protocol(6).with_ports(22, 22))],
            vec![policy(Bypass, "10.91.1.0/24", printer.clone())],
            vec![
                policy(Discard, "10.91.7.7/32", selector("10.93.1.0/24")),
                policy(Bypass, "10.91.0.0/16", printer.clone()),
            ],
        ] {
            let routes = routes(policies);
            assert!(routes.bypassed.is_empty(), "{routes:?}");
            assert_eq!(routes.not_routable.len(), 1, "{routes:?}");
        }
    }
}
