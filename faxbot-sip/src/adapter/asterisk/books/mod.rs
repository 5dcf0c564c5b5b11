//! The books of one Asterisk: requests go in, ends come out, and what has to be asked of the server
//! in between is said by [`Todo`]. Sans-IO; what events do to them is in [`event`], and
//! how calls leave them in [`ending`].

pub(super) mod ending;
pub(super) mod event;
pub(super) mod fax;
pub(super) mod history;
pub(super) mod legs;
pub(super) mod line;
pub(super) mod media;
pub(super) mod moves;

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use faxbot_core::{
    Effect, Error, ErrorKind, Result,
    clock::later,
    fax::{FaxPhase, FaxProgress, FaxUpdate},
    id::{CallId, CallRef},
    sip::{
        AdapterKind, CallRecord, CallState, CallStateChanged, CallUpdate, Direction, IllegalEdge,
        Severity, SipEvent, Snapshot,
    },
};
use tokio::sync::watch;

use self::{
    fax::Fax,
    line::{Line, LiveChannel, NewLine},
    moves::Moves,
};
use super::{
    abilities::Abilities,
    control::{dtmf::Senders, rooms::NAMES},
    incoming::Door,
    known::Known,
    outcome::{Leg, channel_id, peer_id},
};
use crate::{
    adapter::{
        calls::{Calls, NewCall, Now},
        history::Cdrs,
        hub::Book,
        rooms::Conferences,
    },
    protocol::ami::Message,
};

/// How long after its ring time-out a call that neither rings nor ends is asked for at the server.
pub(super) const OVERDUE: Duration = Duration::from_secs(30);

/// How long a request whose fate is not known waits before the server is asked: an Originate in the
/// server's queue has made its channel by then.
pub(super) const UNSURE: Duration = Duration::from_secs(5);

/// How often the server is asked whether calls that say nothing are still there. Events tell when
/// they end, but an account that may not read the class `call` gets none. One list answers for all
/// calls, so this does not grow with their number.
pub(super) const RECHECK: Duration = Duration::from_secs(60);

/// What the worker must do after an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Todo {
    /// The call is over as far as events tell: read what its handler left, then [`Books::finish`].
    Settle(CallId),
    /// Nobody knows where the call is: ask the server.
    Check(CallId),
    /// A hang-up is owed and the channel is there: send it.
    HangUp(CallId),
    /// Something was reloaded or has booted: extensions of the run time may be gone, modules there.
    Reloaded,
    /// The far end answered: start what was asked for from then on.
    Answered(CallId),
    /// A call came in: ask what it brings, and tell of it.
    Announce(CallId),
    /// A party of a held call has nobody left: hang it up.
    LeftAlone,
    /// Nobody decided on an incoming call in time.
    Overdue(CallId),
    /// There are too many incoming calls: reject one.
    Refuse,
}

/// The books of one server.
#[derive(Debug)]
pub(super) struct Books {
    pub(super) calls: Calls,
    pub(super) known: Known,
    // Boxed: a table is up to twice as large as what is in it, and keeps its size.
    pub(super) lines: HashMap<CallId, Box<Line>>,
    /// Channels whose `Uniqueid` the server chose.
    pub(super) by_uniqueid: HashMap<String, Leg>,
    pub(super) conferences: Conferences,
    pub(super) moves: Moves,
    pub(super) cdrs: Cdrs,
    pub(super) door: Door,
    /// Channels that send digits now.
    pub(super) senders: Senders,
    pub(super) todo: Vec<Todo>,
}

impl Books {
    pub(super) fn new() -> Self {
        Self {
            calls: Calls::new(AdapterKind::ASTERISK),
            known: Known::new(Abilities::hoped_for(true)),
            lines: HashMap::new(),
            by_uniqueid: HashMap::new(),
            conferences: Conferences::new(NAMES),
            moves: Moves::default(),
            cdrs: Cdrs::default(),
            door: Door::default(),
            senders: Senders::default(),
            todo: Vec::new(),
        }
    }

    /// Enters a call before its request is written, so that no event of it is missed.
    pub(super) fn open(&mut self, new: NewLine, now: Now) -> Result<watch::Receiver<CallUpdate>> {
        let updates = self.calls.open(
            NewCall {
                id: new.id,
                direction: Direction::Outbound,
                state: CallState::Created,
                from: new.from,
                to: Some(new.to),
            },
            now,
        )?;
        self.calls.name(new.id, &channel_id(new.id));
        self.calls.name(new.id, &peer_id(new.id));
        let line = Line {
            uniqueid: channel_id(new.id),
            plan: new.plan,
            on_answer: new.on_answer,
            ring_timeout: new.ring_timeout,
            ..Line::default()
        };
        self.lines.insert(new.id, Box::new(line));
        Ok(updates)
    }

