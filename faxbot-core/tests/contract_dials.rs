//! The numbers of the contract, section 3 "Dials", one by one.
#![cfg(test)]

use std::time::Duration;

use faxbot_core::{
    fax::{
        Alternative, AttemptHistory, FailureClass, FailurePhase, FaxFailure, FaxOutcome,
        FaxRetryPolicy, RetryDecision, decide,
    },
    retry::{Backoff, RetryPolicy},
};

const MINUTE: u64 = 60;

/// The waits in seconds of a job whose calls all end so, until it is given up.
fn waits(policy: &FaxRetryPolicy, class: FailureClass, phase: FailurePhase) -> Vec<u64> {
    let outcome = FaxOutcome::failed(FaxFailure::new(class, phase), Some(0), Some(3));
    let mut history = AttemptHistory::new();
    let mut waits = Vec::new();
    loop {
        history.record(&outcome);
        match decide(&outcome, &history, policy, u64::MAX) {
            RetryDecision::After(wait) => waits.push(wait.as_secs()),
            RetryDecision::Never => return waits,
            other => panic!("{other:?}"),
        }
    }
}

fn exact() -> FaxRetryPolicy {
    FaxRetryPolicy::default().with_jitter(0.0)
}

#[test]
fn busy_after_3_minutes_and_12_dials_a_job() {
    let waits = waits(&exact(), FailureClass::Busy, FailurePhase::BeforeAnswer);
    assert_eq!(waits, [3 * MINUTE; 11]);
    assert_eq!(FaxRetryPolicy::default().busy.as_secs(), 3 * MINUTE);
    assert_eq!(FaxRetryPolicy::default().max_dials, 12);
}

#[test]
fn no_answer_after_5_then_15_minutes() {
    let waits = waits(&exact(), FailureClass::NoAnswer, FailurePhase::BeforeAnswer);
    assert_eq!(waits, [5 * MINUTE, 15 * MINUTE]);
}

#[test]
fn congestion_1_to_15_minutes_doubling() {
    let waits = waits(
        &exact(),
        FailureClass::Congestion,
        FailurePhase::BeforeAnswer,
    );
    assert_eq!(waits[..6], [1, 2, 4, 8, 15, 15].map(|m| m * MINUTE));
    assert_eq!(waits.len(), 11);
}

#[test]
fn communication_error_after_1_minute_and_3_tries_a_job() {
    let waits = waits(&exact(), FailureClass::CommError, FailurePhase::Negotiation);
    assert_eq!(waits, [MINUTE; 2]);
    assert_eq!(FaxRetryPolicy::default().max_tries, 3);
}

#[test]
fn communication_error_behind_a_confirmed_page_is_resumed_after_1_minute() {
    let failure = FaxFailure::new(FailureClass::CommError, FailurePhase::Transmission);
    let outcome = FaxOutcome::failed(failure, Some(1), Some(3));
    let mut history = AttemptHistory::new();
    history.record(&outcome);
    let never = exact().with_resume(false);
    let minute = RetryDecision::After(Duration::from_secs(MINUTE));
    assert_eq!(decide(&outcome, &history, &exact(), 0), minute);
    assert_eq!(decide(&outcome, &history, &never, 0), RetryDecision::Never);
    assert!(FaxRetryPolicy::default().resume);
}

#[test]
fn jitter_comes_on_top_of_a_dial_and_may_be_0() {
    let busy =
        |policy: &FaxRetryPolicy| waits(policy, FailureClass::Busy, FailurePhase::BeforeAnswer)[0];
    assert_eq!(busy(&exact()), 3 * MINUTE);
    let policy = FaxRetryPolicy::default();
    assert!(policy.jitter > 0.0);
    assert!((3 * MINUTE..=6 * MINUTE).contains(&busy(&policy)));
    assert!(policy.alternatives.contains(&Alternative::G711));
}

#[test]
fn back_off_of_connections_2_ms_doubling_to_5_s() {
    for backoff in [
        Backoff::connection(),
        Backoff::default(),
        RetryPolicy::connection().backoff,
        RetryPolicy::default().backoff,
    ] {
        let still = backoff.with_jitter(0.0);
        let wait = |attempt| still.delay(attempt, 1.0).unwrap();
        assert_eq!(wait(0), Duration::from_millis(2));
        assert_eq!(wait(1), Duration::from_millis(4));
        assert_eq!(wait(2), Duration::from_millis(8));
        assert_eq!(wait(100), Duration::from_secs(5));
        assert!(backoff.delay(0, 1.0).unwrap() > wait(0), "jitter on top");
        assert_eq!(backoff.delay(0, 0.0).unwrap(), wait(0));
    }
}

#[test]
fn back_off_of_http_1_s_to_300_s() {
    for backoff in [Backoff::http(), RetryPolicy::http().backoff] {
        let still = backoff.with_jitter(0.0);
        assert_eq!(still.delay(0, 1.0), Some(Duration::from_secs(1)));
        assert_eq!(still.delay(1, 1.0), Some(Duration::from_secs(2)));
        assert_eq!(still.delay(100, 1.0), Some(Duration::from_secs(300)));
        assert!(backoff.delay(0, 1.0) > still.delay(0, 1.0));
    }
}
