//! [`SipFaxPlugin`]: a [`FaxPlugin`] over any [`SipAdapter`] that declares
//! [`Capability::SendFax`].
//!
//! A fax becomes a job: its document is converted, it waits for its line, it is dialled, and
//! dialled again by policy, until it is `SUCCESS`, `FAILED`, `cancelled` or `outcome_unknown`.
//!
//! ```no_run
//! use std::{sync::Arc, time::Duration};
//!
//! use faxbot_core::{
//!     Result,
//!     document::Document,
//!     plugin::{FaxPlugin, Plugin, PluginDeps, SendOptions},
//!     sip::SipAdapter,
//! };
//! use faxbot_providers::sip_fax::SipFaxPlugin;
//! use serde_json::json;
//!
//! async fn send(adapter: Arc<dyn SipAdapter>) -> Result<()> {
//!     let plugin = SipFaxPlugin::new(adapter);
//!     let config = json!({"options": {"station_id": "+49 30 1234567", "max_dials": 3}});
//!     // `with_documents` adds a converter; without one a fax TIFF on disk can be sent.
//!     plugin.start(config, PluginDeps::current()?).await?;
//!     let to = "+493012345678".parse()?;
//!     let sent = plugin.send_fax(to, Document::path("letter.tif"), SendOptions::new()).await?;
//!     loop {
//!         let status = plugin.get_status(&sent.job_id).await?;
//!         println!("{} {:?}", status.status, status.error);
//!         if status.status.is_final() {
//!             return plugin.stop().await;
//!         }
//!         tokio::time::sleep(Duration::from_secs(1)).await;
//!     }
//! }
//! ```
//!
//! # Never twice
//! No page is sent twice. Between two dials of a job stands proof of what the first delivered:
//! - the call ended, it is known how many pages were confirmed (T.30: MCF or RTP after the page),
//!   and the class of its failure may be tried again ([`faxbot_core::fax::decide`]). The next call
//!   sends the others: see [Resuming](self#resuming);
//! - or the adapter's error says that the request had no effect;
//! - or the server proves that it never took it
//!   ([`Lookup::NeverExisted`]).
//!
//! A request without an answer, or a fax that can no longer be followed, is asked for with
//! `lookup` until the server answers or `lookup_patience` ends: then it is `outcome_unknown`, with
//! the pages last seen, and nothing dials it again.
//!
//! # Resuming
//! A fax that failed behind its first pages goes on with the first one that was not confirmed. The
//! call has pages of its own: [`Attempt::first_page`](faxbot_core::fax::Attempt::first_page) says
//! where it begins, and its outcome counts what it sent. Status, outcome and progress of the job
//! are those of the whole document.
//!
//! - Every page has its line, and none has two. Where the adapter declares
//!   [`Capability::FaxFirstPage`], the server gets the same file again, begins at the page, and draws
//!   its line with the numbers of the document, as above a whole one.
//! - Any other server gets a copy of the pages that are left, of which it would call the first one
//!   page 1: above these the converter draws the line. Where a header is asked for and the converter
//!   [draws none](faxbot_core::document::DocumentConverter::draws_headers), or there is no
//!   converter, a fax with a confirmed page is not dialled again there.
//! - When the far end, or the line, needs standard resolution, the document is converted again. If
//!   that has another number of pages, confirmed pages stand for nothing in it: the job fails.
//! - Where the count of confirmed pages is not known, nothing is dialled again.
//! - [`FaxRetryPolicy::resume`](faxbot_core::fax::FaxRetryPolicy::resume) switches it off.
//!
//! # Job ids
//! While a job is known (until `retention` after its end) its id is refused for another fax. The
//! call of attempt n is [`CallId::for_attempt`], so a new process, which has an empty table, can
//! still ask for it:
//! - A fax under an id that the caller chose ([`SendOptions::with_job_id`]) is not dialled before
//!   the server was asked for the calls of that id, one after the other. One that lives is adopted
//!   and followed; one that ended counts with its outcome, and policy goes on from there, behind
//!   the pages that were confirmed: what arrived before is `SUCCESS` without a dial. The document
//!   has to be the same one. A server that cannot tell, one that restarted in the fax among them,
//!   does not block the fax: a caller that knows when it first sent it asks `recover` before.
//!   One that does not answer is waited for as a busy one; when `server_patience` or the deadline
//!   ends that, the job is `outcome_unknown`, because an earlier process may have delivered it.
//!   Such a job's outcome stays at the server as long as the job is readable here, so that a caller
//!   that crashes before it stored the outcome finds it. Random ids skip all this.
//! - [`SipFaxPlugin::recover`] asks, and sends nothing.
//!
//! A line of one call a destination is this plugin's own: two plugins over one adapter do not wait
//! for each other.
//!
//! # Stop
//! [`stop`](Plugin::stop) hangs up nothing. A fax that runs is left to the server and becomes
//! `outcome_unknown`; a start of the same plugin asks what became of it, and goes on with the jobs
//! that wait.

