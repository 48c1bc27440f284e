//! Every key and hash of IKEv1 with pre-shared keys (RFC 2409 §5, §5.5, appendix B).
//!
//! ```text
//! SKEYID   = prf(pre-shared-key, Ni_b | Nr_b)
//! SKEYID_d = prf(SKEYID, g^xy | CKY-I | CKY-R | 0)
//! SKEYID_a = prf(SKEYID, SKEYID_d | g^xy | CKY-I | CKY-R | 1)
//! SKEYID_e = prf(SKEYID, SKEYID_a | g^xy | CKY-I | CKY-R | 2)
//! KEYMAT   = K1 | K2 | …  with K1 = prf(SKEYID_d, [g(qm)^xy |] protocol | SPI | Ni_b | Nr_b),
//!                              Kn = prf(SKEYID_d, K(n-1) | [g(qm)^xy |] protocol | SPI | Ni_b | Nr_b)
//! ```
//! The prf is always the HMAC of the negotiated hash.

use crate::wire::IkeSpi;
use crypto::{Prf, SecretBytes};
use ipsec::{EspKeys, EspSuite, Spi};

/// PROTO_IPSEC_ESP (RFC 2407 §4.4.1).
const PROTO_IPSEC_ESP: u8 = 3;

/// The keys of an ISAKMP SA, named as in RFC 2409 §5 without the `SKEYID_`.
#[derive(Debug, Clone)]
pub struct Phase1Keys {
    /// SKEYID itself: authenticates phase 1.
    pub skeyid: SecretBytes,
    /// Derives the keys of phase 2.
    pub d: SecretBytes,
    /// Authenticates messages of phase 2.
    pub a: SecretBytes,
    /// Encrypts ISAKMP messages.
    pub e: SecretBytes,
}

/// SKEYID for pre-shared keys (RFC 2409 §5).
#[must_use]
pub fn skeyid_psk(prf: Prf, psk: &SecretBytes, ni: &[u8], nr: &[u8]) -> SecretBytes {
    prf.compute(psk.expose(), &[ni, nr])
}

/// SKEYID_d, SKEYID_a and SKEYID_e (RFC 2409 §5). `shared` is g^xy, padded to the group's length.
#[must_use]
pub fn derive_phase1(prf: Prf, skeyid: &SecretBytes, shared: &SecretBytes, cky_i: IkeSpi, cky_r: IkeSpi) -> Phase1Keys {
    let next = |before: &[u8], number: u8| {
        prf.compute(skeyid.expose(), &[before, shared.expose(), &cky_i.0, &cky_r.0, &[number]])
    };
    let d = next(&[], 0);
    let a = next(d.expose(), 1);
    let e = next(a.expose(), 2);
    Phase1Keys { skeyid: skeyid.clone(), d, a, e }
}

/// The key of the cipher that protects ISAKMP messages (RFC 2409 appendix B): SKEYID_e, stretched where it is too short.
#[must_use]
pub fn cipher_key(prf: Prf, e: &SecretBytes, length: usize) -> SecretBytes {
    if e.expose().len() >= length {
        return SecretBytes::from(e.expose().get(..length).unwrap_or_default().to_vec());
    }
    let mut block = prf.compute(e.expose(), &[&[0]]);
    let mut key = block.expose().to_vec();
    while key.len() < length {
        block = prf.compute(e.expose(), &[block.expose()]);
        key.extend_from_slice(block.expose());
    }
    key.truncate(length);
    SecretBytes::from(key)
}

/// The negotiated hash, by the PRF that is its HMAC. NAT detection and initialisation vectors use it (RFC 2409 appendix
/// B, RFC 3947 §3.2).
#[must_use]
pub fn hash(prf: Prf, parts: &[&[u8]]) -> Vec<u8> {
    match prf {
        Prf::HmacSha1 => crypto::sha1(parts).to_vec(),
        Prf::HmacSha2_384 => crypto::sha384(parts).to_vec(),
        Prf::HmacSha2_512 => crypto::sha512(parts).to_vec(),
        // The AES functions are no HMACs: a proposal with them cannot be said in IKEv1.
        Prf::HmacSha2_256 | Prf::AesXcbc128 | Prf::AesCmac128 => crypto::sha256(parts).to_vec(),
    }
}

