//! [`CloudFaxPlugin`]: a [`FaxPlugin`] over a vendor's HTTP interface, whose wire and words a
//! [`FaxProvider`] brings.
//!
//! A fax becomes a job: its document is prepared, it is submitted once, and it is followed, by
//! polling and by webhooks, until it is `SUCCESS`, `FAILED`, `cancelled` or `outcome_unknown`.
//!
//! ```no_run
//! use std::{sync::Arc, time::Duration};
//!
//! use faxbot_core::{
//!     Result,
//!     document::Document,
//!     http::HttpClient,
//!     plugin::{FaxPlugin, Plugin, PluginDeps, SendOptions},
//! };
//! use faxbot_providers::cloud::{FaxProvider, fax::CloudFaxPlugin};
//! use serde_json::Value;
//!
//! async fn send<P: FaxProvider>(config: Value, http: Arc<dyn HttpClient>) -> Result<()> {
//!     let plugin = CloudFaxPlugin::<P>::new();
//!     // `with_documents` adds a converter, `with_webhooks` the host's router, and `with_dedupe`,
//!     // `with_inbound` and `with_dead_letters` stores that outlive the process.
//!     plugin.start(config, PluginDeps::current()?.with_http(http)).await?;
//!     let to = "+493012345678".parse()?;
//!     let sent = plugin.send_fax(to, Document::path("letter.pdf"), SendOptions::new()).await?;
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
//! A vendor's interface has no send that may be repeated, so a submission is repeated only after the
//! proof that the first one had no effect: nothing was written, or the vendor refused it. A
//! submission without an answer is looked for by our label (the job id, which goes along with it)
//! until it is found or `lookup_patience` ends: then the job is `outcome_unknown`. A webhook with our
//! label, a start after a stop, or [`CloudFaxPlugin::recover`] still resolves it.
//!
//! What the vendor took is never submitted again: the vendor dials again by itself, and
//! [`SendOptions::retry`] means its dials where the provider can carry it.
//!
//! # Following
//! The vendor is asked every `poll_min`, doubling to `poll_max`; a webhook is applied at once and has
//! the vendor asked soon. So a job never depends on a webhook. An error of a question changes nothing. A
//! fax that is not over after `job_patience` is `outcome_unknown`. From the vendor's yes to its end a
//! job is `in_progress`, whatever the vendor calls it meanwhile; a word that has no meaning here is
//! kept in `detail.provider_status`.
//!
//! A webhook that proves too little (no signature) is believed in nothing: what it tells of is fetched
//! from the vendor.
//!
//! # Documents
//! With a converter every document is converted before it is uploaded: its pages are counted, and what
//! is damaged or needs a password is found out here. A PDF is then uploaded as it is, unless
//! `upload` is `pages`; everything else as the fax pages that the converter made. Without a
//! converter a PDF (its pages are not counted) and a TIFF are uploaded as they are, and nothing else
//! can be sent. A URL is given to the vendor, where that fetches documents.
//!
//! At most `max_uploads` documents are read, converted and uploaded at one time; others stay where
//! they are. A document in memory stays there until the vendor has it.
//!
//! # Job ids
//! While a job is known (until `retention` after its end) its id is refused for another fax. A fax
//! under an id that the caller chose ([`SendOptions::with_job_id`]) is not submitted before the vendor
//! was asked for one of an earlier process, `lookup_window` back: what it has is adopted, and nothing
//! is sent. A vendor that does not answer is waited for; when `server_patience` or the deadline ends
//! that, the job is `outcome_unknown`, because an earlier process may have sent it. Random ids skip all
//! this.
//!
//! An id is one fax, whatever came of it: one that failed is adopted as failed, and another try needs
//! another id. Lists of vendors lag by some seconds, and a question is no lock: send again under the same
//! id a minute after a crash at the earliest, and never from two processes at one time.
//!
//! # Stop
//! [`stop`](Plugin::stop) cancels nothing: the vendor goes on with what it has. Open jobs are kept, and
//! a start of the same plugin takes them up; it also looks again for those that nobody could say
//! anything of.
//!
//! # For a vendor of your own
//! Besides the [`FaxProvider`] trait there is what each vendor needs again: [`phone_number`] and
//! [`refuse_options_of_a_call`] for `prepare`, [`is_labelled`] and [`fax_of_job`] for `find`,
//! [`PageCursor`] for `list_inbound`, [`received_file`] for `inbound`, and
//! [`lenient`](crate::cloud::lenient) for what vendors write loosely.

mod config;
mod cursor;
mod document;
mod health;
mod hooks;
mod job;
mod label;
mod options;
mod phaxio_error;
mod provider;
mod received;
mod recover;
mod table;
mod verdict;
mod worker;

