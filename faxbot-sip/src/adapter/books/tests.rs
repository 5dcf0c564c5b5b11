//! The books without a server: signs, lists and reports go in, states, records and work come out.

use std::time::{Duration, Instant};

use faxbot_core::{
    ErrorKind, Timestamp,
    fax::{FailureClass, FailurePhase, FaxFailure, FaxOutcome, FaxPhase, OutcomeStatus},
    id::CallId,
    sip::{AdapterKind, CallRecord, CallState, Causes, Direction, Disposition, SipEvent},
};

use super::{
    Books, FaxEnd, Leg, LiveLeg, NewLine, OVERDUE, Plan, Report, SECOND_WORD, Sign, Todo, UNSURE,
};
use crate::adapter::{
    calls::Now,
    fax_run::{FaxContext, FaxSigns},
};

const RING: Duration = Duration::from_secs(30);

struct Bench {
    books: Books,
    now: Now,
}

impl Bench {
    fn new() -> Self {
        Self {
            books: Books::new(AdapterKind::FREESWITCH),
            now: Now {
                instant: Instant::now(),
                wall: Timestamp::from_unix_seconds(1_795_248_000).unwrap(),
            },
        }
    }

    fn wait(&mut self, time: Duration) {
        self.now.instant += time;
        self.now.wall = self.now.wall + time;
    }

    fn line(id: CallId, plan: Plan) -> NewLine {
        NewLine {
            id,
            direction: Direction::Outbound,
            state: CallState::Created,
            from: None,
            to: None,
            own: Some(own(id)),
            ring_timeout: RING,
            plan,
            kind: "call",
            once_answered: false,
        }
    }

    /// A call whose request the server took.
    fn placed(&mut self, plan: Plan) -> CallId {
        let id = CallId::new();
        let _updates = self.books.open(Self::line(id, plan), self.now).unwrap();
        assert!(self.books.requested(id, self.now));
        self.books.taken(id, self.now);
        id
    }

    fn state(&self, id: CallId) -> Option<CallState> {
        self.books.calls.state(id)
    }

    fn own(&mut self, id: CallId, sign: Sign) -> Vec<SipEvent> {
        self.books.own_is(id, sign, self.now)
    }

    fn ends(&mut self, id: CallId, report: Report) -> CallRecord {
        record(self.books.ended(id, report, self.now))
    }

    fn listed(&mut self, list: &[LiveLeg], id: CallId) -> Vec<SipEvent> {
        self.books.listed(list, &[id], self.now)
    }
}

fn own(id: CallId) -> String {
    id.as_uuid().to_string()
}

fn leg(native: &str, sign: Sign) -> LiveLeg {
    LiveLeg {
        native: native.to_owned(),
        sign,
        joined: None,
    }
}

fn busy() -> Report {
    Report {
        causes: Causes::new().with_sip_status(486).with_q850(17),
        ..Report::default()
    }
}

fn cleared() -> Report {
    Report {
        answered: true,
        causes: Causes::new().with_q850(16),
        ..Report::default()
    }
}

/// The record in the last event.
fn record(events: Vec<SipEvent>) -> CallRecord {
    match events.into_iter().last() {
        Some(SipEvent::CallStateChanged(change)) => *change.record.expect("a record"),
        other => panic!("no end: {other:?}"),
    }
}

#[derive(Debug)]
struct ThreePages;

impl FaxEnd for ThreePages {
    fn outcome(&self, causes: &Causes, context: FaxContext) -> FaxOutcome {
        if context.hung_up_by_us {
            let failure = FaxFailure::new(FailureClass::Cancelled, FailurePhase::Transmission);
            return FaxOutcome::failed(failure.with_causes(causes), Some(1), context.pages_total);
        }
        FaxOutcome::succeeded(Some(3), context.pages_total)
    }
}

#[test]
fn a_call_goes_from_its_request_to_its_record() {
    let mut bench = Bench::new();
    let id = bench.placed(Plan::Single);
    assert_eq!(bench.state(id), Some(CallState::Dialing));
    bench.own(id, Sign::Ringing);
    assert_eq!(bench.state(id), Some(CallState::Ringing));
    bench.wait(Duration::from_secs(4));
    bench.own(id, Sign::Up);
    assert_eq!(bench.state(id), Some(CallState::Connected));
    bench.wait(Duration::from_secs(10));
    let record = bench.ends(id, cleared());
    assert_eq!(record.disposition, Disposition::Answered);
    assert_eq!(
        (record.duration_seconds, record.billable_seconds),
        (Some(14), Some(10))
    );
    assert!(
        bench.books.leg(&own(id)).is_none(),
        "its channel leads nowhere"
    );
    assert!(bench.books.lines.is_empty());
}

