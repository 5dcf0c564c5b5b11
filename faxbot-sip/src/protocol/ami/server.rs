//! The server side: messages in the exact form of Asterisk, and what it refuses.

use bytes::{BufMut, BytesMut};

use super::{
    action::{MAX_HEADERS, MAX_LINE, put_line},
    message::Message,
};
use crate::protocol::guard::{self, Unsendable};

/// The classes of events and actions (`main/manager.c` of Asterisk 16 and 22).
pub const CLASSES: [&str; 19] = [
    "system",
    "call",
    "log",
    "verbose",
    "command",
    "agent",
    "user",
    "config",
    "dtmf",
    "reporting",
    "cdr",
    "dialplan",
    "originate",
    "agi",
    "cc",
    "aoc",
    "test",
    "security",
    "message",
];

/// Writes a response or an event as Asterisk does: `Key: value\r\n`, an empty value as `Key: \r\n`.
///
/// Values are not checked: a mock wants to send what a server does send, line breaks among it
/// (observed on Asterisk 22.10, recording `10_newline_in_value`). Header names are.
#[derive(Debug, Clone)]
pub struct MessageBuilder {
    bytes: BytesMut,
    /// The first name that cannot be one.
    refused: Option<Unsendable>,
}

impl MessageBuilder {
    /// `Response: <word>`; the words seen are `Success`, `Error` and `Goodbye`.
    #[must_use]
    pub fn response(word: &str) -> Self {
        Self::start("Response", word)
    }

    /// `Event: <name>`.
    #[must_use]
    pub fn event(name: &str) -> Self {
        Self::start("Event", name)
    }

    fn start(key: &str, value: &str) -> Self {
        Self {
            bytes: BytesMut::with_capacity(256),
            refused: None,
        }
        .header(key, value)
    }

    /// Adds a header.
    #[must_use]
    pub fn header(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let mut this = self;
        match guard::name(name.as_bytes()) {
            Ok(()) => put_line(&mut this.bytes, name, value.as_ref()),
            Err(why) => this.refused = this.refused.or(Some(why)),
        }
        this
    }

    /// Adds a header if there is a value: the `ActionID` of an action without one is left out of
    /// its answer.
    #[must_use]
    pub fn maybe(self, name: &str, value: Option<impl AsRef<[u8]>>) -> Self {
        match value {
            Some(value) => self.header(name, value),
            None => self,
        }
    }

    /// The message as a client decodes it. A value with CR LF CR LF stays in one message here; a
    /// client that reads its bytes sees two.
    ///
    /// # Errors
    /// [`Unsendable`] for the first header whose name cannot be one.
    pub fn build(self) -> Result<Message, Unsendable> {
        let mut bytes = self.bytes;
        if let Some(why) = self.refused {
            return Err(why);
        }
        let ends: Vec<u32> = memchr::memmem::find_iter(&bytes, b"\r\n")
            .map(|at| u32::try_from(at + 1).unwrap_or(u32::MAX))
            .collect();
        bytes.put_slice(b"\r\n");
        Ok(Message::from_parts(bytes.freeze(), &ends, false))
    }
}

/// The banner line of Asterisk 16 to 22 for an interface version, such as `11.0.0`.
#[must_use]
pub fn banner(version: &str) -> Message {
    let version: String = version.chars().filter(char::is_ascii_graphic).collect();
    Message::banner_line(format!("Asterisk Call Manager/{version}\r\n").into())
}

/// The text with which Asterisk refuses an action before it looks at its name, or `None`.
///
/// Observed on Asterisk 22.10, recordings `10_line_boundary` and `01_commands_before_login`.
#[must_use]
pub fn refusal(action: &Message) -> Option<&'static str> {
    if action.lines().any(|line| line.len() > MAX_LINE) {
        return Some("Failed to parse message: line too long");
    }
    if action.line_count() > MAX_HEADERS {
        return Some("Too many lines in message or allocation failure");
    }
    if action.action().is_none() {
        return Some("Missing action in request");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_built_message_has_the_bytes_of_asterisk() {
        let message = MessageBuilder::response("Success")
            .maybe("ActionID", Some("a1"))
            .maybe("EventList", None::<&str>)
            .header("Message", "")
            .build()
            .unwrap();
        assert_eq!(
            &message.raw()[..],
            b"Response: Success\r\nActionID: a1\r\nMessage: \r\n\r\n"
        );
        assert_eq!(message.get("message"), Some(&b""[..]));
        assert_eq!(message.response(), Some(&b"Success"[..]));
    }

    #[test]
    fn a_header_name_that_cannot_be_one_is_an_error() {
        assert!(
            MessageBuilder::event("X")
                .header("a: b\r\nc", "")
                .build()
                .is_err()
        );
    }
}
