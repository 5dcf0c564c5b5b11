//! The plugin for Sinch SMS over a mock of the vendor, callbacks through a router.
#![cfg(test)]

use std::{sync::Arc, time::Duration};

use faxbot_core::{
    ErrorKind, Result, Secret,
    clock::TokioClock,
    event::EventStream,
    message::{InboundMessage, MessageContent, MessageKind, MessageResult, MessageState},
    plugin::{InboundQuery, MessagingPlugin, Plugin, PluginDeps, PluginEvent},
    webhook::{
        Authenticity, InboundStore, MemoryInboundStore, WebhookPath, WebhookRegistry,
        WebhookRequest, WebhookRouter,
    },
};
use faxbot_providers::sinch_sms::{ID, SinchSmsPlugin};
use faxbot_testkit::{
    fixtures::private::{CALLER, MESSAGE, NUMBER, SECRET},
    random::Seed,
    server::{
        http::{CallbackFault, Fault, FaultKind, MockHttp},
        sinch_sms::{IncomingSms, MockSinchSms, SmsEnd, SmsPace},
    },
};
use http::Method;
use serde_json::{Value, json};
use url::Url;

const BATCHES: &str = "/xms/v1/mockplan4f1c/batches";
const MINUTE: Duration = Duration::from_secs(60);

struct Rig {
    mock: MockHttp<MockSinchSms>,
    plugin: Arc<SinchSmsPlugin>,
    router: Arc<WebhookRouter>,
    store: Arc<MemoryInboundStore>,
    events: EventStream<PluginEvent>,
    url: Url,
}

/// A vendor that takes seconds, as the real one does.
fn vendor() -> MockSinchSms {
    MockSinchSms::new().pace(SmsPace::new(Duration::from_secs(2), Duration::from_secs(3)))
}

impl Rig {
    /// A plan that signs its callbacks.
    async fn signed(extra: Value) -> Self {
        Self::start(vendor().signs_with(SECRET), true, extra).await
    }

    /// A plan that signs nothing.
    async fn unsigned(extra: Value) -> Self {
        Self::start(vendor(), false, extra).await
    }

    async fn start(vendor: MockSinchSms, signs: bool, extra: Value) -> Self {
        let router = WebhookRouter::builder("https://fax.example.org".parse().unwrap())
            .with_secret(Secret::new("the root secret of a test, 32 characters"))
            .with_clock(TokioClock::shared())
            .build();
        let router = Arc::new(router.unwrap());
        let path = match signs {
            true => WebhookPath::Plain,
            false => WebhookPath::Secret,
        };
        let url = router.register_webhook(&ID, path).unwrap();
        let mock = vendor.calls_back(url.clone()).in_memory();
        let called = Arc::clone(&router);
        mock.webhooks().to(move |request| {
            let router = Arc::clone(&called);
            async move { router.dispatch(request).await }
        });
        let mut config = json!({
            "type": "faxbot-sinch-sms",
            "service_plan_id": MockSinchSms::PLAN, "api_token": MockSinchSms::API_TOKEN,
            "from_number": CALLER, "base_url": mock.url(), "auth_url": mock.url(),
        });
        if signs {
            config["webhook_secret"] = json!(SECRET);
        }
        for (name, value) in extra.as_object().unwrap() {
            config[name] = value.clone();
        }
        let store = Arc::new(MemoryInboundStore::new());
        let deps = PluginDeps::current()
            .unwrap()
            .with_http(mock.client())
            .with_webhooks(router.clone())
            .with_inbound(store.clone());
        let events = deps.events.subscribe();
        let plugin = Arc::new(SinchSmsPlugin::new());
        plugin.start(config, deps).await.unwrap();
        router.attach(&ID, plugin.clone());
        Self {
            mock,
            plugin,
            router,
            store,
            events,
            url,
        }
    }

    async fn send(&self) -> Result<MessageResult> {
        self.send_to(NUMBER, MessageContent::text(MessageKind::Sms, MESSAGE))
            .await
    }

    async fn send_to(&self, to: &str, content: MessageContent) -> Result<MessageResult> {
        self.plugin.send_message(to.parse().unwrap(), content).await
    }

    async fn state(&self, id: &str) -> MessageState {
        self.plugin.get_message_status(id).await.unwrap().status
    }

    fn submissions(&self) -> usize {
        self.mock.requests_on("POST", BATCHES).len()
    }

    fn books(&self) -> usize {
        self.mock.vendor(|sinch| sinch.books().len())
    }

