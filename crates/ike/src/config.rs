//! What an endpoint is asked to do: peers, their credentials, algorithms, lifetimes and children.
//!
//! Values only: parsed and checked elsewhere (`formats`), compared field by field when a new configuration is applied,
//! so that a reload touches only what changed.

use crate::id::Id;
use crate::proposal::{EspProposal, IkeProposal};
use crypto::SecretBytes;
use ipsec::TrafficSelector;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// Name of a peer (a connection in the configuration file). Unique within an endpoint.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PeerName(pub Arc<str>);

/// Name of a child of a peer. Unique within its peer.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ChildName(pub Arc<str>);

impl From<&str> for PeerName {
    fn from(name: &str) -> Self {
        PeerName(name.into())
    }
}
impl From<&str> for ChildName {
    fn from(name: &str) -> Self {
        ChildName(name.into())
    }
}
impl std::fmt::Display for PeerName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
impl std::fmt::Display for ChildName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Everything about one peer.
#[derive(Clone, PartialEq, Debug)]
pub struct PeerConfig {
    /// Name in logs and status.
    pub name: PeerName,
    /// Our address; `None` lets the host choose by route and accepts any as responder.
    pub local_address: Option<IpAddr>,
    /// Addresses to try in turn as initiator (resolved already). Empty: any address, responder only.
    pub remote_addresses: Vec<IpAddr>,
    /// Our identity (IDi/IDr, RFC 7296 §3.5).
    pub local_id: Id,
    /// Identity the peer must prove; `None` accepts any identity that proves the key.
    pub remote_id: Option<Id>,
    /// The pre-shared key. Hidden in every rendering.
    pub psk: SecretBytes,
    /// IKE proposals, most preferred first.
    pub proposals: Vec<IkeProposal>,
    /// Lifetime of the IKE SA before it is rekeyed.
    pub lifetime: Lifetime,
    /// Liveness checks.
    pub dpd: Dpd,
    /// Retransmission of our requests.
    pub retransmit: Retransmit,
    /// What to do when a negotiation or an SA fails.
    pub retry: Retry,
    /// IKE fragmentation (RFC 7383): largest IP packet we send before fragmenting; `None` turns it off.
    pub fragment_size: Option<u16>,
    /// UDP encapsulation: only when a NAT is found, or always.
    pub encapsulation: EncapsulationPolicy,
    /// UDP port of the peer for the first message (500; some peers want 4500 from the start).
    pub remote_port: u16,
    /// Send INITIAL_CONTACT when this is our first SA with the peer (RFC 7296 §2.4).
    pub initial_contact: bool,
    /// Create the IKE SA without a first child where the peer can (RFC 6023).
    pub childless: bool,
    /// Which versions of IKE are spoken with this peer.
    pub versions: Versions,
    /// IKEv1: aggressive mode in place of main mode, in both roles. It shows a hash of the pre-shared key to whoever asks.
    pub aggressive: bool,
    /// The children, in order; the first one `start`ed rides in IKE_AUTH.
    pub children: Vec<ChildConfig>,
}

/// One CHILD_SA to keep with a peer.
#[derive(Clone, PartialEq, Debug)]
pub struct ChildConfig {
    /// Name in logs and status.
    pub name: ChildName,
    /// Our side of the traffic.
    pub local: Vec<TrafficSelector>,
    /// The peer's side of the traffic.
    pub remote: Vec<TrafficSelector>,
    /// ESP proposals, most preferred first.
    pub proposals: Vec<EspProposal>,
    /// Lifetime before rekey.
    pub lifetime: Lifetime,
    /// Who starts it.
    pub start: StartPolicy,
    /// Anti-replay window in packets, 64 to 8192; 0 turns the check off.
    pub replay_window: u32,
    /// HMAC-SHA2-256 in ESP is truncated to 96 bits, as peers do that follow the draft of before RFC 4868 (128 bits).
    pub sha256_96: bool,
}

/// Keys that an IKEv1 responder tries on one message: in main mode the identity comes encrypted with a key made of the
/// pre-shared one, so it is among those of all connections that fit the peer's address (RFC 2409 §5.4).
pub const KEYS_TRIED: usize = 16;

/// A major version of IKE.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Version {
    /// RFC 2408, RFC 2409.
    V1,
    /// RFC 7296.
    V2,
}

impl Version {
    /// The word of the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Version::V1 => "ikev1",
            Version::V2 => "ikev2",
        }
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Version::V1 => "IKEv1",
            Version::V2 => "IKEv2",
        })
    }
}

/// Which versions of IKE are spoken with a peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Versions {
    /// IKEv1 alone.
    V1,
    /// IKEv2 alone.
    #[default]
    V2,
    /// Whatever the peer begins with; we begin with IKEv2 and fall back to IKEv1 where it is not answered.
    Both,
}

