//! Randomness as an argument: ids that cannot be guessed, jitter, and tests that repeat.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

/// Where randomness comes from. A plugin gets one in its dependencies, an adapter from the driver,
/// so that a test can give its own.
pub trait Random: Send + Sync + fmt::Debug {
    /// 64 random bits.
    fn next_u64(&self) -> u64;

    /// Fills `out` with random bytes.
    fn fill(&self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            let bytes = self.next_u64().to_le_bytes();
            chunk
                .iter_mut()
                .zip(bytes)
                .for_each(|(to, from)| *to = from);
        }
    }
}

/// A shared source.
pub type SharedRandom = Arc<dyn Random>;

/// The operating system's randomness, fit for ids that a peer must not guess.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRandom;

impl SystemRandom {
    /// The source, shared.
    pub fn shared() -> SharedRandom {
        Arc::new(Self)
    }
}

impl Random for SystemRandom {
    fn next_u64(&self) -> u64 {
        // A version 4 UUID has six fixed bits. Rotated by 32 those of one half meet random bits of
        // the other, so that every bit of the result is random.
        let (high, low) = uuid::Uuid::new_v4().as_u64_pair();
        high ^ low.rotate_left(32)
    }
}

/// A repeatable source for tests (SplitMix64). Its bytes can be guessed.
#[derive(Debug)]
pub struct SeededRandom(Mutex<u64>);

impl SeededRandom {
    /// The sequence of `seed`.
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(seed))
    }

    /// The same, shared.
    pub fn shared(seed: u64) -> SharedRandom {
        Arc::new(Self::new(seed))
    }
}

impl Random for SeededRandom {
    fn next_u64(&self) -> u64 {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

/// A number from 0 to below 1.
#[cfg(feature = "api")]
pub(crate) fn unit(random: &dyn Random) -> f64 {
    // 32 bits are plenty for a jitter, and convert without loss.
    let bits = u32::try_from(random.next_u64() >> 32).unwrap_or_default();
    f64::from(bits) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_of_the_systems_randomness_takes_both_values() {
        let (mut ones, mut zeros) = (0, 0);
        for _ in 0..200 {
            let bits = SystemRandom.next_u64();
            ones |= bits;
            zeros |= !bits;
        }
        assert_eq!((ones, zeros), (u64::MAX, u64::MAX));
    }

    #[test]
    fn bytes_are_those_of_the_numbers_and_the_last_ones_are_cut() {
        let mut bytes = [0; 11];
        SeededRandom::new(7).fill(&mut bytes);
        let numbers = SeededRandom::new(7);
        let whole = [numbers.next_u64(), numbers.next_u64()].map(u64::to_le_bytes);
        assert_eq!(bytes, whole.concat()[..11]);
    }

    #[test]
    fn a_seed_repeats_its_numbers() {
        let (a, b) = (SeededRandom::new(7), SeededRandom::new(7));
        assert_eq!((a.next_u64(), a.next_u64()), (b.next_u64(), b.next_u64()));
        assert_ne!(
            SeededRandom::new(8).next_u64(),
            SeededRandom::new(7).next_u64()
        );
    }
}
