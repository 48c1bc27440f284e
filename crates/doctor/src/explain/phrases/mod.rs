//! The phrases, by dialect, as data. Each has the line it was written after, and a test reads all of them.
//!
//! Phrases are short facts out of public documentation and of what people post; no text of anybody's program is copied.

mod aws;
mod charon;
mod cisco;
mod fortios;
mod junos;
mod panos;
mod pluto;
mod underpass;

use crate::code::Code;
use crate::finding::Confidence;

/// Whose language.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Dialect {
    /// Ours.
    Underpass,
    /// The tunnel activity log of AWS Site-to-Site VPN.
    Aws,
    /// strongSwan.
    Charon,
    /// Libreswan, Openswan.
    Pluto,
    /// Cisco IOS, ASA.
    Cisco,
    /// Fortinet.
    Fortios,
    /// Palo Alto Networks.
    PanOs,
    /// Juniper.
    Junos,
}

impl Dialect {
    /// All of them.
    pub const ALL: [Dialect; 8] = [
        Dialect::Underpass,
        Dialect::Aws,
        Dialect::Charon,
        Dialect::Pluto,
        Dialect::Cisco,
        Dialect::Fortios,
        Dialect::PanOs,
        Dialect::Junos,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Dialect::Underpass => "underpass",
            Dialect::Aws => "AWS tunnel activity log",
            Dialect::Charon => "charon (strongSwan)",
            Dialect::Pluto => "pluto (Libreswan, Openswan)",
            Dialect::Cisco => "Cisco IOS/ASA",
            Dialect::Fortios => "FortiOS",
            Dialect::PanOs => "PAN-OS",
            Dialect::Junos => "Junos",
        }
    }
}

/// What a line of a log says.
#[derive(Clone, Copy, Debug)]
pub struct Phrase {
    /// Whose language it is.
    pub dialect: Dialect,
    /// Parts that follow each other in the line, `*` between them, in any case of letters.
    pub pattern: &'static str,
    /// What it means.
    pub code: Code,
    /// How sure.
    pub confidence: Confidence,
    /// It is no fault by itself.
    pub advice: bool,
    /// A line that has it.
    pub sample: &'static str,
}

/// All phrases, by dialect.
pub const PHRASES: [&[Phrase]; 8] = [
    aws::AWS,
    charon::CHARON,
    pluto::PLUTO,
    cisco::CISCO,
    fortios::FORTIOS,
    panos::PANOS,
    junos::JUNOS,
    underpass::UNDERPASS,
];

/// The first phrase that a line has.
pub(super) fn find(line: &str) -> Option<&'static Phrase> {
    let lower = line.to_ascii_lowercase();
    PHRASES.iter().flat_map(|phrases| phrases.iter()).find(|phrase| matches(phrase.pattern, &lower))
}

/// Whether the parts of a pattern follow each other in a line in lower case.
fn matches(pattern: &str, lower: &str) -> bool {
    let mut rest = lower;
    for part in pattern.split('*') {
        let part = part.trim().to_ascii_lowercase();
        let Some(at) = rest.find(&part) else { return false };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_pattern_follow_each_other() {
        assert!(matches("Retransmit * of request", "07[ike] retransmit 3 of request with"));
        assert!(!matches("Retransmit * of request", "of request retransmit 3"));
        assert!(!matches("abc", "ab"));
    }

    #[test]
    fn every_phrase_is_found_in_its_sample_and_no_other_comes_before_it() {
        let mut count = 0;
        for phrase in PHRASES.iter().flat_map(|phrases| phrases.iter()) {
            let Some(found) = find(phrase.sample) else { panic!("nothing is found in {:?}", phrase.sample) };
            assert_eq!((found.dialect, found.pattern), (phrase.dialect, phrase.pattern), "{:?}", phrase.sample);
            count += 1;
        }
        assert!(count >= 120, "{count} phrases");
    }
}
