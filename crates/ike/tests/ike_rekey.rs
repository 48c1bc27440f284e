//! IKE SA rekeys that meet something else (RFC 7296 §2.8.2, §2.18, §2.25.2): each other, another group, a DELETE, a new
//! child, lost and late messages.

#![allow(clippy::unwrap_used)] // in the helpers too: what they unwrap is what the test is about

use crate::support::*;
use ike::Role;
use ike::event::{DownReason, Event};
use ike::proposal::IkeProposal;
use ike::wire::ExchangeType;
use sim::NodeId;
use std::time::Duration;

const MS: fn(u64) -> Duration = Duration::from_millis;

fn other(node: NodeId) -> NodeId {
    NodeId(1 - node.0)
}

fn flowing(setup: Setup) -> Pair {
    let mut pair = setup.connected();
    let now = pair.now();
    for node in [A, B] {
        pair.lab.node_mut(node).send_every(Some(MS(5)), now);
    }
    pair.run(MS(50));
    pair.strict = true;
    pair
}

/// The child is the same, over one new IKE SA, and its packets all arrived.
fn finish(pair: &mut Pair, before: &Before) {
    pair.run(seconds(10));
    for node in [A, B] {
        pair.lab.node_mut(node).traffic = None;
    }
    pair.settle_and_converge();
    for node in [A, B] {
        assert_eq!(pair.end(node).totals.packets, pair.end(other(node)).totals.heard, "{}", pair.dump());
        assert_eq!(pair.end(node).totals.downs, 0, "{}", pair.dump());
    }
    assert_ne!(pair.sa(A).local_spi(), before.ike, "{}", pair.dump());
    assert_eq!(pair.sa(A).children().next().unwrap().spis, before.child, "{}", pair.dump());
}

struct Before {
    ike: ike::wire::IkeSpi,
    child: ipsec::SpiPair,
}

fn before(pair: &Pair) -> Before {
    Before { ike: pair.sa(A).local_spi(), child: pair.sa(A).children().next().unwrap().spis }
}

/// The end whose rekey made the IKE SA that is left.
fn winner(pair: &Pair) -> NodeId {
    match pair.sa(A).role() {
        Role::Initiator => A,
        Role::Responder => B,
    }
}

fn either_way(scenario: impl Fn(u64) -> Pair) {
    let mut wins = [0, 0];
    for seed in 0..64 {
        let pair = scenario(seed);
        wins[winner(&pair).0] += 1;
        if wins.iter().all(|wins| *wins >= 2) {
            return;
        }
    }
    assert_eq!(wins, [2, 2], "the nonces decide");
}

fn ike(text: &str) -> Vec<IkeProposal> {
    vec![text.parse().unwrap()]
}

#[test]
fn the_original_initiator_of_the_new_sa_is_who_began_the_rekey_and_its_message_ids_start_at_zero() {
    for node in [A, B] {
        let mut pair = flowing(Setup::default());
        let old = before(&pair);
        pair.rekey_ike(node);
        finish(&mut pair, &old);
        assert_eq!(winner(&pair), node);
        // Rekeyed again by the other end: roles turn.
        let old = before(&pair);
        pair.rekey_ike(other(node));
        finish(&mut pair, &old);
        assert_eq!(winner(&pair), other(node));
        let announced = |event: &&Event| matches!(event, Event::IkeSaRekeyed { .. });
        assert_eq!(pair.end(A).said().filter(announced).count(), 2);
    }
}

#[test]
fn another_group_is_asked_for_and_used_whoever_rekeys() {
    for node in [A, B] {
        // The IKE SA is made by A with what both have; then `node` learns to prefer a group the other one lacks.
        let mut pair = flowing(Setup::default().both(|peer| peer.proposals = ike("aes256gcm16-prfsha256-modp2048")));
        let both = ike("aes256gcm16-prfsha256-x25519-modp2048");
        pair.setup = pair.setup.clone().at(node, |peer| peer.proposals = both.clone());
        pair.configure(node);
        pair.strict = false;
        pair.run(seconds(20));
        pair.disturbed = false;
        let sa = pair.sa(node).local_spi();
        pair.rekey_ike(node);
        pair.run(seconds(10));
        for node in [A, B] {
            pair.lab.node_mut(node).traffic = None;
        }
        pair.settle_and_converge();
        assert_ne!(pair.sa(node).local_spi(), sa);
        assert_eq!(pair.sa(node).suite().unwrap().group, crypto::Group::Modp2048);
    }
}

#[test]
fn of_two_ike_rekeys_at_once_the_one_with_the_lowest_nonce_goes() {
    either_way(|seed| {
        let mut pair = flowing(Setup::seeded(seed));
        let old = before(&pair);
        pair.both(|pair, node| pair.rekey_ike(node));
        finish(&mut pair, &old);
        // Each end deleted one: the loser what it had made, the winner the old one.
        assert_eq!([A, B].map(|node| pair.end(node).totals.exchanges), [4, 2], "{}", pair.dump());
        assert_eq!(pair.end(A).totals.rekeys_seen, 1);
        pair
    });
}

