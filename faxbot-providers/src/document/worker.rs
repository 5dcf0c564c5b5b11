//! Threads for work that nobody can stop: given up at the deadline, and counted until they end.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use faxbot_core::{
    DocumentReason, Effect, Error, ErrorKind, Result, Timestamp, clock::SharedClock,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::convert::OPERATION;

/// Given up threads from which on nothing new is begun.
const MAX_ABANDONED: usize = 2;

/// Stack of a working thread: hayro follows forms nested up to 50 deep, with large frames.
pub(super) const STACK_BYTES: usize = 32 << 20;

/// A deadline further away than any conversion, for limits that overflow the clock.
const FAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// Runs conversions on threads of their own.
#[derive(Debug)]
pub(super) struct Workers {
    clock: SharedClock,
    slots: Arc<Semaphore>,
    abandoned: Arc<AtomicUsize>,
}

/// Where a conversion takes more threads from, as far as no other conversion has them.
#[derive(Debug)]
#[cfg_attr(
    not(feature = "render"),
    allow(dead_code, reason = "only PDF is drawn on several threads")
)]
pub(super) struct Threads(Arc<Semaphore>);

#[cfg_attr(
    not(feature = "render"),
    allow(dead_code, reason = "only PDF is drawn on several threads")
)]
impl Threads {
    /// At most `wanted` places for threads beside the one that asks. They come back when they are
    /// dropped.
    pub(super) fn take(&self, wanted: usize) -> Vec<OwnedSemaphorePermit> {
        std::iter::from_fn(|| self.0.clone().try_acquire_owned().ok())
            .take(wanted)
            .collect()
    }

    /// Lets conversions that wait have a place; gives it back if none does.
    pub(super) fn again(&self, place: OwnedSemaphorePermit) -> Option<OwnedSemaphorePermit> {
        drop(place);
        self.0.clone().try_acquire_owned().ok()
    }

    #[cfg(test)]
    pub(super) fn of(count: usize) -> Self {
        Self(Arc::new(Semaphore::new(count)))
    }
}

/// Tells work whether its result is still wanted. Work asks between rows.
#[derive(Debug, Clone, Default)]
pub(super) struct Stop {
    caller_left: Arc<AtomicBool>,
    /// The first page that failed, and the page that asks.
    page: Option<(Arc<AtomicUsize>, usize)>,
}

impl Stop {
    /// # Errors
    /// `Document(Timeout)` when the caller has left, or an earlier page failed.
    pub(super) fn check(&self) -> Result<()> {
        if self.is_set() {
            Err(timeout())
        } else {
            Ok(())
        }
    }

    #[cfg(test)]
    pub(super) fn set(&self) {
        self.caller_left.store(true, Ordering::Relaxed);
    }

    /// Whether the work is no longer wanted.
    pub(super) fn is_set(&self) -> bool {
        self.caller_left.load(Ordering::Relaxed)
            || self
                .page
                .as_ref()
                .is_some_and(|(failed_at, page)| failed_at.load(Ordering::Relaxed) < *page)
    }

    /// As this one, for a page that is of no use either when one before it fails.
    #[cfg_attr(
        not(feature = "render"),
        allow(dead_code, reason = "only PDF is drawn on several threads")
    )]
    pub(super) fn until(&self, failed_at: Arc<AtomicUsize>, page: usize) -> Self {
        Self {
            caller_left: self.caller_left.clone(),
            page: Some((failed_at, page)),
        }
    }
}

impl Workers {
    pub(super) fn new(clock: SharedClock) -> Self {
        // As many as there are cores: a page in work holds its pixels in memory.
        let slots = thread::available_parallelism().map_or(1, usize::from);
        Self {
            clock,
            slots: Arc::new(Semaphore::new(slots)),
            abandoned: Arc::default(),
        }
    }

    /// Wall time.
    pub(super) fn timestamp(&self) -> Timestamp {
        self.clock.timestamp()
    }

    /// The time that limits are measured in.
    pub(super) fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Threads that were given up and still run.
    pub(super) fn abandoned(&self) -> usize {
        self.abandoned.load(Ordering::Acquire)
    }

    /// Runs `work` on a thread of its own for at most `limit`, the wait for a free slot included.
    ///
    /// # Errors
    /// What `work` gives; `Document(Timeout)`; `Document(Damaged)` when it panics; `Overloaded`
    /// when no slot becomes free or too many threads were given up.
    ///
    /// # Cancel safety
    /// Dropping the future gives the thread up, as the time limit does.
    pub(super) async fn run<T, F>(&self, limit: Duration, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Stop, &Threads) -> Result<T> + Send + 'static,
    {
        self.refuse_when_overloaded()?;
        let now = self.clock.now();
        let deadline = now.checked_add(limit).unwrap_or(now + FAR);
        let _slot = tokio::select! {
            biased;
            slot = self.slots.acquire() => slot.map_err(|_| overloaded("conversions have stopped"))?,
            () = self.clock.sleep_until(deadline) => {
                return Err(overloaded("all conversion threads are busy"));
            }
        };
        self.refuse_when_overloaded()?;

        let (answer, answered) = oneshot::channel();
        let job = Arc::new(Job {
            stop: Stop::default(),
            state: Mutex::new(State::Running),
            abandoned: self.abandoned.clone(),
        });
        let running = job.clone();
        let threads = Threads(self.slots.clone());
        thread::Builder::new()
            .name("faxbot-document".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || {
                let result = catch_unwind(AssertUnwindSafe(|| work(&running.stop, &threads)));
                running.end();
                // Nobody listens when the caller left; the result is dropped here and cleans up.
                let _ = answer.send(result.unwrap_or_else(|_| Err(panicked())));
            })
            .map_err(|source| overloaded("no thread could be started").with_source(source))?;
        let _caller = Caller(job);

        tokio::select! {
            biased;
            result = answered => result.unwrap_or_else(|_| Err(panicked())),
            () = self.clock.sleep_until(deadline) => Err(timeout()),
        }
    }

