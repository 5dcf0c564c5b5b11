//! The forms of requests and answers of XMS v1.
//!
//! Sources: sinch-sdk-node@affb35e `packages/sms`, sinch-sdk-python@b45a3ed, sinch-sdk-java@d747cc3
//! `openapi-contracts`, and the vendor's pages under developers.sinch.com/docs/sms; what was seen on a
//! socket is from PyPI `sinch` 2.3.0 and npm `@sinch/sms` 1.4.0.

use faxbot_core::{
    Error, ErrorKind, Private, Result, Timestamp,
    http::{HttpResponse, refusal},
    message::{InboundMessage, MessageContent, MessageKind, MessageState},
    webhook::Authenticity,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use url::Url;

use crate::cloud::{
    lenient,
    messaging::{MessageReport, PreparedMessage},
};

/// Characters of a text (developers.sinch.com/docs/sms, batches: 0 to 2000).
pub(super) const TEXT: usize = 2000;
/// Characters of the text beside media.
pub(super) const MEDIA_TEXT: usize = 5000;
/// Characters of an address (the same page: 0 to 2048).
pub(super) const ADDRESS: usize = 2048;
/// Items of a page at most (sinch-sdk-node, `page_size`).
pub(super) const PAGE: usize = 100;

/// Sinch's ids are ULIDs; what else is an id is let through as long as it is one segment of a path.
/// Ids are shown and logged, so what anybody may write is none.
pub(super) fn is_id(text: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=64).contains(&text.len()) && text.bytes().all(letter)
}

/// What a status word means, by the page "Delivery reports"; `None` for an unknown one. The vendor's
/// clients write them in two cases.
fn state_of_word(word: &str) -> Option<MessageState> {
    Some(match word.to_ascii_lowercase().as_str() {
        "queued" => MessageState::Queued,
        "dispatched" => MessageState::Sent,
        "delivered" => MessageState::Delivered,
        "aborted" | "cancelled" | "rejected" | "deleted" | "failed" | "expired" => {
            MessageState::Failed
        }
        // Final: the operator does not say what became of it.
        "unknown" => MessageState::OutcomeUnknown,
        _ => return None,
    })
}

/// What a code means where the word says nothing (sinch-sdk-java `DeliveryReceiptStatusCode`; 0 from
/// sinch-sdk-node `enums.ts`). Codes of operators are open: `None`.
fn state_of_code(code: u64) -> Option<MessageState> {
    Some(match code {
        0 => MessageState::Delivered,
        400 => MessageState::Queued,
        401 => MessageState::Sent,
        // 402 unroutable, 403 internal error, 404 temporary failure, 405 unmatched parameter,
        // 406 expired, 407 cancelled, 408 rejected, 410 no default originator, 411 too many parts,
        // 412 region not provisioned, 413 account blocked or out of credit; of MMS 414 wrong address
        // of media, 415 rejected, 416 not supported, 417 unreachable, 418 not recognised.
        402..=408 | 410..=418 => MessageState::Failed,
        _ => return None,
    })
}

/// The body of `POST /batches` for one recipient.
pub(super) fn batch(
    reference: &str,
    from: &str,
    message: &PreparedMessage,
    reports: bool,
    callback: Option<&Url>,
) -> Value {
    let content = &message.content;
    let (kind, body) = match content.media.first() {
        Some(url) => {
            let mut body = Map::new();
            body.insert("url".into(), json!(url.as_str()));
            if !content.text.is_empty() {
                body.insert("message".into(), json!(content.text));
            }
            ("mt_media", Value::Object(body))
        }
        None => ("mt_text", json!(content.text)),
    };
    let mut batch = json!({
        "type": kind,
        "from": from,
        "to": [message.to],
        "body": body,
        "client_reference": reference,
        // Each change of the one recipient; a summary would tell the end only.
        "delivery_report": if reports { "per_recipient" } else { "none" },
    });
    if let (Some(url), Some(map)) = (callback.filter(|_| reports), batch.as_object_mut()) {
        map.insert("callback_url".into(), json!(url.as_str()));
    }
    batch
}

/// What is read of a batch.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Batch {
    #[serde(default, deserialize_with = "lenient::text")]
    pub(super) id: Option<String>,
    #[serde(default, deserialize_with = "lenient::text")]
    pub(super) client_reference: Option<String>,
}

