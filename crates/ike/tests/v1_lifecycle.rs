//! IKEv1: what ends, how the other end learns of it, and what is left: dead peers, deletes, restarts, IPsec SAs without an
//! ISAKMP SA.

#![allow(clippy::unwrap_used)] // in the helpers too: what they unwrap is what the test is about

use crate::support::v1::{connected, drop, setup};
use crate::support::*;
use ike::config::{Dpd, Lifetime, PeerConfig};
use ike::event::{DownReason, Event};
use ike::v1::wire::ExchangeType;
use sim::NodeId;
use std::net::SocketAddr;

fn watching(peer: &mut PeerConfig) {
    peer.dpd = Dpd { interval: Some(seconds(5)), timeout: seconds(15) };
}

fn watched(seed: u64) -> Pair {
    let mut pair = setup(seed).both(watching).build();
    pair.start();
    pair.run(seconds(4));
    pair.assert_converged();
    pair
}

fn is_bare(pair: &Pair, node: NodeId) -> bool {
    let end = pair.end(node);
    end.plane.children.is_empty() && end.endpoint.sas().next().is_none() && end.endpoint.spis_in_use() == (0, 0)
}

#[test]
fn a_live_peer_answers_and_nothing_goes_down_for_an_hour() {
    let mut pair = watched(1);
    let before = pair.end(A).totals.messages;
    pair.run(minutes(60));
    pair.assert_converged();
    assert!(pair.end(A).totals.messages > before + 200);
    assert_eq!(pair.end(A).totals.downs, 0);
}

#[test]
fn a_dead_peer_is_found_within_interval_and_timeout_and_all_it_shared_goes() {
    let mut pair = watched(2);
    pair.lab.network.isolate(SocketAddr::new(address(B), IKE_PORT));
    pair.disturbed = true;
    pair.run(seconds(22));
    let said = |event: &Event| {
        matches!(event, Event::IkeSaDown { reason: DownReason::NoAnswer { exchange: "R-U-THERE", .. }, .. })
    };
    assert!(pair.end(A).has_said(said), "{}", pair.dump());
    assert!(pair.end(A).plane.children.is_empty());
    pair.lab.network.heal_all();
    pair.run(minutes(3));
    pair.assert_converged();
}

#[test]
fn packets_are_signs_of_life_that_spare_the_question() {
    let mut pair = watched(3);
    let now = pair.now();
    for node in [A, B] {
        pair.lab.node_mut(node).send_every(Some(seconds(1)), now);
    }
    let before = pair.end(A).totals.messages;
    pair.run(minutes(5));
    assert_eq!(pair.end(A).totals.messages, before, "{}", pair.dump());
}

#[test]
fn a_peer_that_restarted_says_so_and_what_it_forgot_is_dropped() {
    for node in [A, B] {
        let mut pair = watched(4);
        pair.restart(node);
        pair.run(minutes(3));
        pair.assert_converged();
    }
}

#[test]
fn taking_down_tells_the_peer_and_leaves_nothing_at_either_end() {
    for node in [A, B] {
        let mut pair = connected(5);
        let peer = pair.peer_of(node);
        // The other end must not bring it up again.
        let other = NodeId(1 - node.0);
        let other_peer = pair.peer_of(other);
        pair.disturbed = true;
        pair.command(node, |endpoint, now| endpoint.down(&peer, None, now)).unwrap();
        pair.run(seconds(1) / 2);
        assert!(
            pair.end(other)
                .has_said(|event| matches!(event, Event::ChildSaDown { reason: DownReason::PeerDeleted, .. }))
        );
        pair.command(other, |endpoint, now| endpoint.down(&other_peer, None, now)).unwrap();
        pair.run(seconds(10));
        assert!(is_bare(&pair, A) && is_bare(&pair, B), "{}", pair.dump());
    }
}

#[test]
fn one_child_taken_down_goes_at_both_ends_and_the_isakmp_sa_stays() {
    let mut pair = connected(6);
    let (peer, name) = (pair.peer_of(A), child());
    pair.command(A, |endpoint, now| endpoint.down(&peer, Some(&name), now)).unwrap();
    pair.run(seconds(3));
    assert!(pair.end(A).plane.children.is_empty() && pair.end(B).plane.children.is_empty(), "{}", pair.dump());
    assert!(pair.sa(A).is_established() && pair.sa(B).is_established());
    pair.command(A, |endpoint, now| endpoint.up(&peer, Some(&name), now)).unwrap();
    pair.run(seconds(5));
    pair.assert_converged();
}

