//! One message on its way out.

use std::{pin::pin, sync::Arc};

use faxbot_core::{
    Effect, Error, ErrorKind, Result,
    address::Address,
    event::EventStream,
    message::{MessageContent, MessageKind, MessageResult, MessageState, MessageStatus},
    sip::{Capability, ConnectionState, SipEvent, SipMessage},
};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::{ID, shared::Shared};
use crate::conversations::Parties;

/// A message that may be sent.
pub(super) struct Order {
    pub(super) operation: &'static str,
    /// Our name of it until the adapter gives one.
    pub(super) reference: String,
    pub(super) parties: Parties,
    pub(super) message: SipMessage,
    /// Held until the adapter answered.
    _permit: OwnedSemaphorePermit,
}

impl Shared {
    /// Everything about a message that can be told before it is sent.
    pub(super) fn order(
        &self,
        operation: &'static str,
        to: Address,
        content: MessageContent,
    ) -> Result<Order> {
        check(&content, self.config.max_bytes)
            .map_err(|why| Error::new(ErrorKind::InvalidRequest, operation, why))?;
        if self.adapter.connection().state != ConnectionState::Connected {
            let why = "the sip server is not connected";
            return Err(Error::new(ErrorKind::NotConnected, operation, why));
        }
        if !self.adapter.capabilities().has(Capability::SendMessage) {
            let why = "the sip adapter does not declare send_message";
            return Err(Error::new(ErrorKind::Config, operation, why));
        }
        let Ok(permit) = Arc::clone(&self.open).try_acquire_owned() else {
            let why = "too many messages wait for an answer";
            return Err(Error::new(ErrorKind::Overloaded, operation, why));
        };
        let theirs = super::peer::of_address(&to, &self.config.local_domains);
        let mut message = SipMessage::new(to, content);
        message.from.clone_from(&self.config.from);
        Ok(Order {
            operation,
            reference: self.new_id(),
            parties: self.parties(theirs),
            message,
            _permit: permit,
        })
    }

    fn answered(
        &self,
        order: &Order,
        answer: Result<MessageResult>,
        events: EventStream<SipEvent>,
    ) -> Result<MessageResult> {
        match answer {
            Ok(result) => Ok(self.taken(order, result, events)),
            Err(error) if error.effect() == Effect::Unknown => {
                Err(self.unknown(order, Some(error)))
            }
            Err(error) => Err(self.refused(order, error)),
        }
    }

    fn taken(
        &self,
        order: &Order,
        result: MessageResult,
        mut events: EventStream<SipEvent>,
    ) -> MessageResult {
        let id = if result.message_id.is_empty() {
            order.reference.clone()
        } else {
            result.message_id
        };
        let (now, at) = (self.clock.now(), self.clock.timestamp());
        self.lasting
            .book()
            .taken(&order.reference, &id, self.retention(), now);
        // What the adapter told of it before it answered: the listener did not know the id then.
        let (mut told, mut lagged) = (false, false);
        while let Some(item) = events.try_recv() {
            match item.map(|stamped| stamped.event) {
                Ok(SipEvent::MessageStatusChanged(status)) if status.message_id == id => {
                    told = true;
                    self.tell(&status);
                }
                Ok(_) => {}
                Err(_) => lagged = true,
            }
        }
        if !told {
            // The server took it and says no more. After a loss it may have said more.
            let state = if lagged {
                MessageState::Sent
            } else {
                MessageState::HandedOver
            };
            self.tell(&MessageStatus::new(id.as_str(), state));
        }
        let text = &order.message.content.text;
        self.lasting.conversations.sent(&order.parties, text, at);
        let mut ours = MessageResult::new(id, ID, MessageKind::Sip).with_segments(result.segments);
        ours.cost = result.cost;
        ours
    }

    /// Nobody can say whether it was sent. It is in the book as that already.
    fn unknown(&self, order: &Order, source: Option<Error>) -> Error {
        let told = self
            .lasting
            .book()
            .status(&order.reference, self.retention(), self.clock.now());
        self.change(|_| told);
        outcome_unknown(order.operation, &order.reference, source)
    }

    fn refused(&self, order: &Order, error: Error) -> Error {
        let reference = order.reference.as_str();
        match error.kind() {
            // The server heard of it, so its end can be asked for.
            ErrorKind::Rejected => {
                self.tell(&MessageStatus::new(reference, MessageState::Failed));
                error
                    .with_operation(order.operation)
                    .with_message_id(reference)
            }
            // It can send messages, so it is this address that it cannot send to.
            ErrorKind::Unsupported => {
                self.lasting.book().forget(reference);
                let why = "the sip server sends no messages to this kind of address";
                Error::new(ErrorKind::InvalidRequest, order.operation, why)
            }
            _ => {
                self.lasting.book().forget(reference);
                error.with_operation(order.operation)
            }
        }
    }

