//! The path between the gateways: who hears whom.

use super::{TunnelRule, host};
use crate::catalogue::*;
use crate::evidence::{Event, Evidence, Probe};
use crate::finding::{Confidence, Finding};
use crate::tunnel::{Stage, Trouble, Tunnel, ip_of, port_of};
use std::net::IpAddr;

pub(super) const TUNNEL: &[TunnelRule] =
    &[no_way, refused, one_direction, port_4500, large_messages, silence, moved, nat_forgets];

/// A clock that is this wrong makes certificates and signed calls fail.
const CLOCK_OFF: u64 = 300;
/// A negotiation without an answer for this long is a finding before it has failed, seconds.
const PATIENCE: u64 = 5;

pub(super) fn clock(evidence: &Evidence) -> Option<Finding> {
    let host = evidence.host.as_ref()?;
    let behind = host.clock_behind_seconds.filter(|seconds| *seconds >= CLOCK_OFF)?;
    let witness = host.clock_witness.as_deref().unwrap_or("a file of this host");
    Some(
        Finding::new(NET_08)
            .advice()
            .shown_by(format!("{witness} was written {behind} s after the clock's present time"))
            .shown_by_all(
                (host.clock_synchronised == Some(false)).then_some("the kernel calls the clock not synchronised"),
            ),
    )
}

fn no_way(tunnel: &Tunnel<'_>) -> Option<Finding> {
    if let Some(trouble) = tunnel.of_ike(|trouble| trouble.reason == "no_route") {
        return Some(trouble.finding(NET_09, tunnel));
    }
    let config = tunnel.config.filter(|_| !tunnel.is_up())?;
    let lost = host(tunnel)?.outside.iter().find(|route| {
        let asked = ip_of(&route.prefix);
        route.interface.is_none() && asked.is_some_and(|asked| config.remote_addresses.contains(&asked))
    })?;
    let line = format!("the routing table has no way to {}", lost.prefix);
    Some(Finding::new(NET_09).of(tunnel.name).shown_by(line))
}

fn refused(tunnel: &Tunnel<'_>) -> Option<Finding> {
    let config = tunnel.config?;
    tunnel.evidence.probes.iter().find_map(|probe| match probe {
        Probe::Ike { to, answered: false, refused_by: Some(by), refusal } => {
            let ours = ip_of(to).is_some_and(|to| config.remote_addresses.contains(&to));
            let words = refusal.as_deref().unwrap_or("unreachable");
            (ours && !tunnel.is_up())
                .then(|| Finding::new(NET_05).of(tunnel.name).shown_by(format!("{by} says of UDP {to}: {words}")))
        }
        Probe::Ike { .. } | Probe::Sizes { .. } => None,
    })
}

/// Our first message got no answer, or has none yet.
fn first_unanswered(tunnel: &Tunnel<'_>) -> Option<String> {
    let failed = |trouble: &Trouble<'_>| trouble.reason == "no_answer" && trouble.stage() == Stage::First;
    if let Some(trouble) = tunnel.of_ike(failed) {
        return Some(trouble.line());
    }
    let live = tunnel.live.filter(|live| live.state == "negotiating")?;
    let unheard = live
        .ike
        .as_ref()
        .is_none_or(|ike| ike.role.as_deref() != Some("responder") && ike.suite.as_deref().is_none_or(str::is_empty));
    // Its later messages got no answer before: then the first one did, and does again. Port 4500 comes after it, too.
    let sibling = |text: &Option<String>| text.as_deref().and_then(port_of) == Some(4500);
    let answered = sibling(&live.local) && tunnel.config.is_none_or(|config| config.remote_port != Some(4500));
    if answered || later_unanswered(tunnel).is_some() {
        return None;
    }
    let begun = tunnel.events_of("connecting").next()?;
    let since = Evidence::seconds(begun.time.as_deref())?;
    let waited = tunnel.evidence.now()?.saturating_sub(since);
    let at = begun.time.as_deref().unwrap_or_default();
    (unheard && waited >= PATIENCE).then(|| format!("since {at}: {}, no answer for {waited} s", begun.message))
}

