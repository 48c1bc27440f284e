//! Messages between us and a peer as a sequence diagram in text:
//!
//! ```text
//!   us 192.0.2.1:500                                                     198.51.100.1:500 peer
//!    │                                                                                   │
//!    │ 10:41:07.120  IKE_SA_INIT request 0                                               │
//!    │               SA  aes256-sha256-modp1024                                          │
//!    │──────────────────────────────────────────────────────────────────────────────────▶│
//!    │ 10:41:07.131  IKE_SA_INIT response 0                                       +11 ms │
//!    │               N  NO_PROPOSAL_CHOSEN                                               │
//!    │◀──────────────────────────────────────────────────────────────────────────────────│
//!    ✕ 10:41:07.131  not up: …
//! ```

use crate::client::clean;
use crate::tunnels::{items, text};
use serde_json::Value;

/// Columns between the two life lines.
const WIDTH: usize = 92;
/// Where the text of a message begins, after the time.
const INDENT: usize = 15;
/// Names of payloads are this wide at least.
const NAME: usize = 5;

const RED: &str = "31";
const GREEN: &str = "32";
const DIM: &str = "2";
const YELLOW: &str = "33";

/// The diagram of these entries, a line each.
pub fn lines(entries: &[Value], colour: bool) -> Vec<String> {
    let mut drawn = Drawing { colour, lines: Vec::new(), path: None, asked: None };
    for entry in entries {
        match text(entry, "kind") {
            "message" => drawn.message(entry),
            _ => drawn.event(entry),
        }
    }
    drawn.lines
}

struct Drawing {
    colour: bool,
    lines: Vec<String>,
    /// Between whom the last message was.
    path: Option<(String, String)>,
    /// The last message: its way, and when it was.
    asked: Option<(bool, f64)>,
}

