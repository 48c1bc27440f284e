//! The IKE SA: what the peer answered, and what ended it.

use super::TunnelRule;
use crate::catalogue::*;
use crate::evidence::{Event, Evidence};
use crate::finding::{Confidence, Finding};
use crate::tunnel::{Stage, Trouble, Tunnel};

pub(super) const TUNNEL: &[TunnelRule] = &[
    versions,
    modes,
    groups,
    proposals,
    identity,
    key,
    unsupported,
    half_open,
    replaced,
    dead_peer,
    peer_closed,
    other_refusal,
    collisions,
    lifetimes,
];

/// Collisions in the log that are more than bad luck.
const COLLISIONS: usize = 2;

pub(super) fn cookies(evidence: &Evidence) -> Option<Finding> {
    let last = evidence.events.iter().rev().find(|event| event.event.starts_with("cookies_"))?;
    let half_open = evidence.live.as_ref().and_then(|live| live.gateway.half_open);
    (last.event == "cookies_on").then(|| {
        Finding::new(IKE_09)
            .advice()
            .shown_by(format!("since {}: {}", last.time.as_deref().unwrap_or("?"), last.message))
            .shown_by_all(half_open.map(|count| format!("{count} half-open IKE SAs now")))
    })
}

/// The name of a notify in either version's spelling.
fn notify_is(trouble: &Trouble<'_>, name: &str) -> bool {
    trouble.notify().replace('-', "_") == name
}

/// A trouble of the IKE SA of a tunnel that is not up.
fn trouble_of<'t, 'e>(tunnel: &'t Tunnel<'e>, is: impl Fn(&Trouble<'_>) -> bool) -> Option<&'t Trouble<'e>> {
    if tunnel.is_up() { None } else { tunnel.of_ike(is) }
}

/// The far end's reason among these, where its evidence is at hand: the end that refuses knows why.
fn reason_at_the_far_end<'e>(tunnel: &Tunnel<'e>, reasons: &[&str]) -> Option<&'e Event> {
    let (far, _) = tunnel.far()?;
    far.events.iter().rev().find(|event| event.reason.as_deref().is_some_and(|reason| reasons.contains(&reason)))
}

/// What the far end says of it, as lines of evidence.
fn with_far(finding: Finding, event: &Event) -> Finding {
    let at = event.time.as_deref().unwrap_or("?");
    let values = event.fields.iter().filter(|(name, _)| name.as_str() != "remote");
    let finding = finding.shown_by(format!("seen at the far end at {at}: {}", event.message));
    finding.shown_by_all(values.map(|(name, value)| format!("there: {name} {value}")))
}

fn versions(tunnel: &Tunnel<'_>) -> Option<Finding> {
    let differ =
        |trouble: &Trouble<'_>| trouble.reason == "version_mismatch" || notify_is(trouble, "INVALID_MAJOR_VERSION");
    let configured = tunnel.config.and_then(|config| config.versions.as_deref());
    let configured = configured.map(|word| format!("ike_version here: {word}"));
    if let Some(trouble) = trouble_of(tunnel, differ) {
        return Some(trouble.finding(IKE_01, tunnel).shown_by_all(configured));
    }
    // Some answer the other version with an error of their own, or with silence.
    let far = reason_at_the_far_end(tunnel, &["version_mismatch"])?;
    let trouble = trouble_of(tunnel, |trouble| matches!(trouble.reason, "refused" | "no_answer"))?;
    Some(with_far(trouble.finding(IKE_01, tunnel), far).shown_by_all(configured))
}

fn modes(tunnel: &Tunnel<'_>) -> Option<Finding> {
    trouble_of(tunnel, |trouble| trouble.reason == "mode_mismatch").map(|trouble| trouble.finding(IKE_07, tunnel))
}

fn groups(tunnel: &Tunnel<'_>) -> Option<Finding> {
    let refused = |trouble: &Trouble<'_>| notify_is(trouble, "INVALID_KE_PAYLOAD") && trouble.stage() != Stage::Child;
    let finding = trouble_of(tunnel, refused)?.finding(IKE_03, tunnel);
    Some(finding.shown_by_all(offers(tunnel)))
}

/// What the configuration offers for IKE.
fn offers(tunnel: &Tunnel<'_>) -> Option<String> {
    let offers = &tunnel.config?.ike_proposals;
    (!offers.is_empty()).then(|| format!("we offer {}", offers.join(" | ")))
}

fn proposals(tunnel: &Tunnel<'_>) -> Option<Finding> {
    let differ = |trouble: &Trouble<'_>| {
        let refused = notify_is(trouble, "NO_PROPOSAL_CHOSEN") && trouble.stage() != Stage::Child;
        let other = trouble.reason == "crypto" && trouble.message.contains("does not allow");
        refused || other || trouble.reason == "no_proposal_chosen"
    };
    let trouble = trouble_of(tunnel, differ)?;
    let finding = trouble.finding(IKE_02, tunnel);
    let far = reason_at_the_far_end(tunnel, &["no_proposal_chosen"]);
    Some(match far {
        Some(event) => with_far(finding, event),
        None if trouble.detail("offered").is_some() || trouble.detail("ours").is_some() => finding,
        None => finding.shown_by_all(offers(tunnel)),
    })
}

