//! An import as `underpass.toml` and `secrets.toml`: every value with the place it was read at.

pub(crate) mod rows;

use super::model::{Imported, ImportedConnection, ImportedPolicy, ImportedTunnel};
use super::place::Spot;
use crypto::SecretBytes;
use rows::{Row, key, quoted};
use std::fmt::Write;
use zeroize::Zeroizing;

/// The two files.
pub struct Rendered {
    /// `underpass.toml`.
    pub config: String,
    /// `secrets.toml`, which nobody else may read.
    pub secrets: Zeroizing<String>,
}

/// Whether pre-shared keys are written out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Keys {
    /// As they are.
    Written,
    /// As `…`, for a look.
    Hidden,
}

/// Column at which the places begin, if the value leaves room.
const COMMENT_COLUMN: usize = 52;

impl Imported {
    /// Renders the two files. `secrets` is the name by which the first refers to the second, when it is not `secrets.toml`.
    pub fn to_toml(&self, keys: Keys, secrets: Option<&str>) -> Rendered {
        let mut config = header(self);
        let names = Names(self);
        if let Some(path) = secrets.filter(|path| *path != crate::underpass_toml::DEFAULT_SECRETS) {
            let _ = write!(config, "\n[gateway]\nsecrets = {}\n", quoted(path));
        }
        for policy in &self.policies {
            write_policy(policy, &names, &mut config);
        }
        for connection in &self.connections {
            write_connection(connection, &names, &mut config);
        }
        Rendered { config, secrets: write_secrets(&self.connections, &names, keys) }
    }
}

fn header(imported: &Imported) -> String {
    let mut out = String::from("# Made by `underpass import` of\n");
    for (path, format) in &imported.files {
        let _ = writeln!(out, "#   {path} ({format})");
    }
    out.push_str(
        "# Each value says where it was read. What is not here has its default: see docs/underpass.toml.md.\n",
    );
    out
}

/// How comments call the files: by the last part of their paths, where that tells them apart.
struct Names<'i>(&'i Imported);

impl Names<'_> {
    fn of<'p>(&self, path: &'p str) -> &'p str {
        let last = |path: &'p str| path.rsplit('/').next().unwrap_or(path);
        let alike = self.0.files.iter().filter(|(known, _)| known.rsplit('/').next() == Some(last(path))).count();
        if alike > 1 { path } else { last(path) }
    }

    fn place(&self, at: &Spot, written: bool) -> String {
        let from = if written { "from" } else { "not written: follows from" };
        format!("# {from} {}:{}", self.of(&at.file), at.line)
    }

    /// `key = value   # from FILE:LINE`.
    fn row(&self, row: &Row, out: &mut String) {
        let line = format!("{} = {}", row.key, row.value);
        let _ = writeln!(out, "{line:COMMENT_COLUMN$} {}", self.place(&row.at, row.written));
    }
}

fn write_policy(policy: &ImportedPolicy, names: &Names, out: &mut String) {
    let list = |texts: &[super::place::Sourced<String>]| {
        let texts: Vec<String> = texts.iter().map(|text| quoted(&text.value)).collect();
        format!("[{}]", texts.join(", "))
    };
    let action = if policy.bypass { "bypass" } else { "discard" };
    let _ = write!(out, "\n{}\n", names.place(&policy.name.at, true));
    let _ = writeln!(out, "[policy.{}]\naction = {}", key(&policy.name.value), quoted(action));
    let _ = writeln!(out, "local = {}\nremote = {}", list(&policy.local), list(&policy.remote));
}

/// Whether a connection needs tables for its tunnels.
pub(crate) fn has_tunnel_tables(connection: &ImportedConnection) -> bool {
    connection.tunnels.len() > 1 || connection.tunnels.iter().any(|tunnel| !rows::tunnel_only(tunnel).is_empty())
}

