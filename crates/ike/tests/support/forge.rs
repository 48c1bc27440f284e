//! Hostile input: every damage to a message, and a peer that holds the keys and sends anything at any time, driven by
//! octets so that a fuzzer can drive it too.

use super::configs::{child_config, seconds, site_b};
use super::end::B;
use super::pair::epoch;
use super::puppet::{Puppet, Reaction, reaction};
use crypto::{SeededRng, SimProvider};
use ike::Endpoint;
use ike::config::{EndpointConfig, StartPolicy};
use ike::wire::{Delete, ExchangeType, Header, IdPayload, Notify, NotifyType, Payload, PayloadType, ProtocolId};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Every truncation of a message, with the length field as it was and adjusted, every single flipped bit, and octets added.
pub fn damaged(message: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    let cut = (0..message.len()).map(|len| message[..len].to_vec());
    let adjusted = (Header::LEN..message.len()).map(|len| with_length(message[..len].to_vec()));
    let longer = [1, 4, 16, 600].into_iter().map(|more| {
        let mut longer = message.to_vec();
        longer.resize(message.len() + more, 0xa5);
        with_length(longer)
    });
    let flipped = (0..message.len() * 8).map(|bit| {
        let mut flipped = message.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        flipped
    });
    cut.chain(adjusted).chain(longer).chain(flipped)
}

/// The message with a length field that fits.
fn with_length(mut message: Vec<u8>) -> Vec<u8> {
    let length = (message.len() as u32).to_be_bytes();
    if let Some(field) = message.get_mut(24..28) {
        field.copy_from_slice(&length);
    }
    message
}

/// An endpoint as end B, with two children, cookies and limits low enough to be reached.
fn endpoint(now: Instant) -> Endpoint {
    let config = EndpointConfig { half_open_before_cookie: 4, half_open_limit: 8, ..EndpointConfig::default() };
    let mut endpoint = Endpoint::new(config, Arc::new(SimProvider), Box::new(SeededRng::new(2)), now);
    let mut peer = site_b();
    peer.proposals = super::puppet::proposals();
    peer.dpd.interval = Some(seconds(20));
    peer.children.push(child_config("other", B, 9, StartPolicy::OnDemand));
    endpoint.apply(vec![peer], now);
    endpoint
}

/// Octets to decide with; zeros when they are used up.
struct Choices<'a>(&'a [u8]);

impl Choices<'_> {
    fn octet(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn below(&mut self, bound: u8) -> u8 {
        self.octet() % bound
    }

    fn octets(&mut self) -> Vec<u8> {
        let len = usize::from(self.octet()).min(self.0.len());
        let (taken, rest) = self.0.split_at(len);
        self.0 = rest;
        taken.to_vec()
    }
}

/// What [`drive`] saw, for whoever judges it.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct Driven {
    /// Inputs handed over.
    pub inputs: u32,
    /// Messages that came out.
    pub answers: u32,
    /// The most IKE SAs there were.
    pub most_sas: usize,
    /// The most children there were.
    pub most_children: usize,
}

/// One run of a hostile peer: it begins with an IKE SA of its own, then does what the octets say. Returns what it saw;
/// what must hold whatever happens is asserted here: never more than one answer (or its fragments) to an input beside
/// requests of the endpoint's own, and bounds on what it remembers.
pub fn drive(octets: &[u8]) -> Driven {
    let mut now = epoch();
    let mut choices = Choices(octets);
    let mut endpoint = endpoint(now);
    let mut puppet = Puppet::new(7);
    let mut pending: Vec<Vec<u8>> = Vec::new();
    let mut driven = Driven::default();
    match choices.below(4) {
        0 => {}
        1 => puppet.meet(&mut endpoint, now),
        _ => puppet = Puppet::connected(7, &mut endpoint, now),
    }
    while !choices.0.is_empty() && driven.inputs < 300 {
        driven.inputs += 1;
        let reaction = step(&mut endpoint, &mut puppet, &mut pending, &mut choices, &mut now);
        let mut responses = 0;
        for message in reaction.messages {
            driven.answers += 1;
            match Header::parse(&message) {
                Ok(header) if header.flags.response => responses += 1,
                _ => pending.push(message),
            }
        }
        assert!(responses <= 64, "{responses} answers to one input");
        let excess = pending.len().saturating_sub(16);
        pending.drain(..excess);
        driven.most_sas = driven.most_sas.max(endpoint.sas().count());
        driven.most_children = driven.most_children.max(endpoint.sas().map(|sa| sa.children().count()).sum());
        assert!(endpoint.sas().all(|sa| sa.waiting() <= 600), "requests pile up");
        assert!(endpoint.half_open() <= 8 + 1, "half-open SAs pile up");
    }
    driven
}

