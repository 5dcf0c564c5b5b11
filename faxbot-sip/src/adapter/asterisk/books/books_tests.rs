//! The books on what goes wrong between a request and its end.

use super::{super::super::RECHECK, *};

fn faults(desk: &Desk) -> usize {
    desk.events
        .iter()
        .filter(|event| matches!(event, SipEvent::AdapterError { .. }))
        .count()
}

#[test]
fn events_that_overtake_the_reply_are_no_illegal_edge() {
    let mut desk = Desk::new();
    let id = CallId::new();
    let _updates = desk.books.open(desk.line(id), desk.now).unwrap();
    assert!(desk.books.requested(id, desk.now));
    desk.event(id, "Newchannel", &[CHANNEL]);
    desk.event(id, "Newstate", &["ChannelStateDesc: Ringing"]);
    let events = desk.books.taken(id, desk.now);
    desk.events.extend(events);
    use CallState as S;
    assert_eq!(desk.states(), [S::Dialing, S::Ringing]);
    assert_eq!(faults(&desk), 0);
}

#[test]
fn a_call_that_is_not_requested_is_not_taken_for_gone_however_long_that_takes() {
    let mut desk = Desk::new();
    let id = CallId::new();
    let updates = desk.books.open_fax(desk.line(id), 1, desk.now).unwrap();
    desk.wait(Duration::from_secs(600));
    desk.books.missed_events();
    desk.books.channels(&[], &[id], desk.now);
    assert_eq!(desk.books.take_todo(), []);
    assert!(updates.borrow().end.is_none());
    assert!(desk.books.requested(id, desk.now));
}

#[test]
fn a_call_that_was_hung_up_before_it_was_requested_must_not_be_sent() {
    let mut desk = Desk::new();
    let id = CallId::new();
    let _updates = desk.books.open(desk.line(id), desk.now).unwrap();
    desk.books.hang_up_when_there(id, desk.now);
    assert!(!desk.books.requested(id, desk.now));
}

#[test]
fn a_fax_that_perhaps_never_was_leaves_no_record_and_one_that_was_is_unknown() {
    for taken in [false, true] {
        let mut desk = Desk::new();
        let id = CallId::new();
        let updates = desk.books.open_fax(desk.line(id), 2, desk.now).unwrap();
        assert!(desk.books.requested(id, desk.now));
        if taken {
            desk.books.taken(id, desk.now);
        }
        desk.books.missed_events();
        desk.wait(UNSURE);
        desk.books.channels(&[], &[id], desk.now);
        desk.finish(id, None);
        let end = updates.borrow().end.clone().unwrap();
        // `lookup` may still prove that it never was; a record would stand in its way.
        assert_eq!(desk.books.record(&id.into()).is_some(), taken);
        match end {
            Ok(outcome) => assert_eq!((outcome.status, taken), (OutcomeStatus::Unknown, true)),
            Err(error) => assert_eq!((error.kind(), taken), (ErrorKind::OutcomeUnknown, false)),
        }
    }
}

#[test]
fn the_end_of_a_call_that_nobody_saw_is_told_without_a_record() {
    let mut desk = Desk::new();
    let (id, _updates) = desk.call();
    answer(&mut desk, id);
    desk.wait(RECHECK);
    assert_eq!(desk.books.take_todo(), [Todo::Check(id)]);
    desk.books.channels(&[], &[id], desk.now);
    desk.finish(id, None);
    let Some(SipEvent::CallStateChanged(last)) = desk.events.last() else {
        panic!("no end");
    };
    assert_eq!((last.to, &last.record), (CallState::Terminated, &None));
}

#[test]
fn a_failure_that_names_an_answered_call_is_somebody_elses() {
    let mut desk = Desk::new();
    let (id, updates) = desk.call();
    answer(&mut desk, id);
    desk.event(id, "OriginateResponse", &["Response: Failure", "Reason: 0"]);
    assert_eq!(desk.books.take_todo(), []);
    desk.books.missed_events();
    desk.books.channels(&[], &[id], desk.now);
    desk.finish(id, None);
    // It does not tell how the call ended.
    assert!(matches!(updates.borrow().end, Some(Err(_))));
}

#[test]
fn a_failure_that_names_a_held_or_half_connected_call_is_somebody_elses() {
    for plan in [Plan::Single, Plan::Connect] {
        let mut desk = Desk::new();
        let id = CallId::new();
        let line = NewLine {
            plan,
            ..desk.line(id)
        };
        let updates = desk.books.open(line, desk.now).unwrap();
        assert!(desk.books.requested(id, desk.now));
        desk.books.taken(id, desk.now);
        answer(&mut desk, id);
        if plan == Plan::Single {
            desk.books.shift(id, CallState::OnHold, desk.now);
            assert_eq!(
                desk.books.calls.status(id).unwrap().state,
                CallState::OnHold
            );
        }
        desk.event(id, "OriginateResponse", &["Response: Failure", "Reason: 5"]);
        desk.books.missed_events();
        desk.wait(UNSURE);
        desk.books.channels(&[], &[id], desk.now);
        desk.finish(id, None);
        assert!(matches!(updates.borrow().end, Some(Err(_))), "{plan:?}");
    }
}

#[test]
fn a_fax_whose_end_was_seen_before_the_link_was_lost_is_known() {
    let mut desk = Desk::new();
    let (id, updates) = desk.fax(3);
    answer(&mut desk, id);
    three_pages_end(&mut desk, id);
    desk.books.missed_events();
    desk.finish(id, None);
    assert!(updates.borrow().end.clone().unwrap().unwrap().is_success());
}

#[test]
fn a_hang_up_that_failed_is_asked_for_again_when_the_channel_is_seen() {
    let mut desk = Desk::new();
    let (id, _updates) = desk.call();
    answer(&mut desk, id);
    desk.books.hang_up_when_there(id, desk.now);
    let alive = LiveChannel {
        name: "PJSIP/peer-00000001".into(),
        uniqueid: channel_id(id),
        state: "Up".into(),
        ..LiveChannel::default()
    };
    desk.books
        .channels(std::slice::from_ref(&alive), &[id], desk.now);
    assert_eq!(desk.books.take_todo(), [Todo::HangUp(id)]);
    desk.books.hung_up(id);
    desk.books.channels(&[alive], &[id], desk.now);
    assert_eq!(desk.books.take_todo(), []);
}
