//! What a gateway remembers of itself: counts, baselines that outlive it, and the metrics made of both.

use super::serve::Gateway;
use crate::metrics::Scrapes;
use crate::state_file;
use engine::record::Level;
use engine::status::{BaselineStatus, Status, StatusContext};
use ike::config::PeerName;
use observe::metrics::Family;
use observe::{Baselines, Tally};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

/// How often the tunnels are looked at for their baselines.
const LOOK: Duration = Duration::from_secs(60);
/// How often baselines are saved: what a kill -9 costs of them.
const SAVE: Duration = Duration::from_secs(900);
/// The file of baselines in the state directory.
const FILE: &str = "baseline.json";
/// A larger one is not ours.
const MOST_BYTES: u64 = 256 << 20;

/// Counts and baselines.
pub(super) struct Observing {
    pub(super) tally: Tally,
    baselines: Baselines,
    next_look: Instant,
    next_save: Instant,
    /// Where baselines are kept; `None`: they are forgotten with the process.
    file: Option<PathBuf>,
    /// Who asks for metrics, where anybody may.
    pub(super) scrapes: Option<Scrapes>,
}

/// Seconds since 1970 of the wall clock.
fn wall() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

impl Observing {
    /// Begins, with the baselines of the last run where there are any; and what is to be told of that.
    pub(super) fn start(state: Option<PathBuf>, scrapes: Option<Scrapes>, now: Instant) -> (Observing, Option<String>) {
        let file = state.map(|folder| folder.join(FILE));
        let mut trouble = None;
        let restored = file.as_ref().and_then(|file| {
            let told = |what: String| format!("baselines begin anew: {}: {what}", file.display());
            match state_file::read(file, MOST_BYTES) {
                Ok(bytes) => match Baselines::restore(&bytes?) {
                    Ok(baselines) => return Some(baselines),
                    Err(error) => trouble = Some(told(error.to_string())),
                },
                Err(error) => trouble = Some(told(error.to_string())),
            }
            None
        });
        let baselines = restored.unwrap_or_default();
        let (tally, next_look, next_save) = (Tally::default(), now, now + SAVE);
        (Observing { tally, baselines, next_look, next_save, file, scrapes }, trouble)
    }

    /// When there is something to do.
    pub(super) fn due(&self) -> Instant {
        if self.file.is_some() { self.next_look.min(self.next_save) } else { self.next_look }
    }
}

impl Gateway {
    /// Looks at the tunnels once a minute, and saves now and then.
    pub(super) fn observe(&mut self, now: Instant) {
        if self.observing.next_look <= now {
            self.observing.next_look = now + LOOK;
            let observations = self.engine.observations(now);
            self.observing.baselines.observe(&observations, wall());
            // For the next look.
            self.engine.measure(now);
        }
        if self.observing.next_save <= now {
            self.observing.next_save = now + SAVE;
            self.save_baselines();
        }
    }

    /// Writes the baselines where they are kept.
    pub(super) fn save_baselines(&mut self) {
        let Some(file) = self.observing.file.clone() else { return };
        if let Err(error) = state_file::write(&file, self.observing.baselines.save().as_bytes()) {
            let text = format!("cannot keep baselines in {}: {error}; they are kept in memory", file.display());
            self.note(Level::Warn, "state_unwritable", &text);
            self.observing.file = None;
        }
    }

    /// Connections may have gone.
    pub(super) fn forget_unconfigured(&mut self) {
        let configured = &self.configured;
        self.observing
            .tally
            .retain(|name| configured.connections.contains_key(name) || configured.groups.contains_key(name));
    }

    /// Counts an event.
    pub(super) fn count(&mut self, event: &ike::event::Event) {
        self.observing.tally.event(event, wall());
    }

    /// The status, its times as `stamp` writes them.
    pub(super) fn status_with(&self, stamp: &dyn Fn(Instant) -> String, now: Instant) -> Status {
        let context = StatusContext { stamp, version: self.version, pid: std::process::id(), drops: &self.drops };
        let mut status = self.engine.status(now, &context);
        for connection in &mut status.connections {
            let normal = self.observing.baselines.normal(&PeerName::from(connection.name.as_str()), wall());
            connection.baseline = normal.map(BaselineStatus::from);
        }
        status
    }

    /// Every metric.
    pub(super) fn metrics(&self, now: Instant) -> Vec<Family> {
        let (instant, wall) = (Instant::now(), wall());
        let epoch = |at: Instant| {
            let ahead = at.saturating_duration_since(instant).as_secs_f64();
            let ago = instant.saturating_duration_since(at).as_secs_f64();
            format!("{:.3}", wall + ahead - ago)
        };
        observe::metrics::families(&self.status_with(&epoch, now), &self.observing.tally)
    }

    /// Answers those who asked for metrics.
    pub(super) fn hear_scrapes(&mut self, now: Instant) {
        let asked: Vec<_> = self.observing.scrapes.iter().flat_map(Scrapes::take).collect();
        for answer in asked {
            // Who has gone needs none.
            let _ = answer.send(self.metrics(now));
        }
    }
}
