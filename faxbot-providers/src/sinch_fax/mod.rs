//! Faxes by Sinch, Fax API v3.
//!
//! ```
//! use faxbot_core::plugin::Plugin;
//! use faxbot_providers::sinch_fax::SinchFaxPlugin;
//! use serde_json::json;
//!
//! let plugin = SinchFaxPlugin::new();
//! let config = json!({
//!     "type": "sinch-fax",
//!     "project_id": "project", "key_id": "key", "key_secret": "secret",
//!     "from": "+15551230000",
//! });
//! assert!(plugin.validate_config(&config).is_ok());
//! // plugin.start(config, PluginDeps::current()?.with_http(client).with_webhooks(router)).await?;
//! ```
//!
//! # What it can do
//!
//! | capability | by |
//! |---|---|
//! | `send_fax` | `POST faxes` with the document in base64, as a form, or with the URL that Sinch fetches; our job id as the label `faxbot_job` |
//! | `get_status` | `GET faxes/{id}` |
//! | `list_inbound`, `get_inbound` | `GET faxes?direction=INBOUND`, `GET faxes/{id}/file` |
//! | `handle_webhook` | callbacks as JSON and as forms |
//!
//! [`delete_file`](CloudFaxPlugin::delete_file) deletes the document at Sinch; its record stays. Sinch
//! cannot cancel a fax.
//!
//! Sinch calls again by itself: the dials of a fax's [`retry`](SendOptions::retry) but the first become
//! `maxRetries`, of which Sinch takes five at most, and the waits between them are Sinch's. The
//! resolution is `fine` or `superfine`. Options of a fax that Sinch decides itself are refused.
//!
//! # Configuration
//!
//! [`FIELDS`] is the table of all fields, of which [`markdown`](FieldTable::markdown) makes a page.
//! `project_id`, `key_id` and `key_secret` are required. A document goes as JSON, because only there the
//! form of our label is certain; `body: multipart` spares a third of the bytes. With that a fax under an id
//! that the caller chose is not sent before Sinch was seen to keep our label.
//!
//! # Statuses
//!
//! | Sinch | status |
//! |---|---|
//! | `QUEUED` | `queued` |
//! | `IN_PROGRESS` | `in_progress` |
//! | `COMPLETED` | `SUCCESS`; `outcome_unknown` where it contradicts itself |
//! | `FAILURE` | `FAILED` by type and number of the error; `cancelled` for number 75 |
//! | any other | kept as it is, and nothing changes |
//!
//! A completed fax contradicts itself when it counts fewer pages sent than it has, or has an error and no
//! count: whether Sinch counts those of the last call or of all is not said. Where it says that there was
//! one call, fewer pages are a failure.
//!
//! The pages that Sinch calls sent are no confirmed ones: a fax that it calls failed is failed, whatever
//! it counted.
//!
//! # Callbacks
//!
//! Sinch signs nothing. They come by a URL with a secret in its path, and by user and password too where
//! the URL that Sinch was given has them (`callback_url`, `webhook_url`). Neither proves what a callback
//! says: each fax that one names is fetched from Sinch. For received faxes the URL is set in the fax
//! service (`incomingWebhookUrl`). A job depends on no callback: it is polled as well.
//!
//! # Limits
//!
//! Sinch's command line tool names 20 MB a document, and no other limit is published. The filter of lists
//! by label has no published form, so a fax is looked for in the list of its time and number.

pub mod config;
mod list;
mod search;
mod webhook;
mod wire;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use faxbot_core::{
    Error, ErrorKind, Private, Result, Timestamp,
    address::FaxTarget,
    clock::SharedClock,
    config::{ConfigErrors, FieldTable},
    document::Resolution,
    http::{ApiCall, ApiClient, Auth, HttpRequest, MultipartForm, OAuth2, Rate},
    id::JobId,
    plugin::{InboundFax, InboundQuery, Manifest, Page, PluginCapability, PluginId, SendOptions},
    random::SharedRandom,
    webhook::{Authenticity, InboundFile, WebhookPath, WebhookRequest},
};
use http::{
    HeaderValue, Method, StatusCode,
    header::{ACCEPT, CONTENT_TYPE},
};
use serde_json::Value;
use url::Url;

