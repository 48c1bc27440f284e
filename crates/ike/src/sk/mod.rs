//! The Encrypted payload SK and its fragments SKF: sealing and opening (RFC 7296 §3.14, RFC 5282, RFC 7383).
//!
//! ```text
//! HDR, [payloads,] SK  { IV, payloads, padding, pad length, ICV }
//! HDR, [payloads,] SKF { number, total, IV, part of payloads, padding, pad length, ICV }
//!  └─────── authenticated, AAD ───────┘
//! ```
//!
//! Invariants: nothing is decrypted, and no state changes, before the ICV is right. No IV is used twice under a key: with
//! AEAD ciphers it is a counter, under a mask of its own so that it tells nobody how many messages there were; with CBC it
//! is random (RFC 5282 §3.1, RFC 3602 §3).
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod reassembly;

use crypto::{CryptoError, PacketKey, Rng, SecretBytes};

use crate::keys::IkeKeys;
use crate::proposal::IkeSuite;
use crate::wire::{Cursor, Header, Payload, PayloadType, WireError, encode_payloads, length16, raw_payload};

pub use reassembly::{Fragment, MAX_FRAGMENTS, MAX_REASSEMBLED, Reassembly, ReassemblyError};

/// Octets of a generic payload header.
const PAYLOAD_HEADER: usize = 4;
/// Octets of the fragment number and the total in SKF (RFC 7383 §2.5).
const FRAGMENT_HEADER: usize = 4;
/// Payloads outside of SK which are walked past. None is expected.
const MAX_OUTER_PAYLOADS: usize = 16;

/// Both directions' protection of one IKE SA.
#[derive(Debug)]
pub struct SkCipher {
    outbound: PacketKey,
    inbound: PacketKey,
    /// Messages sealed; the next AEAD IV, before the mask.
    sealed: u64,
    iv_mask: u64,
}

/// A message or a part of one whose ICV was right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opened {
    /// A whole message: the type of its first inner payload, and the chain for [`crate::wire::parse_payloads`].
    Message {
        /// Type of the first payload.
        first: PayloadType,
        /// The chain of payloads.
        body: Vec<u8>,
    },
    /// One fragment, for [`Reassembly::add`].
    Fragment(Fragment),
}

/// Why a message was not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SkError {
    /// There is no SK or SKF payload in it.
    #[error("the message is not protected")]
    NotProtected,
    /// It is not well formed. Nothing is known about who sent it.
    #[error("malformed before decryption: {0}")]
    Wire(#[from] WireError),
    /// The ICV is wrong, or lengths make a right one impossible: forged, damaged, or for another key.
    #[error("authentication failed")]
    Authentication,
    /// The holder of the key sent this with a pad length larger than the content.
    #[error("the padding is longer than the content")]
    Padding,
}

/// The protected payload of a message.
struct Protected<'a> {
    first: PayloadType,
    fragment: Option<(u16, u16)>,
    /// From the IKE header to the IV.
    aad: &'a [u8],
    /// IV, ciphertext, ICV.
    sealed: &'a [u8],
}

impl SkCipher {
    /// The protection of an SA with these keys. `we_are_original_initiator`: of this SA; after a rekey that is who started
    /// the rekey (RFC 7296 §2.18).
    ///
    /// # Errors
    /// Keys that do not fit the suite.
    pub fn new(
        suite: &IkeSuite,
        keys: &IkeKeys,
        we_are_original_initiator: bool,
        rng: &mut dyn Rng,
    ) -> Result<Self, CryptoError> {
        let initiator = PacketKey::new(suite.cipher, suite.integrity, keys.ei.expose(), keys.ai.expose())?;
        let responder = PacketKey::new(suite.cipher, suite.integrity, keys.er.expose(), keys.ar.expose())?;
        let (outbound, inbound) =
            if we_are_original_initiator { (initiator, responder) } else { (responder, initiator) };
        Ok(SkCipher { outbound, inbound, sealed: 0, iv_mask: rng.next_u64() })
    }

