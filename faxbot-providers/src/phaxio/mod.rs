//! Faxes by Phaxio, interface v2.1.
//!
//! ```
//! use std::sync::Arc;
//!
//! use faxbot_core::plugin::Plugin;
//! use faxbot_providers::phaxio::PhaxioPlugin;
//! use serde_json::json;
//!
//! let plugin = PhaxioPlugin::new();
//! let config = json!({
//!     "type": "phaxio",
//!     "api_key": "key", "api_secret": "secret",
//!     // For callbacks: the token of the account's settings, neither the key nor its secret.
//!     "callback_token": "token",
//! });
//! assert!(plugin.validate_config(&config).is_ok());
//! // plugin.start(config, PluginDeps::current()?.with_http(client).with_webhooks(router)).await?;
//! ```
//!
//! # What it can do
//!
//! | capability | by |
//! |---|---|
//! | `send_fax` | `POST faxes` with the file, or with the URL that Phaxio fetches; our job id as the tag `faxbot_job` |
//! | `get_status` | `GET faxes/{id}`, and signed callbacks |
//! | `cancel_fax` | `POST faxes/{id}/cancel`, which Phaxio schedules: the answer is `Requested`, the status tells |
//! | `list_inbound`, `get_inbound` | `GET faxes?direction=received`, `GET faxes/{id}/file` |
//! | `handle_webhook` | callbacks of v1, v2 and v2.1 |
//!
//! [`CloudFaxPlugin::delete_file`] deletes the document at Phaxio.
//!
//! Phaxio calls again by itself, as the account is set: a job is submitted once, and its
//! [`retry`](faxbot_core::plugin::SendOptions::retry) is about nothing else. It chooses the resolution,
//! the rate, error correction and the station id; options of a fax that say otherwise are refused.
//!
//! # Configuration
//!
//! [`FIELDS`] is the table of all fields, of which [`markdown`](FieldTable::markdown) makes a page.
//! `api_key` and `api_secret` are required. `callback_url` and `status_callback_url` are for accounts
//! where Phaxio calls another URL than the one that the host registers.
//!
//! # Statuses
//!
//! | Phaxio | status |
//! |---|---|
//! | `queued`, `pendingbatch` | `queued` |
//! | `inprogress` | `in_progress` |
//! | `success` | `SUCCESS`, with the pages of the document |
//! | `failure` | `FAILED` by type and number of the error; `cancelled` for number 75 |
//! | `partialsuccess` | that of the one recipient; `outcome_unknown` where it has none |
//! | `success` or `failure` of which the recipient says the opposite, and error 79 | `outcome_unknown` |
//! | `success` of a fax that was only simulated (`is_test`) | `FAILED`; `SUCCESS` with `test_keys: true` |
//! | any other | kept as it is, and nothing changes |
//!
//! A failure proves that no page went out only with a conversion error, and with a line error of a first
//! call that nobody answered: Phaxio counts no pages that were sent.
//!
//! # Callbacks
//!
//! They are signed with the account's callback token, and a signed one is believed. The signature covers
//! the URL as Phaxio has it: where a proxy changes the path, set `callback_url`. Callbacks without a token
//! are an error of the configuration, because each of them would be refused.
//!
//! With `verify_signature: false` none is believed: they come by a URL with a secret in its path, which is
//! what the account's settings must then have, and each fax that one names is fetched from Phaxio.
//!
//! A job depends on no callback: it is polled as well.
//!
//! # Limits
//!
//! Phaxio publishes none of bytes and pages. Users report one request a second, and the clients of
//! Phaxio wait a second between requests: that is the default of `requests_per_second`.

pub mod config;
mod list;
mod webhook;
mod wire;

use async_trait::async_trait;
use bytes::Bytes;
use faxbot_core::{
    Effect, Error, ErrorKind, Private, Result, Timestamp,
    address::FaxTarget,
    clock::SharedClock,
    config::{ConfigErrors, FieldTable},
    http::{ApiCall, ApiClient, Auth, HttpRequest, MultipartForm, Rate, form_urlencoded},
    id::JobId,
    plugin::{
        CancelOutcome, InboundFax, InboundQuery, Manifest, Page, PluginCapability, PluginId,
        SendOptions,
    },
    random::SharedRandom,
    webhook::{Authenticity, InboundFile, WebhookPath, WebhookRequest},
};
use http::{HeaderValue, header::CONTENT_TYPE};
use serde_json::Value;
use url::Url;

