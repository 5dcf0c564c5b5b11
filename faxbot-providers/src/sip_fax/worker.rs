//! What carries a job out: it waits, converts, dials and asks, as the job's state machine says.

use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use faxbot_core::{
    DocumentReason, Error, ErrorKind, Result,
    address::FaxTarget,
    clock::SharedClock,
    document::{ConvertOptions, Document, DocumentConverter, DocumentSource, FaxImage},
    event::EventBus,
    fax::{FaxCall, FaxPhase},
    id::{CallId, CallRef},
    plugin::{CancelOutcome, PluginEvent},
    random::SharedRandom,
    sip::{HangupOutcome, Lookup, SipAdapter},
    task::{self, StopToken},
};
use tokio::sync::{OwnedMutexGuard, Semaphore};

use super::{
    ID,
    config::SipFaxConfig,
    cut,
    job::{Cancelled, FaxJob, Step},
    same::Mark,
    table::{Entry, EntryState},
};
use crate::jobs::{Now, Retention, Table, expired};

/// A request, a question or a hang-up that has no answer by then has none: an adapter's own
/// deadlines are shorter. The request may have been made all the same, so it is asked for.
const ANSWER_WITHIN: Duration = Duration::from_secs(300);
/// How far a fax may overrun its time before it counts as lost sight of.
const OVERRUN: Duration = Duration::from_secs(300);
/// How far a conversion may overrun its time: converters that keep to it end by themselves.
pub(super) const CONVERT_OVERRUN: Duration = Duration::from_secs(30);
/// Questions at one time about calls of an earlier process: a host that starts with a full queue
/// must not flood the server.
pub(super) const CHECKS: usize = 4;

/// What all jobs of a started plugin share. Holds no task set: its tasks hold this.
pub(super) struct Shared {
    pub(super) adapter: Arc<dyn SipAdapter>,
    pub(super) config: SipFaxConfig,
    pub(super) clock: SharedClock,
    pub(super) random: SharedRandom,
    pub(super) events: EventBus<PluginEvent>,
    pub(super) documents: Option<Arc<dyn DocumentConverter>>,
    pub(super) token: StopToken,
    pub(super) table: Arc<Table<Entry>>,
    pub(super) calls: Semaphore,
    pub(super) conversions: Semaphore,
    pub(super) checks: Semaphore,
    pub(super) lines: Lines,
}

impl Shared {
    pub(super) fn now(&self) -> Now {
        Now {
            instant: self.clock.now(),
            wall: self.clock.timestamp(),
            random: self.random.next_u64(),
        }
    }

    pub(super) fn retention(&self) -> Retention {
        Retention {
            open: self.config.max_jobs,
            finished: self.config.retention_jobs,
            time: self.config.retention,
        }
    }

    /// Changes a job, and tells of a new status.
    pub(super) fn change<R>(
        &self,
        entry: &Entry,
        change: impl FnOnce(&mut EntryState, Now) -> R,
    ) -> R {
        let now = self.now();
        let ended = {
            let mut state = entry.lock();
            let before = state.job.record().status.clone();
            let open = state.job.finished().is_none();
            let result = change(&mut state, now);
            let status = state.job.record().status.clone();
            if status != before {
                tracing::debug!(job_id = %entry.id, status = status.as_str(), "fax job");
                let event = PluginEvent::job_status(entry.id.clone(), ID, status);
                // Under the job's lock, so that events have the order of the changes.
                self.events.publish(now.wall, event);
            }
            let ended = state.job.finished().filter(|_| open);
            if ended.is_some() {
                // The pages are patient data: they go as soon as nobody needs them.
                state.document = None;
                state.image = None;
                state.call = None;
            }
            (ended, result)
        };
        // Outside of the job's lock: the table locks jobs while it is locked itself.
        if let Some(at) = ended.0 {
            self.table.finished(&entry.id, at);
        }
        ended.1
    }

    /// Cancels a job: see [`FaxPlugin::cancel_fax`](faxbot_core::plugin::FaxPlugin::cancel_fax).
    pub(super) async fn cancel(&self, entry: &Entry) -> Result<CancelOutcome> {
        let (met, call) = self.change(entry, |state, now| {
            (state.job.cancel(now), state.call.clone())
        });
        entry.wake.notify_one();
        let id = match met {
            Cancelled::Now | Cancelled::Before => return Ok(CancelOutcome::Cancelled),
            Cancelled::TooLate => return Ok(CancelOutcome::TooLate),
            Cancelled::Checking => return Ok(CancelOutcome::Requested),
            Cancelled::HangUp(id) => id,
        };
        let asked = match call {
            Some(call) => call.cancel().await,
            // The request has no answer so far: the worker hangs up when there is one. A call
            // that was lost sight of is hung up by its id.
            None if entry.lock().job.question().is_none() => return Ok(CancelOutcome::Requested),
            None => self
                .adapter
                .hangup(&CallRef::from(id))
                .await
                .map(|outcome| match outcome {
                    HangupOutcome::CannotCancelRinging => CancelOutcome::Unsupported,
                    _ => CancelOutcome::Requested,
                }),
        };
        match asked {
            Ok(CancelOutcome::Unsupported) => Ok(CancelOutcome::Unsupported),
            // Over, and on its way to the job: the status tells how it ended.
            Ok(_) => Ok(CancelOutcome::Requested),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(CancelOutcome::Requested),
            Err(error) => Err(error.with_job_id(entry.id.clone())),
        }
    }
}

