//! Decisions on incoming calls, as the books see them: one at a time, undone when its order certainly
//! did not arrive, and open while nobody knows. Sans-IO.

use faxbot_core::{
    Error, ErrorKind, Result,
    id::{CallId, CallRef},
    sip::{RejectCause, SipEvent},
};

use super::{
    books::{Books, Todo, UNSURE},
    fax::Fax,
    incoming::Stage,
    legs::Second,
};
use crate::adapter::{calls::Now, hub::Book as _};

impl Books {
    /// The incoming call that a reference names, once it was told of; `None` before.
    ///
    /// # Errors
    /// `NotFound` for a call that is not there, `InvalidState` for one that did not come in.
    pub(super) fn told(&self, call: &CallRef, operation: &'static str) -> Result<Option<CallId>> {
        let Some(id) = self.find(call) else {
            let message = if self.record(call).is_some() {
                "the call is over"
            } else {
                "no such call in the books"
            };
            return Err(with_id(
                Error::new(ErrorKind::NotFound, operation, message),
                call.id,
            ));
        };
        match self.lines.get(&id).and_then(|line| line.incoming.as_ref()) {
            None => {
                let error = Error::new(
                    ErrorKind::InvalidState,
                    operation,
                    "the call did not come in; only incoming calls are decided on",
                );
                Err(error.with_call_id(id))
            }
            Some(waiting) => Ok((waiting.stage != Stage::New).then_some(id)),
        }
    }

    /// Takes the decision on a call for one caller. Answers the `Uniqueid` of its channel.
    ///
    /// # Errors
    /// `InvalidState` when somebody else decided, or its end is near.
    pub(super) fn decide(&mut self, id: CallId, operation: &'static str) -> Result<String> {
        let ending = self.is_ending(id);
        let refused =
            |kind, message: &str| Err(Error::new(kind, operation, message).with_call_id(id));
        let Some(line) = self.lines.get_mut(&id) else {
            return refused(ErrorKind::NotFound, "the call is over");
        };
        let uniqueid = line.uniqueid.clone();
        if line.hangup.is_some() {
            return refused(ErrorKind::NotFound, "the caller hung up");
        }
        let Some(waiting) = line
            .incoming
            .as_mut()
            .filter(|waiting| waiting.is_undecided() && !ending)
        else {
            return refused(ErrorKind::InvalidState, "the call is decided on already");
        };
        waiting.stage = Stage::Deciding;
        // What it did before it came to us says nothing of what we make of it.
        line.second = Second::default();
        Ok(uniqueid)
    }

    /// Takes the decision that the deadline stands for.
    pub(super) fn decide_overdue(&mut self, id: CallId) -> Option<String> {
        let waiting = self.waiting_of(id)?;
        if !waiting.is_undecided() || !waiting.overdue {
            return None;
        }
        self.decide(id, "deadline").ok()
    }

    /// The order of a decision certainly did not reach the server: another one can follow, for some
    /// seconds at the least.
    pub(super) fn undecide(&mut self, id: CallId, now: Now) {
        let Some(line) = self.lines.get_mut(&id) else {
            return;
        };
        let Some(waiting) = line.incoming.as_mut() else {
            return;
        };
        let due = now.instant + UNSURE;
        match waiting.stage {
            // Somebody else took it meanwhile.
            Stage::Deciding if waiting.left => {
                (waiting.stage, waiting.rejected) = (Stage::Decided, None);
            }
            Stage::Deciding if waiting.told => waiting.wait_again(Stage::Open, due, now),
            // The next list brings it again.
            Stage::Deciding => waiting.wait_again(Stage::New, due, now),
            // Whoever decided does not know that it waits still.
            Stage::Unsure => {
                waiting.late = true;
                waiting.wait_again(Stage::New, due, now);
                self.todo.push(Todo::Announce(id));
            }
            Stage::New | Stage::Open | Stage::Decided => return,
        }
        line.hung_up_by_us = false;
        line.fax = None;
    }

    /// Nobody knows whether the order of a decision arrived: the server's list tells.
    pub(super) fn decision_unsure(&mut self, id: CallId, now: Now) {
        if let Some(waiting) = self.waiting_of(id)
            && waiting.stage == Stage::Deciding
        {
            waiting.stage = Stage::Unsure;
        }
        self.unsure(id, now);
    }

    /// The server knows no channel for a decision: the caller hung up before it, and nothing of it
    /// happened. Its end is on its way, or was missed.
    pub(super) fn too_late(&mut self, id: CallId, now: Now) {
        if let Some(line) = self.lines.get_mut(&id) {
            (line.hung_up_by_us, line.fax) = (false, None);
            if let Some(waiting) = &mut line.incoming {
                waiting.rejected = None;
            }
        }
        self.decision_unsure(id, now);
    }

    /// The server took the order to accept a call.
    pub(super) fn accepted(&mut self, id: CallId, now: Now) -> Vec<SipEvent> {
        let Some(waiting) = self.waiting_of(id) else {
            return Vec::new();
        };
        waiting.decided();
        if waiting.answered {
            // No event will say it again.
            self.channel_state(id, "Up", false, now)
        } else {
            Vec::new()
        }
    }

    /// The call becomes a fax when the order to accept it arrives.
    pub(super) fn becomes_fax(&mut self, id: CallId) {
        if let Some(line) = self.lines.get_mut(&id) {
            line.fax = Some(Fax::receiving());
        }
    }

    /// A call is about to be rejected by somebody's decision.
    pub(super) fn rejecting(&mut self, id: CallId, cause: RejectCause) {
        if let Some(line) = self.lines.get_mut(&id) {
            line.hung_up_by_us = true;
            if let Some(waiting) = line.incoming.as_mut() {
                waiting.rejected = Some(cause);
            }
        }
    }

    /// The server took the order to reject a call.
    pub(super) fn rejected(&mut self, id: CallId, now: Now) -> Vec<SipEvent> {
        if let Some(waiting) = self.waiting_of(id) {
            waiting.decided();
        }
        self.hanging_up(id, now)
    }
}

fn with_id(error: Error, id: Option<CallId>) -> Error {
    match id {
        Some(id) => error.with_call_id(id),
        None => error,
    }
}
