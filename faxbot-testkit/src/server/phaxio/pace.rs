//! How long things take.

use std::time::Duration;

/// How long a fax is in each state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct FaxPace {
    /// Queued, until its pages are known.
    pub queued: Duration,
    /// Each time that a number is dialled.
    pub dialling: Duration,
    /// For one page.
    pub page: Duration,
    /// Until a number is dialled again.
    pub redial: Duration,
    /// From the request to cancel to its effect.
    pub cancelling: Duration,
}

impl FaxPace {
    /// So long for everything.
    pub const fn every(time: Duration) -> Self {
        Self {
            queued: time,
            dialling: time,
            page: time,
            redial: time,
            cancelling: time,
        }
    }

    /// Short enough for tests on real sockets, long enough to see states. The default.
    pub const fn quick() -> Self {
        Self::every(Duration::from_millis(20))
    }

    /// About what a real fax takes. For a paused clock.
    pub const fn real() -> Self {
        Self {
            queued: Duration::from_secs(10),
            dialling: Duration::from_secs(20),
            page: Duration::from_secs(30),
            redial: Duration::from_secs(120),
            cancelling: Duration::from_secs(5),
        }
    }
}

impl Default for FaxPace {
    fn default() -> Self {
        Self::quick()
    }
}
