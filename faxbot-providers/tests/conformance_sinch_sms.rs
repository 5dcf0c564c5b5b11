//! The conformance suite of messaging plugins, on the plugin for Sinch SMS over a mock of the vendor,
//! callbacks through a router.
#![cfg(test)]

use std::{
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use faxbot_core::{
    Error, Secret, Timestamp,
    address::Address,
    message::MessageKind,
    plugin::{MessagingPlugin, Plugin as _, PluginCapability, PluginDeps},
    webhook::{
        WebhookHandler, WebhookPath, WebhookRegistry, WebhookReply, WebhookRequest, WebhookRouter,
    },
};
use faxbot_providers::sinch_sms::{ID, SinchSmsPlugin};
use faxbot_testkit::{
    conformance::{
        self, Failure, Tampered, VendorWebhooks,
        messaging_plugin::{
            self, MessageFate, MessageWebhooks, MessagingPluginEnv, MessagingPluginSetup,
        },
        sip_adapter::BadConfig,
    },
    server::{
        http::{Callback, Fault, FaultKind, MockHttp},
        sinch_sms::{IncomingSms, MockSinchSms, SmsEnd, signature},
    },
};
use http::{HeaderName, HeaderValue, Method, header::CONTENT_TYPE};
use serde_json::{Value, json};

const BATCHES: &str = "/xms/v1/mockplan4f1c/batches";
const OURS: &str = "+12025550100";
const SECRET: &str = "the secret of the service plan";
const SIGNATURE: HeaderName = HeaderName::from_static("x-sinch-webhook-signature");
const ALGORITHM: HeaderName = HeaderName::from_static("x-sinch-webhook-signature-algorithm");
const NONCE: HeaderName = HeaderName::from_static("x-sinch-webhook-signature-nonce");
const TIMESTAMP: HeaderName = HeaderName::from_static("x-sinch-webhook-signature-timestamp");
const SOON: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let mut cases = messaging_plugin::cases(Arc::new(Env { signs: true }));
    cases.extend(messaging_plugin::cases(Arc::new(Env { signs: false })));
    conformance::run(cases)
}

struct Env {
    /// Whether the service plan has a secret that callbacks are signed with.
    signs: bool,
}

#[async_trait]
impl MessagingPluginEnv for Env {
    fn name(&self) -> String {
        let name = if self.signs {
            "sinch-sms"
        } else {
            "sinch-sms unsigned"
        };
        name.to_owned()
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

    fn lacks_webhooks(&self) -> Option<String> {
        None
    }

    fn signs(&self) -> bool {
        self.signs
    }

    fn good_config(&self) -> Value {
        let mut config = json!({
            "type": "sinch-sms",
            "service_plan_id": MockSinchSms::PLAN,
            "api_token": MockSinchSms::API_TOKEN,
            "options": {
                "from_number": OURS, "base_url": "http://127.0.0.1/", "lookup_patience": "4s",
                "requests_per_second": 1000, "request_burst": 1000, "poll_min": "1s",
                "inbound_poll": 0,
            },
        });
        if self.signs {
            config["webhook_secret"] = SECRET.into();
        }
        config
    }

    fn bad_configs(&self) -> Vec<BadConfig> {
        let config = json!({ "service_plan_id": "x", "api_token": "y",
            "options": { "from_number": "not a sender at all", "region": "mars", "poll_min": 0 } });
        let paths = ["options.from_number", "options.region", "options.poll_min"];
        vec![BadConfig::new(config, &paths)]
    }

    fn kind(&self) -> MessageKind {
        MessageKind::Sms
    }

    fn segments(&self) -> Vec<(String, u32)> {
        let rows = [
            ("x", 160, 1),
            ("x", 161, 2),
            ("\u{20ac}", 80, 1),
            ("\u{20ac}", 81, 2),
            ("ж", 70, 1),
            ("ж", 71, 2),
        ];
        rows.map(|(text, times, parts)| (text.repeat(times), parts))
            .to_vec()
    }

    fn too_long(&self) -> Option<String> {
        Some("x".repeat(2001))
    }

    async fn setup(&self) -> Result<Box<dyn MessagingPluginSetup>, Failure> {
        let router = WebhookRouter::builder("https://sms.example.org".parse()?)
            .with_secret(Secret::new("the root secret of a test, 32 characters"))
            .build()?;
        let (path, mock) = if self.signs {
            (WebhookPath::Plain, MockSinchSms::new().signs_with(SECRET))
        } else {
            (WebhookPath::Secret, MockSinchSms::new())
        };
        let url = router.register_webhook(&ID, path)?;
        let mock = mock.calls_back(url.clone()).in_memory();
        Ok(Box::new(Setup(Arc::new(Vendor {
            mock,
            router: Arc::new(router),
            signs: self.signs,
            path: url.path().to_owned(),
            next: AtomicU32::new(0),
        }))))
    }
}

struct Setup(Arc<Vendor>);

struct Vendor {
    mock: MockHttp<MockSinchSms>,
    router: Arc<WebhookRouter>,
    signs: bool,
    /// Where callbacks go.
    path: String,
    next: AtomicU32,
}

/// A number as the vendor writes it.
fn digits(address: &Address) -> String {
    address.expose().trim_start_matches('+').to_owned()
}

#[async_trait]
impl MessagingPluginSetup for Setup {
    fn plugin(&self) -> Arc<dyn MessagingPlugin> {
        let plugin = Arc::new(SinchSmsPlugin::new());
        self.0.router.attach(&plugin.manifest().id, plugin.clone());
        plugin
    }

