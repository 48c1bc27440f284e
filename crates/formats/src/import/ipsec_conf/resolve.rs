//! Sections of one name, keys given twice, `also=` and `%default`, by the rules of each dialect.
//!
//! | | Openswan | Libreswan | strongSwan |
//! |---|---|---|---|
//! | a `conn` of the same name again | error | ignored | merged |
//! | a key again in one `conn` | error unless equal | the first counts | the last counts |
//! | `also=` | own and earlier ones count | own and earlier ones count | own ones count, then later ones |
//! | an empty value | error | empty | back to the built-in default |

use super::super::finding::{Findings, shown};
use super::super::place::Sourced;
use super::conf::{Conf, Entry, Kind, Section};
use super::words::{self, Use};
use super::{Dialect, Dialect::*};
use crate::nearest::nearest;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

/// A key without its side, and the side.
pub(super) type Slot = (Option<&'static str>, &'static str);

/// A `conn` with everything that reaches it.
pub(super) struct Resolved {
    pub(super) name: Sourced<String>,
    pub(super) values: BTreeMap<Slot, Sourced<String>>,
    /// Something in it cannot be read: it is refused.
    pub(super) broken: bool,
    /// Others refer to it with `also=`.
    pub(super) base: bool,
}

impl Resolved {
    pub(super) fn get(&self, key: &'static str) -> Option<Sourced<&str>> {
        self.values.get(&(None, key)).map(|at| at.with(at.value.as_str()))
    }

    pub(super) fn side(&self, side: &'static str, key: &'static str) -> Option<Sourced<&str>> {
        self.values.get(&(Some(side), key)).map(|at| at.with(at.value.as_str()))
    }
}

/// One section, keys by slot, references apart.
#[derive(Default, Clone)]
struct Keys {
    values: BTreeMap<Slot, Sourced<String>>,
    also: Vec<Sourced<String>>,
    broken: bool,
}

/// All `conn` of the files, in order, without `%default`.
pub(super) fn all(conf: &Conf, dialect: Dialect, findings: &mut Findings) -> Vec<Resolved> {
    for section in conf.sections.iter().filter(|section| section.kind != Kind::Conn) {
        other(section, findings);
    }
    let mut order: Vec<Sourced<String>> = Vec::new();
    let mut sections: BTreeMap<String, Keys> = BTreeMap::new();
    let mut defaults = Keys::default();
    for section in conf.sections.iter().filter(|section| section.kind == Kind::Conn) {
        let keys = keys(section, dialect, findings);
        if section.name.value == "%default" {
            defaults.values.extend(keys.values);
            defaults.also.extend(keys.also);
            defaults.broken |= keys.broken;
            continue;
        }
        let first = order.iter().find(|name| name.value == section.name.value).cloned();
        match (first, dialect) {
            (None, _) => {
                order.push(section.name.clone());
                sections.insert(section.name.value.clone(), keys);
            }
            (Some(first), Openswan) => {
                let message = format!("conn {} is there twice; the first is at {}", shown(&first.value), first.at);
                findings.error(&section.name.at, message, "give one of them another name");
                if let Some(known) = sections.get_mut(&section.name.value) {
                    known.broken = true;
                }
            }
            (Some(first), Libreswan) => {
                let message = format!(
                    "conn {} is there twice: Libreswan ignores this one, and takes the one at {}",
                    shown(&first.value),
                    first.at
                );
                findings.warning(&section.name.at, message, "");
            }
            (Some(first), Strongswan) => {
                let message = format!(
                    "conn {} is there twice: strongSwan merges it with the one at {}",
                    shown(&first.value),
                    first.at
                );
                findings.warning(&section.name.at, message, "");
                if let Some(known) = sections.get_mut(&section.name.value) {
                    known.values.extend(keys.values);
                    known.also.extend(keys.also);
                    known.broken |= keys.broken;
                }
            }
        }
    }
    let bases: BTreeSet<&str> = sections.values().flat_map(|keys| &keys.also).map(|also| also.value.as_str()).collect();
    let resolver = Resolver { sections: &sections, dialect, followed: Cell::new(0) };
    let resolve = |name: Sourced<String>| {
        let mut seen = Vec::new();
        let mut keys = resolver.with_references(&name, &mut seen, findings);
        let inherited = resolver.flatten(&defaults, &mut vec!["%default".to_owned()], findings);
        for (slot, value) in inherited.values {
            keys.values.entry(slot).or_insert(value);
        }
        keys.values.retain(|_, value| !value.value.is_empty());
        let base = bases.contains(name.value.as_str());
        Resolved { name, values: keys.values, broken: keys.broken || inherited.broken, base }
    };
    order.into_iter().map(resolve).collect()
}

