//! Proposals for IPsec SAs, in quick mode (RFC 2407 §4.4, §4.5; RFC 2409 §5.5).

use std::time::Duration;

use crypto::{Cipher, Group, Integrity};
use ipsec::{EspSuite, Spi};

use super::attributes::{LIFE_OF_PHASE_2, Meaning, Said};
use super::phase1::{push, shell};
use super::{Closest, numbers};
use crate::config::Lifetime;
use crate::proposal::{EspChoice, EspProposal, Field, ProposalDiff, alternatives};
use crate::v1::wire::{Attribute, Proposal, ProtocolId, SaPayload, Transform};

const GROUP_DESCRIPTION: u16 = 3;
const ENCAPSULATION_MODE: u16 = 4;
const AUTHENTICATION_ALGORITHM: u16 = 5;
const KEY_LENGTH: u16 = 6;
const ECN_TUNNEL: u16 = 10;
const EXTENDED_SEQUENCE_NUMBER: u16 = 11;

/// Encapsulation modes (RFC 2407 §4.5, RFC 3947 §5.1, its drafts).
const TUNNEL: u16 = 1;
const TRANSPORT: u16 = 2;
const UDP_TUNNEL: u16 = 3;
const UDP_TRANSPORT: u16 = 4;
const UDP_TUNNEL_DRAFT: u16 = 61_443;
const UDP_TRANSPORT_DRAFT: u16 = 61_444;

/// What was agreed on for a pair of ESP SAs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Phase2Choice {
    /// The algorithms, and the group of the KE payloads.
    pub choice: EspChoice,
    /// The peer's inbound SPI.
    pub spi: Spi,
    /// The peer's lifetime, if it said one; the default is 28,800 seconds (RFC 2407 §4.5).
    pub lifetime: Option<Duration>,
    /// The peer's lifetime in kilobytes, if it said one.
    pub kilobytes: Option<u64>,
    /// The chosen transform as the initiator wrote it, still with the peer's SPI: see [`Phase2Choice::answer_with`].
    pub answer: SaPayload,
}

impl Phase2Choice {
    /// The responder's answer: the chosen transform unchanged, with our inbound SPI.
    #[must_use]
    pub fn answer_with(&self, spi: Spi) -> SaPayload {
        let ours = |proposal: &Proposal| Proposal { spi: spi.to_be_bytes().to_vec(), ..proposal.clone() };
        SaPayload::new(self.answer.proposals.iter().map(ours).collect())
    }
}

/// Why none of an initiator's transforms was chosen: NO-PROPOSAL-CHOSEN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase2Error {
    /// The algorithms differ, or perfect forward secrecy does.
    Diff(ProposalDiff),
    /// Everything fits but the encapsulation mode.
    Mode {
        /// The first such mode's number.
        theirs: u16,
    },
    /// Everything fits, but ESP is offered only together with AH or IPCOMP.
    Bundle,
}

/// An encapsulation mode in words.
pub(crate) fn mode_words(mode: u16) -> &'static str {
    match mode {
        TUNNEL => "tunnel mode without UDP",
        TRANSPORT => "transport mode",
        UDP_TUNNEL => "UDP-encapsulated tunnel mode",
        UDP_TRANSPORT => "UDP-encapsulated transport mode",
        UDP_TUNNEL_DRAFT => "UDP-encapsulated tunnel mode of a draft",
        UDP_TRANSPORT_DRAFT => "UDP-encapsulated transport mode of a draft",
        _ => "an unknown encapsulation mode",
    }
}

/// What to do about an encapsulation mode that does not fit.
pub(crate) fn mode_remedy(mode: u16) -> &'static str {
    match mode {
        TRANSPORT | UDP_TRANSPORT | UDP_TRANSPORT_DRAFT => "set tunnel mode at the peer; only tunnels are made here",
        TUNNEL => "switch NAT traversal on at the peer: there is a NAT on the way, so ESP must go in UDP",
        UDP_TUNNEL | UDP_TUNNEL_DRAFT => {
            "switch NAT traversal off at the peer, or force it here: no NAT was found on the way, or by another version of it"
        }
        _ => "set tunnel mode at the peer",
    }
}

