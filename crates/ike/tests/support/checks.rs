//! What must hold between two ends after every step, and when all is quiet.

use super::end::End;
use ike::config::{ChildName, Version};
use ike::event::{DownReason, Event};
use sim::NodeId;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// What was found wrong, in words.
pub type Violation = String;

/// Requests that may wait at one IKE SA: more would be a queue without bound.
const WAITING: usize = 32;

/// IKEv1: what one end sends may go to an SA that the other one has no more, for a DELETE is not repeated. Longest time of
/// that, repair included.
const LONGEST_GAP: Duration = Duration::from_secs(30);

/// Since when a direction of a child is one that nobody hears (IKEv1), by sender.
#[derive(Clone, Default, Debug)]
pub struct Gaps {
    since: BTreeMap<(usize, ChildName), Instant>,
    /// The longest one so far.
    pub longest: Duration,
}

impl Gaps {
    /// Notes whether a direction is heard; how long it is not.
    fn note(&mut self, sender: usize, name: &ChildName, heard: bool, now: Instant) -> Duration {
        let key = (sender, name.clone());
        let begun = if heard { self.since.remove(&key) } else { Some(*self.since.entry(key).or_insert(now)) };
        let gap = begun.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        self.longest = self.longest.max(gap);
        gap
    }
}

/// As [`agreement`], for an end that may speak IKEv1: there a direction may be unheard for a while.
pub fn agreement_in_time(ends: &[End], now: Instant, disturbed: bool, gaps: &mut Gaps) -> Result<(), Violation> {
    let version = ends.iter().flat_map(|end| end.endpoint.sas()).map(|sa| sa.version()).next();
    if version == Some(Version::V2) {
        return agreement(ends, now, disturbed);
    }
    agreement(ends, now, true)?;
    let [a, b] = ends else { return Ok(()) };
    if disturbed {
        return Ok(());
    }
    for (from, to, sender) in [(a, b, 0), (b, a, 1)] {
        for ((_, name), id) in from.plane.current() {
            let Some(child) = from.plane.children.get(&id) else { continue };
            let heard = to.plane.inbound(child.spis.outbound.get(), now).is_some();
            let gap = gaps.note(sender, &name, heard, now);
            if gap > LONGEST_GAP {
                return Err(format!("end {sender} sends {name} to nobody for {gap:?}"));
            }
        }
    }
    Ok(())
}

/// After every step: no output was nonsense, nobody says the other one broke a rule, queues are short, and what one end
/// sends on the other end can open, unless an exchange that will make it so is under way.
pub fn agreement(ends: &[End], now: Instant, disturbed: bool) -> Result<(), Violation> {
    for (index, end) in ends.iter().enumerate() {
        if let Some(broken) = &end.broken {
            return Err(format!("end {index}: {broken}"));
        }
        if let Some((_, event)) = end.events.back()
            && blames_the_peer(event)
        {
            return Err(format!("end {index} blames its peer: {event:?}"));
        }
        if let Some(sa) = end.endpoint.sas().find(|sa| sa.waiting() > WAITING) {
            return Err(format!("end {index}: {} requests wait at {}", sa.waiting(), sa.local_spi()));
        }
    }
    let [a, b] = ends else { return Ok(()) };
    let busy = [a, b].into_iter().any(|end| end.endpoint.sas().any(|sa| sa.is_waiting()));
    for (from, to, sender) in [(a, b, 0), (b, a, 1)] {
        for ((_, name), id) in from.plane.current() {
            let Some(child) = from.plane.children.get(&id) else { continue };
            match to.plane.inbound(child.spis.outbound.get(), now) {
                Some(key) if key == child.outbound_key => {}
                Some(_) => return Err(format!("end {sender} sends {name} with other keys than its peer expects")),
                None if disturbed || busy => {}
                None => return Err(format!("end {sender} sends {name} on an SPI its peer does not have")),
            }
        }
    }
    Ok(())
}

fn blames_the_peer(event: &Event) -> bool {
    let reason = match event {
        Event::IkeSaDown { reason, .. }
        | Event::ConnectFailed { reason, .. }
        | Event::Rejected { reason, .. }
        | Event::ChildSaDown { reason, .. }
        | Event::ChildFailed { reason, .. } => reason,
        _ => return false,
    };
    matches!(reason, DownReason::Misbehaved(_) | DownReason::Crypto(_))
}

/// When all is quiet: one IKE SA, one child per configured name, the same ones at both ends, and no SPI held by nobody.
pub fn converged(ends: &[End], children: usize) -> Result<(), Violation> {
    let [a, b] = ends else { return Ok(()) };
    for (index, end) in ends.iter().enumerate() {
        let sas: Vec<_> = end.endpoint.sas().collect();
        let [sa] = sas.as_slice() else {
            return Err(format!("end {index} has {} IKE SAs: {sas:#?}", sas.len()));
        };
        if !sa.is_established() {
            return Err(format!("end {index}: its IKE SA is not established: {sa:#?}"));
        }
        let names: std::collections::BTreeSet<_> = sa.children().map(|child| child.name.clone()).collect();
        let count = sa.children().count();
        if count != children || names.len() != children || end.plane.children.len() != children {
            let installed = end.plane.children.len();
            return Err(format!("end {index}: {count} children, {installed} installed, not {children}: {sa:#?}"));
        }
        let current = end.plane.current();
        if current.len() != children {
            return Err(format!("end {index} sends on {} children, not {children}", current.len()));
        }
        if end.endpoint.spis_in_use() != (1, children) {
            return Err(format!("end {index}: SPIs leak: {:?} in use", end.endpoint.spis_in_use()));
        }
    }
    let pairs = |end: &End, swap: bool| -> Vec<_> {
        let sas = end.endpoint.sas();
        let mut pairs: Vec<_> = sas
            .flat_map(|sa| sa.children().map(|child| child.spis).collect::<Vec<_>>())
            .map(|pair| if swap { pair.swapped() } else { pair })
            .collect();
        pairs.sort();
        pairs
    };
    if pairs(a, false) != pairs(b, true) {
        return Err("the two ends have different children".to_owned());
    }
    let ike = |end: &End| end.endpoint.sas().map(|sa| (sa.local_spi(), sa.remote_spi())).next();
    match (ike(a), ike(b)) {
        (Some((a1, a2)), Some((b1, b2))) if a1 == b2 && a2 == b1 => Ok(()),
        _ => Err("the two ends have different IKE SAs".to_owned()),
    }
}

/// The name of an end in messages.
pub fn end_name(node: NodeId) -> &'static str {
    if node.0 == 0 { "A" } else { "B" }
}
