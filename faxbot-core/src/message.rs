//! Messages: what is sent, what came of it, and conversations.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use crate::{Private, Timestamp, redact::MASK, webhook::Authenticity};

/// How a message travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MessageKind {
    /// Text by the telephone network.
    #[default]
    Sms,
    /// Text and media by the telephone network.
    Mms,
    /// WhatsApp.
    Whatsapp,
    /// Telegram.
    Telegram,
    /// SIP MESSAGE (RFC 3428).
    Sip,
    /// Anything else.
    #[serde(other)]
    Other,
}

/// What a message says. `Debug` masks text and media.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct MessageContent {
    /// The text; may be empty where there is media.
    pub text: String,
    /// Where the media are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub media: Vec<Url>,
    /// How it travels; `sms`.
    #[serde(rename = "type")]
    pub kind: MessageKind,
}

impl MessageContent {
    /// A text.
    pub fn text(kind: MessageKind, text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            media: Vec::new(),
            kind,
        }
    }

    /// Adds media.
    #[must_use]
    pub fn with_media(mut self, media: impl IntoIterator<Item = Url>) -> Self {
        self.media.extend(media);
        self
    }
}

impl fmt::Debug for MessageContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageContent")
            .field("text", &MASK)
            .field("media", &self.media.len())
            .field("kind", &self.kind)
            .finish()
    }
}

/// What a message costs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Cost {
    /// A decimal number, as the provider wrote it.
    pub amount: String,
    /// ISO 4217.
    pub currency: String,
}

impl Cost {
    /// An amount (a decimal number) in a currency (ISO 4217).
    pub fn new(amount: impl Into<String>, currency: impl Into<String>) -> Self {
        Self {
            amount: amount.into(),
            currency: currency.into(),
        }
    }
}

/// A message that a provider or server took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MessageResult {
    /// The id to ask for it by.
    pub message_id: String,
    /// The plugin or adapter.
    pub provider: String,
    /// How it travels.
    #[serde(rename = "type")]
    pub kind: MessageKind,
    /// Parts that it was cut into; 1.
    pub segments: u32,
    /// What it costs, where the provider tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Cost>,
}

impl MessageResult {
    /// A message of one segment.
    pub fn new(
        message_id: impl Into<String>,
        provider: impl Into<String>,
        kind: MessageKind,
    ) -> Self {
        Self {
            message_id: message_id.into(),
            provider: provider.into(),
            kind,
            segments: 1,
            cost: None,
        }
    }

    /// Sets the number of parts.
    #[must_use]
    pub fn with_segments(mut self, segments: u32) -> Self {
        self.segments = segments;
        self
    }

    /// Sets the cost.
    #[must_use]
    pub fn with_cost(mut self, cost: Cost) -> Self {
        self.cost = Some(cost);
        self
    }
}

/// Where a message is, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MessageState {
    /// It waits.
    Queued,
    /// It is on its way.
    Sent,
    /// The next hop has it, and nothing more will be told (SIP MESSAGE through Asterisk).
    HandedOver,
    /// The receiver's device has it.
    Delivered,
    /// The receiver opened it.
    Read,
    /// It did not arrive.
    Failed,
    /// Nobody can say.
    OutcomeUnknown,
}

impl MessageKind {
    /// The word that it serialises to.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sms => "sms",
            Self::Mms => "mms",
            Self::Whatsapp => "whatsapp",
            Self::Telegram => "telegram",
            Self::Sip => "sip",
            Self::Other => "other",
        }
    }
}

impl MessageState {
    /// The word that it serialises to.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Sent => "sent",
            Self::HandedOver => "handed_over",
            Self::Delivered => "delivered",
            Self::Read => "read",
            Self::Failed => "failed",
            Self::OutcomeUnknown => "outcome_unknown",
        }
    }

    /// What becomes of this state when `next` is reported, in whatever order reports come: it
    /// goes on from queued over sent and handed over to delivered and read, never back; failed
    /// absorbs, and replaces anything before delivered; an unknown outcome is left only to
    /// delivered, read or failed.
    #[must_use]
    pub fn advance(self, next: Self) -> Self {
        match (self, next) {
            (Self::Failed | Self::Read, _) => self,
            (Self::Delivered, Self::Failed) => self,
            _ if next.rank() > self.rank() => next,
            _ => self,
        }
    }

    fn rank(self) -> u8 {
        match self {
            Self::Queued => 0,
            Self::Sent => 1,
            Self::HandedOver => 2,
            Self::OutcomeUnknown => 3,
            Self::Delivered => 4,
            Self::Read => 5,
            Self::Failed => 6,
        }
    }
}

