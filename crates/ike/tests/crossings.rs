//! Every pair of exchanges that two ends can begin at (almost) the same time, with any one kind of message lost or late:
//! rekey and delete of the child, rekey and delete of the IKE SA, a new child, a liveness check. Both ends must agree in
//! the end, and rekeys may lose no packet on the way.

use crate::support::*;
use ike::config::{ChildName, StartPolicy};
use ike::wire::ExchangeType;
use sim::NodeId;
use std::time::Duration;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Act {
    RekeyChild,
    DeleteChild,
    RekeyIke,
    DeleteIke,
    CreateChild,
    Liveness,
}

const ACTS: [Act; 6] =
    [Act::RekeyChild, Act::DeleteChild, Act::RekeyIke, Act::DeleteIke, Act::CreateChild, Act::Liveness];

/// What the network does to one kind of message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mishap {
    None,
    /// The first so many are lost.
    Lose(u64, NodeId, ExchangeType, bool),
    /// All are kept back for this long, then all arrive.
    Late(Duration, NodeId, ExchangeType, bool),
}

fn mishaps() -> Vec<Mishap> {
    let mut all = vec![Mishap::None];
    for node in [A, B] {
        for exchange in [ExchangeType::CreateChildSa, ExchangeType::Informational] {
            for response in [false, true] {
                all.push(Mishap::Lose(1, node, exchange, response));
                all.push(Mishap::Lose(3, node, exchange, response));
                all.push(Mishap::Late(Duration::from_millis(700), node, exchange, response));
                all.push(Mishap::Late(Duration::from_millis(4300), node, exchange, response));
            }
        }
    }
    all
}

fn other() -> ChildName {
    "other".into()
}

fn begin(pair: &mut Pair, node: NodeId, act: Act) {
    let peer = pair.peer_of(node);
    let done = pair.command(node, |endpoint, now| match act {
        Act::RekeyChild => endpoint.rekey_child(&peer, Some(&child()), now),
        Act::DeleteChild => endpoint.down(&peer, Some(&child()), now),
        Act::RekeyIke => endpoint.rekey_ike(&peer, now),
        Act::DeleteIke => endpoint.down(&peer, None, now),
        Act::CreateChild => endpoint.up(&peer, Some(&other()), now),
        Act::Liveness => {
            let mut config = site(node);
            config.dpd.interval = Some(Duration::from_millis(1));
            endpoint.apply(vec![config], now);
            endpoint.handle_timeout(now);
            endpoint.apply(vec![site(node)], now);
            Ok(())
        }
    });
    // The other end's action may have ended what this one is about.
    let _ = done;
}

fn site(node: NodeId) -> ike::config::PeerConfig {
    let mut peer = if node == A { site_a() } else { site_b() };
    peer.children.push(child_config("other", node, 9, StartPolicy::OnDemand));
    peer
}

fn run(seed: u64, acts: [Act; 2], skew: u64, mishap: Mishap) {
    let mut setup = Setup::seeded(seed);
    setup.peers = [vec![site(A)], vec![site(B)]];
    let mut pair = setup.build();
    pair.start();
    pair.run(seconds(5));
    let now = pair.now();
    for node in [A, B] {
        pair.lab.node_mut(node).send_every(Some(Duration::from_millis(50)), now);
    }
    pair.run(Duration::from_millis(200));
    // A new child may be sent on by its responder before the answer is there (RFC 7296 §1.2).
    let breaks = acts.iter().any(|act| matches!(act, Act::DeleteChild | Act::DeleteIke | Act::CreateChild));
    pair.strict = !breaks;
    let mut held = None;
    match mishap {
        Mishap::None => {}
        Mishap::Lose(count, node, exchange, response) => pair.drop(node, exchange, response, count),
        Mishap::Late(time, node, exchange, response) => {
            held = Some((time, pair.hold_all(node, exchange, response)));
        }
    }
    begin(&mut pair, A, acts[0]);
    pair.run(Duration::from_millis(skew));
    begin(&mut pair, B, acts[1]);
    if let Some((time, rule)) = held {
        pair.run(time);
        let now = pair.now();
        pair.lab.network.release(now, rule);
    }
    pair.run(seconds(12));
    pair.strict = false;
    for node in [A, B] {
        pair.lab.node_mut(node).traffic = None;
        let peer = pair.peer_of(node);
        let up = pair.command(node, |endpoint, now| endpoint.up(&peer, None, now));
        assert_eq!(up, Ok(()));
        pair.run(seconds(5));
    }
    pair.settle_and_converge();
}

#[test]
fn any_two_exchanges_that_cross_leave_both_ends_in_agreement() {
    let mut runs = 0;
    for first in ACTS {
        for second in ACTS {
            for mishap in mishaps() {
                for (seed, skew) in [(1, 0), (2, 0), (3, 4), (4, 12), (5, 22), (6, 31)] {
                    let case = format!("{first:?} at A, {second:?} at B {skew} ms later, {mishap:?}, seed {seed}");
                    let outcome = std::panic::catch_unwind(|| run(seed, [first, second], skew, mishap));
                    assert!(outcome.is_ok(), "{case}");
                    runs += 1;
                }
            }
        }
    }
    assert_eq!(runs, 36 * 33 * 6);
}
