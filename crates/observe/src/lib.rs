//! What an operator is shown over time: metrics, baselines, the tunnel activity log. States, events and times in; texts and
//! numbers out. Reads no clock and no file.
//!
//! ```text
//!  engine::Status ───────┐
//!  engine::Observation ──┼─► metrics::render      the text that Prometheus reads
//!  Event ─► Tally ───────┤
//!  minute ─► Baselines ──┘─► Comparison           in `status`, in metrics, for `doctor`
//!  Event ─► activity                              the managed service's tunnel activity log
//! ```

pub mod activity;
pub mod baseline;
pub mod metrics;
mod tally;

pub use baseline::Baselines;
pub use tally::Tally;
