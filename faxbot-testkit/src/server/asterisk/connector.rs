//! The driver's way to a mock without a socket.

use std::{
    fmt, io,
    sync::{Arc, Mutex, PoisonError},
};

use faxbot_sip::driver::{Connect, LinkError, Transport};

use super::{DUPLEX_BYTES, connection, world::World};
use crate::{
    fault::{Faults, FaultyStream},
    random::{Seed, TestRng},
};

/// Opens links in memory to a [`MockAsterisk`](super::MockAsterisk), each with faults if wanted.
/// While the server is down it refuses.
#[derive(Clone)]
pub struct MemoryConnector {
    world: Arc<World>,
    faults: Option<Faults>,
    rng: Arc<Mutex<TestRng>>,
}

impl MemoryConnector {
    pub(super) fn new(world: Arc<World>) -> Self {
        let rng = Arc::new(Mutex::new(TestRng::new(Seed(0))));
        Self {
            world,
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
        if !self.world.lock().listening {
            return Err(LinkError::Connect(Arc::new(
                io::ErrorKind::ConnectionRefused.into(),
            )));
        }
        let (near, far) = tokio::io::duplex(DUPLEX_BYTES);
        let world = Arc::clone(&self.world);
        self.world
            .spawn_free(connection::serve(world, far, "127.0.0.1/0".to_owned()));
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
