//! The suites of a connection in a device's words: all it can say, or the first. Alternatives that it cannot say are left
//! out with a note, for our end takes any of those that stay; when none stays, that is a refusal with the nearest.

use super::device::{Device, Phase, Suites, Words};
use super::model::{esp_suites, ike_suites, prf_of};
use super::refusal::Findings;
use crypto::{Cipher, Group, Integrity, Prf};
use ike::proposal::{EspChoice, EspProposal, IkeProposal, IkeSuite};

/// A suite of IKE with the device's words for it.
#[derive(Clone, PartialEq, Debug, serde::Serialize)]
pub(super) struct IkeWords {
    #[serde(skip)]
    pub(super) suite: IkeSuite,
    pub(super) cipher: &'static str,
    pub(super) aead: bool,
    pub(super) integrity: Option<&'static str>,
    pub(super) prf: Option<&'static str>,
    pub(super) group: &'static str,
    pub(super) number: u16,
    /// In the words of `underpass.toml`.
    pub(super) ours: String,
}

/// A suite of ESP with the device's words for it.
#[derive(Clone, PartialEq, Debug, serde::Serialize)]
pub(super) struct EspWords {
    #[serde(skip)]
    pub(super) choice: EspChoice,
    pub(super) cipher: &'static str,
    pub(super) aead: bool,
    pub(super) integrity: Option<&'static str>,
    pub(super) group: Option<&'static str>,
    pub(super) number: Option<u16>,
    pub(super) esn: bool,
    pub(super) ours: String,
}

fn word<T: PartialEq + Copy>(words: Words<T>, wanted: T) -> Option<&'static str> {
    words.iter().find(|(known, _)| *known == wanted).map(|(_, word)| *word)
}

/// The suites of IKE that `device` can say.
pub(super) fn ike(place: &str, proposals: &[IkeProposal], device: &Device, findings: &mut Findings) -> Vec<IkeWords> {
    let all = ike_suites(proposals);
    let said: Vec<IkeWords> = all.iter().filter_map(|suite| ike_words(suite, device)).collect();
    if let (true, Some(first)) = (said.is_empty(), all.first()) {
        let why = why_ike(first, device);
        findings.refuse(place, "ike_proposals", why.0, format!("{}: add a proposal with it", why.1));
    }
    left_out(place, "ike_proposals", all.len(), said.len(), device, findings);
    limit(said, device)
}

/// The suites of ESP that `device` can say.
pub(super) fn esp(place: &str, proposals: &[EspProposal], device: &Device, findings: &mut Findings) -> Vec<EspWords> {
    let all = esp_suites(proposals);
    let said: Vec<EspWords> = all.iter().filter_map(|choice| esp_words(choice, device)).collect();
    if let (true, Some(first)) = (said.is_empty(), all.first()) {
        let why = why_esp(first, device);
        findings.refuse(place, "esp_proposals", why.0, format!("{}: add a proposal with it", why.1));
    }
    left_out(place, "esp_proposals", all.len(), said.len(), device, findings);
    limit(said, device)
}

fn left_out(place: &str, option: &str, all: usize, said: usize, device: &Device, findings: &mut Findings) {
    let told = if device.suites == Suites::First { said.min(1) } else { said };
    if told > 0 && told < all {
        let why = if said < all { format!("{} of them it cannot say", all - said) } else { "one is enough".to_owned() };
        findings.note(format!(
            "{place}: `{option}` allows {all} suites, {} is told {told}: {why}; our end takes any of them",
            device.title
        ));
    }
}

fn limit<T>(mut said: Vec<T>, device: &Device) -> Vec<T> {
    if device.suites == Suites::First {
        said.truncate(1);
    }
    said
}

fn ike_words(suite: &IkeSuite, device: &Device) -> Option<IkeWords> {
    let derived = suite.integrity.map(prf_of) == Some(suite.prf);
    let prf = match word(device.prfs, suite.prf) {
        Some(word) if derived || suite.integrity.is_none() || device.prf_apart => Some(word),
        None if derived => None,
        Some(_) | None => return None,
    };
    let integrity = match suite.integrity {
        Some(integrity) => Some(word(device.ike.integrities, integrity)?),
        None => None,
    };
    Some(IkeWords {
        suite: *suite,
        cipher: word(device.ike.ciphers, suite.cipher)?,
        aead: suite.cipher.is_aead(),
        integrity,
        prf,
        group: word(device.ike.groups, suite.group)?,
        number: suite.group.number(),
        ours: suite.to_string(),
    })
}

