//! A cancellation or a stop at every moment of a fax.

use std::{collections::HashSet, time::Duration};

use faxbot_core::{
    fax::{JobStatus, OutcomeStatus},
    id::{CallId, CallRef, JobId},
    plugin::{CancelOutcome, FaxPlugin, Plugin, PluginDeps, SendOptions},
    sip::{Lookup, SipAdapter},
};
use faxbot_testkit::fake::FaxScript;
use serde_json::json;

use super::{Bench, PAGES};

const HALF: Duration = Duration::from_millis(500);

/// A conversion of 1 s, a reply after 2 s, an answer after 5 s, pages of 20 s: over after 66 s.
fn script() -> FaxScript {
    FaxScript::success(PAGES).with_reply_after(Duration::from_secs(2))
}

/// What the far end has, as the adapter knows it.
async fn arrived(bench: &Bench, job: &JobId) -> bool {
    let call = CallRef::from(CallId::for_attempt(job, 1));
    match bench.adapter.lookup(&call).await.unwrap() {
        Lookup::Ended(record) => {
            let outcome = record.fax.unwrap();
            assert_ne!(outcome.status, OutcomeStatus::Unknown);
            outcome.is_success()
        }
        Lookup::NeverExisted => false,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancellation_at_any_moment_tells_the_truth() {
    let (mut cancelled, mut arrived_all) = (0, 0);
    for chosen in [false, true] {
        for halves in 0..140 {
            let bench = Bench::new().await;
            bench.adapter.script(script());
            let options = if chosen {
                SendOptions::with_job_id(JobId::new())
            } else {
                SendOptions::new()
            };
            let job = bench.send(options).await.unwrap();
            tokio::time::sleep(HALF * halves).await;
            let asked = bench.plugin.cancel_fax(&job).await.unwrap();
            let status = bench.end(&job).await;
            tokio::time::sleep(HALF * 400).await;
            assert_eq!(bench.adapter.running(), 0);
            let there = arrived(&bench, &job).await;
            match (&status.status, asked) {
                (JobStatus::Success, CancelOutcome::TooLate | CancelOutcome::Requested) => {
                    assert!(there);
                    arrived_all += 1;
                }
                (JobStatus::Cancelled, CancelOutcome::Cancelled | CancelOutcome::Requested) => {
                    assert!(!there);
                    cancelled += 1;
                }
                other => panic!("after {halves} halves of a second: {other:?}"),
            }
            assert!(bench.dials() <= 1);
        }
    }
    assert!(
        cancelled > 200 && arrived_all > 5,
        "{cancelled} {arrived_all}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_stop_at_any_moment_and_a_start_later_send_each_fax_once() {
    for halves in 0..140 {
        let bench = Bench::new().await;
        let mut jobs = Vec::new();
        for to in ["700", "701", "701"] {
            bench.adapter.script(script());
            jobs.push(bench.send_to(to, SendOptions::new()).await.unwrap());
        }
        tokio::time::sleep(HALF * halves).await;
        bench.plugin.stop().await.unwrap();
        tokio::time::sleep(HALF * 60).await;
        let deps = PluginDeps::current().unwrap();
        let deps = deps.with_documents(bench.converter.clone());
        let config = json!({"options": {"jitter": 0}});
        bench.plugin.start(config, deps).await.unwrap();
        for job in &jobs {
            // What was under way at the stop is unknown until the server was asked.
            let status = bench.until(job, |status| status.status.is_final()).await;
            assert_eq!(status.status, JobStatus::Success);
            assert!(arrived(&bench, job).await);
        }
        let requests = bench.adapter.requests();
        let calls: HashSet<_> = requests.iter().map(|request| request.id).collect();
        assert_eq!((requests.len(), calls.len()), (3, 3), "after {halves}");
    }
}
