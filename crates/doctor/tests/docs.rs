//! `docs/doctor.md` lists every code as the catalogue has it.

#![allow(clippy::unwrap_used)] // a test

use doctor::page;
use std::fs;
use std::path::Path;

const MARK: &str = "<!-- codes -->\n";

#[test]
fn the_reference_lists_every_code_as_it_is() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/doctor.md");
    let text = fs::read_to_string(&path).unwrap();
    let (head, table) = text.split_once(MARK).unwrap();
    let expected = format!("\n{}", page::table().trim_end()) + "\n";
    if std::env::var_os("UNDERPASS_WRITE_DOCS").is_some() {
        fs::write(&path, format!("{head}{MARK}{expected}")).unwrap();
        return;
    }
    assert!(table == expected, "docs/doctor.md is not what the catalogue says: UNDERPASS_WRITE_DOCS=1 writes it");
}
