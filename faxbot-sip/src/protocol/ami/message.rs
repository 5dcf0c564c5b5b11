//! One message of the wire, zero-copy.

use std::{borrow::Cow, fmt, ops::Range};

use bytes::Bytes;

/// Header count up to which a message needs no allocation of its own. Events with a channel
/// snapshot have 16 to 20 headers; two snapshots (`DialBegin`) go to the heap.
const INLINE: usize = 24;

/// What a message is, by its **first** header.
///
/// The events `OriginateResponse` and `ChallengeResponseFailed` have a `Response` header of their
/// own, and a `UserEvent` may have a second `Event` header of its sender (observed on Asterisk
/// 22.10, recordings `03_originate_busy` and `10_newline_in_value`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// The line that the server sends first, without a blank line after it.
    Banner,
    /// The answer to an action.
    Response,
    /// Something that the server says unasked, or an item of a list.
    Event,
    /// A message of the server that is neither: a value with line breaks forged it.
    Other,
    /// A message of the client, seen by the server side.
    Action,
}

/// A message as it came, plus where its lines end.
///
/// The bytes are a slice of the read buffer. A value is any bytes, not always UTF-8: Asterisk
/// passes Latin-1 through unchanged (recording `10_header_forms`).
#[derive(Clone)]
pub struct Message {
    raw: Bytes,
    lines: Lines,
    kind: Kind,
}

/// Positions of the `\n` of each header line.
#[derive(Clone)]
enum Lines {
    Inline { len: u8, ends: [u16; INLINE] },
    Heap(Box<[u32]>),
}

impl Message {
    /// `ends` holds the position of the `\n` of each line that is not the closing empty one.
    pub(super) fn from_parts(raw: Bytes, ends: &[u32], from_client: bool) -> Self {
        let lines = Lines::new(ends);
        let mut message = Self {
            raw,
            lines,
            kind: Kind::Other,
        };
        message.kind = if from_client {
            Kind::Action
        } else {
            match message.first_name() {
                Some(name) if name.eq_ignore_ascii_case(b"Event") => Kind::Event,
                Some(name) if name.eq_ignore_ascii_case(b"Response") => Kind::Response,
                _ => Kind::Other,
            }
        };
        message
    }

    pub(super) fn banner_line(raw: Bytes) -> Self {
        Self {
            raw,
            lines: Lines::new(&[]),
            kind: Kind::Banner,
        }
    }

