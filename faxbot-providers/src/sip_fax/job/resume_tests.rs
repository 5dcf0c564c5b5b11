//! Resuming: which pages a call sends after the ones that were confirmed.

use faxbot_core::{
    document::FaxTiff,
    plugin::SendOptions,
    sip::{AdapterKind, CallRecord, CallState, CallStatus, Direction},
};

use super::{
    super::plan::Means,
    tests::{at, broken, error, failed, job_of, one_page, running, status},
    *,
};

const PAGES: u32 = 5;

const DRAWS: Means = Means {
    converts: true,
    draws_headers: true,
    begins_later: false,
};
const PLAIN: Means = Means {
    converts: true,
    draws_headers: false,
    begins_later: false,
};
const NONE: Means = Means {
    converts: false,
    draws_headers: false,
    begins_later: false,
};
/// The server begins where it is told.
const LATER: Means = Means {
    converts: false,
    draws_headers: false,
    begins_later: true,
};

/// A job with its five pages converted.
fn job_with(options: &SendOptions, means: Means) -> FaxJob {
    let mut job = job_of(options, means);
    job.preparing(at(0));
    job.prepared(PAGES, Resolution::Fine, at(0));
    job
}

fn job() -> FaxJob {
    job_with(&SendOptions::new(), DRAWS)
}

/// The call that is due, its first page, and when it was placed.
fn dial(job: &mut FaxJob, seconds: u64) -> (CallId, u64) {
    let mut seconds = seconds;
    while let Step::Wait(until) | Step::Prepare(until) = job.step(at(seconds)) {
        seconds += until.duration_since(at(seconds).instant).as_secs();
        if let Step::Prepare(_) = job.step(at(seconds)) {
            let resolution = job.plan().rendering().resolution;
            job.prepared(PAGES, resolution, at(seconds));
        }
    }
    (running(job, at(seconds)), seconds)
}

fn confirmed(pages: u32) -> FaxOutcome {
    broken(FailureClass::CommError, FailurePhase::Transmission, pages)
}

/// First pages of the calls so far.
fn first_pages(job: &FaxJob) -> Vec<u32> {
    let attempts = &job.record().attempts;
    attempts.iter().map(|attempt| attempt.first_page).collect()
}

/// Confirmed pages and pages of the whole document.
fn told(job: &FaxJob) -> (Option<u32>, Option<u32>) {
    let outcome = job.outcome().unwrap();
    (outcome.pages_confirmed, outcome.pages_total)
}

#[test]
fn each_call_sends_the_pages_that_were_not_confirmed_so_far() {
    let success = || FaxOutcome::succeeded(None, None);
    let busy = || broken(FailureClass::Busy, FailurePhase::BeforeAnswer, 0);
    let unknown = |pages| FaxOutcome::unknown(pages, None);
    let untold = || {
        let failure = FaxFailure::new(FailureClass::CommError, FailurePhase::Transmission);
        FaxOutcome::failed(failure, None, None)
    };
    let five = Some(PAGES);
    // Outcomes of the calls, word, first pages, confirmed.
    let rows = [
        (vec![confirmed(1), success()], "SUCCESS", vec![1, 2], None),
        (vec![confirmed(4), success()], "SUCCESS", vec![1, 5], None),
        (vec![confirmed(0), success()], "SUCCESS", vec![1, 1], None),
        (
            vec![confirmed(1), confirmed(2), confirmed(2)],
            "SUCCESS",
            vec![1, 2, 4],
            five,
        ),
        (
            vec![confirmed(1), busy(), busy(), confirmed(1), success()],
            "SUCCESS",
            vec![1, 2, 2, 2, 3],
            None,
        ),
        // All pages, and a failure behind them.
        (vec![confirmed(5)], "SUCCESS", vec![1], five),
        (
            vec![confirmed(3), confirmed(2)],
            "SUCCESS",
            vec![1, 4],
            five,
        ),
        // Not known: never again.
        (vec![untold()], "FAILED", vec![1], None),
        (vec![confirmed(1), untold()], "FAILED", vec![1, 2], None),
        (
            vec![confirmed(1), unknown(None)],
            "outcome_unknown",
            vec![1, 2],
            Some(1),
        ),
        (
            vec![confirmed(1), unknown(Some(2))],
            "outcome_unknown",
            vec![1, 2],
            Some(3),
        ),
        // A success that counts fewer pages than it sent is not believed.
        (
            vec![confirmed(1), FaxOutcome::succeeded(Some(2), Some(4))],
            "FAILED",
            vec![1, 2],
            Some(3),
        ),
        // The budget of tries ends it.
        (vec![confirmed(1); 3], "FAILED", vec![1, 2, 3], Some(3)),
    ];
    for (outcomes, word, first, pages) in rows {
        let mut job = job();
        let mut seconds = 1;
        for outcome in outcomes.clone() {
            let (call, placed) = dial(&mut job, seconds);
            seconds = placed + 60;
            job.ended(call, outcome, at(seconds));
        }
        assert_eq!(status(&job), word, "{outcomes:?}");
        assert_eq!(first_pages(&job), first, "{outcomes:?}");
        assert_eq!(told(&job), (pages, five), "{outcomes:?}");
        assert_eq!(job.step(at(999_999)), Step::Done);
    }
}

