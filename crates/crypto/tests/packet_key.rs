//! Packet protection as a whole: every pair of cipher and integrity algorithm, every damage, every length.

mod support;

use crypto::{CbcIv, Cipher, CryptoError, Integrity, PacketKey, Rng, SeededRng};

/// Every suite a packet can have: AEADs alone, every other cipher with every integrity algorithm.
fn suites() -> Vec<(Cipher, Option<Integrity>)> {
    let mut suites = Vec::new();
    for cipher in Cipher::ALL {
        if cipher.is_aead() {
            suites.push((cipher, None));
        } else {
            suites.extend(Integrity::ALL.map(|integrity| (cipher, Some(integrity))));
        }
    }
    suites
}

fn key(cipher: Cipher, integrity: Option<Integrity>, rng: &mut SeededRng) -> PacketKey {
    let mut encryption = vec![0; cipher.key_material_len()];
    let mut authentication = vec![0; integrity.map_or(0, Integrity::key_len)];
    rng.fill(&mut encryption);
    rng.fill(&mut authentication);
    PacketKey::new(cipher, integrity, &encryption, &authentication).expect("the lengths are the suite's own")
}

/// A sealed packet: what was sealed, what was authenticated beside it, and the result.
struct Sealed {
    plaintext: Vec<u8>,
    aad: Vec<u8>,
    trailer: Vec<u8>,
    packet: Vec<u8>,
}

fn seal(key: &PacketKey, blocks: usize, rng: &mut SeededRng) -> Sealed {
    let mut plaintext = vec![0; blocks * key.block_len()];
    let mut iv = vec![0; key.iv_len()];
    let mut aad = vec![0; 8];
    let mut trailer = vec![0; if key.cipher().is_aead() { 0 } else { 4 }];
    for octets in [&mut plaintext, &mut iv, &mut aad, &mut trailer] {
        rng.fill(octets);
    }
    let mut packet = [vec![0; key.iv_len()], plaintext.clone(), vec![0; key.icv_len()]].concat();
    key.seal(&iv, &aad, &trailer, &mut packet).expect("the packet is whole blocks");
    Sealed { plaintext, aad, trailer, packet }
}

#[test]
fn every_suite_opens_what_it_sealed_and_encrypts_unless_it_is_null() {
    let mut rng = SeededRng::new(1);
    for (cipher, integrity) in suites() {
        let key = key(cipher, integrity, &mut rng);
        for blocks in [0, 1, 2, 3, 5, 64, 90] {
            let mut sealed = seal(&key, blocks, &mut rng);
            let text = key.iv_len()..sealed.packet.len() - key.icv_len();
            if blocks * key.block_len() >= 8 {
                let in_clear = sealed.packet[text] == sealed.plaintext[..];
                assert_eq!(in_clear, cipher == Cipher::Null, "{key:?}, {blocks} blocks");
            }
            let opened = key.open(&sealed.aad, &sealed.trailer, &mut sealed.packet).unwrap();
            assert_eq!(opened, sealed.plaintext, "{key:?}, {blocks} blocks");
        }
    }
}

#[test]
fn a_mac_cut_to_another_length_is_told_from_other_damage() {
    let mut rng = SeededRng::new(9);
    for cipher in [Cipher::AesCbc128, Cipher::AesCbc256, Cipher::Null] {
        let (mut encryption, mut mac) = (vec![0; cipher.key_material_len()], [0; 32]);
        rng.fill(&mut encryption);
        rng.fill(&mut mac);
        let keys = [Integrity::HmacSha2_256_128, Integrity::HmacSha2_256_96]
            .map(|integrity| PacketKey::new(cipher, Some(integrity), &encryption, &mac).expect("lengths of the suite"));
        for (sealer, opener) in [(&keys[0], &keys[1]), (&keys[1], &keys[0])] {
            for blocks in [0, 1, 5] {
                let sealed = seal(sealer, blocks, &mut rng);
                let theirs = sealer.icv_len();
                let is = |aad: &[u8], trailer: &[u8], packet: &[u8], len| {
                    opener.is_sealed_with_icv_of(len, aad, trailer, packet)
                };
                let mut packet = sealed.packet.clone();
                assert!(opener.open(&sealed.aad, &sealed.trailer, &mut packet).is_err());
                assert_eq!(packet, sealed.packet, "a refusal leaves the packet as it was");
                assert!(is(&sealed.aad, &sealed.trailer, &packet, theirs));
                assert!(!is(&sealed.aad, &sealed.trailer, &packet, opener.icv_len()));
                assert!(!is(&sealed.aad, &[], &packet, theirs) && !is(&[1], &sealed.trailer, &packet, theirs));
                for octet in 0..packet.len() {
                    packet[octet] ^= 0x10;
                    assert!(!is(&sealed.aad, &sealed.trailer, &packet, theirs), "octet {octet}");
                    packet[octet] ^= 0x10;
                }
                for len in 0..packet.len() {
                    assert!(!is(&sealed.aad, &sealed.trailer, &packet[..len], theirs), "{len} octets");
                }
                for len in [0, 33, 64, usize::MAX] {
                    assert!(!is(&sealed.aad, &sealed.trailer, &packet, len), "an ICV of {len} octets");
                }
            }
        }
    }
    let aead = key(Cipher::AesGcm16_128, None, &mut rng);
    let sealed = seal(&aead, 3, &mut rng);
    assert!(!aead.is_sealed_with_icv_of(16, &sealed.aad, &[], &sealed.packet), "an AEAD's tag has one length");
}

