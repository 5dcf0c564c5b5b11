//! How the mocked server stops and starts.

use std::{sync::Arc, time::Duration};

use super::{
    MockAsterisk,
    account::Classes,
    channel::Signal,
    world::{Closing, State, World, start},
};

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
            world.change(|state| stop(state, true, true));
            tokio::time::sleep(down).await;
            start_again(&world);
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

/// Stops the server: channels and the dialplan of the run are lost, AstDB stays. Orderly, the
/// clients get `Shutdown` first; else the links are simply cut, as by SIGKILL.
pub(super) fn stop(state: &mut State, orderly: bool, restart: bool) {
    if orderly {
        let event = start("Shutdown", "system")
            .header("Shutdown", "Cleanly")
            .header("Restart", if restart { "True" } else { "False" });
        state.emit("system", event);
    }
    state.record.note(if orderly {
        "server stops"
    } else {
        "server killed"
    });
    let closing = if orderly {
        Closing::Drained
    } else {
        Closing::Cut
    };
    for client in state.clients.values_mut() {
        client.closing.send_replace(closing);
        // What the dying calls say is not heard any more.
        client.mask = Classes::default();
    }
    state.run.send_modify(|run| *run += 1);
    state.channels.clear();
    state.features.agi.clear();
    state.bridges.clear();
    state.rooms.clear();
    state.fax.clear();
    state.dialplan.reload();
    state.globals.clear();
    state.booted = false;
    state.listening = false;
}

/// Starts the server again. `FullyBooted` comes when the boot is over.
pub(super) fn start_again(world: &Arc<World>) {
    let now = world.now();
    world.change(|state| {
        state.started = now;
        state.listening = true;
        state.shutting_down = false;
        state.processed = 0;
        state.record.note("server listens again");
    });
    let boot = Arc::clone(world);
    world.spawn(async move {
        tokio::time::sleep(boot.config.boot).await;
        boot.change(|state| {
            state.booted = true;
            // Another header order than the immediate form (FACTS 31).
            let event = start("FullyBooted", "system")
                .header("Status", "Fully Booted")
                .header("Uptime", "0")
                .header("LastReload", "0");
            state.emit("system", event);
        });
    });
}
