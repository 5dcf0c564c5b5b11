//! [`SipMessagePlugin`]: a [`MessagingPlugin`] over any [`SipAdapter`] that declares
//! [`Capability::SendMessage`] (SIP MESSAGE, RFC 3428).
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use faxbot_core::{
//!     Result,
//!     message::{MessageContent, MessageKind},
//!     plugin::{MessagingPlugin, Plugin, PluginDeps},
//!     sip::SipAdapter,
//! };
//! use faxbot_providers::sip_message::SipMessagePlugin;
//! use serde_json::json;
//!
//! async fn send(adapter: Arc<dyn SipAdapter>) -> Result<()> {
//!     let plugin = SipMessagePlugin::new(adapter);
//!     let config = json!({"options": {"from": "sip:desk@pbx.example"}});
//!     plugin.start(config, PluginDeps::current()?).await?;
//!     let text = MessageContent::text(MessageKind::Sip, "the doctor will call at 4");
//!     let sent = plugin.send_message("1001".parse()?, text).await?;
//!     println!("{:?}", plugin.get_message_status(&sent.message_id).await?.status);
//!     plugin.stop().await
//! }
//! ```
//!
//! # What is known of a message
//! Only what SIP tells. A server that took a message and says no more leaves it at
//! [`handed_over`](MessageState::HandedOver): no receipt exists, and none is made up. What the adapter
//! tells later ([`SipEvent::MessageStatusChanged`]) advances it, never back. A message that the server
//! refused is an error (`Rejected`), and `failed` under the error's message id.
//!
//! A message that was written and not answered is an error of the kind `OutcomeUnknown`. Nothing sends it
//! again. Its message id is a reference of ours, of which [`get_message_status`] says `outcome_unknown`;
//! it leaves that only if the server says late that the message failed or arrived.
//!
//! # Messages that come in
//! They are stored ([`PluginDeps::inbound`], else in memory), and told then as
//! [`PluginEvent::MessageReceived`]. Nothing proves who sent one: its authenticity is
//! [`None`](faxbot_core::webhook::Authenticity::None). SIP has no receipt, and a server sends nothing a second time,
//! so what comes while no connection is up, while the plugin is stopped, or faster than it can be read is
//! not seen. Each such loss that shows is logged and counted in the detail of `health_check`
//! (`events_missed`, `gaps`, `inbound_lost`).
//!
//! # Conversations
//! A conversation is our address (`options.from`) and one other. Of a sender counts the URI alone, without
//! name and parameters. With `options.local_domains` the users of the server's own hosts are extensions
//! and numbers in both directions. At a start the conversations of the latest stored messages are
//! known again, as far as the store gives them within seconds.
//!
//! [`get_message_status`]: MessagingPlugin::get_message_status

mod book;
mod config;
mod listen;
mod peer;
mod restore;
mod send;
mod shared;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
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
        PluginHealth, PluginId,
    },
    sip::{Capability, ConnectionState, Health, HealthStatus, SipAdapter},
    task::TaskSet,
    webhook::{InboundStore, MemoryInboundStore, WebhookHandler},
};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, oneshot};

pub use config::{FIELDS, SipMessageConfig};

use send::{outcome_unknown, stopped};
use shared::{Lasting, Lines, Shared};

#[cfg(doc)]
use faxbot_core::{message::MessageState, plugin::PluginEvent, sip::SipEvent};

/// The plugin's id, which results name as provider.
pub const ID: &str = "sip-message";

/// How long a stop waits for answers; an adapter's own deadlines are shorter.
const STOP_WITHIN: Duration = Duration::from_secs(30);

/// Sends and receives messages over a SIP server. See the [module](self).
pub struct SipMessagePlugin {
    adapter: Arc<dyn SipAdapter>,
    manifest: Manifest,
    /// Outlives a stop.
    lasting: Arc<Lasting>,
    /// What is received, where the host has no store.
    memory: Arc<MemoryInboundStore>,
    running: Mutex<Option<Running>>,
}

#[derive(Clone)]
struct Running {
    shared: Arc<Shared>,
    tasks: TaskSet,
}

