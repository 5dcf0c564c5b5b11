//! Conferences: who is in them, what is done to them, and their events (recording
//! `04_conference`).

mod command;
mod list;

use faxbot_core::Timestamp;

use super::{
    application::Done,
    call::{Flow, Here, Stop},
    leg,
    world::{State, fresh},
};
pub(super) use command::command;

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
