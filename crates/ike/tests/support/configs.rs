//! Configurations of two sites that fit each other; tests change what they are about.

use super::end::address;
use ike::config::{
    ChildConfig, ChildName, Dpd, EncapsulationPolicy, Lifetime, PeerConfig, Retransmit, Retry, StartPolicy, Versions,
};
use ike::id::Id;
use ike::proposal::{EspProposal, IkeProposal};
use ipsec::TrafficSelector;
use sim::NodeId;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// So many seconds.
pub fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// So many minutes.
pub fn minutes(count: u64) -> Duration {
    Duration::from_secs(60 * count)
}

/// A network of a site: 10.`site`.`net`.0/24.
fn network(site: u8, net: u8) -> TrafficSelector {
    TrafficSelector::from_prefix(IpAddr::V4(Ipv4Addr::new(10, site, net, 0)), 24)
}

/// A child between network number `net` of both sites, seen from `node`.
pub fn child_config(name: &str, node: NodeId, net: u8, start: StartPolicy) -> ChildConfig {
    let (local, remote) = if node.0 == 0 { (1, 2) } else { (2, 1) };
    ChildConfig {
        name: name.into(),
        local: vec![network(local, net)],
        remote: vec![network(remote, net)],
        proposals: EspProposal::defaults(),
        lifetime: Lifetime { time: None, margin: Duration::ZERO, fuzz_percent: 0, bytes: None, packets: None },
        start,
        replay_window: 1024,
        sha256_96: false,
    }
}

fn site(node: NodeId, start: StartPolicy) -> PeerConfig {
    let name = |node: NodeId| if node.0 == 0 { "a.example" } else { "b.example" };
    let other = NodeId(1 - node.0);
    PeerConfig {
        name: name(other).into(),
        local_address: Some(address(node)),
        remote_addresses: vec![address(other)],
        local_id: Id::Fqdn(name(node).to_owned()),
        remote_id: Some(Id::Fqdn(name(other).to_owned())),
        psk: b"a key that both sites know".to_vec().into(),
        proposals: IkeProposal::defaults(),
        lifetime: Lifetime { time: None, margin: Duration::ZERO, fuzz_percent: 0, bytes: None, packets: None },
        dpd: Dpd { interval: None, timeout: seconds(30) },
        retransmit: Retransmit::default(),
        retry: Retry::default(),
        fragment_size: Some(1280),
        encapsulation: EncapsulationPolicy::Auto,
        remote_port: 500,
        initial_contact: true,
        childless: false,
        versions: Versions::V2,
        aggressive: false,
        children: vec![child_config("net", node, 0, start)],
    }
}

/// The end that starts everything, as it is configured for the other one.
pub fn site_a() -> PeerConfig {
    site(super::A, StartPolicy::OnLoad)
}

/// The end that waits.
pub fn site_b() -> PeerConfig {
    site(super::B, StartPolicy::Passive)
}

/// Makes a configuration one of IKEv1, with the algorithms of its legacy profile.
pub fn ikev1(peer: &mut PeerConfig) {
    peer.versions = Versions::V1;
    peer.proposals = IkeProposal::parse_list("aes128-sha1-modp1024").expect("proposals");
    for child in &mut peer.children {
        child.proposals = EspProposal::parse_list("aes128-sha1-modp1024", false).expect("proposals");
    }
}

/// The child every configuration here has.
pub fn child() -> ChildName {
    "net".into()
}
