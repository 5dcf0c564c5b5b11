//! `chan.masquerade` and `chan.connect` (recordings `sip_click_to_dial_ok`,
//! `transfer_masquerade_execute`, `call_control_hold_attach_record_conf`).

use std::sync::Arc;

use super::{msg::Msg, world::World};

/// The message becomes another one about a channel. Nothing happens for an unknown one.
pub(super) fn run(world: &Arc<World>, module: &str, msg: &mut Msg) {
    let id = msg.text("id");
    let mut state = world.lock();
    let Some(channel) = state
        .channel_mut(&id)
        .filter(|it| it.kind.module() == module)
    else {
        return;
    };
    msg.name = msg.text("message");
    msg.clear("message");
    if msg.name == "chan.dtmf" && msg.get("sequence").is_none() {
        channel.digits += 1;
        msg.set("sequence", channel.digits.to_string());
        msg.set("duplicate", "false");
    }
    for (name, value) in channel.complete() {
        msg.set(&name, value);
    }
    msg.channel = Some(id);
}

/// `chan.locate`: all that is known of a channel.
pub(super) fn locate(world: &Arc<World>, module: &str, msg: &mut Msg) -> bool {
    let state = world.lock();
    let channel = state.channel(msg.get("id").unwrap_or_default());
    let Some(channel) = channel.filter(|it| it.kind.module() == module) else {
        return false;
    };
    for (name, value) in channel.complete() {
        msg.set(&name, value);
    }
    true
}

/// Two channels are connected to each other; their partners are hung up.
pub(super) fn connect(world: &Arc<World>, msg: &Msg) -> bool {
    let (from, to) = (msg.text("id"), msg.text("targetid"));
    world.change(|state| {
        let known = |id: &str| state.channel(id).is_some_and(|it| it.kind.is_call());
        if from == to || !known(&from) || !known(&to) {
            return false;
        }
        state.connect(&from, &to, &[&from, &to], msg.get("reason"));
        true
    })
}
