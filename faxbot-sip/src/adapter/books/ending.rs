//! How calls leave the books: with a record of their end, or with an error where nobody saw it.
//! Sans-IO.

use faxbot_core::{
    Error, Private, Timestamp,
    id::CallId,
    sip::{CallState, Causes, Disposition, SipEvent},
};

use super::{
    Books, Line, Plan, Report,
    line::{lost, shutdown_causes},
};
use crate::adapter::{
    calls::{Ending, Now},
    fax_run::FaxRun,
};

pub(super) fn recording_changed(id: CallId, running: bool, file: String) -> SipEvent {
    SipEvent::RecordingChanged {
        id: Some(id),
        running,
        file: Some(Private::new(file)),
    }
}

impl Line {
    /// Why the call ended, by all that was told of it.
    fn final_causes(&self, answered: bool, told: Option<&Report>) -> Causes {
        let reached = self.second.answered || told.is_some_and(|it| it.answered);
        let second_failed = match self.plan {
            Plan::Connect => !answered && !reached,
            Plan::Bridge => answered && !self.second.answered,
            Plan::Single | Plan::Incoming => false,
        };
        if second_failed && let Some(causes) = &self.second.causes {
            return causes.clone();
        }
        let said = [self.end.as_ref(), told, self.refused.as_ref()];
        let said = said.into_iter().flatten().map(|report| &report.causes);
        let telling = said.clone().find(|causes| causes.class().is_some());
        let any = said.clone().find(|causes| !causes.is_empty());
        // A channel that only begins the call may say nothing of its far end.
        let far = self.second.causes.as_ref().filter(|_| !answered);
        telling.or(far).or(any).cloned().unwrap_or_default()
    }

    fn disposition(&self, told: Option<&Report>, causes: &Causes) -> Option<Disposition> {
        if self.plan == Plan::Incoming {
            // The caller gave up, or nobody decided in time: it was missed.
            return Some(Disposition::NoAnswer);
        }
        let said = [self.end.as_ref(), told, self.refused.as_ref()];
        let word = said.into_iter().flatten().find_map(|it| it.disposition);
        let left = self.plan == Plan::Connect && self.second.first_up && causes.class().is_none();
        word.or(left.then_some(Disposition::NoAnswer))
    }
}

impl Books {
    /// Ends a call with what the event of its end told, or with what the server kept of it.
    pub(crate) fn finish(&mut self, id: CallId, kept: Option<Report>, now: Now) -> Vec<SipEvent> {
        let Some(line) = self.lines.get(&id) else {
            return Vec::new();
        };
        // The fate of a fax that was certainly there is unknown for ever; one that perhaps never was
        // is asked for with `lookup`, which may prove that.
        let certain = line.taken || line.there;
        let certain_fax = line.fax.is_some() && certain;
        let restarted = line.restarted.filter(|_| certain);
        let unseen = kept.is_none() && line.end.is_none() && line.refused.is_none();
        if unseen && !certain_fax && restarted.is_none() {
            // It is gone, and nobody saw how.
            return self.lose(id, lost(id));
        }
        let told = line.end.as_ref().or(kept.as_ref());
        let answered = self.calls.is_answered(id) || told.is_some_and(|it| it.answered);
        let missed = told.is_some_and(|it| it.answered) && !self.calls.is_answered(id);
        if missed {
            // The answer was missed; the record must have it.
            let at = told.and_then(|it| it.answered_at).unwrap_or(now.wall);
            let _ = self
                .calls
                .jump(id, CallState::Connected, Now { wall: at, ..now });
        }
        let Some(mut line) = self.close_line(id) else {
            return Vec::new();
        };
        let restarted = restarted.filter(|_| unseen);
        let causes = match (restarted, &line.incoming) {
            (Some(_), _) => shutdown_causes(),
            (None, Some(waiting)) if !answered => {
                waiting.causes(line.final_causes(answered, kept.as_ref()))
            }
            (None, _) => line.final_causes(answered, kept.as_ref()),
        };
        let disposition = match restarted {
            // Its end was not seen; nor an answer that may have come in a gap.
            Some(_) => Some(Disposition::Unknown),
            None => line.disposition(kept.as_ref(), &causes),
        };
        let files = std::mem::take(&mut line.recording);
        let mut out: Vec<_> = files
            .into_iter()
            .map(|file| recording_changed(id, false, file))
            .collect();
        let told = line
            .end
            .as_ref()
            .or(kept.as_ref())
            .or(line.refused.as_ref());
        let by_us = line.hung_up_by_us;
        if !answered && !unseen && line.fax.as_ref().is_some_and(FaxRun::receives) {
            // What was to be received and was not answered never was a fax.
            line.fax = None;
        }
        let outcome = line.fax.as_mut().map(|fax| {
            let end = told.and_then(|report| report.fax.as_deref());
            fax.finish(by_us, now.instant, |context| {
                end.map(|end| end.outcome(&causes, context))
            })
        });
        if let Some(outcome) = outcome.clone() {
            out.push(SipEvent::FaxFinished { id, outcome });
        }
        let ending = Ending {
            by_us,
            disposition,
            at: restarted.or(told.and_then(|report| report.ended)),
            causes,
            fax: outcome,
        };
        let end = self.calls.end(id, ending, now);
        out.extend(end.map(SipEvent::CallStateChanged));
        out
    }

    /// Takes a call out of the books with an error for whoever waits. Answers the end of one that
    /// events had told of; it has no record.
    pub(crate) fn lose(&mut self, id: CallId, error: Error) -> Vec<SipEvent> {
        let mut out = Vec::new();
        if let Some(mut line) = self.close_line(id) {
            let files = std::mem::take(&mut line.recording);
            out.extend(
                files
                    .into_iter()
                    .map(|file| recording_changed(id, false, file)),
            );
            if let Some(fax) = &mut line.fax {
                fax.lose(error.clone());
            }
        }
        let change = self.calls.lose(id, error);
        out.extend(change.map(SipEvent::CallStateChanged));
        out
    }

    /// Takes the call's line out, and its channels.
    fn close_line(&mut self, id: CallId) -> Option<Line> {
        let line = self.lines.remove(&id)?;
        self.legs.remove(&line.own);
        for other in &line.others {
            self.legs.remove(other);
            self.calls.unname(id, other);
        }
        Some(*line)
    }

    /// Another run of the server answers: the channels of the one before are gone. `at` is when the
    /// link to it was lost.
    pub(crate) fn restarted(&mut self, at: Timestamp) {
        for line in self.lines.values_mut() {
            // What was not requested yet will be requested from the new run.
            if line.requested.is_some() && line.end.is_none() {
                line.restarted.get_or_insert(at);
            }
        }
    }
}
