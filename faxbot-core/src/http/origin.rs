//! Addresses that credentials may be sent to, and paths below them.

use std::fmt::Write as _;

use url::{Host, Url};

use crate::{Error, ErrorKind, Result};

/// Whether the address names a user or a password.
pub(super) fn has_credentials(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

/// Whether the address is https, or http to this machine: nobody between reads along.
pub(super) fn is_private(url: &Url) -> bool {
    match (url.scheme(), url.host()) {
        ("https", Some(_)) => true,
        ("http", Some(Host::Domain(name))) => name == "localhost",
        ("http", Some(Host::Ipv4(address))) => address.is_loopback(),
        ("http", Some(Host::Ipv6(address))) => address.is_loopback(),
        _ => false,
    }
}

/// Refuses a base that is no address of an API, or that nothing can be appended to.
pub(super) fn check_base(base: &Url) -> Result<()> {
    let wrong = if !matches!(base.scheme(), "http" | "https") {
        "the api is not at an http or https address"
    } else if has_credentials(base) {
        "the address of the api holds a user or a password"
    } else if base.query().is_some() || base.fragment().is_some() {
        "the address of the api holds a query or a fragment"
    } else {
        return Ok(());
    };
    Err(Error::new(ErrorKind::InvalidRequest, "api", wrong))
}

/// The address with these segments behind its path.
pub(super) fn join(base: &Url, segments: &[&str]) -> Result<Url> {
    // Not by `path_segments_mut`: it drops tabs and line breaks before it looks for dots, so that
    // a tab before `..` would climb.
    let mut path = base.path().trim_end_matches('/').to_owned();
    for segment in segments {
        if matches!(*segment, "" | "." | "..") {
            let message = "an id that cannot be part of an address";
            return Err(Error::new(ErrorKind::InvalidRequest, "api", message));
        }
        path.push('/');
        encode(segment, &mut path);
    }
    let mut url = base.clone();
    url.set_path(&path);
    Ok(url)
}

/// Percent-encodes all but the unreserved characters of RFC 3986 section 2.3.
fn encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
}
