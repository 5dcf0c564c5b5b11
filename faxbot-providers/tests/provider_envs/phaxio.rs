//! Phaxio, and its mock.

use bytes::Bytes;
use faxbot_core::{
    http::MultipartForm, id::JobId, plugin::PluginCapability, random::SystemRandom,
    webhook::WebhookRequest,
};
use faxbot_providers::phaxio;
use faxbot_testkit::{
    conformance::{Tampered, sip_adapter::BadConfig},
    server::phaxio::{FaxEnd, MockPhaxio, signature},
};
use http::{HeaderName, HeaderValue, Method, header::CONTENT_TYPE};
use serde_json::{Value, json};
use url::Url;

use crate::{
    fax::FaxVendor,
    provider_envs::{CALLER, LONG, OURS, changed, with},
};

const SIGNATURE: HeaderName = HeaderName::from_static("x-phaxio-signature");

/// An account by its callbacks.
#[derive(PartialEq)]
pub(crate) enum Phaxio {
    Signed,
    /// The account has no token: they come by a secret path.
    Unsigned,
}

impl Phaxio {
    /// A form as the vendor makes it.
    fn callback(&self, url: &Url, fax: &str) -> WebhookRequest {
        let fields = [("event_type", "fax_completed"), ("fax", fax)]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut form = MultipartForm::new(&SystemRandom);
        for (name, value) in &fields {
            form = form.text(name, value).unwrap();
        }
        let (kind, body) = form.finish();
        let mut request = WebhookRequest::new(Method::POST, url.path()).with_body(body);
        request.headers.insert(CONTENT_TYPE, kind);
        if *self == Self::Signed {
            let signature = signature(MockPhaxio::TOKEN, url.as_str(), &fields, &[]);
            let signature = signature.parse().unwrap();
            request.headers.insert(SIGNATURE, signature);
        }
        request
    }
}

impl FaxVendor for Phaxio {
    type Mock = MockPhaxio;
    type Provider = phaxio::Phaxio;

