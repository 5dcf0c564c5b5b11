//! [`CloudMessagingPlugin`]: a [`MessagingPlugin`] over a vendor's HTTP interface. A vendor's part is a
//! [`MessagingProvider`].
//!
//! # Never twice
//! A message is one request under a reference of ours (a random UUID), sent in a task of the plugin: a
//! caller that drops the future loses the answer, and not the message. A request that the vendor
//! certainly did not take is an error, and `failed` under the error's message id. One whose body left
//! and that was not answered is looked for at the vendor by our reference, for
//! `options.lookup_patience`: found, it is a message like any other; else the error is
//! `OutcomeUnknown`, and its message id is our reference, by which
//! [`get_message_status`] says `outcome_unknown`. The search goes on beside, and a callback that names
//! the reference counts too. Nothing is sent again.
//!
//! # Status
//! Final ones (`delivered`, `read`, `failed`) are in the book. Any other is asked of the vendor, each
//! message at most once in `options.poll_min`; and a poller asks by itself, so that a message needs no
//! callback. What has no end within `options.job_patience` is `outcome_unknown`. A message that the
//! book does not have, of an earlier process, is asked of the vendor by its id, or by our reference.
//! Reports may come in any order and any number; none moves a message back.
//!
//! # Conversations
//! A conversation is our number and one other; SMS and MMS are one. Its id follows from both, so it is
//! the same in every process. The 10,000 that were last in use are kept in memory; a start takes up
//! those of the latest messages in the [`InboundStore`](faxbot_core::webhook::InboundStore). A reply
//! leaves from the number that the conversation is with.
//!
//! # Messages that come in
//! They are stored before a callback is answered, and told of once. The vendor's list is read at a start
//! and every `options.inbound_poll`, so that a missed callback costs time and no message.
//!
//! [`get_message_status`]: MessagingPlugin::get_message_status

mod book;
mod config;
mod number;
mod provider;
mod record;
mod segments;
mod send;
mod shared;
mod webhook;
mod worker;

