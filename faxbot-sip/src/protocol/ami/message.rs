//! One message of the wire, zero-copy.

use std::{borrow::Cow, fmt};

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
    #[inline]
    pub(super) fn from_parts(raw: Bytes, ends: &[u32], from_client: bool) -> Self {
        let kind = if from_client {
            Kind::Action
        } else {
            let first = ends.first().and_then(|end| usize::try_from(*end).ok());
            Kind::of(first.and_then(|end| raw.get(..end)).unwrap_or_default())
        };
        Self {
            raw,
            lines: Lines::new(ends),
            kind,
        }
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
    #[inline]
    pub fn texts(&self) -> Texts<'_> {
        Texts {
            headers: self.headers(),
            rest: std::str::from_utf8(&self.raw).ok(),
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
}

impl Kind {
    /// By the first line that a server sent.
    #[inline]
    fn of(line: &[u8]) -> Self {
        match line.split_at_checked(6) {
            Some((name, _)) if name.eq_ignore_ascii_case(b"Event:") => Self::Event,
            _ => match line.split_at_checked(9) {
                Some((name, _)) if name.eq_ignore_ascii_case(b"Response:") => Self::Response,
                _ => Self::Other,
            },
        }
    }
}

impl Lines {
    #[inline]
    fn new(from: &[u32]) -> Self {
        // Positions ascend, so that the last one tells for all.
        let short = from.last().is_none_or(|last| u16::try_from(*last).is_ok());
        if let (true, true, Ok(len)) = (short, from.len() <= INLINE, u8::try_from(from.len())) {
            let mut ends = [0; INLINE];
            for (to, from) in ends.iter_mut().zip(from) {
                *to = u16::try_from(*from).unwrap_or(u16::MAX);
            }
            return Self::Inline { len, ends };
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
            Self::Inline { len, ends } if index < usize::from(*len) => {
                ends.get(index).copied().map(usize::from)
            }
            Self::Inline { .. } => None,
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
    /// Where the next line starts, and its length with its line end.
    #[inline]
    fn next_line(&mut self) -> Option<(usize, usize)> {
        let start = self.start;
        let after = self.message.lines.get(self.next)? + 1;
        self.next += 1;
        self.start = after;
        Some((start, after.checked_sub(start)?))
    }
}

/// Bytes that are searched for a colon at once. Nearly all names of Asterisk fit.
const WINDOW: usize = 24;

/// The place of the first colon in `rest`, which begins with `line`; past the line if it has none.
/// What follows the line is read along, so that short lines take the same path.
#[inline]
fn find_colon(rest: &[u8], line: &[u8]) -> usize {
    match rest.first_chunk().map(first_colon) {
        Some(colon) if colon < WINDOW => colon,
        _ => memchr::memchr(b':', line).unwrap_or(usize::MAX),
    }
}

/// The place of the first colon, `WINDOW` or more if there is none. Without a branch: the length of
/// a name cannot be foretold, and a wrong guess of the processor costs more than these words (tried:
/// with a branch a word, all values of a message took a quarter longer).
#[inline]
fn first_colon(window: &[u8; WINDOW]) -> usize {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const COLONS: u64 = u64::from_le_bytes([b':'; 8]);
    /// Brings the highest bit of each byte into the highest byte, in their order.
    const GATHER: u64 = 0x0002_0408_1020_4081;
    let (words, _) = window.as_chunks::<8>();
    let mut colons = 0_u32;
    for word in words.iter().rev() {
        let zero_at_colon = u64::from_le_bytes(*word) ^ COLONS;
        // The lowest hit is exact; only those above it may be false.
        let hits = zero_at_colon.wrapping_sub(ONES) & !zero_at_colon & (ONES << 7);
        let [.., bits] = hits.wrapping_mul(GATHER).to_le_bytes();
        colons = colons << 8 | u32::from(bits);
    }
    // 32 when there is none.
    usize::try_from(colons.trailing_zeros()).unwrap_or(WINDOW)
}

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a [u8], &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (start, len) = self.next_line()?;
            let rest = self.message.raw.get(start..)?;
            let (line, _) = rest.split_at_checked(len)?;
            let Some((name, value)) = line.split_at_checked(find_colon(rest, line)) else {
                continue;
            };
            let Some(value) = value.strip_prefix(b":") else {
                continue;
            };
            let value = value.strip_suffix(b"\n").unwrap_or(value);
            let value = value.strip_suffix(b"\r").unwrap_or(value);
            return Some((name, self.message.trim_lead(value)));
        }
    }
}

/// Names and values of a message as text. From [`Message::texts`].
#[derive(Clone)]
pub struct Texts<'a> {
    headers: Headers<'a>,
    /// What is left of the message, if all of it is UTF-8.
    rest: Option<&'a str>,
}

impl<'a> Iterator for Texts<'a> {
    type Item = (Cow<'a, str>, Cow<'a, str>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let Some(rest) = &mut self.rest else {
            let (name, value) = self.headers.next()?;
            return Some((
                String::from_utf8_lossy(name),
                String::from_utf8_lossy(value),
            ));
        };
        // As for the bytes, in steps that ask seldom whether a place is between two characters.
        loop {
            let (_, len) = self.headers.next_line()?;
            let here = *rest;
            let (line, next) = here.split_at_checked(len)?;
            *rest = next;
            let colon = find_colon(here.as_bytes(), line.as_bytes());
            let Some((name, value)) = line.split_at_checked(colon) else {
                continue;
            };
            let value = if self.headers.message.kind == Kind::Action {
                value.strip_prefix(':').map(str::trim_ascii_start)
            } else {
                value.strip_prefix(": ").or_else(|| value.strip_prefix(':'))
            };
            let Some(value) = value else { continue };
            let value = value
                .strip_suffix("\r\n")
                .or_else(|| value.strip_suffix('\n'))
                .unwrap_or(value);
            return Some((Cow::Borrowed(name), Cow::Borrowed(value)));
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
                    let want = if at < len { at } else { usize::MAX };
                    assert_eq!(find_colon(&line, &line), want, "{len} {at} {filler}");
                }
            }
        }
        let many = b"a: b: c: d: e: f: g: h: i: j: k";
        assert_eq!(find_colon(many, many), 1);
    }

    #[test]
    fn lines_without_a_colon_and_empty_values_do_not_borrow_from_the_next_line() {
        for (raw, kind) in [
            (
                &b"Event: X\r\nnone\r\nA:\r\nB: \r\nC:1\r\n:v\r\n\r\n"[..],
                Kind::Event,
            ),
            (b"Event: X\nnone\nA:\nB: \nC:1\n:v\n\n", Kind::Action),
        ] {
            let ends: Vec<_> = memchr::memchr_iter(b'\n', raw)
                .map(|end| u32::try_from(end).unwrap())
                .collect();
            let (_, ends) = ends.split_last().unwrap();
            let message = Message::from_parts(raw.to_vec().into(), ends, kind == Kind::Action);
            assert_eq!(message.kind(), kind);
            let want = [("Event", "X"), ("A", ""), ("B", ""), ("C", "1"), ("", "v")];
            let texts: Vec<_> = message.texts().collect();
            assert_eq!(texts, want.map(|(name, value)| (name.into(), value.into())));
            let headers: Vec<_> = message.headers().collect();
            assert_eq!(
                headers,
                want.map(|(name, value)| (name.as_bytes(), value.as_bytes()))
            );
        }
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
