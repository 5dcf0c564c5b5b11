//! The session of a module: login, answers, requests of the engine, heartbeat, good-bye.

use std::{fmt, time::Instant};

use bytes::Bytes;

use super::{
    codec::YateCodec,
    command::{Command, Form},
    config::YateConfig,
    event::{Event, Reply},
    frame::{Frame, Kind, Verb},
    incoming::{Incoming, Open, declined},
    login::{Login, Ready, Refusal},
    pending::{Table, Who},
};
use crate::protocol::{
    keepalive::{Due, KeepAlive, after},
    outbox::Outbox,
    session::{CloseReason, NoReply, NotTaken, Output, Session, Token, Transmit},
};

/// Comes each second.
const TIMER: &str = "engine.timer";

/// Asks for something that the engine knows without any of its handlers.
const PING: &str = "engine.runid";

/// What every connection asks first, by name and by line: the largest buffer for our lines
/// (`MAX_INCOMING_LINE` in `extmodule.cpp`), and what [`Ready`] tells.
const QUERIES: [(&str, &str); 5] = [
    ("bufsize", "bufsize:65536"),
    ("timeout", "timeout:"),
    ("engine.version", "engine.version:"),
    (PING, "engine.runid:"),
    ("engine.nodename", "engine.nodename:"),
];

/// Messages that may come between the first command of the login and the last answer.
const MAX_EARLY: usize = 4096;

/// Their bytes.
const MAX_EARLY_BYTES: usize = 8 * 1024 * 1024;

/// The client end of the external module port. See [`Session`] for how to drive it.
///
/// Messages of installed names are [`Event::Asked`]. Their answer is a request too
/// ([`Incoming::answer`]), which ends at once as [`Reply::Sent`]; where none comes in time, the session
/// answers `false`, so that the engine never waits for longer.
pub struct YateSession {
    login: Login,
    config: YateConfig,
    state: State,
    table: Table,
    open: Open,
    ready: Ready,
    /// Names whose messages we handle.
    handled: usize,
    /// Whether the owner wants to see `engine.timer`.
    shows_timer: bool,
    /// Events from before the session was ready, and their bytes.
    early: (Vec<Event>, usize),
    out: Outbox<Self>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    /// The login was sent.
    Setup,
    Ready,
    /// `quit` was sent.
    Closing,
    Closed,
}

impl YateSession {
    /// A session for one connection. `random` must be 16 fresh random bytes: they make the ids of
    /// messages unguessable, so that a forged line cannot answer a request.
    #[must_use]
    pub fn new(login: Login, config: YateConfig, random: [u8; 16]) -> Self {
        Self {
            table: Table::new(random, config.max_pending),
            open: Open::new(config.own.max_incoming),
            handled: 0,
            shows_timer: config.own.heartbeat.is_none() || login.has(Verb::Watch, TIMER),
            login,
            config,
            state: State::Idle,
            ready: Ready::new(),
            early: (Vec::new(), 0),
            out: Outbox::new(),
        }
    }

    /// How many requests of the engine wait for an answer of ours.
    #[must_use]
    pub fn incoming(&self) -> usize {
        self.open.len()
    }

    fn close(&mut self, reason: CloseReason) {
        self.state = State::Closed;
        self.early = (Vec::new(), 0);
        self.out.close(reason);
    }

    fn event(&mut self, event: Event) {
        match self.state {
            State::Setup => {}
            State::Closed => return,
            _ => return self.out.tell(Output::Event(event)),
        }
        let (events, bytes) = &mut self.early;
        *bytes += event.frame().map_or(0, |frame| frame.raw().len());
        if events.len() < MAX_EARLY && *bytes <= MAX_EARLY_BYTES {
            events.push(event);
        } else {
            self.close(CloseReason::Violation("too many messages at the login"));
        }
    }

    /// Queues a command of the session's own.
    fn send(&mut self, command: &Command, who: Who) {
        if let Form::Line { verb, name, .. } = &command.form {
            self.table.command(*verb, name, who);
        }
        self.out.write(None, command.with_id(""));
    }

    fn log_in(&mut self) {
        if let Some(connect) = self.login.connect() {
            self.out.write(None, connect);
        }
        // All at once: the engine answers in order, and each answer names its command.
        for (name, rest) in QUERIES {
            let query = Command::known(Verb::Setlocal, name, rest);
            self.send(&query, Who::Step { required: false });
        }
        if !self.shows_timer {
            let watch = Command::known(Verb::Watch, TIMER, TIMER);
            self.send(&watch, Who::Step { required: false });
        }
        for step in std::mem::take(&mut self.login.steps) {
            let required = step.required;
            self.send(&step.command, Who::Step { required });
        }
    }

