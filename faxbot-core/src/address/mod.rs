//! Who is called: phone numbers, extensions, SIP URIs, and the server's own forms.
//!
//! Text becomes an [`Address`] by one rule:
//!
//! | text | is |
//! |---|---|
//! | `+` and 7 to 15 digits, the first not 0 | a [`PhoneNumber`] |
//! | 1 to 32 of `0-9 A-Z a-z * # _ . -` | an [`Extension`] |
//! | `sip:` or `sips:` and what RFC 3261 allows, checked | a [`SipUri`] |
//! | `native:` and anything printable | the server's own form, without the `native:` |
//! | anything else | refused |
//!
//! `Debug` and `Display` mask: of a number they show country code and last two digits, of the
//! others nothing. `expose()` is the way to the value; serde writes the value, because records
//! and configuration must survive a round trip.

mod country;
mod extension;
mod format;
mod phone;
mod sip_uri;
mod template;
#[cfg(test)]
mod tests;

use std::{borrow::Cow, fmt, str::FromStr};

pub use self::{
    extension::Extension, format::NumberFormat, phone::PhoneNumber, sip_uri::SipUri,
    template::DialTemplate,
};
use crate::{Error, ErrorKind, Private, Result, redact::MASK};

const NATIVE: &str = "native:";

/// Anything that can be called.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Address {
    /// A number of the public network.
    PhoneNumber(PhoneNumber),
    /// A name in the server's own numbering plan.
    Extension(Extension),
    /// A SIP or SIPS URI.
    SipUri(SipUri),
    /// The server's own form (`PJSIP/1001`, `sofia/gateway/x/1`). It goes to the server as it is,
    /// after the adapter's check that it cannot leave its place on the wire.
    Native(Private<String>),
}

impl Address {
    /// The server's own form.
    pub fn native(text: impl Into<String>) -> Self {
        Self::Native(Private::new(text.into()))
    }

    /// The text that parses to this address again; not masked.
    pub fn expose(&self) -> Cow<'_, str> {
        match self {
            Self::PhoneNumber(number) => number.expose().into(),
            Self::Extension(extension) => extension.expose().into(),
            Self::SipUri(uri) => uri.expose().into(),
            Self::Native(text) => format!("{NATIVE}{}", text.expose()).into(),
        }
    }
}

impl FromStr for Address {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if let Some(native) = text.strip_prefix(NATIVE) {
            if native.is_empty() || native.chars().any(char::is_control) {
                return Err(refused(
                    "a native address is empty or has control characters",
                ));
            }
            return Ok(Self::native(native));
        }
        if SipUri::has_scheme(text) {
            return text.parse().map(Self::SipUri);
        }
        if text.starts_with('+') {
            return text.parse().map(Self::PhoneNumber);
        }
        text.parse().map(Self::Extension).map_err(|_| {
            refused(
                "not an address: expected + and 7 to 15 digits, an extension of 1 to 32 letters, \
                 digits or *#_.-, a sip: or sips: uri, or native: and the server's own form",
            )
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PhoneNumber(number) => number.fmt(f),
            Self::Extension(_) | Self::SipUri(_) | Self::Native(_) => f.write_str(MASK),
        }
    }
}

impl From<PhoneNumber> for Address {
    fn from(number: PhoneNumber) -> Self {
        Self::PhoneNumber(number)
    }
}

impl From<Extension> for Address {
    fn from(extension: Extension) -> Self {
        Self::Extension(extension)
    }
}

impl From<SipUri> for Address {
    fn from(uri: SipUri) -> Self {
        Self::SipUri(uri)
    }
}

impl From<FaxTarget> for Address {
    fn from(target: FaxTarget) -> Self {
        match target {
            FaxTarget::PhoneNumber(number) => Self::PhoneNumber(number),
            FaxTarget::Extension(extension) => Self::Extension(extension),
            FaxTarget::SipUri(uri) => Self::SipUri(uri),
        }
    }
}

/// Where a fax can go: a number, an extension or a SIP URI, and nothing of the server's own form,
/// so that a fax plugin's destinations mean the same on every server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FaxTarget {
    /// A number of the public network.
    PhoneNumber(PhoneNumber),
    /// A name in the server's own numbering plan.
    Extension(Extension),
    /// A SIP or SIPS URI.
    SipUri(SipUri),
}

impl FaxTarget {
    /// The text that parses to this target again; not masked.
    pub fn expose(&self) -> &str {
        match self {
            Self::PhoneNumber(number) => number.expose(),
            Self::Extension(extension) => extension.expose(),
            Self::SipUri(uri) => uri.expose(),
        }
    }
}

impl TryFrom<Address> for FaxTarget {
    type Error = Error;

    fn try_from(address: Address) -> Result<Self> {
        match address {
            Address::PhoneNumber(number) => Ok(Self::PhoneNumber(number)),
            Address::Extension(extension) => Ok(Self::Extension(extension)),
            Address::SipUri(uri) => Ok(Self::SipUri(uri)),
            Address::Native(_) => Err(refused(
                "a fax goes to a number, an extension or a sip uri, not to a native address",
            )),
        }
    }
}

impl FromStr for FaxTarget {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        text.parse::<Address>()?.try_into()
    }
}

impl fmt::Display for FaxTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PhoneNumber(number) => number.fmt(f),
            Self::Extension(_) | Self::SipUri(_) => f.write_str(MASK),
        }
    }
}

fn refused(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidRequest, "parse_address", message)
}

/// Serde as the text of `expose()`, and from it by `FromStr`.
macro_rules! serde_as_text {
    ($($name:ident),+) => {$(
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.expose())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text: String = serde::Deserialize::deserialize(deserializer)?;
                text.parse()
                    .map_err(|error: Error| serde::de::Error::custom(error.message()))
            }
        }
    )+};
}

serde_as_text!(Address, FaxTarget, PhoneNumber, Extension, SipUri);
