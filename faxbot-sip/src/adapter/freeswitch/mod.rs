//! FreeSWITCH 1.10 by its event socket (ESL).
//!
//! ```no_run
//! use faxbot_core::sip::{CallRequest, SipAdapter as _};
//! use faxbot_sip::adapter::freeswitch::{FreeswitchAdapter, FreeswitchConfig};
//!
//! # async fn run() -> faxbot_core::Result<()> {
//! let config = FreeswitchConfig::from_url(
//!     "esl://:ClueCon@127.0.0.1:8021?dial=sofia/gateway/trunk/{number}",
//! )?;
//! let freeswitch = FreeswitchAdapter::new(config);
//! freeswitch.connect().await?;
//! let call = freeswitch.make_call(CallRequest::dial("+493012345678".parse()?)).await?;
//! call.answered().await?;
//! freeswitch.hangup(&call.call_ref()).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # What the server needs
//!
//! Nothing beyond its defaults: `mod_event_socket`, and for faxes `mod_spandsp` and a directory that
//! both see. A user of the directory with `esl-password` works as well as the one password, as far as
//! its `esl-allowed-api` and `esl-allowed-events` reach.
//!
//! # Outcomes that survive
//!
//! The `originate` of each call carries a hook (`api_hangup_hook`) that leaves its result in `mod_db`,
//! or in `mod_hash`, under the uuid that the caller chose. After a lost link, or in a new process,
//! [`lookup`](SipAdapter::lookup) reads it; [`release`](SipAdapter::release) deletes it. A crash of
//! FreeSWITCH takes the hooks of live calls with it: their outcome is then unknown, and said so.

mod abilities;
mod causes;
mod conference;
pub(super) mod config;
mod connect;
mod control;
mod core;
mod dial;
mod diet;
#[cfg(test)]
#[cfg(all(
    feature = "asterisk",
    feature = "flexisip",
    feature = "kamailio",
    feature = "opensips",
    feature = "yate"
))]
mod docs_tests;
mod event;
mod fax_values;
mod incoming;
mod lookup;
mod message;
mod outcome;
mod place;
mod preflight;
mod presence;
mod request;
mod rooms;
mod run;
mod server;
mod state;
mod sweep;

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use faxbot_core::{
    Result,
    clock::{SharedClock, TokioClock},
    config::ConfigErrors,
    event::EventStream,
    fax::{FaxCall, FaxRequest, TakenFax},
    id::CallRef,
    message::MessageResult,
    plugin::Page,
    random::{SharedRandom, SystemRandom},
    sip::{
        AcceptAs, AdapterKind, Call, CallRecord, CallRequest, CallStatus, Capabilities, Capability,
        ConferenceRequest, Connection, Drained, DtmfRequest, EventPath, HangupOutcome, Health,
        HistoryQuery, Lookup, RecordRequest, RejectCause, SipAdapter, SipEvent, SipMessage,
        Snapshot, SupportedVersions, TransferRequest,
    },
};
use serde_json::Value;
use tracing::Instrument as _;

pub use self::{
    config::{FIELDS, FreeswitchConfig, IncomingPath, Outcomes, SCHEMES},
    preflight::{Preflight, PreflightProblem},
};
use self::{
    control::{dtmf, hold, record, transfer},
    core::Core,
    incoming::{accept, decide, receive},
    server::Server,
};
use crate::{
    adapter::{
        hub::{Book as _, call_span},
        life::Life,
    },
    driver::Connect,
};

/// One FreeSWITCH. Clones share it.
#[derive(Clone)]
pub struct FreeswitchAdapter {
    core: Arc<Core>,
    life: Life<Core>,
    random: SharedRandom,
    connector: Option<Arc<dyn Connect>>,
}

impl FreeswitchAdapter {
    /// An adapter that is not connected.
    pub fn new(config: FreeswitchConfig) -> Self {
        Self::with_clock(config, TokioClock::shared())
    }

    /// As [`new`](Self::new), with a clock of the caller's, for tests.
    pub fn with_clock(config: FreeswitchConfig, clock: SharedClock) -> Self {
        Self::of_kind(AdapterKind::FREESWITCH, config, clock)
    }

