//! The SA payload: proposals, transforms, attributes (RFC 2408 §3.4–§3.6, §3.3; RFC 2407 §4.6.1).
//!
//! Whatever is well formed is kept, known or not, and in the form it came in: a responder answers with the initiator's
//! transform unchanged, and HASH_I covers the initiator's octets (RFC 2409 §5). Which proposal is unusable is decided by
//! [`crate::v1::proposal`]. The next-payload octets inside are redundant beside the lengths and are not looked at.

use std::fmt;

use super::{Cursor, DOI_IPSEC, WireError, length16};

/// Proposals accepted in one SA payload; a generous peer sends ten.
pub const MAX_PROPOSALS: usize = 64;

/// Attributes accepted in one transform; a generous peer sends nine.
pub const MAX_ATTRIBUTES: usize = 32;

/// SIT_IDENTITY_ONLY (RFC 2407 §4.2.1): the only situation that is not about secrecy labels.
const SITUATION_IDENTITY_ONLY: u32 = 1;

/// Protocol ID of proposals, notifications and deletes (RFC 2407 §4.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProtocolId {
    /// 1.
    Isakmp,
    /// 2.
    Ah,
    /// 3.
    Esp,
    /// 4.
    IpComp,
    /// Anything else.
    Unknown(u8),
}

impl ProtocolId {
    /// From the field's value; every value is representable.
    #[must_use]
    pub fn from_u8(value: u8) -> Self {
        match value {
            1 => ProtocolId::Isakmp,
            2 => ProtocolId::Ah,
            3 => ProtocolId::Esp,
            4 => ProtocolId::IpComp,
            other => ProtocolId::Unknown(other),
        }
    }

    /// The field's value.
    #[must_use]
    pub fn to_u8(self) -> u8 {
        match self {
            ProtocolId::Isakmp => 1,
            ProtocolId::Ah => 2,
            ProtocolId::Esp => 3,
            ProtocolId::IpComp => 4,
            ProtocolId::Unknown(other) => other,
        }
    }
}

impl fmt::Display for ProtocolId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProtocolId::Isakmp => f.write_str("ISAKMP"),
            ProtocolId::Ah => f.write_str("AH"),
            ProtocolId::Esp => f.write_str("ESP"),
            ProtocolId::IpComp => f.write_str("IPCOMP"),
            ProtocolId::Unknown(other) => write!(f, "protocol {other}"),
        }
    }
}

/// The value of an attribute, in the form it has on the wire (RFC 2408 §3.3).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AttributeValue {
    /// Basic: 16 bits in place of a length.
    Short(u16),
    /// Variable: octets with their length in front. At most 65,535.
    Long(Vec<u8>),
}

impl AttributeValue {
    /// The number that either form stands for; none if there are no octets, or more than eight.
    #[must_use]
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            AttributeValue::Short(value) => Some(u64::from(*value)),
            AttributeValue::Long(octets) if (1..=8).contains(&octets.len()) => {
                Some(octets.iter().fold(0, |number: u64, octet| (number << 8) | u64::from(*octet)))
            }
            AttributeValue::Long(_) => None,
        }
    }
}

/// One attribute of a transform.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attribute {
    /// Its type, 15 bits, without the bit that tells the forms apart.
    pub ty: u16,
    /// Its value.
    pub value: AttributeValue,
}

impl Attribute {
    /// The bit that says that a value, not a length, follows the type.
    const BASIC: u16 = 0x8000;

    /// An attribute in the shortest form for its number: basic up to 65,535, else four octets.
    #[must_use]
    pub fn number(ty: u16, value: u32) -> Self {
        let value = match u16::try_from(value) {
            Ok(value) => AttributeValue::Short(value),
            Err(_) => AttributeValue::Long(value.to_be_bytes().to_vec()),
        };
        Attribute { ty, value }
    }

    fn parse(cursor: &mut Cursor<'_>) -> Result<Self, WireError> {
        let ty = cursor.u16()?;
        let value = cursor.u16()?;
        if ty & Self::BASIC != 0 {
            return Ok(Attribute { ty: ty & !Self::BASIC, value: AttributeValue::Short(value) });
        }
        let octets = cursor.take(usize::from(value))?.to_vec();
        Ok(Attribute { ty, value: AttributeValue::Long(octets) })
    }

    fn write(&self, out: &mut Vec<u8>) {
        match &self.value {
            AttributeValue::Short(value) => {
                out.extend_from_slice(&(self.ty | Self::BASIC).to_be_bytes());
                out.extend_from_slice(&value.to_be_bytes());
            }
            AttributeValue::Long(octets) => {
                let octets = octets.get(..usize::from(u16::MAX)).unwrap_or(octets);
                out.extend_from_slice(&(self.ty & !Self::BASIC).to_be_bytes());
                out.extend_from_slice(&length16(octets.len()).to_be_bytes());
                out.extend_from_slice(octets);
            }
        }
    }
}

/// Attributes without a transform around them: the data of a RESPONDER-LIFETIME notification (RFC 2407 §4.6.3.1).
///
/// # Errors
/// [`WireError::Truncated`] and [`WireError::TooMany`].
pub fn parse_attributes(octets: &[u8]) -> Result<Vec<Attribute>, WireError> {
    attributes(Cursor::new(octets, "attributes"))
}

/// What [`parse_attributes`] reads.
#[must_use]
pub fn encode_attributes(attributes: &[Attribute]) -> Vec<u8> {
    let mut out = Vec::new();
    for attribute in attributes {
        attribute.write(&mut out);
    }
    out
}

