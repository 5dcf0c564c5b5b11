//! Bytes to netstrings, for both ends of a connection.

use bytes::{Buf as _, Bytes, BytesMut};

use crate::protocol::session::Codec;

/// Bytes that a payload may have unless the constructor says otherwise. Kamailio itself has no limit
/// for what it relays; the longest event of the recordings is below 4 KiB.
pub const MAX_PAYLOAD: usize = 256 * 1024;

/// The most that a caller may allow.
const MAX_ALLOWED: usize = 64 * 1024 * 1024;

/// A payload above the limit is passed over up to this length. A greater one is taken for digits that
/// are no length: waiting for its end would be deafness.
const MAX_PASSED_OVER: usize = 64 * 1024 * 1024;

/// Digits of a length. Kamailio takes what fits an `int` (`evapi_recv_client` in `evapi_dispatch.c`).
const MAX_DIGITS: usize = 10;

/// Why bytes cannot be netstrings. The connection cannot go on after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Something else stands where a length should: the other side does not frame
    /// (`netstring_format` is 0), or the framing is lost.
    #[error("no netstring: a length is expected")]
    NoLength,
    /// The length is no length of a message.
    #[error("no netstring: its length is beyond all limits")]
    Immense,
    /// The byte behind the payload is no comma: the framing is lost.
    #[error("no netstring: the comma behind the payload is missing")]
    NoComma,
}

/// Takes netstrings off a buffer; a frame is the payload, which may be empty.
///
/// Blanks, line ends and commas between netstrings are passed over, as Kamailio does with blanks and
/// line ends. So is a payload above the limit, without keeping it. Anything else loses the framing.
#[derive(Debug)]
pub struct NetstringCodec {
    max_payload: usize,
    state: State,
    passed_over: u64,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// Digits are read; so many bytes of them were looked at.
    Length {
        searched: usize,
    },
    /// A payload of so many bytes and its comma are to come.
    Payload {
        length: usize,
    },
    /// So many bytes of a payload above the limit are still to come, then its comma.
    Over {
        left: usize,
    },
    Failed(DecodeError),
}

impl NetstringCodec {
    /// A codec for one connection. `max_payload` is in bytes, raised to 1,024 and lowered to 64 MiB;
    /// the usual one is [`MAX_PAYLOAD`].
    #[must_use]
    pub fn new(max_payload: usize) -> Self {
        Self {
            max_payload: max_payload.clamp(1024, MAX_ALLOWED),
            state: State::Length { searched: 0 },
            passed_over: 0,
        }
    }

    /// How many payloads above the limit were passed over so far.
    #[must_use]
    pub fn passed_over(&self) -> u64 {
        self.passed_over
    }

    /// A netstring on the wire.
    #[must_use]
    pub fn encode(payload: &[u8]) -> Bytes {
        let mut bytes = payload.len().to_string().into_bytes();
        bytes.reserve(payload.len() + 2);
        bytes.push(b':');
        bytes.extend_from_slice(payload);
        bytes.push(b',');
        bytes.into()
    }

    fn fail(&mut self, why: DecodeError) -> DecodeError {
        self.state = State::Failed(why);
        why
    }

    /// Reads the length at the front of `input`. `None` asks for more bytes.
    fn length(
        &mut self,
        input: &mut BytesMut,
        searched: usize,
    ) -> Result<Option<usize>, DecodeError> {
        if searched == 0 {
            let between = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b',');
            let blanks = input.iter().take_while(between).count();
            input.advance(blanks);
        }
        let digits = input.iter().skip(searched);
        let digits = searched + digits.take_while(|byte| byte.is_ascii_digit()).count();
        if digits > MAX_DIGITS {
            return Err(self.fail(DecodeError::Immense));
        }
        match input.get(digits) {
            None => {
                self.state = State::Length { searched: digits };
                Ok(None)
            }
            Some(b':') if digits > 0 => {
                let text = input.get(..digits).unwrap_or_default();
                let length = text.iter().fold(0_u64, |length, digit| {
                    length * 10 + u64::from(digit.wrapping_sub(b'0'))
                });
                input.advance(digits + 1);
                match usize::try_from(length) {
                    Ok(length) if length <= MAX_PASSED_OVER.max(self.max_payload) => {
                        Ok(Some(length))
                    }
                    _ => Err(self.fail(DecodeError::Immense)),
                }
            }
            Some(_) => Err(self.fail(DecodeError::NoLength)),
        }
    }

    /// Takes the comma behind a payload.
    fn comma(&mut self, input: &mut BytesMut) -> Result<(), DecodeError> {
        if input.first() != Some(&b',') {
            return Err(self.fail(DecodeError::NoComma));
        }
        input.advance(1);
        self.state = State::Length { searched: 0 };
        Ok(())
    }
}

impl Codec for NetstringCodec {
    type Frame = Bytes;
    type Error = DecodeError;

    fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Bytes>, DecodeError> {
        loop {
            match self.state {
                State::Failed(why) => return Err(why),
                State::Length { searched } => match self.length(input, searched)? {
                    None => return Ok(None),
                    Some(length) if length > self.max_payload => {
                        self.state = State::Over { left: length };
                    }
                    Some(length) => self.state = State::Payload { length },
                },
                State::Payload { length } => {
                    if input.len() <= length {
                        // What is to come is known: the buffer grows once.
                        input.reserve(length + 1 - input.len());
                        return Ok(None);
                    }
                    let payload = input.split_to(length).freeze();
                    self.comma(input)?;
                    return Ok(Some(payload));
                }
                State::Over { left } => {
                    let here = left.min(input.len());
                    input.advance(here);
                    let left = left - here;
                    self.state = State::Over { left };
                    if left > 0 || input.is_empty() {
                        return Ok(None);
                    }
                    self.comma(input)?;
                    self.passed_over = self.passed_over.saturating_add(1);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// All frames of `pieces`, and the error at the end.
    fn decode(pieces: &[&[u8]], max: usize) -> (Vec<Bytes>, Option<DecodeError>) {
        let (mut codec, mut input) = (NetstringCodec::new(max), BytesMut::new());
        let mut frames = Vec::new();
        for piece in pieces {
            input.extend_from_slice(piece);
            loop {
                match Codec::decode(&mut codec, &mut input) {
                    Ok(Some(frame)) => frames.push(frame),
                    Ok(None) => break,
                    Err(error) => return (frames, Some(error)),
                }
            }
        }
        (frames, None)
    }

    #[test]
    fn netstrings_are_read_as_kamailio_writes_them() {
        let rows: [(&[u8], &[&str]); 6] = [
            // `evapi_edges`: a greeting; two in one read.
            (
                b"47:{\"event\":\"hello\",\"addr\":\"127.0.0.1\",\"conidx\":1},",
                &["{\"event\":\"hello\",\"addr\":\"127.0.0.1\",\"conidx\":1}"],
            ),
            (
                b"28:{\"event\":\"echo\",\"msg\":\"abc\"},29:{\"event\":\"echo\",\"msg\":\"defg\"},",
                &[
                    "{\"event\":\"echo\",\"msg\":\"abc\"}",
                    "{\"event\":\"echo\",\"msg\":\"defg\"}",
                ],
            ),
            (b"0:,3:abc,", &["", "abc"]),
            (b"\r\n 3:abc,\n,3:a,b,", &["abc", "a,b"]),
            (b"003:abc,", &["abc"]),
            (b"3:ab", &[]),
        ];
        for (bytes, wanted) in rows {
            let (frames, error) = decode(&[bytes], MAX_PAYLOAD);
            assert_eq!(error, None);
            assert_eq!(frames, wanted, "{}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn what_loses_the_framing_is_an_error_that_stays() {
        let rows: [(&[u8], DecodeError); 8] = [
            (b"{\"event\":\"hello\"}", DecodeError::NoLength),
            (b":abc,", DecodeError::NoLength),
            (b"-3:abc,", DecodeError::NoLength),
            (b"3 :abc,", DecodeError::NoLength),
            (b"5:hellox", DecodeError::NoComma),
            (b"2000:", DecodeError::NoComma),
            (b"12345678901:", DecodeError::Immense),
            (b"9999999999:", DecodeError::Immense),
        ];
        for (bytes, wanted) in rows {
            let (mut codec, mut input) = (NetstringCodec::new(0), BytesMut::new());
            input.extend_from_slice(bytes);
            // Passed over whole, with a wrong byte behind it.
            if bytes == b"2000:" {
                input.extend_from_slice(&[b'x'; 2001]);
            }
            assert_eq!(Codec::decode(&mut codec, &mut input), Err(wanted));
            input.extend_from_slice(b"3:abc,");
            assert_eq!(Codec::decode(&mut codec, &mut input), Err(wanted));
        }
    }

    #[test]
    fn a_payload_above_the_limit_is_passed_over_and_not_kept() {
        let (mut codec, mut input) = (NetstringCodec::new(1024), BytesMut::new());
        input.extend_from_slice(b"1000000:");
        for _ in 0..1000 {
            input.extend_from_slice(&[b'x'; 1000]);
            assert_eq!(Codec::decode(&mut codec, &mut input), Ok(None));
            assert!(input.is_empty());
        }
        input.extend_from_slice(b",5:again,");
        let frame = Codec::decode(&mut codec, &mut input).unwrap();
        assert_eq!(frame.as_deref(), Some(&b"again"[..]));
        assert_eq!(codec.passed_over(), 1);
    }

    #[test]
    fn the_limit_itself_is_allowed() {
        for (length, frames) in [(1024, 1), (1025, 0)] {
            let bytes = NetstringCodec::encode(&vec![b'x'; length]);
            assert_eq!(
                decode(&[&bytes], 1024),
                (vec![Bytes::from(vec![b'x'; length]); frames], None)
            );
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_however_it_is_cut(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..8),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        ) {
            let mut wire = Vec::new();
            for payload in &payloads {
                wire.extend_from_slice(&NetstringCodec::encode(payload));
            }
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(wire.len() + 1)).collect();
            cuts.extend([0, wire.len()]);
            cuts.sort_unstable();
            let pieces: Vec<_> = cuts.windows(2).map(|pair| &wire[pair[0]..pair[1]]).collect();
            let (frames, error) = decode(&pieces, MAX_PAYLOAD);
            prop_assert_eq!(error, None);
            prop_assert_eq!(frames, payloads);
        }

        #[test]
        fn the_same_bytes_give_the_same_frames_however_they_are_split(
            bytes in prop::collection::vec(prop_oneof![Just(b':'), Just(b','), Just(b'1'), Just(b'3'), Just(b'x'), Just(b' '), any::<u8>()], 0..60),
        ) {
            let whole = decode(&[&bytes], MAX_PAYLOAD);
            let single: Vec<_> = bytes.chunks(1).collect();
            prop_assert_eq!(decode(&single, MAX_PAYLOAD), whole);
        }
    }
}
