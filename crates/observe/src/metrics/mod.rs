//! Metrics by Prometheus's conventions: prefix `vpn_`, base units, counters that end in `_total`, times as
//! `_timestamp_seconds`, a state as 0 or 1 for each of its words. A tunnel that is configured is there, up or down.

mod exposition;
mod families;

use crate::Tally;
use engine::status::Status;

/// The media type of [`render`]'s text.
pub const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What a value means.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// It only rises, until the gateway starts anew.
    Counter,
    /// It is what it is now.
    Gauge,
}

/// Values of one name.
#[derive(Clone, PartialEq, Debug, serde::Serialize)]
pub struct Family {
    /// As it is read; of a counter without `_total`.
    pub name: &'static str,
    /// One sentence.
    pub help: &'static str,
    /// What the values mean.
    pub kind: Kind,
    /// The values.
    pub samples: Vec<Sample>,
}

/// A value and what it is of.
#[derive(Clone, PartialEq, Debug, serde::Serialize)]
pub struct Sample {
    /// Names and values of the labels.
    #[serde(serialize_with = "as_map")]
    pub labels: Vec<(&'static str, String)>,
    /// The value.
    pub value: f64,
}

fn as_map<S: serde::Serializer>(labels: &[(&'static str, String)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(labels.iter().map(|(name, value)| (name, value)))
}

impl Family {
    fn new(name: &'static str, kind: Kind, help: &'static str) -> Family {
        Family { name, help, kind, samples: Vec::new() }
    }

    fn with(mut self, labels: Vec<(&'static str, String)>, value: f64) -> Family {
        self.samples.push(Sample { labels, value });
        self
    }

    /// The name as it stands in a query.
    pub fn full_name(&self) -> String {
        match self.kind {
            Kind::Counter => format!("{}_total", self.name),
            Kind::Gauge => self.name.to_owned(),
        }
    }
}

/// All metrics of a gateway. Times in `status` must be seconds since 1970, as a decimal number: what is none is left out.
pub fn families(status: &Status, tally: &Tally) -> Vec<Family> {
    let view = families::View::new(status, tally);
    let mut all = families::of_gateway(&view);
    all.extend(families::of_tunnels(&view));
    all.extend(families::of_groups(&view));
    all.extend(families::of_negotiations(&view));
    all.extend(families::of_baselines(&view));
    all
}

/// The text that Prometheus reads.
pub fn render(families: Vec<Family>) -> String {
    exposition::text(families)
}

#[cfg(test)]
mod tests;
