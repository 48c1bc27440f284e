//! The packet path: pure functions of a table and a packet. Workers in `host` call them; so does the simulation.

mod egress;
mod ingress;

pub use egress::Egress;
pub use ingress::Ingress;

use crypto::Integrity;
use ike::config::{ChildName, Path, PeerName};
use ike::event::ChildId;
use ipsec::Encapsulation;

/// Where a sealed packet goes and how its outer header is marked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Departure {
    /// Addresses, and whether in UDP.
    pub encapsulation: Encapsulation,
    /// TOS or traffic class of the outer header: DSCP and ECN.
    pub tos: u8,
    /// DF of an IPv4 outer header; without it, an IPv6 one may be fragmented here (RFC 4301 §8.1).
    pub dont_fragment: bool,
}

/// Takes sealed packets: a batch that a worker sends, or a vector in a test.
pub trait Outgoing {
    /// Room for one ESP packet of exactly `len` bytes. `None` drops the packet: it is longer than anything that can be
    /// sent. A full batch is sent by the implementation, not refused.
    fn room(&mut self, to: &Departure, len: usize) -> Option<&mut [u8]>;
    /// Takes back the room given last: nothing was written to it.
    fn undo(&mut self);
}

/// What a worker tells the engine. Bounded by its queue; losing one costs time, not correctness.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Feedback {
    /// A packet for a child that is down: the packet itself, to be sent when it is up.
    Wanted {
        /// Whose.
        peer: PeerName,
        /// Which.
        child: ChildName,
        /// A whole IP packet, checksums complete.
        packet: Vec<u8>,
    },
    /// The first authentic packet on an inbound SA: the peer uses it, so may we (RFC 7296 §2.8).
    FirstHeard(ChildId),
    /// The first packet after a pause is sent to a peer that there is another way to.
    Sending(PeerName),
    /// The newest authentic packet came from another address or port.
    Moved {
        /// Whose.
        peer: PeerName,
        /// Which SA.
        child: ChildId,
        /// From and to.
        path: Path,
    },
    /// The peer cuts its MAC to another length than ours: nothing it sends can be opened.
    Truncation {
        /// Whose.
        peer: PeerName,
        /// Which SA.
        child: ChildId,
        /// What its packets are sealed with.
        theirs: Integrity,
    },
    /// An outbound SA reached its soft lifetime, or (`hard`) the end of it.
    Limit {
        /// Whose.
        peer: PeerName,
        /// Which SA.
        child: ChildId,
        /// Nothing can be sent on it any more.
        hard: bool,
    },
}
