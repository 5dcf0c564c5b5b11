//! What Phaxio's interface v2.1 says, and what is said to it.
//!
//! Every answer is `{success, message, data, paging}`, and `success` may be false with status 200. A fax
//! that was taken is told by its id alone; a fax just taken has the recipient status `null` and
//! `num_pages` 0; ids are integers; times have a numeric offset. Accounts are set to v1, v2 or v2.1, and
//! their callbacks have the fields of that version: v1 writes `requested_at` and seconds since 1970.
//!
//! Sources: phaxio-ruby at c1cb8e4 (`lib/phaxio/`, and the answers recorded in
//! `spec/support/cassettes/fax/`), phaxio-python at 6a3aa16 (`spec/api.yaml`), and Phaxio's pages
//! "Statuses", "Error Messages" and "Faxes". What a failed and a received fax look like was recorded by
//! nobody: their fields are those of the pages.

use std::collections::BTreeMap;

use faxbot_core::{
    Effect, Error, ErrorKind, Private, Result, Timestamp,
    fax::{FailureClass, FailurePhase, FaxFailure, FaxOutcome, FaxPhase, FaxProgress, JobStatus},
    http::{HttpResponse, refusal},
    id::JobId,
    plugin::InboundFax,
};
use serde::Deserialize;
use serde_json::Value;

use crate::cloud::{
    fax::{FaxReport, PhaxioError, Submission, Upload},
    lenient,
};

/// The tag that holds our job id. Phaxio takes ten tags; no limit of their length is published.
pub(super) const LABEL: &str = "faxbot_job";

/// An answer.
#[derive(Deserialize)]
pub(super) struct Envelope {
    #[serde(default, deserialize_with = "lenient::flag")]
    success: Option<bool>,
    #[serde(default, deserialize_with = "lenient::text")]
    message: Option<String>,
    /// What was asked for.
    #[serde(default)]
    pub(super) data: Value,
    /// Where a list is.
    #[serde(default)]
    pub(super) paging: Value,
}

/// Reads an answer. `acts` is whether the request had an effect to hope for: then an answer that cannot
/// be read says nothing about it.
///
/// # Errors
/// The refusal, with Phaxio's message as native text; `Rejected` where `success` is false.
pub(super) fn answer(
    operation: &'static str,
    response: &HttpResponse,
    acts: bool,
) -> Result<Envelope> {
    // An error's body may be empty, and then has no type either (phaxio-ruby, `spec/client_spec.rb`).
    let envelope = serde_json::from_slice::<Envelope>(&response.body).ok();
    if !response.status.is_success() {
        let code = response.status.as_u16().to_string();
        let text = envelope.and_then(|envelope| envelope.message);
        return Err(refusal(operation, response, acts).with_native(Some(code), text));
    }
    let envelope = envelope.ok_or_else(|| unreadable(operation, acts))?;
    match envelope.success {
        // It says no, and names a fax.
        Some(false) if acts && Fax::read(operation, &envelope.data).is_ok() => {
            Err(unreadable(operation, acts))
        }
        Some(false) => {
            let error = Error::new(ErrorKind::Rejected, operation, "phaxio refused the request");
            Err(error.with_native(Some("200".into()), envelope.message))
        }
        Some(true) => Ok(envelope),
        None if envelope.data.is_null() => Err(unreadable(operation, acts)),
        None => Ok(envelope),
    }
}

/// An answer of another form than Phaxio's.
pub(super) fn unreadable(operation: &'static str, acts: bool) -> Error {
    let message = "the answer is not one of phaxio's";
    if acts {
        Error::new(ErrorKind::OutcomeUnknown, operation, message)
    } else {
        Error::new(ErrorKind::Protocol, operation, message).with_effect(Effect::NoEffect)
    }
}

/// A fax, sent or received. No `Debug`: it holds numbers.
#[derive(Deserialize)]
pub(super) struct Fax {
    #[serde(default, deserialize_with = "lenient::text")]
    id: Option<String>,
    /// `sent` or `received`.
    #[serde(default, deserialize_with = "lenient::text")]
    pub(super) direction: Option<String>,
    #[serde(default, deserialize_with = "lenient::text")]
    status: Option<String>,
    /// Pages of the document, 0 until it is converted. There is no count of pages sent.
    #[serde(default, deserialize_with = "lenient::number")]
    num_pages: Option<u32>,
    /// Nothing was sent: the key is one for tests.
    #[serde(default, deserialize_with = "lenient::flag")]
    is_test: Option<bool>,
    #[serde(skip)]
    counts_tests: bool,
    #[serde(default, deserialize_with = "lenient::time")]
    created_at: Option<Timestamp>,
    /// v1's word for `created_at`.
    #[serde(default, deserialize_with = "lenient::time")]
    requested_at: Option<Timestamp>,
    #[serde(default, deserialize_with = "lenient::time")]
    completed_at: Option<Timestamp>,
    #[serde(default, deserialize_with = "lenient::text")]
    from_number: Option<String>,
    #[serde(default, deserialize_with = "lenient::text")]
    to_number: Option<String>,
    #[serde(default, deserialize_with = "lenient::map")]
    tags: BTreeMap<String, String>,
    /// Of a sent fax; ours have one each.
    #[serde(default, deserialize_with = "lenient::list")]
    recipients: Vec<Recipient>,
    #[serde(flatten)]
    error: ErrorFields,
}

