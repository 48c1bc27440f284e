//! `load-conn` and `load-shared`: a connection that a client hands over is what `swanctl.conf` would say, so the importer
//! reads it, and what the importer refuses is refused.

use super::{Message, Value};
use crate::diagnostic::Severity;
use crate::import::{Finding, Format, Here, InMemory, Input, Keys, Level, import};
use crate::source::SourceFile;
use crate::underpass_toml;
use crypto::SecretBytes;
use engine::desired::Connection;
use ike::config::PeerConfig;
use std::collections::BTreeSet;
use std::fmt::Write;
use zeroize::Zeroizing;

/// Bytes of a pre-shared key that is loaded.
const LONGEST_KEY: usize = 512;
/// What messages call the text that the importer reads.
const SOURCE: &str = "load-conn";

/// A pre-shared key that a client loaded.
pub struct SharedKey {
    owners: Vec<String>,
    key: SecretBytes,
}

/// A connection that a client handed over.
pub struct LoadedConnection {
    /// As the engine wants it.
    pub connection: Connection,
    /// What deserves a look.
    pub warnings: Vec<String>,
}

impl SharedKey {
    /// What `load-shared` hands over, under the name by which it can be unloaded.
    ///
    /// # Errors
    /// Why it is not taken.
    pub fn of(request: &Message) -> Result<(String, SharedKey), String> {
        let kind = request.text("type").unwrap_or_default();
        if !kind.eq_ignore_ascii_case("ike") {
            return Err(format!("type {kind}: pre-shared keys (IKE) alone are used here"));
        }
        let key = match request.get("data") {
            Some(Value::Bytes(bytes)) if (1..=LONGEST_KEY).contains(&bytes.len()) => SecretBytes::from(&bytes[..]),
            Some(Value::Bytes(bytes)) => {
                return Err(format!("a key has 1 to {LONGEST_KEY} bytes, this one {}", bytes.len()));
            }
            Some(Value::List(_) | Value::Section(_)) | None => return Err("`data` is missing".to_owned()),
        };
        let owners = match request.get("owners") {
            Some(Value::List(items)) => items.iter().map(|item| text_of(item)).collect::<Result<Vec<_>, _>>()?,
            Some(Value::Bytes(_) | Value::Section(_)) | None => Vec::new(),
        };
        // A client that does not care for a name can only unload it with all others.
        let name = request.text("id").map_or_else(|| owners.join(" "), ToOwned::to_owned);
        Ok((name, SharedKey { owners, key }))
    }
}

/// What `load-conn` hands over, with the key that fits it, or else `known`, the key that a connection of its name has.
///
/// # Errors
/// Why it is not taken: everything that is wrong with it.
pub fn load_conn<'k>(
    name: &str,
    section: &Message,
    keys: impl Iterator<Item = &'k SharedKey>,
    known: Option<&SecretBytes>,
) -> Result<LoadedConnection, String> {
    let mut values = BTreeSet::new();
    values_of(section, &mut values);
    let mut text = Zeroizing::new(String::with_capacity(64 * 1024));
    text.push_str("connections {\n");
    put_section(name, section, &mut text)?;
    text.push_str("}\nsecrets {\n");
    let fits = |key: &&SharedKey| key.owners.is_empty() || key.owners.iter().any(|owner| values.contains(owner));
    let mut fitting: Vec<(&[String], &SecretBytes)> =
        keys.filter(fits).map(|key| (&key.owners[..], &key.key)).collect();
    if fitting.is_empty() {
        fitting.extend(known.map(|key| (&[][..], key)));
    }
    for (number, (owners, key)) in fitting.into_iter().enumerate() {
        put_key(number, owners, key, &mut text);
    }
    text.push_str("}\n");
    let input = Input::new(SOURCE, text.as_bytes());
    let here = Here { local: None, addresses: None, default_source: None };
    let imported = import(&[input], &mut InMemory::default(), Some(Format::Swanctl), &here);
    let of_level = |level: Level| {
        let found = imported.findings.iter().filter(move |finding| finding.level == level);
        found.map(said).collect::<Vec<String>>()
    };
    let errors = of_level(Level::Error);
    if !errors.is_empty() || imported.connections.is_empty() {
        return Err(if errors.is_empty() { "there is no connection in it".to_owned() } else { errors.join("; ") });
    }
    let mut warnings = of_level(Level::Warning);
    let rendered = imported.to_toml(Keys::Written, None);
    let files = [SourceFile::new(SOURCE, rendered.config)];
    let secrets = [SourceFile::new("load-shared", rendered.secrets.as_str())];
    let loaded = underpass_toml::parse(&files, &secrets).map_err(|found| {
        let errors = found.iter().filter(|diagnostic| diagnostic.severity == Severity::Error);
        errors.map(|diagnostic| diagnostic.message.clone()).collect::<Vec<_>>().join("; ")
    })?;
    warnings.extend(loaded.warnings.iter().map(|diagnostic| diagnostic.message.clone()));
    let mut connections = loaded.state.connections.into_values();
    match (connections.next(), connections.next()) {
        (Some(connection), None) if loaded.state.groups.is_empty() => Ok(LoadedConnection { connection, warnings }),
        _ => Err("it is not one connection: import it into underpass.toml with `underpass import`".to_owned()),
    }
}