    /// The answer came after its caller was told that nobody knows.
    fn answered_late(
        &self,
        order: &Order,
        answer: Result<MessageResult>,
        mut events: EventStream<SipEvent>,
    ) {
        let reference = order.reference.as_str();
        let told = match answer {
            Ok(result) => {
                let id = result.message_id;
                self.lasting.book().taken_late(reference, &id);
                while let Some(item) = events.try_recv() {
                    if let Ok(SipEvent::MessageStatusChanged(status)) = item.map(|it| it.event)
                        && status.message_id == id
                    {
                        self.tell(&status);
                    }
                }
                return;
            }
            Err(error) if error.effect() == Effect::Unknown => return,
            Err(_) => MessageStatus::new(reference, MessageState::Failed),
        };
        self.tell(&told);
    }
}

/// Sends one message, whoever waits for the answer.
pub(super) async fn send(
    shared: Arc<Shared>,
    order: Order,
    answer: oneshot::Sender<Result<MessageResult>>,
) {
    let line = tokio::select! {
        biased;
        () = shared.token.cancelled() => {
            let _ = answer.send(Err(stopped(order.operation)));
            return;
        }
        line = shared.lines.acquire(&order.parties) => line,
    };
    shared
        .lasting
        .book()
        .begin(&order.reference, shared.retention(), shared.clock.now());
    let events = shared.adapter.subscribe();
    let mut sent = pin!(shared.adapter.send_message(order.message.clone()));
    let deadline = shared
        .clock
        .sleep_until(shared.clock.now() + shared.config.answer_timeout);
    tokio::select! {
        biased;
        result = &mut sent => {
            let _ = answer.send(shared.answered(&order, result, events));
            return;
        }
        () = deadline => {}
    }
    tracing::warn!(message_id = %order.reference, "the sip server does not answer a message");
    let _ = answer.send(Err(shared.unknown(&order, None)));
    drop(line);
    // Its place stays taken: a server that answers nothing must not gather messages without a bound.
    tokio::select! {
        biased;
        result = &mut sent => shared.answered_late(&order, result, events),
        () = shared.token.cancelled() => {}
    }
}

fn check(content: &MessageContent, max_bytes: usize) -> Result<(), String> {
    if content.kind != MessageKind::Sip {
        return Err("type: this plugin sends messages of the type sip only".to_owned());
    }
    if !content.media.is_empty() {
        return Err("media: a message over SIP has text only".to_owned());
    }
    if content.text.trim().is_empty() {
        return Err("text: empty".to_owned());
    }
    if content.text.len() > max_bytes {
        return Err(format!("text: more than {max_bytes} bytes in utf-8"));
    }
    if content.text.contains('\0') {
        return Err("text: has the character NUL".to_owned());
    }
    Ok(())
}

/// Nobody can say whether a message was sent.
pub(super) fn outcome_unknown(
    operation: &'static str,
    reference: &str,
    source: Option<Error>,
) -> Error {
    let why = "the sip server did not answer; the message may have been sent";
    let error = Error::new(ErrorKind::OutcomeUnknown, operation, why).with_message_id(reference);
    match source {
        Some(source) => {
            let native = |text: Option<&str>| text.map(str::to_owned);
            error
                .with_native(native(source.native_code()), native(source.native_text()))
                .with_source(source)
        }
        None => error,
    }
}

/// The plugin does not run (any more), and nothing was sent.
pub(super) fn stopped(operation: &'static str) -> Error {
    Error::new(
        ErrorKind::InvalidState,
        operation,
        "the plugin does not run",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_texts_of_the_type_sip_within_the_limit_are_sent() {
        let text = |text: &str| MessageContent::text(MessageKind::Sip, text);
        let media = "https://example.org/x.png".parse().unwrap();
        for (content, why) in [
            (MessageContent::text(MessageKind::Sms, "hello"), "type"),
            (MessageContent::default(), "type"),
            (text("hello").with_media([media]), "media"),
            (text(""), "text"),
            (text(" \n"), "text"),
            (text("a\0b"), "text"),
            (text("1234567"), "text"),
            // Counted in bytes.
            (text("üüüü"), "text"),
        ] {
            let error = check(&content, 6).unwrap_err();
            assert!(error.starts_with(why), "{error}");
        }
        check(&text("üüü"), 6).unwrap();
    }
}
