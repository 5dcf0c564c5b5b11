//! The accepting side: connections that peers open, each run as a [`Link`] runs its own.

use std::{
    fmt,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use faxbot_core::{
    clock::{SharedClock, later},
    random::SharedRandom,
    task::{StopToken, TaskSet},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

use crate::protocol::session::Session;

use super::{
    Accept, AllowList, CloseReport, Link, LinkEvents, SessionFactory,
    connection::CloseBy,
    porter::{Porter, STOP_GRACE},
};

/// How a listener behaves.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ListenerOptions {
    /// The name in logs, for example that of the adapter.
    pub name: &'static str,
    /// Connections that are served at once, those that log in among them. Above it none is
    /// accepted: they wait in the system's own queue. Default 256.
    pub max_connections: usize,
    /// From the accepted connection to the end of its login and set-up. Default 10 s.
    pub ready_timeout: Duration,
    /// How long the peer may take no byte while we have some for it. Default 10 s.
    pub write_stall: Duration,
    /// How long the owner may take no event while its queue is full. Default 10 s.
    pub pump_stall: Duration,
    /// Whose connections are taken. Default [`AllowList::loopback`].
    pub allow: AllowList,
}

impl ListenerOptions {
    /// The defaults.
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            max_connections: 256,
            ready_timeout: Duration::from_secs(10),
            write_stall: Duration::from_secs(10),
            pump_stall: Duration::from_secs(10),
            allow: AllowList::loopback(),
        }
    }

    /// Sets [`max_connections`](Self::max_connections), at least 1.
    #[must_use]
    pub fn with_max_connections(mut self, connections: usize) -> Self {
        self.max_connections = connections;
        self
    }

    /// Sets [`ready_timeout`](Self::ready_timeout).
    #[must_use]
    pub fn with_ready_timeout(mut self, timeout: Duration) -> Self {
        self.ready_timeout = timeout;
        self
    }

    /// Sets [`write_stall`](Self::write_stall) and [`pump_stall`](Self::pump_stall).
    #[must_use]
    pub fn with_stalls(mut self, write: Duration, pump: Duration) -> Self {
        self.write_stall = write;
        self.pump_stall = pump;
        self
    }

    /// Sets [`allow`](Self::allow).
    #[must_use]
    pub fn with_allow(mut self, allow: AllowList) -> Self {
        self.allow = allow;
        self
    }
}

/// A listener at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListenerStatus {
    /// Places that are taken, of [`ListenerOptions::max_connections`].
    pub serving: usize,
    /// Connections that were accepted so far.
    pub accepted: u64,
    /// Those of them that were closed for their address.
    pub turned_away: u64,
    /// Those of them that ended before their login was over.
    pub failed: u64,
    /// Accepts that failed so far.
    pub accept_errors: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    serving: AtomicUsize,
    pub(super) accepted: AtomicU64,
    pub(super) turned_away: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) accept_errors: AtomicU64,
}

pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// One of the places of [`ListenerOptions::max_connections`]. It is free again when the connection
/// is over and every clone is dropped: who still works for a peer that left keeps one.
#[derive(Debug, Clone)]
pub struct Place(#[expect(dead_code, reason = "held for its drop")] Arc<Held>);

#[derive(Debug)]
struct Held {
    counters: Arc<Counters>,
    _permit: OwnedSemaphorePermit,
}

impl Place {
    pub(super) fn new(permit: OwnedSemaphorePermit, counters: &Arc<Counters>) -> Self {
        counters.serving.fetch_add(1, Ordering::Relaxed);
        Self(Arc::new(Held {
            counters: Arc::clone(counters),
            _permit: permit,
        }))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.counters.serving.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A connection whose login is over. The first events are those of the login, then
/// [`LinkEvent::Up`](super::LinkEvent::Up) with the set-up, as with a link that we made; the last is
/// [`LinkEvent::Down`](super::LinkEvent::Down).
#[non_exhaustive]
pub struct Accepted<S: Session> {
    /// The connection. Dropping it ends the connection at once.
    pub link: Link<S>,
    /// What happens to it. Dropping them ends the connection too.
    pub events: LinkEvents<S>,
    /// The address of the peer, if its transport has one.
    pub peer: Option<IpAddr>,
    /// Its place.
    pub place: Place,
}

impl<S: Session> fmt::Debug for Accepted<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accepted")
            .field("link", &self.link)
            .finish_non_exhaustive()
    }
}

/// The connections of a listener as their logins are over. Dropping it ends the listener.
pub struct Incoming<S: Session>(mpsc::Receiver<Accepted<S>>);

impl<S: Session> Incoming<S> {
    /// The next connection; `None` when the listener accepts no more and all were taken.
    ///
    /// One that is not taken runs into its ready timeout, as every connection whose set-up is not
    /// over.
    ///
    /// # Cancel safety
    /// No connection is lost when the future is dropped.
    pub async fn recv(&mut self) -> Option<Accepted<S>> {
        self.0.recv().await
    }
}

impl<S: Session> fmt::Debug for Incoming<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming")
            .field("waiting", &self.0.len())
            .finish()
    }
}

