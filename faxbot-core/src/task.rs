//! The set of tasks that one handle owns: joined by a graceful stop, aborted by a drop.

use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{runtime::Handle, task::AbortHandle};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{Error, ErrorKind, Result};

/// Tasks on the current tokio runtime, owned by a handle.
///
/// Clones share one set. Dropping the last clone that is not inside a task of the set aborts what
/// still runs: give tasks the [`token`](Self::token), never the set.
#[derive(Debug, Clone)]
pub struct TaskSet {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    runtime: Handle,
    tracker: TaskTracker,
    token: CancellationToken,
    aborts: Mutex<Aborts>,
}

/// The handles of the tasks; those of ended ones are swept as the list grows, so that a set that
/// lives for months stays small.
#[derive(Debug, Default)]
struct Aborts {
    handles: Vec<AbortHandle>,
    /// The length at which they are swept next: twice what was left, so that a sweep costs each
    /// spawn the same however many tasks there are.
    sweep_at: usize,
}

impl Aborts {
    fn push(&mut self, handle: AbortHandle) {
        if self.handles.len() >= self.sweep_at {
            self.handles.retain(|abort| !abort.is_finished());
            self.sweep_at = self.handles.len().saturating_mul(2).max(SWEEP_FROM);
        }
        self.handles.push(handle);
    }
}

/// So few handles are not worth a sweep.
const SWEEP_FROM: usize = 32;

/// How long aborted tasks get to end: one that never yields cannot be aborted.
const ABORTED_WITHIN: Duration = Duration::from_secs(2);

impl TaskSet {
    /// A set on the runtime of the calling thread.
    ///
    /// # Errors
    /// [`ErrorKind::NoRuntime`] outside of a tokio runtime.
    pub fn current(operation: &'static str) -> Result<Self> {
        let runtime = Handle::try_current().map_err(|_| {
            Error::new(
                ErrorKind::NoRuntime,
                operation,
                "call this inside a tokio runtime",
            )
        })?;
        Ok(Self {
            inner: Arc::new(Inner {
                runtime,
                tracker: TaskTracker::new(),
                token: CancellationToken::new(),
                aborts: Mutex::default(),
            }),
        })
    }

    /// Runs `task` until it ends, or until the set is dropped or its stop runs out of time.
    pub fn spawn<F>(&self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let handle = self
            .inner
            .runtime
            .spawn(self.inner.tracker.track_future(task))
            .abort_handle();
        self.inner
            .aborts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(handle);
    }

    /// As [`spawn`](Self::spawn), for a task that may end at any await: it is dropped as soon as the
    /// set is asked to stop.
    pub fn spawn_until_stopped<F>(&self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let token = self.token();
        self.spawn(async move {
            token.0.run_until_cancelled(task).await;
        });
    }

    /// Is cancelled when the set is asked to stop. Tasks watch it to end in an orderly way.
    pub fn token(&self) -> StopToken {
        StopToken(self.inner.token.clone())
    }

    /// Number of tasks that still run.
    pub fn len(&self) -> usize {
        self.inner.tracker.len()
    }

    /// Whether no task runs.
    pub fn is_empty(&self) -> bool {
        self.inner.tracker.is_empty()
    }

    /// Cancels the token, waits up to `within` for the tasks to end, then aborts the rest.
    /// Answers whether all ended by themselves. An aborted task ends at its next await; one that
    /// reaches none within 2 s more is left behind.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the token cancelled and the tasks running; call again to join.
    pub async fn stop(&self, within: Duration) -> bool {
        self.inner.token.cancel();
        self.inner.tracker.close();
        let ended = tokio::time::timeout(within, self.inner.tracker.wait())
            .await
            .is_ok();
        if !ended {
            let joined = async {
                // Those that are spawned in between as well.
                loop {
                    self.inner.abort_all();
                    let moment = Duration::from_millis(50);
                    if tokio::time::timeout(moment, self.inner.tracker.wait())
                        .await
                        .is_ok()
                    {
                        return;
                    }
                }
            };
            let _ = tokio::time::timeout(ABORTED_WITHIN, joined).await;
        }
        ended
    }
}

/// Tells tasks that they are asked to stop. Clones are one token.
#[derive(Debug, Clone)]
pub struct StopToken(CancellationToken);