fn step(
    endpoint: &mut Endpoint,
    puppet: &mut Puppet,
    pending: &mut Vec<Vec<u8>>,
    choices: &mut Choices<'_>,
    now: &mut Instant,
) -> Reaction {
    let peer = "a.example".into();
    match choices.below(12) {
        0 => {
            let datagram = with_length(choices.octets());
            endpoint.handle_datagram(puppet.path, &datagram, *now);
        }
        1 => {
            *now += Duration::from_millis(u64::from(choices.octet()) * 97);
            endpoint.handle_timeout(*now);
        }
        2 => {
            // What an operator may do meanwhile; whether it can be done does not matter here.
            let _ = match choices.below(5) {
                0 => endpoint.rekey_child(&peer, None, *now),
                1 => endpoint.rekey_ike(&peer, *now),
                2 => endpoint.down(&peer, Some(&"net".into()), *now),
                3 => endpoint.down(&peer, None, *now),
                _ => endpoint.up(&peer, None, *now),
            };
        }
        3 => {
            let mut stranger = Puppet::new(u64::from(choices.octet()) + 100);
            let mut payloads = stranger.init_payloads();
            payloads.extend((0..choices.below(3)).map(|_| payload(puppet, choices)));
            let hello = stranger.init(&payloads);
            endpoint.handle_datagram(puppet.path, &hello, *now);
        }
        4 if puppet.keys.is_some() => {
            let exchange = exchange(choices);
            let first = choices.octet();
            let body = choices.octets();
            let message = puppet.request_raw(exchange, first, &body);
            endpoint.handle_datagram(puppet.path, &message, *now);
        }
        5..=7 if puppet.keys.is_some() => {
            let exchange = exchange(choices);
            let payloads: Vec<Payload> = (0..choices.below(6)).map(|_| payload(puppet, choices)).collect();
            let message = puppet.request(exchange, &payloads);
            endpoint.handle_datagram(puppet.path, &message, *now);
        }
        8 if puppet.keys.is_some() => {
            let payloads = match choices.below(2) {
                0 => puppet.auth_payloads(),
                _ => puppet.child_payloads(true),
            };
            let message = puppet.request(exchange(choices), &payloads);
            endpoint.handle_datagram(puppet.path, &message, *now);
            if choices.below(2) == 0 {
                endpoint.handle_datagram(puppet.path, &message, *now);
            }
        }
        9 if puppet.keys.is_some() && !pending.is_empty() => {
            let request = pending.remove(0);
            if let Ok(asked) = Header::parse(&request) {
                let payloads: Vec<Payload> = (0..choices.below(7)).map(|_| payload(puppet, choices)).collect();
                let header = puppet.header(asked.exchange, asked.message_id, true);
                let answer = puppet.seal(header, &payloads);
                endpoint.handle_datagram(puppet.path, &answer, *now);
            }
        }
        10 if puppet.keys.is_some() => {
            let id = u32::from(choices.octet());
            let header = puppet.header(exchange(choices), id, choices.below(2) == 0);
            let payloads: Vec<Payload> = (0..choices.below(4)).map(|_| payload(puppet, choices)).collect();
            let message = puppet.seal(header, &payloads);
            endpoint.handle_datagram(puppet.path, &message, *now);
        }
        _ => {
            *puppet = Puppet::new(u64::from(choices.octet()));
            let hello = puppet.init(&puppet.init_payloads());
            let reaction = puppet.send(endpoint, &hello, *now);
            let answer = reaction.messages.iter().find(|message| message.len() > 120).cloned();
            if let Some(answer) = answer {
                puppet.accept_init(answer);
            }
            return reaction;
        }
    }
    reaction(endpoint)
}

fn exchange(choices: &mut Choices<'_>) -> ExchangeType {
    match choices.below(8) {
        0..=3 => ExchangeType::CreateChildSa,
        4 | 5 => ExchangeType::Informational,
        6 => ExchangeType::IkeAuth,
        _ => ExchangeType::from_u8(choices.octet()),
    }
}

/// A payload that fits more or less.
fn payload(puppet: &mut Puppet, choices: &mut Choices<'_>) -> Payload {
    let spi = u32::from_be_bytes([choices.octet(), 1, 2, choices.octet()]);
    let mut of_child = puppet.child_payloads(true);
    match choices.below(14) {
        0 => of_child.remove(0),
        1 => of_child.remove(1),
        2 => of_child.remove(2),
        3 => of_child.remove(3),
        4 => Payload::SecurityAssociation(ike::proposal::ike_to_wire(
            &super::puppet::proposals(),
            Some(ike::wire::IkeSpi([choices.octet(); 8])),
        )),
        5 => Payload::KeyExchange { group: 31, data: vec![choices.octet(); 32] },
        6 => Payload::Delete(match choices.below(3) {
            0 => Delete::Ike,
            1 => Delete::Child { protocol: ProtocolId::Esp, spis: vec![spi] },
            _ => Delete::Child { protocol: ProtocolId::Ah, spis: vec![spi] },
        }),
        7 => Payload::Notify(Notify {
            protocol: ProtocolId::from_u8(choices.below(5)),
            spi: choices.octets(),
            ty: NotifyType(u16::from_be_bytes([choices.octet(), choices.octet()])),
            data: choices.octets(),
        }),
        8 => Payload::Notify(Notify::with_data(
            [
                NotifyType::TEMPORARY_FAILURE,
                NotifyType::INVALID_KE_PAYLOAD,
                NotifyType::CHILD_SA_NOT_FOUND,
                NotifyType::NO_PROPOSAL_CHOSEN,
                NotifyType::AUTHENTICATION_FAILED,
                NotifyType::INITIAL_CONTACT,
            ][usize::from(choices.below(6))],
            choices.octets(),
        )),
        9 => {
            let known = Notify { protocol: ProtocolId::Esp, spi: spi.to_be_bytes().to_vec(), ..rekey() };
            Payload::Notify(known)
        }
        10 => Payload::IdInitiator(IdPayload::from(ike::id::Id::KeyId(choices.octets()))),
        11 => Payload::Nonce(vec![choices.octet(); 16 + usize::from(choices.octet())]),
        12 => Payload::Authentication { method: choices.octet(), data: choices.octets() },
        _ => Payload::Opaque { ty: PayloadType::from_u8(choices.octet()), body: choices.octets() },
    }
}

fn rekey() -> Notify {
    Notify::new(NotifyType::REKEY_SA)
}
