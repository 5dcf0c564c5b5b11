//! Events in their three formats, read without a copy where the wire allows it.

use std::borrow::Cow;

use super::{encoding, frame::headers, json, xml};

/// Headers that a JSON or XML event may have; a channel event has about 120.
pub(super) const MAX_HEADERS: usize = 10_000;

/// What plain values with more than one element start with, when decoded.
const ARRAY: &str = "ARRAY::";

/// What stands between the elements.
const BETWEEN: &str = "|:";

/// Why a body is not an event of its format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EventError {
    /// The body is not one JSON object.
    #[error("event is not a JSON object")]
    Json,
    /// The body is not `<event>` with `<headers>`.
    #[error("event is not the XML that the server writes")]
    Xml,
    /// More headers than any event has.
    #[error("event has more than {MAX_HEADERS} headers")]
    TooManyHeaders,
}

/// The value of one header.
#[derive(Clone, PartialEq, Eq)]
pub struct Value<'a>(pub(super) Form<'a>);

#[derive(Clone, PartialEq, Eq)]
pub(super) enum Form<'a> {
    /// %-encoded.
    Encoded(Cow<'a, [u8]>),
    Text(Cow<'a, str>),
    List(Vec<Cow<'a, str>>),
}

impl Value<'_> {
    /// The value, decoded. A list reads as in plain events: `ARRAY::one|:two`; a list of one is
    /// its element.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        match &self.0 {
            Form::Encoded(bytes) => encoding::decode_text(bytes),
            Form::Text(text) => Cow::Borrowed(text),
            Form::List(items) => match items.as_slice() {
                [] => Cow::Borrowed(""),
                [one] => Cow::Borrowed(one),
                more => Cow::Owned(format!("{ARRAY}{}", more.join(BETWEEN))),
            },
        }
    }

    /// The elements of a list; a value that is none is one element. Plain and XML events cannot
    /// tell a list of one from a value (observed on FreeSWITCH 1.10.12, recording
    /// `02_sendevent_and_encoding`).
    #[must_use]
    pub fn list(&self) -> Vec<Cow<'_, str>> {
        if let Form::List(items) = &self.0 {
            return items.iter().map(|item| Cow::Borrowed(&**item)).collect();
        }
        match self.text() {
            Cow::Borrowed(text) => match text.strip_prefix(ARRAY) {
                Some(items) => items.split(BETWEEN).map(Cow::Borrowed).collect(),
                None => vec![Cow::Borrowed(text)],
            },
            Cow::Owned(text) => match text.strip_prefix(ARRAY) {
                Some(items) => {
                    let items = items.split(BETWEEN);
                    items.map(|item| Cow::Owned(item.to_owned())).collect()
                }
                None => vec![Cow::Owned(text)],
            },
        }
    }
}

impl std::fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Value(..)")
    }
}

/// An event: headers in their order, repeated ones kept, and a body if it has one.
pub struct Event<'a> {
    fields: Fields<'a>,
    body: Option<Cow<'a, [u8]>>,
}

pub(super) type Pair<'a> = (Cow<'a, str>, Value<'a>);

