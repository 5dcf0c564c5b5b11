//! What carries a job out: it waits, prepares, submits and asks, as the job's state machine says.

use std::{future::Future, sync::Arc, time::Duration};

use faxbot_core::{
    Error, ErrorKind, Private, Result,
    clock::SharedClock,
    document::DocumentConverter,
    event::EventBus,
    fax::JobStatus,
    id::JobId,
    plugin::{CancelOutcome, PluginEvent, PluginId, SendOptions},
    random::SharedRandom,
    task::StopToken,
    webhook::{Authenticity, InboundStore},
};
use tokio::sync::Semaphore;

use super::{
    FaxProvider, FaxReport, FaxSettings, Submission, Upload,
    document::Preparation,
    health::Health,
    job::{Cancelled, Step},
    table::{Entry, EntryState},
};
use crate::{
    cloud::webhook::WebhookDesk,
    jobs::{Now, Retention, Table, expired},
};

/// A question or a cancellation that has no answer by then has none: clients have shorter deadlines.
const ANSWER_WITHIN: Duration = Duration::from_secs(300);
/// The same for a submission, which brings the document along.
const SUBMIT_WITHIN: Duration = Duration::from_secs(900);
/// Questions at one time: a host that starts with a full queue must not flood the provider.
pub(super) const QUESTIONS: usize = 4;
/// Polls at one time, apart from the other questions: a thousand faxes that are polled at a vendor's
/// one request a second must not keep a new one waiting.
pub(super) const POLLS: usize = 4;
/// A submission that was not answered is looked for from so long before it: clocks differ, by a time
/// zone where the host's was set by hand. What our label finds is ours, however old it is.
const CLOCKS_DIFFER: Duration = Duration::from_secs(24 * 60 * 60);

/// What all jobs of a started plugin share. Holds no task set: its tasks hold this.
pub(super) struct Shared<P> {
    pub(super) provider: P,
    pub(super) backend: PluginId,
    pub(super) settings: FaxSettings,
    pub(super) clock: SharedClock,
    pub(super) random: SharedRandom,
    pub(super) events: EventBus<PluginEvent>,
    pub(super) documents: Option<Arc<dyn DocumentConverter>>,
    pub(super) inbound: Arc<dyn InboundStore>,
    pub(super) desk: WebhookDesk,
    pub(super) token: StopToken,
    pub(super) table: Arc<Table<Entry>>,
    pub(super) uploads: Semaphore,
    pub(super) questions: Semaphore,
    pub(super) polls: Semaphore,
    pub(super) health: Health,
}

impl<P: FaxProvider> Shared<P> {
    pub(super) fn now(&self) -> Now {
        Now {
            instant: self.clock.now(),
            wall: self.clock.timestamp(),
            random: self.random.next_u64(),
        }
    }

    pub(super) fn retention(&self) -> Retention {
        Retention {
            open: self.settings.max_jobs,
            finished: self.settings.retention_jobs,
            time: self.settings.retention,
        }
    }

    pub(super) fn job(&self, id: &JobId) -> Option<Arc<Entry>> {
        self.table.get(id, self.retention(), self.clock.now())
    }

