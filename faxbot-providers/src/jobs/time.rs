//! Time as the state machines of jobs get it, and waits that end.

use std::time::{Duration, Instant};

use faxbot_core::{Error, Timestamp, clock::SharedClock, retry::Backoff};

/// Thirty years.
const NEVER: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// One moment on both clocks, and a random number for what begins at it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now {
    pub(crate) instant: Instant,
    pub(crate) wall: Timestamp,
    pub(crate) random: u64,
}

impl Now {
    /// The random number as a part of a whole, 0 to 1.
    pub(crate) fn fraction(self) -> f64 {
        f64::from(u32::try_from(self.random >> 32).unwrap_or(u32::MAX)) / f64::from(u32::MAX)
    }
}

/// `now` and `wait`. What no clock can tell never comes; it must not become "at once".
pub(crate) fn later(now: Instant, wait: Duration) -> Instant {
    now.checked_add(wait)
        .or_else(|| now.checked_add(NEVER))
        .unwrap_or(now)
}

/// Resolves at `deadline`, without one never.
pub(crate) async fn expired(clock: &SharedClock, deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => clock.sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// A server, provider or converter that takes nothing: since when, and how often that was.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Refusals {
    since: Option<Instant>,
    count: u32,
}

impl Refusals {
    /// The wait after a refusal that passes; `None` when `patience` ends before it.
    pub(crate) fn next(
        &mut self,
        error: &Error,
        waits: Backoff,
        patience: Duration,
        now: Now,
    ) -> Option<Duration> {
        let since = *self.since.get_or_insert(now.instant);
        let wait = waits
            .delay(self.count, now.fraction())?
            .max(error.retry_after().unwrap_or_default());
        self.count = self.count.saturating_add(1);
        let waited = now.instant.saturating_duration_since(since);
        (waited.saturating_add(wait) <= patience).then_some(wait)
    }
}
