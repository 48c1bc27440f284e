//! Which of `left` and `right` is this machine, and what both ends are called.

use super::super::finding::Findings;
use super::super::model::Here;
use super::super::place::{Sourced, Spot};
use super::Dialect;
use super::resolve::Resolved;
use std::net::IpAddr;

/// Ours first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Ends {
    pub(super) local: &'static str,
    pub(super) remote: &'static str,
}

const LEFT: Ends = Ends { local: "left", remote: "right" };
const RIGHT: Ends = Ends { local: "right", remote: "left" };

/// Decides, or says what to type.
pub(super) fn decide(conn: &Resolved, dialect: Dialect, here: &Here, findings: &mut Findings) -> Option<Ends> {
    let host = |side| conn.side(side, "host");
    let (left, right) = (host("left"), host("right"));
    let is_default_route =
        |text: &Option<Sourced<&str>>| text.as_ref().is_some_and(|text| text.value == "%defaultroute");
    match (is_default_route(&left), is_default_route(&right)) {
        (true, false) => return Some(LEFT),
        (false, true) => return Some(RIGHT),
        (true, true) => {
            let at = left.as_ref().map_or(&conn.name.at, |left| &left.at);
            findings.error(
                at,
                "both ends are %defaultroute: which is this machine cannot be told",
                "write the peer's address in one of them",
            );
            return None;
        }
        (false, false) => {}
    }
    let ours = |text: &Option<Sourced<&str>>| {
        text.as_ref().and_then(|text| text.value.parse::<IpAddr>().ok()).is_some_and(|address| here.has(address))
    };
    match (ours(&left), ours(&right)) {
        (true, false) => return Some(LEFT),
        (false, true) => return Some(RIGHT),
        (true, true) if here.local.is_some() => {
            let is_local =
                |text: &Option<Sourced<&str>>| text.as_ref().and_then(|text| text.value.parse().ok()) == here.local;
            return Some(if is_local(&left) { LEFT } else { RIGHT });
        }
        (true, true) | (false, false) => {}
    }
    open_end(conn, dialect, &left, &right, findings).or_else(|| {
        ask(conn, &left, &right, findings);
        None
    })
}

/// Decides where one end has no address: `%any`, or nothing at all.
fn open_end(
    conn: &Resolved,
    dialect: Dialect,
    left: &Option<Sourced<&str>>,
    right: &Option<Sourced<&str>>,
    findings: &mut Findings,
) -> Option<Ends> {
    let open = |text: &Option<Sourced<&str>>| {
        text.as_ref().is_none_or(|text| matches!(text.value, "%any" | "%any4" | "%any6" | "0.0.0.0"))
    };
    let calls =
        conn.get("auto").is_some_and(|auto| matches!(auto.value, "start" | "up" | "route" | "ondemand" | "keep"));
    let (ends, why) = match (open(left), open(right)) {
        // Whoever calls knows whom: the end without an address is the caller.
        (true, false) if calls => (LEFT, "`left` has no address and `auto` calls: it is this end"),
        (false, true) if calls => (RIGHT, "`right` has no address and `auto` calls: it is this end"),
        (true, false) if dialect == Dialect::Strongswan => {
            (LEFT, "strongSwan takes `left` for this end, and it has no address")
        }
        (true, false) => (RIGHT, "`left` is %any, a peer from anywhere: `right` is this end"),
        (false, true) => (LEFT, "`right` is %any, a peer from anywhere: `left` is this end"),
        (true, true) if dialect == Dialect::Strongswan => (LEFT, "strongSwan takes `left` for this end"),
        (true, true) | (false, false) => return None,
    };
    let at = left.as_ref().or(right.as_ref()).map_or(&conn.name.at, |side| &side.at);
    findings.note(at, why, "");
    Some(ends)
}

fn ask(conn: &Resolved, left: &Option<Sourced<&str>>, right: &Option<Sourced<&str>>, findings: &mut Findings) {
    let at: &Spot = left.as_ref().or(right.as_ref()).map_or(&conn.name.at, |side| &side.at);
    let text = |side: &Option<Sourced<&str>>| side.as_ref().map(|side| side.value).unwrap_or_default().to_owned();
    let choice = |side: &Option<Sourced<&str>>| {
        text(side).parse::<IpAddr>().is_ok().then(|| format!("`--local {}`", text(side)))
    };
    let choices: Vec<String> = [choice(left), choice(right)].into_iter().flatten().collect();
    if left.is_none() && right.is_none() {
        let message = format!("conn {} has neither `left` nor `right`", conn.name.value);
        return findings.error(at, message, "write both ends");
    }
    let message =
        format!("neither end of conn {} is an address of this machine: which is ours cannot be told", conn.name.value);
    let help = if choices.is_empty() {
        "say our address with `--local ADDRESS`".to_owned()
    } else {
        format!("say it with {}", choices.join(" or "))
    };
    findings.error(at, message, help);
}