struct Resolver<'r> {
    sections: &'r BTreeMap<String, Keys>,
    dialect: Dialect,
    /// References followed so far.
    followed: Cell<usize>,
}

/// References followed at most, over all files: one that is used in many places is followed in each.
const MOST_REFERENCES: usize = 20_000;

impl Resolver<'_> {
    fn with_references(&self, name: &Sourced<String>, seen: &mut Vec<String>, findings: &mut Findings) -> Keys {
        if seen.contains(&name.value) {
            let message = format!("`also` is a loop: {} refers to {}", seen.join(" refers to "), name.value);
            findings.error(&name.at, message, "take one of these references out");
            return Keys { broken: true, ..Keys::default() };
        }
        let Some(keys) = self.sections.get(&name.value) else {
            let near = nearest(&name.value, self.sections.keys().map(String::as_str));
            let help = near.map_or_else(
                || "write the conn, or take the reference out".to_owned(),
                |near| format!("did you mean `{near}`?"),
            );
            findings.error(&name.at, format!("there is no conn {} to refer to", shown(&name.value)), help);
            return Keys { broken: true, ..Keys::default() };
        };
        seen.push(name.value.clone());
        let keys = self.flatten(keys, seen, findings);
        seen.pop();
        keys
    }

    /// The keys of a section with those of its references.
    fn flatten(&self, keys: &Keys, seen: &mut Vec<String>, findings: &mut Findings) -> Keys {
        /// References inside each other.
        const DEEPEST: usize = 10;
        let mut out = Keys { values: keys.values.clone(), also: Vec::new(), broken: keys.broken };
        let mut inherited: BTreeMap<Slot, Sourced<String>> = BTreeMap::new();
        for also in &keys.also {
            self.followed.set(self.followed.get() + 1);
            if seen.len() > DEEPEST || self.followed.get() > MOST_REFERENCES {
                let message = format!("`also` is more than {DEEPEST} deep, or used more than {MOST_REFERENCES} times");
                findings.error(&also.at, message, "write the keys where they are used");
                out.broken = true;
                break;
            }
            let other = self.with_references(also, seen, findings);
            out.broken |= other.broken;
            for (slot, value) in other.values {
                // Earlier references count, except with strongSwan, where later ones do.
                if self.dialect == Strongswan || !inherited.contains_key(&slot) {
                    inherited.insert(slot, value);
                }
            }
        }
        for (slot, value) in inherited {
            out.values.entry(slot).or_insert(value);
        }
        out
    }
}

/// The keys of one section: unknown words, words of other dialects, keys given twice, empty values.
fn keys(section: &Section, dialect: Dialect, findings: &mut Findings) -> Keys {
    let mut keys = Keys { broken: section.broken, ..Keys::default() };
    for entry in &section.entries {
        let Some((side, meaning, dialects)) = words::conn(&entry.key.value) else {
            keys.broken |= unknown(entry, dialect, findings);
            continue;
        };
        let known = words::has(dialects, dialect);
        let key = match meaning {
            Use::Key("also") => {
                keys.also.push(entry.value.clone());
                continue;
            }
            Use::Key(key) => key,
            Use::Nothing(why) => {
                findings.note(&entry.key.at, format!("`{}` has no meaning here: {why}", entry.key.value), "");
                continue;
            }
        };
        if !known {
            let whose = words::only(dialects).map_or("another dialect", Dialect::name);
            let does = match dialect {
                Openswan | Libreswan => "would refuse the file",
                Strongswan => "would not use it",
            };
            let message = format!("`{}` is a word of {whose}: used, where {} {does}", entry.key.value, dialect.name());
            findings.warning(&entry.key.at, message, "");
        }
        if entry.value.value.is_empty() {
            keys.broken |= empty(entry, dialect, findings);
        }
        keys.broken |= insert(&mut keys.values, (side, key), entry, dialect, findings);
    }
    keys
}

