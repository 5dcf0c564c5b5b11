//! The session of a client: login, correlation, keep-alive, good-bye.

use std::{
    borrow::Cow,
    collections::VecDeque,
    fmt,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{
    action::Action,
    codec::AmiCodec,
    login::{self, Login},
    message::{Kind, Message},
    pending::{Table, Taken},
};
use crate::protocol::{
    keepalive::{Due, KeepAlive, after},
    session::{CloseReason, NoReply, NotTaken, Output, Session, Token, Transmit},
};

/// How long after `Event: Shutdown` the end of the connection is awaited. The real one follows at
/// once (observed on Asterisk 22.10, recording `08_shutdown_event_restart`); a forged one is
/// followed by more messages.
const PARTING: Duration = Duration::from_secs(1);

/// The first words of the banner, before the version of the interface.
const BANNER: &str = "Asterisk Call Manager";

/// Times and limits of a session.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AmiConfig {
    /// Whether to take no request before `FullyBooted`. The interface answers before Asterisk has
    /// its modules, and then knows few actions. Default true. The event needs the class `system`
    /// in the mask and in the rights of the account.
    pub wait_fully_booted: bool,
    /// From the open transport to the accepted login. Default 10 s: a refused one takes 1 s, the
    /// server itself waits 30 s.
    pub login_timeout: Duration,
    /// From the accepted login to `FullyBooted`. When it passes the session is ready all the same
    /// and says so. Default 30 s.
    pub boot_timeout: Duration,
    /// A server that was silent for this long is asked with `Ping`. Default 15 s.
    pub ping_interval: Duration,
    /// How long anything at all may take to come after that. Default 10 s. A synchronous
    /// `Originate` silences the connection for as long as it rings: use `Async: true`.
    pub ping_timeout: Duration,
    /// How long the answer to `Logoff` may take. Default 2 s.
    pub close_timeout: Duration,
    /// How many requests may wait for their answers. Default 1,024; as many places of requests
    /// that were given up are kept beside them.
    pub max_pending: usize,
    /// Items of one list. Default 10,000.
    pub max_list_items: usize,
    /// Bytes of all answers that are being collected. Default 4 MiB.
    pub max_list_bytes: usize,
}

impl AmiConfig {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self {
            wait_fully_booted: true,
            login_timeout: Duration::from_secs(10),
            boot_timeout: Duration::from_secs(30),
            ping_interval: Duration::from_secs(15),
            ping_timeout: Duration::from_secs(10),
            close_timeout: Duration::from_secs(2),
            max_pending: 1024,
            max_list_items: 10_000,
            max_list_bytes: 4 * 1024 * 1024,
        }
    }

    /// Sets whether `FullyBooted` is awaited.
    #[must_use]
    pub fn with_wait_fully_booted(mut self, wait: bool) -> Self {
        self.wait_fully_booted = wait;
        self
    }

    /// Sets the times of login and boot.
    #[must_use]
    pub fn with_login_timeouts(mut self, login: Duration, boot: Duration) -> Self {
        self.login_timeout = login;
        self.boot_timeout = boot;
        self
    }

    /// Sets the keep-alive; both are raised to 100 ms.
    #[must_use]
    pub fn with_ping(mut self, interval: Duration, timeout: Duration) -> Self {
        self.ping_interval = interval;
        self.ping_timeout = timeout;
        self
    }

    /// Sets how many requests may wait, at least 1.
    #[must_use]
    pub fn with_max_pending(mut self, requests: usize) -> Self {
        self.max_pending = requests;
        self
    }

    /// Sets the limits of lists.
    #[must_use]
    pub fn with_list_limits(mut self, items: usize, bytes: usize) -> Self {
        self.max_list_items = items;
        self.max_list_bytes = bytes;
        self
    }
}