/// In what two connections differ that the peer would notice. Lifetimes and liveness checks are each end's own.
#[must_use]
pub fn differences(ours: &PeerConfig, theirs: &PeerConfig) -> Vec<String> {
    let mut found = Vec::new();
    let mut differ = |what: &str, same: bool| {
        if !same {
            found.push(what.to_owned());
        }
    };
    differ("local address", theirs.local_address.is_none() || ours.local_address == theirs.local_address);
    differ("remote addresses", ours.remote_addresses == theirs.remote_addresses);
    differ("local id", ours.local_id.same_as(&theirs.local_id));
    differ("remote id", ours.remote_id == theirs.remote_id);
    differ("pre-shared key", ours.psk.ct_eq(theirs.psk.expose()));
    differ("IKE version", ours.versions == theirs.versions);
    differ("IKE proposals", ours.proposals == theirs.proposals);
    for child in &theirs.children {
        match ours.child(&child.name) {
            None => differ(&format!("child {}", child.name), false),
            Some(known) => {
                let name = &child.name;
                differ(&format!("local selectors of {name}"), known.local == child.local);
                differ(&format!("remote selectors of {name}"), known.remote == child.remote);
                differ(&format!("ESP proposals of {name}"), known.proposals == child.proposals);
            }
        }
    }
    for child in ours.children.iter().filter(|child| theirs.child(&child.name).is_none()) {
        differ(&format!("child {}", child.name), false);
    }
    found
}

fn said(finding: &Finding) -> String {
    let help = finding.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
    format!("{}{help}", finding.message)
}

fn text_of(bytes: &[u8]) -> Result<String, String> {
    String::from_utf8(bytes.to_vec()).map_err(|_| "a value is not UTF-8".to_owned())
}

/// Every text in a message.
fn values_of(message: &Message, found: &mut BTreeSet<String>) {
    for (_, value) in message.entries() {
        match value {
            Value::Bytes(bytes) => found.extend(text_of(bytes)),
            Value::List(items) => found.extend(items.iter().flat_map(|item| text_of(item))),
            Value::Section(section) => values_of(section, found),
        }
    }
}

/// Writes a section; its depth is bounded by the decoder.
fn put_section(name: &str, section: &Message, text: &mut String) -> Result<(), String> {
    let _ = writeln!(text, "{} {{", word(name)?);
    for (name, value) in section.entries() {
        match value {
            Value::Section(section) => put_section(name, section, text)?,
            Value::Bytes(bytes) => put_value(name, &text_of(bytes)?, text)?,
            Value::List(items) => {
                let items = items.iter().map(|item| text_of(item)).collect::<Result<Vec<_>, _>>()?;
                put_value(name, &items.join(", "), text)?;
            }
        }
    }
    text.push_str("}\n");
    Ok(())
}

fn put_value(name: &str, value: &str, text: &mut String) -> Result<(), String> {
    // No blank before the sign: that would make an `include` one.
    let _ = write!(text, "{}=", word(name)?);
    put_quoted(value, text);
    text.push('\n');
    Ok(())
}

fn put_quoted(value: &str, text: &mut String) {
    text.push('"');
    for c in value.chars() {
        if matches!(c, '"' | '\\') {
            text.push('\\');
        }
        text.push(c);
    }
    text.push('"');
}

fn put_key(number: usize, owners: &[String], key: &SecretBytes, text: &mut String) {
    let _ = writeln!(text, "ike-{number} {{");
    for (number, owner) in owners.iter().enumerate() {
        let _ = write!(text, "id-{number}=");
        put_quoted(owner, text);
        text.push('\n');
    }
    text.push_str("secret=\"0x");
    for byte in key.expose() {
        let _ = write!(text, "{byte:02x}");
    }
    text.push_str("\"\n}\n");
}

