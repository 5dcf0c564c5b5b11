//! The accepting side: connections that peers open, each run as a [`Link`] runs its own.

use std::{
    fmt,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use faxbot_core::{
    clock::SharedClock,
    random::SharedRandom,
    task::{StopToken, TaskSet},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

use crate::protocol::session::Session;

use super::{
    Accept, AllowList, CloseReport, Link, LinkEvent, LinkEvents, LinkPhase, SessionFactory,
    Transport,
    connection::{CloseBy, Closing, Connection},
    desk::Desk,
    handle::Shared,
    link::EVENT_QUEUE,
    supervisor::{End, tell},
};

/// The waits after accepts that failed in a row: they double from the first to the last.
const ACCEPT_WAITS: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// What a stop allows itself beyond its limit, to let go of tasks and transports.
const STOP_GRACE: Duration = Duration::from_millis(500);

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
struct Counters {
    serving: AtomicUsize,
    accepted: AtomicU64,
    turned_away: AtomicU64,
    failed: AtomicU64,
    accept_errors: AtomicU64,
}

fn count(counter: &AtomicU64) {
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
    fn new(permit: OwnedSemaphorePermit, counters: &Arc<Counters>) -> Self {
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
/// [`LinkEvent::Up`] with the set-up, as with a link that we made; the last is
/// [`LinkEvent::Down`].
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
    /// The next connection; `None` when the listener has ended and all were taken.
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
        let end = self.closing.borrow().map_or(now + within, |by| by.end);
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

/// The task of a listener.
struct Porter<S: Session, F> {
    options: Arc<ListenerOptions>,
    factory: F,
    limit: usize,
    places: Arc<Semaphore>,
    counters: Arc<Counters>,
    owner: mpsc::Sender<Accepted<S>>,
    closing: Closing,
    clock: SharedClock,
    random: SharedRandom,
}

impl<S: Session, F: SessionFactory<S>> Porter<S, F> {
    async fn run(mut self, acceptor: Box<dyn Accept>) -> Option<CloseReport> {
        // Of this task, so that the connections end with it however it ends.
        let connections = TaskSet::current("listen").ok()?;
        self.listen(acceptor, &connections).await;
        // All places are free when all connections are over and their owners are done with them.
        let all = u32::try_from(self.limit).ok()?;
        let mut closing = self.closing.clone();
        let drained = tokio::select! {
            biased;
            free = self.places.acquire_many(all) => free.is_ok(),
            // Nobody may take connections any more without a close: what runs goes on.
            by = until(&mut closing, &self.clock, |by| by.drain) => by,
        };
        if !drained {
            tokio::select! {
                biased;
                _ = self.places.acquire_many(all) => {}
                _ = until(&mut closing, &self.clock, |by| by.end) => {}
            }
        }
        connections.stop(STOP_GRACE).await;
        Some(CloseReport { drained })
    }

    /// Accepts until it is closed or nobody takes the connections; the port is free then.
    async fn listen(&mut self, mut acceptor: Box<dyn Accept>, connections: &TaskSet) {
        let mut closing = self.closing.clone();
        let owner = self.owner.clone();
        tokio::select! {
            biased;
            _ = closing.wait_for(Option::is_some) => {}
            () = owner.closed() => {}
            () = self.accept_all(&mut *acceptor, connections) => {}
        }
    }

    async fn accept_all(&mut self, acceptor: &mut dyn Accept, connections: &TaskSet) {
        let mut failures = 0;
        // Without a place nothing is accepted: the system's queue holds the peers back.
        while let Ok(place) = Arc::clone(&self.places).acquire_owned().await {
            let (transport, peer) = loop {
                match acceptor.accept().await {
                    Ok(accepted) => break accepted,
                    Err(error) => self.rest(&mut failures, &error).await,
                }
            };
            failures = 0;
            count(&self.counters.accepted);
            if peer.is_some_and(|peer| !self.options.allow.allows(peer)) {
                count(&self.counters.turned_away);
                tracing::warn!(
                    listener = self.options.name,
                    "a peer outside of the allowed networks was turned away"
                );
                continue;
            }
            self.welcome(transport, peer, place, connections);
        }
    }

    /// Waits after an accept that failed.
    async fn rest(&mut self, failures: &mut u32, error: &std::io::Error) {
        count(&self.counters.accept_errors);
        if *failures == 0 {
            tracing::warn!(listener = self.options.name, %error, "cannot accept");
        }
        let (first, last) = ACCEPT_WAITS;
        let wait = first
            .saturating_mul(2_u32.saturating_pow(*failures))
            .min(last);
        *failures = failures.saturating_add(1);
        self.clock.sleep_until(self.clock.now() + wait).await;
    }

    /// Starts to serve one connection.
    fn welcome(
        &mut self,
        transport: Transport,
        peer: Option<IpAddr>,
        place: OwnedSemaphorePermit,
        connections: &TaskSet,
    ) {
        let shared = Arc::new(Shared::new(
            Arc::clone(&self.clock),
            Arc::clone(&self.random),
            None,
        ));
        shared.enter(LinkPhase::Connecting, |state| {
            state.status.generation = ONLY;
            state.status.attempts = 1;
        });
        let (events, receiver) = mpsc::channel(EVENT_QUEUE);
        let closing = watch::Sender::new(None);
        let mut random = [0; 32];
        self.random.fill(&mut random);
        let (session, codec) = self.factory.session(random);
        let desk = Desk::new(session, Arc::clone(&shared), ONLY, events.clone());
        let connection = Connection {
            io: transport.io,
            buffering: transport.buffering,
            codec,
            desk,
            shared: Arc::clone(&shared),
            events: events.clone(),
            closing: closing.subscribe(),
            ready_by: self.clock.now() + self.options.ready_timeout,
            write_stall: self.options.write_stall,
            pump_stall: self.options.pump_stall,
        };
        let token = connections.token().child();
        let place = Place::new(place, &self.counters);
        let accepted = Accepted {
            link: Link {
                shared: Arc::clone(&shared),
                closing: closing.clone(),
                token: token.clone(),
                wait_for_server: false,
            },
            events: LinkEvents(receiver),
            peer,
            place: place.clone(),
        };
        let visit = Visit {
            shared,
            events,
            closing,
            listener_closing: self.closing.clone(),
            owner: self.owner.clone(),
            counters: Arc::clone(&self.counters),
            options: Arc::clone(&self.options),
        };
        connections.spawn(async move {
            let _place = place;
            let _end = End(Arc::clone(&visit.shared));
            tokio::select! {
                biased;
                () = token.cancelled() => {}
                () = Box::pin(visit.serve(connection, accepted)) => {}
            }
        });
    }
}

/// The generation of a connection that is not made again.
const ONLY: u64 = 1;

/// The task of one connection.
struct Visit<S: Session> {
    shared: Arc<Shared<S>>,
    events: mpsc::Sender<LinkEvent<S>>,
    closing: watch::Sender<Option<CloseBy>>,
    listener_closing: Closing,
    owner: mpsc::Sender<Accepted<S>>,
    counters: Arc<Counters>,
    options: Arc<ListenerOptions>,
}

impl<S: Session> Visit<S> {
    async fn serve(self, connection: Connection<S, Box<dyn super::Io>>, accepted: Accepted<S>) {
        let ended = tokio::select! {
            biased;
            ended = connection.run() => ended,
            () = self.hand_over(accepted) => return,
            () = self.close_with_the_listener() => return,
        };
        let (name, reason) = (self.options.name, ended.reason);
        tracing::debug!(listener = name, %reason, "connection over");
        if !ended.announced {
            count(&self.counters.failed);
        }
        let mut news: Vec<_> = ended.backlog.into();
        if ended.announced {
            news.push(LinkEvent::Down {
                generation: ONLY,
                reason: reason.clone(),
                at: self.shared.clock.timestamp(),
            });
        }
        let clock = &self.shared.clock;
        let mut closing = self.closing.subscribe();
        tokio::select! {
            biased;
            _ = tell(&self.shared, &self.events, &mut closing, news) => {}
            // An owner that takes nothing does not keep its place for ever.
            () = clock.sleep_until(clock.now() + self.options.pump_stall) => {}
        }
        let drained = ended.drained;
        self.shared.enter(LinkPhase::Ended, |state| {
            state.status.last_error = Some(reason);
            state.report = Some(CloseReport { drained });
        });
    }

    /// Gives the connection to the owner when its login is over: peers that never log in are no
    /// matter of the owner's. Never ends.
    async fn hand_over(&self, accepted: Accepted<S>) {
        let mut state = self.shared.state.subscribe();
        let ready = |phase| matches!(phase, LinkPhase::SettingUp | LinkPhase::Up);
        let logged_in = state
            .wait_for(|state| ready(state.status.phase))
            .await
            .is_ok();
        if logged_in {
            // Without an owner it is dropped here, which ends the connection.
            let _ = self.owner.send(accepted).await;
        }
        std::future::pending().await
    }

    /// Closes the connection when the time that a stop of the listener leaves it is over. Never
    /// ends.
    async fn close_with_the_listener(&self) {
        let mut closing = self.listener_closing.clone();
        until(&mut closing, &self.shared.clock, |by| by.drain).await;
        let Some(by) = *closing.borrow() else {
            return std::future::pending().await;
        };
        let left = by.end.saturating_duration_since(by.drain);
        self.closing.send_if_modified(|closing| {
            let first = closing.is_none();
            closing.get_or_insert(CloseBy::within(by.drain, left));
            first
        });
        std::future::pending().await
    }
}

/// Waits for that moment of a close, without one for ever. Answers `false`.
async fn until(closing: &mut Closing, clock: &SharedClock, of: fn(CloseBy) -> Instant) -> bool {
    let by = closing.wait_for(Option::is_some).await;
    match by.ok().and_then(|by| *by) {
        Some(by) => clock.sleep_until(of(by)).await,
        None => std::future::pending().await,
    }
    false
}
