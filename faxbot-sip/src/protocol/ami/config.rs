//! Times and limits of a session.

use std::time::Duration;

use crate::protocol::config::SessionConfig;

/// Times and limits of a session.
///
/// A refused login takes 1 s, and the server itself waits 30 s for one. A synchronous `Originate`
/// silences the connection for as long as it rings: use `Async: true`, or the keep-alive ends it.
pub type AmiConfig = SessionConfig<AmiOptions>;

/// What only AMI has.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AmiOptions {
    /// Whether to take no request before `FullyBooted`. The interface answers before Asterisk has
    /// its modules, and then knows few actions. Default true. The event needs the class `system`
    /// in the mask and in the rights of the account.
    pub wait_fully_booted: bool,
    /// From the accepted login to `FullyBooted`. When it passes the session is ready all the same
    /// and says so. Default 30 s.
    pub boot_timeout: Duration,
    /// Items of one list. Default 10,000.
    pub max_list_items: usize,
    /// Bytes of all answers that are being collected. Default 4 MiB.
    pub max_list_bytes: usize,
}

impl Default for AmiOptions {
    fn default() -> Self {
        Self {
            wait_fully_booted: true,
            boot_timeout: Duration::from_secs(30),
            max_list_items: 10_000,
            max_list_bytes: 4 * 1024 * 1024,
        }
    }
}

impl AmiConfig {
    /// Sets whether `FullyBooted` is awaited.
    #[must_use]
    pub fn with_wait_fully_booted(mut self, wait: bool) -> Self {
        self.own.wait_fully_booted = wait;
        self
    }

    /// Sets the times of login and boot.
    #[must_use]
    pub fn with_login_timeouts(mut self, login: Duration, boot: Duration) -> Self {
        self.login_timeout = login;
        self.own.boot_timeout = boot;
        self
    }

    /// Sets the limits of lists.
    #[must_use]
    pub fn with_list_limits(mut self, items: usize, bytes: usize) -> Self {
        self.own.max_list_items = items;
        self.own.max_list_bytes = bytes;
        self
    }
}
