//! The managed service's names of algorithms in our words, and its lists of them as proposals.

use super::super::finding::{Findings, shown};
use super::super::place::Sourced;
use crypto::Group;

/// Groups from the one to prefer to the one to avoid: first those of elliptic curves, then by strength without the slowest first.
const GROUPS: [u16; 14] = [20, 19, 21, 31, 16, 15, 14, 17, 18, 24, 23, 22, 5, 2];

/// `aes-128-cbc`, `AES128`, `AES256-GCM-16`.
fn cipher(text: &str) -> Option<&'static str> {
    let folded = fold(text);
    Some(match folded.as_str() {
        "aes128" | "aes128cbc" | "aescbc128" => "aes128",
        "aes192" | "aes192cbc" | "aescbc192" => "aes192",
        "aes256" | "aes256cbc" | "aescbc256" => "aes256",
        "aes128gcm16" | "aes128gcm" | "aesgcm128" => "aes128gcm16",
        "aes256gcm16" | "aes256gcm" | "aesgcm256" => "aes256gcm16",
        _ => return None,
    })
}

/// `sha1`, `hmac-sha1-96`, `SHA2-256`, `hmac-sha2-256-128`.
fn integrity(text: &str) -> Option<&'static str> {
    let folded = fold(text);
    let folded = folded.strip_prefix("hmac").unwrap_or(&folded);
    Some(match folded {
        "sha1" | "sha196" | "sha" => "sha1",
        "sha2256" | "sha256" | "sha2256128" | "sha256128" => "sha256",
        "sha2384" | "sha384" | "sha2384192" | "sha384192" => "sha384",
        "sha2512" | "sha512" | "sha2512256" | "sha512256" => "sha512",
        _ => return None,
    })
}

/// `Group 2`, `group2`, `Diffie-Hellman Group 2`, `14`.
fn group(text: &str) -> Option<Group> {
    let digits = text.trim().rsplit(|c: char| !c.is_ascii_digit()).next()?;
    Group::from_number(digits.parse().ok()?)
}

