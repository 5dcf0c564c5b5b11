//! Messages over SIP in both directions (RFC 3428).

use faxbot_core::{
    Error, ErrorKind, Private, Result,
    address::Address,
    id::RequestId,
    message::{MessageContent, MessageKind, MessageResult, MessageState, MessageStatus},
    sip::{AdapterKind, SipEvent, SipMessage},
};

use super::{
    config::YateConfig,
    core::Core,
    request::{self, Target},
    server::{Server, message, refusal, refused},
};
use crate::protocol::yate::{Command, Message};

const OPERATION: &str = "send_message";

/// Bytes of a text: it has to fit into one line with all that stands beside it, and each byte may be
/// escaped.
const MAX_TEXT: usize = 16 * 1024;

/// Bytes of a text that comes in.
const MAX_BODY: usize = 64 * 1024;

/// Where messages are routed to: nothing of the engine's goes there.
pub(super) fn address(config: &YateConfig) -> String {
    format!("{}/message", config.instance)
}

/// A message came in for us. Whether it is taken: the sender gets 200 then, else 405.
pub(super) fn received(core: &Core, message: &Message<'_>) -> bool {
    let text = |name: &str| message.text(name).unwrap_or_default();
    // One that the routes send elsewhere is not ours.
    if !core.config.incoming || text("callto") != address(&core.config) {
        return false;
    }
    let kind = text("xsip_type");
    if !kind.is_empty() && !kind.to_ascii_lowercase().starts_with("text/") {
        return false;
    }
    let body = text("xsip_body");
    let body = if body.is_empty() { text("body") } else { body };
    let from = sender(&text("sip_from"), &text("caller"));
    if body.len() > MAX_BODY || from.is_empty() {
        return false;
    }
    let content = MessageContent::text(MessageKind::Sip, body);
    core.hub.events(|_, _| {
        vec![SipEvent::MessageReceived {
            from: Private::new(from),
            content,
        }]
    });
    true
}

/// The URI of a `From` header, else the caller as the engine has it.
fn sender(header: &str, caller: &str) -> String {
    let inside = header
        .split_once('<')
        .and_then(|(_, rest)| rest.split_once('>'));
    let uri = match inside {
        Some((uri, _)) => uri,
        None => header.split(';').next().unwrap_or_default(),
    };
    let uri = uri.trim();
    if uri.is_empty() { caller } else { uri }.to_owned()
}

/// How a text is handed to the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Means {
    /// `xsip.generate`, which tells what the far end said.
    Generate,
    /// `msg.execute`, which queues it.
    Execute,
}

/// Asks whether the engine has `xsip.generate` (`generate=yes` in `ysipchan.conf`): without a URI it
/// sends nothing, and its handler says `error=failure` (`SIPDriver::sendMethod` in `ysipchan.cpp`;
/// observed on Yate 6.4.1).
pub(super) async fn means(server: &Server, operation: &'static str) -> Result<Means> {
    let question = message("xsip.generate", &[("method", "MESSAGE")], operation)?;
    let frame = server.ask(question, operation).await?;
    let there = frame
        .message()
        .is_some_and(|answer| answer.text("error").is_some());
    Ok(if there {
        Means::Generate
    } else {
        Means::Execute
    })
}

/// Sends a text; see [`SipAdapter::send_message`](faxbot_core::sip::SipAdapter::send_message).
pub(super) async fn send(core: &Core, server: Server, what: SipMessage) -> Result<MessageResult> {
    let text = text(&what.content)?;
    let target = match request::target(&core.config, &what.to, OPERATION)? {
        Target::Direct(direct) => direct,
        Target::Routed(number) => routed(&server, &number).await?,
    };
    let means = core.hub.state().books.abilities.means;
    let uri = target.strip_prefix("sip/");
    let state = match (means, uri) {
        (Means::Generate, Some(uri)) => generate(&server, uri, text, &what).await?,
        _ => execute(&server, &target, text, &what).await?,
    };
    let id = RequestId::new().as_uuid().to_string();
    core.hub.events(|_, _| {
        let status = MessageStatus::new(id.as_str(), state);
        vec![SipEvent::MessageStatusChanged(status)]
    });
    let server = AdapterKind::YATE;
    Ok(MessageResult::new(id, server.as_str(), MessageKind::Sip))
}

