//! Phase 2: ESP alone (RFC 2407 §4.4.4, §4.5; RFC 3602 §5, RFC 4106 §8, RFC 4868 §4).

use super::super::wire::{Attribute, Proposal, ProtocolId, SaPayload, Transform};
use super::{KILOBYTES, MAX_TRANSFORMS, SECONDS, lifetimes, small};
use crate::config::Lifetime;
use crate::proposal::{EspChoice, EspProposal, ProposalDiff};
use crypto::{Cipher, Group, Integrity};
use ipsec::{EspSuite, Spi};
use std::fmt;
use std::time::Duration;

const LIFE_TYPE: u16 = 1;
const LIFE_DURATION: u16 = 2;
const GROUP: u16 = 3;
const MODE: u16 = 4;
const INTEGRITY: u16 = 5;
const KEY_LENGTH: u16 = 6;
/// Life type and life duration.
pub(super) const LIFE: (u16, u16) = (LIFE_TYPE, LIFE_DURATION);
/// Encapsulation mode where none is named.
const TUNNEL: u16 = 1;

/// What quick mode agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Phase2Choice {
    /// Algorithms, and the group of quick mode's own key exchange.
    pub choice: EspChoice,
    /// The other end's inbound SPI.
    pub spi: Spi,
    /// Lifetime in seconds, if named.
    pub lifetime: Option<Duration>,
    /// Lifetime in kilobytes, if named.
    pub kilobytes: Option<u64>,
    proposal: Proposal,
}

impl Phase2Choice {
    /// The responder's SA payload: the chosen transform, unchanged, with its own SPI.
    #[must_use]
    pub fn answer_with(&self, spi: Spi) -> SaPayload {
        SaPayload::new(vec![Proposal { spi: spi.to_be_bytes().to_vec(), ..self.proposal.clone() }])
    }
}

/// Why a responder chooses nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase2Error {
    /// No algorithms in common.
    Diff(ProposalDiff),
    /// The algorithms would do, but not this encapsulation mode.
    Mode {
        /// The peer's.
        theirs: u16,
    },
    /// ESP only together with AH or IPComp.
    Bundle,
}

impl fmt::Display for Phase2Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Phase2Error::Diff(diff) => diff.fmt(f),
            Phase2Error::Mode { theirs } => write!(f, "the peer wants {}", mode_words(*theirs)),
            Phase2Error::Bundle => f.write_str("the peer wants ESP together with AH or IPComp"),
        }
    }
}

/// An encapsulation mode in words.
pub(crate) fn mode_words(mode: u16) -> &'static str {
    match mode {
        1 => "tunnel mode",
        2 => "transport mode",
        3 | 61_443 => "UDP-encapsulated tunnel mode",
        4 | 61_444 => "UDP-encapsulated transport mode",
        _ => "an unknown encapsulation mode",
    }
}

/// A group by number, in the words of a configuration.
pub(super) fn group_words(number: u64) -> String {
    let known = u16::try_from(number).ok().and_then(Group::from_number);
    known.map_or_else(
        || if number == 1 { "modp768".to_owned() } else { format!("group{number}") },
        |g| g.name().to_owned(),
    )
}

/// Transform ID and key length of a cipher.
fn cipher_number(cipher: Cipher) -> Option<(u8, Option<u64>)> {
    match cipher {
        Cipher::Null => Some((11, None)),
        Cipher::AesCbc128 => Some((12, Some(128))),
        Cipher::AesCbc192 => Some((12, Some(192))),
        Cipher::AesCbc256 => Some((12, Some(256))),
        Cipher::AesGcm16_128 => Some((20, Some(128))),
        Cipher::AesGcm16_192 => Some((20, Some(192))),
        Cipher::AesGcm16_256 => Some((20, Some(256))),
        Cipher::ChaCha20Poly1305 => None,
    }
}

fn integrity_number(integrity: Integrity) -> Option<u64> {
    match integrity {
        Integrity::HmacSha1_96 => Some(2),
        Integrity::HmacSha2_256_128 | Integrity::HmacSha2_256_96 => Some(5),
        Integrity::HmacSha2_384_192 => Some(6),
        Integrity::HmacSha2_512_256 => Some(7),
        Integrity::AesXcbc96 => Some(9),
        Integrity::AesCmac96 => None,
    }
}

/// Every choice that a configuration allows and IKEv1 can say, in order of preference.
fn choices(ours: &[EspProposal]) -> Vec<EspChoice> {
    let mut found: Vec<EspChoice> = Vec::new();
    for proposal in ours.iter().filter_map(|proposal| proposal.in_v1().ok()) {
        let groups: Vec<Option<Group>> = match proposal.groups.as_slice() {
            [] => vec![None],
            groups => groups.iter().copied().map(Some).collect(),
        };
        let integrities: Vec<Option<Integrity>> = match proposal.integrities.as_slice() {
            [] => vec![None],
            integrities => integrities.iter().copied().map(Some).collect(),
        };
        for cipher in proposal.ciphers.iter().copied() {
            for integrity in integrities.iter().copied() {
                for group in groups.iter().copied() {
                    let choice = EspChoice { suite: EspSuite { cipher, integrity, esn: false }, group };
                    if !found.contains(&choice) {
                        found.push(choice);
                    }
                }
            }
        }
    }
    found
}

