//! One submission a job: what comes of each answer.

use faxbot_core::{
    ErrorKind,
    clock::TokioClock,
    fax::{FailureClass, JobStatus, OutcomeStatus},
    id::JobId,
    plugin::{FaxPlugin, PluginEvent, SendOptions},
    webhook::Authenticity,
};
use faxbot_providers::cloud::fax::{Upload, UploadFormat};
use serde_json::json;

use super::{
    Bench, NUMBER, PDF, SECOND, Setup, pause,
    vendor::{Answer, error},
};

const FETCHED: Option<Authenticity> = Some(Authenticity::Fetched);

#[tokio::test(start_paused = true)]
async fn a_fax_is_submitted_once_and_followed_to_its_end() {
    let mut bench = Bench::new().await;
    let job = bench.send().await;
    let status = bench.end(&job).await;
    assert_eq!(status.status, JobStatus::Success);
    assert_eq!((status.pages, status.error.as_deref()), (Some(2), None));
    let (sid, fax) = bench.vendor().only();
    assert_eq!(status.detail.provider_sid, Some(sid.clone()));
    assert_eq!(
        status.raw_response,
        Some(json!({"id": sid, "word": "done"}))
    );
    assert_eq!((fax.label, fax.to.as_str()), (job.clone(), "0015550104477"));
    let Upload::File {
        format,
        bytes,
        pages,
        ..
    } = fax.upload
    else {
        panic!("{:?}", fax.upload);
    };
    assert_eq!(
        (format, bytes.as_ref(), pages),
        (UploadFormat::Pdf, PDF, None)
    );
    assert_eq!(
        (bench.vendor().asked("submit"), bench.vendor().asked("find")),
        (1, 0)
    );
    let events = bench.events();
    let topics: Vec<_> = events.iter().map(PluginEvent::topic).collect();
    assert_eq!(
        topics,
        [
            "fax.status",
            "fax.status",
            "fax.status",
            "fax.progress",
            "fax.finished",
            "fax.status"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn each_word_says_what_proves_it() {
    let mut bench = Bench::new().await;
    let job = bench.send().await;
    bench.end(&job).await;
    let words = [
        ("preparing", None),
        ("dispatching", None),
        ("in_progress", FETCHED),
        ("SUCCESS", FETCHED),
    ];
    assert_eq!(
        bench.words(),
        words.map(|(word, proof)| (word.to_owned(), proof))
    );
}

#[tokio::test(start_paused = true)]
async fn a_fax_whose_reply_was_dropped_is_sent_once_and_a_webhook_still_resolves_it() {
    let mut bench = Bench::new().await;
    bench.vendor().answer(Answer::Lost(30 * SECOND));
    bench
        .vendor()
        .with(|books| books.list_lag = SECOND * 1_000_000);
    let job = bench.send().await;
    let status = bench.end(&job).await;
    assert_eq!(status.status, JobStatus::OutcomeUnknown);
    assert!(status.error.unwrap().contains("not sent again"));
    assert_eq!(
        status.detail.outcome.unwrap().status,
        OutcomeStatus::Unknown
    );
    pause(3000).await;
    assert_eq!(bench.word(&job).await, "outcome_unknown");
    assert!((20..60).contains(&bench.vendor().asked("find")));
    let (sid, _) = bench.vendor().only();
    // What is not over is no evidence.
    for (word, status) in [
        ("sending", "outcome_unknown"),
        ("done", "SUCCESS"),
        ("failed", "SUCCESS"),
    ] {
        let notice = json!([{"sid": sid, "label": job.as_str(), "word": word}]);
        assert_eq!(bench.webhook("signed", notice).await.status, 200);
        assert_eq!(bench.word(&job).await, status);
    }
    assert_eq!(bench.vendor().asked("submit"), 1);
    let words = bench.words();
    let last = words.last().unwrap();
    assert_eq!(*last, ("SUCCESS".to_owned(), Some(Authenticity::Signed)));
}

#[tokio::test(start_paused = true)]
async fn a_fax_whose_reply_was_dropped_is_found_by_its_label_and_followed() {
    for (lag, errors, mute) in [
        (0, 0, false),
        (100, 0, false),
        (20, 5, false),
        (20, 0, true),
    ] {
        let bench = Bench::new().await;
        bench.vendor().answer(Answer::Lost(30 * SECOND));
        bench.vendor().with(|books| {
            books.list_lag = SECOND * lag;
            books.find_errors = errors;
            books.mute = mute;
        });
        let job = bench.send().await;
        assert_eq!(bench.end(&job).await.status, JobStatus::Success);
        assert_eq!(bench.vendor().asked("submit"), 1, "{lag} {errors}");
        assert_eq!(bench.vendor().taken(), [job]);
    }
}

#[tokio::test(start_paused = true)]
async fn it_is_looked_for_from_a_day_before_its_submission_for_clocks_that_are_set_by_hand() {
    let bench = Bench::new().await;
    let clock = TokioClock::shared();
    bench.vendor().answer(Answer::Lost(30 * SECOND));
    let sent = clock.timestamp();
    let job = bench.send().await;
    bench.until(&job, "in_progress").await;
    let since = bench.vendor().with(|books| books.since[0]);
    let before = sent.duration_since(since);
    assert!(before.as_secs().abs_diff(86_400) < 2, "{before:?}");
}

#[tokio::test(start_paused = true)]
async fn a_fax_that_was_never_taken_is_unknown_and_never_sent_again() {
    let bench = Bench::new().await;
    bench.vendor().answer(Answer::Dropped);
    let job = bench.send().await;
    assert_eq!(bench.end(&job).await.status, JobStatus::OutcomeUnknown);
    pause(100_000).await;
    assert_eq!(bench.vendor().asked("submit"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_decides_by_its_effect_and_kind() {
    use ErrorKind::*;
    let rows = [
        // kind, submissions, status, class
        (NotConnected, 2, "SUCCESS", None),
        (Overloaded, 2, "SUCCESS", None),
        (ServerBusy, 2, "SUCCESS", None),
        (Rejected, 1, "FAILED", Some(FailureClass::Rejected)),
        (
            InvalidRequest,
            1,
            "FAILED",
            Some(FailureClass::InvalidNumber),
        ),
        (Authentication, 1, "FAILED", Some(FailureClass::LocalConfig)),
        (
            PermissionDenied,
            1,
            "FAILED",
            Some(FailureClass::LocalConfig),
        ),
        (NotFound, 1, "FAILED", Some(FailureClass::LocalConfig)),
        (Document, 1, "FAILED", Some(FailureClass::Document)),
        (Timeout, 1, "outcome_unknown", None),
        (Io, 1, "outcome_unknown", None),
        (Closed, 1, "outcome_unknown", None),
        (Protocol, 1, "outcome_unknown", None),
        (Internal, 1, "outcome_unknown", None),
        (OutcomeUnknown, 1, "outcome_unknown", None),
    ];
    for (kind, submissions, word, class) in rows {
        let mut bench = Bench::new().await;
        let native = (Some("4711".to_owned()), Some("to +15550104477".to_owned()));
        bench
            .vendor()
            .answer(Answer::No(error(kind).with_native(native.0, native.1)));
        let job = bench.send().await;
        let status = bench.end(&job).await;
        assert_eq!(status.status.as_str(), word, "{kind:?}");
        assert_eq!(bench.vendor().asked("submit"), submissions, "{kind:?}");
        let outcome = status.detail.outcome.clone().unwrap();
        assert_eq!(outcome.class(), class, "{kind:?}");
        assert!(!format!("{status:?}").contains("55501"));
        if class.is_some() {
            assert_eq!(outcome.native_code.as_deref(), Some("4711"));
            assert!(outcome.certainly_nothing_delivered());
            assert!(status.error.is_some());
            // No call ended that never was.
            let topics: Vec<_> = bench.events().iter().map(PluginEvent::topic).collect();
            assert!(!topics.contains(&"fax.finished".to_owned()), "{kind:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_vendor_that_asks_for_a_wait_gets_it() {
    let bench = Bench::new().await;
    let busy = error(ErrorKind::Overloaded).with_retry_after(120 * SECOND);
    bench.vendor().answer(Answer::No(busy));
    let job = bench.send().await;
    pause(60).await;
    let status = bench.get(&job).await;
    assert_eq!(status.status, JobStatus::Queued);
    assert!(status.detail.next_dial.is_some());
    assert_eq!(bench.vendor().asked("submit"), 1);
    pause(70).await;
    assert_eq!(bench.vendor().asked("submit"), 2);
    assert_eq!(bench.end(&job).await.status, JobStatus::Success);
    assert_eq!(bench.get(&job).await.detail.next_dial, None);
    // Longer than the job's patience.
    let busy = error(ErrorKind::Overloaded).with_retry_after(1000 * SECOND);
    bench.vendor().answer(Answer::No(busy));
    let job = bench.send().await;
    pause(2).await;
    assert_eq!(bench.word(&job).await, "FAILED");
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_vendor_ends_with_patience() {
    let bench = Bench::new().await;
    for _ in 0..1000 {
        bench
            .vendor()
            .answer(Answer::No(error(ErrorKind::ServerBusy)));
    }
    let job = bench.send().await;
    let begun = tokio::time::Instant::now();
    let status = bench.end(&job).await;
    assert_eq!(status.status, JobStatus::Failed);
    assert_eq!(
        status.error.as_deref(),
        Some("the provider took no fax in time")
    );
    assert_eq!(
        status.detail.outcome.unwrap().class(),
        Some(FailureClass::Congestion)
    );
    let took = begun.elapsed().as_secs();
    assert!((400..=900).contains(&took), "{took}");
    assert!((6..15).contains(&bench.vendor().asked("submit")));
}

#[tokio::test(start_paused = true)]
async fn the_deadline_ends_waits_and_says_nothing_to_a_fax_that_was_submitted() {
    let clock = TokioClock::shared();
    let deadline =
        |seconds: u32| SendOptions::new().with_deadline(clock.timestamp() + SECOND * seconds);
    let bench = Bench::new().await;
    let passed = bench.send_as(deadline(0)).await.unwrap_err();
    assert_eq!(passed.kind(), ErrorKind::InvalidRequest);
    // Submitted before it.
    let job = bench.send_as(deadline(10)).await.unwrap();
    assert_eq!(bench.end(&job).await.status, JobStatus::Success);
    // Refused until it.
    let busy = error(ErrorKind::Overloaded).with_retry_after(30 * SECOND);
    bench.vendor().answer(Answer::No(busy));
    let job = bench.send_as(deadline(10)).await.unwrap();
    let status = bench.end(&job).await;
    assert_eq!(status.status, JobStatus::Failed);
    // The only place is taken until it. The clock of a plugin that starts now is another.
    let clock = TokioClock::shared();
    let deadline =
        |seconds: u32| SendOptions::new().with_deadline(clock.timestamp() + SECOND * seconds);
    let bench = Setup::new().option("max_uploads", 1).start().await;
    bench.vendor().answer(Answer::Late(60 * SECOND));
    let first = bench.send().await;
    let second = bench.send_as(deadline(10)).await.unwrap();
    pause(12).await;
    let status = bench.get(&second).await;
    assert_eq!(status.status, JobStatus::Failed);
    assert!(status.error.unwrap().contains("deadline"));
    assert_eq!(bench.end(&first).await.status, JobStatus::Success);
    assert_eq!(bench.vendor().taken(), [first]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_an_id_is_none() {
    let bench = Bench::new().await;
    bench.vendor().answer(Answer::NoId);
    let job = bench.send().await;
    assert_eq!(bench.end(&job).await.status, JobStatus::Success);
    assert_eq!(
        (bench.vendor().asked("submit"), bench.vendor().asked("find")),
        (1, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn a_submission_that_never_ends_keeps_no_place_for_ever() {
    let bench = Setup::new().option("max_uploads", 1).start().await;
    bench.vendor().answer(Answer::Never);
    let first = bench.send().await;
    let second = bench.send().await;
    assert_eq!(bench.end(&second).await.status, JobStatus::Success);
    assert_eq!(bench.end(&first).await.status, JobStatus::OutcomeUnknown);
    assert_eq!(bench.vendor().taken(), [second]);
}

#[tokio::test(start_paused = true)]
async fn a_webhook_that_comes_before_the_answer_is_matched_by_its_label() {
    for answer in [Answer::Late(30 * SECOND), Answer::Lost(30 * SECOND)] {
        for (word, status) in [("done", "SUCCESS"), ("sending", "dispatching")] {
            let bench = Bench::new().await;
            bench.vendor().answer(answer.clone());
            bench.vendor().life(&[(0, "sending"), (60, "done")]);
            let job = bench.send().await;
            pause(5).await;
            let (sid, _) = bench.vendor().only();
            let notice = json!([{"sid": sid, "label": job.as_str(), "word": word}]);
            assert_eq!(bench.webhook("signed", notice).await.status, 200);
            assert_eq!(bench.word(&job).await, status);
            assert_eq!(bench.end(&job).await.status, JobStatus::Success);
            pause(100).await;
            assert_eq!(bench.word(&job).await, "SUCCESS");
            // Its id is known, so that it is not looked for.
            let asked = (bench.vendor().asked("submit"), bench.vendor().asked("find"));
            assert_eq!(asked, (1, 0), "{answer:?} {word}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_what_the_vendor_told_of_by_webhook_is_not_believed() {
    let bench = Bench::new().await;
    bench.vendor().answer(Answer::Late(30 * SECOND));
    let job = bench.send().await;
    pause(5).await;
    // The answer to the first one is still to come; this one is refused after the fact.
    bench
        .vendor()
        .answer(Answer::No(error(ErrorKind::Rejected)));
    let other = bench.send().await;
    let notice = json!([{"sid": "1000", "label": other.as_str(), "word": "queued"}]);
    tokio::time::sleep(SECOND / 2).await;
    bench.webhook("signed", notice).await;
    pause(2).await;
    assert_eq!(bench.word(&other).await, "in_progress");
    assert_eq!(bench.word(&job).await, "dispatching");
    assert_eq!(bench.vendor().asked("submit"), 2);
}

#[tokio::test(start_paused = true)]
async fn too_many_open_jobs_are_overloaded_and_room_comes_back() {
    let bench = Setup::new().option("max_jobs", 2).start().await;
    let jobs = [bench.send().await, bench.send().await];
    let id: JobId = "third".parse().unwrap();
    let refused = bench
        .send_as(SendOptions::with_job_id(id.clone()))
        .await
        .unwrap_err();
    assert_eq!(
        (refused.kind(), refused.job_id()),
        (ErrorKind::Overloaded, Some(&id))
    );
    assert!(refused.is_retryable());
    for job in &jobs {
        bench.end(job).await;
    }
    bench.send_as(SendOptions::with_job_id(id)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_the_vendor_cannot_carry_is_refused_before_anything_is_sent() {
    let bench = Bench::new().await;
    let options = SendOptions::new().with_t38(faxbot_core::fax::T38Mode::Require);
    let id = options.job_id.clone();
    let refused = bench.send_as(options).await.unwrap_err();
    assert_eq!(
        (refused.kind(), refused.job_id()),
        (ErrorKind::InvalidRequest, Some(&id))
    );
    pause(100).await;
    assert_eq!(bench.vendor().asked("submit"), 0);
    let missing = bench.plugin.get_status(&id).await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    assert!(!format!("{refused:?}").contains(NUMBER));
}

#[tokio::test(start_paused = true)]
async fn a_send_whose_future_is_dropped_is_decided_at_its_first_poll() {
    let bench = Bench::new().await;
    let send = |options: SendOptions| {
        let document = faxbot_core::document::Document::bytes(PDF);
        bench
            .plugin
            .send_fax(NUMBER.parse().unwrap(), document, options)
    };
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    for polls in [false, true] {
        let options = SendOptions::new();
        let job = options.job_id.clone();
        let mut future = send(options);
        if polls {
            assert!(future.as_mut().poll(&mut context).is_ready());
        }
        drop(future);
        let known = bench.plugin.get_status(&job).await;
        assert_eq!(known.is_ok(), polls);
    }
    pause(100).await;
    assert_eq!(bench.vendor().asked("submit"), 1);
}
