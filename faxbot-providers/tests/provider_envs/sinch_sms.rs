//! Sinch SMS, and its mock.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use bytes::Bytes;
use faxbot_core::{
    Timestamp, message::MessageKind, plugin::PluginCapability, webhook::WebhookRequest,
};
use faxbot_providers::sinch_sms;
use faxbot_testkit::{
    conformance::{Tampered, messaging_plugin::MessageFate, sip_adapter::BadConfig},
    fixtures::private,
    server::{
        http::{Callback, SeenRequest},
        sinch_sms::{IncomingSms, MockSinchSms, SmsEnd, signature},
    },
};
use http::{HeaderName, HeaderValue, Method, header::CONTENT_TYPE};
use serde_json::{Value, json};
use url::Url;

use crate::{
    messaging::MessagingVendor,
    provider_envs::{CALLER, OURS, changed, with},
};

/// The secret of the plan.
const SECRET: &str = private::SIGNING_SECRET;
const SIGNATURE: HeaderName = HeaderName::from_static("x-sinch-webhook-signature");
const ALGORITHM: HeaderName = HeaderName::from_static("x-sinch-webhook-signature-algorithm");
const NONCE: HeaderName = HeaderName::from_static("x-sinch-webhook-signature-nonce");
const TIME: HeaderName = HeaderName::from_static("x-sinch-webhook-signature-timestamp");

/// The two kinds of accounts.
#[derive(PartialEq)]
pub(crate) enum SinchSms {
    /// A service plan with a token, whose callbacks are signed.
    Plan,
    /// A project with tokens of OAuth2, whose callbacks are not signed, and numbers told with a plus.
    Project,
}

impl MessagingVendor for SinchSms {
    type Mock = MockSinchSms;
    type Provider = sinch_sms::SinchSms;

