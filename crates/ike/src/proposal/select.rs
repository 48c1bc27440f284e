//! Offers and choices: the responder selects, the initiator checks the answer (RFC 7296 §2.7, §3.3.6).

use crypto::Group;
use ipsec::Spi;

use super::diff::ProposalDiff;
use super::matching::{Chosen, Field, GroupRule, Wanted, esp_spi, ike_spi};
use super::{EspChoice, EspProposal, IkeProposal, IkeSuite};
use crate::wire::{IkeSpi, Proposal, TransformType};

/// What a responder chose out of an offer for an IKE SA.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelectedIke {
    /// The chosen proposal's number, which the answer repeats.
    pub number: u8,
    /// The algorithms.
    pub suite: IkeSuite,
    /// The peer's new SPI: `None` in IKE_SA_INIT, present in a rekey.
    pub spi: Option<IkeSpi>,
    /// The answer. Its `spi` is empty: set it to our own SPI in a rekey.
    pub wire: Proposal,
}

/// What a responder chose out of an offer for a child SA.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelectedEsp {
    /// The chosen proposal's number, which the answer repeats.
    pub number: u8,
    /// The algorithms.
    pub choice: EspChoice,
    /// The peer's inbound SPI.
    pub spi: Spi,
    /// The answer. Its `spi` is empty: set it to our own inbound SPI.
    pub wire: Proposal,
}

/// Our proposals as the SA payload of a request, numbered from 1. `spi` is ours, in a rekey.
#[must_use]
pub fn ike_to_wire(ours: &[IkeProposal], spi: Option<IkeSpi>) -> Vec<Proposal> {
    let spi = spi.map_or_else(Vec::new, |spi| spi.0.to_vec());
    offer(&ours.iter().map(Wanted::ike).collect::<Vec<_>>(), &spi)
}

/// Our proposals as the SA payload of a request, numbered from 1. `spi` is our inbound one. `with_groups`: false in
/// IKE_AUTH, which has no key exchange of its own (RFC 7296 §1.2); proposals that differ only in groups become one.
#[must_use]
pub fn esp_to_wire(ours: &[EspProposal], spi: Spi, with_groups: bool) -> Vec<Proposal> {
    let groups = if with_groups { GroupRule::of } else { |_: &[Group]| GroupRule::None };
    let wanted: Vec<Wanted<'_>> = ours.iter().map(|ours| Wanted::esp(ours, groups(&ours.groups))).collect();
    offer(&wanted, &spi.to_be_bytes())
}

/// The responder's choice: our first proposal that any of theirs meets, and within it our first algorithm of each type.
/// Among groups, `preferred_group` wins if both accept it: the peer's KE payload has it already.
///
/// # Errors
/// [`ProposalDiff`] if nothing is in common: NO_PROPOSAL_CHOSEN.
pub fn select_ike(
    ours: &[IkeProposal],
    theirs: &[Proposal],
    preferred_group: Option<Group>,
) -> Result<SelectedIke, ProposalDiff> {
    let wanted: Vec<Wanted<'_>> = ours.iter().map(Wanted::ike).collect();
    let (proposal, chosen) = select(&wanted, theirs, preferred_group)?;
    let suite = chosen.ike_suite().ok_or_else(|| ProposalDiff::new(&wanted, theirs, false, &[]))?;
    let wire = chosen.answer(proposal);
    Ok(SelectedIke { number: proposal.number, suite, spi: ike_spi(proposal), wire })
}

/// The responder's choice for a child, as [`select_ike`]. `with_groups`: false in IKE_AUTH, where D-H transforms are
/// ignored. `ke_group` is that of the request's KE payload.
///
/// # Errors
/// [`ProposalDiff`] if nothing is in common: NO_PROPOSAL_CHOSEN.
pub fn select_esp(
    ours: &[EspProposal],
    theirs: &[Proposal],
    with_groups: bool,
    ke_group: Option<Group>,
) -> Result<SelectedEsp, ProposalDiff> {
    let groups = if with_groups { GroupRule::of } else { |_: &[Group]| GroupRule::Ignored };
    let wanted: Vec<Wanted<'_>> = ours.iter().map(|ours| Wanted::esp(ours, groups(&ours.groups))).collect();
    let (proposal, chosen) = select(&wanted, theirs, ke_group)?;
    let spi = esp_spi(proposal).ok_or_else(|| ProposalDiff::new(&wanted, theirs, false, &[Field::Spi]))?;
    let wire = chosen.answer(proposal);
    Ok(SelectedEsp { number: proposal.number, choice: chosen.esp_choice(), spi, wire })
}

