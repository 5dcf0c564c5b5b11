//! The job's state machine, without any waiting.

use std::sync::LazyLock;

use faxbot_core::plugin::CancelOutcome;
use proptest::prelude::*;

use super::*;
use crate::cloud::fax::FaxReport;

static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

const MINUTE: Duration = Duration::from_secs(60);

fn at(seconds: u64) -> Now {
    Now {
        instant: *EPOCH + Duration::from_secs(seconds),
        wall: Timestamp::UNIX_EPOCH + Duration::from_secs(seconds),
        random: 0,
    }
}

fn job(chosen: bool) -> FaxJob {
    let patience = Patience {
        server: 15 * MINUTE,
        lookup: 15 * MINUTE,
        job: 24 * 60 * MINUTE,
        poll: Backoff::new(Duration::from_secs(5), MINUTE),
    };
    let id = ("job-1".parse().unwrap(), "+15550100123".parse().unwrap());
    FaxJob::new(id, patience, chosen, at(0))
}

fn error(kind: ErrorKind) -> Error {
    Error::new(kind, "test", "test")
}

fn report(sid: &str, label: Option<&str>, status: JobStatus) -> FaxReport {
    let mut report = FaxReport::new(sid, status.clone(), status.as_str());
    report.job_id = label.map(|label| label.parse().unwrap());
    report
}

fn status(job: &FaxJob) -> &str {
    job.record().status.as_str()
}

#[test]
fn a_report_is_of_a_job_by_the_providers_id_and_before_that_by_our_label() {
    let mut job = job(false);
    for (sid, label, mine) in [
        ("1", None, false),
        ("1", Some("job-2"), false),
        ("", Some("job-1"), false),
        ("1", Some("job-1"), true),
    ] {
        assert_eq!(
            job.is_mine(&report(sid, label, JobStatus::Queued)),
            mine,
            "{sid} {label:?}"
        );
    }
    job.submit(at(1));
    job.answered(&Ok(Submitted::new("1")), at(2));
    for (sid, label, mine) in [
        ("1", None, true),
        ("1", Some("job-1"), true),
        // Somebody sent the same label again: that is another fax.
        ("2", Some("job-1"), false),
        ("2", None, false),
    ] {
        assert_eq!(
            job.is_mine(&report(sid, label, JobStatus::Queued)),
            mine,
            "{sid} {label:?}"
        );
    }
}

#[test]
fn a_fax_that_is_found_under_another_label_is_not_adopted() {
    let mut job = job(false);
    job.submit(at(1));
    job.answered(&Err(error(ErrorKind::OutcomeUnknown)), at(2));
    for (sid, label) in [("7", Some("job-2")), ("", Some("job-1"))] {
        job.sought(&Ok(Some(report(sid, label, JobStatus::Success))), at(3));
        assert_eq!((status(&job), job.sid()), ("dispatching", None));
    }
    // Found by a query for our label, and told without it.
    job.sought(&Ok(Some(report("7", None, JobStatus::Success))), at(3));
    assert_eq!((status(&job), job.sid()), ("SUCCESS", Some("7")));
}

#[test]
fn a_fax_with_our_label_to_another_number_is_that_of_somebody_who_chose_the_same_id() {
    let elsewhere = |to: &str| {
        let mut report = report("7", Some("job-1"), JobStatus::Success);
        report.to = Some(faxbot_core::Private::new(to.to_owned()));
        report
    };
    // A webhook, whatever the job waits for.
    let mut told = job(true);
    assert!(!told.told(&elsewhere("+15550100124"), at(1)));
    // What an earlier process is thought to have sent.
    told.checked(&Ok(Some(elsewhere("+15550100124"))), at(1));
    assert_eq!(told.step(), Step::Submit(at(1).instant));
    // A submission of ours.
    told.submit(at(2));
    told.answered(&Err(error(ErrorKind::OutcomeUnknown)), at(3));
    told.sought(&Ok(Some(elsewhere("+15550100124"))), at(4));
    assert_eq!(told.sid(), None);
    // Another form of our number is our number.
    told.sought(&Ok(Some(elsewhere("(555) 010-0123"))), at(5));
    assert_eq!((status(&told), told.sid()), ("SUCCESS", Some("7")));
}

