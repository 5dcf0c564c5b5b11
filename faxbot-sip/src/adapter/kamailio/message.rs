//! Messages over SIP (RFC 3428), and OPTIONS.

use faxbot_core::{
    Effect, Error, ErrorKind, Result,
    address::SipUri,
    id::RequestId,
    message::{MessageKind, MessageResult, MessageState, MessageStatus},
    sip::{AdapterKind, SipEvent, SipMessage},
};

use super::{
    core::Core,
    place::uri,
    wire::{SipReply, Uac},
};

const OPERATION: &str = "send_message";

/// Bytes of a text: the whole request has to fit into what the server reads at once (16 KiB,
/// `tcp_rd_buf_size`).
const MAX_TEXT: usize = 8 * 1024;

/// Sends a text; see [`SipAdapter::send_message`](faxbot_core::sip::SipAdapter::send_message).
pub(super) async fn send(core: &Core, message: SipMessage) -> Result<MessageResult> {
    let content = &message.content;
    let refused = |text| Err(Error::new(ErrorKind::InvalidRequest, OPERATION, text));
    if content.kind != MessageKind::Sip {
        return refused("a message over sip is of the kind sip");
    }
    if !content.media.is_empty() {
        return refused("a sip message carries text, no media");
    }
    if content.text.is_empty() || content.text.len() > MAX_TEXT {
        return refused("a sip message has 1 byte to 8 KiB of text");
    }
    let to = uri(&core.config, &message.to, OPERATION)?;
    let from = match &message.from {
        Some(from) => uri(&core.config, from, OPERATION)?,
        None => core.config.controller.expose().to_owned(),
    };
    let id = RequestId::new().as_uuid().to_string();
    let uac = Uac {
        method: "MESSAGE",
        to: &to,
        from: &from,
        next_hop: core.config.outbound_proxy.as_ref().map(SipUri::expose),
        call_id: &format!("{id}@faxbot"),
        body: Some(("text/plain;charset=UTF-8", &content.text)),
    };
    let server = core.server(OPERATION)?;
    let done = match server.send(&uac, true, OPERATION).await {
        Ok(reply) => said(&reply),
        Err(error) => Err(error),
    };
    match &done {
        Ok(_) => core.hub.health().succeeded(),
        Err(error) => core.hub.health().failed(error),
    }
    let state = done?;
    core.hub.events(|_, _| {
        let status = MessageStatus::new(id.as_str(), state);
        vec![SipEvent::MessageStatusChanged(status)]
    });
    let provider = AdapterKind::KAMAILIO;
    Ok(MessageResult::new(id, provider.as_str(), MessageKind::Sip))
}

/// What the answer means for the message.
fn said(reply: &SipReply) -> Result<MessageState> {
    let native = |error: Error| {
        let text = (!reply.reason.is_empty()).then(|| reply.reason.clone());
        error.with_native(Some(reply.status.to_string()), text)
    };
    if reply.is_success() {
        return Ok(MessageState::Sent);
    }
    if !reply.was_received() {
        // The request was sent, again and again; what a phone took and did not answer to is unknown.
        let message = "nobody answered the message";
        let error = Error::new(ErrorKind::Timeout, OPERATION, message);
        return Err(native(error.with_effect(Effect::Unknown)));
    }
    let message = "the far end refused the message";
    Err(native(Error::new(ErrorKind::Rejected, OPERATION, message)))
}

/// Asks a phone or a server whether it is there.
pub(super) async fn ping(core: &Core, to: &str) -> Result<SipReply> {
    const OPERATION: &str = "options_ping";
    let id = RequestId::new().as_uuid();
    let uac = Uac {
        method: "OPTIONS",
        to,
        from: core.config.controller.expose(),
        next_hop: core.config.outbound_proxy.as_ref().map(SipUri::expose),
        call_id: &format!("{id}@faxbot"),
        body: None,
    };
    core.server(OPERATION)?.send(&uac, false, OPERATION).await
}
