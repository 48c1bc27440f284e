//! Cisco's IKE fragmentation: the octets of a whole ISAKMP message, cut up, each part behind an ISAKMP header of its own
//! with one payload of type 132. That header has phase 1's exchange type and no message ID, whatever the message is: so
//! everybody does it. Nothing protects a fragment, so what is not whole yet is worth nothing and bounded tightly.

use super::IsakmpSa;
use super::wire::{ExchangeType, Fragment, Header, PayloadType};

/// Fragments of one message: 16 of 500 octets and more hold every message of phase 1 and quick mode.
const MAX_FRAGMENTS: u8 = 16;
/// Octets of one message put together.
const MAX_OCTETS: usize = 16_384;
/// The same while nobody is authenticated: a message of phase 1 with a pre-shared key has less, and so all half-open SAs
/// together hold no more than 64 MiB of fragments, each of them from an address that answered.
const MAX_OCTETS_OF_PHASE_1: usize = 4096;

/// Puts one message at a time together.
#[derive(Debug, Default)]
pub(crate) struct Reassembly {
    id: u16,
    parts: Vec<Option<Vec<u8>>>,
    /// How many there are, once the last one is here.
    total: Option<u8>,
}

impl Reassembly {
    /// Takes a fragment; the message if it is whole. A fragment of another message drops what there was.
    pub(crate) fn add(&mut self, fragment: Fragment, authenticated: bool) -> Option<Vec<u8>> {
        let most = if authenticated { MAX_OCTETS } else { MAX_OCTETS_OF_PHASE_1 };
        let Fragment { id, number, last, data } = fragment;
        if number == 0 || number > MAX_FRAGMENTS {
            return None;
        }
        if id != self.id || self.parts.is_empty() {
            *self = Reassembly { id, parts: vec![None; usize::from(MAX_FRAGMENTS)], total: None };
        }
        let held: usize = self.parts.iter().flatten().map(Vec::len).sum();
        if held + data.len() > most {
            *self = Reassembly::default();
            return None;
        }
        if last {
            self.total = Some(number);
        }
        if let Some(slot @ None) = self.parts.get_mut(usize::from(number - 1)) {
            *slot = Some(data);
        }
        let whole = self.parts.get(..usize::from(self.total?))?;
        if whole.iter().any(Option::is_none) {
            return None;
        }
        let message = whole.iter().flatten().flatten().copied().collect();
        *self = Reassembly::default();
        Some(message)
    }
}

impl IsakmpSa {
    /// The datagrams of a message: itself, or its fragments where it is long and the peer can put them together.
    pub(crate) fn cut(&mut self, header: &Header, message: Vec<u8>) -> Vec<Vec<u8>> {
        let Some(limit) = self.fragment_limit().filter(|limit| message.len() > *limit) else { return vec![message] };
        self.next_fragment_id = self.next_fragment_id.wrapping_add(1).max(1);
        // ISAKMP header, generic header, and the four octets of the fragment's own.
        let room = limit.saturating_sub(Header::LEN + 8).max(1);
        let count = message.len().div_ceil(room);
        let Some(count) = u8::try_from(count).ok().filter(|count| *count <= MAX_FRAGMENTS) else {
            return vec![message];
        };
        let exchange =
            if header.exchange == ExchangeType::Aggressive { ExchangeType::Aggressive } else { ExchangeType::MainMode };
        let parts = message.chunks(room).zip(1..=count).map(|(data, number)| {
            let fragment = Fragment { id: self.next_fragment_id, number, last: number == count, data: data.to_vec() };
            let body = fragment.write();
            let mut out = Vec::with_capacity(Header::LEN + body.len());
            let length = u32::try_from(Header::LEN + body.len()).unwrap_or(u32::MAX);
            let flags = super::wire::Flags::default();
            let next_payload = PayloadType::Fragment;
            Header { next_payload, exchange, flags, message_id: 0, length, ..*header }.write(&mut out);
            out.extend_from_slice(&body);
            out
        });
        parts.collect()
    }

    fn fragment_limit(&self) -> Option<usize> {
        let size = usize::from(self.peer.fragment_size?);
        if !self.features.fragmentation {
            return None;
        }
        let headers = if self.path.remote.is_ipv6() { 40 + 8 + 4 } else { 20 + 8 + 4 };
        Some(size.saturating_sub(headers).max(256))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_strangers_send_is_kept_up_to_the_length_of_a_message_of_phase_1() {
        let part = |number, last, octets| Fragment { id: 1, number, last, data: vec![number; octets] };
        for (octets, authenticated, fits) in [(4032, false, true), (4033, false, false), (4033, true, true)] {
            let mut kept = Reassembly::default();
            assert_eq!(kept.add(part(1, false, octets), authenticated), None);
            assert_eq!(kept.add(part(2, true, 64), authenticated).is_some(), fits, "{octets}");
        }
        let mut kept = Reassembly::default();
        assert_eq!(kept.add(part(1, false, MAX_OCTETS + 1), true), None);
        assert!(kept.parts.is_empty(), "one alone that is too long is not kept");
    }
}