fn transform(number: u8, choice: &EspChoice, lifetime: &Lifetime, mode: u16) -> Option<Transform> {
    let (id, key_bits) = cipher_number(choice.suite.cipher)?;
    let mut attributes = Vec::new();
    if let Some(time) = lifetime.time {
        attributes.extend([Attribute::number(LIFE_TYPE, SECONDS), Attribute::number(LIFE_DURATION, time.as_secs())]);
    }
    if let Some(kilobytes) = lifetime.bytes.map(|bytes| bytes / 1024).filter(|kilobytes| *kilobytes > 0) {
        attributes.extend([Attribute::number(LIFE_TYPE, KILOBYTES), Attribute::number(LIFE_DURATION, kilobytes)]);
    }
    attributes.push(Attribute::number(MODE, u64::from(mode)));
    attributes.extend(choice.suite.integrity.and_then(integrity_number).map(|n| Attribute::number(INTEGRITY, n)));
    attributes.extend(key_bits.map(|bits| Attribute::number(KEY_LENGTH, bits)));
    attributes.extend(choice.group.map(|group| Attribute::number(GROUP, u64::from(group.number()))));
    Some(Transform { number, id, attributes })
}

/// What an initiator offers with one group, or with none: one proposal, a transform per choice. None if nothing of `ours`
/// can be said in IKEv1 with it.
#[must_use]
pub fn phase2_offer(
    ours: &[EspProposal],
    group: Option<Group>,
    lifetime: &Lifetime,
    spi: Spi,
    mode: u16,
) -> Option<SaPayload> {
    let mut wanted = choices(ours);
    wanted.retain(|choice| choice.group == group);
    wanted.truncate(MAX_TRANSFORMS);
    let numbered = (1..=u8::MAX).zip(&wanted);
    let transforms: Vec<Transform> =
        numbered.filter_map(|(number, choice)| transform(number, choice, lifetime, mode)).collect();
    if transforms.is_empty() {
        return None;
    }
    let spi = spi.to_be_bytes().to_vec();
    Some(SaPayload::new(vec![Proposal { number: 1, protocol: ProtocolId::Esp, spi, transforms }]))
}

/// A transform as we understand it.
struct Offer {
    id: u8,
    key_bits: Option<u64>,
    integrity: Option<u64>,
    group: Option<u64>,
    mode: u16,
}

fn read(transform: &Transform) -> Option<Offer> {
    const KNOWN: [u16; 6] = [LIFE_TYPE, LIFE_DURATION, GROUP, MODE, INTEGRITY, KEY_LENGTH];
    if !transform.attributes.iter().all(|attribute| KNOWN.contains(&attribute.ty)) {
        return None;
    }
    Some(Offer {
        id: transform.id,
        key_bits: small(transform, KEY_LENGTH),
        integrity: small(transform, INTEGRITY),
        group: small(transform, GROUP),
        mode: small(transform, MODE).map_or(Some(TUNNEL), |mode| u16::try_from(mode).ok())?,
    })
}

impl Offer {
    /// In what it differs from a choice of ours, the encapsulation mode aside.
    fn differs(&self, choice: &EspChoice) -> Vec<&'static str> {
        let mut fields = Vec::new();
        if Some((self.id, self.key_bits)) != cipher_number(choice.suite.cipher) {
            fields.push("encryption");
        }
        if self.integrity != choice.suite.integrity.and_then(integrity_number) {
            fields.push("integrity");
        }
        if self.group != choice.group.map(|group| u64::from(group.number())) {
            fields.push("dh_group");
        }
        fields
    }

    fn words(&self) -> String {
        let bits = self.key_bits.map_or_else(String::new, |bits| bits.to_string());
        let cipher = match self.id {
            2 => "des".to_owned(),
            3 => "3des".to_owned(),
            6 => "cast".to_owned(),
            7 => "blowfish".to_owned(),
            11 => "null".to_owned(),
            12 => format!("aes{bits}"),
            13 => format!("aes{bits}ctr"),
            18 => format!("aes{bits}gcm8"),
            19 => format!("aes{bits}gcm12"),
            20 => format!("aes{bits}gcm16"),
            other => format!("encr{other}"),
        };
        let integrity = self.integrity.map(|number| match number {
            1 => "md5".to_owned(),
            2 => "sha1".to_owned(),
            5 => "sha256".to_owned(),
            6 => "sha384".to_owned(),
            7 => "sha512".to_owned(),
            9 => "aesxcbc".to_owned(),
            other => format!("integ{other}"),
        });
        let parts = [Some(cipher), integrity, self.group.map(group_words)];
        parts.into_iter().flatten().collect::<Vec<_>>().join("-")
    }
}

