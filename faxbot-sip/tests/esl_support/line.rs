//! Two ends of an event socket and a clock that stands still.

use std::time::{Duration, Instant};

use bytes::BytesMut;
use faxbot_sip::protocol::{
    esl::{
        Command, EslCodec, EslConfig, EslSession, Format, Frame, Login, MAX_FRAME, Ready, Reply,
        Role, server,
    },
    session::{CloseReason, Codec, NoReply, NotTaken, Output, Session, Token},
};

pub(crate) const RANDOM: [u8; 16] = *b"0123456789abcdef";

pub(crate) const SECOND: Duration = Duration::from_secs(1);

pub(crate) type ReplyResult = Result<Reply, NoReply>;

pub(crate) fn login() -> Login {
    Login::password("ClueCon").unwrap()
}

/// A session, the decoder of its server, and everything that came out of it.
pub(crate) struct Line {
    pub(crate) session: EslSession,
    pub(crate) now: Instant,
    server: EslCodec,
    client: EslCodec,
    to_client: BytesMut,
    /// Commands that the server saw and the test has not taken.
    pub(crate) commands: Vec<Frame>,
    pub(crate) ready: Vec<Ready>,
    pub(crate) replies: Vec<(Token, ReplyResult)>,
    pub(crate) events: Vec<Frame>,
    pub(crate) closed: Option<CloseReason>,
}

impl Line {
    pub(crate) fn new(session: EslSession) -> Self {
        let now = Instant::now();
        let mut line = Self {
            session,
            now,
            server: EslCodec::new(Role::Server, MAX_FRAME),
            client: EslCodec::new(Role::Client, MAX_FRAME),
            to_client: BytesMut::new(),
            commands: Vec::new(),
            ready: Vec::new(),
            replies: Vec::new(),
            events: Vec::new(),
            closed: None,
        };
        line.session.handle_connected(now);
        line.drain();
        line
    }

    pub(crate) fn inbound(config: EslConfig) -> Self {
        Self::new(EslSession::new(login(), config, RANDOM))
    }

    /// Logged in and subscribed, everything so far taken.
    pub(crate) fn up() -> Self {
        Self::up_with(EslConfig::new())
    }

    pub(crate) fn up_with(config: EslConfig) -> Self {
        let mut line = Self::inbound(config);
        line.bytes(&server::auth_request());
        assert_eq!(line.command(), "auth ClueCon");
        line.reply_ok("accepted");
        assert_eq!(line.command(), "event json BACKGROUND_JOB");
        line.reply_ok("event listener enabled json");
        assert!(line.session.is_ready());
        line.ready.clear();
        line
    }

    pub(crate) fn drain(&mut self) {
        let mut wire = BytesMut::new();
        while let Some(transmit) = self.session.poll_transmit() {
            wire.extend_from_slice(&transmit.bytes);
        }
        while let Some(command) = self.server.decode(&mut wire).unwrap() {
            self.commands.push(command);
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

    /// The next command that the server saw.
    pub(crate) fn command(&mut self) -> String {
        let command = self.commands.remove(0);
        String::from_utf8(command.command().unwrap().to_vec()).unwrap()
    }

    /// The `Job-UUID` of the next command.
    pub(crate) fn job(&mut self) -> String {
        let command = self.commands.remove(0);
        command.get_str("Job-UUID").unwrap().into_owned()
    }

    pub(crate) fn reply_ok(&mut self, text: &str) {
        self.bytes(&server::reply(&format!("+OK {text}"), &[]));
    }

    /// The reply to a `bgapi`.
    pub(crate) fn accept(&mut self, job: &str) {
        let text = format!("+OK Job-UUID: {job}");
        self.bytes(&server::reply(&text, &[("Job-UUID", job)]));
    }

    /// The result of a job.
    pub(crate) fn finish(&mut self, format: Format, job: &str, body: &str) {
        let headers = [("Event-Name", "BACKGROUND_JOB"), ("Job-UUID", job)];
        self.bytes(&server::event(format, &headers, Some(body.as_bytes())));
    }

    pub(crate) fn request(&mut self, token: u64, command: Command, within: Duration) {
        self.try_request(token, command, within).unwrap();
    }

    pub(crate) fn try_request(
        &mut self,
        token: u64,
        command: Command,
        within: Duration,
    ) -> Result<(), NotTaken> {
        let deadline = self.now + within;
        let taken = self
            .session
            .handle_request(Token(token), command, deadline, self.now);
        self.drain();
        taken
    }

    /// Asks with `api` and takes the command.
    pub(crate) fn api(&mut self, token: u64) {
        let command = Command::api("eval", &token.to_string()).unwrap();
        self.request(token, command, 10 * SECOND);
        assert_eq!(self.command(), format!("api eval {token}"));
    }

    /// Asks with `bgapi`; the `Job-UUID`.
    pub(crate) fn bgapi(&mut self, token: u64) -> String {
        let command = Command::bgapi("eval", &token.to_string()).unwrap();
        self.request(token, command, 10 * SECOND);
        self.job()
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

    /// The oldest answer: its token and its text.
    pub(crate) fn answer(&mut self) -> (u64, Result<String, NoReply>) {
        let (token, result) = self.replies.remove(0);
        (token.0, result.map(|reply| reply.text().into_owned()))
    }
}
