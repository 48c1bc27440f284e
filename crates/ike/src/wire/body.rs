//! From a payload's body to its value and back, by type (RFC 7296 §3.3–§3.13).

use super::{Cursor, Delete, IdPayload, Notify, Payload, PayloadType, WireError, sa, ts};

/// Nonces are 16 to 256 octets (RFC 7296 §2.10).
const NONCE: std::ops::RangeInclusive<usize> = 16..=256;

pub(super) fn parse(ty: PayloadType, body: &[u8]) -> Result<Payload, WireError> {
    Ok(match ty {
        PayloadType::SecurityAssociation => Payload::SecurityAssociation(sa::parse_proposals(body)?),
        PayloadType::KeyExchange => {
            let mut cursor = Cursor::new(body, "KE payload");
            let group = cursor.u16()?;
            cursor.u16()?;
            Payload::KeyExchange { group, data: cursor.remaining().to_vec() }
        }
        PayloadType::IdInitiator => Payload::IdInitiator(IdPayload::parse(body)?),
        PayloadType::IdResponder => Payload::IdResponder(IdPayload::parse(body)?),
        PayloadType::Authentication => {
            let mut cursor = Cursor::new(body, "AUTH payload");
            let method = cursor.u8()?;
            cursor.array::<3>()?;
            Payload::Authentication { method, data: cursor.remaining().to_vec() }
        }
        PayloadType::Nonce if NONCE.contains(&body.len()) => Payload::Nonce(body.to_vec()),
        PayloadType::Nonce => {
            return Err(WireError::Malformed { what: "Nonce payload", rule: "not 16 to 256 octets" });
        }
        PayloadType::Notify => Payload::Notify(Notify::parse(body)?),
        PayloadType::Delete => Payload::Delete(Delete::parse(body)?),
        PayloadType::VendorId => Payload::VendorId(body.to_vec()),
        PayloadType::TsInitiator => Payload::TsInitiator(ts::parse(body)?),
        PayloadType::TsResponder => Payload::TsResponder(ts::parse(body)?),
        PayloadType::None
        | PayloadType::Certificate
        | PayloadType::CertificateRequest
        | PayloadType::Encrypted
        | PayloadType::Configuration
        | PayloadType::Eap
        | PayloadType::EncryptedFragment
        | PayloadType::Unknown(_) => Payload::Opaque { ty, body: body.to_vec() },
    })
}

pub(super) fn encode(payload: &Payload) -> Vec<u8> {
    let mut out = Vec::new();
    match payload {
        Payload::SecurityAssociation(proposals) => sa::encode_proposals(proposals, &mut out),
        Payload::KeyExchange { group, data } => {
            out.extend_from_slice(&group.to_be_bytes());
            out.extend_from_slice(&[0, 0]);
            out.extend_from_slice(data);
        }
        Payload::IdInitiator(id) | Payload::IdResponder(id) => out.extend_from_slice(&id.octets),
        Payload::Authentication { method, data } => {
            out.extend_from_slice(&[*method, 0, 0, 0]);
            out.extend_from_slice(data);
        }
        Payload::Nonce(data) | Payload::VendorId(data) | Payload::Opaque { body: data, .. } => {
            out.extend_from_slice(data);
        }
        Payload::Notify(notify) => notify.write(&mut out),
        Payload::Delete(delete) => delete.write(&mut out),
        Payload::TsInitiator(selectors) | Payload::TsResponder(selectors) => ts::encode(selectors, &mut out),
    }
    out
}