/// The peer refuses our authentication: its reason is in its own log.
fn authentication_refused<'t, 'e>(tunnel: &'t Tunnel<'e>) -> Option<&'t Trouble<'e>> {
    trouble_of(tunnel, |trouble| notify_is(trouble, "AUTHENTICATION_FAILED"))
}

fn identity(tunnel: &Tunnel<'_>) -> Option<Finding> {
    let differs = |trouble: &Trouble<'_>| {
        matches!(trouble.reason, "identity_mismatch" | "wrong_responder")
            || notify_is(trouble, "INVALID_ID_INFORMATION") && trouble.stage() != Stage::Child
    };
    if let Some(trouble) = trouble_of(tunnel, differs) {
        return Some(trouble.finding(IKE_05, tunnel));
    }
    let trouble = authentication_refused(tunnel)?;
    let far = reason_at_the_far_end(tunnel, &["identity_mismatch", "wrong_responder"])?;
    Some(with_far(trouble.finding(IKE_05, tunnel), far))
}

fn key(tunnel: &Tunnel<'_>) -> Option<Finding> {
    if let Some(trouble) = trouble_of(tunnel, |trouble| trouble.reason == "psk_mismatch") {
        return Some(trouble.finding(IKE_04, tunnel));
    }
    if identity(tunnel).is_some() {
        return None;
    }
    if let Some(trouble) = authentication_refused(tunnel) {
        let finding = trouble.finding(IKE_04, tunnel);
        return Some(match reason_at_the_far_end(tunnel, &["psk_mismatch"]) {
            Some(far) => with_far(finding, far),
            None => finding.confidence(Confidence::Likely).shown_by(
                "the peer does not say whether the key or the name is wrong; if the keys are the same, see IKE-05",
            ),
        });
    }
    // Whoever cannot read the fifth message may say nothing at all (RFC 2409 §5.4).
    let silent = |trouble: &Trouble<'_>| {
        trouble.reason == "no_answer" && trouble.detail("exchange") == Some("message 5 of main mode")
    };
    let trouble = trouble_of(tunnel, silent)?;
    Some(trouble.finding(IKE_04, tunnel).confidence(Confidence::Possible))
}

fn unsupported(tunnel: &Tunnel<'_>) -> Option<Finding> {
    let trouble = trouble_of(tunnel, |trouble| trouble.reason == "unsupported")?;
    Some(trouble.finding(IKE_16, tunnel).shown_by_all(trouble.detail("remedy")))
}

/// The peer began, was answered, and did not go on.
fn half_open(tunnel: &Tunnel<'_>) -> Option<Finding> {
    let stopped = |trouble: &Trouble<'_>| trouble.kind == "rejected" && trouble.reason == "no_answer";
    let trouble = trouble_of(tunnel, stopped)?;
    let count = tunnel.evidence.live.as_ref().and_then(|live| live.gateway.half_open);
    let finding = trouble.finding(IKE_08, tunnel).confidence(Confidence::Likely);
    Some(finding.shown_by_all(count.map(|count| format!("{count} half-open IKE SAs now"))))
}

/// What ended it, when it was up.
fn ended<'t, 'e>(tunnel: &'t Tunnel<'e>) -> Option<&'t Trouble<'e>> {
    tunnel
        .troubles
        .iter()
        .find(|trouble| trouble.kind == "ike_sa_down" && trouble.reason != "administrative")
        .filter(|_| !tunnel.is_up())
}

fn of_liveness(trouble: &Trouble<'_>) -> bool {
    trouble.reason == "no_answer" && (trouble.kind == "ike_sa_down" || trouble.stage() == Stage::Liveness)
}

fn replaced(tunnel: &Tunnel<'_>) -> Option<Finding> {
    let v1 = tunnel.config?.versions.as_deref() == Some("ikev1");
    let trouble = ended(tunnel).or_else(|| tunnel.of_child(of_liveness)).or_else(|| tunnel.of_ike(of_liveness));
    let trouble = trouble.filter(|_| v1 && tunnel.only_answers() && !tunnel.is_up())?;
    let finding = trouble.finding(IKE_14, tunnel).confidence(Confidence::Likely);
    Some(finding.shown_by("ike_version = \"ikev1\" and start = \"passive\": this side waits to be called"))
}

