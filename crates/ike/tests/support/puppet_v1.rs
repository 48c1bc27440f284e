//! A peer of IKEv1 that does exactly what a test says: it plays end A, the initiator, towards an endpoint configured as end B,
//! holds the keys, and can send any payloads in any message. Main and aggressive mode, quick mode, informationals.

use super::rig::{Said, drain};
use super::{A, B, address};
use crypto::{CbcKey, Cipher, Group, KeyExchange, Prf, Provider, Rng, SecretBytes, SeededRng, SimProvider};
use ike::Endpoint;
use ike::config::{Lifetime, Path};
use ike::id::Id;
use ike::proposal::{EspProposal, IkeProposal};
use ike::v1::keys::{self, Phase1Keys, Proof};
use ike::v1::proposal::{phase1_offer, phase2_offer};
use ike::v1::wire::{
    ExchangeType, Flags, Header, IdPayload, Payload, PayloadType, SaPayload, encode_payloads, parse_payloads,
    plain_message,
};
use ike::wire::IkeSpi;
use ipsec::{Spi, TrafficSelector};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// The key of [`super::site_b`].
pub const PSK: &[u8] = b"a key that both sites know";
const PRF: Prf = Prf::HmacSha1;
const GROUP: Group = Group::Modp1024;
const BLOCK: usize = 16;

/// A peer on strings.
pub struct PuppetV1 {
    /// As the endpoint sees it.
    pub path: Path,
    /// Main or aggressive mode.
    pub mode: ExchangeType,
    /// CKY-I and CKY-R.
    pub cookies: (IkeSpi, IkeSpi),
    /// Chance.
    pub rng: SeededRng,
    /// The keys of phase 1, once there are any.
    pub keys: Option<Phase1Keys>,
    /// The last block of phase 1.
    pub iv: [u8; BLOCK],
    /// Our half of the key exchange.
    pub g_xi: Vec<u8>,
    g_xr: Vec<u8>,
    ni: Vec<u8>,
    offer: SaPayload,
    share: Option<Box<dyn KeyExchange>>,
}

impl PuppetV1 {
    /// Nothing said yet.
    pub fn new(seed: u64, mode: ExchangeType) -> PuppetV1 {
        let mut rng = SeededRng::new(seed);
        let mut cookie = [1; 8];
        rng.fill(&mut cookie[1..]);
        let mut ni = vec![0; 16];
        rng.fill(&mut ni);
        let share = SimProvider.key_exchange(GROUP, &mut rng).expect("a share");
        let proposals = IkeProposal::parse_list("aes128-sha1-modp1024").expect("a proposal");
        let lifetime = Lifetime::of(Duration::from_secs(3600));
        let at = |node| SocketAddr::new(address(node), 500);
        PuppetV1 {
            path: Path { local: at(B), remote: at(A) },
            mode,
            cookies: (IkeSpi(cookie), IkeSpi::ZERO),
            rng,
            keys: None,
            iv: [0; BLOCK],
            g_xi: share.public().to_vec(),
            g_xr: Vec::new(),
            ni,
            offer: phase1_offer(&proposals, &lifetime, Some(GROUP)).expect("an offer"),
            share: Some(share),
        }
    }

    /// A header of this ISAKMP SA.
    pub fn header(&self, exchange: ExchangeType, message_id: u32, encrypted: bool) -> Header {
        Header {
            initiator_cookie: self.cookies.0,
            responder_cookie: self.cookies.1,
            next_payload: PayloadType::None,
            minor: 0,
            exchange,
            flags: Flags { encrypted, ..Flags::default() },
            message_id,
            length: 0,
        }
    }

    /// A message of phase 1 in clear.
    pub fn plain(&self, payloads: &[Payload]) -> Vec<u8> {
        plain_message(self.header(self.mode, 0, false), payloads)
    }

    /// Hands a message to the endpoint and takes what comes out.
    pub fn send(&self, endpoint: &mut Endpoint, message: &[u8], now: Instant) -> Said {
        endpoint.handle_datagram(self.path, message, now);
        drain(endpoint)
    }

