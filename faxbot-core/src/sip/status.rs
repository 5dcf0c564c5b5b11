//! What is known of calls: live status, records of the ended, and the answer to a lookup.

use std::{fmt, fmt::Write as _};

use serde::{Deserialize, Serialize};

use crate::{
    Private, Timestamp,
    fax::FaxOutcome,
    id::CallId,
    sip::{AdapterKind, CallState, Causes},
};

/// Which way a call goes, as we see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Direction {
    /// We, or somebody through us, placed it.
    Outbound,
    /// It came to us.
    Inbound,
}

/// How a call ended, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Disposition {
    /// It was answered.
    Answered,
    /// The far end was busy.
    Busy,
    /// It rang, or did not, and nobody answered in time. An incoming call was missed: the caller gave
    /// up, or nobody decided on it by its deadline.
    NoAnswer,
    /// The network or the server had no room.
    Congestion,
    /// Refused, or impossible.
    Failed,
    /// Ended by us before an answer; also an incoming call that was rejected, whatever the caller was
    /// told, which is in the causes.
    Cancelled,
    /// Not known.
    Unknown,
}

/// A call that is up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CallStatus {
    /// Our id; absent for calls that others placed.
    pub id: Option<CallId>,
    /// Where it is.
    pub state: CallState,
    /// Which way.
    pub direction: Direction,
    /// The server's names of its channels.
    pub channels: Vec<Private>,
    /// When it was requested or came in.
    pub started_at: Timestamp,
    /// When it was answered.
    pub answered_at: Option<Timestamp>,
}

impl CallStatus {
    /// A call in `state` since `started_at`, with no channel known.
    pub fn new(
        id: Option<CallId>,
        state: CallState,
        direction: Direction,
        started_at: Timestamp,
    ) -> Self {
        Self {
            id,
            state,
            direction,
            channels: Vec::new(),
            started_at,
            answered_at: None,
        }
    }
}

/// What became of a call: one form for the history and the CDR of all adapters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CallRecord {
    /// Our id; absent for calls that others placed.
    pub id: Option<CallId>,
    /// The server's names of its channels.
    pub channels: Vec<Private>,
    /// The kind of the server.
    pub server: AdapterKind,
    /// Which way.
    pub direction: Direction,
    /// The caller, as the server names it.
    pub from: Option<Private>,
    /// The called, as the server names it.
    pub to: Option<Private>,
    /// When it was requested or came in.
    pub start: Timestamp,
    /// When it was answered.
    pub answer: Option<Timestamp>,
    /// When it ended; absent where only the outcome survived.
    pub end: Option<Timestamp>,
    /// From start to end, in whole seconds.
    pub duration_seconds: Option<u64>,
    /// From answer to end, in whole seconds.
    pub billable_seconds: Option<u64>,
    /// How it ended.
    pub disposition: Disposition,
    /// Why, in the codes of the network and the server.
    pub causes: Causes,
    /// The recording's file as the server names it.
    pub recording: Option<Private>,
    /// The fax that ran in it.
    pub fax: Option<FaxOutcome>,
}

impl CallRecord {
    /// A record of a call that started at `start`; its other fields are unknown.
    pub fn new(
        id: Option<CallId>,
        server: AdapterKind,
        direction: Direction,
        start: Timestamp,
    ) -> Self {
        Self {
            id,
            channels: Vec::new(),
            server,
            direction,
            from: None,
            to: None,
            start,
            answer: None,
            end: None,
            duration_seconds: None,
            billable_seconds: None,
            disposition: Disposition::Unknown,
            causes: Causes::default(),
            recording: None,
            fax: None,
        }
    }

    /// Sets the end and the two durations that follow from it.
    pub fn close(&mut self, end: Timestamp) {
        self.end = Some(end);
        self.duration_seconds = Some(end.duration_since(self.start).as_secs());
        self.billable_seconds = Some(
            self.answer
                .map_or(0, |answer| end.duration_since(answer).as_secs()),
        );
    }

