//! What never answers must not hold a job, its line or its place for ever.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use faxbot_core::{
    Result,
    document::{ConvertOptions, Document, DocumentConverter, FaxImage},
    fax::JobStatus,
    id::JobId,
    plugin::{FaxPlugin, Plugin, PluginDeps, SendOptions},
};
use faxbot_providers::sip_fax::SipFaxPlugin;
use faxbot_testkit::fake::{FakeAdapter, FaxScript};
use serde_json::{Value, json};

use super::{Bench, NUMBER, PAGES, pause};

/// Never answers.
#[derive(Debug)]
struct Stuck;

#[async_trait]
impl DocumentConverter for Stuck {
    async fn to_fax(&self, _: Document, _: ConvertOptions) -> Result<FaxImage> {
        std::future::pending().await
    }
}

async fn stuck() -> (FakeAdapter, SipFaxPlugin, PluginDeps) {
    let adapter = FakeAdapter::new();
    let plugin = SipFaxPlugin::new(Arc::new(adapter.clone()));
    let deps = PluginDeps::current().unwrap();
    let config = json!({"options": {"max_conversions": 1}});
    let with = deps.clone().with_documents(Arc::new(Stuck));
    plugin.start(config, with).await.unwrap();
    (adapter, plugin, deps)
}

async fn send(plugin: &SipFaxPlugin) -> JobId {
    let document = Document::bytes(&b"%PDF"[..]);
    let to = NUMBER.parse().unwrap();
    let sent = plugin.send_fax(to, document, SendOptions::new()).await;
    sent.unwrap().job_id
}

#[tokio::test(start_paused = true)]
async fn a_converter_that_never_answers_fails_its_jobs_one_after_the_other() {
    let (adapter, plugin, _) = stuck().await;
    let jobs = [send(&plugin).await, send(&plugin).await];
    pause(2 * 60 * 60).await;
    for job in &jobs {
        let status = plugin.get_status(job).await.unwrap_err();
        // Both are over so long ago that the table has forgotten them.
        assert_eq!(status.kind(), faxbot_core::ErrorKind::NotFound);
    }
    let job = send(&plugin).await;
    pause(20 * 60).await;
    let status = plugin.get_status(&job).await.unwrap();
    assert_eq!(status.status, JobStatus::Failed);
    let error = status.error.unwrap();
    assert_eq!(error, "document: conversion took too long");
    assert!(adapter.requests().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_task_set_that_is_stopped_under_a_conversion_leaves_the_job_for_the_next_start() {
    let (adapter, plugin, deps) = stuck().await;
    let job = send(&plugin).await;
    pause(1).await;
    // The host stops the set, and not the plugin.
    assert!(deps.tasks.stop(Duration::from_secs(1)).await);
    let error = plugin.get_status(&job).await.unwrap_err();
    assert_eq!(error.kind(), faxbot_core::ErrorKind::InvalidState);
    plugin.stop().await.unwrap();
    let bench = Bench::new().await;
    let deps = PluginDeps::current().unwrap();
    let deps = deps.with_documents(bench.converter.clone());
    plugin.start(Value::Null, deps).await.unwrap();
    pause(200).await;
    let status = plugin.get_status(&job).await.unwrap();
    assert_eq!(status.status, JobStatus::Success);
    assert_eq!(adapter.requests().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_never_answers_is_asked_for_and_not_repeated() {
    let bench = Bench::new().await;
    let silent = FaxScript::success(PAGES).with_reply_after(Duration::from_secs(1_000_000));
    let status = bench.play([silent]).await;
    assert_eq!(status.status, JobStatus::Success);
    assert_eq!(bench.dials(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_hangs_is_given_up_after_a_day_and_frees_its_line() {
    let bench = Bench::new().await;
    bench.adapter.script(FaxScript::endless());
    let job = bench.send(SendOptions::new()).await.unwrap();
    let behind = bench.send(SendOptions::new()).await.unwrap();
    pause(20 * 60 * 60).await;
    let status = bench.plugin.get_status(&job).await.unwrap();
    assert_eq!(status.status, JobStatus::InProgress);
    let status = bench.end(&job).await;
    assert_eq!(status.status, JobStatus::OutcomeUnknown);
    assert_eq!(bench.end(&behind).await.status, JobStatus::Success);
    assert_eq!(bench.dials(), 2);
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_jobs_leave_no_document_and_at_most_the_kept_ones() {
    let bench = Bench::with(json!({"options": {
        "max_calls": 1000, "max_conversions": 256, "max_jobs": 20_000, "retention_jobs": 100,
    }}))
    .await;
    let bytes = bytes::Bytes::from(vec![1; 1000]);
    for n in 0..10_000 {
        let to = format!("+1555{n:07}").parse().unwrap();
        let document = Document::bytes(bytes.clone());
        let sent = bench.plugin.send_fax(to, document, SendOptions::new());
        sent.await.unwrap();
    }
    pause(3000).await;
    assert_eq!(bench.dials(), 10_000);
    // The table forgets as it is asked.
    let error = bench.plugin.get_status(&JobId::new()).await.unwrap_err();
    assert_eq!(error.kind(), faxbot_core::ErrorKind::NotFound);
    let shown = format!("{:?}", bench.plugin);
    assert!(
        shown.contains("jobs_open: 0, jobs_finished: 100"),
        "{shown}"
    );
    assert!(bytes.is_unique());
}