mod config;
mod cut;
mod job;
mod plan;
mod recover;
mod same;
mod table;
mod verdict;
mod worker;

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use faxbot_core::{
    Error, ErrorKind, Result, Timestamp,
    address::FaxTarget,
    config::ConfigErrors,
    document::{Document, DocumentSource},
    id::JobId,
    plugin::{
        CancelOutcome, FaxPlugin, Manifest, Plugin, PluginCapability, PluginCondition, PluginDeps,
        PluginHealth, PluginId, SendOptions, SendResult, StatusResult,
    },
    sip::{Capability, ConnectionState, HealthStatus, SipAdapter},
    webhook::WebhookHandler,
};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tracing::Instrument;

pub use config::{FIELDS, SipFaxConfig};

use job::{FaxJob, Patience};
use plan::{Means, Plan};
use table::Entry;
use worker::{Lines, Shared};

use crate::jobs::{Running, Slot, Table, check_document, check_start};

#[cfg(doc)]
use faxbot_core::{id::CallId, sip::Lookup};

/// The plugin's id, which results name as backend.
pub const ID: &str = "sip-fax";

/// How long a stop waits for requests that have no answer so far; an adapter's own deadlines are
/// shorter.
const STOP_WITHIN: Duration = Duration::from_secs(30);

/// Sends faxes over a SIP server. See the [module](self).
pub struct SipFaxPlugin {
    adapter: Arc<dyn SipAdapter>,
    manifest: Manifest,
    /// Outlives a stop: its ids stay refused, and a start takes up what is open.
    table: Arc<Table<Entry>>,
    slot: Slot<Shared>,
}

impl SipFaxPlugin {
    /// A plugin over `adapter`, which its owner connects and disconnects.
    pub fn new(adapter: Arc<dyn SipAdapter>) -> Self {
        Self {
            adapter,
            manifest: manifest(),
            table: Arc::default(),
            slot: Slot::default(),
        }
    }

    /// What became of a job of an earlier process, by its id: asks the server for its calls, one
    /// after the other, and reads only. `requested_at` is when the job was sent, or earlier; by it
    /// a server proves that a call never existed.
    ///
    /// A job of this process is answered from the table, as `get_status` does, unless it was given
    /// up as `outcome_unknown`: then the server is asked anew. `in_progress` means
    /// that a call is up: ask again later. `outcome_unknown` means that nobody can say, or that the
    /// last call seen failed in a way that is dialled again and the next one cannot be ruled out.
    /// Ask some seconds after the crash at the earliest: what was requested just before it may not
    /// show so soon.
    ///
    /// # Errors
    /// `NotFound` when the server proves that it never took a call of this job; `InvalidState` when
    /// the plugin does not run; `NotConnected`, `Timeout` and their like when the server could not
    /// be asked.
    ///
    /// # Cancel safety
    /// Only reads.
    pub async fn recover(&self, job_id: &JobId, requested_at: Timestamp) -> Result<StatusResult> {
        let shared = self.slot.get("recover")?.shared;
        let known = self
            .table
            .get(job_id, shared.retention(), shared.clock.now());
        match known {
            Some(entry) if !entry.is_given_up() => Ok(entry.status()),
            _ => recover::recover(&shared, job_id, requested_at).await,
        }
    }

