//! The child SA: what the peer answered to our request for one, or we to the peer's.

use super::TunnelRule;
use crate::catalogue::*;
use crate::evidence::{Event, Evidence};
use crate::finding::{Confidence, Finding};
use crate::tunnel::{Stage, Trouble, Tunnel};

pub(super) const TUNNEL: &[TunnelRule] =
    &[modes, forward_secrecy, proposals, selectors, flapping, other_refusal, idle, narrowed];

/// New SAs of one child in the log that are more than rekeys.
const RENEWALS: usize = 5;
/// Seconds between them below which nobody meant that.
const HASTE: u64 = 20;

fn notify_is(trouble: &Trouble<'_>, name: &str) -> bool {
    trouble.notify().replace('-', "_") == name
}

fn of_algorithms(trouble: &Trouble<'_>) -> bool {
    trouble.reason == "no_proposal_chosen" || notify_is(trouble, "NO_PROPOSAL_CHOSEN")
}

fn is_rekey(trouble: &Trouble<'_>) -> bool {
    trouble.detail("rekey") == Some("true")
        || trouble.detail("exchange").is_some_and(|name| name.contains("child rekey"))
}

/// A trouble of a child: of an IKE SA that is up, or in an exchange that is a child's.
fn trouble_of<'t, 'e>(tunnel: &'t Tunnel<'e>, is: impl Fn(&Trouble<'_>) -> bool) -> Option<&'t Trouble<'e>> {
    tunnel.troubles.iter().find(|trouble| (trouble.of_child || trouble.stage() == Stage::Child) && is(trouble))
}

/// What the configuration offers for the children.
fn offers(tunnel: &Tunnel<'_>) -> Vec<String> {
    let children = tunnel.config.map(|config| config.children.as_slice()).unwrap_or_default();
    children.iter().map(|child| format!("{} offers {}", child.name, child.proposals.join(" | "))).collect()
}

/// Which of our algorithms and the peer's differ, as far as this end or the far one knows.
fn differs<'e>(tunnel: &Tunnel<'e>, trouble: &Trouble<'e>) -> Option<&'e str> {
    let there = || {
        let (far, _) = tunnel.far()?;
        let of_algorithms = |event: &&Event| event.reason.as_deref() == Some("no_proposal_chosen");
        far.events.iter().rev().find(of_algorithms)?.field("differs")
    };
    trouble.detail("differs").or_else(there)
}

fn modes(tunnel: &Tunnel<'_>) -> Option<Finding> {
    if let Some(trouble) = trouble_of(tunnel, of_algorithms) {
        let fields = differs(tunnel, trouble)?;
        let only = fields.split(',').all(|field| matches!(field, "esn" | "mode"));
        return only.then(|| trouble.finding(CHD_05, tunnel).shown_by_all(offers(tunnel)));
    }
    let packets = tunnel.evidence.drops("next_header");
    (packets > 0 && tunnel.is_up()).then(|| {
        Finding::new(CHD_05)
            .of(tunnel.name)
            .confidence(Confidence::Likely)
            .shown_by(format!("{packets} authentic packets carried no tunnelled IP packet: a peer in transport mode"))
    })
}

fn forward_secrecy(tunnel: &Tunnel<'_>) -> Option<Finding> {
    let refused = |trouble: &Trouble<'_>| {
        is_rekey(trouble) && (of_algorithms(trouble) || notify_is(trouble, "INVALID_KE_PAYLOAD"))
    };
    let trouble = trouble_of(tunnel, refused)?;
    let fields = differs(tunnel, trouble);
    let certain = fields.is_some_and(|fields| fields == "dh_group");
    let finding = trouble.finding(CHD_02, tunnel).shown_by("the first child came up; its rekey was refused");
    let finding = finding.shown_by_all(offers(tunnel));
    Some(if certain { finding } else { finding.confidence(Confidence::Likely) })
}

fn proposals(tunnel: &Tunnel<'_>) -> Option<Finding> {
    let trouble = trouble_of(tunnel, |trouble| of_algorithms(trouble) && !is_rekey(trouble))?;
    if modes(tunnel).is_some() {
        return None;
    }
    let finding = trouble.finding(CHD_01, tunnel);
    let named = trouble.detail("ours").is_some() || trouble.detail("offered").is_some();
    Some(if named { finding } else { finding.shown_by_all(offers(tunnel)) })
}

