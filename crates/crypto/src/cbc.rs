//! AES-CBC alone (NIST SP 800-38A §6.2): it hides, and proves nothing. IKEv1 protects its messages with it, and with hashes
//! inside (RFC 2409 §5); everything else uses [`PacketKey`](crate::PacketKey).

use crate::{Cipher, CryptoError};
use aws_lc_rs::cipher::{
    AES_128, AES_192, AES_256, DecryptingKey, DecryptionContext, EncryptingKey, EncryptionContext, UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;
use std::fmt;

/// Octets of an AES block.
const BLOCK: usize = 16;

/// A key for both directions.
pub struct CbcKey {
    cipher: Cipher,
    encrypt: EncryptingKey,
    decrypt: DecryptingKey,
}

impl CbcKey {
    /// A key of [`Cipher::key_len`] octets.
    ///
    /// # Errors
    /// [`CryptoError::BadSuite`] for a cipher that is not AES-CBC, [`CryptoError::BadKeyLength`].
    pub fn new(cipher: Cipher, key: &[u8]) -> Result<Self, CryptoError> {
        let algorithm = match cipher {
            Cipher::AesCbc128 => &AES_128,
            Cipher::AesCbc192 => &AES_192,
            Cipher::AesCbc256 => &AES_256,
            Cipher::Null
            | Cipher::AesGcm16_128
            | Cipher::AesGcm16_192
            | Cipher::AesGcm16_256
            | Cipher::ChaCha20Poly1305 => return Err(CryptoError::BadSuite { cipher, integrity: None }),
        };
        if key.len() != cipher.key_len() {
            return Err(CryptoError::BadKeyLength {
                what: cipher.name(),
                expected: cipher.key_len(),
                actual: key.len(),
            });
        }
        let failed = |_| CryptoError::Library { operation: "AES key setup" };
        let unbound = || UnboundCipherKey::new(algorithm, key);
        Ok(Self {
            cipher,
            encrypt: unbound().and_then(EncryptingKey::cbc).map_err(failed)?,
            decrypt: unbound().and_then(DecryptingKey::cbc).map_err(failed)?,
        })
    }

    /// Encrypts whole blocks in place.
    ///
    /// # Errors
    /// [`CryptoError::NotWholeBlocks`].
    pub fn encrypt(&self, iv: &[u8; BLOCK], text: &mut [u8]) -> Result<(), CryptoError> {
        whole_blocks(text)?;
        let context = EncryptionContext::Iv128(FixedLength::from(*iv));
        let done = self.encrypt.less_safe_encrypt(text, context);
        done.map(|_| ()).map_err(|_| CryptoError::Library { operation: "CBC encryption" })
    }

    /// Decrypts whole blocks in place.
    ///
    /// # Errors
    /// [`CryptoError::NotWholeBlocks`].
    pub fn decrypt(&self, iv: &[u8; BLOCK], text: &mut [u8]) -> Result<(), CryptoError> {
        whole_blocks(text)?;
        let context = DecryptionContext::Iv128(FixedLength::from(*iv));
        let done = self.decrypt.decrypt(text, context);
        done.map(|_| ()).map_err(|_| CryptoError::Library { operation: "CBC decryption" })
    }
}

fn whole_blocks(text: &[u8]) -> Result<(), CryptoError> {
    if text.len().is_multiple_of(BLOCK) {
        Ok(())
    } else {
        Err(CryptoError::NotWholeBlocks { block: BLOCK, actual: text.len() })
    }
}

impl fmt::Debug for CbcKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CbcKey").field("cipher", &self.cipher).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        text.as_bytes()
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }

    #[test]
    fn aes_cbc_gives_the_answers_of_nist_sp_800_38a_appendix_f_2() {
        let cases = [
            (Cipher::AesCbc128, "2b7e151628aed2a6abf7158809cf4f3c", "7649abac8119b246cee98e9b12e9197d"),
            (
                Cipher::AesCbc256,
                "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
                "f58c4c04d6e5f1ba779eabfb5f7bfbd6",
            ),
        ];
        let iv: [u8; 16] = hex("000102030405060708090a0b0c0d0e0f").try_into().unwrap();
        let text = hex("6bc1bee22e409f96e93d7e117393172a");
        for (cipher, key, expected) in cases {
            let key = CbcKey::new(cipher, &hex(key)).unwrap();
            let mut buffer = text.clone();
            key.encrypt(&iv, &mut buffer).unwrap();
            assert_eq!(buffer, hex(expected), "{cipher:?}");
            key.decrypt(&iv, &mut buffer).unwrap();
            assert_eq!(buffer, text);
        }
    }

    #[test]
    fn other_ciphers_other_key_lengths_and_parts_of_blocks_are_refused() {
        assert!(matches!(CbcKey::new(Cipher::AesGcm16_128, &[0; 20]), Err(CryptoError::BadSuite { .. })));
        assert!(matches!(CbcKey::new(Cipher::AesCbc128, &[0; 15]), Err(CryptoError::BadKeyLength { .. })));
        let key = CbcKey::new(Cipher::AesCbc128, &[0; 16]).unwrap();
        assert!(matches!(key.encrypt(&[0; 16], &mut [0; 17]), Err(CryptoError::NotWholeBlocks { .. })));
        assert!(matches!(key.decrypt(&[0; 16], &mut [0; 1]), Err(CryptoError::NotWholeBlocks { .. })));
        assert_eq!(format!("{key:?}"), "CbcKey { cipher: AesCbc128, .. }");
    }
}
