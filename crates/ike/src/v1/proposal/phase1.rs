//! Phase 1 (RFC 2409 appendix A).

use super::super::wire::{Attribute, Proposal, ProtocolId, SaPayload, Transform};
use super::{MAX_TRANSFORMS, SECONDS, lifetimes, small};
use crate::config::Lifetime;
use crate::proposal::{IkeProposal, IkeSuite, ProposalDiff, prf_of};
use crypto::{Cipher, Group, Integrity};
use std::time::Duration;

const ENCRYPTION: u16 = 1;
const HASH: u16 = 2;
const AUTHENTICATION: u16 = 3;
const GROUP: u16 = 4;
const LIFE_TYPE: u16 = 11;
const LIFE_DURATION: u16 = 12;
const KEY_LENGTH: u16 = 14;
/// Life type and life duration.
pub(super) const LIFE: (u16, u16) = (LIFE_TYPE, LIFE_DURATION);
/// KEY_IKE, the only transform of phase 1 (RFC 2407 §4.4.2).
const KEY_IKE: u8 = 1;
const PRE_SHARED_KEY: u64 = 1;
/// Authentication methods with XAUTH behind them.
const XAUTH: std::ops::RangeInclusive<u64> = 65_001..=65_010;
const AES_CBC: u64 = 7;

/// What phase 1 agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Phase1Choice {
    /// Algorithms. Integrity names the hash, the PRF is its HMAC.
    pub suite: IkeSuite,
    /// Lifetime in seconds, if named.
    pub lifetime: Option<Duration>,
    /// Lifetime in kilobytes, if named.
    pub kilobytes: Option<u64>,
    /// The responder's SA payload.
    pub answer: SaPayload,
}

/// Why a responder chooses nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase1Error {
    /// No algorithms in common.
    Diff(ProposalDiff),
    /// The algorithms would do, but XAUTH must follow.
    Xauth,
    /// The algorithms would do, but not this authentication method.
    Authentication(u64),
}

fn hash_number(integrity: Integrity) -> Option<u64> {
    match integrity {
        Integrity::HmacSha1_96 => Some(2),
        Integrity::HmacSha2_256_128 => Some(4),
        Integrity::HmacSha2_384_192 => Some(5),
        Integrity::HmacSha2_512_256 => Some(6),
        Integrity::HmacSha2_256_96 | Integrity::AesXcbc96 | Integrity::AesCmac96 => None,
    }
}

fn key_bits(cipher: Cipher) -> Option<u64> {
    match cipher {
        Cipher::AesCbc128 => Some(128),
        Cipher::AesCbc192 => Some(192),
        Cipher::AesCbc256 => Some(256),
        Cipher::Null
        | Cipher::AesGcm16_128
        | Cipher::AesGcm16_192
        | Cipher::AesGcm16_256
        | Cipher::ChaCha20Poly1305 => None,
    }
}

/// Every suite that a configuration allows and IKEv1 can say, in order of preference.
fn suites(ours: &[IkeProposal]) -> Vec<IkeSuite> {
    let mut found: Vec<IkeSuite> = Vec::new();
    for proposal in ours.iter().filter_map(|proposal| proposal.in_v1().ok()) {
        for cipher in proposal.ciphers.iter().copied() {
            for integrity in proposal.integrities.iter().copied() {
                for group in proposal.groups.iter().copied() {
                    let suite = IkeSuite { cipher, integrity: Some(integrity), prf: prf_of(integrity), group };
                    if !found.contains(&suite) {
                        found.push(suite);
                    }
                }
            }
        }
    }
    found
}

