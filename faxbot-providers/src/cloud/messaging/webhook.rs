//! The engine's side of the shared flow of webhooks.

use std::{sync::PoisonError, time::Duration};

use async_trait::async_trait;
use faxbot_core::{
    Error, ErrorKind, Result, Timestamp,
    message::InboundMessage,
    plugin::PluginEvent,
    webhook::{Authenticity, Stored, WebhookReply, WebhookRequest, fresh},
};
use url::Url;

use super::{
    provider::{MessageNotice, MessageReport, MessagingProvider},
    shared::Shared,
};
use crate::cloud::webhook::{Handled, WebhookDesk, WebhookEngine};

/// How far the vendor's time of a message may be from ours when it is told at once.
const AT_ONCE: Duration = Duration::from_secs(60);

#[async_trait]
impl<P: MessagingProvider> WebhookEngine for Shared<P> {
    type Notice = MessageNotice;

    fn desk(&self) -> &WebhookDesk {
        &self.desk
    }

    async fn verify(
        &self,
        request: &WebhookRequest,
        url: &Url,
        now: Timestamp,
    ) -> Option<Authenticity> {
        self.provider.verify(request, url, now).await
    }

    async fn read(
        &self,
        request: &WebhookRequest,
        authenticity: Authenticity,
    ) -> Result<Vec<MessageNotice>> {
        self.provider.read_webhook(request, authenticity).await
    }

    fn key<'n>(&self, notice: &'n MessageNotice) -> Option<&'n str> {
        match notice {
            MessageNotice::Status { key, .. } | MessageNotice::Received { key, .. } => Some(key),
            MessageNotice::Ignored => None,
        }
    }

    async fn handle(&self, notice: MessageNotice, authenticity: Authenticity) -> Result<Handled> {
        match notice {
            MessageNotice::Status { report, .. } => self.status(*report, authenticity).await,
            MessageNotice::Received { message, .. } => self.received(*message, authenticity).await,
            MessageNotice::Ignored => Ok(Handled::Done),
        }
    }

    fn reply(&self) -> WebhookReply {
        self.provider.reply()
    }
}

impl<P: MessagingProvider> Shared<P> {
    async fn status(&self, told: MessageReport, authenticity: Authenticity) -> Result<Handled> {
        if authenticity.is_proof() {
            self.change(|book, _, now| book.report(told, authenticity, now));
            return Ok(Handled::Done);
        }
        let mut report = match self.within(self.provider.status(&told.id)).await {
            Ok(report) => report,
            Err(error) => return nothing_there(error),
        };
        // Nothing of the request is used, but the id that was asked for.
        report.id.clone_from(&told.id);
        let same = report.word == told.word;
        self.change(|book, _, now| book.report(report, Authenticity::Fetched, now));
        Ok(if same {
            Handled::Done
        } else {
            Handled::Contradicted
        })
    }

    async fn received(&self, told: InboundMessage, authenticity: Authenticity) -> Result<Handled> {
        let (mut message, authenticity) = if authenticity.is_proof() {
            (told, authenticity)
        } else {
            match self.within(self.provider.inbound(&told.id)).await {
                Ok(fetched) if fetched.id == told.id => (fetched, Authenticity::Fetched),
                Ok(_) => return Ok(Handled::Contradicted),
                Err(error) => return nothing_there(error),
            }
        };
        let parties = Self::parties(&message);
        message.backend.clone_from(&self.backend);
        message.authenticity = authenticity;
        message.conversation_id = parties.id();
        let news = match self.stores.inbound.put_message(&message).await? {
            Stored::New => {
                let text = &message.content.text;
                let at = self.noted_at(message.received_at);
                self.conversations.received(&parties, text, at);
                self.stored().insert(&message.id);
                true
            }
            // Stored by an earlier try of ours, whose event was not published; or by an earlier
            // process, which told of it.
            _ => self.stored().contains(&message.id),
        };
        Ok(if news {
            Handled::Stored(Box::new(PluginEvent::MessageReceived(message)))
        } else {
            Handled::Done
        })
    }

    /// When a message came in, for the order of conversations. What the vendor told at once came now:
    /// two clocks that differ a little would put it before the message that it answers.
    fn noted_at(&self, received_at: Timestamp) -> Timestamp {
        let now = self.clock.timestamp();
        if fresh(now, received_at, AT_ONCE) {
            now
        } else {
            // By a clock that is far ahead it would stay the last one of all that comes after it.
            received_at.min(now)
        }
    }

    fn stored(&self) -> std::sync::MutexGuard<'_, super::shared::Stored> {
        self.stored.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the vendor does not have was made up, or is gone: sending it again would not help.
fn nothing_there(error: Error) -> Result<Handled> {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::InvalidRequest => Ok(Handled::Contradicted),
        _ => Err(error),
    }
}
