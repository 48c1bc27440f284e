//! Tables of the file, read key by key: each reader checks the type and bounds the table of keys gives, reports with the
//! place, and [`Section::finish`] reports what nobody asked for.

use super::keys::{Bounds, Key, Kind, SectionKind};
use crate::diagnostic::{Report, code};
use crate::nearest::nearest;
use crate::source::{At, Place};
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

/// One key as written.
#[derive(Clone, Copy)]
pub(crate) struct Entry<'t> {
    pub(crate) key: &'t str,
    pub(crate) key_place: Place,
    pub(crate) value: &'t DeValue<'t>,
    pub(crate) place: Place,
}

impl<'t> Entry<'t> {
    pub(crate) fn of(file: usize, key: &'t Spanned<DeString<'t>>, value: &'t Spanned<DeValue<'t>>) -> Entry<'t> {
        Entry {
            key: key.get_ref().as_ref(),
            key_place: Place::new(file, key.span()),
            value: value.get_ref(),
            place: Place::new(file, value.span()),
        }
    }
}

/// Entries of a table in the order of the file.
pub(crate) fn entries<'t>(file: usize, table: &'t DeTable<'t>) -> Vec<Entry<'t>> {
    let mut entries: Vec<Entry<'t>> = table.iter().map(|(key, value)| Entry::of(file, key, value)).collect();
    entries.sort_by_key(|entry| entry.key_place);
    entries
}

/// One table being read.
pub(crate) struct Section<'t> {
    kind: SectionKind,
    /// `gateway`, `connection.site-b`: how messages call it.
    title: String,
    /// Its header.
    pub(crate) place: Place,
    entries: Vec<Entry<'t>>,
}

