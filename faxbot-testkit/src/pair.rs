//! Two ends without input or output of their own, a fake clock between them, and time that moves
//! only when a test says so.
//!
//! [`Pair`] carries bytes from one end to the other, with a latency and any chunk borders, and
//! moves its clock to the next deadline. An end is a session with its codec ([`SessionEnd`]), a
//! script ([`ScriptedEnd`]), or anything that is an [`End`].

use std::{
    collections::VecDeque,
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use bytes::{Buf as _, Bytes, BytesMut};
use faxbot_core::{Timestamp, clock::Clock};
use faxbot_sip::protocol::session::{Codec, NotTaken, Output, Session, Token};

use crate::random::{Seed, TestRng};

/// A clock that stands still until it is moved. Clones share their time.
#[derive(Clone)]
pub struct FakeClock {
    shared: Arc<Mutex<Shared>>,
}

struct Shared {
    started: Instant,
    now: Instant,
    wall: Timestamp,
    sleepers: Vec<(Instant, Waker)>,
}

impl FakeClock {
    /// A clock that shows this wall time.
    pub fn at(wall: Timestamp) -> Self {
        let now = Instant::now();
        let shared = Shared {
            started: now,
            now,
            wall,
            sleepers: Vec::new(),
        };
        Self {
            shared: Arc::new(Mutex::new(shared)),
        }
    }

    /// A clock that shows the real wall time of its making.
    pub fn new() -> Self {
        Self::at(Timestamp::now())
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves time on. What sleeps up to then is woken.
    pub fn advance(&self, by: Duration) {
        let to = self.lock().now + by;
        self.advance_to(to);
    }

    /// Moves time on to an instant; one that has passed changes nothing.
    pub fn advance_to(&self, to: Instant) {
        let mut due = Vec::new();
        {
            let mut shared = self.lock();
            shared.now = shared.now.max(to);
            let now = shared.now;
            shared.sleepers.retain(|(deadline, waker)| {
                let later = *deadline > now;
                if !later {
                    due.push(waker.clone());
                }
                later
            });
        }
        for waker in due {
            waker.wake();
        }
    }

    /// The first instant that somebody sleeps for.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.lock()
            .sleepers
            .iter()
            .map(|(deadline, _)| *deadline)
            .min()
    }

    /// Time that has passed since the clock was made.
    pub fn elapsed(&self) -> Duration {
        let shared = self.lock();
        shared.now.duration_since(shared.started)
    }
}

impl Default for FakeClock {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for FakeClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeClock")
            .field("elapsed", &self.elapsed())
            .finish_non_exhaustive()
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Instant {
        self.lock().now
    }

    fn timestamp(&self) -> Timestamp {
        let shared = self.lock();
        shared.wall + shared.now.duration_since(shared.started)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Future<Output = ()> + Send + 'static>> {
        Box::pin(Sleep {
            clock: self.clone(),
            deadline,
        })
    }
}

struct Sleep {
    clock: FakeClock,
    deadline: Instant,
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut shared = self.clock.lock();
        if shared.now >= self.deadline {
            return Poll::Ready(());
        }
        let deadline = self.deadline;
        // A task that polls again replaces its waker instead of piling them up.
        shared
            .sleepers
            .retain(|(at, waker)| *at != deadline || !waker.will_wake(cx.waker()));
        shared.sleepers.push((deadline, cx.waker().clone()));
        Poll::Pending
    }
}

/// One end of a [`Pair`]: takes bytes and time, gives bytes and a deadline.
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

type Queue = VecDeque<(Instant, Bytes)>;

/// Two ends and the link between them. See the [module](self).
#[derive(Debug)]
pub struct Pair<A, B> {
    /// One end, as a rule the client.
    pub a: A,
    /// The other end.
    pub b: B,
    clock: FakeClock,
    latency: Duration,
    chunks: Option<(TestRng, usize)>,
    to_a: Queue,
    to_b: Queue,
}

impl<A: End, B: End> Pair<A, B> {
    /// Connects two ends by a link without latency.
    pub fn new(a: A, b: B) -> Self {
        Self::with_clock(a, b, FakeClock::new())
    }

