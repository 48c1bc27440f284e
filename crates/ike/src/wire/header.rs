//! The 28-octet IKE header (RFC 7296 §3.1).

use std::fmt;

use super::{Cursor, PayloadType, WireError};

/// An IKE SA's SPI: eight octets chosen by one end (RFC 7296 §2.6).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct IkeSpi(pub [u8; 8]);

impl IkeSpi {
    /// The responder's SPI before the responder has chosen one.
    pub const ZERO: IkeSpi = IkeSpi([0; 8]);

    /// Whether no SPI has been chosen.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        *self == IkeSpi::ZERO
    }
}

impl fmt::Display for IkeSpi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

impl fmt::Debug for IkeSpi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IkeSpi({self})")
    }
}

/// The Exchange Type field (RFC 7296 §3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ExchangeType {
    /// IKE_SA_INIT, 34.
    IkeSaInit,
    /// IKE_AUTH, 35.
    IkeAuth,
    /// CREATE_CHILD_SA, 36.
    CreateChildSa,
    /// INFORMATIONAL, 37.
    Informational,
    /// Any other value, IKEv1's among them.
    Unknown(u8),
}

impl ExchangeType {
    /// From the field's value; every value is representable.
    #[must_use]
    pub fn from_u8(value: u8) -> Self {
        match value {
            34 => ExchangeType::IkeSaInit,
            35 => ExchangeType::IkeAuth,
            36 => ExchangeType::CreateChildSa,
            37 => ExchangeType::Informational,
            other => ExchangeType::Unknown(other),
        }
    }

    /// The field's value.
    #[must_use]
    pub fn to_u8(self) -> u8 {
        match self {
            ExchangeType::IkeSaInit => 34,
            ExchangeType::IkeAuth => 35,
            ExchangeType::CreateChildSa => 36,
            ExchangeType::Informational => 37,
            ExchangeType::Unknown(other) => other,
        }
    }
}

impl fmt::Display for ExchangeType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExchangeType::IkeSaInit => f.write_str("IKE_SA_INIT"),
            ExchangeType::IkeAuth => f.write_str("IKE_AUTH"),
            ExchangeType::CreateChildSa => f.write_str("CREATE_CHILD_SA"),
            ExchangeType::Informational => f.write_str("INFORMATIONAL"),
            ExchangeType::Unknown(other) => write!(f, "exchange {other}"),
        }
    }
}

/// The Flags field; its reserved bits are cleared when sending and ignored on receipt (RFC 7296 §3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Flags {
    /// I: the sender is the original initiator of this IKE SA.
    pub initiator: bool,
    /// V: the sender could speak a higher major version. Ignored on receipt, never set.
    pub version: bool,
    /// R: this is a response.
    pub response: bool,
}

impl Flags {
    const INITIATOR: u8 = 0x08;
    const VERSION: u8 = 0x10;
    const RESPONSE: u8 = 0x20;

    /// From the field's value.
    #[must_use]
    pub fn from_u8(value: u8) -> Self {
        Flags {
            initiator: value & Self::INITIATOR != 0,
            version: value & Self::VERSION != 0,
            response: value & Self::RESPONSE != 0,
        }
    }

    /// The field's value.
    #[must_use]
    pub fn to_u8(self) -> u8 {
        let bit = |set: bool, bit: u8| if set { bit } else { 0 };
        bit(self.initiator, Self::INITIATOR) | bit(self.version, Self::VERSION) | bit(self.response, Self::RESPONSE)
    }
}

/// The IKE header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Header {
    /// The original initiator's SPI; never zero in a parsed header.
    pub initiator_spi: IkeSpi,
    /// The original responder's SPI; zero in the first message of IKE_SA_INIT.
    pub responder_spi: IkeSpi,
    /// Type of the first payload.
    pub next_payload: PayloadType,
    /// Major version: 2. Others are parsed, for INVALID_MAJOR_VERSION.
    pub major: u8,
    /// Minor version: 0 when sending, anything on receipt.
    pub minor: u8,
    /// The exchange this message belongs to.
    pub exchange: ExchangeType,
    /// Direction and role.
    pub flags: Flags,
    /// Message ID, counted per direction of request (RFC 7296 §2.2).
    pub message_id: u32,
    /// Octets of the whole message, header included.
    pub length: u32,
}

impl Header {
    /// Octets of the header.
    pub const LEN: usize = 28;

    /// Reads the header at the front of `datagram`, the whole IKE message without a non-ESP marker.
    ///
    /// # Errors
    /// [`WireError::Truncated`] below 28 octets, [`WireError::LengthMismatch`] unless Length is the datagram's length,
    /// [`WireError::Malformed`] for an initiator SPI of zero (RFC 7296 §3.1).
    pub fn parse(datagram: &[u8]) -> Result<Header, WireError> {
        let mut cursor = Cursor::new(datagram, "IKE header");
        let initiator_spi = IkeSpi(cursor.array()?);
        let responder_spi = IkeSpi(cursor.array()?);
        let next_payload = PayloadType::from_u8(cursor.u8()?);
        let version = cursor.u8()?;
        let exchange = ExchangeType::from_u8(cursor.u8()?);
        let flags = Flags::from_u8(cursor.u8()?);
        let message_id = cursor.u32()?;
        let length = cursor.u32()?;
        if usize::try_from(length) != Ok(datagram.len()) {
            return Err(WireError::LengthMismatch { header: length, datagram: datagram.len() });
        }
        if initiator_spi.is_zero() {
            return Err(cursor.malformed("the initiator's SPI is zero"));
        }
        let (major, minor) = (version >> 4, version & 0x0f);
        Ok(Header { initiator_spi, responder_spi, next_payload, major, minor, exchange, flags, message_id, length })
    }

    /// Appends the 28 octets to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.initiator_spi.0);
        out.extend_from_slice(&self.responder_spi.0);
        out.push(self.next_payload.to_u8());
        out.push((self.major << 4) | (self.minor & 0x0f));
        out.push(self.exchange.to_u8());
        out.push(self.flags.to_u8());
        out.extend_from_slice(&self.message_id.to_be_bytes());
        out.extend_from_slice(&self.length.to_be_bytes());
    }
}
