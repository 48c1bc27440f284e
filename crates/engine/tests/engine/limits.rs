//! Lifetimes by packets, bytes and sequence numbers: soft ones rekey in time, hard ones end it (RFC 4301 §4.4.2.1,
//! RFC 4303 §3.3.3).

use crate::support::*;
use engine::ForwardingTable;
use engine::path::Feedback;
use engine::table::{Member, OutboundEntry, Slot};
use ike::config::Lifetime;
use ike::proposal::EspProposal;
use ipsec::{DropReason, EspKeys, OutboundSa, SaLimits, Spi};
use packet::offload::VnetHeader;
use sim::Link;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

fn limited(packets: Option<u64>, bytes: Option<u64>) -> Pair {
    Pair::connected(|_, desired| child_of(desired).lifetime = Lifetime { packets, bytes, ..FOREVER })
}

/// Packets sent on each SA.
fn by_spi(pair: &mut Pair) -> BTreeMap<[u8; 4], u64> {
    let mut count = BTreeMap::new();
    for (_, esp) in pair.gateway_mut(A).wire.take().expect("watched") {
        *count.entry(*esp.first_chunk().expect("an SPI")).or_default() += 1;
    }
    count
}

#[test]
fn an_sa_is_rekeyed_before_its_packets_run_out_and_none_is_lost() {
    let mut pair = limited(Some(2000), None);
    pair.gateway_mut(A).wire = Some(Vec::new());
    pair.start_streams(1000);
    pair.run(seconds(30));
    let missing = pair.finish_streams();
    assert_eq!(missing, NOTHING, "{}", pair.dump());
    assert!(pair.gateway(A).totals.child_rekeys >= 15, "{:?}", pair.gateway(A).totals);
    let counts = by_spi(&mut pair);
    assert!(counts.values().all(|count| *count <= 2000), "{counts:?}");
    assert_eq!(counts.values().sum::<u64>(), pair.gateway(A).stream.sent);
}

#[test]
fn an_sa_is_rekeyed_before_its_bytes_run_out_and_none_is_lost() {
    let mut pair = limited(None, Some(120_000));
    pair.start_streams(1000);
    pair.run(seconds(30));
    let missing = pair.finish_streams();
    assert_eq!(missing, NOTHING, "{}", pair.dump());
    assert!(pair.gateway(A).totals.child_rekeys >= 15, "{:?}", pair.gateway(A).totals);
}

#[test]
fn at_the_hard_limit_nothing_more_leaves_and_a_new_sa_takes_over() {
    for (packets, bytes) in [(Some(100), None), (None, Some(100 * 128))] {
        let mut pair = limited(packets, bytes);
        let ends = [A, B].map(|node| SocketAddr::new(outer(node, false), IKE_PORT));
        // No rekey gets through.
        pair.lab.network.cut_both(ends[0], ends[1]);
        pair.gateway_mut(A).wire = Some(Vec::new());
        for _ in 0..300 {
            pair.send(A, &udp(A, false, 100));
        }
        pair.run(millis(50));
        assert_eq!(by_spi(&mut pair).values().copied().collect::<Vec<_>>(), [100], "{packets:?} {bytes:?}");
        assert_eq!(pair.gateway(B).delivered.len(), 100);
        let drops = &pair.gateway(A).drops;
        let why = if packets.is_some() { DropReason::SequenceExhausted } else { DropReason::LifetimeExpired };
        assert_eq!(drops.get(why) + drops.get(DropReason::NoTunnel), 200, "{}", pair.dump());
        pair.lab.network.heal_all();
        pair.run(seconds(30));
        pair.assert_works_again();
    }
}

#[test]
fn a_burst_longer_than_what_an_sa_may_carry_uses_it_up_and_asks_for_the_next_one() {
    let mut pair = limited(Some(20), None);
    let burst = udp(A, false, 45 * 100);
    let header = super_header(false, true, 100);
    for _ in 0..10 {
        pair.gateway_mut(A).wire = Some(Vec::new());
        let delivered = pair.pass(A, &header, &burst);
        assert_eq!(delivered.len(), 20);
        assert_eq!(by_spi(&mut pair).values().copied().collect::<Vec<_>>(), [20]);
        pair.run(seconds(10));
    }
    assert!(pair.is_up(A) && pair.is_up(B), "{}", pair.dump());
}

