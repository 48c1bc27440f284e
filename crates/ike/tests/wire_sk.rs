//! The SK payload and its fragments under every suite (RFC 7296 §3.14, RFC 5282, RFC 7383).
#![allow(clippy::unwrap_used, clippy::panic)] // a helper of a test may fail the test

use crypto::{Cipher, Group, Integrity, PacketKey, Prf, Rng, SecretBytes, SeededRng};
use ike::keys::{IkeKeys, derive_ike};
use ike::proposal::IkeSuite;
use ike::sk::{Fragment, MAX_FRAGMENTS, MAX_REASSEMBLED, Opened, Reassembly, ReassemblyError, SkCipher, SkError};
use ike::wire::{
    ExchangeType, Flags, Header, IkeSpi, Notify, NotifyType, Payload, PayloadType, WireError, encode_payloads,
    parse_payloads,
};
use proptest::prelude::*;

fn suites() -> Vec<IkeSuite> {
    let mut suites = Vec::new();
    for cipher in Cipher::ALL {
        let integrities: Vec<Option<Integrity>> =
            if cipher.is_aead() { vec![None] } else { Integrity::ALL.map(Some).to_vec() };
        for integrity in integrities {
            suites.push(IkeSuite { cipher, integrity, prf: Prf::HmacSha2_256, group: Group::Curve25519 });
        }
    }
    suites
}

fn keys(suite: &IkeSuite) -> IkeKeys {
    let shared = SecretBytes::from(vec![7; 32]);
    derive_ike(suite, &shared, &[1; 32], &[2; 32], IkeSpi([1; 8]), IkeSpi([2; 8])).unwrap()
}

/// The two ends of one SA: original initiator, original responder.
fn ends(suite: &IkeSuite) -> (SkCipher, SkCipher, SeededRng) {
    let (keys, mut rng) = (keys(suite), SeededRng::new(1));
    let initiator = SkCipher::new(suite, &keys, true, &mut rng).unwrap();
    let responder = SkCipher::new(suite, &keys, false, &mut rng).unwrap();
    (initiator, responder, rng)
}

fn gcm() -> IkeSuite {
    IkeSuite { cipher: Cipher::AesGcm16_128, integrity: None, prf: Prf::HmacSha2_256, group: Group::Curve25519 }
}

fn cbc() -> IkeSuite {
    IkeSuite { cipher: Cipher::AesCbc256, integrity: Some(Integrity::HmacSha2_256_128), ..gcm() }
}

fn header() -> Header {
    Header {
        initiator_spi: IkeSpi([1; 8]),
        responder_spi: IkeSpi([2; 8]),
        next_payload: PayloadType::None,
        major: 2,
        minor: 0,
        exchange: ExchangeType::Informational,
        flags: Flags { initiator: true, version: false, response: false },
        message_id: 5,
        length: 0,
    }
}

fn payloads(octets: usize) -> Vec<Payload> {
    let status = Payload::Notify(Notify::new(NotifyType::INITIAL_CONTACT));
    vec![status, Payload::VendorId((0..octets).map(|at| u8::try_from(at % 251).unwrap()).collect())]
}

fn open(cipher: &SkCipher, message: &[u8]) -> Result<Opened, SkError> {
    cipher.open(&Header::parse(message).unwrap(), message)
}

fn opened_payloads(opened: Opened) -> Vec<Payload> {
    match opened {
        Opened::Message { first, body } => parse_payloads(first, &body).unwrap(),
        Opened::Fragment(fragment) => panic!("a fragment: {fragment:?}"),
    }
}

fn fragment(cipher: &SkCipher, message: &[u8]) -> Fragment {
    match open(cipher, message).unwrap() {
        Opened::Fragment(fragment) => fragment,
        Opened::Message { .. } => panic!("a whole message"),
    }
}

