//! Batches: what may be in one, and what is told of it.

use std::{fmt, time::Duration};

use faxbot_core::Timestamp;
use serde_json::{Map, Value, json};
use url::Url;

use super::{
    message::Message,
    script::{SmsEnd, SmsPace},
    text,
};
use crate::server::sinch::{Fault, Fields, Problem, moment, with_millis};

/// Which delivery reports are called back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reports {
    None,
    Summary,
    Full,
    PerRecipient,
    PerRecipientFinal,
}

const REPORTS: &[(&str, Reports)] = &[
    ("none", Reports::None),
    ("summary", Reports::Summary),
    ("full", Reports::Full),
    ("per_recipient", Reports::PerRecipient),
    ("per_recipient_final", Reports::PerRecipientFinal),
];

const TEXT: &[&str] = &[
    "to",
    "from",
    "type",
    "body",
    "parameters",
    "delivery_report",
    "send_at",
    "expire_at",
    "callback_url",
    "client_reference",
    "feedback_enabled",
    "flash_message",
    "truncate_concat",
    "max_number_of_message_parts",
    "from_ton",
    "from_npi",
];

const BINARY: &[&str] = &[
    "to",
    "from",
    "type",
    "body",
    "udh",
    "delivery_report",
    "send_at",
    "expire_at",
    "callback_url",
    "client_reference",
    "feedback_enabled",
    "from_ton",
    "from_npi",
];

const MEDIA: &[&str] = &[
    "to",
    "from",
    "type",
    "body",
    "parameters",
    "delivery_report",
    "send_at",
    "expire_at",
    "callback_url",
    "client_reference",
    "feedback_enabled",
    "strict_validation",
];

/// Three days: how long a message is tried (the vendor's default for `expire_at`).
const LIFE: Duration = Duration::from_secs(3 * 24 * 60 * 60);

/// One batch.
pub(super) struct Batch {
    pub(super) id: String,
    pub(super) created: Timestamp,
    modified: Timestamp,
    pub(super) canceled: bool,
    request: Map<String, Value>,
    pub(super) kind: &'static str,
    pub(super) from: Option<String>,
    pub(super) reference: Option<String>,
    pub(super) reports: Reports,
    pub(super) callback: Option<Url>,
    pub(super) parts: u32,
    pub(super) unicode: bool,
    pub(super) messages: Vec<Message>,
}

/// A body that was checked.
pub(super) struct Checked {
    kind: &'static str,
    pub(super) to: Vec<String>,
    from: Option<String>,
    pub(super) unicode: bool,
    pub(super) parts: u32,
    /// More parts than the customer wants.
    too_long: bool,
    send_at: Option<Timestamp>,
    expire_at: Option<Timestamp>,
    reports: Reports,
    callback: Option<Url>,
    reference: Option<String>,
}

