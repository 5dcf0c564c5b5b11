//! The fax engine of cloud providers over a scripted vendor, on a paused clock.
#![cfg(test)]

mod cancel;
mod document;
mod follow;
mod ids;
mod inbound;
mod life;
mod race;
mod reception;
mod submit;
mod vendor;
mod webhook;

use std::{
    io::Cursor,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use faxbot_core::{
    Error, ErrorKind, Result,
    clock::TokioClock,
    document::{
        ConvertOptions, Document, DocumentConverter, FaxImage, Resolution, ccitt::T6Encoder,
        tiff::TiffWriter,
    },
    event::EventStream,
    fax::JobStatus,
    http::{HttpClient, HttpRequest, HttpResponse},
    id::JobId,
    plugin::{FaxPlugin, Plugin, PluginDeps, PluginEvent, SendOptions, StatusResult},
    task::TaskSet,
    webhook::{
        Authenticity, MemoryDeadLetters, MemoryDedupeStore, MemoryInboundStore, WebhookHandler,
        WebhookReply, WebhookRequest,
    },
};
use faxbot_providers::cloud::fax::CloudFaxPlugin;
use http::{HeaderMap, Method};
use serde_json::{Value, json};
use vendor::{Scripted, Vendor};

const NUMBER: &str = "+15550104477";
const PDF: &[u8] = b"%PDF-1.7 a letter";
const SECOND: Duration = Duration::from_secs(1);
const WEBHOOK_URL: &str = "https://fax.example.org/webhooks/scripted/hush";

type Full = CloudFaxPlugin<Scripted<true>>;

/// The scripted vendor speaks no HTTP.
#[derive(Debug)]
struct NoHttp;

#[async_trait]
impl HttpClient for NoHttp {
    async fn execute(&self, _: HttpRequest) -> Result<HttpResponse> {
        Err(Error::new(ErrorKind::NotConnected, "execute", "no network"))
    }
}

/// Answers pages for any document, after a second.
#[derive(Debug)]
struct Converter {
    image: Mutex<Result<FaxImage>>,
    asked: Mutex<Vec<ConvertOptions>>,
    vendor: Arc<Vendor>,
}

#[async_trait]
impl DocumentConverter for Converter {
    async fn to_fax(&self, _: Document, options: ConvertOptions) -> Result<FaxImage> {
        self.asked.lock().unwrap().push(options);
        self.vendor.begin();
        tokio::time::sleep(SECOND).await;
        self.vendor.end();
        self.image.lock().unwrap().clone()
    }
}

fn tiff(pages: u32) -> Vec<u8> {
    let mut writer = TiffWriter::new(Cursor::new(Vec::new())).unwrap();
    for _ in 0..pages {
        let mut encoder = T6Encoder::new(1728).unwrap();
        for _ in 0..4 {
            encoder.encode_row(&[0; 216]).unwrap();
        }
        writer
            .add_page(4, Resolution::Fine, &encoder.finish())
            .unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// What a bench is made of.
struct Setup {
    vendor: Arc<Vendor>,
    options: Value,
    converter: Option<Arc<Converter>>,
    dedupe: Arc<MemoryDedupeStore>,
    inbound: Arc<MemoryInboundStore>,
    letters: Arc<MemoryDeadLetters>,
    directory: Arc<tempfile::TempDir>,
}

struct Bench {
    setup: Setup,
    plugin: Arc<Full>,
    events: EventStream<PluginEvent>,
    tasks: TaskSet,
}

impl Setup {
    fn new() -> Self {
        Self {
            vendor: Vendor::new(),
            options: json!({"webhook_url": WEBHOOK_URL}),
            converter: None,
            dedupe: Arc::new(MemoryDedupeStore::new(TokioClock::shared())),
            inbound: Arc::new(MemoryInboundStore::new()),
            letters: Arc::new(MemoryDeadLetters::new()),
            directory: Arc::new(tempfile::tempdir().unwrap()),
        }
    }

    fn option(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.options[name] = value.into();
        self
    }

    /// With a converter that makes so many pages.
    fn converting(mut self, pages: u32) -> Self {
        let path = self.file("converted.tif", &tiff(pages));
        self.converter = Some(Arc::new(Converter {
            image: Mutex::new(FaxImage::open(path)),
            asked: Mutex::default(),
            vendor: self.vendor.clone(),
        }));
        self
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.directory.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    fn config(&self) -> Value {
        json!({"type": "scripted", "account": self.vendor.account, "options": self.options})
    }

    fn deps(&self) -> PluginDeps {
        let deps = PluginDeps::current()
            .unwrap()
            .with_http(Arc::new(NoHttp))
            .with_dedupe(self.dedupe.clone())
            .with_inbound(self.inbound.clone())
            .with_dead_letters(self.letters.clone());
        match &self.converter {
            Some(converter) => deps.with_documents(converter.clone()),
            None => deps,
        }
    }

    async fn start(self) -> Bench {
        let deps = self.deps();
        self.start_with(deps).await
    }

    async fn start_with(self, deps: PluginDeps) -> Bench {
        let (events, tasks) = (deps.events.subscribe(), deps.tasks.clone());
        let plugin = Arc::new(Full::new());
        plugin.start(self.config(), deps).await.unwrap();
        Bench {
            setup: self,
            plugin,
            events,
            tasks,
        }
    }
}

impl Bench {
    async fn new() -> Self {
        Setup::new().start().await
    }

    fn vendor(&self) -> &Vendor {
        &self.setup.vendor
    }

    /// The plugin starts again, with the same stores.
    async fn start(&mut self) {
        let deps = self.setup.deps();
        (self.events, self.tasks) = (deps.events.subscribe(), deps.tasks.clone());
        let config = self.setup.config();
        self.plugin.start(config, deps).await.unwrap();
    }

    /// Another process: a new plugin, with the same stores and the same vendor.
    async fn crash(&mut self) {
        self.plugin = Arc::new(Full::new());
        self.start().await;
    }

    async fn send(&self) -> JobId {
        self.send_as(SendOptions::new()).await.unwrap()
    }

    async fn send_as(&self, options: SendOptions) -> Result<JobId> {
        self.send_document(Document::bytes(PDF), options).await
    }

    async fn send_document(&self, document: Document, options: SendOptions) -> Result<JobId> {
        let to = NUMBER.parse().unwrap();
        let sent = self.plugin.send_fax(to, document, options).await?;
        assert_eq!(sent.backend, "scripted");
        Ok(sent.job_id)
    }

    async fn get(&self, job: &JobId) -> StatusResult {
        self.plugin.get_status(job).await.unwrap()
    }

    async fn word(&self, job: &JobId) -> String {
        self.get(job).await.status.to_string()
    }

    async fn until(&self, job: &JobId, word: &str) -> StatusResult {
        for _ in 0..1_000_000 {
            let status = self.get(job).await;
            if status.status.as_str() == word {
                return status;
            }
            tokio::time::sleep(SECOND / 4).await;
        }
        panic!("{:?}", self.get(job).await);
    }

    async fn end(&self, job: &JobId) -> StatusResult {
        for _ in 0..1_000_000 {
            let status = self.get(job).await;
            if status.status.is_final() || status.status == JobStatus::OutcomeUnknown {
                return status;
            }
            tokio::time::sleep(SECOND / 4).await;
        }
        panic!("{:?}", self.get(job).await);
    }

    async fn webhook(&self, proof: &str, notices: Value) -> WebhookReply {
        hook(&self.plugin, proof, &notices.to_string()).await
    }

    fn events(&mut self) -> Vec<PluginEvent> {
        let mut events = Vec::new();
        while let Some(event) = self.events.try_recv() {
            events.push(event.unwrap().event);
        }
        events
    }

    /// The words of the jobs' events, each with what proves it.
    fn words(&mut self) -> Vec<(String, Option<Authenticity>)> {
        let words = self.events().into_iter().filter_map(|event| match event {
            PluginEvent::JobStatusChanged {
                status,
                authenticity,
                backend,
                ..
            } => {
                assert_eq!(backend, "scripted");
                Some((status.to_string(), authenticity))
            }
            _ => None,
        });
        words.collect()
    }
}

async fn hook(plugin: &Full, proof: &str, body: &str) -> WebhookReply {
    let mut headers = HeaderMap::new();
    headers.insert("x-proof", proof.parse().unwrap());
    headers.insert("content-type", "application/json".parse().unwrap());
    let request = WebhookRequest::new(Method::POST, "/webhooks/scripted/hush")
        .with_headers(headers)
        .with_body(body.to_owned());
    plugin.handle_webhook(request).await.unwrap()
}

async fn pause(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}
