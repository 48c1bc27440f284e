//! The octets of IKEv1: ISAKMP header, payload chain and bodies (RFC 2408 §3, RFC 2407 §4.6, RFC 3947 §3).
//!
//! Parsing is total: any octets give a value or a [`WireError`], never a panic, and memory stays proportional to the input.
//! What authentication covers is kept as it was on the wire: [`SaPayload::octets`], [`IdPayload::octets`].
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod fragment;
mod header;
mod id;
mod notify;
mod payload;
mod sa;

use crate::wire::{Cursor, WireError, length16};
pub use fragment::Fragment;
pub use header::{ExchangeType, Flags, Header};
pub use id::IdPayload;
pub use notify::{Delete, Notification, NotifyType};
pub use payload::{MAX_PAYLOADS, Parsed, Payload, PayloadType, encode_payloads, parse_payloads, plain_message};
pub(crate) use sa::parse_attributes;
pub use sa::{Attribute, AttributeValue, Proposal, ProtocolId, SaPayload, Transform};
