//! Files that others name: opened once, not endlessly deep, not too many.

use super::finding::{Findings, shown};
use super::input::{LARGEST_TOTAL, Sources, Text, decode, relative};
use super::model::Format;
use super::place::Sourced;

/// Includes inside each other at most.
const DEEPEST: usize = 10;
/// Files included at most.
const MOST_FILES: usize = 1000;

/// What is open while files are read.
pub(crate) struct Opened<'s> {
    sources: &'s mut dyn Sources,
    /// The files being read, outermost first.
    stack: Vec<String>,
    bytes: usize,
    files: usize,
    /// Every file read, in order.
    pub(crate) paths: Vec<(String, Format)>,
}

impl<'s> Opened<'s> {
    pub(crate) fn new(sources: &'s mut dyn Sources) -> Opened<'s> {
        Opened { sources, stack: Vec::new(), bytes: 0, files: 0, paths: Vec::new() }
    }

    /// The files that an `include` of `from` names, each handed to `read` while it counts as open.
    pub(crate) fn include(
        &mut self,
        pattern: &Sourced<&str>,
        format: Format,
        findings: &mut Findings,
        read: &mut dyn FnMut(&Text, &mut Opened, &mut Findings),
    ) {
        let from = pattern.at.file.to_string();
        if self.stack.is_empty() {
            self.stack.push(from.clone());
            self.include(pattern, format, findings, read);
            self.stack.clear();
            return;
        }
        if self.stack.len() > DEEPEST {
            let message = format!("includes are more than {DEEPEST} deep: {}", self.stack.join(" includes "));
            return findings.error(&pattern.at, message, "include the innermost file directly");
        }
        let wanted = relative(pattern.value, &from);
        let paths = self.sources.matching(&wanted);
        if paths.is_empty() {
            let message = format!("`include {}` fits no file here", shown(pattern.value));
            let help = format!("if {wanted} exists on another machine, name its files on the command line too");
            return findings.warning(&pattern.at, message, help);
        }
        for path in paths {
            if self.stack.contains(&path) {
                let message = format!("the includes are a loop: {} includes {path}", self.stack.join(" includes "));
                findings.error(&pattern.at, message, "take one of these includes out");
                continue;
            }
            if let Some(text) = self.open(&path, pattern, format, findings) {
                self.stack.push(path);
                read(&text, self, findings);
                self.stack.pop();
            }
        }
    }

    /// A file beside another, if there is one.
    pub(crate) fn beside(&mut self, path: &Sourced<&str>, format: Format, findings: &mut Findings) -> Option<Text> {
        let known = self.paths.iter().any(|known| known.0 == path.value);
        if known || self.sources.matching(path.value).is_empty() {
            return None;
        }
        self.open(path.value, path, format, findings)
    }

    fn open(&mut self, path: &str, named: &Sourced<&str>, format: Format, findings: &mut Findings) -> Option<Text> {
        self.files += 1;
        if self.files > MOST_FILES {
            findings.error(&named.at, format!("more than {MOST_FILES} files are included"), "import them one by one");
            return None;
        }
        let bytes = match self.sources.read(path) {
            Ok(bytes) => bytes,
            Err(error) => {
                findings.error(
                    &named.at,
                    format!("cannot read {path}: {}", shown(&error)),
                    "run as root, or as the owner of the file",
                );
                return None;
            }
        };
        self.bytes = self.bytes.saturating_add(bytes.len());
        if self.bytes > LARGEST_TOTAL {
            let message = format!("the included files have more than {LARGEST_TOTAL} bytes together");
            findings.error(&named.at, message, "import them one by one");
            return None;
        }
        self.paths.push((path.to_owned(), format));
        decode(path, &bytes, findings)
    }
}
