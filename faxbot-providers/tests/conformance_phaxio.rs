//! The conformance suite of fax plugins, on the plugin for Phaxio over a mock of the vendor, callbacks
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
    Error,
    address::FaxTarget,
    id::JobId,
    plugin::{FaxPlugin, Plugin as _, PluginCapability, PluginDeps},
    webhook::{
        WebhookHandler, WebhookPath, WebhookRegistry, WebhookReply, WebhookRequest, WebhookRouter,
    },
};
use faxbot_providers::phaxio::{ID, PhaxioPlugin};
use faxbot_testkit::{
    conformance::{
        self, Failure, Tampered, VendorWebhooks,
        fax_plugin::{self, FaxFate, FaxPluginEnv, FaxPluginSetup, FaxWebhooks, Redials},
        sip_adapter::BadConfig,
    },
    server::{
        http::{Callback, Fault, FaultKind, MockHttp},
        phaxio::{FaxEnd, MockPhaxio},
    },
};
use http::{HeaderName, HeaderValue, Method};
use serde_json::{Value, json};

const SUBMIT: &str = "/v2.1/faxes";
const OURS: &str = "+12025550100";
const CALLER: &str = "+12025550199";
/// What the vendor refuses to call begins so.
const REFUSED: &str = "+1202556";
const SIGNATURE: HeaderName = HeaderName::from_static("x-phaxio-signature");
/// Longer than any case.
const LONG: Duration = Duration::from_secs(600);
const SOON: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    conformance::run(fax_plugin::cases(Arc::new(Env)))
}

struct Env;

#[async_trait]
impl FaxPluginEnv for Env {
    fn name(&self) -> String {
        "phaxio".to_owned()
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

    fn good_config(&self) -> Value {
        json!({
            "type": "phaxio",
            "api_key": MockPhaxio::KEY,
            "api_secret": MockPhaxio::SECRET,
            "callback_token": MockPhaxio::TOKEN,
            "base_url": "http://127.0.0.1/v2.1/",
            "options": {
                "requests_per_second": 1000, "request_burst": 1000, "poll_min": "1s",
                "lookup_patience": "3s",
            },
        })
    }

    fn bad_configs(&self) -> Vec<BadConfig> {
        let config = json!({ "api_key": "x", "options": { "caller_id": "me", "poll_min": "0s" } });
        let paths = ["auth.api_secret", "options.caller_id", "options.poll_min"];
        vec![BadConfig::new(config, &paths)]
    }

    async fn setup(&self) -> Result<Box<dyn FaxPluginSetup>, Failure> {
        let router = WebhookRouter::builder("https://fax.example.org".parse()?).build()?;
        let url = router.register_webhook(&ID, WebhookPath::Plain)?;
        let mock = MockPhaxio::new()
            .calls_back(url.as_str())
            .with_inflight()
            .refuses_number(&format!("{REFUSED}*"))
            .in_memory();
        Ok(Box::new(Setup(Arc::new(Vendor {
            mock,
            router: Arc::new(router),
            next: AtomicU32::new(0),
        }))))
    }
}

struct Setup(Arc<Vendor>);

struct Vendor {
    mock: MockHttp<MockPhaxio>,
    router: Arc<WebhookRouter>,
    next: AtomicU32,
}

#[async_trait]
impl FaxPluginSetup for Setup {
    fn plugin(&self) -> Arc<dyn FaxPlugin> {
        let plugin = Arc::new(PhaxioPlugin::new());
        self.0.router.attach(&plugin.manifest().id, plugin.clone());
        plugin
    }

    fn deps(&self, deps: PluginDeps) -> PluginDeps {
        deps.with_http(self.0.mock.client())
            .with_webhooks(self.0.router.clone())
    }

