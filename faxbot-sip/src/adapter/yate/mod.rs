//! Yate 6 by its external module port.
//!
//! ```no_run
//! use faxbot_core::sip::{CallRequest, SipAdapter as _};
//! use faxbot_sip::adapter::yate::{YateAdapter, YateConfig};
//!
//! # async fn run() -> faxbot_core::Result<()> {
//! let config = YateConfig::from_url("yate://127.0.0.1:5039?dial=sip/sip:{number}@trunk.example")?;
//! let yate = YateAdapter::new(config);
//! yate.connect().await?;
//! let call = yate.make_call(CallRequest::dial("+493012345678".parse()?)).await?;
//! call.answered().await?;
//! yate.hangup(&call.call_ref()).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # What the server needs
//!
//! A listener in `extmodule.conf` that we may reach, and the module `dumbchan`: a `dumb` channel is our
//! end of a call. Faxes need `faxchan` and a directory that both see.
//!
//! # Calls and messages that come in
//!
//! With `options.incoming` the adapter handles `call.route` and `msg.execute`. A call from outside waits
//! at a `dumb` channel, ringing, until it is accepted, rejected, or its deadline is over; the engine waits
//! for nothing but our answer to `call.route`, which comes at once. [`YateAdapter::on_route`] asks a
//! function of yours first. Rejections give 486, 480, 404 and, for `Declined`, 403: Yate has no word for
//! 603. A message that we take gives its sender 200; it needs `[message] enable=yes auth_required=no` in
//! `ysipchan.conf`. What a far end says of a message of ours is only told with `generate=yes` there; without
//! it the message is handed over, and no more is known.
//!
//! # Faxes
//!
//! Yate tells nothing of a fax before its end, and has no time limits for one: ours end it. Nothing can be
//! said against T.38: with `T38Mode::Disable` we do not ask for it, and go along with a far end that does.
//! `T38Mode::Require` offers T.38 alone in the INVITE, which many refuse with 488.
//!
//! # What Yate does not keep
//!
//! Nothing of a call that is over. One that ends while the link is down, or while this process is gone,
//! has no outcome that could be asked for: it ends as unknown, and [`lookup`](SipAdapter::lookup) says
//! so.

mod abilities;
mod asked;
mod attach;
mod config;
mod connect;
mod control;
mod core;
mod event;
mod fax_end;
mod fax_limits;
mod halt;
mod history;
mod incoming;
mod lookup;
mod message;
mod place;
mod request;
mod route;
mod run;
mod server;
mod state;

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use faxbot_core::{
    Result,
    clock::{SharedClock, TokioClock},
    config::ConfigErrors,
    event::EventStream,
    fax::{FaxCall, FaxRequest, TakenFax},
    id::{CallId, CallRef},
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
    attach::{Attach, AttachEnd, Attached},
    config::{FIELDS, SCHEMES, YateConfig},
    halt::EndsEveryCall,
    route::{RouteCall, RouteTarget},
};
use self::{
    control::{conference, dtmf, hold, record, transfer},
    core::Core,
    incoming::{accept::accept, decide, receive},
    server::Server,
};
use crate::{
    adapter::{
        digits,
        hub::{Book as _, call_span},
        life::Life,
    },
    driver::Connect,
};

/// One Yate. Clones share it.
#[derive(Clone)]
pub struct YateAdapter {
    core: Arc<Core>,
    life: Life<Core>,
    random: SharedRandom,
    connector: Option<Arc<dyn Connect>>,
}

impl YateAdapter {
    /// An adapter that is not connected.
    pub fn new(config: YateConfig) -> Self {
        Self::with_clock(config, TokioClock::shared())
    }

    /// As [`new`](Self::new), with a clock of the caller's, for tests.
    pub fn with_clock(config: YateConfig, clock: SharedClock) -> Self {
        let core = Arc::new(Core::new(config, clock));
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

    /// The configuration.
    pub fn config(&self) -> &YateConfig {
        &self.core.config
    }

    /// The server behind the connection that is up, if one is.
    fn server(&self, operation: &'static str) -> Result<Server> {
        server_of(&self.life, operation)
    }

    fn span(&self, id: Option<CallId>) -> tracing::Span {
        call_span(self.core.hub.name, id)
    }
}

fn server_of(life: &Life<Core>, operation: &'static str) -> Result<Server> {
    let handle = life.handle(operation)?;
    Ok(Server::new(handle, life.core().config.request_timeout))
}

#[async_trait]
impl SipAdapter for YateAdapter {
    fn kind(&self) -> AdapterKind {
        AdapterKind::YATE
    }

