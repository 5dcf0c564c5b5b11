//! What the provider says of a job: found, asked for, or told by a webhook, in any order.

use faxbot_core::{
    ErrorKind, Result,
    address::FaxTarget,
    fax::{FailureClass, FailurePhase, FaxFailure, FaxOutcome, JobStatus},
    id::JobId,
    plugin::CancelOutcome,
};

use serde_json::Value;

use super::{BUSY_PROVIDER, FaxJob, QUESTIONS, RECALLS, Recall, Stage, retry_after};
use crate::{
    cloud::fax::{
        FaxReport,
        label::may_be_same_number,
        verdict::{furthest, settled},
    },
    jobs::{Now, Refusals, later},
};

/// The longest answer that is kept with a job, in bytes: ten thousand jobs stay readable, and a vendor
/// may send a document back.
const RAW_BYTES: usize = 32 * 1024;

/// About the bytes that an answer holds in memory.
fn weight(raw: &Value) -> usize {
    const NODE: usize = 32;
    let own = match raw {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(weight).sum(),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| name.len().saturating_add(weight(value)))
            .sum(),
        _ => 0,
    };
    own.saturating_add(NODE)
}

impl FaxJob {
    /// The answer to the question for a submission.
    pub(in crate::cloud::fax) fn sought(&mut self, answer: &Result<Option<FaxReport>>, now: Now) {
        let Stage::Seeking { give_up, asked, .. } = self.stage else {
            return;
        };
        match answer {
            Ok(Some(report)) if self.is_found(report) => self.adopt(report, now),
            _ if now.instant < give_up => {
                let wait = QUESTIONS.delay(asked, now.fraction()).unwrap_or_default();
                let wait = wait.max(retry_after(answer.as_ref().err()));
                self.stage = Stage::Seeking {
                    next: later(now.instant, wait).min(give_up),
                    give_up,
                    asked: asked.saturating_add(1),
                };
            }
            _ => self.give_up(now),
        }
    }

    /// The answer to the question for a fax of an earlier process.
    pub(in crate::cloud::fax) fn checked(&mut self, answer: &Result<Option<FaxReport>>, now: Now) {
        if !matches!(self.stage, Stage::Checking { .. }) {
            return;
        }
        match answer {
            Ok(Some(report)) if self.is_found(report) => self.adopt(report, now),
            // A provider without a list must not block the fax.
            Err(error) if error.kind() != ErrorKind::Unsupported => {
                match self.next_refusal(error, now) {
                    Some(wait) => {
                        self.stage = Stage::Checking {
                            next: later(now.instant, wait),
                        };
                    }
                    None => self.never_told(now),
                }
            }
            _ if self.cancelled => self.finish(&JobStatus::Cancelled, now),
            _ => {
                self.refusals = Refusals::default();
                self.stage = Stage::Waiting { until: now.instant };
            }
        }
    }

    /// The answer to the question how far the fax is. An error changes nothing but the next question.
    pub(in crate::cloud::fax) fn polled(&mut self, answer: &Result<FaxReport>, now: Now) {
        if let Ok(report) = answer {
            self.reported(report, now);
        }
        let Stage::Following { give_up, asked, .. } = self.stage else {
            return;
        };
        if now.instant >= give_up {
            return self.give_up(now);
        }
        let wait = self.patience.poll.delay(asked, now.fraction());
        let wait = wait.unwrap_or_default();
        let wait = wait.max(retry_after(answer.as_ref().err()));
        self.stage = Stage::Following {
            next: later(now.instant, wait).min(give_up),
            give_up,
            asked: asked.saturating_add(1),
        };
    }

    /// A report that was not asked for, and that is believed. Answers whether it is of this job.
    pub(in crate::cloud::fax) fn told(&mut self, report: &FaxReport, now: Now) -> bool {
        let mine = self.is_mine(report);
        if mine {
            self.reported(report, now);
            self.ask_soon(now);
        }
        mine
    }

    /// Asks for its state soon: something happened.
    pub(in crate::cloud::fax) fn ask_soon(&mut self, now: Now) {
        if let Stage::Following { next, give_up, .. } = self.stage {
            let soon = self.patience.poll.delay(0, now.fraction());
            self.stage = Stage::Following {
                next: later(now.instant, soon.unwrap_or_default()).min(next),
                give_up,
                asked: 1,
            };
        }
    }

    /// Whether a report is of this job: by the provider's id once that is known, else by our label.
    pub(in crate::cloud::fax) fn is_mine(&self, report: &FaxReport) -> bool {
        match &self.sid {
            Some(sid) => *sid == report.sid,
            None => report.job_id.is_some() && self.is_found(report),
        }
    }

    /// Whether a report that was found by our label is of this job. It may come without the label, and
    /// with that of another system of the account that chose the same id for another number.
    fn is_found(&self, report: &FaxReport) -> bool {
        let other = |id: &JobId| *id != self.record.id;
        let elsewhere = match (&report.to, &self.record.to) {
            (Some(told), FaxTarget::PhoneNumber(ours)) => {
                !may_be_same_number(told.expose(), ours.e164())
            }
            _ => false,
        };
        !report.sid.is_empty() && !report.job_id.as_ref().is_some_and(other) && !elsewhere
    }

    fn adopt(&mut self, report: &FaxReport, now: Now) {
        self.sid = Some(report.sid.clone());
        self.follow(now);
        self.reported(report, now);
    }

    fn reported(&mut self, report: &FaxReport, now: Now) {
        self.sid.get_or_insert_with(|| report.sid.clone());
        if self.record.status.is_final() {
            return;
        }
        self.raw = if weight(&report.raw) <= RAW_BYTES {
            report.raw.clone()
        } else {
            Value::Null
        };
        if let Some((status, outcome)) = settled(report) {
            self.note = None;
            self.outcome = Some(outcome);
            return self.finish(&status, now);
        }
        if let Some(progress) = report.progress {
            self.progress = Some(furthest(self.progress, progress));
        }
        match (&report.status, self.stage) {
            // Its answer is awaited, and nobody waits for what nobody can say any more.
            (_, Stage::Submitting | Stage::Done | Stage::Following { .. }) => {}
            // The provider has it, though it was not found, or was not to be sent yet.
            _ => self.follow(now),
        }
        if let JobStatus::Other(_) = report.status {
            self.record.report(&report.status, now.wall);
        }
    }

    /// The provider's answer to a cancellation.
    pub(in crate::cloud::fax) fn recalled(&mut self, answer: &Result<CancelOutcome>, now: Now) {
        if !matches!(self.stage, Stage::Following { .. }) {
            return;
        }
        let tried = self.recall.take().map(|recall| recall.tried);
        match (answer, tried) {
            (Ok(CancelOutcome::Cancelled), _) => {
                let class = FailureClass::Cancelled;
                let failure = FaxFailure::new(class, FailurePhase::Transmission);
                self.outcome = Some(FaxOutcome::failed(failure, None, None));
                self.finish(&JobStatus::Cancelled, now);
            }
            // The caller was answered before, and cannot ask again for what went wrong here.
            (Err(error), Some(tried)) if tried < RECALLS => {
                let wait = BUSY_PROVIDER.delay(tried, now.fraction());
                let wait = wait.unwrap_or_default().max(retry_after(Some(error)));
                self.recall = Some(Recall {
                    next: later(now.instant, wait),
                    tried: tried.saturating_add(1),
                });
            }
            _ => self.ask_soon(now),
        }
    }
}
