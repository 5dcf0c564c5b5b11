//! Connecting and disconnecting without a link.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use faxbot_core::{
    Error, ErrorKind, Result,
    random::SystemRandom,
    sip::{ConnectionState, Drained},
    task::TaskSet,
};
use tokio::sync::{Notify, watch};

use super::{
    Polled,
    worker::{First, SetUp, Worker},
};
use crate::{
    adapter::tenure::{LAST_WORD, Runs, Tenure},
    driver::LinkError,
};

/// How long `disconnect` waits for the orderly end.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// The worker and the orders that run. Field order is drop order: what they rest on goes last.
pub(crate) struct Running {
    tasks: TaskSet,
    /// What the last set-up began: answers to orders come by it, so that it outlives them.
    set_up: SetUp,
    /// How the first set-up went.
    first: watch::Receiver<First>,
    /// Orders that a disconnect ends at any await.
    open: Arc<AtomicUsize>,
}

impl Runs for Running {
    fn tasks(&self) -> &TaskSet {
        &self.tasks
    }
}

impl Running {
    /// How the first set-up ends. At once where it may take as long as it likes.
    async fn connected(&self, wait_for_server: bool) -> Result<()> {
        if wait_for_server {
            return Ok(());
        }
        let mut first = self.first.clone();
        let decided = first.wait_for(|first| !matches!(first, First::Open)).await;
        match decided.as_deref() {
            Ok(First::Failed(error)) => Err(error.clone()),
            Ok(_) => Ok(()),
            // The worker is gone: disconnected meanwhile.
            Err(_) => Err(LinkError::Closed.into_error("connect")),
        }
    }
}

/// The life of an adapter that polls, and the tasks of it. Clones share it.
pub(crate) struct PolledLife<C: Polled> {
    core: Arc<C>,
    tenure: Tenure<Running>,
    poke: Arc<Notify>,
}

impl<C: Polled> PolledLife<C> {
    pub(crate) fn new(core: Arc<C>) -> Self {
        Self {
            core,
            tenure: Tenure::new(),
            poke: Arc::default(),
        }
    }

    pub(crate) fn core(&self) -> &Arc<C> {
        &self.core
    }

    /// Connects, as `SipAdapter::connect` tells it.
    pub(crate) async fn open(&self) -> Result<()> {
        let wait_for_server = self.core.timing().wait_for_server;
        // Dropped with this future: back to idle, and the tasks go with their set.
        let attempt = self.tenure.attempt(self.core.hub(), || self.start())?;
        let connected = match attempt.running() {
            Some(running) => running.connected(wait_for_server).await,
            None => Ok(()),
        };
        match connected {
            Ok(()) => attempt.keep(),
            Err(error) => {
                if let Some(running) = attempt.running() {
                    // A worker that still runs would say `error` after `disconnected`.
                    running.tasks.stop(LAST_WORD).await;
                    running.set_up.end().await;
                }
                Err(error)
            }
        }
    }

    fn start(&self) -> Result<Running> {
        let tasks = TaskSet::current("connect")?;
        let (tell, first) = watch::channel(First::Open);
        let set_up = SetUp::default();
        let worker = Worker {
            core: Arc::clone(&self.core),
            poke: Arc::clone(&self.poke),
            random: SystemRandom::shared(),
            tell,
            set_up: set_up.clone(),
        };
        tasks.spawn_until_stopped(worker.run());
        Ok(Running {
            tasks,
            set_up,
            first,
            open: Arc::default(),
        })
    }

    /// Disconnects, as `SipAdapter::disconnect` tells it.
    pub(crate) async fn close(&self, within: Duration) -> Drained {
        let mut closing = match self.tenure.begin_close(self.core.hub(), within).await {
            Ok(closing) => closing,
            Err(drained) => return drained,
        };
        let mut drained = true;
        if let Some(running) = closing.running() {
            if closing.was_up() {
                if self.core.hangs_up_on_close() {
                    let hang_up = |id, limit| self.core.hang_up_on_close(id, limit);
                    closing.hang_all_up(hang_up).await;
                }
                let clock = &self.core.hub().clock;
                let by = clock.now() + CLOSE_LIMIT.min(closing.left());
                tokio::select! {
                    () = self.core.close() => {}
                    () = clock.sleep_until(by) => {}
                }
            }
            drained = running.open.load(Ordering::Relaxed) == 0;
            drained &= closing.stop().await;
            running.set_up.end().await;
        }
        Drained::new(drained, closing.finish())
    }

    /// Whether the server can be asked.
    ///
    /// # Errors
    /// `NotConnected`.
    pub(crate) fn check_up(&self, operation: &'static str) -> Result<()> {
        self.tenure.look(operation, |_| ())?;
        if self.core.hub().state().connection == ConnectionState::Connected {
            return Ok(());
        }
        let message = "the server is lost at this moment; it is tried again";
        Err(Error::new(ErrorKind::NotConnected, operation, message))
    }

    /// Carries an order out in a task of the connection: who gives up waiting for it does not leave it
    /// half done. A disconnect ends it at any await, whether its request had its answer or not: for
    /// what waits for calls.
    pub(crate) async fn carry_out<T: Send + 'static>(
        &self,
        operation: &'static str,
        order: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let open = self
            .tenure
            .look(operation, |running| Open::new(&running.open))?;
        let order = async move {
            let _open = open;
            order.await
        };
        self.tenure.carry_out(operation, order).await
    }

    /// As [`carry_out`](Self::carry_out), for an order that a disconnect lets end: one whose requests
    /// have limits.
    pub(crate) async fn see_through<T: Send + 'static>(
        &self,
        operation: &'static str,
        order: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        self.tenure.see_through(operation, order).await
    }

    /// The next poll comes soon.
    pub(crate) fn poll_soon(&self) {
        self.poke.notify_one();
    }
}

impl<C: Polled> Clone for PolledLife<C> {
    fn clone(&self) -> Self {
        Self {
            core: Arc::clone(&self.core),
            tenure: self.tenure.clone(),
            poke: Arc::clone(&self.poke),
        }
    }
}

/// An order that runs.
struct Open(Arc<AtomicUsize>);

impl Open {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
