//! The machine as far as it concerns tunnels.

use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Facts of the host. What could not be read is not known.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Host {
    /// UDP ports of IKE that somebody else has.
    pub port_conflicts: Vec<PortConflict>,
    /// Privileges of whoever asks.
    pub capabilities: Option<Capabilities>,
    /// Whether /dev/net/tun can be opened.
    pub tun: Option<bool>,
    /// Addresses of this host.
    pub addresses: Option<Vec<IpAddr>>,
    /// net.ipv4.ip_forward.
    pub ip_forward: Option<bool>,
    /// net.ipv6.conf.all.forwarding.
    pub ip6_forward: Option<bool>,
    /// Interfaces with their networks and settings.
    pub interfaces: Vec<Interface>,
    /// Where the routing table sends each network behind a peer.
    pub routes: Vec<PrefixRoute>,
    /// The interface that leads to each peer.
    pub outside: Vec<PrefixRoute>,
    /// Rules of the firewall that have hit something.
    pub filters: Vec<Filter>,
    /// Names of peers and what they resolve to now.
    pub names: Vec<ResolvedName>,
    /// Seconds by which the clock is behind something that was written on this host; the clock is wrong by at least that.
    pub clock_behind_seconds: Option<u64>,
    /// What shows that.
    pub clock_witness: Option<String>,
    /// Whether the kernel calls the clock synchronised.
    pub clock_synchronised: Option<bool>,
}

/// A UDP port that somebody else has.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PortConflict {
    /// Address and port.
    pub address: String,
    /// Name and process id, as far as can be seen.
    pub owner: Option<String>,
}

/// Privileges.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Capabilities {
    /// CAP_NET_ADMIN: interfaces and routes.
    pub net_admin: bool,
    /// CAP_NET_RAW: protocol 50.
    pub net_raw: bool,
    /// Whether it is root who asks: another user is hardly the one who runs the gateway.
    pub root: bool,
}

/// An interface.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// MTU in bytes.
    pub mtu: Option<u32>,
    /// Up and able to send.
    pub running: Option<bool>,
    /// Its addresses with their prefix lengths.
    pub networks: Vec<String>,
    /// The reverse-path filter in force: 0 off, 1 strict, 2 loose (the larger of `all` and its own).
    pub rp_filter: Option<u8>,
}

/// Where the kernel sends packets for a prefix.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PrefixRoute {
    /// The prefix or address asked for.
    pub prefix: String,
    /// The interface; none when there is no route or it is refused.
    pub interface: Option<String>,
    /// The route that decides, in words.
    pub route: Option<String>,
    /// MTU of that interface.
    pub mtu: Option<u32>,
}

/// A rule of the firewall that has hit something.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Filter {
    /// Table and chain.
    pub place: String,
    /// `input`, `forward`, `output`, `postrouting`, `prerouting`.
    pub hook: String,
    /// The rule.
    pub rule: String,
    /// `drop`, `reject`, `masquerade`, `snat`.
    pub action: String,
    /// Packets it has hit; not known where it has no counter.
    pub packets: Option<u64>,
}

/// A peer's name.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ResolvedName {
    /// The name.
    pub name: String,
    /// Its addresses; empty when it does not resolve.
    pub addresses: Vec<IpAddr>,
}

/// What was tried out.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "probe", rename_all = "snake_case")]
pub enum Probe {
    /// An unauthenticated first message of IKE.
    Ike {
        /// Where to.
        to: String,
        /// Whether anything came back.
        answered: bool,
        /// Who said by ICMP that it cannot be, and what.
        refused_by: Option<String>,
        /// In words.
        refusal: Option<String>,
    },
    /// Echoes with the don't-fragment bit through the tunnel.
    Sizes {
        /// Whom.
        to: String,
        /// Largest that was answered, bytes of IP packet; none when not even the small one was.
        largest_answered: Option<u32>,
        /// Smallest that was not.
        smallest_lost: Option<u32>,
        /// Whether somebody said that it is too big.
        told: bool,
    },
}