#[test]
fn every_flipped_bit_anywhere_is_refused() {
    let mut rng = SeededRng::new(2);
    for (cipher, integrity) in suites() {
        let key = key(cipher, integrity, &mut rng);
        let sealed = seal(&key, 3, &mut rng);
        let flips = |len: usize| (0..len).flat_map(|octet| (0..8).map(move |bit| (octet, 1_u8 << bit)));
        let refuse = |aad: &[u8], trailer: &[u8], mut packet: Vec<u8>, what: &str| {
            let opened = key.open(aad, trailer, &mut packet).map(|text| text.to_vec());
            assert_eq!(opened, Err(CryptoError::AuthenticationFailed), "{key:?}: {what}");
        };
        for (octet, bit) in flips(sealed.packet.len()) {
            let mut packet = sealed.packet.clone();
            packet[octet] ^= bit;
            refuse(&sealed.aad, &sealed.trailer, packet, &format!("packet octet {octet}"));
        }
        for (octet, bit) in flips(sealed.aad.len()) {
            let mut aad = sealed.aad.clone();
            aad[octet] ^= bit;
            refuse(&aad, &sealed.trailer, sealed.packet.clone(), "aad");
        }
        for (octet, bit) in flips(sealed.trailer.len()) {
            let mut trailer = sealed.trailer.clone();
            trailer[octet] ^= bit;
            refuse(&sealed.aad, &trailer, sealed.packet.clone(), "trailer");
        }
    }
}

#[test]
fn no_truncated_lengthened_or_random_packet_is_opened_or_panics() {
    let mut rng = SeededRng::new(3);
    for (cipher, integrity) in suites() {
        let key = key(cipher, integrity, &mut rng);
        let sealed = seal(&key, 4, &mut rng);
        for len in 0..sealed.packet.len() {
            let mut head = sealed.packet[..len].to_vec();
            assert!(key.open(&sealed.aad, &sealed.trailer, &mut head).is_err(), "{key:?}: first {len}");
            let mut tail = sealed.packet[sealed.packet.len() - len..].to_vec();
            assert!(key.open(&sealed.aad, &sealed.trailer, &mut tail).is_err(), "{key:?}: last {len}");
            let mut noise = vec![0; len];
            rng.fill(&mut noise);
            assert!(key.open(&sealed.aad, &sealed.trailer, &mut noise).is_err(), "{key:?}: noise {len}");
        }
        for extra in 1..40 {
            let mut longer = sealed.packet.clone();
            longer.resize(longer.len() + extra, 0);
            assert!(key.open(&sealed.aad, &sealed.trailer, &mut longer).is_err(), "{key:?}: {extra} more");
        }
    }
}

#[test]
fn a_refused_packet_under_a_mac_is_left_as_it_came() {
    let mut rng = SeededRng::new(4);
    for (cipher, integrity) in suites().into_iter().filter(|(cipher, _)| !cipher.is_aead()) {
        let key = key(cipher, integrity, &mut rng);
        let mut sealed = seal(&key, 3, &mut rng);
        sealed.packet[key.iv_len() + 1] ^= 1;
        let before = sealed.packet.clone();
        assert!(key.open(&sealed.aad, &sealed.trailer, &mut sealed.packet).is_err());
        assert_eq!(sealed.packet, before, "{key:?}");
    }
}

