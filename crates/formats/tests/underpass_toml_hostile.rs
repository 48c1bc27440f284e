//! `underpass.toml` against damaged files: every mutation of a good file is read or refused with places, nothing panics,
//! and no secret is repeated.

use formats::underpass_toml::{parse, secrets_path};
use formats::{Severity, SourceFile};
use proptest::prelude::*;

const CONFIG: &str = include_str!("../../../examples/underpass.toml");
const SECRETS: &str = include_str!("../../../examples/secrets.toml");

/// Bits of the format, and of its neighbours, that a mutation may put anywhere.
const WORDS: [&str; 45] = [
    "[",
    "]",
    "[[",
    "]]",
    "{",
    "}",
    "\"",
    "'",
    "\"\"\"",
    "=",
    ",",
    ".",
    "#",
    "\n",
    "\r\n",
    "\t",
    "\0",
    "\u{1b}[31m",
    "ü",
    "\u{10ffff}",
    "[gateway]\n",
    "[connection.site-b]\n",
    "[connection]\n",
    "[[connection]]\n",
    "child = 1\n",
    "psk = {}\n",
    "\"any\"",
    "-1",
    "0",
    "9223372036854775808",
    "0xffffffffffffffffffffff",
    "1e400",
    "nan",
    "true",
    "1979-05-27T07:32:00Z",
    "0.0.0.0/0",
    "::/0",
    "10.0.0.9-10.0.0.1",
    "routes = [\"0.0.0.0/0\"]\n",
    "remote_address = [\"any\", \"192.0.2.2\"]\n",
    "ike_version = \"ikev1\"\n",
    "ike_version = \"both\"\n",
    "aggressive = true\n",
    "split_selectors = true\n",
    "sha256_96 = true\n",
];

#[derive(Clone, Debug)]
enum Mutation {
    Cut { at: usize, length: usize },
    Insert { at: usize, word: usize },
    Copy { from: usize, length: usize, to: usize },
    Replace { at: usize, with: char },
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let at = 0..CONFIG.len();
    prop_oneof![
        (at.clone(), 1..40_usize).prop_map(|(at, length)| Mutation::Cut { at, length }),
        (at.clone(), 0..WORDS.len()).prop_map(|(at, word)| Mutation::Insert { at, word }),
        (at.clone(), 1..200_usize, at.clone()).prop_map(|(from, length, to)| Mutation::Copy { from, length, to }),
        (at, any::<char>()).prop_map(|(at, with)| Mutation::Replace { at, with }),
    ]
}

fn mutate(text: &str, mutations: &[Mutation]) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    for mutation in mutations {
        let size = chars.len();
        let range = |at: usize, length: usize| at.min(size)..(at + length).min(size).max(at.min(size));
        match *mutation {
            Mutation::Cut { at, length } => drop(chars.drain(range(at, length))),
            Mutation::Insert { at, word } => drop(chars.splice(range(at, 0), WORDS[word].chars())),
            Mutation::Copy { from, length, to } => {
                let copied = chars[range(from, length)].to_vec();
                drop(chars.splice(range(to, 0), copied));
            }
            Mutation::Replace { at, with } => drop(chars.splice(range(at, 1), [with])),
        }
    }
    chars.into_iter().collect()
}

fn check(config: &str, secrets: &str) {
    let files = [SourceFile::new("underpass.toml", config)];
    let keys = [SourceFile::new("secrets.toml", secrets)];
    assert!(!secrets_path(&files).is_empty());
    let found = match parse(&files, &keys) {
        Ok(loaded) => {
            assert!(loaded.warnings.iter().all(|d| d.severity == Severity::Warning));
            loaded.warnings
        }
        Err(found) => {
            assert!(found.iter().any(|d| d.severity == Severity::Error), "refused without an error");
            found
        }
    };
    for diagnostic in found {
        let source = if diagnostic.file == "secrets.toml" { secrets } else { config };
        assert!(diagnostic.file == "secrets.toml" || diagnostic.file == "underpass.toml");
        assert!((1..=source.split('\n').count()).contains(&diagnostic.line), "{diagnostic:?}");
        assert!(diagnostic.column >= 1 && diagnostic.length >= 1 && !diagnostic.message.is_empty(), "{diagnostic:?}");
        let rendered = diagnostic.to_string();
        assert!(!rendered.contains(|c: char| c.is_control() && c != '\n' && c != '\t'), "{rendered:?}");
        assert!(
            !rendered.contains("4Jw0Qm2kT8") && !rendered.contains("cHVibGlzaGVk") && !rendered.contains("nQ7vX3pLs9"),
            "{rendered}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_configuration_is_read_or_refused_with_a_place(mutations in prop::collection::vec(mutation(), 1..6)) {
        check(&mutate(CONFIG, &mutations), SECRETS);
    }

    #[test]
    fn damaged_secrets_are_read_or_refused_without_being_repeated(mutations in prop::collection::vec(mutation(), 1..4)) {
        check(CONFIG, &mutate(SECRETS, &mutations));
    }

    #[test]
    fn any_text_is_read_or_refused_with_a_place(config in ".{0,200}", secrets in ".{0,100}") {
        check(&config, &secrets);
    }
}

#[test]
fn every_prefix_of_a_good_file_is_read_or_refused_with_a_place() {
    for (end, _) in CONFIG.char_indices() {
        check(&CONFIG[..end], SECRETS);
    }
}

#[test]
fn a_file_too_large_is_refused_and_a_deep_one_does_not_overflow_the_stack() {
    let large = format!("# {}", "x".repeat(2 << 20));
    let found = parse(&[SourceFile::new("u.toml", large)], &[]).expect_err("too large");
    assert!(found[0].message.contains("at most"), "{}", found[0].message);
    check(&format!("x = {}", "[".repeat(200_000)), SECRETS);
    check(&format!("x = {}", "{a=".repeat(100_000)), SECRETS);
    check(&format!("{} = 1", vec!["a"; 100_000].join(".")), SECRETS);
    check(&format!("[{}]", vec!["connection"; 50_000].join(".")), SECRETS);
}

#[test]
fn thousands_of_overlapping_connections_are_told_about_without_endless_work() {
    let connection = |n: usize| {
        format!(
            "[connection.c{n}]\npsk = 'site-b'\nlocal_id = 'a'\nremote_address = '192.0.2.{}'\n\
             [connection.c{n}.child.x]\nlocal_subnets = '10.0.0.0/8'\nremote_subnets = '172.16.0.0/12'\n",
            n % 250 + 1
        )
    };
    let config: String = (0..4000).map(connection).collect();
    check(&config, SECRETS);
}
