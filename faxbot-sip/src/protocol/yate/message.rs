//! A message of the engine, read as it is asked.

use std::{borrow::Cow, fmt};

use super::{encoding, marks::Marks};

/// The part before the first colon, and what is behind it.
#[inline]
pub(super) fn split(text: &[u8]) -> (&[u8], Option<&[u8]>) {
    match memchr::memchr(b':', text) {
        Some(at) => {
            let (before, rest) = text.split_at(at);
            (before, rest.get(1..))
        }
        None => (text, None),
    }
}

/// A message in a line: a request, an answer, or a watched copy. Nothing is decoded before it is
/// asked for.
#[derive(Clone, Copy)]
pub struct Message<'a> {
    id: &'a [u8],
    /// The time of a request, the word of success of an answer.
    second: &'a [u8],
    name: &'a [u8],
    retval: &'a [u8],
    params: &'a [u8],
}

impl<'a> Message<'a> {
    /// Reads the fields behind the keyword of `line`.
    #[inline]
    pub(super) fn parse(line: &'a [u8]) -> Self {
        let mut rest = split(line).1;
        let mut field = || {
            let (field, tail) = split(rest.unwrap_or_default());
            rest = tail;
            field
        };
        let (id, second, name, retval) = (field(), field(), field(), field());
        let params = rest.unwrap_or_default();
        Self {
            id,
            second,
            name,
            retval,
            params,
        }
    }

    /// The id as it stands: opaque, empty for a watched message.
    #[must_use]
    pub fn id(&self) -> &'a [u8] {
        self.id
    }

    /// When a request was made, in seconds since 1970; `None` in an answer, and where it is no
    /// number.
    #[must_use]
    pub fn time(&self) -> Option<u64> {
        std::str::from_utf8(self.second).ok()?.parse().ok()
    }

    /// Whether a handler took the message; false in a request. It says nothing of success:
    /// `chan.attach` and `chan.dtmf` answer false when they worked, `xsip.generate` true for a 408
    /// (recordings `call_control_hold_attach_record_conf`, `message_xsip_generate`).
    #[must_use]
    pub fn is_processed(&self) -> bool {
        // The words of `String::operator>>(bool&)` in `engine/String.cpp`; the engine writes the
        // first.
        matches!(self.second, b"true" | b"yes" | b"on" | b"enable" | b"t")
    }

    /// The name, such as `call.execute`. Empty in an answer that keeps the name, and in that to a
    /// `chan.masquerade` without `message`.
    #[must_use]
    #[inline]
    pub fn name(&self) -> Cow<'a, str> {
        encoding::unescape_text(self.name)
    }

    /// Whether it has that name.
    #[must_use]
    #[inline]
    pub fn is(&self, name: &str) -> bool {
        self.name == name.as_bytes() || encoding::unescape(self.name) == name.as_bytes()
    }

    /// The return value: the target of `call.route`, the text of `engine.status`.
    #[must_use]
    pub fn retval(&self) -> Cow<'a, str> {
        encoding::unescape_text(self.retval)
    }

    pub(super) fn raw_retval(&self) -> &'a [u8] {
        self.retval
    }

    /// The name, return value and parameters as they stand.
    pub(super) fn raw_parts(&self) -> (&'a [u8], &'a [u8], &'a [u8]) {
        (self.name, self.second, self.params)
    }

    /// All parameters in their order; a name may come again. Empty ones are skipped, as the engine
    /// does.
    #[must_use]
    #[inline]
    pub fn params(&self) -> Params<'a> {
        Params {
            text: self.params,
            start: 0,
            marks: Marks::new(self.params),
        }
    }

    /// The first value of that name.
    #[must_use]
    #[inline]
    pub fn get(&self, name: &str) -> Option<Cow<'a, [u8]>> {
        self.params()
            .find(|param| param.is(name))
            .and_then(|param| param.value())
    }

    /// As [`get`](Self::get), as text; bytes that are no UTF-8 become U+FFFD.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        self.get(name).map(encoding::text)
    }

    /// All values of that name.
    pub fn all(&self, name: &str) -> impl Iterator<Item = Cow<'a, str>> {
        self.params()
            .filter(move |param| param.is(name))
            .filter_map(|param| param.text())
    }

    /// Whether a parameter says `true`, `yes`, `on`, `enable` or `t` (`String::toBoolean`).
    #[must_use]
    pub fn flag(&self, name: &str) -> bool {
        self.get(name)
            .is_some_and(|value| matches!(&*value, b"true" | b"yes" | b"on" | b"enable" | b"t"))
    }
}

