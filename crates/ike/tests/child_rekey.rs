//! CHILD_SA rekeys that meet something else (RFC 7296 §2.8.1, §2.25.1): each other, another group, a DELETE, lost and late
//! messages. One scenario per test; where only times or ends differ, a table. Multiple key exchanges (RFC 9370) are not
//! spoken here: what they would exercise (a rekey that takes two exchanges) is exercised by INVALID_KE_PAYLOAD.

#![allow(clippy::unwrap_used)] // in the helpers too: what they unwrap is what the test is about

use crate::support::*;
use ike::event::{DownReason, Event};
use ike::proposal::EspProposal;
use ike::wire::{ExchangeType, NotifyType};
use ike::{ChildState, Role};
use sim::NodeId;
use std::time::Duration;

const MS: fn(u64) -> Duration = Duration::from_millis;

fn other(node: NodeId) -> NodeId {
    NodeId(1 - node.0)
}

/// Connected, packets flowing both ways, none of which may be lost.
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

/// One child is left at both ends; its packets all arrived.
fn finish(pair: &mut Pair) {
    pair.run(seconds(10));
    for node in [A, B] {
        pair.lab.node_mut(node).traffic = None;
    }
    pair.settle_and_converge();
    for node in [A, B] {
        assert_eq!(pair.end(node).totals.packets, pair.end(other(node)).totals.heard, "{}", pair.dump());
        assert_eq!(pair.end(node).totals.downs, 0);
    }
}

/// The end whose rekey made the child that is left.
fn winner(pair: &Pair) -> NodeId {
    match pair.sa(A).children().next().unwrap().role {
        Role::Initiator => A,
        Role::Responder => B,
    }
}

fn esp(text: &str) -> Vec<EspProposal> {
    vec![text.parse().unwrap()]
}

/// Runs a collision for seeds until each end has won twice.
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

#[test]
fn a_rekey_installs_before_it_sends_and_deletes_the_old_child_last() {
    for node in [A, B] {
        let mut pair = flowing(Setup::default());
        let old = pair.sa(node).children().next().unwrap().id;
        pair.rekey_child(node);
        pair.run(MS(21));
        let states: Vec<_> = pair.sa(node).children().map(|child| (child.id, child.state)).collect();
        assert_eq!(states.len(), 2, "{}", pair.dump());
        let (new, _) = states[1];
        assert_eq!(states, [(old, ChildState::Replaced(new)), (new, ChildState::Installed)]);
        assert!(pair.end(node).plane.children[&new].active, "the initiator sends on the new one at once");
        finish(&mut pair);
        assert_eq!(winner(&pair), node);
    }
}

#[test]
fn the_responder_of_a_rekey_goes_on_sending_on_the_old_child_until_it_hears_the_new_one() {
    let mut pair = Setup::default().connected();
    let rule = pair.hold_all(A, ExchangeType::Informational, false);
    pair.rekey_child(A);
    pair.run(seconds(1));
    let active = |pair: &Pair| pair.end(B).plane.children.values().filter(|child| child.active).count();
    assert_eq!((pair.end(B).plane.children.len(), active(&pair)), (2, 1), "{}", pair.dump());
    let now = pair.now();
    pair.lab.act(A, |end, _| end.send_packets(now));
    pair.run(MS(20));
    assert_eq!(active(&pair), 2, "the first packet on the new one moved it");
    pair.release(rule);
    pair.settle_and_converge();
}

#[test]
fn the_responder_of_a_rekey_moves_to_the_new_child_when_the_old_one_is_deleted() {
    let mut pair = Setup::default().connected();
    pair.rekey_child(A);
    pair.run(seconds(1));
    assert!(pair.end(B).plane.children.values().all(|child| child.active), "{}", pair.dump());
    pair.settle_and_converge();
}

