//! Which routes a desired state asks the host for.

use crate::support::*;
use engine::desired::{DesiredState, Policy, PolicyAction};
use engine::routes::{Prefix, Routes};
use std::net::IpAddr;

fn prefixes(texts: &[&str]) -> Vec<Prefix> {
    let prefix = |text: &&str| {
        let (address, length) = text.split_once('/').expect("a prefix");
        Prefix { address: address.parse::<IpAddr>().expect("an address"), length: length.parse().expect("a length") }
    };
    texts.iter().map(prefix).collect()
}

fn routes_of(change: impl Fn(&mut DesiredState)) -> Routes {
    let mut desired = desired(A, false);
    change(&mut desired);
    Routes::of(&desired)
}

#[test]
fn nothing_asked_for_is_nothing_routed() {
    assert_eq!(Routes::of(&DesiredState::default()), Routes::default());
}

#[test]
fn the_prefixes_of_all_connections_are_protected_once_each_and_in_order() {
    let routes = routes_of(|desired| {
        let mut second = connection(desired).clone();
        second.peer.name = "c".into();
        second.routes = vec![(ip("10.0.0.0"), 8), (ip("10.2.0.0"), 24), (ip("::"), 0)];
        desired.connections.insert("c".into(), second);
    });
    assert_eq!(routes.protected, prefixes(&["10.0.0.0/8", "10.2.0.0/24", "::/0", "fd00:2::/64"]));
    assert!(routes.bypassed.is_empty());
}

#[test]
fn what_is_discarded_is_not_routed_around_the_tunnel() {
    let routes = routes_of(|desired| {
        desired.policies = vec![Policy {
            name: "block".to_owned(),
            action: PolicyAction::Discard,
            local: selectors(&["0.0.0.0/0"]),
            remote: selectors(&["10.2.0.128/25"]),
        }];
    });
    assert_eq!(routes.protected, prefixes(&["10.2.0.0/24", "fd00:2::/64"]));
    assert!(routes.bypassed.is_empty());
}