/// The peer began, was answered, and did not go on.
fn peer_did_not_go_on<'e>(tunnel: &Tunnel<'e>) -> Option<Trouble<'e>> {
    let stopped = |trouble: &Trouble<'_>| trouble.kind == "rejected" && trouble.reason == "no_answer";
    tunnel.of_ike(stopped).cloned()
}

fn one_direction(tunnel: &Tunnel<'_>) -> Option<Finding> {
    let ours = first_unanswered(tunnel).filter(|_| !tunnel.is_up())?;
    if let Some(heard) = heard_at_the_far_end(tunnel) {
        return Some(
            Finding::new(NET_02)
                .of(tunnel.name)
                .shown_by(format!("here: {ours}"))
                .shown_by(format!("there: {heard}: our packets arrive, the answers do not")),
        );
    }
    let theirs = peer_did_not_go_on(tunnel)?;
    let finding = Finding::new(NET_02).of(tunnel.name).confidence(Confidence::Likely);
    let finding = finding.shown_by(ours).shown_by(format!("{}: we hear the peer, it does not hear us", theirs.line()));
    Some(finding.fix("Allow UDP 500 and 4500 out to the peer here, and in from us at its side."))
}

/// The far end's evidence that our packets arrive there.
fn heard_at_the_far_end(tunnel: &Tunnel<'_>) -> Option<String> {
    let (far, live) = tunnel.far()?;
    let ours: Vec<IpAddr> = [
        tunnel.config.and_then(|config| config.local_address),
        tunnel.live.and_then(|live| live.local.as_deref()).and_then(ip_of),
    ]
    .into_iter()
    .flatten()
    .collect();
    let of_us = |event: &&Event| {
        let received = matches!(event.event.as_str(), "rejected" | "ignored" | "ike_sa_up");
        received && event.field("remote").and_then(ip_of).is_some_and(|remote| ours.contains(&remote))
    };
    if let Some(event) = far.events.iter().rev().find(of_us) {
        return Some(format!("at {}: {}", event.time.as_deref().unwrap_or("?"), event.message));
    }
    let half_open = far.live.as_ref().and_then(|live| live.gateway.half_open).unwrap_or(0);
    let only = far.live.as_ref().is_some_and(|live| live.connections.len() == 1) && live.is_some();
    (half_open > 0 && only).then(|| format!("{half_open} half-open IKE SAs"))
}

/// A later message of phase 1 got no answer.
fn later_unanswered<'e>(tunnel: &Tunnel<'e>) -> Option<Trouble<'e>> {
    let failed = |trouble: &Trouble<'_>| {
        trouble.reason == "no_answer" && trouble.kind != "rejected" && trouble.stage() == Stage::Later
    };
    tunnel.of_ike(failed).cloned().filter(|_| !tunnel.is_up())
}

