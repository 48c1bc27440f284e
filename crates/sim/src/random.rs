//! Seeded randomness: xoshiro256** (Blackman and Vigna) seeded through splitmix64. Fast and repeatable, and never to be
//! used for keys.

use std::time::Duration;

/// A repeatable stream of numbers: the same seed gives the same stream on every machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Random {
    state: [u64; 4],
}

impl Random {
    /// The stream of `seed`. Every seed, zero included, gives a usable stream.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        let mut mixer = seed;
        Self { state: std::array::from_fn(|_| splitmix(&mut mixer)) }
    }

    /// A second stream which depends on this one's state and from then on is independent of it.
    #[must_use]
    pub fn fork(&mut self) -> Self {
        Self::seeded(self.next_u64())
    }

    /// 64 uniformly distributed bits.
    pub fn next_u64(&mut self) -> u64 {
        let result = self.state[1].wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let shifted = self.state[1] << 17;
        self.state[2] ^= self.state[0];
        self.state[3] ^= self.state[1];
        self.state[1] ^= self.state[2];
        self.state[0] ^= self.state[3];
        self.state[2] ^= shifted;
        self.state[3] = self.state[3].rotate_left(45);
        result
    }

    /// A number in `0..bound`; 0 when `bound` is 0. The bias is below 2^-32 for bounds up to 2^32.
    pub fn below(&mut self, bound: u64) -> u64 {
        let product = u128::from(self.next_u64()) * u128::from(bound);
        u64::try_from(product >> 64).unwrap_or(0)
    }

    /// True with probability `p` (0 and less: never; 1 and more: always). Draws one number whatever `p` is, so that two
    /// runs which differ in a probability alone stay comparable.
    pub fn chance(&mut self, p: f64) -> bool {
        const UNIT: f64 = 1.0 / (1u64 << 53) as f64;
        let draw = (self.next_u64() >> 11) as f64 * UNIT;
        draw < p
    }

    /// A duration in `min..=max`, uniform to the nanosecond; `min` when the range is empty.
    pub fn between(&mut self, min: Duration, max: Duration) -> Duration {
        let span = u64::try_from(max.saturating_sub(min).as_nanos()).unwrap_or(u64::MAX);
        min + Duration::from_nanos(self.below(span.saturating_add(1)))
    }

    /// Fills `bytes` from the stream.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let word = self.next_u64().to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    }
}

/// One step of splitmix64: spreads a small seed over 64 bits.
fn splitmix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_stream_and_another_seed_another() {
        let stream = |seed| {
            let mut random = Random::seeded(seed);
            (0..100).map(|_| random.next_u64()).collect::<Vec<_>>()
        };
        assert_eq!(stream(7), stream(7));
        assert_ne!(stream(7), stream(8));
        assert!(stream(0).iter().any(|word| *word != 0), "the zero seed works too");
    }

    #[test]
    fn chances_come_out_near_their_nominal_value() {
        let mut random = Random::seeded(1);
        let hits = (0..100_000).filter(|_| random.chance(0.2)).count();
        assert!((19_400..20_600).contains(&hits), "{hits} of 100,000 at 20 %");
        assert!(!random.chance(0.0));
        assert!(random.chance(1.0));
    }

    #[test]
    fn numbers_and_durations_stay_inside_their_range() {
        let mut random = Random::seeded(3);
        let (min, max) = (Duration::from_millis(5), Duration::from_millis(9));
        for _ in 0..10_000 {
            assert!(random.below(10) < 10);
            let duration = random.between(min, max);
            assert!((min..=max).contains(&duration));
        }
        assert_eq!(random.below(0), 0);
        assert_eq!(random.between(max, min), max);
    }
}
