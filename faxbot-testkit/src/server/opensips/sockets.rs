//! Where events go: `event_datagram` and `event_stream`.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::mpsc,
    task::JoinSet,
};

use crate::server::proxy::Tree;

/// A socket that a subscription names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Destination {
    Udp(SocketAddr),
    Unix(PathBuf),
    /// With the name that stands for the method.
    Tcp(SocketAddr, Option<String>),
}

impl Destination {
    /// Reads `udp:IP:PORT`, `unix:PATH` and `tcp:IP:PORT[/method]`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (protocol, rest) = text.split_once(':')?;
        match protocol {
            "udp" => Some(Self::Udp(address(rest, true)?)),
            "unix" if !rest.is_empty() => Some(Self::Unix(rest.into())),
            "tcp" => {
                let (rest, method) = match rest.split_once('/') {
                    Some((rest, method)) => (rest, Some(method.to_owned())),
                    None => (rest, None),
                };
                Some(Self::Tcp(address(rest, false)?, method))
            }
            _ => None,
        }
    }

    /// As the server writes it.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Udp(address) => format!("udp:{address}"),
            Self::Unix(path) => format!("unix:{}", path.display()),
            Self::Tcp(address, None) => format!("tcp:{address}"),
            Self::Tcp(address, Some(method)) => format!("tcp:{address}/{method}"),
        }
    }
}

/// An address, without IPv6 and names beyond this machine. A UDP port wraps round.
fn address(text: &str, wraps: bool) -> Option<SocketAddr> {
    let (host, port) = text.rsplit_once(':')?;
    let host: IpAddr = match host {
        "localhost" => Ipv4Addr::LOCALHOST.into(),
        host => host.parse().ok()?,
    };
    let port: u32 = port.parse().ok()?;
    let port = if wraps { port % 65_536 } else { port };
    let port = u16::try_from(port).ok().filter(|port| *port > 0)?;
    Some(SocketAddr::new(host, port))
}

#[derive(Default)]
struct Inner {
    udp: Option<std::net::UdpSocket>,
    #[cfg(unix)]
    unix: Option<std::os::unix::net::UnixDatagram>,
    streams: BTreeMap<SocketAddr, mpsc::UnboundedSender<Bytes>>,
    tapped: BTreeMap<String, mpsc::UnboundedSender<Bytes>>,
    tasks: JoinSet<()>,
    sent: Vec<(String, String)>,
}

/// The sockets that events go to. What nobody takes is lost.
#[derive(Clone, Default)]
pub(super) struct Sockets(Arc<Mutex<Inner>>);

impl std::fmt::Debug for Sockets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sockets")
            .field("streams", &self.lock().streams.len())
            .finish_non_exhaustive()
    }
}

impl Sockets {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What goes to this socket is given here, and not to the network.
    pub(super) fn tap(&self, socket: &str) -> mpsc::UnboundedReceiver<Bytes> {
        // Not bounded: a mock that dropped events would test another server.
        let (sender, events) = mpsc::unbounded_channel();
        self.lock().tapped.insert(socket.to_owned(), sender);
        events
    }

    /// What was sent so far: the socket, and the event.
    pub(super) fn sent(&self) -> Vec<(String, String)> {
        self.lock().sent.clone()
    }

    /// Sends an event.
    pub(super) fn send(&self, to: &Destination, event: String) {
        let mut inner = self.lock();
        inner.sent.push((to.text(), event.clone()));
        inner.write(to, Bytes::from(event));
    }

    /// Sends these bytes.
    pub(super) fn raw(&self, to: &Destination, bytes: Bytes) {
        self.lock().write(to, bytes);
    }

    /// Connections of events that are open.
    pub(super) fn streams(&self) -> usize {
        let inner = self.lock();
        inner
            .streams
            .values()
            .filter(|stream| !stream.is_closed())
            .count()
    }

    /// All connections end; the next event opens another.
    pub(super) fn close(&self) {
        let mut inner = self.lock();
        inner.streams.clear();
        inner.tasks.abort_all();
    }
}