    pub(super) fn preparation<'a>(&'a self, options: &SendOptions) -> Preparation<'a> {
        Preparation {
            converter: self.documents.as_deref(),
            settings: &self.settings,
            limits: self.provider.limits(),
            clock: &self.clock,
            resolution: options.resolution,
        }
    }

    /// Changes a job by what `proof` stands for, and tells of what is new.
    pub(super) fn change<R>(
        &self,
        entry: &Entry,
        proof: Option<Authenticity>,
        change: impl FnOnce(&mut EntryState, Now) -> R,
    ) -> R {
        let now = self.now();
        let (ended, result) = {
            let mut state = entry.lock();
            let before = state.job.record().status.clone();
            let (progress, outcome) = (state.job.progress(), state.job.outcome().cloned());
            let open = state.job.finished().is_none();
            let result = change(&mut state, now);
            let job = &state.job;
            // Under the job's lock, so that events have the order of the changes.
            let publish = |event| self.events.publish(now.wall, event);
            if let Some(told) = job.progress().filter(|told| Some(*told) != progress) {
                publish(PluginEvent::progress(entry.id.clone(), told));
            }
            // What was not submitted, or certainly not taken, had no call that could end.
            if let Some(told) = job.outcome()
                && Some(told) != outcome.as_ref()
                && (job.sid().is_some() || job.submitted().is_some())
            {
                tracing::info!(job_id = %entry.id, status = ?told.status, class = ?told.class(), pages = told.pages_confirmed, "a fax ended");
                publish(PluginEvent::finished(entry.id.clone(), told.clone()));
            }
            let status = job.record().status.clone();
            if status != before {
                tracing::debug!(job_id = %entry.id, status = status.as_str(), "fax job");
                let (id, backend) = (entry.id.clone(), self.backend.as_str());
                publish(match proof {
                    Some(proof) => PluginEvent::proven_job_status(id, backend, status, proof),
                    None => PluginEvent::job_status(id, backend, status),
                });
            }
            let ended = job.finished().filter(|_| open);
            if !job.needs_document() {
                // Patient data goes as soon as nobody needs it.
                state.document = None;
                state.kept = super::document::Kept::default();
            }
            (ended, result)
        };
        // Outside of the job's lock: the table locks jobs while it is locked itself.
        if let Some(at) = ended {
            self.table.finished(&entry.id, at);
        }
        result
    }

    /// A request to the provider, within its time.
    pub(super) async fn ask<T>(&self, request: impl Future<Output = Result<T>>) -> Result<T> {
        self.within(ANSWER_WITHIN, request).await
    }

    async fn within<T>(
        &self,
        limit: Duration,
        request: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let until = self.clock.now().checked_add(limit);
        let result = tokio::select! {
            biased;
            result = request => result,
            () = expired(&self.clock, until) => Err(Error::new(
                ErrorKind::Timeout,
                "send_fax",
                "the provider gave no answer in time",
            )),
        };
        self.health.note(&result, self.clock.timestamp());
        result
    }

    /// The fax that was submitted under this id, to this number where it is known, since the lookup
    /// window began.
    pub(super) async fn find_earlier(
        &self,
        id: &JobId,
        to: Option<&Private>,
    ) -> Result<Option<FaxReport>> {
        let since = self.clock.timestamp() - self.settings.lookup_window;
        self.ask(self.provider.find(id, to, since)).await
    }

    /// Cancels a job: see [`FaxPlugin::cancel_fax`](faxbot_core::plugin::FaxPlugin::cancel_fax).
    pub(super) async fn cancel(&self, entry: &Entry) -> Result<CancelOutcome> {
        let met = self.change(entry, None, |state, now| state.job.cancel(now));
        entry.wake.notify_one();
        let sid = match met {
            Cancelled::Now | Cancelled::Before => return Ok(CancelOutcome::Cancelled),
            Cancelled::TooLate => return Ok(CancelOutcome::TooLate),
            Cancelled::Later => return Ok(CancelOutcome::Requested),
            Cancelled::Recall(sid) => sid,
        };
        let answer = self.recall(entry, &sid).await;
        entry.wake.notify_one();
        answer.map_err(|error| error.with_job_id(entry.id.clone()))
    }

    async fn recall(&self, entry: &Entry, sid: &str) -> Result<CancelOutcome> {
        let answer = self.ask(self.provider.cancel(sid)).await;
        if let Err(error) = &answer {
            tracing::warn!(job_id = %entry.id, kind = ?error.kind(), "a fax was not cancelled at the provider");
        }
        self.change(entry, proof(answer.is_ok()), |state, now| {
            state.job.recalled(&answer, now);
        });
        answer
    }
}

/// Runs a job to its end, or until the plugin stops.
pub(super) async fn run<P: FaxProvider>(shared: Arc<Shared<P>>, entry: Arc<Entry>) {
    loop {
        let (step, deadline) = {
            let state = entry.lock();
            (state.job.step(), state.job.deadline())
        };
        let not_before = match step {
            Step::Done => return,
            Step::Lost => {
                shared.change(&entry, None, |state, now| state.job.lost(now));
                continue;
            }
            Step::Check(at)
            | Step::Submit(at)
            | Step::Seek(at)
            | Step::Poll(at)
            | Step::Recall(at) => at,
        };
        let work = async {
            shared.clock.sleep_until(not_before).await;
            if matches!(step, Step::Submit(_)) {
                let place = shared.uploads.acquire().await.ok()?;
                // With the place: documents that wait for one are not in memory.
                return Some((prepare(&shared, &entry).await?, place));
            }
            let places = match step {
                Step::Poll(_) => &shared.polls,
                _ => &shared.questions,
            };
            let _place = places.acquire().await.ok()?;
            question(&shared, &entry, step).await;
            None
        };
        tokio::select! {
            biased;
            () = shared.token.cancelled() => return,
            () = entry.wake.notified() => {}
            () = expired(&shared.clock, deadline) => {
                shared.change(&entry, None, |state, now| state.job.expire(now));
            }
            ready = work => {
                // Not raced against a stop or a cancellation: a submission that was begun is waited for.
                if let Some((upload, place)) = ready {
                    Box::pin(submit(&shared, &entry, upload)).await;
                    drop(place);
                }
            }
        }
    }
}

