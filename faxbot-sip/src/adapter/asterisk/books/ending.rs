//! How calls leave the books: with a record of their end, or with an error where nobody saw it. Sans-IO.

use faxbot_core::{
    Error, Timestamp,
    id::CallId,
    sip::{CallState, Disposition, SipEvent},
};

use super::super::outcome::Report;
use super::{
    Books,
    line::{Line, lost, shutdown_causes},
};
use crate::adapter::calls::{Ending, Now};

impl Books {
    /// Ends a call with what its handler left, if it left something.
    pub(crate) fn finish(
        &mut self,
        id: CallId,
        report: Option<&Report>,
        now: Now,
    ) -> Vec<SipEvent> {
        self.left_alone(id);
        let Some(line) = self.lines.get(&id) else {
            return Vec::new();
        };
        let events_tell = line.hangup.is_some() || line.reason.is_some();
        // The fate of a fax that was certainly there is unknown for ever; one that perhaps never was
        // is asked for with `lookup`, which may prove that.
        let certain = line.taken || line.channel.is_some();
        let certain_fax = line.fax.is_some() && certain;
        let restarted = line.restarted.filter(|_| certain);
        let unseen = report.is_none() && !events_tell;
        if unseen && !certain_fax && restarted.is_none() {
            // It is gone, and nobody saw how.
            return self.strike(id, lost(id));
        }
        let answered = self.calls.is_answered(id) || report.is_some_and(|report| report.answered);
        let Some(mut line) = self.close_line(id) else {
            return Vec::new();
        };
        let by_us = line.hung_up_by_us;
        let restarted = restarted.filter(|_| unseen);
        let causes = match restarted {
            Some(_) => shutdown_causes(),
            None => line.final_causes(answered, report),
        };
        let causes = match &line.incoming {
            Some(waiting) if !answered => waiting.causes(causes),
            _ => causes,
        };
        let mut out: Vec<_> = line.recordings.ended(id).into_iter().collect();
        let fax = line
            .fax
            .as_mut()
            .map(|fax| fax.end(report, &causes, by_us, events_tell, now.instant));
        if let Some(outcome) = fax.clone() {
            out.push(SipEvent::FaxFinished { id, outcome });
        }
        if report.is_some_and(|report| report.answered) {
            // The answer was missed; the record must have it.
            let _ = self.calls.jump(id, CallState::Connected, now);
        }
        let ending = Ending {
            by_us,
            // Its end was not seen; nor an answer that may have come in a gap.
            disposition: if restarted.is_some() {
                Some(Disposition::Unknown)
            } else {
                line.disposition(&causes)
            },
            at: restarted,
            causes,
            fax,
        };
        let end = self.calls.end(id, ending, now);
        out.extend(end.map(SipEvent::CallStateChanged));
        out
    }

    /// Takes a call out of the books with an error for whoever waits. Answers the end of one that
    /// events had told of; it has no record.
    pub(crate) fn strike(&mut self, id: CallId, error: Error) -> Vec<SipEvent> {
        let mut out = Vec::new();
        if let Some(mut line) = self.close_line(id) {
            out.extend(line.recordings.ended(id));
            if let Some(fax) = &mut line.fax {
                fax.run.lose(error.clone());
            }
        }
        let change = self.calls.lose(id, error);
        out.extend(change.map(SipEvent::CallStateChanged));
        out
    }

    /// Takes the call's line out, and its channels.
    fn close_line(&mut self, id: CallId) -> Option<Line> {
        let line = self.lines.remove(&id)?;
        self.by_uniqueid.remove(&line.uniqueid);
        for partner in &line.partners {
            self.by_uniqueid.remove(&partner.uniqueid);
            self.calls.unname(id, &partner.uniqueid);
            self.calls.unname(id, &partner.channel);
        }
        Some(*line)
    }

    /// Another run of the server answers: the channels of the one before are gone, without a handler
    /// having run. `at` is when the link to it was lost.
    pub(crate) fn restarted(&mut self, at: Timestamp) {
        for line in self.lines.values_mut() {
            // What was not requested yet will be requested from the new run.
            if line.requested.is_some() && line.hangup.is_none() {
                line.restarted.get_or_insert(at);
            }
        }
    }
}
