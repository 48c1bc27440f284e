//! ESP at the receiver: noise for a known SPI, and packets that are authentic but arbitrary inside (a hostile peer).
//! Nothing unauthentic or repeated is accepted, and what is delivered lies inside the packet and fits the selectors.
#![no_main]

use crypto::{Cipher, Integrity, PacketKey, SecretBytes};
use ipsec::{DropReason, EspKeys, EspSuite, InboundSa, SelectorPair, Spi, TunnelPolicy, demux};
use libfuzzer_sys::fuzz_target;
use underpass_fuzz::Bytes;

const SPI: u32 = 0x1234_5678;

fuzz_target!(|data: &[u8]| {
    let mut bytes = Bytes(data);
    let (suite, tight, outer_tos) = (suite(bytes.u8()), bytes.u8(), bytes.u8());
    let keys = EspKeys {
        encryption: SecretBytes::from(vec![7; suite.encryption_key_len()]),
        integrity: SecretBytes::from(vec![9; suite.integrity_key_len()]),
    };
    let spi = Spi::new(SPI).expect("not reserved");
    let sa = InboundSa::new(spi, suite, &keys, 64, selectors(tight)).expect("keys of the suite's lengths");
    let key = PacketKey::new(suite.cipher, suite.integrity, keys.encryption.expose(), keys.integrity.expose());
    let key = key.expect("keys of the suite's lengths");
    while !bytes.is_empty() {
        let (sequence, how) = (bytes.u16(), bytes.u8());
        let inside = bytes.chunk();
        if how & 3 == 0 {
            noise(&sa, sequence, inside);
            continue;
        }
        let mut packet = sealed(&key, suite, sequence, inside);
        if how & 3 == 1 {
            let at = usize::from(bytes.u16()) % packet.len();
            packet[at] ^= bytes.u8().max(1);
            assert!(sa.open(&mut packet).is_err(), "a changed packet");
            continue;
        }
        authentic(&sa, sequence, packet, outer_tos);
    }
});

fn suite(choice: u8) -> EspSuite {
    let sha1 = Integrity::HmacSha1_96;
    let suite = match choice & 3 {
        0 => EspSuite::aead(Cipher::AesGcm16_128),
        1 => EspSuite::with_mac(Cipher::AesCbc128, sha1),
        2 => EspSuite::with_mac(Cipher::Null, sha1),
        _ => EspSuite::aead(Cipher::ChaCha20Poly1305),
    };
    if choice & 4 != 0 { suite.with_esn() } else { suite }
}

fn selectors(tight: u8) -> SelectorPair {
    if tight & 1 == 0 {
        return SelectorPair::any();
    }
    let one = |text: &str| vec![text.parse().expect("a selector")];
    SelectorPair { local: one("10.0.0.0/30[tcp/80]"), remote: one("10.0.0.0/24") }
}

/// Seals any text at all, also one whose length no honest sender would use.
fn sealed(key: &PacketKey, suite: EspSuite, sequence: u16, inside: &[u8]) -> Vec<u8> {
    let sequence = u32::from(sequence);
    let (spi, low) = (SPI.to_be_bytes(), sequence.to_be_bytes());
    let block = suite.cipher.block_len().max(1);
    let mut text = inside.to_vec();
    text.resize(inside.len().next_multiple_of(block), 1);
    let iv = vec![0x42; suite.cipher.iv_len()];
    let mut body = iv.clone();
    body.extend_from_slice(&text);
    body.resize(body.len() + suite.icv_len(), 0);
    let high = [0; 4];
    let (aad, trailer): (Vec<u8>, &[u8]) = match (suite.esn, suite.cipher.is_aead()) {
        (true, true) => ([spi, high, low].concat(), &[]),
        (true, false) => ([spi, low].concat(), &high),
        (false, _) => ([spi, low].concat(), &[]),
    };
    key.seal(&iv, &aad, trailer, &mut body).expect("whole blocks and room for the ICV");
    [&spi[..], &low, &body].concat()
}

fn noise(sa: &InboundSa, sequence: u16, inside: &[u8]) {
    let _ = demux(inside);
    let before = (sa.highest_sequence(), sa.packets());
    let mut packet = [&SPI.to_be_bytes()[..], &u32::from(sequence).to_be_bytes(), inside].concat();
    assert!(sa.open(&mut packet).is_err(), "noise");
    assert!(sa.open(&mut inside.to_vec()).is_err(), "noise");
    assert_eq!(before, (sa.highest_sequence(), sa.packets()), "noise changes nothing");
}

fn authentic(sa: &InboundSa, sequence: u16, mut packet: Vec<u8>, outer_tos: u8) {
    let copy = packet.clone();
    match sa.open(&mut packet) {
        Ok(opened) => {
            let inner = &mut packet[opened.inner.clone()];
            let flow = packet::flow_key(inner).expect("only IP packets are delivered");
            assert_eq!(flow, opened.flow);
            let _ = TunnelPolicy::default().decapsulate(inner, outer_tos);
        }
        // With ESN a number left of the window is taken for one of the next 2^32, and then it is not authentic.
        Err(DropReason::Authentication) => {
            assert!(sa.suite().esn && u64::from(sequence) < sa.highest_sequence(), "it is authentic");
            return;
        }
        Err(_) => {}
    }
    assert_eq!(sa.open(&mut copy.clone()), Err(DropReason::Replay), "twice");
}
