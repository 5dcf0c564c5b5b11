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
//! # Outcomes that survive
//!
//! Each call carries a hangup handler that leaves its result in AstDB under an id that the caller
//! chose. After a lost link, or in a new process, [`lookup`](SipAdapter::lookup) reads it;
//! [`release`](SipAdapter::release) deletes it. With `outcome_context: auto` the adapter adds the
//! handler's extension at run time. To keep it in your own dialplan, add this and name the context
//! (here for the default `instance`, `faxbot`):
//!
//! ```text
//! [faxbot-outcome]
//! exten => s,1,Set(DB(faxbot-faxbot/${CHANNEL(uniqueid)})=1|${EPOCH}|${CHANNEL(state)}|${FAXBOT_KIND}|${HANGUPCAUSE}|${FAXSTATUS}|${FAXERROR}|${FAXPAGES}|${FAXBITRATE}|${FAXMODE}|${FAXRESOLUTION}|${FAXSTATUSSTRING}|${REMOTESTATIONID})
//!  same => n,Return()
//! ```

mod config;
mod event;
mod fax;
mod lookup;
mod outcome;
mod preflight;
mod request;
mod run;
mod server;
mod spool;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use faxbot_core::{
    Effect, Error, ErrorKind, Private, Result,
    clock::{SharedClock, TokioClock},
    config::ConfigErrors,
    event::EventStream,
    fax::{FaxCall, FaxRequest},
    id::{CallId, CallRef},
    plugin::CancelOutcome,
    sip::{
        AdapterKind, Call, CallRequest, CallStatus, Capabilities, Capability, Connection,
        ConnectionState, Drained, EventPath, HangupOutcome, Health, Lookup, SipAdapter, SipEvent,
        Snapshot, SupportedVersions,
    },
    task::{TaskSet, blocking},
};
use serde_json::Value;

use self::{
    config::RawEvents as Raw, event::NewLine, outcome::channel_id, request::refused, run::Core,
    server::Server,
};
pub use self::{
    config::{
        AsteriskConfig, AsteriskTls, FIELDS, OutcomeContext, RawEvents, SCHEMES, SpoolConfig,
    },
    preflight::{Preflight, PreflightProblem},
};
use crate::{
    driver::{
        Connect, Endpoint, Handle, Link, LinkOptions, RoundTripObserver, SharedRandom, SystemRandom,
    },
    protocol::ami::{AmiCodec, AmiConfig, AmiSession, Login, MAX_MESSAGE, Reply, Role},
};

/// How long a keep-alive may stay unanswered.
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// How long `FullyBooted` is awaited after the login. An account without the class `system` never
/// gets it; a server that still boots then refuses the set-up, and the next attempt follows.
const BOOT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long `disconnect` waits for hang-ups with `hangup_on_close`.
const HANGUP_LIMIT: Duration = Duration::from_secs(2);

/// One Asterisk. Clones share it.
#[derive(Clone)]
pub struct AsteriskAdapter {
    core: Arc<Core>,
    random: SharedRandom,
    connector: Option<Arc<dyn Connect>>,
    running: Arc<Mutex<Phase>>,
}

enum Phase {
    Idle,
    Connecting,
    Running(Running),
}

/// Field order is drop order: the link goes before the tasks that serve it.
struct Running {
    link: Link<AmiSession>,
    handle: Handle<AmiSession>,
    tasks: TaskSet,
}

impl AsteriskAdapter {
    /// An adapter that is not connected.
    pub fn new(config: AsteriskConfig) -> Self {
        Self::with_clock(config, TokioClock::shared())
    }

