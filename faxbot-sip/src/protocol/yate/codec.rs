//! Bytes to lines, for both ends of a connection.

use bytes::BytesMut;

use super::frame::Frame;
use crate::protocol::session::Codec;

/// Bytes that a line of the engine may have unless the constructor says otherwise: 4 MiB. The
/// status of 20,000 channels in one message is below; a peer that never ends its line costs no more
/// memory than this.
pub const MAX_LINE: usize = 4 * 1024 * 1024;

/// The most that a caller may allow.
const MAX_ALLOWED: usize = 64 * 1024 * 1024;

/// Which end of the connection decodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Role {
    /// Decodes what the engine sends: a line ends with LF and nothing else.
    Client,
    /// Decodes what a module sends, as the engine does: a line ends with LF or NUL, a CR before
    /// it is dropped (`ExtModReceiver::run` in `extmodule.cpp`).
    Server,
}

/// Why bytes cannot be a line. The connection cannot go on after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The line does not end within the limit.
    #[error("line is longer than {max} bytes")]
    TooLong {
        /// The limit in bytes, the line end among them.
        max: usize,
    },
}

/// Takes lines off a buffer. Bytes are searched once, however they are split.
#[derive(Debug)]
pub struct YateCodec {
    role: Role,
    max_line: usize,
    /// Bytes of the current line that were searched.
    scanned: usize,
    failed: Option<DecodeError>,
}

impl YateCodec {
    /// A codec for one connection. `max_line` is in bytes, raised to 1,024 and lowered to 64 MiB;
    /// the usual one is [`MAX_LINE`], for the server side
    /// [`server::DEFAULT_BUFFER`](super::server::DEFAULT_BUFFER).
    #[must_use]
    pub fn new(role: Role, max_line: usize) -> Self {
        Self {
            role,
            max_line: max_line.clamp(1024, MAX_ALLOWED),
            scanned: 0,
            failed: None,
        }
    }

    /// Which end it decodes for.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// Sets the limit from the next line on: the engine does so for `setlocal:bufsize`.
    pub fn set_max_line(&mut self, max_line: usize) {
        self.max_line = max_line.clamp(1024, MAX_ALLOWED);
    }
}

impl Codec for YateCodec {
    type Frame = Frame;
    type Error = DecodeError;

    #[inline]
    fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Frame>, DecodeError> {
        if let Some(why) = self.failed {
            return Err(why);
        }
        let unsearched = input.get(self.scanned..).unwrap_or_default();
        let found = match self.role {
            Role::Client => memchr::memchr(b'\n', unsearched),
            Role::Server => memchr::memchr2(b'\n', 0, unsearched),
        };
        let max = self.max_line;
        match found.map(|at| self.scanned + at + 1) {
            Some(len) if len <= max => {
                self.scanned = 0;
                let raw = input.split_to(len).freeze();
                Ok(Some(Frame::from_line(raw, self.role)))
            }
            None if input.len() <= max => {
                self.scanned = input.len();
                Ok(None)
            }
            _ => {
                let why = DecodeError::TooLong { max };
                self.failed = Some(why);
                Err(why)
            }
        }
    }
}
