//! A cancellation, a stop or a fault at every moment of a fax.

use std::{collections::HashSet, time::Duration};

use faxbot_core::{
    ErrorKind,
    fax::JobStatus,
    id::JobId,
    plugin::{CancelOutcome, FaxPlugin, Plugin, SendOptions},
    random::{Random, SeededRandom},
};

use super::{
    Bench, SECOND, Setup, pause,
    vendor::{Answer, error},
};

const HALF: Duration = Duration::from_millis(500);

#[tokio::test(start_paused = true)]
async fn a_cancellation_at_any_moment_tells_the_truth() {
    let (mut cancelled, mut arrived) = (0, 0);
    for chosen in [false, true] {
        for halves in 0..140 {
            let bench = Setup::new().converting(2).start().await;
            bench.vendor().answer(Answer::Late(3 * SECOND));
            let options = if chosen {
                SendOptions::with_job_id(JobId::new())
            } else {
                SendOptions::new()
            };
            let job = bench.send_as(options).await.unwrap();
            tokio::time::sleep(HALF * halves).await;
            let asked = bench.plugin.cancel_fax(&job).await.unwrap();
            let status = bench.end(&job).await;
            pause(200).await;
            let there = bench
                .vendor()
                .with(|books| books.faxes.values().any(|fax| fax.word() == "done"));
            match (&status.status, asked) {
                (JobStatus::Success, CancelOutcome::TooLate | CancelOutcome::Requested) => {
                    assert!(there);
                    arrived += 1;
                }
                (JobStatus::Cancelled, CancelOutcome::Cancelled | CancelOutcome::Requested) => {
                    assert!(!there, "after {halves} halves of a second");
                    cancelled += 1;
                }
                other => panic!("after {halves} halves of a second: {other:?}"),
            }
            assert!(bench.vendor().asked("submit") <= 1);
        }
    }
    assert!(cancelled > 200 && arrived > 5, "{cancelled} {arrived}");
}

#[tokio::test(start_paused = true)]
async fn a_stop_at_any_moment_and_a_start_later_send_each_fax_once() {
    for halves in 0..80 {
        for late in [3, 50] {
            let mut bench = Setup::new()
                .converting(2)
                .option("max_uploads", 2)
                .start()
                .await;
            let mut jobs = Vec::new();
            for _ in 0..3 {
                bench.vendor().answer(Answer::Late(late * SECOND));
                jobs.push(bench.send().await);
            }
            tokio::time::sleep(HALF * halves).await;
            bench.plugin.stop().await.unwrap();
            pause(30).await;
            bench.start().await;
            for job in &jobs {
                // What was cut off at the stop is unknown until the vendor was asked.
                bench.until(job, "SUCCESS").await;
            }
            let taken = bench.vendor().taken();
            let labels: HashSet<_> = taken.iter().collect();
            assert_eq!((taken.len(), labels.len()), (3, 3), "after {halves}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_crash_at_any_moment_and_the_same_id_again_send_each_fax_once() {
    for halves in 0..140 {
        let mut bench = Bench::new().await;
        bench.vendor().answer(Answer::Late(3 * SECOND));
        let job = JobId::new();
        bench
            .send_as(SendOptions::with_job_id(job.clone()))
            .await
            .unwrap();
        tokio::time::sleep(HALF * halves).await;
        // What was written before the crash arrives, and shows within a minute.
        let under_way = bench.vendor().asked("submit") > 0;
        bench.crash().await;
        pause(60).await;
        bench
            .send_as(SendOptions::with_job_id(job.clone()))
            .await
            .unwrap();
        assert_eq!(bench.end(&job).await.status, JobStatus::Success);
        let taken = bench.vendor().taken();
        // The scripted vendor takes nothing from a client that is gone within a second.
        assert_eq!(taken, [job], "after {halves}, under way: {under_way}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_faxes_with_faults_agree_with_the_vendors_books() {
    let random = SeededRandom::new(7);
    let bench = Setup::new().option("max_uploads", 16).start().await;
    let faults = [
        Answer::Lost(20 * SECOND),
        Answer::Dropped,
        Answer::NoId,
        Answer::Late(20 * SECOND),
        Answer::No(error(ErrorKind::Rejected)),
        Answer::No(error(ErrorKind::NotConnected)),
        Answer::No(error(ErrorKind::Overloaded).with_retry_after(5 * SECOND)),
        Answer::No(error(ErrorKind::ServerBusy)),
        Answer::No(error(ErrorKind::Protocol)),
    ];
    bench.vendor().with(|books| books.list_lag = 10 * SECOND);
    let pick =
        |count: usize| usize::try_from(random.next_u64() % u64::try_from(count).unwrap()).unwrap();
    let mut jobs = Vec::new();
    for _ in 0..1000 {
        bench.vendor().answer(match pick(5) {
            0 => faults[pick(faults.len())].clone(),
            _ => Answer::Yes,
        });
        jobs.push(bench.send().await);
        pause(1).await;
        match pick(20) {
            0 => bench.vendor().down_for(10 * SECOND),
            1 => bench.vendor().with(|books| books.find_errors += 2),
            _ => {}
        }
    }
    let mut counts = [0; 3];
    let mut delivered = HashSet::new();
    for job in &jobs {
        match bench.end(job).await.status {
            JobStatus::Success => {
                counts[0] += 1;
                delivered.insert(job.clone());
            }
            JobStatus::Failed => counts[1] += 1,
            JobStatus::OutcomeUnknown => counts[2] += 1,
            other => panic!("{other:?}"),
        }
    }
    let taken = bench.vendor().taken();
    let labels: HashSet<_> = taken.iter().cloned().collect();
    assert_eq!(taken.len(), labels.len(), "a fax was sent twice");
    assert_eq!(labels, delivered);
    assert!(counts.iter().all(|count| *count > 10), "{counts:?}");
}