    fn supported_versions(&self) -> SupportedVersions {
        SupportedVersions::new("6", &["6.4"], "external module")
    }

    fn capabilities(&self) -> Capabilities {
        self.core.hub.state().capabilities.clone()
    }

    fn validate_config(&self, config: &Value) -> Result<(), ConfigErrors> {
        YateConfig::validate(config)
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

    async fn release(&self, _call: &CallRef) -> Result<()> {
        // Nothing is kept.
        Ok(())
    }

    async fn health_check(&self) -> Result<Health> {
        let hub = &self.core.hub;
        if let Ok(server) = self.server("health_check") {
            match server.modules("health_check").await {
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

    async fn get_call_history(&self, query: HistoryQuery) -> Result<Page<CallRecord>> {
        let now = self.core.hub.now().instant;
        self.core.hub.state().books.history(&query, now)
    }

    async fn get_cdr(&self, call: &CallRef) -> Result<CallRecord> {
        self.core.hub.require(&[Capability::Cdr], "get_cdr")?;
        self.core.hub.state().books.cdr(call)
    }

    async fn accept(&self, call: &CallRef, accept_as: AcceptAs) -> Result<()> {
        const OPERATION: &str = "accept";
        self.core
            .hub
            .require(&[accept_as.capability()], OPERATION)?;
        let server = self.server(OPERATION)?;
        let (core, target) = (Arc::clone(&self.core), call.clone());
        let order = async move { accept(&core, server, &target, accept_as).await };
        self.life
            .carry_out(OPERATION, order.instrument(self.span(call.id)))
            .await
    }

    async fn reject(&self, call: &CallRef, cause: RejectCause) -> Result<()> {
        self.core.hub.require(&[Capability::Incoming], "reject")?;
        let server = self.server("reject")?;
        decide::reject(&self.core, server, call, cause)
            .instrument(self.span(call.id))
            .await
    }

    async fn transfer(&self, request: TransferRequest) -> Result<()> {
        const OPERATION: &str = "transfer";
        self.core.hub.require(&[request.capability()], OPERATION)?;
        let span = self.span(request.call.id);
        let (core, server) = (Arc::clone(&self.core), self.server(OPERATION)?);
        let order = async move { transfer::transfer(&core, &server, request).await };
        self.life.carry_out(OPERATION, order.instrument(span)).await
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

    async fn conference(&self, request: ConferenceRequest) -> Result<()> {
        const OPERATION: &str = "conference";
        self.core
            .hub
            .require(&[Capability::Conference], OPERATION)?;
        let (core, server) = (Arc::clone(&self.core), self.server(OPERATION)?);
        let order = async move { conference::conference(&core, &server, request).await };
        let span = self.span(None);
        self.life.carry_out(OPERATION, order.instrument(span)).await
    }

    async fn record(&self, request: RecordRequest) -> Result<()> {
        self.core.hub.require(&[Capability::Record], "record")?;
        let span = self.span(request.call.id);
        let (core, server) = (Arc::clone(&self.core), self.server("record")?);
        let order = async move { record::record(&core, &server, request).await };
        self.life.carry_out("record", order.instrument(span)).await
    }

    async fn send_dtmf(&self, request: DtmfRequest) -> Result<()> {
        const OPERATION: &str = "send_dtmf";
        self.core.hub.require(&[Capability::SendDtmf], OPERATION)?;
        digits::check(&request)?;
        let span = self.span(request.call.id);
        let (core, server) = (Arc::clone(&self.core), self.server(OPERATION)?);
        let order = async move { dtmf::send(&core, &server, request).await };
        self.life.carry_out(OPERATION, order.instrument(span)).await
    }

    async fn take_fax(&self, call: &CallRef) -> Result<TakenFax> {
        self.core
            .hub
            .require(&[Capability::ReceiveFax], "take_fax")?;
        receive::take(&self.core, self.server("take_fax"), call)
            .instrument(self.span(call.id))
            .await
    }

    async fn send_message(&self, message: SipMessage) -> Result<MessageResult> {
        const OPERATION: &str = "send_message";
        self.core
            .hub
            .require(&[Capability::SendMessage], OPERATION)?;
        let server = self.server(OPERATION)?;
        message::send(&self.core, server, message)
            .instrument(self.span(None))
            .await
    }

    async fn send_fax(&self, request: FaxRequest) -> Result<FaxCall> {
        let span = self.span(Some(request.id));
        self.place_fax(request).instrument(span).await
    }
}

impl fmt::Debug for YateAdapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("YateAdapter")
            .field("host", &self.core.config.host)
            .field("port", &self.core.config.port)
            .field("connection", &self.core.hub.state().connection)
            .finish_non_exhaustive()
    }
}
