//! Kamailio 5.2 to 6.x by its JSON-RPC.
//!
//! ```no_run
//! use faxbot_core::sip::{CallRequest, SipAdapter as _};
//! use faxbot_sip::adapter::kamailio::{KamailioAdapter, KamailioConfig};
//!
//! # async fn run() -> faxbot_core::Result<()> {
//! let config = KamailioConfig::from_url(
//!     "kamailio+http://127.0.0.1:5060/RPC?events=127.0.0.1:8448&realm=sip.example",
//! )?;
//! let kamailio = KamailioAdapter::new(config);
//! kamailio.connect().await?;
//! // Rings 1001, whose phone then calls 2000.
//! let call = kamailio
//!     .make_call(CallRequest::connect("1001".parse()?, "2000".parse()?))
//!     .await?;
//! call.answered().await?;
//! kamailio.hangup(&call.call_ref()).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # What a proxy can tell
//!
//! Kamailio has no calls of its own: it sees the dialogs that pass. All of them are calls here, whoever
//! placed them; a [`CallId`] of one that is not ours is made of its Call-ID and tag, so it is the same in
//! every process. Without events the list of dialogs is polled (`options.poll`), and why a call
//! failed is not known: a dialog does not say. With events (`options.events`) calls move as they do at
//! the server, and their ends have their SIP status.
//!
//! # Calls
//!
//! [`CallPlan::Connect`](faxbot_core::sip::CallPlan) goes by `dlg.bridge_dlg`: Kamailio calls the first
//! party, asks its phone to call the second (REFER) and hangs up at once; **the phone must go on with the
//! transfer after that BYE**. The answer of the server says nothing. The call is the one that the phone
//! makes, known by a header that phones copy (`options.job_header`). No call is asked for twice.
//!
//! While the first party rings, `hangup` takes that call of the server back, if events told of it, and so
//! does the end of the ring time. Any other call that rings cannot be ended from here: `hangup` answers
//! [`CannotCancelRinging`](HangupOutcome::CannotCancelRinging) and sends nothing.
//!
//! Of one that is answered the server hangs up the caller first, and leaves out the called phone if the
//! caller's is quick to confirm (`send_bye` in `dlg_req_within.c`; seen with 5.6.3 on a busy machine). The
//! call is over in its books and in ours all the same; what such a phone needs is a session timer.
//!
//! # What Kamailio does not keep
//!
//! Nothing of a call that is over, and after a restart nothing at all: calls that were up end as unknown,
//! and [`lookup`](SipAdapter::lookup) never says `NeverExisted`.

mod abilities;
mod bridges;
mod config;
mod core;
mod desk;
#[cfg(test)]
mod desk_tests;
mod event;
mod links;
mod lookup;
mod message;
mod own;
mod place;
mod server;
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
    sip::{
        AdapterKind, Call, CallRecord, CallRequest, CallStatus, Capabilities, Capability,
        Connection, Drained, EventPath, HangupOutcome, Health, HistoryQuery, Lookup, SipAdapter,
        SipEvent, SipMessage, Snapshot, SupportedVersions,
    },
};
use serde_json::Value;
use tracing::Instrument as _;

use self::core::Core;
pub use self::{
    config::{FIELDS, KamailioConfig, RpcSocket, SCHEMES},
    wire::{
        Destination, DestinationState, Dialog, DialogHandle, DialogParty, DialogState,
        Registration, RegistrationContact, SipReply, Statistics,
    },
};
use crate::{
    adapter::{hub::call_span, polled::PolledLife},
    driver::Connect,
};

/// One Kamailio. Clones share it.
#[derive(Clone)]
pub struct KamailioAdapter {
    life: PolledLife<Core>,
}

impl KamailioAdapter {
    /// An adapter that is not connected.
    pub fn new(config: KamailioConfig) -> Self {
        Self::with_clock(config, TokioClock::shared())
    }

    /// As [`new`](Self::new), with a clock of the caller's, for tests.
    pub fn with_clock(config: KamailioConfig, clock: SharedClock) -> Self {
        Self {
            life: PolledLife::new(Arc::new(Core::new(config, clock))),
        }
    }

    /// Asks by `client` instead of one of its own. The first one that is set counts.
    #[must_use]
    pub fn with_http(self, client: Arc<dyn HttpClient>) -> Self {
        self.core().set_http(client);
        self
    }

