//! Messages in and out of one IKE SA: protection, window, fragments, the path they take.
//!
//! Order of a received message: window → integrity → (only now) liveness and path → syntax → exchange.

use super::exchange::{Exchange, Reply};
use super::payloads::Payloads;
use super::window::{Answered, Outstanding, RequestId};
use super::{IkeSa, State};
use crate::config::{Path, PeerName, Version};
use crate::context::{Action, Context};
use crate::event::{DownReason, Event, IgnoredReason, Output, Role, Sign, Transmit};
use crate::retransmit::Schedule;
use crate::sk::Opened;
use crate::trace::{Kind, Traced, said_v2};
use crate::wire::{
    Delete, ExchangeType, Flags, Header, Notify, NotifyType, Payload, PayloadType, WireError, parse_payloads,
    plain_message,
};
use std::time::Duration;

/// A message of IKEv2 as it is told.
pub(crate) fn traced(peer: PeerName, header: &Header, path: Path, sent: bool, payloads: &[Payload]) -> Traced {
    Traced {
        peer,
        version: Version::V2,
        path,
        sent,
        exchange: header.exchange.to_string().into(),
        message_id: header.message_id,
        kind: if header.flags.response { Kind::Response } else { Kind::Request },
        protected: header.exchange != ExchangeType::IkeSaInit,
        payloads: said_v2(payloads),
    }
}

impl IkeSa {
    fn header(&self, exchange: ExchangeType, message_id: u32, response: bool) -> Header {
        Header {
            initiator_spi: self.initiator_spi(),
            responder_spi: self.responder_spi(),
            next_payload: PayloadType::None,
            major: 2,
            minor: 0,
            exchange,
            flags: Flags { initiator: self.role == Role::Initiator, version: false, response },
            message_id,
            length: 0,
        }
    }

    /// Tells of a message.
    pub(crate) fn trace(&self, header: &Header, path: Path, sent: bool, payloads: &[Payload], cx: &mut Context<'_>) {
        cx.trace(traced(self.peer.name.clone(), header, path, sent, payloads));
    }

    /// Protects and sends a request; `exchange` says what its response means.
    pub(crate) fn request(&mut self, ty: ExchangeType, payloads: &[Payload], exchange: Exchange, cx: &mut Context<'_>) {
        let header = self.header(ty, self.window.next_request, false);
        let limit = self.message_limit();
        let Some(session) = &mut self.session else { return };
        let datagrams = match session.cipher.seal(header, payloads, limit, cx.rng) {
            Ok(datagrams) => datagrams,
            Err(error) => return self.close(DownReason::Crypto(error.to_string()), cx),
        };
        self.trace(&header, self.path, true, payloads, cx);
        let give_up = match exchange {
            Exchange::Liveness if self.peer.dpd.interval.is_some() => self.peer.dpd.timeout,
            _ => self.peer.retransmit.give_up,
        };
        self.send_request(datagrams, give_up, exchange, cx);
    }

    /// Sends IKE_SA_INIT, which is not protected. Returns the message, which AUTH will sign.
    pub(crate) fn request_init(&mut self, payloads: &[Payload], exchange: Exchange, cx: &mut Context<'_>) -> Vec<u8> {
        let header = self.header(ExchangeType::IkeSaInit, 0, false);
        self.trace(&header, self.path, true, payloads, cx);
        let message = plain_message(header, payloads);
        self.send_request(vec![message.clone()], self.peer.retransmit.give_up, exchange, cx);
        message
    }

    fn send_request(&mut self, datagrams: Vec<Vec<u8>>, give_up: Duration, exchange: Exchange, cx: &mut Context<'_>) {
        let schedule = Schedule::start(&self.peer.retransmit, give_up, cx.now, cx.rng);
        self.send_datagrams(datagrams.clone(), cx);
        let message_id = self.window.next_request;
        self.window.responses.reset();
        self.window.outstanding = Some(Outstanding { message_id, datagrams, schedule, exchange });
    }

    pub(crate) fn send_datagrams(&mut self, datagrams: Vec<Vec<u8>>, cx: &mut Context<'_>) {
        self.last_sent = cx.now;
        for message in datagrams {
            cx.transmit(Transmit { path: self.path, message });
        }
    }

    /// Handles a message whose SPIs are this SA's.
    pub(crate) fn handle_message(&mut self, header: &Header, message: &[u8], path: Path, cx: &mut Context<'_>) {
        let outcome = match (header.flags.response, header.exchange) {
            (true, ExchangeType::IkeSaInit) => self.handle_init_response(header, message, path, cx),
            (false, ExchangeType::IkeSaInit) => Err(IgnoredReason::Unexpected),
            (true, _) => self.handle_response(header, message, path, cx),
            (false, _) => self.handle_request(header, message, path, cx),
        };
        if let Err(reason) = outcome {
            cx.event(Event::Ignored { path, reason });
        }
        self.start_next(cx);
    }

