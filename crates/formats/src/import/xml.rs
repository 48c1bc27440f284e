//! XML as a tree that knows its places: elements, attributes, text. Bounded in depth and size, without entities of its own.

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

/// Elements inside each other at most; the managed service's have five.
const DEEPEST: usize = 32;
/// Elements of a document at most.
const MOST_ELEMENTS: usize = 20_000;

/// An element.
#[derive(Debug, Default, Clone)]
pub(crate) struct Element {
    pub(crate) name: String,
    pub(crate) attributes: Vec<(String, String)>,
    /// All text directly inside, without blanks at its ends.
    pub(crate) text: String,
    /// Byte offset of the text's first character, or of the element.
    pub(crate) text_offset: usize,
    /// Byte offset of its `<`.
    pub(crate) offset: usize,
    pub(crate) children: Vec<Element>,
}

impl Element {
    /// The first child of a name.
    pub(crate) fn child(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|child| child.name == name)
    }

    /// An attribute.
    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Why a text is no XML, and the byte offset of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct XmlError {
    pub(crate) offset: usize,
    pub(crate) message: String,
}

/// Reads the root element.
pub(crate) fn parse(text: &str) -> Result<Element, XmlError> {
    let mut reader = Reader::from_str(text);
    let mut open: Vec<Element> = Vec::new();
    let mut elements = 0_usize;
    loop {
        let offset = position(reader.buffer_position());
        let event = reader.read_event();
        let fail = |message: String| Err(XmlError { offset, message });
        let event = match event {
            Ok(event) => event,
            Err(error) => {
                return Err(XmlError { offset: position(reader.error_position()), message: error.to_string() });
            }
        };
        let closed = match event {
            Event::Start(start) => {
                elements += 1;
                if open.len() >= DEEPEST || elements > MOST_ELEMENTS {
                    return fail(format!("more than {DEEPEST} elements inside each other, or {MOST_ELEMENTS} in all"));
                }
                open.push(element(&start, offset)?);
                continue;
            }
            Event::Empty(start) => {
                elements += 1;
                if elements > MOST_ELEMENTS {
                    return fail(format!("more than {MOST_ELEMENTS} elements"));
                }
                Some(element(&start, offset)?)
            }
            Event::End(_) => open.pop(),
            Event::Text(part) => {
                add_text(open.last_mut(), &part, offset);
                None
            }
            Event::CData(part) => {
                add_text(open.last_mut(), &part, offset);
                None
            }
            Event::GeneralRef(name) => {
                let number =
                    name.resolve_char_ref().map_err(|error| XmlError { offset, message: error.to_string() })?;
                let Some(c) = number.or_else(|| entity(&name)) else {
                    return fail(format!("unknown entity `&{};`", &*name));
                };
                add_text(open.last_mut(), c.encode_utf8(&mut [0; 4]), offset);
                None
            }
            Event::DocType(_) => return fail("a DOCTYPE, which nothing here needs".to_owned()),
            Event::Eof => {
                let name = open.first().map_or("", |element| element.name.as_str());
                let message = match open.last() {
                    Some(inner) => format!("the document ends inside <{name}> (<{}> is not closed)", inner.name),
                    None => "there is no element".to_owned(),
                };
                return fail(message);
            }
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) => None,
        };
        if let Some(mut closed) = closed {
            let end = closed.text.trim_end().len();
            closed.text.truncate(end);
            match open.last_mut() {
                Some(parent) => parent.children.push(closed),
                None => return Ok(closed),
            }
        }
    }
}

fn element(start: &BytesStart, offset: usize) -> Result<Element, XmlError> {
    let fail = |message: String| XmlError { offset, message };
    let name = start.local_name().as_ref().to_owned();
    let mut attributes = Vec::new();
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|error| fail(error.to_string()))?;
        let value = attribute.value.into_owned();
        attributes.push((attribute.key.as_ref().to_owned(), value));
    }
    Ok(Element { name, attributes, text_offset: offset, offset, ..Element::default() })
}

fn add_text(element: Option<&mut Element>, part: &str, offset: usize) {
    let Some(element) = element else { return };
    if element.text.is_empty() {
        let trimmed = part.trim_start();
        if trimmed.is_empty() {
            return;
        }
        element.text_offset = offset + (part.len() - trimmed.len());
        element.text.push_str(trimmed);
    } else {
        element.text.push_str(part);
    }
}

/// The five entities that XML itself defines (XML 1.0 §4.6).
fn entity(name: &str) -> Option<char> {
    Some(match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        _ => return None,
    })
}

fn position(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_and_texts_know_their_offsets() {
        let text = "<?xml version=\"1.0\"?>\n<a id=\"x\">\n  <b> q&amp;r&#33; </b><c/>\n</a>";
        let root = parse(text).unwrap_or_else(|error| panic!("{error:?}"));
        assert_eq!((root.name.as_str(), root.attribute("id")), ("a", Some("x")));
        let b = root.child("b").unwrap_or_else(|| panic!("no b"));
        assert_eq!((b.text.as_str(), b.text_offset), ("q&r!", text.find("q&").unwrap_or_default()));
        assert_eq!(b.offset, text.find("<b>").unwrap_or_default());
        assert!(root.child("c").is_some());
    }

    #[test]
    fn what_is_cut_off_nested_or_defined_by_itself_is_refused() {
        let deep = "<a>".repeat(1000);
        let table = [
            ("<a><b>", "ends inside <a>"),
            ("<a></b>", "expected"),
            ("", "no element"),
            ("plain", "no element"),
            ("<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>", "DOCTYPE"),
            ("<a>&b;</a>", "unknown entity"),
            ("<a", ""),
            (deep.as_str(), "inside each other"),
        ];
        for (text, words) in table {
            let error = parse(text).map(|_| ()).unwrap_err();
            assert!(error.message.contains(words), "{text:.40}: {error:?}");
        }
    }
}
