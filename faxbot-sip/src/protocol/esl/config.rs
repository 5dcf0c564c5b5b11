//! Times and limits of a session.

use std::time::Duration;

use super::frame::Format;

/// Times and limits of a session.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct EslConfig {
    /// The format of the session's own subscription to `BACKGROUND_JOB`, and so of all events
    /// until another subscription. Default JSON, which loses nothing.
    pub format: Format,
    /// From the open transport to the accepted login and subscription. Default 10 s; the server
    /// itself waits 24 s (recording `01_pre_auth_timeout`).
    pub login_timeout: Duration,
    /// A server that was silent for this long is asked something. Default 15 s. Not while it owes
    /// an answer whose deadline has not passed: an `api` silences the connection.
    pub ping_interval: Duration,
    /// How long anything at all may take to come after that. Default 10 s.
    pub ping_timeout: Duration,
    /// How long the answer to `exit` may take. Default 2 s.
    pub close_timeout: Duration,
    /// How many requests may wait for their answers. Default 1,024; as many that were given up may
    /// be owed beside them.
    pub max_pending: usize,
}

impl EslConfig {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self {
            format: Format::Json,
            login_timeout: Duration::from_secs(10),
            ping_interval: Duration::from_secs(15),
            ping_timeout: Duration::from_secs(10),
            close_timeout: Duration::from_secs(2),
            max_pending: 1024,
        }
    }

    /// Sets the format of events.
    #[must_use]
    pub fn with_format(mut self, format: Format) -> Self {
        self.format = format;
        self
    }

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

    /// Sets how long the answer to `exit` may take.
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
}

impl Default for EslConfig {
    fn default() -> Self {
        Self::new()
    }
}
