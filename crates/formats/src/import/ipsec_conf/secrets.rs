//! `ipsec.secrets`: `SELECTORS : KIND DATA`. Of all kinds, pre-shared keys are of use.

use super::super::finding::Findings;
use super::super::input::Text;
use super::super::model::Format;
use super::super::place::{Line, Sourced, Spot};
use super::super::psk;
use super::super::sources::Opened;
use super::super::values::refuse_placeholder;
use super::conf::keyword;
use super::line;
use crate::encoding;
use crypto::SecretBytes;
use ike::id::Id;
use std::cell::Cell;

const KINDS: [&str; 12] =
    ["PSK", "RSA", "ECDSA", "PKCS8", "P12", "EAP", "NTLM", "XAUTH", "PIN", "PPKS", "PPK", "BLISS"];
/// Keys of all files at most.
const MOST: usize = 10_000;

/// One pre-shared key.
struct Entry {
    selectors: Vec<Sourced<String>>,
    psk: Sourced<SecretBytes>,
    at: Spot,
    /// One of several selectors is enough.
    loose: bool,
    used: Cell<bool>,
}

/// All keys of all files.
#[derive(Default)]
pub(crate) struct Secrets {
    entries: Vec<Entry>,
    /// A file of secrets was read, whatever was in it.
    read: bool,
}

/// Whether a text looks like an `ipsec.secrets`.
pub(crate) fn looks_like(text: &str) -> bool {
    let named = |line: &str| is_entry(line) || line.starts_with("include ");
    let lines = || text.lines().map(line::without_comment).filter(|line| !line.trim().is_empty());
    // What is indented goes on with what is above it.
    let belongs = |line: &str| line.starts_with([' ', '\t', '}']) || named(line) || line::is_residue(line);
    lines().any(|line| is_entry(line.trim())) && lines().all(belongs)
}

/// Whether a line has `: KIND`.
pub(super) fn is_entry(text: &str) -> bool {
    separator(text).is_some()
}

/// Where the colon before a kind stands, and the kind. Selectors may hold colons too (IPv6).
fn separator(text: &str) -> Option<(usize, &'static str)> {
    text.char_indices().filter(|(_, c)| *c == ':').find_map(|(at, _)| {
        let rest = text.get(at + 1..)?.trim_start();
        let word = rest.split(|c: char| c.is_whitespace() || c == '"' || c == '{').next().unwrap_or_default();
        let kind = KINDS.iter().find(|kind| word.eq_ignore_ascii_case(kind))?;
        Some((at, *kind))
    })
}

/// How well a key fits a pair of ends: the more of it is named, the better.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    Everybody,
    Any,
    One,
    Both,
}

impl Secrets {
    /// Reads a file and what it includes.
    pub(super) fn read(&mut self, text: &Text, opened: &mut Opened, findings: &mut Findings) {
        // Continuation lines belong to what is above: of a private key that is of no use here.
        let mut other_kind = false;
        self.read = true;
        for line in Line::all(&text.file, &text.text) {
            let body = line::without_comment(line.text).trim();
            if body.is_empty() {
                continue;
            }
            if line::is_residue(body) {
                findings.warning(&line.spot(), "a `~` that an editor showed behind the end of the file: left out", "");
                continue;
            }
            if let Some(pattern) = keyword(&line, "include") {
                opened.include(&pattern, Format::Secrets, findings, &mut |text, opened, findings| {
                    self.read(text, opened, findings)
                });
                continue;
            }
            if is_entry(body) {
                other_kind = !self.line(&line, findings);
            } else if !(other_kind && line.text.starts_with(char::is_whitespace)) && body != "}" {
                // The text may be a key: it is not repeated.
                let message = "a line without `: PSK` was not understood: not used";
                findings.warning(&line.spot(), message, "write `LOCAL REMOTE : PSK \"…\"`");
            }
        }
    }

