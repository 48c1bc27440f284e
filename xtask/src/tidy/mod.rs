//! `cargo xtask tidy`: the project's own rules over tracked files, each rule a function that can be tested without files.
//!
//! Sizes that a rule already found too large stand in `xtask/tidy-allow.txt` with their number. The list may only shrink:
//! a larger number fails, and so does an entry that is larger than it needs to be.

mod allow;
mod manifest;
mod rules;
mod source;

use crate::process::{Fallible, capture, command, root};
use allow::AllowList;
use std::collections::BTreeMap;
use std::path::Path;

const ALLOW_LIST: &str = "xtask/tidy-allow.txt";

/// One broken rule at one place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Path from the root.
    pub path: String,
    /// Line from 1, or 0 for the file as a whole.
    pub line: usize,
    /// What is wrong and what to do.
    pub what: String,
}

impl Finding {
    fn new(path: &str, line: usize, what: impl Into<String>) -> Self {
        Finding { path: path.to_owned(), line, what: what.into() }
    }
}

/// Runs the task.
pub fn main() -> Fallible<()> {
    let files = tracked_files()?;
    let findings = check(&files);
    for finding in &findings {
        println!("{}:{}: {}", finding.path, finding.line, finding.what);
    }
    println!("tidy: {} files, {} findings", files.len(), findings.len());
    if findings.is_empty() { Ok(()) } else { Err(format!("tidy found {} broken rules", findings.len())) }
}

/// Every tracked text file: path from the root and content.
fn tracked_files() -> Fallible<BTreeMap<String, String>> {
    // The checkout may belong to somebody else (a container in CI): reading its file list is harmless.
    let listed = capture(&mut command("git", &["-c", "safe.directory=*", "ls-files", "-z"]))?;
    let root = root();
    let mut files = BTreeMap::new();
    for path in listed.split('\0').filter(|path| !path.is_empty()) {
        if let Some(text) = text_of(&root.join(path)) {
            files.insert(path.to_owned(), text);
        }
    }
    Ok(files)
}

/// The content when it is text; a file deleted but still tracked, or a binary seed, is `None`.
fn text_of(path: &Path) -> Option<String> {
    String::from_utf8(std::fs::read(path).ok()?).ok()
}

/// Applies every rule.
fn check(files: &BTreeMap<String, String>) -> Vec<Finding> {
    let (allowed, mut findings) = AllowList::parse(ALLOW_LIST, files.get(ALLOW_LIST).map_or("", String::as_str));
    let mut sizes = Vec::new();
    for (path, text) in files {
        findings.extend(rules::any_text(path, text));
        if path.ends_with(".rs") {
            let source = source::Source::new(text);
            findings.extend(rules::module_doc(path, text));
            findings.extend(rules::purity(path, &source));
            findings.extend(rules::panics(path, &source));
            sizes.extend(rules::sizes(path, &source));
        }
        if path.ends_with("Cargo.toml") {
            findings.extend(manifest::direction(path, text));
        }
    }
    findings.extend(allowed.judge(ALLOW_LIST, &sizes));
    findings.sort();
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tidy_tree_has_no_findings_and_an_untidy_one_is_told_where() {
        let mut files = BTreeMap::new();
        files.insert("crates/ike/src/lib.rs".to_owned(), "//! Fine.\nfn a() {}\n".to_owned());
        assert_eq!(check(&files), []);
        files.insert("crates/ike/src/clock.rs".to_owned(), "fn a() { let _ = Instant::now(); }\n".to_owned());
        let findings = check(&files);
        let lines: Vec<_> = findings.iter().map(|f| (f.path.as_str(), f.line)).collect();
        assert_eq!(lines, [("crates/ike/src/clock.rs", 1), ("crates/ike/src/clock.rs", 1)], "{findings:?}");
    }
}
