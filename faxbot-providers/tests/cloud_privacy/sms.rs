//! Sinch SMS, through success and every kind of failure.

use std::{sync::Arc, time::Duration};

use faxbot_core::{
    Timestamp,
    address::Address,
    message::{MessageContent, MessageKind, MessageState},
    plugin::{InboundQuery, MessagingPlugin, Plugin},
    random::SystemRandom,
    webhook::{DeadLetterStore, InboundStore, WebhookPath, WebhookRequest},
};
use faxbot_providers::{
    cloud::{MessagingProvider, ProviderContext, messaging::MessagingSettings},
    sinch_sms::{FIELDS, ID, SinchSms, SinchSmsConfig, SinchSmsPlugin},
};
use faxbot_testkit::{
    fixtures::private,
    server::{
        http::{CallbackFault, Fault, FaultKind, MockHttp},
        sinch_sms::{IncomingSms, MockSinchSms, SmsEnd, signature},
    },
};
use http::Method;
use serde_json::{Value, json};
use url::Url;

use crate::{
    SPEED,
    cloud_wire_support::{Host, headers, until},
    shown::{Shown, nested_refusal, refusal, sentence},
};

const BATCHES: &str = "/xms/v1/mockplan4f1c/batches";
const IMPATIENT: Duration = Duration::from_millis(150);
const PATIENT: Duration = Duration::from_secs(10);
/// Numbers of MMS are of the US. The digits are those of the other numbers, which are looked for.
const AMERICAN: &str = "+14930901820";

struct Lab<'s> {
    host: Host,
    mock: MockHttp<MockSinchSms>,
    plugin: Arc<SinchSmsPlugin>,
    shown: &'s mut Shown,
    webhook: Url,
}

fn config(mock: &MockHttp<MockSinchSms>, account: Value) -> Value {
    let mut config = json!({
        "type": "faxbot-sinch-sms", "from_number": private::CALLER,
        "base_url": mock.url(), "auth_url": mock.url().join("oauth2/token").unwrap(),
        "options": {
            "requests_per_second": 1000, "request_burst": 1000, "poll_min": "1s",
            "poll_max": "2s", "lookup_patience": "10s", "inbound_poll": "20s",
        },
    });
    config
        .as_object_mut()
        .unwrap()
        .extend(account.as_object().unwrap().clone());
    config
}

fn plan(token: &str) -> Value {
    json!({
        "service_plan_id": MockSinchSms::PLAN, "api_token": token,
        "webhook_secret": private::SIGNING_SECRET,
    })
}

fn project(secret: &str) -> Value {
    json!({
        "project_id": MockSinchSms::PROJECT, "key_id": MockSinchSms::KEY_ID, "key_secret": secret,
    })
}

pub(crate) async fn sinch() -> Shown {
    let mut shown = Shown::default();
    let folder = tempfile::tempdir().unwrap();
    let host = Host::start(folder.path(), private::WEBHOOK_SECRET, SPEED).await;
    let webhook = host.webhook(&ID, WebhookPath::Plain);
    let mock = MockSinchSms::new()
        .plan(MockSinchSms::PLAN, private::SECRET)
        .project(
            MockSinchSms::PROJECT,
            MockSinchSms::KEY_ID,
            private::DEFAULT_SECRET,
        )
        .signs_with(private::SIGNING_SECRET)
        .calls_back(webhook.clone())
        .start()
        .await;
    let config = config(&mock, plan(private::SECRET));
    shown.debug(&SinchSmsConfig::from_value(&config).unwrap());
    let plugin = host.run(SinchSmsPlugin::new(), config.clone()).await;
    let mut lab = Lab {
        host,
        mock,
        plugin,
        shown: &mut shown,
        webhook,
    };
    lab.messages().await;
    lab.submissions().await;
    lab.questions().await;
    lab.received().await;
    lab.webhooks().await;
    lab.provider(&config).await;
    lab.configurations(&config);
    lab.accounts().await;
    lab.end().await;
    shown
}