    /// What it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The bytes as they came, with the blank line at the end.
    #[must_use]
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// The banner without its line end, if this is the banner.
    #[must_use]
    pub fn banner(&self) -> Option<Cow<'_, str>> {
        (self.kind == Kind::Banner).then(|| String::from_utf8_lossy(self.raw.trim_ascii_end()))
    }

    /// The value of the first header of that name, compared without regard to ASCII case.
    ///
    /// The names are not consistent on the wire: `Uniqueid`, `UniqueID` (Cdr). Do not ask the
    /// answer to `ListCommands` by name: its header names are the names of actions.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.values(name.as_bytes()).next()
    }

    /// As [`get`](Self::get), as text; bytes that are no UTF-8 become U+FFFD.
    #[must_use]
    pub fn get_str(&self, name: &str) -> Option<Cow<'_, str>> {
        self.get(name).map(String::from_utf8_lossy)
    }

    /// The values of all headers of that name, in their order.
    pub fn get_all<'a, 'n>(
        &'a self,
        name: &'n str,
    ) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        self.values(name.as_bytes())
    }

    /// All headers in their order, with duplicates; lines without a colon are left out.
    #[must_use]
    pub fn headers(&self) -> Headers<'_> {
        Headers {
            message: self,
            next: 0,
            start: 0,
        }
    }

    /// The number of lines, with those that have no colon, without the blank one at the end.
    #[must_use]
    pub fn line_count(&self) -> usize {
        self.lines.len()
    }

    /// The name of the event, if this is one.
    #[must_use]
    pub fn event(&self) -> Option<&[u8]> {
        (self.kind == Kind::Event)
            .then(|| self.get("Event"))
            .flatten()
    }

    /// Whether this is the event of that name, compared without regard to ASCII case.
    #[must_use]
    pub fn is_event(&self, name: &str) -> bool {
        self.event()
            .is_some_and(|event| event.eq_ignore_ascii_case(name.as_bytes()))
    }

    /// The word of the response (`Success`, `Error`, `Goodbye`), if this is one.
    #[must_use]
    pub fn response(&self) -> Option<&[u8]> {
        (self.kind == Kind::Response)
            .then(|| self.get("Response"))
            .flatten()
    }

    /// The name of the action, if a client sent this. An empty `Action` is skipped in favour of
    /// the next one (observed on Asterisk 22.10, recording `10_header_forms`).
    #[must_use]
    pub fn action(&self) -> Option<&[u8]> {
        if self.kind != Kind::Action {
            return None;
        }
        self.values(b"Action").find(|value| !value.is_empty())
    }

    /// The `ActionID` that ties a response or an event to an action.
    #[must_use]
    pub fn action_id(&self) -> Option<&[u8]> {
        self.get("ActionID")
    }

    /// The lines without their line ends, the blank one at the end left out.
    pub(super) fn lines(&self) -> impl Iterator<Item = &[u8]> {
        let mut start = 0;
        (0..self.lines.len()).filter_map(move |index| {
            let (line, next) = self.line(index, start)?;
            start = next;
            Some(line)
        })
    }

    fn values<'a, 'n>(&'a self, name: &'n [u8]) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        self.lines().filter_map(move |line| {
            let (key, rest) = line.split_at_checked(name.len())?;
            let (colon, value) = rest.split_first()?;
            (*colon == b':' && key.eq_ignore_ascii_case(name)).then(|| self.trim_lead(value))
        })
    }

    fn line(&self, index: usize, start: usize) -> Option<(&[u8], usize)> {
        let end = self.lines.get(index)?;
        let line = self.raw.get(start..end)?;
        Some((line.strip_suffix(b"\r").unwrap_or(line), end + 1))
    }

    /// The server writes exactly one blank after the colon, and further ones belong to the value
    /// (`Output: ` of `Command`). From a client it skips all of them.
    fn trim_lead<'a>(&self, value: &'a [u8]) -> &'a [u8] {
        if self.kind == Kind::Action {
            value.trim_ascii_start()
        } else {
            value.strip_prefix(b" ").unwrap_or(value)
        }
    }

    fn first_name(&self) -> Option<&[u8]> {
        let (line, _) = self.line(0, 0)?;
        line.get(..memchr::memchr(b':', line)?)
    }
}

impl Lines {
    fn new(from: &[u32]) -> Self {
        let mut ends = [0; INLINE];
        if from.len() <= INLINE {
            let mut fits = true;
            for (to, from) in ends.iter_mut().zip(from) {
                match u16::try_from(*from) {
                    Ok(end) => *to = end,
                    Err(_) => fits = false,
                }
            }
            if let (true, Ok(len)) = (fits, u8::try_from(from.len())) {
                return Self::Inline { len, ends };
            }
        }
        Self::Heap(from.into())
    }

    fn len(&self) -> usize {
        match self {
            Self::Inline { len, .. } => usize::from(*len),
            Self::Heap(ends) => ends.len(),
        }
    }

    fn get(&self, index: usize) -> Option<usize> {
        match self {
            Self::Inline { ends, .. } => ends.get(index).copied().map(usize::from),
            Self::Heap(ends) => usize::try_from(*ends.get(index)?).ok(),
        }
    }
}

/// Names and values of a message, in their order. From [`Message::headers`].
#[derive(Clone)]
pub struct Headers<'a> {
    message: &'a Message,
    next: usize,
    start: usize,
}

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        while self.next < self.message.lines.len() {
            let (line, start) = self.message.line(self.next, self.start)?;
            self.next += 1;
            self.start = start;
            let Range {
                start: name_end, ..
            } = match memchr::memchr(b':', line) {
                Some(colon) => colon..line.len(),
                None => continue,
            };
            let (name, rest) = line.split_at_checked(name_end)?;
            return Some((name, self.message.trim_lead(rest.get(1..)?)));
        }
        None
    }
}

impl fmt::Debug for Message {
    /// Names only: values hold numbers, names and secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("kind", &self.kind)
            .field("bytes", &self.raw.len())
            .field("headers", &format_args!("{:?}", self.headers()))
            .finish()
    }
}

impl fmt::Debug for Headers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.clone().map(|(name, _)| String::from_utf8_lossy(name)))
            .finish()
    }
}
