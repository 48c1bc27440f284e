//! Proposals for the ISAKMP SA (RFC 2409 §5, appendix A).

use std::time::Duration;

use crypto::{Cipher, Group, Integrity, Prf};

use super::attributes::{LIFE_OF_PHASE_1, Meaning, Said};
use super::{Closest, numbers};
use crate::config::Lifetime;
use crate::proposal::{Field, IkeProposal, IkeSuite, ProposalDiff, alternatives, prf_of};
use crate::v1::wire::{Attribute, Proposal, ProtocolId, SaPayload, Transform};

const ENCRYPTION: u16 = 1;
const HASH: u16 = 2;
const AUTHENTICATION_METHOD: u16 = 3;
const GROUP_DESCRIPTION: u16 = 4;
const GROUP_TYPE: u16 = 5;
const KEY_LENGTH: u16 = 14;

/// Transform-Id of every transform in phase 1 (RFC 2407 §4.4.2).
const KEY_IKE: u8 = 1;
/// Authentication by pre-shared key.
const PRE_SHARED_KEY: u16 = 1;
/// Authentication methods of XAUTH (draft-beaulieu-ike-xauth).
const XAUTH: std::ops::RangeInclusive<u64> = 65_001..=65_010;

/// What was agreed on for an ISAKMP SA.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Phase1Choice {
    /// The algorithms; `integrity` and `prf` are of the one hash.
    pub suite: IkeSuite,
    /// The peer's lifetime, if it said one.
    pub lifetime: Option<Duration>,
    /// The peer's lifetime in kilobytes, if it said one.
    pub kilobytes: Option<u64>,
    /// The answer: the chosen transform as the initiator wrote it.
    pub answer: SaPayload,
}

/// Why none of an initiator's transforms was chosen: NO-PROPOSAL-CHOSEN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase1Error {
    /// The algorithms differ.
    Diff(ProposalDiff),
    /// Whatever fits in its algorithms demands XAUTH behind phase 1.
    Xauth,
    /// Whatever fits in its algorithms authenticates in another way; the number is the first such method's.
    Authentication(u16),
}

/// An authentication method in words (RFC 2409 appendix A and the IANA registry).
pub(crate) fn authentication_words(method: u16) -> &'static str {
    match method {
        PRE_SHARED_KEY => "a pre-shared key",
        2 => "DSS signatures",
        3 => "RSA signatures",
        4 | 5 => "RSA encryption",
        8..=11 => "ECDSA signatures",
        64_221..=64_224 => "hybrid authentication, with a certificate at one end",
        65_001..=65_010 => "XAUTH",
        _ => "an authentication method unknown here",
    }
}

/// What one of our proposals allows in IKEv1.
struct Wanted {
    ciphers: Vec<Cipher>,
    hashes: Vec<Integrity>,
    groups: Vec<Group>,
}

impl Wanted {
    fn of(ours: &IkeProposal, only_group: Option<Group>) -> Option<Wanted> {
        let IkeProposal { ciphers, integrities: hashes, mut groups, .. } = ours.in_v1().ok()?;
        groups.retain(|group| only_group.is_none_or(|only| only == *group));
        (!groups.is_empty()).then_some(Wanted { ciphers, hashes, groups })
    }

    fn all(ours: &[IkeProposal]) -> Vec<Wanted> {
        ours.iter().filter_map(|ours| Wanted::of(ours, None)).collect()
    }

    fn describe(&self) -> String {
        let words = [
            alternatives(self.ciphers.iter().map(|cipher| cipher.name().to_owned())),
            alternatives(self.hashes.iter().map(|hash| hash.name().to_owned())),
            alternatives(self.groups.iter().map(|group| group.name().to_owned())),
        ];
        words.join("-")
    }

    /// How good a transform is for us: the place of each of its algorithms in our lists. Else in what it differs.
    fn rank(&self, theirs: &Theirs<'_>) -> Result<[usize; 3], Vec<Field>> {
        let place = |found: Option<usize>, field: Field| found.ok_or(field);
        let at = [
            place(index(&self.ciphers, theirs.cipher()), Field::Encryption),
            place(index(&self.hashes, theirs.hash()), Field::Integrity),
            place(index(&self.groups, theirs.group()), Field::Group),
        ];
        let mut fields = theirs.unusable();
        fields.extend(at.iter().filter_map(|place| place.err()));
        match at {
            [Ok(cipher), Ok(hash), Ok(group)] if fields.is_empty() => Ok([cipher, hash, group]),
            _ => Err(fields),
        }
    }
}

fn index<T: PartialEq>(list: &[T], item: Option<T>) -> Option<usize> {
    let item = item?;
    list.iter().position(|other| *other == item)
}