#[test]
fn events_that_overtake_the_answer_to_the_request_are_taken() {
    let mut bench = Bench::new();
    let id = CallId::new();
    let _updates = bench
        .books
        .open(Bench::line(id, Plan::Single), bench.now)
        .unwrap();
    assert!(bench.books.requested(id, bench.now));
    bench.own(id, Sign::Up);
    assert_eq!(bench.state(id), Some(CallState::Connected));
    assert!(bench.books.taken(id, bench.now).is_empty());
    assert_eq!(bench.state(id), Some(CallState::Connected));
}

#[test]
fn a_late_word_of_an_earlier_state_says_nothing() {
    let mut bench = Bench::new();
    let id = bench.placed(Plan::Single);
    bench.own(id, Sign::Up);
    for sign in [Sign::Dialing, Sign::Ringing, Sign::Up] {
        assert!(bench.own(id, sign).is_empty(), "{sign:?}");
    }
    assert_eq!(bench.state(id), Some(CallState::Connected));
}

#[test]
fn a_call_between_two_is_answered_by_the_second_one() {
    for joined_by_event in [false, true] {
        let mut bench = Bench::new();
        let id = bench.placed(Plan::Connect);
        bench.books.joins(id, "second");
        bench.own(id, Sign::Up);
        assert_eq!(bench.state(id), Some(CallState::Dialing));
        bench.books.other_is(id, Sign::Ringing, bench.now);
        assert_eq!(bench.state(id), Some(CallState::Ringing));
        if joined_by_event {
            bench.books.joined(id, Some("second"), bench.now);
        } else {
            bench.books.other_is(id, Sign::Up, bench.now);
        }
        assert_eq!(bench.state(id), Some(CallState::Connected));
    }
}

#[test]
fn a_second_party_that_is_busy_says_why_the_call_ended() {
    let mut bench = Bench::new();
    let id = bench.placed(Plan::Connect);
    bench.books.joins(id, "second");
    bench.own(id, Sign::Up);
    bench.books.parts(id, "second", Some(busy().causes));
    let mut end = cleared();
    end.answered = false;
    let record = bench.ends(id, end);
    assert_eq!(record.disposition, Disposition::Busy);
    assert_eq!(record.causes.sip_status, Some(486));
    assert_eq!(record.answer, None);
}

#[test]
fn a_far_end_says_why_where_the_channel_itself_says_nothing() {
    let mut bench = Bench::new();
    let id = bench.placed(Plan::Single);
    bench.books.second_says(id, busy().causes);
    let record = bench.ends(id, Report::default());
    assert_eq!(record.disposition, Disposition::Busy);
}

#[test]
fn a_refusal_without_a_channel_is_believed_when_the_list_has_none() {
    let mut bench = Bench::new();
    let id = bench.placed(Plan::Single);
    bench.books.refused(id, busy(), bench.now);
    assert_eq!(bench.books.take_todo(), [Todo::Check(id)]);
    bench.listed(&[], id);
    assert_eq!(bench.books.take_todo(), [Todo::Settle(id)]);
    assert!(bench.books.is_end_told(id));
    let record = record(bench.books.finish(id, None, bench.now));
    assert_eq!(record.disposition, Disposition::Busy);
}

#[test]
fn a_refusal_is_not_the_end_of_a_call_that_lives() {
    // An earlier process placed it, and its id was asked for again.
    let mut bench = Bench::new();
    let id = bench.placed(Plan::Single);
    bench.books.refused(id, Report::default(), bench.now);
    bench.listed(&[leg(&own(id), Sign::Up)], id);
    assert_eq!(bench.state(id), Some(CallState::Connected));
    assert!(!bench.books.is_end_told(id));
    assert_eq!(bench.ends(id, cleared()).causes.q850, Some(16));
}

#[test]
fn a_refusal_waits_for_the_end_of_the_channel_that_says_more() {
    let mut bench = Bench::new();
    let id = bench.placed(Plan::Single);
    bench.own(id, Sign::Ringing);
    bench.books.refused(id, Report::default(), bench.now);
    assert!(bench.books.take_todo().is_empty());
    assert_eq!(
        bench.books.next_timeout(),
        Some(bench.now.instant + SECOND_WORD)
    );
    assert_eq!(bench.ends(id, busy()).disposition, Disposition::Busy);
}

#[test]
fn a_call_may_ring_without_a_limit_of_time() {
    let mut bench = Bench::new();
    let id = CallId::new();
    let mut line = Bench::line(id, Plan::Single);
    line.ring_timeout = Duration::MAX;
    let _updates = bench.books.open(line, bench.now).unwrap();
    assert!(bench.books.requested(id, bench.now));
    let asked = bench.books.next_timeout().unwrap();
    assert!(asked > bench.now.instant + 1_000 * RING);
}

