//! Notifications and deletes (RFC 2408 §3.14, §3.15; RFC 2407 §4.6.3; RFC 3706 §5.3).

use super::{Cursor, ProtocolId, WireError, length16};
use std::borrow::Cow;
use std::fmt;

/// IPSEC DOI: that of all notifications here.
const IPSEC_DOI: u32 = 1;

/// Notify Message Type: errors below 8192, DOI-specific errors below 16384, status above (RFC 2408 §3.14.1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NotifyType(pub u16);

macro_rules! notify_types {
    ($($name:ident = $value:literal, $text:literal;)+) => {
        impl NotifyType {
            $(#[doc = concat!("`", $text, "`, ", stringify!($value), ".")]
            pub const $name: NotifyType = NotifyType($value);)+

            /// The registered name; of others, the number.
            #[must_use]
            pub fn name(self) -> Cow<'static, str> {
                match self.0 {
                    $($value => Cow::Borrowed($text),)+
                    other => Cow::Owned(format!("notification {other}")),
                }
            }
        }
    };
}

notify_types! {
    INVALID_PAYLOAD_TYPE = 1, "INVALID-PAYLOAD-TYPE";
    DOI_NOT_SUPPORTED = 2, "DOI-NOT-SUPPORTED";
    SITUATION_NOT_SUPPORTED = 3, "SITUATION-NOT-SUPPORTED";
    INVALID_COOKIE = 4, "INVALID-COOKIE";
    INVALID_MAJOR_VERSION = 5, "INVALID-MAJOR-VERSION";
    INVALID_MINOR_VERSION = 6, "INVALID-MINOR-VERSION";
    INVALID_EXCHANGE_TYPE = 7, "INVALID-EXCHANGE-TYPE";
    INVALID_FLAGS = 8, "INVALID-FLAGS";
    INVALID_MESSAGE_ID = 9, "INVALID-MESSAGE-ID";
    INVALID_PROTOCOL_ID = 10, "INVALID-PROTOCOL-ID";
    INVALID_SPI = 11, "INVALID-SPI";
    INVALID_TRANSFORM_ID = 12, "INVALID-TRANSFORM-ID";
    ATTRIBUTES_NOT_SUPPORTED = 13, "ATTRIBUTES-NOT-SUPPORTED";
    NO_PROPOSAL_CHOSEN = 14, "NO-PROPOSAL-CHOSEN";
    BAD_PROPOSAL_SYNTAX = 15, "BAD-PROPOSAL-SYNTAX";
    PAYLOAD_MALFORMED = 16, "PAYLOAD-MALFORMED";
    INVALID_KEY_INFORMATION = 17, "INVALID-KEY-INFORMATION";
    INVALID_ID_INFORMATION = 18, "INVALID-ID-INFORMATION";
    INVALID_CERT_ENCODING = 19, "INVALID-CERT-ENCODING";
    INVALID_CERTIFICATE = 20, "INVALID-CERTIFICATE";
    CERT_TYPE_UNSUPPORTED = 21, "CERT-TYPE-UNSUPPORTED";
    INVALID_CERT_AUTHORITY = 22, "INVALID-CERT-AUTHORITY";
    INVALID_HASH_INFORMATION = 23, "INVALID-HASH-INFORMATION";
    AUTHENTICATION_FAILED = 24, "AUTHENTICATION-FAILED";
    INVALID_SIGNATURE = 25, "INVALID-SIGNATURE";
    ADDRESS_NOTIFICATION = 26, "ADDRESS-NOTIFICATION";
    NOTIFY_SA_LIFETIME = 27, "NOTIFY-SA-LIFETIME";
    CERTIFICATE_UNAVAILABLE = 28, "CERTIFICATE-UNAVAILABLE";
    UNSUPPORTED_EXCHANGE_TYPE = 29, "UNSUPPORTED-EXCHANGE-TYPE";
    UNEQUAL_PAYLOAD_LENGTHS = 30, "UNEQUAL-PAYLOAD-LENGTHS";
    CONNECTED = 16384, "CONNECTED";
    RESPONDER_LIFETIME = 24576, "RESPONDER-LIFETIME";
    REPLAY_STATUS = 24577, "REPLAY-STATUS";
    INITIAL_CONTACT = 24578, "INITIAL-CONTACT";
    R_U_THERE = 36136, "R-U-THERE";
    R_U_THERE_ACK = 36137, "R-U-THERE-ACK";
}

