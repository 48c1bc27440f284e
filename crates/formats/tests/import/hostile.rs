//! Whatever stands in a file: no panic, a finding has a place, a refusal an error, and what is imported can be read back.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

use crate::support::here;
use formats::diagnostic::code;
use formats::import::{Format, InMemory, Input, Keys, Level, import};
use formats::{Severity, SourceFile, underpass_toml};

/// The seeds of the fuzz targets: a file, and what it includes or what lies beside it, separated by zero bytes.
const SEEDS: [(&str, Option<Format>, &str); 11] = [
    ("a.conf", None, include_str!("../../../../fuzz/corpus/import_ipsec_conf/guide")),
    (
        "a.conf",
        Some(Format::Strongswan),
        include_str!("../../../../fuzz/corpus/import_ipsec_conf/default-also-include"),
    ),
    ("a.conf", Some(Format::Libreswan), include_str!("../../../../fuzz/corpus/import_ipsec_conf/many-keys")),
    ("a.conf", Some(Format::Openswan), include_str!("../../../../fuzz/corpus/import_ipsec_conf/loop")),
    ("a.conf", Some(Format::Swanctl), include_str!("../../../../fuzz/corpus/import_swanctl/gw-gw")),
    ("a.conf", Some(Format::Vyos), include_str!("../../../../fuzz/corpus/import_vyos/vti")),
    ("a.conf", Some(Format::Vyos), include_str!("../../../../fuzz/corpus/import_vyos/named")),
    ("a.conf", Some(Format::AwsText), include_str!("../../../../fuzz/corpus/import_aws/text")),
    ("a.conf", Some(Format::AwsXml), include_str!("../../../../fuzz/corpus/import_aws/xml")),
    ("a.conf", Some(Format::AwsJson), include_str!("../../../../fuzz/corpus/import_aws/json")),
    ("a.conf", Some(Format::AwsJson), include_str!("../../../../fuzz/corpus/import_aws/bare")),
];

fn check(path: &str, format: Option<Format>, text: &str) -> usize {
    let mut parts = text.split('\0');
    let input = Input::new(path, parts.next().unwrap_or_default().as_bytes());
    let mut others = InMemory::default();
    let swanctl = format == Some(Format::Swanctl);
    for (path, text) in if swanctl { ["b.conf", "c"] } else { ["a.secrets", "b.conf"] }.into_iter().zip(parts) {
        others.0.insert(path.to_owned(), text.as_bytes().to_vec());
    }
    let imported = import(&[input], &mut others, format, &here(&["192.0.2.1"]));
    let errors = imported.findings.iter().filter(|finding| finding.level == Level::Error).count();
    assert!(imported.refused.is_empty() || errors > 0, "refused without a word:\n{text}");
    assert!(imported.findings.iter().all(|finding| finding.line > 0 && finding.column > 0));
    let rendered = imported.to_toml(Keys::Written, None);
    let config = [SourceFile::new("underpass.toml", rendered.config.clone())];
    let secrets = [SourceFile::new("secrets.toml", rendered.secrets.as_str())];
    for found in underpass_toml::parse(&config, &secrets).err().unwrap_or_default() {
        let invalid = found.severity == Severity::Error && found.code == code::INVALID;
        assert!(!invalid, "{found}\nof\n{text}\nbecame\n{}", rendered.config);
    }
    imported.connections.len()
}

#[test]
fn every_seed_but_the_loop_imports() {
    for (index, (path, format, seed)) in SEEDS.into_iter().enumerate() {
        assert_eq!(check(path, format, seed) > 0, index != 3, "seed {index}");
    }
}

#[test]
fn files_cut_off_anywhere_are_read_or_refused() {
    for (path, format, seed) in SEEDS {
        for (end, _) in seed.char_indices() {
            check(path, format, &seed[..end]);
        }
    }
}

#[test]
fn files_with_lines_lost_doubled_or_exchanged_are_read_or_refused() {
    for (path, format, seed) in SEEDS {
        let lines: Vec<&str> = seed.split('\n').collect();
        for index in 0..lines.len() {
            let mut lost = lines.clone();
            lost.remove(index);
            check(path, format, &lost.join("\n"));
            let mut doubled = lines.clone();
            doubled.insert(index, lines[index]);
            check(path, format, &doubled.join("\n"));
            let mut exchanged = lines.clone();
            exchanged.swap(index, (index * 7 + 3) % lines.len());
            check(path, format, &exchanged.join("\n"));
        }
    }
}

#[test]
fn files_with_strange_characters_anywhere_are_read_or_refused() {
    let strange = [
        "\"",
        "'",
        "{",
        "}",
        "=",
        ":",
        "#",
        "%",
        ",",
        "\u{1b}",
        "ü",
        "0",
        "99999999999999999999",
        "\t",
        "\n",
        "-",
        "<",
        "\\",
    ];
    for (path, format, seed) in SEEDS {
        for (step, (at, c)) in seed.char_indices().enumerate().filter(|(step, _)| step % 2 == 0) {
            let with = strange[step / 2 % strange.len()];
            check(path, format, &format!("{}{with}{}", &seed[..at], &seed[at..]));
            let with = strange[(step / 5) % strange.len()];
            check(path, format, &format!("{}{with}{}", &seed[..at], &seed[at + c.len_utf8()..]));
        }
    }
}
