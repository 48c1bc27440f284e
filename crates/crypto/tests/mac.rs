//! MAC and PRF known answers: RFC 2202 (HMAC-SHA-1), RFC 4231 and RFC 4868 (HMAC-SHA-2), RFC 3566 and RFC 4434
//! (AES-XCBC), RFC 4493 and RFC 4615 (AES-CMAC).

mod support;

use crypto::{Cipher, Integrity, PacketKey, Prf};
use support::{counting, hex};

/// The ICV a NULL-encrypted packet of these octets carries, cut into the parts a MAC has.
fn icv(integrity: Integrity, key: &[u8], message: &[u8]) -> Vec<u8> {
    let sealer = PacketKey::new(Cipher::Null, Some(integrity), &[], key).expect("the key has the length");
    let (aad, rest) = message.split_at(message.len() / 3);
    let (text, trailer) = rest.split_at(rest.len() / 2);
    let mut buf = [text, &vec![0; integrity.icv_len()]].concat();
    sealer.seal(&[], aad, trailer, &mut buf).expect("NULL takes any length");
    buf.split_off(text.len())
}

#[test]
fn hmac_sha1_is_that_of_rfc_2202() {
    let cases: [(Vec<u8>, &[u8], &str); 7] = [
        (vec![0x0b; 20], b"Hi There", "b617318655057264e28bc0b6fb378c8ef146be00"),
        (b"Jefe".to_vec(), b"what do ya want for nothing?", "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
        (vec![0xaa; 20], &[0xdd; 50], "125d7342b9ac11cd91a39af48aa17b4f63f175d3"),
        ((1..=25).collect(), &[0xcd; 50], "4c9007f4026250c6bc8414f9bf50c86c2d7235da"),
        (vec![0x0c; 20], b"Test With Truncation", "4c1a03424b55e07fe7f27be1d58bb9324a9a5a04"),
        (
            vec![0xaa; 80],
            b"Test Using Larger Than Block-Size Key - Hash Key First",
            "aa4ae5e15272d00e95705637ce8a3b55ed402112",
        ),
        (
            vec![0xaa; 80],
            b"Test Using Larger Than Block-Size Key and Larger Than One Block-Size Data",
            "e8e99d0f45237d786d6bbaa7965c7808bbff1a91",
        ),
    ];
    for (key, message, expected) in cases {
        let expected = hex(expected);
        assert!(Prf::HmacSha1.compute(&key, &[message]).ct_eq(&expected));
        if key.len() == 20 {
            assert_eq!(icv(Integrity::HmacSha1_96, &key, message), expected[..12]);
        }
    }
}

/// (key, message, HMAC-SHA-256, HMAC-SHA-384, HMAC-SHA-512)
const RFC_4231: &[(&[u8], &[u8], [&str; 3])] = &[
    (
        &[0x0b; 20],
        b"Hi There",
        [
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
            "afd03944d84895626b0825f4ab46907f15f9dadbe4101ec682aa034c7cebc59c
             faea9ea9076ede7f4af152e8b2fa9cb6",
            "87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cde
             daa833b7d6b8a702038b274eaea3f4e4be9d914eeb61f1702e696c203a126854",
        ],
    ),
    (
        b"Jefe",
        b"what do ya want for nothing?",
        [
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e
             8e2240ca5e69e2c78b3239ecfab21649",
            "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554
             9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
        ],
    ),
    (
        &[0xaa; 20],
        &[0xdd; 50],
        [
            "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
            "88062608d3e6ad8a0aa2ace014c8a86f0aa635d947ac9febe83ef4e55966144b
             2a5ab39dc13814b94e3ab6e101a34f27",
            "fa73b0089d56a284efb0f0756c890be9b1b5dbdd8ee81a3655f83e33b2279d39
             bf3e848279a722c806b485a47e67c807b946a337bee8942674278859e13292fb",
        ],
    ),
    (
        &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25],
        &[0xcd; 50],
        [
            "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
            "3e8a69b7783c25851933ab6290af6ca77a9981480850009cc5577c6e1f573b4e
             6801dd23c4a7d679ccf8a386c674cffb",
            "b0ba465637458c6990e5a8c5f61d4af7e576d97ff94b872de76f8050361ee3db
             a91ca5c11aa25eb4d679275cc5788063a5f19741120c4f2de2adebeb10a298dd",
        ],
    ),
    (
        &[0xaa; 131],
        b"Test Using Larger Than Block-Size Key - Hash Key First",
        [
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            "4ece084485813e9088d2c63a041bc5b44f9ef1012a2b588f3cd11f05033ac4c6
             0c2ef6ab4030fe8296248df163f44952",
            "80b24263c7c1a3ebb71493c1dd7be8b49b46d1f41b4aeec1121b013783f8f352
             6b56d037e05f2598bd0fd2215d6a1e5295e64f73f63f0aec8b915a985d786598",
        ],
    ),
    (
        &[0xaa; 131],
        b"This is a test using a larger than block-size key and a larger than block-size data. \
          The key needs to be hashed before being used by the HMAC algorithm.",
        [
            "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
            "6617178e941f020d351e2f254e8fd32c602420feb0b8fb9adccebb82461e99c5
             a678cc31e799176d3860e6110c46523e",
            "e37b6a775dc87dbaa4dfa9f96e5e3ffddebd71f8867289865df5a32d20cdc944
             b6022cac3c4982b10d5eeb55c3e4de15134676fb6de0446065c97440fa8c6a58",
        ],
    ),
];

