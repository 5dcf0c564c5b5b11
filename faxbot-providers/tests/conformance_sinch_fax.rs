//! The conformance suite of fax plugins, on the plugin for Sinch Fax over a mock of the vendor, callbacks
//! through a router.
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
    Error, Secret,
    address::FaxTarget,
    id::JobId,
    plugin::{FaxPlugin, Plugin as _, PluginCapability, PluginDeps},
    webhook::{
        WebhookHandler, WebhookPath, WebhookRegistry, WebhookReply, WebhookRequest, WebhookRouter,
    },
};
use faxbot_providers::sinch_fax::{ID, SinchFaxPlugin};
use faxbot_testkit::{
    conformance::{
        self, Failure, Tampered, VendorWebhooks,
        fax_plugin::{self, FaxFate, FaxPluginEnv, FaxPluginSetup, FaxWebhooks, Redials},
        sip_adapter::BadConfig,
    },
    server::{
        http::{Callback, Fault, FaultKind, MockHttp},
        phaxio::MockPhaxio,
        sinch_fax::{FaxEnd, MockSinchFax},
    },
};
use http::{HeaderValue, Method, header::CONTENT_TYPE};
use serde_json::{Value, json};
use url::Url;

const FAXES: &str = "/v3/projects/";
const OURS: &str = "+12025550100";
const CALLER: &str = "+12025550199";
const SOON: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    conformance::run(fax_plugin::cases(Arc::new(Env)))
}

struct Env;

