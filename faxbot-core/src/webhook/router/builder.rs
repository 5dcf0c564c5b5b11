//! What a router is built from.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use tokio::sync::Semaphore;
use url::{Host, Url};

use super::{DeadLetterStore, FileLinks, WebhookRouter};
use crate::{
    Error, ErrorKind, Result, Secret,
    clock::{SharedClock, TokioClock},
    random::{SharedRandom, SystemRandom},
};

/// Builds a [`WebhookRouter`].
pub struct WebhookRouterBuilder {
    public_url: Url,
    secret: Option<Secret>,
    max_body_bytes: usize,
    timeout: Duration,
    max_in_flight: usize,
    max_held_bytes: usize,
    dead_letters: Option<Arc<dyn DeadLetterStore>>,
    clock: Option<SharedClock>,
    random: Option<SharedRandom>,
}

/// Shortest root secret, in bytes: whoever guesses it has every path.
const MIN_SECRET_BYTES: usize = 16;

impl WebhookRouterBuilder {
    pub(super) fn new(public_url: Url) -> Self {
        Self {
            public_url,
            secret: None,
            max_body_bytes: 32 * 1024 * 1024,
            // Vendors wait longer than that: Sinch Fax 60 s.
            timeout: Duration::from_secs(25),
            max_in_flight: 64,
            max_held_bytes: 256 * 1024 * 1024,
            dead_letters: None,
            clock: None,
            random: None,
        }
    }

    /// Sets the root secret, from which the secrets in paths follow; at least 16 bytes. Another one
    /// changes the address of every vendor that signs nothing.
    #[must_use]
    pub fn with_secret(mut self, secret: Secret) -> Self {
        self.secret = Some(secret);
        self
    }

    /// Sets the longest body, in bytes; 32 MiB.
    #[must_use]
    pub fn with_max_body_bytes(mut self, bytes: usize) -> Self {
        self.max_body_bytes = bytes;
        self
    }

    /// Sets the time for a body to come, and then for its handler; 25 s.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets how many requests are handled at a time; 64. 0 is 1. Those whose body is still coming do
    /// not count.
    #[must_use]
    pub fn with_max_in_flight(mut self, requests: usize) -> Self {
        self.max_in_flight = requests;
        self
    }

    /// Sets how many bytes of bodies are held at a time, those among them that are still coming;
    /// 256 MiB, and at least one body. A plugin that takes a form apart holds it once or twice more.
    #[must_use]
    pub fn with_max_held_bytes(mut self, bytes: usize) -> Self {
        self.max_held_bytes = bytes;
        self
    }

    /// Sets where requests go whose handler failed; nowhere.
    #[must_use]
    pub fn with_dead_letters(mut self, store: Arc<dyn DeadLetterStore>) -> Self {
        self.dead_letters = Some(store);
        self
    }

    /// Sets where time comes from; tokio.
    #[must_use]
    pub fn with_clock(mut self, clock: SharedClock) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Sets where the tokens of files come from; the operating system's randomness. It must not be
    /// one that can be guessed.
    #[must_use]
    pub fn with_random(mut self, random: SharedRandom) -> Self {
        self.random = Some(random);
        self
    }

    /// Builds the router.
    ///
    /// # Errors
    /// `Config` for a public URL that is not https, unless its host is loopback, or that has
    /// credentials, a query or a fragment; and for a root secret that is too short.
    pub fn build(self) -> Result<WebhookRouter> {
        check_url(&self.public_url)?;
        if self
            .secret
            .as_ref()
            .is_some_and(|secret| secret.expose().len() < MIN_SECRET_BYTES)
        {
            return Err(config("the root secret has fewer than 16 bytes"));
        }
        let clock = self.clock.unwrap_or_else(TokioClock::shared);
        let random = self.random.unwrap_or_else(SystemRandom::shared);
        let links = FileLinks::new(self.public_url.clone(), Arc::clone(&clock), random);
        let places = self.max_in_flight.clamp(1, Semaphore::MAX_PERMITS);
        Ok(WebhookRouter {
            public_url: self.public_url,
            secret: self.secret,
            max_body_bytes: self.max_body_bytes,
            max_held_bytes: self.max_held_bytes.max(self.max_body_bytes),
            timeout: self.timeout,
            dead_letters: self.dead_letters,
            clock,
            links,
            places: Semaphore::new(places),
            held_bytes: 0.into(),
            plugins: HashMap::new().into(),
        })
    }
}

impl fmt::Debug for WebhookRouterBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookRouterBuilder")
            .field("origin", &self.public_url.origin().ascii_serialization())
            .field("max_body_bytes", &self.max_body_bytes)
            .field("timeout", &self.timeout)
            .field("max_in_flight", &self.max_in_flight)
            .field("max_held_bytes", &self.max_held_bytes)
            .finish_non_exhaustive()
    }
}

fn check_url(url: &Url) -> Result<()> {
    match (url.scheme(), url.host()) {
        ("https", Some(_)) => {}
        ("http", Some(host)) if is_loopback(&host) => {}
        _ => {
            let message = "the public URL must be https; http only for a host that is this machine";
            return Err(config(message));
        }
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(config("the public URL must not have credentials"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(config("the public URL must not have a query or a fragment"));
    }
    Ok(())
}

fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => *name == "localhost" || name.ends_with(".localhost"),
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    }
}

fn config(message: &'static str) -> Error {
    Error::new(ErrorKind::Config, "build", message)
}
