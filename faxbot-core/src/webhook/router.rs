//! Takes what a web server was sent to the plugin that it is for.

mod builder;

use std::{
    collections::HashMap,
    fmt,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header::CONTENT_TYPE, header::RETRY_AFTER};
use tokio::sync::{Semaphore, SemaphorePermit};
use url::Url;

use super::{
    DeadLetter, DeadLetterStore, FileLinks, WebhookHandler, WebhookPath, WebhookRegistry,
    WebhookReply, WebhookRequest,
    links::{below, not_allowed, not_found},
    memory::lock,
    signature::{equal, hex, hmac_sha256},
};
use crate::{Error, ErrorKind, Result, Secret, clock::SharedClock, plugin::PluginId};

pub use builder::WebhookRouterBuilder;

/// Takes webhooks to their plugins, and serves [`FileLinks`]. A web server hands every request in:
/// [`dispatch`](Self::dispatch), or [`admit`](Self::admit) before it reads the body.
///
/// | path, after the public URL's own | what |
/// |---|---|
/// | `/webhooks/{plugin_id}` | a plugin that registered [`WebhookPath::Plain`] |
/// | `/webhooks/{plugin_id}/{secret}` | one that registered [`WebhookPath::Secret`] |
/// | `/files/{token}` | a file that was shared, to GET and HEAD |
///
/// A proxy in front may strip the public URL's own path. Whatever else is asked for is 404, the same
/// for a plugin that is not there and for a secret that is wrong.
///
/// | answer | when |
/// |---|---|
/// | 405 | the plugin does not take the method ([`WebhookHandler::takes_method`]) |
/// | 413 | the body is longer than the limit |
/// | 503, `Retry-After` | too many requests at a time; the plugin is attached and not registered or the other way round; the body or the handler took too long; its error is `Overloaded`, `ServerBusy` or `InvalidState` |
/// | 404 | its error is `Unsupported` |
/// | 500, and a dead letter | any other error, or a panic |
///
/// A public address is made of the configured URL alone, never of what a request says about itself
/// (`Host`, `X-Forwarded-*`).
pub struct WebhookRouter {
    public_url: Url,
    secret: Option<Secret>,
    max_body_bytes: usize,
    timeout: Duration,
    dead_letters: Option<Arc<dyn DeadLetterStore>>,
    clock: SharedClock,
    links: FileLinks,
    places: Semaphore,
    plugins: Mutex<HashMap<PluginId, Entry>>,
}

/// A plugin is served when it has both.
#[derive(Clone, Default)]
struct Entry {
    handler: Option<Arc<dyn WebhookHandler>>,
    path: Option<WebhookPath>,
}

/// What became of a request whose body is not read yet.
#[derive(Debug)]
#[non_exhaustive]
pub enum Admission<'a> {
    /// Read the body, and hand it in.
    Admitted(Admitted<'a>),
    /// This is the answer, whatever the body says.
    Answered(WebhookReply),
}

/// A request that has its plugin and its place. Dropping it frees the place.
pub struct Admitted<'a> {
    router: &'a WebhookRouter,
    plugin: PluginId,
    handler: Arc<dyn WebhookHandler>,
    _place: SemaphorePermit<'a>,
}

/// How long a vendor is asked to wait, in seconds, when nobody knows better.
const RETRY_AFTER_SECONDS: u64 = 10;
/// Time for a dead letter.
const DEAD_LETTER_WITHIN: Duration = Duration::from_secs(5);
/// Characters of a secret in a path: 128 bits.
const SECRET_CHARACTERS: usize = 32;

impl WebhookRouter {
    /// Builds a router for webhooks that reach us under `public_url`.
    pub fn builder(public_url: Url) -> WebhookRouterBuilder {
        WebhookRouterBuilder::new(public_url)
    }

    /// Attaches the handler of a plugin, in place of an earlier one. It is served as soon as the
    /// plugin has registered as well, which it does when it starts; until then the answer is 503, so
    /// that vendors try again.
    pub fn attach(&self, plugin: &PluginId, handler: Arc<dyn WebhookHandler>) {
        lock(&self.plugins)
            .entry(plugin.clone())
            .or_default()
            .handler = Some(handler);
    }

    /// Forgets a plugin, its registration and the files that it shared. What is being handled goes
    /// on.
    pub fn detach(&self, plugin: &PluginId) {
        lock(&self.plugins).remove(plugin);
        self.links.revoke_all(plugin);
    }

    /// Files at public addresses.
    pub fn links(&self) -> &FileLinks {
        &self.links
    }

    /// The public URL's own path, without a slash at its end; empty for none.
    pub fn path_prefix(&self) -> &str {
        self.public_url.path().trim_end_matches('/')
    }

    /// Longest body, in bytes.
    pub fn max_body_bytes(&self) -> usize {
        self.max_body_bytes
    }

