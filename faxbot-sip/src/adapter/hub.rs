//! What lives as long as an adapter, across its connections: the books, the event bus, the health,
//! and how its tasks wake each other.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use faxbot_core::{
    Error, ErrorKind, Result, Timestamp,
    clock::{SharedClock, later},
    event::EventBus,
    id::CallId,
    sip::{
        AdapterKind, Capabilities, Capability, ConnectionChanged, ConnectionState, Gap, Health,
        HealthRecorder, Severity, SipEvent, Snapshot,
    },
};
use tokio::sync::{Notify, futures::Notified};

use super::calls::{Calls, Now};
#[cfg(any(feature = "asterisk", feature = "freeswitch", feature = "yate"))]
use crate::driver::Handle;
use crate::{driver::Setup, protocol::session::Session};

/// How long a settlement that could not be made waits for the next try.
#[cfg(any(feature = "asterisk", feature = "freeswitch", feature = "yate"))]
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// The books of one server as the shared parts see them. Sans-IO: time comes in as an argument.
///
/// A method that answers events changes the books; [`Hub::events`] publishes them.
pub(crate) trait Book: Send + 'static {
    /// What the worker must do after an input.
    type Todo: Copy + Eq + Send;

    fn calls(&self) -> &Calls;

    /// Work for the worker; asked for after each input.
    fn take_todo(&mut self) -> Vec<Self::Todo>;

    /// The work that ends a call whose end events told of.
    fn settle_todo(id: CallId) -> Self::Todo;

    /// The call that a piece of work is about, where it need not be done twice while it waits, nor once
    /// the call is over.
    fn about(_todo: &Self::Todo) -> Option<CallId> {
        None
    }

    /// When [`timeout`](Self::timeout) wants to be called.
    fn next_timeout(&self) -> Option<Instant>;

    /// Asks for what is due by now.
    fn timeout(&mut self, now: Now);

    /// The request of the call is handed to the connection now. `false` if it was hung up before: it
    /// must not be sent then.
    fn requested(&mut self, id: CallId, now: Now) -> bool;

    /// The server took the request.
    fn taken(&mut self, id: CallId, now: Now) -> Vec<SipEvent>;

    /// Nobody knows where the call stands: the server is asked soon.
    fn unsure(&mut self, id: CallId, now: Now);

    /// Takes a call out of the books with an error for whoever waits.
    fn lose(&mut self, id: CallId, error: Error) -> Vec<SipEvent>;

    /// The connection was lost: what its events told is no longer the whole truth.
    fn missed_events(&mut self);

    /// An attempt to connect failed: what an attempt tells of the server before it is up is void.
    fn attempt_failed(&mut self) {}

    /// The connection is over for good: forgets what belongs to it, but for the calls.
    fn forget_connection(&mut self);

    /// The calls that we placed: what a disconnect hangs up where that is configured.
    fn ours(&self) -> Vec<CallId> {
        self.calls().live().collect()
    }

    /// Adds what is up beside the calls: waiting ones, faxes, conferences.
    fn snapshot(&self, snapshot: &mut Snapshot);
}

/// The core of an adapter: its hub, and what only it knows to do.
#[cfg(any(feature = "asterisk", feature = "freeswitch", feature = "yate"))]
pub(crate) trait Core: Send + Sync + 'static {
    type Session: Session;
    type Books: Book;

    fn hub(&self) -> &Hub<Self::Session, Self::Books>;

    /// Something that the server said unasked.
    fn event(&self, event: <Self::Session as Session>::Event);

    /// What the login of a new connection told; its set-up follows.
    fn logged_in(&self, _ready: <Self::Session as Session>::Ready) {}

    /// Whether calls are hung up on disconnect.
    fn hangs_up_on_close(&self) -> bool;

    /// Hangs a call of ours up, for a disconnect that does that.
    fn hang_up_on_close(
        &self,
        handle: &Handle<Self::Session>,
        id: CallId,
        limit: Duration,
    ) -> impl Future<Output = Result<()>> + Send;
}

/// What lives as long as the adapter, across its connections.
pub(crate) struct Hub<S: Session, B: Book> {
    /// The name in logs.
    pub(crate) name: &'static str,
    pub(crate) clock: SharedClock,
    pub(crate) bus: EventBus<SipEvent>,
    health: Mutex<HealthRecorder>,
    state: Mutex<State<S, B>>,
    /// The worker has something to do.
    wake: Notify,
    /// The books changed.
    changed: Notify,
}