#[test]
fn the_attempts_count_their_own_pages_and_the_job_those_of_the_document() {
    let mut job = job();
    let (call, seconds) = dial(&mut job, 1);
    job.ended(call, confirmed(2), at(seconds));
    assert_eq!(status(&job), "queued");
    assert_eq!(told(&job), (Some(2), Some(5)));
    let (call, seconds) = dial(&mut job, seconds);
    job.ended(call, confirmed(1), at(seconds));
    assert_eq!(told(&job), (Some(3), Some(5)));
    let own = job.record().attempts.iter().map(|attempt| {
        let outcome = attempt.outcome.as_ref().unwrap();
        (
            attempt.first_page,
            outcome.pages_confirmed,
            outcome.pages_total,
        )
    });
    let own: Vec<_> = own.collect();
    assert_eq!(own, [(1, Some(2), Some(5)), (3, Some(1), Some(3))]);
    assert_eq!(job.record().pages_total, Some(5));
    job.cancel(at(seconds));
    assert_eq!(status(&job), "cancelled");
    assert_eq!(told(&job), (Some(3), Some(5)));
}

#[test]
fn a_rest_has_a_line_of_ours_where_one_is_asked_for() {
    let header = || SendOptions::new().with_header("Clinic".parse().unwrap());
    let both = header().with_station_id("+1 555".parse().unwrap());
    let rows = [
        (SendOptions::new(), None),
        (header(), Some("Clinic")),
        (both, Some("Clinic  +1 555")),
    ];
    for (options, from) in rows {
        let mut job = job_with(&options, DRAWS);
        let whole = job.rest(at(1).wall).unwrap();
        assert!(whole.is_whole() && whole.pages == (0..5) && whole.header.is_none());
        let (call, seconds) = dial(&mut job, 1);
        assert!(job.rest(at(seconds).wall).is_none());
        job.ended(call, confirmed(2), at(seconds));
        let rest = job.rest(at(seconds).wall).unwrap();
        assert_eq!(rest.pages, 2..5);
        assert_eq!(rest.header.as_ref().map(|line| line.from.as_str()), from);
        if let Some(line) = rest.header {
            assert_eq!(
                (line.to.as_str(), line.at),
                ("+15550100123", at(seconds).wall)
            );
            assert_eq!((line.first_page, line.total), (3, 5));
        }
    }
}

#[test]
fn a_confirmed_page_ends_the_job_where_the_rest_would_lack_its_line_or_the_policy_says_so() {
    let header = || SendOptions::new().with_header("Clinic".parse().unwrap());
    let never = || SendOptions::new().with_retry(FaxRetryPolicy::new().with_resume(false));
    let rows = [
        (SendOptions::new(), DRAWS, true),
        (SendOptions::new(), PLAIN, true),
        (SendOptions::new(), NONE, true),
        (header(), DRAWS, true),
        (header(), PLAIN, false),
        (header(), NONE, false),
        (header(), LATER, true),
        (never(), DRAWS, false),
    ];
    for (options, means, resumes) in rows {
        let mut job = job_with(&options, means);
        let (call, seconds) = dial(&mut job, 1);
        job.ended(call, confirmed(2), at(seconds));
        let word = if resumes { "queued" } else { "FAILED" };
        assert_eq!(status(&job), word, "{options:?} {means:?}");
        assert_eq!(told(&job), (Some(2), Some(5)));
        if !resumes {
            let error = job.error().unwrap();
            assert_eq!(error, "communication error after 2 of 5 pages");
        }
        // Nothing confirmed: the server draws the line again.
        let mut job = job_with(&options, means);
        let (call, seconds) = dial(&mut job, 1);
        job.ended(call, confirmed(0), at(seconds));
        assert_eq!(status(&job), "queued");
    }
}