fn transform(number: u8, suite: &IkeSuite, lifetime: &Lifetime) -> Transform {
    let mut attributes = vec![
        Attribute::number(ENCRYPTION, AES_CBC),
        Attribute::number(KEY_LENGTH, key_bits(suite.cipher).unwrap_or_default()),
        Attribute::number(HASH, suite.integrity.and_then(hash_number).unwrap_or_default()),
        Attribute::number(AUTHENTICATION, PRE_SHARED_KEY),
        Attribute::number(GROUP, u64::from(suite.group.number())),
    ];
    if let Some(time) = lifetime.time {
        attributes.extend([Attribute::number(LIFE_TYPE, SECONDS), Attribute::number(LIFE_DURATION, time.as_secs())]);
    }
    Transform { number, id: KEY_IKE, attributes }
}

/// What an initiator offers: every suite of `ours`, of one group where aggressive mode wants it. None if nothing of it can
/// be said in IKEv1.
#[must_use]
pub fn phase1_offer(ours: &[IkeProposal], lifetime: &Lifetime, only_group: Option<Group>) -> Option<SaPayload> {
    let mut wanted = suites(ours);
    wanted.retain(|suite| only_group.is_none_or(|group| suite.group == group));
    wanted.truncate(MAX_TRANSFORMS);
    if wanted.is_empty() {
        return None;
    }
    let transforms = (1..=u8::MAX).zip(&wanted).map(|(number, suite)| transform(number, suite, lifetime)).collect();
    Some(SaPayload::new(vec![Proposal { number: 1, protocol: ProtocolId::Isakmp, spi: Vec::new(), transforms }]))
}

/// A transform as we understand it.
struct Offer {
    encryption: u64,
    key_bits: Option<u64>,
    hash: u64,
    authentication: u64,
    group: u64,
}

fn read(transform: &Transform) -> Option<Offer> {
    const KNOWN: [u16; 7] = [ENCRYPTION, HASH, AUTHENTICATION, GROUP, LIFE_TYPE, LIFE_DURATION, KEY_LENGTH];
    let known = transform.attributes.iter().all(|attribute| KNOWN.contains(&attribute.ty));
    if transform.id != KEY_IKE || !known {
        return None;
    }
    Some(Offer {
        encryption: small(transform, ENCRYPTION)?,
        key_bits: small(transform, KEY_LENGTH),
        hash: small(transform, HASH)?,
        authentication: small(transform, AUTHENTICATION)?,
        group: small(transform, GROUP)?,
    })
}

impl Offer {
    /// In what it differs from a suite of ours.
    fn differs(&self, suite: &IkeSuite) -> Vec<&'static str> {
        let mut fields = Vec::new();
        if self.encryption != AES_CBC || self.key_bits != key_bits(suite.cipher) {
            fields.push("encryption");
        }
        if Some(self.hash) != suite.integrity.and_then(hash_number) {
            fields.push("integrity");
        }
        if self.group != u64::from(suite.group.number()) {
            fields.push("dh_group");
        }
        fields
    }

    fn words(&self) -> String {
        let bits = self.key_bits.map_or_else(|| "(no key length)".to_owned(), |bits| bits.to_string());
        let cipher = match self.encryption {
            1 => "des".to_owned(),
            2 => "idea".to_owned(),
            3 => "blowfish".to_owned(),
            5 => "3des".to_owned(),
            6 => "cast".to_owned(),
            7 => format!("aes{bits}"),
            8 => format!("camellia{bits}"),
            other => format!("encr{other}"),
        };
        let hash = match self.hash {
            1 => "md5".to_owned(),
            2 => "sha1".to_owned(),
            3 => "tiger".to_owned(),
            4 => "sha256".to_owned(),
            5 => "sha384".to_owned(),
            6 => "sha512".to_owned(),
            other => format!("hash{other}"),
        };
        let method = match self.authentication {
            PRE_SHARED_KEY => String::new(),
            3 => " with RSA signatures".to_owned(),
            method if XAUTH.contains(&method) => " with XAUTH".to_owned(),
            other => format!(" with authentication method {other}"),
        };
        format!("{cipher}-{hash}-{}{method}", super::phase2::group_words(self.group))
    }
}

