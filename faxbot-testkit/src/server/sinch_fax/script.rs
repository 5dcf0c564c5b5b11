//! How long things take.

use std::time::Duration;

/// How long a fax is in each state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct FaxPace {
    /// Queued.
    pub queued: Duration,
    /// From there until its pages are known.
    pub converting: Duration,
    /// Each time that the number is dialled.
    pub dialling: Duration,
    /// For one page.
    pub page: Duration,
}

impl FaxPace {
    /// So long for everything.
    pub const fn every(time: Duration) -> Self {
        Self {
            queued: time,
            converting: time,
            dialling: time,
            page: time,
        }
    }

    /// Short enough for tests on real sockets, long enough to see states. The default.
    pub const fn quick() -> Self {
        Self::every(Duration::from_millis(20))
    }

    /// About what a real fax takes. For a paused clock.
    pub const fn real() -> Self {
        let mut pace = Self::every(Duration::from_secs(5));
        pace.dialling = Duration::from_secs(20);
        pace.page = Duration::from_secs(30);
        pace
    }
}

impl Default for FaxPace {
    fn default() -> Self {
        Self::quick()
    }
}
