//! The fax plugin over a scripted adapter, on a paused clock.
#![cfg(test)]

mod again;
mod arguments;
mod control;
mod dial;
mod hang;
mod lost;
mod race;
mod resume;

use std::{
    io::Cursor,
    ops::Range,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use faxbot_core::{
    Error, Result,
    document::{
        ConvertOptions, Document, DocumentConverter, FaxImage, FaxTiff, PageHeader, Resolution,
        ccitt::T6Encoder, tiff::TiffWriter,
    },
    event::EventStream,
    fax::JobStatus,
    id::JobId,
    plugin::{FaxPlugin, Plugin, PluginDeps, PluginEvent, SendOptions, StatusResult},
};
use faxbot_providers::sip_fax::SipFaxPlugin;
use faxbot_testkit::fake::{FakeAdapter, FaxScript};
use serde_json::{Value, json};

const NUMBER: &str = "+15550104477";
const PAGES: u32 = 3;

/// Answers the same pages for any document, after a second; others where a retry scales them.
#[derive(Debug)]
struct Converter {
    image: FaxImage,
    scaled: Mutex<Option<FaxImage>>,
    error: Mutex<Vec<Error>>,
    asked: Mutex<Vec<Resolution>>,
    draws: AtomicBool,
    /// What was to be cut, with its header line.
    cuts: Mutex<Vec<(Range<u32>, Option<PageHeader>)>>,
    cut_error: Mutex<Vec<Error>>,
    /// Cuts these in the place of what was asked for.
    wrong_cut: Mutex<Option<Range<u32>>>,
}

#[async_trait]
impl DocumentConverter for Converter {
    async fn to_fax(&self, _: Document, options: ConvertOptions) -> Result<FaxImage> {
        self.asked.lock().unwrap().push(options.resolution);
        tokio::time::sleep(Duration::from_secs(1)).await;
        match self.error.lock().unwrap().pop() {
            Some(error) => Err(error),
            None if options.fax_tiff == FaxTiff::Scale => {
                let scaled = self.scaled.lock().unwrap().clone();
                Ok(scaled.unwrap_or_else(|| self.image.clone()))
            }
            None => Ok(self.image.clone()),
        }
    }

    fn draws_headers(&self) -> bool {
        self.draws.load(Ordering::Relaxed)
    }

    async fn copy_pages(
        &self,
        image: &FaxImage,
        pages: Range<u32>,
        header: Option<PageHeader>,
    ) -> Result<FaxImage> {
        self.cuts.lock().unwrap().push((pages.clone(), header));
        tokio::time::sleep(Duration::from_secs(1)).await;
        if let Some(error) = self.cut_error.lock().unwrap().pop() {
            return Err(error);
        }
        let wrong = self.wrong_cut.lock().unwrap().clone();
        image.copy_pages(wrong.unwrap_or(pages), std::env::temp_dir())
    }
}

struct Bench {
    adapter: FakeAdapter,
    plugin: SipFaxPlugin,
    converter: Arc<Converter>,
    events: EventStream<PluginEvent>,
    directory: tempfile::TempDir,
}

fn tiff(pages: u32) -> Vec<u8> {
    let mut writer = TiffWriter::new(Cursor::new(Vec::new())).unwrap();
    for _ in 0..pages {
        let mut encoder = T6Encoder::new(1728).unwrap();
        for _ in 0..40 {
            encoder.encode_row(&[0; 216]).unwrap();
        }
        writer
            .add_page(40, Resolution::Fine, &encoder.finish())
            .unwrap();
    }
    writer.finish().unwrap().into_inner()
}

impl Bench {
    async fn new() -> Self {
        Self::with(json!({"options": {"jitter": 0}})).await
    }

    async fn with(config: Value) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret-name.tif");
        std::fs::write(&path, tiff(PAGES)).unwrap();
        let converter = Arc::new(Converter {
            image: FaxImage::open(&path).unwrap(),
            scaled: Mutex::default(),
            error: Mutex::default(),
            asked: Mutex::default(),
            draws: AtomicBool::new(true),
            cuts: Mutex::default(),
            cut_error: Mutex::default(),
            wrong_cut: Mutex::default(),
        });
        let adapter = FakeAdapter::new();
        let plugin = SipFaxPlugin::new(Arc::new(adapter.clone()));
        let deps = PluginDeps::current().unwrap();
        let events = deps.events.subscribe();
        plugin
            .start(config, deps.with_documents(converter.clone()))
            .await
            .unwrap();
        Self {
            adapter,
            plugin,
            converter,
            events,
            directory,
        }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("secret-name.tif")
    }

    async fn send(&self, options: SendOptions) -> Result<JobId> {
        self.send_to(NUMBER, options).await
    }

    async fn send_to(&self, to: &str, options: SendOptions) -> Result<JobId> {
        let document = Document::bytes(&b"%PDF"[..]);
        let sent = self
            .plugin
            .send_fax(to.parse().unwrap(), document, options)
            .await?;
        assert_eq!(sent.backend, "sip-fax");
        Ok(sent.job_id)
    }

    async fn until(&self, job: &JobId, reached: impl Fn(&StatusResult) -> bool) -> StatusResult {
        for _ in 0..1_000_000 {
            let status = self.plugin.get_status(job).await.unwrap();
            if reached(&status) {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        panic!("{:?}", self.plugin.get_status(job).await);
    }

    async fn status(&self, job: &JobId, word: &str) -> StatusResult {
        self.until(job, |status| status.status.as_str() == word)
            .await
    }

    async fn end(&self, job: &JobId) -> StatusResult {
        self.until(job, |status| {
            status.status.is_final() || status.status == JobStatus::OutcomeUnknown
        })
        .await
    }

    /// Sends one fax over these scripts, and waits for its end.
    async fn play(&self, scripts: impl IntoIterator<Item = FaxScript>) -> StatusResult {
        scripts.into_iter().for_each(|s| self.adapter.script(s));
        let job = self.send(SendOptions::new()).await.unwrap();
        self.end(&job).await
    }

    fn dials(&self) -> usize {
        self.adapter.requests().len()
    }

    fn words(&mut self) -> Vec<String> {
        let mut words = Vec::new();
        while let Some(event) = self.events.try_recv() {
            if let PluginEvent::JobStatusChanged { status, .. } = event.unwrap().event {
                words.push(status.to_string());
            }
        }
        words
    }
}

async fn pause(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}