/// What one of our proposals allows in IKEv1, for one choice of groups.
struct Wanted {
    ciphers: Vec<Cipher>,
    /// Empty where every cipher is an AEAD.
    integrities: Vec<Integrity>,
    /// Empty: no key exchange.
    groups: Vec<Group>,
}

impl Wanted {
    fn of(ours: &EspProposal) -> Option<Wanted> {
        let EspProposal { ciphers, integrities, groups, .. } = ours.in_v1().ok()?;
        Some(Wanted { ciphers, integrities, groups })
    }

    fn all(ours: &[EspProposal]) -> Vec<Wanted> {
        ours.iter().filter_map(Wanted::of).collect()
    }

    fn describe(&self) -> String {
        let words = [
            alternatives(self.ciphers.iter().map(|cipher| cipher.name().to_owned())),
            alternatives(self.integrities.iter().map(|mac| mac.name().to_owned())),
            alternatives(self.groups.iter().map(|group| group.name().to_owned())),
        ];
        words.into_iter().filter(|words| !words.is_empty()).collect::<Vec<_>>().join("-")
    }

    /// How good a transform is for us: the place of each of its algorithms in our lists. Else in what it differs.
    fn rank(&self, theirs: &Theirs<'_>, ke_present: bool) -> Result<[usize; 3], Vec<Field>> {
        let cipher = theirs.cipher().and_then(|cipher| self.ciphers.iter().position(|ours| *ours == cipher));
        let integrity = match (theirs.said.integrity, theirs.needs_integrity()) {
            (None, false) => Some(0),
            (Some(number), true) => numbers::integrity_of_esp(number)
                .and_then(|theirs| self.integrities.iter().position(|ours| *ours == theirs)),
            (None, true) | (Some(_), false) => None,
        };
        let group = match theirs.said.group {
            // The group attribute and the KE payload belong together (RFC 2409 §5.5).
            None if !ke_present && self.groups.is_empty() => Some(0),
            Some(number) if ke_present => {
                numbers::group_of(number).and_then(|theirs| self.groups.iter().position(|ours| *ours == theirs))
            }
            None | Some(_) => None,
        };
        let mut fields = theirs.unusable();
        let missing = [
            (Field::Encryption, cipher.is_none()),
            (Field::Integrity, integrity.is_none()),
            (Field::Group, group.is_none()),
        ];
        fields.extend(missing.into_iter().filter(|(_, missing)| *missing).map(|(field, _)| field));
        match (cipher, integrity, group) {
            (Some(cipher), Some(integrity), Some(group)) if fields.is_empty() => Ok([cipher, integrity, group]),
            _ => Err(fields),
        }
    }
}

fn said(transform: &Transform) -> Said {
    let said = Said::by(transform, LIFE_OF_PHASE_2, |attribute| match attribute.ty {
        GROUP_DESCRIPTION => Meaning::Group,
        ENCAPSULATION_MODE => Meaning::Mode,
        AUTHENTICATION_ALGORITHM => Meaning::Integrity,
        KEY_LENGTH => Meaning::KeyBits,
        // ECN in the outer header is allowed (RFC 3168 §9.2.1.2): so it is with us, asked or not.
        ECN_TUNNEL if attribute.value.as_u64() == Some(1) => Meaning::Redundant,
        EXTENDED_SEQUENCE_NUMBER => Meaning::Esn,
        _ => Meaning::Unknown,
    });
    Said { encryption: Some(transform.id.into()), ..said }
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
        numbers::cipher_of_esp(self.said.encryption?, self.said.key_bits)
    }

    /// An unknown cipher counts as one that does.
    fn needs_integrity(&self) -> bool {
        self.cipher().is_none_or(|cipher| !cipher.is_aead())
    }

    fn spi(&self) -> Option<Spi> {
        Spi::from_be_bytes(self.proposal.spi.as_slice().try_into().ok()?)
    }

    /// Reasons to set a transform aside before looking at algorithms.
    fn unusable(&self) -> Vec<Field> {
        let mut reasons = Vec::new();
        if self.proposal.protocol != ProtocolId::Esp {
            reasons.push(Field::Protocol);
        } else if self.spi().is_none() {
            reasons.push(Field::Spi);
        }
        if self.said.unusable {
            reasons.push(Field::Attribute);
        }
        if self.said.esn {
            reasons.push(Field::Esn);
        }
        reasons
    }

    fn choice(&self) -> Option<Phase2Choice> {
        let cipher = self.cipher()?;
        let integrity = self.said.integrity.and_then(numbers::integrity_of_esp);
        let suite = EspSuite { cipher, integrity, esn: false };
        let proposal = Proposal { transforms: vec![self.transform.clone()], ..shell(self.proposal) };
        let choice = EspChoice { suite, group: self.said.group.and_then(numbers::group_of) };
        Some(Phase2Choice {
            choice,
            spi: self.spi()?,
            lifetime: self.said.lifetimes.time,
            kilobytes: self.said.lifetimes.kilobytes,
            answer: SaPayload::new(vec![proposal]),
        })
    }
}

