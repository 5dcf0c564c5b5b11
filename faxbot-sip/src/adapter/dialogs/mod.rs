//! The books of a proxy: its dialogs as calls, whoever placed them, from what its list shows and what
//! its events tell. Sans-IO: time comes in as an argument.
//!
//! Lists and events come in any order. A call only moves forward; its end absorbs whatever else comes.
//! Why a call ended is in its record if the server told, and unknown otherwise: nothing is derived from
//! the absence of a dialog but that it is over. A dialog that a restart of the server forgot is lost,
//! which says nothing of the call.

mod line;
mod listed;
mod past;
mod seen;
#[cfg(test)]
#[allow(
    clippy::cloned_ref_to_slice_refs,
    reason = "a list of one dialog is written as a list"
)]
mod tests;
mod told;

use std::{
    collections::{BTreeSet, HashMap},
    time::{Duration, Instant},
};

use faxbot_core::{
    Error, ErrorKind, Private, Result, Timestamp,
    id::{CallId, CallRef},
    plugin::Page,
    sip::{
        AdapterKind, CallRecord, CallState, CallStatus, CallUpdate, Direction, HistoryQuery,
        Lookup, SipEvent, Snapshot, UnknownReason,
    },
};
use tokio::sync::watch;
use uuid::Uuid;

pub(crate) use self::seen::{Report, Seen, Stage, Told};
use self::{line::Line, past::Past};
use super::{
    calls::{Calls, Ending, NewCall, Now},
    history::{Cdr, Cdrs},
    hub::Book,
    lookup,
    polled::Work,
};

/// How long the cause of an end may come after the end itself, where events are expected. Both servers
/// tell it before or with it; their processes send in any order.
const CAUSE_WAIT: Duration = Duration::from_secs(1);

/// What a party may take beyond the ring time before it counts as not reached.
const REACH_MARGIN: Duration = Duration::from_secs(5);

/// The wait before the server is asked what became of a request, and asked again.
const ASK_SOON: Duration = Duration::from_secs(1);

/// Namespace of the ids of calls that others placed; changing it gives calls that are up another id.
const FOREIGN: Uuid = Uuid::from_u128(0x6b1e_4e1f_8f0c_4a53_a2a5_9a40_51c7_11d2);

/// What the worker must do after an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Todo {
    /// A hang-up is owed and the dialog is there: send it, then [`Dialogs::hung_up`].
    HangUp(CallId),
    /// Ask the server about the call now.
    Look(CallId),
    /// The ring time of a call of ours and some more is over, and no dialog came: say what is known with
    /// [`Dialogs::end`]. Said again until then.
    Unreached(CallId),
    /// Nobody tells why the call ended: [`Dialogs::settle`].
    Settle(CallId),
    /// Poll soon.
    Poll,
}

impl Todo {
    /// What it is to the worker.
    pub(crate) fn work(&self) -> Work {
        match self {
            Self::HangUp(_) | Self::Look(_) | Self::Unreached(_) => Work::Ask,
            Self::Settle(_) => Work::Note,
            Self::Poll => Work::Poll,
        }
    }
}

/// A call that we place.
#[derive(Debug)]
pub(crate) struct NewOurs {
    pub(crate) id: CallId,
    pub(crate) from: Option<Private>,
    pub(crate) to: Private,
    pub(crate) ring_timeout: Duration,
}

/// The dialogs of one server, and the calls of ours that have none yet.
#[derive(Debug)]
pub(crate) struct Dialogs {
    kind: AdapterKind,
    calls: Calls,
    // Boxed: a table is up to twice as large as what is in it.
    lines: HashMap<CallId, Box<Line>>,
    /// The calls with a Call-ID.
    by_call_id: HashMap<String, Vec<CallId>>,
    past: Past,
    cdrs: Cdrs,
    /// When a line wants to be looked at. It may have changed its mind.
    alarms: BTreeSet<(Instant, CallId)>,
    todo: Vec<Todo>,
    /// Events are expected, and with them causes.
    events: bool,
    /// Counts the lists.
    round: u64,
}

impl Dialogs {
    pub(crate) fn new(kind: AdapterKind) -> Self {
        Self {
            calls: Calls::new(kind.clone()),
            kind,
            lines: HashMap::new(),
            by_call_id: HashMap::new(),
            past: Past::default(),
            cdrs: Cdrs::default(),
            alarms: BTreeSet::new(),
            todo: Vec::new(),
            events: false,
            round: 0,
        }
    }