use std::{
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use faxbot_core::{
    Error, ErrorKind, Result, Timestamp,
    address::Address,
    config::ConfigErrors,
    message::{Conversation, MessageContent, MessageResult, MessageStatus},
    plugin::{
        Manifest, MessagingPlugin, Plugin, PluginCapability, PluginCondition, PluginDeps,
        PluginHealth,
    },
    random::Random,
    webhook::{WebhookHandler, WebhookReply, WebhookRequest},
};
use serde_json::{Value, json};
use tokio::sync::{Notify, oneshot};
use tracing::Instrument;
use uuid::Uuid;

pub use config::{FIELDS, MessagingSettings};
pub use provider::{
    AcceptedMessage, MessageNotice, MessageReport, MessagingProvider, PreparedMessage,
};
pub use segments::{Segments, SmsEncoding};

use book::{Book, Look};
use send::Outgoing;
use shared::Shared;

use super::{
    settings,
    start::{self, OwnStores},
    webhook::{self as flow, WebhookDesk},
};
use crate::{
    conversations::{Conversations, Parties},
    jobs::{Running, Slot, check_start},
};

/// How long a stop waits for requests that have no answer so far.
const STOP_WITHIN: Duration = Duration::from_secs(30);
/// Longest id that is asked of a vendor: nobody's ids are longer.
const ID_BYTES: usize = 256;

/// Sends and receives messages by a vendor. See the [module](self).
pub struct CloudMessagingPlugin<P: MessagingProvider> {
    manifest: Manifest,
    /// Outlives a stop: what was sent is still asked for after it.
    book: Arc<Mutex<Book>>,
    conversations: Arc<Conversations>,
    stores: OwnStores,
    slot: Slot<Shared<P>>,
}

impl<P: MessagingProvider> CloudMessagingPlugin<P> {
    /// A plugin, not started.
    pub fn new() -> Self {
        Self {
            manifest: P::manifest(),
            book: Arc::default(),
            conversations: Arc::default(),
            stores: OwnStores::default(),
            slot: Slot::default(),
        }
    }

    fn needs(&self, capability: &PluginCapability, operation: &'static str) -> Result<()> {
        if self.manifest.can(capability) {
            Ok(())
        } else {
            Err(Error::unsupported(operation))
        }
    }

    fn shared(&self, config: &Value, deps: &PluginDeps) -> Result<Shared<P>> {
        let settings = MessagingSettings::from_value(&P::FIELDS, config)?;
        let (configured, path) = (settings.webhook_url.as_ref(), P::webhook_path(config));
        let context = start::context(&self.manifest, configured, path, deps)?;
        let url = context.webhook_url.clone();
        let stores = self.stores.or_of(deps);
        Ok(Shared {
            provider: P::build(config, context)?,
            backend: self.manifest.id.to_string(),
            settings,
            clock: Arc::clone(&deps.clock),
            random: Arc::clone(&deps.random),
            events: deps.events.clone(),
            token: deps.tasks.token(),
            desk: WebhookDesk::new(
                self.manifest.id.clone(),
                url,
                stores.clone(),
                Arc::clone(&deps.clock),
                deps.events.clone(),
            ),
            stores,
            book: Arc::clone(&self.book),
            conversations: Arc::clone(&self.conversations),
            wake: Notify::new(),
            pulse: shared::Pulse::default(),
            stored: Mutex::default(),
        })
    }

    /// Checks, takes the message into the book, and sends it in a task.
    async fn send(
        &self,
        operation: &'static str,
        to: &Address,
        from: Option<Parties>,
        content: &MessageContent,
    ) -> Result<MessageResult> {
        let running = self.slot.get(operation)?;
        let shared = Arc::clone(&running.shared);
        let named = |error: Error| error.with_operation(operation);
        let mut message = shared.provider.prepare(to, content).map_err(named)?;
        let ours = number::normal(shared.provider.our_number().expose());
        let kind = content.kind;
        let theirs = number::normal(message.to.expose());
        let parties = from.unwrap_or_else(|| Parties::new(kind, ours.as_str(), theirs));
        message.from = Some(parties.ours.clone()).filter(|from| *from.expose() != ours);
        let reference = reference(shared.random.as_ref());
        let (sender, answer) = oneshot::channel();
        self.slot.admit(&running, operation, || {
            let key = shared
                .change(|book, rules, now| book.begin(&reference, kind, rules, now))
                .map_err(named)?;
            let out = Outgoing {
                key,
                reference: reference.clone(),
                message,
                parties,
                operation,
            };
            let span = tracing::info_span!("message", reference = %reference);
            let task = async move {
                let _ = sender.send(send::send(shared, out).await);
            };
            running.tasks.spawn(Box::pin(task).instrument(span));
            Ok(())
        })?;
        drop(running);
        match answer.await {
            Ok(result) => result,
            // The task was cut off by a stop that could not wait longer.
            Err(_) => Err(send::unknown(operation, &reference)),
        }
    }

    /// Asks the vendor for a message that the book does not have.
    async fn recall(&self, shared: &Shared<P>, name: &str) -> Result<MessageStatus> {
        let unknown = || {
            Error::new(
                ErrorKind::NotFound,
                "get_message_status",
                "no such message here or at the provider",
            )
            .with_message_id(name)
        };
        if name.is_empty() || name.len() > ID_BYTES || name.chars().any(char::is_control) {
            return Err(Error::new(
                ErrorKind::NotFound,
                "get_message_status",
                "not a message id",
            ));
        }
        let absent = |error: &Error| {
            let kind = error.kind();
            matches!(kind, ErrorKind::NotFound | ErrorKind::InvalidRequest)
        };
        let provider = &shared.provider;
        let mut id = name.to_owned();
        let mut answer = shared.within(provider.status(&id)).await;
        // Our own references are UUIDs; so are the ids of some vendors.
        if answer.as_ref().is_err_and(absent) && Uuid::try_parse(name).is_ok() {
            let since = shared.clock.timestamp() - shared.settings.lookup_window;
            if let Some(found) = shared.within(provider.find(name, since)).await? {
                id = found.id;
                answer = shared.within(provider.status(&id)).await;
            }
        }
        match answer {
            Ok(mut report) => {
                if id != name {
                    report.reference = Some(name.to_owned());
                }
                report.id = id;
                Ok(shared.change(|book, _, now| book.recalled(report, now)))
            }
            Err(error) if absent(&error) => Err(unknown()),
            Err(error) => Err(error
                .with_operation("get_message_status")
                .with_message_id(name)),
        }
    }
}

impl<P: MessagingProvider> Default for CloudMessagingPlugin<P> {
    fn default() -> Self {
        Self::new()
    }
}

impl<P: MessagingProvider> fmt::Debug for CloudMessagingPlugin<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CloudMessagingPlugin")
            .field("id", &self.manifest.id)
            .field("slot", &self.slot)
            .finish_non_exhaustive()
    }
}

/// A random UUID of the host's randomness.
fn reference(random: &dyn Random) -> String {
    let mut bytes = [0; 16];
    random.fill(&mut bytes);
    uuid::Builder::from_random_bytes(bytes)
        .into_uuid()
        .to_string()
}

#[async_trait]
impl<P: MessagingProvider> WebhookHandler for CloudMessagingPlugin<P> {
    /// # Errors
    /// `Unsupported` where the manifest names no webhooks; `InvalidState` when the plugin does not run.
    ///
    /// # Cancel safety
    /// What was begun goes on in a task of the plugin; the repetition of the request finds it done.
    async fn handle_webhook(&self, request: WebhookRequest) -> Result<WebhookReply> {
        self.needs(&PluginCapability::HANDLE_WEBHOOK, "handle_webhook")?;
        let running = self.slot.get("handle_webhook")?;
        flow::handle(&running.shared, &running.tasks, request).await
    }
}

