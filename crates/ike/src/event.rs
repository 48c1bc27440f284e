//! What an endpoint tells its owner: datagrams to send, SAs to install, and typed events that an operator can read.

mod ignored;
mod role;
mod sign;

pub use ignored::IgnoredReason;
pub use role::Role;
pub use sign::Sign;

use crate::config::{ChildName, Lifetime, Path, PeerName, Version, Versions};
use crate::id::Id;
use crate::proposal::{EspChoice, IkeSuite, ProposalDiff};
use crate::trace::Traced;
use crate::wire::{IkeSpi, NotifyType};
use ipsec::{Encapsulation, EspKeys, EspSuite, SpiPair, TrafficSelector};
use std::borrow::Cow;
use std::net::IpAddr;
use std::time::Duration;

/// A CHILD_SA, for as long as the endpoint lives. Survives a rekey of the IKE SA, not its own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ChildId(pub u64);

/// What comes out of [`crate::Endpoint::poll_output`], in the order in which it must be carried out.
#[derive(Debug)]
pub enum Output {
    /// Send an IKE message. With a local port other than the IKE port it needs the non-ESP marker (RFC 3948 §2.2).
    Transmit(Transmit),
    /// Send a NAT keepalive: one byte 0xFF (RFC 3948 §2.3).
    Keepalive(Path),
    /// Install a CHILD_SA pair; inbound at once, outbound when `outbound_active` says so.
    InstallChild(Box<ChildInstall>),
    /// From now on send on this child rather than on the one it replaces.
    ActivateOutbound(ChildId),
    /// A sign of whether what we send reaches a peer there is an established SA with.
    Sign(PeerName, Sign),
    /// Stop sending on this child at once. Packets under way may still be accepted for `linger`.
    RemoveChild {
        /// Which.
        child: ChildId,
        /// How long the inbound SA may still be used.
        linger: Duration,
    },
    /// The peer's address changed (RFC 7296 §2.23).
    MoveChild {
        /// Which.
        child: ChildId,
        /// Where it goes now.
        encapsulation: Encapsulation,
    },
    /// A message that was sent, or received and understood.
    Trace(Box<Traced>),
    /// Something an operator, a metric or a test wants to know.
    Event(Event),
}

/// An IKE message on its way out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Transmit {
    /// From and to.
    pub path: Path,
    /// The IKE message, without non-ESP marker.
    pub message: Vec<u8>,
}

/// Everything the data plane needs for a CHILD_SA pair.
#[derive(Debug)]
pub struct ChildInstall {
    /// The child.
    pub child: ChildId,
    /// Whose it is.
    pub peer: PeerName,
    /// Its configuration.
    pub name: ChildName,
    /// Algorithms.
    pub suite: EspSuite,
    /// SPIs of the two directions.
    pub spis: SpiPair,
    /// Keys for what we send.
    pub outbound_keys: EspKeys,
    /// Keys for what we receive.
    pub inbound_keys: EspKeys,
    /// Our side of the traffic, as negotiated.
    pub local: Vec<TrafficSelector>,
    /// The peer's side of the traffic, as negotiated.
    pub remote: Vec<TrafficSelector>,
    /// Addresses of the tunnel's ends.
    pub encapsulation: Encapsulation,
    /// Anti-replay window in packets; 0 is off.
    pub replay_window: u32,
    /// Limits in bytes and packets.
    pub lifetime: Lifetime,
    /// The child this one takes over from.
    pub replaces: Option<ChildId>,
    /// Whether to send on it at once. The responder of a rekey waits for the peer (RFC 7296 §2.8).
    pub outbound_active: bool,
}

