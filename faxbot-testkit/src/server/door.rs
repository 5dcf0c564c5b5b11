//! The port of a mock, which stays its own while nobody listens on it.

use std::{io, net::SocketAddr, time::Duration};

use tokio::net::{TcpListener, TcpSocket, TcpStream, ToSocketAddrs};

/// Connections that wait to be accepted.
const BACKLOG: u32 = 128;

/// A port that listens, or refuses connections.
///
/// A mock that gave its port away while it is down would find another mock on it, and so would its
/// clients.
#[derive(Debug)]
pub(super) struct Door {
    address: SocketAddr,
    state: State,
}

#[derive(Debug)]
enum State {
    Open(TcpListener),
    /// Bound, and nobody listens: connections are refused. `None` when somebody else took the port in
    /// the moment before.
    Shut(Option<TcpSocket>),
}

impl Door {
    /// A door that is open.
    pub(super) async fn open(address: impl ToSocketAddrs) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let state = State::Open(listener);
        Ok(Self { address, state })
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Refuses connections from now on. Those that nobody accepted are reset.
    pub(super) fn shut(&mut self) {
        if matches!(self.state, State::Open(_)) {
            // The listener is closed first: a port that somebody listens on cannot be bound.
            self.state = State::Shut(None);
            self.state = State::Shut(keep(self.address).ok());
        }
    }

    /// Listens again; an error when somebody else holds the port.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        if let State::Shut(kept) = &mut self.state {
            let socket = match kept.take() {
                Some(socket) => socket,
                None => keep(self.address)?,
            };
            // Links of the time before may linger in TIME_WAIT.
            socket.set_reuseaddr(true)?;
            self.state = State::Open(socket.listen(BACKLOG)?);
        }
        Ok(())
    }

    /// The next connection; never one while it is shut.
    ///
    /// # Cancel safety
    /// No connection is lost.
    pub(super) async fn accept(&self) -> (TcpStream, SocketAddr) {
        if let State::Open(listener) = &self.state {
            loop {
                match listener.accept().await {
                    Ok(accepted) => return accepted,
                    // No descriptor is left, say.
                    Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                }
            }
        }
        std::future::pending().await
    }
}

/// Binds a port so that the system gives it to nobody else.
fn keep(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    // From now on nobody else may bind it, whatever they ask for.
    socket.set_reuseaddr(false)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCAL: (&str, u16) = ("127.0.0.1", 0);

    #[tokio::test]
    async fn a_shut_door_refuses_and_nobody_else_gets_its_port() {
        let mut door = Door::open(LOCAL).await.unwrap();
        let address = door.address();
        let (client, accepted) = tokio::join!(TcpStream::connect(address), door.accept());
        for _ in 0..3 {
            door.shut();
            let refused = TcpStream::connect(address).await.unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
            let taken = TcpListener::bind(address).await.unwrap_err();
            assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
            door.reopen().unwrap();
            let (again, accepted) = tokio::join!(TcpStream::connect(address), door.accept());
            // The mock's end closes first, and so has the link in TIME_WAIT.
            drop(accepted);
            drop(again);
        }
        drop((client, accepted));
    }
}
