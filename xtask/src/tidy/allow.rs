//! The allow-list of sizes: `file PATH NUMBER` and `fn PATH::NAME NUMBER`, one a line, `#` for comments. It only shrinks.

use super::Finding;
use std::collections::BTreeMap;

/// Something measured: what it is called in the list, where it is, how large, and the limit that holds without an entry.
#[derive(Debug, Clone)]
pub struct Size {
    /// `file PATH` or `fn PATH::NAME`.
    pub key: String,
    /// Where to point.
    pub path: String,
    /// Line from 1, or 0 for the file.
    pub line: usize,
    /// Measured lines.
    pub lines: usize,
    /// Lines allowed without an entry.
    pub limit: usize,
}

/// Parsed entries: key to (line in the list, number).
pub struct AllowList(BTreeMap<String, (usize, usize)>);

impl AllowList {
    /// Reads the list; a line that says nothing sensible is a finding.
    pub fn parse(path: &str, text: &str) -> (Self, Vec<Finding>) {
        let mut entries = BTreeMap::new();
        let mut findings = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let entry = line
                .rsplit_once(' ')
                .and_then(|(key, number)| Some((key.trim(), number.parse::<usize>().ok()?)))
                .filter(|(key, _)| key.starts_with("file ") || key.starts_with("fn "));
            match entry {
                Some((key, number)) => {
                    entries.insert(key.to_owned(), (index + 1, number));
                }
                None => findings.push(Finding::new(
                    path,
                    index + 1,
                    "expected `file PATH NUMBER` or `fn PATH::NAME NUMBER`",
                )),
            }
        }
        (AllowList(entries), findings)
    }

    /// Too large without an entry, larger than its entry, or an entry larger than needed.
    pub fn judge(&self, list: &str, sizes: &[Size]) -> Vec<Finding> {
        let mut largest: BTreeMap<&str, usize> = BTreeMap::new();
        let mut findings = Vec::new();
        for size in sizes {
            let known = largest.entry(&size.key).or_default();
            *known = (*known).max(size.lines);
            let allowed = self.0.get(&size.key).map(|(_, number)| *number);
            let bound = allowed.unwrap_or(size.limit).max(size.limit);
            if size.lines > bound {
                let what = format!("{} lines, at most {bound}: split it by idea ({})", size.lines, size.key);
                findings.push(Finding::new(&size.path, size.line, what));
            }
        }
        for (key, (line, number)) in &self.0 {
            let limit = sizes.iter().find(|size| size.key == *key).map_or(0, |size| size.limit);
            let measured = largest.get(key.as_str()).copied().unwrap_or(0);
            if measured <= limit {
                findings.push(Finding::new(list, *line, format!("`{key}` needs no entry any more: remove it")));
            } else if measured < *number {
                findings.push(Finding::new(list, *line, format!("`{key}` shrank: lower {number} to {measured}")));
            }
        }
        findings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(lines: usize) -> Size {
        Size { key: "file a.rs".into(), path: "a.rs".into(), line: 0, lines, limit: 500 }
    }

    #[test]
    fn the_list_only_shrinks() {
        let cases = [
            ("", 500, 0),
            ("", 501, 1),
            ("file a.rs 600", 600, 0),
            ("file a.rs 600", 601, 1),
            ("file a.rs 600", 599, 1),
            ("file a.rs 600", 400, 1),
            ("file gone.rs 600", 10, 1),
            ("# only a comment\n\n", 10, 0),
        ];
        for (text, lines, expected) in cases {
            let (list, problems) = AllowList::parse("allow", text);
            assert_eq!(problems, [], "{text}");
            let findings = list.judge("allow", &[size(lines)]);
            assert_eq!(findings.len(), expected, "{text} with {lines}: {findings:?}");
        }
    }

    #[test]
    fn nonsense_in_the_list_is_a_finding_not_an_excuse() {
        let (list, problems) = AllowList::parse("allow", "file a.rs many\nelse a.rs 9\n");
        assert_eq!(problems.len(), 2);
        assert_eq!(list.judge("allow", &[size(501)]).len(), 1);
    }
}
