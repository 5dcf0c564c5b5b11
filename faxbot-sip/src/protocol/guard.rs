//! Checks of outbound strings, shared by every text protocol.
//!
//! A line break inside a value starts a new header, command or message on the other side: that is
//! injection (observed on Asterisk 22.10, recordings `10_crlf_injection` and `injection`). A NUL
//! cuts the value there. So each string is checked before it is queued, and the connection never
//! sees a bad one. An error says what and where, never the value: it may hold a number or a secret.

use std::fmt;

/// The piece of a message that was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Part {
    /// The name of a header, variable or command.
    Name,
    /// The value of a header or variable.
    Value,
    /// A whole line without its line end.
    Line,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => "name",
            Self::Value => "value",
            Self::Line => "line",
        })
    }
}

/// Why a string may not go on the wire. Positions count bytes from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unsendable {
    /// A carriage return.
    #[error("{part} has a carriage return at byte {at}")]
    CarriageReturn {
        /// Where it was found.
        part: Part,
        /// Byte position.
        at: usize,
    },
    /// A line feed.
    #[error("{part} has a line feed at byte {at}")]
    LineFeed {
        /// Where it was found.
        part: Part,
        /// Byte position.
        at: usize,
    },
    /// A NUL byte.
    #[error("{part} has a NUL at byte {at}")]
    Nul {
        /// Where it was found.
        part: Part,
        /// Byte position.
        at: usize,
    },
    /// A byte that this piece may not have.
    #[error("{part} has a byte that is not allowed at byte {at}")]
    Forbidden {
        /// Where it was found.
        part: Part,
        /// Byte position.
        at: usize,
    },
    /// Nothing where something must be.
    #[error("{part} is empty")]
    Empty {
        /// What is empty.
        part: Part,
    },
    /// More bytes than the server takes.
    #[error("{part} has {bytes} bytes, at most {max} are allowed")]
    TooLong {
        /// What is too long.
        part: Part,
        /// Its length in bytes.
        bytes: usize,
        /// The limit in bytes.
        max: usize,
    },
}

/// Refuses CR, LF and NUL.
///
/// # Errors
/// [`Unsendable`] naming the first bad byte.
pub fn text(part: Part, bytes: &[u8]) -> Result<(), Unsendable> {
    match memchr::memchr3(b'\r', b'\n', 0, bytes) {
        None => Ok(()),
        Some(at) => Err(match bytes.get(at) {
            Some(b'\r') => Unsendable::CarriageReturn { part, at },
            Some(b'\n') => Unsendable::LineFeed { part, at },
            _ => Unsendable::Nul { part, at },
        }),
    }
}

/// Refuses more than `max` bytes.
///
/// # Errors
/// [`Unsendable::TooLong`].
pub fn length(part: Part, bytes: usize, max: usize) -> Result<(), Unsendable> {
    if bytes > max {
        return Err(Unsendable::TooLong { part, bytes, max });
    }
    Ok(())
}

/// Takes a name of visible ASCII without a colon, as the header names of AMI and ESL are.
///
/// # Errors
/// [`Unsendable`] when it is empty or has another byte.
pub fn name(bytes: &[u8]) -> Result<(), Unsendable> {
    let part = Part::Name;
    if bytes.is_empty() {
        return Err(Unsendable::Empty { part });
    }
    text(part, bytes)?;
    match bytes
        .iter()
        .position(|b| !b.is_ascii_graphic() || *b == b':')
    {
        None => Ok(()),
        Some(at) => Err(Unsendable::Forbidden { part, at }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_break_and_nul_is_named_with_its_place() {
        let part = Part::Value;
        for (bytes, want) in [
            (&b"a\rb"[..], Unsendable::CarriageReturn { part, at: 1 }),
            (b"ab\n", Unsendable::LineFeed { part, at: 2 }),
            (b"\0", Unsendable::Nul { part, at: 0 }),
            (b"a\r\n", Unsendable::CarriageReturn { part, at: 1 }),
        ] {
            assert_eq!(text(part, bytes), Err(want));
        }
        assert_eq!(text(part, "Zo\u{eb} \t,\"\\;:=".as_bytes()), Ok(()));
        assert_eq!(text(part, b""), Ok(()));
    }

    #[test]
    fn a_name_is_visible_ascii_without_a_colon() {
        for good in ["Action", "X-Header", "FAXOPT(ecm)"] {
            assert_eq!(name(good.as_bytes()), Ok(()), "{good}");
        }
        for bad in ["", "a b", "a:", " a", "a\t", "\u{eb}", "a\nb", "a\0"] {
            assert!(name(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_limit_itself_is_allowed() {
        assert_eq!(length(Part::Line, 10, 10), Ok(()));
        assert_eq!(
            length(Part::Line, 11, 10),
            Err(Unsendable::TooLong {
                part: Part::Line,
                bytes: 11,
                max: 10
            })
        );
    }

    #[test]
    fn an_error_never_prints_the_value() {
        let secret = b"+15551234567\r";
        let shown = format!("{0} {0:?}", text(Part::Value, secret).unwrap_err());
        assert!(!shown.contains("555"), "{shown}");
    }
}
