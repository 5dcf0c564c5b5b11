//! One datagram a request, one datagram an answer, in any order.

use std::{
    fmt, io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use faxbot_core::{
    Effect, Error, ErrorKind, Result,
    clock::{SharedClock, later},
    random::SharedRandom,
    task::{StopToken, TaskSet},
};
use tokio::sync::watch;

use super::{
    super::datagram::{DatagramPeer, Socket, unspecified},
    Answered,
    board::{Board, NoPlace, Seat, Told},
    failure::Call,
};
use crate::protocol::jsonrpc::{MAX_ID, MAX_REQUEST, Request, answer_id};

/// How long a full queue of the server is left alone before the next try.
const QUEUE_PAUSE: Duration = Duration::from_millis(2);

/// How long a socket that fails to receive is left alone.
const FAULT_PAUSE: Duration = Duration::from_millis(100);

/// How [`Rpc::datagram`](super::Rpc::datagram) behaves.
#[derive(Clone)]
#[non_exhaustive]
pub struct DatagramOptions {
    /// Where answers come to. Default `None`: any free UDP port, or a new file in the directory for
    /// temporary files, which every user may write to. A server in a container or a chroot must
    /// see the file under the same path.
    pub own: Option<DatagramPeer>,
    /// Requests under way at once; one more is [`ErrorKind::Overloaded`]. Those of callers that
    /// left count until their answer or deadline. Default 64.
    pub max_waiting: usize,
    /// The longest answer in bytes. Default 256 KiB. A longer one is dropped.
    pub max_answer_bytes: usize,
    /// Whether answers over UDP come from the very port that is asked, as those of OpenSIPS 3.2, 3.4
    /// and 3.6 and of Kamailio 5.6 and 6.1 do (observed); then a server that is not there is known
    /// at once. Default no: answers are taken from any port of the server's address, because
    /// sources of Kamailio (`jsonrpcs_sock.c`) and of OpenSIPS (`datagram_fnc.c`) have a socket of
    /// its own for them.
    pub same_port: bool,
}

impl DatagramOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self {
            own: None,
            max_waiting: 64,
            max_answer_bytes: 256 * 1024,
            same_port: false,
        }
    }

    /// Sets [`own`](Self::own).
    #[must_use]
    pub fn with_own(mut self, own: DatagramPeer) -> Self {
        self.own = Some(own);
        self
    }

    /// Sets [`max_waiting`](Self::max_waiting), at least 1.
    #[must_use]
    pub fn with_max_waiting(mut self, requests: usize) -> Self {
        self.max_waiting = requests;
        self
    }

    /// Sets [`max_answer_bytes`](Self::max_answer_bytes), at most 16 MiB.
    #[must_use]
    pub fn with_max_answer_bytes(mut self, bytes: usize) -> Self {
        self.max_answer_bytes = bytes;
        self
    }

    /// Sets [`same_port`](Self::same_port).
    #[must_use]
    pub fn with_same_port(mut self, same: bool) -> Self {
        self.same_port = same;
        self
    }
}

impl Default for DatagramOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for DatagramOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatagramOptions")
            .field("own", &self.own)
            .field("max_waiting", &self.max_waiting)
            .field("max_answer_bytes", &self.max_answer_bytes)
            .field("same_port", &self.same_port)
            .finish()
    }
}

/// One socket of ours and who waits for answers at it. Ends with its last owner.
pub(super) struct Datagram {
    to: DatagramPeer,
    own: DatagramPeer,
    only: Option<std::net::SocketAddr>,
    clock: SharedClock,
    board: Arc<Board>,
    /// Who receives takes the latest.
    socket: Mutex<watch::Sender<Arc<Socket>>>,
    dropped: Arc<AtomicU64>,
    token: StopToken,
}

