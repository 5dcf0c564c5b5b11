//! Names in the server's own numbering plan.

use std::{fmt, str::FromStr};

use super::refused;
use crate::{Error, Result, redact::MASK};

/// An extension such as `700` or `fax-desk`: 1 to 32 of `0-9 A-Z a-z * # _ . -`.
///
/// `Debug` and `Display` show `***`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Extension(String);

impl Extension {
    /// Characters of the longest extension.
    pub const MAX_LENGTH: usize = 32;

    /// The extension; not masked.
    pub fn expose(&self) -> &str {
        &self.0
    }

    pub(super) fn has_only_allowed(text: &str) -> bool {
        text.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"*#_.-".contains(&byte))
    }
}

impl FromStr for Extension {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if (1..=Self::MAX_LENGTH).contains(&text.len()) && Self::has_only_allowed(text) {
            Ok(Self(text.into()))
        } else {
            Err(refused(
                "not an extension: expected 1 to 32 letters, digits or *#_.-",
            ))
        }
    }
}

impl fmt::Display for Extension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl fmt::Debug for Extension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}
