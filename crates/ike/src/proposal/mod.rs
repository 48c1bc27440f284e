//! Algorithms: what a person configures, what goes on the wire, and what two ends agree on (RFC 7296 §2.7, §3.3.6).
//!
//! ```text
//! "aes256-sha256-modp2048" ─ parse ─► IkeProposal ─ ike_to_wire ─► SA payload ─► select_ike (responder) ─► SelectedIke
//!                                                                               accept_ike (initiator) ─► IkeSuite
//! ```
//!
//! Rules that are easy to get wrong and are kept here:
//! - AEAD ciphers carry their own integrity: no INTEG transform, or NONE; never in one proposal with others (RFC 5282 §8).
//! - Key Length is mandatory for AES and forbidden for ChaCha20-Poly1305 (RFC 7296 §3.3.5, RFC 7634 §4).
//! - An unknown transform type makes one proposal unusable, an unknown attribute one transform (RFC 7296 §3.3.6).
//! - Any numbering of proposals is accepted; the answer repeats the chosen number.
//! - Our order of preference decides, as responder too.
//! - An ESP proposal without an ESN transform counts as "no ESN": the RFC makes it mandatory, some peers leave it out.
//! - D-H NONE and no D-H transform mean the same; so do INTEG NONE and no INTEG transform.

mod diff;
mod matching;
mod numbers;
mod select;
mod versions;
mod words;

use std::fmt;

use crypto::{Cipher, Group, Integrity, Prf};
use ipsec::EspSuite;

pub use diff::ProposalDiff;
pub(crate) use diff::{alternatives, in_words, joined};
pub(crate) use matching::Field;
pub use select::{SelectedEsp, SelectedIke, accept_esp, accept_ike, esp_to_wire, ike_to_wire, select_esp, select_ike};
pub use words::ProposalError;
pub(crate) use words::prf_of;

/// Algorithms for an IKE SA; each list in order of preference.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IkeProposal {
    /// Either AEAD ciphers or others, never both.
    pub ciphers: Vec<Cipher>,
    /// Empty with AEAD ciphers.
    pub integrities: Vec<Integrity>,
    /// Pseudorandom functions, at least one.
    pub prfs: Vec<Prf>,
    /// Diffie-Hellman groups, at least one.
    pub groups: Vec<Group>,
}

/// Algorithms for ESP; each list in order of preference.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EspProposal {
    /// Either AEAD ciphers or others, never both.
    pub ciphers: Vec<Cipher>,
    /// Empty with AEAD ciphers.
    pub integrities: Vec<Integrity>,
    /// Groups for perfect forward secrecy; empty means none is done. Not used in IKE_AUTH.
    pub groups: Vec<Group>,
    /// Extended sequence numbers: `[false]`, `[true]`, or both in order of preference.
    pub esn: Vec<bool>,
}

/// The algorithms of one IKE SA.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IkeSuite {
    /// Protects the SK payload.
    pub cipher: Cipher,
    /// `None` with an AEAD cipher and only then.
    pub integrity: Option<Integrity>,
    /// Derives all keys.
    pub prf: Prf,
    /// The key exchange.
    pub group: Group,
}

/// The algorithms of one child SA.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EspChoice {
    /// What protects packets.
    pub suite: EspSuite,
    /// The child's own key exchange, if it has one (PFS).
    pub group: Option<Group>,
}

const DEFAULT_GROUPS: [Group; 6] =
    [Group::Curve25519, Group::Ecp384, Group::Ecp256, Group::Modp2048, Group::Modp3072, Group::Modp4096];
const DEFAULT_AEAD: [Cipher; 3] = [Cipher::AesGcm16_256, Cipher::AesGcm16_128, Cipher::ChaCha20Poly1305];
const DEFAULT_CBC: [Cipher; 2] = [Cipher::AesCbc256, Cipher::AesCbc128];
const DEFAULT_INTEGRITIES: [Integrity; 3] =
    [Integrity::HmacSha2_256_128, Integrity::HmacSha2_384_192, Integrity::HmacSha2_512_256];
