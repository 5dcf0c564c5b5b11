//! A job of the table with what belongs to it.

use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use faxbot_core::{
    Timestamp,
    document::{Document, FaxImage},
    fax::{FaxCall, FaxProgress, JobStatus},
    id::JobId,
    plugin::StatusResult,
};
use tokio::sync::Notify;

use super::{job::FaxJob, same::Mark};
use crate::jobs::Held;

/// One job with what belongs to it.
pub(super) struct Entry {
    pub(super) id: JobId,
    /// The worker is to look again.
    pub(super) wake: Notify,
    state: Mutex<EntryState>,
}

pub(super) struct EntryState {
    pub(super) job: FaxJob,
    /// Gone when the job is over.
    pub(super) document: Option<Document>,
    pub(super) image: Option<FaxImage>,
    /// Of the document when the pages were made that calls sent from.
    pub(super) mark: Option<Mark>,
    /// The call that runs.
    pub(super) call: Option<FaxCall>,
    pub(super) progress: Option<FaxProgress>,
    /// When the call that runs has long overrun its time.
    pub(super) overdue: Option<Instant>,
}

impl Entry {
    pub(super) fn new(job: FaxJob, document: Document) -> Self {
        Self {
            id: job.record().id.clone(),
            wake: Notify::new(),
            state: Mutex::new(EntryState {
                job,
                document: Some(document),
                image: None,
                mark: None,
                call: None,
                progress: None,
                overdue: None,
            }),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, EntryState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Over, and nobody knew how.
    pub(super) fn is_given_up(&self) -> bool {
        let job = &self.lock().job;
        job.finished().is_some() && job.record().status == JobStatus::OutcomeUnknown
    }

    pub(super) fn status(&self) -> StatusResult {
        let state = self.lock();
        let record = state.job.record();
        let mut status = StatusResult::new(self.id.clone(), record.status.clone());
        let running = state.progress.filter(|_| state.job.in_flight().is_some());
        let outcome = state.job.outcome();
        status.pages = match running {
            Some(progress) => progress.pages_confirmed,
            None => outcome.and_then(|outcome| outcome.pages_confirmed),
        };
        // A job that waits for its next dial has no error; its attempts tell how they came out.
        if record.status.is_final() || record.status == JobStatus::OutcomeUnknown {
            status.error = state.job.error();
        }
        status.raw_response = outcome.and_then(|outcome| serde_json::to_value(outcome).ok());
        status.detail.outcome = outcome.cloned();
        status.detail.progress = running;
        status.detail.attempts.clone_from(&record.attempts);
        status.detail.next_dial = record.next_dial;
        status
    }
}

impl Held for Entry {
    fn id(&self) -> &JobId {
        &self.id
    }

    fn finished(&self) -> Option<Instant> {
        self.lock().job.finished()
    }

    fn created(&self) -> Timestamp {
        self.lock().job.record().created
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