    /// SK_ei and SK_er, by our role in this SA: for an export that an operator asked for.
    pub(crate) fn cipher_keys(&self, we_are_original_initiator: bool) -> (&SecretBytes, &SecretBytes) {
        let (outbound, inbound) = (self.outbound.cipher_key(), self.inbound.cipher_key());
        if we_are_original_initiator { (outbound, inbound) } else { (inbound, outbound) }
    }

    /// Protects a message: one datagram, or RFC 7383 fragments if it would exceed `max_len` octets of IKE message (`None`:
    /// never fragment). Fills in next payload and length of `header`.
    ///
    /// A `max_len` too small for [`MAX_FRAGMENTS`] fragments is exceeded rather than cutting smaller.
    ///
    /// # Errors
    /// A message beyond 64 KiB in one datagram; whatever the cipher refuses.
    pub fn seal(
        &mut self,
        header: Header,
        payloads: &[Payload],
        max_len: Option<usize>,
        rng: &mut dyn Rng,
    ) -> Result<Vec<Vec<u8>>, CryptoError> {
        let (first, body) = encode_payloads(payloads);
        let whole = self.message_len(body.len(), 0);
        let max_len = max_len.filter(|max_len| whole > *max_len && !body.is_empty());
        let Some(room) = max_len.map(|max_len| self.fragment_room(max_len)) else {
            return Ok(vec![self.seal_one(header, first, &body, None, rng)?]);
        };
        let part = room.max(body.len().div_ceil(usize::from(MAX_FRAGMENTS)));
        let parts: Vec<&[u8]> = body.chunks(part).collect();
        let total = u16::try_from(parts.len()).unwrap_or(MAX_FRAGMENTS);
        (1..=total)
            .zip(parts)
            .map(|(number, part)| {
                // "the Next Payload field in the first fragment MUST be set to the type of the first inner payload; for
                // the rest of the Fragment messages it MUST be set to zero" (RFC 7383 §2.5).
                let first = if number == 1 { first } else { PayloadType::None };
                self.seal_one(header, first, part, Some((number, total)), rng)
            })
            .collect()
    }

    /// Verifies and decrypts. `message` is the whole datagram from the IKE header on, `header` what was parsed from it.
    ///
    /// Payloads beside the protected one are skipped: what they say is not confidential and no exchange has any. The
    /// protected payload must be the last (RFC 7296 §3.14).
    ///
    /// # Errors
    /// [`SkError`]; all but [`SkError::Padding`] may be anybody's doing and must change nothing.
    pub fn open(&self, header: &Header, message: &[u8]) -> Result<Opened, SkError> {
        let protected = find_protected(header, message)?;
        let mut buffer = protected.sealed.to_vec();
        let text = self.inbound.open(protected.aad, &[], &mut buffer).map_err(|_| SkError::Authentication)?;
        let (pad_length, padded) = text.split_last().ok_or(SkError::Padding)?;
        let length = padded.len().checked_sub(usize::from(*pad_length)).ok_or(SkError::Padding)?;
        let body = padded.get(..length).ok_or(SkError::Padding)?.to_vec();
        let first = protected.first;
        Ok(match protected.fragment {
            None => Opened::Message { first, body },
            Some((number, total)) => Opened::Fragment(Fragment { number, total, first, body }),
        })
    }

    /// Octets of a message with `body` octets of payloads inside and `extra` octets in front of the IV.
    fn message_len(&self, body: usize, extra: usize) -> usize {
        let text = body.saturating_add(1).next_multiple_of(self.outbound.block_len().max(1));
        let overhead = Header::LEN.saturating_add(PAYLOAD_HEADER).saturating_add(extra);
        overhead.saturating_add(self.outbound.iv_len()).saturating_add(text).saturating_add(self.outbound.icv_len())
    }

    /// Octets of payloads which fit a fragment of at most `max_len`, at least one.
    fn fragment_room(&self, max_len: usize) -> usize {
        let fixed = Header::LEN.saturating_add(PAYLOAD_HEADER).saturating_add(FRAGMENT_HEADER);
        let fixed = fixed.saturating_add(self.outbound.iv_len()).saturating_add(self.outbound.icv_len());
        let text = max_len.saturating_sub(fixed);
        let blocks = text.checked_div(self.outbound.block_len()).unwrap_or(0);
        blocks.saturating_mul(self.outbound.block_len()).saturating_sub(1).max(1)
    }

