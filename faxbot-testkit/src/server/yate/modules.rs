//! What the modules of the engine do with the messages that reach them.

use std::sync::Arc;

use super::{
    conference, execute, hangup, masquerade, media,
    msg::Msg,
    progress, route, status, text,
    world::{State, World},
};

/// The driver that a target or a channel id names.
pub(super) fn prefix(text: &str) -> &str {
    text.split_once('/').map_or("", |(prefix, _)| prefix)
}

/// The channel of a module that a message is for: its sender's partner, else the one it names.
pub(super) fn destination<'a>(module: &str, msg: &'a Msg) -> &'a str {
    let peer = msg.get("peerid").unwrap_or_default();
    if prefix(peer) == module {
        return peer;
    }
    let target = msg.get("targetid").unwrap_or_default();
    if prefix(target) == module { target } else { "" }
}

/// Whether a module takes a message that the engine has queued. It only says so: what the message
/// stands for has happened.
pub(super) fn takes_event(state: &State, module: &str, msg: &mut Msg) -> bool {
    match msg.name.as_str() {
        "call.update" if module == "sip" => {
            update(state, msg);
            false
        }
        "call.ringing" | "call.progress" | "call.answered" => {
            let target = destination(module, msg);
            // Nobody routes it on to a leg that the engine has called itself.
            state
                .channel(target)
                .is_some_and(|channel| channel.incoming)
        }
        "chan.rtp" => true,
        _ => false,
    }
}

/// The partner of a SIP leg that has changed is told, and has no call that it could change
/// (recording `hold_by_phone_reinvite`).
fn update(state: &State, msg: &mut Msg) {
    let peer = destination("sip", msg);
    if msg.get("id") != Some(peer) && state.channel(peer).is_some() {
        msg.set("error", "nocall");
    }
}

/// A module gets a message. Whether it took it.
pub(super) async fn handle(world: &Arc<World>, module: &str, msg: &mut Msg) -> bool {
    match (msg.name.as_str(), module) {
        ("call.execute", _) if prefix(msg.get("callto").unwrap_or_default()) == module => {
            execute::run(world, module, msg).await
        }
        ("call.route", "regexroute") => route::run(world, msg),
        ("call.drop", _) => hangup::drop_call(world, module, msg),
        ("chan.locate", _) => masquerade::locate(world, module, msg),
        ("engine.halt", _) => {
            // The drivers drop what they have; the engine itself goes on.
            hangup::drop_call(world, module, &Msg::new("call.drop"));
            false
        }
        ("chan.masquerade", _) => {
            masquerade::run(world, module, msg);
            false
        }
        ("chan.connect", "pbx") => masquerade::connect(world, msg),
        ("call.conference", "conf") => conference::run(world, msg),
        ("chan.attach", _) => media::attach(world, module, msg),
        ("chan.record", "wave") => media::record(world, msg),
        ("chan.dtmf", "sip") => media::send_digits(world, module, msg),
        ("chan.control", "conf") => conference::control(world, msg),
        ("chan.control", _) => status::control(world, module, msg),
        ("call.ringing" | "call.progress" | "call.answered", _) => {
            progress::by_client(world, module, msg)
        }
        ("call.update", "sip") => {
            update(&world.lock(), msg);
            false
        }
        ("engine.status", _) => status::run(world, module, msg),
        ("engine.command", "engine") => status::command(msg, world.config.fax),
        ("msg.execute", "sip") => text::execute(world, msg),
        ("xsip.generate", "sip") => text::generate(world, msg).await,
        _ => false,
    }
}
