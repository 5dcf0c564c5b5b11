//! Times and limits of a session.

use std::time::Duration;

use crate::protocol::config::SessionConfig;

/// Times and limits of a session. The login ends with the answers to all its commands.
pub type YateConfig = SessionConfig<YateOptions>;

/// What only the external module port has.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct YateOptions {
    /// How long a request of the engine may wait for its answer; then the session answers `false`
    /// by itself. Default 3 s, and never more than half of what the engine itself waits (10 s
    /// unless `timeout` says otherwise): one of its threads, and a caller, wait too.
    pub answer_timeout: Duration,
    /// How many requests of the engine may be open; one more is answered `false` at once. Default
    /// 1,000, as many as the engine sends (`maxqueue`).
    pub max_incoming: usize,
    /// How long the engine may be without its `engine.timer`, which comes each second, before it
    /// is asked something. Default 5 s. The session watches it for itself; an owner that wants to
    /// see it watches it in its [`Login`](super::Login). `None` leaves the timer alone: then the
    /// silence that counts is [`SessionConfig::ping_interval`].
    pub heartbeat: Option<Duration>,
}

impl Default for YateOptions {
    fn default() -> Self {
        Self {
            answer_timeout: Duration::from_secs(3),
            max_incoming: 1000,
            heartbeat: Some(Duration::from_secs(5)),
        }
    }
}

impl YateConfig {
    /// Sets how long a request of the engine may wait for its answer.
    #[must_use]
    pub fn with_answer_timeout(mut self, timeout: Duration) -> Self {
        self.own.answer_timeout = timeout;
        self
    }

    /// Sets how many requests of the engine may be open, at least 1.
    #[must_use]
    pub fn with_max_incoming(mut self, requests: usize) -> Self {
        self.own.max_incoming = requests;
        self
    }

    /// Sets whether `engine.timer` is watched, and how long it may be missing.
    #[must_use]
    pub fn with_heartbeat(mut self, heartbeat: Option<Duration>) -> Self {
        self.own.heartbeat = heartbeat;
        self
    }
}