fn esp_words(choice: &EspChoice, device: &Device) -> Option<EspWords> {
    let integrity = match choice.suite.integrity {
        Some(integrity) => Some(word(device.esp.integrities, integrity)?),
        None => None,
    };
    let group = match choice.group {
        Some(group) => Some(word(device.esp.groups, group)?),
        None => None,
    };
    if (choice.suite.esn && !device.esn) || (choice.group.is_none() && device.pfs_required) {
        return None;
    }
    Some(EspWords {
        choice: *choice,
        cipher: word(device.esp.ciphers, choice.suite.cipher)?,
        aead: choice.suite.cipher.is_aead(),
        integrity,
        group,
        number: choice.group.map(Group::number),
        esn: choice.suite.esn,
        ours: choice.to_string(),
    })
}

/// What of the most preferred suite is missing, and the nearest.
fn why_ike(suite: &IkeSuite, device: &Device) -> (String, String) {
    let phase = &device.ike;
    if word(phase.ciphers, suite.cipher).is_none() {
        return (suite.cipher.name().to_owned(), nearest_cipher(suite.cipher, phase));
    }
    if let Some(integrity) = suite.integrity.filter(|integrity| word(phase.integrities, *integrity).is_none()) {
        return (integrity.name().to_owned(), nearest_integrity(integrity, phase));
    }
    if word(phase.groups, suite.group).is_none() {
        return (suite.group.name().to_owned(), nearest_group(suite.group, phase));
    }
    if let Some(integrity) = suite.integrity.filter(|_| !device.prf_apart) {
        let value = format!("{} beside {}", suite.prf.name(), integrity.name());
        return (value, nearest(prf_of(integrity).name()));
    }
    let near = device.prfs.iter().min_by_key(|(prf, _)| prf.output_len().abs_diff(suite.prf.output_len()));
    let near = near.map_or_else(
        || "the nearest it can is a PRF on the hash of the integrity algorithm".to_owned(),
        |(prf, _): &(Prf, _)| nearest(prf.name()),
    );
    (suite.prf.name().to_owned(), near)
}

fn why_esp(choice: &EspChoice, device: &Device) -> (String, String) {
    let phase = &device.esp;
    if word(phase.ciphers, choice.suite.cipher).is_none() {
        return (choice.suite.cipher.name().to_owned(), nearest_cipher(choice.suite.cipher, phase));
    }
    let integrity = choice.suite.integrity.filter(|integrity| word(phase.integrities, *integrity).is_none());
    if let Some(integrity) = integrity {
        return (integrity.name().to_owned(), nearest_integrity(integrity, phase));
    }
    match choice.group.filter(|group| word(phase.groups, *group).is_none()) {
        Some(group) => (group.name().to_owned(), nearest_group(group, phase)),
        None if choice.suite.esn && !device.esn => ("esn".to_owned(), nearest("noesn")),
        None => ("ESP without a group".to_owned(), nearest("modp2048")),
    }
}

fn nearest(word: &str) -> String {
    format!("the nearest it can is {word}")
}

fn nearest_cipher(wanted: Cipher, phase: &Phase) -> String {
    let far = |known: Cipher| (known.is_aead() != wanted.is_aead(), known.key_len().abs_diff(wanted.key_len()));
    let found = phase.ciphers.iter().min_by_key(|(known, _)| far(*known));
    found.map_or_else(|| "it has no cipher of ours".to_owned(), |(known, _)| nearest(known.name()))
}

fn nearest_integrity(wanted: Integrity, phase: &Phase) -> String {
    let found = phase.integrities.iter().min_by_key(|(known, _)| known.key_len().abs_diff(wanted.key_len()));
    found.map_or_else(|| "it has AEAD ciphers alone".to_owned(), |(known, _)| nearest(known.name()))
}

fn nearest_group(wanted: Group, phase: &Phase) -> String {
    let found = phase.groups.iter().min_by_key(|(known, _)| strength(*known).abs_diff(strength(wanted)));
    found.map_or_else(|| "it has no group of ours".to_owned(), |(known, _)| nearest(known.name()))
}

/// Bits of security, about (NIST SP 800-57 part 1, table 2).
fn strength(group: Group) -> u32 {
    match group {
        Group::Modp1024 | Group::Modp1024S160 => 80,
        Group::Modp1536 => 96,
        Group::Modp2048 | Group::Modp2048S224 | Group::Modp2048S256 => 112,
        Group::Modp3072 | Group::Ecp256 | Group::Curve25519 => 128,
        Group::Modp4096 => 152,
        Group::Modp6144 => 176,
        Group::Modp8192 | Group::Ecp384 => 192,
        Group::Ecp521 => 256,
    }
}
