//! A connection that is kept up, and what its owner hears of it.

use std::{fmt, sync::Arc, time::Duration};

use faxbot_core::{
    Error, Result, Timestamp,
    clock::{SharedClock, later},
    random::SharedRandom,
    retry::RetryPolicy,
    task::{StopToken, TaskSet},
};
use tokio::sync::{mpsc, watch};

use crate::protocol::session::Session;

use super::{
    Connect, Handle, LinkError, LinkPhase, LinkStatus, RoundTripObserver, Setup,
    connection::CloseBy, handle::Shared, supervisor::Supervisor,
};

/// Events that wait for the pump: two seconds of what a server says while it sets up 100 calls a
/// second.
pub(super) const EVENT_QUEUE: usize = 4_096;

/// What [`Link::close`] allows itself beyond its limit, to let go of the transport.
const CLOSE_GRACE: Duration = Duration::from_millis(500);

/// How a link behaves.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LinkOptions {
    /// The name in logs, for example that of the adapter.
    pub name: &'static str,
    /// Limit of each attempt: transport, login and the adapter's set-up. Default 15 s.
    pub connect_timeout: Duration,
    /// Whether a first attempt that fails is repeated like a later one. Default `false`.
    pub wait_for_server: bool,
    /// When to connect again. Default [`RetryPolicy::connection`].
    pub reconnect: RetryPolicy,
    /// How long the peer may take no byte while we have some for it. Default 10 s.
    pub write_stall: Duration,
    /// How long the pump may take no event while its queue is full. Default 10 s, below the
    /// keep-alive of protocols, which is not heard while reading is held back.
    pub pump_stall: Duration,
    /// Is told the round trip of each answered request.
    pub observer: Option<RoundTripObserver>,
}

impl LinkOptions {
    /// The defaults.
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            connect_timeout: Duration::from_secs(15),
            wait_for_server: false,
            reconnect: RetryPolicy::connection(),
            write_stall: Duration::from_secs(10),
            pump_stall: Duration::from_secs(10),
            observer: None,
        }
    }

    /// Sets [`connect_timeout`](Self::connect_timeout).
    #[must_use]
    pub fn with_connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets [`wait_for_server`](Self::wait_for_server).
    #[must_use]
    pub fn with_wait_for_server(mut self, wait: bool) -> Self {
        self.wait_for_server = wait;
        self
    }

    /// Sets [`reconnect`](Self::reconnect).
    #[must_use]
    pub fn with_reconnect(mut self, policy: RetryPolicy) -> Self {
        self.reconnect = policy;
        self
    }

    /// Sets [`write_stall`](Self::write_stall) and [`pump_stall`](Self::pump_stall).
    #[must_use]
    pub fn with_stalls(mut self, write: Duration, pump: Duration) -> Self {
        self.write_stall = write;
        self.pump_stall = pump;
        self
    }

    /// Sets [`observer`](Self::observer).
    #[must_use]
    pub fn with_observer(mut self, observer: RoundTripObserver) -> Self {
        self.observer = Some(observer);
        self
    }
}

/// Makes the session and the codec of each new connection. `random` is fresh each time: ids that a
/// peer must not guess, or confuse with those of the connection before, start from it.
pub trait SessionFactory<S: Session>: Send + 'static {
    /// A new session.
    fn session(&mut self, random: [u8; 32]) -> (S, S::Codec);
}

impl<S: Session, F: FnMut([u8; 32]) -> (S, S::Codec) + Send + 'static> SessionFactory<S> for F {
    fn session(&mut self, random: [u8; 32]) -> (S, S::Codec) {
        self(random)
    }
}