/// Checks the body of a batch. `region` is where the plan is.
pub(super) fn check(map: &Map<String, Value>, region: &str) -> Result<Checked, Vec<Problem>> {
    let kind = match map.get("type").map(|kind| kind.as_str().unwrap_or("?")) {
        None | Some("mt_text") => "mt_text",
        Some("mt_binary") => "mt_binary",
        Some("mt_media") => "mt_media",
        Some(_) => {
            let text = "'type' is none of mt_text, mt_binary, mt_media";
            return Err(vec![Problem::new("type", Fault::Value, text)]);
        }
    };
    let known = match kind {
        "mt_binary" => BINARY,
        "mt_media" => MEDIA,
        _ => TEXT,
    };
    let mut fields = Fields::new(map, known);
    let to = recipients(&mut fields);
    let (mut parts, mut unicode) = (1, false);
    match kind {
        "mt_text" => {
            if let Some(body) = fields.short("body", 2000) {
                (unicode, parts) = text::parts(body);
            } else if fields.value("body").is_none() {
                fields.problem("body", Fault::Missing, "'body' is missing");
            }
        }
        "mt_binary" => binary(&mut fields),
        _ => media(&mut fields, &to, region),
    }
    let from = fields.short("from", 20).map(str::to_owned);
    let words: Vec<&str> = REPORTS.iter().map(|(word, _)| *word).collect();
    let reports = fields.word("delivery_report", &words);
    let reports = REPORTS
        .iter()
        .find(|(word, _)| Some(*word) == reports)
        .map_or(Reports::None, |(_, reports)| *reports);
    let send_at = time(&mut fields, "send_at");
    let expire_at = time(&mut fields, "expire_at");
    if let (Some(send), Some(expire)) = (send_at, expire_at)
        && expire <= send
    {
        fields.problem(
            "expire_at",
            Fault::Value,
            "'expire_at' is not after 'send_at'",
        );
    }
    let callback = fields.url("callback_url");
    fields.short("callback_url", 2048);
    let reference = fields.short("client_reference", 2048).map(str::to_owned);
    fields.object("parameters");
    fields.flag("feedback_enabled");
    fields.flag("flash_message");
    fields.flag("strict_validation");
    fields.number("from_ton", 0, 6);
    fields.number("from_npi", 0, 18);
    let most = fields.number("max_number_of_message_parts", 1, i64::from(u32::MAX));
    let most = most.and_then(|most| u32::try_from(most).ok());
    let mut too_long = false;
    if let Some(most) = most.filter(|most| parts > *most) {
        if fields.flag("truncate_concat") == Some(true) {
            parts = most;
        } else {
            too_long = true;
        }
    } else {
        fields.flag("truncate_concat");
    }
    let problems = fields.problems();
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(Checked {
        kind,
        to,
        from,
        unicode,
        parts,
        too_long,
        send_at,
        expire_at,
        reports,
        callback,
        reference,
    })
}

fn recipients(fields: &mut Fields<'_>) -> Vec<String> {
    let Some(given) = fields.texts("to") else {
        if fields.value("to").is_none() {
            fields.problem("to", Fault::Missing, "'to' is missing");
        }
        return Vec::new();
    };
    if given.is_empty() || given.len() > 1000 {
        fields.problem("to", Fault::Value, "'to' has not from 1 to 1000 recipients");
    }
    let mut to: Vec<String> = Vec::new();
    for number in given {
        match msisdn(number) {
            // The vendor sends one message to a number that is given twice.
            Some(number) if to.contains(&number) => {}
            Some(number) => to.push(number),
            None => {
                let text = format!("'{number}' is not a valid MSISDN");
                fields.problem("to", Fault::Type, text);
            }
        }
    }
    to
}

/// A number without its `+`: digits, the first of them no zero.
pub(super) fn msisdn(text: &str) -> Option<String> {
    let digits = text.strip_prefix('+').unwrap_or(text);
    let is_number = (5..=15).contains(&digits.len())
        && !digits.starts_with('0')
        && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.to_owned())
}

fn binary(fields: &mut Fields<'_>) {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let mut bytes = 0;
    match fields.text("body").map(|body| STANDARD.decode(body)) {
        Some(Ok(body)) => bytes += body.len(),
        Some(Err(_)) => fields.problem("body", Fault::Type, "'body' is not base64"),
        None => fields.problem("body", Fault::Missing, "'body' is missing"),
    }
    match fields.text("udh") {
        Some(udh) if udh.len() % 2 == 0 && udh.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            bytes += udh.len() / 2;
        }
        Some(_) => fields.problem("udh", Fault::Type, "'udh' is not hexadecimal"),
        None => fields.problem("udh", Fault::Missing, "'udh' is missing"),
    }
    if bytes > 140 {
        fields.problem(
            "body",
            Fault::Value,
            "'udh' and 'body' have more than 140 bytes",
        );
    }
}

fn media(fields: &mut Fields<'_>, to: &[String], region: &str) {
    // The vendor offers MMS in the US region, to numbers of the North American plan.
    if region != "us" || !to.iter().all(|to| to.len() == 11 && to.starts_with('1')) {
        fields.problem("type", Fault::Value, "'mt_media' is for the US only");
    }
    let Some(map) = fields.object("body") else {
        if fields.value("body").is_none() {
            fields.problem("body", Fault::Missing, "'body' is missing");
        }
        return;
    };
    let mut body = Fields::new(map, &["url", "message", "subject"]);
    if body.url("url").is_none() && body.value("url").is_none() {
        body.problem("url", Fault::Missing, "'body.url' is missing");
    }
    body.short("message", 5000);
    body.short("subject", 80);
    for problem in body.problems() {
        fields.problem("body", problem.fault, problem.text);
    }
}

