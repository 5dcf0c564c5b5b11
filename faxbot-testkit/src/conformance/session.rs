//! What every [`Session`] owes: one end for each request, none twice, nothing after the close,
//! and no waiting for ever. Time is an argument: no case sleeps.

use std::{
    collections::HashMap,
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use faxbot_sip::protocol::session::{
    CloseReason, Codec, NoReply, NotTaken, Output, Session, Token,
};

use super::{Case, Failure, Verdict, ensure};
use crate::random::{Seed, TestRng};

/// Steps of one drain or one wait that a session may want; more is a loop.
const STEPS: usize = 100_000;

/// How long a request may wait here.
const DEADLINE: Duration = Duration::from_secs(10);

/// The server's side of a session, as far as the cases need it.
pub trait SessionServer: Send {
    /// What it says when the connection opens.
    fn opened(&mut self) -> Vec<Bytes>;

    /// What it says to these bytes of the client: whole answers, one entry an answer, the answers
    /// of requests last and in the order of the requests.
    fn receive(&mut self, bytes: &[u8]) -> Vec<Bytes>;
}

/// A session under test.
pub trait SessionEnv: Send + Sync + 'static {
    /// The session.
    type Session: Session;

    /// What the cases are called after: `ami session`.
    fn name(&self) -> String;

    /// A session for a new connection.
    fn session(&self) -> Self::Session;

    /// The codec that reads what the server says.
    fn codec(&self) -> <Self::Session as Session>::Codec;

    /// A server that takes the login and answers every request.
    fn server(&self) -> Box<dyn SessionServer>;

    /// A server that refuses the credentials; `None` where the protocol has none.
    fn refusing_server(&self) -> Option<Box<dyn SessionServer>>;

    /// Request number `n`. Its answer must show the number in [`number`](Self::number).
    fn request(&self, n: u64) -> <Self::Session as Session>::Request;

    /// The number of the request that this is the answer to.
    fn number(&self, reply: &<Self::Session as Session>::Reply) -> Option<u64>;

    /// Whether answers come in the order of their requests and have no number of their own: then
    /// they are not shuffled.
    fn answers_in_order(&self) -> bool {
        false
    }

    /// Bytes that no server sends.
    fn garbage(&self) -> Vec<Bytes>;
}

/// The name of a case and its body.
type Check<E> = (&'static str, fn(&E) -> Verdict);

/// The cases for one session.
pub fn cases<E: SessionEnv>(env: Arc<E>) -> Vec<Case> {
    let name = env.name();
    let checks: [Check<E>; 12] = [
        (
            "before the connection nothing is sent and no time is wanted",
            idle,
        ),
        ("it logs in and is ready once", logs_in),
        ("a request before it is ready is not taken", not_ready),
        (
            "answers in any order that the protocol has reach their own requests",
            any_order,
        ),
        (
            "a request without an answer ends at its deadline, once",
            deadline,
        ),
        ("an answer after the deadline answers nobody", late_answer),
        (
            "a request whose deadline has passed is not written",
            passed_deadline,
        ),
        ("an early look at the clock changes nothing", early_timeout),
        (
            "a silent server ends the session at every step",
            silent_server,
        ),
        (
            "too many requests are refused and the rest is answered",
            full,
        ),
        ("an orderly close ends and takes no request", close),
        (
            "garbage ends in no panic and nothing follows a close",
            garbage,
        ),
    ];
    let mut cases: Vec<Case> = checks
        .into_iter()
        .map(|(what, check)| {
            let env = Arc::clone(&env);
            Case::new(what, move || check(&env))
        })
        .collect();
    let refused = "refused credentials close the session as refused";
    cases.push(if env.refusing_server().is_some() {
        Case::new(refused, move || refused_login(&*env))
    } else {
        Case::skipped(refused, "the protocol has no credentials")
    });
    cases.into_iter().map(|case| case.in_suite(&name)).collect()
}

/// A session and its server with nothing between them but a clock that stands still.
struct Line<'a, E: SessionEnv> {
    env: &'a E,
    session: E::Session,
    codec: <E::Session as Session>::Codec,
    buffer: BytesMut,
    server: Box<dyn SessionServer>,
    now: Instant,
    /// What the server said and the client has not heard.
    unheard: Vec<Bytes>,
    ready: usize,
    replies: HashMap<u64, Result<Option<u64>, NoReply>>,
    closed: Option<CloseReason>,
    written: usize,
}

