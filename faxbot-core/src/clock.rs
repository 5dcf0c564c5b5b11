//! Time as the rest of the SDK sees it: monotonic instants for deadlines, wall time for records.

use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Instant};

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

/// Tokio's clock. It follows a paused test runtime (`tokio::time::pause`), its wall time included.
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
        // Not `SystemTime::now()`: under a paused runtime records must move with the deadlines.
        self.wall + self.started.elapsed()
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Future<Output = ()> + Send + 'static>> {
        Box::pin(tokio::time::sleep_until(deadline.into()))
    }
}

/// `wait` after `now`. An instant that the platform cannot hold is a year away, which is never.
#[cfg(feature = "api")]
pub(crate) fn later(now: Instant, wait: std::time::Duration) -> Instant {
    const FAR: std::time::Duration = std::time::Duration::from_secs(365 * 24 * 60 * 60);
    now.checked_add(wait.min(FAR)).unwrap_or(now)
}
