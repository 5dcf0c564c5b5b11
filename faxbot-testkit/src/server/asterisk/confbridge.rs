//! `ConfBridge`: rooms, who is in them, and their events (recording `05_confbridge`).

use faxbot_core::Timestamp;
use faxbot_sip::protocol::ami::server::MessageBuilder;

use super::{
    application::{Done, Here},
    bridge::stay,
    call::Stop,
    recording::leave_file,
    world::{State, start},
};

/// A conference. Its bridge has one channel more than users, which announces who comes and goes.
#[derive(Debug)]
pub(super) struct Room {
    pub bridge: String,
    pub locked: bool,
    /// The file that it is recorded to, and since when.
    pub recording: Option<(String, Timestamp)>,
    /// Whether the file's name gets the time (`record_file_timestamp` of the bridge profile).
    pub stamps_file: bool,
    pub users: Vec<User>,
}

/// Somebody in a conference.
#[derive(Debug)]
pub(super) struct User {
    pub channel: String,
    pub admin: bool,
    pub muted: bool,
    kicked: bool,
}

impl State {
    /// An event about a room, and about one of its users when there is one.
    pub(super) fn room_event(&mut self, name: &str, room: &str, user: Option<&str>, muted: bool) {
        let Some(bridge) = self
            .rooms
            .get(room)
            .and_then(|r| self.bridges.get(&r.bridge))
        else {
            return;
        };
        let mut event = bridge.headers(start(name, "call").header("Conference", room));
        if let Some(channel) = user.and_then(|user| self.channel(user)) {
            event = channel.snapshot(event, "");
            let admin = self.user(room, &channel.id).is_some_and(|user| user.admin);
            event = event.header("Admin", yes_no(admin));
            if muted {
                event = event.header("Muted", "No");
            }
        }
        self.emit("call", event);
    }

    pub(super) fn user(&self, room: &str, channel: &str) -> Option<&User> {
        let users = &self.rooms.get(room)?.users;
        users.iter().find(|user| user.channel == channel)
    }

    pub(super) fn user_mut(&mut self, room: &str, channel: &str) -> Option<&mut User> {
        let users = &mut self.rooms.get_mut(room)?.users;
        users.iter_mut().find(|user| user.channel == channel)
    }

    /// Sends a user out of a room; the dialplan of its channel goes on.
    pub(super) fn kick(&mut self, room: &str, channel: &str) {
        if let Some(user) = self.user_mut(room, channel) {
            user.kicked = true;
            self.put_out(channel);
        }
    }

    /// The channels of the server itself in a room.
    pub(super) fn count_helpers(&mut self, room: &str) {
        let Some(found) = self.rooms.get(room) else {
            return;
        };
        let helpers = 1 + usize::from(found.recording.is_some());
        if let Some(bridge) = self.bridges.get_mut(&found.bridge) {
            bridge.helpers = helpers;
        }
    }

    fn room_device(&mut self, room: &str, state: &str) {
        let event = start("DeviceStateChange", "call")
            .header("Device", format!("confbridge:{room}"))
            .header("State", state);
        self.emit("call", event);
    }

    /// Makes the room when it is not there.
    fn open_room(&mut self, room: &str, by: &str) {
        if self.rooms.contains_key(room) {
            return;
        }
        let stamp = self.profile(by, "bridge,record_file_timestamp");
        let bridge = self.create_bridge(Some(room));
        let opened = Room {
            bridge,
            locked: false,
            recording: None,
            stamps_file: stamp.is_none_or(|value| value != "no"),
            users: Vec::new(),
        };
        self.rooms.insert(room.to_owned(), opened);
        self.count_helpers(room);
        self.room_event("ConfbridgeStart", room, None, false);
        self.room_device(room, "INUSE");
    }

    /// What the dialplan set on a channel by `CONFBRIDGE(..)` before it joins.
    fn profile(&self, channel: &str, option: &str) -> Option<String> {
        let vars = &self.channel(channel)?.vars;
        vars.get(&format!("CONFBRIDGE({option})")).cloned()
    }

