//! What every cloud plugin does with a webhook, whatever it tells of: prove, read, claim, handle,
//! remember, answer.
//!
//! ```text
//! verify ---no---> 401, nothing was parsed
//!   |
//! read ----no----> dead letter, 200 (the dead letter is not kept: 500, so that the vendor sends again)
//!   |
//! each notice: claim its key --Done--> nothing to do
//!   |                        --InProgress--> 503
//! handle --error--> the claim is released, 503
//!   |
//! done  --error--> the claim is released, 503
//!   |
//! event, 200
//! ```
//!
//! A reply of 503 says when to come again; vendors send again what was not answered with 2xx. So
//! whatever goes wrong between the claim and `done` costs a repetition and loses nothing, and what
//! was done is not done again.
//!
//! Notices are handled in a task of the plugin: a host that drops the future of a request that takes
//! too long (a big fax is being fetched) does not undo the work, and the repetition finds it done.

use std::{
    collections::{HashSet, VecDeque},
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use faxbot_core::{
    Error, ErrorKind, Result, Timestamp,
    clock::SharedClock,
    event::EventBus,
    plugin::{PluginEvent, PluginId},
    task::TaskSet,
    webhook::{Authenticity, Claim, DeadLetter, WebhookReply, WebhookRequest},
};
use http::{HeaderValue, StatusCode, header};
use tokio::sync::{Semaphore, oneshot};
use url::Url;

use super::start::Stores;

/// How long a claim lasts when nobody ends it: longer than a big fax takes to be fetched, shorter
/// than the first wait of the vendors, which is 5 minutes.
const LEASE: Duration = Duration::from_secs(240);
/// What is not handled by then is given up, before another may claim it.
const HANDLE_WITHIN: Duration = Duration::from_secs(200);
/// What a vendor is told to wait after a 503.
const AGAIN_AFTER: HeaderValue = HeaderValue::from_static("10");
/// Requests that are handled at one time, those among them that the host no longer waits for. Each
/// may hold a whole fax.
const IN_WORK: usize = 32;
/// How often the log tells of requests that proved nothing: anybody may send them.
const REFUSED_EVERY: Duration = Duration::from_secs(60);
/// Keys whose event was published, so that none is published twice in one process.
const TOLD: usize = 10_000;
/// Longest key: ids and words of vendors are shorter, and what anybody may send is not stored.
const KEY_BYTES: usize = 512;

/// What the flow needs to know of a started plugin. One for each start.
pub(super) struct WebhookDesk {
    plugin: PluginId,
    /// The public URL that the vendor was given; without one nothing can be proven.
    url: Option<Url>,
    stores: Stores,
    clock: SharedClock,
    events: EventBus<PluginEvent>,
    places: Arc<Semaphore>,
    told: Mutex<Told>,
    refused: Mutex<Refused>,
}

impl WebhookDesk {
    /// A desk for the webhooks that come to `url`.
    pub(super) fn new(
        plugin: PluginId,
        url: Option<Url>,
        stores: Stores,
        clock: SharedClock,
        events: EventBus<PluginEvent>,
    ) -> Self {
        Self {
            plugin,
            url,
            stores,
            clock,
            events,
            places: Arc::new(Semaphore::new(IN_WORK)),
            told: Mutex::default(),
            refused: Mutex::default(),
        }
    }

    /// Whether webhooks can be proven.
    pub(super) fn has_url(&self) -> bool {
        self.url.is_some()
    }

    async fn bury(&self, request: &WebhookRequest, reason: &str) -> Result<()> {
        let content_type = request.header(header::CONTENT_TYPE.as_str());
        let letter = DeadLetter::new(
            self.plugin.clone(),
            self.clock.timestamp(),
            reason,
            content_type.map(str::to_owned),
            request.body.clone(),
        );
        self.stores.dead_letters.put(&letter).await
    }

    /// Counts a request that proved nothing, and logs the first and then one line for all of a while.
    fn refuse(&self) -> WebhookReply {
        let now = self.clock.now();
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.count += 1;
        let is_recent = |at| now.saturating_duration_since(at) < REFUSED_EVERY;
        if !refused.logged.is_some_and(is_recent) {
            let count = std::mem::take(&mut refused.count);
            refused.logged = Some(now);
            tracing::warn!(plugin = %self.plugin, count, "a webhook did not prove where it came from");
        }
        WebhookReply::unauthorized()
    }

    fn tell_once(&self, key: &str, event: PluginEvent) {
        let new = self
            .told
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(key);
        if new {
            self.events.publish(self.clock.timestamp(), event);
        }
    }
}

impl fmt::Debug for WebhookDesk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL may hold the secret that proves a request.
        f.debug_struct("WebhookDesk")
            .field("plugin", &self.plugin)
            .field("url", &self.url.is_some())
            .finish_non_exhaustive()
    }
}

