//! Words of the engine, status codes of SIP, causes of Q.850.

/// Words and the status that the SIP driver makes of them; of several words for one status the
/// first is what the driver makes of a status (`dict_errors` in `ysipchan.cpp`).
const WORDS: [(&str, u16); 31] = [
    ("incomplete", 484),
    ("noroute", 404),
    ("noroute", 604),
    ("noconn", 503),
    ("noconn", 408),
    ("noauth", 401),
    ("nomedia", 415),
    ("nocall", 481),
    ("busy", 486),
    ("busy", 600),
    ("noanswer", 480),
    ("noanswer", 487),
    ("rejected", 406),
    ("rejected", 606),
    ("forbidden", 403),
    ("forbidden", 603),
    ("offline", 404),
    ("congestion", 480),
    ("unallocated", 410),
    ("failure", 500),
    ("pending", 491),
    ("looping", 483),
    ("timeout", 408),
    ("timeout", 504),
    ("service-not-implemented", 501),
    ("service-unavailable", 503),
    ("unacceptable", 488),
    ("noresource", 503),
    ("interworking", 500),
    ("interworking", 400),
    ("invalid-message", 400),
];

/// The word that the other leg gets for a final status.
pub(super) fn word(status: u16) -> Option<&'static str> {
    let found = WORDS.iter().find(|(_, code)| *code == status);
    found.map(|(word, _)| *word)
}

/// The status for a word.
pub(super) fn status(word: &str) -> Option<u16> {
    let found = WORDS.iter().find(|(known, _)| *known == word);
    found.map(|(_, code)| *code)
}

/// The text of a status, as the recordings have it.
pub(super) fn phrase(status: u16) -> &'static str {
    match status {
        180 => "Ringing",
        183 => "Session Progress",
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        410 => "Gone",
        415 => "Unsupported Media Type",
        480 => "Temporarily Unavailable",
        481 => "Call/Transaction Does Not Exist",
        484 => "Address Incomplete",
        486 => "Busy Here",
        487 => "Request Terminated",
        488 => "Not Acceptable Here",
        491 => "Request Pending",
        500 => "Server Internal Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        504 => "Server Time-out",
        600 => "Busy Everywhere",
        603 => "Decline",
        604 => "Does Not Exist Anywhere",
        606 => "Not Acceptable",
        _ => "Rejected",
    }
}

/// What a SIP leg says for a word that ended it: the text of its status, or the word.
pub(super) fn reason(word: &str) -> String {
    status(word).map_or_else(|| word.to_owned(), |status| phrase(status).to_owned())
}

/// The cause of Q.850 for a status (RFC 3398, section 7.2.4.1; 480 is what section 8.2.6.1 makes of 19, and
/// what this engine says for `noanswer`).
pub(super) fn cause(status: u16) -> u32 {
    match status {
        400 | 481 | 500 => 41,
        401 | 403 | 407 | 603 => 21,
        404 | 604 => 1,
        408 | 504 => 102,
        410 => 22,
        480 => 19,
        484 => 28,
        486 | 600 => 17,
        488 | 606 => 31,
        501 => 79,
        503 => 34,
        _ => 127,
    }
}

/// The status of a far end that refuses with a cause of Q.850 (RFC 3398, section 8.2.6.1).
pub(super) fn of_cause(cause: u32) -> u16 {
    match cause {
        1 => 404,
        17 => 486,
        18 => 408,
        19 => 480,
        21 => 403,
        22 => 410,
        28 => 484,
        34 | 38 | 41 | 42 => 503,
        _ => 480,
    }
}

/// User, host and port of `sip:user@host:port` or `sip/sip:user@host:port`.
pub(super) fn parts(uri: &str) -> Option<(String, String)> {
    let uri = uri.strip_prefix("sip/").unwrap_or(uri);
    let uri = uri.trim_start_matches('<').trim_end_matches('>');
    let uri = uri
        .strip_prefix("sip:")
        .or_else(|| uri.strip_prefix("sips:"))?;
    let uri = uri.split([';', '?']).next().unwrap_or_default();
    let (user, host) = uri.rsplit_once('@').unwrap_or(("", uri));
    if host.is_empty() || host.contains(char::is_whitespace) {
        return None;
    }
    let has_port = host
        .rsplit_once(':')
        .is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let address = if has_port {
        host.to_owned()
    } else {
        format!("{host}:5060")
    };
    Some((user.to_owned(), address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_texts_are_those_of_the_recordings() {
        for (code, said, text) in [
            (486, "busy", "Busy Here"),
            (404, "noroute", "Not Found"),
            (480, "noanswer", "Temporarily Unavailable"),
            (503, "noconn", "Service Unavailable"),
            (603, "forbidden", "Decline"),
        ] {
            assert_eq!((word(code), phrase(code)), (Some(said), text));
        }
        assert_eq!(reason("busy"), "Busy Here");
        assert_eq!(reason("transfer"), "transfer");
    }

    #[test]
    fn a_target_has_a_user_and_an_address() {
        let found = |uri| parts(uri).map(|(user, address)| format!("{user} {address}"));
        assert_eq!(
            found("sip/sip:uas@127.0.0.1:5080").as_deref(),
            Some("uas 127.0.0.1:5080")
        );
        assert_eq!(
            found("sip:100@pbx.example").as_deref(),
            Some("100 pbx.example:5060")
        );
        assert_eq!(found("sip/not a uri"), None);
    }
}