    /// Whether events are expected: then the end of a call waits a moment for its cause.
    pub(crate) fn set_events(&mut self, expected: bool) {
        self.events = expected;
    }

    /// Enters a call of ours before its request is written.
    ///
    /// # Errors
    /// `InvalidState` while a call with its id, or the record of one, is there.
    pub(crate) fn open_ours(
        &mut self,
        new: NewOurs,
        now: Now,
    ) -> Result<watch::Receiver<CallUpdate>> {
        let call = NewCall {
            id: new.id,
            direction: Direction::Outbound,
            state: CallState::Created,
            from: new.from,
            to: Some(new.to),
        };
        let updates = self.calls.open(call, now)?;
        let line = Line {
            ours: true,
            ring_timeout: new.ring_timeout,
            ..Line::default()
        };
        self.lines.insert(new.id, Box::new(line));
        Ok(updates)
    }

    /// Whether we placed the call.
    pub(crate) fn is_ours(&self, id: CallId) -> bool {
        self.lines.get(&id).is_some_and(|line| line.ours)
    }

    /// A call of ours that is no dialog got so far.
    pub(crate) fn reached(&mut self, id: CallId, stage: Stage, now: Now) -> Vec<SipEvent> {
        let Some(line) = self.lines.get_mut(&id) else {
            return Vec::new();
        };
        line.rise(stage);
        self.raise(id, stage, None, now)
    }

    /// The call is over, and this is known of why.
    pub(crate) fn end(&mut self, id: CallId, report: Report, now: Now) -> Vec<SipEvent> {
        let Some(mut line) = self.lines.remove(&id) else {
            return Vec::new();
        };
        if let Some(seen) = line.seen.as_ref() {
            let key = past::key(seen);
            // Events need not tell them: a list may have, later.
            self.calls
                .learn_parties(id, seen.from.as_deref(), seen.to.as_deref());
            self.unlist(id, &key.call_id);
            let handles = line.take_handles();
            self.past.ended(key, id, handles, now.instant);
        }
        let ending = Ending {
            by_us: line.by_us,
            causes: report.causes,
            fax: None,
            at: report.at.map(|at| at.min(now.wall)),
            disposition: report.disposition,
        };
        let change = self.calls.end(id, ending, now);
        change.map(SipEvent::CallStateChanged).into_iter().collect()
    }

    /// The call is over and nobody said why. Where events are expected, they get a moment for it.
    pub(crate) fn over(&mut self, id: CallId, now: Now) -> Vec<SipEvent> {
        let answered = self.calls.is_answered(id);
        let Some(line) = self.lines.get_mut(&id) else {
            return Vec::new();
        };
        if let Some(cause) = line.cause.take() {
            return self.over_for(id, cause, now);
        }
        if answered || !self.events {
            return self.end(id, Report::default(), now);
        }
        self.await_cause(id, now);
        Vec::new()
    }

    /// The wait for a cause is over.
    pub(crate) fn settle(&mut self, id: CallId, now: Now) -> Vec<SipEvent> {
        let line = self.lines.get_mut(&id);
        let Some(line) = line.filter(|line| line.settle_at.is_some()) else {
            return Vec::new();
        };
        let report = line.cause.take().unwrap_or_default();
        self.end(id, report, now)
    }

    /// The server forgot its dialogs: nobody can say what became of the calls. One whose request is on
    /// its way stays.
    pub(crate) fn restarted(&mut self, _now: Now) -> Vec<SipEvent> {
        let all: Vec<_> = self.calls.live().collect();
        let mut out = Vec::new();
        for id in all {
            if self.calls.state(id) == Some(CallState::Created) {
                continue;
            }
            let message = "the server was restarted and forgot the call";
            let error = Error::new(ErrorKind::OutcomeUnknown, "call", message).with_call_id(id);
            out.extend(self.lose(id, error));
        }
        self.past.clear();
        out
    }

    /// We hang up, or certainly could not: the end that follows is ours or not.
    pub(crate) fn hung_up_by_us(&mut self, id: CallId, by_us: bool) {
        if let Some(line) = self.lines.get_mut(&id) {
            line.by_us = by_us;
        }
    }