#[test]
fn another_group_than_the_first_is_asked_for_and_used_whoever_rekeys() {
    for node in [A, B] {
        let mut pair = flowing(
            Setup::default()
                .at(node, |peer| peer.children[0].proposals = esp("aes256gcm16-x25519-modp2048"))
                .at(other(node), |peer| peer.children[0].proposals = esp("aes256gcm16-modp2048")),
        );
        let messages = pair.end(node).totals.messages;
        pair.rekey_child(node);
        finish(&mut pair);
        assert_eq!(pair.end(node).totals.messages - messages, 3, "two attempts and a DELETE\n{}", pair.dump());
        assert_eq!(pair.sa(node).children().next().unwrap().choice.group, Some(crypto::Group::Modp2048));
        // The next rekey begins with the group that is in use.
        pair.rekey_child(node);
        pair.settle_and_converge();
        assert_eq!(pair.end(node).totals.messages - messages, 5, "{}", pair.dump());
    }
}

#[test]
fn a_rekey_that_the_peers_configuration_refuses_is_repeated_until_it_is_mended() {
    for node in [A, B] {
        let mut pair = Setup::default()
            .at(node, |peer| peer.children[0].proposals = esp("aes256gcm16-x25519"))
            .at(other(node), |peer| peer.children[0].proposals = esp("aes256gcm16-modp2048"))
            .connected();
        pair.rekey_child(node);
        pair.run(seconds(35));
        let refused = |event: &Event| {
            matches!(
                event,
                Event::ChildFailed {
                    rekey: true,
                    reason: DownReason::Refused { notify: NotifyType::NO_PROPOSAL_CHOSEN, .. },
                    ..
                }
            )
        };
        let count = pair.end(node).said().filter(|event| refused(event)).count();
        assert!((3..=4).contains(&count), "every ten seconds: {count}\n{}", pair.dump());
        let named = |event: &Event| matches!(event, Event::ChildFailed { reason: DownReason::NoProposalChosen(_), .. });
        assert!(pair.end(other(node)).has_said(named));
        assert_eq!(pair.end(A).plane.current().len(), 1, "the old child still works");
        assert_eq!(pair.end(node).totals.downs, 0);
    }
}

#[test]
fn of_two_rekeys_at_once_the_one_with_the_lowest_nonce_goes() {
    either_way(|seed| {
        let mut pair = flowing(Setup::seeded(seed));
        pair.both(|pair, node| pair.rekey_child(node));
        pair.run(MS(25));
        for node in [A, B] {
            let states: Vec<ChildState> = pair.sa(node).children().map(|child| child.state).collect();
            assert_eq!(states.len(), 3, "the old one and both new ones\n{}", pair.dump());
            assert_eq!(states.iter().filter(|state| **state == ChildState::Installed).count(), 1);
            assert_eq!(states.iter().filter(|state| **state == ChildState::Redundant).count(), 1);
        }
        finish(&mut pair);
        // Each end deleted one: the loser what it had made, the winner the old one.
        assert_eq!([A, B].map(|node| pair.end(node).totals.child_rekeys), [1, 1]);
        assert_eq!([A, B].map(|node| pair.end(node).totals.exchanges), [4, 2], "{}", pair.dump());
        pair
    });
}

#[test]
fn a_collision_is_settled_whichever_message_is_late_or_lost() {
    let create = ExchangeType::CreateChildSa;
    let delete = ExchangeType::Informational;
    for (exchange, response) in [(create, false), (create, true), (delete, false), (delete, true)] {
        for node in [A, B] {
            for time in [MS(5), MS(15), MS(35), MS(400), seconds(3), seconds(9)] {
                // Eight seeds: the nonces decide either way, where the late message leaves them the decision.
                for seed in 0..8 {
                    let mut pair = flowing(Setup::seeded(seed));
                    let rule = pair.hold_all(node, exchange, response);
                    pair.both(|pair, node| pair.rekey_child(node));
                    pair.run(time);
                    let now = pair.now();
                    pair.lab.network.release(now, rule);
                    finish(&mut pair);
                }
            }
            for count in [1, 2, 4] {
                for seed in 0..8 {
                    let mut pair = flowing(Setup::seeded(seed));
                    pair.drop(node, exchange, response, count);
                    pair.both(|pair, node| pair.rekey_child(node));
                    pair.run(seconds(20));
                    finish(&mut pair);
                }
            }
        }
    }
}

