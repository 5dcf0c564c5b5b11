//! A clock that a test moves.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use faxbot_core::{Timestamp, clock::Clock};

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
