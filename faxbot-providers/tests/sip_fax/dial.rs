//! When a fax is dialled, and when it is dialled again.

use std::{collections::HashSet, time::Duration};

use faxbot_core::{
    Error, ErrorKind, Timestamp,
    fax::{FailureClass, FaxRetryPolicy, JobStatus},
    id::CallId,
    plugin::{FaxPlugin, SendOptions},
};
use faxbot_testkit::fake::FaxScript;
use serde_json::json;

use super::{Bench, PAGES, pause};

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
async fn a_fax_with_a_confirmed_page_is_not_dialled_again_where_the_policy_forbids_it() {
    let bench = Bench::new().await;
    let broken = FaxScript::fails_after(1, FailureClass::CommError);
    bench.adapter.script(broken);
    let policy = FaxRetryPolicy::new().with_resume(false);
    let options = SendOptions::new().with_retry(policy);
    let job = bench.send(options).await.unwrap();
    let status = bench.end(&job).await;
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
