//! Messages that come in.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use faxbot_core::Timestamp;
use serde_json::{Map, Value, json};

use crate::server::sinch::with_millis;

/// A message from outside. `Debug` shows its type.
#[derive(Clone, PartialEq)]
#[must_use]
pub struct IncomingSms {
    from: String,
    to: String,
    kind: &'static str,
    body: Value,
    extra: Map<String, Value>,
    pub(super) quiet: bool,
}

impl IncomingSms {
    fn new(from: &str, to: &str, kind: &'static str, body: Value) -> Self {
        Self {
            from: from.to_owned(),
            to: to.to_owned(),
            kind,
            body,
            extra: Map::new(),
            quiet: false,
        }
    }

    /// A text (`mo_text`). Numbers are told as they are given here.
    pub fn text(from: &str, to: &str, body: &str) -> Self {
        Self::new(from, to, "mo_text", json!(body))
    }

    /// Bytes (`mo_binary`) with their user data header in hex.
    pub fn binary(from: &str, to: &str, body: &[u8], udh: &str) -> Self {
        let message = Self::new(from, to, "mo_binary", json!(STANDARD.encode(body)));
        message.with("udh", json!(udh))
    }

    /// Media (`mo_media`) with a text; each has an address and a type.
    pub fn media(from: &str, to: &str, message: &str, media: &[(&str, &str)]) -> Self {
        let media: Vec<Value> = media
            .iter()
            .map(|(url, kind)| {
                json!({"url": url, "content_type": kind, "status": "Uploaded", "code": 0})
            })
            .collect();
        let body = json!({"subject": "", "message": message, "media": media});
        Self::new(from, to, "mo_media", body)
    }

    /// Another field of the vendor's object, such as `client_reference`, `operator_id` or `sent_at`; or
    /// another value of one that is there.
    pub fn with(mut self, name: &str, value: Value) -> Self {
        self.extra.insert(name.to_owned(), value);
        self
    }

    /// No callback tells of it: only the list does.
    pub fn quiet(mut self) -> Self {
        self.quiet = true;
        self
    }
}

impl fmt::Debug for IncomingSms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IncomingSms")
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

/// One that came.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) id: String,
    pub(super) at: Timestamp,
    pub(super) sms: IncomingSms,
}

impl Received {
    /// As a list and a callback tell it.
    pub(super) fn json(&self) -> Value {
        let mut map = Map::new();
        for (name, value) in [
            ("type", json!(self.sms.kind)),
            ("id", json!(self.id)),
            ("from", json!(self.sms.from)),
            ("to", json!(self.sms.to)),
            ("body", self.sms.body.clone()),
            ("operator_id", json!("310260")),
            ("received_at", json!(with_millis(self.at))),
        ] {
            map.insert(name.to_owned(), value);
        }
        map.extend(self.sms.extra.clone());
        Value::Object(map)
    }

    /// Whether it is to one of these numbers.
    pub(super) fn is_to(&self, numbers: &[String]) -> bool {
        let own = self.sms.to.trim_start_matches('+');
        numbers.iter().any(|to| to.trim_start_matches('+') == own)
    }

    pub(super) fn is_of(&self, reference: &str) -> bool {
        self.sms.extra.get("client_reference") == Some(&json!(reference))
    }
}