/// Where a number leads that Yate routes itself.
async fn routed(server: &Server, number: &str) -> Result<String> {
    let params = [("route_type", "msg"), ("called", number)];
    let frame = server
        .ask(message("call.route", &params, OPERATION)?, OPERATION)
        .await?;
    let target = frame.message().filter(|answer| answer.is_processed());
    let target = target.map(|answer| answer.retval().into_owned());
    target
        .filter(|target| !matches!(target.as_str(), "" | "-" | "error"))
        .ok_or_else(|| {
            let message = "yate has no route for messages to this number";
            Error::new(ErrorKind::Rejected, OPERATION, message)
        })
}

/// The answer is that of the far end, or of the proxy that took it: `true` also for a refusal
/// (recording `message_xsip_generate`).
async fn generate(
    server: &Server,
    uri: &str,
    text: &str,
    what: &SipMessage,
) -> Result<MessageState> {
    let params = [
        ("method", "MESSAGE"),
        ("uri", uri),
        ("xsip_type", "text/plain"),
        ("wait", "true"),
    ];
    let mut command = with_text(message("xsip.generate", &params, OPERATION)?, text)?;
    if let Some(from) = &what.from {
        command = param(command, "sip_From", &format!("<{}>", sender_uri(from)?))?;
    }
    let frame = server.ask(command, OPERATION).await?;
    let answer = frame.message();
    let code = answer.and_then(|answer| answer.text("code")?.parse::<u16>().ok());
    match code {
        Some(200..=299) => Ok(MessageState::Sent),
        Some(code) => {
            let message = "the far end did not take the message";
            let error = Error::new(ErrorKind::Rejected, OPERATION, message);
            Err(error.with_native(Some(code.to_string()), None))
        }
        None => Err(refusal(&frame, OPERATION).unwrap_or_else(|| {
            let message = "yate took the message and did not tell what the far end said";
            Error::new(ErrorKind::OutcomeUnknown, OPERATION, message)
        })),
    }
}

/// The engine queues it; what the far end says is never told (recording `message_send`).
async fn execute(
    server: &Server,
    target: &str,
    text: &str,
    what: &SipMessage,
) -> Result<MessageState> {
    let params = [("callto", target), ("xsip_type", "text/plain")];
    let mut command = with_text(message("msg.execute", &params, OPERATION)?, text)?;
    if let Some(from) = &what.from {
        let uri = sender_uri(from)?;
        let user = uri.split_once(':').map_or(uri.as_str(), |(_, rest)| rest);
        let user = user.split('@').next().unwrap_or(user);
        command = param(command, "caller", user)?;
    }
    let frame = server.order(command, OPERATION).await?;
    drop(frame);
    Ok(MessageState::HandedOver)
}

fn with_text(command: Command, text: &str) -> Result<Command> {
    command
        .param_lines("xsip_body", text)
        .map_err(|error| refused(OPERATION, error))
}

fn param(command: Command, name: &str, value: &str) -> Result<Command> {
    command
        .param(name, value)
        .map_err(|error| refused(OPERATION, error))
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
    if text.contains('\0') {
        return Err(invalid("a text cannot hold the character NUL"));
    }
    Ok(text)
}

fn sender_uri(from: &Address) -> Result<String> {
    match from {
        Address::SipUri(uri) => Ok(uri.expose().to_owned()),
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
    fn the_sender_is_the_uri_of_the_header_else_the_caller() {
        for (header, caller, from) in [
            ("<sip:anna@127.0.0.1>;tag=1", "anna", "sip:anna@127.0.0.1"),
            ("\"A\" <sip:a@b>", "a", "sip:a@b"),
            ("sip:a@b;tag=2", "a", "sip:a@b"),
            ("", "anna", "anna"),
            ("", "", ""),
        ] {
            assert_eq!(sender(header, caller), from, "{header}");
        }
    }

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
    fn the_longest_text_fits_into_a_line() {
        let text = "%".repeat(MAX_TEXT);
        let command = message("msg.execute", &[("callto", "sip/sip:a@b")], OPERATION).unwrap();
        assert!(with_text(command, &text).is_ok());
    }
}
