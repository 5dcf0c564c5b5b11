//! What an adapter asks through, and the state that it shares with the link's task.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::{Duration, Instant},
};

use faxbot_core::{
    Error,
    clock::{SharedClock, later},
    random::SharedRandom,
};
use tokio::sync::{mpsc, oneshot, watch};

use crate::protocol::session::Session;

use super::{CloseReport, LinkError, RequestError};

/// Requests that wait for the connection's task. One is written at a time, so the queue only has
/// to hold what a burst of callers brings between two turns of the task; more of them wait for a
/// place until their deadline.
pub(super) const COMMAND_QUEUE: usize = 256;

/// How long after its deadline a request waits for the word of the connection's task, which knows
/// whether it was written. Only a session that breaks its contract makes it that long.
const VERDICT_GRACE: Duration = Duration::from_secs(1);

/// Is told how long each answered request took, from its first byte on the wire to its answer.
#[derive(Clone)]
pub struct RoundTripObserver(Arc<dyn Fn(Duration) + Send + Sync>);

impl RoundTripObserver {
    /// Calls `observe` in the connection's task: it must not block.
    pub fn new(observe: impl Fn(Duration) + Send + Sync + 'static) -> Self {
        Self(Arc::new(observe))
    }

    pub(super) fn observe(&self, took: Duration) {
        (self.0)(took);
    }
}

impl fmt::Debug for RoundTripObserver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RoundTripObserver(..)")
    }
}

/// Where a link stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LinkPhase {
    /// Opening the transport, or logging in.
    Connecting,
    /// Logged in; the adapter's set-up runs.
    SettingUp,
    /// Requests are taken.
    Up,
    /// Lost; the next attempt comes after a wait.
    Waiting,
    /// Closing: no request is taken, answers still come.
    Closing,
    /// Closed by us or given up: final.
    Ended,
}

/// A link at one moment.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LinkStatus {
    /// Where it stands.
    pub phase: LinkPhase,
    /// Counts connections from 1; 0 before the first attempt.
    pub generation: u64,
    /// Attempts since the last stable connection, a running one included.
    pub attempts: u32,
    /// Whether this configuration has ever logged in.
    pub ever_logged_in: bool,
    /// Whether a connection's set-up was ever over.
    pub ever_up: bool,
    /// Why the last connection ended or failed.
    pub last_error: Option<LinkError>,
    /// Since when the link is in this phase.
    pub since: Instant,
}

pub(super) struct State<S: Session> {
    pub(super) status: LinkStatus,
    pub(super) commands: Option<mpsc::Sender<Command<S>>>,
    pub(super) report: Option<CloseReport>,
}

pub(super) struct Shared<S: Session> {
    pub(super) state: watch::Sender<State<S>>,
    pub(super) clock: SharedClock,
    pub(super) random: SharedRandom,
    pub(super) observer: Option<RoundTripObserver>,
}

impl<S: Session> Shared<S> {
    pub(super) fn new(
        clock: SharedClock,
        random: SharedRandom,
        observer: Option<RoundTripObserver>,
    ) -> Self {
        let status = LinkStatus {
            phase: LinkPhase::Connecting,
            generation: 0,
            attempts: 0,
            ever_logged_in: false,
            ever_up: false,
            last_error: None,
            since: clock.now(),
        };
        let state = watch::Sender::new(State {
            status,
            commands: None,
            report: None,
        });
        Self {
            state,
            clock,
            random,
            observer,
        }
    }

    /// Enters `phase`; the queue of requests is only reachable while set up or up.
    pub(super) fn enter(&self, phase: LinkPhase, change: impl FnOnce(&mut State<S>)) {
        let now = self.clock.now();
        self.state.send_modify(|state| {
            if state.status.phase == LinkPhase::Ended {
                return;
            }
            state.status.phase = phase;
            state.status.since = now;
            if !matches!(phase, LinkPhase::SettingUp | LinkPhase::Up) {
                state.commands = None;
            }
            change(state);
        });
    }

    pub(super) fn phase(&self) -> LinkPhase {
        self.state.borrow().status.phase
    }
}

pub(super) type Verdict<S> = Result<<S as Session>::Reply, RequestError>;

