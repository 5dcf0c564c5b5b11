//! The slot of a started plugin: one start at a time, and no work that slips in behind a stop.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use faxbot_core::{Error, ErrorKind, Result, plugin::PluginDeps, task::TaskSet};

/// A started plugin: what its tasks share, and the tasks.
pub(crate) struct Running<S> {
    /// Holds no task set: its tasks hold this.
    pub(crate) shared: Arc<S>,
    pub(crate) tasks: TaskSet,
}

impl<S> Clone for Running<S> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            tasks: self.tasks.clone(),
        }
    }
}

/// Where a plugin keeps what runs.
pub(crate) struct Slot<S>(Mutex<Option<Running<S>>>);

impl<S> Default for Slot<S> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<S> Slot<S> {
    /// What runs, also while it stops.
    pub(crate) fn running(&self) -> Option<Running<S>> {
        self.lock().clone()
    }

    /// What runs; `InvalidState` before a start, and from the begin of a stop on.
    pub(crate) fn get(&self, operation: &'static str) -> Result<Running<S>> {
        self.running()
            .filter(|running| !running.tasks.token().is_cancelled())
            .ok_or_else(|| stopped(operation))
    }

    /// Starts what `make` makes; `InvalidState` when something runs.
    pub(crate) fn begin(&self, make: impl FnOnce() -> Result<Running<S>>) -> Result<()> {
        let mut slot = self.lock();
        if slot.is_some() {
            let message = "the plugin runs already";
            return Err(Error::new(ErrorKind::InvalidState, "start", message));
        }
        *slot = Some(make()?);
        Ok(())
    }

    /// Does `work` under the lock that a stop takes, so that nothing slips in behind its sweep.
    pub(crate) fn admit<R>(
        &self,
        running: &Running<S>,
        operation: &'static str,
        work: impl FnOnce() -> Result<R>,
    ) -> Result<R> {
        let _slot = self.lock();
        if running.tasks.token().is_cancelled() {
            return Err(stopped(operation));
        }
        work()
    }

    /// Stops: joins the tasks, and then `sweep`s once. Answers whether all tasks ended in time.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the stop under way; call again to wait for its end.
    pub(crate) async fn end(&self, within: Duration, sweep: impl FnOnce(&S)) -> bool {
        let Some(running) = self.running() else {
            return true;
        };
        let ended = running.tasks.stop(within).await;
        let mut slot = self.lock();
        // Of two stops at one time the first to come here does the rest.
        if slot
            .as_ref()
            .is_some_and(|current| Arc::ptr_eq(&current.shared, &running.shared))
        {
            sweep(&running.shared);
            *slot = None;
        }
        ended
    }

    fn lock(&self) -> MutexGuard<'_, Option<Running<S>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S> fmt::Debug for Slot<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Slot")
            .field(&self.running().is_some())
            .finish()
    }
}

/// Whether a start can spawn tasks: on a runtime, and in a set that was not stopped.
pub(crate) fn check_start(deps: &PluginDeps) -> Result<()> {
    let refused = |kind, message| Err(Error::new(kind, "start", message));
    if tokio::runtime::Handle::try_current().is_err() {
        refused(ErrorKind::NoRuntime, "call this inside a tokio runtime")
    } else if deps.tasks.token().is_cancelled() {
        refused(
            ErrorKind::InvalidRequest,
            "the task set of the dependencies was stopped",
        )
    } else {
        Ok(())
    }
}

fn stopped(operation: &'static str) -> Error {
    Error::new(
        ErrorKind::InvalidState,
        operation,
        "the plugin does not run",
    )
}
