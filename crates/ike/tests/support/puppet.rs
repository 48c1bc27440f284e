//! A peer that does exactly what a test says: it holds the keys, and can send any message at any time. Speaks to one
//! endpoint directly, without a network. Good behaviour is only in [`Puppet::meet`] and [`Puppet::authenticate`].

use super::end::address;
use super::{A, B};
use crypto::{KeyExchange, PacketKey, Provider, Rng, SeededRng, SimProvider};
use ike::Endpoint;
use ike::config::Path;
use ike::event::{Event, Output};
use ike::id::Id;
use ike::keys::{IkeKeys, derive_ike, psk_auth};
use ike::proposal::{EspProposal, IkeProposal, IkeSuite, accept_ike, esp_to_wire, ike_to_wire};
use ike::sk::{Opened, SkCipher};
use ike::wire::{
    ExchangeType, Flags, Header, IdPayload, IkeSpi, Payload, PayloadType, encode_payloads, parse_payloads,
    plain_message,
};
use ipsec::{Spi, TrafficSelector};
use std::net::SocketAddr;
use std::time::Instant;

/// The key of [`super::site_b`].
pub const PSK: &[u8] = b"a key that both sites know";

/// A peer on strings: it plays end A, the initiator, towards an endpoint configured as end B.
pub struct Puppet {
    /// As the endpoint sees it.
    pub path: Path,
    /// SPIi.
    pub initiator_spi: IkeSpi,
    /// SPIr, once known.
    pub responder_spi: IkeSpi,
    /// Algorithms, once agreed.
    pub suite: Option<IkeSuite>,
    /// Keys, once agreed.
    pub keys: Option<IkeKeys>,
    /// Message ID of the next request.
    pub next_id: u32,
    /// Whether it began the IKE SA.
    pub original_initiator: bool,
    /// Chance.
    pub rng: SeededRng,
    nonce_i: Vec<u8>,
    nonce_r: Vec<u8>,
    init_request: Vec<u8>,
    init_response: Vec<u8>,
    cipher: Option<SkCipher>,
    share: Option<Box<dyn KeyExchange>>,
}

/// What came out of an endpoint after an input.
#[derive(Default, Debug)]
pub struct Reaction {
    /// Messages sent.
    pub messages: Vec<Vec<u8>>,
    /// Events said.
    pub events: Vec<Event>,
    /// Everything else, as text.
    pub others: Vec<String>,
}

/// Takes all outputs of an endpoint.
pub fn reaction(endpoint: &mut Endpoint) -> Reaction {
    let mut reaction = Reaction::default();
    while let Some(output) = endpoint.poll_output() {
        match output {
            Output::Transmit(transmit) => reaction.messages.push(transmit.message),
            Output::Event(event) => reaction.events.push(event),
            other => reaction.others.push(format!("{other:?}")),
        }
    }
    reaction
}

/// One algorithm of each kind.
pub fn proposals() -> Vec<IkeProposal> {
    vec!["aes256gcm16-prfsha256-x25519".parse().expect("a proposal")]
}

impl Puppet {
    /// Nothing said yet.
    pub fn new(seed: u64) -> Puppet {
        let mut rng = SeededRng::new(seed);
        let mut spi = [0; 8];
        rng.fill(&mut spi);
        spi[0] |= 1;
        let mut nonce_i = vec![0; 32];
        rng.fill(&mut nonce_i);
        let group = proposals()[0].groups[0];
        let share = SimProvider.key_exchange(group, &mut rng).ok();
        let path = Path { local: SocketAddr::new(address(B), 500), remote: SocketAddr::new(address(A), 500) };
        Puppet {
            path,
            initiator_spi: IkeSpi(spi),
            responder_spi: IkeSpi::ZERO,
            suite: None,
            keys: None,
            next_id: 0,
            original_initiator: true,
            rng,
            nonce_i,
            nonce_r: Vec::new(),
            init_request: Vec::new(),
            init_response: Vec::new(),
            cipher: None,
            share,
        }
    }

    /// The payloads of an ordinary IKE_SA_INIT.
    pub fn init_payloads(&self) -> Vec<Payload> {
        let share = self.share.as_ref().expect("a share until it is used");
        vec![
            Payload::SecurityAssociation(ike_to_wire(&proposals(), None)),
            Payload::KeyExchange { group: share.group().number(), data: share.public().to_vec() },
            Payload::Nonce(self.nonce_i.clone()),
        ]
    }

