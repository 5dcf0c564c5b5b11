//! HTTP/1.1 by reqwest, with rustls and the ring provider.

mod failure;
mod public;
mod tls;

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::BytesMut;
use http::{
    HeaderValue, Method, StatusCode,
    header::{CONNECTION, CONTENT_LENGTH, EXPECT, TRANSFER_ENCODING, UPGRADE},
};
use reqwest::{Body, Client, Request, Response, redirect, retry};
use rustls_pki_types::CertificateDer;
use url::Url;

use self::{failure::failed, public::PublicResolver, tls::Identity};
use super::{HttpClient, HttpRequest, HttpResponse};
use crate::{Error, ErrorKind, Result};

const OPERATION: &str = "http_request";

/// Memory that is taken for a body before a byte of it is there: a server may announce anything.
const FIRST_BYTES: u64 = 64 * 1024;

/// An [`HttpClient`] by reqwest: HTTP/1.1, TLS by rustls with the ring provider. Clones share the
/// connections.
///
/// One request is sent per call. Nothing is sent again by itself, but for one case that is certainly
/// harmless: an idle connection that was closed before a byte of the request was written is replaced
/// by another. There are no redirects, no cookies, no decompression and no proxy from the
/// environment, and nothing that it logs holds a path, a header or a body.
#[derive(Clone)]
pub struct ReqwestClient {
    client: Client,
    public_only: bool,
}

impl ReqwestClient {
    /// A client with the authorities of the operating system and the defaults of the builder.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if TLS cannot be set up.
    pub fn new() -> Result<Self> {
        Self::builder().build()
    }

    /// A client with other options.
    pub fn builder() -> ReqwestClientBuilder {
        ReqwestClientBuilder::default()
    }

    async fn exchange(&self, request: HttpRequest) -> Result<HttpResponse> {
        let (max, unfinished_after) = (request.max_response_bytes, request.unfinished_after);
        let request = self.prepare(request)?;
        let response = self.client.execute(request).await.map_err(failed)?;
        let status = response.status();
        let headers = response.headers().clone();
        let mut body = BytesMut::new();
        let reading = read(response, max, &mut body);
        let complete = match unfinished_after.filter(|_| status != StatusCode::OK) {
            None => reading.await.map(|()| true)?,
            // The connection is closed with the rest of the body.
            Some(wait) => match tokio::time::timeout(wait, reading).await {
                Ok(read) => read.map(|()| true)?,
                Err(_) => false,
            },
        };
        let response = HttpResponse::new(status, body.freeze()).with_headers(headers);
        Ok(response.with_complete(complete))
    }

    fn prepare(&self, request: HttpRequest) -> Result<Request> {
        check(&request.url, self.public_only)?;
        let mut out = Request::new(request.method, request.url);
        *out.headers_mut() = request.headers;
        // What belongs to the connection is ours: hyper would believe a wrong length.
        for name in [
            CONNECTION,
            CONTENT_LENGTH,
            EXPECT,
            TRANSFER_ENCODING,
            UPGRADE,
        ] {
            out.headers_mut().remove(name);
        }
        *out.timeout_mut() = Some(request.timeout);
        if !request.body.is_empty() {
            *out.body_mut() = Some(Body::from(request.body));
        } else if matches!(*out.method(), Method::POST | Method::PUT | Method::PATCH) {
            // RFC 9110 section 8.6. hyper leaves it out, and some servers then answer 411.
            let none = HeaderValue::from_static("0");
            out.headers_mut().insert(CONTENT_LENGTH, none);
        }
        Ok(out)
    }
}

#[async_trait]
impl HttpClient for ReqwestClient {
    async fn execute(&self, request: HttpRequest) -> Result<HttpResponse> {
        self.exchange(request).await
    }
}

impl fmt::Debug for ReqwestClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReqwestClient")
            .field("public_only", &self.public_only)
            .finish_non_exhaustive()
    }
}

/// Options of a [`ReqwestClient`].
#[derive(Clone)]
pub struct ReqwestClientBuilder {
    connect_timeout: Duration,
    pool_idle_timeout: Duration,
    public_only: bool,
    proxy_from_environment: bool,
    user_agent: String,
    roots: Vec<CertificateDer<'static>>,
    system_roots: bool,
    identity: Option<Arc<Identity>>,
}

impl Default for ReqwestClientBuilder {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            pool_idle_timeout: Duration::from_secs(4),
            public_only: false,
            proxy_from_environment: false,
            user_agent: concat!("faxbot/", env!("CARGO_PKG_VERSION")).to_owned(),
            roots: Vec::new(),
            system_roots: true,
            identity: None,
        }
    }
}

impl ReqwestClientBuilder {
    /// Sets the time to look up the host, connect and agree on TLS; default 10 s. If it is not
    /// shorter than the time-out of a request, an error tells less: that one means that bytes may
    /// have left.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets how long an idle connection is kept for the next request; default 4 s, zero for never.
    /// A request on a connection that the server closes in the same moment has an unknown outcome,
    /// so that it must be shorter than the server's own: that of Node and Apache is 5 s.
    #[must_use]
    pub fn pool_idle_timeout(mut self, timeout: Duration) -> Self {
        self.pool_idle_timeout = timeout;
        self
    }

