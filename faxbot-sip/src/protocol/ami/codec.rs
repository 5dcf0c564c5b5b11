//! Bytes to messages and back, for both ends of a connection.

use bytes::{BufMut, BytesMut};

use super::{action::Action, message::Message};
use crate::protocol::session::Codec;

/// Bytes that a message may have unless the constructor says otherwise: 1 MiB. The largest answer
/// seen, `Command` with a long `Output`, is far below; a peer that never ends its message costs no
/// more memory than this.
pub const MAX_MESSAGE: usize = 1024 * 1024;

/// Bytes that the banner line may have. `Asterisk Call Manager/11.0.0` has 28; a server of
/// another protocol is noticed early.
const MAX_BANNER: usize = 256;

/// The most that a caller may allow, so that a line position fits 32 bits.
const MAX_ALLOWED: usize = 64 * 1024 * 1024;

/// Line positions kept between messages; more is given back.
const KEPT_LINES: usize = 1024;

/// Which end of the connection decodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Role {
    /// Decodes what the server sends: the banner line, then messages that end with `CR LF CR LF`
    /// and nothing else. A bare LF is data: `Message: Unable to retrieve endpoint nope\n` has one
    /// (observed on Asterisk 22.10, recording `02_errors`).
    Client,
    /// Decodes what a client sends: a line ends with LF, a CR before it is dropped, as the server
    /// does (observed on Asterisk 22.10, recording `10_header_forms`).
    Server,
}

/// Why bytes cannot be a message. The connection cannot go on after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The message does not end within the limit.
    #[error("message is longer than {max} bytes")]
    TooLong {
        /// The limit in bytes.
        max: usize,
    },
    /// The first line does not end within the limit: not an Asterisk manager.
    #[error("banner is longer than {max} bytes")]
    BannerTooLong {
        /// The limit in bytes.
        max: usize,
    },
}

/// Takes messages off a buffer. Bytes are searched once, however they are split.
#[derive(Debug)]
pub struct AmiCodec {
    role: Role,
    max_message: usize,
    wants_banner: bool,
    /// Bytes of the current message that were searched.
    scanned: usize,
    /// Where the current line starts.
    line_start: usize,
    /// The position of the `\n` of each line of the current message.
    ends: Vec<u32>,
    failed: Option<DecodeError>,
}

impl AmiCodec {
    /// A codec for one connection. `max_message` is in bytes, raised to 1,024 and lowered to
    /// 64 MiB; the usual one is [`MAX_MESSAGE`].
    #[must_use]
    pub fn new(role: Role, max_message: usize) -> Self {
        Self {
            role,
            max_message: max_message.clamp(1024, MAX_ALLOWED),
            wants_banner: role == Role::Client,
            scanned: 0,
            line_start: 0,
            ends: Vec::new(),
            failed: None,
        }
    }

    /// Which end it decodes for.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// Appends a message as it stands. For the server side; a client sends an [`Action`].
    pub fn encode_message(message: &Message, output: &mut BytesMut) {
        output.put_slice(message.raw());
    }

    /// Appends an action as it stands, with the `ActionID` that it has, if any.
    pub fn encode_action(action: &Action, output: &mut BytesMut) {
        output.put_slice(&action.to_bytes());
    }

    fn fail(&mut self, why: DecodeError) -> DecodeError {
        self.failed = Some(why);
        why
    }

    fn take_banner(&mut self, input: &mut BytesMut) -> Result<Option<Message>, DecodeError> {
        let max = MAX_BANNER;
        let unsearched = input.get(self.scanned..).unwrap_or_default();
        let found = memchr::memchr(b'\n', unsearched).map(|at| self.scanned + at + 1);
        self.scanned = input.len();
        match found {
            Some(len) if len <= max => {
                self.scanned = 0;
                self.wants_banner = false;
                Ok(Some(Message::banner_line(input.split_to(len).freeze())))
            }
            None if input.len() < max => Ok(None),
            _ => Err(self.fail(DecodeError::BannerTooLong { max })),
        }
    }

    /// Searches on; the length of the message when its end was found.
    #[inline]
    fn find_end(&mut self, input: &[u8]) -> Option<usize> {
        let from = self.scanned;
        let strict = self.role == Role::Client;
        let mut line_start = self.line_start;
        for at in memchr::memchr_iter(b'\n', input.get(from..)?) {
            let at = from + at;
            let after_cr = at.checked_sub(1).and_then(|before| input.get(before)) == Some(&b'\r');
            if strict && !after_cr {
                continue;
            }
            if at - line_start == usize::from(after_cr) {
                return Some(at + 1);
            }
            line_start = at + 1;
            // The limit keeps positions below 2^26.
            self.ends.push(u32::try_from(at).unwrap_or(u32::MAX));
        }
        self.line_start = line_start;
        self.scanned = input.len();
        None
    }
}

impl Codec for AmiCodec {
    type Frame = Message;
    type Error = DecodeError;

    #[inline]
    fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Message>, DecodeError> {
        if let Some(why) = self.failed {
            return Err(why);
        }
        if self.wants_banner {
            return self.take_banner(input);
        }
        let max = self.max_message;
        match self.find_end(input) {
            Some(len) if len <= max => {
                let raw = input.split_to(len).freeze();
                let message = Message::from_parts(raw, &self.ends, self.role == Role::Server);
                self.scanned = 0;
                self.line_start = 0;
                self.ends.clear();
                if self.ends.capacity() > KEPT_LINES {
                    self.ends.shrink_to(KEPT_LINES);
                }
                Ok(Some(message))
            }
            None if input.len() <= max => Ok(None),
            _ => Err(self.fail(DecodeError::TooLong { max })),
        }
    }
}
