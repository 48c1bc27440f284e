//! What every importer produces, whatever it read: connections whose every value knows its place.

use super::finding::Finding;
use super::place::{Sourced, Spot};
use crypto::SecretBytes;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

/// The formats that are read.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// The managed service's download "Generic".
    AwsText,
    /// The managed service's `CustomerGatewayConfiguration`.
    AwsXml,
    /// What `aws ec2 describe-vpn-connections` prints.
    AwsJson,
    /// `ipsec.conf` by the rules of Openswan.
    Openswan,
    /// `ipsec.conf` by the rules of Libreswan.
    Libreswan,
    /// `ipsec.conf` by the rules of strongSwan.
    Strongswan,
    /// strongSwan's `swanctl.conf`.
    Swanctl,
    /// VyOS `set` commands.
    Vyos,
    /// `ipsec.secrets`.
    Secrets,
}

impl Format {
    /// All that can be asked for by name. A file of secrets alone makes no connection.
    pub const NAMED: [Format; 8] = [
        Format::AwsText,
        Format::AwsXml,
        Format::AwsJson,
        Format::Openswan,
        Format::Libreswan,
        Format::Strongswan,
        Format::Swanctl,
        Format::Vyos,
    ];

    /// The word for it on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Format::AwsText => "aws-text",
            Format::AwsXml => "aws-xml",
            Format::AwsJson => "aws-json",
            Format::Openswan => "openswan",
            Format::Libreswan => "libreswan",
            Format::Strongswan => "strongswan",
            Format::Swanctl => "swanctl",
            Format::Vyos => "vyos",
            Format::Secrets => "secrets",
        }
    }

    /// What people call it.
    pub fn title(self) -> &'static str {
        match self {
            Format::AwsText => "AWS Generic text",
            Format::AwsXml => "AWS CustomerGatewayConfiguration XML",
            Format::AwsJson => "AWS describe-vpn-connections JSON",
            Format::Openswan => "Openswan ipsec.conf",
            Format::Libreswan => "Libreswan ipsec.conf",
            Format::Strongswan => "strongSwan ipsec.conf",
            Format::Swanctl => "swanctl.conf",
            Format::Vyos => "VyOS set commands",
            Format::Secrets => "ipsec.secrets",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.title())
    }
}

/// The result of an import.
#[derive(Clone, PartialEq, Debug)]
pub struct Imported {
    /// The files read, in order, with what they were read as.
    pub files: Vec<(String, Format)>,
    /// What can be used.
    pub connections: Vec<ImportedConnection>,
    /// Exceptions that are asked before any connection.
    pub policies: Vec<ImportedPolicy>,
    /// Connections that cannot be used: name and place. An error among the findings says why.
    pub refused: Vec<Sourced<String>>,
    /// Everything to know, errors first.
    pub findings: Vec<Finding>,
}

/// One connection: one tunnel, or several to the same networks.
#[derive(Clone, PartialEq, Debug)]
pub struct ImportedConnection {
    /// A name that `underpass.toml` takes.
    pub name: Sourced<String>,
    /// At least one. With several, each is a way to the same networks.
    pub tunnels: Vec<ImportedTunnel>,
    /// At least one.
    pub children: Vec<ImportedChild>,
}

/// Which versions of IKE.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IkeVersion {
    /// IKEv1 alone.
    V1,
    /// IKEv2 alone.
    V2,
    /// Either.
    Both,
}

/// How often a negotiation is tried.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tries {
    /// Until it succeeds.
    Forever,
    /// This often.
    Times(u64),
}

/// Who starts a child.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Start {
    /// We, at once.
    OnLoad,
    /// We, at the first packet.
    OnDemand,
    /// The peer.
    Passive,
}

/// What happens to the don't-fragment bit of outer packets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DontFragment {
    /// As the inner packet has it.
    Copy,
    /// Always set.
    Set,
    /// Never set.
    Clear,
}

/// Our address inside a tunnel; the peer has the other host of the network.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Inside {
    /// Ours.
    pub address: Ipv4Addr,
    /// Length of the prefix: 30 at the managed service, or 31.
    pub prefix: u8,
}

impl Inside {
    /// Reads `ADDRESS/LENGTH`, where the length leaves two hosts: else nobody knows the peer's.
    pub(crate) fn parse(text: &str) -> Option<Inside> {
        let (address, prefix) = text.split_once('/')?;
        let prefix = prefix.parse::<u8>().ok().filter(|prefix| matches!(prefix, 30 | 31))?;
        Some(Inside { address: address.parse().ok()?, prefix })
    }

    /// The network both ends are in.
    pub fn network(self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.address) & u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0))
    }

    /// The other host of a /30.
    pub fn peer(self) -> Option<Ipv4Addr> {
        (self.prefix == 30).then(|| Ipv4Addr::from(u32::from(self.address) ^ 3))
    }
}