#[test]
fn pages_of_another_rendering_are_sent_only_when_there_are_as_many() {
    let rows = [
        // Confirmed before, pages then, word, pages told of.
        (2, 5, "queued", Some(5)),
        (2, 4, "FAILED", Some(5)),
        (2, 2, "FAILED", Some(5)),
        (2, 6, "FAILED", Some(5)),
        (0, 4, "queued", Some(4)),
        (0, 6, "queued", Some(6)),
    ];
    for (before, pages, word, total) in rows {
        let document = FaxFailure::new(FailureClass::Document, FailurePhase::Negotiation)
            .with_native(
                None,
                Some("Far end cannot receive at the resolution of the image".to_owned()),
            );
        let mut job = job();
        let (call, seconds) = dial(&mut job, 1);
        job.ended(call, confirmed(before), at(seconds));
        let (call, seconds) = dial(&mut job, seconds);
        job.ended(
            call,
            FaxOutcome::failed(document, Some(0), None),
            at(seconds),
        );
        assert_eq!(job.step(at(seconds)), Step::Prepare(at(seconds).instant));
        let rendering = job.plan().rendering();
        assert_eq!(rendering.resolution, Resolution::Standard);
        assert_eq!(rendering.fax_tiff, FaxTiff::Scale);
        job.preparing(at(seconds));
        job.prepared(pages, Resolution::Standard, at(seconds));
        assert_eq!(status(&job), word, "{before} of 5, then {pages}");
        assert_eq!(job.record().pages_total, total);
        if word == "FAILED" {
            assert_eq!(told(&job), (Some(before), Some(5)));
            assert!(job.error().unwrap().contains("another number of pages"));
        }
    }
}

#[test]
fn what_is_at_standard_resolution_is_not_rendered_again() {
    let mut job = job_of(&SendOptions::new(), DRAWS);
    job.prepared(PAGES, Resolution::Standard, at(0));
    for _ in 0..2 {
        let (call, seconds) = dial(&mut job, 1);
        job.ended(call, confirmed(0), at(seconds));
        assert!(matches!(job.step(at(seconds)), Step::Wait(_)));
    }
    let failure = FaxFailure::new(FailureClass::Document, FailurePhase::Negotiation).with_native(
        None,
        Some("Far end cannot receive at the resolution of the image".to_owned()),
    );
    let mut job = job_of(&SendOptions::new(), DRAWS);
    job.prepared(PAGES, Resolution::Standard, at(0));
    let (call, seconds) = dial(&mut job, 1);
    job.ended(
        call,
        FaxOutcome::failed(failure, Some(0), None),
        at(seconds),
    );
    assert_eq!(status(&job), "FAILED");
}

#[test]
fn a_cut_that_fails_is_tried_again_until_patience_ends_and_nothing_is_dialled() {
    for (kind, tries) in [
        (ErrorKind::Overloaded, 10..40),
        (ErrorKind::Io, 10..40),
        (ErrorKind::Unsupported, 1..2),
        (ErrorKind::Document, 1..2),
    ] {
        let mut job = job();
        let (call, mut seconds) = dial(&mut job, 1);
        job.ended(call, confirmed(2), at(seconds));
        let mut cuts = 0;
        while job.step(at(seconds)) != Step::Done {
            if let Step::Wait(until) = job.step(at(seconds)) {
                seconds += until.duration_since(at(seconds).instant).as_secs().max(1);
            } else {
                assert_eq!(job.step(at(seconds)), Step::Dial);
                assert_eq!(job.rest(at(seconds).wall).unwrap().pages, 2..5);
                job.not_cut(&error(kind), at(seconds));
                cuts += 1;
            }
        }
        assert!(tries.contains(&cuts), "{kind:?}: {cuts}");
        assert_eq!(status(&job), "FAILED", "{kind:?}");
        assert_eq!(told(&job), (Some(2), Some(5)), "{kind:?}");
        assert_eq!(job.record().attempts.len(), 1);
    }
    // One that is tried again goes on from the same page.
    let mut job = job();
    let (call, seconds) = dial(&mut job, 1);
    job.ended(call, confirmed(2), at(seconds));
    job.not_cut(&error(ErrorKind::Overloaded), at(seconds + 100));
    let (call, seconds) = dial(&mut job, seconds + 100);
    job.ended(call, FaxOutcome::succeeded(Some(3), None), at(seconds));
    assert_eq!((status(&job), first_pages(&job)), ("SUCCESS", vec![1, 3]));
}

