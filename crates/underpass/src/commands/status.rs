//! `underpass status`: one line per tunnel. What is configured and down is always listed, with its reason.

use super::Control;
use crate::client::clean;
use crate::exit::{Exit, Failure};
use crate::normal;
use crate::table::{Cell, age, align, bytes, colour_welcome};
use crate::tunnels::{Status, Target, items, reason, text, tunnel_of_group};
use formats::parse_rfc3339;
use serde_json::{Value, json};
use std::io::Write;

/// Show every tunnel, and why those that are down are down
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  underpass status                one line per tunnel
  underpass status site-b --json  everything about one connection
  underpass status --exit-code    1 unless every tunnel that should be up is up

Exit codes: 0 ok, 1 with --exit-code: a tunnel is not up, 2 usage, 3 cannot reach the gateway, 4 cannot tell")]
pub struct Args {
    /// Only this connection
    #[arg(value_name = "CONNECTION")]
    pub connection: Option<String>,
    /// End with 1 when a tunnel that should be up is not
    #[arg(long)]
    pub exit_code: bool,
    #[command(flatten)]
    pub control: Control,
}

/// Runs the command.
pub fn run(args: &Args, out: &mut dyn Write) -> Result<Exit, Failure> {
    let target = args.connection.as_deref().map(|name| Target::new(name, None)).transpose()?;
    let status = Status::of(&args.control.gateway())?;
    let connections = status.select(target.as_ref())?;
    let all_up = connections.iter().all(|connection| matches!(text(connection, "state"), "up" | "disabled"));
    if args.control.json {
        let mut shown = status.0.clone();
        if let (Some(object), true) = (shown.as_object_mut(), target.is_some()) {
            object.insert("connections".to_owned(), json!(connections));
        }
        writeln!(out, "{shown}")?;
    } else {
        for line in render(&status.0, &connections, colour_welcome()) {
            writeln!(out, "{line}")?;
        }
        let asked = connections.iter().filter(|_| target.is_some());
        for (heading, rows) in asked.filter_map(|connection| normal::rows(connection)) {
            writeln!(out, "\n{heading}")?;
            for line in align(&rows, colour_welcome()) {
                writeln!(out, "{line}")?;
            }
        }
    }
    Ok(if args.exit_code && !all_up { Exit::Condition } else { Exit::Ok })
}

/// The lines for people.
fn render(status: &Value, connections: &[&Value], colour: bool) -> Vec<String> {
    if connections.is_empty() {
        return vec!["no connection is configured".to_owned()];
    }
    let now = parse_rfc3339(text(status, "time"));
    let heading = ["TUNNEL", "STATE", "SINCE", "LOCAL", "REMOTE", "IKE", "SUITE", "IN", "OUT", "NOTE"];
    let mut rows: Vec<Vec<Cell>> = vec![heading.map(Cell::from).to_vec()];
    for connection in connections {
        let children = items(connection, "children");
        let role = tunnel_of_group(status, text(connection, "name"));
        let role = role.map(|tunnel| text(tunnel, "role")).filter(|role| *role != "down");
        if children.is_empty() {
            rows.push(row(connection, None, role, now));
        }
        rows.extend(children.into_iter().map(|child| row(connection, Some(child), role, now)));
    }
    align(&rows, colour)
}

fn row(connection: &Value, child: Option<&Value>, role: Option<&str>, now: Option<u64>) -> Vec<Cell> {
    let own = child.unwrap_or(connection);
    let state = match text(own, "state") {
        "" => text(connection, "state"),
        state => state,
    };
    let name = clean(text(connection, "name"));
    let name = child.map_or_else(|| name.clone(), |child| format!("{name}/{}", clean(text(child, "name"))));
    let since = parse_rfc3339(text(own, "since")).or_else(|| parse_rfc3339(text(connection, "since")));
    let since = now.zip(since).map(|(now, since)| age(now.saturating_sub(since))).unwrap_or_default();
    let traffic = |direction: &str| match child.filter(|_| state == "up") {
        Some(child) => child.get(format!("bytes_{direction}")).and_then(Value::as_u64).map(bytes).unwrap_or_default(),
        None => String::new(),
    };
    vec![
        name.into(),
        state_cell(state),
        since.into(),
        address(connection, "local").into(),
        address(connection, "remote").into(),
        version(connection, state).into(),
        child.map(|child| clean(text(child, "suite"))).unwrap_or_default().into(),
        traffic("in").into(),
        traffic("out").into(),
        note(connection, own, state, role),
    ]
}

/// The version of IKE in use; of what is not up, those that may be. Children of IKEv1 may be up without an IKE SA: `-`.
fn version(connection: &Value, state: &str) -> String {
    let ike = connection.get("ike").filter(|ike| !ike.is_null());
    let word = match (ike, state) {
        (Some(ike), _) => text(ike, "version"),
        (None, "up") => return "-".to_owned(),
        (None, _) => text(connection, "ike_versions"),
    };
    match word {
        "ikev1" => "v1".to_owned(),
        "ikev2" => "v2".to_owned(),
        "both" => "v1, v2".to_owned(),
        other => clean(other),
    }
}

