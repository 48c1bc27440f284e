//! Sequence numbers are handed out once, by however many threads, and end instead of wrapping (RFC 4303 §3.3.3).

mod support;

use std::collections::BTreeSet;

use crypto::Cipher;
use ipsec::{DropReason, EspSuite, LifetimeState, SaLimits};
use support::*;

fn gcm() -> EspSuite {
    EspSuite::aead(Cipher::AesGcm16_128)
}

#[test]
fn the_first_packet_has_number_one() {
    let sender = outbound(gcm());
    assert_eq!(sender.reserve(1), Ok(1));
    assert_eq!(sender.reserve(0), Ok(2), "none counts as one");
    assert_eq!(sender.reserve(46), Ok(3));
    assert_eq!((sender.next_sequence(), sender.packets()), (49, 48));
}

#[test]
fn without_esn_the_numbers_end_at_two_to_the_32() {
    let last = u64::from(u32::MAX);
    let sender = outbound(gcm()).starting_at(last - 9);
    assert_eq!(sender.reserve(11), Err(DropReason::SequenceExhausted), "all or none");
    assert_eq!(sender.reserve(10), Ok(last - 9));
    for count in [1, 2, 1 << 32, u64::MAX] {
        assert_eq!(sender.reserve(count), Err(DropReason::SequenceExhausted));
    }
    assert_eq!(sender.lifetime_state(), LifetimeState::Hard);
    assert_eq!(sender.next_sequence(), last + 1);
    let mut out = [0; 200];
    assert!(sender.seal(last, &packet_v4(1), &mut out).is_ok());
    let refused = sender.seal(last + 1, &packet_v4(1), &mut out);
    assert_eq!(refused, Err(DropReason::SequenceExhausted));
}

#[test]
fn with_esn_the_numbers_go_on_and_end_before_two_to_the_64() {
    let sender = outbound(gcm().with_esn()).starting_at(u64::from(u32::MAX));
    assert_eq!(sender.reserve(2), Ok(u64::from(u32::MAX)));
    assert_eq!(sender.reserve(1), Ok((1 << 32) + 1));
    assert_eq!(sender.lifetime_state(), LifetimeState::Within);
    let sender = outbound(gcm().with_esn()).starting_at(u64::MAX - 2);
    assert_eq!(sender.reserve(1), Ok(u64::MAX - 2));
    assert_eq!(sender.reserve(1), Ok(u64::MAX - 1));
    assert_eq!(sender.reserve(1), Err(DropReason::SequenceExhausted));
}

#[test]
fn rekeying_is_due_well_before_the_numbers_end() {
    let sender = outbound(gcm()).starting_at(0xf000_0000 - 1);
    assert_eq!(sender.lifetime_state(), LifetimeState::Within);
    sender.reserve(2).unwrap();
    assert_eq!(sender.lifetime_state(), LifetimeState::Soft);
}

#[test]
fn packet_limits_ask_for_a_rekey_and_then_stop() {
    let limits = SaLimits { soft_packets: Some(3), hard_packets: Some(5), ..SaLimits::default() };
    for first in [1, 1000] {
        let sender = outbound_limited(gcm(), limits).starting_at(first);
        let states: Vec<_> = (0..5)
            .map(|n| {
                assert_eq!(sender.reserve(1), Ok(first + n));
                sender.lifetime_state()
            })
            .collect();
        use LifetimeState::{Hard, Soft, Within};
        assert_eq!(states, [Within, Within, Soft, Soft, Hard]);
        assert_eq!(sender.reserve(1), Err(DropReason::SequenceExhausted));
    }
}

#[test]
fn byte_limits_ask_for_a_rekey_and_then_stop() {
    let inner = packet_v4(72);
    assert_eq!(inner.len(), 100);
    let limits = SaLimits { soft_bytes: Some(200), hard_bytes: Some(300), ..SaLimits::default() };
    let sender = outbound_limited(gcm(), limits);
    for expected in [LifetimeState::Within, LifetimeState::Soft, LifetimeState::Hard] {
        seal(&sender, &inner);
        assert_eq!(sender.lifetime_state(), expected);
    }
    assert_eq!(sender.bytes(), 300);
    assert_eq!(sender.reserve(1), Err(DropReason::LifetimeExpired));
}

#[test]
fn threads_never_get_the_same_number_and_leave_none_out() {
    let limits = SaLimits { hard_packets: Some(100_000), ..SaLimits::default() };
    let sender = outbound_limited(gcm(), limits);
    let take_all = |burst: u64| {
        let mut taken = Vec::new();
        while let Ok(first) = sender.reserve(burst) {
            taken.extend(first..first + burst);
        }
        while let Ok(first) = sender.reserve(1) {
            taken.push(first);
        }
        taken
    };
    let all: Vec<u64> = std::thread::scope(|scope| {
        let threads: Vec<_> = [1, 3, 44].map(|n| scope.spawn(move || take_all(n))).into();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(all.len(), 100_000);
    assert_eq!(all.into_iter().collect::<BTreeSet<_>>(), (1..=100_000).collect());
}

#[test]
fn two_threads_sealing_never_repeat_an_iv() {
    let sender = outbound(gcm());
    let seal_many = || -> Vec<Vec<u8>> {
        let packet = packet_v4(4);
        (0..5000).map(|_| seal(&sender, &packet)[4..16].to_vec()).collect()
    };
    let headers: Vec<Vec<u8>> = std::thread::scope(|scope| {
        let threads = [scope.spawn(seal_many), scope.spawn(seal_many)];
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(headers.into_iter().collect::<BTreeSet<_>>().len(), 10_000);
}