fn describe(theirs: &SaPayload) -> Vec<String> {
    let transforms = theirs.proposals.iter().flat_map(|proposal| &proposal.transforms);
    transforms
        .map(|transform| read(transform).map_or_else(|| "an unknown transform".to_owned(), |o| o.words()))
        .collect()
}

fn our_words(suites: &[IkeSuite]) -> Vec<String> {
    suites.iter().map(ToString::to_string).collect()
}

/// Every transform of an offer that we understand, with its proposal.
fn offers(theirs: &SaPayload) -> Vec<(&Proposal, &Transform, Offer)> {
    let isakmp = theirs.proposals.iter().filter(|proposal| proposal.protocol == ProtocolId::Isakmp);
    let all = isakmp.flat_map(|proposal| proposal.transforms.iter().map(move |transform| (proposal, transform)));
    all.filter_map(|(proposal, transform)| Some((proposal, transform, read(transform)?))).collect()
}

fn difference(ours: &[IkeSuite], theirs: &SaPayload, is_answer: bool) -> ProposalDiff {
    let found = offers(theirs);
    let pairs = ours.iter().flat_map(|suite| found.iter().map(move |(_, _, offer)| offer.differs(suite)));
    let closest = pairs.min_by_key(Vec::len).unwrap_or_default();
    ProposalDiff::from_words(&our_words(ours), &describe(theirs), is_answer, closest)
}

/// The responder's choice.
///
/// # Errors
/// [`Phase1Error`]: nothing in common, or nothing but for the authentication method.
pub fn select_phase1(ours: &[IkeProposal], theirs: &SaPayload) -> Result<Phase1Choice, Phase1Error> {
    let suites = suites(ours);
    let found = offers(theirs);
    let mut other_method = None;
    for suite in &suites {
        for (proposal, transform, offer) in &found {
            if !offer.differs(suite).is_empty() {
                continue;
            }
            if offer.authentication == PRE_SHARED_KEY {
                return Ok(choice(suite, proposal, transform));
            }
            other_method.get_or_insert(offer.authentication);
        }
    }
    Err(match other_method {
        Some(method) if XAUTH.contains(&method) => Phase1Error::Xauth,
        Some(method) => Phase1Error::Authentication(method),
        None => Phase1Error::Diff(difference(&suites, theirs, false)),
    })
}

fn choice(suite: &IkeSuite, proposal: &Proposal, transform: &Transform) -> Phase1Choice {
    let (lifetime, kilobytes) = lifetimes(&transform.attributes, LIFE);
    let chosen = Proposal { transforms: vec![transform.clone()], ..proposal.clone() };
    Phase1Choice { suite: *suite, lifetime, kilobytes, answer: SaPayload::new(vec![chosen]) }
}

/// The initiator's check: exactly one transform, and one of those that were offered. Another lifetime alone is tolerated:
/// some responders put theirs in.
///
/// # Errors
/// [`ProposalDiff`] if the answer is none to our offer.
pub fn accept_phase1(
    offered: &SaPayload,
    ours: &[IkeProposal],
    answer: &SaPayload,
) -> Result<Phase1Choice, ProposalDiff> {
    let suites = suites(ours);
    let broken = || difference(&suites, answer, true);
    let [proposal] = answer.proposals.as_slice() else { return Err(broken()) };
    let [transform] = proposal.transforms.as_slice() else { return Err(broken()) };
    let offer = read(transform).filter(|offer| offer.authentication == PRE_SHARED_KEY).ok_or_else(broken)?;
    if proposal.protocol != ProtocolId::Isakmp {
        return Err(broken());
    }
    let matching = |offer: &Offer| suites.iter().find(|suite| offer.differs(suite).is_empty());
    let suite = matching(&offer).ok_or_else(broken)?;
    // It must have been in this offer: aggressive mode offers one group only.
    let was_offered = offers(offered).iter().any(|(_, _, ours)| ours.differs(suite).is_empty());
    if was_offered { Ok(choice(suite, proposal, transform)) } else { Err(broken()) }
}
