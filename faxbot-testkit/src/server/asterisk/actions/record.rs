//! `MixMonitor` and its companions (recordings `05_mixmonitor`, `02_errors`).

use std::sync::Arc;

use super::given;
use crate::server::asterisk::{
    SeenAction,
    connection::{Answer, error, response},
    recording,
    world::World,
};

/// `Uniqueid` of the channel that an action names, or the refusal.
fn channel(world: &World, action: &SeenAction) -> Result<String, Answer> {
    let Some(name) = given(action, "Channel") else {
        return Err(error(action, "No channel specified"));
    };
    let found = world.lock().find(name).map(|channel| channel.id.clone());
    found.ok_or_else(|| error(action, "No such channel"))
}

/// A success without a text, as all of these answer.
fn done(action: &SeenAction) -> Answer {
    Answer::one(response(action, "Success"))
}

pub(super) fn start(world: &Arc<World>, action: &SeenAction) -> Answer {
    let id = match channel(world, action) {
        Ok(id) => id,
        Err(refusal) => return refusal,
    };
    let file = action.get("File").unwrap_or_default();
    let options = action.get("Options").unwrap_or_default();
    match recording::start(world, &id, file, options) {
        Some(monitor) => Answer::one(response(action, "Success").maybe("MixMonitorID", monitor)),
        None => error(action, "Could not start monitoring channel"),
    }
}

pub(super) fn stop(world: &World, action: &SeenAction) -> Answer {
    match channel(world, action) {
        Ok(id) if recording::stop(world, &id, given(action, "MixMonitorID"), true) => done(action),
        Ok(_) => error(action, "Could not stop monitoring channel"),
        Err(refusal) => refusal,
    }
}

pub(super) fn mute(world: &World, action: &SeenAction) -> Answer {
    let Some(direction) = given(action, "Direction") else {
        return error(
            action,
            "No direction specified. Must be read, write or both",
        );
    };
    let direction = direction.to_ascii_lowercase();
    if !matches!(direction.as_str(), "read" | "write" | "both") {
        let why = "Invalid direction specified. Must be read, write or both";
        return error(action, why);
    }
    if given(action, "Channel").is_none() {
        return error(action, "No channel specified");
    }
    let Some(word) = given(action, "State") else {
        return error(action, "No state specified");
    };
    let id = match channel(world, action) {
        Ok(id) => id,
        Err(refusal) => return refusal,
    };
    let muted = matches!(word, "1" | "true" | "yes" | "on" | "y" | "t");
    let monitor = given(action, "MixMonitorID");
    let known = world.change(|state| {
        let count = recording::count(state, &id, monitor);
        if count == 0 && monitor.is_some() {
            return false;
        }
        let headers = [
            ("Direction", direction.as_str()),
            ("State", if muted { "1" } else { "0" }),
        ];
        state.channel_event("MixMonitorMute", "call", &id, &headers);
        true
    });
    if known {
        done(action)
    } else {
        error(action, "Cannot set mute flag")
    }
}
