//! IKEv2 (RFC 7296) and IKEv1 (RFC 2409) as pure state machines, both roles.
//!
//! An [`Endpoint`] is fed datagrams, time and commands, and asked for [`Output`]s. It opens nothing, sleeps never, asks
//! nobody for the time: `now` and randomness are arguments, so a run can be repeated octet by octet.
//!
//! ```text
//!            handle_datagram, handle_timeout, up/down/rekey, apply
//!   host ───────────────────────────────────────────────────────────► Endpoint ── IkeSa, IkeSa, …
//!        ◄───────────────────────────────────────────────────────────
//!            poll_output: Transmit, InstallChild, …, Event     poll_timeout
//! ```
//! Reading order: [`config`] (what is asked), [`event`] (what comes out), `v2` (one SA), `v2::exchange` (one file per
//! exchange), [`v1`] (the same for IKEv1), [`endpoint`] (all SAs).

mod child;
pub mod config;
mod context;
mod cookie;
pub mod endpoint;
pub mod event;
pub mod id;
pub mod keys;
pub mod nat;
pub mod proposal;
mod retransmit;
pub mod sk;
mod spi;
pub mod trace;
pub mod v1;
mod v2;
pub mod wire;

pub use child::{ChildSa, ChildState};
pub use endpoint::{CommandError, Endpoint, SaView};
pub use event::{ChildId, ChildInstall, DownReason, Event, Output, Role, Transmit};

/// A starting point for virtual time in tests.
#[cfg(test)]
#[allow(clippy::disallowed_methods)]
fn tests_clock() -> std::time::Instant {
    std::time::Instant::now()
}
