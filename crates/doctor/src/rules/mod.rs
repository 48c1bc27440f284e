//! The rules, one file per layer: each looks at the evidence for one code. A rule that sees its code explained by another
//! one, of whatever layer, says nothing: symptoms are not causes.

mod child;
mod configuration;
mod esp;
mod firewall;
mod ike;
mod mtu;
mod nat;
mod network;
mod performance;
mod routing;

use crate::evidence::{Evidence, Host};
use crate::finding::Finding;
use crate::tunnel::Tunnel;

/// A rule about the gateway as a whole.
pub(crate) type GatewayRule = fn(&Evidence) -> Option<Finding>;
/// A rule about one connection.
pub(crate) type TunnelRule = fn(&Tunnel<'_>) -> Option<Finding>;

/// Those about the gateway as a whole.
pub(crate) const GATEWAY: &[GatewayRule] = &[
    configuration::cannot_load,
    configuration::secret,
    configuration::secret_exposed,
    configuration::route_loop,
    configuration::conflict,
    configuration::weak_setting,
    configuration::same_claims,
    configuration::privileges,
    configuration::port_taken,
    configuration::not_running,
    network::clock,
    ike::cookies,
    esp::integrity_counter,
    esp::unknown_spi,
    esp::replays,
    esp::outside_selectors,
    routing::forwarding,
    routing::inside_addresses,
    performance::queues,
];

/// Those about one connection, by layer.
pub(crate) const TUNNEL: &[&[TunnelRule]] = &[
    configuration::TUNNEL,
    network::TUNNEL,
    ike::TUNNEL,
    child::TUNNEL,
    esp::TUNNEL,
    routing::TUNNEL,
    nat::TUNNEL,
    mtu::TUNNEL,
    firewall::TUNNEL,
    performance::TUNNEL,
];

/// Interface name of a gateway that says no other.
const DEFAULT_INTERFACE: &str = "underpass0";

/// The name of the tunnel interface.
fn interface(evidence: &Evidence) -> &str {
    let configured = evidence.configuration.as_ref().and_then(|configuration| configuration.interface.as_deref());
    configured.unwrap_or(DEFAULT_INTERFACE)
}

/// The host, if it was looked at.
fn host<'e>(tunnel: &Tunnel<'e>) -> Option<&'e Host> {
    tunnel.evidence.host.as_ref()
}

/// A finding about counters of the whole gateway: of its connection, where there is only one.
fn of_the_only_tunnel(evidence: &Evidence, finding: Finding) -> Finding {
    match Tunnel::all(evidence).as_slice() {
        [only] => finding.of(only.name),
        _ => finding,
    }
}

/// Whether any connection is up.
fn any_up(evidence: &Evidence) -> bool {
    evidence.live.iter().flat_map(|live| &live.connections).any(|connection| connection.state == "up")
}
