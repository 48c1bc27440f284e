//! Files, privileges, the program itself, and what is configured so that it cannot come up.

use super::TunnelRule;
use crate::catalogue::*;
use crate::code::Code;
use crate::evidence::{Evidence, Problem};
use crate::finding::{Confidence, Finding};
use crate::tunnel::{Tunnel, ip_of};

pub(super) const TUNNEL: &[TunnelRule] = &[address, taken_down, nobody_starts, single_tunnel, weak_in_use];

fn problems(evidence: &Evidence, code: Code) -> impl Iterator<Item = &Problem> {
    let all = evidence.configuration.iter().flat_map(|configuration| &configuration.problems);
    all.filter(move |problem| problem.code == code.name())
}

fn of_problems(evidence: &Evidence, code: Code) -> Option<Finding> {
    let found: Vec<&Problem> = problems(evidence, code).collect();
    let first = found.first()?;
    let lines = found.iter().map(|problem| format!("{}: {}", problem.place, problem.message));
    let mut finding = Finding::new(code).shown_by_all(lines);
    if let Some(suggestion) = &first.suggestion {
        finding = finding.fix(suggestion);
    }
    Some(if found.iter().any(|problem| problem.is_error) { finding } else { finding.advice() })
}

pub(super) fn cannot_load(evidence: &Evidence) -> Option<Finding> {
    let finding = of_problems(evidence, CFG_01)?;
    Some(match evidence.running {
        Some(true) => finding.shown_by("a gateway is running: it goes on with the configuration it has"),
        Some(false) | None => finding,
    })
}

pub(super) fn secret(evidence: &Evidence) -> Option<Finding> {
    of_problems(evidence, CFG_10)
}

pub(super) fn secret_exposed(evidence: &Evidence) -> Option<Finding> {
    of_problems(evidence, CFG_11)
}

pub(super) fn weak_setting(evidence: &Evidence) -> Option<Finding> {
    of_problems(evidence, CFG_12)
}

pub(super) fn same_claims(evidence: &Evidence) -> Option<Finding> {
    of_problems(evidence, CFG_13)
}

pub(super) fn route_loop(evidence: &Evidence) -> Option<Finding> {
    of_problems(evidence, CFG_14)
}

pub(super) fn conflict(evidence: &Evidence) -> Option<Finding> {
    of_problems(evidence, CFG_15)
}

/// A gateway that runs has what it needs.
pub(super) fn privileges(evidence: &Evidence) -> Option<Finding> {
    let host = evidence.host.as_ref().filter(|_| evidence.running != Some(true))?;
    let mut missing = Vec::new();
    if let Some(capabilities) = host.capabilities {
        missing.extend((!capabilities.net_admin).then_some("no CAP_NET_ADMIN: no interface and no route can be made"));
        missing.extend((!capabilities.net_raw).then_some("no CAP_NET_RAW: protocol 50 cannot be used"));
    }
    missing.extend((host.tun == Some(false)).then_some("/dev/net/tun is missing or cannot be opened"));
    if missing.is_empty() {
        return None;
    }
    let finding = Finding::new(CFG_03).shown_by_all(missing);
    // Whoever asks need not be whoever runs the gateway, unless it is root.
    let root = host.capabilities.is_none_or(|capabilities| capabilities.root);
    let asked_by = "asked by an ordinary user; run the doctor as the gateway's";
    Some(if root { finding } else { finding.confidence(Confidence::Possible).shown_by(asked_by) })
}

pub(super) fn port_taken(evidence: &Evidence) -> Option<Finding> {
    let host = evidence.host.as_ref()?;
    let lines: Vec<String> = host
        .port_conflicts
        .iter()
        .map(|conflict| {
            let owner = conflict.owner.as_deref().unwrap_or("another process (run as root to see which)");
            format!("UDP {} is in use by {owner}", conflict.address)
        })
        .collect();
    (!lines.is_empty()).then(|| Finding::new(CFG_02).shown_by_all(lines))
}

/// Said only where nothing else says why.
pub(super) fn not_running(evidence: &Evidence) -> Option<Finding> {
    let configuration = evidence.configuration.as_ref()?;
    let explained = privileges(evidence).is_some_and(|finding| finding.confidence == Confidence::Certain)
        || port_taken(evidence).is_some()
        || configuration.problems.iter().any(|problem| problem.is_error);
    (evidence.running == Some(false) && !explained)
        .then(|| Finding::new(CFG_07).shown_by("nobody answers at the control socket"))
}

