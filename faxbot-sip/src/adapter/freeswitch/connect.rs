//! How the link to the event socket is made.

use std::{sync::Arc, time::Duration};

use faxbot_core::Result;

use super::{FreeswitchAdapter, run::work, server::refused};
use crate::{
    adapter::{
        endpoint::{connector, secured},
        life::{Running, Start},
    },
    driver::{Connect, Endpoint},
    protocol::esl::{EslCodec, EslConfig, EslSession, Login, MAX_FRAME, Role},
};

/// How long a keep-alive may stay unanswered.
const PING_TIMEOUT: Duration = Duration::from_secs(10);

impl FreeswitchAdapter {
    pub(super) fn start(&self) -> Result<Running<EslSession>> {
        let config = &self.core.config;
        let login = self.login()?;
        let session = EslConfig::new()
            .with_ping(config.keepalive, PING_TIMEOUT)
            .with_login_timeout(config.connect_timeout);
        let start = Start {
            connector: self.connector()?,
            factory: move |random: [u8; 32]| {
                let mut id = [0; 16];
                for (byte, random) in id.iter_mut().zip(random) {
                    *byte = random;
                }
                let session = EslSession::new(login.clone(), session.clone(), id);
                (session, EslCodec::new(Role::Client, MAX_FRAME))
            },
            random: Arc::clone(&self.random),
            connect_timeout: config.connect_timeout,
            wait_for_server: config.wait_for_server,
            stalls: None,
        };
        let core = Arc::clone(&self.core);
        Running::start(&self.core, start, |handle| work(core, handle))
    }

    fn login(&self) -> Result<Login> {
        let config = &self.core.config;
        let password = config.password.expose();
        let login = match &config.user {
            Some((user, domain)) => Login::user(user, domain, password),
            None => Login::password(password),
        };
        login.map_err(|error| refused("connect", error))
    }

    fn connector(&self) -> Result<Box<dyn Connect>> {
        let config = &self.core.config;
        connector(self.connector.as_ref(), || {
            let endpoint = Endpoint::tcp(config.host.as_str(), config.port)
                .with_connect_timeout(config.connect_timeout);
            secured(endpoint, config.tls.as_ref())
        })
    }
}