enum Fields<'a> {
    Plain(&'a [u8]),
    Parsed(Vec<Pair<'a>>),
}

impl<'a> Event<'a> {
    /// Header lines, and behind the blank line the body that the inner `Content-Length` announced.
    /// A client's own `content-length` may stand before that one (observed on FreeSWITCH 1.10.12,
    /// recording `02_sendevent_and_encoding`).
    pub(super) fn plain(bytes: &'a [u8]) -> Self {
        let end = memchr::memmem::find(bytes, b"\n\n").map_or(bytes.len(), |at| at + 1);
        let (lines, rest) = bytes.split_at(end);
        let rest = rest.strip_prefix(b"\n").unwrap_or(rest);
        let body = (!rest.is_empty())
            .then(|| {
                let length = headers(lines).filter(|(name, _)| *name == b"Content-Length");
                let length = std::str::from_utf8(length.last()?.1).ok()?;
                rest.get(..length.trim().parse::<usize>().ok()?.min(rest.len()))
            })
            .flatten();
        Self {
            fields: Fields::Plain(lines),
            body: body.map(Cow::Borrowed),
        }
    }

    pub(super) fn json(bytes: &'a [u8]) -> Result<Self, EventError> {
        let (pairs, body) = json::parse(bytes)?;
        Ok(Self::parsed(pairs, body))
    }

    pub(super) fn xml(bytes: &'a [u8]) -> Result<Self, EventError> {
        let (pairs, body) = xml::parse(bytes)?;
        Ok(Self::parsed(pairs, body))
    }

    fn parsed(pairs: Vec<Pair<'a>>, body: Option<Cow<'a, [u8]>>) -> Self {
        Self {
            fields: Fields::Parsed(pairs),
            body,
        }
    }

    /// The headers in their order. A list is one header in plain and JSON, repeated in XML.
    pub fn headers(&self) -> impl Iterator<Item = (Cow<'_, str>, Value<'_>)> {
        let (plain, parsed) = match &self.fields {
            Fields::Plain(lines) => (Some(headers(lines)), None),
            Fields::Parsed(pairs) => (None, Some(pairs.iter())),
        };
        let plain = plain.into_iter().flatten().map(|(name, value)| {
            let value = Value(Form::Encoded(Cow::Borrowed(value)));
            (String::from_utf8_lossy(name), value)
        });
        let parsed = parsed.into_iter().flatten();
        plain.chain(parsed.map(|(name, value)| (Cow::Borrowed(&**name), value.borrowed())))
    }

    /// The first header of that name. The case counts: one event may hold
    /// `Channel-Read-Codec-Name` and `channel-read-codec-name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Value<'_>> {
        match &self.fields {
            Fields::Plain(lines) => headers(lines)
                .find(|(found, _)| *found == name.as_bytes())
                .map(|(_, value)| Value(Form::Encoded(Cow::Borrowed(value)))),
            Fields::Parsed(pairs) => pairs
                .iter()
                .find(|(found, _)| found == name)
                .map(|(_, value)| value.borrowed()),
        }
    }

    /// The first header of that name as text, decoded.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<Cow<'_, str>> {
        match &self.fields {
            Fields::Plain(lines) => headers(lines)
                .find(|(found, _)| *found == name.as_bytes())
                .map(|(_, value)| encoding::decode_text(value)),
            Fields::Parsed(pairs) => pairs
                .iter()
                .find(|(found, _)| found == name)
                .map(|(_, value)| value.text()),
        }
    }

    /// All elements of all headers of that name: lists, repeated headers, or both.
    #[must_use]
    pub fn list(&self, name: &str) -> Vec<String> {
        let same = self.headers().filter(|(found, _)| found == name);
        same.flat_map(|(_, value)| {
            let items = value.list().into_iter().map(Cow::into_owned);
            items.collect::<Vec<_>>()
        })
        .collect()
    }

    /// `Event-Name`.
    #[must_use]
    pub fn name(&self) -> Option<Cow<'_, str>> {
        self.text("Event-Name")
    }

    /// `Event-Subclass`, which tells `CUSTOM` events apart.
    #[must_use]
    pub fn subclass(&self) -> Option<Cow<'_, str>> {
        self.text("Event-Subclass")
    }

    /// The body as it is: never %-encoded.
    #[must_use]
    pub fn body(&self) -> Option<&[u8]> {
        self.body.as_deref()
    }
}

impl Value<'_> {
    fn borrowed(&self) -> Value<'_> {
        Value(match &self.0 {
            Form::Encoded(bytes) => Form::Encoded(Cow::Borrowed(bytes)),
            Form::Text(text) => Form::Text(Cow::Borrowed(text)),
            Form::List(items) => {
                Form::List(items.iter().map(|item| Cow::Borrowed(&**item)).collect())
            }
        })
    }
}

impl std::fmt::Debug for Event<'_> {
    /// The name only: values hold numbers and names.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Event")
            .field("name", &self.name())
            .finish_non_exhaustive()
    }
}
