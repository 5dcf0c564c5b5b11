//! The environment of a fax provider: what a vendor brings, and the rest, which is the same for all.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use faxbot_core::{
    Error,
    address::FaxTarget,
    id::JobId,
    plugin::{FaxPlugin, PluginCapability, PluginDeps},
    webhook::{WebhookHandler, WebhookReply, WebhookRequest},
};
use faxbot_providers::cloud::{FaxProvider, fax::CloudFaxPlugin};
use faxbot_testkit::{
    conformance::{
        Case, Failure, Tampered, VendorWebhooks,
        fax_plugin::{self, FaxFate, FaxPluginEnv, FaxPluginSetup, FaxWebhooks, Redials},
        sip_adapter::BadConfig,
    },
    server::{
        http::{Callback, FaultKind, MockVendor},
        phaxio::FaxEnd,
    },
};
use serde_json::{Value, json};
use url::Url;

use crate::provider_envs::{LATE, Link, SOON, elsewhere, with};

/// What a vendor brings. Each of its kinds may be a value of its own.
pub(crate) trait FaxVendor: Send + Sync + 'static {
    type Mock: MockVendor;
    type Provider: FaxProvider;

    fn name(&self) -> &'static str;
    fn capabilities(&self) -> Vec<PluginCapability>;
    /// Why the vendor cannot do what is not among them.
    fn why_not(&self, capability: &PluginCapability) -> &'static str;
    /// Whether callbacks are signed.
    fn signs(&self) -> bool;
    /// A good configuration but for what [`addresses`](Self::addresses) adds.
    fn config(&self) -> Value;
    /// The path where faxes are submitted.
    fn submit(&self) -> String;
    fn addresses(&self, vendor: &Url, webhooks: &Url) -> Value;
    fn bad_config(&self) -> BadConfig;
    fn vendor(&self, webhooks: &Url) -> Self::Mock;
    /// How faxes to a number end.
    fn end(&self, vendor: &mut Self::Mock, number: &str, end: FaxEnd);
    /// Faxes to a number are refused.
    fn refuse(&self, vendor: &mut Self::Mock, number: &str);
    /// Faxes are in no list for long.
    fn hide(&self, vendor: &mut Self::Mock);
    /// A fax comes in, and is told of or not. Answers its id.
    fn receive(&self, vendor: &mut Self::Mock, pages: u32, tell: bool) -> String;
    /// The vendor's id of a job.
    fn sid(&self, vendor: &mut Self::Mock, job: &JobId) -> Option<String>;
    /// Whether this is the last callback of a fax, by its label.
    fn is_last(&self, label: &str) -> bool;
    /// See [`VendorWebhooks::genuine`].
    fn genuine(&self, url: &Url, body: Bytes) -> WebhookRequest;
    /// Requests to the right address that are not the vendor's.
    fn tampered(&self, request: &WebhookRequest) -> Vec<Tampered>;
    /// See [`FaxWebhooks::forged`]; the fax of the job has this id at the vendor.
    fn forged(&self, url: &Url, job: &JobId, sid: &str) -> Vec<(String, WebhookRequest)> {
        let _ = (url, job, sid);
        Vec::new()
    }
}

/// The suite, by callbacks alone and by polling alone.
pub(crate) fn cases<V: FaxVendor>(vendor: V) -> Vec<Case> {
    let vendor = Arc::new(vendor);
    let both = [false, true].map(|polled| {
        let vendor = Arc::clone(&vendor);
        fax_plugin::cases(Arc::new(Env { vendor, polled }))
    });
    both.into_iter().flatten().collect()
}

struct Env<V> {
    vendor: Arc<V>,
    /// No callback arrives by itself.
    polled: bool,
}

#[async_trait]
impl<V: FaxVendor> FaxPluginEnv for Env<V> {
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

    fn lacks(&self, _: FaxFate) -> Option<String> {
        None
    }

    fn redials(&self) -> Redials {
        Redials::Provider
    }

    fn lacks_inbound(&self) -> Option<String> {
        None
    }

    fn lacks_webhooks(&self) -> Option<String> {
        None
    }

    fn signs(&self) -> bool {
        self.vendor.signs()
    }

    fn good_config(&self) -> Value {
        let poll = if self.polled { "1s" } else { "1h" };
        let options = json!({
            "requests_per_second": 1000, "request_burst": 1000,
            "poll_min": poll, "poll_max": poll, "lookup_patience": "3s",
        });
        with(self.vendor.config(), json!({ "options": options }))
    }

    fn bad_configs(&self) -> Vec<BadConfig> {
        vec![self.vendor.bad_config()]
    }

