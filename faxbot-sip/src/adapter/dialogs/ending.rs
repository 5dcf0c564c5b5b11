//! How calls end: at what time, for which reason, and which of them a restart of the server loses.
//!
//! A server tells the times of a dialog by its own clock, in whole seconds, and we those of what we saw
//! by ours. Lengths are what is billed, so that each is the difference of two times of one clock: that of
//! the server where it told both.

use std::time::Duration;

use faxbot_core::{
    Error, ErrorKind, Timestamp,
    id::CallId,
    sip::{CallState, SipEvent},
};

use super::{
    Dialogs, past,
    seen::{Report, Seen, Stage},
};
use crate::adapter::calls::{Ending, Now};

/// How long the cause of an end may come after the end itself, where events are expected. Both servers
/// tell it before or with it; their processes send in any order.
const CAUSE_WAIT: Duration = Duration::from_secs(1);

/// Two times that are in a wrong order by more than this are of clocks that differ: whole seconds are
/// less, and so is the age of an answer as a rule.
const CLOCKS_AGREE: Duration = Duration::from_secs(5);

/// How much earlier than the server itself a request to it may be, by our clock: its age comes in whole
/// seconds and takes its time, too.
const BEFORE_START: Duration = Duration::from_secs(5);

impl Dialogs {
    /// The call is over, and this is known of why.
    pub(crate) fn end(&mut self, id: CallId, report: Report, now: Now) -> Vec<SipEvent> {
        let Some(mut line) = self.lines.remove(&id) else {
            return Vec::new();
        };
        let told = report.at.map(|at| at.min(now.wall));
        let mut at = told.or(line.over_at);
        if let Some(seen) = line.seen.as_ref() {
            at = told.or_else(|| self.ended_at(id, seen, now)).or(at);
            let key = past::key(seen);
            // Events need not tell them: a list may have, later.
            self.calls
                .learn_parties(id, seen.from.as_deref(), seen.to.as_deref());
            self.unlist(id, &key.call_id);
            let handles = line.take_handles();
            self.past.ended(key, id, handles, now.instant);
        } else if line.ours {
            self.past.ended_unseen(id, now.instant);
        }
        let ending = Ending {
            by_us: line.by_us,
            causes: report.causes,
            fax: None,
            at,
            disposition: report.disposition,
        };
        let change = self.calls.end(id, ending, now);
        change.map(SipEvent::CallStateChanged).into_iter().collect()
    }

    /// The call is over and nobody said why. Where events are expected, they get a moment for it.
    pub(crate) fn over(&mut self, id: CallId, now: Now) -> Vec<SipEvent> {
        if self.calls.is_answered(id) {
            return self.end(id, Report::default(), now);
        }
        let Some(line) = self.lines.get_mut(&id) else {
            return Vec::new();
        };
        if let Some(cause) = line.cause.take() {
            return self.over_for(id, cause, now);
        }
        if !self.events {
            return self.end(id, Report::default(), now);
        }
        self.await_cause(id, now);
        Vec::new()
    }

    /// Over, for this reason.
    pub(super) fn over_for(&mut self, id: CallId, report: Report, now: Now) -> Vec<SipEvent> {
        if report.answered {
            let mut out = self.raise(id, Stage::Answered, None, now);
            out.extend(self.end(id, report, now));
            return out;
        }
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
            line.over_at = Some(now.wall);
        }
        self.set_alarm(id);
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

    /// The server forgot its dialogs: nobody can say what became of the calls, but for those that
    /// [`is_newer`](Self::is_newer) answers. It is up since `up_since`, by our clock.
    pub(crate) fn restarted(&mut self, up_since: Option<Timestamp>) -> Vec<SipEvent> {
        self.forgot(|all, id| all.is_newer(id, up_since))
    }

    /// The server forgot its dialogs, but for those of the calls that are kept.
    pub(crate) fn forgot(&mut self, kept: impl Fn(&Self, CallId) -> bool) -> Vec<SipEvent> {
        let live = self.calls.live();
        let forgotten: Vec<_> = live.filter(|id| !kept(self, *id)).collect();
        let mut out = Vec::new();
        for id in forgotten {
            let message = "the server was restarted and forgot the call";
            let error = Error::new(ErrorKind::OutcomeUnknown, "call", message).with_call_id(id);
            out.extend(self.lose_call(id, error));
        }
        self.past.clear();
        out
    }

    /// Whether a server that is up since `up_since`, by our clock, cannot have forgotten a call: its
    /// request is on its way, or was after that, and no dialog was seen.
    pub(crate) fn is_newer(&self, id: CallId, up_since: Option<Timestamp>) -> bool {
        if self.calls.state(id) == Some(CallState::Created) {
            return true;
        }
        let line = self.lines.get(&id).filter(|line| line.seen.is_none());
        let requested = line.and_then(|line| line.requested_at);
        match (requested, up_since) {
            (Some(requested), Some(up_since)) => requested + BEFORE_START >= up_since,
            _ => false,
        }
    }

    pub(super) fn lose_call(&mut self, id: CallId, error: Error) -> Vec<SipEvent> {
        if let Some(line) = self.lines.remove(&id)
            && let Some(seen) = line.seen
        {
            self.unlist(id, &seen.call_id);
        }
        let change = self.calls.lose(id, error);
        change.map(SipEvent::CallStateChanged).into_iter().collect()
    }

    /// When a call was answered: as the server tells, unless its clock is ahead of ours, or a list still
    /// showed the call without an answer long after that.
    pub(super) fn answered_at(&self, id: CallId, told: Timestamp, now: Now) -> Timestamp {
        let start = self.calls.status(id).map(|status| status.started_at);
        let at = told.min(now.wall).max(start.unwrap_or(told));
        let unanswered = self.lines.get(&id).and_then(|line| line.unanswered_at);
        match unanswered {
            Some(unanswered) if unanswered.duration_since(at) > CLOCKS_AGREE => unanswered,
            _ => at,
        }
    }

    /// When a call ended, where the server told. The record of an answered call has its answer by either
    /// clock: the end comes as long after it as by the server's clock, which alone may put it after now.
    /// The start of one that was not answered may be ours: the end must fit that.
    fn ended_at(&self, id: CallId, seen: &Seen, now: Now) -> Option<Timestamp> {
        let ended = seen.ended?;
        let status = self.calls.status(id)?;
        if let Some(answered) = status.answered_at {
            let at = answered + ended.duration_since(seen.answered?);
            let is_ahead = ended > now.wall;
            return Some(if is_ahead { at } else { at.min(now.wall) });
        }
        let begun = seen.begun.unwrap_or(ended);
        let differs = status.started_at.duration_since(begun) > CLOCKS_AGREE;
        (!differs).then(|| ended.min(now.wall))
    }
}
