//! The file of secrets: `[psk]` with one entry per pre-shared key. Nothing here ever quotes
//! what stands in it, not even a name: a key pasted into the wrong place would be repeated. The place says which is meant.

use super::section::{Entry, did_you_mean, entries, shown, type_name};
use crate::diagnostic::{Report, code, looks_like_a_name};
use crate::encoding;
use crate::nearest::nearest;
use crate::source::{At, Place};
use crypto::SecretBytes;
use std::collections::BTreeMap;
use toml::de::{DeTable, DeValue};

/// Pre-shared keys shorter than this are guessed in no time by whoever records one IKE_AUTH exchange (RFC 7296 §2.15).
const SHORT: usize = 8;

/// The pre-shared keys by name.
pub(crate) struct Secrets<'t> {
    keys: BTreeMap<&'t str, Option<SecretBytes>>,
    /// The files they came from, or the one they were expected in.
    files: String,
}

impl<'t> Secrets<'t> {
    pub(crate) fn read(
        tables: &'t [DeTable<'t>],
        first_file: usize,
        names: &[&str],
        expected: &str,
        report: &mut Report,
    ) -> Secrets<'t> {
        let files = if names.is_empty() { format!("{expected} (which was not found)") } else { names.join(", ") };
        let mut secrets = Secrets { keys: BTreeMap::new(), files };
        let mut places: BTreeMap<&str, Place> = BTreeMap::new();
        for (index, table) in tables.iter().enumerate() {
            for top in entries(first_file + index, table) {
                let DeValue::Table(psk) = (if top.key == "psk" { top.value } else { &DeValue::Boolean(false) }) else {
                    reject_top(&top, report);
                    continue;
                };
                for entry in entries(top.place.file, psk) {
                    if let Some(first) = places.get(entry.key) {
                        let message = format!("this key is given twice; first at {}", report.name_of(*first));
                        report.error(code::INVALID, entry.key_place, message, Some("keep one of the two".into()));
                        continue;
                    }
                    places.insert(entry.key, entry.key_place);
                    secrets.keys.insert(entry.key, read_secret(&entry, report));
                }
            }
        }
        secrets
    }

    /// Whether there is an entry of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.keys.contains_key(name)
    }

    /// The key named `name`; reports at the name's place when there is none.
    pub(crate) fn get(&self, name: At<&str>, connection: &str, report: &mut Report) -> SecretBytes {
        match self.keys.get(name.value) {
            Some(Some(secret)) => secret.clone(),
            // Malformed: reported where it stands.
            Some(None) => SecretBytes::from(Vec::new()),
            None => {
                self.tell_missing(name, connection, report);
                SecretBytes::from(Vec::new())
            }
        }
    }

    fn tell_missing(&self, name: At<&str>, connection: &str, report: &mut Report) {
        let near = nearest(name.value, self.keys.keys().copied());
        let lacks = format!("connection `{}` has no pre-shared key", shown(connection));
        let (message, help) = if name.value != connection && !looks_like_a_name(name.value) {
            let message = format!("{lacks}: no entry of the name that `psk` says in {}", self.files);
            (message, "`psk` names an entry of the file of secrets, where the key itself stands".to_owned())
        } else {
            let entry = shown(name.value);
            let help = match near {
                Some(near) => format!("did you mean `psk = \"{near}\"`?"),
                None => format!("add `{entry} = \"…\"` under `[psk]` there"),
            };
            (format!("{lacks}: no entry `{entry}` in {}", self.files), help)
        };
        report.missing(code::SECRET, name.place, message, Some(help));
    }
}

fn reject_top(entry: &Entry, report: &mut Report) {
    if entry.key == "psk" {
        let message = format!("`psk` must be a table, found {}", type_name(entry.value));
        report.error(
            code::INVALID,
            entry.key_place,
            message,
            Some("write `[psk]` and one key below it per line".into()),
        );
        return;
    }
    let help = nearest(entry.key, ["psk"]).map(did_you_mean);
    let help = help.unwrap_or_else(|| "pre-shared keys stand under `[psk]`".to_owned());
    let message = "unknown name at the top of a file of secrets".to_owned();
    report.error(code::INVALID, entry.key_place, message, Some(help));
}

const FORMS: &str = "write it as `\"text\"`, `{ hex = \"…\" }` or `{ base64 = \"…\" }`";

fn read_secret(entry: &Entry, report: &mut Report) -> Option<SecretBytes> {
    let bytes = match entry.value {
        DeValue::String(text) => {
            if text.trim() != text.as_ref() {
                let message = "this key begins or ends with a blank".to_owned();
                report.warning(
                    code::SECRET,
                    entry.key_place,
                    message,
                    Some("make sure the other end has it too".into()),
                );
            }
            text.as_bytes().to_vec()
        }
        DeValue::Table(table) => read_encoded(entry, table, report)?,
        other => {
            let message = format!("this key must be a string or a table, found {}", type_name(other));
            report.error(code::SECRET, entry.key_place, message, Some(FORMS.into()));
            return None;
        }
    };
    if bytes.is_empty() {
        report.error(code::SECRET, entry.key_place, "this key is empty".into(), Some(FORMS.into()));
        return None;
    }
    if bytes.len() < SHORT {
        let message = format!("this key has only {} bytes and can be guessed", bytes.len());
        let help = "use 32 random bytes, for example from `openssl rand -base64 32`".to_owned();
        report.warning(code::SECRET, entry.key_place, message, Some(help));
    }
    Some(SecretBytes::from(bytes))
}

fn read_encoded(entry: &Entry, table: &DeTable, report: &mut Report) -> Option<Vec<u8>> {
    let forms = entries(entry.place.file, table);
    let [form] = forms.as_slice() else {
        let message = "this key must have exactly one of `hex` and `base64`".to_owned();
        report.error(code::SECRET, entry.key_place, message, Some(FORMS.into()));
        return None;
    };
    let decoded = match (form.key, form.value) {
        ("hex", DeValue::String(text)) => encoding::hex(text),
        ("base64", DeValue::String(text)) => encoding::base64(text),
        ("hex" | "base64", other) => {
            let message = format!("`{}` of this key must be a string, found {}", form.key, type_name(other));
            report.error(code::SECRET, form.key_place, message, Some(FORMS.into()));
            return None;
        }
        _ => {
            let message = "unknown form of a key".to_owned();
            let help = nearest(form.key, ["hex", "base64"]).map_or_else(|| FORMS.to_owned(), did_you_mean);
            report.error(code::SECRET, form.key_place, message, Some(help));
            return None;
        }
    };
    match decoded {
        Ok(bytes) => Some(bytes),
        Err(error) => {
            let message = format!("this key is not {}: {error}", form.key);
            report.error(code::SECRET, form.place, message, None);
            None
        }
    }
}
