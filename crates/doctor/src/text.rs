//! Text from elsewhere, made fit to be shown: no control characters, not endless, nothing that looks like a key.

/// Characters of one line that are shown.
const LONGEST: usize = 400;
/// What stands in the place of a secret.
const MASK: &str = "(hidden)";

/// One line of bounded length, without what a terminal would take for a command.
pub(crate) fn bounded(text: &str) -> String {
    let mut shown: String = text.chars().take(LONGEST).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    shown
}

/// The same, with whatever may be a pre-shared key or a password hidden.
pub(crate) fn masked(text: &str) -> String {
    let text = bounded(text);
    let lower = text.to_ascii_lowercase();
    // ASCII in lower case has the same length, so places in one are places in the other.
    let start = WORDS.iter().filter_map(|word| after_word(&lower, word)).min();
    let mut shown = match start.and_then(|at| text.split_at_checked(at)) {
        Some((head, tail)) if !tail.trim().is_empty() => format!("{head} {MASK}"),
        Some(_) | None => text,
    };
    shown = shown.split(' ').map(|word| if looks_like_a_key(word) { MASK } else { word }).collect::<Vec<_>>().join(" ");
    shown
}

/// Words after which a key stands in other people's configurations and logs.
const WORDS: [&str; 12] = [
    "psk \"",
    "psk \'",
    "psk=",
    ": psk ",
    "secret=",
    "secret \"",
    "password=",
    "password \"",
    "pre-shared-key ",
    "pre-shared-key=",
    "psksecret ",
    "authentication-key ",
];

/// The place behind a word, if something follows it.
fn after_word(text: &str, word: &str) -> Option<usize> {
    text.find(word).map(|at| at + word.len())
}

/// Long, and of letters, digits and the characters of base64 without the shape of an address, a time, an SPI or a name.
fn looks_like_a_key(word: &str) -> bool {
    let word = word.trim_matches(|c: char| matches!(c, '"' | '\'' | ',' | ';' | '(' | ')' | '[' | ']'));
    let of_base64 = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=' | '.' | '_');
    let has = |test: fn(&char) -> bool| word.chars().filter(test).count();
    word.len() >= 24
        && word.chars().all(of_base64)
        && has(char::is_ascii_digit) >= 2
        && has(char::is_ascii_uppercase) >= 2
        && has(char::is_ascii_lowercase) >= 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_may_be_a_key_is_hidden() {
        for line in [
            "13.237.83.228 13.236.192.60: PSK \"kPmqSZ7.example_key\"",
            "config: psk=kPmqSZ7 and more",
            "crypto isakmp key: pre-shared-key kPmqSZ7.example",
            "set psksecret kPmqSZ7",
            "got kPmqSZ7aaaaBBBBcccc1234dddd= from him",
        ] {
            let shown = masked(line);
            assert!(!shown.contains("kPmqSZ7") && shown.contains(MASK), "{shown}");
        }
        for line in [
            "08[IKE] received NO_PROPOSAL_CHOSEN notify error",
            "AES_CBC_256/HMAC_SHA2_256_128/PRF_HMAC_SHA2_256/MODP_2048",
            "AWS tunnel detected a pre-shared key mismatch with cgw: cgw-0123456789abcdef0",
            "%CRYPTO-4-IKMP_BAD_MESSAGE: IKE message from 192.0.2.1 failed its sanity check or is malformed",
        ] {
            assert_eq!(masked(line), line);
        }
    }

    #[test]
    fn a_line_is_bounded_and_harmless() {
        let shown = bounded(&"\u{1b}[2Jx".repeat(1000));
        assert!(shown.chars().count() <= LONGEST + 1 && !shown.contains('\u{1b}'));
    }
}