#[test]
fn every_suite_carries_messages_of_every_length_both_ways() {
    for suite in suites() {
        let (mut initiator, mut responder, mut rng) = ends(&suite);
        for octets in 0..70 {
            let sent = payloads(octets);
            let message = initiator.seal(header(), &sent, None, &mut rng).unwrap().remove(0);
            assert_eq!(opened_payloads(open(&responder, &message).unwrap()), sent, "{suite}, {octets}");
            let message = responder.seal(header(), &sent, None, &mut rng).unwrap().remove(0);
            assert_eq!(opened_payloads(open(&initiator, &message).unwrap()), sent, "{suite}, {octets}");
            assert_eq!(open(&responder, &message), Err(SkError::Authentication), "reflected to its sender");
        }
    }
}

/// A liveness check is an INFORMATIONAL message with nothing in it (RFC 7296 §1.4).
#[test]
fn empty_message_is_one_datagram_however_small_the_limit() {
    for suite in suites() {
        let (mut initiator, responder, mut rng) = ends(&suite);
        for limit in [None, Some(0), Some(1280)] {
            let mut datagrams = initiator.seal(header(), &[], limit, &mut rng).unwrap();
            assert_eq!(datagrams.len(), 1);
            let opened = open(&responder, &datagrams.remove(0)).unwrap();
            assert_eq!(opened, Opened::Message { first: PayloadType::None, body: vec![] });
        }
    }
}

#[test]
fn every_flipped_bit_and_every_truncation_is_refused() {
    for suite in suites() {
        let (mut initiator, responder, mut rng) = ends(&suite);
        for limit in [None, Some(110)] {
            for message in initiator.seal(header(), &payloads(40), limit, &mut rng).unwrap() {
                for bit in 0..message.len() * 8 {
                    let mut flipped = message.clone();
                    flipped[bit / 8] ^= 1 << (bit % 8);
                    // The header's length is checked on parsing; all else must fail here.
                    if let Ok(header) = Header::parse(&flipped) {
                        assert!(responder.open(&header, &flipped).is_err(), "{suite}: bit {bit}");
                    }
                }
                let header = Header::parse(&message).unwrap();
                for length in 0..message.len() {
                    assert!(responder.open(&header, &message[..length]).is_err(), "{suite}: cut to {length}");
                }
            }
        }
    }
}

#[test]
fn ciphertext_of_every_length_down_to_nothing_is_refused_without_panic() {
    for suite in suites() {
        let (_, responder, _) = ends(&suite);
        for length in 0..80_usize {
            for (ty, extra) in [(46, vec![]), (53, vec![0, 1, 0, 1])] {
                let mut message = Vec::new();
                let total = Header::LEN + 4 + extra.len() + length;
                let header = Header {
                    next_payload: PayloadType::from_u8(ty),
                    length: u32::try_from(total).unwrap(),
                    ..header()
                };
                header.write(&mut message);
                let payload = u16::try_from(total - Header::LEN).unwrap().to_be_bytes();
                message.extend([0, 0, payload[0], payload[1]]);
                message.extend(extra);
                message.resize(total, 0);
                assert_eq!(open(&responder, &message), Err(SkError::Authentication), "{suite}, {length}");
            }
        }
    }
}

#[test]
fn no_iv_is_used_twice() {
    for suite in [gcm(), cbc()] {
        let (mut initiator, _, mut rng) = ends(&suite);
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..1000 {
            for message in initiator.seal(header(), &payloads(100), Some(120), &mut rng).unwrap() {
                assert!(seen.insert(message[36..36 + suite.cipher.iv_len()].to_vec()), "{suite}");
            }
        }
        assert!(seen.len() >= 2000);
    }
}

