//! Protected packets: who sends, who receives, and what is dropped for which reason.

use super::{TunnelRule, any_up, of_the_only_tunnel};
use crate::catalogue::*;
use crate::evidence::{Event, Evidence, LiveChild};
use crate::finding::{Confidence, Finding};
use crate::tunnel::Tunnel;

pub(super) const TUNNEL: &[TunnelRule] = &[truncation, peer_does_not_send, nothing_comes_back];

/// Packets sent without one received that are no accident.
const SENT: u64 = 5;
/// Dropped packets below which nobody should be alarmed: a forged or damaged packet comes by now and then.
const FEW: u64 = 5;
/// Replays below which the network merely duplicated something.
const REPLAYS: u64 = 10;

pub(super) fn integrity_counter(evidence: &Evidence) -> Option<Finding> {
    let packets = evidence.drops("authentication");
    if packets < FEW || told_of_truncation(evidence) {
        return None;
    }
    let finding = Finding::new(ESP_03).shown_by(format!("{packets} packets of known SAs failed the integrity check"));
    // What is later than the window is tried with the next high half of its number, and fails (RFC 4303 §A2.1).
    let live = evidence.live.iter().flat_map(|live| &live.connections).flat_map(|one| &one.children);
    let mut esn = live.filter(|child| child.suite.as_deref().is_some_and(|suite| suite.ends_with("-esn")));
    let late = esn.any(|child| child.packets_in.is_some_and(|received| received > packets));
    let finding = if late {
        let line = "most packets pass; with extended sequence numbers those later than the replay window fail like this, too (ESP-04)";
        finding.confidence(Confidence::Likely).shown_by(line)
    } else {
        finding
    };
    Some(of_the_only_tunnel(evidence, finding))
}

fn told_of_truncation(evidence: &Evidence) -> bool {
    evidence.events.iter().any(|event| event.event == "truncation_differs")
}

/// The newest word of the peer's length, unless the tunnel was set up anew since.
fn truncation_event<'e>(tunnel: &Tunnel<'e>) -> Option<&'e Event> {
    let of_interest = |event: &&&Event| matches!(event.event.as_str(), "truncation_differs" | "ike_sa_up");
    tunnel.events.iter().rev().find(of_interest).copied().filter(|event| event.event == "truncation_differs")
}

fn truncation(tunnel: &Tunnel<'_>) -> Option<Finding> {
    let event = truncation_event(tunnel)?;
    let bits = |name: &str| event.field(name).unwrap_or("?").to_owned();
    let fix = if event.field("theirs") == Some("96") {
        "set sha256_96 = true in the child, or update the peer (RFC 4868 has 128 bits)"
    } else {
        "take sha256_96 = true out of the child"
    };
    Some(
        Finding::new(ESP_03)
            .of(tunnel.name)
            .shown_by(format!("at {}: {}", event.time.as_deref().unwrap_or("?"), event.message))
            .shown_by(format!("HMAC-SHA2-256 cut to {} bits here, to {} at the peer", bits("ours"), bits("theirs")))
            .fix(fix),
    )
}

pub(super) fn unknown_spi(evidence: &Evidence) -> Option<Finding> {
    let packets = evidence.drops("no_sa");
    let notified = |event: &&Event| {
        event.event == "peer_notified"
            && event.field("notify").is_some_and(|name| name.replace('-', "_") == "INVALID_SPI")
    };
    if let Some(event) = evidence.events.iter().rev().find(notified).filter(|_| !any_up(evidence)) {
        let finding =
            Finding::new(ESP_05).shown_by(format!("at {}: {}", event.time.as_deref().unwrap_or("?"), event.message));
        return Some(of_the_only_tunnel(evidence, finding));
    }
    // After a rekey some come late; a tunnel that is down and is sent to is another matter.
    let live = evidence.live.as_ref()?;
    let down =
        live.connections.iter().find(|connection| connection.state == "down" || connection.state == "negotiating");
    let down = down.filter(|_| packets >= 3)?;
    let started = live.gateway.started.as_deref();
    let finding = Finding::new(ESP_05)
        .confidence(Confidence::Likely)
        .shown_by(format!(
            "{packets} packets came for SAs that this gateway does not have, and {} is {}",
            down.name, down.state
        ))
        .shown_by_all(started.map(|at| format!("this gateway started at {at}")));
    Some(of_the_only_tunnel(evidence, finding))
}

