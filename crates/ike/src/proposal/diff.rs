//! Why no proposal was chosen, in words and for machines.

use std::fmt;

use super::matching::{Field, Wanted};
use super::numbers;
use crate::wire::{Proposal, TransformType};

/// Proposals written out of each list; the rest is counted.
const SHOWN: usize = 8;
/// Algorithms of one type written out.
const SHOWN_TRANSFORMS: usize = 12;

/// Both sides' algorithms, and where the closest pair of proposals differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProposalDiff {
    /// Where the closest pair differs: `encryption`, `integrity`, `prf`, `dh_group`, `esn`, `protocol`, `spi`,
    /// `transform_type`; `choice` if a peer's answer is not one choice out of what we offered.
    pub fields: Vec<&'static str>,
    /// The peer's proposals in words, bounded.
    pub theirs: String,
    /// Ours in words.
    pub ours: String,
    /// Whether the peer answered our offer; else it made one.
    pub is_answer: bool,
}

impl ProposalDiff {
    pub(super) fn new(
        ours: &[Wanted<'_>],
        theirs: &[Proposal],
        is_answer: bool,
        fields: &[Field],
    ) -> Self {
        let ours = list(ours.iter().map(Wanted::describe), ours.len());
        let fields = fields.iter().map(|field| field.name()).collect();
        ProposalDiff {
            fields,
            theirs: list(theirs.iter().map(describe), theirs.len()),
            ours,
            is_answer,
        }
    }
}

/// Alternatives of one type with commas, types with dashes: `aes256,aes128-sha256-modp2048`.
fn describe(proposal: &Proposal) -> String {
    let mut types: Vec<TransformType> = proposal
        .transforms
        .iter()
        .map(|transform| transform.ty)
        .collect();
    types.sort_unstable();
    types.dedup();
    // The order in which people write it: the PRF after integrity.
    types.sort_by_key(|ty| match ty {
        TransformType::Encryption => 0,
        TransformType::Integrity => 1,
        TransformType::Prf => 2,
        TransformType::KeyExchange => 3,
        TransformType::ExtendedSequenceNumbers => 4,
        TransformType::Unknown(_) => 5,
    });
    let parts: Vec<String> = types
        .into_iter()
        .take(SHOWN_TRANSFORMS)
        .map(|ty| {
            alternatives(
                proposal
                    .transforms
                    .iter()
                    .filter(|t| t.ty == ty)
                    .map(numbers::describe),
            )
        })
        .collect();
    parts.join("-")
}

pub(super) fn alternatives(names: impl Iterator<Item = String>) -> String {
    let mut names: Vec<String> = names.take(SHOWN_TRANSFORMS + 1).collect();
    if names.len() > SHOWN_TRANSFORMS {
        names.truncate(SHOWN_TRANSFORMS);
        names.push("…".to_owned());
    }
    names.join(",")
}

fn list(items: impl Iterator<Item = String>, count: usize) -> String {
    let mut text = items.take(SHOWN).collect::<Vec<_>>().join(" | ");
    if count > SHOWN {
        text.push_str(&format!(" and {} more", count - SHOWN));
    }
    if text.is_empty() {
        "nothing".to_owned()
    } else {
        text
    }
}

impl fmt::Display for ProposalDiff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (they, we) = if self.is_answer {
            ("chose", "offered")
        } else {
            ("offers", "accept")
        };
        write!(f, "peer {they} {}; we {we} {}: ", self.theirs, self.ours)?;
        let fields: Vec<&str> = self
            .fields
            .iter()
            .map(|field| Field::words(field))
            .collect();
        match fields.as_slice() {
            [] => f.write_str("nothing to compare"),
            [only] => write!(f, "differs in {only} only"),
            several => write!(f, "differs in {}", several.join(", ")),
        }
    }
}

impl std::error::Error for ProposalDiff {}
