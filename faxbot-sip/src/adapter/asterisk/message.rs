//! Messages over SIP in both directions (RFC 3428).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use faxbot_core::{
    Error, ErrorKind, Private, Result,
    address::Address,
    id::RequestId,
    message::{MessageContent, MessageKind, MessageResult, MessageState, MessageStatus},
    sip::{AdapterKind, SipEvent, SipMessage},
};

use super::{config::AsteriskConfig, core::Core, request::action, server::Server};
use crate::protocol::ami::{MAX_LINE, Message};

const OPERATION: &str = "send_message";

/// What carries the text: whatever it holds, line breaks too.
const BODY: &str = "Base64Body";

/// Bytes of a text that fit into one line of the manager, as base64.
const MAX_TEXT: usize = (MAX_LINE - BODY.len() - ": ".len()) / 4 * 3;

/// The name of the event that the operator's dialplan sends of a message.
const EVENT: &str = "FaxbotMessage";

/// The one channel that messages come on (`main/message.c`).
const CHANNEL: &[u8] = b"Message/ast_msg_queue";

/// The longest sender of a message that comes in, in bytes of base64.
const MAX_SENDER: usize = 1368;

/// The longest text of one that comes in, in bytes of base64. Asterisk itself loses a text of 1,024
/// bytes or more (observed on Asterisk 16.28 and 22.10: the event has an empty `Body64`).
const MAX_BODY: usize = 64 * 1024;

/// A `UserEvent`: that of our snippet brings a message. Any account with the right `user` can send one,
/// but not on the channel of messages.
pub(super) fn received(event: &Message) -> Vec<SipEvent> {
    if !is_ours(event) {
        return Vec::new();
    }
    let Some((from, text)) = read(event) else {
        tracing::debug!(
            "asterisk: an event of a message that is none of the dialplan's is ignored"
        );
        return Vec::new();
    };
    if text.is_empty() {
        tracing::warn!("asterisk: a message came in whose text the server did not hand over");
    }
    vec![SipEvent::MessageReceived {
        from: Private::new(from),
        content: MessageContent::text(MessageKind::Sip, text),
    }]
}

/// Whether a `UserEvent` is that of our snippet.
pub(super) fn is_ours(event: &Message) -> bool {
    event
        .get_str("UserEvent")
        .is_some_and(|name| name.eq_ignore_ascii_case(EVENT))
}

fn read(event: &Message) -> Option<(String, String)> {
    if event.get_all("Channel").next() != Some(CHANNEL) {
        return None;
    }
    // Both in base64: an open bracket in the name of a sender would take in the arguments behind it.
    let text = |header, most| {
        let value = event.get_all(header).next()?;
        let bytes = (value.len() <= most).then(|| STANDARD.decode(value).ok())??;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    };
    let (from, body) = (text("From64", MAX_SENDER)?, text("Body64", MAX_BODY)?);
    let from = from.trim();
    (!from.is_empty()).then(|| (from.to_owned(), body))
}

/// Hands a message to the server. Nothing tells what becomes of it there: it answers success also when
/// nobody listens (`05_message_send`).
pub(super) async fn send(
    core: &Core,
    server: Server,
    message: SipMessage,
) -> Result<MessageResult> {
    let text = text(&message.content)?;
    // `To` alone is the destination in every version; `Destination` came later.
    let to = destination(&core.config, &message.to)?;
    let from = message.from.as_ref().map(sender).transpose()?;
    let body = STANDARD.encode(text);
    let mut headers = vec![("To", to.as_str()), (BODY, body.as_str())];
    headers.extend(from.as_deref().map(|from| ("From", from)));
    server
        .order(action("MessageSend", &headers, OPERATION)?, OPERATION)
        .await?;
    let id = RequestId::new().as_uuid().to_string();
    core.events(|_, _| {
        let status = MessageStatus::new(id.as_str(), MessageState::HandedOver);
        vec![SipEvent::MessageStatusChanged(status)]
    });
    let server = AdapterKind::ASTERISK;
    Ok(MessageResult::new(id, server.as_str(), MessageKind::Sip))
}

fn text(content: &MessageContent) -> Result<&str> {
    if content.kind != MessageKind::Sip {
        return Err(invalid("this adapter sends messages of the type sip only"));
    }
    if !content.media.is_empty() {
        return Err(invalid("a message over SIP has text only, no media"));
    }
    let text = content.text.as_str();
    if text.is_empty() || text.len() > MAX_TEXT {
        return Err(invalid(&format!(
            "a message over SIP has 1 to {MAX_TEXT} bytes of text; send several"
        )));
    }
    // It would end the text at the server.
    if text.contains('\0') {
        return Err(invalid("a text cannot hold the character NUL"));
    }
    Ok(text)
}

fn destination(config: &AsteriskConfig, to: &Address) -> Result<String> {
    match to {
        Address::PhoneNumber(_) | Address::Extension(_) => {
            config.message_to.fill(to, &config.number_format)
        }
        Address::SipUri(uri) => match &config.sip_message_to {
            Some((before, after)) => Ok(format!("{before}{}{after}", uri.expose())),
            None => Err(invalid(
                "set options.sip_message_to (pjsip:endpoint/{uri}) to send to SIP URIs",
            )),
        },
        Address::Native(native) => Ok(native.expose().clone()),
        _ => Err(Error::unsupported(OPERATION)),
    }
}

/// The server takes a URI, with or without a name, and puts it into the message as it is.
fn sender(from: &Address) -> Result<String> {
    match from {
        Address::SipUri(uri) => Ok(uri.expose().to_owned()),
        Address::Native(native) => Ok(native.expose().clone()),
        _ => Err(invalid("the sender of a message over SIP is a SIP URI")),
    }
}

fn invalid(message: &str) -> Error {
    Error::new(ErrorKind::InvalidRequest, OPERATION, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_text_fits_into_a_line_and_one_byte_more_is_refused() {
        let content = |length| MessageContent::text(MessageKind::Sip, "x".repeat(length));
        let longest = content(MAX_TEXT);
        let body = STANDARD.encode(text(&longest).unwrap());
        assert!(action("MessageSend", &[(BODY, &body)], OPERATION).is_ok());
        let longer = text(&content(MAX_TEXT + 1)).unwrap_err();
        assert_eq!(longer.kind(), ErrorKind::InvalidRequest);
    }

    #[test]
    fn only_texts_of_the_type_sip_are_sent() {
        let media = "https://example.org/x.png".parse().unwrap();
        for content in [
            MessageContent::text(MessageKind::Sms, "hello"),
            MessageContent::text(MessageKind::Sip, ""),
            MessageContent::text(MessageKind::Sip, "a\0b"),
            MessageContent::text(MessageKind::Sip, "hello").with_media([media]),
        ] {
            let refused = text(&content).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::InvalidRequest, "{content:?}");
        }
    }
}
