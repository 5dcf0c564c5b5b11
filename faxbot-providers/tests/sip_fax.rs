//! The fax plugin over a scripted adapter, on a paused clock.
#![cfg(test)]

use std::{
    collections::HashSet,
    future::Future,
    io::{Cursor, Write},
    path::PathBuf,
    pin::pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
    time::Duration,
};

use async_trait::async_trait;
use faxbot_core::{
    DocumentReason, Error, ErrorKind, Result, Timestamp,
    document::{
        ConvertOptions, Document, DocumentConverter, FaxImage, Resolution, ccitt::T6Encoder,
        tiff::TiffWriter,
    },
    event::EventStream,
    fax::{FailureClass, FaxRetryPolicy, JobStatus},
    id::{CallId, JobId},
    plugin::{
        CancelOutcome, FaxPlugin, InboundQuery, Manifest, Plugin, PluginCapability,
        PluginCondition, PluginDeps, PluginEvent, SendOptions, StatusResult,
    },
    sip::{Capabilities, Lookup, UnknownReason},
};
use faxbot_providers::sip_fax::SipFaxPlugin;
use faxbot_testkit::fake::{FakeAdapter, FaxScript};
use serde_json::{Value, json};

const NUMBER: &str = "+15550104477";
const PAGES: u32 = 3;

/// Answers the same pages for any document, after a second.
#[derive(Debug)]
struct Converter {
    image: FaxImage,
    error: Mutex<Vec<Error>>,
    asked: Mutex<Vec<Resolution>>,
}

