//! What the tasks of a running plugin share.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use faxbot_core::{
    clock::SharedClock,
    event::EventBus,
    message::{MessageKind, MessageStatus},
    plugin::PluginEvent,
    random::SharedRandom,
    sip::SipAdapter,
    task::StopToken,
    webhook::InboundStore,
};
use tokio::sync::{OwnedMutexGuard, Semaphore};

use super::{
    SipMessageConfig,
    book::{Book, Retention},
};
use crate::conversations::{Conversations, Parties};

/// What outlives a stop: a start goes on with it.
#[derive(Debug, Default)]
pub(super) struct Lasting {
    book: Mutex<Book>,
    pub(super) conversations: Conversations,
    pub(super) figures: Figures,
}

impl Lasting {
    pub(super) fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was lost, for `health_check`.
#[derive(Debug, Default)]
pub(super) struct Figures {
    /// Events of the adapter that were lost by reading too slowly.
    pub(super) events_missed: AtomicU64,
    /// Times without a connection, in which a server told nothing.
    pub(super) gaps: AtomicU64,
    /// Messages that came in and could not be stored.
    pub(super) inbound_lost: AtomicU64,
    /// Whether the last message that came in could not be stored so far.
    pub(super) storing_fails: AtomicBool,
    /// Whether the adapter ended its events.
    pub(super) events_ended: AtomicBool,
}

/// Adds to a figure.
pub(super) fn add(figure: &AtomicU64, more: u64) {
    figure.fetch_add(more, Ordering::Relaxed);
}

/// One start of the plugin.
pub(super) struct Shared {
    pub(super) adapter: Arc<dyn SipAdapter>,
    pub(super) config: SipMessageConfig,
    pub(super) clock: SharedClock,
    pub(super) random: SharedRandom,
    pub(super) events: EventBus<PluginEvent>,
    pub(super) inbound: Arc<dyn InboundStore>,
    pub(super) token: StopToken,
    /// One permit for each message without an answer.
    pub(super) open: Arc<Semaphore>,
    pub(super) lines: Lines,
    pub(super) lasting: Arc<Lasting>,
}

impl Shared {
    pub(super) fn retention(&self) -> Retention {
        Retention {
            messages: self.config.retention_messages,
            time: self.config.retention,
        }
    }

    /// Changes the book; a status that comes out of it is published, under the book's lock so that
    /// events have the order of the changes.
    pub(super) fn change(&self, change: impl FnOnce(&mut Book) -> Option<MessageStatus>) {
        let mut book = self.lasting.book();
        if let Some(status) = change(&mut book) {
            tracing::debug!(message_id = %status.message_id, status = status.status.as_str(), "message");
            let event = PluginEvent::MessageStatusChanged(status);
            self.events.publish(self.clock.timestamp(), event);
        }
    }

    /// Something was told of a message.
    pub(super) fn tell(&self, told: &MessageStatus) {
        let at = self.clock.timestamp();
        self.change(|book| book.tell(told, at));
    }

    /// A new id that nobody can guess.
    pub(super) fn new_id(&self) -> String {
        let mut bytes = [0; 16];
        self.random.fill(&mut bytes);
        uuid::Builder::from_random_bytes(bytes)
            .into_uuid()
            .to_string()
    }

    /// Our end of every conversation; empty for the server's own sender.
    pub(super) fn ours(&self) -> String {
        let from = self.config.from.as_ref();
        from.map_or_else(String::new, |from| {
            super::peer::of_address(from, &self.config.local_domains)
        })
    }

    pub(super) fn parties(&self, theirs: String) -> Parties {
        Parties::new(MessageKind::Sip, self.ours(), theirs)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

/// One message at a time to each destination: a user agent starts no second one to a URI while the
/// first has no answer (RFC 3428, section 8). It also keeps the order of a conversation.
#[derive(Debug, Default)]
pub(super) struct Lines(Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>);

impl Lines {
    /// Waits for the line to the other end.
    ///
    /// # Cancel safety
    /// Dropping the future gives up its place.
    pub(super) async fn acquire(&self, parties: &Parties) -> OwnedMutexGuard<()> {
        let key = parties.id();
        let line = {
            let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            // Whoever holds or awaits a line has a clone of it.
            lines.retain(|_, line| Arc::strong_count(line) > 1);
            Arc::clone(lines.entry(key).or_default())
        };
        line.lock_owned().await
    }
}
