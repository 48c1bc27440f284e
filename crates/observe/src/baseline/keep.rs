//! Baselines as bytes, to survive a restart.

use super::robust::Digest;
use super::{Baseline, Baselines, HOURS, MOST_TUNNELS, WEEKS};
use ike::config::PeerName;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

/// Counts up when the meaning of the bytes changes.
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    schema_version: u32,
    /// By tunnel and hour of the week, the oldest week first.
    tunnels: BTreeMap<String, BTreeMap<u64, VecDeque<Digest>>>,
}

/// Why bytes are no baselines.
#[derive(Debug)]
pub enum RestoreError {
    /// Not what [`Baselines::save`] writes.
    Unreadable(serde_json::Error),
    /// Written by another version.
    Version(u32),
}

impl std::fmt::Display for RestoreError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            RestoreError::Unreadable(error) => write!(f, "it is no file of baselines: {error}"),
            RestoreError::Version(version) => {
                write!(f, "it has schema_version {version}, this program reads {VERSION}")
            }
        }
    }
}

impl std::error::Error for RestoreError {}

impl Baselines {
    /// The baselines as JSON. The present hour is not part of them: it begins anew after a restart.
    pub fn save(&self) -> String {
        let tunnels = self.tunnels.iter().filter(|(_, tunnel)| !tunnel.hours.is_empty());
        let tunnels = tunnels.map(|(peer, tunnel)| (peer.to_string(), tunnel.hours.clone())).collect();
        // Numbers and names always serialize.
        serde_json::to_string(&Kept { schema_version: VERSION, tunnels }).unwrap_or_default()
    }

    /// What [`Baselines::save`] wrote. What is out of bounds in it is left out.
    ///
    /// # Errors
    /// Bytes that are none, or of another version.
    pub fn restore(bytes: &[u8]) -> Result<Baselines, RestoreError> {
        let kept: Kept = serde_json::from_slice(bytes).map_err(RestoreError::Unreadable)?;
        if kept.schema_version != VERSION {
            return Err(RestoreError::Version(kept.schema_version));
        }
        let finite = |digest: &Digest| {
            digest.0.iter().flatten().all(|(median, spread)| median.is_finite() && spread.is_finite() && *spread >= 0.0)
        };
        let tunnels = kept.tunnels.into_iter().take(MOST_TUNNELS).map(|(name, mut hours)| {
            hours.retain(|hour, _| *hour < HOURS);
            for weeks in hours.values_mut() {
                weeks.retain(finite);
                let surplus = weeks.len().saturating_sub(WEEKS);
                weeks.drain(..surplus);
            }
            (PeerName::from(name.as_str()), Baseline { hours, ..Baseline::default() })
        });
        Ok(Baselines { tunnels: tunnels.collect() })
    }
}
