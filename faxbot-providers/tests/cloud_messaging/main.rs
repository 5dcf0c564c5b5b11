//! The messaging plugin of cloud providers over a scripted vendor, on a paused clock.
#![cfg(test)]

mod inbound;
mod life;
mod send;
mod status;
mod vendor;

use std::{sync::Arc, time::Duration};

use faxbot_core::{
    Private, Result, Timestamp,
    clock::{SharedClock, TokioClock},
    event::EventStream,
    message::{
        InboundMessage, MessageContent, MessageKind, MessageResult, MessageState, MessageStatus,
    },
    plugin::{MessagingPlugin, Plugin, PluginDeps, PluginEvent, PluginId},
    webhook::{
        Authenticity, InboundStore, MemoryDeadLetters, MemoryInboundStore, WebhookHandler,
        WebhookPath, WebhookRegistry, WebhookReply, WebhookRequest,
    },
};
use faxbot_providers::cloud::messaging::CloudMessagingPlugin;
use faxbot_testkit::fixtures::private;
use http::{HeaderMap, HeaderValue, Method};
use serde_json::{Value, json};
use url::Url;

use vendor::{Acme, NoHttp, OURS, Vendor};

const THEIRS: &str = "+15550104477";
const WEBHOOK_URL: &str = "https://fax.example.org/webhooks/acme-sms";
const TEXT: &str = private::MESSAGE;

type AcmePlugin = CloudMessagingPlugin<Acme>;

#[derive(Debug)]
struct Registry;

impl WebhookRegistry for Registry {
    fn register_webhook(&self, _: &PluginId, _: WebhookPath) -> Result<Url> {
        Ok(WEBHOOK_URL.parse().unwrap())
    }
}

struct Bench {
    vendor: Arc<Vendor>,
    plugin: Arc<AcmePlugin>,
    store: Arc<MemoryInboundStore>,
    letters: Arc<MemoryDeadLetters>,
    events: EventStream<PluginEvent>,
    config: Value,
    /// The plugin's: it stands still with the test, as the real time does not.
    clock: SharedClock,
}

impl Bench {
    async fn new() -> Self {
        Self::with(json!({})).await
    }

    async fn with(options: Value) -> Self {
        let mut bench = Self::idle(options).await;
        bench.start().await;
        bench
    }

    /// Not started.
    async fn idle(options: Value) -> Self {
        let (number, vendor) = vendor::open();
        let mut config = json!({"options": {"vendor": number}});
        for (name, value) in options.as_object().unwrap() {
            config["options"][name] = value.clone();
        }
        Self {
            vendor,
            plugin: Arc::new(AcmePlugin::new()),
            store: Arc::default(),
            letters: Arc::default(),
            events: PluginDeps::current().unwrap().events.subscribe(),
            config,
            clock: TokioClock::shared(),
        }
    }

    fn now(&self) -> Timestamp {
        self.clock.timestamp()
    }

    fn deps(&self) -> PluginDeps {
        let mut deps = PluginDeps::current().unwrap();
        deps.clock = Arc::clone(&self.clock);
        deps.with_http(Arc::new(NoHttp))
            .with_webhooks(Arc::new(Registry))
            .with_inbound(Arc::clone(&self.store) as Arc<dyn InboundStore>)
            .with_dead_letters(Arc::clone(&self.letters) as _)
    }

    async fn start(&mut self) {
        let deps = self.deps();
        self.events = deps.events.subscribe();
        self.plugin.start(self.config.clone(), deps).await.unwrap();
    }

    async fn send(&self) -> Result<MessageResult> {
        self.send_text(TEXT).await
    }

    async fn send_text(&self, text: &str) -> Result<MessageResult> {
        let content = MessageContent::text(MessageKind::Sms, text);
        self.plugin
            .send_message(THEIRS.parse().unwrap(), content)
            .await
    }

    async fn status(&self, id: &str) -> MessageStatus {
        self.plugin.get_message_status(id).await.unwrap()
    }

    async fn call(&self, request: WebhookRequest) -> WebhookReply {
        self.plugin.handle_webhook(request).await.unwrap()
    }

    /// The vendor's own state of a message.
    fn becomes(&self, id: &str, state: MessageState) {
        let mut world = self.vendor.world();
        let row = world.messages.get_mut(id).unwrap();
        (row.1, row.2) = (Some(state), format!("{state:?}"));
    }

    fn submissions(&self) -> usize {
        self.vendor.world().submissions.len()
    }

    /// Topics with ids, since the last call.
    fn told(&mut self) -> Vec<(String, String)> {
        let mut told = Vec::new();
        while let Some(event) = self.events.try_recv() {
            let event = event.unwrap().event;
            let id = match &event {
                PluginEvent::MessageReceived(message) => message.id.clone(),
                PluginEvent::MessageStatusChanged(status) => {
                    assert!(status.raw.is_none(), "an event has the vendor's words");
                    status.message_id.clone()
                }
                other => panic!("{other:?}"),
            };
            told.push((event.topic(), id));
        }
        told
    }

    async fn stored(&self) -> Vec<InboundMessage> {
        let query = faxbot_core::plugin::InboundQuery::new().with_limit(10_000);
        self.store.messages(vendor::ID, &query).await.unwrap().items
    }
}

fn inbound(id: &str, from: &str, text: &str, at: Timestamp) -> InboundMessage {
    InboundMessage::new(
        id,
        "",
        (
            Private::new(from.to_owned()),
            Private::new(OURS[1..].to_owned()),
        ),
        MessageContent::text(MessageKind::Sms, text),
        at,
        Authenticity::None,
    )
}

fn signed(body: &Value) -> WebhookRequest {
    let mut headers = HeaderMap::new();
    headers.insert("x-sign", HeaderValue::from_static("right"));
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    WebhookRequest::new(Method::POST, "/webhooks/acme-sms")
        .with_headers(headers)
        .with_body(body.to_string())
}

fn status_call(id: &str, reference: Option<&str>, state: MessageState) -> WebhookRequest {
    signed(&json!({
        "status_of": id, "reference": reference, "state": state, "word": format!("{state:?}"),
    }))
}

fn inbound_call(message: &InboundMessage) -> WebhookRequest {
    signed(&json!({
        "id": message.id, "from": message.from, "text": message.content.text,
        "at": message.received_at,
    }))
}

async fn pause(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}
