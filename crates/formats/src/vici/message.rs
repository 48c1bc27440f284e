//! The message of a VICI packet: named values, lists and sections, in order.
//!
//! Values may be secrets (`load-shared`): they have no Debug content and are zeroized.

use super::{DEEPEST, MOST_ELEMENTS, ViciError};
use std::fmt;
use zeroize::Zeroizing;

const SECTION_START: u8 = 1;
const SECTION_END: u8 = 2;
const KEY_VALUE: u8 = 3;
const LIST_START: u8 = 4;
const LIST_ITEM: u8 = 5;
const LIST_END: u8 = 6;

/// A section of named entries, or the whole message. Names may repeat; the first counts.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Message {
    entries: Vec<(String, Value)>,
}

/// What a name stands for.
#[derive(Clone, PartialEq, Eq)]
pub enum Value {
    /// Bytes, mostly text.
    Bytes(Zeroizing<Vec<u8>>),
    /// A list of them.
    List(Vec<Zeroizing<Vec<u8>>>),
    /// Named entries.
    Section(Message),
}

impl Message {
    /// With nothing in it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// This, with a value more.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let bytes = Zeroizing::new(value.as_ref().to_vec());
        self.entries.push((name.to_owned(), Value::Bytes(bytes)));
        self
    }

    /// This, with a list more.
    #[must_use]
    pub fn with_list<T: AsRef<[u8]>>(mut self, name: &str, items: impl IntoIterator<Item = T>) -> Self {
        let items = items.into_iter().map(|item| Zeroizing::new(item.as_ref().to_vec())).collect();
        self.entries.push((name.to_owned(), Value::List(items)));
        self
    }

    /// This, with a section more.
    #[must_use]
    pub fn with_section(mut self, name: &str, section: Message) -> Self {
        self.entries.push((name.to_owned(), Value::Section(section)));
        self
    }

    /// This, with the entries of another behind.
    #[must_use]
    pub fn and(mut self, other: Message) -> Self {
        self.entries.extend(other.entries);
        self
    }

    /// The entries, in order.
    #[must_use]
    pub fn entries(&self) -> &[(String, Value)] {
        &self.entries
    }

    /// What `name` stands for.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.entries.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// The value `name`, if it is one and is text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.get(name)? {
            Value::Bytes(bytes) => std::str::from_utf8(bytes).ok(),
            Value::List(_) | Value::Section(_) => None,
        }
    }

    /// Appends the elements to `out`.
    ///
    /// # Errors
    /// A name, value or nesting that the protocol or its limits have no room for; `out` is then to be thrown away.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), ViciError> {
        let mut elements = 0;
        self.encode_at(0, &mut elements, out)
    }

    fn encode_at(&self, depth: usize, elements: &mut usize, out: &mut Vec<u8>) -> Result<(), ViciError> {
        for (name, value) in &self.entries {
            count(elements)?;
            match value {
                Value::Bytes(bytes) => {
                    out.push(KEY_VALUE);
                    put_name(name, out)?;
                    put_value(bytes, out)?;
                }
                Value::List(items) => {
                    out.push(LIST_START);
                    put_name(name, out)?;
                    for item in items {
                        count(elements)?;
                        out.push(LIST_ITEM);
                        put_value(item, out)?;
                    }
                    out.push(LIST_END);
                }
                Value::Section(section) => {
                    if depth >= DEEPEST {
                        return Err(ViciError::TooDeep);
                    }
                    out.push(SECTION_START);
                    put_name(name, out)?;
                    section.encode_at(depth + 1, elements, out)?;
                    out.push(SECTION_END);
                }
            }
        }
        Ok(())
    }

    /// Reads a whole message.
    ///
    /// # Errors
    /// What is wrong with the first element that is.
    pub fn decode(bytes: &[u8]) -> Result<Self, ViciError> {
        let mut reader = Reader { rest: bytes, elements: 0 };
        reader.section(0)
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.entries.iter().map(|(name, value)| (name, value))).finish()
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Which values are secrets is the command's knowledge, so none is shown.
            Value::Bytes(bytes) => write!(f, "<{} bytes>", bytes.len()),
            Value::List(items) => write!(f, "<{} items>", items.len()),
            Value::Section(section) => section.fmt(f),
        }
    }
}

fn count(elements: &mut usize) -> Result<(), ViciError> {
    *elements += 1;
    if *elements > MOST_ELEMENTS { Err(ViciError::TooMany) } else { Ok(()) }
}

/// Appends a name behind its length.
pub(super) fn put_name(name: &str, out: &mut Vec<u8>) -> Result<(), ViciError> {
    let length = u8::try_from(name.len()).map_err(|_| ViciError::LongName(name.len()))?;
    out.push(length);
    out.extend_from_slice(name.as_bytes());
    Ok(())
}

fn put_value(value: &[u8], out: &mut Vec<u8>) -> Result<(), ViciError> {
    let length = u16::try_from(value.len()).map_err(|_| ViciError::LongValue(value.len()))?;
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(value);
    Ok(())
}

/// Takes `length` bytes off the front.
fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], ViciError> {
    let truncated = ViciError::Truncated { announced: length, left: rest.len() };
    let (taken, left) = rest.split_at_checked(length).ok_or(truncated)?;
    *rest = left;
    Ok(taken)
}

/// Takes a name behind its length.
pub(super) fn take_name(rest: &mut &[u8]) -> Result<String, ViciError> {
    let length = take(rest, 1)?.first().copied().unwrap_or_default();
    let name = take(rest, usize::from(length))?;
    std::str::from_utf8(name).map(ToOwned::to_owned).map_err(|_| ViciError::Name)
}