impl Drawing {
    fn paint(&self, text: &str, colour: &str) -> String {
        if self.colour { format!("\u{1b}[{colour}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    /// Between the life lines, padded; `plain` is what is seen of it.
    fn between(&mut self, plain: &str, painted: &str) {
        let pad = WIDTH.saturating_sub(plain.chars().count());
        self.lines.push(format!("   │{painted}{}│", " ".repeat(pad)));
    }

    fn heads(&mut self, entry: &Value) {
        let path = (clean(text(entry, "local")), clean(text(entry, "remote")));
        if self.path.as_ref() == Some(&path) {
            return;
        }
        let (us, peer) = (format!("us {}", path.0), format!("{} peer", path.1));
        let gap = (WIDTH + 4).saturating_sub(us.chars().count() + peer.chars().count()).max(1);
        self.lines.push(format!("  {us}{}{peer}", " ".repeat(gap)));
        self.path = Some(path);
    }

    fn message(&mut self, entry: &Value) {
        self.heads(entry);
        let sent = entry.get("sent").and_then(Value::as_bool).unwrap_or_default();
        let count = entry.get("count").and_then(Value::as_u64).unwrap_or(1);
        let id = entry.get("message_id").and_then(Value::as_u64).unwrap_or_default();
        let id = if text(entry, "version") == "ikev1" { format!("{id:08x}") } else { id.to_string() };
        let mut title = format!("{} {} {id}", clean(text(entry, "exchange")), clean(text(entry, "role")));
        if text(entry, "version") == "ikev1" && id == "00000000" {
            title = clean(text(entry, "exchange"));
        }
        if count > 1 {
            title.push_str(&format!(", the last of {count}"));
        }
        let at = clock(text(entry, "time"));
        let seconds = seconds(text(entry, "time"));
        let after = match self.asked {
            Some((before, then)) if before != sent && seconds >= then => {
                format!("+{:.0} ms ", (seconds - then) * 1000.0)
            }
            _ => String::new(),
        };
        self.asked = Some((sent, seconds));
        let head = format!(" {at:<12}  {title}");
        let gap = WIDTH.saturating_sub(head.chars().count() + after.chars().count());
        let line = format!("{head}{}{after}", " ".repeat(gap));
        let painted = format!(
            " {}  {}{}{}",
            self.paint(&format!("{at:<12}"), DIM),
            self.paint(&title, "1"),
            " ".repeat(gap),
            self.paint(&after, DIM)
        );
        self.between(&line, &painted);
        for payload in items(entry, "payloads") {
            self.payload(&clean(text(payload, "name")), &clean(text(payload, "text")));
        }
        let arrow =
            if sent { format!("{}▶", "─".repeat(WIDTH - 1)) } else { format!("◀{}", "─".repeat(WIDTH - 1)) };
        let painted = self.paint(&arrow, if sent { "36" } else { "35" });
        self.between(&arrow, &painted);
    }

    fn payload(&mut self, name: &str, said: &str) {
        let room = WIDTH - INDENT - NAME - 2;
        let pieces = wrap(said, room);
        let is_error = name == "N" && is_error(said);
        for (index, piece) in pieces.iter().enumerate() {
            let name = if index == 0 { name } else { "" };
            let plain = format!("{}{name:<NAME$} {piece}", " ".repeat(INDENT));
            let painted = if is_error {
                format!("{}{name:<NAME$} {}", " ".repeat(INDENT), self.paint(piece, RED))
            } else {
                format!("{}{} {piece}", " ".repeat(INDENT), self.paint(&format!("{name:<NAME$}"), DIM))
            };
            self.between(&plain, &painted);
        }
    }

    fn event(&mut self, entry: &Value) {
        let failed = matches!(
            text(entry, "event"),
            "connect_failed" | "rejected" | "child_failed" | "ike_sa_down" | "child_sa_down"
        );
        let up = matches!(text(entry, "event"), "ike_sa_up" | "child_sa_up" | "child_sa_rekeyed" | "ike_sa_rekeyed");
        let (sign, colour) = match (failed, up) {
            (true, _) => ('✕', RED),
            (_, true) => ('●', GREEN),
            _ => ('·', DIM),
        };
        let child = clean(text(entry, "child"));
        let subject = if child.is_empty() { String::new() } else { format!("{child}: ") };
        let at = clock(text(entry, "time"));
        let message = clean(text(entry, "message"));
        for (index, piece) in wrap(&format!("{subject}{message}"), WIDTH - INDENT).iter().enumerate() {
            let line = if index == 0 { format!("{sign} {at:<12}  {piece}") } else { format!("│ {:12}  {piece}", "") };
            let line = self.paint(&line, colour);
            self.lines.push(format!("   {line}"));
        }
        self.difference(entry);
    }

    /// Where both ends' values are known and differ, one under the other, and the field that is not the same.
    fn difference(&mut self, entry: &Value) {
        let (ours, theirs) = (text(entry, "ours"), text(entry, "theirs"));
        if ours.is_empty()
            || theirs.is_empty()
            || !matches!(text(entry, "event"), "connect_failed" | "rejected" | "child_failed")
        {
            return;
        }
        let differs = text(entry, "differs");
        for (whose, value, other) in [("ours", ours, theirs), ("theirs", theirs, ours)] {
            let marked = if differs.is_empty() { clean(value) } else { self.mark(&clean(value), &clean(other)) };
            self.lines.push(format!("   │ {:12}  {whose:<7} {marked}", ""));
        }
        if !differs.is_empty() {
            let told = self.paint(&format!("▲ differs: {}", clean(differs).replace('_', " ")), YELLOW);
            self.lines.push(format!("   │ {:12}  {told}", ""));
        }
    }

    /// The words of a list of proposals that the other list has nowhere.
    fn mark(&self, value: &str, other: &str) -> String {
        let separators = |c: char| matches!(c, '-' | ',' | '|' | ' ');
        let known: Vec<&str> = other.split(separators).collect();
        let mut marked = String::new();
        let mut rest = value;
        while !rest.is_empty() {
            let end = rest.find(separators).unwrap_or(rest.len());
            let (word, tail) = rest.split_at(end);
            if word.is_empty() || known.contains(&word) {
                marked.push_str(word);
            } else if self.colour {
                marked.push_str(&self.paint(word, RED));
            } else {
                marked.push_str(&format!("[{word}]"));
            }
            let separator = tail.chars().next().map_or(0, char::len_utf8);
            let (separator, tail) = tail.split_at(separator);
            marked.push_str(separator);
            rest = tail;
        }
        marked
    }
}

/// Errors among notifies: they end or refuse something (RFC 7296 §3.10.1).
fn is_error(notify: &str) -> bool {
    let words = [
        "INVALID",
        "NO_PROPOSAL",
        "NO-PROPOSAL",
        "FAILED",
        "UNACCEPTABLE",
        "UNSUPPORTED_CRITICAL",
        "NO_ADDITIONAL",
        "TEMPORARY",
        "REQUIRED",
        "NOT_FOUND",
    ];
    words.iter().any(|word| notify.contains(word))
}

/// The time of day of an RFC 3339 time.
fn clock(time: &str) -> String {
    let of_day = time.split_once('T').map_or(time, |(_, of_day)| of_day);
    clean(of_day.trim_end_matches('Z'))
}

/// Seconds of the day.
fn seconds(time: &str) -> f64 {
    let clock = clock(time);
    let parts: Vec<f64> = clock.split(':').filter_map(|part| part.parse().ok()).collect();
    parts.iter().fold(0.0, |sum, part| sum * 60.0 + part)
}

/// Lines of at most `width` characters, cut at blanks and commas where there are any.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_inclusive([' ', ',']) {
        if !line.is_empty() && line.chars().count() + word.trim_end().chars().count() > width {
            lines.push(std::mem::take(&mut line).trim_end().to_owned());
        }
        line.push_str(word);
        while line.chars().count() > width {
            let cut: String = line.chars().take(width).collect();
            line = line.chars().skip(width).collect();
            lines.push(cut);
        }
    }
    lines.push(line.trim_end().to_owned());
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn refused() -> Vec<Value> {
        let message = |time: &str, sent: bool, role: &str, payloads: Value| {
            json!({"kind": "message", "time": format!("2026-11-26T10:41:07.{time}Z"), "sent": sent, "version": "ikev2",
                "exchange": "IKE_SA_INIT", "role": role, "message_id": 0, "local": "192.0.2.1:500", "remote": "198.51.100.1:500",
                "protected": false, "payloads": payloads, "count": 1})
        };
        vec![
            message(
                "120",
                true,
                "request",
                json!([{"name": "SA", "text": "aes256-sha256-modp1024"}, {"name": "KE", "text": "modp1024, 128 octets"}]),
            ),
            message("131", false, "response", json!([{"name": "N", "text": "NO_PROPOSAL_CHOSEN"}])),
            json!({"kind": "event", "time": "2026-11-26T10:41:07.131Z", "level": "warn", "event": "connect_failed", "message": "not up: no proposal in common",
                "connection": "b", "child": null, "reason": "no_proposal_chosen", "ours": "aes256-sha256-modp1024",
                "theirs": "aes256-sha256-modp2048,ecp256", "differs": "dh_group"}),
        ]
    }

    #[test]
    fn a_refused_negotiation_is_drawn_with_the_field_that_differs() {
        let lines = lines(&refused(), false);
        let text = lines.join("\n");
        assert!(lines[0].starts_with("  us 192.0.2.1:500") && lines[0].ends_with("198.51.100.1:500 peer"), "{text}");
        for part in [
            "│ 10:41:07.120  IKE_SA_INIT request 0",
            "SA    aes256-sha256-modp1024",
            "▶│",
            "+11 ms │",
            "N     NO_PROPOSAL_CHOSEN",
            "│◀──",
            "✕ 10:41:07.131  not up: no proposal in common",
            "ours    aes256-sha256-[modp1024]",
            "theirs  aes256-sha256-[modp2048],[ecp256]",
            "▲ differs: dh group",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        let widths: Vec<usize> =
            lines.iter().filter(|line| line.ends_with('│')).map(|line| line.chars().count()).collect();
        assert!(widths.len() >= 6 && widths.iter().all(|width| *width == widths[0]), "{widths:?}\n{text}");
        assert!(!text.contains('\u{1b}'));
    }

    #[test]
    fn colour_changes_nothing_but_colour_and_odd_content_does_no_harm() {
        let strip = |text: String| {
            let mut plain = String::new();
            let mut rest = text.as_str();
            while let Some((before, after)) = rest.split_once('\u{1b}') {
                plain.push_str(before);
                rest = after.split_once('m').map_or("", |(_, rest)| rest);
            }
            plain + rest
        };
        let coloured: Vec<String> = lines(&refused(), true).into_iter().map(strip).collect();
        let plain: Vec<String> = lines(&refused(), false).iter().map(|line| line.replace(['[', ']'], "")).collect();
        assert_eq!(coloured, plain);
        let odd = [
            json!({}),
            json!({"kind": "message", "payloads": [{}, 3]}),
            json!({"kind": "event", "message": "\u{1b}[2J"}),
        ];
        assert!(!lines(&odd, false).join("").contains('\u{1b}'));
    }

    #[test]
    fn long_payloads_are_wrapped_between_the_life_lines() {
        let long = "10.1.0.0/16, ".repeat(20) + &"x".repeat(300);
        for line in wrap(&long, 60) {
            assert!(line.chars().count() <= 60, "{line}");
        }
        assert_eq!(wrap("", 10), [""]);
    }
}
