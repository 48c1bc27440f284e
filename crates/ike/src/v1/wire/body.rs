//! From a payload's body to its value and back, by type (RFC 2408 §3.4–§3.16).

use super::{Delete, IdPayload, Notification, Payload, PayloadType, SaPayload, WireError};

/// Nonces are 8 to 256 octets (RFC 2409 §5).
const NONCE: std::ops::RangeInclusive<usize> = 8..=256;

pub(super) fn parse(ty: PayloadType, body: &[u8]) -> Result<Payload, WireError> {
    let opaque = || Payload::Opaque { ty, body: body.to_vec() };
    Ok(match ty {
        PayloadType::SecurityAssociation => Payload::SecurityAssociation(SaPayload::parse(body)?),
        PayloadType::KeyExchange => Payload::KeyExchange(body.to_vec()),
        PayloadType::Identification => Payload::Identification(IdPayload::parse(body)?),
        PayloadType::Hash => Payload::Hash(body.to_vec()),
        PayloadType::Nonce if NONCE.contains(&body.len()) => Payload::Nonce(body.to_vec()),
        PayloadType::Nonce => {
            return Err(WireError::Malformed { what: "NONCE payload", rule: "not 8 to 256 octets" });
        }
        PayloadType::Notification => Notification::parse(body)?.map_or_else(opaque, Payload::Notification),
        PayloadType::Delete => Delete::parse(body)?.map_or_else(opaque, Payload::Delete),
        PayloadType::VendorId => Payload::VendorId(body.to_vec()),
        PayloadType::NatDiscovery => Payload::NatDiscovery { draft: false, hash: body.to_vec() },
        PayloadType::NatDiscoveryDraft => Payload::NatDiscovery { draft: true, hash: body.to_vec() },
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
        | PayloadType::Unknown(_) => opaque(),
    })
}

pub(super) fn encode(payload: &Payload) -> Vec<u8> {
    match payload {
        Payload::SecurityAssociation(sa) => sa.octets.clone(),
        Payload::Identification(id) => id.octets.clone(),
        Payload::KeyExchange(data)
        | Payload::Hash(data)
        | Payload::Nonce(data)
        | Payload::VendorId(data)
        | Payload::NatDiscovery { hash: data, .. }
        | Payload::Opaque { body: data, .. } => data.clone(),
        Payload::Notification(notification) => notification.encode(),
        Payload::Delete(delete) => delete.encode(),
    }
}
