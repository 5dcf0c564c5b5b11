//! A job of the table with what belongs to it.

use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use faxbot_core::{
    Private, Timestamp,
    document::Document,
    fax::JobStatus,
    id::JobId,
    plugin::{SendOptions, StatusResult},
};
use serde_json::Value;
use tokio::sync::Notify;

use super::{document::Kept, job::FaxJob};
use crate::jobs::Held;

/// One job with what belongs to it.
pub(super) struct Entry {
    pub(super) id: JobId,
    /// The number, as the vendor wants it.
    pub(super) to: Private,
    pub(super) options: SendOptions,
    /// The worker is to look again.
    pub(super) wake: Notify,
    state: Mutex<EntryState>,
}

pub(super) struct EntryState {
    pub(super) job: FaxJob,
    /// Gone when the vendor has it.
    pub(super) document: Option<Document>,
    /// What is known of the document from an earlier try.
    pub(super) kept: Kept,
}

impl Entry {
    pub(super) fn new(job: FaxJob, to: Private, document: Document, options: SendOptions) -> Self {
        Self {
            id: job.record().id.clone(),
            to,
            options,
            wake: Notify::new(),
            state: Mutex::new(EntryState {
                job,
                document: Some(document),
                kept: Kept::default(),
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
        let job = &state.job;
        let record = job.record();
        let mut status = StatusResult::new(self.id.clone(), record.status.clone());
        let running = job.progress();
        status.pages = match running {
            Some(progress) => progress.pages_confirmed,
            None => job.outcome().and_then(|outcome| outcome.pages_confirmed),
        };
        if record.status.is_final() || record.status == JobStatus::OutcomeUnknown {
            status.error = job.error();
        }
        status.raw_response = Some(job.raw()).filter(|raw| **raw != Value::Null).cloned();
        status.detail.outcome = job.outcome().cloned();
        status.detail.progress = running;
        status.detail.next_dial = record.next_dial;
        status
            .detail
            .provider_status
            .clone_from(&record.provider_status);
        status.detail.provider_sid = job.sid().map(str::to_owned);
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
