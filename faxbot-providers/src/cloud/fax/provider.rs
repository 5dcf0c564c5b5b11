//! What differs from one fax vendor to the next.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use faxbot_core::{
    Error, Private, Result, Timestamp,
    address::FaxTarget,
    config::{ConfigErrors, FieldTable},
    fax::{FaxOutcome, FaxProgress, JobStatus},
    id::JobId,
    plugin::{CancelOutcome, InboundFax, InboundQuery, Manifest, Page, SendOptions},
    redact,
    webhook::{Authenticity, InboundFile, WebhookPath, WebhookReply, WebhookRequest},
};
use serde_json::Value;
use url::Url;

use crate::cloud::ProviderContext;

/// One vendor: its wire and its words. [`CloudFaxPlugin`](super::CloudFaxPlugin) does the rest: jobs,
/// waiting, polling, retries that are safe, reconciliation, webhooks, stores, events.
///
/// # Contract
/// - What has an effect sends one request at most, by the [`ApiClient`](faxbot_core::http::ApiClient)
///   that `build` made; the client repeats it only where that is certainly harmless. What only reads
///   may need several: a list has pages, a received fax a record and a file.
/// - An error's effect is the truth about the vendor: `NoEffect` only for what the vendor certainly did
///   not take (not sent, or refused with 400, 401, 402, 403, 404, 413, 415, 422, 429).
/// - A word of the vendor that is not known is [`JobStatus::Other`], and decodes.
#[async_trait]
pub trait FaxProvider: Send + Sync + fmt::Debug + Sized + 'static {
    /// Every field of the configuration: the vendor's own and those of
    /// [`cloud_fields!`](crate::cloud::cloud_fields), in one table.
    const FIELDS: FieldTable;

    /// How its webhooks prove where they come from, unless the configuration says otherwise.
    const WEBHOOK_PATH: WebhookPath;

    /// Who it is and what it can do.
    fn manifest() -> Manifest;

    /// Checks a configuration: the table, and rules between fields.
    ///
    /// # Errors
    /// Every problem at once.
    fn validate(config: &Value) -> Result<(), ConfigErrors>;

    /// How webhooks prove where they come from with this configuration, which is valid:
    /// [`WEBHOOK_PATH`](Self::WEBHOOK_PATH).
    fn webhook_path(config: &Value) -> WebhookPath {
        let _ = config;
        Self::WEBHOOK_PATH
    }

    /// Makes the vendor's client from a configuration. Opens nothing.
    ///
    /// # Errors
    /// `Config` with every problem.
    fn build(config: &Value, context: ProviderContext) -> Result<Self>;

    /// What may be sent.
    fn limits(&self) -> FaxLimits;

    /// Checks what the vendor can carry of these options, and writes the number as the vendor wants it.
    ///
    /// # Errors
    /// `InvalidRequest` for what cannot be carried; no option is ignored.
    fn prepare(&self, to: &FaxTarget, options: &SendOptions) -> Result<Private>;

    /// Asks the vendor to send. The job id goes along as a label, by which [`find`](Self::find) finds it.
    ///
    /// # Errors
    /// By effect, see the trait's contract.
    ///
    /// # Cancel safety
    /// A request that was written is not undone.
    async fn submit(&self, fax: &Submission) -> Result<Submitted>;

    /// What the vendor says of a fax, by its own id.
    ///
    /// # Errors
    /// `NotFound` and those of the client.
    ///
    /// # Cancel safety
    /// Only reads.
    async fn status(&self, sid: &str) -> Result<FaxReport>;

    /// The fax that was submitted under this job id at `since` or later. `to` is the number as
    /// [`prepare`](Self::prepare) wrote it, where it is known: a list that is long without it may be
    /// narrowed by it, but not so that a vendor that writes numbers in another form hides our own fax.
    ///
    /// `None` is no proof that there is none (lists lag), and yet a fax is sent on it: what was not
    /// searched to its end, or could not be read, is an error.
    ///
    /// # Errors
    /// Those of the client; `Protocol` where the list cannot be searched to its end.
    ///
    /// # Cancel safety
    /// Only reads.
    async fn find(
        &self,
        job: &JobId,
        to: Option<&Private>,
        since: Timestamp,
    ) -> Result<Option<FaxReport>>;

    /// Cancels a fax that the vendor has.
    ///
    /// # Errors
    /// Those of the client.
    ///
    /// # Cancel safety
    /// A request that was written is not undone.
    async fn cancel(&self, sid: &str) -> Result<CancelOutcome> {
        let _ = sid;
        Ok(CancelOutcome::Unsupported)
    }

    /// Deletes the document at the vendor; its record stays.
    ///
    /// # Errors
    /// `Unsupported` where the vendor cannot; those of the client.
    ///
    /// # Cancel safety
    /// A request that was written is not undone.
    async fn delete_file(&self, sid: &str) -> Result<()> {
        let _ = sid;
        Err(Error::unsupported("delete_file"))
    }

    /// Received faxes, newest first.
    ///
    /// # Errors
    /// Those of the client.
    ///
    /// # Cancel safety
    /// Only reads.
    async fn list_inbound(&self, query: &InboundQuery) -> Result<Page<InboundFax>> {
        let _ = query;
        Err(Error::unsupported("list_inbound"))
    }

    /// A received fax by the vendor's id, with its pages. Fetched from the vendor's own host, never
    /// from an address that somebody sent.
    ///
    /// # Errors
    /// `NotFound`; `Document` for pages that did not come whole; those of the client.
    ///
    /// # Cancel safety
    /// Only reads.
    async fn inbound(&self, sid: &str) -> Result<(InboundFax, InboundFile)> {
        let _ = sid;
        Err(Error::unsupported("get_inbound"))
    }

    /// What proves that a request came from the vendor; `None` refuses it with 401. `url` is the public
    /// URL that the vendor was given. Runs before anything is parsed; `now` is for signatures with a
    /// time. For vendors that sign nothing, the secret in the path was checked by the router.
    ///
    /// # Cancel safety
    /// Has no effect.
    async fn verify(
        &self,
        request: &WebhookRequest,
        url: &Url,
        now: Timestamp,
    ) -> Option<Authenticity>;

    /// What a verified request tells.
    ///
    /// # Errors
    /// `Protocol` for what cannot be read: it goes to the dead letters.
    ///
    /// # Cancel safety
    /// Has no effect.
    async fn read_webhook(&self, request: &WebhookRequest) -> Result<Vec<FaxNotice>>;

    /// The vendor's favourite answer.
    fn reply(&self) -> WebhookReply {
        WebhookReply::received()
    }
}

