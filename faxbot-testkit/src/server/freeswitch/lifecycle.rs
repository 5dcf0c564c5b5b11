//! How the mocked server stops and starts (recordings `08_*`, `09_outcome_after_restart`).

use std::{sync::Arc, time::Duration};

use faxbot_sip::protocol::esl::server;

use super::{
    MockFreeSwitch,
    channel::By,
    subscribe::Subscription,
    world::{State, World, fresh},
};
use crate::server::mock;

/// Longest wait for the calls of a server that goes down.
const LAST_CALLS: Duration = Duration::from_secs(1);

/// Some of the modules that are unloaded, one event each.
const UNLOADED: [(&str, &str); 6] = [
    ("application", "db"),
    ("api", "db"),
    ("application", "hash"),
    ("endpoint", "sofia"),
    ("application", "txfax"),
    ("api", "conference"),
];

impl MockFreeSwitch {
    /// `fsctl shutdown restart`: every channel is hung up first with `SYSTEM_SHUTDOWN`; then as
    /// [`restart`](Self::restart). The outcome of a fax in progress is lost, as on a real server,
    /// where the modules are gone before the application returns.
    pub fn restart_now(&self, down: Duration) {
        let world = Arc::clone(self.world());
        self.world().spawn_free(async move {
            shutdown(&world).await;
            tokio::time::sleep(down).await;
            mock::start_again(&world);
        });
    }

    /// Sends a `HEARTBEAT` now.
    pub fn heartbeat(&self) {
        self.world().with(heartbeat);
    }
}

/// The server goes down by its own command: calls end, then it stops.
pub(super) async fn shutdown(world: &Arc<World>) {
    world.with(|state| {
        tell_shutdown(state);
        let ids: Vec<String> = state.channels.iter().map(|c| c.id.clone()).collect();
        for id in &ids {
            // The hooks of answered calls find no module any more.
            let answered = state.channels.get(id).is_some_and(|c| c.is_answered());
            if answered {
                state.set_var(id, "api_hangup_hook", "");
                state.set_var(id, "api_reporting_hook", "");
            }
            state.hang_up(id, "SYSTEM_SHUTDOWN", By::Here);
        }
    });
    let all_gone = async {
        loop {
            let changed = world.changed.notified();
            if world.lock().channels.len() == 0 {
                return;
            }
            changed.await;
        }
    };
    // What does not end in time goes down with the server.
    let _in_time = tokio::time::timeout(LAST_CALLS, all_gone).await;
    mock::stop(world, true, true);
}

fn tell_shutdown(state: &mut State) {
    let info = [("Event-Info", "System Shutting Down")];
    state.plain_event("SHUTDOWN", &info, None);
}

/// The server stops: channels, `hash` and global variables are lost, `db` stays. Orderly, the
/// clients get `SHUTDOWN` and the notice first.
pub(super) fn stopping(world: &World, state: &mut State, orderly: bool) {
    state.now = world.now();
    if orderly {
        if state.channels.len() > 0 || state.wanted("SHUTDOWN", "") {
            tell_shutdown(state);
        }
        for (kind, name) in UNLOADED {
            state.plain_event("MODULE_UNLOAD", &[("type", kind), ("name", name)], None);
        }
        for client in state.clients.values() {
            let _gone = client.events.send(server::shutdown());
        }
    }
    for client in state.clients.values_mut() {
        // What the dying calls say is not heard any more.
        client.own.subscription = Subscription::default();
    }
    let gone: Vec<String> = state.channels.iter().map(|c| c.id.clone()).collect();
    for id in gone {
        if let Some(caller) = state.callers.get_mut(&id) {
            caller.ended.get_or_insert(0);
        }
    }
    state.channels.clear();
    state.rooms.clear();
    state.recordings.clear();
    state.hash.clear();
    state.globals = world.setup.globals.clone();
}

/// The server listens again, as another one: its `core_uuid` is new.
pub(super) fn started(world: &Arc<World>) {
    let now = world.now();
    world.change(|state| {
        state.now = now;
        state.started = now;
        state.core_uuid = fresh();
        state.sequence = 500;
        state.paused = false;
    });
    beat(world);
}

/// Sends heartbeats for as long as this run lasts.
pub(super) fn beat(world: &Arc<World>) {
    let Some(every) = world.setup.heartbeat else {
        return;
    };
    let world_too = Arc::clone(world);
    world.spawn(async move {
        loop {
            tokio::time::sleep(every).await;
            world_too.with(heartbeat);
        }
    });
}

fn heartbeat(state: &mut State) {
    let up = state.uptime();
    let millis = up.as_millis().to_string();
    let count = state.channels.len().to_string();
    let made = state.channels.made().to_string();
    let most = state.max_sessions.to_string();
    let headers = [
        ("Event-Info", "System Ready"),
        ("Up-Time", &*up_time(up)),
        (
            "FreeSWITCH-Version",
            "1.10.12-release+git~20240802T210227Z~a88d069d6f~64bit",
        ),
        ("Uptime-msec", &millis),
        ("Session-Count", &count),
        ("Max-Sessions", &most),
        ("Session-Per-Sec", "500"),
        ("Session-Per-Sec-Last", "0"),
        ("Session-Per-Sec-Max", "6"),
        ("Session-Per-Sec-FiveMin", "4"),
        ("Session-Since-Startup", &made),
        ("Session-Peak-Max", "8"),
        ("Session-Peak-FiveMin", "8"),
        ("Idle-CPU", "96.366667"),
    ];
    state.plain_event("HEARTBEAT", &headers, None);
}

/// `0 years, 0 days, 0 hours, 7 minutes, 59 seconds, 439 milliseconds, 846 microseconds`.
pub(super) fn up_time(up: Duration) -> String {
    let seconds = up.as_secs();
    format!(
        "{} years, {} days, {} hours, {} minutes, {} seconds, {} milliseconds, {} microseconds",
        seconds / (365 * 86_400),
        seconds / 86_400 % 365,
        seconds / 3600 % 24,
        seconds / 60 % 60,
        seconds % 60,
        up.subsec_millis(),
        up.subsec_micros() % 1000,
    )
}
