//! A status in the lines that people know of strongSwan's `ipsec status` and `statusall`, and look for in scripts. Pure.

use super::numbers::{Numbered, NumberedChild, between, span, time};
use super::part::failed;
use crate::client::clean;
use crate::tunnels::text;
use serde_json::Value;

/// The lines of `ipsec status` for these connections of it; `all` is `statusall`.
pub fn status(status: &Value, shown: &[Numbered<'_>], all: bool) -> Vec<String> {
    let now = time(status, "time");
    let mut lines = Vec::new();
    if all {
        lines.extend(heading(status, now));
        lines.push("Connections:".to_owned());
        lines.extend(shown.iter().flat_map(configured));
    }
    let up = shown.iter().filter(|one| one.ike().is_some()).count();
    let connecting = shown.iter().filter(|one| one.is_connecting()).count();
    lines.push(format!("Security Associations ({up} up, {connecting} connecting):"));
    let before = lines.len();
    for one in shown {
        lines.extend(associations(one, now, all));
    }
    if lines.len() == before {
        lines.push("  none".to_owned());
    }
    // What charon does not say: why those that are not up are not.
    lines.extend(shown.iter().filter_map(why));
    lines
}

fn heading(status: &Value, now: Option<u64>) -> Vec<String> {
    let gateway = status.get("gateway").unwrap_or(&Value::Null);
    let mut lines = vec![format!("Status of IKE daemon (Underpass {}):", clean(text(gateway, "version")))];
    if let Some(uptime) = between(time(gateway, "started"), now) {
        lines.push(format!("  uptime: {}, since {}", span(uptime), clean(text(gateway, "started"))));
    }
    lines
}

/// What is configured, as `statusall` lists it.
fn configured(one: &Numbered<'_>) -> Vec<String> {
    let name = one.name();
    let version = match text(one.value, "ike_versions") {
        "ikev1" => "IKEv1",
        "ikev2" => "IKEv2",
        _ => "IKEv1/2",
    };
    let identity = |side: &str| match text(one.value, side) {
        "" => "%any".to_owned(),
        identity => clean(identity),
    };
    let mut lines = vec![
        format!("{name:>12}:  {}...{}  {version}", one.address("local"), one.address("remote")),
        format!("{name:>12}:   local:  [{}] uses pre-shared key authentication", identity("local_id")),
        format!("{name:>12}:   remote: [{}] uses pre-shared key authentication", identity("remote_id")),
    ];
    let child = |child: &NumberedChild<'_>| format!("{:>12}:   child:  {} TUNNEL", child.name, child.networks(" === "));
    lines.extend(one.children.iter().map(child));
    lines
}

/// The lines of one connection's SAs.
pub fn associations(one: &Numbered<'_>, now: Option<u64>, all: bool) -> Vec<String> {
    let (name, number) = (one.name(), one.number);
    let mut lines = Vec::new();
    match one.ike() {
        Some(ike) => {
            let age = between(time(ike, "established"), now).map(span).unwrap_or_else(|| "some time".to_owned());
            lines.push(format!("{name:>12}[{number}]: ESTABLISHED {age} ago, {}", one.ends()));
            if all {
                lines.extend(ike_details(&name, number, ike, now));
            }
        }
        None if one.is_connecting() => lines.push(format!("{name:>12}[{number}]: CONNECTING, {}", one.ends())),
        None => {}
    }
    lines.extend(one.children.iter().filter(|child| child.is_up()).flat_map(|child| installed(child, now, all)));
    lines
}

fn ike_details(name: &str, number: usize, ike: &Value, now: Option<u64>) -> Vec<String> {
    // The star marks the end that is ours.
    let (i, r) = if text(ike, "role") == "initiator" { ("*", "") } else { ("", "*") };
    let version = if text(ike, "version") == "ikev1" { "IKEv1" } else { "IKEv2" };
    let rekey = between(now, time(ike, "rekey_at")).map(|left| format!(", rekeying in {}", span(left)));
    let spi = |side: &str| clean(text(ike, side)).trim_start_matches("0x").to_owned();
    vec![
        format!(
            "{name:>12}[{number}]: {version} SPIs: {}_i{i} {}_r{r}{}",
            spi("spi_i"),
            spi("spi_r"),
            rekey.unwrap_or_default()
        ),
        format!("{name:>12}[{number}]: IKE proposal: {}", clean(text(ike, "suite"))),
    ]
}

fn installed(child: &NumberedChild<'_>, now: Option<u64>, all: bool) -> Vec<String> {
    let (name, number, protocol) = (&child.name, child.number, child.protocol());
    let mut lines = vec![format!(
        "{name:>12}{{{number}}}:  INSTALLED, TUNNEL, reqid {number}, {protocol} SPIs: {}_i {}_o",
        child.spi("in"),
        child.spi("out")
    )];
    if all {
        let rekey = between(now, time(child.value, "rekey_at")).map(|left| format!(", rekeying in {}", span(left)));
        let traffic = |direction: &str| {
            let (bytes, packets) =
                (child.count(&format!("bytes_{direction}")), child.count(&format!("packets_{direction}")));
            let short = if direction == "in" { "i" } else { "o" };
            if packets == 0 {
                format!("{bytes} bytes_{short}")
            } else {
                format!("{bytes} bytes_{short} ({packets} pkts)")
            }
        };
        let suite = clean(text(child.value, "suite"));
        lines.push(format!(
            "{name:>12}{{{number}}}:  {suite}, {}, {}{}",
            traffic("in"),
            traffic("out"),
            rekey.unwrap_or_default()
        ));
    }
    lines.push(format!("{name:>12}{{{number}}}:   {}", child.networks(" === ")));
    lines
}

/// Why a connection is not up, in a line of its own.
fn why(one: &Numbered<'_>) -> Option<String> {
    let name = one.name();
    let failed = failed(one.value)?;
    Some(match failed.part {
        Some(part) => format!("{name:>12}:  failed in {part}: {}", failed.reason),
        None => format!("{name:>12}:  not up: {}", failed.reason),
    })
}

/// What `ipsec up NAME` says of a connection that came up.
pub fn came_up(one: &Numbered<'_>) -> Vec<String> {
    let (name, number) = (one.name(), one.number);
    let mut lines = Vec::new();
    if one.ike().is_some() {
        lines.push(format!("IKE_SA {name}[{number}] established between {}", one.ends()));
    }
    for child in one.children.iter().filter(|child| child.is_up()) {
        lines.push(format!(
            "CHILD_SA {}{{{}}} established with SPIs {}_i {}_o and TS {}",
            child.name,
            child.number,
            child.spi("in"),
            child.spi("out"),
            child.networks(" === ")
        ));
    }
    lines.push(format!("connection '{name}' established successfully"));
    lines
}
