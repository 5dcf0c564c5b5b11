//! SIP headers that a request may add to an INVITE.

use faxbot_core::{Error, ErrorKind, Result};

/// Headers that the SIP stack writes itself: a second one would make the request another, or none
/// (RFC 3261 section 20, RFC 4028 section 4).
const OWN: &[&str] = &[
    "via",
    "v",
    "from",
    "f",
    "to",
    "t",
    "call-id",
    "i",
    "cseq",
    "allow",
    "supported",
    "k",
    "session-expires",
    "x",
    "min-se",
    "contact",
    "m",
    "max-forwards",
    "route",
    "record-route",
    "require",
    "proxy-require",
    "content-length",
    "l",
    "content-type",
    "c",
    "content-encoding",
    "e",
    "content-disposition",
    "authorization",
    "proxy-authorization",
];

/// Refuses a header that no request may add.
///
/// # Errors
/// `InvalidRequest`.
pub(crate) fn check(name: &str, value: &str, operation: &'static str) -> Result<()> {
    let problem = if !is_token(name) {
        "the name of a SIP header is a token of RFC 3261"
    } else if OWN.iter().any(|own| own.eq_ignore_ascii_case(name)) {
        "this SIP header is written by the server; use one that starts with X-"
    } else if value.chars().any(char::is_control) {
        "the value of a SIP header cannot hold control characters"
    } else {
        return Ok(());
    };
    Err(Error::new(ErrorKind::InvalidRequest, operation, problem))
}

/// RFC 3261 section 25.1.
fn is_token(name: &str) -> bool {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&byte);
    !name.is_empty() && name.bytes().all(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_the_stack_and_broken_ones_are_refused() {
        for (name, value, taken) in [
            ("X-Account", "42, \"x\"", true),
            ("Subject", "fax", true),
            ("Contact", "sip:x@y", false),
            ("m", "sip:x@y", false),
            ("X Account", "1", false),
            ("", "1", false),
            ("X-A", "1\r\nX-B: 2", false),
        ] {
            assert_eq!(check(name, value, "make_call").is_ok(), taken, "{name}");
        }
    }
}