struct Reader<'a> {
    rest: &'a [u8],
    elements: usize,
}

impl Reader<'_> {
    fn kind(&mut self) -> Option<u8> {
        let (kind, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*kind)
    }

    fn section(&mut self, depth: usize) -> Result<Message, ViciError> {
        let mut entries = Vec::new();
        loop {
            let Some(kind) = self.kind() else {
                return if depth == 0 { Ok(Message { entries }) } else { Err(ViciError::NotEnded) };
            };
            if kind == SECTION_END && depth > 0 {
                return Ok(Message { entries });
            }
            count(&mut self.elements)?;
            let entry = match kind {
                SECTION_START if depth >= DEEPEST => return Err(ViciError::TooDeep),
                SECTION_START => (take_name(&mut self.rest)?, Value::Section(self.section(depth + 1)?)),
                KEY_VALUE => (take_name(&mut self.rest)?, Value::Bytes(self.value()?)),
                LIST_START => (take_name(&mut self.rest)?, Value::List(self.list()?)),
                other => return Err(ViciError::Element(other)),
            };
            entries.push(entry);
        }
    }

    fn list(&mut self) -> Result<Vec<Zeroizing<Vec<u8>>>, ViciError> {
        let mut items = Vec::new();
        loop {
            match self.kind() {
                Some(LIST_ITEM) => {
                    count(&mut self.elements)?;
                    items.push(self.value()?);
                }
                Some(LIST_END) => return Ok(items),
                Some(other) => return Err(ViciError::Element(other)),
                None => return Err(ViciError::NotEnded),
            }
        }
    }

    fn value(&mut self) -> Result<Zeroizing<Vec<u8>>, ViciError> {
        let length = take(&mut self.rest, 2)?.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        Ok(Zeroizing::new(take(&mut self.rest, length)?.to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The elements by hand, so that reader and writer cannot be wrong in the same way.
    const BYTES: &[u8] = b"\x03\x04key1\x00\x06value1\x01\x04sec1\x01\x03sub\x03\x01k\x00\x00\x02\x04\x05list1\
        \x05\x00\x05item1\x05\x00\x05item2\x06\x02";

    fn message() -> Message {
        let inner =
            Message::new().with_section("sub", Message::new().with("k", "")).with_list("list1", ["item1", "item2"]);
        Message::new().with("key1", "value1").with_section("sec1", inner)
    }

    #[test]
    fn a_message_is_written_and_read_as_the_protocol_lays_it_out() {
        let mut out = Vec::new();
        assert_eq!(message().encode(&mut out), Ok(()));
        assert_eq!(out, BYTES);
        assert_eq!(Message::decode(BYTES), Ok(message()));
        assert_eq!(message().text("key1"), Some("value1"));
        assert_eq!(message().text("sec1"), None);
    }

    #[test]
    fn every_proper_prefix_that_cuts_an_element_is_refused() {
        let whole = [0, 14, BYTES.len()];
        for length in 0..=BYTES.len() {
            let read = Message::decode(&BYTES[..length]);
            assert_eq!(read.is_ok(), whole.contains(&length), "{length}: {read:?}");
        }
    }

    #[test]
    fn elements_out_of_place_are_refused_by_name() {
        let table: [(&[u8], ViciError); 6] = [
            (b"\x02", ViciError::Element(2)),
            (b"\x05\x00\x00", ViciError::Element(5)),
            (b"\x06", ViciError::Element(6)),
            (b"\x07", ViciError::Element(7)),
            (b"\x04\x01l\x03\x01k\x00\x00\x06", ViciError::Element(3)),
            (b"\x03\x01\xff\x00\x00", ViciError::Name),
        ];
        for (bytes, error) in table {
            assert_eq!(Message::decode(bytes), Err(error), "{bytes:?}");
        }
    }

    #[test]
    fn depth_and_number_of_elements_are_bounded_in_both_directions() {
        let nested = |depth| (0..depth).fold(Message::new(), |inner, _| Message::new().with_section("s", inner));
        assert_eq!(nested(DEEPEST).encode(&mut Vec::new()), Ok(()));
        assert_eq!(nested(DEEPEST + 1).encode(&mut Vec::new()), Err(ViciError::TooDeep));
        assert_eq!(Message::decode(&b"\x01\x00".repeat(DEEPEST + 1)), Err(ViciError::TooDeep));
        let empty = b"\x03\x00\x00\x00";
        assert!(Message::decode(&empty.repeat(MOST_ELEMENTS)).is_ok());
        assert_eq!(Message::decode(&empty.repeat(MOST_ELEMENTS + 1)), Err(ViciError::TooMany));
        let many = Message::new().with_list("l", vec![""; MOST_ELEMENTS]);
        assert_eq!(many.encode(&mut Vec::new()), Err(ViciError::TooMany));
    }

    #[test]
    fn what_has_no_room_in_its_length_field_is_not_written() {
        let name = "n".repeat(256);
        assert_eq!(Message::new().with(&name, "").encode(&mut Vec::new()), Err(ViciError::LongName(256)));
        let value = vec![0; 65_536];
        assert_eq!(Message::new().with("k", value).encode(&mut Vec::new()), Err(ViciError::LongValue(65_536)));
    }

    #[test]
    fn no_value_shows_in_debug() {
        let secret = Message::new().with("data", "hunter2").with_list("owners", ["hunter2"]);
        let text = format!("{:?}", Message::new().with_section("s", secret));
        assert!(text.contains("owners") && !text.contains("hunter2"), "{text}");
    }
}