impl<E: SessionEnv> fmt::Debug for Line<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line")
            .field("closed", &self.closed)
            .finish_non_exhaustive()
    }
}

impl<'a, E: SessionEnv> Line<'a, E> {
    fn new(env: &'a E, server: Box<dyn SessionServer>) -> Self {
        Self {
            env,
            session: env.session(),
            codec: env.codec(),
            buffer: BytesMut::new(),
            server,
            now: Instant::now(),
            unheard: Vec::new(),
            ready: 0,
            replies: HashMap::new(),
            closed: None,
            written: 0,
        }
    }

    /// Logged in.
    fn up(env: &'a E) -> Result<Self, Failure> {
        let mut line = Self::new(env, env.server());
        line.open()?;
        line.listen()?;
        ensure!(
            line.session.is_ready(),
            "not ready after the login: {:?}",
            line.closed
        );
        Ok(line)
    }

    fn open(&mut self) -> Verdict {
        self.unheard.extend(self.server.opened());
        self.session.handle_connected(self.now);
        self.drain()
    }

    fn drain(&mut self) -> Verdict {
        for _ in 0..STEPS {
            let Some(transmit) = self.session.poll_transmit() else {
                return self.drain_outputs();
            };
            self.written += transmit.bytes.len();
            self.unheard.extend(self.server.receive(&transmit.bytes));
        }
        Err(Failure::new("it writes without end"))
    }

    fn drain_outputs(&mut self) -> Verdict {
        for _ in 0..STEPS {
            let Some(output) = self.session.poll_output() else {
                return Ok(());
            };
            ensure!(self.closed.is_none(), "{output:?} after the close");
            match output {
                Output::Ready(_) => self.ready += 1,
                Output::Event(_) => {}
                Output::Close(reason) => self.closed = Some(reason),
                Output::Reply { token, result } => {
                    let number = result.map(|reply| self.env.number(&reply));
                    let before = self.replies.insert(token.0, number);
                    ensure!(before.is_none(), "{token:?} ended twice");
                }
            }
        }
        Err(Failure::new("it tells without end"))
    }

    /// The client hears everything that the server said, and what the server says to that.
    fn listen(&mut self) -> Verdict {
        for _ in 0..STEPS {
            if self.unheard.is_empty() {
                return Ok(());
            }
            let said = self.unheard.remove(0);
            self.hear(&said)?;
        }
        Err(Failure::new("client and server talk without end"))
    }

    fn hear(&mut self, bytes: &[u8]) -> Verdict {
        self.buffer.extend_from_slice(bytes);
        // A codec that refuses ends the connection in the driver; here the rest is unheard.
        while let Ok(Some(frame)) = self.codec.decode(&mut self.buffer) {
            self.session.handle_frame(frame, self.now);
            self.drain()?;
        }
        Ok(())
    }

    fn ask(&mut self, n: u64) -> Result<Result<(), NotTaken>, Failure> {
        let taken = self.session.handle_request(
            Token(n),
            self.env.request(n),
            self.now + DEADLINE,
            self.now,
        );
        self.drain()?;
        Ok(taken)
    }

    /// Time passes, stopping at every deadline of the session.
    fn pass(&mut self, time: Duration) -> Verdict {
        let end = self.now + time;
        for _ in 0..STEPS {
            let Some(due) = self.session.poll_timeout().filter(|due| *due <= end) else {
                self.now = end;
                return Ok(());
            };
            ensure!(self.closed.is_none(), "a closed session wants time");
            self.now = self.now.max(due);
            self.session.handle_timeout(self.now);
            self.drain()?;
        }
        Err(Failure::new("it asks for time without end"))
    }

