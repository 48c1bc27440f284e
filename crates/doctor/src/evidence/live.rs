//! What a running gateway observes, as `engine::status` serves it. What another version leaves out is not known.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// The status.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Live {
    /// When it was taken, RFC 3339.
    pub time: Option<String>,
    /// The gateway itself.
    pub gateway: LiveGateway,
    /// Its connections.
    pub connections: Vec<LiveConnection>,
    /// Dropped packets by reason.
    pub drops: BTreeMap<String, u64>,
}

/// The gateway itself.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct LiveGateway {
    /// Version of the program.
    pub version: Option<String>,
    /// When it started, RFC 3339.
    pub started: Option<String>,
    /// Half-open IKE SAs.
    pub half_open: Option<u64>,
}

/// Why something is not up.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Reason {
    /// A stable word.
    pub code: String,
    /// A sentence.
    pub message: String,
    /// The values in it.
    pub details: BTreeMap<String, String>,
}

/// One connection.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct LiveConnection {
    /// Its name.
    pub name: String,
    /// `up`, `negotiating`, `down` or `disabled`.
    pub state: String,
    /// Why it is not up.
    pub reason: Option<Reason>,
    /// Since when, RFC 3339.
    pub since: Option<String>,
    /// Our address and port.
    pub local: Option<String>,
    /// The peer's.
    pub remote: Option<String>,
    /// Our identity.
    pub local_id: Option<String>,
    /// The peer's.
    pub remote_id: Option<String>,
    /// `none`, `local`, `remote` or `both`.
    pub nat: Option<String>,
    /// The IKE SA.
    pub ike: Option<LiveIke>,
    /// Its children.
    pub children: Vec<LiveChild>,
    /// What is normal for it at this hour, as the status has it.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub baseline: Value,
}

/// An IKE SA.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct LiveIke {
    /// `ikev1` or `ikev2`.
    pub version: Option<String>,
    /// SPI of the initiator.
    pub spi_i: Option<String>,
    /// SPI of the responder.
    pub spi_r: Option<String>,
    /// `initiator` or `responder`.
    pub role: Option<String>,
    /// Algorithms; empty until they are agreed on.
    pub suite: Option<String>,
    /// When it was authenticated.
    pub established: Option<String>,
    /// Weak algorithms in use.
    pub weak: Vec<String>,
}

/// One child.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct LiveChild {
    /// Its name.
    pub name: String,
    /// `up` or `down`.
    pub state: String,
    /// Why it is not up.
    pub reason: Option<Reason>,
    /// Algorithms.
    pub suite: Option<String>,
    /// Weak ones among them.
    pub weak: Vec<String>,
    /// Our selectors.
    pub local: Vec<String>,
    /// The peer's.
    pub remote: Vec<String>,
    /// Inbound SPI.
    pub spi_in: Option<String>,
    /// Outbound SPI.
    pub spi_out: Option<String>,
    /// `udp` or `esp`.
    pub encapsulation: Option<String>,
    /// Largest inner packet, bytes.
    pub mtu: Option<u64>,
    /// Bytes received on the present SA.
    pub bytes_in: Option<u64>,
    /// Packets received on it.
    pub packets_in: Option<u64>,
    /// Bytes sent on it.
    pub bytes_out: Option<u64>,
    /// Packets sent on it.
    pub packets_out: Option<u64>,
    /// When a packet was last received.
    pub last_in: Option<String>,
    /// When it was installed.
    pub installed_at: Option<String>,
    /// SAs there are for it.
    pub sas: Option<u64>,
}

impl Live {
    /// The status as the control socket serves it; `None` for what is none.
    pub fn from_status(status: &Value) -> Option<Live> {
        serde_json::from_value(status.clone()).ok()
    }
}

impl LiveConnection {
    /// Whether both ends proved who they are.
    pub fn is_established(&self) -> bool {
        self.ike.as_ref().is_some_and(|ike| ike.established.is_some())
    }
}
