//! A manager connection.

use std::time::Duration;

use bytes::Bytes;
use faxbot_sip::protocol::ami::{
    Action, AmiCodec, AmiConfig, AmiSession, Kind, Login, MAX_MESSAGE, Message, Role,
    server::{MessageBuilder, banner},
};

use faxbot_sip::protocol::session::Session as _;

use super::RANDOM;

pub(crate) type Line = super::Line<AmiSession>;

/// All messages of `pieces`, and what is left.
pub(crate) fn decode(role: Role, pieces: impl IntoIterator<Item = Bytes>) -> (Vec<Message>, Bytes) {
    super::decode(AmiCodec::new(role, MAX_MESSAGE), pieces)
}

/// One message from the text of a server.
pub(crate) fn message(text: &str) -> Message {
    let wire = [&b"banner\r\n"[..], text.as_bytes()].concat();
    let (mut messages, rest) = decode(Role::Client, [Bytes::from(wire)]);
    assert_eq!((messages.len(), rest.len()), (2, 0), "{text:?}");
    messages.remove(1)
}

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

impl Line {
    pub(crate) fn new(login: Login, config: AmiConfig) -> Self {
        let codec = |role| AmiCodec::new(role, MAX_MESSAGE);
        let session = AmiSession::new(login, config, RANDOM);
        Self::open(session, codec(Role::Client), codec(Role::Server))
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

    pub(crate) fn say(&mut self, message: Message) {
        self.bytes(message.raw().as_ref());
    }

    /// The next action that the server saw, its name and ActionID.
    pub(crate) fn action(&mut self) -> (String, String) {
        let action = self.sent.remove(0);
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

    /// Asks and gives the ActionID under which it was sent.
    pub(crate) fn ask(&mut self, token: u64, action: &str) -> String {
        self.request(token, Action::new(action).unwrap(), Duration::from_secs(10));
        self.action().1
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