    /// The server took our hang-up.
    pub(crate) fn hanging_up(&mut self, id: CallId, now: Now) -> Vec<SipEvent> {
        self.advance(id, CallState::HangingUp, now)
    }

    /// There is no dialog that could be hung up: it is as soon as it is seen.
    pub(crate) fn hang_up_when_there(&mut self, id: CallId) {
        if let Some(line) = self.lines.get_mut(&id) {
            line.cancel = true;
            if line.seen.is_some() && !self.todo.contains(&Todo::HangUp(id)) {
                self.todo.push(Todo::HangUp(id));
            }
        }
    }

    /// The hang-up that was owed is done.
    pub(crate) fn hung_up(&mut self, id: CallId) {
        if let Some(line) = self.lines.get_mut(&id) {
            line.cancel = false;
        }
    }

    /// How the server wants the call named for a hang-up.
    pub(crate) fn handle(&self, id: CallId) -> Option<String> {
        let seen = self.seen(id)?;
        (!seen.handle.is_empty()).then(|| seen.handle.clone())
    }

    /// The dialog of a call as it was last shown.
    pub(crate) fn seen(&self, id: CallId) -> Option<&Seen> {
        self.lines.get(&id)?.seen.as_deref()
    }

    /// The live call that a reference names: by our id, its Call-ID or its handle.
    pub(crate) fn find(&self, call: &CallRef) -> Option<CallId> {
        self.calls.find(call).or_else(|| {
            let native = call.native.as_deref().filter(|_| call.id.is_none())?;
            if let Some(last) = self.by_call_id.get(native).and_then(|ids| ids.last()) {
                return Some(*last);
            }
            let is_it = |line: &Line| line.seen.as_ref().is_some_and(|it| it.handle == native);
            let found = self.lines.iter().find(|(_, line)| is_it(line));
            found.map(|(id, _)| *id)
        })
    }

    /// The state of a call, live or ended.
    ///
    /// # Errors
    /// `NotFound`.
    pub(crate) fn status(&self, call: &CallRef) -> Result<CallStatus> {
        match self.find(call).and_then(|id| self.calls.status(id)) {
            Some(status) => Ok(status),
            None => lookup::status(&self.calls, call),
        }
    }

    /// The record of a call that ended.
    pub(crate) fn record(&self, call: &CallRef) -> Option<&CallRecord> {
        self.calls.record(call)
    }

    /// What the books know of a call; `None` when the server has to be asked.
    pub(crate) fn lookup(&self, call: &CallRef) -> Option<Lookup> {
        match self.find(call).and_then(|id| self.calls.status(id)) {
            Some(status) => Some(Lookup::Live(status)),
            None => lookup::in_books(&self.calls, call),
        }
    }

    /// A page of the calls that ended.
    ///
    /// # Errors
    /// `InvalidRequest` for a cursor that is none of these books.
    pub(crate) fn history(
        &mut self,
        query: &HistoryQuery,
        now: Instant,
    ) -> Result<Page<CallRecord>> {
        self.cdrs.page(&mut self.calls, query, now)
    }

    /// The server measured a call that is over, or ends.
    pub(crate) fn measured(&mut self, call_id: &str, from_tag: &str, cdr: Cdr) {
        let live = self.find_dialog(call_id, from_tag);
        if let Some(id) = live.or_else(|| self.past.call(call_id, from_tag)) {
            self.cdrs.keep(id, cdr);
        }
    }

    /// The server's own record of a call that ended.
    ///
    /// # Errors
    /// `NotFound` when it told none.
    pub(crate) fn cdr(&self, call: &CallRef) -> Result<CallRecord> {
        self.cdrs.cdr(&self.calls, call)
    }

    /// The call of a dialog.
    fn find_dialog(&self, call_id: &str, from_tag: &str) -> Option<CallId> {
        let calls = self.by_call_id.get(call_id)?;
        let mut calls = calls.iter().copied();
        calls.find(|id| self.seen(*id).is_some_and(|it| it.from_tag == from_tag))
    }

