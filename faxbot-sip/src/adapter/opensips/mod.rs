//! OpenSIPS 3.2 to 3.6 by its management interface.
//!
//! ```no_run
//! use faxbot_core::sip::{CallRequest, SipAdapter as _};
//! use faxbot_sip::adapter::opensips::{OpenSipsAdapter, OpenSipsConfig};
//!
//! # async fn run() -> faxbot_core::Result<()> {
//! let config = OpenSipsConfig::from_url("opensips+http://127.0.0.1:8888/mi?events=udp:127.0.0.1:0")?;
//! let opensips = OpenSipsAdapter::new(config);
//! opensips.connect().await?;
//! let (from, to) = ("1001".parse()?, "+493012345678".parse()?);
//! let call = opensips.make_call(CallRequest::connect(from, to)).await?;
//! call.answered().await?;
//! opensips.hangup(&call.call_ref()).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # What the server needs
//!
//! The modules `httpd` and `mi_http`, with `receive_buf_size` above its default of 1,024 bytes. What else
//! is loaded decides what can be asked: `dialog` (calls), `b2b_logic` with `server_address` (placing
//! calls), `callops` (hold, transfer), `tm` (messages), `event_datagram` or `event_stream` (events), `acc`
//! (why calls ended).
//!
//! # Events
//!
//! With `options.events` the adapter opens a socket and subscribes; without it, and beside it, the list of
//! dialogs is asked for. `E_DLG_STATE_CHANGED` has no reason: why a call was not answered is told by
//! `E_ACC_MISSED_EVENT` where the script accounts for it, and is unknown otherwise. Who can send to the
//! socket can tell of calls that are none: keep it to this machine or a network of your own.
//!
//! # Requests that the server sends
//!
//! A message over HTTP keeps the one process of the management interface until SIP has an answer, and
//! with it all other requests, also those of other clients. Configure `options.mi_datagram`.
//!
//! # What OpenSIPS does not keep
//!
//! Nothing of a call that is over, and after a restart nothing at all: then calls end as unknown, and
//! [`lookup`](SipAdapter::lookup) says so.

mod abilities;
mod api;
mod config;
mod control;
mod core;
mod event;
mod limits;
mod lookup;
mod message;
mod pages;
mod place;
mod profiles;
mod rounds;
mod run;
mod server;
mod sessions;
mod state;
mod subscribe;
mod target;
mod watches;
mod wire;

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use faxbot_core::{
    Result,
    clock::{SharedClock, TokioClock},
    config::ConfigErrors,
    event::EventStream,
    http::HttpClient,
    id::{CallId, CallRef},
    message::MessageResult,
    plugin::Page,
    random::SystemRandom,
    sip::{
        AdapterKind, Call, CallRecord, CallRequest, CallStatus, Capabilities, Capability,
        Connection, Drained, HangupOutcome, Health, HistoryQuery, Lookup, SipAdapter, SipEvent,
        SipMessage, Snapshot, SupportedVersions, TransferRequest,
    },
};
use serde_json::Value;
use tracing::Instrument as _;

pub use self::{
    config::{EventSocket, FIELDS, Leg, OpenSipsConfig, SCHEMES},
    message::Pong,
    sessions::{NewSession, SessionBody, SessionEvent, SessionEventKind},
    wire::{
        b2b::{Tuple, TupleState},
        dialog::{Dialog, DialogState},
        routing::{
            Balanced, BalancedResource, Dispatcher, DispatcherState, Profile, ProfileValue, Trunk,
        },
        server::ServerVersion,
        users::{Contact, Registration, Session},
    },
};
use self::{
    control::{hold, transfer},
    core::Core,
    server::Server,
};
use crate::{
    adapter::{hub::call_span, polled::PolledLife},
    protocol::jsonrpc::Notification,
};

/// One OpenSIPS. Clones share it.
#[derive(Clone)]
pub struct OpenSipsAdapter {
    core: Arc<Core>,
    life: PolledLife<Core>,
}

impl OpenSipsAdapter {
    /// An adapter that is not connected.
    pub fn new(config: OpenSipsConfig) -> Self {
        Self::make(config, TokioClock::shared(), None)
    }

    /// As [`new`](Self::new), with a clock of the caller's, for tests.
    pub fn with_clock(config: OpenSipsConfig, clock: SharedClock) -> Self {
        Self::make(config, clock, None)
    }

    /// Asks by a client of the caller's: a proxy, a test. Calls that were placed before are forgotten.
    #[must_use]
    pub fn with_http(self, http: Arc<dyn HttpClient>) -> Self {
        let clock = Arc::clone(&self.core.hub.clock);
        Self::make(self.core.config.clone(), clock, Some(http))
    }

    fn make(config: OpenSipsConfig, clock: SharedClock, http: Option<Arc<dyn HttpClient>>) -> Self {
        let core = Arc::new(Core::new(config, clock, SystemRandom::shared(), http));
        Self {
            life: PolledLife::new(Arc::clone(&core)),
            core,
        }
    }

    /// Hands over an event that came another way than by a socket of ours: see [`EventSocket::Given`].
    /// Bytes that are no event are skipped.
    pub fn event(&self, event: &[u8]) {
        if let Some(event) = Notification::parse(event) {
            self.core.told(&event);
        }
    }

    /// The configuration.
    pub fn config(&self) -> &OpenSipsConfig {
        &self.core.config
    }

    /// The server, if it is there now.
    fn server(&self, operation: &'static str) -> Result<Server> {
        self.life.check_up(operation)?;
        self.core.server(operation)
    }

    fn span(&self, id: Option<CallId>) -> tracing::Span {
        call_span(self.core.hub.name, id)
    }
}

