//! What is normal for a tunnel at this hour of the week: median and spread of its bytes, packets, round-trip time and loss,
//! over the last weeks.
//!
//! ```text
//!  a value a minute ─► the hour's values ─► its median and MAD ─► the last WEEKS of that hour of the week ─► Normal
//! ```
//! Robust on purpose: one backup at an odd hour, or one outage, changes neither a median nor a median deviation. While a tunnel
//! is down nothing is learnt: what is normal is what it does when it works.

mod keep;
mod robust;

pub use keep::RestoreError;

use engine::status::{BaselineStatus, QuantityStatus};
use engine::traffic::{Observation, Totals};
use ike::config::PeerName;
use robust::Digest;
use std::collections::{BTreeMap, VecDeque};

/// Weeks that are remembered of each hour of the week.
const WEEKS: usize = 6;
/// Hours of a week.
const HOURS: u64 = 168;
/// Values that an hour must have to be remembered: a quarter of it.
const LEAST_VALUES: usize = 15;
/// Hours that must be known before anything is called normal.
const LEAST_HOURS: usize = 3;
/// Tunnels that have a baseline; of further ones none is kept (about 50 KB each after six weeks).
pub const MOST_TUNNELS: usize = 2000;
/// Between two looks at least and at most, in seconds: what is longer (a sleep, a stop) is no rate of anything.
const STEP: (f64, f64) = (20.0, 300.0);
/// Packets of a minute from which its loss is a number and no accident.
const LEAST_PACKETS: u64 = 20;
/// How many spreads from the median a value must be to be called unusual.
const UNUSUAL: f64 = 6.0;

/// What is looked at.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Quantity {
    /// Bytes of inner packets received, each second.
    BytesIn,
    /// Bytes of inner packets sent, each second.
    BytesOut,
    /// Packets received, each second.
    PacketsIn,
    /// Packets sent, each second.
    PacketsOut,
    /// Round-trip time to the peer, seconds.
    Rtt,
    /// Share of the peer's packets that did not arrive, 0 to 1.
    Loss,
}

impl Quantity {
    /// All of them, in the order in which they are kept.
    pub const ALL: [Quantity; 6] = [
        Quantity::BytesIn,
        Quantity::BytesOut,
        Quantity::PacketsIn,
        Quantity::PacketsOut,
        Quantity::Rtt,
        Quantity::Loss,
    ];

    /// Its name in JSON and metrics; the unit is part of it.
    pub fn name(self) -> &'static str {
        match self {
            Quantity::BytesIn => "receive_bytes_per_second",
            Quantity::BytesOut => "transmit_bytes_per_second",
            Quantity::PacketsIn => "receive_packets_per_second",
            Quantity::PacketsOut => "transmit_packets_per_second",
            Quantity::Rtt => "rtt_seconds",
            Quantity::Loss => "loss_ratio",
        }
    }

    /// A difference that nobody cares about, however steady the tunnel is: the least that a spread is taken to be.
    fn floor(self, median: f64) -> f64 {
        let least = match self {
            Quantity::BytesIn | Quantity::BytesOut => 1000.0,
            Quantity::PacketsIn | Quantity::PacketsOut => 2.0,
            Quantity::Rtt => 0.002,
            Quantity::Loss => 0.002,
        };
        f64::max(least, median.abs() * 0.05)
    }
}

/// What a number is compared with, from the most like to the least.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Basis {
    /// This hour of the week.
    HourOfWeek,
    /// This hour of any day: the hour of the week is not known well enough yet.
    HourOfDay,
    /// Any hour: too little is known of this one.
    AnyHour,
}

impl Basis {
    /// In snake_case.
    pub fn name(self) -> &'static str {
        match self {
            Basis::HourOfWeek => "hour_of_week",
            Basis::HourOfDay => "hour_of_day",
            Basis::AnyHour => "any_hour",
        }
    }
}

/// A quantity now and as it normally is.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Comparison {
    /// Of what.
    pub quantity: Quantity,
    /// In the last minute; `None` where it was not measured.
    pub now: Option<f64>,
    /// Half of the time it is less.
    pub median: f64,
    /// As a standard deviation, but robust: 1.4826 times the median deviation.
    pub spread: f64,
}

impl Comparison {
    /// How many spreads it is above its median, below where negative.
    pub fn deviation(&self) -> Option<f64> {
        let now = self.now?;
        Some((now - self.median) / self.spread.max(self.quantity.floor(self.median)))
    }

    /// Whether somebody should look: far from the median, and for loss and round-trip time on the bad side.
    pub fn is_unusual(&self) -> bool {
        self.deviation().is_some_and(|deviation| match self.quantity {
            Quantity::Rtt | Quantity::Loss => deviation >= UNUSUAL,
            Quantity::BytesIn | Quantity::BytesOut | Quantity::PacketsIn | Quantity::PacketsOut => {
                deviation.abs() >= UNUSUAL
            }
        })
    }
}

/// What is normal for one tunnel now.
#[derive(Clone, PartialEq, Debug)]
pub struct Normal {
    /// What it is compared with.
    pub basis: Basis,
    /// Hours that it comes from.
    pub hours: usize,
    /// Every quantity that is known.
    pub comparisons: Vec<Comparison>,
}

