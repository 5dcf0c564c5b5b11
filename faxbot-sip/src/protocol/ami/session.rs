//! The session of a client: login, correlation, keep-alive, good-bye.

use std::{
    borrow::Cow,
    fmt,
    time::{Duration, Instant},
};

use super::{
    action::Action,
    codec::AmiCodec,
    config::AmiConfig,
    login::{self, Login},
    message::{Kind, Message},
    pending::{Table, Taken},
};
use crate::protocol::{
    keepalive::Due,
    outbox::Outbox,
    session::{CloseReason, NoReply, NotTaken, Output, Session, Token, Transmit},
};

/// How long after `Event: Shutdown` the end of the connection is awaited. The real one follows at
/// once (observed on Asterisk 22.10, recording `08_shutdown_event_restart`); a forged one is
/// followed by more messages.
const PARTING: Duration = Duration::from_secs(1);

/// The first words of the banner, before the version of the interface.
const BANNER: &str = "Asterisk Call Manager";

/// The answer to an action.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Reply {
    /// The response.
    pub response: Message,
    /// The items of a list, or the one event, in their order; empty for a plain response.
    pub events: Vec<Message>,
    /// The event that ended the list.
    pub complete: Option<Message>,
}

impl Reply {
    /// Whether the response is `Success`.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.response
            .response()
            .is_some_and(|word| word.eq_ignore_ascii_case(b"Success"))
    }

    /// The `Message` header without blanks and line feeds at its ends: some texts have a bare LF.
    #[must_use]
    pub fn message(&self) -> Option<Cow<'_, str>> {
        self.response
            .get("Message")
            .map(|text| String::from_utf8_lossy(text.trim_ascii()))
    }

    /// The lines of `Command`, their own leading blanks kept.
    pub fn output(&self) -> impl Iterator<Item = &[u8]> {
        self.response.get_all("Output")
    }
}

/// What the login told.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ready {
    /// The banner line, such as `Asterisk Call Manager/11.0.0`.
    pub banner: String,
    /// The version of the interface (not of Asterisk), such as `11.0.0`.
    pub version: Option<String>,
    /// Whether `FullyBooted` was seen. False when it was not awaited, or did not come in time.
    pub fully_booted: bool,
}

/// The client end of a manager connection. See [`Session`] for how to drive it.
pub struct AmiSession {
    login: Login,
    config: AmiConfig,
    state: State,
    table: Table,
    ready: Ready,
    out: Outbox<Self>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    Banner,
    /// The number of our `Challenge`.
    Challenge(u64),
    /// The number of our `Login`.
    Login(u64),
    Booting,
    Ready,
    /// The server said that it shuts down.
    Parting,
    /// The number of our `Logoff`.
    Closing(u64),
    Closed,
}

impl AmiSession {
    /// A session for one connection. `random` must be 16 fresh random bytes: they make the
    /// `ActionID`s unguessable, so that a forged message cannot answer a request.
    #[must_use]
    pub fn new(login: Login, config: AmiConfig, random: [u8; 16]) -> Self {
        let table = Table::new(random, &config);
        let ready = Ready {
            banner: String::new(),
            version: None,
            fully_booted: false,
        };
        Self {
            login,
            config,
            state: State::Idle,
            table,
            ready,
            out: Outbox::new(),
        }
    }

    fn close(&mut self, reason: CloseReason) {
        self.state = State::Closed;
        self.out.close(reason);
    }

    /// Queues an action of the session's own; its number.
    fn send(&mut self, action: &Action) -> u64 {
        let number = self.table.number();
        self.out
            .write(None, action.with_id(Some(&self.table.id(number))));
        number
    }

    fn on_banner(&mut self, message: &Message) {
        let banner = message.banner().unwrap_or_default();
        if self.state != State::Banner || !banner.starts_with(BANNER) {
            return self.close(CloseReason::Violation("no banner of an Asterisk manager"));
        }
        self.ready.banner = banner.chars().filter(|c| !c.is_control()).collect();
        self.ready.version = self
            .ready
            .banner
            .split_once('/')
            .map(|(_, it)| it.to_owned());
        self.state = if self.login.is_md5() {
            let challenge = self.login.challenge();
            State::Challenge(self.send(&challenge))
        } else {
            let action = self.login.action(None);
            State::Login(self.send(&action))
        };
    }

