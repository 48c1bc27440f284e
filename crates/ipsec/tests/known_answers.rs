//! Published ESP packets: RFC 3602 §4 cases 5 to 8 (AES-CBC), RFC 7634 appendix A (ChaCha20-Poly1305) and
//! draft-mcgrew-gcm-test-01 §4 (AES-GCM, RFC 4106, with and without ESN).

mod support;

use crypto::{Cipher, Integrity, PacketKey, SecretBytes};
use ipsec::{DropReason, EspKeys, EspSuite, InboundSa, SelectorPair, Spi};
use support::hex;

fn receiver(suite: EspSuite, packet: &[u8], encryption: &str, integrity: &[u8]) -> InboundSa {
    let keys = EspKeys { encryption: SecretBytes::from(hex(encryption)), integrity: SecretBytes::from(integrity) };
    let spi = packet.first_chunk().copied().and_then(Spi::from_be_bytes);
    let spi = spi.expect("an SPI above 255");
    InboundSa::new(spi, suite, &keys, 64, SelectorPair::any()).expect("keys of the right lengths")
}

#[test]
fn rfc_7634_appendix_a_opens_and_is_a_replay_the_second_time() {
    let packet = hex("01020304 00000005 1011121314151617
        24039428b97f417e3c13753a4f05087b67c352e6a7fab1b982d466ef407ae5c6
        14ee8099d52844eb61aa95dfab4c02f72aa71e7c4c4f64c9befe2facc638e8f3
        cbec163fac469b502773f6fb94e664da9165b82829f641e0
        76aaa8266b7fb0f7b11b369907e1ad43");
    let inner = hex("45000054a6f200004001e778c6336405c000020508005b7a3a080000553bec10
        0007362708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20212223
        2425262728292a2b2c2d2e2f3031323334353637");
    let key = "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f a0a1a2a3";
    let suite = EspSuite::aead(Cipher::ChaCha20Poly1305);
    let sa = receiver(suite, &packet, key, &[]);

    let mut buffer = packet.clone();
    let opened = sa.open(&mut buffer).unwrap();
    assert_eq!(buffer[opened.inner], inner);
    assert_eq!((opened.next_header, sa.highest_sequence()), (4, 5));
    assert!(opened.first_on_this_sa);
    assert_eq!(suite.sealed_len(inner.len()), packet.len());
    assert_eq!(sa.open(&mut packet.clone()), Err(DropReason::Replay));
}

/// The RFC's packets have no ICV; one of HMAC-SHA1-96 is appended, which NULL encryption computes over the same bytes.
#[test]
fn rfc_3602_packets_decrypt_to_their_payload_and_next_header() {
    const KEY_56: &str = "90d382b410eeba7ad938c46cec1a82bf";
    const KEY_78: &str = "0123456789abcdef0123456789abcdef";
    // (case, key, packet, payload, next header)
    let cases = [
        (
            5,
            KEY_56,
            "0000432100000001e96e8c08ab465763fd098d45dd3ff893
             f663c25d325c18c6a9453e194e120849a4870b66cc6b9965330013b4898dc856
             a4699e523a55db080b59ec3a8e4b7e52775b07d1db34ed9c538ab50c551b874a
             a269add047ad2d5913ac19b7cfbad4a6",
            "08000ebda70a00008e9c083db95b070008090a0b0c0d0e0f1011121314151617
             18191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f3031323334353637",
            1,
        ),
        (
            6,
            KEY_56,
            "000043210000000869d08df7d203329db093fc4924e5bd80
             f51995881ec4e0c4488987ce742e8109689bb379d2d750c0d915dca346a89f75",
            "0800b5e8a80a0500a69c083d0b660e00777777777777777777777777",
            1,
        ),
        (
            7,
            KEY_78,
            "0000876500000002f4e765244f6407adf13dc1380f673f37
             773b5241a4c449225e4f3ce5ed611b0c237ca96cf74a93013c1b0ea1a0cf70f8
             e4ecaec78ac53aad7a0f022b859243c647752e94a859352b8a4d4d2decd136e5
             c177f132ad3fbfb2201ac9904c74ee0a109e0ca1e4dfe9d5a100b842f1c22f0d",
            "45000054090400004001f988c0a87b03c0a87bc808009f76a90a0100b49c083d
             02a2040008090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20212223
             2425262728292a2b2c2d2e2f3031323334353637",
            4,
        ),
        (
            8,
            KEY_78,
            "000087650000000585d47224b5f3dd5d2101d4ea8dffab22
             15b92683819596a8047232cc00f7048fe45318e11f8a0f62ede3c3fc61203bb5
             0f980a08c9843fd3a1b06d5c07ff9639b7eb7dfb3512e5de435e7207ed971ef3
             d2726d9b5ef6affc6d17a0decbb13892",
            "45000044090c00004001f990c0a87b03c0a87bc80800d63caa0a0200c69c083d
             a3de0300ffffffffffffffffffffffffffffffffffffffffffffffffffffffff
             ffffffff",
            4,
        ),
    ];
    let mac_key = [0x0b; 20];
    let mac = PacketKey::new(Cipher::Null, Some(Integrity::HmacSha1_96), &[], &mac_key).unwrap();
    for (case, key, packet, payload, next_header) in cases {
        let (mut packet, payload) = (hex(packet), hex(payload));
        let mut icv = [0; 12];
        mac.seal(&[], &packet, &[], &mut icv).unwrap();
        packet.extend(icv);
        let suite = EspSuite::with_mac(Cipher::AesCbc128, Integrity::HmacSha1_96);
        let sa = receiver(suite, &packet, key, &mac_key);
        assert_eq!(packet.len(), suite.sealed_len(payload.len()), "case {case}");
        let opened = sa.open(&mut packet);
        assert_eq!(packet[24..24 + payload.len()], payload, "case {case}");
        if next_header == 4 {
            assert_eq!(opened.unwrap().inner.len(), payload.len(), "case {case}");
        } else {
            // Transport mode: authentic, but no tunnelled packet.
            assert_eq!(opened, Err(DropReason::NextHeader), "case {case}");
        }
    }
}

/// Every packet of the draft names next header 1, so each is authentic, decrypts as printed and carries no tunnelled packet.
#[test]
fn gcm_test_draft_packets_authenticate_with_and_without_esn() {
    // (cipher, key and salt, SPI, sequence number, ESN, IV, plaintext with trailer, ciphertext and ICV)
    let cases = [
        (
            Cipher::AesGcm16_128,
            "4c80cdefbb5d10da906ac73c3613a634 2e443b68",
            "00004321",
            0x8765_4321_0000_0000_u64,
            true,
            "4956ed7e3b244cfe",
            "45000048699a000080114db7c0a80102c0a801010a9bf15638d3010000010000
             00000000045f736970045f756470037369700963796265726369747902646b00
             0021000101020201",
            "fecf537e729d5b07dc30df528dd22b768d1b98736696a6fd348509fa13ceac34
             cfa2436f14a3f3cf65925bf1f4a13c5d15b21e1884f5ff6247aeabb786b93bce
             61bc17d768fd9732459018148f6cbe722fd04796562dfdb4",
        ),
        (
            Cipher::AesGcm16_128,
            "feffe9928665731c6d6a8f9467308308 cafebabe",
            "0000a5f8",
            0xa,
            false,
            "facedbaddecaf888",
            "4500003e698f000080114dccc0a80102c0a801010a980035002a2343b2d00100
             0001000000000000037369700963796265726369747902646b00000100010001",
            "deb22cd9b07c72c16e3a65beeb8df304a5a5897d33ae530f1ba76d5d114d2a5c
             3de81827c10e9a4f51330d0eec416642cfbb85a5b47e48a4ec3b9ba95d918bd1
             83b70d3aa8bc6ee4c309e9d85a41ad4a",
        ),
        (
            Cipher::AesGcm16_256,
            "abbccddef00112233445566778899aababbccddef00112233445566778899aab 11223344",
            "4a2cbfe3",
            2,
            false,
            "0102030405060708",
            "4500003069a6400080062690c0a801029389155e0a9e008b2dc57ee000000000
             7002400020bf0000020405b40101040201020201",
            "ff425c9b724599df7a3bcd510194e00d6a78107f1b0b1cbf06efae9d65a5d763
             748a637985771d347f0545659f14e99def842d8eb335f4eecfdbf831824b4c49
             15956c96",
        ),
        (
            Cipher::AesGcm16_192,
            "feffe9928665731c6d6a8f9467308308feffe9928665731c cafebabe",
            "0000a5f8",
            0xa,
            false,
            "facedbaddecaf888",
            "45000028a4ad4000400678800a01038f0a010612802306b8cb712602dd6bb03e
             501016d075680001",
            "a5b1f8066029aea40e598b8122de02420938b3ab33f828e687b8858b5bfbdbd0
             315b27452144cc7795457b9652037f5318027b5b4cd7a636",
        ),
        (
            Cipher::AesGcm16_256,
            "abbccddef00112233445566778899aababbccddef00112233445566778899aab 73616c74",
            "17405e67",
            0x156f_3126_dd0d_b99b,
            true,
            "616e640169766563",
            "45080028732c00004006e9f90a0106120a01038f06b88023dd6bafbecb712602
             50101f646d540001",
            "f2d69ecdbd5a0d5b8d5ef38bad4da58d1f278fde98ef67549d524a3018d9a57f
             f4d3a31ce673119e451626c2415771e3b7eebca614c89b35",
        ),
        (
            Cipher::AesGcm16_128,
            "7d773d00c144c525ac619d18c84a3f47 d9664267",
            "335467ae",
            0xffff_ffff,
            false,
            "43457e9182443bc6",
            "01020201",
            "437f866bcb3f699fe9b0822bac961c4504bef270",
        ),
    ];
    for (case, (cipher, key, spi, sequence, esn, iv, plain, sealed)) in cases.into_iter().enumerate() {
        let mut suite = EspSuite::aead(cipher);
        suite.esn = esn;
        let mut packet = hex(spi);
        packet.extend((sequence as u32).to_be_bytes());
        packet.extend(hex(iv));
        packet.extend(hex(sealed));
        let sa = receiver(suite, &packet, key, &[]).starting_after(sequence - 1);

        let mut damaged = packet.clone();
        damaged[20] ^= 1;
        assert_eq!(sa.open(&mut damaged), Err(DropReason::Authentication), "{case}");
        assert_eq!(sa.open(&mut packet), Err(DropReason::NextHeader), "{case}");
        assert_eq!(packet[16..packet.len() - 16], hex(plain), "{case}");
        assert_eq!(sa.highest_sequence(), sequence, "{case}");
    }
}
