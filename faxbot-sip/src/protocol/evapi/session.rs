//! A connection to `evapi`: no login, no answers, only events.

use std::{
    fmt,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::codec::NetstringCodec;
use crate::protocol::{
    config::SessionConfig,
    keepalive::{SHORTEST, after},
    outbox::Outbox,
    session::{CloseReason, NotTaken, Output, Session, Token, Transmit},
};

/// Bytes that Kamailio reads of one message (`CLIENT_BUFFER_SIZE` in `evapi_dispatch.c`), less its frame.
const MAX_MESSAGE: usize = 32_768 - 16;

/// No event, and no harm (`evapi_edges`): a connection that is gone without a word shows when
/// something is written to it.
const NOTHING: &[u8] = b"0:,";

/// Times and limits of a session. `login_timeout`, `ping_timeout` and `close_timeout` have no meaning
/// here: the server says nothing that could be waited for.
pub type EvapiConfig = SessionConfig<EvapiOptions>;

/// What only evapi has.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct EvapiOptions {
    /// How long a new connection is watched before it counts as open, unless something comes before.
    /// A server with all its places taken (`max_clients`, 8 by default) accepts and closes at once.
    /// Default 250 ms.
    pub settle: Duration,
}

impl Default for EvapiOptions {
    fn default() -> Self {
        Self {
            settle: Duration::from_millis(250),
        }
    }
}

impl EvapiConfig {
    /// Sets how long a new connection is watched before it counts as open.
    #[must_use]
    pub fn with_settle(mut self, settle: Duration) -> Self {
        self.own.settle = settle;
        self
    }
}

/// A message to the server's `event_route[evapi:message-received]`.
#[derive(Clone, PartialEq, Eq)]
pub struct Message(Bytes);

/// Why a text is no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidMessage {
    /// Kamailio takes an empty one for nothing.
    #[error("the message is empty")]
    Empty,
    /// It would not fit into the server's buffer, which drops it and what follows.
    #[error("the message has more than {max} bytes")]
    TooLong {
        /// The limit in bytes.
        max: usize,
    },
}

impl Message {
    /// A message.
    ///
    /// # Errors
    /// [`InvalidMessage`] for what the server does not take.
    pub fn new(payload: &[u8]) -> Result<Self, InvalidMessage> {
        match payload.len() {
            0 => Err(InvalidMessage::Empty),
            length if length > MAX_MESSAGE => Err(InvalidMessage::TooLong { max: MAX_MESSAGE }),
            _ => Ok(Self(NetstringCodec::encode(payload))),
        }
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("bytes", &self.0.len())
            .finish()
    }
}

/// A message waits to be written; nothing more is told of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent;

/// The client end of a connection to evapi. An event is the payload of a netstring that is not empty.
pub struct EvapiSession {
    config: EvapiConfig,
    state: State,
    /// When the server is written to, if nothing came or went before. `None` until it is ready.
    nudge: Option<Instant>,
    out: Outbox<Self>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    /// Open, and not yet taken for good.
    Settling,
    Ready,
    Closed,
}

impl EvapiSession {
    /// A session for one connection.
    #[must_use]
    pub fn new(config: EvapiConfig) -> Self {
        Self {
            config,
            state: State::Idle,
            nudge: None,
            out: Outbox::new(),
        }
    }

    fn set_ready(&mut self, now: Instant) {
        self.state = State::Ready;
        self.rests(now);
        self.out.stop_timer();
        self.out.tell(Output::Ready(()));
    }

    fn rests(&mut self, now: Instant) {
        let interval = self.config.ping_interval.max(SHORTEST);
        self.nudge = Some(after(now, interval));
    }
}

impl Session for EvapiSession {
    type Codec = NetstringCodec;
    type Request = Message;
    type Reply = Sent;
    type Event = Bytes;
    type Ready = ();

    fn handle_connected(&mut self, now: Instant) {
        if self.state == State::Idle {
            self.state = State::Settling;
            self.out.set_timer(now, self.config.own.settle);
        }
    }

