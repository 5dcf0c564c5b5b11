//! Asterisk 16 and 22 by its manager interface (AMI).
//!
//! ```no_run
//! use faxbot_core::sip::{CallRequest, SipAdapter as _};
//! use faxbot_sip::adapter::asterisk::{AsteriskAdapter, AsteriskConfig};
//!
//! # async fn run() -> faxbot_core::Result<()> {
//! let config = AsteriskConfig::from_url("ami://fax:secret@127.0.0.1?dial=PJSIP/{number}@trunk")?;
//! let asterisk = AsteriskAdapter::new(config);
//! asterisk.connect().await?;
//! let call = asterisk.make_call(CallRequest::dial("+493012345678".parse()?)).await?;
//! call.answered().await?;
//! asterisk.hangup(&call.call_ref()).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # What the server needs
//!
//! An account in `manager.conf` with `read = system,call,dialplan` (and `all` to see every event),
//! `write = system,call,originate,reporting,command`. Faxes need `res_fax`, `res_fax_spandsp` and a
//! directory that both see: [`AsteriskAdapter::preflight`] finds what is missing.
//!
//! Two processes that use one server at the same time need two names in `options.instance`: a process
//! sweeps what its own instance left in the spool when it connects.
//!
//! # Outcomes that survive
//!
//! Each call carries a hangup handler that leaves its result in AstDB under an id that the caller
//! chose. After a lost link, or in a new process, [`lookup`](SipAdapter::lookup) reads it;
//! [`release`](SipAdapter::release) deletes it. With `dialplan_context: auto` the adapter adds the
//! handler's extension at run time. To keep it in your own dialplan, add this and name the context
//! (here for the default `instance`, `faxbot`):
//!
//! ```text
//! [faxbot]
//! exten => s,1,Set(DB(faxbot-faxbot/${FAXBOT_ID})=2|${EPOCH}|${CHANNEL(state)}|${FAXBOT_KIND}|${HANGUPCAUSE}|${DIALSTATUS}|${FAXSTATUS}|${FAXERROR}|${FAXPAGES}|${FAXBITRATE}|${FAXMODE}|${FAXRESOLUTION}|${FAXSTATUSSTRING}|${REMOTESTATIONID})
//!  same => n,Return()
//! ```

mod abilities;
mod answer;
mod books;
mod config;
mod connect;
mod control;
mod core;
mod dialplan;
mod diet;
#[cfg(test)]
#[cfg(all(
    feature = "flexisip",
    feature = "freeswitch",
    feature = "kamailio",
    feature = "opensips",
    feature = "yate"
))]
pub(super) mod docs_tests;
mod identity;
mod incoming;
mod known;
mod lookup;
mod message;
mod outcome;
mod place;
mod preflight;
mod presence;
mod pump;
mod request;
mod run;
mod server;

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use faxbot_core::{
    ErrorKind, Result,
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
    config::{AsteriskConfig, AsteriskTls, DialplanContext, FIELDS, SCHEMES},
    preflight::{Preflight, PreflightProblem},
};
use self::{
    control::{conference, dtmf, hold, record, transfer},
    core::Core,
    incoming::{accept, decide, receive},
    outcome::channel_id,
    server::Server,
};
pub use super::{settings::RawEvents, spool::SpoolConfig};
use crate::{
    adapter::{hub, life::Life, lookup::status},
    driver::Connect,
};

/// The name in logs.
const NAME: &str = "asterisk";

/// One Asterisk. Clones share it.
#[derive(Clone)]
pub struct AsteriskAdapter {
    core: Arc<Core>,
    life: Life<Core>,
    random: SharedRandom,
    connector: Option<Arc<dyn Connect>>,
}

impl AsteriskAdapter {
    /// An adapter that is not connected.
    pub fn new(config: AsteriskConfig) -> Self {
        Self::with_clock(config, TokioClock::shared())
    }

    /// As [`new`](Self::new), with a clock of the caller's, for tests.
    pub fn with_clock(config: AsteriskConfig, clock: SharedClock) -> Self {
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

    /// Finds what a fax would fail on (modules, rights, a spool directory that Asterisk cannot
    /// read) and says how to mend it. Leaves nothing behind.
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
    pub fn config(&self) -> &AsteriskConfig {
        &self.core.config
    }

    /// The server behind the connection that is up, if one is.
    fn server(&self, operation: &'static str) -> Result<Server> {
        server_of(&self.life, operation)
    }
}

fn server_of(life: &Life<Core>, operation: &'static str) -> Result<Server> {
    let handle = life.handle(operation)?;
    Ok(Server::new(handle, life.core().config.request_timeout))
}

#[async_trait]
impl SipAdapter for AsteriskAdapter {
    fn kind(&self) -> AdapterKind {
        AdapterKind::ASTERISK
    }

    fn supported_versions(&self) -> SupportedVersions {
        SupportedVersions::new("16", &["16.28", "22.10"], "AMI 5 to 11")
    }

    fn capabilities(&self) -> Capabilities {
        self.core.state().capabilities.clone()
    }

    fn validate_config(&self, config: &Value) -> Result<(), ConfigErrors> {
        AsteriskConfig::validate(config)
    }

    async fn connect(&self) -> Result<()> {
        self.life.open(|| self.start()).await
    }

    async fn disconnect(&self, within: Duration) -> Result<Drained> {
        Ok(self.life.close(within).await)
    }

    fn connection(&self) -> Connection {
        Connection::new(self.core.state().connection, EventPath::Push)
    }

    async fn make_call(&self, request: CallRequest) -> Result<Call> {
        let span = call_span(Some(request.id));
        self.place_call(request).instrument(span).await
    }

