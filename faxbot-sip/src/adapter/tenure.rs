//! Who owns what runs while an adapter is connected, and since when. A connect that is dropped and a
//! disconnect that is dropped leave nothing behind.

#[cfg(any(feature = "asterisk", feature = "freeswitch", feature = "yate"))]
use std::sync::Weak;
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use faxbot_core::{
    Error, ErrorKind, Result,
    clock::later,
    id::CallId,
    sip::{ConnectionState, Drained},
    task::TaskSet,
};
use tokio::sync::oneshot;

use super::hub::{Book, Hub};
use crate::{driver::LinkError, protocol::session::Session};

/// How long `disconnect` waits for one hang-up where calls are hung up on close.
const HANGUP_LIMIT: Duration = Duration::from_secs(2);

/// What tasks get to end by themselves when there is no time left.
pub(crate) const LAST_WORD: Duration = Duration::from_millis(200);

/// What runs while an adapter is connected.
pub(crate) trait Runs {
    fn tasks(&self) -> &TaskSet;
}

/// Where an adapter stands.
enum Phase<R> {
    Idle,
    /// The tasks of the attempt; the future of `connect` has the rest.
    Connecting(TaskSet),
    Running(R),
    Closing,
}

/// What runs, if the adapter is connected. Clones share it.
pub(crate) struct Tenure<R>(Arc<Mutex<Phase<R>>>);

/// A [`Tenure`] that does not keep what runs.
#[cfg(any(feature = "asterisk", feature = "freeswitch", feature = "yate"))]
pub(crate) struct WeakTenure<R>(Weak<Mutex<Phase<R>>>);

impl<R: Runs> Tenure<R> {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(Phase::Idle)))
    }

    #[cfg(any(feature = "asterisk", feature = "freeswitch", feature = "yate"))]
    pub(crate) fn downgrade(&self) -> WeakTenure<R> {
        WeakTenure(Arc::downgrade(&self.0))
    }

    /// Begins to connect by what `start` starts.
    ///
    /// # Errors
    /// `InvalidState` when connected, connecting or disconnecting; that of `start`.
    pub(crate) fn attempt<'a, S: Session, B: Book>(
        &'a self,
        hub: &'a Hub<S, B>,
        start: impl FnOnce() -> Result<R>,
    ) -> Result<Attempt<'a, S, B, R>> {
        let mut phase = self.phase();
        if !matches!(*phase, Phase::Idle) {
            return Err(Error::new(
                ErrorKind::InvalidState,
                "connect",
                "connected, connecting or disconnecting already",
            ));
        }
        // Before the tasks run, which say what comes after.
        hub.connection(ConnectionState::Connecting);
        match start() {
            Ok(running) => {
                *phase = Phase::Connecting(running.tasks().clone());
                Ok(Attempt {
                    tenure: self,
                    hub,
                    running: Some(running),
                })
            }
            Err(error) => {
                hub.connection(ConnectionState::Disconnected);
                Err(error)
            }
        }
    }

    /// Takes what runs, to end it within that time; or ends a connection that is being made, and answers
    /// what was drained.
    pub(crate) async fn begin_close<'a, S: Session, B: Book>(
        &'a self,
        hub: &'a Hub<S, B>,
        within: Duration,
    ) -> Result<Closing<'a, S, B, R>, Drained> {
        match self.take() {
            Ok(running) => {
                #[cfg(any(feature = "kamailio", feature = "opensips", feature = "flexisip"))]
                let was_up = hub.state().connection == ConnectionState::Connected;
                let closing = Closing {
                    tenure: self,
                    hub,
                    running: Some(running),
                    until: later(hub.clock.now(), within),
                    #[cfg(any(feature = "kamailio", feature = "opensips", feature = "flexisip"))]
                    was_up,
                    left: 0,
                };
                hub.connection(ConnectionState::Disconnecting);
                Ok(closing)
            }
            Err(attempt) => {
                if let Some(attempt) = attempt {
                    // The connect that waits ends as closed.
                    attempt.stop(within).await;
                }
                Err(Drained::default())
            }
        }
    }

    /// Takes what runs; else answers the tasks of a connection that is being made.
    fn take(&self) -> Result<R, Option<TaskSet>> {
        let mut phase = self.phase();
        match std::mem::replace(&mut *phase, Phase::Closing) {
            Phase::Running(running) => Ok(running),
            Phase::Connecting(tasks) => {
                *phase = Phase::Connecting(tasks.clone());
                Err(Some(tasks))
            }
            other => {
                *phase = other;
                Err(None)
            }
        }
    }

    /// Looks at what runs.
    ///
    /// # Errors
    /// `NotConnected`.
    pub(crate) fn look<T>(&self, operation: &'static str, look: impl FnOnce(&R) -> T) -> Result<T> {
        match &*self.phase() {
            Phase::Running(running) => Ok(look(running)),
            Phase::Idle | Phase::Connecting(_) | Phase::Closing => Err(Error::new(
                ErrorKind::NotConnected,
                operation,
                "not connected; call connect first",
            )),
        }
    }

    /// Carries an order out in a task of the connection: who gives up waiting for it does not leave it
    /// half done. A disconnect ends it at any await.
    ///
    /// # Errors
    /// `NotConnected` for an order that was not begun; `Closed` for one that a disconnect ended.
    pub(crate) async fn carry_out<T: Send + 'static>(
        &self,
        operation: &'static str,
        order: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let (order, told) = told(order);
        self.look(operation, |running| {
            running.tasks().spawn_until_stopped(order);
        })?;
        told.await.unwrap_or_else(|_| Err(disconnected(operation)))
    }

    /// As [`carry_out`](Self::carry_out), for an order that a disconnect lets end.
    ///
    /// # Errors
    /// As there; `Closed` where the time of the disconnect was over before the order was.
    pub(crate) async fn see_through<T: Send + 'static>(
        &self,
        operation: &'static str,
        order: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let (order, told) = told(order);
        self.look(operation, |running| running.tasks().spawn(order))?;
        told.await.unwrap_or_else(|_| Err(disconnected(operation)))
    }

    fn phase(&self) -> MutexGuard<'_, Phase<R>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(any(feature = "asterisk", feature = "freeswitch", feature = "yate"))]
