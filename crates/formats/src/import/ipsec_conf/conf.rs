//! `ipsec.conf` as sections of keys and values, whatever their indentation.

use super::super::finding::{Findings, shown};
use super::super::input::Text;
use super::super::model::Format;
use super::super::place::{Line, Sourced};
use super::super::sources::Opened;
use super::line;
use super::secrets::{self, Secrets};
use super::words;
use crate::nearest::nearest;

/// Sections of all files at most.
const MOST_SECTIONS: usize = 10_000;
/// Keys of a section at most.
const MOST_ENTRIES: usize = 500;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Setup,
    Conn,
    Ca,
}

/// `key=value`.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: Sourced<String>,
    pub(super) value: Sourced<String>,
}

/// `conn NAME` and what belongs to it.
#[derive(Clone, Debug)]
pub(super) struct Section {
    pub(super) kind: Kind,
    pub(super) name: Sourced<String>,
    pub(super) entries: Vec<Entry>,
    /// A line of it could not be read at all: it is not used.
    pub(super) broken: bool,
}

/// All files together.
#[derive(Default)]
pub(super) struct Conf {
    pub(super) sections: Vec<Section>,
    /// Comments, where people say what wrote a file.
    pub(super) comments: Vec<Sourced<String>>,
}

/// Whether a text looks like an `ipsec.conf`.
pub(crate) fn looks_like(text: &str) -> bool {
    text.lines().map(str::trim_start).any(|line| {
        let mut words = line.split_whitespace();
        let (first, second) = (words.next(), words.next());
        matches!((first, second), (Some("conn" | "ca"), Some(_)) | (Some("config"), Some("setup")))
    })
}

impl Conf {
    pub(super) fn is_empty(&self) -> bool {
        self.sections.is_empty()
    }

    /// Reads a file and what it includes.
    pub(super) fn read(&mut self, text: &Text, secrets: &mut Secrets, opened: &mut Opened, findings: &mut Findings) {
        let mut inside = false;
        let ends = text.text.ends_with('\n');
        let lines: Vec<Line> = Line::all(&text.file, &text.text).collect();
        for (index, line) in lines.iter().enumerate() {
            let body = line::without_comment(line.text).trim();
            if body.is_empty() {
                self.comment(line);
                continue;
            }
            if line::is_residue(body) {
                findings.warning(&line.spot(), "a `~` that an editor showed behind the end of the file: left out", "");
                continue;
            }
            if let Some(pattern) = keyword(line, "include") {
                inside = false;
                opened.include(&pattern, Format::Strongswan, findings, &mut |text, opened, findings| {
                    self.read(text, secrets, opened, findings)
                });
                continue;
            }
            if self.header(line, &mut inside, findings) {
                continue;
            }
            if secrets::is_entry(body) {
                let message = "a line of ipsec.secrets in a configuration file: used as if it stood there";
                findings.warning(&line.spot(), message, "keep keys in a file that nobody else may read");
                secrets.line(line, findings);
                continue;
            }
            let last = index + 1 == lines.len() && !ends;
            self.entry(line, inside, last, findings);
        }
    }

    fn comment(&mut self, line: &Line) {
        const KEPT: usize = 200;
        if line.text.contains('#') && self.comments.len() < KEPT {
            self.comments.push(Sourced::new(line.text.trim().to_ascii_lowercase(), &line.spot()));
        }
    }

    /// Whether the line begins a section, or is `version 2`.
    fn header(&mut self, line: &Line, inside: &mut bool, findings: &mut Findings) -> bool {
        if line::split_entry(line).is_some() {
            return false;
        }
        if keyword(line, "version").is_some() {
            return true;
        }
        let kinds = [("config", Kind::Setup), ("conn", Kind::Conn), ("ca", Kind::Ca)];
        let Some((kind, name)) = kinds.iter().find_map(|(word, kind)| Some((*kind, keyword(line, word)?))) else {
            return false;
        };
        if line.text.starts_with(char::is_whitespace) {
            findings.warning(&line.spot(), "the beginning of a section is indented: read as one all the same", "");
        }
        if self.sections.len() >= MOST_SECTIONS {
            findings.error(
                &line.spot(),
                format!("more than {MOST_SECTIONS} sections: the rest is not read"),
                "import them one by one",
            );
            *inside = false;
            return true;
        }
        let name = name.with(line::cut_remark(name.value).0.trim_matches('"').to_owned());
        self.sections.push(Section { kind, name, entries: Vec::new(), broken: false });
        *inside = true;
        true
    }

    fn entry(&mut self, line: &Line, inside: bool, last: bool, findings: &mut Findings) {
        let section = self.sections.last_mut().filter(|_| inside);
        let Some((key, start)) = line::split_entry(line) else {
            if last {
                let message = format!("the file ends in the middle of a line: `{}`", shown(line.text.trim()));
                findings.error(&line.spot(), message, "the file is cut off: fetch it again");
                if let Some(section) = section {
                    section.broken = true;
                }
                return;
            }
            let first = line.text.split_whitespace().next().unwrap_or_default();
            let near = nearest(first, ["conn", "config", "include", "version", "ca"]);
            return line::tell_unread(line, near, findings);
        };
        let Some(section) = section else {
            let message = format!("`{}` belongs to no section: not used", shown(key.value));
            return findings.warning(&line.spot(), message, "write `conn NAME` above it");
        };
        if !line.text.starts_with(char::is_whitespace) {
            let message = "a line of a section is not indented: read as belonging to the section above";
            findings.warning(&line.spot(), message, "");
        }
        let Some((value, _)) = line::value(line, start, findings) else {
            section.broken = true;
            return;
        };
        if section.entries.len() >= MOST_ENTRIES {
            section.broken = true;
            return findings.error(&line.spot(), format!("more than {MOST_ENTRIES} keys in one section"), "");
        }
        let lower = key.value.to_ascii_lowercase();
        if lower != key.value && words::is_known(&lower) {
            findings.warning(&key.at, format!("`{}` is read as `{lower}`", shown(key.value)), "");
        }
        section.entries.push(Entry { key: key.with(lower), value });
    }
}

/// What follows a keyword at the beginning of a line, with its place.
pub(super) fn keyword<'t>(line: &Line<'t>, word: &str) -> Option<Sourced<&'t str>> {
    let text = line::without_comment(line.text);
    let lead = text.len() - text.trim_start().len();
    let rest = text.get(lead..)?.strip_prefix(word)?;
    if !rest.starts_with(char::is_whitespace) || rest.trim().is_empty() {
        return None;
    }
    let part = line.part(lead + word.len(), text.len());
    Some(part.map(|value| value.trim_matches('"')))
}