    fn on_confirmation(&mut self, frame: Frame, now: Instant) {
        let Some(answer) = frame.confirmation() else {
            return;
        };
        if answer.verb == Verb::Quit {
            return self.close(CloseReason::Goodbye);
        }
        if answer.verb == Verb::Setlocal
            && let Some(value) = &answer.value
        {
            self.ready.learn(&answer.name, value);
        }
        if answer.verb == Verb::Watch && answer.name == TIMER && answer.ok {
            self.ready.heartbeat = true;
        }
        match (answer.verb, answer.ok) {
            (Verb::Install, true) => self.handled += 1,
            (Verb::Uninstall, true) => self.handled = self.handled.saturating_sub(1),
            _ => {}
        }
        match self.table.confirmed(answer.verb, &answer.name) {
            Some(Who::Step { required }) => {
                self.on_step(answer.verb, &answer.name, answer.ok, required, now);
            }
            Some(Who::Caller(token, _)) => self.out.reply(token, Ok(Reply::Frame(frame))),
            Some(Who::Ping | Who::Gone) => {}
            None => self.event(Event::Other(frame)),
        }
    }

    /// A command of the login was done, or refused.
    fn on_step(&mut self, verb: Verb, name: &str, ok: bool, required: bool, now: Instant) {
        if !ok && required {
            return self.close(CloseReason::Violation(
                "a command that is required was refused",
            ));
        }
        let query = verb == Verb::Setlocal && QUERIES.iter().any(|(own, _)| *own == name);
        if !ok && !query {
            let name = name.to_owned();
            self.ready.refused.push(Refusal { verb, name });
        }
        if self.state == State::Setup && !self.table.has_steps() {
            self.set_ready(now);
        }
    }

    fn set_ready(&mut self, now: Instant) {
        let mut interval = self.config.ping_interval;
        if let (true, Some(heartbeat)) = (self.ready.heartbeat, self.config.own.heartbeat) {
            interval = interval.min(heartbeat);
        }
        let keepalive = KeepAlive::new(interval, self.config.ping_timeout, now);
        self.state = State::Ready;
        self.out.stop_timer();
        self.out.watch(keepalive);
        self.out.tell(Output::Ready(self.ready.clone()));
        for event in std::mem::take(&mut self.early).0 {
            self.out.tell(Output::Event(event));
        }
    }

    fn on_request(&mut self, frame: Frame, now: Instant) {
        let Some(message) = frame.message() else {
            return;
        };
        let id = message.id();
        if id.is_empty() {
            return self.event(Event::Other(frame));
        }
        let mut wait = self.config.own.answer_timeout;
        if let Some(patience) = self.ready.message_timeout {
            wait = wait.min(patience / 2);
        }
        let deadline = after(now, wait);
        if self.state != State::Closing && self.open.keep(id, deadline) {
            self.event(Event::Asked(Incoming::new(frame, deadline)));
        } else {
            self.out.write(None, declined(id));
            self.event(Event::Shed(frame));
        }
    }

    fn on_error(&mut self, frame: Frame, now: Instant) {
        let Some(line) = frame.refused() else {
            return;
        };
        let token = match line.kind() {
            Kind::Request => line
                .message()
                .and_then(|message| self.table.answered(message.id())),
            // A listener that has its role already.
            Kind::Command(Verb::Connect) => return,
            Kind::Command(verb) => {
                let name = asked_name(verb, line.line());
                match self.table.confirmed(verb, &name) {
                    Some(Who::Step { required }) => {
                        return self.on_step(verb, &name, false, required, now);
                    }
                    Some(Who::Caller(token, _)) => Some(token),
                    _ => None,
                }
            }
            _ => None,
        };
        match token {
            Some(token) => self.out.reply(token, Ok(Reply::Unread(frame))),
            None => self.event(Event::Other(frame)),
        }
    }

    fn on_watched(&mut self, frame: Frame) {
        // The session's own heartbeat wakes nobody.
        let timer = frame.message().is_some_and(|message| message.is(TIMER));
        if self.shows_timer || !timer {
            self.event(Event::Watched(frame));
        }
    }

    /// Answers an open request of the engine, once.
    fn answer(&mut self, token: Token, id: &[u8], line: Bytes) {
        if self.open.take(id) {
            self.out.write(Some(token), line);
            self.out.reply(token, Ok(Reply::Sent));
        } else {
            self.out.reply(token, Ok(Reply::TooLate));
        }
    }

    fn decline_all(&mut self) {
        while let Some(id) = self.open.pop() {
            self.out.write(None, declined(&id));
        }
    }