impl NotifyType {
    /// Whether this reports a failure.
    #[must_use]
    pub fn is_error(self) -> bool {
        self.0 != 0 && self.0 < 16384
    }
}

impl fmt::Display for NotifyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

impl fmt::Debug for NotifyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NotifyType({self})")
    }
}

/// A notification. Its DOI is not looked at: some peers write 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// What it is about.
    pub protocol: ProtocolId,
    /// The SPI it is about: both cookies for ISAKMP, four octets for ESP, or none. At most 255 octets.
    pub spi: Vec<u8>,
    /// What is said.
    pub ty: NotifyType,
    /// What goes with it, by type.
    pub data: Vec<u8>,
}

impl Notification {
    pub(super) fn parse(body: &[u8]) -> Result<Self, WireError> {
        let mut cursor = Cursor::new(body, "Notification payload");
        cursor.u32()?;
        let protocol = ProtocolId::from_u8(cursor.u8()?);
        let spi_size = cursor.u8()?;
        let ty = NotifyType(cursor.u16()?);
        let spi = cursor.take(usize::from(spi_size))?.to_vec();
        Ok(Notification { protocol, spi, ty, data: cursor.remaining().to_vec() })
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let spi = self.spi.get(..255).unwrap_or(&self.spi);
        out.extend_from_slice(&IPSEC_DOI.to_be_bytes());
        out.extend_from_slice(&[self.protocol.to_u8(), u8::try_from(spi.len()).unwrap_or(u8::MAX)]);
        out.extend_from_slice(&self.ty.0.to_be_bytes());
        out.extend_from_slice(spi);
        out.extend_from_slice(&self.data);
    }
}

/// SAs that are gone at the sender: ISAKMP's by both cookies, others by the sender's inbound SPIs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delete {
    /// What they are SAs of.
    pub protocol: ProtocolId,
    /// Which; all of one length, unchecked otherwise.
    pub spis: Vec<Vec<u8>>,
}

impl Delete {
    pub(super) fn parse(body: &[u8]) -> Result<Self, WireError> {
        let mut cursor = Cursor::new(body, "Delete payload");
        cursor.u32()?;
        let protocol = ProtocolId::from_u8(cursor.u8()?);
        let size = usize::from(cursor.u8()?);
        let count = cursor.u16()?;
        if !sizes(protocol).contains(&size) {
            return Err(cursor.malformed("an SPI of a length that its protocol does not have"));
        }
        let mut spis = Vec::with_capacity(usize::from(count).min(64));
        for _ in 0..count {
            spis.push(cursor.take(size)?.to_vec());
        }
        cursor.finish()?;
        Ok(Delete { protocol, spis })
    }

    /// As many SPIs as a payload holds.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let size = self.spis.first().map(Vec::len).or(sizes(self.protocol).first().copied()).unwrap_or_default();
        let most = MAX_SPI_OCTETS.checked_div(size).unwrap_or_default();
        let spis = self.spis.get(..most).unwrap_or(&self.spis);
        out.extend_from_slice(&IPSEC_DOI.to_be_bytes());
        out.extend_from_slice(&[self.protocol.to_u8(), u8::try_from(size).unwrap_or(u8::MAX)]);
        out.extend_from_slice(&length16(spis.len()).to_be_bytes());
        spis.iter().for_each(|spi| out.extend_from_slice(spi));
    }
}

/// Octets of SPIs in one delete, which leave room for what goes before them in a length of 16 bits.
const MAX_SPI_OCTETS: usize = 65_520;

/// Octets that an SPI may have: both cookies are ISAKMP's, IPComp's may be written as two or four (RFC 3173 §4.1).
fn sizes(protocol: ProtocolId) -> &'static [usize] {
    match protocol {
        ProtocolId::Isakmp => &[16],
        ProtocolId::Ah | ProtocolId::Esp => &[4],
        ProtocolId::IpComp => &[2, 4],
        ProtocolId::Unknown(_) => &[],
    }
}
