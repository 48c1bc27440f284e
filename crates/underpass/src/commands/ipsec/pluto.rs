//! A status in the lines that people know of Libreswan's and Openswan's `ipsec auto --status`, `auto --up` and `whack
//! --trafficstatus`, and look for in scripts. Pure.
//!
//! The number before a line is the kind of message: 000 a comment, 002 progress, 003 a complaint, 004 a state reached, 006
//! traffic.

use super::numbers::{Numbered, NumberedChild, between, time};
use super::part::failed;
use crate::client::clean;
use crate::tunnels::text;
use serde_json::Value;

/// The lines of `ipsec auto --status` for these connections.
pub fn status(status: &Value, shown: &[Numbered<'_>]) -> Vec<String> {
    let now = time(status, "time");
    let mut lines = vec!["000 using kernel interface: none (ESP in userspace)".to_owned(), "000".to_owned()];
    lines.push("000 Connection list:".to_owned());
    lines.push("000".to_owned());
    lines.extend(shown.iter().flat_map(configured));
    let active = shown.iter().filter(|one| text(one.value, "state") == "up").count();
    lines.push("000".to_owned());
    lines.push(format!("000 Total IPsec connections: loaded {}, active {active}", shown.len()));
    lines.push("000".to_owned());
    lines.push("000 State Information: DDoS cookies not required, Accepting new IKE connections".to_owned());
    let ike = shown.iter().filter(|one| one.ike().is_some()).count();
    let half = shown.iter().filter(|one| one.is_connecting()).count();
    let children = shown.iter().flat_map(|one| &one.children).filter(|child| child.is_up()).count();
    lines.push(format!(
        "000 IKE SAs: total({}), half-open({half}), open(0), authenticated({ike}), anonymous(0)",
        ike + half
    ));
    lines.push(format!("000 IPsec SAs: total({children}), authenticated({children}), anonymous(0)"));
    lines.push("000".to_owned());
    lines.extend(shown.iter().flat_map(|one| states(one, now)));
    lines.push("000".to_owned());
    lines
}

fn configured(one: &Numbered<'_>) -> Vec<String> {
    let name = one.name();
    let identity = |side: &str| match text(one.value, side) {
        "" => "%any".to_owned(),
        identity => clean(identity),
    };
    let (local, remote) = (one.address("local"), one.address("remote"));
    let route = |child: &NumberedChild<'_>| {
        let (owner, routed) =
            if child.is_up() { (format!("#{}", child.serial), "erouted") } else { ("#0".to_owned(), "unrouted") };
        let middle =
            format!("==={local}<{local}>[{}]...{remote}<{remote}>[{}]===", identity("local_id"), identity("remote_id"));
        format!("000 \"{name}\": {}; {routed}; eroute owner: {owner}", child.networks(&middle))
    };
    let mut lines: Vec<String> = one.children.iter().map(route).collect();
    let number = |serial: Option<usize>| serial.map_or("#0".to_owned(), |serial| format!("#{serial}"));
    let newest = number(one.ike().map(|_| one.serial));
    let child = number(one.children.iter().rfind(|child| child.is_up()).map(|child| child.serial));
    let phase_1 = if one.is_v1() { "ISAKMP" } else { "IKE" };
    lines.push(format!("000 \"{name}\":   newest {phase_1} SA: {newest}; newest IPsec SA: {child};"));
    if let Some(failed) = failed(one.value) {
        let part = failed.part.map(|part| format!("failed in {part}: ")).unwrap_or_default();
        lines.push(format!("000 \"{name}\":   {part}{}", failed.reason));
    }
    lines
}

