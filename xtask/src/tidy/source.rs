//! Just enough of Rust's surface to measure it: blanks comments and literals, then finds test code and function bodies.
//! It counts braces, it does not parse: an item it cannot follow is left out, never guessed.

use std::ops::Range;

/// One Rust file, with comments and literals blanked to spaces (newlines kept, so lines still match).
pub struct Source {
    /// Code only; same number of lines as the file.
    pub code: String,
    /// Byte ranges of `code` that are test code (`#[cfg(test)]` items and `#[test]` functions).
    pub tests: Vec<Range<usize>>,
}

/// A function and the lines it takes, signature included.
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// First line, counted from 1.
    pub line: usize,
    /// Lines from `fn` to the closing brace.
    pub lines: usize,
}

impl Source {
    /// Reads a file's text.
    pub fn new(text: &str) -> Self {
        let code = blank(text);
        let tests = test_ranges(&code);
        Source { code, tests }
    }

    /// Is this byte inside test code?
    pub fn is_test(&self, offset: usize) -> bool {
        self.tests.iter().any(|range| range.contains(&offset))
    }

    /// The line of a byte, counted from 1.
    pub fn line_of(&self, offset: usize) -> usize {
        1 + self.code[..offset].matches('\n').count()
    }

    /// Lines before the first test item.
    pub fn lines_before_tests(&self) -> usize {
        let end = self.tests.iter().map(|range| range.start).min().unwrap_or(self.code.len());
        self.code[..end].lines().count()
    }

    /// Every function with a body outside test code.
    pub fn functions(&self) -> Vec<Function> {
        word_positions(&self.code, "fn").filter(|&at| !self.is_test(at)).filter_map(|at| self.function_at(at)).collect()
    }

    fn function_at(&self, at: usize) -> Option<Function> {
        let name: String =
            self.code[at + 2..].trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        if name.is_empty() {
            return None; // `fn(u8)`, a type
        }
        let body = item_end(&self.code, at)?;
        if !self.code[..body].ends_with('}') {
            return None; // a declaration in a trait
        }
        let line = self.line_of(at);
        let lines = self.line_of(body - 1) - line + 1;
        Some(Function { name, line, lines })
    }
}

/// Where `word` stands as a whole word.
pub fn word_positions<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let joins = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word).filter_map(move |(at, _)| {
        let before = code[..at].chars().next_back().is_some_and(joins);
        let after = code[at + word.len()..].chars().next().is_some_and(joins);
        (!before && !after).then_some(at)
    })
}

/// The end of the item that starts at `from`: after its closing brace, or after the `;` that comes before any brace.
fn item_end(code: &str, from: usize) -> Option<usize> {
    let mut depth = 0usize;
    let mut braces = 0usize;
    for (offset, byte) in code[from..].bytes().enumerate() {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth = depth.checked_sub(1)?,
            b'{' => braces += 1,
            b'}' => {
                braces = braces.checked_sub(1)?;
                if braces == 0 && depth == 0 {
                    return Some(from + offset + 1);
                }
            }
            b';' if depth == 0 && braces == 0 => return Some(from + offset + 1),
            _ => {}
        }
    }
    None
}

fn test_ranges(code: &str) -> Vec<Range<usize>> {
    let mut ranges: Vec<Range<usize>> = Vec::new();
    for (at, _) in code.match_indices("#[") {
        if ranges.last().is_some_and(|last| last.contains(&at)) {
            continue;
        }
        let Some(close) = attribute_end(code, at) else {
            continue;
        };
        let inside = code[at + 2..close - 1].trim();
        let is_test = inside == "test"
            || (inside.starts_with("cfg")
                && word_positions(inside, "test").next().is_some()
                && !inside.contains("not(test"));
        if is_test && let Some(end) = item_end(code, after_attributes(code, close)) {
            ranges.push(at..end);
        }
    }
    ranges
}

/// The end of the attribute that starts at `at` (`#[` … matching `]`).
fn attribute_end(code: &str, at: usize) -> Option<usize> {
    let mut depth = 0usize;
    for (offset, byte) in code[at..].bytes().enumerate() {
        match byte {
            b'[' => depth += 1,
            b']' if depth == 1 => return Some(at + offset + 1),
            b']' => depth = depth.checked_sub(1)?,
            _ => {}
        }
    }
    None
}

fn after_attributes(code: &str, mut from: usize) -> usize {
    loop {
        let rest = &code[from..];
        let start = from + (rest.len() - rest.trim_start().len());
        match code[start..].starts_with("#[").then(|| attribute_end(code, start)) {
            Some(Some(end)) => from = end,
            _ => return start,
        }
    }
}