use crate::cloud::{
    FaxProvider, ProviderContext,
    fax::{
        CloudFaxPlugin, FaxLimits, FaxNotice, FaxReport, PageCursor, Submission, Submitted, Upload,
        fax_of_job, is_labelled, phone_number, received_file, refuse_options_of_a_call, refused,
    },
};

pub use config::{FIELDS, PhaxioConfig};

use list::List;
use wire::Fax;

/// Sends and receives faxes by Phaxio. See the [module](self).
pub type PhaxioPlugin = CloudFaxPlugin<Phaxio>;

/// The plugin's id, which results name as backend.
pub const ID: PluginId = PluginId::from_static("phaxio");

/// Phaxio began in 2011: without a bound its lists end a week ago.
const BEGINNING: &str = "2010-01-01T00:00:00Z";
/// Most faxes of a list, by Phaxio's page "Paging".
const MOST: usize = 1000;
/// Time for the file of a received fax: a big one takes longer than an answer.
const FILE_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(180);
/// Longest file of a received fax, in bytes.
const FILE_BYTES: u64 = 100 * 1024 * 1024;

/// Phaxio's wire. See the [module](self).
#[derive(Debug)]
pub struct Phaxio {
    api: ApiClient,
    config: PhaxioConfig,
    /// What goes with each fax as its `callback_url`.
    callback: Option<Private<Url>>,
    clock: SharedClock,
    random: SharedRandom,
}

impl Phaxio {
    async fn get(&self, operation: &'static str, url: Url) -> Result<wire::Envelope> {
        let call = ApiCall::read(operation, HttpRequest::get(url));
        wire::answer(operation, &self.api.call(call).await?, false)
    }

    async fn fax(&self, operation: &'static str, sid: &str) -> Result<(Fax, Value)> {
        // Anybody may ask for anything as a received fax.
        if !wire::is_id(sid) {
            let message = "not an id of phaxio's";
            return Err(Error::new(ErrorKind::NotFound, operation, message));
        }
        let envelope = self.get(operation, self.api.url(&["faxes", sid])?).await?;
        let fax = Fax::read(operation, &envelope.data)?.counting_tests(self.config.test_keys);
        if fax.sid() == sid {
            Ok((fax, envelope.data))
        } else {
            Err(wire::unreadable(operation, false))
        }
    }

    fn submission(&self, fax: &Submission) -> Result<HttpRequest> {
        let header = fax.options.header.as_ref().or(self.config.header.as_ref());
        let caller_id = self.config.caller_id.as_ref();
        let callback = self.callback.as_ref().map(Private::expose);
        let fields = wire::fields(
            fax,
            header
                .map(|header| header.expose())
                .filter(|text| !text.is_empty()),
            caller_id.map(|number| number.e164()),
            callback.map(Url::as_str),
        );
        let (content_type, body) = match &fax.upload {
            Upload::File { format, bytes, .. } => {
                let mut form = MultipartForm::new(&*self.random);
                for (name, value) in &fields {
                    form = form.text(name, value)?;
                }
                form.file(
                    "file",
                    format.file_name(),
                    format.media_type(),
                    bytes.clone(),
                )?
                .finish()
            }
            // As Phaxio's own libraries send what has no file.
            Upload::Url(_) => {
                let pairs: Vec<_> = fields
                    .iter()
                    .map(|(n, v)| (n.as_str(), v.as_str()))
                    .collect();
                let content_type = HeaderValue::from_static("application/x-www-form-urlencoded");
                (content_type, Bytes::from(form_urlencoded(&pairs)))
            }
        };
        let url = self.api.url(&["faxes"])?;
        let mut request = HttpRequest::post(url, body).with_timeout(fax.upload.timeout());
        request.headers.insert(CONTENT_TYPE, content_type);
        Ok(request)
    }
}

#[async_trait]
impl FaxProvider for Phaxio {
    const FIELDS: FieldTable = FIELDS;
    const WEBHOOK_PATH: WebhookPath = WebhookPath::Plain;

