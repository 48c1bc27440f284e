//! Messages in and out of one ISAKMP SA: encryption, repetition, fragments, and which exchange they belong to.
//!
//! A message that is repeated octet for octet gets the same answer again and changes nothing.

use super::phase2::Phase2;
use super::wire::plain_message;
use super::wire::{
    ExchangeType, Flags, Fragment, Header, Parsed, Payload, PayloadType, encode_payloads, parse_payloads,
};
use super::{Answered, IsakmpSa, Session, cipher::Iv};
use crate::config::{Path, PeerName, Version};
use crate::context::{Action, Context};
use crate::event::{Event, IgnoredReason, Output, Transmit};
use crate::trace::{Kind, Said, Traced, said_v1};
use std::cell::RefCell;

/// What could not be done with a message.
pub(crate) type Outcome = Result<(), IgnoredReason>;

/// A received message of an exchange that belongs to this SA.
#[derive(Clone, Copy)]
pub(crate) struct Received<'a> {
    pub(crate) header: &'a Header,
    pub(crate) message: &'a [u8],
    pub(crate) path: Path,
    /// What it says, once it could be read.
    pub(crate) seen: &'a Seen,
}

/// What the payloads of a message say; the last reading counts.
#[derive(Default)]
pub(crate) struct Seen(RefCell<Vec<Said>>);

impl Seen {
    fn read(&self, payloads: &[Payload]) {
        self.0.replace(said_v1(payloads));
    }

    pub(crate) fn take(&self) -> Vec<Said> {
        self.0.take()
    }
}

impl Received<'_> {
    /// What tells it from every other.
    pub(crate) fn digest(&self) -> [u8; 32] {
        crypto::sha256(&[self.message])
    }

    /// Its octets behind the header.
    pub(crate) fn body(&self) -> &[u8] {
        self.message.get(Header::LEN..).unwrap_or_default()
    }

    /// Its payloads, if it is not encrypted.
    pub(crate) fn plain(&self) -> Result<Parsed, IgnoredReason> {
        if self.header.flags.encrypted {
            return Err(IgnoredReason::Unexpected);
        }
        let parsed = parse_payloads(self.header.next_payload, self.body(), false);
        let parsed = parsed.map_err(|_| IgnoredReason::Malformed)?;
        self.seen.read(&parsed.payloads);
        Ok(parsed)
    }

    /// Its payloads under the keys of `session` and the chain at `iv`; with the octets they were parsed from and the next
    /// value of the chain. Whatever does not decrypt to well-formed payloads fails its integrity check.
    pub(crate) fn open(&self, session: &Session, iv: &Iv) -> Result<Opened, IgnoredReason> {
        if !self.header.flags.encrypted {
            return Err(IgnoredReason::Unexpected);
        }
        let (text, next) = session.cipher.decrypt(iv, self.body()).map_err(|_| IgnoredReason::Integrity)?;
        let parsed = parse_payloads(self.header.next_payload, &text, true).map_err(|_| IgnoredReason::Integrity)?;
        self.seen.read(&parsed.payloads);
        Ok(Opened { parsed, text, next })
    }
}

/// A decrypted message. Nobody vouches for it before its HASH is verified.
pub(crate) struct Opened {
    pub(crate) parsed: Parsed,
    text: Vec<u8>,
    pub(crate) next: Iv,
}

impl Opened {
    /// The octets behind the first payload, which HASH(1) and HASH(2) cover; padding is not among them.
    pub(crate) fn covered(&self) -> &[u8] {
        self.text.get(self.parsed.after_first..self.parsed.end).unwrap_or_default()
    }

    /// The HASH payload, which must be the first (RFC 2409 §5.5).
    pub(crate) fn hash(&self) -> Option<&[u8]> {
        match self.parsed.payloads.first() {
            Some(Payload::Hash(hash)) => Some(hash),
            _ => None,
        }
    }
}

