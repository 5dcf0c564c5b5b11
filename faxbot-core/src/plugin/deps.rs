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
    message::{MessageContent, MessageStatus},
    plugin::InboundFax,
    random::{SharedRandom, SystemRandom},
    task::TaskSet,
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
    /// A message came in.
    #[non_exhaustive]
    MessageReceived {
        /// The plugin.
        backend: String,
        /// The conversation, for `send_reply`.
        conversation_id: String,
        /// What.
        content: MessageContent,
    },
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

    /// A message came in.
    pub fn message(
        backend: impl Into<String>,
        conversation_id: impl Into<String>,
        content: MessageContent,
    ) -> Self {
        Self::MessageReceived {
            backend: backend.into(),
            conversation_id: conversation_id.into(),
            content,
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
}

impl fmt::Debug for PluginDeps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PluginDeps")
            .field("clock", &self.clock)
            .field("tasks", &self.tasks)
            .field("random", &self.random)
            .field("http", &self.http.is_some())
            .field("documents", &self.documents.is_some())
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