#[test]
fn the_last_question_is_asked_when_patience_ends() {
    let mut job = job(false);
    job.submit(at(0));
    job.answered(&Err(error(ErrorKind::Timeout)), at(0));
    let mut asked = Vec::new();
    while let Step::Seek(next) = job.step() {
        let seconds = next.duration_since(*EPOCH).as_secs();
        asked.push(seconds);
        job.sought(&Ok(None), at(seconds));
    }
    assert_eq!(status(&job), "outcome_unknown");
    assert_eq!(asked[..6], [0, 1, 3, 7, 15, 31]);
    assert_eq!(asked.last(), Some(&900));
}

#[test]
fn a_provider_that_asks_for_a_wait_gets_it_from_every_question() {
    let wait = Duration::from_secs(100);
    let busy = || error(ErrorKind::Overloaded).with_retry_after(wait);
    let due = |job: &FaxJob| match job.step() {
        Step::Check(at) | Step::Submit(at) | Step::Seek(at) | Step::Poll(at) | Step::Recall(at) => {
            at.duration_since(*EPOCH).as_secs()
        }
        step => panic!("{step:?}"),
    };
    let mut asked = job(true);
    asked.checked(&Err(busy()), at(1));
    assert_eq!(due(&asked), 101);
    asked.checked(&Ok(None), at(101));
    asked.not_prepared(&busy(), at(102));
    assert_eq!(due(&asked), 202);
    assert!(!asked.submit(at(201)) && asked.submit(at(202)));
    asked.answered(&Err(busy()), at(203));
    assert_eq!(due(&asked), 303);
    asked.submit(at(303));
    asked.answered(&Err(error(ErrorKind::Timeout)), at(304));
    asked.sought(&Err(busy()), at(304));
    assert_eq!(due(&asked), 404);
    asked.cancel(at(405));
    asked.sought(&Ok(Some(report("1", None, JobStatus::Queued))), at(405));
    assert_eq!(asked.step(), Step::Recall(at(405).instant));
    asked.recalled(&Err(busy()), at(406));
    // The poll that is due before.
    asked.polled(&Err(busy()), at(410));
    assert_eq!(asked.step(), Step::Recall(at(506).instant));
    asked.recalled(&Ok(CancelOutcome::TooLate), at(506));
    assert_eq!(due(&asked), 510);
}

#[test]
fn a_start_asks_again_for_an_id_that_another_process_may_have_sent_meanwhile() {
    for chosen in [false, true] {
        let mut stopped = job(chosen);
        stopped.checked(&Ok(None), at(1));
        assert!(matches!(stopped.step(), Step::Submit(_)));
        stopped.stopped(at(2));
        stopped.taken_up(at(3600));
        let asks = stopped.step() == Step::Check(at(3600).instant);
        assert_eq!(asks, chosen);
    }
}

#[test]
fn an_answer_that_is_too_long_is_not_kept() {
    let mut job = job(false);
    job.submit(at(1));
    job.answered(&Ok(Submitted::new("1")), at(2));
    let mut told = report("1", None, JobStatus::InProgress);
    for (length, kept) in [(1000, true), (40_000, false)] {
        told.raw = serde_json::json!({"files": [{"file": "A".repeat(length)}]});
        job.polled(&Ok(told.clone()), at(10));
        assert_eq!(*job.raw() == told.raw, kept, "{length}");
    }
    assert_eq!(*job.raw(), Value::Null);
}

