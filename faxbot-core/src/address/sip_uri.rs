//! SIP and SIPS URIs, checked.

use std::{fmt, net::Ipv6Addr, ops::Range, str::FromStr};

use super::refused;
use crate::{Error, Result, redact::MASK};

/// A URI by RFC 3261 §19.1: scheme, host, and where given user, port and parameters.
///
/// Not accepted, though the RFC has them: a password (§19.1.1 advises against it) and headers
/// (`?Subject=...`), because they let an address write headers of the request. `Debug` and
/// `Display` show `***`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SipUri {
    text: String,
    user: Option<Range<usize>>,
    host: Range<usize>,
    port: Option<u16>,
}

impl SipUri {
    /// Bytes of the longest URI.
    pub const MAX_LENGTH: usize = 255;

    /// Whether `text` starts as a SIP or SIPS URI, in any letter case.
    pub(super) fn has_scheme(text: &str) -> bool {
        Self::split_scheme(text).is_some()
    }

    fn split_scheme(text: &str) -> Option<(&'static str, &str)> {
        let (scheme, rest) = text.split_once(':')?;
        ["sip", "sips"]
            .into_iter()
            .find(|known| known.eq_ignore_ascii_case(scheme))
            .map(|known| (known, rest))
    }

    /// The URI; not masked.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// Whether the scheme is `sips`.
    pub fn is_secure(&self) -> bool {
        self.text.starts_with("sips:")
    }

    /// The part before the `@`, as written (percent-encoded where it is).
    pub fn user(&self) -> Option<&str> {
        self.user.clone().and_then(|range| self.text.get(range))
    }

    /// The host: a name, an IPv4 address, or an IPv6 address in brackets.
    pub fn host(&self) -> &str {
        self.text.get(self.host.clone()).unwrap_or_default()
    }

    /// The port, where given.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    fn parse(text: &str) -> Option<Self> {
        if text.len() > Self::MAX_LENGTH {
            return None;
        }
        let (scheme, tail) = Self::split_scheme(text)?;
        let mut at = scheme.len().checked_add(1)?;
        // The user part may hold a semicolon, so it is cut off first.
        let (user, rest) = match tail.rsplit_once('@') {
            Some((user, rest)) => (Some(user), rest),
            None => (None, tail),
        };
        let user = match user {
            Some(user) if is_user(user) => {
                let range = at..at.checked_add(user.len())?;
                at = range.end.checked_add(1)?;
                Some(range)
            }
            Some(_) => return None,
            None => None,
        };
        let (host_port, parameters) = match rest.split_once(';') {
            Some((host_port, parameters)) => (host_port, Some(parameters)),
            None => (rest, None),
        };
        if !parameters.is_none_or(|text| text.split(';').all(is_parameter)) {
            return None;
        }
        let host_length = if host_port.starts_with('[') {
            host_port.find(']')?.checked_add(1)?
        } else {
            host_port.find(':').unwrap_or(host_port.len())
        };
        let (host, port) = host_port.split_at_checked(host_length)?;
        let port = match port.strip_prefix(':') {
            Some(port) => Some(parse_port(port)?),
            None if port.is_empty() => None,
            None => return None,
        };
        is_host(host).then(|| Self {
            text: format!("{scheme}:{tail}"),
            user,
            host: at..at.saturating_add(host.len()),
            port,
        })
    }
}

/// `user` of RFC 3261 §25.1 without the quote: unreserved, escaped, `&=+$,;?/`.
fn is_user(text: &str) -> bool {
    !text.is_empty() && has_only(text, b"-_.!~*()&=+$,;?/")
}

/// `uri-parameter`: a name, or a name and a value, of `paramchar`.
fn is_parameter(text: &str) -> bool {
    let (name, value) = text.split_once('=').unwrap_or((text, "-"));
    [name, value]
        .iter()
        .all(|part| !part.is_empty() && has_only(part, b"-_.!~*()[]/:&+$"))
}

/// Letters, digits, `%` with two hex digits, and `others`.
fn has_only(text: &str, others: &[u8]) -> bool {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let good = match byte {
            b'%' => {
                let mut hex = || bytes.next().is_some_and(|byte| byte.is_ascii_hexdigit());
                hex() && hex()
            }
            byte => byte.is_ascii_alphanumeric() || others.contains(&byte),
        };
        if !good {
            return false;
        }
    }
    true
}

fn is_host(text: &str) -> bool {
    if let Some(address) = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
    {
        return address.parse::<Ipv6Addr>().is_ok();
    }
    !text.is_empty()
        && text.trim_end_matches('.').split('.').all(|label| {
            // The underscore is not in the RFC; names of containers and services have it.
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        })
}

fn parse_port(text: &str) -> Option<u16> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|port| *port != 0)
}

impl FromStr for SipUri {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text).ok_or_else(|| {
            refused("not a sip uri: expected sip:user@host, with a port and parameters at most")
        })
    }
}

impl fmt::Display for SipUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl fmt::Debug for SipUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}
