//! Flexisip by its account manager's FlexiAPI.
//!
//! The account manager knows accounts, devices and settings, and carries no calls: as a
//! [`SipAdapter`], [`FlexisipAdapter`] connects, tells its health, and sends messages where the server
//! can. What the server is for is behind [`FlexisipAdapter::api`]: [`FlexiApi`], typed, one method a
//! route.
//!
//! ```no_run
//! use faxbot_core::sip::SipAdapter as _;
//! use faxbot_sip::adapter::flexisip::{FlexisipAdapter, FlexisipConfig, NewAccount};
//!
//! # async fn run() -> faxbot_core::Result<()> {
//! let config = FlexisipConfig::from_url("flexisip://api-key@sip.example.org")?;
//! let flexisip = FlexisipAdapter::new(config);
//! flexisip.connect().await?;
//! let api = flexisip.api()?;
//! let account = api.create_account(&NewAccount::new("alice", "secret").activated()).await?;
//! let devices = api.devices(account.id).await?;
//! # let _ = devices;
//! # Ok(())
//! # }
//! ```
//!
//! # What the server needs
//!
//! The account manager 2.0 or later, reached by the host name of a Space, over TLS. Admin routes want an API
//! key of an admin since 2.1. Messages need `APP_LINPHONE_DAEMON_UNIX_PATH` there; the adapter asks at
//! connect whether the route is there, by a message without anything in it, which is refused before the
//! daemon is asked.
//!
//! # What it does not have
//!
//! No calls: nothing is placed, hung up, listed or told. The statistics of calls are those of one account,
//! in ids that are not ours, and only where the proxy writes them: they are
//! [`FlexiApi::call_statistics`], and no call history. A message that was handed to the daemon is handed
//! over, and no more is known.

mod api;
mod books;
mod config;
mod core;
mod message;

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use faxbot_core::{
    Error, ErrorKind, Result,
    clock::{SharedClock, TokioClock},
    config::ConfigErrors,
    event::EventStream,
    http::HttpClient,
    id::CallRef,
    message::MessageResult,
    sip::{
        AdapterKind, Call, CallRequest, CallStatus, Capabilities, Capability, Connection, Drained,
        EventPath, HangupOutcome, Health, Lookup, SipAdapter, SipEvent, SipMessage, Snapshot,
        SupportedVersions, UnknownReason,
    },
};
use serde_json::Value;

use self::core::Core;
pub use self::{
    api::{
        Account, AccountAction, AccountType, AccountUpdate, CallDevice, CallForwarding,
        CallStatistic, CarddavCredentials, CarddavServer, ContactsList, CreationRequestToken,
        CreationToken, Device, DeviceReport, DtmfProtocol, EmailServer, ExternalAccount,
        ExternalProtocol, FlexiApi, FlexiLogin, FlexiPage, ForwardTo, ForwardingType, InviteEnd,
        InviteState, NewAccount, NewCallForwarding, NewCallStatistic, NewCarddavCredentials,
        NewEmailServer, NewExternalAccount, NewMessageStatistic, NewSpace, NewWizard, Owner,
        PhoneCountry, PushKind, PushProvider, PushTarget, Space, TokenAccount, TurnService,
        Validation, Vcard, Voicemail, VoicemailType, Wizard,
    },
    config::{FIELDS, FlexisipConfig, SCHEMES},
};
use crate::adapter::polled::PolledLife;

/// One account manager. Clones share it.
#[derive(Clone)]
pub struct FlexisipAdapter {
    core: Arc<Core>,
    life: PolledLife<Core>,
}

impl FlexisipAdapter {
    /// An adapter that is not connected.
    pub fn new(config: FlexisipConfig) -> Self {
        Self::made(config, TokioClock::shared(), None)
    }

    /// As [`new`](Self::new), with a client of HTTP and a clock of the caller's.
    pub fn with_http(
        config: FlexisipConfig,
        http: Arc<dyn HttpClient>,
        clock: SharedClock,
    ) -> Self {
        Self::made(config, clock, Some(http))
    }

    fn made(config: FlexisipConfig, clock: SharedClock, http: Option<Arc<dyn HttpClient>>) -> Self {
        let core = Arc::new(Core::new(config, clock, http));
        Self {
            life: PolledLife::new(Arc::clone(&core)),
            core,
        }
    }

    /// The configuration.
    pub fn config(&self) -> &FlexisipConfig {
        &self.core.config
    }

    /// The API of the account manager. It works without [`connect`](SipAdapter::connect), too: that only
    /// watches the server.
    ///
    /// # Errors
    /// `Config` when a file of TLS cannot be used.
    pub fn api(&self) -> Result<FlexiApi> {
        self.core.api()
    }
}

#[async_trait]
impl SipAdapter for FlexisipAdapter {
    fn kind(&self) -> AdapterKind {
        AdapterKind::FLEXISIP
    }

    fn supported_versions(&self) -> SupportedVersions {
        SupportedVersions::new("account manager 2.0", &[], "FlexiAPI")
    }

    fn capabilities(&self) -> Capabilities {
        self.core.hub.state().capabilities.clone()
    }

    fn validate_config(&self, config: &Value) -> Result<(), ConfigErrors> {
        FlexisipConfig::validate(config)
    }

    async fn connect(&self) -> Result<()> {
        self.life.open().await
    }

    async fn disconnect(&self, within: Duration) -> Result<Drained> {
        Ok(self.life.close(within).await)
    }

    fn connection(&self) -> Connection {
        // All that there is to tell is the connection itself, and that is found out by asking.
        let path = EventPath::Polling(self.core.config.poll);
        Connection::new(self.core.hub.state().connection, path)
    }

    async fn make_call(&self, _request: CallRequest) -> Result<Call> {
        Err(Error::unsupported("make_call"))
    }

    async fn hangup(&self, _call: &CallRef) -> Result<HangupOutcome> {
        Err(Error::unsupported("hangup"))
    }

    async fn get_status(&self, _call: &CallRef) -> Result<CallStatus> {
        let message = "the account manager carries no calls";
        Err(Error::new(ErrorKind::NotFound, "get_status", message))
    }

    async fn lookup(&self, _call: &CallRef) -> Result<Lookup> {
        self.life.check_up("lookup")?;
        Ok(Lookup::Unknown(UnknownReason::NotKept))
    }

    async fn release(&self, _call: &CallRef) -> Result<()> {
        // Nothing is kept.
        Ok(())
    }

    async fn health_check(&self) -> Result<Health> {
        if self.life.check_up("health_check").is_ok() {
            // A failure is in the books of the health.
            let _ = self.core.ping("health_check").await;
        }
        let hub = &self.core.hub;
        let now = hub.now();
        Ok(hub.health().health(self.kind(), 0, now.instant, now.wall))
    }

    fn subscribe(&self) -> EventStream<SipEvent> {
        self.core.hub.bus.subscribe()
    }

    fn snapshot(&self) -> Snapshot {
        self.core.hub.snapshot()
    }

    async fn send_message(&self, message: SipMessage) -> Result<MessageResult> {
        const OPERATION: &str = "send_message";
        self.core
            .hub
            .require(&[Capability::SendMessage], OPERATION)?;
        self.life.check_up(OPERATION)?;
        let core = Arc::clone(&self.core);
        let order = async move { message::send(&core, message).await };
        self.life.see_through(OPERATION, order).await
    }
}

impl fmt::Debug for FlexisipAdapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlexisipAdapter")
            .field("host", &self.core.config.host)
            .field("port", &self.core.config.port)
            .field("connection", &self.core.hub.state().connection)
            .finish_non_exhaustive()
    }
}