#[test]
fn another_key_does_not_open_a_packet() {
    let mut rng = SeededRng::new(5);
    for (cipher, integrity) in suites() {
        let mut sealed = seal(&key(cipher, integrity, &mut rng), 3, &mut rng);
        let other = key(cipher, integrity, &mut rng);
        assert_eq!(
            other.open(&sealed.aad, &sealed.trailer, &mut sealed.packet).map(|_| ()),
            Err(CryptoError::AuthenticationFailed),
            "{other:?}"
        );
    }
}

#[test]
fn sealing_into_too_small_a_buffer_or_with_a_wrong_iv_writes_nothing() {
    let mut rng = SeededRng::new(6);
    for (cipher, integrity) in suites() {
        let key = key(cipher, integrity, &mut rng);
        let needed = key.iv_len() + key.icv_len();
        for actual in 0..needed {
            let mut buf = vec![5; actual];
            let sealed = key.seal(&vec![0; key.iv_len()], b"", b"", &mut buf);
            assert_eq!(sealed, Err(CryptoError::BufferTooSmall { needed, actual }), "{key:?}");
            assert_eq!(buf, vec![5; actual]);
        }
        let mut buf = vec![5; needed];
        let sealed = key.seal(&vec![0; key.iv_len() + 1], b"", b"", &mut buf);
        assert!(matches!(sealed, Err(CryptoError::BadIvLength { .. })), "{key:?}");
        assert_eq!(buf, vec![5; needed]);
    }
}

#[test]
fn keys_of_wrong_length_and_suites_that_do_not_go_together_are_refused() {
    for cipher in Cipher::ALL {
        for integrity in [None].into_iter().chain(Integrity::ALL.map(Some)) {
            let (right, mac) = (cipher.key_material_len(), integrity.map_or(0, Integrity::key_len));
            for (encryption, authentication) in [(right, mac), (right + 1, mac), (right, mac + 1)] {
                let made = PacketKey::new(cipher, integrity, &vec![0; encryption], &vec![0; authentication]);
                let refusal = made.err();
                if cipher.is_aead() == integrity.is_some() {
                    assert_eq!(refusal, Some(CryptoError::BadSuite { cipher, integrity }));
                } else if (encryption, authentication) == (right, mac) {
                    assert_eq!(refusal, None);
                } else {
                    assert!(matches!(refusal, Some(CryptoError::BadKeyLength { .. })), "{cipher:?}");
                }
            }
            if right > 0 && cipher.is_aead() != integrity.is_some() {
                assert!(PacketKey::new(cipher, integrity, &vec![0; right - 1], &vec![0; mac]).is_err());
            }
        }
    }
}

#[test]
fn several_threads_share_one_key() {
    fn shared<T: Send + Sync>(_: &T) {}
    let mut rng = SeededRng::new(7);
    for (cipher, integrity) in suites() {
        let key = key(cipher, integrity, &mut rng);
        shared(&key);
        let sealed = seal(&key, 3, &mut rng);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let mut packet = sealed.packet.clone();
                        let opened = key.open(&sealed.aad, &sealed.trailer, &mut packet).unwrap();
                        assert_eq!(opened, sealed.plaintext);
                    }
                });
            }
        });
    }
}

#[test]
fn no_key_shows_in_debug_output() {
    let key = PacketKey::new(Cipher::AesCbc128, Some(Integrity::HmacSha1_96), &[0xab; 16], &[0xcd; 20]).unwrap();
    assert_eq!(format!("{key:?}"), "PacketKey { cipher: AesCbc128, integrity: Some(HmacSha1_96), .. }");
    assert_eq!(format!("{:?}", CbcIv::new(&mut SeededRng::new(1))), "CbcIv(hidden)");
}

#[test]
fn cbc_ivs_never_repeat_and_differ_between_generators() {
    let (first, second) = (CbcIv::new(&mut SeededRng::new(1)), CbcIv::new(&mut SeededRng::new(2)));
    let counters = (0..10_000).chain([u64::from(u32::MAX), u64::MAX]);
    let mut ivs: Vec<[u8; 16]> = counters.flat_map(|n| [first.at(n), second.at(n)]).collect();
    let made = ivs.len();
    ivs.sort_unstable();
    ivs.dedup();
    assert_eq!(ivs.len(), made);
    assert_eq!(first.at(5), CbcIv::new(&mut SeededRng::new(1)).at(5), "one key, one IV per counter");
}
