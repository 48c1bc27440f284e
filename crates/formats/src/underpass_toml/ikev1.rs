//! What IKEv1 cannot say, and what it says to everybody: checked wherever it may be spoken.
//!
//! With `ike_version = "ikev1"` what cannot be said is an error; with `"both"` it costs the IKEv1 half alone, so it is a
//! warning, and only where nothing is left of it.

use super::section::Section;
use super::split;
use super::values::Selectors;
use crate::diagnostic::{Report, Severity, code};
use crate::source::{At, Place};
use ike::config::{ChildConfig, Version, Versions};
use ipsec::TrafficSelector;

/// Pre-shared keys shorter than this can be tried one by one by whoever holds a hash of one (in bytes): 20 characters of a
/// language's words are a matter of days.
const GUESSABLE: usize = 20;

/// Which versions of IKE a connection speaks.
#[derive(Clone, Copy)]
pub(crate) struct Spoken {
    pub(crate) versions: Versions,
}

impl Spoken {
    /// Reads `ike_version`.
    pub(crate) fn read(section: &mut Section, report: &mut Report) -> Spoken {
        let versions = match section.word("ike_version", report).map(|word| word.value) {
            Some("ikev1") => Versions::V1,
            Some("both") => Versions::Both,
            _ => Versions::V2,
        };
        Spoken { versions }
    }

    /// Whether IKEv1 may be spoken.
    pub(crate) fn v1(self) -> bool {
        self.versions.allow(Version::V1)
    }

    /// How bad it is that IKEv1 cannot work.
    fn severity(self) -> Severity {
        if self.versions == Versions::V1 { Severity::Error } else { Severity::Warning }
    }

    /// Says that IKEv1 cannot do something: an error where nothing else is spoken, else a warning.
    fn tell(self, place: Place, what: String, help: &str, report: &mut Report) {
        match self.severity() {
            Severity::Error => report.error(code::CONFLICT, place, what, Some(help.to_owned())),
            Severity::Warning => {
                let help = format!("{help}, or leave IKEv1 out: `ike_version = \"ikev2\"`");
                report.warning(code::CONFLICT, place, format!("{what}; only IKEv2 will work"), Some(help));
            }
        }
    }
}

/// Reads `aggressive`: it means something in IKEv1 alone, and there it shows a hash of the key (RFC 2409 §5.4).
pub(crate) fn aggressive(section: &mut Section, spoken: Spoken, report: &mut Report) -> Option<Place> {
    let at = section.flag("aggressive", report).filter(|at| at.value)?;
    if !spoken.v1() {
        let message = "`aggressive` is a mode of IKEv1, which is not spoken here".to_owned();
        let help = "leave it out, or write `ike_version = \"ikev1\"` (or `\"both\"`)".to_owned();
        report.error(code::CONFLICT, at.place, message, Some(help));
        return None;
    }
    let message = "`aggressive` shows a hash of the pre-shared key to whoever asks, to try keys against".to_owned();
    let help = "use main mode or IKEv2; for a peer that can do neither, make the key of 32 random bytes \
                (`openssl rand -base64 32`) and use it for nothing else";
    report.warning(code::WEAK, at.place, message, Some(help.to_owned()));
    Some(at.place)
}

/// A key that can be guessed, shown as a hash to whoever asks, is no secret any more.
pub(crate) fn check_key(aggressive: Option<Place>, key: &[u8], report: &mut Report) {
    let (Some(place), Some(why)) = (aggressive, guessable(key)) else { return };
    let message = format!("`aggressive` with a pre-shared key that can be guessed: it {why}");
    let help = "change it at both ends to 32 random bytes, for example from `openssl rand -base64 32`".to_owned();
    report.warning(code::SECRET, place, message, Some(help));
}

/// Why a key would be found by trying. An empty one is no key: that is reported where it is missing.
fn guessable(key: &[u8]) -> Option<String> {
    let kind = |byte: u8| match byte {
        b'a'..=b'z' => 0,
        b'A'..=b'Z' => 1,
        b'0'..=b'9' => 2,
        _ => 3,
    };
    let first = kind(*key.first()?);
    if key.len() < GUESSABLE {
        return Some(format!("has {} bytes, fewer than {GUESSABLE}", key.len()));
    }
    let alike = key.iter().all(|byte| kind(*byte) == first);
    alike.then(|| "is made of one kind of characters, as words and dates are".to_owned())
}