const DEFAULT_PRFS: [Prf; 3] = [Prf::HmacSha2_256, Prf::HmacSha2_384, Prf::HmacSha2_512];

impl IkeProposal {
    /// A proposal whose lists belong together.
    ///
    /// # Errors
    /// An empty list that must not be, AEAD ciphers together with others or with integrity algorithms, or NULL.
    pub fn new(
        ciphers: Vec<Cipher>,
        integrities: Vec<Integrity>,
        prfs: Vec<Prf>,
        groups: Vec<Group>,
    ) -> Result<Self, ProposalError> {
        words::check_pairing(&ciphers, &integrities, false)?;
        if prfs.is_empty() {
            return Err(ProposalError::MissingPrf);
        }
        if groups.is_empty() {
            return Err(ProposalError::MissingGroup);
        }
        Ok(IkeProposal { ciphers, integrities, prfs, groups })
    }

    /// What is offered and accepted where nothing is configured: AES-GCM and ChaCha20-Poly1305, then AES-CBC with SHA-2.
    #[must_use]
    pub fn defaults() -> Vec<IkeProposal> {
        let proposal = |ciphers: &[Cipher], integrities: &[Integrity]| IkeProposal {
            ciphers: ciphers.to_vec(),
            integrities: integrities.to_vec(),
            prfs: DEFAULT_PRFS.to_vec(),
            groups: DEFAULT_GROUPS.to_vec(),
        };
        vec![proposal(&DEFAULT_AEAD, &[]), proposal(&DEFAULT_CBC, &DEFAULT_INTEGRITIES)]
    }

    /// Why these algorithms should not be used any more; empty if nothing is wrong with them (RFC 8247).
    #[must_use]
    pub fn is_weak(&self) -> Vec<&'static str> {
        let mut reasons = weaknesses(&[], &self.integrities, &self.groups);
        if self.prfs.contains(&Prf::HmacSha1) && !self.integrities.contains(&Integrity::HmacSha1_96) {
            reasons.push("prfsha1: SHA-1 is being phased out");
        }
        reasons
    }
}

impl EspProposal {
    /// A proposal whose lists belong together. An empty `esn` stands for `[false]`.
    ///
    /// # Errors
    /// No cipher, AEAD ciphers together with others or with integrity algorithms, or others without one.
    pub fn new(
        ciphers: Vec<Cipher>,
        integrities: Vec<Integrity>,
        groups: Vec<Group>,
        mut esn: Vec<bool>,
    ) -> Result<Self, ProposalError> {
        words::check_pairing(&ciphers, &integrities, true)?;
        if esn.is_empty() {
            esn.push(false);
        }
        Ok(EspProposal { ciphers, integrities, groups, esn })
    }

    /// What is offered and accepted where nothing is configured. Perfect forward secrecy is preferred, and a peer
    /// without it is accepted: a mismatch would show only at the first rekey, hours after the tunnel came up.
    #[must_use]
    pub fn defaults() -> Vec<EspProposal> {
        let proposal = |ciphers: &[Cipher], integrities: &[Integrity], groups: &[Group]| EspProposal {
            ciphers: ciphers.to_vec(),
            integrities: integrities.to_vec(),
            groups: groups.to_vec(),
            esn: vec![true, false],
        };
        vec![
            proposal(&DEFAULT_AEAD, &[], &DEFAULT_GROUPS),
            proposal(&DEFAULT_CBC, &DEFAULT_INTEGRITIES, &DEFAULT_GROUPS),
            proposal(&DEFAULT_AEAD, &[], &[]),
            proposal(&DEFAULT_CBC, &DEFAULT_INTEGRITIES, &[]),
        ]
    }

    /// Why these algorithms should not be used any more; empty if nothing is wrong with them (RFC 8221).
    #[must_use]
    pub fn is_weak(&self) -> Vec<&'static str> {
        weaknesses(&self.ciphers, &self.integrities, &self.groups)
    }
}

