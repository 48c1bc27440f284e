//! What is wrong in a file, where, and what to write instead: one type for people (rendered like a compiler's message) and
//! for machines (serialized).

use crate::source::{Place, SourceFile, locate};
use std::fmt;

/// How bad a [`Diagnostic`] is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The files cannot be used.
    Error,
    /// The files can be used, but probably not to the operator's liking.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        })
    }
}

/// Codes of the diagnostics of configuration files. Stable: scripts and the documentation refer to them.
pub mod code {
    /// The file cannot be loaded: syntax, unknown key, wrong type, value out of range, missing value.
    pub const INVALID: &str = "CFG-01";
    /// A pre-shared key is missing, malformed or too short.
    pub const SECRET: &str = "CFG-10";
    /// A file of secrets can be read by others.
    pub const SECRET_EXPOSED: &str = "CFG-11";
    /// An algorithm that is accepted but should not be chosen today.
    pub const WEAK: &str = "CFG-12";
    /// Two connections claim the same traffic or the same peer.
    pub const OVERLAP: &str = "CFG-13";
    /// A route leads the tunnel's own packets into the tunnel.
    pub const ROUTE_LOOP: &str = "CFG-14";
    /// Values that do not fit together.
    pub const CONFLICT: &str = "CFG-15";
    /// A configuration of another product: refused, or read leniently.
    pub const FOREIGN: &str = "CFG-16";
}

/// One finding, with its place.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// One of [`code`].
    pub code: &'static str,
    /// Path of the file.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Characters concerned, at least 1.
    pub length: usize,
    /// What is wrong, without secrets.
    pub message: String,
    /// What to do about it.
    pub suggestion: Option<String>,
    /// The line as written; absent for files of secrets.
    pub snippet: Option<String>,
}

impl Diagnostic {
    /// A finding about a file as a whole (it cannot be read, others can read it).
    pub fn about_file(
        severity: Severity,
        code: &'static str,
        file: impl Into<String>,
        message: impl Into<String>,
        suggestion: Option<String>,
    ) -> Diagnostic {
        let (file, message) = (file.into(), message.into());
        Diagnostic { severity, code, file, line: 1, column: 1, length: 1, message, suggestion, snippet: None }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}[{}]: {}", self.severity, self.code, self.message)?;
        let gutter = self.line.to_string().len();
        writeln!(f, "{:gutter$}--> {}:{}:{}", "", self.file, self.line, self.column)?;
        if let Some(snippet) = &self.snippet {
            // Tabs stay tabs, so that the caret stands under its character whatever their width.
            let lead: String = snippet.chars().take(self.column - 1).map(|c| if c == '\t' { c } else { ' ' }).collect();
            let room = snippet.chars().count().saturating_sub(self.column - 1).max(1);
            writeln!(f, "{:gutter$} |", "")?;
            writeln!(f, "{} | {snippet}", self.line)?;
            writeln!(f, "{:gutter$} | {lead}{}", "", "^".repeat(self.length.min(room)))?;
        }
        if let Some(suggestion) = &self.suggestion {
            writeln!(f, "{:gutter$} = help: {suggestion}", "")?;
        }
        Ok(())
    }
}

/// Diagnostics kept at most; a file wrong in more places is told about these first.
const MAX_DIAGNOSTICS: usize = 100;

/// Collects diagnostics over several sources.
pub(crate) struct Report<'a> {
    sources: Vec<&'a SourceFile>,
    /// Sources from this index on hold secrets: their lines are never shown.
    first_secret: usize,
    found: Vec<(Place, Diagnostic)>,
    /// Lines with a syntax error, as (file, line): what else is wrong there is a consequence.
    broken_lines: Vec<(usize, usize)>,
}

impl<'a> Report<'a> {
    pub(crate) fn new(files: &'a [SourceFile], secrets: &'a [SourceFile]) -> Report<'a> {
        let sources = files.iter().chain(secrets).collect();
        Report { sources, first_secret: files.len(), found: Vec::new(), broken_lines: Vec::new() }
    }

    pub(crate) fn sources(&self) -> &[&'a SourceFile] {
        &self.sources
    }

    /// The index at which the files of secrets begin.
    pub(crate) fn first_secret(&self) -> usize {
        self.first_secret
    }

    /// An error of the file's grammar. Hides what follows from it.
    pub(crate) fn syntax(&mut self, place: Place, message: String, help: Option<String>) {
        let line = self.line(place);
        if !self.broken_lines.contains(&(place.file, line)) {
            self.push(Severity::Error, code::INVALID, place, message, help);
            self.broken_lines.push((place.file, line));
        }
    }

    pub(crate) fn error(&mut self, code: &'static str, place: Place, message: String, help: Option<String>) {
        if !self.broken_lines.contains(&(place.file, self.line(place))) {
            self.push(Severity::Error, code, place, message, help);
        }
    }

    /// Something that should stand at `place` does not. Not reported while syntax errors may have hidden it.
    pub(crate) fn missing(&mut self, code: &'static str, place: Place, message: String, help: Option<String>) {
        if self.broken_lines.is_empty() {
            self.push(Severity::Error, code, place, message, help);
        }
    }

    pub(crate) fn warning(&mut self, code: &'static str, place: Place, message: String, help: Option<String>) {
        if !self.broken_lines.contains(&(place.file, self.line(place))) {
            self.push(Severity::Warning, code, place, message, help);
        }
    }

    /// Whether a further finding would not be kept.
    pub(crate) fn is_full(&self) -> bool {
        self.found.len() >= MAX_DIAGNOSTICS
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.found.iter().any(|(_, diagnostic)| diagnostic.severity == Severity::Error)
    }

    /// `path:line:column` of a place, to refer to it in a message about another.
    pub(crate) fn name_of(&self, place: Place) -> String {
        match self.sources.get(place.file) {
            Some(source) => {
                let at = locate(&source.text, place.start, place.end);
                format!("{}:{}:{}", source.path, at.line, at.column)
            }
            None => String::new(),
        }
    }

    /// All findings in the order of their places.
    pub(crate) fn into_diagnostics(mut self) -> Vec<Diagnostic> {
        self.found.sort_by_key(|(place, _)| *place);
        self.found.into_iter().map(|(_, diagnostic)| diagnostic).collect()
    }

    fn line(&self, place: Place) -> usize {
        self.sources.get(place.file).map_or(0, |source| locate(&source.text, place.start, place.end).line)
    }

    fn push(&mut self, severity: Severity, code: &'static str, place: Place, message: String, help: Option<String>) {
        // An error must not be lost behind warnings: it decides whether the files are used.
        let keep = !self.is_full() || (severity == Severity::Error && !self.has_errors());
        let Some(source) = self.sources.get(place.file).filter(|_| keep) else {
            return;
        };
        let at = locate(&source.text, place.start, place.end);
        let snippet = (place.file < self.first_secret && !may_hold_secret(&at.text)).then_some(at.text);
        let diagnostic = Diagnostic {
            severity,
            code,
            file: source.path.clone(),
            line: at.line,
            column: at.column,
            length: at.length,
            message: printable(message),
            suggestion: help.map(printable),
            snippet,
        };
        if !self.found.iter().any(|(_, known)| *known == diagnostic) {
            self.found.push((place, diagnostic));
        }
    }
}