    /// The file of secrets that goes with a configuration by its name: `x.conf` and `x.secrets`.
    pub(super) fn read_sibling(&mut self, text: &Text, opened: &mut Opened, findings: &mut Findings) {
        let Some(stem) = text.file.strip_suffix(".conf") else { return };
        let path = format!("{stem}.secrets");
        if let Some(text) =
            opened.beside(&Sourced::new(path.as_str(), &Spot::start(&text.file)), Format::Secrets, findings)
        {
            findings.note(
                &Spot::start(&text.file),
                "read too, for its pre-shared keys: it has the name of the configuration",
                "",
            );
            self.read(&text, opened, findings);
        }
    }

    /// Reads an entry; whether it is of the kind that is used.
    pub(super) fn line(&mut self, line: &Line, findings: &mut Findings) -> bool {
        let text = line::without_comment(line.text);
        let Some((colon, kind)) = separator(text) else { return true };
        if kind != "PSK" {
            findings.note(
                &line.at(colon),
                format!("a secret of kind {kind}: Underpass has pre-shared keys alone; not used"),
                "",
            );
            return false;
        }
        let attached = text.get(..colon).is_some_and(|before| before.ends_with(|c: char| !c.is_whitespace()));
        if attached {
            findings.warning(&line.at(colon), "no blank before the colon: read as if there were one", "");
        }
        let selectors = selectors(line, colon, findings);
        let kind_at = text.get(colon + 1..).unwrap_or_default();
        let data = colon + 1 + (kind_at.len() - kind_at.trim_start().len()) + kind.len();
        let psk = data_of(line, data, text.len(), findings);
        if let (Some(selectors), Some(psk)) = (selectors, psk) {
            if self.entries.len() < MOST {
                self.entries.push(Entry { selectors, psk, at: line.spot(), loose: false, used: Cell::new(false) });
            } else {
                findings.error(&line.spot(), format!("more than {MOST} keys"), "import the connections one by one");
            }
        }
        true
    }

    /// Adds the key of a `swanctl.conf`: any of its identities will do.
    pub(crate) fn add(
        &mut self,
        selectors: Vec<Sourced<String>>,
        text: &Sourced<&str>,
        at: &Spot,
        findings: &mut Findings,
    ) {
        let mut sound = true;
        for selector in &selectors {
            sound &= !refuse_placeholder(&selector.value, &selector.at, "the address or identity of one end", findings);
        }
        let psk = match text.value.get(..2) {
            Some("0x" | "0s") => encoded(text, text.value, findings),
            _ => psk::accept(text.value, &text.at, false, findings),
        };
        if let Some(psk) = psk.filter(|_| sound && self.entries.len() < MOST) {
            self.entries.push(Entry { selectors, psk, at: at.clone(), loose: true, used: Cell::new(false) });
        }
    }

    /// The key for a pair of ends, each with what it may be called. The most specific entry counts; equally specific ones
    /// must agree.
    pub(crate) fn find(
        &self,
        local: &[String],
        remote: &[String],
        findings: &mut Findings,
    ) -> Option<Sourced<SecretBytes>> {
        let fits = |entry: &Entry| fit(entry, local, remote);
        let best = self.entries.iter().filter_map(fits).max()?;
        let mut best = self.entries.iter().filter(|entry| fits(entry) == Some(best));
        let first = best.next()?;
        first.used.set(true);
        for other in best {
            other.used.set(true);
            if other.psk.value != first.psk.value {
                let message = format!("two pre-shared keys fit equally well: this one, and the one at {}", first.at);
                findings.error(&other.at, message, "name both ends in front of each key, or take one out");
                return None;
            }
        }
        Some(first.psk.clone())
    }

    /// Whether no file of secrets was read, and no key found elsewhere.
    pub(super) fn is_absent(&self) -> bool {
        !self.read && self.entries.is_empty()
    }

    /// Keys that no connection takes.
    pub(crate) fn tell_unused(&self, findings: &mut Findings) {
        for entry in self.entries.iter().filter(|entry| !entry.used.get()) {
            findings.note(&entry.at, "no connection takes this pre-shared key: not imported", "");
        }
    }
}

