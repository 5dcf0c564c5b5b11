//! The books of one server whose events name channels of ours by ids that we chose, or that it told:
//! requests go in, ends come out, and what has to be asked of the server in between is said by
//! [`Todo`]. Sans-IO, and without a word of any protocol: an adapter reads its server's events and
//! lists, and says here what they mean ([`Sign`], [`Report`], [`LiveLeg`]).
//!
//! | file | what it holds |
//! |---|---|
//! | `mod` | a call from its request on, checks of what says nothing, lists after a gap |
//! | `incoming` | calls that come to us: told of once, decided on once |
//! | `line` | what is known of one call beside its state |
//! | `moves` | where orders took calls: hold, transfer |
//! | `signs` | what channels do: ring, answer, join, hold |
//! | `ending` | how calls leave, with a record or with an error |
//! | `report` | what is known of an end, by an event or by what the server kept |

mod ending;
mod incoming;
mod line;
mod moves;
mod report;
mod signs;
#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use faxbot_core::{
    Effect, Error, ErrorKind, Result,
    clock::later,
    fax::{FaxProgress, FaxUpdate},
    id::{CallId, CallRef},
    sip::{
        AdapterKind, CallRecord, CallState, CallStateChanged, CallUpdate, IllegalEdge, Severity,
        SipEvent,
    },
};
use tokio::sync::watch;

pub(crate) use self::{
    incoming::{Arrival, Door, News},
    line::{Line, NewLine, Plan},
    moves::{Calling, Moves, Standing},
    report::{FaxEnd, Report},
    signs::{LiveLeg, Sign},
};
use super::{
    calls::{Calls, NewCall, Now},
    fax_run::FaxRun,
};

/// How long after its ring time-out a call that neither rings nor ends is asked for at the server.
pub(crate) const OVERDUE: Duration = Duration::from_secs(30);

/// How long a request whose fate is not known waits before the server is asked: one in the server's
/// queue has made its channel by then.
pub(crate) const UNSURE: Duration = Duration::from_secs(5);

/// How often the server is asked whether calls that say nothing are still there. One list answers for
/// all calls.
pub(crate) const RECHECK: Duration = Duration::from_secs(60);

/// How long the word of the server that a call could not be placed may come before the end of its
/// channel, which says more.
const SECOND_WORD: Duration = Duration::from_secs(1);

/// What the worker must do after an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Todo {
    /// The call is gone and no event told its end: read what the server kept of it, then
    /// [`Books::finish`].
    Settle(CallId),
    /// Nobody knows where the call is: ask the server.
    Check(CallId),
    /// A hang-up is owed and the channel is there: send it.
    HangUp(CallId),
    /// What the server can do may be another now.
    Reloaded,
    /// The far end answered: start what was asked for from then on.
    Answered(CallId),
    /// A call came in: ask what it brings, and tell of it.
    Announce(CallId),
    /// Nobody decided on an incoming call in time.
    Overdue(CallId),
    /// There are too many incoming calls: reject one.
    Refuse,
}

/// Whose leg a channel is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leg {
    /// The channel that is the call.
    Own(CallId),
    /// Another one of the call: the second party, the other half of a local channel.
    Other(CallId),
}

/// The books of one server.
#[derive(Debug)]
pub(crate) struct Books {
    pub(crate) calls: Calls,
    // Boxed: a table is up to twice as large as what is in it, and keeps its size.
    pub(crate) lines: HashMap<CallId, Box<Line>>,
    /// What is common to all calls that come in.
    pub(crate) door: Door,
    /// Channels by the server's name of them.
    legs: HashMap<String, Leg>,
    todo: Vec<Todo>,
}

impl Books {
    pub(crate) fn new(server: AdapterKind) -> Self {
        Self {
            calls: Calls::new(server),
            lines: HashMap::new(),
            door: Door::default(),
            legs: HashMap::new(),
            todo: Vec::new(),
        }
    }

