//! Messages by Sinch SMS (XMS v1): SMS, and MMS in the US.
//!
//! ```
//! use faxbot_core::plugin::Plugin;
//! use faxbot_providers::sinch_sms::SinchSmsPlugin;
//! use serde_json::json;
//!
//! let plugin = SinchSmsPlugin::new();
//! let config = json!({
//!     "type": "faxbot-sinch-sms",
//!     "service_plan_id": "plan", "api_token": "token",
//!     "from_number": "+15550100001",
//!     // Where Sinch signs the callbacks of the plan.
//!     "webhook_secret": "secret",
//! });
//! assert!(plugin.validate_config(&config).is_ok());
//! // plugin.start(config, PluginDeps::current()?.with_http(client).with_webhooks(router)).await?;
//! ```
//!
//! # What it can do
//!
//! | capability | by |
//! |---|---|
//! | `send_message`, `send_reply` | `POST batches` with one recipient; our reference as `client_reference` |
//! | `get_message_status` | `GET batches/{id}/delivery_report`, and callbacks |
//! | `list_conversations` | what was sent and received here |
//! | `receive_webhook` | delivery reports, `mo_text`, `mo_binary`, `mo_media` |
//!
//! A message whose request was not answered is looked for by `GET batches?client_reference`; what a
//! callback may have missed, by `GET inbounds`.
//!
//! # Statuses
//!
//! | Sinch | state |
//! |---|---|
//! | `Queued` | `queued` |
//! | `Dispatched` | `sent` |
//! | `Delivered` | `delivered` |
//! | `Aborted`, `Rejected`, `Deleted`, `Failed`, `Expired`, `Cancelled` | `failed` |
//! | `Unknown` | `outcome_unknown` |
//! | any other | by its code, where Sinch has one for it; else nothing changes |
//!
//! The code is in the raw words of the status. Sinch reads no receipts: there is no `read`.
//!
//! # Callbacks
//!
//! Delivery reports go to the URL that the host serves, which goes with each batch. Where messages that
//! come in go to is set at Sinch for the service plan: give it the same URL.
//!
//! With `webhook_secret` every callback has to be signed (HMAC-SHA256), and to be from the last 5 minutes
//! by its signed time; its nonce stands for one body. Without it, they come by a URL with a secret, nothing
//! in them is believed, and what they name is fetched. Sinch does not repeat a callback that was
//! answered with 4xx, so a wrong secret loses callbacks. It loses no message: statuses are polled and
//! the list of received messages is read, without any callback.
//!
//! # Limits
//!
//! A text has 1 to 2000 characters. Numbers are E.164. MMS takes one file by its URL, in the region us, to
//! numbers of the country code 1. `${...}` in a text is Sinch's form for values that differ by recipient;
//! none are sent, and what it makes of such a text then is not documented.
//!
//! Who has a project instead of a service plan gives `project_id`, `key_id` and `key_secret`.

pub mod config;
mod webhook;
mod wire;

use async_trait::async_trait;
use faxbot_core::{
    Error, ErrorKind, Private, Result, Timestamp,
    address::Address,
    clock::SharedClock,
    config::{ConfigErrors, FieldTable},
    http::{ApiCall, ApiClient, Auth, HttpRequest, OAuth2, Rate},
    message::{InboundMessage, MessageContent, MessageKind},
    plugin::{InboundQuery, Manifest, Page, PluginCapability, PluginId},
    webhook::{Authenticity, WebhookPath, WebhookReply, WebhookRequest},
};
use http::{HeaderValue, StatusCode, header};
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use crate::cloud::{
    MessagingProvider, ProviderContext,
    messaging::{
        AcceptedMessage, CloudMessagingPlugin, MessageNotice, MessageReport, PreparedMessage,
        Segments,
    },
};

pub use config::{FIELDS, SinchSmsAccount, SinchSmsConfig};

use webhook::Verifier;
use wire::{Batch, Batches, Inbounds};

