//! Messages over SIP in both directions (RFC 3428).
//!
//! They go out by `chat`, which waits for the far end's answer, up to 19.9 s where nobody answers
//! (observed on FreeSWITCH 1.10.12): by `bgapi`, whose result comes later. What comes in needs
//! `auth-messages=false` on the profile, or a sender that is registered.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use faxbot_core::{
    Effect, Error, ErrorKind, Private, Result,
    address::Address,
    message::{MessageContent, MessageKind, MessageResult, MessageState, MessageStatus},
    sip::{AdapterKind, SipEvent, SipMessage},
};
use serde_json::json;
use uuid::Uuid;

use super::{
    core::Core,
    server::{Server, refused},
};
use crate::{
    adapter::calls::Now,
    protocol::esl::{Command, Event},
};

const OPERATION: &str = "send_message";

/// The longest text, in bytes. A SIP message over UDP should stay below 1,300 (RFC 3428, 8); TCP takes
/// more.
const MAX_TEXT: usize = 16 * 1024;

/// The longest text of a message that comes in, and its longest sender.
const MAX_RECEIVED: usize = 64 * 1024;
const MAX_SENDER: usize = 1024;

/// How many messages wait for their result at once.
const MAX_WAITING: usize = 1000;

/// How long the result of one may take: more than three times what the server waits for the far end.
const RESULT: Duration = Duration::from_secs(60);

/// How many events of messages are remembered, so that none is told twice.
const REMEMBERED: usize = 64;

/// Messages that were sent and whose result is awaited, and those that came in last.
#[derive(Debug, Default)]
pub(super) struct Messages {
    waiting: VecDeque<Waiting>,
    /// `Event-Sequence` and `Core-UUID` of the last ones that came in.
    seen: VecDeque<(String, String)>,
}

#[derive(Debug)]
struct Waiting {
    id: String,
    from: String,
    to: String,
    text: String,
    since: Instant,
    /// The status that the far end answered, 0 for none.
    code: Option<u16>,
}

impl Messages {
    /// A message is about to be sent. Answers the fate of those whose result never came.
    fn sending(&mut self, waiting: Waiting, now: Now) -> Result<Vec<SipEvent>> {
        let out = self.overdue(now);
        if self.waiting.len() >= MAX_WAITING {
            return Err(Error::new(
                ErrorKind::Overloaded,
                OPERATION,
                "too many messages wait for their result",
            ));
        }
        self.waiting.push_back(waiting);
        Ok(out)
    }

    fn overdue(&mut self, now: Now) -> Vec<SipEvent> {
        let mut out = Vec::new();
        while let Some(first) = self.waiting.front() {
            if now.instant.saturating_duration_since(first.since) < RESULT {
                break;
            }
            if let Some(first) = self.waiting.pop_front() {
                out.push(status(&first.id, MessageState::OutcomeUnknown));
            }
        }
        out
    }

    fn take(&mut self, id: &str) -> Option<Waiting> {
        let at = self.waiting.iter().position(|it| it.id == id)?;
        self.waiting.remove(at)
    }

    /// The connection that results would have come on is gone.
    pub(super) fn lost(&mut self) -> Vec<SipEvent> {
        let lost = std::mem::take(&mut self.waiting);
        lost.iter()
            .map(|it| status(&it.id, MessageState::OutcomeUnknown))
            .collect()
    }

    /// The result of a job, if it was a message of ours.
    pub(super) fn job_ended(&mut self, job: &str, told: &str) -> Vec<SipEvent> {
        let Some(sent) = self.take(job) else {
            return Vec::new();
        };
        // The server says `Sent` and no more; the code is that of the next hop, which may keep it.
        let state = if told == "Sent" {
            MessageState::HandedOver
        } else {
            MessageState::Failed
        };
        let mut status = MessageStatus::new(sent.id, state);
        status.raw = Some(json!({ "result": told, "code": sent.code.filter(|code| *code != 0) }));
        vec![SipEvent::MessageStatusChanged(status)]
    }

    /// `MESSAGE`: one that came in, or the report on one that was sent.
    pub(super) fn told(&mut self, event: &Event<'_>) -> Vec<SipEvent> {
        if event.text("Delivery-Failure").is_some() || event.text("Delivery-Result-Code").is_some()
        {
            self.reported(event);
            return Vec::new();
        }
        let text = |name: &str| event.text(name).unwrap_or_default();
        // The chatplan's `fire` repeats it (observed on FreeSWITCH 1.10.12).
        let key = (
            text("Event-Sequence").into_owned(),
            text("Core-UUID").into_owned(),
        );
        if self.seen.contains(&key) {
            return Vec::new();
        }
        if self.seen.len() >= REMEMBERED {
            self.seen.pop_front();
        }
        self.seen.push_back(key);
        received(event).into_iter().collect()
    }

