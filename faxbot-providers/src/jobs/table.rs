//! The jobs of this process: those that run, and those that ended a while ago.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use faxbot_core::{Error, ErrorKind, Result, Timestamp, id::JobId};

/// What is kept, and for how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Retention {
    pub(crate) open: usize,
    pub(crate) finished: usize,
    pub(crate) time: Duration,
}

/// One job of a table.
pub(crate) trait Held {
    /// Its id.
    fn id(&self) -> &JobId;
    /// When it was over; `None` before.
    fn finished(&self) -> Option<Instant>;
    /// When it was taken.
    fn created(&self) -> Timestamp;
}

/// The table. It locks jobs while it is locked itself, so no job may be locked where it is called.
#[derive(Debug)]
pub(crate) struct Table<E>(Mutex<Inner<E>>);

#[derive(Debug)]
struct Inner<E> {
    jobs: HashMap<JobId, Arc<E>>,
    /// In the order in which they ended.
    finished: VecDeque<(Instant, JobId)>,
}

impl<E> Default for Table<E> {
    fn default() -> Self {
        Self(Mutex::new(Inner {
            jobs: HashMap::new(),
            finished: VecDeque::new(),
        }))
    }
}

impl<E: Held> Table<E> {
    /// Takes a job, unless its id is known or there is no room.
    pub(crate) fn insert(&self, entry: Arc<E>, keep: Retention, now: Instant) -> Result<()> {
        let mut inner = self.lock();
        inner.purge(keep, now);
        if inner.jobs.contains_key(entry.id()) {
            return Err(refused(
                ErrorKind::InvalidState,
                "this job id is in use, or was lately",
            )
            .with_job_id(entry.id().clone()));
        }
        if inner.jobs.len().saturating_sub(inner.finished.len()) >= keep.open {
            return Err(refused(ErrorKind::Overloaded, "too many jobs wait or run")
                .with_job_id(entry.id().clone()));
        }
        inner.jobs.insert(entry.id().clone(), entry);
        Ok(())
    }

    pub(crate) fn get(&self, id: &JobId, keep: Retention, now: Instant) -> Option<Arc<E>> {
        let mut inner = self.lock();
        inner.purge(keep, now);
        inner.jobs.get(id).cloned()
    }

    /// Notes that a job is over, so that it goes when its time has come.
    pub(crate) fn finished(&self, id: &JobId, at: Instant) {
        self.lock().finished.push_back((at, id.clone()));
    }

    /// The jobs that are not over, in the order in which they were taken.
    pub(crate) fn open(&self) -> Vec<Arc<E>> {
        let mut open = self.all(|entry| entry.finished().is_none());
        open.sort_by_key(|entry| entry.created());
        open
    }

    /// The jobs that are so, in no order.
    pub(crate) fn all(&self, is_so: impl Fn(&E) -> bool) -> Vec<Arc<E>> {
        let inner = self.lock();
        let jobs = inner.jobs.values().filter(|entry| is_so(entry));
        jobs.cloned().collect()
    }

    /// How many jobs are open, and how many ended ones are kept.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let inner = self.lock();
        let finished = inner.finished.len();
        (inner.jobs.len().saturating_sub(finished), finished)
    }

    fn lock(&self) -> MutexGuard<'_, Inner<E>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<E> Inner<E> {
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

fn refused(kind: ErrorKind, message: &str) -> Error {
    Error::new(kind, "send_fax", message)
}
