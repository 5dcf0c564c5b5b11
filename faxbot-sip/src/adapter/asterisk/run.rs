//! One run of the adapter, from connect to disconnect: the pump that feeds the books with events,
//! and the worker that asks the server for what the books want to know.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use faxbot_core::{
    Error, ErrorKind, Private, Result, Timestamp,
    clock::SharedClock,
    event::EventBus,
    id::CallId,
    sip::{
        Capabilities, Capability, ConnectionChanged, ConnectionState, Gap, HealthRecorder,
        RawEvent, Severity, SipEvent,
    },
    task::blocking,
};
use tokio::sync::Notify;

use super::{
    config::{AsteriskConfig, RawEvents},
    event::{Books, Todo},
    outcome::{Leg, OutcomeStore, Report},
    server::{Presence, Server, Startup},
    spool::Spool,
};
use crate::{
    adapter::calls::Now,
    driver::{Handle, LinkEvent, LinkEvents, Setup},
    protocol::ami::{AmiSession, Message},
};

/// Outcomes that nobody released go after this long.
const KEEP_OUTCOMES: Duration = Duration::from_secs(7 * 24 * 3600);

/// How often an outcome that could not be read is asked for again.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// Events that have a form of ours, or say nothing to a user of calls and faxes.
const UNDERSTOOD: &[&str] = &[
    "newchannel",
    "newstate",
    "varset",
    "faxstatus",
    "sendfax",
    "originateresponse",
    "hangup",
    "hanguprequest",
    "softhanguprequest",
    "newexten",
    "newcallerid",
    "newconnectedline",
    "dialbegin",
    "dialstate",
    "dialend",
    "localbridge",
    "localoptimizationbegin",
    "localoptimizationend",
    "rtcpsent",
    "rtcpreceived",
    "fullybooted",
    "successfulauth",
    "challengesent",
    "reload",
    "shutdown",
    "hanguphandlerpush",
    "hanguphandlerrun",
    "hanguphandlerpop",
    "devicestatechange",
    "extensionstatus",
];

/// What lives as long as the adapter, across connections.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) config: AsteriskConfig,
    pub(super) store: OutcomeStore,
    pub(super) spool: Option<Spool>,
    pub(super) clock: SharedClock,
    pub(super) bus: EventBus<SipEvent>,
    pub(super) health: Mutex<HealthRecorder>,
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
    startup: Option<Startup>,
    /// Since when this run of Asterisk is up, where it told.
    pub(super) up_since: Option<Timestamp>,
    /// Whether hangup handlers write their outcomes.
    pub(super) outcomes: bool,
    /// Since when the extension of the handlers is there without a break; `None` where it was there
    /// already when we first looked.
    intact_since: Option<Timestamp>,
    lost_at: Option<Timestamp>,
    setup: Option<Setup<AmiSession>>,
    work: VecDeque<Todo>,
    /// Settlements whose outcome could not be read, and when it is tried again.
    later: Vec<(std::time::Instant, CallId)>,
}

