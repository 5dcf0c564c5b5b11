//! Connecting and disconnecting by a link: who owns the link and its tasks, and since when.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use faxbot_core::{Result, random::SharedRandom, sip::Drained, task::TaskSet};

use super::{
    hub::Core,
    pump::pump,
    tenure::{LAST_WORD, Runs, Tenure, WeakTenure},
};
use crate::{
    driver::{Connect, Handle, Link, LinkOptions, RoundTripObserver, SessionFactory},
    protocol::session::Session,
};

/// A link and what serves it. Field order is drop order: the link goes before the tasks.
pub(crate) struct Running<S: Session> {
    link: Link<S>,
    handle: Handle<S>,
    tasks: TaskSet,
}

/// How a link is started.
pub(crate) struct Start<F> {
    pub(crate) connector: Box<dyn Connect>,
    /// Makes the session and the codec of each connection.
    pub(crate) factory: F,
    pub(crate) random: SharedRandom,
    /// How long `connect` may take.
    pub(crate) connect_timeout: Duration,
    /// Go on trying when the first attempt fails.
    pub(crate) wait_for_server: bool,
    /// How long the peer may take no byte, and our pump no event; `None` for the driver's own limit.
    pub(crate) stalls: Option<Duration>,
}

impl<S: Session> Running<S> {
    /// Starts the link, its pump and the adapter's worker, which may end at any await.
    ///
    /// # Errors
    /// `NoRuntime` outside of a tokio runtime.
    pub(crate) fn start<C, W>(
        core: &Arc<C>,
        start: Start<impl SessionFactory<S>>,
        work: impl FnOnce(Handle<S>) -> W,
    ) -> Result<Self>
    where
        C: Core<Session = S>,
        W: Future<Output = ()> + Send + 'static,
    {
        let tasks = TaskSet::current("connect")?;
        let (hub, observed) = (core.hub(), Arc::clone(core));
        let mut options = LinkOptions::new(hub.name)
            .with_connect_timeout(start.connect_timeout)
            .with_wait_for_server(start.wait_for_server)
            .with_observer(RoundTripObserver::new(move |took| {
                observed.hub().health().round_trip(took)
            }));
        if let Some(stall) = start.stalls {
            options = options.with_stalls(stall, stall);
        }
        let (link, events) = Link::start(
            options,
            start.connector,
            start.factory,
            Arc::clone(&hub.clock),
            start.random,
            &tasks,
        );
        let handle = link.handle();
        tasks.spawn(pump(Arc::clone(core), events));
        tasks.spawn_until_stopped(work(handle.clone()));
        Ok(Self {
            link,
            handle,
            tasks,
        })
    }
}

impl<S: Session> Runs for Running<S> {
    fn tasks(&self) -> &TaskSet {
        &self.tasks
    }
}

/// The connection of an adapter, and the tasks that run on it. Clones share it.
pub(crate) struct Life<C: Core> {
    core: Arc<C>,
    tenure: Tenure<Running<C::Session>>,
}

/// A [`Life`] that does not keep the connection.
pub(crate) struct WeakLife<C: Core> {
    core: Weak<C>,
    tenure: WeakTenure<Running<C::Session>>,
}

impl<C: Core> Life<C> {
    pub(crate) fn new(core: Arc<C>) -> Self {
        Self {
            core,
            tenure: Tenure::new(),
        }
    }

    pub(crate) fn core(&self) -> &Arc<C> {
        &self.core
    }

    pub(crate) fn downgrade(&self) -> WeakLife<C> {
        WeakLife {
            core: Arc::downgrade(&self.core),
            tenure: self.tenure.downgrade(),
        }
    }

    /// Connects by what `start` starts, as `SipAdapter::connect` tells it.
    pub(crate) async fn open(
        &self,
        start: impl FnOnce() -> Result<Running<C::Session>>,
    ) -> Result<()> {
        // Dropped with this future: back to idle, and the tasks go with their set.
        let attempt = self.tenure.attempt(self.core.hub(), start)?;
        let connected = match attempt.running() {
            Some(running) => running.link.connected().await,
            None => Ok(()),
        };
        match connected {
            Ok(()) => attempt.keep(),
            Err(error) => {
                self.core.hub().health().connection_failed();
                if let Some(running) = attempt.running() {
                    // A pump that still runs would say `error` after `disconnected`.
                    running.tasks.stop(LAST_WORD).await;
                }
                Err(error)
            }
        }
    }

    /// Disconnects, as `SipAdapter::disconnect` tells it.
    pub(crate) async fn close(&self, within: Duration) -> Drained {
        let mut closing = match self.tenure.begin_close(self.core.hub(), within).await {
            Ok(closing) => closing,
            Err(drained) => return drained,
        };
        let mut drained = true;
        if let Some(running) = closing.running() {
            if self.core.hangs_up_on_close() {
                let handle = &running.handle;
                let hang_up = |id, limit| self.core.hang_up_on_close(handle, id, limit);
                closing.hang_all_up(hang_up).await;
            }
            drained = running.link.close(closing.left()).await.drained;
            closing.stop().await;
        }
        Drained::new(drained, closing.finish())
    }

    /// What asks the server while the connection is up.
    ///
    /// # Errors
    /// `NotConnected`.
    pub(crate) fn handle(&self, operation: &'static str) -> Result<Handle<C::Session>> {
        self.tenure
            .look(operation, |running| running.handle.clone())
    }

    /// Carries an order out in a task of the connection: who gives up waiting for it does not leave it
    /// half done. A disconnect ends it at any await.
    pub(crate) async fn carry_out<T: Send + 'static>(
        &self,
        operation: &'static str,
        order: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        self.tenure.carry_out(operation, order).await
    }

    /// As [`carry_out`](Self::carry_out), for an order that a disconnect lets end.
    pub(crate) async fn see_through<T: Send + 'static>(
        &self,
        operation: &'static str,
        order: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        self.tenure.see_through(operation, order).await
    }
}

impl<C: Core> WeakLife<C> {
    /// `None` when the adapter is gone.
    pub(crate) fn upgrade(&self) -> Option<Life<C>> {
        Some(Life {
            core: self.core.upgrade()?,
            tenure: self.tenure.upgrade()?,
        })
    }
}

impl<C: Core> Clone for Life<C> {
    fn clone(&self) -> Self {
        Self {
            core: Arc::clone(&self.core),
            tenure: self.tenure.clone(),
        }
    }
}

impl<C: Core> Clone for WeakLife<C> {
    fn clone(&self) -> Self {
        Self {
            core: Weak::clone(&self.core),
            tenure: self.tenure.clone(),
        }
    }
}
