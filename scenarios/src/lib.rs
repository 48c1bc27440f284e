//! Simulations over thousands of seeds. [`ike_pair`] is the pair of endpoints that the `ike` crate's own tests use;
//! the `scenarios` program runs many of them at once.

#[path = "../../crates/ike/tests/support/mod.rs"]
pub mod ike_pair;
