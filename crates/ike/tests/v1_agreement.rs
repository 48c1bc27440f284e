//! IKEv1 acknowledges nothing but phase 1 and quick mode, so the two ends can come to see things differently: who was first,
//! what is gone, who forgot whom. Each case here is one that long runs over a hostile link found.

#![allow(clippy::unwrap_used)] // in the helpers too: what they unwrap is what the test is about

use crate::support::v1::{connected, drop, hold, setup};
use crate::support::*;
use ike::config::Dpd;
use ike::event::{DownReason, Event};
use ike::v1::wire::ExchangeType;
use sim::{NodeId, RuleId};

/// Both ends rekey the only child. A begins, and does not get B's answer before B has begun, too: A sees the requests cross,
/// B answered A's before it began.
fn crossing_that_one_end_sees(seed: u64) -> (Pair, RuleId) {
    let mut pair = connected(seed);
    let answer = hold(&mut pair, B, ExchangeType::QuickMode);
    pair.rekey_child(A);
    pair.run(seconds(1) / 4);
    pair.rekey_child(B);
    pair.run(seconds(1) / 4);
    (pair, answer)
}

#[test]
fn of_two_sas_the_one_that_is_confirmed_late_does_not_replace_what_replaced_it() {
    for seed in 0..12 {
        let (mut pair, answer) = crossing_that_one_end_sees(seed);
        pair.release(answer);
        for _ in 0..100 {
            pair.run(seconds(1));
            for node in [A, B] {
                // The state's type is not public; its name is.
                let states: Vec<String> = pair.sa(node).children().map(|child| format!("{:?}", child.state)).collect();
                let alive = states.iter().any(|state| state == "Installed");
                assert!(alive, "two SAs replaced each other\nseed {seed} {states:?}\n{}", pair.dump());
            }
        }
        pair.assert_converged();
    }
}

#[test]
fn after_a_crossing_with_lost_deletes_each_end_has_what_the_other_one_sends_on() {
    for seed in 0..12 {
        for lost in 1..=3 {
            let (mut pair, answer) = crossing_that_one_end_sees(seed);
            pair.release(answer);
            pair.run(seconds(8));
            for node in [A, B] {
                drop(&mut pair, node, ExchangeType::Informational, lost);
            }
            pair.run(seconds(30));
            // Whatever an end sends on, the other one has.
            for (node, other) in [(A, B), (B, A)] {
                let now = pair.now();
                for child in pair.end(node).plane.current().values() {
                    let spi = pair.end(node).plane.children[child].spis.outbound.get();
                    assert!(pair.end(other).plane.inbound(spi, now).is_some(), "seed {seed} {lost}\n{}", pair.dump());
                }
            }
        }
    }
}

#[test]
fn a_delete_that_is_lost_is_said_again_until_the_peer_says_so_too() {
    for lost in 1..=3 {
        let mut pair = connected(2);
        let (peer, name) = (pair.peer_of(A), child());
        pair.disturbed = true;
        drop(&mut pair, A, ExchangeType::Informational, lost);
        pair.command(A, |endpoint, now| endpoint.down(&peer, Some(&name), now)).unwrap();
        pair.run(seconds(1) / 2);
        assert_eq!(pair.end(B).plane.children.len(), 1, "the DELETE was lost");
        pair.run(seconds(10));
        assert!(pair.end(B).plane.children.is_empty(), "{lost} lost\n{}", pair.dump());
    }
}

#[test]
fn a_delete_that_the_peer_answers_is_said_once() {
    let mut pair = connected(3);
    pair.run(seconds(1));
    let (peer, name) = (pair.peer_of(A), child());
    let before = [A, B].map(|node| pair.end(node).totals.messages);
    pair.command(A, |endpoint, now| endpoint.down(&peer, Some(&name), now)).unwrap();
    pair.run(seconds(20));
    let sent = [A, B].map(|node| pair.end(node).totals.messages - before[node.0]);
    assert_eq!(sent, [1, 1], "{}", pair.dump());
}

#[test]
fn a_quick_mode_whose_isakmp_sa_ends_before_its_third_message_came_leaves_no_half_of_an_sa() {
    let mut pair = connected(4);
    pair.rekey_child(A);
    // The request passes; no third message does before the next main mode is done and the old ISAKMP SA is deleted.
    drop(&mut pair, A, ExchangeType::QuickMode, 100);
    pair.run(seconds(1));
    assert_eq!(pair.end(A).plane.children.len(), 2);
    pair.rekey_ike(A);
    pair.run(seconds(16));
    assert_eq!(pair.end(A).endpoint.spis_in_use().0, 1, "the old ISAKMP SA is gone");
    let spis = |node: NodeId| pair.end(node).plane.children.values().map(|child| child.spis).collect::<Vec<_>>();
    let (mut a, mut b) = (spis(A), spis(B).into_iter().map(ipsec::SpiPair::swapped).collect::<Vec<_>>());
    a.sort();
    b.sort();
    assert_eq!(a, b, "{}", pair.dump());
}

/// A hears B from now on, B does not hear A.
fn deafen(pair: &mut Pair) {
    pair.disturbed = true;
    for port in [IKE_PORT, ESP_PORT] {
        pair.lab.network.cut((address(A), port).into(), (address(B), port).into());
    }
}

fn watched() -> Pair {
    let dpd = |interval| Dpd { interval: Some(seconds(interval)), timeout: seconds(15) };
    // B is quick to find A dead.
    let mut pair = setup(5).at(A, |peer| peer.dpd = dpd(60)).at(B, |peer| peer.dpd = dpd(10)).build();
    pair.start();
    pair.run(seconds(5));
    pair
}

/// B has found A dead and A has not found B dead; then both hear each other again.
fn found_dead_and_healed(pair: &mut Pair) {
    let dead = |event: &Event| matches!(event, Event::IkeSaDown { reason: DownReason::NoAnswer { .. }, .. });
    assert!(pair.end(B).has_said(dead) && !pair.end(A).has_said(dead), "{}", pair.dump());
    assert!(pair.end(B).plane.children.is_empty() && !pair.end(A).plane.children.is_empty(), "{}", pair.dump());
    pair.lab.network.heal_all();
    pair.run(minutes(2));
    pair.assert_converged();
}

#[test]
fn an_end_that_found_its_peer_dead_says_so_though_its_main_mode_began_before() {
    for begin in [5, 15, 20] {
        let mut pair = watched();
        deafen(&mut pair);
        pair.run(seconds(begin));
        pair.rekey_ike(B);
        pair.run(seconds(27 - begin));
        found_dead_and_healed(&mut pair);
    }
}

#[test]
fn an_end_that_found_its_peer_dead_says_so_though_its_message_5_was_sent_before() {
    let mut pair = watched();
    pair.rekey_ike(B);
    pair.run(std::time::Duration::from_millis(45));
    deafen(&mut pair);
    pair.run(seconds(27));
    found_dead_and_healed(&mut pair);
}
