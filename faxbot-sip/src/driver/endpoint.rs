//! Where a link connects to.

use std::{fmt, io, sync::Arc, time::Duration};

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

/// An address on the network, with or without TLS.
#[derive(Clone)]
pub struct Endpoint {
    address: Address,
    connect_timeout: Duration,
    #[cfg(feature = "tls")]
    tls: Option<super::tls::Client>,
}

#[derive(Clone)]
enum Address {
    Tcp { host: Arc<str>, port: u16 },
}

impl Endpoint {
    /// A TCP endpoint. `host` is a name or an IP address; all addresses of a name are tried.
    pub fn tcp(host: impl Into<Arc<str>>, port: u16) -> Self {
        Self {
            address: Address::Tcp {
                host: host.into(),
                port,
            },
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
    /// or the server name is none.
    #[cfg(feature = "tls")]
    pub fn with_tls(mut self, options: &super::TlsOptions) -> faxbot_core::Result<Self> {
        let Address::Tcp { host, .. } = &self.address;
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
        let Address::Tcp { host, port } = &self.address;
        let stream = TcpStream::connect((&**host, *port))
            .await
            .map_err(connect_error)?;
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
        let Address::Tcp { host, port } = &self.address;
        let mut out = f.debug_struct("Endpoint");
        out.field("host", host)
            .field("port", port)
            .field("connect_timeout", &self.connect_timeout);
        #[cfg(feature = "tls")]
        out.field("tls", &self.tls.is_some());
        out.finish()
    }
}
