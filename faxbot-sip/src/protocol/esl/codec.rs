//! Bytes to frames, for both ends of a connection.

use bytes::BytesMut;

use super::frame::{Frame, Kind, c_text, headers};
use crate::protocol::session::Codec;

/// Bytes that a frame may have unless the constructor says otherwise: 16 MiB. A list of 10,000
/// channels as JSON is below; a peer that never ends its frame costs no more memory than this.
pub const MAX_FRAME: usize = 16 * 1024 * 1024;

/// Bytes that the header lines may have. The largest seen, a command of 200 KB, is far below
/// (recording `02_large_reply_and_limits`); the server takes 10 MiB (`read_packet` in
/// `mod_event_socket.c`).
pub const MAX_HEAD: usize = 1024 * 1024;

/// The most that a caller may allow.
const MAX_ALLOWED: usize = 64 * 1024 * 1024;

/// Which end of the connection decodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Role {
    /// Decodes what FreeSWITCH sends: lines end with LF, a `Content-Length` that is no number ends
    /// the connection, a negative one means no body.
    Client,
    /// Decodes what a client sends: a line ends with LF, a CR before it is dropped; a
    /// `Content-Length` in any case, negative or no number, means no body (observed on FreeSWITCH
    /// 1.10.12, recordings `02_framing_and_lf_injection` and `02_negative_content_length`).
    Server,
}

/// Why bytes cannot be a frame. The connection cannot go on after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The header lines do not end within the limit.
    #[error("header lines are longer than {max} bytes")]
    HeadTooLong {
        /// The limit in bytes.
        max: usize,
    },
    /// Header lines and body are longer than the limit.
    #[error("frame is longer than {max} bytes")]
    TooLong {
        /// The limit in bytes.
        max: usize,
    },
    /// The server gave a length that is no number.
    #[error("content length is not a number")]
    ContentLength,
}

/// Takes frames off a buffer. Bytes are searched once, however they are split.
#[derive(Debug)]
pub struct EslCodec {
    role: Role,
    max_frame: usize,
    max_head: usize,
    /// Bytes of the current header lines that were searched.
    scanned: usize,
    /// Where the current line starts.
    line_start: usize,
    /// Where the first line that is not blank starts.
    start: Option<usize>,
    /// Header lines that were read; their body is not all there.
    head: Option<Head>,
    failed: Option<DecodeError>,
}

#[derive(Debug, Clone, Copy)]
struct Head {
    start: usize,
    body: usize,
    total: usize,
    kind: Kind,
}

impl EslCodec {
    /// A codec for one connection. `max_frame` is in bytes, raised to 1,024 and lowered to
    /// 64 MiB; the usual one is [`MAX_FRAME`]. Header lines end within it and [`MAX_HEAD`].
    #[must_use]
    pub fn new(role: Role, max_frame: usize) -> Self {
        let max_frame = max_frame.clamp(1024, MAX_ALLOWED);
        Self {
            role,
            max_frame,
            max_head: max_frame.min(MAX_HEAD),
            scanned: 0,
            line_start: 0,
            start: None,
            head: None,
            failed: None,
        }
    }

    /// Which end it decodes for.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// Searches on for the blank line: where the first line starts, and where the body does.
    #[inline]
    fn find_head(&mut self, input: &[u8]) -> Option<(usize, usize)> {
        let start = match self.start {
            Some(start) => start,
            None => {
                let unsearched = input.get(self.scanned..)?;
                let skipped = unsearched.iter().position(|b| !matches!(b, b'\r' | b'\n'));
                let Some(skipped) = skipped else {
                    self.scanned = input.len();
                    return None;
                };
                let start = self.scanned + skipped;
                self.start = Some(start);
                self.line_start = start;
                self.scanned = start;
                start
            }
        };
        let from = self.scanned;
        for at in memchr::memchr_iter(b'\n', input.get(from..)?) {
            let at = from + at;
            let line = input.get(self.line_start..at)?;
            if line.is_empty() || (self.role == Role::Server && line.iter().all(|b| *b == b'\r')) {
                return Some((start, at + 1));
            }
            self.line_start = at + 1;
        }
        self.scanned = input.len();
        None
    }

