//! How the mocked server stops and starts.

use std::sync::Arc;

use super::{
    account::Classes,
    world::{Closing, State, World, start},
};

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
