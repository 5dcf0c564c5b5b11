//! Device and extension states (recording `05_pjsip_show`).

use faxbot_sip::protocol::ami::server::MessageBuilder;

use super::{item, list};
use crate::server::asterisk::{
    SeenAction,
    connection::{Answer, response},
    presence::{Hint, status_text},
    world::World,
};

pub(super) fn device_state_list(world: &World, action: &SeenAction) -> Answer {
    let state = world.lock();
    let items = state.features.devices.iter().map(|(device, word)| {
        item("DeviceStateChange", action)
            .header("Device", device)
            .header("State", word)
    });
    list(
        action,
        ("start", "Device State Changes will follow"),
        items.collect(),
        ("DeviceStateListComplete", &[]),
    )
}

pub(super) fn extension_state_list(world: &World, action: &SeenAction) -> Answer {
    let state = world.lock();
    let items = state
        .features
        .hints
        .iter()
        .map(|hint| headers(item("ExtensionStatus", action), hint));
    list(
        action,
        ("start", "Extension Statuses will follow"),
        items.collect(),
        ("ExtensionStateListComplete", &[]),
    )
}

/// An extension without a hint is no error: its status is -1.
pub(super) fn extension_state(world: &World, action: &SeenAction) -> Answer {
    let text = |name: &str| action.get(name).unwrap_or_default().to_owned();
    let (context, exten) = (text("Context"), text("Exten"));
    let state = world.lock();
    let known = state
        .features
        .hints
        .iter()
        .find(|hint| hint.context == context && hint.exten == exten);
    let hint = known.cloned().unwrap_or(Hint {
        context,
        exten,
        device: String::new(),
        status: -1,
    });
    let reply = response(action, "Success").header("Message", "Extension Status");
    Answer::one(headers(reply, &hint))
}

fn headers(to: MessageBuilder, hint: &Hint) -> MessageBuilder {
    to.header("Exten", &hint.exten)
        .header("Context", &hint.context)
        .header("Hint", &hint.device)
        .header("Status", hint.status.to_string())
        .header("StatusText", status_text(hint.status))
}
