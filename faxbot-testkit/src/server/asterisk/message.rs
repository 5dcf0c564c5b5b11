//! Messages outside of calls: what `MessageSend` was asked to send, and what came in by the
//! snippet of the operator's dialplan (recording `05_message_send`).

use std::collections::VecDeque;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{
    MockAsterisk,
    channel::Channel,
    world::{State, World, start},
};

/// Sent messages that are kept; older ones are dropped.
const KEPT: usize = 10_000;

/// Longest body that arrives in the dialplan, in bytes; observed on Asterisk 16.28 and 22.10.
const LONGEST_IN: usize = 1023;

/// The one channel on which all incoming messages are handled. It stays for ever.
const QUEUE_CHANNEL: &str = "Message/ast_msg_queue";

/// A message that the mock was asked to send.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SentMessage {
    /// Where it goes, with the technology: `pjsip:alice`.
    pub destination: String,
    /// The `To` header of the message, if it is another than the destination.
    pub to: Option<String>,
    /// The `From` header.
    pub from: String,
    /// The text, decoded.
    pub body: String,
    /// `Variable` headers, which become headers of the message.
    pub headers: Vec<(String, String)>,
}

impl std::fmt::Debug for SentMessage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SentMessage")
            .field("bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// What the state keeps of messages.
#[derive(Debug, Default)]
pub(super) struct Messages {
    sent: VecDeque<SentMessage>,
    /// `Uniqueid` of the channel for incoming messages, once there was one.
    channel: Option<String>,
}

impl Messages {
    pub(super) fn push(&mut self, message: SentMessage) {
        if self.sent.len() == KEPT {
            self.sent.pop_front();
        }
        self.sent.push_back(message);
    }
}

impl MockAsterisk {
    /// The messages that clients sent so far, in their order.
    pub fn messages_sent(&self) -> Vec<SentMessage> {
        let state = self.world().lock();
        state.features.messages.sent.iter().cloned().collect()
    }

    /// A message comes in, and the dialplan tells of it with
    /// `UserEvent(FaxbotMessage,From64: ..,Body64: ..)`. `from` is a URI such as
    /// `sip:alice@127.0.0.1`, or one with a name: `Alice <sip:alice@127.0.0.1>`. Of a body of
    /// 1 KiB or more only the event comes, empty, as a real server loses it.
    pub fn message_in(&self, from: &str, body: &str) {
        let body = if body.len() > LONGEST_IN {
            String::new()
        } else {
            STANDARD.encode(body)
        };
        let from = if from.contains('<') {
            from.to_owned()
        } else {
            format!("<{from}>")
        };
        let headers = [
            ("UserEvent", "FaxbotMessage".to_owned()),
            ("From64", STANDARD.encode(from)),
            ("Body64", body),
        ];
        let world = self.world();
        world.change(|state| {
            let id = queue_channel(world, state);
            let Some(channel) = state.channel(&id) else {
                return;
            };
            let mut event = channel.snapshot(start("UserEvent", "user"), "");
            for (name, value) in headers {
                event = event.header(name, value);
            }
            state.emit("user", event);
        });
    }

    /// There is no endpoint of that name: messages to it are refused.
    pub fn no_endpoint(&self, name: &str) {
        let mut state = self.world().lock();
        state.features.no_endpoints.insert(name.to_owned());
    }
}

/// The channel for incoming messages; the first message makes it.
fn queue_channel(world: &World, state: &mut State) -> String {
    let known = state.features.messages.channel.clone();
    if let Some(id) = known.filter(|id| state.channel(id).is_some()) {
        return id;
    }
    state.unique += 1;
    let id = format!("{}.{}", state.started.as_second(), state.unique);
    let mut channel = Channel::new(id.clone(), QUEUE_CHANNEL.to_owned(), world.now());
    channel.state = 6;
    state.channels.push(channel);
    state.channel_event("Newchannel", "call", &id, &[]);
    state.features.messages.channel = Some(id.clone());
    id
}
