//! Pages of codes and reports for people: `--explain CODE`, `docs/doctor.md`, and what `underpass doctor` prints.

use crate::catalogue::entries;
use crate::code::{Code, Entry, Layer, Seen};
use crate::finding::{Finding, Report, Weight};
use std::fmt::Write;

/// The page of a code.
pub fn of_code(code: Code) -> String {
    let entry = code.entry();
    let mut text = format!("{}  {}\n\n", entry.code, entry.line);
    let _ = writeln!(text, "layer        {}", entry.layer);
    let _ = writeln!(text, "means        {}", entry.meaning);
    let _ = writeln!(text, "do here      {}", entry.fix);
    if !entry.tell.is_empty() {
        let _ = writeln!(text, "tell them    {}", entry.tell);
    }
    let _ = writeln!(text, "seen         {}", seen(entry));
    let _ = writeln!(text, "source       {}", entry.source);
    text
}

fn seen(entry: &Entry) -> String {
    match entry.seen {
        Seen::Here => "from this side".to_owned(),
        Seen::ElsewhereOnly(why) => format!("not from this side today: {why}"),
    }
}

/// The table of all codes in `docs/doctor.md`, between its marks.
pub fn table() -> String {
    let mut text = String::new();
    for layer in Layer::ALL {
        let _ = writeln!(text, "### {}\n", heading(layer));
        let _ = writeln!(
            text,
            "| code | what is wrong | what it means | what to do here | what to write to the other side | source |"
        );
        let _ = writeln!(text, "|---|---|---|---|---|---|");
        for entry in entries().filter(|entry| entry.layer == layer) {
            let line = match entry.seen {
                Seen::Here => entry.line.to_owned(),
                Seen::ElsewhereOnly(why) => format!("{} *(not seen from here: {why})*", entry.line),
            };
            let cells = [entry.code.name(), &line, entry.meaning, entry.fix, entry.tell, entry.source];
            let cells = cells.map(|cell| cell.replace('|', "\\|"));
            let _ = writeln!(text, "| {} |", cells.join(" | "));
        }
        text.push('\n');
    }
    text
}

fn heading(layer: Layer) -> String {
    let mut name = layer.name().to_owned();
    if let Some(first) = name.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    name
}

/// Colours of a terminal, or none.
#[derive(Clone, Copy)]
pub struct Style {
    /// Whether colour is welcome.
    pub colour: bool,
}

impl Style {
    fn paint(self, text: &str, number: u8) -> String {
        if self.colour { format!("\u{1b}[{number}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// A report for people.
pub fn of_report(report: &Report, style: Style) -> String {
    let mut text = String::new();
    for finding in &report.findings {
        text.push_str(&of_finding(finding, style));
        text.push('\n');
    }
    for verdict in &report.tunnels {
        let state = verdict.state.as_deref().unwrap_or("state not known");
        let (mark, colour) = match (verdict.fault, state) {
            (Some(_), _) => ("✕", 31),
            (None, "up") => ("●", 32),
            (None, _) => ("◌", 33),
        };
        let mark = style.paint(mark, colour);
        match (&verdict.because, verdict.fault) {
            (Some(because), Some(_)) => {
                let layers: Vec<&str> = verdict.not_checked.iter().map(|layer| layer.name()).collect();
                let _ = writeln!(
                    text,
                    "{mark} {}: {state}; not checked: {}, because {because}",
                    verdict.tunnel,
                    layers.join(", ")
                );
            }
            (_, _) => {
                let _ = writeln!(text, "{mark} {}: {state}; nothing found", verdict.tunnel);
            }
        }
    }
    if report.findings.is_empty() && report.tunnels.is_empty() {
        text.push_str("nothing found\n");
    }
    for unknown in &report.not_known {
        let _ = writeln!(text, "not known: {unknown}");
    }
    text
}

fn of_finding(finding: &Finding, style: Style) -> String {
    let (mark, colour) = match finding.weight {
        Weight::Fault => ("✗", 31),
        Weight::Advice => ("!", 33),
    };
    let tunnel = finding.tunnel.as_deref().map(|tunnel| format!("{tunnel}: ")).unwrap_or_default();
    let code = style.paint(&format!("{mark} {}", finding.code), colour);
    let mut text = format!("{code}  {tunnel}{}  ({})\n", finding.line, finding.confidence.name());
    for line in &finding.evidence {
        let _ = writeln!(text, "    {line}");
    }
    let _ = writeln!(text, "  fix here:  {}", finding.fix);
    if !finding.tell.is_empty() {
        let _ = writeln!(text, "  tell them: {}", finding.tell);
    }
    text
}
