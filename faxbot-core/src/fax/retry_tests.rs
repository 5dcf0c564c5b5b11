//! Tests of the retry decision: every row of the table, and the budgets.

use proptest::prelude::*;

use super::*;
use crate::fax::FailurePhase::{self, BeforeAnswer, Negotiation, Transmission};

const MINUTE: Duration = Duration::from_secs(60);

fn policy() -> FaxRetryPolicy {
    FaxRetryPolicy::default().with_jitter(0.0)
}

fn failed(class: FailureClass, phase: FailurePhase) -> FaxOutcome {
    FaxOutcome::failed(FaxFailure::new(class, phase), Some(0), Some(3))
}

/// Lives through `outcomes` as a caller would, and answers the decisions.
fn play(policy: &FaxRetryPolicy, outcomes: &[FaxOutcome]) -> Vec<RetryDecision> {
    let mut history = AttemptHistory::new();
    let mut decisions = Vec::new();
    for outcome in outcomes {
        history.record(outcome);
        let decision = decide(outcome, &history, policy, 0);
        match decision {
            RetryDecision::Now { alt } => history.change(alt),
            RetryDecision::OtherRoute => history.change_route(),
            RetryDecision::After(_) | RetryDecision::Never => {}
        }
        decisions.push(decision);
    }
    decisions
}

fn after(minutes: u32) -> RetryDecision {
    RetryDecision::After(MINUTE * minutes)
}

#[test]
fn every_class_has_its_first_decision() {
    use FailureClass::*;
    let never = RetryDecision::Never;
    let g711 = RetryDecision::Now {
        alt: Alternative::G711,
    };
    let other = RetryDecision::OtherRoute;
    // class, phase, with one trunk, with two
    let rows = [
        (Busy, BeforeAnswer, after(3), after(3)),
        (NoAnswer, BeforeAnswer, after(5), after(5)),
        (Congestion, BeforeAnswer, after(1), other),
        (CommError, Negotiation, after(1), after(1)),
        (CommError, Transmission, after(1), after(1)),
        (T38, Negotiation, g711, g711),
        (NotAFax, Negotiation, after(5), after(5)),
        (InvalidNumber, BeforeAnswer, never, never),
        (Rejected, BeforeAnswer, never, never),
        (Rejected, Negotiation, never, never),
        (Document, Negotiation, never, never),
        (LocalConfig, BeforeAnswer, never, other),
        (Cancelled, BeforeAnswer, never, never),
        (Unknown, BeforeAnswer, never, never),
    ];
    for (class, phase, one, two) in rows {
        let outcome = failed(class, phase);
        assert_eq!(
            play(&policy(), std::slice::from_ref(&outcome)),
            [one],
            "{class:?}"
        );
        assert_eq!(
            play(&policy().with_routes(2), &[outcome]),
            [two],
            "{class:?}, two trunks"
        );
    }
}

#[test]
fn busy_is_dialled_every_three_minutes_up_to_twelve_dials() {
    let decisions = play(
        &policy(),
        &vec![failed(FailureClass::Busy, BeforeAnswer); 12],
    );
    assert_eq!(decisions[..11], [after(3); 11]);
    assert_eq!(decisions[11], RetryDecision::Never);
}

#[test]
fn no_answer_is_dialled_after_five_and_fifteen_minutes() {
    let outcomes = vec![failed(FailureClass::NoAnswer, BeforeAnswer); 3];
    assert_eq!(
        play(&policy(), &outcomes),
        [after(5), after(15), RetryDecision::Never]
    );
}

#[test]
fn a_number_that_was_reached_before_gets_the_full_budget() {
    let mut history = AttemptHistory::new().with_reached_before(true);
    let outcome = failed(FailureClass::NoAnswer, BeforeAnswer);
    let decisions: Vec<_> = (0..12)
        .map(|_| {
            history.record(&outcome);
            decide(&outcome, &history, &policy(), 0)
        })
        .collect();
    assert_eq!(decisions[0], after(5));
    assert_eq!(decisions[1..11], [after(15); 10]);
    assert_eq!(decisions[11], RetryDecision::Never);
}

#[test]
fn congestion_doubles_from_one_to_fifteen_minutes() {
    let outcomes = vec![failed(FailureClass::Congestion, BeforeAnswer); 6];
    assert_eq!(
        play(&policy(), &outcomes),
        [after(1), after(2), after(4), after(8), after(15), after(15)]
    );
}

