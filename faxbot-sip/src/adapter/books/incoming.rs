//! Calls that come to us, as the books see them: told of once, decided on once. Sans-IO; an adapter
//! reads its server's events and lists, and says here which of their channels wait for a decision.

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use faxbot_core::{
    Error, ErrorKind, Private, Result,
    clock::later,
    id::{CallId, CallRef},
    sip::{CallState, Direction, IncomingCall, RejectCause, SipEvent},
};

use super::{Books, Line, NewLine, OVERDUE, Plan, Sign, Todo, UNSURE, line::Second};
use crate::adapter::{
    calls::Now,
    fax_run::FaxRun,
    incoming::{Flood, Stage, Undone, Waiting, find_told},
};

/// What is common to all calls that come in.
#[derive(Debug, Default)]
pub(crate) struct Door {
    /// The adapter's own word for a call that came in.
    pub(crate) kind: &'static str,
    /// How long a call waits for a decision.
    pub(crate) deadline: Duration,
    /// The calls that were too many.
    pub(crate) flood: Flood,
    /// Calls whose decision may not have arrived, by the last list: the next one decides.
    back: HashSet<CallId>,
}

impl Door {
    /// The connection is over for good, and with it what was to be done there.
    pub(crate) fn forget(&mut self) {
        self.flood.forget();
        self.back.clear();
    }
}

/// A call as an event or a list shows it for the first time.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) id: CallId,
    /// The server's name of its channel.
    pub(crate) native: String,
    pub(crate) caller: Option<Private>,
    pub(crate) called: Option<Private>,
    pub(crate) headers: BTreeMap<String, Private>,
    /// It was answered before it came to us.
    pub(crate) answered: bool,
    /// A list shows it: its events were missed.
    pub(crate) late: bool,
    /// How long it is up.
    pub(crate) age: Duration,
}

/// What has to be known to announce a call.
#[derive(Debug, Clone)]
pub(crate) struct News {
    /// The server's name of its channel.
    pub(crate) native: String,
    pub(crate) late: bool,
}

impl Books {
    /// A call waits for a decision. What is known already is no news.
    pub(crate) fn arrive(&mut self, came: Arrival, now: Now) -> Vec<SipEvent> {
        let id = came.id;
        if came.native.is_empty() || self.leg(&came.native).is_some() {
            return Vec::new();
        }
        let undecided = self.undecided();
        if !self.door.flood.admits(undecided) {
            return self.refuse(id, came.native);
        }
        let due = later(now.instant, self.door.deadline);
        let deadline = now.wall + self.door.deadline;
        let mut call = IncomingCall::new(id, now.wall - came.age, deadline);
        call.caller = came.caller;
        call.called = came.called;
        call.headers = came.headers;
        let new = NewLine {
            id,
            direction: Direction::Inbound,
            state: CallState::Incoming,
            from: call.caller.clone(),
            to: call.called.clone(),
            own: Some(came.native),
            ring_timeout: self.door.deadline,
            plan: Plan::Incoming,
            kind: self.door.kind,
            once_answered: false,
        };
        let since = Now {
            wall: call.at,
            ..now
        };
        if self.open(new, since).is_err() {
            // It is over: the list is older than its end.
            return Vec::new();
        }
        if let Some(line) = self.lines.get_mut(&id) {
            line.incoming = Some(Waiting::new(call, due, came.late, came.answered));
            line.requested = Some(now.instant);
            (line.taken, line.there) = (true, true);
            line.check_at = Some(due + OVERDUE);
        }
        self.todo.push(Todo::Announce(id));
        Vec::new()
    }

    /// A list shows that a call which is known waits for a decision.
    pub(crate) fn waits_still(&mut self, id: CallId, now: Now) {
        let Some(waiting) = self.waiting_of(id) else {
            return;
        };
        match waiting.stage() {
            // The link was lost before it could be told of.
            Stage::New => {
                waiting.late = true;
                self.todo.push(Todo::Announce(id));
            }
            Stage::Unsure if self.door.back.remove(&id) => self.undecide(id, now),
            // One list may be older than the order; the next one is not.
            Stage::Unsure => {
                self.door.back.insert(id);
                self.unsure(id, now);
            }
            Stage::Open | Stage::Deciding | Stage::Decided => {}
        }
    }

    /// A call waits no longer: by our order, or somebody else took it.
    pub(crate) fn waits_no_longer(&mut self, id: CallId) {
        self.door.back.remove(&id);
        if let Some(waiting) = self.waiting_of(id) {
            waiting.left();
        }
    }

    fn refuse(&mut self, id: CallId, native: String) -> Vec<SipEvent> {
        let (kept, told) = self.door.flood.refuse(id, native);
        if kept {
            self.todo.push(Todo::Refuse);
        }
        told
    }

    fn undecided(&self) -> usize {
        let lines = self.lines.values().filter(|line| line.is_there());
        let waiting = lines.filter_map(|line| line.incoming.as_ref());
        waiting.filter(|waiting| waiting.is_undecided()).count()
    }

    pub(crate) fn waiting_of(&mut self, id: CallId) -> Option<&mut Waiting> {
        self.lines.get_mut(&id)?.incoming.as_mut()
    }

    /// Whether the call came in, whatever was decided on it.
    pub(crate) fn came_in(&self, id: CallId) -> bool {
        self.lines
            .get(&id)
            .is_some_and(|line| line.incoming.is_some())
    }