fn write_connection(connection: &ImportedConnection, names: &Names, out: &mut String) {
    let name = key(&connection.name.value);
    let _ = write!(out, "\n{}\n[connection.{name}]\n", names.place(&connection.name.at, true));
    let own: Vec<Vec<Row>> = connection.tunnels.iter().map(rows::tunnel).collect();
    let Some(first) = own.first() else { return };
    let tables = has_tunnel_tables(connection);
    if tables {
        let _ = writeln!(out, "mode = \"active-standby\"");
    }
    // What all tunnels say is said once. Each keeps its own peer.
    let common = |row: &Row| {
        let says = |rows: &Vec<Row>| rows.iter().any(|other| other.key == row.key && other.value == row.value);
        !tables || (row.key != "remote_address" && own.iter().all(says))
    };
    for row in first.iter().filter(|row| common(row)) {
        names.row(row, out);
    }
    if !tables && let [tunnel] = connection.tunnels.as_slice() {
        write_bgp(tunnel, names, out);
    }
    for (index, (tunnel, rows)) in connection.tunnels.iter().zip(&own).enumerate().filter(|_| tables) {
        let _ = write!(out, "\n[connection.{name}.tunnel.{}]\n", index + 1);
        for row in rows.iter().filter(|row| !common(row)).chain(&rows::tunnel_only(tunnel)) {
            names.row(row, out);
        }
        write_bgp(tunnel, names, out);
    }
    for child in &connection.children {
        let _ = write!(out, "\n[connection.{name}.child.{}]\n", key(&child.name));
        for row in &rows::child(child) {
            names.row(row, out);
        }
        let everything = |text: &str| text == "0.0.0.0/0" || text == "::/0";
        if child.routes.is_empty() && child.remote_subnets.iter().all(|text| everything(&text.value)) {
            out.push_str("# routes = [\"10.0.0.0/16\"]   # nothing is routed into the tunnel until the networks behind it are listed\n");
        }
    }
}

/// BGP has no keys yet: what the file says stands as comments.
fn write_bgp(tunnel: &ImportedTunnel, names: &Names, out: &mut String) {
    let bgp = &tunnel.bgp;
    let mut row = |name: &str, value: Option<(String, &Spot)>| {
        if let Some((value, at)) = value {
            let line = format!("# bgp {name} = {value}");
            let _ = writeln!(out, "{line:COMMENT_COLUMN$} {}", names.place(at, true));
        }
    };
    row("local_asn", bgp.local_asn.as_ref().map(|asn| (asn.value.to_string(), &asn.at)));
    row("remote_asn", bgp.remote_asn.as_ref().map(|asn| (asn.value.to_string(), &asn.at)));
    row("neighbor", bgp.neighbor.as_ref().map(|address| (quoted(&address.value.to_string()), &address.at)));
    row("hold_time_seconds", bgp.hold_time_seconds.as_ref().map(|time| (time.value.to_string(), &time.at)));
}

/// The entry of the file of secrets that a tunnel takes its key from.
pub(crate) fn entry(connection: &ImportedConnection, index: usize) -> String {
    let name = &connection.name.value;
    if has_tunnel_tables(connection) { format!("{name}-{}", index + 1) } else { name.clone() }
}

fn write_secrets(connections: &[ImportedConnection], names: &Names, keys: Keys) -> Zeroizing<String> {
    let entries = connections.iter().flat_map(|connection| {
        connection.tunnels.iter().enumerate().map(move |(index, tunnel)| (entry(connection, index), tunnel))
    });
    let entries: Vec<(String, &ImportedTunnel)> = entries.collect();
    // With room for all of it the text never moves, which would leave a copy of keys behind.
    let room = entries.iter().map(|(name, tunnel)| {
        let place = tunnel.psk.as_ref().map_or(80, |psk| psk.at.file.len() + 6 * psk.value.len());
        name.len() + place + COMMENT_COLUMN + 100
    });
    let mut out = Zeroizing::new(String::with_capacity(1024 + room.sum::<usize>()));
    out.push_str("# Pre-shared keys, made by `underpass import`. Nobody else may read this file: chmod 600.\n[psk]\n");
    for (name, tunnel) in entries {
        let name = key(&name);
        match &tunnel.psk {
            Some(psk) => {
                let value = match keys {
                    Keys::Written => secret(&psk.value),
                    Keys::Hidden => Zeroizing::new("\"…\"".to_owned()),
                };
                let line = Zeroizing::new(format!("{name} = {}", *value));
                let _ = writeln!(out, "{:COMMENT_COLUMN$} {}", *line, names.place(&psk.at, psk.written));
            }
            None => {
                let _ = writeln!(out, "# {name} = \"…\"   # not found: write the key of this tunnel here");
            }
        }
    }
    out
}

/// Text where it is text that an editor shows, else hexadecimal.
fn secret(psk: &SecretBytes) -> Zeroizing<String> {
    let text =
        std::str::from_utf8(psk.expose()).ok().filter(|text| !text.is_empty() && !text.contains(char::is_control));
    match text {
        Some(text) => Zeroizing::new(quoted(text)),
        None => {
            let mut hex = Zeroizing::new(String::with_capacity(psk.len() * 2 + 16));
            hex.push_str("{ hex = \"");
            for byte in psk.expose() {
                let _ = write!(hex, "{byte:02x}");
            }
            hex.push_str("\" }");
            hex
        }
    }
}