#[test]
fn each_trunk_is_tried_once_before_congestion_waits() {
    let outcomes = vec![failed(FailureClass::Congestion, BeforeAnswer); 4];
    let other = RetryDecision::OtherRoute;
    assert_eq!(
        play(&policy().with_routes(3), &outcomes),
        [other, other, after(1), after(2)]
    );
}

#[test]
fn a_retry_after_is_obeyed() {
    let wait = |seconds| {
        let failure = FaxFailure::new(FailureClass::Congestion, BeforeAnswer)
            .with_retry_after(Duration::from_secs(seconds));
        play(&policy(), &[FaxOutcome::failed(failure, None, Some(3))])
    };
    assert_eq!(wait(1800), [after(30)]);
    assert_eq!(wait(5), [after(1)]);
    // A day at most: then the job is given up, and neither waits for years nor dials too early.
    assert_eq!(wait(24 * 3600), [after(24 * 60)]);
    assert_eq!(wait(24 * 3600 + 1), [RetryDecision::Never]);
    assert_eq!(wait(u64::MAX), [RetryDecision::Never]);
}

#[test]
fn communication_errors_end_with_the_third_try() {
    let outcomes = vec![failed(FailureClass::CommError, Negotiation); 3];
    assert_eq!(
        play(&policy(), &outcomes),
        [after(1), after(1), RetryDecision::Never]
    );
}

#[test]
fn dials_that_reach_no_fax_are_no_tries() {
    let mut outcomes = vec![failed(FailureClass::Busy, BeforeAnswer); 5];
    outcomes.push(failed(FailureClass::CommError, Negotiation));
    assert_eq!(play(&policy(), &outcomes)[5], after(1));
}

#[test]
fn a_person_is_rung_at_most_once_more() {
    let outcomes = vec![failed(FailureClass::NotAFax, Negotiation); 2];
    assert_eq!(play(&policy(), &outcomes), [after(5), RetryDecision::Never]);
}

#[test]
fn a_person_who_refused_t38_is_not_rung_a_third_time() {
    let outcomes = [
        failed(FailureClass::T38, Negotiation),
        failed(FailureClass::NotAFax, Negotiation),
    ];
    let g711 = RetryDecision::Now {
        alt: Alternative::G711,
    };
    assert_eq!(play(&policy(), &outcomes), [g711, RetryDecision::Never]);
}

#[test]
fn t38_trouble_goes_to_audio_once_then_elsewhere() {
    let outcomes = vec![failed(FailureClass::T38, Negotiation); 2];
    let g711 = RetryDecision::Now {
        alt: Alternative::G711,
    };
    assert_eq!(play(&policy(), &outcomes), [g711, RetryDecision::Never]);
    assert_eq!(
        play(&policy().with_routes(2), &outcomes),
        [g711, RetryDecision::OtherRoute]
    );
    let audio_only = policy().with_alternatives(Vec::new());
    assert_eq!(play(&audio_only, &outcomes)[0], RetryDecision::Never);
}

#[test]
fn a_receiver_without_the_resolution_gets_it_rendered_again_once() {
    let failure = FaxFailure::new(FailureClass::Document, Negotiation).with_native(
        None,
        Some("Far end cannot receive at the resolution of the image".into()),
    );
    let outcomes = vec![FaxOutcome::failed(failure, Some(0), Some(3)); 2];
    let again = RetryDecision::Now {
        alt: Alternative::RerenderStandard,
    };
    assert_eq!(play(&policy(), &outcomes), [again, RetryDecision::Never]);
}

#[test]
fn an_unknown_outcome_and_a_success_are_never_dialled_again() {
    let generous = policy()
        .with_budgets(100, 100)
        .with_routes(9)
        .with_resume(true);
    for outcome in [
        FaxOutcome::unknown(None, None),
        FaxOutcome::unknown(Some(0), Some(3)),
        FaxOutcome::succeeded(Some(3), Some(3)),
    ] {
        assert_eq!(play(&generous, &[outcome]), [RetryDecision::Never]);
    }
}