    /// Enters a call before its request is written, so that no event of it is missed.
    pub(crate) fn open(&mut self, new: NewLine, now: Now) -> Result<watch::Receiver<CallUpdate>> {
        let updates = self.calls.open(
            NewCall {
                id: new.id,
                direction: new.direction,
                state: new.state,
                from: new.from,
                to: new.to,
            },
            now,
        )?;
        let line = Line {
            plan: new.plan,
            kind: new.kind,
            once_answered: new.once_answered,
            ring_timeout: new.ring_timeout,
            ..Line::default()
        };
        self.lines.insert(new.id, Box::new(line));
        if let Some(own) = new.own {
            self.is_own(new.id, &own);
        }
        Ok(updates)
    }

    /// Enters a fax that is sent.
    pub(crate) fn open_fax(
        &mut self,
        new: NewLine,
        pages: u32,
        now: Now,
    ) -> Result<watch::Receiver<FaxUpdate>> {
        let id = new.id;
        self.open(new, now)?;
        let (run, updates) = FaxRun::new(pages);
        if let Some(line) = self.lines.get_mut(&id) {
            line.fax = Some(run);
        }
        Ok(updates)
    }

    /// Our own channel of the call has this name from now on.
    pub(crate) fn is_own(&mut self, id: CallId, native: &str) {
        let Some(line) = self.lines.get_mut(&id) else {
            return;
        };
        let before = std::mem::replace(&mut line.own, native.to_owned());
        if !before.is_empty() && before != native {
            self.legs.remove(&before);
            self.calls.unname(id, &before);
        }
        self.legs.insert(native.to_owned(), Leg::Own(id));
        self.calls.name(id, native);
    }

    /// Another run of the server gives the names of channels anew: those of the run before lead nowhere.
    pub(crate) fn forget_channels(&mut self) {
        self.legs.clear();
        for (&id, line) in &mut self.lines {
            self.calls.unname(id, &std::mem::take(&mut line.own));
            for other in std::mem::take(&mut line.others) {
                self.calls.unname(id, &other);
            }
        }
    }

    /// Whose leg a channel is.
    pub(crate) fn leg(&self, native: &str) -> Option<Leg> {
        self.legs.get(native).copied()
    }

    /// The server's name of our channel, once it has one.
    pub(crate) fn own_channel(&self, id: CallId) -> Option<String> {
        let line = self.lines.get(&id)?;
        (!line.own.is_empty()).then(|| line.own.clone())
    }

    /// The request is handed to the connection now. `false` if it was hung up before: it must not be
    /// sent then.
    pub(crate) fn requested(&mut self, id: CallId, now: Now) -> bool {
        match self.lines.get_mut(&id) {
            Some(line) if !line.cancel => {
                line.requested = Some(now.instant);
                line.check_at = Some(later(
                    now.instant,
                    line.ring_timeout.saturating_add(OVERDUE),
                ));
                true
            }
            _ => false,
        }
    }

    /// The server took the request.
    pub(crate) fn taken(&mut self, id: CallId, now: Now) -> Vec<SipEvent> {
        if let Some(line) = self.lines.get_mut(&id) {
            line.taken = true;
        }
        // Events of the call may have been taken before its answer was.
        self.catch_up(id, now)
    }

    fn catch_up(&mut self, id: CallId, now: Now) -> Vec<SipEvent> {
        if self.calls.state(id) == Some(CallState::Created) {
            self.advance(id, CallState::Dialing, now)
        } else {
            Vec::new()
        }
    }

    /// The server says that the call could not be placed. Where a channel was made, its own end says
    /// more and is awaited for a moment. Where none was, the id may be that of a call of an earlier
    /// process that lives: the refusal is not its end, so the server's list is asked first.
    pub(crate) fn refused(&mut self, id: CallId, report: Report, now: Now) {
        let answered = self.calls.is_answered(id);
        let Some(line) = self.lines.get_mut(&id).filter(|it| !it.settling) else {
            return;
        };
        if answered || line.second.first_up || line.end.is_some() {
            // An answered call cannot fail to be placed.
            return;
        }
        line.refused = Some(report);
        if line.there {
            line.check_at = Some(now.instant + SECOND_WORD);
        } else {
            self.todo.push(Todo::Check(id));
        }
    }

    /// Nobody knows whether the request happened: the server is asked soon.
    pub(crate) fn unsure(&mut self, id: CallId, now: Now) {
        if let Some(line) = self.lines.get_mut(&id).filter(|line| !line.settling) {
            line.check_at = Some(now.instant + UNSURE);
        }
    }