#[test]
fn an_ike_collision_is_settled_whichever_message_is_late_or_lost() {
    let create = ExchangeType::CreateChildSa;
    let delete = ExchangeType::Informational;
    for (exchange, response) in [(create, false), (create, true), (delete, false), (delete, true)] {
        for node in [A, B] {
            for time in [MS(5), MS(15), MS(35), MS(400), seconds(3), seconds(9)] {
                for seed in 0..10 {
                    let mut pair = flowing(Setup::seeded(seed));
                    let old = before(&pair);
                    let rule = pair.hold_all(node, exchange, response);
                    pair.both(|pair, node| pair.rekey_ike(node));
                    pair.run(time);
                    let now = pair.now();
                    pair.lab.network.release(now, rule);
                    finish(&mut pair, &old);
                }
            }
            for count in [1, 2, 4] {
                for seed in 0..10 {
                    let mut pair = flowing(Setup::seeded(seed));
                    let old = before(&pair);
                    pair.drop(node, exchange, response, count);
                    pair.both(|pair, node| pair.rekey_ike(node));
                    pair.run(seconds(20));
                    finish(&mut pair, &old);
                }
            }
        }
    }
}

#[test]
fn an_end_that_did_not_see_the_collision_refuses_the_late_ike_rekey() {
    for node in [A, B] {
        let mut pair = flowing(Setup::default());
        let old = before(&pair);
        let rule = pair.hold_all(node, ExchangeType::CreateChildSa, false);
        pair.both(|pair, node| pair.rekey_ike(node));
        pair.run(MS(500));
        let now = pair.now();
        pair.lab.network.release(now, rule);
        finish(&mut pair, &old);
        assert_eq!(winner(&pair), other(node));
        assert_eq!([A, B].map(|node| pair.end(node).totals.rekeys_seen), [1, 1], "{}", pair.dump());
    }
}

#[test]
fn the_loser_of_a_collision_does_not_count_as_down() {
    for seed in 0..20 {
        let mut pair = Setup::seeded(seed).connected();
        pair.both(|pair, node| pair.rekey_ike(node));
        pair.settle_and_converge();
        for node in [A, B] {
            let down = |event: &Event| matches!(event, Event::IkeSaDown { .. } | Event::ChildSaDown { .. });
            assert!(!pair.end(node).has_said(down), "{}", pair.dump());
        }
    }
}

#[test]
fn a_delete_of_the_ike_sa_wins_over_its_rekey_in_either_order() {
    for rekeyer in [A, B] {
        for skew in [0, 4, 9, 11, 15, 21, 26, 31] {
            for delete_first in [false, true] {
                let mut pair = Setup::seeded(skew).connected();
                let deleter = other(rekeyer);
                let peer = pair.peer_of(deleter);
                let delete = |pair: &mut Pair| {
                    let done = pair.command(deleter, |endpoint, now| endpoint.down(&peer, None, now));
                    assert_eq!(done, Ok(()));
                };
                if delete_first {
                    delete(&mut pair);
                    pair.run(MS(skew.min(9)));
                    pair.rekey_ike(rekeyer);
                } else {
                    pair.rekey_ike(rekeyer);
                    pair.run(MS(skew));
                    delete(&mut pair);
                }
                pair.run(minutes(5));
                for node in [A, B] {
                    let sas = pair.end(node).endpoint.sas().filter(|sa| sa.is_established()).count();
                    assert_eq!((sas, pair.end(node).plane.children.len()), (0, 0), "{}", pair.dump());
                }
                let reason = pair.end(deleter).endpoint.peer_reason(&peer).unwrap().0;
                assert_eq!(reason, DownReason::Administrative, "{}", pair.dump());
            }
        }
    }
}

#[test]
fn both_ends_deleting_the_ike_sa_at_once_leave_nothing() {
    for skew in [0, 4, 9, 11, 21] {
        let mut pair = Setup::default().connected();
        for node in [A, B] {
            let peer = pair.peer_of(node);
            assert_eq!(pair.command(node, |endpoint, now| endpoint.down(&peer, None, now)), Ok(()));
            pair.run(MS(skew));
        }
        pair.run(minutes(5));
        assert_eq!([A, B].map(|node| pair.end(node).endpoint.spis_in_use()), [(0, 0), (0, 0)]);
        let administrative =
            |event: &Event| matches!(event, Event::IkeSaDown { reason: DownReason::Administrative, .. });
        assert!(pair.end(A).has_said(administrative), "{}", pair.dump());
    }
}