    /// Enters a fax.
    pub(super) fn open_fax(
        &mut self,
        new: NewLine,
        pages: u32,
        now: Now,
    ) -> Result<watch::Receiver<FaxUpdate>> {
        let id = new.id;
        self.open(new, now)?;
        let (run, updates) = Fax::new(pages);
        if let Some(line) = self.lines.get_mut(&id) {
            line.fax = Some(run);
        }
        Ok(updates)
    }

    pub(super) fn catch_up(&mut self, id: CallId, now: Now) -> Vec<SipEvent> {
        if self.calls.state(id) == Some(CallState::Created) {
            self.advance(id, CallState::Dialing, now)
        } else {
            Vec::new()
        }
    }

    /// We hang up, or certainly could not: the cause of the end that follows is ours or not.
    pub(super) fn hung_up_by_us(&mut self, id: CallId, by_us: bool) {
        if let Some(line) = self.lines.get_mut(&id) {
            line.hung_up_by_us = by_us;
        }
    }

    /// The server took our hang-up, or will.
    pub(super) fn hanging_up(&mut self, id: CallId, now: Now) -> Vec<SipEvent> {
        if self.calls.state(id) == Some(CallState::HangingUp) {
            return Vec::new();
        }
        if let Some(line) = self.lines.get_mut(&id) {
            line.ending.get_or_insert(now.instant);
        }
        self.advance(id, CallState::HangingUp, now)
    }

    /// The server knows no channel of the call: hang up as soon as it is seen, and ask soon whether it
    /// is gone.
    pub(super) fn hang_up_when_there(&mut self, id: CallId, now: Now) {
        let Some(line) = self.lines.get_mut(&id) else {
            return;
        };
        line.cancel = true;
        if line.channel.is_some() {
            // It came between the order and its answer: the order missed it.
            self.todo.push(Todo::HangUp(id));
        }
        if line.requested.is_some() {
            self.unsure(id, now);
        }
    }

    /// Marks the call for [`Todo::Settle`], once.
    pub(super) fn settle(&mut self, id: CallId) {
        if let Some(line) = self.lines.get_mut(&id)
            && !std::mem::replace(&mut line.settling, true)
        {
            line.check_at = None;
            self.todo.push(Todo::Settle(id));
        }
    }

    /// Whose leg a `Uniqueid` names.
    pub(super) fn leg(&self, uniqueid: &str) -> Option<Leg> {
        Leg::of(uniqueid).or_else(|| self.by_uniqueid.get(uniqueid).copied())
    }

    /// What to call our leg of a live call in an order to the server.
    pub(super) fn own_channel(&self, id: CallId) -> Option<String> {
        self.lines.get(&id).map(|line| line.uniqueid.clone())
    }

    /// The list of the server's channels, after a gap or for a check. Answers the events, and asks
    /// for the settling of calls of `asked` that are not in it.
    pub(super) fn channels(
        &mut self,
        list: &[LiveChannel],
        asked: &[CallId],
        now: Now,
    ) -> Vec<SipEvent> {
        let mut present = HashSet::new();
        let mut out = Vec::new();
        self.partners_in(list, asked, now);
        self.out_of_agi(list, asked);
        for channel in list {
            if let Some(Leg::Own(id)) = self.leg(&channel.uniqueid)
                && self.lines.contains_key(&id)
            {
                present.insert(id);
                self.channel(id, &channel.name);
                out.extend(self.channel_state(id, &channel.state, true, now));
                self.seen(id, now);
            }
        }
        out.extend(self.moves_in(list, now));
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
        out.extend(self.in_agi(list, now));
        out
    }

    /// The call is in the server's list.
    fn seen(&mut self, id: CallId, now: Now) {
        let Some(line) = self.lines.get_mut(&id).filter(|line| !line.settling) else {
            return;
        };
        line.check_at = Some(now.instant + RECHECK);
        // The server that answered meanwhile was another one.
        line.restarted = None;
        // An earlier attempt to hang up failed.
        if line.cancel && !self.todo.contains(&Todo::HangUp(id)) {
            self.todo.push(Todo::HangUp(id));
        }
    }

    /// The hang-up that was owed is done.
    pub(super) fn hung_up(&mut self, id: CallId) {
        if let Some(line) = self.lines.get_mut(&id) {
            line.cancel = false;
        }
    }