use std::{fmt, marker::PhantomData, sync::Arc, time::Duration};

use async_trait::async_trait;
use faxbot_core::{
    Error, ErrorKind, Result, Timestamp,
    address::FaxTarget,
    config::ConfigErrors,
    document::Document,
    id::JobId,
    plugin::{
        CancelOutcome, FaxPlugin, InboundFax, InboundQuery, Manifest, Page, Plugin,
        PluginCapability, PluginCondition, PluginDeps, PluginHealth, SendOptions, SendResult,
        StatusResult,
    },
    webhook::{WebhookHandler, WebhookReply, WebhookRequest},
};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tracing::Instrument;

pub use config::{FIELDS, FaxSettings, UploadMode};
pub use cursor::PageCursor;
pub use label::{fax_of_job, is_labelled};
pub use options::{phone_number, refuse_options_of_a_call, refused};
pub use phaxio_error::PhaxioError;
pub use provider::{
    FaxLimits, FaxNotice, FaxProvider, FaxReport, Submission, Submitted, Upload, UploadFormat,
};
pub use received::received_file;

use crate::{
    cloud::{
        settings,
        start::{self, OwnStores},
        webhook::{self, WebhookDesk},
    },
    jobs::{Running, Slot, Table, check_start},
};
use health::Health;
use job::{FaxJob, Patience};
use table::Entry;
use worker::Shared;

/// How long a stop waits for requests that have no answer so far.
const STOP_WITHIN: Duration = Duration::from_secs(30);

/// Sends and receives faxes by one vendor. See the [module](self).
pub struct CloudFaxPlugin<P: FaxProvider> {
    manifest: Manifest,
    /// Outlives a stop: its ids stay refused, and a start takes up what is open.
    table: Arc<Table<Entry>>,
    slot: Slot<Shared<P>>,
    stores: OwnStores,
    provider: PhantomData<fn() -> P>,
}

impl<P: FaxProvider> Default for CloudFaxPlugin<P> {
    fn default() -> Self {
        Self::new()
    }
}

impl<P: FaxProvider> CloudFaxPlugin<P> {
    /// A plugin that is not started.
    pub fn new() -> Self {
        Self {
            manifest: P::manifest(),
            table: Arc::default(),
            slot: Slot::default(),
            stores: OwnStores::default(),
            provider: PhantomData,
        }
    }

    /// What became of a job of an earlier process, by its id: asks the vendor for the fax with our
    /// label, `lookup_window` back, and reads only.
    ///
    /// A job of this process is answered from the table, as `get_status` does, unless it was given
    /// up as `outcome_unknown`: then the vendor is asked anew, and what it says is noted.
    ///
    /// # Errors
    /// `NotFound` when the vendor lists no such fax: its lists lag by some seconds, so ask a minute
    /// after a crash at the earliest; `InvalidState` when the plugin does not run; those of the
    /// client when the vendor could not be asked.
    ///
    /// # Cancel safety
    /// Only reads.
    pub async fn recover(&self, job_id: &JobId) -> Result<StatusResult> {
        let shared = self.slot.get("recover")?.shared;
        recover::recover(&shared, job_id)
            .await
            .map_err(|error| error.with_operation("recover").with_job_id(job_id.clone()))
    }

    /// Deletes the document of a job at the vendor; the vendor's record of the fax stays. Also for a
    /// job of an earlier process. Again has no effect, or is the vendor's `NotFound`.
    ///
    /// # Errors
    /// `Unsupported` where the vendor cannot; `InvalidState` for a job that is not over, or when the
    /// plugin does not run; `NotFound` for a job that the vendor does not have; those of the client.
    ///
    /// # Cancel safety
    /// A request that was written is not undone.
    pub async fn delete_file(&self, job_id: &JobId) -> Result<()> {
        let shared = self.slot.get("delete_file")?.shared;
        recover::delete_file(&shared, job_id)
            .await
            .map_err(|error| {
                error
                    .with_operation("delete_file")
                    .with_job_id(job_id.clone())
            })
    }

    fn can(&self, capability: &PluginCapability) -> bool {
        self.manifest.can(capability)
    }

    /// The running plugin, for a capability that the manifest names.
    fn able(
        &self,
        capability: &PluginCapability,
        operation: &'static str,
    ) -> Result<Running<Shared<P>>> {
        if self.can(capability) {
            self.slot.get(operation)
        } else {
            Err(Error::unsupported(operation))
        }
    }