    fn handle_frame(&mut self, frame: Bytes, now: Instant) {
        match self.state {
            State::Idle | State::Closed => return,
            State::Settling => self.set_ready(now),
            State::Ready => self.rests(now),
        }
        if !frame.is_empty() {
            self.out.tell(Output::Event(frame));
        }
    }

    fn handle_request(
        &mut self,
        token: Token,
        request: Message,
        deadline: Instant,
        now: Instant,
    ) -> Result<(), NotTaken> {
        if !self.is_ready() {
            return Err(NotTaken::NotReady);
        }
        if self.out.in_time(token, deadline, now) {
            self.out.write(Some(token), request.0);
            self.out.reply(token, Ok(Sent));
            self.rests(now);
        }
        Ok(())
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.state == State::Settling && self.out.is_timer_over(now) {
            self.set_ready(now);
        }
        if self.state == State::Ready && self.nudge.is_some_and(|at| at <= now) {
            self.out.write(None, Bytes::from_static(NOTHING));
            self.rests(now);
        }
    }

    fn handle_close(&mut self, _now: Instant) {
        if self.state != State::Closed {
            self.state = State::Closed;
            self.nudge = None;
            self.out.close(CloseReason::Goodbye);
        }
    }

    fn poll_transmit(&mut self) -> Option<Transmit> {
        self.out.next_transmit()
    }

    fn poll_output(&mut self) -> Option<Output<Self>> {
        self.out.next_output()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.out.timeout(None, self.nudge)
    }

    fn is_ready(&self) -> bool {
        self.state == State::Ready
    }

    fn pending(&self) -> usize {
        0
    }
}

