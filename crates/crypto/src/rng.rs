//! Randomness as an argument: the [`Rng`] trait, and a repeatable generator for simulations.
//!
//! The operating system's generator is not here: it implements [`Rng`] in the shell, above the purity line.

/// A source of random octets.
///
/// For keys, nonces, IVs and SPIs an implementation must be cryptographically secure; [`SeededRng`] is not.
pub trait Rng: Send {
    /// Fills `dest` with random octets.
    fn fill(&mut self, dest: &mut [u8]);

    /// 32 random bits.
    fn next_u32(&mut self) -> u32 {
        let mut bytes = [0; 4];
        self.fill(&mut bytes);
        u32::from_le_bytes(bytes)
    }

    /// 64 random bits.
    fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// A number of `0..n`, each as likely as the other; 0 when `n` is 0.
    fn below(&mut self, n: u64) -> u64 {
        // The high half of a 64×64-bit product is uniform once the low half is outside the first
        // `2^64 mod n` values, which would favour some results (Lemire, "Fast Random Integer Generation in an
        // Interval", 2019).
        let unfair = n.wrapping_neg().checked_rem(n).unwrap_or(0);
        loop {
            let product = u128::from(self.next_u64()) * u128::from(n);
            if (product as u64) >= unfair {
                return (product >> 64) as u64;
            }
        }
    }
}

/// A repeatable generator (xoshiro256**, Blackman and Vigna 2018): **for simulations and tests only**.
///
/// Whoever sees a few outputs can compute all others; nothing made with it protects anything.
#[derive(Clone, Debug)]
pub struct SeededRng {
    state: [u64; 4],
}

impl SeededRng {
    /// A generator whose whole sequence follows from `seed`.
    pub fn new(seed: u64) -> Self {
        // SplitMix64 spreads the seed, as the authors of xoshiro advise; it never yields four zeros in a row.
        let mut counter = seed;
        let state = std::array::from_fn(|_| {
            counter = counter.wrapping_add(SPLIT_MIX_STEP);
            split_mix(counter)
        });
        Self { state }
    }

    fn step(&mut self) -> u64 {
        let s = &mut self.state;
        let result = s[1].wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let shifted = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= shifted;
        s[3] = s[3].rotate_left(45);
        result
    }
}

impl Rng for SeededRng {
    fn fill(&mut self, dest: &mut [u8]) {
        for chunk in dest.chunks_mut(8) {
            let word = self.step().to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    }

    fn next_u64(&mut self) -> u64 {
        self.step()
    }
}

/// By how much SplitMix64's state grows from one output to the next.
pub(crate) const SPLIT_MIX_STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// The output function of SplitMix64: a bijection of 64 bits in which every input bit reaches every output bit.
pub(crate) fn split_mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splitmix64_gives_its_published_sequence_for_seed_1234567() {
        // The reference output of the authors' splitmix64.c, as listed on Rosetta Code ("Pseudo-random
        // numbers/Splitmix64").
        let words: Vec<u64> =
            (1..=3_u64).map(|n| split_mix(1_234_567_u64.wrapping_add(SPLIT_MIX_STEP.wrapping_mul(n)))).collect();
        assert_eq!(words, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn xoshiro256_starstar_starts_as_its_definition_says_for_state_1_2_3_4() {
        // The first outputs for the state {1, 2, 3, 4} follow by hand from the definition:
        // rotl(2 * 5, 7) * 9 = 11520, then rotl(0 * 5, 7) * 9 = 0.
        let mut rng = SeededRng { state: [1, 2, 3, 4] };
        assert_eq!([rng.step(), rng.step()], [11520, 0]);
    }

    #[test]
    fn equal_seeds_repeat_and_other_seeds_differ() {
        let draw = |seed| {
            let mut rng = SeededRng::new(seed);
            let mut bytes = [0; 37];
            rng.fill(&mut bytes);
            (bytes, rng.next_u32(), rng.next_u64())
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        assert_ne!(draw(0).0, [0; 37]);
    }

    #[test]
    fn below_stays_below_and_reaches_every_value_evenly() {
        let mut rng = SeededRng::new(1);
        assert_eq!(rng.below(0), 0);
        assert_eq!(rng.below(1), 0);
        let mut counts = [0_u32; 10];
        for _ in 0..100_000 {
            counts[rng.below(10) as usize] += 1;
        }
        // 10 000 expected, standard deviation 95.
        assert!(counts.iter().all(|count| (9_500..10_500).contains(count)), "{counts:?}");
        // A span of three quarters of 2^64 is where a plain `%` would favour the low third.
        let n = 3_u64 << 62;
        let low = (0..30_000).filter(|_| rng.below(n) < n / 3).count();
        assert!((9_500..10_500).contains(&low), "{low}");
    }
}