    /// Time for a body to come, and then for its handler.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Handles a request that was read whole.
    ///
    /// # Cancel safety
    /// Dropping the future drops the handler's, which may have stored the request.
    pub async fn dispatch(&self, request: WebhookRequest) -> WebhookReply {
        match self.admit(&request.method, &request.path) {
            Admission::Admitted(admitted) => admitted.handle(request).await,
            Admission::Answered(reply) => reply,
        }
    }

    /// Finds the plugin of a request by its method and its path with the query, before its body is
    /// read: strangers do not get to send one.
    pub fn admit(&self, method: &Method, path: &str) -> Admission<'_> {
        match self.find(method, path) {
            Ok((plugin, handler)) => match self.places.try_acquire() {
                Ok(place) => Admission::Admitted(Admitted {
                    router: self,
                    plugin,
                    handler,
                    _place: place,
                }),
                Err(_) => Admission::Answered(again(None)),
            },
            Err(reply) => Admission::Answered(*reply),
        }
    }

    /// The answer to a body that is too long.
    pub fn too_long() -> WebhookReply {
        WebhookReply::json(
            StatusCode::PAYLOAD_TOO_LARGE,
            r#"{"error":"body too long"}"#,
        )
    }

    /// The answer to a body that takes too long: 503, because a vendor does not send again what was
    /// answered with 4xx (Sinch SMS), and the network may have been slow.
    pub fn too_slow() -> WebhookReply {
        again(None)
    }

    fn find(
        &self,
        method: &Method,
        path: &str,
    ) -> Result<(PluginId, Arc<dyn WebhookHandler>), Box<WebhookReply>> {
        let path = path.split('?').next().unwrap_or_default();
        // With the prefix first: under `https://host/webhooks` both may match.
        let stripped = path.strip_prefix(self.path_prefix());
        let target = stripped
            .and_then(Target::parse)
            .or_else(|| Target::parse(path));
        match target {
            Some(Target::File(token)) => Err(Box::new(self.links.serve(method, token))),
            Some(Target::Webhook { plugin, secret }) => self.handler(method, plugin, secret),
            None => Err(Box::new(not_found())),
        }
    }

    fn handler(
        &self,
        method: &Method,
        plugin: &str,
        secret: Option<&str>,
    ) -> Result<(PluginId, Arc<dyn WebhookHandler>), Box<WebhookReply>> {
        let plugin: PluginId = plugin.parse().map_err(|_| Box::new(not_found()))?;
        // The same work whether or not there is such a plugin.
        let expected = self.path_secret(&plugin).unwrap_or_default();
        let given = secret.unwrap_or_default();
        let proven = equal(given.as_bytes(), expected.as_bytes()) && !expected.is_empty();
        let entry = lock(&self.plugins).get(&plugin).cloned();
        let may = match entry.as_ref().map(|entry| entry.path) {
            None => false,
            Some(Some(WebhookPath::Plain)) => secret.is_none(),
            Some(Some(WebhookPath::Secret)) => proven,
            // Attached, and not registered yet: it may become either.
            Some(None) => secret.is_none() || proven,
        };
        let Some(entry) = entry.filter(|_| may) else {
            return Err(Box::new(not_found()));
        };
        let (Some(handler), Some(_)) = (entry.handler, entry.path) else {
            return Err(Box::new(again(None)));
        };
        if !handler.takes_method(method) {
            return Err(Box::new(not_allowed(allowed(handler.as_ref()))));
        }
        Ok((plugin, handler))
    }

    /// The secret of a plugin's path. It follows from the root secret, so that the vendor's
    /// configuration stays right over a restart.
    fn path_secret(&self, plugin: &PluginId) -> Option<String> {
        let tag = hmac_sha256(self.secret.as_ref()?, &format!("webhook:{plugin}"))?;
        let mut text = hex(&tag);
        text.truncate(SECRET_CHARACTERS);
        Some(text)
    }

    async fn bury(&self, plugin: PluginId, reason: String, letter: Parts) {
        let Some(store) = &self.dead_letters else {
            return;
        };
        let now = self.clock.timestamp();
        let letter = DeadLetter::new(plugin, now, reason, letter.content_type, letter.body);
        let until = self.clock.now() + DEAD_LETTER_WITHIN;
        let kept = tokio::select! {
            biased;
            kept = store.put(&letter) => kept.is_ok(),
            () = self.clock.sleep_until(until) => false,
        };
        if !kept {
            tracing::error!(plugin_id = %letter.plugin_id, "a dead letter could not be kept");
        }
    }
}

impl WebhookRegistry for WebhookRouter {
    fn register_webhook(&self, plugin: &PluginId, path: WebhookPath) -> Result<Url> {
        let url = match path {
            WebhookPath::Plain => below(&self.public_url, &["webhooks", plugin.as_str()]),
            WebhookPath::Secret => {
                let secret = self.path_secret(plugin).ok_or_else(|| {
                    Error::new(
                        ErrorKind::Config,
                        "register_webhook",
                        "this vendor signs nothing, so its path needs a secret: give the router one",
                    )
                })?;
                below(&self.public_url, &["webhooks", plugin.as_str(), &secret])
            }
        };
        lock(&self.plugins).entry(plugin.clone()).or_default().path = Some(path);
        Ok(url)
    }
}

