//! Protected IKE messages at the receiver: noise, damaged messages, and authentic fragments in any order, number and size.
//! Nothing unauthentic opens; whatever order fragments of one message come in, it is put together as it was sent.
#![no_main]

use crypto::{Cipher, Group, Integrity, Prf, SecretBytes, SeededRng};
use ike::keys::derive_ike;
use ike::proposal::IkeSuite;
use ike::sk::{Fragment, MAX_FRAGMENTS, Opened, Reassembly, SkCipher};
use ike::wire::{ExchangeType, Flags, Header, IkeSpi, Notify, NotifyType, Payload, PayloadType, encode_payloads};
use libfuzzer_sys::fuzz_target;
use underpass_fuzz::Bytes;

fuzz_target!(|data: &[u8]| {
    let mut bytes = Bytes(data);
    let suite = suite(bytes.u8());
    let keys = derive_ike(&suite, &SecretBytes::from(vec![7; 32]), &[1; 32], &[2; 32], IkeSpi([1; 8]), IkeSpi([2; 8]));
    let keys = keys.expect("keys of the suite's lengths");
    let mut rng = SeededRng::new(1);
    let mut sender = SkCipher::new(&suite, &keys, true, &mut rng).expect("keys of the suite's lengths");
    let receiver = SkCipher::new(&suite, &keys, false, &mut rng).expect("keys of the suite's lengths");
    while !bytes.is_empty() {
        match bytes.u8() % 3 {
            0 => noise(&receiver, bytes.chunk()),
            1 => fragments(&mut bytes),
            _ => message(&mut sender, &receiver, &mut bytes, &mut rng),
        }
    }
});

fn suite(choice: u8) -> IkeSuite {
    let (cipher, integrity) = match choice % 4 {
        0 => (Cipher::AesGcm16_128, None),
        1 => (Cipher::AesCbc128, Some(Integrity::HmacSha1_96)),
        2 => (Cipher::AesCbc256, Some(Integrity::HmacSha2_256_128)),
        _ => (Cipher::ChaCha20Poly1305, None),
    };
    IkeSuite { cipher, integrity, prf: Prf::HmacSha2_256, group: Group::Curve25519 }
}

fn header() -> Header {
    Header {
        initiator_spi: IkeSpi([1; 8]),
        responder_spi: IkeSpi([2; 8]),
        next_payload: PayloadType::None,
        major: 2,
        minor: 0,
        exchange: ExchangeType::Informational,
        flags: Flags::from_u8(0x08),
        message_id: 3,
        length: 0,
    }
}

fn noise(receiver: &SkCipher, noise: &[u8]) {
    let mut datagram = noise.to_vec();
    if let Some(length) = datagram.get_mut(24..28) {
        length.copy_from_slice(&(noise.len() as u32).to_be_bytes());
    }
    if let Ok(header) = Header::parse(&datagram) {
        assert!(receiver.open(&header, &datagram).is_err(), "noise opened");
    }
}

/// Authentic fragments as a hostile holder of the keys may make them.
fn fragments(bytes: &mut Bytes<'_>) {
    let mut reassembly = Reassembly::new();
    let count = bytes.u8();
    let mut octets = 0;
    for _ in 0..count {
        let (id, number, total) = (bytes.u8() & 3, bytes.u8(), bytes.u8());
        let body = bytes.chunk().to_vec();
        octets += body.len();
        let first = PayloadType::from_u8(number);
        let fragment = Fragment { number: number.into(), total: total.into(), first, body };
        if let Ok(Some((_, whole))) = reassembly.add(id.into(), fragment) {
            assert!(whole.len() <= octets && u16::from(total) <= MAX_FRAGMENTS);
        }
    }
}

/// One message sealed, cut as the fuzzer says, damaged or shuffled, opened.
fn message(sender: &mut SkCipher, receiver: &SkCipher, bytes: &mut Bytes<'_>, rng: &mut SeededRng) {
    let (max_len, how) = (usize::from(bytes.u16() % 1400), bytes.u8());
    let payloads = [Payload::Notify(Notify::with_data(NotifyType::COOKIE, bytes.chunk()))];
    let max_len = (how & 1 != 0).then_some(max_len);
    let mut datagrams = sender.seal(header(), &payloads, max_len, rng).expect("it is not too long");
    if how & 2 != 0 {
        let which = usize::from(bytes.u8()) % datagrams.len();
        let datagram = &mut datagrams[which];
        let at = usize::from(bytes.u16()) % datagram.len();
        datagram[at] ^= bytes.u8().max(1);
        if let Ok(header) = Header::parse(datagram) {
            assert!(receiver.open(&header, datagram).is_err(), "a damaged message opened");
        }
        return;
    }
    let pivot = usize::from(bytes.u8()) % datagrams.len();
    datagrams.rotate_left(pivot);
    let whole = put_together(receiver, &datagrams).expect("all of it arrived");
    assert_eq!(whole, encode_payloads(&payloads));
}

fn put_together(receiver: &SkCipher, datagrams: &[Vec<u8>]) -> Option<(PayloadType, Vec<u8>)> {
    let mut reassembly = Reassembly::new();
    for datagram in datagrams {
        let header = Header::parse(datagram).expect("we wrote it");
        match receiver.open(&header, datagram).expect("it is authentic") {
            Opened::Message { first, body } => return Some((first, body)),
            Opened::Fragment(fragment) => {
                if let Some(whole) = reassembly.add(header.message_id, fragment).expect("it is of this message") {
                    return Some(whole);
                }
            }
        }
    }
    None
}
