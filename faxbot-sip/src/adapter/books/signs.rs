//! What channels do, as events and lists of the server show it. Sans-IO.

use std::collections::HashSet;

use faxbot_core::{
    fax::FaxPhase,
    id::CallId,
    sip::{CallState, Causes, SipEvent},
};

use super::{Books, Leg, Line, Plan, RECHECK, Report, Todo};
use crate::adapter::calls::Now;

/// How many channels beside our own a call has at most at one time. More are not followed.
pub(crate) const MAX_OTHERS: usize = 64;

/// How far a channel is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Sign {
    /// It exists.
    Dialing,
    /// The party rings, or plays something before it answers.
    Ringing,
    /// The party answered.
    Up,
}

/// A channel of the server's list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LiveLeg {
    /// The server's name of it.
    pub(crate) native: String,
    pub(crate) sign: Sign,
    /// The channel that it is joined with.
    pub(crate) joined: Option<String>,
}

impl Books {
    /// A channel is the second party of a call, or another one of its channels.
    pub(crate) fn joins(&mut self, id: CallId, native: &str) {
        let Some(line) = self.lines.get_mut(&id) else {
            return;
        };
        if native.is_empty() || native == line.own || line.others.iter().any(|it| it == native) {
            return;
        }
        if line.others.len() >= MAX_OTHERS {
            tracing::debug!(call_id = %id, "a call has more channels than are followed");
            return;
        }
        // A channel of another call of ours stays that one's.
        if self.legs.contains_key(native) {
            return;
        }
        line.others.push(native.to_owned());
        self.legs.insert(native.to_owned(), Leg::Other(id));
        self.calls.name(id, native);
    }

    /// Another channel of a call is gone. `causes` say why it was not reached, if it was not.
    pub(crate) fn parts(&mut self, id: CallId, native: &str, causes: Option<Causes>) {
        self.legs.remove(native);
        self.calls.unname(id, native);
        let Some(line) = self.lines.get_mut(&id) else {
            return;
        };
        line.others.retain(|other| other != native);
        if line.joined.as_deref() == Some(native) {
            line.joined = None;
        }
        line.moves.party_ended(native, causes.as_ref());
        if let Some(causes) = causes {
            self.second_says(id, causes);
        }
    }

    /// Why another party of a call was not reached, as something says that is no end of its channel.
    pub(crate) fn second_says(&mut self, id: CallId, causes: Causes) {
        if let Some(line) = self.lines.get_mut(&id)
            && !line.second.answered
            && causes.class().is_some()
        {
            line.second.causes = Some(causes);
        }
    }

    /// Our channel is joined with another, or alone again.
    pub(crate) fn joined(&mut self, id: CallId, with: Option<&str>, now: Now) -> Vec<SipEvent> {
        let Some(line) = self.lines.get_mut(&id) else {
            return Vec::new();
        };
        line.joined = with.map(str::to_owned);
        line.moves.party_joined(with);
        if with.is_some() {
            self.second_answers(id, now)
        } else {
            Vec::new()
        }
    }

    /// Our channel is this far, as an event says.
    pub(crate) fn own_is(&mut self, id: CallId, sign: Sign, now: Now) -> Vec<SipEvent> {
        self.is_there(id);
        if self.says_nothing(id, sign) {
            return Vec::new();
        }
        let next = self.means(id, sign, now);
        // The answer to a request may come after the events of its call; one that was lost is made up
        // for here.
        let mut out = self.catch_up(id, now);
        let state = self.calls.state(id);
        let behind = state.is_none_or(|state| state == next || !state.can_become(next));
        // A repeated or late word of an earlier state says nothing new; a held call is up all the time.
        let moved = matches!(state, Some(CallState::OnHold | CallState::Transferring));
        if !behind && !moved {
            out.extend(self.advance(id, next, now));
        }
        out.extend(self.fax_reaches(id, next, now));
        out
    }

    /// Our channel is this far, as a list shows: over whatever was missed.
    pub(super) fn own_in_list(&mut self, id: CallId, channel: &LiveLeg, now: Now) -> Vec<SipEvent> {
        self.is_there(id);
        if let Some(line) = self.lines.get_mut(&id) {
            line.joined.clone_from(&channel.joined);
            // Joined with somebody: whoever was called answered.
            line.second.answered |= channel.joined.is_some() && line.plan == Plan::Connect;
        }
        if self.says_nothing(id, channel.sign) {
            return Vec::new();
        }
        let next = self.means(id, channel.sign, now);
        let held = matches!(
            self.calls.state(id),
            Some(CallState::OnHold | CallState::Transferring)
        );
        if held {
            return Vec::new();
        }
        let mut out = self.jump(id, next, now);
        out.extend(self.fax_reaches(id, next, now));
        out
    }

    /// Whether a sign says nothing of a call that came in: an answer does once it is decided on.
    fn says_nothing(&mut self, id: CallId, sign: Sign) -> bool {
        if sign == Sign::Up && self.up_before(id) {
            return true;
        }
        self.lines.get(&id).is_some_and(|line| line.waits(sign))
    }

    fn is_there(&mut self, id: CallId) {
        let Some(line) = self.lines.get_mut(&id) else {
            return;
        };
        if !std::mem::replace(&mut line.there, true) && line.cancel {
            self.todo.push(Todo::HangUp(id));
        }
    }

