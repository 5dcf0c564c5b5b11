//! The jobs of this process: those that run, and those that ended a while ago.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use faxbot_core::{
    Error, ErrorKind, Result,
    document::{Document, FaxImage},
    fax::{FaxCall, FaxProgress, JobStatus},
    id::JobId,
    plugin::StatusResult,
};
use tokio::sync::Notify;

use super::{job::FaxJob, same::Mark};

/// What is kept, and for how long.
#[derive(Debug, Clone, Copy)]
pub(super) struct Retention {
    pub(super) open: usize,
    pub(super) finished: usize,
    pub(super) time: Duration,
}

#[derive(Debug, Default)]
pub(super) struct Table {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    jobs: HashMap<JobId, Arc<Entry>>,
    /// In the order in which they ended.
    finished: VecDeque<(Instant, JobId)>,
}

impl Table {
    /// Takes a job, unless its id is known or there is no room.
    pub(super) fn insert(&self, entry: Arc<Entry>, keep: Retention, now: Instant) -> Result<()> {
        let mut inner = self.lock();
        inner.purge(keep, now);
        if inner.jobs.contains_key(&entry.id) {
            return Err(refused(
                ErrorKind::InvalidState,
                "this job id is in use, or was lately",
            )
            .with_job_id(entry.id.clone()));
        }
        if inner.jobs.len().saturating_sub(inner.finished.len()) >= keep.open {
            return Err(refused(ErrorKind::Overloaded, "too many jobs wait or run")
                .with_job_id(entry.id.clone()));
        }
        inner.jobs.insert(entry.id.clone(), entry);
        Ok(())
    }

    pub(super) fn get(&self, id: &JobId, keep: Retention, now: Instant) -> Option<Arc<Entry>> {
        let mut inner = self.lock();
        inner.purge(keep, now);
        inner.jobs.get(id).cloned()
    }

    /// Notes that a job is over, so that it goes when its time has come.
    pub(super) fn finished(&self, id: &JobId, at: Instant) {
        self.lock().finished.push_back((at, id.clone()));
    }

    /// The jobs that are not over, in the order in which they were taken.
    pub(super) fn open(&self) -> Vec<Arc<Entry>> {
        let mut open: Vec<_> = self
            .lock()
            .jobs
            .values()
            .filter(|entry| entry.lock().job.finished().is_none())
            .cloned()
            .collect();
        open.sort_by_key(|entry| entry.lock().job.record().created);
        open
    }

    /// How many jobs are open, and how many ended ones are kept.
    pub(super) fn counts(&self) -> (usize, usize) {
        let inner = self.lock();
        let finished = inner.finished.len();
        (inner.jobs.len().saturating_sub(finished), finished)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn purge(&mut self, keep: Retention, now: Instant) {
        while let Some((at, _)) = self.finished.front() {
            let old = now.saturating_duration_since(*at) > keep.time;
            if !old && self.finished.len() <= keep.finished {
                return;
            }
            if let Some((_, id)) = self.finished.pop_front() {
                self.jobs.remove(&id);
            }
        }
    }
}

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

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

fn refused(kind: ErrorKind, message: &str) -> Error {
    Error::new(kind, "send_fax", message)
}
