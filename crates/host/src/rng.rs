//! Randomness from the operating system: what keys, nonces and SPIs are made of.

use crypto::Rng;

/// The generator of aws-lc, which the kernel seeds.
#[derive(Debug, Clone, Copy, Default)]
pub struct OsRng;

impl Rng for OsRng {
    /// Ends the process when there is no randomness: everything that could still be done without it would be insecure.
    fn fill(&mut self, dest: &mut [u8]) {
        if aws_lc_rs::rand::fill(dest).is_err() {
            std::process::abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_filled_and_no_two_fills_are_equal() {
        let mut seen = [0u8; 32];
        for _ in 0..64 {
            let mut bytes = [0; 32];
            OsRng.fill(&mut bytes);
            assert_ne!(bytes, [0; 32]);
            for (all, byte) in seen.iter_mut().zip(bytes) {
                *all |= byte;
            }
        }
        assert!(seen.iter().all(|&byte| byte != 0), "{seen:?}");
        assert_ne!(OsRng.next_u64(), OsRng.next_u64());
    }
}
