//! Pseudo-random functions and prf+ (RFC 7296 §2.13).
//!
//! HMAC takes keys of any length. The two AES functions are built on a 16-octet key: IKE derives keys of that
//! length for them (`fixed_key_len`), and other lengths — a pre-shared key — are brought to it as RFC 4434 §2
//! and RFC 4615 §3 say.

use crate::mac::{BLOCK, MacKey};
use crate::{CryptoError, SecretBytes};
use aws_lc_rs::hmac;

/// A pseudo-random function (RFC 7296 §3.3.2, transform type 2).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub enum Prf {
    /// HMAC-SHA-1 (RFC 2104).
    HmacSha1,
    /// HMAC-SHA-256 (RFC 4868).
    HmacSha2_256,
    /// HMAC-SHA-384 (RFC 4868).
    HmacSha2_384,
    /// HMAC-SHA-512 (RFC 4868).
    HmacSha2_512,
    /// AES-XCBC-PRF-128 (RFC 4434).
    AesXcbc128,
    /// AES-CMAC-PRF-128 (RFC 4615).
    AesCmac128,
}

impl Prf {
    /// Every PRF.
    pub const ALL: [Self; 6] = [
        Self::HmacSha1,
        Self::HmacSha2_256,
        Self::HmacSha2_384,
        Self::HmacSha2_512,
        Self::AesXcbc128,
        Self::AesCmac128,
    ];

    /// Octets IKE derives for SK_d, SK_pi and SK_pr: the output length for HMAC, 16 for AES (RFC 7296 §2.14).
    pub const fn preferred_key_len(self) -> usize {
        self.output_len()
    }

    /// Octets of output.
    pub const fn output_len(self) -> usize {
        match self {
            Self::HmacSha1 => 20,
            Self::HmacSha2_256 => 32,
            Self::HmacSha2_384 => 48,
            Self::HmacSha2_512 => 64,
            Self::AesXcbc128 | Self::AesCmac128 => 16,
        }
    }

    /// The fixed key length of the AES functions, for which Ni and Nr are shortened when SKEYSEED is computed
    /// (RFC 7296 §2.14); `None` for HMAC.
    pub const fn fixed_key_len(self) -> Option<usize> {
        match self {
            Self::HmacSha1 | Self::HmacSha2_256 | Self::HmacSha2_384 | Self::HmacSha2_512 => None,
            Self::AesXcbc128 | Self::AesCmac128 => Some(BLOCK),
        }
    }

    /// The name an operator writes and reads.
    pub const fn name(self) -> &'static str {
        match self {
            Self::HmacSha1 => "prfsha1",
            Self::HmacSha2_256 => "prfsha256",
            Self::HmacSha2_384 => "prfsha384",
            Self::HmacSha2_512 => "prfsha512",
            Self::AesXcbc128 => "prfaesxcbc",
            Self::AesCmac128 => "prfaescmac",
        }
    }

    /// prf(`key`, the concatenation of `parts`). The key may have any length.
    pub fn compute(self, key: &[u8], parts: &[&[u8]]) -> SecretBytes {
        SecretBytes::from(self.key(key).compute(parts).as_slice())
    }

    /// Fills `out` from prf+(`key`, the concatenation of `seed`) (RFC 7296 §2.13):
    ///
    /// ```text
    /// prf+ (K,S) = T1 | T2 | T3 | ...    T1 = prf (K, S | 0x01)    Tn = prf (K, Tn-1 | S | n)
    /// ```
    ///
    /// # Errors
    /// [`CryptoError::PrfPlusTooLong`] for more than 255 blocks, beyond which it is not defined; `out` is then
    /// left as it was.
    pub fn plus(self, key: &[u8], seed: &[&[u8]], out: &mut [u8]) -> Result<(), CryptoError> {
        let limit = 255 * self.output_len();
        if out.len() > limit {
            return Err(CryptoError::PrfPlusTooLong { limit, asked: out.len() });
        }
        let key = self.key(key);
        let mut previous = None;
        for (number, chunk) in (1..=255_u8).zip(out.chunks_mut(self.output_len())) {
            let counter = [number];
            let mut parts = Vec::with_capacity(seed.len() + 2);
            parts.extend(previous.as_ref().map(crate::mac::Mac::as_slice));
            parts.extend_from_slice(seed);
            parts.push(&counter);
            let block = key.compute(&parts);
            chunk.copy_from_slice(&block.as_slice()[..chunk.len()]);
            previous = Some(block);
        }
        Ok(())
    }

    fn key(self, key: &[u8]) -> MacKey {
        match self {
            Self::HmacSha1 => MacKey::hmac(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key),
            Self::HmacSha2_256 => MacKey::hmac(hmac::HMAC_SHA256, key),
            Self::HmacSha2_384 => MacKey::hmac(hmac::HMAC_SHA384, key),
            Self::HmacSha2_512 => MacKey::hmac(hmac::HMAC_SHA512, key),
            Self::AesXcbc128 => MacKey::xcbc(&xcbc_key(key)),
            Self::AesCmac128 => MacKey::cmac(&cmac_key(key)),
        }
    }
}

/// RFC 4434 §2: a shorter key is padded with zeros at its end, a longer one is replaced by its own MAC under
/// the all-zero key.
fn xcbc_key(key: &[u8]) -> zeroize::Zeroizing<[u8; BLOCK]> {
    let mut fixed = zeroize::Zeroizing::new([0; BLOCK]);
    if key.len() > BLOCK {
        fixed.copy_from_slice(MacKey::xcbc(&[0; BLOCK]).compute(&[key]).as_slice());
    } else {
        fixed[..key.len()].copy_from_slice(key);
    }
    fixed
}

/// RFC 4615 §3: a key of any other length than 16, shorter or longer, is replaced by its own MAC under the
/// all-zero key.
fn cmac_key(key: &[u8]) -> zeroize::Zeroizing<[u8; BLOCK]> {
    let mut fixed = zeroize::Zeroizing::new([0; BLOCK]);
    if key.len() == BLOCK {
        fixed.copy_from_slice(key);
    } else {
        fixed.copy_from_slice(MacKey::cmac(&[0; BLOCK]).compute(&[key]).as_slice());
    }
    fixed
}
