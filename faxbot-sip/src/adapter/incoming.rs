//! Calls that come to us and wait for a decision: one at a time, undone when its order certainly did not
//! arrive, open while nobody knows. Sans-IO, but for [`Decision`], which enters the fate of an order.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use faxbot_core::{
    Effect, Error, ErrorKind, Private, Result,
    id::{CallId, CallRef},
    sip::{Causes, IncomingCall, RejectCause, Severity, SipEvent},
};

use super::{
    calls::{Calls, Now},
    hub::{Book, Hub},
};
use crate::protocol::session::Session;

/// Calls that may wait for a decision at a time: about 2 kB each. What is beyond is rejected as busy,
/// so that a flood of calls cannot take the memory.
pub(crate) const MAX_WAITING: usize = 1_000;

/// Channels that may wait for being rejected as busy. What is beyond ends by the server's own limit.
const MAX_REFUSED: usize = 1_000;

/// Names that a call is told with, and bytes of each value: all of it may be written by the caller.
pub(crate) const MAX_HEADERS: usize = 64;
const MAX_VALUE: usize = 1_024;

/// A value of the far end, cut where nobody needs more.
pub(crate) fn private(text: &str) -> Private {
    let end = text.floor_char_boundary(MAX_VALUE);
    Private::new(text.get(..end).unwrap_or_default().to_owned())
}

/// How far the decision on a call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Nobody was told of it.
    New,
    /// Nobody decided.
    Open,
    /// Somebody decided; the order is on its way.
    Deciding,
    /// Nobody knows whether the order arrived.
    Unsure,
    /// The order was taken, or somebody else moved the channel.
    Decided,
}

/// What an incoming call waits for, or was decided to be.
#[derive(Debug)]
pub(crate) struct Waiting {
    call: IncomingCall,
    stage: Stage,
    /// When it is rejected, or that is tried again.
    due: Instant,
    /// Its deadline is over.
    overdue: bool,
    /// Subscribers know of it.
    told: bool,
    /// It was found in a list, or comes for the second time: an earlier process may have prepared it.
    pub(crate) late: bool,
    /// It left the place where it waits while its decision was on its way.
    left: bool,
    /// It was answered before it came to us.
    pub(crate) answered: bool,
    /// How we rejected it; `None` stands for the deadline.
    rejected: Option<RejectCause>,
}

/// What became of a decision that did not arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Undone {
    /// There was none to undo.
    No,
    /// Another one can follow.
    Yes,
    /// Whoever decided does not know that the call waits still: it has to be told of again.
    Announce,
}

impl Waiting {
    pub(crate) fn new(call: IncomingCall, due: Instant, late: bool, answered: bool) -> Self {
        Self {
            call,
            stage: Stage::New,
            due,
            overdue: false,
            told: false,
            late,
            left: false,
            answered,
            rejected: None,
        }
    }

    pub(crate) fn stage(&self) -> Stage {
        self.stage
    }

    /// Nobody decided so far.
    pub(crate) fn is_undecided(&self) -> bool {
        matches!(self.stage, Stage::New | Stage::Open)
    }

    /// The call, while subscribers know of it and nobody decided.
    pub(crate) fn open(&self) -> Option<&IncomingCall> {
        (self.stage == Stage::Open).then_some(&self.call)
    }

    /// How long it waits from now on.
    pub(crate) fn left_for(&self, now: Instant) -> Duration {
        self.due.saturating_duration_since(now)
    }

    /// When the deadline is to be looked after.
    pub(crate) fn due_at(&self) -> Option<Instant> {
        self.is_undecided().then_some(self.due)
    }

    /// Its deadline is over; what cannot be done about it now is tried again.
    pub(crate) fn is_overdue(&mut self, again: Instant) {
        self.overdue = true;
        self.due = again;
    }

    /// Whether the deadline decides.
    pub(crate) fn deadline_decides(&self) -> bool {
        self.is_undecided() && self.overdue
    }

    /// Tells of it, with what its channel brought besides. `None` if that was done.
    pub(crate) fn announce(&mut self, headers: BTreeMap<String, Private>) -> Option<IncomingCall> {
        if self.stage != Stage::New {
            return None;
        }
        (self.stage, self.told) = (Stage::Open, true);
        let room = MAX_HEADERS.saturating_sub(self.call.headers.len());
        self.call.headers.extend(headers.into_iter().take(room));
        Some(self.call.clone())
    }

    /// Takes the decision for one caller. `ending` says that its end is near.
    ///
    /// # Errors
    /// `InvalidState` when somebody else decided.
    pub(crate) fn decide(&mut self, ending: bool, operation: &'static str) -> Result<()> {
        if !self.is_undecided() || ending {
            let message = "the call is decided on already";
            let error = Error::new(ErrorKind::InvalidState, operation, message);
            return Err(error.with_call_id(self.call.id));
        }
        self.stage = Stage::Deciding;
        Ok(())
    }

