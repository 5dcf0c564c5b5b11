//! Messages by the server's linphone daemon.

use faxbot_core::{
    Error, ErrorKind, Result,
    address::Address,
    message::{MessageKind, MessageResult, MessageState, MessageStatus},
    sip::{AdapterKind, SipEvent, SipMessage},
};

use super::{config::with_domain, core::Core};

const OPERATION: &str = "send_message";

/// Hands a text to the server; see [`SipAdapter::send_message`](faxbot_core::sip::SipAdapter::send_message).
pub(super) async fn send(core: &Core, message: SipMessage) -> Result<MessageResult> {
    let wrong = |text: &'static str| Error::new(ErrorKind::InvalidRequest, OPERATION, text);
    if message.from.is_some() {
        return Err(wrong("the daemon has one account of its own to send from"));
    }
    if !message.content.media.is_empty() || message.content.kind != MessageKind::Sip {
        return Err(wrong("only texts over SIP can be sent"));
    }
    let to = to(core, &message.to);
    let result = core.api()?.send_message(&to, &message.content.text).await;
    match &result {
        Ok(_) => core.hub.health().succeeded(),
        Err(error) => core.hub.health().failed(error),
    }
    let id = result?;
    core.hub.events(|_, _| {
        let status = MessageStatus::new(id.as_str(), MessageState::HandedOver);
        vec![SipEvent::MessageStatusChanged(status)]
    });
    let provider = AdapterKind::FLEXISIP;
    Ok(MessageResult::new(id, provider.as_str(), MessageKind::Sip))
}

/// The address as the daemon has it: `user@domain`.
fn to(core: &Core, to: &Address) -> String {
    let realm = &core.config.realm;
    match to {
        Address::PhoneNumber(number) => with_domain(number.expose(), realm),
        Address::Extension(user) => with_domain(user.expose(), realm),
        Address::SipUri(uri) => uri.expose().to_owned(),
        Address::Native(text) => text.expose().to_owned(),
        _ => String::new(),
    }
}
