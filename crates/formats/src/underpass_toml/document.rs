//! The top of the format: which tables there are, over all files, and under which names.

use super::keys::SectionKind;
use super::section::{Entry, Section, did_you_mean, entries, shown, type_name};
use crate::diagnostic::{Report, code};
use crate::nearest::nearest;
use crate::source::Place;
use toml::de::{DeTable, DeValue};

/// A name: as written, or made of several.
#[derive(Clone)]
pub(crate) enum Name<'t> {
    Written(&'t str),
    Made(String),
}

impl<'t> Name<'t> {
    /// The name as it stands in the file, where it does.
    pub(crate) fn in_the_file(&self) -> Option<&'t str> {
        match self {
            Name::Written(name) => Some(name),
            Name::Made(_) => None,
        }
    }
}

impl std::ops::Deref for Name<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Name::Written(name) => name,
            Name::Made(name) => name,
        }
    }
}

impl std::fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self)
    }
}

/// A table with a name of its own: `[connection.NAME]`.
pub(crate) struct Named<'t> {
    pub(crate) name: Name<'t>,
    /// Where the name stands.
    pub(crate) place: Place,
    pub(crate) section: Section<'t>,
}

/// All tables, in the order of the files.
pub(crate) struct Document<'t> {
    pub(crate) gateway: Option<Section<'t>>,
    pub(crate) connections: Vec<Named<'t>>,
    pub(crate) policies: Vec<Named<'t>>,
}

const TOP: [&str; 3] = ["gateway", "connection", "policy"];

/// Longest name of a connection, child or policy, in bytes: it stands in every line of log and status.
const LONGEST_NAME: usize = 64;

impl<'t> Document<'t> {
    pub(crate) fn gather(tables: &'t [DeTable<'t>], report: &mut Report) -> Document<'t> {
        let mut gateway = Vec::new();
        let mut gateway_place = None;
        let (mut connections, mut policies) = (Vec::new(), Vec::new());
        for (file, table) in tables.iter().enumerate() {
            for entry in entries(file, table) {
                match (entry.key, entry.value) {
                    ("gateway", DeValue::Table(keys)) => {
                        gateway_place.get_or_insert(entry.key_place);
                        gateway.extend(entries(file, keys));
                    }
                    ("connection", DeValue::Table(keys)) => connections.extend(entries(file, keys)),
                    ("policy", DeValue::Table(keys)) => policies.extend(entries(file, keys)),
                    _ => reject(&entry, report),
                }
            }
        }
        let gateway =
            gateway_place.map(|place| Section::new(SectionKind::Gateway, "gateway".to_owned(), place, gateway, report));
        let connections = named(SectionKind::Connection, "connection", connections, report);
        let policies = named(SectionKind::Policy, "policy", policies, report);
        Document { gateway, connections, policies }
    }
}

fn reject(entry: &Entry, report: &mut Report) {
    if TOP.contains(&entry.key) {
        let name = entry.key;
        let message = format!("`{name}` must be a table, found {}", type_name(entry.value));
        let header = if name == "gateway" { name.to_owned() } else { format!("{name}.NAME") };
        report.error(code::INVALID, entry.place, message, Some(format!("write `[{header}]` and the keys below it")));
        return;
    }
    let help = match entry.key {
        "psk" | "secrets" | "secret" => Some("pre-shared keys belong in the secrets file, under `[psk]`".to_owned()),
        name => nearest(name, TOP).map(did_you_mean),
    };
    let help = help.or_else(|| {
        let home = SectionKind::ALL.into_iter().find(|kind| kind.key(entry.key).is_some())?;
        Some(format!("`{}` belongs in {}", entry.key, home.header()))
    });
    let kind = if matches!(entry.value, DeValue::Table(_)) { "table" } else { "key" };
    let message = format!("unknown {kind} `{}` at the top of the file", shown(entry.key));
    report.error(code::INVALID, entry.key_place, message, help);
}

/// The tables below `title`, each under a good name of its own.
pub(crate) fn named<'t>(kind: SectionKind, title: &str, found: Vec<Entry<'t>>, report: &mut Report) -> Vec<Named<'t>> {
    let mut known: Vec<Named<'t>> = Vec::new();
    // Looked up by name: a file may hold thousands.
    let mut places = std::collections::BTreeMap::new();
    for entry in found {
        let name = entry.key;
        let title = format!("{title}.{}", shown(name));
        let DeValue::Table(table) = entry.value else {
            let message = format!("`{title}` must be a table, found {}", type_name(entry.value));
            let help = format!("write `[{title}]` and its keys below it");
            report.error(code::INVALID, entry.key_place, message, Some(help));
            continue;
        };
        if let Some(first) = places.get(name) {
            let message = format!("[{title}] is given twice; first at {}", report.name_of(*first));
            report.error(code::INVALID, entry.key_place, message, Some("give one of them another name".into()));
            continue;
        }
        if !is_name(name) {
            let message = format!("`{}` cannot be a name", shown(name));
            let help =
                format!("1 to {LONGEST_NAME} letters, digits, `-`, `_` and `.`, beginning with a letter or digit");
            report.error(code::INVALID, entry.key_place, message, Some(help));
        }
        places.insert(name, entry.key_place);
        let section = Section::new(kind, title, entry.key_place, entries(entry.place.file, table), report);
        known.push(Named { name: Name::Written(name), place: entry.key_place, section });
    }
    known
}

fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    name.len() <= LONGEST_NAME && name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(allowed)
}