/// A name that stands for itself in `swanctl.conf`.
fn word(name: &str) -> Result<&str, String> {
    let special = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '{' | '}' | '=' | '#' | ':' | '"' | ',');
    if name.is_empty() || name.contains(special) {
        return Err(format!("`{}` is no name of a section or key", name.escape_debug()));
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(id: &str) -> Message {
        Message::new().with("auth", "psk").with("id", id)
    }

    fn connection(remote: &str) -> Message {
        let child = Message::new().with_list("local_ts", ["10.1.0.0/16"]).with_list("remote_ts", ["10.2.0.0/16"]);
        Message::new()
            .with("version", "2")
            .with_list("local_addrs", ["192.0.2.1"])
            .with_list("remote_addrs", [remote])
            .with_list("proposals", ["aes256gcm16-prfsha384-ecp384"])
            .with_section("local", end("a.example"))
            .with_section("remote", end("b.example"))
            .with_section("children", Message::new().with_section("net", child))
    }

    fn key(owners: &[&str], data: &str) -> (String, SharedKey) {
        let request =
            Message::new().with("id", "one").with("type", "IKE").with("data", data).with_list("owners", owners);
        SharedKey::of(&request).unwrap()
    }

    #[test]
    fn a_connection_is_read_as_swanctl_conf_with_the_key_of_its_ends() {
        let keys = [
            key(&["b.example"], "a \"key\" \\ of # this { test }").1,
            key(&["c.example"], "another key of this test").1,
        ];
        let loaded = load_conn("office", &connection("192.0.2.2"), keys.iter(), None).map_err(|why| panic!("{why}"));
        let peer = loaded.map(|loaded| loaded.connection.peer).unwrap();
        assert_eq!(&*peer.name.0, "office");
        assert_eq!(peer.psk.expose(), b"a \"key\" \\ of # this { test }");
        assert_eq!(peer.remote_addresses, ["192.0.2.2".parse::<std::net::IpAddr>().unwrap()]);
        assert_eq!(&*peer.children[0].name.0, "net");
        assert_eq!(differences(&peer, &peer), Vec::<String>::new());
        let other = load_conn("office", &connection("192.0.2.3"), keys.iter(), None).unwrap().connection.peer;
        assert_eq!(differences(&peer, &other), ["remote addresses"]);
    }

    #[test]
    fn without_a_key_of_its_own_a_connection_has_the_known_one_or_is_refused() {
        let known = SecretBytes::from(&b"the key that is configured"[..]);
        let loaded = load_conn("office", &connection("192.0.2.2"), std::iter::empty(), Some(&known)).unwrap();
        assert!(loaded.connection.peer.psk.ct_eq(known.expose()));
        let Err(why) = load_conn("office", &connection("192.0.2.2"), std::iter::empty(), None) else { panic!("taken") };
        assert!(why.contains("key"), "{why}");
    }

    #[test]
    fn names_and_values_cannot_break_out_of_their_place() {
        let keys = [key(&[], "the key of this test, all ends").1];
        for name in ["", "a b", "a{", "}", "a=b", "a#", "include \"x\"", "a\nb"] {
            assert!(load_conn(name, &connection("192.0.2.2"), keys.iter(), None).is_err(), "{name:?}");
            let inner = connection("192.0.2.2").with(name, "x");
            assert!(load_conn("office", &inner, keys.iter(), None).is_err(), "{name:?}");
        }
        let value = connection("192.0.2.2").with("mediation_peer", "x\"\n}\nconnections { other { version = 2 } }\n\"");
        let loaded = load_conn("office", &value, keys.iter(), None).unwrap();
        assert_eq!(&*loaded.connection.peer.name.0, "office");
    }

    #[test]
    fn certificates_and_other_kinds_of_keys_are_refused_with_a_reason() {
        let keys = [key(&[], "the key of this test, all ends").1];
        let section = connection("192.0.2.2").with_section("remote-2", Message::new().with("auth", "pubkey"));
        let Err(why) = load_conn("office", &section, keys.iter(), None) else { panic!("taken") };
        assert!(why.contains("second round"), "{why}");
        let eap = Message::new().with("type", "EAP").with("data", "x");
        assert!(SharedKey::of(&eap).is_err_and(|why| why.contains("EAP")));
        let long = Message::new().with("type", "IKE").with("data", vec![0; LONGEST_KEY + 1]);
        assert!(SharedKey::of(&long).is_err_and(|why| why.contains("513")));
    }
}
