//! The chain of payloads: generic header and types (RFC 2408 §3.2, RFC 3947 §3.2).

use std::fmt;

use super::{Cursor, Delete, Header, IdPayload, Notification, SaPayload, WireError, body, length16};

/// Payloads accepted in one message. The longest ordinary message has about twenty, most of them vendor IDs; a bound
/// keeps a hostile chain cheap.
pub const MAX_PAYLOADS: usize = 64;

/// Largest payload body: the length field is 16 bits and counts the generic header.
pub(super) const MAX_BODY: usize = 65_531;

/// The Next Payload values. IKEv2's types 33 to 53 are unknown here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PayloadType {
    /// 0: no next payload.
    None,
    /// 1, SA.
    SecurityAssociation,
    /// 2, P: only inside an SA payload.
    Proposal,
    /// 3, T: only inside a proposal.
    Transform,
    /// 4, KE.
    KeyExchange,
    /// 5, ID.
    Identification,
    /// 6, CERT.
    Certificate,
    /// 7, CR.
    CertificateRequest,
    /// 8, HASH.
    Hash,
    /// 9, SIG.
    Signature,
    /// 10, NONCE.
    Nonce,
    /// 11, N.
    Notification,
    /// 12, D.
    Delete,
    /// 13, VID.
    VendorId,
    /// 14: attributes of mode configuration and XAUTH.
    Attributes,
    /// 20, NAT-D (RFC 3947 §3.2).
    NatDiscovery,
    /// 21, NAT-OA (RFC 3947 §5.2).
    NatOriginalAddress,
    /// 130, NAT-D of drafts 02 and 03.
    NatDiscoveryDraft,
    /// 131, NAT-OA of drafts 02 and 03.
    NatOriginalAddressDraft,
    /// 132: a piece of a message cut by Cisco's scheme; only ever a first payload, see [`Fragment`](super::Fragment).
    Fragment,
    /// Anything else.
    Unknown(u8),
}

impl PayloadType {
    /// From the field's value; every value is representable.
    #[must_use]
    pub fn from_u8(value: u8) -> Self {
        match value {
            0 => PayloadType::None,
            1 => PayloadType::SecurityAssociation,
            2 => PayloadType::Proposal,
            3 => PayloadType::Transform,
            4 => PayloadType::KeyExchange,
            5 => PayloadType::Identification,
            6 => PayloadType::Certificate,
            7 => PayloadType::CertificateRequest,
            8 => PayloadType::Hash,
            9 => PayloadType::Signature,
            10 => PayloadType::Nonce,
            11 => PayloadType::Notification,
            12 => PayloadType::Delete,
            13 => PayloadType::VendorId,
            14 => PayloadType::Attributes,
            20 => PayloadType::NatDiscovery,
            21 => PayloadType::NatOriginalAddress,
            130 => PayloadType::NatDiscoveryDraft,
            131 => PayloadType::NatOriginalAddressDraft,
            132 => PayloadType::Fragment,
            other => PayloadType::Unknown(other),
        }
    }

    /// The field's value.
    #[must_use]
    pub fn to_u8(self) -> u8 {
        match self {
            PayloadType::None => 0,
            PayloadType::SecurityAssociation => 1,
            PayloadType::Proposal => 2,
            PayloadType::Transform => 3,
            PayloadType::KeyExchange => 4,
            PayloadType::Identification => 5,
            PayloadType::Certificate => 6,
            PayloadType::CertificateRequest => 7,
            PayloadType::Hash => 8,
            PayloadType::Signature => 9,
            PayloadType::Nonce => 10,
            PayloadType::Notification => 11,
            PayloadType::Delete => 12,
            PayloadType::VendorId => 13,
            PayloadType::Attributes => 14,
            PayloadType::NatDiscovery => 20,
            PayloadType::NatOriginalAddress => 21,
            PayloadType::NatDiscoveryDraft => 130,
            PayloadType::NatOriginalAddressDraft => 131,
            PayloadType::Fragment => 132,
            PayloadType::Unknown(other) => other,
        }
    }
}

