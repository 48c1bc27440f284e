//! One of our proposals against one of theirs: the algorithms in common, or where they differ (RFC 7296 §3.3.6).

use crypto::{Cipher, Group, Integrity, Prf};
use ipsec::{EspSuite, Spi};

use super::diff::{alternatives, join};
use super::{EspChoice, EspProposal, IkeProposal, IkeSuite, numbers};
use crate::wire::{IkeSpi, Proposal, ProtocolId, Transform, TransformType};

/// In what two proposals can differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    Protocol,
    Spi,
    TransformType,
    Choice,
    /// IKEv1: an attribute unknown to us, or twice the same.
    Attribute,
    /// IKEv1: how the peer authenticates.
    Authentication,
    /// IKEv1: how ESP is encapsulated.
    Mode,
    Encryption,
    Integrity,
    Prf,
    Group,
    Esn,
}

impl Field {
    pub(super) fn name(self) -> &'static str {
        match self {
            Field::Protocol => "protocol",
            Field::Spi => "spi",
            Field::TransformType => "transform_type",
            Field::Choice => "choice",
            Field::Attribute => "attribute",
            Field::Authentication => "authentication",
            Field::Mode => "mode",
            Field::Encryption => "encryption",
            Field::Integrity => "integrity",
            Field::Prf => "prf",
            Field::Group => "dh_group",
            Field::Esn => "esn",
        }
    }

    /// The words for a name of [`Field::name`].
    pub(super) fn words(name: &'static str) -> &'static str {
        match name {
            "dh_group" => "DH group",
            "spi" => "SPI",
            "prf" => "PRF",
            "esn" => "ESN",
            "transform_type" => "a transform type unknown to us",
            "choice" => "not being one choice",
            "attribute" => "an attribute unknown to us",
            "mode" => "encapsulation mode",
            other => other,
        }
    }

    /// How far apart a difference puts two proposals: the closest pair is the one to talk about.
    pub(crate) fn weight(self) -> u32 {
        match self {
            Field::Protocol
            | Field::Spi
            | Field::TransformType
            | Field::Choice
            | Field::Attribute
            | Field::Authentication => 8,
            Field::Encryption => 4,
            Field::Integrity | Field::Prf => 3,
            Field::Group => 2,
            Field::Esn | Field::Mode => 1,
        }
    }
}

/// What is wanted of the D-H transforms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GroupRule<'a> {
    /// Whatever is there, no key exchange is done.
    Ignored,
    /// There must be none, or NONE.
    None,
    /// One of these.
    OneOf(&'a [Group]),
}

impl<'a> GroupRule<'a> {
    pub(super) fn of(groups: &'a [Group]) -> Self {
        if groups.is_empty() { GroupRule::None } else { GroupRule::OneOf(groups) }
    }
}

/// One of our proposals, IKE's or ESP's.
pub(super) struct Wanted<'a> {
    pub(super) protocol: ProtocolId,
    ciphers: &'a [Cipher],
    integrities: &'a [Integrity],
    prfs: &'a [Prf],
    groups: GroupRule<'a>,
    esn: &'a [bool],
}

/// One algorithm of each type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chosen {
    cipher: Cipher,
    integrity: Option<Integrity>,
    prf: Option<Prf>,
    group: Option<Group>,
    esn: Option<bool>,
}

impl<'a> Wanted<'a> {
    pub(super) fn ike(ours: &'a IkeProposal) -> Self {
        Wanted {
            protocol: ProtocolId::Ike,
            ciphers: &ours.ciphers,
            integrities: &ours.integrities,
            prfs: &ours.prfs,
            groups: GroupRule::OneOf(&ours.groups),
            esn: &[],
        }
    }

    pub(super) fn esp(ours: &'a EspProposal, groups: GroupRule<'a>) -> Self {
        Wanted {
            protocol: ProtocolId::Esp,
            ciphers: &ours.ciphers,
            integrities: &ours.integrities,
            prfs: &[],
            groups,
            esn: &ours.esn,
        }
    }