    fn name(&self) -> &'static str {
        match self {
            Self::Signed => "phaxio",
            Self::Unsigned => "phaxio unsigned",
        }
    }

    fn capabilities(&self) -> Vec<PluginCapability> {
        vec![
            PluginCapability::SEND_FAX,
            PluginCapability::GET_STATUS,
            PluginCapability::CANCEL_FAX,
            PluginCapability::LIST_INBOUND,
            PluginCapability::GET_INBOUND,
            PluginCapability::HANDLE_WEBHOOK,
        ]
    }

    fn why_not(&self, _: &PluginCapability) -> &'static str {
        unreachable!("it can do everything")
    }

    fn signs(&self) -> bool {
        *self == Self::Signed
    }

    fn config(&self) -> Value {
        let keys = json!({
            "type": "phaxio", "api_key": MockPhaxio::KEY, "api_secret": MockPhaxio::SECRET,
        });
        match self {
            Self::Signed => with(keys, json!({ "callback_token": MockPhaxio::TOKEN })),
            Self::Unsigned => with(keys, json!({ "verify_signature": false })),
        }
    }

    fn submit(&self) -> String {
        "/v2.1/faxes".to_owned()
    }

    fn addresses(&self, vendor: &Url, _: &Url) -> Value {
        json!({ "base_url": format!("{vendor}v2.1/") })
    }

    fn bad_config(&self) -> BadConfig {
        let config = json!({ "api_key": "x", "options": { "caller_id": "me", "poll_min": "0s" } });
        let paths = ["auth.api_secret", "options.caller_id", "options.poll_min"];
        BadConfig::new(config, &paths)
    }

    fn vendor(&self, webhooks: &Url) -> MockPhaxio {
        MockPhaxio::new()
            .calls_back(webhooks.as_str())
            .token(self.signs().then_some(MockPhaxio::TOKEN))
            .with_inflight()
    }

    fn end(&self, vendor: &mut MockPhaxio, number: &str, end: FaxEnd) {
        vendor.set_number(number, end);
    }

    fn refuse(&self, vendor: &mut MockPhaxio, number: &str) {
        vendor.refuse_number(number);
    }

    fn hide(&self, vendor: &mut MockPhaxio) {
        vendor.set_list_lag(LONG);
    }

    fn receive(&self, vendor: &mut MockPhaxio, pages: u32, tell: bool) -> String {
        let pdf = MockPhaxio::blank_pdf(pages);
        let id = match tell {
            true => vendor.receive(CALLER, OURS, pdf),
            false => vendor.receive_quietly(CALLER, OURS, pdf),
        };
        id.to_string()
    }

    fn sid(&self, vendor: &mut MockPhaxio, job: &JobId) -> Option<String> {
        let own = |tag: &String| tag == job.as_str();
        let mut books = vendor.books().into_iter();
        let fax = books.find(|fax| fax.tags.values().any(own))?;
        Some(fax.id.to_string())
    }

    fn is_last(&self, label: &str) -> bool {
        label.starts_with("fax_completed")
    }

    /// A form whose fax is the body: the signature is right, and the rest is not.
    fn genuine(&self, url: &Url, body: Bytes) -> WebhookRequest {
        self.callback(url, &String::from_utf8_lossy(&body))
    }

    fn tampered(&self, request: &WebhookRequest) -> Vec<Tampered> {
        if *self == Self::Unsigned {
            // What is wrong is the path, or the vendor is asked.
            return Vec::new();
        }
        let change = |what: &str, act: &dyn Fn(&mut WebhookRequest)| changed(request, what, act);
        let replace = |what: &str, from: &str, to: &str| {
            // The file is ASCII, as all of the mock are.
            let text = String::from_utf8(request.body.to_vec()).unwrap();
            assert!(text.contains(from), "{what}");
            let body = Bytes::from(text.replace(from, to));
            changed(request, what, |it| it.body = body)
        };
        vec![
            change("no signature", &|it| drop(it.headers.remove(SIGNATURE))),
            change("an empty signature", &|it| {
                it.headers.insert(SIGNATURE, HeaderValue::from_static(""));
            }),
            change("two signatures", &|it| {
                let own = it.headers[SIGNATURE].clone();
                it.headers.append(SIGNATURE, own);
            }),
            change("another signature", &|it| {
                let other = "64a735ef0c47a0ae671e381c046648f0966deb29";
                it.headers
                    .insert(SIGNATURE, HeaderValue::from_static(other));
            }),
            replace("another field", "\"direction\"", "\"Direction\""),
            replace("another value", CALLER, OURS),
            replace("another file", "%PDF-", "%PDG-"),
            change("no body", &|it| it.body = Bytes::new()),
        ]
    }

    fn forged(&self, url: &Url, job: &JobId, sid: &str) -> Vec<(String, WebhookRequest)> {
        const UNKNOWN: &str = "999999999";
        let callback = |what: &str, id: &str, direction: &str, status: &str| {
            let id = id.parse::<u64>().map_or_else(|_| json!(id), |id| json!(id));
            let fax = json!({
                "id": id, "direction": direction, "status": status, "num_pages": 1,
                "from_number": CALLER, "to_number": OURS, "tags": { "faxbot_job": job.as_str() },
                "recipients": [{ "phone_number": OURS, "status": status }],
            });
            (what.to_owned(), self.callback(url, &fax.to_string()))
        };
        vec![
            callback("the fax arrived", sid, "sent", "success"),
            callback("the fax failed", sid, "sent", "failure"),
            callback("another fax of the job", UNKNOWN, "sent", "success"),
            callback("a fax that never came in", UNKNOWN, "received", "success"),
            callback("our own fax came in", sid, "received", "success"),
            callback("a path for an id", "../../x", "received", "success"),
        ]
    }
}