    /// The first row of a CSV file (RFC 4180) of records.
    pub const CSV_HEADER: &'static str = "id,channels,server,direction,from,to,start,answer,end,duration_seconds,billable_seconds,disposition,sip_status,q850,native,recording,fax_pages_confirmed,fax_pages_total";

    /// This record as a row of CSV, without a line end. It holds personal data.
    pub fn to_csv(&self) -> String {
        let text = |value: &Option<Private>| {
            value
                .as_ref()
                .map(|v| v.expose().clone())
                .unwrap_or_default()
        };
        let channels = self
            .channels
            .iter()
            .map(|c| c.expose().as_str())
            .collect::<Vec<_>>()
            .join(" ");
        let pages = self
            .fax
            .as_ref()
            .map(|fax| (fax.pages_confirmed, fax.pages_total));
        let fields = [
            opt(self.id),
            channels,
            self.server.to_string(),
            word(&self.direction),
            text(&self.from),
            text(&self.to),
            self.start.to_string(),
            opt(self.answer),
            opt(self.end),
            opt(self.duration_seconds),
            opt(self.billable_seconds),
            word(&self.disposition),
            opt(self.causes.sip_status),
            opt(self.causes.q850),
            self.causes.native.clone().unwrap_or_default(),
            text(&self.recording),
            opt(pages.and_then(|(confirmed, _)| confirmed)),
            opt(pages.and_then(|(_, total)| total)),
        ];
        let mut row = String::new();
        for (index, field) in fields.iter().enumerate() {
            if index > 0 {
                row.push(',');
            }
            push_csv(&mut row, field);
        }
        row
    }
}

fn opt(value: Option<impl fmt::Display>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

/// Quotes what RFC 4180 wants quoted, and a leading `=`, `+`, `-` or `@` is kept from being taken
/// for a formula by a spreadsheet.
fn push_csv(row: &mut String, field: &str) {
    let formula = field.starts_with(['=', '-', '@', '\t', '\r'])
        || (field.starts_with('+') && !field.bytes().skip(1).all(|b| b.is_ascii_digit()));
    if formula || field.contains([',', '"', '\n', '\r']) {
        let guard = if formula { "'" } else { "" };
        // Writing to a String cannot fail.
        let _ = write!(row, "\"{guard}{}\"", field.replace('"', "\"\""));
    } else {
        row.push_str(field);
    }
}

/// The serde name of a unit variant, so that JSON and CSV use the same words.
fn word<T: Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

/// The answer to "what became of this call?".
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Lookup {
    /// It is up.
    Live(CallStatus),
    /// It is over, and this is how.
    Ended(Box<CallRecord>),
    /// The server can prove that it never took such a request: the only answer that permits
    /// another try.
    NeverExisted,
    /// Nobody can say.
    Unknown(UnknownReason),
}

/// Why nobody can say what became of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum UnknownReason {
    /// The server restarted since the request.
    ServerRestarted,
    /// The server keeps no outcomes, or may not (rights, configuration).
    NotKept,
    /// The time of the request is not known, so an absent trace proves nothing.
    RequestTimeUnknown,
    /// The request is so recent that its traces may still come.
    TooRecent,
    /// The reference names no call of ours, and the server cannot be asked by its own name.
    NotOurs,
}

/// What a request to hang up came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HangupOutcome {
    /// The call is over.
    Ended,
    /// The server took the request; the end follows as an event.
    Requested,
    /// The server cannot cancel a call that still rings.
    CannotCancelRinging,
}

/// What a disconnect left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drained {
    /// Whether every request that was written had its answer. Otherwise the rest ended in `Closed`
    /// with an unknown effect.
    pub complete: bool,
    /// Calls that were up and were left alone.
    pub calls_left: usize,
}

/// Nothing was open, nothing was left.
impl Default for Drained {
    fn default() -> Self {
        Self::new(true, 0)
    }
}

impl Drained {
    /// Whether all answers came, and how many calls were left alone.
    pub fn new(complete: bool, calls_left: usize) -> Self {
        Self {
            complete,
            calls_left,
        }
    }
}