fn fold(text: &str) -> String {
    text.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

/// One suite as a proposal. An unknown word is an error.
pub(super) fn one(
    encryption: Option<Sourced<&str>>,
    authentication: Option<Sourced<&str>>,
    dh: Option<Sourced<&str>>,
    ike: bool,
    findings: &mut Findings,
) -> Option<Sourced<String>> {
    let encryption = encryption?;
    let cipher = known(&encryption, "encryption algorithm", cipher, findings)?;
    let mut words = vec![cipher.to_owned()];
    if let Some(authentication) = authentication {
        let word = known(&authentication, "authentication algorithm", integrity, findings)?;
        match (cipher.contains("gcm"), ike) {
            (false, _) => words.push(word.to_owned()),
            (true, true) => words.push(format!("prf{word}")),
            (true, false) => {}
        }
    }
    if let Some(dh) = dh {
        let off = matches!(fold(dh.value).as_str(), "disabled" | "none" | "no" | "off");
        if !off {
            words.push(known(&dh, "Diffie-Hellman group", group, findings)?.name().to_owned());
        }
    }
    Some(encryption.with(words.join("-")))
}

fn known<T>(text: &Sourced<&str>, what: &str, read: impl Fn(&str) -> Option<T>, findings: &mut Findings) -> Option<T> {
    let found = read(text.value);
    if found.is_none() {
        let message = format!("`{}` is no {what} that Underpass has", shown(text.value));
        findings.error(
            &text.at,
            message,
            "choose another in the tunnel options of the VPN connection, and download the file again",
        );
    }
    found
}

/// Everything the lists allow, strongest first: one proposal for AES-GCM, one for AES-CBC. What we lack is left out with a note.
pub(super) fn listed(lists: &[Vec<Sourced<String>>; 3], ike: bool, findings: &mut Findings) -> Vec<Sourced<String>> {
    let [encryption, authentication, dh] = lists;
    let Some(first) = encryption.first() else { return Vec::new() };
    let ciphers = usable(encryption, "encryption algorithm", cipher, findings);
    let integrities = usable(authentication, "integrity algorithm", integrity, findings);
    let mut groups = usable(dh, "Diffie-Hellman group", group, findings);
    groups.sort_by_key(|group| GROUPS.iter().position(|known| *known == group.number()));
    let has = |list: &[&'static str], word| list.contains(&word);
    let in_order = |order: &[&'static str], list: &[&'static str]| -> Vec<String> {
        order.iter().filter(|word| has(list, word)).map(|word| (*word).to_owned()).collect()
    };
    let hashes = in_order(&["sha512", "sha384", "sha256", "sha1"], &integrities);
    let groups: Vec<String> = groups.iter().map(|group| group.name().to_owned()).collect();
    let mut proposals = Vec::new();
    let aead = in_order(&["aes256gcm16", "aes128gcm16"], &ciphers);
    if !aead.is_empty() {
        let prfs: Vec<String> = if ike { hashes.iter().map(|hash| format!("prf{hash}")).collect() } else { Vec::new() };
        proposals.push([aead, prfs, groups.clone()].concat());
    }
    let cbc = in_order(&["aes256", "aes192", "aes128"], &ciphers);
    if !cbc.is_empty() && !hashes.is_empty() {
        proposals.push([cbc, hashes, groups].concat());
    }
    proposals.into_iter().map(|words| first.with(words.join("-"))).collect()
}

fn usable<T: PartialEq>(
    list: &[Sourced<String>],
    what: &str,
    read: impl Fn(&str) -> Option<T>,
    findings: &mut Findings,
) -> Vec<T> {
    let mut found = Vec::new();
    for text in list {
        match read(&text.value) {
            Some(value) if found.contains(&value) => {}
            Some(value) => found.push(value),
            None => {
                let message = format!("Underpass lacks the {what} `{}`: never offered", shown(&text.value));
                findings.note(&text.at, message, "");
            }
        }
    }
    found
}

/// Whether a suite of the XML is among what the lists allow.
pub(super) fn within(words: &str, lists: &[Vec<Sourced<String>>; 3]) -> bool {
    let [encryption, authentication, dh] = lists;
    words.split('-').all(|word| {
        let bare = word.strip_prefix("prf").unwrap_or(word);
        let is = |found: Option<&'static str>| found == Some(bare);
        encryption.iter().any(|text| is(cipher(&text.value)))
            || authentication.iter().any(|text| is(integrity(&text.value)))
            || dh.iter().any(|text| is(group(&text.value).map(Group::name)))
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::place::Spot;
    use super::*;

    fn list(words: &[&str]) -> Vec<Sourced<String>> {
        let at = Spot { file: "f".into(), line: 1, column: 1 };
        words.iter().map(|word| Sourced::new((*word).to_owned(), &at)).collect()
    }

    #[test]
    fn the_services_names_become_our_words() {
        let at = Spot { file: "f".into(), line: 1, column: 1 };
        let text = |text| Some(Sourced::new(text, &at));
        let table = [
            ("aes-128-cbc", "sha1", "Group 2", true, Some("aes128-sha1-modp1024")),
            ("aes-128-cbc", "hmac-sha1-96", "Diffie-Hellman Group 2", false, Some("aes128-sha1-modp1024")),
            ("aes-256-cbc", "sha2-256", "group14", true, Some("aes256-sha256-modp2048")),
            ("AES256-GCM-16", "SHA2-384", "20", true, Some("aes256gcm16-prfsha384-ecp384")),
            ("AES256-GCM-16", "SHA2-384", "20", false, Some("aes256gcm16-ecp384")),
            ("aes-128-cbc", "hmac-sha1-96", "disabled", false, Some("aes128-sha1")),
            ("3des", "sha1", "Group 2", true, None),
            ("aes-128-cbc", "md5", "Group 2", true, None),
            ("aes-128-cbc", "sha1", "Group 1", true, None),
        ];
        for (encryption, authentication, dh, ike, expected) in table {
            let mut findings = Findings::default();
            let read = one(text(encryption), text(authentication), text(dh), ike, &mut findings);
            assert_eq!(read.map(|read| read.value).as_deref(), expected, "{encryption} {authentication} {dh}");
            assert_eq!(findings.errors() > 0, expected.is_none());
        }
    }

    #[test]
    fn lists_become_proposals_strongest_first_without_what_we_lack() {
        let mut findings = Findings::default();
        let lists = [list(&["AES128", "AES256-GCM-16"]), list(&["SHA1", "SHA2-512"]), list(&["2", "14", "20", "35"])];
        let texts: Vec<String> = listed(&lists, true, &mut findings).into_iter().map(|text| text.value).collect();
        assert_eq!(
            texts,
            ["aes256gcm16-prfsha512-prfsha1-ecp384-modp2048-modp1024", "aes128-sha512-sha1-ecp384-modp2048-modp1024"]
        );
        let notes = findings.into_list();
        assert!(notes.len() == 1 && notes[0].message.contains("`35`"), "{notes:?}");
        assert!(within("aes128-sha1-modp1024", &lists) && !within("aes128-sha256-modp1024", &lists));
    }
}
