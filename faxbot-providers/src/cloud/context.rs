//! What a provider is built with.

use std::{fmt, sync::Arc};

use faxbot_core::{clock::SharedClock, http::HttpClient, random::SharedRandom};
use url::Url;

/// What a provider works with. `Debug` leaves the URL of the webhooks out: it may hold a secret.
#[derive(Clone)]
#[non_exhaustive]
pub struct ProviderContext {
    /// The HTTP client of the host.
    pub http: Arc<dyn HttpClient>,
    /// Time.
    pub clock: SharedClock,
    /// Randomness.
    pub random: SharedRandom,
    /// The public URL of our webhooks, where the host or the configuration has one.
    pub webhook_url: Option<Url>,
}

impl ProviderContext {
    /// A context without webhooks.
    pub fn new(http: Arc<dyn HttpClient>, clock: SharedClock, random: SharedRandom) -> Self {
        Self {
            http,
            clock,
            random,
            webhook_url: None,
        }
    }
}

impl fmt::Debug for ProviderContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProviderContext")
            .field("http", &self.http)
            .field("clock", &self.clock)
            .field("random", &self.random)
            .field("webhook_url", &self.webhook_url.is_some())
            .finish()
    }
}
