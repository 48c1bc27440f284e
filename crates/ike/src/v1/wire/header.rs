//! The 28-octet ISAKMP header (RFC 2408 §3.1).

use super::{Cursor, PayloadType, WireError};
use crate::wire::IkeSpi;
use std::fmt;

/// The Exchange Type field (RFC 2408 §3.1, RFC 2409 appendix A).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ExchangeType {
    /// Identity Protection, 2.
    MainMode,
    /// Aggressive, 4.
    Aggressive,
    /// Informational, 5.
    Informational,
    /// Transaction, 6: mode config and XAUTH.
    Transaction,
    /// Quick Mode, 32.
    QuickMode,
    /// New Group Mode, 33.
    NewGroup,
    /// Any other value, IKEv2's among them.
    Unknown(u8),
}

impl ExchangeType {
    /// From the field's value; every value is representable.
    #[must_use]
    pub fn from_u8(value: u8) -> Self {
        match value {
            2 => ExchangeType::MainMode,
            4 => ExchangeType::Aggressive,
            5 => ExchangeType::Informational,
            6 => ExchangeType::Transaction,
            32 => ExchangeType::QuickMode,
            33 => ExchangeType::NewGroup,
            other => ExchangeType::Unknown(other),
        }
    }

    /// The field's value.
    #[must_use]
    pub fn to_u8(self) -> u8 {
        match self {
            ExchangeType::MainMode => 2,
            ExchangeType::Aggressive => 4,
            ExchangeType::Informational => 5,
            ExchangeType::Transaction => 6,
            ExchangeType::QuickMode => 32,
            ExchangeType::NewGroup => 33,
            ExchangeType::Unknown(other) => other,
        }
    }
}

impl fmt::Display for ExchangeType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExchangeType::MainMode => f.write_str("main mode"),
            ExchangeType::Aggressive => f.write_str("aggressive mode"),
            ExchangeType::Informational => f.write_str("informational exchange"),
            ExchangeType::Transaction => f.write_str("transaction exchange"),
            ExchangeType::QuickMode => f.write_str("quick mode"),
            ExchangeType::NewGroup => f.write_str("new group mode"),
            ExchangeType::Unknown(other) => write!(f, "exchange {other}"),
        }
    }
}

/// The Flags field (RFC 2408 §3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Flags {
    /// E: everything behind the header is encrypted.
    pub encrypted: bool,
    /// C: wait for CONNECTED. Never set, ignored on receipt.
    pub commit: bool,
    /// A: authenticated, not encrypted. Never set.
    pub authentication_only: bool,
}

impl Flags {
    const ENCRYPTED: u8 = 1;
    const COMMIT: u8 = 2;
    const AUTHENTICATION_ONLY: u8 = 4;

    /// From the field's value; the other bits mean nothing.
    #[must_use]
    pub fn from_u8(value: u8) -> Self {
        Flags {
            encrypted: value & Self::ENCRYPTED != 0,
            commit: value & Self::COMMIT != 0,
            authentication_only: value & Self::AUTHENTICATION_ONLY != 0,
        }
    }

    /// The field's value.
    #[must_use]
    pub fn to_u8(self) -> u8 {
        let bit = |set: bool, bit: u8| if set { bit } else { 0 };
        bit(self.encrypted, Self::ENCRYPTED)
            | bit(self.commit, Self::COMMIT)
            | bit(self.authentication_only, Self::AUTHENTICATION_ONLY)
    }
}

/// The ISAKMP header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Header {
    /// CKY-I; never zero in a parsed header.
    pub initiator_cookie: IkeSpi,
    /// CKY-R; zero in the first message.
    pub responder_cookie: IkeSpi,
    /// Type of the first payload.
    pub next_payload: PayloadType,
    /// Minor version: 0 when sending, anything on receipt.
    pub minor: u8,
    /// The exchange this message belongs to.
    pub exchange: ExchangeType,
    /// Whether it is encrypted.
    pub flags: Flags,
    /// Zero in phase 1, random in every exchange after it.
    pub message_id: u32,
    /// Octets of the whole message, header included.
    pub length: u32,
}

impl Header {
    /// Octets of the header.
    pub const LEN: usize = 28;

    /// Reads the header at the front of `datagram`, the whole message without a non-ESP marker.
    ///
    /// # Errors
    /// [`WireError::Truncated`] below 28 octets, [`WireError::LengthMismatch`] unless Length is the datagram's length,
    /// [`WireError::Malformed`] for another major version than 1 or an initiator's cookie of zero.
    pub fn parse(datagram: &[u8]) -> Result<Header, WireError> {
        let mut cursor = Cursor::new(datagram, "ISAKMP header");
        let initiator_cookie = IkeSpi(cursor.array()?);
        let responder_cookie = IkeSpi(cursor.array()?);
        let next_payload = PayloadType::from_u8(cursor.u8()?);
        let version = cursor.u8()?;
        let exchange = ExchangeType::from_u8(cursor.u8()?);
        let flags = Flags::from_u8(cursor.u8()?);
        let message_id = cursor.u32()?;
        let length = cursor.u32()?;
        if version >> 4 != 1 {
            return Err(cursor.malformed("the major version is not 1"));
        }
        if usize::try_from(length) != Ok(datagram.len()) {
            return Err(WireError::LengthMismatch { header: length, datagram: datagram.len() });
        }
        if initiator_cookie.is_zero() {
            return Err(cursor.malformed("the initiator's cookie is zero"));
        }
        let minor = version & 0x0f;
        Ok(Header { initiator_cookie, responder_cookie, next_payload, minor, exchange, flags, message_id, length })
    }

    /// Appends the 28 octets to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.initiator_cookie.0);
        out.extend_from_slice(&self.responder_cookie.0);
        out.push(self.next_payload.to_u8());
        out.push(0x10 | (self.minor & 0x0f));
        out.push(self.exchange.to_u8());
        out.push(self.flags.to_u8());
        out.extend_from_slice(&self.message_id.to_be_bytes());
        out.extend_from_slice(&self.length.to_be_bytes());
    }
}