/// Why something is down, was closed, or did not come up.
#[derive(Clone, PartialEq, Debug)]
pub enum DownReason {
    /// Nothing asked for it yet: on demand or passive.
    Idle,
    /// An operator took it down.
    Administrative,
    /// The configuration no longer has it, or changed it.
    Reconfigured,
    /// We have no address to send from to the peer.
    NoRoute,
    /// No answer to our requests.
    NoAnswer {
        /// Which request.
        exchange: &'static str,
        /// For how long we asked.
        after: Duration,
    },
    /// The peer answered with an error notify.
    Refused {
        /// Which one.
        notify: NotifyType,
        /// In which exchange.
        exchange: &'static str,
        /// What we offered, when algorithms were refused.
        offered: Option<String>,
    },
    /// The peer answered with an error notify of IKEv1 (RFC 2408 §3.14.1).
    RefusedByV1 {
        /// Which one, by its registered name.
        notify: Cow<'static, str>,
        /// In which exchange.
        exchange: &'static str,
        /// What we offered, when algorithms were refused.
        offered: Option<String>,
    },
    /// The peer's proposals and ours have nothing in common.
    NoProposalChosen(Box<ProposalDiff>),
    /// The peer speaks another version of IKE than the configuration allows.
    VersionMismatch {
        /// What the configuration allows.
        ours: Versions,
        /// What the peer spoke.
        theirs: Version,
    },
    /// The peer wants another mode of IKEv1 than the configuration.
    ModeMismatch {
        /// What the configuration has.
        ours: &'static str,
        /// What the peer wants.
        theirs: &'static str,
    },
    /// A protected message of IKEv1's phase 1 does not decrypt: the pre-shared keys differ (RFC 2409 §5).
    Undecryptable {
        /// Which message.
        message: &'static str,
        /// Whose key was tried: a connection's name.
        key: String,
        /// From where.
        remote: IpAddr,
    },
    /// The peer demands what is deliberately not spoken here.
    Unsupported {
        /// What it demands.
        what: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// The peer's traffic selectors and ours have nothing in common.
    TrafficSelectors {
        /// What we would accept.
        ours: String,
        /// What the peer asked for.
        theirs: String,
    },
    /// The peer's AUTH does not match: the pre-shared keys differ.
    PskMismatch {
        /// Identity the peer claimed.
        id: Id,
    },
    /// The peer is not who the configuration expects.
    IdentityMismatch {
        /// What we expect.
        expected: String,
        /// What the peer sent.
        received: Id,
    },
    /// The peer wants to talk to somebody else (IDr, RFC 7296 §2.15).
    WrongResponder {
        /// Whom it asked for.
        asked: Id,
        /// Who we are to it.
        ours: String,
    },
    /// The peer broke a rule of the protocol.
    Misbehaved(&'static str),
    /// The peer deleted the SA.
    PeerDeleted,
    /// The peer came back with INITIAL_CONTACT or a new SA took over.
    Superseded,
    /// Redundant after a collision (RFC 7296 §2.8.1).
    Redundant,
    /// Its lifetime ended before a rekey succeeded.
    Expired,
    /// A key exchange or cipher refused its input.
    Crypto(String),
}

impl DownReason {
    /// A stable word for metrics and scripts.
    pub fn code(&self) -> &'static str {
        match self {
            DownReason::Idle => "idle",
            DownReason::Administrative => "administrative",
            DownReason::Reconfigured => "reconfigured",
            DownReason::NoRoute => "no_route",
            DownReason::NoAnswer { .. } => "no_answer",
            DownReason::Refused { .. } | DownReason::RefusedByV1 { .. } => "refused",
            DownReason::NoProposalChosen(_) => "no_proposal_chosen",
            DownReason::VersionMismatch { .. } => "version_mismatch",
            DownReason::ModeMismatch { .. } => "mode_mismatch",
            // The same cause as an AUTH that does not match.
            DownReason::Undecryptable { .. } => "psk_mismatch",
            DownReason::Unsupported { .. } => "unsupported",
            DownReason::TrafficSelectors { .. } => "traffic_selectors",
            DownReason::PskMismatch { .. } => "psk_mismatch",
            DownReason::IdentityMismatch { .. } => "identity_mismatch",
            DownReason::WrongResponder { .. } => "wrong_responder",
            DownReason::Misbehaved(_) => "misbehaved",
            DownReason::PeerDeleted => "peer_deleted",
            DownReason::Superseded => "superseded",
            DownReason::Redundant => "redundant",
            DownReason::Expired => "expired",
            DownReason::Crypto(_) => "crypto",
        }
    }
}

fn refused(f: &mut std::fmt::Formatter<'_>, exchange: &str, notify: &str, offered: Option<&str>) -> std::fmt::Result {
    write!(f, "the peer answered {exchange} with {notify}")?;
    match offered {
        Some(offered) => write!(f, "; we offered {offered}"),
        None => Ok(()),
    }
}

impl std::fmt::Display for DownReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            DownReason::Idle => write!(f, "nothing asked for it yet"),
            DownReason::Administrative => write!(f, "taken down by an operator"),
            DownReason::Reconfigured => write!(f, "the configuration changed"),
            DownReason::NoRoute => write!(f, "no local address reaches the peer: check the interface and its route"),
            DownReason::NoAnswer { exchange, after } => {
                let remedy = crate::v1::remedy_of_silence(exchange);
                write!(f, "no answer to {exchange} for {} s: {remedy}", after.as_secs())
            }
            DownReason::Refused { notify, exchange, offered } => {
                refused(f, exchange, &notify.name(), offered.as_deref())?;
                if *notify == NotifyType::SINGLE_PAIR_REQUIRED {
                    write!(f, ": it takes one pair of subnets per child SA; set split_selectors = true")?;
                }
                Ok(())
            }
            DownReason::RefusedByV1 { notify, exchange, offered } => refused(f, exchange, notify, offered.as_deref()),
            DownReason::NoProposalChosen(diff) => write!(f, "no proposal in common: {diff}"),
            DownReason::VersionMismatch { ours, theirs } => {
                write!(
                    f,
                    "the peer speaks {theirs}, the configuration allows {}: set ike_version or the peer's keyexchange",
                    ours.name()
                )
            }
            DownReason::ModeMismatch { ours, theirs } => {
                write!(f, "the peer begins with {theirs}, the configuration has {ours}: set aggressive at one end")
            }
            DownReason::Undecryptable { message, key, remote } => {
                write!(
                    f,
                    "{message} from {remote} does not decrypt: the pre-shared key of {key} differs from the peer's: \
                     compare both, blanks and quotes included"
                )
            }
            DownReason::Unsupported { what, remedy } => write!(f, "the peer demands {what}: {remedy}"),
            DownReason::TrafficSelectors { ours, theirs } => {
                write!(f, "traffic selectors do not meet: the peer asks for {theirs}, we accept {ours}")
            }
            DownReason::PskMismatch { id } => {
                write!(
                    f,
                    "the pre-shared key for {id} differs from the peer's: compare both, blanks and quotes included"
                )
            }
            DownReason::IdentityMismatch { expected, received } => {
                write!(
                    f,
                    "the peer calls itself {received}, the configuration expects {expected}: set remote_id or the peer's id"
                )
            }
            DownReason::WrongResponder { asked, ours } => {
                write!(f, "the peer asks for {asked}, we are {ours}: set local_id or the peer's remote id")
            }
            DownReason::Misbehaved(rule) => write!(f, "the peer broke a rule: {rule}"),
            DownReason::PeerDeleted => write!(f, "the peer deleted it"),
            DownReason::Superseded => write!(f, "a newer SA with the peer took over"),
            DownReason::Redundant => write!(f, "redundant after a simultaneous negotiation"),
            DownReason::Expired => write!(f, "its lifetime ended before a rekey succeeded"),
            DownReason::Crypto(what) => write!(f, "key exchange failed: {what}"),
        }
    }
}

