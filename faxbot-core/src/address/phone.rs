//! Phone numbers of the public network.

use std::{fmt, str::FromStr};

use super::{SipUri, country::code_length, refused};
use crate::{Error, Result};

/// A phone number by ITU-T E.164: `+` and 7 to 15 digits, of which the first is not 0.
///
/// `Debug` and `Display` show the country code and the last two digits: `+49*******67`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PhoneNumber(String);

impl PhoneNumber {
    /// Digits of the shortest number.
    pub const MIN_DIGITS: usize = 7;
    /// Digits of the longest number (ITU-T E.164 §6.2.1).
    pub const MAX_DIGITS: usize = 15;

    /// Reads a number as people write it: as [`FromStr`] after removing spaces, `-`, `.`, `(` and
    /// `)`. The `+` and the country code must still be there.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRequest`](crate::ErrorKind::InvalidRequest) for anything else.
    pub fn parse_lenient(text: &str) -> Result<Self> {
        text.replace([' ', '-', '.', '(', ')'], "").parse()
    }

    /// The number as `+` and digits; not masked.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// `+493012345678`.
    pub fn e164(&self) -> &str {
        &self.0
    }

    /// `493012345678`.
    pub fn digits(&self) -> &str {
        self.0.strip_prefix('+').unwrap_or(&self.0)
    }

    /// The country code, from the list of ITU-T E.164: `49`.
    pub fn country_code(&self) -> &str {
        let digits = self.digits();
        digits.get(..code_length(digits)).unwrap_or(digits)
    }

    /// The number as dialled inside of the country `cc` (digits only): `national("49", "0")` of
    /// `+493012345678` is `03012345678`. `None` for a number of another country.
    pub fn national(&self, cc: &str, trunk_prefix: &str) -> Option<String> {
        if cc != self.country_code() {
            return None;
        }
        let national = self.digits().strip_prefix(cc)?;
        Some(format!("{trunk_prefix}{national}"))
    }

    /// The digits behind a prefix: `with_prefix("00")` is `00493012345678`.
    pub fn with_prefix(&self, prefix: &str) -> String {
        format!("{prefix}{}", self.digits())
    }

    /// `sip:+493012345678@host`; `host` may have a port.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRequest`](crate::ErrorKind::InvalidRequest) if `host` is not one.
    pub fn sip_uri(&self, host: &str) -> Result<SipUri> {
        format!("sip:{}@{host}", self.0).parse()
    }

    /// Reads a number as it is dialled inside of a country, by the numbering plan of `region`
    /// (ISO 3166 code of two letters): `030 1234567` in `DE`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRequest`](crate::ErrorKind::InvalidRequest) for an unknown region, and
    /// for a number that its numbering plan does not have.
    #[cfg(feature = "phone-metadata")]
    pub fn from_national(text: &str, region: &str) -> Result<Self> {
        let region: phonenumber::country::Id = region
            .to_ascii_uppercase()
            .parse()
            .map_err(|_| refused("unknown region: expected two letters such as DE"))?;
        let parsed = phonenumber::parse(Some(region), text)
            .map_err(|_| refused("not a number of this region"))?;
        let number: Self = parsed
            .format()
            .mode(phonenumber::Mode::E164)
            .to_string()
            .parse()?;
        number.validate()?;
        Ok(number)
    }

    /// Checks the number against the numbering plan of its country.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRequest`](crate::ErrorKind::InvalidRequest) if the plan has no such
    /// number.
    #[cfg(feature = "phone-metadata")]
    pub fn validate(&self) -> Result<()> {
        match phonenumber::parse(None, &self.0) {
            Ok(number) if phonenumber::is_valid(&number) => Ok(()),
            _ => Err(refused("no such number in its country's numbering plan")),
        }
    }
}

impl FromStr for PhoneNumber {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let valid = text.strip_prefix('+').is_some_and(|digits| {
            (Self::MIN_DIGITS..=Self::MAX_DIGITS).contains(&digits.len())
                && !digits.starts_with('0')
                && digits.bytes().all(|byte| byte.is_ascii_digit())
        });
        if valid {
            Ok(Self(text.into()))
        } else {
            Err(refused(
                "not a phone number: expected + and 7 to 15 digits, the first not 0",
            ))
        }
    }
}

impl fmt::Display for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 2;
        let digits = self.digits();
        let code = self.country_code();
        let end = digits.len().saturating_sub(SHOWN);
        let hidden = end.saturating_sub(code.len());
        let last = digits.get(end..).unwrap_or_default();
        write!(f, "+{code}{:*<hidden$}{last}", "")
    }
}

impl fmt::Debug for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
