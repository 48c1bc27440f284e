//! The log of a gateway: records with their time, written as they come, the last of them kept for `underpass log`.
//!
//! What a stranger can cause without proving who he is comes at a bounded rate; the rest is counted.

use engine::record::{Level, Record};
use ike::event::Event;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io::Write;
use std::time::{Duration, Instant};

/// Records kept for `underpass log`.
const KEPT: usize = 2000;
/// Ignored datagrams and refused strangers logged in one [`PERIOD`].
const STRANGERS_PER_PERIOD: u32 = 10;
const PERIOD: Duration = Duration::from_secs(10);

/// The log.
pub(super) struct Journal {
    json: bool,
    kept: VecDeque<Value>,
    period_ends: Instant,
    strangers: u32,
    suppressed: u64,
}

impl Journal {
    pub(super) fn new(json: bool, now: Instant) -> Journal {
        Journal { json, kept: VecDeque::new(), period_ends: now + PERIOD, strangers: 0, suppressed: 0 }
    }

    /// Writes an event; returns the line for those who follow the log, `None` when it was suppressed.
    pub(super) fn event(&mut self, event: &Event, time: &str, now: Instant) -> Option<Value> {
        if matches!(event, Event::Ignored { .. } | Event::Rejected { .. }) {
            self.turn_period(time, now);
            if self.strangers >= STRANGERS_PER_PERIOD {
                self.suppressed += 1;
                return None;
            }
            self.strangers += 1;
        }
        Some(self.record(&Record::from(event), time))
    }

    fn turn_period(&mut self, time: &str, now: Instant) {
        if now < self.period_ends {
            return;
        }
        self.period_ends = now + PERIOD;
        self.strangers = 0;
        let suppressed = std::mem::take(&mut self.suppressed);
        if suppressed > 0 {
            self.note(
                Level::Warn,
                "suppressed",
                &format!("{suppressed} more events of strangers were not logged"),
                time,
            );
        }
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
        let line = if self.json { value.to_string() } else { format!("{time} {:5} {record}", record.level.name()) };
        // A log that cannot be written is no reason to stop forwarding.
        let _ = writeln!(std::io::stderr().lock(), "{line}");
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
