//! The fax role.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Error, Result, Timestamp,
    address::FaxTarget,
    document::{Document, Resolution},
    fax::{
        Attempt, FaxOutcome, FaxProgress, FaxRetryPolicy, HeaderText, JobStatus, StationId, T38Mode,
    },
    id::JobId,
    plugin::{InboundFax, InboundQuery, Page, Plugin},
    redact,
};

/// Sends faxes, and may receive them.
///
/// # Contract
/// - A job has one id, chosen by the caller or at random, and one line: its calls follow each
///   other. The same id again is `InvalidState`, whatever became of the first, as long as the
///   plugin knows the job. A new process that sends under an id that the caller chose
///   ([`SendOptions::job_id_is_chosen`]) asks its server first what became of the calls of an
///   earlier one, as far as the server can tell: so a caller that crashed sends again under the
///   same id.
/// - Width, resolution and page count are read from the converted file before anything is dialled
///   or uploaded. A document that cannot be faxed is an error of kind `Document`, and nothing was
///   sent.
/// - A request that was written and not answered is `OutcomeUnknown`; it is never sent again, and
///   never sent over another route.
///
/// # Events and truth
/// The status of a job is what [`get_status`](Self::get_status) says. Events tell of changes and
/// may be lost; callbacks of a provider may come late, twice, in any order or never, and final
/// states absorb them ([`JobStatus::advance`]).
///
/// # Cancellation
/// Dropping the future of [`send_fax`](Self::send_fax) does not cancel the fax;
/// [`cancel_fax`](Self::cancel_fax) does.
///
/// # Wrappers
/// Forward every method, the provided ones too.
#[async_trait]
pub trait FaxPlugin: Plugin {
    /// Takes a fax. Resolves when the job is stored, and before it is dialled or uploaded to its
    /// end; [`get_status`](Self::get_status) follows it. Capability `send_fax`.
    ///
    /// A second call with the same `job_id` is `InvalidState` and sends nothing.
    ///
    /// # Errors
    /// `InvalidRequest` for options that cannot be carried; `Document` with its reason;
    /// `InvalidState` for a known job id, or when the plugin does not run; `Overloaded` when its
    /// queue is full; `OutcomeUnknown` with the job id when the provider did not answer.
    ///
    /// # Cancel safety
    /// Dropping the future before it resolves leaves the job either not taken or taken:
    /// [`get_status`](Self::get_status) by the id in `options` tells.
    async fn send_fax(
        &self,
        to: FaxTarget,
        document: Document,
        options: SendOptions,
    ) -> Result<SendResult>;

    /// What is known of a job. Capability `get_status`. Asking again is free of effects.
    ///
    /// # Errors
    /// `NotFound` for an unknown job; a job that failed is no error.
    ///
    /// # Cancel safety
    /// Only reads.
    async fn get_status(&self, job_id: &JobId) -> Result<StatusResult>;

    /// Cancels a job: a waiting one is not dialled, a running one is hung up or recalled.
    /// Capability `cancel_fax`; a plugin without it answers [`CancelOutcome::Unsupported`].
    ///
    /// A second call on a cancelled job answers [`CancelOutcome::Cancelled`] again.
    ///
    /// # Errors
    /// `NotFound` for an unknown job; `OutcomeUnknown` when the request was not answered.
    ///
    /// # Cancel safety
    /// A request that was written is not undone by dropping the future.
    async fn cancel_fax(&self, job_id: &JobId) -> Result<CancelOutcome> {
        let _ = job_id;
        Ok(CancelOutcome::Unsupported)
    }

    /// Received faxes, newest first. Capability `list_inbound`. Asking again is free of effects.
    ///
    /// # Errors
    /// `Unsupported` without the capability; `InvalidRequest` for a cursor that is not ours.
    ///
    /// # Cancel safety
    /// Only reads.
    async fn list_inbound(&self, query: InboundQuery) -> Result<Page<InboundFax>> {
        let _ = query;
        Err(Error::unsupported("list_inbound"))
    }

    /// The pages of a received fax, by [`InboundFax::id`]. Capability `get_inbound`. Asking again
    /// fetches again.
    ///
    /// # Errors
    /// `Unsupported` without the capability; `NotFound`; `Document` for pages that arrived
    /// damaged, never an empty document in their place.
    ///
    /// # Cancel safety
    /// Only reads.
    async fn get_inbound(&self, id: &str) -> Result<Document> {
        let _ = id;
        Err(Error::unsupported("get_inbound"))
    }
}

/// How a fax is sent. What is absent comes from the plugin's configuration, and then from the
/// defaults of [`FaxRequest`](crate::fax::FaxRequest).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SendOptions {
    /// Chosen by the caller; random by default.
    pub job_id: JobId,
    /// What `new` drew: any other id is the caller's own choice.
    drawn: Option<JobId>,
    /// Our station id (TSI).
    pub station_id: Option<StationId>,
    /// The text of the header line.
    pub header: Option<HeaderText>,
    /// Vertical resolution that the document is converted to. A document that is a fax TIFF already
    /// keeps its own, unless a retry needs standard resolution: the far end takes no other, or the
    /// line no more.
    pub resolution: Option<Resolution>,
    /// Error correction.
    pub ecm: Option<bool>,
    /// The highest bit rate that is offered, in bit/s.
    pub max_rate: Option<u32>,
    /// Which transport is used.
    pub t38: Option<T38Mode>,
    /// How long it may ring.
    pub ring_timeout: Option<Duration>,
    /// How long one whole call may take.
    pub timeout: Option<Duration>,
    /// When it is dialled again.
    pub retry: Option<FaxRetryPolicy>,
    /// After this time no call is begun; one that runs goes on to its end.
    pub deadline: Option<Timestamp>,
}

