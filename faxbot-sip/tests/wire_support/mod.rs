//! Two ends of a connection and a clock that stands still, for the tests of every protocol.
#![allow(dead_code, reason = "each test program uses its own part")]

pub(crate) mod ami;
pub(crate) mod esl;
pub(crate) mod yate;

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use faxbot_sip::protocol::session::{
    CloseReason, Codec, NoReply, NotTaken, Output, Session, Token,
};

pub(crate) const RANDOM: [u8; 16] = *b"0123456789abcdef";

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// All frames of `pieces`, and what is left.
pub(crate) fn decode<C: Codec>(
    mut codec: C,
    pieces: impl IntoIterator<Item = Bytes>,
) -> (Vec<C::Frame>, Bytes) {
    let mut buffer = BytesMut::new();
    let mut frames = Vec::new();
    for piece in pieces {
        buffer.extend_from_slice(&piece);
        while let Some(frame) = codec.decode(&mut buffer).expect("no limit is broken") {
            frames.push(frame);
        }
    }
    (frames, buffer.freeze())
}

/// The one frame that these bytes are.
pub(crate) fn one<C: Codec>(codec: C, bytes: Bytes) -> C::Frame {
    let (mut frames, rest) = decode(codec, [bytes]);
    assert_eq!((frames.len(), rest.len()), (1, 0));
    frames.remove(0)
}

pub(crate) type ReplyResult<S> = Result<<S as Session>::Reply, NoReply>;

type Frame<S> = <<S as Session>::Codec as Codec>::Frame;

/// A session, the decoder of its server, and everything that came out of it.
///
/// What is said in the words of one protocol stands in its module.
pub(crate) struct Line<S: Session> {
    pub(crate) session: S,
    pub(crate) now: Instant,
    server: S::Codec,
    client: S::Codec,
    to_client: BytesMut,
    /// What the server saw and the test has not taken.
    pub(crate) sent: Vec<Frame<S>>,
    pub(crate) ready: Vec<S::Ready>,
    pub(crate) replies: Vec<(Token, ReplyResult<S>)>,
    pub(crate) events: Vec<S::Event>,
    pub(crate) closed: Option<CloseReason>,
}

impl<S: Session> Line<S> {
    /// The connection opens.
    pub(crate) fn open(session: S, client: S::Codec, server: S::Codec) -> Self {
        let now = Instant::now();
        let mut line = Self {
            session,
            now,
            server,
            client,
            to_client: BytesMut::new(),
            sent: Vec::new(),
            ready: Vec::new(),
            replies: Vec::new(),
            events: Vec::new(),
            closed: None,
        };
        line.session.handle_connected(now);
        line.drain();
        line
    }

    pub(crate) fn drain(&mut self) {
        let mut wire = BytesMut::new();
        while let Some(transmit) = self.session.poll_transmit() {
            wire.extend_from_slice(&transmit.bytes);
        }
        while let Some(frame) = self.server.decode(&mut wire).unwrap() {
            self.sent.push(frame);
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

    /// The server writes these bytes.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.to_client.extend_from_slice(bytes);
        while let Some(frame) = self.client.decode(&mut self.to_client).unwrap() {
            self.session.handle_frame(frame, self.now);
            self.drain();
        }
    }

    pub(crate) fn request(&mut self, token: u64, request: S::Request, within: Duration) {
        self.try_request(token, request, within).unwrap();
    }

    pub(crate) fn try_request(
        &mut self,
        token: u64,
        request: S::Request,
        within: Duration,
    ) -> Result<(), NotTaken> {
        let deadline = self.now + within;
        let taken = self
            .session
            .handle_request(Token(token), request, deadline, self.now);
        self.drain();
        taken
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

    /// The oldest answer.
    pub(crate) fn reply(&mut self) -> (u64, ReplyResult<S>) {
        let (token, result) = self.replies.remove(0);
        (token.0, result)
    }
}
