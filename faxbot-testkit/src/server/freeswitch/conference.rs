//! Conferences: who is in them, what is done to them, and their events (recording
//! `04_conference`).

use std::{sync::Arc, time::Duration};

use faxbot_core::Timestamp;

use super::{
    application::Done,
    call::{Flow, Here, Stop},
    cause,
    channel::{By, Signal},
    leg, originate,
    originate::Options,
    program::Program,
    world::{State, World, fresh},
};
use crate::server::sound;

const MAINTENANCE: &str = "conference::maintenance";

/// A conference.
#[derive(Debug)]
pub(super) struct Room {
    uuid: String,
    profile: String,
    since: Timestamp,
    locked: bool,
    recordings: Vec<(String, Timestamp)>,
    members: Vec<Member>,
}

/// Somebody in a conference.
#[derive(Debug)]
struct Member {
    id: u32,
    channel: String,
    muted: bool,
    deaf: bool,
    moderator: bool,
    floor: bool,
    talking: bool,
    since: Timestamp,
}

/// `name@profile+pin+flags{a|b}`.
struct Wanted {
    room: String,
    profile: String,
    flags: Vec<String>,
}

fn wanted(args: &str) -> Wanted {
    let args = args.strip_prefix("bridge:").unwrap_or(args);
    let (rest, flags) = match args.split_once("+flags{") {
        Some((rest, flags)) => (rest, flags.trim_end_matches('}')),
        None => (args, ""),
    };
    let rest = rest.split('+').next().unwrap_or_default();
    let (room, profile) = rest.split_once('@').unwrap_or((rest, "default"));
    Wanted {
        room: room.trim().to_owned(),
        profile: profile.to_owned(),
        flags: flags
            .split('|')
            .map(|flag| flag.trim().to_owned())
            .collect(),
    }
}

/// Runs `conference(room@profile)` until the member leaves.
pub(super) async fn join(here: &mut Here<'_>, args: &str) -> Done {
    let (world, id) = (here.world, here.id);
    let wanted = wanted(args);
    let locked = world.with(|state| {
        leg::answer(state, id);
        let locked = state
            .rooms
            .get(&wanted.room)
            .is_some_and(|room| room.locked);
        if !locked {
            state.enter(id, &wanted);
        }
        locked
    });
    if locked {
        // Who comes to a locked room hears so, and the application ends.
        return Done::next();
    }
    let stop = loop {
        match here.idle(None).await {
            Some(Stop::Break) if world.lock().room_of(id).is_some() => {}
            stop => break stop,
        }
    };
    world.with(|state| state.leave_room(id));
    match stop {
        Some(Stop::Flow(flow)) => flow.into(),
        Some(Stop::Break) | None => Flow::Next.into(),
    }
}

impl State {
    fn room_headers(&self, room: &str) -> Vec<(&'static str, String)> {
        let Some(found) = self.rooms.get(room) else {
            return Vec::new();
        };
        vec![
            ("Conference-Name", room.to_owned()),
            ("Conference-Domain", super::world::HOST.to_owned()),
            ("Conference-Size", found.members.len().to_string()),
            ("Conference-Ghosts", "0".to_owned()),
            ("Conference-Profile-Name", found.profile.clone()),
            ("Conference-Unique-ID", found.uuid.clone()),
        ]
    }

    /// An event about a room, and about one of its members when there is one.
    fn room_event(&mut self, room: &str, member: Option<u32>, action: &str, more: &[(&str, &str)]) {
        if !self.wanted("CUSTOM", MAINTENANCE) {
            return;
        }
        let headers = self.room_headers(room);
        let mut event = self.event("CUSTOM", MAINTENANCE);
        for (name, value) in headers {
            event.push(name, value);
        }
        let found = self.rooms.get(room);
        let found = found.and_then(|room| room.members.iter().find(|m| Some(m.id) == member));
        if let Some(member) = found {
            event.push("Floor", member.floor.to_string());
            if let Some(channel) = self.channels.get(&member.channel) {
                channel.write(&mut event, false);
            }
            for (name, value) in [
                ("Video", false),
                ("Hear", !member.deaf),
                ("See", true),
                ("Speak", !member.muted),
                ("Talking", member.talking),
                ("Mute-Detect", false),
                ("Hold", false),
            ] {
                event.push(name, value.to_string());
            }
            event.push("Member-ID", member.id.to_string());
            let kind = if member.moderator {
                "moderator"
            } else {
                "member"
            };
            event.push("Member-Type", kind);
            event.push("Member-Ghost", "false");
            event.push("Energy-Level", "100");
            event.push("Current-Energy", "0");
        }
        event.push("Action", action);
        for (name, value) in more {
            event.push(name, *value);
        }
        self.emit(&event);
    }

