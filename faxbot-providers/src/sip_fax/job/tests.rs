//! The job's state machine, without any waiting.

use std::sync::LazyLock;

use faxbot_core::{
    plugin::SendOptions,
    sip::{AdapterKind, CallRecord, CallState, CallStatus, Direction, Disposition},
};
use proptest::prelude::*;

use super::{
    super::{config::SipFaxConfig, plan::Means},
    *,
};

static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

pub(super) fn at(seconds: u64) -> Now {
    Now {
        instant: *EPOCH + Duration::from_secs(seconds),
        wall: Timestamp::UNIX_EPOCH + Duration::from_secs(seconds),
        random: 0,
    }
}

fn job_with(options: &SendOptions, converter: bool) -> FaxJob {
    let means = Means {
        converts: converter,
        draws_headers: false,
        begins_later: false,
    };
    job_of(options, means)
}

pub(super) fn job_of(options: &SendOptions, means: Means) -> FaxJob {
    let config = SipFaxConfig::from_value(&serde_json::Value::Null).unwrap();
    let plan = Plan::new(options, &config).unwrap();
    let policy = plan
        .policy(options.retry.as_ref().unwrap_or(&config.retry), means)
        .unwrap();
    let patience = Patience {
        server: Duration::from_secs(900),
        lookup: Duration::from_secs(900),
    };
    let id = ("job-1".parse().unwrap(), "+15550100123".parse().unwrap());
    FaxJob::new(id, plan, policy, patience, means.converts, at(0))
        .with_deadline(options.deadline, at(0))
}

fn job() -> FaxJob {
    let mut job = job_with(&SendOptions::new(), true);
    job.preparing(at(0));
    job.prepared(3, Resolution::Fine, at(0));
    job
}

pub(super) fn failed(class: FailureClass, phase: FailurePhase, pages: u32) -> FaxOutcome {
    FaxOutcome::failed(FaxFailure::new(class, phase), Some(pages), Some(3))
}

pub(super) fn error(kind: ErrorKind) -> Error {
    Error::new(kind, "test", "test")
}

pub(super) fn running(job: &mut FaxJob, now: Now) -> CallId {
    let call = job.dial(now).unwrap();
    job.accepted(call, now);
    call
}

pub(super) fn status(job: &FaxJob) -> &str {
    job.record().status.as_str()
}

#[test]
fn a_job_goes_through_its_words_in_order() {
    let mut job = job_with(&SendOptions::new(), true);
    let mut words = vec![status(&job).to_owned()];
    job.preparing(at(0));
    words.push(status(&job).to_owned());
    job.prepared(3, Resolution::Fine, at(1));
    words.push(status(&job).to_owned());
    let call = job.dial(at(1)).unwrap();
    words.push(status(&job).to_owned());
    job.accepted(call, at(2));
    words.push(status(&job).to_owned());
    job.ended(call, FaxOutcome::succeeded(Some(3), Some(3)), at(60));
    words.push(status(&job).to_owned());
    assert_eq!(
        words,
        [
            "queued",
            "preparing",
            "queued",
            "dispatching",
            "in_progress",
            "SUCCESS"
        ]
    );
    assert_eq!(job.step(at(60)), Step::Done);
    assert_eq!(call, CallId::for_attempt(&job.record().id, 1));
}

