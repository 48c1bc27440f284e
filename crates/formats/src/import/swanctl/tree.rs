//! `swanctl.conf` as a tree: `name { key = value … }`, `#` comments, quoted values, `include`.

use super::super::finding::{Findings, shown};
use super::super::input::Text;
use super::super::model::Format;
use super::super::place::{Sourced, Spot};
use super::super::sources::Opened;

/// Sections inside each other at most; the format uses four.
const DEEPEST: usize = 16;
/// Sections and keys of all files at most.
const MOST: usize = 50_000;

/// A section.
#[derive(Debug)]
pub(super) struct Section {
    pub(super) name: Sourced<String>,
    pub(super) keys: Vec<(Sourced<String>, Sourced<String>)>,
    pub(super) sections: Vec<Section>,
}

impl Section {
    pub(super) fn new(name: Sourced<String>) -> Section {
        Section { name, keys: Vec::new(), sections: Vec::new() }
    }

    /// The last value of a key: later ones override earlier ones.
    pub(super) fn get(&self, key: &str) -> Option<Sourced<&str>> {
        let found = self.keys.iter().rev().find(|(name, _)| name.value == key);
        found.map(|(_, value)| value.with(value.value.as_str()))
    }

    /// The section of a name.
    pub(super) fn section(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|section| section.name.value == name)
    }

    /// A section of a name, made where it is missing: sections of one name are one.
    fn enter(&mut self, name: Sourced<String>) -> Option<&mut Section> {
        let index = match self.sections.iter().position(|section| section.name.value == name.value) {
            Some(index) => index,
            None => {
                self.sections.push(Section::new(name));
                self.sections.len() - 1
            }
        };
        self.sections.get_mut(index)
    }

    /// The section at the end of a path of names.
    fn at_path(&mut self, path: &[Sourced<String>]) -> Option<&mut Section> {
        let mut section = self;
        for name in path {
            section = section.enter(name.clone())?;
        }
        Some(section)
    }
}

/// Reads a file and what it includes into `root`; whether nothing was wrong with its form.
pub(super) fn read(text: &Text, root: &mut Section, opened: &mut Opened, findings: &mut Findings) -> bool {
    let mut reader = Reader { text, at: 0, count: 0 };
    reader.sections(root, opened, findings)
}

struct Reader<'t> {
    text: &'t Text,
    at: usize,
    count: usize,
}