    fn handle_request(
        &mut self,
        header: &Header,
        message: &[u8],
        path: Path,
        cx: &mut Context<'_>,
    ) -> Result<(), IgnoredReason> {
        match self.window.classify_request(header.message_id) {
            RequestId::Answered => return self.answer_again(message, path, cx),
            RequestId::Outside => return Err(IgnoredReason::Window),
            RequestId::Expected => {}
        }
        let fits = match &self.state {
            State::HalfOpen(_) => header.exchange == ExchangeType::IkeAuth,
            State::Established | State::Replaced => {
                matches!(header.exchange, ExchangeType::CreateChildSa | ExchangeType::Informational)
            }
            State::Connecting | State::Authenticating | State::Closed { .. } => false,
        };
        if !fits {
            return Err(IgnoredReason::Unexpected);
        }
        let session = self.session.as_ref().ok_or(IgnoredReason::Unexpected)?;
        let opened = session.cipher.open(header, message).map_err(|_| IgnoredReason::Integrity)?;
        let digest = crypto::sha256(&[message]);
        let (first, body, digest) = match opened {
            Opened::Message { first, body } => (first, body, digest),
            Opened::Fragment(fragment) => {
                self.heard(cx.now);
                let is_first = fragment.number == 1;
                if is_first {
                    self.window.first_fragment = Some(digest);
                }
                let whole =
                    self.window.requests.add(header.message_id, fragment).map_err(|_| IgnoredReason::Fragment)?;
                let Some((first, body)) = whole else { return Ok(()) };
                (first, body, self.window.first_fragment.take().unwrap_or(digest))
            }
        };
        self.window.requests.reset();
        self.heard(cx.now);
        // A new request follows the answer to the last one (RFC 7296 §2.3).
        self.confirm(cx.now, |_| true);
        if let Some(old) = self.limbo
            && !is_delete_of_ike(first, &body)
        {
            // The peer has decided its rekey already and uses this SA: so do we (see `rekey_ike`). What it asks
            // for concerns children that are not here yet; its retransmission will find them.
            cx.actions.push_back(Action::Inherit { from: old, to: self.local_spi, delete: false });
            return Ok(());
        }
        self.follow(path, header.exchange == ExchangeType::IkeAuth, cx);
        let parsed = parse_payloads(first, &body);
        if let Ok(payloads) = &parsed {
            self.trace(header, path, false, payloads, cx);
        }
        let reply = self.reply_to(header.exchange, parsed, cx);
        self.respond(header, digest, reply, path, cx);
        Ok(())
    }

    /// The answer to a request's payloads, or to what was wrong with them.
    fn reply_to(
        &mut self,
        exchange: ExchangeType,
        parsed: Result<Vec<Payload>, WireError>,
        cx: &mut Context<'_>,
    ) -> Reply {
        match parsed {
            Ok(payloads) => match Payloads::new(payloads) {
                Ok(payloads) => self.answer(exchange, &payloads, cx),
                Err(rule) => Reply::fatal(NotifyType::INVALID_SYNTAX, DownReason::Misbehaved(rule)),
            },
            Err(WireError::UnsupportedCriticalPayload(ty)) => {
                Reply::only(Notify::with_data(NotifyType::UNSUPPORTED_CRITICAL_PAYLOAD, vec![ty]))
            }
            Err(_) => {
                Reply::fatal(NotifyType::INVALID_SYNTAX, DownReason::Misbehaved("malformed payload in a request"))
            }
        }
    }

    fn answer(&mut self, exchange: ExchangeType, payloads: &Payloads, cx: &mut Context<'_>) -> Reply {
        match exchange {
            ExchangeType::IkeAuth => self.answer_auth(payloads, cx),
            ExchangeType::CreateChildSa => self.answer_create_child_sa(payloads, cx),
            ExchangeType::Informational => self.answer_informational(payloads, cx),
            ExchangeType::IkeSaInit | ExchangeType::Unknown(_) => Reply::empty(),
        }
    }

    fn respond(&mut self, header: &Header, digest: [u8; 32], reply: Reply, path: Path, cx: &mut Context<'_>) {
        let answer = self.header(header.exchange, header.message_id, true);
        let limit = self.message_limit();
        let Some(session) = &mut self.session else { return };
        match session.cipher.seal(answer, &reply.payloads, limit, cx.rng) {
            Ok(datagrams) => {
                self.last_sent = cx.now;
                self.trace(&answer, path, true, &reply.payloads, cx);
                for message in &datagrams {
                    cx.transmit(Transmit { path, message: message.clone() });
                }
                self.window.answered = Some(Answered { message_id: header.message_id, request: digest, datagrams });
                self.window.next_expected = self.window.next_expected.saturating_add(1);
            }
            Err(error) => return self.close(DownReason::Crypto(error.to_string()), cx),
        }
        if let Some(reason) = reply.close {
            self.close(reason, cx);
        }
    }

