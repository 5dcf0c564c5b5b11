//! What Sinch's Fax API v3 says, and what is said to it.
//!
//! The answer to one recipient is a bare fax, also for a list of one; to several it is `{faxes: [...]}`.
//! Amounts are text or numbers, `hasFile` is text or a boolean, the page of a list is `page` or
//! `pageNumber`. An error's `code` is text and need not be the status (the sample of 400 says "404").
//!
//! Labels are our key to a fax whose submission was not answered. In JSON they are an object; for
//! `multipart/form-data` no form of them is published, the .NET client writes `labels[key]`, and the one
//! for Node cannot send them at all. So JSON is what is sent by default. No form of the filter for labels
//! is published either: lists are searched here.
//!
//! Sources: sinch-sdk-node at affb35e (`packages/fax/src/models/v3/`, `packages/fax/src/rest/v3/`, and
//! what its version 1.4.0 writes), sinch-sdk-dotnet at f408a0f (`src/Sinch/Fax/`,
//! `tests/Sinch.Tests/Fax/`), sinch/skills at 474538d, Sinch's page "Error Messages".

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use faxbot_core::{
    Effect, Error, ErrorKind, Private, Result, Timestamp,
    fax::{FailurePhase, FaxOutcome, JobStatus},
    http::{HttpResponse, refusal},
    id::JobId,
    plugin::InboundFax,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::cloud::{
    fax::{FaxReport, PhaxioError, Submission, Upload, UploadFormat},
    lenient,
};

/// The label that holds our job id. No limit of labels is published.
pub(super) const LABEL: &str = "faxbot_job";

/// Most repetitions of a call that Sinch makes of one fax.
pub(super) const MOST_RETRIES: u32 = 5;

/// Reads an answer. `acts` is whether the request had an effect to hope for: then an answer that cannot
/// be read says nothing about it.
///
/// # Errors
/// The refusal, with Sinch's message as native text.
pub(super) fn answer(
    operation: &'static str,
    response: &HttpResponse,
    acts: bool,
) -> Result<Value> {
    check(operation, response, acts)?;
    serde_json::from_slice(&response.body).map_err(|_| unreadable(operation, acts))
}

/// The same for an answer whose body does not count, and may be empty.
///
/// # Errors
/// The refusal, with Sinch's message as native text.
pub(super) fn check(operation: &'static str, response: &HttpResponse, acts: bool) -> Result<()> {
    if response.status.is_success() {
        return Ok(());
    }
    // The body may be empty, and some of Sinch's interfaces answer with a problem (RFC 9457).
    let text = serde_json::from_slice::<Refusal>(&response.body)
        .ok()
        .and_then(Refusal::text);
    let code = response.status.as_u16().to_string();
    Err(refusal(operation, response, acts).with_native(Some(code), text))
}

#[derive(Deserialize)]
struct Refusal {
    #[serde(default, deserialize_with = "lenient::text")]
    message: Option<String>,
    #[serde(default, deserialize_with = "lenient::text")]
    detail: Option<String>,
    #[serde(default, deserialize_with = "lenient::text")]
    title: Option<String>,
    #[serde(default, deserialize_with = "lenient::text")]
    error: Option<String>,
}

impl Refusal {
    fn text(self) -> Option<String> {
        self.message.or(self.detail).or(self.title).or(self.error)
    }
}

/// An answer of another form than Sinch's.
pub(super) fn unreadable(operation: &'static str, acts: bool) -> Error {
    let message = "the answer is not one of sinch's";
    if acts {
        Error::new(ErrorKind::OutcomeUnknown, operation, message)
    } else {
        Error::new(ErrorKind::Protocol, operation, message).with_effect(Effect::NoEffect)
    }
}

/// The fax of an answer to a submission with one recipient.
///
/// # Errors
/// `OutcomeUnknown` without one: it may have been taken.
pub(super) fn submitted(answer: Value) -> Result<(Fax, Value)> {
    let raw = match answer {
        Value::Array(mut faxes) if faxes.len() == 1 => faxes.pop(),
        Value::Object(mut fields) => match fields.remove("faxes") {
            Some(Value::Array(mut faxes)) if faxes.len() == 1 => faxes.pop(),
            Some(_) => None,
            None => Some(Value::Object(fields)),
        },
        _ => None,
    };
    raw.and_then(|raw| Some((Fax::read("send_fax", &raw).ok()?, raw)))
        .ok_or_else(|| unreadable("send_fax", true))
}

/// A fax, sent or received. No `Debug`: it holds numbers.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Fax {
    #[serde(default, deserialize_with = "lenient::text")]
    id: Option<String>,
    /// `OUTBOUND` or `INBOUND`.
    #[serde(default, deserialize_with = "lenient::text")]
    direction: Option<String>,
    #[serde(default, deserialize_with = "lenient::text")]
    from: Option<String>,
    #[serde(default, deserialize_with = "lenient::text")]
    to: Option<String>,
    #[serde(default, deserialize_with = "lenient::text")]
    status: Option<String>,
    /// 0 until it is converted.
    #[serde(default, deserialize_with = "lenient::number")]
    number_of_pages: Option<u32>,
    /// "The number of pages successfully sent to the receiving side in the fax": of the last call or of
    /// all of them is not said.
    #[serde(default, deserialize_with = "lenient::number")]
    pages_sent_successfully: Option<u32>,
    #[serde(default, deserialize_with = "lenient::number")]
    retry_count: Option<u32>,
    #[serde(default, deserialize_with = "lenient::time")]
    create_time: Option<Timestamp>,
    #[serde(default, deserialize_with = "lenient::time")]
    completed_time: Option<Timestamp>,
    #[serde(default, deserialize_with = "lenient::map")]
    labels: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "lenient::text")]
    error_type: Option<String>,
    #[serde(default, deserialize_with = "lenient::number")]
    error_code: Option<u32>,
    #[serde(default, deserialize_with = "lenient::text")]
    error_message: Option<String>,
}