#[test]
fn a_child_that_the_peer_deletes_comes_back_after_its_pause() {
    let mut pair = connected(7);
    let (peer, name) = (pair.peer_of(B), child());
    pair.command(B, |endpoint, now| endpoint.down(&peer, Some(&name), now)).unwrap();
    pair.run(seconds(1) / 2);
    assert!(pair.end(A).plane.children.is_empty());
    pair.run(seconds(10));
    pair.assert_converged();
}

#[test]
fn ipsec_sas_outlive_their_isakmp_sa_and_get_another_one_that_watches() {
    // Phase 1 ends at its lifetime, and nobody can replace it before: main mode does not pass.
    let mut pair = setup(8)
        .both(watching)
        .both(|peer| peer.lifetime = Lifetime { margin: seconds(1), ..Lifetime::of(seconds(60)) })
        .build();
    pair.start();
    pair.run(seconds(5));
    let spis = pair.sa(A).children().next().unwrap().spis;
    let now = pair.now();
    for node in [A, B] {
        drop(&mut pair, node, ExchangeType::MainMode, 14);
        pair.lab.node_mut(node).send_every(Some(seconds(1)), now);
    }
    pair.run(seconds(60));
    let established = |pair: &Pair| pair.end(A).endpoint.sas().any(|sa| sa.is_established());
    assert!(!established(&pair), "{}", pair.dump());
    let peer = pair.peer_of(A);
    let orphans = pair.end(A).endpoint.children_of(&peer).map(|child| child.spis).collect::<Vec<_>>();
    assert_eq!(orphans, [spis], "the child stays");
    let heard = pair.end(B).totals.heard;
    pair.run(seconds(10));
    assert!(pair.end(B).totals.heard >= heard + 9, "and carries traffic");
    for _ in 0..200 {
        if established(&pair) {
            break;
        }
        pair.run(seconds(1));
    }
    assert!(established(&pair), "{}", pair.dump());
}

#[test]
fn ipsec_sas_whose_peer_is_gone_do_not_stay_for_their_whole_lifetime() {
    let mut pair = setup(9)
        .both(watching)
        .both(|peer| peer.lifetime = Lifetime { margin: seconds(1), ..Lifetime::of(seconds(60)) })
        .build();
    pair.start();
    pair.run(seconds(57));
    // Phase 1 ends while the peer is gone: nobody is left to ask R-U-THERE.
    pair.lab.network.isolate(SocketAddr::new(address(B), IKE_PORT));
    pair.disturbed = true;
    pair.run(minutes(3));
    assert!(pair.end(A).plane.children.is_empty(), "{}", pair.dump());
}

#[test]
fn a_lost_delete_leaves_an_sa_that_ends_with_its_lifetime() {
    let mut pair = setup(10)
        .both(|peer| peer.children[0].lifetime = Lifetime { margin: seconds(5), ..Lifetime::of(seconds(60)) })
        .build();
    pair.start();
    pair.run(seconds(5));
    let (peer, name) = (pair.peer_of(A), child());
    pair.disturbed = true;
    // And so are its repetitions.
    drop(&mut pair, A, ExchangeType::Informational, 4);
    pair.command(A, |endpoint, now| endpoint.down(&peer, Some(&name), now)).unwrap();
    let other = pair.peer_of(B);
    pair.command(B, |endpoint, now| endpoint.trigger(&other, &name, now));
    pair.run(seconds(9));
    assert_eq!(pair.end(B).plane.children.len(), 1);
    pair.run(minutes(3));
    assert!(pair.end(B).plane.children.len() <= 1);
    assert!(pair.end(B).endpoint.spis_in_use().1 <= 2, "{}", pair.dump());
}

#[test]
fn a_reload_touches_only_what_changed() {
    let mut pair = connected(11);
    let spis = pair.sa(A).children().next().unwrap().spis;
    pair.setup = pair.setup.clone().at(A, |peer| peer.dpd = Dpd { interval: Some(seconds(7)), timeout: seconds(9) });
    pair.configure(A);
    pair.run(seconds(2));
    assert_eq!(pair.sa(A).children().next().unwrap().spis, spis);
    pair.disturbed = true;
    pair.setup = pair.setup.clone().both(|peer| peer.psk = b"another key".to_vec().into());
    pair.start();
    pair.run(minutes(2));
    pair.assert_converged();
    assert_ne!(pair.sa(A).children().next().unwrap().spis, spis);
}
