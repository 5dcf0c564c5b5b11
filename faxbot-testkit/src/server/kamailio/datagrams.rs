//! JSON-RPC by datagrams (recording `rpc_dgram`): one request each, answers in their order.

use std::{io, net::SocketAddr, path::Path, sync::Arc};

use tokio::net::UdpSocket;
#[cfg(unix)]
use tokio::net::UnixDatagram;

use super::{
    engine::{Answered, Kamailio},
    rpc::Channel,
};
use crate::server::{http::MockHttp, script::ReplyFault};

/// Longest request, in bytes: `DATAGRAM_SOCK_BUF_SIZE` of `jsonrpcs_sock.c`.
const LONGEST: usize = 65_457;

/// A socket and whom it answers.
pub(super) enum Socket {
    Udp(UdpSocket),
    #[cfg(unix)]
    Unix(UnixDatagram),
}

enum Peer {
    Udp(SocketAddr),
    #[cfg(unix)]
    Unix(std::path::PathBuf),
    /// Who bound no path cannot be answered.
    Nameless,
}

impl Socket {
    pub(super) async fn udp() -> io::Result<(Self, SocketAddr)> {
        let socket = UdpSocket::bind(("127.0.0.1", 0)).await?;
        let address = socket.local_addr()?;
        Ok((Self::Udp(socket), address))
    }

    #[cfg(unix)]
    pub(super) fn unix(path: &Path) -> io::Result<Self> {
        // As the server does with what a run before has left.
        let _absent = std::fs::remove_file(path);
        Ok(Self::Unix(UnixDatagram::bind(path)?))
    }

    #[cfg(not(unix))]
    pub(super) fn unix(_path: &Path) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    async fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, Peer)> {
        match self {
            Self::Udp(socket) => {
                let (length, peer) = socket.recv_from(buffer).await?;
                Ok((length, Peer::Udp(peer)))
            }
            #[cfg(unix)]
            Self::Unix(socket) => {
                let (length, peer) = socket.recv_from(buffer).await?;
                let path = peer.as_pathname().map(Path::to_owned);
                Ok((length, path.map_or(Peer::Nameless, Peer::Unix)))
            }
        }
    }

    async fn send(&self, bytes: &[u8], peer: &Peer) {
        // Who went is not answered, and nothing tells.
        let _gone = match (self, peer) {
            (Self::Udp(socket), Peer::Udp(peer)) => socket.send_to(bytes, peer).await,
            #[cfg(unix)]
            (Self::Unix(socket), Peer::Unix(path)) => socket.send_to(bytes, path).await,
            _ => Ok(0),
        };
    }
}

/// Serves until the task ends; while the server is down, datagrams are lost.
pub(super) async fn serve(http: Arc<MockHttp<Kamailio>>, socket: Socket) {
    let socket = Arc::new(socket);
    let mut buffer = vec![0; LONGEST];
    loop {
        let Ok((length, peer)) = socket.receive(&mut buffer).await else {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            continue;
        };
        let body = buffer.get(..length).unwrap_or_default();
        let answered = http.vendor(|server| {
            let now = tokio::time::Instant::now();
            if server.down {
                return Answered::Nothing;
            }
            server.rpc(body, Channel::Datagram, now)
        });
        let Answered::As(reply, fault) = answered else {
            continue;
        };
        let bytes = match fault {
            Some(ReplyFault::DropBefore | ReplyFault::Silent) => continue,
            Some(ReplyFault::Garbage(bytes)) => bytes,
            _ => reply.body.into(),
        };
        if reply.after.is_zero() {
            socket.send(&bytes, &peer).await;
            continue;
        }
        let socket = Arc::clone(&socket);
        let later = tokio::time::sleep(reply.after);
        tokio::spawn(async move {
            later.await;
            socket.send(&bytes, &peer).await;
        });
    }
}
