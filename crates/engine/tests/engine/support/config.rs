//! Desired states of two sites that fit each other; tests change what they are about.

use engine::desired::{Connection, DesiredState, GatewaySettings, TunnelOptions};
use ike::config::{
    ChildConfig, ChildName, Dpd, EncapsulationPolicy, Lifetime, PeerConfig, PeerName, Retransmit, Retry, StartPolicy,
};
use ike::id::Id;
use ike::proposal::{EspProposal, IkeProposal};
use ipsec::{DfPolicy, DscpPolicy, TrafficSelector};
use sim::NodeId;
use std::net::IpAddr;
use std::time::Duration;

/// The end that starts.
pub const A: NodeId = NodeId(0);
/// The end that waits.
pub const B: NodeId = NodeId(1);
/// The pre-shared key of every pair here.
pub const PSK: &[u8] = b"correct horse battery staple";

/// So many seconds.
pub const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// So many milliseconds.
pub const fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// An address from its text.
pub fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// Selectors from their texts.
pub fn selectors(texts: &[&str]) -> Vec<TrafficSelector> {
    texts.iter().map(|text| text.parse().expect("a selector")).collect()
}

/// The outer address of an end.
pub fn outer(node: NodeId, v6: bool) -> IpAddr {
    ip(match (node, v6) {
        (A, false) => "192.0.2.1",
        (_, false) => "192.0.2.2",
        (A, true) => "2001:db8::1",
        (_, true) => "2001:db8::2",
    })
}

/// The protected networks of an end, in both IP versions.
pub fn networks(node: NodeId) -> Vec<TrafficSelector> {
    selectors(if node == A { &["10.1.0.0/24", "fd00:1::/64"] } else { &["10.2.0.0/24", "fd00:2::/64"] })
}

/// The name the child has everywhere.
pub fn child() -> ChildName {
    "net".into()
}

/// What an end calls the other.
pub fn other(node: NodeId) -> PeerName {
    if node == A { "b".into() } else { "a".into() }
}

/// For ever.
pub const FOREVER: Lifetime =
    Lifetime { time: None, margin: Duration::ZERO, fuzz_percent: 0, bytes: None, packets: None };

/// What an end is asked for, the waiting end passive.
pub fn desired(node: NodeId, v6: bool) -> DesiredState {
    let remote = NodeId(1 - node.0);
    let id = |node: NodeId| Id::Fqdn(if node == A { "a.example" } else { "b.example" }.to_owned());
    let start = if node == A { StartPolicy::OnLoad } else { StartPolicy::Passive };
    let peer = PeerConfig {
        name: other(node),
        local_address: Some(outer(node, v6)),
        remote_addresses: vec![outer(remote, v6)],
        local_id: id(node),
        remote_id: Some(id(remote)),
        psk: PSK.to_vec().into(),
        proposals: IkeProposal::defaults(),
        lifetime: FOREVER,
        dpd: Dpd { interval: Some(seconds(10)), timeout: seconds(30) },
        retransmit: Retransmit::default(),
        retry: Retry::default(),
        fragment_size: Some(1280),
        encapsulation: EncapsulationPolicy::Auto,
        remote_port: 500,
        initial_contact: true,
        childless: false,
        versions: ike::config::Versions::V2,
        aggressive: false,
        children: vec![ChildConfig {
            name: child(),
            local: networks(node),
            remote: networks(remote),
            proposals: EspProposal::defaults(),
            lifetime: FOREVER,
            start,
            replay_window: 1024,
            sha256_96: false,
        }],
    };
    let prefixes = networks(remote).iter().flat_map(TrafficSelector::prefixes).collect();
    let connection = Connection {
        peer,
        remote_names: Vec::new(),
        routes: prefixes,
        tunnel: TunnelOptions { dscp: DscpPolicy::Copy, df: DfPolicy::Copy },
    };
    DesiredState {
        gateway: GatewaySettings::default(),
        connections: [(other(node), connection)].into(),
        groups: Default::default(),
        policies: Vec::new(),
    }
}

/// Changes the only connection.
pub fn connection(desired: &mut DesiredState) -> &mut Connection {
    desired.connections.values_mut().next().expect("one connection")
}

/// Changes the only child.
pub fn child_of(desired: &mut DesiredState) -> &mut ChildConfig {
    connection(desired).peer.children.first_mut().expect("one child")
}