impl From<Normal> for BaselineStatus {
    fn from(normal: Normal) -> Self {
        let quantities = normal.comparisons.iter().map(|comparison| QuantityStatus {
            quantity: comparison.quantity.name(),
            now: comparison.now,
            median: comparison.median,
            spread: comparison.spread,
            deviation: comparison.deviation(),
            unusual: comparison.is_unusual(),
        });
        BaselineStatus { basis: normal.basis.name(), hours: normal.hours, quantities: quantities.collect() }
    }
}

/// The baselines of a gateway's tunnels.
#[derive(Debug, Default)]
pub struct Baselines {
    tunnels: BTreeMap<PeerName, Baseline>,
}

/// One tunnel's. Hours are of UTC, the first one of a week being Monday's.
#[derive(Debug, Default)]
struct Baseline {
    last: Option<(f64, Totals)>,
    /// Values of the last minute.
    minute: [Option<f64>; Quantity::ALL.len()],
    /// The present hour since 1970, and its values.
    present: Option<(u64, [Vec<f64>; Quantity::ALL.len()])>,
    hours: BTreeMap<u64, VecDeque<Digest>>,
}

impl Baselines {
    /// Takes what was observed of all tunnels at `wall`, in seconds since 1970: to be called once a minute. Tunnels that
    /// are not among them are forgotten.
    pub fn observe(&mut self, observations: &BTreeMap<PeerName, Observation>, wall: f64) {
        self.tunnels.retain(|peer, _| observations.contains_key(peer));
        for (peer, observation) in observations {
            if self.tunnels.contains_key(peer) || self.tunnels.len() < MOST_TUNNELS {
                self.tunnels.entry(peer.clone()).or_default().observe(observation, wall);
            }
        }
    }

    /// What is normal for a tunnel at `wall`, and what it is now. `None` until enough is known.
    pub fn normal(&self, peer: &PeerName, wall: f64) -> Option<Normal> {
        self.tunnels.get(peer)?.normal(wall)
    }
}

impl Baseline {
    fn observe(&mut self, observation: &Observation, wall: f64) {
        let last = self.last.replace((wall, observation.totals));
        self.minute = Default::default();
        let hour = hour(wall);
        if self.present.as_ref().is_some_and(|(present, _)| *present != hour) {
            self.close_hour();
        }
        let Some((at, before)) = last.filter(|_| observation.up) else { return };
        let seconds = wall - at;
        if seconds < STEP.0 || seconds > STEP.1 {
            return;
        }
        let Some(minute) = values(&before, observation, seconds) else { return };
        self.minute = minute;
        let (_, values) = self.present.get_or_insert_with(|| (hour, Default::default()));
        for (values, value) in values.iter_mut().zip(minute) {
            values.extend(value);
        }
    }

    fn close_hour(&mut self) {
        let Some((hour, values)) = self.present.take() else { return };
        if values.first().is_none_or(|values| values.len() < LEAST_VALUES) {
            return;
        }
        let weeks = self.hours.entry(hour_of_week(hour)).or_default();
        weeks.push_back(Digest::of(&values));
        if weeks.len() > WEEKS {
            weeks.pop_front();
        }
    }

    fn normal(&self, wall: f64) -> Option<Normal> {
        let (of_week, of_day) = (hour_of_week(hour(wall)), hour(wall) % 24);
        let wanted: [(Basis, &dyn Fn(u64) -> bool); 3] = [
            (Basis::HourOfWeek, &|hour| hour == of_week),
            (Basis::HourOfDay, &|hour| hour % 24 == of_day),
            (Basis::AnyHour, &|_| true),
        ];
        wanted.into_iter().find_map(|(basis, is_wanted)| {
            let found: Vec<&Digest> =
                self.hours.iter().filter(|(hour, _)| is_wanted(**hour)).flat_map(|(_, weeks)| weeks).collect();
            (found.len() >= LEAST_HOURS).then(|| Normal {
                basis,
                hours: found.len(),
                comparisons: self.compare(&found),
            })
        })
    }

    fn compare(&self, digests: &[&Digest]) -> Vec<Comparison> {
        let compared = Quantity::ALL.iter().zip(self.minute).enumerate().filter_map(|(index, (quantity, now))| {
            let (median, spread) = Digest::summary(digests, index)?;
            Some(Comparison { quantity: *quantity, now, median, spread })
        });
        compared.collect()
    }
}

/// The first of January 1970 was a Thursday.
const THURSDAY: u64 = 3 * 24;

fn hour(wall: f64) -> u64 {
    (wall / 3600.0).max(0.0) as u64
}

fn hour_of_week(hour: u64) -> u64 {
    (hour + THURSDAY) % HOURS
}

/// What passed in each second since the totals were `before`; `None` where they fell, for then the tunnel began anew.
fn values(before: &Totals, observation: &Observation, seconds: f64) -> Option<[Option<f64>; Quantity::ALL.len()]> {
    let now = &observation.totals;
    let rate = |before: u64, now: u64| Some(now.checked_sub(before)? as f64 / seconds);
    let expected = now.expected_in.checked_sub(before.expected_in)?;
    let received = now.packets_in.checked_sub(before.packets_in)?;
    let lost = expected.saturating_sub(received);
    Some([
        Some(rate(before.bytes_in, now.bytes_in)?),
        Some(rate(before.bytes_out, now.bytes_out)?),
        Some(received as f64 / seconds),
        Some(rate(before.packets_out, now.packets_out)?),
        observation.rtt.map(|rtt| rtt.as_secs_f64()),
        (expected >= LEAST_PACKETS).then(|| lost as f64 / expected as f64),
    ])
}

#[cfg(test)]
mod tests;
