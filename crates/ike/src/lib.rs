//! ike: see ARCHITECTURE.md.
pub mod id;
pub mod keys;
pub mod proposal;
pub mod sk;
pub mod wire;
