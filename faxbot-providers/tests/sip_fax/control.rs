//! Cancelling, job ids, start and stop.

use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use faxbot_core::{
    ErrorKind, Timestamp,
    fax::JobStatus,
    id::JobId,
    plugin::{CancelOutcome, FaxPlugin, Plugin, PluginCondition, PluginDeps, SendOptions},
};
use faxbot_providers::sip_fax::SipFaxPlugin;
use faxbot_testkit::{fake::FakeAdapter, fake::FaxScript};
use serde_json::{Value, json};

use super::{Bench, pause};

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
