//! Devices and hints: what a test says of them, and the events that tell of it
//! (recording `05_pjsip_show`).

use super::{
    MockAsterisk,
    world::{World, start},
};

/// `Status` and `StatusText` of an extension (`ast_extension_states` in `main/pbx.c`).
const EXTENSION_STATES: [(i32, &str); 8] = [
    (0, "Idle"),
    (1, "InUse"),
    (2, "Busy"),
    (4, "Unavailable"),
    (8, "Ringing"),
    (9, "InUse&Ringing"),
    (16, "Hold"),
    (17, "InUse&Hold"),
];

/// A hint of the dialplan with its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hint {
    pub context: String,
    pub exten: String,
    pub device: String,
    pub status: i32,
}

pub(super) fn status_text(status: i32) -> &'static str {
    EXTENSION_STATES
        .iter()
        .find(|(known, _)| *known == status)
        .map_or("Unknown", |(_, text)| text)
}

impl MockAsterisk {
    /// The state of a device changes, such as `PJSIP/alice` to `UNAVAILABLE`: the words are those
    /// of Asterisk's `DeviceStateChange` (`NOT_INUSE`, `INUSE`, `BUSY`, `RINGING`, `ONHOLD`, ..).
    pub fn device_state(&self, device: &str, state: &str) {
        self.world().change(|all| {
            all.features
                .devices
                .insert(device.to_owned(), state.to_owned());
            let event = start("DeviceStateChange", "call")
                .header("Device", device)
                .header("State", state);
            all.emit("call", event);
        });
    }

    /// The state of an extension that has a hint for a device changes, to a `Status` of Asterisk's
    /// `ExtensionStatus`: 0 idle, 1 in use, 2 busy, 4 unavailable, 8 ringing, 16 on hold.
    pub fn extension_state(&self, context: &str, exten: &str, device: &str, status: i32) {
        set_hint(
            self.world(),
            Hint {
                context: context.to_owned(),
                exten: exten.to_owned(),
                device: device.to_owned(),
                status,
            },
        );
    }
}

fn set_hint(world: &World, hint: Hint) {
    world.change(|state| {
        let event = start("ExtensionStatus", "call")
            .header("Exten", &hint.exten)
            .header("Context", &hint.context)
            .header("Hint", &hint.device)
            .header("Status", hint.status.to_string())
            .header("StatusText", status_text(hint.status));
        let hints = &mut state.features.hints;
        hints.retain(|old| (&old.context, &old.exten) != (&hint.context, &hint.exten));
        hints.push(hint);
        state.emit("call", event);
    });
}
