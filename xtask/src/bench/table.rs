//! Measurements gathered over rounds, and what is said of them: medians, with the least and the most beside them.

use super::variant::Variant;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt;

/// One measurement.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measurement {
    /// TCP streams at a time.
    pub streams: u16,
    /// TCP payload.
    pub gbit_per_second: f64,
    /// CPU seconds of everything for each Gbit of payload.
    pub cpu_per_gbit: f64,
    /// CPU seconds of the two gateway processes for each Gbit of payload.
    pub gateway_cpu_per_gbit: f64,
}

impl fmt::Display for Measurement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} streams: {:.2} Gbit/s, {:.3} CPU s/Gbit ({:.3} in the gateways)",
            self.streams, self.gbit_per_second, self.cpu_per_gbit, self.gateway_cpu_per_gbit
        )
    }
}

/// Everything measured in a run.
#[derive(Debug, Default)]
pub struct Table(BTreeMap<(u16, Variant), Vec<Measurement>>);

impl Table {
    /// Adds one measurement.
    pub fn add(&mut self, variant: Variant, measured: Measurement) {
        self.0.entry((measured.streams, variant)).or_default().push(measured);
    }

    /// The results for machines.
    pub fn json(&self) -> Value {
        let rows = self.0.iter().map(|((streams, variant), all)| {
            let column = |pick: fn(&Measurement) -> f64| {
                let values: Vec<f64> = all.iter().map(pick).collect();
                json!({ "median": median(&values), "values": values })
            };
            json!({
                "variant": variant.to_string(),
                "streams": streams,
                "gbit_per_second": column(|m| m.gbit_per_second),
                "cpu_seconds_per_gbit": column(|m| m.cpu_per_gbit),
                "gateway_cpu_seconds_per_gbit": column(|m| m.gateway_cpu_per_gbit),
            })
        });
        Value::Array(rows.collect())
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<14} {:>7}  {:>8} {:<17} {:>14} {:>14}",
            "variant", "streams", "Gbit/s", "[min-max]", "CPU s/Gbit all", "gateways"
        )?;
        for ((streams, variant), all) in &self.0 {
            let speeds: Vec<f64> = all.iter().map(|m| m.gbit_per_second).collect();
            let spread = format!(
                "[{:.2}-{:.2}]",
                speeds.iter().copied().fold(f64::INFINITY, f64::min),
                speeds.iter().copied().fold(0.0, f64::max)
            );
            let cpu = median(&all.iter().map(|m| m.cpu_per_gbit).collect::<Vec<_>>());
            let gateways = median(&all.iter().map(|m| m.gateway_cpu_per_gbit).collect::<Vec<_>>());
            let speed = median(&speeds);
            writeln!(f, "{variant:<14} {streams:>7}  {speed:>8.2} {spread:<17} {cpu:>14.3} {gateways:>14.3}")?;
        }
        write!(f, "medians of the rounds; read ratios within one run")
    }
}

/// The middle value; of an even number, the mean of the two in the middle. Zero of nothing.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match (sorted.len(), sorted.len() / 2) {
        (0, _) => 0.0,
        (length, middle) if length % 2 == 1 => sorted[middle],
        (_, middle) => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_and_not_moved_by_one_bad_round() {
        assert_eq!(median(&[]), 0.0);
        assert_eq!(median(&[5.0]), 5.0);
        assert_eq!(median(&[9.0, 1.0, 5.0]), 5.0);
        assert_eq!(median(&[1.0, 2.0, 4.0, 400.0]), 3.0);
    }

    #[test]
    fn a_row_shows_median_spread_and_both_cpu_columns() {
        let mut table = Table::default();
        for speed in [1.0, 3.0, 2.0] {
            let measured =
                Measurement { streams: 8, gbit_per_second: speed, cpu_per_gbit: 0.5, gateway_cpu_per_gbit: 0.25 };
            table.add(Variant::Underpass, measured);
        }
        let text = table.to_string();
        for part in ["underpass", " 8 ", "2.00", "[1.00-3.00]", "0.500", "0.250"] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert_eq!(table.json()[0]["gbit_per_second"]["median"], 2.0);
        assert_eq!(table.json()[0]["gbit_per_second"]["values"].as_array().map(Vec::len), Some(3));
    }
}