    /// The call is about to be rejected by somebody's decision.
    pub(crate) fn rejecting(&mut self, cause: RejectCause) {
        self.rejected = Some(cause);
    }

    /// The server took the order. It may have gone elsewhere and be back already.
    pub(crate) fn decided(&mut self) {
        if !self.is_undecided() {
            self.stage = Stage::Decided;
        }
    }

    /// It waits no longer: by our order, or somebody else took it.
    pub(crate) fn left(&mut self) {
        if self.stage != Stage::Deciding {
            self.stage = Stage::Decided;
        }
        self.left = true;
    }

    /// Whether a call that arrives anew is another wait of this one.
    pub(crate) fn is_through(&self) -> bool {
        self.stage == Stage::Decided || self.left
    }

    /// It waits for another decision, until `due` at the least: it went elsewhere and is back.
    pub(crate) fn came_back(&mut self, answered: bool, due: Instant, now: Now) {
        self.wait_again(Stage::New, due, now);
        (self.late, self.answered) = (true, answered);
    }

    /// The order of a decision certainly did not reach the server: another one can follow, until `due`
    /// at the least.
    pub(crate) fn undecide(&mut self, due: Instant, now: Now) -> Undone {
        match self.stage {
            Stage::New | Stage::Open | Stage::Decided => return Undone::No,
            // Somebody else took it meanwhile.
            Stage::Deciding if self.left => {
                (self.stage, self.rejected) = (Stage::Decided, None);
            }
            Stage::Deciding if self.told => self.wait_again(Stage::Open, due, now),
            // The next list brings it again.
            Stage::Deciding => self.wait_again(Stage::New, due, now),
            Stage::Unsure => {
                self.late = true;
                self.wait_again(Stage::New, due, now);
                return Undone::Announce;
            }
        }
        Undone::Yes
    }

    /// Nobody knows whether the order of a decision arrived: the server's list tells.
    pub(crate) fn unsure(&mut self) {
        if self.stage == Stage::Deciding {
            self.stage = Stage::Unsure;
        }
    }

    /// The server knew no channel for the decision: nothing of it happened.
    pub(crate) fn too_late(&mut self) {
        self.rejected = None;
    }

    /// The causes of a call that was not answered: what the caller was told by our decision.
    pub(crate) fn causes(&self, causes: Causes) -> Causes {
        let (status, q850) = match self.rejected {
            Some(RejectCause::Busy) => (486, 17),
            Some(RejectCause::Unavailable) => (480, 19),
            Some(RejectCause::NotFound) => (404, 1),
            // Not every server can say 603: what it did say counts.
            Some(_) if causes.sip_status.is_some() => return causes,
            Some(_) => (603, 21),
            None => return causes,
        };
        Causes::new().with_sip_status(status).with_q850(q850)
    }

    fn wait_again(&mut self, stage: Stage, due: Instant, now: Now) {
        (self.stage, self.rejected) = (stage, None);
        (self.overdue, self.left) = (false, false);
        self.due = self.due.max(due);
        self.call.deadline = now.wall + self.due.saturating_duration_since(now.instant);
    }
}

/// The calls that were too many.
#[derive(Debug, Default)]
pub(crate) struct Flood {
    /// The server's names of channels to be rejected as busy.
    refused: VecDeque<String>,
    /// It was told that there are too many.
    full: bool,
}

impl Flood {
    /// Whether one more may wait beside `waiting` that do.
    pub(crate) fn admits(&mut self, waiting: usize) -> bool {
        if waiting >= MAX_WAITING {
            return false;
        }
        // Not at each place that becomes free, or a flood would be told of with each call.
        self.full &= waiting >= MAX_WAITING / 2;
        true
    }

    /// One is too many. Answers whether it is kept for [`next`](Self::next), and what is told.
    pub(crate) fn refuse(&mut self, id: CallId, native: String) -> (bool, Vec<SipEvent>) {
        let kept = self.refused.len() < MAX_REFUSED;
        if kept {
            self.refused.push_back(native);
        }
        if std::mem::replace(&mut self.full, true) {
            return (kept, Vec::new());
        }
        let error = Error::new(
            ErrorKind::Overloaded,
            "incoming",
            "too many incoming calls wait for a decision; what comes now is rejected as busy",
        );
        let told = SipEvent::AdapterError {
            severity: Severity::Error,
            error: error.with_call_id(id),
        };
        (kept, vec![told])
    }

    /// The next channel that is to be rejected as busy.
    pub(crate) fn next(&mut self) -> Option<String> {
        self.refused.pop_front()
    }

    /// The connection is over for good, and with it what was to be done there.
    pub(crate) fn forget(&mut self) {
        *self = Self::default();
    }
}

