//! What an adapter tells its subscribers. Events are notification, never the only truth.

use std::{collections::BTreeMap, fmt, time::Duration};

use crate::{
    Error, Private, Timestamp,
    fax::{FaxOutcome, FaxProgress},
    id::CallId,
    message::{MessageContent, MessageStatus},
    redact::MASK,
    sip::{CallRecord, CallState, CallStatus, Capabilities, ConnectionState},
};

/// Something that happened at a server.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum SipEvent {
    /// A call changed its state.
    CallStateChanged(CallStateChanged),
    /// A call for us waits for `accept` or `reject`.
    IncomingCall(IncomingCall),
    /// A digit came in.
    DtmfReceived {
        /// The call.
        id: Option<CallId>,
        /// The digit: `0`-`9`, `A`-`D`, `*`, `#`.
        digit: char,
        /// How long it was pressed.
        duration: Option<Duration>,
    },
    /// The far end held or resumed the call, or muted it.
    MediaStateChanged {
        /// The call.
        id: Option<CallId>,
        /// Whether the far end holds it.
        remote_hold: bool,
    },
    /// A conference changed.
    ConferenceChanged {
        /// Its name.
        conference: Private,
        /// Members in it now.
        members: usize,
    },
    /// A recording started or stopped.
    RecordingChanged {
        /// The call.
        id: Option<CallId>,
        /// Whether it runs now.
        running: bool,
        /// The file as the server names it.
        file: Option<Private>,
    },
    /// A watched extension or device changed.
    PresenceChanged {
        /// What is watched.
        watched: Private,
        /// The server's word.
        state: String,
    },
    /// A message came in.
    MessageReceived {
        /// From whom.
        from: Private,
        /// What.
        content: MessageContent,
    },
    /// A message that we sent got on.
    MessageStatusChanged(MessageStatus),
    /// A fax got on.
    FaxProgress {
        /// The call that it runs in.
        id: CallId,
        /// How far.
        progress: FaxProgress,
    },
    /// A fax is over.
    FaxFinished {
        /// The call that it ran in.
        id: CallId,
        /// How it ended.
        outcome: FaxOutcome,
    },
    /// The connection changed.
    ConnectionStateChanged(ConnectionChanged),
    /// What the adapter can do changed.
    CapabilitiesChanged(Capabilities),
    /// Something is wrong that no single call shows.
    AdapterError {
        /// How bad.
        severity: Severity,
        /// What.
        error: Error,
    },
    /// An event of the server's that has no form of ours, or a copy of one that has.
    Raw(RawEvent),
}

/// A call's change of state.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CallStateChanged {
    /// Our id; absent for calls that others placed.
    pub id: Option<CallId>,
    /// Where it was.
    pub from: CallState,
    /// Where it is.
    pub to: CallState,
    /// Whether edges were missed in between, after a gap in the connection.
    pub jumped: bool,
    /// The record, when it is over.
    pub record: Option<Box<CallRecord>>,
}

impl CallStateChanged {
    /// A change that was seen as it happened.
    pub fn new(id: Option<CallId>, from: CallState, to: CallState) -> Self {
        Self {
            id,
            from,
            to,
            jumped: false,
            record: None,
        }
    }
}

/// A call that came to us. Plain data: decide with `accept` or `reject`. The first decision wins,
/// the second gets `InvalidState`; at the deadline what is undecided is rejected.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct IncomingCall {
    /// The id that we gave it.
    pub id: CallId,
    /// Who calls.
    pub caller: Option<Private>,
    /// Whom.
    pub called: Option<Private>,
    /// When it came.
    pub at: Timestamp,
    /// When it is rejected if nobody decides.
    pub deadline: Timestamp,
    /// SIP headers and variables that the server hands over.
    pub headers: BTreeMap<String, Private>,
}

impl IncomingCall {
    /// A call that came `at` and waits until `deadline`.
    pub fn new(id: CallId, at: Timestamp, deadline: Timestamp) -> Self {
        Self {
            id,
            caller: None,
            called: None,
            at,
            deadline,
            headers: BTreeMap::new(),
        }
    }
}

/// A change of the connection.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ConnectionChanged {
    /// Where it is now.
    pub state: ConnectionState,
    /// Set when it is back: events between these two moments were missed.
    pub gap: Option<Gap>,
}

impl ConnectionChanged {
    /// A change without a gap.
    pub fn new(state: ConnectionState) -> Self {
        Self { state, gap: None }
    }

    /// Adds the gap.
    #[must_use]
    pub fn with_gap(mut self, gap: Gap) -> Self {
        self.gap = Some(gap);
        self
    }
}

/// A time without events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gap {
    /// When the connection was lost.
    pub from: Timestamp,
    /// When it was back, with everything reconciled.
    pub to: Timestamp,
}

impl Gap {
    /// A gap between two times.
    pub fn new(from: Timestamp, to: Timestamp) -> Self {
        Self { from, to }
    }
}

/// How bad an `AdapterError` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Severity {
    /// Worth a look.
    Warning,
    /// A request or a call was harmed.
    Error,
    /// The adapter cannot do its work until somebody acts.
    Critical,
}

/// An event in the server's own terms.
#[derive(Clone)]
#[non_exhaustive]
pub struct RawEvent {
    /// The server's name of it.
    pub name: String,
    /// Its fields in order, repeated ones kept. Bytes that are no UTF-8 are replaced.
    pub fields: Vec<(String, Private)>,
}

impl RawEvent {
    /// An event with its fields.
    pub fn new(name: impl Into<String>, fields: Vec<(String, Private)>) -> Self {
        Self {
            name: name.into(),
            fields,
        }
    }

    /// The first field of this name, letters in any case.
    pub fn get(&self, name: &str) -> Option<&str> {
        let field = self
            .fields
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name));
        field.map(|(_, value)| value.expose().as_str())
    }
}

impl fmt::Debug for RawEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = self.fields.iter().map(|(key, _)| (key, MASK));
        write!(f, "{} ", self.name)?;
        f.debug_map().entries(fields).finish()
    }
}

/// Everything that is up, at one point of the event stream.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Snapshot {
    /// The number of the last event that is contained; the next one of the stream has a greater
    /// number.
    pub seq: u64,
    /// The connection.
    pub connection: ConnectionState,
    /// Calls that are up.
    pub calls: Vec<CallStatus>,
    /// Incoming calls that wait for a decision.
    pub incoming: Vec<IncomingCall>,
    /// Faxes that run.
    pub faxes: Vec<(CallId, FaxProgress)>,
    /// Conferences that are up, with their members.
    pub conferences: Vec<(Private, usize)>,
}

impl Snapshot {
    /// An empty one.
    pub fn new(seq: u64, connection: ConnectionState) -> Self {
        Self {
            seq,
            connection,
            calls: Vec::new(),
            incoming: Vec::new(),
            faxes: Vec::new(),
            conferences: Vec::new(),
        }
    }
}
