//! Times and limits of a session.

use super::frame::Format;
use crate::protocol::config::SessionConfig;

/// Times and limits of a session.
///
/// The login ends with the session's own subscription; the server waits 24 s for one (recording
/// `01_pre_auth_timeout`). The keep-alive rests while the server owes an answer whose deadline has
/// not passed: an `api` silences the connection.
pub type EslConfig = SessionConfig<EslOptions>;

/// What only the event socket has.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct EslOptions {
    /// The format of the session's own subscription to `BACKGROUND_JOB`, and so of all events
    /// until another subscription. Default JSON, which loses nothing.
    pub format: Format,
}

impl Default for EslOptions {
    fn default() -> Self {
        Self {
            format: Format::Json,
        }
    }
}

impl EslConfig {
    /// Sets the format of events.
    #[must_use]
    pub fn with_format(mut self, format: Format) -> Self {
        self.own.format = format;
        self
    }
}