use crate::cloud::{
    FaxProvider, ProviderContext,
    fax::{
        CloudFaxPlugin, FaxLimits, FaxNotice, FaxReport, PageCursor, Submission, Submitted, Upload,
        phone_number, received_file, refuse_options_of_a_call, refused,
    },
};

pub use config::{AuthMethod, BodyForm, FIELDS, ImageConversion, SinchFaxConfig};

use list::List;
use search::Numbers;
use wire::{Details, Fax};

/// Sends and receives faxes by Sinch. See the [module](self).
pub type SinchFaxPlugin = CloudFaxPlugin<SinchFax>;

/// The plugin's id, which results name as backend.
pub const ID: PluginId = PluginId::from_static("sinch-fax");

/// The figure of Sinch's command line tool, in bytes.
const LIMIT_BYTES: u64 = 20_000_000;
/// How long Sinch keeps faxes, with a month to spare: without a bound its lists end a week ago.
const KEPT: Duration = Duration::from_secs(425 * 24 * 60 * 60);
/// Most faxes of a page of a list, by Sinch's documentation.
const MOST: usize = 1000;
/// Time for the file of a received fax: a big one takes longer than an answer.
const FILE_TIMEOUT: Duration = Duration::from_secs(180);
/// Longest file of a received fax, in bytes.
const FILE_BYTES: u64 = 100 * 1024 * 1024;

/// Sinch's wire. See the [module](self).
#[derive(Debug)]
pub struct SinchFax {
    api: ApiClient,
    config: SinchFaxConfig,
    /// What goes with each fax as its `callbackUrl`.
    callback: Option<Private<Url>>,
    clock: SharedClock,
    random: SharedRandom,
    numbers: Numbers,
}

impl SinchFax {
    /// The address of the project's faxes, or of something below it.
    fn url(&self, below: &[&str]) -> Result<Url> {
        let mut segments = vec!["v3", "projects", &self.config.project_id, "faxes"];
        segments.extend(below);
        self.api.url(&segments)
    }

    async fn get(&self, operation: &'static str, url: Url) -> Result<Value> {
        let request = HttpRequest::get(url).with_header(ACCEPT, "application/json")?;
        let response = self.api.call(ApiCall::read(operation, request)).await?;
        wire::answer(operation, &response, false)
    }

    async fn fax(&self, operation: &'static str, sid: &str) -> Result<(Fax, Value)> {
        // Anybody may ask for anything as a received fax.
        if !wire::is_id(sid) {
            let message = "not an id of sinch's";
            return Err(Error::new(ErrorKind::NotFound, operation, message));
        }
        let raw = self.get(operation, self.url(&[sid])?).await?;
        let fax = Fax::read(operation, &raw)?;
        if fax.sid() == sid {
            Ok((fax, raw))
        } else {
            Err(wire::unreadable(operation, false))
        }
    }

    /// The document of a received fax. The path with `.pdf` is the older one: the newest client calls it
    /// deprecated, the others know no other.
    async fn file(&self, operation: &'static str, sid: &str) -> Result<Bytes> {
        let get = async |name: &str| {
            let request = HttpRequest::get(self.url(&[sid, name])?)
                .with_timeout(FILE_TIMEOUT)
                .with_max_response_bytes(FILE_BYTES)
                .with_header(ACCEPT, "application/pdf")?;
            self.api.call(ApiCall::read(operation, request)).await
        };
        let mut response = get("file").await?;
        if response.status == StatusCode::NOT_FOUND {
            response = get("file.pdf").await?;
        }
        wire::check(operation, &response, false)?;
        Ok(response.body)
    }

