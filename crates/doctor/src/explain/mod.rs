//! Other people's logs: which line says what, in the doctor's codes.
//!
//! `phrases` is data: a dialect, a pattern, a code and the line it was written after. Our own log in JSON is read as
//! evidence and judged by the rules. A line is quoted with its number, bounded, and with whatever may be a key hidden. A log
//! of which no line is known is called unknown: nothing is guessed.

mod phrases;

pub use phrases::{Dialect, PHRASES, Phrase};

use crate::code::Code;
use crate::diagnose;
use crate::evidence::{Event, Evidence, MOST_EVENTS};
use crate::finding::{Confidence, Finding, Report};
use crate::text::masked;
use serde::Serialize;
use std::collections::{BTreeMap, VecDeque};

/// Bytes of a log that are read at most; of more the end counts.
pub const LARGEST_LOG: usize = 64 << 20;
/// Lines quoted of one code.
const QUOTED: usize = 3;
/// Bytes of a line that are looked at.
const LONGEST_LINE: usize = 4096;

/// A line that says something.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Recognised {
    /// From 1.
    pub line: usize,
    /// Whose language it is.
    pub dialect: &'static str,
    /// What it says.
    pub code: Code,
    /// The line, bounded, without secrets.
    pub quote: String,
}

/// What a log says.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Explained {
    /// The findings, ranked.
    pub report: Report,
    /// Lines read.
    pub lines: usize,
    /// Whose log it is, by most of the lines that are known.
    pub dialect: Option<&'static str>,
    /// The last lines of each code.
    pub recognised: Vec<Recognised>,
}

/// What the lines of one code come to.
struct Said {
    count: usize,
    first: Recognised,
    last: Vec<Recognised>,
    confidence: Confidence,
    advice: bool,
}

/// Explains a log.
pub fn explain(log: &str) -> Explained {
    let log = newest(log);
    let mut said: BTreeMap<Code, Said> = BTreeMap::new();
    let mut dialects: BTreeMap<&'static str, usize> = BTreeMap::new();
    let mut own = VecDeque::new();
    let mut lines = 0;
    for (index, line) in log.lines().enumerate() {
        lines = index + 1;
        let line = head(line);
        if let Some(event) = own_event(line) {
            // The newest count, as in the gateway's own memory.
            if own.len() == MOST_EVENTS {
                own.pop_front();
            }
            own.push_back(event);
            continue;
        }
        let Some(phrase) = phrases::find(line) else { continue };
        *dialects.entry(phrase.dialect.name()).or_default() += 1;
        let recognised =
            Recognised { line: lines, dialect: phrase.dialect.name(), code: phrase.code, quote: masked(line.trim()) };
        let entry = said.entry(phrase.code).or_insert_with(|| Said {
            count: 0,
            first: recognised.clone(),
            last: Vec::new(),
            confidence: phrase.confidence,
            advice: phrase.advice,
        });
        entry.count += 1;
        entry.confidence = entry.confidence.min(phrase.confidence);
        entry.advice &= phrase.advice;
        if entry.last.len() == QUOTED {
            entry.last.remove(0);
        }
        entry.last.push(recognised);
    }
    let mut found: Vec<Finding> = said.iter().map(|(code, said)| finding(*code, said)).collect();
    if !own.is_empty() {
        *dialects.entry(Dialect::Underpass.name()).or_default() += own.len();
        found.extend(judged(own.into()));
    }
    let dialect = dialects.iter().max_by_key(|(_, count)| **count).map(|(name, _)| *name);
    let recognised = said.into_values().flat_map(|said| said.last).collect();
    Explained { report: Report::rank(found, Vec::new(), None, Vec::new()), lines, dialect, recognised }
}

fn finding(code: Code, said: &Said) -> Finding {
    let quotes = said.last.iter().map(|one| format!("line {}: {}", one.line, one.quote));
    let finding = Finding::new(code).confidence(said.confidence).shown_by_all(quotes);
    let more = said.count.saturating_sub(said.last.len());
    let finding =
        finding.shown_by_all((more > 0).then(|| format!("and {more} lines more, from line {} on", said.first.line)));
    if said.advice { finding.advice() } else { finding }
}

/// Our own log as JSON is evidence, and judged as such.
fn judged(events: Vec<Event>) -> Vec<Finding> {
    let taken = events.last().and_then(|event| event.time.clone());
    let evidence = Evidence { schema_version: 1, taken, events, ..Evidence::default() };
    diagnose(&evidence, None).findings
}

fn own_event(line: &str) -> Option<Event> {
    let line = line.trim();
    if !line.starts_with('{') || !line.contains("\"event\"") {
        return None;
    }
    Event::from_log(&serde_json::from_str(line).ok()?)
}

/// The end of a log that is too long, from the beginning of a line.
fn newest(log: &str) -> &str {
    let mut from = log.len().saturating_sub(LARGEST_LOG);
    while !log.is_char_boundary(from) {
        from += 1;
    }
    let cut = log.get(from..).unwrap_or_default();
    if from == 0 { cut } else { cut.split_once('\n').map_or(cut, |(_, rest)| rest) }
}

fn head(line: &str) -> &str {
    let mut end = line.len().min(LONGEST_LINE);
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    line.get(..end).unwrap_or_default()
}

impl Explained {
    /// For people.
    pub fn to_text(&self, style: crate::page::Style) -> String {
        let known = match self.dialect {
            Some(dialect) => format!("{} lines, {dialect}\n\n", self.lines),
            None => format!(
                "{} lines, none of them known. Known are logs of {}.\n",
                self.lines,
                Dialect::ALL.map(Dialect::name).join(", ")
            ),
        };
        let nothing = self.dialect.is_some() && self.report.findings.is_empty();
        let body = if nothing {
            "nothing in it is a fault\n".to_owned()
        } else if self.dialect.is_some() {
            crate::page::of_report(&self.report, style)
        } else {
            String::new()
        };
        format!("{known}{body}")
    }
}