fn said(transform: &Transform) -> Said {
    Said::by(transform, LIFE_OF_PHASE_1, |attribute| match attribute.ty {
        ENCRYPTION => Meaning::Encryption,
        HASH => Meaning::Integrity,
        AUTHENTICATION_METHOD => Meaning::Authentication,
        GROUP_DESCRIPTION => Meaning::Group,
        KEY_LENGTH => Meaning::KeyBits,
        // MODP or ECP: said already by the group's number.
        GROUP_TYPE if matches!(attribute.value.as_u64(), Some(1 | 2)) => Meaning::Redundant,
        // A group of the peer's own making, a PRF, and what nobody knows.
        _ => Meaning::Unknown,
    })
}

/// A peer's transform, read.
struct Theirs<'a> {
    proposal: &'a Proposal,
    transform: &'a Transform,
    said: Said,
}

impl<'a> Theirs<'a> {
    fn all(payload: &'a SaPayload) -> Vec<Theirs<'a>> {
        let of = |proposal: &'a Proposal| {
            proposal.transforms.iter().map(move |transform| Theirs { proposal, transform, said: said(transform) })
        };
        payload.proposals.iter().flat_map(of).collect()
    }

    fn cipher(&self) -> Option<Cipher> {
        numbers::cipher_of_phase1(self.said.encryption?, self.said.key_bits)
    }

    fn hash(&self) -> Option<Integrity> {
        numbers::hash_of_phase1(self.said.integrity?)
    }

    fn group(&self) -> Option<Group> {
        numbers::group_of(self.said.group?)
    }

    /// Reasons to set a transform aside before looking at algorithms.
    fn unusable(&self) -> Vec<Field> {
        let mut reasons = Vec::new();
        if self.proposal.protocol != ProtocolId::Isakmp || self.transform.id != KEY_IKE {
            reasons.push(Field::Protocol);
        }
        if self.said.unusable {
            reasons.push(Field::Attribute);
        }
        if self.said.authentication != Some(PRE_SHARED_KEY.into()) {
            reasons.push(Field::Authentication);
        }
        reasons
    }

    fn suite(&self) -> Option<IkeSuite> {
        let hash = self.hash()?;
        let prf: Prf = prf_of(hash);
        Some(IkeSuite { cipher: self.cipher()?, integrity: Some(hash), prf, group: self.group()? })
    }

    fn choice(&self, suite: IkeSuite) -> Phase1Choice {
        let proposal = Proposal { transforms: vec![self.transform.clone()], ..shell(self.proposal) };
        Phase1Choice {
            suite,
            lifetime: self.said.lifetimes.time,
            kilobytes: self.said.lifetimes.kilobytes,
            answer: SaPayload::new(vec![proposal]),
        }
    }
}

/// A proposal without its transforms.
pub(super) fn shell(proposal: &Proposal) -> Proposal {
    let Proposal { number, protocol, ref spi, .. } = *proposal;
    Proposal { number, protocol, spi: spi.clone(), transforms: Vec::new() }
}

/// What of `ours` can be said in IKEv1, as one proposal: every combination, in order of preference, each with the
/// lifetime in seconds. `only_group` for aggressive mode, whose KE payload goes out with the offer: one group for all
/// transforms (RFC 2409 §5.3). `None` if nothing can be said.
#[must_use]
pub fn phase1_offer(ours: &[IkeProposal], lifetime: &Lifetime, only_group: Option<Group>) -> Option<SaPayload> {
    let life = LIFE_OF_PHASE_1.of(&Lifetime { bytes: None, ..*lifetime });
    let mut transforms: Vec<Transform> = Vec::new();
    for wanted in ours.iter().filter_map(|ours| Wanted::of(ours, only_group)) {
        for cipher in wanted.ciphers.iter().filter_map(|cipher| numbers::phase1_cipher(*cipher)) {
            for hash in wanted.hashes.iter().filter_map(|hash| numbers::phase1_hash(*hash)) {
                for group in wanted.groups.iter().map(|group| group.number()) {
                    push(&mut transforms, KEY_IKE, attributes(cipher, hash, group, &life));
                }
            }
        }
    }
    let proposal = Proposal { number: 1, protocol: ProtocolId::Isakmp, spi: Vec::new(), transforms };
    (!proposal.transforms.is_empty()).then(|| SaPayload::new(vec![proposal]))
}

fn attributes((encryption, key_bits): (u16, u16), hash: u16, group: u16, life: &[Attribute]) -> Vec<Attribute> {
    let numbers = [
        (ENCRYPTION, encryption),
        (KEY_LENGTH, key_bits),
        (HASH, hash),
        (AUTHENTICATION_METHOD, PRE_SHARED_KEY),
        (GROUP_DESCRIPTION, group),
    ];
    let numbers = numbers.into_iter().map(|(ty, value)| Attribute::number(ty, u64::from(value)));
    numbers.chain(life.iter().cloned()).collect()
}

