//! The task of a [`Listener`](super::Listener), and that of each connection that it accepted.

use std::{
    io,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use faxbot_core::{
    clock::{SharedClock, later},
    random::SharedRandom,
    task::TaskSet,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

use crate::protocol::session::Session;

use super::{
    Accept, Accepted, CloseReport, Io, Link, LinkEvent, LinkEvents, LinkPhase, ListenerOptions,
    Place, SessionFactory, Transport,
    connection::{CloseBy, Closing, Connection},
    desk::Desk,
    handle::Shared,
    link::EVENT_QUEUE,
    listener::{Counters, count},
    supervisor::{End, tell},
};

/// The waits after accepts that failed in a row: they double from the first to the last.
const ACCEPT_WAITS: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// What a stop allows itself beyond its limit, to let go of tasks and transports.
pub(super) const STOP_GRACE: Duration = Duration::from_millis(500);

/// The task of a listener.
pub(super) struct Porter<S: Session, F> {
    pub(super) options: Arc<ListenerOptions>,
    pub(super) factory: F,
    pub(super) limit: usize,
    pub(super) places: Arc<Semaphore>,
    pub(super) counters: Arc<Counters>,
    pub(super) owner: mpsc::Sender<Accepted<S>>,
    pub(super) closing: Closing,
    pub(super) clock: SharedClock,
    pub(super) random: SharedRandom,
}

impl<S: Session, F: SessionFactory<S>> Porter<S, F> {
    pub(super) async fn run(mut self, acceptor: Box<dyn Accept>) -> Option<CloseReport> {
        // Of this task, so that the connections end with it however it ends.
        let connections = TaskSet::current("listen").ok()?;
        self.listen(acceptor, &connections).await;
        // The owner hears of the end when the logins that still run are over.
        drop(self.owner);
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
    async fn rest(&mut self, failures: &mut u32, error: &io::Error) {
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
            ready_by: later(self.clock.now(), self.options.ready_timeout),
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
            counters: Arc::clone(&self.counters),
            options: Arc::clone(&self.options),
        };
        let owner = self.owner.clone();
        connections.spawn(async move {
            let _place = place;
            let _end = End(Arc::clone(&visit.shared));
            tokio::select! {
                biased;
                () = token.cancelled() => {}
                () = Box::pin(visit.serve(connection, accepted, owner)) => {}
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
    counters: Arc<Counters>,
    options: Arc<ListenerOptions>,
}

impl<S: Session> Visit<S> {
    async fn serve(
        self,
        connection: Connection<S, Box<dyn Io>>,
        accepted: Accepted<S>,
        owner: mpsc::Sender<Accepted<S>>,
    ) {
        let ended = tokio::select! {
            biased;
            ended = connection.run() => ended,
            () = self.hand_over(accepted, owner) => return,
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
            () = clock.sleep_until(later(clock.now(), self.options.pump_stall)) => {}
        }
        let drained = ended.drained;
        self.shared.enter(LinkPhase::Ended, |state| {
            state.status.last_error = Some(reason);
            state.report = Some(CloseReport { drained });
        });
    }

    /// Gives the connection to the owner when its login is over: peers that never log in are no
    /// matter of the owner's. Never ends.
    async fn hand_over(&self, accepted: Accepted<S>, owner: mpsc::Sender<Accepted<S>>) {
        let mut state = self.shared.state.subscribe();
        let ready = |phase| matches!(phase, LinkPhase::SettingUp | LinkPhase::Up);
        let logged_in = state
            .wait_for(|state| ready(state.status.phase))
            .await
            .is_ok();
        if logged_in {
            // Without an owner it is dropped here, which ends the connection.
            let _ = owner.send(accepted).await;
        }
        drop(owner);
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
