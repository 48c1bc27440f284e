//! JSON (RFC 8259) as a tree that knows its places, which serde_json's does not. Bounded in depth.

/// Values inside each other at most.
const DEEPEST: usize = 64;

/// A value and the byte offset of its first character.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) offset: usize,
    pub(crate) value: Json,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Json {
    /// `null`, `true`, `false`, or a number as written.
    Plain(String),
    String(String),
    List(Vec<Node>),
    Object(Vec<(String, Node)>),
}

impl Node {
    /// The member of a name, `null` counting as none.
    pub(crate) fn get(&self, name: &str) -> Option<&Node> {
        let Json::Object(members) = &self.value else { return None };
        let found = members.iter().find(|(known, _)| known == name).map(|(_, node)| node);
        found.filter(|node| !matches!(&node.value, Json::Plain(word) if word == "null"))
    }

    /// The items of a list; none of anything else.
    pub(crate) fn items(&self) -> &[Node] {
        if let Json::List(items) = &self.value { items } else { &[] }
    }

    /// A string, number or boolean as text.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Json::Plain(text) | Json::String(text) => Some(text),
            Json::List(_) | Json::Object(_) => None,
        }
    }
}

/// Why a text is no JSON, and the byte offset of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct JsonError {
    pub(crate) offset: usize,
    pub(crate) message: &'static str,
}

/// Reads one value; nothing but blanks may follow.
pub(crate) fn parse(text: &str) -> Result<Node, JsonError> {
    let mut reader = Reader { text, at: 0 };
    let node = reader.value(0)?;
    reader.blanks();
    if reader.at < text.len() { Err(reader.fail("something follows the end of the value")) } else { Ok(node) }
}

