//! The chain of payloads: generic header, types, bodies (RFC 2408 §3.2–§3.16).

use super::{Cursor, Delete, Header, IdPayload, Notification, SaPayload, WireError, length16};

/// Payloads accepted in one message. A talkative peer sends fifteen vendor IDs.
pub const MAX_PAYLOADS: usize = 64;

/// Largest payload body: the length field is 16 bits and counts the generic header.
const MAX_BODY: usize = 65_531;

/// Nonces are 8 to 256 octets (RFC 2409 §5).
const NONCE: std::ops::RangeInclusive<usize> = 8..=256;

macro_rules! payload_types {
    ($($name:ident = $value:literal, $doc:literal;)+) => {
        /// The Next Payload values (RFC 2408 §3.1, RFC 3947 §3, and the drafts before it). IKEv2's are unknown here.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum PayloadType {
            $(#[doc = $doc] $name,)+
            /// Anything else.
            Unknown(u8),
        }

        impl PayloadType {
            /// From the field's value; every value is representable.
            #[must_use]
            pub fn from_u8(value: u8) -> Self {
                match value {
                    $($value => PayloadType::$name,)+
                    other => PayloadType::Unknown(other),
                }
            }

            /// The field's value.
            #[must_use]
            pub fn to_u8(self) -> u8 {
                match self {
                    $(PayloadType::$name => $value,)+
                    PayloadType::Unknown(other) => other,
                }
            }
        }
    };
}

payload_types! {
    None = 0, "0: no next payload.";
    SecurityAssociation = 1, "1, SA.";
    Proposal = 2, "2, P: inside SA only.";
    Transform = 3, "3, T: inside a proposal only.";
    KeyExchange = 4, "4, KE.";
    Identification = 5, "5, ID.";
    Certificate = 6, "6, CERT.";
    CertificateRequest = 7, "7, CR.";
    Hash = 8, "8, HASH.";
    Signature = 9, "9, SIG.";
    Nonce = 10, "10, NONCE.";
    Notification = 11, "11, N.";
    Delete = 12, "12, D.";
    VendorId = 13, "13, VID.";
    Attributes = 14, "14: mode config and XAUTH.";
    NatDiscovery = 20, "20, NAT-D (RFC 3947).";
    NatOriginalAddress = 21, "21, NAT-OA (RFC 3947).";
    NatDiscoveryDraft = 130, "130, NAT-D of the drafts.";
    NatOriginalAddressDraft = 131, "131, NAT-OA of the drafts.";
    Fragment = 132, "132: a fragment of a message.";
}

/// A payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// What is offered or chosen.
    SecurityAssociation(SaPayload),
    /// A Diffie-Hellman value.
    KeyExchange(Vec<u8>),
    /// Who somebody is, or one side of the traffic.
    Identification(IdPayload),
    /// A proof.
    Hash(Vec<u8>),
    /// 8 to 256 random octets.
    Nonce(Vec<u8>),
    /// An error or a status.
    Notification(Notification),
    /// SAs that are gone.
    Delete(Delete),
    /// What the sender can do.
    VendorId(Vec<u8>),
    /// An address as its sender sees it, hashed.
    NatDiscovery {
        /// With the payload type of the drafts.
        draft: bool,
        /// The hash.
        hash: Vec<u8>,
    },
    /// One that is not looked into.
    Opaque {
        /// Its type.
        ty: PayloadType,
        /// Its body.
        body: Vec<u8>,
    },
}

impl Payload {
    /// Its type.
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