#[test]
fn an_end_that_did_not_see_the_collision_refuses_the_late_rekey_and_nobody_tries_again() {
    for node in [A, B] {
        let mut pair = flowing(Setup::default());
        // The request of `node` is late: its peer rekeys, deletes, and only then hears of it.
        let rule = pair.hold_all(node, ExchangeType::CreateChildSa, false);
        pair.both(|pair, node| pair.rekey_child(node));
        pair.run(MS(500));
        pair.release(rule);
        finish(&mut pair);
        assert_eq!(winner(&pair), other(node));
        assert_eq!(pair.end(A).totals.rekeys_seen, 1, "{}", pair.dump());
        assert_eq!(pair.end(B).totals.rekeys_seen, 1, "{}", pair.dump());
    }
}

#[test]
fn a_collision_in_which_one_end_must_take_another_group_is_settled() {
    for node in [A, B] {
        for skew in [0, 4, 11, 15, 21, 26] {
            for seed in 0..12 {
                let mut pair = flowing(
                    Setup::seeded(seed)
                        .at(node, |peer| peer.children[0].proposals = esp("aes256gcm16-x25519-modp2048"))
                        .at(other(node), |peer| peer.children[0].proposals = esp("aes256gcm16-modp2048")),
                );
                pair.rekey_child(node);
                pair.run(MS(skew));
                pair.rekey_child(other(node));
                finish(&mut pair);
            }
        }
    }
}

#[test]
fn a_collision_in_which_both_ends_must_take_another_group_is_settled() {
    // Each end prefers a group that the other one does not have.
    for seed in 0..24 {
        for skew in [0, 4, 11, 21] {
            let mut pair = flowing(
                Setup::seeded(seed)
                    .at(A, |peer| peer.children[0].proposals = esp("aes256gcm16-x25519-modp2048"))
                    .at(B, |peer| peer.children[0].proposals = esp("aes256gcm16-ecp256-modp2048")),
            );
            pair.rekey_child(A);
            pair.run(MS(skew));
            pair.rekey_child(B);
            finish(&mut pair);
        }
    }
}

#[test]
fn a_rekey_and_a_delete_of_the_same_child_end_in_its_deletion() {
    for rekeyer in [A, B] {
        for skew in [0, 4, 11, 21, 31] {
            for delete_first in [false, true] {
                let mut pair = Setup::default().connected();
                let deleter = other(rekeyer);
                let peer = pair.peer_of(deleter);
                let delete = |pair: &mut Pair| {
                    let done = pair.command(deleter, |endpoint, now| endpoint.down(&peer, Some(&child()), now));
                    assert_eq!(done, Ok(()));
                };
                if delete_first {
                    delete(&mut pair);
                    pair.run(MS(skew.min(9)));
                    pair.rekey_child(rekeyer);
                } else {
                    pair.rekey_child(rekeyer);
                    pair.run(MS(skew));
                    delete(&mut pair);
                }
                pair.run(seconds(30));
                // Whoever wants the child asks for it anew; end A does by itself.
                let up = pair.command(deleter, |endpoint, now| endpoint.up(&peer, None, now));
                assert_eq!(up, Ok(()));
                pair.run(seconds(5));
                pair.settle_and_converge();
                assert_eq!(pair.end(A).totals.ups, 1, "the IKE SA stayed");
            }
        }
    }
}

#[test]
fn children_are_rekeyed_while_the_ike_sa_is() {
    for (child_end, ike_end) in [(A, B), (B, A), (A, A), (B, B)] {
        for skew in [0, 4, 11, 15, 21, 26, 31, 41] {
            for ike_first in [false, true] {
                let mut pair = flowing(Setup::seeded(skew));
                let before = (pair.sa(A).local_spi(), pair.sa(A).children().next().unwrap().spis);
                for turn in [ike_first, !ike_first] {
                    if turn {
                        pair.rekey_ike(ike_end);
                    } else {
                        pair.rekey_child(child_end);
                    }
                    pair.run(MS(skew));
                }
                finish(&mut pair);
                assert_ne!(pair.sa(A).local_spi(), before.0, "{}", pair.dump());
                assert_ne!(pair.sa(A).children().next().unwrap().spis, before.1, "{}", pair.dump());
            }
        }
    }
}