    /// The header of a message of this puppet.
    pub fn header(&self, exchange: ExchangeType, message_id: u32, response: bool) -> Header {
        Header {
            initiator_spi: self.initiator_spi,
            responder_spi: self.responder_spi,
            next_payload: PayloadType::None,
            major: 2,
            minor: 0,
            exchange,
            flags: Flags { initiator: self.original_initiator, version: false, response },
            message_id,
            length: 0,
        }
    }

    /// IKE_SA_INIT with these payloads; remembers it for AUTH.
    pub fn init(&mut self, payloads: &[Payload]) -> Vec<u8> {
        let message = plain_message(self.header(ExchangeType::IkeSaInit, 0, false), payloads);
        self.init_request.clone_from(&message);
        message
    }

    /// Hands a message to the endpoint and takes what comes out.
    pub fn send(&self, endpoint: &mut Endpoint, message: &[u8], now: Instant) -> Reaction {
        endpoint.handle_datagram(self.path, message, now);
        reaction(endpoint)
    }

    /// IKE_SA_INIT as it should be: afterwards there are keys.
    pub fn meet(&mut self, endpoint: &mut Endpoint, now: Instant) {
        let request = self.init(&self.init_payloads());
        let reaction = self.send(endpoint, &request, now);
        let response = reaction.messages.first().expect("an answer to IKE_SA_INIT").clone();
        self.accept_init(response);
    }

    /// Takes the answer to IKE_SA_INIT.
    pub fn accept_init(&mut self, response: Vec<u8>) {
        let header = Header::parse(&response).expect("a header");
        let payloads = parse_payloads(header.next_payload, &response[Header::LEN..]).expect("payloads");
        let find = |ty| payloads.iter().find(|payload| payload.ty() == ty).expect("a payload of IKE_SA_INIT");
        let Payload::SecurityAssociation(answer) = find(PayloadType::SecurityAssociation) else { return };
        let Payload::KeyExchange { data, .. } = find(PayloadType::KeyExchange) else { return };
        let Payload::Nonce(nonce) = find(PayloadType::Nonce) else { return };
        self.nonce_r.clone_from(nonce);
        self.responder_spi = header.responder_spi;
        let (suite, _) = accept_ike(&proposals(), answer).expect("what was offered");
        let shared = self.share.take().expect("a share").agree(data).expect("a public value");
        self.take_keys(suite, &shared);
        self.init_response = response;
        self.next_id = 1;
    }

    fn take_keys(&mut self, suite: IkeSuite, shared: &crypto::SecretBytes) {
        let (spi_i, spi_r) = (self.initiator_spi, self.responder_spi);
        let keys = derive_ike(&suite, shared, &self.nonce_i, &self.nonce_r, spi_i, spi_r).expect("keys");
        self.cipher = SkCipher::new(&suite, &keys, self.original_initiator, &mut self.rng).ok();
        (self.suite, self.keys) = (Some(suite), Some(keys));
    }

    /// The payloads of IKE_AUTH as end A should send them.
    pub fn auth_payloads(&mut self) -> Vec<Payload> {
        let id = IdPayload::from(Id::Fqdn("a.example".to_owned()));
        self.auth_payloads_as(id, PSK)
    }

    /// IKE_AUTH with another identity or key.
    pub fn auth_payloads_as(&mut self, id: IdPayload, psk: &[u8]) -> Vec<Payload> {
        let (suite, keys) = (self.suite.expect("a suite"), self.keys.clone().expect("keys"));
        let psk = psk.to_vec().into();
        let auth = psk_auth(suite.prf, &psk, &self.init_request, &self.nonce_r, &keys.pi, &id.octets);
        let mut payloads =
            vec![Payload::IdInitiator(id), Payload::Authentication { method: 2, data: auth.expose().to_vec() }];
        payloads.extend(self.child_payloads(false));
        payloads
    }

    /// `SA, [Ni,] TSi, TSr` for the first child.
    pub fn child_payloads(&mut self, own_exchange: bool) -> Vec<Payload> {
        let spi = Spi::new(self.rng.next_u32() | 0x100).expect("not reserved");
        let esp: EspProposal = "aes256gcm16".parse().expect("a proposal");
        let mut payloads = vec![Payload::SecurityAssociation(esp_to_wire(&[esp], spi, own_exchange))];
        if own_exchange {
            let mut nonce = vec![0; 32];
            self.rng.fill(&mut nonce);
            payloads.push(Payload::Nonce(nonce));
        }
        let net = |site| TrafficSelector::from_prefix([10, site, 0, 0].into(), 24);
        payloads.push(Payload::TsInitiator(vec![net(1)]));
        payloads.push(Payload::TsResponder(vec![net(2)]));
        payloads
    }