/// Runs a job to its end, or until the plugin stops.
pub(super) async fn run(shared: Arc<Shared>, entry: Arc<Entry>) {
    loop {
        let now = shared.now();
        let (step, deadline) = {
            let state = entry.lock();
            let step = state.job.step(now);
            // A deadline says nothing to a call that was placed.
            let waits = !matches!(step, Step::Follow | Step::Ask(_) | Step::Done);
            (step, state.job.deadline().filter(|_| waits))
        };
        let work = async {
            match step {
                Step::Check(not_before) => {
                    shared.clock.sleep_until(not_before).await;
                    check(&shared, &entry).await;
                }
                Step::Prepare(not_before) => {
                    shared.clock.sleep_until(not_before).await;
                    prepare(&shared, &entry).await;
                }
                Step::Wait(until) => shared.clock.sleep_until(until).await,
                _ => {}
            }
        };
        match step {
            Step::Done => break,
            Step::Check(_) | Step::Prepare(_) | Step::Wait(_) => {
                tokio::select! {
                    biased;
                    () = shared.token.cancelled() => return,
                    () = entry.wake.notified() => {}
                    () = expired(&shared.clock, deadline) => {
                        shared.change(&entry, |state, now| state.job.expire(now));
                    }
                    () = work => {}
                }
            }
            Step::Dial | Step::Follow | Step::Ask(_) => {
                let to = entry.lock().job.record().to.clone();
                // The line first: jobs that wait for one must not hold places that others can use.
                let place = async {
                    let line = shared.lines.acquire(&to).await;
                    (line, shared.calls.acquire().await)
                };
                tokio::select! {
                    biased;
                    () = shared.token.cancelled() => return,
                    () = entry.wake.notified() => {}
                    () = expired(&shared.clock, deadline) => {
                        shared.change(&entry, |state, now| state.job.expire(now));
                    }
                    place = place => {
                        call(&shared, &entry).await;
                        drop(place);
                    }
                }
            }
        }
    }
    release(&shared, entry).await;
}

/// `work`, or a time-out when it takes too long.
async fn within<T>(
    shared: &Shared,
    limit: Duration,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    let until = shared.clock.now().checked_add(limit);
    tokio::select! {
        biased;
        result = work => result,
        () = expired(&shared.clock, until) => {
            let message = "the adapter gave no answer in time";
            Err(Error::new(ErrorKind::Timeout, "send_fax", message))
        }
    }
}

/// Asks for the next call of an earlier process.
async fn check(shared: &Shared, entry: &Entry) {
    let Ok(_place) = shared.checks.acquire().await else {
        return;
    };
    let Some(id) = entry.lock().job.earlier_call() else {
        return;
    };
    let call = CallRef::from(id);
    let answer = within(shared, ANSWER_WITHIN, shared.adapter.lookup(&call)).await;
    ended(shared, entry, |state, now| {
        state.job.checked(id, &answer, now);
        if state.job.in_flight() == Some(id) || state.job.outcome().is_some() {
            tracing::info!(job_id = %entry.id, call_id = %id, "a fax call of an earlier process");
        }
    });
}

