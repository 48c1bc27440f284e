//! The journal of systemd, spoken to in its own protocol, so that fields of events are fields there: `journalctl
//! VPN_CONNECTION_ID=site-b REASON_CODE=no_answer`.
//!
//! One datagram per entry to `/run/systemd/journal/socket`: `NAME=value`, or where the value has line breaks the name, its
//! length in 64 bits little-endian, and the value (systemd, "Native Journal Protocol").

use crypto::sha256;
use serde_json::Value;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

const SOCKET: &str = "/run/systemd/journal/socket";

/// An open journal.
#[derive(Debug)]
pub struct Journald(UnixDatagram);

impl Journald {
    /// The journal, if standard error leads there: `JOURNAL_STREAM` names it by device and inode (systemd.exec(5)).
    pub fn of_standard_error() -> Option<Journald> {
        let named = std::env::var("JOURNAL_STREAM").ok()?;
        let file = File::from(io::stderr().as_fd().try_clone_to_owned().ok()?).metadata().ok()?;
        let ours = named == format!("{}:{}", file.dev(), file.ino());
        ours.then(|| Journald::at(Path::new(SOCKET)).ok()).flatten()
    }

    /// The journal behind a socket.
    ///
    /// # Errors
    /// What the system says.
    pub fn at(socket: &Path) -> io::Result<Journald> {
        let stream = UnixDatagram::unbound()?;
        stream.connect(socket)?;
        stream.set_nonblocking(true)?;
        Ok(Journald(stream))
    }

    /// Writes an event as the log has it. `message` is its line without the time, which the journal has itself.
    ///
    /// # Errors
    /// What the system says; an event that does not fit a datagram too.
    pub fn write(&self, event: &Value, message: &str) -> io::Result<()> {
        self.0.send(&entry(event, message)).map(drop)
    }
}

/// The ID of a kind of event: the same on every machine, so that `journalctl MESSAGE_ID=…` finds them all.
pub fn message_id(event: &str) -> String {
    let hash = sha256(&[b"underpass event ", event.as_bytes()]);
    hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

fn entry(event: &Value, message: &str) -> Vec<u8> {
    let text = |name: &str| event.get(name).and_then(Value::as_str);
    let kind = text("event").unwrap_or_default();
    let priority = match text("level") {
        Some("debug") => "7",
        Some("warn") => "4",
        _ => "6",
    };
    let mut entry = Vec::new();
    field(&mut entry, "MESSAGE", message);
    field(&mut entry, "PRIORITY", priority);
    field(&mut entry, "SYSLOG_IDENTIFIER", "underpass");
    field(&mut entry, "MESSAGE_ID", &message_id(kind));
    field(&mut entry, "EVENT", kind);
    let others = event.as_object().into_iter().flatten();
    for (name, value) in others {
        let value = match value {
            Value::String(text) => text.clone(),
            Value::Null => continue,
            other => other.to_string(),
        };
        match name.as_str() {
            "schema_version" | "time" | "level" | "event" | "message" => {}
            "connection" => field(&mut entry, "VPN_CONNECTION_ID", &value),
            "child" => field(&mut entry, "VPN_CHILD", &value),
            "tunnel" => field(&mut entry, "TUNNEL", &value),
            "reason" => field(&mut entry, "REASON_CODE", &value),
            "local_spi" | "new_spi" => field(&mut entry, "IKE_SPI", &value),
            other => field(&mut entry, &format!("VPN_{}", other.to_ascii_uppercase()), &value),
        }
    }
    entry
}

fn field(entry: &mut Vec<u8>, name: &str, value: &str) {
    entry.extend(name.as_bytes());
    if value.contains('\n') {
        entry.push(b'\n');
        entry.extend((value.len() as u64).to_le_bytes());
    } else {
        entry.push(b'=');
    }
    entry.extend(value.as_bytes());
    entry.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_of_an_event_are_fields_of_the_entry() {
        let event = json!({"schema_version": 1, "time": "t", "level": "warn", "event": "connect_failed", "message": "not up",
            "connection": "site-b", "child": null, "reason": "no_answer", "exchange": "IKE_SA_INIT", "rekey": true, "text": "a\nb"});
        let written = entry(&event, "site-b: not up");
        let length = 3u64.to_le_bytes();
        let long = [b"VPN_TEXT\n".as_slice(), &length, b"a\nb\n"].concat();
        assert!(written.windows(long.len()).any(|window| window == long));
        let text = String::from_utf8_lossy(&written).into_owned();
        for line in [
            "MESSAGE=site-b: not up",
            "PRIORITY=4",
            "VPN_CONNECTION_ID=site-b",
            "REASON_CODE=no_answer",
            "VPN_EXCHANGE=IKE_SA_INIT",
            "VPN_REKEY=true",
            "EVENT=connect_failed",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        assert!(!text.contains("VPN_CHILD") && !text.contains("VPN_TIME"), "{text}");
    }

    #[test]
    fn the_ids_in_the_documentation_are_those_of_the_entries_and_every_event_has_one() {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
        let text = std::fs::read_to_string(format!("{root}/docs/log.md")).unwrap();
        let rows = text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
        let ids: std::collections::BTreeMap<&str, String> = rows
            .filter_map(|(event, rest)| Some((event, rest.rsplit_once("| `")?.1.trim_end_matches("` |").to_owned())))
            .collect();
        assert!(ids.len() > 30, "{ids:?}");
        for (event, id) in &ids {
            assert_eq!(*id, message_id(event), "{event}");
        }
        for source in ["engine/src/record.rs", "engine/src/failover/record.rs"] {
            let source = std::fs::read_to_string(format!("{root}/crates/{source}")).unwrap();
            let code = source.split("#[cfg(test)]").next().unwrap();
            for call in code.split("Record::new(Level::").skip(1) {
                // `Warn, "ike_sa_down", …`; where a variable stands in its place the next line has something else.
                let event = call.split_once(", \"").filter(|(level, _)| !level.contains('(')).map(|(_, rest)| rest);
                let event = event.and_then(|rest| rest.split('"').next()).unwrap_or("event");
                assert!(ids.contains_key(event) || event == "event", "{event} is not in docs/log.md");
            }
        }
    }

    #[test]
    fn an_entry_reaches_the_socket_and_kinds_have_ids_of_their_own() {
        let path = std::env::temp_dir().join(format!("underpass-journal-{}", std::process::id()));
        let journal = UnixDatagram::bind(&path).unwrap();
        Journald::at(&path).unwrap().write(&json!({"event": "started"}), "hello").unwrap();
        let mut buffer = [0; 4096];
        let length = journal.recv(&mut buffer).unwrap();
        assert!(buffer[..length].starts_with(b"MESSAGE=hello\n"));
        std::fs::remove_file(&path).unwrap();
        assert_ne!(message_id("started"), message_id("stopping"));
        assert_eq!(message_id("started").len(), 32);
    }
}