/// Replaces comments and literals by spaces.
fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < bytes.len() {
        let end = literal_or_comment_end(bytes, at);
        match end {
            Some(end) => {
                let end = end.min(bytes.len());
                for &byte in &bytes[at..end] {
                    out.push(if byte == b'\n' { '\n' } else { ' ' });
                }
                at = end;
            }
            None => {
                // Non-ASCII outside literals and comments does not occur in code we measure; keep the length anyway.
                out.push(if bytes[at].is_ascii() { bytes[at] as char } else { ' ' });
                at += 1;
            }
        }
    }
    out
}

fn literal_or_comment_end(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = &bytes[at..];
    if rest.starts_with(b"//") {
        let length = rest.iter().position(|&b| b == b'\n').unwrap_or(rest.len());
        return Some(at + length);
    }
    if rest.starts_with(b"/*") {
        return Some(at + block_comment_length(rest));
    }
    let joined = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
    if !joined && let Some(length) = raw_string_length(rest) {
        return Some(at + length);
    }
    match rest.first() {
        Some(b'"') => Some(at + quoted_length(rest)),
        Some(b'\'') => char_length(rest).map(|length| at + length),
        _ => None,
    }
}

fn block_comment_length(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0usize, 0usize);
    while at < rest.len() {
        if rest[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

/// `r"…"`, `r#"…"#`, and the same after `b` or `c`.
fn raw_string_length(rest: &[u8]) -> Option<usize> {
    let prefix = usize::from(matches!(rest.first(), Some(b'b' | b'c')));
    if rest.get(prefix) != Some(&b'r') {
        return None;
    }
    let hashes = rest[prefix + 1..].iter().take_while(|&&b| b == b'#').count();
    let open = prefix + 1 + hashes;
    if rest.get(open) != Some(&b'"') {
        return None;
    }
    let mut close = vec![b'"'];
    close.resize(1 + hashes, b'#');
    let body = &rest[open + 1..];
    let found = body.windows(close.len()).position(|window| window == close);
    Some(found.map_or(rest.len(), |at| open + 1 + at + close.len()))
}

fn quoted_length(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// A character literal; `None` for a lifetime.
fn char_length(rest: &[u8]) -> Option<usize> {
    if rest.get(1) == Some(&b'\\') {
        let close = rest.get(3..)?.iter().position(|&b| b == b'\'')?;
        return Some(3 + close + 1);
    }
    let text = std::str::from_utf8(&rest[..rest.len().min(8)])
        .or_else(|error| std::str::from_utf8(&rest[..error.valid_up_to()]))
        .ok()?;
    let character = text[1..].chars().next()?;
    let close = 1 + character.len_utf8();
    (rest.get(close) == Some(&b'\'')).then_some(close + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_in_literals_and_comments_do_not_count() {
        let source = Source::new(
            "fn a<'x>(s: &'x str) -> char {\n // }\n let _ = \"}\\\"}\"; let _ = r#\"}\"#; /* } /* } */ */\n '}'\n}\nfn b() {}\n",
        );
        let functions = source.functions();
        assert_eq!(
            functions,
            [Function { name: "a".into(), line: 1, lines: 5 }, Function { name: "b".into(), line: 6, lines: 1 },]
        );
    }

    #[test]
    fn blanking_keeps_every_line_and_every_byte() {
        let text = "let a = \"x\ny — z\"; // é\nlet b = '\\u{7d}'; let c = 'é';\n";
        let blanked = blank(text);
        assert_eq!(blanked.len(), text.len());
        assert_eq!(blanked.lines().count(), text.lines().count());
        assert!(!blanked.contains(['x', '}', '"']));
    }

    #[test]
    fn test_items_are_found_with_the_attributes_between() {
        let source = Source::new(
            "fn a() { 1; }\n#[cfg(test)]\n#[allow(dead_code)]\nmod tests {\n fn b() {}\n}\nfn c() {}\n#[cfg(not(test))]\nfn d() {}\n",
        );
        let names: Vec<_> = source.functions().into_iter().map(|f| f.name).collect();
        assert_eq!(names, ["a", "c", "d"]);
        assert_eq!(source.lines_before_tests(), 1);
    }

    #[test]
    fn a_test_module_in_another_file_ends_at_its_semicolon() {
        let source = Source::new("#[cfg(test)]\nmod tests;\nfn kept() {}\n");
        assert_eq!(source.functions().len(), 1);
    }

    #[test]
    fn declarations_and_function_types_have_no_body() {
        let source = Source::new("trait T { fn a(&self) -> [u8; 4]; }\nstruct S { run: fn(u8) -> u8 }\n");
        assert!(source.functions().is_empty());
    }

    #[test]
    fn unfinished_literals_end_with_the_file() {
        for text in ["\"abc", "r#\"abc", "/* abc", "'", "'\\", "b\"", "#[cfg(test)", "fn x( {"] {
            let source = Source::new(text);
            assert_eq!(source.code.len(), text.len());
            assert!(source.functions().is_empty());
        }
    }
}
