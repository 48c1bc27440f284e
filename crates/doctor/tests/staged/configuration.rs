//! What is configured so that it cannot come up, and what is weak.

use crate::bench::*;
use crate::support::*;
use doctor::catalogue::*;
use engine::desired::{GroupMode, Tunnel, TunnelGroup};
use ike::config::StartPolicy;
use ike::proposal::{EspProposal, IkeProposal};

#[test]
fn two_ends_that_only_answer_are_cfg_06() {
    let pair = after(300, |_, desired| child_of(desired).start = StartPolicy::Passive);
    for node in [A, B] {
        expect_at(&pair, node, CFG_06);
    }
}

#[test]
fn one_tunnel_of_a_connection_that_should_have_two_is_cfg_05() {
    let mut pair = Pair::connected(|node, desired| {
        if node == A {
            let tunnels = vec![Tunnel { peer: other(A), preference: 100, inside: None }];
            let group = TunnelGroup { mode: GroupMode::ActiveStandby, tunnels, keepalive: None };
            desired.groups = [("vpn".into(), group)].into();
        }
    });
    pair.run(seconds(5));
    let report = expect_at(&pair, A, CFG_05);
    assert!(words(&report).contains("vpn"), "{}", words(&report));
}

#[test]
fn an_operator_who_took_it_down_is_cfg_08() {
    let mut pair = Pair::connected(|_, _| {});
    pair.take_down(A);
    pair.run(seconds(60));
    let report = expect_at(&pair, A, CFG_08);
    assert_eq!(report.findings[0].fix, "underpass up b");
}

#[test]
fn weak_algorithms_in_use_are_cfg_12_and_no_fault() {
    let mut pair = Pair::connected(|_, desired| {
        connection(desired).peer.proposals = IkeProposal::parse_list("aes128-sha1-modp1024").unwrap();
        child_of(desired).proposals = EspProposal::parse_list("aes128-sha1", false).unwrap();
    });
    pair.run(seconds(5));
    let report = expect_at(&pair, A, CFG_12);
    assert!(words(&report).contains("sha1") && words(&report).contains("modp1024"), "{}", words(&report));
}

#[test]
fn packets_from_an_address_that_nobody_names_are_cfg_04() {
    let pair = after(60, |node, desired| {
        if node == B {
            connection(desired).peer.remote_addresses = vec![ip("198.51.100.77")];
        }
    });
    let report = expect_at(&pair, B, CFG_04);
    assert!(words(&report).contains("192.0.2.1") && words(&report).contains("198.51.100.77"), "{}", words(&report));
}
