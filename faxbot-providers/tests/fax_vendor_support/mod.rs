//! A fax plugin of a vendor, started over its mock, with a router for the vendor's callbacks.

use std::{sync::Arc, time::Duration};

use faxbot_core::{
    Secret,
    clock::TokioClock,
    document::{Document, DocumentSource},
    event::EventStream,
    fax::JobStatus,
    http::HttpClient,
    id::JobId,
    plugin::{FaxPlugin, Plugin, PluginDeps, PluginEvent, PluginId, SendOptions, StatusResult},
    webhook::{
        Authenticity, MemoryDeadLetters, MemoryDedupeStore, MemoryInboundStore, WebhookPath,
        WebhookRegistry, WebhookRouter,
    },
};
use faxbot_providers::cloud::{FaxProvider, fax::CloudFaxPlugin};
use faxbot_testkit::server::http::{MockHttp, MockVendor};
use serde_json::Value;
use url::Url;

pub(crate) const NUMBER: &str = "+493090182055";
pub(crate) const CALLER: &str = "+493090182099";

/// The host's side of webhooks.
pub(crate) fn router() -> Arc<WebhookRouter> {
    let router = WebhookRouter::builder("https://fax.example.org".parse().unwrap())
        .with_secret(Secret::new("the root secret of a test, 32 characters"))
        .with_clock(TokioClock::shared())
        .build()
        .unwrap();
    Arc::new(router)
}

/// Where a vendor calls a plugin.
pub(crate) fn webhook_url(router: &WebhookRouter, id: &PluginId, path: WebhookPath) -> Url {
    router.register_webhook(id, path).unwrap()
}

/// Hands the callbacks of a mock to a router.
pub(crate) fn connect<V: MockVendor>(mock: &MockHttp<V>, router: &Arc<WebhookRouter>) {
    let router = Arc::clone(router);
    mock.webhooks().to(move |request| {
        let router = Arc::clone(&router);
        async move { router.dispatch(request).await }
    });
}

/// Waits until so many callbacks were made and each was delivered to its end.
pub(crate) async fn delivered<V: MockVendor>(mock: &MockHttp<V>, callbacks: usize) {
    let minute = Duration::from_secs(60);
    let made = |mock: &MockHttp<V>| (mock.webhooks().callbacks().len() >= callbacks).then_some(());
    mock.wait_until(minute, made).await.unwrap();
    assert!(mock.webhooks().settled(minute).await);
}

/// What is in a document that was fetched.
pub(crate) fn bytes_of(document: &Document) -> &[u8] {
    match document.source() {
        DocumentSource::Bytes(bytes) => bytes,
        _ => panic!("a document that is not in memory"),
    }
}

pub(crate) struct Rig<P: FaxProvider> {
    pub(crate) plugin: Arc<CloudFaxPlugin<P>>,
    pub(crate) inbound: Arc<MemoryInboundStore>,
    pub(crate) letters: Arc<MemoryDeadLetters>,
    events: EventStream<PluginEvent>,
}

impl<P: FaxProvider> Rig<P> {
    /// Starts a plugin; without a router it has no webhooks.
    pub(crate) async fn start(
        config: Value,
        http: Arc<dyn HttpClient>,
        router: Option<&Arc<WebhookRouter>>,
    ) -> Self {
        let inbound = Arc::new(MemoryInboundStore::new());
        let letters = Arc::new(MemoryDeadLetters::new());
        let dedupe = Arc::new(MemoryDedupeStore::new(TokioClock::shared()));
        let mut deps = PluginDeps::current()
            .unwrap()
            .with_http(http)
            .with_dedupe(dedupe)
            .with_inbound(inbound.clone())
            .with_dead_letters(letters.clone());
        let events = deps.events.subscribe();
        if let Some(router) = router {
            deps = deps.with_webhooks(router.clone());
        }
        let plugin = Arc::new(CloudFaxPlugin::<P>::new());
        plugin.start(config, deps).await.unwrap();
        if let Some(router) = router {
            router.attach(&plugin.manifest().id, plugin.clone());
        }
        Self {
            plugin,
            inbound,
            letters,
            events,
        }
    }

    pub(crate) async fn send(&self, document: Document) -> JobId {
        self.send_as(document, SendOptions::new()).await
    }

    pub(crate) async fn send_as(&self, document: Document, options: SendOptions) -> JobId {
        let to = NUMBER.parse().unwrap();
        self.plugin
            .send_fax(to, document, options)
            .await
            .unwrap()
            .job_id
    }

    /// The status when the job is over, or nobody can say.
    pub(crate) async fn end(&self, job: &JobId) -> StatusResult {
        let over = |status: &JobStatus| status.is_final() || *status == JobStatus::OutcomeUnknown;
        self.until(job, over).await
    }

    pub(crate) async fn until(
        &self,
        job: &JobId,
        wanted: impl Fn(&JobStatus) -> bool,
    ) -> StatusResult {
        let look = async {
            loop {
                let status = self.plugin.get_status(job).await.unwrap();
                if wanted(&status.status) {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        // Two days of a paused clock.
        let day = Duration::from_secs(48 * 60 * 60);
        tokio::time::timeout(day, look).await.unwrap()
    }

    /// The events so far.
    pub(crate) fn events(&mut self) -> Vec<PluginEvent> {
        let mut events = Vec::new();
        while let Some(event) = self.events.try_recv() {
            events.push(event.unwrap().event);
        }
        events
    }

    /// What proves the end of a job, by its event.
    pub(crate) fn proof(&mut self, job: &JobId) -> Option<Authenticity> {
        self.events().into_iter().find_map(|event| match event {
            PluginEvent::JobStatusChanged {
                job_id,
                status,
                authenticity,
                ..
            } if job_id == *job && status.is_final() => authenticity,
            _ => None,
        })
    }
}
