//! One job as a state machine. Sans-IO: time and randomness come in as arguments, and the worker
//! does what [`FaxJob::step`] says.
//!
//! The rule that everything here serves: no page is sent twice. Between two dials stands proof of
//! what the first one delivered, and the second sends the rest.

mod earlier;
mod pages;

use std::time::{Duration, Instant};

use faxbot_core::{
    Effect, Error, ErrorKind, Timestamp,
    address::FaxTarget,
    document::Resolution,
    fax::{
        Alternative, FailureClass, FailurePhase, FaxFailure, FaxOutcome, FaxRetryPolicy, Job,
        JobStatus, OutcomeStatus, RetryDecision, decide,
    },
    id::{CallId, CallRef, JobId},
    retry::Backoff,
    sip::{Lookup, UnknownReason},
};

use super::{
    plan::{Plan, Rendering},
    verdict::outcome_of,
};
use crate::jobs::{Now, Refusals, class_of_error, describe, later};

pub(super) use pages::Rest;

/// Waits for a server that takes nothing, and for a converter that is full.
const BUSY_SERVER: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
/// Waits between two questions about a fax that was lost sight of.
const QUESTIONS: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
/// How long a call is asked for that the server calls live: no fax takes longer, and a channel that
/// hangs must not hold a line for ever.
const LIVE_AT_MOST: Duration = Duration::from_secs(24 * 60 * 60);

/// What the worker has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Ask the server about a call that an earlier process may have placed, not before this time.
    Check(Instant),
    /// Convert the document, not before this time.
    Prepare(Instant),
    /// Wait.
    Wait(Instant),
    /// Dial: [`FaxJob::dial`].
    Dial,
    /// A call runs, or its request waits for an answer.
    Follow,
    /// Ask the server about the call, not before this time.
    Ask(Instant),
    /// Nothing more.
    Done,
}

/// What a cancellation meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cancelled {
    /// Nothing runs: it is cancelled.
    Now,
    /// This call has to be hung up.
    HangUp(CallId),
    /// The server is asked whether an earlier process placed a call: its answer decides.
    Checking,
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
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Checking {
        next: Instant,
        /// Until then "too recent" is asked again.
        settled: Instant,
        asked: u32,
    },
    Preparing {
        not_before: Instant,
        /// Policy has its say when the pages of the document are known.
        decide: bool,
    },
    Waiting {
        until: Instant,
    },
    Dispatching(Placed),
    Running(Placed),
    Asking {
        placed: Placed,
        next: Instant,
        give_up: Instant,
        /// When a call that the server calls live is given up.
        stuck: Instant,
        asked: u32,
    },
    Done,
}

/// A call that was requested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Placed {
    call: CallId,
    at: Timestamp,
    /// The server said that it is live: no later answer makes it a call that never was.
    lived: bool,
}

#[derive(Debug)]
pub(super) struct FaxJob {
    record: Job,
    plan: Plan,
    policy: FaxRetryPolicy,
    patience: Patience,
    converter: bool,
    /// An earlier process may have placed calls under this id, and a later one may ask for ours.
    chosen: bool,
    deadline: Option<Instant>,
    stage: Stage,
    /// What the pages at hand were asked to be, and the resolution that they have.
    prepared: Option<Rendering>,
    resolution: Option<Resolution>,
    cancelled: bool,
    /// Confirmed pages of the running call, as last seen.
    pages_seen: Option<u32>,
    outcome: Option<FaxOutcome>,
    /// Why it ended, where no call says so.
    note: Option<&'static str>,
    /// Of the server, or the converter.
    refusals: Refusals,
    finished: Option<Instant>,
}

impl FaxJob {
    pub(super) fn new(
        (id, to): (JobId, FaxTarget),
        plan: Plan,
        policy: FaxRetryPolicy,
        patience: Patience,
        converter: bool,
        now: Now,
    ) -> Self {
        Self {
            record: Job::new(id, to, now.wall),
            plan,
            policy,
            patience,
            converter,
            chosen: false,
            deadline: None,
            stage: Stage::Preparing {
                not_before: now.instant,
                decide: false,
            },
            prepared: None,
            resolution: None,
            cancelled: false,
            pages_seen: None,
            outcome: None,
            note: None,
            refusals: Refusals::default(),
            finished: None,
        }
    }

    /// No call is begun from `deadline` on.
    pub(super) fn with_deadline(mut self, deadline: Option<Timestamp>, now: Now) -> Self {
        self.deadline = deadline.map(|at| {
            let left = at.duration_since(now.wall);
            later(now.instant, left)
        });
        self
    }

