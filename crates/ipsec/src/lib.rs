//! ESP and its databases, in the nouns of RFC 4301: [`Spi`], [`TrafficSelector`], [`EspSuite`], [`Spd`], [`Sad`], the sealing
//! and opening of packets (RFC 4303), replay windows, extended sequence numbers and UDP encapsulation (RFC 3948).
//!
//! Nothing here opens a socket, asks the time or allocates per packet. SAs are shared by worker threads (`&self`): what
//! changes in them is a counter, a replay window and statistics.

pub mod drop_reason;
pub mod encapsulation;
mod framing;
mod icmp_error;
pub mod inbound;
pub mod outbound;
pub mod pmtu;
pub mod replay;
pub mod sad;
pub mod selector;
mod selector_text;
pub mod spd;
pub mod spi;
pub mod suite;
pub mod tunnel;

pub use drop_reason::{DropCounters, DropReason};
pub use encapsulation::Encapsulation;
pub use framing::SaError;
pub use inbound::{InboundSa, Opened, SelectorPair};
pub use outbound::{LifetimeState, OutboundSa, SaLimits};
pub use packet::ecn::DscpPolicy;
pub use pmtu::{Fit, fit};
pub use replay::ReplayWindow;
pub use sad::{Demux, Sad, SpiInUse, demux, demux_esp, random_spi};
pub use selector::{FlowSide, TrafficSelector, selectors};
pub use selector_text::SelectorError;
pub use spd::{Action, Policy, Spd};
pub use spi::{Spi, SpiPair};
pub use suite::{EspKeys, EspSuite};
pub use tunnel::{DfPolicy, TunnelPolicy};