fn attributes(mut cursor: Cursor<'_>) -> Result<Vec<Attribute>, WireError> {
    let mut attributes = Vec::new();
    while !cursor.is_empty() {
        if attributes.len() >= MAX_ATTRIBUTES {
            return Err(WireError::TooMany { what: "attributes of a transform", limit: MAX_ATTRIBUTES });
        }
        attributes.push(Attribute::parse(&mut cursor)?);
    }
    Ok(attributes)
}

/// One transform: a whole combination of algorithms, not one algorithm as in IKEv2.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Transform {
    /// Transform #: 1 for the first, then rising; others are accepted.
    pub number: u8,
    /// Transform-Id: KEY_IKE (1) in phase 1, the cipher in phase 2.
    pub id: u8,
    /// In the order received.
    pub attributes: Vec<Attribute>,
}

impl Transform {
    fn parse(mut cursor: Cursor<'_>) -> Result<Self, WireError> {
        let number = cursor.u8()?;
        let id = cursor.u8()?;
        cursor.u16()?;
        Ok(Transform { number, id, attributes: attributes(cursor)? })
    }

    fn write(&self, last: bool, out: &mut Vec<u8>) {
        let mut body = vec![self.number, self.id, 0, 0];
        body.extend(encode_attributes(&self.attributes));
        out.extend_from_slice(&[if last { 0 } else { 3 }, 0]);
        out.extend_from_slice(&length16(body.len().saturating_add(4)).to_be_bytes());
        out.append(&mut body);
    }
}

/// One proposal of an SA payload: transforms of which one is to be chosen.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Proposal {
    /// Proposal #: 1 for the first, then rising; others are accepted. Proposals of one number are meant together.
    pub number: u8,
    /// What the SA is for.
    pub protocol: ProtocolId,
    /// The sender's inbound SPI: in phase 1 empty, or anything to be ignored; 4 octets for ESP and AH. At most 255.
    pub spi: Vec<u8>,
    /// Combinations of algorithms, in order of preference. At most 255.
    pub transforms: Vec<Transform>,
}

impl Proposal {
    fn parse(mut cursor: Cursor<'_>) -> Result<Self, WireError> {
        let number = cursor.u8()?;
        let protocol = ProtocolId::from_u8(cursor.u8()?);
        let spi_size = cursor.u8()?;
        let count = cursor.u8()?;
        let spi = cursor.take(usize::from(spi_size))?.to_vec();
        let mut transforms = Vec::with_capacity(usize::from(count).min(16));
        for _ in 0..count {
            cursor.u16()?;
            let length = cursor.u16()?;
            transforms.push(Transform::parse(cursor.nested(length, 4, "transform")?)?);
        }
        cursor.finish()?;
        Ok(Proposal { number, protocol, spi, transforms })
    }

    fn write(&self, last: bool, out: &mut Vec<u8>) {
        let spi = self.spi.get(..255).unwrap_or(&self.spi);
        let count = self.transforms.len().min(255);
        let octet = |count: usize| u8::try_from(count).unwrap_or(u8::MAX);
        let mut body = vec![self.number, self.protocol.to_u8(), octet(spi.len()), octet(count)];
        body.extend_from_slice(spi);
        for (index, transform) in self.transforms.iter().take(count).enumerate() {
            transform.write(index.saturating_add(1) == count, &mut body);
        }
        out.extend_from_slice(&[if last { 0 } else { 2 }, 0]);
        out.extend_from_slice(&length16(body.len().saturating_add(4)).to_be_bytes());
        out.append(&mut body);
    }
}

/// An SA payload: what it offers, and its octets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaPayload {
    /// In the sender's order of preference; at least one when parsed.
    pub proposals: Vec<Proposal>,
    /// The body as on the wire, without the generic header: SAi_b of RFC 2409 §5.
    pub octets: Vec<u8>,
}

impl SaPayload {
    /// The payload of these proposals, for IPsec, SIT_IDENTITY_ONLY.
    #[must_use]
    pub fn new(proposals: Vec<Proposal>) -> SaPayload {
        let mut octets = DOI_IPSEC.to_be_bytes().to_vec();
        octets.extend_from_slice(&SITUATION_IDENTITY_ONLY.to_be_bytes());
        for (index, proposal) in proposals.iter().enumerate() {
            proposal.write(index.saturating_add(1) == proposals.len(), &mut octets);
        }
        SaPayload { proposals, octets }
    }

    /// Reads a payload's body.
    ///
    /// # Errors
    /// A DOI or situation other than those of [`SaPayload::new`], no proposal or more than [`MAX_PROPOSALS`], a transform
    /// of more than [`MAX_ATTRIBUTES`], and whatever does not fit together.
    pub fn parse(body: &[u8]) -> Result<SaPayload, WireError> {
        let mut cursor = Cursor::new(body, "SA payload");
        if cursor.u32()? != DOI_IPSEC {
            return Err(cursor.malformed("its domain of interpretation is not IPsec (1)"));
        }
        if cursor.u32()? != SITUATION_IDENTITY_ONLY {
            return Err(cursor.malformed("its situation is not identity only (1)"));
        }
        let mut proposals = Vec::new();
        while !cursor.is_empty() {
            if proposals.len() >= MAX_PROPOSALS {
                return Err(WireError::TooMany { what: "proposals", limit: MAX_PROPOSALS });
            }
            cursor.u16()?;
            let length = cursor.u16()?;
            proposals.push(Proposal::parse(cursor.nested(length, 4, "proposal")?)?);
        }
        if proposals.is_empty() {
            return Err(cursor.malformed("no proposal in it"));
        }
        Ok(SaPayload { proposals, octets: body.to_vec() })
    }
}
