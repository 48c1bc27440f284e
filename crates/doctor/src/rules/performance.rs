//! It works, and not as fast as it is asked to.

use super::{TunnelRule, any_up};
use crate::catalogue::*;
use crate::evidence::Evidence;
use crate::finding::{Confidence, Finding};
use crate::tunnel::Tunnel;
use serde_json::Value;

/// Packets lost to full queues below which it was a moment only.
const FEW: u64 = 100;

pub(super) fn queues(evidence: &Evidence) -> Option<Finding> {
    let (full, failed) = (evidence.drops("queue_full"), evidence.drops("send_failed"));
    (full + failed >= FEW && any_up(evidence)).then(|| {
        Finding::new(PERF_01)
            .advice()
            .confidence(Confidence::Likely)
            .shown_by(format!("{full} packets found a full queue, {failed} could not be sent"))
    })
}

pub(super) const TUNNEL: &[TunnelRule] = &[way, amount];

/// What of a connection is far from normal, among the quantities that are asked for.
fn unusual(tunnel: &Tunnel<'_>, wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let Some(live) = tunnel.live else { return Vec::new() };
    let quantities = live.baseline.get("quantities").and_then(Value::as_array);
    let told = quantities.into_iter().flatten().filter_map(|quantity| {
        let name = quantity.get("quantity")?.as_str().filter(|name| wanted(name))?;
        let unusual = quantity.get("unusual")?.as_bool()?;
        let number = |name: &str| quantity.get(name).and_then(Value::as_f64);
        let (now, median, spread) = (number("now")?, number("median")?, number("spread")?);
        unusual.then(|| format!("{name} is {now:.4}, normally {median:.4} give or take {spread:.4}"))
    });
    told.collect()
}

fn way(tunnel: &Tunnel<'_>) -> Option<Finding> {
    let told = unusual(tunnel, |name| matches!(name, "rtt_seconds" | "loss_ratio"));
    (!told.is_empty()).then(|| Finding::new(PERF_02).advice().confidence(Confidence::Likely).shown_by_all(told))
}

fn amount(tunnel: &Tunnel<'_>) -> Option<Finding> {
    let told = unusual(tunnel, |name| name.ends_with("_bytes_per_second"));
    (!told.is_empty()).then(|| Finding::new(PERF_03).advice().confidence(Confidence::Possible).shown_by_all(told))
}