impl fmt::Debug for Message<'_> {
    /// The name and the number of parameters: values hold numbers and names.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("name", &self.name())
            .field("params", &self.params().count())
            .finish_non_exhaustive()
    }
}

/// The parameters of a message.
#[derive(Clone)]
pub struct Params<'a> {
    text: &'a [u8],
    /// Where the next one starts; behind the end when there is none.
    start: usize,
    /// Colons, equals signs and percent signs: one search for all of them.
    marks: Marks<'a>,
}

impl<'a> Iterator for Params<'a> {
    type Item = Param<'a>;

    #[inline]
    fn next(&mut self) -> Option<Param<'a>> {
        while self.start < self.text.len() {
            let start = self.start;
            let (mut equals, mut escapes) = (None, Escapes::default());
            let end = loop {
                let Some(at) = self.marks.next() else {
                    break self.text.len();
                };
                match self.text.get(at) {
                    Some(b':') => break at,
                    Some(b'=') => equals = equals.or(Some(at)),
                    _ if equals.is_none() => escapes.in_name = true,
                    _ => escapes.in_value = true,
                }
            };
            self.start = end + 1;
            if end > start {
                return Some(Param {
                    name: self.text.get(start..equals.unwrap_or(end))?,
                    value: equals.and_then(|at| self.text.get(at + 1..end)),
                    escapes,
                });
            }
        }
        None
    }
}

impl fmt::Debug for Params<'_> {
    /// The names only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}

/// Where a parameter has a percent sign.
#[derive(Clone, Copy, Default)]
struct Escapes {
    in_name: bool,
    in_value: bool,
}

/// One parameter as it stands on the wire.
#[derive(Clone, Copy)]
pub struct Param<'a> {
    name: &'a [u8],
    value: Option<&'a [u8]>,
    escapes: Escapes,
}

impl<'a> Param<'a> {
    /// The name.
    #[must_use]
    #[inline]
    pub fn name(&self) -> Cow<'a, str> {
        encoding::text(if self.escapes.in_name {
            encoding::unescape_name(self.name)
        } else {
            Cow::Borrowed(self.name)
        })
    }

    /// Whether it has that name.
    #[must_use]
    #[inline]
    pub fn is(&self, name: &str) -> bool {
        if self.escapes.in_name {
            return encoding::unescape_name(self.name) == name.as_bytes();
        }
        self.name == name.as_bytes()
    }

    /// The value; `None` for a name alone, which in an answer to the engine takes the parameter
    /// away.
    #[must_use]
    #[inline]
    pub fn value(&self) -> Option<Cow<'a, [u8]>> {
        if self.escapes.in_value {
            return self.value.map(encoding::unescape);
        }
        self.value.map(Cow::Borrowed)
    }

    /// As [`value`](Self::value), as text; bytes that are no UTF-8 become U+FFFD.
    #[must_use]
    pub fn text(&self) -> Option<Cow<'a, str>> {
        self.value().map(encoding::text)
    }

    pub(super) fn raw(&self) -> (&'a [u8], Option<&'a [u8]>) {
        (self.name, self.value)
    }
}

impl fmt::Debug for Param<'_> {
    /// The name only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Param").field(&self.name()).finish()
    }
}
