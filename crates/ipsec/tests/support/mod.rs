//! What every test of this crate needs: suites, keys, SA pairs and inner packets.
#![allow(dead_code, reason = "each test file is a crate of its own and uses its part")]

use std::net::{IpAddr, SocketAddr};

use crypto::{CbcIv, Cipher, Integrity, Rng, SecretBytes, SeededRng};
use ipsec::{EspKeys, EspSuite, InboundSa, OutboundSa, SaLimits, SelectorPair, Spi, TrafficSelector, TunnelPolicy};

pub const INTEGRITIES: [Integrity; 7] = [
    Integrity::HmacSha1_96,
    Integrity::HmacSha2_256_128,
    Integrity::HmacSha2_256_96,
    Integrity::HmacSha2_384_192,
    Integrity::HmacSha2_512_256,
    Integrity::AesXcbc96,
    Integrity::AesCmac96,
];

/// Every consistent suite, with and without ESN.
pub fn all_suites() -> Vec<EspSuite> {
    let mut suites = Vec::new();
    for cipher in Cipher::ALL {
        if cipher.is_aead() {
            suites.push(EspSuite::aead(cipher));
        } else {
            suites.extend(INTEGRITIES.map(|mac| EspSuite::with_mac(cipher, mac)));
        }
    }
    let with_esn: Vec<_> = suites.iter().map(|suite| suite.with_esn()).collect();
    suites.extend(with_esn);
    suites
}

/// One suite of each kind of framing.
pub fn typical_suites() -> [EspSuite; 4] {
    let gcm = EspSuite::aead(Cipher::AesGcm16_128);
    let cbc = EspSuite::with_mac(Cipher::AesCbc256, Integrity::HmacSha2_256_128);
    [gcm, gcm.with_esn(), cbc, cbc.with_esn()]
}

pub fn spi() -> Spi {
    Spi::new(0xc0ff_ee01).expect("above 255")
}

pub fn keys(suite: EspSuite) -> EspKeys {
    let mut rng = SeededRng::new(7);
    let mut secret = |len: usize| {
        let mut bytes = vec![0; len];
        rng.fill(&mut bytes);
        SecretBytes::from(bytes)
    };
    EspKeys { encryption: secret(suite.encryption_key_len()), integrity: secret(suite.integrity_key_len()) }
}

pub fn outbound(suite: EspSuite) -> OutboundSa {
    outbound_limited(suite, SaLimits::default())
}

pub fn outbound_limited(suite: EspSuite, limits: SaLimits) -> OutboundSa {
    let cbc_iv = CbcIv::new(&mut SeededRng::new(8));
    OutboundSa::new(spi(), suite, &keys(suite), cbc_iv, limits, TunnelPolicy::default())
        .expect("keys of the suite's lengths")
}

pub fn inbound(suite: EspSuite, window: u32) -> InboundSa {
    inbound_for(suite, window, SelectorPair::any())
}

pub fn inbound_for(suite: EspSuite, window: u32, selectors: SelectorPair) -> InboundSa {
    InboundSa::new(spi(), suite, &keys(suite), window, selectors).expect("keys of the suite's lengths")
}

pub fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

pub fn selector(text: &str) -> TrafficSelector {
    text.parse().expect("a selector")
}

pub fn selectors(texts: &[&str]) -> Vec<TrafficSelector> {
    texts.iter().map(|text| selector(text)).collect()
}

pub fn udp(source: &str, destination: &str, payload: &[u8]) -> Vec<u8> {
    let socket = |text: &str| -> SocketAddr { text.parse().expect("address and port") };
    let mut packet = Vec::new();
    packet::build::udp(socket(source), socket(destination), payload, &mut packet).expect("one IP version");
    packet
}

/// An IPv4 packet of site A to site B with this many payload bytes.
pub fn packet_v4(payload: usize) -> Vec<u8> {
    udp("10.1.0.5:4000", "10.2.0.9:5000", &vec![0xa5; payload])
}

/// The same in IPv6.
pub fn packet_v6(payload: usize) -> Vec<u8> {
    udp("[fd00:1::5]:4000", "[fd00:2::9]:5000", &vec![0x5a; payload])
}

/// Seals one packet under the next sequence number.
pub fn seal(sa: &OutboundSa, inner: &[u8]) -> Vec<u8> {
    let sequence = sa.reserve(1).expect("sequence numbers left");
    let mut esp = vec![0; sa.sealed_len(inner.len())];
    let length = sa.seal(sequence, inner, &mut esp).expect("room for it");
    assert_eq!(length, esp.len());
    esp
}

/// Seals a text of any trailer, as a hostile holder of the keys may: `text` with padding, pad length and next header.
pub fn seal_text(suite: EspSuite, sequence: u32, text: &[u8]) -> Vec<u8> {
    let keys = keys(suite);
    let key = crypto::PacketKey::new(suite.cipher, suite.integrity, keys.encryption.expose(), keys.integrity.expose())
        .expect("keys of the suite's lengths");
    let mut esp = spi().to_be_bytes().to_vec();
    esp.extend(sequence.to_be_bytes());
    let aad = esp.clone();
    let iv = vec![9; suite.cipher.iv_len()];
    esp.extend(&iv);
    esp.extend(text);
    esp.resize(esp.len() + suite.icv_len(), 0);
    key.seal(&iv, &aad, &[], &mut esp[8..]).expect("whole blocks");
    esp
}

pub fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let nibble = |digit: u8| (digit as char).to_digit(16).expect("a hex digit") as u8;
    digits.chunks(2).map(|pair| nibble(pair[0]) << 4 | nibble(pair[1])).collect()
}