    fn expire(&mut self, now: Instant) {
        while let Some(id) = self.open.expire(now) {
            self.out.write(None, declined(&id));
            self.event(Event::TimedOut(id));
            if self.state == State::Closed {
                return;
            }
        }
        let out = &mut self.out;
        while let Some(token) = self.table.expire(now, |token| out.take_back(token)) {
            out.reply(token, Err(NoReply::Deadline));
        }
    }
}

impl Session for YateSession {
    type Codec = YateCodec;
    type Request = Command;
    type Reply = Reply;
    type Event = Event;
    type Ready = Ready;

    fn handle_connected(&mut self, now: Instant) {
        if self.state == State::Idle {
            self.state = State::Setup;
            self.out.set_timer(now, self.config.login_timeout);
            self.log_in();
        }
    }

    fn handle_frame(&mut self, frame: Frame, now: Instant) {
        if matches!(self.state, State::Idle | State::Closed) {
            return;
        }
        self.out.heard(now);
        match frame.kind() {
            Kind::Request => self.on_request(frame, now),
            Kind::Answer => {
                let id = frame.message().map(|message| message.id());
                if let Some(token) = id.and_then(|id| self.table.answered(id)) {
                    self.out.reply(token, Ok(Reply::Frame(frame)));
                }
            }
            Kind::Watched => self.on_watched(frame),
            Kind::Reply(_) => self.on_confirmation(frame, now),
            Kind::Error => self.on_error(frame, now),
            Kind::Other if frame.line().is_empty() => {}
            Kind::Other | Kind::Command(_) if self.state == State::Setup => {
                self.close(CloseReason::Violation("no external module port of Yate"));
            }
            Kind::Other | Kind::Command(_) => self.event(Event::Other(frame)),
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
        // An answer waits for nothing itself, and the engine waits for it.
        let answer = matches!(request.form, Form::Answer { .. });
        if !answer && self.table.is_full() {
            return Err(NotTaken::Full);
        }
        if !self.out.in_time(token, deadline, now) {
            return Ok(());
        }
        let max = self.ready.max_line;
        if request.len() > max {
            self.out.reply(token, Ok(Reply::TooLong { max }));
            return Ok(());
        }
        match &request.form {
            Form::Message { .. } => {
                let id = self.table.message(token, deadline);
                self.out.write(Some(token), request.with_id(&id));
            }
            Form::Answer { id, .. } => self.answer(token, id, request.with_id("")),
            Form::Line {
                verb: Verb::Output | Verb::Debug,
                ..
            } => {
                self.out.write(Some(token), request.with_id(""));
                self.out.reply(token, Ok(Reply::Sent));
            }
            Form::Line { verb, name, .. } => {
                self.table
                    .command(*verb, name, Who::Caller(token, deadline));
                self.out.write(Some(token), request.with_id(""));
            }
        }
        Ok(())
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.state == State::Closed {
            return;
        }
        self.expire(now);
        if self.out.is_timer_over(now) {
            return self.close(CloseReason::Silent);
        }
        match self.out.check(now, None) {
            Due::Nothing => {}
            Due::Ping => {
                if !self.table.has_ping() {
                    let ping = Command::known(Verb::Setlocal, PING, "engine.runid:");
                    self.send(&ping, Who::Ping);
                }
            }
            Due::Silent => self.close(CloseReason::Silent),
        }
    }

    fn handle_close(&mut self, now: Instant) {
        match self.state {
            State::Setup | State::Ready => {
                self.decline_all();
                self.out.write(None, Bytes::from_static(b"%%>quit\n"));
                self.state = State::Closing;
                self.early = (Vec::new(), 0);
                self.out.set_timer(now, self.config.close_timeout);
            }
            State::Closing | State::Closed => {}
            State::Idle => self.close(CloseReason::Goodbye),
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
        let due = [self.table.next_deadline(), self.open.next_deadline()];
        self.out.timeout(None, due.into_iter().flatten().min())
    }

    fn is_ready(&self) -> bool {
        self.state == State::Ready
    }

    fn pending(&self) -> usize {
        self.table.live()
    }

    fn is_asked(&self) -> bool {
        self.handled > 0 || self.open.len() > 0
    }
}

/// The name in a command as it was asked for: `verb:name`, or `install:priority:name`.
fn asked_name(verb: Verb, line: &[u8]) -> String {
    let mut fields = line.split(|byte| *byte == b':');
    let at = 1 + usize::from(verb == Verb::Install);
    String::from_utf8_lossy(fields.nth(at).unwrap_or_default()).into_owned()
}

impl fmt::Debug for YateSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("YateSession")
            .field("state", &self.state)
            .field("pending", &self.table.live())
            .field("incoming", &self.open.len())
            .finish_non_exhaustive()
    }
}
