//! What the parts of a started plugin share.

use std::{
    collections::{HashSet, VecDeque},
    fmt,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use faxbot_core::{
    Error, ErrorKind, Result, Timestamp,
    clock::SharedClock,
    event::EventBus,
    message::InboundMessage,
    plugin::{PluginCondition, PluginEvent},
    random::SharedRandom,
    task::StopToken,
    webhook::Authenticity,
};
use tokio::sync::Notify;

use super::{
    book::{Book, Key, Question, Rules},
    config::MessagingSettings,
    number,
    provider::{AcceptedMessage, MessagingProvider},
};
use crate::{
    cloud::{start::Stores, webhook::WebhookDesk},
    conversations::{Conversations, Parties},
    jobs::{Now, later},
};

/// A request that has no answer by then has none: a client's own deadlines are shorter.
const ANSWER_WITHIN: Duration = Duration::from_secs(300);
/// Messages of this process that are remembered as stored, so that a repetition of one whose claim
/// was not marked done still publishes its event.
const STORED: usize = 10_000;

/// One for each start. Holds no task set: its tasks hold this.
pub(super) struct Shared<P> {
    pub(super) provider: P,
    /// The plugin's id.
    pub(super) backend: String,
    pub(super) settings: MessagingSettings,
    pub(super) clock: SharedClock,
    pub(super) random: SharedRandom,
    pub(super) events: EventBus<PluginEvent>,
    pub(super) token: StopToken,
    pub(super) stores: Stores,
    pub(super) desk: WebhookDesk,
    pub(super) book: Arc<Mutex<Book>>,
    pub(super) conversations: Arc<Conversations>,
    /// A message has its turn earlier than the poller knows.
    pub(super) wake: Notify,
    pub(super) pulse: Pulse,
    pub(super) stored: Mutex<Stored>,
}

impl<P: MessagingProvider> Shared<P> {
    pub(super) fn rules(&self) -> Rules {
        Rules {
            poll: self.settings.poll,
            patience: self.settings.job_patience,
            retention: self.settings.retention,
            retained: self.settings.retention_messages,
            open: self.settings.max_messages,
        }
    }

    pub(super) fn now(&self) -> Now {
        Now {
            instant: self.clock.now(),
            wall: self.clock.timestamp(),
            random: self.random.next_u64(),
        }
    }

    /// Changes the book, and tells of what changed.
    pub(super) fn change<R>(&self, change: impl FnOnce(&mut Book, &Rules, Now) -> R) -> R {
        let (now, rules) = (self.now(), self.rules());
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        // Each time: callbacks of messages of others fill the book, too, of a plugin that sends none.
        book.purge(&rules, now);
        let result = change(&mut book, &rules, now);
        for mut status in book.changes() {
            tracing::debug!(message_id = %status.message_id, status = status.status.as_str(), "message");
            // The vendor's words are there for who asks; they hold numbers.
            status.raw = None;
            // Under the lock, so that events have the order of the changes.
            self.events
                .publish(now.wall, PluginEvent::MessageStatusChanged(status));
        }
        result
    }

    /// `work`, or a time-out when it takes too long.
    pub(super) async fn within<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let late = self
            .clock
            .sleep_until(later(self.clock.now(), ANSWER_WITHIN));
        let result = tokio::select! {
            biased;
            result = work => result,
            () = late => Err(Error::new(
                ErrorKind::Timeout,
                "send_message",
                "the provider gave no answer in time",
            )),
        };
        self.pulse.record(&result, self.clock.timestamp());
        result
    }

    /// Asks the vendor, and notes the answer. A question that fails changes nothing.
    pub(super) async fn ask(&self, key: Key, question: Question) {
        let id = match question {
            Question::Status(id) => id,
            Question::Find { reference, since } => {
                match self.within(self.provider.find(&reference, since)).await {
                    Ok(Some(AcceptedMessage { id, .. })) => {
                        let name =
                            self.change(|book, rules, now| book.accepted(key, &id, rules, now));
                        // Its turn is earlier now than the poller knows.
                        self.wake.notify_one();
                        name
                    }
                    Ok(None) => return,
                    Err(error) => return not_asked(&error),
                }
            }
        };
        match self.within(self.provider.status(&id)).await {
            Ok(mut report) => {
                report.id = id;
                self.change(|book, _, now| book.report(report, Authenticity::Fetched, now));
            }
            Err(error) => not_asked(&error),
        }
    }

    /// The two ends of a message that came in.
    pub(super) fn parties(message: &InboundMessage) -> Parties {
        Parties::new(
            message.content.kind,
            number::normal(message.to.expose()),
            number::normal(message.from.expose()),
        )
    }
}

fn not_asked(error: &Error) {
    tracing::debug!(kind = ?error.kind(), "a message was not asked for");
}

impl<P> fmt::Debug for Shared<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("backend", &self.backend)
            .finish_non_exhaustive()
    }
}

/// How the vendor answered last.
#[derive(Debug, Default)]
pub(super) struct Pulse(Mutex<Option<(Timestamp, Option<ErrorKind>)>>);

impl Pulse {
    fn record<T>(&self, result: &Result<T>, at: Timestamp) {
        let kind = result.as_ref().err().map(Error::kind);
        if matches!(
            kind,
            Some(ErrorKind::Unsupported | ErrorKind::InvalidRequest)
        ) {
            // Decided here: the vendor was not asked.
            return;
        }
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((at, kind));
    }

    /// How the plugin is, in one word, and why it is not well.
    pub(super) fn condition(&self) -> (PluginCondition, Option<&'static str>) {
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match last {
            None => (PluginCondition::Unknown, None),
            Some((_, None)) => (PluginCondition::Healthy, None),
            Some((_, Some(kind))) => match kind {
                ErrorKind::Authentication | ErrorKind::PermissionDenied => (
                    PluginCondition::Critical,
                    Some("the provider refused our credentials"),
                ),
                ErrorKind::NotConnected
                | ErrorKind::Timeout
                | ErrorKind::Io
                | ErrorKind::Closed
                | ErrorKind::OutcomeUnknown
                | ErrorKind::ServerBusy
                | ErrorKind::Overloaded
                | ErrorKind::Protocol => (
                    PluginCondition::Degraded,
                    Some("the provider's last answer was a fault"),
                ),
                // It answered, and refused one request for a reason of its own.
                _ => (PluginCondition::Healthy, None),
            },
        }
    }
}

/// The ids of the latest messages that this process stored.
#[derive(Debug, Default)]
pub(super) struct Stored {
    known: HashSet<String>,
    order: VecDeque<String>,
}

impl Stored {
    pub(super) fn insert(&mut self, id: &str) {
        if !self.known.insert(id.to_owned()) {
            return;
        }
        self.order.push_back(id.to_owned());
        if self.order.len() > STORED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    pub(super) fn contains(&self, id: &str) -> bool {
        self.known.contains(id)
    }
}