#[async_trait]
impl FaxPluginEnv for Env {
    fn name(&self) -> String {
        "sinch-fax".to_owned()
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

    fn lacks(&self, _: FaxFate) -> Option<String> {
        None
    }

    fn signs(&self) -> bool {
        false
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

    fn good_config(&self) -> Value {
        json!({
            "type": "sinch-fax",
            "project_id": MockSinchFax::PROJECT,
            "key_id": MockSinchFax::KEY_ID,
            "key_secret": MockSinchFax::KEY_SECRET,
            "base_url": "http://127.0.0.1/",
            "auth_url": "http://127.0.0.1/",
            "options": {
                "requests_per_second": 1000, "request_burst": 1000, "poll_min": "1s",
                "lookup_patience": "3s",
            },
        })
    }

    fn bad_configs(&self) -> Vec<BadConfig> {
        let config = json!({ "key_id": "x", "options": { "from": "me", "poll_min": "0s" } });
        let paths = ["auth.key_secret", "options.project_id", "options.from"];
        vec![BadConfig::new(config, &paths)]
    }

    async fn setup(&self) -> Result<Box<dyn FaxPluginSetup>, Failure> {
        let router = WebhookRouter::builder("https://fax.example.org".parse()?)
            .with_secret(Secret::new("the root secret of a test, 32 characters"))
            .build()?;
        let url = router.register_webhook(&ID, WebhookPath::Secret)?;
        let mock = MockSinchFax::new().calls_back(url.clone()).in_memory();
        Ok(Box::new(Setup(Arc::new(Vendor {
            mock,
            router: Arc::new(router),
            url,
            next: AtomicU32::new(0),
        }))))
    }
}

struct Setup(Arc<Vendor>);

struct Vendor {
    mock: MockHttp<MockSinchFax>,
    router: Arc<WebhookRouter>,
    url: Url,
    next: AtomicU32,
}

#[async_trait]
impl FaxPluginSetup for Setup {
    fn plugin(&self) -> Arc<dyn FaxPlugin> {
        let plugin = Arc::new(SinchFaxPlugin::new());
        self.0.router.attach(&plugin.manifest().id, plugin.clone());
        plugin
    }

    fn deps(&self, deps: PluginDeps) -> PluginDeps {
        deps.with_http(self.0.mock.client())
            .with_webhooks(self.0.router.clone())
    }

    async fn target(&self, fate: FaxFate) -> Result<FaxTarget, Failure> {
        let mock = &self.0.mock;
        let number = format!("+1202555{:04}", self.0.next.fetch_add(1, Ordering::Relaxed));
        let fault = |kind| mock.fault(Fault::new(kind).on("POST", FAXES));
        let end = match fate {
            FaxFate::Busy => FaxEnd::Busy,
            FaxFate::FailsAfterOnePage => FaxEnd::FailsAfter(1),
            FaxFate::Endless => FaxEnd::Endless,
            _ => FaxEnd::Success,
        };
        mock.vendor(|sinch| sinch.set_number(&number, end));
        match fate {
            // The vendor does not have it; from here that looks like a list that lags.
            FaxFate::Unknown => fault(FaultKind::CutBeforeEffect),
            FaxFate::Found => fault(FaultKind::CutAfterEffect),
            FaxFate::Refused => fault(FaultKind::status(400)),
            FaxFate::Retried => fault(FaultKind::too_many(1)),
            FaxFate::CallbackFirst => {
                let router = self.0.router.clone();
                mock.webhooks().to(move |request| {
                    let router = router.clone();
                    async move { router.dispatch(request).await }
                });
                fault(FaultKind::Slow(Duration::from_secs(3)));
            }
            _ => {}
        }
        Ok(number.parse()?)
    }

    fn submissions(&self) -> usize {
        self.0.mock.requests_on("POST", FAXES).len()
    }

    async fn fax_in(&self, pages: u32) -> Result<String, Failure> {
        // The vendor's list is ordered by the second.
        tokio::time::sleep(Duration::from_millis(1100)).await;
        let pdf = MockPhaxio::blank_pdf(pages);
        let come = |sinch: &mut MockSinchFax| sinch.receive_quietly(CALLER, OURS, pdf);
        Ok(self.0.mock.vendor(come))
    }

    fn webhooks(&self) -> Option<Arc<dyn FaxWebhooks>> {
        Some(self.0.clone())
    }
}

impl Vendor {
    /// The callback of a fax: one tells of its end, or that it came in.
    async fn callback(&self, id: &str) -> Result<WebhookRequest, Failure> {
        let of_it = |mock: &MockHttp<MockSinchFax>| {
            let names = |callback: &Callback| {
                let body = String::from_utf8_lossy(&callback.body);
                body.contains(id)
            };
            mock.webhooks().callbacks().into_iter().find(names)
        };
        let callback = self.mock.wait_until(SOON, of_it).await;
        let callback = callback.ok_or_else(|| Failure::new("the vendor calls back nothing"))?;
        Ok(request(&callback))
    }

    /// The vendor's id of a job's fax.
    fn id_of(&self, job: &JobId) -> Option<String> {
        let books = self.mock.vendor(|sinch| sinch.books());
        let own = |label: &String| label == job.as_str();
        let mut books = books.iter();
        books
            .find(|fax| fax.labels.values().any(own))
            .map(|fax| fax.id.clone())
    }
}

fn request(callback: &Callback) -> WebhookRequest {
    WebhookRequest::new(Method::POST, callback.url.path())
        .with_headers(callback.headers.clone())
        .with_body(callback.body.clone())
}

#[async_trait]
impl VendorWebhooks for Vendor {
    fn genuine(&self, body: Bytes) -> WebhookRequest {
        let mut request = WebhookRequest::new(Method::POST, self.url.path());
        let kind = HeaderValue::from_static("application/json");
        request.headers.insert(CONTENT_TYPE, kind);
        request.with_body(body)
    }

    fn tampered(&self, request: &WebhookRequest) -> Vec<Tampered> {
        let secret = self.url.path().rsplit('/').next().unwrap_or_default();
        let other = |what: &str, path: String| {
            let mut request = request.clone();
            request.path = path;
            Tampered::new(what, request).with_status(404)
        };
        let mut read = request.clone();
        read.method = Method::GET;
        vec![
            other("no secret", format!("/webhooks/{ID}")),
            other("an empty secret", format!("/webhooks/{ID}/")),
            other(
                "another secret",
                format!("/webhooks/{ID}/{}", "0".repeat(secret.len())),
            ),
            other(
                "half of the secret",
                format!("/webhooks/{ID}/{}", &secret[..secret.len() / 2]),
            ),
            other(
                "another plugin's address",
                format!("/webhooks/phaxio/{secret}"),
            ),
            Tampered::new("another method", read).with_status(405),
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
impl FaxWebhooks for Vendor {
    async fn statuses(&self, job: &JobId) -> Result<Vec<WebhookRequest>, Failure> {
        let taken = |_: &MockHttp<MockSinchFax>| self.id_of(job);
        let id = self.mock.wait_until(SOON, taken).await;
        let id = id.ok_or_else(|| Failure::new("the vendor has no such fax"))?;
        Ok(vec![self.callback(&id).await?])
    }

    async fn received(&self, pages: u32) -> Result<(String, WebhookRequest), Failure> {
        let pdf = MockPhaxio::blank_pdf(pages);
        let come = |sinch: &mut MockSinchFax| sinch.receive(CALLER, OURS, pdf);
        let id = self.mock.vendor(come);
        let request = self.callback(&id).await?;
        Ok((id, request))
    }

    fn forged(&self, job: &JobId) -> Vec<(String, WebhookRequest)> {
        let id = self.id_of(job).unwrap_or_default();
        let unknown = "01HDQ6CV7A1X0TJ3K2BW8ZP4MN";
        let fax = |id: &str, direction: &str, status: &str| {
            json!({
                "id": id, "direction": direction, "status": status, "to": OURS, "from": CALLER,
                "numberOfPages": 1, "pagesSentSuccessfully": 1, "hasFile": "true",
                "labels": { "faxbot_job": job.as_str() },
            })
        };
        let tell = |event: &str, fax: Value| {
            let told =
                json!({ "event": event, "fax": fax, "file": "JVBERi0xLjcK", "fileType": "PDF" });
            self.genuine(told.to_string().into())
        };
        let rows = [
            (
                "the job's fax arrived",
                "FAX_COMPLETED",
                id.as_str(),
                "OUTBOUND",
                "COMPLETED",
            ),
            (
                "the job's fax failed",
                "FAX_COMPLETED",
                &id,
                "OUTBOUND",
                "FAILURE",
            ),
            (
                "another fax of the job arrived",
                "FAX_COMPLETED",
                unknown,
                "OUTBOUND",
                "COMPLETED",
            ),
            (
                "a fax came in that did not",
                "INCOMING_FAX",
                unknown,
                "INBOUND",
                "COMPLETED",
            ),
            (
                "the job's fax came in",
                "INCOMING_FAX",
                &id,
                "INBOUND",
                "COMPLETED",
            ),
            (
                "a fax with a path for an id",
                "INCOMING_FAX",
                "../../x",
                "INBOUND",
                "COMPLETED",
            ),
        ];
        rows.into_iter()
            .map(|(what, event, id, direction, status)| {
                (what.to_owned(), tell(event, fax(id, direction, status)))
            })
            .collect()
    }
}
