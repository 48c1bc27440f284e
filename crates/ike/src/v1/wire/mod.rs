//! The octets of IKEv1: header, payload chain and every payload body (RFC 2408 §3, RFC 2407 §4.6).
//!
//! ```text
//! datagram ── Header::parse ─► Header ─┬─ parse_payloads(plain) ──────────────► Parsed   (phase 1, first messages)
//!                                      ├─ decrypt ─► parse_payloads(encrypted) ─► Parsed   (everything after)
//!                                      └─ Fragment::parse ─► … ─► a datagram again         (Cisco's fragmentation)
//! ```
//!
//! What is decided here: whether octets are well formed. What is not: whether a message fits its exchange. Parsing
//! is total: any octets give a value or a [`WireError`], never a panic, and memory stays proportional to the input.
//! Reserved fields are ignored on receipt. What a HASH covers is kept as received: [`SaPayload::octets`],
//! [`IdPayload::octets`], and for everything else the offsets of [`Parsed`].
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod body;
mod fragment;
mod header;
mod id;
mod notify;
mod payload;
mod sa;

pub(crate) use crate::wire::{Cursor, length16};
pub use crate::wire::{IkeSpi, WireError};
pub use fragment::Fragment;
pub use header::{ExchangeType, Flags, Header};
pub use id::IdPayload;
pub use notify::{Delete, Notification, NotifyType};
pub use payload::{MAX_PAYLOADS, Parsed, Payload, PayloadType, encode_payloads, parse_payloads, plain_message};
pub use sa::{
    Attribute, AttributeValue, MAX_ATTRIBUTES, MAX_PROPOSALS, Proposal, ProtocolId, SaPayload, Transform,
    encode_attributes, parse_attributes,
};

/// IPSEC, the only domain of interpretation there is (RFC 2407).
pub(crate) const DOI_IPSEC: u32 = 1;