impl Core {
    pub(super) fn new(config: AsteriskConfig, clock: SharedClock) -> Self {
        let store = OutcomeStore::new(&config.instance, &config.outcome);
        let spool = config
            .spool
            .clone()
            .map(|spool| Spool::new(spool, &config.instance));
        let state = State {
            books: Books::new(),
            connection: ConnectionState::Disconnected,
            capabilities: capabilities(!store.is_off(), spool.is_some()),
            startup: None,
            up_since: None,
            outcomes: false,
            intact_since: None,
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

    pub(super) fn connection(&self, connection: ConnectionState, gap: Option<Gap>) {
        self.events(|state, _| {
            if state.connection == connection {
                return Vec::new();
            }
            state.connection = connection;
            let mut changed = ConnectionChanged::new(connection);
            changed.gap = gap;
            vec![SipEvent::ConnectionStateChanged(changed)]
        });
    }

    fn trouble(&self, severity: Severity, error: Error) {
        self.events(|_, _| vec![SipEvent::AdapterError { severity, error }]);
    }

    /// Makes sure that a call that ends now leaves its outcome. A dialplan reload takes our extension
    /// away without an event (observed on Asterisk 16.28 and 22.10), so this comes before every
    /// Originate and again and again while calls are up.
    pub(super) async fn keep_extension(
        &self,
        server: &Server,
        operation: &'static str,
    ) -> Result<()> {
        if !self.state().outcomes
            || server.extension(&self.store, operation).await? == Presence::Present
        {
            return Ok(());
        }
        // Calls that ended since the reload left nothing.
        let now = self.clock.timestamp();
        self.state().intact_since = Some(now);
        server.make_extension(&self.store, operation).await
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

/// Takes the link's events until the link ends.
pub(super) async fn pump(core: Arc<Core>, mut events: LinkEvents<AmiSession>) {
    while let Some(event) = events.recv().await {
        match event {
            LinkEvent::Up { setup, .. } => {
                core.state().setup = Some(setup);
                core.wake.notify_one();
            }
            LinkEvent::Event { event, .. } => take(&core, &event),
            LinkEvent::Down { reason, at, .. } => {
                core.health().disconnected();
                core.events(|state, _| {
                    state.books.missed_events();
                    state.lost_at.get_or_insert(at);
                    Vec::new()
                });
                tracing::info!(%reason, "asterisk: connection lost");
                core.connection(ConnectionState::Connecting, None);
            }
            LinkEvent::AttemptFailed {
                reason, critical, ..
            } => {
                core.health().connection_failed();
                let severity = if critical {
                    Severity::Critical
                } else {
                    Severity::Warning
                };
                core.trouble(severity, reason.into_error("connect"));
            }
            LinkEvent::GaveUp { reason } => {
                core.trouble(Severity::Critical, reason.into_error("connect"));
                core.connection(ConnectionState::Error, None);
            }
        }
    }
}

fn take(core: &Core, event: &Message) {
    if event.is_event("FullyBooted")
        && let Some(uptime) = event
            .get_str("Uptime")
            .and_then(|uptime| uptime.parse().ok())
    {
        let up_since = core.clock.timestamp() - Duration::from_secs(uptime);
        core.state().up_since = Some(up_since);
    }
    let raw = match core.config.raw_events {
        RawEvents::Off => false,
        RawEvents::All => true,
        RawEvents::Unknown => {
            let name = event.event().unwrap_or_default();
            !UNDERSTOOD
                .iter()
                .any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
        }
    };
    core.events(|state, now| {
        let mut out = state.books.event(event, now);
        // Nobody listens: a busy server's events are not copied for nothing.
        if raw && core.bus.streams() > 0 {
            out.push(SipEvent::Raw(raw_event(event)));
        }
        out
    });
}

fn raw_event(event: &Message) -> RawEvent {
    let name = String::from_utf8_lossy(event.event().unwrap_or_default()).into_owned();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let fields = event
        .headers()
        .map(|(key, value)| (text(key), Private::new(text(value))))
        .collect();
    RawEvent::new(name, fields)
}

/// Asks the server for what the books want to know, one question after the other.
pub(super) async fn work(core: Arc<Core>, handle: Handle<AmiSession>) {
    let server = Server::new(handle, core.config.request_timeout);
    let mut next_poll = core.clock.now() + core.config.fax_poll;
    loop {
        let setup = core.state().setup.take();
        if let Some(setup) = setup {
            set_up(&core, setup).await;
            continue;
        }
        let todo = core.state().work.pop_front();
        if let Some(todo) = todo {
            carry_out(&core, &server, todo).await;
            continue;
        }
        let now = core.clock.now();
        if now >= next_poll {
            next_poll = now + core.config.fax_poll;
            if let Err(error) = poll(&core, &server).await {
                tracing::debug!(%error, "asterisk: progress of faxes could not be asked for");
            }
            continue;
        }
        let due = core.state().next_due();
        if due.is_some_and(|due| due <= now) {
            core.events(|state, now| {
                state.due(now);
                Vec::new()
            });
            continue;
        }
        let wake_at = due.map_or(next_poll, |due| due.min(next_poll));
        tokio::select! {
            () = core.wake.notified() => {}
            () = core.clock.sleep_until(wake_at) => {}
        }
    }
}

impl State {
    /// Whether a call that was requested then and ended since must have left its outcome.
    pub(super) fn kept_since(&self, requested: Timestamp) -> bool {
        self.outcomes && self.intact_since.is_none_or(|since| since < requested)
    }

    fn next_due(&self) -> Option<std::time::Instant> {
        let later = self.later.iter().map(|(at, _)| *at).min();
        [self.books.next_timeout(), later]
            .into_iter()
            .flatten()
            .min()
    }

    fn due(&mut self, now: Now) {
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
}

async fn carry_out(core: &Core, server: &Server, todo: Todo) {
    match todo {
        Todo::Settle(id) => settle(core, server, id).await,
        Todo::Check(id) => {
            // A check that fails is due again by itself.
            if let Ok(list) = server.channels("lookup").await {
                core.events(|state, now| state.books.channels(&list, &[id], now));
            }
        }
        Todo::HangUp(id) => {
            if server
                .hang_up(&super::outcome::channel_id(id))
                .await
                .is_err()
            {
                core.events(|state, now| {
                    state.books.unsure(id, now);
                    Vec::new()
                });
            }
        }
        Todo::Reloaded => keep_extension(core, server).await,
    }
}

async fn keep_extension(core: &Core, server: &Server) {
    if let Err(error) = core.keep_extension(server, "lookup").await {
        tracing::warn!(%error, "asterisk: it is not certain that calls that end now leave their outcome");
    }
}

/// Ends a call with what its handler left.
async fn settle(core: &Core, server: &Server, id: CallId) {
    let outcomes = core.state().outcomes;
    let report = if outcomes {
        server.outcome(&core.store, id).await
    } else {
        Ok(None)
    };
    match report {
        Ok(report) => finish(core, id, report.as_ref()).await,
        // The link is down, or the server too busy to answer: what was written stays written.
        Err(_) => {
            let at = core.clock.now() + ASK_AGAIN;
            core.state().later.push((at, id));
        }
    }
}

async fn finish(core: &Core, id: CallId, report: Option<&Report>) {
    let was_fax = core.change(|state, now| {
        let was_fax = state.books.is_fax(id);
        (was_fax, state.books.finish(id, report, now))
    });
    if was_fax {
        clear_spool(core, id).await;
    }
}

/// The pages of a fax go when its outcome is final.
pub(super) async fn clear_spool(core: &Core, id: CallId) {
    if let Some(spool) = core.spool.clone() {
        let removed = blocking("send_fax", move || spool.remove(id)).await;
        if !matches!(removed, Ok(Ok(()))) {
            tracing::warn!(call_id = %id, "asterisk: the pages of a fax could not be removed from the spool; the next connect tries again");
        }
    }
}

/// Everything that makes a connection "connected": which run of Asterisk this is, the outcome
/// extension, the calls that ended meanwhile, leftovers.
async fn set_up(core: &Core, setup: Setup<AmiSession>) {
    let server = Server::new(setup.handle().clone(), core.config.request_timeout);
    match prepare(core, &server).await {
        Ok(()) => {
            let gap = {
                let mut state = core.state();
                state.lost_at.take().map(|from| Gap {
                    from,
                    to: core.clock.timestamp(),
                })
            };
            core.health().connected(core.clock.now());
            if setup.ready() {
                core.connection(ConnectionState::Connected, gap);
            }
        }
        Err(error) => {
            tracing::warn!(%error, "asterisk: the connection could not be set up");
            setup.fail(error);
        }
    }
}

async fn prepare(core: &Core, server: &Server) -> Result<()> {
    let startup = server.startup().await?;
    let before = core.state().startup.replace(startup.clone());
    if before.is_some_and(|before| before != startup) {
        // Its channels are gone without a handler having run. What was written before is in AstDB,
        // and is read when the list below shows that a call is gone.
        tracing::warn!("asterisk: the server was restarted");
    }
    let outcomes = keep_outcomes(core, server).await?;
    let fax = core.spool.is_some() && server.has_module("res_fax", "connect").await? != Some(false);
    core.events(|state, _| {
        state.outcomes = outcomes;
        let now_can = capabilities(outcomes, fax);
        if state.capabilities == now_can {
            return Vec::new();
        }
        state.capabilities = now_can.clone();
        vec![SipEvent::CapabilitiesChanged(now_can)]
    });
    let list = server.channels("connect").await?;
    let ours = core.state().books.live();
    core.events(|state, now| state.books.channels(&list, &ours, now));
    sweep_spool(core, &list).await;
    sweep_outcomes(core, server, outcomes).await
}

/// Whether outcomes are kept on this server.
async fn keep_outcomes(core: &Core, server: &Server) -> Result<bool> {
    if core.store.is_off() {
        return Ok(false);
    }
    if !core.store.is_automatic() {
        return Ok(true);
    }
    // Looked at before it is made again: one that is gone took outcomes with it.
    let presence = server.extension(&core.store, "connect").await;
    match server.make_extension(&core.store, "connect").await {
        Ok(()) => {
            if !matches!(presence, Ok(Presence::Present)) {
                let now = core.clock.timestamp();
                core.state().intact_since = Some(now);
            }
            Ok(true)
        }
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            core.trouble(Severity::Warning, error);
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

async fn sweep_spool(core: &Core, list: &[super::event::LiveChannel]) {
    let Some(spool) = core.spool.clone() else {
        return;
    };
    let live = list
        .iter()
        .filter_map(|channel| match Leg::of(&channel.uniqueid) {
            Some(Leg::Own(id)) => Some(id),
            _ => None,
        });
    let keep = live.chain(core.state().books.live()).collect();
    match blocking("connect", move || spool.sweep(&keep)).await {
        Ok(Ok(0)) => {}
        Ok(Ok(swept)) => tracing::info!(
            swept,
            "asterisk: leftover pages were removed from the spool"
        ),
        _ => core.trouble(
            Severity::Warning,
            Error::new(
                ErrorKind::Config,
                "connect",
                "the spool directory cannot be read; run preflight()",
            ),
        ),
    }
}

/// Deletes outcomes that nobody released within 7 days.
async fn sweep_outcomes(core: &Core, server: &Server, outcomes: bool) -> Result<()> {
    if !outcomes {
        return Ok(());
    }
    let limit = core.clock.timestamp() - KEEP_OUTCOMES;
    let kept = match server.family(core.store.family()).await {
        Ok(kept) => kept,
        // A server without DBGetTree keeps its leftovers; calls work all the same.
        Err(error) if error.kind() != ErrorKind::NotConnected => {
            tracing::warn!(%error, "asterisk: old outcomes could not be listed");
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    for (key, value) in kept {
        let old = Report::parse(&value)
            .and_then(|report| report.ended)
            .is_some_and(|ended| ended < limit);
        if old {
            server.forget(core.store.family(), &key, "connect").await?;
        }
    }
    Ok(())
}

async fn poll(core: &Core, server: &Server) -> Result<()> {
    let (calls, faxes) = {
        let state = core.state();
        (state.books.len(), state.books.answered_faxes())
    };
    if calls == 0 || !server.is_up() {
        return Ok(());
    }
    keep_extension(core, server).await;
    if faxes.is_empty() {
        return Ok(());
    }
    for (channel, session) in server.fax_sessions().await? {
        let Some(&id) = faxes.get(&channel) else {
            continue;
        };
        if let Some(answer) = server.fax_session(&session).await? {
            core.events(|state, now| state.books.fax_session(id, &answer, now));
        }
    }
    Ok(())
}

/// The adapter stops: nothing of the books can be followed any longer.
pub(super) fn stop_following(core: &Core) -> usize {
    core.change(|state, _| {
        state.work.clear();
        state.later.clear();
        state.setup = None;
        state.lost_at = None;
        let left = state.books.lose_all(|id| {
            Error::new(
                ErrorKind::Closed,
                "disconnect",
                "the adapter was disconnected; ask with lookup",
            )
            .with_call_id(id)
        });
        (left, Vec::new())
    })
}