/// The table of a gateway, with its outbound SA replaced by one that has sent all but `left` of its sequence numbers.
fn nearly_exhausted(pair: &Pair, left: u64) -> ForwardingTable {
    let table = &pair.gateway(A).table;
    let (slot, entry) = (&table.slots[0], &table.slots[0].members[0].outbound[0]);
    let suite = entry.sa.suite();
    assert!(!suite.esn);
    let keys = EspKeys {
        encryption: vec![1; suite.encryption_key_len()].into(),
        integrity: vec![2; suite.integrity_key_len()].into(),
    };
    let iv = crypto::CbcIv::new(&mut crypto::SeededRng::new(1));
    let sa = OutboundSa::new(entry.sa.spi(), suite, &keys, iv, SaLimits::default(), *entry.sa.tunnel())
        .expect("keys of the suite's lengths");
    let sa = sa.starting_at((1 << 32) - left);
    let entry = OutboundEntry {
        child: entry.child,
        peer: entry.peer.clone(),
        sa: Arc::new(sa),
        selectors: entry.selectors.clone(),
        encapsulation: entry.encapsulation,
        inner_mtu: entry.inner_mtu,
        mss: entry.mss,
        soft_reported: Arc::clone(&entry.soft_reported),
        armed: Arc::clone(&entry.armed),
    };
    ForwardingTable {
        generation: table.generation,
        spd: ipsec::Spd::new(table.spd.policies().to_vec()),
        slots: vec![slot_of(slot, entry)],
        inbound: BTreeMap::new(),
        clamp_mss: true,
    }
}

/// A slot as this one with another SA.
fn slot_of(slot: &Slot, entry: OutboundEntry) -> Slot {
    let member = &slot.members[0];
    Slot::alone(Member::new(&member.peer, &member.child, false, vec![Arc::new(entry)]))
}

fn without_esn() -> Pair {
    Pair::new(1, Link::PERFECT, false, |_, desired| {
        child_of(desired).proposals = vec![EspProposal::parse("aes128gcm16", false).expect("a proposal")];
    })
    .up()
}

fn spi_of(pair: &Pair) -> Spi {
    pair.gateway(A).table.slots[0].members[0].outbound[0].sa.spi()
}

#[test]
fn without_esn_an_sa_is_rekeyed_while_a_sixteenth_of_its_sequence_numbers_is_left() {
    let mut pair = without_esn();
    let before = spi_of(&pair);
    let table = nearly_exhausted(&pair, (1 << 28) + 2);
    let packet = udp(A, false, 10);
    for sent in 0..4 {
        pair.lab.act(A, |gateway, now| gateway.offer_by(&table, &VnetHeader::NONE, &packet, now));
        let reported = pair.gateway(A).feedback.iter().any(|f| matches!(f, Feedback::Limit { hard: false, .. }));
        assert_eq!(reported, sent >= 2, "{sent}");
    }
    pair.run(seconds(1));
    assert_ne!(spi_of(&pair), before, "rekeyed: {}", pair.dump());
    assert_eq!(pair.gateway(A).feedback.iter().filter(|f| matches!(f, Feedback::Limit { .. })).count(), 1);
    pair.assert_works();
}

#[test]
fn without_esn_the_last_sequence_number_is_used_and_never_wraps() {
    let mut pair = without_esn();
    let before = spi_of(&pair);
    let table = nearly_exhausted(&pair, 3);
    let packet = udp(A, false, 10);
    pair.gateway_mut(A).wire = Some(Vec::new());
    for _ in 0..5 {
        pair.lab.act(A, |gateway, now| gateway.offer_by(&table, &VnetHeader::NONE, &packet, now));
    }
    let wire = pair.gateway_mut(A).wire.take().unwrap();
    let sequences: Vec<&[u8]> = wire.iter().map(|(_, esp)| &esp[4..8]).collect();
    assert_eq!(sequences, [[255, 255, 255, 253], [255, 255, 255, 254], [255, 255, 255, 255]]);
    assert_eq!(pair.gateway(A).drops.get(DropReason::SequenceExhausted), 2);
    pair.run(seconds(10));
    assert_ne!(spi_of(&pair), before, "{}", pair.dump());
    pair.assert_works_again();
}
