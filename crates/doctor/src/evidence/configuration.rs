//! The configuration as evidence: what is wrong with the files, and what they ask for. Keys are left out.

use engine::desired::{Connection, DesiredState};
use formats::{Diagnostic, Severity};
use ike::config::{ChildConfig as IkeChild, EncapsulationPolicy, StartPolicy};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// The configuration.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Configuration {
    /// Where it was read.
    pub path: Option<String>,
    /// Whether it can be loaded.
    pub usable: Option<bool>,
    /// What is wrong with it.
    pub problems: Vec<Problem>,
    /// Name of the tunnel interface.
    pub interface: Option<String>,
    /// UDP port of IKE.
    pub ike_port: Option<u16>,
    /// UDP port behind NAT.
    pub nat_port: Option<u16>,
    /// MTU of the path between the gateways as configured.
    pub path_mtu: Option<u16>,
    /// Whether the MSS is clamped.
    pub clamp_mss: Option<bool>,
    /// Addresses listened on; empty is every one.
    pub listen: Vec<IpAddr>,
    /// What it asks for.
    pub connections: Vec<ConnectionConfig>,
}

/// A diagnostic of a file.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Problem {
    /// Whether the files cannot be used because of it.
    pub is_error: bool,
    /// Its code.
    pub code: String,
    /// `file:line:column`.
    pub place: String,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub suggestion: Option<String>,
}

/// A configured connection.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ConnectionConfig {
    /// Its name.
    pub name: String,
    /// Our address.
    pub local_address: Option<IpAddr>,
    /// The peer's addresses; empty is any.
    pub remote_addresses: Vec<IpAddr>,
    /// The peer's names.
    pub remote_names: Vec<String>,
    /// Who we say we are.
    pub local_id: Option<String>,
    /// Who the peer must be.
    pub remote_id: Option<String>,
    /// `ikev1`, `ikev2` or `both`.
    pub versions: Option<String>,
    /// Aggressive mode.
    pub aggressive: Option<bool>,
    /// What is offered for IKE.
    pub ike_proposals: Vec<String>,
    /// Lifetime of the IKE SA; none is for ever.
    pub ike_lifetime_seconds: Option<u64>,
    /// Silence before a liveness check; none sends none.
    pub dpd_interval_seconds: Option<u64>,
    /// How long it may stay unanswered.
    pub dpd_timeout_seconds: Option<u64>,
    /// Largest IKE packet before fragments; none turns them off.
    pub fragmentation_bytes: Option<u16>,
    /// UDP encapsulation always.
    pub force_encapsulation: Option<bool>,
    /// UDP port of the first message.
    pub remote_port: Option<u16>,
    /// The connection that it is a tunnel of.
    pub group: Option<String>,
    /// How many tunnels that has.
    pub tunnels: Option<u32>,
    /// Prefixes routed into the tunnel.
    pub routes: Vec<String>,
    /// Its children.
    pub children: Vec<ChildConfig>,
}

/// A configured child.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ChildConfig {
    /// Its name.
    pub name: String,
    /// Our side.
    pub local: Vec<String>,
    /// The peer's side.
    pub remote: Vec<String>,
    /// What is offered for ESP.
    pub proposals: Vec<String>,
    /// Lifetime; none is for ever.
    pub lifetime_seconds: Option<u64>,
    /// `on-load`, `on-demand` or `passive`.
    pub start: Option<String>,
    /// Anti-replay window, packets; 0 is off.
    pub replay_window: Option<u32>,
    /// SHA2-256 cut to 96 bits.
    pub sha256_96: Option<bool>,
}

impl Configuration {
    /// Of a desired state: everything in it but the keys.
    pub fn of(state: &DesiredState) -> Configuration {
        Configuration {
            usable: Some(true),
            ike_port: Some(state.gateway.endpoint.ike_port),
            nat_port: Some(state.gateway.endpoint.nat_port),
            path_mtu: Some(state.gateway.path_mtu),
            clamp_mss: Some(state.gateway.clamp_mss),
            connections: state.connections.values().map(|connection| of_connection(connection, state)).collect(),
            ..Configuration::default()
        }
    }

    /// Of files that cannot be used, or with what deserves a look in those that can.
    pub fn with_diagnostics(self, diagnostics: &[Diagnostic]) -> Configuration {
        let problems: Vec<Problem> = diagnostics.iter().map(Problem::from).collect();
        let usable = !problems.iter().any(|problem| problem.is_error);
        Configuration { problems, usable: Some(usable), ..self }
    }

    /// The configuration of a connection.
    pub fn connection(&self, name: &str) -> Option<&ConnectionConfig> {
        self.connections.iter().find(|connection| connection.name == name)
    }
}

impl From<&Diagnostic> for Problem {
    fn from(diagnostic: &Diagnostic) -> Problem {
        Problem {
            is_error: diagnostic.severity == Severity::Error,
            code: diagnostic.code.to_owned(),
            place: format!("{}:{}:{}", diagnostic.file, diagnostic.line, diagnostic.column),
            message: diagnostic.message.clone(),
            suggestion: diagnostic.suggestion.clone(),
        }
    }
}

fn of_connection(connection: &Connection, state: &DesiredState) -> ConnectionConfig {
    let peer = &connection.peer;
    let group = state.groups.iter().find(|(_, group)| group.peers().any(|member| *member == peer.name));
    ConnectionConfig {
        name: peer.name.to_string(),
        local_address: peer.local_address,
        remote_addresses: peer.remote_addresses.clone(),
        remote_names: connection.remote_names.clone(),
        local_id: Some(peer.local_id.to_string()),
        remote_id: peer.remote_id.as_ref().map(ToString::to_string),
        versions: Some(peer.versions.name().to_owned()),
        aggressive: Some(peer.aggressive),
        ike_proposals: peer.proposals.iter().map(ToString::to_string).collect(),
        ike_lifetime_seconds: peer.lifetime.time.map(|time| time.as_secs()),
        dpd_interval_seconds: peer.dpd.interval.map(|interval| interval.as_secs()),
        dpd_timeout_seconds: Some(peer.dpd.timeout.as_secs()),
        fragmentation_bytes: peer.fragment_size,
        force_encapsulation: Some(peer.encapsulation == EncapsulationPolicy::Force),
        remote_port: Some(peer.remote_port),
        group: group.map(|(name, _)| name.to_string()),
        tunnels: group.and_then(|(_, group)| u32::try_from(group.tunnels.len()).ok()),
        routes: connection.routes.iter().map(|(address, length)| format!("{address}/{length}")).collect(),
        children: peer.children.iter().map(of_child).collect(),
    }
}

fn of_child(child: &IkeChild) -> ChildConfig {
    let start = match child.start {
        StartPolicy::OnLoad => "on-load",
        StartPolicy::OnDemand => "on-demand",
        StartPolicy::Passive => "passive",
    };
    ChildConfig {
        name: child.name.to_string(),
        local: child.local.iter().map(ToString::to_string).collect(),
        remote: child.remote.iter().map(ToString::to_string).collect(),
        proposals: child.proposals.iter().map(ToString::to_string).collect(),
        lifetime_seconds: child.lifetime.time.map(|time| time.as_secs()),
        start: Some(start.to_owned()),
        replay_window: Some(child.replay_window),
        sha256_96: Some(child.sha256_96),
    }
}