async fn question<P: FaxProvider>(shared: &Shared<P>, entry: &Entry, step: Step) {
    let (sid, submitted) = {
        let state = entry.lock();
        (state.job.sid().map(str::to_owned), state.job.submitted())
    };
    match (step, sid) {
        (Step::Check(_), _) => {
            let answer = shared.find_earlier(&entry.id, Some(&entry.to)).await;
            let found = answer.as_ref().is_ok_and(Option::is_some);
            shared.change(entry, proof(found), |state, now| {
                state.job.checked(&answer, now);
                if state.job.sid().is_some() {
                    tracing::info!(job_id = %entry.id, "a fax of an earlier process");
                }
            });
        }
        (Step::Seek(_), _) => {
            let answer = match submitted {
                Some(at) => {
                    let since = at - CLOCKS_DIFFER;
                    let found = shared.provider.find(&entry.id, Some(&entry.to), since);
                    shared.ask(found).await
                }
                // Not by this process.
                None => shared.find_earlier(&entry.id, Some(&entry.to)).await,
            };
            let found = answer.as_ref().is_ok_and(Option::is_some);
            shared.change(entry, proof(found), |state, now| {
                state.job.sought(&answer, now);
            });
        }
        (Step::Poll(_), Some(sid)) => {
            let answer = shared.ask(shared.provider.status(&sid)).await;
            if let Err(error) = &answer {
                tracing::debug!(job_id = %entry.id, kind = ?error.kind(), "a fax could not be asked for");
            }
            // An answer about another fax is none.
            let answer = answer.and_then(|report| {
                let other =
                    Error::new(ErrorKind::Protocol, "send_fax", "the report of another fax");
                if report.sid == sid {
                    Ok(report)
                } else {
                    Err(other)
                }
            });
            shared.change(entry, proof(answer.is_ok()), |state, now| {
                state.job.polled(&answer, now);
            });
        }
        (Step::Recall(_), Some(sid)) => drop(shared.recall(entry, &sid).await),
        _ => {}
    }
}

/// What the provider tells is proof; that it tells nothing is none.
fn proof(told: bool) -> Option<Authenticity> {
    told.then_some(Authenticity::Fetched)
}

async fn prepare<P: FaxProvider>(shared: &Shared<P>, entry: &Entry) -> Option<Upload> {
    let (document, kept) = shared.change(entry, None, |state, now| {
        state.job.preparing(now);
        (state.document.clone(), state.kept.clone())
    });
    let preparation = shared.preparation(&entry.options);
    let prepared = preparation.prepare(document?, kept).await;
    shared.change(entry, None, |state, now| match prepared {
        Ok((upload, kept)) => {
            state.job.prepared(kept.pages());
            state.kept = kept;
            Some(upload)
        }
        Err(error) => {
            tracing::info!(job_id = %entry.id, kind = ?error.kind(), reason = ?error.document_reason(), "a document is not sent");
            state.job.not_prepared(&error, now);
            None
        }
    })
}

async fn submit<P: FaxProvider>(shared: &Shared<P>, entry: &Entry, upload: Upload) {
    if !shared.change(entry, None, |state, now| state.job.submit(now)) {
        return;
    }
    let submission = Submission {
        job_id: entry.id.clone(),
        to: entry.to.clone(),
        upload,
        options: entry.options.clone(),
    };
    let answer = shared.provider.submit(&submission);
    let answer = shared.within(SUBMIT_WITHIN, answer).await;
    drop(submission);
    if let Err(error) = &answer {
        tracing::info!(job_id = %entry.id, kind = ?error.kind(), effect = ?error.effect(), "a fax was not taken");
    }
    shared.change(entry, proof(answer.is_ok()), |state, now| {
        state.job.answered(&answer, now);
        let status = &state.job.record().status;
        if *status == JobStatus::InProgress {
            tracing::debug!(job_id = %entry.id, "the provider took the fax");
        }
    });
}