    /// A user talks or falls silent: told only where the user's profile asks for it
    /// (`talk_detection_events`; headers as in `apps/confbridge/confbridge_manager.c`).
    pub(super) fn talks(&mut self, id: &str, on: bool) -> bool {
        let wanted = self.profile(id, "user,talk_detection_events");
        let room = self.rooms.iter().find_map(|(name, room)| {
            let user = room.users.iter().find(|user| user.channel == id)?;
            Some((name.clone(), room.bridge.clone(), user.admin))
        });
        let Some((room, bridge, admin)) = room.filter(|_| wanted.is_some_and(|on| on == "yes"))
        else {
            return false;
        };
        if let (Some(bridge), Some(channel)) = (self.bridges.get(&bridge), self.channel(id)) {
            let event = start("ConfbridgeTalking", "call").header("Conference", room);
            let event = channel
                .snapshot(bridge.headers(event), "")
                .header("TalkingStatus", if on { "on" } else { "off" })
                .header("Admin", yes_no(admin));
            self.emit("call", event);
        }
        true
    }

    /// The last user takes the room along. The answer is the recording that ends with it.
    fn close_room(&mut self, room: &str) -> Option<(String, Timestamp)> {
        if self
            .rooms
            .get(room)
            .is_none_or(|room| !room.users.is_empty())
        {
            return None;
        }
        self.room_device(room, "NOT_INUSE");
        self.room_event("ConfbridgeEnd", room, None, false);
        let closed = self.rooms.remove(room)?;
        if let Some(bridge) = self.bridges.get_mut(&closed.bridge) {
            bridge.helpers = 0;
        }
        self.bridge_event("BridgeDestroy", &closed.bridge);
        self.bridges.remove(&closed.bridge);
        closed.recording
    }
}

/// `ConfBridge(room,bridge profile,user profile,menu)`. A user profile whose name has `admin` in
/// it makes an admin.
pub(super) async fn join(here: &mut Here<'_>, data: &str) -> Done {
    let world = here.world;
    let mut parts = data.split(',').map(str::trim);
    let room = parts.next().unwrap_or_default().to_owned();
    let admin = parts
        .nth(1)
        .is_some_and(|profile| profile.contains("admin"));
    let locked = world
        .lock()
        .rooms
        .get(&room)
        .is_some_and(|room| room.locked);
    if room.is_empty() || (locked && !admin) {
        // The channel ends with cause 0, and no event tells of a conference (seen on 16.28 and
        // 22.10).
        world.change(|state| state.set_var(here.id, "CONFBRIDGE_RESULT", "FAILED"));
        return Done::Stopped(Stop::Ended(0));
    }
    let out = world.change(|state| {
        state.open_room(&room, here.id);
        let found = state.rooms.get_mut(&room)?;
        let bridge = found.bridge.clone();
        found.users.push(User {
            channel: here.id.to_owned(),
            admin,
            muted: false,
            kicked: false,
        });
        let out = state.enter(&bridge, here.id);
        state.room_event("ConfbridgeJoin", &room, Some(here.id), true);
        out
    });
    let Some(mut out) = out else {
        return Done::Next;
    };
    let stop = stay(world, here.id, &mut out, here.signal, |state| {
        let kicked = state.user(&room, here.id).is_some_and(|user| user.kicked);
        let result = if kicked { "KICKED" } else { "HANGUP" };
        state.set_var(here.id, "CONFBRIDGE_RESULT", result);
        state.room_event("ConfbridgeLeave", &room, Some(here.id), false);
        if let Some(found) = state.rooms.get_mut(&room) {
            found.users.retain(|user| user.channel != here.id);
        }
    })
    .await;
    if let Some((file, since)) = world.change(|state| state.close_room(&room)) {
        leave_file(world, &file, since);
    }
    stop.into()
}

/// The headers of `ConfbridgeList` before those of the channel.
pub(super) fn listed(
    to: MessageBuilder,
    (room, user): (&str, &User),
    seconds: u64,
    v16: bool,
) -> MessageBuilder {
    let list = to
        .header("Conference", room)
        .header("Admin", yes_no(user.admin))
        .header("MarkedUser", "No")
        .header("WaitMarked", "No")
        .header("EndMarked", "No");
    // Asterisk 16.28 lacks it.
    let any = (!v16).then_some("No");
    list.maybe("EndMarkedAny", any)
        .header("Waiting", "No")
        .header("Muted", yes_no(user.muted))
        .header("Talking", "No")
        .header("AnsweredTime", seconds.to_string())
}

pub(super) const fn yes_no(yes: bool) -> &'static str {
    if yes { "Yes" } else { "No" }
}
