//! Sinch Fax, and its mock.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use faxbot_core::{id::JobId, plugin::PluginCapability, webhook::WebhookRequest};
use faxbot_providers::sinch_fax;
use faxbot_testkit::{
    conformance::{Tampered, sip_adapter::BadConfig},
    fixtures::private,
    server::{
        phaxio::MockPhaxio,
        sinch_fax::{FaxDialect, FaxEnd, MockSinchFax},
    },
};
use http::{
    HeaderValue, Method,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use serde_json::{Value, json};
use url::Url;

use crate::{
    fax::FaxVendor,
    provider_envs::{CALLER, LONG, OURS, changed, with},
};

const USER: &str = "vendor";
/// The two ways in which everything can be told.
pub(crate) enum SinchFax {
    /// Tokens, documents in JSON, callbacks as forms with a user and a password, the types of the client
    /// for Node.
    Json,
    /// Basic, documents as forms, callbacks of received faxes as JSON, the types of the client for .NET.
    Forms,
}

impl FaxVendor for SinchFax {
    type Mock = MockSinchFax;
    type Provider = sinch_fax::SinchFax;

    fn name(&self) -> &'static str {
        match self {
            Self::Json => "sinch-fax",
            Self::Forms => "sinch-fax with forms",
        }
    }

    fn capabilities(&self) -> Vec<PluginCapability> {
        vec![
            PluginCapability::SEND_FAX,
            PluginCapability::GET_STATUS,
            PluginCapability::LIST_INBOUND,
            PluginCapability::GET_INBOUND,
            PluginCapability::HANDLE_WEBHOOK,
        ]
    }

    fn why_not(&self, _: &PluginCapability) -> &'static str {
        "sinch has no call to cancel a fax"
    }

    fn signs(&self) -> bool {
        false
    }

    fn config(&self) -> Value {
        let config = json!({
            "type": "sinch-fax", "project_id": MockSinchFax::PROJECT,
            "key_id": MockSinchFax::KEY_ID, "key_secret": MockSinchFax::KEY_SECRET,
        });
        match self {
            Self::Json => config,
            Self::Forms => with(
                config,
                json!({ "auth_method": "basic", "body": "multipart" }),
            ),
        }
    }

    fn submit(&self) -> String {
        format!("/v3/projects/{}/faxes", MockSinchFax::PROJECT)
    }

    fn addresses(&self, vendor: &Url, webhooks: &Url) -> Value {
        let own = json!({ "base_url": vendor, "auth_url": vendor });
        match self {
            Self::Json => with(own, json!({ "callback_url": closed(webhooks) })),
            Self::Forms => own,
        }
    }

    fn bad_config(&self) -> BadConfig {
        let config = json!({ "key_id": "x", "options": { "from": "me", "poll_min": "0s" } });
        let paths = [
            "auth.key_secret",
            "options.project_id",
            "options.from",
            "options.poll_min",
        ];
        BadConfig::new(config, &paths)
    }

    fn vendor(&self, webhooks: &Url) -> MockSinchFax {
        let mock = MockSinchFax::new();
        match self {
            Self::Json => mock.without_basic().calls_back(closed(webhooks)),
            Self::Forms => mock
                .dialect(FaxDialect::DotNet)
                .incoming_as_json()
                .calls_back(webhooks.clone()),
        }
    }

    fn end(&self, vendor: &mut MockSinchFax, number: &str, end: FaxEnd) {
        vendor.set_number(number, end);
    }

    /// It refuses all of them.
    fn refuse(&self, vendor: &mut MockSinchFax, _: &str) {
        vendor.set_without_funds(true);
    }

    fn hide(&self, vendor: &mut MockSinchFax) {
        vendor.set_list_lag(LONG);
    }

    fn receive(&self, vendor: &mut MockSinchFax, pages: u32, tell: bool) -> String {
        let pdf = MockPhaxio::blank_pdf(pages);
        match tell {
            true => vendor.receive(CALLER, OURS, pdf),
            false => vendor.receive_quietly(CALLER, OURS, pdf),
        }
    }

    fn sid(&self, vendor: &mut MockSinchFax, job: &JobId) -> Option<String> {
        let own = |label: &String| label == job.as_str();
        let mut books = vendor.books().into_iter();
        Some(books.find(|fax| fax.labels.values().any(own))?.id)
    }

    fn is_last(&self, _: &str) -> bool {
        // It tells of ends only.
        true
    }

    fn genuine(&self, url: &Url, body: Bytes) -> WebhookRequest {
        let mut request = WebhookRequest::new(Method::POST, url.path()).with_body(body);
        let json = HeaderValue::from_static("application/json");
        request.headers.insert(CONTENT_TYPE, json);
        if matches!(self, Self::Json) {
            request.headers.insert(AUTHORIZATION, basic());
        }
        request
    }

    fn tampered(&self, request: &WebhookRequest) -> Vec<Tampered> {
        if matches!(self, Self::Forms) {
            // What is wrong is the path, or the vendor is asked.
            return Vec::new();
        }
        let change = |what: &str, act: &dyn Fn(&mut WebhookRequest)| changed(request, what, act);
        vec![
            change("no password", &|it| drop(it.headers.remove(AUTHORIZATION))),
            change("another password", &|it| {
                let other = HeaderValue::from_static("Basic dmVuZG9yOmFub3RoZXI=");
                it.headers.insert(AUTHORIZATION, other);
            }),
            change("two passwords", &|it| {
                it.headers.append(AUTHORIZATION, basic());
            }),
        ]
    }

    fn forged(&self, url: &Url, job: &JobId, sid: &str) -> Vec<(String, WebhookRequest)> {
        const UNKNOWN: &str = "01HDQ6CV7A1X0TJ3K2BW8ZP4MN";
        let callback = |what: &str, id: &str, direction: &str, status: &str| {
            let event = match direction {
                "INBOUND" => "INCOMING_FAX",
                _ => "FAX_COMPLETED",
            };
            let fax = json!({
                "id": id, "direction": direction, "status": status, "to": OURS, "from": CALLER,
                "numberOfPages": 1, "pagesSentSuccessfully": 1, "hasFile": "true",
                "labels": { "faxbot_job": job.as_str() },
            });
            let body =
                json!({ "event": event, "fax": fax, "file": "JVBERi0xLjcK", "fileType": "PDF" });
            (what.to_owned(), self.genuine(url, body.to_string().into()))
        };
        vec![
            callback("the fax arrived", sid, "OUTBOUND", "COMPLETED"),
            callback("the fax failed", sid, "OUTBOUND", "FAILURE"),
            callback("another fax of the job", UNKNOWN, "OUTBOUND", "COMPLETED"),
            callback("a fax that never came in", UNKNOWN, "INBOUND", "COMPLETED"),
            callback("our own fax came in", sid, "INBOUND", "COMPLETED"),
            callback("a path for an id", "../../x", "INBOUND", "COMPLETED"),
        ]
    }
}

/// With the user and the password.
fn closed(webhooks: &Url) -> Url {
    let mut url = webhooks.clone();
    url.set_username(USER).unwrap();
    url.set_password(Some(private::SECRET)).unwrap();
    url
}

/// Both as the vendor sends them.
fn basic() -> HeaderValue {
    let both = STANDARD.encode(format!("{USER}:{}", private::SECRET));
    format!("Basic {both}").parse().unwrap()
}