/// What came of a notice.
#[derive(Debug)]
pub(super) enum Handled {
    /// It took effect, or has none: the same key is not handled again.
    Done,
    /// What it brought is stored. The event is published once `done` is durable, and only once for
    /// its key in this process.
    Stored(Box<PluginEvent>),
    /// What the vendor says when it is asked is not what the notice said: its key stays free for a
    /// notice that tells the truth.
    Contradicted,
}

/// One engine's side of the flow.
#[async_trait]
pub(super) trait WebhookEngine: Send + Sync + 'static {
    /// What a request tells.
    type Notice: Send + 'static;

    /// The desk of this start.
    fn desk(&self) -> &WebhookDesk;

    /// What proves that a request came from the vendor; `None` refuses it. Nothing is parsed before.
    async fn verify(
        &self,
        request: &WebhookRequest,
        url: &Url,
        now: Timestamp,
    ) -> Option<Authenticity>;

    /// What a request tells.
    ///
    /// # Errors
    /// For what cannot be read: it goes to the dead letters.
    async fn read(
        &self,
        request: &WebhookRequest,
        authenticity: Authenticity,
    ) -> Result<Vec<Self::Notice>>;

    /// Two notices with the same key are one; `None` for what means nothing here.
    fn key<'n>(&self, notice: &'n Self::Notice) -> Option<&'n str>;

    /// Believes a notice, or asks the vendor first where `authenticity` is no proof, and applies it.
    /// When it returns, what was received is stored whole.
    ///
    /// # Errors
    /// Of any kind: the vendor is asked to send again.
    async fn handle(&self, notice: Self::Notice, authenticity: Authenticity) -> Result<Handled>;

    /// The vendor's favourite answer.
    fn reply(&self) -> WebhookReply;
}

/// Handles a request. The notices are handled in a task of `tasks`.
///
/// # Errors
/// `InvalidState` when the plugin stops meanwhile. Everything else is a reply.
///
/// # Cancel safety
/// Dropping the future does not undo what was begun: the repetition of the request finds it done,
/// or under way.
pub(super) async fn handle<E: WebhookEngine>(
    engine: &Arc<E>,
    tasks: &TaskSet,
    request: WebhookRequest,
) -> Result<WebhookReply> {
    let desk = engine.desk();
    let proof = match &desk.url {
        Some(url) => engine.verify(&request, url, desk.clock.timestamp()).await,
        None => None,
    };
    let Some(authenticity) = proof else {
        return Ok(desk.refuse());
    };
    let notices = match engine.read(&request, authenticity).await {
        Ok(notices) if notices.iter().all(|notice| fits(engine.key(notice))) => notices,
        other => {
            let kind = other.err().map(|error| error.kind());
            tracing::warn!(plugin = %desk.plugin, ?kind, "a webhook could not be read");
            // The texts of errors have no personal data; what could not be read is in the body.
            let reason = "the request could not be read";
            return Ok(match desk.bury(&request, reason).await {
                Ok(()) => engine.reply(),
                Err(error) => {
                    tracing::error!(plugin = %desk.plugin, kind = ?error.kind(), "a dead letter was not kept");
                    WebhookReply::status(StatusCode::INTERNAL_SERVER_ERROR)
                }
            });
        }
    };
    drop(request);
    let Ok(place) = Arc::clone(&desk.places).try_acquire_owned() else {
        return Ok(again());
    };
    let (sender, answer) = oneshot::channel();
    let worker = Arc::clone(engine);
    tasks.spawn(async move {
        let _place = place;
        let all = handle_all(worker.as_ref(), notices, authenticity).await;
        let _ = sender.send(all);
    });
    match answer.await {
        Ok(true) => Ok(engine.reply()),
        Ok(false) => Ok(again()),
        // The plugin stopped, or the engine panicked: the claim ends with its lease.
        Err(_) => Err(Error::new(
            ErrorKind::InvalidState,
            "handle_webhook",
            "the plugin did not handle the webhook to its end",
        )),
    }
}