    /// Enters a dialog that no call of the books has.
    fn enter(&mut self, seen: &Seen, now: Now) -> Option<CallId> {
        let ours = seen.mark.filter(|id| {
            let line = self.lines.get(id);
            line.is_some_and(|line| line.ours && line.seen.is_none() && line.settle_at.is_none())
        });
        if let Some(id) = ours {
            self.take_dialog(id, seen);
            return Some(id);
        }
        let id = self.new_id(seen);
        let start = seen.begun.map_or(now.wall, |begun| begun.min(now.wall));
        let call = NewCall {
            id,
            direction: Direction::Outbound,
            state: CallState::Created,
            from: seen.from.clone().map(Private::new),
            to: seen.to.clone().map(Private::new),
        };
        let begun = Now { wall: start, ..now };
        self.calls.open(call, begun).ok()?;
        self.lines.insert(id, Box::default());
        self.take_dialog(id, seen);
        Some(id)
    }

    /// The id that is written in the dialog, or one that it always has. A dialog of the same name as an
    /// earlier one gets another.
    fn new_id(&self, seen: &Seen) -> CallId {
        let used = |id: &CallId| {
            self.calls.state(*id).is_some() || self.calls.record(&(*id).into()).is_some()
        };
        if let Some(mark) = seen.mark.filter(|id| !used(id)) {
            return mark;
        }
        let numbered = |n: u32| {
            let name = format!("{}\n{}\n{}\n{n}", self.kind, seen.call_id, seen.from_tag);
            CallId::from_uuid(Uuid::new_v5(&FOREIGN, name.as_bytes()))
        };
        let free = (0..16).map(numbered).find(|id| !used(id));
        free.unwrap_or_else(CallId::new)
    }

    /// The call has this dialog from now on.
    fn take_dialog(&mut self, id: CallId, seen: &Seen) {
        let Some(line) = self.lines.get_mut(&id) else {
            return;
        };
        line.show(seen);
        line.reached = true;
        line.unreached_at = None;
        line.look_at = None;
        line.round = self.round;
        if line.cancel {
            self.todo.push(Todo::HangUp(id));
        }
        self.by_call_id
            .entry(seen.call_id.clone())
            .or_default()
            .push(id);
        self.calls.name(id, &seen.call_id);
    }

    /// The call has no dialog of this Call-ID any longer.
    fn unlist(&mut self, id: CallId, call_id: &str) {
        if let Some(calls) = self.by_call_id.get_mut(call_id) {
            calls.retain(|call| *call != id);
            if calls.is_empty() {
                self.by_call_id.remove(call_id);
            }
        }
    }

    fn lose_call(&mut self, id: CallId, error: Error) -> Vec<SipEvent> {
        if let Some(line) = self.lines.remove(&id)
            && let Some(seen) = line.seen
        {
            self.unlist(id, &seen.call_id);
        }
        let change = self.calls.lose(id, error);
        change.map(SipEvent::CallStateChanged).into_iter().collect()
    }

    /// Over, for this reason.
    fn over_for(&mut self, id: CallId, report: Report, now: Now) -> Vec<SipEvent> {
        if self.calls.is_answered(id) || !report.is_challenge() {
            return self.end(id, report, now);
        }
        // The request may come again with credentials, under the same name.
        if let Some(line) = self.lines.get_mut(&id) {
            line.cause = Some(report);
        }
        self.await_cause(id, now);
        Vec::new()
    }

    fn await_cause(&mut self, id: CallId, now: Now) {
        if let Some(line) = self.lines.get_mut(&id)
            && line.settle_at.is_none()
        {
            line.settle_at = Some(now.instant + CAUSE_WAIT);
        }
        self.set_alarm(id);
    }

    fn set_alarm(&mut self, id: CallId) {
        if let Some(at) = self.lines.get(&id).and_then(|line| line.wakes_at()) {
            self.alarms.insert((at, id));
        }
    }