impl Datagram {
    pub(super) fn start(
        to: DatagramPeer,
        options: &DatagramOptions,
        clock: SharedClock,
        random: &SharedRandom,
        tasks: &TaskSet,
    ) -> Result<Self> {
        let own = match (&options.own, &to) {
            (Some(own), _) => own.clone(),
            (None, DatagramPeer::Udp(to)) => DatagramPeer::Udp(unspecified(to.ip())),
            #[cfg(unix)]
            (None, DatagramPeer::Unix(_)) => {
                let name = format!("faxbot-{:016x}.sock", random.next_u64());
                DatagramPeer::Unix(std::env::temp_dir().join(name))
            }
        };
        if std::mem::discriminant(&own) != std::mem::discriminant(&to) {
            let message = "our own socket and the server's must be of one kind";
            return Err(Error::new(ErrorKind::Config, "connect", message));
        }
        let only = match &to {
            DatagramPeer::Udp(to) if options.same_port => Some(*to),
            _ => None,
        };
        let socket = Arc::new(Socket::bind(&own, only, "connect")?);
        // Random, so that who cannot read our datagrams cannot answer them.
        let first = u32::try_from(random.next_u64() & u64::from(MAX_ID)).unwrap_or_default();
        let board = Board::new(options.max_waiting, first);
        let (socket, latest) = watch::channel(socket);
        let token = tasks.token().child();
        let dropped = Arc::new(AtomicU64::new(0));
        let receiver = Receiver {
            from: match &to {
                DatagramPeer::Udp(to) => Some(to.ip().to_canonical()),
                #[cfg(unix)]
                DatagramPeer::Unix(_) => None,
            },
            max: options.max_answer_bytes.clamp(1024, 16 * 1024 * 1024),
            board: Arc::clone(&board),
            clock: Arc::clone(&clock),
            dropped: Arc::clone(&dropped),
        };
        let stop = token.clone();
        tasks.spawn(async move {
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = receiver.run(latest) => {}
            }
        });
        Ok(Self {
            to,
            own,
            only,
            clock,
            board,
            socket: Mutex::new(socket),
            dropped,
            token,
        })
    }

    /// Answers that nobody waited for.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    pub(super) async fn call(
        &self,
        call: Call,
        request: &Request,
        limit: Duration,
    ) -> Result<Answered> {
        let now = self.clock.now();
        let deadline = later(now, limit);
        let refused = |kind, message| Err(Error::new(kind, call.operation, message));
        if request.max_len() > MAX_REQUEST {
            return refused(
                ErrorKind::InvalidRequest,
                "the request is longer than a datagram",
            );
        }
        let (mut seat, told) = match self.board.enter(deadline, now) {
            Ok(entered) => entered,
            Err(NoPlace::Full) => {
                return refused(ErrorKind::Overloaded, "too many requests are waiting");
            }
            Err(NoPlace::Closed) => {
                let closed = Error::new(ErrorKind::Closed, call.operation, "closed");
                return Err(closed.with_effect(Effect::NoEffect));
            }
        };
        self.send(call, &mut seat, request, deadline).await?;
        let told = tokio::select! {
            biased;
            told = told => told,
            () = self.clock.sleep_until(deadline) => {
                return Err(call.lost(ErrorKind::Timeout, "no answer in time"));
            }
        };
        match told {
            Ok(Told::Answer(body)) => Ok(Answered {
                id: seat.id(),
                body,
                status: None,
            }),
            Ok(Told::Refused { certain: true }) => refused(
                ErrorKind::NotConnected,
                "nobody listens at the server's socket",
            ),
            Ok(Told::Refused { certain: false }) => {
                let message = "nobody listens at the server's socket any more";
                Err(call.lost(ErrorKind::NotConnected, message))
            }
            Err(_) => Err(call.lost(ErrorKind::Closed, "closed before the answer")),
        }
    }

    /// Sends the request. An error is certain: it did not leave.
    async fn send(
        &self,
        call: Call,
        seat: &mut Seat,
        request: &Request,
        deadline: Instant,
    ) -> Result<()> {
        let socket = self.socket(call)?;
        let bytes = request.encode(seat.id());
        let mut told_before = false;
        loop {
            // Before the bytes leave: the answer may be faster than this task.
            seat.sent();
            let Err(error) = socket.send(&bytes, &self.to) else {
                return Ok(());
            };
            seat.kept();
            let now = self.clock.now();
            let (kind, message) = match error.kind() {
                // The fate of a datagram before: this one was not sent.
                io::ErrorKind::ConnectionRefused if self.only.is_some() && !told_before => {
                    told_before = true;
                    self.board.refused(Some(seat.id()), now);
                    continue;
                }
                io::ErrorKind::Interrupted => continue,
                // The queue of the server is full.
                io::ErrorKind::WouldBlock if now < deadline => {
                    let again = later(now, QUEUE_PAUSE).min(deadline);
                    self.clock.sleep_until(again).await;
                    continue;
                }
                io::ErrorKind::WouldBlock => {
                    (ErrorKind::Overloaded, "the server takes no more datagrams")
                }
                io::ErrorKind::PermissionDenied => (
                    ErrorKind::PermissionDenied,
                    "the server's socket is not ours to write to",
                ),
                _ => (ErrorKind::NotConnected, "the server's socket is not there"),
            };
            let failed = Error::new(kind, call.operation, message);
            return Err(failed.with_effect(Effect::NoEffect).with_source(error));
        }
    }

    /// The socket, or a new one where answers cannot reach the old one: what cleans directories for
    /// temporary files takes sockets, too.
    fn socket(&self, call: Call) -> Result<Arc<Socket>> {
        let sender = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        let socket = Arc::clone(&sender.borrow());
        if socket.is_reachable() {
            return Ok(socket);
        }
        tracing::debug!("the file of our socket is gone, binding another");
        let socket = Arc::new(Socket::bind(&self.own, self.only, call.operation)?);
        sender.send_replace(Arc::clone(&socket));
        Ok(socket)
    }
}

