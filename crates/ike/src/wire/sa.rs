//! The SA payload: proposals, transforms, attributes (RFC 7296 §3.3).
//!
//! Whatever is well formed is kept, known or not: which proposal is unusable is decided by [`crate::proposal`]. The
//! "last substructure" octets are redundant beside the lengths and are not looked at (§3.3.1).

use std::fmt;

use super::{Cursor, WireError, length16};

/// Proposals accepted in one SA payload; a generous peer sends ten.
pub const MAX_PROPOSALS: usize = 64;

/// Protocol ID of proposals, notifications and deletes (RFC 7296 §3.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProtocolId {
    /// 0: in a notification without an SPI.
    None,
    /// 1.
    Ike,
    /// 2.
    Ah,
    /// 3.
    Esp,
    /// Anything else.
    Unknown(u8),
}

impl ProtocolId {
    /// From the field's value; every value is representable.
    #[must_use]
    pub fn from_u8(value: u8) -> Self {
        match value {
            0 => ProtocolId::None,
            1 => ProtocolId::Ike,
            2 => ProtocolId::Ah,
            3 => ProtocolId::Esp,
            other => ProtocolId::Unknown(other),
        }
    }

    /// The field's value.
    #[must_use]
    pub fn to_u8(self) -> u8 {
        match self {
            ProtocolId::None => 0,
            ProtocolId::Ike => 1,
            ProtocolId::Ah => 2,
            ProtocolId::Esp => 3,
            ProtocolId::Unknown(other) => other,
        }
    }
}

impl fmt::Display for ProtocolId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProtocolId::None => f.write_str("none"),
            ProtocolId::Ike => f.write_str("IKE"),
            ProtocolId::Ah => f.write_str("AH"),
            ProtocolId::Esp => f.write_str("ESP"),
            ProtocolId::Unknown(other) => write!(f, "protocol {other}"),
        }
    }
}

/// Transform Type (RFC 7296 §3.3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TransformType {
    /// 1, ENCR.
    Encryption,
    /// 2, PRF.
    Prf,
    /// 3, INTEG.
    Integrity,
    /// 4, D-H; RFC 9370 calls it Key Exchange Method.
    KeyExchange,
    /// 5, ESN.
    ExtendedSequenceNumbers,
    /// Anything else; it makes its proposal unusable (§3.3.6).
    Unknown(u8),
}

impl TransformType {
    /// From the field's value; every value is representable.
    #[must_use]
    pub fn from_u8(value: u8) -> Self {
        match value {
            1 => TransformType::Encryption,
            2 => TransformType::Prf,
            3 => TransformType::Integrity,
            4 => TransformType::KeyExchange,
            5 => TransformType::ExtendedSequenceNumbers,
            other => TransformType::Unknown(other),
        }
    }

    /// The field's value.
    #[must_use]
    pub fn to_u8(self) -> u8 {
        match self {
            TransformType::Encryption => 1,
            TransformType::Prf => 2,
            TransformType::Integrity => 3,
            TransformType::KeyExchange => 4,
            TransformType::ExtendedSequenceNumbers => 5,
            TransformType::Unknown(other) => other,
        }
    }
}

/// One transform: an algorithm of one type.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Transform {
    /// What it is an algorithm for.
    pub ty: TransformType,
    /// The algorithm's number within its type.
    pub id: u16,
    /// The Key Length attribute in bits, if present (§3.3.5).
    pub key_bits: Option<u16>,
    /// It carries an attribute unknown to us, or Key Length twice or in a form it must not have: unusable (§3.3.6).
    pub unknown_attributes: bool,
}

impl Transform {
    /// A transform without attributes.
    #[must_use]
    pub fn new(ty: TransformType, id: u16) -> Self {
        Transform { ty, id, key_bits: None, unknown_attributes: false }
    }

    /// Attribute type 14 with the format bit set: a 16-bit value in place of a length.
    const KEY_LENGTH: u16 = 0x8000 | 14;

    fn parse(mut cursor: Cursor<'_>) -> Result<Self, WireError> {
        let ty = TransformType::from_u8(cursor.u8()?);
        cursor.u8()?;
        let mut transform = Transform::new(ty, cursor.u16()?);
        while !cursor.is_empty() {
            let attribute = cursor.u16()?;
            let value = cursor.u16()?;
            if attribute & 0x8000 == 0 {
                // Long form: `value` is the length of what follows. We know no attribute of this form.
                cursor.take(usize::from(value))?;
            }
            if attribute == Self::KEY_LENGTH && transform.key_bits.is_none() {
                transform.key_bits = Some(value);
            } else {
                transform.unknown_attributes = true;
            }
        }
        Ok(transform)
    }

    fn write(&self, last: bool, out: &mut Vec<u8>) {
        out.extend_from_slice(&[if last { 0 } else { 3 }, 0]);
        let length: u16 = if self.key_bits.is_some() { 12 } else { 8 };
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&[self.ty.to_u8(), 0]);
        out.extend_from_slice(&self.id.to_be_bytes());
        if let Some(bits) = self.key_bits {
            out.extend_from_slice(&Self::KEY_LENGTH.to_be_bytes());
            out.extend_from_slice(&bits.to_be_bytes());
        }
    }
}

/// One proposal of an SA payload.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Proposal {
    /// Proposal Num: 1 for the first, then rising by 1; others are accepted.
    pub number: u8,
    /// What the SA is for.
    pub protocol: ProtocolId,
    /// The sender's inbound SPI: empty in IKE_SA_INIT, 8 octets in an IKE rekey, 4 for ESP and AH. At most 255 octets.
    pub spi: Vec<u8>,
    /// Algorithms; within a type in order of preference. At most 255.
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
        let mut body = Vec::new();
        let octet = |count: usize| u8::try_from(count).unwrap_or(u8::MAX);
        body.extend_from_slice(&[self.number, self.protocol.to_u8(), octet(spi.len()), octet(count)]);
        body.extend_from_slice(spi);
        for (index, transform) in self.transforms.iter().take(count).enumerate() {
            transform.write(index.saturating_add(1) == count, &mut body);
        }
        out.extend_from_slice(&[if last { 0 } else { 2 }, 0]);
        out.extend_from_slice(&length16(body.len().saturating_add(4)).to_be_bytes());
        out.append(&mut body);
    }
}

pub(super) fn parse_proposals(body: &[u8]) -> Result<Vec<Proposal>, WireError> {
    let mut cursor = Cursor::new(body, "SA payload");
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
    Ok(proposals)
}

pub(super) fn encode_proposals(proposals: &[Proposal], out: &mut Vec<u8>) {
    for (index, proposal) in proposals.iter().enumerate() {
        proposal.write(index.saturating_add(1) == proposals.len(), out);
    }
}