fn time(fields: &mut Fields<'_>, name: &str) -> Option<Timestamp> {
    let text = fields.text(name)?;
    let at = moment(text);
    if at.is_none() {
        fields.problem(name, Fault::Type, format!("'{name}' is not ISO 8601"));
    }
    at
}

impl Batch {
    pub(super) fn new(
        id: String,
        now: Timestamp,
        (request, checked): (Map<String, Value>, Checked),
        pace: SmsPace,
        mut end: impl FnMut(&str) -> SmsEnd,
    ) -> Self {
        let start = checked.send_at.map_or(now, |at| at.max(now));
        let messages = checked.to.into_iter().map(|to| {
            let end = match (checked.too_long, checked.from.is_some()) {
                (true, _) => SmsEnd::Aborted(411),
                // No plan of the mock has a default originator.
                (_, false) => SmsEnd::Aborted(410),
                _ => end(&to),
            };
            let mut message = Message::new(to, now);
            message.goes(start, pace, &end);
            if let Some(expire) = checked.expire_at {
                message.expires(expire);
            }
            message
        });
        Self {
            id,
            created: now,
            modified: now,
            canceled: false,
            messages: messages.collect(),
            request,
            kind: checked.kind,
            from: checked.from,
            reference: checked.reference,
            reports: checked.reports,
            callback: checked.callback,
            parts: checked.parts,
            unicode: checked.unicode,
        }
    }

    /// Stops what is not dispatched. Again it has no effect.
    pub(super) fn cancel(&mut self, now: Timestamp) {
        if !self.canceled {
            let is_for_later = self.send_at().is_some_and(|at| at > now);
            for message in &mut self.messages {
                message.cancel(now, is_for_later);
            }
            self.canceled = true;
            self.modified = now;
        }
    }

    fn send_at(&self) -> Option<Timestamp> {
        moment(self.request.get("send_at")?.as_str()?)
    }

    /// `mms` for media.
    pub(super) fn medium(&self) -> &'static str {
        if self.kind == "mt_media" {
            "mms"
        } else {
            "sms"
        }
    }

    /// The limit of parts that the customer set.
    pub(super) fn has_limit(&self) -> bool {
        self.request.contains_key("max_number_of_message_parts")
    }

    /// What the customer wrote, with what the vendor adds. Numbers have a `+` or not.
    pub(super) fn json(&self, plus: bool) -> Value {
        let sign = if plus { "+" } else { "" };
        let to: Vec<String> = self
            .messages
            .iter()
            .map(|to| format!("{sign}{}", to.to))
            .collect();
        let mut map = self.request.clone();
        let expires = self.send_at().unwrap_or(self.created) + LIFE;
        for (name, value) in [
            ("delivery_report", json!("none")),
            ("expire_at", json!(with_millis(expires))),
            ("feedback_enabled", json!(false)),
        ] {
            map.entry(name).or_insert(value);
        }
        if self.kind == "mt_text" {
            map.entry("flash_message").or_insert(json!(false));
        }
        for (name, value) in [
            ("id", json!(self.id)),
            ("type", json!(self.kind)),
            ("to", json!(to)),
            ("canceled", json!(self.canceled)),
            ("created_at", json!(with_millis(self.created))),
            ("modified_at", json!(with_millis(self.modified))),
        ] {
            map.insert(name.to_owned(), value);
        }
        Value::Object(map)
    }

    /// What the text or the media are.
    pub(super) fn body(&self) -> &Value {
        self.request.get("body").unwrap_or(&Value::Null)
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("id", &self.id)
            .field("kind", &self.kind)
            .field("messages", &self.messages.len())
            .finish_non_exhaustive()
    }
}