    fn on_response(&mut self, message: Message, now: Instant) {
        let number = self.table.number_of(&message);
        let success = message
            .response()
            .is_some_and(|it| it.eq_ignore_ascii_case(b"Success"));
        match self.state {
            State::Challenge(own) if number == Some(own) => {
                let challenge = message.get("Challenge").filter(|it| !it.is_empty());
                match (success, challenge) {
                    (true, Some(challenge)) => {
                        let action = self.login.action(Some(challenge));
                        self.state = State::Login(self.send(&action));
                    }
                    (true, None) => self.close(CloseReason::Violation("a challenge without one")),
                    (false, _) => self.close(login::refusal(&message)),
                }
            }
            State::Login(own) if number == Some(own) => {
                if !success {
                    return self.close(login::refusal(&message));
                }
                self.out.watch(self.config.keepalive(now));
                if self.config.own.wait_fully_booted {
                    self.state = State::Booting;
                    self.out.set_timer(now, self.config.own.boot_timeout);
                } else {
                    self.set_ready(false);
                }
            }
            State::Closing(own) if number == Some(own) => self.close(CloseReason::Goodbye),
            // An answer without an ActionID, or with one of nobody, answers nobody.
            _ => {
                if let Taken::Done(token, result) = self.table.response(message) {
                    self.out.reply(token, result);
                }
            }
        }
    }

    fn on_event(&mut self, message: Message, now: Instant) {
        if matches!(
            self.state,
            State::Banner | State::Challenge(_) | State::Login(_)
        ) {
            return;
        }
        let message = match self.table.event(message) {
            Taken::No(message) => message,
            Taken::Kept => return,
            Taken::Done(token, result) => {
                self.out.reply(token, result);
                return;
            }
        };
        if self.state == State::Booting && message.is_event("FullyBooted") {
            self.set_ready(true);
        }
        if self.state == State::Ready && message.is_event("Shutdown") {
            self.state = State::Parting;
            self.out.set_timer(now, PARTING);
        }
        self.out.tell(Output::Event(message));
    }

    fn set_ready(&mut self, fully_booted: bool) {
        self.ready.fully_booted = fully_booted;
        self.state = State::Ready;
        self.out.stop_timer();
        self.out.tell(Output::Ready(self.ready.clone()));
    }

    fn expire_requests(&mut self, now: Instant) {
        let (out, table) = (&mut self.out, &mut self.table);
        while let Some(token) = table.expire(now, |token| !out.take_back(token)) {
            out.reply(token, Err(NoReply::Deadline));
        }
    }
}

impl Session for AmiSession {
    type Codec = AmiCodec;
    type Request = Action;
    type Reply = Reply;
    type Event = Message;
    type Ready = Ready;

    fn handle_connected(&mut self, now: Instant) {
        if self.state == State::Idle {
            self.state = State::Banner;
            self.out.set_timer(now, self.config.login_timeout);
        }
    }

    fn handle_frame(&mut self, frame: Message, now: Instant) {
        if matches!(self.state, State::Idle | State::Closed) {
            return;
        }
        self.out.heard(now);
        if self.state == State::Parting {
            // A server that goes on talking does not shut down.
            self.state = State::Ready;
            self.out.stop_timer();
        }
        match frame.kind() {
            Kind::Banner => self.on_banner(&frame),
            _ if self.state == State::Banner => {
                self.close(CloseReason::Violation("no banner of an Asterisk manager"));
            }
            Kind::Response => self.on_response(frame, now),
            Kind::Event => self.on_event(frame, now),
            // The tail of a message that a value with line breaks tore apart.
            Kind::Other | Kind::Action => {}
        }
    }

    fn handle_request(
        &mut self,
        token: Token,
        request: Action,
        deadline: Instant,
        now: Instant,
    ) -> Result<(), NotTaken> {
        if !self.is_ready() {
            return Err(NotTaken::NotReady);
        }
        if self.table.is_full() {
            return Err(NotTaken::Full);
        }
        if !self.out.in_time(token, deadline, now) {
            return Ok(());
        }
        let number = self.table.open(token, request.expected(), deadline);
        self.out
            .write(Some(token), request.with_id(Some(&self.table.id(number))));
        Ok(())
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.state == State::Closed {
            return;
        }
        self.expire_requests(now);
        if self.out.is_timer_over(now) {
            match self.state {
                State::Booting => self.set_ready(false),
                State::Parting => return self.close(CloseReason::Goodbye),
                _ => return self.close(CloseReason::Silent),
            }
        }
        match self.out.check(now, None) {
            Due::Nothing => {}
            Due::Ping => {
                self.send(&Action::known("Ping"));
            }
            Due::Silent => self.close(CloseReason::Silent),
        }
    }

    fn handle_close(&mut self, now: Instant) {
        match self.state {
            State::Booting | State::Ready | State::Parting => {
                let logoff = self.send(&Action::known("Logoff"));
                self.state = State::Closing(logoff);
                self.out.set_timer(now, self.config.close_timeout);
            }
            State::Closing(_) | State::Closed => {}
            State::Idle | State::Banner | State::Challenge(_) | State::Login(_) => {
                self.close(CloseReason::Goodbye);
            }
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
        self.out.timeout(None, self.table.next_deadline())
    }

    fn is_ready(&self) -> bool {
        self.state == State::Ready
    }

    fn pending(&self) -> usize {
        self.table.live()
    }
}

impl fmt::Debug for AmiSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AmiSession")
            .field("state", &self.state)
            .field("pending", &self.table.live())
            .finish_non_exhaustive()
    }
}