#[test]
fn both_ends_deleting_the_child_at_once_leave_the_ike_sa() {
    for skew in [0, 4, 9, 11, 21] {
        let mut pair = Setup::default().connected();
        for node in [A, B] {
            let peer = pair.peer_of(node);
            assert_eq!(pair.command(node, |endpoint, now| endpoint.down(&peer, Some(&child()), now)), Ok(()));
            pair.run(MS(skew));
        }
        pair.run(minutes(5));
        assert_eq!([A, B].map(|node| pair.end(node).endpoint.spis_in_use()), [(1, 0), (1, 0)], "{}", pair.dump());
    }
}

#[test]
fn a_new_child_asked_for_during_an_ike_rekey_or_delete_comes_up_where_it_can() {
    let with_other = || {
        let mut setup = Setup::default();
        for (node, peers) in [A, B].into_iter().zip(&mut setup.peers) {
            peers[0].children.push(child_config("other", node, 9, ike::config::StartPolicy::OnDemand));
        }
        setup
    };
    for (creator, rekeyer) in [(A, B), (B, A), (A, A), (B, B)] {
        for skew in [0, 4, 11, 15, 21, 31] {
            for create_first in [false, true] {
                let mut pair = with_other().connected();
                let peer = pair.peer_of(creator);
                for turn in [create_first, !create_first] {
                    if turn {
                        let up = pair.command(creator, |endpoint, now| endpoint.up(&peer, Some(&"other".into()), now));
                        assert_eq!(up, Ok(()));
                    } else {
                        pair.rekey_ike(rekeyer);
                    }
                    pair.run(MS(skew));
                }
                pair.settle_and_converge();
            }
        }
    }
}

#[test]
fn a_successor_is_rekeyed_before_its_predecessor_is_gone() {
    for node in [A, B] {
        let mut pair = flowing(Setup::default());
        let old = before(&pair);
        let rule = pair.hold_all(node, ExchangeType::Informational, false);
        for _ in 0..4 {
            pair.rekey_ike(node);
            pair.run(MS(300));
        }
        let now = pair.now();
        pair.lab.network.release(now, rule);
        finish(&mut pair, &old);
    }
}

#[test]
fn ike_rekeys_follow_each_other_without_end() {
    let mut pair = flowing(Setup::default());
    let old = before(&pair);
    for round in 0..50 {
        let peer = pair.peer_of(A);
        let node = if round % 3 == 0 { B } else { A };
        let peer = if node == A { peer } else { pair.peer_of(B) };
        // In the middle of a collision there may be nothing to rekey.
        let _ = pair.command(node, |endpoint, now| endpoint.rekey_ike(&peer, now));
        pair.run(MS(round % 70));
    }
    finish(&mut pair, &old);
}

#[test]
fn a_rekey_that_is_answered_after_the_lifetime_ended_still_saves_the_children() {
    for node in [A, B] {
        let lifetime = ike::config::Lifetime {
            time: Some(seconds(600)),
            margin: seconds(20),
            fuzz_percent: 0,
            bytes: None,
            packets: None,
        };
        let mut pair = Setup::default().at(node, |peer| peer.lifetime = lifetime).build();
        pair.start();
        pair.run(seconds(570));
        let old = before(&pair);
        let rule = pair.hold_all(other(node), ExchangeType::CreateChildSa, true);
        pair.run(seconds(40));
        assert_eq!(pair.end(node).plane.children.len(), 1, "kept while there is hope\n{}", pair.dump());
        pair.release(rule);
        pair.run(seconds(5));
        assert_eq!(pair.sa(A).children().next().unwrap().spis, old.child);
        assert_eq!([A, B].map(|node| pair.end(node).totals.ups), [1, 1], "no second IKE SA\n{}", pair.dump());
        assert_eq!([A, B].map(|node| pair.end(node).totals.downs), [0, 0]);
    }
}

#[test]
fn a_collision_seen_by_one_end_alone_is_settled_when_its_delete_arrives_after_the_refusal() {
    // The request of `node` and its peer's DELETE of the old SA are late; the request is refused first.
    for node in [A, B] {
        for seed in 0..10 {
            let mut pair = flowing(Setup::seeded(seed));
            let old = before(&pair);
            let request = pair.hold_all(node, ExchangeType::CreateChildSa, false);
            let delete = pair.hold_all(other(node), ExchangeType::Informational, false);
            pair.both(|pair, node| pair.rekey_ike(node));
            pair.run(MS(100));
            pair.release(request);
            pair.run(MS(100));
            pair.release(delete);
            finish(&mut pair, &old);
            assert_eq!(winner(&pair), other(node), "{}", pair.dump());
            assert_eq!([A, B].map(|node| pair.end(node).totals.rekeys_seen), [1, 1], "{}", pair.dump());
        }
    }
}