    fn enter(&mut self, id: &str, wanted: &Wanted) {
        let now = self.now;
        let room = &wanted.room;
        if !self.rooms.contains_key(room) {
            let made = Room {
                uuid: fresh(),
                profile: wanted.profile.clone(),
                since: now,
                locked: false,
                recordings: Vec::new(),
                members: Vec::new(),
            };
            self.rooms.insert(room.clone(), made);
            self.room_event(room, None, "conference-create", &[]);
        }
        self.members += 1;
        let number = self.members;
        let flag = |name: &str| wanted.flags.iter().any(|flag| flag == name);
        let Some(found) = self.rooms.get_mut(room) else {
            return;
        };
        let floor = found.members.is_empty();
        found.members.push(Member {
            id: number,
            channel: id.to_owned(),
            muted: flag("mute"),
            deaf: flag("deaf"),
            moderator: flag("moderator"),
            floor: false,
            talking: false,
            since: now,
        });
        let uuid = found.uuid.clone();
        for (name, value) in [
            ("conference_name", room.as_str()),
            ("conference_member_id", &number.to_string()),
            ("conference_uuid", &uuid),
        ] {
            self.set_var(id, name, value);
        }
        self.room_event(room, Some(number), "add-member", &[]);
        self.room_presence(room);
        if floor {
            if let Some(member) = self.member_mut(room, number) {
                member.floor = true;
            }
            let text = number.to_string();
            let more = [("Old-ID", "none"), ("New-ID", text.as_str())];
            self.room_event(room, Some(number), "floor-change", &more);
        }
    }

    fn room_presence(&mut self, room: &str) {
        let count = self.rooms.get(room).map_or(0, |room| room.members.len());
        let word = if count == 1 { "caller" } else { "callers" };
        let status = format!("Active ({count} {word})");
        let from = format!("{room}@{}", super::world::HOST);
        let headers = [
            ("proto", "conf"),
            ("login", room),
            ("from", &*from),
            ("event_type", "presence"),
            ("alt_event_type", "dialog"),
            ("event_count", "1"),
            ("unique-id", room),
            ("force-status", &*status),
            ("channel-state", "CS_ROUTING"),
            (
                "answer-state",
                if count == 0 { "terminated" } else { "early" },
            ),
            ("presence-call-direction", "outbound"),
        ];
        self.plain_event("PRESENCE_IN", &headers, None);
    }

    fn member_mut(&mut self, room: &str, member: u32) -> Option<&mut Member> {
        let members = &mut self.rooms.get_mut(room)?.members;
        members.iter_mut().find(|known| known.id == member)
    }

    /// The room and the number of a channel in it.
    pub(super) fn room_of(&self, id: &str) -> Option<(String, u32)> {
        self.rooms.iter().find_map(|(name, room)| {
            let member = room.members.iter().find(|m| m.channel == id)?;
            Some((name.clone(), member.id))
        })
    }

    pub(super) fn others_in_room(&self, id: &str) -> Vec<String> {
        let Some((room, _)) = self.room_of(id) else {
            return Vec::new();
        };
        let members = self
            .rooms
            .get(&room)
            .into_iter()
            .flat_map(|r| r.members.iter());
        members
            .filter(|member| member.channel != id)
            .map(|member| member.channel.clone())
            .collect()
    }

    pub(super) fn talks(&mut self, id: &str, talks: bool) -> bool {
        let Some((room, number)) = self.room_of(id) else {
            return false;
        };
        if let Some(member) = self.member_mut(&room, number) {
            member.talking = talks;
        }
        let action = if talks {
            "start-talking"
        } else {
            "stop-talking"
        };
        self.room_event(&room, Some(number), action, &[]);
        true
    }