/// What is read and changed in one step.
pub(crate) struct State<S: Session, B: Book> {
    pub(crate) books: B,
    pub(crate) connection: ConnectionState,
    pub(crate) capabilities: Capabilities,
    /// When the last connection that was set up was lost.
    pub(crate) lost_at: Option<Timestamp>,
    /// A connection that wants to be set up.
    pub(crate) setup: Option<Setup<S>>,
    pub(crate) work: VecDeque<B::Todo>,
    /// What of that is [`about`](Book::about) a call, by call.
    waiting: HashMap<CallId, Vec<B::Todo>>,
    /// Settlements whose outcome could not be read, and when it is tried again.
    pub(crate) later: Vec<(Instant, CallId)>,
}

/// What a worker does next.
pub(crate) enum Turn<S: Session, B: Book> {
    SetUp(Setup<S>),
    Do(B::Todo),
    /// Nothing to do, until then at the latest.
    Rest(Option<Instant>),
}

impl<S: Session, B: Book> Hub<S, B> {
    pub(crate) fn new(
        name: &'static str,
        clock: SharedClock,
        books: B,
        capabilities: Capabilities,
    ) -> Self {
        let state = State {
            books,
            connection: ConnectionState::Disconnected,
            capabilities,
            lost_at: None,
            setup: None,
            work: VecDeque::new(),
            waiting: HashMap::new(),
            later: Vec::new(),
        };
        Self {
            name,
            clock,
            bus: EventBus::default(),
            health: Mutex::default(),
            state: Mutex::new(state),
            wake: Notify::new(),
            changed: Notify::new(),
        }
    }

    pub(crate) fn now(&self) -> Now {
        Now {
            instant: self.clock.now(),
            wall: self.clock.timestamp(),
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State<S, B>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn health(&self) -> MutexGuard<'_, HealthRecorder> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the books and publishes what follows, in one step: events and snapshots agree.
    pub(crate) fn change<T>(
        &self,
        change: impl FnOnce(&mut State<S, B>, Now) -> (T, Vec<SipEvent>),
    ) -> T {
        let now = self.now();
        let mut state = self.state();
        let (value, events) = change(&mut state, now);
        let wake = state.queue_todo();
        for event in events {
            self.bus.publish(now.wall, event);
        }
        drop(state);
        self.changed.notify_waiters();
        if wake {
            self.wake();
        }
        value
    }

    pub(crate) fn events(&self, change: impl FnOnce(&mut State<S, B>, Now) -> Vec<SipEvent>) {
        self.change(|state, now| ((), change(state, now)));
    }

    /// Notes what publishes nothing. The worker looks again at when it is wanted.
    pub(crate) fn note(&self, change: impl FnOnce(&mut State<S, B>, Now)) {
        self.change(|state, now| (change(state, now), Vec::new()));
        self.wake();
    }

    /// The worker looks for what there is to do, and until when it may rest.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Waits until `look` finds what it wants in the books, or `limit` is over. It is asked after
    /// each change.
    pub(crate) async fn until<T>(
        &self,
        limit: Duration,
        mut look: impl FnMut(&mut State<S, B>) -> Option<T>,
    ) -> Option<T> {
        let over = later(self.clock.now(), limit);
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Before the look: a change between the two must not be missed.
            changed.as_mut().enable();
            if let Some(found) = look(&mut self.state()) {
                return Some(found);
            }
            tokio::select! {
                () = changed => {}
                () = self.clock.sleep_until(over) => return look(&mut self.state()),
            }
        }
    }

    pub(crate) fn connection(&self, connection: ConnectionState) {
        self.events(|state, _| state.move_to(connection, None));
    }

    pub(crate) fn trouble(&self, severity: Severity, error: Error) {
        self.events(|_, _| vec![SipEvent::AdapterError { severity, error }]);
    }

    /// Answers an error if one of `needs` is missing.
    ///
    /// # Errors
    /// `Unsupported`.
    pub(crate) fn require(&self, needs: &[Capability], operation: &'static str) -> Result<()> {
        let state = self.state();
        if needs.iter().all(|&need| state.capabilities.has(need)) {
            Ok(())
        } else {
            Err(Error::unsupported(operation))
        }
    }

    /// How the adapter is.
    pub(crate) fn health_report(&self, kind: AdapterKind) -> Health {
        let active = u64::try_from(self.state().books.calls().len()).unwrap_or(u64::MAX);
        let now = self.now();
        self.health().health(kind, active, now.instant, now.wall)
    }

    /// What is there now. The state's lock is held: events are published under it, so the number fits
    /// the books.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let state = self.state();
        let mut snapshot = Snapshot::new(self.bus.seq(), state.connection);
        let calls = state.books.calls();
        snapshot.calls = calls.live().filter_map(|id| calls.status(id)).collect();
        state.books.snapshot(&mut snapshot);
        snapshot
    }

