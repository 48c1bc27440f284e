//! Importing texts, and asking what came of it.
#![allow(clippy::unwrap_used, clippy::panic)] // a helper of a test may fail the test

use formats::SourceFile;
use formats::import::{Format, Here, Imported, ImportedConnection, InMemory, Input, Keys, Level, import};
use formats::underpass_toml::{self, Loaded};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// A machine with these addresses; packets leave from the first.
pub fn here(addresses: &[&str]) -> Here {
    let addresses: Vec<IpAddr> = addresses.iter().map(|address| address.parse().unwrap()).collect();
    Here { local: None, default_source: addresses.first().copied(), addresses: Some(addresses) }
}

/// Nobody looked which addresses there are.
pub fn anywhere() -> Here {
    Here::default()
}

/// `--local ADDRESS`.
pub fn local(address: &str) -> Here {
    Here { local: Some(address.parse().unwrap()), ..Here::default() }
}

/// One file.
pub fn one(path: &str, text: &str, here: &Here) -> Imported {
    many(&[(path, text)], &[], None, here)
}

/// Files given, and files that may be included.
pub fn many(files: &[(&str, &str)], others: &[(&str, &str)], format: Option<Format>, here: &Here) -> Imported {
    let inputs: Vec<Input> = files.iter().map(|(path, text)| Input::new(*path, text.as_bytes())).collect();
    let others: BTreeMap<String, Vec<u8>> =
        others.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect();
    import(&inputs, &mut InMemory(others), format, here)
}

/// All findings of a level, as lines.
pub fn told(imported: &Imported, level: Level) -> Vec<String> {
    imported.findings.iter().filter(|finding| finding.level == level).map(ToString::to_string).collect()
}

/// The connection of a name.
pub fn connection<'i>(imported: &'i Imported, name: &str) -> &'i ImportedConnection {
    let found = imported.connections.iter().find(|connection| connection.name.value == name);
    found.unwrap_or_else(|| panic!("no connection {name}: {:#?}", summary(imported)))
}

fn summary(imported: &Imported) -> Vec<String> {
    let names = imported.connections.iter().map(|connection| format!("connection {}", connection.name.value));
    names.chain(imported.findings.iter().map(ToString::to_string)).collect()
}

/// The lines of `underpass.toml` without comments and blanks, tables included.
pub fn toml(imported: &Imported) -> Vec<String> {
    let rendered = imported.to_toml(Keys::Written, None);
    let lines = rendered.config.lines().map(|line| line.split(" # ").next().unwrap_or_default().trim().to_owned());
    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
}

/// Asserts that the rendered lines are exactly these.
pub fn assert_toml(imported: &Imported, expected: &str) {
    let expected: Vec<&str> = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let found = toml(imported);
    assert_eq!(found, expected, "\nfound:\n{}\n{:#?}", found.join("\n"), summary(imported));
}

/// The key of a tunnel.
pub fn psk(imported: &Imported, name: &str, tunnel: usize) -> String {
    let psk = connection(imported, name).tunnels[tunnel].psk.as_ref();
    psk.map_or_else(String::new, |psk| String::from_utf8(psk.value.expose().to_vec()).unwrap())
}

/// Reads the rendered files as the gateway would.
pub fn read_back(imported: &Imported) -> Loaded {
    let rendered = imported.to_toml(Keys::Written, None);
    let files = [SourceFile::new("underpass.toml", rendered.config.clone())];
    let secrets = [SourceFile::new("secrets.toml", rendered.secrets.as_str())];
    underpass_toml::parse(&files, &secrets).unwrap_or_else(|found| {
        let texts: String = found.iter().map(ToString::to_string).collect();
        panic!("not read back:\n{texts}\n{}", rendered.config)
    })
}

/// Asserts that exactly one finding of `level` has all of `words`.
pub fn assert_told(imported: &Imported, level: Level, words: &[&str]) {
    let all = told(imported, level);
    let fitting = all.iter().filter(|text| words.iter().all(|word| text.contains(word))).count();
    assert_eq!(fitting, 1, "{level} with {words:?} among {:#?}", summary(imported));
}