impl fmt::Display for PayloadType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            PayloadType::None => "none",
            PayloadType::SecurityAssociation => "SA",
            PayloadType::Proposal => "P",
            PayloadType::Transform => "T",
            PayloadType::KeyExchange => "KE",
            PayloadType::Identification => "ID",
            PayloadType::Certificate => "CERT",
            PayloadType::CertificateRequest => "CR",
            PayloadType::Hash => "HASH",
            PayloadType::Signature => "SIG",
            PayloadType::Nonce => "NONCE",
            PayloadType::Notification => "N",
            PayloadType::Delete => "D",
            PayloadType::VendorId => "VID",
            PayloadType::Attributes => "ATTR",
            PayloadType::NatDiscovery => "NAT-D",
            PayloadType::NatOriginalAddress => "NAT-OA",
            PayloadType::NatDiscoveryDraft => "NAT-D (draft)",
            PayloadType::NatOriginalAddressDraft => "NAT-OA (draft)",
            PayloadType::Fragment => "FRAG",
            PayloadType::Unknown(other) => return write!(f, "payload {other}"),
        };
        f.write_str(name)
    }
}

/// One payload, parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// SA: proposals in the sender's order of preference (RFC 2408 §3.4).
    SecurityAssociation(SaPayload),
    /// KE: a public value, whose length only the group can judge (§3.7).
    KeyExchange(Vec<u8>),
    /// ID: a party in phase 1, its traffic in phase 2 (RFC 2407 §4.6.2).
    Identification(IdPayload),
    /// HASH (RFC 2408 §3.11).
    Hash(Vec<u8>),
    /// NONCE, 8 to 256 octets (RFC 2409 §5).
    Nonce(Vec<u8>),
    /// N (RFC 2408 §3.14).
    Notification(Notification),
    /// D (RFC 2408 §3.15).
    Delete(Delete),
    /// VID (RFC 2408 §3.16).
    VendorId(Vec<u8>),
    /// NAT-D (RFC 3947 §3.2).
    NatDiscovery {
        /// Under the number of drafts 02 and 03.
        draft: bool,
        /// HASH(CKY-I | CKY-R | address | port), with the hash that was negotiated.
        hash: Vec<u8>,
    },
    /// A payload whose content is not looked into: CERT, CR, SIG, ATTR, NAT-OA, unknown ones; and notifications and
    /// deletes of a domain of interpretation that is not ours, which are to be discarded (RFC 2408 §5.14, §5.15).
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
            Payload::KeyExchange(_) => PayloadType::KeyExchange,
            Payload::Identification(_) => PayloadType::Identification,
            Payload::Hash(_) => PayloadType::Hash,
            Payload::Nonce(_) => PayloadType::Nonce,
            Payload::Notification(_) => PayloadType::Notification,
            Payload::Delete(_) => PayloadType::Delete,
            Payload::VendorId(_) => PayloadType::VendorId,
            Payload::NatDiscovery { draft: false, .. } => PayloadType::NatDiscovery,
            Payload::NatDiscovery { draft: true, .. } => PayloadType::NatDiscoveryDraft,
            Payload::Opaque { ty, .. } => *ty,
        }
    }
}

/// A chain of payloads, and where in the octets it lies: HASH(1) and its like cover octets as received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed {
    /// In the order received.
    pub payloads: Vec<Payload>,
    /// Offset of the first octet behind the first payload: what HASH(1) and its like cover begins there.
    pub after_first: usize,
    /// Offset behind the last payload; padding follows.
    pub end: usize,
}

/// Reads a chain of payloads, in the order received. With `encrypted`, whatever follows the last one is padding, of any
/// content (RFC 2409 appendix B says only how a sender may pad).
///
/// # Errors
/// [`WireError::TooMany`] above [`MAX_PAYLOADS`], octets behind the last payload unless `encrypted`, else what is wrong
/// with the first malformed payload.
pub fn parse_payloads(first: PayloadType, bytes: &[u8], encrypted: bool) -> Result<Parsed, WireError> {
    let mut cursor = Cursor::new(bytes, "payload chain");
    let mut parsed = Parsed { payloads: Vec::new(), after_first: 0, end: 0 };
    let mut ty = first;
    while ty != PayloadType::None {
        if parsed.payloads.len() >= MAX_PAYLOADS {
            return Err(WireError::TooMany { what: "payloads", limit: MAX_PAYLOADS });
        }
        let next = PayloadType::from_u8(cursor.u8()?);
        cursor.u8()?;
        let length = cursor.u16()?;
        let body = cursor.nested(length, 4, "payload")?.remaining();
        parsed.payloads.push(body::parse(ty, body)?);
        parsed.end = parsed.end.saturating_add(usize::from(length));
        if parsed.payloads.len() == 1 {
            parsed.after_first = parsed.end;
        }
        ty = next;
    }
    if !encrypted {
        cursor.finish()?;
    }
    Ok(parsed)
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

/// A whole message that is not encrypted. Fills in next payload and length.
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