/// RFC 5282 §5.1 and RFC 7383 §2.5: a message opened with the primitive alone, so that both ends cannot be wrong alike.
#[test]
fn authenticated_data_reaches_from_the_header_to_the_iv() {
    for suite in [gcm(), cbc()] {
        let (mut initiator, _, mut rng) = ends(&suite);
        let keys = keys(&suite);
        let key = PacketKey::new(suite.cipher, suite.integrity, keys.ei.expose(), keys.ai.expose()).unwrap();
        let (first, chain) = encode_payloads(&payloads(90));
        let message = initiator.seal(header(), &payloads(90), None, &mut rng).unwrap().remove(0);
        let (aad, rest) = message.split_at(Header::LEN + 4);
        let mut sealed = rest.to_vec();
        let text = key.open(aad, &[], &mut sealed).unwrap();
        assert_eq!(aad[28], first.to_u8());
        assert_eq!(&text[..chain.len()], chain);
        assert_eq!(usize::from(*text.last().unwrap()), text.len() - chain.len() - 1, "pad length");

        let mut joined = Vec::new();
        for (index, message) in initiator.seal(header(), &payloads(90), Some(120), &mut rng).unwrap().iter().enumerate()
        {
            let (aad, rest) = message.split_at(Header::LEN + 8);
            let mut sealed = rest.to_vec();
            let text = key.open(aad, &[], &mut sealed).unwrap();
            let padding = usize::from(*text.last().unwrap());
            joined.extend_from_slice(&text[..text.len() - 1 - padding]);
            assert_eq!(aad[28], if index == 0 { first.to_u8() } else { 0 }, "only fragment 1 names the first payload");
            assert_eq!(usize::from(aad[33]), index + 1);
        }
        assert_eq!(joined, chain);
    }
}

/// The receiver "MUST accept any amount of padding" (RFC 7296 §3.14).
#[test]
fn any_padding_is_accepted_and_one_longer_than_the_content_is_not() {
    let suite = gcm();
    let (_, responder, mut rng) = ends(&suite);
    let keys = keys(&suite);
    let key = PacketKey::new(suite.cipher, None, keys.ei.expose(), &[]).unwrap();
    let mut sealed = |text: &[u8], outer: &[u8], first: u8| {
        let total = Header::LEN + outer.len() + 4 + 8 + text.len() + 16;
        let next_payload = PayloadType::from_u8(if outer.is_empty() { 46 } else { 43 });
        let mut message = Vec::new();
        Header { next_payload, length: u32::try_from(total).unwrap(), ..header() }.write(&mut message);
        message.extend_from_slice(outer);
        let length = u16::try_from(4 + 8 + text.len() + 16).unwrap().to_be_bytes();
        message.extend([first, 0, length[0], length[1]]);
        let aad = message.clone();
        let mut buffer = [&[0; 8], text, &[0; 16]].concat();
        let mut iv = [0; 8];
        rng.fill(&mut iv);
        key.seal(&iv, &aad, &[], &mut buffer).unwrap();
        message.extend(buffer);
        message
    };
    let padded = [&[0xee; 255][..], &[255]].concat();
    let empty = Ok(Opened::Message { first: PayloadType::None, body: vec![] });
    assert_eq!(open(&responder, &sealed(&padded, &[], 0)), empty);
    assert_eq!(open(&responder, &sealed(&[0], &[], 0)), empty);
    assert_eq!(open(&responder, &sealed(&[1], &[], 0)), Err(SkError::Padding));
    assert_eq!(open(&responder, &sealed(&[], &[], 0)), Err(SkError::Padding));
    // A payload in the clear before SK is skipped, but authenticated.
    let vendor = [46, 0, 0, 8, 1, 2, 3, 4];
    let mut message = sealed(&[0], &vendor, 0);
    assert_eq!(open(&responder, &message), empty);
    message[Header::LEN + 7] ^= 1;
    assert_eq!(open(&responder, &message), Err(SkError::Authentication));
}

#[test]
fn messages_without_a_protected_payload_at_their_end_are_refused() {
    let (mut initiator, responder, mut rng) = ends(&gcm());
    let plain = ike::wire::plain_message(header(), &payloads(4));
    assert_eq!(open(&responder, &plain), Err(SkError::NotProtected));
    assert_eq!(open(&responder, &ike::wire::plain_message(header(), &[])), Err(SkError::NotProtected));
    let many = ike::wire::plain_message(header(), &vec![Payload::VendorId(vec![]); 60]);
    assert!(matches!(open(&responder, &many), Err(SkError::Wire(WireError::TooMany { .. }))));

    let mut followed = initiator.seal(header(), &payloads(4), None, &mut rng).unwrap().remove(0);
    followed.extend([0, 0, 0, 4]);
    let length = u32::try_from(followed.len()).unwrap().to_be_bytes();
    followed[24..28].copy_from_slice(&length);
    assert!(matches!(open(&responder, &followed), Err(SkError::Wire(WireError::Malformed { .. }))));
}

