//! What payloads of IKEv2 say.

use super::{Said, hex, octets, say};
use crate::proposal::in_words;
use crate::wire::{Delete, Notify, NotifyType, Payload, ProtocolId};
use crypto::Group;
use ipsec::TrafficSelector;

pub(crate) fn said(payloads: &[Payload]) -> Vec<Said> {
    say(payloads, one)
}

fn one(payload: &Payload) -> Said {
    let name = payload.ty().to_string();
    match payload {
        Payload::SecurityAssociation(proposals) => {
            let spis: Vec<String> = proposals.iter().map(|proposal| hex(&proposal.spi)).collect();
            let of = spis.iter().find(|spi| !spi.is_empty()).map(|spi| format!("SPI {spi}, ")).unwrap_or_default();
            Said::new(name, format!("{of}{}", in_words(proposals)))
        }
        Payload::KeyExchange { group, data } => Said::new(name, format!("{}, {}", group_name(*group), octets(data))),
        Payload::IdInitiator(id) | Payload::IdResponder(id) => Said::new(name, &id.id),
        Payload::Authentication { method, data } => {
            let method = match method {
                1 => "RSA signature".to_owned(),
                2 => "pre-shared key".to_owned(),
                14 => "digital signature".to_owned(),
                other => format!("method {other}"),
            };
            Said::new(name, format!("{method}, {}", octets(data)))
        }
        Payload::Nonce(nonce) => Said::new(name, octets(nonce)),
        Payload::Notify(notify) => Said::new(name, notify_text(notify)),
        Payload::Delete(Delete::Ike) => Said::new(name, "this IKE SA"),
        Payload::Delete(Delete::Child { protocol, spis }) => {
            let spis: Vec<String> = spis.iter().map(|spi| format!("{spi:08x}")).collect();
            Said::new(name, format!("{protocol} {}", spis.join(", ")))
        }
        Payload::VendorId(id) => Said::new(name, vendor(id)),
        Payload::TsInitiator(selectors) | Payload::TsResponder(selectors) => Said::new(name, selector_text(selectors)),
        Payload::Opaque { body, .. } => Said::new(name, octets(body)),
    }
}

pub(super) fn group_name(number: u16) -> String {
    Group::from_number(number).map_or_else(|| format!("group {number}"), |group| group.name().to_owned())
}

fn selector_text(selectors: &[TrafficSelector]) -> String {
    selectors.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn notify_text(notify: &Notify) -> String {
    let name = notify.ty.name();
    match (notify.ty, notify.data.as_slice()) {
        (NotifyType::INVALID_KE_PAYLOAD, [high, low]) => {
            format!("{name}: wants {}", group_name(u16::from_be_bytes([*high, *low])))
        }
        _ if notify.protocol != ProtocolId::None && !notify.spi.is_empty() => {
            format!("{name} ({} {})", notify.protocol, hex(&notify.spi))
        }
        _ => name.to_string(),
    }
}

/// A vendor ID in letters, where it has only those.
pub(super) fn vendor(id: &[u8]) -> String {
    match std::str::from_utf8(id) {
        Ok(text) if text.len() >= 4 && text.chars().all(|c| c.is_ascii_graphic() || c == ' ') => text.to_owned(),
        _ => hex(id),
    }
}