    /// Asks for what a line wants by now.
    fn due(&mut self, id: CallId, now: Now) {
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now.instant);
        let Some(line) = self.lines.get_mut(&id) else {
            return;
        };
        let mut todo = None;
        if due(line.settle_at) {
            // Kept: it tells that the call is over.
            todo = Some(Todo::Settle(id));
        } else if line.settle_at.is_none() && due(line.unreached_at) {
            line.unreached_at = Some(now.instant + REACH_MARGIN);
            todo = Some(Todo::Unreached(id));
        } else if due(line.look_at) {
            line.look_at = None;
            todo = Some(Todo::Look(id));
        }
        if let Some(todo) = todo {
            self.want(todo);
        }
        let wakes_at = self.lines.get(&id).and_then(|line| line.wakes_at());
        if let Some(at) = wakes_at.filter(|at| *at > now.instant) {
            self.alarms.insert((at, id));
        }
    }

    fn want(&mut self, todo: Todo) {
        if !self.todo.contains(&todo) {
            self.todo.push(todo);
        }
    }

    /// Takes a call forward to where its dialog is; never backward.
    fn raise(
        &mut self,
        id: CallId,
        stage: Stage,
        answered: Option<Timestamp>,
        now: Now,
    ) -> Vec<SipEvent> {
        let next = match stage {
            Stage::Begun => CallState::Dialing,
            Stage::Early => CallState::Ringing,
            Stage::Answered | Stage::Up => CallState::Connected,
            Stage::Over => return Vec::new(),
        };
        let Some(at) = self.calls.state(id) else {
            return Vec::new();
        };
        if rank(next) <= rank(at) {
            return Vec::new();
        }
        let mut when = now;
        if let Some(answered) = answered.filter(|_| next == CallState::Connected) {
            // By the server's clock.
            let start = self.calls.status(id).map(|status| status.started_at);
            when.wall = answered.min(now.wall).max(start.unwrap_or(answered));
        }
        let moved = if at.can_become(next) {
            self.calls.advance(id, next, when)
        } else {
            self.calls.jump(id, next, when)
        };
        let moved = moved.ok().flatten();
        moved.map(SipEvent::CallStateChanged).into_iter().collect()
    }

    /// Takes a call along an edge, if there is one.
    fn advance(&mut self, id: CallId, next: CallState, now: Now) -> Vec<SipEvent> {
        let moved = self.calls.advance(id, next, now).ok().flatten();
        moved.map(SipEvent::CallStateChanged).into_iter().collect()
    }
}

/// How far a state is: one of a connected call is as far as another.
fn rank(state: CallState) -> u8 {
    match state {
        CallState::Created => 0,
        CallState::Dialing => 1,
        CallState::Ringing | CallState::Incoming => 2,
        CallState::Connected | CallState::OnHold | CallState::Transferring => 3,
        _ => 4,
    }
}

/// Why a call of which a server has no trace may have been there all the same: a proxy keeps nothing.
pub(crate) fn absent(call: &CallRef, up_since: Option<Timestamp>, now: Timestamp) -> UnknownReason {
    match lookup::requested(call, now) {
        Ok(requested) if !lookup::same_run(requested, up_since, None) => {
            UnknownReason::ServerRestarted
        }
        Ok(_) => UnknownReason::NotKept,
        Err(why) => why,
    }
}

impl Book for Dialogs {
    type Todo = Todo;

    fn calls(&self) -> &Calls {
        &self.calls
    }

    fn take_todo(&mut self) -> Vec<Todo> {
        std::mem::take(&mut self.todo)
    }

    fn settle_todo(id: CallId) -> Todo {
        Todo::Settle(id)
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.alarms.first().map(|(at, _)| *at)
    }

    fn timeout(&mut self, now: Now) {
        while self.next_timeout().is_some_and(|at| at <= now.instant) {
            if let Some((_, id)) = self.alarms.pop_first() {
                self.due(id, now);
            }
        }
        self.calls.sweep(now.instant);
        self.past.sweep(now.instant);
    }

    fn requested(&mut self, id: CallId, now: Now) -> bool {
        let Some(line) = self.lines.get_mut(&id).filter(|line| !line.cancel) else {
            return false;
        };
        if !line.reached {
            line.unreached_at = Some(now.instant + line.ring_timeout + REACH_MARGIN);
        }
        self.set_alarm(id);
        true
    }

    fn taken(&mut self, id: CallId, now: Now) -> Vec<SipEvent> {
        self.raise(id, Stage::Begun, None, now)
    }

    fn unsure(&mut self, id: CallId, now: Now) {
        if let Some(line) = self.lines.get_mut(&id) {
            line.look_at = Some(now.instant + ASK_SOON);
        }
        self.set_alarm(id);
    }

    fn lose(&mut self, id: CallId, error: Error) -> Vec<SipEvent> {
        self.lose_call(id, error)
    }

    fn missed_events(&mut self) {}

    fn forget_connection(&mut self) {
        self.todo.clear();
    }

    fn ours(&self) -> Vec<CallId> {
        let ours = self.lines.iter().filter(|(_, line)| line.ours);
        ours.map(|(id, _)| *id).collect()
    }

    fn snapshot(&self, _snapshot: &mut Snapshot) {}
}
