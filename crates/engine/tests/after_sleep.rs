//! After a sleep of the machine every peer is asked at once, and nobody who answers loses anything.
#![allow(clippy::unwrap_used)]

#[path = "engine/support/mod.rs"]
#[allow(dead_code, unused_imports)]
mod support;

use std::time::Duration;
use support::{A, B, Pair, connection};

/// A pair whose liveness checks come so late that only the question after the sleep finds anything.
fn patient_pair() -> Pair {
    Pair::connected(|_, desired| {
        connection(desired).peer.dpd.interval = Some(Duration::from_secs(36_000));
    })
}

#[test]
fn a_peer_that_is_gone_is_found_within_the_liveness_timeout() {
    let mut pair = patient_pair();
    pair.desired[B.0].connections.clear();
    pair.restart(B);
    pair.run(Duration::from_secs(120));
    assert!(pair.is_up(A), "nobody asked yet\n{}", pair.dump());
    pair.command(A, |engine, now| engine.suspect_all(now));
    pair.run(Duration::from_secs(31));
    assert!(!pair.is_up(A), "{}", pair.dump());
}

#[test]
fn a_peer_that_lives_keeps_its_tunnel_and_the_configuration_stays() {
    let mut pair = patient_pair();
    let before: Vec<_> = pair.gateway(A).table.inbound.keys().copied().collect();
    pair.command(A, |engine, now| engine.suspect_all(now));
    pair.run(Duration::from_secs(120));
    assert_eq!(pair.gateway(A).table.inbound.keys().copied().collect::<Vec<_>>(), before);
    let desired = pair.desired[A.0].clone();
    assert_eq!(pair.command(A, |engine, _| engine.desired().clone()), desired);
    pair.assert_works();
}
