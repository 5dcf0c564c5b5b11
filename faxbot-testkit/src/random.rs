//! Randomness that can be had again: a small generator from a seed that is printed.

use std::hash::{BuildHasher, Hasher, RandomState};

/// Environment variable that fixes the seed of [`Seed::fresh`], in decimal or `0x` hex.
pub const SEED_VARIABLE: &str = "FAXBOT_TEST_SEED";

/// Where a run's random choices start. The same seed gives the same choices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seed(pub u64);

impl Seed {
    /// A seed of this run, printed to standard error so that a failure can be repeated; taken
    /// from [`SEED_VARIABLE`] if that is set. Panics when what is set is no number.
    pub fn fresh() -> Self {
        let given = std::env::var(SEED_VARIABLE).ok().map(|text| {
            let number = text
                .strip_prefix("0x")
                .map_or_else(|| text.parse(), |hex| u64::from_str_radix(hex, 16));
            // A run with another seed than the one that was asked for would prove nothing.
            assert!(number.is_ok(), "{SEED_VARIABLE} is no number");
            number.unwrap_or_default()
        });
        let seed = Self(given.unwrap_or_else(|| RandomState::new().build_hasher().finish()));
        seed.announce();
        seed
    }

    /// Prints the seed with how to use it again.
    pub fn announce(self) {
        eprintln!("testkit seed: {SEED_VARIABLE}={:#x}", self.0);
    }
}

/// SplitMix64: tiny, fast, good enough to choose where to cut a stream, and the same on every
/// platform. Not for secrets.
#[derive(Debug, Clone)]
pub struct TestRng(u64);

impl TestRng {
    /// Starts at a seed.
    pub const fn new(seed: Seed) -> Self {
        Self(seed.0)
    }

    /// The next 64 bits.
    pub const fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from `low` to `high`, both included. A reversed range gives `low`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        match high.checked_sub(low) {
            None | Some(0) => low,
            Some(u64::MAX) => self.next_u64(),
            Some(span) => low + self.next_u64() % (span + 1),
        }
    }

    /// An index below `len`; 0 for an empty range.
    pub fn index(&mut self, len: usize) -> usize {
        let last = u64::try_from(len.saturating_sub(1)).unwrap_or(u64::MAX);
        usize::try_from(self.between(0, last)).unwrap_or(0)
    }
}