fn describe(theirs: &SaPayload) -> Vec<String> {
    let transforms = theirs.proposals.iter().flat_map(|proposal| &proposal.transforms);
    transforms
        .map(|transform| read(transform).map_or_else(|| "an unknown transform".to_owned(), |o| o.words()))
        .collect()
}

/// Every transform of ESP alone that we understand, with its proposal.
fn offers(theirs: &SaPayload) -> Vec<(&Proposal, &Transform, Offer)> {
    let alone = |proposal: &&Proposal| {
        theirs.proposals.iter().filter(|other| other.number == proposal.number).count() == 1
            && proposal.protocol == ProtocolId::Esp
    };
    let all = theirs
        .proposals
        .iter()
        .filter(alone)
        .flat_map(|proposal| proposal.transforms.iter().map(move |transform| (proposal, transform)));
    all.filter_map(|(proposal, transform)| Some((proposal, transform, read(transform)?))).collect()
}

fn difference(ours: &[EspChoice], theirs: &SaPayload, is_answer: bool) -> ProposalDiff {
    let found = offers(theirs);
    let pairs = ours.iter().flat_map(|choice| found.iter().map(move |(_, _, offer)| offer.differs(choice)));
    let closest = pairs.min_by_key(Vec::len).unwrap_or_default();
    let words: Vec<String> = ours.iter().map(ToString::to_string).collect();
    ProposalDiff::from_words(&words, &describe(theirs), is_answer, closest)
}

fn spi_of(proposal: &Proposal) -> Option<Spi> {
    Spi::new(u32::from_be_bytes(proposal.spi.as_slice().try_into().ok()?))
}

fn chosen(choice: &EspChoice, spi: Spi, proposal: &Proposal, transform: &Transform) -> Phase2Choice {
    let (lifetime, kilobytes) = lifetimes(&transform.attributes, LIFE);
    let proposal = Proposal { transforms: vec![transform.clone()], ..proposal.clone() };
    Phase2Choice { choice: *choice, spi, lifetime, kilobytes, proposal }
}

/// The responder's choice. `ke_present`: the message has a key exchange, which must agree with the group; `modes`: the
/// encapsulation modes that this path allows.
///
/// # Errors
/// [`Phase2Error`]: nothing in common, or nothing but for the encapsulation mode or a second protocol.
pub fn select_phase2(
    ours: &[EspProposal],
    theirs: &SaPayload,
    ke_present: bool,
    modes: &[u16],
) -> Result<Phase2Choice, Phase2Error> {
    let choices = choices(ours);
    let found = offers(theirs);
    let mut other_mode = None;
    for choice in &choices {
        for (proposal, transform, offer) in &found {
            let Some(spi) = spi_of(proposal) else { continue };
            if !offer.differs(choice).is_empty() || choice.group.is_some() != ke_present {
                continue;
            }
            if modes.contains(&offer.mode) {
                return Ok(chosen(choice, spi, proposal, transform));
            }
            other_mode.get_or_insert(offer.mode);
        }
    }
    let bundled = found.is_empty() && theirs.proposals.iter().any(|proposal| proposal.protocol != ProtocolId::Esp);
    Err(match other_mode {
        Some(theirs) => Phase2Error::Mode { theirs },
        None if bundled => Phase2Error::Bundle,
        None => Phase2Error::Diff(difference(&choices, theirs, false)),
    })
}

/// The initiator's check: exactly one transform, and one of those that were offered, in the mode that was offered. Another
/// lifetime alone is tolerated.
///
/// # Errors
/// [`ProposalDiff`] if the answer is none to our offer.
pub fn accept_phase2(
    offered: &SaPayload,
    ours: &[EspProposal],
    answer: &SaPayload,
) -> Result<Phase2Choice, ProposalDiff> {
    let choices = choices(ours);
    let broken = || difference(&choices, answer, true);
    let [proposal] = answer.proposals.as_slice() else { return Err(broken()) };
    let [transform] = proposal.transforms.as_slice() else { return Err(broken()) };
    let (offer, spi) = (read(transform).ok_or_else(broken)?, spi_of(proposal).ok_or_else(broken)?);
    let found = offers(offered);
    let choice = choices.iter().find(|choice| {
        let was_offered = |(_, _, ours): &(_, _, Offer)| ours.differs(choice).is_empty() && ours.mode == offer.mode;
        offer.differs(choice).is_empty() && found.iter().any(was_offered)
    });
    match choice {
        Some(choice) if proposal.protocol == ProtocolId::Esp => Ok(chosen(choice, spi, proposal, transform)),
        _ => Err(broken()),
    }
}
