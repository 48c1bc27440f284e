//! AEAD known answers: AES-GCM from McGrew and Viega's specification (test cases 4, 10, 16) and the ESP examples of
//! draft-mcgrew-gcm-test-01; ChaCha20-Poly1305 from RFC 7634 appendices A (ESP) and B (IKEv2).

mod support;

use crypto::{Cipher, CryptoError, PacketKey};
use support::hex;

struct Vector {
    name: &'static str,
    cipher: Cipher,
    /// Key, then salt: the keying material as IKE derives it.
    key_and_salt: [&'static str; 2],
    iv: &'static str,
    aad: &'static str,
    plaintext: &'static str,
    ciphertext: &'static str,
    tag: &'static str,
}

const GCM_AAD: &str = "feedfacedeadbeeffeedfacedeadbeefabaddad2";
const GCM_PLAINTEXT: &str = "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72
    1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39";

const VECTORS: &[Vector] = &[
    Vector {
        name: "GCM specification, test case 4",
        cipher: Cipher::AesGcm16_128,
        key_and_salt: ["feffe9928665731c6d6a8f9467308308", "cafebabe"],
        iv: "facedbaddecaf888",
        aad: GCM_AAD,
        plaintext: GCM_PLAINTEXT,
        ciphertext: "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e
            21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091",
        tag: "5bc94fbc3221a5db94fae95ae7121a47",
    },
    Vector {
        name: "GCM specification, test case 10",
        cipher: Cipher::AesGcm16_192,
        key_and_salt: ["feffe9928665731c6d6a8f9467308308feffe9928665731c", "cafebabe"],
        iv: "facedbaddecaf888",
        aad: GCM_AAD,
        plaintext: GCM_PLAINTEXT,
        ciphertext: "3980ca0b3c00e841eb06fac4872a2757859e1ceaa6efd984628593b40ca1e19c
            7d773d00c144c525ac619d18c84a3f4718e2448b2fe324d9ccda2710",
        tag: "2519498e80f1478f37ba55bd6d27618c",
    },
    Vector {
        name: "GCM specification, test case 16",
        cipher: Cipher::AesGcm16_256,
        key_and_salt: ["feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308", "cafebabe"],
        iv: "facedbaddecaf888",
        aad: GCM_AAD,
        plaintext: GCM_PLAINTEXT,
        ciphertext: "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa
            8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662",
        tag: "76fc6ece0f4e1768cddf8853bb2d551b",
    },
    Vector {
        name: "draft-mcgrew-gcm-test-01, ESP with an extended sequence number",
        cipher: Cipher::AesGcm16_128,
        key_and_salt: ["4c80cdefbb5d10da906ac73c3613a634", "2e443b68"],
        iv: "4956ed7e3b244cfe",
        aad: "000043218765432100000000",
        plaintext: "45000048699a000080114db7c0a80102c0a801010a9bf15638d3010000010000
            00000000045f736970045f756470037369700963796265726369747902646b00
            0021000101020201",
        ciphertext: "fecf537e729d5b07dc30df528dd22b768d1b98736696a6fd348509fa13ceac34
            cfa2436f14a3f3cf65925bf1f4a13c5d15b21e1884f5ff6247aeabb786b93bce
            61bc17d768fd9732",
        tag: "459018148f6cbe722fd04796562dfdb4",
    },
    Vector {
        name: "draft-mcgrew-gcm-test-01, ESP with a 192-bit key",
        cipher: Cipher::AesGcm16_192,
        key_and_salt: ["feffe9928665731c6d6a8f9467308308feffe9928665731c", "cafebabe"],
        iv: "facedbaddecaf888",
        aad: "0000a5f80000000a",
        plaintext: "45000028a4ad4000400678800a01038f0a010612802306b8cb712602dd6bb03e
            501016d075680001",
        ciphertext: "a5b1f8066029aea40e598b8122de02420938b3ab33f828e687b8858b5bfbdbd0
            315b27452144cc77",
        tag: "95457b9652037f5318027b5b4cd7a636",
    },
    Vector {
        name: "draft-mcgrew-gcm-test-01, ESP with a 256-bit key",
        cipher: Cipher::AesGcm16_256,
        key_and_salt: ["abbccddef00112233445566778899aababbccddef00112233445566778899aab", "11223344"],
        iv: "0102030405060708",
        aad: "4a2cbfe300000002",
        plaintext: "4500003069a6400080062690c0a801029389155e0a9e008b2dc57ee000000000
            7002400020bf0000020405b40101040201020201",
        ciphertext: "ff425c9b724599df7a3bcd510194e00d6a78107f1b0b1cbf06efae9d65a5d763
            748a637985771d347f0545659f14e99def842d8e",
        tag: "b335f4eecfdbf831824b4c4915956c96",
    },
    Vector {
        name: "RFC 7634 appendix A, ESP",
        cipher: Cipher::ChaCha20Poly1305,
        key_and_salt: ["808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f", "a0a1a2a3"],
        iv: "1011121314151617",
        aad: "0102030400000005",
        plaintext: "45000054a6f200004001e778c6336405c000020508005b7a3a080000553bec10
            0007362708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20212223
            2425262728292a2b2c2d2e2f303132333435363701020204",
        ciphertext: "24039428b97f417e3c13753a4f05087b67c352e6a7fab1b982d466ef407ae5c6
            14ee8099d52844eb61aa95dfab4c02f72aa71e7c4c4f64c9befe2facc638e8f3
            cbec163fac469b502773f6fb94e664da9165b82829f641e0",
        tag: "76aaa8266b7fb0f7b11b369907e1ad43",
    },
    Vector {
        name: "RFC 7634 appendix B, IKEv2",
        cipher: Cipher::ChaCha20Poly1305,
        key_and_salt: ["808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f", "a0a1a2a3"],
        iv: "1011121314151617",
        aad: "c0c1c2c3c4c5c6c7d0d1d2d3d4d5d6d72e202500000000090000004529000029",
        plaintext: "0000000c000040010000000a00",
        ciphertext: "610394701f8d017f7c12924889",
        tag: "6b71bfe25236efd7cdc67066906315b2",
    },
];

#[test]
fn aead_packets_are_those_of_the_specifications_with_the_salt_last_in_the_keying_material() {
    for vector in VECTORS {
        let key = PacketKey::new(vector.cipher, None, &hex(&vector.key_and_salt.concat()), &[]).unwrap();
        let (iv, aad, plaintext) = (hex(vector.iv), hex(vector.aad), hex(vector.plaintext));
        let mut buf = [vec![0; 8], plaintext.clone(), vec![0; 16]].concat();
        key.seal(&iv, &aad, &[], &mut buf).unwrap();
        assert_eq!(buf, [iv, hex(vector.ciphertext), hex(vector.tag)].concat(), "{}", vector.name);
        assert_eq!(key.open(&aad, &[], &mut buf).unwrap(), plaintext, "{}", vector.name);
    }
}

#[test]
fn an_aead_takes_no_trailer_because_it_would_not_authenticate_it() {
    let cipher = Cipher::AesGcm16_128;
    let key = PacketKey::new(cipher, None, &[1; 20], &[]).unwrap();
    let mut buf = [0; 40];
    assert_eq!(key.seal(&[0; 8], b"", b"esn", &mut buf), Err(CryptoError::TrailerWithAead { cipher }));
    assert_eq!(key.open(b"", b"esn", &mut buf), Err(CryptoError::TrailerWithAead { cipher }));
    assert_eq!(buf, [0; 40]);
}