#[test]
fn a_rekey_whose_delete_gets_lost_for_good_leaves_nothing_behind() {
    for node in [A, B] {
        let mut pair = Setup::default().connected();
        pair.drop(other(node), ExchangeType::Informational, true, 4);
        pair.rekey_child(node);
        pair.run(minutes(1));
        pair.settle_and_converge();
    }
}

#[test]
fn rekeys_follow_each_other_without_end() {
    let mut pair = flowing(Setup::default());
    for round in 0..50 {
        pair.rekey_child(if round % 3 == 0 { B } else { A });
        pair.run(MS(round % 70));
    }
    finish(&mut pair);
}

#[test]
fn a_child_is_not_rekeyed_or_deleted_by_its_responder_before_its_initiator_has_it() {
    for delete in [false, true] {
        let mut pair = Setup::default().connected();
        // A asked for a child and was answered; the answer is late. To A the new child does not exist yet.
        let rule = pair.hold_all(B, ExchangeType::CreateChildSa, true);
        pair.rekey_child(A);
        pair.run(MS(100));
        let peer = pair.peer_of(B);
        let done = pair.command(B, |endpoint, now| match delete {
            true => endpoint.down(&peer, Some(&child()), now),
            false => endpoint.rekey_child(&peer, None, now),
        });
        assert_eq!(done, Ok(()));
        pair.run(seconds(20));
        assert_eq!(pair.end(B).totals.exchanges, 0, "it waits\n{}", pair.dump());
        pair.release(rule);
        pair.run(seconds(5));
        assert!(pair.end(B).totals.exchanges > 0, "{}", pair.dump());
        let failed = |event: &Event| matches!(event, Event::ChildFailed { .. });
        assert!(!pair.end(A).has_said(failed) && !pair.end(B).has_said(failed), "{}", pair.dump());
        let up = pair.command(B, |endpoint, now| endpoint.up(&peer, None, now));
        assert_eq!(up, Ok(()));
        pair.settle_and_converge();
    }
}

#[test]
fn a_child_that_its_initiator_takes_back_gives_the_traffic_back_to_the_one_it_replaced() {
    // B's rekey loses a collision that A does not know to be one, for B's answer to A is late: B deletes its child first.
    for seed in 0..16 {
        let mut pair = flowing(Setup::seeded(seed));
        let rule = pair.hold_all(B, ExchangeType::CreateChildSa, true);
        pair.both(|pair, node| pair.rekey_child(node));
        pair.run(seconds(2));
        assert!(!pair.end(A).plane.current().is_empty(), "{}", pair.dump());
        let down =
            |event: &Event| matches!(event, Event::ChildSaDown { reason, .. } if *reason != DownReason::Redundant);
        assert!(!pair.end(A).has_said(down), "{}", pair.dump());
        pair.release(rule);
        finish(&mut pair);
    }
}

#[test]
fn a_limit_that_a_replaced_child_reaches_before_its_delete_begins_nothing() {
    for (node, hard) in [(A, false), (B, false), (A, true), (B, true)] {
        let mut pair = flowing(Setup::default());
        let old = pair.sa(other(node)).children().next().unwrap().id;
        let rule = pair.hold_all(node, ExchangeType::Informational, false);
        pair.rekey_child(node);
        pair.run(MS(200));
        let (peer, exchanges) = (pair.peer_of(other(node)), pair.end(other(node)).totals.exchanges);
        pair.command(other(node), |endpoint, now| endpoint.child_limit(&peer, old, hard, now));
        pair.run(seconds(1));
        assert_eq!(pair.end(other(node)).totals.exchanges, exchanges, "{}", pair.dump());
        pair.release(rule);
        finish(&mut pair);
        assert_eq!(winner(&pair), node);
    }
}

