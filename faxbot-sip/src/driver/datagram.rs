//! Datagram sockets: UDP, and the unix-domain sockets of this machine.

use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket as StdUdp},
};
#[cfg(unix)]
use std::{
    fs,
    os::unix::{
        fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _},
        net::UnixDatagram as StdUnix,
    },
    path::{Path, PathBuf},
};

use faxbot_core::{Effect, Error, ErrorKind, Result};
#[cfg(unix)]
use tokio::net::UnixDatagram;
use tokio::{net::UdpSocket, runtime::Handle};

/// A datagram socket, of a peer or of ours. `Debug` shows the kind alone.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DatagramPeer {
    /// A unix-domain socket of the file system.
    #[cfg(unix)]
    Unix(PathBuf),
    /// An address and port.
    Udp(SocketAddr),
}

impl fmt::Debug for DatagramPeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            #[cfg(unix)]
            Self::Unix(_) => "Unix(..)",
            Self::Udp(_) => "Udp(..)",
        })
    }
}

/// A bound socket. The file of a unix-domain socket goes with it.
pub(super) struct Socket {
    kind: Kind,
}

enum Kind {
    // Both send past the runtime: the room in the queue of a unix-domain peer is no readiness of
    // ours, so that it would be waited for without end.
    Udp {
        receive: UdpSocket,
        send: StdUdp,
        local: SocketAddr,
        connected: bool,
    },
    #[cfg(unix)]
    Unix {
        receive: UnixDatagram,
        send: StdUnix,
        file: OwnFile,
    },
}

/// The file of a socket of ours; removed when it is dropped, unless another stands there by then.
#[cfg(unix)]
struct OwnFile {
    path: PathBuf,
    inode: u64,
}

#[cfg(unix)]
impl OwnFile {
    fn is_there(&self) -> bool {
        fs::symlink_metadata(&self.path).is_ok_and(|it| it.ino() == self.inode)
    }
}

#[cfg(unix)]
impl Drop for OwnFile {
    fn drop(&mut self) {
        if self.is_there() {
            // Nothing is left to tell it to.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Socket {
    /// Binds to this address or path. `only` is the one address that it takes from and sends to;
    /// then it learns when nobody listens there.
    ///
    /// # Errors
    /// [`ErrorKind::NoRuntime`], and [`ErrorKind::Io`] where the address cannot be had.
    pub(super) fn bind(
        at: &DatagramPeer,
        only: Option<SocketAddr>,
        operation: &'static str,
    ) -> Result<Self> {
        // Sockets of the runtime panic without one.
        if Handle::try_current().is_err() {
            let message = "call this inside a tokio runtime";
            return Err(Error::new(ErrorKind::NoRuntime, operation, message));
        }
        let bound = match at {
            DatagramPeer::Udp(address) => udp(*address, only),
            #[cfg(unix)]
            DatagramPeer::Unix(path) => unix(path),
        };
        let failed = |error: io::Error| {
            let message = "cannot bind a datagram socket there: is it free, and ours to take?";
            let bare = Error::new(ErrorKind::Io, operation, message);
            // The error of the system names no path.
            bare.with_effect(Effect::NoEffect).with_source(error)
        };
        bound.map(|kind| Self { kind }).map_err(failed)
    }

    /// Where it is bound; `None` for a socket file.
    pub(super) fn local(&self) -> Option<SocketAddr> {
        match &self.kind {
            Kind::Udp { local, .. } => Some(*local),
            #[cfg(unix)]
            Kind::Unix { .. } => None,
        }
    }

    /// Whether answers can reach it: its file may have been removed.
    pub(super) fn is_reachable(&self) -> bool {
        match &self.kind {
            Kind::Udp { .. } => true,
            #[cfg(unix)]
            Kind::Unix { file, .. } => file.is_there(),
        }
    }

    /// Sends one datagram, or errs with [`io::ErrorKind::WouldBlock`].
    pub(super) fn send(&self, bytes: &[u8], to: &DatagramPeer) -> io::Result<()> {
        let sent = match (&self.kind, to) {
            (
                Kind::Udp {
                    send,
                    connected: true,
                    ..
                },
                DatagramPeer::Udp(_),
            ) => send.send(bytes),
            (Kind::Udp { send, .. }, DatagramPeer::Udp(to)) => send.send_to(bytes, to),
            #[cfg(unix)]
            (Kind::Unix { send, .. }, DatagramPeer::Unix(to)) => send.send_to(bytes, to),
            #[cfg(unix)]
            _ => Err(io::ErrorKind::InvalidInput.into()),
        };
        sent.map(drop)
    }

    /// Waits for a datagram: its length and the address that it came from, if that is one of a
    /// network. A longer datagram than the buffer is cut.
    ///
    /// # Cancel safety
    /// No datagram is lost.
    pub(super) async fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, Option<IpAddr>)> {
        match &self.kind {
            Kind::Udp { receive, .. } => {
                let (length, from) = receive.recv_from(buffer).await?;
                Ok((length, Some(from.ip())))
            }
            #[cfg(unix)]
            Kind::Unix { receive, .. } => Ok((receive.recv(buffer).await?, None)),
        }
    }
}

/// Any address of the family of this one.
pub(super) fn unspecified(family: IpAddr) -> SocketAddr {
    match family {
        IpAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        IpAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    }
}

fn udp(address: SocketAddr, only: Option<SocketAddr>) -> io::Result<Kind> {
    let send = StdUdp::bind(address)?;
    if let Some(peer) = only {
        send.connect(peer)?;
    }
    send.set_nonblocking(true)?;
    Ok(Kind::Udp {
        local: send.local_addr()?,
        receive: UdpSocket::from_std(send.try_clone()?)?,
        connected: only.is_some(),
        send,
    })
}

#[cfg(unix)]
fn unix(path: &Path) -> io::Result<Kind> {
    let bound = match StdUnix::bind(path) {
        // What a process left that is gone: a socket that nobody listens at.
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_left_over(path) => {
            fs::remove_file(path)?;
            StdUnix::bind(path)
        }
        bound => bound,
    };
    let send = bound?;
    let inode = fs::symlink_metadata(path)?.ino();
    let path = path.to_owned();
    let file = OwnFile { path, inode };
    // The server runs as another user, and has to write here.
    fs::set_permissions(&file.path, fs::Permissions::from_mode(0o666))?;
    send.set_nonblocking(true)?;
    let receive = UnixDatagram::from_std(send.try_clone()?)?;
    Ok(Kind::Unix {
        receive,
        send,
        file,
    })
}

#[cfg(unix)]
fn is_left_over(path: &Path) -> bool {
    // What is no socket refuses a connection just the same.
    if !fs::symlink_metadata(path).is_ok_and(|it| it.file_type().is_socket()) {
        return false;
    }
    let probe = StdUnix::unbound().and_then(|probe| probe.connect(path));
    probe.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}
