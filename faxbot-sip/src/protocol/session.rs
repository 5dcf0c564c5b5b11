//! The sans-IO session: what every socket protocol gives to the driver.
//!
//! A [`Codec`] turns bytes into frames, a [`Session`] turns frames into answers and events. No
//! socket, no task, no clock, no randomness: time and random ids come in as arguments.
//!
//! The methods of a session fall into three classes:
//!
//! - **input**: `handle_connected`, `handle_frame`, `handle_request`, `handle_timeout`,
//!   `handle_close`;
//! - **output**: `poll_transmit`, `poll_output`, `poll_timeout`;
//! - **questions** that change nothing: `is_ready`, `pending`, `is_asked`.
//!
//! **The invariant: one input, then drain the outputs.** After each input the caller polls
//! `poll_transmit` until `None`, then `poll_output` until `None`, then reads `poll_timeout`. Time
//! never goes back; an early `handle_timeout` is harmless.
//!
//! ```text
//! loop {
//!     while let Some(t) = session.poll_transmit() { socket.write(t.bytes) }
//!     while let Some(o) = session.poll_output()   { deliver(o) }
//!     match wait(socket, commands, session.poll_timeout()) {
//!         Bytes    => while let Some(f) = codec.decode(&mut buffer)? { session.handle_frame(f, now) }
//!         Command  => session.handle_request(token, request, deadline, now)?,
//!         Deadline => session.handle_timeout(now),
//!     }
//! }
//! ```

use std::{error::Error as StdError, fmt, time::Instant};

use bytes::{Bytes, BytesMut};

/// Names one request of the owner of a session. Chosen by the owner, unique in a session's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token(pub u64);

/// Bytes to frames and back, for one end of a connection.
pub trait Codec: Send + 'static {
    /// One message of the wire.
    type Frame: Send + 'static;
    /// Why bytes cannot be a frame. The connection cannot go on after it.
    type Error: StdError + Send + Sync + 'static;

    /// Takes one whole frame off the front of `input`; `None` asks for more bytes.
    ///
    /// The same bytes give the same frames however they are split.
    ///
    /// # Errors
    /// When the bytes break a limit or the framing. The codec stays in that state.
    fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Self::Frame>, Self::Error>;
}

/// Bytes to write, in this order.
#[derive(Debug, Clone)]
pub struct Transmit {
    /// The request that these bytes are, if they are one: once a byte of them is written, the
    /// request may have an effect.
    pub token: Option<Token>,
    /// The bytes.
    pub bytes: Bytes,
}

/// What a session tells its owner.
pub enum Output<S: Session + ?Sized> {
    /// Logged in, booted: requests are taken from now on.
    Ready(S::Ready),
    /// The answer to a request, or that it will not come. Each token ends exactly once.
    Reply {
        /// The request.
        token: Token,
        /// The answer, positive or negative, or why there is none.
        result: Result<S::Reply, NoReply>,
    },
    /// Something that the server said of itself.
    Event(S::Event),
    /// The session is over: close the connection.
    Close(CloseReason),
}

/// Why a request that was taken has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoReply {
    /// The deadline passed. Whether it happened is unknown if it was written.
    #[error("no answer before the deadline")]
    Deadline,
    /// The answer came and broke the protocol (too many list items, a mismatch).
    #[error("the answer broke the protocol")]
    Garbled,
}

/// Why a session wants its connection closed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CloseReason {
    /// The server refused the credentials.
    #[error("the server refused the credentials")]
    Refused,
    /// The server takes nobody now: it starts, stops, or has this account logged in already.
    #[error("the server takes no login now")]
    Busy,
    /// The server said good-bye: it shuts down, or answered our logoff.
    #[error("the server closed the session")]
    Goodbye,
    /// The server said something impossible.
    #[error("protocol violation: {0}")]
    Violation(&'static str),
    /// A step of the login, or a keep-alive, had no answer in time.
    #[error("the server went silent")]
    Silent,
}

/// Why a request was not taken. Nothing was queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotTaken {
    /// Not logged in yet, or closing.
    #[error("the session is not ready")]
    NotReady,
    /// As many requests are open as the session allows.
    #[error("too many requests are open")]
    Full,
}

/// One end of a protocol as a state machine. See the [module](self) for how to drive it.
pub trait Session: Send + 'static {
    /// The codec of the incoming bytes.
    type Codec: Codec;
    /// What can be asked. Built through checked constructors: whatever exists can be sent.
    type Request: Send + 'static;
    /// What comes back.
    type Reply: Send + 'static;
    /// What comes unasked.
    type Event: Send + 'static;
    /// What the login told (version, banner).
    type Ready: Clone + Send + Sync + fmt::Debug + 'static;

    /// The transport is open.
    fn handle_connected(&mut self, now: Instant);

    /// A frame arrived.
    fn handle_frame(&mut self, frame: <Self::Codec as Codec>::Frame, now: Instant);

    /// Queues a request; its answer comes as [`Output::Reply`] with this token.
    ///
    /// # Errors
    /// [`NotTaken`] when nothing was queued.
    fn handle_request(
        &mut self,
        token: Token,
        request: Self::Request,
        deadline: Instant,
        now: Instant,
    ) -> Result<(), NotTaken>;

    /// `poll_timeout` has passed. Early calls are harmless.
    fn handle_timeout(&mut self, now: Instant);

    /// Asks for an orderly end: the protocol's good-bye is queued if it has one, then
    /// [`Output::Close`] follows.
    fn handle_close(&mut self, now: Instant);

    /// Bytes to write; call until `None`.
    fn poll_transmit(&mut self) -> Option<Transmit>;

    /// Answers, events and the end; call until `None`.
    fn poll_output(&mut self) -> Option<Output<Self>>;

    /// When `handle_timeout` wants to be called. Changes with every input.
    fn poll_timeout(&self) -> Option<Instant>;

    /// Whether requests are taken.
    fn is_ready(&self) -> bool;

    /// How many requests wait for their answer (those of the session's own aside).
    fn pending(&self) -> usize;

    /// Whether the server asks too, and waits for answers of ours. Then it is read on although its
    /// events are taken slowly: what is not read cannot be answered.
    fn is_asked(&self) -> bool {
        false
    }
}

impl<S: Session + ?Sized> fmt::Debug for Output<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Answers and events hold personal data: only their kind shows.
        match self {
            Self::Ready(ready) => f.debug_tuple("Ready").field(ready).finish(),
            Self::Reply { token, result } => f
                .debug_struct("Reply")
                .field("token", token)
                .field("result", &result.as_ref().map(|_| ".."))
                .finish(),
            Self::Event(_) => f.write_str("Event(..)"),
            Self::Close(reason) => f.debug_tuple("Close").field(reason).finish(),
        }
    }
}