/// A request on its way to the connection's task.
pub(super) struct Command<S: Session> {
    pub(super) request: S::Request,
    pub(super) deadline: Instant,
    pub(super) ticket: Ticket<S>,
}

/// The caller's side of a request, as the connection's task sees it.
pub(super) struct Ticket<S: Session> {
    pub(super) reply: oneshot::Sender<Verdict<S>>,
    pub(super) fate: Arc<Fate>,
}

impl<S: Session> Ticket<S> {
    pub(super) fn end(self, verdict: Verdict<S>) {
        // A caller that left does not hear its verdict; its place in the session was kept.
        let _ = self.reply.send(verdict);
    }
}

/// How far a request got. Both sides decide over one atomic: either the caller takes it back, or
/// the task takes it on, never both. It also tells the truth when the task was aborted.
#[derive(Debug, Default)]
pub(super) struct Fate(AtomicU8);

const QUEUED: u8 = 0;
const TAKEN: u8 = 1;
const WRITTEN: u8 = 2;
const WITHDRAWN: u8 = 3;

impl Fate {
    /// The task hands the request to the session; `false` if its caller took it back.
    pub(super) fn take(&self) -> bool {
        self.leave_queue(TAKEN)
    }

    /// The caller takes the request back; `false` if the session has it.
    pub(super) fn withdraw(&self) -> bool {
        self.leave_queue(WITHDRAWN)
    }

    fn leave_queue(&self, to: u8) -> bool {
        self.0
            .compare_exchange(QUEUED, to, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    pub(super) fn set_written(&self) {
        self.0.store(WRITTEN, Ordering::Release);
    }

    pub(super) fn is_written(&self) -> bool {
        self.0.load(Ordering::Acquire) == WRITTEN
    }
}

/// Takes a queued request back when its caller's future is dropped.
struct Withdraw(Arc<Fate>);

impl Drop for Withdraw {
    fn drop(&mut self) {
        self.0.withdraw();
    }
}

/// Asks the server. Cheap to clone; clones share the connection.
pub struct Handle<S: Session> {
    shared: Arc<Shared<S>>,
    /// The only connection that this handle uses; `None`: whichever is up.
    pinned: Option<u64>,
}

impl<S: Session> Handle<S> {
    pub(super) fn new(shared: Arc<Shared<S>>, pinned: Option<u64>) -> Self {
        Self { shared, pinned }
    }

    /// Sends `request` and waits up to `timeout` for its answer. A negative answer of the server
    /// is a reply too.
    ///
    /// It is never sent twice, and never waits for a connection.
    ///
    /// # Errors
    /// [`RequestError`]; its [`effect`](RequestError::effect) says whether the request may have
    /// happened.
    ///
    /// # Cancel safety
    /// Dropping the future takes the request back if it still waits in our queue. Once the session
    /// has it, it is written and keeps its place until its answer or deadline; the answer is
    /// dropped.
    pub async fn request(
        &self,
        request: S::Request,
        timeout: Duration,
    ) -> Result<S::Reply, RequestError> {
        let deadline = later(self.shared.clock.now(), timeout);
        let (reply, mut verdict) = oneshot::channel();
        let fate = Arc::new(Fate::default());
        let ticket = Ticket {
            reply,
            fate: Arc::clone(&fate),
        };
        self.enqueue(Command {
            request,
            deadline,
            ticket,
        })
        .await?;

        let _withdraw = Withdraw(Arc::clone(&fate));
        tokio::select! {
            biased;
            verdict = &mut verdict => return verdict.unwrap_or_else(|_| Err(self.unheard(&fate))),
            () = self.shared.clock.sleep_until(deadline) => {}
        }
        if fate.withdraw() {
            return Err(RequestError::Deadline { written: false });
        }
        tokio::select! {
            biased;
            verdict = &mut verdict => verdict.unwrap_or_else(|_| Err(self.unheard(&fate))),
            () = self.shared.clock.sleep_until(deadline + VERDICT_GRACE) => {
                Err(RequestError::Deadline { written: true })
            }
        }
    }

    async fn enqueue(&self, command: Command<S>) -> Result<(), RequestError> {
        let commands = self.commands()?;
        tokio::select! {
            biased;
            place = commands.reserve() => match place {
                Ok(place) => {
                    place.send(command);
                    Ok(())
                }
                Err(_) => Err(self.unheard(&command.ticket.fate)),
            },
            () = self.shared.clock.sleep_until(command.deadline) => Err(RequestError::Full),
        }
    }

    fn commands(&self) -> Result<mpsc::Sender<Command<S>>, RequestError> {
        let state = self.shared.state.borrow();
        let open = match (state.status.phase, self.pinned) {
            (LinkPhase::Closing | LinkPhase::Ended, _) => {
                return Err(RequestError::Closed { written: false });
            }
            (LinkPhase::Up | LinkPhase::SettingUp, Some(pinned)) => {
                pinned == state.status.generation
            }
            (LinkPhase::Up, None) => true,
            _ => false,
        };
        state
            .commands
            .clone()
            .filter(|_| open)
            .ok_or(RequestError::NotConnected)
    }

    /// What became of a request that the task left without a word: it was aborted, or the request
    /// reached the queue of a connection that was just over.
    fn unheard(&self, fate: &Fate) -> RequestError {
        let state = self.shared.state.borrow();
        let written = fate.is_written();
        if matches!(state.status.phase, LinkPhase::Closing | LinkPhase::Ended) {
            return RequestError::Closed { written };
        }
        let reason = state.status.last_error.clone().unwrap_or(LinkError::Ended);
        if written {
            RequestError::OutcomeUnknown(reason)
        } else {
            RequestError::NotSent(reason)
        }
    }

    /// Whether [`request`](Self::request) takes requests now.
    pub fn is_up(&self) -> bool {
        self.commands().is_ok()
    }

    /// The connection that this handle is bound to, for the handle of a [`Setup`].
    pub fn generation(&self) -> Option<u64> {
        self.pinned
    }

    /// Where the link stands.
    pub fn status(&self) -> LinkStatus {
        self.shared.state.borrow().status.clone()
    }

    /// The clock that deadlines are counted on.
    pub fn clock(&self) -> &SharedClock {
        &self.shared.clock
    }

    /// The source of random ids.
    pub fn random(&self) -> &SharedRandom {
        &self.shared.random
    }
}

impl<S: Session> Clone for Handle<S> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            pinned: self.pinned,
        }
    }
}

