//! One job as a state machine. Sans-IO: time and randomness come in as arguments, and the worker
//! does what [`FaxJob::step`] says.
//!
//! The rule that everything here serves: a submission whose effect is unknown is never repeated. It
//! is looked for by its label, followed when it is found, and otherwise nobody can say.

mod evidence;

use std::time::{Duration, Instant};

use faxbot_core::{
    Effect, Error, ErrorKind, Result, Timestamp,
    address::FaxTarget,
    fax::{FailureClass, FailurePhase, FaxFailure, FaxOutcome, FaxProgress, Job, JobStatus},
    id::JobId,
    retry::Backoff,
};
use serde_json::Value;

use super::Submitted;
use crate::jobs::{Now, Refusals, class_of_error, class_of_pages, describe, document_note, later};

/// Waits for a provider that takes nothing or cannot be asked, and for a converter that is full.
const BUSY_PROVIDER: Backoff = Backoff::http();
/// Waits between two questions about a submission without an answer.
const QUESTIONS: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
/// How often a cancellation is asked for again after an error.
const RECALLS: u32 = 5;

/// What the worker has to do, and not before which time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Ask whether an earlier process submitted a fax under this id.
    Check(Instant),
    /// Prepare the document and submit: [`FaxJob::submit`].
    Submit(Instant),
    /// Nobody waits for the answer to the submission any more: [`FaxJob::lost`].
    Lost,
    /// Ask for the submission that was not answered.
    Seek(Instant),
    /// Ask how far the fax is.
    Poll(Instant),
    /// Cancel at the provider.
    Recall(Instant),
    /// Nothing more.
    Done,
}

/// What a cancellation meets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cancelled {
    /// Nothing was submitted: it is cancelled.
    Now,
    /// The provider has it under this id.
    Recall(String),
    /// Nobody knows yet whether the provider has it: it is cancelled there when it does.
    Later,
    /// It was cancelled before.
    Before,
    /// It is over.
    TooLate,
}

/// How long a job waits for others.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    pub(super) server: Duration,
    pub(super) lookup: Duration,
    pub(super) job: Duration,
    pub(super) poll: Backoff,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Checking {
        next: Instant,
    },
    Waiting {
        until: Instant,
    },
    Submitting,
    Seeking {
        next: Instant,
        give_up: Instant,
        asked: u32,
    },
    Following {
        next: Instant,
        give_up: Instant,
        asked: u32,
    },
    Done,
}

#[derive(Debug, Clone, Copy)]
struct Recall {
    next: Instant,
    tried: u32,
}

pub(super) struct FaxJob {
    record: Job,
    patience: Patience,
    /// The caller chose the id, and another process may know it.
    chosen_id: bool,
    deadline: Option<Instant>,
    stage: Stage,
    cancelled: bool,
    recall: Option<Recall>,
    /// The provider's id.
    sid: Option<String>,
    /// When our submission began.
    submitted: Option<Timestamp>,
    progress: Option<FaxProgress>,
    outcome: Option<FaxOutcome>,
    /// The provider's last answer.
    raw: Value,
    /// Why it ended, where no outcome says so.
    note: Option<&'static str>,
    refusals: Refusals,
    finished: Option<Instant>,
}

impl FaxJob {
    pub(super) fn new(
        (id, to): (JobId, FaxTarget),
        patience: Patience,
        chosen_id: bool,
        now: Now,
    ) -> Self {
        let at = now.instant;
        Self {
            record: Job::new(id, to, now.wall),
            patience,
            chosen_id,
            deadline: None,
            stage: if chosen_id {
                Stage::Checking { next: at }
            } else {
                Stage::Waiting { until: at }
            },
            cancelled: false,
            recall: None,
            sid: None,
            submitted: None,
            progress: None,
            outcome: None,
            raw: Value::Null,
            note: None,
            refusals: Refusals::default(),
            finished: None,
        }
    }

    /// Nothing is submitted from `deadline` on.
    pub(super) fn with_deadline(mut self, deadline: Option<Timestamp>, now: Now) -> Self {
        self.deadline = deadline.map(|at| later(now.instant, at.duration_since(now.wall)));
        self
    }

    pub(super) fn record(&self) -> &Job {
        &self.record
    }

    pub(super) fn sid(&self) -> Option<&str> {
        self.sid.as_deref()
    }

    pub(super) fn submitted(&self) -> Option<Timestamp> {
        self.submitted
    }

    pub(super) fn outcome(&self) -> Option<&FaxOutcome> {
        self.outcome.as_ref()
    }

    /// How far it is, while it is not over.
    pub(super) fn progress(&self) -> Option<FaxProgress> {
        self.progress.filter(|_| self.outcome.is_none())
    }

    pub(super) fn raw(&self) -> &Value {
        &self.raw
    }

    pub(super) fn finished(&self) -> Option<Instant> {
        self.finished
    }

    /// Whether its document may still have to be submitted.
    pub(super) fn needs_document(&self) -> bool {
        matches!(
            self.stage,
            Stage::Checking { .. } | Stage::Waiting { .. } | Stage::Submitting
        )
    }

