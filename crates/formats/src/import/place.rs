//! Where an imported value stands, and lines that know where they are.

use std::sync::Arc;

/// A place in a file that somebody else wrote.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Spot {
    /// The file's path as it was given.
    pub file: Arc<str>,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

impl Spot {
    /// The beginning of a file.
    pub fn start(file: &Arc<str>) -> Spot {
        Spot { file: Arc::clone(file), line: 1, column: 1 }
    }

    /// The place of byte `offset` of `text`, the whole text of `file`.
    pub(crate) fn of_offset(file: &Arc<str>, text: &str, offset: usize) -> Spot {
        let at = crate::source::locate(text, offset, offset);
        Spot { file: Arc::clone(file), line: at.line, column: at.column }
    }
}

/// `FILE:LINE:COLUMN`, as editors take it.
impl std::fmt::Display for Spot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// A value and where it was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sourced<T> {
    /// The value.
    pub value: T,
    /// Its place.
    pub at: Spot,
    /// Whether it stands there. Else it follows from what stands there, as a default of the format does.
    pub written: bool,
}

impl<T> Sourced<T> {
    /// A value read at a place.
    pub fn new(value: T, at: &Spot) -> Sourced<T> {
        Sourced { value, at: at.clone(), written: true }
    }

    /// A value that nobody wrote: it follows from what stands at a place.
    pub fn implied(value: T, at: &Spot) -> Sourced<T> {
        Sourced { value, at: at.clone(), written: false }
    }

    /// Another value that follows from this one.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Sourced<U> {
        Sourced { value: change(self.value), at: self.at, written: self.written }
    }

    /// Another value of the same place.
    pub fn with<U>(&self, value: U) -> Sourced<U> {
        Sourced { value, at: self.at.clone(), written: self.written }
    }
}

/// One line of a file.
#[derive(Clone, Copy)]
pub(crate) struct Line<'t> {
    pub(crate) file: &'t Arc<str>,
    /// From 1.
    pub(crate) number: usize,
    /// Without its end.
    pub(crate) text: &'t str,
}

impl<'t> Line<'t> {
    /// The lines of a text. A final carriage return belongs to the line's end.
    pub(crate) fn all(file: &'t Arc<str>, text: &'t str) -> impl Iterator<Item = Line<'t>> {
        let lines = text.split('\n').enumerate();
        lines.map(move |(index, text)| Line { file, number: index + 1, text: text.strip_suffix('\r').unwrap_or(text) })
    }

    /// The place of the part of the line that begins at byte `offset`.
    pub(crate) fn at(&self, offset: usize) -> Spot {
        let before = self.text.get(..offset).unwrap_or(self.text);
        Spot { file: Arc::clone(self.file), line: self.number, column: before.chars().count() + 1 }
    }

    /// The place of the line's first character that is no blank.
    pub(crate) fn spot(&self) -> Spot {
        self.at(self.text.len() - self.text.trim_start().len())
    }

    /// `start..end` of the line without the blanks around it, with its place.
    pub(crate) fn part(&self, start: usize, end: usize) -> Sourced<&'t str> {
        let raw = self.text.get(start..end).unwrap_or_default();
        let lead = raw.len() - raw.trim_start().len();
        Sourced::new(raw.trim(), &self.at(start + lead))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_lines_know_their_place_in_characters() {
        let file: Arc<str> = "a.conf".into();
        let lines: Vec<Line> = Line::all(&file, "eins\r\n\tü = zwei  \nlast").collect();
        assert_eq!(lines.iter().map(|line| line.text).collect::<Vec<_>>(), ["eins", "\tü = zwei  ", "last"]);
        let part = lines[1].part(5, 12);
        assert_eq!((part.value, part.at.to_string().as_str()), ("zwei", "a.conf:2:6"));
        assert_eq!(lines[1].spot().column, 2);
        assert_eq!(lines[2].part(2, 99).value, "");
    }
}
