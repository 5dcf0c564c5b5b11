//! The worker of an adapter that polls: sets up, polls, does the work of the books, and begins anew when
//! the server is lost.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use faxbot_core::{
    Effect, Error, ErrorKind, Result, Timestamp,
    clock::later,
    random::SharedRandom,
    retry::RetryPolicy,
    sip::{ConnectionState, Severity},
    task::TaskSet,
};
use tokio::sync::{Notify, Semaphore, watch};

use super::{NoLink, Polled, Work};
use crate::adapter::{
    hub::{Book, Hub, Turn},
    tenure::LAST_WORD,
};

/// Pieces of work that are done at once: as many as requests of ours may be at a server without being
/// in the way of the polls.
const AT_ONCE: usize = 4;

/// The shortest rest between two polls, however often one is asked for.
const SHORTEST_REST: Duration = Duration::from_millis(100);

/// The longest rest after a poll that failed: two in a row tell that the server is lost.
const SECOND_LOOK: Duration = Duration::from_secs(1);

/// Polls in a row that fail when the server is lost.
const FAILURES: u32 = 2;

/// How the first set-up went.
#[derive(Debug)]
pub(super) enum First {
    Open,
    Up,
    Failed(Error),
}

/// What the last set-up began. Clones are one. It is not the worker's alone: a disconnect ends the
/// worker at once, and orders whose answers come by these tasks after that.
#[derive(Clone, Default)]
pub(super) struct SetUp(Arc<Mutex<Option<TaskSet>>>);

impl SetUp {
    /// The tasks of another set-up.
    fn begin(&self) -> Result<TaskSet> {
        let tasks = TaskSet::current("connect")?;
        *self.tasks() = Some(tasks.clone());
        Ok(tasks)
    }

    /// Ends all that was begun.
    pub(super) async fn end(&self) {
        let tasks = self.tasks().take();
        if let Some(tasks) = tasks {
            tasks.stop(LAST_WORD).await;
        }
    }

    fn tasks(&self) -> MutexGuard<'_, Option<TaskSet>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) struct Worker<C: Polled> {
    pub(super) core: Arc<C>,
    /// A poll is wanted.
    pub(super) poke: Arc<Notify>,
    pub(super) random: SharedRandom,
    pub(super) tell: watch::Sender<First>,
    pub(super) set_up: SetUp,
}

/// What happened so far.
#[derive(Default)]
struct History {
    /// Set-ups since the server was last up for a while, the one that failed included.
    attempts: u32,
    ever_up: bool,
}

impl<C: Polled> Worker<C> {
    /// Serves the books until it is dropped, or gives up.
    pub(super) async fn run(self) {
        // What is begun here ends with the worker.
        let Ok(work) = TaskSet::current("connect") else {
            return;
        };
        let mut history = History::default();
        let policy = RetryPolicy::connection();
        loop {
            if !self.come_up(&work, &policy, &mut history).await {
                return;
            }
            let up_since = self.hub().clock.now();
            let (reason, good_until) = tokio::select! {
                lost = self.poll_until_lost() => lost,
                never = self.serve(&work, true) => match never {},
            };
            let hub = self.hub();
            if hub.clock.now().saturating_duration_since(up_since) >= policy.stable_after {
                history.attempts = 1;
            }
            tracing::info!(%reason, adapter = hub.name, "the server is lost");
            hub.health().connection_failed();
            hub.lost(good_until);
            self.set_up.end().await;
            // One that comes and goes is not called in a busy loop.
            self.rest_serving(&work, self.wait(&policy, history.attempts, false))
                .await;
        }
    }

    fn hub(&self) -> &Hub<NoLink, C::Books> {
        self.core.hub()
    }

    /// Sets up until that goes well. `false` when nothing more is to be tried.
    async fn come_up(&self, work: &TaskSet, policy: &RetryPolicy, history: &mut History) -> bool {
        loop {
            if self.is_closing() {
                return false;
            }
            history.attempts = history.attempts.saturating_add(1);
            let Ok(tasks) = self.set_up.begin() else {
                return false;
            };
            let done = tokio::select! {
                done = self.set_up(&tasks) => done,
                never = self.serve(work, false) => match never {},
            };
            let Err(error) = done else {
                history.ever_up = true;
                let opened = self.hub().opened();
                if opened {
                    self.tell.send_replace(First::Up);
                }
                return opened;
            };
            self.set_up.end().await;
            if self.is_closing() {
                return false;
            }
            let hub = self.hub();
            hub.health().connection_failed();
            hub.state().books.attempt_failed();
            let refused = is_refused(&error);
            let supervised = history.ever_up || self.core.timing().wait_for_server;
            if !supervised || (refused && !history.ever_up) {
                tracing::warn!(%error, adapter = hub.name, "gave up");
                hub.trouble(Severity::Critical, error.clone());
                hub.connection(ConnectionState::Error);
                self.tell.send_replace(First::Failed(error));
                return false;
            }
            let severity = if refused {
                Severity::Critical
            } else {
                Severity::Warning
            };
            hub.trouble(severity, error);
            let wait = self.wait(policy, history.attempts, refused);
            self.rest_serving(work, wait).await;
        }
    }

