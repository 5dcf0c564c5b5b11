//! TLS by rustls with the ring provider, given explicitly: a library that installs a process
//! default would decide for the whole program.

use std::{fmt, io, path::PathBuf, sync::Arc};

use faxbot_core::{Error, ErrorKind};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, RootCertStore, crypto::ring},
};

use super::{LinkError, Transport};

/// How the server is checked and what we show it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsOptions {
    /// PEM file of the authorities that may sign the server's certificate. Default `None`: those
    /// of the operating system. With a file only the file counts.
    pub ca_file: Option<PathBuf>,
    /// PEM files of our certificate chain and its key, for servers that ask. Default `None`.
    pub client_certificate: Option<(PathBuf, PathBuf)>,
    /// Name or IP address that the server's certificate must hold. Default `None`: the host that
    /// is connected to.
    pub server_name: Option<String>,
}

impl TlsOptions {
    /// The authorities of the operating system, no certificate of ours.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets [`ca_file`](Self::ca_file).
    #[must_use]
    pub fn with_ca_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.ca_file = Some(file.into());
        self
    }

    /// Sets [`client_certificate`](Self::client_certificate).
    #[must_use]
    pub fn with_client_certificate(
        mut self,
        chain: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Self {
        self.client_certificate = Some((chain.into(), key.into()));
        self
    }

    /// Sets [`server_name`](Self::server_name).
    #[must_use]
    pub fn with_server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }
}

/// Checked options, ready for handshakes.
#[derive(Clone)]
pub(super) struct Client {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl Client {
    pub(super) fn new(options: &TlsOptions, host: &str) -> faxbot_core::Result<Self> {
        let name = options
            .server_name
            .clone()
            .unwrap_or_else(|| host.to_owned());
        let name = ServerName::try_from(name)
            .map_err(|error| wrong("the tls server name is not a name").with_source(error))?;
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| wrong("no usable tls version").with_source(error))?
            .with_root_certificates(roots(options)?);
        let config = match &options.client_certificate {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => {
                let chain = certificates(chain, "cannot read the tls client certificate")?;
                let key = PrivateKeyDer::from_pem_file(key)
                    .map_err(|error| wrong("cannot read the tls client key").with_source(error))?;
                builder.with_client_auth_cert(chain, key).map_err(|error| {
                    wrong("the tls client certificate and key do not fit").with_source(error)
                })?
            }
        };
        Ok(Self {
            connector: TlsConnector::from(Arc::new(config)),
            name,
        })
    }

    pub(super) async fn handshake(&self, stream: TcpStream) -> Result<Transport, LinkError> {
        let stream = self.connector.connect(self.name.clone(), stream).await;
        stream.map(Transport::buffering).map_err(tls_error)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

fn roots(options: &TlsOptions) -> faxbot_core::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    match &options.ca_file {
        Some(file) => {
            for certificate in certificates(file, "cannot read the tls ca file")? {
                roots.add(certificate).map_err(|error| {
                    wrong("the tls ca file holds no usable certificate").with_source(error)
                })?;
            }
        }
        None => {
            // Some machines ship single certificates that rustls refuses: the others must work.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if roots.is_empty() {
        return Err(wrong("no tls authority to trust: name a ca file"));
    }
    Ok(roots)
}

fn certificates(
    file: &PathBuf,
    message: &'static str,
) -> faxbot_core::Result<Vec<CertificateDer<'static>>> {
    let unreadable = |error| wrong(message).with_source(error);
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(file)
        .map_err(unreadable)?
        .collect();
    let found = found.map_err(unreadable)?;
    if found.is_empty() {
        Err(wrong(message))
    } else {
        Ok(found)
    }
}

fn wrong(message: &'static str) -> Error {
    Error::new(ErrorKind::Config, "validate_config", message)
}

fn tls_error(error: io::Error) -> LinkError {
    LinkError::Tls(Arc::new(error))
}