#[async_trait]
impl SipAdapter for OpenSipsAdapter {
    fn kind(&self) -> AdapterKind {
        AdapterKind::OPENSIPS
    }

    fn supported_versions(&self) -> SupportedVersions {
        SupportedVersions::new("3.2", &["3.6"], "mi_http, JSON-RPC 2.0")
    }

    fn capabilities(&self) -> Capabilities {
        self.core.hub.state().capabilities.clone()
    }

    fn validate_config(&self, config: &Value) -> Result<(), ConfigErrors> {
        OpenSipsConfig::validate(config)
    }

    async fn connect(&self) -> Result<()> {
        self.life.open().await
    }

    async fn disconnect(&self, within: Duration) -> Result<Drained> {
        Ok(self.life.close(within).await)
    }

    fn connection(&self) -> Connection {
        let state = self.core.hub.state().connection;
        Connection::new(state, self.core.event_path())
    }

    async fn make_call(&self, request: CallRequest) -> Result<Call> {
        let span = self.span(Some(request.id));
        self.place_call(request).instrument(span).await
    }

    async fn hangup(&self, call: &CallRef) -> Result<HangupOutcome> {
        const OPERATION: &str = "hangup";
        self.core.hub.require(&[Capability::Hangup], OPERATION)?;
        let (core, server, call) = (
            Arc::clone(&self.core),
            self.server(OPERATION)?,
            call.clone(),
        );
        let span = self.span(call.id);
        let order = Box::pin(async move { place::hang_up(&core, &server, &call).await });
        // Who gives up waiting has asked for it all the same.
        self.life
            .see_through(OPERATION, order.instrument(span))
            .await
    }

    async fn get_status(&self, call: &CallRef) -> Result<CallStatus> {
        let state = self.core.hub.state();
        match state.books.find(call) {
            Some(id) => state.books.dialogs.status(&id.into()),
            None => state.books.dialogs.status(call),
        }
    }

    async fn lookup(&self, call: &CallRef) -> Result<Lookup> {
        lookup::lookup(&self.core, self.server("lookup"), call)
            .instrument(self.span(call.id))
            .await
    }

    async fn release(&self, _call: &CallRef) -> Result<()> {
        // Nothing is kept.
        Ok(())
    }

    async fn health_check(&self) -> Result<Health> {
        const OPERATION: &str = "health_check";
        let hub = &self.core.hub;
        if let Ok(server) = self.server(OPERATION)
            && self.core.slowed_for().is_none()
        {
            let begun = hub.clock.now();
            match server.uptime(OPERATION).await {
                Ok(_) => {
                    let took = hub.clock.now().saturating_duration_since(begun);
                    hub.health().round_trip(took);
                    hub.health().succeeded();
                }
                Err(error) => hub.health().failed(&error),
            }
        }
        Ok(hub.health_report(self.kind()))
    }

    fn subscribe(&self) -> EventStream<SipEvent> {
        self.core.hub.bus.subscribe()
    }

    fn snapshot(&self) -> Snapshot {
        self.core.hub.snapshot()
    }

    async fn get_call_history(&self, query: HistoryQuery) -> Result<Page<CallRecord>> {
        let now = self.core.hub.now().instant;
        self.core.hub.state().books.dialogs.history(&query, now)
    }

    async fn get_cdr(&self, call: &CallRef) -> Result<CallRecord> {
        self.core.hub.require(&[Capability::Cdr], "get_cdr")?;
        self.core.hub.state().books.dialogs.cdr(call)
    }

    async fn transfer(&self, request: TransferRequest) -> Result<()> {
        const OPERATION: &str = "transfer";
        self.core.hub.require(&[request.capability()], OPERATION)?;
        let span = self.span(request.call.id);
        let (core, server) = (Arc::clone(&self.core), self.server(OPERATION)?);
        let order = Box::pin(async move { transfer::transfer(&core, &server, request).await });
        self.life.carry_out(OPERATION, order.instrument(span)).await
    }

    async fn hold(&self, call: &CallRef) -> Result<()> {
        self.core.hub.require(&[Capability::Hold], "hold")?;
        let (core, server, call) = (Arc::clone(&self.core), self.server("hold")?, call.clone());
        let span = self.span(call.id);
        let order = Box::pin(async move { hold::hold(&core, &server, &call).await });
        self.life.carry_out("hold", order.instrument(span)).await
    }

    async fn resume(&self, call: &CallRef) -> Result<()> {
        self.core.hub.require(&[Capability::Hold], "resume")?;
        let (core, server, call) = (Arc::clone(&self.core), self.server("resume")?, call.clone());
        let span = self.span(call.id);
        let order = Box::pin(async move { hold::resume(&core, &server, &call).await });
        self.life.carry_out("resume", order.instrument(span)).await
    }

    async fn send_message(&self, message: SipMessage) -> Result<MessageResult> {
        const OPERATION: &str = "send_message";
        self.core
            .hub
            .require(&[Capability::SendMessage], OPERATION)?;
        let (core, server) = (Arc::clone(&self.core), self.server(OPERATION)?);
        let span = self.span(None);
        let order = Box::pin(async move { message::send(&core, &server, message).await });
        // Until the answer: the server is kept busy whether somebody waits for it or not.
        self.life
            .see_through(OPERATION, order.instrument(span))
            .await
    }
}

impl fmt::Debug for OpenSipsAdapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenSipsAdapter")
            .field("host", &self.core.config.host())
            .field("port", &self.core.config.port())
            .field("connection", &self.core.hub.state().connection)
            .finish_non_exhaustive()
    }
}
