//! What a tunnel or child says, as keys and values of `underpass.toml` with their places.

use super::super::model::{DontFragment, IkeVersion, ImportedChild, ImportedTunnel, Start, Tries};
use super::super::place::{Sourced, Spot};

/// One key of a table.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Row {
    pub(crate) key: &'static str,
    /// As TOML writes it.
    pub(crate) value: String,
    /// Where it was read.
    pub(crate) at: Spot,
    /// Whether it stands there.
    pub(crate) written: bool,
}

/// A string of TOML.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A key of TOML: bare where it may be.
pub(crate) fn key(name: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !name.is_empty() && name.chars().all(bare) { name.to_owned() } else { quoted(name) }
}

struct Rows(Vec<Row>);

impl Rows {
    fn one<T>(&mut self, key: &'static str, value: &Option<Sourced<T>>, write: impl Fn(&T) -> String) {
        if let Some(value) = value {
            self.0.push(Row { key, value: write(&value.value), at: value.at.clone(), written: value.written });
        }
    }

    /// A list, or its only item where the format takes that.
    fn list(&mut self, key: &'static str, values: &[Sourced<String>], single: bool) {
        let Some(first) = values.first() else { return };
        let texts: Vec<String> = values.iter().map(|value| quoted(&value.value)).collect();
        let value = match texts.as_slice() {
            [only] if single => only.clone(),
            _ => format!("[{}]", texts.join(", ")),
        };
        self.0.push(Row { key, value, at: first.at.clone(), written: first.written });
    }
}

fn number(value: &u64) -> String {
    value.to_string()
}

/// The keys of a tunnel that may also stand in a connection.
pub(crate) fn tunnel(tunnel: &ImportedTunnel) -> Vec<Row> {
    let mut rows = Rows(Vec::new());
    rows.one("local_address", &tunnel.local_address, |address| quoted(&address.to_string()));
    rows.list("remote_address", &tunnel.remote_addresses, true);
    rows.one("local_id", &tunnel.local_id, |id| quoted(id));
    rows.one("remote_id", &tunnel.remote_id, |id| quoted(id));
    rows.one("ike_version", &tunnel.ike_version, |version| {
        quoted(match version {
            IkeVersion::V1 => "ikev1",
            IkeVersion::V2 => "ikev2",
            IkeVersion::Both => "both",
        })
    });
    rows.one("aggressive", &tunnel.aggressive, bool::to_string);
    rows.list("ike_proposals", &tunnel.ike_proposals, false);
    rows.one("ike_lifetime_seconds", &tunnel.ike_lifetime, number);
    rows.one("rekey_margin_seconds", &tunnel.rekey_margin, number);
    rows.one("rekey_fuzz_percent", &tunnel.rekey_fuzz, number);
    rows.one("dpd_interval_seconds", &tunnel.dpd_interval, number);
    rows.one("dpd_timeout_seconds", &tunnel.dpd_timeout, number);
    rows.one("retransmit_give_up_seconds", &tunnel.give_up, number);
    rows.one("retry", &tunnel.retry, |tries| match tries {
        Tries::Forever => quoted("forever"),
        Tries::Times(times) => times.to_string(),
    });
    rows.one("encapsulation", &tunnel.force_encapsulation, |force| quoted(if *force { "force" } else { "auto" }));
    rows.one("fragmentation_bytes", &tunnel.fragmentation, |on| if *on { "1280" } else { "0" }.to_owned());
    rows.one("remote_port", &tunnel.remote_port, number);
    rows.one("df", &tunnel.dont_fragment, |df| {
        quoted(match df {
            DontFragment::Copy => "copy",
            DontFragment::Set => "set",
            DontFragment::Clear => "clear",
        })
    });
    rows.0
}

/// The keys that stand in the table of a tunnel alone.
pub(crate) fn tunnel_only(tunnel: &ImportedTunnel) -> Vec<Row> {
    let mut rows = Rows(Vec::new());
    rows.one("inside_address", &tunnel.inside, |inside| quoted(&inside.to_string()));
    rows.one("preference", &tunnel.preference, number);
    rows.list("esp_proposals", &tunnel.esp_proposals, false);
    rows.one("lifetime_seconds", &tunnel.child_lifetime, number);
    rows.0
}

/// The keys of a child.
pub(crate) fn child(child: &ImportedChild) -> Vec<Row> {
    let mut rows = Rows(Vec::new());
    rows.list("local_subnets", &child.local_subnets, false);
    rows.list("remote_subnets", &child.remote_subnets, false);
    rows.list("routes", &child.routes, false);
    rows.list("esp_proposals", &child.esp_proposals, false);
    rows.one("lifetime_seconds", &child.lifetime, number);
    rows.one("rekey_margin_seconds", &child.rekey_margin, number);
    rows.one("lifetime_bytes", &child.lifetime_bytes, number);
    rows.one("lifetime_packets", &child.lifetime_packets, number);
    rows.one("sha256_96", &child.sha256_96, bool::to_string);
    rows.one("split_selectors", &child.split_selectors, bool::to_string);
    rows.one("replay_window", &child.replay_window, number);
    rows.one("start", &child.start, |start| {
        quoted(match start {
            Start::OnLoad => "on-load",
            Start::OnDemand => "on-demand",
            Start::Passive => "passive",
        })
    });
    rows.0
}

/// Whether two lists of rows say the same, wherever it was read.
pub(crate) fn same(one: &[Row], other: &[Row]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(a, b)| a.key == b.key && a.value == b.value)
}