/// Accepts connections until it is closed or dropped. Its task, and those of its connections, run
/// in the caller's [`TaskSet`].
///
/// Each connection is alone: garbage, silence or slowness of one peer ends that one and costs the
/// others nothing but its place. An accept that fails (no file descriptor is left) is tried again.
pub struct Listener<S: Session> {
    counters: Arc<Counters>,
    closing: watch::Sender<Option<CloseBy>>,
    report: watch::Receiver<Option<CloseReport>>,
    clock: SharedClock,
    token: StopToken,
    session: std::marker::PhantomData<fn() -> S>,
}

impl<S: Session> Listener<S> {
    /// Starts to accept. The task is spawned in `tasks`; it ends with the set, with the returned
    /// listener, or with the connections' receiver, and its connections end with it.
    pub fn start(
        options: ListenerOptions,
        acceptor: Box<dyn Accept>,
        factory: impl SessionFactory<S>,
        clock: SharedClock,
        random: SharedRandom,
        tasks: &TaskSet,
    ) -> (Self, Incoming<S>) {
        // More than a semaphore can count is no limit at all.
        let limit = options.max_connections.clamp(1, MOST);
        let places = Arc::new(Semaphore::new(limit));
        let counters = Arc::new(Counters::default());
        // Each that waits there has a place, so that the queue is never full.
        let (owner, incoming) = mpsc::channel(limit);
        let closing = watch::Sender::new(None);
        let (reporter, report) = watch::channel(None);
        let token = tasks.token().child();
        let porter = Porter {
            options: Arc::new(options),
            factory,
            limit,
            places,
            counters: Arc::clone(&counters),
            owner,
            closing: closing.subscribe(),
            clock: Arc::clone(&clock),
            random,
        };
        let stop = token.clone();
        tasks.spawn(async move {
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                report = porter.run(acceptor) => {
                    reporter.send_replace(report);
                }
            }
        });
        let listener = Self {
            counters,
            closing,
            report,
            clock,
            token,
            session: std::marker::PhantomData,
        };
        (listener, Incoming(incoming))
    }

    /// What it does and did.
    pub fn status(&self) -> ListenerStatus {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ListenerStatus {
            serving: self.counters.serving.load(Ordering::Relaxed),
            accepted: of(&self.counters.accepted),
            turned_away: of(&self.counters.turned_away),
            failed: of(&self.counters.failed),
            accept_errors: of(&self.counters.accept_errors),
        }
    }

    /// Closes: accepts no more from now on and frees the port, lets the connections that are
    /// served come to their end by themselves, closes those that are left in the protocol's way
    /// shortly before `within` is over, and ends (half a second later at the most).
    /// [`CloseReport::drained`] tells whether none had to be closed.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the close going on; calling it again awaits the same end.
    pub async fn close(&self, within: Duration) -> CloseReport {
        let now = self.clock.now();
        self.closing.send_if_modified(|closing| {
            let first = closing.is_none();
            closing.get_or_insert(CloseBy::within(now, within));
            first
        });
        let end = self
            .closing
            .borrow()
            .map_or_else(|| later(now, within), |by| by.end);
        let mut report = self.report.clone();
        let ended = tokio::select! {
            biased;
            // An error: the task is gone without a word.
            report = report.wait_for(Option::is_some) => report.ok().and_then(|report| *report),
            () = self.clock.sleep_until(end + 2 * STOP_GRACE) => {
                self.token.cancel();
                None
            }
        };
        ended.unwrap_or(CloseReport { drained: false })
    }
}

/// The most places that can be counted and taken at once.
const MOST: usize = 1 << 20;

impl<S: Session> Drop for Listener<S> {
    fn drop(&mut self) {
        self.token.cancel();
    }
}

impl<S: Session> fmt::Debug for Listener<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener")
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}
