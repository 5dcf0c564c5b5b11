//! How the link to the manager is made.

use std::{sync::Arc, time::Duration};

use faxbot_core::Result;

use super::{AsteriskAdapter, diet::mask, request::refused, run::work};
use crate::{
    adapter::{
        endpoint::{connector, secured},
        life::{Running, Start},
    },
    driver::Endpoint,
    protocol::ami::{AmiCodec, AmiConfig, AmiSession, Login, MAX_MESSAGE, Role},
};

/// How long a keep-alive may stay unanswered.
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// How long `FullyBooted` is awaited after the login. An account without the class `system` never
/// gets it; a server that still boots then refuses the set-up, and the next attempt follows.
const BOOT_TIMEOUT: Duration = Duration::from_secs(5);

/// Items and bytes of one list, for the outcomes of a week: about 300 bytes each.
const LIST_LIMITS: (usize, usize) = (50_000, 16 * 1024 * 1024);

impl AsteriskAdapter {
    pub(super) fn start(&self) -> Result<Running<AmiSession>> {
        let config = &self.core.config;
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
        let start = Start {
            connector: connector(self.connector.as_ref(), || {
                let endpoint = Endpoint::tcp(config.host.as_str(), config.port)
                    .with_connect_timeout(config.connect_timeout);
                secured(endpoint, config.tls.as_ref())
            })?,
            factory: move |random: [u8; 32]| {
                let mut id = [0; 16];
                for (byte, random) in id.iter_mut().zip(random) {
                    *byte = random;
                }
                let session = AmiSession::new(login.clone(), session.clone(), id);
                (session, AmiCodec::new(Role::Client, MAX_MESSAGE))
            },
            random: Arc::clone(&self.random),
            connect_timeout: config.connect_timeout,
            wait_for_server: config.wait_for_server,
            stalls: None,
        };
        let core = Arc::clone(&self.core);
        Running::start(&self.core, start, |handle| work(core, handle))
    }
}
