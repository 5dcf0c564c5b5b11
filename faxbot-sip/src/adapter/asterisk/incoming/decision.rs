//! Decisions on incoming calls, as the books see them: one at a time, undone when its order certainly
//! did not arrive, and open while nobody knows. Sans-IO.

use faxbot_core::{
    Error, ErrorKind, Result,
    id::{CallId, CallRef},
    sip::{RejectCause, SipEvent},
};

use super::super::books::{Books, Todo, UNSURE, fax::Fax, legs::Second};
use crate::adapter::{
    calls::Now,
    hub::Book as _,
    incoming::{Decides, Undone, find_told},
};

impl Books {
    /// Takes the decision on a call for one caller. Answers the `Uniqueid` of its channel.
    ///
    /// # Errors
    /// `InvalidState` when somebody else decided, or its end is near.
    pub(crate) fn decide(&mut self, id: CallId, operation: &'static str) -> Result<String> {
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
        let Some(waiting) = &mut line.incoming else {
            return refused(ErrorKind::InvalidState, "the call did not come in");
        };
        waiting.decide(ending, operation)?;
        // What it did before it came to us says nothing of what we make of it.
        line.second = Second::default();
        Ok(uniqueid)
    }

    /// Takes the decision that the deadline stands for.
    pub(crate) fn decide_overdue(&mut self, id: CallId) -> Option<String> {
        let waiting = self.waiting_of(id)?;
        if !waiting.deadline_decides() {
            return None;
        }
        self.decide(id, "deadline").ok()
    }

    /// The server took the order to accept a call.
    pub(crate) fn accepted(&mut self, id: CallId, now: Now) -> Vec<SipEvent> {
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
    pub(crate) fn becomes_fax(&mut self, id: CallId) {
        if let Some(line) = self.lines.get_mut(&id) {
            line.fax = Some(Fax::receiving());
        }
    }

    /// A call is about to be rejected by somebody's decision.
    pub(crate) fn rejecting(&mut self, id: CallId, cause: RejectCause) {
        if let Some(line) = self.lines.get_mut(&id) {
            line.hung_up_by_us = true;
            if let Some(waiting) = line.incoming.as_mut() {
                waiting.rejecting(cause);
            }
        }
    }

    /// The server took the order to reject a call.
    pub(crate) fn rejected(&mut self, id: CallId, now: Now) -> Vec<SipEvent> {
        if let Some(waiting) = self.waiting_of(id) {
            waiting.decided();
        }
        self.hanging_up(id, now)
    }
}

impl Decides for Books {
    fn told(&self, call: &CallRef, operation: &'static str) -> Result<Option<CallId>> {
        let waiting = |id| self.lines.get(&id)?.incoming.as_ref();
        find_told(&self.calls, call, waiting, operation)
    }

    fn undecide(&mut self, id: CallId, now: Now) {
        let Some(line) = self.lines.get_mut(&id) else {
            return;
        };
        let Some(waiting) = &mut line.incoming else {
            return;
        };
        match waiting.undecide(now.instant + UNSURE, now) {
            Undone::No => return,
            Undone::Yes => {}
            Undone::Announce => self.todo.push(Todo::Announce(id)),
        }
        line.hung_up_by_us = false;
        line.fax = None;
    }

    fn decision_unsure(&mut self, id: CallId, now: Now) {
        if let Some(waiting) = self.waiting_of(id) {
            waiting.unsure();
        }
        self.unsure(id, now);
    }

    /// Its end is on its way, or was missed.
    fn too_late(&mut self, id: CallId, now: Now) {
        if let Some(line) = self.lines.get_mut(&id) {
            (line.hung_up_by_us, line.fax) = (false, None);
            if let Some(waiting) = &mut line.incoming {
                waiting.too_late();
            }
        }
        self.decision_unsure(id, now);
    }
}
