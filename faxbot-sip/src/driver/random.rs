//! Randomness as an argument: ids that cannot be guessed, jitter, and tests that repeat.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

/// A source of random bytes.
pub trait Random: Send + Sync + fmt::Debug {
    /// Fills `out`.
    fn fill(&self, out: &mut [u8]);

    /// 64 random bits.
    fn bits(&self) -> u64 {
        let mut out = [0; 8];
        self.fill(&mut out);
        u64::from_le_bytes(out)
    }
}

/// A shared source.
pub type SharedRandom = Arc<dyn Random>;

/// The operating system's randomness, fit for ids that a peer must not guess.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct SystemRandom;

impl SystemRandom {
    /// The source, shared.
    pub fn shared() -> SharedRandom {
        Arc::new(Self)
    }
}

impl Random for SystemRandom {
    fn fill(&self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            let id = uuid::Uuid::new_v4().into_bytes();
            // Bytes 6 and 8 hold the version and the variant: only the others are random.
            let random = id.iter().take(6).chain(id.iter().skip(9));
            chunk
                .iter_mut()
                .zip(random)
                .for_each(|(to, from)| *to = *from);
        }
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

    fn next(&self) -> u64 {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

impl Random for SeededRandom {
    fn fill(&self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            let bytes = self.next().to_le_bytes();
            chunk
                .iter_mut()
                .zip(bytes)
                .for_each(|(to, from)| *to = from);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_bytes_differ_and_no_byte_is_constant() {
        let mut seen = vec![[0_u8; 32]; 64];
        seen.iter_mut().for_each(|out| SystemRandom.fill(out));
        for at in 0..32 {
            assert!(
                seen.iter().any(|out| out[at] != seen[0][at]),
                "byte {at} is constant"
            );
        }
    }

    #[test]
    fn a_seed_repeats() {
        let (a, b) = (SeededRandom::new(7), SeededRandom::new(7));
        assert_eq!((a.bits(), a.bits()), (b.bits(), b.bits()));
        assert_ne!(SeededRandom::new(8).bits(), SeededRandom::new(7).bits());
    }
}