    pub(super) fn transforms(&self) -> Vec<Transform> {
        let mut transforms: Vec<Transform> = self.ciphers.iter().copied().map(numbers::encryption).collect();
        transforms.extend(self.prfs.iter().copied().map(numbers::prf));
        transforms.extend(self.integrities.iter().copied().map(numbers::integrity));
        if let GroupRule::OneOf(groups) = self.groups {
            transforms.extend(groups.iter().copied().map(numbers::key_exchange));
        }
        transforms.extend(self.esn.iter().copied().map(numbers::esn));
        transforms
    }

    pub(super) fn describe(&self) -> String {
        let groups: &[Group] = match self.groups {
            GroupRule::OneOf(groups) => groups,
            GroupRule::None | GroupRule::Ignored => &[],
        };
        join([
            alternatives(self.ciphers.iter().map(|cipher| cipher.name().to_owned())),
            alternatives(self.integrities.iter().map(|algorithm| algorithm.name().to_owned())),
            alternatives(self.prfs.iter().map(|prf| prf.name().to_owned())),
            alternatives(groups.iter().map(|group| group.name().to_owned())),
            alternatives(self.esn.iter().map(|esn| super::esn_word(*esn).to_owned())),
            String::new(),
        ])
    }

    /// Our first acceptable algorithm of each type, or in what the proposals differ.
    pub(super) fn choose(&self, theirs: &Proposal, preferred_group: Option<Group>) -> Result<Chosen, Vec<Field>> {
        let offer = Offer(theirs);
        let mut differs = self.unusable(theirs);
        let protection = self.protection(&offer, &mut differs);
        let prf = self.prfs.iter().copied().find(|prf| offer.has(&numbers::prf(*prf)));
        if prf.is_none() && !self.prfs.is_empty() {
            differs.push(Field::Prf);
        }
        let group = self.group(&offer, preferred_group, &mut differs);
        let esn = self.esn(&offer, &mut differs);
        match protection {
            Some((cipher, integrity)) if differs.is_empty() => Ok(Chosen { cipher, integrity, prf, group, esn }),
            Some(_) | None => Err(differs),
        }
    }

    /// Reasons to set a proposal aside before looking at algorithms.
    fn unusable(&self, theirs: &Proposal) -> Vec<Field> {
        let mut reasons = Vec::new();
        let spi_fits = match self.protocol {
            ProtocolId::Ike => theirs.spi.is_empty() || ike_spi(theirs).is_some(),
            _ => esp_spi(theirs).is_some(),
        };
        if theirs.protocol != self.protocol {
            reasons.push(Field::Protocol);
        } else if !spi_fits {
            reasons.push(Field::Spi);
        }
        let known = |ty: TransformType| match ty {
            TransformType::Encryption | TransformType::Integrity | TransformType::KeyExchange => true,
            TransformType::Prf => self.protocol == ProtocolId::Ike,
            TransformType::ExtendedSequenceNumbers => self.protocol == ProtocolId::Esp,
            TransformType::Unknown(_) => false,
        };
        if !theirs.transforms.iter().all(|transform| known(transform.ty)) {
            reasons.push(Field::TransformType);
        }
        reasons
    }

    /// Cipher and integrity belong together: an AEAD cipher takes none.
    fn protection(&self, offer: &Offer<'_>, differs: &mut Vec<Field>) -> Option<(Cipher, Option<Integrity>)> {
        let without = offer.lacks_or_none(TransformType::Integrity);
        let integrity = self.integrities.iter().copied().find(|algorithm| offer.has(&numbers::integrity(*algorithm)));
        let common = || self.ciphers.iter().copied().filter(|cipher| offer.has(&numbers::encryption(*cipher)));
        let pair = common().find_map(|cipher| match (cipher.is_aead(), integrity) {
            (true, _) => without.then_some((cipher, None)),
            (false, Some(integrity)) => Some((cipher, Some(integrity))),
            (false, None) => None,
        });
        if pair.is_none() {
            let aead = self.ciphers.iter().any(|cipher| cipher.is_aead());
            let integrity_fits = integrity.is_some() || (aead && without);
            if common().next().is_none() {
                differs.push(Field::Encryption);
                if !integrity_fits {
                    differs.push(Field::Integrity);
                }
            } else {
                differs.push(Field::Integrity);
            }
        }
        pair
    }

