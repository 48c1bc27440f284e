//! Protection of one direction's packets, for IKE's Encrypted payload (RFC 7296 §3.14, RFC 5282) and for ESP
//! (RFC 4303) alike.
//!
//! ```text
//!            what the caller frames            the buffer handed over here
//!        +-------------------------------+----+---------------------+-----+
//!        | IKE header … / SPI | sequence | IV | plaintext, padding  | ICV |  (+ ESN high bits, never sent)
//!        +-------------------------------+----+---------------------+-----+
//! MAC     `aad`, first                     then IV and ciphertext           then `trailer`
//! AEAD    `aad`, as AAD                    nonce = salt | IV                (ESN is inside `aad`)
//! ```
//!
//! Invariant: nothing is decrypted into the caller's hands before it is authenticated. All key schedules are
//! computed once; sealing and opening take `&self`, so that several workers share one key.

use crate::mac::MacKey;
use crate::{Cipher, CryptoError, Integrity, SecretBytes, ct_eq};
use aws_lc_rs::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{self, DecryptingKey, DecryptionContext, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::hmac;
use aws_lc_rs::iv::FixedLength;
use std::fmt;
use zeroize::Zeroizing;

/// Octets of salt in an AEAD nonce (RFC 4106 §4, RFC 7634 §2).
const SALT_LEN: usize = 4;

/// Octets of IV in an AEAD nonce.
const AEAD_IV_LEN: usize = 8;

/// The key of one direction of an SA.
pub struct PacketKey {
    cipher: Cipher,
    integrity: Option<Integrity>,
    protection: Protection,
    /// The cipher's part of what `protection` was made of, salt included. A key schedule holds it as well, but does not give it
    /// back; the key of the MAC is kept nowhere.
    cipher_key: SecretBytes,
}

/// A packet buffer in its three parts.
struct Split<'b> {
    iv: &'b mut [u8],
    text: &'b mut [u8],
    icv: &'b mut [u8],
}

enum Protection {
    Aead { key: Box<LessSafeKey>, salt: Zeroizing<[u8; SALT_LEN]> },
    Cbc { encrypt: Box<EncryptingKey>, decrypt: Box<DecryptingKey>, mac: Box<MacKey> },
    Null { mac: Box<MacKey> },
}

impl PacketKey {
    /// A key for `cipher` and, unless that is an AEAD, `integrity`.
    ///
    /// `encryption_key` is the cipher's key followed by its salt ([`Cipher::key_material_len`] octets; RFC 4106
    /// §8.1, RFC 5282 §7.1); `integrity_key` has [`Integrity::key_len`] octets, none with an AEAD.
    ///
    /// # Errors
    /// [`CryptoError::BadSuite`] unless exactly one of both algorithms authenticates, and
    /// [`CryptoError::BadKeyLength`].
    pub fn new(
        cipher: Cipher,
        integrity: Option<Integrity>,
        encryption_key: &[u8],
        integrity_key: &[u8],
    ) -> Result<Self, CryptoError> {
        if cipher.is_aead() == integrity.is_some() {
            return Err(CryptoError::BadSuite { cipher, integrity });
        }
        check_len(cipher.name(), cipher.key_material_len(), encryption_key)?;
        check_len(
            integrity.map_or(cipher.name(), Integrity::name),
            integrity.map_or(0, Integrity::key_len),
            integrity_key,
        )?;
        let mac = || {
            let integrity = integrity.ok_or(CryptoError::BadSuite { cipher, integrity })?;
            Ok(Box::new(mac_key(integrity, integrity_key)?))
        };
        let protection = match cipher {
            Cipher::Null => Protection::Null { mac: mac()? },
            Cipher::AesCbc128 => cbc(&cipher::AES_128, encryption_key, mac()?)?,
            Cipher::AesCbc192 => cbc(&cipher::AES_192, encryption_key, mac()?)?,
            Cipher::AesCbc256 => cbc(&cipher::AES_256, encryption_key, mac()?)?,
            Cipher::AesGcm16_128 => aead(&aead::AES_128_GCM, encryption_key)?,
            Cipher::AesGcm16_192 => aead(&aead::AES_192_GCM, encryption_key)?,
            Cipher::AesGcm16_256 => aead(&aead::AES_256_GCM, encryption_key)?,
            Cipher::ChaCha20Poly1305 => aead(&aead::CHACHA20_POLY1305, encryption_key)?,
        };
        Ok(Self { cipher, integrity, protection, cipher_key: SecretBytes::from(encryption_key) })
    }

    /// The cipher.
    pub const fn cipher(&self) -> Cipher {
        self.cipher
    }

    /// The cipher's key with its salt, for an export that an operator asked for: it decrypts what this key protected.
    pub const fn cipher_key(&self) -> &SecretBytes {
        &self.cipher_key
    }

    /// The separate integrity algorithm; `None` with an AEAD.
    pub const fn integrity(&self) -> Option<Integrity> {
        self.integrity
    }

