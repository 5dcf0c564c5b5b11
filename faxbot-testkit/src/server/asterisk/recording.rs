//! `MixMonitor`: who is recorded, and the file that is left (recording `05_mixmonitor`,
//! `apps/app_mixmonitor.c`).

use std::{path::Path, sync::Arc};

use faxbot_core::Timestamp;

use super::{
    application::{Done, Here},
    world::{State, World},
};

/// Where a file without a directory goes.
pub(super) const MONITOR_DIR: &str = "/var/spool/asterisk/monitor";

/// Samples of a second: telephone sound in 16 bits.
const RATE: u32 = 8000;

/// Longest file; what is recorded beyond is left out.
const MAX_SECONDS: u32 = 24 * 3600;

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
    let _no_such_place = write(world, &file, 0);
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
    let samples = u64::try_from(length.as_millis()).unwrap_or(0) * u64::from(RATE) / 1000;
    let most = RATE.saturating_mul(MAX_SECONDS);
    let samples = u32::try_from(samples).unwrap_or(most).min(most);
    // Asterisk only logs a file that it cannot write.
    let _unwritable = write(world, file, samples);
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

/// Silence of so many samples: WAV by its name, else bare samples. The silence is a hole in the
/// file, so an hour costs no disk.
fn write(world: &World, file: &str, samples: u32) -> std::io::Result<()> {
    let ending = Path::new(file)
        .extension()
        .and_then(|ending| ending.to_str());
    let bytes = samples.saturating_mul(2);
    let (file, head, size) = match ending {
        Some("wav") => (file.to_owned(), wav_head(bytes), u64::from(bytes) + 44),
        Some("ulaw" | "alaw" | "ul" | "al" | "pcm") => {
            (file.to_owned(), Vec::new(), u64::from(samples))
        }
        Some("sln" | "raw") => (file.to_owned(), Vec::new(), u64::from(bytes)),
        None => (format!("{file}.raw"), Vec::new(), u64::from(bytes)),
        // A format that is none: nothing is written, and nothing tells of it.
        Some(_) => return Ok(()),
    };
    world.config.paths.write_sparse(&file, &head, size)
}

/// The 44 bytes before the samples.
fn wav_head(bytes: u32) -> Vec<u8> {
    let mut head = b"RIFF".to_vec();
    head.extend((bytes.saturating_add(36)).to_le_bytes());
    head.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    head.extend(RATE.to_le_bytes());
    head.extend((RATE * 2).to_le_bytes());
    head.extend(b"\x02\0\x10\0data");
    head.extend(bytes.to_le_bytes());
    head
}
