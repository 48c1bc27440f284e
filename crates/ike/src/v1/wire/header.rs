//! The 28-octet ISAKMP header (RFC 2408 §3.1).

use std::fmt;

use super::{Cursor, IkeSpi, PayloadType, WireError};

/// The Exchange Type field (RFC 2408 §3.1, RFC 2409 appendix A).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ExchangeType {
    /// Identity Protection, 2, which RFC 2409 calls main mode.
    MainMode,
    /// Aggressive, 4.
    Aggressive,
    /// Informational, 5.
    Informational,
    /// Transaction, 6: mode configuration and XAUTH.
    Transaction,
    /// Quick mode, 32.
    QuickMode,
    /// New group mode, 33.
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
            ExchangeType::Informational => f.write_str("informational"),
            ExchangeType::Transaction => f.write_str("transaction"),
            ExchangeType::QuickMode => f.write_str("quick mode"),
            ExchangeType::NewGroup => f.write_str("new group mode"),
            ExchangeType::Unknown(other) => write!(f, "exchange {other}"),
        }
    }
}

/// The Flags field; its reserved bits are cleared when sending and ignored on receipt (RFC 2408 §3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Flags {
    /// E: everything behind the header is encrypted.
    pub encrypted: bool,
    /// C: the sender wants to hear CONNECTED before the SA is used.
    pub commit: bool,
    /// A: the content is authenticated and not encrypted; for informational exchanges that no one sends.
    pub authentication_only: bool,
}

impl Flags {
    const ENCRYPTED: u8 = 0x01;
    const COMMIT: u8 = 0x02;
    const AUTHENTICATION_ONLY: u8 = 0x04;

    /// From the field's value.
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

/// The ISAKMP header of a message of IKEv1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Header {
    /// The initiator's cookie; never zero in a parsed header.
    pub initiator_cookie: IkeSpi,
    /// The responder's cookie; zero in the first message of phase 1.
    pub responder_cookie: IkeSpi,
    /// Type of the first payload.
    pub next_payload: PayloadType,
    /// Minor version: 0 when sending, anything on receipt.
    pub minor: u8,
    /// The exchange this message belongs to.
    pub exchange: ExchangeType,
    /// Encryption and commit.
    pub flags: Flags,
    /// Zero in phase 1, else chosen at random by who begins an exchange (RFC 2408 §3.1).
    pub message_id: u32,
    /// Octets of the whole message, header and padding included.
    pub length: u32,
}

impl Header {
    /// Octets of the header.
    pub const LEN: usize = 28;

    const MAJOR: u8 = 1;

    /// Reads the header at the front of `datagram`, the whole message without a non-ESP marker.
    ///
    /// # Errors
    /// [`WireError::Truncated`] below 28 octets, [`WireError::LengthMismatch`] unless Length is the datagram's length,
    /// [`WireError::Malformed`] for a major version other than 1 or an initiator cookie of zero (RFC 2408 §5.2).
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
        let (major, minor) = (version >> 4, version & 0x0f);
        if major != Self::MAJOR {
            return Err(cursor.malformed("the major version is not 1"));
        }
        if usize::try_from(length) != Ok(datagram.len()) {
            return Err(WireError::LengthMismatch { header: length, datagram: datagram.len() });
        }
        if initiator_cookie.is_zero() {
            return Err(cursor.malformed("the initiator's cookie is zero"));
        }
        Ok(Header { initiator_cookie, responder_cookie, next_payload, minor, exchange, flags, message_id, length })
    }

    /// Appends the 28 octets to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.initiator_cookie.0);
        out.extend_from_slice(&self.responder_cookie.0);
        out.push(self.next_payload.to_u8());
        out.push((Self::MAJOR << 4) | (self.minor & 0x0f));
        out.push(self.exchange.to_u8());
        out.push(self.flags.to_u8());
        out.extend_from_slice(&self.message_id.to_be_bytes());
        out.extend_from_slice(&self.length.to_be_bytes());
    }
}
