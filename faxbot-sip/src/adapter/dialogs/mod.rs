//! The books of a proxy: its dialogs as calls, whoever placed them, from what its list shows and what
//! its events tell. Sans-IO: time comes in as an argument.
//!
//! Lists and events come in any order. A call only moves forward; its end absorbs whatever else comes.
//! Why a call ended is in its record if the server told, and unknown otherwise: nothing is derived from
//! the absence of a dialog but that it is over. A dialog that a restart of the server forgot is lost,
//! which says nothing of the call.

mod ending;
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
    clock::later,
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
    calls::{Calls, NewCall, Now},
    history::{Cdr, Cdrs},
    hub::Book,
    lookup,
    polled::Work,
};

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

    /// Whether a hang-up is owed.
    pub(crate) fn owes_hang_up(&self, id: CallId) -> bool {
        self.lines.get(&id).is_some_and(|line| line.cancel)
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

    /// Whether something was told of why a call that is up is about to end.
    pub(crate) fn has_cause(&self, call_id: &str, from_tag: Option<&str>) -> bool {
        let calls = self.by_call_id.get(call_id).into_iter().flatten();
        let mut lines = calls.filter_map(|id| self.lines.get(id));
        let is_it = |line: &Line| {
            let tag = line.seen.as_ref().map(|seen| seen.from_tag.as_str());
            from_tag.is_none() || tag == from_tag
        };
        lines.any(|line| is_it(line) && line.cause.is_some())
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
        if let Some(id) = self.awaiting(seen.mark) {
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

    /// The call of ours with this mark, if it has no dialog yet.
    fn awaiting(&self, mark: Option<CallId>) -> Option<CallId> {
        let line = self.lines.get(&mark?)?;
        let waits = line.ours && line.seen.is_none() && line.settle_at.is_none();
        mark.filter(|_| waits)
    }

    /// A dialog that was entered as a call of somebody else turns out to be that of ours: a list may have
    /// shown it before the server's script marked it.
    fn hand_over(&mut self, seen: &Seen, now: Now) -> Vec<SipEvent> {
        let known = self.find_dialog(&seen.call_id, &seen.from_tag);
        let (Some(known), Some(_)) = (known, self.awaiting(seen.mark)) else {
            return Vec::new();
        };
        let line = self.lines.get(&known);
        let line = line.filter(|line| !line.ours && line.settle_at.is_none());
        let Some(mut shown) = line.and_then(|line| line.seen.clone()) else {
            return Vec::new();
        };
        shown.mark = seen.mark;
        let message = "the call is one of ours, and goes on by that id";
        let error = Error::new(ErrorKind::NotFound, "call", message).with_call_id(known);
        let mut out = self.lose_call(known, error);
        if let Some(id) = self.enter(&shown, now) {
            out.extend(self.raise(id, shown.stage, shown.answered, now));
        }
        out
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
            when.wall = self.answered_at(id, answered, now);
        }
        let moved = if at.can_become(next) {
            self.calls.advance(id, next, when)
        } else {
            self.calls.jump(id, next, when)
        };
        let moved = moved.ok().flatten();
        if next == CallState::Connected
            && let Some(line) = self.lines.get_mut(&id)
        {
            // Of a party that did not answer, before this one did.
            line.cause = None;
        }
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

    fn about(todo: &Todo) -> Option<CallId> {
        match *todo {
            Todo::HangUp(id) | Todo::Look(id) | Todo::Unreached(id) | Todo::Settle(id) => Some(id),
            Todo::Poll => None,
        }
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
        line.requested_at = Some(now.wall);
        if !line.reached {
            line.unreached_at = Some(later(
                now.instant,
                line.ring_timeout.saturating_add(REACH_MARGIN),
            ));
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
