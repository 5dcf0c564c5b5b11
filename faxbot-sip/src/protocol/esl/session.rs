//! The session of a client: login, order of answers, jobs, keep-alive, good-bye.

use std::{borrow::Cow, fmt, time::Instant};

use bytes::Bytes;

use super::{
    codec::EslCodec,
    command::{Answer, Command},
    config::EslConfig,
    frame::{Frame, Kind},
    login::{Login, Ready},
    pending::{Answered, Own, Queue},
};
use crate::protocol::{
    keepalive::Due,
    outbox::Outbox,
    session::{CloseReason, NoReply, NotTaken, Output, Session, Token, Transmit},
};

/// The answer to a command.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Reply {
    /// What the server answered at once.
    pub frame: Frame,
    /// The `BACKGROUND_JOB` of a `bgapi`, in the format of the events. `None` for other commands,
    /// for a job that was refused, and where [`Ready::jobs`] is false.
    pub job: Option<Frame>,
}

impl Reply {
    /// What the command said: the output of the job, the body of an API response, or the
    /// `Reply-Text`.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        let Some(job) = &self.job else {
            return self.frame.text();
        };
        match job.event() {
            Ok(Some(event)) => {
                let body = event.body().unwrap_or_default();
                Cow::Owned(String::from_utf8_lossy(body).into_owned())
            }
            _ => Cow::Borrowed(""),
        }
    }

    /// Whether it says `+OK`. Not every success does, and some failures do: ask the command's own
    /// words (`docs/wire/esl.md`).
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.text().starts_with("+OK")
    }

    /// Whether it starts with a word of failure: `-ERR`, `-USAGE`, `-STUN`, `INVALID COMMAND!` and
    /// their like.
    #[must_use]
    pub fn is_error(&self) -> bool {
        let text = self.text();
        let word = text.strip_prefix('-').and_then(|it| it.chars().next());
        word.is_some_and(|c| c.is_ascii_uppercase()) || text.starts_with("INVALID COMMAND!")
    }

    /// What follows `-ERR`, trimmed, such as `USER_BUSY`.
    #[must_use]
    pub fn error(&self) -> Option<String> {
        let text = self.text();
        Some(text.strip_prefix("-ERR")?.trim().to_owned())
    }
}

/// The client end of an event socket, inbound or outbound. See [`Session`] for how to drive it.
///
/// Its events are frames of every kind that is no answer: events, log lines, rejections, and
/// disconnect notices. A notice with linger says that the channel is gone while the connection
/// goes on; any other is followed by the close.
pub struct EslSession {
    /// `None` on an outbound connection, which FreeSWITCH opened.
    login: Option<Login>,
    config: EslConfig,
    state: State,
    queue: Queue,
    ready: Ready,
    out: Outbox<Self>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    /// The server has to ask for the login.
    Greeting,
    /// `auth` or `connect` was sent.
    Login,
    /// The subscription to jobs was sent.
    Setup,
    Ready,
    /// `exit` was sent.
    Closing,
    Closed,
}

impl EslSession {
    /// A session for a connection that we opened. `random` must be 16 fresh random bytes: they make
    /// the `Job-UUID`s unguessable, so that a forged event cannot answer a request.
    #[must_use]
    pub fn new(login: Login, config: EslConfig, random: [u8; 16]) -> Self {
        Self::start(Some(login), config, random)
    }

    /// A session for a connection that FreeSWITCH opened, by its application `socket`: there is no
    /// login, and we speak first. [`Ready::channel`] has the channel.
    #[must_use]
    pub fn outbound(config: EslConfig, random: [u8; 16]) -> Self {
        Self::start(None, config, random)
    }

    fn start(login: Option<Login>, config: EslConfig, random: [u8; 16]) -> Self {
        let queue = Queue::new(random, config.max_pending);
        Self {
            login,
            config,
            state: State::Idle,
            queue,
            ready: Ready::default(),
            out: Outbox::new(),
        }
    }

    fn close(&mut self, reason: CloseReason) {
        self.state = State::Closed;
        self.out.close(reason);
    }

    /// Queues a command of the session's own.
    fn send(&mut self, own: Own, bytes: Bytes) {
        self.queue.own(own);
        self.out.write(None, bytes);
    }

    fn on_greeting(&mut self) {
        match (&self.login, self.state) {
            (Some(login), State::Greeting) => {
                let bytes = login.to_bytes();
                self.state = State::Login;
                self.send(Own::Login, bytes);
            }
            _ => self.close(CloseReason::Violation("a request for a login out of place")),
        }
    }

    fn on_login(&mut self, reply: &Frame, now: Instant) {
        let text = reply.text();
        if text.starts_with("-ERR") {
            return self.close(CloseReason::Refused);
        }
        if !text.starts_with("+OK") {
            return self.close(CloseReason::Violation(
                "an answer to the login that is none",
            ));
        }
        self.ready = Ready::of(reply);
        self.subscribe(now);
    }

    fn on_connect(&mut self, reply: Frame, now: Instant) {
        if !reply.is_channel() {
            return self.close(CloseReason::Violation("no channel in the reply to connect"));
        }
        self.ready.channel = Some(reply);
        self.subscribe(now);
    }

    fn subscribe(&mut self, now: Instant) {
        self.out.watch(self.config.keepalive(now));
        self.state = State::Setup;
        let line = format!("event {} BACKGROUND_JOB\n\n", self.config.own.format.word());
        self.send(Own::Subscribe, line.into());
    }

    fn on_subscribed(&mut self, reply: &Frame) {
        self.ready.jobs = reply.text().starts_with("+OK");
        self.state = State::Ready;
        self.out.stop_timer();
        self.out.tell(Output::Ready(self.ready.clone()));
    }