/// `GET /batches`.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Batches {
    #[serde(default, deserialize_with = "lenient::list")]
    pub(super) batches: Vec<Batch>,
}

/// `GET /inbounds`. `page_size` of the answer is what the page has, so the end is told by `count`.
#[derive(Default, Deserialize)]
pub(super) struct Inbounds {
    #[serde(default, deserialize_with = "lenient::number")]
    pub(super) count: Option<usize>,
    #[serde(default, deserialize_with = "lenient::list")]
    pub(super) inbounds: Vec<Value>,
}

/// The answer's JSON, or the error that the vendor's no is.
pub(super) fn answer(
    operation: &'static str,
    response: &HttpResponse,
    acts: bool,
) -> Result<Value> {
    if !response.status.is_success() {
        return Err(refused(operation, response, acts));
    }
    serde_json::from_slice(&response.body).map_err(|_| unreadable(operation, acts))
}

/// An answer that says yes, and then not what.
pub(super) fn unreadable(operation: &'static str, acts: bool) -> Error {
    let error = Error::new(
        ErrorKind::Protocol,
        operation,
        "the answer of the provider cannot be read",
    );
    if acts {
        error
    } else {
        error.with_effect(faxbot_core::Effect::NoEffect)
    }
}

/// `{code, text}`, `{error: {code, message}}` of the gateway, or `{title, detail}`: the body of an error
/// may also be empty.
fn refused(operation: &'static str, response: &HttpResponse, acts: bool) -> Error {
    let error = refusal(operation, response, acts);
    let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
    let text = |value: &Value, names: &[&str]| {
        names.iter().find_map(|name| match value.get(name)? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        })
    };
    let inner = body.get("error").filter(|inner| inner.is_object());
    let body = inner.unwrap_or(&body);
    let code = text(body, &["code"]).or_else(|| error.native_code().map(str::to_owned));
    let words = text(body, &["text", "message", "detail", "title"]);
    error.with_native(code, words)
}

#[derive(Deserialize)]
struct Report {
    #[serde(rename = "type", default, deserialize_with = "lenient::text")]
    kind: Option<String>,
    #[serde(default, deserialize_with = "lenient::text")]
    batch_id: Option<String>,
    #[serde(default, deserialize_with = "lenient::text")]
    client_reference: Option<String>,
    /// Of a batch: its messages by state.
    #[serde(default, deserialize_with = "lenient::list")]
    statuses: Vec<Status>,
    /// Of one recipient.
    #[serde(flatten)]
    one: Status,
    #[serde(default, deserialize_with = "lenient::time")]
    at: Option<Timestamp>,
    #[serde(default, deserialize_with = "lenient::time")]
    operator_status_at: Option<Timestamp>,
}

#[derive(Deserialize)]
struct Status {
    #[serde(default, deserialize_with = "lenient::text")]
    status: Option<String>,
    #[serde(default, deserialize_with = "lenient::number")]
    code: Option<u64>,
}

impl Status {
    fn state(&self) -> Option<MessageState> {
        let word = self.status.as_deref().and_then(state_of_word);
        word.or_else(|| state_of_code(self.code?))
    }

    /// The vendor's words, the same in a callback and in an answer.
    fn word(&self) -> String {
        let word = self.status.as_deref().unwrap_or_default();
        match self.code {
            Some(code) => format!("{word}/{code}"),
            None => word.to_owned(),
        }
    }
}

/// A delivery report: of a batch (`delivery_report_sms`, `statuses[]`) or of its recipient
/// (`recipient_delivery_report_sms`, `status` and `code`), of SMS or MMS.
pub(super) fn report(operation: &'static str, value: Value) -> Result<MessageReport> {
    let read: Report = Report::deserialize(&value).map_err(|_| unreadable(operation, false))?;
    let id = read.batch_id.filter(|id| is_id(id));
    let id = id.ok_or_else(|| unreadable(operation, false))?;
    let (state, word) = if read.one.status.is_some() || read.one.code.is_some() {
        (read.one.state(), read.one.word())
    } else {
        together(&read.statuses)
    };
    let mut report = MessageReport::new(id, state, word);
    report.reference = read.client_reference;
    report.kind = read.kind.map(|kind| {
        if kind.ends_with("_mms") {
            MessageKind::Mms
        } else {
            MessageKind::Sms
        }
    });
    // The operator knows better than Sinch when the message arrived.
    report.at = read.operator_status_at.or(read.at);
    report.raw = value;
    Ok(report)
}