impl SipMessagePlugin {
    /// A plugin over `adapter`, which its owner connects and disconnects.
    pub fn new(adapter: Arc<dyn SipAdapter>) -> Self {
        Self {
            adapter,
            manifest: manifest(),
            lasting: Arc::default(),
            memory: Arc::default(),
            running: Mutex::new(None),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shared(&self, operation: &'static str) -> Result<Arc<Shared>> {
        self.lock()
            .as_ref()
            .filter(|running| !running.tasks.token().is_cancelled())
            .map(|running| Arc::clone(&running.shared))
            .ok_or_else(|| stopped(operation))
    }

    async fn send(
        &self,
        operation: &'static str,
        to: Address,
        content: MessageContent,
    ) -> Result<MessageResult> {
        let order = self.shared(operation)?.order(operation, to, content)?;
        let reference = order.reference.clone();
        let (answer, answered) = oneshot::channel();
        {
            // Under the lock that a stop takes, so that no message slips in behind it.
            let slot = self.lock();
            let running = slot
                .as_ref()
                .filter(|running| !running.tasks.token().is_cancelled())
                .ok_or_else(|| stopped(operation))?;
            let task = send::send(Arc::clone(&running.shared), order, answer);
            running.tasks.spawn(Box::pin(task));
        }
        match answered.await {
            Ok(result) => result,
            // The task was cut off by a stop that could not wait longer.
            Err(_) => Err(outcome_unknown(operation, &reference, None)),
        }
    }
}

pub(crate) fn manifest() -> Manifest {
    Manifest::new(
        PluginId::SIP_MESSAGE,
        "Messages over SIP",
        &["messaging"],
        &[
            PluginCapability::SEND_MESSAGE,
            PluginCapability::GET_MESSAGE_STATUS,
            PluginCapability::LIST_CONVERSATIONS,
            PluginCapability::SEND_REPLY,
        ],
    )
    .with_version(env!("CARGO_PKG_VERSION"))
    .with_description("Sends and receives texts over any SIP server whose adapter sends messages")
}

/// Takes no webhooks.
impl WebhookHandler for SipMessagePlugin {}

#[async_trait]
impl Plugin for SipMessagePlugin {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn validate_config(&self, config: &Value) -> Result<(), ConfigErrors> {
        SipMessageConfig::validate(config)
    }

    async fn start(&self, config: Value, deps: PluginDeps) -> Result<()> {
        let refused = |kind, message: &str| Err(Error::new(kind, "start", message));
        let config = SipMessageConfig::from_value(&config)?;
        if tokio::runtime::Handle::try_current().is_err() {
            return refused(ErrorKind::NoRuntime, "call this inside a tokio runtime");
        }
        if deps.tasks.token().is_cancelled() {
            let why = "the task set of the dependencies was stopped";
            return refused(ErrorKind::InvalidRequest, why);
        }
        if self.adapter.connection().state == ConnectionState::Connected
            && !self.adapter.capabilities().has(Capability::SendMessage)
        {
            let why = "the sip adapter does not declare send_message";
            return refused(ErrorKind::InvalidRequest, why);
        }
        let runs = "the plugin runs already";
        if self.lock().is_some() {
            return refused(ErrorKind::InvalidState, runs);
        }
        let inbound = deps
            .inbound
            .unwrap_or_else(|| Arc::clone(&self.memory) as Arc<dyn InboundStore>);
        let shared = Arc::new(Shared {
            adapter: Arc::clone(&self.adapter),
            open: Arc::new(Semaphore::new(config.max_open)),
            config,
            clock: deps.clock,
            random: deps.random,
            events: deps.events,
            inbound,
            token: deps.tasks.token(),
            lines: Lines::default(),
            lasting: Arc::clone(&self.lasting),
        });
        restore::restore(&shared).await;
        let mut slot = self.lock();
        if slot.is_some() {
            return refused(ErrorKind::InvalidState, runs);
        }
        listen::spawn(&deps.tasks, &shared);
        *slot = Some(Running {
            shared,
            tasks: deps.tasks,
        });
        Ok(())
    }

    async fn stop(&self) -> Result<()> {
        let Some(running) = self.lock().clone() else {
            return Ok(());
        };
        if !running.tasks.stop(STOP_WITHIN).await {
            tracing::warn!("a message had no answer when the plugin stopped");
        }
        let mut slot = self.lock();
        // Of two stops at one time the first to come here does the rest.
        if slot
            .as_ref()
            .is_some_and(|current| Arc::ptr_eq(&current.shared, &running.shared))
        {
            *slot = None;
        }
        Ok(())
    }

    async fn health_check(&self) -> Result<PluginHealth> {
        let Some(shared) = self.lock().as_ref().map(|it| Arc::clone(&it.shared)) else {
            let health = PluginHealth::new(PluginCondition::Unknown, Timestamp::now());
            return Ok(health.with_message("not started"));
        };
        let health = self.adapter.health_check().await?;
        Ok(shared.health(&health))
    }
}

impl Shared {
    fn health(&self, adapter: &Health) -> PluginHealth {
        let figures = &self.lasting.figures;
        let condition = match adapter.status {
            HealthStatus::Healthy => PluginCondition::Healthy,
            HealthStatus::Degraded => PluginCondition::Degraded,
            _ => PluginCondition::Critical,
        };
        let can = self.adapter.capabilities().has(Capability::SendMessage);
        let storing_fails = figures.storing_fails.load(Ordering::Relaxed);
        let at_least_degraded = match condition {
            PluginCondition::Healthy => PluginCondition::Degraded,
            other => other,
        };
        let (condition, message) = if !adapter.connected {
            (condition, Some("the server is not connected"))
        } else if !can {
            let why = "the server cannot send messages";
            (PluginCondition::Critical, Some(why))
        } else if figures.events_ended.load(Ordering::Relaxed) {
            let why = "the adapter ended its events: no message comes in";
            (PluginCondition::Critical, Some(why))
        } else if storing_fails {
            let why = "a message that came in could not be stored so far";
            (at_least_degraded, Some(why))
        } else {
            (condition, None)
        };
        let count = |figure: &std::sync::atomic::AtomicU64| figure.load(Ordering::Relaxed);
        let open = self
            .config
            .max_open
            .saturating_sub(self.open.available_permits());
        let mut health = PluginHealth::new(condition, self.clock.timestamp()).with_detail(json!({
            "adapter": adapter,
            "open": open,
            "messages": self.lasting.book().len(),
            "conversations": self.lasting.conversations.len(),
            "events_missed": count(&figures.events_missed),
            "gaps": count(&figures.gaps),
            "inbound_lost": count(&figures.inbound_lost),
        }));
        health.message = message.map(str::to_owned);
        health
    }
}

#[async_trait]
impl MessagingPlugin for SipMessagePlugin {
    /// Sends a text. Its kind is `sip`.
    ///
    /// # Errors
    /// `InvalidRequest` for another kind, media, an empty text, one above `max_bytes`, and an address that
    /// the server sends no messages to; `NotConnected` with nothing sent; `Overloaded` when `max_open`
    /// messages wait; `Config` when the adapter cannot send messages; `InvalidState` when the plugin
    /// does not run; `Rejected` with the server's code; `OutcomeUnknown` with a message id when it did not
    /// answer.
    ///
    /// # Cancel safety
    /// Decided at the first poll: the message is sent also when the future is dropped after it.
    async fn send_message(&self, to: Address, content: MessageContent) -> Result<MessageResult> {
        self.send("send_message", to, content).await
    }

    async fn get_message_status(&self, message_id: &str) -> Result<MessageStatus> {
        let shared = self.shared("get_message_status")?;
        let now = shared.clock.now();
        let status = shared
            .lasting
            .book()
            .status(message_id, shared.retention(), now);
        status
            .ok_or_else(|| Error::new(ErrorKind::NotFound, "get_message_status", "no such message"))
    }

    async fn list_conversations(&self, limit: usize) -> Result<Vec<Conversation>> {
        let shared = self.shared("list_conversations")?;
        Ok(shared.lasting.conversations.latest(limit))
    }

    /// Sends a text into a conversation.
    ///
    /// # Errors
    /// `NotFound` for an unknown conversation; `InvalidRequest` when the other has no address that can be
    /// answered; else as [`send_message`](MessagingPlugin::send_message).
    ///
    /// # Cancel safety
    /// As `send_message`.
    async fn send_reply(
        &self,
        conversation_id: &str,
        content: MessageContent,
    ) -> Result<MessageResult> {
        const OPERATION: &str = "send_reply";
        let shared = self.shared(OPERATION)?;
        let Some(parties) = shared.lasting.conversations.parties(conversation_id) else {
            let why = "no such conversation";
            return Err(Error::new(ErrorKind::NotFound, OPERATION, why));
        };
        let to = parties.theirs.expose().parse().map_err(|_| {
            let why = "the other's address cannot be answered";
            Error::new(ErrorKind::InvalidRequest, OPERATION, why)
        })?;
        self.send(OPERATION, to, content).await
    }
}

impl fmt::Debug for SipMessagePlugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SipMessagePlugin")
            .field("adapter", &self.adapter.kind())
            .field("running", &self.lock().is_some())
            .field("messages", &self.lasting.book().len())
            .field("conversations", &self.lasting.conversations.len())
            .finish_non_exhaustive()
    }
}
