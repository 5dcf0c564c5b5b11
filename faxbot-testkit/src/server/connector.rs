//! The driver's way to a mock without a socket.

use std::{
    fmt, io,
    sync::{Arc, Mutex, PoisonError},
};

use faxbot_sip::driver::{Connect, LinkError, Transport};
use tokio::io::DuplexStream;

use super::base::Server;
use crate::{
    fault::{Faults, FaultyStream},
    random::{Seed, TestRng},
};

/// Bytes that an in-memory link holds before the writer waits, as a socket buffer does.
const DUPLEX_BYTES: usize = 64 * 1024;

/// Opens a link to a server, if it listens.
type Open = dyn Fn() -> Option<DuplexStream> + Send + Sync;

/// Opens links in memory to a [`Mock`](super::Mock), each with faults if wanted. While the server
/// is down it refuses.
#[derive(Clone)]
pub struct MemoryConnector {
    open: Arc<Open>,
    faults: Option<Faults>,
    rng: Arc<Mutex<TestRng>>,
}

/// A client's end of a new link in memory, and whether the server took it.
pub(super) fn link<S: Server>(world: &Arc<S>) -> (DuplexStream, bool) {
    let (near, far) = tokio::io::duplex(DUPLEX_BYTES);
    let listening = world.base().lock().listening;
    if listening {
        let served = Arc::clone(world).serve(Box::new(far), "127.0.0.1/0".to_owned());
        world.base().spawn_free(served);
    }
    (near, listening)
}

impl MemoryConnector {
    pub(super) fn new<S: Server>(world: Arc<S>) -> Self {
        Self::over(move || {
            let (near, served) = link(&world);
            served.then_some(near)
        })
    }

    /// Links that are opened so, if the server takes them.
    pub(super) fn over(open: impl Fn() -> Option<DuplexStream> + Send + Sync + 'static) -> Self {
        let rng = Arc::new(Mutex::new(TestRng::new(Seed(0))));
        Self {
            open: Arc::new(open),
            faults: None,
            rng,
        }
    }

    /// The same with faults at the client's end of every link. Each link draws its own seed from
    /// the one given.
    #[must_use]
    pub fn with_faults(mut self, faults: Faults) -> Self {
        self.rng = Arc::new(Mutex::new(TestRng::new(faults.seed)));
        self.faults = Some(faults);
        self
    }
}

impl fmt::Debug for MemoryConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryConnector")
            .field("faults", &self.faults)
            .finish_non_exhaustive()
    }
}

#[async_trait::async_trait]
impl Connect for MemoryConnector {
    async fn connect(&self) -> Result<Transport, LinkError> {
        let Some(near) = (self.open)() else {
            return Err(LinkError::Connect(Arc::new(
                io::ErrorKind::ConnectionRefused.into(),
            )));
        };
        let Some(mut faults) = self.faults.clone() else {
            return Ok(Transport::new(near));
        };
        let seed = self
            .rng
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .next_u64();
        faults.seed = Seed(seed);
        Ok(Transport::new(FaultyStream::new(near, faults)))
    }
}