pub(super) fn replays(evidence: &Evidence) -> Option<Finding> {
    let packets = evidence.drops("replay");
    if packets < REPLAYS {
        return None;
    }
    let children = evidence.configuration.iter().flat_map(|all| &all.connections).flat_map(|one| &one.children);
    let windows: Vec<String> =
        children.filter_map(|child| Some(format!("{}: {}", child.name, child.replay_window?))).take(4).collect();
    let finding = Finding::new(ESP_04)
        .confidence(Confidence::Likely)
        .shown_by(format!("{packets} packets were dropped as replays or as too late"))
        .shown_by_all((!windows.is_empty()).then(|| format!("replay_window of {}", windows.join(", "))));
    Some(of_the_only_tunnel(evidence, finding))
}

pub(super) fn outside_selectors(evidence: &Evidence) -> Option<Finding> {
    let (out, inbound) = (evidence.drops("policy"), evidence.drops("selector"));
    if out + inbound < FEW || !any_up(evidence) || super::nat::rewriting_rule(evidence).is_some() {
        return None;
    }
    let out = (out > 0).then(|| format!("{out} packets to be sent matched no policy"));
    let inbound = (inbound > 0).then(|| format!("{inbound} packets received were outside their SA's selectors"));
    let finding = Finding::new(ESP_06).confidence(Confidence::Likely).shown_by_all(out).shown_by_all(inbound);
    Some(of_the_only_tunnel(evidence, finding))
}

/// The children on which we send and hear nothing.
fn one_way<'e>(tunnel: &Tunnel<'e>) -> Option<&'e LiveChild> {
    let live = tunnel.live?;
    let silent = |child: &&LiveChild| {
        child.state == "up" && child.packets_out.is_some_and(|packets| packets >= SENT) && child.packets_in == Some(0)
    };
    live.children.iter().find(silent)
}

/// The same child at the far end.
fn far_child<'e>(tunnel: &Tunnel<'e>, ours: &LiveChild) -> Option<&'e LiveChild> {
    let (_, far) = tunnel.far()?;
    far?.children.iter().find(|theirs| theirs.spi_in.is_some() && theirs.spi_in == ours.spi_out)
}

fn traffic(child: &LiveChild) -> String {
    let number = |value: Option<u64>| value.map_or_else(|| "?".to_owned(), |value| value.to_string());
    format!(
        "{} packets out, {} in, since {}",
        number(child.packets_out),
        number(child.packets_in),
        child.installed_at.as_deref().unwrap_or("?")
    )
}

fn peer_does_not_send(tunnel: &Tunnel<'_>) -> Option<Finding> {
    let ours = one_way(tunnel)?;
    let theirs = far_child(tunnel, ours)?;
    let received = theirs.packets_in.is_some_and(|packets| packets > 0) && theirs.packets_out == Some(0);
    received.then(|| {
        Finding::new(ESP_02)
            .of(tunnel.name)
            .shown_by(format!("here, {}: {}", ours.name, traffic(ours)))
            .shown_by(format!("there, {}: {}", theirs.name, traffic(theirs)))
    })
}

fn nothing_comes_back(tunnel: &Tunnel<'_>) -> Option<Finding> {
    let ours = one_way(tunnel)?;
    // Something comes back, and is dropped here for a reason that has its own code.
    let dropped = ["authentication", "malformed", "next_header", "selector"];
    let arrives = dropped.iter().any(|reason| tunnel.evidence.drops(reason) >= FEW);
    let explained = super::routing::asymmetric(tunnel).is_some() || peer_does_not_send(tunnel).is_some();
    if arrives || explained || truncation_event(tunnel).is_some() {
        return None;
    }
    let theirs = far_child(tunnel, ours);
    let confidence = if theirs.is_some() { Confidence::Certain } else { Confidence::Likely };
    let finding = Finding::new(ESP_01)
        .of(tunnel.name)
        .confidence(confidence)
        .shown_by(format!("{}: {}", ours.name, traffic(ours)))
        .shown_by_all(theirs.map(|theirs| format!("at the far end: {}", traffic(theirs))));
    Some(match ours.encapsulation.as_deref() {
        Some("udp") => finding.shown_by("ESP goes in UDP 4500, as IKE does").fix(
            "IKE passes on UDP 4500 and ESP does not: a filter looks inside; else the other side has no route back (ESP-02)",
        ),
        Some(_) => finding.shown_by("ESP goes as IP protocol 50, of which filters often know nothing"),
        None => finding,
    })
}
