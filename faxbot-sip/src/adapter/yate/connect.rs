//! How the link to the external module port is made.

use std::{sync::Arc, time::Duration};

use faxbot_core::Result;

use super::{YateAdapter, event::WATCHED, run::work, server::refused};
use crate::{
    adapter::{
        endpoint::connector,
        life::{Running, Start},
    },
    driver::Endpoint,
    protocol::yate::{Command, Login, MAX_LINE, Role, YateCodec, YateConfig, YateSession},
};

/// How long a keep-alive may stay unanswered.
const PING_TIMEOUT: Duration = Duration::from_secs(10);

impl YateAdapter {
    pub(super) fn start(&self) -> Result<Running<YateSession>> {
        let config = &self.core.config;
        let login = self.login()?;
        let session = YateConfig::new()
            .with_ping(config.keepalive, PING_TIMEOUT)
            .with_login_timeout(config.connect_timeout);
        let start = Start {
            connector: connector(self.connector.as_ref(), || Ok(self.endpoint()))?,
            factory: move |random: [u8; 32]| {
                let mut id = [0; 16];
                for (byte, random) in id.iter_mut().zip(random) {
                    *byte = random;
                }
                let session = YateSession::new(login.clone(), session.clone(), id);
                (session, YateCodec::new(Role::Client, MAX_LINE))
            },
            random: Arc::clone(&self.random),
            connect_timeout: config.connect_timeout,
            wait_for_server: config.wait_for_server,
        };
        let core = Arc::clone(&self.core);
        Running::start(&self.core, start, |handle| work(core, handle))
    }

    fn endpoint(&self) -> Endpoint {
        let config = &self.core.config;
        #[cfg(unix)]
        if let Some(path) = &config.path {
            return Endpoint::unix(path.clone()).with_connect_timeout(config.connect_timeout);
        }
        Endpoint::tcp(config.host.as_str(), config.port)
            .with_connect_timeout(config.connect_timeout)
    }

    /// What each connection watches and handles: it goes with the connection.
    fn login(&self) -> Result<Login> {
        let config = &self.core.config;
        let mut login = if config.connect_role {
            Login::global()
        } else {
            Login::new()
        };
        for name in WATCHED {
            let watch = Command::watch(name);
            login = watch
                .and_then(|watch| login.required(watch))
                .map_err(|error| refused("connect", error))?;
        }
        Ok(login)
    }
}
