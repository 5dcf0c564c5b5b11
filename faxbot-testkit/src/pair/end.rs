//! The ends of a pair: a session with its codec, or a script.

use std::{
    collections::VecDeque,
    fmt,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use faxbot_sip::protocol::session::{Codec, NotTaken, Output, Session, Token};

/// One end of a [`Pair`](super::Pair): takes bytes and time, gives bytes and a deadline.
pub trait End {
    /// The link is open.
    fn connected(&mut self, now: Instant);
    /// Bytes arrived.
    fn receive(&mut self, bytes: &[u8], now: Instant);
    /// Its deadline has passed.
    fn handle_timeout(&mut self, now: Instant);
    /// Bytes to send; asked until `None`.
    fn poll_transmit(&mut self) -> Option<Bytes>;
    /// When it wants `handle_timeout`.
    fn poll_timeout(&self) -> Option<Instant>;
    /// Whether it wants the link closed; nothing is carried from or to it after that.
    fn is_closed(&self) -> bool;
}

/// A session with the codec of its incoming bytes. Its outputs are kept in their order.
pub struct SessionEnd<S: Session> {
    /// The session, for questions and requests.
    pub session: S,
    codec: S::Codec,
    input: BytesMut,
    transmits: VecDeque<Bytes>,
    outputs: Vec<Output<S>>,
    broken: Option<String>,
    closed: bool,
}

impl<S: Session> SessionEnd<S> {
    /// A new session and its codec.
    pub fn new(session: S, codec: S::Codec) -> Self {
        Self {
            session,
            codec,
            input: BytesMut::new(),
            transmits: VecDeque::new(),
            outputs: Vec::new(),
            broken: None,
            closed: false,
        }
    }

    /// Queues a request.
    ///
    /// # Errors
    /// [`NotTaken`] as the session says.
    pub fn request(
        &mut self,
        token: Token,
        request: S::Request,
        deadline: Instant,
        now: Instant,
    ) -> Result<(), NotTaken> {
        let taken = self.session.handle_request(token, request, deadline, now);
        self.drain();
        taken
    }

    /// Takes what the session told since the last call.
    pub fn take_outputs(&mut self) -> Vec<Output<S>> {
        self.drain();
        std::mem::take(&mut self.outputs)
    }

    /// Why the codec gave up, if it did.
    pub fn broken(&self) -> Option<&str> {
        self.broken.as_deref()
    }

    /// After each input, as the session's contract asks.
    fn drain(&mut self) {
        while let Some(transmit) = self.session.poll_transmit() {
            self.transmits.push_back(transmit.bytes);
        }
        while let Some(output) = self.session.poll_output() {
            self.closed |= matches!(output, Output::Close(_));
            self.outputs.push(output);
        }
    }
}

impl<S: Session> fmt::Debug for SessionEnd<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionEnd")
            .field("pending", &self.session.pending())
            .field("outputs", &self.outputs)
            .field("closed", &self.closed)
            .finish_non_exhaustive()
    }
}

impl<S: Session> End for SessionEnd<S> {
    fn connected(&mut self, now: Instant) {
        self.session.handle_connected(now);
        self.drain();
    }

    fn receive(&mut self, bytes: &[u8], now: Instant) {
        self.input.extend_from_slice(bytes);
        while self.broken.is_none() && !self.closed {
            match self.codec.decode(&mut self.input) {
                Ok(Some(frame)) => {
                    self.session.handle_frame(frame, now);
                    self.drain();
                }
                Ok(None) => return,
                Err(error) => {
                    self.broken = Some(error.to_string());
                    self.closed = true;
                }
            }
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.session.handle_timeout(now);
        self.drain();
    }

    fn poll_transmit(&mut self) -> Option<Bytes> {
        self.drain();
        self.transmits.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.session.poll_timeout()
    }

    fn is_closed(&self) -> bool {
        self.closed
    }
}

enum Step {
    Say(Bytes),
    Expect(Vec<u8>),
    Wait(Duration),
    Close,
}

/// An end that follows a script: says, waits for a text, waits for a time.
#[derive(Default)]
pub struct ScriptedEnd {
    steps: VecDeque<Step>,
    received: Vec<u8>,
    searched: usize,
    wait: Option<Instant>,
    out: VecDeque<Bytes>,
    closed: bool,
}

impl ScriptedEnd {
    /// A script without steps.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says these bytes.
    #[must_use]
    pub fn say(mut self, bytes: impl Into<Bytes>) -> Self {
        self.steps.push_back(Step::Say(bytes.into()));
        self
    }

    /// Waits until this text has come, behind what was expected before.
    #[must_use]
    pub fn expect(mut self, text: impl Into<Vec<u8>>) -> Self {
        self.steps.push_back(Step::Expect(text.into()));
        self
    }

    /// Waits.
    #[must_use]
    pub fn wait(mut self, time: Duration) -> Self {
        self.steps.push_back(Step::Wait(time));
        self
    }

    /// Closes the link.
    #[must_use]
    pub fn close(mut self) -> Self {
        self.steps.push_back(Step::Close);
        self
    }

    /// Steps that were not reached.
    pub fn left(&self) -> usize {
        self.steps.len()
    }

    /// All bytes that came.
    pub fn received(&self) -> &[u8] {
        &self.received
    }

    fn run(&mut self, now: Instant) {
        while let Some(step) = self.steps.front() {
            match step {
                Step::Say(bytes) => self.out.push_back(bytes.clone()),
                Step::Expect(text) => {
                    let rest = self.received.get(self.searched..).unwrap_or_default();
                    // An empty text is always there.
                    let found = if text.is_empty() {
                        Some(0)
                    } else {
                        rest.windows(text.len())
                            .position(|window| window == text.as_slice())
                    };
                    let Some(found) = found else { return };
                    self.searched += found + text.len();
                }
                Step::Wait(time) => {
                    let until = *self.wait.get_or_insert(now + *time);
                    if now < until {
                        return;
                    }
                    self.wait = None;
                }
                Step::Close => self.closed = true,
            }
            self.steps.pop_front();
        }
    }
}

impl fmt::Debug for ScriptedEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScriptedEnd")
            .field("left", &self.steps.len())
            .field("received", &self.received.len())
            .field("closed", &self.closed)
            .finish_non_exhaustive()
    }
}

impl End for ScriptedEnd {
    fn connected(&mut self, now: Instant) {
        self.run(now);
    }

    fn receive(&mut self, bytes: &[u8], now: Instant) {
        self.received.extend_from_slice(bytes);
        self.run(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.run(now);
    }

    fn poll_transmit(&mut self) -> Option<Bytes> {
        self.out.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.wait
    }

    fn is_closed(&self) -> bool {
        self.closed && self.out.is_empty()
    }
}