/// What happens to a link, in order. Each generation is `Up`, events, `Down`; events of the login
/// may come before `Up`.
#[non_exhaustive]
pub enum LinkEvent<S: Session> {
    /// Logged in. Public requests are taken after [`Setup::ready`].
    Up {
        /// The connection, counted from 1 with those that failed.
        generation: u64,
        /// What the login told.
        ready: S::Ready,
        /// When.
        at: Timestamp,
        /// For the adapter's set-up.
        setup: Setup<S>,
    },
    /// The server said something unasked.
    Event {
        /// On this connection.
        generation: u64,
        /// What it said.
        event: S::Event,
    },
    /// A connection that was `Up` is lost. All its waiters have been answered before this.
    Down {
        /// The connection.
        generation: u64,
        /// Why.
        reason: LinkError,
        /// When; the gap lasts until the next `Up`.
        at: Timestamp,
    },
    /// An attempt failed before `Up`; another follows.
    AttemptFailed {
        /// The connection that did not come about.
        generation: u64,
        /// Why.
        reason: LinkError,
        /// Attempts since the last stable connection.
        attempts: u32,
        /// When the next one starts.
        retry_after: Duration,
        /// Credentials that worked before are refused now.
        critical: bool,
    },
    /// No further attempt is made; the last event.
    GaveUp {
        /// Why the last attempt failed.
        reason: LinkError,
    },
}

impl<S: Session> fmt::Debug for LinkEvent<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Up {
                generation, ready, ..
            } => f
                .debug_struct("Up")
                .field("generation", generation)
                .field("ready", ready)
                .finish(),
            // What a server says holds personal data.
            Self::Event { generation, .. } => f
                .debug_struct("Event")
                .field("generation", generation)
                .finish_non_exhaustive(),
            Self::Down {
                generation, reason, ..
            } => f
                .debug_struct("Down")
                .field("generation", generation)
                .field("reason", reason)
                .finish(),
            Self::AttemptFailed {
                generation,
                reason,
                attempts,
                retry_after,
                critical,
            } => f
                .debug_struct("AttemptFailed")
                .field("generation", generation)
                .field("reason", reason)
                .field("attempts", attempts)
                .field("retry_after", retry_after)
                .field("critical", critical)
                .finish(),
            Self::GaveUp { reason } => f.debug_struct("GaveUp").field("reason", reason).finish(),
        }
    }
}

/// The events of a link, for the adapter's pump.
///
/// The queue is bounded and nothing in it is dropped. When it is full, the link stops reading from
/// its socket, so that the server waits. The one exception: while a request waits for its answer,
/// which may stand behind events in the stream, or the server may wait for one of ours
/// ([`Session::is_asked`](crate::protocol::session::Session::is_asked)), up to 8,192 further events
/// are read and kept. A pump may therefore await answers itself. A pump that takes nothing for
/// [`LinkOptions::pump_stall`] costs the connection, so that the loss shows as a gap.
///
/// Dropping it ends the link.
pub struct LinkEvents<S: Session>(pub(super) mpsc::Receiver<LinkEvent<S>>);

impl<S: Session> LinkEvents<S> {
    /// The next event; `None` when the link is closed or has given up, and all was taken.
    ///
    /// # Cancel safety
    /// No event is lost when the future is dropped.
    pub async fn recv(&mut self) -> Option<LinkEvent<S>> {
        self.0.recv().await
    }
}

impl<S: Session> fmt::Debug for LinkEvents<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkEvents")
            .field("waiting", &self.0.len())
            .finish()
    }
}

/// How a [`Link::close`] went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CloseReport {
    /// Whether every written request had its answer.
    pub drained: bool,
}

/// A connection that is kept up until it is closed or dropped. Its task runs in the caller's
/// [`TaskSet`].
///
/// What becomes of things when the connection is lost, back, or given up, is the same for every
/// protocol:
///
/// | | lost | back | given up, or closed |
/// |---|---|---|---|
/// | request with a byte written | `OutcomeUnknown`, at once | never sent again | `Closed`, written |
/// | request queued | `NotSent`, at once | never sent | `Closed`, not written |
/// | new request | `NotConnected`, at once | taken after [`Setup::ready`] | `Closed`, not written |
/// | subscription | gone, `Down` says since when | the adapter's set-up makes it again | gone |
/// | events read but not taken | kept, before `Down` | - | kept, before the last event |
///
/// One that a [`Listener`](super::Listener) accepted is not made again: lost is its end.
pub struct Link<S: Session> {
    pub(super) shared: Arc<Shared<S>>,
    pub(super) closing: watch::Sender<Option<CloseBy>>,
    pub(super) token: StopToken,
    pub(super) wait_for_server: bool,
}