impl Admitted<'_> {
    /// The plugin.
    pub fn plugin(&self) -> &PluginId {
        &self.plugin
    }

    /// Hands the request to the plugin.
    ///
    /// # Cancel safety
    /// Dropping the future drops the handler's, which may have stored the request.
    pub async fn handle(self, request: WebhookRequest) -> WebhookReply {
        let Self {
            router,
            plugin,
            handler,
            _place,
        } = self;
        if request.body.len() > router.max_body_bytes {
            return WebhookRouter::too_long();
        }
        let letter = Parts {
            content_type: request.header(CONTENT_TYPE.as_str()).map(ToOwned::to_owned),
            body: request.body.clone(),
        };
        let until = router.clock.now() + router.timeout;
        let work = CaughtPanic(Box::pin(async { handler.handle_webhook(request).await }));
        let result = tokio::select! {
            biased;
            result = work => result,
            () = router.clock.sleep_until(until) => {
                tracing::warn!(plugin_id = %plugin, "a webhook was not handled in time");
                return again(None);
            }
        };
        let reason = match result {
            Ok(Ok(reply)) => return reply,
            Ok(Err(error)) => match error.kind() {
                ErrorKind::Overloaded | ErrorKind::ServerBusy | ErrorKind::InvalidState => {
                    return again(error.retry_after());
                }
                ErrorKind::Unsupported => return not_found(),
                kind => {
                    tracing::error!(plugin_id = %plugin, ?kind, "a webhook could not be handled");
                    error.to_string()
                }
            },
            Err(Panicked) => {
                tracing::error!(plugin_id = %plugin, "the handler of a webhook panicked");
                "the handler panicked".to_owned()
            }
        };
        router.bury(plugin, reason, letter).await;
        WebhookReply::json(
            StatusCode::INTERNAL_SERVER_ERROR,
            r#"{"error":"internal error"}"#,
        )
    }
}

impl fmt::Debug for WebhookRouter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookRouter")
            .field("origin", &self.public_url.origin().ascii_serialization())
            .field("max_body_bytes", &self.max_body_bytes)
            .field("timeout", &self.timeout)
            .field("plugins", &lock(&self.plugins).len())
            .field("links", &self.links)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Admitted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admitted")
            .field("plugin", &self.plugin)
            .finish_non_exhaustive()
    }
}

/// What a dead letter keeps of a request.
struct Parts {
    content_type: Option<String>,
    body: Bytes,
}

enum Target<'a> {
    Webhook {
        plugin: &'a str,
        secret: Option<&'a str>,
    },
    File(&'a str),
}

impl<'a> Target<'a> {
    fn parse(path: &'a str) -> Option<Self> {
        let mut segments = path.strip_prefix('/')?.split('/');
        let target = match (segments.next()?, segments.next()?) {
            ("webhooks", plugin) => Self::Webhook {
                plugin,
                secret: segments.next(),
            },
            ("files", token) => Self::File(token),
            _ => return None,
        };
        segments.next().is_none().then_some(target)
    }
}

/// 503, and when to come again.
fn again(after: Option<Duration>) -> WebhookReply {
    let seconds = after.map_or(RETRY_AFTER_SECONDS, |after| after.as_secs().max(1));
    let mut reply = WebhookReply::json(
        StatusCode::SERVICE_UNAVAILABLE,
        r#"{"error":"try again later"}"#,
    );
    reply
        .headers
        .insert(RETRY_AFTER, HeaderValue::from(seconds));
    reply
}

fn allowed(handler: &dyn WebhookHandler) -> HeaderValue {
    let methods = [Method::GET, Method::HEAD, Method::POST, Method::PUT];
    let names: Vec<_> = methods
        .iter()
        .filter(|method| handler.takes_method(method))
        .map(Method::as_str)
        .collect();
    HeaderValue::from_str(&names.join(", ")).unwrap_or(HeaderValue::from_static("POST"))
}

/// A future whose panic is a result: the panic of one handler ends nobody else's connection.
struct CaughtPanic<'a, T>(Pin<Box<dyn Future<Output = T> + Send + 'a>>);

struct Panicked;

impl<T> Future for CaughtPanic<'_, T> {
    type Output = Result<T, Panicked>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // What the handler shares with others is behind locks, and it is never polled again.
        match catch_unwind(AssertUnwindSafe(|| self.0.as_mut().poll(context))) {
            Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
            Ok(Poll::Pending) => Poll::Pending,
            Err(_) => Poll::Ready(Err(Panicked)),
        }
    }
}

#[cfg(test)]
mod tests;
