//! The IKE SA cannot be agreed on, or ends.

use crate::bench::*;
use crate::support::*;
use doctor::catalogue::*;
use ike::config::{Lifetime, Versions};
use ike::id::Id;
use ike::proposal::{EspProposal, IkeProposal};
use sim::{Datagram, Link, NodeId};
use std::net::SocketAddr;

fn proposal(text: &str) -> Vec<IkeProposal> {
    IkeProposal::parse_list(text).unwrap()
}

fn socket(node: NodeId, port: u16) -> SocketAddr {
    SocketAddr::new(outer(node, false), port)
}

/// IKEv1 wants one pair of networks per child.
fn legacy(desired: &mut engine::desired::DesiredState) {
    let peer = &mut connection(desired).peer;
    peer.versions = Versions::V1;
    peer.proposals = proposal("aes128-sha256-modp2048");
    let child = child_of(desired);
    child.proposals = EspProposal::parse_list("aes128-sha256", false).unwrap();
    child.local.truncate(1);
    child.remote.truncate(1);
}

#[test]
fn versions_that_differ_are_ike_01_at_both_ends() {
    for v1 in [A, B] {
        let pair = after(100, |node, desired| {
            if node == v1 {
                legacy(desired);
            }
        });
        let report = expect_at(&pair, B, IKE_01);
        assert!(words(&report).contains("ikev1") && words(&report).contains("IKEv"), "{}", words(&report));
        // A peer that has IKEv1 alone answers IKEv2 as if it were a matter of algorithms.
        expect(&pair, &with_far(&pair, A), IKE_01);
        if v1 == A {
            expect_at(&pair, A, IKE_01);
        }
    }
}

#[test]
fn groups_that_differ_are_ike_02_with_the_field_that_differs() {
    for versions in [Versions::V2, Versions::V1] {
        let pair = after(100, |node, desired| {
            if versions == Versions::V1 {
                legacy(desired);
            }
            let group = if node == A { "modp2048" } else { "ecp256" };
            connection(desired).peer.proposals = proposal(&format!("aes256-sha256-{group}"));
        });
        let report = expect_at(&pair, B, IKE_02);
        let said = words(&report);
        assert!(said.contains("dh_group") && said.contains("modp2048") && said.contains("ecp256"), "{said}");
        let report = expect_at(&pair, A, IKE_02);
        assert!(words(&report).contains("aes256-sha256-modp2048"), "{}", words(&report));
        // With both ends' evidence, the end that is refused knows what differs, too.
        let report = expect(&pair, &with_far(&pair, A), IKE_02);
        assert!(words(&report).contains("differs"), "{}", words(&report));
    }
}

#[test]
fn ciphers_that_differ_are_ike_02() {
    let pair = after(100, |node, desired| {
        let cipher = if node == A { "aes128" } else { "aes256" };
        connection(desired).peer.proposals = proposal(&format!("{cipher}-sha256-modp2048"));
    });
    let report = expect_at(&pair, B, IKE_02);
    assert!(words(&report).contains("encryption"), "{}", words(&report));
}

#[test]
fn keys_that_differ_are_ike_04_at_both_ends_in_both_versions() {
    for versions in [Versions::V2, Versions::V1] {
        let pair = after(60, |node, desired| {
            if versions == Versions::V1 {
                legacy(desired);
            }
            if node == A {
                connection(desired).peer.psk = b"another one".to_vec().into();
            }
        });
        expect_at(&pair, B, IKE_04);
        if versions == Versions::V2 {
            expect_at(&pair, A, IKE_04);
            let report = expect(&pair, &with_far(&pair, A), IKE_04);
            assert!(words(&report).contains("far end"), "{}", words(&report));
        }
    }
}

#[test]
fn a_name_that_is_not_expected_is_ike_05_with_both_names() {
    let pair = after(60, |node, desired| {
        if node == A {
            connection(desired).peer.local_id = Id::Fqdn("private.example".to_owned());
        }
    });
    let report = expect_at(&pair, B, IKE_05);
    assert!(words(&report).contains("private.example") && words(&report).contains("a.example"), "{}", words(&report));
    expect(&pair, &with_far(&pair, A), IKE_05);
}

#[test]
fn a_peer_that_asks_for_somebody_else_is_ike_05() {
    let pair = after(60, |node, desired| {
        if node == A {
            connection(desired).peer.remote_id = Some(Id::Fqdn("other.example".to_owned()));
        }
    });
    let report = expect_at(&pair, B, IKE_05);
    assert!(words(&report).contains("other.example"), "{}", words(&report));
}

#[test]
fn aggressive_mode_against_main_mode_is_ike_07() {
    let pair = after(60, |node, desired| {
        legacy(desired);
        connection(desired).peer.aggressive = node == A;
    });
    let report = expect_at(&pair, B, IKE_07);
    assert!(words(&report).contains("main mode") && words(&report).contains("aggressive mode"), "{}", words(&report));
}

#[test]
fn a_peer_that_stops_after_the_first_answer_is_ike_08() {
    let mut pair = Pair::new(1, Link::PERFECT, false, |_, _| {});
    // IKE_AUTH is exchange type 35, behind the TOS of the simulation and both SPIs.
    let auth = |datagram: &Datagram<Vec<u8>>| datagram.payload.get(19) == Some(&35);
    pair.lab.network.drop_next(u64::MAX, auth);
    pair.apply(B);
    pair.apply(A);
    pair.run(seconds(50));
    expect_at(&pair, B, IKE_08);
}

