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
    aborts: Mutex<Vec<AbortHandle>>,
}

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
        let mut aborts = self
            .inner
            .aborts
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // Ended tasks leave their handle behind: sweep them as the list grows, so that a set that
        // lives for months stays small.
        aborts.retain(|abort| !abort.is_finished());
        aborts.push(handle);
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
    /// Answers whether all ended by themselves.
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
            self.inner.abort_all();
            self.inner.tracker.wait().await;
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
