//! What an importer has to say: why something was refused, which leniency was used, what has no meaning here.

use super::place::Spot;
use crate::diagnostic::{Diagnostic, Severity, code, printable};
use std::fmt;

/// What a [`Finding`] means for the import.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// The connection or file is refused.
    Error,
    /// Something was read leniently, or differs in the result from what the file says.
    Warning,
    /// Understood, and of no consequence here.
    Note,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Level::Error => "error",
            Level::Warning => "warning",
            Level::Note => "note",
        })
    }
}

/// One thing to know about an import.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Finding {
    /// What it means.
    pub level: Level,
    /// Path of the file.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Further lines of the same file that it is true of.
    pub also: Vec<usize>,
    /// What was found, without secrets.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

/// `LEVEL: FILE:LINE:COLUMN: MESSAGE`, the other lines, and on a line of its own what to do.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}:{}:{}: {}", self.level, self.file, self.line, self.column, self.message)?;
        if !self.also.is_empty() {
            const SHOWN: usize = 8;
            let lines: Vec<String> = self.also.iter().take(SHOWN).map(ToString::to_string).collect();
            let more = if self.also.len() > SHOWN { ", …" } else { "" };
            write!(f, " (also line{} {}{more})", if self.also.len() == 1 { "" } else { "s" }, lines.join(", "))?;
        }
        match &self.help {
            Some(help) => write!(f, "\n  help: {help}"),
            None => Ok(()),
        }
    }
}

impl Finding {
    /// As a diagnostic of a configuration. Notes are none.
    pub fn diagnostic(&self) -> Option<Diagnostic> {
        let severity = match self.level {
            Level::Error => Severity::Error,
            Level::Warning => Severity::Warning,
            Level::Note => return None,
        };
        let (message, suggestion) = (self.message.clone(), self.help.clone());
        let about = Diagnostic::about_file(severity, code::FOREIGN, self.file.clone(), message, suggestion);
        Some(Diagnostic { line: self.line, column: self.column, ..about })
    }
}

/// Findings kept at most. A file wrong in more places is told about these first.
const MOST: usize = 500;

/// Collects findings; what is true of several lines of a file is one finding.
#[derive(Default)]
pub(crate) struct Findings {
    list: Vec<Finding>,
    errors: usize,
}

impl Findings {
    pub(crate) fn error(&mut self, at: &Spot, message: impl Into<String>, help: impl Into<String>) {
        self.errors += 1;
        self.push(Level::Error, at, message.into(), help.into());
    }

    pub(crate) fn warning(&mut self, at: &Spot, message: impl Into<String>, help: impl Into<String>) {
        self.push(Level::Warning, at, message.into(), help.into());
    }

    pub(crate) fn note(&mut self, at: &Spot, message: impl Into<String>, help: impl Into<String>) {
        self.push(Level::Note, at, message.into(), help.into());
    }

    /// Errors told so far, kept or not.
    pub(crate) fn errors(&self) -> usize {
        self.errors
    }

    /// All findings: errors first, then by file and line.
    pub(crate) fn into_list(mut self) -> Vec<Finding> {
        let mut files: Vec<String> = Vec::new();
        for finding in &self.list {
            if !files.contains(&finding.file) {
                files.push(finding.file.clone());
            }
        }
        let rank = |file: &String| files.iter().position(|known| known == file);
        self.list.sort_by_key(|finding| (finding.level, rank(&finding.file), finding.line, finding.column));
        self.list
    }

    fn push(&mut self, level: Level, at: &Spot, message: String, help: String) {
        let message = printable(message);
        let help = (!help.is_empty()).then(|| printable(help));
        let file = shown_path(&at.file);
        let same = |known: &&mut Finding| {
            known.level == level && known.file == file && known.message == message && known.help == help
        };
        if let Some(known) = self.list.iter_mut().find(same) {
            if known.line != at.line && !known.also.contains(&at.line) && known.also.len() < MOST {
                known.also.push(at.line);
            }
            return;
        }
        // The first error must not be lost behind notes: it says why there is no result.
        if self.list.len() < MOST || (level == Level::Error && self.errors == 1) {
            let (line, column) = (at.line, at.column);
            self.list.push(Finding { level, file, line, column, also: Vec::new(), message, help });
        }
    }
}

/// What a file says, short enough for a message and without control characters.
pub(crate) fn shown(text: &str) -> String {
    const LONGEST: usize = 60;
    let clean = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    let mut shown: String = text.chars().take(LONGEST).map(clean).collect();
    if text.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    shown
}

/// A path without what would disturb a terminal or a comment.
pub(crate) fn shown_path(path: &str) -> String {
    path.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_true_of_several_lines_is_said_once() {
        let mut findings = Findings::default();
        let at = |line| Spot { file: "a.conf".into(), line, column: 1 };
        for line in [4, 5, 9] {
            findings.warning(&at(line), "not indented", "");
        }
        findings.note(&at(1), "read as Openswan", "");
        findings.error(&at(7), "no such thing", "leave it out");
        let list = findings.into_list();
        let texts: Vec<String> = list.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "error: a.conf:7:1: no such thing\n  help: leave it out",
                "warning: a.conf:4:1: not indented (also lines 5, 9)",
                "note: a.conf:1:1: read as Openswan",
            ]
        );
    }
    #[test]
    fn no_part_of_a_finding_can_command_a_terminal() {
        let mut findings = Findings::default();
        let at = Spot { file: "\u{1b}[2Ja.conf".into(), line: 1, column: 1 };
        findings.warning(&at, "`include \u{1b}b.conf` fits no file here", "if \u{1b}b.conf exists, name it \u{9b}2J");
        let shown = findings.into_list().iter().map(ToString::to_string).collect::<String>();
        assert!(!shown.contains(|c: char| c.is_control() && c != '\n'), "{shown:?}");
        assert!(shown.contains("name it"), "{shown:?}");
    }
}
