//! HTTP as plugins and adapters ask for it; a client is given to them.

#[cfg(feature = "api")]
mod api;
#[cfg(feature = "api")]
mod auth;
#[cfg(feature = "api")]
mod exchange;
#[cfg(test)]
#[cfg(feature = "api")]
mod fake;
#[cfg(feature = "api")]
mod form;
#[cfg(feature = "api")]
mod multipart;
#[cfg(feature = "api")]
mod origin;
#[cfg(feature = "reqwest")]
mod reqwest_client;

use std::{fmt, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use url::Url;

#[cfg(feature = "reqwest")]
#[cfg_attr(docsrs, doc(cfg(feature = "reqwest")))]
pub use self::reqwest_client::{ReqwestClient, ReqwestClientBuilder};
#[cfg(feature = "api")]
#[cfg_attr(docsrs, doc(cfg(feature = "api")))]
pub use self::{
    api::{ApiCall, ApiClient, Rate, refusal},
    auth::{Auth, Digest, OAuth2},
    form::form_urlencoded,
    multipart::MultipartForm,
};
use crate::{Error, ErrorKind, Result};

/// Sends HTTP requests. The application hands one in: its own, or `ReqwestClient` of the feature
/// `reqwest`.
///
/// An implementation sends one request per call. It does not repeat it by itself and does not
/// follow redirects, because both may send a fax twice or credentials to a stranger.
#[async_trait]
pub trait HttpClient: Send + Sync + fmt::Debug {
    /// Sends a request and reads the whole answer. A status of 400 and above is an answer, not an
    /// error.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRequest`] for what the client does not send,
    /// [`ErrorKind::NotConnected`] when nothing was written, [`ErrorKind::Timeout`] and
    /// [`ErrorKind::Io`] with effect unknown afterwards, [`ErrorKind::Protocol`] for an answer
    /// that is not HTTP or longer than the request's limit.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection; the server may have acted on the request.
    async fn execute(&self, request: HttpRequest) -> Result<HttpResponse>;
}

/// One request. `Debug` shows the method, the scheme, host and port, the names of the headers and
/// the length of the body.
#[derive(Clone)]
#[non_exhaustive]
pub struct HttpRequest {
    /// The method.
    pub method: Method,
    /// The address. Path and query may hold personal data or a secret.
    pub url: Url,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, empty for none.
    pub body: Bytes,
    /// Time for the whole exchange; default 30 s.
    pub timeout: Duration,
    /// The longest body of the answer in bytes; default 16 MiB. A longer one is an error, not cut.
    pub max_response_bytes: u64,
    /// How long after the head of an answer its body is waited for, where its status is not 200;
    /// default as long as the timeout. After that the answer is given without the rest
    /// ([`HttpResponse::complete`]). For servers that hold the end of empty answers back.
    pub unfinished_after: Option<Duration>,
}

impl HttpRequest {
    /// Time for the whole exchange unless told otherwise.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
    /// Longest body of an answer unless told otherwise, in bytes.
    pub const DEFAULT_MAX_RESPONSE_BYTES: u64 = 16 * 1024 * 1024;

    /// A request without headers and body.
    pub fn new(method: Method, url: Url) -> Self {
        Self {
            method,
            url,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            timeout: Self::DEFAULT_TIMEOUT,
            max_response_bytes: Self::DEFAULT_MAX_RESPONSE_BYTES,
            unfinished_after: None,
        }
    }

    /// A GET request.
    pub fn get(url: Url) -> Self {
        Self::new(Method::GET, url)
    }

    /// A POST request with a body.
    pub fn post(url: Url, body: impl Into<Bytes>) -> Self {
        let mut request = Self::new(Method::POST, url);
        request.body = body.into();
        request
    }

    /// Adds a header.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRequest`] if the value has a line break or another control character.
    pub fn with_header(mut self, name: HeaderName, value: &str) -> Result<Self> {
        let mut value = HeaderValue::from_str(value).map_err(|_| {
            let message = format!("the value of the header {name} cannot be sent");
            Error::new(ErrorKind::InvalidRequest, "http_request", message)
        })?;
        // Keeps it out of the Debug output of the client underneath and out of its header cache.
        value.set_sensitive(true);
        self.headers.append(name, value);
        Ok(self)
    }

    /// Sets the body.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets the time for the whole exchange.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets the longest body of the answer, in bytes.
    #[must_use]
    pub fn with_max_response_bytes(mut self, bytes: u64) -> Self {
        self.max_response_bytes = bytes;
        self
    }

    /// Sets [`unfinished_after`](Self::unfinished_after).
    #[must_use]
    pub fn with_unfinished_after(mut self, wait: Duration) -> Self {
        self.unfinished_after = Some(wait);
        self
    }
}

impl fmt::Debug for HttpRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpRequest")
            .field("method", &self.method)
            .field("origin", &self.url.origin().ascii_serialization())
            .field("headers", &Names(&self.headers))
            .field("body_bytes", &self.body.len())
            .field("timeout", &self.timeout)
            .field("max_response_bytes", &self.max_response_bytes)
            .finish()
    }
}

/// One answer. `Debug` shows the status, the names of the headers and the length of the body.
#[derive(Clone)]
#[non_exhaustive]
pub struct HttpResponse {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// Whether the body is whole. Only [`HttpRequest::unfinished_after`] lets one that is not
    /// through, and never with status 200.
    pub complete: bool,
}

impl HttpResponse {
    /// An answer without headers.
    pub fn new(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            headers: HeaderMap::new(),
            body: body.into(),
            complete: true,
        }
    }

    /// Sets the headers.
    #[must_use]
    pub fn with_headers(mut self, headers: HeaderMap) -> Self {
        self.headers = headers;
        self
    }

    /// Sets [`complete`](Self::complete).
    #[must_use]
    pub fn with_complete(mut self, complete: bool) -> Self {
        self.complete = complete;
        self
    }
}

impl fmt::Debug for HttpResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpResponse")
            .field("status", &self.status)
            .field("headers", &Names(&self.headers))
            .field("body_bytes", &self.body.len())
            .field("complete", &self.complete)
            .finish()
    }
}

struct Names<'a>(&'a HeaderMap);

impl fmt::Debug for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.0.keys().map(HeaderName::as_str))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use http::header::AUTHORIZATION;

    use super::*;

    #[test]
    fn a_request_shows_no_secret_and_no_personal_data() {
        let url = "https://user:hunter2@api.example.org/fax/4711?token=hunter2";
        let request = HttpRequest::post(url.parse().unwrap(), "hunter2")
            .with_header(AUTHORIZATION, "Bearer hunter2")
            .unwrap();
        let shown = format!("{request:?}");
        assert!(
            !shown.contains("hunter2") && !shown.contains("4711"),
            "{shown}"
        );
        assert!(shown.contains("https://api.example.org") && shown.contains("authorization"));
        let response = HttpResponse::new(StatusCode::OK, "hunter2").with_headers(request.headers);
        assert!(!format!("{response:?}").contains("hunter2"));
    }

    #[test]
    fn a_line_break_makes_no_second_header() {
        let request = HttpRequest::get("https://api.example.org".parse().unwrap());
        let error = request
            .with_header(AUTHORIZATION, "a\r\nX-Other: hunter2")
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidRequest);
        assert!(!format!("{error:?}").contains("hunter2"));
    }
}
