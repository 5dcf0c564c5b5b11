//! What a provider is built with.

use std::sync::Arc;

use faxbot_core::{clock::SharedClock, http::HttpClient, random::SharedRandom};
use url::Url;

/// What a provider works with.
#[derive(Debug, Clone)]
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
