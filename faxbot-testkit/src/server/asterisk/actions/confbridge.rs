//! The actions about conferences (recording `05_confbridge`; the texts of refusals that it lacks
//! are those of `apps/app_confbridge.c`).

use super::{
    super::{
        SeenAction,
        confbridge::{listed, yes_no},
        connection::{Answer, error, success},
        recording::{MONITOR_DIR, leave_file},
        world::{State, World},
    },
    given, item, list,
};

const NO_ROOM: &str = "No Conference by that name found.";
const NO_USER: &str = "No Channel by that name found in Conference.";
const NO_ROOMS: &str = "No active conferences.";
const NO_NAME: &str = "No Conference name provided.";

/// Runs one of them; `name` is in lower case.
pub(super) fn run(world: &World, name: &str, action: &SeenAction) -> Answer {
    if name == "confbridgelistrooms" {
        return rooms(world, action);
    }
    let Some(room) = given(action, "Conference") else {
        return error(action, NO_NAME);
    };
    world.change(|state| {
        if name == "confbridgelist" {
            return users(world, state, room, action);
        }
        if !state.rooms.contains_key(room) {
            return error(action, NO_ROOM);
        }
        match name {
            "confbridgemute" => of_users(state, room, action, Of::Mute(true)),
            "confbridgeunmute" => of_users(state, room, action, Of::Mute(false)),
            "confbridgekick" => of_users(state, room, action, Of::Kick),
            "confbridgelock" => lock(state, room, action, true),
            "confbridgeunlock" => lock(state, room, action, false),
            "confbridgestartrecord" => start_record(world, state, room, action),
            _ => stop_record(world, state, room, action),
        }
    })
}

fn rooms(world: &World, action: &SeenAction) -> Answer {
    let state = world.lock();
    if state.rooms.is_empty() {
        return error(action, NO_ROOMS);
    }
    let items = state.rooms.iter().map(|(name, room)| {
        item("ConfbridgeListRooms", action)
            .header("Conference", name)
            .header("Parties", room.users.len().to_string())
            .header("Marked", "0")
            .header("Locked", yes_no(room.locked))
            .header("Muted", "No")
    });
    list(
        action,
        ("start", "Confbridge conferences will follow"),
        items.collect(),
        ("ConfbridgeListRoomsComplete", &[]),
    )
}

fn users(world: &World, state: &State, room: &str, action: &SeenAction) -> Answer {
    if state.rooms.is_empty() {
        return error(action, NO_ROOMS);
    }
    let Some(found) = state.rooms.get(room) else {
        return error(action, NO_ROOM);
    };
    let now = world.now();
    let items = found.users.iter().filter_map(|user| {
        let channel = state.channel(&user.channel)?;
        let since = channel.answered.unwrap_or(channel.created);
        let seconds = now.duration_since(since).as_secs();
        let item = item("ConfbridgeList", action);
        let start = listed(item, (room, user), seconds, world.v16());
        Some(channel.snapshot(start, ""))
    });
    list(
        action,
        ("start", "Confbridge user list will follow"),
        items.collect(),
        ("ConfbridgeListComplete", &[]),
    )
}

/// What is done to users.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    Mute(bool),
    Kick,
}

/// By the name of the channel; its `Uniqueid` is not known here, as in Asterisk.
fn of_users(state: &mut State, room: &str, action: &SeenAction, what: Of) -> Answer {
    let Some(name) = given(action, "Channel") else {
        return error(action, "No channel name provided.");
    };
    let all = ["all", "participants"].contains(&name.to_ascii_lowercase().as_str());
    let users = state.rooms.get(room).into_iter().flat_map(|r| &r.users);
    let ids: Vec<String> = users
        .filter(|user| !name.eq_ignore_ascii_case("participants") || !user.admin)
        .filter_map(|user| state.channel(&user.channel))
        .filter(|channel| all || channel.name.eq_ignore_ascii_case(name))
        .map(|channel| channel.id.clone())
        .collect();
    if ids.is_empty() {
        return error(action, NO_USER);
    }
    for id in ids {
        match what {
            Of::Kick => state.kick(room, &id),
            Of::Mute(muted) => {
                if let Some(user) = state.user_mut(room, &id) {
                    user.muted = muted;
                }
                let event = if muted {
                    "ConfbridgeMute"
                } else {
                    "ConfbridgeUnmute"
                };
                state.room_event(event, room, Some(&id), false);
            }
        }
    }
    let text = match what {
        Of::Kick if all => "All participants kicked",
        Of::Kick => "User kicked",
        Of::Mute(true) => "User muted",
        Of::Mute(false) => "User unmuted",
    };
    success(action, text)
}

/// No event tells of it.
fn lock(state: &mut State, room: &str, action: &SeenAction, locked: bool) -> Answer {
    if let Some(room) = state.rooms.get_mut(room) {
        room.locked = locked;
    }
    let text = if locked {
        "Conference locked"
    } else {
        "Conference unlocked"
    };
    success(action, text)
}

/// The file gets the time into its name, unless the first user's dialplan said otherwise
/// (`record_file_timestamp`). No event names it.
fn start_record(world: &World, state: &mut State, room: &str, action: &SeenAction) -> Answer {
    let now = world.now();
    let Some(found) = state.rooms.get_mut(room) else {
        return error(action, NO_ROOM);
    };
    if found.recording.is_some() {
        return error(action, "Conference is already being recorded.");
    }
    let file = match given(action, "RecordFile") {
        Some(file) if file.starts_with('/') => file.to_owned(),
        Some(file) => format!("{MONITOR_DIR}/{file}"),
        None => format!("{MONITOR_DIR}/confbridge-{room}.wav"),
    };
    let file = match file.rsplit_once('.') {
        Some((name, ending)) if found.stamps_file => {
            format!("{name}-{}.{ending}", now.as_second())
        }
        _ => file,
    };
    leave_file(world, &file, now);
    found.recording = Some((file, now));
    // Both events count the channel that records (recording `05_confbridge`).
    state.count_helpers(room);
    state.room_event("ConfbridgeRecord", room, None, false);
    success(action, "Conference Recording Started.")
}

fn stop_record(world: &World, state: &mut State, room: &str, action: &SeenAction) -> Answer {
    let recording = state.rooms.get_mut(room).and_then(|r| r.recording.take());
    let Some((file, since)) = recording else {
        return error(action, "Internal error while stopping recording.");
    };
    leave_file(world, &file, since);
    state.room_event("ConfbridgeStopRecord", room, None, false);
    state.count_helpers(room);
    success(action, "Conference Recording Stopped.")
}
