//! What differs from one messaging vendor to the next.

use std::fmt;

use async_trait::async_trait;
use faxbot_core::{
    Error, Private, Result, Timestamp,
    address::Address,
    config::{ConfigErrors, FieldTable},
    message::{Cost, InboundMessage, MessageContent, MessageKind, MessageState},
    plugin::{InboundQuery, Manifest, Page},
    redact,
    webhook::{Authenticity, WebhookPath, WebhookReply, WebhookRequest},
};
use serde_json::Value;
use url::Url;

use crate::cloud::ProviderContext;

/// One vendor: its wire and its words. [`CloudMessagingPlugin`](super::CloudMessagingPlugin) does the
/// rest: the book of messages, conversations, reconciliation, webhooks, stores, events.
///
/// # Contract
/// As that of [`FaxProvider`](crate::cloud::FaxProvider): at most one request a method, and the
/// effect of an error is the truth about the vendor.
#[async_trait]
pub trait MessagingProvider: Send + Sync + fmt::Debug + Sized + 'static {
    /// Every field of the configuration, in one table.
    const FIELDS: FieldTable;

    /// How its webhooks prove where they come from, unless the configuration says otherwise.
    const WEBHOOK_PATH: WebhookPath;

    /// Who it is and what it can do.
    fn manifest() -> Manifest;

    /// Checks a configuration: the table, and rules between fields.
    ///
    /// # Errors
    /// Every problem at once.
    fn validate(config: &Value) -> Result<(), ConfigErrors>;

    /// How webhooks prove where they come from with this configuration, which is valid:
    /// [`WEBHOOK_PATH`](Self::WEBHOOK_PATH).
    fn webhook_path(config: &Value) -> WebhookPath {
        let _ = config;
        Self::WEBHOOK_PATH
    }

    /// Makes the vendor's client from a configuration. Opens nothing.
    ///
    /// # Errors
    /// `Config` with every problem.
    fn build(config: &Value, context: ProviderContext) -> Result<Self>;

    /// Our number, as conversations are kept by it.
    fn our_number(&self) -> Private;

    /// Checks number and content against what the vendor carries, before the network.
    ///
    /// # Errors
    /// `InvalidRequest` with what would be right.
    fn prepare(&self, to: &Address, content: &MessageContent) -> Result<PreparedMessage>;

    /// Sends. `reference` goes along, and [`find`](Self::find) finds the message by it.
    ///
    /// # Errors
    /// By effect, see the trait's contract.
    ///
    /// # Cancel safety
    /// A request that was written is not undone.
    async fn submit(&self, reference: &str, message: &PreparedMessage) -> Result<AcceptedMessage>;

    /// What the vendor says of a message, by its own id.
    ///
    /// # Errors
    /// `NotFound` and those of the client.
    ///
    /// # Cancel safety
    /// Only reads.
    async fn status(&self, id: &str) -> Result<MessageReport>;

    /// The message that was sent under this reference at `since` or later. `None` is no proof that there
    /// is none.
    ///
    /// # Errors
    /// Those of the client.
    ///
    /// # Cancel safety
    /// Only reads.
    async fn find(&self, reference: &str, since: Timestamp) -> Result<Option<AcceptedMessage>>;

    /// Messages that came in, newest first, since a time: what callbacks may have missed.
    ///
    /// # Errors
    /// `Unsupported` where the vendor has no list; those of the client.
    ///
    /// # Cancel safety
    /// Only reads.
    async fn list_inbound(
        &self,
        since: Timestamp,
        query: &InboundQuery,
    ) -> Result<Page<InboundMessage>> {
        let _ = (since, query);
        Err(Error::unsupported("list_inbound"))
    }

    /// A message that came in, by the vendor's id, from the vendor's own host: what a callback that
    /// proves too little is exchanged for.
    ///
    /// # Errors
    /// `Unsupported` where the vendor cannot be asked for one; `NotFound`; those of the client.
    ///
    /// # Cancel safety
    /// Only reads.
    async fn inbound(&self, id: &str) -> Result<InboundMessage> {
        let _ = id;
        Err(Error::unsupported("inbound"))
    }

    /// As [`FaxProvider::verify`](crate::cloud::FaxProvider::verify).
    async fn verify(
        &self,
        request: &WebhookRequest,
        url: &Url,
        now: Timestamp,
    ) -> Option<Authenticity>;

    /// What a verified request tells.
    ///
    /// # Errors
    /// `Protocol` for what cannot be read: it goes to the dead letters.
    async fn read_webhook(
        &self,
        request: &WebhookRequest,
        authenticity: Authenticity,
    ) -> Result<Vec<MessageNotice>>;

    /// The vendor's favourite answer.
    fn reply(&self) -> WebhookReply {
        WebhookReply::received()
    }
}

