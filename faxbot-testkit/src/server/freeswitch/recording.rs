//! Recordings of calls: `uuid_record`, `record_session` (recording `04_call_control`).

use std::{sync::Arc, time::Duration};

use faxbot_core::Timestamp;

use super::world::World;
use crate::server::sound;

/// A channel that is being recorded.
#[derive(Debug)]
pub(super) struct Recording {
    pub channel: String,
    /// As the server sees it.
    pub file: String,
    since: Timestamp,
}

/// Starts one; false when the channel records to that file already, or the file cannot be written.
pub(super) fn start(world: &Arc<World>, id: &str, file: &str) -> bool {
    let _no_such_place = world.paths.make_parent(file);
    if file.is_empty() || sound::leave(&world.paths, file, Duration::ZERO).is_err() {
        return false;
    }
    world.with(|state| {
        let known = state.recordings.iter();
        if known.into_iter().any(|r| r.channel == id && r.file == file) {
            return false;
        }
        let since = state.now;
        state.tell_with("RECORD_START", "", id, &[("Record-File-Path", file)]);
        state.recordings.push(Recording {
            channel: id.to_owned(),
            file: file.to_owned(),
            since,
        });
        true
    })
}

/// Whether a channel records to this file.
pub(super) fn runs(world: &World, id: &str, file: &str) -> bool {
    let state = world.lock();
    let mut known = state.recordings.iter();
    known.any(|r| r.channel == id && r.file == file)
}

/// Stops one, or `all`; false when there is none.
pub(super) fn stop(world: &World, id: &str, file: &str) -> bool {
    let mut stopped = false;
    loop {
        let found = world.with(|state| {
            let at = state
                .recordings
                .iter()
                .position(|r| r.channel == id && (file == "all" || r.file == file))?;
            Some((state.recordings.remove(at), state.now))
        });
        let Some((recording, now)) = found else {
            return stopped;
        };
        stopped = true;
        let length = now.duration_since(recording.since);
        // The server only logs a file that it cannot write.
        let _unwritable = sound::leave(&world.paths, &recording.file, length);
        let millis = length.as_millis().to_string();
        let samples = (length.as_millis() * 8).to_string();
        world.with(|state| {
            state.set_var(id, "record_ms", &millis);
            state.set_var(id, "record_samples", &samples);
            state.set_var(id, "record_seconds", &length.as_secs().to_string());
            state.set_var(id, "record_completion_cause", "success-maxtime");
            let more = [
                ("Record-File-Path", recording.file.as_str()),
                ("Record-Completion-Cause", "success-maxtime"),
            ];
            state.tell_with("RECORD_STOP", "", id, &more);
        });
    }
}

/// All recordings of a channel end with it.
pub(super) fn stop_all(world: &World, id: &str) {
    stop(world, id, "all");
}
