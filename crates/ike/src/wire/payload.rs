//! The chain of payloads: generic header, critical bit, types (RFC 7296 §3.2, §2.5).

use std::fmt;

use ipsec::TrafficSelector;

use super::{Cursor, Delete, Header, IdPayload, Notify, Proposal, WireError, body, length16};

/// Payloads accepted in one message. The longest ordinary message has about twenty; a bound keeps a hostile chain cheap.
pub const MAX_PAYLOADS: usize = 64;

/// Largest payload body: the length field is 16 bits and counts the generic header.
pub(super) const MAX_BODY: usize = 65_531;

const CRITICAL: u8 = 0x80;

/// The Next Payload values (RFC 7296 §3.2, RFC 7383 §2.5). IKEv1's types 1–32 are unknown here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PayloadType {
    /// 0: no next payload.
    None,
    /// 33, SA.
    SecurityAssociation,
    /// 34, KE.
    KeyExchange,
    /// 35, IDi.
    IdInitiator,
    /// 36, IDr.
    IdResponder,
    /// 37, CERT.
    Certificate,
    /// 38, CERTREQ.
    CertificateRequest,
    /// 39, AUTH.
    Authentication,
    /// 40, Ni, Nr.
    Nonce,
    /// 41, N.
    Notify,
    /// 42, D.
    Delete,
    /// 43, V.
    VendorId,
    /// 44, TSi.
    TsInitiator,
    /// 45, TSr.
    TsResponder,
    /// 46, SK.
    Encrypted,
    /// 47, CP.
    Configuration,
    /// 48, EAP.
    Eap,
    /// 53, SKF (RFC 7383).
    EncryptedFragment,
    /// Anything else.
    Unknown(u8),
}

impl PayloadType {
    /// From the field's value; every value is representable.
    #[must_use]
    pub fn from_u8(value: u8) -> Self {
        match value {
            0 => PayloadType::None,
            33 => PayloadType::SecurityAssociation,
            34 => PayloadType::KeyExchange,
            35 => PayloadType::IdInitiator,
            36 => PayloadType::IdResponder,
            37 => PayloadType::Certificate,
            38 => PayloadType::CertificateRequest,
            39 => PayloadType::Authentication,
            40 => PayloadType::Nonce,
            41 => PayloadType::Notify,
            42 => PayloadType::Delete,
            43 => PayloadType::VendorId,
            44 => PayloadType::TsInitiator,
            45 => PayloadType::TsResponder,
            46 => PayloadType::Encrypted,
            47 => PayloadType::Configuration,
            48 => PayloadType::Eap,
            53 => PayloadType::EncryptedFragment,
            other => PayloadType::Unknown(other),
        }
    }

    /// The field's value.
    #[must_use]
    pub fn to_u8(self) -> u8 {
        match self {
            PayloadType::None => 0,
            PayloadType::SecurityAssociation => 33,
            PayloadType::KeyExchange => 34,
            PayloadType::IdInitiator => 35,
            PayloadType::IdResponder => 36,
            PayloadType::Certificate => 37,
            PayloadType::CertificateRequest => 38,
            PayloadType::Authentication => 39,
            PayloadType::Nonce => 40,
            PayloadType::Notify => 41,
            PayloadType::Delete => 42,
            PayloadType::VendorId => 43,
            PayloadType::TsInitiator => 44,
            PayloadType::TsResponder => 45,
            PayloadType::Encrypted => 46,
            PayloadType::Configuration => 47,
            PayloadType::Eap => 48,
            PayloadType::EncryptedFragment => 53,
            PayloadType::Unknown(other) => other,
        }
    }
}

impl fmt::Display for PayloadType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            PayloadType::None => "none",
            PayloadType::SecurityAssociation => "SA",
            PayloadType::KeyExchange => "KE",
            PayloadType::IdInitiator => "IDi",
            PayloadType::IdResponder => "IDr",
            PayloadType::Certificate => "CERT",
            PayloadType::CertificateRequest => "CERTREQ",
            PayloadType::Authentication => "AUTH",
            PayloadType::Nonce => "Nonce",
            PayloadType::Notify => "N",
            PayloadType::Delete => "D",
            PayloadType::VendorId => "V",
            PayloadType::TsInitiator => "TSi",
            PayloadType::TsResponder => "TSr",
            PayloadType::Encrypted => "SK",
            PayloadType::Configuration => "CP",
            PayloadType::Eap => "EAP",
            PayloadType::EncryptedFragment => "SKF",
            PayloadType::Unknown(other) => return write!(f, "payload {other}"),
        };
        f.write_str(name)
    }
}