    /// Whether the adapter disconnects: nothing is begun any more.
    fn is_closing(&self) -> bool {
        self.hub().state().connection == ConnectionState::Disconnecting
    }

    async fn set_up(&self, tasks: &TaskSet) -> Result<()> {
        let hub = self.hub();
        let by = later(hub.clock.now(), self.core.timing().connect_timeout);
        tokio::select! {
            done = self.core.set_up(tasks) => done,
            () = hub.clock.sleep_until(by) => {
                let message = "the set-up took longer than the connect timeout";
                let error = Error::new(ErrorKind::Timeout, "connect", message);
                Err(error.with_effect(Effect::NoEffect))
            }
        }
    }

    /// The wait before the next set-up.
    fn wait(&self, policy: &RetryPolicy, attempts: u32, refused: bool) -> Duration {
        let mut backoff = policy.backoff;
        if refused {
            backoff.base = backoff.cap;
        }
        let random = u32::try_from(self.random.next_u64() >> 32).unwrap_or(0);
        let random = f64::from(random) / f64::from(u32::MAX);
        let wait = backoff.delay(attempts.saturating_sub(1), random);
        wait.unwrap_or(backoff.cap)
    }

    /// Rests while the server is lost.
    async fn rest_serving(&self, work: &TaskSet, wait: Duration) {
        let clock = &self.hub().clock;
        tokio::select! {
            () = clock.sleep_until(later(clock.now(), wait)) => {}
            never = self.serve(work, false) => match never {},
        }
    }

    /// Polls until the server is lost. Answers why, and when it was last seen.
    async fn poll_until_lost(&self) -> (Error, Timestamp) {
        let clock = &self.hub().clock;
        let mut good_until = clock.timestamp();
        let mut failures = 0;
        loop {
            let mut rest = self.core.timing().poll;
            if failures > 0 {
                rest = rest.min(SECOND_LOOK);
            }
            self.rest(rest).await;
            let begun = clock.timestamp();
            match self.core.poll().await {
                Ok(()) => {
                    good_until = begun;
                    failures = 0;
                }
                // Ours, and nothing of it reached the server: one that says so itself has a code.
                Err(error)
                    if error.kind() == ErrorKind::Overloaded && error.native_code().is_none() =>
                {
                    tracing::debug!(%error, "a poll found no place");
                }
                Err(error) => {
                    failures += 1;
                    let at_once = error.kind() == ErrorKind::NotConnected || is_refused(&error);
                    if at_once || failures >= FAILURES {
                        return (error, good_until);
                    }
                    tracing::debug!(%error, "a poll failed");
                }
            }
        }
    }

    /// Rests, until a poll is asked for at the latest.
    async fn rest(&self, rest: Duration) {
        let clock = &self.hub().clock;
        let now = clock.now();
        clock.sleep_until(now + rest.min(SHORTEST_REST)).await;
        tokio::select! {
            () = clock.sleep_until(later(now, rest)) => {}
            () = self.poke.notified() => {}
        }
    }

    /// Does the work of the books: all of it while the server is up, else what does not ask it.
    async fn serve(&self, work: &TaskSet, up: bool) -> Infallible {
        let places = Arc::new(Semaphore::new(AT_ONCE));
        loop {
            // Before the turn: what the books want next may be due sooner after a change.
            let changed = self.hub().next_change();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let place = Arc::clone(&places).try_acquire_owned().ok();
            let asks = up && place.is_some();
            // No await until what was taken runs: it must not be lost when this is dropped.
            match self
                .hub()
                .turn_for(|todo| asks || C::work(todo) != Work::Ask)
            {
                Turn::Do(todo) if C::work(&todo) == Work::Poll => self.poke.notify_one(),
                Turn::Do(todo) => {
                    let core = Arc::clone(&self.core);
                    let place = place.filter(|_| C::work(&todo) == Work::Ask);
                    work.spawn_until_stopped(async move {
                        core.carry_out(todo).await;
                        drop(place);
                        // Another piece may wait for the place.
                        core.hub().wake();
                    });
                }
                Turn::SetUp(setup) => drop(setup),
                Turn::Rest(until) => {
                    drop(place);
                    tokio::select! {
                        () = self.hub().rest(until) => {}
                        () = changed => {}
                    }
                }
            }
        }
    }
}

/// Whether the server refuses us, whoever is right.
fn is_refused(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Authentication | ErrorKind::PermissionDenied
    )
}