#[test]
fn an_error_of_the_request_decides_by_its_effect_and_kind() {
    use ErrorKind::*;
    let rows = [
        // kind, status, dials counted, step
        (NotConnected, "queued", 0, false),
        (ServerBusy, "queued", 0, false),
        (Overloaded, "queued", 0, false),
        (Rejected, "FAILED", 1, false),
        (Document, "FAILED", 1, false),
        (Config, "FAILED", 1, false),
        (PermissionDenied, "FAILED", 1, false),
        (InvalidRequest, "FAILED", 1, false),
        (Unsupported, "FAILED", 1, false),
        (InvalidState, "dispatching", 0, true),
        (OutcomeUnknown, "dispatching", 0, true),
        (Timeout, "dispatching", 0, true),
        (Closed, "dispatching", 0, true),
        (Io, "dispatching", 0, true),
        (Protocol, "dispatching", 0, true),
        (Internal, "dispatching", 0, true),
    ];
    for (kind, word, dials, asks) in rows {
        let mut job = job();
        let call = job.dial(at(1)).unwrap();
        job.refused(call, &error(kind), at(2));
        assert_eq!(status(&job), word, "{kind:?}");
        assert_eq!(job.record().history.dials, dials, "{kind:?}");
        assert_eq!(job.question().is_some(), asks, "{kind:?}");
        assert_eq!(job.dial(at(2)), None, "{kind:?}");
    }
}

#[test]
fn a_timeout_that_had_no_effect_is_dialled_again() {
    let mut job = job();
    let call = job.dial(at(1)).unwrap();
    let timeout = error(ErrorKind::Timeout).with_effect(Effect::NoEffect);
    job.refused(call, &timeout, at(2));
    assert_eq!(job.step(at(2)), Step::Wait(at(3).instant));
    // The number of the attempt is used again, so that there is no gap.
    assert_eq!(job.dial(at(3)), Some(call));
}

#[test]
fn what_the_server_knows_of_a_lost_call_decides() {
    let start = Timestamp::UNIX_EPOCH;
    let status_of = CallStatus::new(None, CallState::Connected, Direction::Outbound, start);
    let ended = |disposition, fax, answer| {
        let kind = AdapterKind::ASTERISK;
        let mut record = CallRecord::new(None, kind, Direction::Outbound, start);
        record.disposition = disposition;
        record.fax = fax;
        record.answer = answer;
        Lookup::Ended(Box::new(record))
    };
    let success = FaxOutcome::succeeded(Some(3), Some(3));
    let busy = failed(FailureClass::Busy, FailurePhase::BeforeAnswer, 0);
    let broken = failed(FailureClass::CommError, FailurePhase::Transmission, 1);
    let answered = Disposition::Answered;
    let rows = [
        (Lookup::Live(status_of), "in_progress", 0),
        (ended(answered, Some(success), Some(start)), "SUCCESS", 1),
        (ended(answered, Some(broken), Some(start)), "queued", 1),
        (ended(Disposition::Busy, Some(busy), None), "queued", 1),
        (ended(Disposition::Busy, None, None), "queued", 1),
        (ended(Disposition::NoAnswer, None, None), "queued", 1),
        (ended(Disposition::Failed, None, None), "FAILED", 1),
        (ended(Disposition::Cancelled, None, None), "cancelled", 1),
        (ended(answered, None, Some(start)), "outcome_unknown", 1),
        (
            ended(Disposition::Busy, None, Some(start)),
            "outcome_unknown",
            1,
        ),
        (
            ended(Disposition::Unknown, None, None),
            "outcome_unknown",
            1,
        ),
        (Lookup::NeverExisted, "queued", 0),
        (Lookup::Unknown(UnknownReason::TooRecent), "dispatching", 0),
        (
            Lookup::Unknown(UnknownReason::ServerRestarted),
            "outcome_unknown",
            1,
        ),
        (
            Lookup::Unknown(UnknownReason::NotKept),
            "outcome_unknown",
            1,
        ),
        (
            Lookup::Unknown(UnknownReason::RequestTimeUnknown),
            "outcome_unknown",
            1,
        ),
    ];
    for (answer, word, dials) in rows {
        let mut job = job();
        let call = job.dial(at(1)).unwrap();
        job.refused(call, &error(ErrorKind::OutcomeUnknown), at(2));
        let (asked, reference) = job.question().unwrap();
        assert_eq!((asked, reference.requested_at), (call, Some(at(1).wall)));
        let text = format!("{answer:?}");
        job.looked_up(call, &Ok(answer), at(3));
        assert_eq!(status(&job), word, "{text}");
        assert_eq!(job.record().history.dials, dials, "{text}");
    }
}

