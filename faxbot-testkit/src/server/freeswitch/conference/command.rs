//! The API command `conference`: what is done to a room and its members.

use std::{sync::Arc, time::Duration};

use super::list::{get, json, list, list_all, xml};
use crate::server::{
    freeswitch::{
        cause,
        channel::{By, Signal},
        leg, originate,
        originate::Options,
        program::Program,
        quoting,
        world::{State, World, fresh},
    },
    sound,
};

const NOT_FOUND: &str = "-ERR Conference command '";

/// The API command `conference`.
pub(in crate::server::freeswitch) async fn command(world: &Arc<World>, args: &str) -> String {
    let (first, rest) = args.split_once(' ').unwrap_or((args, ""));
    match first {
        "" => return "<conf name> list [delim <string>]|[count]\n".to_owned(),
        "list" => return list_all(world),
        "json_list" => return json(world, None),
        "xml_list" => return xml(world, None),
        _ => {}
    }
    let (word, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    if matches!(word, "dial" | "bgdial") {
        return dial(world, first, word, rest).await;
    }
    if !world.lock().rooms.contains_key(first) {
        return format!("-ERR Conference {first} not found\n");
    }
    match word {
        "list" | "count" => list(world, first, if word == "count" { "count" } else { rest }),
        "json_list" => json(world, Some(first)),
        "xml_list" => xml(world, Some(first)),
        "get" => get(world, first, rest),
        "lock" | "unlock" => world.with(|state| {
            if let Some(room) = state.rooms.get_mut(first) {
                room.locked = word == "lock";
            }
            state.room_event(first, None, word, &[]);
            format!("+OK {first} {word}ed\n")
        }),
        "record" | "norecord" | "recording" => recording(world, first, word, rest),
        "play" => world.with(|state| {
            let more = [("File", rest), ("Async", "false")];
            state.room_event(first, None, "play-file", &more);
            state.room_event(first, None, "play-file-done", &more);
            format!("+OK (play) Playing file {rest}\n")
        }),
        "mute" | "unmute" | "tmute" | "deaf" | "undeaf" | "kick" | "hup" | "dtmf" | "floor"
        | "energy" | "volume_in" | "volume_out" | "transfer" => members(world, first, word, rest),
        _ => format!("{NOT_FOUND}{word}' not found.\n"),
    }
}

fn recording(world: &World, room: &str, word: &str, args: &str) -> String {
    let (what, file) = match (word, args.split_once(' ')) {
        ("record", _) => ("start", args),
        ("norecord", _) => ("stop", args),
        (_, Some((what, file))) => (what, file),
        (_, None) => (args, ""),
    };
    let paths = &world.paths;
    match what {
        "start" => {
            let _no_such_place = paths.make_parent(file);
            let _unwritable = sound::leave(paths, file, Duration::ZERO);
            world.with(|state| {
                let now = state.now;
                // What records is counted as a member that nobody sees.
                state.members += 1;
                if let Some(room) = state.rooms.get_mut(room) {
                    room.recordings.push((file.to_owned(), now));
                }
                state.room_event(room, None, "start-recording", &[("Path", file)]);
            });
            format!("+OK Record file {file}\n")
        }
        "stop" => {
            let stopped = world.with(|state| {
                let Some(found) = state.rooms.get_mut(room) else {
                    return Vec::new();
                };
                let all = std::mem::take(&mut found.recordings);
                let (stopped, left): (Vec<_>, Vec<_>) = all
                    .into_iter()
                    .partition(|(known, _)| file == "all" || file.is_empty() || known == file);
                found.recordings = left;
                stopped
            });
            let mut out = String::new();
            for (file, since) in &stopped {
                let length = world.now().duration_since(*since);
                let _unwritable = sound::leave(paths, file, length);
                let millis = length.as_millis().to_string();
                let more = [
                    ("Path", file.as_str()),
                    ("Other-Recordings", "false"),
                    ("Milliseconds-Elapsed", millis.as_str()),
                ];
                world.with(|state| state.room_event(room, None, "stop-recording", &more));
                out.push_str(&format!("Stopped recording file {file}\n"));
            }
            // It counts wrong (recording `04_conference`).
            out.push_str("+OK Stopped recording 0 files\n");
            out
        }
        _ => "-ERR Invalid command\n".to_owned(),
    }
}

/// A command to one member, `last` or `all`.
fn members(world: &World, room: &str, word: &str, args: &str) -> String {
    let (who, rest) = args.split_once(' ').unwrap_or((args, ""));
    let ids: Vec<u32> = {
        let state = world.lock();
        let members = state.rooms.get(room).map_or(&[][..], |room| &room.members);
        match who {
            "all" | "non_moderator" => members.iter().rev().map(|member| member.id).collect(),
            "last" => members.last().map(|member| member.id).into_iter().collect(),
            who => {
                let uuid = who.strip_prefix("uuid:").unwrap_or(who);
                let number = who.parse().ok();
                let found = members
                    .iter()
                    .find(|member| Some(member.id) == number || member.channel == uuid);
                found.map(|member| member.id).into_iter().collect()
            }
        }
    };
    if ids.is_empty() {
        return format!("-ERR Non-Existant ID {who}\n");
    }
    ids.into_iter()
        .map(|id| world.with(|state| one(state, room, id, word, rest)))
        .collect()
}

fn one(state: &mut State, room: &str, id: u32, word: &str, rest: &str) -> String {
    let Some(member) = state.member_mut(room, id) else {
        return format!("-ERR Non-Existant ID {id}\n");
    };
    let channel = member.channel.clone();
    let word = match word {
        "tmute" if member.muted => "unmute",
        "tmute" => "mute",
        word => word,
    };
    match word {
        "mute" => member.muted = true,
        "unmute" => member.muted = false,
        "deaf" => member.deaf = true,
        "undeaf" => member.deaf = false,
        _ => {}
    }
    match word {
        "mute" | "unmute" | "deaf" | "undeaf" => {
            state.room_event(room, Some(id), &format!("{word}-member"), &[]);
            format!("+OK {word} {id}\n")
        }
        "kick" | "hup" => {
            state.room_event(room, Some(id), &format!("{word}-member"), &[]);
            state.hang_up(&channel, cause::NORMAL, By::Here);
            let past = if word == "kick" { "kicked" } else { "hup" };
            format!("+OK {past} {id}\n")
        }
        "dtmf" => {
            state.room_event(room, Some(id), "dtmf-member", &[("Digits", rest)]);
            state.send_digits(&channel, rest);
            format!("+OK sent {rest} to {id}\n")
        }
        "floor" => {
            state.room_event(room, Some(id), "floor-change", &[]);
            format!("+OK floor {id}\n")
        }
        "energy" => format!("Energy {id} = {rest}\n"),
        "volume_in" => {
            state.room_event(
                room,
                Some(id),
                "volume-in-member",
                &[("Volume-Level", rest)],
            );
            format!("+OK Volume IN {id} = {rest}\n")
        }
        "volume_out" => {
            state.room_event(
                room,
                Some(id),
                "volume-out-member",
                &[("Volume-Level", rest)],
            );
            format!("+OK Volume OUT {id} = {rest}\n")
        }
        _ => {
            let program = Program::one("conference", rest);
            if let Some(channel) = state.channels.get(&channel) {
                channel.ask(Signal::Go(program));
            }
            format!("+OK Member '{id}' sent to conference {rest}.\n")
        }
    }
}

/// `conference X dial target`, and `bgdial`, whose result is an event.
async fn dial(world: &Arc<World>, room: &str, word: &str, args: &str) -> String {
    let words = quoting::separate(args, ' ', 3);
    let Some(target) = words.first().cloned() else {
        return "-ERR Bad Args\n".to_owned();
    };
    let options = Options {
        by: None,
        number: words.get(1).cloned(),
        name: words.get(2).cloned(),
        timeout: None,
    };
    let (world_too, room_too) = (Arc::clone(world), room.to_owned());
    let run = async move {
        match originate::dial(&world_too, &target, &options).await {
            Ok(id) => {
                leg::start(&world_too, &id, Program::one("conference", &room_too));
                "SUCCESS"
            }
            Err(cause) => cause,
        }
    };
    if word == "dial" {
        return format!("+OK Call Requested: result: [{}]\n", run.await);
    }
    let job = fresh();
    let (world_too, room, number) = (Arc::clone(world), room.to_owned(), job.clone());
    world.spawn(async move {
        let result = run.await;
        world_too.with(|state| {
            let more = [("Result", result), ("Job-UUID", number.as_str())];
            state.room_event(&room, None, "bgdial-result", &more);
        });
    });
    format!("+OK Job-UUID: {job}\n")
}
