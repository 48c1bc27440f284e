//! Families as text, written by Prometheus's own library.

use super::{Family, Kind};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet, prometheus_text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

#[derive(Debug)]
struct All(Vec<Family>);

impl Collector for All {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        for family in &self.0 {
            let kind = match family.kind {
                Kind::Counter => MetricType::Counter,
                Kind::Gauge => MetricType::Gauge,
            };
            let mut metric = encoder.encode_descriptor(family.name, family.help, None, kind)?;
            for sample in &family.samples {
                let mut sample_encoder = metric.encode_family(&sample.labels)?;
                match family.kind {
                    // Counts: whole numbers.
                    Kind::Counter => {
                        sample_encoder.encode_counter::<NoLabelSet, u64, u64>(&(sample.value as u64), None)?;
                    }
                    Kind::Gauge => sample_encoder.encode_gauge(&sample.value)?,
                }
            }
        }
        Ok(())
    }
}

pub(super) fn text(families: Vec<Family>) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(All(families)));
    let mut text = String::new();
    // Writing to memory does not fail.
    let _ = prometheus_text::encode(&mut text, &registry);
    text
}
