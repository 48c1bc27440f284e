//! Every key of IKEv2: SKEYSEED, the seven SK_*, child keys and the pre-shared-key AUTH (RFC 7296 §2.13–§2.18).
//!
//! ```text
//! SKEYSEED = prf(Ni | Nr, g^ir)                     first SA, §2.14
//! SKEYSEED = prf(SK_d (old), g^ir (new) | Ni | Nr)  rekeyed SA, with the old SA's PRF, §2.18
//! {SK_d | SK_ai | SK_ar | SK_ei | SK_er | SK_pi | SK_pr} = prf+(SKEYSEED, Ni | Nr | SPIi | SPIr)
//! KEYMAT = prf+(SK_d, [g^ir (new) |] Ni | Nr)       child SA, §2.17
//! ```

use crypto::{CryptoError, Integrity, Prf, SecretBytes};
use ipsec::{EspKeys, EspSuite};

use crate::proposal::IkeSuite;
use crate::wire::IkeSpi;

/// The keys of one IKE SA, named as in RFC 7296 §2.14 without the `SK_`.
#[derive(Debug, Clone)]
pub struct IkeKeys {
    /// Derives the keys of child SAs and of the SA that follows this one.
    pub d: SecretBytes,
    /// Integrity of what the original initiator sends; empty with an AEAD cipher.
    pub ai: SecretBytes,
    /// Integrity of what the original responder sends; empty with an AEAD cipher.
    pub ar: SecretBytes,
    /// Encryption of what the original initiator sends; the salt of an AEAD cipher at its end (RFC 5282 §7).
    pub ei: SecretBytes,
    /// Encryption of what the original responder sends.
    pub er: SecretBytes,
    /// AUTH of the original initiator.
    pub pi: SecretBytes,
    /// AUTH of the original responder.
    pub pr: SecretBytes,
}

/// The keys of a pair of ESP SAs.
#[derive(Debug, Clone)]
pub struct ChildKeys {
    /// From the initiator of the exchange which made this child to its responder.
    pub initiator: EspKeys,
    /// From the responder to the initiator.
    pub responder: EspKeys,
}

/// The keys of a first IKE SA (RFC 7296 §2.14). `shared` is g^ir, padded to the group's length.
///
/// # Errors
/// None with the suites there are; whatever prf+ refuses.
pub fn derive_ike(
    suite: &IkeSuite,
    shared: &SecretBytes,
    ni: &[u8],
    nr: &[u8],
    spi_i: IkeSpi,
    spi_r: IkeSpi,
) -> Result<IkeKeys, CryptoError> {
    // "if the negotiated PRF is AES-XCBC-PRF-128 or AES-CMAC-PRF-128, only the first 64 bits of Ni and the first
    // 64 bits of Nr are used in calculating SKEYSEED, but all the bits are used for input to the prf+ function".
    let key_part = |nonce: &[u8]| match suite.prf.fixed_key_len() {
        Some(len) => nonce.get(..len / 2).unwrap_or(nonce).to_vec(),
        None => nonce.to_vec(),
    };
    let skeyseed = suite.prf.compute(&[key_part(ni), key_part(nr)].concat(), &[shared.expose()]);
    expand(suite, &skeyseed, ni, nr, spi_i, spi_r)
}

/// The keys of an IKE SA which replaces another (RFC 7296 §2.18). `old_prf` and `old_d` are the replaced SA's, the rest
/// is the new one's: nonces, SPIs and shared secret of the CREATE_CHILD_SA exchange, by its own initiator and responder.
///
/// # Errors
/// As [`derive_ike`].
#[allow(clippy::too_many_arguments)] // the inputs of §2.18, all different
pub fn derive_ike_rekey(
    old_prf: Prf,
    old_d: &SecretBytes,
    suite: &IkeSuite,
    shared: &SecretBytes,
    ni: &[u8],
    nr: &[u8],
    spi_i: IkeSpi,
    spi_r: IkeSpi,
) -> Result<IkeKeys, CryptoError> {
    let skeyseed = old_prf.compute(old_d.expose(), &[shared.expose(), ni, nr]);
    expand(suite, &skeyseed, ni, nr, spi_i, spi_r)
}

