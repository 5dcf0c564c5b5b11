//! Documents of jobs that wait are not in memory.
#![cfg(test)]

#[path = "cloud_fax/vendor.rs"]
#[allow(
    dead_code,
    reason = "the vendor of the other tests, of which this one needs a part"
)]
mod vendor;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use faxbot_core::{
    Error, ErrorKind, Result,
    document::Document,
    fax::JobStatus,
    http::{HttpClient, HttpRequest, HttpResponse},
    plugin::{FaxPlugin, Plugin, PluginDeps, SendOptions},
};
use faxbot_providers::cloud::fax::CloudFaxPlugin;
use peak_alloc::PeakAlloc;
use serde_json::json;
use vendor::{Answer, Scripted, Vendor, error};

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

const MIB: usize = 1 << 20;

#[derive(Debug)]
struct NoHttp;

#[async_trait]
impl HttpClient for NoHttp {
    async fn execute(&self, _: HttpRequest) -> Result<HttpResponse> {
        Err(Error::new(ErrorKind::NotConnected, "execute", "no network"))
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_documents_on_disk_take_the_memory_of_a_few() {
    let vendor = Vendor::new();
    vendor.limits.lock().unwrap().bytes = 4 << 20;
    vendor.with(|books| books.drops_uploads = true);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("letter.pdf");
    let mut letter = b"%PDF-1.7".to_vec();
    letter.resize(MIB / 2, b'x');
    std::fs::write(&path, letter).unwrap();
    let plugin = CloudFaxPlugin::<Scripted<true>>::new();
    let config = json!({"account": vendor.account, "options": {"max_uploads": 4}});
    let deps = PluginDeps::current().unwrap().with_http(Arc::new(NoHttp));
    plugin.start(config, deps).await.unwrap();
    HEAP.reset_peak_usage();
    let before = HEAP.current_usage();
    let mut jobs = Vec::new();
    for number in 0..1000 {
        // Some wait for the vendor with their document.
        if number % 3 == 0 {
            let busy = error(ErrorKind::Overloaded).with_retry_after(Duration::from_secs(200));
            vendor.answer(Answer::No(busy));
        } else {
            vendor.answer(Answer::Yes);
        }
        let to = "+15550104477".parse().unwrap();
        let sent = plugin
            .send_fax(to, Document::path(&path), SendOptions::new())
            .await;
        jobs.push(sent.unwrap().job_id);
    }
    for job in &jobs {
        while plugin.get_status(job).await.unwrap().status != JobStatus::Success {
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
    }
    let peak = HEAP.peak_usage() - before;
    // Four documents, the growth of the buffers that they are read into, and the jobs themselves.
    assert!(peak < 24 * MIB, "{} MiB", peak / MIB);
}
