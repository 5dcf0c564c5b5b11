//! The messaging role.

use async_trait::async_trait;

use crate::{
    Error, Result,
    address::Address,
    message::{Conversation, MessageContent, MessageResult, MessageStatus},
    plugin::Plugin,
};

/// Sends messages, and may receive them.
///
/// # Contract
/// - A message is sent at most once for each call. One that was written and not answered is
///   `OutcomeUnknown`, and is never sent again by itself.
/// - What `content` asks for and the plugin cannot carry (media, a kind) is `InvalidRequest`
///   before anything is sent.
///
/// # Events and truth
/// [`get_message_status`](Self::get_message_status) is the truth; events and callbacks may be lost
/// or come in any order.
///
/// # Cancellation
/// Dropping a future never undoes a message that was written.
///
/// # Wrappers
/// Forward every method, the provided ones too.
#[async_trait]
pub trait MessagingPlugin: Plugin {
    /// Sends a message. Resolves when the provider took it. Capability `send_message`. A second
    /// call sends a second message.
    ///
    /// # Errors
    /// `InvalidRequest`; `Rejected` with the provider's code; `OutcomeUnknown` when it did not
    /// answer.
    ///
    /// # Cancel safety
    /// A message that was written is not undone by dropping the future.
    async fn send_message(&self, to: Address, content: MessageContent) -> Result<MessageResult>;

    /// Where a message is, by [`MessageResult::message_id`]. Capability `get_message_status`.
    /// Asking again is free of effects.
    ///
    /// # Errors
    /// `Unsupported` without the capability; `NotFound`.
    ///
    /// # Cancel safety
    /// Only reads.
    async fn get_message_status(&self, message_id: &str) -> Result<MessageStatus> {
        let _ = message_id;
        Err(Error::unsupported("get_message_status"))
    }

    /// The latest conversations, at most `limit`, newest first. Capability `list_conversations`.
    /// Asking again is free of effects.
    ///
    /// # Errors
    /// `Unsupported` without the capability.
    ///
    /// # Cancel safety
    /// Only reads.
    async fn list_conversations(&self, limit: usize) -> Result<Vec<Conversation>> {
        let _ = limit;
        Err(Error::unsupported("list_conversations"))
    }

    /// Sends a message into a conversation. Capability `send_reply`. A second call sends a second
    /// message.
    ///
    /// # Errors
    /// `Unsupported` without the capability; `NotFound` for an unknown conversation; else as
    /// [`send_message`](Self::send_message).
    ///
    /// # Cancel safety
    /// A message that was written is not undone by dropping the future.
    async fn send_reply(
        &self,
        conversation_id: &str,
        content: MessageContent,
    ) -> Result<MessageResult> {
        let _ = (conversation_id, content);
        Err(Error::unsupported("send_reply"))
    }
}