    /// The payloads of message 1.
    pub fn first(&self) -> Vec<Payload> {
        let mut payloads = vec![Payload::SecurityAssociation(self.offer.clone())];
        if self.mode == ExchangeType::Aggressive {
            payloads.extend(self.second());
            payloads.push(self.id());
        }
        payloads
    }

    /// Key exchange and nonce: message 3 of main mode.
    pub fn second(&self) -> Vec<Payload> {
        vec![Payload::KeyExchange(self.g_xi.clone()), Payload::Nonce(self.ni.clone())]
    }

    /// Who we are.
    pub fn id(&self) -> Payload {
        Payload::Identification(IdPayload::from_identity(&Id::Fqdn("a.example".to_owned())))
    }

    fn payloads_of(message: &[u8]) -> Vec<Payload> {
        let header = Header::parse(message).expect("a header");
        parse_payloads(header.next_payload, &message[Header::LEN..], false).expect("payloads").payloads
    }

    /// Takes the responder's half: now there are keys.
    fn agree(&mut self, message: &[u8]) {
        let payloads = Self::payloads_of(message);
        let half = payloads.iter().find_map(|payload| match payload {
            Payload::KeyExchange(data) => Some(data.clone()),
            _ => None,
        });
        let nonce = payloads.iter().find_map(|payload| match payload {
            Payload::Nonce(nonce) => Some(nonce.clone()),
            _ => None,
        });
        let (half, nr) = (half.expect("a half"), nonce.expect("a nonce"));
        let shared = self.share.take().expect("a share").agree(&half).expect("a member of the group");
        let skeyid = keys::skeyid_psk(PRF, &PSK.to_vec().into(), &self.ni, &nr);
        self.keys = Some(keys::derive_phase1(PRF, &skeyid, &shared, self.cookies.0, self.cookies.1));
        self.iv = *keys::hash(PRF, &[&self.g_xi, &half]).first_chunk().expect("a block");
        self.g_xr = half;
    }

    /// HASH_I for an identity.
    pub fn proof(&self, id: &Payload) -> Payload {
        let Payload::Identification(id) = id else { unreachable!("an identity") };
        let proof = Proof {
            own_public: &self.g_xi,
            other_public: &self.g_xr,
            own_cookie: self.cookies.0,
            other_cookie: self.cookies.1,
            sa: &self.offer.octets,
            id: &id.octets,
        };
        let skeyid = &self.keys.as_ref().expect("keys").skeyid;
        Payload::Hash(keys::proof(PRF, skeyid, &proof).expose().to_vec())
    }

    /// Message 1, and what answers it.
    pub fn begin(&mut self, endpoint: &mut Endpoint, now: Instant) -> Said {
        let said = self.send(endpoint, &self.plain(&self.first()), now);
        if let Some(answer) = said.messages.first() {
            self.cookies.1 = Header::parse(answer).expect("a header").responder_cookie;
            if self.mode == ExchangeType::Aggressive {
                self.agree(answer);
            }
        }
        said
    }

    /// Until both have keys, and nobody proved anything.
    pub fn meet(&mut self, endpoint: &mut Endpoint, now: Instant) {
        self.begin(endpoint, now);
        if self.mode == ExchangeType::MainMode {
            let said = self.send(endpoint, &self.plain(&self.second()), now);
            self.agree(said.messages.first().expect("message 4"));
        }
    }

    /// The payloads of the last message: the proof.
    pub fn last(&self) -> Vec<Payload> {
        let id = self.id();
        let proof = self.proof(&id);
        if self.mode == ExchangeType::Aggressive { vec![proof] } else { vec![id, proof] }
    }

    /// Proves who we are; remembers where the chain of phase 1 ends.
    pub fn authenticate(&mut self, endpoint: &mut Endpoint, now: Instant) -> Said {
        let message = self.seal(self.mode, 0, &self.iv, &self.last());
        let said = self.send(endpoint, &message, now);
        let end = said.messages.first().map_or(&message, |answer| answer);
        self.iv = *end.last_chunk().expect("a block");
        said
    }