/// Whether the section cannot be used for it.
fn unknown(entry: &Entry, dialect: Dialect, findings: &mut Findings) -> bool {
    let key = &entry.key.value;
    if dialect == Libreswan && (key.starts_with("x-") || key.starts_with("x_")) {
        return false;
    }
    let words = words::all();
    match (nearest(key, words.iter().map(String::as_str)), dialect) {
        (Some(near), Openswan | Libreswan) => {
            let message = format!("unknown keyword `{}`: {} would refuse the file", shown(key), dialect.name());
            findings.error(&entry.key.at, message, format!("did you mean `{near}`?"));
            true
        }
        (near, _) => {
            let help = near.map_or_else(String::new, |near| format!("did you mean `{near}`?"));
            findings.warning(&entry.key.at, format!("unknown keyword `{}`: not used", shown(key)), help);
            false
        }
    }
}

/// Whether the section cannot be used for it.
fn empty(entry: &Entry, dialect: Dialect, findings: &mut Findings) -> bool {
    let key = &entry.key.value;
    match dialect {
        Openswan => {
            findings.error(
                &entry.key.at,
                format!("`{key}` has no value, which Openswan refuses"),
                "write a value, or take the line out",
            );
            true
        }
        Libreswan => {
            findings.warning(&entry.key.at, format!("`{key}` has no value: as if it were not written"), "");
            false
        }
        Strongswan => {
            findings.warning(
                &entry.key.at,
                format!(
                    "`{key}` has no value: strongSwan takes its built-in default, also where %default says another"
                ),
                "",
            );
            false
        }
    }
}

/// Whether the section cannot be used for it.
fn insert(
    values: &mut BTreeMap<Slot, Sourced<String>>,
    slot: Slot,
    entry: &Entry,
    dialect: Dialect,
    findings: &mut Findings,
) -> bool {
    let Some(first) = values.get(&slot).filter(|first| first.value != entry.value.value) else {
        values.insert(slot, entry.value.clone());
        return false;
    };
    let twice = format!("`{}` is given twice; the first is at {}", entry.key.value, first.at);
    match dialect {
        Openswan if slot.1 != "auto" => {
            findings.error(&entry.key.at, format!("{twice}, and Openswan refuses that"), "keep the one that is right");
            return true;
        }
        Openswan | Libreswan => {
            findings.warning(&entry.key.at, format!("{twice}, and counts with {}", dialect.name()), "")
        }
        Strongswan => {
            findings.warning(&entry.key.at, format!("{twice}; this one, the last, counts with strongSwan"), "");
            values.insert(slot, entry.value.clone());
        }
    }
    false
}

/// `config setup` and `ca`: nothing in them makes a tunnel.
fn other(section: &Section, findings: &mut Findings) {
    if section.kind == Kind::Ca {
        return findings.note(
            &section.name.at,
            "a `ca` section is about certificates, which Underpass has not: not used",
            "",
        );
    }
    for entry in &section.entries {
        let key = &entry.key.value;
        if words::setup(key).is_some() {
            findings.note(&entry.key.at, format!("`{key}` of `config setup` has no meaning here"), "");
        } else if words::conn(key).is_some() {
            let message = format!("`{key}` stands in `config setup`, and belongs in a `conn`: not used");
            findings.warning(&entry.key.at, message, "");
        } else {
            findings.note(
                &entry.key.at,
                format!("`{}` of `config setup` was not understood: not used", shown(key)),
                "",
            );
        }
    }
}