impl Inner {
    fn write(&mut self, to: &Destination, bytes: Bytes) {
        if let Some(tap) = self.tapped.get(&to.text()) {
            let _gone = tap.send(bytes);
            return;
        }
        match to {
            Destination::Udp(address) => {
                if self.udp.is_none() {
                    self.udp = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok();
                }
                if let Some(socket) = &self.udp {
                    let _lost = socket.send_to(&bytes, address);
                }
            }
            #[cfg(unix)]
            Destination::Unix(path) => {
                if self.unix.is_none() {
                    self.unix = std::os::unix::net::UnixDatagram::unbound().ok();
                }
                if let Some(socket) = &self.unix {
                    let _set = socket.set_nonblocking(true);
                    let _lost = socket.send_to(&bytes, path);
                }
            }
            #[cfg(not(unix))]
            Destination::Unix(_) => {}
            Destination::Tcp(address, _) => self.stream(*address, bytes),
        }
    }

    fn stream(&mut self, to: SocketAddr, bytes: Bytes) {
        let lost = match self.streams.get(&to) {
            Some(stream) => stream.send(bytes).err().map(|lost| lost.0),
            None => Some(bytes),
        };
        if let Some(bytes) = lost {
            // The server connects at the first event, not at the subscription.
            let (sender, events) = mpsc::unbounded_channel();
            let _queued = sender.send(bytes);
            self.streams.insert(to, sender);
            self.tasks.spawn(serve(to, events));
        }
    }
}

/// One connection. When it cannot be opened, what waits for it is lost.
async fn serve(to: SocketAddr, mut events: mpsc::UnboundedReceiver<Bytes>) {
    let Ok(mut io) = TcpStream::connect(to).await else {
        return;
    };
    let _late = io.set_nodelay(true);
    let mut buffer = BytesMut::new();
    loop {
        tokio::select! {
            event = events.recv() => {
                let Some(event) = event else { break };
                if io.write_all(&event).await.is_err() {
                    break;
                }
            }
            read = io.read_buf(&mut buffer) => {
                // An answer that is no JSON ends the connection (recording
                // `03_event_stream_reliable_garbage`).
                if !matches!(read, Ok(1..)) || !take_answers(&mut buffer) {
                    break;
                }
            }
        }
    }
}

/// Drops the answers that are whole; false for what is no JSON.
fn take_answers(buffer: &mut BytesMut) -> bool {
    let mut values = serde_json::Deserializer::from_slice(buffer).into_iter::<Tree>();
    loop {
        match values.next() {
            Some(Ok(_)) => {}
            Some(Err(error)) if !error.is_eof() => return false,
            _ => break,
        }
    }
    let taken = values.byte_offset();
    let _answers = buffer.split_to(taken);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_read_as_the_server_reads_them() {
        // Recording `03_event_subscribe_errors_and_list`.
        for (text, wanted) in [
            ("udp:127.0.0.1:28090", Some("udp:127.0.0.1:28090")),
            ("udp:127.0.0.1:99999", Some("udp:127.0.0.1:34463")),
            ("unix:/tmp/no_such_socket", Some("unix:/tmp/no_such_socket")),
            (
                "tcp:127.0.0.1:28091/my_method",
                Some("tcp:127.0.0.1:28091/my_method"),
            ),
            ("tcp:127.0.0.1:99999", None),
            ("udp:127.0.0.1:0", None),
            ("udp:127.0.0.1", None),
            ("127.0.0.1:28090", None),
            ("foo:127.0.0.1:1", None),
            ("tcp:127.0.0.1:abc", None),
            ("tcp:no-such-host.invalid:28091", None),
            ("udp:[::1]:28090", None),
            ("route:nope", None),
        ] {
            let read = Destination::parse(text).map(|to| to.text());
            assert_eq!(read.as_deref(), wanted, "{text}");
        }
    }

    #[test]
    fn answers_are_taken_wherever_they_are_cut() {
        let mut buffer = BytesMut::from(&br#"{"id":1}{"id""#[..]);
        assert!(take_answers(&mut buffer));
        buffer.extend_from_slice(b":2}");
        assert!(take_answers(&mut buffer));
        assert!(buffer.is_empty());
        buffer.extend_from_slice(b"garbage");
        assert!(!take_answers(&mut buffer));
    }
}