impl Drop for Datagram {
    fn drop(&mut self) {
        self.token.cancel();
    }
}

impl fmt::Debug for Datagram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Datagram")
            .field("to", &self.to)
            .field("dropped", &self.dropped())
            .finish_non_exhaustive()
    }
}

/// Takes what comes. When it is gone, however it went, who waits is told.
struct Receiver {
    /// Whose datagrams are taken.
    from: Option<std::net::IpAddr>,
    max: usize,
    board: Arc<Board>,
    clock: SharedClock,
    dropped: Arc<AtomicU64>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.board.close();
    }
}

impl Receiver {
    async fn run(&self, mut latest: watch::Receiver<Arc<Socket>>) {
        // One byte more tells that an answer was longer.
        let mut buffer = vec![0; self.max.saturating_add(1)];
        loop {
            let socket = Arc::clone(&latest.borrow_and_update());
            let received = tokio::select! {
                biased;
                changed = latest.changed() => match changed {
                    Ok(()) => continue,
                    Err(_) => return,
                },
                received = socket.receive(&mut buffer) => received,
            };
            match received {
                Ok((length, from)) => {
                    let theirs =
                        self.from.is_none() || from.map(|from| from.to_canonical()) == self.from;
                    let body = buffer.get(..length).unwrap_or_default();
                    if !(theirs && length <= self.max && self.take(body)) {
                        self.dropped.fetch_add(1, Ordering::Relaxed);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    self.board.refused(None, self.clock.now());
                }
                Err(error) => {
                    tracing::debug!(kind = ?error.kind(), "cannot receive datagrams");
                    let pause = later(self.clock.now(), FAULT_PAUSE);
                    self.clock.sleep_until(pause).await;
                }
            }
        }
    }

    fn take(&self, body: &[u8]) -> bool {
        answer_id(body).is_some_and(|id| self.board.answer(id, Bytes::copy_from_slice(body)))
    }
}
