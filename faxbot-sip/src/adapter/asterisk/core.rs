//! What lives as long as the adapter, across connections: the books, the event bus, the health, and
//! what is known of the server.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use faxbot_core::{
    Error, ErrorKind, Result, Timestamp,
    clock::SharedClock,
    event::EventBus,
    id::CallId,
    sip::{
        Capabilities, Capability, ConnectionChanged, ConnectionState, Gap, HealthRecorder,
        Severity, SipEvent,
    },
};
use tokio::sync::Notify;

use super::{
    books::{Books, Todo},
    config::AsteriskConfig,
    outcome::OutcomeStore,
    server::{Presence, Server, Startup},
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
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) books: Books,
    pub(super) connection: ConnectionState,
    pub(super) capabilities: Capabilities,
    /// Which run of Asterisk the books are about.
    pub(super) startup: Option<Startup>,
    /// Since when this run of Asterisk is up, where it told.
    pub(super) up_since: Option<Timestamp>,
    /// Whether hangup handlers write their outcomes.
    pub(super) outcomes: bool,
    /// Whether the server can fax, as far as it told.
    pub(super) fax: bool,
    /// When the last connection that was set up was lost.
    pub(super) lost_at: Option<Timestamp>,
    pub(super) setup: Option<Setup<AmiSession>>,
    pub(super) work: VecDeque<Todo>,
    /// Settlements whose outcome could not be read, and when it is tried again.
    pub(super) later: Vec<(Instant, CallId)>,
}

impl Core {
    pub(super) fn new(config: AsteriskConfig, clock: SharedClock) -> Self {
        let store = OutcomeStore::new(&config.instance, &config.outcome);
        let spool = config
            .spool
            .clone()
            .map(|spool| Spool::new(spool, &config.instance));
        let fax = spool.is_some();
        let state = State {
            books: Books::new(),
            connection: ConnectionState::Disconnected,
            capabilities: capabilities(!store.is_off(), fax),
            startup: None,
            up_since: None,
            outcomes: false,
            fax,
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
        if wake {
            self.wake.notify_one();
        }
        value
    }

    pub(super) fn events(&self, change: impl FnOnce(&mut State, Now) -> Vec<SipEvent>) {
        self.change(|state, now| ((), change(state, now)));
    }

    pub(super) fn connection(&self, connection: ConnectionState) {
        self.events(|state, _| state.move_to(connection, None));
    }

    pub(super) fn trouble(&self, severity: Severity, error: Error) {
        self.events(|_, _| vec![SipEvent::AdapterError { severity, error }]);
    }

    /// What the server turned out to be able to do.
    pub(super) fn learn(&self, outcomes: bool, fax: bool) {
        self.events(|state, _| {
            (state.outcomes, state.fax) = (outcomes, fax);
            let now_can = capabilities(outcomes, fax);
            if state.capabilities == now_can {
                return Vec::new();
            }
            state.capabilities = now_can.clone();
            vec![SipEvent::CapabilitiesChanged(now_can)]
        });
    }

    /// Makes sure that a call that ends now leaves its outcome. A dialplan reload takes our extension
    /// away without an event (observed on Asterisk 16.28 and 22.10), so this comes before every
    /// Originate and again and again while calls are up. The inner error is why it cannot be.
    pub(super) async fn secure(
        &self,
        server: &Server,
        operation: &'static str,
    ) -> Result<Result<()>> {
        if self.store.is_off() {
            return Ok(Ok(()));
        }
        match server.extension(&self.store, operation).await {
            Ok(Presence::Present { .. }) => return Ok(Ok(())),
            Ok(Presence::Absent) if !self.store.is_automatic() => {
                return Ok(Err(Error::new(
                    ErrorKind::Config,
                    operation,
                    "the context of options.outcome_context has no extension s; calls work, and their outcomes are not kept",
                )));
            }
            Ok(Presence::Absent) => {}
            // Without the class `reporting` nobody knows: ours is made again to be sure.
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                if !self.store.is_automatic() {
                    return Ok(Ok(()));
                }
            }
            Err(error) => return Err(error),
        }
        let made = server
            .make_extension(&self.store, self.clock.timestamp(), operation)
            .await;
        match made {
            Err(error) if error.kind() != ErrorKind::PermissionDenied => Err(error),
            made => Ok(made),
        }
    }

    /// As [`secure`](Self::secure), while outcomes are kept. A server that no longer lets us goes on
    /// without.
    pub(super) async fn keep_extension(
        &self,
        server: &Server,
        operation: &'static str,
    ) -> Result<()> {
        if !self.state().outcomes {
            return Ok(());
        }
        if let Err(why) = self.secure(server, operation).await? {
            let fax = self.state().fax;
            self.learn(false, fax);
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

    /// Forgets what belongs to a connection that is over for good.
    pub(super) fn forget_connection(&mut self) {
        self.work.clear();
        self.later.clear();
        self.setup = None;
        self.lost_at = None;
        self.up_since = None;
    }
}

/// What this version does, by what the configuration and the server allow.
fn capabilities(outcomes: bool, fax: bool) -> Capabilities {
    let mut all: Capabilities = [
        Capability::Dial,
        Capability::OnAnswerPark,
        Capability::OnAnswerExtension,
        Capability::OnAnswerApplication,
        Capability::Variables,
        Capability::Hangup,
    ]
    .into_iter()
    .collect();
    if outcomes {
        all = all.with(Capability::LookupEnded);
    }
    if fax {
        all.with(Capability::SendFax)
    } else {
        all
    }
}
