//! The two clocks: one that only goes forward, for everything that decides; one that people read.

use std::time::{Duration, Instant, SystemTime};

/// Reads both clocks at once and notices when the people's clock jumps or the machine slept.
#[derive(Debug)]
pub struct Clock {
    last: (Instant, SystemTime),
}

/// The time, twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// For decisions: `now` of every pure type. Stands still while the machine is suspended.
    pub now: Instant,
    /// For people and certificates; may jump.
    pub wall: SystemTime,
    /// The wall clock went this much further than the monotonic one since the last reading, when that is more than
    /// [`JUMP`]: somebody set the clock, or the machine slept.
    pub jumped_ahead: Option<Duration>,
    /// The wall clock was set back by this much, when that is more than [`JUMP`].
    pub jumped_back: Option<Duration>,
}

/// A difference between the clocks below this is drift.
pub const JUMP: Duration = Duration::from_secs(2);

impl Clock {
    /// Starts with the present.
    pub fn new() -> Self {
        Self { last: (Instant::now(), SystemTime::now()) }
    }

    /// The present.
    pub fn read(&mut self) -> Reading {
        self.compare(Instant::now(), SystemTime::now())
    }

    fn compare(&mut self, now: Instant, wall: SystemTime) -> Reading {
        let (last_now, last_wall) = self.last;
        self.last = (now, wall);
        let passed = now.saturating_duration_since(last_now);
        // A wall clock beyond what SystemTime can hold counts as not jumped.
        let expected = last_wall.checked_add(passed).unwrap_or(wall);
        let jump = |difference: Duration| (difference > JUMP).then_some(difference);
        Reading {
            now,
            wall,
            jumped_ahead: wall.duration_since(expected).ok().and_then(jump),
            jumped_back: expected.duration_since(wall).ok().and_then(jump),
        }
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jumps_are_told_from_drift_and_from_time_passing() {
        let seconds = Duration::from_secs;
        let (now, wall) = (Instant::now(), SystemTime::UNIX_EPOCH + seconds(1_000_000));
        let mut clock = Clock { last: (now, wall) };
        let mut jump = |at: u64, wall_at: u64| {
            let reading = clock.compare(now + seconds(at), wall + seconds(wall_at));
            (reading.jumped_ahead, reading.jumped_back)
        };
        assert_eq!(jump(3600, 3601), (None, None), "an hour, and a second of drift");
        assert_eq!(jump(3601, 7202), (Some(seconds(3600)), None), "set an hour ahead");
        assert_eq!(jump(3602, 3603), (None, Some(seconds(3600))), "and back");
        assert_eq!(jump(3603, 3604), (None, None), "told once");
    }
}