    /// What the worker does next: a set-up, then what ends or changes calls.
    #[cfg(any(feature = "asterisk", feature = "freeswitch", feature = "yate"))]
    pub(crate) fn turn(&self) -> Turn<S, B> {
        self.turn_for(|_| true)
    }

    /// As [`turn`](Self::turn), for a worker that does only what is `wanted` now. The rest waits.
    pub(crate) fn turn_for(&self, wanted: impl Fn(&B::Todo) -> bool) -> Turn<S, B> {
        let take = |state: &mut State<S, B>, now: Now| {
            if let Some(setup) = state.setup.take() {
                return Some(Turn::SetUp(setup));
            }
            if let Some(todo) = state.next_work(&wanted) {
                return Some(Turn::Do(todo));
            }
            if state.next_due().is_some_and(|due| due <= now.instant) {
                state.due(now);
                state.queue_todo();
            }
            state.next_work(&wanted).map(Turn::Do)
        };
        let mut state = self.state();
        let taken = take(&mut state, self.now());
        taken.unwrap_or_else(|| Turn::Rest(state.next_due()))
    }

    /// Waits until there may be something to do, until `at` at the latest.
    pub(crate) async fn rest(&self, at: Option<Instant>) {
        let until = async {
            match at {
                Some(at) => self.clock.sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.wake.notified() => {}
            () = until => {}
        }
    }

    /// The next change of the books.
    pub(crate) fn next_change(&self) -> Notified<'_> {
        self.changed.notified()
    }

    /// A connection is set up: opens it to everybody. `false` if it is lost already.
    ///
    /// All in one step: who sees `connect` return sees the state, and a link that is lost at this
    /// moment keeps its gap.
    #[cfg(any(feature = "asterisk", feature = "freeswitch", feature = "yate"))]
    pub(crate) fn connected(&self, setup: Setup<S>) -> bool {
        let connected_at = self.clock.now();
        self.change(|state, now| {
            if !setup.ready() {
                return (false, Vec::new());
            }
            self.health().connected(connected_at);
            let gap = state.lost_at.take().map(|from| Gap::new(from, now.wall));
            (true, state.move_to(ConnectionState::Connected, gap))
        })
    }

    /// As [`connected`](Self::connected), for an adapter without a link. `false` if it disconnects.
    #[cfg(any(feature = "kamailio", feature = "opensips", feature = "flexisip"))]
    pub(crate) fn opened(&self) -> bool {
        let connected_at = self.clock.now();
        self.change(|state, now| {
            if state.connection == ConnectionState::Disconnecting {
                return (false, Vec::new());
            }
            self.health().connected(connected_at);
            let gap = state.lost_at.take().map(|from| Gap::new(from, now.wall));
            (true, state.move_to(ConnectionState::Connected, gap))
        })
    }

    /// The connection is lost, since `at`: it is made again.
    pub(crate) fn lost(&self, at: Timestamp) {
        self.events(|state, _| {
            state.books.missed_events();
            match state.connection {
                // We are closing it.
                ConnectionState::Disconnecting => return Vec::new(),
                ConnectionState::Connected => {
                    state.lost_at.get_or_insert(at);
                }
                _ => {}
            }
            state.move_to(ConnectionState::Connecting, None)
        });
    }

    /// The end of a call could not be settled: the worker tries again.
    #[cfg(any(feature = "asterisk", feature = "freeswitch", feature = "yate"))]
    pub(crate) fn settle_later(&self, id: CallId) {
        let at = self.clock.now() + ASK_AGAIN;
        self.state().later.push((at, id));
    }

