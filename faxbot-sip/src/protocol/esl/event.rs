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
    /// %-encoded, and known to be text.
    EncodedText(&'a str),
    Text(Cow<'a, str>),
    List(Vec<Cow<'a, str>>),
}

impl Value<'_> {
    /// The value, decoded. A list reads as in plain events: `ARRAY::one|:two`; a list of one is
    /// its element.
    #[must_use]
    #[inline]
    pub fn text(&self) -> Cow<'_, str> {
        match &self.0 {
            Form::Encoded(bytes) => encoding::decode_text(bytes),
            Form::EncodedText(text) => encoding::decode_str(text),
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
    /// Header lines that are text: checked once, then sliced.
    Plain(&'a str),
    /// Header lines that are not.
    Bytes(&'a [u8]),
    Parsed(Vec<Pair<'a>>),
}

impl<'a> Event<'a> {
    /// Header lines, and behind the blank line the body that the inner `Content-Length` announced.
    /// A client's own `content-length` may stand before that one (observed on FreeSWITCH 1.10.12,
    /// recording `02_sendevent_and_encoding`).
    pub(super) fn plain(bytes: &'a [u8]) -> Self {
        let end = match memchr::memmem::find(bytes, b"\n\n") {
            _ if bytes.starts_with(b"\n") => 0,
            Some(at) => at + 1,
            None => bytes.len(),
        };
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
            fields: match std::str::from_utf8(lines) {
                Ok(text) => Fields::Plain(text),
                Err(_) => Fields::Bytes(lines),
            },
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
        let mut walk = self.walk();
        std::iter::from_fn(move || {
            Some(match &mut walk {
                Walk::Plain(lines) => {
                    let line = lines.next()?;
                    let form = if line.escaped {
                        Form::EncodedText(line.value)
                    } else {
                        Form::Text(Cow::Borrowed(line.value))
                    };
                    (Cow::Borrowed(line.name), Value(form))
                }
                Walk::Bytes(lines) => {
                    let (name, value) = lines.next()?;
                    let value = Form::Encoded(Cow::Borrowed(value));
                    (String::from_utf8_lossy(name), Value(value))
                }
                Walk::Parsed(pairs) => {
                    let (name, value) = pairs.next()?;
                    (Cow::Borrowed(&**name), value.borrowed())
                }
            })
        })
    }

    /// Calls `each` with name and decoded value of every header, in their order: as
    /// [`headers`](Self::headers), with one allocation at most for the usual plain event.
    #[inline]
    pub fn each_text(&self, mut each: impl FnMut(&str, &str)) {
        match self.walk() {
            Walk::Plain(lines) => {
                let mut scratch = Vec::new();
                for TextLine {
                    name,
                    value,
                    escaped,
                } in lines
                {
                    if !escaped {
                        each(name, value);
                    } else if let Some(text) = encoding::decode_into(value, &mut scratch) {
                        each(name, text);
                    } else {
                        each(name, &encoding::decode_str(value));
                    }
                }
            }
            Walk::Bytes(_) | Walk::Parsed(_) => {
                for (name, value) in self.headers() {
                    each(&name, &value.text());
                }
            }
        }
    }

    fn walk(&self) -> Walk<'_, 'a, impl Iterator<Item = RawPair<'_>>> {
        match &self.fields {
            Fields::Plain(text) => Walk::Plain(TextLines::new(text)),
            Fields::Bytes(bytes) => Walk::Bytes(headers(bytes)),
            Fields::Parsed(pairs) => Walk::Parsed(pairs.iter()),
        }
    }

    /// The first header of that name. The case counts: one event may hold
    /// `Channel-Read-Codec-Name` and `channel-read-codec-name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Value<'_>> {
        match &self.fields {
            Fields::Plain(text) => find(text, name).map(|value| Value(Form::EncodedText(value))),
            Fields::Bytes(lines) => headers(lines)
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
            Fields::Plain(text) => find(text, name).map(encoding::decode_str),
            Fields::Bytes(lines) => headers(lines)
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
            Form::EncodedText(text) => Form::EncodedText(text),
            Form::Text(text) => Form::Text(Cow::Borrowed(text)),
            Form::List(items) => {
                Form::List(items.iter().map(|item| Cow::Borrowed(&**item)).collect())
            }
        })
    }
}

/// The headers in the form that they have.
enum Walk<'e, 'a, B> {
    Plain(TextLines<'e>),
    Bytes(B),
    Parsed(std::slice::Iter<'e, Pair<'a>>),
}

/// Name and value of a line.
type RawPair<'a> = (&'a [u8], &'a [u8]);

/// A header line. One blank behind the colon is dropped.
struct TextLine<'a> {
    name: &'a str,
    value: &'a str,
    /// Whether there may be an escape in the value.
    escaped: bool,
}

/// The header lines of a text, which is searched as a whole: that is faster than each value alone.
struct TextLines<'a> {
    text: &'a str,
    start: usize,
    ends: memchr::Memchr<'a>,
    escapes: memchr::Memchr<'a>,
    /// The first escape that is not before `start`.
    escape: Option<usize>,
}

impl<'a> TextLines<'a> {
    fn new(text: &'a str) -> Self {
        let mut escapes = memchr::memchr_iter(b'%', text.as_bytes());
        Self {
            text,
            start: 0,
            ends: memchr::memchr_iter(b'\n', text.as_bytes()),
            escape: escapes.next(),
            escapes,
        }
    }
}

impl<'a> Iterator for TextLines<'a> {
    type Item = TextLine<'a>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        while self.start < self.text.len() {
            let end = self.ends.next().unwrap_or(self.text.len());
            let line = self.text.get(self.start..end)?;
            let escaped = self.escape.is_some_and(|at| at < end);
            while self.escape.is_some_and(|at| at < end) {
                self.escape = self.escapes.next();
            }
            self.start = end + 1;
            if let Some(colon) = memchr::memchr(b':', line.as_bytes()) {
                let value = line.get(colon + 1..)?;
                return Some(TextLine {
                    name: line.get(..colon)?,
                    value: value.strip_prefix(' ').unwrap_or(value),
                    escaped,
                });
            }
        }
        None
    }
}

/// The value of the first line with that name. Whole lines are passed over: a name is searched as
/// bytes first, and then must stand at the start of its line, with a colon behind it.
fn find<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    if name.is_empty() || memchr::memchr2(b':', b'\n', name.as_bytes()).is_some() {
        return None;
    }
    let finder = memchr::memmem::Finder::new(name.as_bytes());
    let mut from = 0;
    loop {
        let at = from + finder.find(text.as_bytes().get(from..)?)?;
        let behind = text.get(at..)?.strip_prefix(name)?;
        let starts = at == 0 || text.as_bytes().get(at - 1) == Some(&b'\n');
        if let Some(value) = behind.strip_prefix(':').filter(|_| starts) {
            let end = memchr::memchr(b'\n', value.as_bytes()).unwrap_or(value.len());
            let value = value.get(..end)?;
            return Some(value.strip_prefix(' ').unwrap_or(value));
        }
        from = at + 1;
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