/// Numbered from 1, each once, no more than a proposal can count.
pub(super) fn push(transforms: &mut Vec<Transform>, id: u8, attributes: Vec<Attribute>) {
    let new = transforms.iter().all(|other| other.id != id || other.attributes != attributes);
    if let (true, Ok(number)) = (new, u8::try_from(transforms.len() + 1)) {
        transforms.push(Transform { number, id, attributes });
    }
}

/// The responder's choice: the first of our proposals that any of the peer's transforms meets, and within it what we
/// prefer. The answer is that transform unchanged.
///
/// # Errors
/// [`Phase1Error`] if there is none: NO-PROPOSAL-CHOSEN.
pub fn select_phase1(ours: &[IkeProposal], theirs: &SaPayload) -> Result<Phase1Choice, Phase1Error> {
    let (wanted, offered) = (Wanted::all(ours), Theirs::all(theirs));
    let mut closest = Closest::default();
    let mut methods: Vec<u64> = Vec::new();
    for wanted in &wanted {
        let mut best: Option<([usize; 3], &Theirs<'_>)> = None;
        for theirs in &offered {
            match wanted.rank(theirs) {
                Ok(rank) if best.is_none_or(|(other, _)| rank < other) => best = Some((rank, theirs)),
                Ok(_) => {}
                Err(fields) => {
                    if let ([Field::Authentication], Some(method)) = (fields.as_slice(), theirs.said.authentication) {
                        methods.push(method);
                    }
                    closest.consider(fields);
                }
            }
        }
        if let Some((theirs, suite)) = best.and_then(|(_, theirs)| Some((theirs, theirs.suite()?))) {
            return Ok(theirs.choice(suite));
        }
    }
    let other = methods.iter().find(|method| !XAUTH.contains(*method));
    Err(match other.or(methods.first()) {
        None => Phase1Error::Diff(closest.diff(words(&wanted), &theirs.proposals, false)),
        Some(method) if XAUTH.contains(method) => Phase1Error::Xauth,
        Some(method) => Phase1Error::Authentication(u16::try_from(*method).unwrap_or(u16::MAX)),
    })
}

/// The initiator's check of an answer: exactly one proposal with one transform, which is one of those `offered` in
/// everything but its lifetime and its numbers.
///
/// # Errors
/// [`ProposalDiff`] if it is not: the SA must not be made.
pub fn accept_phase1(
    offered: &SaPayload,
    ours: &[IkeProposal],
    answer: &SaPayload,
) -> Result<Phase1Choice, ProposalDiff> {
    let refuse = |closest: Closest| closest.diff(words(&Wanted::all(ours)), &answer.proposals, true);
    let answers = Theirs::all(answer);
    let ([_], [only]) = (answer.proposals.as_slice(), answers.as_slice()) else {
        return Err(refuse(Closest(Some(vec![Field::Choice]))));
    };
    let offers = Theirs::all(offered);
    let usable = only.unusable().is_empty();
    if let (true, Some(suite)) = (usable && offers.iter().any(|offer| offer.said.is_same(&only.said)), only.suite()) {
        return Ok(Phase1Choice { answer: answer.clone(), ..only.choice(suite) });
    }
    let mut closest = Closest::default();
    for offer in &offers {
        let mut fields = only.unusable();
        let differs = [
            (
                Field::Encryption,
                only.said.encryption != offer.said.encryption || only.said.key_bits != offer.said.key_bits,
            ),
            (Field::Integrity, only.said.integrity != offer.said.integrity),
            (Field::Group, only.said.group != offer.said.group),
        ];
        fields.extend(differs.into_iter().filter(|(_, differs)| *differs).map(|(field, _)| field));
        closest.consider(fields);
    }
    Err(refuse(closest))
}

fn words(wanted: &[Wanted]) -> Vec<String> {
    wanted.iter().map(Wanted::describe).collect()
}

/// A transform in the words of a configuration: cipher, hash, group, and whatever else is to be said.
pub(super) fn describe(transform: &Transform) -> [String; 4] {
    let said = said(transform);
    let mut other = Vec::new();
    match said.authentication {
        Some(method) if method == u64::from(PRE_SHARED_KEY) => {}
        Some(method) => other.push(match method {
            2 => "dsssig".to_owned(),
            3 => "rsasig".to_owned(),
            4 | 5 => "rsaenc".to_owned(),
            8..=11 => "ecdsa".to_owned(),
            method if XAUTH.contains(&method) => "xauth".to_owned(),
            method => format!("auth{method}"),
        }),
        None => other.push("noauth".to_owned()),
    }
    if said.unusable {
        other.push("(unknown attribute)".to_owned());
    }
    [
        numbers::describe_phase1_cipher(said.encryption, said.key_bits),
        numbers::describe_hash(said.integrity),
        said.group.map_or_else(|| "nogroup".to_owned(), numbers::describe_group),
        other.join("-"),
    ]
}