/// Handles one notice that came another way than by a request (a list of the vendor), under the same
/// claim: whoever comes first has it. Answers whether it is done; `false` while another handles it.
///
/// # Errors
/// Of any kind: it is not done, and may be tried again.
///
/// # Cancel safety
/// A claim that was made ends with its lease.
pub(super) async fn take<E: WebhookEngine>(
    engine: &E,
    notice: E::Notice,
    authenticity: Authenticity,
) -> Result<bool> {
    match engine.key(&notice).map(str::to_owned) {
        Some(key) if fits(Some(&key)) => handle_one(engine, &key, notice, authenticity).await,
        _ => Ok(true),
    }
}

/// Handles each notice, and answers whether all of them are done: one that fails does not keep the
/// others back.
async fn handle_all<E: WebhookEngine>(
    engine: &E,
    notices: Vec<E::Notice>,
    authenticity: Authenticity,
) -> bool {
    let mut all = true;
    for notice in notices {
        let Some(key) = engine.key(&notice).map(str::to_owned) else {
            continue;
        };
        match handle_one(engine, &key, notice, authenticity).await {
            Ok(done) => all &= done,
            Err(error) => {
                tracing::warn!(plugin = %engine.desk().plugin, kind = ?error.kind(), operation = error.operation(), "a webhook was not handled; the vendor sends it again");
                all = false;
            }
        }
    }
    all
}

async fn handle_one<E: WebhookEngine>(
    engine: &E,
    key: &str,
    notice: E::Notice,
    authenticity: Authenticity,
) -> Result<bool> {
    let desk = engine.desk();
    let (dedupe, plugin) = (&desk.stores.dedupe, &desk.plugin);
    // From before the claim, so that it is ours for at least as long.
    let begun = desk.clock.now();
    match dedupe.claim(plugin, key, LEASE).await? {
        Claim::New => {}
        Claim::Done => return Ok(true),
        _ => return Ok(false),
    }
    let handled = tokio::select! {
        biased;
        handled = engine.handle(notice, authenticity) => handled,
        () = late(desk, begun) => Err(Error::new(
            ErrorKind::Timeout,
            "handle_webhook",
            "a webhook took too long",
        )),
    };
    let result = match handled {
        Ok(Handled::Contradicted) => {
            tracing::warn!(%plugin, "a webhook said what the vendor does not");
            release(desk, key, begun).await;
            return Ok(true);
        }
        Ok(Handled::Done) => dedupe.done(plugin, key).await.map(|()| None),
        Ok(Handled::Stored(event)) => dedupe.done(plugin, key).await.map(|()| Some(event)),
        Err(error) => Err(error),
    };
    match result {
        Ok(event) => {
            if let Some(event) = event {
                desk.tell_once(key, *event);
            }
            Ok(true)
        }
        Err(error) => {
            release(desk, key, begun).await;
            Err(error)
        }
    }
}

async fn late(desk: &WebhookDesk, begun: Instant) {
    match begun.checked_add(HANDLE_WITHIN) {
        Some(until) => desk.clock.sleep_until(until).await,
        None => std::future::pending().await,
    }
}

/// Releases the claim that was made after `begun`, unless it may be another's by now: a store that
/// hangs may be the reason for which we are so late.
async fn release(desk: &WebhookDesk, key: &str, begun: Instant) {
    if desk.clock.now().saturating_duration_since(begun) >= LEASE {
        return;
    }
    if let Err(error) = desk.stores.dedupe.release(&desk.plugin, key).await {
        tracing::warn!(plugin = %desk.plugin, kind = ?error.kind(), "the claim of a webhook stays until its lease ends");
    }
}

fn fits(key: Option<&str>) -> bool {
    key.is_none_or(|key| !key.is_empty() && key.len() <= KEY_BYTES)
}

/// 503 with the time after which the vendor may send again.
fn again() -> WebhookReply {
    let mut reply = WebhookReply::status(StatusCode::SERVICE_UNAVAILABLE);
    reply.headers.insert(header::RETRY_AFTER, AGAIN_AFTER);
    reply
}

/// Requests that proved nothing, since the log told of them.
#[derive(Debug, Default)]
struct Refused {
    logged: Option<Instant>,
    count: u64,
}

/// The latest keys.
#[derive(Debug, Default)]
struct Told {
    known: HashSet<String>,
    order: VecDeque<String>,
}

impl Told {
    /// Whether the key is new.
    fn insert(&mut self, key: &str) -> bool {
        if !self.known.insert(key.to_owned()) {
            return false;
        }
        self.order.push_back(key.to_owned());
        if self.order.len() > TOLD
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests;
