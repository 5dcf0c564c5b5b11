//! What is kept of callbacks: which were handled, what was received, and what could not be handled.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    Result, Timestamp,
    message::InboundMessage,
    plugin::{InboundFax, InboundQuery, Page, PluginId},
};

/// What [`DedupeStore::claim`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Claim {
    /// Not seen before: the caller handles it, and then calls `done` or `release`.
    New,
    /// Another task handles it now: answer so that the vendor tries again later.
    InProgress,
    /// Handled before: answer as then, and do nothing.
    Done,
}

/// Which callbacks were handled. Keys hold no personal data (ids and status words).
///
/// # Contract
/// - A claim is atomic: of any number of callers at one time exactly one gets [`Claim::New`].
/// - `done` is durable when it returns, as far as the store is durable at all. It is called only
///   after what the callback brought is stored whole.
/// - A claim that is neither done nor released ends after its lease, and with the process.
#[async_trait]
pub trait DedupeStore: Send + Sync + fmt::Debug {
    /// Claims `key` of `plugin` for at most `lease`.
    ///
    /// # Errors
    /// `Io`; `Overloaded` when too many claims are open.
    ///
    /// # Cancel safety
    /// A claim that was made ends with its lease.
    async fn claim(&self, plugin: &PluginId, key: &str, lease: Duration) -> Result<Claim>;

    /// The key was handled; it is remembered for the store's retention.
    ///
    /// # Errors
    /// `Io`: then it may be handled again.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the key either done or claimed.
    async fn done(&self, plugin: &PluginId, key: &str) -> Result<()>;

    /// The key was not handled: the next one who claims it gets it.
    ///
    /// # Errors
    /// `Io`.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the key claimed until its lease ends.
    async fn release(&self, plugin: &PluginId, key: &str) -> Result<()>;
}

/// What [`InboundStore`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stored {
    /// It is stored now.
    New,
    /// It was there before, and stays as it was.
    Known,
}

/// The pages of a received fax, as the vendor gave them. `Debug` shows type and length.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct InboundFile {
    /// The media type: `application/pdf`, `image/tiff`.
    pub content_type: String,
    /// The bytes.
    pub bytes: Bytes,
}

impl InboundFile {
    /// A file.
    pub fn new(content_type: impl Into<String>, bytes: impl Into<Bytes>) -> Self {
        Self {
            content_type: content_type.into(),
            bytes: bytes.into(),
        }
    }
}

impl fmt::Debug for InboundFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InboundFile")
            .field("content_type", &self.content_type)
            .field("bytes", &self.bytes.len())
            .finish()
    }
}

/// What was received: faxes with their pages, and messages.
///
/// # Contract
/// - A record is there whole or not at all: a fax never without its file.
/// - What `put_*` stored is durable when it returns, as far as the store is durable at all.
/// - The same id of the same backend again changes nothing and answers [`Stored::Known`].
/// - Lists are newest first.
#[async_trait]
pub trait InboundStore: Send + Sync + fmt::Debug {
    /// Stores a fax with its pages.
    ///
    /// # Errors
    /// `Io`; `Overloaded` when the store is full.
    ///
    /// # Cancel safety
    /// Dropping the future leaves it stored whole or not at all.
    async fn put_fax(&self, fax: &InboundFax, file: &InboundFile) -> Result<Stored>;

    /// A fax with its pages; `None` when it is not here.
    ///
    /// # Errors
    /// `Io`.
    ///
    /// # Cancel safety
    /// Only reads.
    async fn fax(&self, backend: &str, id: &str) -> Result<Option<(InboundFax, InboundFile)>>;

    /// The faxes of a backend.
    ///
    /// # Errors
    /// `Io`; `InvalidRequest` for a cursor that is none.
    ///
    /// # Cancel safety
    /// Only reads.
    async fn faxes(&self, backend: &str, query: &InboundQuery) -> Result<Page<InboundFax>>;

    /// Stores a message.
    ///
    /// # Errors
    /// `Io`; `Overloaded` when the store is full.
    ///
    /// # Cancel safety
    /// Dropping the future leaves it stored whole or not at all.
    async fn put_message(&self, message: &InboundMessage) -> Result<Stored>;

    /// The messages of a backend.
    ///
    /// # Errors
    /// `Io`; `InvalidRequest` for a cursor that is none.
    ///
    /// # Cancel safety
    /// Only reads.
    async fn messages(&self, backend: &str, query: &InboundQuery) -> Result<Page<InboundMessage>>;
}

/// A callback that proved its origin and could not be handled, kept for a person. `Debug` shows no
/// header and no body.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DeadLetter {
    /// Whose it was.
    pub plugin_id: PluginId,
    /// When it came.
    pub received_at: Timestamp,
    /// Why it could not be handled, without personal data.
    pub reason: String,
    /// The media type of the body, where it came with one. No other header is kept: they hold
    /// credentials and signatures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// The body, as it came. It holds personal data.
    pub body: Vec<u8>,
}

impl DeadLetter {
    /// A letter.
    pub fn new(
        plugin_id: PluginId,
        received_at: Timestamp,
        reason: impl Into<String>,
        content_type: Option<String>,
        body: impl Into<Vec<u8>>,
    ) -> Self {
        Self {
            plugin_id,
            received_at,
            reason: reason.into(),
            content_type,
            body: body.into(),
        }
    }
}

impl fmt::Debug for DeadLetter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadLetter")
            .field("plugin_id", &self.plugin_id)
            .field("received_at", &self.received_at)
            .field("reason", &self.reason)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// Where dead letters go.
#[async_trait]
pub trait DeadLetterStore: Send + Sync + fmt::Debug {
    /// Keeps a letter. The oldest one may go for it.
    ///
    /// # Errors
    /// `Io`: then the vendor is asked to send again.
    ///
    /// # Cancel safety
    /// Dropping the future leaves it kept whole or not at all.
    async fn put(&self, letter: &DeadLetter) -> Result<()>;

    /// The latest letters, newest first.
    ///
    /// # Errors
    /// `Io`.
    ///
    /// # Cancel safety
    /// Only reads.
    async fn list(&self, limit: usize) -> Result<Vec<DeadLetter>>;
}
