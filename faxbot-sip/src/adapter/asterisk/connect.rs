//! Connecting and disconnecting: who owns the link and its tasks, and since when.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use faxbot_core::{
    Error, ErrorKind, Result,
    sip::{ConnectionState, Drained},
    task::TaskSet,
};

use super::{
    AsteriskAdapter,
    config::AsteriskConfig,
    diet::mask,
    pump::pump,
    request::refused,
    run::{stop_following, work},
    server::Server,
};
use crate::{
    driver::{
        Connect, Endpoint, Handle, Link, LinkError, LinkOptions, RoundTripObserver, Transport,
    },
    protocol::ami::{AmiCodec, AmiConfig, AmiSession, Login, MAX_MESSAGE, Role},
};

/// How long a keep-alive may stay unanswered.
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// How long `FullyBooted` is awaited after the login. An account without the class `system` never
/// gets it; a server that still boots then refuses the set-up, and the next attempt follows.
const BOOT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long `disconnect` waits for one hang-up with `hangup_on_close`.
const HANGUP_LIMIT: Duration = Duration::from_secs(2);

/// What the tasks get to end by themselves once the link is closed.
const LAST_WORD: Duration = Duration::from_millis(200);

/// Items and bytes of one list, for the outcomes of a week: about 300 bytes each.
const LIST_LIMITS: (usize, usize) = (50_000, 16 * 1024 * 1024);

/// Where the adapter stands.
pub(super) enum Phase {
    Idle,
    /// The tasks of the attempt; the future of `connect` has the rest.
    Connecting(TaskSet),
    Running(Running),
    Closing,
}

/// Field order is drop order: the link goes before the tasks that serve it.
pub(super) struct Running {
    link: Link<AmiSession>,
    pub(super) handle: Handle<AmiSession>,
    tasks: TaskSet,
}

impl AsteriskAdapter {
    pub(super) async fn open(&self) -> Result<()> {
        let running = {
            let mut phase = self.phase();
            if !matches!(*phase, Phase::Idle) {
                return Err(Error::new(
                    ErrorKind::InvalidState,
                    "connect",
                    "connected, connecting or disconnecting already",
                ));
            }
            // Before the tasks run, which say what comes after.
            self.core.connection(ConnectionState::Connecting);
            match self.start() {
                Ok(running) => {
                    *phase = Phase::Connecting(running.tasks.clone());
                    running
                }
                Err(error) => {
                    self.core.connection(ConnectionState::Disconnected);
                    return Err(error);
                }
            }
        };
        // Dropped with this future: back to idle, and the tasks go with their set.
        let attempt = Attempt {
            adapter: self,
            running: Some(running),
        };
        let connected = match &attempt.running {
            Some(running) => running.link.connected().await,
            None => Ok(()),
        };
        match connected {
            Ok(()) => attempt.keep(),
            Err(error) => {
                self.core.health().connection_failed();
                if let Some(running) = &attempt.running {
                    // A pump that still runs would say `error` after `disconnected`.
                    running.tasks.stop(LAST_WORD).await;
                }
                Err(error)
            }
        }
    }

    pub(super) async fn close(&self, within: Duration) -> Result<Drained> {
        let mut closing = match self.begin_close() {
            Ok(closing) => closing,
            Err(attempt) => {
                if let Some(attempt) = attempt {
                    // The connect that waits ends as closed.
                    attempt.stop(within).await;
                }
                return Ok(Drained::default());
            }
        };
        let core = &self.core;
        let until = core.clock.now() + within;
        let left = || until.saturating_duration_since(core.clock.now());
        core.connection(ConnectionState::Disconnecting);
        let mut drained = true;
        if let Some(running) = &closing.running {
            if core.config.hangup_on_close {
                let live = core.state().books.live();
                for id in live {
                    let limit = HANGUP_LIMIT.min(left());
                    if limit.is_zero() {
                        break;
                    }
                    core.state().books.hung_up_by_us(id, true);
                    let server = Server::new(running.handle.clone(), limit);
                    let Some(channel) = core.state().books.own_channel(id) else {
                        continue;
                    };
                    if let Err(error) = server.hang_up(&channel).await {
                        tracing::warn!(%error, call_id = %id, "asterisk: a call could not be hung up on close");
                    }
                }
            }
            drained = running.link.close(left()).await.drained;
            running.tasks.stop(left().max(LAST_WORD)).await;
        }
        let left = closing.finish();
        Ok(Drained::new(drained, left))
    }