/// Who a key is for. `None` when one of them is the placeholder of a template.
fn selectors(line: &Line, end: usize, findings: &mut Findings) -> Option<Vec<Sourced<String>>> {
    let text = line.text.get(..end).unwrap_or_default();
    let mut found = Vec::new();
    let mut sound = true;
    let mut start = 0;
    for word in text.split_whitespace() {
        let at = text.get(start..).and_then(|rest| rest.find(word)).map_or(start, |at| start + at);
        start = at + word.len();
        let spot = line.at(at);
        let word = word.trim_matches('"');
        sound &= !refuse_placeholder(word, &spot, "the address or identity of one end", findings);
        found.push(Sourced::new(word.to_owned(), &spot));
    }
    sound.then_some(found)
}

/// The key: `"text"`, `0x…`, `0s…`, `0t…`.
fn data_of(line: &Line, start: usize, end: usize, findings: &mut Findings) -> Option<Sourced<SecretBytes>> {
    let raw = line.part(start, end);
    if raw.value.starts_with(['"', '\u{201c}', '\u{201d}', '\'']) {
        // Anything stands between the quotes, `#` too.
        let raw = line.part(start, line.text.len());
        let open = raw.value.chars().next().unwrap_or('"');
        let close = if open == '\'' {
            '\''
        } else if open == '"' {
            '"'
        } else {
            '\u{201d}'
        };
        if open != '"' {
            findings.warning(&raw.at, "a key in other quotes than `\"`: they are not part of it", "");
        }
        let inner = raw.value.get(open.len_utf8()..).unwrap_or_default();
        let Some(end) = inner.find(close) else {
            findings.error(&raw.at, "the quote around the key does not close on this line", "close it with `\"`");
            return None;
        };
        return psk::accept(inner.get(..end).unwrap_or_default(), &raw.at, false, findings);
    }
    let (value, remark) = line::cut_remark(raw.value);
    if !remark.is_empty() {
        findings.warning(&raw.at, "a remark follows the key on its line: left out", "a comment begins with `#`");
    }
    match value.get(..2) {
        Some("0x" | "0s") => encoded(&raw, value, findings),
        Some("0t") => psk::accept(value.get(2..).unwrap_or_default(), &raw.at, false, findings),
        _ => {
            findings.warning(&raw.at, "a key without quotes: taken up to the end of the line", "write it in `\"`");
            psk::accept(value, &raw.at, false, findings)
        }
    }
}

/// `0x…` or `0s…`.
fn encoded(raw: &Sourced<&str>, value: &str, findings: &mut Findings) -> Option<Sourced<SecretBytes>> {
    let decoded = match value.strip_prefix("0s") {
        Some(text) => encoding::base64(text),
        None => encoding::hex(&value.replace('_', "")),
    };
    match decoded {
        Ok(bytes) if !bytes.is_empty() => Some(raw.with(SecretBytes::from(bytes))),
        Ok(_) => {
            findings.error(&raw.at, "the pre-shared key is empty", "write the key that both ends hold there");
            None
        }
        Err(error) => {
            findings.error(
                &raw.at,
                format!("the pre-shared key is not what its first two characters say: {error}"),
                "",
            );
            None
        }
    }
}

fn fit(entry: &Entry, local: &[String], remote: &[String]) -> Option<Fit> {
    if entry.selectors.is_empty() {
        return Some(Fit::Everybody);
    }
    let any = |text: &str| matches!(text, "%any" | "%any6" | "0.0.0.0" | "::");
    let names = |ends: &[String], selector: &Sourced<String>| ends.iter().any(|end| same(end, &selector.value));
    let ours = entry.selectors.iter().any(|selector| names(local, selector));
    let theirs = entry.selectors.iter().any(|selector| names(remote, selector));
    let anybody = entry.selectors.iter().any(|selector| any(&selector.value));
    match (ours, theirs, anybody) {
        (true, true, _) => Some(Fit::Both),
        (true, false, true) | (false, true, true) => Some(Fit::One),
        // A selector that stands alone names either end.
        (true, false, false) | (false, true, false) => (entry.loose || entry.selectors.len() == 1).then_some(Fit::One),
        (false, false, true) => entry.selectors.iter().all(|selector| any(&selector.value)).then_some(Fit::Any),
        (false, false, false) => None,
    }
}

/// Whether two texts name the same party.
fn same(one: &str, other: &str) -> bool {
    match (one.parse::<Id>(), other.parse::<Id>()) {
        (Ok(one), Ok(other)) => one.same_as(&other),
        _ => one == other,
    }
}
