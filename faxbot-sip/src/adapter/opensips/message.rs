//! Requests that the server sends for us: messages (RFC 3428) and OPTIONS.
//!
//! `t_uac_dlg` answers when the SIP transaction has ended. Over HTTP it keeps the one process of the
//! management interface, and with it everybody who asks, until then; over `mi_datagram` it does not
//! (recording `04_async_call_blocks_the_http_process`).

use std::time::Duration;

use faxbot_core::{
    Effect, Error, ErrorKind, Result,
    address::Address,
    id::RequestId,
    message::{MessageContent, MessageKind, MessageResult, MessageState, MessageStatus},
    sip::{AdapterKind, SipEvent, SipMessage},
};
use serde_json::{Value, json};

use super::{
    config::OpenSipsConfig,
    core::Core,
    server::{Server, named},
    target,
    wire::users::SentAnswer,
};

const SEND: &str = "send_message";
const PING: &str = "options_ping";

/// Bytes of a text. A long one needs a transport between the servers that carries it: over UDP a
/// message above 1,300 bytes may not arrive (RFC 3428 section 8).
const MAX_TEXT: usize = 8 * 1024;

/// What came back to a request that the server sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pong {
    /// The status of the final response: any of them proves that somebody is there.
    pub status: u16,
    /// How long it took, the server's own time included: over HTTP it looks for the answer every 0.5 s.
    pub took: Duration,
}

/// Sends a text; see [`SipAdapter::send_message`](faxbot_core::sip::SipAdapter::send_message).
pub(super) async fn send(core: &Core, server: &Server, what: SipMessage) -> Result<MessageResult> {
    let text = text(&what.content)?;
    let to = target::uri(&core.config, &what.to, SEND)?;
    let from = sender(&core.config, what.from.as_ref())?;
    let id = RequestId::new().as_uuid().to_string();
    // Our own Call-ID: the message can be found in traces by the id that the caller has.
    let headers = format!(
        "From: <{from}>\r\nTo: <{to}>\r\nCall-ID: {id}\r\nContent-Type: text/plain;charset=UTF-8\r\n"
    );
    let values = [
        ("method", json!("MESSAGE")),
        ("ruri", json!(to)),
        ("headers", json!(headers)),
        ("body", json!(text)),
    ];
    let request = named("t_uac_dlg", values, SEND)?;
    let answer: SentAnswer = {
        let _slow = core.slow(server);
        server.send(request, SEND).await.map_err(Error::from)?
    };
    let (status, words) = status(&answer, SEND)?;
    if !(200..300).contains(&status) {
        return Err(not_taken(status, words));
    }
    core.hub.events(|_, _| {
        let status = MessageStatus::new(id.as_str(), MessageState::Sent);
        vec![SipEvent::MessageStatusChanged(status)]
    });
    let provider = AdapterKind::OPENSIPS;
    Ok(MessageResult::new(id, provider.as_str(), MessageKind::Sip))
}

/// Asks a party whether it is there.
pub(super) async fn ping(core: &Core, server: &Server, to: &Address) -> Result<Pong> {
    let to = target::uri(&core.config, to, PING)?;
    let from = sender(&core.config, None)?;
    let headers = format!("From: <{from}>\r\nTo: <{to}>\r\n");
    let values: [(&str, Value); 3] = [
        ("method", json!("OPTIONS")),
        ("ruri", json!(to)),
        ("headers", json!(headers)),
    ];
    let request = named("t_uac_dlg", values, PING)?;
    let begun = core.hub.clock.now();
    let answer: SentAnswer = {
        let _slow = core.slow(server);
        server.send(request, PING).await.map_err(Error::from)?
    };
    let took = core.hub.clock.now().saturating_duration_since(begun);
    let (status, words) = status(&answer, PING)?;
    if status == 408 {
        let message = "nobody answered there in time";
        let error = Error::new(ErrorKind::Timeout, PING, message);
        return Err(error
            .with_effect(Effect::NoEffect)
            .with_native(Some(status.to_string()), Some(words.to_owned())));
    }
    Ok(Pong { status, took })
}

fn status<'a>(answer: &'a SentAnswer, operation: &'static str) -> Result<(u16, &'a str)> {
    answer.status().ok_or_else(|| {
        let message = "the server sent the request and did not tell what came back";
        Error::new(ErrorKind::OutcomeUnknown, operation, message)
    })
}

fn not_taken(status: u16, words: &str) -> Error {
    let native = (Some(status.to_string()), Some(words.to_owned()));
    if status == 408 {
        // The message may have arrived all the same.
        let message = "nobody answered the message in time";
        return Error::new(ErrorKind::Timeout, SEND, message)
            .with_effect(Effect::Unknown)
            .with_native(native.0, native.1);
    }
    let message = "the far end did not take the message";
    Error::new(ErrorKind::Rejected, SEND, message).with_native(native.0, native.1)
}

fn text(content: &MessageContent) -> Result<&str> {
    let invalid = |message: &str| Err(target::invalid(SEND, message));
    if content.kind != MessageKind::Sip {
        return invalid("this adapter sends messages of the type sip only");
    }
    if !content.media.is_empty() {
        return invalid("a message over SIP has text only, no media");
    }
    let text = content.text.as_str();
    if text.is_empty() || text.len() > MAX_TEXT {
        return invalid(&format!(
            "a message over SIP has 1 to {MAX_TEXT} bytes of text; send several"
        ));
    }
    if text.contains('\0') {
        return invalid("a text cannot hold the character NUL");
    }
    Ok(text)
}

fn sender(config: &OpenSipsConfig, from: Option<&Address>) -> Result<String> {
    match from {
        None => Ok(config.sender.clone()),
        Some(Address::SipUri(uri)) => Ok(uri.expose().to_owned()),
        Some(_) => Err(target::invalid(
            SEND,
            "the sender of a message over SIP is a SIP URI",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_texts_of_the_type_sip_are_sent() {
        let media = "https://example.org/x.png".parse().unwrap();
        for content in [
            MessageContent::text(MessageKind::Sms, "hello"),
            MessageContent::text(MessageKind::Sip, ""),
            MessageContent::text(MessageKind::Sip, "a\0b"),
            MessageContent::text(MessageKind::Sip, "x".repeat(MAX_TEXT + 1)),
            MessageContent::text(MessageKind::Sip, "hello").with_media([media]),
        ] {
            let refused = text(&content).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::InvalidRequest, "{content:?}");
        }
    }

    #[test]
    fn a_refusal_is_certain_and_silence_is_not() {
        let rejected = not_taken(404, "Not Found");
        assert_eq!(
            (rejected.kind(), rejected.effect()),
            (ErrorKind::Rejected, Effect::NoEffect)
        );
        assert_eq!(rejected.native_code(), Some("404"));
        let silent = not_taken(408, "Request Timeout");
        assert_eq!(
            (silent.kind(), silent.effect()),
            (ErrorKind::Timeout, Effect::Unknown)
        );
    }
}