    /// What the sign of our own channel says of its call. For [`Plan::Connect`] an answer says only
    /// that the first party picked up.
    fn means(&mut self, id: CallId, sign: Sign, now: Now) -> CallState {
        let state = self.calls.state(id);
        let Some(line) = self.lines.get_mut(&id) else {
            return CallState::Dialing;
        };
        match sign {
            Sign::Dialing => CallState::Dialing,
            // The first party rings; the call does when the second one does.
            Sign::Ringing if line.plan == Plan::Connect => match state {
                Some(state) if state != CallState::Created => state,
                _ => CallState::Dialing,
            },
            Sign::Ringing => CallState::Ringing,
            Sign::Up => {
                line.check_at = Some(now.instant + RECHECK);
                line.second.first_up = true;
                match state {
                    _ if line.plan != Plan::Connect || line.second.answered => CallState::Connected,
                    Some(state) if state != CallState::Created => state,
                    _ => CallState::Dialing,
                }
            }
        }
    }

    fn fax_reaches(&mut self, id: CallId, state: CallState, now: Now) -> Vec<SipEvent> {
        let phase = match state {
            CallState::Ringing => FaxPhase::Ringing,
            CallState::Connected => FaxPhase::Negotiating,
            CallState::Created | CallState::Dialing => FaxPhase::Dialing,
            _ => return Vec::new(),
        };
        self.fax_event(id, |fax| fax.reach(phase, now.instant))
    }

    /// The second party of a call is this far.
    pub(crate) fn other_is(&mut self, id: CallId, sign: Sign, now: Now) -> Vec<SipEvent> {
        match sign {
            Sign::Dialing => Vec::new(),
            Sign::Ringing => self.second_rings(id, now),
            Sign::Up => self.second_answers(id, now),
        }
    }

    fn second_waits(&self, id: CallId) -> bool {
        let connects = self
            .lines
            .get(&id)
            .is_some_and(|it| it.plan == Plan::Connect);
        connects
            && matches!(
                self.calls.state(id),
                Some(CallState::Created | CallState::Dialing | CallState::Ringing)
            )
    }

    fn second_rings(&mut self, id: CallId, now: Now) -> Vec<SipEvent> {
        if !self.second_waits(id) || self.calls.state(id) == Some(CallState::Ringing) {
            return Vec::new();
        }
        let mut out = self.catch_up(id, now);
        out.extend(self.advance(id, CallState::Ringing, now));
        out
    }

    fn second_answers(&mut self, id: CallId, now: Now) -> Vec<SipEvent> {
        let Some(line) = self.lines.get_mut(&id) else {
            return Vec::new();
        };
        line.second.answered = true;
        line.second.causes = None;
        if !self.second_waits(id) {
            return Vec::new();
        }
        let mut out = self.catch_up(id, now);
        out.extend(self.advance(id, CallState::Connected, now));
        out
    }

    /// The event of the end of our channel came, with what it tells.
    pub(crate) fn ended(&mut self, id: CallId, report: Report, now: Now) -> Vec<SipEvent> {
        let Some(line) = self.lines.get_mut(&id) else {
            return Vec::new();
        };
        line.end = Some(report);
        self.close(id, now)
    }

    /// All that ends a call is told. A fax is ended by the worker, which takes its pages away first.
    pub(super) fn close(&mut self, id: CallId, now: Now) -> Vec<SipEvent> {
        if self.is_fax(id) {
            self.settle(id);
            Vec::new()
        } else {
            self.finish(id, None, now)
        }
    }

    /// Whether the end of a call is told: nothing else needs to be asked for.
    pub(crate) fn is_end_told(&self, id: CallId) -> bool {
        let line = self.lines.get(&id);
        line.is_some_and(|line| line.end.is_some() || line.refused.is_some())
    }

    /// We put the call on hold, took it back, or move it: a state that no sign of its channel shows.
    pub(crate) fn shift(&mut self, id: CallId, next: CallState, now: Now) -> Vec<SipEvent> {
        let state = self.calls.state(id);
        match state {
            Some(state) if state != next && state.can_become(next) => self.advance(id, next, now),
            _ => Vec::new(),
        }
    }

    /// The call is recorded to a file, or no longer.
    pub(crate) fn recorded(&mut self, id: CallId, file: &str, runs: bool) -> Vec<SipEvent> {
        let Some(line) = self.lines.get_mut(&id) else {
            return Vec::new();
        };
        line.perhaps_recording.take_if(|it| it == file);
        let known = line.recording.iter().any(|it| it == file);
        match (known, runs) {
            (false, true) if line.recording.len() < MAX_OTHERS => {
                line.recording.push(file.to_owned());
                self.calls.recorded(id, file);
            }
            (true, false) => line.recording.retain(|it| it != file),
            _ => return Vec::new(),
        }
        vec![super::ending::recording_changed(id, runs, file.to_owned())]
    }

    /// The other channels of calls in the server's list: those are gone that are not in it.
    pub(super) fn others_in(&mut self, list: &[LiveLeg], asked: &[CallId]) {
        let there: HashSet<&str> = list.iter().map(|it| it.native.as_str()).collect();
        for &id in asked {
            // One that was not seen yet may still come.
            let waits = |line: &Line| {
                matches!(line.plan, Plan::Connect | Plan::Bridge) && !line.second.answered
            };
            let Some(line) = self.lines.get(&id).filter(|line| !waits(line)) else {
                continue;
            };
            let gone = |other: &&String| !there.contains(other.as_str());
            let gone: Vec<_> = line.others.iter().filter(gone).cloned().collect();
            for other in gone {
                self.parts(id, &other, None);
            }
        }
    }
}
