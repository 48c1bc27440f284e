//! AES-CBC known answers: RFC 3602 §4 (128 bits) and NIST SP 800-38A appendix F.2 (128, 192, 256 bits).

mod support;

use crypto::{CbcKey, Cipher, CryptoError, Integrity, PacketKey};
use support::{counting, hex};

/// (cipher, key, IV, plaintext, ciphertext)
fn vectors() -> Vec<(Cipher, &'static str, &'static str, Vec<u8>, &'static str)> {
    let nist = "6bc1bee22e409f96e93d7e117393172a ae2d8a571e03ac9c9eb76fac45af8e51
                30c81c46a35ce411e5fbc1191a0a52ef f69f2445df4f9b17ad2b417be66c3710";
    let nist_iv = "000102030405060708090a0b0c0d0e0f";
    vec![
        (
            Cipher::AesCbc128,
            "06a9214036b8a15b512e03d534120006",
            "3dafba429d9eb430b422da802c9fac41",
            b"Single block msg".to_vec(),
            "e353779c1079aeb82708942dbe77181a",
        ),
        (
            Cipher::AesCbc128,
            "c286696d887c9aa0611bbb3e2025a45a",
            "562e17996d093d28ddb3ba695a2e6f58",
            counting(32),
            "d296cd94c2cccf8a3a863028b5e1dc0a 7586602d253cfff91b8266bea6d61ab1",
        ),
        (
            Cipher::AesCbc128,
            "6c3ea0477630ce21a2ce334aa746c2cd",
            "c782dc4c098c66cbd9cd27d825682c81",
            b"This is a 48-byte message (exactly 3 AES blocks)".to_vec(),
            "d0a02b3836451753d493665d33f0e886 2dea54cdb293abc7506939276772f8d5
             021c19216bad525c8579695d83ba2684",
        ),
        (
            Cipher::AesCbc128,
            "56e47a38c5598974bc46903dba290349",
            "8ce82eefbea0da3c44699ed7db51b7d9",
            (0xa0..=0xdf).collect(),
            "c30e32ffedc0774e6aff6af0869f71aa 0f3af07a9a31a9c684db207eb0ef8e4e
             35907aa632c3ffdf868bb7b29d3d46ad 83ce9f9a102ee99d49a53e87f4c3da55",
        ),
        (
            Cipher::AesCbc128,
            "2b7e151628aed2a6abf7158809cf4f3c",
            nist_iv,
            hex(nist),
            "7649abac8119b246cee98e9b12e9197d 5086cb9b507219ee95db113a917678b2
             73bed6b8e3c1743b7116e69e22229516 3ff1caa1681fac09120eca307586e1a7",
        ),
        (
            Cipher::AesCbc192,
            "8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b",
            nist_iv,
            hex(nist),
            "4f021db243bc633d7178183a9fa071e8 b4d9ada9ad7dedf4e5e738763f69145a
             571b242012fb7ae07fa9baac3df102e0 08b0e27988598881d920a9e64f5615cd",
        ),
        (
            Cipher::AesCbc256,
            "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
            nist_iv,
            hex(nist),
            "f58c4c04d6e5f1ba779eabfb5f7bfbd6 9cfc4e967edb808d679f777bc6702c7d
             39f23369a9d9bacfa530e26304231461 b2eb05e2c39be9fcda6c19078c6a9d1b",
        ),
    ]
}

#[test]
fn cbc_ciphertexts_are_those_of_rfc_3602_and_sp_800_38a() {
    for (cipher, key, iv, plaintext, ciphertext) in vectors() {
        let key = PacketKey::new(cipher, Some(Integrity::HmacSha2_256_128), &hex(key), &[7; 32]).unwrap();
        let (iv, ciphertext) = (hex(iv), hex(ciphertext));
        let mut buf = vec![0; 16 + plaintext.len() + 16];
        let end = 16 + plaintext.len();
        buf[16..end].copy_from_slice(&plaintext);
        key.seal(&iv, b"header", b"esn", &mut buf).unwrap();
        assert_eq!(buf[..16], iv[..], "{cipher:?}: the IV precedes the ciphertext");
        assert_eq!(buf[16..end], ciphertext[..], "{cipher:?}");
        assert_eq!(key.open(b"header", b"esn", &mut buf).unwrap(), plaintext, "{cipher:?}");
    }
}

#[test]
fn cbc_refuses_text_that_is_not_whole_blocks_before_touching_it() {
    let key = PacketKey::new(Cipher::AesCbc128, Some(Integrity::HmacSha1_96), &[1; 16], &[2; 20]).unwrap();
    let mut buf = vec![9; 16 + 17 + 12];
    let refused = CryptoError::NotWholeBlocks { block: 16, actual: 17 };
    assert_eq!(key.seal(&[0; 16], b"", b"", &mut buf), Err(refused));
    assert_eq!(key.open(b"", b"", &mut buf), Err(refused));
    assert_eq!(buf, vec![9; 16 + 17 + 12]);
}

#[test]
fn a_cbc_key_alone_makes_the_ciphertexts_of_rfc_3602_and_sp_800_38a_and_chains() {
    for (cipher, key, iv, plaintext, ciphertext) in vectors() {
        let key = CbcKey::new(cipher, &hex(key)).unwrap();
        let iv: [u8; 16] = hex(iv).try_into().unwrap();
        let ciphertext = hex(ciphertext);
        let mut buf = plaintext.clone();
        key.encrypt(&iv, &mut buf).unwrap();
        assert_eq!(buf, ciphertext, "{cipher:?}");
        key.decrypt(&iv, &mut buf).unwrap();
        assert_eq!(buf, plaintext, "{cipher:?}");
        // In two messages, the second's IV being the last block of the first: IKEv1's chain (RFC 2409 appendix B).
        let (first, second) = buf.split_at_mut(16);
        key.encrypt(&iv, first).unwrap();
        key.encrypt((&*first).try_into().unwrap(), second).unwrap();
        assert_eq!(buf, ciphertext, "{cipher:?}");
    }
}

#[test]
fn a_cbc_key_refuses_other_ciphers_other_lengths_and_broken_blocks() {
    for cipher in Cipher::ALL.into_iter().filter(|cipher| cipher.block_len() == 1) {
        assert_eq!(CbcKey::new(cipher, &[0; 16]).err(), Some(CryptoError::BadSuite { cipher, integrity: None }));
    }
    for (cipher, len) in [(Cipher::AesCbc128, 32), (Cipher::AesCbc192, 16), (Cipher::AesCbc256, 31)] {
        let refused = CryptoError::BadKeyLength { what: cipher.name(), expected: cipher.key_len(), actual: len };
        assert_eq!(CbcKey::new(cipher, &vec![0; len]).err(), Some(refused));
    }
    let key = CbcKey::new(Cipher::AesCbc256, &[0x77; 32]).unwrap();
    for len in [1, 15, 17, 47] {
        let mut buf = vec![9; len];
        let refused = CryptoError::NotWholeBlocks { block: 16, actual: len };
        assert_eq!(key.encrypt(&[0; 16], &mut buf), Err(refused));
        assert_eq!(key.decrypt(&[0; 16], &mut buf), Err(refused));
        assert_eq!(buf, vec![9; len], "untouched");
    }
    assert_eq!(key.encrypt(&[0; 16], &mut []), Ok(()), "nothing is a whole number of blocks");
}

#[test]
fn a_cbc_key_does_not_show_itself() {
    let key = CbcKey::new(Cipher::AesCbc128, &[0x77; 16]).unwrap();
    assert_eq!(format!("{key:?}"), "CbcKey { cipher: AesCbc128, .. }");
}