/// What HASH_I or HASH_R proves (RFC 2409 §5): who says it, with which Diffie-Hellman values, under which offer.
pub struct Proof<'a> {
    /// Diffie-Hellman value of the end that proves.
    pub own_public: &'a [u8],
    /// Diffie-Hellman value of the other end.
    pub other_public: &'a [u8],
    /// Cookie of the end that proves.
    pub own_cookie: IkeSpi,
    /// Cookie of the other end.
    pub other_cookie: IkeSpi,
    /// SAi_b: the body of the initiator's SA payload.
    pub sa: &'a [u8],
    /// The body of the identification payload of the end that proves.
    pub id: &'a [u8],
}

/// HASH_I or HASH_R (RFC 2409 §5).
#[must_use]
pub fn proof(prf: Prf, skeyid: &SecretBytes, proof: &Proof<'_>) -> SecretBytes {
    let Proof { own_public, other_public, own_cookie, other_cookie, sa, id } = proof;
    prf.compute(skeyid.expose(), &[own_public, other_public, &own_cookie.0, &other_cookie.0, sa, id])
}

/// HASH(1) of quick mode and of informational exchanges (RFC 2409 §5.5, §5.7): `rest` are the octets behind HASH.
#[must_use]
pub fn hash1(prf: Prf, a: &SecretBytes, message_id: u32, rest: &[u8]) -> SecretBytes {
    prf.compute(a.expose(), &[&message_id.to_be_bytes(), rest])
}

/// HASH(2) of quick mode (RFC 2409 §5.5): as HASH(1), with Ni_b before the rest.
#[must_use]
pub fn hash2(prf: Prf, a: &SecretBytes, message_id: u32, ni: &[u8], rest: &[u8]) -> SecretBytes {
    prf.compute(a.expose(), &[&message_id.to_be_bytes(), ni, rest])
}

/// HASH(3) of quick mode (RFC 2409 §5.5): the proof that the initiator is alive.
#[must_use]
pub fn hash3(prf: Prf, a: &SecretBytes, message_id: u32, ni: &[u8], nr: &[u8]) -> SecretBytes {
    prf.compute(a.expose(), &[&[0], &message_id.to_be_bytes(), ni, nr])
}

/// `length` octets of KEYMAT for the SA with this SPI (RFC 2409 §5.5). `shared` is quick mode's own g^xy, with PFS.
#[must_use]
pub fn keymat(
    prf: Prf,
    d: &SecretBytes,
    shared: Option<&SecretBytes>,
    spi: Spi,
    ni: &[u8],
    nr: &[u8],
    length: usize,
) -> SecretBytes {
    let shared = shared.map_or(&[][..], SecretBytes::expose);
    let spi = spi.to_be_bytes();
    let seed: [&[u8]; 5] = [shared, &[PROTO_IPSEC_ESP], &spi, ni, nr];
    let [shared, protocol, spi, ni, nr] = seed;
    let mut block = prf.compute(d.expose(), &[shared, protocol, spi, ni, nr]);
    let mut material = block.expose().to_vec();
    while material.len() < length {
        block = prf.compute(d.expose(), &[block.expose(), shared, protocol, spi, ni, nr]);
        material.extend_from_slice(block.expose());
    }
    material.truncate(length);
    SecretBytes::from(material)
}

/// The keys of one direction's ESP SA: encryption (and salt) first, then integrity (RFC 2407 §4.5, RFC 4106 §8.1).
#[must_use]
pub fn esp_keys(
    prf: Prf,
    d: &SecretBytes,
    suite: &EspSuite,
    shared: Option<&SecretBytes>,
    spi: Spi,
    ni: &[u8],
    nr: &[u8],
) -> EspKeys {
    let (encryption, integrity) = (suite.encryption_key_len(), suite.integrity_key_len());
    let material = keymat(prf, d, shared, spi, ni, nr, encryption + integrity);
    let (first, second) = material.expose().split_at(encryption);
    EspKeys { encryption: first.to_vec().into(), integrity: second.to_vec().into() }
}