/// Where Sinch's words lead.
enum Stage {
    Open(JobStatus),
    Success,
    Failure,
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

    /// Sinch's id.
    pub(super) fn sid(&self) -> &str {
        self.id.as_deref().unwrap_or_default()
    }

    /// The number that it went to, or came in at.
    pub(super) fn to(&self) -> Option<&str> {
        self.to.as_deref()
    }

    /// Sinch's word for where it is.
    pub(super) fn word(&self) -> &str {
        self.status.as_deref().unwrap_or_default()
    }

    pub(super) fn is_received(&self) -> bool {
        self.direction
            .as_deref()
            .is_some_and(|word| word.eq_ignore_ascii_case("INBOUND"))
    }

    /// The job id that it was sent under.
    pub(super) fn job_id(&self) -> Option<JobId> {
        self.labels.get(LABEL)?.parse().ok()
    }

    fn stage(&self) -> Stage {
        match self.word().to_ascii_uppercase().as_str() {
            "QUEUED" => Stage::Open(JobStatus::Queued),
            "IN_PROGRESS" => Stage::Open(JobStatus::InProgress),
            "COMPLETED" => Stage::Success,
            "FAILURE" => Stage::Failure,
            _ => Stage::Open(JobStatus::Other(self.word().to_owned())),
        }
    }

    /// Whether a received fax is over, with pages.
    pub(super) fn is_complete(&self) -> bool {
        matches!(self.stage(), Stage::Success)
    }

    /// Whether it is over, and without pages.
    pub(super) fn has_failed(&self) -> bool {
        matches!(self.stage(), Stage::Failure)
    }

    fn pages(&self) -> Option<u32> {
        self.number_of_pages.filter(|pages| *pages > 0)
    }

    /// What it says of a fax that we sent.
    pub(super) fn report(self, raw: Value) -> FaxReport {
        let outcome = match self.stage() {
            Stage::Open(status) => {
                let mut report = FaxReport::new(self.sid(), status, self.word());
                report.job_id = self.job_id();
                report.to = self.to.map(Private::new);
                report.raw = raw;
                return report;
            }
            Stage::Success => self.success(),
            Stage::Failure => self.failure(),
        };
        let mut outcome = outcome;
        if let (Some(start), Some(end)) = (self.create_time, self.completed_time) {
            outcome.duration_seconds = Some(end.duration_since(start).as_secs());
        }
        let mut report = FaxReport::new(self.sid(), outcome.job_status(), self.word());
        report.job_id = self.job_id();
        report.to = self.to.map(Private::new);
        report.outcome = Some(outcome);
        report.raw = raw;
        report
    }

    fn error(&self) -> PhaxioError {
        PhaxioError {
            kind: self.error_type.clone(),
            id: self.error_code,
            text: self.error_message.clone(),
        }
    }

    fn success(&self) -> FaxOutcome {
        let error = self.error();
        let one_call = self.retry_count == Some(0);
        let outcome = match (self.pages_sent_successfully, self.pages()) {
            // No page was sent, or those of the last call alone were counted: nobody says which.
            (Some(sent), Some(total)) if sent < total && (sent == 0 || !one_call) => {
                FaxOutcome::unknown(None, Some(total))
            }
            // An error, and nothing that says that a later call made up for it.
            (None | Some(0), total) if error.is_some() => FaxOutcome::unknown(None, total),
            (sent, total) => FaxOutcome::succeeded(sent.filter(|pages| *pages > 0), total),
        };
        // The vendor's own sample of a completed fax has an error: that of a call before the last one.
        if error.is_some() {
            let told = error.failure(false);
            return outcome.with_native(told.native_code, told.native_text);
        }
        outcome
    }

