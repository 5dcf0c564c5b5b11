//! Two ends without input or output of their own, a fake clock between them, and time that moves
//! only when a test says so.
//!
//! [`Pair`] carries bytes from one end to the other, with a latency and any chunk borders, and
//! moves its clock to the next deadline. An end is a session with its codec ([`SessionEnd`]), a
//! script ([`ScriptedEnd`]), or anything that is an [`End`].

mod clock;
mod end;

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::{Buf as _, Bytes};
use faxbot_core::clock::Clock;

pub use clock::FakeClock;
pub use end::{End, ScriptedEnd, SessionEnd};

use crate::random::{Seed, TestRng};

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