impl<R> WeakTenure<R> {
    /// `None` when the adapter is gone.
    pub(crate) fn upgrade(&self) -> Option<Tenure<R>> {
        self.0.upgrade().map(Tenure)
    }
}

impl<R> Clone for Tenure<R> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

#[cfg(any(feature = "asterisk", feature = "freeswitch", feature = "yate"))]
impl<R> Clone for WeakTenure<R> {
    fn clone(&self) -> Self {
        Self(Weak::clone(&self.0))
    }
}

/// An order whose result is told to who waits for it, if anybody does.
fn told<T>(
    order: impl Future<Output = Result<T>>,
) -> (impl Future<Output = ()>, oneshot::Receiver<Result<T>>) {
    let (tell, told) = oneshot::channel();
    let order = async move {
        // The caller may be gone.
        let _ = tell.send(order.await);
    };
    (order, told)
}

fn disconnected(operation: &'static str) -> Error {
    let message = "the adapter was disconnected";
    Error::new(ErrorKind::Closed, operation, message)
}

/// An attempt to connect: what is not kept goes back to idle.
pub(crate) struct Attempt<'a, S: Session, B: Book, R: Runs> {
    tenure: &'a Tenure<R>,
    hub: &'a Hub<S, B>,
    running: Option<R>,
}

impl<S: Session, B: Book, R: Runs> Attempt<'_, S, B, R> {
    pub(crate) fn running(&self) -> Option<&R> {
        self.running.as_ref()
    }

    /// Connected: what runs stays.
    ///
    /// # Errors
    /// `Closed` when it was disconnected meanwhile.
    pub(crate) fn keep(mut self) -> Result<()> {
        let Some(running) = self.running.take() else {
            return Ok(());
        };
        let mut phase = self.tenure.phase();
        if running.tasks().token().is_cancelled() {
            // Disconnected at this moment.
            drop(phase);
            self.running = Some(running);
            return Err(LinkError::Closed.into_error("connect"));
        }
        *phase = Phase::Running(running);
        Ok(())
    }
}

impl<S: Session, B: Book, R: Runs> Drop for Attempt<'_, S, B, R> {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            drop(running);
            self.hub.state().forget_connection();
            self.hub.connection(ConnectionState::Disconnected);
            *self.tenure.phase() = Phase::Idle;
        }
    }
}

/// A disconnect: however it ends, nothing of the connection is left, and who waits is told.
pub(crate) struct Closing<'a, S: Session, B: Book, R: Runs> {
    tenure: &'a Tenure<R>,
    hub: &'a Hub<S, B>,
    running: Option<R>,
    until: Instant,
    #[cfg(any(feature = "kamailio", feature = "opensips", feature = "flexisip"))]
    was_up: bool,
    left: usize,
}

impl<S: Session, B: Book, R: Runs> Closing<'_, S, B, R> {
    pub(crate) fn running(&self) -> Option<&R> {
        self.running.as_ref()
    }

    /// Whether the server could be asked when the disconnect began.
    #[cfg(any(feature = "kamailio", feature = "opensips", feature = "flexisip"))]
    pub(crate) fn was_up(&self) -> bool {
        self.was_up
    }

    /// The time that is left.
    pub(crate) fn left(&self) -> Duration {
        self.until.saturating_duration_since(self.hub.clock.now())
    }

    /// Hangs our calls up, one after another, each within its limit and all within the time that is
    /// left.
    pub(crate) async fn hang_all_up<F: Future<Output = Result<()>>>(
        &self,
        hang_up: impl Fn(CallId, Duration) -> F,
    ) {
        let ours = self.hub.state().books.ours();
        for id in ours {
            let limit = HANGUP_LIMIT.min(self.left());
            if limit.is_zero() {
                break;
            }
            let by = later(self.hub.clock.now(), limit);
            let done = tokio::select! {
                done = hang_up(id, limit) => done,
                () = self.hub.clock.sleep_until(by) => {
                    Err(Error::new(ErrorKind::Timeout, "disconnect", "no answer in time"))
                }
            };
            if let Err(error) = done {
                let adapter = self.hub.name;
                tracing::warn!(%error, call_id = %id, adapter, "a call could not be hung up on close");
            }
        }
    }

    /// Waits for the tasks in the time that is left, and ends the rest. Answers whether all ended by
    /// themselves.
    pub(crate) async fn stop(&self) -> bool {
        match &self.running {
            Some(running) => running.tasks().stop(self.left().max(LAST_WORD)).await,
            None => true,
        }
    }

    /// Answers how many calls were left alone.
    pub(crate) fn finish(&mut self) -> usize {
        if let Some(running) = self.running.take() {
            drop(running);
            self.left = self.hub.stop_following();
            self.hub.health().disconnected();
            self.hub.connection(ConnectionState::Disconnected);
            *self.tenure.phase() = Phase::Idle;
        }
        self.left
    }
}

impl<S: Session, B: Book, R: Runs> Drop for Closing<'_, S, B, R> {
    fn drop(&mut self) {
        self.finish();
    }
}
