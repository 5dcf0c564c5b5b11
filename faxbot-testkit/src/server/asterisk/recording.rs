//! `MixMonitor`: who is recorded, and the file that is left (recording `05_mixmonitor`,
//! `apps/app_mixmonitor.c`).

use std::{sync::Arc, time::Duration};

use faxbot_core::Timestamp;

use super::{
    application::{Done, Here},
    world::{State, World},
};
use crate::server::sound;

/// Where a file without a directory goes.
pub(super) const MONITOR_DIR: &str = "/var/spool/asterisk/monitor";

/// A channel that is being recorded.
#[derive(Debug)]
pub(super) struct Recording {
    pub channel: String,
    /// `MixMonitorID`.
    pub id: String,
    /// As the server sees it.
    pub file: String,
    since: Timestamp,
}

/// Starts one on a channel; the answer is its `MixMonitorID` when the option `i` asks for it.
/// `None` when no file is named.
pub(super) fn start(
    world: &Arc<World>,
    channel: &str,
    file: &str,
    options: &str,
) -> Option<Option<String>> {
    if file.is_empty() {
        return None;
    }
    let file = if file.starts_with('/') {
        file.to_owned()
    } else {
        format!("{MONITOR_DIR}/{file}")
    };
    let variable = options
        .split_once("i(")
        .and_then(|(_, rest)| rest.split_once(')'))
        .map(|(name, _)| name.to_owned());
    // The directory is made, the file is there from the first sound on.
    let _no_such_place = world.config.paths.make_parent(&file);
    let _no_such_place = sound::leave(&world.config.paths, &file, Duration::ZERO);
    let now = world.now();
    let gone = world.change(|state| {
        state.features.monitor_ids += 1;
        let id = format!("0x7f00{:08x}", state.features.monitor_ids);
        state.set_var(channel, "MIXMONITOR_FILENAME", &file);
        if let Some(variable) = &variable {
            state.set_var(channel, variable, &id);
        }
        state.channel_event("MixMonitorStart", "call", channel, &[]);
        let gone = state
            .channel(channel)
            .map(|channel| channel.signal.subscribe());
        state.features.recordings.push(Recording {
            channel: channel.to_owned(),
            id: id.clone(),
            file,
            since: now,
        });
        gone.map(|gone| (gone, id))
    });
    let (mut gone, id) = gone?;
    let (world_too, own) = (Arc::clone(world), id.clone());
    let channel = channel.to_owned();
    world.spawn_free(async move {
        // The channel's sender goes with the channel.
        while gone.changed().await.is_ok() {}
        stop(&world_too, &channel, Some(&own), false);
    });
    Some(variable.map(|_| id))
}

/// Stops one recording of a channel, the named one or the last. False when there is none.
pub(super) fn stop(world: &World, channel: &str, id: Option<&str>, tell: bool) -> bool {
    let found = world.change(|state| {
        let at = state.features.recordings.iter().rposition(|recording| {
            recording.channel == channel && id.is_none_or(|id| recording.id == id)
        })?;
        if tell {
            state.channel_event("MixMonitorStop", "call", channel, &[]);
        }
        Some(state.features.recordings.swap_remove(at))
    });
    let Some(recording) = found else { return false };
    leave_file(world, &recording.file, recording.since);
    true
}

/// Leaves the file of a recording that began then.
pub(super) fn leave_file(world: &World, file: &str, since: Timestamp) {
    let length = world.now().duration_since(since);
    // Asterisk only logs a file that it cannot write.
    let _unwritable = sound::leave(&world.config.paths, file, length);
    world.changed.notify_waiters();
}

/// Mutes or unmutes; the answer is how many recordings that changed.
pub(super) fn count(state: &State, channel: &str, id: Option<&str>) -> usize {
    let recordings = state.features.recordings.iter();
    recordings
        .filter(|recording| recording.channel == channel && id.is_none_or(|id| recording.id == id))
        .count()
}

/// The application `MixMonitor(file,options,command)`.
pub(super) fn start_here(here: &Here<'_>, data: &str) -> Done {
    let (file, rest) = data.split_once(',').unwrap_or((data, ""));
    let options = rest.split(',').next().unwrap_or_default();
    // Without a file it returns -1, and the channel ends.
    match start(here.world, here.id, file, options) {
        Some(_) => Done::Next,
        None => Done::HungUp(0),
    }
}

/// The application `StopMixMonitor(id)`.
pub(super) fn stop_here(here: &Here<'_>, data: &str) -> Done {
    let id = Some(data.trim()).filter(|id| !id.is_empty());
    stop(here.world, here.id, id, true);
    Done::Next
}
