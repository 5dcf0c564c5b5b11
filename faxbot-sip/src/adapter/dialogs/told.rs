//! What the events of a server tell of its dialogs.

use faxbot_core::{
    id::CallId,
    sip::{CallState, SipEvent},
};

use super::{
    Dialogs, Todo,
    seen::{DialogKey, Report, Seen, Stage, Told},
};
use crate::adapter::calls::Now;

impl Dialogs {
    /// Enters an event. Events of one dialog come in any order, and several times; without its tag the
    /// one dialog of the Call-ID is meant.
    pub(crate) fn told(
        &mut self,
        call_id: &str,
        from_tag: Option<&str>,
        told: Told,
        now: Now,
    ) -> Vec<SipEvent> {
        self.told_of(call_id, from_tag, "", told, now)
    }

    /// As [`told`](Self::told), of the dialog with this handle: an event of an earlier one of the same
    /// name may come late.
    pub(crate) fn told_of(
        &mut self,
        call_id: &str,
        from_tag: Option<&str>,
        handle: &str,
        told: Told,
        now: Now,
    ) -> Vec<SipEvent> {
        self.past.sweep(now.instant);
        if let Told::Begun(seen) = told {
            return self.begins(&seen, now);
        }
        let Some(id) = self.meant(call_id, from_tag) else {
            self.of_a_stranger(call_id, from_tag, told, now);
            return Vec::new();
        };
        let answered = self.calls.is_answered(id);
        let Some(line) = self.lines.get_mut(&id) else {
            return Vec::new();
        };
        if line.is_other(handle) {
            // Of another dialog of the same name, whose beginning may be told late.
            if matches!(told, Told::Over(_) | Told::OverWithoutCause) {
                line.remember(handle);
            }
            return Vec::new();
        }
        line.fresh = true;
        if line.settle_at.is_some() && !matches!(told, Told::Cause(_) | Told::Over(_)) {
            return Vec::new();
        }
        match told {
            Told::Begun(_) => Vec::new(),
            Told::Rings => self.rises(id, Stage::Early, now),
            Told::Answered => self.rises(id, Stage::Answered, now),
            Told::Held => self.advance(id, CallState::OnHold, now),
            Told::Resumed => self.back_from(id, CallState::OnHold, now),
            Told::Transferring => self.advance(id, CallState::Transferring, now),
            Told::NotTransferred => self.back_from(id, CallState::Transferring, now),
            // Of another party, before this one answered; or of a request within the call.
            Told::Cause(_) if answered => Vec::new(),
            Told::Cause(report) => {
                let awaited = line.settle_at.is_some();
                line.cause = Some(report);
                if awaited {
                    self.over(id, now)
                } else {
                    Vec::new()
                }
            }
            Told::Over(report) => {
                // What was told before may say more of the same.
                let told = line.cause.take();
                let told = told.filter(|told| !report.answered && told.says_more_than(&report));
                self.over_for(id, told.unwrap_or(report), now)
            }
            Told::OverWithoutCause => self.over(id, now),
        }
    }

    fn begins(&mut self, seen: &Seen, now: Now) -> Vec<SipEvent> {
        let mut out = self.hand_over(seen, now);
        out.extend(self.begins_as_its_own(seen, now));
        out
    }

    fn begins_as_its_own(&mut self, seen: &Seen, now: Now) -> Vec<SipEvent> {
        let Some(id) = self.find_dialog(&seen.call_id, &seen.from_tag) else {
            if self.past.knows(seen, now.instant) {
                return Vec::new();
            }
            if self.past.is_late(seen, now.instant) {
                // Unless it lives on, which a list shows.
                self.want(Todo::Poll);
                return Vec::new();
            }
            let stray = self.past.take_stray(seen);
            let Some(id) = self.enter(seen, now) else {
                return Vec::new();
            };
            if let Some(line) = self.lines.get_mut(&id) {
                line.fresh = true;
            }
            let mut out = self.raise(id, seen.stage, seen.answered, now);
            if let Some(report) = stray {
                out.extend(self.over_for(id, report, now));
            }
            return out;
        };
        let answered = self.calls.is_answered(id);
        if self.past.has_handle(seen) {
            return Vec::new();
        }
        let Some(line) = self.lines.get_mut(&id) else {
            return Vec::new();
        };
        if answered && line.is_other(&seen.handle) {
            // The name is used again, or the request passed twice and this is late: a list shows which.
            self.want(Todo::Poll);
            return Vec::new();
        }
        if line.had(&seen.handle) && line.is_other(&seen.handle) {
            // Late: another dialog took its place.
            return Vec::new();
        }
        line.fresh = true;
        if line.settle_at.is_some() {
            let challenged = line.cause.as_ref().is_some_and(Report::is_challenge);
            let again = line.is_other(&seen.handle) && !line.had(&seen.handle);
            if !(again || challenged && seen.handle.is_empty()) {
                return Vec::new();
            }
            // The request came again, with credentials.
            line.goes_on();
        }
        line.show(seen);
        self.raise(id, seen.stage, seen.answered, now)
    }

    /// Of an event that no call of the books is meant by.
    fn of_a_stranger(&mut self, call_id: &str, from_tag: Option<&str>, told: Told, now: Now) {
        if self.past.is_told(call_id, from_tag) {
            return;
        }
        let several = self
            .by_call_id
            .get(call_id)
            .is_some_and(|ids| ids.len() > 1);
        let report = match told {
            Told::Over(report) => Some(report),
            Told::OverWithoutCause => Some(Report::default()),
            _ => None,
        };
        // A request that was challenged comes again under the same name.
        let report = report.filter(|report| !several && !report.is_challenge());
        if let Some(report) = report {
            let key = DialogKey {
                call_id: call_id.to_owned(),
                from_tag: from_tag.unwrap_or_default().to_owned(),
            };
            self.past.stray(key, report, now.instant);
        }
        // Its beginning was missed, or is still to come: a list shows who it is.
        self.want(Todo::Poll);
    }

    /// The call of an event. The tag may be that of the called party, who hung up.
    fn meant(&self, call_id: &str, from_tag: Option<&str>) -> Option<CallId> {
        let of_call_id = self.by_call_id.get(call_id)?;
        let only = match of_call_id.as_slice() {
            [only] => Some(*only),
            _ => None,
        };
        let Some(tag) = from_tag else {
            return only;
        };
        self.find_dialog(call_id, tag).or_else(|| {
            let mut calls = of_call_id.iter().copied();
            let called = |id: &CallId| self.seen(*id)?.to_tag.as_deref();
            calls
                .find(|id| called(id) == Some(tag))
                .or_else(|| only.filter(|id| called(id).is_none()))
        })
    }

    fn rises(&mut self, id: CallId, stage: Stage, now: Now) -> Vec<SipEvent> {
        if let Some(line) = self.lines.get_mut(&id) {
            line.rise(stage);
            if line.cancel {
                self.want(Todo::HangUp(id));
            }
        }
        self.raise(id, stage, None, now)
    }

    fn back_from(&mut self, id: CallId, state: CallState, now: Now) -> Vec<SipEvent> {
        if self.calls.state(id) == Some(state) {
            self.advance(id, CallState::Connected, now)
        } else {
            Vec::new()
        }
    }
}
