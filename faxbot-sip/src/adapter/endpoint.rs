//! Where an adapter connects to: a connector of the caller's, or the configured address, with TLS.

use std::sync::Arc;

use async_trait::async_trait;
use faxbot_core::Result;
#[cfg(not(feature = "tls"))]
#[cfg(any(feature = "asterisk", feature = "freeswitch", feature = "yate"))]
use faxbot_core::{Error, ErrorKind};

#[cfg(any(feature = "asterisk", feature = "freeswitch", feature = "yate"))]
use super::settings::TlsConfig;
use crate::driver::{Connect, Endpoint, LinkError, Transport};

/// The connector that was given, else the endpoint.
pub(crate) fn connector(
    given: Option<&Arc<dyn Connect>>,
    endpoint: impl FnOnce() -> Result<Endpoint>,
) -> Result<Box<dyn Connect>> {
    match given {
        Some(given) => Ok(Box::new(Shared(Arc::clone(given)))),
        None => Ok(Box::new(endpoint()?)),
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

/// The endpoint, with TLS if it is configured.
#[cfg(feature = "tls")]
#[cfg(any(feature = "asterisk", feature = "freeswitch", feature = "yate"))]
pub(crate) fn secured(endpoint: Endpoint, tls: Option<&TlsConfig>) -> Result<Endpoint> {
    let Some(tls) = tls else {
        return Ok(endpoint);
    };
    let mut options = crate::driver::TlsOptions::default();
    options.ca_file.clone_from(&tls.ca);
    options.client_certificate.clone_from(&tls.client);
    options.server_name.clone_from(&tls.server_name);
    endpoint.with_tls(&options)
}

/// The endpoint; TLS is not compiled in.
#[cfg(not(feature = "tls"))]
#[cfg(any(feature = "asterisk", feature = "freeswitch", feature = "yate"))]
pub(crate) fn secured(endpoint: Endpoint, tls: Option<&TlsConfig>) -> Result<Endpoint> {
    if tls.is_some() {
        return Err(Error::new(
            ErrorKind::Config,
            "connect",
            "options.tls needs the feature tls of faxbot-sip",
        ));
    }
    Ok(endpoint)
}