    fn manifest() -> Manifest {
        Manifest::new(
            ID,
            "Phaxio",
            &["outbound", "inbound"],
            &[
                PluginCapability::SEND_FAX,
                PluginCapability::GET_STATUS,
                PluginCapability::CANCEL_FAX,
                PluginCapability::LIST_INBOUND,
                PluginCapability::GET_INBOUND,
                PluginCapability::HANDLE_WEBHOOK,
            ],
        )
        .with_version(env!("CARGO_PKG_VERSION"))
        .with_description("Sends and receives faxes by Phaxio v2.1")
    }

    fn validate(config: &Value) -> Result<(), ConfigErrors> {
        PhaxioConfig::validate(config)
    }

    fn webhook_path(config: &Value) -> WebhookPath {
        match PhaxioConfig::from_value(config) {
            Ok(config) if !config.verify_signature => WebhookPath::Secret,
            _ => Self::WEBHOOK_PATH,
        }
    }

    fn build(config: &Value, context: ProviderContext) -> Result<Self> {
        let config = PhaxioConfig::from_value(config)?;
        config.check_token(context.webhook_url.is_some())?;
        let rate = Rate::per_second(config.requests_per_second).with_burst(config.request_burst);
        let api = ApiClient::new(
            context.http,
            config.base_url.clone(),
            SharedClock::clone(&context.clock),
            SharedRandom::clone(&context.random),
        )?
        .with_auth(Auth::basic(
            config.api_key.expose(),
            config.api_secret.clone(),
        ))
        .with_rate(rate);
        let callback = config
            .status_callback_url
            .clone()
            .or_else(|| config.callback_url.clone())
            .or_else(|| context.webhook_url.map(Private::new));
        Ok(Self {
            api,
            config,
            callback,
            clock: context.clock,
            random: context.random,
        })
    }

    fn limits(&self) -> FaxLimits {
        let mut limits = FaxLimits::new(u64::MAX);
        limits.urls = true;
        limits
    }

    fn prepare(&self, to: &FaxTarget, options: &SendOptions) -> Result<Private> {
        let number = phone_number(to)?;
        refuse_options_of_a_call(options)?;
        if options.resolution.is_some() {
            return Err(refused("resolution: phaxio chooses it: leave it out"));
        }
        Ok(Private::new(number.e164().to_owned()))
    }

    async fn submit(&self, fax: &Submission) -> Result<Submitted> {
        let call = ApiCall::act("send_fax", self.submission(fax)?);
        let envelope = wire::answer("send_fax", &self.api.call(call).await?, true)?;
        match Fax::read("send_fax", &envelope.data) {
            Ok(fax) => Ok(Submitted::new(fax.sid())),
            // It may have been taken: the list tells.
            Err(_) => Err(wire::unreadable("send_fax", true)),
        }
    }

    async fn status(&self, sid: &str) -> Result<FaxReport> {
        let (fax, raw) = self.fax("get_status", sid).await?;
        Ok(fax.report(None, raw))
    }

    async fn find(
        &self,
        job: &JobId,
        to: Option<&Private>,
        since: Timestamp,
    ) -> Result<Option<FaxReport>> {
        let mut url = self.api.url(&["faxes"])?;
        // Colons, brackets and plus signs are percent-encoded: a plus would be read as a space.
        url.query_pairs_mut()
            .append_pair("direction", "sent")
            .append_pair("created_after", &since.to_seconds().to_string())
            .append_pair(&format!("tag[{}]", wire::LABEL), job.as_str())
            .append_pair("per_page", &MOST.to_string())
            .append_pair("page", "1");
        let list = List::read("find", self.get("find", url).await?)?;
        let whole = list.is_whole();
        let mut reports = Vec::new();
        for raw in list.items {
            if is_labelled(&raw, "tags", wire::LABEL, job) {
                let fax = Fax::read("find", &raw)?.counting_tests(self.config.test_keys);
                reports.push(fax.report(None, raw));
            }
        }
        match fax_of_job(reports, job, to) {
            Some(found) => Ok(Some(found)),
            None if whole => Ok(None),
            // A list that ignores the tag must not pass for one that holds no such fax.
            None => {
                let message = "phaxio lists more faxes than can be searched for one";
                let error = Error::new(ErrorKind::Protocol, "find", message);
                Err(error.with_effect(Effect::NoEffect))
            }
        }
    }