async fn prepare(shared: &Shared, entry: &Entry) {
    let Ok(_place) = shared.conversions.acquire().await else {
        return;
    };
    let (document, rendering, known) = shared.change(entry, |state, now| {
        state.job.preparing(now);
        // Pages that were confirmed are of the document that was converted then.
        let known = state.mark.filter(|_| state.job.earlier_pages() > 0);
        (state.document.clone(), state.job.plan().rendering(), known)
    });
    let Some(document) = document else { return };
    let bytes = shared.config.limits.bytes;
    let options = ConvertOptions::default()
        .with_resolution(rendering.resolution)
        .with_fax_tiff(rendering.fax_tiff)
        .with_limits(shared.config.limits);
    let limit = shared.config.limits.time.saturating_add(CONVERT_OVERRUN);
    let conversion = async {
        let mark = match known {
            None => Mark::of(&document, bytes).await,
            known => known,
        };
        let image = match &shared.documents {
            Some(converter) => converter.to_fax(document.clone(), options).await,
            None => open(document.clone()).await,
        };
        // After the conversion, so that a change meanwhile counts too.
        let same = known.is_none() || Mark::of(&document, bytes).await == known;
        image.map(|image| (image, same.then_some(mark)))
    };
    let until = shared.clock.now().checked_add(limit);
    let image = tokio::select! {
        biased;
        image = conversion => image,
        // One that never ends would keep its place from the other jobs.
        () = expired(&shared.clock, until) => Err(Error::document(
            "send_fax",
            DocumentReason::Timeout,
            "the converter gave no answer in time",
        )),
    };
    let image = image.and_then(|(image, mark)| Ok((checked(image, shared)?, mark)));
    shared.change(entry, |state, now| match image {
        Ok((_, None)) => state.job.document_changed(now),
        Ok((image, Some(mark))) => {
            state.job.prepared(image.pages(), image.resolution(), now);
            state.image = Some(image);
            state.mark = mark;
        }
        Err(error) => {
            tracing::info!(job_id = %entry.id, kind = ?error.kind(), reason = ?error.document_reason(), "a document was not converted");
            state.job.not_prepared(&error, now);
        }
    });
}

/// Without a converter the document has to be a file with fax pages.
async fn open(document: Document) -> Result<FaxImage> {
    let DocumentSource::Path(path) = document.source().clone() else {
        return Err(no_converter());
    };
    task::blocking("send_fax", move || FaxImage::open(path)).await?
}

pub(super) fn no_converter() -> Error {
    Error::new(
        ErrorKind::Config,
        "send_fax",
        "without a document converter only the path of a fax tiff can be sent",
    )
}

/// A converter of somebody else's may have limits of its own.
fn checked(image: FaxImage, shared: &Shared) -> Result<FaxImage> {
    let limits = shared.config.limits;
    if image.pages() > limits.pages || image.bytes() > limits.bytes {
        return Err(Error::document(
            "send_fax",
            DocumentReason::TooLarge,
            "the fax is above the limits",
        ));
    }
    Ok(image)
}

/// Places the call that is due, and follows it to its end, or until the plugin stops.
async fn call(shared: &Shared, entry: &Entry) {
    let next = cut::next_pages(shared, entry).await;
    let request = next.and_then(|next| {
        shared.change(entry, |state, now| {
            let id = state.job.dial(now)?;
            state.progress = None;
            let to = state.job.record().to.clone();
            let request = state.job.plan().request(id, to, next);
            let limit = request.total_timeout().saturating_add(OVERRUN);
            state.overdue = now.instant.checked_add(limit);
            Some((id, request))
        })
    });
    if let Some((id, request)) = request {
        tracing::debug!(job_id = %entry.id, call_id = %id, "fax call");
        // Not raced against a stop or a cancellation: a request that was begun is waited for.
        match within(shared, ANSWER_WITHIN, shared.adapter.send_fax(request)).await {
            Ok(call) => {
                let hang_up = shared.change(entry, |state, now| {
                    state.job.accepted(id, now);
                    state.call = Some(call.clone());
                    state.job.is_cancelled()
                });
                if hang_up && let Err(error) = within(shared, ANSWER_WITHIN, call.cancel()).await {
                    tracing::warn!(job_id = %entry.id, call_id = %id, kind = ?error.kind(), "a cancelled fax was not hung up");
                }
            }
            Err(error) => {
                tracing::info!(job_id = %entry.id, call_id = %id, kind = ?error.kind(), effect = ?error.effect(), "a fax call was not taken");
                ended(shared, entry, |state, now| {
                    state.job.refused(id, &error, now)
                });
            }
        }
    }
    loop {
        let (step, id, handle) = {
            let state = entry.lock();
            let step = state.job.step(shared.now());
            (step, state.job.in_flight(), state.call.clone())
        };
        match (step, id.zip(handle)) {
            (Step::Follow, Some((id, handle))) => {
                tokio::select! {
                    biased;
                    () = shared.token.cancelled() => return,
                    () = follow(shared, entry, id, handle) => {}
                }
            }
            // Without a handle there is only the question.
            (Step::Follow, None) => shared.change(entry, |state, now| {
                if let Some(id) = id {
                    state.job.lost(id, now);
                }
            }),
            (Step::Ask(not_before), _) => {
                let question = async {
                    shared.clock.sleep_until(not_before).await;
                    ask(shared, entry).await;
                };
                tokio::select! {
                    biased;
                    () = shared.token.cancelled() => return,
                    () = question => {}
                }
            }
            _ => return,
        }
    }
}