    fn submission(&self, fax: &Submission) -> Result<HttpRequest> {
        let config = &self.config;
        let options = &fax.options;
        let header = options.header.as_ref().or(config.header.as_ref());
        let retries = options
            .retry
            .as_ref()
            .map(|retry| retry.max_dials.saturating_sub(1));
        let details = Details {
            from: config.from.as_ref().map(|from| from.e164()),
            header: header
                .map(|header| header.expose())
                .filter(|text| !text.is_empty()),
            service_id: config.service_id.as_deref(),
            resolution: options.resolution.map(resolution).transpose()?,
            image_conversion: config.image_conversion.map(ImageConversion::word),
            max_retries: retries
                .map(|retries| retries.min(wire::MOST_RETRIES))
                .or(config.max_retries),
            callback_url: self.callback.as_ref().map(|url| url.expose().as_str()),
        };
        let (content_type, body) = match config.body {
            BodyForm::Json => {
                let json = HeaderValue::from_static("application/json");
                (json, Bytes::from(wire::json_body(fax, &details)))
            }
            BodyForm::Multipart => {
                let mut form = MultipartForm::new(&*self.random);
                for (name, value) in wire::form_fields(fax, &details) {
                    form = form.text(&name, &value)?;
                }
                if let Upload::File { format, bytes, .. } = &fax.upload {
                    let (name, media_type) = (format.file_name(), format.media_type());
                    form = form.file("file", name, media_type, bytes.clone())?;
                }
                form.finish()
            }
        };
        let mut request = HttpRequest::post(self.url(&[])?, body)
            .with_timeout(fax.upload.timeout())
            .with_header(ACCEPT, "application/json")?;
        request.headers.insert(CONTENT_TYPE, content_type);
        Ok(request)
    }
}

#[async_trait]
impl FaxProvider for SinchFax {
    const FIELDS: FieldTable = FIELDS;
    const WEBHOOK_PATH: WebhookPath = WebhookPath::Secret;

    fn manifest() -> Manifest {
        Manifest::new(
            ID,
            "Sinch Fax",
            &["outbound", "inbound"],
            &[
                PluginCapability::SEND_FAX,
                PluginCapability::GET_STATUS,
                PluginCapability::LIST_INBOUND,
                PluginCapability::GET_INBOUND,
                PluginCapability::HANDLE_WEBHOOK,
            ],
        )
        .with_version(env!("CARGO_PKG_VERSION"))
        .with_description("Sends and receives faxes by Sinch's Fax API v3")
    }

    fn validate(config: &Value) -> Result<(), ConfigErrors> {
        SinchFaxConfig::validate(config)
    }

    fn build(config: &Value, context: ProviderContext) -> Result<Self> {
        let config = SinchFaxConfig::from_value(config)?;
        let auth = match config.auth_method {
            AuthMethod::Basic => Auth::basic(config.key_id.expose(), config.key_secret.clone()),
            AuthMethod::Oauth2 => Auth::OAuth2(OAuth2::client_credentials(
                config.token_url()?,
                config.key_id.expose(),
                config.key_secret.clone(),
            )),
        };
        let rate = Rate::per_second(config.requests_per_second).with_burst(config.request_burst);
        let api = ApiClient::new(
            context.http,
            config.base_url.clone(),
            SharedClock::clone(&context.clock),
            SharedRandom::clone(&context.random),
        )?
        .with_auth(auth)
        .with_rate(rate);
        let callback = config
            .callback_url
            .clone()
            .or_else(|| context.webhook_url.map(Private::new));
        Ok(Self {
            api,
            config,
            callback,
            clock: context.clock,
            random: context.random,
            numbers: Numbers::default(),
        })
    }

    fn limits(&self) -> FaxLimits {
        let mut limits = FaxLimits::new(LIMIT_BYTES);
        limits.urls = true;
        limits
    }

    fn prepare(&self, to: &FaxTarget, options: &SendOptions) -> Result<Private> {
        let number = phone_number(to)?;
        refuse_options_of_a_call(options)?;
        options.resolution.map(resolution).transpose()?;
        Ok(Private::new(number.e164().to_owned()))
    }

