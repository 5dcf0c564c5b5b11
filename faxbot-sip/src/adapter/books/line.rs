//! What is known of one call beside its state. Sans-IO.

use std::time::{Duration, Instant};

use faxbot_core::{
    Error, ErrorKind, Private, Timestamp,
    id::CallId,
    sip::{CallPlan, CallRequest, CallState, Causes, Direction, OnAnswer},
};

use super::{Moves, Report, UNSURE};
use crate::adapter::{digits::Turn, fax_run::FaxRun, incoming::Waiting};

/// What a call was placed as, as far as it decides when it counts as answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Plan {
    /// One party: answered with our own channel.
    #[default]
    Single,
    /// One party that is then bridged to another: answered with our own channel.
    Bridge,
    /// Two parties: answered when the second one answers.
    Connect,
    /// It came to us.
    Incoming,
}

impl Plan {
    pub(crate) fn of(request: &CallRequest) -> Self {
        match &request.plan {
            CallPlan::Connect { .. } => Self::Connect,
            CallPlan::Dial {
                on_answer: OnAnswer::Bridge(_),
                ..
            } => Self::Bridge,
            _ => Self::Single,
        }
    }
}

/// What is known of the second party of a call.
#[derive(Debug, Default)]
pub(crate) struct Second {
    /// The first one picked up.
    pub(crate) first_up: bool,
    /// It answered once.
    pub(crate) answered: bool,
    /// It was called, and is not any longer.
    pub(crate) over: bool,
    /// Why a party that did not answer was not reached.
    pub(crate) causes: Option<Causes>,
}

/// A call as it enters the books.
#[derive(Debug)]
pub(crate) struct NewLine {
    pub(crate) id: CallId,
    pub(crate) direction: Direction,
    pub(crate) state: CallState,
    pub(crate) from: Option<Private>,
    pub(crate) to: Option<Private>,
    /// The server's name of our channel, where we choose it or know it.
    pub(crate) own: Option<String>,
    pub(crate) ring_timeout: Duration,
    pub(crate) plan: Plan,
    /// The adapter's own word for what the call is.
    pub(crate) kind: &'static str,
    /// Something is to begin with the answer: [`Todo::Answered`](super::Todo::Answered) is wanted.
    pub(crate) once_answered: bool,
}

/// What is known of one call beside its state.
#[derive(Debug, Default)]
pub(crate) struct Line {
    /// The server's name of our channel; empty until it is known.
    pub(crate) own: String,
    pub(crate) plan: Plan,
    /// The adapter's own word for what the call is.
    pub(crate) kind: &'static str,
    /// For one that came in: the decision.
    pub(crate) incoming: Option<Waiting>,
    pub(crate) second: Second,
    /// Other channels of the call.
    pub(crate) others: Vec<String>,
    /// The channel that ours is joined with, whoever's it is.
    pub(crate) joined: Option<String>,
    /// Our channel was seen.
    pub(crate) there: bool,
    /// What the event of its end told.
    pub(crate) end: Option<Report>,
    /// Why it could not be placed.
    pub(crate) refused: Option<Report>,
    pub(crate) fax: Option<FaxRun>,
    /// Files that the call is recorded into now, as the server names them.
    pub(crate) recording: Vec<String>,
    /// How many recordings were asked for, for the names of their files.
    pub(crate) recordings: u32,
    /// Somebody starts or stops a recording.
    pub(crate) recorder_busy: bool,
    /// A file that the call is perhaps recorded into: the answer was lost.
    pub(crate) perhaps_recording: Option<String>,
    /// Somebody gives the call an order that takes it elsewhere: one at a time.
    pub(crate) busy: bool,
    /// Where orders took it.
    pub(crate) moves: Moves,
    /// Whose turn it is to send digits.
    pub(crate) digits: Turn,
    /// Something is to begin with the answer, and has not begun.
    pub(crate) once_answered: bool,
    /// When the server is asked if no event came until then.
    pub(crate) check_at: Option<Instant>,
    pub(crate) ring_timeout: Duration,
    /// When its request was handed to the connection; before, the server cannot know it.
    pub(crate) requested: Option<Instant>,
    /// The server said that it took the request.
    pub(crate) taken: bool,
    /// A hang-up is owed: it is sent when the channel is there.
    pub(crate) cancel: bool,
    pub(crate) hung_up_by_us: bool,
    pub(crate) settling: bool,
    /// The server was restarted while the call was up. When it was last known to be.
    pub(crate) restarted: Option<Timestamp>,
}

impl Line {
    /// Whether a request that was just written may have its channel still to come; `None` for one
    /// that is not written.
    pub(crate) fn may_still_come(&self, now: Instant) -> Option<bool> {
        let age = now.saturating_duration_since(self.requested?);
        let of_this_run = self.restarted.is_none();
        Some(of_this_run && !self.there && self.refused.is_none() && age < UNSURE)
    }

    /// When the server is asked for it; never again once its end is being read.
    pub(crate) fn due_at(&self) -> Option<Instant> {
        self.check_at.filter(|_| !self.settling)
    }

    /// When it wants to be looked at: to ask the server for it, or for its deadline.
    pub(crate) fn wakes_at(&self) -> Option<Instant> {
        let deadline = self.incoming.as_ref().filter(|_| !self.settling);
        let deadline = deadline.and_then(Waiting::due_at);
        [self.due_at(), deadline].into_iter().flatten().min()
    }

    /// Whether its channel is there, as far as was told.
    pub(crate) fn is_there(&self) -> bool {
        self.end.is_none() && !self.settling
    }
}

/// Why a call ended that was up when the server went down: the class of a failure of the
/// network that passes (Q.850, 41: temporary failure), in words of ours.
pub(crate) fn shutdown_causes() -> Causes {
    Causes::new()
        .with_q850(41)
        .with_native("the server was shut down")
}

/// The error of a call that ended while nobody saw how.
pub(crate) fn lost(id: CallId) -> Error {
    Error::new(
        ErrorKind::OutcomeUnknown,
        "call",
        "the call is gone from the server and left no outcome",
    )
    .with_call_id(id)
}
