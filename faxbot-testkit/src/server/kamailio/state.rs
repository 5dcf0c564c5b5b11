//! What a mocked Kamailio keeps in memory.

use faxbot_core::Timestamp;
use tokio::time::Instant;

use crate::server::proxy::ProxyWorld;

#[derive(Debug)]
pub(super) struct State {
    pub world: ProxyWorld,
    pub started: Instant,
}

impl State {
    pub(super) const fn new(world: ProxyWorld, now: Instant) -> Self {
        Self {
            world,
            started: now,
        }
    }

    pub(super) fn restart(&mut self, now: Instant) {
        self.world.restart();
        self.started = now;
    }

    pub(super) fn up_since(&self) -> Timestamp {
        self.world.wall(self.started)
    }
}