#[test]
fn a_call_that_rang_or_had_a_page_is_never_one_that_never_was() {
    for rang in [true, false] {
        let mut job = job();
        let call = running(&mut job, at(1));
        if rang {
            job.lives();
        } else {
            job.seen(Some(0));
        }
        job.lost(call, at(2));
        job.looked_up(call, &Ok(Lookup::NeverExisted), at(3));
        assert_eq!(status(&job), "outcome_unknown");
        assert_eq!(job.dial(at(9999)), None);
    }
}

#[test]
fn a_wait_that_no_clock_can_tell_is_no_dial_at_once() {
    let mut policy = FaxRetryPolicy::new();
    policy.busy = Duration::MAX;
    let mut job = job_with(&SendOptions::new().with_retry(policy), true);
    job.prepared(3, Resolution::Fine, at(1));
    let call = running(&mut job, at(1));
    let busy = failed(FailureClass::Busy, FailurePhase::BeforeAnswer, 0);
    job.ended(call, busy, at(2));
    assert!(matches!(job.step(at(1_000_000)), Step::Wait(_)));
}

#[test]
fn a_server_that_cannot_be_asked_is_asked_until_patience_ends() {
    let mut job = job();
    let call = running(&mut job, at(1));
    job.seen(Some(2));
    job.lost(call, at(100));
    let mut seconds = 100;
    let mut questions = 0;
    while let Step::Ask(next) = job.step(at(seconds)) {
        seconds += next.duration_since(at(seconds).instant).as_secs();
        job.looked_up(call, &Err(error(ErrorKind::NotConnected)), at(seconds));
        questions += 1;
    }
    assert_eq!(status(&job), "outcome_unknown");
    assert!((1000..1040).contains(&seconds), "{seconds}");
    assert!((20..60).contains(&questions), "{questions}");
    assert_eq!(job.outcome().unwrap().pages_confirmed, Some(2));
    assert_eq!(job.dial(at(9999)), None);
}

#[test]
fn waiting_for_a_server_ends_with_patience_and_counts_no_dial() {
    let mut job = job();
    let mut seconds = 1;
    let mut requests = 0;
    while job.step(at(seconds)) != Step::Done {
        if let Step::Wait(until) = job.step(at(seconds)) {
            seconds += until.duration_since(at(seconds).instant).as_secs().max(1);
        }
        if let Some(call) = job.dial(at(seconds)) {
            job.refused(call, &error(ErrorKind::ServerBusy), at(seconds));
            requests += 1;
        }
    }
    assert_eq!(status(&job), "FAILED");
    assert_eq!(job.record().history.dials, 0);
    assert!(job.record().attempts.is_empty());
    assert!((10..40).contains(&requests), "{requests}");
    assert_eq!(job.error().unwrap(), "the server took no request in time");
}

#[test]
fn the_deadline_ends_waits_and_not_calls() {
    let options = SendOptions::new().with_deadline(at(100).wall);
    let mut job = job_with(&options, true);
    job.prepared(3, Resolution::Fine, at(1));
    let call = running(&mut job, at(2));
    assert!(!job.expire(at(500)));
    job.ended(call, FaxOutcome::succeeded(Some(3), Some(3)), at(500));
    assert_eq!(status(&job), "SUCCESS");

    let mut job = job_with(&options, true);
    job.prepared(3, Resolution::Fine, at(1));
    let call = running(&mut job, at(2));
    // Busy is dialled again after 3 minutes, which is behind the deadline.
    job.ended(
        call,
        failed(FailureClass::Busy, FailurePhase::BeforeAnswer, 0),
        at(10),
    );
    assert_eq!(
        (status(&job), job.error().as_deref()),
        ("FAILED", Some("busy"))
    );

    let mut job = job_with(&options, true);
    assert!(!job.expire(at(99)));
    assert!(job.expire(at(100)));
    assert_eq!(status(&job), "FAILED");
}