/// What happened.
#[derive(Clone, PartialEq, Debug)]
pub enum Event {
    /// A negotiation with a peer began.
    Connecting {
        /// Whom.
        peer: PeerName,
        /// From and to.
        path: Path,
        /// Counted from 1 since the peer was last up.
        attempt: u32,
    },
    /// The peer does not answer in one version of IKE: the next try is in the other.
    FellBack {
        /// Whom.
        peer: PeerName,
        /// What was not answered.
        from: Version,
        /// What comes next.
        to: Version,
        /// Why.
        reason: DownReason,
    },
    /// Aggressive mode is in use: whoever listens can try pre-shared keys at leisure.
    AggressiveMode {
        /// Whom.
        peer: PeerName,
    },
    /// The peer's lifetime of an SA is another than ours: the shorter one counts.
    LifetimeDiffers {
        /// Whom.
        peer: PeerName,
        /// Which child; none for the IKE SA.
        name: Option<ChildName>,
        /// What the configuration has; none is for ever.
        ours: Option<Duration>,
        /// What the peer said.
        theirs: Duration,
    },
    /// The peer cut our selectors down; the rest of the traffic has no SA.
    Narrowed {
        /// Whom.
        peer: PeerName,
        /// Which child.
        name: ChildName,
        /// What we asked for.
        asked: String,
        /// What it granted.
        granted: String,
    },
    /// The peer cuts HMAC-SHA2-256 in ESP to another length than ours: every packet of it is dropped. Found by the data plane.
    TruncationDiffers {
        /// Whom.
        peer: PeerName,
        /// Which child.
        name: ChildName,
        /// What its packets are sealed with.
        theirs: crypto::Integrity,
    },
    /// Both ends proved who they are.
    IkeSaUp {
        /// Whom.
        peer: PeerName,
        /// Which version of IKE.
        version: Version,
        /// From and to.
        path: Path,
        /// Our SPI.
        local_spi: IkeSpi,
        /// The peer's SPI.
        remote_spi: IkeSpi,
        /// Algorithms.
        suite: IkeSuite,
        /// Who began.
        role: Role,
        /// Who the peer proved to be.
        remote_id: Id,
        /// Whether a NAT stands before us, before the peer.
        nat: (bool, bool),
    },
    /// A new IKE SA replaced an old one.
    IkeSaRekeyed {
        /// Whom.
        peer: PeerName,
        /// Our old SPI.
        old: IkeSpi,
        /// Our new SPI.
        new: IkeSpi,
        /// Who began.
        role: Role,
    },
    /// An IKE SA is gone.
    IkeSaDown {
        /// Whom.
        peer: PeerName,
        /// Our SPI.
        local_spi: IkeSpi,
        /// Why.
        reason: DownReason,
    },
    /// A negotiation did not succeed.
    ConnectFailed {
        /// Whom.
        peer: PeerName,
        /// Why.
        reason: DownReason,
        /// Next try, if there is one.
        retry_in: Option<Duration>,
    },
    /// Somebody we do not know, or cannot agree with, tried.
    Rejected {
        /// From and to.
        path: Path,
        /// The peer it would have been.
        peer: Option<PeerName>,
        /// Why not.
        reason: DownReason,
    },
    /// Traffic can flow.
    ChildSaUp {
        /// Whom.
        peer: PeerName,
        /// Which.
        name: ChildName,
        /// The child.
        child: ChildId,
        /// SPIs.
        spis: SpiPair,
        /// Algorithms.
        choice: EspChoice,
        /// The child it replaces.
        replaces: Option<ChildId>,
        /// Who began.
        role: Role,
    },
    /// A child is gone.
    ChildSaDown {
        /// Whom.
        peer: PeerName,
        /// Which.
        name: ChildName,
        /// The child.
        child: ChildId,
        /// Why.
        reason: DownReason,
    },
    /// A child did not come up, or a rekey did not succeed. The IKE SA stays.
    ChildFailed {
        /// Whom.
        peer: PeerName,
        /// Which, when known.
        name: Option<ChildName>,
        /// Why.
        reason: DownReason,
        /// Whether an old child still carries the traffic.
        rekey: bool,
    },
    /// The peer sends from another address or port.
    PeerMoved {
        /// Whom.
        peer: PeerName,
        /// Before.
        from: Path,
        /// Now.
        to: Path,
    },
    /// The peer sent a notify that says something to an operator.
    PeerNotified {
        /// Whom.
        peer: PeerName,
        /// What, by its registered name.
        notify: Cow<'static, str>,
    },
    /// Cookies are demanded, or no longer.
    CookiesDemanded(bool),
    /// A datagram was ignored.
    Ignored {
        /// From and to.
        path: Path,
        /// Why.
        reason: IgnoredReason,
    },
}