/// The byte offset, in `text`, of what byte `decoded` of the string that begins at `offset` was written as.
pub(crate) fn written_at(text: &str, offset: usize, decoded: usize) -> usize {
    let mut reader = Reader { text, at: offset + 1 };
    let mut length = 0;
    while length < decoded {
        match reader.character() {
            Ok(Some(c)) => length += c.len_utf8(),
            Ok(None) | Err(_) => break,
        }
    }
    reader.at
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Reader<'t> {
    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn fail(&self, message: &'static str) -> JsonError {
        JsonError { offset: self.at, message }
    }

    fn blanks(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r']).len();
    }

    fn take(&mut self, c: char) -> bool {
        let is = self.rest().starts_with(c);
        self.at += if is { c.len_utf8() } else { 0 };
        is
    }

    fn value(&mut self, depth: usize) -> Result<Node, JsonError> {
        self.blanks();
        let offset = self.at;
        if depth > DEEPEST {
            return Err(self.fail("too many values inside each other"));
        }
        let value = match self.rest().chars().next() {
            Some('{') => self.object(depth)?,
            Some('[') => self.list(depth)?,
            Some('"') => Json::String(self.string()?),
            Some(_) => self.plain()?,
            None => return Err(self.fail("the text ends where a value should stand")),
        };
        Ok(Node { offset, value })
    }

    fn object(&mut self, depth: usize) -> Result<Json, JsonError> {
        self.at += 1;
        let mut members = Vec::new();
        self.blanks();
        if self.take('}') {
            return Ok(Json::Object(members));
        }
        loop {
            self.blanks();
            if !self.rest().starts_with('"') {
                return Err(self.fail("expected a name in double quotes"));
            }
            let name = self.string()?;
            self.blanks();
            if !self.take(':') {
                return Err(self.fail("expected `:` after a name"));
            }
            members.push((name, self.value(depth + 1)?));
            self.blanks();
            if self.take('}') {
                return Ok(Json::Object(members));
            }
            if !self.take(',') {
                return Err(self.fail("expected `,` or `}`"));
            }
        }
    }

    fn list(&mut self, depth: usize) -> Result<Json, JsonError> {
        self.at += 1;
        let mut items = Vec::new();
        self.blanks();
        if self.take(']') {
            return Ok(Json::List(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.blanks();
            if self.take(']') {
                return Ok(Json::List(items));
            }
            if !self.take(',') {
                return Err(self.fail("expected `,` or `]`"));
            }
        }
    }

    fn plain(&mut self) -> Result<Json, JsonError> {
        let rest = self.rest();
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
        let word = rest.get(..rest.find(|c| !plain(c)).unwrap_or(rest.len())).unwrap_or_default();
        let number = word.starts_with(|c: char| c.is_ascii_digit() || c == '-') && word.parse::<f64>().is_ok();
        if !number && !["true", "false", "null"].contains(&word) {
            return Err(self.fail("expected a value"));
        }
        self.at += word.len();
        Ok(Json::Plain(word.to_owned()))
    }

    fn string(&mut self) -> Result<String, JsonError> {
        let start = self.at;
        self.at += 1;
        let mut text = String::new();
        while let Some(c) = self.character()? {
            text.push(c);
        }
        if self.take('"') {
            return Ok(text);
        }
        Err(JsonError { offset: start, message: "a string that never ends" })
    }

    /// The next character of a string; `None` at its closing quote and at the end of the text.
    fn character(&mut self) -> Result<Option<char>, JsonError> {
        let mut rest = self.rest().chars();
        let c = match rest.next() {
            Some('"') | None => return Ok(None),
            Some('\\') => rest.next(),
            Some(c) if (c as u32) < 0x20 => return Err(self.fail("a line end or control character inside a string")),
            Some(c) => {
                self.at += c.len_utf8();
                return Ok(Some(c));
            }
        };
        let plain = match c {
            Some(c @ ('"' | '\\' | '/')) => c,
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('u') => return self.unicode().map(Some),
            Some(_) | None => return Err(self.fail("an unknown escape")),
        };
        self.at += 2;
        Ok(Some(plain))
    }

    /// `\uXXXX`, or two of them for what lies beyond 16 bits (RFC 8259 §7).
    fn unicode(&mut self) -> Result<char, JsonError> {
        let unit = |rest: &str| {
            let digits =
                rest.strip_prefix("\\u")?.get(..4).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))?;
            u16::from_str_radix(digits, 16).ok()
        };
        let first = unit(self.rest()).ok_or_else(|| self.fail("`\\u` without four hexadecimal digits"))?;
        let second = self.rest().get(6..).and_then(unit);
        let (c, length) = match (char::from_u32(first.into()), second) {
            (Some(c), _) => (c, 6),
            (None, Some(second)) => match char::decode_utf16([first, second]).next() {
                Some(Ok(c)) => (c, 12),
                _ => return Err(self.fail("half a surrogate pair")),
            },
            (None, None) => return Err(self.fail("half a surrogate pair")),
        };
        self.at += length;
        Ok(c)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_know_their_offsets_also_inside_escaped_strings() {
        let text = "{\n \"a\": [1, \"x\\ny\\u00fc\\ud83d\\ude00z\"], \"b\": null}";
        let node = parse(text).unwrap_or_else(|error| panic!("{error:?}"));
        let items = node.get("a").map(Node::items).unwrap_or_default();
        assert_eq!(items[0].text(), Some("1"));
        assert_eq!(items[1].text(), Some("x\nyü😀z"));
        assert!(node.get("b").is_none());
        let z = items[1].text().and_then(|text| text.find('z')).unwrap_or_default();
        assert_eq!(written_at(text, items[1].offset, z), text.find("z\"").unwrap_or_default());
    }

    #[test]
    fn what_is_no_json_is_refused_where_it_breaks() {
        let deep = "[".repeat(10_000);
        for (text, offset) in [
            ("", 0),
            ("{", 1),
            ("{\"a\"", 4),
            ("{\"a\":1,}", 7),
            ("[1 2]", 3),
            ("\"abc", 0),
            ("\"a\nb\"", 2),
            ("\"\\q\"", 1),
            ("\"\\ud800\"", 1),
            ("\"\\u00+1\"", 1),
            ("nul", 0),
            ("1 1", 2),
            (deep.as_str(), DEEPEST + 1),
        ] {
            assert_eq!(parse(text).map_err(|error| error.offset), Err(offset), "{text:.20}");
        }
    }
}