/// Sends and receives messages by Sinch. See the [module](self).
pub type SinchSmsPlugin = CloudMessagingPlugin<SinchSms>;

/// The plugin's id, which results name as provider.
pub const ID: PluginId = PluginId::from_static("faxbot-sinch-sms");

/// Longest answer, in bytes: a page of 100 messages of 2,000 characters each, escaped.
const ANSWER_BYTES: u64 = 4 * 1024 * 1024;

/// Sinch's wire. See the [module](self).
#[derive(Debug)]
pub struct SinchSms {
    api: ApiClient,
    /// The plan or the project, a segment of each path.
    account: String,
    config: SinchSmsConfig,
    /// What goes with each batch as its `callback_url`.
    callback: Option<Private<Url>>,
    verifier: Verifier,
    clock: SharedClock,
}

impl SinchSms {
    /// The address of a resource of the account, with a query.
    fn url(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Url> {
        let mut segments = vec!["xms", "v1", self.account.as_str()];
        segments.extend(path);
        let mut url = self.api.url(&segments)?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(url)
    }

    async fn get<T: for<'de> Deserialize<'de>>(
        &self,
        operation: &'static str,
        url: Url,
    ) -> Result<T> {
        let request = HttpRequest::get(url).with_max_response_bytes(ANSWER_BYTES);
        let response = self.api.call(ApiCall::read(operation, request)).await?;
        let value = wire::answer(operation, &response, false)?;
        serde_json::from_value(value).map_err(|_| wire::unreadable(operation, false))
    }
}

fn refused<T>(message: impl Into<String>) -> Result<T> {
    Err(Error::new(
        ErrorKind::InvalidRequest,
        "send_message",
        message,
    ))
}

/// Refuses what is no id of Sinch: some server on the way may read `%2F` in a path as a slash.
fn check_id(operation: &'static str, id: &str) -> Result<()> {
    if wire::is_id(id) {
        return Ok(());
    }
    let why = "not an id of sinch";
    Err(Error::new(ErrorKind::InvalidRequest, operation, why))
}

/// What the lists of Sinch take as a date.
fn date(at: Timestamp) -> String {
    at.to_seconds().to_string()
}

#[async_trait]
impl MessagingProvider for SinchSms {
    const FIELDS: FieldTable = FIELDS;
    const WEBHOOK_PATH: WebhookPath = WebhookPath::Secret;

    fn manifest() -> Manifest {
        Manifest::new(
            ID,
            "Sinch SMS",
            &["messaging"],
            &[
                PluginCapability::SEND_MESSAGE,
                PluginCapability::GET_MESSAGE_STATUS,
                PluginCapability::LIST_CONVERSATIONS,
                PluginCapability::SEND_REPLY,
                PluginCapability::RECEIVE_WEBHOOK,
            ],
        )
        .with_version(env!("CARGO_PKG_VERSION"))
        .with_description("Sends and receives SMS and MMS by Sinch (XMS v1)")
    }

    fn validate(config: &Value) -> Result<(), ConfigErrors> {
        SinchSmsConfig::validate(config)
    }

    /// A plan that signs has no need of a secret in the path.
    fn webhook_path(config: &Value) -> WebhookPath {
        match SinchSmsConfig::from_value(config) {
            Ok(config) if config.webhook_secret.is_some() => WebhookPath::Plain,
            _ => WebhookPath::Secret,
        }
    }