/// What a message quotes may be anything that a file says, a name with control characters too: a terminal shall not act on it.
pub(crate) fn printable(text: String) -> String {
    if text.contains(char::is_control) { text.replace(char::is_control, "\u{fffd}") } else { text }
}

/// Whether a line of an ordinary file looks as if somebody had written a key into it, instead of its name: then it is not
/// repeated in a message, which may end up in a log.
fn may_hold_secret(line: &str) -> bool {
    let (key, value) = line.split_once('=').unwrap_or((line, ""));
    let key = key.trim().to_ascii_lowercase();
    let about_keys = ["psk", "secret", "password", "key"].iter().any(|word| key.contains(word));
    let value = value.split('#').next().unwrap_or_default().trim().trim_matches(['"', '\'']);
    about_keys && !key.starts_with('[') && key != "secrets" && !(key == "psk" && looks_like_a_name(value))
}

/// Letters, digits and `-_.`, not many of them: the name of an entry rather than a key.
pub(crate) fn looks_like_a_name(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    // 24 characters of base64 or hexadecimal are a key of 96 bits or more, and few names are as long.
    text.len() < 24 && text.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renders_like_a_compiler() {
        let files = [SourceFile::new("u.toml", "x = 1\n\tike_prot = 500\n")];
        let mut report = Report::new(&files, &[]);
        report.error(
            code::INVALID,
            Place::new(0, 7..15),
            "unknown key `ike_prot`".into(),
            Some("did you mean `ike_port`?".into()),
        );
        let found = report.into_diagnostics();
        assert_eq!(
            found[0].to_string(),
            "error[CFG-01]: unknown key `ike_prot`\n --> u.toml:2:2\n  |\n2 | \tike_prot = 500\n  | \t^^^^^^^^\n  = help: did you mean `ike_port`?\n"
        );
    }

    #[test]
    fn what_a_message_quotes_cannot_control_a_terminal() {
        let files = [SourceFile::new("u.toml", "x")];
        let mut report = Report::new(&files, &[]);
        report.warning(code::OVERLAP, Place::new(0, 0..1), "`a\0\u{1b}[2J`".into(), Some("not `\u{7f}`".into()));
        let found = report.into_diagnostics();
        assert_eq!(found[0].message, "`a\u{fffd}\u{fffd}[2J`");
        assert_eq!(found[0].suggestion.as_deref(), Some("not `\u{fffd}`"));
    }

    #[test]
    fn lines_of_secrets_are_never_shown() {
        let secrets = [SourceFile::new("secrets.toml", "[psk]\na = 'hush'")];
        let mut report = Report::new(&[], &secrets);
        report.error(code::SECRET, Place::new(0, 10..16), "wrong".into(), None);
        let found = report.into_diagnostics();
        assert_eq!(found[0].line, 2);
        assert!(!format!("{found:?}{}", found[0]).contains("hush"));
    }

    #[test]
    fn a_key_in_the_wrong_file_is_not_repeated() {
        for line in [
            "psk = \"cHVibGlzaGVkIGV4YW1wbGU=\"",
            "  secret = 'x'",
            "psk = \"two words\"",
            "pre_shared_key=\"x\"",
            "password",
        ] {
            assert!(may_hold_secret(line), "{line}");
        }
        for line in ["psk = \"site-b\" # entry", "secrets = \"keys.toml\"", "remote_id = \"psk\"", "[connection.psk]"] {
            assert!(!may_hold_secret(line), "{line}");
        }
    }

    #[test]
    fn an_error_is_kept_even_behind_a_flood_of_warnings() {
        let files = [SourceFile::new("u.toml", "x".repeat(500))];
        let mut report = Report::new(&files, &[]);
        for start in 0..300 {
            report.warning(code::WEAK, Place::new(0, start..start + 1), format!("w{start}"), None);
        }
        report.error(code::INVALID, Place::new(0, 400..401), "e".into(), None);
        assert!(report.has_errors());
        assert_eq!(report.into_diagnostics().len(), MAX_DIAGNOSTICS + 1);
    }
}
