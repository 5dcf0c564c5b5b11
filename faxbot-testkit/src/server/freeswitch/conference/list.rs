//! The lists of conferences and of who is in them.

use faxbot_core::Timestamp;

use super::Member;
use crate::server::freeswitch::{
    channel::Channel,
    world::{State, World},
};

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
    let text = |with: fn(&Channel) -> &String| channel.map(with).cloned().unwrap_or_default();
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

pub(super) fn list(world: &World, room: &str, args: &str) -> String {
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

pub(super) fn list_all(world: &World) -> String {
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

pub(super) fn json(world: &World, only: Option<&str>) -> String {
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

pub(super) fn xml(world: &World, only: Option<&str>) -> String {
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

pub(super) fn get(world: &World, room: &str, what: &str) -> String {
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
