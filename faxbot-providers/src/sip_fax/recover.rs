//! What became of a job of an earlier process.

use faxbot_core::{
    Error, ErrorKind, Result, Timestamp,
    fax::{Attempt, AttemptHistory, FaxOutcome, JobStatus, RetryDecision, decide},
    id::{CallId, CallRef, JobId},
    plugin::StatusResult,
    sip::Lookup,
};

use super::{
    verdict::{judged, outcome_of},
    worker::Shared,
};
use crate::jobs::describe;

/// Calls that are asked for at most: no policy of this plugin's configuration places more.
const MAX_ATTEMPTS: u32 = 100;

pub(super) async fn recover(
    shared: &Shared,
    job_id: &JobId,
    requested_at: Timestamp,
) -> Result<StatusResult> {
    let mut found = Found::default();
    for number in 1..=MAX_ATTEMPTS {
        let call = CallId::for_attempt(job_id, number);
        let reference = CallRef::from(call).requested_at(requested_at);
        match shared.adapter.lookup(&reference).await {
            Ok(Lookup::Ended(record)) => {
                let outcome = judged(outcome_of(&record, None), found.pages_left(), None);
                found.history.record(&outcome);
                found.attempt(number, call, record.start, record.end, Some(outcome));
            }
            Ok(Lookup::Live(status)) => {
                found.attempt(number, call, status.started_at, None, None);
                return Ok(found.status(job_id, JobStatus::InProgress));
            }
            Ok(Lookup::NeverExisted) if number == 1 => {
                return Err(Error::new(
                    ErrorKind::NotFound,
                    "recover",
                    "the server never took a call of this job",
                )
                .with_job_id(job_id.clone()));
            }
            Ok(Lookup::NeverExisted) => break,
            Ok(_) => {
                let status = found.status_without_proof(shared);
                return Ok(found.status(job_id, status));
            }
            Err(error) => return Err(error.with_job_id(job_id.clone())),
        }
    }
    let status = found
        .last()
        .map_or(JobStatus::OutcomeUnknown, |outcome| outcome.job_status());
    Ok(found.status(job_id, status))
}

#[derive(Default)]
struct Found {
    attempts: Vec<Attempt>,
    history: AttemptHistory,
}

impl Found {
    fn attempt(
        &mut self,
        number: u32,
        call_id: CallId,
        started: Timestamp,
        ended: Option<Timestamp>,
        outcome: Option<FaxOutcome>,
    ) {
        let first_page = self.earlier_pages().saturating_add(1);
        let mut attempt = Attempt::new(number, call_id, started).with_first_page(first_page);
        attempt.ended = ended;
        attempt.outcome = outcome;
        self.attempts.push(attempt);
    }

    /// Pages that the calls so far brought.
    fn earlier_pages(&self) -> u32 {
        let pages = self.attempts.iter().filter_map(Attempt::pages_confirmed);
        pages.fold(0, u32::saturating_add)
    }

    /// Pages that the next call had to send, if a call so far told of all.
    fn pages_left(&self) -> Option<u32> {
        let total = self.attempts.iter().find_map(|attempt| {
            let told = attempt.outcome.as_ref()?.pages_total?;
            Some(told.saturating_add(attempt.earlier_pages()))
        })?;
        Some(total.saturating_sub(self.earlier_pages()))
    }

    /// How the last call ended, with the pages of the whole document.
    fn last(&self) -> Option<FaxOutcome> {
        let last = self.attempts.last()?;
        let outcome = last.outcome.clone()?;
        Some(outcome.with_earlier_pages(last.earlier_pages()))
    }

    /// The next call cannot be ruled out, unless the last one seen was one that nothing follows.
    fn status_without_proof(&self, shared: &Shared) -> JobStatus {
        match self.last() {
            Some(outcome)
                if decide(&outcome, &self.history, &shared.config.retry, 0)
                    == RetryDecision::Never =>
            {
                outcome.job_status()
            }
            _ => JobStatus::OutcomeUnknown,
        }
    }

    fn status(&self, job_id: &JobId, status: JobStatus) -> StatusResult {
        let mut result = StatusResult::new(job_id.clone(), status);
        let outcome = self.last();
        let earlier = self.attempts.last().map(Attempt::earlier_pages);
        result.pages = match &outcome {
            Some(outcome) => outcome.pages_confirmed,
            None => earlier.filter(|&pages| pages > 0),
        };
        result.error = outcome
            .as_ref()
            .filter(|_| result.status.is_final())
            .and_then(describe);
        result.raw_response = outcome
            .as_ref()
            .and_then(|outcome| serde_json::to_value(outcome).ok());
        result.detail.outcome = outcome;
        result.detail.attempts.clone_from(&self.attempts);
        result
    }
}

#[cfg(test)]
mod tests {
    use faxbot_core::fax::{FailureClass, FailurePhase, FaxFailure};

    use super::*;

    #[test]
    fn the_pages_that_are_left_are_those_of_the_first_call_that_told_without_the_confirmed() {
        let failed = |confirmed, total| {
            let failure = FaxFailure::new(FailureClass::CommError, FailurePhase::Transmission);
            FaxOutcome::failed(failure, Some(confirmed), total)
        };
        let mut found = Found::default();
        let mut left = vec![found.pages_left()];
        for outcome in [failed(1, None), failed(1, Some(4)), failed(1, Some(9))] {
            let (call, at) = (CallId::new(), Timestamp::UNIX_EPOCH);
            found.attempt(1, call, at, Some(at), Some(outcome));
            left.push(found.pages_left());
        }
        assert_eq!(left, [None, None, Some(3), Some(2)]);
        // A success that is told of fewer pages is none.
        let short = judged(
            FaxOutcome::succeeded(Some(1), Some(1)),
            found.pages_left(),
            None,
        );
        assert_eq!(short.job_status(), JobStatus::Failed);
    }
}