    fn group(&self, offer: &Offer<'_>, preferred: Option<Group>, differs: &mut Vec<Field>) -> Option<Group> {
        match self.groups {
            GroupRule::Ignored => None,
            GroupRule::None => {
                if !offer.lacks_or_none(TransformType::KeyExchange) {
                    differs.push(Field::Group);
                }
                None
            }
            GroupRule::OneOf(groups) => {
                let common = || groups.iter().copied().filter(|group| offer.has(&numbers::key_exchange(*group)));
                let group = common().find(|group| Some(*group) == preferred).or_else(|| common().next());
                if group.is_none() {
                    differs.push(Field::Group);
                }
                group
            }
        }
    }

    /// `None`: there is no ESN transform, in an IKE proposal rightly.
    fn esn(&self, offer: &Offer<'_>, differs: &mut Vec<Field>) -> Option<bool> {
        if self.esn.is_empty() {
            return None;
        }
        if !offer.any(TransformType::ExtendedSequenceNumbers) {
            if !self.esn.contains(&false) {
                differs.push(Field::Esn);
            }
            return None;
        }
        let esn = self.esn.iter().copied().find(|esn| offer.has(&numbers::esn(*esn)));
        if esn.is_none() {
            differs.push(Field::Esn);
        }
        esn
    }
}

/// Questions to a peer's proposal. A transform with an attribute unknown to us is as good as absent, except that it
/// does not make its type optional.
struct Offer<'a>(&'a Proposal);

impl Offer<'_> {
    fn has(&self, wanted: &Transform) -> bool {
        self.0.transforms.contains(wanted)
    }

    fn any(&self, ty: TransformType) -> bool {
        self.0.transforms.iter().any(|transform| transform.ty == ty)
    }

    fn lacks_or_none(&self, ty: TransformType) -> bool {
        !self.any(ty) || self.has(&Transform::new(ty, numbers::NONE))
    }
}

impl Chosen {
    pub(super) fn ike_suite(&self) -> Option<IkeSuite> {
        Some(IkeSuite { cipher: self.cipher, integrity: self.integrity, prf: self.prf?, group: self.group? })
    }

    pub(super) fn esp_choice(&self) -> EspChoice {
        let suite = EspSuite { cipher: self.cipher, integrity: self.integrity, esn: self.esn.unwrap_or(false) };
        EspChoice { suite, group: self.group }
    }

    /// One transform of each type that was chosen; types that are NONE are left out.
    pub(super) fn answer(&self, theirs: &Proposal) -> Proposal {
        let mut transforms = vec![numbers::encryption(self.cipher)];
        transforms.extend(self.prf.map(numbers::prf));
        transforms.extend(self.integrity.map(numbers::integrity));
        transforms.extend(self.group.map(numbers::key_exchange));
        transforms.extend(self.esn.map(numbers::esn));
        Proposal { number: theirs.number, protocol: theirs.protocol, spi: Vec::new(), transforms }
    }
}

pub(super) fn ike_spi(proposal: &Proposal) -> Option<IkeSpi> {
    let spi = IkeSpi(proposal.spi.as_slice().try_into().ok()?);
    (!spi.is_zero()).then_some(spi)
}

pub(super) fn esp_spi(proposal: &Proposal) -> Option<Spi> {
    Spi::new(u32::from_be_bytes(proposal.spi.as_slice().try_into().ok()?))
}
