//! Two ends of a manager connection and a clock that stands still.
#![allow(dead_code, reason = "each test program uses its own part")]

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use faxbot_sip::protocol::{
    ami::{
        Action, AmiCodec, AmiConfig, AmiSession, Kind, Login, MAX_MESSAGE, Message, Ready, Reply,
        Role,
        server::{MessageBuilder, banner},
    },
    session::{CloseReason, Codec, NoReply, NotTaken, Output, Session, Token},
};

pub(crate) const RANDOM: [u8; 16] = *b"0123456789abcdef";

/// All messages of `pieces`, and what is left.
pub(crate) fn decode(role: Role, pieces: impl IntoIterator<Item = Bytes>) -> (Vec<Message>, Bytes) {
    let mut codec = AmiCodec::new(role, MAX_MESSAGE);
    let mut buffer = BytesMut::new();
    let mut messages = Vec::new();
    for piece in pieces {
        buffer.extend_from_slice(&piece);
        while let Some(message) = codec.decode(&mut buffer).expect("no limit is broken") {
            messages.push(message);
        }
    }
    (messages, buffer.freeze())
}

/// One message from the text of a server.
pub(crate) fn message(text: &str) -> Message {
    let wire = [&b"banner\r\n"[..], text.as_bytes()].concat();
    let (mut messages, rest) = decode(Role::Client, [Bytes::from(wire)]);
    assert_eq!((messages.len(), rest.len()), (2, 0), "{text:?}");
    messages.remove(1)
}

pub(crate) const SECOND: Duration = Duration::from_secs(1);

pub(crate) fn login() -> Login {
    Login::new("faxbot", "s3cret").unwrap().md5(false)
}

pub(crate) fn up() -> Line {
    Line::up(AmiConfig::new())
}

/// A session that has sent its login.
pub(crate) fn at_login() -> Line {
    let mut line = Line::new(login(), AmiConfig::new());
    line.say(banner("11.0.0"));
    line
}

pub(crate) fn action(name: &str) -> Action {
    Action::new(name).unwrap()
}

pub(crate) type ReplyResult = Result<Reply, NoReply>;

/// A session, the decoder of its server, and everything that came out of it.
pub(crate) struct Line {
    pub(crate) session: AmiSession,
    pub(crate) now: Instant,
    server: AmiCodec,
    client: AmiCodec,
    to_client: BytesMut,
    /// Actions that the server saw and the test has not taken.
    pub(crate) actions: Vec<Message>,
    pub(crate) ready: Vec<Ready>,
    pub(crate) replies: Vec<(Token, ReplyResult)>,
    pub(crate) events: Vec<Message>,
    pub(crate) closed: Option<CloseReason>,
}

impl Line {
    pub(crate) fn new(login: Login, config: AmiConfig) -> Self {
        let now = Instant::now();
        let mut line = Self {
            session: AmiSession::new(login, config, RANDOM),
            now,
            server: AmiCodec::new(Role::Server, MAX_MESSAGE),
            client: AmiCodec::new(Role::Client, MAX_MESSAGE),
            to_client: BytesMut::new(),
            actions: Vec::new(),
            ready: Vec::new(),
            replies: Vec::new(),
            events: Vec::new(),
            closed: None,
        };
        line.session.handle_connected(now);
        line.drain();
        line
    }

    /// Logged in and booted, everything so far taken.
    pub(crate) fn up(config: AmiConfig) -> Self {
        let mut line = Self::new(login(), config);
        line.say(banner("11.0.0"));
        line.answer("Success", &[("Message", "Authentication accepted")]);
        line.say(MessageBuilder::event("FullyBooted").build().unwrap());
        assert!(line.session.is_ready());
        line.events.clear();
        line.ready.clear();
        line
    }

    pub(crate) fn drain(&mut self) {
        let mut wire = BytesMut::new();
        while let Some(transmit) = self.session.poll_transmit() {
            wire.extend_from_slice(&transmit.bytes);
        }
        while let Some(action) = self.server.decode(&mut wire).unwrap() {
            self.actions.push(action);
        }
        assert!(wire.is_empty());
        self.drain_outputs();
    }

    pub(crate) fn drain_outputs(&mut self) {
        while let Some(output) = self.session.poll_output() {
            assert!(self.closed.is_none(), "{output:?} after the end");
            match output {
                Output::Ready(ready) => self.ready.push(ready),
                Output::Reply { token, result } => self.replies.push((token, result)),
                Output::Event(event) => self.events.push(event),
                Output::Close(reason) => self.closed = Some(reason),
            }
        }
    }

    pub(crate) fn say(&mut self, message: Message) {
        self.bytes(message.raw().as_ref());
    }

    /// The server writes these bytes.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.to_client.extend_from_slice(bytes);
        while let Some(frame) = self.client.decode(&mut self.to_client).unwrap() {
            self.session.handle_frame(frame, self.now);
            self.drain();
        }
    }

    /// The next action that the server saw, its name and ActionID.
    pub(crate) fn action(&mut self) -> (String, String) {
        let action = self.actions.remove(0);
        let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap().to_vec()).unwrap();
        (text(action.action()), text(action.action_id()))
    }

    /// Answers the next action that the server saw.
    pub(crate) fn answer(&mut self, word: &str, headers: &[(&str, &str)]) -> String {
        let (_, id) = self.action();
        self.respond(&id, word, headers);
        id
    }

    pub(crate) fn respond(&mut self, id: &str, word: &str, headers: &[(&str, &str)]) {
        self.say(build(
            MessageBuilder::response(word).header("ActionID", id),
            headers,
        ));
    }

    pub(crate) fn event(&mut self, name: &str, headers: &[(&str, &str)]) {
        self.say(build(MessageBuilder::event(name), headers));
    }

    pub(crate) fn request(&mut self, token: u64, action: Action, within: Duration) {
        self.try_request(token, action, within).unwrap();
    }

    pub(crate) fn try_request(
        &mut self,
        token: u64,
        action: Action,
        within: Duration,
    ) -> Result<(), NotTaken> {
        let deadline = self.now + within;
        let taken = self
            .session
            .handle_request(Token(token), action, deadline, self.now);
        self.drain();
        taken
    }

    /// Asks and gives the ActionID under which it was sent.
    pub(crate) fn ask(&mut self, token: u64, action: &str) -> String {
        self.request(token, Action::new(action).unwrap(), Duration::from_secs(10));
        self.action().1
    }

    /// Moves the clock, stopping at every deadline of the session on the way.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        for _ in 0..10_000 {
            let Some(due) = self.session.poll_timeout().filter(|due| *due <= end) else {
                self.now = end;
                return;
            };
            assert!(self.closed.is_none(), "a closed session wants nothing");
            self.now = self.now.max(due);
            self.session.handle_timeout(self.now);
            self.drain();
        }
        panic!("the session asks for time without end");
    }

    pub(crate) fn reply(&mut self) -> (u64, ReplyResult) {
        let (token, result) = self.replies.remove(0);
        (token.0, result)
    }
}

fn build(start: MessageBuilder, headers: &[(&str, &str)]) -> Message {
    let builder = headers
        .iter()
        .fold(start, |builder, (name, value)| builder.header(name, value));
    builder.build().unwrap()
}

/// Banner frames aside.
pub(crate) fn of_kind(messages: &[Message], kind: Kind) -> usize {
    messages
        .iter()
        .filter(|message| message.kind() == kind)
        .count()
}