/// A message of IKEv1 as it is told.
pub(crate) fn traced(peer: PeerName, header: &Header, path: Path, sent: bool, payloads: Vec<Said>) -> Traced {
    Traced {
        peer,
        version: Version::V1,
        path,
        sent,
        exchange: header.exchange.to_string().into(),
        message_id: header.message_id,
        kind: Kind::Message,
        protected: header.flags.encrypted,
        payloads,
    }
}

impl IsakmpSa {
    pub(crate) fn header(&self, exchange: ExchangeType, message_id: u32, encrypted: bool) -> Header {
        let (initiator_cookie, responder_cookie) = self.cookies();
        Header {
            initiator_cookie,
            responder_cookie,
            next_payload: PayloadType::None,
            minor: 0,
            exchange,
            flags: Flags { encrypted, ..Flags::default() },
            message_id,
            length: 0,
        }
    }

    /// The datagrams of a message that is not encrypted.
    pub(crate) fn seal_plain(&mut self, exchange: ExchangeType, payloads: &[Payload]) -> Vec<Vec<u8>> {
        let header = self.header(exchange, 0, false);
        self.told(&header, payloads);
        let message = plain_message(header, payloads);
        self.cut(&header, message)
    }

    /// The datagrams of an encrypted message, and the next value of the chain.
    pub(crate) fn seal(
        &mut self,
        exchange: ExchangeType,
        message_id: u32,
        iv: &Iv,
        payloads: &[Payload],
    ) -> Option<(Vec<Vec<u8>>, Iv)> {
        let (first, text) = encode_payloads(payloads);
        let session = self.session.as_ref()?;
        let (body, next) = session.cipher.encrypt(iv, text).ok()?;
        let length = u32::try_from(Header::LEN + body.len()).ok()?;
        let header = Header { next_payload: first, length, ..self.header(exchange, message_id, true) };
        self.told(&header, payloads);
        let mut message = Vec::with_capacity(Header::LEN + body.len());
        header.write(&mut message);
        message.extend_from_slice(&body);
        Some((self.cut(&header, message), next))
    }

    /// Remembers what a message of ours says, to be told when it is sent.
    fn told(&mut self, header: &Header, payloads: &[Payload]) {
        let traced = traced(self.peer.name.clone(), header, self.path, true, said_v1(payloads));
        self.traced.push(traced);
    }

    /// Tells of a message that was received, and of what it was answered with.
    pub(crate) fn tell_received(&mut self, received: &Received<'_>, understood: bool, cx: &mut Context<'_>) {
        let payloads = received.seen.take();
        if understood && !payloads.is_empty() {
            cx.trace(traced(self.peer.name.clone(), received.header, received.path, false, payloads));
        }
        self.tell_sent(cx);
    }

    /// Tells of the messages that were made.
    pub(crate) fn tell_sent(&mut self, cx: &mut Context<'_>) {
        for traced in std::mem::take(&mut self.traced) {
            cx.trace(traced);
        }
    }

    pub(crate) fn send(&mut self, datagrams: &[Vec<u8>], cx: &mut Context<'_>) {
        self.last_sent = cx.now;
        for message in datagrams {
            cx.transmit(Transmit { path: self.path, message: message.clone() });
        }
    }

    /// Handles a message whose cookies are this SA's.
    pub(crate) fn handle_message(&mut self, received: &Received<'_>, phase2: &mut Phase2, cx: &mut Context<'_>) {
        let outcome = if received.header.next_payload == PayloadType::Fragment {
            self.take_fragment(received, phase2, cx)
        } else {
            self.dispatch(received, phase2, cx)
        };
        self.tell_received(received, outcome.is_ok(), cx);
        if let Err(reason) = outcome {
            cx.event(Event::Ignored { path: received.path, reason });
        }
    }