impl<'t> Section<'t> {
    /// A table with everything written in it, over all files. The second of two equal keys is an error.
    pub(crate) fn new(
        kind: SectionKind,
        title: String,
        place: Place,
        entries: Vec<Entry<'t>>,
        report: &mut Report,
    ) -> Section<'t> {
        let mut kept: Vec<Entry<'t>> = Vec::new();
        for entry in entries {
            match kept.iter().find(|known| known.key == entry.key) {
                Some(known) => {
                    let first = report.name_of(known.key_place);
                    let message = format!("`{}` of [{title}] is given twice; first at {first}", entry.key);
                    report.error(code::INVALID, entry.key_place, message, Some("keep one of the two".into()));
                }
                None => kept.push(entry),
            }
        }
        Section { kind, title, place, entries: kept }
    }

    /// How messages call it.
    pub(crate) fn title(&self) -> &str {
        &self.title
    }

    /// Takes out every entry that is `wanted`.
    pub(crate) fn take_all(&mut self, wanted: impl Fn(&Entry<'t>) -> bool) -> Vec<Entry<'t>> {
        self.entries.extract_if(.., |entry| wanted(entry)).collect()
    }

    /// The same table under another title, with these entries in place of those of their names.
    pub(crate) fn overridden(&self, title: String, place: Place, overrides: Vec<Entry<'t>>) -> Section<'t> {
        let kept = self.entries.iter().filter(|entry| !overrides.iter().any(|new| new.key == entry.key));
        let entries = kept.copied().chain(overrides.iter().copied()).collect();
        Section { kind: self.kind, title, place, entries }
    }

    /// Reports every key that there is not, and forgets it.
    pub(crate) fn drop_unknown(&mut self, report: &mut Report) {
        let kind = self.kind;
        let entries = self.take_all(|entry| kind.key(entry.key).is_none());
        Section { kind, title: self.title.clone(), place: self.place, entries }.finish(report);
    }

    /// The entry named `name`, taken out.
    pub(crate) fn take(&mut self, name: &'static str) -> Option<(&'static Key, Entry<'t>)> {
        let key = self.kind.key(name);
        debug_assert!(key.is_some(), "{name} is not in the table of keys");
        let index = self.entries.iter().position(|entry| entry.key == name)?;
        Some((key?, self.entries.remove(index)))
    }

    /// Reports that the required key `name` is not there, unless it is, mistyped: that is reported as an unknown key.
    pub(crate) fn require(&self, name: &str, example: &str, report: &mut Report) {
        let mistyped = |entry: &Entry| {
            let names = self.kind.keys().map(|key| key.name);
            self.kind.key(entry.key).is_none() && nearest(entry.key, names) == Some(name)
        };
        if !self.entries.iter().any(mistyped) {
            let message = format!("[{}] has no `{name}`", self.title);
            report.missing(code::INVALID, self.place, message, Some(format!("add `{name} = {example}`")));
        }
    }

    pub(crate) fn text(&mut self, name: &'static str, report: &mut Report) -> Option<At<&'t str>> {
        let (key, entry) = self.take(name)?;
        match entry.value {
            DeValue::String(text) => Some(At { value: text.as_ref(), place: entry.place }),
            _ => wrong_type(key, &entry, report),
        }
    }

    /// A string or a list of strings. An empty list, or one with anything else in it, is an error.
    pub(crate) fn texts(&mut self, name: &'static str, report: &mut Report) -> Option<Vec<At<&'t str>>> {
        let (key, entry) = self.take(name)?;
        let list = match entry.value {
            DeValue::String(text) => {
                return Some(vec![At { value: text.as_ref(), place: entry.place }]);
            }
            DeValue::Array(list) => list,
            _ => return wrong_type(key, &entry, report),
        };
        if list.is_empty() && name != "routes" {
            let help = format!("leave it out for the default: {}", key.default);
            let help = if key.default == "required" { format!("it takes {}", key.kind) } else { help };
            report.error(code::INVALID, entry.place, format!("`{name}` is an empty list"), Some(help));
            return None;
        }
        let mut texts = Vec::new();
        let mut sound = true;
        for item in list.iter() {
            let place = Place::new(entry.place.file, item.span());
            match item.get_ref() {
                DeValue::String(text) => texts.push(At { value: text.as_ref(), place }),
                other => {
                    let message = format!("`{name}` must hold strings, found {}", type_name(other));
                    report.error(code::INVALID, place, message, Some(format!("it takes {}", key.kind)));
                    sound = false;
                }
            }
        }
        sound.then_some(texts)
    }

    /// As [`texts`](Self::texts), for a key that must be there.
    pub(crate) fn take_texts_or_require(
        &mut self,
        name: &'static str,
        example: &str,
        report: &mut Report,
    ) -> Option<Vec<At<&'t str>>> {
        if !self.has(name) {
            self.require(name, example, report);
        }
        self.texts(name, report)
    }

    /// As [`word`](Self::word), for a key that must be there.
    pub(crate) fn take_word_or_require(
        &mut self,
        name: &'static str,
        example: &str,
        report: &mut Report,
    ) -> Option<&'static str> {
        if !self.has(name) {
            self.require(name, example, report);
        }
        self.word(name, report).map(|word| word.value)
    }

    /// Whether the key is written.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.entries.iter().any(|entry| entry.key == name)
    }

    pub(crate) fn boolean(&mut self, name: &'static str, report: &mut Report) -> Option<bool> {
        self.flag(name, report).map(|at| at.value)
    }

    /// As [`boolean`](Self::boolean), with its place.
    pub(crate) fn flag(&mut self, name: &'static str, report: &mut Report) -> Option<At<bool>> {
        let (key, entry) = self.take(name)?;
        match entry.value {
            DeValue::Boolean(value) => Some(At { value: *value, place: entry.place }),
            _ => wrong_type(key, &entry, report),
        }
    }

    /// One of the words the table of keys allows.
    pub(crate) fn word(&mut self, name: &'static str, report: &mut Report) -> Option<At<&'static str>> {
        let (key, entry) = self.take(name)?;
        let (Kind::OneOf(words), DeValue::String(text)) = (key.kind, entry.value) else {
            return wrong_type(key, &entry, report);
        };
        match words.iter().find(|word| **word == text.as_ref()) {
            Some(word) => Some(At { value: word, place: entry.place }),
            None => {
                let message = format!("`{name}` must be {}, found `{}`", key.kind, shown(text));
                let help = nearest(text, words.iter().copied()).map(did_you_mean);
                report.error(code::INVALID, entry.place, message, help);
                None
            }
        }
    }

    pub(crate) fn integer(&mut self, name: &'static str, report: &mut Report) -> Option<At<u64>> {
        let (key, entry) = self.take(name)?;
        match (key.kind, entry.value) {
            (Kind::Integer(bounds), DeValue::Integer(_)) => bounded(key, bounds, &entry, report),
            _ => wrong_type(key, &entry, report),
        }
    }

    /// A number, or `None` inside for the word that may stand instead.
    pub(crate) fn integer_or_word(&mut self, name: &'static str, report: &mut Report) -> Option<Option<u64>> {
        let (key, entry) = self.take(name)?;
        match (key.kind, entry.value) {
            (Kind::IntegerOr(_, bounds), DeValue::Integer(_)) => {
                bounded(key, bounds, &entry, report).map(|at| Some(at.value))
            }
            (Kind::IntegerOr(word, _), DeValue::String(text)) if text == word => Some(None),
            _ => wrong_type(key, &entry, report),
        }
    }

    /// Reports every key that nobody took.
    pub(crate) fn finish(self, report: &mut Report) {
        for entry in &self.entries {
            let message = format!("unknown key `{}` in [{}]", shown(entry.key), self.title);
            let help = nearest(entry.key, self.names()).map(did_you_mean).or_else(|| self.elsewhere(entry.key));
            report.error(code::INVALID, entry.key_place, message, help);
        }
    }

    /// The keys that may stand here: in a tunnel's table those of its connection, too.
    fn names(&self) -> impl Iterator<Item = &'static str> {
        let of_tunnel = self.kind == SectionKind::Tunnel;
        let also = SectionKind::Connection.keys().filter(move |_| of_tunnel);
        self.kind.keys().chain(also).map(|key| key.name)
    }

    /// Where a key that is unknown here belongs.
    fn elsewhere(&self, name: &str) -> Option<String> {
        let home = SectionKind::ALL.into_iter().find(|kind| kind.key(name).is_some());
        home.map(|kind| format!("`{name}` belongs in {}", kind.header()))
    }
}

/// The words of a suggestion.
pub(crate) fn did_you_mean(word: &str) -> String {
    format!("did you mean `{word}`?")
}

/// What a file says, short enough for a message.
pub(crate) fn shown(text: &str) -> String {
    const LONGEST: usize = 60;
    let clean = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    let mut shown: String = text.chars().take(LONGEST).map(clean).collect();
    if text.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    shown
}

/// A value's type in words, with its article.
pub(crate) fn type_name(value: &DeValue) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

fn wrong_type<T>(key: &Key, entry: &Entry, report: &mut Report) -> Option<T> {
    let wanted = match key.kind {
        Kind::Text(_) => "a string".to_owned(),
        Kind::Texts(_) => "a string or a list of strings".to_owned(),
        Kind::Boolean => "`true` or `false`".to_owned(),
        Kind::OneOf(_) | Kind::IntegerOr(..) => key.kind.to_string(),
        Kind::Integer(_) => "an integer".to_owned(),
        Kind::Table(what) => what.to_owned(),
    };
    let message = format!("`{}` must be {wanted}, found {}", key.name, type_name(entry.value));
    let help = match (key.kind, entry.value) {
        (Kind::Integer(_) | Kind::IntegerOr(..), DeValue::String(text)) => number_in(text),
        (Kind::Boolean, DeValue::String(text)) => {
            ["true", "false"].into_iter().find(|word| text == word).map(Into::into)
        }
        (Kind::Text(_) | Kind::Texts(_), DeValue::Integer(number)) => Some(format!("\"{number}\"")),
        _ => None,
    };
    let help = help.map(|value| format!("write `{} = {value}`", key.name));
    report.error(code::INVALID, entry.place, message, help.or_else(|| Some(format!("it takes {}", key.kind))));
    None
}

/// The number somebody meant by `"30"`, or by `"30s"` in a key that has seconds in its name.
fn number_in(text: &str) -> Option<String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic()).trim();
    (!digits.is_empty() && digits.len() < 20 && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.to_owned())
}

fn bounded(key: &Key, bounds: Bounds, entry: &Entry, report: &mut Report) -> Option<At<u64>> {
    let DeValue::Integer(number) = entry.value else {
        return None;
    };
    let value = u64::from_str_radix(number.as_str(), number.radix()).ok().filter(|value| bounds.allow(*value));
    if value.is_none() {
        let message = format!("`{}` is {}, but must be {bounds}", key.name, shown(&number.to_string()));
        let negative = number.as_str().starts_with('-');
        let least = if bounds.zero.is_some() { 0 } else { bounds.min };
        let help = if negative { least } else { bounds.max.min(i64::MAX as u64) };
        let below = u64::from_str_radix(number.as_str(), number.radix()).is_ok_and(|value| value < bounds.min);
        let help = if below { bounds.min } else { help };
        report.error(code::INVALID, entry.place, message, Some(format!("the nearest allowed value is {help}")));
    }
    value.map(|value| At { value, place: entry.place })
}