    fn failure(&self) -> FaxOutcome {
        let error = self.error();
        if error.says_it_is_complete() {
            let told = error.failure(false);
            return FaxOutcome::unknown(None, self.pages())
                .with_native(told.native_code, told.native_text);
        }
        let failure = error.failure(self.retry_count == Some(0));
        let before = failure.phase < FailurePhase::Transmission;
        let confirmed = match (self.pages_sent_successfully, self.pages()) {
            (Some(0), _) if before => Some(0),
            (Some(sent), Some(total)) if sent > 0 && sent < total => Some(sent),
            // A failure with all pages sent stays what Sinch calls it: sent is not confirmed.
            _ => None,
        };
        FaxOutcome::failed(failure, confirmed, self.pages())
    }

    /// What it says of a fax that was received. `now` stands in for a time that it does not tell.
    pub(super) fn inbound(self, backend: &str, now: Timestamp) -> InboundFax {
        let at = self.completed_time.or(self.create_time).unwrap_or(now);
        let mut fax = InboundFax::new(self.sid(), backend, at);
        fax.pages = self.pages();
        fax.provider_sid = self.id;
        fax.from = self.from.map(Private::new);
        fax.to = self.to.map(Private::new);
        fax
    }

    /// When it was made, for the order of a list.
    pub(super) fn made_at(&self) -> Option<Timestamp> {
        self.create_time
    }
}

/// Sinch's ids are ULIDs; what else is an id is let through as long as it is one segment of a path.
pub(super) fn is_id(text: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=64).contains(&text.len()) && text.bytes().all(letter)
}

/// What goes with a fax, besides number, document and label.
#[derive(Default)]
pub(super) struct Details<'a> {
    pub(super) from: Option<&'a str>,
    pub(super) header: Option<&'a str>,
    pub(super) service_id: Option<&'a str>,
    pub(super) resolution: Option<&'static str>,
    pub(super) image_conversion: Option<&'static str>,
    pub(super) max_retries: Option<u32>,
    pub(super) callback_url: Option<&'a str>,
}

impl Details<'_> {
    /// The fields that are text in both forms of a body, in the order of the vendor's model, and
    /// `maxRetries`, which is a number in JSON.
    fn fields(&self) -> Vec<(&'static str, Value)> {
        let text = |value: Option<&str>| value.map(Value::from);
        // JSON, because its fields are those of the models; without it a form is sent.
        let callback = self.callback_url.map(|_| "application/json");
        [
            ("from", text(self.from)),
            ("headerText", text(self.header)),
            ("callbackUrl", text(self.callback_url)),
            ("callbackUrlContentType", text(callback)),
            ("imageConversionMethod", text(self.image_conversion)),
            ("serviceId", text(self.service_id)),
            ("maxRetries", self.max_retries.map(Value::from)),
            ("resolution", text(self.resolution)),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
    }
}

/// A submission as JSON.
pub(super) fn json_body(fax: &Submission, details: &Details<'_>) -> Vec<u8> {
    let mut body = Map::new();
    body.insert("to".into(), fax.to.expose().as_str().into());
    match &fax.upload {
        Upload::Url(url) => {
            body.insert("contentUrl".into(), url.as_str().into());
        }
        Upload::File { format, bytes, .. } => {
            let file = json!({"file": STANDARD.encode(bytes), "fileType": file_type(*format)});
            body.insert("files".into(), json!([file]));
        }
    }
    body.insert("labels".into(), json!({ LABEL: fax.job_id.as_str() }));
    body.extend(
        details
            .fields()
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value)),
    );
    Value::Object(body).to_string().into_bytes()
}

/// The parts of a submission as a form, but for the file.
pub(super) fn form_fields(fax: &Submission, details: &Details<'_>) -> Vec<(String, String)> {
    let mut fields = vec![("to".to_owned(), fax.to.expose().clone())];
    if let Upload::Url(url) = &fax.upload {
        fields.push(("contentUrl".to_owned(), url.as_str().to_owned()));
    }
    fields.push((format!("labels[{LABEL}]"), fax.job_id.as_str().to_owned()));
    fields.extend(details.fields().into_iter().map(|(name, value)| {
        let text = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        (name.to_owned(), text)
    }));
    fields
}

fn file_type(format: UploadFormat) -> &'static str {
    match format {
        UploadFormat::Pdf => "PDF",
        UploadFormat::Tiff => "TIF",
    }
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