#[derive(Deserialize)]
struct Recipient {
    #[serde(default, deserialize_with = "lenient::text")]
    phone_number: Option<String>,
    /// v1's word for `phone_number`.
    #[serde(default, deserialize_with = "lenient::text")]
    number: Option<String>,
    /// Null while it is queued.
    #[serde(default, deserialize_with = "lenient::text")]
    status: Option<String>,
    #[serde(default, deserialize_with = "lenient::number")]
    retry_count: Option<u32>,
    #[serde(default, deserialize_with = "lenient::number")]
    bitrate: Option<u32>,
    #[serde(flatten)]
    error: ErrorFields,
}

#[derive(Deserialize)]
struct ErrorFields {
    #[serde(default, deserialize_with = "lenient::text")]
    error_type: Option<String>,
    #[serde(default, deserialize_with = "lenient::number")]
    error_id: Option<u32>,
    #[serde(default, deserialize_with = "lenient::text")]
    error_message: Option<String>,
    /// v1's word for `error_message`.
    #[serde(default, deserialize_with = "lenient::text")]
    error_code: Option<String>,
}

impl ErrorFields {
    fn read(&self) -> PhaxioError {
        PhaxioError {
            kind: self.error_type.clone(),
            id: self.error_id,
            text: self
                .error_message
                .clone()
                .or_else(|| self.error_code.clone()),
        }
    }
}

/// Where Phaxio's words lead.
enum Stage {
    Open(JobStatus),
    Success,
    /// With a key for tests, and nobody said that it is one.
    Simulated,
    Failure,
    /// Over, and nobody can say how: for a fax with one recipient it has no meaning, or contradicts
    /// itself.
    Partial,
}

impl Fax {
    /// Reads a fax.
    ///
    /// # Errors
    /// `Protocol` without an id.
    pub(super) fn read(operation: &'static str, raw: &Value) -> Result<Self> {
        Self::deserialize(raw)
            .ok()
            .filter(|fax| fax.id.as_deref().is_some_and(is_id))
            .ok_or_else(|| unreadable(operation, false))
    }

    /// Whether a fax that Phaxio only simulated counts as sent; not unless told so.
    pub(super) fn counting_tests(mut self, yes: bool) -> Self {
        self.counts_tests = yes;
        self
    }

    /// Phaxio's id.
    pub(super) fn sid(&self) -> &str {
        self.id.as_deref().unwrap_or_default()
    }

    /// Phaxio's word for where it is.
    pub(super) fn word(&self) -> &str {
        self.status.as_deref().unwrap_or_default()
    }

    pub(super) fn is_received(&self) -> bool {
        self.direction
            .as_deref()
            .is_some_and(|word| word.eq_ignore_ascii_case("received"))
    }

    /// The job id that it was sent under.
    pub(super) fn job_id(&self) -> Option<JobId> {
        self.tags.get(LABEL)?.parse().ok()
    }

    /// Calls that were placed again so far, where it tells.
    pub(super) fn retries(&self) -> Option<u32> {
        self.recipients.iter().map(|r| r.retry_count).max()?
    }

    fn stage(&self) -> Stage {
        match self.word().to_ascii_lowercase().as_str() {
            "queued" | "pendingbatch" => Stage::Open(JobStatus::Queued),
            "inprogress" => Stage::Open(JobStatus::InProgress),
            // What the recipient says must not say the opposite.
            "success" if self.recipients.iter().any(|r| r.is("failure")) => Stage::Partial,
            "failure" if self.recipients.iter().any(|r| r.is("success")) => Stage::Partial,
            "success" if self.is_test == Some(true) && !self.counts_tests => Stage::Simulated,
            "success" => Stage::Success,
            "failure" if self.error().says_it_is_complete() => Stage::Partial,
            "failure" => Stage::Failure,
            // "usually SOME of the recipients" got it: what became of the one is in its own status.
            "partialsuccess" => match self.recipients.as_slice() {
                [one] if one.is("success") => Stage::Success,
                [one] if one.is("failure") => Stage::Failure,
                _ => Stage::Partial,
            },
            _ => Stage::Open(JobStatus::Other(self.word().to_owned())),
        }
    }

    /// Whether a received fax is over, with pages.
    pub(super) fn is_complete(&self) -> bool {
        !matches!(self.stage(), Stage::Open(_) | Stage::Failure)
    }

    /// Whether it is over, and without pages.
    pub(super) fn has_failed(&self) -> bool {
        matches!(self.stage(), Stage::Failure)
    }

