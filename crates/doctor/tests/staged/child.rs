//! The child SA cannot be agreed on, or does not stay.

use crate::bench::*;
use crate::support::*;
use doctor::catalogue::*;
use ike::config::{Lifetime, StartPolicy};
use ike::proposal::EspProposal;
use sim::Link;

fn proposal(text: &str) -> Vec<EspProposal> {
    EspProposal::parse_list(text, false).unwrap()
}

#[test]
fn algorithms_of_phase_2_that_differ_are_chd_01_at_both_ends() {
    let pair = after(20, |node, desired| {
        child_of(desired).proposals = proposal(if node == A { "aes128gcm16" } else { "aes256gcm16" });
    });
    let report = expect_at(&pair, B, CHD_01);
    let said = words(&report);
    assert!(said.contains("aes128gcm16") && said.contains("aes256gcm16") && said.contains("encryption"), "{said}");
    let report = expect_at(&pair, A, CHD_01);
    assert!(words(&report).contains("aes128gcm16"), "{}", words(&report));
}

#[test]
fn forward_secrecy_that_differs_is_chd_02_at_the_first_rekey() {
    let mut pair = Pair::new(1, Link::PERFECT, false, |node, desired| {
        child_of(desired).proposals = proposal(if node == A { "aes128gcm16-modp2048" } else { "aes128gcm16-ecp256" });
    })
    .up();
    assert_eq!(doctor::diagnose(&evidence(&pair, A), None).first(), None, "the first child comes up");
    pair.rekey_child(A);
    pair.run(seconds(5));
    let report = expect_at(&pair, A, CHD_02);
    assert!(words(&report).contains("modp2048"), "{}", words(&report));
    let report = expect(&pair, &with_far(&pair, A), CHD_02);
    assert_eq!(report.findings[0].confidence, doctor::Confidence::Certain);
}

#[test]
fn networks_that_do_not_meet_are_chd_03_with_both() {
    let pair = after(20, |node, desired| {
        let child = child_of(desired);
        if node == A {
            child.remote = selectors(&["10.77.0.0/24"]);
        }
        child.local.truncate(1);
        child.remote.truncate(1);
    });
    let report = expect_at(&pair, B, CHD_03);
    assert!(words(&report).contains("10.77.0.0/24") && words(&report).contains("10.2.0.0/24"), "{}", words(&report));
    let report = expect_at(&pair, A, CHD_03);
    assert!(words(&report).contains("10.77.0.0/24"), "{}", words(&report));
}

#[test]
fn sas_that_replace_each_other_every_few_seconds_are_chd_04() {
    let mut pair = Pair::new(1, Link::PERFECT, false, |node, desired| {
        if node == A {
            let time = Some(seconds(6));
            child_of(desired).lifetime =
                Lifetime { time, margin: seconds(2), fuzz_percent: 0, bytes: None, packets: None };
        }
    })
    .up();
    pair.run(seconds(60));
    for node in [A, B] {
        let report = expect_at(&pair, node, CHD_04);
        assert!(words(&report).contains("new SAs of net"), "{}", words(&report));
    }
}

#[test]
fn extended_sequence_numbers_at_one_end_alone_are_chd_05() {
    let pair = after(20, |node, desired| {
        child_of(desired).proposals = proposal(if node == A { "aes128gcm16-esn" } else { "aes128gcm16-noesn" });
    });
    let report = expect_at(&pair, B, CHD_05);
    assert!(words(&report).contains("esn"), "{}", words(&report));
    expect(&pair, &with_far(&pair, A), CHD_05);
}

#[test]
fn a_tunnel_that_nobody_asked_for_is_chd_06_and_no_fault() {
    let pair = after(60, |_, desired| child_of(desired).start = StartPolicy::OnDemand);
    let report = expect_at(&pair, A, CHD_06);
    assert_eq!(report.findings[0].weight, doctor::Weight::Advice);
}

#[test]
fn a_peer_that_grants_less_is_chd_07_with_both_lists() {
    let mut pair = Pair::new(1, Link::PERFECT, false, |node, desired| {
        let child = child_of(desired);
        if node == B {
            child.local = selectors(&["10.2.0.0/25"]);
        } else {
            child.remote.truncate(1);
        }
        child.local.truncate(1);
        child.remote.truncate(1);
    })
    .up();
    pair.run(seconds(5));
    let report = expect_at(&pair, A, CHD_07);
    assert!(words(&report).contains("10.2.0.0/24") && words(&report).contains("10.2.0.0/25"), "{}", words(&report));
}
