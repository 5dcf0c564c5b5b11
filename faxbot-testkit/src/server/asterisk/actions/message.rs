//! `MessageSend` (recordings `05_message_send`, `02_errors`).

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::given;
use crate::server::asterisk::{
    SeenAction, SentMessage,
    connection::{Answer, error, success},
    originate::split_arguments,
    world::World,
};

/// Longest decoded body (`action_messagesend` in `main/message.c`).
const MAX_BODY: usize = 1300;

/// Success only says that the message was handed to the SIP stack.
pub(super) fn message_send(world: &World, action: &SeenAction) -> Answer {
    let (destination, to) = match (given(action, "Destination"), given(action, "To")) {
        (Some(destination), to) => (destination, to),
        (None, Some(to)) => (to, None),
        (None, None) => return error(action, "No 'To' address specified."),
    };
    let technology = destination
        .split_once(':')
        .map(|(technology, _)| technology);
    if !technology.is_some_and(|technology| technology.eq_ignore_ascii_case("pjsip")) {
        return error(action, "Message technology not found.");
    }
    let address = destination.split_once(':').map_or("", |(_, rest)| rest);
    // What names no endpoint, such as a bare URI, needs a default outbound endpoint, which the
    // server does not have.
    let endpoint = address.split('/').next().unwrap_or_default();
    let unknown = world.lock().features.no_endpoints.contains(endpoint);
    if endpoint.contains(['@', ':']) || endpoint.is_empty() || unknown {
        return error(action, "Message failed to send.");
    }
    let body = match given(action, "Base64Body") {
        Some(text) => {
            let mut bytes = STANDARD.decode(text).unwrap_or_default();
            bytes.truncate(MAX_BODY);
            String::from_utf8_lossy(&bytes).into_owned()
        }
        None => action.get("Body").unwrap_or_default().to_owned(),
    };
    let headers = action
        .all("Variable")
        .flat_map(split_arguments)
        .filter_map(|piece| {
            let (name, value) = piece.split_once('=')?;
            Some((name.to_owned(), value.to_owned()))
        })
        .collect();
    let message = SentMessage {
        destination: destination.to_owned(),
        to: to.map(str::to_owned),
        from: action.get("From").unwrap_or_default().to_owned(),
        body,
        headers,
    };
    world.change(|state| state.sent(message));
    success(action, "Message successfully sent")
}
