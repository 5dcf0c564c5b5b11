//! The table of claims and handled keys, as every store has it. It takes the time as an argument.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    time::{Duration, Instant},
};

use crate::{Effect, Error, ErrorKind, Result, Timestamp, plugin::PluginId, webhook::Claim};

/// How long a handled key is remembered unless told otherwise: 7 days. Vendors repeat a callback
/// for about 3 days (Phaxio, Sinch: 16 times).
pub(super) const DEFAULT_RETENTION: Duration = Duration::from_secs(7 * 24 * 3600);
/// Handled keys that are remembered unless told otherwise.
pub(super) const DEFAULT_KEYS: usize = 100_000;
/// Open claims. A host handles fewer requests at a time.
pub(super) const MAX_CLAIMS: usize = 10_000;

pub(super) type Key = (PluginId, String);

pub(super) struct DedupeTable {
    claims: HashMap<Key, Instant>,
    done: HashMap<Key, Timestamp>,
    /// The handled keys, oldest first.
    ages: BTreeSet<(Timestamp, Key)>,
    retention: Duration,
    max_keys: usize,
}

impl DedupeTable {
    pub(super) fn new() -> Self {
        Self {
            claims: HashMap::new(),
            done: HashMap::new(),
            ages: BTreeSet::new(),
            retention: DEFAULT_RETENTION,
            max_keys: DEFAULT_KEYS,
        }
    }

    /// One that is filled from a file, of which nobody has said yet how much is wanted.
    pub(super) fn unbounded() -> Self {
        let mut table = Self::new();
        table.max_keys = usize::MAX;
        table
    }

    /// Sets the bound of [`new`](Self::new); the next handled key makes it true.
    pub(super) fn bound(&mut self) {
        self.max_keys = DEFAULT_KEYS;
    }

    pub(super) fn set_retention(&mut self, retention: Duration) {
        self.retention = retention;
    }

    pub(super) fn set_max_keys(&mut self, keys: usize) {
        self.max_keys = keys.max(1);
    }

    pub(super) fn claim(
        &mut self,
        key: Key,
        lease: Duration,
        now: Instant,
        wall: Timestamp,
    ) -> Result<Claim> {
        self.forget_old(wall);
        if self.done.contains_key(&key) {
            return Ok(Claim::Done);
        }
        if self.claims.get(&key).is_some_and(|until| now < *until) {
            return Ok(Claim::InProgress);
        }
        if self.claims.len() >= MAX_CLAIMS && !self.claims.contains_key(&key) {
            self.claims.retain(|_, until| now < *until);
            if self.claims.len() >= MAX_CLAIMS {
                return Err(Error::new(
                    ErrorKind::Overloaded,
                    "claim",
                    "too many callbacks are being handled",
                )
                .with_effect(Effect::NoEffect));
            }
        }
        // A lease without an end ends with the process.
        let until = now
            .checked_add(lease)
            .unwrap_or_else(|| now + DEFAULT_RETENTION);
        self.claims.insert(key, until);
        Ok(Claim::New)
    }

    pub(super) fn done(&mut self, key: Key, at: Timestamp) {
        self.claims.remove(&key);
        if let Some(before) = self.done.insert(key.clone(), at) {
            self.ages.remove(&(before, key.clone()));
        }
        self.ages.insert((at, key));
        while self.ages.len() > self.max_keys {
            self.forget_oldest();
        }
    }

    pub(super) fn release(&mut self, key: &Key) {
        self.claims.remove(key);
    }

    /// Forgets the handled keys that are past the retention.
    pub(super) fn forget_old(&mut self, wall: Timestamp) {
        while self
            .ages
            .first()
            .is_some_and(|(at, _)| wall.duration_since(*at) > self.retention)
        {
            self.forget_oldest();
        }
    }

    /// The handled keys, oldest first.
    pub(super) fn handled(&self) -> impl ExactSizeIterator<Item = &(Timestamp, Key)> {
        self.ages.iter()
    }

    fn forget_oldest(&mut self) {
        if let Some((_, key)) = self.ages.pop_first() {
            self.done.remove(&key);
        }
    }
}

/// Counts: the keys are many.
impl fmt::Debug for DedupeTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DedupeTable")
            .field("claims", &self.claims.len())
            .field("done", &self.done.len())
            .finish_non_exhaustive()
    }
}
