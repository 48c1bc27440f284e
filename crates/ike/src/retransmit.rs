//! When a request is sent again, and when its sender gives up (RFC 7296 §2.4).

use crate::config::Retransmit;
use crypto::Rng;
use std::time::{Duration, Instant};

/// `base` plus up to `percent` of it, at random.
pub(crate) fn jittered(base: Duration, percent: u32, rng: &mut dyn Rng) -> Duration {
    let span = u64::try_from(base.as_nanos()).unwrap_or(u64::MAX / 200).saturating_mul(u64::from(percent)) / 100;
    base.saturating_add(Duration::from_nanos(if span == 0 { 0 } else { rng.below(span) }))
}

/// The retransmission clock of one outstanding request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    /// First transmission.
    pub(crate) started: Instant,
    /// When to send again.
    pub(crate) next: Instant,
    /// When to give up.
    pub(crate) deadline: Instant,
    interval: Duration,
    /// It was sent more than once.
    repeated: bool,
}

impl Schedule {
    pub(crate) fn start(policy: &Retransmit, give_up: Duration, now: Instant, rng: &mut dyn Rng) -> Schedule {
        Schedule {
            started: now,
            next: now + jittered(policy.initial, policy.jitter_percent, rng),
            deadline: now + give_up,
            interval: policy.initial,
            repeated: false,
        }
    }

    /// Moves `next` after a retransmission.
    pub(crate) fn sent_again(&mut self, policy: &Retransmit, now: Instant, rng: &mut dyn Rng) {
        self.repeated = true;
        let grown = self.interval.saturating_mul(policy.factor_percent) / 100;
        self.interval = grown.min(policy.cap);
        self.next = now + jittered(self.interval, policy.jitter_percent, rng);
    }

    /// It was sent again out of its turn.
    pub(crate) fn sent_besides(&mut self) {
        self.repeated = true;
    }

    /// How long an answer that comes now took, if it can be told.
    pub(crate) fn answered_after(&self, now: Instant) -> Option<Duration> {
        (!self.repeated).then(|| now.saturating_duration_since(self.started))
    }

    /// The next time at which something must happen.
    pub(crate) fn due(&self) -> Instant {
        self.next.min(self.deadline)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crypto::SeededRng;

    #[test]
    fn intervals_grow_to_the_cap_and_the_deadline_stands() {
        let mut rng = SeededRng::new(7);
        let policy = Retransmit { jitter_percent: 0, ..Retransmit::default() };
        let start = crate::tests_clock();
        let mut schedule = Schedule::start(&policy, policy.give_up, start, &mut rng);
        let mut sent = vec![schedule.next - start];
        for _ in 0..8 {
            let now = schedule.next;
            schedule.sent_again(&policy, now, &mut rng);
            sent.push(schedule.next - now);
        }
        assert_eq!(sent[0], Duration::from_millis(1000));
        assert_eq!(sent[1], Duration::from_millis(1800));
        assert_eq!(sent[2], Duration::from_millis(3240));
        assert_eq!(*sent.last().unwrap(), policy.cap);
        assert_eq!(schedule.due(), start + policy.give_up);
    }

    #[test]
    fn jitter_only_adds_and_stays_within_its_percentage() {
        let mut rng = SeededRng::new(3);
        let base = Duration::from_secs(10);
        for _ in 0..1000 {
            let value = jittered(base, 20, &mut rng);
            assert!(value >= base && value <= base + base / 5);
        }
    }
}
