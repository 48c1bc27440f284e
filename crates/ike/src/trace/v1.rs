//! What payloads of IKEv1 say.

use super::v2::vendor;
use super::{Said, hex, octets, say};
use crate::v1::proposal::in_words;
use crate::v1::wire::{Payload, ProtocolId};

pub(crate) fn said(payloads: &[Payload]) -> Vec<Said> {
    say(payloads, one)
}

fn one(payload: &Payload) -> Said {
    match payload {
        Payload::SecurityAssociation(offer) => Said::new("SA", in_words(&offer.proposals)),
        Payload::KeyExchange(data) => Said::new("KE", octets(data)),
        Payload::Identification(id) => Said::new("ID", id.in_words()),
        Payload::Hash(hash) => Said::new("HASH", octets(hash)),
        Payload::Nonce(nonce) => Said::new("Nonce", octets(nonce)),
        Payload::Notification(notify) => Said::new("N", notify.ty),
        Payload::Delete(delete) => {
            let spis: Vec<String> = delete.spis.iter().take(8).map(|spi| hex(spi)).collect();
            let protocol = match delete.protocol {
                ProtocolId::Isakmp => "ISAKMP".to_owned(),
                ProtocolId::Esp => "ESP".to_owned(),
                other => format!("protocol {}", other.to_u8()),
            };
            Said::new("D", format!("{protocol} {}", spis.join(", ")))
        }
        Payload::VendorId(id) => {
            Said::new("VID", crate::v1::vendor::name(id).map_or_else(|| vendor(id), str::to_owned))
        }
        Payload::NatDiscovery { draft: false, .. } => Said::new("NAT-D", ""),
        Payload::NatDiscovery { draft: true, .. } => Said::new("NAT-D", "of the drafts"),
        Payload::Opaque { ty, body } => Said::new(format!("payload {}", ty.to_u8()), octets(body)),
    }
}