impl Default for AmiConfig {
    fn default() -> Self {
        Self::new()
    }
}

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
    /// When the state is over by itself.
    timer: Option<Instant>,
    keepalive: Option<KeepAlive>,
    table: Table,
    ready: Ready,
    transmits: VecDeque<Transmit>,
    outputs: VecDeque<Output<Self>>,
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
            timer: None,
            keepalive: None,
            table,
            ready,
            transmits: VecDeque::new(),
            outputs: VecDeque::new(),
        }
    }

    fn close(&mut self, reason: CloseReason) {
        self.state = State::Closed;
        self.timer = None;
        self.keepalive = None;
        self.transmits.clear();
        self.outputs.push_back(Output::Close(reason));
    }

    /// Queues an action of the session's own; its number.
    fn send(&mut self, action: &Action) -> u64 {
        let number = self.table.number();
        self.push(None, action.with_id(Some(&self.table.id(number))));
        number
    }

    fn push(&mut self, token: Option<Token>, bytes: Bytes) {
        self.transmits.push_back(Transmit { token, bytes });
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
                let (interval, timeout) = (self.config.ping_interval, self.config.ping_timeout);
                self.keepalive = Some(KeepAlive::new(interval, timeout, now));
                if self.config.wait_fully_booted {
                    self.state = State::Booting;
                    self.timer = Some(after(now, self.config.boot_timeout));
                } else {
                    self.set_ready(false);
                }
            }
            State::Closing(own) if number == Some(own) => self.close(CloseReason::Goodbye),
            // An answer without an ActionID, or with one of nobody, answers nobody.
            _ => {
                if let Taken::Done(token, result) = self.table.response(message) {
                    self.outputs.push_back(Output::Reply { token, result });
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
                self.outputs.push_back(Output::Reply { token, result });
                return;
            }
        };
        if self.state == State::Booting && message.is_event("FullyBooted") {
            self.set_ready(true);
        }
        if self.state == State::Ready && message.is_event("Shutdown") {
            self.state = State::Parting;
            self.timer = Some(after(now, PARTING));
        }
        self.outputs.push_back(Output::Event(message));
    }

    fn set_ready(&mut self, fully_booted: bool) {
        self.ready.fully_booted = fully_booted;
        self.state = State::Ready;
        self.timer = None;
        self.outputs.push_back(Output::Ready(self.ready.clone()));
    }

    fn expire_requests(&mut self, now: Instant) {
        let transmits = &mut self.transmits;
        while let Some(token) = self.table.expire(now, |token| {
            let before = transmits.len();
            transmits.retain(|transmit| transmit.token != Some(token));
            transmits.len() == before
        }) {
            self.outputs.push_back(Output::Reply {
                token,
                result: Err(NoReply::Deadline),
            });
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
            self.timer = Some(after(now, self.config.login_timeout));
        }
    }

    fn handle_frame(&mut self, frame: Message, now: Instant) {
        if matches!(self.state, State::Idle | State::Closed) {
            return;
        }
        if let Some(keepalive) = &mut self.keepalive {
            keepalive.heard(now);
        }
        if self.state == State::Parting {
            // A server that goes on talking does not shut down.
            self.state = State::Ready;
            self.timer = None;
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
        if deadline <= now {
            self.outputs.push_back(Output::Reply {
                token,
                result: Err(NoReply::Deadline),
            });
            return Ok(());
        }
        let number = self.table.open(token, request.expected(), deadline);
        self.push(Some(token), request.with_id(Some(&self.table.id(number))));
        Ok(())
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.state == State::Closed {
            return;
        }
        self.expire_requests(now);
        if self.timer.is_some_and(|at| at <= now) {
            match self.state {
                State::Booting => self.set_ready(false),
                State::Parting => return self.close(CloseReason::Goodbye),
                _ => return self.close(CloseReason::Silent),
            }
        }
        match self
            .keepalive
            .as_mut()
            .map_or(Due::Nothing, |keepalive| keepalive.check(now))
        {
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
                self.timer = Some(after(now, self.config.close_timeout));
            }
            State::Closing(_) | State::Closed => {}
            State::Idle | State::Banner | State::Challenge(_) | State::Login(_) => {
                self.close(CloseReason::Goodbye);
            }
        }
    }

    fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    fn poll_output(&mut self) -> Option<Output<Self>> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        if self.state == State::Closed {
            return None;
        }
        let keepalive = self.keepalive.as_ref().map(KeepAlive::deadline);
        [self.timer, keepalive, self.table.next_deadline()]
            .into_iter()
            .flatten()
            .min()
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