impl IkeSuite {
    /// Why what was agreed should not be used any more, as [`IkeProposal::is_weak`].
    #[must_use]
    pub fn is_weak(&self) -> Vec<&'static str> {
        let proposal = IkeProposal {
            ciphers: vec![self.cipher],
            integrities: self.integrity.into_iter().collect(),
            prfs: vec![self.prf],
            groups: vec![self.group],
        };
        proposal.is_weak()
    }
}

impl EspChoice {
    /// Why what was agreed should not be used any more, as [`EspProposal::is_weak`].
    #[must_use]
    pub fn is_weak(&self) -> Vec<&'static str> {
        let integrity: Vec<Integrity> = self.suite.integrity.into_iter().collect();
        let group: Vec<Group> = self.group.into_iter().collect();
        weaknesses(&[self.suite.cipher], &integrity, &group)
    }
}

fn weaknesses(ciphers: &[Cipher], integrities: &[Integrity], groups: &[Group]) -> Vec<&'static str> {
    let mut reasons = Vec::new();
    if ciphers.contains(&Cipher::Null) {
        reasons.push("null: packets are not encrypted");
    }
    if integrities.contains(&Integrity::HmacSha1_96) {
        reasons.push("sha1: SHA-1 is being phased out");
    }
    if integrities.contains(&Integrity::HmacSha2_256_96) {
        reasons.push("sha256_96: 96 of 128 bits of integrity");
    }
    for group in groups {
        reasons.extend(match group {
            Group::Modp1024 => Some("modp1024: 1024 bits can be broken by a state"),
            Group::Modp1536 => Some("modp1536: 1536 bits are too few"),
            Group::Modp1024S160 => Some("modp1024s160: 1024 bits, of unexplained origin"),
            Group::Modp2048S224 => Some("modp2048s224: a small subgroup, of unexplained origin"),
            Group::Modp2048S256 => Some("modp2048s256: a small subgroup, of unexplained origin"),
            Group::Modp2048
            | Group::Modp3072
            | Group::Modp4096
            | Group::Modp6144
            | Group::Modp8192
            | Group::Ecp256
            | Group::Ecp384
            | Group::Ecp521
            | Group::Curve25519 => None,
        });
    }
    reasons
}

fn esn_word(esn: bool) -> &'static str {
    if esn { "esn" } else { "noesn" }
}

fn write_words(f: &mut fmt::Formatter<'_>, words: &[&str]) -> fmt::Result {
    f.write_str(&words.join("-"))
}

impl fmt::Display for IkeProposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let derived: Vec<Prf> = self.integrities.iter().copied().map(words::prf_of).collect();
        let mut words: Vec<&str> = self.ciphers.iter().map(|cipher| cipher.name()).collect();
        words.extend(self.integrities.iter().map(|integrity| integrity.name()));
        if self.prfs != derived {
            words.extend(self.prfs.iter().map(|prf| prf.name()));
        }
        words.extend(self.groups.iter().map(|group| group.name()));
        write_words(f, &words)
    }
}

impl fmt::Display for EspProposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words: Vec<&str> = self.ciphers.iter().map(|cipher| cipher.name()).collect();
        words.extend(self.integrities.iter().map(|integrity| integrity.name()));
        words.extend(self.groups.iter().map(|group| group.name()));
        if self.esn != [false] {
            words.extend(self.esn.iter().map(|esn| esn_word(*esn)));
        }
        write_words(f, &words)
    }
}

impl fmt::Display for IkeSuite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = vec![self.cipher.name()];
        words.extend(self.integrity.map(Integrity::name));
        if self.integrity.map(words::prf_of) != Some(self.prf) {
            words.push(self.prf.name());
        }
        words.push(self.group.name());
        write_words(f, &words)
    }
}

impl fmt::Display for EspChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = vec![self.suite.cipher.name()];
        words.extend(self.suite.integrity.map(Integrity::name));
        words.extend(self.group.map(Group::name));
        if self.suite.esn {
            words.push(esn_word(true));
        }
        write_words(f, &words)
    }
}