#[test]
fn hmac_sha2_is_that_of_rfc_4231() {
    for (key, message, expected) in RFC_4231 {
        for (prf, expected) in [Prf::HmacSha2_256, Prf::HmacSha2_384, Prf::HmacSha2_512].into_iter().zip(expected) {
            // In one part and in several: the parts' boundaries mean nothing.
            assert!(prf.compute(key, &[message]).ct_eq(&hex(expected)), "{}", prf.name());
            let parts: Vec<&[u8]> = message.chunks(5).collect();
            assert!(prf.compute(key, &parts).ct_eq(&hex(expected)), "{}", prf.name());
        }
    }
}

#[test]
fn truncated_hmac_sha2_is_that_of_rfc_4868() {
    // RFC 4868 §2.7.2, first authentication case of each algorithm.
    let cases = [
        (Integrity::HmacSha2_256_128, "198a607eb44bfbc69903a0f1cf2bbdc5"),
        // The same MAC cut to the 96 bits of the draft before the RFC.
        (Integrity::HmacSha2_256_96, "198a607eb44bfbc69903a0f1"),
        (Integrity::HmacSha2_384_192, "b6a8d5636f5c6a7224f9977dcf7ee6c7fb6d0c48cbdee973"),
        (Integrity::HmacSha2_512_256, "637edc6e01dce7e6742a99451aae82df23da3e92439e590e43e761b33e910fb8"),
    ];
    for (integrity, expected) in cases {
        let key = vec![0x0b; integrity.key_len()];
        assert_eq!(icv(integrity, &key, b"Hi There"), hex(expected), "{}", integrity.name());
    }
}

#[test]
fn aes_xcbc_is_that_of_rfc_3566() {
    let key = counting(16);
    let cases = [
        (vec![], "75f0251d528ac01c4573dfd584d79f29"),
        (counting(3), "5b376580ae2f19afe7219ceef172756f"),
        (counting(16), "d2a246fa349b68a79998a4394ff7a263"),
        (counting(20), "47f51b4564966215b8985c63055ed308"),
        (counting(32), "f54f0ec8d2b9f3d36807734bd5283fd4"),
        (counting(34), "becbb3bccdb518a30677d5481fb6b4d8"),
        (vec![0; 1000], "f0dafee895db30253761103b5d84528f"),
    ];
    for (message, expected) in cases {
        let expected = hex(expected);
        assert!(Prf::AesXcbc128.compute(&key, &[&message]).ct_eq(&expected), "{}", message.len());
        assert_eq!(icv(Integrity::AesXcbc96, &key, &message), expected[..12], "{}", message.len());
    }
}

#[test]
fn aes_xcbc_takes_short_and_long_keys_as_rfc_4434_says() {
    let cases = [
        (counting(16), "47f51b4564966215b8985c63055ed308"),
        (counting(10), "0fa087af7d866e7653434e602fdde835"),
        ([counting(16), hex("edcb")].concat(), "8cd3c93ae598a9803006ffb67c40e9e4"),
    ];
    for (key, expected) in cases {
        assert!(Prf::AesXcbc128.compute(&key, &[&counting(20)]).ct_eq(&hex(expected)), "{}", key.len());
    }
}

#[test]
fn aes_cmac_is_that_of_rfc_4493() {
    let key = hex("2b7e151628aed2a6abf7158809cf4f3c");
    let message = hex("6bc1bee22e409f96e93d7e117393172a ae2d8a571e03ac9c9eb76fac45af8e51
                       30c81c46a35ce411e5fbc1191a0a52ef f69f2445df4f9b17ad2b417be66c3710");
    let cases = [
        (0, "bb1d6929e95937287fa37d129b756746"),
        (16, "070a16b46b4d4144f79bdd9dd04a287c"),
        (40, "dfa66747de9ae63030ca32611497c827"),
        (64, "51f0bebf7e3b9d92fc49741779363cfe"),
    ];
    for (len, expected) in cases {
        let expected = hex(expected);
        assert!(Prf::AesCmac128.compute(&key, &[&message[..len]]).ct_eq(&expected), "{len}");
        assert_eq!(icv(Integrity::AesCmac96, &key, &message[..len]), expected[..12], "{len}");
    }
}

#[test]
fn aes_cmac_takes_short_and_long_keys_as_rfc_4615_says() {
    let cases = [
        ([counting(16), hex("edcb")].concat(), "84a348a4a45d235babfffc0d2b4da09a"),
        (counting(16), "980ae87b5f4c9c5214f5b6a8455e4c2d"),
        (counting(10), "290d9e112edb09ee141fcf64c0b72f3d"),
    ];
    for (key, expected) in cases {
        assert!(Prf::AesCmac128.compute(&key, &[&counting(20)]).ct_eq(&hex(expected)), "{}", key.len());
    }
}

#[test]
fn plain_hashes_are_those_of_fips_180() {
    // The one-block examples of FIPS 180-4: "abc", here in parts.
    let parts: [&[u8]; 3] = [b"a", b"", b"bc"];
    assert_eq!(crypto::sha1(&parts)[..], hex("a9993e364706816aba3e25717850c26c9cd0d89d"));
    assert_eq!(crypto::sha256(&parts)[..], hex("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"));
    let sha384 = "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded163 1a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7";
    assert_eq!(crypto::sha384(&parts)[..], hex(sha384));
    let sha512 = "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea2 0a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd
                  454d4423643ce80e2a9ac94fa54ca49f";
    assert_eq!(crypto::sha512(&parts)[..], hex(sha512));
}
