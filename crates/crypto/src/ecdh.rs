//! Elliptic-curve groups: NIST P-256, P-384, P-521 (RFC 5903) and Curve25519 (RFC 8031).
//!
//! AWS-LC computes; this module draws the private value from the caller's generator, frames public values as
//! IKE does (x | y, without SEC 1's leading 0x04) and refuses what RFC 6989 §2.3 and RFC 8031 §3.2 refuse.

use crate::{CryptoError, Group, KeyExchange, Rng, SecretBytes};
use aws_lc_rs::agreement::{self, Algorithm, PrivateKey, UnparsedPublicKey};
use zeroize::Zeroizing;

/// Draws before the generator is declared broken: a sound one misses P-256's range once in 2^32 draws, the other
/// ranges practically never.
const MAX_DRAWS: usize = 16;

/// SEC 1 §2.3.3: an uncompressed point follows.
const UNCOMPRESSED: u8 = 4;

/// One side of an elliptic-curve exchange.
pub(crate) struct EcdhExchange {
    group: Group,
    private: PrivateKey,
    public: Vec<u8>,
}

impl EcdhExchange {
    /// A fresh private value of `group`.
    pub(crate) fn new(group: Group, rng: &mut dyn Rng) -> Result<Self, CryptoError> {
        let mut scalar = Zeroizing::new(vec![0; group.secret_len()]);
        for _ in 0..MAX_DRAWS {
            rng.fill(&mut scalar);
            if group == Group::Ecp521 {
                // 521 bits in 66 octets: the order is just below 2^521.
                scalar[0] &= 1;
            }
            // A scalar of zero, or not below the curve's order, is refused here and drawn anew, so that every
            // value is as likely as the other.
            if let Some(exchange) = Self::from_scalar(group, &scalar) {
                return Ok(exchange);
            }
        }
        Err(CryptoError::BadRandomness { group })
    }

    fn from_scalar(group: Group, scalar: &[u8]) -> Option<Self> {
        let private = PrivateKey::from_private_key(algorithm(group)?, scalar).ok()?;
        let encoded = private.compute_public_key().ok()?;
        let public = match group {
            Group::Curve25519 => encoded.as_ref(),
            _ => encoded.as_ref().strip_prefix(&[UNCOMPRESSED])?,
        };
        (public.len() == group.public_len()).then(|| Self { group, public: public.to_vec(), private })
    }
}

impl KeyExchange for EcdhExchange {
    fn group(&self) -> Group {
        self.group
    }

    fn public(&self) -> &[u8] {
        &self.public
    }

    fn agree(self: Box<Self>, peer_public: &[u8]) -> Result<SecretBytes, CryptoError> {
        let group = self.group;
        let refuse = |reason| CryptoError::BadPublicValue { group, reason };
        if peer_public.len() != group.public_len() {
            return Err(refuse("its length is not the group's"));
        }
        let mut encoded = Vec::with_capacity(1 + peer_public.len());
        if group != Group::Curve25519 {
            encoded.push(UNCOMPRESSED);
        }
        encoded.extend_from_slice(peer_public);
        // AWS-LC refuses coordinates out of range, points off the curve, and an all-zero X25519 result; the point
        // at infinity has no encoding of this length.
        let reason = match group {
            Group::Curve25519 => "the shared secret would be zero",
            _ => "it is not a point of the curve",
        };
        let peer = UnparsedPublicKey::new(self.private.algorithm(), encoded);
        let secret = agreement::agree(&self.private, peer, refuse(reason), |secret| Ok(SecretBytes::from(secret)))?;
        // RFC 8031 §3.2: the all-zero secret MUST be refused; held here too, whatever the library does.
        if secret.ct_eq(&vec![0; group.secret_len()]) {
            return Err(refuse("the shared secret would be zero"));
        }
        Ok(secret)
    }
}

fn algorithm(group: Group) -> Option<&'static Algorithm> {
    match group {
        Group::Ecp256 => Some(&agreement::ECDH_P256),
        Group::Ecp384 => Some(&agreement::ECDH_P384),
        Group::Ecp521 => Some(&agreement::ECDH_P521),
        Group::Curve25519 => Some(&agreement::X25519),
        Group::Modp1024
        | Group::Modp1536
        | Group::Modp2048
        | Group::Modp3072
        | Group::Modp4096
        | Group::Modp6144
        | Group::Modp8192
        | Group::Modp1024S160
        | Group::Modp2048S224
        | Group::Modp2048S256 => None,
    }
}