    /// Runs a task that ends with the connection. Without one it is dropped.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Phase::Running(running) = &*self.phase() {
            running.tasks.spawn(task);
        }
    }

    /// As [`spawn`](Self::spawn), for a task that may end at any await.
    pub(super) fn spawn_until_stopped(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Phase::Running(running) = &*self.phase() {
            running.tasks.spawn_until_stopped(task);
        }
    }

    /// Takes the connection that is there; else answers the tasks of one that is being made.
    fn begin_close(&self) -> Result<Closing<'_>, Option<TaskSet>> {
        let mut phase = self.phase();
        match std::mem::replace(&mut *phase, Phase::Closing) {
            Phase::Running(running) => Ok(Closing {
                adapter: self,
                running: Some(running),
                left: 0,
            }),
            Phase::Connecting(tasks) => {
                *phase = Phase::Connecting(tasks.clone());
                Err(Some(tasks))
            }
            other => {
                *phase = other;
                Err(None)
            }
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
        let login = Login::new(&config.username, config.password.expose())
            .and_then(|login| login.events(mask(config)))
            .map_err(|error| refused("connect", error))?
            .md5(config.md5);
        let session = AmiConfig::new()
            .with_ping(config.keepalive, PING_TIMEOUT)
            .with_list_limits(LIST_LIMITS.0, LIST_LIMITS.1)
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
        tasks.spawn(pump(Arc::clone(&self.core), events));
        tasks.spawn_until_stopped(work(Arc::clone(&self.core), handle.clone()));
        Ok(Running {
            link,
            handle,
            tasks,
        })
    }
}

/// An attempt to connect: what is not kept goes back to idle.
struct Attempt<'a> {
    adapter: &'a AsteriskAdapter,
    running: Option<Running>,
}

impl Attempt<'_> {
    fn keep(mut self) -> Result<()> {
        let Some(running) = self.running.take() else {
            return Ok(());
        };
        let mut phase = self.adapter.phase();
        if running.tasks.token().is_cancelled() {
            // Disconnected at this moment.
            drop(phase);
            self.running = Some(running);
            return Err(LinkError::Closed.into_error("connect"));
        }
        *phase = Phase::Running(running);
        Ok(())
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            drop(running);
            self.adapter.core.state().forget_connection();
            self.adapter.core.connection(ConnectionState::Disconnected);
            *self.adapter.phase() = Phase::Idle;
        }
    }
}

/// A disconnect: however it ends, nothing of the connection is left, and who waits is told.
struct Closing<'a> {
    adapter: &'a AsteriskAdapter,
    running: Option<Running>,
    left: usize,
}

impl Closing<'_> {
    /// Answers how many calls were left alone.
    fn finish(&mut self) -> usize {
        if let Some(running) = self.running.take() {
            drop(running);
            let core = &self.adapter.core;
            self.left = stop_following(core);
            core.health().disconnected();
            core.connection(ConnectionState::Disconnected);
            *self.adapter.phase() = Phase::Idle;
        }
        self.left
    }
}

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.finish();
    }
}

/// A connector behind an `Arc`.
#[derive(Debug)]
struct Shared(Arc<dyn Connect>);

#[async_trait]
impl Connect for Shared {
    async fn connect(&self) -> Result<Transport, LinkError> {
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