    fn leave_room(&mut self, id: &str) {
        let Some((room, number)) = self.room_of(id) else {
            return;
        };
        let Some(found) = self.rooms.get_mut(&room) else {
            return;
        };
        let at = found.members.iter().position(|member| member.id == number);
        let Some(member) = at.map(|at| found.members.remove(at)) else {
            return;
        };
        let empty = found.members.is_empty();
        let size = found.members.len();
        // The event is about a member that is not counted any more.
        found.members.push(member);
        self.left(&room, number, size);
        if let Some(found) = self.rooms.get_mut(&room) {
            found.members.retain(|member| member.id != number);
        }
        self.room_presence(&room);
        if empty {
            self.end_room(&room);
        }
    }

    fn left(&mut self, room: &str, number: u32, size: usize) {
        if !self.wanted("CUSTOM", MAINTENANCE) {
            return;
        }
        let headers = self.room_headers(room);
        let mut event = self.event("CUSTOM", MAINTENANCE);
        for (name, value) in headers {
            let size = size.to_string();
            event.push(
                name,
                if name == "Conference-Size" {
                    size
                } else {
                    value
                },
            );
        }
        let found = self.rooms.get(room);
        let found = found.and_then(|room| room.members.iter().find(|m| m.id == number));
        if let Some(member) = found {
            if let Some(channel) = self.channels.get(&member.channel) {
                channel.write(&mut event, false);
            }
            event.push("Hear", (!member.deaf).to_string());
            event.push("Speak", (!member.muted).to_string());
            event.push("Member-ID", number.to_string());
            event.push(
                "Member-Type",
                if member.moderator {
                    "moderator"
                } else {
                    "member"
                },
            );
        }
        event.push("Action", "del-member");
        self.emit(&event);
    }

    fn end_room(&mut self, room: &str) {
        self.room_event(room, None, "conference-destroy", &[]);
        self.rooms.remove(room);
    }
}

const NOT_FOUND: &str = "-ERR Conference command '";

