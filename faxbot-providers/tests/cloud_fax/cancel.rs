//! A cancellation in each phase of a job.

use faxbot_core::{
    ErrorKind,
    fax::JobStatus,
    id::JobId,
    plugin::{CancelOutcome, FaxPlugin, SendOptions},
};

use super::{
    Bench, SECOND, Setup, pause,
    vendor::{Answer, error},
};

async fn cancel(bench: &Bench, job: &JobId) -> CancelOutcome {
    bench.plugin.cancel_fax(job).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_job_that_was_not_submitted_is_cancelled_at_once() {
    // It waits for its place, for the vendor, or for the conversion.
    for phase in ["place", "refusal", "conversion"] {
        let setup = Setup::new().option("max_uploads", 1);
        let setup = if phase == "conversion" {
            setup.converting(2)
        } else {
            setup
        };
        let bench = setup.start().await;
        let first = match phase {
            "place" => Some(bench.send().await),
            _ => None,
        };
        let busy = error(ErrorKind::Overloaded).with_retry_after(100 * SECOND);
        if phase == "refusal" {
            bench.vendor().answer(Answer::No(busy));
        }
        let job = bench.send().await;
        tokio::time::sleep(SECOND / 2).await;
        if phase == "refusal" {
            pause(10).await;
        }
        let submissions = bench.vendor().asked("submit");
        assert_eq!(
            cancel(&bench, &job).await,
            CancelOutcome::Cancelled,
            "{phase}"
        );
        assert_eq!(bench.word(&job).await, "cancelled");
        assert_eq!(cancel(&bench, &job).await, CancelOutcome::Cancelled);
        // What it waited for is not waited for any more.
        tokio::time::sleep(SECOND / 100).await;
        assert_eq!(bench.tasks.len(), usize::from(first.is_some()), "{phase}");
        if let Some(first) = first {
            assert_eq!(bench.end(&first).await.status, JobStatus::Success);
        }
        pause(1000).await;
        assert_eq!(bench.vendor().asked("submit"), submissions, "{phase}");
        assert_eq!(bench.vendor().asked("cancel"), 0);
        assert_eq!(bench.word(&job).await, "cancelled");
    }
}

#[tokio::test(start_paused = true)]
async fn a_submission_that_is_under_way_is_cancelled_when_the_vendor_has_it() {
    for answer in [
        Answer::Late(10 * SECOND),
        Answer::Lost(10 * SECOND),
        Answer::NoId,
    ] {
        let bench = Bench::new().await;
        bench.vendor().answer(answer.clone());
        let job = bench.send().await;
        tokio::time::sleep(SECOND / 2).await;
        assert_eq!(cancel(&bench, &job).await, CancelOutcome::Requested);
        assert_eq!(bench.word(&job).await, "dispatching");
        assert_eq!(
            bench.end(&job).await.status,
            JobStatus::Cancelled,
            "{answer:?}"
        );
        let asked = ["submit", "cancel"].map(|what| bench.vendor().asked(what));
        assert_eq!(asked, [1, 1], "{answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_submission_that_was_refused_after_the_cancellation_is_cancelled() {
    for kind in [ErrorKind::ServerBusy, ErrorKind::Rejected] {
        let bench = Bench::new().await;
        bench.vendor().answer(Answer::No(error(kind)));
        let job = bench.send().await;
        tokio::time::sleep(SECOND / 2).await;
        assert_eq!(cancel(&bench, &job).await, CancelOutcome::Requested);
        assert_eq!(bench.end(&job).await.status, JobStatus::Cancelled);
        pause(1000).await;
        assert_eq!(bench.vendor().asked("submit"), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_submission_that_is_not_found_stays_unknown() {
    let bench = Bench::new().await;
    bench.vendor().answer(Answer::Lost(SECOND));
    bench
        .vendor()
        .with(|books| books.list_lag = 100_000 * SECOND);
    let job = bench.send().await;
    pause(10).await;
    assert_eq!(cancel(&bench, &job).await, CancelOutcome::Requested);
    assert_eq!(bench.end(&job).await.status, JobStatus::OutcomeUnknown);
    assert_eq!(cancel(&bench, &job).await, CancelOutcome::TooLate);
}

#[tokio::test(start_paused = true)]
async fn a_recall_that_fails_is_tried_again_because_its_caller_was_answered() {
    let bench = Bench::new().await;
    bench.vendor().answer(Answer::Late(10 * SECOND));
    bench.vendor().life(&[(0, "sending")]);
    bench.vendor().with(|books| {
        let failed = || Err(error(ErrorKind::Timeout));
        books.cancels.extend([failed(), failed()]);
    });
    let job = bench.send().await;
    pause(5).await;
    assert_eq!(cancel(&bench, &job).await, CancelOutcome::Requested);
    assert_eq!(bench.end(&job).await.status, JobStatus::Cancelled);
    assert_eq!(bench.vendor().asked("cancel"), 3);
}

#[tokio::test(start_paused = true)]
async fn a_recall_that_always_fails_is_given_up_and_the_fax_is_followed() {
    let bench = Bench::new().await;
    bench.vendor().answer(Answer::Late(10 * SECOND));
    bench.vendor().life(&[(0, "sending"), (900, "done")]);
    bench.vendor().with(|books| {
        let failed = || Err(error(ErrorKind::Timeout));
        books
            .cancels
            .extend(std::iter::repeat_with(failed).take(50));
    });
    let job = bench.send().await;
    pause(5).await;
    cancel(&bench, &job).await;
    assert_eq!(bench.end(&job).await.status, JobStatus::Success);
    assert_eq!(bench.vendor().asked("cancel"), 6);
}

#[tokio::test(start_paused = true)]
async fn a_fax_that_the_vendor_has_is_cancelled_there_and_the_status_tells_what_came_of_it() {
    let rows = [
        (
            Ok(CancelOutcome::Requested),
            Ok(CancelOutcome::Requested),
            "cancelled",
        ),
        (
            Ok(CancelOutcome::Cancelled),
            Ok(CancelOutcome::Cancelled),
            "cancelled",
        ),
        (
            Ok(CancelOutcome::TooLate),
            Ok(CancelOutcome::TooLate),
            "SUCCESS",
        ),
        (
            Ok(CancelOutcome::Unsupported),
            Ok(CancelOutcome::Unsupported),
            "SUCCESS",
        ),
        (
            Err(error(ErrorKind::Timeout)),
            Err(ErrorKind::Timeout),
            "SUCCESS",
        ),
    ];
    for (scripted, answered, word) in rows {
        let bench = Bench::new().await;
        bench
            .vendor()
            .with(|books| books.cancels.push_back(scripted));
        let job = bench.send().await;
        pause(15).await;
        let answer = bench.plugin.cancel_fax(&job).await.map_err(|error| {
            assert_eq!(error.job_id(), Some(&job));
            error.kind()
        });
        assert_eq!(answer, answered);
        if answer == Ok(CancelOutcome::Cancelled) {
            assert_eq!(bench.word(&job).await, word);
        }
        assert_eq!(bench.end(&job).await.status.as_str(), word);
        pause(100).await;
        assert_eq!(bench.word(&job).await, word);
    }
}

#[tokio::test(start_paused = true)]
async fn a_fax_that_is_over_is_too_late_and_stays_as_it_is() {
    let bench = Bench::new().await;
    let job = bench.send().await;
    bench.end(&job).await;
    assert_eq!(cancel(&bench, &job).await, CancelOutcome::TooLate);
    assert_eq!(
        (
            bench.word(&job).await.as_str(),
            bench.vendor().asked("cancel")
        ),
        ("SUCCESS", 0)
    );
    let unknown = bench.plugin.cancel_fax(&JobId::new()).await.unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::NotFound);
}

#[tokio::test(start_paused = true)]
async fn a_chosen_id_that_is_being_asked_for_is_cancelled_by_what_is_found() {
    for earlier in [false, true] {
        let mut bench = Bench::new().await;
        let id = JobId::new();
        if earlier {
            bench
                .send_as(SendOptions::with_job_id(id.clone()))
                .await
                .unwrap();
            bench.until(&id, "in_progress").await;
            bench.crash().await;
        }
        let submissions = bench.vendor().asked("submit");
        bench.vendor().down_for(5 * SECOND);
        bench
            .send_as(SendOptions::with_job_id(id.clone()))
            .await
            .unwrap();
        pause(1).await;
        assert_eq!(cancel(&bench, &id).await, CancelOutcome::Requested);
        assert_eq!(bench.end(&id).await.status, JobStatus::Cancelled);
        let asked = ["submit", "cancel"].map(|what| bench.vendor().asked(what));
        assert_eq!(asked, [submissions, usize::from(earlier)]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancellation_whose_future_is_dropped_still_cancels_what_was_not_submitted() {
    let bench = Setup::new().option("max_uploads", 1).start().await;
    bench.send().await;
    let job = bench.send().await;
    pause(0).await;
    let mut future = Box::pin(bench.plugin.cancel_fax(&job));
    let waker = std::task::Waker::noop();
    let _ = future
        .as_mut()
        .poll(&mut std::task::Context::from_waker(waker));
    drop(future);
    pause(1000).await;
    assert_eq!(
        (
            bench.word(&job).await.as_str(),
            bench.vendor().asked("submit")
        ),
        ("cancelled", 1)
    );
    // One that the vendor has: the request may have been written or not, and can be repeated.
    let bench = Bench::new().await;
    bench.vendor().life(&[(0, "sending")]);
    let job = bench.send().await;
    bench.until(&job, "in_progress").await;
    let mut future = Box::pin(bench.plugin.cancel_fax(&job));
    let _ = future
        .as_mut()
        .poll(&mut std::task::Context::from_waker(waker));
    drop(future);
    assert_eq!(cancel(&bench, &job).await, CancelOutcome::Requested);
    assert_eq!(bench.end(&job).await.status, JobStatus::Cancelled);
}