    fn reported(&mut self, event: &Event<'_>) {
        let text = |name: &str| event.text(name).unwrap_or_default();
        let (from, to) = (text("from"), text("to"));
        let body = String::from_utf8_lossy(event.body().unwrap_or_default());
        let same = |it: &&mut Waiting| {
            it.code.is_none() && it.from == from && it.to == to && it.text == body
        };
        if let Some(waiting) = self.waiting.iter_mut().find(same) {
            waiting.code = text("Delivery-Result-Code").trim().parse().ok();
        }
    }
}

fn received(event: &Event<'_>) -> Option<SipEvent> {
    let text = |name: &str| event.text(name).filter(|text| !text.is_empty());
    let kind = text("type").unwrap_or_default();
    if !kind.is_empty() && !kind.to_ascii_lowercase().starts_with("text/") {
        // Somebody types, a receipt: no words for people.
        return None;
    }
    let from = text("from_full").or_else(|| text("from"))?;
    // Behind the address are parameters of the header.
    let from = from
        .find('>')
        .and_then(|end| from.get(..=end))
        .unwrap_or(&from);
    let body = event.body().unwrap_or_default();
    if from.len() > MAX_SENDER || body.len() > MAX_RECEIVED {
        tracing::warn!("freeswitch: a message came in that is too long, and was left out");
        return None;
    }
    let body = String::from_utf8_lossy(body).into_owned();
    Some(SipEvent::MessageReceived {
        from: Private::new(from.trim().to_owned()),
        content: MessageContent::text(MessageKind::Sip, body),
    })
}

fn status(id: &str, state: MessageState) -> SipEvent {
    SipEvent::MessageStatusChanged(MessageStatus::new(id, state))
}

/// Hands a message to the server.
pub(super) async fn send(
    core: &Core,
    server: &Server,
    message: SipMessage,
) -> Result<MessageResult> {
    let text = text(&message.content)?;
    let domain = core.domain();
    let to = destination(&message.to, domain.as_deref())?;
    let from = match &message.from {
        Some(from) => sender(from)?,
        None => {
            let host = to.rsplit_once('@').map(|(_, host)| host);
            let host = domain.as_deref().or(host).unwrap_or("localhost");
            format!("{}@{host}", core.config.caller_name)
        }
    };
    let to = format!("{}/{to}", core.config.message_profile);
    let id = Uuid::new_v4().to_string();
    let words = format!("sip|{from}|{to}|{}|text/plain", escaped(text));
    let command = Command::bgapi("chat", &words).and_then(|command| command.detached(&id));
    let command = command.map_err(|error| refused(OPERATION, error))?;
    core.hub.change(|state, now| {
        let waiting = Waiting {
            id: id.clone(),
            from,
            to,
            text: text.to_owned(),
            since: now.instant,
            code: None,
        };
        match state.books.messages.sending(waiting, now) {
            Ok(out) => (Ok(()), out),
            Err(error) => (Err(error), Vec::new()),
        }
    })?;
    let done = server.order(command, OPERATION).await;
    core.hub.change(|state, _| match done {
        Ok(_) => {
            // Its result may have come before.
            let waits = state.books.messages.waiting.iter().any(|it| it.id == id);
            let sent = waits.then(|| status(&id, MessageState::Sent));
            (Ok(()), sent.into_iter().collect())
        }
        Err(error) => {
            if error.effect() != Effect::Unknown {
                state.books.messages.take(&id);
            }
            (Err(error), Vec::new())
        }
    })?;
    let server = AdapterKind::as_str(&core.kind).to_owned();
    Ok(MessageResult::new(id, server, MessageKind::Sip))
}

/// What separates the parts of `chat`, and what its reader takes for more than itself
/// (`switch_separate_string` and `cleanup_separated_string` in `switch_utils.c`).
fn escaped(text: &str) -> String {
    let last = text.chars().count().saturating_sub(1);
    let mut out = String::with_capacity(text.len() + 8);
    for (at, c) in text.chars().enumerate() {
        match c {
            '\\' | '|' | '\'' | '"' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            // Blanks around a part are cut off.
            ' ' if at == 0 || at == last => out.push_str("\\s"),
            c => out.push(c),
        }
    }
    out
}

fn text(content: &MessageContent) -> Result<&str> {
    if content.kind != MessageKind::Sip {
        return Err(invalid("this adapter sends messages of the type sip only"));
    }
    if !content.media.is_empty() {
        return Err(invalid("a message over SIP has text only, no media"));
    }
    let text = content.text.as_str();
    if text.trim().is_empty() || text.len() > MAX_TEXT {
        return Err(invalid(&format!(
            "a message over SIP has 1 to {MAX_TEXT} bytes of text and not only blanks; send several"
        )));
    }
    // It would end the text at the server.
    if text.contains('\0') {
        return Err(invalid("a text cannot hold the character NUL"));
    }
    Ok(text)
}