    fn entry(&self, operation: &'static str, job_id: &JobId) -> Result<(Arc<Shared>, Arc<Entry>)> {
        let shared = self.slot.get(operation)?.shared;
        let now = shared.clock.now();
        match self.table.get(job_id, shared.retention(), now) {
            Some(entry) => Ok((shared, entry)),
            None => Err(
                Error::new(ErrorKind::NotFound, operation, "no such fax job")
                    .with_job_id(job_id.clone()),
            ),
        }
    }

    fn spawn(running: &Running<Shared>, entry: Arc<Entry>) {
        let span = tracing::info_span!("job", job_id = %entry.id);
        let task = worker::run(Arc::clone(&running.shared), entry);
        running.tasks.spawn(Box::pin(task).instrument(span));
    }
}

pub(crate) fn manifest() -> Manifest {
    Manifest::new(
        PluginId::SIP_FAX,
        "Fax over SIP",
        &["outbound"],
        &[
            PluginCapability::SEND_FAX,
            PluginCapability::GET_STATUS,
            PluginCapability::CANCEL_FAX,
        ],
    )
    .with_version(env!("CARGO_PKG_VERSION"))
    .with_description("Sends faxes over any SIP server with an adapter that can fax")
}

/// Takes no webhooks.
impl WebhookHandler for SipFaxPlugin {}

#[async_trait]
impl Plugin for SipFaxPlugin {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn validate_config(&self, config: &Value) -> Result<(), ConfigErrors> {
        SipFaxConfig::validate(config)
    }

    async fn start(&self, config: Value, deps: PluginDeps) -> Result<()> {
        let config = SipFaxConfig::from_value(&config)?;
        check_start(&deps)?;
        if self.adapter.connection().state == ConnectionState::Connected
            && !self.adapter.capabilities().has(Capability::SendFax)
        {
            return Err(Error::new(
                ErrorKind::InvalidRequest,
                "start",
                "the sip adapter does not declare send_fax",
            ));
        }
        self.slot.begin(|| {
            let running = Running {
                shared: Arc::new(Shared {
                    adapter: Arc::clone(&self.adapter),
                    calls: Semaphore::new(config.max_calls),
                    conversions: Semaphore::new(config.max_conversions),
                    checks: Semaphore::new(worker::CHECKS),
                    config,
                    clock: deps.clock,
                    random: deps.random,
                    events: deps.events,
                    documents: deps.documents,
                    token: deps.tasks.token(),
                    table: Arc::clone(&self.table),
                    lines: Lines::default(),
                }),
                tasks: deps.tasks,
            };
            for entry in self.table.open() {
                running
                    .shared
                    .change(&entry, |state, now| state.job.taken_up(now));
                Self::spawn(&running, entry);
            }
            Ok(running)
        })
    }

    async fn stop(&self) -> Result<()> {
        let sweep = |shared: &Shared| {
            for entry in self.table.open() {
                shared.change(&entry, |state, now| {
                    state.call = None;
                    state.job.stopped(now);
                });
            }
        };
        if !self.slot.end(STOP_WITHIN, sweep).await {
            tracing::warn!("a fax request had no answer when the plugin stopped");
        }
        Ok(())
    }

    async fn health_check(&self) -> Result<PluginHealth> {
        let Some(running) = self.slot.running() else {
            return Ok(
                PluginHealth::new(PluginCondition::Unknown, Timestamp::now())
                    .with_message("not started"),
            );
        };
        let health = self.adapter.health_check().await?;
        let condition = match health.status {
            HealthStatus::Healthy => PluginCondition::Healthy,
            HealthStatus::Degraded => PluginCondition::Degraded,
            _ => PluginCondition::Critical,
        };
        let (open, finished) = self.table.counts();
        let at = running.shared.clock.timestamp();
        let detail = json!({"adapter": health, "jobs_open": open, "jobs_finished": finished});
        let can = self.adapter.capabilities().has(Capability::SendFax);
        let result = if health.connected && !can {
            PluginHealth::new(PluginCondition::Critical, at).with_message("the server cannot fax")
        } else if !health.connected {
            PluginHealth::new(condition, at).with_message("the server is not connected")
        } else {
            PluginHealth::new(condition, at)
        };
        Ok(result.with_detail(detail))
    }
}

