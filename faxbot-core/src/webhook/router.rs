//! Takes what a web server was sent to the plugin that it is for.

mod admitted;
mod builder;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, atomic::AtomicUsize},
    time::Duration,
};

use http::{HeaderValue, Method, StatusCode, header::RETRY_AFTER};
use tokio::sync::Semaphore;
use url::Url;

use super::{
    DeadLetterStore, FileLinks, WebhookHandler, WebhookPath, WebhookRegistry, WebhookReply,
    WebhookRequest,
    links::{below, not_allowed, not_found},
    memory::lock,
    signature::{equal, hex, hmac_sha256},
};
use crate::{Error, ErrorKind, Result, Secret, clock::SharedClock, plugin::PluginId};

pub use admitted::Admitted;
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
/// | 503, `Retry-After` | too many requests are handled, or too many bytes of bodies held, at a time; the plugin is attached and not registered or the other way round; the body or the handler took too long; its error is `Overloaded`, `ServerBusy` or `InvalidState` |
/// | 404 | its error is `Unsupported` |
/// | 500, and a dead letter | any other error, or a panic |
///
/// A public address is made of the configured URL alone, never of what a request says about itself
/// (`Host`, `X-Forwarded-*`).
pub struct WebhookRouter {
    public_url: Url,
    secret: Option<Secret>,
    max_body_bytes: usize,
    max_held_bytes: usize,
    timeout: Duration,
    dead_letters: Option<Arc<dyn DeadLetterStore>>,
    clock: SharedClock,
    links: FileLinks,
    /// Requests that are handled. A body that is still coming takes none: whoever sends it slowly,
    /// or never, would keep everybody else out.
    places: Semaphore,
    /// Bytes of the bodies that are being read or handled.
    held_bytes: AtomicUsize,
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

/// How long a vendor is asked to wait, in seconds, when nobody knows better.
const RETRY_AFTER_SECONDS: u64 = 10;
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
            Ok((plugin, handler)) => Admission::Admitted(Admitted {
                router: self,
                plugin,
                handler,
                held_bytes: 0,
            }),
            Err(reply) => Admission::Answered(*reply),
        }
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

#[cfg(test)]
mod tests;
