//! `conf/ROOM` (recordings `conference_two_sip_legs`, `call_control_hold_attach_record_conf`).

use std::sync::Arc;

use super::{
    channel::Kind,
    msg::Msg,
    world::{State, World},
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
        let room = state.rooms.entry(name.to_owned()).or_default();
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
            state.rooms.remove(&name);
            return;
        }
        [last] if room.was_shared => last.clone(),
        _ => return,
    };
    state.rooms.remove(&name);
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