#[test]
fn a_communication_error_steps_down_the_ladder_and_renders_anew() {
    let mut job = job();
    let broken = failed(FailureClass::CommError, FailurePhase::Negotiation, 0);
    let call = running(&mut job, at(1));
    job.ended(call, broken.clone(), at(2));
    let rates = format!("{:?}", job.plan());
    assert!(rates.contains("max_rate: Some(9600)"), "{rates}");
    let call = running(&mut job, at(100));
    job.ended(call, broken, at(101));
    let plan = format!("{:?}", job.plan());
    assert!(plan.contains("ecm: false"), "{plan}");

    let document = FaxFailure::new(FailureClass::Document, FailurePhase::Negotiation).with_native(
        None,
        Some("Far end cannot receive at the resolution of the image".to_owned()),
    );
    let mut job = self::job();
    let call = running(&mut job, at(1));
    job.ended(call, FaxOutcome::failed(document, Some(0), Some(3)), at(2));
    assert_eq!(job.plan().rendering().resolution, Resolution::Standard);
    assert_eq!(job.step(at(2)), Step::Prepare(at(2).instant));
}

#[test]
fn a_transport_that_the_caller_insists_on_is_not_changed() {
    let options = SendOptions::new().with_t38(faxbot_core::fax::T38Mode::Require);
    let mut job = job_with(&options, false);
    job.prepared(3, Resolution::Fine, at(1));
    let call = running(&mut job, at(1));
    job.ended(
        call,
        failed(FailureClass::T38, FailurePhase::Negotiation, 0),
        at(2),
    );
    assert_eq!(status(&job), "FAILED");
}

#[test]
fn after_a_stop_only_evidence_moves_a_job_and_never_to_a_dial() {
    for (answer, word) in [
        (Lookup::NeverExisted, "FAILED"),
        (Lookup::Unknown(UnknownReason::NotKept), "outcome_unknown"),
    ] {
        let mut job = job();
        let call = running(&mut job, at(1));
        job.stopped(at(2));
        assert_eq!(status(&job), "outcome_unknown");
        job.taken_up(at(5000));
        job.looked_up(call, &Ok(answer), at(5001));
        assert_eq!(status(&job), word);
        assert_eq!(job.step(at(5002)), Step::Done);
    }
    let mut job = job();
    let call = running(&mut job, at(1));
    job.stopped(at(2));
    job.taken_up(at(5000));
    job.ended(
        call,
        failed(FailureClass::Busy, FailurePhase::BeforeAnswer, 0),
        at(5001),
    );
    assert_eq!(status(&job), "FAILED");
    assert_eq!(job.dial(at(9999)), None);
}

#[test]
fn cancelling_depends_on_the_stage() {
    let mut waiting = job();
    assert_eq!(waiting.cancel(at(1)), Cancelled::Now);
    assert_eq!(waiting.cancel(at(2)), Cancelled::Before);
    assert_eq!(waiting.dial(at(3)), None);

    let mut dialled = job();
    let call = running(&mut dialled, at(1));
    assert_eq!(dialled.cancel(at(2)), Cancelled::HangUp(call));
    dialled.ended(
        call,
        failed(FailureClass::Busy, FailurePhase::BeforeAnswer, 0),
        at(3),
    );
    assert_eq!(status(&dialled), "cancelled");

    let mut arrived = job();
    let call = running(&mut arrived, at(1));
    assert_eq!(arrived.cancel(at(2)), Cancelled::HangUp(call));
    arrived.ended(
        call,
        failed(FailureClass::Cancelled, FailurePhase::Transmission, 3),
        at(3),
    );
    assert_eq!(status(&arrived), "SUCCESS");
    assert_eq!(arrived.cancel(at(4)), Cancelled::TooLate);

    let mut unsure = job();
    let call = running(&mut unsure, at(1));
    unsure.cancel(at(2));
    unsure.ended(call, FaxOutcome::unknown(Some(1), Some(3)), at(3));
    assert_eq!(status(&unsure), "outcome_unknown");
}