    async fn cancel(&self, sid: &str) -> Result<CancelOutcome> {
        let url = self.api.url(&["faxes", sid, "cancel"])?;
        let call = ApiCall::act("cancel_fax", HttpRequest::post(url, Bytes::new()));
        match wire::answer("cancel_fax", &self.api.call(call).await?, true) {
            Ok(_) => Ok(CancelOutcome::Requested),
            // "Can't cancel the fax, it's already complete!", error 79.
            Err(error) if error.native_text().is_some_and(is_complete) => {
                Ok(CancelOutcome::TooLate)
            }
            Err(error) => Err(error),
        }
    }

    async fn delete_file(&self, sid: &str) -> Result<()> {
        let url = self.api.url(&["faxes", sid, "file"])?;
        let call = ApiCall::act("delete_file", HttpRequest::new(http::Method::DELETE, url));
        wire::answer("delete_file", &self.api.call(call).await?, true).map(drop)
    }

    async fn list_inbound(&self, query: &InboundQuery) -> Result<Page<InboundFax>> {
        let cursor = PageCursor::of(query)?;
        let mut url = self.api.url(&["faxes"])?;
        url.query_pairs_mut()
            .append_pair("direction", "received")
            .append_pair("created_after", BEGINNING)
            .append_pair("per_page", &cursor.size.to_string())
            .append_pair("page", &cursor.page.to_string());
        if let Some(before) = cursor.before {
            url.query_pairs_mut()
                .append_pair("created_before", &before.to_string());
        }
        let list = List::read("list_inbound", self.get("list_inbound", url).await?)?;
        let more = list.goes_on(cursor.page, cursor.size);
        let faxes = list.faxes();
        let newest = faxes.iter().filter_map(Fax::made_at).max();
        let now = self.clock.timestamp();
        let faxes = faxes
            .into_iter()
            .filter(|fax| fax.is_received() && fax.is_complete())
            .map(|fax| fetched(fax, now))
            .collect();
        Ok(cursor.page(faxes, newest, more))
    }

    async fn inbound(&self, sid: &str) -> Result<(InboundFax, InboundFile)> {
        let operation = "get_inbound";
        let (fax, _) = self.fax(operation, sid).await?;
        if !fax.is_received() {
            let message = "phaxio has no received fax of this id";
            return Err(Error::new(ErrorKind::NotFound, operation, message));
        }
        if !fax.is_complete() && !fax.has_failed() {
            let message = "the fax is still coming in";
            return Err(Error::new(ErrorKind::ServerBusy, operation, message));
        }
        let request = HttpRequest::get(self.api.url(&["faxes", sid, "file"])?)
            .with_timeout(FILE_TIMEOUT)
            .with_max_response_bytes(FILE_BYTES);
        let response = self.api.call(ApiCall::read(operation, request)).await?;
        if !response.status.is_success() {
            wire::answer(operation, &response, false)?;
        }
        let file = received_file(operation, response.body)?;
        Ok((fetched(fax, self.clock.timestamp()), file))
    }

    async fn verify(
        &self,
        request: &WebhookRequest,
        url: &Url,
        _now: Timestamp,
    ) -> Option<Authenticity> {
        if !self.config.verify_signature {
            return Some(Authenticity::SecretUrl);
        }
        let token = self.config.callback_token.as_ref()?;
        let configured = [&self.config.status_callback_url, &self.config.callback_url];
        let configured = configured.into_iter().flatten();
        let urls = [url.clone()]
            .into_iter()
            .chain(configured.map(|url| url.expose().clone()));
        let signed = webhook::is_signed(request, token, urls).await;
        signed.then_some(Authenticity::Signed)
    }

    async fn read_webhook(&self, request: &WebhookRequest) -> Result<Vec<FaxNotice>> {
        webhook::read(request, self.config.test_keys, self.clock.timestamp()).await
    }
}

fn is_complete(text: &str) -> bool {
    text.to_ascii_lowercase().contains("already complete")
}

fn fetched(fax: Fax, now: Timestamp) -> InboundFax {
    let mut fax = fax.inbound(ID.as_str(), now);
    fax.authenticity = Some(Authenticity::Fetched);
    fax
}

#[cfg(test)]
mod tests;
