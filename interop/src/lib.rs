//! Labs: real gateways against each other and against other people's implementations, with real packets, in network
//! namespaces made for the occasion.
//!
//! Labs assert survival and loss, never speed. Nothing is started in the machine's own namespace; every process is
//! stopped by the pid it was started with; what a killed run left behind is removed by the next one.

pub mod error;
pub mod labs;
pub mod libreswan;
pub mod process;
pub mod registry;
pub mod strongswan;
pub mod sys;
pub mod topology;
pub mod traffic;
pub mod two_paths;
pub mod underpass;
pub mod vici_text;
pub mod world;