    /// Gets its events by `connector` instead of `options.events`. The first one that is set counts.
    #[must_use]
    pub fn with_connector(self, connector: Arc<dyn Connect>) -> Self {
        self.core().set_connector(connector);
        self
    }

    /// The configuration.
    pub fn config(&self) -> &KamailioConfig {
        &self.core().config
    }

    fn core(&self) -> &Core {
        self.life.core()
    }

    fn span(&self, id: Option<CallId>) -> tracing::Span {
        call_span(self.core().hub.name, id)
    }
}

#[async_trait]
impl SipAdapter for KamailioAdapter {
    fn kind(&self) -> AdapterKind {
        AdapterKind::KAMAILIO
    }

    fn supported_versions(&self) -> SupportedVersions {
        SupportedVersions::new("5.2", &["5.6", "6.1"], "JSON-RPC 2.0 (jsonrpcs)")
    }

    fn capabilities(&self) -> Capabilities {
        self.core().hub.state().capabilities.clone()
    }

    fn validate_config(&self, config: &Value) -> Result<(), ConfigErrors> {
        KamailioConfig::validate(config)
    }

    async fn connect(&self) -> Result<()> {
        self.life.open().await
    }

    async fn disconnect(&self, within: Duration) -> Result<Drained> {
        Ok(self.life.close(within).await)
    }

    fn connection(&self) -> Connection {
        let state = self.core().hub.state();
        let path = if state.books.has_events() {
            EventPath::Push
        } else {
            EventPath::Polling(self.core().config.poll)
        };
        Connection::new(state.connection, path)
    }

    async fn make_call(&self, request: CallRequest) -> Result<Call> {
        let span = self.span(Some(request.id));
        self.place_call(request).instrument(span).await
    }

    async fn hangup(&self, call: &CallRef) -> Result<HangupOutcome> {
        const OPERATION: &str = "hangup";
        self.core().hub.require(&[Capability::Hangup], OPERATION)?;
        self.life.check_up(OPERATION)?;
        let (core, target) = (Arc::clone(self.life.core()), call.clone());
        let order = async move { place::hang_up(&core, &target).await };
        self.life
            .see_through(OPERATION, order.instrument(self.span(call.id)))
            .await
    }

    async fn get_status(&self, call: &CallRef) -> Result<CallStatus> {
        self.core().hub.state().books.dialogs.status(call)
    }

    async fn lookup(&self, call: &CallRef) -> Result<Lookup> {
        lookup::lookup(self.life.core(), call)
            .instrument(self.span(call.id))
            .await
    }

    async fn release(&self, _call: &CallRef) -> Result<()> {
        // Nothing is kept.
        Ok(())
    }

    async fn health_check(&self) -> Result<Health> {
        const OPERATION: &str = "health_check";
        let hub = &self.core().hub;
        if self.life.check_up(OPERATION).is_ok() {
            match self.core().check_health(OPERATION).await {
                Ok(()) => hub.health().succeeded(),
                Err(error) => hub.health().failed(&error),
            }
        }
        Ok(hub.health_report(self.kind()))
    }

    fn subscribe(&self) -> EventStream<SipEvent> {
        self.core().hub.bus.subscribe()
    }

    fn snapshot(&self) -> Snapshot {
        self.core().hub.snapshot()
    }

    async fn get_call_history(&self, query: HistoryQuery) -> Result<Page<CallRecord>> {
        let now = self.core().hub.now().instant;
        let mut state = self.core().hub.state();
        state.books.dialogs.history(&query, now)
    }

    async fn send_message(&self, message: SipMessage) -> Result<MessageResult> {
        const OPERATION: &str = "send_message";
        self.core()
            .hub
            .require(&[Capability::SendMessage], OPERATION)?;
        self.life.check_up(OPERATION)?;
        let core = Arc::clone(self.life.core());
        let order = async move { message::send(&core, message).await };
        let span = self.span(None);
        self.life
            .see_through(OPERATION, order.instrument(span))
            .await
    }
}

impl fmt::Debug for KamailioAdapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KamailioAdapter")
            .field("host", &self.core().config.host)
            .field("port", &self.core().config.port)
            .field("connection", &self.core().hub.state().connection)
            .finish_non_exhaustive()
    }
}