fn expand(
    suite: &IkeSuite,
    skeyseed: &SecretBytes,
    ni: &[u8],
    nr: &[u8],
    spi_i: IkeSpi,
    spi_r: IkeSpi,
) -> Result<IkeKeys, CryptoError> {
    let prf_len = suite.prf.preferred_key_len();
    let integrity_len = suite.integrity.map_or(0, Integrity::key_len);
    let cipher_len = suite.cipher.key_len() + suite.cipher.salt_len();
    let lengths = [prf_len, integrity_len, integrity_len, cipher_len, cipher_len, prf_len, prf_len];
    let seed = [ni, nr, spi_i.0.as_slice(), spi_r.0.as_slice()];
    let [d, ai, ar, ei, er, pi, pr] = key_material(suite.prf, skeyseed, &seed, lengths)?;
    Ok(IkeKeys { d, ai, ar, ei, er, pi, pr })
}

/// The keys of a child SA (RFC 7296 §2.17). `shared` is the exchange's own g^ir, if it had a KE payload; nonces are those
/// of the exchange which made the child, IKE_SA_INIT's for the first. Keys for data from its initiator come first.
///
/// # Errors
/// As [`derive_ike`].
pub fn derive_child(
    prf: Prf,
    sk_d: &SecretBytes,
    suite: &EspSuite,
    shared: Option<&SecretBytes>,
    ni: &[u8],
    nr: &[u8],
) -> Result<ChildKeys, CryptoError> {
    let (encryption, integrity) = (suite.encryption_key_len(), suite.integrity_key_len());
    let seed = [shared.map_or(&[][..], SecretBytes::expose), ni, nr];
    let [ei, ai, er, ar] = key_material(prf, sk_d, &seed, [encryption, integrity, encryption, integrity])?;
    Ok(ChildKeys {
        initiator: EspKeys { encryption: ei, integrity: ai },
        responder: EspKeys { encryption: er, integrity: ar },
    })
}

/// The AUTH data of a pre-shared key (RFC 7296 §2.15):
/// `prf(prf(secret, "Key Pad for IKEv2"), first message | peer's nonce | prf(SK_p, ID octets))`.
///
/// For the initiator's AUTH: its IKE_SA_INIT request as last sent, Nr, SK_pi and the body of IDi
/// ([`crate::wire::IdPayload::octets`]); for the responder's its response, Ni, SK_pr and IDr.
#[must_use]
pub fn psk_auth(
    prf: Prf,
    psk: &SecretBytes,
    first_message: &[u8],
    peer_nonce: &[u8],
    sk_p: &SecretBytes,
    id_octets: &[u8],
) -> SecretBytes {
    let key = prf.compute(psk.expose(), &[b"Key Pad for IKEv2"]);
    let maced_id = prf.compute(sk_p.expose(), &[id_octets]);
    prf.compute(key.expose(), &[first_message, peer_nonce, maced_id.expose()])
}

/// prf+ cut into keys of these lengths, in order.
fn key_material<const N: usize>(
    prf: Prf,
    key: &SecretBytes,
    seed: &[&[u8]],
    lengths: [usize; N],
) -> Result<[SecretBytes; N], CryptoError> {
    let mut material = vec![0; lengths.iter().sum()];
    prf.plus(key.expose(), seed, &mut material)?;
    // Wipes the whole when it goes out of scope.
    let material = SecretBytes::from(material);
    let mut rest = material.expose();
    Ok(lengths.map(|length| {
        let (head, tail) = rest.split_at(length);
        rest = tail;
        SecretBytes::from(head.to_vec())
    }))
}