    /// Waits until all callbacks were delivered.
    async fn quiet(&self) {
        tokio::time::sleep(MINUTE).await;
        assert!(self.mock.webhooks().settled(MINUTE).await);
    }

    fn topics(&mut self) -> Vec<String> {
        let mut topics = Vec::new();
        while let Some(event) = self.events.try_recv() {
            topics.push(event.unwrap().event.topic());
        }
        topics
    }

    async fn stored(&self) -> Vec<InboundMessage> {
        let query = InboundQuery::new().with_limit(100);
        let page = self.store.messages(ID.as_str(), &query).await.unwrap();
        page.items
    }
}

fn digits(number: &str) -> &str {
    number.trim_start_matches('+')
}

#[tokio::test(start_paused = true)]
async fn a_text_goes_out_with_our_reference_and_signed_callbacks_tell_of_it() {
    let mut rig = Rig::signed(json!({"inbound_poll": 0})).await;
    let sent = rig.send().await.unwrap();
    assert_eq!(
        (sent.provider.as_str(), sent.segments),
        ("faxbot-sinch-sms", 1)
    );
    let book = rig.mock.vendor(|sinch| sinch.books().remove(0));
    assert_eq!(sent.message_id, book.id);
    let reference = book.client_reference.clone().unwrap();
    assert!(uuid::Uuid::try_parse(&reference).is_ok());
    let request = rig.mock.requests_on("POST", BATCHES).remove(0);
    assert_eq!(request.bearer(), Some(MockSinchSms::API_TOKEN));
    assert_eq!(
        request.json().unwrap(),
        json!({
            "type": "mt_text", "from": CALLER, "to": [NUMBER], "body": MESSAGE,
            "client_reference": reference, "delivery_report": "per_recipient",
            "callback_url": "https://fax.example.org/webhooks/faxbot-sinch-sms",
        })
    );
    rig.quiet().await;
    let status = rig
        .plugin
        .get_message_status(&sent.message_id)
        .await
        .unwrap();
    assert_eq!(status.status, MessageState::Delivered);
    assert_eq!(status.authenticity, Some(Authenticity::Signed));
    assert_eq!(status.kind, Some(MessageKind::Sms));
    assert!(status.delivered_at.is_some());
    assert_eq!(rig.topics(), ["sms.sent", "sms.delivered"]);
    for delivery in rig.mock.webhooks().deliveries() {
        assert_eq!(delivery.status.unwrap(), 200);
        assert_eq!(delivery.reply, r#"{"status":"ok"}"#);
    }
}

#[tokio::test(start_paused = true)]
async fn without_any_callback_the_end_is_polled() {
    for extra in [json!({"enable_delivery_reports": false}), json!({})] {
        let rig = Rig::signed(extra.clone()).await;
        if extra == json!({}) {
            rig.mock
                .webhooks()
                .faults(Seed::fresh(), 1.0, [CallbackFault::Lost]);
        }
        let sent = rig.send().await.unwrap();
        let request = rig
            .mock
            .requests_on("POST", BATCHES)
            .remove(0)
            .json()
            .unwrap();
        assert_eq!(request.get("callback_url").is_some(), extra == json!({}));
        tokio::time::sleep(5 * MINUTE).await;
        let asked = rig.mock.requests().len();
        let status = rig
            .plugin
            .get_message_status(&sent.message_id)
            .await
            .unwrap();
        assert_eq!(status.status, MessageState::Delivered);
        assert_eq!(status.authenticity, Some(Authenticity::Fetched));
        assert_eq!(
            rig.mock.requests().len(),
            asked,
            "a final status is asked for"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn callbacks_of_a_plan_that_signs_nothing_are_fetched_before_they_are_believed() {
    let mut rig =
        Rig::unsigned(json!({"poll_min": "1h", "poll_max": "1h", "inbound_poll": 0})).await;
    assert!(rig.url.path().len() > "/webhooks/faxbot-sinch-sms/".len());
    let sent = rig.send().await.unwrap();
    rig.quiet().await;
    let status = rig
        .plugin
        .get_message_status(&sent.message_id)
        .await
        .unwrap();
    assert_eq!(status.status, MessageState::Delivered);
    assert_eq!(status.authenticity, Some(Authenticity::Fetched));
    let id = rig
        .mock
        .vendor(|sinch| sinch.receive(IncomingSms::text(digits(NUMBER), digits(CALLER), MESSAGE)));
    rig.quiet().await;
    let stored = rig.stored().await;
    assert_eq!((stored.len(), stored[0].id.as_str()), (1, id.as_str()));
    assert_eq!(stored[0].authenticity, Authenticity::Fetched);
    // Somebody who learnt the URL makes up a message, a lie about one, and a delivery.
    let forge = |body: Value| {
        let request = WebhookRequest::new(Method::POST, rig.url.path()).with_body(body.to_string());
        rig.router.dispatch(request)
    };
    let mut text = json!({"type": "mo_text", "id": "01MADEUP", "from": "15550100009",
        "to": digits(CALLER), "body": "a lie", "received_at": "2026-11-21T08:00:00Z"});
    assert_eq!(forge(text.clone()).await.status, 200);
    text["id"] = json!(id);
    assert_eq!(forge(text).await.status, 200);
    let late = rig.send().await.unwrap();
    let report = json!({"type": "recipient_delivery_report_sms", "batch_id": late.message_id,
        "status": "Failed", "code": 404, "recipient": digits(NUMBER), "at": "2026-11-21T08:00:00Z"});
    assert_eq!(forge(report).await.status, 200);
    assert_ne!(rig.state(&late.message_id).await, MessageState::Failed);
    let stored = rig.stored().await;
    assert_eq!(
        (stored.len(), stored[0].content.text.as_str()),
        (1, MESSAGE)
    );
    let received = |topics: Vec<String>| topics.iter().filter(|t| *t == "sms.received").count();
    assert_eq!(received(rig.topics()), 1);
    // Another path is nobody's.
    let request = WebhookRequest::new(Method::POST, "/webhooks/faxbot-sinch-sms");
    assert_eq!(rig.router.dispatch(request).await.status, 404);
}

#[tokio::test(start_paused = true)]
async fn each_end_has_its_state() {
    use MessageState::{Delivered, Failed, OutcomeUnknown, Sent};
    let rig = Rig::signed(json!({})).await;
    for (end, state, code) in [
        (SmsEnd::Delivered, Delivered, 0),
        (SmsEnd::Failed(404), Failed, 404),
        (SmsEnd::Failed(15), Failed, 15),
        (SmsEnd::Rejected(402), Failed, 402),
        (SmsEnd::Rejected(413), Failed, 413),
        (SmsEnd::Aborted(411), Failed, 411),
        (SmsEnd::Expired, Failed, 406),
        (SmsEnd::Deleted, Failed, 404),
        (SmsEnd::Unknown, OutcomeUnknown, 404),
        (SmsEnd::Endless, Sent, 401),
        // Words that no document has: kept, and nothing changes.
        (SmsEnd::Word("Parked".into(), 77), Sent, 77),
    ] {
        rig.mock.vendor(|sinch| sinch.next_message(end.clone()));
        let sent = rig.send().await.unwrap();
        rig.quiet().await;
        let status = rig
            .plugin
            .get_message_status(&sent.message_id)
            .await
            .unwrap();
        assert_eq!(status.status, state, "{end:?}");
        let raw = status.raw.unwrap();
        let code_of = raw.get("code").or_else(|| raw.pointer("/statuses/0/code"));
        assert_eq!(code_of, Some(&json!(code)), "{end:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_goes_wrong_with_a_request_no_message_is_sent_twice() {
    let elsewhere = "https://elsewhere.example.org/".parse().unwrap();
    for (fault, posts, books, ok) in [
        (FaultKind::too_many(2), 2, 1, true),
        (FaultKind::status(500), 1, 0, false),
        (FaultKind::status(503), 1, 0, false),
        (FaultKind::StatusAfterEffect { code: 500 }, 1, 1, true),
        (FaultKind::StatusAfterEffect { code: 408 }, 1, 1, true),
        (FaultKind::HangAfterEffect, 1, 1, true),
        (FaultKind::HangBeforeEffect, 1, 0, false),
        (FaultKind::CutAfterEffect, 1, 1, true),
        (FaultKind::CutBeforeEffect, 1, 0, false),
        (FaultKind::CutInUpload, 1, 0, false),
        (FaultKind::TruncatedBody, 1, 1, true),
        (FaultKind::UnfinishedBody, 1, 1, true),
        (FaultKind::Garbage, 1, 1, true),
        (FaultKind::NotHttp, 1, 1, true),
        (FaultKind::TooLong, 1, 1, true),
        (FaultKind::Slow(Duration::from_secs(20)), 1, 1, true),
        (FaultKind::Redirect(elsewhere), 1, 0, false),
    ] {
        let rig = Rig::signed(json!({"inbound_poll": 0})).await;
        let name = fault.name();
        rig.mock.fault(Fault::new(fault).on("POST", BATCHES));
        let sent = rig.send().await;
        assert_eq!(sent.is_ok(), ok, "{name}: {sent:?}");
        rig.quiet().await;
        assert_eq!((rig.submissions(), rig.books()), (posts, books), "{name}");
        let (id, state) = match sent {
            Ok(sent) => (sent.message_id, MessageState::Delivered),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::OutcomeUnknown, "{name}");
                (
                    error.message_id().unwrap().to_owned(),
                    MessageState::OutcomeUnknown,
                )
            }
        };
        assert_eq!(rig.state(&id).await, state, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_has_its_kind_and_the_vendors_code() {
    let rig = Rig::signed(json!({})).await;
    rig.mock.vendor(|sinch| sinch.set_blocked(true));
    let error = rig.send().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert_eq!(error.native_code(), Some("blocked_account"));
    assert!(error.native_text().is_some());
    assert_eq!(
        rig.state(error.message_id().unwrap()).await,
        MessageState::Failed
    );
    let rig = Rig::signed(json!({"api_token": "another"})).await;
    let error = rig.send().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Authentication);
    assert_eq!((rig.submissions(), rig.books()), (1, 0));
    let error = rig
        .plugin
        .get_message_status("01NOBODYS")
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Authentication);
    for id in [".", "..", "a/b", "01NOBODYS"] {
        let rig = Rig::signed(json!({})).await;
        let error = rig.plugin.get_message_status(id).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{id}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_sinch_does_not_carry_is_refused_before_the_network() {
    let media: Url = "https://example.org/a.png".parse().unwrap();
    let sms = |text: &str| MessageContent::text(MessageKind::Sms, text);
    let mms = |media: Vec<Url>| MessageContent::text(MessageKind::Mms, "look").with_media(media);
    let with_password = "https://user:hush@example.org/a.png".parse().unwrap();
    let file = "file:///etc/passwd".parse().unwrap();
    let us = "+12025550123";
    let rig = Rig::signed(json!({"inbound_poll": 0})).await;
    for (to, content) in [
        ("1001", sms("x")),
        ("sip:1001@example.org", sms("x")),
        ("native:group-1", sms("x")),
        (NUMBER, sms("")),
        (NUMBER, sms(&"x".repeat(2001))),
        (NUMBER, sms(&"📠".repeat(1001))),
        (NUMBER, sms("x").with_media([media.clone()])),
        (NUMBER, MessageContent::text(MessageKind::Whatsapp, "x")),
        (NUMBER, mms(vec![media.clone()])),
        (us, mms(vec![])),
        (us, mms(vec![media.clone(), media.clone()])),
        (us, mms(vec![with_password])),
        (us, mms(vec![file])),
    ] {
        let error = rig.send_to(to, content).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidRequest);
        assert_eq!(error.operation(), "send_message");
    }
    assert!(rig.mock.requests().is_empty());
    rig.send_to(NUMBER, sms(&"x".repeat(2000))).await.unwrap();
    let sent = rig.send_to(us, mms(vec![media.clone()])).await.unwrap();
    assert_eq!(sent.kind, MessageKind::Mms);
    let book = rig.mock.vendor(|sinch| sinch.books().remove(1));
    assert_eq!(book.kind, "mt_media");
    rig.quiet().await;
    assert_eq!(rig.state(&sent.message_id).await, MessageState::Delivered);
    let eu = Rig::signed(json!({"region": "eu", "inbound_poll": 0})).await;
    let error = eu.send_to(us, mms(vec![media])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRequest);
    assert!(eu.mock.requests().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_project_gets_a_token_and_another_when_it_is_expired() {
    let extra = json!({"service_plan_id": null, "api_token": null,
        "project_id": MockSinchSms::PROJECT, "key_id": MockSinchSms::KEY_ID,
        "key_secret": MockSinchSms::API_TOKEN, "inbound_poll": 0});
    let rig = Rig::signed(extra).await;
    rig.send().await.unwrap();
    rig.mock.vendor(MockSinchSms::expire_tokens);
    rig.send().await.unwrap();
    assert_eq!(rig.books(), 2);
    assert_eq!(rig.mock.vendor(|sinch| sinch.tokens_issued()), 2);
    let path = format!("/xms/v1/{}/batches", MockSinchSms::PROJECT);
    assert_eq!(rig.mock.requests_on("POST", &path).len(), 3);
}

#[tokio::test(start_paused = true)]
async fn messages_come_in_by_callbacks_and_by_the_list_and_no_media_is_contacted() {
    let mut rig = Rig::signed(json!({"inbound_poll": "5m"})).await;
    // The first look at the list is over.
    tokio::time::sleep(MINUTE).await;
    let (from, to) = (digits(NUMBER), digits(CALLER));
    let hostile = "http://169.254.169.254/latest/meta-data/";
    let file = "https://media.example.org/1.png";
    rig.mock.vendor(|sinch| {
        sinch.receive(IncomingSms::text(from, to, MESSAGE));
        sinch.receive(IncomingSms::media(
            from,
            to,
            "look",
            &[(hostile, "image/png"), (file, "image/png")],
        ));
        sinch.receive(IncomingSms::binary(from, to, b"Text", "050003f8030a"));
        sinch.receive(IncomingSms::text(from, to, "missed").quiet());
    });
    rig.quiet().await;
    assert_eq!(rig.stored().await.len(), 3);
    tokio::time::sleep(5 * MINUTE).await;
    let stored = rig.stored().await;
    assert_eq!(stored.len(), 4);
    let of = |text: &str| stored.iter().find(|m| m.content.text == text).unwrap();
    assert_eq!(of(MESSAGE).authenticity, Authenticity::Signed);
    assert_eq!(of("missed").authenticity, Authenticity::Fetched);
    assert_eq!(of("look").content.kind, MessageKind::Mms);
    assert_eq!(
        of("look").content.media,
        [hostile.parse().unwrap(), Url::parse(file).unwrap()]
    );
    assert_eq!(of("VGV4dA==").content.kind, MessageKind::Sms);
    let lists = "/xms/v1/mockplan4f1c/inbounds";
    assert!(
        rig.mock
            .requests()
            .iter()
            .all(|r| r.path.starts_with(lists))
    );
    let mut topics = rig.topics();
    topics.sort();
    assert_eq!(
        topics,
        [
            "mms.received",
            "sms.received",
            "sms.received",
            "sms.received"
        ]
    );
    // One conversation; the reply goes to the other end.
    let conversations = rig.plugin.list_conversations(10).await.unwrap();
    assert_eq!((conversations.len(), conversations[0].unread), (1, 4));
    assert_eq!(conversations[0].participants[0].expose(), NUMBER);
    let content = MessageContent::text(MessageKind::Sms, "thanks");
    rig.plugin
        .send_reply(&conversations[0].id, content)
        .await
        .unwrap();
    let book = rig.mock.vendor(|sinch| sinch.books().remove(0));
    assert_eq!(
        (book.to[0].as_str(), book.from.as_deref()),
        (from, Some(CALLER))
    );
}

#[tokio::test(start_paused = true)]
async fn a_name_as_the_sender_sends_and_a_reply_leaves_from_the_number_that_was_written_to() {
    let rig = Rig::signed(json!({"from_number": "Praxis"})).await;
    rig.send().await.unwrap();
    let incoming = IncomingSms::text(digits(NUMBER), digits(CALLER), MESSAGE);
    rig.mock.vendor(|sinch| sinch.receive(incoming));
    rig.quiet().await;
    let conversations = rig.plugin.list_conversations(10).await.unwrap();
    assert_eq!(conversations.len(), 2);
    let answered = conversations.iter().find(|c| c.unread == 1).unwrap();
    let content = MessageContent::text(MessageKind::Sms, "thanks");
    rig.plugin.send_reply(&answered.id, content).await.unwrap();
    let books = rig.mock.vendor(|sinch| sinch.books());
    let from: Vec<_> = books.iter().map(|book| book.from.as_deref()).collect();
    assert_eq!(from, [Some("Praxis"), Some(CALLER)]);
}

#[tokio::test(start_paused = true)]
async fn a_long_list_is_read_over_all_pages() {
    let rig = Rig::signed(json!({})).await;
    rig.mock.vendor(|sinch| {
        for number in 0..250 {
            let text = format!("message {number}");
            sinch.receive(IncomingSms::text(digits(NUMBER), digits(CALLER), &text).quiet());
        }
    });
    tokio::time::sleep(6 * MINUTE).await;
    let query = InboundQuery::new().with_limit(1000);
    let stored = rig.store.messages(ID.as_str(), &query).await.unwrap();
    assert_eq!(stored.items.len(), 250);
}
