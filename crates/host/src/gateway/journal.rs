//! The log of a gateway: records with their time, written as they come, the last of them kept for `underpass log`.
//!
//! What a stranger can cause without a proof comes at a bounded rate, in all and from each address; the rest is counted.

use crate::journald::Journald;
use engine::record::{Level, Record};
use ike::event::Event;
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::io::Write;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Records kept for `underpass log`.
const KEPT: usize = 2000;
/// Ignored datagrams and refused strangers logged in one [`PERIOD`].
const STRANGERS_PER_PERIOD: u32 = 10;
/// Of these, from one address: one noisy stranger must not hide the others.
const PER_STRANGER: u32 = 3;
const PERIOD: Duration = Duration::from_secs(10);

/// The log.
pub(super) struct Journal {
    out: Box<dyn Write>,
    json: bool,
    /// Where standard error is the journal of systemd.
    journald: Option<Journald>,
    kept: VecDeque<Value>,
    strangers: Strangers,
}

/// What strangers have caused in the present period.
struct Strangers {
    period_ends: Instant,
    logged: u32,
    /// Only of those logged: bounded by [`STRANGERS_PER_PERIOD`].
    by_address: BTreeMap<IpAddr, u32>,
    suppressed: u64,
}

impl Strangers {
    /// Whether one more event of this address may be logged.
    fn admit(&mut self, address: IpAddr) -> bool {
        let of_address = self.by_address.get(&address).copied().unwrap_or(0);
        let admitted = self.logged < STRANGERS_PER_PERIOD && of_address < PER_STRANGER;
        if admitted {
            self.logged += 1;
            self.by_address.insert(address, of_address + 1);
        } else {
            self.suppressed += 1;
        }
        admitted
    }
}

impl Journal {
    /// A log on standard error, as lines of text or of JSON; where that is systemd's journal, as entries with fields.
    pub(super) fn new(json: bool, now: Instant) -> Journal {
        let journald = if json { None } else { Journald::of_standard_error() };
        Journal { journald, ..Journal::to(Box::new(std::io::stderr()), json, now) }
    }

    fn to(out: Box<dyn Write>, json: bool, now: Instant) -> Journal {
        let strangers = Strangers { period_ends: now + PERIOD, logged: 0, by_address: BTreeMap::new(), suppressed: 0 };
        Journal { out, json, journald: None, kept: VecDeque::new(), strangers }
    }

    /// Writes an event; returns the lines for those who follow the log, none when it was suppressed.
    pub(super) fn event(&mut self, event: &Event, time: &str, now: Instant) -> Vec<Value> {
        let mut lines = Vec::new();
        if let Event::Ignored { path, .. } | Event::Rejected { path, .. } = event {
            lines.extend(self.turn_period(time, now));
            if !self.strangers.admit(path.remote.ip()) {
                return lines;
            }
        }
        lines.push(self.record(&Record::from(event), time));
        lines
    }

    /// Writes what happened to a group of tunnels: bounded by hold-down, so never suppressed.
    pub(super) fn failover(&mut self, event: &engine::failover::Event, time: &str) -> Value {
        self.record(&Record::from(event), time)
    }

    /// When there is a count of suppressed events to be told.
    pub(super) fn due(&self) -> Option<Instant> {
        (self.strangers.suppressed > 0).then_some(self.strangers.period_ends)
    }

    /// Begins a new period if the present one is over, and tells what was not logged in it.
    pub(super) fn turn_period(&mut self, time: &str, now: Instant) -> Option<Value> {
        let strangers = &mut self.strangers;
        if now < strangers.period_ends {
            return None;
        }
        strangers.period_ends = now + PERIOD;
        strangers.logged = 0;
        strangers.by_address.clear();
        let suppressed = std::mem::take(&mut strangers.suppressed);
        let text = format!("{suppressed} more events of strangers were not logged");
        (suppressed > 0).then(|| self.note(Level::Warn, "suppressed", &text, time))
    }

    /// Writes something that is not an event of the engine.
    pub(super) fn note(&mut self, level: Level, event: &'static str, message: &str, time: &str) -> Value {
        let message = message.to_owned();
        let record = Record { level, event, message, connection: None, child: None, reason: None, fields: Vec::new() };
        self.record(&record, time)
    }

    fn record(&mut self, record: &Record, time: &str) -> Value {
        let mut value = json!({"schema_version": 1, "time": time});
        if let (Value::Object(value), Ok(Value::Object(fields))) = (&mut value, serde_json::to_value(record)) {
            value.extend(fields);
        }
        let journal = self.journald.as_ref();
        if journal.is_none_or(|journald| journald.write(&value, &record.to_string()).is_err()) {
            let line = if self.json { value.to_string() } else { format!("{time} {:5} {record}", record.level.name()) };
            // A log that cannot be written is no reason to stop forwarding.
            let _ = writeln!(self.out, "{line}");
        }
        if self.kept.len() >= KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(value.clone());
        value
    }

    /// What is kept, oldest first.
    pub(super) fn kept(&self) -> impl Iterator<Item = &Value> {
        self.kept.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ike::config::Path;
    use ike::event::IgnoredReason;

    fn ignored(address: [u8; 4]) -> Event {
        let path = Path { local: ([192, 0, 2, 1], 500).into(), remote: (address, 500).into() };
        Event::Ignored { path, reason: IgnoredReason::Malformed }
    }

    #[test]
    fn one_noisy_stranger_neither_floods_the_log_nor_hides_the_others() {
        let now = Instant::now();
        let mut journal = Journal::to(Box::new(std::io::sink()), true, now);
        for _ in 0..1000 {
            journal.event(&ignored([203, 0, 113, 1]), "t", now);
        }
        assert_eq!(journal.kept().count(), PER_STRANGER as usize);
        assert_eq!(journal.event(&ignored([203, 0, 113, 2]), "t", now).len(), 1);
        for last in 3..=255 {
            journal.event(&ignored([203, 0, 113, last]), "t", now);
        }
        assert_eq!(journal.kept().count(), STRANGERS_PER_PERIOD as usize);
        let due = journal.due().unwrap();
        assert_eq!(due, now + PERIOD);
        assert!(journal.turn_period("t", now).is_none());
        let line = journal.turn_period("t", due).unwrap();
        assert_eq!(line["message"], "1244 more events of strangers were not logged");
        assert_eq!(journal.due(), None);
        assert_eq!(journal.event(&ignored([203, 0, 113, 1]), "t", due).len(), 1, "a new period");
    }

    #[test]
    fn the_log_keeps_a_bounded_number_of_records_the_latest() {
        let mut journal = Journal::to(Box::new(std::io::sink()), true, Instant::now());
        for index in 0..KEPT + 5 {
            journal.note(Level::Info, "test", &index.to_string(), "t");
        }
        assert_eq!(journal.kept().count(), KEPT);
        assert_eq!(journal.kept().next().unwrap()["message"], "5");
    }
}
