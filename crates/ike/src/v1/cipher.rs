//! The encryption of ISAKMP messages: CBC whose initialisation vectors chain from message to message (RFC 2409 §5,
//! appendix B). It protects nothing's integrity: that is what the HASH payloads are for.
//!
//! Phase 1 chains from `hash(g^xi | g^xr)`; every exchange after it from `hash(last block of phase 1 | message ID)`.

use super::keys;
use crypto::{CbcKey, Cipher, CryptoError, Prf, SecretBytes};

/// Octets of an AES block.
const BLOCK: usize = 16;

/// The last block of ciphertext so far: the next message's initialisation vector.
pub(crate) type Iv = [u8; BLOCK];

/// Encrypts and decrypts the messages of one ISAKMP SA.
#[derive(Debug)]
pub(crate) struct Phase1Cipher {
    key: CbcKey,
    prf: Prf,
}

fn block_of(digest: &[u8]) -> Iv {
    digest.first_chunk().copied().unwrap_or_default()
}

impl Phase1Cipher {
    /// With the key that SKEYID_e makes.
    pub(crate) fn new(cipher: Cipher, prf: Prf, e: &SecretBytes) -> Result<Phase1Cipher, CryptoError> {
        let key = keys::cipher_key(prf, e, cipher.key_len());
        Ok(Phase1Cipher { key: CbcKey::new(cipher, key.expose())?, prf })
    }

    /// Where phase 1 starts.
    pub(crate) fn phase1_iv(prf: Prf, g_xi: &[u8], g_xr: &[u8]) -> Iv {
        block_of(&keys::hash(prf, &[g_xi, g_xr]))
    }

    /// Where an exchange after phase 1 starts.
    pub(crate) fn exchange_iv(&self, phase1: &Iv, message_id: u32) -> Iv {
        block_of(&keys::hash(self.prf, &[phase1, &message_id.to_be_bytes()]))
    }

    /// Pads with zeros to whole blocks and encrypts. Returns the ciphertext and the next initialisation vector.
    pub(crate) fn encrypt(&self, iv: &Iv, mut text: Vec<u8>) -> Result<(Vec<u8>, Iv), CryptoError> {
        text.resize(text.len().next_multiple_of(BLOCK), 0);
        self.key.encrypt(iv, &mut text)?;
        let next = text.last_chunk().copied().unwrap_or(*iv);
        Ok((text, next))
    }

    /// Decrypts. Returns the text with its padding and the next initialisation vector.
    ///
    /// # Errors
    /// No whole blocks, or nothing at all.
    pub(crate) fn decrypt(&self, iv: &Iv, ciphertext: &[u8]) -> Result<(Vec<u8>, Iv), CryptoError> {
        let next = ciphertext
            .last_chunk()
            .copied()
            .ok_or(CryptoError::NotWholeBlocks { block: BLOCK, actual: ciphertext.len() })?;
        let mut text = ciphertext.to_vec();
        self.key.decrypt(iv, &mut text)?;
        Ok((text, next))
    }
}
