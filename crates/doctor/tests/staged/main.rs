//! Staged faults: two real engines on a simulated network, of which one thing is broken; evidence is collected exactly as
//! `underpass doctor` does, from the status and the log as JSON; the doctor must name that thing first.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests may fail the test

mod bench;
mod child;
mod configuration;
mod esp;
mod ike;
mod list;
mod network;
mod normal;

// The engine's own two gateways: what is diagnosed here is what is tested there.
#[allow(dead_code)]
#[path = "../../../engine/tests/engine/support/mod.rs"]
mod support;
