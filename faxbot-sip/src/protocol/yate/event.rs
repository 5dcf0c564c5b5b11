//! What a session tells: answers, and what comes unasked.

use bytes::Bytes;

use super::{frame::Frame, incoming::Incoming};

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reply {
    /// The message as its handlers left it, or the answer to a command.
    Frame(Frame),
    /// The engine could not read the line: `Error in:`.
    Unread(Frame),
    /// The line waits to be written, and no answer will come: that to a request of the engine, or
    /// a line for its log.
    Sent,
    /// The request of the engine was answered before, by its owner or at its deadline. Nothing was
    /// written.
    TooLate,
    /// The line does not fit the engine's buffer ([`Ready::max_line`](super::Ready::max_line)), which would end the
    /// connection. Nothing was written.
    TooLong {
        /// The limit in bytes.
        max: usize,
    },
}

impl Reply {
    /// The line that the engine answered.
    #[must_use]
    pub fn frame(&self) -> Option<&Frame> {
        match self {
            Self::Frame(frame) | Self::Unread(frame) => Some(frame),
            _ => None,
        }
    }

    /// Whether the message was handled, the command done, or the line queued. What `true` and
    /// `false` mean is the matter of each message.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        match self {
            Self::Frame(frame) => match frame.message() {
                Some(message) => message.is_processed(),
                None => frame.confirmation().is_some_and(|it| it.ok),
            },
            Self::Sent => true,
            Self::Unread(_) | Self::TooLate | Self::TooLong { .. } => false,
        }
    }
}

/// What comes unasked.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// A watched message, after its handlers.
    Watched(Frame),
    /// The engine waits for the answer to a message of an installed name.
    Asked(Incoming),
    /// Nobody answered the request with this id in time: the session said `false`.
    TimedOut(Bytes),
    /// One request too many was open: the session said `false` at once.
    Shed(Frame),
    /// A line that is none of the protocol, or that the engine could not read.
    Other(Frame),
}

impl Event {
    /// The line that it came in; `None` for a request that timed out.
    #[must_use]
    pub fn frame(&self) -> Option<&Frame> {
        match self {
            Self::Watched(frame) | Self::Shed(frame) | Self::Other(frame) => Some(frame),
            Self::Asked(incoming) => Some(incoming.frame()),
            Self::TimedOut(_) => None,
        }
    }
}