/// What a vendor takes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FaxLimits {
    /// Bytes of the document.
    pub bytes: u64,
    /// Pages, where the vendor has a limit.
    pub pages: Option<u32>,
    /// Whether the vendor fetches documents by URL.
    pub urls: bool,
}

impl FaxLimits {
    /// A limit of bytes, none of pages, no URLs.
    pub const fn new(bytes: u64) -> Self {
        Self {
            bytes,
            pages: None,
            urls: false,
        }
    }
}

/// A document as it is uploaded. `Debug` shows type and length.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Upload {
    /// A PDF or a fax TIFF.
    #[non_exhaustive]
    File {
        /// What it is.
        format: UploadFormat,
        /// The bytes.
        bytes: Bytes,
        /// Its pages, where they were counted.
        pages: Option<u32>,
    },
    /// The vendor fetches it.
    Url(Url),
}

/// The formats that are uploaded; whatever else there is gets converted to fax pages first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum UploadFormat {
    /// PDF.
    Pdf,
    /// TIFF with fax pages.
    Tiff,
}

impl UploadFormat {
    /// The media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Pdf => "application/pdf",
            Self::Tiff => "image/tiff",
        }
    }

    /// A file name that says nothing about the document.
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Pdf => "fax.pdf",
            Self::Tiff => "fax.tif",
        }
    }
}

impl Upload {
    /// Time for a request that brings it along: 3 minutes, and more for a long one, up to 13. An upload
    /// that is cut off may have been taken, so that a slow line must not make every long fax an
    /// unknown one.
    pub fn timeout(&self) -> Duration {
        /// Half a megabit a second.
        const BYTES_A_SECOND: u64 = 64 * 1024;
        let bytes = match self {
            Self::File { bytes, .. } => u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            Self::Url(_) => 0,
        };
        let seconds = (bytes / BYTES_A_SECOND).saturating_add(180).min(780);
        Duration::from_secs(seconds)
    }
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File {
                format,
                bytes,
                pages,
            } => f
                .debug_struct("File")
                .field("format", format)
                .field("bytes", &bytes.len())
                .field("pages", pages)
                .finish(),
            Self::Url(_) => f.write_str("Url(***)"),
        }
    }
}

