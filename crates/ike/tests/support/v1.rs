//! Pairs that speak IKEv1.

use super::{A, B, NAT_PORT, Pair, Setup, address, seconds};
use ike::config::{PeerConfig, Versions};
use ike::proposal::{EspProposal, IkeProposal};
use ike::v1::wire::{ExchangeType, Header};
use sim::{Datagram, NodeId, RuleId};
use std::net::IpAddr;

/// IKEv1 with the algorithms of the legacy profile: AES-128, SHA-1, group 2, PFS.
pub fn legacy(peer: &mut PeerConfig) {
    peer.versions = Versions::V1;
    peer.proposals = IkeProposal::parse_list("aes128-sha1-modp1024").expect("a proposal");
    for child in &mut peer.children {
        child.proposals = EspProposal::parse_list("aes128-sha1-modp1024", false).expect("a proposal");
    }
}

/// The standard pair in IKEv1.
pub fn setup(seed: u64) -> Setup {
    Setup::seeded(seed).both(legacy)
}

/// Connected, with nothing under way. Time enough for FIRST_SWITCH and patience, not for a rekey.
pub fn connected(seed: u64) -> Pair {
    let mut pair = setup(seed).build();
    pair.start();
    pair.run(seconds(5));
    pair.assert_converged();
    pair
}

/// The ISAKMP header of a datagram from this port.
pub fn header_of(port: u16, payload: &[u8]) -> Option<Header> {
    let message = if port == NAT_PORT { payload.strip_prefix(&[0; 4])? } else { payload };
    Header::parse(message).ok()
}

fn is_message(from: IpAddr, exchange: ExchangeType) -> impl FnMut(&Datagram<Vec<u8>>) -> bool + Send + 'static {
    move |datagram| {
        let header = header_of(datagram.from.port(), &datagram.payload);
        datagram.from.ip() == from && header.is_some_and(|header| header.exchange == exchange)
    }
}

/// Drops the next `count` messages of an end that are of this exchange.
pub fn drop(pair: &mut Pair, from: NodeId, exchange: ExchangeType, count: u64) {
    let of = is_message(pair.end(from).address, exchange);
    pair.lab.network.drop_next(count, of);
}

/// Puts the next message of an end of this exchange aside.
pub fn hold(pair: &mut Pair, from: NodeId, exchange: ExchangeType) -> RuleId {
    let of = is_message(pair.end(from).address, exchange);
    pair.lab.network.hold_next(of)
}

/// Both ends send a packet on every child each 10 ms, and every packet must arrive.
pub fn streams(pair: &mut Pair) {
    let now = pair.now();
    for node in [A, B] {
        pair.lab.node_mut(node).send_every(Some(seconds(1) / 100), now);
    }
    pair.strict = true;
}

/// Ends the streams: says how many packets were sent, and fails if one is missing.
pub fn all_arrived(pair: &mut Pair) -> u64 {
    for node in [A, B] {
        pair.lab.node_mut(node).traffic = None;
    }
    pair.run(seconds(2));
    let (a, b) = (pair.end(A).totals, pair.end(B).totals);
    assert_eq!((a.packets, b.packets), (b.heard, a.heard), "packets lost\n{}", pair.dump());
    a.packets + b.packets
}

/// The address of an end's peer.
pub fn other(node: NodeId) -> IpAddr {
    address(NodeId(1 - node.0))
}
