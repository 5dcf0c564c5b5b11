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

    /// As [`headers`](Self::headers), as text: the message is checked for UTF-8 once, and only one
    /// that is none costs a copy of its bad values.
    #[must_use]
    pub fn texts(&self) -> Texts<'_> {
        Texts {
            headers: self.headers(),
            text: std::str::from_utf8(&self.raw).ok(),
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

    #[inline]
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
        line.get(..first_colon(line)?)
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

impl Headers<'_> {
    /// Where the next name and its value are.
    #[inline]
    fn next_ranges(&mut self) -> Option<(Range<usize>, Range<usize>)> {
        loop {
            let start = self.start;
            let (line, next) = self.message.line(self.next, start)?;
            self.next += 1;
            self.start = next;
            if let Some(colon) = first_colon(line) {
                let (name_end, end) = (start + colon, start + line.len());
                let value = line.get(colon + 1..).unwrap_or_default();
                let lead = match value {
                    _ if self.message.kind == Kind::Action => {
                        value.len() - value.trim_ascii_start().len()
                    }
                    [b' ', ..] => 1,
                    _ => 0,
                };
                return Some((start..name_end, name_end + 1 + lead..end));
            }
        }
    }
}

/// Eight bytes at a time: names are too short for a call of memchr to pay, and too long for a loop
/// of bytes.
#[inline]
fn first_colon(line: &[u8]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const COLONS: u64 = ONES * 0x3a;
    let (words, rest) = line.as_chunks::<8>();
    let mut at = 0;
    for word in words {
        let zero_at_colon = u64::from_le_bytes(*word) ^ COLONS;
        let hits = zero_at_colon.wrapping_sub(ONES) & !zero_at_colon & (ONES << 7);
        if hits != 0 {
            // The lowest hit is exact; only those above it may be false.
            return usize::try_from(hits.trailing_zeros() / 8)
                .ok()
                .map(|byte| at + byte);
        }
        at += 8;
    }
    rest.iter()
        .position(|byte| *byte == b':')
        .map(|byte| at + byte)
}

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (name, value) = self.next_ranges()?;
        Some((self.message.raw.get(name)?, self.message.raw.get(value)?))
    }
}

/// Names and values of a message as text. From [`Message::texts`].
#[derive(Clone)]
pub struct Texts<'a> {
    headers: Headers<'a>,
    /// The whole message, if it is UTF-8.
    text: Option<&'a str>,
}

impl<'a> Iterator for Texts<'a> {
    type Item = (Cow<'a, str>, Cow<'a, str>);

    fn next(&mut self) -> Option<Self::Item> {
        match self.text {
            Some(text) => {
                let (name, value) = self.headers.next_ranges()?;
                Some((
                    Cow::Borrowed(text.get(name)?),
                    Cow::Borrowed(text.get(value)?),
                ))
            }
            None => {
                let (name, value) = self.headers.next()?;
                Some((
                    String::from_utf8_lossy(name),
                    String::from_utf8_lossy(value),
                ))
            }
        }
    }
}

impl fmt::Debug for Texts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.headers.fmt(f)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_colon_is_found_at_every_place_and_beside_its_neighbours() {
        for len in 0..40 {
            for at in 0..=len {
                // 0x3b differs from the colon in the lowest bit, where the subtraction borrows.
                for filler in [b'x', 0x3b, 0x39, 0xba, 0xbb, 0] {
                    let mut line = vec![filler; len];
                    if let Some(byte) = line.get_mut(at) {
                        *byte = b':';
                    }
                    let want = (at < len).then_some(at);
                    assert_eq!(first_colon(&line), want, "{len} {at} {filler}");
                }
            }
        }
        assert_eq!(first_colon(b"a: b: c: d: e"), Some(1));
    }

    #[test]
    fn texts_are_the_headers_whether_all_of_it_is_utf_8_or_not() {
        for value in [&b"Zo\xc3\xab"[..], b"Zo\xeb"] {
            let raw = [b"Event: X\r\nName: ", value, b"\r\n\r\n"].concat();
            let end = u32::try_from(raw.len() - 3).unwrap();
            let message = Message::from_parts(raw.into(), &[9, end], false);
            let texts: Vec<_> = message
                .texts()
                .map(|(name, value)| (name, value.into_owned()))
                .collect();
            assert_eq!(texts[0], ("Event".into(), "X".to_owned()));
            assert_eq!(
                texts[1],
                ("Name".into(), String::from_utf8_lossy(value).into_owned())
            );
        }
    }
}