/// The state of a whole batch: ours have one recipient, those of other programs may have more. It is
/// as far as the message that is least far, and failed when all are over and one of them failed.
fn together(statuses: &[Status]) -> (Option<MessageState>, String) {
    let word = statuses
        .iter()
        .map(Status::word)
        .collect::<Vec<_>>()
        .join(" ");
    if statuses.is_empty() {
        // Taken, and nothing was tried so far.
        return (Some(MessageState::Queued), word);
    }
    let states: Option<Vec<_>> = statuses.iter().map(Status::state).collect();
    let has = |state| {
        states
            .as_ref()
            .is_some_and(|states| states.contains(&state))
    };
    let state = [
        MessageState::Queued,
        MessageState::Sent,
        MessageState::OutcomeUnknown,
        MessageState::Failed,
        MessageState::Delivered,
    ];
    (state.into_iter().find(|state| has(*state)), word)
}

#[derive(Deserialize)]
struct Inbound {
    #[serde(rename = "type", default, deserialize_with = "lenient::text")]
    kind: Option<String>,
    #[serde(default, deserialize_with = "lenient::text")]
    id: Option<String>,
    #[serde(default, deserialize_with = "lenient::text")]
    from: Option<String>,
    #[serde(default, deserialize_with = "lenient::text")]
    to: Option<String>,
    #[serde(default)]
    body: Value,
    #[serde(default, deserialize_with = "lenient::time")]
    received_at: Option<Timestamp>,
    #[serde(default, deserialize_with = "lenient::time")]
    sent_at: Option<Timestamp>,
}

#[derive(Default, Deserialize)]
struct MediaBody {
    #[serde(default, deserialize_with = "lenient::text")]
    subject: Option<String>,
    #[serde(default, deserialize_with = "lenient::text")]
    message: Option<String>,
    #[serde(default, deserialize_with = "lenient::list")]
    media: Vec<Media>,
}

#[derive(Deserialize)]
struct Media {
    #[serde(default, deserialize_with = "lenient::text")]
    url: Option<String>,
    #[serde(default, deserialize_with = "lenient::text")]
    status: Option<String>,
    #[serde(default, deserialize_with = "lenient::number")]
    code: Option<u64>,
}

/// A message that came in: `mo_text`, `mo_binary` (its text is the base64 of the bytes), `mo_media`
/// (its media are named by their addresses, and never fetched).
pub(super) fn inbound(
    operation: &'static str,
    value: &Value,
    authenticity: Authenticity,
    now: Timestamp,
) -> Result<InboundMessage> {
    let wrong = || unreadable(operation, false);
    let read = Inbound::deserialize(value).map_err(|_| wrong())?;
    let present = |text: Option<String>| text.filter(|text| !text.is_empty()).ok_or_else(wrong);
    let id = read.id.filter(|id| is_id(id)).ok_or_else(wrong)?;
    let content = match read.kind.as_deref() {
        Some("mo_text" | "mo_binary") => {
            let text = read.body.as_str().ok_or_else(wrong)?;
            MessageContent::text(MessageKind::Sms, text)
        }
        Some("mo_media") => media(MediaBody::deserialize(&read.body).map_err(|_| wrong())?),
        _ => return Err(wrong()),
    };
    Ok(InboundMessage::new(
        id,
        super::ID.as_str(),
        (
            Private::new(present(read.from)?),
            Private::new(present(read.to)?),
        ),
        content,
        read.received_at.or(read.sent_at).unwrap_or(now),
        authenticity,
    ))
}

fn media(body: MediaBody) -> MessageContent {
    let texts = [body.subject, body.message];
    let text = texts.into_iter().flatten().filter(|text| !text.is_empty());
    let text = text.collect::<Vec<_>>().join("\n");
    // 0: it is there. Failed ones may have an address as well.
    let whole = |media: &Media| {
        let word = media.status.as_deref().unwrap_or("Uploaded");
        word.eq_ignore_ascii_case("uploaded") && media.code.unwrap_or_default() == 0
    };
    let addresses = body.media.into_iter().filter(whole).filter_map(|media| {
        let url = Url::parse(&media.url?).ok()?;
        matches!(url.scheme(), "http" | "https").then_some(url)
    });
    MessageContent::text(MessageKind::Mms, text).with_media(addresses)
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