#[async_trait]
impl<P: MessagingProvider> Plugin for CloudMessagingPlugin<P> {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn validate_config(&self, config: &Value) -> Result<(), ConfigErrors> {
        settings::validate(&P::FIELDS, config, P::validate(config))
    }

    async fn start(&self, config: Value, deps: PluginDeps) -> Result<()> {
        self.validate_config(&config)?;
        check_start(&deps)?;
        if self.slot.running().is_some() {
            let why = "the plugin runs already";
            return Err(Error::new(ErrorKind::InvalidState, "start", why));
        }
        let shared = Arc::new(self.shared(&config, &deps)?);
        worker::restore(&shared).await;
        self.slot.begin(|| {
            for _ in 0..worker::POLLERS {
                let task = worker::poll(Arc::clone(&shared));
                deps.tasks.spawn_until_stopped(Box::pin(task));
            }
            let task = worker::catch_up(Arc::clone(&shared));
            deps.tasks.spawn_until_stopped(Box::pin(task));
            Ok(Running {
                shared,
                tasks: deps.tasks,
            })
        })
    }

    /// A request that has no answer within 30 s is left to the vendor: its message is
    /// `outcome_unknown`, and the next start looks for it.
    async fn stop(&self) -> Result<()> {
        let swept = |shared: &Shared<P>| shared.change(Book::stopped);
        if !self.slot.end(STOP_WITHIN, swept).await {
            tracing::warn!("a message had no answer when the plugin stopped");
        }
        Ok(())
    }

    async fn health_check(&self) -> Result<PluginHealth> {
        let Some(running) = self.slot.running() else {
            let health = PluginHealth::new(PluginCondition::Unknown, Timestamp::now());
            return Ok(health.with_message("not started"));
        };
        let shared = &running.shared;
        let (condition, why) = shared.pulse.condition();
        let (open, over) = shared.change(|book, _, _| book.counts());
        let health = PluginHealth::new(condition, shared.clock.timestamp()).with_detail(json!({
            "messages_open": open,
            "messages_over": over,
            "conversations": shared.conversations.len(),
        }));
        Ok(match why {
            Some(why) => health.with_message(why),
            None => health,
        })
    }
}

#[async_trait]
impl<P: MessagingProvider> MessagingPlugin for CloudMessagingPlugin<P> {
    /// # Errors
    /// `InvalidRequest` for what the vendor cannot carry; `Overloaded` with too many messages on their
    /// way; what the vendor refused by its kind, with the vendor's code; `OutcomeUnknown` with our
    /// reference as [`Error::message_id`] when nobody can say.
    ///
    /// # Cancel safety
    /// The message goes on in a task of the plugin: dropping the future loses its id only. An event
    /// tells of it.
    async fn send_message(&self, to: Address, content: MessageContent) -> Result<MessageResult> {
        self.send("send_message", &to, None, &content).await
    }

    async fn get_message_status(&self, message_id: &str) -> Result<MessageStatus> {
        const OPERATION: &str = "get_message_status";
        self.needs(&PluginCapability::GET_MESSAGE_STATUS, OPERATION)?;
        let shared = self.slot.get(OPERATION)?.shared;
        let look = shared.change(|book, rules, now| book.look(message_id, rules, now));
        let mut status = match look {
            Look::Known(status) => *status,
            Look::Ask(key, question) => {
                shared.ask(key, question).await;
                match shared.change(|book, _, _| book.status(key)) {
                    Some(status) => status,
                    None => self.recall(&shared, message_id).await?,
                }
            }
            Look::Unknown => self.recall(&shared, message_id).await?,
        };
        // A message has two names; the answer has the one that was asked for.
        message_id.clone_into(&mut status.message_id);
        Ok(status)
    }

    async fn list_conversations(&self, limit: usize) -> Result<Vec<Conversation>> {
        const OPERATION: &str = "list_conversations";
        self.needs(&PluginCapability::LIST_CONVERSATIONS, OPERATION)?;
        Ok(self.slot.get(OPERATION)?.shared.conversations.latest(limit))
    }

    async fn send_reply(
        &self,
        conversation_id: &str,
        content: MessageContent,
    ) -> Result<MessageResult> {
        const OPERATION: &str = "send_reply";
        self.needs(&PluginCapability::SEND_REPLY, OPERATION)?;
        let shared = self.slot.get(OPERATION)?.shared;
        let parties = shared
            .conversations
            .parties(conversation_id)
            .ok_or_else(|| Error::new(ErrorKind::NotFound, OPERATION, "no such conversation"))?;
        let to: Address = parties.theirs.expose().parse().map_err(|_| {
            let why = "this conversation is with a sender that takes no replies";
            Error::new(ErrorKind::InvalidRequest, OPERATION, why)
        })?;
        self.send(OPERATION, &to, Some(parties), &content).await
    }
}
