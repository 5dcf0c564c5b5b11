//! What became of a job of an earlier process.

use faxbot_core::{
    Error, ErrorKind, Result, Timestamp,
    fax::{Attempt, AttemptHistory, FaxOutcome, JobStatus, RetryDecision, decide},
    id::{CallId, CallRef, JobId},
    plugin::StatusResult,
    sip::Lookup,
};

use super::{
    verdict::{describe, outcome_of},
    worker::Shared,
};

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
                let outcome = outcome_of(&record, None);
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
        let earlier = self.attempts.iter().filter_map(Attempt::pages_confirmed);
        let first_page = earlier.fold(1, u32::saturating_add);
        let mut attempt = Attempt::new(number, call_id, started).with_first_page(first_page);
        attempt.ended = ended;
        attempt.outcome = outcome;
        self.attempts.push(attempt);
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
