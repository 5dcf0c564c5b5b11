//! The event stream of OpenSIPS: JSON objects that follow one another without any separator
//! (`03_event_stream_reconnect`). What ends one is its own structure.

use bytes::{Buf as _, Bytes, BytesMut};

use crate::protocol::session::Codec;

/// Bytes that an event may have unless the constructor says otherwise: 256 KiB. OpenSIPS builds an
/// event in one buffer of the process, of which the largest that was seen had 60 KB
/// (`03_event_stream_two_subscribers_large_events`).
pub const MAX_EVENT: usize = 256 * 1024;

/// The most that a caller may allow.
const MAX_ALLOWED: usize = 64 * 1024 * 1024;

/// Why bytes cannot be an event. The connection cannot go on after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The object does not end within the limit.
    #[error("an object is longer than {max} bytes")]
    TooLong {
        /// The limit in bytes.
        max: usize,
    },
    /// Something else than white space stands where an object would begin.
    #[error("something else than an object")]
    NotAnObject,
}

/// Takes objects off a buffer. Bytes are searched once, however they are split, and nothing is
/// followed into the depth.
#[derive(Debug)]
pub struct EventCodec {
    max: usize,
    /// Bytes of the current object that were searched.
    scanned: usize,
    /// Objects and lists that are open.
    depth: usize,
    /// Within a text.
    text: bool,
    /// Behind a backslash of a text.
    escaped: bool,
    failed: Option<DecodeError>,
}

impl EventCodec {
    /// A codec for one connection. `max` is in bytes, raised to 1,024 and lowered to 64 MiB; the
    /// usual one is [`MAX_EVENT`].
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self {
            max: max.clamp(1024, MAX_ALLOWED),
            scanned: 0,
            depth: 0,
            text: false,
            escaped: false,
            failed: None,
        }
    }

    /// How many bytes the object has, if its end is there.
    fn end(&mut self, input: &[u8]) -> Option<usize> {
        let mut at = self.scanned;
        while let Some(rest) = input.get(at..).filter(|rest| !rest.is_empty()) {
            if self.escaped {
                self.escaped = false;
                at += 1;
            } else if self.text {
                let Some(found) = memchr::memchr2(b'"', b'\\', rest) else {
                    at = input.len();
                    break;
                };
                self.escaped = rest.get(found) == Some(&b'\\');
                self.text = self.escaped;
                at += found + 1;
            } else {
                match rest.first() {
                    Some(b'"') => self.text = true,
                    Some(b'{' | b'[') => self.depth += 1,
                    Some(b'}' | b']') => self.depth = self.depth.saturating_sub(1),
                    _ => {}
                }
                at += 1;
                if self.depth == 0 {
                    self.scanned = 0;
                    return Some(at);
                }
            }
        }
        self.scanned = at;
        None
    }

    fn fail(&mut self, why: DecodeError) -> DecodeError {
        self.failed = Some(why);
        why
    }
}

impl Default for EventCodec {
    fn default() -> Self {
        Self::new(MAX_EVENT)
    }
}

impl Codec for EventCodec {
    /// One object, without the white space around it. Its inside may be broken.
    type Frame = Bytes;
    type Error = DecodeError;

    fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Bytes>, DecodeError> {
        if let Some(why) = self.failed {
            return Err(why);
        }
        if self.depth == 0 {
            let blank = input.iter().take_while(|it| it.is_ascii_whitespace());
            let blank = blank.count();
            input.advance(blank);
            match input.first() {
                None => return Ok(None),
                Some(b'{') => {}
                Some(_) => return Err(self.fail(DecodeError::NotAnObject)),
            }
        }
        let max = self.max;
        match self.end(input) {
            Some(bytes) if bytes <= max => Ok(Some(input.split_to(bytes).freeze())),
            None if input.len() <= max => Ok(None),
            _ => Err(self.fail(DecodeError::TooLong { max })),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(pieces: &[&str]) -> (Vec<String>, Option<DecodeError>) {
        let (mut codec, mut buffer) = (EventCodec::new(1024), BytesMut::new());
        let mut frames = Vec::new();
        for piece in pieces {
            buffer.extend_from_slice(piece.as_bytes());
            loop {
                match codec.decode(&mut buffer) {
                    Ok(Some(frame)) => frames.push(String::from_utf8(frame.to_vec()).unwrap()),
                    Ok(None) => break,
                    Err(why) => return (frames, Some(why)),
                }
            }
        }
        (frames, None)
    }

    #[test]
    fn objects_need_no_separator_and_brackets_in_texts_are_none() {
        let table: [(&[&str], &[&str]); 6] = [
            (&["{}{\"a\":[{}]}{}"], &["{}", "{\"a\":[{}]}", "{}"]),
            (&["{\"a\":\"}{\"}{}"], &["{\"a\":\"}{\"}", "{}"]),
            (
                &[r#"{"a":"\"}\\"}{"b":"\\\""}"#],
                &[r#"{"a":"\"}\\"}"#, r#"{"b":"\\\""}"#],
            ),
            (&[" \r\n{} \t{}\n"], &["{}", "{}"]),
            (&["{\"a\":\"\\", "\"}", "\"}"], &["{\"a\":\"\\\"}\"}"]),
            (&["{]{}"], &["{]", "{}"]),
        ];
        for (pieces, want) in table {
            let (frames, failed) = frames(pieces);
            assert_eq!(frames, want, "{pieces:?}");
            assert_eq!(failed, None, "{pieces:?}");
        }
    }

    #[test]
    fn what_is_no_object_ends_the_connection_and_stays_so() {
        for text in ["x", "[]", "\"\"", "1{}", "\0", "\u{feff}{}", "}"] {
            let (none, failed) = frames(&[text, "{}"]);
            assert_eq!(
                (none.len(), failed),
                (0, Some(DecodeError::NotAnObject)),
                "{text}"
            );
        }
        let mut codec = EventCodec::default();
        for text in ["x", "{}"] {
            assert!(codec.decode(&mut BytesMut::from(text)).is_err());
        }
    }

    #[test]
    fn an_object_at_the_limit_passes_and_one_byte_more_does_not() {
        let event = |bytes: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(bytes - 8));
        assert_eq!(frames(&[&event(1024)]).0.len(), 1);
        let too_long = Some(DecodeError::TooLong { max: 1024 });
        assert_eq!(frames(&[&event(1025)]), (vec![], too_long));
        let long = event(2000);
        let (a, b) = long.split_at(1000);
        assert_eq!(frames(&[a, b]), (vec![], too_long));
    }
}
