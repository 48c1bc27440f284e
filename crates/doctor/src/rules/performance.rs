//! It works, and not as fast as it is asked to.

use super::any_up;
use crate::catalogue::*;
use crate::evidence::Evidence;
use crate::finding::{Confidence, Finding};

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
