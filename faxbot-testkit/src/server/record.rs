//! What a mock was asked to do, what it was expected to be asked, and the masked transcript.

use std::{collections::VecDeque, fmt, fmt::Write as _};

use bytes::Bytes;
use faxbot_core::{Timestamp, redact::MASK};

/// Lines of the transcript that are kept; older ones are counted.
const KEPT_LINES: usize = 4000;

/// One action of a client.
#[derive(Clone)]
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
    shown: Masking,
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

impl PartialEq for SeenAction {
    fn eq(&self, other: &Self) -> bool {
        (self.connection, &self.name, &self.headers, self.at)
            == (other.connection, &other.name, &other.headers, other.at)
    }
}

impl Eq for SeenAction {}

impl fmt::Debug for SeenAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&line(self.shown, &self.headers))
    }
}

/// A fax that the mock was asked to send.
#[derive(Clone)]
#[non_exhaustive]
pub struct ReceivedFax {
    /// The id of the channel: `ChannelId` of the request, or `origination_uuid`.
    pub channel_id: String,
    /// The number or name that was dialled.
    pub dialled: String,
    /// The path as the server sees it.
    pub path: String,
    /// The file at the moment that the fax started.
    pub tiff: Bytes,
    /// Fax options of the channel then, sorted by name: `FAXOPT` values, or `fax_` variables.
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

/// How a protocol's messages are read and masked for the transcript.
#[derive(Debug, Clone, Copy)]
pub(super) struct Masking {
    /// Names and values of a message as it went over the wire.
    pub read: fn(&[u8]) -> Vec<(String, String)>,
    /// Whether a value holds nothing personal.
    pub plain: fn(&str, &str) -> bool,
}

#[derive(Debug)]
pub(super) struct Expected {
    pub action: String,
    pub header: Option<(String, String)>,
    pub least: usize,
    pub most: usize,
}

#[derive(Debug)]
pub(super) struct Record {
    pub actions: Vec<SeenAction>,
    pub expected: Vec<Expected>,
    masking: Masking,
    lines: VecDeque<Line>,
    dropped: usize,
}

/// A line of the transcript. What the server said is written out when somebody asks for it.
#[derive(Debug)]
enum Line {
    Text(String),
    Server {
        message: Bytes,
        connection: Option<u32>,
    },
}

impl Record {
    pub(super) fn new(masking: Masking) -> Self {
        Self {
            actions: Vec::new(),
            expected: Vec::new(),
            masking,
            lines: VecDeque::new(),
            dropped: 0,
        }
    }

    /// What a client asked for. The answer is the action as it is kept.
    pub(super) fn client(
        &mut self,
        connection: u32,
        name: String,
        headers: Vec<(String, String)>,
        at: Timestamp,
    ) -> SeenAction {
        let shown = line(self.masking, &headers);
        self.push(format!("{at} {connection} > {shown}"));
        let action = SeenAction {
            connection,
            name,
            headers,
            at,
            shown: self.masking,
        };
        self.actions.push(action.clone());
        action
    }

    /// `connection` is `None` for an event to all.
    pub(super) fn server(&mut self, message: Bytes, connection: Option<u32>) {
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
        for kept in &self.lines {
            match kept {
                Line::Text(line) => text.push_str(line),
                Line::Server {
                    message,
                    connection,
                } => {
                    let to = connection.map_or("*".to_owned(), |connection| connection.to_string());
                    let headers = (self.masking.read)(message);
                    let shown = line(self.masking, &headers);
                    let _infallible = write!(text, "{to} < {shown}");
                }
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

fn line(masking: Masking, headers: &[(String, String)]) -> String {
    let mut text = String::new();
    for (name, value) in headers {
        if !text.is_empty() {
            text.push_str(" | ");
        }
        text.push_str(name);
        text.push_str(": ");
        let plain = value.is_empty() || (masking.plain)(name, value);
        text.push_str(if plain { value } else { MASK });
    }
    text
}
