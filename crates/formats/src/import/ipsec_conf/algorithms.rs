//! Proposals of the dialects in our words: `aes128-sha1;modp1024`, `aes256-sha2_256-dh14!`, `aes_gcm256-null`.

use super::super::finding::{Findings, shown};
use super::super::place::Sourced;
use super::super::values::Phase;
use super::Dialect;
use crypto::Group;
use ike::proposal::{EspProposal, IkeProposal};

/// Every proposal of a list that we have. One that we lack is left out with a warning; when none is left, that is an error.
pub(crate) fn list(
    text: &Sourced<&str>,
    phase: Phase,
    dialect: Dialect,
    findings: &mut Findings,
) -> Vec<Sourced<String>> {
    let strict = text.value.trim().ends_with('!');
    let body = text.value.trim().trim_end_matches('!');
    let mut found: Vec<Sourced<String>> = Vec::new();
    let mut reasons: Vec<String> = Vec::new();
    let mut offset = 0;
    for item in body.split(',') {
        let lead = item.len() - item.trim_start().len();
        let mut at = text.at.clone();
        at.column += body.get(..offset + lead).map_or(0, |before| before.chars().count());
        offset += item.len() + 1;
        let item = item.trim();
        if item.is_empty() {
            continue;
        }
        let ours = translate(item, phase);
        let checked = match phase {
            Phase::Ike => IkeProposal::parse_list(&ours).map(|_| ()),
            Phase::Esp => EspProposal::parse_list(&ours, false).map(|_| ()),
        };
        match checked {
            Ok(()) => found.push(Sourced::new(ours, &at)),
            // O and L take the group of IKE from elsewhere when none is named.
            Err(error) => reasons.push(format!("`{}`: {}", shown(item), shown(&error.to_string()))),
        }
    }
    let all = reasons.join("; ");
    match (found.is_empty(), reasons.is_empty()) {
        (true, _) => {
            let message = if all.is_empty() {
                "the list of algorithms is empty".to_owned()
            } else {
                format!("no proposal that Underpass has: {all}")
            };
            let help = "Underpass has AES, AES-GCM and ChaCha20-Poly1305 with SHA-1 to SHA-512, and groups from modp1024 on; agree on one with the other end";
            findings.error(&text.at, message, help);
        }
        (false, false) => findings.warning(&text.at, format!("left out, because Underpass lacks it: {all}"), ""),
        (false, true) => {}
    }
    if dialect == Dialect::Strongswan && !strict && !found.is_empty() {
        let message = "without `!` strongSwan would also take proposals of its own behind these: here these alone are offered and taken";
        findings.note(&text.at, message, "");
    }
    found
}

/// One proposal, word by word. Words that nobody knows stay, to be reported.
fn translate(item: &str, phase: Phase) -> String {
    let folded = item.to_ascii_lowercase().replace([';', '+'], "-");
    let mut out: Vec<String> = Vec::new();
    let parts: Vec<&str> = folded.split('-').collect();
    let mut index = 0;
    while let Some(part) = parts.get(index) {
        index += 1;
        let next = parts.get(index).copied();
        // `aes_gcm_c-256`, `aes_cbc-128`, `aes-256`: the length is a word of its own.
        let length = next
            .filter(|next| matches!(*next, "128" | "192" | "256") && part.starts_with("aes") && !part.ends_with("128"));
        if length.is_some() {
            index += 1;
        }
        let aead = out.first().is_some_and(|word| word.contains("gcm") || word.contains("chacha"));
        match *part {
            // AEAD brings its own integrity.
            "null" | "none" if aead => {}
            // `hmac-sha1-96` and the like.
            "96" | "hmac" if !out.is_empty() || *part == "hmac" => {}
            "none" if phase == Phase::Esp => {}
            other => out.push(word(other, length)),
        }
    }
    out.join("-")
}