impl Versions {
    /// Whether a version is among them.
    pub fn allow(self, version: Version) -> bool {
        match self {
            Versions::V1 => version == Version::V1,
            Versions::V2 => version == Version::V2,
            Versions::Both => true,
        }
    }

    /// The word of the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Versions::V1 => "ikev1",
            Versions::V2 => "ikev2",
            Versions::Both => "both",
        }
    }
}

/// When an SA is replaced (RFC 7296 §2.8). A rekey starts at `time - margin * (1 + random(0..fuzz))`; the SA is deleted
/// at `time` if the rekey has not succeeded by then.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lifetime {
    /// Hard lifetime; `None` means for ever.
    pub time: Option<Duration>,
    /// Rekey this long before `time`, at least.
    pub margin: Duration,
    /// Extra random margin, in percent of `margin` (0 to 100 and more).
    pub fuzz_percent: u8,
    /// Hard limit in bytes of payload; the rekey starts at 90 %.
    pub bytes: Option<u64>,
    /// Hard limit in packets; the rekey starts at 90 %.
    pub packets: Option<u64>,
}

impl Lifetime {
    /// A lifetime by time alone, with a tenth of it as margin and full fuzz.
    pub fn of(time: Duration) -> Lifetime {
        Lifetime { time: Some(time), margin: time / 10, fuzz_percent: 100, bytes: None, packets: None }
    }
}

/// Dead peer detection: an empty INFORMATIONAL (RFC 7296 §2.4) when nothing authentic was heard for `interval`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Dpd {
    /// Silence before a check is sent; `None` sends none.
    pub interval: Option<Duration>,
    /// A check unanswered for this long declares the peer dead.
    pub timeout: Duration,
}

/// Retransmission of a request: first after `initial`, then `factor_percent`/100 times the last interval, each with up
/// to `jitter_percent` added, never more than `cap`, given up after `give_up`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Retransmit {
    /// First interval.
    pub initial: Duration,
    /// Growth in percent (180 = 1.8 times).
    pub factor_percent: u32,
    /// Longest interval.
    pub cap: Duration,
    /// Jitter in percent of an interval.
    pub jitter_percent: u32,
    /// Give up this long after the first transmission.
    pub give_up: Duration,
}

impl Default for Retransmit {
    fn default() -> Self {
        Retransmit {
            initial: Duration::from_millis(1000),
            factor_percent: 180,
            cap: Duration::from_secs(20),
            jitter_percent: 20,
            give_up: Duration::from_secs(60),
        }
    }
}

/// Whether and how fast a failed negotiation starts again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Retry {
    /// Negotiations to try; `None` retries for ever (the default).
    pub tries: Option<u32>,
    /// Wait before the second try; doubles, with jitter.
    pub first: Duration,
    /// Longest wait.
    pub cap: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Retry { tries: None, first: Duration::from_secs(1), cap: Duration::from_secs(60) }
    }
}

/// UDP encapsulation of ESP (RFC 3948, RFC 7296 §2.23).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EncapsulationPolicy {
    /// When NAT detection finds a NAT.
    Auto,
    /// Always: our NAT detection hashes are made not to match.
    Force,
}

/// Who starts a child.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StartPolicy {
    /// We do, when the configuration is loaded, and again whenever it goes down.
    OnLoad,
    /// We do, when the first packet for it arrives.
    OnDemand,
    /// The peer does.
    Passive,
}

/// Properties of an endpoint as a whole.
#[derive(Clone, PartialEq, Debug)]
pub struct EndpointConfig {
    /// UDP port for IKE (500).
    pub ike_port: u16,
    /// UDP port for IKE and ESP behind NAT (4500).
    pub nat_port: u16,
    /// Half-open IKE SAs before cookies are demanded (RFC 7296 §2.6).
    pub half_open_before_cookie: usize,
    /// Half-open IKE SAs kept at most; more are refused.
    pub half_open_limit: usize,
    /// A half-open IKE SA is dropped after this long.
    pub half_open_timeout: Duration,
    /// Vendor ID sent in IKE_SA_INIT; empty sends none.
    pub vendor_id: Vec<u8>,
}

impl Default for EndpointConfig {
    fn default() -> Self {
        EndpointConfig {
            ike_port: 500,
            nat_port: 4500,
            // 256 half-open SAs of about 4 KiB each are 1 MiB.
            half_open_before_cookie: 256,
            half_open_limit: 16_384,
            half_open_timeout: Duration::from_secs(30),
            vendor_id: Vec::new(),
        }
    }
}

/// The two ends of an IKE SA's datagrams. Ports other than `ike_port` carry the non-ESP marker (RFC 3948 §2.2).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Path {
    /// Our address and port. An unspecified address lets the host choose by route.
    pub local: SocketAddr,
    /// The peer's address and port as we see it.
    pub remote: SocketAddr,
}

impl PeerConfig {
    /// The child named `name`.
    pub fn child(&self, name: &ChildName) -> Option<&ChildConfig> {
        self.children.iter().find(|child| &child.name == name)
    }
}