    fn deps(&self, deps: PluginDeps) -> PluginDeps {
        deps.with_http(self.0.mock.client())
            .with_webhooks(self.0.router.clone())
    }

    async fn target(&self, fate: MessageFate) -> Result<Address, Failure> {
        let mock = &self.0.mock;
        let number = format!(
            "+1202555{:04}",
            1000 + self.0.next.fetch_add(1, Ordering::Relaxed)
        );
        let fault = |kind| mock.fault(Fault::new(kind).on("POST", BATCHES));
        let end = match fate {
            MessageFate::HandedOver => SmsEnd::Endless,
            MessageFate::Undeliverable => SmsEnd::Failed(404),
            _ => SmsEnd::Delivered,
        };
        mock.vendor(|sinch| sinch.set_number(&number, end));
        match fate {
            MessageFate::Refused => fault(FaultKind::status(400)),
            // The vendor does not have it; from here that looks like a list that lags.
            MessageFate::Unknown => fault(FaultKind::CutBeforeEffect),
            MessageFate::Found | MessageFate::Late => fault(FaultKind::CutAfterEffect),
            MessageFate::Slow => fault(FaultKind::Slow(Duration::from_millis(300))),
            MessageFate::Offline => mock.unreachable(true),
            _ => {}
        }
        Ok(number.parse()?)
    }

    fn texts_to(&self, to: &Address) -> Vec<String> {
        let to = [digits(to), to.expose().into_owned()];
        let asked = self.0.mock.requests_on("POST", BATCHES).into_iter();
        let texts = asked.filter_map(|request| {
            let body = request.json()?;
            let recipient = body["to"][0].as_str()?;
            to.iter()
                .any(|to| to == recipient)
                .then(|| body["body"].as_str().unwrap_or_default().to_owned())
        });
        texts.collect()
    }

    fn submissions(&self) -> usize {
        self.0.mock.requests_on("POST", BATCHES).len()
    }

    async fn message_in(&self, from: &Address, text: &str) -> Result<(), Failure> {
        let request = self.0.received(from, text).await?;
        let reply = self.0.router.dispatch(request).await;
        conformance::ensure!(reply.status.is_success(), "{}", reply.status);
        Ok(())
    }

    fn webhooks(&self) -> Option<Arc<dyn MessageWebhooks>> {
        Some(self.0.clone())
    }
}

impl Vendor {
    /// A callback to addresses that only look like the plugin's.
    fn elsewhere(&self, request: &WebhookRequest) -> Vec<Tampered> {
        let secret = self.path.rsplit('/').next().unwrap_or_default();
        let other = |what: &str, path: String| {
            let mut request = request.clone();
            request.path = path;
            Tampered::new(what, request).with_status(404)
        };
        let zeros = "0".repeat(secret.len());
        let half = &secret[..secret.len() / 2];
        vec![
            other("no secret", format!("/webhooks/{ID}")),
            other("another secret", format!("/webhooks/{ID}/{zeros}")),
            other("half of the secret", format!("/webhooks/{ID}/{half}")),
            other("another plugin's", format!("/webhooks/phaxio/{secret}")),
        ]
    }

