//! Messages outside of calls: what `MessageSend` was asked to send, and what came in by the
//! snippet of the operator's dialplan (recording `05_message_send`).

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{
    MockAsterisk,
    channel::Channel,
    world::{State, World, start},
};

/// Longest body that arrives in the dialplan, in bytes; observed on Asterisk 16.28 and 22.10.
const LONGEST_IN: usize = 1023;

/// The one channel on which all incoming messages are handled. It stays for ever.
const QUEUE_CHANNEL: &str = "Message/ast_msg_queue";

impl MockAsterisk {
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
    let known = state.features.message_channel.clone();
    if let Some(id) = known.filter(|id| state.channel(id).is_some()) {
        return id;
    }
    state.unique += 1;
    let id = format!("{}.{}", state.started.as_second(), state.unique);
    let mut channel = Channel::new(id.clone(), QUEUE_CHANNEL.to_owned(), world.now());
    channel.state = 6;
    state.channels.push(channel);
    state.channel_event("Newchannel", "call", &id, &[]);
    state.features.message_channel = Some(id.clone());
    id
}