/// One fax for the vendor.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Submission {
    /// Our id of it, which goes along as a label.
    pub job_id: JobId,
    /// The number, as [`FaxProvider::prepare`] wrote it.
    pub to: Private,
    /// The document.
    pub upload: Upload,
    /// What the caller chose.
    pub options: SendOptions,
}

/// What the vendor answered.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Submitted {
    /// The vendor's id of the fax.
    pub sid: String,
    /// What else it said, where it said more.
    pub report: Option<FaxReport>,
}

impl Submitted {
    /// A fax that the vendor took under this id.
    pub fn new(sid: impl Into<String>) -> Self {
        Self {
            sid: sid.into(),
            report: None,
        }
    }
}

/// What a vendor says of a fax that we sent. `Debug` leaves the raw answer out, and the word where it
/// does not look like one ([`redact::code`]).
#[derive(Clone)]
#[non_exhaustive]
pub struct FaxReport {
    /// The vendor's id.
    pub sid: String,
    /// Our label, where it came back.
    pub job_id: Option<JobId>,
    /// The number that it went to, as the vendor writes it, where it tells.
    pub to: Option<Private>,
    /// Where it is.
    pub status: JobStatus,
    /// The vendor's word for that, verbatim.
    pub word: String,
    /// How far it is.
    pub progress: Option<FaxProgress>,
    /// How it ended, with a final status.
    pub outcome: Option<FaxOutcome>,
    /// The whole answer. It holds personal data.
    pub raw: Value,
}

impl FaxReport {
    /// A report of a fax that goes on.
    pub fn new(sid: impl Into<String>, status: JobStatus, word: impl Into<String>) -> Self {
        Self {
            sid: sid.into(),
            job_id: None,
            to: None,
            status,
            word: word.into(),
            progress: None,
            outcome: None,
            raw: Value::Null,
        }
    }
}

impl fmt::Debug for FaxReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaxReport")
            .field("sid", &self.sid)
            .field("job_id", &self.job_id)
            .field("status", &self.status)
            .field("word", &redact::code(&self.word))
            .field("progress", &self.progress)
            .field("outcome", &self.outcome)
            .finish_non_exhaustive()
    }
}

/// What a webhook tells. `Debug` leaves the key out: the vendor's word is in it.
#[derive(Clone)]
#[non_exhaustive]
pub enum FaxNotice {
    /// Of a fax that we sent.
    #[non_exhaustive]
    Sent {
        /// What it says.
        report: Box<FaxReport>,
        /// Two requests with the same key are one: the vendor's id with its word.
        key: String,
    },
    /// A fax came in.
    #[non_exhaustive]
    Received {
        /// The vendor's id.
        sid: String,
        /// What the request said of it and the pages that it brought; believed only when the request was
        /// signed, and fetched otherwise.
        fax: Option<Box<(InboundFax, InboundFile)>>,
        /// Two requests with the same key are one.
        key: String,
    },
    /// Something that means nothing here: answered, and forgotten.
    Ignored,
}

impl fmt::Debug for FaxNotice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sent { report, .. } => f.debug_tuple("Sent").field(report).finish(),
            Self::Received { sid, fax, .. } => {
                f.debug_tuple("Received").field(sid).field(fax).finish()
            }
            Self::Ignored => f.write_str("Ignored"),
        }
    }
}

impl FaxNotice {
    /// Of a fax that we sent; `key` is the vendor's id with its word.
    pub fn sent(report: FaxReport) -> Self {
        let key = format!("{}/{}", report.sid, report.word);
        Self::Sent {
            report: Box::new(report),
            key,
        }
    }

    /// A fax came in under the vendor's id, with its pages where the request brought them.
    pub fn received(sid: impl Into<String>, fax: Option<(InboundFax, InboundFile)>) -> Self {
        let sid = sid.into();
        Self::Received {
            key: format!("{sid}/received"),
            sid,
            fax: fax.map(Box::new),
        }
    }
}
