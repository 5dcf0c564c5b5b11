//! Dial templates: how a trunk is addressed.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Address, Extension, NumberFormat, refused};
use crate::{Error, Result};

/// A server's dial string with exactly one `{number}`, such as `PJSIP/{number}@trunk`.
///
/// It is filled only from a number or an extension, whose characters cannot leave their place:
/// no comma, `&`, `@`, slash, space or line break ever comes from the address. The template
/// itself has no space, comma, `&`, `|`, quote or other brace: on the servers known they start
/// another argument or another destination, and a fax has one.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct DialTemplate {
    before: String,
    after: String,
}

impl DialTemplate {
    /// What the number stands for.
    pub const MARK: &str = "{number}";
    /// What a right value is, for error texts and documentation.
    pub const EXPECTED: &str = "a dial string with exactly one {number}, such as PJSIP/{number}@trunk, without spaces, commas, &, | or quotes";

    /// The dial string for `address`; not masked. An extension is filled in as it is, a number as
    /// `format` says.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRequest`](crate::ErrorKind::InvalidRequest) for another kind of
    /// address, and for a format whose prefix could leave the number's place.
    pub fn fill(&self, address: &Address, format: &NumberFormat) -> Result<String> {
        let number = match address {
            Address::PhoneNumber(number) => format.apply(number),
            Address::Extension(extension) => extension.expose().into(),
            Address::SipUri(_) | Address::Native(_) => {
                return Err(refused(
                    "a dial template takes a number or an extension, no uri and no native address",
                ));
            }
        };
        if !Extension::has_only_allowed(&number.replace('+', "")) {
            return Err(refused(
                "the number format makes a text that cannot be dialled",
            ));
        }
        Ok(format!("{}{number}{}", self.before, self.after))
    }
}

impl FromStr for DialTemplate {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad = |c: char| c.is_control() || c.is_whitespace() || ",&|\"'\\{}".contains(c);
        match text.split_once(Self::MARK) {
            Some((before, after)) if !before.contains(bad) && !after.contains(bad) => Ok(Self {
                before: before.into(),
                after: after.into(),
            }),
            _ => Err(refused(format!(
                "not a dial template: expected {}",
                Self::EXPECTED
            ))),
        }
    }
}

impl fmt::Display for DialTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", self.before, Self::MARK, self.after)
    }
}

impl fmt::Debug for DialTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DialTemplate({self})")
    }
}

impl Serialize for DialTemplate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DialTemplate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(|error: Error| serde::de::Error::custom(error.message()))
    }
}
