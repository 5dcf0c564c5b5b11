//! Webhooks: a request as it came, the reply, who handles it, and what is kept of it.

mod authenticity;
#[cfg(feature = "webhook")]
mod basic;
mod dedupe;
mod files;
#[cfg(feature = "webhook")]
mod form;
mod index;
#[cfg(feature = "webhook")]
mod links;
mod memory;
#[cfg(feature = "webhook")]
mod router;
#[cfg(feature = "webhook")]
mod signature;
mod store;

use std::{fmt, net::SocketAddr};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header::CONTENT_TYPE};
use url::Url;

use crate::{Error, Result, plugin::PluginId};

pub use authenticity::Authenticity;
pub use files::{FileDeadLetters, FileDedupeStore, FileInboundStore};
#[cfg(feature = "webhook")]
pub use form::{Form, FormFile};
#[cfg(feature = "webhook")]
pub use links::FileLinks;
pub use memory::{MemoryDeadLetters, MemoryDedupeStore, MemoryInboundStore};
#[cfg(feature = "webhook")]
pub use router::{Admission, Admitted, WebhookRouter, WebhookRouterBuilder};
#[cfg(feature = "webhook")]
pub use signature::{HmacHash, HmacScheme, MessagePart, SignatureEncoding, fresh};
pub use store::{
    Claim, DeadLetter, DeadLetterStore, DedupeStore, InboundFile, InboundStore, Stored,
};

/// Takes the webhooks of one plugin or cloud adapter. The host serves them under
/// `/webhooks/{plugin_id}`, with `/{secret}` behind it where the vendor signs nothing.
///
/// # Contract
/// - The signature is verified over the raw bytes, in constant time, before anything is parsed. A
///   missing secret refuses; a bad signature is [`WebhookReply::unauthorized`].
/// - A request that was handled before is answered as then, and has no effect.
/// - What was received is stored before it is answered with 2xx: a vendor does not send again what
///   it has seen acknowledged.
///
/// # Events and truth
/// A callback is evidence, in any order and any number: final states absorb it.
///
/// # Cancellation
/// A dropped future may have stored the request; the vendor's repetition then has no effect.
///
/// # Wrappers
/// Forward the methods, though they are provided ones.
#[async_trait]
pub trait WebhookHandler: Send + Sync {
    /// Whether requests with this method are for it: POST alone, unless it says otherwise (some
    /// vendors call with GET). The host answers others with 405.
    fn takes_method(&self, method: &Method) -> bool {
        method == Method::POST
    }

    /// Handles a request. Capability `handle_webhook`. The same request again has no effect.
    ///
    /// # Errors
    /// `Unsupported` for who takes no webhooks (the provided method); `InvalidState` for a plugin
    /// that does not run; `Overloaded` so that the vendor tries again later. Wrong requests are
    /// replies with a status of 4xx, not errors.
    ///
    /// # Cancel safety
    /// Dropping the future may leave the request handled, and unanswered.
    async fn handle_webhook(&self, request: WebhookRequest) -> Result<WebhookReply> {
        let _ = request;
        Err(Error::unsupported("handle_webhook"))
    }
}

/// How a vendor's requests to a plugin's URL prove where they come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WebhookPath {
    /// The vendor signs: `/webhooks/{plugin_id}`.
    Plain,
    /// It signs nothing: `/webhooks/{plugin_id}/{secret}`. The secret is the same after a restart.
    Secret,
}

/// Gives plugins the public URL of their webhooks.
pub trait WebhookRegistry: Send + Sync + fmt::Debug {
    /// The URL that the vendor is to call for `plugin`. It comes from the host's configuration,
    /// never from a request. Again gives the same.
    ///
    /// # Errors
    /// `Config` when the host cannot serve webhooks.
    fn register_webhook(&self, plugin: &PluginId, path: WebhookPath) -> Result<Url>;
}