/// A message that the vendor can carry.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PreparedMessage {
    /// The number, as the vendor wants it.
    pub to: Private,
    /// Our number, where it is another than the configured one: the one that a conversation is with.
    pub from: Option<Private>,
    /// What it says.
    pub content: MessageContent,
    /// Parts that it takes.
    pub segments: u32,
}

impl PreparedMessage {
    /// A message to a number in the vendor's form.
    pub fn new(to: Private, content: MessageContent, segments: u32) -> Self {
        Self {
            to,
            from: None,
            content,
            segments,
        }
    }
}

/// A message that the vendor took.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AcceptedMessage {
    /// The vendor's id.
    pub id: String,
    /// What it costs, where the vendor tells.
    pub cost: Option<Cost>,
}

impl AcceptedMessage {
    /// A message that the vendor took under this id.
    pub fn new(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            cost: None,
        }
    }
}

/// What a vendor says of a message that we sent. `Debug` leaves the raw answer out, and the word where
/// it does not look like one ([`redact::code`]).
#[derive(Clone)]
#[non_exhaustive]
pub struct MessageReport {
    /// The vendor's id.
    pub id: String,
    /// Our reference, where it came back.
    pub reference: Option<String>,
    /// Where it is; `None` for a word that has no meaning here.
    pub state: Option<MessageState>,
    /// The vendor's word, verbatim, with its code where it has one.
    pub word: String,
    /// How it travels.
    pub kind: Option<MessageKind>,
    /// When that happened, by the vendor's clock.
    pub at: Option<Timestamp>,
    /// The whole answer. It holds personal data.
    pub raw: Value,
}

impl MessageReport {
    /// A report with nothing else known.
    pub fn new(
        id: impl Into<String>,
        state: Option<MessageState>,
        word: impl Into<String>,
    ) -> Self {
        Self {
            id: id.into(),
            reference: None,
            state,
            word: word.into(),
            kind: None,
            at: None,
            raw: Value::Null,
        }
    }
}

impl fmt::Debug for MessageReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageReport")
            .field("id", &self.id)
            .field("state", &self.state)
            .field("word", &redact::code(&self.word))
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}

/// What a webhook tells. `Debug` leaves the key out: the vendor's word is in it.
#[derive(Clone)]
#[non_exhaustive]
pub enum MessageNotice {
    /// Of a message that we sent.
    #[non_exhaustive]
    Status {
        /// What it says.
        report: Box<MessageReport>,
        /// Two requests with the same key are one: the vendor's id with its word.
        key: String,
    },
    /// A message came in. Its conversation is set by the engine.
    #[non_exhaustive]
    Received {
        /// The message.
        message: Box<InboundMessage>,
        /// Two requests with the same key are one.
        key: String,
    },
    /// Something that means nothing here: answered, and forgotten.
    Ignored,
}

impl fmt::Debug for MessageNotice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status { report, .. } => f.debug_tuple("Status").field(report).finish(),
            Self::Received { message, .. } => f.debug_tuple("Received").field(message).finish(),
            Self::Ignored => f.write_str("Ignored"),
        }
    }
}

impl MessageNotice {
    /// Of a message that we sent; `key` is the vendor's id with its word.
    pub fn status(report: MessageReport) -> Self {
        let key = format!("{}/{}", report.id, report.word);
        Self::Status {
            report: Box::new(report),
            key,
        }
    }

    /// A message came in.
    pub fn received(message: InboundMessage) -> Self {
        Self::Received {
            key: format!("{}/received", message.id),
            message: Box::new(message),
        }
    }
}
