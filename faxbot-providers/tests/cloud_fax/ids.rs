//! Job ids: known ones, those of an earlier process, and what can be found out by them.

use faxbot_core::{
    ErrorKind,
    clock::TokioClock,
    fax::JobStatus,
    id::JobId,
    plugin::{FaxPlugin, SendOptions},
};

use super::{
    Bench, SECOND, Setup, pause,
    vendor::{Answer, error},
};

fn chosen() -> (JobId, SendOptions) {
    let id = JobId::new();
    (id.clone(), SendOptions::with_job_id(id))
}

#[tokio::test(start_paused = true)]
async fn a_fax_of_an_earlier_process_is_adopted_and_not_sent_again() {
    // When the process crashes: before the answer, while it is sent, and after its end.
    for seconds in [2, 20, 200] {
        let mut bench = Bench::new().await;
        bench.vendor().answer(Answer::Late(3 * SECOND));
        let (id, options) = chosen();
        bench.send_as(options.clone()).await.unwrap();
        pause(seconds).await;
        bench.crash().await;
        bench.send_as(options).await.unwrap();
        let status = bench.end(&id).await;
        assert_eq!(status.status, JobStatus::Success, "{seconds}");
        assert_eq!(status.detail.provider_sid.as_deref(), Some("1000"));
        assert_eq!(bench.vendor().asked("submit"), 1, "{seconds}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_chosen_id_is_asked_for_over_the_lookup_window_and_a_random_one_never() {
    let bench = Setup::new().option("lookup_window", "3d").start().await;
    let clock = TokioClock::shared();
    let (id, options) = chosen();
    let sent = clock.timestamp();
    bench.send_as(options).await.unwrap();
    assert_eq!(bench.end(&id).await.status, JobStatus::Success);
    let since = bench
        .vendor()
        .with(|books| std::mem::take(&mut books.since));
    let window = sent.duration_since(since[0]).as_secs();
    assert!(
        since.len() == 1 && window.abs_diff(3 * 86_400) < 2,
        "{since:?}"
    );
    assert_eq!(bench.vendor().asked("submit"), 1);
    let sought = bench.vendor().with(|books| books.sought.clone());
    assert_eq!(sought, [Some("0015550104477".to_owned())]);
    let job = bench.send().await;
    bench.end(&job).await;
    assert_eq!(bench.vendor().asked("find"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_list_that_does_not_answer_is_waited_for_and_nothing_is_sent_on_a_guess() {
    // Comes back in time.
    let bench = Bench::new().await;
    bench.vendor().down_for(300 * SECOND);
    let (id, options) = chosen();
    bench.send_as(options).await.unwrap();
    pause(290).await;
    assert_eq!(
        (
            bench.word(&id).await.as_str(),
            bench.vendor().asked("submit")
        ),
        ("queued", 0)
    );
    assert_eq!(bench.end(&id).await.status, JobStatus::Success);
    // Never does, by whatever error.
    for kind in [
        ErrorKind::NotConnected,
        ErrorKind::Authentication,
        ErrorKind::Protocol,
    ] {
        let mut bench = Bench::new().await;
        let until = tokio::time::Instant::now() + 100_000 * SECOND;
        bench
            .vendor()
            .with(|books| books.down = Some((until, Some(error(kind)))));
        let (id, options) = chosen();
        bench.send_as(options).await.unwrap();
        let status = bench.end(&id).await;
        assert_eq!(status.status, JobStatus::OutcomeUnknown, "{kind:?}");
        assert!(status.error.unwrap().contains("could not be asked"));
        pause(10_000).await;
        assert_eq!(bench.vendor().asked("submit"), 0);
        assert!(bench.words().iter().all(|(_, proof)| proof.is_none()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_vendor_without_a_list_does_not_block_a_fax() {
    let bench = Bench::new().await;
    let until = tokio::time::Instant::now() + SECOND;
    let none = error(ErrorKind::Unsupported);
    bench
        .vendor()
        .with(|books| books.down = Some((until, Some(none))));
    let (id, options) = chosen();
    bench.send_as(options).await.unwrap();
    assert_eq!(bench.end(&id).await.status, JobStatus::Success);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_passes_while_a_list_is_waited_for_says_failed_of_nothing() {
    let bench = Bench::new().await;
    bench.vendor().down_for(100 * SECOND);
    let (id, options) = chosen();
    let deadline = TokioClock::shared().timestamp() + 20 * SECOND;
    bench
        .send_as(options.with_deadline(deadline))
        .await
        .unwrap();
    pause(21).await;
    assert_eq!(bench.word(&id).await, "outcome_unknown");
    pause(200).await;
    assert_eq!(bench.vendor().asked("submit"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_list_that_lags_and_a_webhook_with_our_label_send_nothing_twice() {
    let mut bench = Bench::new().await;
    bench.vendor().with(|books| books.list_lag = 1000 * SECOND);
    let (id, options) = chosen();
    bench.send_as(options.clone()).await.unwrap();
    bench.until(&id, "in_progress").await;
    bench.crash().await;
    // Every place is taken, and before the job's turn comes the webhook does.
    for _ in 0..4 {
        bench.vendor().answer(Answer::Late(60 * SECOND));
        bench.send().await;
    }
    tokio::time::sleep(SECOND / 2).await;
    bench.send_as(options).await.unwrap();
    pause(3).await;
    let notice = serde_json::json!([{"sid": "1000", "label": id.as_str(), "word": "sending"}]);
    bench.webhook("signed", notice).await;
    assert_eq!(bench.end(&id).await.status, JobStatus::Success);
    let labels = bench.vendor().taken();
    assert_eq!(labels.iter().filter(|label| **label == id).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_known_id_is_refused_until_its_job_is_forgotten() {
    let bench = Setup::new().option("retention", "10m").start().await;
    let (id, options) = chosen();
    bench.send_as(options.clone()).await.unwrap();
    for wait in [0, 20, 200, 300] {
        pause(wait).await;
        let refused = bench.send_as(options.clone()).await.unwrap_err();
        assert_eq!(
            (refused.kind(), refused.job_id()),
            (ErrorKind::InvalidState, Some(&id))
        );
    }
    pause(700).await;
    assert_eq!(
        bench.plugin.get_status(&id).await.unwrap_err().kind(),
        ErrorKind::NotFound
    );
    // Forgotten here, and not by the vendor.
    bench.send_as(options).await.unwrap();
    assert_eq!(bench.end(&id).await.status, JobStatus::Success);
    assert_eq!(bench.vendor().asked("submit"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_new_process_finds_out_by_the_job_id() {
    let mut bench = Bench::new().await;
    let job = bench.send().await;
    bench.until(&job, "in_progress").await;
    bench.crash().await;
    let status = bench.plugin.recover(&job).await.unwrap();
    assert_eq!(status.status, JobStatus::InProgress);
    assert_eq!(status.detail.provider_sid.as_deref(), Some("1000"));
    bench.vendor().says("Media.Odd");
    let status = bench.plugin.recover(&job).await.unwrap();
    assert_eq!(status.status, JobStatus::InProgress);
    assert_eq!(status.detail.provider_status.as_deref(), Some("Media.Odd"));
    bench.vendor().says("busy");
    let status = bench.plugin.recover(&job).await.unwrap();
    assert_eq!(
        (status.status, status.error.as_deref()),
        (JobStatus::Failed, Some("busy"))
    );
    let other = JobId::new();
    let none = bench.plugin.recover(&other).await.unwrap_err();
    assert_eq!(
        (none.kind(), none.job_id()),
        (ErrorKind::NotFound, Some(&other))
    );
    bench.vendor().down_for(SECOND);
    let down = bench.plugin.recover(&job).await.unwrap_err();
    assert_eq!(down.kind(), ErrorKind::NotConnected);
    assert_eq!(bench.vendor().asked("submit"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_was_given_up_is_asked_for_anew_and_what_is_found_is_noted() {
    for mute in [false, true] {
        let bench = Bench::new().await;
        bench.vendor().answer(Answer::Lost(30 * SECOND));
        bench.vendor().with(|books| {
            books.list_lag = 2000 * SECOND;
            books.mute = mute;
        });
        let job = bench.send().await;
        assert_eq!(bench.end(&job).await.status, JobStatus::OutcomeUnknown);
        let none = bench.plugin.recover(&job).await.unwrap_err();
        assert_eq!(none.kind(), ErrorKind::NotFound);
        pause(1500).await;
        let status = bench.plugin.recover(&job).await.unwrap();
        assert_eq!(status.status, JobStatus::Success, "{mute}");
        assert_eq!(bench.word(&job).await, "SUCCESS");
        let asked = bench.vendor().asked("find");
        // Now it is known here.
        bench.plugin.recover(&job).await.unwrap();
        assert_eq!(bench.vendor().asked("find"), asked);
    }
}