impl<'t> Reader<'t> {
    fn rest(&self) -> &'t str {
        self.text.text.get(self.at..).unwrap_or_default()
    }

    fn spot(&self, offset: usize) -> Spot {
        Spot::of_offset(&self.text.file, &self.text.text, offset)
    }

    /// Over blanks, line ends and comments.
    fn skip(&mut self) {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start();
            self.at += rest.len() - trimmed.len();
            if !trimmed.starts_with('#') {
                return;
            }
            self.at += trimmed.find('\n').unwrap_or(trimmed.len());
        }
    }

    fn sections(&mut self, root: &mut Section, opened: &mut Opened, findings: &mut Findings) -> bool {
        let mut path: Vec<Sourced<String>> = Vec::new();
        let mut sound = true;
        loop {
            self.skip();
            let start = self.at;
            let Some(first) = self.rest().chars().next() else { break };
            self.count += 1;
            if self.count > MOST {
                findings.error(
                    &self.spot(start),
                    format!("more than {MOST} sections and keys"),
                    "import the connections one by one",
                );
                return false;
            }
            if first == '}' {
                self.at += 1;
                if path.pop().is_none() {
                    findings.error(
                        &self.spot(start),
                        "a `}` closes nothing",
                        "take it out, or write the section it belongs to",
                    );
                    sound = false;
                }
                continue;
            }
            let name = self.word();
            if name == "include" && self.rest().starts_with([' ', '\t']) {
                let pattern = self.value(findings);
                let pattern = pattern.with(pattern.value.as_str());
                let inner = path.clone();
                opened.include(&pattern, Format::Swanctl, findings, &mut |text, opened, findings| {
                    if let Some(section) = root.at_path(&inner) {
                        sound &= read(text, section, opened, findings);
                    }
                });
                continue;
            }
            sound &= self.item(start, name, &mut path, root, findings);
        }
        if let Some(open) = path.last() {
            let message = format!("the file ends inside section `{}`", shown(&open.value));
            findings.error(&open.at, message, "the file is cut off, or a `}` is missing");
            sound = false;
        }
        sound
    }

    /// What follows a name: `{` or `=`.
    fn item(
        &mut self,
        start: usize,
        name: &str,
        path: &mut Vec<Sourced<String>>,
        root: &mut Section,
        findings: &mut Findings,
    ) -> bool {
        let at = self.spot(start);
        let rest = self.rest();
        let trimmed = rest.trim_start();
        let sign = trimmed.chars().next();
        match sign {
            Some('{') if !name.is_empty() => {
                self.at += rest.len() - trimmed.len() + 1;
                path.push(Sourced::new(name.to_owned(), &at));
                if path.len() > DEEPEST {
                    findings.error(&at, format!("sections are more than {DEEPEST} deep"), "");
                    self.at = self.text.text.len();
                    path.clear();
                    return false;
                }
                root.at_path(path).is_some()
            }
            Some('=') if !name.is_empty() => {
                self.at += rest.len() - trimmed.len() + 1;
                let value = self.value(findings);
                if let Some(section) = root.at_path(path) {
                    section.keys.push((Sourced::new(name.to_owned(), &at), value));
                }
                true
            }
            Some(':') => {
                self.at += rest.find(['{', '\n']).unwrap_or(rest.len());
                findings.error(
                    &at,
                    format!("`{}` takes over another section (`:`)", shown(name)),
                    "write its keys out, Underpass does not follow such references",
                );
                self.at += self.rest().find('\n').unwrap_or(0);
                false
            }
            _ => {
                let line = self.text.text.get(start..).unwrap_or_default().lines().next().unwrap_or_default();
                findings.error(
                    &at,
                    format!("`{}` is neither a section nor a key", shown(line.trim())),
                    "write `name { … }` or `key = value`",
                );
                self.at = start + line.len().max(1);
                while !self.text.text.is_char_boundary(self.at) {
                    self.at += 1;
                }
                false
            }
        }
    }

    fn word(&mut self) -> &'t str {
        let rest = self.rest();
        let end = rest
            .find(|c: char| c.is_whitespace() || matches!(c, '{' | '}' | '=' | '#' | ':' | '"' | ','))
            .unwrap_or(rest.len());
        self.at += end;
        rest.get(..end).unwrap_or_default()
    }

    /// Up to the line's end, a `}` or a comment; or between quotes, over line ends too.
    fn value(&mut self, findings: &mut Findings) -> Sourced<String> {
        let rest = self.rest();
        let trimmed = rest.trim_start_matches([' ', '\t']);
        self.at += rest.len() - trimmed.len();
        let at = self.spot(self.at);
        if let Some(inner) = trimmed.strip_prefix('"') {
            let mut value = String::new();
            let mut chars = inner.char_indices();
            while let Some((offset, c)) = chars.next() {
                match c {
                    '\\' => value.extend(chars.next().map(|(_, c)| c)),
                    '"' => {
                        self.at += offset + 2;
                        return Sourced::new(value, &at);
                    }
                    c => value.push(c),
                }
            }
            findings.error(&at, "a quote opens here and never closes", "close it with `\"`");
            self.at = self.text.text.len();
            return Sourced::new(String::new(), &at);
        }
        let end = trimmed.find(['\n', '}', '#']).unwrap_or(trimmed.len());
        self.at += end;
        Sourced::new(trimmed.get(..end).unwrap_or_default().trim().to_owned(), &at)
    }
}