    /// Connects to addresses of the public internet alone; default no. Refused are private,
    /// loopback and link-local addresses, those of cloud metadata, and all that are set aside for
    /// another purpose, by their number and behind a name. For addresses that somebody else chose.
    #[must_use]
    pub fn public_only(mut self, public_only: bool) -> Self {
        self.public_only = public_only;
        self
    }

    /// Uses the proxy of `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`; default no. A
    /// proxy reads along what is not TLS, and connects to where it likes.
    #[must_use]
    pub fn proxy_from_environment(mut self, proxy: bool) -> Self {
        self.proxy_from_environment = proxy;
        self
    }

    /// Sets the `User-Agent`; default `faxbot/` with the version.
    #[must_use]
    pub fn user_agent(mut self, user_agent: impl Into<String>) -> Self {
        self.user_agent = user_agent.into();
        self
    }

    /// Trusts the authorities of a PEM file's content, besides those of the operating system unless
    /// [`system_roots`](Self::system_roots) switches these off.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if there is no certificate in it.
    pub fn add_root_pem(mut self, pem: &[u8]) -> Result<Self> {
        self.roots.extend(tls::certificates(pem)?);
        Ok(self)
    }

    /// Trusts the authorities of the operating system; default yes. Without them and without
    /// [`add_root_pem`](Self::add_root_pem) no server is trusted.
    #[must_use]
    pub fn system_roots(mut self, trusted: bool) -> Self {
        self.system_roots = trusted;
        self
    }

    /// Shows this certificate to servers that ask for one: the content of a PEM file with our
    /// certificate and those between it and the authority, in this order, and that of one with its
    /// key. Default none.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if there is no certificate in the one or no key in the other.
    pub fn identity_pem(mut self, certificate_pem: &[u8], key_pem: &[u8]) -> Result<Self> {
        self.identity = Some(Arc::new(Identity::new(certificate_pem, key_pem)?));
        Ok(self)
    }

    /// The client. Opens nothing.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for a user agent that cannot be sent, for a proxy together with
    /// [`public_only`](Self::public_only), which the proxy would not keep, if TLS cannot be set up,
    /// and for a certificate and a key of [`identity_pem`](Self::identity_pem) that do not fit.
    pub fn build(self) -> Result<ReqwestClient> {
        if self.public_only && self.proxy_from_environment {
            return Err(wrong("a proxy connects to other than public addresses too"));
        }
        // Each default is switched off by name where a feature of reqwest that another crate of the
        // program asks for would switch it on.
        let mut builder = Client::builder()
            .tls_backend_preconfigured(tls::config(
                tls::authorities(self.roots, self.system_roots)?,
                self.identity.as_deref(),
            )?)
            .http1_only()
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .referer(false)
            .no_gzip()
            .no_brotli()
            .no_zstd()
            .no_deflate()
            .no_hickory_dns()
            .connection_verbose(false)
            .connect_timeout(self.connect_timeout)
            .user_agent(self.user_agent);
        builder = if self.pool_idle_timeout.is_zero() {
            builder.pool_max_idle_per_host(0)
        } else {
            builder.pool_idle_timeout(self.pool_idle_timeout)
        };
        if !self.proxy_from_environment {
            builder = builder.no_proxy();
        }
        if self.public_only {
            builder = builder.dns_resolver(Arc::new(PublicResolver));
        }
        let client = builder
            .build()
            .map_err(|error| wrong("the http client cannot be set up").with_source(error))?;
        Ok(ReqwestClient {
            client,
            public_only: self.public_only,
        })
    }
}

impl fmt::Debug for ReqwestClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReqwestClientBuilder")
            .field("connect_timeout", &self.connect_timeout)
            .field("pool_idle_timeout", &self.pool_idle_timeout)
            .field("public_only", &self.public_only)
            .field("proxy_from_environment", &self.proxy_from_environment)
            .field("user_agent", &self.user_agent)
            .field("roots", &self.roots.len())
            .field("system_roots", &self.system_roots)
            .field("identity", &self.identity.is_some())
            .finish()
    }
}

fn wrong(message: &'static str) -> Error {
    Error::new(ErrorKind::Config, "http_client", message)
}

/// Refuses an address that must not be asked.
fn check(url: &Url, public_only: bool) -> Result<()> {
    let refused = |message| Err(Error::new(ErrorKind::InvalidRequest, OPERATION, message));
    if !matches!(url.scheme(), "http" | "https") {
        return refused("the address is not http or https");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return refused("the address holds a user or a password");
    }
    if public_only && !url.host().is_some_and(|host| public::may_be_public(&host)) {
        return refused(public::MESSAGE);
    }
    Ok(())
}

/// Reads the whole body, or errs if it is longer than `max`: announced or not, no more is read.
async fn read(mut response: Response, max: u64, body: &mut BytesMut) -> Result<()> {
    let too_long = || {
        let message = "the answer is longer than its limit";
        Error::new(ErrorKind::Protocol, OPERATION, message)
    };
    let announced = response.content_length().unwrap_or(0);
    if announced > max {
        return Err(too_long());
    }
    body.reserve(usize::try_from(announced.min(FIRST_BYTES)).unwrap_or(0));
    let mut left = max;
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        left = u64::try_from(chunk.len())
            .ok()
            .and_then(|length| left.checked_sub(length))
            .ok_or_else(too_long)?;
        body.extend_from_slice(&chunk);
    }
    Ok(())
}
