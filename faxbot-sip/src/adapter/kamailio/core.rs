//! What lives as long as the adapter, across connections.

use std::{
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use faxbot_core::{
    Error, ErrorKind, Result, Timestamp,
    clock::SharedClock,
    http::HttpClient,
    id::CallId,
    random::{SharedRandom, SystemRandom},
    sip::SipEvent,
    task::{TaskSet, blocking},
};

use super::{
    abilities::Abilities,
    config::{KamailioConfig, RpcSocket},
    desk::{Desk, MARKS},
    event, links, place,
    server::{Cancel, Server},
    wire::{DialogHandle, method},
};
use crate::{
    adapter::{
        dialogs::Todo,
        hub::{Book as _, Hub},
        polled::{NoLink, Polled, Timing, Work},
        settings::RawEvents,
    },
    driver::{Connect, DatagramOptions, DatagramPeer, Rpc},
};

/// While events come, the list is only there for what they missed.
const SELDOM: u32 = 5;

/// How often the list is asked for without events while a call of ours has no dialog: the mark of one
/// that is over is not listed any more.
const AWAITING: Duration = Duration::from_millis(500);

/// How often it is asked which run of the server this is, beside the cases where that shows.
const ASK_RUN: Duration = Duration::from_secs(30);

/// How long a set-up waits for the connection of the events: what begins before it is in the list.
const EVENTS_WAIT: Duration = Duration::from_secs(1);

/// Bytes of the SDP that the first party is called with.
const MAX_BODY: u64 = 16 * 1024;

/// What lives as long as the adapter, across connections.
pub(super) struct Core {
    pub(super) config: KamailioConfig,
    pub(super) hub: Hub<NoLink, Desk>,
    http: OnceLock<Arc<dyn HttpClient>>,
    pub(super) connector: OnceLock<Arc<dyn Connect>>,
    random: SharedRandom,
    line: Mutex<Line>,
}

/// How the server is asked.
#[derive(Default)]
struct Line {
    rpc: Option<Rpc>,
    /// What the first party is called with.
    body: Option<Arc<str>>,
    /// When it was last asked which run of the server this is.
    run_asked: Option<Instant>,
}

impl Core {
    pub(super) fn new(config: KamailioConfig, clock: SharedClock) -> Self {
        let capabilities = Abilities::hoped_for().capabilities();
        let desk = Desk::new(config.controller.expose());
        Self {
            hub: Hub::new("kamailio", clock, desk, capabilities),
            http: OnceLock::new(),
            connector: OnceLock::new(),
            random: SystemRandom::shared(),
            line: Mutex::default(),
            config,
        }
    }

    /// Sets by whom the server is asked, unless that is set.
    pub(super) fn set_http(&self, client: Arc<dyn HttpClient>) {
        let _ = self.http.set(client);
    }

    /// Sets by whom events come, unless that is set.
    pub(super) fn set_connector(&self, connector: Arc<dyn Connect>) {
        let _ = self.connector.set(connector);
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The server, as it was last connected.
    ///
    /// # Errors
    /// `NotConnected` before the first time.
    pub(super) fn server(&self, operation: &'static str) -> Result<Server<'_>> {
        match self.line().rpc.clone() {
            Some(rpc) => Ok(Server::new(self, rpc)),
            None => Err(Error::new(
                ErrorKind::NotConnected,
                operation,
                "not connected; call connect first",
            )),
        }
    }

    /// The SDP that the first party is called with.
    pub(super) fn body(&self) -> Option<Arc<str>> {
        self.line().body.clone()
    }

    /// Opens the way to the server. Nothing is sent.
    async fn open(&self, tasks: &TaskSet) -> Result<()> {
        let clock = Arc::clone(&self.hub.clock);
        let random = Arc::clone(&self.random);
        let rpc = match &self.config.rpc_socket {
            Some(socket) => {
                let mut options = DatagramOptions::new();
                options.own = self
                    .config
                    .rpc_reply_socket
                    .as_ref()
                    .map(peer)
                    .transpose()?;
                // The one before has our socket, and no task that listens at it.
                self.line().rpc = None;
                Rpc::datagram(peer(socket)?, options, clock, random, tasks)?
            }
            None => {
                // Kept: its connections and its place in a digest.
                if self.line().rpc.is_some() {
                    return Ok(());
                }
                let (api, url) = self.config.http.client(
                    self.http.get(),
                    clock,
                    random,
                    self.config.request_timeout,
                )?;
                Rpc::http(api, url)
            }
        };
        self.line().rpc = Some(rpc);
        Ok(())
    }

    async fn read_body(&self) -> Result<()> {
        let Some(path) = self.config.agent_body.clone() else {
            return Ok(());
        };
        let read = blocking("connect", move || {
            let length = std::fs::metadata(&path)?.len();
            if length > MAX_BODY {
                return Err(std::io::ErrorKind::FileTooLarge.into());
            }
            std::fs::read_to_string(&path)
        });
        let body = read.await?.map_err(|error| {
            let message = "the file of agent_body cannot be read, or is no text below 16 KiB";
            Error::new(ErrorKind::Config, "connect", message).with_source(error)
        })?;
        self.line().body = Some(body.into());
        Ok(())
    }

    /// Asks which run of the server this is. Answers whether it is another one than before.
    pub(super) async fn is_other_run(
        &self,
        server: &Server<'_>,
        operation: &'static str,
    ) -> Result<bool> {
        let uptime = server.uptime(operation).await?;
        let now = self.hub.now();
        self.line().run_asked = Some(now.instant);
        let mut state = self.hub.state();
        let up = Duration::from_secs(uptime.seconds().unwrap_or_default());
        state.books.up_since = Some(now.wall - up);
        Ok(state.books.is_run(uptime.run()))
    }

    /// Takes the list of dialogs.
    async fn take_list(&self, server: &Server<'_>, operation: &'static str) -> Result<()> {
        loop {
            // Before the list is asked for: one that is older than the restart shows what is lost.
            let forgot = self.hub.state().books.forgot();
            let (seen, whole) = server.rows(operation).await?.into_seen(MARKS);
            let now = self.hub.clock.now();
            let asked = self.line().run_asked;
            let due = asked.is_none_or(|at| now.saturating_duration_since(at) >= ASK_RUN);
            let misses = whole && self.hub.state().books.misses(&seen);
            if !forgot && (due || misses) {
                self.is_other_run(server, operation).await?;
            }
            let mut again = false;
            self.hub.events(|state, now| {
                let mut out = Vec::new();
                // Whoever else asked may have noticed the restart meanwhile.
                again = !forgot && state.books.forgot();
                if again {
                    return out;
                }
                if forgot {
                    out.extend(state.books.restarted(&seen));
                }
                out.extend(state.books.listed(seen, whole, now));
                out
            });
            if !again {
                return Ok(());
            }
        }
    }

    /// One look at the server itself.
    pub(super) async fn check_health(&self, operation: &'static str) -> Result<()> {
        let server = self.server(operation)?;
        server.check_version(operation).await?;
        if self.is_other_run(&server, operation).await? {
            // The poll finds out what it forgot.
            self.hub.note(|state, _| state.books.poll_soon());
        }
        Ok(())
    }

    /// An event of the server.
    pub(super) fn told(&self, payload: &[u8]) {
        let Some(event) = event::read(payload) else {
            tracing::debug!(bytes = payload.len(), "kamailio: an event cannot be read");
            return;
        };
        let raw = match self.config.raw_events {
            RawEvents::Off => false,
            RawEvents::All => true,
            RawEvents::Unknown => !event.is_understood(),
        };
        self.hub.events(|state, now| {
            let mut out = state.books.told(&event, now);
            // Nobody listens: a busy server's events are not copied for nothing.
            if raw && self.hub.bus.streams() > 0 {
                out.push(SipEvent::Raw(event.raw()));
            }
            out
        });
    }

    /// Ends a call that is up.
    pub(super) async fn end_dialog(
        &self,
        server: &Server<'_>,
        id: CallId,
        operation: &'static str,
    ) -> Result<()> {
        let (handle, key) = {
            let state = self.hub.state();
            let dialogs = &state.books.dialogs;
            let handle = dialogs.handle(id);
            let handle = handle.as_deref().and_then(DialogHandle::parse);
            let seen = dialogs.seen(id);
            (
                handle,
                seen.map(|seen| (seen.call_id.clone(), seen.from_tag.clone())),
            )
        };
        let handle = match (handle, key) {
            (Some(handle), _) => Some(handle),
            (None, Some((call_id, from_tag))) => {
                let tag = (!from_tag.is_empty()).then_some(from_tag.as_str());
                let dialog = server.dialog(&call_id, tag, operation).await?;
                dialog.and_then(|dialog| dialog.handle)
            }
            (None, None) => None,
        };
        let Some(handle) = handle else {
            return Err(Error::new(ErrorKind::NotFound, operation, "no such dialog"));
        };
        server.end(handle, operation).await
    }

    /// A last look for the dialog of a call of ours, which may have come between two. A first party that
    /// rings on is rung no longer.
    async fn look_for(&self, id: CallId) {
        const OPERATION: &str = "poll";
        let awaited = || self.hub.state().books.is_awaited(id);
        let later = || {
            self.hub.note(|state, now| state.books.look_later(id, now));
        };
        if !awaited() {
            return;
        }
        let Ok(server) = self.server(OPERATION) else {
            return later();
        };
        let Ok(rows) = server.rows(OPERATION).await else {
            // Who cannot look knows nothing.
            return later();
        };
        let (seen, _) = rows.into_seen(MARKS);
        self.hub
            .events(|state, now| state.books.listed(seen, false, now));
        let leg = self.hub.state().books.ringing_leg(id);
        if let Some(call_id) = leg {
            let quiet = || self.hub.note(|state, now| state.books.cancelled(id, now));
            match server.cancel(&call_id, OPERATION).await {
                Ok(Cancel::Sent) => return quiet(),
                // What the answer was is told by now, or seen the next time.
                Ok(Cancel::TooLate) if !self.hub.state().books.had_answer(id) => return later(),
                Ok(Cancel::TooLate) => {}
                Ok(Cancel::Gone) => quiet(),
                // It did not leave.
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::Overloaded | ErrorKind::NotConnected
                    ) =>
                {
                    return later();
                }
                Err(_) => {}
            }
        }
        self.hub.events(|state, now| state.books.unreached(id, now));
    }

    /// When the server that answers was started, by our clock.
    pub(super) fn up_since(&self) -> Option<Timestamp> {
        self.hub.state().books.up_since
    }
}

#[cfg(unix)]
fn peer(socket: &RpcSocket) -> Result<DatagramPeer> {
    Ok(match socket {
        RpcSocket::Unix(path) => DatagramPeer::Unix(path.clone()),
        RpcSocket::Udp(address) => DatagramPeer::Udp(*address),
    })
}

#[cfg(not(unix))]
fn peer(socket: &RpcSocket) -> Result<DatagramPeer> {
    match socket {
        RpcSocket::Unix(_) => {
            let message = "this system has no unix sockets";
            Err(Error::new(ErrorKind::Config, "connect", message))
        }
        RpcSocket::Udp(address) => Ok(DatagramPeer::Udp(*address)),
    }
}

impl Polled for Core {
    type Books = Desk;

    fn hub(&self) -> &Hub<NoLink, Desk> {
        &self.hub
    }

    fn timing(&self) -> Timing {
        let (events, awaits) = {
            let books = &self.hub.state().books;
            (books.has_events(), books.awaits_dialogs())
        };
        let poll = match (events, awaits) {
            (true, _) => self.config.poll * SELDOM,
            (false, true) => self.config.poll.min(AWAITING),
            (false, false) => self.config.poll,
        };
        Timing {
            connect_timeout: self.config.connect_timeout,
            poll,
            wait_for_server: self.config.wait_for_server,
        }
    }

    async fn set_up(self: &Arc<Self>, tasks: &TaskSet) -> Result<()> {
        const OPERATION: &str = "connect";
        self.open(tasks).await?;
        self.read_body().await?;
        let server = self.server(OPERATION)?;
        server.check_version(OPERATION).await?;
        let methods = server.methods(OPERATION).await?;
        if !methods.has(method::DIALOGS) {
            let message = "the server has no dlg.list: load its module dialog";
            return Err(Error::new(ErrorKind::Config, OPERATION, message));
        }
        let mut abilities = Abilities::of(&methods);
        // Datagrams have no answer that comes later: `failed to create context`, of both versions.
        abilities.sends &= self.config.rpc_socket.is_none();
        self.hub.events(|state, _| {
            state.books.abilities = abilities;
            state.set_capabilities(abilities.capabilities())
        });
        if links::start(self, tasks) {
            let up = |state: &mut crate::adapter::hub::State<NoLink, Desk>| {
                state.books.has_events().then_some(())
            };
            // Without them it polls.
            let _ = self.hub.until(EVENTS_WAIT, up).await;
        }
        self.is_other_run(&server, OPERATION).await?;
        self.take_list(&server, OPERATION).await
    }

    async fn poll(self: &Arc<Self>) -> Result<()> {
        const OPERATION: &str = "poll";
        let server = self.server(OPERATION)?;
        self.take_list(&server, OPERATION).await
    }

    fn work(todo: &Todo) -> Work {
        todo.work()
    }

    async fn carry_out(self: &Arc<Self>, todo: Todo) {
        match todo {
            Todo::Settle(id) => self
                .hub
                .events(|state, now| state.books.dialogs.settle(id, now)),
            Todo::Unreached(id) => self.look_for(id).await,
            // What became of a request whose answer was lost shows in the list alone.
            Todo::Look(_) | Todo::Poll => self.hub.note(|state, _| state.books.poll_soon()),
            Todo::HangUp(id) => place::hang_up_late(self, id).await,
        }
    }

    async fn close(&self) {}

    fn hangs_up_on_close(&self) -> bool {
        self.config.hangup_on_close
    }

    async fn hang_up_on_close(&self, id: CallId, _limit: Duration) -> Result<()> {
        const OPERATION: &str = "disconnect";
        let (answered, leg) = {
            let mut state = self.hub.state();
            let answered = state.books.calls().is_answered(id);
            let leg = state.books.ringing_leg(id);
            if !answered && leg.is_none() {
                // Nothing can end it.
                return Ok(());
            }
            state.books.dialogs.hung_up_by_us(id, true);
            (answered, leg)
        };
        let server = self.server(OPERATION)?;
        match leg {
            Some(call_id) if !answered => {
                let done = server.cancel(&call_id, OPERATION).await;
                done.map(|_| ())
            }
            _ => self.end_dialog(&server, id, OPERATION).await,
        }
    }
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core")
            .field("hub", &self.hub)
            .finish_non_exhaustive()
    }
}
