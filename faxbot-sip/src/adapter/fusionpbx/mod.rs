//! FusionPBX: FreeSWITCH 1.10 seen from one of its tenants.
//!
//! ```no_run
//! use faxbot_core::sip::{CallRequest, SipAdapter as _};
//! use faxbot_sip::adapter::fusionpbx::{FusionpbxAdapter, FusionpbxConfig};
//!
//! # async fn run() -> faxbot_core::Result<()> {
//! let config = FusionpbxConfig::from_url(
//!     "fusionpbx://:ClueCon@pbx.example?domain=tenant.example",
//! )?;
//! let fusionpbx = FusionpbxAdapter::new(config);
//! fusionpbx.connect().await?;
//! let call = fusionpbx.make_call(CallRequest::dial("100".parse()?)).await?;
//! call.answered().await?;
//! # Ok(())
//! # }
//! ```
//!
//! It is the [`FreeswitchAdapter`] with the tenant's dial strings, and with `domain_name`,
//! `domain_uuid` and the configured variables on each call, by which FusionPBX files it. Everything
//! that is written there holds here.

mod config;

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
    sip::{
        AcceptAs, AdapterKind, Call, CallRecord, CallRequest, CallStatus, Capabilities,
        ConferenceRequest, Connection, Drained, DtmfRequest, HangupOutcome, Health, HistoryQuery,
        Lookup, RecordRequest, RejectCause, SipAdapter, SipEvent, SipMessage, Snapshot,
        SupportedVersions, TransferRequest,
    },
};
use serde_json::Value;

pub use self::config::{FIELDS, FusionpbxConfig, SCHEMES};
use crate::{adapter::freeswitch::FreeswitchAdapter, driver::Connect};

/// One tenant of one FusionPBX. Clones share it.
#[derive(Clone)]
pub struct FusionpbxAdapter {
    config: Arc<FusionpbxConfig>,
    server: FreeswitchAdapter,
}

impl FusionpbxAdapter {
    /// An adapter that is not connected.
    pub fn new(config: FusionpbxConfig) -> Self {
        Self::with_clock(config, TokioClock::shared())
    }

    /// As [`new`](Self::new), with a clock of the caller's, for tests.
    pub fn with_clock(config: FusionpbxConfig, clock: SharedClock) -> Self {
        let inner = config.freeswitch.clone();
        Self {
            server: FreeswitchAdapter::of_kind(AdapterKind::FUSIONPBX, inner, clock),
            config: Arc::new(config),
        }
    }

    /// Connects by `connector` instead of the configured host: a pipe, a tunnel.
    #[must_use]
    pub fn with_connector(mut self, connector: Arc<dyn Connect>) -> Self {
        self.server = self.server.with_connector(connector);
        self
    }

    /// The configuration.
    pub fn config(&self) -> &FusionpbxConfig {
        &self.config
    }

    /// The FreeSWITCH behind it, with what only that adapter has.
    pub fn freeswitch(&self) -> &FreeswitchAdapter {
        &self.server
    }
}

// Everything but the configuration is FreeSWITCH's.
#[async_trait]
impl SipAdapter for FusionpbxAdapter {
    fn kind(&self) -> AdapterKind {
        self.server.kind()
    }

    fn supported_versions(&self) -> SupportedVersions {
        self.server.supported_versions()
    }

    fn capabilities(&self) -> Capabilities {
        self.server.capabilities()
    }

    fn validate_config(&self, config: &Value) -> Result<(), ConfigErrors> {
        FusionpbxConfig::validate(config)
    }

    async fn connect(&self) -> Result<()> {
        self.server.connect().await
    }

    async fn disconnect(&self, within: Duration) -> Result<Drained> {
        self.server.disconnect(within).await
    }

    fn connection(&self) -> Connection {
        self.server.connection()
    }

    async fn make_call(&self, request: CallRequest) -> Result<Call> {
        self.server.make_call(request).await
    }

    async fn hangup(&self, call: &CallRef) -> Result<HangupOutcome> {
        self.server.hangup(call).await
    }

    async fn get_status(&self, call: &CallRef) -> Result<CallStatus> {
        self.server.get_status(call).await
    }

    async fn lookup(&self, call: &CallRef) -> Result<Lookup> {
        self.server.lookup(call).await
    }

    async fn release(&self, call: &CallRef) -> Result<()> {
        self.server.release(call).await
    }

    async fn health_check(&self) -> Result<Health> {
        self.server.health_check().await
    }

    fn subscribe(&self) -> EventStream<SipEvent> {
        self.server.subscribe()
    }

    fn snapshot(&self) -> Snapshot {
        self.server.snapshot()
    }

    async fn accept(&self, call: &CallRef, accept_as: AcceptAs) -> Result<()> {
        self.server.accept(call, accept_as).await
    }

    async fn reject(&self, call: &CallRef, cause: RejectCause) -> Result<()> {
        self.server.reject(call, cause).await
    }

    async fn take_fax(&self, call: &CallRef) -> Result<TakenFax> {
        self.server.take_fax(call).await
    }

    async fn transfer(&self, request: TransferRequest) -> Result<()> {
        self.server.transfer(request).await
    }

    async fn hold(&self, call: &CallRef) -> Result<()> {
        self.server.hold(call).await
    }

    async fn resume(&self, call: &CallRef) -> Result<()> {
        self.server.resume(call).await
    }

    async fn conference(&self, request: ConferenceRequest) -> Result<()> {
        self.server.conference(request).await
    }

    async fn record(&self, request: RecordRequest) -> Result<()> {
        self.server.record(request).await
    }

    async fn send_dtmf(&self, request: DtmfRequest) -> Result<()> {
        self.server.send_dtmf(request).await
    }

    async fn get_call_history(&self, query: HistoryQuery) -> Result<Page<CallRecord>> {
        self.server.get_call_history(query).await
    }

    async fn get_cdr(&self, call: &CallRef) -> Result<CallRecord> {
        self.server.get_cdr(call).await
    }

    async fn send_message(&self, message: SipMessage) -> Result<MessageResult> {
        self.server.send_message(message).await
    }

    async fn send_fax(&self, request: FaxRequest) -> Result<FaxCall> {
        self.server.send_fax(request).await
    }
}

impl fmt::Debug for FusionpbxAdapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FusionpbxAdapter")
            .field("domain", &self.config.domain)
            .field("server", &self.server)
            .finish()
    }
}
