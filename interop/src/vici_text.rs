//! The text in which `swanctl --raw` prints a message: `key=value`, `key [item item]` and `key {…}`, nested.

/// A parsed section: an ordered list of named entries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Section {
    entries: Vec<(String, Entry)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Entry {
    Value(String),
    List(Vec<String>),
    Section(Section),
}

impl Section {
    /// The value of `key`, empty if there is none.
    #[must_use]
    pub fn text(&self, key: &str) -> String {
        match self.find(key) {
            Some(Entry::Value(value)) => value.clone(),
            Some(Entry::List(_) | Entry::Section(_)) | None => String::new(),
        }
    }

    /// The list `key`, empty if there is none.
    #[must_use]
    pub fn list(&self, key: &str) -> Vec<String> {
        match self.find(key) {
            Some(Entry::List(items)) => items.clone(),
            Some(Entry::Value(_) | Entry::Section(_)) | None => Vec::new(),
        }
    }

    /// The section `key`.
    #[must_use]
    pub fn section(&self, key: &str) -> Option<&Section> {
        match self.find(key) {
            Some(Entry::Section(section)) => Some(section),
            Some(Entry::Value(_) | Entry::List(_)) | None => None,
        }
    }

    /// All sections inside, with their names, in order.
    pub fn sections(&self) -> impl Iterator<Item = (&str, &Section)> {
        self.entries.iter().filter_map(|(name, entry)| match entry {
            Entry::Section(section) => Some((name.as_str(), section)),
            Entry::Value(_) | Entry::List(_) => None,
        })
    }

    fn find(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|(name, _)| name == key).map(|(_, entry)| entry)
    }
}

/// Parses `{…}`; `None` if the text is not of that form.
#[must_use]
pub fn parse(text: &str) -> Option<Section> {
    let mut rest = text.trim().strip_prefix('{')?;
    let section = parse_section(&mut rest, 0)?;
    rest.trim().is_empty().then_some(section)
}

/// Parses up to and including the closing brace.
fn parse_section(rest: &mut &str, depth: usize) -> Option<Section> {
    let mut section = Section::default();
    loop {
        *rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix('}') {
            *rest = after;
            return Some(section);
        }
        let end = rest.find(['=', ' ', '{', '[', '}'])?;
        let (key, after) = rest.split_at(end);
        let after = after.trim_start();
        // A list is printed with or without an equals sign.
        let after = after.strip_prefix('=').filter(|list| list.starts_with('[')).unwrap_or(after);
        let entry = if let Some(after) = after.strip_prefix('=') {
            let end = after.find([' ', '}'])?;
            *rest = &after[end..];
            Entry::Value(after[..end].to_owned())
        } else if let Some(after) = after.strip_prefix('[') {
            let end = after.find(']')?;
            *rest = &after[end + 1..];
            Entry::List(after[..end].split_whitespace().map(str::to_owned).collect())
        } else {
            *rest = after.strip_prefix('{').filter(|_| depth < 16)?;
            Entry::Section(parse_section(rest, depth + 1)?)
        };
        section.entries.push((key.to_owned(), entry));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_sections_lists_and_values_are_found_by_name() {
        let text = "{v2 {uniqueid=1 state=ESTABLISHED empty= child-sas {net-1 {name=net local-ts [10.91.1.0/24 10.92.0.0/16] \
                    spi-in=c0ffee01 remote-ts=[10.93.1.0/24]}} tasks [A B]}}";
        let event = parse(text).unwrap();
        let sa = event.section("v2").unwrap();
        assert_eq!(sa.text("state"), "ESTABLISHED");
        assert_eq!(sa.text("empty"), "");
        let children: Vec<_> = sa.section("child-sas").unwrap().sections().collect();
        assert_eq!(children[0].0, "net-1");
        assert_eq!(children[0].1.list("local-ts"), ["10.91.1.0/24", "10.92.0.0/16"]);
        assert_eq!(children[0].1.list("remote-ts"), ["10.93.1.0/24"]);
        assert_eq!(children[0].1.text("spi-in"), "c0ffee01");
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "{", "{a", "{a=1", "{a {b=1}", "x", "{a=1} b", "{a [b}"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
