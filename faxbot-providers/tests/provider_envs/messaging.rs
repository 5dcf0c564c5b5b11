//! The environment of a messaging provider: what a vendor brings, and the rest, which is the same for
//! all.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use faxbot_core::{
    Error,
    address::Address,
    message::MessageKind,
    plugin::{MessagingPlugin, PluginCapability, PluginDeps},
    webhook::{WebhookHandler, WebhookReply, WebhookRequest},
};
use faxbot_providers::cloud::{MessagingProvider, messaging::CloudMessagingPlugin};
use faxbot_testkit::{
    conformance::{
        Case, Failure, Tampered, VendorWebhooks,
        messaging_plugin::{
            self, MessageFate, MessageWebhooks, MessagingPluginEnv, MessagingPluginSetup,
        },
        sip_adapter::BadConfig,
    },
    server::http::{Callback, FaultKind, MockHttp, MockVendor, SeenRequest},
};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use url::Url;

use crate::provider_envs::{LATE, LONG, Link, elsewhere, with};

/// Longer than a caller waits while a message is looked for.
const BEHIND: Duration = Duration::from_secs(4);

/// What a vendor brings. Each of its kinds may be a value of its own.
pub(crate) trait MessagingVendor: Send + Sync + 'static {
    type Mock: MockVendor;
    type Provider: MessagingProvider;

    fn name(&self) -> &'static str;
    fn capabilities(&self) -> Vec<PluginCapability>;
    /// Why the vendor cannot do what is not among them.
    fn why_not(&self, capability: &PluginCapability) -> &'static str;
    /// Whether callbacks are signed.
    fn signs(&self) -> bool;
    /// A good configuration but for what [`addresses`](Self::addresses) adds.
    fn config(&self) -> Value;
    /// The path where messages are submitted.
    fn submit(&self) -> String;
    fn addresses(&self, vendor: &Url, webhooks: &Url) -> Value;
    fn bad_config(&self) -> BadConfig;
    fn kind(&self) -> MessageKind;
    fn segments(&self) -> Vec<(String, u32)>;
    fn too_long(&self) -> Option<String>;
    fn vendor(&self, webhooks: &Url) -> Self::Mock;
    /// How messages to a number end, of these fates: delivered, handed over, undeliverable.
    fn end(&self, vendor: &mut Self::Mock, number: &str, fate: MessageFate);
    /// Messages are refused, or no longer.
    fn refuse(&self, vendor: &mut Self::Mock, yes: bool);
    /// What is sent and what comes in is in no list for so long.
    fn lag(&self, vendor: &mut Self::Mock, lag: Duration);
    /// A text comes in. Answers its id.
    fn receive(&self, vendor: &mut Self::Mock, from: &str, text: &str) -> String;
    /// The recipient, with its plus, and the text of a submission.
    fn text_of(&self, request: &SeenRequest) -> Option<(String, String)>;
    /// Whether this is the last callback of a message.
    fn is_last(&self, callback: &Callback) -> bool;
    /// See [`VendorWebhooks::genuine`].
    fn genuine(&self, url: &Url, body: Bytes) -> WebhookRequest;
    /// Requests to the right address that are not the vendor's.
    fn tampered(&self, url: &Url, request: &WebhookRequest) -> Vec<Tampered>;
    /// See [`MessageWebhooks::forged`].
    fn forged(&self, url: &Url, message_id: &str) -> Vec<(String, WebhookRequest)> {
        let _ = (url, message_id);
        Vec::new()
    }
}

/// The suite, by callbacks alone and by polling alone.
pub(crate) fn cases<V: MessagingVendor>(vendor: V) -> Vec<Case> {
    let vendor = Arc::new(vendor);
    let both = [false, true].map(|polled| {
        let vendor = Arc::clone(&vendor);
        messaging_plugin::cases(Arc::new(Env { vendor, polled }))
    });
    both.into_iter().flatten().collect()
}

struct Env<V> {
    vendor: Arc<V>,
    /// No callback arrives by itself.
    polled: bool,
}

#[async_trait]
impl<V: MessagingVendor> MessagingPluginEnv for Env<V> {
    fn name(&self) -> String {
        let how = if self.polled { ", polled" } else { "" };
        format!("{}{how}", self.vendor.name())
    }

    fn capabilities(&self) -> Vec<PluginCapability> {
        self.vendor.capabilities()
    }

    fn why_not(&self, capability: &PluginCapability) -> String {
        self.vendor.why_not(capability).to_owned()
    }

    fn lacks_webhooks(&self) -> Option<String> {
        None
    }

    fn signs(&self) -> bool {
        self.vendor.signs()
    }

    fn good_config(&self) -> Value {
        let (poll, inbound) = if self.polled {
            ("1s", "200ms")
        } else {
            ("1h", "0s")
        };
        let options = json!({
            "requests_per_second": 1000, "request_burst": 1000, "lookup_patience": "2s",
            "poll_min": poll, "poll_max": poll, "inbound_poll": inbound,
        });
        with(self.vendor.config(), json!({ "options": options }))
    }

    fn bad_configs(&self) -> Vec<BadConfig> {
        vec![self.vendor.bad_config()]
    }

    fn kind(&self) -> MessageKind {
        self.vendor.kind()
    }

    fn segments(&self) -> Vec<(String, u32)> {
        self.vendor.segments()
    }

    fn too_long(&self) -> Option<String> {
        self.vendor.too_long()
    }

