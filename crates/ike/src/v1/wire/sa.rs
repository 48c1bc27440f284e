//! The SA payload: DOI, situation, proposals, transforms, attributes (RFC 2408 §3.3–§3.6, RFC 2407 §4.6.1).
//!
//! Whatever is well formed is kept as it came, so that a responder can give a transform back unchanged (RFC 2408 §4.2).

use super::{Cursor, PayloadType, WireError, length16};

/// Proposals accepted in one SA payload.
const MAX_PROPOSALS: usize = 32;
/// Attributes accepted in one transform; the longest has eight.
const MAX_ATTRIBUTES: usize = 24;
/// IPSEC DOI (RFC 2407 §4.2), and the situation SIT_IDENTITY_ONLY (§4.2.1).
const IPSEC_DOI: u32 = 1;
const SIT_IDENTITY_ONLY: u32 = 1;

/// Protocol ID (RFC 2407 §4.4.1).
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

/// An SA payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaPayload {
    /// What is offered or chosen. Several with one number belong together.
    pub proposals: Vec<Proposal>,
    /// The body as on the wire, without generic header: SAi_b of RFC 2409 §5.
    pub octets: Vec<u8>,
}

/// A proposal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// Its number; any.
    pub number: u8,
    /// What the SA is for.
    pub protocol: ProtocolId,
    /// The sender's inbound SPI: 4 octets for ESP, any or none for ISAKMP.
    pub spi: Vec<u8>,
    /// Alternatives, most preferred first.
    pub transforms: Vec<Transform>,
}

/// A transform: one complete choice of algorithms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transform {
    /// Its number; any.
    pub number: u8,
    /// KEY_IKE, 1, in phase 1; in phase 2 the cipher.
    pub id: u8,
    /// Everything else about it, in any order.
    pub attributes: Vec<Attribute>,
}

/// An attribute (RFC 2408 §3.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    /// Its type, without the format bit.
    pub ty: u16,
    /// Its value.
    pub value: AttributeValue,
}

/// The value of an attribute, in the form in which it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttributeValue {
    /// Basic: 16 bits.
    Short(u16),
    /// Variable: any length.
    Long(Vec<u8>),
}

impl AttributeValue {
    /// As a number; none beyond 64 bits.
    #[must_use]
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            AttributeValue::Short(value) => Some(u64::from(*value)),
            AttributeValue::Long(octets) => {
                let significant = octets.iter().position(|octet| *octet != 0).and_then(|at| octets.get(at..));
                let significant = significant.unwrap_or_default();
                (significant.len() <= 8)
                    .then(|| significant.iter().fold(0, |value: u64, octet| (value << 8) | u64::from(*octet)))
            }
        }
    }
}

impl Attribute {
    /// A number in its shortest form.
    #[must_use]
    pub fn number(ty: u16, value: u64) -> Attribute {
        let value = match u16::try_from(value) {
            Ok(short) => AttributeValue::Short(short),
            Err(_) if value <= u64::from(u32::MAX) => {
                AttributeValue::Long(value.to_be_bytes().get(4..).unwrap_or_default().to_vec())
            }
            Err(_) => AttributeValue::Long(value.to_be_bytes().to_vec()),
        };
        Attribute { ty, value }
    }

    fn write(&self, out: &mut Vec<u8>) {
        match &self.value {
            AttributeValue::Short(value) => {
                out.extend_from_slice(&(0x8000 | self.ty).to_be_bytes());
                out.extend_from_slice(&value.to_be_bytes());
            }
            AttributeValue::Long(octets) => {
                out.extend_from_slice(&(self.ty & 0x7fff).to_be_bytes());
                out.extend_from_slice(&length16(octets.len()).to_be_bytes());
                out.extend_from_slice(octets);
            }
        }
    }
}

/// A list of attributes, as in transforms and in the data of RESPONDER-LIFETIME.
pub(crate) fn parse_attributes(octets: &[u8]) -> Result<Vec<Attribute>, WireError> {
    let mut cursor = Cursor::new(octets, "attribute");
    let mut attributes = Vec::new();
    while !cursor.is_empty() {
        if attributes.len() >= MAX_ATTRIBUTES {
            return Err(WireError::TooMany { what: "attributes", limit: MAX_ATTRIBUTES });
        }
        let ty = cursor.u16()?;
        let value = cursor.u16()?;
        let value = if ty & 0x8000 != 0 {
            AttributeValue::Short(value)
        } else {
            AttributeValue::Long(cursor.take(usize::from(value))?.to_vec())
        };
        attributes.push(Attribute { ty: ty & 0x7fff, value });
    }
    Ok(attributes)
}

impl Transform {
    /// The first attribute of this type, as a number.
    #[must_use]
    pub fn attribute(&self, ty: u16) -> Option<u64> {
        self.attributes.iter().find(|attribute| attribute.ty == ty).and_then(|attribute| attribute.value.as_u64())
    }

    fn parse(mut cursor: Cursor<'_>) -> Result<Self, WireError> {
        let number = cursor.u8()?;
        let id = cursor.u8()?;
        cursor.u16()?;
        Ok(Transform { number, id, attributes: parse_attributes(cursor.remaining())? })
    }

    fn write(&self, last: bool, out: &mut Vec<u8>) {
        let mut body = vec![self.number, self.id, 0, 0];
        self.attributes.iter().for_each(|attribute| attribute.write(&mut body));
        let next = if last { PayloadType::None } else { PayloadType::Transform };
        out.extend_from_slice(&[next.to_u8(), 0]);
        out.extend_from_slice(&length16(body.len().saturating_add(4)).to_be_bytes());
        out.append(&mut body);
    }
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
        let next = if last { PayloadType::None } else { PayloadType::Proposal };
        out.extend_from_slice(&[next.to_u8(), 0]);
        out.extend_from_slice(&length16(body.len().saturating_add(4)).to_be_bytes());
        out.append(&mut body);
    }
}

impl SaPayload {
    /// Of the IPsec DOI, for identities alone.
    #[must_use]
    pub fn new(proposals: Vec<Proposal>) -> SaPayload {
        let mut octets = Vec::new();
        octets.extend_from_slice(&IPSEC_DOI.to_be_bytes());
        octets.extend_from_slice(&SIT_IDENTITY_ONLY.to_be_bytes());
        for (index, proposal) in proposals.iter().enumerate() {
            proposal.write(index.saturating_add(1) == proposals.len(), &mut octets);
        }
        SaPayload { proposals, octets }
    }

    pub(super) fn parse(body: &[u8]) -> Result<SaPayload, WireError> {
        let mut cursor = Cursor::new(body, "SA payload");
        if cursor.u32()? != IPSEC_DOI {
            return Err(cursor.malformed("another DOI than IPsec's"));
        }
        if cursor.u32()? != SIT_IDENTITY_ONLY {
            return Err(cursor.malformed("another situation than SIT_IDENTITY_ONLY"));
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
