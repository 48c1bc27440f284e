//! Notifications and deletes (RFC 2408 §3.14, §3.15; RFC 2407 §4.6.3).

use std::borrow::Cow;
use std::fmt;

use ipsec::Spi;

use super::{Cursor, DOI_IPSEC, IkeSpi, ProtocolId, WireError, length16};

/// Notify Message Type: errors below 16384, status above (RFC 2408 §3.14.1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NotifyType(pub u16);

macro_rules! notify_types {
    ($($constant:ident, $name:literal = $value:literal, $rfc:literal;)+) => {
        impl NotifyType {
            $(#[doc = concat!("`", $name, "`, ", stringify!($value), " (", $rfc, ").")]
            pub const $constant: NotifyType = NotifyType($value);)+

            /// The registered name; of others, the number.
            #[must_use]
            pub fn name(self) -> Cow<'static, str> {
                match self.0 {
                    $($value => Cow::Borrowed($name),)+
                    other => Cow::Owned(format!("notify {other}")),
                }
            }
        }
    };
}

notify_types! {
    INVALID_PAYLOAD_TYPE, "INVALID-PAYLOAD-TYPE" = 1, "RFC 2408";
    DOI_NOT_SUPPORTED, "DOI-NOT-SUPPORTED" = 2, "RFC 2408";
    SITUATION_NOT_SUPPORTED, "SITUATION-NOT-SUPPORTED" = 3, "RFC 2408";
    INVALID_COOKIE, "INVALID-COOKIE" = 4, "RFC 2408";
    INVALID_MAJOR_VERSION, "INVALID-MAJOR-VERSION" = 5, "RFC 2408";
    INVALID_MINOR_VERSION, "INVALID-MINOR-VERSION" = 6, "RFC 2408";
    INVALID_EXCHANGE_TYPE, "INVALID-EXCHANGE-TYPE" = 7, "RFC 2408";
    INVALID_FLAGS, "INVALID-FLAGS" = 8, "RFC 2408";
    INVALID_MESSAGE_ID, "INVALID-MESSAGE-ID" = 9, "RFC 2408";
    INVALID_PROTOCOL_ID, "INVALID-PROTOCOL-ID" = 10, "RFC 2408";
    INVALID_SPI, "INVALID-SPI" = 11, "RFC 2408";
    INVALID_TRANSFORM_ID, "INVALID-TRANSFORM-ID" = 12, "RFC 2408";
    ATTRIBUTES_NOT_SUPPORTED, "ATTRIBUTES-NOT-SUPPORTED" = 13, "RFC 2408";
    NO_PROPOSAL_CHOSEN, "NO-PROPOSAL-CHOSEN" = 14, "RFC 2408";
    BAD_PROPOSAL_SYNTAX, "BAD-PROPOSAL-SYNTAX" = 15, "RFC 2408";
    PAYLOAD_MALFORMED, "PAYLOAD-MALFORMED" = 16, "RFC 2408";
    INVALID_KEY_INFORMATION, "INVALID-KEY-INFORMATION" = 17, "RFC 2408";
    INVALID_ID_INFORMATION, "INVALID-ID-INFORMATION" = 18, "RFC 2408";
    INVALID_CERT_ENCODING, "INVALID-CERT-ENCODING" = 19, "RFC 2408";
    INVALID_CERTIFICATE, "INVALID-CERTIFICATE" = 20, "RFC 2408";
    CERT_TYPE_UNSUPPORTED, "CERT-TYPE-UNSUPPORTED" = 21, "RFC 2408";
    INVALID_CERT_AUTHORITY, "INVALID-CERT-AUTHORITY" = 22, "RFC 2408";
    INVALID_HASH_INFORMATION, "INVALID-HASH-INFORMATION" = 23, "RFC 2408";
    AUTHENTICATION_FAILED, "AUTHENTICATION-FAILED" = 24, "RFC 2408";
    INVALID_SIGNATURE, "INVALID-SIGNATURE" = 25, "RFC 2408";
    ADDRESS_NOTIFICATION, "ADDRESS-NOTIFICATION" = 26, "RFC 2408";
    NOTIFY_SA_LIFETIME, "NOTIFY-SA-LIFETIME" = 27, "RFC 2408";
    CERTIFICATE_UNAVAILABLE, "CERTIFICATE-UNAVAILABLE" = 28, "RFC 2408";
    UNSUPPORTED_EXCHANGE_TYPE, "UNSUPPORTED-EXCHANGE-TYPE" = 29, "RFC 2408";
    UNEQUAL_PAYLOAD_LENGTHS, "UNEQUAL-PAYLOAD-LENGTHS" = 30, "RFC 2408";
    CONNECTED, "CONNECTED" = 16384, "RFC 2408";
    RESPONDER_LIFETIME, "RESPONDER-LIFETIME" = 24576, "RFC 2407";
    REPLAY_STATUS, "REPLAY-STATUS" = 24577, "RFC 2407";
    INITIAL_CONTACT, "INITIAL-CONTACT" = 24578, "RFC 2407";
    R_U_THERE, "R-U-THERE" = 36136, "RFC 3706";
    R_U_THERE_ACK, "R-U-THERE-ACK" = 36137, "RFC 3706";
}

impl NotifyType {
    /// Whether this reports a failure: 1 to 30 are named, up to 8191 reserved, up to 16383 private (RFC 2408 §3.14.1).
    #[must_use]
    pub fn is_error(self) -> bool {
        (1..16384).contains(&self.0)
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

/// A notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// What this is about.
    pub protocol: ProtocolId,
    /// Empty, both cookies for ISAKMP, or the SPI of an SA. At most 255 octets.
    pub spi: Vec<u8>,
    /// What is said.
    pub ty: NotifyType,
    /// What goes with it, by type.
    pub data: Vec<u8>,
}

impl Notification {
    /// A notification about the ISAKMP SA or a whole message, without SPI and data.
    #[must_use]
    pub fn new(ty: NotifyType) -> Self {
        Notification { protocol: ProtocolId::Isakmp, spi: Vec::new(), ty, data: Vec::new() }
    }

