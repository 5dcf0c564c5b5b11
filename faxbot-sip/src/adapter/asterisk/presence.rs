//! The state of devices and extensions.

use faxbot_core::{Private, sip::SipEvent};

use crate::protocol::ami::Message;

/// `DeviceStateChange` and `ExtensionStatus` (`05_pjsip_show`), in the server's words: of a device those
/// of `ast_devstate_str` (`NOT_INUSE`, `RINGINUSE`), of an extension those of `extension_states` in
/// `main/pbx.c` (`Idle`, `InUse&Ringing`).
pub(super) fn changed(event: &Message) -> Vec<SipEvent> {
    let text = |header: &str| event.get_str(header).map(std::borrow::Cow::into_owned);
    let (watched, state) = if event.is_event("DeviceStateChange") {
        (text("Device"), text("State"))
    } else {
        let exten = text("Exten").zip(text("Context"));
        let watched = exten.map(|(exten, context)| format!("{exten}@{context}"));
        (watched, text("StatusText"))
    };
    let event = watched
        .zip(state)
        .map(|(watched, state)| SipEvent::PresenceChanged {
            watched: Private::new(watched),
            state,
        });
    event.into_iter().collect()
}