/// `user@host`, for behind the profile.
fn destination(to: &Address, domain: Option<&str>) -> Result<String> {
    let at_home = |user: &str| match domain {
        Some(domain) => Ok(format!("{user}@{domain}")),
        None => Err(invalid(
            "freeswitch did not tell its domain; send to a SIP URI (sip:user@host)",
        )),
    };
    match to {
        Address::PhoneNumber(_) | Address::Extension(_) => at_home(&to.expose()),
        Address::SipUri(uri) => party(uri.expose()),
        Address::Native(native) => party(native.expose()),
        _ => Err(Error::unsupported(OPERATION)),
    }
}

fn sender(from: &Address) -> Result<String> {
    match from {
        Address::SipUri(uri) => party(uri.expose()),
        Address::Native(native) => party(native.expose()),
        _ => Err(invalid("the sender of a message over SIP is a SIP URI")),
    }
}

/// A URI without its scheme and parameters, or `user@host`.
fn party(uri: &str) -> Result<String> {
    let bare = uri
        .strip_prefix("sips:")
        .or_else(|| uri.strip_prefix("sip:"));
    let bare = bare.unwrap_or(uri);
    let bare = bare.split([';', '?']).next().unwrap_or_default();
    let known = |c: char| c.is_ascii_alphanumeric() || "-_.!~*+=&$%@:[]#".contains(c);
    let has_both = |(user, host): (&str, &str)| !user.is_empty() && !host.is_empty();
    if bare.len() <= MAX_SENDER
        && bare.split_once('@').is_some_and(has_both)
        && bare.chars().all(known)
    {
        return Ok(bare.to_owned());
    }
    Err(invalid(
        "a party of a message is a SIP URI such as sip:user@host, of letters, digits and -_.!~*+=&$%:",
    ))
}

fn invalid(message: &str) -> Error {
    Error::new(ErrorKind::InvalidRequest, OPERATION, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_takes_for_more_than_itself_is_escaped() {
        for (text, expected) in [
            ("hello", "hello"),
            ("a|b", "a\\|b"),
            ("a\\nb", "a\\\\nb"),
            ("it's \"so\"", "it\\'s \\\"so\\\""),
            ("one\r\ntwo", "one\\r\\ntwo"),
            (" x ", "\\sx\\s"),
            ("ä \u{1F600}", "ä \u{1F600}"),
        ] {
            assert_eq!(escaped(text), expected, "{text:?}");
        }
    }

    #[test]
    fn only_texts_of_the_type_sip_are_sent() {
        let long = "x".repeat(MAX_TEXT + 1);
        for content in [
            MessageContent::text(MessageKind::Sms, "hello"),
            MessageContent::text(MessageKind::Sip, ""),
            MessageContent::text(MessageKind::Sip, " \n"),
            MessageContent::text(MessageKind::Sip, "a\0b"),
            MessageContent::text(MessageKind::Sip, long),
        ] {
            let refused = text(&content).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::InvalidRequest);
        }
    }

    #[test]
    fn a_party_is_one_user_at_one_host() {
        for (uri, expected) in [
            ("sip:anna@host:5090", "anna@host:5090"),
            ("sips:a@[2001:db8::1];transport=tls", "a@[2001:db8::1]"),
            ("a%40b@h", "a%40b@h"),
        ] {
            assert_eq!(party(uri).unwrap(), expected);
        }
        for bad in [
            "anna", "@host", "anna@", "a|b@h", "a b@h", "a'@h", "a@h\\", "a@h\n", "<a@h>",
        ] {
            assert!(party(bad).is_err(), "{bad:?}");
        }
        let number = "+4930123".parse().unwrap();
        assert_eq!(destination(&number, Some("d")).unwrap(), "+4930123@d");
        assert!(destination(&number, None).is_err());
    }

    #[test]
    fn a_result_that_never_comes_is_unknown_and_the_table_is_bounded() {
        let start = Instant::now();
        let now = |seconds| Now {
            instant: start + Duration::from_secs(seconds),
            wall: faxbot_core::Timestamp::UNIX_EPOCH,
        };
        let waiting = |id: usize, seconds| Waiting {
            id: id.to_string(),
            from: String::new(),
            to: String::new(),
            text: String::new(),
            since: now(seconds).instant,
            code: None,
        };
        let mut messages = Messages::default();
        for id in 0..MAX_WAITING {
            messages.sending(waiting(id, 0), now(0)).unwrap();
        }
        let full = messages.sending(waiting(1, 1), now(1)).unwrap_err();
        assert_eq!(full.kind(), ErrorKind::Overloaded);
        let unknown = messages.sending(waiting(9999, 61), now(61)).unwrap();
        assert_eq!(unknown.len(), MAX_WAITING);
        assert_eq!(messages.job_ended("9999", "Sent").len(), 1);
        assert!(messages.job_ended("9999", "Sent").is_empty());
    }
}