    fn read_head(&self, input: &[u8], start: usize, body: usize) -> Result<Head, DecodeError> {
        let lines = input.get(start..body).unwrap_or_default();
        let (kind, length) = match self.role {
            Role::Client => server_head(lines)?,
            Role::Server => (Kind::Command, client_length(lines)),
        };
        let max = self.max_frame;
        let total = body
            .checked_add(length)
            .filter(|total| *total <= max)
            .ok_or(DecodeError::TooLong { max })?;
        Ok(Head {
            start,
            body,
            total,
            kind,
        })
    }

    fn next_head(&mut self, input: &[u8]) -> Result<Option<Head>, DecodeError> {
        if let Some(head) = self.head {
            return Ok(Some(head));
        }
        let max = self.max_head;
        match self.find_head(input) {
            Some((start, body)) if body <= max => {
                let head = self.read_head(input, start, body)?;
                self.head = Some(head);
                Ok(Some(head))
            }
            None if input.len() <= max => Ok(None),
            _ => Err(DecodeError::HeadTooLong { max }),
        }
    }
}

impl Codec for EslCodec {
    type Frame = Frame;
    type Error = DecodeError;

    #[inline]
    fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Frame>, DecodeError> {
        if let Some(why) = self.failed {
            return Err(why);
        }
        match self.next_head(input) {
            Ok(Some(head)) if input.len() >= head.total => {
                let raw = input.split_to(head.total).freeze();
                self.scanned = 0;
                self.start = None;
                self.head = None;
                Ok(Some(Frame::from_parts(
                    raw, head.start, head.body, head.kind,
                )))
            }
            Ok(_) => Ok(None),
            Err(why) => {
                self.failed = Some(why);
                Err(why)
            }
        }
    }
}

/// Kind and body length of a frame of the server. Names in their exact case, the last one counts:
/// the reply to `connect` holds more than a hundred headers of the channel before its type.
fn server_head(lines: &[u8]) -> Result<(Kind, usize), DecodeError> {
    let (mut kind, mut length) = (Kind::Other, 0);
    for (name, value) in headers(lines) {
        match name {
            b"Content-Type" => kind = Kind::of(value.trim_ascii()),
            b"Content-Length" => length = server_length(value.trim_ascii())?,
            _ => {}
        }
    }
    Ok((kind, length))
}

fn server_length(value: &[u8]) -> Result<usize, DecodeError> {
    let digits = value.strip_prefix(b"-").unwrap_or(value);
    match leading_number(digits) {
        Some((_, used)) if used != digits.len() => Err(DecodeError::ContentLength),
        None => Err(DecodeError::ContentLength),
        Some(_) if digits.len() < value.len() => Ok(0),
        Some((number, _)) => Ok(number),
    }
}

fn client_length(lines: &[u8]) -> usize {
    let lengths = headers(lines).skip(usize::from(first_has_colon(lines)));
    lengths
        .filter(|(name, _)| name.eq_ignore_ascii_case(b"content-length"))
        .last()
        .and_then(|(_, value)| leading_number(c_text(value)))
        .map_or(0, |(number, _)| number)
}

/// The command itself may hold a colon; it is no header.
fn first_has_colon(lines: &[u8]) -> bool {
    lines
        .split(|byte| *byte == b'\n')
        .next()
        .is_some_and(|line| line.contains(&b':'))
}

/// The number at the front and its digits; one that is too large saturates.
fn leading_number(text: &[u8]) -> Option<(usize, usize)> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let number = text.iter().take(digits).fold(0_usize, |number, digit| {
        number
            .saturating_mul(10)
            .saturating_add(usize::from(digit - b'0'))
    });
    (digits > 0).then_some((number, digits))
}