    /// IKE_AUTH as it should be. Returns the answer's payloads.
    pub fn authenticate(&mut self, endpoint: &mut Endpoint, now: Instant) -> Vec<Payload> {
        let payloads = self.auth_payloads();
        let request = self.request(ExchangeType::IkeAuth, &payloads);
        let reaction = self.send(endpoint, &request, now);
        self.open(reaction.messages.first().expect("an answer to IKE_AUTH")).1
    }

    /// An IKE SA and a child with the endpoint.
    pub fn connected(seed: u64, endpoint: &mut Endpoint, now: Instant) -> Puppet {
        let mut puppet = Puppet::new(seed);
        puppet.meet(endpoint, now);
        puppet.authenticate(endpoint, now);
        puppet
    }

    /// The next request.
    pub fn request(&mut self, exchange: ExchangeType, payloads: &[Payload]) -> Vec<u8> {
        let header = self.header(exchange, self.next_id, false);
        self.next_id += 1;
        self.seal(header, payloads)
    }

    /// Protects a message with any header.
    pub fn seal(&mut self, header: Header, payloads: &[Payload]) -> Vec<u8> {
        let cipher = self.cipher.as_mut().expect("keys");
        cipher.seal(header, payloads, None, &mut self.rng).expect("sealed").remove(0)
    }

    /// Protects any octets as the content of SK; `first` is the type of the first payload in them. `change` may alter the
    /// unprotected part (header and generic header of SK, 32 octets) before it is authenticated.
    pub fn seal_raw(&mut self, header: Header, first: u8, body: &[u8], change: impl Fn(&mut [u8])) -> Vec<u8> {
        let (suite, keys) = (self.suite.expect("a suite"), self.keys.clone().expect("keys"));
        let (encryption, integrity) = match self.original_initiator {
            true => (keys.ei, keys.ai),
            false => (keys.er, keys.ar),
        };
        let key =
            PacketKey::new(suite.cipher, suite.integrity, encryption.expose(), integrity.expose()).expect("a key");
        let text = (body.len() + 1).next_multiple_of(key.block_len().max(1));
        let sealed = key.iv_len() + text + key.icv_len();
        let total = Header::LEN + 4 + sealed;
        let header = Header { next_payload: PayloadType::Encrypted, length: total as u32, ..header };
        let mut message = Vec::with_capacity(total);
        header.write(&mut message);
        message.extend_from_slice(&[first, 0]);
        message.extend_from_slice(&((4 + sealed) as u16).to_be_bytes());
        change(&mut message);
        let mut buffer = vec![0; key.iv_len()];
        self.rng.fill(&mut buffer);
        let iv = buffer.clone();
        buffer.extend_from_slice(body);
        let padding = text - body.len() - 1;
        buffer.resize(buffer.len() + padding, 0);
        buffer.push(padding as u8);
        buffer.resize(sealed, 0);
        key.seal(&iv, &message, &[], &mut buffer).expect("sealed");
        message.extend_from_slice(&buffer);
        message
    }

    /// The next request, as [`Self::seal_raw`].
    pub fn request_raw(&mut self, exchange: ExchangeType, first: u8, body: &[u8]) -> Vec<u8> {
        let header = self.header(exchange, self.next_id, false);
        self.next_id += 1;
        self.seal_raw(header, first, body, |_| {})
    }

    /// Opens a message of the endpoint.
    pub fn open(&self, message: &[u8]) -> (Header, Vec<Payload>) {
        let header = Header::parse(message).expect("a header");
        let opened = self.cipher.as_ref().expect("keys").open(&header, message).expect("an authentic message");
        let Opened::Message { first, body } = opened else { return (header, Vec::new()) };
        (header, parse_payloads(first, &body).expect("well-formed payloads"))
    }

    /// The octets of payloads and the type of the first.
    pub fn encode(payloads: &[Payload]) -> (u8, Vec<u8>) {
        let (first, body) = encode_payloads(payloads);
        (first.to_u8(), body)
    }
}