    /// The callbacks that hold all of these, when one of them holds `last`.
    async fn callbacks(&self, all: &str, last: &str) -> Result<Vec<WebhookRequest>, Failure> {
        let of_it = |mock: &MockHttp<MockSinchSms>| {
            let holds = |callback: &Callback, text: &str| {
                String::from_utf8_lossy(&callback.body).contains(text)
            };
            let mut callbacks = mock.webhooks().callbacks();
            callbacks.retain(|callback| holds(callback, all));
            let done = callbacks.iter().any(|callback| holds(callback, last));
            done.then_some(callbacks)
        };
        let callbacks = self.mock.wait_until(SOON, of_it).await;
        let callbacks = callbacks.ok_or_else(|| Failure::new("the vendor calls back nothing"))?;
        Ok(callbacks.iter().map(request).collect())
    }
}

fn request(callback: &Callback) -> WebhookRequest {
    WebhookRequest::new(Method::POST, callback.url.path())
        .with_headers(callback.headers.clone())
        .with_body(callback.body.clone())
}

/// A callback of this body, signed with this secret at this time.
fn signed(body: Bytes, secret: &str, at: i64) -> WebhookRequest {
    let nonce = "01JHFFHWYY7HSS4FWTMDTQEK8V";
    let signature = signature(secret, &body, nonce, at);
    let mut request = WebhookRequest::new(Method::POST, format!("/webhooks/{ID}")).with_body(body);
    for (name, value) in [
        (CONTENT_TYPE, "application/json"),
        (SIGNATURE, &signature),
        (ALGORITHM, "HmacSHA256"),
        (NONCE, nonce),
        (TIMESTAMP, &at.to_string()),
    ] {
        let value = HeaderValue::from_str(value).unwrap();
        request.headers.insert(name, value);
    }
    request
}

#[async_trait]
impl VendorWebhooks for Vendor {
    fn genuine(&self, body: Bytes) -> WebhookRequest {
        if self.signs {
            return signed(body, SECRET, Timestamp::now().as_second());
        }
        let mut request = WebhookRequest::new(Method::POST, &self.path).with_body(body);
        let json = HeaderValue::from_static("application/json");
        request.headers.insert(CONTENT_TYPE, json);
        request
    }

    fn tampered(&self, request: &WebhookRequest) -> Vec<Tampered> {
        if !self.signs {
            return self.elsewhere(request);
        }
        let now = Timestamp::now().as_second();
        let change = |what: &str, change: &dyn Fn(&mut WebhookRequest)| {
            let mut request = request.clone();
            change(&mut request);
            Tampered::new(what, request)
        };
        let set = |name: HeaderName, value: &'static str| {
            move |request: &mut WebhookRequest| {
                let value = HeaderValue::from_static(value);
                request.headers.insert(name.clone(), value);
            }
        };
        let body = || request.body.clone();
        vec![
            change("no signature", &|it| drop(it.headers.remove(SIGNATURE))),
            change("an empty signature", &set(SIGNATURE, "")),
            change("no nonce", &|it| drop(it.headers.remove(NONCE))),
            change("another nonce", &set(NONCE, "01JHFFHQ0P99JPPNQPJDV7JTBP")),
            change("no time", &|it| drop(it.headers.remove(TIMESTAMP))),
            change("another time", &set(TIMESTAMP, "1736760161")),
            change("another body", &|it| {
                let text = String::from_utf8_lossy(&it.body).replace("genuine", "forged!");
                it.body = text.into_bytes().into();
            }),
            change("no body", &|it| it.body = Bytes::new()),
            Tampered::new("another secret", signed(body(), "another", now)),
            Tampered::new("an empty secret", signed(body(), "", now)),
            Tampered::new("long ago", signed(body(), SECRET, now - 3600)),
            Tampered::new("in the future", signed(body(), SECRET, now + 3600)),
        ]
    }

    async fn deliver(
        &self,
        _: &dyn WebhookHandler,
        request: WebhookRequest,
    ) -> Result<WebhookReply, Error> {
        Ok(self.router.dispatch(request).await)
    }
}

#[async_trait]
impl MessageWebhooks for Vendor {
    async fn statuses(&self, message_id: &str) -> Result<Vec<WebhookRequest>, Failure> {
        self.callbacks(message_id, "Delivered").await
    }

    async fn received(&self, from: &Address, text: &str) -> Result<WebhookRequest, Failure> {
        let sms = IncomingSms::text(&digits(from), OURS.trim_start_matches('+'), text);
        let id = self.mock.vendor(|sinch| sinch.receive(sms));
        let request = self.callbacks(&id, &id).await?.pop();
        request.ok_or_else(|| Failure::new("no callback"))
    }

    fn forged(&self, message_id: &str) -> Vec<(String, WebhookRequest)> {
        let (at, unknown) = ("2026-11-21T08:00:00Z", "01JHFFHQ0P99JPPNQPJDV7JTBP");
        let report = |id: &str, status: &str, code: u32| {
            json!({ "type": "recipient_delivery_report_sms", "batch_id": id, "recipient": "12025551000",
                "status": status, "code": code, "at": at })
        };
        let text = json!({ "type": "mo_text", "id": unknown, "from": "12025551000",
            "to": "12025550100", "body": "forged", "received_at": at });
        let rows = [
            ("the message arrived", report(message_id, "Delivered", 0)),
            ("the message failed", report(message_id, "Failed", 404)),
            ("another message arrived", report(unknown, "Delivered", 0)),
            ("a message came in that did not", text),
        ];
        rows.map(|(what, told)| (what.to_owned(), self.genuine(told.to_string().into())))
            .to_vec()
    }
}