impl fmt::Display for Inside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// What a file says about BGP inside a tunnel.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Bgp {
    /// Our autonomous system.
    pub local_asn: Option<Sourced<u32>>,
    /// The peer's.
    pub remote_asn: Option<Sourced<u32>>,
    /// The peer's address in the tunnel.
    pub neighbor: Option<Sourced<IpAddr>>,
    /// Seconds of silence after which the session ends.
    pub hold_time_seconds: Option<Sourced<u64>>,
}

impl Bgp {
    /// Whether nothing was said.
    pub fn is_empty(&self) -> bool {
        *self == Bgp::default()
    }
}

/// One peer: who both ends are, how they prove it, and the IKE SA. What is `None` was not said and has our default.
#[derive(Clone, PartialEq, Debug)]
pub struct ImportedTunnel {
    /// What the file calls it.
    pub name: Sourced<String>,
    /// Our outside address; absent where the route chooses it.
    pub local_address: Option<Sourced<IpAddr>>,
    /// The peer's: addresses, DNS names, or `any` alone. At least one.
    pub remote_addresses: Vec<Sourced<String>>,
    /// Our identity, as `underpass.toml` writes it.
    pub local_id: Option<Sourced<String>>,
    /// The peer's, or `any`.
    pub remote_id: Option<Sourced<String>>,
    /// The pre-shared key.
    pub psk: Option<Sourced<SecretBytes>>,
    /// Which versions of IKE.
    pub ike_version: Option<Sourced<IkeVersion>>,
    /// IKEv1's aggressive mode.
    pub aggressive: Option<Sourced<bool>>,
    /// Proposals of the IKE SA, as `underpass.toml` writes them; empty: our defaults.
    pub ike_proposals: Vec<Sourced<String>>,
    /// Seconds; 0 is for ever.
    pub ike_lifetime: Option<Sourced<u64>>,
    /// Seconds before the end.
    pub rekey_margin: Option<Sourced<u64>>,
    /// Percent.
    pub rekey_fuzz: Option<Sourced<u64>>,
    /// Seconds; 0 is off.
    pub dpd_interval: Option<Sourced<u64>>,
    /// Seconds.
    pub dpd_timeout: Option<Sourced<u64>>,
    /// Seconds an unanswered request is repeated for.
    pub give_up: Option<Sourced<u64>>,
    /// Tries of a negotiation.
    pub retry: Option<Sourced<Tries>>,
    /// ESP in UDP always.
    pub force_encapsulation: Option<Sourced<bool>>,
    /// Fragments of IKE messages.
    pub fragmentation: Option<Sourced<bool>>,
    /// The peer's UDP port.
    pub remote_port: Option<Sourced<u64>>,
    /// The outer don't-fragment bit.
    pub dont_fragment: Option<Sourced<DontFragment>>,
    /// Higher is preferred among the tunnels of a connection.
    pub preference: Option<Sourced<u64>>,
    /// ESP proposals of this tunnel, where the tunnels of a connection differ.
    pub esp_proposals: Vec<Sourced<String>>,
    /// Lifetime in seconds of the children of this tunnel, where the tunnels of a connection differ.
    pub child_lifetime: Option<Sourced<u64>>,
    /// Our address inside.
    pub inside: Option<Sourced<Inside>>,
    /// What was said about BGP.
    pub bgp: Bgp,
}

impl ImportedTunnel {
    /// A tunnel of which nothing but the name is known.
    pub fn new(name: Sourced<String>) -> ImportedTunnel {
        ImportedTunnel {
            name,
            local_address: None,
            remote_addresses: Vec::new(),
            local_id: None,
            remote_id: None,
            psk: None,
            ike_version: None,
            aggressive: None,
            ike_proposals: Vec::new(),
            ike_lifetime: None,
            rekey_margin: None,
            rekey_fuzz: None,
            dpd_interval: None,
            dpd_timeout: None,
            give_up: None,
            retry: None,
            force_encapsulation: None,
            fragmentation: None,
            remote_port: None,
            dont_fragment: None,
            preference: None,
            esp_proposals: Vec::new(),
            child_lifetime: None,
            inside: None,
            bgp: Bgp::default(),
        }
    }
}