    /// The deadline, as long as it says something: nothing to a fax that was submitted.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let waits = matches!(self.stage, Stage::Checking { .. } | Stage::Waiting { .. });
        self.deadline.filter(|_| waits)
    }

    pub(super) fn step(&self) -> Step {
        match (self.stage, self.recall) {
            (Stage::Checking { next }, _) => Step::Check(next),
            (Stage::Waiting { until }, _) => Step::Submit(until),
            (Stage::Submitting, _) => Step::Lost,
            (Stage::Seeking { next, .. }, _) => Step::Seek(next),
            (Stage::Following { next, .. }, Some(recall)) if recall.next <= next => {
                Step::Recall(recall.next)
            }
            (Stage::Following { next, .. }, _) => Step::Poll(next),
            (Stage::Done, _) => Step::Done,
        }
    }

    /// The document is being read.
    pub(super) fn preparing(&mut self, now: Now) {
        if matches!(self.stage, Stage::Waiting { .. }) {
            self.record.report(&JobStatus::Preparing, now.wall);
        }
    }

    /// The document can be submitted; it has so many pages, where they were counted.
    pub(super) fn prepared(&mut self, pages: Option<u32>) {
        self.record.pages_total = pages.or(self.record.pages_total);
    }

    /// The document cannot be submitted.
    pub(super) fn not_prepared(&mut self, error: &Error, now: Now) {
        if !matches!(self.stage, Stage::Waiting { .. }) {
            return;
        }
        if error.kind() == ErrorKind::Overloaded
            && let Some(wait) = self.next_refusal(error, now)
        {
            return self.wait(wait, now);
        }
        self.note = Some(document_note(error));
        self.fail(
            FaxFailure::new(class_of_pages(error), FailurePhase::BeforeAnswer),
            now,
        );
    }

    /// Begins the submission. Answers whether there is to be one.
    pub(super) fn submit(&mut self, now: Now) -> bool {
        let waits = matches!(self.stage, Stage::Waiting { until } if until <= now.instant);
        if !waits || self.expire(now) {
            return false;
        }
        self.stage = Stage::Submitting;
        self.submitted = Some(now.wall);
        self.record.next_dial = None;
        self.record.report(&JobStatus::Dispatching, now.wall);
        true
    }

    /// The provider's answer to the submission.
    pub(super) fn answered(&mut self, answer: &Result<Submitted>, now: Now) {
        if self.stage != Stage::Submitting {
            return;
        }
        match answer {
            Ok(submitted) if !submitted.sid.is_empty() => {
                self.sid.get_or_insert_with(|| submitted.sid.clone());
                self.follow(now);
                if let Some(report) = &submitted.report {
                    self.told(report, now);
                }
            }
            // A webhook told of it meanwhile: the provider has it, whatever this answer says.
            _ if self.sid.is_some() => self.follow(now),
            Ok(_) => self.seek(now),
            Err(error) if error.effect() == Effect::Unknown => self.seek(now),
            Err(error) => self.refused(error, now),
        }
    }

    /// The provider certainly did not take it.
    fn refused(&mut self, error: &Error, now: Now) {
        self.submitted = None;
        if self.cancelled {
            return self.finish(&JobStatus::Cancelled, now);
        }
        if !error.is_retryable() {
            let failure = FaxFailure::new(class_of_error(error), FailurePhase::BeforeAnswer)
                .with_native(
                    error.native_code().map(str::to_owned),
                    error.native_text().map(str::to_owned),
                );
            return self.fail(failure, now);
        }
        match self.next_refusal(error, now) {
            Some(wait) => self.wait(wait, now),
            None => {
                self.note = Some("the provider took no fax in time");
                let failure = FaxFailure::new(FailureClass::Congestion, FailurePhase::BeforeAnswer);
                self.fail(failure, now);
            }
        }
    }

    /// Nobody waits for the answer to the submission any more.
    pub(super) fn lost(&mut self, now: Now) {
        if self.stage == Stage::Submitting {
            match self.sid {
                Some(_) => self.follow(now),
                None => self.seek(now),
            }
        }
    }

    /// Cancels.
    pub(super) fn cancel(&mut self, now: Now) -> Cancelled {
        match (self.stage, &self.record.status, &self.sid) {
            (Stage::Done, JobStatus::Cancelled, _) => Cancelled::Before,
            (Stage::Done, _, _) => Cancelled::TooLate,
            (Stage::Waiting { .. }, _, _) => {
                self.cancelled = true;
                self.finish(&JobStatus::Cancelled, now);
                Cancelled::Now
            }
            (Stage::Following { .. }, _, Some(sid)) => {
                let sid = sid.clone();
                self.cancelled = true;
                Cancelled::Recall(sid)
            }
            _ => {
                self.cancelled = true;
                Cancelled::Later
            }
        }
    }

    /// Ends the job when its deadline has passed and nothing was submitted. Answers whether it did.
    pub(super) fn expire(&mut self, now: Now) -> bool {
        if self
            .deadline()
            .is_none_or(|deadline| now.instant < deadline)
        {
            return false;
        }
        if matches!(self.stage, Stage::Checking { .. }) {
            self.never_told(now);
        } else {
            self.note = Some("the deadline passed before the provider took the fax");
            let failure = FaxFailure::new(FailureClass::Congestion, FailurePhase::BeforeAnswer);
            self.fail(failure, now);
        }
        true
    }

    /// The plugin stops, and nobody follows the fax any longer.
    pub(super) fn stopped(&mut self, now: Now) {
        self.lost(now);
        if matches!(self.stage, Stage::Seeking { .. }) {
            self.record.report(&JobStatus::OutcomeUnknown, now.wall);
        }
    }

    /// The plugin starts again: questions get their time anew, those of a job that was given up as
    /// well.
    pub(super) fn taken_up(&mut self, now: Now) {
        // The time of the stop was no wait for the provider.
        self.refusals = Refusals::default();
        self.lost(now);
        match self.stage {
            Stage::Seeking { .. } => self.seek(now),
            // Somebody may have sent it elsewhere meanwhile.
            Stage::Waiting { .. } if self.chosen_id => {
                self.stage = Stage::Checking { next: now.instant };
            }
            Stage::Following { give_up, .. } => {
                self.stage = Stage::Following {
                    next: now.instant,
                    give_up,
                    asked: 0,
                };
            }
            Stage::Done if self.record.status == JobStatus::OutcomeUnknown => match self.sid {
                None => self.seek(now),
                Some(_) => {
                    self.stage = Stage::Following {
                        next: now.instant,
                        give_up: later(now.instant, self.patience.lookup),
                        asked: 0,
                    };
                }
            },
            _ => {}
        }
    }

    /// Why it failed, without personal data.
    pub(super) fn error(&self) -> Option<String> {
        match self.record.status {
            JobStatus::Success => None,
            JobStatus::OutcomeUnknown => Some(
                self.note
                    .unwrap_or("nobody can say whether the fax arrived; it is not sent again")
                    .to_owned(),
            ),
            _ => self
                .note
                .map(str::to_owned)
                .or_else(|| self.outcome.as_ref().and_then(describe)),
        }
    }

    /// The provider has it.
    fn follow(&mut self, now: Now) {
        self.refusals = Refusals::default();
        let wait = self.patience.poll.delay(0, now.fraction());
        self.stage = Stage::Following {
            next: later(now.instant, wait.unwrap_or_default()),
            give_up: later(now.instant, self.patience.job),
            asked: 1,
        };
        self.recall = self.cancelled.then_some(Recall {
            next: now.instant,
            tried: 0,
        });
        self.record.next_dial = None;
        self.record.report(&JobStatus::InProgress, now.wall);
    }

    fn seek(&mut self, now: Now) {
        self.stage = Stage::Seeking {
            next: now.instant,
            give_up: later(now.instant, self.patience.lookup),
            asked: 0,
        };
    }

    /// Nobody can say.
    fn give_up(&mut self, now: Now) {
        let pages = self.progress.and_then(|progress| progress.pages_confirmed);
        let total = self.record.pages_total;
        self.outcome = Some(FaxOutcome::unknown(pages, total));
        self.finish(&JobStatus::OutcomeUnknown, now);
    }

    /// The provider could not be asked in time. An earlier process may have sent the fax, so that
    /// "failed" would say too much.
    fn never_told(&mut self, now: Now) {
        self.note = Some(
            "the provider could not be asked whether it was sent under this id before; it was not sent",
        );
        self.finish(&JobStatus::OutcomeUnknown, now);
    }

    /// The wait after a refusal that passes, `None` when patience or deadline ends before it.
    fn next_refusal(&mut self, error: &Error, now: Now) -> Option<Duration> {
        let deadline = self.deadline;
        self.refusals
            .next(error, BUSY_PROVIDER, self.patience.server, now)
            .filter(|&wait| deadline.is_none_or(|deadline| later(now.instant, wait) < deadline))
    }

    fn wait(&mut self, wait: Duration, now: Now) {
        self.stage = Stage::Waiting {
            until: later(now.instant, wait),
        };
        self.record.report(&JobStatus::Queued, now.wall);
        self.record.next_dial = Some(now.wall + wait);
    }

    /// Ends a job that the provider does not have.
    fn fail(&mut self, failure: FaxFailure, now: Now) {
        let outcome = FaxOutcome::failed(failure, Some(0), self.record.pages_total);
        let status = outcome.job_status();
        self.outcome = Some(outcome);
        self.finish(&status, now);
    }

    fn finish(&mut self, status: &JobStatus, now: Now) {
        self.record.report(status, now.wall);
        self.record.next_dial = None;
        self.recall = None;
        self.stage = Stage::Done;
        self.finished.get_or_insert(now.instant);
    }
}

fn retry_after(error: Option<&Error>) -> Duration {
    error.and_then(Error::retry_after).unwrap_or_default()
}

#[cfg(test)]
mod tests;
