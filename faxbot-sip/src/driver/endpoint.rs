//! Where a link connects to.

#[cfg(unix)]
use std::path::{Path, PathBuf};
use std::{fmt, io, sync::Arc, time::Duration};

#[cfg(unix)]
use tokio::net::UnixStream;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

use super::LinkError;

/// Default limit of opening a transport, name resolution and TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A stream of bytes in both directions.
pub trait Io: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Io for T {}

/// An open transport.
pub struct Transport {
    pub(super) io: Box<dyn Io>,
    pub(super) buffering: bool,
}

impl Transport {
    /// A transport whose failed write took none of the bytes, as a socket's.
    pub fn new(io: impl Io) -> Self {
        Self {
            io: Box::new(io),
            buffering: false,
        }
    }

    /// A transport that may have taken bytes when a write fails, as TLS and other layers with a
    /// buffer of their own: after such a failure the request at hand counts as written.
    pub fn buffering(io: impl Io) -> Self {
        Self {
            io: Box::new(io),
            buffering: true,
        }
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport")
            .field("buffering", &self.buffering)
            .finish_non_exhaustive()
    }
}

/// Opens transports. [`Endpoint`] does it by network; tests bring a pipe.
#[async_trait::async_trait]
pub trait Connect: Send + Sync + fmt::Debug + 'static {
    /// Opens one transport.
    ///
    /// # Errors
    /// [`LinkError::Connect`], [`LinkError::Tls`] or [`LinkError::ConnectTimeout`].
    ///
    /// # Cancel safety
    /// Dropping the future closes what was open.
    async fn connect(&self) -> Result<Transport, LinkError>;
}

/// An address on the network, with or without TLS, or a socket of this machine.
#[derive(Clone)]
pub struct Endpoint {
    address: Address,
    connect_timeout: Duration,
    #[cfg(feature = "tls")]
    tls: Option<super::tls::Client>,
}

#[derive(Clone)]
enum Address {
    Tcp {
        host: Arc<str>,
        port: u16,
    },
    #[cfg(unix)]
    Unix(PathBuf),
}

impl Endpoint {
    /// A TCP endpoint. `host` is a name or an IP address; all addresses of a name are tried.
    pub fn tcp(host: impl Into<Arc<str>>, port: u16) -> Self {
        let host = host.into();
        Self::to(Address::Tcp { host, port })
    }

    /// A unix-domain socket of the file system, which a server on this machine listens on. Who may
    /// connect is a matter of the file's rights.
    #[cfg(unix)]
    pub fn unix(path: impl AsRef<Path>) -> Self {
        Self::to(Address::Unix(path.as_ref().to_owned()))
    }

    fn to(address: Address) -> Self {
        Self {
            address,
            connect_timeout: CONNECT_TIMEOUT,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// Adds TLS from the first byte on. Reads the files of `options` now, so that a wrong path is
    /// an error of the configuration and not of a connection.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](faxbot_core::ErrorKind::Config) when a file cannot be read or used,
    /// or the server name is none, and for a unix-domain socket.
    #[cfg(feature = "tls")]
    pub fn with_tls(mut self, options: &super::TlsOptions) -> faxbot_core::Result<Self> {
        let host = match &self.address {
            Address::Tcp { host, .. } => host,
            #[cfg(unix)]
            Address::Unix(_) => {
                return Err(faxbot_core::Error::new(
                    faxbot_core::ErrorKind::Config,
                    "validate_config",
                    "a unix-domain socket has no tls: leave one of them out",
                ));
            }
        };
        self.tls = Some(super::tls::Client::new(options, host)?);
        Ok(self)
    }

    /// Limits how long opening the transport may take, name resolution and TLS included.
    /// Default 10 s.
    #[must_use]
    pub fn with_connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    async fn open(&self) -> Result<Transport, LinkError> {
        let stream = match &self.address {
            Address::Tcp { host, port } => TcpStream::connect((&**host, *port)).await,
            #[cfg(unix)]
            Address::Unix(path) => {
                let stream = UnixStream::connect(path).await.map_err(connect_error)?;
                return Ok(Transport::new(stream));
            }
        };
        let stream = stream.map_err(connect_error)?;
        // Requests are small and each waits for its answer: Nagle only adds delay.
        stream.set_nodelay(true).map_err(connect_error)?;
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            return tls.handshake(stream).await;
        }
        Ok(Transport::new(stream))
    }
}

fn connect_error(error: io::Error) -> LinkError {
    LinkError::Connect(Arc::new(error))
}

#[async_trait::async_trait]
impl Connect for Endpoint {
    async fn connect(&self) -> Result<Transport, LinkError> {
        tokio::time::timeout(self.connect_timeout, self.open())
            .await
            .unwrap_or(Err(LinkError::ConnectTimeout))
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Endpoint");
        match &self.address {
            Address::Tcp { host, port } => out.field("host", host).field("port", port),
            // File names stay out of logs.
            #[cfg(unix)]
            Address::Unix(_) => out.field("unix", &true),
        };
        out.field("connect_timeout", &self.connect_timeout);
        #[cfg(feature = "tls")]
        out.field("tls", &self.tls.is_some());
        out.finish()
    }
}