    /// Incoming calls that wait for a decision.
    pub(crate) fn waiting(&self) -> Vec<IncomingCall> {
        let open = self.lines.iter().filter_map(|(id, line)| {
            let call = line.incoming.as_ref()?.open()?;
            (line.is_there() && !self.is_ending(*id)).then(|| call.clone())
        });
        open.collect()
    }

    /// A call that nobody was told of yet.
    pub(crate) fn news(&self, id: CallId) -> Option<News> {
        let line = self.lines.get(&id)?;
        let waiting = line.incoming.as_ref()?;
        let new = waiting.stage() == Stage::New && line.is_there();
        new.then(|| News {
            native: line.own.clone(),
            late: waiting.late,
        })
    }

    /// Tells of a call, with what its channel brought.
    pub(crate) fn announce(
        &mut self,
        id: CallId,
        headers: BTreeMap<String, Private>,
    ) -> Vec<SipEvent> {
        let line = self.lines.get_mut(&id).filter(|line| line.is_there());
        let waiting = line.and_then(|line| line.incoming.as_mut());
        let told = waiting.and_then(|waiting| waiting.announce(headers));
        told.map(SipEvent::IncomingCall).into_iter().collect()
    }

    /// Whether an answer says nothing yet: somebody else answered the call, and nobody decided.
    pub(crate) fn up_before(&mut self, id: CallId) -> bool {
        let undecided = self.waiting_of(id).filter(|it| it.is_undecided());
        undecided.is_some_and(|waiting| {
            waiting.answered = true;
            true
        })
    }

    pub(crate) fn is_ending(&self, id: CallId) -> bool {
        self.calls.state(id) == Some(CallState::HangingUp)
    }

    /// Takes the decision on a call for one caller. Answers the server's name of its channel.
    ///
    /// # Errors
    /// `InvalidState` when somebody else decided, or its end is near; `NotFound` when it is over.
    pub(crate) fn decide(&mut self, id: CallId, operation: &'static str) -> Result<String> {
        let ending = self.is_ending(id);
        let refused =
            |kind, message: &str| Err(Error::new(kind, operation, message).with_call_id(id));
        let Some(line) = self.lines.get_mut(&id) else {
            return refused(ErrorKind::NotFound, "the call is over");
        };
        if !line.is_there() {
            return refused(ErrorKind::NotFound, "the caller hung up");
        }
        let Some(waiting) = &mut line.incoming else {
            return refused(ErrorKind::InvalidState, "the call did not come in");
        };
        waiting.decide(ending, operation)?;
        // What it did before it came to us says nothing of what we make of it.
        line.second = Second::default();
        Ok(line.own.clone())
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
            self.own_is(id, Sign::Up, now)
        } else {
            Vec::new()
        }
    }

    /// The call becomes a fax when the order to accept it arrives. `kind` is the adapter's own word
    /// for one.
    pub(crate) fn becomes_fax(&mut self, id: CallId, kind: &'static str) {
        if let Some(line) = self.lines.get_mut(&id) {
            line.fax = Some(FaxRun::receiving());
            line.kind = kind;
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

    /// As [`Decides::told`](crate::adapter::incoming::Decides::told).
    pub(crate) fn told(&self, call: &CallRef, operation: &'static str) -> Result<Option<CallId>> {
        let waiting = |id| self.lines.get(&id)?.incoming.as_ref();
        find_told(&self.calls, call, waiting, operation)
    }

    /// As [`Decides::undecide`](crate::adapter::incoming::Decides::undecide).
    pub(crate) fn undecide(&mut self, id: CallId, now: Now) {
        let kind = self.door.kind;
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
        line.is_undone(kind);
    }

    /// As [`Decides::decision_unsure`](crate::adapter::incoming::Decides::decision_unsure).
    pub(crate) fn decision_unsure(&mut self, id: CallId, now: Now) {
        if let Some(waiting) = self.waiting_of(id) {
            waiting.unsure();
        }
        self.unsure(id, now);
    }

    /// As [`Decides::too_late`](crate::adapter::incoming::Decides::too_late): its end is on its way, or
    /// was missed.
    pub(crate) fn too_late(&mut self, id: CallId, now: Now) {
        let kind = self.door.kind;
        if let Some(line) = self.lines.get_mut(&id) {
            line.is_undone(kind);
            if let Some(waiting) = &mut line.incoming {
                waiting.too_late();
            }
        }
        self.decision_unsure(id, now);
    }
}

impl Line {
    /// Nothing of what was decided happened.
    fn is_undone(&mut self, kind: &'static str) {
        (self.hung_up_by_us, self.fax, self.kind) = (false, None, kind);
    }

    /// Whether a sign of its channel says nothing of the call, which waits for a decision or was not
    /// answered by it yet.
    pub(super) fn waits(&self, sign: Sign) -> bool {
        let Some(waiting) = &self.incoming else {
            return false;
        };
        sign != Sign::Up || waiting.is_undecided()
    }

    /// Takes note when the deadline is over; `false` if it is not.
    pub(super) fn is_overdue(&mut self, now: std::time::Instant) -> bool {
        let Some(waiting) = self.incoming.as_mut().filter(|_| !self.settling) else {
            return false;
        };
        let overdue = waiting.due_at().is_some_and(|at| at <= now);
        if overdue {
            waiting.is_overdue(now + UNSURE);
        }
        overdue
    }
}