    /// As [`new`](Self::new), with a clock of the caller's, for tests.
    pub fn with_clock(config: AsteriskConfig, clock: SharedClock) -> Self {
        Self {
            core: Arc::new(Core::new(config, clock)),
            random: SystemRandom::shared(),
            connector: None,
            running: Arc::new(Mutex::new(Phase::Idle)),
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
    /// Dropping the future may leave a probe file of our name pattern, which the next connect
    /// sweeps.
    pub async fn preflight(&self) -> Result<Preflight> {
        let server = self.server("preflight")?;
        let core = &self.core;
        preflight::run(
            &server,
            &core.config,
            &core.store,
            core.spool.as_ref(),
            &core.clock,
        )
        .await
    }

    /// The configuration.
    pub fn config(&self) -> &AsteriskConfig {
        &self.core.config
    }

    fn phase(&self) -> MutexGuard<'_, Phase> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The server behind the connection that is up, if one is.
    fn server(&self, operation: &'static str) -> Result<Server> {
        match &*self.phase() {
            Phase::Running(running) => Ok(Server::new(
                running.handle.clone(),
                self.core.config.request_timeout,
            )),
            Phase::Idle | Phase::Connecting => Err(Error::new(
                ErrorKind::NotConnected,
                operation,
                "not connected; call connect first",
            )),
        }
    }

    fn connector(&self) -> Result<Box<dyn Connect>> {
        if let Some(connector) = &self.connector {
            return Ok(Box::new(Shared(Arc::clone(connector))));
        }
        let config = &self.core.config;
        let endpoint = Endpoint::tcp(config.host.as_str(), config.port)
            .with_connect_timeout(config.connect_timeout);
        Ok(Box::new(secured(endpoint, config)?))
    }

    fn start(&self) -> Result<Running> {
        let config = &self.core.config;
        let tasks = TaskSet::current("connect")?;
        let events = if config.raw_events == Raw::Off {
            "system,call,dialplan"
        } else {
            "on"
        };
        let login = Login::new(&config.username, config.password.expose())
            .and_then(|login| login.events(events))
            .map_err(|error| refused("connect", error))?
            .md5(config.md5);
        let session = AmiConfig::new()
            .with_ping(config.keepalive, PING_TIMEOUT)
            .with_login_timeouts(
                config.connect_timeout,
                BOOT_TIMEOUT.min(config.connect_timeout / 2),
            );
        let core = Arc::clone(&self.core);
        let options = LinkOptions::new("asterisk")
            .with_connect_timeout(config.connect_timeout)
            .with_wait_for_server(config.wait_for_server)
            .with_observer(RoundTripObserver::new(move |took| {
                core.health().round_trip(took)
            }));
        let (link, events) = Link::start(
            options,
            self.connector()?,
            move |random: [u8; 32]| {
                let mut id = [0; 16];
                for (byte, random) in id.iter_mut().zip(random) {
                    *byte = random;
                }
                let session = AmiSession::new(login.clone(), session.clone(), id);
                (session, AmiCodec::new(Role::Client, MAX_MESSAGE))
            },
            Arc::clone(&self.core.clock),
            Arc::clone(&self.random),
            &tasks,
        );
        let handle = link.handle();
        tasks.spawn(run::pump(Arc::clone(&self.core), events));
        tasks.spawn_until_stopped(run::work(Arc::clone(&self.core), handle.clone()));
        Ok(Running {
            link,
            handle,
            tasks,
        })
    }

    /// Sends an Originate whose call is in the books, and enters its fate there.
    async fn originate(
        &self,
        id: CallId,
        action: crate::protocol::ami::Action,
        operation: &'static str,
    ) -> Result<()> {
        let core = Arc::clone(&self.core);
        // If this future is dropped, nobody hears the answer: the books ask the server then.
        let unsure = Unsure {
            core: &core,
            id: Some(id),
        };
        let sent = self.send(action, operation).await;
        unsure.decided();
        match sent {
            Ok(_) => {
                core.events(|state, now| state.books.taken(id, now));
                core.health().succeeded();
                Ok(())
            }
            Err(error) => {
                let error = error.with_call_id(id);
                core.health().failed(&error);
                core.events(|state, now| {
                    match error.effect() {
                        Effect::NoEffect => state.books.lose(id, error.clone()),
                        Effect::Unknown => state.books.unsure(id, now),
                    }
                    Vec::new()
                });
                core.wake.notify_one();
                Err(error)
            }
        }
    }

    async fn send(
        &self,
        action: crate::protocol::ami::Action,
        operation: &'static str,
    ) -> Result<Reply> {
        let server = self.server(operation)?;
        // Nothing was dialled if this fails, whatever became of the extension.
        let kept = self.core.keep_extension(&server, operation).await;
        kept.map_err(|error| error.with_effect(Effect::NoEffect))?;
        server.order(action, operation).await
    }

    fn require(&self, needs: &[Capability], operation: &'static str) -> Result<()> {
        let state = self.core.state();
        if needs.iter().all(|&need| state.capabilities.has(need)) {
            Ok(())
        } else {
            Err(Error::unsupported(operation))
        }
    }

    async fn hang_up(&self, call: &CallRef) -> Result<HangupOutcome> {
        let known = {
            let state = self.core.state();
            (state.books.find(call), state.books.record(call).is_some())
        };
        match known {
            (Some(id), _) => self.hang_up_ours(id).await,
            (None, true) => Ok(HangupOutcome::Ended),
            (None, false) => {
                let channel = match (call.id, &call.native) {
                    (Some(id), _) => channel_id(id),
                    // Between slashes it is a regular expression and hangs up whatever fits.
                    (None, Some(native)) if !native.starts_with('/') => native.clone(),
                    (None, _) => {
                        return Err(Error::new(
                            ErrorKind::InvalidRequest,
                            "hangup",
                            "name the call by its id or by one channel",
                        ));
                    }
                };
                self.server("hangup")?.hang_up(&channel).await?;
                Ok(HangupOutcome::Requested)
            }
        }
    }

    async fn hang_up_ours(&self, id: CallId) -> Result<HangupOutcome> {
        let server = self
            .server("hangup")
            .map_err(|error| error.with_call_id(id))?;
        let core = &self.core;
        // Before the order: the end that follows is ours even if its event overtakes the answer.
        core.events(|state, _| state.books.hung_up_by_us(id, true));
        match server.hang_up(&channel_id(id)).await {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {
                // No channel yet, or no longer: then its end is on its way, or was missed.
                core.events(|state, now| state.books.hang_up_when_there(id, now));
                core.wake.notify_one();
            }
            Err(error) => {
                core.events(|state, _| state.books.hung_up_by_us(id, false));
                return Err(error.with_call_id(id));
            }
        }
        core.events(|state, now| state.books.hanging_up(id, now));
        Ok(HangupOutcome::Requested)
    }

    async fn cancel(self, id: CallId) -> Result<CancelOutcome> {
        match self.hang_up(&id.into()).await? {
            HangupOutcome::Ended => Ok(CancelOutcome::TooLate),
            _ => Ok(CancelOutcome::Requested),
        }
    }
}

/// Asks the server later about a request whose caller left.
struct Unsure<'a> {
    core: &'a Core,
    id: Option<CallId>,
}

impl Unsure<'_> {
    fn decided(mut self) {
        self.id = None;
    }
}