    /// The adapter stops: nothing of the books can be followed any longer. Answers how many calls
    /// were left alone.
    pub(crate) fn stop_following(&self) -> usize {
        self.change(|state, _| {
            state.forget_connection();
            let all: Vec<_> = state.books.calls().live().collect();
            for &id in &all {
                let message = "the adapter was disconnected; ask with lookup";
                let error = Error::new(ErrorKind::Closed, "disconnect", message).with_call_id(id);
                state.books.lose(id, error);
            }
            (all.len(), Vec::new())
        })
    }
}

impl<S: Session, B: Book> State<S, B> {
    /// Enters a state of the connection, with the event if it is another one.
    pub(crate) fn move_to(
        &mut self,
        connection: ConnectionState,
        gap: Option<Gap>,
    ) -> Vec<SipEvent> {
        if self.connection == connection {
            return Vec::new();
        }
        self.connection = connection;
        let mut changed = ConnectionChanged::new(connection);
        changed.gap = gap;
        vec![SipEvent::ConnectionStateChanged(changed)]
    }

    /// What can be asked of the adapter from now on, with the event if that is something else.
    pub(crate) fn set_capabilities(&mut self, now_can: Capabilities) -> Vec<SipEvent> {
        if self.capabilities == now_can {
            return Vec::new();
        }
        self.capabilities = now_can.clone();
        vec![SipEvent::CapabilitiesChanged(now_can)]
    }

    /// Queues what the books want, but for what waits already. Answers whether there is something new.
    fn queue_todo(&mut self) -> bool {
        let mut any = false;
        for todo in self.books.take_todo() {
            if let Some(id) = B::about(&todo) {
                let of_call = self.waiting.entry(id).or_default();
                if of_call.contains(&todo) {
                    continue;
                }
                of_call.push(todo);
            }
            self.work.push_back(todo);
            any = true;
        }
        any
    }

    /// Takes the next piece of work that is wanted now.
    fn next_work(&mut self, wanted: &impl Fn(&B::Todo) -> bool) -> Option<B::Todo> {
        loop {
            let at = self.work.iter().position(wanted)?;
            let todo = self.work.remove(at)?;
            let Some(id) = B::about(&todo) else {
                return Some(todo);
            };
            if let Entry::Occupied(mut of_call) = self.waiting.entry(id) {
                of_call.get_mut().retain(|other| *other != todo);
                if of_call.get().is_empty() {
                    of_call.remove();
                }
            }
            if self.books.calls().state(id).is_some() {
                return Some(todo);
            }
        }
    }

    /// When [`due`](Self::due) wants to be called.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let later = self.later.iter().map(|(at, _)| *at).min();
        let books = self.books.next_timeout();
        [books, later].into_iter().flatten().min()
    }

    /// Queues what is due.
    fn due(&mut self, now: Now) {
        self.books.timeout(now);
        let work = &mut self.work;
        self.later.retain(|&(at, id)| {
            let due = at <= now.instant;
            if due {
                work.push_back(B::settle_todo(id));
            }
            !due
        });
    }

    /// Forgets what belongs to a connection that is over for good.
    pub(crate) fn forget_connection(&mut self) {
        self.work.clear();
        self.waiting.clear();
        self.later.clear();
        self.books.forget_connection();
        self.setup = None;
        self.lost_at = None;
    }
}

/// Whether an answer may come when it is asked for again: the link is down, or the server too busy.
/// What was written stays written.
#[cfg(any(feature = "asterisk", feature = "freeswitch", feature = "yate"))]
pub(crate) fn is_passing(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::NotConnected
            | ErrorKind::Timeout
            | ErrorKind::OutcomeUnknown
            | ErrorKind::Overloaded
            | ErrorKind::ServerBusy
            | ErrorKind::Closed
            | ErrorKind::Protocol
    )
}

/// What is logged about one call has its id, and no number.
pub(crate) fn call_span(adapter: &'static str, id: Option<CallId>) -> tracing::Span {
    let call_id = id.map(tracing::field::display);
    tracing::debug_span!("call", call_id, adapter)
}

impl<S: Session, B: Book> fmt::Debug for Hub<S, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub")
            .field("name", &self.name)
            .field("connection", &self.state().connection)
            .finish_non_exhaustive()
    }
}
