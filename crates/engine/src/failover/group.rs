//! Which tunnels of a group carry its traffic, given how they are.

use super::watch::Health;
use crate::choice::{Choice, Tiers};
use crate::desired::{GroupMode, TunnelGroup};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long the present tunnel must have been suspect before traffic goes back to one in hold-down: where both are bad, going
/// back and forth helps nobody.
const BACK: Duration = Duration::from_secs(1);

/// A tunnel as its group sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    /// It has SAs to send on.
    pub(super) up: bool,
    pub(super) health: Health,
    /// Since when it is suspect.
    pub(super) suspect_since: Option<Instant>,
    /// Higher is preferred.
    pub(super) preference: u16,
}

/// One group.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) config: TunnelGroup,
    pub(crate) choice: Arc<Choice>,
    /// The tunnel that carries, or the most preferred of those that do.
    pub(crate) current: Option<usize>,
    pub(crate) tiers: Tiers,
    /// Times that traffic moved from one tunnel to another, and when last.
    pub(crate) moves: u64,
    pub(crate) moved: Option<Instant>,
}

fn bit(index: usize) -> u32 {
    1u32.checked_shl(u32::try_from(index).unwrap_or(u32::MAX)).unwrap_or(0)
}

fn mask<'a>(seen: &'a [Seen], wanted: impl Fn(&Seen) -> bool + 'a) -> u32 {
    seen.iter().enumerate().filter(|(_, one)| wanted(one)).fold(0, |mask, (index, _)| mask | bit(index))
}

impl Group {
    pub(super) fn new(config: TunnelGroup) -> Group {
        Group { config, choice: Arc::default(), current: None, tiers: Tiers::default(), moves: 0, moved: None }
    }

    /// Chooses again. Returns the tunnel that carried and the one that does now, where that is another.
    pub(super) fn choose(&mut self, seen: &[Seen], now: Instant) -> Option<(Option<usize>, Option<usize>)> {
        let current = self.best(seen, now);
        let healthy = mask(seen, |one| one.up && one.health != Health::Suspect);
        let good = mask(seen, |one| one.up && matches!(one.health, Health::Good | Health::Asked));
        let one = current.map_or(0, bit);
        let first = match self.config.mode {
            GroupMode::ActiveStandby => one,
            // The one that is left, however it is, rather than none.
            GroupMode::ActiveActive if good == 0 => one,
            GroupMode::ActiveActive => good,
        };
        self.tiers = Tiers { first, second: healthy & !first };
        self.choice.set(self.tiers);
        let before = std::mem::replace(&mut self.current, current);
        if before == current {
            return None;
        }
        if before.is_some() && current.is_some() {
            self.moves += 1;
            self.moved = Some(now);
        }
        Some((before, current))
    }

    /// The tunnel to send on: the present one, unless another is better for a reason.
    fn best(&self, seen: &[Seen], now: Instant) -> Option<usize> {
        let is_current = |index: usize| self.current == Some(index);
        let present = self.current.and_then(|index| seen.get(index)).filter(|one| one.up);
        let going_back_is_early = present
            .and_then(|one| one.suspect_since)
            .is_some_and(|since| now.saturating_duration_since(since) < BACK);
        let rank = |index: usize, one: &Seen| match one.health {
            // Silence alone moves nothing: it has to be found suspect first.
            Health::Asked if is_current(index) => Health::Good,
            Health::Held if is_current(index) => Health::Good,
            Health::Held if going_back_is_early => Health::Suspect,
            other => other,
        };
        let candidates = seen.iter().enumerate().filter(|(_, one)| one.up);
        let key = |(index, one): &(usize, &Seen)| {
            (rank(*index, one), std::cmp::Reverse(one.preference), !is_current(*index), *index)
        };
        let (best, chosen) = candidates.min_by_key(key)?;
        // Nobody is well: what is gained by moving?
        let all_suspect = rank(best, chosen) == Health::Suspect;
        if all_suspect && present.is_some() { self.current } else { Some(best) }
    }

    /// When choosing again may have another outcome although nothing happens.
    pub(super) fn next_choice(&self, seen: &[Seen]) -> Option<Instant> {
        let since = self.current.and_then(|index| seen.get(index)).and_then(|one| one.suspect_since)?;
        let waits = seen.iter().any(|one| one.up && one.health == Health::Held);
        Some(since + BACK).filter(|_| waits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::Tunnel;
    use crate::tests::moment;

    fn group(mode: GroupMode) -> Group {
        let tunnel = |name: &str| Tunnel { peer: name.into(), preference: 100, inside: None };
        let tunnels = vec![tunnel("vpn-1"), tunnel("vpn-2"), tunnel("vpn-3")];
        Group::new(TunnelGroup { mode, tunnels, keepalive: None })
    }

    fn seen(health: Health) -> Seen {
        Seen { up: true, health, suspect_since: None, preference: 100 }
    }

    #[test]
    fn the_present_tunnel_stays_until_it_is_suspect_or_a_more_preferred_one_is_well() {
        let now = moment();
        let mut group = group(GroupMode::ActiveStandby);
        let (good, asked, held) = (seen(Health::Good), seen(Health::Asked), seen(Health::Held));
        let down = Seen { up: false, ..good };
        let suspect = Seen { suspect_since: Some(now), ..seen(Health::Suspect) };
        let better = Seen { preference: 200, ..good };
        let steps = [
            ([down, down, down], None),
            ([down, good, down], Some(1)),
            ([good, good, good], Some(1)),
            ([better, good, good], Some(0)),
            ([asked, good, good], Some(0)),
            ([suspect, asked, good], Some(2)),
            ([better, good, good], Some(0)),
            ([suspect, suspect, down], Some(0)),
            ([suspect, good, down], Some(1)),
            ([Seen { preference: 200, ..held }, good, down], Some(1)),
            ([good, down, down], Some(0)),
        ];
        for (step, (seen, expected)) in steps.into_iter().enumerate() {
            group.choose(&seen, now);
            assert_eq!(group.current, expected, "step {step}");
            assert_eq!(group.choice.order()[0], expected.map_or(0, bit), "step {step}");
        }
        assert_eq!(group.moves, 5);
    }

    #[test]
    fn traffic_goes_back_to_a_tunnel_in_hold_down_only_when_the_present_one_stays_silent() {
        let now = moment();
        let mut group = group(GroupMode::ActiveStandby);
        let (good, held) = (seen(Health::Good), seen(Health::Held));
        let down = Seen { up: false, ..good };
        let suspect = Seen { suspect_since: Some(now), ..seen(Health::Suspect) };
        group.choose(&[good, down, down], now);
        group.choose(&[suspect, held, down], now);
        assert_eq!(group.current, Some(0));
        assert_eq!(group.next_choice(&[suspect, held, down]), Some(now + BACK));
        group.choose(&[suspect, held, down], now + BACK);
        assert_eq!(group.current, Some(1));
    }

    #[test]
    fn where_all_are_active_a_suspect_leaves_and_the_last_one_stays() {
        let now = moment();
        let mut group = group(GroupMode::ActiveActive);
        let good = seen(Health::Good);
        let suspect = Seen { suspect_since: Some(now), ..seen(Health::Suspect) };
        group.choose(&[good, good, good], now);
        assert_eq!(group.tiers, Tiers { first: 0b111, second: 0 });
        group.choose(&[good, suspect, seen(Health::Held)], now);
        assert_eq!(group.tiers, Tiers { first: 0b001, second: 0b100 });
        group.choose(&[suspect, suspect, suspect], now);
        assert_eq!(group.tiers, Tiers { first: 0b001, second: 0 });
    }
}
