//! A connection as one of its two ends sees it: what every device is told, before it is put in anybody's words.

use crate::underpass_toml::Loaded;
use crypto::SecretBytes;
use engine::desired::{Connection, InsideAddresses, Tunnel as Member};
use ike::config::{ChildConfig, Dpd, EncapsulationPolicy, Lifetime, PeerName, StartPolicy, Versions};
use ike::id::Id;
use ike::proposal::{EspProposal, IkeProposal};
use ipsec::TrafficSelector;
use std::net::IpAddr;

/// Which end of the connection is to be configured.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Side {
    /// The device at the other end: ours and the peer's are exchanged.
    #[default]
    There,
    /// Our own end.
    Here,
}

/// A connection with all its tunnels, seen from the end that is to be configured (`own`).
#[derive(Clone, PartialEq, Debug)]
pub struct Export {
    /// Its name.
    pub name: String,
    /// Which end `own` is.
    pub side: Side,
    /// Several tunnels lead to the same networks.
    pub is_group: bool,
    /// At least one.
    pub tunnels: Vec<Tunnel>,
    /// Bytes of an outer packet at most.
    pub path_mtu: u16,
}

/// Where an end is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Host {
    /// One address.
    Address(IpAddr),
    /// A DNS name.
    Name(String),
    /// Not written, or anywhere.
    Unknown,
    /// One of several, which is not known.
    Several(Vec<String>),
}

/// Who an end is.
#[derive(Clone, PartialEq, Debug)]
pub struct End {
    /// Where it is.
    pub host: Host,
    /// What it is called; `None`: whoever proves the key.
    pub id: Option<Id>,
    /// Its UDP port of IKE.
    pub port: u16,
}

/// One tunnel: an IKE peer and its children.
#[derive(Clone, PartialEq, Debug)]
pub struct Tunnel {
    /// Its name.
    pub name: String,
    /// The end that is to be configured.
    pub own: End,
    /// The end it speaks to.
    pub peer: End,
    /// The pre-shared key.
    pub psk: SecretBytes,
    /// Which versions of IKE.
    pub versions: Versions,
    /// IKEv1's aggressive mode.
    pub aggressive: bool,
    /// Proposals of IKE, most preferred first.
    pub ike: Vec<IkeProposal>,
    /// Lifetime of the IKE SA.
    pub lifetime: Lifetime,
    /// Dead peer detection.
    pub dpd: Dpd,
    /// IKE messages may be fragmented.
    pub fragmentation: bool,
    /// ESP in UDP, NAT or not.
    pub encapsulation: EncapsulationPolicy,
    /// Addresses inside; `local` is the end that is to be configured.
    pub inside: Option<InsideAddresses>,
    /// What it protects; `local` is the end that is to be configured.
    pub children: Vec<ChildConfig>,
    /// Prefixes that the end to be configured routes into the tunnel.
    pub routes: Vec<(IpAddr, u8)>,
}

impl Export {
    /// The connection or the single tunnel called `name`.
    pub fn of(loaded: &Loaded, name: &str, side: Side) -> Option<Export> {
        let key = PeerName::from(name);
        let path_mtu = loaded.state.gateway.path_mtu;
        let ports = loaded.state.gateway.endpoint.ike_port;
        let single = |member: Option<&Member>, name: &PeerName| {
            let connection = loaded.state.connections.get(name)?;
            Some(tunnel(connection, member, ports, side))
        };
        if let Some(group) = loaded.state.groups.get(&key) {
            let tunnels: Option<Vec<Tunnel>> =
                group.tunnels.iter().map(|member| single(Some(member), &member.peer)).collect();
            let tunnels = tunnels.filter(|tunnels| !tunnels.is_empty())?;
            return Some(Export { name: name.to_owned(), side, is_group: tunnels.len() > 1, tunnels, path_mtu });
        }
        let member = loaded.state.groups.values().flat_map(|group| &group.tunnels).find(|member| member.peer == key);
        let tunnels = vec![single(member, &key)?];
        Some(Export { name: name.to_owned(), side, is_group: false, tunnels, path_mtu })
    }

    /// Every name that [`Export::of`] takes, connections of several tunnels first.
    pub fn names(loaded: &Loaded) -> Vec<String> {
        loaded.state.groups.keys().chain(loaded.state.connections.keys()).map(ToString::to_string).collect()
    }
}