/// One payload, parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// SA: proposals in the sender's order of preference (§3.3).
    SecurityAssociation(Vec<Proposal>),
    /// KE: a group and a public value, whose length only the group can judge (§3.4).
    KeyExchange {
        /// Diffie-Hellman group number.
        group: u16,
        /// The public value.
        data: Vec<u8>,
    },
    /// IDi (§3.5).
    IdInitiator(IdPayload),
    /// IDr (§3.5).
    IdResponder(IdPayload),
    /// AUTH (§3.8).
    Authentication {
        /// Auth Method: 2 is the shared key message integrity code.
        method: u8,
        /// Authentication data.
        data: Vec<u8>,
    },
    /// Ni or Nr, 16 to 256 octets (§3.9).
    Nonce(Vec<u8>),
    /// N (§3.10).
    Notify(Notify),
    /// D (§3.11).
    Delete(Delete),
    /// V (§3.12).
    VendorId(Vec<u8>),
    /// TSi (§3.13). Selectors of unknown types are left out, so it may be empty.
    TsInitiator(Vec<TrafficSelector>),
    /// TSr (§3.13).
    TsResponder(Vec<TrafficSelector>),
    /// A payload whose content is not looked into: CERT, CERTREQ, CP, EAP, SK, SKF and unknown ones not marked critical.
    Opaque {
        /// Its type.
        ty: PayloadType,
        /// Its body, after the generic header.
        body: Vec<u8>,
    },
}

impl Payload {
    /// The payload's type.
    #[must_use]
    pub fn ty(&self) -> PayloadType {
        match self {
            Payload::SecurityAssociation(_) => PayloadType::SecurityAssociation,
            Payload::KeyExchange { .. } => PayloadType::KeyExchange,
            Payload::IdInitiator(_) => PayloadType::IdInitiator,
            Payload::IdResponder(_) => PayloadType::IdResponder,
            Payload::Authentication { .. } => PayloadType::Authentication,
            Payload::Nonce(_) => PayloadType::Nonce,
            Payload::Notify(_) => PayloadType::Notify,
            Payload::Delete(_) => PayloadType::Delete,
            Payload::VendorId(_) => PayloadType::VendorId,
            Payload::TsInitiator(_) => PayloadType::TsInitiator,
            Payload::TsResponder(_) => PayloadType::TsResponder,
            Payload::Opaque { ty, .. } => *ty,
        }
    }
}

/// One payload's generic header and body, before its body is looked into.
pub(crate) struct RawPayload<'a> {
    pub(crate) next: PayloadType,
    pub(crate) critical: bool,
    pub(crate) body: &'a [u8],
}

/// Reads one generic payload header and the body it announces (RFC 7296 §3.2).
pub(crate) fn raw_payload<'a>(cursor: &mut Cursor<'a>) -> Result<RawPayload<'a>, WireError> {
    let next = PayloadType::from_u8(cursor.u8()?);
    let critical = cursor.u8()? & CRITICAL != 0;
    let length = cursor.u16()?;
    let body = cursor.nested(length, 4, "payload")?.remaining();
    Ok(RawPayload { next, critical, body })
}

/// Reads a chain of payloads, in the order received.
///
/// The chain ends at Next Payload zero, or with SK or SKF, whose Next Payload names the first payload inside.
///
/// # Errors
/// [`WireError::UnsupportedCriticalPayload`] for an unknown critical payload (types that we know ignore the bit, §2.5),
/// [`WireError::TooMany`] above [`MAX_PAYLOADS`], else what is wrong with the first malformed payload.
pub fn parse_payloads(first: PayloadType, bytes: &[u8]) -> Result<Vec<Payload>, WireError> {
    let mut cursor = Cursor::new(bytes, "payload chain");
    let mut payloads = Vec::new();
    let mut ty = first;
    while ty != PayloadType::None {
        if payloads.len() >= MAX_PAYLOADS {
            return Err(WireError::TooMany { what: "payloads", limit: MAX_PAYLOADS });
        }
        let raw = raw_payload(&mut cursor)?;
        if let (PayloadType::Unknown(number), true) = (ty, raw.critical) {
            return Err(WireError::UnsupportedCriticalPayload(number));
        }
        payloads.push(body::parse(ty, raw.body)?);
        ty = match ty {
            PayloadType::Encrypted | PayloadType::EncryptedFragment => PayloadType::None,
            _ => raw.next,
        };
    }
    cursor.finish()?;
    Ok(payloads)
}

/// Writes a chain of payloads and returns the first one's type beside it.
///
/// Lengths are 16 bits: a body beyond 65,531 octets is cut there. Nothing that we send comes near it.
#[must_use]
pub fn encode_payloads(payloads: &[Payload]) -> (PayloadType, Vec<u8>) {
    let mut out = Vec::new();
    let mut following = payloads.iter().skip(1);
    for payload in payloads {
        let next = following.next().map_or(PayloadType::None, Payload::ty);
        let mut body = body::encode(payload);
        body.truncate(MAX_BODY);
        out.push(next.to_u8());
        out.push(0);
        out.extend_from_slice(&length16(body.len().saturating_add(4)).to_be_bytes());
        out.append(&mut body);
    }
    (payloads.first().map_or(PayloadType::None, Payload::ty), out)
}

/// A whole unprotected message: IKE_SA_INIT, or a notification outside of any SA. Fills in next payload and length.
#[must_use]
pub fn plain_message(mut header: Header, payloads: &[Payload]) -> Vec<u8> {
    let (first, body) = encode_payloads(payloads);
    header.next_payload = first;
    header.length = u32::try_from(body.len().saturating_add(Header::LEN)).unwrap_or(u32::MAX);
    let mut out = Vec::with_capacity(body.len().saturating_add(Header::LEN));
    header.write(&mut out);
    out.extend_from_slice(&body);
    out
}