    fn parse(ty: PayloadType, body: &[u8]) -> Result<Payload, WireError> {
        let octets = || body.to_vec();
        Ok(match ty {
            PayloadType::SecurityAssociation => Payload::SecurityAssociation(SaPayload::parse(body)?),
            PayloadType::KeyExchange => Payload::KeyExchange(octets()),
            PayloadType::Identification => Payload::Identification(IdPayload::parse(body)?),
            PayloadType::Hash => Payload::Hash(octets()),
            PayloadType::Nonce if NONCE.contains(&body.len()) => Payload::Nonce(octets()),
            PayloadType::Nonce => {
                return Err(WireError::Malformed { what: "Nonce payload", rule: "not 8 to 256 octets" });
            }
            PayloadType::Notification => Payload::Notification(Notification::parse(body)?),
            PayloadType::Delete => Payload::Delete(Delete::parse(body)?),
            PayloadType::VendorId => Payload::VendorId(octets()),
            PayloadType::NatDiscovery => Payload::NatDiscovery { draft: false, hash: octets() },
            PayloadType::NatDiscoveryDraft => Payload::NatDiscovery { draft: true, hash: octets() },
            PayloadType::None
            | PayloadType::Proposal
            | PayloadType::Transform
            | PayloadType::Certificate
            | PayloadType::CertificateRequest
            | PayloadType::Signature
            | PayloadType::Attributes
            | PayloadType::NatOriginalAddress
            | PayloadType::NatOriginalAddressDraft
            | PayloadType::Fragment
            | PayloadType::Unknown(_) => Payload::Opaque { ty, body: octets() },
        })
    }

    fn body(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Payload::SecurityAssociation(sa) => out.extend_from_slice(&sa.octets),
            Payload::Identification(id) => out.extend_from_slice(&id.octets),
            Payload::KeyExchange(data)
            | Payload::Hash(data)
            | Payload::Nonce(data)
            | Payload::VendorId(data)
            | Payload::NatDiscovery { hash: data, .. }
            | Payload::Opaque { body: data, .. } => out.extend_from_slice(data),
            Payload::Notification(notify) => notify.write(&mut out),
            Payload::Delete(delete) => delete.write(&mut out),
        }
        out
    }
}

/// A chain of payloads, and where it lay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed {
    /// The payloads, in order.
    pub payloads: Vec<Payload>,
    /// Offset of the first octet behind the first payload: what HASH(1) and HASH(2) cover starts there.
    pub after_first: usize,
    /// Offset behind the last payload; padding may follow.
    pub end: usize,
}

/// Reads a chain that begins with a payload of type `first`. In an encrypted message what follows the last payload is
/// padding; in clear nothing may follow.
///
/// # Errors
/// [`WireError`]: a length that lies, more than [`MAX_PAYLOADS`], or a body that breaks a rule of its type.
pub fn parse_payloads(first: PayloadType, bytes: &[u8], encrypted: bool) -> Result<Parsed, WireError> {
    let mut cursor = Cursor::new(bytes, "payload");
    let mut next = first;
    let mut parsed = Parsed { payloads: Vec::new(), after_first: 0, end: 0 };
    while next != PayloadType::None {
        if parsed.payloads.len() >= MAX_PAYLOADS {
            return Err(WireError::TooMany { what: "payloads", limit: MAX_PAYLOADS });
        }
        let ty = next;
        next = PayloadType::from_u8(cursor.u8()?);
        cursor.u8()?;
        let length = cursor.u16()?;
        let body = cursor.nested(length, 4, "payload")?.remaining();
        parsed.payloads.push(Payload::parse(ty, body)?);
        parsed.end = parsed.end.saturating_add(usize::from(length));
        if parsed.payloads.len() == 1 {
            parsed.after_first = parsed.end;
        }
    }
    if !encrypted {
        cursor.finish()?;
    }
    Ok(parsed)
}

/// A chain of payloads: the type of the first one, and the octets.
#[must_use]
pub fn encode_payloads(payloads: &[Payload]) -> (PayloadType, Vec<u8>) {
    let mut out = Vec::new();
    let next = payloads.iter().skip(1).map(Payload::ty).chain([PayloadType::None]);
    for (payload, next) in payloads.iter().zip(next) {
        let mut body = payload.body();
        body.truncate(MAX_BODY);
        out.extend_from_slice(&[next.to_u8(), 0]);
        out.extend_from_slice(&length16(body.len().saturating_add(4)).to_be_bytes());
        out.append(&mut body);
    }
    (payloads.first().map_or(PayloadType::None, Payload::ty), out)
}

/// A whole message in clear. Fills in next payload and length.
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