    /// We hang up, or certainly could not: the cause of the end that follows is ours or not.
    pub(crate) fn hung_up_by_us(&mut self, id: CallId, by_us: bool) {
        if let Some(line) = self.lines.get_mut(&id) {
            line.hung_up_by_us = by_us;
        }
    }

    /// The server took our hang-up, or will.
    pub(crate) fn hanging_up(&mut self, id: CallId, now: Now) -> Vec<SipEvent> {
        if self.calls.state(id) == Some(CallState::HangingUp) {
            return Vec::new();
        }
        self.advance(id, CallState::HangingUp, now)
    }

    /// The server knows no channel of the call: hang up as soon as it is seen, and ask soon whether it
    /// is gone.
    pub(crate) fn hang_up_when_there(&mut self, id: CallId, now: Now) {
        let Some(line) = self.lines.get_mut(&id) else {
            return;
        };
        line.cancel = true;
        if line.there {
            // It came between the order and its answer: the order missed it.
            self.todo.push(Todo::HangUp(id));
        }
        if line.requested.is_some() {
            self.unsure(id, now);
        }
    }

    /// The hang-up that was owed is done.
    pub(crate) fn hung_up(&mut self, id: CallId) {
        if let Some(line) = self.lines.get_mut(&id) {
            line.cancel = false;
        }
    }

    /// Marks the call for [`Todo::Settle`], once.
    pub(crate) fn settle(&mut self, id: CallId) {
        if let Some(line) = self.lines.get_mut(&id)
            && !std::mem::replace(&mut line.settling, true)
        {
            line.check_at = None;
            self.todo.push(Todo::Settle(id));
        }
    }

    /// A call that the list did not have is up: its end is not to be read. The server is asked again.
    pub(crate) fn is_up_after_all(&mut self, id: CallId, now: Now) {
        if let Some(line) = self.lines.get_mut(&id).filter(|line| line.end.is_none()) {
            (line.settling, line.there) = (false, true);
            self.unsure(id, now);
        }
    }

    /// What the server can do may be another now.
    pub(crate) fn reloaded(&mut self) {
        if !self.todo.contains(&Todo::Reloaded) {
            self.todo.push(Todo::Reloaded);
        }
    }

    /// The connection was lost: what its events told is no longer the whole truth.
    pub(crate) fn missed_events(&mut self) {
        for fax in self.lines.values_mut().filter_map(|line| line.fax.as_mut()) {
            fax.missed_events();
        }
    }

    /// The list of the server's channels, after a gap or for a check. Answers the events, and asks
    /// for the settling of calls of `asked` that are not in it.
    pub(crate) fn listed(&mut self, list: &[LiveLeg], asked: &[CallId], now: Now) -> Vec<SipEvent> {
        let mut present = HashSet::new();
        let mut out = Vec::new();
        for channel in list {
            if let Some(Leg::Own(id)) = self.leg(&channel.native) {
                present.insert(id);
                out.extend(self.seen(id, channel, now));
            }
        }
        self.others_in(list, asked);
        for &id in asked.iter().filter(|id| !present.contains(id)) {
            match self
                .lines
                .get(&id)
                .map(|line| line.may_still_come(now.instant))
            {
                Some(Some(true)) => self.unsure(id, now),
                Some(Some(false)) => self.settle(id),
                // Gone meanwhile, or not requested before the list was made.
                Some(None) | None => {}
            }
        }
        out
    }

    /// The call is in the server's list.
    fn seen(&mut self, id: CallId, channel: &LiveLeg, now: Now) -> Vec<SipEvent> {
        let out = self.own_in_list(id, channel, now);
        let Some(line) = self.lines.get_mut(&id).filter(|line| !line.settling) else {
            return out;
        };
        line.check_at = Some(now.instant + RECHECK);
        // The server that answered meanwhile was another one.
        line.restarted = None;
        // What was refused was a second request with its id.
        line.refused = None;
        // An earlier attempt to hang up failed.
        if line.cancel && !self.todo.contains(&Todo::HangUp(id)) {
            self.todo.push(Todo::HangUp(id));
        }
        out
    }