#[derive(Debug, Clone)]
enum Input {
    Dial,
    Accepted,
    Refused(ErrorKind),
    Ended(Box<FaxOutcome>),
    Lost,
    LookedUp(u8),
    Checked(u8),
    Cancel,
    Stop,
    TakeUp,
    Prepared,
    NotPrepared(ErrorKind),
}

fn input() -> impl Strategy<Value = Input> {
    use FailureClass::*;
    let kind = prop::sample::select(vec![
        ErrorKind::NotConnected,
        ErrorKind::ServerBusy,
        ErrorKind::Rejected,
        ErrorKind::InvalidState,
        ErrorKind::OutcomeUnknown,
        ErrorKind::Timeout,
        ErrorKind::Overloaded,
    ]);
    let class = prop::sample::select(vec![Busy, NoAnswer, Congestion, CommError, T38, NotAFax]);
    let phase = prop::sample::select(vec![
        FailurePhase::BeforeAnswer,
        FailurePhase::Negotiation,
        FailurePhase::Transmission,
    ]);
    let outcome = (class, phase, prop::option::of(0_u32..4), 0_u8..8).prop_map(
        |(class, phase, pages, kind)| match kind {
            0 => FaxOutcome::unknown(pages, None),
            _ => FaxOutcome::failed(FaxFailure::new(class, phase), pages, None),
        },
    );
    prop_oneof![
        6 => Just(Input::Dial),
        3 => Just(Input::Accepted),
        2 => kind.clone().prop_map(Input::Refused),
        3 => outcome.prop_map(|outcome| Input::Ended(Box::new(outcome))),
        1 => Just(Input::Lost),
        3 => (0_u8..8).prop_map(Input::LookedUp),
        3 => (0_u8..8).prop_map(Input::Checked),
        1 => Just(Input::Prepared),
        1 => kind.prop_map(Input::NotPrepared),
        1 => prop::sample::select(vec![Input::Cancel, Input::Stop, Input::TakeUp]),
    ]
}

/// A failure of a server that does not tell how many pages there were.
pub(super) fn broken(class: FailureClass, phase: FailurePhase, pages: u32) -> FaxOutcome {
    FaxOutcome::failed(FaxFailure::new(class, phase), Some(pages), None)
}

pub(super) fn one_page() -> FaxOutcome {
    broken(FailureClass::CommError, FailurePhase::Transmission, 1)
}

/// What a server may answer to a question about a call.
fn answer(kind: u8, now: Now) -> Result<Lookup, Error> {
    let ended = |outcome: FaxOutcome| {
        let kind = AdapterKind::ASTERISK;
        let mut record = CallRecord::new(None, kind, Direction::Outbound, now.wall);
        record.fax = Some(outcome);
        Ok(Lookup::Ended(Box::new(record)))
    };
    match kind {
        0 => Ok(Lookup::NeverExisted),
        1 => Ok(Lookup::Unknown(UnknownReason::TooRecent)),
        2 => Ok(Lookup::Unknown(UnknownReason::NotKept)),
        3 => Err(error(ErrorKind::NotConnected)),
        4 => {
            let state = CallState::Connected;
            let status = CallStatus::new(None, state, Direction::Outbound, now.wall);
            Ok(Lookup::Live(status))
        }
        5 => ended(broken(FailureClass::Busy, FailurePhase::BeforeAnswer, 0)),
        6 => ended(one_page()),
        _ => ended(FaxOutcome::succeeded(None, None)),
    }
}