#[test]
fn fragment_numbers_which_cannot_be_are_refused_before_decryption() {
    let (mut initiator, responder, mut rng) = ends(&gcm());
    let message = initiator.seal(header(), &payloads(400), Some(200), &mut rng).unwrap().remove(0);
    for (number, total) in [(0_u16, 1_u16), (0, 0), (2, 1), (65535, 3)] {
        let mut changed = message.clone();
        changed[32..34].copy_from_slice(&number.to_be_bytes());
        changed[34..36].copy_from_slice(&total.to_be_bytes());
        assert!(matches!(open(&responder, &changed), Err(SkError::Wire(_))), "{number} of {total}");
    }
}

#[test]
fn fragments_keep_to_the_limit_and_only_messages_beyond_it_are_cut() {
    for suite in suites() {
        let (mut initiator, _, mut rng) = ends(&suite);
        for limit in [200, 576, 1280] {
            for octets in [0, 50, 100, 500, 1150, 1200, 3000] {
                let whole = initiator.seal(header(), &payloads(octets), None, &mut rng).unwrap();
                assert_eq!(whole.len(), 1);
                let cut = initiator.seal(header(), &payloads(octets), Some(limit), &mut rng).unwrap();
                assert_eq!(cut.len() > 1, whole[0].len() > limit, "{suite}: {octets} octets in {limit}");
                for datagram in &cut {
                    assert!(datagram.len() <= limit, "{suite}: {} > {limit}", datagram.len());
                }
            }
        }
        // Too small a limit gives no more fragments than a peer would accept.
        let cut = initiator.seal(header(), &payloads(3000), Some(0), &mut rng).unwrap();
        assert!(cut.len() <= usize::from(MAX_FRAGMENTS) && cut.len() > 32, "{suite}: {}", cut.len());
    }
}