    /// Work for the worker; call after each input.
    pub(crate) fn take_todo(&mut self) -> Vec<Todo> {
        std::mem::take(&mut self.todo)
    }

    /// When [`timeout`](Self::timeout) wants to be called.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.lines.values().filter_map(|line| line.wakes_at()).min()
    }

    /// Asks for the check of what is overdue.
    pub(crate) fn timeout(&mut self, now: Now) {
        for (&id, line) in &mut self.lines {
            if line.due_at().is_some_and(|at| at <= now.instant) {
                // Asked again later if the check itself fails.
                line.check_at = Some(now.instant + UNSURE);
                self.todo.push(Todo::Check(id));
            }
            if line.is_overdue(now.instant) {
                self.todo.push(Todo::Overdue(id));
            }
        }
        self.calls.sweep(now.instant);
    }

    /// Changes a fax that runs; answers the event when its progress changed.
    pub(crate) fn fax_event(
        &mut self,
        id: CallId,
        change: impl FnOnce(&mut FaxRun) -> bool,
    ) -> Vec<SipEvent> {
        let Some(fax) = self.lines.get_mut(&id).and_then(|line| line.fax.as_mut()) else {
            return Vec::new();
        };
        if !change(fax) {
            return Vec::new();
        }
        vec![SipEvent::FaxProgress {
            id,
            progress: fax.progress(),
        }]
    }

    /// The call is recorded from its answer on by its own request.
    pub(crate) fn will_record(&mut self, id: CallId) {
        if let Some(line) = self.lines.get_mut(&id) {
            line.recordings = 1;
        }
    }

    /// The adapter's own word for what a call is.
    pub(crate) fn kind(&self, id: CallId) -> &'static str {
        self.lines.get(&id).map_or("", |line| line.kind)
    }

    /// Progress of every fax that runs.
    pub(crate) fn faxes(&self) -> Vec<(CallId, FaxProgress)> {
        self.lines
            .iter()
            .filter_map(|(&id, line)| Some((id, line.fax.as_ref()?.progress())))
            .collect()
    }

    pub(crate) fn is_fax(&self, id: CallId) -> bool {
        self.lines.get(&id).is_some_and(|line| line.fax.is_some())
    }

    pub(crate) fn live(&self) -> Vec<CallId> {
        self.calls.live().collect()
    }

    pub(crate) fn find(&self, call: &CallRef) -> Option<CallId> {
        self.calls.find(call)
    }

    pub(crate) fn record(&self, call: &CallRef) -> Option<CallRecord> {
        self.calls.record(call).cloned()
    }

    pub(crate) fn len(&self) -> usize {
        self.calls.len()
    }

    pub(crate) fn advance(&mut self, id: CallId, next: CallState, now: Now) -> Vec<SipEvent> {
        let moved = self.calls.advance(id, next, now);
        self.answered_by(id, next);
        report_move(id, moved)
    }

    fn jump(&mut self, id: CallId, seen: CallState, now: Now) -> Vec<SipEvent> {
        let moved = self.calls.jump(id, seen, now);
        self.answered_by(id, seen);
        match moved {
            // A list shows a moment that our events may have overtaken.
            Err(_) => Vec::new(),
            moved => report_move(id, moved),
        }
    }

    /// Asks for what begins with an answer, after a move and again while it has not begun.
    fn answered_by(&mut self, id: CallId, next: CallState) {
        let waits = self.lines.get(&id).is_some_and(|line| line.once_answered);
        let answered = next == CallState::Connected && self.calls.is_answered(id);
        if waits && answered && !self.todo.contains(&Todo::Answered(id)) {
            self.todo.push(Todo::Answered(id));
        }
    }
}

fn report_move(id: CallId, moved: Result<Option<CallStateChanged>, IllegalEdge>) -> Vec<SipEvent> {
    match moved {
        Ok(change) => change.map(SipEvent::CallStateChanged).into_iter().collect(),
        Err(edge) => {
            let error = Error::new(ErrorKind::Protocol, "event", edge.to_string())
                .with_call_id(id)
                .with_effect(Effect::NoEffect);
            vec![SipEvent::AdapterError {
                severity: Severity::Warning,
                error,
            }]
        }
    }
}