#[test]
fn pages_that_were_seen_are_not_taken_back_by_a_record_without_them() {
    // The server has lost the fax's own word, and says that nobody answered.
    let mut record = CallRecord::new(None, AdapterKind::ASTERISK, Direction::Outbound, at(1).wall);
    record.disposition = faxbot_core::sip::Disposition::NoAnswer;
    let lost = |pages| {
        let mut job = job();
        let (call, _) = dial(&mut job, 1);
        job.seen(pages);
        job.lost(call, at(60));
        job.looked_up(call, &Ok(Lookup::Ended(Box::new(record.clone()))), at(61));
        job
    };
    let job = lost(None);
    assert_eq!((status(&job), told(&job)), ("queued", (Some(0), Some(5))));
    let job = lost(Some(2));
    assert_eq!(
        (status(&job), told(&job)),
        ("outcome_unknown", (Some(2), Some(5)))
    );
}

fn adopted(job: &mut FaxJob, outcome: FaxOutcome) {
    let mut record = CallRecord::new(None, AdapterKind::ASTERISK, Direction::Outbound, at(0).wall);
    record.fax = Some(outcome);
    let call = job.earlier_call().unwrap();
    job.checked(call, &Ok(Lookup::Ended(Box::new(record))), at(1));
}

fn chosen() -> FaxJob {
    job_of(&SendOptions::new(), DRAWS).with_chosen_id(true, at(0))
}

fn no_more(job: &mut FaxJob) {
    let call = job.earlier_call().unwrap();
    job.checked(call, &Ok(Lookup::NeverExisted), at(2));
}

#[test]
fn a_later_process_goes_on_behind_what_an_earlier_one_delivered() {
    // What the earlier calls came to, pages of the document now, word, next page.
    let with_total = |outcome: FaxOutcome, total| outcome.with_pages_total(total);
    let rows = [
        (vec![one_page()], 5, "queued", 2),
        (vec![one_page(), one_page()], 5, "queued", 3),
        (vec![with_total(one_page(), 5)], 5, "queued", 2),
        (
            vec![with_total(one_page(), 5), with_total(one_page(), 4)],
            5,
            "queued",
            3,
        ),
        // They were all that there are.
        (vec![confirmed(5)], 5, "SUCCESS", 6),
        (vec![confirmed(3), confirmed(2)], 5, "SUCCESS", 6),
        // Another document.
        (vec![with_total(one_page(), 4)], 5, "FAILED", 2),
        (vec![confirmed(5)], 4, "FAILED", 6),
        (
            vec![with_total(one_page(), 5), with_total(one_page(), 3)],
            5,
            "FAILED",
            3,
        ),
    ];
    for (outcomes, pages, word, next) in rows {
        let mut job = chosen();
        for outcome in outcomes.clone() {
            adopted(&mut job, outcome);
        }
        no_more(&mut job);
        let mut seconds = 2;
        while let Step::Wait(until) | Step::Prepare(until) = job.step(at(seconds)) {
            seconds += until.duration_since(at(seconds).instant).as_secs();
            if let Step::Prepare(_) = job.step(at(seconds)) {
                job.preparing(at(seconds));
                job.prepared(pages, Resolution::Fine, at(seconds));
            }
        }
        assert_eq!(status(&job), word, "{outcomes:?}");
        assert_eq!(job.record().next_page(), next, "{outcomes:?}");
        let call = job.dial(at(seconds));
        assert_eq!(call.is_some(), word == "queued", "{outcomes:?}");
        if call.is_some() {
            assert_eq!(first_pages(&job).last(), Some(&next));
        }
    }
}

