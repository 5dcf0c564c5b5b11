//! Files at public addresses that nobody can guess, for vendors that fetch what they send.

use std::{
    collections::HashMap,
    fmt,
    sync::Mutex,
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{
    HeaderMap, HeaderValue, Method, StatusCode,
    header::{
        ALLOW, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE,
        X_CONTENT_TYPE_OPTIONS,
    },
};
use sha2::{Digest, Sha256};
use url::Url;

use super::{InboundFile, WebhookReply, memory::lock};
use crate::{
    Effect, Error, ErrorKind, Result, clock::SharedClock, plugin::PluginId, random::SharedRandom,
};

/// Files that a [`WebhookRouter`](super::WebhookRouter) serves under `/files/{token}`, to GET and
/// HEAD.
///
/// A token has 256 random bits, is good for one file, and ends with its time or when its owner
/// revokes it; the process remembers its hash alone. What is shared is held in memory, so links end
/// with the process.
pub struct FileLinks {
    public_url: Url,
    clock: SharedClock,
    random: SharedRandom,
    links: Mutex<Links>,
}

#[derive(Default)]
struct Links {
    by_token: HashMap<TokenHash, Link>,
    bytes: usize,
}

struct Link {
    owner: PluginId,
    file: InboundFile,
    until: Instant,
}

/// SHA-256 of a token. Looking it up takes a time that says nothing about the tokens there are.
type TokenHash = [u8; 32];

impl FileLinks {
    /// Most links at a time.
    pub const MAX_LINKS: usize = 1000;
    /// Most bytes of all shared files together.
    pub const MAX_BYTES: usize = 256 * 1024 * 1024;
    /// Longest time of a link: a day. A longer one is cut.
    pub const MAX_TTL: Duration = Duration::from_secs(24 * 3600);

    pub(super) fn new(public_url: Url, clock: SharedClock, random: SharedRandom) -> Self {
        Self {
            public_url,
            clock,
            random,
            links: Mutex::default(),
        }
    }

    /// Shares a file for `ttl`. Whoever has the address gets the file: it belongs into the request
    /// to the vendor, and into no log.
    ///
    /// # Errors
    /// `Overloaded` for more links or bytes than are served at a time.
    pub fn share(&self, owner: &PluginId, file: InboundFile, ttl: Duration) -> Result<Url> {
        let mut bytes = [0; 32];
        self.random.fill(&mut bytes);
        let token = URL_SAFE_NO_PAD.encode(bytes);
        let url = below(&self.public_url, &["files", &token]);
        let now = self.clock.now();
        let mut links = lock(&self.links);
        links.drop_ended(now);
        if links.by_token.len() >= Self::MAX_LINKS
            || file.bytes.len() > Self::MAX_BYTES.saturating_sub(links.bytes)
        {
            let message = "too many files are shared";
            return Err(
                Error::new(ErrorKind::Overloaded, "share", message).with_effect(Effect::NoEffect)
            );
        }
        links.bytes += file.bytes.len();
        let link = Link {
            owner: owner.clone(),
            file,
            until: now + ttl.min(Self::MAX_TTL),
        };
        links.by_token.insert(hash(&token), link);
        Ok(url)
    }

    /// Ends a link of `owner`. False when there is none, or it is another's.
    pub fn revoke(&self, owner: &PluginId, url: &Url) -> bool {
        let token = url.path().rsplit('/').next().unwrap_or_default();
        let key = hash(token);
        let mut links = lock(&self.links);
        let own = links
            .by_token
            .get(&key)
            .is_some_and(|link| link.owner == *owner);
        if own {
            links.remove(&key);
        }
        own
    }

    /// Ends all links of `owner`.
    pub fn revoke_all(&self, owner: &PluginId) {
        lock(&self.links).keep(|link| link.owner != *owner);
    }

    /// Number of links that have not ended.
    pub fn len(&self) -> usize {
        let mut links = lock(&self.links);
        links.drop_ended(self.clock.now());
        links.by_token.len()
    }

    /// Whether no file is shared.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn serve(&self, method: &Method, token: &str) -> WebhookReply {
        let mut links = lock(&self.links);
        links.drop_ended(self.clock.now());
        let Some(link) = links.by_token.get(&hash(token)) else {
            return not_found();
        };
        if method != Method::GET && method != Method::HEAD {
            return not_allowed(HeaderValue::from_static("GET, HEAD"));
        }
        let file = &link.file;
        let content_type = HeaderValue::from_str(&file.content_type)
            .unwrap_or(HeaderValue::from_static("application/octet-stream"));
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, content_type);
        headers.insert(CONTENT_LENGTH, file.bytes.len().into());
        // It holds a patient's data: no cache in between keeps it, no browser guesses what it is.
        for (name, value) in [
            (CACHE_CONTROL, "private, no-store"),
            (CONTENT_DISPOSITION, "attachment"),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        let mut reply = WebhookReply::status(StatusCode::OK);
        reply.headers = headers;
        if method == Method::GET {
            reply.body = file.bytes.clone();
        }
        reply
    }
}

impl Links {
    fn drop_ended(&mut self, now: Instant) {
        self.keep(|link| now < link.until);
    }

    fn keep(&mut self, wanted: impl Fn(&Link) -> bool) {
        let bytes = &mut self.bytes;
        self.by_token.retain(|_, link| {
            let keep = wanted(link);
            if !keep {
                *bytes = bytes.saturating_sub(link.file.bytes.len());
            }
            keep
        });
    }

    fn remove(&mut self, key: &TokenHash) {
        if let Some(link) = self.by_token.remove(key) {
            self.bytes = self.bytes.saturating_sub(link.file.bytes.len());
        }
    }
}

impl fmt::Debug for FileLinks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let links = lock(&self.links);
        f.debug_struct("FileLinks")
            .field("links", &links.by_token.len())
            .field("bytes", &links.bytes)
            .finish_non_exhaustive()
    }
}

fn hash(token: &str) -> TokenHash {
    Sha256::digest(token.as_bytes()).into()
}

/// The address of these segments under a base.
pub(super) fn below(base: &Url, segments: &[&str]) -> Url {
    let mut url = base.clone();
    // Fails only for addresses without a host, which the builder refuses.
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(segments);
    }
    url
}

/// What every path that is not served answers.
pub(super) fn not_found() -> WebhookReply {
    WebhookReply::json(StatusCode::NOT_FOUND, r#"{"error":"not found"}"#)
}

pub(super) fn not_allowed(allow: HeaderValue) -> WebhookReply {
    let mut reply = WebhookReply::json(
        StatusCode::METHOD_NOT_ALLOWED,
        r#"{"error":"method not allowed"}"#,
    );
    reply.headers.insert(ALLOW, allow);
    reply
}

#[cfg(test)]
mod tests;
