//! Lines of these files: comments, quotes, and what people paste behind values.

use super::super::finding::{Findings, shown};
use super::super::place::{Line, Sourced};

/// The line up to its comment: `#` at the beginning or after a blank, outside quotes.
pub(crate) fn without_comment(text: &str) -> &str {
    let mut quoted = false;
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        match c {
            '"' if before != '\\' => quoted = !quoted,
            '#' if !quoted && before.is_whitespace() => return text.get(..at).unwrap_or(text),
            _ => {}
        }
        before = c;
    }
    // A quote that never closes hides no comment from its line's end on.
    text
}

/// Whether a line is what an editor leaves on a screen behind the end of a file.
pub(crate) fn is_residue(text: &str) -> bool {
    let text = text.trim();
    !text.is_empty() && text.chars().all(|c| c == '~')
}

/// A value from byte `start` of the line on: unquoted, without remarks. `None`, and an error, where a quote does not close.
pub(crate) fn value(line: &Line, start: usize, findings: &mut Findings) -> Option<(Sourced<String>, bool)> {
    let text = without_comment(line.text);
    let raw = line.part(start, text.len());
    let straight = straighten(&raw, findings);
    let value = straight.as_deref().unwrap_or(raw.value);
    if let Some(rest) = value.strip_prefix('"') {
        return quoted(&raw, rest, findings).map(|value| (raw.with(value), true));
    }
    if value.starts_with('{') {
        let inner = value.trim_start_matches('{').split('}').next().unwrap_or_default().trim();
        return Some((raw.with(inner.to_owned()), true));
    }
    let (value, remark) = cut_remark(value);
    if !remark.is_empty() {
        let message = "a remark follows the value on its line: left out";
        findings.warning(&raw.at, message, "a comment begins with `#`");
    }
    Some((raw.with(value.split_whitespace().collect::<Vec<_>>().join(" ")), false))
}

/// Up to the closing quote; `\"` and `\\` stand for themselves.
fn quoted(raw: &Sourced<&str>, rest: &str, findings: &mut Findings) -> Option<String> {
    let mut value = String::with_capacity(rest.len());
    let mut chars = rest.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some((_, c @ ('"' | '\\'))) => value.push(c),
                Some((_, c)) => value.extend(['\\', c]),
                None => value.push('\\'),
            },
            '"' => {
                let after = rest.get(at + 1..).unwrap_or_default().trim();
                if !after.is_empty() {
                    findings.warning(
                        &raw.at,
                        "something follows the closing quote: left out",
                        "a comment begins with `#`",
                    );
                }
                return Some(value);
            }
            c => value.push(c),
        }
    }
    findings.error(&raw.at, "a quote opens here and does not close on this line", "close it with `\"`");
    None
}

/// Quotes and dashes that a word processor made of the typed ones.
fn straighten(raw: &Sourced<&str>, findings: &mut Findings) -> Option<String> {
    let curly = |c: char| matches!(c, '\u{201c}' | '\u{201d}' | '\u{201e}');
    if !raw.value.starts_with(curly) {
        return None;
    }
    findings.warning(&raw.at, "typographic quotes around a value: read as `\"`", "");
    Some(raw.value.replace(curly, "\""))
}

/// A value and the remark behind it: `--- Elastic IP of the instance`.
pub(crate) fn cut_remark(value: &str) -> (&str, &str) {
    let marks = ["---", "-- ", "<--", "\u{2014}", "\u{2013}", "//"];
    let blanks = value.char_indices().filter(|(_, c)| c.is_whitespace());
    for (at, _) in blanks {
        let rest = value.get(at..).unwrap_or_default().trim_start();
        if marks.iter().any(|mark| rest.starts_with(mark)) {
            return (value.get(..at).unwrap_or(value).trim_end(), rest);
        }
    }
    (value, "")
}

/// `key = value`: where the key ends and the value begins.
pub(crate) fn split_entry<'t>(line: &Line<'t>) -> Option<(Sourced<&'t str>, usize)> {
    let text = without_comment(line.text);
    let equals = text.find('=')?;
    let key = line.part(0, equals);
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '%');
    (!key.value.is_empty() && key.value.chars().all(plain)).then_some((key, equals + 1))
}

/// Says that a line was not understood.
pub(crate) fn tell_unread(line: &Line, near: Option<&str>, findings: &mut Findings) {
    let help = near.map_or_else(String::new, |near| format!("did you mean `{near}`?"));
    findings.warning(&line.spot(), format!("`{}` was not understood: not used", shown(line.text.trim())), help);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_lose_comments_quotes_and_remarks() {
        // (text after `=`, value, findings)
        let table = [
            (" 10.0.0.1 ", Some("10.0.0.1"), 0),
            ("10.0.0.1 # ours", Some("10.0.0.1"), 0),
            ("######", Some("######"), 0),
            ("@#6869", Some("@#6869"), 0),
            ("\"a # b\" # c", Some("a # b"), 0),
            ("\"a \\\" b\"", Some("a \" b"), 0),
            ("13.237.83.228      --- Elastic IP", Some("13.237.83.228"), 1),
            ("10.0.0.0/16\t--- CIDR = range", Some("10.0.0.0/16"), 1),
            ("a--b", Some("a--b"), 0),
            ("\"open", None, 1),
            ("\"a\" --- b", Some("a"), 1),
            ("\u{201c}a b\u{201d}", Some("a b"), 1),
            ("{10.0.0.0/8 10.1.0.0/16}", Some("10.0.0.0/8 10.1.0.0/16"), 0),
            ("", Some(""), 0),
        ];
        let file = "f".into();
        for (text, expected, told) in table {
            let whole = format!("key={text}");
            let line = Line { file: &file, number: 1, text: &whole };
            let mut findings = Findings::default();
            let read = value(&line, 4, &mut findings).map(|(value, _)| value.value);
            assert_eq!(read.as_deref(), expected, "{text:?}");
            assert_eq!(findings.into_list().len(), told, "{text:?}");
        }
        assert!(is_residue("  ~   ") && is_residue("~~") && !is_residue("") && !is_residue("~a"));
    }
}