    fn each_answered(&self, numbers: std::ops::Range<u64>) -> Verdict {
        for n in numbers {
            let reply = self.replies.get(&n);
            ensure!(
                reply == Some(&Ok(Some(n))),
                "request {n} ended as {reply:?}"
            );
        }
        ensure!(
            self.session.pending() == 0,
            "{} still wait",
            self.session.pending()
        );
        Ok(())
    }
}

fn idle<E: SessionEnv>(env: &E) -> Verdict {
    let mut line = Line::new(env, env.server());
    ensure!(
        line.session.poll_timeout().is_none(),
        "it wants time before the connection"
    );
    line.drain()?;
    ensure!(
        line.written == 0 && line.ready == 0,
        "it did something before the connection"
    );
    ensure!(
        !line.session.is_ready() && line.session.pending() == 0,
        "ready before the connection"
    );
    Ok(())
}

fn logs_in<E: SessionEnv>(env: &E) -> Verdict {
    let mut line = Line::up(env)?;
    line.pass(Duration::ZERO)?;
    ensure!(
        line.ready == 1,
        "it said {} times that it is ready",
        line.ready
    );
    Ok(())
}

fn not_ready<E: SessionEnv>(env: &E) -> Verdict {
    let mut line = Line::new(env, env.server());
    let taken = line.ask(1)?;
    ensure!(
        taken == Err(NotTaken::NotReady),
        "before the connection: {taken:?}"
    );
    line.open()?;
    if !line.session.is_ready() {
        let taken = line.ask(1)?;
        ensure!(
            taken == Err(NotTaken::NotReady),
            "before the login: {taken:?}"
        );
    }
    line.listen()?;
    ensure!(
        line.replies.is_empty() && line.session.pending() == 0,
        "a refused request was queued"
    );
    Ok(())
}

fn any_order<E: SessionEnv>(env: &E) -> Verdict {
    let mut rng = TestRng::new(Seed::fresh());
    let mut line = Line::up(env)?;
    for n in 0..50 {
        let taken = line.ask(n)?;
        ensure!(taken.is_ok(), "request {n}: {taken:?}");
    }
    ensure!(
        line.session.pending() == 50,
        "{} wait of 50",
        line.session.pending()
    );
    if !env.answers_in_order() {
        for at in (1..line.unheard.len()).rev() {
            line.unheard.swap(at, rng.index(at + 1));
        }
    }
    line.listen()?;
    line.each_answered(0..50)
}

fn deadline<E: SessionEnv>(env: &E) -> Verdict {
    let mut line = Line::up(env)?;
    ensure!(line.ask(1)?.is_ok(), "not taken");
    line.unheard.clear();
    line.pass(DEADLINE - Duration::from_millis(1))?;
    ensure!(line.replies.is_empty(), "it ended before its deadline");
    line.pass(Duration::from_millis(1))?;
    let reply = line.replies.get(&1);
    ensure!(
        reply == Some(&Err(NoReply::Deadline)),
        "it ended as {reply:?}"
    );
    ensure!(line.session.pending() == 0, "it still waits");
    Ok(())
}

fn late_answer<E: SessionEnv>(env: &E) -> Verdict {
    let mut line = Line::up(env)?;
    ensure!(line.ask(1)?.is_ok(), "not taken");
    let late = std::mem::take(&mut line.unheard);
    line.pass(DEADLINE)?;
    ensure!(
        line.closed.is_none(),
        "one unanswered request closed the session"
    );
    ensure!(line.ask(2)?.is_ok(), "not taken after a deadline");
    let answers = std::mem::replace(&mut line.unheard, late);
    line.listen()?;
    ensure!(
        !line.replies.contains_key(&2),
        "an answer reached another request"
    );
    line.unheard = answers;
    line.listen()?;
    let reply = line.replies.get(&2);
    ensure!(
        reply == Some(&Ok(Some(2))),
        "the next request ended as {reply:?}"
    );
    Ok(())
}

