//! Events as XML, as the server writes them: no attributes, one element a header.
//!
//! Names are not escaped, so that `<spaced  >` is one (observed on FreeSWITCH 1.10.12, recording
//! `02_sendevent_and_encoding`): no XML parser reads that, and this reader takes no more.

use std::borrow::Cow;

use super::event::{EventError, Form, MAX_HEADERS, Pair, Value};

type Parsed<'a> = (Vec<Pair<'a>>, Option<Cow<'a, [u8]>>);

/// The bytes between two tags, and what is behind the second.
type Inside<'a> = (&'a [u8], &'a [u8], &'a [u8]);

pub(super) fn parse(bytes: &[u8]) -> Result<Parsed<'_>, EventError> {
    read(bytes).unwrap_or(Err(EventError::Xml))
}

fn read(bytes: &[u8]) -> Option<Result<Parsed<'_>, EventError>> {
    let rest = bytes.trim_ascii_start().strip_prefix(b"<event>")?;
    let mut rest = rest.trim_ascii_start().strip_prefix(b"<headers>")?;
    let mut pairs = Vec::with_capacity(128);
    rest = loop {
        rest = rest.trim_ascii_start();
        if let Some(after) = rest.strip_prefix(b"</headers>") {
            break after;
        }
        if pairs.len() >= MAX_HEADERS {
            return Some(Err(EventError::TooManyHeaders));
        }
        let (name, value, after) = element(rest)?;
        let value = Value(Form::Encoded(unescape(value)));
        pairs.push((String::from_utf8_lossy(name), value));
        rest = after;
    };
    let (mut length, mut body) = (None, None);
    loop {
        rest = rest.trim_ascii_start();
        if rest.starts_with(b"</event>") {
            break;
        }
        let (name, value, after) = element(rest)?;
        match name {
            b"Content-Length" => {
                let text = std::str::from_utf8(value.trim_ascii()).ok()?;
                length = Some(text.parse::<usize>().ok()?);
            }
            b"body" => body = Some(unescape(value)),
            _ => {}
        }
        rest = after;
    }
    Some(Ok((pairs, body.map(|body| cut(body, length)))))
}

/// The server indents the end tag behind a body that ends with a line feed (recording
/// `03_originate_loopback_answer_xml`): only the length tells the body.
fn cut(body: Cow<'_, [u8]>, length: Option<usize>) -> Cow<'_, [u8]> {
    let length = length.unwrap_or(body.len()).min(body.len());
    match body {
        Cow::Borrowed(bytes) => Cow::Borrowed(bytes.get(..length).unwrap_or_default()),
        Cow::Owned(mut bytes) => {
            bytes.truncate(length);
            Cow::Owned(bytes)
        }
    }
}

/// Name, text and rest of `<name>text</name>` or `<name/>`.
fn element(bytes: &[u8]) -> Option<Inside<'_>> {
    let rest = bytes.strip_prefix(b"<")?;
    let end = memchr::memchr(b'>', rest)?;
    let (name, rest) = (rest.get(..end)?, rest.get(end + 1..)?);
    if let Some(name) = name.strip_suffix(b"/") {
        return Some((name, &[], rest));
    }
    let end = memchr::memchr(b'<', rest)?;
    let (text, rest) = (rest.get(..end)?, rest.get(end..)?);
    let rest = rest.strip_prefix(b"</")?.strip_prefix(name)?;
    Some((name, text, rest.strip_prefix(b">")?))
}

fn unescape(text: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(b'&', text).is_none() {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'&', rest) {
        let (plain, from) = rest.split_at(at);
        out.extend_from_slice(plain);
        let known = [
            (&b"&amp;"[..], b'&'),
            (b"&lt;", b'<'),
            (b"&gt;", b'>'),
            (b"&quot;", b'"'),
            (b"&apos;", b'\''),
        ];
        let found = known
            .iter()
            .find_map(|(entity, byte)| Some((*byte, from.strip_prefix(*entity)?)));
        let (byte, after) = found
            .or_else(|| numeric(from))
            .unwrap_or((b'&', from.get(1..).unwrap_or_default()));
        out.push(byte);
        rest = after;
    }
    out.extend_from_slice(rest);
    Cow::Owned(out)
}

/// `&#13;`, as control characters of a body are written.
fn numeric(from: &[u8]) -> Option<(u8, &[u8])> {
    let digits = from.strip_prefix(b"&#")?;
    let end = digits.iter().take(4).position(|byte| *byte == b';')?;
    let number = std::str::from_utf8(digits.get(..end)?).ok()?.parse().ok()?;
    Some((number, digits.get(end + 1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_the_servers_xml_is_an_error() {
        for text in [
            "",
            "<event>",
            "<event><headers>",
            "<event><headers><A>1</B></headers></event>",
            "<event><headers><A>1</A></headers>",
            "<event><headers></headers><Content-Length>x</Content-Length></event>",
            "<html></html>",
        ] {
            assert!(parse(text.as_bytes()).is_err(), "{text:?}");
        }
    }

    #[test]
    fn entities_are_resolved_and_unknown_ones_stay() {
        for (text, want) in [
            ("a&amp;&lt;&gt;&quot;&apos;b", "a&<>\"'b"),
            ("&#13;\n&#x;&nope;&", "\r\n&#x;&nope;&"),
        ] {
            assert_eq!(unescape(text.as_bytes()), want.as_bytes(), "{text}");
        }
    }
}
