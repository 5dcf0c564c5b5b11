//! The fax vendors, through success and every kind of failure.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use faxbot_core::{
    Result,
    document::Document,
    fax::JobStatus,
    id::JobId,
    plugin::{FaxPlugin, InboundQuery, Plugin, PluginEvent, SendOptions, SendResult},
    random::SystemRandom,
    webhook::{InboundFile, WebhookPath},
};
use faxbot_providers::{
    cloud::{
        FaxProvider, ProviderContext,
        fax::{CloudFaxPlugin, FaxSettings},
    },
    phaxio::{self, Phaxio, PhaxioConfig},
    sinch_fax::{self, SinchFax, SinchFaxConfig},
};
use faxbot_testkit::{
    conformance::samples,
    fixtures::private,
    server::{
        http::{CallbackFault, Fault, FaultKind, MockHttp, MockVendor},
        phaxio::{FaxEnd, MockPhaxio},
        sinch_fax::MockSinchFax,
    },
};
use serde_json::{Value, json};
use url::Url;

use crate::{
    SPEED,
    cloud_wire_support::{Host, until},
    shown::{Shown, nested_refusal, refusal, sentence},
};

/// How long a hanging vendor is waited for.
const IMPATIENT: Duration = Duration::from_millis(150);
const PATIENT: Duration = Duration::from_secs(10);

/// What the vendors' mocks have in common.
pub(crate) trait FaxVendor: MockVendor {
    fn ends(&mut self, end: FaxEnd);
    fn comes_in(&mut self, pdf: Bytes);
}

impl FaxVendor for MockPhaxio {
    fn ends(&mut self, end: FaxEnd) {
        self.next_fax(end);
    }

    fn comes_in(&mut self, pdf: Bytes) {
        self.receive(private::NUMBER, private::CALLER, pdf);
    }
}

impl FaxVendor for MockSinchFax {
    fn ends(&mut self, end: FaxEnd) {
        self.next_fax(end);
    }

    fn comes_in(&mut self, pdf: Bytes) {
        self.receive(private::NUMBER, private::CALLER, pdf);
    }
}

/// One vendor with a plugin that runs.
pub(crate) struct Lab<'s, P: FaxProvider, V: FaxVendor> {
    pub(crate) host: Host,
    pub(crate) mock: MockHttp<V>,
    pub(crate) plugin: Arc<CloudFaxPlugin<P>>,
    pub(crate) shown: &'s mut Shown,
    pub(crate) webhook: Url,
    folder: &'s Path,
    /// Where its faxes are.
    path: &'static str,
}

pub(crate) fn pdf() -> Bytes {
    [
        &MockPhaxio::blank_pdf(2)[..],
        b"\n% ",
        private::DOCUMENT.as_bytes(),
        b"\n",
    ]
    .concat()
    .into()
}

fn phaxio_config(mock: &MockHttp<MockPhaxio>, secret: &str) -> Value {
    json!({
        "type": "phaxio", "api_key": private::KEY, "api_secret": secret,
        "callback_token": private::SIGNING_SECRET, "base_url": mock.api_url(),
        "caller_id": private::CALLER, "header": private::HEADER, "options": quick(),
    })
}

fn sinch_config(mock: &MockHttp<MockSinchFax>, secret: &str) -> Value {
    json!({
        "type": "sinch-fax", "project_id": MockSinchFax::PROJECT,
        "key_id": MockSinchFax::KEY_ID, "key_secret": secret,
        "base_url": mock.url(), "auth_url": mock.url(),
        "from": private::CALLER, "header": private::HEADER, "options": quick(),
    })
}

fn quick() -> Value {
    json!({
        "requests_per_second": 1000, "request_burst": 1000, "poll_min": "1s", "poll_max": "2s",
        "server_patience": "20s", "lookup_patience": "20s", "job_patience": "100s",
    })
}