    /// Octets of explicit IV at the start of the buffer.
    pub const fn iv_len(&self) -> usize {
        self.cipher.iv_len()
    }

    /// Octets of integrity check value at the end of the buffer: the AEAD's tag or the MAC.
    pub const fn icv_len(&self) -> usize {
        match self.integrity {
            Some(integrity) => integrity.icv_len(),
            None => self.cipher.icv_len(),
        }
    }

    /// Octets of which the plaintext, padding included, must be a multiple.
    pub const fn block_len(&self) -> usize {
        self.cipher.block_len()
    }

    /// Protects `buf`, which is IV ‖ plaintext ‖ room for the ICV: writes `iv`, encrypts in place, writes the ICV.
    ///
    /// `aad` is authenticated before the buffer; `trailer` after it, with a separate integrity algorithm only
    /// (the high half of an extended sequence number, RFC 4303 §2.2.1).
    ///
    /// `iv` must never repeat under one key, and must be unpredictable for CBC (see [`CbcIv`](crate::CbcIv)).
    ///
    /// # Errors
    /// [`CryptoError::BadIvLength`], [`CryptoError::BufferTooSmall`], [`CryptoError::NotWholeBlocks`] and
    /// [`CryptoError::TrailerWithAead`], all before anything is written.
    pub fn seal(&self, iv: &[u8], aad: &[u8], trailer: &[u8], buf: &mut [u8]) -> Result<(), CryptoError> {
        if iv.len() != self.iv_len() {
            return Err(CryptoError::BadIvLength { cipher: self.cipher, expected: self.iv_len(), actual: iv.len() });
        }
        let Split { iv: iv_room, text, icv } = self.split(trailer, buf)?;
        iv_room.copy_from_slice(iv);
        match &self.protection {
            Protection::Aead { key, salt } => {
                let tag = key
                    .seal_in_place_separate_tag(nonce(salt, iv_room), Aad::from(aad), text)
                    .map_err(|_| CryptoError::Library { operation: "AEAD seal" })?;
                icv.copy_from_slice(tag.as_ref());
            }
            Protection::Cbc { encrypt, mac, .. } => {
                let context = EncryptionContext::Iv128(cbc_iv(iv_room));
                encrypt
                    .less_safe_encrypt(text, context)
                    .map_err(|_| CryptoError::Library { operation: "CBC encryption" })?;
                write_icv(mac, &[aad, iv_room, text, trailer], icv);
            }
            Protection::Null { mac } => write_icv(mac, &[aad, text, trailer], icv),
        }
        Ok(())
    }

    /// Verifies `buf`, which is IV ‖ ciphertext ‖ ICV, decrypts it in place and returns the plaintext with its
    /// padding. A buffer of any length is safe to hand over.
    ///
    /// # Errors
    /// [`CryptoError::AuthenticationFailed`] when it was not sealed with this key, `aad` and `trailer`, in constant
    /// time; [`CryptoError::BufferTooSmall`] and [`CryptoError::NotWholeBlocks`] when no sealed buffer can have
    /// this length. After an error the text in `buf` is not to be used: with a MAC it is untouched, with an AEAD
    /// it is unspecified.
    pub fn open<'b>(&self, aad: &[u8], trailer: &[u8], buf: &'b mut [u8]) -> Result<&'b mut [u8], CryptoError> {
        let Split { iv, text, icv } = self.split(trailer, buf)?;
        match &self.protection {
            Protection::Aead { key, salt } => {
                key.open_in_place_separate_tag(nonce(salt, iv), Aad::from(aad), icv, text)
                    .map_err(|_| CryptoError::AuthenticationFailed)?;
            }
            Protection::Cbc { decrypt, mac, .. } => {
                verify_icv(mac, &[aad, iv, text, trailer], icv)?;
                decrypt
                    .decrypt(text, DecryptionContext::Iv128(cbc_iv(iv)))
                    .map_err(|_| CryptoError::Library { operation: "CBC decryption" })?;
            }
            Protection::Null { mac } => verify_icv(mac, &[aad, text, trailer], icv)?,
        }
        Ok(text)
    }

    /// Whether `buf` is what [`Self::seal`] would have made, had it cut the MAC to `icv_len` octets. Opens nothing: it tells
    /// a peer that truncates otherwise from one that has other keys. Never with an AEAD, whose tag has one length.
    pub fn is_sealed_with_icv_of(&self, icv_len: usize, aad: &[u8], trailer: &[u8], buf: &[u8]) -> bool {
        let (Protection::Cbc { mac, .. } | Protection::Null { mac }) = &self.protection else { return false };
        let Some(sealed_len) = buf.len().checked_sub(icv_len) else { return false };
        let (sealed, icv) = buf.split_at(sealed_len);
        let whole = sealed_len.checked_sub(self.iv_len()).is_some_and(|text| text.is_multiple_of(self.block_len()));
        let computed = mac.compute(&[aad, sealed, trailer]);
        whole && icv_len > 0 && computed.as_slice().get(..icv_len).is_some_and(|expected| ct_eq(expected, icv))
    }

    /// The buffer as IV, text and ICV, all lengths checked.
    fn split<'b>(&self, trailer: &[u8], buf: &'b mut [u8]) -> Result<Split<'b>, CryptoError> {
        if self.cipher.is_aead() && !trailer.is_empty() {
            return Err(CryptoError::TrailerWithAead { cipher: self.cipher });
        }
        let actual = buf.len();
        let too_small = CryptoError::BufferTooSmall { needed: self.iv_len() + self.icv_len(), actual };
        let (iv, rest) = buf.split_at_mut_checked(self.iv_len()).ok_or(too_small)?;
        let text_len = rest.len().checked_sub(self.icv_len()).ok_or(too_small)?;
        if !text_len.is_multiple_of(self.block_len()) {
            return Err(CryptoError::NotWholeBlocks { block: self.block_len(), actual: text_len });
        }
        let (text, icv) = rest.split_at_mut(text_len);
        Ok(Split { iv, text, icv })
    }
}