    fn refuse_when_overloaded(&self) -> Result<()> {
        if self.abandoned() >= MAX_ABANDONED {
            return Err(overloaded("conversions that were given up still run"));
        }
        Ok(())
    }
}

#[derive(Debug)]
struct Job {
    stop: Stop,
    state: Mutex<State>,
    abandoned: Arc<AtomicUsize>,
}

#[derive(Debug, PartialEq)]
enum State {
    Running,
    Abandoned,
    Ended,
}

impl Job {
    fn enter(&self, next: State) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*state, &next) {
            (State::Running, State::Abandoned) => {
                self.abandoned.fetch_add(1, Ordering::AcqRel);
            }
            (State::Abandoned, State::Ended) => {
                self.abandoned.fetch_sub(1, Ordering::AcqRel);
            }
            (State::Ended, _) => return,
            _ => {}
        }
        *state = next;
    }

    fn end(&self) {
        self.enter(State::Ended);
    }
}

/// The caller's side of a job: its drop gives up a thread that still runs.
struct Caller(Arc<Job>);

impl Drop for Caller {
    fn drop(&mut self) {
        self.0.stop.caller_left.store(true, Ordering::Relaxed);
        self.0.enter(State::Abandoned);
    }
}

fn timeout() -> Error {
    Error::document(
        OPERATION,
        DocumentReason::Timeout,
        "the conversion took longer than its limit",
    )
}

pub(super) fn panicked() -> Error {
    Error::document(
        OPERATION,
        DocumentReason::Damaged,
        "the document made the converter fail",
    )
}

fn overloaded(message: &'static str) -> Error {
    Error::new(ErrorKind::Overloaded, OPERATION, message).with_effect(Effect::NoEffect)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use faxbot_core::clock::TokioClock;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(5);

    /// Work that blocks until the returned sender is dropped, and the receiver of its end.
    fn blocking() -> (
        mpsc::Sender<()>,
        impl FnOnce(&Stop, &Threads) -> Result<u8> + Send + 'static,
    ) {
        let (hold, held) = mpsc::channel::<()>();
        (hold, move |_: &Stop, _: &Threads| {
            let _ = held.recv();
            Ok(1)
        })
    }

    async fn ends(workers: &Workers, count: usize) {
        // The thread takes a moment of real time to end; the paused clock does not see it.
        while workers.abandoned() > count {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn blocked_work_times_out_and_two_of_them_overload_until_one_ends() {
        let workers = Workers::new(TokioClock::shared());
        let (first, work) = blocking();
        let error = workers.run(LIMIT, work).await.unwrap_err();
        assert_eq!(error.document_reason(), Some(DocumentReason::Timeout));
        assert_eq!(workers.abandoned(), 1);

        let (second, work) = blocking();
        workers.run(LIMIT, work).await.unwrap_err();
        assert_eq!(workers.abandoned(), 2);

        let error = workers
            .run(LIMIT, |_: &Stop, _: &Threads| Ok(0))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Overloaded);
        assert!(error.is_retryable());

        drop(first);
        ends(&workers, 1).await;
        let (third, work) = blocking();
        drop(third);
        // Under the paused clock this either ends or times out; it is not refused.
        let taken = workers.run(LIMIT, work).await;
        assert!(!matches!(taken, Err(error) if error.kind() == ErrorKind::Overloaded));
        drop(second);
        ends(&workers, 0).await;
    }

    #[tokio::test]
    async fn a_panic_is_a_damaged_document() {
        let workers = Workers::new(TokioClock::shared());
        let error = workers
            .run(LIMIT, |_: &Stop, _: &Threads| -> Result<()> {
                panic!("in a test")
            })
            .await
            .unwrap_err();
        assert_eq!(error.document_reason(), Some(DocumentReason::Damaged));
        assert_eq!(workers.abandoned(), 0);
        assert_eq!(
            workers
                .run(LIMIT, |_: &Stop, _: &Threads| Ok(7))
                .await
                .unwrap(),
            7
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_dropped_caller_stops_the_work_at_its_next_look() {
        let workers = Workers::new(TokioClock::shared());
        let (saw, seen) = mpsc::channel();
        let error = workers
            .run(LIMIT, move |stop: &Stop, _: &Threads| {
                while stop.check().is_ok() {
                    thread::yield_now();
                }
                let _ = saw.send(());
                Ok(())
            })
            .await
            .unwrap_err();
        assert_eq!(error.document_reason(), Some(DocumentReason::Timeout));
        seen.recv().unwrap();
        ends(&workers, 0).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_beyond_the_clock_is_no_panic() {
        let workers = Workers::new(TokioClock::shared());
        let (hold, work) = blocking();
        drop(hold);
        let _ = workers.run(Duration::MAX, work).await;
    }
}