#[async_trait]
impl FaxPlugin for SipFaxPlugin {
    /// Checks number, options and what is known of the document, takes the job, and answers.
    /// Conversion and calls follow: `get_status` tells of them.
    ///
    /// # Errors
    /// `InvalidRequest` for options out of range and for a deadline that has passed; `InvalidState`
    /// for a known job id, or when the plugin does not run; `Overloaded` when `max_jobs` wait or
    /// run; `Document` for an empty document, or one with an empty part, and for one above
    /// `max_bytes`, all parts in memory together; `Config` when the adapter cannot fax, or when there
    /// is no converter and the document is no file. What conversion finds ends the job as `FAILED`.
    ///
    /// # Cancel safety
    /// Decided at the first poll: a future that was polled has taken the job or answered an error.
    async fn send_fax(
        &self,
        to: FaxTarget,
        document: Document,
        options: SendOptions,
    ) -> Result<SendResult> {
        let running = self.slot.get("send_fax")?;
        let shared = &running.shared;
        let job_id = options.job_id.clone();
        let entry = new_entry(shared, to, document, &options)
            .map_err(|error| error.with_job_id(job_id.clone()))?;
        let entry = Arc::new(entry);
        self.slot.admit(&running, "send_fax", || {
            let now = shared.clock.now();
            self.table
                .insert(Arc::clone(&entry), shared.retention(), now)?;
            Self::spawn(&running, entry);
            Ok(())
        })?;
        Ok(SendResult::new(job_id, ID))
    }

    async fn get_status(&self, job_id: &JobId) -> Result<StatusResult> {
        let (_, entry) = self.entry("get_status", job_id)?;
        Ok(entry.status())
    }

    /// Cancels a job: one that waits is `cancelled` at once, a call that runs is hung up
    /// (`Requested`), one that is over is `TooLate`. A fax all of whose pages were confirmed before
    /// stays `SUCCESS`.
    ///
    /// # Errors
    /// `NotFound` for an unknown job; `InvalidState` when the plugin does not run; those of the
    /// adapter when it could not hang up: the job is then not dialled again, and goes on to the end
    /// of its call.
    ///
    /// # Cancel safety
    /// The job is not dialled again once the future was polled.
    async fn cancel_fax(&self, job_id: &JobId) -> Result<CancelOutcome> {
        let (shared, entry) = self.entry("cancel_fax", job_id)?;
        shared.cancel(&entry).await
    }
}

/// Everything about a fax that can be told before it is taken.
fn new_entry(
    shared: &Shared,
    to: FaxTarget,
    document: Document,
    options: &SendOptions,
) -> Result<Entry> {
    let now = shared.now();
    let config = &shared.config;
    let means = Means::of(shared.documents.as_deref(), shared.adapter.as_ref());
    let plan = Plan::new(options, config)?;
    let policy = plan.policy(options.retry.as_ref().unwrap_or(&config.retry), means)?;
    if options
        .deadline
        .is_some_and(|deadline| deadline <= now.wall)
    {
        return Err(Error::new(
            ErrorKind::InvalidRequest,
            "send_fax",
            "deadline: has passed",
        ));
    }
    check_document(&document, config.limits.bytes)?;
    if !means.converts && !matches!(document.source(), DocumentSource::Path(_)) {
        return Err(worker::no_converter());
    }
    if !shared.adapter.capabilities().has(Capability::SendFax) {
        return Err(Error::new(
            ErrorKind::Config,
            "send_fax",
            "the sip adapter does not declare send_fax",
        ));
    }
    let patience = Patience {
        server: config.server_patience,
        lookup: config.lookup_patience,
    };
    let job = FaxJob::new(
        (options.job_id.clone(), to),
        plan,
        policy,
        patience,
        means.converts,
        now,
    )
    .with_deadline(options.deadline, now)
    .with_chosen_id(options.job_id_is_chosen(), now);
    Ok(Entry::new(job, document))
}

impl fmt::Debug for SipFaxPlugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (open, finished) = self.table.counts();
        f.debug_struct("SipFaxPlugin")
            .field("adapter", &self.adapter.kind())
            .field("running", &self.slot.running().is_some())
            .field("jobs_open", &open)
            .field("jobs_finished", &finished)
            .finish_non_exhaustive()
    }
}