fn passed_deadline<E: SessionEnv>(env: &E) -> Verdict {
    let mut line = Line::up(env)?;
    let written = line.written;
    let now = line.now;
    let taken = line
        .session
        .handle_request(Token(1), env.request(1), now, now);
    line.drain()?;
    line.pass(Duration::ZERO)?;
    ensure!(
        taken.is_err() || line.replies.contains_key(&1),
        "it neither ended nor was refused"
    );
    ensure!(line.written == written, "it was written after its deadline");
    Ok(())
}

fn early_timeout<E: SessionEnv>(env: &E) -> Verdict {
    let mut line = Line::up(env)?;
    ensure!(line.ask(1)?.is_ok(), "not taken");
    let written = line.written;
    for _ in 0..10 {
        line.session.handle_timeout(line.now);
        line.drain()?;
    }
    ensure!(
        line.written == written && line.closed.is_none(),
        "an early look did something"
    );
    line.listen()?;
    line.each_answered(1..2)
}

fn silent_server<E: SessionEnv>(env: &E) -> Verdict {
    // The server stops after so many of its answers.
    for heard in 0..20 {
        let mut line = Line::new(env, env.server());
        line.open()?;
        for _ in 0..heard {
            if line.unheard.is_empty() {
                break;
            }
            let said = line.unheard.remove(0);
            line.hear(&said)?;
        }
        let whole = line.unheard.is_empty();
        line.unheard.clear();
        let mut passed = Duration::ZERO;
        while line.closed.is_none() && passed < Duration::from_secs(600) {
            line.pass(Duration::from_secs(5))?;
            passed += Duration::from_secs(5);
        }
        ensure!(
            line.closed.is_some(),
            "open after ten minutes of silence behind {heard} answers"
        );
        if whole {
            return Ok(());
        }
    }
    Ok(())
}

fn full<E: SessionEnv>(env: &E) -> Verdict {
    let mut line = Line::up(env)?;
    let mut taken = 0;
    while line.ask(taken)?.is_ok() {
        taken += 1;
        ensure!(taken < 100_000, "it takes requests without a limit");
    }
    let refused = line.ask(taken)?;
    ensure!(refused == Err(NotTaken::Full), "refused as {refused:?}");
    line.listen()?;
    line.each_answered(0..taken)?;
    ensure!(
        line.ask(taken)?.is_ok(),
        "not taken when there is room again"
    );
    Ok(())
}

fn close<E: SessionEnv>(env: &E) -> Verdict {
    let mut line = Line::up(env)?;
    line.session.handle_close(line.now);
    line.drain()?;
    let taken = line.ask(1)?;
    ensure!(
        taken == Err(NotTaken::NotReady),
        "a closing session: {taken:?}"
    );
    line.listen()?;
    line.pass(Duration::from_secs(60))?;
    ensure!(line.closed.is_some(), "it did not close");
    line.session.handle_close(line.now);
    line.drain()
}

fn refused_login<E: SessionEnv>(env: &E) -> Verdict {
    let Some(server) = env.refusing_server() else {
        return Err(Failure::new("the environment has no refusing server"));
    };
    let mut line = Line::new(env, server);
    line.open()?;
    line.listen()?;
    ensure!(
        line.closed == Some(CloseReason::Refused),
        "it ended as {:?}",
        line.closed
    );
    ensure!(line.ready == 0, "ready without a login");
    Ok(())
}

fn garbage<E: SessionEnv>(env: &E) -> Verdict {
    for bytes in env.garbage() {
        let mut line = Line::up(env)?;
        ensure!(line.ask(1)?.is_ok(), "not taken");
        line.hear(&bytes)?;
        let mut line = Line::new(env, env.server());
        line.open()?;
        line.hear(&bytes)?;
        line.pass(Duration::from_secs(600))?;
        ensure!(line.closed.is_some(), "open ten minutes after garbage");
    }
    Ok(())
}