impl fmt::Debug for PacketKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PacketKey")
            .field("cipher", &self.cipher)
            .field("integrity", &self.integrity)
            .finish_non_exhaustive()
    }
}

fn check_len(what: &'static str, expected: usize, key: &[u8]) -> Result<(), CryptoError> {
    if key.len() == expected { Ok(()) } else { Err(CryptoError::BadKeyLength { what, expected, actual: key.len() }) }
}

fn aead(algorithm: &'static aead::Algorithm, key_material: &[u8]) -> Result<Protection, CryptoError> {
    let failed = CryptoError::Library { operation: "AEAD key setup" };
    // The salt is at the END of the keying material (RFC 4106 §8.1, RFC 7634 §4).
    let (key, salt) = key_material.split_last_chunk::<SALT_LEN>().map(|(key, salt)| (key, *salt)).ok_or(failed)?;
    let key = UnboundKey::new(algorithm, key).map_err(|_| failed)?;
    Ok(Protection::Aead { key: Box::new(LessSafeKey::new(key)), salt: Zeroizing::new(salt) })
}

fn cbc(algorithm: &'static cipher::Algorithm, key: &[u8], mac: Box<MacKey>) -> Result<Protection, CryptoError> {
    let key = || UnboundCipherKey::new(algorithm, key);
    let failed = |_| CryptoError::Library { operation: "AES key setup" };
    Ok(Protection::Cbc {
        encrypt: Box::new(key().and_then(EncryptingKey::cbc).map_err(failed)?),
        decrypt: Box::new(key().and_then(DecryptingKey::cbc).map_err(failed)?),
        mac,
    })
}

fn mac_key(integrity: Integrity, key: &[u8]) -> Result<MacKey, CryptoError> {
    let aes_key = || {
        <&[u8; crate::mac::BLOCK]>::try_from(key).map_err(|_| CryptoError::BadKeyLength {
            what: integrity.name(),
            expected: integrity.key_len(),
            actual: key.len(),
        })
    };
    Ok(match integrity {
        Integrity::HmacSha1_96 => MacKey::hmac(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key),
        Integrity::HmacSha2_256_128 | Integrity::HmacSha2_256_96 => MacKey::hmac(hmac::HMAC_SHA256, key),
        Integrity::HmacSha2_384_192 => MacKey::hmac(hmac::HMAC_SHA384, key),
        Integrity::HmacSha2_512_256 => MacKey::hmac(hmac::HMAC_SHA512, key),
        Integrity::AesXcbc96 => MacKey::xcbc(aes_key()?),
        Integrity::AesCmac96 => MacKey::cmac(aes_key()?),
    })
}

fn nonce(salt: &[u8; SALT_LEN], iv: &[u8]) -> Nonce {
    let mut nonce = [0; SALT_LEN + AEAD_IV_LEN];
    nonce[..SALT_LEN].copy_from_slice(salt);
    nonce[SALT_LEN..].copy_from_slice(iv);
    Nonce::assume_unique_for_key(nonce)
}

fn cbc_iv(iv: &[u8]) -> FixedLength<16> {
    let mut block = [0; 16];
    block.copy_from_slice(iv);
    FixedLength::from(block)
}

fn write_icv(mac: &MacKey, parts: &[&[u8]], icv: &mut [u8]) {
    let len = icv.len();
    icv.copy_from_slice(&mac.compute(parts).as_slice()[..len]);
}

fn verify_icv(mac: &MacKey, parts: &[&[u8]], icv: &[u8]) -> Result<(), CryptoError> {
    if ct_eq(&mac.compute(parts).as_slice()[..icv.len()], icv) {
        Ok(())
    } else {
        Err(CryptoError::AuthenticationFailed)
    }
}