/// A webhook request, raw: nothing decoded, nothing parsed, so that a signature can be verified.
///
/// `Debug` shows method and body length only. Path, headers and body hold secrets and patients'
/// data.
#[derive(Clone)]
#[non_exhaustive]
pub struct WebhookRequest {
    /// The method.
    pub method: Method,
    /// Path and query, as they came.
    pub path: String,
    /// The headers; names compare in any case.
    pub headers: HeaderMap,
    /// The body, as it came.
    pub body: Bytes,
    /// Who connected; behind a proxy that is the proxy.
    pub remote: Option<SocketAddr>,
}

impl WebhookRequest {
    /// A request without headers and body.
    pub fn new(method: Method, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            remote: None,
        }
    }

    /// Sets the headers.
    #[must_use]
    pub fn with_headers(mut self, headers: HeaderMap) -> Self {
        self.headers = headers;
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets who connected.
    #[must_use]
    pub fn with_remote(mut self, remote: SocketAddr) -> Self {
        self.remote = Some(remote);
        self
    }

    /// A header's value as text; `None` when it is absent, given twice, or not visible ASCII.
    ///
    /// A header given twice is refused because proxies and libraries differ in which one counts.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (Some(value), None) => value.to_str().ok(),
            _ => None,
        }
    }
}

impl fmt::Debug for WebhookRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookRequest")
            .field("method", &self.method)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// The reply to a webhook: 200 and `{"status":"received"}` unless something else is chosen.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WebhookReply {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Default for WebhookReply {
    fn default() -> Self {
        Self::json(StatusCode::OK, r#"{"status":"received"}"#)
    }
}

impl WebhookReply {
    /// 200 and `{"status":"received"}`.
    pub fn received() -> Self {
        Self::default()
    }

    /// 401 and `{"error":"invalid signature"}`: the signature is missing, wrong or too old, or no
    /// secret is configured. The reply does not say which.
    pub fn unauthorized() -> Self {
        Self::json(StatusCode::UNAUTHORIZED, r#"{"error":"invalid signature"}"#)
    }

    /// A status without a body.
    pub fn status(status: StatusCode) -> Self {
        Self {
            status,
            headers: HeaderMap::new(),
            body: Bytes::new(),
        }
    }

    /// A status with a JSON text as its body.
    pub fn json(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Self::status(status).with_body(HeaderValue::from_static("application/json"), body)
    }

    /// Sets the body and its type.
    #[must_use]
    pub fn with_body(mut self, content_type: HeaderValue, body: impl Into<Bytes>) -> Self {
        self.headers.insert(CONTENT_TYPE, content_type);
        self.body = body.into();
        self
    }
}

impl fmt::Debug for WebhookReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookReply")
            .field("status", &self.status)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_reply_says_received() {
        let reply = WebhookReply::default();
        assert_eq!(reply.status, StatusCode::OK);
        assert_eq!(reply.body, r#"{"status":"received"}"#);
        assert_eq!(reply.headers[CONTENT_TYPE], "application/json");
        assert_eq!(WebhookReply::unauthorized().status, 401);
    }

    #[test]
    fn debug_shows_no_path_header_or_body() {
        let mut headers = HeaderMap::new();
        headers.insert("x-signature", HeaderValue::from_static("hush-hush"));
        let request = WebhookRequest::new(Method::POST, "/webhooks/a/hush-hush")
            .with_headers(headers)
            .with_body("hush-hush");
        assert!(!format!("{request:?}").contains("hush"));
    }

    #[test]
    fn a_header_is_found_in_any_case_and_never_when_it_is_given_twice() {
        let mut request = WebhookRequest::new(Method::POST, "/");
        request
            .headers
            .append("X-Signature", HeaderValue::from_static("one"));
        assert_eq!(request.header("x-signature"), Some("one"));
        request
            .headers
            .append("x-signature", HeaderValue::from_static("two"));
        assert_eq!(request.header("X-Signature"), None);
        assert_eq!(request.header("other"), None);
    }
}
