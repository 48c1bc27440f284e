//! AES-CBC without integrity (NIST SP 800-38A §6.2), for the messages of IKEv1 alone: there the HASH payload inside
//! authenticates (RFC 2409 §5, appendix B). Everything else is protected by a [`PacketKey`](crate::PacketKey).
//!
//! The IV is the caller's, since IKEv1 chains it: the last ciphertext block of one message is the IV of the next.

use crate::{Cipher, CryptoError};
use aws_lc_rs::cipher::{
    AES_128, AES_192, AES_256, DecryptingKey, DecryptionContext, EncryptingKey, EncryptionContext, UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;
use std::fmt;

/// An AES-CBC key; the text is any whole number of blocks, and nothing is padded.
pub struct CbcKey {
    cipher: Cipher,
    encrypt: EncryptingKey,
    decrypt: DecryptingKey,
}

impl CbcKey {
    /// A key of [`Cipher::key_len`] octets.
    ///
    /// # Errors
    /// [`CryptoError::NotCbc`] for a cipher other than AES-CBC, and [`CryptoError::BadKeyLength`].
    pub fn new(cipher: Cipher, key: &[u8]) -> Result<Self, CryptoError> {
        let algorithm = match cipher {
            Cipher::AesCbc128 => &AES_128,
            Cipher::AesCbc192 => &AES_192,
            Cipher::AesCbc256 => &AES_256,
            Cipher::Null
            | Cipher::AesGcm16_128
            | Cipher::AesGcm16_192
            | Cipher::AesGcm16_256
            | Cipher::ChaCha20Poly1305 => return Err(CryptoError::NotCbc { cipher }),
        };
        if key.len() != cipher.key_len() {
            let (what, expected) = (cipher.name(), cipher.key_len());
            return Err(CryptoError::BadKeyLength { what, expected, actual: key.len() });
        }
        let bound = || UnboundCipherKey::new(algorithm, key);
        let failed = |_| CryptoError::Library { operation: "AES key setup" };
        let encrypt = bound().and_then(EncryptingKey::cbc).map_err(failed)?;
        let decrypt = bound().and_then(DecryptingKey::cbc).map_err(failed)?;
        Ok(Self { cipher, encrypt, decrypt })
    }

    /// The cipher, key length included.
    pub const fn cipher(&self) -> Cipher {
        self.cipher
    }

    /// Encrypts `buf` in place.
    ///
    /// # Errors
    /// [`CryptoError::NotWholeBlocks`], before anything is written.
    pub fn encrypt(&self, iv: &[u8; 16], buf: &mut [u8]) -> Result<(), CryptoError> {
        self.check(buf)?;
        let context = EncryptionContext::Iv128(FixedLength::from(iv));
        let failed = |_| CryptoError::Library { operation: "CBC encryption" };
        self.encrypt.less_safe_encrypt(buf, context).map(drop).map_err(failed)
    }

    /// Decrypts `buf` in place. Without integrity there is no telling whether the key or the text was the right one.
    ///
    /// # Errors
    /// [`CryptoError::NotWholeBlocks`], before anything is written.
    pub fn decrypt(&self, iv: &[u8; 16], buf: &mut [u8]) -> Result<(), CryptoError> {
        self.check(buf)?;
        let context = DecryptionContext::Iv128(FixedLength::from(iv));
        let failed = |_| CryptoError::Library { operation: "CBC decryption" };
        self.decrypt.decrypt(buf, context).map(drop).map_err(failed)
    }

    fn check(&self, buf: &[u8]) -> Result<(), CryptoError> {
        let block = self.cipher.block_len();
        if buf.len().is_multiple_of(block) {
            return Ok(());
        }
        Err(CryptoError::NotWholeBlocks { block, actual: buf.len() })
    }
}

impl fmt::Debug for CbcKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CbcKey").field("cipher", &self.cipher).finish_non_exhaustive()
    }
}
