//! What lives as long as the adapter, across connections: the books, the event bus, the health, and
//! what is known of the server.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use faxbot_core::{
    Error, ErrorKind, Result, Timestamp,
    clock::SharedClock,
    event::EventBus,
    id::CallId,
    sip::{
        Capabilities, ConnectionChanged, ConnectionState, Gap, HealthRecorder, Severity, SipEvent,
    },
};
use tokio::sync::Notify;

use super::{
    abilities::Abilities,
    books::{Books, Todo},
    config::AsteriskConfig,
    identity::{Identity, Successor},
    outcome::OutcomeStore,
    server::{Extent, Presence, Server},
    spool::Spool,
};
use crate::{adapter::calls::Now, driver::Setup, protocol::ami::AmiSession};

/// What lives as long as the adapter, across connections.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) config: AsteriskConfig,
    pub(super) store: OutcomeStore,
    pub(super) spool: Option<Spool>,
    pub(super) clock: SharedClock,
    pub(super) bus: EventBus<SipEvent>,
    health: Mutex<HealthRecorder>,
    state: Mutex<State>,
    /// The worker has something to do.
    pub(super) wake: Notify,
    /// The books changed.
    changed: Notify,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) books: Books,
    pub(super) connection: ConnectionState,
    pub(super) capabilities: Capabilities,
    /// Which run of which Asterisk the books are about.
    pub(super) identity: Option<Identity>,
    /// When another one was found behind the address: what it knows says nothing of requests before.
    pub(super) other_since: Option<Timestamp>,
    /// Since when this run of Asterisk is up, where it told.
    pub(super) up_since: Option<Timestamp>,
    /// What the server and the account can do, as far as they told.
    pub(super) abilities: Abilities,
    /// When the last connection that was set up was lost.
    pub(super) lost_at: Option<Timestamp>,
    pub(super) setup: Option<Setup<AmiSession>>,
    pub(super) work: VecDeque<Todo>,
    /// Settlements whose outcome could not be read, and when it is tried again.
    pub(super) later: Vec<(Instant, CallId)>,
}

impl Core {
    pub(super) fn new(config: AsteriskConfig, clock: SharedClock) -> Self {
        let store = OutcomeStore::new(&config.instance, &config.dialplan);
        let spool = config
            .spool
            .clone()
            .map(|spool| Spool::new(spool, &config.instance));
        let abilities = Abilities::hoped_for(!store.is_off());
        let mut books = Books::new();
        books.moves.context = store.context().map(str::to_owned);
        books.door.context.clone_from(&config.incoming_context);
        books.door.deadline = config.incoming_deadline;
        let state = State {
            books,
            connection: ConnectionState::Disconnected,
            capabilities: abilities.capabilities(&config),
            identity: None,
            other_since: None,
            up_since: None,
            abilities,
            lost_at: None,
            setup: None,
            work: VecDeque::new(),
            later: Vec::new(),
        };
        Self {
            config,
            store,
            spool,
            clock,
            bus: EventBus::default(),
            health: Mutex::default(),
            state: Mutex::new(state),
            wake: Notify::new(),
            changed: Notify::new(),
        }
    }