/// What of `ours` can be said in IKEv1, as one proposal of ESP: every combination, in order of preference, with the
/// lifetimes that are configured, encapsulation mode `mode`, and `group`: one for all, as the KE payload goes out with the
/// offer (RFC 2409 §5.5). Only proposals that have that group, or for `None` those that have none. ESN is not offered.
/// `None` if nothing can be said.
#[must_use]
pub fn phase2_offer(
    ours: &[EspProposal],
    group: Option<Group>,
    lifetime: &Lifetime,
    spi: Spi,
    mode: u16,
) -> Option<SaPayload> {
    let has_group = |wanted: &Wanted| match group {
        Some(group) => wanted.groups.contains(&group),
        None => wanted.groups.is_empty(),
    };
    let mut transforms: Vec<Transform> = Vec::new();
    for wanted in Wanted::all(ours).into_iter().filter(has_group) {
        for cipher in &wanted.ciphers {
            let Some((id, key_bits)) = numbers::esp_cipher(*cipher) else { continue };
            let integrities: Vec<Option<u16>> = if cipher.is_aead() {
                vec![None]
            } else {
                wanted.integrities.iter().map(|mac| numbers::esp_integrity(*mac)).collect()
            };
            for integrity in integrities {
                let mut attributes = LIFE_OF_PHASE_2.of(lifetime);
                let numbers = [
                    (ENCAPSULATION_MODE, Some(mode)),
                    (AUTHENTICATION_ALGORITHM, integrity),
                    (KEY_LENGTH, key_bits),
                    (GROUP_DESCRIPTION, group.map(Group::number)),
                ];
                let present = numbers.into_iter().filter_map(|(ty, number)| Some((ty, number?)));
                attributes.extend(present.map(|(ty, number)| Attribute::number(ty, u64::from(number))));
                push(&mut transforms, id, attributes);
            }
        }
    }
    let proposal = Proposal { number: 1, protocol: ProtocolId::Esp, spi: spi.to_be_bytes().to_vec(), transforms };
    (!proposal.transforms.is_empty()).then(|| SaPayload::new(vec![proposal]))
}