impl fmt::Debug for EvapiSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EvapiSession")
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::protocol::session::NoReply;

    fn session() -> (EvapiSession, Instant) {
        let now = Instant::now();
        let mut session = EvapiSession::new(EvapiConfig::new());
        session.handle_connected(now);
        (session, now)
    }

    /// What the session tells, as words, and what it writes.
    fn drain(session: &mut EvapiSession) -> (Vec<String>, Vec<u8>) {
        let mut written = Vec::new();
        while let Some(transmit) = session.poll_transmit() {
            written.extend_from_slice(&transmit.bytes);
        }
        let mut told = Vec::new();
        while let Some(output) = session.poll_output() {
            told.push(match output {
                Output::Ready(()) => "ready".to_owned(),
                Output::Event(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
                Output::Reply { result, .. } => format!("{result:?}"),
                Output::Close(reason) => format!("{reason:?}"),
            });
        }
        (told, written)
    }

    #[test]
    fn a_connection_counts_as_open_with_the_first_event_or_when_it_stays_open() {
        let (mut session, now) = session();
        assert!(!session.is_ready());
        session.handle_frame(Bytes::from_static(b"hello"), now);
        assert_eq!(drain(&mut session).0, ["ready", "hello"]);

        let (mut session, now) = self::session();
        assert_eq!(
            session.poll_timeout(),
            Some(now + Duration::from_millis(250))
        );
        session.handle_timeout(now + Duration::from_millis(249));
        assert!(drain(&mut session).0.is_empty());
        session.handle_timeout(now + Duration::from_millis(250));
        assert_eq!(drain(&mut session).0, ["ready"]);
    }

    #[test]
    fn an_empty_netstring_is_no_event() {
        let (mut session, now) = session();
        session.handle_frame(Bytes::new(), now);
        assert_eq!(drain(&mut session).0, ["ready"]);
    }

    #[test]
    fn a_silent_server_is_written_to_and_need_not_answer() {
        let (mut session, now) = session();
        session.handle_frame(Bytes::from_static(b"hello"), now);
        drain(&mut session);
        for round in 1..4 {
            let at = session.poll_timeout().unwrap();
            assert_eq!(at, now + round * Duration::from_secs(15));
            session.handle_timeout(at);
            assert_eq!(drain(&mut session), (vec![], NOTHING.to_vec()));
        }
    }

    #[test]
    fn a_keep_alive_that_is_too_short_is_raised_and_one_that_is_shorter_than_the_watch_waits() {
        for interval in [Duration::ZERO, Duration::from_millis(100)] {
            let now = Instant::now();
            let config = EvapiConfig::new().with_ping(interval, interval);
            let mut session = EvapiSession::new(config);
            session.handle_connected(now);
            // Not before the connection counts as open: nothing would be written yet.
            let mut at = now + Duration::from_millis(250);
            assert_eq!(session.poll_timeout(), Some(at), "{interval:?}");
            session.handle_timeout(at);
            assert_eq!(drain(&mut session), (vec!["ready".to_owned()], vec![]));
            for _ in 0..3 {
                at += Duration::from_millis(100);
                assert_eq!(session.poll_timeout(), Some(at), "{interval:?}");
                session.handle_timeout(at);
                assert_eq!(drain(&mut session), (vec![], NOTHING.to_vec()));
            }
        }
    }

    #[test]
    fn a_message_is_written_and_answered_by_ourselves() {
        let (mut session, now) = session();
        let message = Message::new(b"hello").unwrap();
        let deadline = now + Duration::from_secs(1);
        let early = session.handle_request(Token(1), message.clone(), deadline, now);
        assert_eq!(early, Err(NotTaken::NotReady));
        session.handle_frame(Bytes::new(), now);
        drain(&mut session);
        let taken = session.handle_request(Token(2), message.clone(), deadline, now);
        assert_eq!(taken, Ok(()));
        assert_eq!(
            drain(&mut session),
            (vec!["Ok(Sent)".to_owned()], b"5:hello,".to_vec())
        );
        session.handle_request(Token(3), message, now, now).unwrap();
        let late = format!("Err({:?})", NoReply::Deadline);
        assert_eq!(drain(&mut session), (vec![late], vec![]));
    }

    #[test]
    fn a_message_that_the_server_would_drop_cannot_be_made() {
        assert_eq!(Message::new(b""), Err(InvalidMessage::Empty));
        assert!(Message::new(&vec![b'x'; MAX_MESSAGE]).is_ok());
        assert!(Message::new(&vec![b'x'; MAX_MESSAGE + 1]).is_err());
        assert_eq!(
            format!("{:?}", Message::new(b"secret").unwrap()),
            "Message { bytes: 9 }"
        );
    }

    #[test]
    fn after_the_close_nothing_more_comes() {
        let (mut session, now) = session();
        session.handle_close(now);
        session.handle_close(now);
        session.handle_frame(Bytes::from_static(b"late"), now);
        session.handle_timeout(now + Duration::from_secs(60));
        assert_eq!(drain(&mut session).0, ["Goodbye"]);
        assert_eq!(session.poll_timeout(), None);
    }

    proptest! {
        #[test]
        fn no_order_of_inputs_breaks_the_session(
            inputs in prop::collection::vec((0_u8..5, 0_u64..40), 0..60),
        ) {
            let start = Instant::now();
            let mut now = start;
            let mut session = EvapiSession::new(EvapiConfig::new());
            let (mut ready, mut closed) = (0, 0);
            for (token, (kind, wait)) in (0..).zip(inputs) {
                now += Duration::from_secs(wait);
                match kind {
                    0 => session.handle_connected(now),
                    1 => session.handle_frame(Bytes::from_static(b"x"), now),
                    2 => {
                        let message = Message::new(b"m").unwrap();
                        let taken = session.handle_request(Token(token), message, now, now);
                        prop_assert_eq!(taken.is_ok(), session.is_ready());
                    }
                    3 => session.handle_timeout(now),
                    _ => session.handle_close(now),
                }
                for told in drain(&mut session).0 {
                    prop_assert_eq!(closed, 0);
                    ready += usize::from(told == "ready");
                    closed += usize::from(told == "Goodbye");
                }
                if session.is_ready() {
                    prop_assert!(session.poll_timeout().is_some_and(|at| at > now || kind != 3));
                }
            }
            prop_assert!(ready <= 1 && closed <= 1);
        }
    }
}