    async fn setup(&self) -> Result<Box<dyn MessagingPluginSetup>, Failure> {
        let path = V::Provider::webhook_path(&self.vendor.config());
        let vendor = |url: &Url| self.vendor.vendor(url);
        let link = Link::start(&V::Provider::manifest().id, path, vendor).await?;
        link.open(!self.polled);
        let (vendor, polled) = (Arc::clone(&self.vendor), self.polled);
        Ok(Box::new(Setup(Arc::new(Linked {
            vendor,
            link,
            polled,
        }))))
    }
}

struct Setup<V: MessagingVendor>(Arc<Linked<V>>);

struct Linked<V: MessagingVendor> {
    vendor: Arc<V>,
    link: Link<V::Mock>,
    polled: bool,
}

impl<V: MessagingVendor> Linked<V> {
    /// Does something at the vendor.
    fn at<T>(&self, act: impl FnOnce(&V, &mut V::Mock) -> T) -> T {
        self.link.mock.vendor(|mock| act(&self.vendor, mock))
    }

    /// The texts that were submitted, with their recipients.
    fn texts(&self) -> Vec<(String, String)> {
        let path = self.vendor.submit();
        let asked = self.link.mock.requests_on("POST", &path);
        let asked = asked.iter().filter(|request| request.path == path);
        asked.filter_map(|one| self.vendor.text_of(one)).collect()
    }
}

#[async_trait]
impl<V: MessagingVendor> MessagingPluginSetup for Setup<V> {
    fn plugin(&self) -> Arc<dyn MessagingPlugin> {
        let plugin = Arc::new(CloudMessagingPlugin::<V::Provider>::new());
        let id = V::Provider::manifest().id;
        self.0.link.attach(&id, plugin.clone());
        plugin
    }

    fn deps(&self, deps: PluginDeps) -> PluginDeps {
        self.0.link.deps(deps)
    }

    fn config(&self, config: Value) -> Value {
        let (vendor, link) = (&self.0.vendor, &self.0.link);
        with(config, vendor.addresses(&link.mock.url(), &link.url))
    }

    async fn target(&self, fate: MessageFate) -> Result<Address, Failure> {
        let link = &self.0.link;
        let number = link.number();
        let fault = |kind| link.fault(&self.0.vendor.submit(), kind);
        let lag = |lag| self.0.at(|vendor, mock| vendor.lag(mock, lag));
        self.0.at(|vendor, mock| {
            let refused = fate == MessageFate::Refused;
            vendor.refuse(mock, refused);
            vendor.end(mock, &number, fate);
        });
        match fate {
            MessageFate::Unknown => {
                // Nor does a callback tell.
                link.open(false);
                lag(LONG);
                fault(FaultKind::CutAfterEffect);
            }
            MessageFate::Late => {
                lag(if self.0.polled { BEHIND } else { LONG });
                fault(FaultKind::CutAfterEffect);
            }
            MessageFate::Found => fault(FaultKind::CutAfterEffect),
            MessageFate::Slow => fault(FaultKind::Slow(LATE)),
            MessageFate::Offline => cut(&link.mock).await?,
            _ => {}
        }
        Ok(number.parse()?)
    }

    fn texts_to(&self, to: &Address) -> Vec<String> {
        let own = to.expose();
        let texts = self.0.texts().into_iter();
        texts
            .filter_map(|(to, text)| (to == *own).then_some(text))
            .collect()
    }

    fn submissions(&self) -> usize {
        self.0.texts().len()
    }

    async fn message_in(&self, from: &Address, text: &str) -> Result<(), Failure> {
        let from = from.expose();
        self.0.at(|vendor, mock| vendor.receive(mock, &from, text));
        Ok(())
    }

    fn webhooks(&self) -> Option<Arc<dyn MessageWebhooks>> {
        self.0.link.open(false);
        if self.0.polled {
            // What comes in must not come by the list before its callback is delivered.
            self.0.at(|vendor, mock| vendor.lag(mock, LONG));
        }
        Some(self.0.clone())
    }
}

#[async_trait]
impl<V: MessagingVendor> VendorWebhooks for Linked<V> {
    fn genuine(&self, body: Bytes) -> WebhookRequest {
        self.vendor.genuine(&self.link.url, body)
    }

    fn tampered(&self, request: &WebhookRequest) -> Vec<Tampered> {
        let mut all = elsewhere(request);
        all.extend(self.vendor.tampered(&self.link.url, request));
        all
    }

    async fn deliver(
        &self,
        _: &dyn WebhookHandler,
        request: WebhookRequest,
    ) -> Result<WebhookReply, Error> {
        Ok(self.link.dispatch(request).await)
    }
}

#[async_trait]
impl<V: MessagingVendor> MessageWebhooks for Linked<V> {
    async fn statuses(&self, message_id: &str) -> Result<Vec<WebhookRequest>, Failure> {
        let is_last = |callback: &Callback| self.vendor.is_last(callback);
        self.link.callbacks(message_id, is_last).await
    }

    async fn received(&self, from: &Address, text: &str) -> Result<WebhookRequest, Failure> {
        let from = from.expose();
        let id = self.at(|vendor, mock| vendor.receive(mock, &from, text));
        let request = self.link.callbacks(&id, |_| true).await?.pop();
        request.ok_or_else(|| Failure::new("no callback"))
    }

    fn forged(&self, message_id: &str) -> Vec<(String, WebhookRequest)> {
        self.vendor.forged(&self.link.url, message_id)
    }
}

/// Nobody listens at the vendor's address any more.
async fn cut<M: MockVendor>(mock: &MockHttp<M>) -> Result<(), Failure> {
    mock.unreachable(true);
    let address = mock.address();
    let address = address.ok_or_else(|| Failure::new("the vendor is on no socket"))?;
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    Ok(())
}