    fn pages(&self) -> Option<u32> {
        self.num_pages.filter(|pages| *pages > 0)
    }

    /// What it says of a fax that we sent. `page` is the page that is being sent, where a callback
    /// told.
    pub(super) fn report(self, page: Option<u32>, raw: Value) -> FaxReport {
        let pages = self.pages();
        let outcome = match self.stage() {
            Stage::Open(status) => {
                let mut report = FaxReport::new(self.sid(), status, self.word());
                report.job_id = self.job_id();
                report.to = self.number();
                report.progress = self.progress(page);
                report.raw = raw;
                return report;
            }
            // With success every recipient got every page; there is no other count.
            Stage::Success => FaxOutcome::succeeded(pages, pages),
            Stage::Simulated => {
                let class = FailureClass::LocalConfig;
                let failure = FaxFailure::new(class, FailurePhase::BeforeAnswer);
                let failure = failure.with_native(Some("is_test".to_owned()), None);
                FaxOutcome::failed(failure, Some(0), pages)
            }
            Stage::Failure => {
                let first_call = !self.recipients.is_empty()
                    && self.recipients.iter().all(|r| r.retry_count == Some(0));
                FaxOutcome::failed(self.error().failure(first_call), None, pages)
            }
            Stage::Partial => FaxOutcome::unknown(None, pages),
        };
        let outcome = self.with_figures(outcome);
        let mut report = FaxReport::new(self.sid(), outcome.job_status(), self.word());
        report.job_id = self.job_id();
        report.to = self.number();
        report.outcome = Some(outcome);
        report.raw = raw;
        report
    }

    /// The error, the recipient's before that of the fax.
    fn error(&self) -> PhaxioError {
        let errors = self.recipients.iter().map(|recipient| &recipient.error);
        errors
            .chain([&self.error])
            .map(ErrorFields::read)
            .find(PhaxioError::is_some)
            .unwrap_or_default()
    }

    /// The number that it went to, where it has one recipient.
    fn number(&self) -> Option<Private> {
        let [one] = self.recipients.as_slice() else {
            return None;
        };
        let number = one.phone_number.as_ref().or(one.number.as_ref());
        number.cloned().map(Private::new)
    }

    fn with_figures(&self, mut outcome: FaxOutcome) -> FaxOutcome {
        outcome.bit_rate = self.recipients.iter().find_map(|r| r.bitrate);
        if let (Some(start), Some(end)) = (self.created_at.or(self.requested_at), self.completed_at)
        {
            outcome.duration_seconds = Some(end.duration_since(start).as_secs());
        }
        outcome
    }

    fn progress(&self, page: Option<u32>) -> Option<FaxProgress> {
        if self.word().eq_ignore_ascii_case("queued") {
            return None;
        }
        let mut progress = FaxProgress::new(self.pages()?);
        progress.page = page;
        progress.phase = match self.recipients.first() {
            _ if page.is_some() => FaxPhase::Transmitting,
            Some(one) if one.is("ringing") => FaxPhase::Ringing,
            Some(one) if one.is("callactive") => FaxPhase::Negotiating,
            _ => FaxPhase::Dialing,
        };
        Some(progress)
    }

    /// What it says of a fax that was received. `now` stands in for a time that it does not tell.
    pub(super) fn inbound(self, backend: &str, now: Timestamp) -> InboundFax {
        let at = self.completed_at.or(self.created_at).or(self.requested_at);
        let mut fax = InboundFax::new(self.sid(), backend, at.unwrap_or(now));
        fax.pages = self.pages();
        fax.provider_sid = self.id;
        fax.from = self.from_number.map(Private::new);
        fax.to = self.to_number.map(Private::new);
        fax
    }

    /// When it was made, for the order of a list.
    pub(super) fn made_at(&self) -> Option<Timestamp> {
        self.created_at.or(self.requested_at)
    }
}

impl Recipient {
    fn is(&self, word: &str) -> bool {
        self.status
            .as_deref()
            .is_some_and(|status| status.eq_ignore_ascii_case(word))
    }
}

/// Phaxio's ids are whole numbers.
pub(super) fn is_id(text: &str) -> bool {
    (1..=20).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The fields of a submission but for the file, in the order of Phaxio's page.
pub(super) fn fields(
    fax: &Submission,
    header: Option<&str>,
    caller_id: Option<&str>,
    callback: Option<&str>,
) -> Vec<(String, String)> {
    let mut fields = vec![("to".to_owned(), fax.to.expose().clone())];
    let mut add = |name: &str, value: Option<&str>| {
        fields.extend(value.map(|value| (name.to_owned(), value.to_owned())));
    };
    if let Upload::Url(url) = &fax.upload {
        add("content_url", Some(url.as_str()));
    }
    add("header_text", header);
    add("caller_id", caller_id);
    add("callback_url", callback);
    add(&format!("tag[{LABEL}]"), Some(fax.job_id.as_str()));
    fields
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