/// Our own address is not this host's, or the peer's packets come from one that no connection names.
fn address(tunnel: &Tunnel<'_>) -> Option<Finding> {
    let config = tunnel.config?;
    let own = tunnel.evidence.host.as_ref().and_then(|host| host.addresses.as_ref());
    if let (Some(local), Some(own)) = (config.local_address, own)
        && !own.contains(&local)
    {
        let line = format!("local_address is {local}, and this host has no such address");
        return Some(Finding::new(CFG_04).of(tunnel.name).shown_by(line));
    }
    let live = tunnel.live.filter(|live| live.state != "up" && !live.is_established())?;
    if config.remote_addresses.is_empty() {
        return None;
    }
    let unknown = |event: &&crate::evidence::Event| {
        event.event == "ignored" && matches!(event.reason.as_deref(), Some("no_peer"))
    };
    let last = tunnel.evidence.events.iter().rev().find(unknown)?;
    let from = last.field("remote").and_then(ip_of)?;
    let expected: Vec<String> = config.remote_addresses.iter().map(ToString::to_string).collect();
    let at = last.time.as_deref().unwrap_or("an unknown time");
    let heard = tunnel.events.iter().any(|event| event.event != "connecting" && event.event != "connect_failed");
    (!heard).then(|| {
        Finding::new(CFG_04)
            .of(tunnel.name)
            .confidence(Confidence::Likely)
            .shown_by(format!("at {at}: IKE came from {from}, which no connection names"))
            .shown_by(format!(
                "{} expects its peer at {}; its state is {}",
                tunnel.name,
                expected.join(", "),
                live.state
            ))
            .fix(format!(
                "if {from} is the peer, set remote_address = \"{from}\"; behind NAT set remote_id to what it sends"
            ))
    })
}

fn taken_down(tunnel: &Tunnel<'_>) -> Option<Finding> {
    let live = tunnel.live?;
    let reason = live.reason.as_ref().map(|reason| reason.code.as_str());
    let down = live.state == "disabled" || (live.state != "up" && reason == Some("administrative"));
    let since = live.since.as_deref().unwrap_or("an unknown time");
    down.then(|| {
        Finding::new(CFG_08)
            .of(tunnel.name)
            .shown_by(format!("since {since}: taken down by an operator"))
            .fix(format!("underpass up {}", tunnel.name))
    })
}

fn nobody_starts(tunnel: &Tunnel<'_>) -> Option<Finding> {
    let live = tunnel.live.filter(|live| live.state == "down")?;
    let idle = live.reason.as_ref().is_none_or(|reason| reason.code == "idle");
    // Protected packets of a peer that believes it is connected tell another story.
    let silent = tunnel.events.is_empty() && tunnel.evidence.drops("no_sa") == 0;
    (tunnel.only_answers() && idle && silent).then(|| {
        Finding::new(CFG_06)
            .of(tunnel.name)
            .confidence(Confidence::Likely)
            .shown_by("start = \"passive\" in every child, and the peer has never called")
    })
}

fn single_tunnel(tunnel: &Tunnel<'_>) -> Option<Finding> {
    let config = tunnel.config.filter(|config| config.tunnels == Some(1))?;
    let whole = config.group.as_deref().unwrap_or(tunnel.name);
    let line = format!("{whole} is a connection of several tunnels, and has {} alone", tunnel.name);
    Some(Finding::new(CFG_05).of(tunnel.name).advice().shown_by(line))
}

/// What was agreed on, and aggressive mode.
fn weak_in_use(tunnel: &Tunnel<'_>) -> Option<Finding> {
    let live = tunnel.live?;
    let of_ike = live.ike.iter().flat_map(|ike| &ike.weak).map(|weak| format!("IKE SA: {weak}"));
    let of_children = live
        .children
        .iter()
        .flat_map(|child| child.weak.iter().map(move |weak| format!("{}/{}: {weak}", tunnel.name, child.name)));
    let mut lines: Vec<String> = of_ike.chain(of_children).collect();
    lines.extend(tunnel.events_of("aggressive_mode").next().map(|event| event.message.clone()));
    (!lines.is_empty()).then(|| Finding::new(CFG_12).of(tunnel.name).advice().shown_by_all(lines))
}
