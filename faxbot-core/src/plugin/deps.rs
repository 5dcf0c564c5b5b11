//! What a host hands to a plugin.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{
    Result,
    clock::{SharedClock, TokioClock},
    document::DocumentConverter,
    event::EventBus,
    fax::{FaxOutcome, FaxProgress, JobStatus},
    http::HttpClient,
    id::JobId,
    message::{InboundMessage, MessageStatus},
    plugin::InboundFax,
    random::{SharedRandom, SystemRandom},
    task::TaskSet,
    webhook::{Authenticity, DeadLetterStore, DedupeStore, InboundStore, WebhookRegistry},
};

/// What plugins tell. Notification, never the only truth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum PluginEvent {
    /// A fax job has another status.
    #[non_exhaustive]
    JobStatusChanged {
        /// The job.
        job_id: JobId,
        /// The plugin.
        backend: String,
        /// The new status.
        status: JobStatus,
        /// What proves it, where it came from a vendor.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        authenticity: Option<Authenticity>,
    },
    /// A fax got on.
    #[non_exhaustive]
    FaxProgress {
        /// The job.
        job_id: JobId,
        /// How far, by the pages of the whole document.
        progress: FaxProgress,
    },
    /// A fax call ended. The job may dial again.
    #[non_exhaustive]
    FaxFinished {
        /// The job.
        job_id: JobId,
        /// How the call ended, with the pages of the whole document.
        outcome: FaxOutcome,
    },
    /// A fax was received, and its pages are stored.
    FaxReceived(InboundFax),
    /// A message came in, and is stored.
    MessageReceived(InboundMessage),
    /// A message that we sent got on.
    MessageStatusChanged(MessageStatus),
}

impl PluginEvent {
    /// A fax job of the plugin `backend` has another status.
    pub fn job_status(job_id: JobId, backend: impl Into<String>, status: JobStatus) -> Self {
        Self::JobStatusChanged {
            job_id,
            backend: backend.into(),
            status,
            authenticity: None,
        }
    }

    /// The same, with what proves it.
    pub fn proven_job_status(
        job_id: JobId,
        backend: impl Into<String>,
        status: JobStatus,
        authenticity: Authenticity,
    ) -> Self {
        Self::JobStatusChanged {
            job_id,
            backend: backend.into(),
            status,
            authenticity: Some(authenticity),
        }
    }

    /// A fax got on.
    pub fn progress(job_id: JobId, progress: FaxProgress) -> Self {
        Self::FaxProgress { job_id, progress }
    }

    /// A fax call ended.
    pub fn finished(job_id: JobId, outcome: FaxOutcome) -> Self {
        Self::FaxFinished { job_id, outcome }
    }

    /// What it tells, as a word for topics of queues and subscribers: `fax.status`, `fax.progress`,
    /// `fax.finished`, `fax.received`, and of messages their kind with `received` or the new state
    /// (`sms.received`, `sms.delivered`).
    pub fn topic(&self) -> String {
        match self {
            Self::JobStatusChanged { .. } => "fax.status".to_owned(),
            Self::FaxProgress { .. } => "fax.progress".to_owned(),
            Self::FaxFinished { .. } => "fax.finished".to_owned(),
            Self::FaxReceived(_) => "fax.received".to_owned(),
            Self::MessageReceived(message) => format!("{}.received", message.content.kind.as_str()),
            Self::MessageStatusChanged(status) => {
                let kind = status.kind.map_or("message", |kind| kind.as_str());
                format!("{kind}.{}", status.status.as_str())
            }
        }
    }
}

/// What a plugin works with. A host builds it; later versions add to it.
#[derive(Clone)]
#[non_exhaustive]
pub struct PluginDeps {
    /// Time.
    pub clock: SharedClock,
    /// Where the plugin's tasks live. The plugin's alone: its `stop` ends the set.
    pub tasks: TaskSet,
    /// Where randomness comes from.
    pub random: SharedRandom,
    /// Where events go.
    pub events: EventBus<PluginEvent>,
    /// The HTTP client, where the host has one.
    pub http: Option<Arc<dyn HttpClient>>,
    /// The converter of documents, where the host has one.
    pub documents: Option<Arc<dyn DocumentConverter>>,
    /// Where webhooks are registered, where the host serves them.
    pub webhooks: Option<Arc<dyn WebhookRegistry>>,
    /// Which callbacks were handled; absent: the plugin's own, in memory.
    pub dedupe: Option<Arc<dyn DedupeStore>>,
    /// What was received; absent: the plugin's own, in memory.
    pub inbound: Option<Arc<dyn InboundStore>>,
    /// Callbacks that could not be handled; absent: the plugin's own, in memory.
    pub dead_letters: Option<Arc<dyn DeadLetterStore>>,
}

impl PluginDeps {
    /// The dependencies that every plugin gets.
    pub fn new(
        clock: SharedClock,
        tasks: TaskSet,
        random: SharedRandom,
        events: EventBus<PluginEvent>,
    ) -> Self {
        Self {
            clock,
            tasks,
            random,
            events,
            http: None,
            documents: None,
            webhooks: None,
            dedupe: None,
            inbound: None,
            dead_letters: None,
        }
    }

    /// Tokio's clock, the current runtime, the system's randomness and a bus of its own.
    ///
    /// # Errors
    /// `NoRuntime` outside of a tokio runtime.
    pub fn current() -> Result<Self> {
        Ok(Self::new(
            TokioClock::shared(),
            TaskSet::current("start")?,
            SystemRandom::shared(),
            EventBus::new(EventBus::<PluginEvent>::DEFAULT_CAPACITY),
        ))
    }

    /// Adds an HTTP client.
    #[must_use]
    pub fn with_http(mut self, http: Arc<dyn HttpClient>) -> Self {
        self.http = Some(http);
        self
    }

    /// Adds a converter of documents.
    #[must_use]
    pub fn with_documents(mut self, documents: Arc<dyn DocumentConverter>) -> Self {
        self.documents = Some(documents);
        self
    }

    /// Adds the place where webhooks are registered.
    #[must_use]
    pub fn with_webhooks(mut self, webhooks: Arc<dyn WebhookRegistry>) -> Self {
        self.webhooks = Some(webhooks);
        self
    }

    /// Adds a store of the callbacks that were handled.
    #[must_use]
    pub fn with_dedupe(mut self, dedupe: Arc<dyn DedupeStore>) -> Self {
        self.dedupe = Some(dedupe);
        self
    }

    /// Adds a store of what is received.
    #[must_use]
    pub fn with_inbound(mut self, inbound: Arc<dyn InboundStore>) -> Self {
        self.inbound = Some(inbound);
        self
    }

    /// Adds a store of callbacks that cannot be handled.
    #[must_use]
    pub fn with_dead_letters(mut self, dead_letters: Arc<dyn DeadLetterStore>) -> Self {
        self.dead_letters = Some(dead_letters);
        self
    }
}

impl fmt::Debug for PluginDeps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PluginDeps")
            .field("clock", &self.clock)
            .field("tasks", &self.tasks)
            .field("random", &self.random)
            .field("http", &self.http.is_some())
            .field("documents", &self.documents.is_some())
            .field("webhooks", &self.webhooks.is_some())
            .field("dedupe", &self.dedupe.is_some())
            .field("inbound", &self.inbound.is_some())
            .field("dead_letters", &self.dead_letters.is_some())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_outside_of_a_runtime_are_an_error() {
        assert_eq!(
            PluginDeps::current().unwrap_err().kind(),
            crate::ErrorKind::NoRuntime
        );
    }
}
