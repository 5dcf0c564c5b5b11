//! What keeps secrets and patients' data out of logs: a secret type and masks for text.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer};

/// What a masked value shows.
pub const MASK: &str = "***";

/// Longest code or word that is shown.
const CODE_BYTES: usize = 64;
/// So many digits are a number that somebody can be called at.
const NUMBER_DIGITS: usize = 7;

/// A code or a word of a server, as `Debug` forms show it: itself where it looks like one
/// (`ring timeout`, `CALL_ERROR 17`, `T38_NEG_ERROR`), else [`MASK`]. What a server writes freely
/// may quote what it was sent.
pub fn code(text: &str) -> &str {
    let of_code = |byte: u8| byte.is_ascii_alphanumeric() || b" _-./:()'".contains(&byte);
    let mut digits = 0;
    let has_number = text.bytes().any(|byte| {
        digits = match byte {
            b'0'..=b'9' => digits + 1,
            // Numbers are written in groups.
            b' ' | b'-' | b'.' | b'/' | b'(' | b')' => digits,
            _ => 0,
        };
        digits >= NUMBER_DIGITS
    });
    if text.len() <= CODE_BYTES && text.bytes().all(of_code) && !has_number {
        text
    } else {
        MASK
    }
}

/// A credential. `Debug` and `Display` show `***`, it does not serialise, and its memory is wiped
/// on drop.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Wraps a credential.
    pub fn new(value: impl Into<String>) -> Self {
        Self(SecretString::from(value.into()))
    }

    /// The only way to the value.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Whether it is the empty string.
    pub fn is_empty(&self) -> bool {
        self.expose().is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl From<String> for Secret {
    fn from(value: String) -> Self {
        Self::new(value)
    }
}

impl From<&str> for Secret {
    fn from(value: &str) -> Self {
        Self::new(value)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

/// Personal data that is not a phone number: an extension, a URI, a file name, a display name.
/// `Debug` and `Display` show `***`; it serialises as its value, because records and
/// configuration must survive a round trip.
#[derive(Clone, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Private<T = String>(T);

impl<T> Private<T> {
    /// Wraps a value.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// The only way to the value.
    pub fn expose(&self) -> &T {
        &self.0
    }

    /// Unwraps the value.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> fmt::Debug for Private<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl<T> fmt::Display for Private<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl<T> From<T> for Private<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_shown_and_what_may_quote_a_number_or_a_text_is_not() {
        for shown in [
            "",
            "17",
            "603",
            "CALL_ERROR 17",
            "lineError 4711",
            "syntax_constraint_violation",
            "T38_NEG_ERROR",
            "Disconnected after permitted retries",
            "Far end cannot receive at the size of image",
            "recipient's line (busy)",
            "Failed/404 Delivered/0",
            "Media.Processed",
        ] {
            assert_eq!(code(shown), shown);
        }
        let long = "x".repeat(65);
        for masked in [
            "+15550104477",
            "15550104477",
            "to 1 (555) 010-4477",
            "049/30.90.18-20.55",
            "no route, try another",
            "Praxis \"Zwirner\"",
            "M\u{fc}ller",
            "a\nb",
            "user@clinic.example",
            "token=abc",
            &long,
        ] {
            assert_eq!(code(masked), MASK, "{masked}");
        }
    }
}
