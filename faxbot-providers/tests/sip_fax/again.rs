//! Sending again under a job id that an earlier process used.

use std::{sync::Arc, time::Duration};

use faxbot_core::{
    Error, ErrorKind, Timestamp,
    document::Document,
    fax::{FailureClass, JobStatus},
    id::{CallId, JobId},
    plugin::{CancelOutcome, FaxPlugin, Plugin, PluginDeps, SendOptions, StatusResult},
    sip::{AdapterKind, CallRecord, Direction, Disposition, Lookup, UnknownReason},
};
use faxbot_providers::sip_fax::SipFaxPlugin;
use faxbot_testkit::fake::FaxScript;
use serde_json::json;

use super::{Bench, NUMBER, PAGES, pause};

fn chosen(job: &JobId) -> SendOptions {
    SendOptions::with_job_id(job.clone())
}

/// Another process: the same server, an empty table. The one before is killed with all its jobs.
pub(super) async fn crash(bench: &mut Bench) {
    let plugin = SipFaxPlugin::new(Arc::new(bench.adapter.clone()));
    let deps = PluginDeps::current()
        .unwrap()
        .with_documents(bench.converter.clone());
    bench.events = deps.events.subscribe();
    let config = json!({"options": {"jitter": 0}});
    plugin.start(config, deps).await.unwrap();
    drop(std::mem::replace(&mut bench.plugin, plugin));
}

/// Sends under an id, and again in a new process when `crashed`.
pub(super) async fn twice(
    scripts: impl IntoIterator<Item = FaxScript>,
    seconds: u64,
) -> (Bench, JobId) {
    let mut bench = Bench::new().await;
    scripts.into_iter().for_each(|s| bench.adapter.script(s));
    let job = JobId::new();
    bench.send(chosen(&job)).await.unwrap();
    pause(seconds).await;
    crash(&mut bench).await;
    bench.send(chosen(&job)).await.unwrap();
    (bench, job)
}

fn numbers(status: &StatusResult) -> Vec<u32> {
    status.detail.attempts.iter().map(|a| a.number).collect()
}

