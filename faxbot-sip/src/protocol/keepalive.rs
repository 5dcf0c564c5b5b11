//! Whether the server still talks.

use std::time::{Duration, Instant};

/// No pings closer together than this, whatever the config says.
pub(in crate::protocol) const SHORTEST: Duration = Duration::from_millis(100);

/// Stands for "never" where a duration does not fit an [`Instant`].
const FAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// `now + wait` without overflow.
pub(in crate::protocol) fn after(now: Instant, wait: Duration) -> Instant {
    now.checked_add(wait).unwrap_or_else(|| now + FAR)
}

/// What a look at the clock asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::protocol) enum Due {
    Nothing,
    Ping,
    Silent,
}

/// Only received messages count as life; what we send proves nothing about a half-open link.
#[derive(Debug)]
pub(in crate::protocol) struct KeepAlive {
    interval: Duration,
    timeout: Duration,
    heard: Instant,
    pinged: Option<Instant>,
}

impl KeepAlive {
    pub(in crate::protocol) fn new(interval: Duration, timeout: Duration, now: Instant) -> Self {
        Self {
            interval: interval.max(SHORTEST),
            timeout: timeout.max(SHORTEST),
            heard: now,
            pinged: None,
        }
    }

    pub(in crate::protocol) fn heard(&mut self, now: Instant) {
        self.heard = now;
        self.pinged = None;
    }

    pub(in crate::protocol) fn deadline(&self) -> Instant {
        match self.pinged {
            Some(at) => after(at, self.timeout),
            None => after(self.heard, self.interval),
        }
    }

    /// After [`Due::Ping`] the caller has a ping to send.
    pub(in crate::protocol) fn check(&mut self, now: Instant) -> Due {
        if now < self.deadline() {
            return Due::Nothing;
        }
        if self.pinged.is_some() {
            return Due::Silent;
        }
        self.pinged = Some(now);
        Due::Ping
    }
}