pub(crate) async fn phaxio() -> Shown {
    let mut shown = Shown::default();
    let folder = tempfile::tempdir().unwrap();
    let host = Host::start(folder.path(), private::WEBHOOK_SECRET, SPEED).await;
    let webhook = host.webhook(&phaxio::ID, WebhookPath::Plain);
    let mock = MockPhaxio::new()
        .keys(private::KEY, private::SECRET)
        .token(Some(private::SIGNING_SECRET))
        .calls_back(webhook.as_str())
        .start()
        .await;
    let config = phaxio_config(&mock, private::SECRET);
    shown.debug(&PhaxioConfig::from_value(&config).unwrap());
    let plugin = host
        .run(CloudFaxPlugin::<Phaxio>::new(), config.clone())
        .await;
    let path = "/v2.1/faxes";
    let mut lab = Lab {
        host,
        mock,
        plugin,
        shown: &mut shown,
        webhook,
        folder: folder.path(),
        path,
    };
    lab.run(&config, phaxio_config(&lab.mock, private::DEFAULT_SECRET))
        .await;
    lab.cancelled().await;
    lab.phaxio_hooks().await;
    lab.end().await;
    shown
}

pub(crate) async fn sinch() -> Shown {
    let mut shown = Shown::default();
    let folder = tempfile::tempdir().unwrap();
    let host = Host::start(folder.path(), private::WEBHOOK_SECRET, SPEED).await;
    let webhook = host.webhook(&sinch_fax::ID, WebhookPath::Secret);
    let mock = MockSinchFax::new()
        .project(
            MockSinchFax::PROJECT,
            MockSinchFax::KEY_ID,
            private::DEFAULT_SECRET,
        )
        .calls_back(webhook.clone())
        .start()
        .await;
    let config = sinch_config(&mock, private::DEFAULT_SECRET);
    shown.debug(&SinchFaxConfig::from_value(&config).unwrap());
    let plugin = host
        .run(CloudFaxPlugin::<SinchFax>::new(), config.clone())
        .await;
    let path = "/v3/projects/";
    let mut lab = Lab {
        host,
        mock,
        plugin,
        shown: &mut shown,
        webhook,
        folder: folder.path(),
        path,
    };
    lab.run(&config, sinch_config(&lab.mock, private::SECRET))
        .await;
    // Another token is fetched, and refused.
    for kind in [
        status(401, &refusal()),
        status(400, &refusal()),
        status(500, &refusal()),
    ] {
        lab.mock.vendor(MockSinchFax::expire_tokens);
        lab.mock
            .fault(Fault::new(kind).on("POST", "/oauth2/token").times(4));
        lab.send(Document::bytes(pdf())).await;
        lab.mock.no_faults();
    }
    lab.sinch_hooks().await;
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

impl<P: FaxProvider, V: FaxVendor> Lab<'_, P, V> {
    async fn run(&mut self, config: &Value, refused: Value) {
        self.send(Document::bytes(pdf())).await;
        self.ends().await;
        self.submissions().await;
        self.questions().await;
        self.documents().await;
        self.received().await;
        self.provider(config).await;
        self.credentials(refused).await;
        self.configurations(config);
    }

    /// Sends a fax and shows it until its end.
    async fn send(&mut self, document: Document) -> Option<JobStatus> {
        self.shown.debug(&document);
        let options = SendOptions::new();
        self.shown.debug(&options);
        let to = private::NUMBER.parse().unwrap();
        let sent = self.plugin.send_fax(to, document, options).await;
        let plugin = Arc::clone(&self.plugin);
        self.follow(&plugin, sent).await
    }

    async fn follow(
        &mut self,
        plugin: &CloudFaxPlugin<P>,
        sent: Result<SendResult>,
    ) -> Option<JobStatus> {
        self.shown.result(&sent);
        let job = sent.ok()?.job_id;
        let last = until(async || {
            let status = plugin.get_status(&job).await.unwrap();
            let over = status.status.is_final() || status.status == JobStatus::OutcomeUnknown;
            over.then_some(status)
        })
        .await;
        self.shown.debug(&last);
        self.show_events();
        Some(last.status)
    }

    pub(crate) fn show_events(&mut self) {
        for event in self.host.told() {
            self.shown.debug(&event);
        }
    }

    /// All that may become of a fax that was taken.
    async fn ends(&mut self) {
        let mut seen = Vec::new();
        for end in [
            FaxEnd::Success,
            FaxEnd::Busy,
            FaxEnd::FailsAfter(1),
            FaxEnd::BadDocument,
            FaxEnd::NoFunds,
            FaxEnd::Native(sentence(), 4711),
            FaxEnd::Native(private::NUMBER.to_owned(), 17),
        ] {
            self.mock.vendor(|vendor| vendor.ends(end));
            seen.extend(self.send(Document::bytes(pdf())).await);
        }
        assert!(
            seen.contains(&JobStatus::Success) && seen.contains(&JobStatus::Failed),
            "{seen:?}"
        );
        // It stays in a state with a name that nobody knows.
        self.mock
            .vendor(|vendor| vendor.ends(FaxEnd::Word(sentence())));
        self.send(Document::bytes(pdf())).await;
    }

    /// All that may become of a submission.
    async fn submissions(&mut self) {
        let elsewhere = format!("http://127.0.0.1:9/{0}?token={0}", private::SIP_USER);
        let page = FaultKind::Status {
            code: 200,
            retry_after: None,
            body: format!("<p>{}</p>", sentence()),
        };
        let said_by_status = [200, 400, 401, 402, 403, 404, 413, 418, 422, 429, 500, 503];
        let mut kinds: Vec<FaultKind> = said_by_status
            .iter()
            .map(|code| status(*code, &refusal()))
            .collect();
        kinds.extend([
            status(422, &nested_refusal()),
            page,
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
            FaultKind::UnfinishedBody,
        ]);
        for kind in kinds {
            let hangs = matches!(
                kind,
                FaultKind::HangAfterEffect
                    | FaultKind::HangBeforeEffect
                    | FaultKind::UnfinishedBody
            );
            self.host
                .http
                .patience(if hangs { IMPATIENT } else { PATIENT });
            self.mock.fault(Fault::new(kind).on("POST", self.path));
            self.send(Document::bytes(pdf())).await;
            self.mock.no_faults();
        }
        self.host.http.patience(PATIENT);
        self.mock.unreachable(true);
        self.send(Document::bytes(pdf())).await;
        self.mock.unreachable(false);
    }

    /// Questions that fail: of a fax that goes on, and of the caller.
    async fn questions(&mut self) {
        for kind in [
            status(404, &refusal()),
            status(503, &refusal()),
            status(200, &refusal()),
            FaultKind::CutBeforeEffect,
            FaultKind::NotHttp,
            FaultKind::Redirect(self.mock.url().join("?to=1").unwrap()),
        ] {
            self.mock
                .fault(Fault::new(kind.clone()).on("GET", self.path).times(12));
            self.mock.webhooks().next(CallbackFault::Lost);
            let to = private::NUMBER.parse().unwrap();
            let sent = self
                .plugin
                .send_fax(to, Document::bytes(pdf()), SendOptions::new())
                .await;
            tokio::time::sleep(IMPATIENT).await;
            let list = self.plugin.list_inbound(InboundQuery::new()).await;
            self.shown.result(&list);
            let fetched = self.plugin.get_inbound(private::NUMBER).await;
            self.shown.result(&fetched);
            let other = JobId::new();
            let recovered = self.plugin.recover(&other).await;
            self.shown.result(&recovered);
            let deleted = self.plugin.delete_file(&other).await;
            self.shown.result(&deleted);
            let health = self.plugin.health_check().await;
            self.shown.result(&health);
            self.mock.no_faults();
            let plugin = Arc::clone(&self.plugin);
            self.follow(&plugin, sent).await;
        }
    }

    async fn documents(&mut self) {
        let file = self.folder.join(private::FILE_NAME);
        fs::write(&file, samples::tiff(1).unwrap()).unwrap();
        let damaged = self.folder.join(format!("2-{}", private::FILE_NAME));
        fs::write(&damaged, [b"II*\0", private::DOCUMENT.as_bytes()].concat()).unwrap();
        let named = |scheme: &str| {
            let (user, name) = (private::SIP_USER, private::FILE_NAME);
            let url = format!("{scheme}://files.example/{user}/{name}?signature={user}");
            Document::url(url.parse().unwrap())
        };
        let login: Url = format!("https://u:{}@files.example/", private::DEFAULT_SECRET)
            .parse()
            .unwrap();
        for document in [
            Document::path(&file),
            Document::path(&damaged),
            Document::path(self.folder.join("none").join(private::FILE_NAME)),
            Document::path(self.folder),
            Document::bytes(private::DOCUMENT.as_bytes()),
            Document::bytes(Bytes::new()),
            named("https"),
            named("file"),
            Document::url(login),
            Document::combined([Document::path(&file), Document::bytes(pdf())]),
        ] {
            self.send(document).await;
        }
    }

    /// Faxes that come in, and their pages.
    async fn received(&mut self) {
        self.mock.vendor(|vendor| vendor.comes_in(pdf()));
        let fax = until(async || {
            let page = self.plugin.list_inbound(InboundQuery::new()).await.ok()?;
            page.items.into_iter().next()
        })
        .await;
        self.shown.debug(&fax);
        assert!(self.mock.webhooks().settled(PATIENT).await);
        let told = self.host.told();
        assert!(
            told.iter()
                .any(|event| matches!(event, PluginEvent::FaxReceived(_)))
        );
        for event in told {
            self.shown.debug(&event);
        }
        let document = self.plugin.get_inbound(&fax.id).await.unwrap();
        self.shown.debug(&document);
        // A link to it, for a vendor that fetches.
        let links = self.host.router.links();
        let file = InboundFile::new("application/pdf", pdf());
        self.shown.debug(&file);
        let id = &self.plugin.manifest().id;
        let link = links.share(id, file, PATIENT).unwrap();
        self.shown.secret(link.path().rsplit('/').next().unwrap());
        self.shown.debug(links);
        let got = self.host.get(&link).await.status;
        assert_eq!(got, 200);
        // Pages that are none.
        self.mock
            .vendor(|vendor| vendor.comes_in(sentence().into()));
        assert!(self.mock.webhooks().settled(PATIENT).await);
        self.show_events();
    }

    /// The vendor's part alone: what the engine hides.
    async fn provider(&mut self, config: &Value) {
        let mut context = ProviderContext::new(
            self.host.http.clone(),
            Arc::clone(&self.host.clock),
            SystemRandom::shared(),
        );
        context.webhook_url = Some(self.webhook.clone());
        self.shown.debug(&context);
        let provider = P::build(config, context).unwrap();
        self.shown.debug(&provider);
        let to = private::NUMBER.parse().unwrap();
        self.shown
            .result(&provider.prepare(&to, &SendOptions::new()));
        let page = provider.list_inbound(&InboundQuery::new()).await;
        for fax in &page.as_ref().unwrap().items {
            let whole = provider.inbound(&fax.id).await;
            self.shown.result(&whole);
            let report = provider.status(&fax.id).await;
            self.shown.result(&report);
        }
        self.shown.result(&page);
    }

    /// Credentials that the vendor refuses, with a body that quotes them.
    async fn credentials(&mut self, config: Value) {
        let plugin = CloudFaxPlugin::<P>::new();
        // The vendor's callbacks stay with the other.
        let deps = self.host.deps();
        self.shown.debug(&deps);
        plugin.start(config, deps).await.unwrap();
        let to = private::NUMBER.parse().unwrap();
        let sent = plugin
            .send_fax(to, Document::bytes(pdf()), SendOptions::new())
            .await;
        self.follow(&plugin, sent).await;
        let list = plugin.list_inbound(InboundQuery::new()).await;
        assert!(list.is_err());
        self.shown.result(&list);
        let health = plugin.health_check().await;
        self.shown.result(&health);
        plugin.stop().await.unwrap();
        let stopped = plugin.get_inbound(private::FILE_NAME).await;
        self.shown.result(&stopped);
    }

    fn configurations(&mut self, config: &Value) {
        self.shown
            .result(&FaxSettings::from_value(&P::FIELDS, config));
        let url = format!("https://u:{0}@fax.example/{0}", private::DEFAULT_SECRET);
        for (name, value) in [
            ("api_key", json!([private::KEY])),
            (
                "api_key",
                json!(format!("{}:{}", private::KEY, private::SECRET)),
            ),
            ("api_secret", json!({ "secret": private::SECRET })),
            ("api_secret", json!(format!("{}\r\n", private::SECRET))),
            ("api_secrte", json!(private::SECRET)),
            ("webhook_url", json!(format!("{url}#"))),
            ("webhook_url", json!(url)),
            ("callback_url", json!(format!("x{url}"))),
            ("base_url", json!(url)),
            ("base_url", json!(format!("http://{}/", private::SIP_USER))),
            (
                "header",
                json!(format!("{}\n{}", private::HEADER, sentence())),
            ),
            ("caller_id", json!(format!("{} x", private::NUMBER))),
            ("from", json!(private::SIP_USER)),
            ("max_jobs", json!(private::SECRET)),
            ("max_jobs", json!(493_090_182_055_u64)),
            ("requests_per_second", json!(-493_090_182_055_i64)),
            ("poll_min", json!(private::NUMBER)),
            ("upload", json!(private::SECRET)),
            ("verify_signature", json!(private::SECRET)),
            ("auth_method", json!(private::SECRET)),
            ("region", json!(private::SECRET)),
            ("options", json!(private::SECRET)),
            ("auth", json!([private::SECRET])),
        ] {
            let mut config = config.clone();
            config[name] = value;
            if let Err(errors) = self.plugin.validate_config(&config) {
                self.shown.error(&errors.clone().into());
                self.shown.debug(&errors);
            }
        }
        let errors = self
            .plugin
            .validate_config(&json!(private::SECRET))
            .unwrap_err();
        self.shown.error(&errors.into());
    }

    /// Cancellations, of which some are refused.
    async fn cancelled(&mut self) {
        for kind in [
            None,
            Some(status(422, &refusal())),
            Some(status(500, &refusal())),
        ] {
            self.mock.vendor(|vendor| vendor.ends(FaxEnd::Endless));
            let to = private::NUMBER.parse().unwrap();
            let sent = self
                .plugin
                .send_fax(to, Document::bytes(pdf()), SendOptions::new())
                .await;
            let job = sent.unwrap().job_id;
            until(async || {
                let status = self.plugin.get_status(&job).await.unwrap();
                status.detail.provider_sid.map(drop)
            })
            .await;
            if let Some(kind) = kind {
                self.mock
                    .fault(Fault::new(kind).on("POST", self.path).times(4));
            }
            let cancelled = self.plugin.cancel_fax(&job).await;
            self.shown.result(&cancelled);
            self.mock.no_faults();
            let again = self.plugin.cancel_fax(&job).await;
            self.shown.result(&again);
        }
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.folder.to_owned()
    }

    async fn end(&mut self) {
        for value in [
            &self.host.dedupe as &dyn std::fmt::Debug,
            &self.host.inbound,
        ] {
            self.shown.debug(value);
        }
        self.shown.debug(&self.host.letters);
        self.shown.debug(&self.host.router);
        self.shown.debug(&self.plugin);
        self.shown.debug(self.plugin.manifest());
        self.shown.debug(&self.mock);
        self.plugin.stop().await.unwrap();
        self.show_events();
        self.shown.wire(&self.host.http, &self.mock);
    }
}