fn status(code: u16, body: &Value) -> FaultKind {
    FaultKind::Status {
        code,
        retry_after: (code == 429).then_some(1),
        body: body.to_string(),
    }
}

fn text() -> MessageContent {
    MessageContent::text(MessageKind::Sms, private::MESSAGE)
}

fn media() -> Url {
    let (user, name) = (private::SIP_USER, private::FILE_NAME);
    format!("https://media.example/{user}/{name}?signature={user}")
        .parse()
        .unwrap()
}

impl Lab<'_> {
    async fn send(&mut self, plugin: &SinchSmsPlugin, to: &str, content: MessageContent) {
        self.shown.debug(&content);
        let to: Address = to.parse().unwrap();
        self.shown.debug(&to);
        let sent = plugin.send_message(to, content).await;
        self.shown.result(&sent);
        let id = match &sent {
            Ok(sent) => sent.message_id.clone(),
            Err(error) => error.message_id().unwrap_or("none").to_owned(),
        };
        let end = until(async || {
            let status = plugin.get_message_status(&id).await;
            let over = status.as_ref().map_or(true, |status| {
                !matches!(status.status, MessageState::Queued | MessageState::Sent)
            });
            over.then_some(status)
        })
        .await;
        self.shown.result(&end);
        self.show_events();
    }

    async fn send_text(&mut self) {
        let plugin = Arc::clone(&self.plugin);
        self.send(&plugin, private::NUMBER, text()).await;
    }

    fn show_events(&mut self) {
        for event in self.host.told() {
            self.shown.debug(&event);
        }
    }

    /// All that may become of a message, and what is not sent at all.
    async fn messages(&mut self) {
        for end in [
            SmsEnd::Delivered,
            SmsEnd::Failed(404),
            SmsEnd::Rejected(402),
            SmsEnd::Expired,
            SmsEnd::Unknown,
            SmsEnd::Word(sentence(), 402),
        ] {
            self.mock.vendor(|vendor| vendor.next_message(end));
            self.send_text().await;
        }
        let plugin = Arc::clone(&self.plugin);
        let mms = MessageContent::text(MessageKind::Mms, private::MESSAGE).with_media([media()]);
        self.send(&plugin, AMERICAN, mms.clone()).await;
        self.send(&plugin, private::NUMBER, mms).await;
        let long = MessageContent::text(MessageKind::Sms, private::MESSAGE.repeat(100));
        self.send(&plugin, private::NUMBER, long).await;
        let address = format!("sip:{}@pbx.example", private::SIP_USER);
        self.send(&plugin, &address, text()).await;
        self.mock.vendor(|vendor| vendor.set_blocked(true));
        self.send_text().await;
        self.mock.vendor(|vendor| vendor.set_blocked(false));
    }

    /// All that may become of a request.
    async fn submissions(&mut self) {
        let elsewhere = format!("http://127.0.0.1:9/{0}?token={0}", private::SIP_USER);
        let mut kinds: Vec<FaultKind> =
            [200, 400, 401, 402, 403, 404, 413, 418, 422, 429, 500, 503]
                .iter()
                .map(|code| status(*code, &refusal()))
                .collect();
        kinds.extend([
            status(400, &nested_refusal()),
            FaultKind::StatusAfterEffect { code: 500 },
            FaultKind::CutAfterEffect,
            FaultKind::CutBeforeEffect,
            FaultKind::CutInUpload,
            FaultKind::TruncatedBody,
            FaultKind::Garbage,
            FaultKind::NotHttp,
            FaultKind::TooLong,
            FaultKind::Redirect(elsewhere.parse().unwrap()),
            FaultKind::HangAfterEffect,
            FaultKind::HangBeforeEffect,
        ]);
        for kind in kinds {
            let hangs = matches!(
                kind,
                FaultKind::HangAfterEffect | FaultKind::HangBeforeEffect
            );
            self.host
                .http
                .patience(if hangs { IMPATIENT } else { PATIENT });
            self.mock.fault(Fault::new(kind).on("POST", BATCHES));
            self.send_text().await;
            self.mock.no_faults();
        }
        self.host.http.patience(PATIENT);
        self.mock.unreachable(true);
        self.send_text().await;
        tokio::time::sleep(Duration::from_millis(800)).await;
        self.mock.unreachable(false);
    }

    async fn questions(&mut self) {
        for kind in [
            status(404, &refusal()),
            status(401, &refusal()),
            status(500, &refusal()),
            FaultKind::NotHttp,
        ] {
            self.mock
                .fault(Fault::new(kind).on("GET", BATCHES).times(12));
            for id in [
                "01HINVENTED",
                private::NUMBER,
                "../../oauth2/token",
                "4f1c?to=1",
            ] {
                let status = self.plugin.get_message_status(id).await;
                // The caller's own name of the message is in the error.
                if id != private::NUMBER {
                    self.shown.result(&status);
                }
            }
            let health = self.plugin.health_check().await;
            self.shown.result(&health);
            self.mock.no_faults();
        }
    }

    /// Messages that come in, and the conversations that they are of.
    async fn received(&mut self) {
        let address = media();
        for (index, message) in [
            IncomingSms::text(private::NUMBER, private::CALLER, private::MESSAGE),
            IncomingSms::binary(
                private::NUMBER,
                private::CALLER,
                private::MESSAGE.as_bytes(),
                "00",
            ),
            IncomingSms::media(
                private::NUMBER,
                private::CALLER,
                private::MESSAGE,
                &[(address.as_str(), "image/png")],
            ),
            IncomingSms::text(private::NUMBER, private::CALLER, private::MESSAGE)
                .with("client_reference", json!(sentence())),
            IncomingSms::text(private::NUMBER, private::CALLER, private::MESSAGE).quiet(),
        ]
        .into_iter()
        .enumerate()
        {
            self.shown.debug(&message);
            self.mock.vendor(|vendor| vendor.receive(message));
            let query = InboundQuery::new();
            let page = until(async || {
                let page = self
                    .host
                    .inbound
                    .messages(ID.as_str(), &query)
                    .await
                    .unwrap();
                (page.items.len() > index).then_some(page)
            })
            .await;
            self.shown.debug(&page);
        }
        self.show_events();
        let conversations = self.plugin.list_conversations(10).await.unwrap();
        self.shown.debug(&conversations);
        for id in [conversations[0].id.as_str(), "none"] {
            let reply = self.plugin.send_reply(id, text()).await;
            self.shown.result(&reply);
        }
    }

    async fn webhooks(&mut self) {
        for fault in [
            CallbackFault::Tampered,
            CallbackFault::Twice,
            CallbackFault::ReplyLost,
        ] {
            self.mock.webhooks().next(fault);
            let message = IncomingSms::text(private::NUMBER, private::CALLER, private::MESSAGE);
            self.mock.vendor(|vendor| vendor.receive(message));
            assert!(self.mock.webhooks().settled(PATIENT).await);
        }
        let report = json!({
            "type": "recipient_delivery_report_sms", "batch_id": "01HINVENTED",
            "recipient": private::NUMBER, "status": sentence(), "code": 402,
            "client_reference": private::NUMBER,
        });
        let mut odd = report.clone();
        odd["batch_id"] = json!(sentence());
        for (body, secret, reply) in [
            (report.to_string(), private::SIGNING_SECRET, 200),
            (odd.to_string(), private::SIGNING_SECRET, 200),
            (sentence(), private::SIGNING_SECRET, 200),
            (report.to_string(), private::DEFAULT_SECRET, 401),
            (sentence(), private::DEFAULT_SECRET, 401),
        ] {
            let nonce = format!("nonce-{}", faxbot_core::id::JobId::new());
            let at = Timestamp::now().as_second();
            let signature = signature(secret, body.as_bytes(), &nonce, at);
            self.shown.secret(&signature);
            let headers = headers(&[
                ("x-sinch-webhook-signature", &signature),
                ("x-sinch-webhook-signature-nonce", &nonce),
                ("x-sinch-webhook-signature-timestamp", &at.to_string()),
            ]);
            let request = WebhookRequest::new(Method::POST, self.webhook.path())
                .with_headers(headers.clone())
                .with_body(body.clone());
            self.shown.debug(&request);
            let got = self.host.post(&self.webhook, headers, body).await;
            assert_eq!(got.status.as_u16(), reply);
        }
        let letters = self.host.letters.list(100).await.unwrap();
        assert!(!letters.is_empty());
        self.shown.debug(&letters);
        self.show_events();
    }

    /// The vendor's part alone.
    async fn provider(&mut self, config: &Value) {
        self.shown
            .result(&MessagingSettings::from_value(&FIELDS, config));
        let mut context = ProviderContext::new(
            self.host.http.clone(),
            Arc::clone(&self.host.clock),
            SystemRandom::shared(),
        );
        context.webhook_url = Some(self.webhook.clone());
        let provider = SinchSms::build(config, context).unwrap();
        self.shown.debug(&provider);
        self.shown.debug(&provider.our_number());
        let to: Address = private::NUMBER.parse().unwrap();
        let prepared = provider.prepare(&to, &text());
        self.shown.result(&prepared);
        let taken = provider.submit("4f1c", &prepared.unwrap()).await;
        self.shown.result(&taken);
        let report = provider.status(&taken.unwrap().id).await;
        self.shown.result(&report);
        let page = provider
            .list_inbound(Timestamp::UNIX_EPOCH, &InboundQuery::new())
            .await;
        self.shown.result(&page);
        let message = provider.inbound(&page.unwrap().items[0].id).await;
        self.shown.result(&message);
    }

    fn configurations(&mut self, config: &Value) {
        for (name, value) in [
            ("api_token", json!([private::SECRET])),
            ("api_token", json!(format!("{}\r\n", private::SECRET))),
            ("api_tokne", json!(private::SECRET)),
            ("service_plan_id", json!({ "id": private::SECRET })),
            ("webhook_secret", json!("")),
            ("webhook_secret", json!(4_930_901_820_u64)),
            ("from_number", json!(format!("{} x", private::NUMBER))),
            ("from_number", json!(sentence())),
            ("region", json!(private::SECRET)),
            (
                "base_url",
                json!(format!("http://u:{}@x/", private::DEFAULT_SECRET)),
            ),
            ("project_id", json!(private::SECRET)),
            ("enable_delivery_reports", json!(private::NUMBER)),
            ("requests_per_second", json!(493_090_182_055_u64)),
        ] {
            let mut config = config.clone();
            config[name] = value;
            let errors = self.plugin.validate_config(&config).unwrap_err();
            self.shown.error(&errors.into());
        }
    }

    /// Other accounts: a token that is refused, a project, and one whose key is refused.
    async fn accounts(&mut self) {
        for account in [
            plan(private::DEFAULT_SECRET),
            project(private::DEFAULT_SECRET),
            project(private::SECRET),
        ] {
            let config = config(&self.mock, account);
            self.shown
                .debug(&SinchSmsConfig::from_value(&config).unwrap());
            let plugin = SinchSmsPlugin::new();
            plugin.start(config, self.host.deps()).await.unwrap();
            self.send(&plugin, private::NUMBER, text()).await;
            self.mock.vendor(MockSinchSms::expire_tokens);
            self.send(&plugin, private::NUMBER, text()).await;
            let health = plugin.health_check().await;
            self.shown.result(&health);
            plugin.stop().await.unwrap();
            let stopped = plugin.get_message_status("none").await;
            self.shown.result(&stopped);
        }
    }

    async fn end(&mut self) {
        self.shown.debug(&self.plugin);
        self.shown.debug(self.plugin.manifest());
        self.shown.debug(&self.mock);
        self.shown.debug(&self.host.inbound);
        let health = self.plugin.health_check().await;
        self.shown.result(&health);
        self.plugin.stop().await.unwrap();
        self.show_events();
        self.shown.wire(&self.host.http, &self.mock);
    }
}
