//! The calls of an earlier process: they are asked for before a job under a chosen id is dialled,
//! and what the server knows of is adopted.

use faxbot_core::{
    Error, Timestamp,
    fax::{JobStatus, OutcomeStatus},
    id::CallId,
    sip::{CallRecord, Lookup, UnknownReason},
};

use super::{FaxJob, Placed, QUESTIONS, Stage};
use crate::{
    jobs::{Now, later},
    sip_fax::verdict::{cannot_tell, outcome_of},
};

/// Calls of an earlier process that are adopted at most, whatever an adapter answers.
const ADOPTED_AT_MOST: usize = 100;

impl FaxJob {
    /// The caller chose the id: the server is asked for calls of an earlier process first.
    pub(in crate::sip_fax) fn with_chosen_id(mut self, chosen: bool, now: Now) -> Self {
        self.chosen = chosen;
        if chosen {
            self.check_next(now);
        }
        self
    }

    /// The call of an earlier process to ask for. Without the time of its request, which only that
    /// process knew.
    pub(in crate::sip_fax) fn earlier_call(&self) -> Option<CallId> {
        matches!(self.stage, Stage::Checking { .. }).then(|| {
            let last = self.record.attempts.last().map_or(0, |last| last.number);
            CallId::for_attempt(&self.record.id, last.saturating_add(1))
        })
    }

    /// The server's answer about a call that an earlier process may have placed. What it knows of
    /// is adopted as a call of this job; the rest of the job is ours.
    pub(in crate::sip_fax) fn checked(
        &mut self,
        call: CallId,
        answer: &Result<Lookup, Error>,
        now: Now,
    ) {
        let Stage::Checking { settled, asked, .. } = self.stage else {
            return;
        };
        if self.earlier_call() != Some(call) {
            return;
        }
        let again = |wait| Stage::Checking {
            next: later(now.instant, wait),
            settled,
            asked: asked.saturating_add(1),
        };
        match answer {
            Ok(Lookup::Live(status)) => {
                self.accepted_by_all();
                self.begin_earlier(status.started_at, now);
                let at = status.started_at;
                let lived = true;
                self.ask(Placed { call, at, lived }, now);
                self.record.report(&JobStatus::InProgress, now.wall);
            }
            Ok(Lookup::Ended(record)) => self.adopt(record, now),
            Ok(Lookup::Unknown(UnknownReason::TooRecent)) if now.instant < settled => {
                let wait = QUESTIONS.delay(asked, now.fraction());
                self.stage = again(wait.unwrap_or_default());
            }
            Err(error) if !cannot_tell(error) => match self.next_refusal(error, now) {
                Some(wait) => self.stage = again(wait),
                None => self.never_told(now),
            },
            // A server that keeps nothing must not block the fax.
            _ => self.go_on(now),
        }
    }

    /// A call of an earlier process is over: it counts as ours.
    fn adopt(&mut self, record: &CallRecord, now: Now) {
        self.accepted_by_all();
        let outcome = outcome_of(record, None);
        let call = self.begin_earlier(record.start, now);
        let end = record.end.unwrap_or(now.wall);
        self.count(call, outcome, end);
        if let Some(outcome) = &self.outcome
            && outcome.status != OutcomeStatus::Failed
        {
            let status = outcome.job_status();
            return self.finish(&status, now);
        }
        if self.record.attempts.len() >= ADOPTED_AT_MOST {
            return self.go_on(now);
        }
        // That process may have dialled again before it ended: only then policy has its say.
        self.check_next(now);
    }

    /// A call that follows a failed one went by policy, as ours do: what it changed holds for the
    /// calls that follow, above all the rendering that confirmed pages are of.
    fn begin_earlier(&mut self, at: Timestamp, now: Now) -> CallId {
        if let Some(outcome) = self.outcome.clone() {
            let _ = self.next_step(&outcome, now);
        }
        self.record.begin_attempt(at)
    }

    /// There is no further call of an earlier process.
    fn go_on(&mut self, now: Now) {
        self.accepted_by_all();
        if self.cancelled {
            return self.finish(&JobStatus::Cancelled, now);
        }
        if self.outcome.is_some() {
            self.go_by_policy(now);
        } else {
            self.stage = Stage::Preparing {
                not_before: now.instant,
                decide: false,
            };
        }
    }

    /// The server could not be asked in time. An earlier process may have delivered the fax, so
    /// that "failed" would say too much.
    pub(super) fn never_told(&mut self, now: Now) {
        self.note = Some(
            "the server could not be asked whether it was sent under this id before; it was not dialled",
        );
        self.finish(&JobStatus::OutcomeUnknown, now);
    }

    fn check_next(&mut self, now: Now) {
        self.stage = Stage::Checking {
            next: now.instant,
            settled: later(now.instant, self.patience.lookup),
            asked: 0,
        };
    }
}