/// The responder's choice: the first of our proposals that any of the peer's transforms meets, and within it what we
/// prefer. `ke_present`: whether a KE payload came along, which must be so exactly where the transform names a group.
/// `modes`: acceptable encapsulation modes; a transform that names none has the default, ours.
///
/// # Errors
/// [`Phase2Error`] if there is none: NO-PROPOSAL-CHOSEN.
pub fn select_phase2(
    ours: &[EspProposal],
    theirs: &SaPayload,
    ke_present: bool,
    modes: &[u16],
) -> Result<Phase2Choice, Phase2Error> {
    let (wanted, offered) = (Wanted::all(ours), Theirs::all(theirs));
    let mut closest = Closest::default();
    let (mut other_mode, mut bundle) = (None, false);
    for wanted in &wanted {
        let mut best: Option<([usize; 3], &Theirs<'_>)> = None;
        for transform in &offered {
            let rank = match wanted.rank(transform, ke_present) {
                Ok(rank) => rank,
                Err(fields) => {
                    closest.consider(fields);
                    continue;
                }
            };
            let mode = transform.said.mode.filter(|mode| modes.iter().all(|ours| u64::from(*ours) != *mode));
            if is_bundled(transform.proposal, theirs) {
                bundle = true;
            } else if let Some(mode) = mode {
                other_mode = other_mode.or(Some(u16::try_from(mode).unwrap_or(u16::MAX)));
            } else if best.is_none_or(|(other, _)| rank < other) {
                best = Some((rank, transform));
            }
        }
        if let Some(choice) = best.and_then(|(_, theirs)| theirs.choice()) {
            return Ok(choice);
        }
    }
    Err(match other_mode {
        Some(theirs) => Phase2Error::Mode { theirs },
        None if bundle => Phase2Error::Bundle,
        None => Phase2Error::Diff(closest.diff(words(&wanted), &theirs.proposals, false)),
    })
}

/// Whether a proposal shares its number with one of another protocol: they are meant together (RFC 2408 §4.2). Several of
/// ESP alone cannot be, they are taken for alternatives that somebody forgot to count.
fn is_bundled(proposal: &Proposal, theirs: &SaPayload) -> bool {
    let others = |other: &&Proposal| other.number == proposal.number && other.protocol != proposal.protocol;
    theirs.proposals.iter().find(others).is_some()
}

/// The initiator's check of an answer: exactly one proposal with one transform, which is one of those `offered` in
/// everything but its lifetime and its numbers.
///
/// # Errors
/// [`ProposalDiff`] if it is not: the SA must not be made.
pub fn accept_phase2(
    offered: &SaPayload,
    ours: &[EspProposal],
    answer: &SaPayload,
) -> Result<Phase2Choice, ProposalDiff> {
    let refuse = |closest: Closest| closest.diff(words(&Wanted::all(ours)), &answer.proposals, true);
    let answers = Theirs::all(answer);
    let ([_], [only]) = (answer.proposals.as_slice(), answers.as_slice()) else {
        return Err(refuse(Closest(Some(vec![Field::Choice]))));
    };
    let offers = Theirs::all(offered);
    let usable = only.unusable().is_empty();
    if let (true, Some(choice)) = (usable && offers.iter().any(|offer| offer.said.is_same(&only.said)), only.choice()) {
        return Ok(Phase2Choice { answer: answer.clone(), ..choice });
    }
    let mut closest = Closest::default();
    for offer in &offers {
        let (ours, theirs) = (&offer.said, &only.said);
        let differs = [
            (Field::Encryption, (theirs.encryption, theirs.key_bits) != (ours.encryption, ours.key_bits)),
            (Field::Integrity, theirs.integrity != ours.integrity),
            (Field::Group, theirs.group != ours.group),
            (Field::Mode, theirs.mode != ours.mode),
        ];
        let mut fields = only.unusable();
        fields.extend(differs.into_iter().filter(|(_, differs)| *differs).map(|(field, _)| field));
        closest.consider(fields);
    }
    Err(refuse(closest))
}

fn words(wanted: &[Wanted]) -> Vec<String> {
    wanted.iter().map(Wanted::describe).collect()
}

/// A transform in the words of a configuration: cipher, integrity, group, and whatever else is to be said.
pub(super) fn describe(protocol: ProtocolId, transform: &Transform) -> [String; 4] {
    let said = said(transform);
    let mut other = Vec::new();
    if said.esn {
        other.push("esn".to_owned());
    }
    if let Some(mode) = said.mode.filter(|mode| *mode != u64::from(TUNNEL)) {
        other.push(format!("({})", mode_words(u16::try_from(mode).unwrap_or(u16::MAX))));
    }
    if said.unusable {
        other.push("(unknown attribute)".to_owned());
    }
    let group = said.group.map_or_else(String::new, numbers::describe_group);
    let integrity = said.integrity.map(numbers::describe_esp_integrity);
    let aead = matches!(transform.id, 14..=20);
    let first = match protocol {
        ProtocolId::Esp => numbers::describe_esp_cipher(transform.id.into(), said.key_bits),
        ProtocolId::Ah => "ah".to_owned(),
        ProtocolId::IpComp => "ipcomp".to_owned(),
        ProtocolId::Isakmp | ProtocolId::Unknown(_) => format!("protocol{}", protocol.to_u8()),
    };
    let integrity = match (integrity, protocol) {
        (Some(integrity), _) => integrity,
        (None, ProtocolId::Esp) if !aead => "nointegrity".to_owned(),
        (None, _) => String::new(),
    };
    [first, integrity, group, other.join("-")]
}
