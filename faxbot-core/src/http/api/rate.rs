//! How many calls are sent in a time, and the pauses that a vendor asks for.

use std::{
    fmt,
    num::NonZeroU32,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use governor::{
    Quota, RateLimiter,
    clock::Clock as _,
    middleware::NoOpMiddleware,
    state::{InMemoryState, NotKeyed},
};
use tokio::sync::Semaphore;

use crate::clock::{SharedClock, later};

/// A pause that a vendor asks for holds back every call, so that a strange value must not stop
/// them for a day: after this long one call finds out whether it still holds.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// How many calls may be sent in a time. A call over it waits for its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate(Quota);

impl Rate {
    /// So many a second, evenly, and as many at once after a quiet second.
    pub const fn per_second(calls: NonZeroU32) -> Self {
        Self(Quota::per_second(calls))
    }

    /// So many a minute, evenly, and as many at once after a quiet minute.
    pub const fn per_minute(calls: NonZeroU32) -> Self {
        Self(Quota::per_minute(calls))
    }

    /// Sets how many may be sent at once after a quiet time; default as many as the rate.
    #[must_use]
    pub const fn with_burst(self, calls: NonZeroU32) -> Self {
        Self(self.0.allow_burst(calls))
    }
}

#[derive(Debug)]
struct GovernorClock(SharedClock);

impl governor::clock::Clock for GovernorClock {
    type Instant = Instant;

    fn now(&self) -> Instant {
        self.0.now()
    }
}

impl Clone for GovernorClock {
    fn clone(&self) -> Self {
        Self(SharedClock::clone(&self.0))
    }
}

type Cells = RateLimiter<NotKeyed, InMemoryState, GovernorClock, NoOpMiddleware<Instant>>;

/// Hands out the turns of all calls of a client.
pub(super) struct Limiter {
    clock: GovernorClock,
    cells: Option<Cells>,
    /// First come, first served: without it all waiters would wake at once and race.
    queue: Semaphore,
    paused_until: Mutex<Option<Instant>>,
}

impl Limiter {
    pub(super) fn new(rate: Option<Rate>, clock: SharedClock) -> Self {
        let clock = GovernorClock(clock);
        Self {
            cells: rate.map(|rate| RateLimiter::direct_with_clock(rate.0, clock.clone())),
            clock,
            queue: Semaphore::new(1),
            paused_until: Mutex::new(None),
        }
    }

    /// Holds back all calls for as long as the vendor asked.
    pub(super) fn hold(&self, pause: Option<Duration>) {
        let Some(pause) = pause else { return };
        let until = later(self.clock.now(), pause.min(LONGEST_PAUSE));
        let mut paused = self.paused();
        *paused = (*paused).max(Some(until));
    }

    /// Waits for a turn, `patience` at most; otherwise answers how much longer it would have been.
    /// A wait that is known to be too long is not begun.
    pub(super) async fn turn(&self, patience: Duration) -> Result<(), Duration> {
        let pause = self.pause();
        if pause > patience {
            return Err(pause);
        }
        let give_up = later(self.clock.now(), patience);
        let _place = tokio::select! {
            biased;
            place = self.queue.acquire() => place,
            () = self.clock.0.sleep_until(give_up) => return Err(self.wait()),
        };
        loop {
            let wait = match self.pause() {
                Duration::ZERO => match &self.cells {
                    None => return Ok(()),
                    Some(cells) => match cells.check() {
                        Ok(()) => return Ok(()),
                        Err(not_yet) => not_yet.wait_time_from(self.clock.now()),
                    },
                },
                pause => pause,
            };
            let now = self.clock.now();
            if wait > give_up.saturating_duration_since(now) {
                return Err(wait);
            }
            self.clock.0.sleep_until(later(now, wait)).await;
        }
    }

    fn wait(&self) -> Duration {
        self.pause().max(Duration::from_secs(1))
    }

    /// What is left of a pause.
    fn pause(&self) -> Duration {
        let now = self.clock.now();
        self.paused()
            .map_or(Duration::ZERO, |until| until.saturating_duration_since(now))
    }

    fn paused(&self) -> MutexGuard<'_, Option<Instant>> {
        self.paused_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limiter")
            .field("limited", &self.cells.is_some())
            .finish_non_exhaustive()
    }
}