fn dead_peer(tunnel: &Tunnel<'_>) -> Option<Finding> {
    if replaced(tunnel).is_some() || tunnel.is_up() {
        return None;
    }
    let trouble = ended(tunnel).filter(|trouble| of_liveness(trouble));
    let trouble = trouble.or_else(|| tunnel.troubles.iter().find(|trouble| of_liveness(trouble)))?;
    let config = tunnel.config;
    let checks = config.and_then(|config| Some((config.dpd_interval_seconds?, config.dpd_timeout_seconds?)));
    let heard = tunnel.live.and_then(|live| live.children.iter().filter_map(|child| child.last_in.as_deref()).max());
    Some(
        trouble
            .finding(IKE_10, tunnel)
            .shown_by_all(
                checks.map(|(after, timeout)| format!("asked after {after} s of silence, given up after {timeout} s")),
            )
            .shown_by_all(heard.map(|at| format!("last heard at {at}"))),
    )
}

fn peer_closed(tunnel: &Tunnel<'_>) -> Option<Finding> {
    if tunnel.is_up() || replaced(tunnel).is_some() {
        return None;
    }
    let deleted = |trouble: &&Trouble<'_>| trouble.reason == "peer_deleted";
    tunnel.troubles.iter().find(deleted).map(|trouble| trouble.finding(IKE_11, tunnel))
}

/// Notifies that have a code of their own.
const NAMED: [&str; 6] = [
    "NO_PROPOSAL_CHOSEN",
    "INVALID_KE_PAYLOAD",
    "AUTHENTICATION_FAILED",
    "INVALID_MAJOR_VERSION",
    "INVALID_ID_INFORMATION",
    "TS_UNACCEPTABLE",
];

fn other_refusal(tunnel: &Tunnel<'_>) -> Option<Finding> {
    let other = |trouble: &Trouble<'_>| {
        let unnamed = trouble.reason == "refused" && !NAMED.iter().any(|name| notify_is(trouble, name));
        let foreign = trouble.reason == "crypto" && !trouble.message.contains("does not allow");
        (unnamed && trouble.stage() != Stage::Child) || foreign || trouble.reason == "misbehaved"
    };
    trouble_of(tunnel, other).map(|trouble| trouble.finding(IKE_15, tunnel).confidence(Confidence::Likely))
}

/// Moments in which both ends replaced the same SA.
fn collisions_of<'e>(tunnel: &Tunnel<'e>) -> Vec<&'e Event> {
    let rekeyed = |event: &&&Event| matches!(event.event.as_str(), "child_sa_rekeyed" | "ike_sa_rekeyed");
    let rekeys: Vec<&Event> = tunnel.events.iter().filter(rekeyed).copied().collect();
    let at = |event: &Event| Evidence::seconds(event.time.as_deref());
    let together = |pair: &&[&Event]| match pair {
        [a, b] => {
            let near = at(a).zip(at(b)).is_some_and(|(a, b)| a.abs_diff(b) <= 1);
            near && a.event == b.event && a.child == b.child
        }
        _ => false,
    };
    let mut found: Vec<&Event> = rekeys.windows(2).filter(together).filter_map(|pair| pair.last().copied()).collect();
    found.extend(tunnel.events.iter().filter(|event| event.reason.as_deref() == Some("redundant")));
    found
}

fn collisions(tunnel: &Tunnel<'_>) -> Option<Finding> {
    let found = collisions_of(tunnel);
    if found.len() < COLLISIONS {
        return None;
    }
    let times: Vec<&str> = found.iter().rev().take(3).filter_map(|event| event.time.as_deref()).collect();
    let line = format!("{} times both ends replaced an SA at once, last at {}", found.len(), times.join(", "));
    Some(Finding::new(IKE_12).of(tunnel.name).advice().confidence(Confidence::Likely).shown_by(line))
}

fn lifetimes(tunnel: &Tunnel<'_>) -> Option<Finding> {
    if let Some(trouble) = tunnel.troubles.iter().find(|trouble| trouble.reason == "expired") {
        // A rekey that was refused says why it ended.
        let refused = tunnel.troubles.iter().any(|trouble| trouble.detail("rekey") == Some("true"));
        return (!tunnel.is_up() && !refused).then(|| with_lifetimes(trouble.finding(IKE_13, tunnel), tunnel));
    }
    let event = tunnel.events_of("lifetime_differs").next()?;
    let values = ["ours", "theirs"].into_iter().filter_map(|name| Some(format!("{name} {}", event.field(name)?)));
    let finding = Finding::new(IKE_13).of(tunnel.name).advice();
    Some(
        finding
            .shown_by(format!("at {}: {}", event.time.as_deref().unwrap_or("?"), event.message))
            .shown_by_all(values),
    )
}

fn with_lifetimes(finding: Finding, tunnel: &Tunnel<'_>) -> Finding {
    let Some(config) = tunnel.config else { return finding };
    let seconds = |value: Option<u64>| value.map_or_else(|| "for ever".to_owned(), |value| format!("{value} s"));
    let children = config.children.iter().map(|child| format!("{} {}", child.name, seconds(child.lifetime_seconds)));
    let children: Vec<String> = children.collect();
    let ike = seconds(config.ike_lifetime_seconds);
    finding.shown_by(format!("lifetimes here: IKE SA {ike}, {}", children.join(", ")))
}