#[derive(Debug, Clone)]
enum Input {
    Submit,
    Answered(Result<&'static str, ErrorKind>),
    Lost,
    Sought(Option<JobStatus>),
    Checked(Result<Option<JobStatus>, ErrorKind>),
    Polled(Result<JobStatus, ErrorKind>),
    Told(JobStatus, bool),
    Cancel,
    Recalled(CancelOutcome),
    NotPrepared(ErrorKind),
    Stop,
    TakeUp,
    Expire,
}

fn word() -> impl Strategy<Value = JobStatus> {
    let words = [
        "queued",
        "in_progress",
        "SUCCESS",
        "FAILED",
        "cancelled",
        "outcome_unknown",
        "Odd.Word",
    ];
    prop::sample::select(words.map(JobStatus::parse).to_vec())
}

fn kind() -> impl Strategy<Value = ErrorKind> {
    use ErrorKind::*;
    prop::sample::select(vec![
        NotConnected,
        Overloaded,
        ServerBusy,
        Rejected,
        Timeout,
        Io,
        OutcomeUnknown,
        Unsupported,
    ])
}

fn input() -> impl Strategy<Value = Input> {
    let outcome = prop::sample::select(vec![
        CancelOutcome::Cancelled,
        CancelOutcome::Requested,
        CancelOutcome::TooLate,
        CancelOutcome::Unsupported,
    ]);
    prop_oneof![
        6 => Just(Input::Submit),
        2 => Just(Input::Answered(Ok("1"))),
        1 => Just(Input::Answered(Ok(""))),
        4 => kind().prop_map(|kind| Input::Answered(Err(kind))),
        1 => Just(Input::Lost),
        2 => prop::option::of(word()).prop_map(Input::Sought),
        1 => prop::option::of(word()).prop_map(|found| Input::Checked(Ok(found))),
        1 => kind().prop_map(|kind| Input::Checked(Err(kind))),
        2 => word().prop_map(|word| Input::Polled(Ok(word))),
        1 => kind().prop_map(|kind| Input::Polled(Err(kind))),
        2 => (word(), any::<bool>()).prop_map(|(word, mine)| Input::Told(word, mine)),
        1 => Just(Input::Cancel),
        1 => outcome.prop_map(Input::Recalled),
        1 => kind().prop_map(Input::NotPrepared),
        1 => Just(Input::Stop),
        1 => Just(Input::TakeUp),
        1 => Just(Input::Expire),
    ]
}

proptest! {
    #[test]
    fn no_order_of_answers_submits_what_may_have_been_taken(
        chosen in any::<bool>(),
        deadline in prop::option::of(1_u64..2000),
        inputs in prop::collection::vec((0_u64..400, input()), 0..60),
    ) {
        let deadline = deadline.map(|seconds| at(seconds).wall);
        let mut job = job(chosen).with_deadline(deadline, at(0));
        let mut clock = 0;
        // The last submission may have been taken.
        let mut maybe = false;
        let mut ended: Option<JobStatus> = None;
        for (wait, input) in inputs {
            clock += wait;
            let now = at(clock);
            let cancelled = status(&job) == "cancelled";
            match input {
                Input::Submit => {
                    let waited = matches!(job.step(), Step::Submit(_));
                    let submits = job.submit(now);
                    prop_assert!(!submits || (waited && !maybe && !cancelled));
                    prop_assert!(!submits || deadline.is_none_or(|deadline| now.wall < deadline));
                    maybe |= submits;
                }
                Input::Answered(answer) => {
                    let awaited = job.stage == Stage::Submitting;
                    let answer = answer.map(Submitted::new).map_err(error);
                    // What is known by then counts more than the answer.
                    let evidence = job.sid().is_some();
                    job.answered(&answer, now);
                    if awaited && !evidence {
                        maybe = !matches!(&answer, Err(error) if error.effect() == Effect::NoEffect);
                    }
                }
                Input::Lost => job.lost(now),
                Input::Sought(found) => {
                    let found = found.map(|word| report("1", Some("job-1"), word));
                    job.sought(&Ok(found), now);
                }
                Input::Checked(found) => {
                    let found = found.map(|found| found.map(|word| report("1", None, word)));
                    job.checked(&found.map_err(error), now);
                }
                Input::Polled(told) => {
                    let told = told.map(|word| report("1", None, word)).map_err(error);
                    if matches!(job.step(), Step::Poll(_)) {
                        job.polled(&told, now);
                    }
                }
                Input::Told(word, mine) => {
                    let label = if mine { "job-1" } else { "job-2" };
                    let sid = if mine { "1" } else { "2" };
                    let known = job.told(&report(sid, Some(label), word), now);
                    prop_assert_eq!(known, mine);
                    maybe |= mine;
                }
                Input::Cancel => drop(job.cancel(now)),
                Input::Recalled(outcome) => job.recalled(&Ok(outcome), now),
                Input::NotPrepared(kind) => job.not_prepared(&error(kind), now),
                Input::Stop => job.stopped(now),
                Input::TakeUp => job.taken_up(now),
                Input::Expire => drop(job.expire(now)),
            }
            maybe |= job.sid().is_some();
            if let Some(ended) = &ended {
                prop_assert_eq!(&job.record().status, ended);
            }
            if job.record().status.is_final() {
                ended = Some(job.record().status.clone());
                prop_assert!(job.finished().is_some());
                prop_assert_eq!(job.step(), Step::Done);
            }
            prop_assert!(job.step() != Step::Done || job.finished().is_some());
        }
    }
}