    pub(super) fn now(&self) -> Now {
        Now {
            instant: self.clock.now(),
            wall: self.clock.timestamp(),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn health(&self) -> MutexGuard<'_, HealthRecorder> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the books and publishes what follows, in one step: events and snapshots agree.
    pub(super) fn change<T>(
        &self,
        change: impl FnOnce(&mut State, Now) -> (T, Vec<SipEvent>),
    ) -> T {
        let now = self.now();
        let mut state = self.state();
        let (value, events) = change(&mut state, now);
        let todo = state.books.take_todo();
        let wake = !todo.is_empty();
        state.work.extend(todo);
        for event in events {
            self.bus.publish(now.wall, event);
        }
        drop(state);
        self.changed.notify_waiters();
        if wake {
            self.wake.notify_one();
        }
        value
    }

    pub(super) fn events(&self, change: impl FnOnce(&mut State, Now) -> Vec<SipEvent>) {
        self.change(|state, now| ((), change(state, now)));
    }

    /// Waits until `look` finds what it wants in the books, or `limit` is over. It is asked after
    /// each change.
    pub(super) async fn until<T>(
        &self,
        limit: Duration,
        mut look: impl FnMut(&mut State) -> Option<T>,
    ) -> Option<T> {
        let over = self.clock.now() + limit;
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

    pub(super) fn connection(&self, connection: ConnectionState) {
        self.events(|state, _| state.move_to(connection, None));
    }

    pub(super) fn trouble(&self, severity: Severity, error: Error) {
        self.events(|_, _| vec![SipEvent::AdapterError { severity, error }]);
    }

    /// What the server turned out to be able to do.
    pub(super) fn learn(&self, abilities: Abilities) {
        self.events(|state, _| {
            let now_can = abilities.capabilities(&self.config);
            state.abilities = abilities;
            if state.capabilities == now_can {
                return Vec::new();
            }
            state.capabilities = now_can.clone();
            vec![SipEvent::CapabilitiesChanged(now_can)]
        });
    }

    /// Makes sure that our extensions are there: a call that ends now leaves its outcome. A dialplan
    /// reload takes them away without an event (observed on Asterisk 16.28 and 22.10), so this comes
    /// before every Originate and again and again while calls are up. Answers whether calls can be
    /// sent to them; the inner error is why they are not there.
    pub(super) async fn secure(
        &self,
        server: &Server,
        extent: Extent,
        operation: &'static str,
    ) -> Result<Result<bool>> {
        if self.store.is_off() {
            return Ok(Ok(false));
        }
        match server.extensions(&self.store, extent, operation).await {
            Ok(Presence::Present { control, .. }) => return Ok(Ok(control)),
            Ok(Presence::Absent) if !self.store.is_automatic() => {
                return Ok(Err(Error::new(
                    ErrorKind::Config,
                    operation,
                    "the context of options.dialplan_context has no extension s; calls work, and their outcomes are not kept",
                )));
            }
            Ok(Presence::Absent) => {}
            // Without the class `reporting` nobody knows: ours is made again to be sure.
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                if !self.store.is_automatic() {
                    return Ok(Ok(true));
                }
            }
            Err(error) => return Err(error),
        }
        let made = server
            .make_extensions(&self.store, self.clock.timestamp(), operation)
            .await;
        match made {
            Err(error) if error.kind() != ErrorKind::PermissionDenied => Err(error),
            made => Ok(made.map(|()| true)),
        }
    }

    /// As [`secure`](Self::secure), while outcomes are kept. A server that no longer lets us goes on
    /// without.
    pub(super) async fn keep_extension(
        &self,
        server: &Server,
        operation: &'static str,
    ) -> Result<()> {
        if !self.state().abilities.outcomes {
            return Ok(());
        }
        if let Err(why) = self.secure(server, Extent::Handler, operation).await? {
            let abilities = self.state().abilities.clone().without_extensions();
            self.learn(abilities);
            self.trouble(Severity::Warning, why);
        }
        Ok(())
    }
}

impl State {
    /// Enters a state of the connection, with the event if it is another one.
    pub(super) fn move_to(
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

    pub(super) fn next_due(&self) -> Option<Instant> {
        let later = self.later.iter().map(|(at, _)| *at).min();
        [self.books.next_timeout(), later]
            .into_iter()
            .flatten()
            .min()
    }

    /// Queues what is due.
    pub(super) fn due(&mut self, now: Now) {
        self.books.timeout(now);
        let work = &mut self.work;
        self.later.retain(|&(at, id)| {
            let due = at <= now.instant;
            if due {
                work.push_back(Todo::Settle(id));
            }
            !due
        });
    }

    /// A server answers: enters what that says of the calls that were up.
    pub(super) fn answers(&mut self, identity: Identity, now: Now) {
        let before = self.identity.replace(identity.clone());
        match before.map_or(Successor::Same, |before| identity.after(&before)) {
            Successor::Same => return,
            // What handlers wrote before is in AstDB, and is read when the list of channels shows
            // that a call is gone.
            Successor::NextRun => {
                tracing::warn!("asterisk: the server was restarted");
                self.books.restarted(self.lost_at.unwrap_or(now.wall));
            }
            Successor::Other => {
                tracing::warn!(
                    "asterisk: another server answers, or a run of it that cannot be told apart; what became of the calls before is not certain"
                );
            }
        }
        self.other_since = Some(now.wall);
    }

    /// Forgets what belongs to a connection that is over for good.
    pub(super) fn forget_connection(&mut self) {
        self.work.clear();
        self.later.clear();
        self.books.door.forget();
        self.setup = None;
        self.lost_at = None;
        self.up_since = None;
    }
}
