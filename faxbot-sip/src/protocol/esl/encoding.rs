//! The %-encoding of values in plain and XML events.

use std::borrow::Cow;

/// Characters that are encoded beside everything outside of visible ASCII (`SWITCH_URL_UNSAFE` in
/// `switch_utils.h`; observed on FreeSWITCH 1.10.12, recording
/// `02_header_encoding_every_ascii`).
const UNSAFE: &[u8] = b" #%&+:;<=>?@[\\]^`{|}\"";

/// Bytes of a buffer for one value after the other; longer ones let it grow.
const SCRATCH: usize = 1024;

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// The bytes that stand behind `%XX`; a `%` without two hex digits is itself, a `+` is a plus.
///
/// The encoding loses something: the server leaves a value's own `%41` alone, so that it decodes
/// to `A` (observed on FreeSWITCH 1.10.12, recording `02_sendevent_and_encoding`). JSON events
/// have the true value.
#[must_use]
pub fn decode(value: &[u8]) -> Cow<'_, [u8]> {
    let mut out = Vec::new();
    if unescape(value, &mut out) {
        Cow::Owned(out)
    } else {
        Cow::Borrowed(value)
    }
}

/// Puts the decoded bytes into `out`, whatever it held. False, and nothing done, for a value
/// without an escape.
#[inline]
fn unescape(value: &[u8], out: &mut Vec<u8>) -> bool {
    let Some(first) = memchr::memchr(b'%', value) else {
        return false;
    };
    unescape_from(first, value, out);
    true
}

fn unescape_from(first: usize, value: &[u8], out: &mut Vec<u8>) {
    let (plain, mut rest) = value.split_at(first);
    out.clear();
    out.reserve(value.len());
    out.extend_from_slice(plain);
    // Escapes stand close together: a search for the next costs more than it saves.
    while let [byte, tail @ ..] = rest {
        rest = tail;
        match (byte, tail) {
            (b'%', [high, low, after @ ..]) => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => {
                    out.push(high << 4 | low);
                    rest = after;
                }
                _ => out.push(*byte),
            },
            _ => out.push(*byte),
        }
    }
}

/// As [`decode`], as text; bytes that are no UTF-8 become U+FFFD.
#[must_use]
pub fn decode_text(value: &[u8]) -> Cow<'_, str> {
    match decode(value) {
        Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes),
        Cow::Owned(bytes) => Cow::Owned(text(bytes)),
    }
}

/// As [`decode_text`], of what is text already.
#[must_use]
#[inline]
pub fn decode_str(value: &str) -> Cow<'_, str> {
    match decode(value.as_bytes()) {
        Cow::Borrowed(_) => Cow::Borrowed(value),
        Cow::Owned(bytes) => Cow::Owned(text(bytes)),
    }
}

/// As [`decode_str`], into a buffer; `None` when that is no text.
#[inline]
pub(super) fn decode_into<'a>(value: &'a str, scratch: &'a mut Vec<u8>) -> Option<&'a str> {
    if scratch.capacity() == 0 {
        scratch.reserve(SCRATCH);
    }
    if unescape(value.as_bytes(), scratch) {
        std::str::from_utf8(scratch).ok()
    } else {
        Some(value)
    }
}

fn text(bytes: Vec<u8>) -> String {
    match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    }
}

/// Appends `value` as the server encodes it (`switch_url_encode` in `switch_utils.c`): a `%` before
/// two upper-case hex digits stays as it is.
pub fn encode(value: &[u8], out: &mut Vec<u8>) {
    for (at, byte) in value.iter().enumerate() {
        let escaped = *byte == b'%'
            && value
                .get(at + 1..at + 3)
                .is_some_and(|next| next.iter().all(|digit| HEX.contains(digit)));
        if escaped || (byte.is_ascii_graphic() && !UNSAFE.contains(byte)) {
            out.push(*byte);
            continue;
        }
        out.push(b'%');
        for nibble in [byte >> 4, byte & 0x0f] {
            out.push(HEX.get(usize::from(nibble)).copied().unwrap_or(b'0'));
        }
    }
}

#[inline]
fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_decoded_and_what_is_no_escape_stays() {
        for (wire, want) in [
            ("plain", "plain"),
            ("", ""),
            ("a%20b%2Bc+d", "a b+c+d"),
            ("100%25%20%41%20%25zz", "100% A %zz"),
            ("%", "%"),
            ("%4", "%4"),
            ("%zz%%41", "%zz%A"),
            ("Gr%C3%BC%c3%9fe", "Gr\u{fc}\u{df}e"),
            ("%FFx", "\u{fffd}x"),
        ] {
            assert_eq!(decode_text(wire.as_bytes()), want, "{wire}");
        }
        assert!(matches!(decode(b"none"), Cow::Borrowed(_)));
    }

    #[test]
    fn values_are_encoded_as_the_server_does() {
        for (value, want) in [
            ("a: b,c", "a%3A%20b,c"),
            ("100% %41 %zz", "100%25%20%41%20%25zz"),
            ("%4a", "%254a"),
            ("'a' \u{fc}\u{7f}", "'a'%20%C3%BC%7F"),
        ] {
            let mut out = Vec::new();
            encode(value.as_bytes(), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), want);
        }
    }
}