async fn follow(shared: &Shared, entry: &Entry, id: CallId, mut call: FaxCall) {
    let watched = call.clone();
    let overdue = entry.lock().overdue;
    let result = async {
        tokio::select! {
            biased;
            result = watched.result() => result,
            () = expired(&shared.clock, overdue) => {
                Err(Error::new(ErrorKind::Timeout, "send_fax", "the fax has no end"))
            }
        }
    };
    tokio::pin!(result);
    let result = loop {
        let progress = call.progress();
        shared.change(entry, |state, now| {
            state.job.seen(progress.pages_confirmed);
            if progress.phase > FaxPhase::Dialing {
                state.job.lives();
            }
            let progress = progress.with_earlier_pages(state.job.earlier_pages());
            if state.progress.replace(progress) != Some(progress) {
                let event = PluginEvent::progress(entry.id.clone(), progress);
                shared.events.publish(now.wall, event);
            }
        });
        tokio::select! {
            biased;
            result = &mut result => break result,
            changed = call.changed() => {
                if changed.is_err() {
                    break result.await;
                }
            }
        }
    };
    ended(shared, entry, |state, now| {
        state.call = None;
        match result {
            Ok(outcome) => state.job.ended(id, outcome, now),
            Err(error) => {
                tracing::info!(job_id = %entry.id, call_id = %id, kind = ?error.kind(), "a fax was lost sight of");
                state.job.lost(id, now);
            }
        }
    });
}

async fn ask(shared: &Shared, entry: &Entry) {
    let Some((id, call)) = entry.lock().job.question() else {
        return;
    };
    let answer = within(shared, ANSWER_WITHIN, shared.adapter.lookup(&call)).await;
    ended(shared, entry, |state, now| {
        state.job.looked_up(id, &answer, now);
    });
    // Cancelled while nobody could hang up: before the answer came, or without a connection.
    let live = matches!(answer, Ok(Lookup::Live(_)));
    if live && entry.lock().job.is_cancelled() {
        let call = CallRef::from(id);
        if let Err(error) = within(shared, ANSWER_WITHIN, shared.adapter.hangup(&call)).await {
            tracing::warn!(job_id = %entry.id, call_id = %id, kind = ?error.kind(), "a cancelled fax was not hung up");
        }
    }
}

/// A change that may end a call: tells how it came out.
fn ended(shared: &Shared, entry: &Entry, change: impl FnOnce(&mut EntryState, Now)) {
    shared.change(entry, |state, now| {
        let count = |job: &FaxJob| {
            let attempts = &job.record().attempts;
            attempts.iter().filter(|a| a.outcome.is_some()).count()
        };
        let before = count(&state.job);
        change(state, now);
        if count(&state.job) > before
            && let Some(outcome) = state.job.outcome()
        {
            tracing::info!(job_id = %entry.id, status = ?outcome.status, class = ?outcome.class(), pages = outcome.pages_confirmed, "a fax call ended");
            let event = PluginEvent::finished(entry.id.clone(), outcome.clone());
            shared.events.publish(now.wall, event);
        }
    });
}

/// The job is over: the server may forget its calls, but not one whose end nobody knows. Those of an
/// id that the caller chose are kept as long as the job is readable here: until it has stored the
/// outcome, a caller that crashes will ask for it under that id.
async fn release(shared: &Shared, entry: Arc<Entry>) {
    let (job_id, keep) = {
        let state = entry.lock();
        let keep = state.job.has_chosen_id().then_some(shared.config.retention);
        (entry.id.clone(), keep)
    };
    let calls: Vec<_> = {
        let state = entry.lock();
        if !state.job.record().status.is_final() {
            return;
        }
        let attempts = &state.job.record().attempts;
        attempts.iter().map(|a| (a.call_id, a.started)).collect()
    };
    // The table may drop the job before.
    drop(entry);
    if let Some(keep) = keep.filter(|_| !calls.is_empty()) {
        tokio::select! {
            biased;
            () = shared.token.cancelled() => return,
            () = expired(&shared.clock, shared.clock.now().checked_add(keep)) => {}
        }
    }
    for (id, started) in calls {
        let call = CallRef::from(id).requested_at(started);
        if let Err(error) = within(shared, ANSWER_WITHIN, shared.adapter.release(&call)).await {
            tracing::debug!(%job_id, call_id = %id, kind = ?error.kind(), "left for the server's sweep");
        }
    }
}

/// One line a destination: jobs to one number follow each other, in the order in which they come.
#[derive(Debug, Default)]
pub(super) struct Lines(Mutex<HashMap<FaxTarget, Arc<tokio::sync::Mutex<()>>>>);

impl Lines {
    async fn acquire(&self, to: &FaxTarget) -> OwnedMutexGuard<()> {
        let line = {
            let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            // Whoever holds or awaits a line has a clone of it.
            lines.retain(|_, line| Arc::strong_count(line) > 1);
            Arc::clone(lines.entry(to.clone()).or_default())
        };
        line.lock_owned().await
    }
}
