//! Coming up: what two ends that fit each other reach, and what they say when they do not fit.

mod support;

use crypto::RealProvider;
use std::sync::Arc;
use support::*;

#[test]
fn two_ends_connect_over_a_perfect_link_with_simulated_and_with_real_key_exchanges() {
    for real in [false, true] {
        let mut setup = Setup::default();
        if real {
            setup.provider = Arc::new(RealProvider);
        }
        let mut pair = setup.build();
        pair.start();
        pair.run(seconds(2));
        let events: Vec<_> = pair.end(A).said().collect();
        assert_eq!(events.len(), 3, "{}", pair.dump());
        pair.settle_and_converge();
        assert_eq!(pair.end(A).totals.messages, 2, "{}", pair.dump());
        assert_eq!(pair.end(B).totals.messages, 2, "{}", pair.dump());
    }
}
