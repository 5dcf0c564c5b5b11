//! Hosts with plugins that run over their mocks.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use faxbot_core::{
    Result,
    document::Document,
    message::{MessageContent, MessageKind},
    plugin::{FaxPlugin, MessagingPlugin, Plugin as _, PluginId, SendOptions},
    webhook::{Claim, DeadLetter, DeadLetterStore, DedupeStore, WebhookPath},
};
use faxbot_providers::{
    phaxio::{self, PhaxioPlugin},
    sinch_fax::{self, SinchFaxPlugin},
    sinch_sms::{self, SinchSmsPlugin},
};
use faxbot_testkit::{
    fixtures::private,
    server::{
        http::MockHttp,
        phaxio::{FaxEnd, MockPhaxio},
        sinch_fax::MockSinchFax,
        sinch_sms::{IncomingSms, MockSinchSms, SmsEnd, SmsPace},
    },
};
use serde_json::{Value, json};

use crate::{
    cloud_wire_support::{Host, until},
    subject::{Kind, PHAXIO_KEYS, Plugin, Subject},
};

/// Remembers nothing: each request is handled.
#[derive(Debug)]
struct Forgetful;

#[async_trait]
impl DedupeStore for Forgetful {
    async fn claim(&self, _: &PluginId, _: &str, _: Duration) -> Result<Claim> {
        Ok(Claim::New)
    }

    async fn done(&self, _: &PluginId, _: &str) -> Result<()> {
        Ok(())
    }

    async fn release(&self, _: &PluginId, _: &str) -> Result<()> {
        Ok(())
    }
}

/// Counts what it is given, and keeps none of it.
#[derive(Debug, Default)]
pub(crate) struct Counted(AtomicUsize);

impl Counted {
    pub(crate) fn letters(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl DeadLetterStore for Counted {
    async fn put(&self, _: &DeadLetter) -> Result<()> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    async fn list(&self, _: usize) -> Result<Vec<DeadLetter>> {
        Ok(Vec::new())
    }
}

/// A host whose plugins ask for nothing by themselves any more.
pub(crate) struct Rig {
    pub(crate) host: Host,
    pub(crate) subjects: Vec<Subject>,
    pub(crate) mocks: Mocks,
    pub(crate) counted: Arc<Counted>,
}

/// They live as long as the rig.
#[derive(Default)]
pub(crate) struct Mocks {
    pub(crate) phaxio: Option<MockHttp<MockPhaxio>>,
    pub(crate) sinch_fax: Option<MockHttp<MockSinchFax>>,
    pub(crate) sinch_sms: Option<MockHttp<MockSinchSms>>,
}

/// Whether the host remembers what was handled, and keeps dead letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Memory {
    Files,
    None,
}

impl Rig {
    /// Vendors that sign, or the same ones and Sinch Fax that do not.
    pub(crate) async fn start(folder: &Path, signed: bool, memory: Memory) -> Self {
        let host = Host::start(folder, private::WEBHOOK_SECRET, 50).await;
        let mut rig = Self {
            host,
            subjects: Vec::new(),
            mocks: Mocks::default(),
            counted: Arc::default(),
        };
        rig.phaxio(signed, memory).await;
        rig.sinch_sms(signed, memory).await;
        if !signed {
            rig.sinch_fax(memory).await;
        }
        rig.host.told();
        rig.host.http.take();
        rig
    }

    fn deps(&self, memory: Memory) -> faxbot_core::plugin::PluginDeps {
        match memory {
            Memory::Files => self.host.deps(),
            Memory::None => {
                let deps = self.host.deps().with_dedupe(Arc::new(Forgetful));
                deps.with_dead_letters(self.counted.clone())
            }
        }
    }

    async fn phaxio(&mut self, signed: bool, memory: Memory) {
        let mock = MockPhaxio::new()
            .keys(PHAXIO_KEYS.0, PHAXIO_KEYS.1)
            .start()
            .await;
        let mut config = json!({
            "api_key": PHAXIO_KEYS.0, "api_secret": PHAXIO_KEYS.1, "base_url": mock.api_url(),
            "verify_signature": signed, "options": quick(),
        });
        if signed {
            config["callback_token"] = json!(private::SIGNING_SECRET);
        }
        let path = if signed {
            WebhookPath::Plain
        } else {
            WebhookPath::Secret
        };
        let webhook = self.host.webhook(&phaxio::ID, path);
        let plugin = Arc::new(PhaxioPlugin::new());
        plugin.start(config, self.deps(memory)).await.unwrap();
        self.host.router.attach(&phaxio::ID, plugin.clone());
        mock.vendor(|vendor| vendor.next_fax(FaxEnd::Endless));
        let received = mock.vendor(|vendor| {
            vendor.receive_quietly(private::NUMBER, private::CALLER, MockPhaxio::blank_pdf(1))
        });
        let (job, sent) = send_fax(plugin.as_ref()).await;
        self.subjects.push(Subject {
            kind: Kind::Phaxio { signed },
            id: phaxio::ID,
            plugin: Plugin::Fax { plugin, job },
            webhook,
            vendor: mock.url(),
            sent,
            received: received.to_string(),
        });
        self.mocks.phaxio = Some(mock);
    }

