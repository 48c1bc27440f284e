//! Why no proposal was chosen, in words and for machines.

use std::fmt;

use super::matching::{Field, Wanted};
use super::numbers;
use crate::wire::{Proposal, Transform, TransformType};

/// Proposals written out of each list; the rest is counted.
const SHOWN: usize = 8;
/// Algorithms of one type written out.
const SHOWN_TRANSFORMS: usize = 12;

/// Both sides' algorithms, and where the closest pair of proposals differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProposalDiff {
    /// Where the closest pair differs: `encryption`, `integrity`, `prf`, `dh_group`, `esn`, `protocol`, `spi`,
    /// `transform_type`; `choice` if a peer's answer is not one choice out of what we offered. In IKEv1 also
    /// `authentication`, `mode` (of encapsulation), `attribute` (one unknown to us).
    pub fields: Vec<&'static str>,
    /// The peer's proposals in words, bounded.
    pub theirs: Box<str>,
    /// Ours in words.
    pub ours: Box<str>,
    /// Whether the peer answered our offer; else it made one.
    pub is_answer: bool,
}

impl ProposalDiff {
    pub(super) fn new(ours: &[Wanted<'_>], theirs: &[Proposal], is_answer: bool, fields: &[Field]) -> Self {
        let ours = list(ours.iter().map(Wanted::describe), ours.len());
        let fields = fields.iter().map(|field| field.name()).collect();
        ProposalDiff { fields, theirs: list(theirs.iter().map(describe), theirs.len()), ours, is_answer }
    }
}

impl ProposalDiff {
    /// Of two lists in words, one entry for each proposal: IKEv1's have another form on the wire.
    pub(crate) fn of_words(ours: Vec<String>, theirs: Vec<String>, is_answer: bool, fields: &[Field]) -> Self {
        let fields = fields.iter().map(|field| field.name()).collect();
        ProposalDiff { fields, theirs: joined(theirs), ours: joined(ours), is_answer }
    }
}

/// Proposals in words, as a diff has them.
pub(crate) fn in_words(proposals: &[Proposal]) -> Box<str> {
    list(proposals.iter().map(describe), proposals.len())
}

/// A list of entries in words, bounded.
pub(crate) fn joined(words: Vec<String>) -> Box<str> {
    let count = words.len();
    list(words.into_iter(), count)
}

/// Alternatives of one type with commas, types with dashes: `aes256,aes128-sha256-modp2048`.
fn describe(proposal: &Proposal) -> String {
    let of = |ty: TransformType| {
        let transforms = proposal.transforms.iter().filter(move |transform| transform.ty == ty);
        alternatives(transforms.map(numbers::describe))
    };
    let unknown = |transform: &&Transform| matches!(transform.ty, TransformType::Unknown(_));
    join([
        of(TransformType::Encryption),
        of(TransformType::Integrity),
        of(TransformType::Prf),
        of(TransformType::KeyExchange),
        of(TransformType::ExtendedSequenceNumbers),
        alternatives(proposal.transforms.iter().filter(unknown).map(numbers::describe)),
    ])
}

/// The parts of a proposal, in the order in which people write them; a PRF that follows from integrity is left out.
pub(super) fn join([encryption, integrity, prf, groups, esn, other]: [String; 6]) -> String {
    let derived = integrity.split(',').map(|name| format!("prf{name}")).collect::<Vec<_>>().join(",");
    let prf = if prf == derived { String::new() } else { prf };
    let parts = [encryption, integrity, prf, groups, esn, other];
    parts.iter().filter(|part| !part.is_empty()).map(String::as_str).collect::<Vec<_>>().join("-")
}

pub(crate) fn alternatives(names: impl Iterator<Item = String>) -> String {
    let mut names: Vec<String> = names.take(SHOWN_TRANSFORMS + 1).collect();
    if names.len() > SHOWN_TRANSFORMS {
        names.truncate(SHOWN_TRANSFORMS);
        names.push("…".to_owned());
    }
    names.join(",")
}

fn list(items: impl Iterator<Item = String>, count: usize) -> Box<str> {
    let mut text = items.take(SHOWN).collect::<Vec<_>>().join(" | ");
    if count > SHOWN {
        text.push_str(&format!(" and {} more", count - SHOWN));
    }
    if text.is_empty() { "nothing".into() } else { text.into_boxed_str() }
}

impl fmt::Display for ProposalDiff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (they, we) = if self.is_answer { ("chose", "offered") } else { ("offers", "accept") };
        write!(f, "peer {they} {}; we {we} {}: ", self.theirs, self.ours)?;
        let fields: Vec<&str> = self.fields.iter().map(|field| Field::words(field)).collect();
        match fields.as_slice() {
            [] => f.write_str("nothing to compare"),
            [only] => write!(f, "differs in {only} only"),
            several => write!(f, "differs in {}", several.join(", ")),
        }
    }
}

impl std::error::Error for ProposalDiff {}
