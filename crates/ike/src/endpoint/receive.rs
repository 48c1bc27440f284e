//! From a datagram to the IKE SA it belongs to. Nothing is believed here but the shape of the header.

use super::Endpoint;
use crate::config::Path;
use crate::event::{Event, IgnoredReason, Output, Transmit};
use crate::wire::{ExchangeType, Flags, Header, Notify, NotifyType, Payload, PayloadType, plain_message};
use std::time::Instant;

impl Endpoint {
    /// Handles an IKE message, its non-ESP marker removed.
    pub fn handle_datagram(&mut self, path: Path, message: &[u8], now: Instant) {
        if message.get(17).is_some_and(|version| version >> 4 == 1) {
            return self.handle_v1(path, message, now);
        }
        let Ok(header) = Header::parse(message) else { return self.ignore(path, IgnoredReason::Malformed) };
        if header.major != 2 {
            return self.refuse_version(&header, message, path);
        }
        let first = header.exchange == ExchangeType::IkeSaInit && !header.flags.response && header.flags.initiator;
        if first && header.responder_spi.is_zero() && header.message_id == 0 {
            return self.answer_init(&header, message, path, now);
        }
        // The sender's own SPI stands in the field of its role; ours is the other one.
        let local = if header.flags.initiator { header.responder_spi } else { header.initiator_spi };
        let remote = if header.flags.initiator { header.initiator_spi } else { header.responder_spi };
        let known = self.sas.get(&local).is_some_and(|sa| {
            let role_fits = (sa.role == crate::event::Role::Responder) == header.flags.initiator;
            role_fits && (sa.remote_spi == remote || sa.remote_spi.is_zero())
        });
        if !known {
            return self.ignore(path, IgnoredReason::UnknownSpi);
        }
        self.with_sa(local, now, |sa, cx| sa.handle_message(&header, message, path, cx));
    }

    pub(super) fn ignore(&mut self, path: Path, reason: IgnoredReason) {
        self.outputs.push_back(Output::Event(Event::Ignored { path, reason }));
    }

    /// RFC 7296 §2.5: a higher major version is told ours, in the clear; nothing is remembered. Never in more octets than
    /// were sent: the address may be made up.
    fn refuse_version(&mut self, header: &Header, received: &[u8], path: Path) {
        if header.major > 2 && !header.flags.response {
            let answer = Header {
                next_payload: PayloadType::None,
                major: 2,
                minor: 0,
                flags: Flags { initiator: false, version: true, response: true },
                length: 0,
                ..*header
            };
            let message = plain_message(answer, &[Payload::Notify(Notify::new(NotifyType::INVALID_MAJOR_VERSION))]);
            if message.len() <= received.len() {
                self.outputs.push_back(Output::Transmit(Transmit { path, message }));
            }
        }
        self.ignore(path, IgnoredReason::Version);
    }
}
