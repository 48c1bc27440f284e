//! ESP and its databases, in the nouns of RFC 4301: [`Spi`], [`TrafficSelector`], [`EspSuite`], SPD, SAD, the sealing and
//! opening of packets (RFC 4303), replay windows, extended sequence numbers and UDP encapsulation (RFC 3948).
//!
//! Nothing here opens a socket, asks the time or allocates per packet. SAs are shared by worker threads (`&self`): what
//! changes in them is a counter, a replay window and statistics.

pub mod encapsulation;
pub mod selector;
mod selector_text;
pub mod spi;
pub mod suite;

pub use encapsulation::Encapsulation;
pub use selector::{FlowSide, TrafficSelector, selectors};
pub use selector_text::SelectorError;
pub use spi::{Spi, SpiPair};
pub use suite::{EspKeys, EspSuite};