/// Proposals as they stand in the file: where, and whether IKEv1 can say any of that text, or the words it cannot.
pub(crate) type Listed = Vec<(Place, Result<(), Vec<&'static str>>)>;

/// Whether IKEv1 can say any of the proposals of one text; else what it cannot.
pub(crate) fn any<T>(proposals: impl Iterator<Item = Result<T, Vec<&'static str>>>) -> Result<(), Vec<&'static str>> {
    let mut missing = Vec::new();
    for proposal in proposals {
        match proposal {
            Ok(_) => return Ok(()),
            Err(words) => missing.extend(words),
        }
    }
    Err(missing)
}

/// What IKEv1 has no number for is never offered; a list of nothing else is no list.
pub(crate) fn check_proposals(name: &str, listed: &Listed, example: &str, spoken: Spoken, report: &mut Report) {
    let Some((first, _)) = listed.first().filter(|_| spoken.v1()) else { return };
    let help = format!("add what it can say, as in `{example}`");
    if listed.iter().all(|(_, said)| said.is_err()) {
        let mut all: Vec<&str> = listed.iter().flat_map(|(_, said)| said.as_ref().err()).flatten().copied().collect();
        all.sort_unstable();
        all.dedup();
        let message = format!("`{name}`: IKEv1 cannot say {}, so it has nothing to offer", words_of(&all));
        return spoken.tell(*first, message, &help, report);
    }
    for (place, said) in listed.iter().filter(|_| spoken.versions == Versions::V1) {
        if let Err(missing) = said {
            let message = format!("`{name}`: IKEv1 cannot say {}: never offered", words_of(missing));
            report.warning(code::CONFLICT, *place, message, Some("leave it out".to_owned()));
        }
    }
}

/// Up to eight words.
fn words_of(words: &[&str]) -> String {
    const SHOWN: usize = 8;
    let mut text = words.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    if words.len() > SHOWN {
        text.push_str(", …");
    }
    text
}

/// An identification payload of quick mode has room for one protocol and one port (RFC 2407 §4.6.2).
pub(crate) fn check_selectors(name: &str, selectors: &Selectors, spoken: Spoken, report: &mut Report) {
    if !spoken.v1() {
        return;
    }
    for At { value: selector, place } in &selectors.list {
        let one_port = selector.is_any_port() || selector.start_port == selector.end_port;
        if !one_port {
            let message = format!("`{name}`: IKEv1 cannot say {selector}: it has one port, or all");
            spoken.tell(*place, message, "name one port, or none", report);
        }
    }
}

/// Sides that name different protocols have no pair that matches a packet, and IKEv1 has one protocol for both.
pub(crate) fn check_protocols(child: &ChildConfig, place: Place, spoken: Spoken, report: &mut Report) {
    let (Some(local), Some(remote)) = (child.local.first(), child.remote.first()) else { return };
    let family = |one: &TrafficSelector| child.remote.iter().any(|other| other.is_v4() == one.is_v4());
    if spoken.v1() && split::count(child) == 0 && child.local.iter().any(family) {
        let message = format!("IKEv1 cannot say {local} to {remote}: it has one protocol for both sides");
        spoken.tell(place, message, "name the same protocol on both sides, or none", report);
    }
}

/// `split_selectors = false` asks IKEv1 for what it does not have: several subnets in one SA (RFC 2409 §5.5).
pub(crate) fn check_unsplit(place: Place, pairs: usize, spoken: Spoken, report: &mut Report) {
    if spoken.v1() && pairs > 1 {
        let message = format!("`split_selectors` = false with {pairs} pairs of subnets: an SA of IKEv1 has one pair");
        let help = "leave it out: one child is made per pair";
        spoken.tell(place, message, help, report);
    }
}

#[cfg(test)]
mod tests {
    use super::guessable;

    #[test]
    fn a_key_is_guessable_when_it_is_short_or_of_one_kind() {
        for bad in ["a", "Summer2024!", "nineteencharacters9", "correcthorsebatterystaple", "20240101202401012024", ""]
        {
            assert_eq!(guessable(bad.as_bytes()).is_some(), !bad.is_empty(), "{bad}");
        }
        for good in ["4Jw0Qm2kT8vPz6Lr3Nd1", "correct horse battery staple", "00112233445566778899aabbccddeeff"] {
            assert_eq!(guessable(good.as_bytes()), None, "{good}");
        }
    }
}