    fn dispatch(&mut self, received: &Received<'_>, phase2: &mut Phase2, cx: &mut Context<'_>) -> Outcome {
        match received.header.exchange {
            ExchangeType::MainMode | ExchangeType::Aggressive => self.handle_phase1(received, cx),
            ExchangeType::QuickMode => self.handle_quick(received, phase2, cx),
            ExchangeType::Informational => self.handle_informational(received, phase2, cx),
            ExchangeType::Transaction => self.handle_transaction(received, phase2, cx),
            ExchangeType::NewGroup | ExchangeType::Unknown(_) => Err(IgnoredReason::Unexpected),
        }
    }

    fn take_fragment(&mut self, received: &Received<'_>, phase2: &mut Phase2, cx: &mut Context<'_>) -> Outcome {
        // A first message comes whole: before it nobody said that he can put fragments together.
        if self.peer.fragment_size.is_none() || self.is_closed() {
            return Err(IgnoredReason::Fragment);
        }
        let fragment = Fragment::parse(received.body()).map_err(|_| IgnoredReason::Fragment)?;
        let authenticated = self.is_usable();
        let Some(message) = self.fragments.add(fragment, authenticated) else { return Ok(()) };
        let header = Header::parse(&message).map_err(|_| IgnoredReason::Fragment)?;
        // Whatever the fragments' own headers say of exchange and message ID: peers write the first exchange's there.
        let cookies = |header: &Header| (header.initiator_cookie, header.responder_cookie);
        if cookies(&header) != cookies(received.header) || header.next_payload == PayloadType::Fragment {
            return Err(IgnoredReason::Fragment);
        }
        let whole = Received { header: &header, message: &message, ..*received };
        self.dispatch(&whole, phase2, cx)
    }

    /// Whether a message of phase 1 is the one that was answered last; then its answer is sent again, to where it came from.
    pub(crate) fn answer_again(&mut self, received: &Received<'_>, cx: &mut Context<'_>) -> bool {
        let digest = received.digest();
        let Some(answered) = self.answered.as_ref().filter(|answered| answered.received == digest) else {
            return false;
        };
        for message in &answered.sent {
            cx.transmit(Transmit { path: received.path, message: message.clone() });
        }
        true
    }

    /// Remembers what a message was answered with, and sends it.
    pub(crate) fn answer(&mut self, received: [u8; 32], datagrams: Vec<Vec<u8>>, cx: &mut Context<'_>) {
        self.send(&datagrams, cx);
        self.answered = Some(Answered { received, sent: datagrams });
    }

    /// The peer sends from another address or port, and proved it: where a NAT stands between, we follow (RFC 3947 §4; its
    /// change of ports during phase 1 too).
    pub(crate) fn follow(&mut self, path: Path, phase2: &Phase2, cx: &mut Context<'_>) {
        if path == self.path || !(self.nat.found() || self.established.is_none()) {
            return;
        }
        let from = std::mem::replace(&mut self.path, path);
        if self.established.is_none() {
            return;
        }
        cx.event(Event::PeerMoved { peer: self.peer.name.clone(), from, to: path });
        let Some(id) = &self.remote_id else { return };
        for child in phase2.of(id).filter(|child| child.udp) {
            let encapsulation = super::phase2::encapsulation(path, true);
            cx.outputs.push_back(Output::MoveChild { child: child.sa.id, encapsulation });
        }
    }

    /// A random message ID that nothing here uses (RFC 2408 §3.1).
    pub(crate) fn new_message_id(&mut self, cx: &mut Context<'_>) -> u32 {
        loop {
            let id = cx.rng.next_u32();
            if id != 0 && !self.quick.contains_key(&id) && !self.seen.contains(&id) && self.ids.take(id) {
                return id;
            }
        }
    }

    /// Something of the peer changed: see whether all that is wanted is there.
    pub(crate) fn reconcile(&self, cx: &mut Context<'_>) {
        cx.actions.push_back(Action::Reconcile(self.peer.name.clone()));
    }
}