impl<S: Session> fmt::Debug for Handle<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("pinned", &self.pinned)
            .finish_non_exhaustive()
    }
}

/// The right and the duty to set a new connection up: subscribe, reconcile, then
/// [`ready`](Self::ready). Dropping it unfinished gives the connection up, and so does the link's
/// connect timeout.
///
/// While the set-up awaits answers, the pump does not take events: the connection's task keeps
/// them (see [`LinkEvents`](super::LinkEvents)).
pub struct Setup<S: Session> {
    handle: Handle<S>,
    verdict: oneshot::Sender<Option<Error>>,
}

impl<S: Session> Setup<S> {
    pub(super) fn new(handle: Handle<S>, verdict: oneshot::Sender<Option<Error>>) -> Self {
        Self { handle, verdict }
    }

    /// Asks on this connection only, now and after [`ready`](Self::ready).
    pub fn handle(&self) -> &Handle<S> {
        &self.handle
    }

    /// Opens the connection to everybody. `false` if it is already lost.
    pub fn ready(self) -> bool {
        let now = self.handle.shared.clock.now();
        let live = self.handle.shared.state.send_if_modified(|state| {
            let ours = Some(state.status.generation) == self.handle.pinned
                && state.status.phase == LinkPhase::SettingUp;
            if ours {
                state.status.phase = LinkPhase::Up;
                state.status.ever_up = true;
                state.status.since = now;
            }
            ours
        });
        live && self.verdict.send(None).is_ok()
    }

    /// Gives the connection up because of `error`; the link tries again by its policy.
    pub fn fail(self, error: Error) {
        // The connection may be lost already.
        let _ = self.verdict.send(Some(error));
    }
}

impl<S: Session> fmt::Debug for Setup<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Setup")
            .field("generation", &self.handle.pinned)
            .finish_non_exhaustive()
    }
}
