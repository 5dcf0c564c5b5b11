//! The escapes of the line protocol.
//!
//! A `%` and the code plus 64 stand for the codes 1 to 31 (`%J` is a line feed) and for the colon
//! (`%z`), `%%` for a percent sign. In the names of parameters the engine writes `%}` for `=`, and does
//! not read it (`String::msgEscape`, `String::msgUnescape` in `engine/String.cpp` of Yate 6.4).

use std::borrow::Cow;

/// What the byte behind a `%` stands for.
#[inline]
fn meaning(code: u8, in_name: bool) -> Option<u8> {
    match code {
        b'A'..=b'_' => Some(code - b'@'),
        b'z' => Some(b':'),
        b'%' => Some(b'%'),
        b'}' if in_name => Some(b'='),
        _ => None,
    }
}

/// The bytes that a value stands for. A `%` that starts no escape is itself.
#[must_use]
#[inline]
pub fn unescape(raw: &[u8]) -> Cow<'_, [u8]> {
    match memchr::memchr(b'%', raw) {
        None => Cow::Borrowed(raw),
        Some(first) => Cow::Owned(rewrite(raw, first, false)),
    }
}

/// As [`unescape`], for the name of a parameter.
#[must_use]
#[inline]
pub fn unescape_name(raw: &[u8]) -> Cow<'_, [u8]> {
    match memchr::memchr(b'%', raw) {
        None => Cow::Borrowed(raw),
        Some(first) => Cow::Owned(rewrite(raw, first, true)),
    }
}

/// As [`unescape`], as text; bytes that are no UTF-8 become U+FFFD.
#[must_use]
pub fn unescape_text(raw: &[u8]) -> Cow<'_, str> {
    text(unescape(raw))
}

pub(super) fn text(bytes: Cow<'_, [u8]>) -> Cow<'_, str> {
    match bytes {
        Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes),
        Cow::Owned(bytes) => Cow::Owned(match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        }),
    }
}

fn rewrite(raw: &[u8], first: usize, in_name: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len());
    let (plain, mut rest) = raw.split_at(first.min(raw.len()));
    out.extend_from_slice(plain);
    while let Some((percent, tail)) = rest.split_first() {
        rest = match tail.split_first() {
            Some((code, after)) => match meaning(*code, in_name) {
                Some(byte) => {
                    out.push(byte);
                    after
                }
                None => {
                    out.push(*percent);
                    tail
                }
            },
            None => {
                out.push(*percent);
                tail
            }
        };
        let next = memchr::memchr(b'%', rest).unwrap_or(rest.len());
        let (plain, from_percent) = rest.split_at(next);
        out.extend_from_slice(plain);
        rest = from_percent;
    }
    out
}

/// Whether the engine takes these bytes: no control character, and nothing but escapes behind a
/// `%`. It answers a line with anything else by `Error in:`.
#[must_use]
pub fn is_valid(raw: &[u8]) -> bool {
    let mut rest = raw.iter();
    while let Some(byte) = rest.next() {
        let fits = match byte {
            0..=0x1f => false,
            b'%' => rest.next().is_some_and(|it| meaning(*it, false).is_some()),
            _ => true,
        };
        if !fits {
            return false;
        }
    }
    true
}

/// Appends `value` as the engine writes it. A NUL has no escape that the engine takes: callers
/// refuse it.
pub fn escape(value: &[u8], out: &mut Vec<u8>) {
    write(value, out, |byte| byte < b' ' || byte == b':');
}

/// As [`escape`], for the name of a parameter. The engine does not read its own `%}`: only the
/// server side writes a name with `=`.
pub fn escape_name(name: &[u8], out: &mut Vec<u8>) {
    write(name, out, |byte| {
        byte < b' ' || byte == b':' || byte == b'='
    });
}

fn write(value: &[u8], out: &mut Vec<u8>, is_special: impl Fn(u8) -> bool) {
    out.reserve(value.len());
    for byte in value {
        if *byte == b'%' {
            out.extend_from_slice(b"%%");
        } else if is_special(*byte) {
            out.extend_from_slice(&[b'%', byte.wrapping_add(b'@')]);
        } else {
            out.push(*byte);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(value: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        escape(value, &mut out);
        out
    }

    #[test]
    fn values_are_written_as_the_engine_does_and_come_back() {
        for (value, wire) in [
            (&b""[..], &b""[..]),
            (b"plain=value", b"plain=value"),
            (b"sip/sip:user@host:5080", b"sip/sip%zuser@host%z5080"),
            (b"100%", b"100%%"),
            (b"one\r\ntwo\ttab", b"one%M%Jtwo%Itab"),
            (b"\x01\x1f ~\x7f", b"%A%_ ~\x7f"),
            ("Zo\u{eb}".as_bytes(), "Zo\u{eb}".as_bytes()),
            (b"\xff}z", b"\xff}z"),
        ] {
            assert_eq!(escaped(value), wire);
            assert_eq!(unescape(wire), value);
            assert!(is_valid(wire));
        }
    }

    #[test]
    fn what_is_no_escape_stays_and_is_an_error_to_the_engine() {
        for (wire, value) in [
            (&b"%"[..], &b"%"[..]),
            (b"a%", b"a%"),
            (b"%@x", b"%@x"),
            (b"%a%J", b"%a\n"),
            (b"%}", b"%}"),
            (b"%0%%", b"%0%"),
        ] {
            assert_eq!(unescape(wire), value);
            assert!(!is_valid(wire), "{wire:?}");
        }
        assert!(!is_valid(b"a\tb"));
    }

    #[test]
    fn a_name_has_one_escape_more() {
        let mut wire = Vec::new();
        escape_name(b"a=b:c", &mut wire);
        assert_eq!(wire, b"a%}b%zc");
        assert_eq!(unescape_name(&wire), &b"a=b:c"[..]);
        assert!(!is_valid(&wire), "the engine does not read it");
    }

    #[test]
    fn a_value_without_escapes_is_not_copied() {
        assert!(matches!(unescape(b"answered"), Cow::Borrowed(_)));
        assert!(matches!(unescape_text(b"answered"), Cow::Borrowed(_)));
        assert_eq!(unescape_text(b"\xff%z"), "\u{fffd}:");
    }
}
