//! How messages of AMI are read and masked for the transcript.

use crate::server::record::Masking;

/// Headers whose values hold no personal data. All others show as `***`.
const PLAIN: [&str; 36] = [
    "Action",
    "ActionID",
    "Application",
    "Async",
    "AuthType",
    "Cause",
    "Cause-txt",
    "ChannelId",
    "ChannelState",
    "ChannelStateDesc",
    "Context",
    "DestUniqueid",
    "DialStatus",
    "Event",
    "EventList",
    "EventMask",
    "Events",
    "ListItems",
    "Operation",
    "PageNumber",
    "PagesTransferred",
    "PagesTransmitted",
    "Ping",
    "Priority",
    "Privilege",
    "Reason",
    "Replace",
    "Response",
    "Restart",
    "SessionNumber",
    "Shutdown",
    "State",
    "Status",
    "TechCause",
    "Timeout",
    "Uniqueid",
];

pub(super) const MASKING: Masking = Masking { read, plain };

fn read(message: &[u8]) -> Vec<(String, String)> {
    String::from_utf8_lossy(message)
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.trim_start().to_owned()))
        .collect()
}

fn plain(name: &str, value: &str) -> bool {
    // `Channel does not exist: PJSIP/..` names a channel behind the colon; what has digits may
    // have a number.
    let personal = |c: char| c == ':' || c.is_ascii_digit();
    PLAIN.iter().any(|plain| plain.eq_ignore_ascii_case(name))
        || (name.eq_ignore_ascii_case("Message") && !value.contains(personal))
}