/// The incoming call that a reference names, once it was told of; `None` before. `waiting` finds what
/// it waits for.
///
/// # Errors
/// `NotFound` for a call that is not there, `InvalidState` for one that did not come in.
pub(crate) fn find_told<'a>(
    calls: &Calls,
    call: &CallRef,
    waiting: impl FnOnce(CallId) -> Option<&'a Waiting>,
    operation: &'static str,
) -> Result<Option<CallId>> {
    let Some(id) = calls.find(call) else {
        let message = if calls.record(call).is_some() {
            "the call is over"
        } else {
            "no such call in the books"
        };
        let error = Error::new(ErrorKind::NotFound, operation, message);
        return Err(match call.id {
            Some(id) => error.with_call_id(id),
            None => error,
        });
    };
    let Some(waiting) = waiting(id) else {
        let message = "the call did not come in; only incoming calls are decided on";
        return Err(Error::new(ErrorKind::InvalidState, operation, message).with_call_id(id));
    };
    Ok((waiting.stage != Stage::New).then_some(id))
}

/// Books of calls that are decided on.
pub(crate) trait Decides: Book {
    /// The incoming call that a reference names, once it was told of: see [`find_told`].
    fn told(&self, call: &CallRef, operation: &'static str) -> Result<Option<CallId>>;

    /// The order of a decision certainly did not reach the server.
    fn undecide(&mut self, id: CallId, now: Now);

    /// Nobody knows whether it did.
    fn decision_unsure(&mut self, id: CallId, now: Now);

    /// The server knows no channel for the decision: the caller hung up before it.
    fn too_late(&mut self, id: CallId, now: Now);
}

/// Waits until the call was told of: another process may have given its id away before.
///
/// # Errors
/// As [`Decides::told`]; `Timeout` after `limit`.
pub(crate) async fn told<S: Session, B: Decides>(
    hub: &Hub<S, B>,
    limit: Duration,
    call: &CallRef,
    operation: &'static str,
) -> Result<CallId> {
    let told = hub
        .until(limit, |state| state.books.told(call, operation).transpose())
        .await;
    told.unwrap_or_else(|| {
        let message = "the server did not tell what the call brings; it waits still";
        let error = Error::new(ErrorKind::Timeout, operation, message);
        Err(error.with_effect(Effect::NoEffect))
    })
}

/// A decision that one caller took: dropped before its order was written it never was, dropped after
/// it the server is asked.
pub(crate) struct Decision<'a, S: Session, B: Decides> {
    hub: &'a Hub<S, B>,
    id: CallId,
    /// The order is on its way.
    pub(crate) written: bool,
    done: bool,
}

impl<'a, S: Session, B: Decides> Decision<'a, S, B> {
    pub(crate) fn new(hub: &'a Hub<S, B>, id: CallId) -> Self {
        Self {
            hub,
            id,
            written: false,
            done: false,
        }
    }

    /// The server took the order, and the books know.
    pub(crate) fn stands(mut self) {
        self.done = true;
    }

    /// The order, or what comes before it, failed.
    pub(crate) fn failed(mut self, error: Error) -> Error {
        let error = error.with_call_id(self.id);
        self.done = true;
        if error.kind() == ErrorKind::NotFound {
            self.hub
                .note(|state, now| state.books.too_late(self.id, now));
            let message = "the caller hung up before the decision";
            let error = Error::new(ErrorKind::NotFound, error.operation(), message);
            return error.with_call_id(self.id);
        }
        if error.effect() == Effect::Unknown && self.written {
            self.unsure();
            return error;
        }
        self.undo();
        // What was written before the decision changes nothing by itself.
        error.with_effect(Effect::NoEffect)
    }

    fn undo(&self) {
        self.hub
            .note(|state, now| state.books.undecide(self.id, now));
    }

    fn unsure(&self) {
        self.hub
            .note(|state, now| state.books.decision_unsure(self.id, now));
    }
}

impl<S: Session, B: Decides> Drop for Decision<'_, S, B> {
    fn drop(&mut self) {
        match (self.done, self.written) {
            (true, _) => {}
            (false, true) => self.unsure(),
            (false, false) => self.undo(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_bounded_and_told_of_once() {
        let (mut flood, id) = (Flood::default(), CallId::new());
        assert!(flood.admits(MAX_WAITING - 1));
        assert!(!flood.admits(MAX_WAITING));
        let (kept, told) = flood.refuse(id, "1".to_owned());
        assert!(kept && told.len() == 1);
        for number in 1..MAX_REFUSED {
            let (kept, told) = flood.refuse(id, number.to_string());
            assert!(kept && told.is_empty());
        }
        assert!(!flood.refuse(id, "more".to_owned()).0);
        // Not again at each place that becomes free.
        assert!(flood.admits(MAX_WAITING - 1));
        assert!(flood.refuse(id, "again".to_owned()).1.is_empty());
        assert!(flood.admits(MAX_WAITING / 2 - 1));
        assert_eq!(flood.refuse(id, "later".to_owned()).1.len(), 1);
        assert_eq!(flood.next().as_deref(), Some("1"));
        flood.forget();
        assert_eq!(flood.next(), None);
    }

    #[test]
    fn values_of_the_far_end_are_cut_at_a_character() {
        let cut = private(&"\u{e4}".repeat(2_000));
        assert_eq!(cut.expose().len(), MAX_VALUE);
    }
}