    fn name(&self) -> &'static str {
        match self {
            Self::Plan => "sinch-sms",
            Self::Project => "sinch-sms of a project",
        }
    }

    fn capabilities(&self) -> Vec<PluginCapability> {
        vec![
            PluginCapability::SEND_MESSAGE,
            PluginCapability::GET_MESSAGE_STATUS,
            PluginCapability::LIST_CONVERSATIONS,
            PluginCapability::SEND_REPLY,
            PluginCapability::RECEIVE_WEBHOOK,
        ]
    }

    fn why_not(&self, _: &PluginCapability) -> &'static str {
        unreachable!("it can do everything")
    }

    fn signs(&self) -> bool {
        *self == Self::Plan
    }

    fn config(&self) -> Value {
        let account = match self {
            Self::Plan => json!({
                "service_plan_id": MockSinchSms::PLAN, "api_token": MockSinchSms::API_TOKEN,
                "webhook_secret": SECRET,
            }),
            Self::Project => json!({
                "project_id": MockSinchSms::PROJECT, "key_id": MockSinchSms::KEY_ID,
                "key_secret": MockSinchSms::API_TOKEN,
            }),
        };
        with(
            account,
            json!({ "type": "faxbot-sinch-sms", "from_number": OURS }),
        )
    }

    fn submit(&self) -> String {
        let account = match self {
            Self::Plan => MockSinchSms::PLAN,
            Self::Project => MockSinchSms::PROJECT,
        };
        format!("/xms/v1/{account}/batches")
    }

    fn addresses(&self, vendor: &Url, _: &Url) -> Value {
        json!({ "base_url": vendor, "auth_url": vendor })
    }

    fn bad_config(&self) -> BadConfig {
        let config = json!({
            "service_plan_id": "x",
            "options": { "from_number": "nobody at all", "region": "mars", "poll_min": "0s" },
        });
        let paths = ["options.from_number", "options.region", "options.poll_min"];
        BadConfig::new(config, &paths)
    }

    fn kind(&self) -> MessageKind {
        MessageKind::Sms
    }

    /// By 3GPP TS 23.038: 160 and 153 septets, of which the euro takes two; 70 and 67 of others.
    fn segments(&self) -> Vec<(String, u32)> {
        [
            ("x", 160, 1),
            ("x", 161, 2),
            ("\u{20ac}", 80, 1),
            ("\u{20ac}", 81, 2),
            ("\u{436}", 70, 1),
            ("\u{436}", 71, 2),
        ]
        .map(|(text, times, parts)| (text.repeat(times), parts))
        .to_vec()
    }

    fn too_long(&self) -> Option<String> {
        Some("x".repeat(2001))
    }

    fn vendor(&self, webhooks: &Url) -> MockSinchSms {
        let mock = MockSinchSms::new().calls_back(webhooks.clone());
        match self {
            Self::Plan => mock.signs_with(SECRET),
            Self::Project => mock.plus_on_output(),
        }
    }

    fn end(&self, vendor: &mut MockSinchSms, number: &str, fate: MessageFate) {
        let end = match fate {
            MessageFate::HandedOver => SmsEnd::Endless,
            MessageFate::Undeliverable => SmsEnd::Failed(404),
            _ => SmsEnd::Delivered,
        };
        vendor.set_number(number, end);
    }

    fn refuse(&self, vendor: &mut MockSinchSms, yes: bool) {
        vendor.set_blocked(yes);
    }

    fn lag(&self, vendor: &mut MockSinchSms, lag: Duration) {
        vendor.set_list_lag(lag);
    }

    fn receive(&self, vendor: &mut MockSinchSms, from: &str, text: &str) -> String {
        vendor.receive(IncomingSms::text(bare(from), bare(OURS), text))
    }

    fn text_of(&self, request: &SeenRequest) -> Option<(String, String)> {
        let body = request.json()?;
        let to = bare(body.get("to")?.get(0)?.as_str()?);
        Some((format!("+{to}"), body.get("body")?.as_str()?.to_owned()))
    }

    fn is_last(&self, callback: &Callback) -> bool {
        let body: Value = serde_json::from_slice(&callback.body).unwrap_or_default();
        body["status"] == "Delivered"
    }

    fn genuine(&self, url: &Url, body: Bytes) -> WebhookRequest {
        let secret = self.signs().then_some(SECRET);
        signed(url, body, secret, Timestamp::now().as_second())
    }

    fn tampered(&self, url: &Url, request: &WebhookRequest) -> Vec<Tampered> {
        if *self == Self::Project {
            // What is wrong is the path, or the vendor is asked.
            return Vec::new();
        }
        let now = Timestamp::now().as_second();
        let change = |what: &str, act: &dyn Fn(&mut WebhookRequest)| changed(request, what, act);
        let without = |what: &str, name: HeaderName| {
            changed(request, what, |it| drop(it.headers.remove(name)))
        };
        let set = |what: &str, name: HeaderName, value: &'static str| {
            let value = HeaderValue::from_static(value);
            changed(request, what, |it| drop(it.headers.insert(name, value)))
        };
        let again = |what: &str, secret: &str, at: i64| {
            Tampered::new(what, signed(url, request.body.clone(), Some(secret), at))
        };
        vec![
            without("no signature", SIGNATURE),
            set("an empty signature", SIGNATURE, ""),
            change("two signatures", &|it| {
                let own = it.headers[SIGNATURE].clone();
                it.headers.append(SIGNATURE, own);
            }),
            without("no nonce", NONCE),
            set("another nonce", NONCE, "01JHFFHQ0P99JPPNQPJDV7JTBP"),
            without("no time", TIME),
            set("another time", TIME, "1736760161"),
            set("another hash", ALGORITHM, "HmacSHA1"),
            change("another body", &|it| {
                let text = String::from_utf8(it.body.to_vec()).unwrap();
                assert!(text.contains("genuine"));
                it.body = text.replace("genuine", "forged!").into();
            }),
            change("no body", &|it| it.body = Bytes::new()),
            again("another secret", "another", now),
            again("an empty secret", "", now),
            again("long ago", SECRET, now - 3600),
            again("in an hour", SECRET, now + 3600),
        ]
    }

    fn forged(&self, url: &Url, message_id: &str) -> Vec<(String, WebhookRequest)> {
        const UNKNOWN: &str = "01JHFFHQ0P99JPPNQPJDV7JTBP";
        let callback = |what: &str, body: Value| {
            let request = self.genuine(url, body.to_string().into());
            (what.to_owned(), request)
        };
        let report = |id: &str, status: &str, code: u32| {
            json!({
                "type": "recipient_delivery_report_sms", "batch_id": id, "recipient": bare(CALLER),
                "status": status, "code": code, "at": Timestamp::now(),
            })
        };
        let came = |id: &str| {
            json!({
                "type": "mo_text", "id": id, "from": bare(CALLER), "to": bare(OURS),
                "body": "pay here", "received_at": Timestamp::now(),
            })
        };
        vec![
            callback("it arrived", report(message_id, "Delivered", 0)),
            callback("it failed", report(message_id, "Failed", 404)),
            callback("another one", report(UNKNOWN, "Delivered", 0)),
            callback("one that never came in", came(UNKNOWN)),
            callback("our own came in", came(message_id)),
            callback("a path for an id", came("../../x")),
        ]
    }
}

/// A number as the vendor writes it.
fn bare(number: &str) -> &str {
    number.trim_start_matches('+')
}

/// A callback of this body, signed with this secret at this time.
fn signed(url: &Url, body: Bytes, secret: Option<&str>, at: i64) -> WebhookRequest {
    // The vendor never uses one twice.
    static NONCES: AtomicU64 = AtomicU64::new(0);
    let nonce = format!("nonce-{}", NONCES.fetch_add(1, Ordering::Relaxed));
    let signature = secret.map(|secret| signature(secret, &body, &nonce, at));
    let mut request = WebhookRequest::new(Method::POST, url.path()).with_body(body);
    let mut put = |name, value: &str| request.headers.insert(name, value.parse().unwrap());
    put(CONTENT_TYPE, "application/json");
    if let Some(signature) = signature {
        put(SIGNATURE, &signature);
        put(ALGORITHM, "HmacSHA256");
        put(NONCE, &nonce);
        put(TIME, &at.to_string());
    }
    request
}
