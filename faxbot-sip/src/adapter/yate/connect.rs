//! How the link to the external module port is made.

use std::{sync::Arc, time::Duration};

use faxbot_core::Result;

use super::{
    YateAdapter,
    asked::answer,
    event::{RECORDS, WATCHED},
    run::work,
    server::refused,
};
use crate::{
    adapter::{
        endpoint::connector,
        life::{Running, Start},
    },
    driver::Endpoint,
    protocol::yate::{Command, Login, MAX_LINE, Role, YateCodec, YateConfig, YateSession},
};

/// How long the engine may take no byte, and our pump no event. Short: one of the engine's threads waits
/// for each answer, and the connection reads on beside a pump that is behind, but not for long.
const STALL: Duration = Duration::from_secs(4);

/// How long a keep-alive may stay unanswered.
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// Where in the order of those who take messages we stand: before the drivers (100), which would try to
/// send on what is ours.
const MESSAGES: u32 = 50;

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
            stalls: Some(STALL),
        };
        let core = Arc::clone(&self.core);
        Running::start(&self.core, start, |handle| async move {
            tokio::join!(work(Arc::clone(&core), handle), answer(core));
        })
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
        let records = config.cdr.then_some(RECORDS);
        let mut commands: Vec<_> = WATCHED
            .iter()
            .copied()
            .chain(records)
            .map(Command::watch)
            .collect();
        if config.incoming || self.core.asked.has_hook() {
            commands.push(Command::install(
                Some(config.incoming_priority),
                "call.route",
            ));
        }
        if config.incoming {
            commands.push(Command::install(Some(MESSAGES), "msg.execute"));
        }
        for command in commands {
            login = command
                .and_then(|command| login.required(command))
                .map_err(|error| refused("connect", error))?;
        }
        Ok(login)
    }
}