    fn on_answer(&mut self, frame: Frame, now: Instant) {
        match self.queue.answer(frame, self.ready.jobs) {
            Answered::Own(Own::Login, reply) => self.on_login(&reply, now),
            Answered::Own(Own::Connect, reply) => self.on_connect(reply, now),
            // While it closes, a late set-up opens nothing.
            Answered::Own(Own::Subscribe, reply) if self.state == State::Setup => {
                self.on_subscribed(&reply);
            }
            Answered::Own(Own::Exit, _) => self.close(CloseReason::Goodbye),
            Answered::Own(Own::Subscribe | Own::Ping, _) | Answered::Kept => {}
            Answered::Done(token, result) => {
                self.out.reply(token, result);
            }
            // Any later answer would reach the wrong caller.
            Answered::Unasked => {
                self.close(CloseReason::Violation("an answer that nobody asked for"));
            }
        }
    }

    fn on_event(&mut self, frame: Frame) {
        match self.queue.event(frame) {
            Ok(Answered::Done(token, result)) => {
                self.out.reply(token, result);
            }
            Ok(_) => {}
            Err(frame) => self.out.tell(Output::Event(frame)),
        }
    }

    fn on_end(&mut self, frame: Frame) {
        let reason = match (frame.kind(), self.state) {
            (Kind::Rejection, _) => CloseReason::Refused,
            (_, State::Greeting | State::Login | State::Setup) => CloseReason::Busy,
            _ => CloseReason::Goodbye,
        };
        self.out.tell(Output::Event(frame));
        self.close(reason);
    }

    fn expire_requests(&mut self, now: Instant) {
        let (out, table) = (&mut self.out, &mut self.queue);
        while let Some(token) = table.expire(now, |token| !out.take_back(token)) {
            out.reply(token, Err(NoReply::Deadline));
        }
    }
}

impl Session for EslSession {
    type Codec = EslCodec;
    type Request = Command;
    type Reply = Reply;
    type Event = Frame;
    type Ready = Ready;

    fn handle_connected(&mut self, now: Instant) {
        if self.state != State::Idle {
            return;
        }
        self.out.set_timer(now, self.config.login_timeout);
        if self.login.is_some() {
            self.state = State::Greeting;
        } else {
            self.state = State::Login;
            self.send(Own::Connect, Bytes::from_static(b"connect\n\n"));
        }
    }

    fn handle_frame(&mut self, frame: Frame, now: Instant) {
        if matches!(self.state, State::Idle | State::Closed) {
            return;
        }
        self.out.heard(now);
        let up = !matches!(self.state, State::Greeting | State::Login);
        match frame.kind() {
            Kind::AuthRequest => self.on_greeting(),
            Kind::Rejection => self.on_end(frame),
            Kind::Disconnect if frame.is_linger() && up => {
                self.out.tell(Output::Event(frame));
            }
            Kind::Disconnect => self.on_end(frame),
            _ if self.state == State::Greeting => {
                self.close(CloseReason::Violation("no event socket of FreeSWITCH"));
            }
            Kind::Reply | Kind::ApiResponse => self.on_answer(frame, now),
            Kind::Event(_) if up => self.on_event(frame),
            Kind::Log | Kind::Other if up => self.out.tell(Output::Event(frame)),
            _ => {}
        }
    }

    fn handle_request(
        &mut self,
        token: Token,
        request: Command,
        deadline: Instant,
        now: Instant,
    ) -> Result<(), NotTaken> {
        if !self.is_ready() {
            return Err(NotTaken::NotReady);
        }
        if self.queue.is_full() {
            return Err(NotTaken::Full);
        }
        if !self.out.in_time(token, deadline, now) {
            return Ok(());
        }
        let answer = request.expected();
        let job = self.queue.open(token, answer, deadline);
        let job = (answer == Answer::Job).then_some(job);
        self.out
            .write(Some(token), request.with_job(job.as_deref()));
        Ok(())
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.state == State::Closed {
            return;
        }
        self.expire_requests(now);
        if self.out.is_timer_over(now) {
            return self.close(CloseReason::Silent);
        }
        match self.out.check(now, self.queue.silent_until()) {
            Due::Nothing => {}
            // Any account gets an answer, if only a refusal.
            Due::Ping => self.send(Own::Ping, Bytes::from_static(b"api uptime\n\n")),
            Due::Silent => self.close(CloseReason::Silent),
        }
    }

    fn handle_close(&mut self, now: Instant) {
        match self.state {
            State::Setup | State::Ready => {
                self.send(Own::Exit, Bytes::from_static(b"exit\n\n"));
                self.state = State::Closing;
                self.out.set_timer(now, self.config.close_timeout);
            }
            State::Closing | State::Closed => {}
            State::Idle | State::Greeting | State::Login => self.close(CloseReason::Goodbye),
        }
    }

    fn poll_transmit(&mut self) -> Option<Transmit> {
        self.out.next_transmit()
    }

    fn poll_output(&mut self) -> Option<Output<Self>> {
        self.out.next_output()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        if self.state == State::Closed {
            return None;
        }
        let queue = &self.queue;
        self.out
            .timeout(queue.silent_until(), queue.next_deadline())
    }

    fn is_ready(&self) -> bool {
        self.state == State::Ready
    }

    fn pending(&self) -> usize {
        self.queue.live()
    }
}

impl fmt::Debug for EslSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EslSession")
            .field("state", &self.state)
            .field("pending", &self.queue.live())
            .finish_non_exhaustive()
    }
}