/// Whether later messages go by UDP 4500, and why that is known.
fn by_port_4500(tunnel: &Tunnel<'_>) -> Option<&'static str> {
    let config = tunnel.config;
    let private = |address: IpAddr| matches!(address, IpAddr::V4(v4) if v4.is_private() || v4.is_link_local());
    let local = tunnel.live.and_then(|live| live.local.as_deref());
    let port = |text: Option<&str>| text.and_then(port_of) == Some(4500);
    if config.is_some_and(|config| config.force_encapsulation == Some(true)) {
        return Some("encapsulation = \"force\"");
    }
    if port(local) || port(tunnel.live.and_then(|live| live.remote.as_deref())) {
        return Some("NAT detection found a NAT");
    }
    if tunnel.live.and_then(|live| live.nat.as_deref()).is_some_and(|nat| nat != "none") {
        return Some("NAT detection found a NAT");
    }
    let behind_nat = local.and_then(ip_of).or(config.and_then(|config| config.local_address)).is_some_and(private)
        && config.is_some_and(|config| !config.remote_addresses.iter().copied().any(private));
    behind_nat.then_some("our address is private and the peer's is not: a NAT is between")
}

fn port_4500(tunnel: &Tunnel<'_>) -> Option<Finding> {
    let trouble = later_unanswered(tunnel)?;
    let why = by_port_4500(tunnel)?;
    let finding = trouble.finding(NET_03, tunnel).shown_by(format!("it goes by UDP 4500: {why}"));
    Some(finding.confidence(Confidence::Likely))
}

fn large_messages(tunnel: &Tunnel<'_>) -> Option<Finding> {
    let trouble = later_unanswered(tunnel).filter(|_| by_port_4500(tunnel).is_none())?;
    // Of IKEv1's later messages only silence is known, which has other causes, too.
    if !trouble.detail("exchange").is_some_and(|exchange| exchange.starts_with("IKE_")) {
        return None;
    }
    let unfragmented = tunnel.config.is_some_and(|config| config.fragmentation_bytes.is_none());
    let finding = trouble.finding(NET_04, tunnel).shown_by("IKE_SA_INIT was answered on the same port");
    Some(if unfragmented {
        finding.confidence(Confidence::Likely).shown_by("fragmentation_bytes = 0: large messages go as IP fragments")
    } else {
        finding.confidence(Confidence::Possible)
    })
}

fn silence(tunnel: &Tunnel<'_>) -> Option<Finding> {
    let line = first_unanswered(tunnel).filter(|_| !tunnel.is_up())?;
    // It was up, and what ended it says more than the silence that followed; an answer that names a cause says more, too.
    let ended = |trouble: &Trouble<'_>| trouble.kind == "ike_sa_down";
    let answered = |trouble: &Trouble<'_>| !matches!(trouble.reason, "no_answer" | "negotiating" | "idle");
    let known = refused(tunnel).is_some() || one_direction(tunnel).is_some() || no_way(tunnel).is_some();
    if known || tunnel.of_ike(|trouble| ended(trouble) || answered(trouble)).is_some() {
        return None;
    }
    let target = tunnel.live.and_then(|live| live.remote.clone()).unwrap_or_default();
    Some(
        Finding::new(NET_01)
            .of(tunnel.name)
            .shown_by(line)
            .shown_by_all((!target.is_empty()).then(|| format!("the peer's address as configured: {target}"))),
    )
}

/// From where to where the peer moved.
fn moves<'e>(tunnel: &Tunnel<'e>) -> Vec<(&'e Event, &'e str, &'e str)> {
    let ends = |event: &'e Event| Some((event, event.field("from")?, event.field("to")?));
    tunnel.events_of("peer_moved").filter_map(ends).collect()
}

fn moved(tunnel: &Tunnel<'_>) -> Option<Finding> {
    let elsewhere = moves(tunnel).into_iter().find(|(_, from, to)| ip_of(from) != ip_of(to));
    if let Some((event, from, to)) = elsewhere {
        let at = event.time.as_deref().unwrap_or("an unknown time");
        let line = format!("at {at}: authentic packets come from {to}, before from {from}");
        return Some(Finding::new(NET_07).of(tunnel.name).advice().shown_by(line));
    }
    let config = tunnel.config?;
    let names = &host(tunnel)?.names;
    let name = names.iter().find(|name| {
        let in_use = tunnel.live.and_then(|live| live.remote.as_deref()).and_then(ip_of);
        let ours = config.remote_names.contains(&name.name);
        ours && !name.addresses.is_empty() && in_use.is_some_and(|in_use| !name.addresses.contains(&in_use))
    })?;
    let now: Vec<String> = name.addresses.iter().map(ToString::to_string).collect();
    let in_use = tunnel.live.and_then(|live| live.remote.clone()).unwrap_or_default();
    let line = format!("{} resolves to {}, in use is {in_use}", name.name, now.join(", "));
    let finding = Finding::new(NET_07).of(tunnel.name).shown_by(line);
    Some(if tunnel.is_up() { finding.advice() } else { finding })
}

fn nat_forgets(tunnel: &Tunnel<'_>) -> Option<Finding> {
    let moves = moves(tunnel);
    let ports: Vec<_> = moves.iter().filter(|(_, from, to)| ip_of(from) == ip_of(to) && from != to).collect();
    if ports.len() < 2 {
        return None;
    }
    let lines = ports
        .iter()
        .take(3)
        .map(|(event, from, to)| format!("at {}: {from} became {to}", event.time.as_deref().unwrap_or("?")));
    let finding = Finding::new(NET_06).of(tunnel.name).confidence(Confidence::Likely).shown_by_all(lines);
    let finding = finding.shown_by(format!("{} changes of the port alone are in the log", ports.len()));
    Some(if tunnel.is_up() { finding.advice() } else { finding })
}