    /// The same request again, byte for byte: the same response again, to where it came from. No state changes.
    pub(crate) fn answer_again(
        &mut self,
        message: &[u8],
        path: Path,
        cx: &mut Context<'_>,
    ) -> Result<(), IgnoredReason> {
        let answered = self.window.answered.as_ref().ok_or(IgnoredReason::Window)?;
        if crypto::sha256(&[message]) != answered.request {
            return Err(IgnoredReason::Window);
        }
        for message in &answered.datagrams {
            cx.transmit(Transmit { path, message: message.clone() });
        }
        if self.is_established() {
            cx.outputs.push_back(Output::Sign(self.peer.name.clone(), Sign::AskedAgain));
        }
        self.await_confirmation(cx.now, |child| child.unconfirmed.is_some());
        Ok(())
    }

    /// Remembers the answer to IKE_SA_INIT: message ID 0 is spent.
    pub(crate) fn answered_init(&mut self, request: &[u8], response: Vec<u8>) {
        let request = crypto::sha256(&[request]);
        self.window.answered = Some(Answered { message_id: 0, request, datagrams: vec![response] });
        self.window.next_expected = 1;
    }

    fn handle_response(
        &mut self,
        header: &Header,
        message: &[u8],
        path: Path,
        cx: &mut Context<'_>,
    ) -> Result<(), IgnoredReason> {
        if !self.window.expects_response(header.message_id) {
            return Err(IgnoredReason::Window);
        }
        let session = self.session.as_ref().ok_or(IgnoredReason::Unexpected)?;
        let opened = session.cipher.open(header, message).map_err(|_| IgnoredReason::Integrity)?;
        self.heard(cx.now);
        let (first, body) = match opened {
            Opened::Message { first, body } => (first, body),
            Opened::Fragment(fragment) => {
                let whole =
                    self.window.responses.add(header.message_id, fragment).map_err(|_| IgnoredReason::Fragment)?;
                let Some(whole) = whole else { return Ok(()) };
                whole
            }
        };
        let Some(outstanding) = self.window.outstanding.take() else { return Err(IgnoredReason::Window) };
        if outstanding.exchange.ty() != header.exchange {
            self.window.outstanding = Some(outstanding);
            return Err(IgnoredReason::Unexpected);
        }
        self.window.next_request = self.window.next_request.saturating_add(1);
        if self.is_established() {
            let after = outstanding.schedule.answered_after(cx.now);
            cx.outputs.push_back(Output::Sign(self.peer.name.clone(), Sign::Answered { after }));
        }
        self.follow(path, false, cx);
        // A malformed or critical-unknown response fails the SA (RFC 7296 §2.5, §2.21).
        let payloads = match parse_payloads(first, &body).map_err(|_| "malformed payload in a response") {
            Ok(payloads) => {
                self.trace(header, path, false, &payloads, cx);
                Payloads::new(payloads)
            }
            Err(rule) => Err(rule),
        };
        match payloads {
            Ok(payloads) => self.finish(outstanding.exchange, &payloads, cx),
            Err(rule) => {
                self.window.outstanding = Some(outstanding);
                self.close(DownReason::Misbehaved(rule), cx);
            }
        }
        Ok(())
    }

    fn finish(&mut self, exchange: Exchange, payloads: &Payloads, cx: &mut Context<'_>) {
        match exchange {
            // Answered in the clear; a protected answer to it cannot exist.
            Exchange::Init(_) => {}
            Exchange::Auth(auth) => self.finish_auth(*auth, payloads, cx),
            Exchange::CreateChild(offer) => self.finish_create_child(*offer, payloads, cx),
            Exchange::RekeyChild(rekey) => self.finish_rekey_child(*rekey, payloads, cx),
            Exchange::RekeyIke(offer) => self.finish_rekey_ike(*offer, payloads, cx),
            Exchange::DeleteChildren(children) => self.finish_delete_children(&children, cx),
            Exchange::DeleteIke(reason) | Exchange::Failure(reason) => self.close(reason, cx),
            Exchange::Liveness => {}
        }
    }

    /// Follows an authenticated peer behind a NAT to its new address (RFC 7296 §2.23). The end that is behind a NAT
    /// itself does not: its peer's address is the one it chose.
    pub(crate) fn follow(&mut self, path: Path, always: bool, cx: &mut Context<'_>) {
        if path == self.path || !(always || self.nat.remote) {
            return;
        }
        let from = std::mem::replace(&mut self.path, path);
        if always {
            return;
        }
        cx.event(Event::PeerMoved { peer: self.peer.name.clone(), from, to: path });
        self.announce_path(cx);
        cx.actions.push_back(Action::Reconcile(self.peer.name.clone()));
    }
}

/// Whether a message body deletes the IKE SA it came over.
fn is_delete_of_ike(first: PayloadType, body: &[u8]) -> bool {
    let payloads = parse_payloads(first, body).unwrap_or_default();
    payloads.iter().any(|payload| matches!(payload, Payload::Delete(Delete::Ike)))
}
