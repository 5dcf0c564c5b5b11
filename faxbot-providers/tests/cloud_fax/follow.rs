//! A fax that the vendor has: polls, what they say, and when they end.

use faxbot_core::{
    fax::{FailureClass, FaxPhase, JobStatus, OutcomeStatus},
    id::JobId,
    plugin::{CancelOutcome, FaxPlugin, SendOptions},
    webhook::Authenticity,
};
use serde_json::json;

use super::{Bench, SECOND, Setup, pause};

#[tokio::test(start_paused = true)]
async fn the_waits_between_questions_grow_to_their_longest() {
    let bench = Bench::new().await;
    bench.vendor().life(&[(0, "sending")]);
    bench.send().await;
    let mut counts = Vec::new();
    for _ in 0..4 {
        pause(120).await;
        counts.push(bench.vendor().asked("status"));
    }
    assert!((4..=5).contains(&counts[0]), "{counts:?}");
    let later = counts[3] - counts[0];
    // A minute, and up to a quarter of it for jitter.
    assert!((4..=6).contains(&later), "{counts:?}");
}

#[tokio::test(start_paused = true)]
async fn a_vendor_that_cannot_be_asked_for_an_hour_changes_nothing() {
    let mut bench = Bench::new().await;
    let job = bench.send().await;
    bench.until(&job, "in_progress").await;
    bench.vendor().down_for(3600 * SECOND);
    pause(3590).await;
    assert_eq!(bench.word(&job).await, "in_progress");
    assert!((50..100).contains(&bench.vendor().asked("status")));
    pause(100).await;
    assert_eq!(bench.word(&job).await, "SUCCESS");
    assert_eq!(bench.words().len(), 4);
    assert_eq!(bench.vendor().asked("submit"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_vendor_that_asks_for_a_wait_is_not_polled_meanwhile() {
    let bench = Bench::new().await;
    let job = bench.send().await;
    bench.until(&job, "in_progress").await;
    let until = tokio::time::Instant::now() + 60 * SECOND;
    let busy = super::vendor::error(faxbot_core::ErrorKind::Overloaded);
    let busy = busy.with_retry_after(300 * SECOND);
    bench
        .vendor()
        .with(|books| books.down = Some((until, Some(busy))));
    pause(290).await;
    assert_eq!(bench.vendor().asked("status"), 1);
    pause(60).await;
    assert_eq!(bench.word(&job).await, "SUCCESS");
}

#[tokio::test(start_paused = true)]
async fn a_word_without_a_meaning_is_kept_and_changes_nothing() {
    let mut bench = Bench::new().await;
    bench
        .vendor()
        .life(&[(0, "queued"), (3, "Media.Odd"), (100, "done")]);
    let job = bench.send().await;
    pause(30).await;
    let status = bench.get(&job).await;
    assert_eq!(status.status, JobStatus::InProgress);
    assert_eq!(status.detail.provider_status.as_deref(), Some("Media.Odd"));
    assert_eq!(bench.end(&job).await.status, JobStatus::Success);
    assert_eq!(bench.words().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_job_never_goes_back_to_waiting_when_the_vendor_has_it() {
    let mut bench = Bench::new().await;
    bench.vendor().life(&[
        (0, "sending"),
        (20, "queued"),
        (40, "sending"),
        (60, "busy"),
    ]);
    let job = bench.send().await;
    let status = bench.end(&job).await;
    assert_eq!(status.status, JobStatus::Failed);
    assert_eq!(status.error.as_deref(), Some("busy"));
    assert_eq!(
        status.detail.outcome.unwrap().class(),
        Some(FailureClass::Busy)
    );
    let words: Vec<_> = bench.words().into_iter().map(|(word, _)| word).collect();
    assert_eq!(words, ["preparing", "dispatching", "in_progress", "FAILED"]);
    // The vendor dials again by itself.
    assert_eq!(bench.vendor().asked("submit"), 1);
}

#[tokio::test(start_paused = true)]
async fn progress_is_told_while_it_runs() {
    let bench = Bench::new().await;
    let job = bench.send().await;
    pause(30).await;
    let progress = bench.get(&job).await.detail.progress.unwrap();
    assert_eq!(
        (progress.phase, progress.page),
        (FaxPhase::Transmitting, Some(1))
    );
    assert_eq!(bench.end(&job).await.detail.progress, None);
}

#[tokio::test(start_paused = true)]
async fn a_fax_that_has_no_end_is_unknown_after_a_day_and_a_webhook_still_resolves_it() {
    let mut bench = Setup::new().option("retention", "30d").start().await;
    bench.vendor().life(&[(0, "sending")]);
    let job = bench.send().await;
    let begun = tokio::time::Instant::now();
    let status = bench.end(&job).await;
    assert_eq!(status.status, JobStatus::OutcomeUnknown);
    assert!(begun.elapsed().as_secs().abs_diff(24 * 3600) < 5);
    assert_eq!(
        status.detail.outcome.unwrap().status,
        OutcomeStatus::Unknown
    );
    let asked = bench.vendor().asked("status");
    pause(100_000).await;
    assert_eq!(bench.vendor().asked("status"), asked);
    let words = bench.words();
    assert_eq!(
        words.last().unwrap(),
        &("outcome_unknown".to_owned(), Some(Authenticity::Fetched))
    );
    // Without our label: by the vendor's id.
    let notice = json!([{"sid": "1000", "word": "busy"}]);
    bench.webhook("signed", notice).await;
    assert_eq!(bench.word(&job).await, "FAILED");
}

#[tokio::test(start_paused = true)]
async fn an_end_that_the_vendor_itself_does_not_know_is_unknown() {
    let bench = Bench::new().await;
    bench.vendor().life(&[(0, "partial")]);
    let job = bench.send().await;
    let status = bench.end(&job).await;
    assert_eq!(status.status, JobStatus::OutcomeUnknown);
    assert_eq!(bench.vendor().asked("submit"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_tells_no_more_leaves_open_whether_a_page_went_out() {
    let bench = Bench::new().await;
    bench.vendor().life(&[(0, "failed")]);
    let job = bench.send().await;
    let outcome = bench.end(&job).await.detail.outcome.unwrap();
    assert_eq!(outcome.status, OutcomeStatus::Failed);
    assert!(!outcome.certainly_nothing_delivered());
}

#[tokio::test(start_paused = true)]
async fn a_new_fax_does_not_wait_behind_the_polls_of_others() {
    let bench = Bench::new().await;
    bench.vendor().life(&[(0, "sending")]);
    bench.vendor().with(|books| books.slow = 30 * SECOND);
    for _ in 0..200 {
        bench.send().await;
    }
    pause(1000).await;
    let id = JobId::new();
    let sent = SendOptions::with_job_id(id.clone());
    bench.send_as(sent).await.unwrap();
    pause(3).await;
    assert_eq!(bench.word(&id).await, "in_progress");
    assert_eq!(
        bench.plugin.cancel_fax(&id).await.unwrap(),
        CancelOutcome::Requested
    );
}

#[tokio::test(start_paused = true)]
async fn an_answer_about_another_fax_is_none() {
    let bench = Bench::new().await;
    bench.vendor().with(|books| books.mixes_up = true);
    let job = bench.send().await;
    pause(500).await;
    assert_eq!(bench.word(&job).await, "in_progress");
    let notice = json!([{"sid": "1000", "word": "busy"}]);
    assert_eq!(bench.webhook("secret", notice).await.status, 200);
    assert_eq!(bench.word(&job).await, "in_progress");
    bench.vendor().with(|books| books.mixes_up = false);
    assert_eq!(bench.end(&job).await.status, JobStatus::Success);
}