impl<S: Session> Link<S> {
    /// Starts to connect. The task is spawned in `tasks`; it ends with the set, with the returned
    /// link, or with the events.
    pub fn start(
        options: LinkOptions,
        connector: Box<dyn Connect>,
        factory: impl SessionFactory<S>,
        clock: SharedClock,
        random: SharedRandom,
        tasks: &TaskSet,
    ) -> (Self, LinkEvents<S>) {
        let shared = Arc::new(Shared::new(clock, random, options.observer.clone()));
        let (events, receiver) = mpsc::channel(EVENT_QUEUE);
        let closing = watch::Sender::new(None);
        let token = tasks.token().child();
        let link = Self {
            shared: Arc::clone(&shared),
            closing: closing.clone(),
            token: token.clone(),
            wait_for_server: options.wait_for_server,
        };
        let closing = closing.subscribe();
        let supervisor = Supervisor {
            options,
            connector,
            factory,
            shared,
            events,
            closing,
        };
        tasks.spawn(supervisor.run(token));
        (link, LinkEvents(receiver))
    }

    /// Waits until the first connection is set up. With `wait_for_server` it answers at once.
    ///
    /// # Errors
    /// Why the first attempt failed, within [`LinkOptions::connect_timeout`]:
    /// [`Authentication`](faxbot_core::ErrorKind::Authentication) for refused credentials,
    /// `NotConnected`, `Timeout`, `ServerBusy`, `Protocol`, `Closed`.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing; drop the link to stop connecting.
    pub async fn connected(&self) -> Result<()> {
        if self.wait_for_server {
            return Ok(());
        }
        self.came_up().await
    }

    /// Waits up to `within` until a connection is set up, or was once.
    ///
    /// # Errors
    /// `Timeout`, or what made the link give up.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub async fn wait_up(&self, within: Duration) -> Result<()> {
        let until = later(self.shared.clock.now(), within);
        tokio::select! {
            biased;
            up = self.came_up() => up,
            () = self.shared.clock.sleep_until(until) => {
                let last = self.status().last_error.unwrap_or(LinkError::SetupTimeout);
                Err(last.into_error("connect"))
            }
        }
    }

    async fn came_up(&self) -> Result<(), Error> {
        let mut state = self.shared.state.subscribe();
        let decided = state
            .wait_for(|state| state.status.ever_up || state.status.phase == LinkPhase::Ended)
            .await;
        match decided {
            Ok(state) if state.status.ever_up => Ok(()),
            Ok(state) => {
                let last = state.status.last_error.clone().unwrap_or(LinkError::Closed);
                Err(last.into_error("connect"))
            }
            Err(_) => Err(LinkError::Closed.into_error("connect")),
        }
    }

    /// Asks the server.
    pub fn handle(&self) -> Handle<S> {
        Handle::new(Arc::clone(&self.shared), None)
    }

    /// Where the link stands.
    pub fn status(&self) -> LinkStatus {
        self.shared.state.borrow().status.clone()
    }

    /// Closes: takes no request from now on, waits for the answers that are due, says good-bye in
    /// the protocol, and ends, all within `within` (and half a second to let go of the transport).
    /// Requests without an answer by then end in
    /// [`RequestError::Closed`](super::RequestError::Closed). The events that were read are
    /// delivered, then their stream ends.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the close going on; calling it again awaits the same end.
    pub async fn close(&self, within: Duration) -> CloseReport {
        let now = self.shared.clock.now();
        self.closing.send_if_modified(|closing| {
            let first = closing.is_none();
            closing.get_or_insert(CloseBy::within(now, within));
            first
        });
        let end = self
            .closing
            .borrow()
            .map_or_else(|| later(now, within), |by| by.end);
        let mut state = self.shared.state.subscribe();
        let ended = tokio::select! {
            biased;
            state = state.wait_for(|state| state.status.phase == LinkPhase::Ended) => {
                state.ok().and_then(|state| state.report)
            }
            () = self.shared.clock.sleep_until(end + CLOSE_GRACE) => {
                self.token.cancel();
                None
            }
        };
        ended.unwrap_or(CloseReport { drained: false })
    }
}

impl<S: Session> Drop for Link<S> {
    fn drop(&mut self) {
        self.token.cancel();
    }
}

impl<S: Session> fmt::Debug for Link<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("status", &self.status())
            .finish()
    }
}