    fn entry(
        &self,
        operation: &'static str,
        job_id: &JobId,
    ) -> Result<(Arc<Shared<P>>, Arc<Entry>)> {
        let shared = self.slot.get(operation)?.shared;
        match shared.job(job_id) {
            Some(entry) => Ok((shared, entry)),
            None => Err(
                Error::new(ErrorKind::NotFound, operation, "no such fax job")
                    .with_job_id(job_id.clone()),
            ),
        }
    }

    fn spawn(running: &Running<Shared<P>>, entry: Arc<Entry>) {
        let span = tracing::info_span!("job", job_id = %entry.id);
        let task = worker::run(Arc::clone(&running.shared), entry);
        running.tasks.spawn(Box::pin(task).instrument(span));
    }

    fn run(
        &self,
        config: &Value,
        settings: FaxSettings,
        deps: PluginDeps,
    ) -> Result<Running<Shared<P>>> {
        let (configured, path) = (settings.webhook_url.as_ref(), P::webhook_path(config));
        let context = start::context(&self.manifest, configured, path, &deps)?;
        let url = context.webhook_url.clone();
        let stores = self.stores.or_of(&deps);
        let backend = self.manifest.id.clone();
        let shared = Arc::new(Shared {
            provider: P::build(config, context)?,
            uploads: Semaphore::new(settings.max_uploads),
            questions: Semaphore::new(worker::QUESTIONS),
            polls: Semaphore::new(worker::POLLS),
            inbound: Arc::clone(&stores.inbound),
            desk: WebhookDesk::new(
                backend.clone(),
                url,
                stores,
                Arc::clone(&deps.clock),
                deps.events.clone(),
            ),
            backend,
            settings,
            clock: deps.clock,
            random: deps.random,
            events: deps.events,
            documents: deps.documents,
            token: deps.tasks.token(),
            table: Arc::clone(&self.table),
            health: Health::default(),
        });
        let running = Running {
            shared,
            tasks: deps.tasks,
        };
        let open = self.table.open().into_iter();
        for entry in open.chain(self.table.all(Entry::is_given_up)) {
            let shared = &running.shared;
            shared.change(&entry, None, |state, now| state.job.taken_up(now));
            Self::spawn(&running, entry);
        }
        Ok(running)
    }
}

#[async_trait]
impl<P: FaxProvider> WebhookHandler for CloudFaxPlugin<P> {
    /// Proves the request before anything is parsed, reads it, and applies it, each notice once: what
    /// proves too little is fetched from the vendor first, a received fax is stored whole before the
    /// answer. What fails on the way is answered with 503, so that the vendor sends it again.
    ///
    /// # Errors
    /// `Unsupported` for a vendor without webhooks; `InvalidState` when the plugin does not run.
    ///
    /// # Cancel safety
    /// Dropping the future does not undo what was begun; the repetition finds it done or under way.
    async fn handle_webhook(&self, request: WebhookRequest) -> Result<WebhookReply> {
        let running = self.able(&PluginCapability::HANDLE_WEBHOOK, "handle_webhook")?;
        webhook::handle(&running.shared, &running.tasks, request).await
    }
}

#[async_trait]
impl<P: FaxProvider> Plugin for CloudFaxPlugin<P> {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn validate_config(&self, config: &Value) -> Result<(), ConfigErrors> {
        let config = settings::object(config);
        settings::validate(&P::FIELDS, &config, P::validate(&config))
    }

    async fn start(&self, config: Value, deps: PluginDeps) -> Result<()> {
        let config = settings::object(&config);
        self.validate_config(&config)?;
        let settings = FaxSettings::from_value(&P::FIELDS, &config)?;
        check_start(&deps)?;
        self.slot.begin(|| self.run(&config, settings, deps))
    }

    async fn stop(&self) -> Result<()> {
        let sweep = |shared: &Shared<P>| {
            for entry in self.table.open() {
                shared.change(&entry, None, |state, now| state.job.stopped(now));
            }
        };
        if !self.slot.end(STOP_WITHIN, sweep).await {
            tracing::warn!("a request to the provider had no answer when the plugin stopped");
        }
        Ok(())
    }

    async fn health_check(&self) -> Result<PluginHealth> {
        let Some(Running { shared, .. }) = self.slot.running() else {
            return Ok(
                PluginHealth::new(PluginCondition::Unknown, Timestamp::now())
                    .with_message("not started"),
            );
        };
        let seen = shared.health.seen();
        let (condition, message) = seen.condition();
        let (open, finished) = self.table.counts();
        let health = PluginHealth::new(condition, shared.clock.timestamp()).with_detail(json!({
            "jobs_open": open,
            "jobs_finished": finished,
            "last_answer": seen.answered,
            "faults_since": seen.faults,
            "webhooks": shared.desk.has_url(),
        }));
        Ok(match message {
            Some(message) => health.with_message(message),
            None => health,
        })
    }
}

