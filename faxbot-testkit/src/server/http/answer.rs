//! What a vendor answers, and how the answer goes over the wire.

use std::{fmt, time::Duration};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{CONTENT_TYPE, IntoHeaderName},
};
use serde_json::Value;
use tokio::sync::watch;

/// How an answer goes over the wire.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Then {
    /// As it should.
    #[default]
    Whole,
    /// It never comes; the link stays open.
    Never,
    /// It never comes; the link ends.
    Cut,
    /// Status, headers and body come in chunks, and the end of the body never does.
    Unfinished,
    /// The length of the whole is announced, half of it comes, and the link ends.
    Truncated,
    /// The body never stops (it does after 256 MiB, for clients without a limit).
    Endless,
    /// These bytes come instead, and the link ends.
    Raw(Bytes),
}

/// One answer. `Debug` shows the status, the length of the body, and how it goes.
#[derive(Clone)]
#[non_exhaustive]
pub struct HttpAnswer {
    /// The status.
    pub status: StatusCode,
    /// The words behind the status, where they are not the customary ones.
    pub reason: Option<String>,
    /// The headers; the length is added.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// How it goes over the wire.
    pub then: Then,
    /// How long it takes, counted from the effect.
    pub after: Duration,
    promised: Option<watch::Receiver<Option<Self>>>,
}

/// An answer that a vendor gives later, when it comes to the request.
pub struct Promise(watch::Sender<Option<HttpAnswer>>);

impl Promise {
    /// Gives it. A client that is gone does not get it.
    pub fn keep(self, answer: HttpAnswer) {
        self.0.send_replace(Some(answer));
    }
}

impl fmt::Debug for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Promise").finish_non_exhaustive()
    }
}

impl HttpAnswer {
    /// A status with an empty body. A number that is no status is 500.
    pub fn new(status: u16) -> Self {
        Self {
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            reason: None,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            then: Then::Whole,
            after: Duration::ZERO,
            promised: None,
        }
    }

    /// An answer that comes when the promise is kept. When it never is, the link ends.
    pub fn promised() -> (Self, Promise) {
        let sender = watch::Sender::new(None);
        let mut answer = Self::new(200).then(Then::Cut);
        answer.promised = Some(sender.subscribe());
        (answer, Promise(sender))
    }

    /// The answer that was promised, once it is there.
    pub(super) async fn kept(self) -> Self {
        let Some(mut promised) = self.promised.clone() else {
            return self;
        };
        match promised.wait_for(Option::is_some).await {
            Ok(answer) => answer.clone().unwrap_or(self),
            Err(_) => self,
        }
    }

    /// A status with JSON.
    pub fn json(status: u16, body: &Value) -> Self {
        Self::new(status).with_body("application/json", body.to_string())
    }

    /// Sets the body and its type.
    #[must_use]
    pub fn with_body(self, content_type: &str, body: impl Into<Bytes>) -> Self {
        let mut answer = self.with_header(CONTENT_TYPE, content_type);
        answer.body = body.into();
        answer
    }

    /// Sets the words behind the status. Over a socket only.
    #[must_use]
    pub fn with_reason(mut self, reason: &str) -> Self {
        self.reason = Some(reason.to_owned());
        self
    }

    /// Sets a header. A value that no header can have is left out.
    #[must_use]
    pub fn with_header(mut self, name: impl IntoHeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }

    /// Sets how it goes over the wire.
    #[must_use]
    pub fn then(mut self, then: Then) -> Self {
        self.then = then;
        self
    }

    /// Sets how long it takes.
    #[must_use]
    pub fn after(mut self, time: Duration) -> Self {
        self.after = time;
        self
    }
}

impl fmt::Debug for HttpAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpAnswer")
            .field("status", &self.status)
            .field("body_bytes", &self.body.len())
            .field("then", &std::mem::discriminant(&self.then))
            .field("after", &self.after)
            .finish_non_exhaustive()
    }
}
