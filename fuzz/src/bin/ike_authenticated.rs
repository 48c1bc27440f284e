//! An IKE endpoint and a peer that holds the keys and misbehaves: any exchange, payloads, order, answers and repetitions,
//! while operators rekey and time passes. What must hold whatever happens is asserted in `forge::drive`, which the tests
//! of the crate share.
#![no_main]

#[path = "../../../crates/ike/tests/support/mod.rs"]
mod support;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    let driven = support::forge::drive(octets);
    assert!(driven.most_sas <= 64 && driven.most_children <= 512, "a peer makes memory grow: {driven:?}");
});
