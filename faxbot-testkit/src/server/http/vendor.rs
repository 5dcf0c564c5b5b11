//! What a vendor has to bring.

use std::{fmt, time::Duration};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{CONTENT_TYPE, IntoHeaderName},
};
use tokio::time::Instant;
use url::Url;

use super::{answer::HttpAnswer, request::SeenRequest};

/// The rules of one vendor. A state machine without a wire: requests and time go in, answers and
/// callbacks come out. Time is tokio's, so that it stands still in a paused runtime.
pub trait MockVendor: Send + 'static {
    /// Acts on a request and answers it. [`tick`](Self::tick) was called with the same time before.
    fn handle(&mut self, request: &SeenRequest, now: Instant) -> HttpAnswer;

    /// Ages to `now`. What it has to tell by then is delivered in this order.
    fn tick(&mut self, now: Instant) -> Vec<Callback> {
        let _ = now;
        Vec::new()
    }

    /// When [`tick`](Self::tick) has something to do next; `None` for never. Asked after every
    /// change.
    fn due(&self) -> Option<Instant> {
        None
    }

    /// How it delivers callbacks that were not taken.
    fn retry_rule(&self) -> RetryRule {
        RetryRule::never()
    }

    /// Where clients reach it, told once before the first request. The path is `/`.
    fn started(&mut self, url: &Url) {
        let _ = url;
    }
}

/// A request of the vendor to its customer. `Debug` shows the label, the names of the headers and
/// the length of the body.
#[derive(Clone)]
#[non_exhaustive]
pub struct Callback {
    /// What it tells, for the record: no personal data.
    pub label: String,
    /// Where it goes.
    pub url: Url,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Callback {
    /// A POST of this body.
    pub fn new(
        label: impl Into<String>,
        url: Url,
        content_type: &str,
        body: impl Into<Bytes>,
    ) -> Self {
        let callback = Self {
            label: label.into(),
            url,
            headers: HeaderMap::new(),
            body: body.into(),
        };
        callback.with_header(CONTENT_TYPE, content_type)
    }

    /// Sets a header. A value that no header can have is left out.
    #[must_use]
    pub fn with_header(mut self, name: impl IntoHeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }
}

impl fmt::Debug for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.headers.keys().map(http::HeaderName::as_str).collect();
        f.debug_struct("Callback")
            .field("label", &self.label)
            .field("headers", &names)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// When a callback that was not taken is delivered again.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RetryRule {
    /// The times between the attempts, as the vendor has them.
    pub waits: Vec<Duration>,
    /// How long it waits for a reply.
    pub patience: Duration,
    again: fn(StatusCode) -> bool,
}

impl RetryRule {
    /// One attempt, and 60 s for the reply.
    pub fn never() -> Self {
        Self::new([])
    }

    /// Again after each of these times, until the reply is 2xx.
    pub fn new(waits: impl Into<Vec<Duration>>) -> Self {
        Self {
            waits: waits.into(),
            patience: Duration::from_secs(60),
            again: |status| !status.is_success(),
        }
    }

    /// Only after these statuses; no reply at all is always tried again.
    #[must_use]
    pub fn only_after(mut self, again: fn(StatusCode) -> bool) -> Self {
        self.again = again;
        self
    }

    /// How long it waits for a reply.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Whether it is delivered again after this reply, or none.
    pub fn again(&self, reply: Option<StatusCode>) -> bool {
        reply.is_none_or(self.again)
    }
}