/// Where a message is.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MessageStatus {
    /// The message.
    pub message_id: String,
    /// In one word.
    pub status: MessageState,
    /// How it travels, where that is known.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<MessageKind>,
    /// When it was delivered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivered_at: Option<Timestamp>,
    /// When it was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_at: Option<Timestamp>,
    /// What proves it, where it came from a vendor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authenticity: Option<Authenticity>,
    /// The provider's own words. They may hold personal data; `Debug` leaves them out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw: Option<Value>,
}

impl MessageStatus {
    /// A message of which only the state is known.
    pub fn new(message_id: impl Into<String>, status: MessageState) -> Self {
        Self {
            message_id: message_id.into(),
            status,
            kind: None,
            delivered_at: None,
            read_at: None,
            authenticity: None,
            raw: None,
        }
    }
}

impl fmt::Debug for MessageStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageStatus")
            .field("message_id", &self.message_id)
            .field("status", &self.status)
            .field("delivered_at", &self.delivered_at)
            .field("read_at", &self.read_at)
            .finish_non_exhaustive()
    }
}

/// A message that came in. `Debug` masks what it says and who said it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct InboundMessage {
    /// The provider's id of it.
    pub id: String,
    /// The plugin that received it.
    pub backend: String,
    /// The conversation, for `send_reply`.
    pub conversation_id: String,
    /// Who sent it, as the network gave it.
    pub from: Private,
    /// The number or address that it was sent to.
    pub to: Private,
    /// What it says. Media are named by URL and not fetched.
    pub content: MessageContent,
    /// When it was received.
    pub received_at: Timestamp,
    /// What proves it.
    pub authenticity: Authenticity,
}

impl InboundMessage {
    /// A message of `from` to `to`, each as the network gave it.
    pub fn new(
        id: impl Into<String>,
        backend: impl Into<String>,
        (from, to): (Private, Private),
        content: MessageContent,
        received_at: Timestamp,
        authenticity: Authenticity,
    ) -> Self {
        Self {
            id: id.into(),
            backend: backend.into(),
            conversation_id: String::new(),
            from,
            to,
            content,
            received_at,
            authenticity,
        }
    }

    /// Sets the conversation.
    #[must_use]
    pub fn with_conversation(mut self, id: impl Into<String>) -> Self {
        self.conversation_id = id.into();
        self
    }
}

/// Messages with the same others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Conversation {
    /// The id for `send_reply`.
    pub id: String,
    /// How its messages travel.
    #[serde(rename = "type")]
    pub kind: MessageKind,
    /// The others.
    pub participants: Vec<Private>,
    /// When the last message came or went.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_message_at: Option<Timestamp>,
    /// The last message's text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_message: Option<Private>,
    /// Messages that nobody here has read; 0.
    #[serde(default)]
    pub unread: u32,
}

impl Conversation {
    /// A conversation without messages.
    pub fn new(id: impl Into<String>, kind: MessageKind, participants: Vec<Private>) -> Self {
        Self {
            id: id.into(),
            kind,
            participants,
            last_message_at: None,
            last_message: None,
            unread: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use MessageState::{Delivered, Failed, HandedOver, OutcomeUnknown, Queued, Read, Sent};

    #[test]
    fn a_message_never_goes_back() {
        let rows = [
            (Queued, Sent, Sent),
            (Sent, Queued, Sent),
            (Delivered, Sent, Delivered),
            (Read, Delivered, Read),
            (Queued, Read, Read),
            (Sent, Failed, Failed),
            (Delivered, Failed, Delivered),
            (Failed, Delivered, Failed),
            (HandedOver, OutcomeUnknown, OutcomeUnknown),
            (Delivered, OutcomeUnknown, Delivered),
            (OutcomeUnknown, Queued, OutcomeUnknown),
            (OutcomeUnknown, Sent, OutcomeUnknown),
            (OutcomeUnknown, Delivered, Delivered),
            (OutcomeUnknown, Failed, Failed),
        ];
        for (from, next, to) in rows {
            assert_eq!(from.advance(next), to, "{from:?} then {next:?}");
        }
    }

    #[test]
    fn debug_masks_what_a_message_says() {
        let content = MessageContent::text(MessageKind::Sms, "your result is negative")
            .with_media(["https://example.org/result.png".parse().unwrap()]);
        let text = format!("{content:?}");
        assert!(!text.contains("result") && text.contains(MASK), "{text}");
    }
}