#[test]
fn a_confirmed_page_is_resumed_behind_unless_the_policy_forbids_it() {
    let failure = || FaxFailure::new(FailureClass::CommError, Transmission);
    let one = FaxOutcome::failed(failure(), Some(1), Some(3));
    let untold = FaxOutcome::failed(failure(), None, Some(3));
    let never = policy().with_resume(false);
    for outcome in [&one, &untold] {
        assert_eq!(
            play(&never, std::slice::from_ref(outcome)),
            [RetryDecision::Never]
        );
    }
    assert_eq!(play(&policy(), &[one]), [after(1)]);
    assert_eq!(play(&policy(), &[untold]), [RetryDecision::Never]);
    // Busy now, and pages confirmed in a call before.
    let busy = FaxFailure::new(FailureClass::Busy, BeforeAnswer);
    let busy = FaxOutcome::failed(busy, Some(0), Some(2)).with_earlier_pages(1);
    assert_eq!(play(&policy(), std::slice::from_ref(&busy)), [after(3)]);
    assert_eq!(play(&never, &[busy]), [RetryDecision::Never]);
}

#[test]
fn the_ladder_takes_one_step_at_a_time_and_only_allowed_ones() {
    let mut history = AttemptHistory::new();
    let mut steps = Vec::new();
    while let Some(step) = history.next_step(&policy()) {
        history.change(step);
        steps.push(step);
    }
    assert_eq!(steps, Alternative::LADDER);
    let few = policy().with_alternatives(vec![Alternative::G711, Alternative::Slowest]);
    assert_eq!(
        AttemptHistory::new().next_step(&few),
        Some(Alternative::Slowest)
    );
}

#[test]
fn jitter_only_adds_and_stays_within_its_part() {
    let outcome = failed(FailureClass::Busy, BeforeAnswer);
    let mut history = AttemptHistory::new();
    history.record(&outcome);
    for (jitter, random, seconds) in [
        (0.1, 0, 180),
        (0.1, u64::MAX, 198),
        (1.0, u64::MAX, 360),
        (9.0, u64::MAX, 360),
        (f64::NAN, u64::MAX, 180),
        (-1.0, u64::MAX, 180),
    ] {
        let decision = decide(&outcome, &history, &policy().with_jitter(jitter), random);
        assert_eq!(
            decision,
            RetryDecision::After(Duration::from_secs(seconds)),
            "{jitter}"
        );
    }
}

fn any_outcome() -> impl Strategy<Value = FaxOutcome> {
    use FailureClass::*;
    let class = prop::sample::select(vec![
        Busy,
        NoAnswer,
        Congestion,
        CommError,
        T38,
        NotAFax,
        InvalidNumber,
        Rejected,
        Document,
        LocalConfig,
        Cancelled,
        Unknown,
    ]);
    let phase = prop::sample::select(vec![BeforeAnswer, Negotiation, Transmission]);
    let pages = prop::option::of(0_u32..4);
    (class, phase, pages, 0_u8..10).prop_map(|(class, phase, pages, kind)| match kind {
        0 => FaxOutcome::unknown(pages, Some(3)),
        _ => FaxOutcome::failed(FaxFailure::new(class, phase), pages, Some(3)),
    })
}

proptest! {
    #[test]
    fn no_history_exceeds_its_budgets(
        outcomes in prop::collection::vec(any_outcome(), 1..60),
        dials in 1_u32..15,
        tries in 1_u32..5,
        routes in 1_u32..4,
        resume: bool,
        random: u64,
    ) {
        let policy = FaxRetryPolicy::default()
            .with_budgets(dials, tries)
            .with_routes(routes)
            .with_resume(resume);
        let mut history = AttemptHistory::new();
        for outcome in &outcomes {
            history.record(outcome);
            prop_assert!(history.dials <= dials, "{history:?}");
            prop_assert!(history.tries <= tries, "{history:?}");
            prop_assert!(history.not_a_faxes <= policy.not_a_fax_retries + 1, "{history:?}");
            prop_assert!(history.route_changes < routes, "{history:?}");
            let decision = decide(outcome, &history, &policy, random);
            if outcome.status != OutcomeStatus::Failed
                || (!resume && !outcome.certainly_nothing_delivered())
            {
                prop_assert_eq!(decision, RetryDecision::Never);
            }
            match decision {
                RetryDecision::Never => break,
                RetryDecision::Now { alt } => {
                    prop_assert!(!history.used.contains(&alt));
                    history.change(alt);
                }
                RetryDecision::OtherRoute => history.change_route(),
                RetryDecision::After(wait) => prop_assert!(wait >= MINUTE && wait <= MINUTE * 17),
            }
        }
    }
}