    fn next_iv(&mut self, rng: &mut dyn Rng) -> Vec<u8> {
        let mut iv = vec![0; self.outbound.iv_len()];
        match <&mut [u8; 8]>::try_from(iv.as_mut_slice()) {
            Ok(iv) => *iv = (self.sealed ^ self.iv_mask).to_be_bytes(),
            Err(_) => rng.fill(&mut iv),
        }
        // 2^64 messages do not happen in an SA's life.
        self.sealed = self.sealed.saturating_add(1);
        iv
    }

    fn seal_one(
        &mut self,
        mut header: Header,
        first: PayloadType,
        body: &[u8],
        fragment: Option<(u16, u16)>,
        rng: &mut dyn Rng,
    ) -> Result<Vec<u8>, CryptoError> {
        let extra = if fragment.is_some() { FRAGMENT_HEADER } else { 0 };
        let total = self.message_len(body.len(), extra);
        let payload = total.saturating_sub(Header::LEN);
        let limit = usize::from(u16::MAX);
        if payload > limit {
            return Err(CryptoError::BufferTooSmall { needed: payload, actual: limit });
        }
        header.next_payload = if fragment.is_some() { PayloadType::EncryptedFragment } else { PayloadType::Encrypted };
        header.length = u32::try_from(total).unwrap_or(u32::MAX);
        let mut message = Vec::with_capacity(total);
        header.write(&mut message);
        message.extend_from_slice(&[first.to_u8(), 0]);
        message.extend_from_slice(&length16(payload).to_be_bytes());
        if let Some((number, total)) = fragment {
            message.extend_from_slice(&number.to_be_bytes());
            message.extend_from_slice(&total.to_be_bytes());
        }
        let aad_len = message.len();
        let padding = total
            .saturating_sub(aad_len)
            .saturating_sub(self.outbound.iv_len().saturating_add(self.outbound.icv_len()))
            .saturating_sub(body.len())
            .saturating_sub(1);
        let iv = self.next_iv(rng);
        message.extend_from_slice(&iv);
        message.extend_from_slice(body);
        message.resize(message.len().saturating_add(padding), 0);
        message.push(u8::try_from(padding).unwrap_or(0));
        message.resize(total, 0);
        let (aad, sealed) = message.split_at_mut(aad_len);
        self.outbound.seal(&iv, aad, &[], sealed)?;
        Ok(message)
    }
}

/// Walks to the SK or SKF payload, which must end the message.
fn find_protected<'a>(header: &Header, message: &'a [u8]) -> Result<Protected<'a>, SkError> {
    let mut cursor = Cursor::new(message, "protected message");
    cursor.take(Header::LEN)?;
    let mut ty = header.next_payload;
    for _ in 0..MAX_OUTER_PAYLOADS {
        if ty == PayloadType::None {
            return Err(SkError::NotProtected);
        }
        let raw = raw_payload(&mut cursor)?;
        if !matches!(ty, PayloadType::Encrypted | PayloadType::EncryptedFragment) {
            ty = raw.next;
            continue;
        }
        cursor.finish()?;
        let mut inner = Cursor::new(raw.body, "SK payload");
        let fragment = match ty {
            PayloadType::EncryptedFragment => Some(fragment_numbers(&mut inner)?),
            _ => None,
        };
        let sealed = inner.remaining();
        let aad = message.len().checked_sub(sealed.len()).and_then(|len| message.get(..len));
        let aad = aad.ok_or(WireError::Truncated { what: "SK payload" })?;
        return Ok(Protected { first: raw.next, fragment, aad, sealed });
    }
    Err(WireError::TooMany { what: "payloads outside of SK", limit: MAX_OUTER_PAYLOADS }.into())
}

/// Fragment Number and Total Fragments: "MUST NOT be zero", number at most total (RFC 7383 §2.5, §2.6).
fn fragment_numbers(cursor: &mut Cursor<'_>) -> Result<(u16, u16), WireError> {
    let (number, total) = (cursor.u16()?, cursor.u16()?);
    if number == 0 || number > total {
        return Err(cursor.malformed("an impossible fragment number"));
    }
    Ok((number, total))
}
