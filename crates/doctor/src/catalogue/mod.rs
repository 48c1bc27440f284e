//! Every code with its page: what it means, what to do here, what to write to the other side, and where that comes from.
//! `underpass doctor --explain CODE` prints a page, `docs/doctor.md` is all of them (a test compares).
//!
//! One file per layer. The order within a file is the order of findings of one layer: causes before their symptoms.

mod child;
mod configuration;
mod esp;
mod ike;
mod network;
mod routing;
mod upper;

pub use child::*;
pub use configuration::*;
pub use esp::*;
pub use ike::*;
pub use network::*;
pub use routing::*;
pub use upper::*;

use crate::code::{Code, Entry, Layer, Seen};

/// Declares the codes of a layer with their pages.
macro_rules! codes {
    ($table:ident: $($name:ident = $id:literal in $layer:ident, $seen:expr; $line:literal, $meaning:literal, fix $fix:literal, tell $tell:literal, from $source:literal;)+) => {
        $(#[doc = concat!("`", $id, "`: ", $line)] pub const $name: $crate::code::Code = $crate::code::Code($id);)+
        pub(super) const $table: &[$crate::code::Entry] = &[$($crate::code::Entry {
            code: $name,
            layer: $crate::code::Layer::$layer,
            line: $line,
            meaning: $meaning,
            fix: $fix,
            tell: $tell,
            source: $source,
            seen: $seen,
        },)+];
    };
}
use codes;

/// What a code is that nobody listed: never shown, since only listed ones can be made.
pub(crate) const UNLISTED: Entry = Entry {
    code: Code("???"),
    layer: Layer::Performance,
    line: "not listed",
    meaning: "",
    fix: "",
    tell: "",
    source: "",
    seen: Seen::Here,
};

/// Every page, the lowest layer first.
pub fn entries() -> impl Iterator<Item = &'static Entry> {
    [configuration::CONFIGURATION, network::NETWORK, ike::IKE, child::CHILD, esp::ESP, routing::ROUTING, upper::UPPER]
        .into_iter()
        .flatten()
}

/// The place of a code among the others.
pub(crate) fn position(code: Code) -> usize {
    entries().position(|entry| entry.code == code).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_code_is_listed_once_with_a_whole_page_and_layers_rise() {
        let mut seen = BTreeSet::new();
        let mut layer = Layer::Configuration;
        for entry in entries() {
            assert!(seen.insert(entry.code), "{} twice", entry.code);
            assert!(layer <= entry.layer, "{} stands below {}", entry.code, layer);
            layer = entry.layer;
            for text in [entry.line, entry.meaning, entry.fix, entry.source] {
                assert!(text.len() > 3, "{}: {text:?}", entry.code);
            }
            assert!(!entry.line.ends_with('.'), "{}: a line is no sentence", entry.code);
            assert_eq!(Code::parse(&entry.code.name().to_ascii_lowercase()), Some(entry.code));
        }
        assert!(seen.len() >= 60, "{} codes", seen.len());
        assert_eq!(Code::parse("IKE-99"), None);
    }
}
