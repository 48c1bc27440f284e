//! Answers that need no SA, and what is known of commands and events.

use super::Message;
use super::suite::{authentication, encryption, group, prf};
use crypto::{Cipher, Group, Integrity, Prf};

/// Events that a client may register for.
pub const EVENTS: [&str; 12] = [
    "log",
    "control-log",
    "list-sa",
    "list-policy",
    "list-conn",
    "list-cert",
    "list-authority",
    "ike-updown",
    "ike-rekey",
    "child-updown",
    "child-rekey",
    "ike-update",
];

/// Characters of an error text that are told: a value has room for 65,535 bytes.
const LONGEST_REASON: usize = 2000;

impl Message {
    /// It was done.
    #[must_use]
    pub fn success() -> Message {
        Message::new().with("success", "yes")
    }

    /// It was not, and why.
    #[must_use]
    pub fn failure(why: impl AsRef<str>) -> Message {
        let why: String = why.as_ref().chars().take(LONGEST_REASON).collect();
        Message::new().with("success", "no").with("errmsg", why)
    }

    /// `get-algorithms`: what proposals may have in them, and who does it.
    #[must_use]
    pub fn algorithms() -> Message {
        let kinds = |aead: bool| {
            let mut names: Vec<&str> = Vec::new();
            for cipher in Cipher::ALL.into_iter().filter(|cipher| *cipher != Cipher::Null && cipher.is_aead() == aead) {
                let name = encryption(cipher).0;
                if !names.contains(&name) {
                    names.push(name);
                }
            }
            names
        };
        let section = |names: &[&str]| names.iter().fold(Message::new(), |all, name| all.with(name, "underpass"));
        Message::new()
            .with_section("encryption", section(&kinds(false)))
            .with_section("integrity", section(&Integrity::ALL.map(authentication)))
            .with_section("aead", section(&kinds(true)))
            .with_section("prf", section(&Prf::ALL.map(prf)))
            .with_section("ke", section(&Group::ALL.map(group)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_text_of_any_length_fits_into_an_answer_and_is_cut_between_characters() {
        for text in ["ä".repeat(5000), "x".repeat(70_000), "short".to_owned()] {
            let failure = Message::failure(&text);
            let said = failure.text("errmsg").unwrap_or_default();
            assert!(text.starts_with(said) && said.chars().count() <= LONGEST_REASON && !said.is_empty());
            assert_eq!(failure.text("success"), Some("no"));
        }
    }

    #[test]
    fn algorithms_are_listed_once_each_by_kind() {
        let all = Message::algorithms();
        let Some(crate::vici::Value::Section(aead)) = all.get("aead") else { panic!("no aead") };
        assert_eq!(aead.entries().len(), 2, "{aead:?}");
        assert_eq!(aead.text("AES_GCM_16"), Some("underpass"));
    }
}
