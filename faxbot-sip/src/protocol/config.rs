//! Times and limits that every session has.

use std::time::{Duration, Instant};

use super::keepalive::KeepAlive;

/// Times and limits of a session, with what only its protocol has behind them.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SessionConfig<P> {
    /// From the open transport to the accepted login. Default 10 s.
    pub login_timeout: Duration,
    /// A server that was silent for this long is asked something. Default 15 s.
    pub ping_interval: Duration,
    /// How long anything at all may take to come after that. Default 10 s.
    pub ping_timeout: Duration,
    /// How long the answer to a good-bye may take. Default 2 s.
    pub close_timeout: Duration,
    /// How many requests may wait for their answers. Default 1,024; as many places of requests
    /// that were given up are kept beside them.
    pub max_pending: usize,
    /// What only this protocol has.
    pub own: P,
}

impl<P: Default> SessionConfig<P> {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self {
            login_timeout: Duration::from_secs(10),
            ping_interval: Duration::from_secs(15),
            ping_timeout: Duration::from_secs(10),
            close_timeout: Duration::from_secs(2),
            max_pending: 1024,
            own: P::default(),
        }
    }
}

impl<P: Default> Default for SessionConfig<P> {
    fn default() -> Self {
        Self::new()
    }
}

impl<P> SessionConfig<P> {
    /// Sets the time of the login.
    #[must_use]
    pub fn with_login_timeout(mut self, timeout: Duration) -> Self {
        self.login_timeout = timeout;
        self
    }

    /// Sets the keep-alive; both are raised to 100 ms.
    #[must_use]
    pub fn with_ping(mut self, interval: Duration, timeout: Duration) -> Self {
        self.ping_interval = interval;
        self.ping_timeout = timeout;
        self
    }

    /// Sets how long the answer to a good-bye may take.
    #[must_use]
    pub fn with_close_timeout(mut self, timeout: Duration) -> Self {
        self.close_timeout = timeout;
        self
    }

    /// Sets how many requests may wait, at least 1.
    #[must_use]
    pub fn with_max_pending(mut self, requests: usize) -> Self {
        self.max_pending = requests;
        self
    }

    pub(in crate::protocol) fn keepalive(&self, now: Instant) -> KeepAlive {
        KeepAlive::new(self.ping_interval, self.ping_timeout, now)
    }
}
