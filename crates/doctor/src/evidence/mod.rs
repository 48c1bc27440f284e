//! What is known, as plain data that can be saved and read back. Everything is optional: "not known" is another thing than
//! "no", and a rule speaks only of what is known. Secrets have no place in it.
//!
//! Whoever collects fills the parts in: the configuration from the desired state, the rest from the control socket's own
//! JSON ([`Live::from_status`], [`Event::from_log`]) and from the host.

mod configuration;
mod event;
mod host;
mod live;

pub use configuration::{ChildConfig, Configuration, ConnectionConfig, Problem};
pub use event::Event;
pub use host::{Capabilities, Filter, Host, Interface, PortConflict, PrefixRoute, Probe, ResolvedName};
pub use live::{Live, LiveChild, LiveConnection, LiveGateway, LiveIke, Reason};

use formats::parse_rfc3339;
use serde::{Deserialize, Serialize};

/// Bytes of a file of evidence that are read at most.
pub const LARGEST_FILE: usize = 32 << 20;
/// Events looked at; the gateway keeps 2,000.
pub const MOST_EVENTS: usize = 4000;

/// Everything that is known of one gateway at one moment.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Evidence {
    /// Counts up when a field changes its meaning.
    pub schema_version: u32,
    /// When it was collected, RFC 3339.
    pub taken: Option<String>,
    /// The configuration.
    pub configuration: Option<Configuration>,
    /// Whether a gateway answers at the control socket.
    pub running: Option<bool>,
    /// What a running gateway observes.
    pub live: Option<Live>,
    /// What it logged, oldest first.
    pub events: Vec<Event>,
    /// The machine.
    pub host: Option<Host>,
    /// What was tried out.
    pub probes: Vec<Probe>,
    /// Evidence saved at the other end, if it is one of ours.
    pub far: Option<Box<Evidence>>,
    /// What could not be looked at, and why.
    pub not_known: Vec<String>,
}

/// Why a file holds no evidence.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EvidenceError(String);

impl std::fmt::Display for EvidenceError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for EvidenceError {}

impl Evidence {
    /// Evidence as `underpass doctor --save` wrote it.
    ///
    /// # Errors
    /// It is too large, no JSON, or of a version this program does not know.
    pub fn from_json(text: &str) -> Result<Evidence, EvidenceError> {
        if text.len() > LARGEST_FILE {
            return Err(EvidenceError(format!("it has {} bytes; at most {LARGEST_FILE} are read", text.len())));
        }
        // A list would be taken for the values of the fields in their order.
        if !text.trim_start().starts_with('{') {
            return Err(EvidenceError(
                "it is no JSON object: evidence is what `underpass doctor --save` writes".to_owned(),
            ));
        }
        let mut evidence: Evidence = serde_json::from_str(text).map_err(|error| EvidenceError(error.to_string()))?;
        if evidence.schema_version > 1 {
            let version = evidence.schema_version;
            return Err(EvidenceError(format!("it is of schema version {version}; this program knows 1")));
        }
        evidence.bound();
        Ok(evidence)
    }

    /// As JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// Keeps what a rule looks at within bounds; the newest events count.
    fn bound(&mut self) {
        let surplus = self.events.len().saturating_sub(MOST_EVENTS);
        self.events.drain(..surplus);
        // Of the far end's far end nobody needs to know.
        if let Some(far) = &mut self.far {
            far.far = None;
            far.bound();
        }
    }

    /// Seconds since 1970 of a moment in it.
    pub(crate) fn seconds(at: Option<&str>) -> Option<u64> {
        at.and_then(parse_rfc3339)
    }

    /// Seconds since 1970 when it was taken.
    pub(crate) fn now(&self) -> Option<u64> {
        Self::seconds(self.taken.as_deref())
    }

    /// A counter of dropped packets.
    pub(crate) fn drops(&self, reason: &str) -> u64 {
        self.live.as_ref().and_then(|live| live.drops.get(reason)).copied().unwrap_or(0)
    }
}