#[test]
fn message_too_large_for_a_payload_is_an_error() {
    let (mut initiator, _, mut rng) = ends(&gcm());
    assert!(initiator.seal(header(), &payloads(65_000), None, &mut rng).is_ok());
    let two = [payloads(60_000), payloads(60_000)].concat();
    assert!(initiator.seal(header(), &two, None, &mut rng).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn fragments_in_any_order_with_duplicates_make_the_message(
        order in Just((0..16_usize).chain(0..16).collect::<Vec<_>>()).prop_shuffle(),
        aead: bool,
    ) {
        let suite = if aead { gcm() } else { cbc() };
        let (mut initiator, responder, mut rng) = ends(&suite);
        let sent = payloads(1000);
        let datagrams = initiator.seal(header(), &sent, Some(160), &mut rng).unwrap();
        let mut reassembly = Reassembly::new();
        let mut results = Vec::new();
        for index in order {
            // Until all are there once; later duplicates would start anew, which the message window prevents.
            if results.is_empty() && let Some(datagram) = datagrams.get(index) {
                results.extend(reassembly.add(5, fragment(&responder, datagram)).unwrap());
            }
        }
        prop_assert!((8..=16).contains(&datagrams.len()));
        let [(first, body)] = results.try_into().unwrap();
        prop_assert_eq!(parse_payloads(first, &body), Ok(sent));
    }

    #[test]
    fn any_fragments_never_panic_and_memory_stays_bounded(
        fragments in proptest::collection::vec((0..3_u32, 0..70_u16, 0..70_u16, 0..3000_usize), 0..200),
    ) {
        let mut reassembly = Reassembly::new();
        for (id, number, total, length) in fragments {
            let fragment = Fragment { number, total, first: PayloadType::Notify, body: vec![0; length] };
            if let Ok(Some((_, body))) = reassembly.add(id, fragment) {
                prop_assert!(body.len() <= MAX_REASSEMBLED);
            }
        }
    }
}

fn part(number: u16, total: u16, body: &[u8]) -> Fragment {
    let first = if number == 1 { PayloadType::Notify } else { PayloadType::None };
    Fragment { number, total, first, body: body.to_vec() }
}

#[test]
fn lost_fragment_keeps_the_message_back_until_it_is_sent_again() {
    let mut reassembly = Reassembly::new();
    assert_eq!(reassembly.add(1, part(1, 3, b"a")), Ok(None));
    assert_eq!(reassembly.add(1, part(3, 3, b"c")), Ok(None));
    // The whole message is sent again.
    assert_eq!(reassembly.add(1, part(1, 3, b"a")), Ok(None));
    assert_eq!(reassembly.add(1, part(2, 3, b"b")), Ok(Some((PayloadType::Notify, b"abc".to_vec()))));
}

/// RFC 7383 §2.6: a sender that cuts smaller makes Total Fragments larger, and only that replaces what is there.
#[test]
fn larger_total_replaces_everything_and_a_smaller_one_is_ignored() {
    let mut reassembly = Reassembly::new();
    assert_eq!(reassembly.add(1, part(1, 2, b"old")), Ok(None));
    assert_eq!(reassembly.add(1, part(1, 3, b"a")), Ok(None));
    assert_eq!(reassembly.add(1, part(2, 2, b"old")), Ok(None));
    assert_eq!(reassembly.add(1, part(2, 3, b"b")), Ok(None));
    assert_eq!(reassembly.add(1, part(3, 3, b"c")), Ok(Some((PayloadType::Notify, b"abc".to_vec()))));
}

#[test]
fn duplicate_with_other_content_changes_nothing() {
    let mut reassembly = Reassembly::new();
    assert_eq!(reassembly.add(1, part(1, 2, b"a")), Ok(None));
    assert_eq!(reassembly.add(1, part(1, 2, b"x")), Ok(None));
    assert_eq!(reassembly.add(1, part(2, 2, b"b")), Ok(Some((PayloadType::Notify, b"ab".to_vec()))));
}

#[test]
fn next_message_replaces_an_unfinished_one_and_an_older_one_cannot() {
    let mut reassembly = Reassembly::new();
    assert_eq!(reassembly.add(4, part(1, 2, b"old")), Ok(None));
    assert_eq!(reassembly.add(5, part(1, 2, b"a")), Ok(None));
    assert_eq!(reassembly.add(4, part(2, 2, b"old")), Err(ReassemblyError::Stale(4)));
    assert_eq!(reassembly.add(5, part(2, 2, b"b")), Ok(Some((PayloadType::Notify, b"ab".to_vec()))));
}

#[test]
fn reset_forgets_a_message() {
    let mut reassembly = Reassembly::new();
    assert_eq!(reassembly.add(1, part(1, 2, b"a")), Ok(None));
    reassembly.reset();
    assert_eq!(reassembly.add(1, part(2, 2, b"b")), Ok(None));
}

#[test]
fn reassembly_is_bounded_in_fragments_and_octets() {
    let mut reassembly = Reassembly::new();
    let too_many = MAX_FRAGMENTS + 1;
    assert_eq!(reassembly.add(1, part(1, too_many, b"")), Err(ReassemblyError::TooMany(too_many)));
    assert_eq!(reassembly.add(1, part(0, 1, b"")), Err(ReassemblyError::Number { number: 0, total: 1 }));
    assert_eq!(reassembly.add(1, part(1, 2, &vec![0; MAX_REASSEMBLED])), Ok(None));
    assert_eq!(reassembly.add(1, part(2, 2, &[0])), Err(ReassemblyError::TooLarge));
    assert_eq!(reassembly.add(1, part(2, 2, &[0])), Ok(None), "what there was is gone");
}