/// One pair of networks and its SAs.
#[derive(Clone, PartialEq, Debug)]
pub struct ImportedChild {
    /// A name that `underpass.toml` takes.
    pub name: String,
    /// Our side, as selectors of `underpass.toml`. At least one.
    pub local_subnets: Vec<Sourced<String>>,
    /// The peer's side. At least one.
    pub remote_subnets: Vec<Sourced<String>>,
    /// Prefixes routed into the tunnel, where they are not the peer's subnets.
    pub routes: Vec<Sourced<String>>,
    /// Proposals, as `underpass.toml` writes them; empty: our defaults.
    pub esp_proposals: Vec<Sourced<String>>,
    /// Seconds; 0 is for ever.
    pub lifetime: Option<Sourced<u64>>,
    /// Seconds before the end, where it is not the connection's.
    pub rekey_margin: Option<Sourced<u64>>,
    /// Bytes.
    pub lifetime_bytes: Option<Sourced<u64>>,
    /// Packets.
    pub lifetime_packets: Option<Sourced<u64>>,
    /// HMAC-SHA2-256 truncated to 96 bits.
    pub sha256_96: Option<Sourced<bool>>,
    /// One SA per pair of subnets.
    pub split_selectors: Option<Sourced<bool>>,
    /// Packets; 0 is no check.
    pub replay_window: Option<Sourced<u64>>,
    /// Who starts.
    pub start: Option<Sourced<Start>>,
}

impl ImportedChild {
    /// A child between networks that are still to be named.
    pub fn new(name: impl Into<String>) -> ImportedChild {
        ImportedChild {
            name: name.into(),
            local_subnets: Vec::new(),
            remote_subnets: Vec::new(),
            routes: Vec::new(),
            esp_proposals: Vec::new(),
            lifetime: None,
            rekey_margin: None,
            lifetime_bytes: None,
            lifetime_packets: None,
            sha256_96: None,
            split_selectors: None,
            replay_window: None,
            start: None,
        }
    }
}

/// Traffic that passes in clear, or is dropped.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ImportedPolicy {
    /// A name that `underpass.toml` takes.
    pub name: Sourced<String>,
    /// Whether it passes.
    pub bypass: bool,
    /// Source side.
    pub local: Vec<Sourced<String>>,
    /// Destination side.
    pub remote: Vec<Sourced<String>>,
}

/// What an import knows about the machine it is for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Here {
    /// What the operator says is our address.
    pub local: Option<IpAddr>,
    /// The machine's addresses, where somebody looked.
    pub addresses: Option<Vec<IpAddr>>,
    /// The address that packets to elsewhere leave from, where somebody looked.
    pub default_source: Option<IpAddr>,
}

impl Here {
    /// Whether an address is known to be this machine's.
    pub fn has(&self, address: IpAddr) -> bool {
        self.local == Some(address) || self.addresses.as_ref().is_some_and(|known| known.contains(&address))
    }
}

/// A name that `underpass.toml` takes, made of what a file calls something: 1 to 64 letters, digits, `-`, `_` and `.`.
pub(crate) fn usable_name(text: &str) -> String {
    const LONGEST: usize = 64;
    let change = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' };
    let name: String =
        text.trim().chars().map(change).skip_while(|c| !c.is_ascii_alphanumeric()).take(LONGEST).collect();
    let name = name.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
    if name.is_empty() { "imported".to_owned() } else { name.to_owned() }
}

/// Gives every connection a name of its own.
pub(crate) fn distinct_names(connections: &mut [ImportedConnection], findings: &mut super::finding::Findings) {
    let mut known: std::collections::BTreeMap<String, Spot> = std::collections::BTreeMap::new();
    for connection in connections {
        let wanted = connection.name.value.clone();
        if let Some(first) = known.get(&wanted).cloned() {
            let free = (2..).map(|n| format!("{}-{n}", wanted.chars().take(58).collect::<String>()));
            let name = free.into_iter().find(|name| !known.contains_key(name)).unwrap_or_default();
            let message = format!("`{wanted}` is the name of another connection too, at {first}: called `{name}`");
            findings.warning(&connection.name.at, message, "");
            connection.name.value = name;
        }
        known.insert(connection.name.value.clone(), connection.name.at.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_usable_and_inside_addresses_know_their_peer() {
        for (text, name) in
            [("Tunnel1", "Tunnel1"), ("a b/c", "a-b-c"), ("-x-", "x"), ("隧道", "imported"), ("", "imported")]
        {
            assert_eq!(usable_name(text), name, "{text}");
        }
        assert_eq!(usable_name(&"a".repeat(100)).len(), 64);
        let inside = Inside { address: Ipv4Addr::new(169, 254, 36, 30), prefix: 30 };
        assert_eq!(inside.peer(), Some(Ipv4Addr::new(169, 254, 36, 29)));
        assert_eq!(inside.network(), Ipv4Addr::new(169, 254, 36, 28));
        assert_eq!(Inside { address: Ipv4Addr::new(1, 2, 3, 4), prefix: 0 }.network(), Ipv4Addr::UNSPECIFIED);
    }
}
