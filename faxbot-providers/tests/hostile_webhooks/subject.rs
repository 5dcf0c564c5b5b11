//! One plugin that runs, and where it may send requests to.

use std::sync::Arc;

use faxbot_core::{
    id::JobId,
    plugin::{FaxPlugin, MessagingPlugin, PluginId},
    webhook::{WebhookReply, WebhookRequest},
};
use faxbot_providers::sinch_sms::SinchSmsPlugin;
use faxbot_testkit::{
    fixtures::private,
    server::{phaxio::MockPhaxio, sinch_fax::MockSinchFax, sinch_sms::MockSinchSms},
};
use http::{
    HeaderMap, Method,
    header::{AUTHORIZATION, COOKIE, REFERER},
};
use serde_json::{Value, json};
use url::Url;

use crate::cloud_wire_support::{Host, Sent};

/// Which vendor, and what proves its webhooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Phaxio { signed: bool },
    SinchFax,
    SinchSms { signed: bool },
}

impl Kind {
    pub(crate) fn is_signed(self) -> bool {
        matches!(
            self,
            Self::Phaxio { signed: true } | Self::SinchSms { signed: true }
        )
    }
}

/// What can be asked for its state.
pub(crate) enum Plugin {
    Fax {
        plugin: Arc<dyn FaxPlugin>,
        job: JobId,
    },
    Sms {
        plugin: Arc<SinchSmsPlugin>,
        id: String,
    },
}

pub(crate) struct Subject {
    pub(crate) kind: Kind,
    pub(crate) id: PluginId,
    pub(crate) plugin: Plugin,
    /// Where the vendor calls it.
    pub(crate) webhook: Url,
    /// Where the vendor's interface is.
    pub(crate) vendor: Url,
    /// The vendor's id of what was sent and goes on.
    pub(crate) sent: String,
    /// The vendor's id of what came in, and nobody was told of.
    pub(crate) received: String,
}

impl Subject {
    /// All that is known of what was sent and received.
    pub(crate) async fn state(&self) -> Value {
        match &self.plugin {
            Plugin::Fax { plugin, job } => json!(plugin.get_status(job).await.unwrap()),
            Plugin::Sms { plugin, id } => json!([
                plugin.get_message_status(id).await.unwrap(),
                plugin.list_conversations(1000).await.unwrap(),
            ]),
        }
    }

    pub(crate) fn request(&self, headers: &HeaderMap, body: &bytes::Bytes) -> WebhookRequest {
        WebhookRequest::new(Method::POST, self.webhook.path())
            .with_headers(headers.clone())
            .with_body(body.clone())
    }

    /// Sends a webhook to it, in this process.
    pub(crate) async fn call(
        &self,
        host: &Host,
        headers: &HeaderMap,
        body: &bytes::Bytes,
    ) -> WebhookReply {
        host.router.dispatch(self.request(headers, body)).await
    }

    fn base(&self) -> String {
        match self.kind {
            Kind::Phaxio { .. } => "/v2.1/faxes".to_owned(),
            Kind::SinchFax => format!("/v3/projects/{}/faxes", MockSinchFax::PROJECT),
            Kind::SinchSms { .. } => format!("/xms/v1/{}", MockSinchSms::PLAN),
        }
    }

    /// Whether a request is one that a webhook may lead to: a question to the vendor, by an id, with
    /// the credentials of this plugin.
    fn owns(&self, sent: &Sent) -> bool {
        if sent.url.origin() != self.vendor.origin() {
            return false;
        }
        let login = sent
            .headers
            .get(AUTHORIZATION)
            .map(|value| value.to_str().unwrap());
        let basic = login.is_some_and(|login| login.starts_with("Basic "));
        let bearer = login.and_then(|login| login.strip_prefix("Bearer "));
        if self.kind == Kind::SinchFax && sent.url.path() == "/oauth2/token" {
            return basic && sent.method == Method::POST && sent.url.query().is_none();
        }
        let Some(path) = sent.url.path().strip_prefix(&self.base()) else {
            return false;
        };
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        let shape = match (self.kind, segments.as_slice()) {
            (Kind::Phaxio { .. }, [id] | [id, "file"]) => is_id(id) && basic,
            (Kind::SinchFax, [id] | [id, "file" | "file.pdf"]) => {
                is_id(id) && bearer.is_some_and(|token| token.starts_with(private::TOKEN))
            }
            (Kind::SinchSms { .. }, ["batches", id, "delivery_report"] | ["inbounds", id]) => {
                is_id(id) && bearer == Some(MockSinchSms::API_TOKEN)
            }
            _ => false,
        };
        shape && sent.method == Method::GET
    }
}

/// One segment of a path that no server on the way reads as anything else.
fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

/// Sees that each request went to a vendor, as a question that it may be asked.
pub(crate) fn check(subjects: &[Subject], sent: &[Sent], what: &str) {
    for request in sent {
        let owner = subjects.iter().find(|subject| subject.owns(request));
        assert!(
            owner.is_some(),
            "{what}: {} {}",
            request.method,
            request.url
        );
        for name in [COOKIE, REFERER] {
            assert!(!request.headers.contains_key(&name), "{what}: {name}");
        }
    }
}

pub(crate) const PHAXIO_KEYS: (&str, &str) = (MockPhaxio::KEY, MockPhaxio::SECRET);
