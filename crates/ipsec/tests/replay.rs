//! The replay window against a model that remembers everything, and extended sequence numbers across 2^32 (RFC 4303
//! §3.4.3, appendix A2).

mod support;

use std::collections::BTreeSet;

use crypto::{Cipher, Rng, SeededRng};
use ipsec::{DropReason, EspSuite, ReplayWindow};
use support::*;

/// A window that never forgets: what RFC 4303 §3.4.3 says, and no more.
struct Model {
    seen: BTreeSet<u64>,
    top: u64,
    size: u64,
}

impl Model {
    fn new(size: u64) -> Self {
        let seen = BTreeSet::new();
        Self { seen, top: 0, size }
    }

    fn is_new(&self, sequence: u64) -> bool {
        let left_edge = (self.top + 1).saturating_sub(self.size);
        sequence > 0 && sequence >= left_edge && !self.seen.contains(&sequence)
    }

    fn mark(&mut self, sequence: u64) -> bool {
        let is_new = self.is_new(sequence);
        if is_new {
            self.seen.insert(sequence);
            self.top = self.top.max(sequence);
        }
        is_new
    }

    /// The one number with these low bits among the 2^32 from the window's left edge on.
    fn infer(&self, low: u32) -> Option<u64> {
        let left_edge = i128::from(self.top) + 1 - i128::from(self.size);
        let offset = (i128::from(low) - left_edge).rem_euclid(1 << 32);
        u64::try_from(left_edge + offset).ok()
    }
}

const SIZES: [u32; 9] = [64, 128, 192, 256, 1024, 2048, 4096, 8128, 8192];

#[test]
fn sizes_are_kept_within_bounds_in_whole_words() {
    for (asked, size) in [(0, 0), (1, 64), (32, 64), (65, 128), (8192, 8192), (8193, 8192), (u32::MAX, 8192)] {
        assert_eq!(ReplayWindow::new(asked).size(), size, "{asked}");
    }
    for size in SIZES {
        assert_eq!(ReplayWindow::new(size).size(), u64::from(size));
    }
}

#[test]
fn random_orders_agree_with_the_model() {
    for size in SIZES {
        for seed in 0..40 {
            let mut rng = SeededRng::new(seed);
            let (mut window, mut model) = (ReplayWindow::new(size), Model::new(size.into()));
            for step in 0..2000 {
                let top = model.top;
                let reach = u64::from(size) + 70;
                let sequence = match rng.below(10) {
                    0..5 => top + 1,
                    5..8 => (top + 2).saturating_sub(rng.below(reach)),
                    8 => top + rng.below(reach),
                    _ => top + rng.below(3 * reach),
                };
                assert_eq!(window.is_new(sequence), model.is_new(sequence));
                let (got, expected) = (window.mark(sequence), model.mark(sequence));
                assert_eq!(got, expected, "size {size} seed {seed} step {step}: {sequence}");
                assert_eq!(window.top(), model.top);
            }
            for sequence in (model.top.saturating_sub(2 * u64::from(size)))..model.top + 70 {
                assert_eq!(window.is_new(sequence), model.is_new(sequence), "{sequence}");
            }
        }
    }
}

/// Every subset of marks within a short stretch that crosses words, then every later top: 2^10 x 200 windows.
#[test]
fn every_pattern_survives_every_advance() {
    for pattern in 0_u32..1 << 10 {
        let mut window = ReplayWindow::new(64);
        let mut model = Model::new(64);
        for index in 0..10_u64 {
            if pattern & (1 << index) != 0 {
                assert!(window.mark(60 + index) && model.mark(60 + index));
            }
        }
        for advance in 1..=200 {
            let mut window = window.clone();
            let top = model.top + advance;
            assert!(window.mark(top));
            for sequence in 50..75 {
                let is_old = sequence + 64 <= top;
                let expected = sequence != top && !is_old && !model.seen.contains(&sequence);
                assert_eq!(window.is_new(sequence), expected, "{pattern:#b} {top} {sequence}");
            }
        }
    }
}

#[test]
fn extremes_of_the_number_space_are_safe() {
    for size in SIZES {
        let mut window = ReplayWindow::new(size);
        assert!(!window.mark(0));
        assert!(window.mark(1) && !window.mark(1));
        assert!(window.mark(u64::MAX) && !window.mark(u64::MAX));
        assert!(!window.mark(1), "left behind");
        let edge = u64::MAX - u64::from(size) + 1;
        assert!(!window.is_new(edge - 1));
        assert!(window.mark(edge) && !window.mark(edge));
    }
}

#[test]
fn a_window_switched_off_takes_everything_but_zero() {
    let mut window = ReplayWindow::new(0);
    assert!(window.mark(5) && window.mark(5) && window.mark(1));
    assert!(!window.mark(0));
    assert_eq!(window.top(), 5);
}