impl StopToken {
    /// A token that is cancelled with this one, and can be on its own.
    #[must_use]
    pub fn child(&self) -> Self {
        Self(self.0.child_token())
    }

    /// Asks who watches this token, its clones or its children to stop.
    pub fn cancel(&self) {
        self.0.cancel();
    }

    /// Whether a stop was asked for.
    pub fn is_cancelled(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Resolves when a stop is asked for, at once if it was.
    ///
    /// # Cancel safety
    /// Only waits.
    pub async fn cancelled(&self) {
        self.0.cancelled().await;
    }
}

/// Runs blocking work (files, rendering) off the async threads.
///
/// # Errors
/// [`ErrorKind::NoRuntime`] outside of a tokio runtime; [`ErrorKind::Internal`] when the work
/// panicked.
///
/// # Cancel safety
/// Dropping the future does not stop work that has begun.
pub async fn blocking<T, F>(operation: &'static str, work: F) -> Result<T>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    let runtime = Handle::try_current().map_err(|_| {
        Error::new(
            ErrorKind::NoRuntime,
            operation,
            "call this inside a tokio runtime",
        )
    })?;
    runtime.spawn_blocking(work).await.map_err(|source| {
        Error::new(
            ErrorKind::Internal,
            operation,
            "blocking work ended without a result",
        )
        .with_source(source)
    })
}

impl Inner {
    fn abort_all(&self) {
        for abort in self
            .aborts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .handles
            .drain(..)
        {
            abort.abort();
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.token.cancel();
        self.abort_all();
    }
}

#[cfg(test)]
mod tests {
    use std::{future::pending, sync::mpsc};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn handles(set: &TaskSet) -> usize {
        set.inner.aborts.lock().unwrap().handles.len()
    }

    #[tokio::test(start_paused = true)]
    async fn ended_tasks_leave_no_handles_behind() {
        let set = TaskSet::current("test").unwrap();
        let lasting = 100;
        for _ in 0..lasting {
            set.spawn(pending());
        }
        for _ in 0..10_000 {
            set.spawn(async {});
            tokio::task::yield_now().await;
        }
        assert_eq!(set.len(), lasting);
        assert!(handles(&set) <= 3 * lasting, "{}", handles(&set));
    }

    #[tokio::test(start_paused = true)]
    async fn a_set_that_is_dropped_in_its_own_task_ends_all() {
        let set = TaskSet::current("test").unwrap();
        let (ended, other) = tokio::sync::oneshot::channel::<()>();
        set.spawn(async move {
            let _ended = ended;
            pending::<()>().await;
        });
        let (sent, held) = tokio::sync::oneshot::channel::<TaskSet>();
        let (after, aborted) = tokio::sync::oneshot::channel::<()>();
        set.spawn(async move {
            drop(held.await);
            // It runs on to its next await.
            tokio::task::yield_now().await;
            let _ = after.send(());
        });
        sent.send(set).unwrap();
        assert!(other.await.is_err());
        assert!(aborted.await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_in_an_own_task_aborts_that_task_in_the_end() {
        let set = TaskSet::current("test").unwrap();
        let inner = set.clone();
        set.spawn(async move {
            inner.stop(SECOND).await;
        });
        set.stop(3 * SECOND).await;
        assert!(set.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_spawned_while_a_stop_waits_is_ended_as_well() {
        let set = TaskSet::current("test").unwrap();
        set.spawn(pending());
        let stopping = set.clone();
        let stop = tokio::spawn(async move { stopping.stop(SECOND).await });
        // In the moment of the abort, and after it.
        for _ in 0..5 {
            tokio::time::sleep(SECOND / 4).await;
            set.spawn(pending());
        }
        assert!(!stop.await.unwrap());
        set.spawn(pending());
        assert!(!set.stop(SECOND).await);
        assert!(set.is_empty());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_stop_does_not_wait_for_ever_for_a_task_that_never_yields() {
        let set = TaskSet::current("test").unwrap();
        let (release, blocked) = mpsc::channel::<()>();
        set.spawn(async move {
            let _ = blocked.recv();
        });
        let begun = std::time::Instant::now();
        assert!(!set.stop(Duration::from_millis(10)).await);
        assert!(begun.elapsed() < 2 * ABORTED_WITHIN);
        drop(release);
    }
}