#[test]
fn an_adopted_call_that_lives_begins_behind_the_sum_so_far() {
    let mut job = chosen();
    adopted(&mut job, confirmed(2));
    let call = job.earlier_call().unwrap();
    let live = CallStatus::new(None, CallState::Connected, Direction::Outbound, at(1).wall);
    job.checked(call, &Ok(Lookup::Live(live)), at(1));
    assert_eq!(first_pages(&job), [1, 3]);
    assert_eq!(job.question().unwrap().0, call);
    let mut record = CallRecord::new(None, AdapterKind::ASTERISK, Direction::Outbound, at(1).wall);
    record.fax = Some(confirmed(3));
    job.looked_up(call, &Ok(Lookup::Ended(Box::new(record))), at(60));
    // Whether that was all is not known before the document was converted.
    assert_eq!(job.step(at(60)), Step::Prepare(at(60).instant));
    job.prepared(PAGES, Resolution::Fine, at(61));
    assert_eq!(status(&job), "SUCCESS");
    assert_eq!(told(&job), (Some(5), Some(5)));
}

#[test]
fn the_steps_of_an_earlier_process_hold_for_the_calls_that_follow() {
    let no_resolution = FaxFailure::new(FailureClass::Document, FailurePhase::Negotiation)
        .with_native(
            None,
            Some("Far end cannot receive at the resolution of the image".to_owned()),
        );
    let no_resolution = FaxOutcome::failed(no_resolution, Some(0), None);
    let mut job = chosen();
    adopted(&mut job, no_resolution);
    adopted(&mut job, confirmed(1));
    no_more(&mut job);
    // The page is one of the document at standard resolution.
    assert_eq!(job.step(at(2)), Step::Prepare(at(2).instant));
    let rendering = job.plan().rendering();
    assert_eq!(rendering.resolution, Resolution::Standard);
    job.prepared(PAGES, Resolution::Standard, at(3));
    let plan = format!("{:?}", job.plan());
    assert!(plan.contains("max_rate: Some(9600)"), "{plan}");

    let mut job = chosen();
    for step in ["max_rate: None", "max_rate: Some(9600), "] {
        adopted(&mut job, confirmed(0));
        let plan = format!("{:?}", job.plan());
        assert!(plan.contains(step), "{plan}");
    }
    no_more(&mut job);
    let plan = format!("{:?}", job.plan());
    assert!(plan.contains("ecm: false"), "{plan}");
}

#[test]
fn an_earlier_call_of_which_nobody_can_say_ends_the_job() {
    let failure = FaxFailure::new(FailureClass::CommError, FailurePhase::Transmission);
    let untold = FaxOutcome::failed(failure, None, None);
    let busy = failed(FailureClass::Busy, FailurePhase::BeforeAnswer, 0);
    let mut job = chosen();
    adopted(&mut job, untold);
    // A call behind it changes nothing.
    adopted(&mut job, busy);
    no_more(&mut job);
    assert_eq!(status(&job), "FAILED");
    let mut job = chosen();
    adopted(&mut job, FaxOutcome::unknown(Some(1), None));
    assert_eq!(status(&job), "outcome_unknown");
}

#[test]
fn a_stop_a_deadline_and_a_cancellation_between_two_calls_keep_what_was_confirmed() {
    let between = |options: &SendOptions| {
        let mut job = job_with(options, DRAWS);
        let (call, seconds) = dial(&mut job, 1);
        job.ended(call, confirmed(2), at(seconds));
        job
    };
    let mut job = between(&SendOptions::new());
    job.stopped(at(10));
    job.taken_up(at(5000));
    let (call, seconds) = dial(&mut job, 5000);
    assert_eq!(first_pages(&job), [1, 3]);
    job.ended(call, FaxOutcome::succeeded(Some(3), Some(3)), at(seconds));
    assert_eq!((status(&job), told(&job)), ("SUCCESS", (Some(5), Some(5))));

    let deadline = SendOptions::new().with_deadline(at(100).wall);
    let mut job = between(&deadline);
    assert!(job.expire(at(200)));
    assert_eq!((status(&job), told(&job)), ("FAILED", (Some(2), Some(5))));

    let mut job = between(&SendOptions::new());
    assert_eq!(job.cancel(at(30)), Cancelled::Now);
    job.not_cut(&error(ErrorKind::Io), at(31));
    assert_eq!(job.dial(at(100)), None);
    assert_eq!(status(&job), "cancelled");
    assert_eq!(told(&job), (Some(2), Some(5)));
}