#[test]
fn a_call_that_says_nothing_is_asked_for() {
    let mut bench = Bench::new();
    let id = bench.placed(Plan::Single);
    assert_eq!(
        bench.books.next_timeout(),
        Some(bench.now.instant + RING + OVERDUE)
    );
    bench.wait(RING + OVERDUE);
    bench.books.timeout(bench.now);
    assert_eq!(bench.books.take_todo(), [Todo::Check(id)]);
    // The check itself may fail: it is due again.
    assert_eq!(bench.books.next_timeout(), Some(bench.now.instant + UNSURE));
}

#[test]
fn a_list_takes_a_call_over_missed_states_and_never_back() {
    let mut bench = Bench::new();
    let id = bench.placed(Plan::Single);
    let events = bench.listed(&[leg(&own(id), Sign::Up)], id);
    assert_eq!(bench.state(id), Some(CallState::Connected));
    let jumped = |event: &SipEvent| matches!(event, SipEvent::CallStateChanged(it) if it.jumped);
    assert!(events.iter().any(jumped), "{events:?}");
    // A list that is older than an event.
    assert!(bench.listed(&[leg(&own(id), Sign::Ringing)], id).is_empty());
    assert_eq!(bench.state(id), Some(CallState::Connected));
}

#[test]
fn a_call_that_is_not_in_the_list_is_settled_unless_it_may_still_come() {
    let mut bench = Bench::new();
    let id = bench.placed(Plan::Single);
    bench.listed(&[], id);
    assert!(
        bench.books.take_todo().is_empty(),
        "its channel may still come"
    );
    bench.wait(UNSURE);
    bench.listed(&[], id);
    assert_eq!(bench.books.take_todo(), [Todo::Settle(id)]);
    bench.listed(&[], id);
    assert!(bench.books.take_todo().is_empty(), "once");
}

#[test]
fn an_end_that_nobody_saw_has_no_record() {
    let mut bench = Bench::new();
    let id = CallId::new();
    let mut updates = bench
        .books
        .open(Bench::line(id, Plan::Single), bench.now)
        .unwrap();
    assert!(bench.books.requested(id, bench.now));
    let events = bench.books.finish(id, None, bench.now);
    assert!(events.is_empty(), "{events:?}");
    let end = updates.borrow_and_update().end.clone().unwrap();
    assert_eq!(end.unwrap_err().kind(), ErrorKind::OutcomeUnknown);
    assert!(bench.books.record(&id.into()).is_none());
}

#[test]
fn what_the_server_kept_makes_the_record_with_its_times() {
    let mut bench = Bench::new();
    let id = bench.placed(Plan::Single);
    let start = bench.now.wall;
    bench.wait(Duration::from_secs(100));
    let kept = Report {
        answered_at: Some(start + Duration::from_secs(5)),
        ended: Some(start + Duration::from_secs(25)),
        ..cleared()
    };
    let record = record(bench.books.finish(id, Some(kept), bench.now));
    assert_eq!(record.disposition, Disposition::Answered);
    assert_eq!(
        (record.duration_seconds, record.billable_seconds),
        (Some(25), Some(20))
    );
}

#[test]
fn a_restart_ends_what_was_up_as_unknown_and_nothing_that_comes_later() {
    let mut bench = Bench::new();
    let before = bench.placed(Plan::Single);
    bench.own(before, Sign::Up);
    let lost_at = bench.now.wall + Duration::from_secs(3);
    let not_yet = CallId::new();
    let _updates = bench
        .books
        .open(Bench::line(not_yet, Plan::Single), bench.now)
        .unwrap();
    bench.wait(Duration::from_secs(60));
    bench.books.restarted(lost_at);
    bench.listed(&[], before);
    assert_eq!(bench.books.take_todo(), [Todo::Settle(before)]);
    let record = record(bench.books.finish(before, None, bench.now));
    assert_eq!(record.end, Some(lost_at));
    assert_eq!(record.causes.q850, Some(41));
    assert!(bench.books.requested(not_yet, bench.now));
    assert!(bench.books.lines[&not_yet].restarted.is_none());
}

#[test]
fn a_hang_up_that_came_too_early_is_sent_when_the_channel_is_there() {
    let mut bench = Bench::new();
    let id = bench.placed(Plan::Single);
    bench.books.hung_up_by_us(id, true);
    bench.books.hang_up_when_there(id, bench.now);
    assert!(bench.books.take_todo().is_empty());
    bench.own(id, Sign::Ringing);
    assert_eq!(bench.books.take_todo(), [Todo::HangUp(id)]);
    bench.books.hung_up(id);
    bench.books.hanging_up(id, bench.now);
    let record = bench.ends(id, Report::default());
    assert_eq!(record.disposition, Disposition::Cancelled);
}