    pub(super) fn has_chosen_id(&self) -> bool {
        self.chosen
    }

    pub(super) fn record(&self) -> &Job {
        &self.record
    }

    pub(super) fn plan(&self) -> &Plan {
        &self.plan
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    pub(super) fn outcome(&self) -> Option<&FaxOutcome> {
        self.outcome.as_ref()
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.cancelled
    }

    pub(super) fn finished(&self) -> Option<Instant> {
        self.finished
    }

    /// The call that was requested and is not known to be over.
    pub(super) fn in_flight(&self) -> Option<CallId> {
        match self.stage {
            Stage::Dispatching(placed) | Stage::Running(placed) | Stage::Asking { placed, .. } => {
                Some(placed.call)
            }
            _ => None,
        }
    }

    /// The call to ask for, with the time of its request, by which a server proves that it never
    /// took it.
    pub(super) fn question(&self) -> Option<(CallId, CallRef)> {
        match self.stage {
            Stage::Asking { placed, .. } => Some((
                placed.call,
                CallRef::from(placed.call).requested_at(placed.at),
            )),
            _ => None,
        }
    }

    pub(super) fn step(&self, now: Now) -> Step {
        match self.stage {
            Stage::Checking { next, .. } => Step::Check(next),
            Stage::Preparing { not_before, .. } => Step::Prepare(not_before),
            Stage::Waiting { until } if until > now.instant => Step::Wait(until),
            Stage::Waiting { .. } => Step::Dial,
            Stage::Dispatching(_) | Stage::Running(_) => Step::Follow,
            Stage::Asking { next, .. } => Step::Ask(next),
            Stage::Done => Step::Done,
        }
    }

    /// Begins a call: answers its id when one may be placed now. Store it, then request the call.
    pub(super) fn dial(&mut self, now: Now) -> Option<CallId> {
        if self.step(now) != Step::Dial || self.cancelled || self.expire(now) {
            return None;
        }
        let call = self.record.begin_attempt(now.wall);
        self.pages_seen = None;
        self.stage = Stage::Dispatching(Placed {
            call,
            at: now.wall,
            lived: false,
        });
        self.record.report(&JobStatus::Dispatching, now.wall);
        Some(call)
    }

    /// The server took the request.
    pub(super) fn accepted(&mut self, call: CallId, now: Now) {
        if let Stage::Dispatching(placed) = self.stage
            && placed.call == call
        {
            self.accepted_by_all();
            self.stage = Stage::Running(placed);
            self.record.report(&JobStatus::InProgress, now.wall);
        }
    }

    /// The request ended in an error.
    pub(super) fn refused(&mut self, call: CallId, error: &Error, now: Now) {
        let Stage::Dispatching(placed) = self.stage else {
            return;
        };
        if placed.call != call {
            return;
        }
        // `InvalidState` is what an adapter answers when a call with this id lives: one that an
        // earlier process of ours placed. It is asked for, and not dialled beside.
        if error.effect() == Effect::Unknown || error.kind() == ErrorKind::InvalidState {
            self.ask(placed, now);
        } else if error.is_retryable() {
            self.not_made(error, now);
        } else {
            let failure = FaxFailure::new(class_of_error(error), FailurePhase::BeforeAnswer)
                .with_native(
                    error.native_code().map(str::to_owned),
                    error.native_text().map(str::to_owned),
                );
            let outcome = FaxOutcome::failed(failure, Some(0), self.pages_left());
            self.ended(call, outcome, now);
        }
    }

    /// The call that runs, or that is asked for, is over. `outcome` counts its own pages.
    pub(super) fn ended(&mut self, call: CallId, outcome: FaxOutcome, now: Now) {
        if self.in_flight() != Some(call) || !self.count(call, outcome, now.wall) {
            return;
        }
        let Some(outcome) = self.outcome.clone() else {
            return;
        };
        self.accepted_by_all();
        self.note = None;
        match outcome.status {
            OutcomeStatus::Failed => {}
            // A status of a later version is no proof of what was delivered.
            _ => return self.finish(&outcome.job_status(), now),
        }
        if self.cancelled {
            return self.finish(&JobStatus::Cancelled, now);
        }
        if self.record.status == JobStatus::OutcomeUnknown {
            // The host was told that nobody knows; it does not go back to waiting from there.
            return self.finish(&outcome.job_status(), now);
        }
        self.go_by_policy(now);
    }

    /// The call that ended last failed: dials again for the pages that are left, or ends the job.
    fn go_by_policy(&mut self, now: Now) {
        let Some(outcome) = self.outcome.clone() else {
            return;
        };
        let Some(confirmed) = self.record.pages_confirmed() else {
            // Some pages may have arrived, and nobody can say which.
            return self.finish(&outcome.job_status(), now);
        };
        if confirmed > 0 && self.record.pages_total.is_none() {
            // Of an earlier process: they may be all that there are.
            self.stage = Stage::Preparing {
                not_before: now.instant,
                decide: true,
            };
            self.record.report(&JobStatus::Queued, now.wall);
            return;
        }
        match self.next_step(&outcome, now) {
            Some(wait) if !self.begins_too_late(wait, now) => self.wait(wait, now),
            _ => self.finish(&outcome.job_status(), now),
        }
    }

    /// What policy says of a failure: changes what the next call does otherwise, and answers the
    /// wait before it; `None` when there is none.
    fn next_step(&mut self, outcome: &FaxOutcome, now: Now) -> Option<Duration> {
        match decide(outcome, &self.record.history, &self.policy, now.random) {
            RetryDecision::After(wait) => {
                if outcome.class() == Some(FailureClass::CommError)
                    && let Some(step) = self.record.history.next_step(&self.policy)
                {
                    self.change(step);
                }
                Some(wait)
            }
            RetryDecision::Now { alt } => {
                self.change(alt);
                Some(Duration::ZERO)
            }
            _ => None,
        }
    }

    fn change(&mut self, alternative: Alternative) {
        self.record.history.change(alternative);
        // What is at standard resolution already is not made anew.
        let finer = self.resolution != Some(Resolution::Standard);
        self.plan.apply(alternative, self.converter && finer);
    }

    /// The call that was placed cannot be followed any longer.
    pub(super) fn lost(&mut self, call: CallId, now: Now) {
        if let Stage::Dispatching(placed) | Stage::Running(placed) = self.stage
            && placed.call == call
        {
            self.ask(placed, now);
        }
    }

    /// The server's answer about a call that was lost sight of.
    pub(super) fn looked_up(&mut self, call: CallId, answer: &Result<Lookup, Error>, now: Now) {
        let Stage::Asking {
            mut placed,
            give_up,
            stuck,
            asked,
            ..
        } = self.stage
        else {
            return;
        };
        if placed.call != call {
            return;
        }
        placed.lived |= matches!(answer, Ok(Lookup::Live(_)));
        let again = |give_up, asked: u32| Stage::Asking {
            placed,
            stuck,
            next: later(
                now.instant,
                QUESTIONS.delay(asked, now.fraction()).unwrap_or_default(),
            ),
            give_up,
            asked: asked.saturating_add(1),
        };
        match answer {
            Ok(Lookup::Live(_)) if now.instant < stuck => {
                self.record.report(&JobStatus::InProgress, now.wall);
                // As long as it lives there is an answer to come.
                self.stage = again(later(now.instant, self.patience.lookup), asked.min(3));
            }
            Ok(Lookup::Ended(record)) => {
                let outcome = outcome_of(record, self.pages_left());
                self.ended(call, outcome, now);
            }
            Ok(Lookup::NeverExisted) if !placed.lived && self.pages_seen.is_none() => {
                let error = Error::new(
                    ErrorKind::NotConnected,
                    "send_fax",
                    "the server never took it",
                );
                self.not_made(&error, now);
            }
            Ok(Lookup::Unknown(UnknownReason::TooRecent)) | Err(_) if now.instant < give_up => {
                self.stage = again(give_up, asked);
            }
            _ => self.ended(
                call,
                FaxOutcome::unknown(self.pages_seen, self.pages_left()),
                now,
            ),
        }
    }

    /// So many pages are confirmed of those that the running call sends.
    pub(super) fn seen(&mut self, pages: Option<u32>) {
        self.pages_seen = self.pages_seen.max(pages);
    }

    /// The running call has a trace of its own at the server: it rings, or more.
    pub(super) fn lives(&mut self) {
        if let Stage::Running(placed) = &mut self.stage {
            placed.lived = true;
        }
    }

    /// Cancels. A call that is asked for is hung up as well.
    pub(super) fn cancel(&mut self, now: Now) -> Cancelled {
        if self.stage == Stage::Done {
            return match self.record.status {
                JobStatus::Cancelled => Cancelled::Before,
                _ => Cancelled::TooLate,
            };
        }
        self.cancelled = true;
        if matches!(self.stage, Stage::Checking { .. }) {
            return Cancelled::Checking;
        }
        match self.in_flight() {
            Some(call) => Cancelled::HangUp(call),
            None => {
                self.finish(&JobStatus::Cancelled, now);
                Cancelled::Now
            }
        }
    }

    /// Ends the job when its deadline has passed and no call runs. Answers whether it did.
    pub(super) fn expire(&mut self, now: Now) -> bool {
        if matches!(self.stage, Stage::Checking { .. }) && self.begins_too_late(Duration::ZERO, now)
        {
            self.never_told(now);
            return true;
        }
        let waits = matches!(self.stage, Stage::Preparing { .. } | Stage::Waiting { .. });
        if !waits || !self.begins_too_late(Duration::ZERO, now) {
            return false;
        }
        if self.outcome.is_none() {
            self.note = Some("the deadline passed before a call could be placed");
            self.fail(FailureClass::Congestion, now);
        } else {
            self.finish(&JobStatus::Failed, now);
        }
        true
    }

    /// The plugin stops, and nobody follows the call any longer.
    pub(super) fn stopped(&mut self, now: Now) {
        if let Stage::Dispatching(placed) | Stage::Running(placed) | Stage::Asking { placed, .. } =
            self.stage
        {
            self.ask(placed, now);
            self.record.report(&JobStatus::OutcomeUnknown, now.wall);
        }
    }

    /// The plugin starts again: questions get their time anew.
    pub(super) fn taken_up(&mut self, now: Now) {
        // The time of the stop was no wait for the server.
        self.accepted_by_all();
        if let Stage::Asking { placed, .. } = self.stage {
            self.ask(placed, now);
        }
    }

    /// Why it failed, without personal data.
    pub(super) fn error(&self) -> Option<String> {
        let outcome = self.outcome.as_ref();
        match self.record.status {
            JobStatus::Success => None,
            JobStatus::OutcomeUnknown => Some(
                self.note
                    .unwrap_or("nobody can say whether the fax arrived; it is not dialled again")
                    .to_owned(),
            ),
            _ => self
                .note
                .map(str::to_owned)
                .or_else(|| outcome.and_then(describe)),
        }
    }

    fn ask(&mut self, placed: Placed, now: Now) {
        self.stage = Stage::Asking {
            placed,
            next: now.instant,
            give_up: later(now.instant, self.patience.lookup),
            stuck: later(now.instant, LIVE_AT_MOST),
            asked: 0,
        };
    }

    /// The call was certainly not placed: it does not count, and its number is used again, so
    /// that a later process finds the calls of a job without a gap.
    fn not_made(&mut self, error: &Error, now: Now) {
        self.record.attempts.pop();
        if self.cancelled {
            return self.finish(&JobStatus::Cancelled, now);
        }
        let unknown = self.record.status == JobStatus::OutcomeUnknown;
        match self.next_refusal(error, now).filter(|_| !unknown) {
            Some(wait) => self.wait(wait, now),
            None => {
                self.note = Some(if unknown {
                    "the server never took the request"
                } else {
                    "the server took no request in time"
                });
                self.fail(FailureClass::Congestion, now);
            }
        }
    }

    /// The wait after a refusal that passes, `None` when patience or deadline ends before it.
    fn next_refusal(&mut self, error: &Error, now: Now) -> Option<Duration> {
        self.refusals
            .next(error, BUSY_SERVER, self.patience.server, now)
            .filter(|&wait| !self.begins_too_late(wait, now))
    }

    fn accepted_by_all(&mut self) {
        self.refusals = Refusals::default();
    }

    fn begins_too_late(&self, wait: Duration, now: Now) -> bool {
        self.deadline
            .is_some_and(|deadline| later(now.instant, wait) >= deadline)
    }

    fn wait(&mut self, wait: Duration, now: Now) {
        let until = later(now.instant, wait);
        self.stage = if self.prepared == Some(self.plan.rendering()) {
            Stage::Waiting { until }
        } else {
            Stage::Preparing {
                not_before: until,
                decide: false,
            }
        };
        self.record.report(&JobStatus::Queued, now.wall);
        self.record.next_dial = Some(now.wall + wait);
    }

    fn fail(&mut self, class: FailureClass, now: Now) {
        let failure = FaxFailure::new(class, FailurePhase::BeforeAnswer);
        let confirmed = self.record.pages_confirmed();
        let outcome = FaxOutcome::failed(failure, confirmed, self.record.pages_total);
        let status = outcome.job_status();
        self.outcome = Some(outcome);
        self.finish(&status, now);
    }

    fn finish(&mut self, status: &JobStatus, now: Now) {
        self.record.report(status, now.wall);
        self.record.next_dial = None;
        self.stage = Stage::Done;
        self.finished = Some(now.instant);
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod resume_tests;