    /// Connects two ends on a clock that others may share.
    pub fn with_clock(mut a: A, mut b: B, clock: FakeClock) -> Self {
        let now = clock.now();
        a.connected(now);
        b.connected(now);
        Self {
            a,
            b,
            clock,
            latency: Duration::ZERO,
            chunks: None,
            to_a: Queue::new(),
            to_b: Queue::new(),
        }
    }

    /// Each byte takes so long from end to end.
    #[must_use]
    pub const fn latency(mut self, latency: Duration) -> Self {
        self.latency = latency;
        self
    }

    /// Bytes arrive in pieces of 1 to `max` bytes. The seed is printed.
    #[must_use]
    pub fn split(mut self, seed: Seed, max: usize) -> Self {
        seed.announce();
        self.chunks = Some((TestRng::new(seed), max.max(1)));
        self
    }

    /// The clock of the pair.
    pub const fn clock(&self) -> &FakeClock {
        &self.clock
    }

    /// The time of the pair.
    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Loses what is under way to both ends.
    pub fn lose_in_flight(&mut self) {
        self.to_a.clear();
        self.to_b.clear();
    }

    /// Carries what can be carried at this instant. When nothing could be, moves the clock to the
    /// next deadline of an end or the next arrival, and lets it happen. False when there is
    /// nothing to wait for any more.
    pub fn step(&mut self) -> bool {
        if self.exchange() {
            return true;
        }
        let arrivals = [&self.to_a, &self.to_b]
            .into_iter()
            .filter_map(|queue| queue.front().map(|(at, _)| *at));
        let timeouts = [live(&self.a), live(&self.b)].into_iter().flatten();
        let Some(next) = arrivals.chain(timeouts).min() else {
            return false;
        };
        self.clock.advance_to(next);
        let now = self.clock.now();
        if live(&self.a).is_some_and(|at| at <= now) {
            self.a.handle_timeout(now);
        }
        if live(&self.b).is_some_and(|at| at <= now) {
            self.b.handle_timeout(now);
        }
        self.exchange();
        true
    }

    /// Carries what can be carried at this instant, without moving time. Answers whether there
    /// was anything.
    pub fn exchange(&mut self) -> bool {
        let now = self.clock.now();
        let mut moved = false;
        loop {
            let mut more = false;
            let arrives = now + self.latency;
            more |= collect(&mut self.a, &mut self.to_b, arrives);
            more |= collect(&mut self.b, &mut self.to_a, arrives);
            more |= deliver(&mut self.to_a, &mut self.a, now, &mut self.chunks);
            more |= deliver(&mut self.to_b, &mut self.b, now, &mut self.chunks);
            moved |= more;
            if !more {
                return moved;
            }
        }
    }

    /// Steps until nothing is left to wait for, at most so often. False when it is still busy:
    /// sessions with a keep-alive always are.
    pub fn drive_bounded(&mut self, steps: usize) -> bool {
        (0..steps).any(|_| !self.step())
    }

    /// Steps until `done` says so, at most so often. Answers whether it did.
    pub fn drive_until(&mut self, steps: usize, mut done: impl FnMut(&Self) -> bool) -> bool {
        for _ in 0..steps {
            if done(self) {
                return true;
            }
            if !self.step() {
                break;
            }
        }
        done(self)
    }
}

fn live(end: &impl End) -> Option<Instant> {
    if end.is_closed() {
        None
    } else {
        end.poll_timeout()
    }
}

/// Good-byes of an end that closes still go out.
fn collect(from: &mut impl End, queue: &mut Queue, arrives: Instant) -> bool {
    let mut any = false;
    while let Some(bytes) = from.poll_transmit() {
        queue.push_back((arrives, bytes));
        any = true;
    }
    any
}

fn deliver(
    queue: &mut Queue,
    to: &mut impl End,
    now: Instant,
    chunks: &mut Option<(TestRng, usize)>,
) -> bool {
    let mut any = false;
    while let Some((at, bytes)) = queue.front_mut() {
        if *at > now {
            break;
        }
        any = true;
        let size = match chunks {
            Some((rng, max)) => rng.index(*max) + 1,
            None => usize::MAX,
        };
        let piece = bytes.split_to(size.min(bytes.len()));
        if !bytes.has_remaining() {
            queue.pop_front();
        }
        if !to.is_closed() {
            to.receive(&piece, now);
        }
    }
    any
}