fn selectors(tunnel: &Tunnel<'_>) -> Option<Finding> {
    let differ = |trouble: &Trouble<'_>| {
        trouble.reason == "traffic_selectors"
            || notify_is(trouble, "TS_UNACCEPTABLE")
            || (notify_is(trouble, "INVALID_ID_INFORMATION") && trouble.stage() == Stage::Child)
    };
    let trouble = trouble_of(tunnel, differ)?;
    let children = tunnel.config.map(|config| config.children.as_slice()).unwrap_or_default();
    let pair = |child: &crate::evidence::ChildConfig| {
        format!("{}: {} here, {} there", child.name, child.local.join(", "), child.remote.join(", "))
    };
    Some(trouble.finding(CHD_03, tunnel).shown_by_all(children.iter().map(pair)))
}

fn flapping(tunnel: &Tunnel<'_>) -> Option<Finding> {
    if let Some(trouble) = trouble_of(tunnel, |trouble| notify_is(trouble, "SINGLE_PAIR_REQUIRED")) {
        return Some(trouble.finding(CHD_04, tunnel).fix("set split_selectors = true in the child"));
    }
    let renewed = |event: &&&Event| matches!(event.event.as_str(), "child_sa_up" | "child_sa_rekeyed");
    let newest: Vec<&&Event> = tunnel.events.iter().rev().filter(renewed).collect();
    let child = newest.first()?.child.as_deref();
    let of_one: Vec<&&Event> =
        newest.into_iter().filter(|event| event.child.as_deref() == child).take(RENEWALS).collect();
    if of_one.len() < RENEWALS {
        return None;
    }
    let time = |event: Option<&&&Event>| event.and_then(|event| Evidence::seconds(event.time.as_deref()));
    let span = time(of_one.first())?.checked_sub(time(of_one.last())?)?;
    let steps = u64::try_from(RENEWALS - 1).unwrap_or(1);
    (span / steps < HASTE).then(|| {
        let line = format!("{RENEWALS} new SAs of {} within {span} s", child.unwrap_or("one child"));
        let lifetime = tunnel.config.and_then(|config| {
            let config = config.children.iter().find(|one| Some(one.name.as_str()) == child)?;
            Some(format!("its lifetime here: {} s", config.lifetime_seconds?))
        });
        Finding::new(CHD_04).of(tunnel.name).confidence(Confidence::Likely).shown_by(line).shown_by_all(lifetime)
    })
}

fn other_refusal(tunnel: &Tunnel<'_>) -> Option<Finding> {
    const NAMED: [&str; 5] = [
        "NO_PROPOSAL_CHOSEN",
        "INVALID_KE_PAYLOAD",
        "TS_UNACCEPTABLE",
        "INVALID_ID_INFORMATION",
        "SINGLE_PAIR_REQUIRED",
    ];
    let other = |trouble: &Trouble<'_>| match trouble.reason {
        "refused" => !NAMED.iter().any(|name| notify_is(trouble, name)),
        "no_answer" => trouble.stage() == Stage::Child && trouble.kind != "ike_sa_down",
        "misbehaved" | "crypto" => true,
        _ => false,
    };
    let trouble = trouble_of(tunnel, other).filter(|_| !tunnel.is_up())?;
    Some(trouble.finding(CHD_08, tunnel).confidence(Confidence::Likely))
}

fn idle(tunnel: &Tunnel<'_>) -> Option<Finding> {
    let live = tunnel.live.filter(|live| live.state == "down" && !tunnel.only_answers())?;
    let waiting = live
        .children
        .iter()
        .filter(|child| child.state != "up")
        .all(|child| child.reason.as_ref().is_some_and(|reason| reason.code == "idle"));
    (waiting && !live.children.is_empty()).then(|| {
        let start = tunnel.config.map(|config| {
            let words =
                config.children.iter().filter_map(|child| Some(format!("{}: {}", child.name, child.start.as_deref()?)));
            format!("start of {}", words.collect::<Vec<_>>().join(", "))
        });
        Finding::new(CHD_06).of(tunnel.name).advice().shown_by("no packet has asked for it").shown_by_all(start)
    })
}

fn narrowed(tunnel: &Tunnel<'_>) -> Option<Finding> {
    let event = tunnel.events_of("narrowed").next()?;
    let values = [("asked", "we asked for"), ("granted", "the peer granted")];
    let values = values.into_iter().filter_map(|(name, words)| Some(format!("{words} {}", event.field(name)?)));
    let at = event.time.as_deref().unwrap_or("?");
    let finding = Finding::new(CHD_07)
        .of(tunnel.name)
        .advice()
        .shown_by(format!("at {at}, {}", event.child.as_deref().unwrap_or("a child")));
    Some(finding.shown_by_all(values))
}
