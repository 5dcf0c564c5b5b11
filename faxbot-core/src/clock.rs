//! Time as the rest of the SDK sees it: monotonic instants for deadlines, wall time for records.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::Timestamp;

/// Where time comes from. A plugin gets one in its dependencies, an adapter from the driver, so
/// that tests can move it.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The monotonic now.
    fn now(&self) -> Instant;
    /// The wall clock's now.
    fn timestamp(&self) -> Timestamp;
    /// Resolves at `deadline`, or at once if it has passed.
    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Future<Output = ()> + Send + 'static>>;
}

/// A shared clock.
pub type SharedClock = Arc<dyn Clock>;

/// Tokio's clock, with the system's wall time. It follows a paused test runtime
/// (`tokio::time::pause`), its wall time included.
#[derive(Debug, Clone)]
pub struct TokioClock {
    started: tokio::time::Instant,
    wall: Timestamp,
}

impl TokioClock {
    /// A clock that starts at the real wall time.
    pub fn new() -> Self {
        Self {
            started: tokio::time::Instant::now(),
            wall: Timestamp::now(),
        }
    }

    /// The same, shared.
    pub fn shared() -> SharedClock {
        Arc::new(Self::new())
    }
}

impl Default for TokioClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }

    fn timestamp(&self) -> Timestamp {
        // Under a paused runtime records must move with the deadlines. Otherwise they must not: a
        // monotonic clock stands still while the machine is suspended and does not follow a clock
        // that is set, so that what is signed with a time would be refused until a restart.
        let before = Instant::now();
        let now = tokio::time::Instant::now();
        if (before..=Instant::now()).contains(&now.into_std()) {
            Timestamp::now()
        } else {
            self.wall + now.saturating_duration_since(self.started)
        }
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Future<Output = ()> + Send + 'static>> {
        Box::pin(tokio::time::sleep_until(deadline.into()))
    }
}

/// `wait` after `now`. An instant that the platform cannot hold, and any more than a year away, is a
/// year away, which is never: a caller may say "without limit" by [`Duration::MAX`].
pub fn later(now: Instant, wait: Duration) -> Instant {
    const FAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
    now.checked_add(wait.min(FAR)).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_wait_is_too_long_for_an_instant() {
        let now = Instant::now();
        let second = Duration::from_secs(1);
        assert_eq!(later(now, second), now + second);
        let never = later(now, Duration::MAX);
        assert!(never > now + Duration::from_secs(300 * 24 * 60 * 60));
        assert!(later(never, Duration::MAX) > never);
    }

    /// As after a suspend of the machine, and where it set its clock after this process began.
    fn left_behind() -> TokioClock {
        TokioClock {
            started: tokio::time::Instant::now(),
            wall: Timestamp::UNIX_EPOCH,
        }
    }

    #[tokio::test]
    async fn wall_time_is_the_systems_however_long_ago_the_clock_was_made() {
        let before = Timestamp::now();
        let told = left_behind().timestamp();
        assert!((before..=Timestamp::now()).contains(&told), "{told}");
    }

    #[tokio::test(start_paused = true)]
    async fn wall_time_moves_with_a_paused_clock() {
        let clock = left_behind();
        assert_eq!(clock.timestamp(), Timestamp::UNIX_EPOCH);
        for seconds in [1, 1, 86_400] {
            let before = clock.timestamp();
            tokio::time::advance(Duration::from_secs(seconds)).await;
            let moved = clock.timestamp().duration_since(before);
            assert_eq!(moved, Duration::from_secs(seconds));
        }
    }
}
