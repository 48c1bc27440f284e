//! Pre-shared keys as they are pasted: placeholders of templates, quotes and blanks that came along, the managed service's rules.
//! No message repeats a key.

use super::finding::Findings;
use super::place::{Sourced, Spot};
use crypto::SecretBytes;

/// Takes a key as it stands. `None` when it is the placeholder of a template, which is an error.
pub(crate) fn accept(text: &str, at: &Spot, aws: bool, findings: &mut Findings) -> Option<Sourced<SecretBytes>> {
    if text.is_empty() {
        findings.error(at, "the pre-shared key is empty", "write the key that both ends hold there");
        return None;
    }
    if is_template(text) {
        let help = "write the key that both ends hold there (the other end's administrator, or the console it was made in, has it)";
        findings.error(at, "the pre-shared key is still the placeholder of a template", help);
        return None;
    }
    let help = "compare it with the key of the other end, character by character";
    if reads_like_an_instruction(text) {
        let message = "the pre-shared key reads like the words of a template: taken as it stands";
        findings.warning(at, message, "make sure that both ends hold it, and change both to 32 random bytes");
    }
    if text.trim() != text {
        findings.warning(at, "the pre-shared key begins or ends with a blank: the blank is part of it", help);
    }
    if text.contains(['\n', '\r']) {
        findings.warning(at, "the pre-shared key contains a line end: it is part of it", help);
    }
    let quoted = |quote: char| text.len() > 1 && text.starts_with(quote) && text.ends_with(quote);
    if quoted('"') || quoted('\'') {
        findings.warning(at, "the pre-shared key is in quotes: they are part of it here", help);
    }
    if aws && let Some(rule) = broken_rule(text) {
        let message = format!("the pre-shared key breaks a rule of the managed service: {rule}");
        findings.warning(
            at,
            message,
            "the other end cannot hold it: download the configuration again, or paste the key anew",
        );
    }
    Some(Sourced::new(SecretBytes::from(text.as_bytes()), at))
}

/// The rule for keys of the managed service that `text` breaks (EC2 API, `PreSharedKey`).
fn broken_rule(text: &str) -> Option<String> {
    let length = text.chars().count();
    if !(8..=64).contains(&length) {
        return Some(format!("it has {length} characters; 8 to 64 are allowed"));
    }
    if text.starts_with('0') {
        return Some("it begins with 0".to_owned());
    }
    let position = text.chars().position(|c| !(c.is_ascii_alphanumeric() || c == '.' || c == '_'))?;
    Some(format!("character {} is none of letters, digits, `.` and `_`", position + 1))
}

/// What nobody would choose as a key.
fn is_template(text: &str) -> bool {
    let marks = |open: &str, close: &str| text.trim().starts_with(open) && text.trim().ends_with(close);
    let one_character = |c: char| text.len() > 3 && text.chars().all(|other| other == c);
    marks("<", ">")
        || marks("${", "}")
        || marks("{{", "}}")
        || marks("<%", "%>")
        || ['#', 'x', 'X', '*', '.', '?', '-'].into_iter().any(one_character)
        || (reads_like_an_instruction(text)
            && (text.trim().contains(' ') || !text.contains(|c: char| c.is_lowercase())))
}

fn reads_like_an_instruction(text: &str) -> bool {
    let words: String = text.chars().filter(|c| c.is_ascii_alphabetic()).map(|c| c.to_ascii_lowercase()).collect();
    let about = ["psk", "presharedkey", "password", "secret", "passphrase"].iter().any(|word| words.contains(word));
    let telling = ["your", "put", "here", "plaintext", "changeme", "replace", "example", "insert", "enter"];
    words == "changeme" || (about && (telling.iter().any(|word| words.contains(word)) || words.len() < 14))
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    #[test]
    fn templates_are_refused_and_odd_keys_are_warned_of_without_showing_them() {
        // (key, of the managed service, refused, words of the warning)
        let table = [
            ("29OPD93jPpedOtg2Cn9rUEfLFZHkfT3r", true, false, ""),
            (".Fz4U4XXzK1T2ibjqps2VTK81YQXV1jD", true, false, ""),
            ("PRE-SHARED-KEY-IN-PLAIN-TEXT", true, true, "placeholder"),
            ("Your IPsec Password", false, true, "placeholder"),
            ("<psk>", false, true, "placeholder"),
            ("${PSK}", false, true, "placeholder"),
            ("######", false, true, "placeholder"),
            ("xxxxxxxx", false, true, "placeholder"),
            ("", false, true, "empty"),
            ("put_your_psk_here", false, false, "words of a template"),
            ("kq3 8dpw", true, false, "character 4 is none of"),
            ("short", true, false, "5 characters"),
            ("0123456789abc", true, false, "begins with 0"),
            ("qwertzuiop ", false, false, "blank"),
            ("\"qwertzuiop\"", false, false, "quotes"),
            ("qwer\ntzuiop", false, false, "line end"),
        ];
        for (key, aws, refused, words) in table {
            let mut findings = Findings::default();
            let at = Spot { file: "f".into(), line: 1, column: 1 };
            assert_eq!(accept(key, &at, aws, &mut findings).is_none(), refused, "{key:?}");
            let list = findings.into_list();
            assert_eq!(list.is_empty(), words.is_empty(), "{key:?} {list:?}");
            for finding in list {
                assert!(finding.message.contains(words), "{key:?} {finding}");
                assert!(key.is_empty() || !finding.to_string().contains(key), "{key:?} is shown: {finding}");
                assert_eq!(finding.level == Level::Error, refused);
            }
        }
    }
}