fn tunnel(connection: &Connection, member: Option<&Member>, our_port: u16, side: Side) -> Tunnel {
    let peer = &connection.peer;
    let ours = End {
        host: peer.local_address.map_or(Host::Unknown, Host::Address),
        id: Some(peer.local_id.clone()),
        port: our_port,
    };
    let theirs = End { host: their_host(connection), id: peer.remote_id.clone(), port: peer.remote_port };
    let (own, other) = match side {
        Side::There => (theirs, ours),
        Side::Here => (ours, theirs),
    };
    let children: Vec<ChildConfig> = peer.children.iter().map(|child| seen_from(child, side)).collect();
    let routes = match side {
        Side::Here => connection.routes.clone(),
        Side::There => prefixes(&children),
    };
    Tunnel {
        name: peer.name.to_string(),
        own,
        peer: other,
        psk: peer.psk.clone(),
        versions: peer.versions,
        aggressive: peer.aggressive,
        ike: peer.proposals.clone(),
        lifetime: peer.lifetime,
        dpd: peer.dpd,
        fragmentation: peer.fragment_size.is_some(),
        encapsulation: peer.encapsulation,
        inside: member.and_then(|member| member.inside).map(|inside| match side {
            Side::Here => inside,
            Side::There => InsideAddresses { local: inside.remote, remote: inside.local, ..inside },
        }),
        children,
        routes,
    }
}

fn their_host(connection: &Connection) -> Host {
    match (connection.peer.remote_addresses.as_slice(), connection.remote_names.as_slice()) {
        ([], []) => Host::Unknown,
        ([address], []) => Host::Address(*address),
        ([], [name]) => Host::Name(name.clone()),
        (addresses, names) => {
            Host::Several(addresses.iter().map(ToString::to_string).chain(names.iter().cloned()).collect())
        }
    }
}

/// A child as that end has it. Who waits at one end is called at the other, and the other way round.
fn seen_from(child: &ChildConfig, side: Side) -> ChildConfig {
    match side {
        Side::Here => child.clone(),
        Side::There => ChildConfig {
            local: child.remote.clone(),
            remote: child.local.clone(),
            start: match child.start {
                StartPolicy::OnLoad | StartPolicy::OnDemand => StartPolicy::Passive,
                StartPolicy::Passive => StartPolicy::OnLoad,
            },
            ..child.clone()
        },
    }
}

/// What lies behind the peer, but for "everything", which is no route to set.
fn prefixes(children: &[ChildConfig]) -> Vec<(IpAddr, u8)> {
    let remote = children.iter().flat_map(|child| &child.remote);
    let mut found: Vec<(IpAddr, u8)> =
        remote.flat_map(TrafficSelector::prefixes).filter(|(_, length)| *length > 0).collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// Every suite of a list of IKE proposals, most preferred first.
pub fn ike_suites(proposals: &[IkeProposal]) -> Vec<ike::proposal::IkeSuite> {
    let mut found = Vec::new();
    for proposal in proposals {
        let integrities: Vec<Option<crypto::Integrity>> = optional(&proposal.integrities);
        for cipher in &proposal.ciphers {
            for integrity in &integrities {
                for prf in &proposal.prfs {
                    // Two hashes in one suite are what nobody asks for, but where the list names nothing else.
                    let odd = integrity.is_some_and(|integrity| prf_of(integrity) != *prf);
                    let natural = integrity.is_some_and(|integrity| proposal.prfs.contains(&prf_of(integrity)));
                    if odd && natural {
                        continue;
                    }
                    found.extend(proposal.groups.iter().map(|group| ike::proposal::IkeSuite {
                        cipher: *cipher,
                        integrity: *integrity,
                        prf: *prf,
                        group: *group,
                    }));
                }
            }
        }
    }
    found
}

/// Every suite of a list of ESP proposals, most preferred first.
pub fn esp_suites(proposals: &[EspProposal]) -> Vec<ike::proposal::EspChoice> {
    let mut found = Vec::new();
    for proposal in proposals {
        for cipher in &proposal.ciphers {
            for integrity in optional(&proposal.integrities) {
                for group in optional(&proposal.groups) {
                    found.extend(proposal.esn.iter().map(|esn| ike::proposal::EspChoice {
                        suite: ipsec::EspSuite { cipher: *cipher, integrity, esn: *esn },
                        group,
                    }));
                }
            }
        }
    }
    found
}

/// The PRF on the primitive of an integrity algorithm.
pub(super) fn prf_of(integrity: crypto::Integrity) -> crypto::Prf {
    use crypto::{Integrity, Prf};
    match integrity {
        Integrity::HmacSha1_96 => Prf::HmacSha1,
        Integrity::HmacSha2_256_128 | Integrity::HmacSha2_256_96 => Prf::HmacSha2_256,
        Integrity::HmacSha2_384_192 => Prf::HmacSha2_384,
        Integrity::HmacSha2_512_256 => Prf::HmacSha2_512,
        Integrity::AesXcbc96 => Prf::AesXcbc128,
        Integrity::AesCmac96 => Prf::AesCmac128,
    }
}

fn optional<T: Copy>(list: &[T]) -> Vec<Option<T>> {
    if list.is_empty() { vec![None] } else { list.iter().copied().map(Some).collect() }
}