/// Names of states by version and role (the initiator's, the responder's).
fn state_of_ike(one: &Numbered<'_>) -> &'static str {
    let initiator = one.value.pointer("/ike/role").and_then(Value::as_str) == Some("initiator");
    match (one.is_v1(), initiator) {
        (true, true) => "STATE_MAIN_I4",
        (true, false) => "STATE_MAIN_R3",
        (false, _) => "STATE_V2_ESTABLISHED_IKE_SA",
    }
}

fn state_of_child(one: &Numbered<'_>) -> &'static str {
    let initiator = one.value.pointer("/ike/role").and_then(Value::as_str) == Some("initiator");
    match (one.is_v1(), initiator) {
        (true, true) => "STATE_QUICK_I2",
        (true, false) => "STATE_QUICK_R2",
        (false, _) => "STATE_V2_ESTABLISHED_CHILD_SA",
    }
}

fn established(one: &Numbered<'_>) -> &'static str {
    if one.is_v1() { "ISAKMP SA established" } else { "IKE SA established" }
}

fn states(one: &Numbered<'_>, now: Option<u64>) -> Vec<String> {
    let name = one.name();
    let replaced = |value: &Value| {
        let left = between(now, time(value, "rekey_at"));
        left.map(|left| format!("; EVENT_SA_REPLACE in {left}s")).unwrap_or_default()
    };
    let mut lines = Vec::new();
    for child in one.children.iter().filter(|child| child.is_up()) {
        lines.push(format!(
            "000 #{}: \"{name}\" {} (IPsec SA established){}; newest IPSEC; eroute owner; isakmp#{}",
            child.serial,
            state_of_child(one),
            replaced(child.value),
            one.serial
        ));
        let remote = one.address("remote");
        lines.push(format!(
            "000 #{}: \"{name}\" esp.{}@{remote} esp.{}@{} ESPin={}B ESPout={}B",
            child.serial,
            child.spi("out"),
            child.spi("in"),
            one.address("local"),
            child.count("bytes_in"),
            child.count("bytes_out")
        ));
    }
    if let Some(ike) = one.ike() {
        let kind = if one.is_v1() { "newest ISAKMP" } else { "newest IKE" };
        let (state, words) = (state_of_ike(one), established(one));
        lines.push(format!("000 #{}: \"{name}\" {state} ({words}){}; {kind};", one.serial, replaced(ike)));
    } else if one.is_connecting() {
        lines.push(format!("000 #{}: \"{name}\" negotiating", one.serial));
    }
    lines
}

/// The lines of `ipsec whack --trafficstatus`.
pub fn traffic(shown: &[Numbered<'_>]) -> Vec<String> {
    let mut lines = Vec::new();
    for one in shown {
        for child in one.children.iter().filter(|child| child.is_up()) {
            let added = time(child.value, "installed_at").unwrap_or(0);
            lines.push(format!(
                "006 #{}: \"{}\", type=ESP, add_time={added}, inBytes={}, outBytes={}, id='{}'",
                child.serial,
                one.name(),
                child.count("bytes_in"),
                child.count("bytes_out"),
                clean(text(one.value, "remote_id"))
            ));
        }
    }
    lines
}

/// What `ipsec auto --up NAME` says of a connection that came up.
pub fn came_up(one: &Numbered<'_>) -> Vec<String> {
    let name = one.name();
    let mut lines = Vec::new();
    if let Some(ike) = one.ike() {
        let suite = clean(text(ike, "suite"));
        lines.push(format!(
            "004 \"{name}\" #{}: {}: {} {{auth=PRESHARED_KEY proposal={suite}}}",
            one.serial,
            state_of_ike(one),
            established(one)
        ));
    }
    for child in one.children.iter().filter(|child| child.is_up()) {
        let protocol = if child.protocol() == "ESP" { "ESP" } else { "ESPinUDP" };
        lines.push(format!(
            "004 \"{name}\" #{}: {}: IPsec SA established tunnel mode {{{protocol}=>0x{} <0x{} proposal={}}}",
            child.serial,
            state_of_child(one),
            child.spi("out"),
            child.spi("in"),
            clean(text(child.value, "suite"))
        ));
    }
    lines
}
