//! Datagrams that others send to us: the events of OpenSIPS over UDP.

use std::{
    fmt,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use faxbot_core::{
    Result,
    task::{StopToken, TaskSet},
};
use tokio::sync::mpsc::{self, error::TrySendError};

use super::{
    AllowList,
    datagram::{DatagramPeer, Socket},
};

/// Datagrams that wait to be taken. A burst of 200 calls makes 1,400 events within a second or two
/// (`03_burst_200_calls_datagram`), and what the system's own queue does not hold is lost.
const QUEUE: usize = 4096;

/// How long a socket that fails to receive is left alone.
const FAULT_PAUSE: Duration = Duration::from_millis(100);

/// What came and did not reach its owner.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DatagramLosses {
    /// Nobody took it while 4,096 others waited.
    pub not_taken: u64,
    /// Longer than the limit.
    pub too_long: u64,
    /// From an address that is not allowed.
    pub turned_away: u64,
}

#[derive(Debug, Default)]
struct Counters {
    not_taken: AtomicU64,
    too_long: AtomicU64,
    turned_away: AtomicU64,
}

/// A socket that receives datagrams until it is dropped, or its receiver is.
///
/// Nothing is waited for: whoever sends datagrams does not wait either, so that one that finds the
/// queue full is dropped and counted.
pub struct Datagrams {
    local: Option<SocketAddr>,
    counters: Arc<Counters>,
    token: StopToken,
}

/// The datagrams in the order in which they came.
#[derive(Debug)]
pub struct ReceivedDatagrams(mpsc::Receiver<Bytes>);

impl ReceivedDatagrams {
    /// The next datagram, without those that are empty; `None` when no more comes.
    ///
    /// # Cancel safety
    /// No datagram is lost when the future is dropped.
    pub async fn recv(&mut self) -> Option<Bytes> {
        self.0.recv().await
    }
}

impl Datagrams {
    /// Receives at this address or path, from everybody; port 0 takes a free one. `max_bytes` is
    /// the longest datagram that is taken. The task is spawned in `tasks`.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](faxbot_core::ErrorKind::Io) when the address is taken, not of this
    /// machine, or not ours to take; [`ErrorKind::NoRuntime`](faxbot_core::ErrorKind::NoRuntime).
    pub fn bind(
        at: DatagramPeer,
        max_bytes: usize,
        tasks: &TaskSet,
    ) -> Result<(Self, ReceivedDatagrams)> {
        Self::bind_allowing(at, AllowList::anybody(), max_bytes, tasks)
    }

    /// As [`bind`](Self::bind), from these addresses alone. Who sends by UDP can claim any address:
    /// this keeps mistakes out, not attackers of the same network.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    pub fn bind_allowing(
        at: DatagramPeer,
        allow: AllowList,
        max_bytes: usize,
        tasks: &TaskSet,
    ) -> Result<(Self, ReceivedDatagrams)> {
        let socket = Socket::bind(&at, None, "listen")?;
        let (owner, received) = mpsc::channel(QUEUE);
        let this = Self {
            local: socket.local(),
            counters: Arc::default(),
            token: tasks.token().child(),
        };
        let (counters, stop) = (Arc::clone(&this.counters), this.token.clone());
        tasks.spawn(async move {
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = owner.closed() => {}
                () = receive(&socket, &allow, max_bytes, &owner, &counters) => {}
            }
        });
        Ok((this, ReceivedDatagrams(received)))
    }

    /// Where it receives, with the port that it got; `None` for a socket of the file system.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.local
    }

    /// What was lost so far.
    pub fn losses(&self) -> DatagramLosses {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        DatagramLosses {
            not_taken: of(&self.counters.not_taken),
            too_long: of(&self.counters.too_long),
            turned_away: of(&self.counters.turned_away),
        }
    }
}

impl Drop for Datagrams {
    fn drop(&mut self) {
        self.token.cancel();
    }
}

impl fmt::Debug for Datagrams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Datagrams")
            .field("losses", &self.losses())
            .finish_non_exhaustive()
    }
}

async fn receive(
    socket: &Socket,
    allow: &AllowList,
    max: usize,
    owner: &mpsc::Sender<Bytes>,
    counters: &Counters,
) {
    let count = |counter: &AtomicU64| counter.fetch_add(1, Ordering::Relaxed);
    // One byte more tells that a datagram was longer.
    let mut buffer = vec![0; max.clamp(1024, 16 * 1024 * 1024).saturating_add(1)];
    loop {
        let (length, from) = match socket.receive(&mut buffer).await {
            Ok(received) => received,
            Err(error) => {
                tracing::debug!(kind = ?error.kind(), "cannot receive datagrams");
                tokio::time::sleep(FAULT_PAUSE).await;
                continue;
            }
        };
        if !from.is_none_or(|from| allow.allows(from)) {
            count(&counters.turned_away);
        } else if length > max {
            count(&counters.too_long);
        } else if let Some(bytes) = buffer.get(..length).filter(|bytes| !bytes.is_empty()) {
            match owner.try_send(Bytes::copy_from_slice(bytes)) {
                Ok(()) => {}
                Err(TrySendError::Full(_)) => {
                    count(&counters.not_taken);
                }
                Err(TrySendError::Closed(_)) => return,
            }
        }
    }
}