    /// A notification about the ISAKMP SA of these cookies, as DPD and INITIAL-CONTACT want it (RFC 3706 §5.3,
    /// RFC 2407 §4.6.3.3).
    #[must_use]
    pub fn of_isakmp(ty: NotifyType, initiator: IkeSpi, responder: IkeSpi, data: impl Into<Vec<u8>>) -> Self {
        let spi = [initiator.0, responder.0].concat();
        Notification { protocol: ProtocolId::Isakmp, spi, ty, data: data.into() }
    }

    /// `None` for a domain of interpretation other than IPSEC and, as some send it, 0 (ISAKMP's own).
    pub(super) fn parse(body: &[u8]) -> Result<Option<Self>, WireError> {
        let mut cursor = Cursor::new(body, "N payload");
        let doi = cursor.u32()?;
        let protocol = ProtocolId::from_u8(cursor.u8()?);
        let spi_size = cursor.u8()?;
        let ty = NotifyType(cursor.u16()?);
        let spi = cursor.take(usize::from(spi_size))?.to_vec();
        let notification = Notification { protocol, spi, ty, data: cursor.remaining().to_vec() };
        Ok((doi <= DOI_IPSEC).then_some(notification))
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = DOI_IPSEC.to_be_bytes().to_vec();
        let spi = self.spi.get(..255).unwrap_or(&self.spi);
        out.extend_from_slice(&[self.protocol.to_u8(), u8::try_from(spi.len()).unwrap_or(u8::MAX)]);
        out.extend_from_slice(&self.ty.0.to_be_bytes());
        out.extend_from_slice(spi);
        out.extend_from_slice(&self.data);
        out
    }
}

/// A delete: SAs that the sender has removed, by the *sender's* inbound SPIs (RFC 2408 §3.15).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delete {
    /// What they are SAs of.
    pub protocol: ProtocolId,
    /// All of one size: 16 octets for ISAKMP (both cookies), 4 for ESP and AH. Unknown values are simply not found.
    pub spis: Vec<Vec<u8>>,
}

/// Octets of SPI in ESP and AH.
const SPI_LEN: u8 = 4;
/// Octets of both cookies, which are ISAKMP's SPI.
const COOKIES_LEN: u8 = 16;

impl Delete {
    /// The deletion of the ISAKMP SA of these cookies.
    #[must_use]
    pub fn isakmp(initiator: IkeSpi, responder: IkeSpi) -> Self {
        Delete { protocol: ProtocolId::Isakmp, spis: vec![[initiator.0, responder.0].concat()] }
    }

    /// The deletion of ESP SAs by our inbound SPIs.
    #[must_use]
    pub fn esp(spis: impl IntoIterator<Item = Spi>) -> Self {
        let spis = spis.into_iter().map(|spi| spi.to_be_bytes().to_vec()).collect();
        Delete { protocol: ProtocolId::Esp, spis }
    }

    /// `None` for a domain of interpretation other than IPSEC and, as some send it, 0 (ISAKMP's own).
    pub(super) fn parse(body: &[u8]) -> Result<Option<Self>, WireError> {
        let mut cursor = Cursor::new(body, "D payload");
        let doi = cursor.u32()?;
        let protocol = ProtocolId::from_u8(cursor.u8()?);
        let spi_size = cursor.u8()?;
        let count = cursor.u16()?;
        if doi > DOI_IPSEC {
            return Ok(None);
        }
        match (protocol, spi_size) {
            (ProtocolId::Isakmp, COOKIES_LEN) | (ProtocolId::Esp | ProtocolId::Ah, SPI_LEN) => {}
            (ProtocolId::Isakmp, _) => return Err(cursor.malformed("the SPI of an ISAKMP SA is not 16 octets")),
            (ProtocolId::Esp | ProtocolId::Ah, _) => return Err(cursor.malformed("an SPI is not 4 octets")),
            // Without this, 65,535 SPIs of no octets would cost eight.
            (ProtocolId::IpComp | ProtocolId::Unknown(_), 0) => return Err(cursor.malformed("an SPI of no octets")),
            (ProtocolId::IpComp | ProtocolId::Unknown(_), _) => {}
        }
        let mut spis = Vec::with_capacity(usize::from(count).min(64));
        for _ in 0..count {
            spis.push(cursor.take(usize::from(spi_size))?.to_vec());
        }
        cursor.finish()?;
        Ok(Some(Delete { protocol, spis }))
    }

    /// SPIs of another size than the first's are left out.
    pub(super) fn encode(&self) -> Vec<u8> {
        let size = match self.protocol {
            ProtocolId::Isakmp => usize::from(COOKIES_LEN),
            ProtocolId::Esp | ProtocolId::Ah => usize::from(SPI_LEN),
            ProtocolId::IpComp | ProtocolId::Unknown(_) => self.spis.first().map_or(1, Vec::len),
        };
        // As many as fit a payload, whose length is 16 bits.
        let most = 65_000_usize.checked_div(size).unwrap_or_default();
        let spis: Vec<&[u8]> = self.spis.iter().map(Vec::as_slice).filter(|spi| spi.len() == size).take(most).collect();
        let mut out = DOI_IPSEC.to_be_bytes().to_vec();
        out.extend_from_slice(&[self.protocol.to_u8(), u8::try_from(size).unwrap_or(u8::MAX)]);
        out.extend_from_slice(&length16(spis.len()).to_be_bytes());
        out.extend(spis.concat());
        out
    }
}