    fn build(config: &Value, context: ProviderContext) -> Result<Self> {
        let config = SinchSmsConfig::from_value(config)?;
        let ProviderContext {
            http,
            clock,
            random,
            webhook_url,
        } = context;
        let (account, auth) = match &config.account {
            SinchSmsAccount::Plan { id, token } => (id, Auth::Bearer(token.clone())),
            SinchSmsAccount::Project {
                id,
                key_id,
                key_secret,
            } => {
                let url = config.auth_url.join("oauth2/token").map_err(|_| {
                    let message = "no address of tokens";
                    Error::new(ErrorKind::Config, "start", message)
                })?;
                let tokens = OAuth2::client_credentials(url, key_id.expose(), key_secret.clone());
                (id, Auth::OAuth2(tokens))
            }
        };
        let account = account.clone();
        let rate = Rate::per_second(config.requests_per_second).with_burst(config.request_burst);
        let api = ApiClient::new(
            http,
            config.base_url.clone(),
            SharedClock::clone(&clock),
            random,
        )?
        .with_auth(auth)
        .with_rate(rate);
        if let Some(url) = &webhook_url
            && url.as_str().chars().count() > wire::ADDRESS
        {
            let message = "the url of webhooks is longer than 2048 characters";
            return Err(Error::new(ErrorKind::InvalidRequest, "start", message));
        }
        Ok(Self {
            api,
            account,
            callback: webhook_url.map(Private::new),
            verifier: Verifier::new(config.webhook_secret.clone()),
            config,
            clock,
        })
    }

    fn our_number(&self) -> Private {
        self.config.from_number.clone()
    }

    fn prepare(&self, to: &Address, content: &MessageContent) -> Result<PreparedMessage> {
        let Address::PhoneNumber(to) = to else {
            return refused("sinch sends to numbers: + and 7 to 15 digits");
        };
        // The vendor counts characters, by which it may mean units of UTF-16: the smaller limit.
        let characters = content.text.encode_utf16().count();
        let segments = match content.kind {
            MessageKind::Sms => {
                if !content.media.is_empty() {
                    return refused("an sms has no media; an mms has");
                }
                if content.text.is_empty() || characters > wire::TEXT {
                    return refused("the text of an sms has 1 to 2000 characters");
                }
                Segments::of(&content.text).parts
            }
            MessageKind::Mms => {
                let [media] = content.media.as_slice() else {
                    return refused("an mms by sinch has one media url");
                };
                let open = media.username().is_empty() && media.password().is_none();
                if !matches!(media.scheme(), "http" | "https") || !open {
                    return refused("media are named by http or https urls without a password");
                }
                if media.as_str().len() > wire::ADDRESS {
                    return refused("the url of the media has more than 2048 characters");
                }
                if characters > wire::MEDIA_TEXT {
                    return refused("the text of an mms has at most 5000 characters");
                }
                if self.config.region != "us" || to.country_code() != "1" {
                    return refused("sinch sends mms in the region us, to country code 1");
                }
                1
            }
            _ => return refused("sinch carries sms and mms"),
        };
        let to = Private::new(to.e164().to_owned());
        Ok(PreparedMessage::new(to, content.clone(), segments))
    }

    async fn submit(&self, reference: &str, message: &PreparedMessage) -> Result<AcceptedMessage> {
        const OPERATION: &str = "send_message";
        let from = message.from.as_ref().unwrap_or(&self.config.from_number);
        let batch = wire::batch(
            reference,
            from.expose(),
            message,
            self.config.enable_delivery_reports,
            self.callback.as_ref().map(Private::expose),
        );
        let url = self.url(&["batches"], &[])?;
        let mut request =
            HttpRequest::post(url, batch.to_string()).with_max_response_bytes(ANSWER_BYTES);
        let json = HeaderValue::from_static("application/json");
        request.headers.insert(header::CONTENT_TYPE, json);
        let response = self.api.call(ApiCall::act(OPERATION, request)).await?;
        let value = wire::answer(OPERATION, &response, true)?;
        let id = Batch::deserialize(value).ok().and_then(|batch| batch.id);
        match id.filter(|id| wire::is_id(id)) {
            Some(id) => Ok(AcceptedMessage::new(id)),
            // It said yes, and not to what: the message is looked for.
            None => Err(wire::unreadable(OPERATION, true)),
        }
    }