    async fn submit(&self, fax: &Submission) -> Result<Submitted> {
        let call = ApiCall::act("send_fax", self.submission(fax)?);
        let answer = wire::answer("send_fax", &self.api.call(call).await?, true)?;
        let (taken, raw) = wire::submitted(answer)?;
        match taken.job_id() {
            // Of a fax that is none of ours: the list tells what became of ours.
            Some(other) if other != fax.job_id => return Err(wire::unreadable("send_fax", true)),
            Some(_) => self.numbers.saw_label(),
            None => tracing::warn!(
                body = ?self.config.body,
                "the answer lacks our label: a fax without an answer could not be found again",
            ),
        }
        if let Some(told) = taken.to() {
            self.numbers.saw(told);
        }
        let mut submitted = Submitted::new(taken.sid());
        submitted.report = Some(taken.report(raw));
        Ok(submitted)
    }

    async fn status(&self, sid: &str) -> Result<FaxReport> {
        let (fax, raw) = self.fax("get_status", sid).await?;
        Ok(fax.report(raw))
    }

    async fn find(
        &self,
        job: &JobId,
        to: Option<&Private>,
        since: Timestamp,
    ) -> Result<Option<FaxReport>> {
        self.search(job, to, since).await
    }

    async fn delete_file(&self, sid: &str) -> Result<()> {
        let request = HttpRequest::new(Method::DELETE, self.url(&[sid, "file"])?);
        let call = ApiCall::act("delete_file", request);
        wire::check("delete_file", &self.api.call(call).await?, true)
    }

    async fn list_inbound(&self, query: &InboundQuery) -> Result<Page<InboundFax>> {
        let cursor = PageCursor::of(query)?;
        let now = self.clock.timestamp();
        let mut url = self.url(&[])?;
        url.query_pairs_mut()
            .append_pair("direction", "INBOUND")
            .append_pair("createTime>", &(now - KEPT).to_seconds().to_string())
            .append_pair("pageSize", &cursor.size.to_string())
            .append_pair("page", &cursor.page.to_string());
        if let Some(before) = cursor.before {
            url.query_pairs_mut()
                .append_pair("createTime<", &before.to_string());
        }
        let list = List::read("list_inbound", self.get("list_inbound", url).await?)?;
        let more = list.goes_on(cursor.page, cursor.size);
        let faxes = list.faxes();
        let newest = faxes.iter().filter_map(Fax::made_at).max();
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
            let message = "sinch has no received fax of this id";
            return Err(Error::new(ErrorKind::NotFound, operation, message));
        }
        if !fax.is_complete() && !fax.has_failed() {
            let message = "the fax is still coming in";
            return Err(Error::new(ErrorKind::ServerBusy, operation, message));
        }
        let file = received_file(operation, self.file(operation, sid).await?)?;
        Ok((fetched(fax, self.clock.timestamp()), file))
    }

    async fn verify(
        &self,
        request: &WebhookRequest,
        url: &Url,
        _now: Timestamp,
    ) -> Option<Authenticity> {
        let configured = self.config.callback_url.as_ref().map(Private::expose);
        let urls: Vec<_> = [Some(url), configured].into_iter().flatten().collect();
        webhook::proof(request, &urls)
    }

    async fn read_webhook(&self, request: &WebhookRequest) -> Result<Vec<FaxNotice>> {
        webhook::read(request).await
    }
}

/// Sinch's words: 200 and 400 dots per inch.
fn resolution(resolution: Resolution) -> Result<&'static str> {
    match resolution {
        Resolution::Fine => Ok("FINE"),
        Resolution::Superfine => Ok("SUPERFINE"),
        _ => Err(refused("resolution: sinch sends fine or superfine")),
    }
}

fn fetched(fax: Fax, now: Timestamp) -> InboundFax {
    let mut fax = fax.inbound(ID.as_str(), now);
    fax.authenticity = Some(Authenticity::Fetched);
    fax
}

#[cfg(test)]
mod tests;