#[async_trait]
impl<P: FaxProvider> FaxPlugin for CloudFaxPlugin<P> {
    /// Checks number, options and what is known of the document, takes the job, and answers. The
    /// document is read, converted and uploaded afterwards: `get_status` tells of that.
    ///
    /// # Errors
    /// `InvalidRequest` for options that the vendor cannot carry, for a URL that it may not be given,
    /// and for a deadline that has passed; `InvalidState` for a known job id, or when the plugin does
    /// not run; `Overloaded` when `max_jobs` wait or run; `Document` for an empty document, for one
    /// above the limits, and for one that needs a converter where there is none. What is found out
    /// later ends the job as `FAILED`.
    ///
    /// # Cancel safety
    /// Decided at the first poll: a future that was polled has taken the job or answered an error.
    async fn send_fax(
        &self,
        to: FaxTarget,
        document: Document,
        options: SendOptions,
    ) -> Result<SendResult> {
        let running = self.able(&PluginCapability::SEND_FAX, "send_fax")?;
        let shared = &running.shared;
        let job_id = options.job_id.clone();
        let entry = new_entry(shared, to, document, options)
            .map_err(|error| error.with_job_id(job_id.clone()))?;
        let entry = Arc::new(entry);
        self.slot.admit(&running, "send_fax", || {
            let now = shared.clock.now();
            self.table
                .insert(Arc::clone(&entry), shared.retention(), now)?;
            Self::spawn(&running, entry);
            Ok(())
        })?;
        Ok(SendResult::new(job_id, self.manifest.id.as_str()))
    }

    async fn get_status(&self, job_id: &JobId) -> Result<StatusResult> {
        let (_, entry) = self.entry("get_status", job_id)?;
        Ok(entry.status())
    }

    /// Cancels a job: one that was not submitted is `cancelled` at once; one whose submission is under
    /// way is cancelled at the vendor when that has it (`Requested`); one that the vendor has is
    /// cancelled there, and the status tells what came of it.
    ///
    /// # Errors
    /// `NotFound` for an unknown job; `InvalidState` when the plugin does not run; those of the client.
    ///
    /// # Cancel safety
    /// A job that was not submitted is not submitted once the future was polled. A request that was
    /// written is not undone.
    async fn cancel_fax(&self, job_id: &JobId) -> Result<CancelOutcome> {
        if !self.can(&PluginCapability::CANCEL_FAX) {
            return Ok(CancelOutcome::Unsupported);
        }
        let (shared, entry) = self.entry("cancel_fax", job_id)?;
        shared.cancel(&entry).await
    }

    async fn list_inbound(&self, query: InboundQuery) -> Result<Page<InboundFax>> {
        let running = self.able(&PluginCapability::LIST_INBOUND, "list_inbound")?;
        let shared = &running.shared;
        let page = shared.ask(shared.provider.list_inbound(&query)).await?;
        Ok(page.map(|mut fax| {
            self.manifest.id.as_str().clone_into(&mut fax.backend);
            fax
        }))
    }

    /// The pages of a received fax: stored ones, else fetched from the vendor.
    async fn get_inbound(&self, id: &str) -> Result<Document> {
        let running = self.able(&PluginCapability::GET_INBOUND, "get_inbound")?;
        let shared = &running.shared;
        let stored = shared.inbound.fax(self.manifest.id.as_str(), id).await?;
        let (_, file) = match stored {
            Some(stored) => stored,
            None => shared.fetch_inbound(id).await?,
        };
        Ok(Document::bytes(file.bytes))
    }
}

/// Everything about a fax that can be told before it is taken.
fn new_entry<P: FaxProvider>(
    shared: &Shared<P>,
    to: FaxTarget,
    document: Document,
    options: SendOptions,
) -> Result<Entry> {
    let now = shared.now();
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
    let number = shared.provider.prepare(&to, &options)?;
    shared.preparation(&options).check(&document)?;
    let patience = Patience {
        server: shared.settings.server_patience,
        lookup: shared.settings.lookup_patience,
        job: shared.settings.job_patience,
        poll: shared.settings.poll,
    };
    let id = (options.job_id.clone(), to);
    let job = FaxJob::new(id, patience, options.job_id_is_chosen(), now)
        .with_deadline(options.deadline, now);
    Ok(Entry::new(job, number, document, options))
}

impl<P: FaxProvider> fmt::Debug for CloudFaxPlugin<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (open, finished) = self.table.counts();
        f.debug_struct("CloudFaxPlugin")
            .field("id", &self.manifest.id)
            .field("running", &self.slot.running().is_some())
            .field("jobs_open", &open)
            .field("jobs_finished", &finished)
            .finish_non_exhaustive()
    }
}
