//! The reference in the documentation says of every key what the parser's table says.

use formats::underpass_toml::keys::{KEYS, SectionKind};

const REFERENCE: &str = include_str!("../../../docs/underpass.toml.md");

#[test]
fn every_key_is_in_the_reference_under_its_table_with_bounds_and_default() {
    for section in SectionKind::ALL {
        let heading = format!("## `{}`\n", section.header());
        let (_, rest) = REFERENCE.split_once(&heading).unwrap_or_else(|| panic!("no heading {heading}"));
        let part = rest.split("\n## ").next().unwrap_or(rest);
        for key in section.keys() {
            let row = key.reference_row();
            assert!(part.contains(&row), "docs/underpass.toml.md lacks, under {heading}{row}");
        }
        let rows = part.lines().filter(|line| line.starts_with("| `")).count();
        assert_eq!(rows, section.keys().count(), "{heading} has rows of unknown keys");
    }
    assert!(KEYS.len() > 40);
}
