//! The payloads of a received message by kind. A payload that may stand once and stands twice is a syntax error.

use crate::wire::{Delete, IdPayload, Notify, NotifyType, Payload, Proposal};
use ipsec::TrafficSelector;

/// A parsed message body.
#[derive(Debug)]
pub(crate) struct Payloads(Vec<Payload>);

/// Finds the only payload of a kind.
macro_rules! only {
    ($self:ident, $pattern:pat => $value:expr) => {
        $self.0.iter().find_map(|payload| match payload {
            $pattern => Some($value),
            _ => None,
        })
    };
}

impl Payloads {
    /// Refuses a message that repeats a payload which RFC 7296 allows once.
    pub(crate) fn new(payloads: Vec<Payload>) -> Result<Payloads, &'static str> {
        let mut seen = [false; 8];
        for payload in &payloads {
            let slot = match payload {
                Payload::SecurityAssociation(_) => 0,
                Payload::KeyExchange { .. } => 1,
                Payload::IdInitiator(_) => 2,
                Payload::IdResponder(_) => 3,
                Payload::Authentication { .. } => 4,
                Payload::Nonce(_) => 5,
                Payload::TsInitiator(_) => 6,
                Payload::TsResponder(_) => 7,
                Payload::Notify(_) | Payload::Delete(_) | Payload::VendorId(_) | Payload::Opaque { .. } => continue,
            };
            if let Some(seen) = seen.get_mut(slot)
                && std::mem::replace(seen, true)
            {
                return Err("a payload that may appear once appears twice");
            }
        }
        Ok(Payloads(payloads))
    }

    pub(crate) fn all(&self) -> &[Payload] {
        &self.0
    }

    pub(crate) fn sa(&self) -> Option<&[Proposal]> {
        only!(self, Payload::SecurityAssociation(proposals) => proposals.as_slice())
    }

    pub(crate) fn ke(&self) -> Option<(u16, &[u8])> {
        only!(self, Payload::KeyExchange { group, data } => (*group, data.as_slice()))
    }

    /// The nonce, when its length is one RFC 7296 §3.9 allows.
    pub(crate) fn nonce(&self) -> Option<&[u8]> {
        only!(self, Payload::Nonce(nonce) => nonce.as_slice()).filter(|nonce| (16..=256).contains(&nonce.len()))
    }

    pub(crate) fn id_initiator(&self) -> Option<&IdPayload> {
        only!(self, Payload::IdInitiator(id) => id)
    }

    pub(crate) fn id_responder(&self) -> Option<&IdPayload> {
        only!(self, Payload::IdResponder(id) => id)
    }

    pub(crate) fn auth(&self) -> Option<(u8, &[u8])> {
        only!(self, Payload::Authentication { method, data } => (*method, data.as_slice()))
    }

    pub(crate) fn ts_initiator(&self) -> Option<&[TrafficSelector]> {
        only!(self, Payload::TsInitiator(selectors) => selectors.as_slice())
    }

    pub(crate) fn ts_responder(&self) -> Option<&[TrafficSelector]> {
        only!(self, Payload::TsResponder(selectors) => selectors.as_slice())
    }

    pub(crate) fn notifies(&self) -> impl Iterator<Item = &Notify> {
        self.0.iter().filter_map(|payload| match payload {
            Payload::Notify(notify) => Some(notify),
            _ => None,
        })
    }

    pub(crate) fn notify(&self, ty: NotifyType) -> Option<&Notify> {
        self.notifies().find(|notify| notify.ty == ty)
    }

    /// The first error notify, known or not (RFC 7296 §3.10.1: types below 16384).
    pub(crate) fn error(&self) -> Option<&Notify> {
        self.notifies().find(|notify| notify.ty.is_error())
    }

    pub(crate) fn deletes(&self) -> impl Iterator<Item = &Delete> {
        self.0.iter().filter_map(|payload| match payload {
            Payload::Delete(delete) => Some(delete),
            _ => None,
        })
    }
}