#[async_trait]
impl DocumentConverter for Converter {
    async fn to_fax(&self, _: Document, options: ConvertOptions) -> Result<FaxImage> {
        self.asked.lock().unwrap().push(options.resolution);
        tokio::time::sleep(Duration::from_secs(1)).await;
        match self.error.lock().unwrap().pop() {
            Some(error) => Err(error),
            None => Ok(self.image.clone()),
        }
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
            error: Mutex::default(),
            asked: Mutex::default(),
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

#[tokio::test(start_paused = true)]
async fn a_fax_that_arrives_is_a_success_and_its_call_is_released() {
    let mut bench = Bench::new().await;
    let job = bench.send(SendOptions::new()).await.unwrap();
    let running = bench.until(&job, |status| status.pages == Some(2)).await;
    assert_eq!(running.status, JobStatus::InProgress);
    assert_eq!(running.detail.progress.unwrap().pages_total, PAGES);
    let status = bench.end(&job).await;
    assert_eq!(status.status, JobStatus::Success);
    assert_eq!((status.pages, status.error), (Some(PAGES), None));
    assert_eq!(status.raw_response.unwrap()["status"], "success");
    assert_eq!(status.detail.attempts.len(), 1);
    pause(1).await;
    let call = CallId::for_attempt(&job, 1);
    assert_eq!(bench.adapter.requests()[0].id, call);
    assert_eq!(bench.adapter.released(), [call]);
    assert_eq!(
        bench.words(),
        [
            "preparing",
            "queued",
            "dispatching",
            "in_progress",
            "SUCCESS"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_busy_line_is_dialled_again_by_policy() {
    let bench = Bench::new().await;
    bench.adapter.script(FaxScript::busy());
    bench.adapter.script(FaxScript::busy());
    let started = tokio::time::Instant::now();
    let job = bench.send(SendOptions::new()).await.unwrap();
    let waiting = bench
        .until(&job, |status| {
            status.detail.next_dial.is_some() && status.detail.attempts.len() == 1
        })
        .await;
    assert_eq!(waiting.status, JobStatus::Queued);
    assert_eq!(waiting.error, None);
    let status = bench.end(&job).await;
    assert_eq!(status.status, JobStatus::Success);
    assert!(started.elapsed() >= Duration::from_secs(360));
    let ids: Vec<_> = bench.adapter.requests().iter().map(|r| r.id).collect();
    let expected = [1, 2, 3].map(|n| CallId::for_attempt(&job, n));
    assert_eq!(ids, expected);
    pause(1).await;
    assert_eq!(bench.adapter.released(), expected);
}

#[tokio::test(start_paused = true)]
async fn the_budget_of_dials_ends_the_job() {
    let bench = Bench::new().await;
    let status = bench.play(std::iter::repeat_n(FaxScript::busy(), 20)).await;
    assert_eq!(status.status, JobStatus::Failed);
    assert_eq!(status.error.as_deref(), Some("busy"));
    assert_eq!(bench.dials(), 12);
}

#[tokio::test(start_paused = true)]
async fn the_budget_of_tries_ends_the_job() {
    let bench = Bench::new().await;
    let broken = FaxScript::fails_after(0, FailureClass::CommError);
    let status = bench.play(std::iter::repeat_n(broken, 20)).await;
    assert_eq!(status.status, JobStatus::Failed);
    assert_eq!(bench.dials(), 3);
    let requests = bench.adapter.requests();
    assert_eq!(requests[0].max_rate, None);
    assert_eq!(requests[1].max_rate, Some(9600));
    assert_eq!((requests[1].ecm, requests[2].ecm), (true, false));
}

#[tokio::test(start_paused = true)]
async fn a_retry_policy_of_the_fax_wins() {
    let bench = Bench::new().await;
    bench.adapter.script(FaxScript::busy());
    let options = SendOptions::new().with_retry(FaxRetryPolicy::never());
    let job = bench.send(options).await.unwrap();
    assert_eq!(bench.end(&job).await.status, JobStatus::Failed);
    assert_eq!(bench.dials(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_fax_that_failed_after_a_confirmed_page_is_not_dialled_again() {
    let bench = Bench::new().await;
    let status = bench
        .play([FaxScript::fails_after(1, FailureClass::CommError)])
        .await;
    assert_eq!(status.status, JobStatus::Failed);
    assert_eq!(status.pages, Some(1));
    assert_eq!(
        status.error.as_deref(),
        Some("communication error after 1 of 3 pages")
    );
    pause(100_000).await;
    assert_eq!(bench.dials(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_goodbye_that_was_lost_after_the_last_page_is_success() {
    let bench = Bench::new().await;
    let status = bench
        .play([FaxScript::fails_after(PAGES, FailureClass::CommError)])
        .await;
    assert_eq!(status.status, JobStatus::Success);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_outcome_is_never_dialled_again_nor_released() {
    let bench = Bench::new().await;
    let status = bench.play([FaxScript::unknown(1)]).await;
    assert_eq!(status.status, JobStatus::OutcomeUnknown);
    assert_eq!(status.pages, Some(1));
    assert!(status.error.is_some());
    pause(100_000).await;
    assert_eq!(bench.dials(), 1);
    assert!(bench.adapter.released().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_lost_reply_is_looked_up_and_the_fax_followed_to_its_end() {
    let bench = Bench::new().await;
    let lost = FaxScript::success(PAGES).with_lost_reply();
    let status = bench.play([lost]).await;
    assert_eq!(status.status, JobStatus::Success);
    assert_eq!(status.pages, Some(PAGES));
    assert_eq!(bench.dials(), 1);
    let lookups = bench.adapter.lookups();
    assert!(lookups.len() > 1);
    assert!(lookups.iter().all(|call| call.requested_at.is_some()));
}

#[tokio::test(start_paused = true)]
async fn a_lost_handle_is_looked_up_also_while_there_is_no_connection() {
    let bench = Bench::new().await;
    let cut = FaxScript::success(PAGES).with_lost_handle(Duration::from_secs(30));
    bench.adapter.script(cut);
    let job = bench.send(SendOptions::new()).await.unwrap();
    pause(25).await;
    bench.adapter.set_connected(false);
    pause(300).await;
    let status = bench.plugin.get_status(&job).await.unwrap();
    assert_eq!(status.status, JobStatus::InProgress);
    bench.adapter.set_connected(true);
    assert_eq!(bench.end(&job).await.status, JobStatus::Success);
    assert_eq!(bench.dials(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_fax_of_which_nobody_hears_again_is_unknown_with_the_pages_last_seen() {
    let bench = Bench::new().await;
    let cut = FaxScript::success(PAGES).with_lost_handle(Duration::from_secs(30));
    bench.adapter.script(cut);
    let job = bench.send(SendOptions::new()).await.unwrap();
    pause(29).await;
    bench.adapter.set_connected(false);
    let status = bench.end(&job).await;
    assert_eq!(status.status, JobStatus::OutcomeUnknown);
    assert_eq!(status.pages, Some(1));
    bench.adapter.set_connected(true);
    pause(100_000).await;
    assert_eq!(bench.dials(), 1);
}

#[tokio::test(start_paused = true)]
async fn only_a_server_that_never_took_the_request_permits_another_dial() {
    let busy = || Error::new(ErrorKind::NotConnected, "lookup", "no connection");
    let unknown = |reason| Ok(Lookup::Unknown(reason));
    let rows: [(Vec<Result<Lookup>>, &str, usize); 5] = [
        (vec![Ok(Lookup::NeverExisted)], "SUCCESS", 2),
        (
            vec![
                unknown(UnknownReason::TooRecent),
                Err(busy()),
                Ok(Lookup::NeverExisted),
            ],
            "SUCCESS",
            2,
        ),
        (
            vec![unknown(UnknownReason::ServerRestarted)],
            "outcome_unknown",
            1,
        ),
        (vec![unknown(UnknownReason::NotKept)], "outcome_unknown", 1),
        (
            std::iter::repeat_n(Err(busy()), 1000).collect(),
            "outcome_unknown",
            1,
        ),
    ];
    for (answers, word, dials) in rows {
        let bench = Bench::new().await;
        answers
            .into_iter()
            .for_each(|answer| bench.adapter.answer_lookup(answer));
        let status = bench.play([FaxScript::lost_request()]).await;
        assert_eq!((status.status.as_str(), bench.dials()), (word, dials));
        if dials == 2 {
            // The call that was never made counts as none.
            assert_eq!(status.detail.attempts.len(), 1);
            let requests = bench.adapter.requests();
            assert_eq!(requests[0].id, requests[1].id);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_comes_back_in_time_gets_the_fax_and_no_dial_is_counted() {
    let bench = Bench::new().await;
    bench.adapter.set_connected(false);
    let job = bench.send(SendOptions::new()).await.unwrap();
    pause(300).await;
    let status = bench.plugin.get_status(&job).await.unwrap();
    assert_eq!(status.status, JobStatus::Queued);
    assert!(status.detail.attempts.is_empty());
    assert!(bench.dials() > 3);
    bench.adapter.set_connected(true);
    let status = bench.end(&job).await;
    assert_eq!(status.status, JobStatus::Success);
    assert_eq!(status.detail.attempts.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_will_not_pass_fails_the_job_at_once() {
    for kind in [
        ErrorKind::Rejected,
        ErrorKind::Config,
        ErrorKind::PermissionDenied,
    ] {
        let bench = Bench::new().await;
        let refused = FaxScript::refused(Error::new(kind, "send_fax", "no"));
        let status = bench.play([refused]).await;
        assert_eq!(status.status, JobStatus::Failed, "{kind:?}");
        assert_eq!(bench.dials(), 1, "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn cancelling_answers_by_where_the_job_is() {
    let bench = Bench::new().await;
    // While it is converted.
    let job = bench.send(SendOptions::new()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let cancel = |job: JobId| {
        let plugin = &bench.plugin;
        async move { plugin.cancel_fax(&job).await.unwrap() }
    };
    assert_eq!(cancel(job.clone()).await, CancelOutcome::Cancelled);
    assert_eq!(cancel(job.clone()).await, CancelOutcome::Cancelled);
    assert_eq!(bench.end(&job).await.status, JobStatus::Cancelled);
    assert_eq!(bench.dials(), 0);
    // While it waits for its next dial.
    bench.adapter.script(FaxScript::busy());
    let job = bench.send(SendOptions::new()).await.unwrap();
    bench
        .until(&job, |status| {
            status.detail.attempts.iter().any(|a| a.outcome.is_some())
        })
        .await;
    assert_eq!(cancel(job.clone()).await, CancelOutcome::Cancelled);
    pause(10_000).await;
    assert_eq!(bench.dials(), 1);
    // While it runs.
    bench.adapter.script(FaxScript::endless());
    let job = bench.send(SendOptions::new()).await.unwrap();
    bench.status(&job, "in_progress").await;
    pause(30).await;
    assert_eq!(cancel(job.clone()).await, CancelOutcome::Requested);
    let status = bench.end(&job).await;
    assert_eq!(status.status, JobStatus::Cancelled);
    assert_eq!(bench.adapter.running(), 0);
    // While its request has no answer.
    let slow = FaxScript::endless().with_reply_after(Duration::from_secs(5));
    bench.adapter.script(slow);
    let job = bench.send(SendOptions::new()).await.unwrap();
    bench.status(&job, "dispatching").await;
    assert_eq!(cancel(job.clone()).await, CancelOutcome::Requested);
    assert_eq!(bench.end(&job).await.status, JobStatus::Cancelled);
    assert_eq!(bench.adapter.running(), 0);
    // While it is asked for.
    bench.adapter.script(FaxScript::endless().with_lost_reply());
    let job = bench.send(SendOptions::new()).await.unwrap();
    pause(60).await;
    assert_eq!(cancel(job.clone()).await, CancelOutcome::Requested);
    assert_eq!(bench.end(&job).await.status, JobStatus::Cancelled);
    // After its end.
    let job = bench.send(SendOptions::new()).await.unwrap();
    bench.end(&job).await;
    assert_eq!(cancel(job).await, CancelOutcome::TooLate);
    let error = bench.plugin.cancel_fax(&JobId::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[tokio::test(start_paused = true)]
async fn a_known_job_id_never_sends_a_second_fax() {
    let bench = Bench::new().await;
    let job: JobId = "case-7".parse().unwrap();
    let again = || bench.send(SendOptions::with_job_id(job.clone()));
    again().await.unwrap();
    let error = again().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidState);
    assert_eq!(error.job_id(), Some(&job));
    bench.end(&job).await;
    assert_eq!(again().await.unwrap_err().kind(), ErrorKind::InvalidState);
    pause(1000).await;
    assert_eq!(bench.dials(), 1);
    // An hour after its end it is forgotten.
    pause(3000).await;
    let error = bench.plugin.get_status(&job).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[tokio::test(start_paused = true)]
async fn jobs_to_one_number_follow_each_other_and_others_do_not_wait() {
    let bench = Bench::new().await;
    let mut jobs = Vec::new();
    for _ in 0..3 {
        jobs.push(bench.send(SendOptions::new()).await.unwrap());
    }
    pause(10).await;
    assert_eq!(bench.adapter.running(), 1);
    jobs.push(bench.send_to("700", SendOptions::new()).await.unwrap());
    pause(10).await;
    assert_eq!(bench.adapter.running(), 2);
    for job in &jobs {
        assert_eq!(bench.end(job).await.status, JobStatus::Success);
    }
    assert_eq!(bench.adapter.most_at_once(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_hundred_jobs_keep_to_the_number_of_calls() {
    let config = json!({"options": {"max_calls": 7, "max_conversions": 50}});
    let bench = Bench::with(config).await;
    let mut jobs = Vec::new();
    for n in 0..100 {
        let to = format!("+1555010{n:04}");
        jobs.push(bench.send_to(&to, SendOptions::new()).await.unwrap());
    }
    for job in &jobs {
        assert_eq!(bench.end(job).await.status, JobStatus::Success);
    }
    assert_eq!(bench.adapter.most_at_once(), 7);
    let ids: HashSet<_> = bench.adapter.requests().iter().map(|r| r.id).collect();
    assert_eq!(ids.len(), 100);
}

#[tokio::test(start_paused = true)]
async fn too_many_open_jobs_are_overloaded_and_room_comes_back() {
    let bench = Bench::with(json!({"options": {"max_jobs": 2}})).await;
    let first = bench.send(SendOptions::new()).await.unwrap();
    bench.send(SendOptions::new()).await.unwrap();
    let error = bench.send(SendOptions::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Overloaded);
    assert!(error.is_retryable());
    bench.end(&first).await;
    bench.send(SendOptions::new()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stop_hangs_up_nothing_and_a_start_goes_on() {
    let mut bench = Bench::new().await;
    let running = bench.send(SendOptions::new()).await.unwrap();
    bench.status(&running, "in_progress").await;
    let behind = bench.send(SendOptions::new()).await.unwrap();
    bench.adapter.script(FaxScript::busy());
    let waiting = bench.send_to("700", SendOptions::new()).await.unwrap();
    pause(10).await;
    bench.plugin.stop().await.unwrap();
    bench.plugin.stop().await.unwrap();
    assert_eq!(bench.adapter.running(), 1);
    assert_eq!(bench.words().last().unwrap(), "outcome_unknown");
    let error = bench.plugin.get_status(&running).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidState);
    let error = bench.send(SendOptions::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidState);
    pause(1000).await;
    assert_eq!(bench.dials(), 2);
    let deps = PluginDeps::current().unwrap();
    let deps = deps.with_documents(bench.converter.clone());
    bench.plugin.start(Value::Null, deps).await.unwrap();
    for job in [&running, &behind, &waiting] {
        let status = bench.until(job, |s| s.status.is_final()).await;
        assert_eq!(status.status, JobStatus::Success);
    }
    assert_eq!(bench.dials(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_new_process_finds_out_by_the_job_id() {
    let bench = Bench::new().await;
    let sent_at = Timestamp::now() - Duration::from_secs(60);
    bench.adapter.script(FaxScript::busy());
    let job = bench.send(SendOptions::new()).await.unwrap();
    bench
        .until(&job, |s| {
            s.detail.attempts.len() == 2 && s.status == JobStatus::InProgress
        })
        .await;
    bench.plugin.stop().await.unwrap();
    let other = SipFaxPlugin::new(Arc::new(bench.adapter.clone()));
    let error = other.recover(&job, sent_at).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidState);
    other
        .start(Value::Null, PluginDeps::current().unwrap())
        .await
        .unwrap();
    let status = other.recover(&job, sent_at).await.unwrap();
    assert_eq!(status.status, JobStatus::InProgress);
    assert_eq!(status.detail.attempts.len(), 2);
    pause(300).await;
    let status = other.recover(&job, sent_at).await.unwrap();
    assert_eq!((status.status, status.pages), (JobStatus::Success, Some(3)));
    let error = other.recover(&JobId::new(), sent_at).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    bench
        .adapter
        .answer_lookup(Ok(Lookup::Unknown(UnknownReason::ServerRestarted)));
    let status = other.recover(&JobId::new(), sent_at).await.unwrap();
    assert_eq!(status.status, JobStatus::OutcomeUnknown);
}

#[tokio::test(start_paused = true)]
async fn a_document_that_cannot_be_faxed_fails_the_job_and_nothing_is_dialled() {
    let bench = Bench::new().await;
    let broken = Error::document("to_fax", DocumentReason::Encrypted, "a password is needed");
    bench.converter.error.lock().unwrap().push(broken);
    let status = bench.play([]).await;
    assert_eq!(status.status, JobStatus::Failed);
    let outcome = status.detail.outcome.unwrap();
    assert_eq!(outcome.class(), Some(FailureClass::Document));
    assert_eq!(
        status.error.as_deref(),
        Some("document: a password is needed")
    );
    assert_eq!(bench.dials(), 0);
    // A converter without room is asked again.
    let full = Error::new(ErrorKind::Overloaded, "to_fax", "no room");
    bench.converter.error.lock().unwrap().push(full);
    assert_eq!(bench.play([]).await.status, JobStatus::Success);
}

#[tokio::test(start_paused = true)]
async fn a_converted_document_above_the_limits_is_not_dialled() {
    let bench = Bench::with(json!({"options": {"max_pages": 2}})).await;
    let status = bench.play([]).await;
    assert_eq!(status.status, JobStatus::Failed);
    assert_eq!(status.error.as_deref(), Some("document: above the limits"));
    assert_eq!(bench.dials(), 0);
}

#[tokio::test(start_paused = true)]
async fn without_a_converter_a_fax_tiff_on_disk_can_be_sent() {
    let bench = Bench::new().await;
    let plugin = SipFaxPlugin::new(Arc::new(bench.adapter.clone()));
    let deps = PluginDeps::current().unwrap();
    plugin.start(Value::Null, deps).await.unwrap();
    let send =
        |document: Document| plugin.send_fax(NUMBER.parse().unwrap(), document, SendOptions::new());
    let error = send(Document::bytes(&b"%PDF"[..])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    let good = send(Document::path(bench.path())).await.unwrap();
    let bad = send(Document::path("/nowhere/at/all.tif")).await.unwrap();
    pause(600).await;
    let status = plugin.get_status(&good.job_id).await.unwrap();
    assert_eq!(status.status, JobStatus::Success);
    let status = plugin.get_status(&bad.job_id).await.unwrap();
    assert_eq!(
        status.error.as_deref(),
        Some("document: cannot be read or written")
    );
}

#[tokio::test(start_paused = true)]
async fn wrong_arguments_are_told_at_once() {
    let bench = Bench::with(json!({"options": {"max_bytes": 10}})).await;
    let send = |document: Document, options: SendOptions| {
        bench
            .plugin
            .send_fax(NUMBER.parse().unwrap(), document, options)
    };
    let pdf = || Document::bytes(&b"%PDF"[..]);
    let past = Timestamp::UNIX_EPOCH;
    let rows = [
        (
            pdf(),
            SendOptions::new().with_max_rate(300),
            ErrorKind::InvalidRequest,
        ),
        (
            pdf(),
            SendOptions::new().with_deadline(past),
            ErrorKind::InvalidRequest,
        ),
        (
            pdf(),
            SendOptions::new().with_ring_timeout(Duration::ZERO),
            ErrorKind::InvalidRequest,
        ),
        (
            pdf(),
            SendOptions::new().with_timeout(Duration::ZERO),
            ErrorKind::InvalidRequest,
        ),
        (
            Document::bytes(&b""[..]),
            SendOptions::new(),
            ErrorKind::Document,
        ),
        (
            Document::bytes(&b"12345678901"[..]),
            SendOptions::new(),
            ErrorKind::Document,
        ),
    ];
    for (document, options, kind) in rows {
        let job = options.job_id.clone();
        let error = send(document, options).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        let error = bench.plugin.get_status(&job).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
    bench.adapter.set_capabilities(Capabilities::none());
    let error = send(pdf(), SendOptions::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    let health = bench.plugin.health_check().await.unwrap();
    assert_eq!(health.status, PluginCondition::Critical);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_waits_past_its_deadline_is_not_dialled() {
    let bench = Bench::new().await;
    bench.adapter.script(FaxScript::endless());
    let first = bench.send(SendOptions::new()).await.unwrap();
    bench.status(&first, "in_progress").await;
    let deadline = Timestamp::now() + Duration::from_secs(120);
    let job = bench
        .send(SendOptions::new().with_deadline(deadline))
        .await
        .unwrap();
    let status = bench.end(&job).await;
    assert_eq!(status.status, JobStatus::Failed);
    assert_eq!(bench.dials(), 1);
    assert!(bench.adapter.running() == 1);
}

#[tokio::test(start_paused = true)]
async fn options_of_the_fax_reach_the_server_and_those_of_the_configuration_fill_in() {
    let config = json!({"options": {"station_id": "+1 555", "header": "Clinic", "ecm": false,
        "t38": "disable", "resolution": "standard"}});
    let bench = Bench::with(config).await;
    let options = SendOptions::new()
        .with_ecm(true)
        .with_max_rate(9600)
        .with_station_id("+1 666".parse().unwrap())
        .with_timeout(Duration::from_secs(900));
    let job = bench.send(options).await.unwrap();
    bench.end(&job).await;
    let request = bench.adapter.requests().remove(0);
    assert_eq!(request.station_id.unwrap().expose(), "+1 666");
    assert_eq!(request.header.unwrap().expose(), "Clinic");
    assert_eq!((request.ecm, request.max_rate), (true, Some(9600)));
    assert_eq!(request.t38, faxbot_core::fax::T38Mode::Disable);
    assert_eq!(request.timeout, Some(Duration::from_secs(900)));
    assert_eq!(request.to.expose(), NUMBER);
    assert_eq!(
        *bench.converter.asked.lock().unwrap(),
        [Resolution::Standard]
    );
}

#[tokio::test(start_paused = true)]
async fn the_manifest_names_what_it_can_and_nothing_else() {
    let bench = Bench::new().await;
    let manifest = bench.plugin.manifest();
    let json = serde_json::to_string(manifest).unwrap();
    assert_eq!(&serde_json::from_str::<Manifest>(&json).unwrap(), manifest);
    assert_eq!(manifest.id.as_str(), "sip-fax");
    assert!(
        manifest
            .id
            .as_str()
            .parse::<faxbot_core::plugin::PluginId>()
            .is_ok()
    );
    assert!(manifest.can(&PluginCapability::CANCEL_FAX));
    assert!(!manifest.can(&PluginCapability::LIST_INBOUND));
    let inbound = bench.plugin.list_inbound(InboundQuery::new()).await;
    assert_eq!(inbound.unwrap_err().kind(), ErrorKind::Unsupported);
    let inbound = bench.plugin.get_inbound("1").await;
    assert_eq!(inbound.unwrap_err().kind(), ErrorKind::Unsupported);
    let errors = bench
        .plugin
        .validate_config(&json!({"options": {"ecm": "maybe", "t39": 1}}))
        .unwrap_err();
    assert_eq!(errors.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_fax_taken_up_behind_its_deadline_is_followed_to_its_end() {
    let bench = Bench::new().await;
    let deadline = Timestamp::now() + Duration::from_secs(30);
    let options = SendOptions::new().with_deadline(deadline);
    let job = bench.send(options).await.unwrap();
    bench.status(&job, "in_progress").await;
    bench.plugin.stop().await.unwrap();
    let deps = PluginDeps::current().unwrap();
    bench.plugin.start(Value::Null, deps).await.unwrap();
    pause(40).await;
    let status = bench.until(&job, |s| s.status.is_final()).await;
    assert_eq!(status.status, JobStatus::Success);
    assert_eq!(bench.dials(), 1);
}

#[test]
fn a_plugin_that_does_not_run_says_so() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let deps = runtime.block_on(async { PluginDeps::current().unwrap() });
    let plugin = SipFaxPlugin::new(Arc::new(FakeAdapter::new()));
    let job = JobId::new();
    let mut context = Context::from_waker(Waker::noop());
    let Poll::Ready(started) = pin!(plugin.start(Value::Null, deps.clone())).poll(&mut context)
    else {
        panic!("start waits");
    };
    assert_eq!(started.unwrap_err().kind(), ErrorKind::NoRuntime);
    runtime.block_on(async {
        let health = plugin.health_check().await.unwrap();
        assert_eq!(health.status, PluginCondition::Unknown);
        plugin.stop().await.unwrap();
        let error = plugin.get_status(&job).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidState);
        let error = plugin.cancel_fax(&job).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidState);
        let wrong = plugin
            .start(json!({"options": {"x": 1}}), deps.clone())
            .await;
        assert_eq!(wrong.unwrap_err().kind(), ErrorKind::Config);
        plugin.start(Value::Null, deps.clone()).await.unwrap();
        let error = plugin.start(Value::Null, deps).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidState);
        let health = plugin.health_check().await.unwrap();
        assert_eq!(health.status, PluginCondition::Healthy);
    });
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn no_log_and_no_debug_form_shows_a_number_a_name_or_a_file() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let mut bench = Bench::with(json!({"options": {"header": "Dr Quux", "jitter": 0}})).await;
    let words = |code: &str| {
        Error::new(ErrorKind::Rejected, "send_fax", "refused")
            .with_native(Some(code.to_owned()), Some(format!("not to {NUMBER}")))
    };
    let mut shown = String::new();
    for script in [
        FaxScript::busy(),
        FaxScript::success(PAGES).with_lost_reply(),
        FaxScript::refused(words("603")),
        FaxScript::endless(),
    ] {
        bench.adapter.script(script);
        let options = SendOptions::new().with_station_id("QUUX 1".parse().unwrap());
        shown += &format!("{options:?}");
        let document = Document::path(bench.path());
        let sent = bench
            .plugin
            .send_fax(NUMBER.parse().unwrap(), document, options)
            .await
            .unwrap();
        pause(500).await;
        let _ = bench.plugin.cancel_fax(&sent.job_id).await;
        let status = bench.end(&sent.job_id).await;
        shown += &format!("{status:?} {:?}", status.error);
    }
    while let Some(event) = bench.events.try_recv() {
        shown += &format!("{event:?}");
    }
    shown += &format!("{:?} {:?}", bench.plugin, bench.adapter);
    bench.plugin.stop().await.unwrap();
    let logged = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(logged.contains("a fax call ended"), "{logged}");
    for text in [&logged, &shown] {
        for secret in [&NUMBER[1..], &NUMBER[5..], "secret-name", "uux", "QUUX"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
}