/// Shape, word and colour, so that each alone tells the states apart.
fn state_cell(state: &str) -> Cell {
    let (shape, colour) = match state {
        "up" => ('●', 32),
        "negotiating" => ('◌', 33),
        "down" => ('✕', 31),
        "disabled" => ('⏸', 90),
        _ => ('?', 33),
    };
    let word = if state.is_empty() { "unknown".to_owned() } else { clean(state) };
    Cell { text: format!("{shape} {word}"), colour: Some(colour) }
}

fn address(connection: &Value, name: &str) -> String {
    match connection.get(name) {
        Some(Value::String(address)) => clean(address),
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).map(clean).collect::<Vec<_>>().join(","),
        _ => "any".to_owned(),
    }
}

/// The reason when it is not up; what deserves a look when it is.
fn note(connection: &Value, own: &Value, state: &str, role: Option<&str>) -> Cell {
    if state != "up" {
        return reason(own).or_else(|| reason(connection)).unwrap_or_default().into();
    }
    // Of several tunnels: which carries, and which does not answer although its SAs are there.
    let mut notes: Vec<String> = role.map(clean).into_iter().collect();
    let nat = connection.get("nat");
    match nat {
        Some(Value::Bool(true)) => notes.push("behind NAT".to_owned()),
        Some(Value::String(side)) if !side.is_empty() && side != "none" => notes.push(format!("NAT: {}", clean(side))),
        _ => {}
    }
    let weak = weak(connection, own);
    notes.extend((!weak.is_empty()).then(|| format!("weak: {}", weak.join(", "))));
    let unusual = normal::unusual(connection);
    let worth_a_look = !weak.is_empty() || !unusual.is_empty() || role == Some("suspect");
    notes.extend(unusual);
    Cell { text: notes.join("; "), colour: worth_a_look.then_some(33) }
}

/// The weak algorithms of a tunnel's IKE SA and of its child SA, each once and by its word alone; the reasons are in the
/// JSON and in the log.
fn weak(connection: &Value, own: &Value) -> Vec<String> {
    let of_ike = connection.get("ike").map(|ike| items(ike, "weak")).unwrap_or_default();
    let mut words: Vec<String> = Vec::new();
    for weak in of_ike.into_iter().chain(items(own, "weak")).filter_map(Value::as_str) {
        let word = clean(weak.split_once(':').map_or(weak, |(word, _)| word));
        if !words.contains(&word) {
            words.push(word);
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status() -> Value {
        json!({
            "schema_version": 1, "time": "2026-11-20T18:00:00.000Z",
            "connections": [
                {"name": "site-b", "state": "up", "since": "2026-11-20T15:46:41.000Z", "local": "192.0.2.1", "remote": "192.0.2.2",
                 "nat": "remote", "ike_versions": "both",
                 "ike": {"version": "ikev1", "weak": ["sha1: SHA-1 is being phased out", "modp1024: 1024 bits are few"]}, "children": [
                    {"name": "net", "state": "up", "suite": "aes128-sha1", "bytes_in": 1536, "bytes_out": 10,
                     "weak": ["sha1: SHA-1 is being phased out"]},
                    {"name": "voice", "state": "down", "reason": {"code": "TS-01", "message": "no common \u{1b}[2J selectors"}}]},
                {"name": "branch", "state": "down", "reason": {"code": "NET-01", "message": "no answer"}, "remote": null,
                 "ike_versions": "ikev2", "ike": null, "children": []},
                {"name": "old", "state": "up", "ike_versions": "ikev1", "ike": null, "children": [
                    {"name": "net", "state": "up", "suite": "aes128gcm16", "weak": []}]},
            ],
            "groups": [{"name": "vpn", "tunnels": [
                {"connection": "old", "role": "suspect"}, {"connection": "branch", "role": "down"}]}],
        })
    }

    #[test]
    fn every_tunnel_has_one_line_and_those_down_their_reason() {
        let status = status();
        let lines = render(&status, &items(&status, "connections"), false);
        let squeezed: Vec<String> =
            lines.iter().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(
            squeezed,
            [
                "TUNNEL STATE SINCE LOCAL REMOTE IKE SUITE IN OUT NOTE",
                "site-b/net ● up 2 h 13 min 192.0.2.1 192.0.2.2 v1 aes128-sha1 1.5 KiB 10 B NAT: remote; weak: sha1, modp1024",
                "site-b/voice ✕ down 2 h 13 min 192.0.2.1 192.0.2.2 v1 TS-01: no common \u{fffd}[2J selectors",
                "branch ✕ down any any v2 NET-01: no answer",
                "old/net ● up any any - aes128gcm16 suspect",
            ]
        );
        let column = lines[0].find("STATE").unwrap();
        assert!(lines[1..].iter().all(|line| line.get(column..).is_some_and(|rest| !rest.starts_with(' '))));
    }

    #[test]
    fn a_status_of_another_version_is_shown_as_far_as_it_goes() {
        for odd in [json!({}), json!({"name": 7, "state": [], "children": {}}), json!({"children": [{}, 3, null]})] {
            assert!(render(&json!({}), &[&odd], true).len() >= 2);
        }
        assert_eq!(render(&json!(null), &[], false), ["no connection is configured"]);
    }
}
