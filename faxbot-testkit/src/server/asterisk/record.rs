//! What a mock was asked to do, what it was expected to be asked, and the masked transcript.

use std::{collections::VecDeque, fmt, fmt::Write as _};

use bytes::Bytes;
use faxbot_core::{Timestamp, redact::MASK};
use faxbot_sip::protocol::ami::Message;

/// Lines of the transcript that are kept; older ones are counted.
const KEPT_LINES: usize = 4000;

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

/// One action of a client.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SeenAction {
    /// The connection, numbered from 1 in the order they were opened.
    pub connection: u32,
    /// The name as the client wrote it.
    pub name: String,
    /// All headers in their order.
    pub headers: Vec<(String, String)>,
    /// When it came.
    pub at: Timestamp,
}

impl SeenAction {
    /// The value of the first header of that name, without regard to case.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The values of all headers of that name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> + 'a {
        self.headers
            .iter()
            .filter(move |(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

impl fmt::Debug for SeenAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}",
            line(self.headers.iter().map(|(k, v)| (k.as_str(), v.as_str())))
        )
    }
}

/// A fax that the mock was asked to send.
#[derive(Clone)]
#[non_exhaustive]
pub struct ReceivedFax {
    /// `Uniqueid` of the channel, which is the `ChannelId` of the request.
    pub channel_id: String,
    /// The number or name that was dialled.
    pub dialled: String,
    /// The path as the server sees it.
    pub path: String,
    /// The file at the moment that `SendFAX` started.
    pub tiff: Bytes,
    /// `FAXOPT` values of the channel then, sorted by name.
    pub options: Vec<(String, String)>,
    /// Pages that the far end confirmed.
    pub pages: u32,
    /// Whether the fax ended in success. False while it runs.
    pub complete: bool,
}

impl fmt::Debug for ReceivedFax {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReceivedFax")
            .field("channel_id", &self.channel_id)
            .field("bytes", &self.tiff.len())
            .field("pages", &self.pages)
            .field("complete", &self.complete)
            .finish_non_exhaustive()
    }
}

pub(super) struct Expected {
    pub action: String,
    pub header: Option<(String, String)>,
    pub least: usize,
    pub most: usize,
}

#[derive(Default)]
pub(super) struct Record {
    pub actions: Vec<SeenAction>,
    pub expected: Vec<Expected>,
    lines: VecDeque<Line>,
    dropped: usize,
}

/// A line of the transcript. What the server said is written out when somebody asks for it.
enum Line {
    Text(String),
    Server {
        message: Message,
        connection: Option<u32>,
    },
}

impl Record {
    pub(super) fn client(&mut self, connection: u32, message: &Message, at: Timestamp) {
        let headers: Vec<_> = message
            .headers()
            .map(|(name, value)| {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                (text(name), text(value))
            })
            .collect();
        let shown = line(headers.iter().map(|(k, v)| (k.as_str(), v.as_str())));
        self.push(format!("{at} {connection} > {shown}"));
        let name = message
            .action()
            .map(String::from_utf8_lossy)
            .unwrap_or_default()
            .into_owned();
        self.actions.push(SeenAction {
            connection,
            name,
            headers,
            at,
        });
    }

    /// `connection` is `None` for an event to all.
    pub(super) fn server(&mut self, message: &Message, connection: Option<u32>) {
        let message = message.clone();
        self.keep(Line::Server {
            message,
            connection,
        });
    }

    pub(super) fn note(&mut self, text: &str) {
        self.push(format!("-- {text}"));
    }

    fn push(&mut self, line: String) {
        self.keep(Line::Text(line));
    }

    fn keep(&mut self, line: Line) {
        if self.lines.len() == KEPT_LINES {
            self.lines.pop_front();
            self.dropped += 1;
        }
        self.lines.push_back(line);
    }

    pub(super) fn transcript(&self) -> String {
        let mut text = String::new();
        if self.dropped > 0 {
            let _infallible = writeln!(text, "({} earlier lines left out)", self.dropped);
        }
        for line in &self.lines {
            match line {
                Line::Text(line) => text.push_str(line),
                Line::Server {
                    message,
                    connection,
                } => text.push_str(&server_line(message, *connection)),
            }
            text.push('\n');
        }
        text
    }

    /// What was expected and did not happen, one line each; empty when all is well.
    pub(super) fn unmet(&self) -> Vec<String> {
        let mut unmet = Vec::new();
        for expected in &self.expected {
            let seen = self
                .actions
                .iter()
                .filter(|seen| seen.name.eq_ignore_ascii_case(&expected.action))
                .filter(|seen| {
                    expected
                        .header
                        .as_ref()
                        .is_none_or(|(name, value)| seen.all(name).any(|v| v == value))
                })
                .count();
            if seen < expected.least || seen > expected.most {
                let range = match (expected.least, expected.most) {
                    (least, usize::MAX) => format!("at least {least}"),
                    (least, most) if least == most => format!("exactly {least}"),
                    (least, most) => format!("{least} to {most}"),
                };
                let with = expected
                    .header
                    .as_ref()
                    .map(|(name, _)| format!(" with that {name}"));
                unmet.push(format!(
                    "expected {range} of {}{}, saw {seen}",
                    expected.action,
                    with.unwrap_or_default(),
                ));
            }
        }
        unmet
    }
}

/// Expectations that were not met, with the masked transcript.
#[derive(Clone)]
pub struct Unmet {
    pub(super) lines: Vec<String>,
    pub(super) transcript: String,
}

impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.lines {
            writeln!(f, "{line}")?;
        }
        write!(f, "transcript:\n{}", self.transcript)
    }
}

impl fmt::Debug for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Unmet {}

fn server_line(message: &Message, connection: Option<u32>) -> String {
    let headers: Vec<_> = message
        .headers()
        .map(|(name, value)| {
            (
                String::from_utf8_lossy(name),
                String::from_utf8_lossy(value),
            )
        })
        .collect();
    let shown = line(headers.iter().map(|(k, v)| (&**k, &**v)));
    let to = connection.map_or("*".to_owned(), |connection| connection.to_string());
    format!("{to} < {shown}")
}

fn line<'a>(headers: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut text = String::new();
    for (name, value) in headers {
        if !text.is_empty() {
            text.push_str(" | ");
        }
        let plain = PLAIN.iter().any(|plain| plain.eq_ignore_ascii_case(name));
        text.push_str(name);
        text.push_str(": ");
        // `Channel does not exist: PJSIP/..` names a channel behind the colon; what has digits may
        // have a number.
        let personal = |c: char| c == ':' || c.is_ascii_digit();
        let message = name.eq_ignore_ascii_case("Message") && !value.contains(personal);
        text.push_str(if plain || message || value.is_empty() {
            value
        } else {
            MASK
        });
    }
    text
}