#[test]
fn a_call_that_was_hung_up_before_it_was_sent_is_not_sent() {
    let mut bench = Bench::new();
    let id = CallId::new();
    let _updates = bench
        .books
        .open(Bench::line(id, Plan::Single), bench.now)
        .unwrap();
    bench.books.hang_up_when_there(id, bench.now);
    assert!(!bench.books.requested(id, bench.now));
}

#[test]
fn a_fax_is_ended_by_the_worker_with_what_was_told() {
    for by_us in [false, true] {
        let mut bench = Bench::new();
        let id = CallId::new();
        let updates = bench
            .books
            .open_fax(Bench::line(id, Plan::Single), 3, bench.now)
            .unwrap();
        assert!(bench.books.requested(id, bench.now));
        bench.books.taken(id, bench.now);
        bench.own(id, Sign::Up);
        assert_eq!(updates.borrow().progress.phase, FaxPhase::Negotiating);
        let signs = FaxSigns {
            agreed: true,
            confirmed: Some(2),
            ..FaxSigns::default()
        };
        let now = bench.now.instant;
        bench.books.fax_event(id, |fax| fax.signs(signs, now));
        bench.books.hung_up_by_us(id, by_us);
        let end = Report {
            fax: Some(Box::new(ThreePages)),
            ..cleared()
        };
        assert!(bench.books.ended(id, end, bench.now).is_empty());
        assert_eq!(bench.books.take_todo(), [Todo::Settle(id)]);
        let record = record(bench.books.finish(id, None, bench.now));
        let outcome = record.fax.unwrap();
        let status = if by_us {
            OutcomeStatus::Failed
        } else {
            OutcomeStatus::Success
        };
        assert_eq!(outcome.status, status);
        assert_eq!(outcome.pages_total, Some(3));
    }
}

#[test]
fn a_fax_that_nobody_saw_end_is_unknown_with_the_pages_last_seen() {
    let mut bench = Bench::new();
    let id = CallId::new();
    let _updates = bench
        .books
        .open_fax(Bench::line(id, Plan::Single), 3, bench.now)
        .unwrap();
    assert!(bench.books.requested(id, bench.now));
    bench.books.taken(id, bench.now);
    let signs = FaxSigns {
        agreed: true,
        confirmed: Some(2),
        ..FaxSigns::default()
    };
    let now = bench.now.instant;
    bench.books.fax_event(id, |fax| fax.signs(signs, now));
    let outcome = record(bench.books.finish(id, None, bench.now)).fax.unwrap();
    assert_eq!(outcome.status, OutcomeStatus::Unknown);
    assert_eq!(outcome.pages_confirmed, Some(2));
}

#[test]
fn channels_of_a_run_that_is_over_lead_nowhere() {
    let mut bench = Bench::new();
    let id = bench.placed(Plan::Single);
    bench.books.joins(id, "dumb/1");
    assert_eq!(bench.books.leg("dumb/1"), Some(Leg::Other(id)));
    bench.books.forget_channels();
    assert_eq!(bench.books.leg("dumb/1"), None);
    assert_eq!(bench.books.leg(&own(id)), None);
    assert_eq!(bench.books.own_channel(id), None);
}

#[test]
fn a_call_has_a_bounded_number_of_channels() {
    let mut bench = Bench::new();
    let id = bench.placed(Plan::Single);
    for n in 0..1000 {
        bench.books.joins(id, &format!("sip/{n}"));
    }
    assert_eq!(
        bench.books.lines[&id].others.len(),
        super::signs::MAX_OTHERS
    );
}

#[test]
fn a_channel_of_another_call_stays_that_ones() {
    let mut bench = Bench::new();
    let (one, two) = (bench.placed(Plan::Single), bench.placed(Plan::Single));
    bench.books.joins(one, &own(two));
    assert_eq!(bench.books.leg(&own(two)), Some(Leg::Own(two)));
}

#[test]
fn a_call_that_the_list_lacked_and_that_is_up_goes_on() {
    let mut bench = Bench::new();
    let id = bench.placed(Plan::Single);
    bench.own(id, Sign::Ringing);
    bench.books.take_todo();
    bench.listed(&[], id);
    assert_eq!(bench.books.take_todo(), [Todo::Settle(id)]);
    bench.books.is_up_after_all(id, bench.now);
    assert_eq!(bench.state(id), Some(CallState::Ringing));
    // It is asked for again, and what becomes of it is entered.
    bench.wait(UNSURE);
    bench.books.timeout(bench.now);
    assert_eq!(bench.books.take_todo(), [Todo::Check(id)]);
    bench.listed(&[leg(&own(id), Sign::Up)], id);
    assert_eq!(bench.state(id), Some(CallState::Connected));
    assert_eq!(bench.ends(id, busy()).disposition, Disposition::Answered);
}