    async fn target(&self, fate: FaxFate) -> Result<FaxTarget, Failure> {
        let mock = &self.0.mock;
        let before = if fate == FaxFate::Refused {
            REFUSED
        } else {
            "+1202555"
        };
        let number = format!("{before}{:04}", self.0.next.fetch_add(1, Ordering::Relaxed));
        let fault = |kind| mock.fault(Fault::new(kind).on("POST", SUBMIT));
        let end = match fate {
            FaxFate::Busy => FaxEnd::Busy,
            FaxFate::FailsAfterOnePage => FaxEnd::FailsAfter(1),
            FaxFate::Endless => FaxEnd::Endless,
            _ => FaxEnd::Success,
        };
        mock.vendor(|phaxio| phaxio.set_number(&number, end));
        match fate {
            FaxFate::Unknown => {
                mock.vendor(|phaxio| phaxio.set_list_lag(LONG));
                fault(FaultKind::CutAfterEffect);
            }
            FaxFate::Found => fault(FaultKind::CutAfterEffect),
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
        let asked = self.0.mock.requests_on("POST", SUBMIT);
        asked
            .iter()
            .filter(|request| request.path == SUBMIT)
            .count()
    }

    async fn fax_in(&self, pages: u32) -> Result<String, Failure> {
        // The vendor's times have seconds.
        tokio::time::sleep(Duration::from_millis(5)).await;
        let pdf = MockPhaxio::blank_pdf(pages);
        let id = self
            .0
            .mock
            .vendor(|phaxio| phaxio.receive_quietly(CALLER, OURS, pdf));
        Ok(id.to_string())
    }

    fn webhooks(&self) -> Option<Arc<dyn FaxWebhooks>> {
        Some(self.0.clone())
    }
}

impl Vendor {
    /// The callbacks of a fax, when the last one is there.
    async fn callbacks(&self, id: u64) -> Result<Vec<WebhookRequest>, Failure> {
        let last = format!("fax_completed {id}");
        let of_it = |mock: &MockHttp<MockPhaxio>| {
            let all = mock.webhooks().callbacks().into_iter();
            let mine: Vec<_> = all
                .filter(|callback| callback.label.ends_with(&format!(" {id}")))
                .collect();
            mine.iter()
                .any(|callback| callback.label == last)
                .then_some(mine)
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

#[async_trait]
impl VendorWebhooks for Vendor {
    fn genuine(&self, body: Bytes) -> WebhookRequest {
        // The signature of a form that is none: there is nothing that it could be over.
        let mut request = WebhookRequest::new(Method::POST, format!("/webhooks/{ID}"));
        let kind = HeaderValue::from_static("multipart/form-data; boundary=garbage");
        request.headers.insert(http::header::CONTENT_TYPE, kind);
        let signature = HeaderValue::from_static("64a735ef0c47a0ae671e381c046648f0966deb29");
        request.headers.insert(SIGNATURE, signature);
        request.with_body(body)
    }

    fn tampered(&self, request: &WebhookRequest) -> Vec<Tampered> {
        let change = |what: &str, change: &dyn Fn(&mut WebhookRequest)| {
            let mut request = request.clone();
            change(&mut request);
            Tampered::new(what, request)
        };
        let replace = |from: &str, to: &str| {
            let text = text_of(&request.body).replace(from, to);
            let mut request = request.clone();
            request.body = text.into_bytes().into();
            request
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
            Tampered::new("another field", replace("\"direction\"", "\"Direction\"")),
            Tampered::new("another file", replace("%PDF-", "%PDG-")),
            change("no body", &|it| it.body = Bytes::new()),
            change("another plugin's address", &|it| {
                it.path = "/webhooks/phaxi0".to_owned();
            })
            .with_status(404),
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

/// A form whose file is ASCII, as those of the mock are.
fn text_of(body: &Bytes) -> String {
    String::from_utf8(body.to_vec()).unwrap()
}

#[async_trait]
impl FaxWebhooks for Vendor {
    async fn statuses(&self, job: &JobId) -> Result<Vec<WebhookRequest>, Failure> {
        let of_job = |mock: &MockHttp<MockPhaxio>| {
            let books = mock.vendor(|phaxio| phaxio.books());
            let own = |tag: &String| tag == job.as_str();
            let mut books = books.iter();
            books
                .find(|fax| fax.tags.values().any(own))
                .map(|fax| fax.id)
        };
        let id = self.mock.wait_until(SOON, of_job).await;
        let id = id.ok_or_else(|| Failure::new("the vendor has no such fax"))?;
        self.callbacks(id).await
    }

    async fn received(&self, pages: u32) -> Result<(String, WebhookRequest), Failure> {
        let pdf = MockPhaxio::blank_pdf(pages);
        let id = self.mock.vendor(|phaxio| phaxio.receive(CALLER, OURS, pdf));
        let request = self.callbacks(id).await?.pop();
        let request = request.ok_or_else(|| Failure::new("no callback"))?;
        Ok((id.to_string(), request))
    }
}
