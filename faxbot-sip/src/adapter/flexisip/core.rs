//! What makes it connected, and what keeps it so.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use faxbot_core::{
    Error, ErrorKind, Result,
    clock::SharedClock,
    http::HttpClient,
    id::CallId,
    random::{SharedRandom, SystemRandom},
    sip::{Capabilities, Capability},
    task::TaskSet,
};

use super::{
    api::{FlexiApi, FlexiLogin},
    books::NoCalls,
    config::FlexisipConfig,
};
use crate::adapter::{
    hub::Hub,
    polled::{NoLink, Polled, Timing, Work},
};

const NAME: &str = "flexisip";

/// The core of the adapter.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) config: FlexisipConfig,
    pub(super) hub: Hub<NoLink, NoCalls>,
    random: SharedRandom,
    /// A client of the caller's.
    http: Option<Arc<dyn HttpClient>>,
    /// Made once: its connections and nonces are kept.
    api: Mutex<Option<FlexiApi>>,
}

impl Core {
    pub(super) fn new(
        config: FlexisipConfig,
        clock: SharedClock,
        http: Option<Arc<dyn HttpClient>>,
    ) -> Self {
        Self {
            config,
            hub: Hub::new(NAME, clock, NoCalls::new(), Capabilities::none()),
            random: SystemRandom::shared(),
            http,
            api: Mutex::default(),
        }
    }

    /// The client of the account manager.
    ///
    /// # Errors
    /// `Config` when a file of TLS cannot be used.
    pub(super) fn api(&self) -> Result<FlexiApi> {
        let mut api = self.api.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(api) = &*api {
            return Ok(api.clone());
        }
        let (clock, random) = (Arc::clone(&self.hub.clock), Arc::clone(&self.random));
        let (client, _) = self.config.http.client(
            self.http.as_ref(),
            clock,
            random,
            self.config.request_timeout,
        )?;
        let made = FlexiApi::over(client, &self.config.path, &self.config.login)?
            .with_timeout(self.config.request_timeout)
            .with_max_answer_bytes(self.config.http.max_answer_bytes);
        *api = Some(made.clone());
        Ok(made)
    }

    /// Asks whether the server is there, and keeps the time that it took.
    pub(super) async fn ping(&self, operation: &'static str) -> Result<()> {
        let clock = &self.hub.clock;
        let begun = clock.now();
        let result = self.api()?.ping().await;
        let mut health = self.hub.health();
        match &result {
            Ok(()) => {
                health.round_trip(clock.now().saturating_duration_since(begun));
                health.succeeded();
            }
            Err(error) => health.failed(error),
        }
        result.map_err(|error| error.with_operation(operation))
    }
}

impl Polled for Core {
    type Books = NoCalls;

    fn hub(&self) -> &Hub<NoLink, NoCalls> {
        &self.hub
    }

    fn timing(&self) -> Timing {
        Timing {
            connect_timeout: self.config.connect_timeout,
            poll: self.config.poll,
            wait_for_server: self.config.wait_for_server,
        }
    }

    async fn set_up(self: &Arc<Self>, _tasks: &TaskSet) -> Result<()> {
        const OPERATION: &str = "connect";
        self.ping(OPERATION).await?;
        let mut capabilities = Capabilities::none();
        if !matches!(self.config.login, FlexiLogin::None) {
            let api = self.api()?;
            // Wrong credentials must not wait for the first real request.
            api.check_login(OPERATION).await.map_err(refused)?;
            if api.offers_messages(OPERATION).await? {
                capabilities = capabilities.with(Capability::SendMessage);
            }
        }
        self.hub
            .events(|state, _| state.set_capabilities(capabilities));
        Ok(())
    }

    async fn poll(self: &Arc<Self>) -> Result<()> {
        self.ping("poll").await
    }

    fn work(_todo: &()) -> Work {
        Work::Note
    }

    async fn carry_out(self: &Arc<Self>, _todo: ()) {}

    async fn close(&self) {}

    fn hangs_up_on_close(&self) -> bool {
        false
    }

    async fn hang_up_on_close(&self, _id: CallId, _limit: Duration) -> Result<()> {
        Ok(())
    }
}

/// The server answers 404 for an account that it does not know (`AuthenticateDigest.php`).
fn refused(error: Error) -> Error {
    if error.kind() != ErrorKind::NotFound {
        return error;
    }
    let message = "the server does not know the account";
    Error::new(ErrorKind::Authentication, error.operation(), message).with_source(error)
}