    async fn hangup(&self, call: &CallRef) -> Result<HangupOutcome> {
        let server = self.server("hangup");
        place::hang_up(&self.core, server, call)
            .instrument(call_span(call.id))
            .await
    }

    async fn get_status(&self, call: &CallRef) -> Result<CallStatus> {
        status(&self.core.state().books.calls, call)
    }

    async fn lookup(&self, call: &CallRef) -> Result<Lookup> {
        lookup::lookup(&self.core, self.server("lookup"), call).await
    }

    async fn release(&self, call: &CallRef) -> Result<()> {
        let Some(id) = call.id else { return Ok(()) };
        if self.core.store.is_off() {
            return Ok(());
        }
        let (store, key) = (&self.core.store, channel_id(id));
        let server = self.server("release")?;
        match server.forget(store.family(), &key, "release").await {
            // An account that may add no extension has nothing kept.
            Err(error)
                if error.kind() == ErrorKind::PermissionDenied
                    && store.is_automatic()
                    && !self.core.state().books.known.abilities.outcomes =>
            {
                Ok(())
            }
            released => released,
        }
    }

    async fn health_check(&self) -> Result<Health> {
        if let Ok(server) = self.server("health_check") {
            match server.ping().await {
                Ok(()) => self.core.health().succeeded(),
                Err(error) => self.core.health().failed(&error),
            }
        }
        Ok(self.core.health_report(self.kind()))
    }

    fn subscribe(&self) -> EventStream<SipEvent> {
        self.core.bus.subscribe()
    }

    fn snapshot(&self) -> Snapshot {
        self.core.snapshot()
    }

    async fn accept(&self, call: &CallRef, accept_as: AcceptAs) -> Result<()> {
        self.core.require(&[accept_as.capability()], "accept")?;
        let span = call_span(call.id);
        accept::accept(&self.core, self.server("accept")?, call, accept_as)
            .instrument(span)
            .await
    }

    async fn reject(&self, call: &CallRef, cause: RejectCause) -> Result<()> {
        self.core.require(&[Capability::Incoming], "reject")?;
        decide::reject(&self.core, self.server("reject")?, call, cause)
            .instrument(call_span(call.id))
            .await
    }

    async fn transfer(&self, request: TransferRequest) -> Result<()> {
        self.core.require(&[request.capability()], "transfer")?;
        let span = call_span(request.call.id);
        let (core, server) = (Arc::clone(&self.core), self.server("transfer")?);
        let order = async move { transfer::transfer(&core, &server, request).await };
        self.life
            .carry_out("transfer", order.instrument(span))
            .await
    }

    async fn hold(&self, call: &CallRef) -> Result<()> {
        self.core.require(&[Capability::Hold], "hold")?;
        let (core, server, call) = (Arc::clone(&self.core), self.server("hold")?, call.clone());
        let span = call_span(call.id);
        let order = async move { hold::hold(&core, &server, &call).await };
        self.life.carry_out("hold", order.instrument(span)).await
    }

    async fn resume(&self, call: &CallRef) -> Result<()> {
        self.core.require(&[Capability::Hold], "resume")?;
        let (core, server, call) = (Arc::clone(&self.core), self.server("resume")?, call.clone());
        let span = call_span(call.id);
        let order = async move { hold::resume(&core, &server, &call).await };
        self.life.carry_out("resume", order.instrument(span)).await
    }

    async fn conference(&self, request: ConferenceRequest) -> Result<()> {
        self.core.require(&[Capability::Conference], "conference")?;
        let (core, server) = (Arc::clone(&self.core), self.server("conference")?);
        let order = async move { conference::conference(&core, &server, request).await };
        self.life.carry_out("conference", order).await
    }

    async fn record(&self, request: RecordRequest) -> Result<()> {
        self.core.require(&[Capability::Record], "record")?;
        let span = call_span(request.call.id);
        record::record(&self.core, self.server("record")?, request)
            .instrument(span)
            .await
    }

    async fn send_dtmf(&self, request: DtmfRequest) -> Result<()> {
        self.core.require(&[Capability::SendDtmf], "send_dtmf")?;
        let span = call_span(request.call.id);
        dtmf::send(&self.core, self.server("send_dtmf")?, request)
            .instrument(span)
            .await
    }

    async fn get_call_history(&self, query: HistoryQuery) -> Result<Page<CallRecord>> {
        let now = self.core.now().instant;
        let books = &mut self.core.state().books;
        books.cdrs.page(&mut books.calls, &query, now)
    }

    async fn get_cdr(&self, call: &CallRef) -> Result<CallRecord> {
        self.core.require(&[Capability::Cdr], "get_cdr")?;
        let books = &self.core.state().books;
        books.cdrs.cdr(&books.calls, call)
    }

    async fn send_message(&self, message: SipMessage) -> Result<MessageResult> {
        self.core
            .require(&[Capability::SendMessage], "send_message")?;
        message::send(&self.core, self.server("send_message")?, message).await
    }

    async fn take_fax(&self, call: &CallRef) -> Result<TakenFax> {
        self.core.require(&[Capability::ReceiveFax], "take_fax")?;
        receive::take(&self.core, self.server("take_fax"), call)
            .instrument(call_span(call.id))
            .await
    }

    async fn send_fax(&self, request: FaxRequest) -> Result<FaxCall> {
        let span = call_span(Some(request.id));
        self.place_fax(request).instrument(span).await
    }
}

fn call_span(id: Option<CallId>) -> tracing::Span {
    hub::call_span(NAME, id)
}

impl fmt::Debug for AsteriskAdapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsteriskAdapter")
            .field("host", &self.core.config.host)
            .field("port", &self.core.config.port)
            .field("connection", &self.core.state().connection)
            .finish_non_exhaustive()
    }
}