    /// An ISAKMP SA with the endpoint, and no child.
    pub fn connected(seed: u64, mode: ExchangeType, endpoint: &mut Endpoint, now: Instant) -> PuppetV1 {
        let mut puppet = PuppetV1::new(seed, mode);
        puppet.meet(endpoint, now);
        assert!(puppet.authenticate(endpoint, now).up());
        puppet
    }

    fn cipher(&self) -> CbcKey {
        let e = &self.keys.as_ref().expect("keys").e;
        let key: SecretBytes = keys::cipher_key(PRF, e, 16);
        CbcKey::new(Cipher::AesCbc128, key.expose()).expect("a key")
    }

    /// Encrypts any octets as the body of a message.
    pub fn seal_raw(&self, header: Header, iv: &[u8; BLOCK], first: u8, mut text: Vec<u8>) -> Vec<u8> {
        text.resize(text.len().next_multiple_of(BLOCK), 0);
        self.cipher().encrypt(iv, &mut text).expect("whole blocks");
        let length = (Header::LEN + text.len()) as u32;
        let mut message = Vec::new();
        Header { next_payload: PayloadType::from_u8(first), length, ..header }.write(&mut message);
        message.extend_from_slice(&text);
        message
    }

    /// Encrypts payloads.
    pub fn seal(&self, exchange: ExchangeType, message_id: u32, iv: &[u8; BLOCK], payloads: &[Payload]) -> Vec<u8> {
        let (first, text) = encode_payloads(payloads);
        self.seal_raw(self.header(exchange, message_id, true), iv, first.to_u8(), text)
    }

    /// Where an exchange after phase 1 starts.
    pub fn exchange_iv(&self, message_id: u32) -> [u8; BLOCK] {
        *keys::hash(PRF, &[&self.iv, &message_id.to_be_bytes()]).first_chunk().expect("a block")
    }

    /// HASH(1) and what it covers.
    pub fn hashed(&self, message_id: u32, covered: &[Payload]) -> Vec<Payload> {
        let (_, octets) = encode_payloads(covered);
        let hash = keys::hash1(PRF, &self.keys.as_ref().expect("keys").a, message_id, &octets);
        [&[Payload::Hash(hash.expose().to_vec())], covered].concat()
    }

    /// The first message of an exchange after phase 1.
    pub fn protected(&self, exchange: ExchangeType, message_id: u32, covered: &[Payload]) -> Vec<u8> {
        self.seal(exchange, message_id, &self.exchange_iv(message_id), &self.hashed(message_id, covered))
    }

    /// Any octets behind a right HASH(1); `first` is the type of the first payload in them.
    pub fn protected_raw(&self, exchange: ExchangeType, message_id: u32, first: u8, covered: &[u8]) -> Vec<u8> {
        let hash = keys::hash1(PRF, &self.keys.as_ref().expect("keys").a, message_id, covered);
        let hash = hash.expose();
        let mut text = vec![first, 0];
        text.extend_from_slice(&(4 + hash.len() as u16).to_be_bytes());
        text.extend_from_slice(hash);
        text.extend_from_slice(covered);
        self.seal_raw(self.header(exchange, message_id, true), &self.exchange_iv(message_id), 8, text)
    }

    /// `SA, Ni, IDci, IDcr` for the first child.
    pub fn quick(&mut self) -> Vec<Payload> {
        let spi = Spi::new(self.rng.next_u32() | 0x100).expect("not reserved");
        let esp = EspProposal::parse_list("aes128-sha1", false).expect("a proposal");
        let offer = phase2_offer(&esp, None, &Lifetime::of(Duration::from_secs(3600)), spi, 1).expect("an offer");
        let mut nonce = vec![0; 16];
        self.rng.fill(&mut nonce);
        let net = |site| TrafficSelector::from_prefix([10, site, 0, 0].into(), 24);
        let id = |site| Payload::Identification(IdPayload::from_selector(&net(site)).expect("a subnet"));
        vec![Payload::SecurityAssociation(offer), Payload::Nonce(nonce), id(1), id(2)]
    }
}