/// The initiator's check: exactly one proposal, at most one transform of each type, all of them out of one of our
/// proposals. Returns the responder's SPI beside the suite, in a rekey.
///
/// # Errors
/// [`ProposalDiff`] if the answer is not what we offered: the SA must not be made.
pub fn accept_ike(offered: &[IkeProposal], answer: &[Proposal]) -> Result<(IkeSuite, Option<IkeSpi>), ProposalDiff> {
    let wanted: Vec<Wanted<'_>> = offered.iter().map(Wanted::ike).collect();
    let (proposal, chosen) = accept(&wanted, answer)?;
    let suite = chosen.ike_suite().ok_or_else(|| ProposalDiff::new(&wanted, answer, true, &[]))?;
    Ok((suite, ike_spi(proposal)))
}

/// The initiator's check for a child, as [`accept_ike`]. Returns the responder's inbound SPI beside the choice.
///
/// # Errors
/// [`ProposalDiff`] if the answer is not what we offered: the SA must not be made.
pub fn accept_esp(
    offered: &[EspProposal],
    answer: &[Proposal],
    with_groups: bool,
) -> Result<(EspChoice, Spi), ProposalDiff> {
    let groups = if with_groups { GroupRule::of } else { |_: &[Group]| GroupRule::None };
    let wanted: Vec<Wanted<'_>> = offered.iter().map(|ours| Wanted::esp(ours, groups(&ours.groups))).collect();
    let (proposal, chosen) = accept(&wanted, answer)?;
    let spi = esp_spi(proposal).ok_or_else(|| ProposalDiff::new(&wanted, answer, true, &[Field::Spi]))?;
    Ok((chosen.esp_choice(), spi))
}

fn offer(ours: &[Wanted<'_>], spi: &[u8]) -> Vec<Proposal> {
    let mut proposals: Vec<Proposal> = Vec::new();
    for wanted in ours {
        let transforms = wanted.transforms();
        let (protocol, spi) = (wanted.protocol, spi.to_vec());
        // Proposal numbers are one octet.
        let Ok(number) = u8::try_from(proposals.len() + 1) else {
            break;
        };
        if proposals.iter().all(|other| other.transforms != transforms) {
            proposals.push(Proposal { number, protocol, spi, transforms });
        }
    }
    proposals
}

fn select<'t>(
    ours: &[Wanted<'_>],
    theirs: &'t [Proposal],
    preferred_group: Option<Group>,
) -> Result<(&'t Proposal, Chosen), ProposalDiff> {
    let pairs = || ours.iter().flat_map(|wanted| theirs.iter().map(move |proposal| (wanted, proposal)));
    let mut closest: Vec<Field> = Vec::new();
    for (wanted, proposal) in pairs() {
        match wanted.choose(proposal, preferred_group) {
            Ok(chosen) => return Ok((proposal, chosen)),
            Err(fields) => {
                let weight = |fields: &[Field]| fields.iter().map(|field| field.weight()).sum::<u32>();
                if closest.is_empty() || weight(&fields) < weight(&closest) {
                    closest = fields;
                }
            }
        }
    }
    Err(ProposalDiff::new(ours, theirs, false, &closest))
}

fn accept<'t>(ours: &[Wanted<'_>], answer: &'t [Proposal]) -> Result<(&'t Proposal, Chosen), ProposalDiff> {
    let [only] = answer else {
        return Err(ProposalDiff::new(ours, answer, true, &[Field::Choice]));
    };
    let mut types: Vec<TransformType> = only.transforms.iter().map(|transform| transform.ty).collect();
    types.sort_unstable();
    if types.array_windows().any(|[a, b]| a == b) {
        return Err(ProposalDiff::new(ours, answer, true, &[Field::Choice]));
    }
    select(ours, answer, None).map_err(|diff| ProposalDiff { is_answer: true, ..diff })
}
