//! How a number is written for a trunk.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize};

use super::{PhoneNumber, refused};
use crate::{Error, Result};

/// How a [`PhoneNumber`] fills the `{number}` of a [`DialTemplate`](super::DialTemplate).
///
/// In configuration it is text (`e164`, `digits`, `national:49:0`, `prefix:00`) or an object
/// (`{"national": {"cc": "49", "trunk_prefix": "0"}}`, `{"prefix": "00"}`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NumberFormat {
    /// `+493012345678`; the default.
    #[default]
    E164,
    /// `493012345678`.
    Digits,
    /// `03012345678` for numbers of the country `cc`; numbers of other countries as E.164.
    National {
        /// Country code, digits only: `49`.
        cc: String,
        /// What stands before the national number: `0`; may be empty.
        trunk_prefix: String,
    },
    /// A prefix and the digits: `00493012345678`.
    Prefix(String),
}

impl NumberFormat {
    /// What a right value is, for error texts and documentation.
    pub const EXPECTED: &str =
        "e164, digits, national:<country code>:<trunk prefix> or prefix:<prefix>";

    /// The number in this format; not masked.
    pub fn apply(&self, number: &PhoneNumber) -> String {
        match self {
            Self::E164 => number.e164().into(),
            Self::Digits => number.digits().into(),
            Self::National { cc, trunk_prefix } => number
                .national(cc, trunk_prefix)
                .unwrap_or_else(|| number.e164().into()),
            Self::Prefix(prefix) => number.with_prefix(prefix),
        }
    }

    fn checked(self) -> Result<Self> {
        let is_code = |cc: &str| {
            (1..=3).contains(&cc.len())
                && !cc.starts_with('0')
                && cc.bytes().all(|byte| byte.is_ascii_digit())
        };
        let valid = match &self {
            Self::E164 | Self::Digits => true,
            Self::National { cc, trunk_prefix } => is_code(cc) && is_prefix(trunk_prefix),
            Self::Prefix(prefix) => is_prefix(prefix),
        };
        if valid {
            Ok(self)
        } else {
            Err(refused(format!(
                "not a number format: expected {}",
                Self::EXPECTED
            )))
        }
    }
}

/// What can be dialled: digits, `*`, `#`, `+`, at most 16 of them.
fn is_prefix(text: &str) -> bool {
    text.len() <= 16
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || b"*#+".contains(&byte))
}

impl FromStr for NumberFormat {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, rest) = match text.split_once(':') {
            Some((name, rest)) => (name, Some(rest)),
            None => (text, None),
        };
        let format = match (name, rest) {
            ("e164", None) => Self::E164,
            ("digits", None) => Self::Digits,
            ("prefix", Some(prefix)) => Self::Prefix(prefix.into()),
            ("national", Some(rest)) => {
                let (cc, trunk_prefix) = rest.split_once(':').unwrap_or((rest, ""));
                Self::National {
                    cc: cc.into(),
                    trunk_prefix: trunk_prefix.into(),
                }
            }
            // An empty prefix of an empty country is refused by the check.
            _ => Self::National {
                cc: String::new(),
                trunk_prefix: String::new(),
            },
        };
        format.checked()
    }
}

impl fmt::Display for NumberFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::E164 => f.write_str("e164"),
            Self::Digits => f.write_str("digits"),
            Self::National { cc, trunk_prefix } => write!(f, "national:{cc}:{trunk_prefix}"),
            Self::Prefix(prefix) => write!(f, "prefix:{prefix}"),
        }
    }
}

impl<'de> Deserialize<'de> for NumberFormat {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "snake_case")]
        enum Object {
            National {
                cc: String,
                #[serde(default)]
                trunk_prefix: String,
            },
            Prefix(String),
        }
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Text(String),
            Object(Object),
        }
        match Form::deserialize(deserializer)? {
            Form::Text(text) => text.parse(),
            Form::Object(Object::National { cc, trunk_prefix }) => {
                Self::National { cc, trunk_prefix }.checked()
            }
            Form::Object(Object::Prefix(prefix)) => Self::Prefix(prefix).checked(),
        }
        .map_err(|error: Error| serde::de::Error::custom(error.message()))
    }
}
