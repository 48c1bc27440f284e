//! Algorithms of IKEv1: what we offer, what we choose out of an offer, and what we accept as its answer (RFC 2409 §5,
//! appendix A; RFC 2407 §4.4, §4.5; RFC 3602 §5; RFC 4106 §8; RFC 4868 §4).
//!
//! ```text
//!   phase1_offer ──SA──► select_phase1 ──SA of one transform──► accept_phase1
//!   phase2_offer ──SA──► select_phase2 ──SA of one transform──► accept_phase2
//! ```
//!
//! Rules that are easy to get wrong and are kept here:
//! - A transform is one whole combination of algorithms. The answer repeats it unchanged, attribute by attribute in the
//!   form received, under the numbers of its proposal and itself, whatever they are.
//! - Lifetimes come in seconds and kilobytes in any order, each type followed by its duration, in basic or variable form.
//!   Another lifetime is no reason to refuse (RFC 2407 §4.5.4): it is reported beside the choice.
//! - Key Length is mandatory for AES. An attribute unknown to us makes its transform unusable (RFC 2408 §3.3).
//! - Our order of preference decides, as responder too.
//! - Proposals of one number are meant together. We make no bundles: of AH with ESP, or IPCOMP, none is chosen.
//! - What has no number in IKEv1 is neither offered nor found: [`IkeProposal::in_v1`](crate::proposal::IkeProposal::in_v1).

mod attributes;
mod numbers;
mod phase1;
mod phase2;

pub(crate) use attributes::{attribute_types, lifetimes_in};
pub(crate) use phase1::authentication_words;
pub use phase1::{Phase1Choice, Phase1Error, accept_phase1, phase1_offer, select_phase1};
pub use phase2::{Phase2Choice, Phase2Error, accept_phase2, phase2_offer, select_phase2};
pub(crate) use phase2::{mode_remedy, mode_words};

use super::wire::{Proposal, ProtocolId};
use crate::proposal::{Field, ProposalDiff, alternatives};

/// Transforms written out for a diff; an ellipsis stands for more.
const DESCRIBED: usize = 64;

/// The fewest differences so far between one of our proposals and one of the peer's transforms.
#[derive(Default)]
struct Closest(Option<Vec<Field>>);

impl Closest {
    fn consider(&mut self, fields: Vec<Field>) {
        let weight = |fields: &[Field]| fields.iter().map(|field| field.weight()).sum::<u32>();
        if self.0.as_ref().is_none_or(|closest| weight(&fields) < weight(closest)) {
            self.0 = Some(fields);
        }
    }

    fn diff(self, ours: Vec<String>, theirs: &[Proposal], is_answer: bool) -> ProposalDiff {
        ProposalDiff::of_words(ours, describe(theirs), is_answer, &self.0.unwrap_or_default())
    }
}

/// Proposals in words, bounded.
pub(crate) fn in_words(proposals: &[Proposal]) -> Box<str> {
    crate::proposal::joined(describe(proposals))
}

/// A peer's proposals in the words of a configuration: one entry for each proposal that has every combination of its
/// algorithms, else one for each transform.
fn describe(proposals: &[Proposal]) -> Vec<String> {
    let mut entries = Vec::new();
    for proposal in proposals {
        let transforms: Vec<[String; 4]> = proposal
            .transforms
            .iter()
            .take(DESCRIBED.saturating_sub(entries.len()))
            .map(|transform| match proposal.protocol {
                ProtocolId::Isakmp => phase1::describe(transform),
                ProtocolId::Ah | ProtocolId::Esp | ProtocolId::IpComp | ProtocolId::Unknown(_) => {
                    phase2::describe(proposal.protocol, transform)
                }
            })
            .collect();
        match product(&transforms) {
            Some(words) => entries.push(words),
            None => entries.extend(transforms.iter().map(|words| join(words.each_ref().map(String::as_str)))),
        }
    }
    if proposals.iter().map(|proposal| proposal.transforms.len()).sum::<usize>() > DESCRIBED {
        entries.push("…".to_owned());
    }
    entries
}

fn join(words: [&str; 4]) -> String {
    words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join("-")
}

/// `aes256,aes128-sha256-modp2048` if the transforms are exactly all combinations of some words.
fn product(transforms: &[[String; 4]]) -> Option<String> {
    let mut columns: [Vec<&str>; 4] = Default::default();
    for words in transforms {
        for (column, word) in columns.iter_mut().zip(words) {
            if !column.contains(&word.as_str()) {
                column.push(word);
            }
        }
    }
    let mut distinct: Vec<&[String; 4]> = transforms.iter().collect();
    distinct.sort_unstable();
    distinct.dedup();
    let combinations = columns.iter().map(Vec::len).product::<usize>();
    let columns = columns.map(|words| alternatives(words.into_iter().map(str::to_owned)));
    (combinations == distinct.len() && !distinct.is_empty()).then(|| join(columns.each_ref().map(String::as_str)))
}