#[test]
fn too_many_negotiations_at_once_are_ike_09() {
    let mut pair = Pair::new(1, Link::PERFECT, false, |_, desired| {
        desired.gateway.endpoint.half_open_before_cookie = 4;
    })
    .up();
    // Somebody begins again and again with one message, each time as another, and never goes on.
    let first = {
        let mut other = Pair::new(9, Link::PERFECT, false, |_, _| {});
        let held = other.lab.network.hold(|_| true);
        other.apply(A);
        other.run(millis(10));
        other.lab.network.held(held).next().unwrap().payload.clone()
    };
    for index in 0..12_u8 {
        let mut message = first.clone();
        message[1] ^= index + 1;
        let now = pair.now();
        pair.lab.network.send(now, socket(A, IKE_PORT), socket(B, IKE_PORT), message);
    }
    pair.run(seconds(1));
    expect_at(&pair, B, IKE_09);
}

/// Nothing passes between the gateways any more.
fn cut(pair: &mut Pair) {
    for port in [IKE_PORT, NAT_PORT, ESP_PORT] {
        pair.lab.network.cut_both(socket(A, port), socket(B, port));
    }
}

#[test]
fn a_peer_that_stops_answering_is_ike_10_also_when_nothing_is_heard_of_it_later() {
    let mut pair = Pair::connected(|_, _| {});
    pair.run(seconds(60));
    cut(&mut pair);
    for wait in [90, 600] {
        pair.run(seconds(wait));
        let report = expect_at(&pair, A, IKE_10);
        assert!(words(&report).contains("liveness check"), "{}", words(&report));
        expect_at(&pair, B, IKE_10);
    }
}

#[test]
fn a_peer_that_closes_on_purpose_is_ike_11() {
    let mut pair = Pair::connected(|_, desired| connection(desired).peer.retry.tries = Some(1));
    pair.run(seconds(60));
    pair.take_down(A);
    pair.run(seconds(5));
    expect_at(&pair, B, IKE_11);
}

#[test]
fn rekeys_that_collide_again_and_again_are_ike_12() {
    let mut pair = Pair::connected(|_, _| {});
    for _ in 0..4 {
        pair.rekey_child(A);
        pair.rekey_child(B);
        pair.run(seconds(60));
    }
    let found = [A, B].map(|node| doctor::diagnose(&evidence(&pair, node), None).first());
    assert!(found.contains(&Some(IKE_12)), "{found:?}\n{}", pair.dump());
}

#[test]
fn lifetimes_that_differ_are_ike_13() {
    let mut pair = Pair::new(1, Link::PERFECT, false, |node, desired| {
        legacy(desired);
        let time = if node == A { 3600 } else { 28_800 };
        connection(desired).peer.lifetime = Lifetime::of(seconds(time));
    })
    .up();
    pair.run(seconds(5));
    let found = [A, B].map(|node| doctor::diagnose(&evidence(&pair, node), None));
    let told = found.iter().find(|report| report.first() == Some(IKE_13)).unwrap_or_else(|| panic!("{found:?}"));
    assert!(words(told).contains("3600 s") && words(told).contains("28800 s"), "{}", words(told));
}

#[test]
fn an_sa_that_ends_before_its_rekey_succeeds_is_ike_13() {
    let mut pair = Pair::connected(|_, desired| {
        child_of(desired).lifetime =
            Lifetime { time: Some(seconds(60)), margin: seconds(10), fuzz_percent: 0, bytes: None, packets: None };
        connection(desired).peer.dpd.interval = None;
        connection(desired).peer.retransmit.give_up = seconds(100_000);
    });
    pair.lab.network.cut_both(socket(A, IKE_PORT), socket(B, IKE_PORT));
    pair.run(seconds(70));
    expect_at(&pair, A, IKE_13);
}

#[test]
fn a_replaced_end_that_nobody_calls_is_ike_14() {
    let mut pair = Pair::new(1, Link::PERFECT, false, |_, desired| legacy(desired)).up();
    pair.run(seconds(60));
    // The other end is gone, its successor waits to be called; and so does this end.
    cut(&mut pair);
    pair.run(seconds(300));
    expect_at(&pair, B, IKE_14);
    expect_at(&pair, A, IKE_10);
}

#[test]
fn a_peer_that_wants_a_group_that_is_not_offered_is_ike_03() {
    let mut pair = Pair::new(1, Link::PERFECT, false, |_, desired| {
        connection(desired).peer.proposals = proposal("aes256-sha256-modp2048-ecp256");
    });
    let held = pair.lab.network.hold(|datagram| datagram.to.port() == IKE_PORT && datagram.to.ip() == outer(B, false));
    pair.apply(A);
    pair.run(seconds(1));
    let request = pair.lab.network.held(held).next().unwrap().payload.clone();
    // INVALID_KE_PAYLOAD (RFC 7296 §1.3), in an answer to IKE_SA_INIT, with group 5.
    let mut answer = vec![0];
    answer.extend_from_slice(&request[1..9]);
    answer.extend([0; 8]);
    answer.extend([41, 0x20, 34, 0x20, 0, 0, 0, 0, 0, 0, 0, 38]);
    answer.extend([0, 0, 0, 10, 0, 0, 0, 17, 0, 5]);
    let now = pair.now();
    pair.lab.network.send(now, socket(B, IKE_PORT), socket(A, IKE_PORT), answer);
    pair.run(seconds(10));
    let report = expect_at(&pair, A, IKE_03);
    assert!(words(&report).contains("INVALID_KE_PAYLOAD") && words(&report).contains("modp2048"), "{}", words(&report));
}