    async fn status(&self, id: &str) -> Result<MessageReport> {
        const OPERATION: &str = "get_message_status";
        check_id(OPERATION, id)?;
        let path = ["batches", id, "delivery_report"];
        let value = self
            .get(OPERATION, self.url(&path, &[("type", "full")])?)
            .await?;
        let report = wire::report(OPERATION, value)?;
        if report.id == id {
            Ok(report)
        } else {
            // Of another message, as a cache on the way may answer: nothing is known of this one.
            Err(wire::unreadable(OPERATION, false))
        }
    }

    async fn find(&self, reference: &str, since: Timestamp) -> Result<Option<AcceptedMessage>> {
        let (since, size) = (date(since), wire::PAGE.to_string());
        let query = [
            ("client_reference", reference),
            ("start_date", since.as_str()),
            ("page_size", size.as_str()),
        ];
        let list: Batches = self
            .get("get_message_status", self.url(&["batches"], &query)?)
            .await?;
        // The filter is trusted as far as it shows.
        let ours = |batch: &Batch| batch.client_reference.as_deref() == Some(reference);
        let mut ids = list.batches.into_iter().filter(ours).filter_map(|b| b.id);
        let found = ids.find(|id| wire::is_id(id));
        Ok(found.map(AcceptedMessage::new))
    }

    async fn list_inbound(
        &self,
        since: Timestamp,
        query: &InboundQuery,
    ) -> Result<Page<InboundMessage>> {
        const OPERATION: &str = "list_inbound";
        let page: usize = match &query.cursor {
            None => 0,
            Some(cursor) => cursor.parse().map_err(|_| {
                let why = "not a cursor of this list";
                Error::new(ErrorKind::InvalidRequest, OPERATION, why)
            })?,
        };
        let size = query.limit.clamp(1, wire::PAGE);
        let (since, number, limit) = (date(since), page.to_string(), size.to_string());
        let query = [
            ("start_date", since.as_str()),
            ("page", number.as_str()),
            ("page_size", limit.as_str()),
        ];
        let list: Inbounds = self
            .get(OPERATION, self.url(&["inbounds"], &query)?)
            .await?;
        let (given, now) = (list.inbounds.len(), self.clock.timestamp());
        let read = |value: &Value| {
            let read = wire::inbound(OPERATION, value, Authenticity::Fetched, now);
            if read.is_err() {
                // The others of the page are not lost for it.
                tracing::warn!("a message in the list of received ones cannot be read");
            }
            read.ok()
        };
        let mut items: Vec<_> = list.inbounds.iter().filter_map(read).collect();
        items.sort_by_key(|message| std::cmp::Reverse(message.received_at));
        let next = page.saturating_add(1);
        let more = match list.count {
            Some(count) => next.saturating_mul(size) < count,
            // A full page may have another behind it; an empty one ends the list.
            None => given >= size,
        };
        Ok(if given > 0 && more {
            Page::more(items, next.to_string())
        } else {
            Page::last(items)
        })
    }

    async fn inbound(&self, id: &str) -> Result<InboundMessage> {
        const OPERATION: &str = "handle_webhook";
        check_id(OPERATION, id)?;
        let value: Value = self
            .get(OPERATION, self.url(&["inbounds", id], &[])?)
            .await?;
        let now = self.clock.timestamp();
        wire::inbound(OPERATION, &value, Authenticity::Fetched, now)
    }

    async fn verify(
        &self,
        request: &WebhookRequest,
        url: &Url,
        now: Timestamp,
    ) -> Option<Authenticity> {
        self.verifier.verify(request, url, now)
    }

    async fn read_webhook(
        &self,
        request: &WebhookRequest,
        authenticity: Authenticity,
    ) -> Result<Vec<MessageNotice>> {
        webhook::read(request, authenticity, self.clock.timestamp())
    }

    /// What the vendor's own clients answer.
    fn reply(&self) -> WebhookReply {
        WebhookReply::json(StatusCode::OK, r#"{"status":"ok"}"#)
    }
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