/// The API command `conference`.
pub(super) async fn command(world: &Arc<World>, args: &str) -> String {
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

fn seconds(world: &World, since: Timestamp) -> u64 {
    world.now().duration_since(since).as_secs()
}

fn line(state: &State, member: &Member, delimiter: &str) -> String {
    let mut flags = Vec::new();
    if !member.deaf {
        flags.push("hear");
    }
    if !member.muted {
        flags.push("speak");
    }
    if member.talking {
        flags.push("talking");
    }
    if member.floor {
        flags.push("floor");
    }
    if member.moderator {
        flags.push("moderator");
    }
    let channel = state.channels.get(&member.channel);
    let text = |with: fn(&super::channel::Channel) -> &String| {
        channel.map(with).cloned().unwrap_or_default()
    };
    let parts = [
        member.id.to_string(),
        text(|channel| &channel.name),
        member.channel.clone(),
        text(|channel| &channel.profile.name),
        text(|channel| &channel.profile.number),
        flags.join("|"),
        "0".to_owned(),
        "0".to_owned(),
        "100".to_owned(),
    ];
    parts.join(delimiter)
}

fn list(world: &World, room: &str, args: &str) -> String {
    let state = world.lock();
    let Some(found) = state.rooms.get(room) else {
        return String::new();
    };
    if args == "count" {
        return found.members.len().to_string();
    }
    let delimiter = args.strip_prefix("delim ").unwrap_or(";");
    // The last one comes first.
    let members = found.members.iter().rev();
    members
        .map(|member| format!("{}\n", line(&state, member, delimiter)))
        .collect()
}

fn list_all(world: &World) -> String {
    let rooms: Vec<(String, usize, bool)> = {
        let state = world.lock();
        let rooms = state.rooms.iter();
        rooms
            .map(|(name, room)| (name.clone(), room.members.len(), room.locked))
            .collect()
    };
    if rooms.is_empty() {
        return "+OK No active conferences.\n".to_owned();
    }
    let mut out = String::new();
    for (name, count, locked) in rooms {
        let plural = if count == 1 { "" } else { "s" };
        let locked = if locked { "locked|" } else { "" };
        out.push_str(&format!(
            "+OK Conference {name} ({count} member{plural} rate: 8000 flags: {locked}running|answered|enforce_min|dynamic|exit_sound|enter_sound|json_status)\n"
        ));
        out.push_str(&list(world, &name, ""));
    }
    out
}

fn json(world: &World, only: Option<&str>) -> String {
    let state = world.lock();
    let rooms: Vec<serde_json::Value> = state
        .rooms
        .iter()
        .filter(|(name, _)| only.is_none_or(|only| only == *name))
        .map(|(name, room)| {
            let members: Vec<serde_json::Value> = room
                .members
                .iter()
                .rev()
                .map(|member| {
                    let channel = state.channels.get(&member.channel);
                    let name = channel.map_or("", |channel| &channel.profile.name);
                    let number = channel.map_or("", |channel| &channel.profile.number);
                    serde_json::json!({
                        "type": "caller",
                        "id": member.id,
                        "flags": {
                            "can_hear": !member.deaf,
                            "can_see": true,
                            "can_speak": !member.muted,
                            "hold": false,
                            "mute_detect": false,
                            "talking": member.talking,
                            "has_video": false,
                            "video_bridge": false,
                            "has_floor": member.floor,
                            "is_moderator": member.moderator,
                            "end_conference": false,
                            "mandatory_member_end_conference": false,
                            "pass_digits": false,
                        },
                        "uuid": member.channel,
                        "caller_id_name": name,
                        "caller_id_number": number,
                        "join_time": seconds(world, member.since),
                        "last_talking": 0,
                        "energy": 100,
                        "volume_in": 0,
                        "volume_out": 0,
                        "output-volume": 0,
                        "input-volume": 0,
                    })
                })
                .collect();
            serde_json::json!({
                "conference_name": name,
                "member_count": room.members.len(),
                "ghost_count": 0,
                "rate": 8000,
                "run_time": seconds(world, room.since),
                "conference_uuid": room.uuid,
                "locked": room.locked,
                "running": true,
                "answered": true,
                "enforce_min": true,
                "dynamic": true,
                "exit_sound": true,
                "enter_sound": true,
                "recording": !room.recordings.is_empty(),
                "variables": {},
                "members": members,
            })
        })
        .collect();
    serde_json::Value::from(rooms).to_string()
}

fn xml(world: &World, only: Option<&str>) -> String {
    let state = world.lock();
    let mut out = String::from("<?xml version=\"1.0\"?>\n<conferences>\n");
    for (name, room) in &state.rooms {
        if only.is_some_and(|only| only != name) {
            continue;
        }
        out.push_str(&format!(
            "  <conference name=\"{name}\" member-count=\"{}\" ghost-count=\"0\" rate=\"8000\" uuid=\"{}\" running=\"true\" answered=\"true\" enforce_min=\"true\" dynamic=\"true\" exit_sound=\"true\" enter_sound=\"true\" run_time=\"{}\">\n    <variables></variables>\n    <members>\n",
            room.members.len(),
            room.uuid,
            seconds(world, room.since),
        ));
        for member in room.members.iter().rev() {
            out.push_str(&format!(
                "      <member type=\"caller\">\n        <id>{}</id>\n        <flags>\n          <can_hear>{}</can_hear>\n          <can_speak>{}</can_speak>\n          <talking>{}</talking>\n          <has_floor>{}</has_floor>\n          <is_moderator>{}</is_moderator>\n        </flags>\n        <uuid>{}</uuid>\n      </member>\n",
                member.id,
                !member.deaf,
                !member.muted,
                member.talking,
                member.floor,
                member.moderator,
                member.channel,
            ));
        }
        out.push_str("    </members>\n  </conference>\n");
    }
    out.push_str("</conferences>\n");
    out
}

fn get(world: &World, room: &str, what: &str) -> String {
    let state = world.lock();
    let Some(found) = state.rooms.get(room) else {
        return String::new();
    };
    match what {
        "count" => found.members.len().to_string(),
        "run_time" => seconds(world, found.since).to_string(),
        "uuid" => found.uuid.clone(),
        _ => "-ERR unknown parameter\n".to_owned(),
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
    let words = super::quoting::separate(args, ' ', 3);
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
