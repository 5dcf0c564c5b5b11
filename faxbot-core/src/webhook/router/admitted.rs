//! A request on its way to its plugin: the room of its body, its place, its answer.

use std::{
    fmt,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{StatusCode, header::CONTENT_TYPE};

use super::{
    super::DeadLetter, WebhookHandler, WebhookReply, WebhookRequest, WebhookRouter, again,
    not_found,
};
use crate::{ErrorKind, Result, clock::later, plugin::PluginId};

/// A request that has its plugin. Dropping it frees the room of its body.
pub struct Admitted<'a> {
    pub(super) router: &'a WebhookRouter,
    pub(super) plugin: PluginId,
    pub(super) handler: Arc<dyn WebhookHandler>,
    /// What it takes of the router's.
    pub(super) held_bytes: usize,
}

/// Time for a dead letter.
const DEAD_LETTER_WITHIN: Duration = Duration::from_secs(5);

/// What a dead letter keeps of a request.
struct Parts {
    content_type: Option<String>,
    body: Bytes,
}

impl Admitted<'_> {
    /// The plugin.
    pub fn plugin(&self) -> &PluginId {
        &self.plugin
    }

    /// Whether a body may be as long as it is announced; nothing is kept free for it.
    ///
    /// # Errors
    /// The answer to a body that is too long: read nothing of it.
    pub fn check_length(&self, announced: u64) -> Result<(), Box<WebhookReply>> {
        if usize::try_from(announced).is_ok_and(|bytes| bytes <= self.router.max_body_bytes) {
            Ok(())
        } else {
            Err(Box::new(too_long()))
        }
    }

    /// Makes room for so many more bytes of the body. Call it for each piece that came, before it is
    /// put to the others.
    ///
    /// # Errors
    /// The answer to a body that is too long, or for which there is no room now: read no more of it.
    pub fn make_room(&mut self, bytes: usize) -> Result<(), Box<WebhookReply>> {
        let body = self.held_bytes.saturating_add(bytes);
        self.check_length(body as u64)?;
        let take = |held: usize| {
            held.checked_add(bytes)
                .filter(|held| *held <= self.router.max_held_bytes)
        };
        // Nothing but the number itself is agreed on by it.
        let held = &self.router.held_bytes;
        if held.fetch_update(Relaxed, Relaxed, take).is_err() {
            return Err(Box::new(again(None)));
        }
        self.held_bytes = body;
        Ok(())
    }

    /// Hands the request to the plugin.
    ///
    /// # Cancel safety
    /// Dropping the future drops the handler's, which may have stored the request.
    pub async fn handle(mut self, request: WebhookRequest) -> WebhookReply {
        let missing = request.body.len().saturating_sub(self.held_bytes);
        if let Err(reply) = self.make_room(missing) {
            return *reply;
        }
        let Ok(_place) = self.router.places.try_acquire() else {
            return again(None);
        };
        let (router, plugin, handler) = (self.router, &self.plugin, &self.handler);
        let letter = Parts {
            content_type: request.header(CONTENT_TYPE.as_str()).map(ToOwned::to_owned),
            body: request.body.clone(),
        };
        let until = later(router.clock.now(), router.timeout);
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
        self.bury(reason, letter).await;
        WebhookReply::json(
            StatusCode::INTERNAL_SERVER_ERROR,
            r#"{"error":"internal error"}"#,
        )
    }

    async fn bury(&self, reason: String, letter: Parts) {
        let Some(store) = &self.router.dead_letters else {
            return;
        };
        let clock = &self.router.clock;
        let now = clock.timestamp();
        let letter = DeadLetter::new(
            self.plugin.clone(),
            now,
            reason,
            letter.content_type,
            letter.body,
        );
        let until = later(clock.now(), DEAD_LETTER_WITHIN);
        let kept = tokio::select! {
            biased;
            kept = store.put(&letter) => kept.is_ok(),
            () = clock.sleep_until(until) => false,
        };
        if !kept {
            tracing::error!(plugin_id = %letter.plugin_id, "a dead letter could not be kept");
        }
    }
}

impl Drop for Admitted<'_> {
    fn drop(&mut self) {
        self.router.held_bytes.fetch_sub(self.held_bytes, Relaxed);
    }
}

impl fmt::Debug for Admitted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admitted")
            .field("plugin", &self.plugin)
            .finish_non_exhaustive()
    }
}

fn too_long() -> WebhookReply {
    WebhookReply::json(
        StatusCode::PAYLOAD_TOO_LARGE,
        r#"{"error":"body too long"}"#,
    )
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
