//! Source texts and places in them: where a value stands, in the words an editor uses (line and column from 1).

use std::ops::Range;
use zeroize::Zeroize;

/// One file handed in by whoever may read files. Its text may hold secrets: hidden in `Debug`, wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// Path as the operator knows it, shown in diagnostics.
    pub path: String,
    /// The whole text.
    pub text: String,
}

impl SourceFile {
    /// A file at `path` holding `text`.
    pub fn new(path: impl Into<String>, text: impl Into<String>) -> SourceFile {
        SourceFile { path: path.into(), text: text.into() }
    }
}

impl Drop for SourceFile {
    fn drop(&mut self) {
        self.text.zeroize();
    }
}

impl std::fmt::Debug for SourceFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SourceFile").field("path", &self.path).field("bytes", &self.text.len()).finish()
    }
}

/// A stretch of one file: the file's index among the sources, and bytes of its text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Place {
    pub(crate) file: usize,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl Place {
    pub(crate) fn new(file: usize, span: Range<usize>) -> Place {
        Place { file, start: span.start, end: span.end.max(span.start) }
    }
}

/// A value and where it stands.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) place: Place,
}

/// A place as people read it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Located {
    /// From 1.
    pub(crate) line: usize,
    /// From 1, in characters.
    pub(crate) column: usize,
    /// Characters the place covers on its first line, at least 1.
    pub(crate) length: usize,
    /// The line, without its end.
    pub(crate) text: String,
}

/// Longest source line shown, in characters; longer ones are cut.
const SHOWN_LINE: usize = 200;

/// Finds `start..end` in `text`. Offsets past the end or inside a character are moved back to the nearest one before.
pub(crate) fn locate(text: &str, start: usize, end: usize) -> Located {
    let start = floor_boundary(text, start);
    let end = floor_boundary(text, end).max(start);
    let (before, from) = text.split_at(start);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line_end = from.find('\n').map_or(text.len(), |newline| start + newline);
    let line = before.matches('\n').count() + 1;
    let column = text.get(line_start..start).map_or(0, |lead| lead.chars().count()) + 1;
    let covered = text.get(start..end.min(line_end)).map_or(0, |part| part.trim_end().chars().count());
    let shown: String = text
        .get(line_start..line_end)
        .unwrap_or_default()
        .trim_end()
        .chars()
        .take(SHOWN_LINE)
        .map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c })
        .collect();
    Located { line, column, length: covered.clamp(1, SHOWN_LINE), text: shown }
}

fn floor_boundary(text: &str, mut offset: usize) -> usize {
    offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_in_lines_and_characters_from_one() {
        let text = "a = 1\nüü = \"x\"\r\nlast";
        // (start, end, line, column, length, line text)
        let table = [
            (0, 1, 1, 1, 1, "a = 1"),
            (6, 10, 2, 1, 2, "üü = \"x\""),
            (13, 16, 2, 6, 3, "üü = \"x\""),
            (18, 22, 3, 1, 4, "last"),
            (22, 22, 3, 5, 1, "last"),
            (9999, 10_000, 3, 5, 1, "last"),
            (7, 8, 2, 1, 1, "üü = \"x\""),
            (0, 22, 1, 1, 5, "a = 1"),
        ];
        for (start, end, line, column, length, shown) in table {
            let located = locate(text, start, end);
            assert_eq!((located.line, located.column, located.length), (line, column, length), "{start}..{end}");
            assert_eq!(located.text, shown);
        }
        assert_eq!(locate("", 0, 0).line, 1);
    }

    #[test]
    fn control_characters_never_reach_a_terminal() {
        assert_eq!(locate("a\u{1b}[31m\tb", 0, 1).text, "a\u{fffd}[31m\tb");
    }

    #[test]
    fn debug_hides_the_text() {
        let shown = format!("{:?}", SourceFile::new("secrets.toml", "very private"));
        assert!(shown.contains("secrets.toml") && !shown.contains("private"), "{shown}");
    }
}
