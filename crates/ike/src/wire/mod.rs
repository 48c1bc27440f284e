//! The octets of IKEv2: header, payload chain and every payload body (RFC 7296 §3).
//!
//! ```text
//! datagram ── Header::parse ─► Header ─┬─ parse_payloads ─► Vec<Payload>        (IKE_SA_INIT)
//!                                      └─ sk::SkCipher::open ─► parse_payloads  (everything after)
//! ```
//!
//! What is decided here: whether octets are well formed. What is not: whether a message fits its exchange. Parsing
//! is total: any octets give a value or a [`WireError`], never a panic, and memory stays proportional to the input.
//! Reserved fields are ignored on receipt, but kept where they are signed ([`IdPayload`]).
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod body;
mod cursor;
mod header;
mod id;
mod notify;
mod payload;
mod sa;
mod ts;

pub(crate) use cursor::Cursor;
pub use header::{ExchangeType, Flags, Header, IkeSpi};
pub use id::IdPayload;
pub use notify::{Delete, Notify, NotifyType};
pub(crate) use payload::raw_payload;
pub use payload::{MAX_PAYLOADS, Payload, PayloadType, encode_payloads, parse_payloads, plain_message};
pub use sa::{MAX_PROPOSALS, Proposal, ProtocolId, Transform, TransformType};

/// Why octets are not an IKEv2 message.
///
/// The variant decides the reply: [`WireError::UnsupportedCriticalPayload`] is answered with that notification, the
/// others with INVALID_SYNTAX once the message is authenticated, and with silence before (RFC 7296 §2.21).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// A field reaches past the end of what holds it.
    #[error("{what} is cut short")]
    Truncated {
        /// The structure which ended too early.
        what: &'static str,
    },
    /// The Length of the IKE header is not the datagram's length.
    #[error("the header says {header} octets, the datagram has {datagram}")]
    LengthMismatch {
        /// Octets according to the header.
        header: u32,
        /// Octets received.
        datagram: usize,
    },
    /// A payload of a type unknown to us with the critical bit set (RFC 7296 §2.5).
    #[error("payload type {0} is unknown to us and marked critical")]
    UnsupportedCriticalPayload(u8),
    /// More elements than are accepted.
    #[error("{what}: more than {limit}")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// The bound.
        limit: usize,
    },
    /// A structure has the right size and breaks a rule.
    #[error("{what}: {rule}")]
    Malformed {
        /// The structure.
        what: &'static str,
        /// What is wrong with it.
        rule: &'static str,
    },
}

/// A length for a 16-bit field; callers cut their content to fit before.
pub(crate) fn length16(octets: usize) -> u16 {
    u16::try_from(octets).unwrap_or(u16::MAX)
}