/// Takes the child down at one end; whoever wants it asks for it anew, and end A does by itself.
fn take_down(pair: &mut Pair, node: NodeId) {
    pair.strict = false;
    let peer = pair.peer_of(node);
    assert_eq!(pair.command(node, |endpoint, now| endpoint.down(&peer, Some(&child()), now)), Ok(()));
}

fn bring_back(pair: &mut Pair, node: NodeId) {
    for node in [A, B] {
        pair.lab.node_mut(node).traffic = None;
    }
    pair.run(seconds(30));
    let peer = pair.peer_of(node);
    assert_eq!(pair.command(node, |endpoint, now| endpoint.up(&peer, None, now)), Ok(()));
    pair.run(seconds(5));
    pair.settle_and_converge();
    assert_eq!([A, B].map(|node| pair.end(node).totals.ups), [1, 1], "the IKE SA stayed\n{}", pair.dump());
}

#[test]
fn a_new_child_that_its_responder_deletes_before_the_old_one_is_deleted_goes_with_it() {
    for node in [A, B] {
        let mut pair = flowing(Setup::default());
        let old = pair.sa(node).children().next().unwrap().spis;
        let rule = pair.hold_all(node, ExchangeType::Informational, false);
        pair.rekey_child(node);
        pair.run(MS(200));
        let new = pair.sa(node).children().nth(1).unwrap().spis;
        take_down(&mut pair, other(node));
        pair.run(MS(500));
        assert!(pair.end(other(node)).plane.current().is_empty(), "down is down\n{}", pair.dump());
        pair.release(rule);
        pair.run(MS(100));
        assert!(pair.end(other(node)).plane.current().is_empty(), "{}", pair.dump());
        bring_back(&mut pair, other(node));
        let left = pair.sa(node).children().next().unwrap().spis;
        assert!(left != old && left != new, "{}", pair.dump());
    }
}

#[test]
fn a_child_deleted_during_a_collision_whose_request_or_answer_is_late_leaves_nothing_behind() {
    for node in [A, B] {
        for response in [false, true] {
            for time in [MS(35), MS(400), seconds(3)] {
                for seed in 0..8 {
                    let mut pair = flowing(Setup::seeded(seed));
                    let rule = pair.hold_all(node, ExchangeType::CreateChildSa, response);
                    pair.both(|pair, node| pair.rekey_child(node));
                    pair.run(time);
                    // Whoever does not miss the message has replaced the child, and now wants neither.
                    let deleter = if response { node } else { other(node) };
                    take_down(&mut pair, deleter);
                    pair.run(time);
                    pair.release(rule);
                    bring_back(&mut pair, deleter);
                }
            }
        }
    }
}

/// Each end prefers a group that the other one does not have.
fn each_prefers_another_group(seed: u64) -> Setup {
    Setup::seeded(seed)
        .at(A, |peer| peer.children[0].proposals = esp("aes256gcm16-x25519-modp2048"))
        .at(B, |peer| peer.children[0].proposals = esp("aes256gcm16-ecp256-modp2048"))
}

#[test]
fn a_collision_whose_second_attempt_is_late_at_one_end_is_settled() {
    for node in [A, B] {
        for time in [MS(25), MS(35), MS(45), MS(400), seconds(3)] {
            for seed in 0..8 {
                let mut pair = flowing(each_prefers_another_group(seed));
                pair.both(|pair, node| pair.rekey_child(node));
                pair.run(MS(5));
                let rule = pair.hold_all(node, ExchangeType::CreateChildSa, false);
                pair.run(time);
                pair.release(rule);
                finish(&mut pair);
            }
        }
    }
}

#[test]
fn a_delete_that_meets_the_second_attempt_of_a_rekey_ends_in_the_deletion() {
    for rekeyer in [A, B] {
        for skew in [11, 15, 19, 21, 25, 29, 31, 39] {
            let mut pair = flowing(each_prefers_another_group(skew));
            pair.rekey_child(rekeyer);
            pair.run(MS(skew));
            take_down(&mut pair, other(rekeyer));
            bring_back(&mut pair, other(rekeyer));
        }
    }
}