#[tokio::test(start_paused = true)]
async fn a_fax_that_arrived_before_the_crash_is_success_without_a_dial() {
    let (bench, job) = twice([], 200).await;
    let status = bench.end(&job).await;
    assert_eq!(status.status, JobStatus::Success);
    assert_eq!((status.pages, status.error.as_deref()), (Some(PAGES), None));
    assert_eq!((numbers(&status), bench.dials()), (vec![1], 1));
    let asked = bench.adapter.lookups();
    assert!(asked.iter().all(|call| call.requested_at.is_none()));
    // Nothing was converted for it.
    assert_eq!(bench.converter.asked.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_fax_that_runs_over_the_crash_is_followed_and_not_dialled() {
    let (bench, job) = twice([], 30).await;
    bench.status(&job, "in_progress").await;
    let status = bench.end(&job).await;
    assert_eq!(status.status, JobStatus::Success);
    assert_eq!((numbers(&status), bench.dials()), (vec![1], 1));
}

#[tokio::test(start_paused = true)]
async fn the_calls_of_both_processes_are_one_job() {
    // Busy, and the second call of the first process runs when it is killed.
    let (bench, job) = twice([FaxScript::busy()], 200).await;
    let status = bench.end(&job).await;
    assert_eq!(status.status, JobStatus::Success);
    assert_eq!((numbers(&status), bench.dials()), (vec![1, 2], 2));

    // Killed while it waits: the next call is ours.
    let (bench, job) = twice([FaxScript::busy()], 20).await;
    pause(1).await;
    let status = bench.plugin.get_status(&job).await.unwrap();
    assert_eq!(status.status, JobStatus::Queued);
    assert!(status.detail.next_dial.is_some());
    let status = bench.end(&job).await;
    assert_eq!(status.status, JobStatus::Success);
    assert_eq!((numbers(&status), bench.dials()), (vec![1, 2], 2));
    let requests = bench.adapter.requests();
    assert_eq!(requests[1].id, CallId::for_attempt(&job, 2));
}

#[tokio::test(start_paused = true)]
async fn what_ended_for_good_before_the_crash_ends_the_job() {
    let rows = [
        (FaxScript::fails_after(1, FailureClass::Rejected), "FAILED"),
        (FaxScript::unknown(1), "outcome_unknown"),
        (FaxScript::not_answered(FailureClass::Rejected), "FAILED"),
    ];
    for (script, word) in rows {
        let (bench, job) = twice([script], 200).await;
        let status = bench.end(&job).await;
        assert_eq!((status.status.as_str(), bench.dials()), (word, 1));
        pause(100_000).await;
        assert_eq!(bench.dials(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn budgets_count_the_dials_of_both_processes() {
    let scripts = std::iter::repeat_n(FaxScript::busy(), 30);
    // Six dials, three minutes apart, before the crash.
    let (bench, job) = twice(scripts, 6 * 185).await;
    let status = bench.end(&job).await;
    assert_eq!(status.status, JobStatus::Failed);
    assert_eq!(numbers(&status), (1..=12).collect::<Vec<_>>());
    assert_eq!(bench.dials(), 12);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_cannot_tell_does_not_block_the_fax() {
    let error = |kind| Err(Error::new(kind, "lookup", "no"));
    let rows = [
        Ok(Lookup::NeverExisted),
        Ok(Lookup::Unknown(UnknownReason::RequestTimeUnknown)),
        Ok(Lookup::Unknown(UnknownReason::NotKept)),
        Ok(Lookup::Unknown(UnknownReason::ServerRestarted)),
        error(ErrorKind::Unsupported),
        error(ErrorKind::PermissionDenied),
    ];
    for answer in rows {
        let text = format!("{answer:?}");
        let bench = Bench::new().await;
        bench.adapter.answer_lookup(answer);
        bench.send(chosen(&JobId::new())).await.unwrap();
        pause(10).await;
        assert_eq!((bench.dials(), bench.adapter.lookups().len()), (1, 1));
        assert_eq!(bench.adapter.running(), 1, "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_random_id_is_not_asked_for() {
    let bench = Bench::new().await;
    assert_eq!(bench.play([]).await.status, JobStatus::Success);
    assert!(bench.adapter.lookups().is_empty());
    // An id that was put in the place of the random one is the caller's own.
    let mut options = SendOptions::new();
    options.job_id = JobId::new();
    assert!(options.job_id_is_chosen());
}

#[tokio::test(start_paused = true)]
async fn a_trace_that_may_still_come_is_waited_for() {
    let bench = Bench::new().await;
    for _ in 0..3 {
        let recent = Lookup::Unknown(UnknownReason::TooRecent);
        bench.adapter.answer_lookup(Ok(recent));
    }
    let job = JobId::new();
    bench.send(chosen(&job)).await.unwrap();
    pause(2).await;
    assert_eq!(bench.dials(), 0);
    assert_eq!(bench.end(&job).await.status, JobStatus::Success);
    assert_eq!(bench.adapter.lookups().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_away_is_waited_for_and_nothing_is_claimed_without_it() {
    let bench = Bench::new().await;
    bench.adapter.set_connected(false);
    let job = JobId::new();
    bench.send(chosen(&job)).await.unwrap();
    pause(300).await;
    let status = bench.plugin.get_status(&job).await.unwrap();
    assert_eq!(status.status, JobStatus::Queued);
    bench.adapter.set_connected(true);
    assert_eq!(bench.end(&job).await.status, JobStatus::Success);
    assert_eq!(bench.dials(), 1);

    // Away until patience or the deadline ends: the fax may have arrived before the crash.
    for deadline in [None, Some(Timestamp::now() + Duration::from_secs(100_000))] {
        let (mut bench, job) = twice([], 200).await;
        bench.end(&job).await;
        bench.adapter.set_connected(false);
        crash(&mut bench).await;
        let mut options = chosen(&job);
        options.deadline = deadline;
        bench.send(options).await.unwrap();
        let status = bench.end(&job).await;
        assert_eq!(status.status, JobStatus::OutcomeUnknown);
        assert!(status.error.unwrap().contains("could not be asked"));
        bench.adapter.set_connected(true);
        pause(10_000).await;
        assert_eq!(bench.dials(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_that_was_given_up_is_asked_for_anew() {
    let (mut bench, job) = twice([], 200).await;
    bench.end(&job).await;
    bench.adapter.set_connected(false);
    crash(&mut bench).await;
    bench.send(chosen(&job)).await.unwrap();
    let status = bench.end(&job).await;
    assert_eq!(status.status, JobStatus::OutcomeUnknown);
    bench.adapter.set_connected(true);
    let before = Timestamp::UNIX_EPOCH;
    let status = bench.plugin.recover(&job, before).await.unwrap();
    assert_eq!(status.status, JobStatus::Success);
}

#[tokio::test(start_paused = true)]
async fn an_earlier_call_that_was_answered_and_left_no_outcome_is_not_dialled() {
    let bench = Bench::new().await;
    let start = Timestamp::UNIX_EPOCH;
    let mut record = CallRecord::new(None, AdapterKind::ASTERISK, Direction::Outbound, start);
    record.disposition = Disposition::Answered;
    record.answer = Some(start);
    bench
        .adapter
        .answer_lookup(Ok(Lookup::Ended(record.into())));
    let job = JobId::new();
    bench.send(chosen(&job)).await.unwrap();
    assert_eq!(bench.end(&job).await.status, JobStatus::OutcomeUnknown);
    pause(10_000).await;
    assert_eq!(bench.dials(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_was_seen_live_is_never_one_that_never_was() {
    let (bench, job) = twice([FaxScript::endless()], 30).await;
    bench.status(&job, "in_progress").await;
    bench.adapter.answer_lookup(Ok(Lookup::NeverExisted));
    assert_eq!(bench.end(&job).await.status, JobStatus::OutcomeUnknown);
    pause(10_000).await;
    assert_eq!(bench.dials(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_cancellation_hangs_up_what_the_earlier_process_left() {
    let (bench, job) = twice([FaxScript::endless()], 30).await;
    // Before the server was asked, and nothing else may be claimed.
    let asked = bench.plugin.cancel_fax(&job).await.unwrap();
    assert_eq!(asked, CancelOutcome::Requested);
    let status = bench.end(&job).await;
    assert_eq!(status.status, JobStatus::Cancelled);
    assert_eq!((bench.adapter.running(), bench.dials()), (0, 1));

    // What arrived stays so; what never was is cancelled.
    let (bench, job) = twice([], 200).await;
    bench.plugin.cancel_fax(&job).await.unwrap();
    assert_eq!(bench.end(&job).await.status, JobStatus::Success);
    let other = JobId::new();
    bench.send(chosen(&other)).await.unwrap();
    bench.plugin.cancel_fax(&other).await.unwrap();
    assert_eq!(bench.end(&other).await.status, JobStatus::Cancelled);
    assert_eq!(bench.dials(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_fax_whose_reply_was_lost_is_hung_up_when_it_is_found() {
    let bench = Bench::new().await;
    let slow = FaxScript::endless()
        .with_lost_reply()
        .with_reply_after(Duration::from_secs(20));
    bench.adapter.script(slow);
    let job = bench.send(SendOptions::new()).await.unwrap();
    bench.status(&job, "dispatching").await;
    let asked = bench.plugin.cancel_fax(&job).await.unwrap();
    assert_eq!(asked, CancelOutcome::Requested);
    assert_eq!(bench.end(&job).await.status, JobStatus::Cancelled);
    assert_eq!((bench.adapter.running(), bench.dials()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn the_outcome_of_a_chosen_id_stays_at_the_server_while_the_job_is_readable() {
    let bench = Bench::new().await;
    let job = JobId::new();
    bench.send(chosen(&job)).await.unwrap();
    bench.end(&job).await;
    pause(3500).await;
    assert!(bench.adapter.released().is_empty());
    pause(200).await;
    assert_eq!(bench.adapter.released(), [CallId::for_attempt(&job, 1)]);
    // A stop does not wait for it.
    bench.send(chosen(&JobId::new())).await.unwrap();
    pause(200).await;
    let begun = tokio::time::Instant::now();
    bench.plugin.stop().await.unwrap();
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert_eq!(bench.adapter.released().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn two_plugins_with_one_id_dial_once() {
    let bench = Bench::new().await;
    let job = JobId::new();
    bench.send(chosen(&job)).await.unwrap();
    let other = SipFaxPlugin::new(Arc::new(bench.adapter.clone()));
    let deps = PluginDeps::current().unwrap();
    let deps = deps.with_documents(bench.converter.clone());
    other.start(json!({}), deps).await.unwrap();
    let document = Document::bytes(&b"%PDF"[..]);
    let to = NUMBER.parse().unwrap();
    other.send_fax(to, document, chosen(&job)).await.unwrap();
    assert_eq!(bench.end(&job).await.status, JobStatus::Success);
    let mut status = other.get_status(&job).await.unwrap();
    for _ in 0..1000 {
        if status.status.is_final() {
            break;
        }
        pause(1).await;
        status = other.get_status(&job).await.unwrap();
    }
    assert_eq!(status.status, JobStatus::Success);
    // The adapter refuses the second request of one id, and the call is asked for.
    assert_eq!(bench.adapter.running(), 0);
    assert_eq!(bench.adapter.most_at_once(), 1);
    let asked = bench.adapter.lookups().len();
    assert!(asked > 2, "{asked}");
}
