//! Which of several tunnels carries a packet: one word that the engine stores and workers read, so that failover is the
//! change of one table entry.
//!
//! Where several share the traffic, a flow belongs to the one of them for which its hash is highest (rendezvous hashing): one
//! that leaves gives its own flows away and moves no other.

use packet::FlowKey;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

/// Members of a slot that a choice can tell apart.
pub const MOST_MEMBERS: usize = 32;

/// Members to try first, and members to try where none of those can carry a packet; then the others. A bit each.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tiers {
    /// Carry the traffic.
    pub first: u32,
    /// Stand by.
    pub second: u32,
}

/// The engine's present choice among the members of a slot.
#[derive(Debug, Default)]
pub struct Choice(AtomicU64);

impl Choice {
    /// What to try, in order, as masks of members.
    pub fn order(&self) -> [u32; 3] {
        let word = self.0.load(Ordering::Relaxed);
        let (first, second) = (word as u32, (word >> 32) as u32);
        [first, second & !first, !(first | second)]
    }

    /// Makes another choice, for the next packet on.
    pub(crate) fn set(&self, tiers: Tiers) {
        self.0.store(u64::from(tiers.first) | u64::from(tiers.second) << 32, Ordering::Relaxed);
    }
}

/// One of `splitmix64`'s rounds: every bit of the input moves half of the output's.
fn mixed(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// A number for a flow: all its packets have it, fragments after the first excepted where ports tell flows apart.
pub(crate) fn flow_hash(flow: &FlowKey) -> u64 {
    let word = |address: IpAddr| match address {
        IpAddr::V4(v4) => u64::from(v4.to_bits()),
        IpAddr::V6(v6) => mixed((v6.to_bits() >> 64) as u64) ^ v6.to_bits() as u64,
    };
    let ports = u64::from(flow.source_port) << 16 | u64::from(flow.destination_port);
    mixed(mixed(mixed(word(flow.source)) ^ word(flow.destination)) ^ ports << 8 ^ u64::from(flow.protocol))
}

/// A number for a member that stays its own whoever else there is.
pub(crate) fn member_hash(name: &str) -> u64 {
    name.bytes().fold(0, |hash, byte| mixed(hash ^ u64::from(byte)))
}

/// How much a flow belongs to a member: to the highest.
pub(crate) fn affinity(flow: u64, member: u64) -> u64 {
    mixed(flow ^ member)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(port: u16) -> FlowKey {
        FlowKey {
            source: "10.1.0.5".parse().unwrap(),
            destination: "10.2.0.9".parse().unwrap(),
            protocol: 6,
            source_port: port,
            destination_port: 443,
            ports_known: true,
        }
    }

    #[test]
    fn flows_spread_evenly_and_only_those_of_the_member_that_leaves_move() {
        let members: Vec<u64> = ["vpn-1", "vpn-2", "vpn-3"].into_iter().map(member_hash).collect();
        let owner = |flow: u64, members: &[u64]| members.iter().copied().max_by_key(|member| affinity(flow, *member));
        let mut counts = [0; 3];
        for port in 0..30_000 {
            let hash = flow_hash(&flow(port));
            let before = owner(hash, &members).unwrap();
            let index = members.iter().position(|member| *member == before).unwrap();
            counts[index] += 1;
            let after = owner(hash, &members[..2]).unwrap();
            assert!(before == after || index == 2, "a flow of another member moved");
        }
        assert!(counts.iter().all(|count| (9_500..10_500).contains(count)), "{counts:?}");
    }

    #[test]
    fn members_in_no_tier_come_last() {
        let choice = Choice::default();
        assert_eq!(choice.order(), [0, 0, u32::MAX]);
        choice.set(Tiers { first: 0b10, second: 0b11 });
        assert_eq!(choice.order(), [0b10, 0b01, !0b11]);
    }
}