    /// As [`with_clock`](Self::with_clock), for an adapter that calls itself something else.
    pub(in crate::adapter) fn of_kind(
        kind: AdapterKind,
        config: FreeswitchConfig,
        clock: SharedClock,
    ) -> Self {
        let core = Arc::new(Core::new(kind, config, clock));
        Self {
            life: Life::new(Arc::clone(&core)),
            core,
            random: SystemRandom::shared(),
            connector: None,
        }
    }

    /// Connects by `connector` instead of the configured host: a pipe, a tunnel.
    #[must_use]
    pub fn with_connector(mut self, connector: Arc<dyn Connect>) -> Self {
        self.connector = Some(connector);
        self
    }

    /// Finds what a fax would fail on (modules, a spool directory that FreeSWITCH does not see) and says
    /// how to mend it. Leaves nothing behind.
    ///
    /// # Errors
    /// `NotConnected`, `Timeout` and their like when the server could not be asked.
    ///
    /// # Cancel safety
    /// Dropping the future does not stop it: it ends by itself, and takes away what it put.
    pub async fn preflight(&self) -> Result<Preflight> {
        let (core, server) = (Arc::clone(&self.core), self.server("preflight")?);
        let order = async move { preflight::run(&core, &server).await };
        self.life.see_through("preflight", order).await
    }

    /// The configuration.
    pub fn config(&self) -> &FreeswitchConfig {
        &self.core.config
    }

    /// The server behind the connection that is up, if one is.
    fn server(&self, operation: &'static str) -> Result<Server> {
        server_of(&self.life, operation)
    }

    fn span(&self, id: Option<faxbot_core::id::CallId>) -> tracing::Span {
        call_span(self.core.hub.name, id)
    }
}

fn server_of(life: &Life<Core>, operation: &'static str) -> Result<Server> {
    let handle = life.handle(operation)?;
    Ok(Server::new(handle, life.core().config.request_timeout))
}

#[async_trait]
impl SipAdapter for FreeswitchAdapter {
    fn kind(&self) -> AdapterKind {
        self.core.kind.clone()
    }

    fn supported_versions(&self) -> SupportedVersions {
        SupportedVersions::new("1.10", &["1.10.12"], "ESL")
    }

    fn capabilities(&self) -> Capabilities {
        self.core.hub.state().capabilities.clone()
    }

    fn validate_config(&self, config: &Value) -> Result<(), ConfigErrors> {
        FreeswitchConfig::validate(config)
    }

    async fn connect(&self) -> Result<()> {
        self.life.open(|| self.start()).await
    }

    async fn disconnect(&self, within: Duration) -> Result<Drained> {
        Ok(self.life.close(within).await)
    }

    fn connection(&self) -> Connection {
        Connection::new(self.core.hub.state().connection, EventPath::Push)
    }

    async fn make_call(&self, request: CallRequest) -> Result<Call> {
        let span = self.span(Some(request.id));
        self.place_call(request).instrument(span).await
    }

    async fn hangup(&self, call: &CallRef) -> Result<HangupOutcome> {
        let server = self.server("hangup");
        place::hang_up(&self.core, server, call)
            .instrument(self.span(call.id))
            .await
    }

    async fn get_status(&self, call: &CallRef) -> Result<CallStatus> {
        crate::adapter::lookup::status(self.core.hub.state().books.calls(), call)
    }

    async fn lookup(&self, call: &CallRef) -> Result<Lookup> {
        lookup::lookup(&self.core, self.server("lookup"), call)
            .instrument(self.span(call.id))
            .await
    }

    async fn release(&self, call: &CallRef) -> Result<()> {
        let Some(id) = call.id else { return Ok(()) };
        let store = self.core.store();
        if store.keeper().is_none() {
            return Ok(());
        }
        let server = self.server("release")?;
        server.forget(&store, id, "release").await
    }

    async fn health_check(&self) -> Result<Health> {
        let hub = &self.core.hub;
        if let Ok(server) = self.server("health_check") {
            match server.up_for("health_check").await {
                Ok(_) => hub.health().succeeded(),
                Err(error) => hub.health().failed(&error),
            }
        }
        let active = u64::try_from(hub.state().books.len()).unwrap_or(u64::MAX);
        let now = hub.now();
        Ok(hub
            .health()
            .health(self.kind(), active, now.instant, now.wall))
    }

    fn subscribe(&self) -> EventStream<SipEvent> {
        self.core.hub.bus.subscribe()
    }

    fn snapshot(&self) -> Snapshot {
        self.core.hub.snapshot()
    }

