//! Messages of a [`FakeAdapter`]: what happens to each, and what it was asked to send.

use std::{collections::HashMap, time::Duration};

use faxbot_core::{
    Effect, Error, ErrorKind, Private, Result,
    message::{MessageContent, MessageKind, MessageResult, MessageState, MessageStatus},
    sip::{Capability, SipAdapter as _, SipEvent, SipMessage},
};

use super::FakeAdapter;

/// What happens to one message: how the request is answered, and what is told of it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct MessageScript {
    /// Time until the request is answered.
    pub reply_after: Duration,
    /// The answer, when it is an error.
    pub reply: Option<Error>,
    /// No answer ever comes.
    pub hangs: bool,
    /// What is told right before the answer, under the id that the answer has.
    pub told: Vec<MessageState>,
    /// What is told so long after the answer.
    pub later: Vec<(Duration, MessageState)>,
}

impl MessageScript {
    /// The server takes it, and tells nothing.
    pub fn taken() -> Self {
        Self {
            reply_after: Duration::ZERO,
            reply: None,
            hangs: false,
            told: Vec::new(),
            later: Vec::new(),
        }
    }

    /// The server takes it, and tells so before it answers, as adapters do.
    pub fn told(state: MessageState) -> Self {
        Self {
            told: vec![state],
            ..Self::taken()
        }
    }

    /// The request ends in `error`.
    pub fn error(error: Error) -> Self {
        Self {
            reply: Some(error),
            ..Self::taken()
        }
    }

    /// The server refuses it with this code.
    pub fn rejected(code: &str) -> Self {
        let error = Error::new(ErrorKind::Rejected, "send_message", "the server refused");
        Self::error(error.with_native(Some(code.to_owned()), None))
    }

    /// The server takes it, and its answer is lost.
    pub fn lost_reply() -> Self {
        let error = Error::new(ErrorKind::Closed, "send_message", "the connection is gone");
        Self::error(error.with_effect(Effect::Unknown))
    }

    /// No answer ever comes.
    pub fn hangs() -> Self {
        Self {
            hangs: true,
            ..Self::taken()
        }
    }

    /// Is told `after` the answer.
    #[must_use]
    pub fn later(mut self, after: Duration, state: MessageState) -> Self {
        self.later.push((after, state));
        self
    }

    /// The request is answered after `after`.
    #[must_use]
    pub fn with_reply_after(mut self, after: Duration) -> Self {
        self.reply_after = after;
        self
    }
}

/// The messages of one adapter.
#[derive(Debug, Default)]
pub(super) struct Messages {
    scripts: HashMap<String, MessageScript>,
    sent: Vec<SipMessage>,
    open: usize,
    most_at_once: usize,
    counter: u64,
}

impl FakeAdapter {
    /// What happens to every message to this address from now on.
    pub fn script_messages_to(&self, to: &str, script: MessageScript) {
        let mut state = self.lock();
        state.messages.scripts.insert(to.to_owned(), script);
    }

    /// Every message that it was asked to send, refused ones too, in their order.
    pub fn messages(&self) -> Vec<SipMessage> {
        self.lock().messages.sent.clone()
    }

    /// The most messages that ever waited for their answer at one time.
    pub fn most_messages_at_once(&self) -> usize {
        self.lock().messages.most_at_once
    }

    /// A message comes in.
    pub fn message_in(&self, from: &str, text: &str) {
        self.publish(SipEvent::MessageReceived {
            from: Private::new(from.to_owned()),
            content: MessageContent::text(MessageKind::Sip, text),
        });
    }

    pub(super) async fn send(&self, message: SipMessage) -> Result<MessageResult> {
        const OPERATION: &str = "send_message";
        if !self.capabilities().has(Capability::SendMessage) {
            return Err(Error::unsupported(OPERATION));
        }
        self.not_connected(OPERATION)?;
        let (script, id, _open) = {
            let mut state = self.lock();
            let messages = &mut state.messages;
            let script = messages.scripts.get(&*message.to.expose()).cloned();
            messages.sent.push(message);
            messages.counter = messages.counter.saturating_add(1);
            messages.open = messages.open.saturating_add(1);
            messages.most_at_once = messages.most_at_once.max(messages.open);
            let open = Open(self.clone());
            let script = script.unwrap_or(MessageScript::told(MessageState::HandedOver));
            (script, format!("fake-{}", messages.counter), open)
        };
        tokio::time::sleep(script.reply_after).await;
        if script.hangs {
            std::future::pending::<()>().await;
        }
        if let Some(error) = script.reply {
            return Err(error);
        }
        for state in script.told {
            self.message_status(&id, state);
        }
        for (after, state) in script.later {
            let (adapter, id) = (self.clone(), id.clone());
            tokio::spawn(async move {
                tokio::time::sleep(after).await;
                adapter.message_status(&id, state);
            });
        }
        Ok(MessageResult::new(id, "fake", MessageKind::Sip))
    }

    /// Tells where a message is.
    pub fn message_status(&self, id: &str, state: MessageState) {
        self.publish(SipEvent::MessageStatusChanged(MessageStatus::new(
            id, state,
        )));
    }
}

/// A message without an answer, also when whoever waits for it goes away.
struct Open(FakeAdapter);

impl Drop for Open {
    fn drop(&mut self) {
        let messages = &mut self.0.lock().messages;
        messages.open = messages.open.saturating_sub(1);
    }
}