#[test]
fn a_window_taken_over_has_seen_everything_before() {
    for size in SIZES {
        for top in [0, 1, 63, 64, 127, 128, 10_000, u64::from(u32::MAX), 1 << 40] {
            let mut window = ReplayWindow::new(size).starting_after(top);
            for back in 0..=u64::from(size) + 64 {
                assert!(!window.is_new(top.saturating_sub(back)), "{size} {top} {back}");
            }
            for ahead in 1..=u64::from(size) + 64 {
                assert!(window.is_new(top + ahead), "{size} {top} {ahead}");
            }
            assert!(window.mark(top + 2) && window.mark(top + 1) && !window.mark(top + 2));
        }
    }
}

#[test]
fn the_upper_half_is_guessed_as_appendix_a2_says() {
    let tops = |size: u64| {
        let turns = [0, 1 << 32, 5 << 32, u64::MAX - (1 << 32) + 1];
        let near = [0, 1, size - 2, size - 1, size, size + 1, 1 << 31, (1 << 32) - 1];
        turns.into_iter().flat_map(move |turn: u64| near.map(|low| turn + low))
    };
    for size in SIZES {
        for top in tops(u64::from(size)) {
            let window = ReplayWindow::new(size).starting_after(top);
            let model = Model { top, ..Model::new(size.into()) };
            let edge = (top as u32).wrapping_sub(size);
            let lows = [0, 1, 2, 1 << 31, u32::MAX - 1, u32::MAX];
            let around = (0..4).flat_map(|d| [edge.wrapping_add(d), (top as u32).wrapping_add(d)]);
            for low in lows.into_iter().chain(around) {
                assert_eq!(window.infer(low), model.infer(low), "{size} {top:#x} {low:#x}");
            }
        }
    }
}

#[test]
fn an_sa_with_esn_crosses_two_to_the_32_out_of_order() {
    for suite in typical_suites().into_iter().filter(|suite| suite.esn) {
        for size in [64, 1024, 8192] {
            let start = (1_u64 << 32) - 50;
            let sender = outbound(suite).starting_at(start);
            let receiver = inbound(suite, size).starting_after(start - 1);
            let mut packets: Vec<_> = (0..100).map(|n| seal(&sender, &packet_v4(n))).collect();
            let late = packets.remove(7);
            for (index, swapped) in packets.chunks_mut(5).enumerate() {
                swapped.reverse();
                for esp in swapped {
                    let (mut first, mut second) = (esp.clone(), esp.clone());
                    assert!(receiver.open(&mut first).is_ok(), "{suite} {index}");
                    assert_eq!(receiver.open(&mut second), Err(DropReason::Replay));
                }
            }
            let after = receiver.open(&mut late.clone());
            let highest = receiver.highest_sequence();
            assert_eq!(highest, start + 99, "{suite}");
            if size == 64 {
                // Left of the window its low bits belong to the next 2^32, under which it is not authentic.
                assert_eq!(after, Err(DropReason::Authentication));
            } else {
                assert!(after.is_ok(), "{suite} {size}");
            }
        }
    }
}

#[test]
fn packets_of_the_other_upper_half_are_not_authentic() {
    for suite in typical_suites().into_iter().filter(|suite| suite.esn) {
        let sender = outbound(suite).starting_at((1 << 32) + 1000);
        let mut esp = seal(&sender, &packet_v4(10));
        let refused = inbound(suite, 64).open(&mut esp);
        assert_eq!(refused, Err(DropReason::Authentication), "{suite}");
    }
}

#[test]
fn without_esn_the_upper_half_is_not_authenticated() {
    let suite = EspSuite::aead(Cipher::AesGcm16_128);
    let sender = outbound(suite).starting_at(u64::from(u32::MAX));
    let receiver = inbound(suite, 64);
    assert!(receiver.open(&mut seal(&sender, &packet_v4(1))).is_ok());
    assert_eq!(receiver.highest_sequence(), u64::from(u32::MAX));
    assert_eq!(sender.reserve(1), Err(DropReason::SequenceExhausted));
}

#[test]
fn a_window_as_wide_as_a_burst_loses_nothing_to_reordering() {
    let suite = EspSuite::aead(Cipher::AesGcm16_256);
    for size in [64_u32, 1024, 8192] {
        let (sender, receiver) = (outbound(suite), inbound(suite, size));
        let mut burst: Vec<_> = (0..size).map(|_| seal(&sender, &packet_v4(1))).collect();
        for esp in burst.iter_mut().rev() {
            assert!(receiver.open(esp).is_ok(), "{size}");
        }
        assert_eq!(receiver.packets(), u64::from(size));
    }
}

#[test]
fn of_two_threads_with_the_same_packets_each_packet_passes_once() {
    let suite = EspSuite::aead(Cipher::AesGcm16_128);
    let (sender, receiver) = (outbound(suite), inbound(suite, 8192));
    let packets: Vec<_> = (0..4000).map(|_| seal(&sender, &packet_v4(1))).collect();
    let open_all = || {
        let opened = |esp: &&Vec<u8>| receiver.open(&mut (*esp).clone()).is_ok();
        packets.iter().filter(opened).count()
    };
    let total = std::thread::scope(|scope| {
        let threads = [scope.spawn(open_all), scope.spawn(open_all)];
        threads.map(|thread| thread.join().unwrap()).iter().sum::<usize>()
    });
    assert_eq!(total, packets.len());
    assert_eq!(receiver.packets(), packets.len() as u64);
}