    /// The answer to `FAXSession` for the fax on this channel.
    pub(super) fn fax_session(&mut self, id: CallId, session: &Message, now: Now) -> Vec<SipEvent> {
        self.fax_event(id, |fax| fax.session(session, now.instant))
    }

    /// Faxes that were answered, by the name of their channel.
    pub(super) fn answered_faxes(&self) -> HashMap<String, CallId> {
        let running = |line: &Line| {
            line.fax
                .as_ref()
                .is_some_and(|fax| fax.run.progress().phase >= FaxPhase::Negotiating)
        };
        self.lines
            .iter()
            .filter(|(_, line)| running(line) && !line.settling)
            .filter_map(|(&id, line)| Some((line.channel.clone()?, id)))
            .collect()
    }

    /// Progress of every fax that runs.
    fn faxes(&self) -> Vec<(CallId, FaxProgress)> {
        self.lines
            .iter()
            .filter_map(|(&id, line)| Some((id, line.fax.as_ref()?.run.progress())))
            .collect()
    }

    pub(super) fn is_fax(&self, id: CallId) -> bool {
        self.lines.get(&id).is_some_and(|line| line.fax.is_some())
    }

    pub(super) fn find(&self, call: &CallRef) -> Option<CallId> {
        self.calls.find(call)
    }

    pub(super) fn record(&self, call: &CallRef) -> Option<CallRecord> {
        self.calls.record(call).cloned()
    }

    pub(super) fn fax_event(
        &mut self,
        id: CallId,
        change: impl FnOnce(&mut Fax) -> bool,
    ) -> Vec<SipEvent> {
        let Some(fax) = self.lines.get_mut(&id).and_then(|line| line.fax.as_mut()) else {
            return Vec::new();
        };
        if !change(fax) {
            return Vec::new();
        }
        vec![SipEvent::FaxProgress {
            id,
            progress: fax.run.progress(),
        }]
    }

    pub(super) fn advance(&mut self, id: CallId, next: CallState, now: Now) -> Vec<SipEvent> {
        let moved = self.calls.advance(id, next, now);
        self.answered_by(id, next, now);
        report(id, moved)
    }

    pub(super) fn jump(&mut self, id: CallId, seen: CallState, now: Now) -> Vec<SipEvent> {
        let moved = self.calls.jump(id, seen, now);
        self.answered_by(id, seen, now);
        match moved {
            // A list shows a moment that our events may have overtaken.
            Err(_) => Vec::new(),
            moved => report(id, moved),
        }
    }

    /// Asks for what begins with an answer, after a move and again while it has not begun.
    fn answered_by(&mut self, id: CallId, next: CallState, now: Now) {
        if next == CallState::Connected && self.calls.is_answered(id) {
            self.is_answered(id, now);
        }
    }
}

impl Book for Books {
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
        let due = |line: &Line| [line.due_at(), line.decision_due_at()];
        let lines = self.lines.values().map(AsRef::as_ref);
        lines.flat_map(due).flatten().min()
    }

    fn timeout(&mut self, now: Now) {
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

    fn requested(&mut self, id: CallId, now: Now) -> bool {
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

    fn taken(&mut self, id: CallId, now: Now) -> Vec<SipEvent> {
        if let Some(line) = self.lines.get_mut(&id) {
            line.taken = true;
        }
        // Events of the call may have been taken before its answer was.
        self.catch_up(id, now)
    }

    fn unsure(&mut self, id: CallId, now: Now) {
        if let Some(line) = self.lines.get_mut(&id).filter(|line| !line.settling) {
            line.check_at = Some(now.instant + UNSURE);
        }
    }

    fn lose(&mut self, id: CallId, error: Error) -> Vec<SipEvent> {
        self.strike(id, error)
    }

    fn missed_events(&mut self) {
        // The next connection may be to another run of the server.
        self.known.up_since = None;
        // Events told the end of the others.
        let open = self.lines.values_mut().filter(|line| line.hangup.is_none());
        for fax in open.filter_map(|line| line.fax.as_mut()) {
            fax.run.missed_events();
        }
    }

    fn attempt_failed(&mut self) {
        self.known.up_since = None;
    }

    fn forget_connection(&mut self) {
        self.door.forget();
        self.known.up_since = None;
        self.conferences = Conferences::new(NAMES);
    }

    fn snapshot(&self, snapshot: &mut Snapshot) {
        snapshot.incoming = self.waiting();
        snapshot.faxes = self.faxes();
        snapshot.conferences = self.conferences.list();
    }
}

fn report(id: CallId, moved: Result<Option<CallStateChanged>, IllegalEdge>) -> Vec<SipEvent> {
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