    async fn transfer(&self, request: TransferRequest) -> Result<()> {
        let needs = [request.capability()];
        self.core.hub.require(&needs, "transfer")?;
        let span = self.span(request.call.id);
        let (core, server) = (Arc::clone(&self.core), self.server("transfer")?);
        let order = async move { transfer::transfer(&core, &server, request).await };
        self.life
            .carry_out("transfer", order.instrument(span))
            .await
    }

    async fn hold(&self, call: &CallRef) -> Result<()> {
        self.core.hub.require(&[Capability::Hold], "hold")?;
        let (core, server, call) = (Arc::clone(&self.core), self.server("hold")?, call.clone());
        let span = self.span(call.id);
        let order = async move { hold::hold(&core, &server, &call).await };
        self.life.carry_out("hold", order.instrument(span)).await
    }

    async fn resume(&self, call: &CallRef) -> Result<()> {
        self.core.hub.require(&[Capability::Hold], "resume")?;
        let (core, server, call) = (Arc::clone(&self.core), self.server("resume")?, call.clone());
        let span = self.span(call.id);
        let order = async move { hold::resume(&core, &server, &call).await };
        self.life.carry_out("resume", order.instrument(span)).await
    }

    async fn record(&self, request: RecordRequest) -> Result<()> {
        self.core.hub.require(&[Capability::Record], "record")?;
        let span = self.span(request.call.id);
        let (core, server) = (Arc::clone(&self.core), self.server("record")?);
        let order = async move { record::record(&core, &server, request).await };
        self.life.carry_out("record", order.instrument(span)).await
    }

    async fn send_dtmf(&self, request: DtmfRequest) -> Result<()> {
        self.core
            .hub
            .require(&[Capability::SendDtmf], "send_dtmf")?;
        let span = self.span(request.call.id);
        dtmf::send(&self.core, &self.server("send_dtmf")?, request)
            .instrument(span)
            .await
    }

    async fn conference(&self, request: ConferenceRequest) -> Result<()> {
        let needs = [Capability::Conference];
        self.core.hub.require(&needs, "conference")?;
        let (core, server) = (Arc::clone(&self.core), self.server("conference")?);
        let order = async move { conference::conference(&core, &server, request).await };
        self.life.carry_out("conference", order).await
    }

    async fn send_message(&self, message: SipMessage) -> Result<MessageResult> {
        let needs = [Capability::SendMessage];
        self.core.hub.require(&needs, "send_message")?;
        let server = self.server("send_message")?;
        message::send(&self.core, &server, message).await
    }

    async fn get_call_history(&self, query: HistoryQuery) -> Result<Page<CallRecord>> {
        let now = self.core.hub.now().instant;
        self.core.hub.state().books.history(&query, now)
    }

    async fn get_cdr(&self, call: &CallRef) -> Result<CallRecord> {
        self.core.hub.require(&[Capability::Cdr], "get_cdr")?;
        self.core.hub.state().books.cdr(call)
    }

    async fn send_fax(&self, request: FaxRequest) -> Result<FaxCall> {
        let span = self.span(Some(request.id));
        self.place_fax(request).instrument(span).await
    }

    async fn accept(&self, call: &CallRef, accept_as: AcceptAs) -> Result<()> {
        let needs = [accept_as.capability()];
        self.core.hub.require(&needs, "accept")?;
        accept::accept(&self.core, self.server("accept")?, call, accept_as)
            .instrument(self.span(call.id))
            .await
    }

    async fn reject(&self, call: &CallRef, cause: RejectCause) -> Result<()> {
        self.core.hub.require(&[Capability::Incoming], "reject")?;
        decide::reject(&self.core, self.server("reject")?, call, cause)
            .instrument(self.span(call.id))
            .await
    }

    async fn take_fax(&self, call: &CallRef) -> Result<TakenFax> {
        self.core
            .hub
            .require(&[Capability::ReceiveFax], "take_fax")?;
        receive::take(&self.core, self.server("take_fax"), call)
            .instrument(self.span(call.id))
            .await
    }
}

impl fmt::Debug for FreeswitchAdapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FreeswitchAdapter")
            .field("host", &self.core.config.host)
            .field("port", &self.core.config.port)
            .field("connection", &self.core.hub.state().connection)
            .finish_non_exhaustive()
    }
}