fn word(text: &str, length: Option<&str>) -> String {
    let bare = text.replace('_', "");
    let sized = |rest: &str| -> Option<String> {
        let rest = rest.trim_start_matches("cbc").trim_start_matches("ctr");
        let size = if rest.is_empty() { length.unwrap_or("128") } else { rest };
        matches!(size, "128" | "192" | "256").then(|| format!("aes{size}"))
    };
    if let Some(rest) = bare.strip_prefix("aesgcm") {
        // 16 octets of check value are a, b, c, or their number of bits or octets.
        let rest = rest.strip_prefix('c').unwrap_or(rest);
        let (size, icv) = match rest.len() {
            0 => (length.unwrap_or("128"), ""),
            _ => rest.split_at(3.min(rest.len())),
        };
        if matches!(size, "128" | "192" | "256") && matches!(icv, "" | "16" | "128") {
            return format!("aes{size}gcm16");
        }
        return text.to_owned();
    }
    if let Some(rest) =
        bare.strip_prefix("aes").filter(|rest| !rest.contains("gcm") && !rest.contains("ccm") && !rest.contains("mac"))
    {
        if !bare.contains("ctr")
            && let Some(word) = sized(rest)
        {
            return word;
        }
        return text.to_owned();
    }
    match bare.as_str() {
        "sha1" | "sha" | "sha196" => "sha1".to_owned(),
        "sha2" | "sha256" | "sha2256" | "sha2256128" => "sha256".to_owned(),
        "sha384" | "sha2384" | "sha2384192" => "sha384".to_owned(),
        "sha512" | "sha2512" | "sha2512256" => "sha512".to_owned(),
        "curve25519" => "x25519".to_owned(),
        "chacha20poly1305" | "chacha20poly1305128" => "chacha20poly1305".to_owned(),
        "prfsha1" | "prfsha256" | "prfsha384" | "prfsha512" => bare,
        "ecp192" | "ecp224" => text.to_owned(),
        other => group(other).unwrap_or_else(|| text.to_owned()),
    }
}

/// `dh14`, `group14`, `modp2048`.
pub(super) fn group(text: &str) -> Option<String> {
    let number = text.strip_prefix("dh").or_else(|| text.strip_prefix("group"));
    let by_number = number.and_then(|number| Group::from_number(number.parse().ok()?));
    let group = by_number.or_else(|| Group::ALL.into_iter().find(|group| group.name() == text));
    group.map(|group| if group.name() == "curve25519" { "x25519".to_owned() } else { group.name().to_owned() })
}

/// The groups among the words of a proposal.
pub(super) fn groups(proposal: &str) -> Vec<&str> {
    proposal.split('-').filter(|word| group(word).is_some() || *word == "x25519").collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::place::Spot;
    use super::*;

    #[test]
    fn proposals_of_all_dialects_become_our_words() {
        let at = Spot { file: "f".into(), line: 1, column: 5 };
        let table = [
            ("aes128-sha1;modp1024", Phase::Ike, vec!["aes128-sha1-modp1024"]),
            ("aes128-sha1-modp1024!", Phase::Ike, vec!["aes128-sha1-modp1024"]),
            (
                "aes256-sha2_256;dh14,aes_gcm256-sha2_512;dh19",
                Phase::Ike,
                vec!["aes256-sha256-modp2048", "aes256gcm16-sha512-ecp256"],
            ),
            ("aes_gcm256-null", Phase::Esp, vec!["aes256gcm16"]),
            ("aes_gcm_c-256-null;modp2048", Phase::Esp, vec!["aes256gcm16-modp2048"]),
            ("aes128gcm128-x25519", Phase::Esp, vec!["aes128gcm128-x25519"]),
            ("AES256-SHA256-MODP2048", Phase::Esp, vec!["aes256-sha256-modp2048"]),
            ("aes-sha1", Phase::Esp, vec!["aes128-sha1"]),
            ("aes_cbc-256-sha2_512", Phase::Esp, vec!["aes256-sha512"]),
            ("chacha20poly1305-prfsha256-curve25519", Phase::Ike, vec!["chacha20poly1305-prfsha256-x25519"]),
            ("3des-md5;modp1024, aes128-sha1;modp1024", Phase::Ike, vec!["aes128-sha1-modp1024"]),
            ("3des-sha1", Phase::Esp, vec![]),
            ("aes128-sha1-mod", Phase::Ike, vec![]),
            ("aes128gcm64", Phase::Esp, vec![]),
            ("", Phase::Esp, vec![]),
        ];
        for (text, phase, expected) in table {
            let mut findings = Findings::default();
            let read = list(&Sourced::new(text, &at), phase, Dialect::Libreswan, &mut findings);
            let read: Vec<&str> = read.iter().map(|text| text.value.as_str()).collect();
            assert_eq!(read, expected, "{text}");
            assert_eq!(findings.errors() > 0, expected.is_empty(), "{text}");
        }
        assert_eq!(groups("aes128-sha1-modp1024-x25519"), ["modp1024", "x25519"]);
    }
}