impl SendOptions {
    /// A random job id, and nothing else chosen.
    #[expect(
        clippy::new_without_default,
        reason = "each call gives another id: a default would hide that"
    )]
    pub fn new() -> Self {
        let job_id = JobId::new();
        Self {
            drawn: Some(job_id.clone()),
            ..Self::with_job_id(job_id)
        }
    }

    /// This job id, and nothing else chosen.
    pub fn with_job_id(job_id: JobId) -> Self {
        Self {
            job_id,
            drawn: None,
            station_id: None,
            header: None,
            resolution: None,
            ecm: None,
            max_rate: None,
            t38: None,
            ring_timeout: None,
            timeout: None,
            retry: None,
            deadline: None,
        }
    }

    /// Whether the caller chose the job id, so that an earlier process may have sent under it.
    pub fn job_id_is_chosen(&self) -> bool {
        self.drawn.as_ref() != Some(&self.job_id)
    }

    /// Sets our station id.
    #[must_use]
    pub fn with_station_id(mut self, station_id: StationId) -> Self {
        self.station_id = Some(station_id);
        self
    }

    /// Sets the text of the header line.
    #[must_use]
    pub fn with_header(mut self, header: HeaderText) -> Self {
        self.header = Some(header);
        self
    }

    /// Sets the vertical resolution.
    #[must_use]
    pub fn with_resolution(mut self, resolution: Resolution) -> Self {
        self.resolution = Some(resolution);
        self
    }

    /// Sets error correction.
    #[must_use]
    pub fn with_ecm(mut self, ecm: bool) -> Self {
        self.ecm = Some(ecm);
        self
    }

    /// Sets the highest bit rate, in bit/s.
    #[must_use]
    pub fn with_max_rate(mut self, max_rate: u32) -> Self {
        self.max_rate = Some(max_rate);
        self
    }

    /// Sets the transport.
    #[must_use]
    pub fn with_t38(mut self, t38: T38Mode) -> Self {
        self.t38 = Some(t38);
        self
    }

    /// Sets how long it may ring.
    #[must_use]
    pub fn with_ring_timeout(mut self, timeout: Duration) -> Self {
        self.ring_timeout = Some(timeout);
        self
    }

    /// Sets how long one whole call may take.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sets when it is dialled again.
    #[must_use]
    pub fn with_retry(mut self, retry: FaxRetryPolicy) -> Self {
        self.retry = Some(retry);
        self
    }

    /// Sets the time after which no call is begun.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Timestamp) -> Self {
        self.deadline = Some(deadline);
        self
    }
}

/// A job that was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SendResult {
    /// The job.
    pub job_id: JobId,
    /// The id of the plugin.
    pub backend: String,
    /// The provider's own id of the fax.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_sid: Option<String>,
}

impl SendResult {
    /// A job that the plugin `backend` took.
    pub fn new(job_id: JobId, backend: impl Into<String>) -> Self {
        Self {
            job_id,
            backend: backend.into(),
            provider_sid: None,
        }
    }

    /// Sets the provider's own id.
    #[must_use]
    pub fn with_provider_sid(mut self, sid: impl Into<String>) -> Self {
        self.provider_sid = Some(sid.into());
        self
    }
}

/// What is known of a job. `Debug` leaves the raw answer out.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StatusResult {
    /// The job.
    pub job_id: JobId,
    /// Where it is.
    pub status: JobStatus,
    /// Pages of the document that the far end confirmed, over all calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pages: Option<u32>,
    /// Why it failed, without personal data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The provider's last answer. It may hold personal data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw_response: Option<Value>,
    /// The same and more, typed.
    #[serde(default)]
    pub detail: StatusDetail,
}

impl StatusResult {
    /// A job of which only the status is known.
    pub fn new(job_id: JobId, status: JobStatus) -> Self {
        Self {
            job_id,
            status,
            pages: None,
            error: None,
            raw_response: None,
            detail: StatusDetail::default(),
        }
    }
}

impl fmt::Debug for StatusResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StatusResult")
            .field("job_id", &self.job_id)
            .field("status", &self.status)
            .field("pages", &self.pages)
            .field("error", &self.error)
            .field("detail", &self.detail)
            .finish_non_exhaustive()
    }
}

/// The typed part of a [`StatusResult`]. `Debug` shows the provider's word only where it looks like
/// one ([`redact::code`]).
#[derive(Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct StatusDetail {
    /// How the last call that ended came out, with the pages of the whole document.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<FaxOutcome>,
    /// How far the running call is, by the pages of the whole document.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<FaxProgress>,
    /// The calls so far. Each has its first page, and counts its own pages.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<Attempt>,
    /// When the next call is due, while the job waits for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_dial: Option<Timestamp>,
    /// The provider's last word, where it has no meaning here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider_status: Option<String>,
    /// The provider's own id of the fax, once it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider_sid: Option<String>,
}

impl fmt::Debug for StatusDetail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let provider_status = self.provider_status.as_deref().map(redact::code);
        f.debug_struct("StatusDetail")
            .field("outcome", &self.outcome)
            .field("progress", &self.progress)
            .field("attempts", &self.attempts)
            .field("next_dial", &self.next_dial)
            .field("provider_status", &provider_status)
            .field("provider_sid", &self.provider_sid)
            .finish()
    }
}

/// What came of a cancellation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CancelOutcome {
    /// It is cancelled.
    Cancelled,
    /// It was asked for; the status will tell.
    Requested,
    /// The job is over.
    TooLate,
    /// This plugin, or this provider for this job, cannot cancel.
    Unsupported,
}
