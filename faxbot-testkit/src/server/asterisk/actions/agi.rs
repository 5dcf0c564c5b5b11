//! `AGI` (recording `11_asyncagi_incoming_accept`).

use super::given;
use crate::server::asterisk::{
    SeenAction, agi,
    connection::{Answer, error, success},
    world::World,
};

/// Puts a command into the queue of a channel. What comes of it is told by events.
pub(super) fn agi(world: &World, action: &SeenAction) -> Answer {
    let (Some(channel), Some(command)) = (given(action, "Channel"), given(action, "Command"))
    else {
        return error(action, "Both, Channel and Command are *required*");
    };
    let found = world
        .lock()
        .find(channel)
        .map(|channel| (channel.id.clone(), channel.name.clone()));
    let Some((id, name)) = found else {
        return error(action, &format!("Channel {channel} does not exist."));
    };
    if !agi::queue(world, &id, command, given(action, "CommandID")) {
        let why = format!("Failed to add AGI command to channel {name} queue");
        return error(action, &why);
    }
    success(action, "Added AGI command to queue")
}
