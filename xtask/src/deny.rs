//! `cargo xtask deny`: licences, banned crates and sources of every dependency, read from `deny.toml`.
//!
//! `cargo deny` does it when it is installed. Where it is not, the same file is applied to `cargo metadata` here; only the
//! advisories then go unchecked, and that is said aloud.

mod licence;

use crate::process::{Fallible, capture, cargo, root, run, succeeds};
use serde_json::Value;
use std::collections::BTreeMap;

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Runs the task.
pub fn main() -> Fallible<()> {
    if succeeds(&mut cargo(&["deny", "--version"])) {
        run(&mut cargo(&["deny", "--offline", "check", "licenses", "bans", "sources"]))?;
        return advisories();
    }
    println!(
        "deny: cargo-deny is not installed; checking licences, bans and sources with the built-in reader of deny.toml"
    );
    println!("deny: NOT checked: advisories (needs cargo-deny and its database)");
    let policy = read("deny.toml")?;
    let mut problems = Vec::new();
    let mut checked = 0;
    for manifest in ["Cargo.toml", "fuzz/Cargo.toml"] {
        let packages = packages(manifest)?;
        checked += packages.len();
        problems.extend(judge(&policy, &packages));
    }
    problems.sort();
    problems.dedup();
    for problem in &problems {
        println!("deny: {problem}");
    }
    println!("deny: {checked} packages, {} problems", problems.len());
    if problems.is_empty() { Ok(()) } else { Err(format!("{} dependency problems", problems.len())) }
}

/// Advisories, when their database is on this machine (the check may not need the network).
fn advisories() -> Fallible<()> {
    let home = std::env::var("CARGO_HOME")
        .or_else(|_| std::env::var("HOME").map(|home| format!("{home}/.cargo")))
        .unwrap_or_default();
    let databases = std::path::Path::new(&home).join("advisory-dbs");
    if databases.is_dir() {
        return run(&mut cargo(&["deny", "--offline", "check", "advisories"]));
    }
    println!("deny: NOT checked: advisories (no database; `cargo deny fetch` brings it)");
    Ok(())
}

/// What `deny.toml` asks for, as far as this reader applies it.
struct Policy {
    licences: Vec<String>,
    banned: Vec<String>,
    single: Vec<String>,
}

fn read(path: &str) -> Fallible<Policy> {
    let text = std::fs::read_to_string(root().join(path)).map_err(|error| format!("cannot read {path}: {error}"))?;
    parse(&text).map_err(|error| format!("{path}: {error}"))
}

fn parse(text: &str) -> Fallible<Policy> {
    let table: toml::Table = text.parse().map_err(|error| format!("not TOML: {error}"))?;
    let list = |section: &str, key: &str| -> Fallible<Vec<toml::Value>> {
        let value = table.get(section).and_then(|section| section.get(key));
        let array = value.and_then(toml::Value::as_array);
        array.cloned().ok_or_else(|| format!("no list {section}.{key}"))
    };
    let licences = list("licenses", "allow")?.iter().filter_map(|entry| entry.as_str().map(str::to_owned)).collect();
    let (mut banned, mut single) = (Vec::new(), Vec::new());
    for entry in list("bans", "deny")? {
        let name = entry.get("crate").and_then(toml::Value::as_str);
        let name = name.ok_or("an entry of bans.deny has no `crate`")?.to_owned();
        let once = entry.get("deny-multiple-versions");
        if once.and_then(toml::Value::as_bool) == Some(true) {
            single.push(name);
        } else {
            banned.push(name);
        }
    }
    Ok(Policy { licences, banned, single })
}

/// A package of the dependency graph.
struct Package {
    name: String,
    version: String,
    licence: Option<String>,
    source: Option<String>,
}

fn packages(manifest: &str) -> Fallible<Vec<Package>> {
    if !root().join(manifest).exists() {
        return Ok(Vec::new());
    }
    let text = capture(&mut cargo(&["metadata", "--format-version", "1", "--manifest-path", manifest]))?;
    let metadata: Value =
        serde_json::from_str(&text).map_err(|error| format!("cargo metadata is not JSON: {error}"))?;
    let field = |package: &Value, key: &str| package[key].as_str().map(str::to_owned);
    let list = metadata["packages"].as_array().cloned().unwrap_or_default();
    Ok(list
        .iter()
        .map(|package| Package {
            name: field(package, "name").unwrap_or_default(),
            version: field(package, "version").unwrap_or_default(),
            licence: field(package, "license"),
            source: field(package, "source"),
        })
        .collect())
}

fn judge(policy: &Policy, packages: &[Package]) -> Vec<String> {
    let mut problems = Vec::new();
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in packages {
        let who = format!("{} {}", package.name, package.version);
        versions.entry(&package.name).or_default().push(&package.version);
        match &package.licence {
            None => problems.push(format!("{who} names no licence")),
            Some(expression) => match licence::allowed(expression, &policy.licences) {
                Ok(true) => {}
                Ok(false) => problems.push(format!("{who}: `{expression}` is not in licenses.allow")),
                Err(why) => problems.push(format!("{who}: cannot read `{expression}`: {why}")),
            },
        }
        if policy.banned.contains(&package.name) {
            problems.push(format!("{who} is banned (deny.toml says why)"));
        }
        // A path dependency has no source: those are ours.
        if package.source.as_deref().is_some_and(|source| source != CRATES_IO) {
            let source = package.source.as_deref().unwrap_or_default();
            problems.push(format!("{who} comes from {source}, not from crates.io"));
        }
    }
    for name in &policy.single {
        if let Some(found) = versions.get(name.as_str()).filter(|found| found.len() > 1) {
            problems.push(format!("{name} is there more than once: {}", found.join(", ")));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = r#"
[licenses]
allow = ["MIT", "Apache-2.0"]
[bans]
deny = [
  { crate = "ring", reason = "two crypto libraries are one too many" },
  { crate = "aws-lc-sys", deny-multiple-versions = true },
]
"#;

    fn package(name: &str, version: &str, licence: &str, source: Option<&str>) -> Package {
        Package {
            name: name.to_owned(),
            version: version.to_owned(),
            licence: (!licence.is_empty()).then(|| licence.to_owned()),
            source: source.map(str::to_owned),
        }
    }

    #[test]
    fn each_kind_of_problem_is_found() {
        let policy = parse(POLICY).unwrap();
        let cases = [
            (vec![package("a", "1", "MIT", Some(CRATES_IO))], ""),
            (vec![package("a", "1", "MIT OR GPL-3.0-only", None)], ""),
            (vec![package("a", "1", "GPL-3.0-only", None)], "not in licenses.allow"),
            (vec![package("a", "1", "", None)], "no licence"),
            (vec![package("ring", "1", "MIT", None)], "banned"),
            (vec![package("a", "1", "MIT", Some("git+https://example.org"))], "not from crates.io"),
            (
                vec![package("aws-lc-sys", "1", "MIT", None), package("aws-lc-sys", "2", "MIT", None)],
                "more than once: 1, 2",
            ),
        ];
        for (packages, expected) in cases {
            let problems = judge(&policy, &packages);
            assert_eq!(problems.len(), usize::from(!expected.is_empty()), "{problems:?}");
            assert!(problems.iter().all(|problem| problem.contains(expected)), "{problems:?}");
        }
    }

    #[test]
    fn a_policy_without_its_lists_is_an_error() {
        assert!(parse("").is_err());
        assert!(parse("[licenses]\nallow = []\n[bans]\ndeny = [{ name = 1 }]").is_err());
    }
}
