//! Ids as Sinch makes them: 26 characters, sorted by time (ULID).

use faxbot_core::Timestamp;

use crate::random::{Seed, TestRng};

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Makes ids that do not repeat.
#[derive(Debug)]
pub(in crate::server) struct Ulids(TestRng);

impl Ulids {
    pub(in crate::server) const fn new(seed: Seed) -> Self {
        Self(TestRng::new(seed))
    }

    pub(in crate::server) fn next(&mut self, now: Timestamp) -> String {
        let time = u128::from(now.as_millisecond().unsigned_abs()) & 0xffff_ffff_ffff;
        let random = (u128::from(self.0.next_u64()) << 16) | u128::from(self.0.next_u64() & 0xffff);
        let value = (time << 80) | random;
        (0..26)
            .rev()
            .filter_map(|place| {
                let digit = usize::try_from((value >> (5 * place)) & 0x1f).ok()?;
                ALPHABET.get(digit).copied().map(char::from)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn ids_have_26_characters_and_sort_by_time() {
        let mut ids = Ulids::new(Seed(1));
        let now = "2026-11-21T08:00:00Z".parse().unwrap();
        let first = ids.next(now);
        let second = ids.next(now + Duration::from_millis(1));
        assert_eq!((first.len(), second.len()), (26, 26));
        assert!(first < second, "{first} {second}");
        assert_ne!(ids.next(now), ids.next(now));
    }
}