    async fn setup(&self) -> Result<Box<dyn FaxPluginSetup>, Failure> {
        let path = V::Provider::webhook_path(&self.vendor.config());
        let vendor = |url: &Url| self.vendor.vendor(url);
        let link = Link::start(&V::Provider::manifest().id, path, vendor).await?;
        link.open(!self.polled);
        let vendor = Arc::clone(&self.vendor);
        Ok(Box::new(Setup(Arc::new(Linked { vendor, link }))))
    }
}

struct Setup<V: FaxVendor>(Arc<Linked<V>>);

struct Linked<V: FaxVendor> {
    vendor: Arc<V>,
    link: Link<V::Mock>,
}

impl<V: FaxVendor> Linked<V> {
    /// Does something at the vendor.
    fn at<T>(&self, act: impl FnOnce(&V, &mut V::Mock) -> T) -> T {
        self.link.mock.vendor(|mock| act(&self.vendor, mock))
    }

    async fn callbacks(&self, sid: &str) -> Result<Vec<WebhookRequest>, Failure> {
        let is_last = |callback: &Callback| self.vendor.is_last(&callback.label);
        self.link.callbacks(sid, is_last).await
    }
}

#[async_trait]
impl<V: FaxVendor> FaxPluginSetup for Setup<V> {
    fn plugin(&self) -> Arc<dyn FaxPlugin> {
        let plugin = Arc::new(CloudFaxPlugin::<V::Provider>::new());
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

    async fn target(&self, fate: FaxFate) -> Result<FaxTarget, Failure> {
        let link = &self.0.link;
        let number = link.number();
        let fault = |kind| link.fault(&self.0.vendor.submit(), kind);
        let end = match fate {
            FaxFate::Busy => FaxEnd::Busy,
            FaxFate::FailsAfterOnePage => FaxEnd::FailsAfter(1),
            FaxFate::Endless => FaxEnd::Endless,
            _ => FaxEnd::Success,
        };
        self.0.at(|vendor, mock| vendor.end(mock, &number, end));
        match fate {
            FaxFate::Unknown => {
                // Nor does a callback tell.
                link.open(false);
                self.0.at(V::hide);
                fault(FaultKind::CutAfterEffect);
            }
            FaxFate::Found => fault(FaultKind::CutAfterEffect),
            FaxFate::Refused => self.0.at(|vendor, mock| vendor.refuse(mock, &number)),
            FaxFate::Retried => fault(FaultKind::too_many(1)),
            FaxFate::CallbackFirst => {
                link.open(true);
                fault(FaultKind::Slow(LATE));
            }
            _ => {}
        }
        Ok(number.parse()?)
    }

    fn submissions(&self) -> usize {
        let path = self.0.vendor.submit();
        let asked = self.0.link.mock.requests_on("POST", &path);
        asked.iter().filter(|request| request.path == path).count()
    }

    async fn fax_in(&self, pages: u32) -> Result<String, Failure> {
        Ok(self.0.at(|vendor, mock| vendor.receive(mock, pages, false)))
    }

    fn webhooks(&self) -> Option<Arc<dyn FaxWebhooks>> {
        self.0.link.open(false);
        Some(self.0.clone())
    }
}

#[async_trait]
impl<V: FaxVendor> VendorWebhooks for Linked<V> {
    fn genuine(&self, body: Bytes) -> WebhookRequest {
        self.vendor.genuine(&self.link.url, body)
    }

    fn tampered(&self, request: &WebhookRequest) -> Vec<Tampered> {
        let mut all = elsewhere(request);
        all.extend(self.vendor.tampered(request));
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
impl<V: FaxVendor> FaxWebhooks for Linked<V> {
    async fn statuses(&self, job: &JobId) -> Result<Vec<WebhookRequest>, Failure> {
        let look = |_: &_| self.at(|vendor, mock| vendor.sid(mock, job));
        let sid = self.link.mock.wait_until(SOON, look).await;
        let sid = sid.ok_or_else(|| Failure::new("the vendor has no such fax"))?;
        self.callbacks(&sid).await
    }

    async fn received(&self, pages: u32) -> Result<(String, WebhookRequest), Failure> {
        let id = self.at(|vendor, mock| vendor.receive(mock, pages, true));
        let request = self.callbacks(&id).await?.pop();
        Ok((id, request.ok_or_else(|| Failure::new("no callback"))?))
    }

    fn forged(&self, job: &JobId) -> Vec<(String, WebhookRequest)> {
        let sid = self.at(|vendor, mock| vendor.sid(mock, job));
        let sid = sid.unwrap_or_default();
        self.vendor.forged(&self.link.url, job, &sid)
    }
}
