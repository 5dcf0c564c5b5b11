//! How the mocked server stops and starts.

use std::{sync::Arc, time::Duration};

use super::{
    MockAsterisk,
    account::Classes,
    channel::Signal,
    world::{State, World, start},
};
use crate::server::mock;

/// Longest wait for the calls of a server that goes down.
const LAST_CALLS: Duration = Duration::from_secs(1);

impl MockAsterisk {
    /// A restart by `core restart now`: every channel is hung up first, with its handler and its
    /// `Hangup`, whose cause is 0, or 16 in a bridge; then as [`restart`](Self::restart). A
    /// `SoftHangupRequest` of cause 4 marks such an end (observed on Asterisk 16.28 and 22.10).
    pub fn restart_now(&self, down: Duration) {
        let world = Arc::clone(self.world());
        self.world().spawn_free(async move {
            end_calls(&world).await;
            mock::stop(&world, true, true);
            tokio::time::sleep(down).await;
            mock::start_again(&world);
        });
    }
}

/// Hangs up every channel and waits for their ends.
async fn end_calls(world: &World) {
    let ids: Vec<String> = world.change(|state| {
        // The channel of incoming messages is never hung up.
        let calls = state
            .channels
            .iter()
            .filter(|c| !c.name.starts_with("Message/"));
        let ids: Vec<String> = calls.map(|channel| channel.id.clone()).collect();
        for id in &ids {
            for cause in [4, 16] {
                state.hangup_request("SoftHangupRequest", id, Some(cause));
            }
            state.signal(id, Signal::Hangup { cause: 0 });
        }
        ids
    });
    let all_gone = async {
        loop {
            let changed = world.changed.notified();
            let left = {
                let state = world.lock();
                ids.iter().any(|id| state.channel(id).is_some())
            };
            if !left {
                return;
            }
            changed.await;
        }
    };
    // What does not end in time goes down with the server.
    let _in_time = tokio::time::timeout(LAST_CALLS, all_gone).await;
}

/// The server stops: channels and the dialplan of the run are lost, AstDB stays. Orderly, the
/// clients get `Shutdown` first.
pub(super) fn stopping(state: &mut State, orderly: bool, restart: bool) {
    if orderly {
        let event = start("Shutdown", "system")
            .header("Shutdown", "Cleanly")
            .header("Restart", if restart { "True" } else { "False" });
        state.emit("system", event);
    }
    for client in state.clients.values_mut() {
        // What the dying calls say is not heard any more.
        client.own.mask = Classes::default();
    }
    state.channels.clear();
    state.features.agi.clear();
    state.bridges.clear();
    state.rooms.clear();
    state.fax.clear();
    state.dialplan.reload();
    state.globals.clear();
    state.booted = false;
}

/// The server listens again. `FullyBooted` comes when the boot is over.
pub(super) fn started(world: &Arc<World>) {
    let now = world.now();
    world.change(|state| {
        state.started = now;
        state.processed = 0;
    });
    let boot = Arc::clone(world);
    world.spawn(async move {
        tokio::time::sleep(boot.config.boot).await;
        boot.change(|state| {
            state.booted = true;
            // Another header order than the immediate form (observed on Asterisk 16.28 and 22.10).
            let event = start("FullyBooted", "system")
                .header("Status", "Fully Booted")
                .header("Uptime", "0")
                .header("LastReload", "0");
            state.emit("system", event);
        });
    });
}
