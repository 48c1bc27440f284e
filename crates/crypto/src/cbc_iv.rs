//! Unpredictable initialization vectors for CBC (NIST SP 800-38A appendix C, first method; RFC 3602 §3).

use crate::Rng;
use crate::mac::{BLOCK, aes128, encrypt_block};
use aws_lc_rs::cipher::EncryptingKey;
use std::fmt;
use zeroize::Zeroizing;

/// Makes IVs by encrypting a counter under an AES-128 key of its own.
///
/// Whoever does not hold that key cannot tell the next IV from a random one, and two counters never give the
/// same IV. It needs no state: any thread may ask for the IV of the sequence number it was given.
pub struct CbcIv {
    aes: EncryptingKey,
}

impl CbcIv {
    /// A generator under a fresh key from `rng`.
    pub fn new(rng: &mut dyn Rng) -> Self {
        let mut key = Zeroizing::new([0; BLOCK]);
        rng.fill(key.as_mut());
        Self { aes: aes128(&key) }
    }

    /// The IV for `counter`, which must never be used twice with one generator.
    pub fn at(&self, counter: u64) -> [u8; 16] {
        let mut block = [0; BLOCK];
        block[8..].copy_from_slice(&counter.to_be_bytes());
        encrypt_block(&self.aes, &mut block);
        block
    }
}

impl fmt::Debug for CbcIv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CbcIv(hidden)")
    }
}
