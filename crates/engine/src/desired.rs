//! What the engine is asked for, complete: whoever hands it over (a file, later the API's store) always says everything.

use ike::config::{EndpointConfig, PeerConfig, PeerName};
use ipsec::TrafficSelector;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

/// The full desired state of an engine.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct DesiredState {
    /// Properties of the gateway as a whole.
    pub gateway: GatewaySettings,
    /// Connections by name.
    pub connections: BTreeMap<PeerName, Connection>,
    /// Connections of which several lead to the same place, by the name that people call them together.
    pub groups: BTreeMap<PeerName, TunnelGroup>,
    /// Policies that come before the connections', in order (RFC 4301 §4.4.1).
    pub policies: Vec<Policy>,
}

/// Tunnels to the same place: their children have the same names and selectors, and traffic takes one of them or is spread.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TunnelGroup {
    /// How many carry.
    pub mode: GroupMode,
    /// The tunnels, at most [`MOST_MEMBERS`](crate::choice::MOST_MEMBERS); each a connection of that name.
    pub tunnels: Vec<Tunnel>,
    /// Where an idle tunnel has inside addresses, the far one is asked this often.
    pub keepalive: Option<Duration>,
}

impl TunnelGroup {
    /// The connections that its tunnels are.
    pub fn peers(&self) -> impl Iterator<Item = &PeerName> {
        self.tunnels.iter().map(|tunnel| &tunnel.peer)
    }
}

/// How many tunnels of a group carry traffic.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum GroupMode {
    /// The most preferred of those that work.
    #[default]
    ActiveStandby,
    /// All that work, each its share of the flows.
    ActiveActive,
}

impl GroupMode {
    /// As the configuration writes it.
    pub fn name(self) -> &'static str {
        match self {
            GroupMode::ActiveStandby => "active-standby",
            GroupMode::ActiveActive => "active-active",
        }
    }
}

/// One tunnel of a group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tunnel {
    /// The connection.
    pub peer: PeerName,
    /// Higher is preferred.
    pub preference: u16,
    /// Addresses of its two ends inside.
    pub inside: Option<InsideAddresses>,
}

/// Addresses of a tunnel's two ends inside, as of a point-to-point interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InsideAddresses {
    /// Ours.
    pub local: IpAddr,
    /// The peer's.
    pub remote: IpAddr,
    /// Length in bits of the prefix that both are in.
    pub prefix_length: u8,
}

/// Properties of the gateway as a whole.
#[derive(Clone, PartialEq, Debug)]
pub struct GatewaySettings {
    /// Ports, half-open limits, vendor ID.
    pub endpoint: EndpointConfig,
    /// Our own address towards `icmp` answers; `None`: the packet's destination side picks.
    pub icmp_source: Option<IpAddr>,
    /// Clamp the MSS of TCP connections through a tunnel to what fits.
    pub clamp_mss: bool,
    /// MTU of the path between gateways, in bytes (1500).
    pub path_mtu: u16,
    /// Whether root may ask for keys to decrypt a capture with.
    pub key_export: bool,
}

impl Default for GatewaySettings {
    fn default() -> Self {
        GatewaySettings {
            endpoint: EndpointConfig::default(),
            icmp_source: None,
            clamp_mss: true,
            path_mtu: 1500,
            key_export: true,
        }
    }
}

/// One connection: an IKE peer, its children, and what routes lead into it.
#[derive(Clone, PartialEq, Debug)]
pub struct Connection {
    /// The IKE side.
    pub peer: PeerConfig,
    /// Names among `peer.remote_addresses`' sources that the host must resolve, as written.
    pub remote_names: Vec<String>,
    /// Prefixes to route into the gateway's interface for this connection; protected by an unreachable route when
    /// the gateway is not running.
    pub routes: Vec<(IpAddr, u8)>,
    /// Outer header treatment.
    pub tunnel: TunnelOptions,
}

/// Outer header treatment of a connection's tunnels.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TunnelOptions {
    /// DSCP of the outer header (RFC 4301 §5.1.2, RFC 2983).
    pub dscp: ipsec::DscpPolicy,
    /// DF bit of the outer IPv4 header.
    pub df: ipsec::DfPolicy,
}

/// A policy that is not a connection's: traffic that must pass in clear, or must not pass.
#[derive(Clone, PartialEq, Debug)]
pub struct Policy {
    /// Name in status.
    pub name: String,
    /// What happens to a match.
    pub action: PolicyAction,
    /// Source side.
    pub local: Vec<TrafficSelector>,
    /// Destination side.
    pub remote: Vec<TrafficSelector>,
}

/// Action of a [`Policy`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PolicyAction {
    /// Not routed into the interface: the kernel forwards it as if the gateway were not there.
    Bypass,
    /// Dropped and counted.
    Discard,
}
