//! `conf/ROOM` (recordings `conference_two_sip_legs`, `call_control_hold_attach_record_conf`).

use std::sync::Arc;

use super::{
    channel::Kind,
    modules,
    msg::Msg,
    world::{Room, State, World},
};

/// A channel enters a room, which its first user makes.
pub(super) fn join(world: &Arc<World>, from: &str, target: &str, msg: &mut Msg) -> bool {
    let Some(name) = target.strip_prefix("conf/").filter(|name| !name.is_empty()) else {
        return false;
    };
    let (id, users) = world.change(|state| {
        let mut channel = state.make(Kind::Conf, false);
        channel.address = Some(name.to_owned());
        channel.room = Some(name.to_owned());
        let id = state.add(channel);
        state.connect(from, &id, &[&id, from], msg.get("reason"));
        let lonely = msg.flag("lonely");
        let room = state.rooms.entry(name.to_owned()).or_insert_with(|| Room {
            lonely,
            ..Room::default()
        });
        room.members.push(id.clone());
        let users = room.members.len();
        room.was_shared |= users > 1;
        state.cdr(from, "update", None);
        (id, users)
    });
    msg.set("peerid", id);
    msg.set("room", target);
    msg.set("newroom", (users == 1).to_string());
    msg.set("users", users.to_string());
    true
}

/// A `conf/N` is left alone: it is gone without `chan.hangup`. Whoever stays alone in a room that
/// had others is hung up.
pub(super) fn leave(state: &mut State, id: &str) {
    let Some(channel) = state.take(id) else {
        return;
    };
    let Some(name) = channel.room else { return };
    let Some(room) = state.rooms.get_mut(&name) else {
        return;
    };
    room.members.retain(|member| member != id);
    let last = match room.members.as_slice() {
        [] => {
            let recorder = state.rooms.remove(&name).and_then(|room| room.recorder);
            not_recorded(state, recorder);
            return;
        }
        [last] if room.was_shared && !room.lonely => last.clone(),
        _ => return,
    };
    let recorder = state.rooms.remove(&name).and_then(|room| room.recorder);
    not_recorded(state, recorder);
    let Some(user) = state.unlink(&last) else {
        return;
    };
    state.disconnected(&user, &[], Some(("reason", "hangup")));
    state.take(&last);
    state.left_alone(&user, Some("hangup"), None);
}

/// `call.conference` of a channel: it and its partner enter a room, each with a `conf/N` of its
/// own. The name of the room begins with `conf/` (`conference.cpp`).
pub(super) fn run(world: &Arc<World>, msg: &mut Msg) -> bool {
    let room = msg.text("room");
    if msg.channel.is_none() {
        return record(world, &room, msg);
    }
    let Some(id) = msg
        .channel
        .clone()
        .filter(|_| room.len() > 5 && room.starts_with("conf/"))
    else {
        return false;
    };
    let peer = world.change(|state| {
        let peer = state.channel(&id)?.peer.clone()?;
        if !state.channel(&peer)?.kind.is_call() {
            return None;
        }
        // Both stay while they change their partner.
        state.unlink(&id)
    });
    if msg.get("reason").is_none() {
        msg.set("reason", "conference");
    }
    let joined = join(world, &id, &room, msg);
    if let Some(peer) = peer {
        join(world, &peer, &room, &mut msg.clone());
    }
    joined
}

/// `call.conference` without a channel: a room is recorded, or no longer (`ConfRoom::setRecording`).
fn record(world: &Arc<World>, room: &str, msg: &mut Msg) -> bool {
    let (Some(name), Some(target)) = (room.strip_prefix("conf/"), msg.get("record")) else {
        return false;
    };
    let target = target.to_owned();
    let users = world.change(|state| {
        let before = state.rooms.get_mut(name)?.recorder.take();
        not_recorded(state, before);
        if !matches!(target.as_str(), "" | "-" | "no" | "false" | "disable") {
            let mut leg = state.make(Kind::Conf, true);
            leg.address = Some(name.to_owned());
            let leg = state.add(leg);
            let mut file = state.make(Kind::Wave, true);
            file.address = target.strip_prefix("wave/record/").map(str::to_owned);
            let file = state.add(file);
            state.connect(&leg, &file, &[&leg, &file], None);
            state.rooms.get_mut(name)?.recorder = Some((leg, file));
        }
        state.rooms.get(name).map(|room| room.members.len())
    });
    let Some(users) = users else { return false };
    msg.set("newroom", "false");
    msg.set("users", users.to_string());
    true
}

/// What recorded a room is gone.
fn not_recorded(state: &mut State, recorder: Option<(String, String)>) {
    let Some((leg, file)) = recorder else { return };
    state.unlink(&leg);
    state.take(&leg);
    state.disconnected(&file, &[], Some(("reason", "hangup")));
    state.take(&file);
}

/// `chan.control` of a member: it is muted, or no longer.
pub(super) fn control(world: &Arc<World>, msg: &Msg) -> bool {
    let target = modules::destination("conf", msg).to_owned();
    msg.get("mute").is_some() && world.lock().channel(&target).is_some()
}