    async fn sinch_fax(&mut self, memory: Memory) {
        let mock = MockSinchFax::new().start().await;
        let config = json!({
            "project_id": MockSinchFax::PROJECT, "key_id": MockSinchFax::KEY_ID,
            "key_secret": MockSinchFax::KEY_SECRET, "base_url": mock.url(), "auth_url": mock.url(),
            "options": quick(),
        });
        let webhook = self.host.webhook(&sinch_fax::ID, WebhookPath::Secret);
        let plugin = Arc::new(SinchFaxPlugin::new());
        plugin.start(config, self.deps(memory)).await.unwrap();
        self.host.router.attach(&sinch_fax::ID, plugin.clone());
        mock.vendor(|vendor| vendor.next_fax(FaxEnd::Endless));
        let received = mock.vendor(|vendor| {
            vendor.receive_quietly(private::NUMBER, private::CALLER, MockPhaxio::blank_pdf(1))
        });
        let (job, sent) = send_fax(plugin.as_ref()).await;
        self.subjects.push(Subject {
            kind: Kind::SinchFax,
            id: sinch_fax::ID,
            plugin: Plugin::Fax { plugin, job },
            webhook,
            vendor: mock.url(),
            sent,
            received,
        });
        self.mocks.sinch_fax = Some(mock);
    }

    async fn sinch_sms(&mut self, signed: bool, memory: Memory) {
        let at_once = SmsPace::new(Duration::ZERO, Duration::ZERO);
        let mock = MockSinchSms::new().pace(at_once).start().await;
        let mut config = json!({
            "service_plan_id": MockSinchSms::PLAN, "api_token": MockSinchSms::API_TOKEN,
            "from_number": private::CALLER, "base_url": mock.url(), "options": {
                "requests_per_second": 1000, "request_burst": 1000, "poll_min": "24h",
                "poll_max": "24h", "inbound_poll": "0",
                // The vendor tells of nothing by itself.
                "enable_delivery_reports": false,
            },
        });
        if signed {
            config["webhook_secret"] = json!(private::SIGNING_SECRET);
        }
        let path = if signed {
            WebhookPath::Plain
        } else {
            WebhookPath::Secret
        };
        let webhook = self.host.webhook(&sinch_sms::ID, path);
        let plugin = Arc::new(SinchSmsPlugin::new());
        plugin.start(config, self.deps(memory)).await.unwrap();
        self.host.router.attach(&sinch_sms::ID, plugin.clone());
        mock.vendor(|vendor| vendor.next_message(SmsEnd::Endless));
        let received = mock.vendor(|vendor| {
            let text = IncomingSms::text(private::NUMBER, private::CALLER, private::MESSAGE);
            vendor.receive(text.quiet())
        });
        let text = MessageContent::text(MessageKind::Sms, private::MESSAGE);
        let to = private::NUMBER.parse().unwrap();
        let id = plugin.send_message(to, text).await.unwrap().message_id;
        // Asked once: for a day the answer counts.
        plugin.get_message_status(&id).await.unwrap();
        self.subjects.push(Subject {
            kind: Kind::SinchSms { signed },
            id: sinch_sms::ID,
            plugin: Plugin::Sms {
                plugin,
                id: id.clone(),
            },
            webhook,
            vendor: mock.url(),
            sent: id,
            received,
        });
        self.mocks.sinch_sms = Some(mock);
    }
}

fn quick() -> Value {
    json!({
        "requests_per_second": 1000, "request_burst": 1000, "poll_min": "24h", "poll_max": "24h",
        "lookup_patience": "5s", "server_patience": "5s",
    })
}

/// Sends a fax that has no end; answers the job, and the vendor's id.
async fn send_fax(plugin: &dyn FaxPlugin) -> (faxbot_core::id::JobId, String) {
    let document = Document::bytes(MockPhaxio::blank_pdf(1));
    let to = private::NUMBER.parse().unwrap();
    let sent = plugin
        .send_fax(to, document, SendOptions::new())
        .await
        .unwrap();
    let sid = until(async || {
        let status = plugin.get_status(&sent.job_id).await.unwrap();
        status.detail.provider_sid
    })
    .await;
    (sent.job_id, sid)
}
