//! The virtual clock: time that moves only when the simulation says so.

use std::time::{Duration, Instant};

/// A clock that never looks at the machine's: it starts at an [`Instant`] the caller gives and moves when told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    start: Instant,
    now: Instant,
}

impl Clock {
    /// A clock that reads `start` until it is moved.
    #[must_use]
    pub fn starting_at(start: Instant) -> Self {
        Self { start, now: start }
    }

    /// The instant this clock started at.
    #[must_use]
    pub fn start(&self) -> Instant {
        self.start
    }

    /// The simulated present.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Simulated time since the start.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.now.saturating_duration_since(self.start)
    }

    /// Moves forward by `by`.
    pub fn advance(&mut self, by: Duration) {
        if let Some(later) = self.now.checked_add(by) {
            self.now = later;
        }
    }

    /// Moves forward to `at`; an instant in the past leaves the clock where it is, for time never runs backwards.
    pub fn advance_to(&mut self, at: Instant) {
        self.now = self.now.max(at);
    }
}