impl Drop for Unsure<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.core.events(|state, now| {
                state.books.unsure(id, now);
                Vec::new()
            });
            self.core.wake.notify_one();
        }
    }
}

/// A connector behind an `Arc`.
#[derive(Debug)]
struct Shared(Arc<dyn Connect>);

#[async_trait]
impl Connect for Shared {
    async fn connect(&self) -> Result<crate::driver::Transport, crate::driver::LinkError> {
        self.0.connect().await
    }
}

#[cfg(feature = "tls")]
fn secured(endpoint: Endpoint, config: &AsteriskConfig) -> Result<Endpoint> {
    let Some(tls) = &config.tls else {
        return Ok(endpoint);
    };
    let mut options = crate::driver::TlsOptions::default();
    options.ca_file.clone_from(&tls.ca);
    options.client_certificate.clone_from(&tls.client);
    options.server_name.clone_from(&tls.server_name);
    endpoint.with_tls(&options)
}

#[cfg(not(feature = "tls"))]
fn secured(endpoint: Endpoint, config: &AsteriskConfig) -> Result<Endpoint> {
    if config.tls.is_some() {
        return Err(Error::new(
            ErrorKind::Config,
            "connect",
            "options.tls needs the feature tls of faxbot-sip",
        ));
    }
    Ok(endpoint)
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
        let link_up = {
            let mut phase = self.phase();
            if !matches!(*phase, Phase::Idle) {
                return Err(Error::new(
                    ErrorKind::InvalidState,
                    "connect",
                    "connected, or connecting, already",
                ));
            }
            let running = self.start()?;
            *phase = Phase::Connecting;
            running
        };
        let mut events = self.core.bus.subscribe();
        self.core.connection(ConnectionState::Connecting, None);
        // Dropped with this future: back to idle, and the tasks go with their set.
        let attempt = Attempt {
            adapter: self,
            running: Some(link_up),
        };
        let connected = match &attempt.running {
            Some(running) => running.link.connected().await,
            None => Ok(()),
        };
        match connected {
            Ok(()) => {
                // The link is up a moment before the books say so.
                while self.core.state().connection == ConnectionState::Connecting {
                    if events.recv().await.is_none() {
                        break;
                    }
                }
                attempt.keep();
                Ok(())
            }
            Err(error) => {
                self.core.health().connection_failed();
                Err(error)
            }
        }
    }

    async fn disconnect(&self, within: Duration) -> Result<Drained> {
        let running = {
            let mut phase = self.phase();
            match std::mem::replace(&mut *phase, Phase::Idle) {
                Phase::Running(running) => running,
                other => {
                    *phase = other;
                    return Ok(Drained::default());
                }
            }
        };
        self.core.connection(ConnectionState::Disconnecting, None);
        if self.core.config.hangup_on_close {
            let server = Server::new(running.handle.clone(), HANGUP_LIMIT.min(within));
            let live = self.core.state().books.live();
            for id in live {
                if let Err(error) = server.hang_up(&channel_id(id)).await {
                    tracing::warn!(%error, call_id = %id, "asterisk: a call could not be hung up on close");
                }
            }
        }
        let report = running.link.close(within).await;
        running.tasks.stop(within).await;
        let drained = Drained::new(report.drained, run::stop_following(&self.core));
        self.core.health().disconnected();
        self.core.connection(ConnectionState::Disconnected, None);
        Ok(drained)
    }

    fn connection(&self) -> Connection {
        Connection::new(self.core.state().connection, EventPath::Push)
    }

    async fn make_call(&self, request: CallRequest) -> Result<Call> {
        self.require(&request.capabilities(), "make_call")?;
        let action = request::make_call(&self.core.config, &self.core.store, &request)?;
        self.server("make_call")?;
        let id = request.id;
        let new = NewLine {
            id,
            to: target(&request),
            from: request
                .options
                .caller_id
                .as_ref()
                .map(|number| Private::new(number.expose().to_owned())),
            ring_timeout: request.options.timeout,
        };
        let updates = self
            .core
            .change(|state, now| (state.books.open(new, now), Vec::new()))?;
        self.originate(id, action, "make_call").await?;
        Ok(Call::new(id, updates))
    }

    async fn hangup(&self, call: &CallRef) -> Result<HangupOutcome> {
        self.hang_up(call).await
    }

    async fn get_status(&self, call: &CallRef) -> Result<CallStatus> {
        lookup::status(&self.core, call)
    }

    async fn lookup(&self, call: &CallRef) -> Result<Lookup> {
        lookup::lookup(&self.core, self.server("lookup"), call).await
    }

    async fn release(&self, call: &CallRef) -> Result<()> {
        let Some(id) = call.id else { return Ok(()) };
        if self.core.store.is_off() {
            return Ok(());
        }
        let server = self.server("release")?;
        server
            .forget(self.core.store.family(), &channel_id(id), "release")
            .await
    }

    async fn health_check(&self) -> Result<Health> {
        if let Ok(server) = self.server("health_check") {
            match server.ping().await {
                Ok(()) => self.core.health().succeeded(),
                Err(error) => self.core.health().failed(&error),
            }
        }
        let active = u64::try_from(self.core.state().books.len()).unwrap_or(u64::MAX);
        let now = self.core.now();
        Ok(self
            .core
            .health()
            .health(self.kind(), active, now.instant, now.wall))
    }

    fn subscribe(&self) -> EventStream<SipEvent> {
        self.core.bus.subscribe()
    }

    fn snapshot(&self) -> Snapshot {
        // The books' lock is held: events are published under it, so the number fits the books.
        let state = self.core.state();
        let mut snapshot = Snapshot::new(self.core.bus.seq(), state.connection);
        snapshot.calls = state.books.statuses();
        snapshot.faxes = state.books.faxes();
        snapshot
    }

    async fn send_fax(&self, request: FaxRequest) -> Result<FaxCall> {
        const OPERATION: &str = "send_fax";
        self.require(&[Capability::SendFax], OPERATION)?;
        let Some(spool) = self.core.spool.clone() else {
            return Err(Error::unsupported(OPERATION));
        };
        let id = request.id;
        let remote = spool.file(id).remote;
        let action = request::send_fax(&self.core.config, &self.core.store, &request, &remote)?;
        self.server(OPERATION)?;
        let new = NewLine {
            id,
            to: Private::new(request.to.expose().to_owned()),
            from: None,
            ring_timeout: request.ring_timeout,
        };
        let pages = request.image.pages();
        let updates = self
            .core
            .change(|state, now| (state.books.open_fax(new, pages, now), Vec::new()))?;
        let image = request.image.clone();
        let put = blocking(OPERATION, move || spool.put(id, image.path()))
            .await
            .and_then(|put| put.map(drop));
        if let Err(error) = put {
            self.core.events(|state, _| {
                state.books.lose(id, error.clone());
                Vec::new()
            });
            return Err(error);
        }
        let sent = self.originate(id, action, OPERATION).await;
        if let Err(error) = sent {
            if error.effect() == Effect::NoEffect {
                run::clear_spool(&self.core, id).await;
            }
            return Err(error);
        }
        let adapter = self.clone();
        Ok(FaxCall::new(id, updates, move || {
            Box::pin(adapter.clone().cancel(id))
        }))
    }
}

/// An attempt to connect: what is not kept goes back to idle.
struct Attempt<'a> {
    adapter: &'a AsteriskAdapter,
    running: Option<Running>,
}

impl Attempt<'_> {
    fn keep(mut self) {
        if let Some(running) = self.running.take() {
            *self.adapter.phase() = Phase::Running(running);
        }
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if self.running.take().is_some() {
            *self.adapter.phase() = Phase::Idle;
            self.adapter
                .core
                .connection(ConnectionState::Disconnected, None);
        }
    }
}

fn target(request: &CallRequest) -> Private {
    match &request.plan {
        faxbot_core::sip::CallPlan::Dial { to, .. } => Private::new(to.expose().into_owned()),
        _ => Private::default(),
    }
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