proptest! {
    /// Reports come in any order, for calls of before as well. Whatever the order, a second dial
    /// comes only after proof of what the one before delivered, and begins behind it.
    #[test]
    fn no_order_of_reports_leads_to_a_second_dial_without_proof(
        inputs in prop::collection::vec((input(), 0_u64..600, 1_u32..4), 1..120),
        chosen: bool,
    ) {
        let mut job = if chosen {
            job_with(&SendOptions::new(), true).with_chosen_id(true, at(0))
        } else {
            job()
        };
        // An earlier process may have a call of this id up.
        let mut earlier = chosen;
        let mut lived = false;
        let mut clock = 1;
        // The dial that nothing has been proven of so far.
        let mut open: Option<CallId> = None;
        let mut delivered = 0_u32;
        let mut dials = 0_u32;
        for (input, seconds, number) in inputs {
            clock += seconds;
            let now = at(clock);
            let call = CallId::for_attempt(&job.record().id, number);
            let asked = job.question().map(|(call, _)| call);
            let flying = job.in_flight() == Some(call);
            let was_final = job.record().status.is_final();
            match input {
                Input::Dial => {
                    if let Some(call) = job.dial(now) {
                        prop_assert_eq!(open, None, "dialled beside an open call");
                        prop_assert!(!earlier, "dialled unasked");
                        lived = false;
                        prop_assert!(!was_final && !job.is_cancelled());
                        prop_assert_eq!(job.record().attempts.last().unwrap().first_page, delivered + 1);
                        prop_assert!(delivered < 3, "nothing is left to send");
                        open = Some(call);
                        dials += 1;
                    }
                }
                Input::Accepted => job.accepted(call, now),
                Input::Refused(kind) => {
                    let error = error(kind);
                    let dispatching = flying && job.record().status == JobStatus::Dispatching && asked.is_none();
                    job.refused(call, &error, now);
                    if dispatching && error.effect() == Effect::NoEffect && kind != ErrorKind::InvalidState {
                        open = None;
                    }
                }
                Input::Ended(outcome) => {
                    let known = outcome.pages_confirmed.is_some() || outcome.certainly_nothing_delivered();
                    if flying && known && outcome.status == OutcomeStatus::Failed {
                        open = None;
                        delivered += outcome.pages_confirmed.unwrap_or(0);
                    }
                    job.ended(call, *outcome, now);
                }
                Input::Lost => job.lost(call, now),
                Input::LookedUp(kind) => {
                    job.looked_up(call, &answer(kind, now), now);
                    lived |= asked == Some(call) && kind == 4;
                    if asked == Some(call) && (kind == 0 && !lived || matches!(kind, 5 | 6)) {
                        open = None;
                        delivered += u32::from(kind == 6);
                    }
                }
                Input::Checked(kind) => {
                    let asked = job.earlier_call() == Some(call);
                    job.checked(call, &answer(kind, now), now);
                    if asked && kind == 4 {
                        (open, lived, earlier) = (Some(call), true, false);
                    }
                    if asked && (matches!(kind, 0 | 2) || job.earlier_call().is_none()) {
                        earlier = false;
                    }
                    if asked && matches!(kind, 5 | 6) {
                        delivered += u32::from(kind == 6);
                        // It failed: that process may have dialled again.
                        prop_assert!(job.earlier_call().is_some());
                    }
                }
                Input::Cancel => { job.cancel(now); }
                Input::Stop => job.stopped(now),
                Input::TakeUp => job.taken_up(now),
                Input::Prepared => job.prepared(3, Resolution::Fine, now),
                Input::NotPrepared(kind) => job.not_prepared(&error(kind), now),
            }
            if earlier {
                // Whatever comes to pass unasked, nothing is claimed of that process's calls.
                prop_assert!(!job.record().status.is_final());
            }
            if was_final {
                prop_assert!(job.record().status.is_final());
                prop_assert_eq!(job.step(now), Step::Done);
            }
            prop_assert!(job.record().history.dials <= 12);
        }
        prop_assert!(dials < 120);
    }
}
