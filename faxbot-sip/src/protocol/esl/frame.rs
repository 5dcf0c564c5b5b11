//! One frame of the wire, zero-copy.

use std::{borrow::Cow, fmt};

use bytes::Bytes;

use super::{
    encoding,
    event::{Event, EventError},
};

/// In which form events come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// `Name: value` lines, values %-encoded. Loses what looks like an escape in a value.
    Plain,
    /// One object, values as they are.
    Json,
    /// One element a header, values %-encoded.
    Xml,
}

impl Format {
    /// The word of the wire.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Json => "json",
            Self::Xml => "xml",
        }
    }
}

/// What a frame is, by its `Content-Type` (observed on FreeSWITCH 1.10.12).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// `auth/request`: the server wants `auth`.
    AuthRequest,
    /// `command/reply`: the text is in `Reply-Text`.
    Reply,
    /// `api/response`: the text is the body.
    ApiResponse,
    /// `text/event-plain`, `text/event-json`, `text/event-xml`.
    Event(Format),
    /// `log/data`: a log line as body.
    Log,
    /// `text/disconnect-notice`: the end, or with linger the end of the channel alone.
    Disconnect,
    /// `text/rude-rejection`: the access list of the server refused our address.
    Rejection,
    /// Another type, or none.
    Other,
    /// What a client wrote, seen by the server side.
    Command,
}

impl Kind {
    pub(super) fn of(content_type: &[u8]) -> Self {
        match content_type {
            b"command/reply" => Self::Reply,
            b"api/response" => Self::ApiResponse,
            b"text/event-plain" => Self::Event(Format::Plain),
            b"text/event-json" => Self::Event(Format::Json),
            b"text/event-xml" => Self::Event(Format::Xml),
            b"log/data" => Self::Log,
            b"text/disconnect-notice" => Self::Disconnect,
            b"text/rude-rejection" => Self::Rejection,
            b"auth/request" => Self::AuthRequest,
            _ => Self::Other,
        }
    }
}

/// A frame as it came: header lines, a blank line, and a body if the header said how long.
///
/// The bytes are a slice of the read buffer.
#[derive(Clone)]
pub struct Frame {
    raw: Bytes,
    /// Where the first header line starts: blank lines before it are skipped.
    start: usize,
    /// Where the body starts.
    body: usize,
    kind: Kind,
}

impl Frame {
    pub(super) fn from_parts(raw: Bytes, start: usize, body: usize, kind: Kind) -> Self {
        Self {
            raw,
            start,
            body,
            kind,
        }
    }

    /// What it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The bytes as they came, blank lines before it and body among them.
    #[must_use]
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// The header lines, with the blank line that ends them.
    #[must_use]
    pub fn head(&self) -> &[u8] {
        self.raw.get(self.start..self.body).unwrap_or_default()
    }

    /// The body, empty if there is none.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        self.raw.get(self.body..).unwrap_or_default()
    }

    /// The headers in their order, values as on the wire. A line without a colon is none.
    pub fn headers(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let command = self.kind == Kind::Command;
        headers(self.head())
            .skip(usize::from(command && self.first_is_header()))
            .map(move |(name, value)| {
                if command {
                    (name, c_text(value))
                } else {
                    (name, value)
                }
            })
    }

    /// The first value of that name, as on the wire. The case counts, but for commands.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        let name = name.as_bytes();
        let same: fn(&[u8], &[u8]) -> bool = if self.kind == Kind::Command {
            <[u8]>::eq_ignore_ascii_case
        } else {
            |left, right| left == right
        };
        self.headers()
            .find_map(|(found, value)| same(found, name).then_some(value))
    }

    /// As [`get`](Self::get), as text without %-decoding.
    #[must_use]
    pub fn get_str(&self, name: &str) -> Option<Cow<'_, str>> {
        self.get(name).map(String::from_utf8_lossy)
    }

    /// As [`get`](Self::get), %-decoded: for the reply to `connect`, whose values are encoded.
    #[must_use]
    pub fn get_decoded(&self, name: &str) -> Option<Cow<'_, str>> {
        self.get(name).map(encoding::decode_text)
    }

    /// What an answer says: the `Reply-Text` of a reply, else the body.
    ///
    /// The reply to `connect` has it encoded (`%2BOK%0A`), others not (observed on FreeSWITCH
    /// 1.10.12, recording `07_outbound_async_full_linger`); the server cuts it at 511 bytes.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        if self.kind != Kind::Reply {
            return String::from_utf8_lossy(self.body());
        }
        let text = self.get("Reply-Text").unwrap_or_default();
        if self.is_channel() {
            return encoding::decode_text(text);
        }
        String::from_utf8_lossy(text)
    }

    /// Whether this is the reply to `connect`, which holds a whole channel.
    #[must_use]
    pub fn is_channel(&self) -> bool {
        self.kind == Kind::Reply && self.get("Event-Name").is_some()
    }

    /// Whether a disconnect notice only says that the channel is gone: the connection goes on.
    #[must_use]
    pub fn is_linger(&self) -> bool {
        self.kind == Kind::Disconnect && self.get("Content-Disposition") == Some(b"linger")
    }

    /// The line of a command, without its header lines.
    #[must_use]
    pub fn command(&self) -> Option<&[u8]> {
        (self.kind == Kind::Command).then(|| c_text(first_line(self.head())))
    }

    /// The event that this is, or the channel in the reply to `connect`; `None` for other frames.
    ///
    /// Plain ones are read as they are asked, JSON and XML are parsed here.
    ///
    /// # Errors
    /// [`EventError`] when the body is not of its format.
    pub fn event(&self) -> Result<Option<Event<'_>>, EventError> {
        match self.kind {
            Kind::Event(Format::Plain) => Ok(Some(Event::plain(self.body()))),
            Kind::Event(Format::Json) => Event::json(self.body()).map(Some),
            Kind::Event(Format::Xml) => Event::xml(self.body()).map(Some),
            Kind::Reply if self.is_channel() => Ok(Some(Event::plain(self.head()))),
            _ => Ok(None),
        }
    }

    fn first_is_header(&self) -> bool {
        first_line(self.head()).contains(&b':')
    }
}

impl PartialEq for Frame {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind && self.raw == other.raw
    }
}

impl Eq for Frame {}

impl fmt::Debug for Frame {
    /// Kind and size only: values hold numbers and names.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame")
            .field("kind", &self.kind)
            .field("bytes", &self.raw.len())
            .finish_non_exhaustive()
    }
}

/// Name and value of each line up to the first blank one. One blank behind the colon is dropped.
pub(super) fn headers(head: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = head;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
            let line = rest.get(..end)?;
            rest = rest.get(end + 1..).unwrap_or_default();
            if line.is_empty() {
                rest = &[];
                return None;
            }
            if let Some(colon) = memchr::memchr(b':', line) {
                let value = line.get(colon + 1..)?;
                return Some((
                    line.get(..colon)?,
                    value.strip_prefix(b" ").unwrap_or(value),
                ));
            }
        }
        None
    })
}

fn first_line(head: &[u8]) -> &[u8] {
    let end = memchr::memchr(b'\n', head).unwrap_or(head.len());
    head.get(..end).unwrap_or_default()
}

/// What the server makes of a line: it ends at a CR or a NUL, and blanks before a value are
/// dropped (observed on FreeSWITCH 1.10.12, recording `02_framing_and_lf_injection`).
pub(super) fn c_text(line: &[u8]) -> &[u8] {
    let end = memchr::memchr2(b'\r', 0, line).unwrap_or(line.len());
    line.get(..end).unwrap_or_default().trim_ascii_start()
}
